//! The future that is handed to tokio: the user's work plus one pointer.

use std::future::Future;
use std::marker::PhantomData;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use pin_project_lite::pin_project;

use crate::entry::{End, Entry};
use crate::handle::Outcome;
use crate::panic::{PanicInfo, guard};
use crate::signal::ABORT;

/// How a piece of work came to its end.
pub(crate) enum Ended<T> {
    Done(T),
    Panicked(PanicInfo),
    /// It is to be dropped before it is done.
    Dropped,
}

/// Work that a task polls.
pub(crate) trait Work {
    type Value;

    /// Goes on with the work; `bits` are the requests that were made so far.
    fn step(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        entry: &Arc<Entry>,
        bits: u32,
    ) -> Poll<Ended<Self::Value>>;
}

pin_project! {
    /// A future as it is: dropped when it must be.
    pub(crate) struct Plain<F> {
        #[pin]
        pub(crate) fut: F,
    }
}

impl<F: Future> Work for Plain<F> {
    type Value = F::Output;

    #[inline]
    fn step(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        entry: &Arc<Entry>,
        bits: u32,
    ) -> Poll<Ended<F::Output>> {
        if entry.must_drop(bits) {
            return Poll::Ready(Ended::Dropped);
        }
        self.project().fut.poll(cx).map(Ended::Done)
    }
}

/// What becomes of a task's outcome.
pub(crate) trait Sink<T> {
    type Out;

    fn take(outcome: Outcome<T>) -> Self::Out;
}

/// Nobody wants the result.
pub(crate) struct Discard;

impl<T> Sink<T> for Discard {
    type Out = ();

    fn take(outcome: Outcome<T>) {
        // The value's destructor may panic, and nobody is there to be told.
        let _ = crate::panic::guard(|| drop(outcome));
    }
}

/// The result waits in tokio's own task cell for the handle.
pub(crate) struct Keep;

impl<T> Sink<T> for Keep {
    type Out = Outcome<T>;

    #[inline]
    fn take(outcome: Outcome<T>) -> Outcome<T> {
        outcome
    }
}

pin_project! {
    /// Polls the work, catches its panic, drops it, and only then takes the task off the list.
    pub(crate) struct Task<W, S> {
        #[pin]
        work: Option<W>,
        entry: Arc<Entry>,
        sink: PhantomData<fn() -> S>,
    }

    impl<W, S> PinnedDrop for Task<W, S> {
        fn drop(this: Pin<&mut Self>) {
            let mut this = this.project();
            if this.work.is_none() {
                return;
            }
            // Only a runtime that shuts down drops a task that has not ended.
            let _ = guard(|| this.work.set(None));
            this.entry.finish(End::Aborted);
        }
    }
}

impl<W, S> Task<W, S> {
    #[inline]
    pub(crate) fn new(work: W, entry: Arc<Entry>) -> Self {
        Self {
            work: Some(work),
            entry,
            sink: PhantomData,
        }
    }
}

impl<W: Work, S: Sink<W::Value>> Future for Task<W, S> {
    type Output = S::Out;

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<S::Out> {
        let mut this = self.project();
        let entry = &*this.entry;
        let bits = entry.begin_poll(cx.waker());
        let stepped = guard(|| {
            let stepped = match this.work.as_mut().as_pin_mut() {
                Some(work) => work.step(cx, entry, bits),
                None => Poll::Ready(Ended::Dropped),
            };
            if stepped.is_ready() {
                this.work.set(None);
            }
            stepped
        });
        let ended = match stepped {
            Ok(Poll::Pending) => {
                entry.end_poll();
                return Poll::Pending;
            }
            Ok(Poll::Ready(ended)) => ended,
            Err(info) => {
                let _ = guard(|| this.work.set(None));
                Ended::Panicked(info)
            }
        };
        Poll::Ready(S::take(conclude(entry, ended)))
    }
}

/// Books the end of a task whose work has been dropped.
#[inline]
pub(crate) fn conclude<T>(entry: &Arc<Entry>, ended: Ended<T>) -> Outcome<T> {
    match ended {
        Ended::Done(value) => {
            entry.finish(End::Done);
            Outcome::Done(value)
        }
        Ended::Panicked(info) => {
            entry.group.on_panic(entry, info.clone());
            entry.finish(End::Panicked);
            Outcome::Panicked(info)
        }
        Ended::Dropped => {
            let outcome = outcome_of_dropped(entry);
            let forced = matches!(outcome, Outcome::Aborted) || entry.signal.bits() & ABORT != 0;
            entry.finish(if forced { End::Aborted } else { End::Cancelled });
            outcome
        }
    }
}

fn outcome_of_dropped<T>(entry: &Entry) -> Outcome<T> {
    match entry.cause() {
        Some(cause) if cause.is_timeout() => Outcome::TimedOut,
        Some(cause) if entry.signal.bits() & ABORT == 0 => Outcome::Cancelled(cause),
        _ => Outcome::Aborted,
    }
}
