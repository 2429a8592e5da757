//! A GitLab in memory: runner objects, jobs that servers take, and lost answers.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering::Relaxed};
use std::time::Duration;

use async_trait::async_trait;
use muster_options::Secret;
use muster_scaler_core::provider::{ListedServer, Phase, label};
use muster_scaler_core::{
    Host, Jobs, Ledger, PoolObservation, Reading, RunnerView, ServerName, Time,
};
use parking_lot::Mutex;

use crate::clock::Moment;
use crate::observer::{Observe, Seen};
use crate::runners::{MakeAnswer, OwnedRunner, RunnerListing, RunnerSpec, Runners, RunnersError};

/// How likely each misbehaviour is with a call, in percent.
const LIKELY: u32 = 8;

/// Runner objects, jobs, and a will to misbehave.
#[derive(Debug)]
pub struct ModelGitlab {
    now: Arc<AtomicI64>,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    rng: fastrand::Rng,
    calm: bool,
    made: u64,
    /// The object that was made last under a name: a server has its token, and works while it is there.
    tokens: BTreeMap<ServerName, u64>,
    runners: BTreeMap<u64, Object>,
    pending: u32,
    killed: u32,
    done: u32,
    /// Requests that were to change something.
    changes: u32,
    /// The slots of a server.
    slots: usize,
}

#[derive(Clone, Debug)]
struct Object {
    name: ServerName,
    owner: String,
    paused: bool,
    joined: bool,
    /// When the jobs of its server end.
    jobs: Vec<Time>,
}

impl ModelGitlab {
    /// A GitLab without runners by this clock.
    pub fn new(now: Arc<AtomicI64>, seed: u64, slots: usize) -> Arc<Self> {
        let state = State {
            rng: fastrand::Rng::with_seed(seed),
            calm: false,
            made: 0,
            tokens: BTreeMap::new(),
            runners: BTreeMap::new(),
            pending: 0,
            killed: 0,
            done: 0,
            changes: 0,
            slots,
        };
        let state = Mutex::new(state);
        Arc::new(Self { now, state })
    }

    fn now(&self) -> Time {
        Time::from_millis(self.now.load(Relaxed))
    }

    /// Everything works from now on, or not.
    pub fn set_calm(&self, calm: bool) {
        self.state.lock().calm = calm;
    }

    /// So many more jobs wait.
    pub fn add_jobs(&self, jobs: u32) {
        self.state.lock().pending += jobs;
    }

    /// No job waits any more.
    pub fn clear(&self) {
        self.state.lock().pending = 0;
    }

    /// Time passes: servers that run join and take jobs, jobs end, and jobs of servers that are no
    /// more are killed.
    pub fn pass(&self, servers: &[ListedServer]) {
        let now = self.now();
        let mut state = self.state.lock();
        let active = |server: &&ListedServer| server.phase == Phase::Active;
        let names = servers.iter().filter(active);
        let up: BTreeSet<&str> = names.filter_map(|s| s.label(label::NAME)).collect();
        let State {
            rng,
            tokens,
            runners,
            pending,
            killed,
            done,
            slots,
            ..
        } = &mut *state;
        for (id, object) in runners.iter_mut() {
            let before = object.jobs.len();
            object.jobs.retain(|end| *end > now);
            *done += u32::try_from(before - object.jobs.len()).unwrap_or_default();
            if !up.contains(object.name.0.as_str()) || tokens.get(&object.name) != Some(id) {
                *killed += u32::try_from(object.jobs.len()).unwrap_or_default();
                object.jobs.clear();
                continue;
            }
            object.joined = true;
            while !object.paused && object.jobs.len() < *slots && *pending > 0 {
                *pending -= 1;
                object
                    .jobs
                    .push(now + Duration::from_secs(rng.u64(20..120)));
            }
        }
    }

    /// How many jobs were killed, and how many were done.
    pub fn ended(&self) -> (u32, u32) {
        let state = self.state.lock();
        (state.killed, state.done)
    }

    /// How many requests were to change something.
    pub fn changes(&self) -> u32 {
        self.state.lock().changes
    }

    /// All runner objects.
    pub fn objects(&self) -> Vec<OwnedRunner> {
        let state = self.state.lock();
        state.runners.iter().map(shown).collect()
    }

    fn fails(&self) -> bool {
        let mut state = self.state.lock();
        !state.calm && state.rng.u32(0..100) < LIKELY
    }

    fn ask(&self) -> Result<(), RunnersError> {
        match self.fails() {
            true => Err(RunnersError("ask GitLab: 503".to_owned())),
            false => Ok(()),
        }
    }

