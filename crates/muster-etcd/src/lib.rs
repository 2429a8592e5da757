//! A small client of etcd, over its JSON gateway.
//!
//! ```no_run
//! use muster_etcd::{Client, Event, Get, Op, Options, Range};
//! # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let client = Client::new(Options::new("etcd1:2379,etcd2:2379".parse()?))?;
//! let lease = client.grant(std::time::Duration::from_secs(10)).await?;
//! client.put("/a/b", "x", Some(lease.id)).await?;
//! let read = client.get(Get::of(Range::prefix("/a/"))).await?;
//! let mut watch = client.watch(Range::prefix("/a/")).after(read.revision);
//! match watch.next().await? {
//!     Event::Put(kv) => println!("{:?} is {:?}", kv.key_text(), kv.value),
//!     Event::Deleted { key, .. } => println!("{key:?} is gone"),
//!     Event::Resync { revision } => println!("read everything; the watch goes on after {revision}"),
//! }
//! # Ok(()) }
//! ```
//!
//! # What holds
//!
//! 1. Every call has a deadline and an outcome; when the time is up its connection is closed. Its error says what to
//!    do ([`Retry`]): it was not done, or it is not known and must be read.
//! 2. A server that cannot be reached costs its share of the time; the next one is asked, and goes first from then
//!    on. What may have been done is never sent twice, except reads and what has the same effect again.
//! 3. What etcd would refuse for its size is not sent ([`MAX_REQUEST`], [`MAX_OPS`]); what it answers is bounded
//!    ([`MAX_ANSWER`]).
//! 4. A lease is alive only as long as [`Client::keep_alive`] says so: an answer without time left is
//!    [`ErrorKind::LeaseNotFound`].
//! 5. A [`Watch`] gives each event once and in order, over failures of servers; where that is not possible it says
//!    [`Event::Resync`]. A server that stands still is noticed.
//! 6. A token that is not taken any more is replaced once.
//!
//! Nothing here runs by itself: a client is its callers' futures and the idle connections between them.
//! Needs etcd 3.4 with its gateway (`--enable-grpc-gateway`, the default).

mod client;
mod endpoints;
mod error;
mod kv;
mod lease;
mod watch;
mod wire;

pub use client::{Client, Login, Options};
pub use endpoints::{DEFAULT_PORT, Endpoint, Endpoints, EndpointsError, MAX_ENDPOINTS};
pub use error::{Error, ErrorKind, Retry};
pub use kv::{
    Compare, Condition, Get, Got, KeyValue, MAX_ANSWER, MAX_OPS, MAX_REQUEST, Op, OpDone, Range,
    Txn, TxnDone,
};
pub use lease::{Lease, LeaseId, MAX_TTL, MIN_TTL};
pub use watch::{Event, Watch};
