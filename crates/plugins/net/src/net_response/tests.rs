use muster_net::testing::Silent;
use muster_tasks::Group;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, UdpSocket};

use super::{NetResponse, ROW};
use crate::testing::{build, gather, problems};

/// Asks and checks the one metric, but for the port and the time that it took.
async fn check(options: &str, timed: bool, want: &str) {
    let (lines, failures) = gather(build(&ROW, options, NetResponse::build).unwrap()).await;
    assert!(failures.is_empty(), "{failures:?}");
    let [line] = &lines[..] else {
        panic!("{lines:?}")
    };
    let parts = line
        .split([',', ' '])
        .filter(|part| !part.starts_with("port="));
    let (time, others): (Vec<&str>, Vec<&str>) =
        parts.partition(|part| part.starts_with("response_time="));
    assert_eq!(time.len(), usize::from(timed), "{line}");
    assert_eq!(others.join(" "), want, "{options}");
}

#[muster_tasks::test]
async fn asks_over_tcp(group: Group) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let echo = async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut buffer = [0; 100];
            let read = stream.read(&mut buffer).await.unwrap_or(0);
            let _ = stream.write_all(&buffer[..read]).await;
        }
    };
    group.go("echo", echo).unwrap();
    let options = |more: &str| format!("address = '{address}'\nprotocol = 'tcp'\n{more}");
    check(
        &options(""),
        true,
        "net_response protocol=tcp result=success server=127.0.0.1 \
         result_type=\"success\" result_code=0i",
    )
    .await;
    check(
        &options("send = \"hello\\nthere\"\nexpect = 'ell'"),
        true,
        "net_response protocol=tcp result=success server=127.0.0.1 string_found=true \
         result_type=\"success\" result_code=0i",
    )
    .await;
    check(
        &options("send = \"hello\\nthere\"\nexpect = 'there'"),
        true,
        "net_response protocol=tcp result=string_mismatch server=127.0.0.1 string_found=false \
         result_type=\"string_mismatch\" result_code=4i",
    )
    .await;
    check(
        "address = '127.0.0.1:1'",
        false,
        "net_response protocol=tcp result=connection_failed server=127.0.0.1 \
         result_type=\"connection_failed\" result_code=2i",
    )
    .await;
    let mut silent = Silent::start(&group).await;
    check(
        &format!(
            "address = '{}'\nexpect = 'x'\nread_timeout = '50ms'",
            silent.address()
        ),
        true,
        "net_response protocol=tcp result=read_failed server=127.0.0.1 string_found=false \
         result_type=\"read_failed\" result_code=3i",
    )
    .await;
    assert!(silent.all_closed().await);
    assert!(group.stop().await.is_clean());
}

#[muster_tasks::test]
async fn asks_over_udp(group: Group) {
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let address = socket.local_addr().unwrap();
    let echo = async move {
        let mut buffer = [0; 100];
        while let Ok((length, peer)) = socket.recv_from(&mut buffer).await {
            let _ = socket.send_to(&buffer[..length], peer).await;
        }
    };
    group.go("echo", echo).unwrap();
    check(
        &format!("address = '{address}'\nprotocol = 'udp'\nsend = 'abc'\nexpect = 'b'"),
        true,
        "net_response protocol=udp result=success server=127.0.0.1 string_found=true \
         result_type=\"success\" result_code=0i",
    )
    .await;
    check(
        "address = '127.0.0.1:1'\nprotocol = 'udp'\nsend = 'abc'\nexpect = 'b'",
        false,
        "net_response protocol=udp result=read_failed server=127.0.0.1 string_found=false \
         result_type=\"read_failed\" result_code=3i",
    )
    .await;
    assert!(group.stop().await.is_clean());
}

#[test]
fn refuses_bad_options() {
    let check = |options: &str, want: &str| {
        let got = problems(&ROW, options, NetResponse::build);
        assert!(got.contains(want), "{options}: {got}");
    };
    check("protocol = 'icmp'", "unknown \"icmp\"");
    check("protocol = 'udp'", "needs `send`");
    check("address = 'host'", "port is missing");
}
