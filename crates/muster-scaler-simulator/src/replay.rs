//! Recorded days: whether each decision comes out the same again, and what other settings would have
//! done with the same jobs.
//!
//! A record holds the jobs that were seen, not those that were there: a job that began and ended
//! between two looks is known by what GitLab said of its end, and one that was cut off by the end of
//! the record is as long as it was seen. Without GitLab's pipelines only numbers of jobs are known; the
//! load is then made of those: each rise is jobs that arrive, each fall the oldest of them that end.

use std::collections::{BTreeMap, VecDeque};

use muster_scaler_core::{
    Config, Decision, Job as SeenJob, JobState, Ledger, Observation, Pipeline as SeenPipeline,
    Time, decide,
};
use serde::Serialize;

use crate::load::{Job, Load, Pipeline};
use crate::table::MOST_JOBS;
use crate::world::{Pool, World};

/// So many differing decisions are named.
const MOST_NAMED: usize = 100;

/// Reads recorded decisions one after the other.
#[derive(Debug, Default)]
pub struct Replay {
    decisions: u64,
    differing: Vec<Time>,
    differ: u64,
    open: BTreeMap<u64, Open>,
    load: Load,
    jobs: usize,
    pools: Vec<Pool>,
    /// By pool: when jobs began that are not over, for records without pipelines.
    counted: BTreeMap<String, VecDeque<Time>>,
    by_number: bool,
}

/// A pipeline that is not over.
#[derive(Debug)]
struct Open {
    arrival: Time,
    project: u64,
    jobs: BTreeMap<u64, Track>,
    seen: Time,
}

/// A job as it was seen.
#[derive(Debug)]
struct Track {
    job: SeenJob,
    began: Option<Time>,
    millis: Option<i64>,
}

/// What records say.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Recorded {
    /// How many decisions there are.
    pub decisions: u64,
    /// How many come out differently now.
    pub differ: u64,
    /// When the first of those were made, at most 100.
    pub differing: Vec<Time>,
    /// The jobs.
    #[serde(skip)]
    pub load: Load,
    /// The world as far as the records show it: hosts, slots, boot times, prices.
    #[serde(skip)]
    pub world: World,
    /// Whether the jobs were derived from their numbers alone.
    pub by_number: bool,
}

impl Replay {
    /// Takes in the next decision with what it was made from.
    pub fn take(
        &mut self,
        config: &Config,
        ledger: &Ledger,
        observation: &Observation,
        decision: &Decision,
    ) {
        self.decisions += 1;
        if decide(config, observation, ledger, decision.at) != *decision {
            self.differ += 1;
            if self.differing.len() < MOST_NAMED {
                self.differing.push(decision.at);
            }
        }
        self.learn_pools(config, ledger, observation);
        let mut known = false;
        for seen in observation.pools.values() {
            let Some(pipelines) = seen.pipelines.value() else {
                continue;
            };
            known = true;
            for pipeline in pipelines {
                self.pipeline(pipeline, observation.at);
            }
        }
        if known {
            self.close(observation);
        } else if self.open.is_empty() && self.load.pipelines.is_empty() || self.by_number {
            self.numbers(observation);
        }
    }

    fn learn_pools(&mut self, config: &Config, ledger: &Ledger, observation: &Observation) {
        for pool in &config.pool {
            let at = match self.pools.iter().position(|known| known.name == pool.name) {
                Some(at) => at,
                None => {
                    self.pools.push(Pool {
                        name: pool.name.clone(),
                        match_tags: vec![pool.name.clone()],
                        run_untagged: false,
                        permanent_hosts: 0,
                        permanent_slots: 1,
                        ..Pool::default()
                    });
                    self.pools.len() - 1
                }
            };
            let known = &mut self.pools[at];
            known.server_slots = pool.slots_per_server;
            known.max_servers = pool.max_servers;
            let quantum = pool.billing_quantum.get().as_secs();
            known.quantum_seconds = u32::try_from(quantum.max(1)).unwrap_or(u32::MAX);
            if let Some(provider) = pool.provider.first() {
                known.price_per_hour = provider.common.price_per_hour;
            }
            let boots = ledger
                .memory
                .providers
                .iter()
                .filter(|(id, _)| id.pool == pool.name);
            if let Some(seconds) = boots
                .filter_map(|(_, p)| p.boot_seconds.percentile(50))
                .next()
            {
                known.boot_seconds = f64::from(seconds);
            }
            let hosts = observation
                .pools
                .get(&pool.name)
                .and_then(|seen| seen.hosts.value());
            let permanent = hosts
                .into_iter()
                .flatten()
                .filter(|host| host.server.is_none());
            let slots: Vec<u32> = permanent
                .filter_map(|host| host.slots.value().copied())
                .collect();
            if slots.len() as u32 > known.permanent_hosts {
                known.permanent_hosts = slots.len() as u32;
                known.permanent_slots = slots.iter().sum::<u32>().div_ceil(slots.len() as u32);
            }
        }
    }

