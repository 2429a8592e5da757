//! The size of the release binary.

use super::{Failure, Setting};
use crate::row::{Row, Target, Unit};

pub(super) fn measure(setting: &Setting) -> Result<Vec<Row>, Failure> {
    let bytes = std::fs::metadata(setting.agent()?)?.len();
    let size = bytes as f64 / 1e6;
    Ok(vec![Row::new(
        "release binary",
        Unit::Megabytes,
        size,
        Target::AtMost(30.0),
    )])
}
