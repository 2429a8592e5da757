use super::{Desk, Policy};

/// Whether a job is only asked for when a slot is free.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Preemptive {
    /// Yes: servers come for the idle target alone.
    Yes,
    /// No: jobs that wait bring servers.
    No,
}

/// The rule of GitLab's taskscaler (executors `docker-autoscaler` and `instance`).
///
/// Servers for jobs that run, wait, and for an idle target; each idle server goes after its idle time
/// if the target does not need it. It decides every 5 s, which is what a scaling taskscaler comes to.
#[derive(Clone, Debug)]
pub struct Taskscaler {
    /// `idle_count`: slots to keep idle.
    pub idle_count: u32,
    /// `idle_time` in seconds.
    pub idle_time: u32,
    /// `scale_factor`: slots to keep idle as a share of those in use; 0: none.
    pub scale_factor: f64,
    /// `scale_factor_limit`.
    pub scale_factor_limit: u32,
    /// `preemptive_mode`.
    pub preemptive: Preemptive,
}

impl Taskscaler {
    /// With this idle time and otherwise its defaults.
    pub const fn idle(idle_time: u32) -> Self {
        Self {
            idle_count: 0,
            idle_time,
            scale_factor: 0.0,
            scale_factor_limit: u32::MAX,
            preemptive: Preemptive::No,
        }
    }
}

impl Policy for Taskscaler {
    fn tick_seconds(&self) -> u32 {
        5
    }

    fn tick(&mut self, desk: &mut Desk<'_, '_>) {
        for pool in 0..desk.pools() {
            desk.reap(pool);
            let (slots, _) = desk.slots(pool);
            let direct = desk.direct(pool);
            let mut servers = desk.servers(pool);
            let share = (self.scale_factor * f64::from(direct.on_servers)).ceil() as u32;
            let target = self.idle_count.max(share.min(self.scale_factor_limit));
            let reserved = match self.preemptive {
                Preemptive::Yes => 0,
                Preemptive::No => direct.waiting,
            };
            let used: u32 = servers.iter().map(|seen| seen.running).sum();
            let wanted = (used + reserved + target).div_ceil(slots);
            let mut there = servers.len() as u32;
            if wanted > there {
                desk.create(pool, wanted - there);
                continue;
            }
            servers.retain(|seen| seen.up && seen.running == 0);
            servers.sort_by_key(|seen| std::cmp::Reverse(seen.idle));
            for seen in servers {
                if there > wanted && seen.idle > i64::from(self.idle_time) * 1000 {
                    desk.retire(seen.server);
                    there -= 1;
                }
            }
        }
    }
}
