//! Following what changes below a node.

use std::collections::{HashSet, VecDeque};
use std::sync::{Arc, Weak};

use parking_lot::Mutex;
use tokio::sync::Notify;

/// Changes that are kept for a reader who is slow; when there are more, they become one
/// [`Event::Resync`].
pub const MAX_CHANGES: usize = 4096;

/// The most watches of one session.
pub const MAX_WATCHES: usize = 256;

/// What a [`Watch`] tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// This node was created, written or deleted, once or more often. Read it.
    Changed(String),
    /// Anything may have changed: read everything again. Comes first, after each reconnection, and
    /// when the reader was too slow.
    Resync,
}

/// Follows one node and all below it, for as long as the session is not stopped. Ends when dropped.
///
/// Each connection places the watch anew before it says [`Event::Resync`], so that whoever reads
/// everything on `Resync` and the named node on `Changed` misses nothing. Where the server
/// has no such watches (before ZooKeeper 3.6), a `Resync` comes instead each third of the
/// session's time.
#[derive(Debug)]
pub struct Watch {
    subscription: Arc<Subscription>,
    registry: Weak<Registry>,
}

impl Watch {
    /// The next event; `None` for ever when the session was stopped. Waits while there is nothing
    /// to tell.
    ///
    /// # Cancel safety
    /// Cancel safe: giving up the await loses nothing.
    pub async fn next(&mut self) -> Option<Event> {
        loop {
            let notified = self.subscription.told.notified();
            match self.subscription.pending.lock().take() {
                Taken::Event(event) => return Some(event),
                Taken::Ended => return None,
                Taken::Nothing => {}
            }
            notified.await;
        }
    }

    /// The node that is followed.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.subscription.path
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        if let Some(registry) = self.registry.upgrade() {
            registry.remove(&self.subscription);
        }
        self.subscription.gone.notify_one();
    }
}

/// What is told to one watch and was not taken yet.
#[derive(Debug, Default)]
struct Pending {
    resync: bool,
    changed: VecDeque<Arc<str>>,
    known: HashSet<Arc<str>>,
    ended: bool,
}

enum Taken {
    Event(Event),
    Nothing,
    Ended,
}

impl Pending {
    fn changed(&mut self, path: String) {
        if self.resync || self.known.contains(path.as_str()) {
            return;
        }
        if self.changed.len() >= MAX_CHANGES {
            return self.resync();
        }
        let path: Arc<str> = path.into();
        self.known.insert(Arc::clone(&path));
        self.changed.push_back(path);
    }

    fn resync(&mut self) {
        self.changed = VecDeque::new();
        self.known = HashSet::new();
        self.resync = true;
    }

    fn take(&mut self) -> Taken {
        if self.ended {
            Taken::Ended
        } else if std::mem::take(&mut self.resync) {
            Taken::Event(Event::Resync)
        } else if let Some(path) = self.changed.pop_front() {
            self.known.remove(&path);
            Taken::Event(Event::Changed(path.as_ref().into()))
        } else {
            Taken::Nothing
        }
    }
}

/// One watch as the client's side sees it.
#[derive(Debug)]
pub(crate) struct Subscription {
    pub(crate) path: String,
    pending: Mutex<Pending>,
    told: Notify,
    gone: Notify,
}

impl Subscription {
    pub(crate) fn changed(&self, path: String) {
        self.pending.lock().changed(path);
        self.told.notify_one();
    }

    pub(crate) fn resync(&self) {
        self.pending.lock().resync();
        self.told.notify_one();
    }

    /// Resolves when the watch was dropped. One waiter at a time.
    pub(crate) async fn gone(&self) {
        self.gone.notified().await;
    }
}

/// All watches of a session.
#[derive(Debug, Default)]
pub(crate) struct Registry {
    inner: Mutex<Inner>,
    /// A watch was added.
    pub(crate) added: Notify,
}

#[derive(Debug, Default)]
struct Inner {
    all: Vec<Arc<Subscription>>,
    ended: bool,
}

