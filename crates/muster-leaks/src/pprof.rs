//! Binary profiles: the protobuf form that pprof reads, usually compressed with gzip.

mod decode;
#[cfg(test)]
mod tests;
mod wire;

use std::borrow::Cow;
use std::collections::HashMap;
use std::io::Read;
use std::sync::Arc;

use flate2::read::MultiGzDecoder;

use crate::intern::Interner;
use crate::merge::Merger;
use crate::profile::{
    Format, Frame, Group, Label, LabelValue, MAX_COUNT, Profile, Stack, WaitClass, classify, names,
};
use crate::read::ReadError;

use decode::{RawProfile, RawSample};

/// A profile that is larger after decompression is refused. Go's own of 100,000 goroutines in ten
/// places has less than 10 KiB.
pub const MAX_BINARY_BYTES: usize = 64 << 20;

/// A stack with more frames is counted, but is in no group. Go itself keeps 128.
pub const MAX_FRAMES: usize = 1024;

/// So many frames all different stacks have together; further stacks are only counted.
pub const MAX_TOTAL_FRAMES: usize = 1 << 20;

/// A profile with more strings, functions, locations, lines of locations or samples is refused.
pub const MAX_ENTRIES: usize = 1 << 20;

/// A longer string is cut: many functions may have the same one for a name.
pub const MAX_STRING_BYTES: usize = 4096;

const GZIP: &[u8] = &[0x1f, 0x8b];

/// Whether it is compressed, or begins as a profile does: with a message of a sample type.
pub(crate) fn looks_binary(bytes: &[u8]) -> bool {
    bytes.starts_with(GZIP)
        || matches!(bytes, [0x0a, length, field, ..] if *length <= 8 && matches!(field, 0x08 | 0x10))
}

/// Reads a binary profile, compressed or not.
///
/// # Errors
/// If it is broken anywhere, larger than the limits, or counts anything else than goroutines,
/// threads or what a program counts itself.
pub(crate) fn read(bytes: &[u8]) -> Result<Profile, ReadError> {
    let plain = if bytes.starts_with(GZIP) {
        Cow::Owned(decompress(bytes, MAX_BINARY_BYTES)?)
    } else {
        Cow::Borrowed(bytes)
    };
    if plain.len() > MAX_BINARY_BYTES {
        return Err(ReadError::TooLarge);
    }
    let raw = RawProfile::decode(&plain)?;
    let kind = count_kind(&raw)?;
    let mut profile = Profile::empty(Format::Binary, &kind);
    profile.build_id = raw
        .mappings
        .first()
        .map(|build_id| raw.text(*build_id))
        .filter(|text| !text.is_empty())
        .map(Into::into);
    profile.time_nanos = (raw.time_nanos != 0).then_some(raw.time_nanos);
    profile.duration_nanos = (raw.duration_nanos != 0).then_some(raw.duration_nanos);
    let mut resolver = Resolver::new(&raw);
    let mut merger = Merger::default();
    for sample in &raw.samples {
        let Some(count) = sample.value.and_then(|value| u64::try_from(value).ok()) else {
            continue;
        };
        if count == 0 {
            continue;
        }
        if count > MAX_COUNT {
            return Err(sample.error(format!("expected at most {MAX_COUNT}, found {count}")));
        }
        profile.total += count;
        let group = resolver.group(sample, count)?.map(|mut group| {
            group.leaked = kind == "goroutineleak";
            group
        });
        if !group.is_some_and(|group| merger.add(group)) {
            profile.ungrouped += count;
        }
    }
    merger.finish(&mut profile);
    Ok(profile)
}

fn decompress(bytes: &[u8], limit: usize) -> Result<Vec<u8>, ReadError> {
    let mut plain = Vec::new();
    MultiGzDecoder::new(bytes)
        .take(limit as u64 + 1)
        .read_to_end(&mut plain)
        .map_err(|error| ReadError::Compression(error.to_string()))?;
    if plain.len() > limit {
        return Err(ReadError::TooLarge);
    }
    Ok(plain)
}

/// What the profile counts: it has one kind of value, and its unit is `count`.
fn count_kind(raw: &RawProfile<'_>) -> Result<String, ReadError> {
    let types: Vec<(String, String)> = raw
        .sample_types
        .iter()
        .map(|(kind, unit)| (raw.text(*kind).into_owned(), raw.text(*unit).into_owned()))
        .collect();
    match &types[..] {
        [(kind, unit)] if unit == "count" => Ok(kind.clone()),
        [] => Err(ReadError::OtherKind("nothing".to_owned())),
        _ => {
            let all: Vec<String> = types
                .iter()
                .take(4)
                .map(|(kind, unit)| format!("{kind:.40} in {unit:.40}"))
                .collect();
            Err(ReadError::OtherKind(all.join(", ")))
        }
    }
}

