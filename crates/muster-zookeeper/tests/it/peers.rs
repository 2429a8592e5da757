//! Peers that are no servers: nobody, one that says nothing, one that talks nonsense.

use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::time::{Duration, Instant};

use muster_tasks::{BlockingCtx, Group};
use muster_testkit::{ZooKeeper, free_ports};
use muster_zookeeper::{ErrorKind, Retry, STOP, Session, State};

use super::{options, soon};

async fn wait_for_stats(
    session: &Session,
    what: &str,
    enough: impl Fn(&muster_zookeeper::Stats) -> bool,
) {
    let reached = async {
        while !enough(&session.stats()) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    soon(what, reached).await;
}

/// A stop is bounded, whatever the peer does; the half is for a busy machine.
async fn stops_in_time(session: &Session) {
    let begin = Instant::now();
    session.stop().await;
    assert!(begin.elapsed() < STOP * 3 / 2, "{:?}", begin.elapsed());
    assert_eq!(*session.state().borrow(), State::Stopped);
}

#[muster_tasks::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_servers_operations_fail_at_once(root: Group) {
    let [nobody] = free_ports();
    let session = Session::start(&root, options(&format!("127.0.0.1:{nobody}"))).unwrap();
    let refused = session.sync().await.unwrap_err();
    assert_eq!(
        (refused.retry(), refused.kind),
        (Retry::Later, ErrorKind::NotConnected)
    );
    wait_for_stats(&session, "it is tried again", |stats| {
        stats.unreachable >= 3
    })
    .await;
    assert_eq!(*session.state().borrow(), State::Connecting);
    assert!(session.stats().last_trouble.is_some());
    stops_in_time(&session).await;
    assert!(root.stop().await.is_clean());
}

#[muster_tasks::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_peer_that_says_nothing_costs_a_part_of_the_session(root: Group) {
    let mute = TcpListener::bind("127.0.0.1:0").unwrap();
    let mute = mute.local_addr().unwrap();
    // The kernel takes connections for a listener that nobody asks.
    let _held = TcpListener::bind("127.0.0.1:0").unwrap();
    let server = ZooKeeper::shared();
    let held = _held.local_addr().unwrap();
    let only = Session::start(&root, options(&held.to_string())).unwrap();
    let servers = format!("{mute},{held},{}/peers/mute", server.address());
    let session = Session::start(&root, options(&servers)).unwrap();
    let connection = soon("the one that answers", session.connected())
        .await
        .unwrap();
    assert_eq!(connection.server.to_string(), server.address());
    // Those that said nothing are tried last: the way back is short.
    session
        .inject(muster_zookeeper::Fault::Poison)
        .await
        .unwrap();
    let again = super::later(&session, &connection).await;
    assert_eq!(again.sessions, 1);
    wait_for_stats(&only, "it gives up on the mute one", |stats| {
        stats.unreachable >= 1
    })
    .await;
    let trouble = only.stats().last_trouble.unwrap();
    assert!(trouble.contains("says nothing"), "{trouble}");
    stops_in_time(&only).await;
    assert!(root.stop().await.is_clean());
}

/// Serves one connection after another until cancelled.
fn serve(
    listener: &TcpListener,
    cx: &BlockingCtx,
    answer: impl Fn(&mut TcpStream) -> io::Result<()>,
) {
    listener.set_nonblocking(true).unwrap();
    while cx.sleep(Duration::from_millis(2)).is_ok() {
        if let Ok((mut stream, _)) = listener.accept() {
            stream.set_nonblocking(false).unwrap();
            stream
                .set_read_timeout(Some(Duration::from_secs(1)))
                .unwrap();
            // It ends when the client does.
            let _ = answer(&mut stream);
        }
    }
}

fn read_packet(stream: &mut TcpStream) -> io::Result<Vec<u8>> {
    let mut length = [0; 4];
    stream.read_exact(&mut length)?;
    let mut packet = vec![0; u32::from_be_bytes(length) as usize];
    stream.read_exact(&mut packet)?;
    Ok(packet)
}

/// Grants a session, and then answers each request with one byte, whatever it was.
fn nonsense(stream: &mut TcpStream) -> io::Result<()> {
    read_packet(stream)?;
    let session = [
        0, 0, 0, 36, 0, 0, 0, 0, 0, 0, 0x17, 0x70, 0, 0, 0, 0, 0, 0, 0, 7, 0, 0, 0, 16,
    ];
    stream.write_all(&session)?;
    stream.write_all(&[1; 16])?;
    loop {
        let request = read_packet(stream)?;
        let mut answer = vec![0, 0, 0, 21];
        answer.extend(&request[..4]);
        answer.extend([0; 12]);
        // The text "/", which is an answer to a sync and to nothing else.
        answer.extend([0, 0, 0, 1, b'/']);
        stream.write_all(&answer)?;
    }
}

#[muster_tasks::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_peer_that_talks_nonsense_breaks_nothing(root: Group) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let servers = listener.local_addr().unwrap().to_string();
    let peer = move |cx: BlockingCtx| serve(&listener, &cx, nonsense);
    root.spawn_blocking("peer", peer).unwrap();
    let session = Session::start(&root, options(&servers)).unwrap();
    for panics in 1..=2 {
        soon("a connection", session.connected()).await.unwrap();
        // The client reckons with more bytes than there are, and panics.
        let error = session.read("/").await.unwrap_err();
        assert_eq!(
            (error.retry(), error.kind),
            (Retry::Reread, ErrorKind::ConnectionLost)
        );
        wait_for_stats(&session, "the panic is seen", |stats| {
            stats.panics == panics
        })
        .await;
    }
    stops_in_time(&session).await;
    assert!(root.stop().await.is_clean());
}

#[muster_tasks::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_peer_of_another_kind_is_no_server(root: Group) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let servers = listener.local_addr().unwrap().to_string();
    let answer = |stream: &mut TcpStream| stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n");
    let peer = move |cx: BlockingCtx| serve(&listener, &cx, answer);
    root.spawn_blocking("peer", peer).unwrap();
    let session = Session::start(&root, options(&servers)).unwrap();
    wait_for_stats(&session, "it is tried again", |stats| {
        stats.unreachable >= 3
    })
    .await;
    assert_eq!(*session.state().borrow(), State::Connecting);
    stops_in_time(&session).await;
    assert!(root.stop().await.is_clean());
}
