//! Writing datagrams, for the load generator and the tests.

use std::net::IpAddr;

use super::{
    CounterRecord, CounterSample, Datagram, FlowRecord, FlowSample, Interface, Sample, Traffic,
    kind,
};

struct Output(Vec<u8>);

impl Output {
    fn u32(&mut self, value: u32) -> &mut Self {
        self.0.extend(value.to_be_bytes());
        self
    }

    fn u64(&mut self, value: u64) -> &mut Self {
        self.0.extend(value.to_be_bytes());
        self
    }

    /// A block of a kind, whose length is filled in.
    fn block(&mut self, kind: u32, body: impl FnOnce(&mut Self)) {
        self.u32(kind).u32(0);
        let begin = self.0.len();
        body(self);
        let length = (self.0.len() - begin) as u32;
        if let Some(place) = self.0.get_mut(begin - 4..begin) {
            place.copy_from_slice(&length.to_be_bytes());
        }
    }

    fn traffic(&mut self, traffic: &Traffic) -> &mut Self {
        self.u64(traffic.octets)
            .u32(traffic.unicast)
            .u32(traffic.multicast)
            .u32(traffic.broadcast)
            .u32(traffic.discards)
            .u32(traffic.errors)
    }
}

/// Encodes a datagram in the compact form, or in the expanded one if a source or an interface needs it.
#[must_use]
pub fn encode(datagram: &Datagram) -> Vec<u8> {
    let mut out = Output(Vec::with_capacity(1400));
    out.u32(5);
    match datagram.agent {
        IpAddr::V4(address) => out.u32(1).0.extend(address.octets()),
        IpAddr::V6(address) => out.u32(2).0.extend(address.octets()),
    }
    out.u32(datagram.sub_agent)
        .u32(datagram.sequence)
        .u32(datagram.uptime_ms)
        .u32(datagram.samples.len() as u32);
    for sample in &datagram.samples {
        match sample {
            Sample::Flow(sample) => flow(&mut out, sample),
            Sample::Counters(sample) => counters(&mut out, sample),
        }
    }
    out.0
}

fn is_compact((kind, index): (u32, u32)) -> bool {
    kind < 1 << 8 && index < 1 << 24
}

fn source(out: &mut Output, source: (u32, u32)) {
    if is_compact(source) {
        out.u32(source.0 << 24 | source.1);
    } else {
        out.u32(source.0).u32(source.1);
    }
}

fn flow(out: &mut Output, sample: &FlowSample) {
    let compact = is_compact(sample.source);
    let kind = if compact {
        kind::FLOW
    } else {
        kind::EXPANDED_FLOW
    };
    out.block(kind, |out| {
        out.u32(sample.sequence);
        source(out, sample.source);
        out.u32(sample.rate).u32(sample.pool).u32(sample.drops);
        for interface in [sample.input, sample.output] {
            if compact {
                out.u32(interface);
            } else {
                out.u32(interface >> 30).u32(interface & 0x3fff_ffff);
            }
        }
        out.u32(sample.records.len() as u32);
        for record in &sample.records {
            flow_record(out, record);
        }
    });
}

fn flow_record(out: &mut Output, record: &FlowRecord) {
    match record {
        FlowRecord::Header {
            protocol,
            frame_length,
            stripped,
            bytes,
        } => out.block(kind::RAW_HEADER, |out| {
            out.u32(*protocol)
                .u32(*frame_length)
                .u32(*stripped)
                .u32(bytes.len() as u32);
            out.0.extend(bytes);
            // Blocks end at multiples of four.
            out.0.resize(
                out.0.len() + bytes.len().next_multiple_of(4) - bytes.len(),
                0,
            );
        }),
        FlowRecord::Switch {
            source,
            destination,
        } => out.block(kind::EXTENDED_SWITCH, |out| {
            out.u32(source.0)
                .u32(source.1)
                .u32(destination.0)
                .u32(destination.1);
        }),
    }
}

fn counters(out: &mut Output, sample: &CounterSample) {
    let compact = is_compact(sample.source);
    let kind = if compact {
        kind::COUNTERS
    } else {
        kind::EXPANDED_COUNTERS
    };
    out.block(kind, |out| {
        out.u32(sample.sequence);
        source(out, sample.source);
        out.u32(sample.records.len() as u32);
        for record in &sample.records {
            match record {
                CounterRecord::Interface(counters) => {
                    out.block(kind::INTERFACE, |out| interface(out, counters));
                }
                CounterRecord::Ethernet(errors) => out.block(kind::ETHERNET, |out| {
                    for error in errors {
                        out.u32(*error);
                    }
                }),
            }
        }
    });
}

fn interface(out: &mut Output, counters: &Interface) {
    out.u32(counters.index)
        .u32(counters.kind)
        .u64(counters.speed)
        .u32(counters.direction)
        .u32(counters.status)
        .traffic(&counters.input)
        .u32(counters.unknown_protocols)
        .traffic(&counters.output)
        .u32(counters.promiscuous);
}
