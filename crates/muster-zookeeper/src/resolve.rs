//! Finding the addresses of the servers, and which to try first.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::sync::Arc;
use std::time::{Duration, Instant};

use muster_tasks::{Group, TaskHandle, timeout};

use crate::Server;

/// How long names are not asked for again.
const FRESH: Duration = Duration::from_secs(30);

/// How long a connection waits for names while there are other addresses to try, and while there are none.
const WAIT: Duration = Duration::from_millis(500);
const WAIT_LONGER: Duration = Duration::from_secs(5);

/// How many addresses of one name are used.
const MAX_PER_NAME: usize = 16;

/// How long a failure moves an address to the end.
const GRUDGE: Duration = Duration::from_secs(60);

/// What asks for a name: the system, or a test.
pub(crate) type Lookup = Arc<dyn Fn(&str, u16) -> io::Result<Vec<SocketAddr>> + Send + Sync>;

type Found = Vec<(Server, io::Result<Vec<SocketAddr>>)>;

/// The addresses of the servers. Names are asked for on one thread at most; the last known addresses
/// of a name are kept as long as it cannot be resolved again.
pub(crate) struct Resolver {
    servers: Vec<Server>,
    known: HashMap<Server, Vec<SocketAddr>>,
    failed: HashMap<SocketAddr, Instant>,
    group: Group,
    lookup: Lookup,
    asked: Option<Instant>,
    running: Option<TaskHandle<Found>>,
}

/// Asks the system.
pub(crate) fn system() -> Lookup {
    Arc::new(|host, port| (host, port).to_socket_addrs().map(Iterator::collect))
}

impl Resolver {
    pub(crate) fn new(servers: &[Server], group: Group, lookup: Lookup) -> Self {
        let mut servers = servers.to_vec();
        fastrand::shuffle(&mut servers);
        let known = servers
            .iter()
            .filter_map(|server| {
                let ip: IpAddr = server.host.parse().ok()?;
                Some((server.clone(), vec![SocketAddr::new(ip, server.port)]))
            })
            .collect();
        Self {
            servers,
            known,
            failed: HashMap::new(),
            group,
            lookup,
            asked: None,
            running: None,
        }
    }

    /// The addresses to try, those that have failed of late last. Waits for names, in bounded time.
    /// Empty if no name was ever resolved.
    pub(crate) async fn addresses(&mut self) -> Vec<SocketAddr> {
        let names = self.servers.iter().filter(|server| !is_numeric(server));
        let names: Vec<Server> = names.cloned().collect();
        if !names.is_empty() {
            self.ask(names).await;
        }
        self.failed.retain(|_, at| at.elapsed() < GRUDGE);
        let known = self.servers.iter().filter_map(|s| self.known.get(s));
        let mut all: Vec<SocketAddr> = Vec::new();
        for address in known.flatten() {
            if !all.contains(address) {
                all.push(*address);
            }
        }
        all.sort_by_key(|address| self.failed.get(address).copied());
        all
    }

    /// As what the server at one of the addresses was given: its name, or the address itself.
    pub(crate) fn host_of(&self, address: SocketAddr) -> String {
        let is_there = |server: &&Server| {
            let known = self.known.get(*server);
            known.is_some_and(|known| known.contains(&address))
        };
        let server = self.servers.iter().find(is_there);
        server.map_or_else(|| address.ip().to_string(), |server| server.host.clone())
    }

    /// These did not take us, or lost us.
    pub(crate) fn failed(&mut self, addresses: &[SocketAddr]) {
        let now = Instant::now();
        self.failed.extend(addresses.iter().map(|a| (*a, now)));
    }

