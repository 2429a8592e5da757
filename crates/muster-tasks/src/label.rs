//! Labels of awaits: what a task waits for, in its own words.

use std::cell::Cell;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use pin_project_lite::pin_project;

thread_local! {
    /// The first label of a pending await in the present poll of a task.
    static NOTED: Cell<&'static str> = const { Cell::new("") };
}

/// A task's poll begins: nothing was said yet.
#[inline]
pub(crate) fn begin_poll() {
    let _ = NOTED.try_with(|noted| noted.set(""));
}

/// What was said in the present poll.
#[inline]
pub(crate) fn noted() -> &'static str {
    NOTED.try_with(Cell::get).unwrap_or("")
}

/// Names an await: while it leaves its task pending, the task shows the label in snapshots and
/// dumps ([`TaskInfo::label`](crate::TaskInfo::label)). Implemented for every future.
///
/// The label is gone as soon as the await is over, so nothing has to be taken back; under it lies
/// what [`Ctx::at`](crate::Ctx::at) said last. Of labels inside each other the innermost is shown,
/// of several side by side (`select!`, `join!`) the one that is polled first. Outside of a group's task a
/// label means nothing.
///
/// Costs about 20 ns for a poll that leaves the task pending, and one small allocation per task.
///
/// ```
/// use muster_tasks::{AwaitLabel, Group};
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let root = Group::root("app");
/// let task = root.spawn("client", std::future::pending::<()>().at("waiting for the reply"))?;
/// tokio::task::yield_now().await;
/// assert_eq!(task.info().label, "waiting for the reply");
/// # root.stop().await;
/// # Ok(()) }
/// ```
pub trait AwaitLabel: Future + Sized {
    /// This future, with a label. As cancel safe as the future itself.
    fn at(self, label: &'static str) -> Labelled<Self> {
        Labelled { fut: self, label }
    }
}

impl<F: Future> AwaitLabel for F {}

pin_project! {
    /// The future of [`AwaitLabel::at`].
    #[derive(Debug)]
    #[must_use = "futures do nothing unless awaited"]
    pub struct Labelled<F> {
        #[pin]
        fut: F,
        label: &'static str,
    }
}

impl<F: Future> Future for Labelled<F> {
    type Output = F::Output;

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let this = self.project();
        let polled = this.fut.poll(cx);
        if polled.is_pending() && noted().is_empty() {
            let _ = NOTED.try_with(|noted| noted.set(this.label));
        }
        polled
    }
}
