use std::net::Ipv6Addr;

use proptest::prelude::*;

use super::*;

/// A counter sample of one interface, written by hand from the standard.
#[test]
fn a_datagram_by_hand() {
    let mut words: Vec<u32> = vec![5, 1, 0x0a00_0001, 7, 42, 123_456, 2];
    // A counter sample: number 9 of interface 3, one record of 88 bytes.
    words.extend([2, 108, 9, 3, 1, 1, 88]);
    words.extend([3, 6, 0, 1_000_000_000, 1, 3]);
    words.extend([0, 1000, 11, 12, 13, 14, 15, 16]);
    words.extend([1, 0, 21, 22, 23, 24, 25]);
    words.push(0);
    // A sample of a kind that nobody knows.
    words.extend([99, 4, 0]);
    let bytes: Vec<u8> = words.into_iter().flat_map(u32::to_be_bytes).collect();
    let datagram = decode(&bytes).unwrap();
    assert_eq!(
        (datagram.agent.to_string().as_str(), datagram.sub_agent),
        ("10.0.0.1", 7)
    );
    assert_eq!(
        (datagram.sequence, datagram.uptime_ms, datagram.skipped),
        (42, 123_456, 1)
    );
    let [Sample::Counters(sample)] = &*datagram.samples else {
        panic!("{datagram:?}");
    };
    assert_eq!((sample.sequence, sample.source), (9, (0, 3)));
    let [CounterRecord::Interface(interface)] = &*sample.records else {
        panic!("{sample:?}");
    };
    assert_eq!(
        (interface.speed, interface.kind, interface.unknown_protocols),
        (1_000_000_000, 6, 16)
    );
    assert_eq!((interface.input.octets, interface.input.errors), (1000, 15));
    assert_eq!(
        (interface.output.octets, interface.output.discards),
        (1 << 32, 24)
    );
}

#[test]
fn what_is_none_says_where() {
    let check =
        |bytes: &[u8], expected: &str| assert_eq!(decode(bytes).unwrap_err().to_string(), expected);
    check(
        &[],
        "failed to read the version at byte 0: the datagram ends there",
    );
    check(
        &[0, 0, 0, 4],
        "failed to read the version at byte 0: it is 4",
    );
    check(
        &[0, 0, 0, 5, 0, 0, 0, 3],
        "failed to read the kind of the agent's address at byte 4: it is 3",
    );
}

fn source() -> impl Strategy<Value = (u32, u32)> {
    prop_oneof![(0..3u32, 0..1u32 << 24), any::<(u32, u32)>()]
}

fn record() -> impl Strategy<Value = FlowRecord> {
    let bytes = prop::collection::vec(any::<u8>(), 0..130);
    prop_oneof![
        (any::<(u32, u32, u32)>(), bytes).prop_map(
            |((protocol, frame_length, stripped), bytes)| FlowRecord::Header {
                protocol,
                frame_length,
                stripped,
                bytes,
            }
        ),
        any::<((u32, u32), (u32, u32))>().prop_map(|(source, destination)| FlowRecord::Switch {
            source,
            destination
        }),
    ]
}

prop_compose! {
    fn flow()(
        numbers in any::<[u32; 6]>(),
        source in source(),
        records in prop::collection::vec(record(), 0..4),
    ) -> FlowSample {
        let [sequence, rate, pool, drops, input, output] = numbers;
        FlowSample { sequence, source, rate, pool, drops, input, output, records }
    }
}

prop_compose! {
    fn traffic()(octets in any::<u64>(), packets in any::<[u32; 5]>()) -> Traffic {
        let [unicast, multicast, broadcast, discards, errors] = packets;
        Traffic { octets, unicast, multicast, broadcast, discards, errors }
    }
}

prop_compose! {
    fn interface()(
        numbers in any::<[u32; 6]>(),
        speed in any::<u64>(),
        input in traffic(),
        output in traffic(),
    ) -> Interface {
        let [index, kind, direction, status, unknown_protocols, promiscuous] = numbers;
        Interface { index, kind, speed, direction, status, input, unknown_protocols, output, promiscuous }
    }
}

fn counters() -> impl Strategy<Value = CounterSample> {
    let record = prop_oneof![
        interface().prop_map(CounterRecord::Interface),
        any::<[u32; 13]>().prop_map(CounterRecord::Ethernet),
    ];
    (any::<u32>(), source(), prop::collection::vec(record, 0..4)).prop_map(
        |(sequence, source, records)| CounterSample {
            sequence,
            source,
            records,
        },
    )
}

prop_compose! {
    fn datagram()(
        agent in prop_oneof![
            any::<[u8; 4]>().prop_map(IpAddr::from),
            any::<u128>().prop_map(|bits| IpAddr::from(Ipv6Addr::from_bits(bits))),
        ],
        numbers in any::<[u32; 3]>(),
        samples in prop::collection::vec(
            prop_oneof![flow().prop_map(Sample::Flow), counters().prop_map(Sample::Counters)],
            0..6,
        ),
    ) -> Datagram {
        let [sub_agent, sequence, uptime_ms] = numbers;
        Datagram { agent, sub_agent, sequence, uptime_ms, samples, skipped: 0 }
    }
}

proptest! {
    #[test]
    fn what_is_written_is_read(datagram in datagram()) {
        prop_assert_eq!(decode(&encode(&datagram)), Ok(datagram));
    }

    #[test]
    fn no_prefix_is_a_datagram(datagram in datagram(), share in 0.0..1.0f64) {
        let bytes = encode(&datagram);
        let length = (bytes.len() as f64 * share) as usize;
        prop_assert!(decode(&bytes[..length]).is_err());
    }

    #[test]
    fn nothing_makes_it_panic(
        datagram in datagram(),
        spoiled in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..20),
    ) {
        let mut bytes = encode(&datagram);
        for (place, byte) in spoiled {
            let place = place.index(bytes.len());
            bytes[place] = byte;
        }
        let _ = decode(&bytes);
    }
}
