//! Builds the observation, by changing the one before: what did not change is not built anew.

use std::collections::{BTreeMap, HashMap};
use std::mem;

use muster_scaler_core::provider::{ListedServer, Listing, Phase, label};
use muster_scaler_core::{
    Config, Host, Job, JobRun, JobState, Jobs, Observation, Pipeline, PoolObservation, ProviderId,
    Reading, RunnerView, ServerName, Time,
};

use super::hands::{Hands, id, runner};
use crate::policy::Desk;
use crate::state::{Change, ELSEWHERE, State};
use crate::world::FaultKind;

/// Providers are asked for their servers so often, in milliseconds.
const LISTING: i64 = 30_000;

pub(super) struct Eyes {
    observation: Observation,
    pools: Vec<PoolEyes>,
    ahead: bool,
    reduced: bool,
    scraped: i64,
    listed: i64,
    runners: BTreeMap<ServerName, RunnerView>,
}

struct PoolEyes {
    name: String,
    hosts: Vec<Host>,
    /// The world's numbers of the hosts.
    numbers: Vec<u32>,
    jobs: Jobs,
    jobs_at: Time,
    pipelines: Vec<Pipeline>,
    /// Where each pipeline stands.
    places: HashMap<u32, usize>,
    provider: ProviderId,
    servers: Vec<ListedServer>,
    listed: Vec<u32>,
}

impl Eyes {
    pub(super) fn new(config: &Config) -> Self {
        let pools = config.pool.iter().map(|pool| PoolEyes {
            name: pool.name.clone(),
            hosts: Vec::new(),
            numbers: Vec::new(),
            jobs: Jobs::default(),
            jobs_at: Time::default(),
            pipelines: Vec::new(),
            places: HashMap::new(),
            provider: ProviderId {
                pool: pool.name.clone(),
                at: 0,
            },
            servers: Vec::new(),
            listed: Vec::new(),
        });
        Self {
            pools: pools.collect(),
            ahead: config
                .gitlab
                .as_ref()
                .is_some_and(|gitlab| gitlab.lookahead),
            reduced: config.gitlab.is_none(),
            scraped: 0,
            listed: i64::MIN,
            runners: BTreeMap::new(),
            observation: Observation {
                at: Time::default(),
                pools: BTreeMap::new(),
                listings: BTreeMap::new(),
                runners: Reading::unknown("there is no token"),
                ended: Vec::new(),
                lease: Ok(()),
            },
        }
    }

    /// Whether there is no job in any pool.
    pub(super) fn sees_nothing(&self, desk: &Desk<'_, '_>) -> bool {
        let state = &desk.state;
        let quiet = state
            .pools
            .iter()
            .all(|pool| pool.waiting.is_empty() && pool.running == 0);
        quiet
            && self.observation.ended.is_empty()
            && self.scraped > 0
            && self.pools.iter().all(|pool| pool.pipelines.is_empty())
            && state.faults().next().is_none()
    }

    /// Takes in what has changed.
    pub(super) fn look(&mut self, desk: &Desk<'_, '_>, hands: &Hands) {
        let state = &*desk.state;
        for change in desk.changes() {
            self.change(state, *change);
        }
        let scrape = desk.scrape();
        let stale = state.faults().any(|fault| fault == FaultKind::StaleMetrics);
        if scrape.at > self.scraped && !stale {
            self.scraped = scrape.at;
            self.hosts(desk, hands);
        }
        if desk.now() - self.listed.max(0) >= LISTING {
            self.listed = desk.now();
            self.list(desk, hands);
        }
        if !self.reduced {
            self.gitlab(desk, hands);
        }
    }

    fn change(&mut self, state: &State<'_>, change: Change) {
        match change {
            Change::Arrived(number) if self.ahead => self.arrived(state, number),
            Change::Waits(job) if self.ahead => {
                let now = Time::from_millis(state.now);
                self.set(
                    state,
                    job,
                    JobState::Pending(since(state, job).unwrap_or(now)),
                );
            }
            Change::Runs(job) if self.ahead => {
                let now = Time::from_millis(state.now);
                self.set(
                    state,
                    job,
                    JobState::Running(since(state, job).unwrap_or(now)),
                );
            }
            Change::Over(job) => self.over(state, job),
            Change::Finished(number) if self.ahead => self.finished(number),
            _ => {}
        }
    }

