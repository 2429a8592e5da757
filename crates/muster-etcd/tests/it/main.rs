//! The client against real servers, and against peers that are none.

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

mod login;
mod operations;
mod outage;
mod peers;
mod watching;

use std::time::Duration;

use muster_etcd::{Client, Error, Event, Options, Retry, Watch};
use muster_tasks::timeout;

/// What must happen soon, or the test fails.
async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
    match timeout(Duration::from_secs(60), future).await {
        Ok(value) => value,
        Err(_) => panic!("waited in vain: {what}"),
    }
}

/// Makes a call again and again until it succeeds: servers on a busy machine miss their own deadlines.
async fn insist<T>(call: impl AsyncFn() -> Result<T, Error>) -> T {
    let made = async {
        loop {
            match call().await {
                Ok(value) => return value,
                Err(error) => assert_ne!(error.retry(), Retry::Never, "{error}"),
            }
        }
    };
    soon("a call", made).await
}

/// A client that a busy machine does not hurry.
fn client(servers: &str) -> Client {
    impatient(servers, Duration::from_secs(20))
}

fn impatient(servers: &str, timeout: Duration) -> Client {
    let mut options = Options::new(servers.parse().unwrap());
    options.timeout = timeout;
    Client::new(options).unwrap()
}

/// Takes the next event.
async fn next(watch: &mut Watch) -> Event {
    soon("an event", watch.next()).await.unwrap()
}

/// The next event in short: `put /a`, `deleted /a` or `resync`.
async fn told(watch: &mut Watch) -> String {
    let text = |key: &[u8]| String::from_utf8_lossy(key).into_owned();
    match next(watch).await {
        Event::Put(kv) => format!("put {}", text(&kv.key)),
        Event::Deleted { key, .. } => format!("deleted {}", text(&key)),
        Event::Resync { .. } => "resync".to_owned(),
    }
}
