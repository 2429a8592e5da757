//! Ten thousand servers at 1 s: how many cores that takes, how much memory, and how late checks begin.

use std::process::Command;
use std::time::{Duration, Instant};

use muster_testkit::{AgentBuilder, Process, free_ports};

use super::{WARM_UP, config, numbers};
use crate::measure::{Failure, Setting};
use crate::row::{Row, Target, Unit};
use crate::usage::{allow_open_files, cpu_time_of, resident};

const SERVERS: u32 = 10_000;
const TIME: Duration = Duration::from_secs(30);
/// Open files of either process, beside a connection for each server.
const OTHER_FILES: u64 = 200;

pub(super) fn measure(setting: &Setting) -> Result<Vec<Row>, Failure> {
    // Those that answer badly are connected to anew with each check.
    allow_open_files(u64::from(SERVERS) + OTHER_FILES)?;
    let directory = tempfile::tempdir()?;
    let [port] = free_ports();
    let mut command = Command::new(std::env::current_exe()?);
    command.args(["fake-redis", &port.to_string()]);
    let mut fakes = Process::start(command, directory.path(), "muster-benches");
    let addresses = (1..=SERVERS).map(|number| {
        let [_, a, b, c] = number.to_be_bytes();
        format!("127.{a}.{b}.{c}:{port}")
    });
    let agent = AgentBuilder::new(setting.agent()?)
        .config(&config(addresses))
        .start();
    std::thread::sleep(WARM_UP);
    let lines = |field: &str| numbers(&agent.path("numbers"), field);
    let (known, process) = (lines("late_p99_us").len(), agent.process.id());
    let (cpu, begin) = (cpu_time_of(process)?, Instant::now());
    let checks = |all: &[f64]| all.last().copied().unwrap_or_default();
    let checked = checks(&lines("checks_total"));
    std::thread::sleep(TIME);
    let cores = (cpu_time_of(process)? - cpu).as_secs_f64() / begin.elapsed().as_secs_f64();
    let (memory, _) = resident(&process.to_string())?;
    if let Some(end) = fakes.ended() {
        return Err(format!("the servers ended ({end}): {}", fakes.log()).into());
    }
    let late = lines("late_p99_us");
    let late = late.get(known + 1..).unwrap_or_default();
    let (Some(&last), Some(worst)) = (late.last(), late.iter().copied().reduce(f64::max)) else {
        return Err(format!("the agent tells nothing: {}", agent.log()).into());
    };
    let all = lines("checks_total");
    let rate = (checks(&all) - checked) / TIME.as_secs_f64();
    let overruns = checks(&lines("overrun_total"));
    let of = |what: &str| format!("sentinel: {what}, {SERVERS} Redis servers at 1 s");
    let cores = Row::new(
        &of("processor time"),
        Unit::Cores,
        cores,
        Target::AtMost(1.5),
    )
    .note(format!(
        "{rate:.0} checks a second, {overruns:.0} skipped; 1 of 128 servers is silent, 1 hangs up"
    ));
    let memory = Row::new(
        &of("resident memory"),
        Unit::Megabytes,
        memory / 1e6,
        Target::AtMost(150.0),
    );
    let late = Row::new(
        &of("lateness of a check, p99"),
        Unit::Milliseconds,
        worst / 1e3,
        Target::AtMost(50.0),
    );
    let late = late.note(format!(
        "the worst of {} times 5 s; the last {:.1} ms",
        lines("late_p99_us").len() - known - 1,
        last / 1e3
    ));
    Ok(vec![cores, memory, late])
}
