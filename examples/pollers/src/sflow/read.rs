//! Reading datagrams.

use std::net::IpAddr;

use super::{
    CounterRecord, CounterSample, Datagram, FlowRecord, FlowSample, Interface, Malformed, Sample,
    Traffic, kind,
};

/// What is left to read.
#[derive(Clone, Copy)]
struct Input<'a> {
    bytes: &'a [u8],
    /// Where it begins in the datagram.
    at: usize,
}

impl<'a> Input<'a> {
    fn take(&mut self, length: usize, what: &'static str) -> Result<Self, Malformed> {
        let short = Malformed::Short { what, at: self.at };
        let (bytes, rest) = self.bytes.split_at_checked(length).ok_or(short)?;
        let taken = Self { bytes, at: self.at };
        *self = Self {
            bytes: rest,
            at: self.at + length,
        };
        Ok(taken)
    }

    fn array<const N: usize>(&mut self, what: &'static str) -> Result<[u8; N], Malformed> {
        let at = self.at;
        let taken = self.take(N, what)?;
        taken
            .bytes
            .try_into()
            .map_err(|_| Malformed::Short { what, at })
    }

    fn u32(&mut self, what: &'static str) -> Result<u32, Malformed> {
        self.array(what).map(u32::from_be_bytes)
    }

    fn u64(&mut self, what: &'static str) -> Result<u64, Malformed> {
        self.array(what).map(u64::from_be_bytes)
    }

    /// A block of a kind: its kind, and the bytes that its length says are its.
    fn block(&mut self, what: &'static str) -> Result<(u32, Self), Malformed> {
        let kind = self.u32(what)?;
        let length = self.u32("a length")?;
        let body = self.take(length as usize, what)?;
        Ok((kind, body))
    }
}

/// Decodes a datagram.
///
/// # Errors
/// [`Malformed`] if it is none of version 5, or ends too early.
pub fn decode(bytes: &[u8]) -> Result<Datagram, Malformed> {
    let mut input = Input { bytes, at: 0 };
    expect(&mut input, "the version", 5)?;
    let agent = address(&mut input)?;
    let sub_agent = input.u32("the sub-agent")?;
    let sequence = input.u32("the sequence number")?;
    let uptime_ms = input.u32("the uptime")?;
    let count = input.u32("the number of samples")?;
    let (mut samples, mut skipped) = (Vec::new(), 0);
    for _ in 0..count {
        let (kind, mut body) = input.block("a sample")?;
        match kind {
            kind::FLOW => samples.push(Sample::Flow(flow(&mut body, false, &mut skipped)?)),
            kind::EXPANDED_FLOW => samples.push(Sample::Flow(flow(&mut body, true, &mut skipped)?)),
            kind::COUNTERS => {
                samples.push(Sample::Counters(counters(&mut body, false, &mut skipped)?));
            }
            kind::EXPANDED_COUNTERS => {
                samples.push(Sample::Counters(counters(&mut body, true, &mut skipped)?));
            }
            _ => skipped += 1,
        }
    }
    Ok(Datagram {
        agent,
        sub_agent,
        sequence,
        uptime_ms,
        samples,
        skipped,
    })
}

fn expect(input: &mut Input<'_>, what: &'static str, expected: u32) -> Result<(), Malformed> {
    let at = input.at;
    match input.u32(what)? {
        value if value == expected => Ok(()),
        value => Err(Malformed::Bad { what, at, value }),
    }
}

fn address(input: &mut Input<'_>) -> Result<IpAddr, Malformed> {
    let at = input.at;
    match input.u32("the kind of the agent's address")? {
        1 => Ok(IpAddr::from(input.array::<4>("the agent's address")?)),
        2 => Ok(IpAddr::from(input.array::<16>("the agent's address")?)),
        value => Err(Malformed::Bad {
            what: "the kind of the agent's address",
            at,
            value,
        }),
    }
}

