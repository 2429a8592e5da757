//! What the submitters and workers of a pool share: the queue, who waits on either side, and counts.

use std::collections::VecDeque;
use std::mem;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use parking_lot::Mutex;
use slab::Slab;
use tokio::sync::Notify;
use tokio::time::Instant;

use super::stats::{Counts, PoolStats};
use super::waiters::Waiters;
use super::{ShrinkMode, SubmitError};
use crate::Cause;
use crate::handle::{Outcome, Slot};
use crate::panic::guard;
use crate::shared::EntryRef;

/// A job with what belongs to it.
pub(super) struct Queued<J, T> {
    pub(super) job: J,
    pub(super) reply: Reply<T>,
    /// When it was submitted.
    pub(super) since: Instant,
}

/// Where a job's outcome goes, if anybody wants it. It always goes there.
pub(super) struct Reply<T>(Option<Arc<Slot<T>>>);

impl<T> Reply<T> {
    pub(super) fn to(slot: Option<Arc<Slot<T>>>) -> Self {
        Self(slot)
    }

    pub(super) fn give(mut self, outcome: Outcome<T>) {
        match self.0.take() {
            Some(slot) => slot.deliver(outcome),
            // The value's destructor may panic, and nobody is there to be told.
            None => drop(guard(|| drop(outcome))),
        }
    }
}

impl<T> Drop for Reply<T> {
    fn drop(&mut self) {
        if let Some(slot) = self.0.take() {
            slot.deliver(Outcome::Aborted);
        }
    }
}

/// How a job went, for the counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum How {
    Done { failed: bool },
    Panicked,
    TimedOut,
    Aborted,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// Waits in `State::idle`.
    Idle,
    /// Will look for a job at its next poll; counted in `State::woken`.
    Woken,
    /// Will look at its next poll and leave.
    Called,
    /// Runs a job, since then.
    Busy(Instant),
}

struct Worker {
    entry: EntryRef,
    waker: Option<Waker>,
    phase: Phase,
    /// It ends instead of taking another job.
    leaving: bool,
    /// Its job was told to end as well.
    cancelled: bool,
}

pub(super) struct Shared<J, T> {
    state: Mutex<State<J, T>>,
    /// Workers left, or the pool was closed.
    pub(super) changed: Notify,
    /// No job is queued or run.
    at_rest: Notify,
    /// Whether queued jobs are run when the group is stopped.
    drain: bool,
}

pub(super) struct State<J, T> {
    queue: VecDeque<Queued<J, T>>,
    capacity: usize,
    waiters: Waiters<J, T>,
    workers: Slab<Worker>,
    /// Those that wait for a job, the latest last.
    idle: Vec<usize>,
    /// Workers that were woken for a job and have not looked yet.
    woken: usize,
    target: usize,
    busy: usize,
    closed: bool,
    counts: Counts,
    /// Workers to abort, and when.
    evictions: VecDeque<(Instant, EntryRef)>,
    rest_watchers: usize,
}

/// Wakes that are made when the lock is free again.
#[derive(Default)]
struct Wakes(Vec<Waker>);

impl Wakes {
    fn wake(self) {
        self.0.into_iter().for_each(Waker::wake);
    }
}

/// What a worker shall do.
pub(super) enum Next<J, T> {
    Run(Queued<J, T>, Instant),
    Leave,
}

/// What a resize has to do outside of the lock.
#[derive(Default)]
pub(super) struct Resizing {
    pub(super) from: usize,
    pub(super) to_start: usize,
    pub(super) leaving: usize,
    wakes: Wakes,
    to_cancel: Vec<EntryRef>,
}

impl Resizing {
    pub(super) fn carry_out(self) {
        self.wakes.wake();
        for entry in self.to_cancel {
            entry.cancel(Cause::from("the pool was made smaller"));
        }
    }
}

impl<J, T> Shared<J, T> {
    pub(super) fn new(capacity: usize, drain: bool) -> Self {
        Self {
            state: Mutex::new(State {
                queue: VecDeque::new(),
                capacity: capacity.max(1),
                waiters: Waiters::new(),
                workers: Slab::new(),
                idle: Vec::new(),
                woken: 0,
                target: 0,
                busy: 0,
                closed: false,
                counts: Counts::default(),
                evictions: VecDeque::new(),
                rest_watchers: 0,
            }),
            changed: Notify::new(),
            at_rest: Notify::new(),
            drain,
        }
    }

    // --- submitting ---

