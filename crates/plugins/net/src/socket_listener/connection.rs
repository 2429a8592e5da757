//! A connection with what was read from it and not used yet.

use std::io;
use std::time::Duration;

use muster_metric::{Batch, Room};
use muster_net::{Encoding, Inflater, Stream};
use tokio::io::AsyncReadExt;

use super::cut::Cutter;

/// A connection begins with a buffer of this size; it doubles when a read fills it.
const FIRST_BUFFER: usize = 16 << 10;

/// So far a buffer grows by full reads: one read then brings some thousand metrics.
const COMMON_BUFFER: usize = 256 << 10;

/// A read has at least this much room; a message that does not fit makes the buffer grow.
const LEAST_ROOM: usize = 4 << 10;

/// A connection. It can be handed on to another generation of the input as it is.
pub(super) struct Connection {
    stream: Stream,
    peer: String,
    inflater: Option<Inflater>,
    /// Compressed bytes, and how many of them were unpacked already.
    packed: Vec<u8>,
    unpacked: usize,
    buffer: Vec<u8>,
    skipping: Skip,
    /// How much the last batch held.
    room: Room,
}

/// Whether the connection is inside of a message that is too long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Skip {
    /// It is not.
    No,
    /// It is, up to the next delimiter.
    ToDelimiter,
    /// It is, for so many bytes.
    Bytes(u64),
}

impl Connection {
    pub(super) fn new(stream: Stream, peer: String, encoding: Encoding) -> Self {
        Self {
            stream,
            peer,
            inflater: Inflater::new(encoding),
            packed: Vec::new(),
            unpacked: 0,
            buffer: Vec::new(),
            skipping: Skip::No,
            room: Room::default(),
        }
    }

    pub(super) fn peer(&self) -> &str {
        &self.peer
    }

    /// What is there and not used yet.
    pub(super) fn held(&self) -> &[u8] {
        &self.buffer
    }

    /// A batch with room for about what is held: what comes is mostly like what came.
    pub(super) fn batch(&self) -> Batch {
        Batch::with_room(self.room)
    }

    /// Reads what is there, or waits. Returns 0 at the end of the stream. Giving up the wait loses
    /// nothing.
    pub(super) async fn read(&mut self, timeout: Option<Duration>) -> io::Result<usize> {
        let buffer = if self.inflater.is_some() {
            &mut self.packed
        } else {
            &mut self.buffer
        };
        make_room(buffer);
        let read = self.stream.read_buf(buffer);
        match timeout {
            None => read.await,
            Some(timeout) => match tokio::time::timeout(timeout, read).await {
                Ok(read) => read,
                Err(_) => Err(io::ErrorKind::TimedOut.into()),
            },
        }
    }

    /// Unpacks a piece of what was read, if the stream is compressed. Returns whether there is
    /// more to be unpacked.
    pub(super) fn unpack(&mut self) -> io::Result<bool> {
        let Some(inflater) = &mut self.inflater else {
            return Ok(false);
        };
        let piece = &self.packed[self.unpacked..];
        if !piece.is_empty() {
            self.unpacked += inflater.push(piece, &mut self.buffer)?;
        }
        if self.unpacked < self.packed.len() {
            return Ok(true);
        }
        self.packed.clear();
        self.unpacked = 0;
        Ok(false)
    }

    /// Begins to pass over a message that is too long.
    pub(super) fn start_skipping(&mut self, skip: Skip) {
        self.skipping = skip;
    }

    /// Passes over what is left of a message that is too long, from `used` on. Returns whether a
    /// new message begins there.
    pub(super) fn skip(&mut self, cutter: &Cutter, used: &mut usize) -> bool {
        let held = &self.buffer[*used..];
        match self.skipping {
            Skip::No => {}
            Skip::Bytes(left) => {
                let here = usize::try_from(left).unwrap_or(usize::MAX).min(held.len());
                *used += here;
                let left = left - here as u64;
                self.skipping = if left == 0 {
                    Skip::No
                } else {
                    Skip::Bytes(left)
                };
            }
            Skip::ToDelimiter => {
                let (here, ended) = cutter.skip(held);
                *used += here;
                if ended {
                    self.skipping = Skip::No;
                }
            }
        }
        self.skipping == Skip::No
    }

    /// Drops the bytes that were used; they brought this batch.
    pub(super) fn discard(&mut self, used: usize, batch: &Batch) {
        self.room = batch.room();
        let full = self.buffer.len() == self.buffer.capacity();
        let sparse = self.buffer.len() < self.buffer.capacity() / 8;
        self.buffer.drain(..used);
        let capacity = self.buffer.capacity();
        if full && capacity < COMMON_BUFFER {
            self.buffer.reserve_exact(capacity * 2 - self.buffer.len());
        } else if sparse && capacity > FIRST_BUFFER {
            self.buffer.shrink_to(FIRST_BUFFER.max(capacity / 2));
        }
    }
}

fn make_room(buffer: &mut Vec<u8>) {
    let room = buffer.capacity() - buffer.len();
    if room < LEAST_ROOM {
        let wanted = (buffer.capacity() * 2).max(FIRST_BUFFER);
        buffer.reserve_exact(wanted - buffer.len());
    }
}
