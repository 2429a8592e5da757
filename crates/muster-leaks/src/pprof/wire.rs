//! The encoding of protobuf messages, as far as profiles use it.

use crate::read::ReadError;

/// The fields of a message that have not been read yet.
#[derive(Clone, Copy, Debug)]
pub(super) struct Message<'a> {
    bytes: &'a [u8],
    /// Where `bytes` start in the whole profile.
    base: usize,
}

/// What a field holds.
#[derive(Clone, Copy, Debug)]
pub(super) enum Value<'a> {
    Number(u64),
    Bytes(Message<'a>),
    /// Fixed-size numbers, which profiles do not have.
    Other,
}

impl<'a> Message<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, base: 0 }
    }

    pub(super) fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// An error at the place that is read next.
    pub(super) fn error(&self, message: impl Into<String>) -> ReadError {
        ReadError::Binary {
            offset: self.base as u64,
            message: message.into(),
        }
    }

    /// The next field: its number and value.
    pub(super) fn field(&mut self) -> Result<Option<(u64, Value<'a>)>, ReadError> {
        if self.bytes.is_empty() {
            return Ok(None);
        }
        let tag = self.number()?;
        let value = match tag & 7 {
            0 => Value::Number(self.number()?),
            1 => self.skip(8)?,
            2 => {
                let length = self.number()?;
                let base = self.base;
                Value::Bytes(Self {
                    bytes: self.take(length)?,
                    base,
                })
            }
            5 => self.skip(4)?,
            kind => return Err(self.error(format!("expected a field, found wire type {kind}"))),
        };
        Ok(Some((tag >> 3, value)))
    }

    /// The next variable-length number.
    pub(super) fn number(&mut self) -> Result<u64, ReadError> {
        let mut value = 0_u64;
        for (at, byte) in self.bytes.iter().take(10).enumerate() {
            value |= u64::from(byte & 0x7f) << (7 * at as u32);
            if *byte < 0x80 {
                self.bytes = &self.bytes[at + 1..];
                self.base += at + 1;
                return Ok(value);
            }
        }
        Err(self.error("expected a number, found no end of it"))
    }

    pub(super) fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    fn take(&mut self, length: u64) -> Result<&'a [u8], ReadError> {
        let taken = usize::try_from(length)
            .ok()
            .and_then(|length| self.bytes.split_at_checked(length));
        let Some((taken, rest)) = taken else {
            let left = self.bytes.len();
            return Err(self.error(format!("expected {length} bytes, found {left}")));
        };
        self.bytes = rest;
        self.base += taken.len();
        Ok(taken)
    }

    fn skip(&mut self, length: u64) -> Result<Value<'a>, ReadError> {
        self.take(length).map(|_| Value::Other)
    }
}

impl Value<'_> {
    /// The number, or 0 if it is none.
    pub(super) fn number(self) -> u64 {
        match self {
            Self::Number(number) => number,
            Self::Bytes(_) | Self::Other => 0,
        }
    }
}
