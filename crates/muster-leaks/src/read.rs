//! Reading a profile in whatever form.

use crate::dump::DumpReader;
use crate::grouped_text;
use crate::pprof;
use crate::profile::Profile;

/// A profile that could not be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    /// There is nothing.
    #[error("read the profile: there is nothing in it")]
    Empty,
    /// It is no form of a profile.
    #[error(
        "read the profile: expected a binary profile (pprof), \"goroutine profile: total\" \
         (debug=1) or \"goroutine N [\" at the start of a line (debug=2, a panic), found {found}"
    )]
    NoProfile {
        /// How it begins; at most a few words.
        found: String,
    },
    /// Text in the form of `debug=1` is wrong at its head, without which the rest says nothing.
    #[error("read the profile: line {line} (byte {offset}): {message}")]
    Text {
        /// The line, from 1.
        line: u64,
        /// The byte at which the line starts, from 0.
        offset: u64,
        /// What was expected.
        message: String,
    },
    /// A binary profile is broken.
    #[error("read the profile: byte {offset} of the decompressed profile: {message}")]
    Binary {
        /// The byte, from 0, after decompression.
        offset: u64,
        /// What was expected.
        message: String,
    },
    /// The compression is broken or ends too early.
    #[error("read the profile: decompress it: {0}")]
    Compression(String),
    /// More than [`MAX_BINARY_BYTES`](pprof::MAX_BINARY_BYTES) come out of the compression.
    #[error("read the profile: it is larger than {} MiB when decompressed", pprof::MAX_BINARY_BYTES >> 20)]
    TooLarge,
    /// A binary profile counts something else than goroutines, threads or what a program counts
    /// itself.
    #[error("read the profile: expected one that counts goroutines, found one of {0}")]
    OtherKind(String),
}

impl ReadError {
    /// The message without what was tried, for one that says so itself.
    pub fn reason(&self) -> String {
        let text = self.to_string();
        match text.strip_prefix("read the profile: ") {
            Some(reason) => reason.to_owned(),
            None => text,
        }
    }
}

impl Profile {
    /// Reads a profile in any of the three forms; the first bytes say which. A dump may stand
    /// anywhere in a log.
    ///
    /// The time is proportional to the length (of the decompressed profile). For a dump that is
    /// too large to hold, or that is still coming, there is [`DumpReader`].
    ///
    /// # Errors
    /// If it is no profile, or a binary one is broken anywhere. Text is read forgivingly: what
    /// is not understood is counted in [`Profile::bad`], with the first few places.
    pub fn read(bytes: &[u8]) -> Result<Self, ReadError> {
        if bytes.iter().all(u8::is_ascii_whitespace) {
            return Err(ReadError::Empty);
        }
        if pprof::looks_binary(bytes) {
            return pprof::read(bytes);
        }
        if grouped_text::looks_grouped(bytes) {
            return grouped_text::read(bytes);
        }
        let mut reader = DumpReader::new();
        reader.feed(bytes);
        let profile = reader.finish();
        if profile.total == 0 {
            let begin = String::from_utf8_lossy(&bytes[..bytes.len().min(160)]);
            let found = begin.chars().take(40).collect::<String>();
            return Err(ReadError::NoProfile {
                found: format!("{found:?}"),
            });
        }
        Ok(profile)
    }
}
