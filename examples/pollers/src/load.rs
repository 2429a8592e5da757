//! A load generator: a switch that talks a lot.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use tokio::net::UdpSocket;

use crate::sflow::{
    CounterRecord, CounterSample, Datagram, FlowRecord, FlowSample, Interface, Sample, Traffic,
    encode,
};

/// Flow samples in each datagram.
pub const FLOWS: u64 = 4;
/// Counter samples in each datagram.
pub const COUNTERS: u64 = 1;

/// The datagram with this number.
#[must_use]
pub fn datagram(sequence: u32) -> Vec<u8> {
    let flows = (0..FLOWS as u32).map(|n| {
        let header = FlowRecord::Header {
            protocol: 1,
            frame_length: 1514,
            stripped: 4,
            bytes: frame(sequence, n),
        };
        Sample::Flow(FlowSample {
            sequence: sequence.wrapping_mul(FLOWS as u32).wrapping_add(n),
            source: (0, 1),
            rate: 1024,
            input: 1,
            output: 2,
            records: vec![header],
            ..FlowSample::default()
        })
    });
    let traffic = Traffic {
        octets: u64::from(sequence) * 1500,
        unicast: sequence,
        ..Traffic::default()
    };
    let counters = Sample::Counters(CounterSample {
        sequence,
        source: (0, 1),
        records: vec![CounterRecord::Interface(Interface {
            index: 1,
            kind: 6,
            speed: 10_000_000_000,
            direction: 1,
            status: 3,
            input: traffic,
            output: traffic,
            ..Interface::default()
        })],
    });
    encode(&Datagram {
        agent: IpAddr::from(Ipv4Addr::new(192, 0, 2, 1)),
        sub_agent: 0,
        sequence,
        uptime_ms: sequence,
        samples: flows.chain([counters]).collect(),
        skipped: 0,
    })
}

/// The first bytes of a TCP packet.
fn frame(sequence: u32, n: u32) -> Vec<u8> {
    let mut frame = vec![2; 12];
    frame.extend([0x08, 0x00, 0x45, 0, 5, 0xdc, 0, 0, 0x40, 0, 64, 6, 0, 0]);
    frame.extend((0x0a00_0000 | (sequence & 0xffff)).to_be_bytes());
    frame.extend((0x0a01_0000 | n).to_be_bytes());
    frame.extend([0x9c, 0x40, 0x01, 0xbb]);
    frame.resize(128, 0);
    frame
}

/// Sends so many datagrams in bursts of `burst`, with a pause after each.
///
/// # Errors
/// If the socket cannot be made or a datagram cannot be sent.
pub async fn send(to: SocketAddr, datagrams: u32, burst: u32, pause: Duration) -> io::Result<()> {
    let from: IpAddr = if to.is_ipv4() {
        Ipv4Addr::UNSPECIFIED.into()
    } else {
        std::net::Ipv6Addr::UNSPECIFIED.into()
    };
    let socket = UdpSocket::bind((from, 0)).await?;
    socket.connect(to).await?;
    for sequence in 0..datagrams {
        socket.send(&datagram(sequence)).await?;
        if sequence % burst.max(1) == burst.max(1) - 1 {
            tokio::time::sleep(pause).await;
        }
    }
    Ok(())
}
