//! The parser: many lines, good and bad, into a batch.

use super::line::{Bad, LineReader};
use super::lines::{End, complete_len_within, line_end};
use super::scan::{Scanner, is_space};
use super::{Fault, MAX_PROBLEMS, ParseError, Problem, Report};
use crate::batch::MAX_TEXT_BYTES;
use crate::{Batch, Precision, Timestamp};

/// The longest line that a parser takes by default: 1 MiB.
pub const DEFAULT_MAX_LINE_BYTES: usize = 1 << 20;

/// What a bad line does to the others.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub enum OnError {
    /// It is left out and reported; the other lines are kept.
    #[default]
    Skip,
    /// Nothing is kept: the batch is as it was before. Telegraf does this.
    Fail,
}

/// Reads line protocol into a [`Batch`].
///
/// The input is copied into the batch's text once and the rows point into it; nothing is
/// allocated for single metrics. Cost: about 2 ns for each byte of input on a server's core.
///
/// The rules are those of Telegraf's own parser:
/// - Whitespace between the parts is any run of spaces, tabs, vertical tabs and form feeds; lines
///   end with `\n` or `\r\n`; lines that are empty or begin with `#` are passed over.
/// - `\,` and `\ ` are unescaped in names, also `\=` and `\"` in tag keys, tag values and field
///   keys; before any other byte a backslash stands for itself.
/// - Strings may hold raw newlines; `\"` and `\\` are unescaped in them. A backslash before any
///   other byte stands for itself, as in InfluxDB, where Telegraf refuses the line.
/// - Integers end in `i` (64 bits, signed) or `u` (64 bits, unsigned); floats have no `inf` or
///   `nan`; booleans are `t`, `T`, `true`, `True`, `TRUE` and their opposites.
/// - Of tags or fields with the same key the last one counts.
/// - Empty names, keys and tag values are faults.
///
/// Limits: a line has at most [`max_line_bytes`](Self::max_line_bytes), and with it at most a
/// quarter as many tags and fields, since each takes four bytes or more; keys that occur twice
/// are found without quadratic work. One batch holds 1 GiB of text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parser {
    /// The unit of timestamps: nanoseconds by default.
    pub precision: Precision,
    /// What a bad line does to the others; by default it is skipped.
    pub on_error: OnError,
    /// The most bytes that a line may have, its newline included. Default
    /// [`DEFAULT_MAX_LINE_BYTES`].
    pub max_line_bytes: usize,
    /// The time of lines without one, cut down to a multiple of [`precision`](Self::precision)
    /// as Telegraf does it. By default there is none and the metrics stay without a time, so
    /// that they get that of the collection.
    pub default_time: Option<Timestamp>,
}

impl Default for Parser {
    fn default() -> Self {
        Self {
            precision: Precision::NANOSECOND,
            on_error: OnError::Skip,
            max_line_bytes: DEFAULT_MAX_LINE_BYTES,
            default_time: None,
        }
    }
}

impl Parser {
    /// Reads all lines of `input` and appends their metrics to `batch`. The last line needs no
    /// newline.
    ///
    /// # Errors
    /// [`ParseError::BadLine`] for the first bad line, with [`OnError::Fail`];
    /// [`ParseError::BatchFull`] if the input does not fit into the batch's text. In both cases
    /// the batch is as it was before.
    pub fn parse(&self, input: &[u8], batch: &mut Batch) -> Result<Report, ParseError> {
        // Unescaped text needs room beside the input.
        let needed = if memchr::memchr(b'\\', input).is_some() {
            2
        } else {
            1
        } * input.len();
        if needed > MAX_TEXT_BYTES.saturating_sub(batch.text.len()) {
            return Err(ParseError::BatchFull { bytes: input.len() });
        }
        let before = Mark::of(batch);
        let utf8 = append(input, batch);
        let step = self.precision.nanos();
        let floor = |time: Timestamp| time.nanos() - time.nanos().rem_euclid(step);
        let reader = LineReader {
            input,
            base: before.text,
            batch,
            unit: self.precision,
            max_line_bytes: self.max_line_bytes,
            default_time: self.default_time.map_or(Timestamp::NONE, floor),
            scanner: Scanner::new(input),
            synced: 0,
        };
        let mut run = Run {
            reader,
            parser: self,
            utf8,
            report: Report::default(),
            counted: (0, 1),
            before,
            sampled: before.rows + SAMPLE,
        };
        match run.lines() {
            Ok(()) => {
                run.report.metrics = run.reader.batch.rows.len() - before.rows;
                if run.report.metrics == 0 {
                    // Nothing points at the text.
                    before.restore(run.reader.batch);
                }
                Ok(run.report)
            }
            Err(problem) => {
                before.restore(run.reader.batch);
                Err(ParseError::BadLine(problem))
            }
        }
    }

    /// How many leading bytes of `buffer` are whole lines: what [`parse`](Self::parse) can read
    /// of a stream now. The rest waits for more bytes, or for the stream's end.
    ///
    /// A newline inside of a quoted string ends no line. When `buffer` is longer than
    /// [`max_line_bytes`](Self::max_line_bytes) and the answer is 0, the line is too long:
    /// pass over it up to its newline.
    pub fn complete_len(&self, buffer: &[u8]) -> usize {
        complete_len_within(buffer, self.max_line_bytes)
    }
}

