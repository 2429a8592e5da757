//! Field values and metric types.

use crate::Text;

/// A field's value.
///
/// NaN and infinities are legal inside the agent; serializers that cannot express them leave the
/// field out.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Value<'a> {
    /// A 64-bit float.
    Float(f64),
    /// A signed 64-bit integer.
    Int(i64),
    /// An unsigned 64-bit integer.
    Uint(u64),
    /// A boolean.
    Bool(bool),
    /// Text.
    Text(&'a str),
}

impl Value<'_> {
    /// The value as a float, if it is a number or a boolean (true is 1).
    pub fn as_f64(&self) -> Option<f64> {
        match *self {
            Self::Float(v) => Some(v),
            Self::Int(v) => Some(v as f64),
            Self::Uint(v) => Some(v as f64),
            Self::Bool(v) => Some(f64::from(u8::from(v))),
            Self::Text(_) => None,
        }
    }
}

macro_rules! value_from {
    ($($source:ty => $variant:ident as $target:ty),* $(,)?) => {
        $(impl From<$source> for Value<'_> {
            fn from(v: $source) -> Self {
                Self::$variant(<$target>::from(v))
            }
        })*
    };
}

value_from!(
    f64 => Float as f64, f32 => Float as f64,
    i64 => Int as i64, i32 => Int as i64, i16 => Int as i64, i8 => Int as i64,
    u64 => Uint as u64, u32 => Uint as u64, u16 => Uint as u64, u8 => Uint as u64,
    bool => Bool as bool,
);

impl<'a> From<&'a str> for Value<'a> {
    fn from(v: &'a str) -> Self {
        Self::Text(v)
    }
}

impl<'a> From<&'a String> for Value<'a> {
    fn from(v: &'a String) -> Self {
        Self::Text(v)
    }
}

/// How a value lies in a row.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Slot {
    Float(f64),
    Int(i64),
    Uint(u64),
    Bool(bool),
    Text(Text),
}

/// What a metric's numbers mean, as far as its source said.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub enum MetricType {
    /// Not stated.
    #[default]
    Untyped,
    /// Only rises, but for resets.
    Counter,
    /// Rises and falls.
    Gauge,
    /// Quantiles with count and sum.
    Summary,
    /// Buckets with count and sum.
    Histogram,
}

impl MetricType {
    /// The lower-case word that text formats use.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Untyped => "untyped",
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Summary => "summary",
            Self::Histogram => "histogram",
        }
    }
}
