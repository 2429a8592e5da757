//! The messages of a profile, with numbers in place of what they refer to.

use std::borrow::Cow;

use super::wire::{Message, Value};
use super::{MAX_ENTRIES, MAX_FRAMES, MAX_STRING_BYTES};
use crate::profile::MAX_LABELS;
use crate::read::ReadError;

#[derive(Debug, Default)]
pub(super) struct RawProfile<'a> {
    /// Type and unit.
    pub(super) sample_types: Vec<(u64, u64)>,
    pub(super) samples: Vec<RawSample<'a>>,
    /// The build IDs.
    pub(super) mappings: Vec<u64>,
    pub(super) locations: Vec<RawLocation>,
    pub(super) functions: Vec<RawFunction>,
    strings: Vec<&'a [u8]>,
    pub(super) time_nanos: i64,
    pub(super) duration_nanos: i64,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct RawSample<'a> {
    message: Message<'a>,
    /// The first of its values.
    pub(super) value: Option<i64>,
}

#[derive(Debug, Default)]
pub(super) struct RawLocation {
    pub(super) id: u64,
    /// Function and line; the last one is the outermost.
    pub(super) lines: Vec<(u64, i64)>,
}

#[derive(Debug, Default)]
pub(super) struct RawFunction {
    pub(super) id: u64,
    pub(super) name: u64,
    pub(super) file: u64,
}

#[derive(Debug, Default)]
pub(super) struct RawLabel {
    pub(super) key: u64,
    pub(super) text: u64,
    pub(super) number: i64,
    pub(super) unit: u64,
}

impl<'a> RawProfile<'a> {
    pub(super) fn decode(bytes: &'a [u8]) -> Result<Self, ReadError> {
        let mut profile = Self::default();
        let mut lines = 0;
        let mut fields = Message::new(bytes);
        while let Some((number, value)) = fields.field()? {
            let entries = match (number, value) {
                (1, Value::Bytes(message)) => {
                    profile.sample_types.push(value_type(message)?);
                    profile.sample_types.len()
                }
                (2, Value::Bytes(message)) => {
                    profile.samples.push(RawSample::decode(message)?);
                    profile.samples.len()
                }
                (3, Value::Bytes(message)) => {
                    profile.mappings.push(build_id(message)?);
                    profile.mappings.len()
                }
                (4, Value::Bytes(message)) => {
                    let location = location(message)?;
                    lines += location.lines.len();
                    profile.locations.push(location);
                    profile.locations.len().max(lines)
                }
                (5, Value::Bytes(message)) => {
                    profile.functions.push(function(message)?);
                    profile.functions.len()
                }
                (6, Value::Bytes(text)) => {
                    profile.strings.push(text.bytes());
                    profile.strings.len()
                }
                (9, Value::Number(nanos)) => {
                    profile.time_nanos = nanos as i64;
                    0
                }
                (10, Value::Number(nanos)) => {
                    profile.duration_nanos = nanos as i64;
                    0
                }
                _ => 0,
            };
            if entries > MAX_ENTRIES {
                let message = format!("expected at most {MAX_ENTRIES} entries of field {number}");
                return Err(fields.error(message));
            }
        }
        Ok(profile)
    }

    /// A text of the table, cut at [`MAX_STRING_BYTES`]; empty if it is not there.
    pub(super) fn text(&self, index: u64) -> Cow<'a, str> {
        let text = usize::try_from(index)
            .ok()
            .and_then(|index| self.strings.get(index));
        let text = text.copied().unwrap_or_default();
        String::from_utf8_lossy(&text[..text.len().min(MAX_STRING_BYTES)])
    }
}

impl<'a> RawSample<'a> {
    fn decode(message: Message<'a>) -> Result<Self, ReadError> {
        let mut value = None;
        let mut fields = message;
        while let Some((number, field)) = fields.field()? {
            if number == 2 && value.is_none() {
                value = each_number(field, |_| ())?;
            }
        }
        Ok(Self {
            message,
            value: value.map(|value| value as i64),
        })
    }

    /// An error in this sample.
    pub(super) fn error(&self, message: String) -> ReadError {
        self.message.error(message)
    }

    /// Its locations, leaf first; of a stack that is too deep, one more than [`MAX_FRAMES`].
    pub(super) fn locations(&self) -> Result<Vec<u64>, ReadError> {
        let mut locations = Vec::new();
        let mut fields = self.message;
        while let Some((number, field)) = fields.field()? {
            if number == 1 {
                each_number(field, |id| {
                    if locations.len() <= MAX_FRAMES {
                        locations.push(id);
                    }
                })?;
            }
        }
        Ok(locations)
    }

    /// The first of its labels, at most [`MAX_LABELS`].
    pub(super) fn labels(&self) -> Result<Vec<RawLabel>, ReadError> {
        let mut labels = Vec::new();
        let mut fields = self.message;
        while let Some((number, field)) = fields.field()? {
            if let (3, Value::Bytes(message)) = (number, field)
                && labels.len() < MAX_LABELS
            {
                labels.push(label(message)?);
            }
        }
        Ok(labels)
    }
}

/// Calls `each` with the numbers of a repeated field, packed or not, and yields the first.
fn each_number(value: Value<'_>, mut each: impl FnMut(u64)) -> Result<Option<u64>, ReadError> {
    let mut first = None;
    match value {
        Value::Number(number) => {
            each(number);
            first = Some(number);
        }
        Value::Bytes(mut packed) => {
            while !packed.is_empty() {
                let number = packed.number()?;
                each(number);
                first.get_or_insert(number);
            }
        }
        Value::Other => {}
    }
    Ok(first)
}

fn value_type(mut fields: Message<'_>) -> Result<(u64, u64), ReadError> {
    let (mut kind, mut unit) = (0, 0);
    while let Some((number, value)) = fields.field()? {
        match number {
            1 => kind = value.number(),
            2 => unit = value.number(),
            _ => {}
        }
    }
    Ok((kind, unit))
}

fn build_id(mut fields: Message<'_>) -> Result<u64, ReadError> {
    let mut id = 0;
    while let Some((number, value)) = fields.field()? {
        if number == 6 {
            id = value.number();
        }
    }
    Ok(id)
}

fn location(mut fields: Message<'_>) -> Result<RawLocation, ReadError> {
    let mut location = RawLocation::default();
    while let Some((number, value)) = fields.field()? {
        match (number, value) {
            (1, id) => location.id = id.number(),
            (4, Value::Bytes(mut line)) => {
                let (mut function, mut row) = (0, 0);
                while let Some((number, value)) = line.field()? {
                    match number {
                        1 => function = value.number(),
                        2 => row = value.number() as i64,
                        _ => {}
                    }
                }
                // One more than may be is enough to know that it is too deep.
                if location.lines.len() <= MAX_FRAMES {
                    location.lines.push((function, row));
                }
            }
            _ => {}
        }
    }
    Ok(location)
}

fn function(mut fields: Message<'_>) -> Result<RawFunction, ReadError> {
    let mut function = RawFunction::default();
    while let Some((number, value)) = fields.field()? {
        match number {
            1 => function.id = value.number(),
            2 => function.name = value.number(),
            4 => function.file = value.number(),
            _ => {}
        }
    }
    Ok(function)
}

fn label(mut fields: Message<'_>) -> Result<RawLabel, ReadError> {
    let mut label = RawLabel::default();
    while let Some((number, value)) = fields.field()? {
        match number {
            1 => label.key = value.number(),
            2 => label.text = value.number(),
            3 => label.number = value.number() as i64,
            4 => label.unit = value.number(),
            _ => {}
        }
    }
    Ok(label)
}
