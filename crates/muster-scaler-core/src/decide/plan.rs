//! From slots to servers.

use super::round::{Member, PoolRound, Round};
use crate::Time;
use crate::config::ScheduleConfig;
use crate::memory::Tally;
use crate::spend::Spent;

impl<'a> PoolRound<'a> {
    /// How many servers are wanted, short or too many.
    pub(super) fn count_servers(&mut self, round: &Round<'a>) {
        self.apply_schedule(round.now);
        let plan = &mut self.plan;
        plan.owned = u32::try_from(self.members.len()).unwrap_or(u32::MAX);
        let there = |m: &&Member<'_>| m.server.state.is_coming_or_there();
        let have = self.members.iter().filter(there).count();
        plan.have = u32::try_from(have).unwrap_or(u32::MAX);
        let tally = self.memory.map(|memory| &memory.tally);
        let servers = self.members.iter().map(|member| &*member.server);
        self.spent = Spent::reckon(tally.unwrap_or(&Tally::default()), servers, round.now);
        if !self.demand.known {
            plan.desired = plan.have;
            return;
        }
        let wanted = |jobs: u32| {
            let slots = f64::from(jobs) * (1.0 + plan.headroom);
            (slots.ceil() as u32).saturating_add(plan.warm)
        };
        let per_server = self.config.slots_per_server.max(1);
        let capacity = &self.capacity;
        plan.target = wanted(self.demand.peak.max(self.demand.saturation));
        plan.keep = wanted(self.demand.keep.max(self.demand.saturation));
        let elsewhere = capacity.permanent.saturating_add(capacity.leaving);
        plan.desired = plan.target.saturating_sub(elsewhere).div_ceil(per_server);
        plan.short = plan
            .target
            .saturating_sub(capacity.total())
            .div_ceil(per_server);
        plan.surplus = capacity.total().saturating_sub(plan.keep) / per_server;
    }

    fn apply_schedule(&mut self, now: Time) {
        let plan = &mut self.plan;
        plan.warm = self.config.warm;
        plan.headroom = self.config.headroom;
        plan.max_servers = self.config.max_servers;
        plan.slots_per_server = self.config.slots_per_server;
        let applies = |entry: &ScheduleConfig| entry.cron.matches(entry.timezone.clock(now));
        let Some(at) = self.config.schedule.iter().rposition(applies) else {
            return;
        };
        let entry = &self.config.schedule[at];
        plan.schedule = Some(at);
        plan.warm = entry.warm.unwrap_or(plan.warm);
        plan.headroom = entry.headroom.unwrap_or(plan.headroom);
        plan.max_servers = entry.max_servers.unwrap_or(plan.max_servers);
    }
}
