//! Adding inputs to a running agent: from the request at the API until the first metric of the new
//! input comes out of an output. One agent has 10,000 inputs that gather every second, the other
//! none; the adds alternate between them.

use std::io::{BufRead, BufReader};
use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::time::{Duration, Instant};

use muster_testkit::{Agent, AgentBuilder};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::{Failure, Setting, percentile};
use crate::row::{Row, Target, Unit};

const INPUTS: usize = 10_000;
const ADDS: usize = 200;
/// A wait between adds that spreads them over the second.
const BETWEEN: Duration = Duration::from_millis(23);
const PATIENCE: Duration = Duration::from_secs(20);

const CONFIG: &str = r#"
[agent]
  interval = "1s"
  metric_batch_size = 1000
  metric_buffer_limit = 100000
[[outputs.discard]]
  id = "discard"
[[outputs.socket_writer]]
  id = "probes"
  address = "unix://{socket}"
  data_format = "influx"
  namepass = ["probe_*"]
  metric_batch_size = 1
"#;

pub(super) fn measure(setting: &Setting) -> Result<Vec<Row>, Failure> {
    let binary = setting.agent()?;
    let mut idle = Probed::start(binary, 0)?;
    let mut busy = Probed::start(binary, INPUTS)?;
    wait_until_all_gather(&busy.agent)?;
    let (before, began) = (totals(&busy.agent), Instant::now());
    for number in 0..ADDS {
        idle.add(number)?;
        busy.add(number)?;
        std::thread::sleep(BETWEEN);
    }
    let (after, seconds) = (totals(&busy.agent), began.elapsed().as_secs_f64());
    let answers = format!(
        "the answer alone: p50 {:.1} ms, p99 {:.1} ms",
        percentile(&mut busy.answered, 0.5),
        percentile(&mut busy.answered, 0.99),
    );
    let meanwhile = format!(
        "meanwhile {} gathers of the others in {seconds:.1} s, {} ticks skipped",
        after.gathers - before.gathers,
        after.skipped - before.skipped,
    );
    let row = |share: f64, name: &str, idle: &mut Probed, busy: &mut Probed| {
        let what = format!("add to first metric with 10,000 inputs at 1 s, {name}");
        let target = if name == "p99" {
            Target::AtMost(50.0)
        } else {
            Target::None
        };
        Row::new(
            &what,
            Unit::Milliseconds,
            percentile(&mut busy.running, share),
            target,
        )
        .beside("agent without inputs", percentile(&mut idle.running, share))
    };
    let p50 = row(0.5, "p50", &mut idle, &mut busy).note(answers);
    let p99 = row(0.99, "p99", &mut idle, &mut busy).note(meanwhile);
    Ok(vec![p50, p99])
}

/// An agent whose new inputs are watched. Times are milliseconds.
struct Probed {
    agent: Agent,
    lines: Receiver<(Instant, String)>,
    running: Vec<f64>,
    answered: Vec<f64>,
    _directory: TempDir,
}

impl Probed {
    fn start(binary: &str, inputs: usize) -> Result<Self, Failure> {
        let directory = tempfile::tempdir()?;
        let socket = directory.path().join("probes.sock");
        let listener = UnixListener::bind(&socket)?;
        let (give, lines) = sync_channel(1 << 16);
        // Ends with the agent, whose end closes the connection.
        std::thread::Builder::new()
            .name("probes".to_owned())
            .spawn(move || {
                for stream in listener.incoming().map_while(Result::ok) {
                    if forward(stream, &give).is_none() {
                        return;
                    }
                }
            })?;
        let mut config = CONFIG.replace("{socket}", &socket.display().to_string());
        for number in 0..inputs {
            config.push_str(&format!("[[inputs.mock]]\n  id = \"mock{number}\"\n"));
        }
        let agent = AgentBuilder::new(binary).config(&config).start();
        let (running, answered) = (Vec::new(), Vec::new());
        Ok(Self {
            agent,
            lines,
            running,
            answered,
            _directory: directory,
        })
    }

    /// Adds an input, waits for its first metric.
    fn add(&mut self, number: usize) -> Result<(), Failure> {
        let name = format!("probe_{number}");
        let options = json!({ "metric_name": name, "gather_on_start": true });
        let body = json!({ "id": name, "plugin": "mock", "options": options });
        let begin = Instant::now();
        let answer = self.agent.api("POST", "/api/v1/inputs", &body);
        if answer.status != 201 {
            return Err(format!("an add was refused: {} {}", answer.status, answer.body).into());
        }
        self.answered.push(milliseconds(begin.elapsed()));
        loop {
            let left = PATIENCE.saturating_sub(begin.elapsed());
            let (at, line) = self.lines.recv_timeout(left).map_err(|error| match error {
                RecvTimeoutError::Timeout => format!("no metric of {name} within {PATIENCE:?}"),
                RecvTimeoutError::Disconnected => "the output is gone".to_owned(),
            })?;
            if line.split([',', ' ']).next() == Some(&name) {
                self.running.push(milliseconds(at - begin));
                return Ok(());
            }
        }
    }
}

fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

/// Passes lines on with the time at which they came; `None` when nobody wants them any more.
fn forward(
    stream: UnixStream,
    give: &std::sync::mpsc::SyncSender<(Instant, String)>,
) -> Option<()> {
    for line in BufReader::new(stream).lines().map_while(Result::ok) {
        give.send((Instant::now(), line)).ok()?;
    }
    Some(())
}

/// What the mock inputs did so far.
struct Totals {
    gathers: u64,
    skipped: u64,
    inputs: usize,
}

fn totals(agent: &Agent) -> Totals {
    let list = agent.get("/api/v1/inputs");
    let mut totals = Totals {
        gathers: 0,
        skipped: 0,
        inputs: 0,
    };
    for input in list.as_array().into_iter().flatten() {
        let number = |key: &str| input["observed"][key].as_u64().unwrap_or(0);
        let is_mock = input["id"]
            .as_str()
            .is_some_and(|id| id.starts_with("mock"));
        if is_mock && number("runs") > 0 {
            totals.gathers += number("runs");
            totals.skipped += number("skipped");
            totals.inputs += 1;
        }
    }
    totals
}

fn wait_until_all_gather(agent: &Agent) -> Result<(), Failure> {
    let begin = Instant::now();
    while totals(agent).inputs < INPUTS {
        if begin.elapsed() > PATIENCE * 3 {
            let status = agent.api("GET", "/api/v1/status", &Value::Null).body;
            return Err(format!("not all inputs gather: {status}").into());
        }
        std::thread::sleep(Duration::from_millis(500));
    }
    Ok(())
}
