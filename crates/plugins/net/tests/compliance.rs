//! Every input of this crate against `docs/specs/plugin.md`.

#![allow(clippy::unwrap_used, reason = "a test")]

use muster_net::testing::{FakeHttp, Silent, answer};
use muster_plugin::compliance::{Case, check_table};
use muster_plugins_net::PLUGINS;
use muster_tasks::Group;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket};

/// Ports that are free now, all of them different.
fn free_ports<const N: usize>() -> [u16; N] {
    let sockets: [std::net::TcpListener; N] =
        std::array::from_fn(|_| std::net::TcpListener::bind("127.0.0.1:0").unwrap());
    sockets
        .each_ref()
        .map(|socket| socket.local_addr().unwrap().port())
}

/// Sends bytes over TCP and reads until the peer has answered or closes. A listener that is not
/// there yet is asked again by the harness.
async fn send(port: u16, bytes: String) {
    let Ok(mut stream) = TcpStream::connect(("127.0.0.1", port)).await else {
        return;
    };
    let _ = stream.write_all(bytes.as_bytes()).await;
    let _ = stream.shutdown().await;
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer).await;
}

/// A case of a listener on `port` that takes a request.
fn takes(plugin: &str, port: u16, path: &'static str) -> Case {
    let options = format!("service_address = 'tcp://127.0.0.1:{port}'");
    Case::new(plugin, &options).stimulus(move || {
        let head = "host: x\r\nconnection: close\r\ncontent-length: 7";
        send(
            port,
            format!("POST {path} HTTP/1.1\r\n{head}\r\n\r\na v=1 1"),
        )
    })
}

/// A profile as Go shows it with `debug=1`.
const GOROUTINES: &str = "goroutine profile: total 3\n\
    3 @ 0x1 0x2\n#\t0x1\tmain.work+0x1d\t/src/main.go:12\n\n";

#[muster_tasks::test]
async fn every_plugin_complies(group: Group) {
    let server = FakeHttp::start(&group, |seen| match seen.path.as_str() {
        "/debug/pprof/goroutine" => answer(200, GOROUTINES),
        "/metrics" => answer(200, "# TYPE up gauge\nup{a=\"b\"} 1\n"),
        _ => answer(200, "m v=1\n"),
    })
    .await;
    let silent = Silent::start(&group).await;
    let url = server.url();
    let [web, v1, v2, tcp, udp] = free_ports();
    let cases = [
        Case::new("go_pprof", &format!("targets = ['{url}']")).metrics(2),
        Case::new("go_pprof", "targets = ['127.0.0.1:1']").offline(),
        Case::new("http", &format!("urls = ['{url}/lines']")),
        Case::new("http", "urls = ['http://127.0.0.1:1']").offline(),
        Case::new("http_response", &format!("urls = ['{url}']")),
        Case::new("net_response", &format!("address = '{}'", silent.address())),
        Case::new("prometheus", &format!("urls = ['{url}/metrics']")),
        Case::new("prometheus", "urls = ['http://127.0.0.1:1']").offline(),
        takes("http_listener_v2", web, "/telegraf"),
        takes("influxdb_listener", v1, "/write"),
        takes("influxdb_v2_listener", v2, "/api/v2/write"),
        Case::new(
            "socket_listener",
            &format!("service_address = 'tcp://127.0.0.1:{tcp}'"),
        )
        .stimulus(move || send(tcp, "a v=1 1\n".to_owned())),
        Case::new(
            "socket_listener",
            &format!("service_address = 'udp://127.0.0.1:{udp}'"),
        )
        .stimulus(move || async move {
            let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
            let _ = socket.send_to(b"a v=1 1", ("127.0.0.1", udp)).await;
        }),
    ];
    check_table(PLUGINS, &cases).await.unwrap();
    assert!(group.stop().await.is_clean());
}
