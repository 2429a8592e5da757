//! Users, passwords, tokens, TLS.

use muster_etcd::{Client, ErrorKind, Event, Get, Login, Options, Range, Retry};
use muster_net::TlsClientOptions;
use muster_tasks::Group;
use muster_testkit::Etcd;

use super::{client, insist, next, soon};

fn with_login(server: &Etcd, user: &str, password: &str) -> Client {
    let mut options = Options::new(server.address().parse().unwrap());
    options.timeout = std::time::Duration::from_secs(20);
    options.login = Some(Login {
        user: user.to_owned(),
        password: muster_options::Secret::new(password),
    });
    Client::new(options).unwrap()
}

#[muster_tasks::test]
async fn a_login_is_checked_and_renewed(_root: Group) {
    let mut server = Etcd::start();
    // Who need not say who he is may.
    let right = with_login(&server, "root", "pw");
    insist(async || right.put("/a", "x", None).await).await;
    server.want_login("pw");
    insist(async || right.put("/a", "y", None).await).await;
    let mut watch = right.watch(Range::key("/a"));
    assert!(matches!(next(&mut watch).await, Event::Resync { .. }));

    for wrong in [
        with_login(&server, "root", "no"),
        with_login(&server, "nobody", "pw"),
        client(&server.address()),
    ] {
        let refused = wrong.get(Get::key("/a")).await.unwrap_err();
        assert!(matches!(refused.kind, ErrorKind::Login(_)), "{refused}");
        assert_eq!(refused.retry(), Retry::Never);
        assert!(!refused.to_string().contains("pw"), "{refused}");
        let refused = soon("a refusal", wrong.watch(Range::key("/a")).next()).await;
        let refused = refused.unwrap_err();
        assert!(matches!(refused.kind, ErrorKind::Login(_)), "{refused}");
    }
    // A server that was started anew knows none of the tokens.
    server.kill();
    server.start_again();
    server.wait_until_it_serves();
    let revision = soon("a new token", async {
        loop {
            match right.put("/a", "z", None).await {
                Ok(revision) => return revision,
                Err(error) => assert_ne!(error.retry(), Retry::Never, "{error}"),
            }
        }
    })
    .await;
    let Event::Put(kv) = next(&mut watch).await else {
        panic!("it was written");
    };
    assert_eq!((kv.value.as_slice(), kv.modified), (&b"z"[..], revision));
}

#[muster_tasks::test]
async fn a_server_shows_its_certificate(_root: Group) {
    let folder = tempfile::tempdir().unwrap();
    let (certificate, key) = (
        folder.path().join("cert.pem"),
        folder.path().join("key.pem"),
    );
    let made = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
    std::fs::write(&certificate, made.cert.pem()).unwrap();
    std::fs::write(&key, made.signing_key.serialize_pem()).unwrap();
    let server = Etcd::start_with_tls(&certificate, &key);
    let address = format!("127.0.0.1:{}", server.tls_port.unwrap());
    let mut options = Options::new(address.parse().unwrap());
    options.tls.tls_ca = certificate.display().to_string();
    let trusting = Client::new(options.clone()).unwrap();
    insist(async || trusting.put("/tls", "x", None).await).await;
    assert!(trusting.server().starts_with("https://"));
    // Without a certificate to trust.
    options.tls = TlsClientOptions {
        tls_enable: Some(true),
        ..TlsClientOptions::default()
    };
    let refused = Client::new(options).unwrap().put("/tls", "y", None).await;
    let refused = refused.unwrap_err();
    assert!(
        matches!(refused.kind, ErrorKind::Unreachable(_)),
        "{refused}"
    );
    let mut options = Options::new(address.parse().unwrap());
    options.tls.tls_ca = "/nonexistent/ca.pem".to_owned();
    let refused = Client::new(options).unwrap_err();
    assert!(refused.to_string().contains("/nonexistent"), "{refused}");
}
