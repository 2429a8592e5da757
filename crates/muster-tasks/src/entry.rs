//! What the library knows of one task: one shared record, listed from spawn to end.

use std::panic::Location;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicU64, Ordering};
use std::task::Waker;
use std::time::Duration;

use once_cell::race::OnceBox;
use slab::Slab;
use tokio::sync::Notify;

use crate::clock;
use crate::group::{Group, GroupInner};
use crate::kept_waker::KeptWaker;
use crate::list::List;
use crate::shared::Count;
use crate::signal::{ABORT, BLOCKING, CANCEL, ENDED, HAS_CTX, QUEUED, Signal, WAITERS};
use crate::sync::Mutex;
use crate::{Cause, Name, label};

/// How a task ended, for the group's counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum End {
    Done = 1,
    Panicked = 2,
    Cancelled = 3,
    Aborted = 4,
}

/// One task. Its future, its handle and its contexts share it through an
/// [`EntryRef`](crate::shared::EntryRef); the list of its group points to it while it is live. Kept
/// to 96 bytes.
pub(crate) struct Entry {
    pub(crate) count: Count,
    /// Place in the list.
    pub(crate) slot: AtomicU32,
    /// When the last poll began, in [`TICK`]s since `started`.
    last_poll: AtomicU32,
    pub(crate) signal: Signal,
    ended: AtomicU8,
    /// Which list of the group.
    pub(crate) shard: u8,
    pub(crate) group: Arc<GroupInner>,
    pub(crate) name: Name,
    pub(crate) location: &'static Location<'static>,
    pub(crate) id: u64,
    /// When it was spawned, in clock milliseconds.
    pub(crate) started: u64,
    /// Twice the number of polls, plus one while a poll goes on.
    polls: AtomicU64,
    /// Tokio's waker of the task.
    pub(crate) waker: KeptWaker,
    extras: OnceBox<Extras>,
}

/// Milliseconds in which the begin of a poll is kept: 32 bits of them are two years, and a task that
/// lives longer shows too long a time since its last poll, never too short a one.
const TICK: u64 = 16;

/// What only few tasks need; made on first use.
pub(crate) struct Extras {
    pub(crate) rare: Mutex<Rare>,
    /// Shielded sections that are being run.
    pub(crate) shields: AtomicU32,
    /// Whether `Rare::awaiting` says something.
    awaits: AtomicBool,
    ended: Notify,
    #[cfg(feature = "lost-waker")]
    pub(crate) waker: crate::counted_waker::CountedWaker,
}

#[derive(Default)]
pub(crate) struct Rare {
    pub(crate) label: &'static str,
    /// The label of the await that left the task pending.
    awaiting: &'static str,
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
    #[inline]
    pub(crate) fn new(
        group: Arc<GroupInner>,
        name: Name,
        location: &'static Location<'static>,
        id: u64,
        shard: u8,
        bits: u16,
        count: Count,
    ) -> Self {
        Self {
            count,
            slot: AtomicU32::new(0),
            last_poll: AtomicU32::new(0),
            signal: Signal::new(bits),
            ended: AtomicU8::new(0),
            shard,
            group,
            name,
            location,
            id,
            started: clock::now_ms(),
            polls: AtomicU64::new(0),
            waker: KeptWaker::new(),
            extras: OnceBox::new(),
        }
    }

    // --- polling ---

    /// Notes the begin of a poll and returns the bits.
    #[inline]
    pub(crate) fn begin_poll(&self, waker: &Waker) -> u16 {
        // Only the polling thread writes these, so plain stores do. Rounded up, so that a poll never
        // seems to have begun before it did.
        let ticks = (clock::now_ms().saturating_sub(self.started)).div_ceil(TICK);
        self.last_poll.store(ticks as u32, Ordering::Relaxed);
        let polls = self.polls.load(Ordering::Relaxed);
        self.polls.store(polls | 1, Ordering::Relaxed);
        if polls == 0 {
            self.waker.note(waker);
        }
        label::begin_poll();
        self.signal.bits()
    }

