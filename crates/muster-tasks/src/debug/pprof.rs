//! Writes profiles in pprof's format.
//!
//! The format is `profile.proto` of <https://github.com/google/pprof>: protocol buffers, version 3.
//! Only what these profiles need is written. It may be compressed but need not.

use std::collections::HashMap;

/// A function in a file, at a line.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Frame {
    pub(super) function: String,
    pub(super) file: String,
    /// From 1; 0 if it is not known.
    pub(super) line: u32,
}

/// Builds one profile.
pub(super) struct ProfileWriter {
    /// The samples as they are in the file: they come before what they refer to.
    samples: Vec<u8>,
    strings: Table<String>,
    frames: Table<Frame>,
    types: Vec<[u64; 2]>,
    /// The pattern of functions that are not shown; 0 for none.
    hidden: u64,
}

/// Values by the order in which they came.
struct Table<T> {
    numbers: HashMap<T, u64>,
    values: Vec<T>,
}

impl<T: Clone + Eq + std::hash::Hash> Table<T> {
    fn new() -> Self {
        Self {
            numbers: HashMap::new(),
            values: Vec::new(),
        }
    }

    fn number(&mut self, value: T) -> u64 {
        if let Some(number) = self.numbers.get(&value) {
            return *number;
        }
        let number = self.values.len() as u64;
        self.values.push(value.clone());
        self.numbers.insert(value, number);
        number
    }
}

impl ProfileWriter {
    /// A profile whose samples have one value for each of `types`: what it counts and its unit.
    pub(super) fn new(types: &[(&str, &str)]) -> Self {
        let mut strings = Table::new();
        strings.number(String::new());
        let mut number = |text: &str| strings.number(text.to_owned());
        let types = types
            .iter()
            .map(|(kind, unit)| [number(kind), number(unit)])
            .collect();
        Self {
            samples: Vec::new(),
            strings,
            frames: Table::new(),
            types,
            hidden: 0,
        }
    }

    /// Tools shall not show frames whose function matches this pattern, nor what those have called.
    pub(super) fn hide(&mut self, functions: &str) {
        self.hidden = self.strings.number(functions.to_owned());
    }

    /// Adds a sample: its stack, the innermost frame first, its values, and labels.
    pub(super) fn sample(
        &mut self,
        stack: impl IntoIterator<Item = Frame>,
        values: &[u64],
        labels: &[(&str, &str)],
    ) {
        let mut locations = Vec::new();
        for frame in stack {
            varint(self.frames.number(frame) + 1, &mut locations);
        }
        let mut sample = Vec::new();
        bytes(1, &locations, &mut sample);
        let mut packed = Vec::new();
        values.iter().for_each(|value| varint(*value, &mut packed));
        bytes(2, &packed, &mut sample);
        for (key, value) in labels {
            let mut label = Vec::new();
            number(1, self.strings.number((*key).to_owned()), &mut label);
            number(2, self.strings.number((*value).to_owned()), &mut label);
            bytes(3, &label, &mut sample);
        }
        bytes(2, &sample, &mut self.samples);
    }

    /// The file. `time` is when it was taken, in nanoseconds since 1970, `duration` for how long;
    /// `period` is the time between two samples and its unit, where they were taken by time.
    pub(super) fn finish(
        mut self,
        time: u64,
        duration: u64,
        period: Option<(u64, &str)>,
    ) -> Vec<u8> {
        let mut out = Vec::new();
        for [kind, unit] in &self.types {
            bytes(1, &value_type(*kind, *unit), &mut out);
        }
        out.append(&mut self.samples);
        let mut mapping = Vec::new();
        number(1, 1, &mut mapping);
        // Functions, files and lines are known: no tool needs to look into the program.
        (7..=9).for_each(|field| number(field, 1, &mut mapping));
        bytes(3, &mapping, &mut out);
        let frames = std::mem::take(&mut self.frames.values);
        for (at, frame) in frames.into_iter().enumerate() {
            let id = at as u64 + 1;
            let mut line = Vec::new();
            number(1, id, &mut line);
            number(2, u64::from(frame.line), &mut line);
            let mut location = Vec::new();
            number(1, id, &mut location);
            number(2, 1, &mut location);
            number(3, id, &mut location);
            bytes(4, &line, &mut location);
            bytes(4, &location, &mut out);
            let name = self.strings.number(frame.function);
            let mut function = Vec::new();
            number(1, id, &mut function);
            number(2, name, &mut function);
            number(3, name, &mut function);
            number(4, self.strings.number(frame.file), &mut function);
            bytes(5, &function, &mut out);
        }
        number(7, self.hidden, &mut out);
        number(9, time, &mut out);
        number(10, duration, &mut out);
        if let Some((every, unit)) = period {
            let kind = self.types.last().map_or(0, |[kind, _]| *kind);
            let unit = self.strings.number(unit.to_owned());
            bytes(11, &value_type(kind, unit), &mut out);
            number(12, every, &mut out);
        }
        for text in &self.strings.values {
            bytes(6, text.as_bytes(), &mut out);
        }
        out
    }
}

fn value_type(kind: u64, unit: u64) -> Vec<u8> {
    let mut out = Vec::new();
    number(1, kind, &mut out);
    number(2, unit, &mut out);
    out
}

/// A field with a number: wire type 0.
fn number(field: u64, value: u64, out: &mut Vec<u8>) {
    varint(field << 3, out);
    varint(value, out);
}

/// A field with bytes: wire type 2.
fn bytes(field: u64, value: &[u8], out: &mut Vec<u8>) {
    varint(field << 3 | 2, out);
    varint(value.len() as u64, out);
    out.extend_from_slice(value);
}

fn varint(mut value: u64, out: &mut Vec<u8>) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}
