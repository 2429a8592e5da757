//! Whether the tasks of one spawn line only grow in number. Pure: knows samples, not time.
//!
//! The tasks that are born between two samples are a **cohort**. Of the newest cohorts many tasks are
//! about to end; those that are left later are settled. A line leaks when its number of settled
//! tasks rises through the whole window, and those that settled in its first half are still there:
//! busy lines rise and fall, and their cohorts thin out.

use std::collections::VecDeque;

/// Samples that are looked back on at most.
pub(super) const MOST_SAMPLES: usize = 60;

/// The window is cut into so many parts, and the least of each must be above the least of the one
/// before: a rise that is over in half of the window was a start or a burst.
const PARTS: usize = 6;

/// The newest cohorts, whose tasks are not settled.
const YOUNG: usize = 2;

/// Of those that settled in the first half of the window, so many in a hundred must be there still.
const LEAST_SURVIVORS: u64 = 90;

/// Tasks that were born between the same two samples.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Cohort {
    /// Alive at the sample at which the cohort settled.
    settled: u64,
    alive: u64,
    /// Polls of those alive, together.
    polls: u64,
    /// Nobody died and nobody was polled since the sample before.
    still: bool,
}

/// What one sample sees of one line: by cohort, the oldest first; how many live and their polls.
pub(super) type Seen = Vec<(u64, u64)>;

/// The history of one spawn line.
#[derive(Clone, Debug, Default)]
pub(super) struct Line {
    /// Settled tasks alive at each sample, the oldest first.
    live: VecDeque<u64>,
    /// What was born before the first sample of the window, then a cohort for each sample.
    cohorts: VecDeque<Cohort>,
}

/// Growth without deaths.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Growth {
    /// New live tasks from one sample to the next: the median of all slopes.
    pub(super) per_sample: f64,
    /// Samples through which it grew.
    pub(super) samples: usize,
    /// Settled tasks alive now.
    pub(super) live: u64,
    /// The tasks that stay are not even polled any more.
    pub(super) still: bool,
}

impl Line {
    /// Takes a sample. `seen` has one entry more than there were samples in the window before:
    /// see [`Line::cohorts`].
    pub(super) fn push(&mut self, seen: &Seen) {
        let settled = seen.iter().rev().skip(YOUNG);
        self.live.push_back(settled.map(|(alive, _)| alive).sum());
        self.cohorts.resize(seen.len(), Cohort::default());
        let settles = seen.len().checked_sub(1 + YOUNG);
        for (at, (cohort, (alive, polls))) in self.cohorts.iter_mut().zip(seen).enumerate() {
            let still = cohort.alive == *alive && cohort.polls == *polls;
            let settled = if Some(at) == settles {
                *alive
            } else {
                cohort.settled
            };
            *cohort = Cohort {
                settled,
                alive: *alive,
                polls: *polls,
                still,
            };
        }
    }

    /// Forgets the oldest sample: the first cohort of the window joins those before it.
    pub(super) fn forget_oldest(&mut self) {
        self.live.pop_front();
        let oldest = self.cohorts.pop_front().unwrap_or_default();
        if let Some(next) = self.cohorts.front_mut() {
            *next = Cohort {
                settled: oldest.settled + next.settled,
                alive: oldest.alive + next.alive,
                polls: oldest.polls + next.polls,
                still: oldest.still && next.still,
            };
        }
    }

    /// Whether the line can be forgotten: nothing of it has lived through the window.
    pub(super) fn is_empty(&self) -> bool {
        self.live.iter().all(|live| *live == 0) && self.cohorts.iter().all(|c| c.alive == 0)
    }

    /// Growth without deaths in the latest samples: in `least` of them, or in twice or four times
    /// as many where it is slow. Tasks that are polled may be at work, so only those count as grown
    /// in the shortest time that nobody wakes.
    pub(super) fn growth(&self, least: usize, least_growth: u64) -> Option<Growth> {
        [1, 2, 4].into_iter().find_map(|times| {
            let window = least * times;
            let growth = self.growth_in(window.min(MOST_SAMPLES), least_growth)?;
            (growth.still || times > 1).then_some(growth)
        })
    }

