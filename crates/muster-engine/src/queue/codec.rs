//! Metrics as bytes, with all that they are: types, times, floats bit by bit.
//!
//! A metric is its time (8 bytes), its type (1 byte), its name, its tags and its fields. Texts and
//! lists begin with their length as LEB128; a field's value begins with its type (1 byte). Numbers
//! are little-endian.

use muster_metric::{Batch, Metric, MetricType, Timestamp, Value};

/// Stands for a metric without a time; never a legal timestamp.
const UNTIMED: i64 = i64::MIN;

const TYPES: [MetricType; 5] = [
    MetricType::Untyped,
    MetricType::Counter,
    MetricType::Gauge,
    MetricType::Summary,
    MetricType::Histogram,
];

const FLOAT: u8 = 0;
const INT: u8 = 1;
const UINT: u8 = 2;
const FALSE: u8 = 3;
const TRUE: u8 = 4;
const TEXT: u8 = 5;

/// Bytes that are no metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Malformed;

/// Appends a metric.
pub(super) fn encode(metric: Metric<'_>, out: &mut Vec<u8>) {
    let time = metric.time().map_or(UNTIMED, Timestamp::nanos);
    out.extend_from_slice(&time.to_le_bytes());
    let kind = TYPES.iter().position(|kind| *kind == metric.kind());
    out.push(kind.unwrap_or(0) as u8);
    put_text(metric.name(), out);
    put_length(metric.tags().len(), out);
    for (key, value) in metric.tags() {
        put_text(key, out);
        put_text(value, out);
    }
    put_length(metric.fields().len(), out);
    for (key, value) in metric.fields() {
        put_text(key, out);
        match value {
            Value::Float(v) => put_number(FLOAT, v.to_le_bytes(), out),
            Value::Int(v) => put_number(INT, v.to_le_bytes(), out),
            Value::Uint(v) => put_number(UINT, v.to_le_bytes(), out),
            Value::Bool(v) => out.push(if v { TRUE } else { FALSE }),
            Value::Text(v) => {
                out.push(TEXT);
                put_text(v, out);
            }
        }
    }
}

/// Adds the `count` metrics that make up `bytes` to a batch.
///
/// # Errors
/// If the bytes are not exactly so many metrics; the batch then has some of them.
pub(super) fn decode(bytes: &[u8], count: usize, batch: &mut Batch) -> Result<(), Malformed> {
    let before = batch.len();
    let mut from = Source(bytes);
    for _ in 0..count {
        from.metric(batch)?;
    }
    // A batch that is full takes no more.
    let whole = from.0.is_empty() && batch.len() - before == count;
    whole.then_some(()).ok_or(Malformed)
}

fn put_number(kind: u8, bytes: [u8; 8], out: &mut Vec<u8>) {
    out.push(kind);
    out.extend_from_slice(&bytes);
}

fn put_text(text: &str, out: &mut Vec<u8>) {
    put_length(text.len(), out);
    out.extend_from_slice(text.as_bytes());
}

fn put_length(length: usize, out: &mut Vec<u8>) {
    let mut left = length as u64;
    while left >= 0x80 {
        out.push(left as u8 | 0x80);
        left >>= 7;
    }
    out.push(left as u8);
}

/// What is left to decode.
struct Source<'a>(&'a [u8]);

impl<'a> Source<'a> {
    fn metric(&mut self, batch: &mut Batch) -> Result<(), Malformed> {
        let time = i64::from_le_bytes(self.array()?);
        let kind = *TYPES.get(usize::from(self.byte()?)).ok_or(Malformed)?;
        let mut metric = batch.metric(self.text()?).kind(kind);
        for _ in 0..self.length()? {
            let (key, value) = (self.text()?, self.text()?);
            metric.add_tag(key, value);
        }
        for _ in 0..self.length()? {
            let key = self.text()?;
            metric.add_new_field(key, self.value()?);
        }
        metric.finish((time != UNTIMED).then(|| Timestamp::from_nanos(time)));
        Ok(())
    }

