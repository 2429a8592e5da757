//! The format of a segment: a header, then records.
//!
//! ```text
//! header: magic [8], version u32, number of the first metric u64, CRC32C of these u32
//! record: length of the payload u32, metrics u32, CRC32C of these two and the payload u32, payload
//! ```
//! All numbers are little-endian; a payload is metrics as the codec has them.

use std::io::{self, BufRead, Read};

/// What a file of metrics begins with.
const MAGIC: [u8; 8] = *b"MusterQ\n";

/// The version of the format.
pub(super) const VERSION: u32 = 1;

/// The length of a segment's header.
pub(super) const HEADER: usize = 24;

/// The length of a record's head.
pub(super) const HEAD: usize = 12;

/// What a segment's header says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Header {
    /// It is a segment that begins with the metric of this number.
    First(u64),
    /// It is of another version.
    Version(u32),
    /// It is no header.
    Damaged,
}

/// The header of a segment that begins with the metric number `first`.
pub(super) fn header(first: u64) -> [u8; HEADER] {
    let mut header = [0; HEADER];
    header[..8].copy_from_slice(&MAGIC);
    header[8..12].copy_from_slice(&VERSION.to_le_bytes());
    header[12..20].copy_from_slice(&first.to_le_bytes());
    let crc = crc32c::crc32c(&header[..20]);
    header[20..].copy_from_slice(&crc.to_le_bytes());
    header
}

/// Reads a segment's header.
pub(super) fn read_header(from: &mut impl Read) -> io::Result<Header> {
    let mut header = [0; HEADER];
    if !fill(from, &mut header)? {
        return Ok(Header::Damaged);
    }
    let crc = crc32c::crc32c(&header[..20]);
    if header[..8] != MAGIC || number(&header[20..]) != crc {
        return Ok(Header::Damaged);
    }
    let version = number(&header[8..12]);
    if version != VERSION {
        return Ok(Header::Version(version));
    }
    let first = u64::from(number(&header[12..16])) | u64::from(number(&header[16..20])) << 32;
    Ok(Header::First(first))
}

/// The head of a record.
#[derive(Clone, Copy, Debug)]
pub(super) struct Head {
    /// Bytes of its payload.
    pub length: usize,
    /// Its metrics.
    pub count: usize,
    crc: u32,
}

/// Begins a record in an empty buffer; the payload is to be appended.
pub(super) fn begin_record(record: &mut Vec<u8>) {
    record.clear();
    record.resize(HEAD, 0);
}

/// Fills in the head of a record whose payload is complete.
///
/// # Errors
/// If the payload is longer than a record can be, 4 GiB.
pub(super) fn end_record(record: &mut [u8], count: u32) -> io::Result<()> {
    let length = u32::try_from(record.len() - HEAD)
        .map_err(|_| io::Error::other("a metric is larger than 4 GiB"))?;
    record[..4].copy_from_slice(&length.to_le_bytes());
    record[4..8].copy_from_slice(&count.to_le_bytes());
    let crc = crc32c::crc32c_append(crc32c::crc32c(&record[..8]), &record[HEAD..]);
    record[8..HEAD].copy_from_slice(&crc.to_le_bytes());
    Ok(())
}

/// Reads the head of the next record; `None` if there is no whole one.
pub(super) fn read_head(from: &mut impl Read) -> io::Result<Option<Head>> {
    let mut head = [0; HEAD];
    if !fill(from, &mut head)? {
        return Ok(None);
    }
    let head = Head {
        length: number(&head[..4]) as usize,
        count: number(&head[4..8]) as usize,
        crc: number(&head[8..]),
    };
    Ok((head.count > 0).then_some(head))
}

/// Reads a record's payload; false if it is not whole or not what was written.
pub(super) fn read_payload(
    from: &mut impl Read,
    head: Head,
    payload: &mut Vec<u8>,
) -> io::Result<bool> {
    payload.clear();
    // The length may be damaged: memory is taken for what is there, not for what is announced.
    let read = from.take(head.length as u64).read_to_end(payload)?;
    let mut crc = crc32c::crc32c(&(head.length as u32).to_le_bytes());
    crc = crc32c::crc32c_append(crc, &(head.count as u32).to_le_bytes());
    crc = crc32c::crc32c_append(crc, payload);
    Ok(read == head.length && crc == head.crc)
}

/// Skips a record's payload; false if it is not whole.
pub(super) fn skip_payload(from: &mut impl BufRead, head: Head) -> io::Result<bool> {
    let skipped = io::copy(&mut from.take(head.length as u64), &mut io::sink())?;
    Ok(skipped == head.length as u64)
}

/// Fills a buffer; false at the end of the file.
fn fill(from: &mut impl Read, buffer: &mut [u8]) -> io::Result<bool> {
    match from.read_exact(buffer) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(false),
        Err(error) => Err(error),
    }
}

fn number(bytes: &[u8]) -> u32 {
    bytes
        .iter()
        .rev()
        .fold(0, |number, byte| number << 8 | u32::from(*byte))
}
