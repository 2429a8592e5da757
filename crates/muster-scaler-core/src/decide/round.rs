//! What one decision works with.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use foldhash::fast::FixedState;

use crate::config::{Config, Mode, PoolConfig, ProviderCommon};
use crate::decision::{Action, Alarm, Decision};
use crate::explanation::{
    Capacity, Demand, Explanation, GateResult, Health, Input, InputKind, Plan, PoolExplanation,
    ServerLine, Verdict,
};
use crate::memory::{HostMemory, PoolMemory, ProviderMemory};
use crate::provider::{ListedServer, Listing, label};
use crate::spend::Spent;
use crate::{
    Event, Happening, Host, Ledger, Observation, PoolObservation, ProviderId, Reading, RunnerView,
    Server, ServerName, ServerState, Time,
};

/// For looking things up, quicker than a map in order. Nothing goes through it: what is decided
/// must not hang on its order.
pub(super) type Index<K, V> = HashMap<K, V, FixedState>;

/// A decision in the making.
pub(super) struct Round<'a> {
    pub(super) config: &'a Config,
    pub(super) observation: &'a Observation,
    pub(super) ledger: &'a Ledger,
    pub(super) now: Time,
    pub(super) id: u64,
    /// Whether the mode lets intents into the ledger.
    acts: bool,
    pub(super) wanted: Vec<Action>,
    pub(super) alarms: Vec<Alarm>,
    /// What was taken over: names and the provider's IDs.
    pub(super) adopted: Vec<(ServerName, &'a str)>,
    events: Vec<Event>,
}

impl<'a> Round<'a> {
    pub(super) fn new(
        config: &'a Config,
        observation: &'a Observation,
        ledger: &'a Ledger,
        now: Time,
    ) -> Self {
        Self {
            config,
            observation,
            ledger,
            now,
            id: ledger.decisions.saturating_add(1),
            acts: config.mode == Mode::On && observation.lease.is_ok(),
            wanted: Vec::new(),
            alarms: Vec::new(),
            adopted: Vec::new(),
            events: Vec::new(),
        }
    }

    /// Something that is so, whatever is decided.
    pub(super) fn fact(&mut self, event: Event) {
        self.events.push(event);
    }

    /// Something that was decided: it becomes so only where the scaler acts.
    pub(super) fn intent(&mut self, event: Event) {
        if self.acts {
            self.events.push(event);
        }
    }

    /// Whether intents become real: the mode is `on` and the lease is ours.
    pub(super) const fn may_intend(&self) -> bool {
        self.acts
    }

    pub(super) fn alarm(&mut self, code: &str, pool: Option<&str>, text: String) {
        self.alarms.push(Alarm {
            code: code.to_owned(),
            pool: pool.map(str::to_owned),
            text,
        });
    }

    pub(super) fn learn(&mut self) {
        if !self.observation.ended.is_empty() {
            let runs = self.observation.ended.clone();
            self.fact(Event::JobsRan { at: self.now, runs });
        }
    }

    /// Samples of metrics that are older count as unknown.
    pub(super) fn metrics_age(&self) -> Duration {
        self.config.prometheus.max_age.get()
    }

    /// What GitLab said that is older counts as unknown.
    pub(super) fn gitlab_age(&self) -> Duration {
        let poll = self.config.gitlab.as_ref().map(|g| g.poll.get());
        self.metrics_age()
            .max(poll.unwrap_or_default().saturating_mul(3))
    }

    /// Whether there is no GitLab to ask.
    pub(super) fn is_reduced(&self) -> bool {
        self.config.gitlab.is_none()
    }

