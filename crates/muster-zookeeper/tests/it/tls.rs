//! TLS, with certificates on both sides.

use std::time::Duration;

use muster_net::TlsClientOptions;
use muster_tasks::Group;
use muster_testkit::{Certificates, ZooKeeper, eventually_within};
use muster_zookeeper::{Mode, Session, Tls};

use super::{later, options, soon};

/// What a client of this authority needs.
fn client(of: &Certificates) -> TlsClientOptions {
    let path = |name| of.path(name).display().to_string();
    TlsClientOptions {
        tls_ca: path("ca.pem"),
        tls_cert: path("client.pem"),
        tls_key: path("client.key"),
        ..Default::default()
    }
}

fn start(group: &Group, servers: &str, tls: &TlsClientOptions) -> Session {
    let mut options = options(servers);
    let name = tls.server_name().unwrap();
    options.tls = Some(Tls::new(tls.config().unwrap(), name));
    Session::start(group, options).unwrap()
}

#[muster_tasks::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_over_tls(root: Group) {
    let certificates = Certificates::of_server(&["localhost"]);
    let (mut server, port) = ZooKeeper::start_secure(&certificates);
    let tls = client(&certificates);
    let session = start(&root, &format!("localhost:{port}/tls"), &tls);
    let first = soon("a connection", session.connected()).await.unwrap();
    let data = vec![b'x'; 300_000];
    session
        .create("/a", data.clone(), Mode::Persistent)
        .await
        .unwrap();
    session
        .create("/mine", Vec::new(), Mode::Ephemeral)
        .await
        .unwrap();
    assert_eq!(session.read("/a").await.unwrap().data, data);

    // The server comes back, and the session with it.
    server.kill();
    server.start_again();
    let second = later(&session, &first).await;
    assert_eq!(second.sessions, first.sessions, "{session:?}");
    assert_eq!(session.read("/a").await.unwrap().data, data);
    assert!(session.exists("/mine").await.unwrap().is_some());

    // An end over TLS is clean, too.
    let reader = start(&root, &format!("localhost:{port}/tls"), &tls);
    soon("a connection", reader.connected()).await.unwrap();
    session.stop().await;
    assert!(reader.exists("/mine").await.unwrap().is_none());
    reader.stop().await;
}

/// Waits until this keeps a session from its servers. On a busy machine a handshake may be late at first.
fn trouble(session: &Session, part: &str) {
    eventually_within(Duration::from_secs(60), part, || {
        let why = session.stats().last_trouble;
        why.filter(|why| why.contains(part)).map(drop)
    });
    assert_eq!(session.stats().connections, 0, "{part}");
}

#[muster_tasks::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_trust_there_is_no_session(root: Group) {
    let certificates = Certificates::of_server(&["localhost"]);
    let (server, port) = ZooKeeper::start_secure(&certificates);
    let tls = client(&certificates);
    // The certificate must have the name by which the server was given, or the one that is told.
    let by_address = format!("127.0.0.1:{port}");
    let named = start(&root, &by_address, &tls);
    trouble(&named, "TLS: invalid peer certificate");
    named.stop().await;
    let told = TlsClientOptions {
        tls_server_name: "localhost".to_owned(),
        ..tls.clone()
    };
    let session = start(&root, &by_address, &told);
    soon("a connection", session.connected()).await.unwrap();
    session.stop().await;

    // Of another authority: who looks the same to the one or the other.
    let others = Certificates::of_server(&["localhost"]);
    let servers = format!("localhost:{port}");
    trouble(&start(&root, &servers, &client(&others)), "certificate");
    let nobody = TlsClientOptions {
        tls_cert: String::new(),
        tls_key: String::new(),
        ..tls.clone()
    };
    trouble(&start(&root, &servers, &nobody), "");

    // Who speaks plainly is not heard, and who speaks TLS to a plain port neither.
    trouble(&Session::start(&root, options(&servers)).unwrap(), "");
    let plain = format!("localhost:{}", server.port);
    trouble(&start(&root, &plain, &tls), "");
}
