//! The two forms: how the task that asks the discounter gets its answer to the handler.

use std::sync::Arc;

use muster_tasks::{AwaitLabel, Closed, Group, TaskHandle};

use crate::discounter::AskError;
use crate::rendezvous::Rendezvous;

type Percent = Result<u8, AskError>;

/// Which form the service has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// The asking task waits until its answer is taken.
    Leaking,
    /// The asking task leaves its answer in a slot.
    Mended,
}

/// A question that is asked meanwhile.
#[derive(Debug)]
pub enum Asked {
    /// See [`Form::Leaking`].
    Rendezvous(Arc<Rendezvous<Percent>>),
    /// See [`Form::Mended`].
    Slot(TaskHandle<Percent>),
}

impl Asked {
    /// Asks in a task of its own.
    ///
    /// # Errors
    /// [`Closed`] if the group takes no more tasks.
    pub fn start(
        form: Form,
        group: &Group,
        ask: impl Future<Output = Percent> + Send + 'static,
    ) -> Result<Self, Closed> {
        match form {
            Form::Leaking => {
                let rendezvous = Arc::new(Rendezvous::default());
                let answer = Arc::clone(&rendezvous);
                // The line that leaks: if the handler returns early, nobody takes, and this task waits for ever.
                group.go("ask", async move {
                    let percent = ask.await;
                    answer.give(percent).at("handing over the answer").await;
                })?;
                Ok(Self::Rendezvous(rendezvous))
            }
            // The result waits in the task's slot. If the handler returns early, the handle is dropped, and so is
            // the result; the task has ended or will when it is answered or its time is up.
            Form::Mended => Ok(Self::Slot(group.spawn("ask", ask)?)),
        }
    }

    /// Waits for the answer; `None` if there is none.
    pub async fn percent(self) -> Option<u8> {
        match self {
            Self::Rendezvous(rendezvous) => rendezvous.take().await.ok(),
            Self::Slot(task) => task.join().await.done()?.ok(),
        }
    }
}