    pub(super) fn fresh<'r, T>(&self, reading: &'r Reading<T>) -> Option<&'r T> {
        reading.recent(self.now, self.metrics_age())
    }

    pub(super) fn metric<T: Copy>(&self, reading: &Reading<T>) -> Option<T> {
        self.fresh(reading).copied()
    }

    pub(super) fn gitlab<'r, T>(&self, reading: &'r Reading<T>) -> Option<&'r T> {
        reading.recent(self.now, self.gitlab_age())
    }

    /// Servers of pools that the configuration has no more: nobody can reach their provider.
    pub(super) fn unconfigured_pools(&mut self) {
        let known = |name: &str| self.config.pool.iter().any(|pool| pool.name == name);
        let mut lost: BTreeMap<&str, u32> = BTreeMap::new();
        for server in self.ledger.servers.values() {
            if !known(&server.pool) {
                *lost.entry(&server.pool).or_default() += 1;
            }
        }
        for (pool, count) in lost {
            let text = format!(
                "{count} servers of the pool \"{pool}\", which is not configured: configure it with \
                 max_servers = 0 until they are gone"
            );
            self.alarm("pool_missing", Some(pool), text);
        }
    }

    pub(super) fn finish(mut self, pools: Vec<PoolExplanation>) -> Decision {
        let decides = matches!(self.config.mode, Mode::DryRun | Mode::On);
        if !decides || self.observation.lease.is_err() {
            self.wanted.clear();
        }
        if self.observation.lease.is_err() {
            self.events.clear();
        } else {
            self.events.push(Event::Decided(self.id));
        }
        Decision {
            id: self.id,
            at: self.now,
            mode: self.config.mode,
            events: self.events,
            actions: if self.acts {
                self.wanted.clone()
            } else {
                Vec::new()
            },
            wanted: self.wanted,
            alarms: self.alarms,
            explanation: Explanation { pools },
        }
    }
}

/// One of our servers, with what was seen of it.
pub(super) struct Member<'a> {
    /// As in the ledger, or changed by this decision.
    pub(super) server: Cow<'a, Server>,
    pub(super) view: Look<'a>,
    pub(super) host: Option<&'a Host>,
    pub(super) listed: Option<&'a ListedServer>,
    pub(super) verdict: Verdict,
    /// Jobs that it runs, if that is known.
    pub(super) running: Option<u32>,
    /// Whether something was decided about it that does not become so, as the scaler does not act: what
    /// follows from that does not become so either.
    pub(super) is_supposed: bool,
}

/// What GitLab says of a server's runner.
#[derive(Clone, Copy)]
pub(super) enum Look<'a> {
    /// There is no GitLab to ask.
    Reduced,
    /// GitLab did not answer.
    Silent,
    /// GitLab has no runner object for it.
    Missing,
    View(&'a RunnerView),
}

/// A permanent host with what is remembered of it.
pub(super) struct Permanent<'a> {
    pub(super) host: &'a Host,
    pub(super) memory: HostMemory,
}

/// The decision for one pool in the making.
pub(super) struct PoolRound<'a> {
    pub(super) config: &'a PoolConfig,
    pub(super) seen: Option<&'a PoolObservation>,
    pub(super) memory: Option<&'a PoolMemory>,
    pub(super) members: Vec<Member<'a>>,
    pub(super) permanent: Vec<Permanent<'a>>,
    /// Remembered hosts that were not seen.
    pub(super) missing: Vec<&'a HostMemory>,
    /// Whether the metrics show the permanent hosts.
    pub(super) sees_hosts: bool,
    pub(super) inputs: Vec<Input>,
    pub(super) health: Health,
    pub(super) capacity: Capacity,
    pub(super) demand: Demand,
    pub(super) plan: Plan,
    pub(super) spent: Spent,
    pub(super) gates: Vec<GateResult>,
    /// Deletions that may still begin.
    pub(super) deletes_left: u32,
    /// Deletions that had to wait.
    pub(super) deletes_asked: u32,
}

impl<'a> PoolRound<'a> {
    pub(super) fn new(round: &Round<'a>, config: &'a PoolConfig) -> Self {
        let seen = round.observation.pools.get(&config.name);
        let memory = round.ledger.memory.pools.get(&config.name);
        let mut pool = Self {
            config,
            seen,
            memory,
            members: Vec::new(),
            permanent: Vec::new(),
            missing: Vec::new(),
            sees_hosts: false,
            inputs: Vec::new(),
            health: Health::default(),
            capacity: Capacity::default(),
            demand: Demand::default(),
            plan: Plan::default(),
            spent: Spent::default(),
            gates: Vec::new(),
            deletes_left: 0,
            deletes_asked: 0,
        };
        pool.gather(round);
        pool
    }

    /// Brings together what the ledger, GitLab, the metrics and the providers have of each server.
    fn gather(&mut self, round: &Round<'a>) {
        let ours = |server: &&Server| server.pool == self.config.name;
        let servers = round.ledger.servers.values().filter(ours);
        let hosts = self.hosts_of_ours();
        let listed = Listed::new(round, self);
        self.members = servers
            .map(|server| Member {
                server: Cow::Borrowed(server),
                view: look(round, server),
                host: hosts.get(&server.name).copied(),
                listed: listed.find(server),
                verdict: Verdict::Coming,
                running: None,
                is_supposed: false,
            })
            .collect();
        for member in &mut self.members {
            member.running = member.running(round);
        }
    }

