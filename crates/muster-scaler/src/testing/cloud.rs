//! A provider in memory with all the misbehaviour that real ones were seen to have.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering::Relaxed};

use async_trait::async_trait;
use muster_scaler_core::Time;
use muster_scaler_core::provider::{
    CreateAnswer, DeleteAnswer, DescribeAnswer, Limits, ListedServer, Listing, Phase, Provider,
    ProviderError, Refusal, ServerSpec,
};
use parking_lot::Mutex;

use super::trial::Ground;

/// How likely each misbehaviour is with a call, in percent.
const LIKELY: u32 = 8;

/// Servers that exist, and a will to misbehave. Names are not unique; a listing may be late or
/// partial; the quota is not kept to the letter; answers get lost before and after the effect.
#[derive(Debug)]
pub struct ModelCloud {
    now: Arc<AtomicI64>,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    rng: fastrand::Rng,
    calm: bool,
    made: u64,
    quota: usize,
    machines: Vec<Machine>,
}

#[derive(Clone, Debug)]
struct Machine {
    shown: ListedServer,
    /// Listings before do not have it.
    visible: Time,
    /// It runs from then on.
    active: Time,
    /// It will never run.
    fails: bool,
    /// It is gone from then on.
    gone: Option<Time>,
}

impl ModelCloud {
    /// An empty cloud by this clock.
    pub fn new(now: Arc<AtomicI64>, seed: u64) -> Arc<Self> {
        let state = State {
            rng: fastrand::Rng::with_seed(seed),
            calm: false,
            made: 0,
            quota: 12,
            machines: Vec::new(),
        };
        let state = Mutex::new(state);
        Arc::new(Self { now, state })
    }

    fn now(&self) -> Time {
        Time::from_millis(self.now.load(Relaxed))
    }

    fn with<T>(&self, work: impl FnOnce(&mut State, Time) -> T) -> T {
        let mut state = self.state.lock();
        let now = self.now();
        state.pass(now);
        work(&mut state, now)
    }
}

impl State {
    /// Whether something goes wrong now.
    fn wrong(&mut self) -> bool {
        !self.calm && self.rng.u32(0..100) < LIKELY
    }

    /// Time passes for all machines.
    fn pass(&mut self, now: Time) {
        self.machines
            .retain(|m| m.gone.is_none_or(|gone| now < gone));
        for machine in &mut self.machines {
            if machine.shown.phase == Phase::Building && now >= machine.active {
                machine.shown.phase = match machine.fails {
                    true => Phase::Error("no valid host was found".to_owned()),
                    false => Phase::Active,
                };
            }
        }
    }

    fn make(&mut self, spec: &ServerSpec, now: Time) -> String {
        self.made += 1;
        let id = format!("id-{}", self.made);
        let seconds = std::time::Duration::from_secs;
        let boots = seconds(self.rng.u64(10..60));
        let fails = self.wrong();
        let late = if self.wrong() {
            seconds(20)
        } else {
            seconds(0)
        };
        self.machines.push(Machine {
            shown: ListedServer {
                id: id.clone(),
                name: spec.name.0.clone(),
                labels: spec.labels.clone(),
                phase: Phase::Building,
                address: None,
                created: Some(now),
            },
            visible: now + late,
            active: now + boots,
            fails,
            gone: None,
        });
        id
    }
}

#[async_trait]
impl Provider for ModelCloud {
    fn kind(&self) -> &'static str {
        "model"
    }

    async fn list_owned(&self, _: &str) -> Result<Listing, ProviderError> {
        self.with(|state, now| {
            if state.wrong() {
                return Err(ProviderError("list servers: 503".to_owned()));
            }
            // It ignores the filter that it does not know, as Nova does.
            let seen = state.machines.iter().filter(|m| m.visible <= now);
            let mut servers: Vec<_> = seen.map(|m| m.shown.clone()).collect();
            let complete = !state.wrong();
            if !complete {
                servers.truncate(servers.len() / 2);
            }
            let began = now;
            Ok(Listing {
                servers,
                complete,
                began,
            })
        })
    }

    async fn create(&self, spec: &ServerSpec) -> CreateAnswer {
        let answer = self.with(|state, now| {
            if state.wrong() {
                return Some(CreateAnswer::Unknown("connection reset".to_owned()));
            }
            // The quota is looked at before and counted after: it is not exact.
            let slack = usize::from(state.wrong());
            if state.machines.len() >= state.quota + slack {
                let why = "quota exceeded for instances".to_owned();
                return Some(CreateAnswer::Refused(Refusal::Quota, why));
            }
            let id = state.make(spec, now);
            if state.wrong() {
                // One of both is late to be seen.
                state.make(spec, now);
            }
            if state.wrong() {
                return Some(CreateAnswer::Unknown("the answer was lost".to_owned()));
            }
            (!state.wrong()).then_some(CreateAnswer::Created(id))
        });
        match answer {
            Some(answer) => answer,
            // It never answers.
            None => std::future::pending().await,
        }
    }

    async fn delete(&self, id: &str, owner: &str) -> DeleteAnswer {
        self.with(|state, now| {
            if state.wrong() {
                return DeleteAnswer::Unknown("connection reset".to_owned());
            }
            if state.wrong() {
                return DeleteAnswer::Refused("409: the server is locked".to_owned());
            }
            let lost = state.wrong();
            let Some(machine) = state.machines.iter_mut().find(|m| m.shown.id == id) else {
                return DeleteAnswer::Gone;
            };
            if !machine.shown.belongs_to(owner) {
                return DeleteAnswer::Refused("it is not ours".to_owned());
            }
            machine.shown.phase = Phase::Deleting;
            machine.gone = Some(now + std::time::Duration::from_secs(5));
            if lost {
                return DeleteAnswer::Unknown("the answer was lost".to_owned());
            }
            DeleteAnswer::Accepted
        })
    }

    async fn describe(&self, id: &str) -> DescribeAnswer {
        self.with(|state, _| {
            if state.wrong() {
                return DescribeAnswer::Unknown("503".to_owned());
            }
            let found = state.machines.iter().find(|m| m.shown.id == id);
            match found {
                Some(machine) => DescribeAnswer::Found(machine.shown.clone()),
                None => DescribeAnswer::Gone,
            }
        })
    }

    async fn limits(&self) -> Result<Limits, ProviderError> {
        Ok(Limits::default())
    }
}

#[async_trait]
impl Ground for ModelCloud {
    fn provider(self: Arc<Self>) -> Arc<dyn Provider> {
        self
    }

    async fn servers(&self) -> Vec<ListedServer> {
        self.with(|state, _| state.machines.iter().map(|m| m.shown.clone()).collect())
    }

    async fn plant(
        &self,
        name: &str,
        labels: &std::collections::BTreeMap<String, String>,
    ) -> String {
        self.with(|state, now| {
            state.made += 1;
            state.quota += 1;
            let id = format!("id-{}", state.made);
            state.machines.push(Machine {
                shown: ListedServer {
                    id: id.clone(),
                    name: name.to_owned(),
                    labels: labels.clone(),
                    phase: Phase::Active,
                    address: None,
                    created: None,
                },
                visible: now,
                active: now,
                fails: false,
                gone: None,
            });
            id
        })
    }

    fn disturb(&self, _: &mut fastrand::Rng) {
        self.state.lock().calm = false;
    }

    fn calm(&self) {
        self.state.lock().calm = true;
    }
}
