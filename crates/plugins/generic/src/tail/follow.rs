//! One file that is followed: reading, cutting into lines, noticing what became of it.

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Read};
use std::os::unix::fs::{FileExt, FileTypeExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::fs::OFlags;

use super::tracker::FileId;
use crate::encoding::Encoding;

/// So much is read at once.
const READ: usize = 64 << 10;

/// A line longer than this is cut.
const LONGEST: usize = 1 << 20;

/// So many first bytes tell a file from another with the same number.
pub(super) const HEAD: usize = 64;

/// How long a file that was renamed or deleted is read on after it last grew: who writes it may
/// have it open still.
const LINGER: Duration = Duration::from_secs(10);

/// What a piece belongs to.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct FileName {
    /// Which life of the file, so that two files of one name are kept apart.
    pub(super) life: u64,
    pub(super) id: FileId,
    pub(super) path: PathBuf,
}

/// Some whole lines of a file.
#[derive(Debug)]
pub(super) struct Piece {
    pub(super) file: Arc<FileName>,
    pub(super) bytes: Vec<u8>,
    /// Where in the file it begins.
    pub(super) start: u64,
}

/// One file that is followed.
#[derive(Debug)]
pub(super) struct Followed {
    pub(super) name: Arc<FileName>,
    pub(super) head: Vec<u8>,
    file: File,
    is_pipe: bool,
    /// What was read and not given out; begins at `offset`.
    buffer: Vec<u8>,
    offset: u64,
    /// Renamed or deleted; when it last grew.
    left: Option<Instant>,
}

/// What a file has just now.
#[derive(Debug)]
pub(super) enum Next {
    /// Some whole lines; there may be more.
    Piece(Piece),
    /// No whole line.
    Nothing,
    /// It was cut short, or written anew.
    Truncated,
}