    pub(super) fn try_push(&self, queued: Queued<J, T>) -> Result<(), SubmitError<J>> {
        let waker = {
            let mut state = self.state.lock();
            if state.closed {
                drop(state);
                return Err(SubmitError::Closed(queued.withdraw()));
            }
            if !state.has_room() {
                state.counts.refused += 1;
                drop(state);
                return Err(SubmitError::Full(queued.withdraw()));
            }
            state.push(queued)
        };
        if let Some(waker) = waker {
            waker.wake();
        }
        Ok(())
    }

    /// Submits a job, or has it wait for room: then its ticket is returned.
    pub(super) fn push_or_wait(
        &self,
        queued: Queued<J, T>,
        waker: &Waker,
    ) -> Result<Option<u64>, SubmitError<J>> {
        let woken = {
            let mut state = self.state.lock();
            if state.closed {
                drop(state);
                return Err(SubmitError::Closed(queued.withdraw()));
            }
            if !state.has_room() {
                return Ok(Some(state.waiters.push(queued, waker.clone())));
            }
            state.push(queued)
        };
        if let Some(waker) = woken {
            waker.wake();
        }
        Ok(None)
    }

    /// Whether a job that waited for room has got it.
    pub(super) fn poll_waiting(
        &self,
        ticket: u64,
        waker: &Waker,
    ) -> Poll<Result<(), SubmitError<J>>> {
        let mut state = self.state.lock();
        if !state.waiters.is_waiting(ticket) {
            return Poll::Ready(Ok(()));
        }
        if state.closed {
            let queued = state.waiters.remove(ticket);
            drop(state);
            return match queued {
                Some(queued) => Poll::Ready(Err(SubmitError::Closed(queued.withdraw()))),
                None => Poll::Ready(Ok(())),
            };
        }
        let old = state.waiters.update(ticket, waker);
        drop(state);
        drop(old);
        Poll::Pending
    }

    /// Takes a job that waits for room back; `None` if it got room meanwhile.
    pub(super) fn withdraw(&self, ticket: u64) -> Option<J> {
        let queued = self.state.lock().waiters.remove(ticket);
        queued.map(Queued::withdraw)
    }

    // --- workers ---

    /// Lists a worker that is about to start. `enter` must run no code of the pool's user.
    pub(super) fn hire<R, E>(
        &self,
        enter: impl FnOnce(usize) -> Result<(EntryRef, R), E>,
    ) -> Result<R, E> {
        let mut state = self.state.lock();
        let place = state.workers.vacant_entry();
        let (entry, result) = enter(place.key())?;
        place.insert(Worker {
            entry,
            waker: None,
            phase: Phase::Woken,
            leaving: false,
            cancelled: false,
        });
        state.woken += 1;
        Ok(result)
    }

    /// The next job of a worker.
    pub(super) fn poll_next(
        &self,
        key: usize,
        cancelled: bool,
        cx: &Context<'_>,
    ) -> Poll<Next<J, T>> {
        let mut admitted = Wakes::default();
        let next = {
            let mut state = self.state.lock();
            state.poll_next(key, cancelled && !self.drain, cancelled, cx, &mut admitted)
        };
        admitted.wake();
        next
    }

    /// Books the end of a worker's job.
    pub(super) fn finish(&self, key: usize, how: How, took: Duration) {
        let mut state = self.state.lock();
        if let Some(worker) = state.workers.get_mut(key) {
            worker.phase = Phase::Called;
        }
        state.busy -= 1;
        state.counts.ended(how, took);
        if state.rest_watchers > 0 && state.is_at_rest() {
            self.at_rest.notify_waiters();
        }
    }

    /// A worker is gone, however it ended.
    pub(super) fn dismiss(&self, key: usize, cause: Option<Cause>) {
        let (gone, wakes, orphaned) = {
            let mut state = self.state.lock();
            let Some(worker) = state.workers.try_remove(key) else {
                return;
            };
            match worker.phase {
                Phase::Idle => state.idle.retain(|idle| *idle != key),
                Phase::Woken => state.woken -= 1,
                Phase::Called | Phase::Busy(_) => {}
            }
            let wakes = state.call_idle();
            let orphaned = state.closed && cause.is_some() && state.workers.is_empty();
            (worker, wakes, orphaned)
        };
        drop(gone);
        wakes.wake();
        if let Some(cause) = cause.filter(|_| orphaned) {
            self.discard(&cause);
        }
        self.changed.notify_waiters();
    }

    // --- size ---

    pub(super) fn resize(&self, size: usize, mode: ShrinkMode, grace: Duration) -> Resizing {
        let resizing = self.state.lock().resize(size, mode, grace);
        if !resizing.to_cancel.is_empty() {
            self.changed.notify_waiters();
        }
        resizing
    }

