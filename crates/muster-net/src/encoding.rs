//! Compression, with a bound on what comes out.

use std::io::{self, Read, Write};

use flate2::Compression;
use flate2::read::{MultiGzDecoder, ZlibDecoder};
use flate2::write::{GzEncoder, ZlibEncoder};

/// How bytes are compressed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Encoding {
    /// Not at all.
    #[default]
    Identity,
    /// As gzip does.
    Gzip,
    /// As zlib does (called `deflate` in HTTP).
    Zlib,
}

/// Bytes that could not be decompressed.
#[derive(Debug, thiserror::Error)]
pub enum DecodeError {
    /// More comes out than allowed.
    #[error("more than {limit} bytes after decompression")]
    TooLarge {
        /// The limit.
        limit: usize,
    },
    /// They are not what they should be.
    #[error("decompress: {0}")]
    Broken(#[from] io::Error),
}

impl Encoding {
    /// Reads a name from configuration or from a `Content-Encoding` header; empty means none.
    ///
    /// # Errors
    /// If the name is unknown or not supported; the text says which are.
    pub fn parse(name: &str) -> Result<Self, String> {
        match name.trim().to_ascii_lowercase().as_str() {
            "" | "identity" | "none" => Ok(Self::Identity),
            "gzip" | "x-gzip" => Ok(Self::Gzip),
            "zlib" | "deflate" => Ok(Self::Zlib),
            "zstd" | "snappy" => Err(format!(
                "\"{name}\" is not supported yet; use gzip, zlib or identity"
            )),
            _ => Err(format!(
                "unknown encoding \"{name}\"; possible are gzip, zlib and identity"
            )),
        }
    }

    /// The value of a `Content-Encoding` header; `None` if there is to be none.
    pub fn header(self) -> Option<&'static str> {
        match self {
            Self::Identity => None,
            Self::Gzip => Some("gzip"),
            Self::Zlib => Some("deflate"),
        }
    }

    /// Compresses.
    ///
    /// # Errors
    /// Never for bytes in memory; the compressor's interface allows for it.
    pub fn encode(self, bytes: Vec<u8>) -> io::Result<Vec<u8>> {
        match self {
            Self::Identity => Ok(bytes),
            Self::Gzip => {
                let out = Vec::with_capacity(bytes.len() / 4 + 64);
                let mut encoder = GzEncoder::new(out, Compression::fast());
                encoder.write_all(&bytes)?;
                encoder.finish()
            }
            Self::Zlib => {
                let out = Vec::with_capacity(bytes.len() / 4 + 64);
                let mut encoder = ZlibEncoder::new(out, Compression::fast());
                encoder.write_all(&bytes)?;
                encoder.finish()
            }
        }
    }

    /// Decompresses to at most `limit` bytes.
    ///
    /// # Errors
    /// If there are more, or the bytes are broken.
    pub fn decode(self, bytes: Vec<u8>, limit: usize) -> Result<Vec<u8>, DecodeError> {
        match self {
            Self::Identity if bytes.len() > limit => Err(DecodeError::TooLarge { limit }),
            Self::Identity => Ok(bytes),
            Self::Gzip => bounded(MultiGzDecoder::new(bytes.as_slice()), limit),
            Self::Zlib => bounded(ZlibDecoder::new(bytes.as_slice()), limit),
        }
    }
}

fn bounded(reader: impl Read, limit: usize) -> Result<Vec<u8>, DecodeError> {
    let mut out = Vec::new();
    let most = u64::try_from(limit).unwrap_or(u64::MAX).saturating_add(1);
    reader.take(most).read_to_end(&mut out)?;
    if out.len() > limit {
        Err(DecodeError::TooLarge { limit })
    } else {
        Ok(out)
    }
}

/// So much compressed input is taken at a time: deflate expands at most about a thousandfold, so
/// that one step brings at most 4 MiB.
const STEP: usize = 4096;

/// Decompresses a stream piece by piece.
pub struct Inflater(Inner);

enum Inner {
    Gzip(flate2::write::MultiGzDecoder<Vec<u8>>),
    Zlib(flate2::write::ZlibDecoder<Vec<u8>>),
}

impl std::fmt::Debug for Inflater {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Inflater").finish_non_exhaustive()
    }
}

impl Inflater {
    /// Starts a stream; `None` if it is not compressed.
    pub fn new(encoding: Encoding) -> Option<Self> {
        match encoding {
            Encoding::Identity => None,
            Encoding::Gzip => Some(Self(Inner::Gzip(flate2::write::MultiGzDecoder::new(
                Vec::new(),
            )))),
            Encoding::Zlib => Some(Self(Inner::Zlib(flate2::write::ZlibDecoder::new(
                Vec::new(),
            )))),
        }
    }

    /// Takes some of `input`, appends to `out` what comes of it, and returns how much was taken:
    /// at most a few kilobytes, so that what comes out stays bounded too.
    ///
    /// # Errors
    /// If the bytes are no compressed stream.
    pub fn push(&mut self, input: &[u8], out: &mut Vec<u8>) -> io::Result<usize> {
        let step = &input[..input.len().min(STEP)];
        let fresh = match &mut self.0 {
            Inner::Gzip(decoder) => {
                decoder.write_all(step)?;
                decoder.flush()?;
                decoder.get_mut()
            }
            Inner::Zlib(decoder) => {
                decoder.write_all(step)?;
                decoder.flush()?;
                decoder.get_mut()
            }
        };
        out.append(fresh);
        Ok(step.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn round_trips_and_bounds() {
        for encoding in [Encoding::Identity, Encoding::Gzip, Encoding::Zlib] {
            let plain = b"cpu v=1\n".repeat(1000);
            let packed = encoding.encode(plain.clone()).unwrap();
            assert_eq!(encoding.decode(packed.clone(), 8000).unwrap(), plain);
            let error = encoding.decode(packed, 7999).unwrap_err();
            assert!(
                matches!(error, DecodeError::TooLarge { limit: 7999 }),
                "{error}"
            );
        }
    }

    #[test]
    fn a_bomb_stops_at_the_limit() {
        let bomb = Encoding::Gzip.encode(vec![0; 64 << 20]).unwrap();
        assert!(bomb.len() < 1 << 20);
        assert!(Encoding::Gzip.decode(bomb, 1 << 16).is_err());
    }

    #[test]
    fn inflates_piece_by_piece() {
        let plain = b"cpu v=1\n".repeat(50_000);
        let packed = Encoding::Gzip.encode(plain.clone()).unwrap();
        let (mut inflater, mut out) = (Inflater::new(Encoding::Gzip).unwrap(), Vec::new());
        for piece in packed.chunks(100) {
            let mut piece = piece;
            while !piece.is_empty() {
                let taken = inflater.push(piece, &mut out).unwrap();
                piece = &piece[taken..];
            }
        }
        assert_eq!(out, plain);
        let mut inflater = Inflater::new(Encoding::Gzip).unwrap();
        assert!(
            inflater
                .push(b"this is not gzip at all", &mut Vec::new())
                .is_err()
        );
    }

    #[test]
    fn knows_names() {
        assert_eq!(Encoding::parse("GZIP"), Ok(Encoding::Gzip));
        assert_eq!(Encoding::parse(""), Ok(Encoding::Identity));
        assert!(
            Encoding::parse("zstd")
                .unwrap_err()
                .contains("not supported yet")
        );
        assert!(Encoding::parse("brotli").unwrap_err().contains("unknown"));
    }
}