impl Followed {
    /// Opens a file. One that is no regular file is refused unless pipes are expected.
    pub(super) fn open(path: &Path, is_pipe: bool) -> io::Result<Self> {
        let kind = fs::metadata(path)?.file_type();
        if kind.is_fifo() != is_pipe {
            let message = if is_pipe {
                "it is no pipe"
            } else {
                "it is a pipe: set pipe = true"
            };
            return Err(io::Error::new(io::ErrorKind::InvalidInput, message));
        }
        if !is_pipe && !kind.is_file() {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                "it is no regular file",
            ));
        }
        let mut options = OpenOptions::new();
        options
            .read(true)
            .custom_flags(OFlags::NONBLOCK.bits().cast_signed());
        // With a writer of our own a pipe does not end when the others close it.
        let file = options.write(is_pipe).open(path)?;
        let id = FileId::of(&file.metadata()?);
        let name = Arc::new(FileName {
            life: 0,
            id,
            path: path.to_owned(),
        });
        let mut followed = Self {
            name,
            head: Vec::new(),
            file,
            is_pipe,
            buffer: Vec::new(),
            offset: 0,
            left: None,
        };
        followed.read_head()?;
        Ok(followed)
    }

    /// The size of the file now.
    pub(super) fn size(&self) -> io::Result<u64> {
        Ok(self.file.metadata()?.len())
    }

    /// Goes to a place in the file.
    pub(super) fn seek(&mut self, offset: u64) {
        self.offset = offset;
        self.buffer.clear();
    }

    /// Follows the file under another name.
    pub(super) fn rename(&mut self, path: &Path) {
        let (life, id) = (self.name.life, self.name.id);
        self.name = Arc::new(FileName {
            life,
            id,
            path: path.to_owned(),
        });
        self.left = None;
    }

    /// Notes which life of the file this is.
    pub(super) fn set_life(&mut self, life: u64) {
        let (id, path) = (self.name.id, self.name.path.clone());
        self.name = Arc::new(FileName { life, id, path });
    }

    /// Begins the file anew, after it was cut short; gives what was read of an unfinished line.
    pub(super) fn restart(&mut self) -> Option<Piece> {
        let rest = self.finish();
        self.seek(0);
        self.head.clear();
        let _ = self.read_head();
        rest
    }

    /// Lets the file go after a while.
    pub(super) fn leave(&mut self) {
        self.left.get_or_insert_with(Instant::now);
    }

    pub(super) fn has_left(&self) -> bool {
        self.left.is_some()
    }

    /// Whether it has left and has not grown for long enough.
    pub(super) fn is_over(&self) -> bool {
        self.left.is_some_and(|since| since.elapsed() >= LINGER)
    }

    /// The next whole lines, at most so many.
    pub(super) fn next(&mut self, encoding: Encoding, lines: usize) -> io::Result<Next> {
        if let Some(piece) = self.cut(encoding, lines) {
            return Ok(Next::Piece(piece));
        }
        let old = self.buffer.len();
        self.buffer.resize(old + READ, 0);
        let read = if self.is_pipe {
            self.file.read(&mut self.buffer[old..])
        } else {
            self.file
                .read_at(&mut self.buffer[old..], self.offset + old as u64)
        };
        self.buffer.truncate(old + *read.as_ref().unwrap_or(&0));
        match read {
            // Looked at after reading: what was read is good if the file is still the same now.
            Ok(_) if self.is_truncated() => {
                self.buffer.truncate(old);
                return Ok(Next::Truncated);
            }
            Ok(0) => return Ok(Next::Nothing),
            Ok(_) => {}
            Err(error)
                if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) =>
            {
                return Ok(Next::Nothing);
            }
            Err(error) => return Err(error),
        }
        if let Some(since) = &mut self.left {
            *since = Instant::now();
        }
        if self.head.len() < HEAD {
            self.read_head()?;
        }
        Ok(self.cut(encoding, lines).map_or(Next::Nothing, Next::Piece))
    }

    /// What is left of a line without an end.
    pub(super) fn finish(&mut self) -> Option<Piece> {
        (!self.buffer.is_empty()).then(|| self.give(self.buffer.len()))
    }

    /// Whether the file's name is another's now, or nobody's.
    pub(super) fn has_lost_name(&self) -> bool {
        let there = fs::metadata(&self.name.path);
        there.map_or(true, |there| FileId::of(&there) != self.name.id)
    }

    /// Whether the file was cut short or begins with something else than it did.
    fn is_truncated(&self) -> bool {
        if self.is_pipe {
            return false;
        }
        let short = self
            .size()
            .is_ok_and(|size| size < self.offset + self.buffer.len() as u64);
        short || !self.begins_with(&self.head)
    }

    /// Whether the file begins with these bytes.
    pub(super) fn begins_with(&self, head: &[u8]) -> bool {
        let mut now = [0; HEAD];
        let now = &mut now[..head.len().min(HEAD)];
        match self.file.read_exact_at(now, 0) {
            Ok(()) => head.starts_with(now),
            Err(_) => head.is_empty(),
        }
    }

    fn read_head(&mut self) -> io::Result<()> {
        if self.is_pipe {
            return Ok(());
        }
        let mut head = [0; HEAD];
        let count = self.file.read_at(&mut head, 0)?;
        self.head = head[..count].to_vec();
        Ok(())
    }

    fn cut(&mut self, encoding: Encoding, lines: usize) -> Option<Piece> {
        let mut length = 0;
        for _ in 0..lines.max(1) {
            match encoding.line_end(&self.buffer[length..]) {
                Some(end) => length += end,
                None => break,
            }
        }
        if length == 0 && self.buffer.len() > LONGEST {
            length = LONGEST;
        }
        (length > 0).then(|| self.give(length))
    }

    fn give(&mut self, length: usize) -> Piece {
        let rest = self.buffer.split_off(length);
        let bytes = std::mem::replace(&mut self.buffer, rest);
        let start = self.offset;
        self.offset += length as u64;
        Piece {
            file: Arc::clone(&self.name),
            bytes,
            start,
        }
    }
}