    fn value(&mut self) -> Result<Value<'a>, Malformed> {
        Ok(match self.byte()? {
            FLOAT => Value::Float(f64::from_le_bytes(self.array()?)),
            INT => Value::Int(i64::from_le_bytes(self.array()?)),
            UINT => Value::Uint(u64::from_le_bytes(self.array()?)),
            FALSE => Value::Bool(false),
            TRUE => Value::Bool(true),
            TEXT => Value::Text(self.text()?),
            _ => return Err(Malformed),
        })
    }

    fn text(&mut self) -> Result<&'a str, Malformed> {
        let length = usize::try_from(self.length()?).map_err(|_| Malformed)?;
        let (text, rest) = self.0.split_at_checked(length).ok_or(Malformed)?;
        self.0 = rest;
        std::str::from_utf8(text).map_err(|_| Malformed)
    }

    fn length(&mut self) -> Result<u64, Malformed> {
        let mut length = 0;
        for shift in (0..u64::BITS).step_by(7) {
            let byte = self.byte()?;
            length |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Ok(length);
            }
        }
        Err(Malformed)
    }

    fn byte(&mut self) -> Result<u8, Malformed> {
        Ok(self.array::<1>()?[0])
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Malformed> {
        let (bytes, rest) = self.0.split_first_chunk().ok_or(Malformed)?;
        self.0 = rest;
        Ok(*bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn value() -> impl Strategy<Value = (u8, u64, String)> {
        (0u8..5, any::<u64>(), ".{0,8}")
    }

    prop_compose! {
        fn metric()(
            name in ".{0,8}",
            kind in 0usize..TYPES.len(),
            tags in prop::collection::btree_map(".{0,5}", ".{0,200}", 0..4),
            fields in prop::collection::btree_map(".{0,5}", value(), 0..5),
            time in any::<i64>(),
        ) -> Batch {
            let mut batch = Batch::new();
            let mut metric = batch.metric(name.as_str()).kind(TYPES[kind]);
            for (key, value) in &tags {
                metric.add_tag(key.as_str(), value.as_str());
            }
            for (key, (kind, bits, text)) in &fields {
                let value = match kind {
                    0 => Value::Float(f64::from_bits(*bits)),
                    1 => Value::Int(bits.cast_signed()),
                    2 => Value::Uint(*bits),
                    3 => Value::Bool(bits % 2 == 0),
                    _ => Value::Text(text),
                };
                metric.add_new_field(key.as_str(), value);
            }
            metric.finish((time != UNTIMED).then(|| Timestamp::from_nanos(time)));
            batch
        }
    }

    fn bytes_of(batch: &Batch) -> Vec<u8> {
        let mut out = Vec::new();
        batch.iter().for_each(|metric| encode(metric, &mut out));
        out
    }

    proptest! {
        #[test]
        fn what_comes_back_is_what_went_in(batches in prop::collection::vec(metric(), 0..4)) {
            let mut all = Batch::new();
            batches.iter().flat_map(Batch::iter).for_each(|metric| all.push(metric));
            let bytes = bytes_of(&all);
            let mut back = Batch::new();
            decode(&bytes, all.len(), &mut back).unwrap();
            // NaN is not equal to itself, its bytes are.
            prop_assert_eq!(bytes_of(&back), bytes.clone());
            for (back, metric) in back.iter().zip(all.iter()) {
                prop_assert_eq!(back.name(), metric.name());
                prop_assert_eq!(back.kind(), metric.kind());
                prop_assert_eq!(back.time(), metric.time());
                prop_assert!(back.tags().eq(metric.tags()));
                let text = |m: Metric<'_>| format!("{:?}", m.fields().collect::<Vec<_>>());
                prop_assert_eq!(text(back), text(metric));
            }
            for cut in 0..bytes.len() {
                prop_assert_eq!(decode(&bytes[..cut], all.len(), &mut Batch::new()), Err(Malformed));
            }
        }

        #[test]
        fn any_bytes_are_metrics_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..200), count in 0usize..5) {
            let _ = decode(&bytes, count, &mut Batch::new());
        }
    }
}
