//! Typed options: durations, sizes, secrets, precise errors, and descriptions made from the very
//! structs that parse them.
//!
//! The options of a plugin, a parser or a serializer are one struct:
//!
//! ```
//! use muster_options::{Duration, JsonSchema, Options};
//! use serde::{Deserialize, Serialize};
//!
//! /// How to ask the service.
//! #[derive(Debug, Serialize, Deserialize, JsonSchema)]
//! #[serde(default, deny_unknown_fields)]
//! struct Ask {
//!     /// Where to ask.
//!     url: String,
//!     /// How long to wait for an answer.
//!     timeout: Duration,
//! }
//!
//! impl Default for Ask {
//!     fn default() -> Self {
//!         Self { url: "http://localhost".into(), timeout: Duration::from_secs(5) }
//!     }
//! }
//!
//! let table = toml::from_str("timeout = '2s'\ntimout = 3").unwrap();
//! let errors = Ask::parse(&table).unwrap_err();
//! assert_eq!(errors[0].path, "timout");
//! assert_eq!(errors[0].hint.as_deref(), Some("did you mean `timeout`?"));
//! assert_eq!(Ask::describe()[1].default.as_deref(), Some("\"5s\""));
//! ```

mod describe;
mod duration;
mod glob;
mod parse;
mod secret;
mod size;
mod suggest;

pub use describe::OptionDoc;
pub use duration::{Duration, ParseDurationError, format_duration, parse_duration};
pub use glob::{GlobError, Globs};
pub use parse::{OptionError, Options, Parts};
pub use schemars::JsonSchema;
pub use secret::Secret;
pub use size::{ParseSizeError, Size, parse_size};
pub use suggest::suggest;
