use muster_net::Encoding;
use muster_net::testing::PATIENCE;
use muster_plugin::compliance::{Running, Stage};
use muster_plugin::{Kind, ServiceInput};
use muster_tasks::Group;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket};

use super::stream::MAX_MESSAGE;
use super::{ROW, SocketListener};
use crate::testing::{World, build, failure, lines, problems};

fn listener(options: &str) -> SocketListener {
    build(&ROW, options, SocketListener::build).unwrap()
}

/// Runs a listener and gives its address.
async fn run(stage: &Stage, options: &str) -> (Running, String) {
    let mut input = listener(options);
    input.start(&stage.start_context()).await.unwrap();
    let address = input.local_address();
    (stage.run(Box::new(input)).unwrap(), address)
}

async fn end(stage: Stage, running: Running) {
    let (input, result) = running.stop().await.expect("the run ends in time");
    result.unwrap();
    drop(input);
    let report = stage.end().await;
    assert!(report.is_clean(), "{report}");
}

/// Waits until the peer closes the connection.
async fn closed(stream: &mut TcpStream) -> bool {
    let mut byte = [0];
    let read = tokio::time::timeout(PATIENCE, stream.read(&mut byte)).await;
    !matches!(read, Ok(Ok(1..)) | Err(_))
}

const TCP: &str = "service_address = 'tcp://127.0.0.1:0'\n";

#[muster_tasks::test]
async fn good_lines_around_a_bad_one_are_kept(_group: Group) {
    let stage = Stage::new(Kind::Input);
    let (running, address) = run(&stage, TCP).await;
    let mut peer = TcpStream::connect(address).await.unwrap();
    peer.write_all(b"a v=1 1\nthis is bad\nb v=\"two\nlines\" 2\nc v=3")
        .await
        .unwrap();
    assert_eq!(
        lines(&running, 2).await,
        ["a v=1 1", "b v=\"two", "lines\" 2"]
    );
    let failed = failure(&running, "line 2").await;
    assert!(failed.starts_with("parse data from 127.0.0.1:"), "{failed}");
    // The last line needs no newline.
    peer.write_all(b" 3").await.unwrap();
    drop(peer);
    assert_eq!(lines(&running, 1).await, ["c v=3 3"]);
    end(stage, running).await;
}

#[muster_tasks::test]
async fn much_comes_through_whole(_group: Group) {
    let stage = Stage::new(Kind::Input);
    let (running, address) = run(&stage, TCP).await;
    let mut text = String::new();
    for n in 0..100_000 {
        text.push_str(&format!("metric,host=a value={n}i {n}\n"));
    }
    let mut peer = TcpStream::connect(address).await.unwrap();
    peer.write_all(text.as_bytes()).await.unwrap();
    let got = lines(&running, 100_000).await;
    assert!(got.iter().map(String::as_str).eq(text.lines()));
    drop(peer);
    end(stage, running).await;
}

#[muster_tasks::test]
async fn a_line_that_is_too_long_is_passed_over(_group: Group) {
    let stage = Stage::new(Kind::Input);
    let (running, address) = run(&stage, TCP).await;
    let mut peer = TcpStream::connect(address).await.unwrap();
    peer.write_all(b"a v=1 1\n").await.unwrap();
    peer.write_all(&vec![b'x'; MAX_MESSAGE * 3]).await.unwrap();
    peer.write_all(b"\nb v=2 2\n").await.unwrap();
    assert_eq!(lines(&running, 2).await, ["a v=1 1", "b v=2 2"]);
    failure(&running, "longer than").await;
    drop(peer);
    end(stage, running).await;
}

#[muster_tasks::test]
async fn messages_are_cut_as_told(_group: Group) {
    let check = async |options: &str, sent: &[u8]| {
        let stage = Stage::new(Kind::Input);
        let (running, address) = run(&stage, &format!("{TCP}{options}")).await;
        let mut peer = TcpStream::connect(address).await.unwrap();
        for byte in sent {
            peer.write_all(&[*byte]).await.unwrap();
        }
        drop(peer);
        assert_eq!(
            lines(&running, 2).await,
            ["a v=1 1", "b v=2 2"],
            "{options}"
        );
        end(stage, running).await;
    };
    check("splitting_strategy = 'null'", b"a v=1 1\0b v=2 2\0").await;
    let windows = "splitting_strategy = 'delimiter'\nsplitting_delimiter = '0x0d0A'";
    check(windows, b"a v=1 1\r\nb v=2 2\r\n").await;
    check(
        "splitting_strategy = 'fixed length'\nsplitting_length = 7",
        b"a v=1 1b v=2 2",
    )
    .await;
    let field = "splitting_strategy = 'variable length'\n\
                 splitting_length_field = { offset = 1, bytes = 2, header_length = 4 }";
    check(field, b"x\0\x07_a v=1 1x\0\x07_b v=2 2").await;
}

