//! Liveness checks of Redis and other services, and who is told of their state.
//!
//! One task per instance checks at a fixed interval ([`Checker`]); what it finds goes through a pure
//! state machine ([`Machine`]) to the instance's [`Slot`] on the agent's [`Board`]. A check never
//! waits for anybody who reads there.

mod board;
mod check;
mod checker;
mod classify;
mod clock;
mod discover;
pub mod document;
mod fleet;
mod health;
mod info;
mod machine;
mod metrics;
mod probe;
pub mod publish;
mod redis;
pub mod resolve;
pub mod resp;
mod schedule;
mod status;
#[cfg(feature = "testing")]
pub mod testing;
mod words;

use muster_plugin::PluginRow;

/// The checks and publishers.
pub const PLUGINS: &[PluginRow] = &[
    redis::ROW,
    check::plain::TCP,
    check::plain::HTTP,
    check::plain::EXEC,
    publish::etcd::ROW,
    publish::file::ROW,
    publish::zookeeper::ROW,
];

pub use board::{Board, Interest, Slot, Subscription, Taken};
pub use check::{CheckOptions, ExecCheckOptions, HttpCheckOptions, PlainCheck, TcpCheckOptions};
pub use checker::{Checker, MakeProbe, Timing};
pub use clock::{Clock, Moment};
pub use document::Document;
pub use fleet::{EtcdFleetWatch, Fleet, FleetWatch, Freshness, Member};
pub use health::{Health, SelfTest};
pub use machine::{Machine, Thresholds};
pub use probe::{Depth, Dialer, ExecProbe, HttpProbe, Probe, RedisOptions, RedisProbe, TcpProbe};
pub use redis::{RedisCheck, RedisCheckOptions};
pub use status::{
    Answer, CheckKind, Class, Facts, Instance, Loading, Outcome, Reason, Replication, State,
    Status, Target, Transition, Verdict,
};