    /// Notes the end of a poll that left the task pending; `bits` are from its begin.
    #[inline]
    pub(crate) fn end_poll(&self, waker: &Waker, bits: u16) {
        let polls = self.polls.load(Ordering::Relaxed) | 1;
        self.polls.store(polls + 1, Ordering::Relaxed);
        self.note_await(label::noted());
        if polls == 1 {
            let now = self.list().leave_waker(self, waker);
            // A request that came before the waker was there has woken nobody.
            if now & !bits & (CANCEL | ABORT) != 0 {
                waker.wake_by_ref();
            }
        }
    }

    /// Keeps what the awaits of this poll said.
    #[inline]
    fn note_await(&self, label: &'static str) {
        let said = self.extras.get();
        if label.is_empty() && !said.is_some_and(|extras| extras.awaits.load(Ordering::Relaxed)) {
            return;
        }
        let extras = self.extras();
        extras.awaits.store(!label.is_empty(), Ordering::Relaxed);
        extras.rare.lock().awaiting = label;
    }

    /// Whether a waker is the task's own, so that waking the task is enough.
    pub(crate) fn is_own_waker(&self, waker: &Waker) -> bool {
        self.waker.is(waker)
    }

    fn list(&self) -> &List {
        self.group.list(self.shard)
    }

    /// Whether no poll was begun before the present one.
    #[inline]
    pub(crate) fn is_first_poll(&self) -> bool {
        self.polls.load(Ordering::Relaxed) <= 1
    }

    /// Number of polls begun, and since when the present one goes on.
    pub(crate) fn poll_state(&self) -> (u64, Option<Duration>, Duration) {
        let polls = self.polls.load(Ordering::Relaxed);
        let ticks = u64::from(self.last_poll.load(Ordering::Relaxed));
        let since = clock::since_ms(self.started + ticks * TICK);
        (polls.div_ceil(2), (polls & 1 == 1).then_some(since), since)
    }

    /// Whether the task must be dropped instead of being polled, given its bits.
    #[inline]
    pub(crate) fn must_drop(&self, bits: u16) -> bool {
        if bits & (ABORT | CANCEL) == 0 {
            return false;
        }
        bits & ABORT != 0 || bits & (HAS_CTX | QUEUED) != HAS_CTX || self.is_first_poll()
    }

    // --- cancelling ---

    pub(crate) fn is_cancelled(&self) -> bool {
        self.signal.bits() & (CANCEL | ABORT | ENDED) != 0
    }

    pub(crate) fn is_blocking(&self) -> bool {
        self.signal.bits() & BLOCKING != 0
    }

    /// Why it was cancelled; `None` while it was not.
    pub(crate) fn cause(&self) -> Option<Cause> {
        let bits = self.signal.bits();
        if bits & (CANCEL | ABORT | ENDED) == 0 {
            return None;
        }
        let own = self
            .extras
            .get()
            .and_then(|extras| extras.rare.lock().cause.clone());
        let unsaid = if bits & (CANCEL | ABORT) == 0 {
            Cause::OwnerEnded
        } else {
            Cause::Handle
        };
        own.or_else(|| self.group.cause()).or(Some(unsaid))
    }

    /// Tells everybody who waits for the cancel. Calls only for a true cancel: a task that has
    /// ended by itself drops them uncalled.
    pub(crate) fn call_waiters(&self) {
        let Some(extras) = self.extras.get() else {
            return;
        };
        let waiters = std::mem::take(&mut extras.rare.lock().waiters);
        let cancelled = self.signal.bits() & (CANCEL | ABORT) != 0;
        for (_, waiter) in waiters {
            match waiter {
                Waiter::Waker(waker) => waker.wake(),
                Waiter::Thread(thread) => thread.unpark(),
                Waiter::Call(call) if cancelled => {
                    let _ = crate::catch_panic_sync(call);
                }
                Waiter::Call(call) => {
                    let _ = crate::panic::guard(|| drop(call));
                }
            }
        }
    }

