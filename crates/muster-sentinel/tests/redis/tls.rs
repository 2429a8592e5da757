use muster_net::TlsClientOptions;
use muster_sentinel::{Reason, State, Status, Target, Verdict};
use muster_tasks::Group;
use muster_testkit::{Certificates, Redis, free_ports};

use crate::watched::{How, Watched};

/// How to check the TLS port with this authority.
fn how(port: u16, authority: &Certificates) -> How {
    How {
        tls: TlsClientOptions {
            tls_ca: authority.path("ca.pem").display().to_string(),
            ..TlsClientOptions::default()
        },
        ..How::at(Target::Tcp {
            host: "127.0.0.1".to_owned(),
            port,
        })
    }
}

/// A server with a TLS port beside its plain one, and that port.
fn server(certificates: &Certificates, clients: &str) -> (Redis, u16) {
    let [port] = free_ports();
    let port_word = port.to_string();
    let file = |name: &str| certificates.path(name).display().to_string();
    let (certificate, key, authority) = (file("server.pem"), file("server.key"), file("ca.pem"));
    let redis = Redis::with(&[
        "--tls-port",
        &port_word,
        "--tls-cert-file",
        &certificate,
        "--tls-key-file",
        &key,
        "--tls-ca-cert-file",
        &authority,
        "--tls-auth-clients",
        clients,
    ]);
    (redis, port)
}

#[muster_tasks::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_fault_gets_its_reason_and_is_got_over(root: Group) {
    let certificates = Certificates::of_server(&["127.0.0.1"]);
    let (mut redis, port) = server(&certificates, "no");
    let watched = Watched::start(&root, how(port, &certificates));
    assert_eq!(watched.until_up().await.facts.role, "master");
    redis.freeze();
    watched.until_state(State::Down, Reason::Hung).await;
    redis.thaw();
    watched.until_up().await;
    redis.kill();
    watched.until_state(State::Down, Reason::Refused).await;
    redis.restart(&[]);
    // It may be held to be flapping by now.
    let up = |status: &Status| (status.verdict, status.reason) == (Verdict::Up, Reason::Ok);
    watched.until("up again", up).await;
    watched.end().await;
}

#[muster_tasks::test(flavor = "multi_thread", worker_threads = 2)]
async fn certificates_that_do_not_do_are_no_reason_to_call_a_server_down(root: Group) {
    let certificates = Certificates::of_server(&["127.0.0.1"]);
    let (_redis, port) = server(&certificates, "yes");
    // It answers, but we do not trust it.
    let stranger = Certificates::of_server(&["127.0.0.1"]);
    let distrusting = Watched::start(&root, how(port, &stranger));
    distrusting.until_state(State::Degraded, Reason::Tls).await;
    distrusting.end().await;
    // We trust it, and it does not trust us.
    let nobody = Watched::start(&root, how(port, &certificates));
    nobody.until_state(State::Degraded, Reason::Tls).await;
    nobody.end().await;
    let mut known = how(port, &certificates);
    known.tls.tls_cert = certificates.path("client.pem").display().to_string();
    known.tls.tls_key = certificates.path("client.key").display().to_string();
    let known = Watched::start(&root, known);
    known.until_up().await;
    known.end().await;
}
