//! The session against real servers, and against peers that are none.

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

mod faults;
mod operations;
mod outage;
mod peers;
mod tls;
mod watching;

use std::time::Duration;

use muster_tasks::{Group, timeout};
use muster_testkit::ZooKeeper;
use muster_zookeeper::{Connection, Event, Options, Servers, Session, State, Watch};

/// What must happen soon, or the test fails.
async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
    match timeout(Duration::from_secs(60), future).await {
        Ok(value) => value,
        Err(_) => panic!("waited in vain: {what}"),
    }
}

/// Options for a test: a session that a busy machine does not lose by itself.
fn options(servers: &str) -> Options {
    let mut options = Options::new(servers.parse::<Servers>().unwrap());
    options.session_timeout = Duration::from_secs(6);
    options.operation_timeout = Duration::from_secs(20);
    options
}

/// A connected session below a root of this name.
async fn session(group: &Group, server: &ZooKeeper, root: &str) -> Session {
    let servers = format!("{}/{root}", server.address());
    let session = Session::start(group, options(&servers)).unwrap();
    soon("a connection", session.connected()).await.unwrap();
    session
}

/// Waits for a later connection than `than`.
async fn later(session: &Session, than: &Connection) -> Connection {
    let mut state = session.state();
    let is_later = |state: &State| {
        let connection = state.connection();
        connection.is_some_and(|c| c.connections > than.connections)
    };
    let state = soon("a later connection", state.wait_for(is_later)).await;
    *state.unwrap().connection().unwrap()
}

/// Takes events until this one comes.
async fn told(watch: &mut Watch, expected: Event) {
    let what = format!("{expected:?}");
    let search = async { while watch.next().await != Some(expected.clone()) {} };
    soon(&what, search).await;
}
