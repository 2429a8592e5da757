//! Watching targets, all in one task: what it holds ends with it.

use std::cell::RefCell;
use std::convert::Infallible;
use std::time::Duration;

use futures_util::future::join_all;
use jiff::Timestamp;
use muster_leaks::collect::{FetchError, Fetcher, Follower, Sample};
use muster_leaks::top::Row;
use muster_leaks::{Options, Verdict, Watch, top};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::Notify;
use tokio::time::Instant;

use super::access;
use super::live::Show;
use crate::Failure;

/// How to watch.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) options: Options,
    pub(super) every: Duration,
    /// How long; until somebody ends it if not given.
    pub(super) within: Option<Duration>,
    /// Whether every target must answer at the first attempt; else one is enough.
    pub(super) strict: bool,
}

/// What is known of a target.
#[derive(Clone, Debug)]
pub(super) struct Seen {
    pub(super) target: String,
    pub(super) verdict: Verdict,
    /// Goroutines over time.
    pub(super) total: Vec<(Timestamp, u64)>,
    /// What is there now.
    pub(super) top: Vec<Row>,
    /// How often it was asked.
    pub(super) attempts: u64,
    /// Why the last attempt failed.
    pub(super) error: Option<String>,
}

/// What is known, shared by the futures of one task.
#[derive(Debug)]
pub(super) struct Board {
    seen: RefCell<Vec<Seen>>,
    /// Of the targets that have never answered, why.
    failures: RefCell<Vec<Option<Failure>>>,
    changed: Notify,
}

impl Board {
    fn new(targets: impl Iterator<Item = String>, options: &Options) -> Self {
        let seen = |target: String| Seen {
            verdict: Watch::new(&target, options.clone()).verdict(),
            target,
            total: Vec::new(),
            top: Vec::new(),
            attempts: 0,
            error: None,
        };
        let seen: Vec<Seen> = targets.map(seen).collect();
        Self {
            failures: RefCell::new(seen.iter().map(|_| None).collect()),
            seen: RefCell::new(seen),
            changed: Notify::new(),
        }
    }

    /// What is known now.
    pub(super) fn look<T>(&self, look: impl FnOnce(&[Seen]) -> T) -> T {
        look(&self.seen.borrow())
    }

    fn note(&self, index: usize, follower: &Follower, outcome: Result<Sample, FetchError>) {
        let seen = &mut self.seen.borrow_mut()[index];
        let failure = &mut self.failures.borrow_mut()[index];
        seen.attempts += 1;
        match outcome {
            Ok(sample) => {
                seen.error = sample.problems.first().map(ToString::to_string);
                seen.verdict = follower.watch().verdict();
                seen.total = follower.watch().total().points().to_vec();
                seen.top = top(&sample.profile);
                *failure = None;
            }
            Err(error) => {
                if seen.verdict.samples == 0 {
                    *failure = Some(access::failure(&error));
                }
                seen.error = Some(error.to_string());
            }
        }
        self.changed.notify_one();
    }

    /// Why it makes no sense to go on, once each was asked.
    fn hopeless(&self, strict: bool) -> Option<Failure> {
        if self.look(|seen| seen.iter().any(|seen| seen.attempts == 0)) {
            return None;
        }
        let mut failures = self.failures.borrow_mut();
        let failed = failures.iter().flatten().count();
        let first = failures.iter().position(Option::is_some)?;
        let hopeless = failed == failures.len() || strict;
        if hopeless {
            failures[first].take()
        } else {
            None
        }
    }
}

async fn follow(index: usize, fetcher: &Fetcher, plan: &Plan, board: &Board) -> Infallible {
    let watch = Watch::new(fetcher.target().to_string(), plan.options.clone());
    let mut follower = Follower::new(watch, plan.every);
    loop {
        let began = Instant::now();
        let outcome = follower.sample(fetcher).await;
        board.note(index, &follower, outcome);
        tokio::time::sleep_until(began + follower.pause()).await;
    }
}

/// Watches until the time is over or somebody ends it: Ctrl-C, `q` in the live table, SIGTERM.
///
/// # Errors
/// If no target answers at the first attempt, or one does not and the plan is strict.
pub(super) async fn watch(
    fetchers: Vec<Fetcher>,
    plan: &Plan,
    mut show: Show,
) -> Result<Vec<Seen>, Failure> {
    let names = fetchers.iter().map(|fetcher| fetcher.target().to_string());
    let board = Board::new(names, &plan.options);
    let ended = async {
        match plan.within {
            Some(within) => tokio::time::sleep(within).await,
            None => std::future::pending().await,
        }
    };
    let failed =
        |error: std::io::Error| Failure::failed(format!("failed to listen to signals: {error}"));
    let mut interrupt = signal(SignalKind::interrupt()).map_err(failed)?;
    let mut terminate = signal(SignalKind::terminate()).map_err(failed)?;
    let indexed = fetchers.iter().enumerate();
    let work = join_all(indexed.map(|(index, fetcher)| follow(index, fetcher, plan, &board)));
    tokio::pin!(work, ended);
    let mut begun = false;
    loop {
        tokio::select! {
            _ = &mut work => break,
            () = &mut ended => break,
            _ = interrupt.recv() => break,
            _ = terminate.recv() => break,
            () = board.changed.notified() => {
                if let (false, Some(failure)) = (begun, board.hopeless(plan.strict)) {
                    show.end();
                    return Err(failure);
                }
                begun |= board.look(|seen| seen.iter().all(|seen| seen.attempts > 0));
                show.changed(&board)?;
            }
            () = tokio::time::sleep(show.tick()) => {
                if !show.look(&board)? {
                    break;
                }
            }
        }
    }
    show.end();
    Ok(board.seen.take())
}