    fn arrived(&mut self, state: &State<'_>, number: u32) {
        let spec = &state.load.pipelines[number as usize];
        let first = state.pipelines[number as usize].first;
        let id = |at: u32| u64::from(first + at) + 1;
        let jobs: Vec<Job> = (0..)
            .zip(&spec.jobs)
            .map(|(at, job)| {
                let pool = state.jobs[(first + at) as usize].pool;
                let needs = job.needs.as_ref();
                Job {
                    id: id(at),
                    name: state.load.names.word(job.name).to_owned(),
                    stage: u32::from(job.stage),
                    pool: self.pools.get(pool as usize).map(|pool| pool.name.clone()),
                    state: JobState::Created,
                    needs: needs.map(|needs| needs.iter().map(|need| id(*need)).collect()),
                }
            })
            .collect();
        for (pool, at) in self.pools.iter_mut().zip(0..) {
            let of_pool = |job: &u32| state.jobs[*job as usize].pool == at;
            if (first..first + jobs.len() as u32).any(|job| of_pool(&job)) {
                pool.places.insert(number, pool.pipelines.len());
                pool.pipelines.push(Pipeline {
                    id: u64::from(number) + 1,
                    project: u64::from(spec.project),
                    jobs: jobs.clone(),
                });
            }
        }
    }

    fn pipelines(&mut self, number: u32) -> impl Iterator<Item = &mut Pipeline> {
        self.pools.iter_mut().filter_map(move |pool| {
            let place = *pool.places.get(&number)?;
            pool.pipelines.get_mut(place)
        })
    }

    fn set(&mut self, state: &State<'_>, job: u32, to: JobState) {
        let id = u64::from(job) + 1;
        for pipeline in self.pipelines(state.jobs[job as usize].pipeline) {
            if let Ok(place) = pipeline.jobs.binary_search_by_key(&id, |job| job.id) {
                pipeline.jobs[place].state = to;
            }
        }
    }

    fn over(&mut self, state: &State<'_>, job: u32) {
        let run = &state.jobs[job as usize];
        let pipeline = &state.load.pipelines[run.pipeline as usize];
        if run.pool != ELSEWHERE && !self.reduced {
            let first = state.pipelines[run.pipeline as usize].first;
            let spec = &pipeline.jobs[(job - first) as usize];
            self.observation.ended.push(JobRun {
                project: u64::from(pipeline.project),
                name: state.load.names.word(spec.name).to_owned(),
                seconds: run.millis / 1000,
            });
        }
        if self.ahead {
            let id = u64::from(job) + 1;
            for pipeline in self.pipelines(run.pipeline) {
                if let Ok(place) = pipeline.jobs.binary_search_by_key(&id, |job| job.id) {
                    pipeline.jobs.remove(place);
                }
            }
        }
    }

    fn finished(&mut self, number: u32) {
        for pool in &mut self.pools {
            let Some(place) = pool.places.remove(&number) else {
                continue;
            };
            pool.pipelines.swap_remove(place);
            if let Some(moved) = pool.pipelines.get(place) {
                pool.places.insert((moved.id - 1) as u32, place);
            }
        }
    }

