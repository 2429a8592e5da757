//! Doubles of the providers, and the suite that all providers pass.
//!
//! A [`World`] is where the servers of a provider are. A double keeps them in memory (or, of `exec`, as
//! processes, and of `libvirt`, in a real daemon with its test driver), misbehaves on request ([`Fault`])
//! as the real thing does, and tells what is true behind the provider's back. [`conformance`] is the suite.

#![expect(
    clippy::expect_used,
    clippy::panic,
    reason = "made for tests, which fail so"
)]

mod cloud;
pub mod conformance;
mod docker;
#[cfg(feature = "ec2")]
mod ec2;
mod exec;
mod hetzner;
pub mod http;
mod libvirt;
mod nova;
mod program;

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use muster_scaler_core::provider::{ListedServer, Provider};

pub use cloud::Faults;
pub use docker::DockerWorld;
#[cfg(feature = "ec2")]
pub use ec2::Ec2World;
pub use exec::ExecWorld;
pub use hetzner::HetznerWorld;
pub use libvirt::LibvirtWorld;
pub use nova::NovaWorld;

/// What goes wrong. Unless it says otherwise, once: with the next call that it can happen to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// A creation or deletion is carried out, and its answer is lost.
    LoseAnswer,
    /// A creation or deletion is lost before it is carried out.
    LoseRequest,
    /// A call is never answered, nor carried out.
    Hang,
    /// A listing lacks a part that did not answer, and says so the way this provider does.
    Partial,
    /// A creation is refused: the quota is used up.
    Quota,
    /// There is no room for the next server: a refusal, or a server that fails, as this provider does it.
    NoCapacity,
    /// A creation or deletion is refused: too many requests.
    RateLimit,
    /// The next server that is created fails while it is built.
    BuildFails,
    /// The next server that is created is missing in the two listings after it.
    ShownLate,
    /// A creation is refused with an answer that repeats all that was sent.
    Echo,
    /// The credentials run out (those that do and can be had anew).
    Expire,
}

/// Where the servers of a provider are.
#[async_trait]
pub trait World: Send + Sync {
    /// A new provider, as after a restart of the scaler.
    fn provider(&self) -> Arc<dyn Provider>;

    /// Providers that cannot work, each with a word that says why and must be in the error of
    /// [`Provider::limits`].
    fn broken(&self) -> Vec<(Arc<dyn Provider>, &'static str)>;

    /// What no debug output and no error may hold.
    fn secrets(&self) -> Vec<String>;

    /// Makes a server behind the provider's back and gives its ID.
    async fn plant(&self, name: &str, labels: &BTreeMap<String, String>) -> String;

    /// All servers that really are there, those that are being deleted included.
    async fn servers(&self) -> Vec<ListedServer>;

    /// Has something go wrong; false if that cannot be had here.
    fn fault(&self, fault: Fault) -> bool;

    /// Takes back what was to go wrong and has not yet.
    fn calm(&self);

    /// How many calls are at hand: open requests, or running processes.
    fn calls(&self) -> usize;
}
