//! Names to addresses, so that a check never waits in the system's resolver.
//!
//! Lookups run on at most [`MOST_THREADS`] threads, which exist only while there is work; at most
//! [`MOST_WAITING`] names wait for one. What was found is used for [`REFRESH`] and then looked up
//! again beside the checks, which go on with the last known addresses for up to [`KEEP`].

#[cfg(test)]
mod tests;

use std::collections::{HashMap, VecDeque};
use std::io;
use std::net::{IpAddr, ToSocketAddrs};
use std::sync::Arc;
use std::time::Duration;

use muster_tasks::{BlockingCtx, Group};
use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::Instant;

/// Threads for lookups.
pub const MOST_THREADS: usize = 4;
/// Names that wait for a thread.
pub const MOST_WAITING: usize = 1024;
/// Names that are remembered.
pub const MOST_NAMES: usize = 16 << 10;
/// Addresses are looked up again after this.
pub const REFRESH: Duration = Duration::from_secs(30);
/// A lookup that failed is tried again after this.
pub const RETRY: Duration = Duration::from_secs(2);
/// Addresses are used for so long while lookups fail.
pub const KEEP: Duration = Duration::from_secs(3600);

/// How a name is looked up; may block.
pub type Lookup = dyn Fn(&str) -> io::Result<Vec<IpAddr>> + Send + Sync;

/// Looks names up for many checks.
#[derive(Clone)]
pub struct Resolver(Arc<Inner>);

struct Inner {
    group: Group,
    lookup: Box<Lookup>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    names: HashMap<Arc<str>, Name>,
    queue: VecDeque<Arc<str>>,
    threads: usize,
}

#[derive(Default)]
struct Name {
    addresses: Option<Arc<[IpAddr]>>,
    /// When the lookup began that found these addresses.
    found: Option<Instant>,
    /// When a lookup began last.
    tried: Option<Instant>,
    /// Why the last lookup failed.
    error: Option<Arc<str>>,
    /// When somebody asked last.
    asked: Option<Instant>,
    running: bool,
    done: Arc<Notify>,
}

/// A name could not be resolved.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{host}: {why}")]
pub struct ResolveError {
    host: Arc<str>,
    why: Arc<str>,
}

impl std::fmt::Debug for Resolver {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Resolver").finish_non_exhaustive()
    }
}

impl Resolver {
    /// A resolver whose threads belong to `group`; it asks the system.
    pub fn new(group: &Group) -> Self {
        Self::with_lookup(group, Box::new(system))
    }

    /// A resolver that asks something else.
    pub fn with_lookup(group: &Group, lookup: Box<Lookup>) -> Self {
        Self(Arc::new(Inner {
            // Without a limit of its own: a thread that has nothing left to do, and has not ended
            // yet, must not keep the next one from starting.
            group: group.group("resolver"),
            lookup,
            state: Mutex::default(),
        }))
    }

    /// The addresses of a host, at least one. Waits only when none are known.
    ///
    /// # Errors
    /// If none are known and the lookup failed, or too many names wait already.
    ///
    /// # Cancel safety
    /// Cancel safe; a lookup that has begun goes on for those that ask next.
    pub async fn resolve(&self, host: &str) -> Result<Arc<[IpAddr]>, ResolveError> {
        if let Ok(address) = host.parse::<IpAddr>() {
            return Ok([address].into());
        }
        loop {
            let done = match self.ask(host) {
                Known::Addresses(addresses) => return Ok(addresses),
                Known::Failed(why) => {
                    let host = host.into();
                    return Err(ResolveError { host, why });
                }
                Known::Running(done) => done,
            };
            done.await;
        }
    }

    /// What is known of the name; starts a lookup if one is due.
    fn ask(&self, host: &str) -> Known {
        let now = Instant::now();
        let mut state = self.0.state.lock();
        if !state.names.contains_key(host) && !state.make_room(now) {
            return Known::Failed("too many names".into());
        }
        let key: Arc<str> = match state.names.get_key_value(host) {
            Some((key, _)) => Arc::clone(key),
            None => host.into(),
        };
        let waiting = state.queue.len();
        let name = state.names.entry(Arc::clone(&key)).or_default();
        name.asked = Some(now);
        let usable = name.addresses.clone().filter(|_| name.age(now) < KEEP);
        let mut begun = false;
        if name.is_due(now) {
            if waiting >= MOST_WAITING {
                let refused = || Known::Failed("too many names wait to be resolved".into());
                return usable.map_or_else(refused, Known::Addresses);
            }
            name.running = true;
            name.tried = Some(now);
            begun = true;
        }
        let known = match usable {
            Some(addresses) => Known::Addresses(addresses),
            None if name.running => {
                Known::Running(Box::pin(Arc::clone(&name.done).notified_owned()))
            }
            None => Known::Failed(name.error.clone().unwrap_or_else(|| "no address".into())),
        };
        if begun {
            state.queue.push_back(key);
            self.see_to_threads(state);
        }
        known
    }

