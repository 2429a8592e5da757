//! TCP in, rename + converter + filter, file out: metrics a second of one core.
//!
//! A sender on the other side of loopback writes lines that were made before, as fast as the agent
//! takes them. What counts is the processor time of the agent's process, the kernel's part for the
//! socket and the file included. Each line has a time of its own by which the file is checked:
//! every metric is there once, those that the filter drops are not.

use std::fs::File;
use std::io::{BufRead, BufReader, Read, Seek, SeekFrom, Write};
use std::net::TcpStream;
use std::path::Path;
use std::time::{Duration, Instant};

use muster_metric::{Batch, workload};
use muster_testkit::{Agent, AgentBuilder, free_ports};

use super::line_protocol::{parse, serialize};
use super::{Failure, Setting};
use crate::row::{Row, Target, Unit};
use crate::usage::cpu_of;

/// Metrics that are measured.
const METRICS: usize = 1_000_000;
/// Metrics that are sent before, so that memory and caches are as in an agent that has run.
const WARM_UP: usize = 100_000;
const ROUNDS: usize = 3;
/// The sender writes so much at a time.
const WRITE: usize = 256 << 10;
const PATIENCE: Duration = Duration::from_secs(120);

/// The time of the first line; each later one is a nanosecond after the one before.
const EPOCH: i64 = 1_700_000_000_000_000_000;

/// What the filter drops: of a measurement, the lines that have this.
const DROPPED: [(&str, &str); 2] = [
    ("docker_container,", ",container_name=app-22,"),
    ("http,", ",host=web22,"),
];

const CONFIG: &str = r#"
[agent]
  metric_buffer_limit = 10000000
  buffer_bytes = "16GiB"
  flush_interval = "200ms"
[[inputs.socket_listener]]
  service_address = "tcp://127.0.0.1:{port}"
  data_format = "influx"
[[processors.rename]]
  order = 1
  [[processors.rename.replace]]
    measurement = "cpu"
    dest = "processor"
  [[processors.rename.replace]]
    measurement = "http"
    dest = "http_requests"
  [[processors.rename.replace]]
    tag = "host"
    dest = "hostname"
  [[processors.rename.replace]]
    field = "usage_idle"
    dest = "idle"
  [[processors.rename.replace]]
    field = "mean_ms"
    dest = "mean"
[[processors.converter]]
  order = 2
  [processors.converter.fields]
    float = ["total", "free", "used", "count"]
    integer = ["load1"]
    unsigned = ["packets_*"]
[[processors.filter]]
  order = 3
  [[processors.filter.rule]]
    name = ["docker_container"]
    action = "drop"
    [processors.filter.rule.tags]
      container_name = ["app-22"]
  [[processors.filter.rule]]
    name = ["http_requests"]
    action = "drop"
    [processors.filter.rule.tags]
      hostname = ["web22"]
[[outputs.file]]
  files = ["{dir}/out.lp"]
  data_format = "influx"
"#;

pub(super) fn measure(setting: &Setting) -> Result<Vec<Row>, Failure> {
    let agent = setting.agent()?;
    let shapes = [
        (
            "a host's metrics",
            Lines::make(workload::host_lines),
            Target::None,
        ),
        (
            "a service's requests",
            Lines::make(workload::request_lines),
            Target::AtLeast(800e3),
        ),
        (
            "lines of one field",
            Lines::make(workload::one_field_lines),
            Target::None,
        ),
    ];
    let mut best = [[0f64; 2]; 3];
    for _ in 0..ROUNDS {
        for ([own, library], (_, lines, _)) in best.iter_mut().zip(&shapes) {
            *library = library.max(library_alone(lines));
            *own = own.max(agent_alone(agent, lines)?);
        }
    }
    let rows = best
        .iter()
        .zip(&shapes)
        .map(|([own, library], (name, lines, target))| {
            let what = format!("TCP in, 3 processors, file out, on one core: {name}");
            Row::new(&what, Unit::MetricsPerSecond, *own, *target)
                .beside("parse + serialize alone", *library)
                .note(format!(
                    "{METRICS} metrics of {} B, {} filtered, every other one is in the file",
                    lines.text.len() / lines.dropped.len(),
                    lines.dropped.iter().filter(|dropped| **dropped).count(),
                ))
        });
    Ok(rows.collect())
}

/// What is sent.
struct Lines {
    text: String,
    /// Where the lines begin that are measured.
    measured: usize,
    /// Of each line, whether the filter drops it.
    dropped: Vec<bool>,
}

impl Lines {
    fn make(source: fn(usize) -> String) -> Self {
        let source = source(WARM_UP + METRICS);
        let (mut text, mut dropped) = (String::with_capacity(source.len()), Vec::new());
        let mut measured = 0;
        for (number, line) in source.lines().enumerate() {
            if number == WARM_UP {
                measured = text.len();
            }
            let (metric, _) = line.rsplit_once(' ').unwrap_or((line, ""));
            text.push_str(metric);
            text.push_str(&format!(" {}\n", EPOCH + number as i64));
            let drops =
                |(name, part): &(&str, &str)| metric.starts_with(name) && metric.contains(part);
            dropped.push(DROPPED.iter().any(drops));
        }
        Self {
            text,
            measured,
            dropped,
        }
    }

