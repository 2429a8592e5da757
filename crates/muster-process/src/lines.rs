//! Lines of bounded length.

use std::io;

use tokio::io::{AsyncRead, AsyncReadExt};

/// Reads lines and keeps at most so many bytes of one.
#[derive(Debug)]
pub struct Lines<R> {
    from: R,
    buffer: Vec<u8>,
    /// Before this, the buffer was given out.
    start: usize,
    limit: usize,
    /// Bytes thrown away of the line that is being read.
    skipped: usize,
}

/// One line, without its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// The line, or the beginning of one that was too long.
    pub text: Vec<u8>,
    /// How many bytes of it were thrown away.
    pub skipped: usize,
}

impl<R: AsyncRead + Unpin> Lines<R> {
    /// Reads from `from` and keeps at most `limit` bytes of a line.
    pub fn new(from: R, limit: usize) -> Self {
        Self {
            from,
            buffer: Vec::new(),
            start: 0,
            limit: limit.max(1),
            skipped: 0,
        }
    }

    /// The next line; `None` at the end. The last line need not end with a newline.
    ///
    /// # Errors
    /// If reading fails.
    ///
    /// # Cancel safety
    /// Cancel safe: what was read is kept for the next call.
    pub async fn next(&mut self) -> io::Result<Option<Line>> {
        loop {
            let unread = &self.buffer[self.start..];
            if let Some(length) = unread.iter().position(|b| *b == b'\n') {
                let text = &unread[..length];
                let text = text.strip_suffix(b"\r").unwrap_or(text).to_vec();
                self.start += length + 1;
                return Ok(Some(self.cut(text)));
            }
            self.buffer.drain(..self.start);
            self.start = 0;
            if self.buffer.len() > self.limit {
                self.skipped += self.buffer.len() - self.limit;
                self.buffer.truncate(self.limit);
            }
            self.buffer.reserve(4096);
            if self.from.read_buf(&mut self.buffer).await? == 0 {
                if self.buffer.is_empty() && self.skipped == 0 {
                    return Ok(None);
                }
                let text = std::mem::take(&mut self.buffer);
                return Ok(Some(self.cut(text)));
            }
        }
    }

    fn cut(&mut self, mut text: Vec<u8>) -> Line {
        let more = text.len().saturating_sub(self.limit);
        text.truncate(self.limit);
        Line {
            text,
            skipped: std::mem::take(&mut self.skipped) + more,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[muster_tasks::test]
    async fn keeps_lines_short() {
        let mut lines = Lines::new(&b"one\r\n\nlonger than that\nlast"[..], 6);
        let mut got = Vec::new();
        while let Some(line) = lines.next().await.unwrap() {
            got.push((String::from_utf8(line.text).unwrap(), line.skipped));
        }
        let want = [("one", 0), ("", 0), ("longer", 10), ("last", 0)];
        assert_eq!(got, want.map(|(text, skipped)| (text.to_owned(), skipped)));
    }
}
