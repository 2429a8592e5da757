//! An output that is down for a while: metrics arrive later, in order, none lost.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use muster_testkit::{Agent, InfluxDb, eventually, free_ports};
use serde_json::json;

use super::support::{Ask, FAST, agent, assert_gapless, beside, mock, written};

fn config(port: u16) -> String {
    format!(
        "{FAST}[[outputs.influxdb]]\nid = \"influx\"\nurls = [\"http://127.0.0.1:{port}\"]\n\
         database = \"test\"\nskip_database_creation = true\ncontent_encoding = \"identity\"\n\
         retry_backoff_max = \"1s\"\n{}",
        mock("m", "")
    )
}

pub(super) fn gathered(agent: &Agent) -> u64 {
    agent.component("inputs", "m")["observed"]["metrics"]
        .as_u64()
        .unwrap()
}

/// Waits until at least so many more were gathered.
pub(super) fn gather_more(agent: &Agent, more: u64) {
    let wanted = gathered(agent) + more;
    eventually("more gathers", || (gathered(agent) >= wanted).then_some(()));
}

#[test]
fn influxdb_that_was_stopped_gets_everything() {
    let _beside = beside();
    let mut influx = InfluxDb::start();
    influx.query("", "CREATE DATABASE test");
    let mut agent = agent(&config(influx.port)).start();
    let points = |influx: &InfluxDb| -> Vec<(i64, i64)> {
        let answer = influx.query("test", "SELECT \"sequence\" FROM \"mock\"");
        let rows = answer["results"][0]["series"][0]["values"]
            .as_array()
            .cloned();
        let row = |row: &serde_json::Value| (row[1].as_i64().unwrap(), row[0].as_i64().unwrap());
        rows.unwrap_or_default().iter().map(row).collect()
    };
    eventually("first points", || {
        (points(&influx).len() >= 5).then_some(())
    });
    influx.stop();
    agent.wait_state("outputs", "influx", "failing");
    gather_more(&agent, 30);
    let waiting = agent.component("outputs", "influx")["queue"]["metrics"]
        .as_u64()
        .unwrap();
    assert!(waiting >= 25, "{waiting} wait");
    influx.restart();
    agent.wait_state("outputs", "influx", "running");
    gather_more(&agent, 5);
    let last = gathered(&agent);
    assert_eq!(
        agent.stop(Duration::from_secs(6)),
        Some(0),
        "{}",
        agent.log()
    );
    // Sorted by time, the numbers have no gap: each arrived with the time of its gather.
    let points = points(&influx);
    let numbers: Vec<i64> = points.iter().map(|(number, _)| *number).collect();
    assert!(numbers.len() as u64 >= last, "{} of {last}", numbers.len());
    assert_eq!(numbers, (0..numbers.len() as i64).collect::<Vec<_>>());
}

/// A server that takes writes and remembers them in the order in which they came.
pub(super) struct Recorder {
    port: u16,
    over: Arc<AtomicBool>,
    thread: JoinHandle<()>,
}

impl Recorder {
    pub(super) fn start(port: u16, lines: Arc<Mutex<String>>) -> Self {
        let listener = eventually("the port", || TcpListener::bind(("127.0.0.1", port)).ok());
        let over = Arc::new(AtomicBool::new(false));
        let told = Arc::clone(&over);
        let thread = thread::spawn(move || {
            for stream in listener.incoming() {
                if told.load(Relaxed) {
                    return;
                }
                let (stream, lines, told) =
                    (stream.unwrap(), Arc::clone(&lines), Arc::clone(&told));
                thread::spawn(move || serve(stream, &lines, &told));
            }
        });
        Self { port, over, thread }
    }

    pub(super) fn stop(self) {
        self.over.store(true, Relaxed);
        let _ = TcpStream::connect(("127.0.0.1", self.port));
        self.thread.join().unwrap();
    }
}

fn serve(mut stream: TcpStream, lines: &Mutex<String>, over: &AtomicBool) {
    let (mut bytes, mut buffer) = (Vec::new(), [0u8; 4096]);
    loop {
        let text = String::from_utf8_lossy(&bytes).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let lower = head.to_ascii_lowercase();
            let length = lower
                .lines()
                .find_map(|line| line.strip_prefix("content-length: "));
            let length: usize = length.map_or(0, |length| length.trim().parse().unwrap());
            if body.len() >= length {
                if over.load(Relaxed) {
                    return;
                }
                lines.lock().unwrap().push_str(&body[..length]);
                bytes = body.as_bytes()[length..].to_vec();
                if stream
                    .write_all(b"HTTP/1.1 204 No Content\r\n\r\n")
                    .is_err()
                {
                    return;
                }
                continue;
            }
        }
        match stream.read(&mut buffer) {
            Ok(0) | Err(_) => return,
            Ok(read) => bytes.extend_from_slice(&buffer[..read]),
        }
    }
}

#[test]
fn what_waited_is_written_in_order() {
    let _beside = beside();
    let [port] = free_ports();
    let lines = Arc::new(Mutex::new(String::new()));
    let mut recorder = Recorder::start(port, Arc::clone(&lines));
    let mut agent = agent(&config(port)).start();
    eventually("first metrics", || {
        (!lines.lock().unwrap().is_empty()).then_some(())
    });
    for round in 0..2 {
        recorder.stop();
        agent.wait_state("outputs", "influx", "failing");
        gather_more(&agent, 20);
        if round == 1 {
            // Options that change while metrics wait lose none of them.
            let smaller = json!({"metric_batch_size": 7});
            let answer = agent.api("PATCH", "/api/v1/outputs/influx", &smaller);
            assert_eq!(answer.status, 200, "{}", answer.body);
        }
        recorder = Recorder::start(port, Arc::clone(&lines));
        agent.wait_state("outputs", "influx", "running");
        gather_more(&agent, 3);
    }
    let wanted = gathered(&agent);
    assert_eq!(
        agent.stop(Duration::from_secs(6)),
        Some(0),
        "{}",
        agent.log()
    );
    recorder.stop();
    let text = lines.lock().unwrap().clone();
    let seen = &written(&text)["m"];
    assert_gapless("m", seen, 0);
    assert!(seen.len() as u64 >= wanted, "{} of {wanted}", seen.len());
}
