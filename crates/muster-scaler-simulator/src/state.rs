//! The state of the simulated world between two events.

use std::collections::{HashMap, VecDeque};

use crate::load::{Load, Pipeline};
use crate::queue::Queue;
use crate::random::Random;
use crate::world::{FaultKind, Pool, World};

/// No pool has the job.
pub(crate) const ELSEWHERE: u16 = u16::MAX;
/// No host.
pub(crate) const NOBODY: u32 = u32::MAX;

/// What is going to happen.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Happens {
    /// A pipeline arrives.
    Arrives(u32),
    /// A job ends on its host.
    Ends(u32),
    /// The provider has answered a creation.
    Answered(u32),
    /// A server comes up.
    Up(u32),
    /// A server is gone.
    Gone(u32),
    /// GitLab has answered a pause; the number tells it from later ones.
    Paused(u32, u32),
    /// No request of a paused runner is in flight any more.
    Silent(u32, u32),
    /// GitLab has answered that a runner is paused no more.
    Unpaused(u32, u32),
    /// Metrics are gathered.
    Scrape,
}

/// What changed for a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    /// A pipeline arrived.
    Arrived(u32),
    /// A job waits for a runner.
    Waits(u32),
    /// A job runs.
    Runs(u32),
    /// A job is over.
    Over(u32),
    /// The last job of a pipeline is over.
    Finished(u32),
}

/// How a call went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    Created(u32),
    Lost(u32),
    Refused(u32),
    Gone(u32),
    Paused(u32),
    Unpaused(u32),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum JobState {
    Absent,
    Created,
    Waits(i64),
    Runs(i64),
    Over,
}

#[derive(Clone, Debug)]
pub(crate) struct JobRun {
    pub(crate) pipeline: u32,
    pub(crate) pool: u16,
    pub(crate) millis: u32,
    pub(crate) state: JobState,
    pub(crate) host: u32,
    /// Jobs that it needs and that are not over.
    blockers: u32,
}

#[derive(Clone, Debug)]
pub(crate) struct PipelineRun {
    /// The number of its first job.
    pub(crate) first: u32,
    /// The ends of the stages, as positions in the pipeline, and how many jobs of each are not over.
    stages: Vec<(u32, u32)>,
    /// Which stage is not over.
    stage: usize,
    pub(crate) left: u32,
    /// Jobs that need a job, by that job.
    dependents: HashMap<u32, Vec<u32>>,
}

#[derive(Clone, Debug)]
pub(crate) struct Host {
    pub(crate) pool: u16,
    pub(crate) slots: u32,
    pub(crate) running: u32,
    /// The temporary server that it is.
    pub(crate) server: Option<u32>,
    /// Whether it asks for jobs, or has a request in flight.
    pub(crate) asks: bool,
    /// Whether it is paused, so that `asks` means that a request is in flight.
    pub(crate) paused: bool,
    /// How often it was paused or unpaused.
    pub(crate) turns: u32,
    /// Its position among the free hosts.
    free_at: Option<u32>,
    /// The jobs that it runs.
    pub(crate) jobs: Vec<u32>,
    pub(crate) idle_since: i64,
}

#[derive(Clone, Debug)]
pub(crate) struct Server {
    pub(crate) pool: u16,
    pub(crate) host: u32,
    pub(crate) asked: i64,
    /// When the provider has it, if it does.
    pub(crate) exists: bool,
    pub(crate) answered: bool,
    pub(crate) up: Option<i64>,
    /// Takes no new jobs and is deleted when it is empty.
    pub(crate) retiring: bool,
    pub(crate) deleting: bool,
    pub(crate) gone: Option<i64>,
}

#[derive(Debug, Default)]
pub(crate) struct PoolState {
    pub(crate) waiting: VecDeque<u32>,
    free: Vec<u32>,
    pub(crate) running: u32,
    /// Of them, those on temporary servers.
    pub(crate) running_temporary: u32,
    /// Servers that are not gone.
    pub(crate) servers: Vec<u32>,
    pub(crate) last_delete: Option<i64>,
}

/// What is counted on the way.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    pub(crate) waits: Vec<u32>,
    pub(crate) finished: u64,
    pub(crate) killed: u64,
    pub(crate) creates: u64,
    pub(crate) flaps: u64,
    pub(crate) refused: u64,
    pub(crate) peak: u32,
    pub(crate) scale_ins: u64,
    pub(crate) scale_ins_in_fault: u64,
    pub(crate) taken_back: u64,
    pub(crate) raced: u64,
    pub(crate) ran_millis: u64,
}

