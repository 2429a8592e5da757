//! What holds growth back, and the servers that come in spite of it.

use std::borrow::Cow;
use std::time::Duration;

use super::round::{Look, Member, PoolRound, Round};
use crate::config::Mode;
use crate::decision::Action;
use crate::explanation::{Gate, GateResult, Saw, Shut, Verdict};
use crate::memory::in_last_minute;
use crate::provider::Refusal;
use crate::{Event, Happening, Server, ServerName, ServerState};

/// A drain takes about so long: two looks after the pause, a minute apart.
const DRAIN: Duration = Duration::from_secs(90);
const HOUR: f64 = 3600.0;
/// Jobs that have waited for less may be on their way to a runner.
const PICKED_UP: u64 = 60_000;

impl<'a> PoolRound<'a> {
    /// Takes draining servers back and asks for new ones, as far as every gate lets pass.
    pub(super) fn grow(&mut self, round: &mut Round<'a>) {
        let mut pass = self.plan.short;
        let mode = round.config.mode;
        let decides = matches!(mode, Mode::DryRun | Mode::On);
        pass = self.gate(pass, Gate::Mode, all_if(decides), |_| Saw::Mode(mode));
        let bears = self.health.may_grow;
        pass = self.gate(pass, Gate::Observation, all_if(bears), |_| {
            Saw::Health(bears)
        });
        let lease = round.observation.lease.clone();
        pass = self.gate(pass, Gate::Lease, all_if(lease.is_ok()), |_| {
            Saw::Lease(lease.err())
        });
        pass -= self.take_back(round, pass);
        let (owned, most) = (self.plan.owned, self.plan.max_servers);
        let count = |have, most| move |_: &Self| Saw::Count { have, most };
        pass = self.gate(
            pass,
            Gate::MaxServers,
            most.saturating_sub(owned),
            count(owned, most),
        );
        let made = self
            .memory
            .map_or(0, |m| in_last_minute(&m.creates, round.now));
        let rate = self.config.rate.create_per_minute;
        pass = self.gate(
            pass,
            Gate::CreateRate,
            rate.saturating_sub(made),
            count(made, rate),
        );
        let (provider, most, shut) = self.open_provider(round);
        pass = self.gate(pass, Gate::Provider, most, |_| Saw::Providers(shut));
        let (open, saw) = self.requests(round);
        pass = self.gate(pass, Gate::RequestBound, all_if(open), |_| saw);
        let affordable = self.affordable(round, provider);
        pass = self.gate(pass, Gate::Budget, affordable, |pool| Saw::Budget {
            spent: pool.spent,
            hours: pool.config.budget.server_hours_per_day,
            money: pool.config.budget.money_per_month,
        });
        self.plan.create = pass;
        self.create(round, provider, pass);
    }

    /// Lets at most so many pass, and notes what the gate saw.
    fn gate(&mut self, asked: u32, gate: Gate, most: u32, saw: impl FnOnce(&Self) -> Saw) -> u32 {
        let passed = asked.min(most);
        let saw = saw(self);
        self.gates.push(GateResult {
            gate,
            asked,
            passed,
            saw,
        });
        passed
    }

    /// Draining servers take jobs again: that is quicker than a boot.
    fn take_back(&mut self, round: &mut Round<'a>, most: u32) -> u32 {
        let mut taken = 0;
        if self.is_spent() {
            return 0;
        }
        for at in 0..self.members.len() {
            let server = &self.members[at].server;
            let returns = server.drain.as_ref().is_some_and(|drain| drain.may_return);
            let there = server.state == ServerState::Draining && !server.is_absent();
            if taken == most || !there || !returns {
                continue;
            }
            let name = server.name.clone();
            if self.intent(round, at, Happening::Undrained) {
                self.members[at].verdict = Verdict::TakenBack;
                round
                    .wanted
                    .retain(|action| *action != Action::Pause(name.clone()));
                round.wanted.push(Action::Unpause(name));
                taken += 1;
            }
        }
        self.plan.take_back = taken;
        taken
    }

    /// The first provider that can be asked, how many servers it may be asked for, and why those
    /// before it are not.
    fn open_provider(&self, round: &Round<'a>) -> (usize, u32, Vec<Option<Shut>>) {
        let mut shut = Vec::with_capacity(self.config.provider.len());
        for at in 0..self.config.provider.len() {
            let why = self.shut(round, at);
            let most = match why {
                None => u32::MAX,
                Some(Shut::Trying) if !self.is_tried(at) => 1,
                Some(_) => 0,
            };
            shut.push(why);
            if most > 0 {
                return (at, most, shut);
            }
        }
        (0, 0, shut)
    }

    /// Why a provider is not asked.
    pub(super) fn shut(&self, round: &Round<'a>, at: usize) -> Option<Shut> {
        let memory = self.provider_memory(round, at)?;
        if round.now < memory.not_before {
            let refusal = memory.refused.as_ref().map(|(refusal, _)| *refusal);
            return Some(Shut::Refused(
                refusal.unwrap_or(Refusal::Capacity),
                memory.not_before,
            ));
        }
        if round.now < memory.broken_until {
            return Some(Shut::Broken(memory.broken_until));
        }
        memory.is_broken().then_some(Shut::Trying)
    }

