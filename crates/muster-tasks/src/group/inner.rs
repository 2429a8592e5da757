//! The shared part of a group: its lists, its state and its place in the tree.

use std::panic::Location;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use slab::Slab;
use tokio::runtime::Handle;
use tokio::sync::Notify;
use tokio::task::AbortHandle;
use tokio::time::Instant;

use super::limit::Limit;
use super::{Group, Policy};
use crate::blocking::Bound;
use crate::entry::Entry;
use crate::error::{Closed, FailureKind, Refusal, Summary, TaskFailure};
use crate::list::List;
use crate::shared::{EntryRef, Live};
use crate::signal::{ABORT, CANCEL};
use crate::sync::Mutex;
use crate::{Cause, Name};

/// Entries or groups that are visited per lock hold.
pub(crate) const SLICE: usize = 1024;

pub(crate) const CLOSED: u8 = 1;
pub(crate) const CANCELLED: u8 = 2;
pub(crate) const ABORTING: u8 = 4;
/// The last handle was dropped while tasks ran.
pub(crate) const ORPHANED: u8 = 8;

static NEXT_ID: AtomicU64 = AtomicU64::new(1);

/// What the builder sets.
pub(crate) struct Settings {
    pub(crate) grace: Duration,
    pub(crate) deadline: Option<Instant>,
    pub(crate) max_live: usize,
    pub(crate) resident: bool,
    pub(crate) on_error: Policy,
    pub(crate) on_panic: Policy,
    pub(crate) limit: Option<Arc<Limit>>,
}

pub(crate) struct GroupInner {
    pub(crate) name: Name,
    pub(crate) parent: Option<Arc<Self>>,
    pub(crate) runtime: Option<Handle>,
    pub(crate) settings: Settings,
    pub(crate) bound: Arc<Bound>,
    lists: Box<[List]>,
    pub(crate) control: Mutex<Control>,
    state: AtomicU8,
    over_budget: AtomicBool,
    /// Number of [`Group`] handles, and of child groups that hold this one.
    pub(crate) handles: AtomicUsize,
    /// Whether this group counts among its parent's handles: as long as it has handles itself. The
    /// scope of a task does not, or a group would be held by its own tasks.
    holds_parent: AtomicBool,
    /// Number of callers that wait for the group to become empty.
    waiting: AtomicUsize,
    empty: Notify,
}

#[derive(Default)]
pub(crate) struct Control {
    children: Slab<Arc<GroupInner>>,
    /// Where the parent keeps this group.
    place: Option<usize>,
    cause: Option<Cause>,
    first_failure: Option<Box<TaskFailure>>,
    failed: u64,
    /// Counts of child groups that are gone.
    gone: Summary,
    watch: Option<AbortHandle>,
    #[cfg(feature = "tokio-util")]
    pub(crate) tokens: crate::token::Tokens,
}

impl GroupInner {
    pub(crate) fn new(
        name: Name,
        parent: Option<Arc<Self>>,
        settings: Settings,
        bound: Arc<Bound>,
        shards: usize,
        is_scope: bool,
    ) -> Arc<Self> {
        crate::panic::install();
        let runtime = match &parent {
            Some(parent) if parent.runtime.is_some() => parent.runtime.clone(),
            _ => Handle::try_current().ok(),
        };
        let inner = Arc::new(Self {
            name,
            parent,
            runtime,
            settings,
            bound,
            lists: (0..shards).map(|_| List::new()).collect(),
            control: Mutex::new(Control::default()),
            state: AtomicU8::new(0),
            over_budget: AtomicBool::new(false),
            handles: AtomicUsize::new(1),
            holds_parent: AtomicBool::new(!is_scope),
            waiting: AtomicUsize::new(0),
            empty: Notify::new(),
        });

        if inner.parent.is_none() {
            crate::pulse::watch(&inner);
        }
        if let Some(parent) = &inner.parent {
            if !is_scope {
                parent.handles.fetch_add(1, Ordering::AcqRel);
            }
            parent.add_child(&inner);
        }
        inner
    }

    fn add_child(&self, child: &Arc<Self>) {
        let state = {
            let mut control = self.control.lock();
            let state = self.state();
            if state & CANCELLED == 0 {
                let place = control.children.insert(Arc::clone(child));
                child.control.lock().place = Some(place);
            }
            state
        };
        if state & CANCELLED != 0 {
            // Born cancelled: it never holds a task, so nobody has to find it.
            child.cancel(self.cause().unwrap_or(Cause::Stop));
        } else if state & CLOSED != 0 {
            child.close();
        }
    }