impl Registry {
    /// Adds a watch; `None` if there are [`MAX_WATCHES`].
    pub(crate) fn add(self: &Arc<Self>, path: &str) -> Option<Watch> {
        let mut inner = self.inner.lock();
        if inner.all.len() >= MAX_WATCHES {
            return None;
        }
        let subscription = Arc::new(Subscription {
            path: path.to_owned(),
            pending: Mutex::new(Pending {
                ended: inner.ended,
                ..Pending::default()
            }),
            told: Notify::new(),
            gone: Notify::new(),
        });
        inner.all.push(Arc::clone(&subscription));
        drop(inner);
        self.added.notify_one();
        Some(Watch {
            subscription,
            registry: Arc::downgrade(self),
        })
    }

    fn remove(&self, subscription: &Arc<Subscription>) {
        let is_other = |one: &Arc<Subscription>| !Arc::ptr_eq(one, subscription);
        self.inner.lock().all.retain(is_other);
    }

    pub(crate) fn all(&self) -> Vec<Arc<Subscription>> {
        self.inner.lock().all.clone()
    }

    /// Ends all watches, those that are added later too.
    pub(crate) fn end(&self) {
        let mut inner = self.inner.lock();
        inner.ended = true;
        for subscription in &inner.all {
            subscription.pending.lock().ended = true;
            subscription.told.notify_one();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    #[derive(Clone, Debug)]
    enum Step {
        Changed(u8),
        Resync,
        Take,
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            4 => any::<u8>().prop_map(Step::Changed),
            1 => Just(Step::Resync),
            4 => Just(Step::Take),
        ]
    }

    proptest! {
        /// A reader that reads what it is told to read knows in the end what has changed.
        #[test]
        fn nothing_is_missed(steps in prop::collection::vec(step(), 0..200)) {
            let mut pending = Pending::default();
            let mut unread = BTreeSet::new();
            let read = |taken, unread: &mut BTreeSet<String>| match taken {
                Taken::Event(Event::Changed(path)) => { unread.remove(&path); true }
                Taken::Event(Event::Resync) => { unread.clear(); true }
                Taken::Nothing | Taken::Ended => false,
            };
            for step in steps {
                match step {
                    Step::Changed(n) => {
                        unread.insert(format!("/{n}"));
                        pending.changed(format!("/{n}"));
                    }
                    Step::Resync => pending.resync(),
                    Step::Take => { read(pending.take(), &mut unread); }
                }
                prop_assert_eq!(pending.changed.len(), pending.known.len());
            }
            while read(pending.take(), &mut unread) {}
            prop_assert!(unread.is_empty());
        }
    }

    #[test]
    fn too_many_changes_become_one_resync() {
        let mut pending = Pending::default();
        (0..=MAX_CHANGES).for_each(|n| pending.changed(format!("/{n}")));
        assert!(matches!(pending.take(), Taken::Event(Event::Resync)));
        assert!(matches!(pending.take(), Taken::Nothing));
        pending.changed("/x".into());
        assert!(matches!(pending.take(), Taken::Event(Event::Changed(_))));
    }

    #[muster_tasks::test]
    async fn a_watch_ends_with_the_session(_root: muster_tasks::Group) {
        let registry = Arc::new(Registry::default());
        let mut watch = registry.add("/a").unwrap();
        registry.all()[0].changed("/a/b".into());
        assert_eq!(watch.next().await, Some(Event::Changed("/a/b".into())));
        registry.end();
        assert_eq!(watch.next().await, None);
        assert_eq!(watch.next().await, None);
        assert_eq!(registry.add("/b").unwrap().next().await, None);
        drop(watch);
        assert!(registry.all().is_empty());
        let held: Vec<_> = (0..MAX_WATCHES)
            .filter_map(|_| registry.add("/c"))
            .collect();
        assert_eq!(
            (held.len(), registry.add("/c").is_none()),
            (MAX_WATCHES, true)
        );
    }
}