    fn set_paused(&self, runner: u64, paused: bool) -> Result<(), RunnersError> {
        self.state.lock().changes += 1;
        self.ask()?;
        match self.state.lock().runners.get_mut(&runner) {
            Some(object) => object.paused = paused,
            None => return Err(RunnersError("404".to_owned())),
        }
        self.ask()
    }
}

fn shown((id, object): (&u64, &Object)) -> OwnedRunner {
    OwnedRunner {
        id: *id,
        name: object.name.clone(),
        paused: object.paused,
    }
}

#[async_trait]
impl Runners for ModelGitlab {
    async fn make_runner(&self, spec: &RunnerSpec) -> MakeAnswer {
        self.state.lock().changes += 1;
        if self.fails() {
            return MakeAnswer::Refused("503".to_owned());
        }
        let id = {
            let mut state = self.state.lock();
            state.made += 1;
            let id = state.made;
            let object = Object {
                name: spec.name.clone(),
                owner: spec.owner.clone(),
                paused: false,
                joined: false,
                jobs: Vec::new(),
            };
            state.runners.insert(id, object);
            state.tokens.insert(spec.name.clone(), id);
            id
        };
        if self.fails() {
            return MakeAnswer::Unknown("the answer was lost".to_owned());
        }
        let token = Secret::new(format!("glrt-verysecret-{id}"));
        MakeAnswer::Made { id, token }
    }

    async fn pause(&self, runner: u64) -> Result<(), RunnersError> {
        self.set_paused(runner, true)
    }

    async fn unpause(&self, runner: u64) -> Result<(), RunnersError> {
        self.set_paused(runner, false)
    }

    async fn delete(&self, runner: u64) -> Result<(), RunnersError> {
        self.state.lock().changes += 1;
        self.ask()?;
        {
            let mut state = self.state.lock();
            let removed = state.runners.remove(&runner);
            let jobs = removed.map_or(0, |object| object.jobs.len());
            state.killed += u32::try_from(jobs).unwrap_or_default();
        }
        self.ask()
    }

    async fn view(&self, runner: u64) -> Result<Option<OwnedRunner>, RunnersError> {
        self.ask()?;
        let state = self.state.lock();
        Ok(state.runners.get_key_value(&runner).map(shown))
    }

    async fn exists(&self, runner: u64) -> Result<bool, RunnersError> {
        self.ask()?;
        Ok(self.state.lock().runners.contains_key(&runner))
    }

    async fn list_owned(&self, owner: &str) -> Result<RunnerListing, RunnersError> {
        self.ask()?;
        let complete = !self.fails();
        let state = self.state.lock();
        let ours = state.runners.iter().filter(|(_, o)| o.owner == owner);
        let mut runners: Vec<_> = ours.map(shown).collect();
        if !complete {
            runners.truncate(runners.len() / 2);
        }
        Ok(RunnerListing { runners, complete })
    }
}

#[async_trait]
impl Observe for ModelGitlab {
    async fn observe(&self, moment: Moment, _: &Ledger) -> Seen {
        let now = moment.time;
        if self.fails() {
            return Seen::nothing("nobody answers");
        }
        let state = self.state.lock();
        let mut views = BTreeMap::new();
        let mut hosts = Vec::new();
        let mut running = 0;
        for (id, object) in &state.runners {
            let jobs = u32::try_from(object.jobs.len()).unwrap_or_default();
            running += jobs;
            let view = RunnerView {
                runner: *id,
                joined: Reading::known(object.joined, now),
                paused: Reading::known(object.paused, now),
                running: Reading::known(jobs, now),
            };
            views.insert(object.name.clone(), view);
            if object.joined {
                hosts.push(Host {
                    instance: object.name.0.clone(),
                    server: Some(object.name.clone()),
                    up: Reading::known(true, now),
                    slots: Reading::known(u32::try_from(state.slots).unwrap_or_default(), now),
                    running: Reading::known(jobs, now),
                    cpu_pressure: Reading::unknown("not watched"),
                    memory_stall: Reading::unknown("not watched"),
                    request_bound: Reading::unknown("not watched"),
                    runner: Some(*id),
                    paused: Reading::known(object.paused, now),
                });
            }
        }
        let jobs = Jobs {
            pending: state.pending,
            running,
            oldest_wait: Duration::ZERO,
        };
        let pool = PoolObservation {
            hosts: Reading::known(hosts, now),
            jobs: Reading::known(jobs, now),
            pipelines: Reading::unknown("not looked at"),
            wait_p95: Reading::unknown("not looked at"),
        };
        Seen {
            pools: BTreeMap::from([("p".to_owned(), pool)]),
            runners: Reading::known(views, now),
            ended: Vec::new(),
        }
    }
}
