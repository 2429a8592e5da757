//! What the library knows of one task: one shared record, listed from spawn to end.

use std::panic::Location;
use std::sync::atomic::{AtomicU8, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::task::Waker;
use std::time::Duration;

use slab::Slab;
use tokio::sync::Notify;

use crate::clock;
use crate::group::{Group, GroupInner};
use crate::signal::{ABORT, BLOCKING, CANCEL, HAS_CTX, QUEUED, SCOPED, Signal, WAITERS};
use crate::sync::Mutex;
use crate::{Cause, Name};

/// How a task ended, for the group's counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum End {
    Done = 1,
    Panicked = 2,
    Cancelled = 3,
    Aborted = 4,
}

/// One task. The list of its group, its future, its handle and its contexts share it.
pub(crate) struct Entry {
    pub(crate) signal: Signal,
    pub(crate) group: Arc<GroupInner>,
    pub(crate) name: Name,
    pub(crate) location: &'static Location<'static>,
    pub(crate) id: u64,
    /// When it was spawned, in clock milliseconds.
    pub(crate) started: u64,
    /// When the last poll began, in clock milliseconds.
    last_poll: AtomicU64,
    /// Twice the number of polls, plus one while a poll goes on.
    polls: AtomicU64,
    /// Place in the list.
    pub(crate) slot: AtomicU32,
    /// Which list of the group.
    pub(crate) shard: u8,
    ended: AtomicU8,
    extras: OnceLock<Box<Extras>>,
}

/// What only few tasks need; made on first use.
pub(crate) struct Extras {
    pub(crate) rare: Mutex<Rare>,
    /// Shielded sections that are being run.
    pub(crate) shields: AtomicU32,
    ended: Notify,
}

#[derive(Default)]
pub(crate) struct Rare {
    pub(crate) label: &'static str,
    /// Why this one task was cancelled (the group's cause counts otherwise).
    cause: Option<Cause>,
    waiters: Slab<Waiter>,
    pub(crate) scope: Option<Group>,
    /// The task's own work is over: no scope is made any more.
    scope_over: bool,
    /// Time limit of a blocking task.
    pub(crate) time_limit: Option<Duration>,
    #[cfg(feature = "tokio-util")]
    pub(crate) token: Option<tokio_util::sync::CancellationToken>,
}

/// Somebody who wants to hear of the cancel.
pub(crate) enum Waiter {
    Waker(Waker),
    Call(Box<dyn FnOnce() + Send>),
    /// A thread that waits on a condition variable.
    Thread(std::thread::Thread),
}

impl Entry {
    pub(crate) fn new(
        group: Arc<GroupInner>,
        name: Name,
        location: &'static Location<'static>,
        id: u64,
        shard: u8,
        bits: u32,
    ) -> Self {
        let now = clock::now_ms();
        Self {
            signal: Signal::new(bits),
            group,
            name,
            location,
            id,
            started: now,
            last_poll: AtomicU64::new(now),
            polls: AtomicU64::new(0),
            slot: AtomicU32::new(0),
            shard,
            ended: AtomicU8::new(0),
            extras: OnceLock::new(),
        }
    }

    // --- polling ---

    /// Notes the begin of a poll and returns the bits.
    #[inline]
    pub(crate) fn begin_poll(&self, waker: &Waker) -> u32 {
        // Only the polling thread writes these, so plain stores do.
        self.last_poll.store(clock::now_ms(), Ordering::Relaxed);
        let polls = self.polls.load(Ordering::Relaxed);
        self.polls.store(polls | 1, Ordering::Relaxed);
        self.signal.publish(waker)
    }

    /// Notes the end of a poll.
    #[inline]
    pub(crate) fn end_poll(&self) {
        let polls = self.polls.load(Ordering::Relaxed);
        self.polls.store((polls | 1) + 1, Ordering::Relaxed);
    }

    /// Whether no poll was begun before the present one.
    #[inline]
    pub(crate) fn is_first_poll(&self) -> bool {
        self.polls.load(Ordering::Relaxed) <= 1
    }

    /// Number of polls begun, and since when the present one goes on.
    pub(crate) fn poll_state(&self) -> (u64, Option<Duration>, Duration) {
        let polls = self.polls.load(Ordering::Relaxed);
        let since = clock::since_ms(self.last_poll.load(Ordering::Relaxed));
        (polls.div_ceil(2), (polls & 1 == 1).then_some(since), since)
    }

    /// Whether the task must be dropped instead of being polled, given its bits.
    #[inline]
    pub(crate) fn must_drop(&self, bits: u32) -> bool {
        if bits & (ABORT | CANCEL) == 0 {
            return false;
        }
        bits & ABORT != 0 || bits & (HAS_CTX | QUEUED) != HAS_CTX || self.is_first_poll()
    }

    // --- cancelling ---

    pub(crate) fn is_cancelled(&self) -> bool {
        self.signal.bits() & (CANCEL | ABORT) != 0
    }

    pub(crate) fn is_blocking(&self) -> bool {
        self.signal.bits() & BLOCKING != 0
    }

    /// Why it was cancelled; `None` while it was not.
    pub(crate) fn cause(&self) -> Option<Cause> {
        if !self.is_cancelled() {
            return None;
        }
        let own = self
            .extras
            .get()
            .and_then(|extras| extras.rare.lock().cause.clone());
        own.or_else(|| self.group.cause()).or(Some(Cause::Handle))
    }

