//! A random world: jobs, hosts, a GitLab and a provider that misbehave, and a reconciler that
//! carries out what was decided, is killed now and then, and loses answers.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use fastrand::Rng;
use muster_scaler_core::config::Config;
use muster_scaler_core::provider::{ListedServer, Listing, Phase, Refusal, label};
use muster_scaler_core::{
    Action, Decision, Event, Happening, Host, Jobs, Ledger, Observation, PoolObservation,
    ProviderId, Reading, RunnerView, ServerName, Time, decide,
};

use super::scene::{POOL, START, host, seconds};

/// How badly the world behaves; shares are per step or call.
#[derive(Clone, Copy, Debug)]
pub(super) struct Temper {
    /// Prometheus fails for a while.
    pub(super) blind: f64,
    /// GitLab fails for a while.
    pub(super) mute: f64,
    /// A call of the provider goes wrong.
    pub(super) trouble: f64,
    /// A server never joins, or late.
    pub(super) dud: f64,
    /// The scaler is killed before it has carried out what it decided.
    pub(super) crash: f64,
    /// Permanent hosts die and come back.
    pub(super) deaths: f64,
}

impl Temper {
    pub(super) const CALM: Self = Self {
        blind: 0.0,
        mute: 0.0,
        trouble: 0.0,
        dud: 0.0,
        crash: 0.0,
        deaths: 0.0,
    };
    pub(super) const WILD: Self = Self {
        blind: 0.004,
        mute: 0.004,
        trouble: 0.15,
        dud: 0.1,
        crash: 0.05,
        deaths: 0.003,
    };
}

/// A machine at the provider.
#[derive(Clone, Debug)]
pub(super) struct Machine {
    pub(super) name: ServerName,
    pub(super) owner: String,
    pub(super) born: Time,
    pub(super) joins: Option<Time>,
    pub(super) going: bool,
    pub(super) expires: Time,
}

#[derive(Clone, Debug)]
struct Runner {
    id: u64,
    paused: Option<Time>,
    joined: bool,
}

#[derive(Clone, Copy, Debug)]
struct Running {
    until: Time,
}

/// What a step was: what was seen, what was decided on the strength of which ledger.
pub(super) struct Step {
    pub(super) seen: Observation,
    pub(super) before: Ledger,
    pub(super) decision: Decision,
}

pub(super) struct World {
    pub(super) config: Config,
    pub(super) ledger: Ledger,
    pub(super) now: Time,
    pub(super) temper: Temper,
    pub(super) machines: BTreeMap<String, Machine>,
    /// Jobs that were killed by a deletion.
    pub(super) killed: u32,
    pub(super) done: u32,
    rng: Rng,
    runners: BTreeMap<ServerName, Runner>,
    jobs: BTreeMap<String, Vec<Running>>,
    pub(super) queue: VecDeque<Time>,
    permanent: Vec<(String, bool, u32)>,
    blind_until: Time,
    mute_until: Time,
    next_id: u64,
    listing: Option<Listing>,
    jobs_come: bool,
}

impl World {
    pub(super) fn new(config: Config, temper: Temper, seed: u64) -> Self {
        let mut world = Self {
            config,
            ledger: Ledger::default(),
            now: START,
            temper,
            machines: BTreeMap::new(),
            killed: 0,
            done: 0,
            rng: Rng::with_seed(seed),
            runners: BTreeMap::new(),
            jobs: BTreeMap::new(),
            queue: VecDeque::new(),
            permanent: (0..4).map(|n| (format!("ci{n}:9252"), true, 2)).collect(),
            blind_until: START,
            mute_until: START,
            next_id: 1,
            listing: None,
            jobs_come: true,
        };
        // Not ours, though its name might be.
        let foreign = Machine {
            name: ServerName("docker-foreign-1".to_owned()),
            owner: "somebody".to_owned(),
            born: START,
            joins: None,
            going: false,
            expires: START,
        };
        world.machines.insert("foreign".to_owned(), foreign);
        world
    }

