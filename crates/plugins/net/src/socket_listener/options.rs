//! The options of the input.

use muster_net::{Address, Encoding, SocketOptions};
use muster_options::{Duration, JsonSchema, OptionError, Size};
use serde::{Deserialize, Serialize};

use super::cut::Cutter;

/// Options of `inputs.socket_listener`.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(super) struct SocketListenerOptions {
    /// Where to listen: `tcp://:8094`, `tcp4://127.0.0.1:8094`, `udp://:8094`,
    /// `unix:///run/muster.sock`, `unixgram:///run/muster.sock`, ...
    pub(super) service_address: String,
    /// Permission bits of a unix socket's file, in octal: `"660"`.
    pub(super) socket_mode: String,
    /// How many connections may be open at a time; further ones are closed at once. 0 means no
    /// bound.
    pub(super) max_connections: usize,
    /// A connection that sends nothing for so long is closed. 0 or not given means never.
    pub(super) read_timeout: Option<Duration>,
    /// Size of the kernel's receive buffer; the system's default if not given.
    pub(super) read_buffer_size: Option<Size>,
    /// Time between keep-alive probes of TCP connections. 0 turns them off; the system's default
    /// if not given.
    pub(super) keep_alive_period: Option<Duration>,
    /// How the senders compress: `identity`, `gzip` or `zlib`.
    pub(super) content_encoding: String,
    /// The most bytes that one datagram may have after decompression. A stream is decompressed
    /// piece by piece within a fixed bound.
    pub(super) max_decompression_size: Size,
    /// How a stream is cut into messages: `newline`, `null`, `delimiter`, `fixed length` or
    /// `variable length`.
    pub(super) splitting_strategy: String,
    /// The bytes that end a message, in hexadecimal (`"0x0d0a"`), for the strategy `delimiter`.
    pub(super) splitting_delimiter: String,
    /// The length of a message in bytes, for the strategy `fixed length`.
    pub(super) splitting_length: usize,
    /// Where a message says how long it is, for the strategy `variable length`.
    pub(super) splitting_length_field: LengthField,
    /// Kept for compatibility: each connection is parsed in its own task.
    pub(super) max_parallel_parsers: Option<usize>,
}

/// Where a message says how long it is.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(super) struct LengthField {
    /// Bytes before the length.
    pub(super) offset: usize,
    /// Bytes of the length: 1 to 8.
    pub(super) bytes: usize,
    /// Order of the bytes: `be` (big end first, the default) or `le`.
    pub(super) endianness: String,
    /// Bytes of the whole header, which is not given to the parser; at least up to the end of the
    /// length.
    pub(super) header_length: usize,
}

impl Default for SocketListenerOptions {
    fn default() -> Self {
        Self {
            service_address: String::new(),
            socket_mode: String::new(),
            max_connections: 0,
            read_timeout: None,
            read_buffer_size: None,
            keep_alive_period: None,
            content_encoding: "identity".to_owned(),
            max_decompression_size: Size::from_bytes(500_000_000),
            splitting_strategy: "newline".to_owned(),
            splitting_delimiter: String::new(),
            splitting_length: 0,
            splitting_length_field: LengthField::default(),
            max_parallel_parsers: None,
        }
    }
}

impl SocketListenerOptions {
    pub(super) fn address(&self) -> Result<Address, OptionError> {
        let option = "service_address";
        if self.service_address.is_empty() {
            let error = OptionError::new(option, "the address to listen on is missing");
            return Err(error.with_hint("for example service_address = \"tcp://:8094\""));
        }
        Address::parse(&self.service_address)
            .map_err(|error| OptionError::new(option, error.to_string()))
    }

    pub(super) fn encoding(&self) -> Result<Encoding, OptionError> {
        Encoding::parse(&self.content_encoding)
            .map_err(|message| OptionError::new("content_encoding", message))
    }

    pub(super) fn mode(&self) -> Result<Option<u32>, OptionError> {
        SocketOptions::parse_mode(&self.socket_mode)
            .map_err(|message| OptionError::new("socket_mode", message))
    }

    pub(super) fn cutter(&self) -> Result<Cutter, OptionError> {
        let strategies = [
            "newline",
            "null",
            "delimiter",
            "fixed length",
            "variable length",
        ];
        match self.splitting_strategy.as_str() {
            "" | "newline" => Ok(Cutter::Lines),
            "null" => Ok(Cutter::Delimiter(vec![0])),
            "delimiter" => self.delimiter().map(Cutter::Delimiter),
            "fixed length" if self.splitting_length == 0 => {
                let message = "the strategy `fixed length` needs the length of a message";
                Err(OptionError::new("splitting_length", message))
            }
            "fixed length" => Ok(Cutter::Fixed(self.splitting_length)),
            "variable length" => self.splitting_length_field.cutter(),
            other => {
                let error = OptionError::new(
                    "splitting_strategy",
                    format!("unknown strategy \"{other}\""),
                );
                Err(match muster_options::suggest(other, strategies) {
                    Some(near) => error.with_hint(format!("did you mean \"{near}\"?")),
                    None => error.with_hint(format!("possible are {}", strategies.join(", "))),
                })
            }
        }
    }

    fn delimiter(&self) -> Result<Vec<u8>, OptionError> {
        let wrong = || {
            let message = "the delimiter must be bytes in hexadecimal, for example \"0x0d0a\"";
            OptionError::new("splitting_delimiter", message)
        };
        let text = self.splitting_delimiter.to_ascii_lowercase();
        let digits = text
            .strip_prefix("0x")
            .or_else(|| text.strip_prefix('x'))
            .unwrap_or(&text);
        if digits.is_empty() || !digits.len().is_multiple_of(2) || !digits.is_ascii() {
            return Err(wrong());
        }
        let byte = |at: usize| u8::from_str_radix(digits.get(at..at + 2).unwrap_or(""), 16);
        (0..digits.len())
            .step_by(2)
            .map(|at| byte(at).map_err(|_| wrong()))
            .collect()
    }
}

impl LengthField {
    fn cutter(&self) -> Result<Cutter, OptionError> {
        let wrong = |name: &str, message: &str| {
            Err(OptionError::new(
                format!("splitting_length_field.{name}"),
                message,
            ))
        };
        let little = match self.endianness.as_str() {
            "" | "be" => false,
            "le" => true,
            _ => return wrong("endianness", "possible are be and le"),
        };
        if !(1..=8).contains(&self.bytes) {
            return wrong("bytes", "the length must have 1 to 8 bytes");
        }
        let Some(end) = self
            .offset
            .checked_add(self.bytes)
            .filter(|end| *end <= 1 << 16)
        else {
            return wrong("offset", "the header is longer than 64 KiB");
        };
        let header = if self.header_length == 0 {
            end
        } else {
            self.header_length
        };
        if header < end || header > 1 << 16 {
            return wrong(
                "header_length",
                "the header ends before the length does, or is too long",
            );
        }
        Ok(Cutter::Prefixed {
            offset: self.offset,
            bytes: self.bytes,
            little,
            header,
        })
    }
}