    fn growth_in(&self, window: usize, least_growth: u64) -> Option<Growth> {
        let from = self.live.len().checked_sub(window)?;
        let live: Vec<u64> = self.live.range(from..).copied().collect();
        let lowest = |part: usize| {
            let part = &live[part * window / PARTS..(part + 1) * window / PARTS];
            part.iter().copied().min().unwrap_or_default()
        };
        let rises = (1..PARTS).all(|part| lowest(part - 1) < lowest(part));
        let (first, last) = (lowest(0), lowest(PARTS - 1));
        if !rises || last < first + first / 5 + least_growth {
            return None;
        }
        // The cohorts that had settled in the first half of the window.
        let half = window / 2;
        let born = self.cohorts.len().checked_sub(window)?;
        let cohorts = || self.cohorts.range(born..born + half);
        let stay: u64 = cohorts().map(|cohort| cohort.alive).sum();
        let settled: u64 = cohorts().map(|cohort| cohort.settled).sum();
        if stay == 0 || stay * 100 < settled * LEAST_SURVIVORS {
            return None;
        }
        let still = cohorts().filter(|cohort| cohort.still);
        let still: u64 = still.map(|cohort| cohort.alive).sum();
        Some(Growth {
            per_sample: median_slope(&live),
            samples: window,
            live: live.last().copied().unwrap_or_default(),
            still: still * 10 >= stay * 9,
        })
    }
}

/// The median of the slopes between any two samples (Theil and Sen): single jumps hardly move it.
fn median_slope(live: &[u64]) -> f64 {
    let mut slopes = Vec::with_capacity(live.len() * live.len() / 2);
    for (from, a) in live.iter().enumerate() {
        for (to, b) in live.iter().enumerate().skip(from + 1) {
            slopes.push((*b as f64 - *a as f64) / (to - from) as f64);
        }
    }
    slopes.sort_unstable_by(f64::total_cmp);
    slopes.get(slopes.len() / 2).copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// A line whose tasks are `(born, dies)` in samples, both at any time between two samples;
    /// those that `works` says are polled in each. True if it is held to leak at any sample.
    fn leaks(tasks: &[(usize, usize)], samples: usize, works: impl Fn(usize) -> bool) -> bool {
        let mut line = Line::default();
        let mut found = false;
        let mut first = 0;
        for now in 0..samples {
            if now - first == MOST_SAMPLES {
                line.forget_oldest();
                first += 1;
            }
            let mut seen: Seen = vec![(0, 0); now - first + 1];
            for (number, (born, dies)) in tasks.iter().enumerate() {
                if (*born..*dies).contains(&now) {
                    let cohort = &mut seen[born.saturating_sub(first)];
                    cohort.0 += 1;
                    cohort.1 += if works(number) { now as u64 } else { 1 };
                }
            }
            line.push(&seen);
            found |= line.growth(12, 10).is_some();
        }
        found
    }

    const NEVER: usize = usize::MAX;

    #[test]
    fn one_task_a_sample_that_stays_is_a_leak() {
        let tasks: Vec<_> = (0..40).map(|at| (at, NEVER)).collect();
        assert!(leaks(&tasks, 40, |_| false));
        // Also when they do something, later.
        assert!(leaks(&tasks, 40, |_| true));
        assert!(!leaks(&tasks, 13, |_| true));
        // Also beside many that end.
        let busy = (0..4000).map(|n| (n / 100, n / 100 + 1));
        let both: Vec<_> = tasks.iter().copied().chain(busy).collect();
        assert!(leaks(&both, 40, |_| false));
    }

    #[test]
    fn a_level_pool_and_a_start_are_no_leaks() {
        let pool: Vec<_> = (0..500).map(|_| (0, NEVER)).collect();
        assert!(!leaks(&pool, 200, |_| false));
        let start: Vec<_> = (0..60).map(|n| (n / 10, NEVER)).collect();
        assert!(!leaks(&start, 200, |_| false));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        /// Load that goes up and down, with tasks that end: never a leak.
        #[test]
        fn bursts_are_no_leaks(
            bursts in prop::collection::vec((0usize..200, 1usize..60, 1usize..5), 1..20),
        ) {
            let mut tasks = Vec::new();
            for (begin, size, life) in bursts {
                for n in 0..size {
                    tasks.push((begin + n % 7, begin + n % 7 + life));
                }
            }
            prop_assert!(!leaks(&tasks, 220, |n| n % 2 == 0));
        }

        /// What leaks is found, whatever else goes on at the same line.
        #[test]
        fn leaks_are_found_beside_bursts(
            every in 1usize..3,
            bursts in prop::collection::vec((0usize..120, 1usize..30, 1usize..3), 0..10),
        ) {
            let mut tasks: Vec<_> = (0..120 / every).map(|n| (n * every, NEVER)).collect();
            for (begin, size, life) in bursts {
                tasks.extend((0..size).map(|n| (begin + n % 3, begin + n % 3 + life)));
            }
            prop_assert!(leaks(&tasks, 120, |_| false));
        }
    }
}
