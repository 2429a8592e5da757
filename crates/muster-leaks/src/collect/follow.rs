//! Taking samples.

use std::time::{Duration, Instant};

use jiff::{SignedDuration, Timestamp};

use super::{FetchError, Fetcher, Pace};
use crate::profile::Profile;
use crate::watch::{Want, Watch};

/// So much is fetched for one sample besides the profile.
const MOST_WANTS: usize = 4;

/// Takes samples of one target and feeds its watch.
#[derive(Debug)]
pub struct Follower {
    watch: Watch,
    pace: Pace,
    /// When it began by both clocks: the times of samples never go back.
    began: (Timestamp, Instant),
    /// No process listened at the last attempt: the next one is another.
    gone: bool,
}

/// What was fetched at one time.
#[derive(Debug)]
pub struct Sample {
    /// The grouped profile.
    pub profile: Profile,
    /// How long the target took for it.
    pub took: Duration,
    /// Whether a dump was fetched, too.
    pub dumped: bool,
    /// What could not be fetched besides. The sample counts all the same.
    pub problems: Vec<FetchError>,
}

impl Follower {
    /// Begins to follow a target with this pause between samples.
    pub fn new(watch: Watch, every: Duration) -> Self {
        Self {
            watch,
            pace: Pace::new(every),
            began: (Timestamp::now(), Instant::now()),
            gone: false,
        }
    }

    /// The watch that is fed.
    pub fn watch(&self) -> &Watch {
        &self.watch
    }

    /// Goes on under other options; what was seen is kept.
    pub fn set_options(&mut self, options: crate::Options, every: Duration) {
        self.watch.set_options(options);
        self.pace.set_every(every);
    }

    fn now(&self) -> Timestamp {
        let (time, clock) = self.began;
        let since = SignedDuration::try_from(clock.elapsed());
        since
            .ok()
            .and_then(|since| time.checked_add(since).ok())
            .unwrap_or(time)
    }

    /// How long to wait for the next sample, from the beginning of the last.
    pub fn pause(&self) -> Duration {
        self.pace.pause()
    }

    /// Fetches the grouped profile and what the watch wants then, one after the other.
    ///
    /// A target that refused the connection has ended: if it answers later it is another process,
    /// and the watch is told so.
    ///
    /// # Errors
    /// If the grouped profile could not be had. The next pause is longer then.
    ///
    /// # Cancel safety
    /// Dropping the future closes the connection. What was fetched whole until then counts.
    pub async fn sample(&mut self, fetcher: &Fetcher) -> Result<Sample, FetchError> {
        let began = Instant::now();
        let profile = match fetcher.goroutines().await {
            Ok(profile) => profile,
            Err(error) => {
                self.gone |= error.is_refused();
                self.pace.failed();
                return Err(error);
            }
        };
        let took = began.elapsed();
        self.pace.replied(took, profile.total);
        if std::mem::take(&mut self.gone) && !self.watch.total().points().is_empty() {
            self.watch.restarted();
        }
        let at = self.now();
        self.watch.feed(at, &profile);
        let mut sample = Sample {
            profile,
            took,
            dumped: false,
            problems: Vec::new(),
        };
        for _ in 0..MOST_WANTS {
            let Some(want) = self.watch.want(at) else {
                break;
            };
            match fetcher.wanted(want).await {
                Ok(Some(profile)) => {
                    self.watch.feed(at, &profile);
                    sample.dumped |= want == Want::Dump;
                }
                Ok(None) if want == Want::LeakProfile => self.watch.no_leak_profile(),
                Ok(None) => {}
                Err(error) => sample.problems.push(error),
            }
        }
        Ok(sample)
    }
}
