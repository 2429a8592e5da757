use std::time::Duration;

use muster_metric::{Batch, Metrics, Timestamp};
use muster_net::testing::{FakeHttp, Seen, Silent, answer};
use muster_plugin::compliance::{Plugin, Stage};
use muster_plugin::{Kind, Output, WriteError};
use muster_tasks::Group;

use super::ROW;

fn metrics(count: i64) -> Metrics {
    let mut batch = Batch::new();
    for n in 0..count {
        batch
            .metric("m")
            .tag("db", "other")
            .field("v", n)
            .at(Timestamp::from_seconds(n));
    }
    batch.into()
}

async fn output(stage: &Stage, url: &str, more: &str) -> Box<dyn Output> {
    let options = toml::from_str(&format!("urls = ['{url}']\n{more}")).unwrap();
    let Plugin::Output(mut output) = Stage::build(&ROW, &options).unwrap() else {
        panic!()
    };
    output.start(&stage.start_context()).await.unwrap();
    output
}

/// Writes three metrics to a server that answers with these, the last one again and again.
async fn write(
    group: Group,
    more: &str,
    answers: &[(u16, &str)],
) -> (Result<(), WriteError>, Vec<Seen>) {
    let (stage, group) = (Stage::new(Kind::Output), group.group("peers"));
    let answers: Vec<(u16, String)> = answers.iter().map(|(s, b)| (*s, (*b).to_owned())).collect();
    let next = std::sync::atomic::AtomicUsize::new(0);
    let server = FakeHttp::start(&group, move |_| {
        let at = next.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let (status, body) = &answers[at.min(answers.len() - 1)];
        answer(*status, body)
    })
    .await;
    let mut output = output(&stage, server.url(), more).await;
    let result = stage.write(&mut *output, &metrics(3)).await;
    stage.close(&mut *output).await.unwrap();
    drop(output);
    assert!(stage.end().await.is_clean());
    assert!(group.stop().await.is_clean());
    (result, server.seen())
}

#[muster_tasks::test]
async fn writes_lines_as_the_server_wants_them(group: Group) {
    let more = "database = 'd'\nretention_policy = 'r'\nwrite_consistency = 'any'\n\
                username = 'ann'\npassword = 'pw'\nhttp_headers = { X-Why = 'because' }";
    let (result, seen) = write(group, more, &[(204, "")]).await;
    result.unwrap();
    let [seen] = &seen[..] else {
        panic!("{seen:?}")
    };
    assert_eq!(
        (seen.method.as_str(), seen.path.as_str()),
        ("POST", "/write")
    );
    assert_eq!(seen.query, "db=d&rp=r&consistency=any");
    assert_eq!(seen.header("content-encoding"), "gzip");
    assert_eq!(seen.header("authorization"), "Basic YW5uOnB3");
    assert_eq!(seen.header("x-why"), "because");
    assert_eq!(
        seen.body,
        "m,db=other v=0i 0\nm,db=other v=1i 1000000000\nm,db=other v=2i 2000000000\n"
    );
}