    pub(super) fn hosts_of_ours(&self) -> Index<&'a ServerName, &'a Host> {
        let hosts = self.seen.and_then(|seen| seen.hosts.value());
        hosts
            .into_iter()
            .flatten()
            .filter_map(|host| Some((host.server.as_ref()?, host)))
            .collect()
    }

    /// What its providers listed, by their position.
    pub(super) fn listings(
        &self,
        round: &Round<'a>,
    ) -> impl Iterator<Item = (usize, &'a Listing)> + use<'a, '_> {
        let observation = round.observation;
        (0..self.config.provider.len()).filter_map(move |at| {
            let listing = observation.listings.get(&self.provider_id(at))?;
            Some((at, listing.value()?))
        })
    }

    pub(super) fn provider_id(&self, at: usize) -> ProviderId {
        ProviderId {
            pool: self.config.name.clone(),
            at,
        }
    }

    pub(super) fn provider_of(&self, server: &Server) -> Option<&'a ProviderCommon> {
        let provider = self.config.provider.get(server.provider.at)?;
        Some(&provider.common)
    }

    pub(super) fn provider_memory(
        &self,
        round: &Round<'a>,
        at: usize,
    ) -> Option<&'a ProviderMemory> {
        round.ledger.memory.providers.get(&self.provider_id(at))
    }

    /// A fact about a server.
    pub(super) fn fact(&mut self, round: &mut Round<'a>, at: usize, what: Happening) -> bool {
        let note = match self.members[at].is_supposed {
            true => Round::intent,
            false => Round::fact,
        };
        self.happens(round, at, what, note)
    }

    /// Something decided about a server. The decision goes on as if it had become so.
    pub(super) fn intent(&mut self, round: &mut Round<'a>, at: usize, what: Happening) -> bool {
        let fits = self.happens(round, at, what, Round::intent);
        self.members[at].is_supposed |= fits && !round.may_intend();
        fits
    }

    fn happens(
        &mut self,
        round: &mut Round<'a>,
        at: usize,
        what: Happening,
        note: fn(&mut Round<'a>, Event),
    ) -> bool {
        let server = &mut self.members[at].server;
        match server.to_mut().happens(round.now, &what) {
            Ok(()) => {
                let event = Event::server(&server.name, round.now, what);
                note(round, event);
                true
            }
            Err(misfit) => {
                let text = format!("a decision did not fit the ledger: {misfit}");
                round.alarm("misfit", Some(&self.config.name), text);
                false
            }
        }
    }

    pub(super) fn in_state(&self, state: ServerState) -> usize {
        self.members
            .iter()
            .filter(|member| member.server.state == state)
            .count()
    }

    pub(super) fn explain(mut self, round: &Round<'a>) -> PoolExplanation {
        self.list_inputs(round);
        let line = |member: &Member<'_>| ServerLine {
            name: member.server.name.clone(),
            state: member.server.state,
            running: member.running,
            verdict: member.verdict,
        };
        PoolExplanation {
            pool: self.config.name.clone(),
            servers: self.members.iter().map(line).collect(),
            inputs: self.inputs,
            health: self.health,
            capacity: self.capacity,
            demand: self.demand,
            plan: self.plan,
            spent: self.spent,
            gates: self.gates,
        }
    }

    fn list_inputs(&mut self, round: &Round<'a>) {
        let now = round.now;
        let mut inputs = Vec::with_capacity(6 + self.config.provider.len());
        if let Some(seen) = self.seen {
            let count = |n: usize| Some(n as f64);
            inputs.push(input(InputKind::Hosts, &seen.hosts, now, |h| {
                count(h.len())
            }));
            inputs.push(input(InputKind::Pending, &seen.jobs, now, |j| {
                Some(f64::from(j.pending))
            }));
            inputs.push(input(InputKind::Running, &seen.jobs, now, |j| {
                Some(f64::from(j.running))
            }));
            inputs.push(input(InputKind::Pipelines, &seen.pipelines, now, |p| {
                count(p.len())
            }));
            inputs.push(input(InputKind::WaitP95, &seen.wait_p95, now, |w| {
                Some(w.as_secs_f64())
            }));
        }
        let runners = &round.observation.runners;
        inputs.push(input(InputKind::Runners, runners, now, |r| {
            Some(r.len() as f64)
        }));
        for at in 0..self.config.provider.len() {
            if let Some(listing) = round.observation.listings.get(&self.provider_id(at)) {
                let kind = InputKind::Listed(at);
                inputs.push(input(kind, listing, now, |l| Some(l.servers.len() as f64)));
            }
        }
        self.inputs = inputs;
    }
}