    /// Registers somebody for the cancel; hands it back if the cancel has come already.
    pub(crate) fn add_waiter(&self, waiter: Waiter) -> Result<usize, Waiter> {
        let mut rare = self.extras().rare.lock();
        if self.signal.raise(WAITERS) & (CANCEL | ABORT | ENDED) != 0 {
            return Err(waiter);
        }
        // Whoever raises one of these from here on sees WAITERS and then takes this lock.
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

    /// A token follows the task to its end.
    fn cancel_token(&self) {
        #[cfg(feature = "tokio-util")]
        if let Some(token) = self
            .extras
            .get()
            .and_then(|extras| extras.rare.lock().token.clone())
        {
            token.cancel();
        }
    }

    // --- extras ---

    pub(crate) fn extras(&self) -> &Extras {
        self.extras.get_or_init(|| {
            Box::new(Extras {
                rare: Mutex::new(Rare::default()),
                shields: AtomicU32::new(0),
                awaits: AtomicBool::new(false),
                ended: Notify::new(),
                #[cfg(feature = "lost-waker")]
                waker: Default::default(),
            })
        })
    }

    pub(crate) fn extras_if_any(&self) -> Option<&Extras> {
        self.extras.get()
    }

    /// Whether the task waits and nobody can wake it; for sure only if the same is so a while later
    /// and it was not polled in between.
    #[cfg(feature = "lost-waker")]
    pub(crate) fn has_lost_waker(&self) -> bool {
        let (polls, polling_for, _) = self.poll_state();
        let waits = polls > 0 && polling_for.is_none() && !self.is_cancelled();
        waits
            && self
                .extras
                .get()
                .is_some_and(|extras| extras.waker.is_lost())
    }

    pub(crate) fn label(&self) -> &'static str {
        self.extras.get().map_or("", |extras| {
            let rare = extras.rare.lock();
            if rare.awaiting.is_empty() {
                rare.label
            } else {
                rare.awaiting
            }
        })
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
        let scope = Group::scope_of(&self.group, self.name.clone());
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

    /// Takes the task off its group's list. Called once, by [`Live`](crate::shared::Live).
    #[inline]
    pub(crate) fn finish(&self, end: End) {
        let (waker, empty) = self.list().remove(self, end);
        if let Some(extras) = self.extras.get() {
            extras.ended.notify_waiters();
        }
        // Contexts may outlive the task, in its helpers: for them it counts as cancelled now.
        if self.signal.bits() & HAS_CTX != 0 && self.signal.raise(ENDED) & WAITERS != 0 {
            self.call_waiters();
            self.cancel_token();
        }
        if empty {
            self.group.became_empty();
        }
        drop(waker);
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
            if self.list().is_ended(self) {
                return;
            }
            notified.await;
        }
    }

    // --- requests ---

    /// Asks this one task to end.
    pub(crate) fn cancel(&self, cause: Cause) {
        {
            let mut rare = self.extras().rare.lock();
            if rare.cause.is_none() && self.signal.bits() & CANCEL == 0 {
                rare.cause = Some(cause.clone());
            }
        }
        self.request(CANCEL);
        if let Some(scope) = self.scope() {
            scope.inner.cancel(cause);
        }
    }

    /// Has the task dropped at its next suspension point. A blocking one is only cancelled.
    pub(crate) fn abort(&self) {
        let abort = if self.is_blocking() { 0 } else { ABORT };
        self.request(CANCEL | abort);
        if let Some(scope) = self.scope() {
            scope.inner.abort_all();
        }
    }

    /// Raises a request, and tells the task and everybody who waits for it.
    pub(crate) fn request(&self, bits: u16) {
        if self.list().request(self, bits) {
            self.call_waiters();
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use std::mem::size_of;

    use super::*;

    /// A parked task costs its entry, 8 bytes in the list, and tokio's own memory.
    #[test]
    fn sizes() {
        assert_eq!(size_of::<Name>(), 16);
        assert_eq!(size_of::<crate::Ctx>(), 16);
        assert_eq!(size_of::<Entry>(), 96);
    }
}