    fn pipeline(&mut self, pipeline: &SeenPipeline, at: Time) {
        let open = self.open.entry(pipeline.id).or_insert_with(|| Open {
            arrival: at,
            project: pipeline.project,
            jobs: BTreeMap::new(),
            seen: at,
        });
        open.seen = at;
        for job in &pipeline.jobs {
            let since = match job.state {
                JobState::Running(since) => Some(since),
                JobState::Pending(since) => {
                    open.arrival = open.arrival.min(since);
                    None
                }
                JobState::Created => None,
            };
            match open.jobs.get_mut(&job.id) {
                Some(track) => track.began = track.began.or(since),
                None if self.jobs < MOST_JOBS => {
                    self.jobs += 1;
                    let track = Track {
                        job: job.clone(),
                        began: since,
                        millis: None,
                    };
                    open.jobs.insert(job.id, track);
                }
                None => {}
            }
        }
    }

    /// Notes which jobs are over: the pipelines of this observation do not have them any more.
    fn close(&mut self, observation: &Observation) {
        let at = observation.at;
        let mut there: BTreeMap<u64, &SeenPipeline> = BTreeMap::new();
        let pools = observation.pools.values();
        for pipeline in pools.filter_map(|seen| seen.pipelines.value()).flatten() {
            there.insert(pipeline.id, pipeline);
        }
        let mut ended: BTreeMap<(u64, &str), VecDeque<u32>> = BTreeMap::new();
        for run in &observation.ended {
            let runs = ended.entry((run.project, run.name.as_str())).or_default();
            runs.push_back(run.seconds);
        }
        let mut over = Vec::new();
        for (id, open) in &mut self.open {
            let pipeline = there.get(id);
            for (job, track) in &mut open.jobs {
                let is_there = pipeline.is_some_and(|p| p.jobs.iter().any(|seen| seen.id == *job));
                if is_there || track.millis.is_some() {
                    continue;
                }
                let told = ended.get_mut(&(open.project, track.job.name.as_str()));
                let told = told
                    .and_then(VecDeque::pop_front)
                    .map(|s| i64::from(s) * 1000);
                let seen = track.began.map(|began| at.millis() - began.millis());
                track.millis = Some(told.or(seen).unwrap_or(0));
            }
            if pipeline.is_none() {
                over.push(*id);
            }
        }
        for id in over {
            if let Some(open) = self.open.remove(&id) {
                self.keep(open, at);
            }
        }
    }

    fn keep(&mut self, open: Open, at: Time) {
        let places: BTreeMap<u64, u32> = open.jobs.keys().copied().zip(0..).collect();
        let mut jobs = Vec::new();
        for track in open.jobs.into_values() {
            let began = track.began.map_or(0, |began| at.millis() - began.millis());
            let millis = track.millis.unwrap_or(began);
            let tags = track.job.pool.unwrap_or_default();
            let needs = track.job.needs.map(|needs| {
                let own = places.get(&track.job.id).copied().unwrap_or(0);
                let known = needs.iter().filter_map(|need| places.get(need).copied());
                known.filter(|need| *need < own).collect()
            });
            jobs.push(Job {
                name: self.load.names.position(&track.job.name),
                tags: self.load.tags.position(&tags),
                stage: u16::try_from(track.job.stage).unwrap_or(u16::MAX),
                millis: u32::try_from(millis.max(0)).unwrap_or(u32::MAX),
                needs,
            });
        }
        // Needs are positions, which a sort would change; without any, stages decide.
        if jobs.iter().all(|job| job.needs.is_none()) {
            jobs.sort_by_key(|job| job.stage);
        }
        self.load.pipelines.push(Pipeline {
            arrival: open.arrival,
            project: u32::try_from(open.project).unwrap_or(u32::MAX),
            name: String::new(),
            jobs,
        });
    }

    /// Takes jobs from their numbers.
    fn numbers(&mut self, observation: &Observation) {
        let at = observation.at;
        for (name, seen) in &observation.pools {
            let Some(jobs) = seen.jobs.value() else {
                continue;
            };
            self.by_number = true;
            let counted = self.counted.entry(name.clone()).or_default();
            let now = (jobs.pending + jobs.running) as usize;
            while counted.len() < now && self.jobs < MOST_JOBS {
                self.jobs += 1;
                counted.push_back(at);
            }
            while counted.len() > now {
                if let Some(began) = counted.pop_front() {
                    let job = single(&mut self.load, name, began, at);
                    self.load.pipelines.push(job);
                }
            }
        }
    }

    /// What was read.
    pub fn finish(mut self) -> Recorded {
        for open in std::mem::take(&mut self.open).into_values() {
            let seen = open.seen;
            self.keep(open, seen);
        }
        self.load.pipelines.sort_by_key(|pipeline| pipeline.arrival);
        Recorded {
            decisions: self.decisions,
            differ: self.differ,
            differing: self.differing,
            load: self.load,
            world: World {
                pools: self.pools,
                ..World::default()
            },
            by_number: self.by_number,
        }
    }
}

/// A job that is all of its pipeline.
fn single(load: &mut Load, pool: &str, began: Time, ended: Time) -> Pipeline {
    let millis = ended.millis() - began.millis();
    Pipeline {
        arrival: began,
        project: 0,
        name: String::new(),
        jobs: vec![Job {
            name: load.names.position("job"),
            tags: load.tags.position(pool),
            stage: 0,
            millis: u32::try_from(millis.max(0)).unwrap_or(u32::MAX),
            needs: None,
        }],
    }
}
