//! Task control for tokio: every task has a name, an owner, a place in a tree, and an end that
//! somebody knows of.
//!
//! # In one minute
//!
//! ```
//! use std::time::Duration;
//! use muster_tasks::{Group, Keyed, ResidentOptions};
//!
//! # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let root = Group::root("app");
//!
//! // A result: the handle gives it, and panics and cancels are values too.
//! let answer = root.spawn("adder", async { 40 + 2 })?.join().await.done();
//! assert_eq!(answer, Some(42));
//!
//! // Work that wants to end in its own way takes a context.
//! root.go_cx("worker", |cx| async move {
//!     while !cx.is_cancelled() {
//!         if cx.run(tokio::time::sleep(Duration::from_millis(1))).await.is_err() {
//!             break;
//!         }
//!     }
//!     // flush, say good-bye: there is a grace period
//! })?;
//!
//! // One task per key, replaced only when the old one is gone.
//! let conns: Keyed<u32> = Keyed::new(&root.group("conns"));
//! conns.start(7, |cx| async move { cx.cancelled().await; })?;
//!
//! // Periodic work; helpers of a run end with the run.
//! root.every("beat", Duration::from_secs(1), ResidentOptions::default(), |_cx| async {})?;
//!
//! println!("{}", root.render_tree());
//! let report = root.stop().await; // bounded; returns when every future was dropped
//! assert!(report.is_clean(), "{report}");
//! # Ok(()) }
//! ```
//!
//! # What holds
//!
//! 1. A task is listed from the spawn call until its future has been **dropped**. Nothing runs that
//!    [`Group::count`] and [`Group::snapshot`] do not show.
//! 2. [`Group::stop`] returns when every future was dropped, in bounded time, and its
//!    [`StopReport`] names what would not die: a task busy inside one poll, a thread that blocks.
//!    Such a task stays visible until it ends.
//! 3. A task that takes a [`Ctx`] hears of a cancel and has a grace period. A task without one cannot
//!    hear: it is dropped at its next suspension point. A task that was never polled is dropped
//!    without being run.
//! 4. A panic ends one task. It is caught at the task's boundary with its message and place, logged
//!    through `tracing`, counted, and handled by the group's [`Policy`].
//! 5. Results that nobody takes are dropped; they block nobody.
//! 6. A spawn into a closed or cancelled group is an error ([`Closed`]), never a stray task.
//! 7. [`Keyed`] has at most one live generation per key.
//! 8. Blocking work ([`Group::spawn_blocking`]) runs on named threads of its own with a bound.
//!
//! # Which call?
//!
//! | I want | call |
//! |---|---|
//! | a result | [`Group::spawn`], [`Group::spawn_cx`] |
//! | no result, as cheap as can be | [`Group::go`], [`Group::go_cx`] |
//! | errors handled by a policy | [`Group::go_result`] |
//! | back-pressure | [`GroupBuilder::limit`] with [`Group::spawn_wait`] or [`Group::try_spawn`] |
//! | helpers that end with their task | [`Group::spawn_scoped`] |
//! | one task per key | [`Keyed`] |
//! | periodic work | [`Group::every`] |
//! | jobs on a number of workers that can be changed | [`Group::pool`] |
//! | tasks that are started again when they end | [`Group::supervisor`] |
//! | all results, or the first, or some; the rest ended | [`Group::task_set`] |
//! | code that blocks | [`Group::spawn_blocking`] |
//! | a task that a library has spawned | [`Group::adopt`] |
//! | a time limit that ends the work | [`timeout`], [`Ctx::with_timeout`], [`GroupBuilder::timeout`] |
//! | to wait until all is done | [`Group::wait`], [`Group::join`] |
//! | to see what a task waits for | [`AwaitLabel::at`], [`Ctx::at`] |
//! | to see what runs | [`Group::snapshot`], [`Group::groups`], [`Group::stuck`] |
//! | to end everything | [`Group::stop`] |
//! | to end many groups at once | [`Group::stop_all`] |
//!
//! # Cost
//!
//! A task costs one record of 96 bytes and 8 in its list besides tokio's own, two short lock holds and no
//! timer: 0.1 to 0.2 us over a detached `tokio::spawn`, and about 10 ns per poll. There is no
//! global lock; a group's list has one lock ([`GroupBuilder::wide`] splits it).
//!
//! # Blocked workers
//!
//! In a multi-thread runtime one task that blocks inside a poll can stop all timers (tokio leaves them
//! to the worker that was woken last). While a root lives in such a runtime, one thread of this
//! library wakes another worker ten times a second, so that timeouts and stops stay bounded.
//!
//! # Features
//!
//! - `test`: `#[muster_tasks::test]`; for dev-dependencies only (it turns on tokio's `test-util`).
//! - `debug`: `debug::handle`, which answers `/debug/tasks` and `/debug/pprof` requests.
//! - `profiling`: with it, the profiles of processor time and memory (needs jemalloc).
//! - `lost-waker`: the [`LeakMonitor`] finds tasks that nobody can wake any more; about 50 ns per poll and 150
//!   bytes per task.
//! - `serde`: `Serialize` for snapshots and reports.
//! - `tokio-util`: `Ctx::token` and `Group::token`, cancellation tokens for code that wants one, and
//!   `Group::follow`, which cancels a group when a token is cancelled.
//!
//! # Tests
//!
//! `#[muster_tasks::test]` runs an async test in a runtime of its own, hands it a root group, and
//! fails it when a task is left, with the line that spawned it. See also [`LeakCheck`].

