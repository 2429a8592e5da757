//! The serializers: one file and one row each.

use crate::SerializerRow;

/// All serializers, by the name in `data_format`.
pub const SERIALIZERS: &[SerializerRow] = &[];
