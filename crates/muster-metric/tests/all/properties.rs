//! Properties of line protocol over random input.

use muster_metric::line_protocol::{Parser, Writer};
use muster_metric::{Batch, Timestamp, Value};
use proptest::collection::vec;
use proptest::prelude::*;

use crate::{dump, invariants};

/// Pieces of which line protocol and its faults are made.
const PIECES: &[&[u8]] = &[
    b"cpu",
    b"m",
    b",",
    b",",
    b"=",
    b"=",
    b" ",
    b" ",
    b"\n",
    b"\n",
    b"\"",
    b"\"",
    b"\\",
    b"\r",
    b"\t",
    b"\x0b",
    b"\x0c",
    b"\0",
    b"#",
    b"1",
    b"i",
    b"u",
    b"t",
    b"-",
    b".",
    b"e",
    b"1.5",
    b"0",
    b"true",
    b"17",
    b"9223372036854775808",
    b"\xff",
    "ü".as_bytes(),
    b",host=a",
    b" x=1",
    b"=\"",
    b"\",",
    b"\"\n",
    b"m,t=a f=1i 5\n",
    b"m f=\"a\nb\"\n",
];

fn messy() -> impl Strategy<Value = Vec<u8>> {
    vec(prop::sample::select(PIECES), 0..60).prop_map(|pieces| pieces.concat())
}

/// Text that line protocol can express as a name, key or tag value.
fn token() -> impl Strategy<Value = String> {
    let written = "[a-zA-Zäß☃0-9_,= \\\\\"-]{1,24}";
    written.prop_filter("not to be expressed", |text| {
        !text.ends_with('\\') && !text.contains("\\\"") && !text.starts_with('#')
    })
}

#[derive(Clone, Debug)]
enum Owned {
    Float(f64),
    Int(i64),
    Uint(u64),
    Bool(bool),
    Text(String),
}

impl Owned {
    fn value(&self) -> Value<'_> {
        match self {
            Self::Float(v) => Value::Float(*v),
            Self::Int(v) => Value::Int(*v),
            Self::Uint(v) => Value::Uint(*v),
            Self::Bool(v) => Value::Bool(*v),
            Self::Text(v) => Value::Text(v),
        }
    }
}

fn value() -> impl Strategy<Value = Owned> {
    use proptest::num::f64;
    prop_oneof![
        (f64::NORMAL | f64::SUBNORMAL | f64::ZERO).prop_map(Owned::Float),
        (0_i64..10_000, 0..6).prop_map(|(n, d)| Owned::Float(n as f64 / 10_f64.powi(d))),
        any::<i64>().prop_map(Owned::Int),
        any::<u64>().prop_map(Owned::Uint),
        any::<bool>().prop_map(Owned::Bool),
        "(?s).{0,40}".prop_map(Owned::Text),
    ]
}

fn batch() -> impl Strategy<Value = Batch> {
    let metric = (
        token(),
        vec((token(), token()), 0..6),
        vec((token(), value()), 1..12),
        proptest::option::of(any::<i64>()),
    );
    vec(metric, 0..8).prop_map(|metrics| {
        let mut batch = Batch::new();
        for (name, tags, fields, time) in &metrics {
            let mut metric = batch.metric(name);
            for (key, value) in tags {
                metric.add_tag(key, value);
            }
            for (key, value) in fields {
                metric.add_field(key, value.value());
            }
            metric.finish(time.map(Timestamp::from_nanos));
        }
        batch
    })
}

/// Lines that are bad whatever stands around them.
const BAD: &[&[u8]] = &[
    b"bad",
    b",a=1",
    b"m ",
    b"m,t f=1",
    b"m,t= f=1",
    b"m f=",
    b"m f=x",
    b"m f=\"open",
    b"m f=1 x",
    b"m f=1 1 1",
    b"m f=1i2",
    b"m f=99999999999999999999i",
    b"m f=\"\xff\"",
    b"m f=1,",
    b"m f=1,,g=2",
    b"m\r f=1",
    b"m f=\"a\"b",
    b"m f=1 99999999999999999999",
    b"\xff\xfe f=1",
    b"m f=\"a\",g=\"open",
];

/// Whether a string left open in an earlier line could end in this one: its first quote is
/// followed by what may follow a string.
fn could_close_a_string(line: &[u8]) -> bool {
    let quote = line.iter().position(|&byte| byte == b'"');
    quote.is_some_and(|at| b" ,\t\n\r\x0b\x0c".contains(&line[at + 1]))
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(150) })]

    #[test]
    fn what_is_written_reads_back(batch in batch()) {
        let writer = Writer { uint_support: true, ..Writer::default() };
        let mut lines = Vec::new();
        let written = writer.write_all(batch.iter(), &mut lines);
        prop_assert_eq!(written.metrics, batch.len());
        let mut again = Batch::new();
        let report = Parser::default().parse(&lines, &mut again).unwrap();
        prop_assert_eq!(report.problems, vec![]);
        prop_assert_eq!(dump(&again), dump(&batch));
    }

    #[test]
    fn split_lines_hold_the_same_fields(batch in batch(), max_line_bytes in 60_usize..300) {
        let writer = Writer { uint_support: true, max_line_bytes, ..Writer::default() };
        for metric in batch.iter() {
            let mut lines = Vec::new();
            if writer.write(metric, &mut lines).is_err() {
                prop_assert!(lines.is_empty());
                continue;
            }
            let mut again = Batch::new();
            Parser::default().parse(&lines, &mut again).unwrap();
            prop_assert!(again.iter().flat_map(|m| m.fields()).eq(metric.fields()));
            prop_assert!(again.iter().all(|m| m.tags().eq(metric.tags())));
        }
    }

    #[test]
    fn any_bytes_hold_the_invariants(input in prop_oneof![messy(), vec(any::<u8>(), 0..200)]) {
        invariants::parsing_and_writing(&input);
    }

    #[test]
    fn pieces_of_a_stream_make_the_whole(
        input in messy(),
        pieces in vec(1_usize..50, 1..8),
        max_line_bytes in prop_oneof![Just(1_usize << 20), 8_usize..120],
    ) {
        invariants::cutting(&input, &pieces, max_line_bytes);
    }

    #[test]
    fn bad_lines_do_not_affect_good_ones(
        lines in vec(prop_oneof![batch().prop_map(Ok), prop::sample::select(BAD).prop_map(Err)], 0..12),
    ) {
        let (mut input, mut good, mut bad) = (Vec::new(), Vec::new(), 0);
        for line in &lines {
            match line {
                Ok(batch) => {
                    for metric in batch.iter() {
                        let mut line = Vec::new();
                        Writer::default().write(metric, &mut line).unwrap();
                        if !could_close_a_string(&line) {
                            input.extend_from_slice(&line);
                            good.extend_from_slice(&line);
                        }
                    }
                }
                Err(line) => {
                    input.extend_from_slice(line);
                    input.push(b'\n');
                    bad += 1;
                }
            }
        }
        let (mut batch, mut wanted) = (Batch::new(), Batch::new());
        let report = Parser::default().parse(&input, &mut batch).unwrap();
        Parser::default().parse(&good, &mut wanted).unwrap();
        prop_assert_eq!(dump(&batch), dump(&wanted));
        prop_assert_eq!(report.bad_lines, bad);
        prop_assert_eq!(report.problems.len() as u64, bad.min(8));
    }
}
