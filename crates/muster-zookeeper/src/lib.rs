//! A ZooKeeper session that heals itself.
//!
//! ```no_run
//! use muster_tasks::Group;
//! use muster_zookeeper::{Event, Mode, Options, Session};
//! # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let root = Group::root("app");
//! let session = Session::start(&root, Options::new("zk1,zk2,zk3/prod".parse()?))?;
//! let mut watch = session.watch("/redis")?;
//! session.connected().await?;
//! session.create_all("/redis/cache/a:6379", b"up".to_vec(), Mode::Persistent).await?;
//! while let Some(event) = watch.next().await {
//!     match event {
//!         Event::Changed(path) => println!("{path}: {:?}", session.exists(&path).await?),
//!         Event::Resync => println!("{:?}", session.children("/redis").await?),
//!     }
//! }
//! # Ok(()) }
//! ```
//!
//! # What holds
//!
//! 1. Every operation has a deadline and an outcome, and its error says what to do: it was not done,
//!    or it is not known and must be read ([`Retry`]).
//! 2. The client library runs in a **cage**: one connection, one thread, one small runtime. All three
//!    are thrown away together when the connection ends or the client shows a sign that it is broken: a
//!    panic, an answer that cannot be, a task that has ended, silence, a thread that stands still. The next cage takes
//!    the same session up; the session itself is given up only when three in a row fail with it. There is at
//!    most one cage that serves and one that dies.
//! 3. What is on its way is bounded: 4,096 operations, 16 MiB, 64 of them before the client. A request that ZooKeeper
//!    would answer by dropping the connection is not sent.
//! 4. All servers are asked at once whether they serve (`srvr`); the session goes to one that does. A server that
//!    does not answer costs nothing while another one does, and is tried last from then on. Names are resolved on
//!    one thread at most; the last known addresses are kept.
//! 5. After each connection, also to another server, reads are not older than before (a `sync` comes first),
//!    watches are placed anew and say [`Event::Resync`], and [`Connection::sessions`] says whether the session is the
//!    same.
//! 6. A stop takes two seconds at most, and ephemeral nodes are gone when it ends, if a server answers.
//!
//! The state that the session shows is no fence: after the process was paused it may be old for a moment. Whoever
//! needs a fence compares times of its own, see [`State::Suspended`].
//!
//! Needs ZooKeeper 3.5; 3.6 for watches that do not poll.

mod address;
mod batch;
mod cage;
mod error;
#[cfg(feature = "testing")]
mod fault;
mod keeper;
mod knock;
mod options;
mod path;
mod request;
mod resolve;
mod session;
mod shared;
mod stat;
mod state;
mod stats;
mod tunnel;
mod watch;

pub use address::{DEFAULT_PORT, MAX_SERVERS, Server, Servers, ServersError};
pub use batch::{MAX_BATCH, Op, OpDone};
pub use error::{Error, ErrorKind, Retry};
#[cfg(feature = "testing")]
pub use fault::Fault;
pub use options::{Access, Login, MAX_SESSION, MIN_SESSION, Options, Pauses};
pub use request::{MAX_PACKET, Mode};
pub use session::{STOP, Session};
pub use stat::{Node, SessionId, Stat};
pub use state::{Connection, Lost, State};
pub use stats::Stats;
pub use tunnel::Tls;
pub use watch::{Event, MAX_CHANGES, MAX_WATCHES, Watch};
