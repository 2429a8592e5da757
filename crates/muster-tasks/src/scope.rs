//! Work that owns a scope: what it spawns through its context ends with it.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use pin_project_lite::pin_project;

use crate::Cause;
use crate::group::{Group, StopOptions};
use crate::panic::guard;
use crate::shared::EntryRef;
use crate::signal::ABORT;
use crate::task::{Ended, Work};

type Drain = Pin<Box<dyn Future<Output = ()> + Send>>;

pin_project! {
    /// Runs a future, then stops its scope (if one was made), and only then ends.
    ///
    /// `guard` is dropped last: after the future and after everything in the scope.
    pub(crate) struct Scoped<F: Future, G> {
        #[pin]
        fut: Option<F>,
        ended: Option<Ended<F::Output>>,
        drain: Option<Drain>,
        forced: bool,
        entry: EntryRef,
        guard: G,
    }
}

impl<F: Future, G> Scoped<F, G> {
    pub(crate) fn new(fut: F, entry: EntryRef, guard: G) -> Self {
        Self {
            fut: Some(fut),
            ended: None,
            drain: None,
            forced: false,
            entry,
            guard,
        }
    }
}

impl<F: Future, G> Work for Scoped<F, G> {
    type Value = F::Output;

    fn step(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        must_drop: bool,
        bits: u16,
    ) -> Poll<Ended<F::Output>> {
        let mut this = self.project();
        let entry = this.entry;
        if let Some(fut) = this.fut.as_mut().as_pin_mut() {
            let mut ended = if must_drop {
                Ended::Dropped
            } else {
                match guard(|| fut.poll(cx)) {
                    Ok(Poll::Pending) => return Poll::Pending,
                    Ok(Poll::Ready(value)) => Ended::Done(value),
                    Err(info) => Ended::Panicked(info),
                }
            };
            if let Err(info) = guard(|| this.fut.set(None)) {
                ended = Ended::Panicked(info);
            }
            *this.ended = Some(ended);
            *this.drain = entry.close_scope().map(|scope| {
                let options = StopOptions {
                    grace: scope.inner.settings.grace,
                    ..StopOptions::default()
                };
                Box::pin(drain(scope, entry.clone(), options)) as Drain
            });
        }
        if let Some(drain) = this.drain.as_mut() {
            if bits & ABORT != 0 && !*this.forced {
                *this.forced = true;
                if let Some(scope) = entry.scope() {
                    scope.inner.abort_all();
                }
            }
            ready!(drain.as_mut().poll(cx));
            *this.drain = None;
        }
        Poll::Ready(this.ended.take().unwrap_or(Ended::Dropped))
    }
}

async fn drain(scope: Group, entry: EntryRef, options: StopOptions) {
    scope.cancel(Cause::OwnerEnded);
    let report = scope.stop_with(options).await;
    if !report.is_clean() {
        let task = &entry.name;
        tracing::warn!(%task, %report, "helpers outlive the task that started them");
    }
    entry.drop_scope();
}