    fn warm_up(&self) -> &str {
        &self.text[..self.measured]
    }

    fn measured(&self) -> &str {
        &self.text[self.measured..]
    }
}

/// Metrics a second of parse and serialize in blocks, without anything around them.
fn library_alone(lines: &Lines) -> f64 {
    let (mut batch, mut out) = (Batch::new(), Vec::new());
    let time = cpu_of(|| {
        let mut rest = lines.measured();
        while !rest.is_empty() {
            let block = rest.floor_char_boundary(WRITE);
            let end = rest[..block].rfind('\n').map_or(rest.len(), |at| at + 1);
            batch.clear();
            parse(&rest[..end], &mut batch);
            serialize(&batch, &mut out);
            rest = &rest[end..];
        }
    });
    METRICS as f64 / time.as_secs_f64()
}

/// Metrics a second of the agent's processor time.
fn agent_alone(binary: &str, lines: &Lines) -> Result<f64, Failure> {
    let [port] = free_ports();
    let config = CONFIG.replace("{port}", &port.to_string());
    let mut agent = AgentBuilder::new(binary).config(&config).start();
    let mut stream = connect(port, &agent)?;
    let out = agent.path("out.lp");
    send(&mut stream, lines.warm_up(), "warm")?;
    wait_for(&out, "warm", &agent)?;
    let before = agent.process.usage().ticks;
    send(&mut stream, lines.measured(), "last")?;
    wait_for(&out, "last", &agent)?;
    let ticks = agent.process.usage().ticks - before;
    agent.stop(Duration::from_secs(10));
    check(&out, lines)?;
    Ok(METRICS as f64 / (ticks as f64 / 100.0))
}

fn connect(port: u16, agent: &Agent) -> Result<TcpStream, Failure> {
    let begin = Instant::now();
    loop {
        match TcpStream::connect(("127.0.0.1", port)) {
            Ok(stream) => return Ok(stream),
            Err(error) if begin.elapsed() > PATIENCE => {
                return Err(
                    format!("connect: {error}; the agent says: {}", agent.process.log()).into(),
                );
            }
            Err(_) => std::thread::sleep(Duration::from_millis(10)),
        }
    }
}

/// Sends lines and one more by whose name their end is known.
fn send(stream: &mut TcpStream, lines: &str, mark: &str) -> Result<(), Failure> {
    for block in lines.as_bytes().chunks(WRITE) {
        stream.write_all(block)?;
    }
    Ok(stream.write_all(format!("mark,name={mark} n=1i {EPOCH}\n").as_bytes())?)
}

/// Waits until the end of the file has the mark.
fn wait_for(path: &Path, mark: &str, agent: &Agent) -> Result<(), Failure> {
    let (begin, wanted) = (Instant::now(), format!("name={mark}"));
    while begin.elapsed() < PATIENCE {
        if end_of(path).is_ok_and(|end| end.contains(&wanted)) {
            return Ok(());
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    Err(format!(
        "no mark {mark:?} in the file; the agent says: {}",
        agent.process.log()
    )
    .into())
}

fn end_of(path: &Path) -> std::io::Result<String> {
    let mut file = File::open(path)?;
    let length = file.metadata()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(200)))?;
    let mut end = Vec::new();
    file.read_to_end(&mut end)?;
    Ok(String::from_utf8_lossy(&end).into_owned())
}

/// Every metric that the filter lets pass is in the file once, and nothing else is.
fn check(path: &Path, lines: &Lines) -> Result<(), Failure> {
    let mut seen = vec![false; lines.dropped.len()];
    for line in BufReader::new(File::open(path)?).lines() {
        let line = line?;
        if line.starts_with("mark,") {
            continue;
        }
        let time = line
            .rsplit_once(' ')
            .and_then(|(_, time)| time.parse::<i64>().ok());
        let number = time.and_then(|time| usize::try_from(time - EPOCH).ok());
        let slot = number.and_then(|number| seen.get_mut(number));
        match slot {
            Some(seen) if !*seen => *seen = true,
            Some(_) => return Err(format!("a metric is in the file twice: {line}").into()),
            None => return Err(format!("a metric that was not sent: {line}").into()),
        }
        let old_name = line.starts_with("cpu,") || line.starts_with("http,");
        if old_name || !line.contains(",hostname=") {
            return Err(format!("a metric that was not renamed: {line}").into());
        }
    }
    let wrong = seen
        .iter()
        .zip(&lines.dropped)
        .filter(|(seen, dropped)| seen == dropped)
        .count();
    match wrong {
        0 => Ok(()),
        wrong => Err(format!("{wrong} metrics are missing or should be filtered").into()),
    }
}
