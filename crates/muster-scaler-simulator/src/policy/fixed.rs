use super::{Desk, Policy};

/// Always the same number of servers.
#[derive(Clone, Debug)]
pub struct Fixed {
    /// How many, in each pool.
    pub servers: u32,
}

impl Policy for Fixed {
    fn tick_seconds(&self) -> u32 {
        60
    }

    fn tick(&mut self, desk: &mut Desk<'_, '_>) {
        for pool in 0..desk.pools() {
            desk.reap(pool);
            let there = desk.servers(pool).len() as u32;
            desk.create(pool, self.servers.saturating_sub(there));
        }
    }
}