/// Metrics as they were gathered.
#[derive(Clone, Debug, Default)]
pub(crate) struct Scrape {
    pub(crate) at: i64,
    /// By pool: waiting, running, slots of hosts that are up.
    pub(crate) pools: Vec<(u32, u32, u32)>,
    /// Jobs that run, by host, as far as there were hosts.
    pub(crate) hosts: Vec<u32>,
}

/// The state of the world.
pub(crate) struct State<'a> {
    pub(crate) world: &'a World,
    pub(crate) load: &'a Load,
    pub(crate) now: i64,
    /// The midnight from which faults count.
    pub(crate) midnight: i64,
    pub(crate) queue: Queue<Happens>,
    pub(crate) jobs: Vec<JobRun>,
    pub(crate) pipelines: Vec<PipelineRun>,
    pub(crate) hosts: Vec<Host>,
    pub(crate) servers: Vec<Server>,
    pub(crate) pools: Vec<PoolState>,
    pub(crate) changes: Vec<Change>,
    pub(crate) answers: Vec<Answer>,
    pub(crate) counts: Counts,
    /// The metrics gathered last, and those before.
    pub(crate) scrapes: [Scrape; 2],
    pub(crate) chance: Random,
    dispatch: Random,
    /// Jobs of a pool that are not over.
    pub(crate) unfinished: u64,
}

impl<'a> State<'a> {
    pub(crate) fn new(world: &'a World, load: &'a Load, seed: u64) -> Self {
        let start = load.span().map_or(0, |(first, _)| first.millis());
        let midnight = start - start.rem_euclid(86_400_000);
        let mut state = State {
            world,
            load,
            now: midnight,
            midnight,
            queue: Queue::new(),
            jobs: Vec::with_capacity(load.jobs()),
            pipelines: Vec::with_capacity(load.pipelines.len()),
            hosts: Vec::new(),
            servers: Vec::new(),
            pools: Vec::new(),
            changes: Vec::new(),
            answers: Vec::new(),
            counts: Counts::default(),
            scrapes: [Scrape::default(), Scrape::default()],
            chance: Random::new(seed, "servers"),
            dispatch: Random::new(seed, "dispatch"),
            unfinished: 0,
        };
        let tags = load.tags.words().iter();
        let pools: Vec<u16> = tags.map(|tags| pool_of(&world.pools, tags)).collect();
        for (number, pipeline) in (0..).zip(&load.pipelines) {
            state.add_pipeline(number, pipeline, &pools);
            state
                .queue
                .add(pipeline.arrival.millis(), Happens::Arrives(number));
        }
        for (pool, at) in world.pools.iter().zip(0..) {
            state.pools.push(PoolState::default());
            for _ in 0..pool.permanent_hosts.min(10_000) {
                let host = state.add_host(at, pool.permanent_slots, None);
                state.asks(host, true);
            }
        }
        state
    }

    fn add_pipeline(&mut self, number: u32, pipeline: &Pipeline, pools: &[u16]) {
        let first = self.jobs.len() as u32;
        let mut run = PipelineRun {
            first,
            stages: Vec::new(),
            stage: 0,
            left: pipeline.jobs.len() as u32,
            dependents: HashMap::new(),
        };
        let mut last = None;
        for (job, at) in pipeline.jobs.iter().zip(0..) {
            if last != Some(job.stage) {
                run.stages.push((at, 0));
                last = Some(job.stage);
            }
            if let Some(stage) = run.stages.last_mut() {
                *stage = (at + 1, stage.1 + 1);
            }
            let needs = job.needs.iter().flatten().filter(|need| **need < at);
            let mut blockers = 0;
            for need in needs {
                run.dependents.entry(*need).or_default().push(at);
                blockers += 1;
            }
            let pool = pools.get(job.tags as usize).copied().unwrap_or(ELSEWHERE);
            self.unfinished += u64::from(pool != ELSEWHERE);
            self.jobs.push(JobRun {
                pipeline: number,
                pool,
                millis: job.millis,
                state: JobState::Absent,
                host: NOBODY,
                blockers,
            });
        }
        self.pipelines.push(run);
    }