    /// What metrics say of the hosts, as they were gathered one interval ago.
    fn hosts(&mut self, desk: &Desk<'_, '_>, hands: &Hands) {
        let state = &*desk.state;
        let scrape = desk.scrape();
        let at = Time::from_millis(scrape.at);
        for (eyes, pool) in self.pools.iter_mut().zip(0u16..) {
            let gone = |number: u32| {
                let server = state.hosts[number as usize].server;
                server.is_some_and(|server| state.servers[server as usize].deleting)
            };
            let mut kept = eyes.numbers.iter().map(|number| !gone(*number));
            eyes.hosts.retain(|_| kept.next().unwrap_or(true));
            eyes.numbers.retain(|number| !gone(*number));
            if eyes.numbers.is_empty() {
                let permanent = |number: &u32| {
                    let host = &state.hosts[*number as usize];
                    host.pool == pool && host.server.is_none()
                };
                for number in (0..state.hosts.len() as u32).filter(permanent) {
                    eyes.numbers.push(number);
                    eyes.hosts.push(host(number, None, state, at));
                }
            }
            for (name, server) in hands.servers() {
                let there = &state.servers[server as usize];
                let up = there.up.is_some_and(|up| up <= scrape.at) && !there.deleting;
                if there.pool == pool && up && !eyes.numbers.contains(&there.host) {
                    eyes.numbers.push(there.host);
                    eyes.hosts.push(host(there.host, Some(name), state, at));
                }
            }
            for (host, number) in eyes.hosts.iter_mut().zip(&eyes.numbers) {
                let running = scrape.hosts.get(*number as usize).copied().unwrap_or(0);
                host.up = Reading::known(true, at);
                host.slots = Reading::known(state.hosts[*number as usize].slots, at);
                host.running = Reading::known(running, at);
            }
            let (waiting, running, _) =
                scrape.pools.get(pool as usize).copied().unwrap_or_default();
            if self.reduced {
                eyes.jobs_at = at;
                eyes.jobs = Jobs {
                    pending: waiting,
                    running,
                    ..Jobs::default()
                };
            }
        }
    }

    /// What providers list.
    fn list(&mut self, desk: &Desk<'_, '_>, hands: &Hands) {
        let state = &*desk.state;
        for (eyes, pool) in self.pools.iter_mut().zip(0u16..) {
            let gone = |server: &u32| state.servers[*server as usize].gone.is_some();
            let mut kept = eyes.listed.iter().map(|server| !gone(server));
            eyes.servers.retain(|_| kept.next().unwrap_or(true));
            eyes.listed.retain(|server| !gone(server));
            for server in &state.pools[pool as usize].servers {
                if !eyes.listed.contains(server)
                    && let Some(name) = hands.name(*server)
                {
                    eyes.listed.push(*server);
                    eyes.servers.push(listed(*server, name, &eyes.name));
                }
            }
        }
    }

    /// What GitLab says now.
    fn gitlab(&mut self, desk: &Desk<'_, '_>, hands: &Hands) {
        let state = &*desk.state;
        let now = Time::from_millis(state.now);
        for (eyes, pool) in self.pools.iter_mut().zip(0u16..) {
            let direct = desk.direct(pool);
            eyes.jobs_at = now;
            eyes.jobs = Jobs {
                pending: direct.waiting,
                running: state.pools[pool as usize].running,
                oldest_wait: std::time::Duration::from_millis(direct.oldest_wait as u64),
            };
        }
        self.runners.retain(|_, view| {
            let server = (view.runner - 1) as u32;
            hands.name(server).is_some()
        });
        for (name, server) in hands.servers() {
            let at = &state.servers[server as usize];
            if at.gone.is_some() {
                self.runners.remove(name);
                continue;
            }
            let host = &state.hosts[at.host as usize];
            let seen = RunnerView {
                runner: runner(server),
                joined: Reading::known(at.up.is_some(), now),
                paused: Reading::known(host.paused, now),
                running: Reading::known(host.running, now),
            };
            match self.runners.get_mut(name) {
                Some(view) => *view = seen,
                None => drop(self.runners.insert(name.clone(), seen)),
            }
        }
    }

