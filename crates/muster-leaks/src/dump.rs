//! Dumps: every goroutine by itself, as `debug=2`, `runtime.Stack` and panics print them.

mod line;
mod table;
#[cfg(test)]
mod tests;

use memchr::memchr;

use crate::profile::{Cut, Format, Profile, names};

use table::{KEY_HEAD, NONE, Single, Table};

/// Go stops printing a dump here, wherever it is.
pub const GO_DUMP_BYTES: u64 = 64 << 20;

/// A longer line is bad, and so is the goroutine that it belongs to.
pub const MAX_LINE_BYTES: usize = 64 << 10;

/// A goroutine with a deeper stack is counted, but is in no group. Go itself prints some 100 frames.
pub const MAX_FRAMES: usize = 1024;

/// So many different groups are told apart; goroutines of further ones are only counted.
pub const MAX_GROUPS: usize = 1 << 16;

/// So many frames all groups have together; goroutines of further groups are only counted.
pub const MAX_TOTAL_FRAMES: usize = 1 << 20;

/// So many bytes of different texts are kept; goroutines with further ones are only counted.
pub const MAX_TEXT_BYTES: usize = 64 << 20;

/// Reads a dump piece by piece, in memory that is bounded by its groups, not by its length.
///
/// All that Go 1.4 to 1.27 prints is understood: both spellings of labels, `(leaked)`, elided
/// frames, ancestors (which are passed over), C frames, the addresses of `GOTRACEBACK=system`. The dump
/// may stand in a log: what comes before and after is passed over, and if all of its lines begin
/// with a time or a name, as collectors of logs add them, that is taken off.
///
/// A goroutine whose stack cannot be read whole is counted in [`Profile::ungrouped`] and reported;
/// it never becomes a group with a stack that it does not have.
///
/// ```
/// let mut reader = muster_leaks::DumpReader::new();
/// reader.feed(b"goroutine 7 [chan send, 3 minutes]:\nmain.work(0xc000012345)\n");
/// reader.feed(b"\tmain.go:12 +0x1d\ncreated by main.main in goroutine 1\n\tmain.go:5 +0x2a\n");
/// let profile = reader.finish();
/// let group = &profile.groups[0];
/// assert_eq!(group.class, muster_leaks::WaitClass::Send);
/// assert_eq!(group.stack[0].to_string(), "main.work main.go:12");
/// assert_eq!(group.created_by.as_ref().unwrap().line, 5);
/// ```
#[derive(Debug)]
pub struct DumpReader {
    profile: Profile,
    table: Table,
    state: State,
    goroutine: Goroutine,
    /// How many words stand before each line of the dump.
    prefix_words: usize,
    /// A line whose end has not come yet; of a line that is too long only the beginning.
    tail: Vec<u8>,
    line: u64,
    /// Where the line starts that is read now.
    offset: u64,
    /// How many bytes have come.
    fed: u64,
}

/// What may come next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// A header, or text that is not of the dump.
    Outside,
    /// A function, or the end of the goroutine.
    Frames,
    /// The place of the frame before.
    Place(Kind),
    /// More of a goroutine's ancestors, which are not kept.
    Ancestors,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// A Go function with arguments.
    Call,
    /// A text that is the name of a C function if a place follows, else not of the dump.
    Plain,
    /// The function with the `go` statement.
    Creator,
}

/// The goroutine that is being read.
#[derive(Debug, Default)]
struct Goroutine {
    single: Single,
    key: Vec<u32>,
    /// The number of the function whose place must follow.
    function: u32,
    /// The stack has come to an end that Go gives it: what created it, or its first function.
    whole: bool,
    /// Something of it cannot be kept or understood.
    broken: bool,
}

impl Default for DumpReader {
    fn default() -> Self {
        Self::new()
    }
}

impl DumpReader {
    /// A reader at the start of a dump.
    pub fn new() -> Self {
        Self {
            profile: Profile::empty(Format::Dump, "goroutine"),
            table: Table::default(),
            state: State::Outside,
            goroutine: Goroutine::default(),
            prefix_words: 0,
            tail: Vec::new(),
            line: 0,
            offset: 0,
            fed: 0,
        }
    }

