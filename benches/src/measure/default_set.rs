//! The agent without arguments: from its start to the first metric, and its memory after three
//! gathers.

use std::io::{BufRead, BufReader};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use super::{Failure, Setting, percentile};
use crate::row::{Row, Target, Unit};
use crate::usage::{clock_of, resident};

const STARTS: usize = 9;
const GATHERS: usize = 3;
const PATIENCE: Duration = Duration::from_secs(60);

pub(super) fn measure(setting: &Setting) -> Result<Vec<Row>, Failure> {
    let binary = setting.agent()?;
    let (mut starts, mut versions) = (Vec::new(), Vec::new());
    for _ in 0..STARTS {
        versions.push(version(binary)?);
        let mut running = Running::start(binary)?;
        running.line()?;
        starts.push(running.since.elapsed().as_secs_f64() * 1e3);
    }
    let (median, least) = (percentile(&mut starts, 0.5), percentile(&mut starts, 0.0));
    let start = Row::new(
        "start to first metric",
        Unit::Milliseconds,
        least,
        Target::AtMost(300.0),
    )
    .beside("muster --version", percentile(&mut versions, 0.0))
    .note(format!("best of {STARTS}; the median is {median:.0} ms"));
    Ok(vec![start, memory(binary)?])
}

fn memory(binary: &str) -> Result<Row, Failure> {
    let mut running = Running::start(binary)?;
    let mut gathers = 0;
    while gathers < GATHERS {
        if running.line()?.starts_with("mem,") {
            gathers += 1;
        }
    }
    // The rest of the last gather.
    std::thread::sleep(Duration::from_secs(1));
    let (now, most) = resident(&running.child.id().to_string())?;
    let what = "resident memory of the agent with the default set";
    let row = Row::new(what, Unit::Megabytes, now / 1e6, Target::AtMost(20.0));
    Ok(row.note(format!(
        "after {GATHERS} gathers; at most {:.1} MB",
        most / 1e6
    )))
}

/// Milliseconds that the program takes to say its version: what the system needs to start it.
fn version(binary: &str) -> Result<f64, Failure> {
    let (time, output) = clock_of(|| Command::new(binary).arg("--version").output());
    if !output?.status.success() {
        return Err("muster --version failed".into());
    }
    Ok(time.as_secs_f64() * 1e3)
}

/// An agent without arguments. Killed when dropped.
struct Running {
    child: Child,
    out: BufReader<ChildStdout>,
    since: Instant,
    directory: TempDir,
}

impl Running {
    fn start(binary: &str) -> Result<Self, Failure> {
        let directory = tempfile::tempdir()?;
        let log = std::fs::File::create(directory.path().join("log"))?;
        let mut command = Command::new(binary);
        command.env("MUSTER_STATE_DIR", directory.path().join("state"));
        command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(log);
        let since = Instant::now();
        let mut child = command.spawn()?;
        let out = child.stdout.take().ok_or("no standard output")?;
        Ok(Self {
            child,
            out: BufReader::new(out),
            since,
            directory,
        })
    }

    /// The next line that it prints.
    fn line(&mut self) -> Result<String, Failure> {
        let mut line = String::new();
        if self.out.read_line(&mut line)? == 0 {
            let log = std::fs::read_to_string(self.directory.path().join("log"))?;
            return Err(format!("the agent ended; it says: {log}").into());
        }
        if self.since.elapsed() > PATIENCE {
            return Err("the agent gathers too seldom".into());
        }
        Ok(line)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