    /// One tick: time passes, it is looked, decided and done.
    pub(super) fn step(&mut self) -> Step {
        self.now = self.now + seconds(10) + Duration::from_millis(self.rng.u64(0..3000));
        self.live();
        let seen = self.look();
        let before = self.ledger.clone();
        let decision = decide(&self.config, &seen, &self.ledger, self.now);
        for event in &decision.events {
            let fits = self.ledger.apply(event);
            assert_eq!(fits, Ok(()), "{event:?}");
        }
        if self.rng.f64() < self.temper.crash {
            self.restart();
        } else {
            for action in &decision.actions {
                self.carry_out(action);
            }
        }
        Step {
            seen,
            before,
            decision,
        }
    }

    /// The scaler comes back and reads its ledger: it does not know how far requests had come.
    fn restart(&mut self) {
        let text = serde_json::to_string(&self.ledger).unwrap();
        self.ledger = serde_json::from_str(&text).unwrap();
    }

    /// Jobs come, start and end; servers boot; hosts die.
    fn live(&mut self) {
        let hour = self.now.since(START).as_secs() / 900;
        let rate = if hour.is_multiple_of(2) { 3.0 } else { 0.1 };
        while self.jobs_come && self.rng.f64() * (1.0 + rate) < rate {
            self.queue.push_back(self.now);
            if self.rng.u32(0..4) == 0 {
                break;
            }
        }
        let now = self.now;
        for jobs in self.jobs.values_mut() {
            let before = jobs.len();
            jobs.retain(|job| job.until > now);
            self.done += u32::try_from(before - jobs.len()).unwrap();
        }
        for machine in self.machines.values() {
            if machine.joins.is_some_and(|at| at <= now)
                && let Some(runner) = self.runners.get_mut(&machine.name)
            {
                runner.joined = true;
            }
        }
        let rng = &mut self.rng;
        self.machines
            .retain(|_, machine| !machine.going || rng.u32(0..5) > 0);
        for host in &mut self.permanent {
            if self.rng.f64() < self.temper.deaths {
                host.1 = !host.1 || self.rng.bool();
                host.1 &= self.rng.bool();
            } else if !host.1 && self.rng.u32(0..10) == 0 {
                host.1 = true;
            }
        }
        if self.rng.f64() < self.temper.blind {
            self.blind_until = now + seconds(self.rng.u64(10..600));
        }
        if self.rng.f64() < self.temper.mute {
            self.mute_until = now + seconds(self.rng.u64(10..300));
        }
        self.dispatch();
    }

    /// Free runners pull jobs; one that was paused within the last 50 s may still get one.
    fn dispatch(&mut self) {
        let mut free: Vec<String> = Vec::new();
        for (name, up, slots) in &self.permanent {
            let busy = self.jobs.get(name).map_or(0, Vec::len);
            let slots = if *up { *slots as usize } else { 0 };
            free.extend(std::iter::repeat_n(
                name.clone(),
                slots.saturating_sub(busy),
            ));
        }
        for machine in self.machines.values().filter(|m| !m.going) {
            let Some(runner) = self.runners.get(&machine.name) else {
                continue;
            };
            let pulls = runner
                .paused
                .is_none_or(|at| self.now.since(at) < seconds(50));
            if runner.joined && pulls {
                let busy = self.jobs.get(&machine.name.0).map_or(0, Vec::len);
                let count = 4usize.saturating_sub(busy);
                free.extend(std::iter::repeat_n(machine.name.0.clone(), count));
            }
        }
        self.rng.shuffle(&mut free);
        for place in free {
            let Some(_) = self.queue.pop_front() else {
                return;
            };
            let until = self.now + seconds(self.rng.u64(20..500));
            self.jobs.entry(place).or_default().push(Running { until });
        }
    }

    fn running(&self, place: &str) -> u32 {
        self.jobs
            .get(place)
            .map_or(0, |jobs| u32::try_from(jobs.len()).unwrap())
    }