    /// Starts one more thread, if there may be one.
    fn see_to_threads(&self, mut state: parking_lot::MutexGuard<'_, State>) {
        if state.threads >= MOST_THREADS {
            return;
        }
        state.threads += 1;
        drop(state);
        let place = ThreadPlace {
            inner: Arc::clone(&self.0),
            is_counted: true,
        };
        let work = move |cx: BlockingCtx| place.work(&cx);
        if self.0.group.spawn_blocking("look names up", work).is_err() {
            let mut state = self.0.state.lock();
            // Whoever runs already takes what waits; if nobody does, it has failed.
            if state.threads == 0 {
                let waiting = std::mem::take(&mut state.queue);
                for key in waiting {
                    state.finish(&key, Err(io::Error::other("no thread for the lookup")));
                }
            }
        }
    }
}

/// Counts a thread from before it starts until it has nothing left to do, however it ends; also one
/// that is refused.
struct ThreadPlace {
    inner: Arc<Inner>,
    is_counted: bool,
}

impl ThreadPlace {
    /// Looks up all that waits.
    fn work(mut self, cx: &BlockingCtx) {
        while !cx.is_cancelled() {
            let mut state = self.inner.state.lock();
            let Some(key) = state.queue.pop_front() else {
                // Under the lock under which nothing waits: what is queued next finds the place free.
                self.is_counted = false;
                state.threads = state.threads.saturating_sub(1);
                return;
            };
            drop(state);
            let found = muster_tasks::catch_panic_sync(|| (self.inner.lookup)(&key));
            let found = found.unwrap_or_else(|panic| Err(io::Error::other(panic.to_string())));
            self.inner.state.lock().finish(&key, found);
        }
    }
}

impl Drop for ThreadPlace {
    fn drop(&mut self) {
        if self.is_counted {
            let mut state = self.inner.state.lock();
            state.threads = state.threads.saturating_sub(1);
        }
    }
}

enum Known {
    Addresses(Arc<[IpAddr]>),
    Failed(Arc<str>),
    Running(std::pin::Pin<Box<tokio::sync::futures::OwnedNotified>>),
}

impl State {
    fn finish(&mut self, key: &str, found: io::Result<Vec<IpAddr>>) {
        let Some(name) = self.names.get_mut(key) else {
            return;
        };
        name.running = false;
        match found {
            Ok(addresses) if !addresses.is_empty() => {
                name.addresses = Some(addresses.into());
                name.found = name.tried;
                name.error = None;
            }
            Ok(_) => name.error = Some("it has no address".into()),
            Err(error) => name.error = Some(error.to_string().into()),
        }
        name.done.notify_waiters();
    }

    /// Forgets names that nobody has asked for lately, if there are too many.
    fn make_room(&mut self, now: Instant) -> bool {
        if self.names.len() >= MOST_NAMES {
            let wanted = |name: &Name| {
                let asked = name.asked.map_or(KEEP, |asked| now - asked);
                name.running || asked < REFRESH * 10
            };
            self.names.retain(|_, name| wanted(name));
        }
        self.names.len() < MOST_NAMES
    }
}

impl Name {
    fn age(&self, now: Instant) -> Duration {
        self.found.map_or(Duration::MAX, |found| now - found)
    }

    fn is_due(&self, now: Instant) -> bool {
        let pause = if self.error.is_some() { RETRY } else { REFRESH };
        !self.running && self.tried.is_none_or(|tried| now - tried >= pause)
    }
}

fn system(host: &str) -> io::Result<Vec<IpAddr>> {
    let mut found: Vec<IpAddr> = Vec::new();
    for address in (host, 0).to_socket_addrs()? {
        if !found.contains(&address.ip()) {
            found.push(address.ip());
        }
    }
    Ok(found)
}
