//! How much the checks of many servers take: one process checks them all, another plays them.
//!
//! ```text
//! cargo run --release -p muster-sentinel --features testing --example scale -- serve 7000 &
//! cargo run --release -p muster-sentinel --features testing --example scale -- check 7000 10000 30
//! ```
//!
//! Each server has an address of its own in 127.0.0.0/8. Both processes need as many open files as
//! there are servers, and some more (`ulimit -n`).

#![allow(
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "an example that measures"
)]

use std::fs;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use muster_net::TlsClientOptions;
use muster_options::Secret;
use muster_sentinel::resolve::Resolver;
use muster_sentinel::testing::FakeRedis;
use muster_sentinel::{
    Board, CheckKind, Checker, Depth, Dialer, Health, Instance, Probe, RedisOptions, RedisProbe,
    State, Target, Thresholds, Timing,
};
use muster_tasks::Group;

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let root = Group::root("fleet");
    match words.as_slice() {
        ["serve", port] => {
            let _fake = FakeRedis::on(&root, &format!("0.0.0.0:{port}")).await;
            std::future::pending::<()>().await;
        }
        ["check", port, servers, seconds] => {
            let number = |text: &str| text.parse::<u32>().unwrap();
            check(
                &root,
                port.parse().unwrap(),
                number(servers),
                number(seconds),
            )
            .await;
        }
        _ => println!("serve PORT | check PORT SERVERS SECONDS"),
    }
    let _ = root.stop().await;
}

async fn check(root: &Group, port: u16, servers: u32, seconds: u32) {
    let dialer = Dialer::new(Resolver::new(root), &TlsClientOptions::default()).unwrap();
    let options = Arc::new(RedisOptions {
        username: String::new(),
        password: Secret::default(),
        depth: Depth::Info,
        reconnect_every: 3,
        dialer,
    });
    let (board, health) = (Board::default(), Arc::new(Health::default()));
    let timing = Timing {
        interval: Duration::from_secs(1),
        timeout: Duration::from_millis(500),
    };
    let thresholds = Arc::new(Thresholds::default());
    for server in 0..servers {
        let [_, a, b, c] = (server + 1).to_be_bytes();
        let target = Target::Tcp {
            host: format!("127.{a}.{b}.{c}"),
            port,
        };
        let instance = Instance {
            kind: CheckKind::Redis,
            cluster: "fleet".to_owned(),
            target: target.clone(),
        };
        let options = Arc::clone(&options);
        let checker = Checker {
            board: board.clone(),
            slot: board.open(instance, Arc::clone(&thresholds)).unwrap(),
            timing,
            health: Arc::clone(&health),
            make: Arc::new(move || -> Box<dyn Probe> {
                Box::new(RedisProbe::new(target.clone(), Arc::clone(&options)))
            }),
        };
        root.go_cx("check", |cx| checker.run(cx)).unwrap();
    }
    // The first connections are not what is measured.
    tokio::time::sleep(Duration::from_secs(5)).await;
    health.take_lateness();
    let (cpu, begun) = (cpu_seconds(), health.checks.load(Relaxed));
    tokio::time::sleep(Duration::from_secs(seconds.into())).await;
    let cores = (cpu_seconds() - cpu) / f64::from(seconds);
    let checks = health.checks.load(Relaxed) - begun;
    let up = board
        .slots()
        .iter()
        .filter(|slot| slot.status().state == State::Up)
        .count();
    let lateness = health.take_lateness();
    println!(
        "{servers} servers, {up} up; {} checks/s; {cores:.2} cores; {} MB; late p50 {:?}, p99 {:?}, max {:?}; {} overruns",
        checks / u64::from(seconds),
        resident() >> 20,
        lateness.quantile(0.5),
        lateness.quantile(0.99),
        lateness.max(),
        health.overruns.load(Relaxed),
    );
}

fn cpu_seconds() -> f64 {
    let stat = fs::read_to_string("/proc/self/stat").unwrap();
    let after_name = stat.rsplit(')').next().unwrap();
    let ticks = after_name.split_whitespace().skip(11).take(2);
    ticks
        .map(|ticks| ticks.parse::<f64>().unwrap())
        .sum::<f64>()
        / 100.0
}

fn resident() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))
        .unwrap();
    let kib = line.split_whitespace().next().unwrap();
    kib.parse::<u64>().unwrap() << 10
}
