//! Groups and `tokio_util`'s cancellation tokens: in and out.

use std::sync::Arc;

use tokio::runtime::Handle;
use tokio::task::AbortHandle;
use tokio_util::sync::CancellationToken;

use crate::Cause;
use crate::group::{Group, GroupInner};

/// What a group has to do with tokens.
#[derive(Default)]
pub(crate) struct Tokens {
    /// Follows the group.
    out: Option<CancellationToken>,
    /// Those that wait for the tokens that the group follows; ended with it.
    followed: Vec<AbortHandle>,
}

impl Group {
    /// A token that is cancelled when the group is. One per group, made on first use; cancelling the
    /// token does not cancel the group. For one task, see [`Ctx::token`](crate::Ctx::token).
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() {
    /// let root = muster_tasks::Group::root("app");
    /// let token = root.token();
    /// root.cancel("done");
    /// assert!(token.is_cancelled());
    /// # }
    /// ```
    #[must_use]
    pub fn token(&self) -> CancellationToken {
        let token = {
            let mut control = self.inner.control.lock();
            control.tokens.out.get_or_insert_default().clone()
        };
        // A cancel that came first has found no token.
        if self.is_cancelled() {
            token.cancel();
        }
        token
    }

    /// Cancels the group when the token is cancelled, with this cause. May be called for several
    /// tokens. The group stays what it is otherwise: it is not held by the token, and waiting
    /// for it does not wait for the token.
    ///
    /// Takes one small background task of the runtime, ended when the group is cancelled or gone. Outside a
    /// runtime (of the group or the caller) only a token that is cancelled already has an effect;
    /// that is logged.
    ///
    /// ```
    /// use muster_tasks::Group;
    /// use tokio_util::sync::CancellationToken;
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let (root, token) = (Group::root("app"), CancellationToken::new());
    /// root.follow(&token, "the server shuts down");
    /// let task = root.spawn_cx("task", |cx| async move { cx.cancelled().await })?;
    /// tokio::task::yield_now().await;
    /// token.cancel();
    /// let cause = task.join().await.done().ok_or("it was dropped")?;
    /// assert_eq!(cause.to_string(), "the server shuts down");
    /// # Ok(()) }
    /// ```
    pub fn follow(&self, token: &CancellationToken, cause: impl Into<Cause>) {
        let cause = cause.into();
        if token.is_cancelled() {
            self.cancel(cause);
            return;
        }
        let inner = &self.inner;
        let Some(runtime) = inner.runtime.clone().or_else(|| Handle::try_current().ok()) else {
            tracing::warn!(group = %inner.path(), "no tokio runtime here: the token is not followed");
            return;
        };
        let (group, token) = (Arc::downgrade(inner), token.clone());
        #[expect(
            clippy::disallowed_methods,
            reason = "the watch of a group, ended with the group"
        )]
        let watch = runtime.spawn(async move {
            token.cancelled().await;
            if let Some(group) = group.upgrade() {
                group.cancel(cause);
            }
        });
        let mut control = inner.control.lock();
        control.tokens.followed.push(watch.abort_handle());
        drop(control);
        // A cancel that came first has ended nothing.
        if self.is_cancelled() {
            inner.unfollow();
        }
    }
}

impl GroupInner {
    /// The group was cancelled: its token is too, and nobody waits for other tokens any more.
    pub(crate) fn cancel_token(&self) {
        let token = self.control.lock().tokens.out.clone();
        if let Some(token) = token {
            token.cancel();
        }
        self.unfollow();
    }

    /// Ends those that wait for tokens.
    pub(crate) fn unfollow(&self) {
        let followed = std::mem::take(&mut self.control.lock().tokens.followed);
        for watch in followed {
            watch.abort();
        }
    }
}
