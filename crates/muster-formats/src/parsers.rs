//! The parsers: one file and one row each.

use crate::ParserRow;

/// All parsers, by the name in `data_format`.
pub const PARSERS: &[ParserRow] = &[];
