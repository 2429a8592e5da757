//! What the watch is told.

use std::time::Duration;

use crate::ignore::IgnoreRule;

/// How a [`Watch`](crate::Watch) judges and what it may ask for.
#[derive(Clone, Debug)]
pub struct Options {
    /// Samples this soon after the first one, or after a restart, do not count: caches fill, pools
    /// start. Default 1 minute.
    pub warm_up: Duration,
    /// So many samples in a row must show the growth of a suspect. Default 8, at least 5.
    pub samples: usize,
    /// The growth must last this long. Default 5 minutes.
    pub span: Duration,
    /// A site must have grown by this many goroutines, and by a fifth. Default 10.
    pub rise: u64,
    /// So many samples must show the growth where there are no dumps to see who survives.
    /// Default 20.
    pub samples_without_dumps: usize,
    /// The time between two dumps, at least. Default 2 minutes.
    pub dump_every: Duration,
    /// So many dumps an hour, at most. Default 12; 0 for none.
    pub dumps_an_hour: u32,
    /// No dump of a process with more goroutines: a dump stops it while it is written, 0.7 s at
    /// 100,000. Default 20,000.
    pub dump_up_to: u64,
    /// The time between two `goroutineleak` profiles, each of which makes the process collect its
    /// garbage. Default 10 minutes.
    pub leak_profile_every: Duration,
    /// What is known and accepted.
    pub ignore: Vec<IgnoreRule>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            warm_up: Duration::from_secs(60),
            samples: 8,
            span: Duration::from_secs(300),
            rise: 10,
            samples_without_dumps: 20,
            dump_every: Duration::from_secs(120),
            dumps_an_hour: 12,
            dump_up_to: 20_000,
            leak_profile_every: Duration::from_secs(600),
            ignore: Vec::new(),
        }
    }
}

impl Options {
    /// For a run of a few seconds or minutes under a load that is the same all the time, as in CI:
    /// no warm-up, 5 samples are enough, over any time; dumps and leak profiles as often as they
    /// help.
    pub fn ci() -> Self {
        Self {
            warm_up: Duration::ZERO,
            samples: 5,
            span: Duration::ZERO,
            samples_without_dumps: 8,
            dump_every: Duration::from_millis(500),
            dumps_an_hour: u32::MAX,
            leak_profile_every: Duration::from_secs(5),
            ..Self::default()
        }
    }
}
