use super::{Desk, Policy};

/// The rule of Kubernetes' cluster-autoscaler, with jobs for pods: servers for jobs that have waited
/// some seconds and have no server coming; a server goes when it was empty for so long.
#[derive(Clone, Debug)]
pub struct ClusterAutoscaler {
    /// A server that was empty for so many seconds goes.
    pub unneeded: u32,
}

/// Jobs that wait for less are left out, in milliseconds.
const NEW_POD: i64 = 10_000;

impl Policy for ClusterAutoscaler {
    fn tick_seconds(&self) -> u32 {
        10
    }

    fn tick(&mut self, desk: &mut Desk<'_, '_>) {
        for pool in 0..desk.pools() {
            desk.reap(pool);
            let (slots, _) = desk.slots(pool);
            let direct = desk.direct(pool);
            let servers = desk.servers(pool);
            let coming = servers.iter().filter(|seen| !seen.up).count() as u32;
            if direct.oldest_wait >= NEW_POD {
                let wanted = direct.waiting.div_ceil(slots);
                desk.create(pool, wanted.saturating_sub(coming));
            }
            for seen in &servers {
                let unneeded = seen.idle > i64::from(self.unneeded) * 1000;
                if seen.up && seen.running == 0 && unneeded && direct.waiting == 0 {
                    desk.retire(seen.server);
                }
            }
        }
    }
}
