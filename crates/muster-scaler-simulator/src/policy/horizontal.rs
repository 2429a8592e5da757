use std::collections::VecDeque;

use super::{Desk, Policy};

/// What is done while there are no metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WhenBlind {
    /// Nothing: the Horizontal Pod Autoscaler.
    Hold,
    /// Nothing counts as 0: KEDA with its defaults.
    Zero,
}

/// The rule of Kubernetes' Horizontal Pod Autoscaler over the share of slots that are in use.
///
/// Every 15 s: the number of hosts times the share in use by the target, unless that is within a
/// tenth; at most double, or 4 more, at a time; down only to the most that was right in the window.
#[derive(Clone, Debug)]
pub struct Horizontal {
    /// The share of slots that shall be in use, 0 to 1.
    pub target: f64,
    /// The window of stabilisation, in seconds.
    pub window: u32,
    /// What is done without metrics.
    pub when_blind: WhenBlind,
    past: Vec<VecDeque<(i64, u32)>>,
}

impl Horizontal {
    /// With this target and window.
    pub const fn new(target: f64, window: u32, when_blind: WhenBlind) -> Self {
        Self {
            target,
            window,
            when_blind,
            past: Vec::new(),
        }
    }

    /// How many servers are right now; `None`: as many as there are.
    fn right(&self, desk: &Desk<'_, '_>, pool: u16, there: u32) -> Option<u32> {
        let (slots, permanent) = desk.slots(pool);
        // Hosts that are not up yet count as idle, as pods that are not ready do.
        let all = f64::from(permanent + there * slots);
        let share = match (desk.metrics(pool), self.when_blind) {
            (Some(metrics), _) if all > 0.0 && metrics.running.is_finite() => metrics.running / all,
            (_, WhenBlind::Zero) => 0.0,
            (_, WhenBlind::Hold) => return None,
        };
        let ratio = share / self.target;
        if (ratio - 1.0).abs() <= 0.1 {
            return Some(there);
        }
        let hosts = f64::from(there) + f64::from(permanent) / f64::from(slots);
        let wanted = (hosts * ratio).ceil() - (f64::from(permanent) / f64::from(slots)).floor();
        let most = (2 * there).max(there + 4);
        Some((wanted.max(0.0) as u32).min(most))
    }
}

impl Policy for Horizontal {
    fn tick_seconds(&self) -> u32 {
        15
    }

    fn watches_metrics(&self) -> bool {
        true
    }

    fn tick(&mut self, desk: &mut Desk<'_, '_>) {
        self.past.resize(usize::from(desk.pools()), VecDeque::new());
        for pool in 0..desk.pools() {
            desk.reap(pool);
            let mut servers = desk.servers(pool);
            let there = servers.len() as u32;
            let right = self.right(desk, pool, there);
            let now = desk.now();
            let past = &mut self.past[pool as usize];
            let Some(right) = right else {
                continue;
            };
            past.push_back((now, right));
            past.retain(|(at, _)| now - at <= i64::from(self.window) * 1000);
            let most = past.iter().map(|(_, count)| *count).max().unwrap_or(right);
            if right > there {
                desk.create(pool, right - there);
            } else if most < there {
                servers.sort_by_key(|seen| (seen.up, seen.running, seen.age));
                for seen in servers.iter().take((there - most) as usize) {
                    desk.retire(seen.server);
                }
            }
        }
    }
}