    fn look(&mut self) -> Observation {
        let age = seconds(self.rng.u64(0..10));
        let (metrics, gitlab) = (self.now - age, self.now - seconds(self.rng.u64(0..3)));
        let blind = self.now < self.blind_until;
        let mute = self.now < self.mute_until;
        if self.rng.u32(0..3) == 0 {
            self.listing = Some(self.list());
        }
        let mut hosts: Vec<Host> = Vec::new();
        for (name, up, slots) in &self.permanent {
            let mut host = host(name, *slots, self.running(name), metrics);
            if !up {
                host.up = Reading::known(false, metrics);
                host.slots = Reading::unknown("no sample");
                host.running = Reading::unknown("no sample");
            }
            hosts.push(host);
        }
        for (name, runner) in self.runners.iter().filter(|(_, runner)| runner.joined) {
            if self.machines.values().any(|m| m.name == *name) {
                let mut host = host(&name.0, 4, self.running(&name.0), metrics);
                host.server = Some(name.clone());
                host.runner = Some(runner.id);
                hosts.push(host);
            }
        }
        let running = self.jobs.values().map(Vec::len).sum::<usize>();
        let oldest = self.queue.front().map(|at| self.now.since(*at));
        let jobs = Jobs {
            pending: u32::try_from(self.queue.len()).unwrap(),
            running: u32::try_from(running).unwrap(),
            oldest_wait: oldest.unwrap_or_default(),
        };
        let views = self.runners.iter().map(|(name, runner)| {
            let view = RunnerView {
                runner: runner.id,
                joined: Reading::known(runner.joined, gitlab),
                paused: Reading::known(runner.paused.is_some(), gitlab),
                running: Reading::known(self.running(&name.0), gitlab),
            };
            (name.clone(), view)
        });
        let runners = or_unknown(mute, views.collect(), gitlab, "GitLab did not answer");
        let pool = PoolObservation {
            hosts: or_unknown(blind, hosts, metrics, "Prometheus did not answer"),
            jobs: or_unknown(mute, jobs, gitlab, "GitLab did not answer"),
            pipelines: Reading::unknown("not asked for"),
            wait_p95: Reading::unknown("no job started"),
        };
        let id: ProviderId = format!("{POOL}/0").parse().unwrap();
        let listing = match &self.listing {
            Some(listing) => Reading::known(listing.clone(), listing.began),
            None => Reading::unknown("not listed yet"),
        };
        Observation {
            at: self.now,
            pools: [(POOL.to_owned(), pool)].into(),
            listings: [(id, listing)].into(),
            runners,
            ended: Vec::new(),
            lease: Ok(()),
        }
    }

    /// What the provider shows: new machines late, now and then only a part.
    fn list(&mut self) -> Listing {
        let complete = self.rng.f64() >= self.temper.trouble;
        let visible = seconds(if self.temper.trouble > 0.0 { 8 } else { 0 });
        let mut servers = Vec::new();
        for (id, machine) in &self.machines {
            if machine.born + visible > self.now || (!complete && self.rng.bool()) {
                continue;
            }
            let labels = [
                (label::OWNER, machine.owner.clone()),
                (label::POOL, POOL.to_owned()),
                (label::NAME, machine.name.0.clone()),
                (
                    label::EXPIRES,
                    (machine.expires.millis() / 1000).to_string(),
                ),
            ];
            servers.push(ListedServer {
                id: id.clone(),
                name: machine.name.0.clone(),
                labels: labels.map(|(key, value)| (key.to_owned(), value)).into(),
                phase: if machine.going {
                    Phase::Deleting
                } else {
                    Phase::Active
                },
                address: None,
                created: Some(machine.born),
            });
        }
        Listing {
            servers,
            complete,
            began: self.now,
        }
    }

    fn happens(&mut self, name: &ServerName, what: Happening) {
        let event = Event::server(name, self.now, what);
        let _ = self.ledger.apply(&event);
    }

    fn carry_out(&mut self, action: &Action) {
        let mute = self.now < self.mute_until;
        match action {
            Action::Create(name, _) => self.create(name, mute),
            Action::Pause(name) if !mute && self.knows_runner(name) => {
                if let Some(runner) = self.runners.get_mut(name) {
                    runner.paused = runner.paused.or(Some(self.now));
                    self.happens(name, Happening::DrainPaused);
                }
            }
            Action::Unpause(name) if !mute && self.knows_runner(name) => {
                if let Some(runner) = self.runners.get_mut(name) {
                    runner.paused = None;
                }
            }
            Action::Delete(name) => self.delete(name, mute),
            _ => {}
        }
    }

