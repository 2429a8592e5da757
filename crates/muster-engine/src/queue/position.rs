//! The durable read position: the number of the first metric that is not settled.
//!
//! The file has two slots, 512 bytes apart, that are written in turn, so that a write that is cut
//! off leaves the other one. A slot is: magic `[4]`, version u32, count of writes u64, position u64,
//! CRC32C of these u32; all little-endian. It is overwritten in place: a full disk does not
//! keep metrics that were written from being settled.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;

const MAGIC: [u8; 4] = *b"MusP";
const VERSION: u32 = 1;
const SLOT: usize = 28;
const APART: u64 = 512;

/// The file with the read position.
#[derive(Debug)]
pub(super) struct Position {
    file: File,
    writes: u64,
    value: u64,
}

impl Position {
    /// Opens the file, or makes it with the position 0.
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(path)?;
        let mut newest = None;
        for slot in 0..2 {
            let mut bytes = Vec::with_capacity(SLOT);
            read_at(&file, slot * APART, &mut bytes)?;
            newest = newest.max(parse(&bytes));
        }
        let (writes, value) = newest.unwrap_or_default();
        let mut position = Self {
            file,
            writes,
            value,
        };
        if newest.is_none() {
            // Both slots exist from now on: later writes take no room.
            position.set(0)?;
            position.set(0)?;
        }
        Ok(position)
    }

    /// The position.
    pub(super) fn get(&self) -> u64 {
        self.value
    }

    /// Writes another position.
    pub(super) fn set(&mut self, value: u64) -> io::Result<()> {
        let writes = self.writes + 1;
        self.file
            .write_all_at(&slot(writes, value), writes % 2 * APART)?;
        (self.writes, self.value) = (writes, value);
        Ok(())
    }

    /// Waits until the disk has what was written.
    pub(super) fn sync(&self) -> io::Result<()> {
        self.file.sync_data()
    }
}

fn slot(writes: u64, value: u64) -> [u8; SLOT] {
    let mut slot = [0; SLOT];
    slot[..4].copy_from_slice(&MAGIC);
    slot[4..8].copy_from_slice(&VERSION.to_le_bytes());
    slot[8..16].copy_from_slice(&writes.to_le_bytes());
    slot[16..24].copy_from_slice(&value.to_le_bytes());
    let crc = crc32c::crc32c(&slot[..24]);
    slot[24..].copy_from_slice(&crc.to_le_bytes());
    slot
}

/// The count of writes and the position in a slot; `None` if it is not whole.
fn parse(bytes: &[u8]) -> Option<(u64, u64)> {
    let bytes: &[u8; SLOT] = bytes.try_into().ok()?;
    let number = |at: usize| {
        let bytes = &bytes[at..at + 8];
        bytes
            .iter()
            .rev()
            .fold(0, |number, byte| number << 8 | u64::from(*byte))
    };
    let (writes, value) = (number(8), number(16));
    (*bytes == slot(writes, value)).then_some((writes, value))
}

fn read_at(file: &File, offset: u64, bytes: &mut Vec<u8>) -> io::Result<()> {
    bytes.resize(SLOT, 0);
    match file.read_exact_at(bytes, offset) {
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
            bytes.clear();
            Ok(())
        }
        outcome => outcome,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_write_that_is_cut_off_anywhere_leaves_the_position_before() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("position");
        let mut position = Position::open(&path).unwrap();
        for value in [7, 8] {
            position.set(value).unwrap();
        }
        let before = std::fs::read(&path).unwrap();
        position.set(9).unwrap();
        let after = std::fs::read(&path).unwrap();
        assert_eq!(before.len(), after.len(), "a write takes no room");
        for cut in 0..=after.len() {
            let torn = [&after[..cut], &before[cut..]].concat();
            std::fs::write(&path, torn).unwrap();
            let found = Position::open(&path).unwrap().get();
            assert!(found == 8 || found == 9, "cut at {cut}: {found}");
            assert!(cut < after.len() || found == 9);
        }
    }
}