#[muster_tasks::test]
async fn compressed_streams_and_bombs(_group: Group) {
    let stage = Stage::new(Kind::Input);
    let options = format!("{TCP}content_encoding = 'gzip'");
    let (running, address) = run(&stage, &options).await;
    let mut peer = TcpStream::connect(&address).await.unwrap();
    let good = Encoding::Gzip
        .encode(b"a v=1 1\nb v=2 2\n".to_vec())
        .unwrap();
    peer.write_all(&good).await.unwrap();
    assert_eq!(lines(&running, 2).await, ["a v=1 1", "b v=2 2"]);
    let bomb = Encoding::Gzip.encode(vec![b'x'; 32 << 20]).unwrap();
    peer.write_all(&bomb).await.unwrap();
    failure(&running, "longer than").await;
    peer.write_all(&Encoding::Gzip.encode(b"\nc v=3 3\n".to_vec()).unwrap())
        .await
        .unwrap();
    assert_eq!(lines(&running, 1).await, ["c v=3 3"]);
    let mut liar = TcpStream::connect(&address).await.unwrap();
    liar.write_all(b"this is not compressed").await.unwrap();
    failure(&running, "decompress").await;
    assert!(closed(&mut liar).await);
    end(stage, running).await;
}

#[muster_tasks::test]
async fn connections_are_bounded_and_idle_ones_closed(_group: Group) {
    let stage = Stage::new(Kind::Input);
    let options = format!("{TCP}max_connections = 1\nread_timeout = '100ms'");
    let (running, address) = run(&stage, &options).await;
    let mut first = TcpStream::connect(&address).await.unwrap();
    first.write_all(b"a v=1 1\n").await.unwrap();
    lines(&running, 1).await;
    let mut second = TcpStream::connect(&address).await.unwrap();
    assert!(closed(&mut second).await);
    failure(&running, "max_connections = 1").await;
    assert!(closed(&mut first).await);
    end(stage, running).await;
}

#[muster_tasks::test]
async fn stopping_closes_the_connections(_group: Group) {
    let stage = Stage::new(Kind::Input);
    let (running, address) = run(&stage, TCP).await;
    let mut peer = TcpStream::connect(&address).await.unwrap();
    peer.write_all(b"a v=1 1\n").await.unwrap();
    lines(&running, 1).await;
    end(stage, running).await;
    assert!(closed(&mut peer).await);
    assert!(TcpStream::connect(&address).await.is_err());
}

#[muster_tasks::test]
async fn datagrams_over_udp(_group: Group) {
    let stage = Stage::new(Kind::Input);
    let (running, address) = run(&stage, "service_address = 'udp://127.0.0.1:0'").await;
    let peer = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    for datagram in ["a v=1 1\nb v=2 2", "bad", "c v=3 3\n"] {
        peer.send_to(datagram.as_bytes(), &address).await.unwrap();
    }
    assert_eq!(lines(&running, 3).await, ["a v=1 1", "b v=2 2", "c v=3 3"]);
    failure(&running, "a datagram").await;
    end(stage, running).await;
}

#[muster_tasks::test]
async fn unix_sockets_have_a_mode_and_leave_no_file(_group: Group) {
    use std::os::unix::fs::PermissionsExt;
    let dir = tempfile::tempdir().unwrap();
    for kind in ["unix", "unixgram"] {
        let path = dir.path().join(kind);
        let options = format!(
            "service_address = '{kind}://{}'\nsocket_mode = '640'",
            path.display()
        );
        let stage = Stage::new(Kind::Input);
        // A socket that an agent left behind is in nobody's way.
        drop(std::os::unix::net::UnixDatagram::bind(&path).unwrap());
        if kind == "unix" {
            std::fs::remove_file(&path).unwrap();
            drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
        }
        let (running, _) = run(&stage, &options).await;
        assert_eq!(
            std::fs::metadata(&path).unwrap().permissions().mode() & 0o777,
            0o640
        );
        if kind == "unix" {
            let mut peer = tokio::net::UnixStream::connect(&path).await.unwrap();
            peer.write_all(b"a v=1 1\n").await.unwrap();
        } else {
            let peer = tokio::net::UnixDatagram::unbound().unwrap();
            peer.send_to(b"a v=1 1", &path).await.unwrap();
        }
        assert_eq!(lines(&running, 1).await, ["a v=1 1"], "{kind}");
        end(stage, running).await;
        assert!(!path.exists());
    }
}