fn source(input: &mut Input<'_>, expanded: bool) -> Result<(u32, u32), Malformed> {
    let first = input.u32("the source")?;
    if expanded {
        return Ok((first, input.u32("the source's index")?));
    }
    Ok((first >> 24, first & 0x00ff_ffff))
}

fn interface_of(input: &mut Input<'_>, expanded: bool) -> Result<u32, Malformed> {
    if expanded {
        // How the value is to be understood; the compact form has that in its upper two bits.
        let format = input.u32("an interface's format")?;
        return Ok(format << 30 | (input.u32("an interface")? & 0x3fff_ffff));
    }
    input.u32("an interface")
}

fn flow(input: &mut Input<'_>, expanded: bool, skipped: &mut u32) -> Result<FlowSample, Malformed> {
    let mut sample = FlowSample {
        sequence: input.u32("the sample's number")?,
        source: source(input, expanded)?,
        rate: input.u32("the sampling rate")?,
        pool: input.u32("the sample pool")?,
        drops: input.u32("the drops")?,
        input: interface_of(input, expanded)?,
        output: interface_of(input, expanded)?,
        records: Vec::new(),
    };
    for _ in 0..input.u32("the number of records")? {
        let (kind, mut body) = input.block("a flow record")?;
        match kind {
            kind::RAW_HEADER => sample.records.push(header(&mut body)?),
            kind::EXTENDED_SWITCH => sample.records.push(FlowRecord::Switch {
                source: (body.u32("a network")?, body.u32("a priority")?),
                destination: (body.u32("a network")?, body.u32("a priority")?),
            }),
            _ => *skipped += 1,
        }
    }
    Ok(sample)
}

fn header(body: &mut Input<'_>) -> Result<FlowRecord, Malformed> {
    let protocol = body.u32("the header's protocol")?;
    let frame_length = body.u32("the frame's length")?;
    let stripped = body.u32("what was stripped")?;
    let length = body.u32("the header's length")?;
    let bytes = body.take(length as usize, "the header")?;
    Ok(FlowRecord::Header {
        protocol,
        frame_length,
        stripped,
        bytes: bytes.bytes.to_vec(),
    })
}

fn counters(
    input: &mut Input<'_>,
    expanded: bool,
    skipped: &mut u32,
) -> Result<CounterSample, Malformed> {
    let mut sample = CounterSample {
        sequence: input.u32("the sample's number")?,
        source: source(input, expanded)?,
        records: Vec::new(),
    };
    for _ in 0..input.u32("the number of records")? {
        let (kind, mut body) = input.block("a counter record")?;
        match kind {
            kind::INTERFACE => sample
                .records
                .push(CounterRecord::Interface(interface(&mut body)?)),
            kind::ETHERNET => {
                let mut errors = [0; 13];
                for error in &mut errors {
                    *error = body.u32("an Ethernet counter")?;
                }
                sample.records.push(CounterRecord::Ethernet(errors));
            }
            _ => *skipped += 1,
        }
    }
    Ok(sample)
}

fn interface(body: &mut Input<'_>) -> Result<Interface, Malformed> {
    Ok(Interface {
        index: body.u32("ifIndex")?,
        kind: body.u32("ifType")?,
        speed: body.u64("ifSpeed")?,
        direction: body.u32("ifDirection")?,
        status: body.u32("ifStatus")?,
        input: traffic(body)?,
        unknown_protocols: body.u32("ifInUnknownProtos")?,
        output: traffic(body)?,
        promiscuous: body.u32("ifPromiscuousMode")?,
    })
}

fn traffic(body: &mut Input<'_>) -> Result<Traffic, Malformed> {
    Ok(Traffic {
        octets: body.u64("octets")?,
        unicast: body.u32("unicast packets")?,
        multicast: body.u32("multicast packets")?,
        broadcast: body.u32("broadcast packets")?,
        discards: body.u32("discards")?,
        errors: body.u32("errors")?,
    })
}