#[muster_tasks::test]
async fn creates_a_database_that_is_missing(group: Group) {
    let missing = (404, r#"{"error":"database not found: \"other\""}"#);
    let more = "database_tag = 'db'\nexclude_database_tag = true\ncontent_encoding = 'identity'";
    let answers = [missing, (200, r#"{"results":[{}]}"#), (204, "")];
    let (result, seen) = write(group, more, &answers).await;
    result.unwrap();
    let asked: Vec<&str> = seen.iter().map(|s| s.path.as_str()).collect();
    assert_eq!(asked, ["/write", "/query", "/write"]);
    assert_eq!(seen[1].body, "q=CREATE+DATABASE+%22other%22");
    assert_eq!(
        seen[2].body,
        "m v=0i 0\nm v=1i 1000000000\nm v=2i 2000000000\n"
    );
    assert_eq!(seen[2].query, "db=other");
}

#[muster_tasks::test]
async fn tells_how_a_write_failed(group: Group) {
    let check = async |more: &str, answers: &[(u16, &str)], want: &str| {
        let (result, _) = write(group.clone(), more, answers).await;
        let got = match result {
            Ok(()) => "ok".to_owned(),
            Err(WriteError::Retry(error)) => format!("retry: {error}"),
            Err(WriteError::Rejected(error)) => format!("rejected: {error}"),
            Err(WriteError::Partial { rejected, error }) => {
                format!("partial {rejected:?}: {error}")
            }
        };
        assert!(got.starts_with(want), "{got}");
        assert!(!got.contains("secret"), "{got}");
    };
    check(
        "password = 'secret'",
        &[(500, "busy")],
        "retry: write to database \"telegraf\" at http",
    )
    .await;
    check("", &[(413, "")], "rejected").await;
    check(
        "",
        &[(400, r#"{"error":"unable to parse 'x'"}"#)],
        "rejected",
    )
    .await;
    let beyond = r#"{"error":"partial write: points beyond retention policy dropped=1"}"#;
    check("", &[(400, beyond)], "partial [0]").await;
    let missing = (404, r#"{"error":"database not found: \"telegraf\""}"#);
    check("skip_database_creation = true", &[missing], "retry").await;
    let denied = (403, r#"{"error":"user is not authorized"}"#);
    check(
        "",
        &[missing, denied],
        "retry: create database \"telegraf\"",
    )
    .await;
}

#[muster_tasks::test]
async fn a_timeout_closes_the_connection(group: Group) {
    let mut silent = Silent::start(&group).await;
    let stage = Stage::new(Kind::Output);
    let url = format!("http://{}", silent.address());
    let mut output = output(&stage, &url, "timeout = '50ms'").await;
    let error = stage.write(&mut *output, &metrics(1)).await.unwrap_err();
    assert!(error.to_string().contains("too long"), "{error}");
    assert!(silent.all_closed().await);
    drop(output);
    assert!(stage.end().await.is_clean());
    assert!(group.stop().await.is_clean());
}

#[muster_tasks::test]
async fn a_dropped_write_closes_the_connection(group: Group) {
    let mut silent = Silent::start(&group).await;
    let mut stage = Stage::new(Kind::Output);
    stage.timeout = Duration::from_millis(50);
    let url = format!("http://{}", silent.address());
    let mut output = output(&stage, &url, "").await;
    let error = stage.write(&mut *output, &metrics(1)).await.unwrap_err();
    assert!(error.to_string().contains("in time"), "{error}");
    assert!(silent.all_closed().await);
    drop(output);
    assert!(stage.end().await.is_clean());
    assert!(group.stop().await.is_clean());
}

#[muster_tasks::test]
async fn the_next_server_is_tried(group: Group) {
    let server = FakeHttp::start(&group, |_| answer(204, "")).await;
    let stage = Stage::new(Kind::Output);
    // Nobody listens on port 1.
    let urls = format!("http://127.0.0.1:1', '{}", server.url());
    let mut output = output(&stage, &urls, "").await;
    for _ in 0..4 {
        stage.write(&mut *output, &metrics(1)).await.unwrap();
    }
    assert_eq!(server.seen().len(), 4);
    drop(output);
    assert!(stage.end().await.is_clean());
    assert!(group.stop().await.is_clean());
}

#[muster_tasks::test]
async fn sends_packets_over_udp(group: Group) {
    let receiver = tokio::net::UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let stage = Stage::new(Kind::Output);
    let url = format!("udp://{}", receiver.local_addr().unwrap());
    let mut output = output(&stage, &url, "udp_payload = 40").await;
    stage.write(&mut *output, &metrics(3)).await.unwrap();
    let mut buffer = [0; 100];
    let mut packets = Vec::new();
    for _ in 0..3 {
        let length = receiver.recv(&mut buffer).await.unwrap();
        packets.push(String::from_utf8_lossy(&buffer[..length]).into_owned());
    }
    let want = [
        "m,db=other v=0i 0\n",
        "m,db=other v=1i 1000000000\n",
        "m,db=other v=2i 2000000000\n",
    ];
    assert_eq!(packets, want);
    drop(output);
    assert!(stage.end().await.is_clean());
    assert!(group.stop().await.is_clean());
}

#[test]
fn refuses_bad_options() {
    let check = |options: &str, want: &str| {
        let errors = Stage::build(&ROW, &toml::from_str(options).unwrap())
            .err()
            .unwrap();
        let all: Vec<String> = errors.iter().map(ToString::to_string).collect();
        assert!(all.iter().any(|e| e.contains(want)), "{options}: {all:?}");
    };
    check("urls = []", "at least one");
    check("urls = ['localhost:8086']", "no URL of an InfluxDB server");
    check("url = 'http://x'", "unknown option `url`");
    check("write_consistency = 'two'", "unknown consistency");
    check("content_encoding = 'br'", "unknown encoding");
    check("tls_key_pwd = 'x'", "not supported yet");
    check("tls_cert = 'x'", "needs its key");
    check("tls_min_version = 'TLS10'", "too old");
    check("local_address = 'x'", "not supported yet");
    check("http_headers = { 'a b' = 'c' }", "no header");
}
