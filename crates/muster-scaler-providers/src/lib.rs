//! Who has the servers of the scaler: implementations of
//! [`Provider`](muster_scaler_core::provider::Provider), one file or folder each, and one row each in
//! [`PROVIDERS`].
//!
//! All of them keep to the same rules. A call that is dropped closes its connection or kills its
//! process. Nothing is tried twice, but for a token that has run out. A request for a server whose answer did
//! not come is [`Unknown`](muster_scaler_core::provider::CreateAnswer::Unknown), never a refusal; a look before
//! it that fails is a refusal, as there was no request. A server is deleted
//! only after a fresh look has shown our owner's label on it. No secret is in an error or in a debug
//! output, not even one that the provider sent back.

mod clock;
mod counting;
mod docker;
#[cfg(feature = "ec2")]
mod ec2;
mod exec;
mod hetzner;
mod http;
mod libvirt;
mod openstack;
mod row;
mod scrub;
#[cfg(feature = "testing")]
pub mod testing;

pub use row::{Built, Making, ProviderRow, build};

/// The providers, in the order of their names.
pub const PROVIDERS: &[ProviderRow] = &[
    docker::ROW,
    #[cfg(feature = "ec2")]
    ec2::ROW,
    exec::ROW,
    hetzner::ROW,
    libvirt::ROW,
    openstack::ROW,
];