    /// Asks this one task to end.
    pub(crate) fn cancel(&self, cause: Cause) {
        {
            let mut rare = self.extras().rare.lock();
            if rare.cause.is_none() && self.signal.bits() & CANCEL == 0 {
                rare.cause = Some(cause.clone());
            }
        }
        self.signal_cancel();
        let scope = self.scope();
        if let Some(scope) = scope {
            scope.inner.cancel(cause);
        }
    }

    /// Raises the cancel bit and tells everybody who waits for it.
    pub(crate) fn signal_cancel(&self) {
        if self.signal.raise(CANCEL) & WAITERS != 0 {
            self.call_waiters();
        }
    }

    /// Has the task dropped at its next suspension point.
    pub(crate) fn abort(&self) {
        let before = self.signal.raise(CANCEL | ABORT);
        if before & ABORT == 0 && before & CANCEL != 0 {
            self.signal.wake();
        }
        if before & WAITERS != 0 {
            self.call_waiters();
        }
        if before & SCOPED != 0
            && let Some(scope) = self.scope()
        {
            scope.inner.abort_all();
        }
    }

    fn call_waiters(&self) {
        let Some(extras) = self.extras.get() else {
            return;
        };
        let waiters = std::mem::take(&mut extras.rare.lock().waiters);
        for (_, waiter) in waiters {
            match waiter {
                Waiter::Waker(waker) => waker.wake(),
                Waiter::Thread(thread) => thread.unpark(),
                Waiter::Call(call) => {
                    let _ = crate::catch_panic_sync(call);
                }
            }
        }
    }

    /// Registers somebody for the cancel; hands it back if the cancel has come already.
    pub(crate) fn add_waiter(&self, waiter: Waiter) -> Result<usize, Waiter> {
        let mut rare = self.extras().rare.lock();
        if self.signal.set(WAITERS) & (CANCEL | ABORT) != 0 {
            return Err(waiter);
        }
        // Whoever raises CANCEL from here on sees WAITERS and then takes this lock.
        Ok(rare.waiters.insert(waiter))
    }

    /// Replaces the waker of a registration; `false` if the cancel has come.
    pub(crate) fn update_waiter(&self, key: usize, waker: &Waker) -> bool {
        let mut rare = self.extras().rare.lock();
        match rare.waiters.get_mut(key) {
            Some(Waiter::Waker(old)) => {
                if !old.will_wake(waker) {
                    *old = waker.clone();
                }
                true
            }
            _ => false,
        }
    }

    pub(crate) fn remove_waiter(&self, key: usize) {
        // After the cancel the slab is empty and keys mean nothing; nothing is added then either.
        let removed = self.extras().rare.lock().waiters.try_remove(key);
        drop(removed);
    }

    // --- extras ---

    pub(crate) fn extras(&self) -> &Extras {
        self.extras.get_or_init(|| {
            Box::new(Extras {
                rare: Mutex::new(Rare::default()),
                shields: AtomicU32::new(0),
                ended: Notify::new(),
            })
        })
    }

    pub(crate) fn extras_if_any(&self) -> Option<&Extras> {
        self.extras.get().map(|extras| &**extras)
    }

    pub(crate) fn label(&self) -> &'static str {
        self.extras
            .get()
            .map_or("", |extras| extras.rare.lock().label)
    }

    /// The scope of the task, if one was made.
    pub(crate) fn scope(&self) -> Option<Group> {
        self.extras
            .get()
            .and_then(|extras| extras.rare.lock().scope.clone())
    }

    /// The work is over: nothing enters the scope any more. Returns the scope, if one was made.
    pub(crate) fn close_scope(&self) -> Option<Group> {
        let mut rare = self.extras.get()?.rare.lock();
        rare.scope_over = true;
        rare.scope.clone()
    }

    /// Lets go of the scope.
    pub(crate) fn drop_scope(&self) {
        let scope = self.extras().rare.lock().scope.take();
        drop(scope);
    }

    /// The scope of the task, made if need be; born cancelled if the task is cancelled or over.
    pub(crate) fn scope_or_new(&self) -> Group {
        let mut rare = self.extras().rare.lock();
        if let Some(scope) = &rare.scope {
            return scope.clone();
        }
        let scope = Group::child_of(&self.group, self.name.clone());
        if self.is_cancelled() || rare.scope_over || self.has_ended() {
            let cause = rare.cause.clone().or_else(|| self.group.cause());
            scope.inner.cancel(cause.unwrap_or(Cause::OwnerEnded));
            return scope;
        }
        rare.scope = Some(scope.clone());
        scope
    }

    // --- ending ---

    pub(crate) fn has_ended(&self) -> bool {
        self.ended.load(Ordering::Acquire) != 0
    }

    /// Takes the task off its group's list. Called once, after the future was dropped.
    pub(crate) fn finish(&self, end: End) {
        let (listed, empty) = self.group.unlist(self, end);
        if let Some(extras) = self.extras.get() {
            extras.ended.notify_waiters();
        }
        if empty {
            self.group.became_empty();
        }
        drop(listed);
    }

    /// Called by the list, under its lock.
    pub(crate) fn set_ended(&self, end: End) {
        self.ended.store(end as u8, Ordering::Release);
    }

    /// Resolves when the future was dropped and the task is off the list.
    pub(crate) async fn ended(&self) {
        loop {
            // The extras exist before the check below, and the check takes the list's lock, which
            // `finish` held when it marked the end: either the mark is seen, or the notice comes.
            let notified = self.extras().ended.notified();
            tokio::pin!(notified);
            notified.as_mut().enable();
            if self.group.is_ended_locked(self) {
                return;
            }
            notified.await;
        }
    }
}
