//! A row of the table: a figure, what it stands beside, what it should be.

use std::fmt;

/// What a figure counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unit {
    Nanoseconds,
    Milliseconds,
    Seconds,
    Minutes,
    Bytes,
    /// Millions of bytes.
    Megabytes,
    /// Metrics in a second.
    MetricsPerSecond,
    /// Processors that were busy all the time.
    Cores,
}

/// What is to be reached.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Target {
    /// The figure is at most this.
    AtMost(f64),
    /// The figure is at least this.
    AtLeast(f64),
    /// The figure is at most so many times the reference.
    RatioAtMost(f64),
    /// The figure is at least so many times the reference.
    RatioAtLeast(f64),
    /// Nothing: the row is there to compare with.
    None,
}

/// A row of the table.
#[derive(Clone, Debug)]
pub(crate) struct Row {
    pub(crate) what: String,
    pub(crate) unit: Unit,
    /// The figure, or why there is none.
    pub(crate) figure: Result<f64, String>,
    /// What was measured beside it in the same run, in the same unit.
    pub(crate) reference: Option<(String, f64)>,
    pub(crate) target: Target,
    /// Anything else worth knowing.
    pub(crate) note: String,
}

impl Row {
    pub(crate) fn new(what: &str, unit: Unit, figure: f64, target: Target) -> Self {
        let what = what.to_owned();
        Self {
            what,
            unit,
            figure: Ok(figure),
            reference: None,
            target,
            note: String::new(),
        }
    }

    /// A figure that could not be had.
    pub(crate) fn missing(what: &str, why: impl Into<String>) -> Self {
        let figure = Err(why.into());
        let (what, unit) = (what.to_owned(), Unit::Seconds);
        Self {
            what,
            unit,
            figure,
            reference: None,
            target: Target::None,
            note: String::new(),
        }
    }

    pub(crate) fn beside(mut self, what: &str, value: f64) -> Self {
        self.reference = Some((what.to_owned(), value));
        self
    }

    pub(crate) fn note(mut self, note: impl Into<String>) -> Self {
        self.note = note.into();
        self
    }

    /// The figure as a multiple of the reference.
    pub(crate) fn ratio(&self) -> Option<f64> {
        let (_, reference) = self.reference.as_ref()?;
        Some(self.figure.as_ref().ok()? / reference)
    }

    /// Whether the target is reached; `None` if there is none. A figure that is missing reaches
    /// nothing.
    pub(crate) fn reached(&self) -> Option<bool> {
        let Ok(figure) = self.figure else {
            return Some(false);
        };
        let ratio = self.ratio();
        match self.target {
            Target::AtMost(most) => Some(figure <= most),
            Target::AtLeast(least) => Some(figure >= least),
            Target::RatioAtMost(most) => Some(ratio.is_some_and(|ratio| ratio <= most)),
            Target::RatioAtLeast(least) => Some(ratio.is_some_and(|ratio| ratio >= least)),
            Target::None => None,
        }
    }

    pub(crate) fn target_text(&self) -> String {
        match self.target {
            Target::AtMost(most) => format!("<= {}", self.unit.show(most)),
            Target::AtLeast(least) => format!(">= {}", self.unit.show(least)),
            Target::RatioAtMost(most) => format!("<= {most:.2}x"),
            Target::RatioAtLeast(least) => format!(">= {least:.2}x"),
            Target::None => String::new(),
        }
    }
}

impl Unit {
    /// A value of this unit, for people.
    pub(crate) fn show(self, value: f64) -> String {
        match self {
            Self::MetricsPerSecond => format!("{:.2} M/s", value / 1e6),
            Self::Nanoseconds | Self::Bytes => format!("{value:.0} {self}"),
            Self::Milliseconds | Self::Megabytes | Self::Minutes => format!("{value:.1} {self}"),
            Self::Seconds | Self::Cores => format!("{value:.2} {self}"),
        }
    }
}

impl fmt::Display for Unit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Nanoseconds => "ns",
            Self::Milliseconds => "ms",
            Self::Seconds => "s",
            Self::Minutes => "min",
            Self::Bytes => "B",
            Self::Megabytes => "MB",
            Self::MetricsPerSecond => "metrics/s",
            Self::Cores => "cores",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tells_what_is_reached() {
        let check = |figure: f64, target: Target, want: Option<bool>| {
            let row = Row::new("a thing", Unit::Bytes, figure, target).beside("another", 10.0);
            assert_eq!(row.reached(), want, "{figure} {target:?}");
        };
        check(5.0, Target::AtMost(5.0), Some(true));
        check(5.1, Target::AtMost(5.0), Some(false));
        check(5.0, Target::AtLeast(5.0), Some(true));
        check(4.9, Target::AtLeast(5.0), Some(false));
        check(11.0, Target::RatioAtMost(1.1), Some(true));
        check(12.0, Target::RatioAtMost(1.1), Some(false));
        check(60.0, Target::RatioAtLeast(6.0), Some(true));
        check(59.0, Target::RatioAtLeast(6.0), Some(false));
        check(1.0, Target::None, None);
        assert_eq!(Row::missing("a thing", "no time").reached(), Some(false));
        let alone = Row::new("a thing", Unit::Bytes, 1.0, Target::RatioAtMost(1.0));
        assert_eq!(alone.reached(), Some(false), "a ratio to nothing");
    }
}
