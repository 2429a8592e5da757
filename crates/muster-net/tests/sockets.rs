//! TLS in both directions, and the HTTP server under clients that misbehave.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test")]

use std::path::Path;
use std::time::Duration;

use muster_net::http_server::{Limits, serve, text};
use muster_net::testing::PATIENCE;
use muster_net::{
    Address, ClientBuilder, Connector, Listening, SocketOptions, TlsClientOptions,
    TlsServerOptions, listen,
};
use muster_plugin::{ComponentId, Kind, Resources, StartContext};
use muster_tasks::Group;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Writes an authority, and a certificate with its key for this name and 127.0.0.1.
fn certificates(folder: &Path, name: &str) {
    let mut params = CertificateParams::new(vec![]).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
    let key = KeyPair::generate().unwrap();
    let names = vec![name.to_owned(), "127.0.0.1".to_owned()];
    let params = CertificateParams::new(names).unwrap();
    let certificate = params.signed_by(&key, &authority).unwrap();
    std::fs::write(folder.join("ca.pem"), authority.pem()).unwrap();
    std::fs::write(folder.join("cert.pem"), certificate.pem()).unwrap();
    std::fs::write(folder.join("key.pem"), key.serialize_pem()).unwrap();
}

fn path(folder: &Path, name: &str) -> String {
    folder.join(name).display().to_string()
}

fn start_context(group: &Group) -> StartContext {
    let id = ComponentId::new(Kind::Input, "server");
    StartContext::new(id, group.clone(), Resources::new(), Duration::from_secs(1))
}

async fn listening(group: &Group, tls: &TlsServerOptions) -> Listening {
    let address = Address::parse("tcp://127.0.0.1:0").unwrap();
    let tls = tls.config().unwrap();
    listen(
        &start_context(group),
        &address,
        tls,
        SocketOptions::default(),
    )
    .await
    .unwrap()
}

/// Serves a greeting.
async fn server(group: &Group, tls: &TlsServerOptions, limits: Limits) -> String {
    let listening = listening(group, tls).await;
    let address = listening.local_address();
    let greet = |_| async { text(http::StatusCode::OK, "hello") };
    let served = move |cx| async move { serve(&cx, &listening, limits, greet).await };
    group.go_cx("server", served).unwrap();
    address
}

#[muster_tasks::test]
async fn a_refused_connection_is_told_without_the_clients_layers(_group: Group) {
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = free.local_addr().unwrap();
    drop(free);
    let client = ClientBuilder::new(PATIENCE)
        .build(&TlsClientOptions::default())
        .unwrap();
    let error = client.get(format!("http://{address}/")).send().await;
    let told = muster_net::describe_error(&error.unwrap_err());
    assert!(told.starts_with("Connection refused"), "{told}");
}

#[muster_tasks::test]
async fn tls_checks_both_sides(group: Group) {
    let (ours, theirs) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    certificates(ours.path(), "server.test");
    certificates(theirs.path(), "other.test");
    let (ours, theirs) = (ours.path(), theirs.path());
    let options = TlsServerOptions {
        tls_cert: path(ours, "cert.pem"),
        tls_key: path(ours, "key.pem"),
        tls_allowed_cacerts: vec![path(ours, "ca.pem")],
        ..TlsServerOptions::default()
    };
    let address = server(&group, &options, Limits::default()).await;
    let check = async |tls: TlsClientOptions, want: Result<(), &str>| {
        let client = ClientBuilder::new(PATIENCE).build(&tls).unwrap();
        let answer = client.get(format!("https://{address}/")).send().await;
        match (answer, want) {
            (Ok(answer), Ok(())) => assert_eq!(answer.text().await.unwrap(), "hello"),
            (Err(error), Err(part)) => {
                let error = muster_net::describe_error(&error);
                assert!(error.to_lowercase().contains(part), "{error}");
            }
            (answer, want) => panic!("{answer:?} {want:?}"),
        }
    };
    let good = TlsClientOptions {
        tls_ca: path(ours, "ca.pem"),
        tls_cert: path(ours, "cert.pem"),
        tls_key: path(ours, "key.pem"),
        ..TlsClientOptions::default()
    };
    check(good.clone(), Ok(())).await;
    let old = TlsClientOptions {
        tls_min_version: "TLS13".into(),
        ..good.clone()
    };
    check(old, Ok(())).await;
    // An authority that did not sign the server's certificate.
    let stranger = TlsClientOptions {
        tls_ca: path(theirs, "ca.pem"),
        ..good.clone()
    };
    check(stranger.clone(), Err("certificate")).await;
    let trusting = TlsClientOptions {
        insecure_skip_verify: true,
        ..stranger
    };
    check(trusting, Ok(())).await;
    // Another name than the certificate's.
    let named = |name: &str| TlsClientOptions {
        tls_server_name: name.into(),
        ..good.clone()
    };
    check(named("server.test"), Ok(())).await;
    check(named("wrong.test"), Err("certificate")).await;
    // A client without a certificate, and one with a wrong one.
    let bare = TlsClientOptions {
        tls_ca: path(ours, "ca.pem"),
        ..TlsClientOptions::default()
    };
    check(bare, Err("")).await;
    let wrong = TlsClientOptions {
        tls_cert: path(theirs, "cert.pem"),
        tls_key: path(theirs, "key.pem"),
        ..good.clone()
    };
    check(wrong, Err("")).await;
    assert!(group.stop().await.is_clean());
}