    /// Reads the next bytes. Where the pieces end does not matter.
    pub fn feed(&mut self, bytes: &[u8]) {
        self.fed += bytes.len() as u64;
        let mut rest = bytes;
        if !self.tail.is_empty() {
            let Some(end) = memchr(b'\n', rest) else {
                self.keep_tail(rest);
                return;
            };
            self.keep_tail(&rest[..end]);
            let line = std::mem::take(&mut self.tail);
            rest = &rest[end + 1..];
            self.take_line(&line);
            self.offset = self.fed - rest.len() as u64;
            self.tail = line;
            self.tail.clear();
        }
        while let Some(end) = memchr(b'\n', rest) {
            self.take_line(&rest[..end]);
            rest = &rest[end + 1..];
            self.offset += end as u64 + 1;
        }
        self.keep_tail(rest);
    }

    /// Goroutines so far whose end has been seen.
    pub fn goroutines(&self) -> u64 {
        self.profile.total
    }

    /// The end of the dump.
    pub fn finish(mut self) -> Profile {
        if !self.tail.is_empty() {
            let line = std::mem::take(&mut self.tail);
            self.take_last_line(&line);
        }
        // A place is missing; text of a log after a whole stack needs none.
        if matches!(self.state, State::Place(kind) if kind != Kind::Plain) {
            self.goroutine.whole = false;
        }
        if self.state != State::Outside {
            self.cut_unless_whole();
        }
        if self.fed == GO_DUMP_BYTES {
            self.cut(None);
        }
        self.leave();
        self.table.finish(&mut self.profile);
        self.profile
    }

    fn keep_tail(&mut self, bytes: &[u8]) {
        let room = (MAX_LINE_BYTES + 1).saturating_sub(self.tail.len());
        self.tail.extend_from_slice(&bytes[..bytes.len().min(room)]);
    }

    fn cut(&mut self, goroutine: Option<u64>) {
        self.profile.cut.get_or_insert(Cut {
            at: self.fed,
            goroutine,
        });
    }

    /// A line without an end: it may be cut anywhere.
    fn take_last_line(&mut self, raw: &[u8]) {
        let line = strip(raw, self.prefix_words);
        let offset_shown = line::place(line).is_some_and(|(_, offset)| offset);
        match self.state {
            State::Outside => self.outside_at_end(raw),
            // With the offset behind it, the line number is whole.
            State::Place(_) | State::Ancestors if offset_shown => {
                self.take_line(raw);
                self.cut_unless_whole();
            }
            State::Ancestors => self.cut(None),
            // What may still follow is ancestors; or it is a log's text.
            State::Frames if self.goroutine.whole => {
                if line.starts_with(b"[") {
                    self.cut(None);
                }
            }
            State::Place(Kind::Plain) if self.goroutine.whole => {}
            State::Frames | State::Place(_) => {
                self.state = State::Frames;
                self.goroutine.whole = false;
                self.cut_unless_whole();
            }
        }
    }

    fn outside_at_end(&mut self, line: &[u8]) {
        const WORD: &[u8] = b"goroutine ";
        if line::header(line).is_some() {
            self.take_line(line);
            self.cut_unless_whole();
        } else if let Some((id, _)) = line::header_start(line) {
            self.profile.total += 1;
            self.profile.ungrouped += 1;
            self.cut(Some(id));
        } else if line.len() > 3 && WORD.starts_with(&line[..line.len().min(WORD.len())]) {
            self.cut(None);
        }
    }

    fn cut_unless_whole(&mut self) {
        if !self.goroutine.whole {
            self.cut(Some(self.goroutine.single.id));
            self.goroutine.broken = true;
        }
    }

    fn take_line(&mut self, raw: &[u8]) {
        self.line += 1;
        if raw.len() > MAX_LINE_BYTES {
            if self.state != State::Outside {
                self.bad("expected a shorter line", raw);
            }
            return self.leave();
        }
        let raw = raw.strip_suffix(b"\r").unwrap_or(raw);
        if self.state == State::Outside {
            return self.outside(raw);
        }
        let line = strip(raw, self.prefix_words);
        if line.starts_with(b"goroutine ") && !matches!(self.state, State::Place(_)) {
            self.leave();
            return self.outside(raw);
        }
        match self.state {
            State::Frames => self.frames(line),
            State::Place(kind) => self.place(kind, line, raw),
            State::Ancestors if line.is_empty() => self.leave(),
            State::Ancestors | State::Outside => {}
        }
    }

    fn outside(&mut self, line: &[u8]) {
        let Some(at) = line::find_header(line) else {
            return;
        };
        if let Some(header) = line::header(&line[at..]) {
            // The words before it stand before each of the dump's lines.
            self.prefix_words = line[..at].iter().filter(|b| **b == b' ').count();
            self.open(&header);
        } else if at == 0 && line::header_start(line).is_some() {
            self.profile.total += 1;
            self.profile.ungrouped += 1;
            self.bad("expected a goroutine's header", line);
        }
    }

