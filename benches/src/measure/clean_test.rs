//! `scripts/test` on a clean checkout of the last commit.

use std::path::Path;
use std::process::{Command, Stdio};

use super::{Failure, Setting};
use crate::row::{Row, Target, Unit};
use crate::usage::clock_of;

const WHAT: &str = "clean scripts/test";

pub(super) fn measure(setting: &Setting) -> Result<Vec<Row>, Failure> {
    if !setting.slow {
        return Ok(vec![Row::missing(
            WHAT,
            "takes half an hour: scripts/bench --slow",
        )]);
    }
    let here = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let directory = tempfile::tempdir()?;
    let copy = directory.path().join("checkout");
    let cloned = Command::new("git")
        .args(["clone", "--quiet"])
        .arg(&here)
        .arg(&copy)
        .status()?;
    if !cloned.success() {
        return Err("git clone failed".into());
    }
    let mut test = Command::new(copy.join("scripts/test"));
    test.current_dir(&copy)
        .env_remove("CARGO_TARGET_DIR")
        .stdin(Stdio::null());
    // Its output must not mix with the table.
    let log = std::fs::File::create(directory.path().join("log"))?;
    test.stdout(log.try_clone()?).stderr(log);
    let (time, status) = clock_of(|| test.status());
    if !status?.success() {
        let log = std::fs::read_to_string(directory.path().join("log"))?;
        let end: Vec<&str> = log.lines().rev().take(3).collect();
        return Err(format!("scripts/test failed: {}", end.join(" / ")).into());
    }
    let minutes = time.as_secs_f64() / 60.0;
    Ok(vec![Row::new(
        WHAT,
        Unit::Minutes,
        minutes,
        Target::AtMost(30.0),
    )])
}