fn input<T>(
    what: InputKind,
    reading: &Reading<T>,
    now: Time,
    value: impl FnOnce(&T) -> Option<f64>,
) -> Input {
    let age = reading.age(now);
    Input {
        what,
        value: reading.value().and_then(value),
        age_millis: age.map(|age| u64::try_from(age.as_millis()).unwrap_or(u64::MAX)),
        why: match reading {
            Reading::Known { .. } => None,
            Reading::Unknown { why } => Some(why.clone()),
        },
    }
}

/// GitLab may not have shown a runner object yet that is younger than this.
const VISIBLE: Duration = Duration::from_secs(60);

pub(super) fn look<'a>(round: &Round<'a>, server: &Server) -> Look<'a> {
    if round.is_reduced() {
        return Look::Reduced;
    }
    let runners = &round.observation.runners;
    let Some(views) = round.gitlab(runners) else {
        return Look::Silent;
    };
    // Another object of its name, whose making was not answered, says nothing of a server that was made.
    let is_its = |view: &&RunnerView| {
        server.was_adopted() || server.runner.is_none_or(|own| own == view.runner)
    };
    match (views.get(server.runner_name()).filter(is_its), runners) {
        (Some(view), _) => Look::View(view),
        (None, Reading::Known { at, .. }) if at.since(server.since) > VISIBLE => Look::Missing,
        _ => Look::Silent,
    }
}

impl Member<'_> {
    /// How many jobs it runs. GitLab is the arbiter; metrics may only add to what it says.
    pub(super) fn running(&self, round: &Round<'_>) -> Option<u32> {
        let metrics = self.host.and_then(|host| round.metric(&host.running));
        match self.view {
            Look::Reduced => metrics,
            Look::Missing => Some(metrics.unwrap_or(0)),
            Look::Silent => metrics.filter(|running| *running > 0),
            Look::View(view) => match round.gitlab(&view.running) {
                Some(running) => Some((*running).max(metrics.unwrap_or(0))),
                None => metrics.filter(|running| *running > 0),
            },
        }
    }

    /// Whether it has joined; none: nobody who could tell was heard.
    pub(super) fn has_joined(&self, round: &Round<'_>, hosts_known: bool) -> Option<bool> {
        if self.is_up(round) == Some(true) {
            return Some(true);
        }
        match self.view {
            Look::Reduced => hosts_known.then_some(false),
            Look::Silent => None,
            Look::Missing => Some(false),
            Look::View(view) => round.gitlab(&view.joined).copied(),
        }
    }

    pub(super) fn is_up(&self, round: &Round<'_>) -> Option<bool> {
        self.host.and_then(|host| round.metric(&host.up))
    }
}

/// Owned servers in the listings of a pool's providers, by the provider's position.
pub(super) struct Listed<'a> {
    by_id: Index<(usize, &'a str), &'a ListedServer>,
    by_name: Index<(usize, &'a str), &'a ListedServer>,
}

impl<'a> Listed<'a> {
    fn new(round: &Round<'a>, pool: &PoolRound<'a>) -> Self {
        let mut all = Self {
            by_id: Index::default(),
            by_name: Index::default(),
        };
        for (at, listing) in pool.listings(round) {
            for server in listing.owned(&round.config.owner) {
                all.by_id.insert((at, &server.id), server);
                if let Some(name) = server.label(label::NAME) {
                    all.by_name.entry((at, name)).or_insert(server);
                }
            }
        }
        all
    }

    fn find(&self, server: &Server) -> Option<&'a ListedServer> {
        let at = server.provider.at;
        let found = match &server.provider_id {
            Some(id) => self.by_id.get(&(at, id.as_str())),
            None => self.by_name.get(&(at, server.name.0.as_str())),
        };
        found.copied()
    }
}
