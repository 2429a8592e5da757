//! Listeners over reloads and changes: open connections stay, no connection is refused.

use std::io::Write;
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread;
use std::time::{Duration, Instant};

use muster_testkit::{eventually, free_ports};
use serde_json::json;

use super::support::{Ask, FAST, TO_FILE, agent, assert_gapless, beside, mock};

fn listener(port: u16, more: &str) -> String {
    format!(
        "[[inputs.socket_listener]]\nid = \"l\"\nservice_address = \"tcp://127.0.0.1:{port}\"\n{more}\n"
    )
}

#[test]
fn a_reload_touches_only_what_changed() {
    let _beside = beside();
    let [port] = free_ports();
    let base = format!(
        "{FAST}{TO_FILE}{}{}",
        listener(port, ""),
        mock("untouched", "")
    );
    let mut config = format!("{base}{}{}", mock("changed", ""), mock("removed", ""));
    let mut agent = agent(&config).start();
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    stream.write_all(b"m,n=stream sequence=0i 0\n").unwrap();
    agent.wait_metrics("stream", 1);
    for name in ["untouched", "changed", "removed"] {
        agent.wait_metrics(name, 3);
    }
    let generation =
        |agent: &muster_testkit::Agent| agent.get("/api/v1/status")["generation"].as_u64().unwrap();
    for round in 1..=5 {
        let before = generation(&agent);
        let changed = mock("changed", &format!("metric_name = \"round{round}\""));
        config = format!("{base}{changed}{}", mock(&format!("added-{round}"), ""));
        agent.reload(&config);
        agent.wait_metrics(&format!("added-{round}"), 2);
        assert_eq!(generation(&agent), before + 1, "a reload is one change");
        stream
            .write_all(format!("m,n=stream sequence={round}i {round}\n").as_bytes())
            .unwrap();
        assert_gapless("stream", &agent.wait_metrics("stream", round + 1), 0);
    }
    // The same file again is no change at all.
    let before = generation(&agent);
    agent.reload(&config);
    eventually("the reload", || {
        (agent.log().matches("read again").count() >= 6).then_some(())
    });
    assert_eq!(generation(&agent), before);
    let seen = agent.wait_metrics("changed", 1).len();
    agent.wait_metrics("changed", seen + 3);
    assert_eq!(
        agent.stop(Duration::from_secs(6)),
        Some(0),
        "{}",
        agent.log()
    );
    let text = agent.read("out");
    for (name, seen) in super::support::written(&text) {
        assert_gapless(name, &seen, 0);
    }
    assert!(text.contains("round5,n=changed"));
}

#[test]
fn a_changed_listener_hands_its_socket_over() {
    let _beside = beside();
    let [port] = free_ports();
    let agent = agent(&format!("{FAST}{TO_FILE}{}", listener(port, ""))).start();
    let mut stays = TcpStream::connect(("127.0.0.1", port)).unwrap();
    stays.write_all(b"m,n=stays sequence=0i 0\n").unwrap();
    agent.wait_metrics("stays", 1);
    let over = AtomicBool::new(false);
    let sent = thread::scope(|scope| {
        let client = scope.spawn(|| {
            let mut sent = 0;
            while !over.load(Relaxed) {
                let mut stream = TcpStream::connect(("127.0.0.1", port))
                    .unwrap_or_else(|error| panic!("connection {sent} is refused: {error}"));
                let line = format!("m,n=c{sent} sequence=0i {sent}\n");
                stream.write_all(line.as_bytes()).unwrap();
                sent += 1;
            }
            sent
        });
        for round in 1..=20 {
            let options = json!({"read_timeout": format!("{round}m")});
            let answer = agent.api("PATCH", "/api/v1/inputs/l", &options);
            assert_eq!(answer.status, 200, "{}", answer.body);
        }
        over.store(true, Relaxed);
        client.join().unwrap()
    });
    eprintln!("{sent} connections over 20 changes, none refused");
    let arrived = |text: &str| text.matches(",n=c").count();
    let begin = Instant::now();
    while arrived(&agent.read("out")) < sent && begin.elapsed() < Duration::from_secs(10) {
        thread::sleep(Duration::from_millis(20));
    }
    assert_eq!(
        arrived(&agent.read("out")),
        sent,
        "a line was lost with its connection"
    );
    // The connection that was open all the time still delivers.
    stays.write_all(b"m,n=stays sequence=1i 1\n").unwrap();
    assert_gapless("stays", &agent.wait_metrics("stays", 2), 0);
}

#[test]
fn a_removed_listener_lets_its_port_go() {
    let _beside = beside();
    let [port] = free_ports();
    let agent = agent(&format!("{FAST}{TO_FILE}{}", listener(port, ""))).start();
    let stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    agent.change(&[json!({"op": "remove", "kind": "input", "id": "l"})]);
    eventually("the port is free", || {
        TcpStream::connect(("127.0.0.1", port))
            .is_err()
            .then_some(())
    });
    drop(stream);
    let options = json!({"service_address": format!("tcp://127.0.0.1:{port}")});
    agent.change(&[json!({"op": "add", "kind": "input", "id": "other", "plugin": "socket_listener", "options": options})]);
    TcpStream::connect(("127.0.0.1", port)).unwrap();
}
