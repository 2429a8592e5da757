//! Points in time as GitLab writes them.

use muster_scaler_core::Time;
use serde::{Deserialize, Deserializer};

/// Reads a time such as `2026-11-22T07:00:00.000Z`; `null`, or what is no such time, is none.
pub(crate) fn optional<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Time>, D::Error> {
    let text = Option::<String>::deserialize(deserializer)?;
    Ok(text.and_then(|text| parse(&text)))
}

/// The time that the text says.
pub(crate) fn parse(text: &str) -> Option<Time> {
    let at: jiff::Timestamp = text.parse().ok()?;
    Some(Time::from_millis(at.as_millisecond()))
}

/// The text of a time.
#[cfg(feature = "double")]
pub(crate) fn text(at: Time) -> String {
    let at = jiff::Timestamp::from_millisecond(at.millis()).unwrap_or_default();
    format!("{at:.3}")
}
