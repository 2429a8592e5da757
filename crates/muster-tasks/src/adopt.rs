//! Tasks that were spawned elsewhere, brought into the tree.

use std::future::Future;
use std::panic::Location;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::task::JoinHandle;

use crate::Name;
use crate::error::Closed;
use crate::group::Group;
use crate::handle::TaskHandle;
use crate::panic::PanicInfo;
use crate::signal::{ABORT, CANCEL, HAS_CTX, QUEUED, SCOPED};
use crate::task::{Ended, Keep, Task, Work};

impl Group {
    /// Takes a task that somebody else has spawned under the group's care: a library's, for
    /// instance, that hands out tokio's `JoinHandle`.
    ///
    /// It is listed from now on (with this call's place and its age from now), counted, waited for and
    /// reported like any other. It has no context, so a cancel aborts it at once; it stays listed
    /// until it has really ended, however long that takes. A panic in it counts as a panic of
    /// the group's (its message is known, its place is not, and tokio's default hook has printed it).
    ///
    /// Costs a task of the group besides the adopted one. The group's
    /// [`limit`](crate::GroupBuilder::limit) does not apply: the task runs already.
    ///
    /// ```
    /// # #![allow(clippy::disallowed_methods)]
    /// use muster_tasks::Group;
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let root = Group::root("app");
    /// let foreign = tokio::spawn(async { 40 + 2 });
    /// let task = root.adopt("driver", foreign)?;
    /// assert_eq!(task.join().await.done(), Some(42));
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// [`Closed`] if the group takes no more tasks; the task is aborted then, and nobody waits
    /// for its end.
    #[track_caller]
    pub fn adopt<T: Send + 'static>(
        &self,
        name: impl Into<Name>,
        task: JoinHandle<T>,
    ) -> Result<TaskHandle<T>, Closed> {
        // It ends by itself when told to, and only then: nothing may drop it before.
        let bits = HAS_CTX | SCOPED;
        match self.enter(name.into(), Location::caller(), bits) {
            Ok((live, [entry])) => {
                live.signal.clear(QUEUED);
                let work = Adopted {
                    task,
                    aborted: false,
                };
                let task = self.launch(Task::new(work, live, Keep));
                Ok(TaskHandle::new(entry, task))
            }
            Err(closed) => {
                task.abort();
                Err(closed)
            }
        }
    }
}

/// Waits for a foreign task; when it must end, aborts it and waits on.
struct Adopted<T> {
    task: JoinHandle<T>,
    aborted: bool,
}

impl<T> Work for Adopted<T> {
    type Value = T;

    fn step(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        must_drop: bool,
        bits: u16,
    ) -> Poll<Ended<T>> {
        if (must_drop || bits & (CANCEL | ABORT) != 0) && !self.aborted {
            self.aborted = true;
            self.task.abort();
        }
        Poll::Ready(match ready!(Pin::new(&mut self.task).poll(cx)) {
            Ok(value) => Ended::Done(value),
            Err(error) => match error.try_into_panic() {
                Ok(payload) => Ended::Panicked(PanicInfo::from_payload(payload)),
                Err(_cancelled) => Ended::Dropped,
            },
        })
    }
}