    pub(super) fn is_anybody_leaving(&self) -> bool {
        let state = self.state.lock();
        state.workers.iter().any(|(_, worker)| worker.leaving)
    }

    /// Aborts the workers whose time is up. Returns when the next one's is.
    pub(super) fn evict(&self) -> Option<Instant> {
        let now = Instant::now();
        loop {
            let (_, entry) = {
                let mut state = self.state.lock();
                match state.evictions.front() {
                    Some((at, _)) if *at <= now => state.evictions.pop_front()?,
                    next => return next.map(|(at, _)| *at),
                }
            };
            entry.abort();
        }
    }

    // --- the end ---

    /// Takes no more jobs; workers leave when there are none left.
    pub(super) fn close(&self) {
        let wakes = {
            let mut state = self.state.lock();
            state.closed = true;
            let mut wakes = Wakes(state.waiters.wakers());
            let idle = mem::take(&mut state.idle);
            for key in idle {
                if let Some(worker) = state.workers.get_mut(key) {
                    worker.phase = Phase::Called;
                    wakes.0.extend(worker.waker.take());
                }
            }
            wakes
        };
        wakes.wake();
        self.changed.notify_waiters();
    }

    /// Gives up what is queued; the handles get this cause.
    pub(super) fn discard(&self, cause: &Cause) {
        let queue = {
            let mut state = self.state.lock();
            state.counts.not_started += state.queue.len() as u64;
            mem::take(&mut state.queue)
        };
        for queued in queue {
            let Queued { job, reply, .. } = queued;
            // As if it were dropped in a worker: its panic is not the caller's.
            let _ = guard(|| drop(job));
            reply.give(Outcome::Cancelled(cause.clone()));
        }
        self.at_rest.notify_waiters();
    }

    /// The group was cancelled: no more jobs are taken, and if nobody will run those that are
    /// queued, they are given up.
    pub(super) fn wind_down(&self, cause: &Cause) {
        self.close();
        if !self.drain || self.state.lock().workers.is_empty() {
            self.discard(cause);
        }
    }

    pub(super) fn has_workers(&self) -> bool {
        !self.state.lock().workers.is_empty()
    }

    /// Whether it is closed, nothing is queued and nobody works.
    pub(super) fn is_over(&self) -> bool {
        let state = self.state.lock();
        state.closed && state.workers.is_empty() && state.queue.is_empty()
    }

    pub(super) fn is_closed(&self) -> bool {
        self.state.lock().closed
    }

    /// Resolves when there was an instant at which no job was queued or run.
    pub(super) async fn rest(&self) {
        struct Watching<'a, J, T>(&'a Shared<J, T>);
        impl<J, T> Drop for Watching<'_, J, T> {
            fn drop(&mut self) {
                self.0.state.lock().rest_watchers -= 1;
            }
        }
        self.state.lock().rest_watchers += 1;
        let _watching = Watching(self);
        loop {
            let notified = self.at_rest.notified();
            tokio::pin!(notified);
            notified.as_mut().enable();
            if self.state.lock().is_at_rest() {
                return;
            }
            notified.await;
        }
    }

    pub(super) fn stats(&self) -> PoolStats {
        let state = self.state.lock();
        PoolStats {
            target: state.target,
            live: state.workers.len(),
            busy: state.busy,
            idle: state.workers.len() - state.busy,
            queued: state.queue.len(),
            waiting: state.waiters.len(),
            counts: state.counts.clone(),
        }
    }
}

impl<J, T> State<J, T> {
    /// Whether a job can be taken that does not wait for others. Workers that were woken have a job
    /// each that no longer counts as queued.
    fn has_room(&self) -> bool {
        let free = !self.idle.is_empty() || self.queue.len() < self.capacity + self.woken;
        free && self.waiters.is_empty()
    }

    /// Queues a job. Returns the waker of the worker that shall take it.
    fn push(&mut self, queued: Queued<J, T>) -> Option<Waker> {
        self.counts.submitted += 1;
        self.queue.push_back(queued);
        self.call_one()
    }

    /// Has an idle worker look for a job.
    fn call_one(&mut self) -> Option<Waker> {
        let worker = self.workers.get_mut(self.idle.pop()?)?;
        worker.phase = Phase::Woken;
        self.woken += 1;
        worker.waker.take()
    }

    /// Has as many idle workers look as there are jobs nobody was called for.
    fn call_idle(&mut self) -> Wakes {
        let mut wakes = Wakes::default();
        while self.queue.len() > self.woken && !self.idle.is_empty() {
            wakes.0.extend(self.call_one());
        }
        wakes
    }