    // --- state ---

    pub(crate) fn state(&self) -> u8 {
        self.state.load(Ordering::Acquire)
    }

    pub(crate) fn is(&self, bit: u8) -> bool {
        self.state() & bit != 0
    }

    pub(crate) fn cause(&self) -> Option<Cause> {
        self.control.lock().cause.clone()
    }

    /// The names from the root to here, joined by slashes.
    pub(crate) fn path(&self) -> Arc<str> {
        let mut names = Vec::new();
        let mut at = Some(self);
        while let Some(group) = at {
            names.push(group.name.as_str());
            at = group.parent.as_deref();
        }
        names.reverse();
        names.join("/").into()
    }

    /// The nearest deadline of the group and those above it.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        let mut nearest = self.settings.deadline;
        let mut at = self.parent.as_deref();
        while let Some(group) = at {
            nearest = match (nearest, group.settings.deadline) {
                (Some(a), Some(b)) => Some(a.min(b)),
                (a, b) => a.or(b),
            };
            at = group.parent.as_deref();
        }
        nearest
    }

    pub(crate) fn set_watch(&self, watch: AbortHandle) {
        self.control.lock().watch = Some(watch);
    }

    pub(crate) fn is_over_budget(&self) -> bool {
        self.over_budget.load(Ordering::Relaxed)
    }

    // --- the list ---

    /// Makes a task's entry and lists it; refused when the group takes no more tasks. Returns its
    /// owner and as many references as are wanted.
    #[inline]
    pub(crate) fn register<const N: usize>(
        self: &Arc<Self>,
        name: Name,
        location: &'static Location<'static>,
        bits: u16,
    ) -> Result<(Live, [EntryRef; N]), Closed> {
        let shard = if self.lists.len() == 1 {
            0
        } else {
            thread_number() % self.lists.len()
        };
        let id = NEXT_ID.fetch_add(1, Ordering::Relaxed);
        let group = Arc::clone(self);
        let (entry, others) = EntryRef::several(|count| {
            Entry::new(group, name, location, id, shard as u8, bits, count)
        });
        match self.lists[shard].add(entry) {
            Ok((task, live)) => {
                if live > self.settings.max_live {
                    self.warn_over_budget(live);
                }
                Ok((task, others))
            }
            Err(entry) => Err(self.refuse(&entry.name, self.why_closed())),
        }
    }

    pub(crate) fn list(&self, shard: u8) -> &List {
        &self.lists[usize::from(shard)]
    }

    #[cold]
    pub(crate) fn refuse(&self, task: &Name, why: Refusal) -> Closed {
        Closed {
            group: self.path(),
            task: task.clone(),
            why,
        }
    }

    pub(crate) fn why_closed(&self) -> Refusal {
        match self.cause() {
            Some(cause) => Refusal::Cancelled(cause),
            None => Refusal::Closed,
        }
    }

    #[cold]
    fn warn_over_budget(&self, live: usize) {
        if !self.over_budget.swap(true, Ordering::Relaxed) {
            let (group, max) = (self.path(), self.settings.max_live);
            tracing::warn!(%group, live, max, "a group has more live tasks than it should");
        }
    }

    /// Live tasks of this group alone.
    pub(crate) fn own_live(&self) -> usize {
        self.lists.iter().map(List::len).sum()
    }

    /// Tasks ever taken by this group alone and by child groups that are gone.
    fn own_summary(&self) -> Summary {
        let mut sum = Summary::default();
        for list in &self.lists {
            sum.add(&list.summary());
        }
        let control = self.control.lock();
        sum.failed += control.failed;
        sum.add(&control.gone);
        sum
    }

    /// The counts of the whole subtree.
    pub(crate) fn summary(self: &Arc<Self>) -> Summary {
        let mut sum = Summary::default();
        self.walk(|group| sum.add(&group.own_summary()));
        sum
    }

    /// Live tasks of the whole subtree.
    pub(crate) fn live(self: &Arc<Self>) -> usize {
        let mut live = 0;
        self.walk(|group| live += group.own_live());
        live
    }

    /// Calls `f` for each live task of this group alone; never holds a lock meanwhile.
    pub(crate) fn each_entry(&self, mut f: impl FnMut(&EntryRef)) {
        let mut slice = Vec::new();
        for list in &self.lists {
            let mut from = 0;
            while let Some(next) = list.slice(from, &mut slice) {
                slice.drain(..).for_each(|entry| f(&entry));
                from = next;
            }
        }
    }

    /// The child groups at this moment.
    pub(crate) fn children(&self) -> Vec<Arc<Self>> {
        self.control
            .lock()
            .children
            .iter()
            .map(|(_, child)| Arc::clone(child))
            .collect()
    }

    /// Calls `f` for this group and every group below it, parents first.
    pub(crate) fn walk(self: &Arc<Self>, mut f: impl FnMut(&Arc<Self>)) {
        let mut todo = vec![Arc::clone(self)];
        while let Some(group) = todo.pop() {
            f(&group);
            todo.extend(group.children());
        }
    }

    // --- closing, cancelling, aborting ---

    fn raise(&self, bits: u8) -> u8 {
        self.state.fetch_or(bits, Ordering::AcqRel)
    }

    /// Takes no more tasks, here and below.
    pub(crate) fn close(self: &Arc<Self>) {
        self.walk(|group| {
            // Under the control lock, so that a child made meanwhile sees it or is seen.
            let _control = group.control.lock();
            group.raise(CLOSED);
            group.lists.iter().for_each(List::close);
        });
    }

    /// Asks every task here and below to end. The first cause stays.
    pub(crate) fn cancel(self: &Arc<Self>, cause: Cause) {
        self.walk(|group| group.cancel_own(&cause));
    }

    pub(crate) fn cancel_own(&self, cause: &Cause) {
        {
            let mut control = self.control.lock();
            if self.raise(CLOSED | CANCELLED) & CANCELLED != 0 {
                return;
            }
            control.cause = Some(cause.clone());
        }
        #[cfg(feature = "tokio-util")]
        self.cancel_token();
        // From here on nothing is added to the lists, so one pass sees every task.
        self.lists.iter().for_each(List::close);
        self.request_all(CANCEL);
    }

    /// Has every task here and below dropped at its next suspension point.
    pub(crate) fn abort_all(self: &Arc<Self>) {
        self.walk(|group| {
            group.cancel_own(&Cause::Stop);
            group.raise(ABORTING);
            group.request_all(CANCEL | ABORT);
        });
    }

    fn request_all(&self, bits: u16) {
        for list in &self.lists {
            for entry in list.request_all(bits) {
                entry.call_waiters();
            }
        }
    }

    // --- waiting ---

    pub(crate) fn became_empty(&self) {
        if self.over_budget.load(Ordering::Relaxed) {
            self.over_budget.store(false, Ordering::Relaxed);
        }
        if self.waiting.load(Ordering::Acquire) > 0 {
            self.empty.notify_waiters();
        }
        if self.handles.load(Ordering::Acquire) == 0 {
            self.reap();
        }
    }

    /// Resolves when this group alone has no live task.
    async fn own_empty(&self) {
        struct Waiting<'a>(&'a AtomicUsize);
        impl Drop for Waiting<'_> {
            fn drop(&mut self) {
                self.0.fetch_sub(1, Ordering::AcqRel);
            }
        }
        if self.own_live() == 0 {
            return;
        }
        self.waiting.fetch_add(1, Ordering::AcqRel);
        let _waiting = Waiting(&self.waiting);
        loop {
            let notified = self.empty.notified();
            tokio::pin!(notified);
            notified.as_mut().enable();
            // Takes the lists' locks: a task that ends later sees `waiting`.
            if self.own_live() == 0 {
                return;
            }
            notified.await;
        }
    }

    /// Resolves when there was an instant at which no task was live here and below.
    pub(crate) async fn drained(self: &Arc<Self>) {
        let mut before = None;
        loop {
            let mut groups = Vec::new();
            self.walk(|group| groups.push(Arc::clone(group)));
            let mut busy = false;
            for group in &groups {
                if group.own_live() > 0 {
                    busy = true;
                    group.own_empty().await;
                }
            }
            drop(groups);
            // Two passes that saw nothing live and nothing spawned in between prove an empty
            // instant; one pass alone could miss a task that moves on from group to group.
            let spawned = self.summary().spawned;
            if !busy && before == Some(spawned) {
                return;
            }
            before = (!busy).then_some(spawned);
        }
    }

    // --- failures ---

    /// A task of this group panicked.
    #[cold]
    pub(crate) fn on_panic(self: &Arc<Self>, entry: &Entry, info: crate::PanicInfo) {
        let at = info
            .location
            .as_ref()
            .map(ToString::to_string)
            .unwrap_or_default();
        let (group, task) = (self.path(), &entry.name);
        tracing::error!(%group, %task, panic = %info.message, at, "a task panicked");
        self.fail(failure_of(entry, FailureKind::Panic(info)), true);
    }

    /// A task of this group returned an error.
    #[cold]
    pub(crate) fn on_error(self: &Arc<Self>, entry: &Entry, error: Arc<str>) {
        let (group, task) = (self.path(), &entry.name);
        tracing::warn!(%group, %task, %error, "a task failed");
        self.control.lock().failed += 1;
        self.fail(failure_of(entry, FailureKind::Error(error)), false);
    }

    fn fail(self: &Arc<Self>, failure: TaskFailure, panic: bool) {
        let text: Arc<str> = failure.to_string().into();
        let cause = if panic {
            Cause::Panicked(text)
        } else {
            Cause::Failed(text)
        };
        let mut at = Some(self);
        while let Some(group) = at {
            group
                .control
                .lock()
                .first_failure
                .get_or_insert_with(|| Box::new(failure.clone()));
            let policy = if panic {
                group.settings.on_panic
            } else {
                group.settings.on_error
            };
            match policy {
                Policy::Continue => return,
                Policy::CancelGroup => return group.cancel(cause),
                Policy::Escalate => group.cancel(cause.clone()),
            }
            at = group.parent.as_ref();
        }
    }

    pub(crate) fn first_failure(&self) -> Option<Box<TaskFailure>> {
        self.control.lock().first_failure.clone()
    }

    // --- the end of a group ---

    /// A handle is gone. When it was the last one, so may be the last that held the parent.
    pub(crate) fn drop_handle(self: &Arc<Self>) {
        let mut at = Some(self);
        while let Some(group) = at {
            if group.handles.fetch_sub(1, Ordering::AcqRel) != 1 {
                return;
            }
            group.abandoned();
            at = match &group.parent {
                Some(parent) if group.holds_parent.swap(false, Ordering::AcqRel) => Some(parent),
                _ => None,
            };
        }
    }

    /// The last handle is gone: nobody can stop this group any more, so it stops itself.
    fn abandoned(self: &Arc<Self>) {
        let live = self.live();
        if live > 0 {
            self.raise(ORPHANED);
            // After a stop its report has named them.
            if self.parent.is_none() && self.cause() != Some(Cause::Stop) {
                self.log_leak(live);
            }
        }
        self.cancel(Cause::Dropped);
        if live > 0 {
            self.abort_all();
        }
        self.reap();
    }

    fn log_leak(self: &Arc<Self>, live: usize) {
        let mut named = Vec::new();
        self.walk(|group| {
            group.each_entry(|entry| {
                if named.len() < 10 {
                    named.push(format!("{} ({})", entry.name, entry.location));
                }
            });
        });
        let tasks = named.join(", ");
        tracing::error!(root = %self.name, live, tasks, "a root group was dropped without a stop");
    }

    /// Leaves the parent's list when nothing is left here. Goes on with the parent.
    fn reap(&self) {
        let mut at = Some(self);
        while let Some(group) = at {
            if group.handles.load(Ordering::Acquire) > 0 || group.own_live() > 0 {
                return;
            }
            let (place, watch) = {
                let mut control = group.control.lock();
                if !control.children.is_empty() {
                    return;
                }
                (control.place.take(), control.watch.take())
            };
            if let Some(watch) = watch {
                watch.abort();
            }
            #[cfg(feature = "tokio-util")]
            group.unfollow();
            let (Some(parent), Some(place)) = (group.parent.as_deref(), place) else {
                return;
            };
            let sum = group.own_summary();
            let removed = {
                let mut control = parent.control.lock();
                control.gone.add(&sum);
                control.children.try_remove(place)
            };
            drop(removed);
            at = Some(parent);
        }
    }
}

fn failure_of(entry: &Entry, kind: FailureKind) -> TaskFailure {
    TaskFailure {
        task: entry.name.clone(),
        group: entry.group.path(),
        spawned_at: entry.location.into(),
        kind,
    }
}

/// A small number that differs between threads.
fn thread_number() -> usize {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    thread_local!(static MINE: usize = NEXT.fetch_add(1, Ordering::Relaxed));
    MINE.try_with(|mine| *mine).unwrap_or(0)
}

impl Group {
    /// A child group for the scope of a task.
    pub(crate) fn scope_of(parent: &Arc<GroupInner>, name: Name) -> Self {
        super::GroupBuilder::new(name, Some(Arc::clone(parent))).build_scope()
    }
}
