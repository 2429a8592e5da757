use muster_net::Encoding;
use muster_plugin::compliance::{Running, Stage};
use muster_plugin::{Kind, ServiceInput};
use muster_tasks::Group;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::{HttpListener, ROW};
use crate::testing::{World, build, failure, lines, problems, request};

fn listener(options: &str) -> HttpListener {
    let options = format!("service_address = 'tcp://127.0.0.1:0'\n{options}");
    build(&ROW, &options, HttpListener::build).unwrap()
}

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

#[muster_tasks::test]
async fn takes_bodies(_group: Group) {
    let stage = Stage::new(Kind::Input);
    let options = "path_tag = true\nhttp_header_tags = { X-Host = 'host' }\n\
                   http_headers = { X-By = 'muster' }\nmax_body_size = '1KiB'";
    let (running, address) = run(&stage, options).await;
    let url = format!("http://{address}/telegraf");
    let sent = request("POST", &url, |r| r.header("X-Host", "h").body("a v=1 1\n")).await;
    assert_eq!(
        (sent.status, sent.headers["x-by"].to_str().unwrap()),
        (204, "muster")
    );
    assert_eq!(
        lines(&running, 1).await,
        ["a,host=h,http_listener_v2_path=/telegraf v=1 1"]
    );
    let packed = Encoding::Gzip.encode(b"b v=1 1".to_vec()).unwrap();
    let gzip = |r: reqwest::RequestBuilder| r.header("Content-Encoding", "gzip").body(packed);
    assert_eq!(request("PUT", &url, gzip).await.status, 204);
    assert_eq!(
        lines(&running, 1).await,
        ["b,http_listener_v2_path=/telegraf v=1 1"]
    );
    // Good lines are kept, and the sender learns of the bad one.
    let sent = request("POST", &url, |r| r.body("c v=1 1\nbad\nd v=2 2")).await;
    assert_eq!(sent.status, 400);
    assert!(sent.body.contains("line 2"), "{sent:?}");
    assert_eq!(lines(&running, 2).await.len(), 2);
    end(stage, running).await;
}

#[muster_tasks::test]
async fn refuses_what_it_must(_group: Group) {
    let stage = Stage::new(Kind::Input);
    let options = "basic_username = 'ann'\nbasic_password = 'pw'\nmax_body_size = '1KiB'";
    let (running, address) = run(&stage, options).await;
    let url = format!("http://{address}/telegraf");
    let auth = |r: reqwest::RequestBuilder| r.basic_auth("ann", Some("pw"));
    assert_eq!(request("POST", &url, |r| r.body("a v=1")).await.status, 401);
    let wrong = |r: reqwest::RequestBuilder| r.basic_auth("ann", Some("no"));
    assert_eq!(request("POST", &url, wrong).await.status, 401);
    assert_eq!(request("GET", &url, auth).await.status, 405);
    assert_eq!(
        request("POST", &format!("http://{address}/other"), auth)
            .await
            .status,
        404
    );
    let big = |r| auth(r).body("x".repeat(1025));
    assert_eq!(request("POST", &url, big).await.status, 413);
    let bomb = Encoding::Gzip.encode(vec![b'x'; 100_000]).unwrap();
    assert!(bomb.len() < 1024);
    let bomb = |r| auth(r).header("Content-Encoding", "gzip").body(bomb);
    assert_eq!(request("POST", &url, bomb).await.status, 413);
    let broken = |r| auth(r).header("Content-Encoding", "gzip").body("not gzip");
    assert_eq!(request("POST", &url, broken).await.status, 400);
    let unknown = |r| auth(r).header("Content-Encoding", "br").body("x");
    assert_eq!(request("POST", &url, unknown).await.status, 415);
    assert_eq!(
        request("POST", &url, |r| auth(r).body("a v=1 1"))
            .await
            .status,
        204
    );
    lines(&running, 1).await;
    failure(&running, "longer than 1024 bytes").await;
    end(stage, running).await;
}

#[muster_tasks::test]
async fn takes_queries(_group: Group) {
    let stage = Stage::new(Kind::Input);
    let options = "data_source = 'query'\nmethods = ['get']\nhttp_success_code = 202";
    let (running, address) = run(&stage, options).await;
    let url = format!("http://{address}/telegraf?a%20v=1%201");
    assert_eq!(request("GET", &url, |r| r).await.status, 202);
    assert_eq!(lines(&running, 1).await, ["a v=1 1"]);
    end(stage, running).await;
}

#[muster_tasks::test]
async fn stopping_answers_what_is_at_hand_and_closes_idle_connections(_group: Group) {
    let stage = Stage::new(Kind::Input);
    let (running, address) = run(&stage, "").await;
    let mut idle = TcpStream::connect(&address).await.unwrap();
    let body = "a v=1 1";
    let head = format!(
        "POST /telegraf HTTP/1.1\r\nhost: x\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    idle.write_all(format!("{head}{body}").as_bytes())
        .await
        .unwrap();
    lines(&running, 1).await;
    let mut answer = [0; 12];
    idle.read_exact(&mut answer).await.unwrap();
    assert_eq!(&answer, b"HTTP/1.1 204");
    end(stage, running).await;
    let mut rest = Vec::new();
    idle.read_to_end(&mut rest).await.unwrap();
}

#[muster_tasks::test]
async fn a_generation_follows_without_a_refused_request(_group: Group) {
    let world = World::new();
    let mut old = listener("");
    old.start(&world.start_context("x")).await.unwrap();
    let url = format!("http://{}/telegraf", old.local_address());
    let mut run = world.run("x", old);
    for _ in 0..5 {
        let mut next = listener("path_tag = true");
        next.start(&world.start_context("x")).await.unwrap();
        assert_eq!(
            request("POST", &url, |r| r.body("a v=1 1")).await.status,
            204
        );
        run.cancel();
        let _ = run.join().await;
        run = world.run("x", next);
        assert_eq!(
            request("POST", &url, |r| r.body("a v=1 1")).await.status,
            204
        );
        world.lines(2).await;
    }
    run.cancel();
    let _ = run.join().await;
    world.end().await;
}

#[test]
fn refuses_bad_options() {
    let check = |options: &str, want: &str| {
        let got = problems(&ROW, options, HttpListener::build);
        assert!(got.contains(want), "{options}: {got}");
    };
    check("service_address = 'udp://:1'", "HTTP needs a stream");
    check("data_source = 'head'", "unknown source");
    check("http_success_code = 1", "no status");
    check("tls_cert = 'x'", "needs its key");
}
