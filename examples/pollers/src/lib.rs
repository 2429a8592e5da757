//! A UDP receiver of sFlow v5 datagrams whose decoding runs on a pool that is resized while it works.

pub mod frame;
pub mod kernel;
pub mod load;
pub mod receiver;
pub mod sflow;

pub use receiver::{Received, Receiver};
