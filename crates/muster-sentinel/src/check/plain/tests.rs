use muster_plugin::Kind;
use muster_plugin::compliance::{Running, Stage};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::*;
use crate::board::Board;
use crate::status::{Reason, State};

struct World {
    stage: Stage,
    board: Arc<Board>,
    running: Running,
}

impl World {
    async fn start(row: &PluginRow, options: &str) -> Self {
        let stage = Stage::new(Kind::Check);
        let options = format!(
            "{options}\ninterval = '200ms'\ntimeout = '200ms'\ndown_after = '100ms'\nfall = 1"
        );
        let cx = BuildContext::new(row, &toml::from_str(&options).unwrap()).unwrap();
        let Build::Check(build) = row.build else {
            panic!("not a service")
        };
        let mut check = build(&cx).unwrap();
        let cx = stage.start_context();
        check.start(&cx).await.unwrap();
        let board = cx.resources().shared::<Board>();
        let running = stage.run(check).unwrap();
        Self {
            stage,
            board,
            running,
        }
    }

    async fn until(&self, id: &str, state: State, reason: Reason) {
        let status = || self.board.get(id).map(|slot| slot.status());
        let is = |_: &Running| status().is_some_and(|s| (s.state, s.reason) == (state, reason));
        let in_time = self.running.wait_until(Duration::from_secs(30), is).await;
        assert!(in_time, "{id} is not {state} {reason}: {:#?}", status());
    }

    async fn end(self) {
        self.running.stop().await.unwrap().1.unwrap();
        drop(self.board);
        assert!(self.stage.end().await.is_clean());
    }
}

/// A server that answers each connection with the same text.
async fn answering(group: &Group, text: &'static str) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let serve = async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut request = [0; 1024];
            let _ = stream.read(&mut request).await;
            let _ = stream.write_all(text.as_bytes()).await;
        }
    };
    group.go("server", serve).unwrap();
    port
}

#[muster_tasks::test]
async fn connections(group: Group) {
    let port = answering(&group, "220 ready\r\n").await;
    let [closed] = muster_testkit::free_ports();
    let options = format!("addresses = ['127.0.0.1:{port}', 'localhost:{closed}']");
    let world = World::start(&TCP, &options).await;
    world
        .until(&format!("tcp:127.0.0.1:{port}"), State::Up, Reason::Ok)
        .await;
    world
        .until(
            &format!("tcp:localhost:{closed}"),
            State::Down,
            Reason::Refused,
        )
        .await;
    world.end().await;
    for (expect, state, reason) in [
        ("220 ", State::Up, Reason::Ok),
        ("250 ", State::Down, Reason::Failed),
    ] {
        let options = format!("addresses = ['127.0.0.1:{port}']\nsend = 'x'\nexpect = '{expect}'");
        let world = World::start(&TCP, &options).await;
        world
            .until(&format!("tcp:127.0.0.1:{port}"), state, reason)
            .await;
        world.end().await;
    }
    assert!(group.stop().await.is_clean());
}

#[muster_tasks::test]
async fn http_services(group: Group) {
    let good = answering(&group, "HTTP/1.1 204 No Content\r\n\r\n").await;
    let bad = answering(&group, "HTTP/1.1 503 Service Unavailable\r\n\r\n").await;
    let (good, bad) = (
        format!("http://127.0.0.1:{good}/health"),
        format!("http://localhost:{bad}/"),
    );
    let world = World::start(&HTTP, &format!("urls = ['{good}', '{bad}']")).await;
    world
        .until(&format!("http:{good}"), State::Up, Reason::Ok)
        .await;
    world
        .until(&format!("http:{bad}"), State::Down, Reason::Failed)
        .await;
    world.end().await;
    assert!(group.stop().await.is_clean());
}

#[muster_tasks::test]
async fn commands(_group: Group) {
    let options = "commands = ['true', 'false', 'sleep 60', '/no/such/command']";
    let world = World::start(&EXEC, options).await;
    world.until("exec:true", State::Up, Reason::Ok).await;
    world.until("exec:false", State::Down, Reason::Failed).await;
    world
        .until("exec:sleep 60", State::Down, Reason::Hung)
        .await;
    world
        .until("exec:/no/such/command", State::Unknown, Reason::Local)
        .await;
    world.end().await;
}

#[test]
fn refuses_bad_options() {
    let check = |row: &PluginRow, options: &str, want: &str| {
        let cx = BuildContext::new(row, &toml::from_str(options).unwrap()).unwrap();
        let Build::Check(build) = row.build else {
            panic!("not a service")
        };
        let errors = build(&cx).err().unwrap();
        assert!(
            errors[0].to_string().contains(want),
            "{options}: {errors:?}"
        );
    };
    check(&TCP, "", "there is nothing to check");
    check(&TCP, "addresses = ['host']", "the port is missing");
    check(&HTTP, "urls = ['ftp://x']", "write a URL");
    check(&HTTP, "urls = ['x']", "write a URL");
    check(&EXEC, "commands = ['']", "commands[0]");
    check(&EXEC, "commands = ['true']\ntimeout = '1h'", "timeout");
    check(&EXEC, "commands = ['true']\ntls_ca = 'x'", "unknown option");
}