#[muster_tasks::test]
async fn tls_over_a_plain_stream(group: Group) {
    let folder = tempfile::tempdir().unwrap();
    certificates(folder.path(), "localhost");
    let options = TlsServerOptions {
        tls_cert: path(folder.path(), "cert.pem"),
        tls_key: path(folder.path(), "key.pem"),
        ..TlsServerOptions::default()
    };
    let listening = listening(&group, &options).await;
    let address = Address::parse(&format!("tcp://{}", listening.local_address())).unwrap();
    let tls = TlsClientOptions {
        tls_ca: path(folder.path(), "ca.pem"),
        ..TlsClientOptions::default()
    };
    let connector = Connector::new(address, &tls, None).unwrap();
    let handshake = listening.handshake();
    let serve = async {
        let accepted = listening.accept().await.unwrap();
        let mut stream = handshake(accepted.stream).await.unwrap();
        let mut got = [0; 5];
        stream.read_exact(&mut got).await.unwrap();
        got
    };
    let ask = async {
        let mut stream = connector.stream().await.unwrap();
        stream.write_all(b"hello").await.unwrap();
        stream.flush().await.unwrap();
        stream
    };
    let (got, stream) = tokio::join!(serve, ask);
    assert_eq!(&got, b"hello");
    drop((stream, listening));
    assert!(group.stop().await.is_clean());
}

#[test]
fn bad_files_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let empty = path(folder.path(), "empty.pem");
    std::fs::write(&empty, "nothing").unwrap();
    let check = |ca: &str, want: &str| {
        let tls = TlsClientOptions {
            tls_ca: ca.to_owned(),
            ..TlsClientOptions::default()
        };
        let error = tls.config().unwrap_err();
        assert!(error.to_string().contains(want), "{error}");
    };
    check("/no/such/file", "read certificates from /no/such/file");
    check(&empty, "no certificate in it");
}

#[muster_tasks::test]
async fn slow_heads_are_cut_off(group: Group) {
    let limits = Limits {
        read_timeout: Duration::from_millis(100),
        ..Limits::default()
    };
    let address = server(&group, &TlsServerOptions::default(), limits).await;
    for head in ["", "GET / HT"] {
        let mut stream = TcpStream::connect(&address).await.unwrap();
        stream.write_all(head.as_bytes()).await.unwrap();
        let mut rest = Vec::new();
        let read = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut rest)).await;
        assert!(read.is_ok(), "the connection stays open after {head:?}");
    }
    assert!(group.stop().await.is_clean());
}

#[muster_tasks::test]
async fn connections_beyond_the_bound_wait(group: Group) {
    let limits = Limits {
        connections: 1,
        ..Limits::default()
    };
    let address = server(&group, &TlsServerOptions::default(), limits).await;
    let request = b"GET / HTTP/1.1\r\nhost: x\r\n\r\n";
    let mut first = TcpStream::connect(&address).await.unwrap();
    first.write_all(request).await.unwrap();
    let mut byte = [0];
    first.read_exact(&mut byte).await.unwrap();
    let mut second = TcpStream::connect(&address).await.unwrap();
    second.write_all(request).await.unwrap();
    let early = tokio::time::timeout(Duration::from_millis(50), second.read_exact(&mut byte)).await;
    assert!(early.is_err());
    drop(first);
    second.read_exact(&mut byte).await.unwrap();
    assert!(group.stop().await.is_clean());
}
