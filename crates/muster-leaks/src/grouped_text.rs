//! Grouped text: one record a stack, as `debug=1` prints it.

#[cfg(test)]
mod tests;

use std::sync::Arc;

use crate::intern::Interner;
use crate::labels;
use crate::merge::Merger;
use crate::profile::{Format, Frame, Group, Label, MAX_COUNT, Profile, classify, names};
use crate::read::ReadError;

const HEAD: &str = " profile: total ";

/// A stack with more frames is counted, but is in no group. Go itself keeps 128.
pub const MAX_FRAMES: usize = 1024;

/// So many frames all stacks have together; further stacks are only counted.
pub const MAX_TOTAL_FRAMES: usize = 1 << 20;

/// Whether the first line is the head of such a text.
pub(crate) fn looks_grouped(bytes: &[u8]) -> bool {
    let line = bytes.split(|b| *b == b'\n').next().unwrap_or(bytes);
    memchr::memmem::find(line, HEAD.as_bytes()).is_some()
}

/// Reads the text of a profile that counts: `goroutine`, `goroutineleak`, `threadcreate`, or one
/// of the program's own.
///
/// # Errors
/// If the first line is no head.
pub(crate) fn read(bytes: &[u8]) -> Result<Profile, ReadError> {
    let text = String::from_utf8_lossy(bytes);
    let mut lines = text.split_inclusive('\n');
    let head = lines.next().unwrap_or_default();
    let Some((kind, total)) = split_head(head) else {
        return Err(ReadError::Text {
            line: 1,
            offset: 0,
            message: format!(
                "expected \"goroutine profile: total\" and a number, found {:.60?}",
                head.trim_end()
            ),
        });
    };
    let mut reader = Reader {
        profile: Profile::empty(Format::GroupedText, kind),
        interner: Interner::default(),
        merger: Merger::default(),
        record: None,
        frames: 0,
        left_out: 0,
        line: 1,
        offset: 0,
    };
    reader.offset = head.len() as u64;
    for line in lines {
        reader.line += 1;
        reader.take_line(line.trim_end_matches(['\n', '\r']));
        reader.offset += line.len() as u64;
    }
    Ok(reader.finish(total))
}

fn split_head(line: &str) -> Option<(&str, u64)> {
    let (kind, total) = line.trim_end().split_once(HEAD)?;
    // The difference of two profiles may be negative.
    let total: i64 = total.parse().ok()?;
    Some((kind, u64::try_from(total).unwrap_or(0)))
}

struct Reader {
    profile: Profile,
    interner: Interner,
    merger: Merger,
    record: Option<Record>,
    /// Of all stacks.
    frames: usize,
    /// Goroutines of records that become no group.
    left_out: u64,
    line: u64,
    offset: u64,
}

#[derive(Default)]
struct Record {
    count: u64,
    labels: Arc<[Label]>,
    frames: Vec<Frame>,
    broken: bool,
}

impl Reader {
    fn take_line(&mut self, line: &str) {
        if line.is_empty() {
            return self.close();
        }
        if !line.starts_with('#') {
            self.close();
            match split_record(line) {
                Some(count) => {
                    self.record = Some(Record {
                        count,
                        ..Record::default()
                    });
                }
                None => self.bad("a count, \"@\" and addresses", line),
            }
            return;
        }
        let Some(record) = &mut self.record else {
            return self.bad("a record before its frames", line);
        };
        if let Some(inner) = line.strip_prefix("# labels: {") {
            match inner
                .strip_suffix('}')
                .and_then(|inner| labels::parse(inner, &mut self.interner))
            {
                Some(labels) => record.labels = labels,
                None => self.bad("labels", line),
            }
            return;
        }
        match frame(line, &mut self.interner) {
            Some(frame) if record.frames.len() < MAX_FRAMES => record.frames.push(frame),
            Some(_) => record.broken = true,
            None => {
                record.broken = true;
                self.bad("an address, a function and its place", line);
            }
        }
    }

    fn bad(&mut self, expected: &str, line: &str) {
        let found: String = line.chars().take(40).collect();
        let message = format!("expected {expected}, found {found:?}");
        self.profile.note(self.line, self.offset, message);
    }

    fn close(&mut self) {
        let Some(record) = self.record.take() else {
            return;
        };
        if record.count == 0 {
            return;
        }
        let frames = self.frames + record.frames.len();
        if record.broken || frames > MAX_TOTAL_FRAMES {
            self.left_out += record.count;
            return;
        }
        self.frames = frames;
        let functions = || record.frames.iter().map(|frame| &*frame.function);
        let class = classify::by_visible_frames(functions());
        let all_hidden = functions().all(names::is_hidden);
        let stack = record
            .frames
            .iter()
            .filter(|frame| all_hidden || !names::is_hidden(&frame.function))
            .map(|frame| Frame {
                function: self.interner.get(&names::normal(&frame.function)),
                ..frame.clone()
            })
            .collect();
        let mut group = Group::new(record.count, stack, class);
        group.labels = record.labels;
        group.leaked = &*self.profile.kind == "goroutineleak";
        if !self.merger.add(group) {
            self.left_out += record.count;
        }
    }

    fn finish(mut self, total: u64) -> Profile {
        self.close();
        self.merger.finish(&mut self.profile);
        let grouped: u64 = self.profile.groups.iter().map(|group| group.count).sum();
        // A text that is cut holds fewer than its head says; a changed one more.
        self.profile.total = total.max(grouped + self.left_out);
        self.profile.ungrouped = self.profile.total - grouped;
        self.profile
    }
}

/// `3 @ 0x1 0x2`: the count, 0 if it is negative, as in the differences of profiles.
fn split_record(line: &str) -> Option<u64> {
    let (count, addresses) = line.split_once(" @")?;
    let hex = |word: &str| {
        word.strip_prefix("0x")
            .is_some_and(|hex| u64::from_str_radix(hex, 16).is_ok())
    };
    if !addresses.split_ascii_whitespace().all(hex) {
        return None;
    }
    let count: i64 = count.parse().ok()?;
    Some(u64::try_from(count).unwrap_or(0)).filter(|count| *count <= MAX_COUNT)
}

/// A hash, an address, a function with an offset, and its place, with tabs between; without function
/// and place if they are not known.
fn frame(line: &str, interner: &mut Interner) -> Option<Frame> {
    let mut columns = line
        .strip_prefix("#\t")?
        .split('\t')
        .filter(|column| !column.is_empty());
    columns.next()?.strip_prefix("0x")?;
    let Some(function) = columns.next() else {
        return Some(Frame {
            function: interner.get(""),
            file: interner.get(""),
            line: 0,
        });
    };
    let (function, _) = function.rsplit_once("+0x")?;
    let (file, number) = columns.next()?.rsplit_once(':')?;
    Some(Frame {
        function: interner.get(function),
        file: interner.get(file),
        line: number.parse().ok()?,
    })
}
