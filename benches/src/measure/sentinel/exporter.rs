//! A hundred real servers, each checked and scraped once a second.

use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use muster_testkit::{AgentBuilder, Process, Redis, eventually, free_ports, request};
use tempfile::TempDir;

use super::{WARM_UP, config, numbers};
use crate::measure::{Failure, Setting};
use crate::row::{Row, Target, Unit};
use crate::usage::{cpu_time_of, resident};

const SERVERS: usize = 100;
const TIME: Duration = Duration::from_secs(20);
const EXPORTER: &str = "prometheus-redis-exporter";

/// What a process used in the time measured.
struct Used {
    time: Duration,
    memory: f64,
}

/// Scrapes so far.
#[derive(Default)]
struct Scrapes {
    good: AtomicU64,
    failed: AtomicU64,
    over: AtomicBool,
}

pub(super) fn measure(setting: &Setting) -> Result<Vec<Row>, Failure> {
    let directory = tempfile::tempdir()?;
    let [port] = free_ports();
    let exporter = start(port, &directory);
    let servers: Vec<Redis> = (0..SERVERS).map(|_| Redis::start()).collect();
    let agent = AgentBuilder::new(setting.agent()?)
        .config(&config(servers.iter().map(Redis::address)))
        .start();
    let processes = [agent.process.id(), exporter.id()];
    let scrapes = Scrapes::default();
    let (used, scraped) = std::thread::scope(|threads| {
        for (at, server) in servers.iter().enumerate() {
            let (scrapes, address) = (&scrapes, server.address());
            // Spread over the second, as the checks are.
            let phase = Duration::from_secs(1) * at as u32 / SERVERS as u32;
            threads.spawn(move || scrapes.every_second(port, &address, phase));
        }
        let used = use_of(processes, &scrapes);
        scrapes.over.store(true, Relaxed);
        used
    })?;
    let failed = scrapes.failed.load(Relaxed);
    if scraped == 0 {
        return Err(format!("{failed} scrapes failed: {}", exporter.log()).into());
    }
    let skipped = numbers(&agent.path("numbers"), "overrun_total");
    let skipped = skipped.last().copied().unwrap_or(f64::NAN);
    let [own, other] = used;
    // Each server is checked each second, whatever it says.
    let checks = SERVERS as f64 * TIME.as_secs_f64();
    let per_check = own.time.as_nanos() as f64 / checks;
    let per_scrape = other.time.as_nanos() as f64 / scraped as f64;
    let what = "sentinel: processor time of a check, 100 Redis servers at 1 s";
    let time = Row::new(what, Unit::Nanoseconds, per_check, Target::None)
        .beside("prometheus-redis-exporter, a scrape", per_scrape)
        .note(format!(
            "{checks:.0} checks, {skipped:.0} skipped; {scraped} scrapes, {failed} failed; a check is PING, a scrape reads all of INFO"
        ));
    let what = "sentinel: resident memory, 100 Redis servers";
    let memory = Row::new(what, Unit::Megabytes, own.memory / 1e6, Target::None)
        .beside("prometheus-redis-exporter", other.memory / 1e6);
    Ok(vec![time, memory])
}

/// What these processes use in the time measured, and how many scrapes went well in it.
fn use_of(processes: [u32; 2], scrapes: &Scrapes) -> Result<([Used; 2], u64), Failure> {
    std::thread::sleep(WARM_UP);
    let before = [cpu_time_of(processes[0])?, cpu_time_of(processes[1])?];
    let scraped = scrapes.good.load(Relaxed);
    std::thread::sleep(TIME);
    let used = |at: usize| -> Result<Used, Failure> {
        Ok(Used {
            time: cpu_time_of(processes[at])? - before[at],
            memory: resident(&processes[at].to_string())?.0,
        })
    };
    Ok(([used(0)?, used(1)?], scrapes.good.load(Relaxed) - scraped))
}

impl Scrapes {
    /// Asks the exporter for a server once a second.
    fn every_second(&self, port: u16, address: &str, phase: Duration) {
        let path = format!("/scrape?target=redis://{address}");
        let mut next = Instant::now() + phase;
        while !self.over.load(Relaxed) {
            std::thread::sleep(next.saturating_duration_since(Instant::now()));
            next += Duration::from_secs(1);
            let answer = request(port, "GET", &path, &[], "");
            let up = answer.is_some_and(|answer| answer.body.contains("redis_up 1"));
            let counter = if up { &self.good } else { &self.failed };
            counter.fetch_add(1, Relaxed);
        }
    }
}

/// Panics with the command that installs it, if it is not there.
fn start(port: u16, directory: &TempDir) -> Process {
    let mut command = Command::new(EXPORTER);
    command.args(["-web.listen-address", &format!("127.0.0.1:{port}")]);
    command.args(["-redis.addr", ""]);
    let exporter = Process::start(command, directory.path(), EXPORTER);
    let answers = || request(port, "GET", "/health", &[], "");
    eventually("the exporter answers", answers);
    exporter
}
