//! The future that is handed to tokio: the user's work plus one pointer.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use pin_project_lite::pin_project;

use crate::ctx::Ctx;
use crate::entry::{End, Entry};
use crate::handle::{Kept, Outcome};
use crate::panic::{PanicInfo, guard};
use crate::shared::Live;
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

    /// Goes on with the work, or ends it if it `must_drop`; `bits` are the requests made so far.
    fn step(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        must_drop: bool,
        bits: u16,
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
        must_drop: bool,
        _bits: u16,
    ) -> Poll<Ended<F::Output>> {
        if must_drop {
            return Poll::Ready(Ended::Dropped);
        }
        self.project().fut.poll(cx).map(Ended::Done)
    }
}

pin_project! {
    /// Calls a closure with a context inside the task, then runs the future that it returns. An async
    /// block would keep room for both.
    #[project = WithCxProj]
    pub(crate) enum WithCx<C, F> {
        Start { start: Option<(C, Ctx)> },
        Run { #[pin] fut: F },
    }
}

impl<C, F> WithCx<C, F> {
    #[inline]
    pub(crate) fn new(work: C, cx: Ctx) -> Self {
        Self::Start {
            start: Some((work, cx)),
        }
    }
}

impl<C: FnOnce(Ctx) -> F, F: Future> Future for WithCx<C, F> {
    type Output = F::Output;

    #[inline]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        loop {
            match self.as_mut().project() {
                WithCxProj::Run { fut } => return fut.poll(cx),
                WithCxProj::Start { start } => match start.take() {
                    Some((work, cx)) => {
                        let fut = work(cx);
                        self.set(Self::Run { fut });
                    }
                    // The closure panicked; the task that owns this has ended with it.
                    None => return Poll::Pending,
                },
            }
        }
    }
}

/// What becomes of a task's outcome.
pub(crate) trait Sink<T> {
    /// What the task leaves in tokio's memory of it.
    type Output: Send + 'static;

    fn take(&self, outcome: Outcome<T>) -> Self::Output;
}

/// Nobody wants the result.
pub(crate) struct Discard;

impl<T> Sink<T> for Discard {
    type Output = ();

    #[inline]
    fn take(&self, outcome: Outcome<T>) {
        // The value's destructor may panic, and nobody is there to be told.
        let _ = guard(|| drop(outcome));
    }
}

/// A handle may take the result.
pub(crate) struct Keep;

impl<T: Send + 'static> Sink<T> for Keep {
    type Output = Kept<T>;

    #[inline]
    fn take(&self, outcome: Outcome<T>) -> Kept<T> {
        Kept::new(outcome)
    }
}

pin_project! {
    /// Polls the work, catches its panic, drops it, and only then takes the task off the list.
    pub(crate) struct Task<W, S>
    where
        W: Work,
        S: Sink<W::Value>,
    {
        #[pin]
        work: Option<W>,
        live: Live,
        sink: S,
    }

    impl<W, S> PinnedDrop for Task<W, S>
    where
        W: Work,
        S: Sink<W::Value>,
    {
        fn drop(this: Pin<&mut Self>) {
            let mut this = this.project();
            if this.work.is_none() {
                return;
            }
            // Only a runtime that shuts down drops a task that has not ended.
            let _ = guard(|| this.work.set(None));
            this.live.finish(End::Aborted);
            drop(this.sink.take(Outcome::Aborted));
        }
    }
}

impl<W: Work, S: Sink<W::Value>> Task<W, S> {
    #[inline]
    pub(crate) fn new(work: W, live: Live, sink: S) -> Self {
        Self {
            work: Some(work),
            live,
            sink,
        }
    }
}

impl<W: Work, S: Sink<W::Value>> Future for Task<W, S> {
    type Output = S::Output;

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<S::Output> {
        let mut this = self.project();
        let live = &*this.live;
        let bits = live.begin_poll(cx.waker());
        #[cfg(feature = "lost-waker")]
        let counted = live.extras().waker.begin_poll(cx.waker());
        let stepped = guard(|| {
            #[cfg(feature = "lost-waker")]
            let cx = &mut Context::from_waker(&counted);
            let stepped = match this.work.as_mut().as_pin_mut() {
                Some(work) => work.step(cx, live.must_drop(bits), bits),
                None => Poll::Ready(Ended::Dropped),
            };
            if stepped.is_ready() {
                this.work.set(None);
            }
            stepped
        });
        let ended = match stepped {
            Ok(Poll::Pending) => {
                live.end_poll(cx.waker(), bits);
                return Poll::Pending;
            }
            Ok(Poll::Ready(ended)) => ended,
            Err(info) => {
                let _ = guard(|| this.work.set(None));
                Ended::Panicked(info)
            }
        };
        Poll::Ready(this.sink.take(conclude(live, ended)))
    }
}

/// Books the end of a task whose work has been dropped. Returns its outcome.
#[inline]
pub(crate) fn conclude<T>(live: &Live, ended: Ended<T>) -> Outcome<T> {
    match ended {
        Ended::Done(value) => {
            live.finish(End::Done);
            Outcome::Done(value)
        }
        Ended::Panicked(info) => {
            live.group.on_panic(live, info.clone());
            live.finish(End::Panicked);
            Outcome::Panicked(info)
        }
        Ended::Dropped => {
            let outcome = outcome_of_dropped(live);
            let forced = matches!(outcome, Outcome::Aborted) || live.signal.bits() & ABORT != 0;
            live.finish(if forced { End::Aborted } else { End::Cancelled });
            outcome
        }
    }
}

#[cold]
fn outcome_of_dropped<T>(entry: &Entry) -> Outcome<T> {
    match entry.cause() {
        Some(cause) if cause.is_timeout() => Outcome::TimedOut,
        Some(cause) if entry.signal.bits() & ABORT == 0 => Outcome::Cancelled(cause),
        _ => Outcome::Aborted,
    }
}