    async fn ask(&mut self, names: Vec<Server>) {
        if self.running.is_none() && self.asked.is_none_or(|at| at.elapsed() >= FRESH) {
            let lookup = Arc::clone(&self.lookup);
            let work = move |_: muster_tasks::BlockingCtx| {
                let found = names.into_iter().map(|name| {
                    let addresses = lookup(&name.host, name.port);
                    (name, addresses)
                });
                found.collect()
            };
            // No thread now: the last known addresses have to do.
            self.running = self.group.spawn_blocking("zookeeper-names", work).ok();
        }
        let Some(running) = &mut self.running else {
            return;
        };
        let wait = if self.known.is_empty() {
            WAIT_LONGER
        } else {
            WAIT
        };
        let Ok(outcome) = timeout(wait, running).await else {
            return;
        };
        self.running = None;
        let found = outcome.done().unwrap_or_default();
        let mut has_all = true;
        for (name, addresses) in found {
            match addresses {
                Ok(mut addresses) if !addresses.is_empty() => {
                    addresses.truncate(MAX_PER_NAME);
                    self.known.insert(name, addresses);
                }
                Ok(_) => has_all = false,
                Err(error) => {
                    has_all = false;
                    tracing::debug!(server = %name, %error, "cannot resolve a server's name");
                }
            }
        }
        self.asked = has_all.then(Instant::now);
    }
}

fn is_numeric(server: &Server) -> bool {
    server.host.parse::<IpAddr>().is_ok()
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use parking_lot::Mutex;

    use super::*;
    use crate::Servers;

    fn servers(text: &str) -> Vec<Server> {
        text.parse::<Servers>().unwrap().list().to_vec()
    }

    fn names(all: &[SocketAddr]) -> Vec<String> {
        let mut names: Vec<String> = all.iter().map(ToString::to_string).collect();
        names.sort();
        names
    }

    #[muster_tasks::test]
    async fn the_last_known_addresses_are_kept(root: Group) {
        let answers: Arc<Mutex<Vec<io::Result<Vec<SocketAddr>>>>> = Arc::default();
        let good = Ok(vec![
            "10.0.0.1:1".parse().unwrap(),
            "10.0.0.2:1".parse().unwrap(),
        ]);
        answers
            .lock()
            .extend([Err(io::ErrorKind::TimedOut.into()), good]);
        let of_lookup = Arc::clone(&answers);
        let none = || Err(io::ErrorKind::NotFound.into());
        let lookup = move |_: &str, _| of_lookup.lock().pop().unwrap_or_else(none);
        let mut resolver = Resolver::new(&servers("zk:1,[::1]:2"), root, Arc::new(lookup));
        let all = ["10.0.0.1:1", "10.0.0.2:1", "[::1]:2"];
        assert_eq!(names(&resolver.addresses().await), all);
        for (address, host) in [("10.0.0.2:1", "zk"), ("[::1]:2", "::1")] {
            assert_eq!(resolver.host_of(address.parse().unwrap()), host);
        }
        // The answer is fresh, so nobody is asked.
        assert_eq!(names(&resolver.addresses().await), all);
        assert_eq!(answers.lock().len(), 1);
        for _ in 0..2 {
            resolver.asked = None;
            assert_eq!(names(&resolver.addresses().await), all);
        }
        assert_eq!(answers.lock().len(), 0);
    }

    #[muster_tasks::test]
    async fn a_resolver_that_hangs_is_one_thread_and_holds_up_no_other_address(root: Group) {
        let (release, held) = std::sync::mpsc::channel::<()>();
        let (calls, held) = (Arc::new(AtomicUsize::new(0)), Mutex::new(held));
        let seen = Arc::clone(&calls);
        let lookup = move |_: &str, _| {
            seen.fetch_add(1, Ordering::Relaxed);
            let _ = held.lock().recv();
            Ok(vec!["10.0.0.1:1".parse().unwrap()])
        };
        let servers = servers("zk:1,10.0.0.9:1");
        let mut resolver = Resolver::new(&servers, root.clone(), Arc::new(lookup));
        for _ in 0..3 {
            assert_eq!(names(&resolver.addresses().await), ["10.0.0.9:1"]);
            assert_eq!(root.count(), 1);
        }
        assert_eq!(calls.load(Ordering::Relaxed), 1);
        drop(release);
        while resolver.addresses().await.len() < 2 {}
    }

    #[muster_tasks::test]
    async fn what_failed_last_is_tried_last(root: Group) {
        let servers = servers("10.0.0.1,10.0.0.2,10.0.0.3");
        let mut resolver = Resolver::new(&servers, root, system());
        let order = resolver.addresses().await;
        resolver.failed(&order[..1]);
        resolver.failed(&order[1..2]);
        let expected = [order[2], order[0], order[1]];
        assert_eq!(resolver.addresses().await, expected);
    }
}