    /// The observation of this moment, with what the faults leave of it. [`forget`](Self::forget)
    /// takes it back.
    pub(super) fn observe(
        &mut self,
        now: Time,
        faults: &[FaultKind],
        reduced: bool,
    ) -> &Observation {
        let blind =
            |fault: &FaultKind| matches!(fault, FaultKind::MetricsGap | FaultKind::EmptyMetrics);
        let no_metrics = faults.iter().any(blind);
        let no_gitlab = faults.contains(&FaultKind::GitlabDown);
        let scraped = Time::from_millis(self.scraped);
        let observation = &mut self.observation;
        observation.at = now;
        observation.runners = match (reduced, no_gitlab) {
            (true, _) => Reading::unknown("there is no token"),
            (_, true) => Reading::unknown("GitLab did not answer"),
            _ => Reading::known(mem::take(&mut self.runners), now),
        };
        for eyes in &mut self.pools {
            let no_jobs = if reduced { no_metrics } else { no_gitlab };
            let mut hosts = mem::take(&mut eyes.hosts);
            for fault in faults {
                spoil(&mut hosts, *fault);
            }
            let pool = PoolObservation {
                hosts: if no_metrics {
                    eyes.hosts = hosts;
                    Reading::unknown("Prometheus did not answer")
                } else {
                    Reading::known(hosts, scraped)
                },
                jobs: if no_jobs {
                    Reading::unknown("nobody answered")
                } else {
                    Reading::known(eyes.jobs.clone(), eyes.jobs_at)
                },
                pipelines: if no_gitlab || !self.ahead {
                    Reading::unknown("GitLab was not asked, or did not answer")
                } else {
                    Reading::known(mem::take(&mut eyes.pipelines), now)
                },
                wait_p95: Reading::unknown("not simulated"),
            };
            match observation.pools.get_mut(&eyes.name) {
                Some(place) => *place = pool,
                None => drop(observation.pools.insert(eyes.name.clone(), pool)),
            }
            let began = Time::from_millis(self.listed);
            let listing = Listing {
                servers: mem::take(&mut eyes.servers),
                complete: true,
                began,
            };
            let listing = Reading::known(listing, began);
            match observation.listings.get_mut(&eyes.provider) {
                Some(place) => *place = listing,
                None => drop(observation.listings.insert(eyes.provider.clone(), listing)),
            }
        }
        &self.observation
    }

    /// Takes the lists back, to be changed and used again.
    pub(super) fn forget(&mut self) {
        self.observation.ended.clear();
        if let Reading::Known { value, .. } = &mut self.observation.runners {
            self.runners = mem::take(value);
        }
        for eyes in &mut self.pools {
            if let Some(pool) = self.observation.pools.get_mut(&eyes.name) {
                if let Reading::Known { value, .. } = &mut pool.hosts {
                    eyes.hosts = mem::take(value);
                }
                if let Reading::Known { value, .. } = &mut pool.pipelines {
                    eyes.pipelines = mem::take(value);
                }
            }
            if let Some(Reading::Known { value, .. }) =
                self.observation.listings.get_mut(&eyes.provider)
            {
                eyes.servers = mem::take(&mut value.servers);
            }
        }
    }
}

/// Since when a job waits or runs.
fn since(state: &State<'_>, job: u32) -> Option<Time> {
    match state.jobs[job as usize].state {
        crate::state::JobState::Waits(at) | crate::state::JobState::Runs(at) => {
            Some(Time::from_millis(at))
        }
        _ => None,
    }
}

fn host(number: u32, server: Option<&ServerName>, state: &State<'_>, at: Time) -> Host {
    let instance = match server {
        Some(name) => format!("{name}:9252"),
        None => format!("permanent-{number}:9252"),
    };
    Host {
        instance,
        server: server.cloned(),
        up: Reading::known(true, at),
        slots: Reading::known(state.hosts[number as usize].slots, at),
        running: Reading::known(0, at),
        cpu_pressure: Reading::unknown("not simulated"),
        memory_stall: Reading::unknown("not simulated"),
        request_bound: Reading::known(false, at),
        runner: None,
        paused: Reading::unknown("it has no runner of its own"),
    }
}

/// What a fault leaves of what metrics say. The next time that they are gathered it is whole again.
fn spoil(hosts: &mut [Host], fault: FaultKind) {
    match fault {
        FaultKind::NotANumber => {
            for host in hosts {
                host.slots = Reading::unknown("not a number");
                host.running = Reading::unknown("not a number");
            }
        }
        FaultKind::DeadTargets(share) => {
            let dead = (hosts.len() as f64 * share).ceil() as usize;
            for host in hosts.iter_mut().take(dead) {
                if let Reading::Known { at, .. } = host.up {
                    host.up = Reading::known(false, at);
                }
                host.slots = Reading::unknown("the host was not scraped");
                host.running = Reading::unknown("the host was not scraped");
            }
        }
        _ => {}
    }
}

fn listed(server: u32, name: &ServerName, pool: &str) -> ListedServer {
    let labels = [
        (label::OWNER, "simulated".to_owned()),
        (label::POOL, pool.to_owned()),
        (label::NAME, name.0.clone()),
    ];
    ListedServer {
        id: id(server),
        name: name.0.clone(),
        labels: labels.map(|(key, value)| (key.to_owned(), value)).into(),
        phase: Phase::Active,
        address: None,
        created: None,
    }
}