/// Appends the input to the batch's text, byte for byte at the same distance; what is not UTF-8
/// becomes question marks. Returns whether all of it is UTF-8.
fn append(input: &[u8], batch: &mut Batch) -> bool {
    if let Ok(text) = std::str::from_utf8(input) {
        batch.text.push_str(text);
        return true;
    }
    batch.text.reserve(input.len());
    for chunk in input.utf8_chunks() {
        batch.text.push_str(chunk.valid());
        batch.text.extend(chunk.invalid().iter().map(|_| '?'));
    }
    false
}

/// How much a batch held.
#[derive(Clone, Copy)]
struct Mark {
    text: usize,
    tags: usize,
    fields: usize,
    rows: usize,
}

impl Mark {
    fn of(batch: &Batch) -> Self {
        Self {
            text: batch.text.len(),
            tags: batch.tags.len(),
            fields: batch.fields.len(),
            rows: batch.rows.len(),
        }
    }

    fn restore(self, batch: &mut Batch) {
        batch.text.truncate(self.text);
        batch.tags.truncate(self.tags);
        batch.fields.truncate(self.fields);
        batch.rows.truncate(self.rows);
    }
}

struct Run<'a> {
    reader: LineReader<'a>,
    parser: &'a Parser,
    utf8: bool,
    report: Report,
    /// A line's start and its number, up to which newlines are counted.
    counted: (usize, u64),
    before: Mark,
    /// With so many rows the batch's vectors are made as large as the input lets expect.
    sampled: usize,
}

/// How many metrics are read before it is guessed how many will come.
const SAMPLE: usize = 8;

/// For so many bytes of input at most room is made beforehand.
const MAX_FORESEEN: usize = 1 << 20;

impl Run<'_> {
    fn lines(&mut self) -> Result<(), Box<Problem>> {
        let input = self.reader.input;
        let (mut start, mut at) = (0, 0);
        while let Some(&byte) = input.get(at) {
            match byte {
                b'\n' => {
                    at += 1;
                    start = at;
                }
                b'\r' if matches!(input.get(at + 1), None | Some(b'\n')) => at += 1,
                b'#' => {
                    let newline = memchr::memchr(b'\n', &input[at..]);
                    at = newline.map_or(input.len(), |len| at + len);
                }
                _ if is_space(byte) => at += 1,
                _ => {
                    let before = (self.reader.batch.tags.len(), self.reader.batch.fields.len());
                    at = match self.reader.read(start, at) {
                        Ok(end) if self.utf8 => end,
                        Ok(end) => self.check_utf8(start, end, before)?,
                        Err(bad) => self.bad(start, bad, before)?,
                    };
                    start = at;
                    if self.reader.batch.rows.len() == self.sampled {
                        self.reserve(at);
                    }
                }
            }
        }
        Ok(())
    }

    /// Makes room for the metrics of the rest of the input, if they are like those up to `at`.
    #[cold]
    fn reserve(&mut self, at: usize) {
        let batch = &mut *self.reader.batch;
        let rest = (self.reader.input.len() - at).min(MAX_FORESEEN);
        // A little more than as many again for each byte as there were so far.
        let more = |count: usize| count.saturating_mul(rest) / at * 17 / 16 + 1;
        batch
            .tags
            .reserve(more(batch.tags.len() - self.before.tags));
        batch
            .fields
            .reserve(more(batch.fields.len() - self.before.fields));
        batch
            .rows
            .reserve(more(batch.rows.len() - self.before.rows));
    }

    /// Takes the line that was just read back if it is not UTF-8.
    #[cold]
    fn check_utf8(
        &mut self,
        start: usize,
        end: usize,
        before: (usize, usize),
    ) -> Result<usize, Box<Problem>> {
        // The copy has question marks where the input is not UTF-8.
        let copy = &self.reader.batch.text.as_bytes()[self.reader.base..][start..end];
        let line = &self.reader.input[start..end];
        match copy
            .iter()
            .zip(line)
            .position(|(copied, byte)| copied != byte)
        {
            None => Ok(end),
            Some(at) => {
                self.reader.batch.rows.pop();
                self.bad(start, (start + at, Fault::NotUtf8), before)
            }
        }
    }

    /// Reports the line that begins at `start` and returns where the next one does.
    #[cold]
    fn bad(
        &mut self,
        start: usize,
        (at, fault): Bad,
        (tags, fields): (usize, usize),
    ) -> Result<usize, Box<Problem>> {
        let (input, batch) = (self.reader.input, &mut *self.reader.batch);
        batch.tags.truncate(tags);
        batch.fields.truncate(fields);
        let (End::Known(end) | End::Open { last: end }) =
            line_end(input, start, self.parser.max_line_bytes);
        let fail = self.parser.on_error == OnError::Fail;
        if fail || self.report.problems.len() < MAX_PROBLEMS {
            let (from, line) = self.counted;
            let line = line + memchr::memchr_iter(b'\n', &input[from..start]).count() as u64;
            self.counted = (start, line);
            let problem = Problem::new(input, start, line, at, fault);
            if fail {
                return Err(Box::new(problem));
            }
            self.report.problems.push(problem);
        }
        self.report.bad_lines += 1;
        Ok(end)
    }
}