    /// Whether a server of the provider is on its way.
    fn is_tried(&self, at: usize) -> bool {
        let coming = |m: &Member<'_>| m.server.state.is_coming() && m.server.provider.at == at;
        self.members.iter().any(coming)
    }

    /// Whether more servers would help. If most runners ask for jobs as often as they may while slots
    /// are free and jobs wait, it is the asking that is short.
    fn requests(&self, round: &Round<'_>) -> (bool, Saw) {
        let (mut bound, mut of, mut running) = (0u32, 0u32, 0u32);
        for permanent in &self.permanent {
            if let Some(is_bound) = round.metric(&permanent.host.request_bound) {
                of += 1;
                bound += u32::from(is_bound);
            }
            let runs = round.metric(&permanent.host.running);
            running = running.saturating_add(runs.unwrap_or(u32::MAX));
        }
        let slots = self.capacity.permanent;
        let free = slots.saturating_sub(running);
        let waits = self.demand.pending > 0 && self.demand.oldest_wait_millis > PICKED_UP;
        let helps = !(waits && of > 0 && bound * 2 > of && free * 5 > slots);
        (helps, Saw::Requests { bound, of, free })
    }

    /// How many more servers the budget bears: each is paid until it could be gone again.
    fn affordable(&self, round: &Round<'a>, provider: usize) -> u32 {
        if self.is_spent() {
            return 0;
        }
        let boot = self.boot_time(round);
        let life = boot + self.config.idle_time.get() + DRAIN;
        let life = life.max(self.config.min_life.get());
        let hours = life.max(self.config.billing_quantum.get()).as_secs_f64() / HOUR;
        let live = self.live().count() as f64;
        let budget = &self.config.budget;
        let by_hours = budget.server_hours_per_day.map_or(f64::INFINITY, |most| {
            (most - self.spent.day_hours) / hours - live
        });
        let price = |at: usize| {
            self.config
                .provider
                .get(at)
                .map(|p| p.common.price_per_hour)
        };
        let price = price(provider).unwrap_or_default();
        let bound: f64 = self
            .live()
            .map(|server| server.price_per_hour * hours)
            .sum();
        let by_money = match budget.money_per_month {
            Some(most) if most <= 0.0 => 0.0,
            Some(most) if price > 0.0 => (most - self.spent.month_money - bound) / (price * hours),
            _ => f64::INFINITY,
        };
        by_hours.min(by_money).max(0.0) as u32
    }

    /// Servers that cost something.
    fn live(&self) -> impl Iterator<Item = &Server> {
        let servers = self.members.iter().map(|member| &*member.server);
        servers.filter(|server| server.requested.is_some() || server.state.is_coming())
    }

    /// Whether the budget is used up, with what it takes to drain what is there.
    pub(super) fn is_spent(&self) -> bool {
        let budget = &self.config.budget;
        let drain = DRAIN.as_secs_f64() / HOUR;
        let hours = self.spent.day_hours + self.live().count() as f64 * drain;
        let price: f64 = self.live().map(|server| server.price_per_hour).sum();
        let money = self.spent.month_money + price * drain;
        budget
            .server_hours_per_day
            .is_some_and(|most| hours >= most)
            || budget.money_per_month.is_some_and(|most| money >= most)
    }

    /// Plans new servers.
    fn create(&mut self, round: &mut Round<'a>, provider: usize, count: u32) {
        let Some(common) = self.config.provider.get(provider).map(|p| &p.common) else {
            return;
        };
        for number in 0..count {
            let name = self.new_name(round, number);
            let id = self.provider_id(provider);
            let mut server = Server::plan(name, &self.config.name, id, round.now);
            server.decision = round.id;
            server.slots = self.config.slots_per_server;
            server.price_per_hour = common.price_per_hour;
            server.boot_deadline = round.now + common.boot_timeout.get();
            server.expires = round.now + self.config.hard_ttl.get();
            let action = Action::Create(server.name.clone(), server.provider.clone());
            round.intent(Event::Planned(Box::new(server.clone())));
            round.wanted.push(action);
            self.members.push(Member {
                server: Cow::Owned(server),
                view: Look::Silent,
                host: None,
                listed: None,
                verdict: Verdict::New,
                running: None,
                is_supposed: !round.may_intend(),
            });
        }
    }

    /// A name that none of this owner's servers ever had: the pool's, a mark of the owner, the time, and
    /// a number. It is a host name too.
    fn new_name(&self, round: &Round<'_>, number: u32) -> ServerName {
        let pool = self.config.name.to_ascii_lowercase().replace('_', "-");
        let mark = letters(u64::from(crate::mark(&round.config.owner)), 4);
        let millis = u64::try_from(round.now.millis()).unwrap_or_default();
        let time = letters(millis, 8);
        ServerName(format!("{pool}-{mark}{time}-{}", number + 1))
    }
}

const fn all_if(open: bool) -> u32 {
    if open { u32::MAX } else { 0 }
}

/// The number's last digits to the base 36.
fn letters(mut number: u64, count: usize) -> String {
    const DIGITS: &[u8; 36] = b"0123456789abcdefghijklmnopqrstuvwxyz";
    let mut text = vec![b'0'; count];
    for place in text.iter_mut().rev() {
        *place = DIGITS[(number % 36) as usize];
        number /= 36;
    }
    text.into_iter().map(char::from).collect()
}