    fn open(&mut self, header: &line::Header<'_>) {
        let goroutine = &mut self.goroutine;
        goroutine.single = Single {
            id: header.id,
            minutes: header.minutes,
            object: None,
        };
        goroutine.whole = false;
        let word = self.table.text(header.word);
        let labels = match header.labels {
            b"" => Some(NONE),
            labels => self.table.text(labels),
        };
        goroutine.broken = word.is_none() || labels.is_none();
        goroutine.key.clear();
        goroutine.key.extend([
            word.unwrap_or(NONE),
            labels.unwrap_or(NONE),
            NONE,
            NONE,
            NONE,
        ]);
        self.state = State::Frames;
    }

    fn frames(&mut self, line: &[u8]) {
        if line.is_empty() {
            return self.leave();
        }
        if let Some(creator) = line::creator(line) {
            self.function(creator, Kind::Creator);
        } else if let Some((function, arguments)) = line::call(line) {
            if self.goroutine.single.object.is_none() && !hidden(function) {
                self.goroutine.single.object = line::first_word(arguments);
            }
            self.function(function, Kind::Call);
        } else if line::is_elided(line) {
            let frames = (self.goroutine.key.len() - KEY_HEAD) / 2;
            self.goroutine.key[4] = frames as u32 + 1;
        } else if line::is_ancestor(line) {
            self.state = State::Ancestors;
        } else if line::is_unavailable(line) {
            self.goroutine.whole = true;
        } else if !line.starts_with(b"non-Go function at pc=") {
            self.function(line, Kind::Plain);
        }
    }

    fn function(&mut self, name: &[u8], kind: Kind) {
        let number = self.table.text(name);
        self.goroutine.broken |= number.is_none();
        self.goroutine.function = number.unwrap_or(NONE);
        if kind == Kind::Call && matches!(name, b"main.main" | b"runtime.main") {
            self.goroutine.whole = true;
        }
        self.state = State::Place(kind);
    }

    fn place(&mut self, kind: Kind, line: &[u8], raw: &[u8]) {
        let Some((place, _)) = line::place(line) else {
            // After a stack that is whole comes the text of a log.
            if kind != Kind::Plain || !self.goroutine.whole {
                self.bad("expected a path and a line", line);
            }
            self.leave();
            return self.outside(raw);
        };
        let number = self.table.text(place);
        let goroutine = &mut self.goroutine;
        goroutine.broken |= number.is_none() || goroutine.key.len() >= KEY_HEAD + 2 * MAX_FRAMES;
        self.state = State::Frames;
        if goroutine.broken {
            return;
        }
        let number = number.unwrap_or(NONE);
        if kind == Kind::Creator {
            goroutine.key[2] = goroutine.function;
            goroutine.key[3] = number;
            goroutine.whole = true;
        } else {
            goroutine.key.extend([goroutine.function, number]);
        }
    }

    /// The goroutine ends here, if there is one.
    fn leave(&mut self) {
        if self.state == State::Outside {
            return;
        }
        let goroutine = &self.goroutine;
        if goroutine.key.len() == KEY_HEAD && !goroutine.whole && !goroutine.broken {
            self.bad("expected a function", b"");
        }
        self.state = State::Outside;
        self.profile.total += 1;
        let goroutine = &self.goroutine;
        if goroutine.broken || !self.table.add(&goroutine.key, goroutine.single) {
            self.profile.ungrouped += 1;
        }
    }

    /// Reports a place; the goroutine that it is in is not kept.
    fn bad(&mut self, expected: &str, line: &[u8]) {
        self.goroutine.broken = true;
        let text = String::from_utf8_lossy(&line[..line.len().min(160)]);
        let message = format!("{expected}, found {:?}", first_chars(&text));
        self.profile.note(self.line, self.offset, message);
    }
}

fn first_chars(text: &str) -> &str {
    text.char_indices()
        .nth(40)
        .map_or(text, |(end, _)| &text[..end])
}

fn hidden(function: &[u8]) -> bool {
    std::str::from_utf8(function).is_ok_and(names::is_hidden)
}

/// The line without so many words before it.
fn strip(line: &[u8], words: usize) -> &[u8] {
    let mut rest = line;
    for _ in 0..words {
        match memchr(b' ', rest) {
            Some(blank) => rest = &rest[blank + 1..],
            // The blank before an empty line is often lost.
            None => return &[],
        }
    }
    rest
}