type Map<K, V> = HashMap<K, V, foldhash::fast::RandomState>;

struct Resolver<'a> {
    raw: &'a RawProfile<'a>,
    functions: Map<u64, usize>,
    locations: Map<u64, usize>,
    /// The functions that samples name, by the place of the raw one.
    resolved: Map<usize, Function>,
    /// Stacks by their locations: samples may differ only in their labels.
    stacks: Map<Vec<u64>, (Stack, WaitClass)>,
    interner: Interner,
    frames: usize,
}

#[derive(Clone)]
struct Function {
    /// The name as it is written.
    name: Arc<str>,
    shown: Arc<str>,
    file: Arc<str>,
    hidden: bool,
}

impl<'a> Resolver<'a> {
    fn new(raw: &'a RawProfile<'a>) -> Self {
        let functions = raw.functions.iter().enumerate();
        let locations = raw.locations.iter().enumerate();
        Self {
            raw,
            functions: functions.map(|(at, function)| (function.id, at)).collect(),
            locations: locations.map(|(at, location)| (location.id, at)).collect(),
            resolved: Map::default(),
            stacks: Map::default(),
            interner: Interner::default(),
            frames: 0,
        }
    }

    /// The group of a sample; `None` if its stack is too deep or there are too many.
    fn group(&mut self, sample: &RawSample<'_>, count: u64) -> Result<Option<Group>, ReadError> {
        let locations = sample.locations()?;
        let known = match self.stacks.get(&locations) {
            Some(known) => Some(known.clone()),
            None => {
                let known = self.stack(sample, &locations)?;
                if let Some(known) = &known {
                    self.stacks.insert(locations, known.clone());
                }
                known
            }
        };
        let Some((stack, class)) = known else {
            return Ok(None);
        };
        let mut group = Group::new(count, stack, class);
        group.labels = self.labels(sample)?;
        Ok(Some(group))
    }

    fn stack(
        &mut self,
        sample: &RawSample<'_>,
        locations: &[u64],
    ) -> Result<Option<(Stack, WaitClass)>, ReadError> {
        let mut frames: Vec<(Function, u32)> = Vec::new();
        if self.frames >= MAX_TOTAL_FRAMES {
            return Ok(None);
        }
        for location in locations {
            let Some(at) = self.locations.get(location) else {
                let message = format!("expected a location that exists, found {location}");
                return Err(sample.error(message));
            };
            let lines = &self.raw.locations[*at].lines;
            if frames.len() + lines.len().max(1) > MAX_FRAMES {
                return Ok(None);
            }
            if lines.is_empty() {
                frames.push((self.named("", ""), 0));
            }
            for (function, line) in lines {
                let function = self.function(sample, *function)?;
                frames.push((function, u32::try_from(*line).unwrap_or(0)));
            }
        }
        self.frames += frames.len();
        let names: Vec<&str> = frames.iter().map(|(function, _)| &*function.name).collect();
        let class = classify::by_all_frames(&names);
        let all_hidden = frames.iter().all(|(function, _)| function.hidden);
        let shown = frames
            .into_iter()
            .filter(|(function, _)| all_hidden || !function.hidden)
            .map(|(function, line)| Frame {
                function: function.shown,
                file: function.file,
                line,
            });
        Ok(Some((shown.collect(), class)))
    }

    fn function(&mut self, sample: &RawSample<'_>, id: u64) -> Result<Function, ReadError> {
        let Some(at) = self.functions.get(&id).copied() else {
            return Err(sample.error(format!("expected a function that exists, found {id}")));
        };
        if let Some(known) = self.resolved.get(&at) {
            return Ok(known.clone());
        }
        let function = &self.raw.functions[at];
        let (name, file) = (self.raw.text(function.name), self.raw.text(function.file));
        let function = self.named(&name, &file);
        self.resolved.insert(at, function.clone());
        Ok(function)
    }

    fn named(&mut self, name: &str, file: &str) -> Function {
        Function {
            name: self.interner.get(name),
            shown: self.interner.get(&names::normal(name)),
            file: self.interner.get(file),
            hidden: names::is_hidden(name),
        }
    }

    fn labels(&mut self, sample: &RawSample<'_>) -> Result<Arc<[Label]>, ReadError> {
        let mut labels = Vec::new();
        for label in sample.labels()? {
            let value = if label.text == 0 && label.number != 0 {
                LabelValue::Number {
                    value: label.number,
                    unit: self.interner.get(&self.raw.text(label.unit)),
                }
            } else {
                LabelValue::Text(self.interner.get(&self.raw.text(label.text)))
            };
            labels.push(Label {
                key: self.interner.get(&self.raw.text(label.key)),
                value,
            });
        }
        labels.sort();
        Ok(labels.into())
    }
}
