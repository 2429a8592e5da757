//! sFlow version 5: flow and counter samples out of a datagram.
//!
//! All numbers are big-endian; every length is checked against what is there before it is used, so a datagram
//! can be anything. Samples and records of kinds that are not known are skipped and counted.

mod read;
mod write;

use std::net::IpAddr;

pub use self::read::decode;
pub use self::write::encode;

/// A datagram that is none, and at which byte that showed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// It ends before it should.
    #[error("failed to read {what} at byte {at}: the datagram ends there")]
    Short {
        /// What was expected.
        what: &'static str,
        /// Where.
        at: usize,
    },
    /// A value that makes no sense.
    #[error("failed to read {what} at byte {at}: it is {value}")]
    Bad {
        /// What was expected.
        what: &'static str,
        /// Where.
        at: usize,
        /// What was there.
        value: u32,
    },
}

/// One datagram of an agent (a switch, say).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Datagram {
    /// The agent's address.
    pub agent: IpAddr,
    /// Which part of the agent.
    pub sub_agent: u32,
    /// Counts the datagrams of this part.
    pub sequence: u32,
    /// Milliseconds since the agent was started.
    pub uptime_ms: u32,
    /// The samples of known kinds.
    pub samples: Vec<Sample>,
    /// Samples and records that were skipped.
    pub skipped: u32,
}

/// A sample.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Sample {
    /// Packets.
    Flow(FlowSample),
    /// Counters of an interface.
    Counters(CounterSample),
}

/// One of so many packets.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FlowSample {
    /// Counts the samples of this source.
    pub sequence: u32,
    /// What the source is, and its index: `(0, n)` is interface `n`.
    pub source: (u32, u32),
    /// One of so many packets is taken.
    pub rate: u32,
    /// Packets that could have been taken so far.
    pub pool: u32,
    /// Samples that the agent has lost so far.
    pub drops: u32,
    /// The interface the packet came in by.
    pub input: u32,
    /// The interface it went out by.
    pub output: u32,
    /// What is known of the packet.
    pub records: Vec<FlowRecord>,
}

/// What is known of a sampled packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FlowRecord {
    /// Its first bytes.
    Header {
        /// Of which protocol they are: 1 is Ethernet, 11 IPv4, 12 IPv6.
        protocol: u32,
        /// How long the packet was.
        frame_length: u32,
        /// How much was stripped at its end.
        stripped: u32,
        /// The bytes.
        bytes: Vec<u8>,
    },
    /// Its virtual networks.
    Switch {
        /// Where it came from: network and priority.
        source: (u32, u32),
        /// Where it went to.
        destination: (u32, u32),
    },
}

/// The counters of one source.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CounterSample {
    /// Counts the samples of this source.
    pub sequence: u32,
    /// What the source is, and its index: `(0, n)` is interface `n`.
    pub source: (u32, u32),
    /// The counters.
    pub records: Vec<CounterRecord>,
}

/// Counters of an interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CounterRecord {
    /// Those that every interface has.
    Interface(Interface),
    /// Those of Ethernet: 13 errors, in the order of the standard, from alignment to symbol errors.
    Ethernet([u32; 13]),
}

/// The counters that every interface has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Interface {
    /// Its index.
    pub index: u32,
    /// Its type, as IANA counts them.
    pub kind: u32,
    /// Bits a second.
    pub speed: u64,
    /// 1 full duplex, 2 half, 3 in, 4 out.
    pub direction: u32,
    /// Bit 0: it should be up; bit 1: it is.
    pub status: u32,
    /// What came in.
    pub input: Traffic,
    /// Packets of protocols that nobody knows.
    pub unknown_protocols: u32,
    /// What went out.
    pub output: Traffic,
    /// Whether it takes packets for others.
    pub promiscuous: u32,
}

/// One direction of an interface.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Traffic {
    /// Bytes.
    pub octets: u64,
    /// Packets to one.
    pub unicast: u32,
    /// Packets to some.
    pub multicast: u32,
    /// Packets to all.
    pub broadcast: u32,
    /// Packets dropped for want of room.
    pub discards: u32,
    /// Broken packets.
    pub errors: u32,
}

/// Kinds of samples and records, as `enterprise << 12 | format`.
mod kind {
    pub(super) const FLOW: u32 = 1;
    pub(super) const COUNTERS: u32 = 2;
    pub(super) const EXPANDED_FLOW: u32 = 3;
    pub(super) const EXPANDED_COUNTERS: u32 = 4;
    pub(super) const RAW_HEADER: u32 = 1;
    pub(super) const EXTENDED_SWITCH: u32 = 1001;
    pub(super) const INTERFACE: u32 = 1;
    pub(super) const ETHERNET: u32 = 2;
}

#[cfg(test)]
mod tests;
