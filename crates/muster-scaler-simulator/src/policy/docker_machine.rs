use super::{Desk, Policy, Seen};

/// The rule of GitLab's executor `docker+machine`: keep so many idle machines, remove those that were
/// idle for so long.
///
/// A machine is idle if it runs no job at all. The original runs one job a machine; here a machine
/// has the slots of any server, which is kind to it.
#[derive(Clone, Debug)]
pub struct DockerMachine {
    /// `IdleCount`: machines to keep idle. 0: machines are made for jobs that wait.
    pub idle_count: u32,
    /// `IdleTime` in seconds.
    pub idle_time: u32,
    /// `MaxGrowthRate`: machines that may be on their way at a time; 0: any number.
    pub growth: u32,
}

impl Policy for DockerMachine {
    fn tick_seconds(&self) -> u32 {
        5
    }

    fn tick(&mut self, desk: &mut Desk<'_, '_>) {
        for pool in 0..desk.pools() {
            desk.reap(pool);
            let servers = desk.servers(pool);
            let is_idle = |seen: &&Seen| seen.up && seen.running == 0;
            let idle = servers.iter().filter(is_idle).count() as u32;
            let coming = servers.iter().filter(|seen| !seen.up).count() as u32;
            let mut available = idle + coming;
            let wanted = if self.idle_count == 0 {
                let (slots, _) = desk.slots(pool);
                desk.direct(pool)
                    .waiting
                    .div_ceil(slots)
                    .saturating_sub(coming)
            } else {
                self.idle_count.saturating_sub(available)
            };
            let growth = match self.growth {
                0 => wanted,
                most => wanted.min(most.saturating_sub(coming)),
            };
            desk.create(pool, growth);
            let mut old: Vec<&Seen> = servers.iter().filter(is_idle).collect();
            old.sort_by_key(|seen| std::cmp::Reverse(seen.idle));
            for seen in old {
                let rested = seen.idle > i64::from(self.idle_time) * 1000;
                if rested && available > self.idle_count && growth == 0 {
                    desk.retire(seen.server);
                    available -= 1;
                }
            }
        }
    }
}