#[muster_tasks::test]
async fn a_port_in_use_is_refused_with_its_holder(_group: Group) {
    let world = World::new();
    let mut first = listener(TCP);
    first.start(&world.start_context("x")).await.unwrap();
    let port = first.local_address().rsplit_once(':').unwrap().1.to_owned();
    // The first holds a port that the system chose, so it is known by another name than its own.
    let taken = format!("service_address = 'tcp://127.0.0.1:{port}'");
    let error = listener(&taken)
        .start(&world.start_context("y"))
        .await
        .unwrap_err();
    assert!(error.to_string().contains("in use"), "{error}");
    drop(first);
    let mut first = listener(&taken);
    first.start(&world.start_context("x")).await.unwrap();
    let error = listener(&taken)
        .start(&world.start_context("y"))
        .await
        .unwrap_err();
    assert!(
        error.to_string().contains("already used by inputs/x"),
        "{error}"
    );
    drop(first);
    let mut first = listener(&format!("service_address = 'tcp4://:{port}'"));
    first.start(&world.start_context("x")).await.unwrap();
    let error = listener(&taken)
        .start(&world.start_context("y"))
        .await
        .unwrap_err();
    assert!(
        error.to_string().contains("already used by inputs/x"),
        "{error}"
    );
    drop(first);
    world.end().await;
}

#[muster_tasks::test]
async fn a_generation_hands_over_its_connections(_group: Group) {
    let world = World::new();
    let mut old = listener(TCP);
    old.start(&world.start_context("x")).await.unwrap();
    let address = old.local_address();
    let mut run = world.run("x", old);
    let mut early = TcpStream::connect(&address).await.unwrap();
    for generation in 0..5 {
        // In the midst of a line.
        early
            .write_all(format!("early v={generation}i 1\nhalf ").as_bytes())
            .await
            .unwrap();
        assert_eq!(world.lines(1).await, [format!("early v={generation}i 1")]);
        let mut next = listener(&format!("{TCP}read_timeout = '10s'"));
        next.start(&world.start_context("x")).await.unwrap();
        assert_eq!(next.local_address(), address);
        run.cancel();
        assert!(run.join().await.is_done());
        // Nobody accepts now: the system keeps the connection.
        let mut late = TcpStream::connect(&address).await.unwrap();
        late.write_all(b"late v=1i 1\n").await.unwrap();
        early.write_all(b"v=1i 1\n").await.unwrap();
        run = world.run("x", next);
        let mut got = world.lines(2).await;
        got.sort();
        assert_eq!(got, ["half v=1i 1", "late v=1i 1"]);
    }
    run.cancel();
    assert!(run.join().await.is_done());
    assert!(closed(&mut early).await);
    world.end().await;
}

#[muster_tasks::test]
async fn a_generation_hands_over_datagrams(_group: Group) {
    let world = World::new();
    let options = "service_address = 'udp://127.0.0.1:0'";
    let mut input = listener(options);
    input.start(&world.start_context("x")).await.unwrap();
    let address = input.local_address();
    let peer = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let mut sent = 0;
    let mut run = world.run("x", input);
    for _ in 0..10 {
        let mut next = listener(options);
        next.start(&world.start_context("x")).await.unwrap();
        for _ in 0..10 {
            peer.send_to(format!("m v={sent}i 1").as_bytes(), &address)
                .await
                .unwrap();
            sent += 1;
        }
        run.cancel();
        // It may have been cancelled before its first step.
        let _ = run.join().await;
        for _ in 0..10 {
            peer.send_to(format!("m v={sent}i 1").as_bytes(), &address)
                .await
                .unwrap();
            sent += 1;
        }
        run = world.run("x", next);
    }
    let want: Vec<String> = (0..sent).map(|n| format!("m v={n}i 1")).collect();
    assert_eq!(world.lines(sent).await, want);
    run.cancel();
    let _ = run.join().await;
    world.end().await;
}

#[test]
fn refuses_bad_options() {
    let check = |options: &str, want: &str| {
        let got = problems(&ROW, options, SocketListener::build);
        assert!(got.contains(want), "{options}: {got}");
    };
    check("", "address to listen on is missing");
    check("service_address = 'tcp:8094'", "is no address");
    check(
        "service_address = 'tcp://:1'\nsocket_mode = '999'",
        "permission bits",
    );
    check(
        "service_address = 'tcp://:1'\nsplitting_strategy = 'lines'",
        "unknown strategy",
    );
    check(
        "service_address = 'tcp://:1'\nsplitting_strategy = 'delimiter'",
        "hexadecimal",
    );
    check(
        "service_address = 'udp://:1'\ntls_cert = 'x'\ntls_key = 'y'",
        "over tcp:// only",
    );
    check(
        "service_address = 'tcp://:1'\ntls_allowed_cacerts = ['x']",
        "need TLS",
    );
    check(
        "service_address = 'tcp://:1'\nmax_conections = 1",
        "unknown option",
    );
}
