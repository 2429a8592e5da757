//! For tests only: real servers on loopback, the agent as a process, waiting for effects.
//!
//! Everything here blocks and panics when something is not as it should be: it is made for the
//! bodies of tests. A server that is not installed makes the test fail with the command that
//! installs it. Every process is ended by its ID when its value is dropped.

#![allow(
    clippy::panic,
    clippy::expect_used,
    clippy::unwrap_used,
    reason = "made for tests"
)]

mod agent;
mod certificates;
mod etcd;
mod http;
mod libvirtd;
mod ports;
mod process;
mod prometheus;
mod redis;
mod servers;
mod stalls;
mod wait;
mod zookeeper;

pub use agent::{Agent, AgentBuilder, Output};
pub use certificates::Certificates;
pub use etcd::{Etcd, EtcdCluster};
pub use http::{Response, request, request_unix};
pub use libvirtd::Libvirtd;
pub use ports::free_ports;
pub use process::{Process, Usage, usage_of_this_process};
pub use prometheus::Prometheus;
pub use redis::{Redis, RedisSentinel};
pub use servers::{InfluxDb, NodeExporter, VictoriaMetrics};
pub use stalls::{Stall, Stalls};
pub use wait::{eventually, eventually_within};
pub use zookeeper::{ZooKeeper, ZooKeeperEnsemble};