mod adopt;
mod blocking;
mod cause;
mod clock;
#[cfg(feature = "lost-waker")]
mod counted_waker;
mod ctx;
#[cfg(feature = "debug")]
pub mod debug;
mod entry;
mod error;
mod group;
mod handle;
mod histogram;
mod kept_waker;
mod keyed;
mod label;
mod leak;
mod list;
#[cfg(all(test, loom))]
mod loom_tests;
mod monitor;
mod name;
mod panic;
mod places;
mod pool;
mod pulse;
mod render;
mod resident;
mod scope;
mod shared;
mod signal;
mod snapshot;
mod supervisor;
mod sync;
mod task;
mod task_set;
#[cfg(feature = "test")]
#[doc(hidden)]
pub mod testing;
mod timeout;
#[cfg(feature = "tokio-util")]
mod token;

pub use blocking::{BlockingCtx, BlockingOptions};
pub use cause::{Cancelled, Cause};
pub use ctx::{AfterCancel, CancelledFuture, Ctx};
pub use error::{Closed, FailureKind, GroupError, Refusal, Summary, TaskFailure};
pub use group::{Group, GroupBuilder, Policy, StopOptions, StopOrder, StopReport};
pub use handle::{NotDone, Outcome, TaskHandle};
pub use histogram::Histogram;
pub use keyed::{Diff, Ensured, Exists, KeyInfo, Keyed, ReplaceError, StartError, Stopped};
pub use label::{AwaitLabel, Labelled};
pub use leak::{LeakCheck, LeakReport};
pub use monitor::{Finding, LeakMonitor, LeakMonitorOptions, Verdict};
#[cfg(feature = "test")]
pub use muster_tasks_macros::test;
pub use name::Name;
pub use panic::{CodeLocation, PanicData, PanicInfo, catch_panic, catch_panic_sync};
pub use pool::{
    JobHandle, OnStop, Pool, PoolBuilder, PoolCounts, PoolReport, PoolStats, Resized, ShrinkMode,
    SubmitError,
};
pub use resident::{Overlap, ResidentHandle, ResidentOptions, ResidentStats};
pub use snapshot::{GroupCount, GroupSnapshot, Snapshot, SnapshotOptions, TaskInfo, TaskState};
pub use supervisor::{
    AutoShutdown, Backoff, ChildEvent, ChildEvents, ChildId, ChildInfo, ChildResult, ChildSpec,
    ChildState, Exit, Intensity, Restart, Shutdown, Strategy, Supervisor, SupervisorBuilder,
    SupervisorError,
};
pub use task_set::{AllOkError, Collected, Fault, FirstOkError, TaskSet};
pub use timeout::{TimedOut, timeout};
