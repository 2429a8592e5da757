//! A value that was observed, or why it was not.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::Time;

/// What is known of one observed value. An unknown value is never zero: whoever uses it must say
/// what follows from not knowing.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Reading<T> {
    /// The value, and when it was true.
    Known {
        /// The value.
        value: T,
        /// When it was true: the time of the sample, not that of the question.
        at: Time,
    },
    /// Why there is none: the source did not answer, the answer was empty, partial or not a number.
    Unknown {
        /// The reason, as a phrase that completes "unknown: ...".
        why: String,
    },
}

impl<T> Reading<T> {
    /// A value that was true then.
    pub const fn known(value: T, at: Time) -> Self {
        Self::Known { value, at }
    }

    /// No value.
    pub fn unknown(why: impl Into<String>) -> Self {
        Self::Unknown { why: why.into() }
    }

    /// The value, however old.
    pub const fn value(&self) -> Option<&T> {
        match self {
            Self::Known { value, .. } => Some(value),
            Self::Unknown { .. } => None,
        }
    }

    /// How old the value is.
    pub fn age(&self, now: Time) -> Option<Duration> {
        match self {
            Self::Known { at, .. } => Some(now.since(*at)),
            Self::Unknown { .. } => None,
        }
    }

    /// The value if it is at most so old; what [`fresh`](Self::fresh) gives, without the reason.
    pub fn recent(&self, now: Time, max_age: Duration) -> Option<&T> {
        match self {
            Self::Known { value, at } if now.since(*at) <= max_age => Some(value),
            _ => None,
        }
    }

    /// The value if it is at most so old.
    ///
    /// # Errors
    /// Why it must not be used.
    pub fn fresh(&self, now: Time, max_age: Duration) -> Result<&T, String> {
        match self {
            Self::Unknown { why } => Err(why.clone()),
            Self::Known { value, at } if now.since(*at) <= max_age => Ok(value),
            Self::Known { at, .. } => {
                let age = now.since(*at).as_secs();
                Err(format!("{age} s old, more than {} s", max_age.as_secs()))
            }
        }
    }
}