    /// Lets jobs in that waited for room.
    fn admit(&mut self, wakes: &mut Wakes) {
        while !self.closed && self.queue.len() < self.capacity + self.woken {
            let Some((queued, waker)) = self.waiters.pop() else {
                return;
            };
            wakes.0.push(waker);
            wakes.0.extend(self.push(queued));
        }
    }

    fn poll_next(
        &mut self,
        key: usize,
        leave_now: bool,
        cancelled: bool,
        cx: &Context<'_>,
        wakes: &mut Wakes,
    ) -> Poll<Next<J, T>> {
        let Some(worker) = self.workers.get_mut(key) else {
            return Poll::Ready(Next::Leave);
        };
        match mem::replace(&mut worker.phase, Phase::Called) {
            Phase::Idle => self.idle.retain(|idle| *idle != key),
            Phase::Woken => self.woken -= 1,
            Phase::Called | Phase::Busy(_) => {}
        }
        if worker.leaving || leave_now {
            return Poll::Ready(Next::Leave);
        }
        if let Some(queued) = self.queue.pop_front() {
            let now = Instant::now();
            worker.phase = Phase::Busy(now);
            self.busy += 1;
            self.counts
                .wait
                .record(now.saturating_duration_since(queued.since));
            self.admit(wakes);
            return Poll::Ready(Next::Run(queued, now));
        }
        if self.closed || cancelled {
            return Poll::Ready(Next::Leave);
        }
        worker.phase = Phase::Idle;
        worker.waker = Some(cx.waker().clone());
        self.idle.push(key);
        Poll::Pending
    }

    fn is_at_rest(&self) -> bool {
        self.queue.is_empty() && self.busy == 0 && self.waiters.is_empty()
    }

    fn resize(&mut self, size: usize, mode: ShrinkMode, grace: Duration) -> Resizing {
        let staying = self
            .workers
            .iter()
            .filter(|(_, worker)| !worker.leaving)
            .count();
        let mut resizing = Resizing {
            from: self.target,
            ..Resizing::default()
        };
        self.target = size;
        if size >= staying {
            resizing.to_start = size - staying - self.call_back(size - staying);
        } else {
            resizing.wakes = self.send_away(staying - size);
        }
        if mode == ShrinkMode::Cancel {
            let until = Instant::now() + grace;
            for (_, worker) in &mut self.workers {
                if worker.leaving && !worker.cancelled && matches!(worker.phase, Phase::Busy(_)) {
                    worker.cancelled = true;
                    resizing.to_cancel.push(worker.entry.clone());
                    self.evictions.push_back((until, worker.entry.clone()));
                }
            }
        }
        resizing.leaving = self
            .workers
            .iter()
            .filter(|(_, worker)| worker.leaving)
            .count();
        resizing.wakes.0.extend(self.call_idle().0);
        resizing
    }

    /// Keeps workers that were about to leave. Returns how many.
    fn call_back(&mut self, most: usize) -> usize {
        let mut kept = 0;
        for (_, worker) in &mut self.workers {
            if kept == most {
                break;
            }
            if worker.leaving && !worker.cancelled {
                worker.leaving = false;
                kept += 1;
            }
        }
        kept
    }

    /// Has workers leave: idle ones first, then those that took their job last.
    fn send_away(&mut self, count: usize) -> Wakes {
        let rank = |worker: &Worker| match worker.phase {
            Phase::Idle => (0, None),
            Phase::Called | Phase::Woken => (1, None),
            Phase::Busy(since) => (2, Some(std::cmp::Reverse(since))),
        };
        let mut candidates: Vec<_> = self
            .workers
            .iter()
            .filter(|(_, worker)| !worker.leaving)
            .map(|(key, worker)| (rank(worker), key))
            .collect();
        candidates.sort_unstable();
        let mut wakes = Wakes::default();
        for (_, key) in candidates.into_iter().take(count) {
            let Some(worker) = self.workers.get_mut(key) else {
                continue;
            };
            worker.leaving = true;
            match worker.phase {
                Phase::Idle => {
                    worker.phase = Phase::Called;
                    wakes.0.extend(worker.waker.take());
                    self.idle.retain(|idle| *idle != key);
                }
                Phase::Woken => {
                    worker.phase = Phase::Called;
                    self.woken -= 1;
                }
                Phase::Called | Phase::Busy(_) => {}
            }
        }
        wakes
    }
}

impl<J, T> Queued<J, T> {
    /// The job, which nobody will run; whoever submitted it gets it back instead of an outcome.
    fn withdraw(self) -> J {
        self.job
    }
}