    pub(crate) fn add_host(&mut self, pool: u16, slots: u32, server: Option<u32>) -> u32 {
        let number = self.hosts.len() as u32;
        self.hosts.push(Host {
            pool,
            slots,
            running: 0,
            server,
            asks: false,
            paused: false,
            turns: 0,
            free_at: None,
            jobs: Vec::new(),
            idle_since: self.now,
        });
        number
    }

    /// The specification of a job.
    pub(crate) fn pool(&self, at: u16) -> &'a Pool {
        &self.world.pools[at as usize]
    }

    /// A pipeline arrives: its first jobs wait.
    pub(crate) fn arrive(&mut self, number: u32) {
        let pipeline = &self.pipelines[number as usize];
        let (first, left) = (pipeline.first, pipeline.left);
        for job in first..first + left {
            self.jobs[job as usize].state = JobState::Created;
        }
        self.changes.push(Change::Arrived(number));
        let specs = &self.load.pipelines[number as usize].jobs;
        let end = self.pipelines[number as usize]
            .stages
            .first()
            .map_or(0, |stage| stage.0);
        for (spec, at) in specs.iter().zip(0..) {
            let ready = match &spec.needs {
                None => at < end,
                Some(_) => self.jobs[(first + at) as usize].blockers == 0,
            };
            if ready {
                self.release(first + at);
            }
        }
        if left == 0 {
            self.changes.push(Change::Finished(number));
        }
    }

    /// A job may run: it gets a random free host, or waits.
    fn release(&mut self, job: u32) {
        let run = &mut self.jobs[job as usize];
        if run.state != JobState::Created {
            return;
        }
        run.state = JobState::Waits(self.now);
        self.changes.push(Change::Waits(job));
        let pool = run.pool;
        if pool == ELSEWHERE {
            return self.start(job, NOBODY);
        }
        let free = &self.pools[pool as usize].free;
        if free.is_empty() {
            self.pools[pool as usize].waiting.push_back(job);
        } else {
            let host = free[self.dispatch.below(free.len())];
            self.start(job, host);
        }
    }

    fn start(&mut self, job: u32, host: u32) {
        let run = &mut self.jobs[job as usize];
        let JobState::Waits(since) = run.state else {
            return;
        };
        run.state = JobState::Runs(self.now);
        run.host = host;
        self.queue
            .add(self.now + i64::from(run.millis), Happens::Ends(job));
        self.changes.push(Change::Runs(job));
        if host == NOBODY {
            return;
        }
        self.counts.waits.push((self.now - since) as u32);
        let at = &mut self.hosts[host as usize];
        at.running += 1;
        at.jobs.push(job);
        let pool = &mut self.pools[at.pool as usize];
        pool.running += 1;
        pool.running_temporary += u32::from(at.server.is_some());
        if at.paused {
            // The request in flight has brought its job; there is no other.
            at.asks = false;
            self.counts.raced += 1;
        }
        self.refresh(host);
    }

    /// A job ends: what waited for it is released, and its host asks for another.
    pub(crate) fn end(&mut self, job: u32) {
        if matches!(self.jobs[job as usize].state, JobState::Runs(_)) {
            self.close(job);
        }
    }

    /// A job is over, whether it came to its end or not.
    fn close(&mut self, job: u32) {
        let run = &mut self.jobs[job as usize];
        let JobState::Runs(since) = run.state else {
            return;
        };
        run.state = JobState::Over;
        let (number, host, pool) = (run.pipeline, run.host, run.pool);
        self.changes.push(Change::Over(job));
        if host != NOBODY {
            self.unfinished -= 1;
            self.counts.finished += 1;
            self.counts.ran_millis += (self.now - since) as u64;
            let at = &mut self.hosts[host as usize];
            at.running -= 1;
            at.jobs.retain(|other| *other != job);
            if at.running == 0 {
                at.idle_since = self.now;
            }
            let temporary = u32::from(at.server.is_some());
            self.pools[pool as usize].running -= 1;
            self.pools[pool as usize].running_temporary -= temporary;
            self.refresh(host);
        }
        if host != NOBODY {
            // First those that wait already, then those that this job held back.
            self.pull(host);
        }
        self.unblock(number, job);
        if host != NOBODY {
            self.retire_if_empty(host);
        }
    }

    /// Releases what waited for a job that is over.
    fn unblock(&mut self, number: u32, job: u32) {
        let pipeline = &mut self.pipelines[number as usize];
        let first = pipeline.first;
        let at = job - first;
        pipeline.left -= 1;
        let stage = pipeline.stages.partition_point(|stage| stage.0 <= at);
        pipeline.stages[stage].1 -= 1;
        let dependents = pipeline.dependents.remove(&at).unwrap_or_default();
        let mut next = pipeline.stage..pipeline.stage;
        while pipeline
            .stages
            .get(pipeline.stage)
            .is_some_and(|stage| stage.1 == 0)
        {
            pipeline.stage += 1;
            next.end = pipeline.stage;
        }
        let begin = pipeline.stages.get(next.start).map_or(0, |stage| stage.0);
        let end = pipeline.stages.get(next.end).map_or(begin, |stage| stage.0);
        if pipeline.left == 0 {
            self.changes.push(Change::Finished(number));
            return;
        }
        for dependent in dependents {
            let waiting = &mut self.jobs[(first + dependent) as usize].blockers;
            *waiting -= 1;
            if *waiting == 0 {
                self.release(first + dependent);
            }
        }
        let load = self.load;
        if !next.is_empty() {
            for at in begin..end {
                if load.pipelines[number as usize].jobs[at as usize]
                    .needs
                    .is_none()
                {
                    self.release(first + at);
                }
            }
        }
    }

    /// A host takes jobs that wait, as many as it can.
    pub(crate) fn pull(&mut self, host: u32) {
        while self.hosts[host as usize].free_at.is_some() {
            let pool = self.hosts[host as usize].pool;
            let Some(job) = self.pools[pool as usize].waiting.pop_front() else {
                return;
            };
            self.start(job, host);
        }
    }

    /// A host begins or ceases to ask for jobs.
    pub(crate) fn asks(&mut self, host: u32, asks: bool) {
        self.hosts[host as usize].asks = asks;
        self.refresh(host);
        self.pull(host);
    }

    /// Keeps the list of free hosts.
    fn refresh(&mut self, host: u32) {
        let at = &mut self.hosts[host as usize];
        let free = at.asks && at.running < at.slots;
        let list = &mut self.pools[at.pool as usize].free;
        match (at.free_at, free) {
            (None, true) => {
                at.free_at = Some(list.len() as u32);
                list.push(host);
            }
            (Some(position), false) => {
                at.free_at = None;
                list.swap_remove(position as usize);
                if let Some(moved) = list.get(position as usize) {
                    self.hosts[*moved as usize].free_at = Some(position);
                }
            }
            _ => {}
        }
    }

    /// Jobs that run on a host that goes away are killed.
    pub(crate) fn kill_jobs(&mut self, host: u32) {
        let jobs = std::mem::take(&mut self.hosts[host as usize].jobs);
        for job in jobs {
            self.counts.killed += 1;
            self.close(job);
        }
    }

    /// What of the metrics or of GitLab goes wrong now.
    pub(crate) fn faults(&self) -> impl Iterator<Item = FaultKind> {
        let hours = (self.now - self.midnight) as f64 / 3_600_000.0;
        let faults = self.world.faults.iter();
        faults
            .filter(move |fault| (fault.from_hour..fault.from_hour + fault.hours).contains(&hours))
            .map(|fault| fault.what)
    }

    /// Gathers metrics.
    pub(crate) fn scrape(&mut self) {
        self.scrapes.swap(0, 1);
        let [last, _] = &mut self.scrapes;
        last.at = self.now;
        last.hosts.clear();
        last.hosts
            .extend(self.hosts.iter().map(|host| host.running));
        last.pools.clear();
        for pool in &self.pools {
            last.pools
                .push((pool.waiting.len() as u32, pool.running, 0));
        }
        for (pool, at) in self.world.pools.iter().zip(0..) {
            let up = |server: &&u32| {
                let server = &self.servers[**server as usize];
                server.up.is_some() && !server.deleting
            };
            let servers = self.pools[at].servers.iter().filter(up).count() as u32;
            last.pools[at].2 =
                pool.permanent_hosts * pool.permanent_slots + servers * pool.server_slots;
        }
    }
}

/// The first pool that takes jobs with these tags.
pub(crate) fn pool_of(pools: &[Pool], tags: &str) -> u16 {
    let at = pools.iter().position(|pool| pool.matches(tags));
    at.map_or(ELSEWHERE, |at| at as u16)
}
