//! Tests of reading binary profiles.

use super::*;
use crate::profile::MAX_LABELS;
use flate2::Compression;
use flate2::write::GzEncoder;
use proptest::prelude::*;
use std::io::Write;

/// Writes protobuf messages.
#[derive(Clone, Default)]
struct Out(Vec<u8>);

impl Out {
    fn number(mut self, field: u64, value: u64) -> Self {
        self.varint(field << 3);
        self.varint(value);
        self
    }

    fn bytes(mut self, field: u64, bytes: &[u8]) -> Self {
        self.varint(field << 3 | 2);
        self.varint(bytes.len() as u64);
        self.0.extend_from_slice(bytes);
        self
    }

    fn packed(self, field: u64, values: &[u64]) -> Self {
        let mut inner = Self::default();
        values.iter().for_each(|value| inner.varint(*value));
        self.bytes(field, &inner.0)
    }

    fn varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.0.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.0.push(value as u8);
    }
}

/// A sample: locations, count, labels as key, text, number and unit.
type Sample<'a> = (&'a [u64], i64, &'a [[u64; 4]]);

/// A profile of these strings and samples. Function n is named by string n, in the file of string
/// 3; location n holds function n in line 10 n.
fn profile(strings: &[&str], samples: &[Sample<'_>]) -> Vec<u8> {
    let mut out = Out::default().bytes(1, &Out::default().number(1, 1).number(2, 2).0);
    for (locations, count, labels) in samples {
        let mut sample = Out::default()
            .packed(1, locations)
            .packed(2, &[*count as u64, 7]);
        for [key, text, number, unit] in *labels {
            let label = Out::default().number(1, *key).number(2, *text);
            sample = sample.bytes(3, &label.number(3, *number).number(4, *unit).0);
        }
        out = out.bytes(2, &sample.0);
    }
    out = out.bytes(3, &Out::default().number(1, 1).number(6, 4).0);
    for id in 5..strings.len() as u64 {
        let line = Out::default().number(1, id).number(2, 10 * id);
        out = out.bytes(
            4,
            &Out::default()
                .number(1, id)
                .number(3, 0x1234)
                .bytes(4, &line.0)
                .0,
        );
        out = out.bytes(
            5,
            &Out::default().number(1, id).number(2, id).number(4, 3).0,
        );
    }
    for text in strings {
        out = out.bytes(6, text.as_bytes());
    }
    out.number(9, 77).number(10, 88).0
}

const STRINGS: &[&str] = &[
    "",
    "goroutine",
    "count",
    "m.go",
    "build",
    "runtime.gopark",
    "runtime.chansend1",
    "main.f[int]",
    "main.main",
    "runtime.main",
    "route",
    "/a",
];

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

#[test]
fn samples_become_groups() {
    let bytes = profile(
        STRINGS,
        &[
            (&[8, 9], 1, &[]),
            (&[5, 6, 7, 8, 9], 300, &[]),
            (&[7, 8], 4, &[[10, 11, 0, 0], [1, 0, 5, 2]]),
            (&[7, 8], -4, &[]),
        ],
    );
    let read_both = [read(&bytes).unwrap(), read(&gzip(&bytes)).unwrap()];
    assert_eq!(read_both[0], read_both[1]);
    let profile = &read_both[0];
    assert_eq!((&*profile.kind, profile.total), ("goroutine", 305));
    assert_eq!(profile.build_id.as_deref(), Some("build"));
    assert_eq!(
        (profile.time_nanos, profile.duration_nanos),
        (Some(77), Some(88))
    );
    let shown: Vec<String> = profile
        .groups
        .iter()
        .map(|group| {
            let frames: Vec<String> = group.stack.iter().map(Frame::to_string).collect();
            format!("{} {}: {}", group.count, group.class, frames.join(", "))
        })
        .collect();
    assert_eq!(
        shown,
        [
            "300 channel send: main.f[...] m.go:70, main.main m.go:80",
            "4 running: main.f[...] m.go:70, main.main m.go:80",
            "1 running: main.main m.go:80",
        ]
    );
    assert_eq!(profile.groups[1].label("route"), Some("/a"));
    let number = LabelValue::Number {
        value: 5,
        unit: "count".into(),
    };
    assert_eq!(profile.groups[1].labels[0].value, number);
}

#[test]
fn inlined_calls_are_frames_and_repeated_fields_may_be_unpacked() {
    let line = |function, line| Out::default().number(1, function).number(2, line).0;
    let location = Out::default()
        .number(1, 99)
        .bytes(4, &line(7, 1))
        .bytes(4, &line(8, 2));
    let sample = Out::default().number(1, 99).number(2, 3).number(2, 9);
    let bytes = Out(profile(STRINGS, &[]))
        .bytes(4, &location.0)
        .bytes(2, &sample.0);
    let profile = read(&bytes.0).unwrap();
    let group = &profile.groups[0];
    assert_eq!(group.count, 3);
    assert_eq!(group.stack[0], Frame::new("main.f[...]", "m.go", 1));
    assert_eq!(group.stack[1], Frame::new("main.main", "m.go", 2));
    assert_eq!(group.class, WaitClass::Running);
}

#[test]
fn what_is_wrong_is_said_with_its_place() {
    let check = |bytes: &[u8], want: &str| {
        assert_eq!(
            read(bytes).unwrap_err().to_string(),
            format!("read the profile: {want}")
        );
    };
    check(
        &profile(STRINGS, &[(&[1000], 1, &[])]),
        "byte 8 of the decompressed profile: expected a location that exists, found 1000",
    );
    check(
        &[0x0a, 5, 8, 1],
        "byte 2 of the decompressed profile: expected 5 bytes, found 2",
    );
    check(
        &[0x0b, 5, 8, 1],
        "byte 1 of the decompressed profile: expected a field, found wire type 3",
    );
    check(
        &[0x08, 0xff],
        "byte 1 of the decompressed profile: expected a number, found no end of it",
    );
    check(
        b"",
        "expected one that counts goroutines, found one of nothing",
    );
    let mut cpu = STRINGS.to_vec();
    cpu[1..3].copy_from_slice(&["cpu", "nanoseconds"]);
    check(
        &profile(&cpu, &[]),
        "expected one that counts goroutines, found one of cpu in nanoseconds",
    );
    let whole = gzip(&profile(STRINGS, &[]));
    assert!(matches!(
        read(&whole[..whole.len() / 2]),
        Err(ReadError::Compression(_))
    ));
    assert_eq!(decompress(&gzip(&[0; 100]), 99), Err(ReadError::TooLarge));
    assert_eq!(decompress(&gzip(&[0; 100]), 100), Ok(vec![0; 100]));
}

#[test]
fn deep_and_many_stacks_are_only_counted() {
    let deep = vec![8; MAX_FRAMES + 1];
    let most = MAX_TOTAL_FRAMES / MAX_FRAMES;
    let full: Vec<Vec<u64>> = (0..most + 3)
        .map(|at| {
            // The number of the stack, written with two functions.
            let bits = (0..MAX_FRAMES).map(|bit| 7 + (at >> bit.min(60) & 1) as u64);
            bits.collect()
        })
        .collect();
    let mut samples: Vec<Sample<'_>> = vec![(&deep, 5, &[])];
    samples.extend(full.iter().map(|stack| (&stack[..], 1, &[][..])));
    // The same stack with other labels takes no more room.
    samples.push((&full[0], 1, &[[10, 11, 0, 0]]));
    let profile = read(&profile(STRINGS, &samples)).unwrap();
    assert_eq!(profile.ungrouped, 5 + 3);
    assert_eq!(profile.groups.len(), most + 1);
    assert_eq!(profile.total, 5 + 3 + most as u64 + 1);
}

/// A few bytes may refer to much, again and again: what is kept and looked at is bounded.
#[test]
fn what_is_referred_to_is_bounded() {
    let mut strings = STRINGS.to_vec();
    let long = format!("main.{}", "é".repeat(MAX_STRING_BYTES));
    strings[7] = &long;
    let labels = [[10, 11, 0, 0]; MAX_LABELS + 1];
    let read = read(&profile(&strings, &[(&[7, 8], 1, &labels)])).unwrap();
    assert_eq!(read.groups[0].labels.len(), MAX_LABELS);
    let name = &read.groups[0].stack[0].function;
    assert!(name.starts_with("main.é") && name.len() <= MAX_STRING_BYTES + 2);

    let line = Out::default().bytes(4, &[]);
    let mut location = Out::default().number(1, 99);
    (0..=MAX_FRAMES).for_each(|_| location.0.extend_from_slice(&line.0));
    let sample = Out::default().number(1, 99).number(2, 3);
    let bytes = Out(profile(STRINGS, &[]))
        .bytes(4, &location.0)
        .bytes(2, &sample.0);
    assert_eq!(super::read(&bytes.0).unwrap().ungrouped, 3);
    let mut many = profile(STRINGS, &[]);
    let location = Out::default().bytes(4, &location.0).0;
    (0..=MAX_ENTRIES / MAX_FRAMES).for_each(|_| many.extend_from_slice(&location));
    let error = super::read(&many).unwrap_err().to_string();
    assert!(
        error.contains("at most 1048576 entries of field 4"),
        "{error}"
    );
}

#[test]
fn a_count_that_cannot_be_is_wrong() {
    let read = |count: u64| read(&profile(STRINGS, &[(&[7], count as i64, &[])]));
    assert_eq!(read(MAX_COUNT).unwrap().total, MAX_COUNT);
    let error = read(MAX_COUNT + 1).unwrap_err().to_string();
    assert!(
        error.contains("expected at most 1099511627776, found"),
        "{error}"
    );
}

proptest! {
    #[test]
    fn groups_come_back(
        samples in prop::collection::vec((prop::collection::vec(5..12_u64, 1..8), 1..1_000_000_i64), 0..8),
    ) {
        let written: Vec<Sample<'_>> = samples.iter()
            .map(|(locations, count)| (&locations[..], *count, &[][..]))
            .collect();
        let profile = read(&profile(STRINGS, &written)).unwrap();
        prop_assert_eq!(profile.ungrouped, 0);
        let total: i64 = samples.iter().map(|(_, count)| count).sum();
        prop_assert_eq!(profile.total, total as u64);
        // What is hidden and the class are other tests' matter: those of open frames come back.
        for (locations, count) in &samples {
            if locations.iter().all(|at| [7, 8, 10, 11].contains(at)) {
                let lines: Vec<u32> = locations.iter().map(|at| *at as u32 * 10).collect();
                let found = profile.groups.iter()
                    .find(|group| group.stack.iter().map(|f| f.line).eq(lines.iter().copied()));
                prop_assert!(found.is_some_and(|group| group.count >= *count as u64));
            }
        }
    }

    #[test]
    fn nothing_panics(
        bytes in any::<Vec<u8>>(), at in any::<prop::sample::Index>(), flip in any::<u8>(),
    ) {
        let _ = read(&bytes);
        let _ = read(&gzip(&bytes));
        let mut good = profile(STRINGS, &[(&[5, 6, 7], 3, &[[10, 11, 0, 0]]), (&[8], 1, &[])]);
        let at = at.index(good.len());
        good[at] ^= flip;
        let _ = read(&good);
        let _ = read(&good[..at]);
    }
}