    fn knows_runner(&self, name: &ServerName) -> bool {
        let server = self.ledger.servers.get(name);
        server.is_some_and(|server| server.runner.is_some())
    }

    fn create(&mut self, name: &ServerName, mute: bool) {
        if mute {
            self.happens(name, Happening::NotYet("GitLab did not answer".to_owned()));
            return;
        }
        let id = self.next_id;
        self.next_id += 1;
        let runner = Runner {
            id,
            paused: None,
            joined: false,
        };
        self.runners.insert(name.clone(), runner);
        self.happens(name, Happening::RunnerMade(id));
        self.happens(name, Happening::Requesting);
        let trouble = self.rng.f64() < self.temper.trouble;
        let kind = if trouble { self.rng.u32(0..4) } else { 9 };
        if kind == 0 {
            let why = "the quota is used up".to_owned();
            self.happens(name, Happening::Refused(Refusal::Quota, why));
            return;
        }
        if kind != 1 {
            let dud = self.rng.f64() < self.temper.dud;
            // Some come up when nobody expects them any more.
            let is_late = self.rng.f64() < self.temper.dud;
            let boot = self.rng.u64(if is_late { 150..900 } else { 20..120 });
            let boot = seconds(boot);
            let machine = Machine {
                name: name.clone(),
                owner: self.config.owner.clone(),
                born: self.now,
                joins: (!dud).then(|| self.now + boot),
                going: false,
                expires: self.ledger.servers[name].expires,
            };
            self.machines.insert(format!("i-{id}"), machine);
        }
        match kind {
            // The effect may have been there, the answer was not.
            1 | 2 => self.happens(name, Happening::AnswerLost("timed out".to_owned())),
            // Killed before the answer was noted.
            3 => {}
            _ => self.happens(name, Happening::Exists(format!("i-{id}"))),
        }
    }

    fn delete(&mut self, name: &ServerName, mute: bool) {
        let Some(server) = self.ledger.servers.get(name) else {
            return;
        };
        let trouble = self.rng.f64() < self.temper.trouble;
        if let Some(id) = server.provider_id.clone()
            && let Some(machine) = self.machines.get_mut(&id)
        {
            assert_eq!(
                machine.owner, self.config.owner,
                "a foreign server was deleted"
            );
            if trouble && self.rng.bool() {
                self.happens(name, Happening::DeleteFailed("no".to_owned()));
                return;
            }
            if trouble && !machine.going {
                machine.going = true;
                self.happens(name, Happening::DeleteAccepted);
                return;
            }
            let name = machine.name.clone();
            self.machines.remove(&id);
            let jobs = self.jobs.remove(&name.0).unwrap_or_default();
            self.killed += u32::try_from(jobs.len()).unwrap();
        }
        if mute {
            self.happens(
                name,
                Happening::DeleteFailed("GitLab did not answer".to_owned()),
            );
            return;
        }
        self.runners.remove(name);
        self.happens(name, Happening::Removed);
    }

    /// Machines that are ours.
    pub(super) fn owned(&self) -> impl Iterator<Item = (&String, &Machine)> {
        self.machines
            .iter()
            .filter(|(_, m)| m.owner == self.config.owner)
    }

    /// No job comes any more.
    pub(super) fn stop_jobs(&mut self) {
        self.jobs_come = false;
        self.queue.clear();
    }

    /// GitLab does not answer for so long.
    pub(super) fn mute(&mut self, time: Duration) {
        self.mute_until = self.now + time;
    }

    pub(super) fn set_quiet(&mut self) {
        self.temper = Temper::CALM;
        self.blind_until = self.now;
        self.mute_until = self.now;
    }
}

fn or_unknown<T>(unknown: bool, value: T, at: Time, why: &str) -> Reading<T> {
    if unknown {
        Reading::unknown(why)
    } else {
        Reading::known(value, at)
    }
}
