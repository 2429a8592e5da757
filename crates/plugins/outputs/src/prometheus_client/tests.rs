use std::time::Duration;

use muster_formats::ExpositionOptions;
use muster_metric::line_protocol::Parser;
use muster_metric::{Batch, Metrics, Timestamp};
use muster_plugin::compliance::Stage;
use muster_plugin::{BuildContext, Kind, Output};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::shown::Shown;
use super::*;

fn read(lines: &str) -> Metrics {
    let mut batch = Batch::new();
    Parser::default()
        .parse(lines.as_bytes(), &mut batch)
        .unwrap();
    batch.into()
}

fn build(options: &str) -> Built<PrometheusClient> {
    let options = format!("listen = '127.0.0.1:0'\n{options}");
    let cx = BuildContext::new(&ROW, &toml::from_str(&options).unwrap())?;
    PrometheusClient::build(&cx)
}

/// Asks as told; the answer's head and body.
pub(crate) async fn ask(address: &str, request: &str) -> (String, String) {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let request = format!("{request}\r\nhost: test\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.unwrap();
    let answer = String::from_utf8_lossy(&answer).into_owned();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head.to_owned(), body.to_owned())
}

/// Writes the lines; the page without comments.
async fn page(options: &str, lines: &str) -> Vec<String> {
    let stage = Stage::new(Kind::Output);
    let cx = stage.start_context();
    let mut output = build(options).unwrap();
    output.start(&cx).await.unwrap();
    stage.write(&mut output, &read(lines)).await.unwrap();
    let (head, body) = ask(&output.local_address, "GET /metrics HTTP/1.1").await;
    assert!(head.starts_with("HTTP/1.1 200"), "{head}");
    drop(output);
    assert!(stage.end().await.is_clean());
    body.lines()
        .filter(|line| !line.starts_with("# HELP"))
        .map(str::to_owned)
        .collect()
}

const LINES: &str = "cpu,host=a usage=1.5,state=\"ok\" 5000000000\ntemp value=3i\nold,host=b value=1\nold,host=b value=2";

#[muster_tasks::test]
async fn shows_the_latest() {
    assert_eq!(
        page("metric_version = 2", LINES).await,
        [
            "# TYPE cpu_usage untyped",
            "cpu_usage{host=\"a\",state=\"ok\"} 1.5",
            "# TYPE old_value untyped",
            "old_value{host=\"b\"} 2",
            "# TYPE temp_value untyped",
            "temp_value 3",
        ]
    );
    let options = "string_as_label = false\nexport_timestamp = true\nmetric_version = 1";
    assert_eq!(
        page(
            options,
            "cpu,host=a usage=1.5,state=\"ok\" 5000000000\ntemp value=3i 6000000000"
        )
        .await,
        [
            "# TYPE cpu_usage untyped",
            "cpu_usage{host=\"a\"} 1.5 5000",
            "# TYPE temp untyped",
            "temp 3 6000",
        ]
    );
}

#[muster_tasks::test]
async fn answers_only_what_it_should() {
    let stage = Stage::new(Kind::Output);
    let cx = stage.start_context();
    let options = "path = '/m'\nbasic_username = 'ann'\nbasic_password = 'pw'\nhttp_headers = { x-from = 'muster' }";
    let mut output = build(options).unwrap();
    output.start(&cx).await.unwrap();
    let address = output.local_address.clone();
    // base64 of ann:pw
    let auth = "authorization: Basic YW5uOnB3";
    for (request, want) in [
        ("GET /m HTTP/1.1".to_owned(), "401"),
        (
            "GET /m HTTP/1.1\r\nauthorization: Basic YW5uOnB4".to_owned(),
            "401",
        ),
        (format!("GET /m HTTP/1.1\r\n{auth}"), "200"),
        (format!("GET /metrics HTTP/1.1\r\n{auth}"), "404"),
        (format!("POST /m HTTP/1.1\r\n{auth}"), "405"),
    ] {
        let (head, _) = ask(&address, &request).await;
        assert!(
            head.starts_with(&format!("HTTP/1.1 {want}")),
            "{request}: {head}"
        );
        assert!(head.contains("x-from: muster"), "{head}");
    }
    let packed = format!("GET /m HTTP/1.1\r\naccept-encoding: br, gzip\r\n{auth}");
    let (head, _) = ask(&address, &packed).await;
    assert!(head.contains("content-encoding: gzip"), "{head}");
    drop(output);
    assert!(stage.end().await.is_clean());
}

#[muster_tasks::test]
async fn the_next_generation_shows_what_was_there() {
    let stage = Stage::new(Kind::Output);
    let cx = stage.start_context();
    let mut first = build("").unwrap();
    first.start(&cx).await.unwrap();
    stage.write(&mut first, &read("m value=1")).await.unwrap();
    // The options of a running output change: same component, same port.
    let mut second = build("expiration_interval = '1h'").unwrap();
    second.start(&cx).await.unwrap();
    drop(first);
    let (_, body) = ask(&second.local_address, "GET /metrics HTTP/1.1").await;
    assert!(body.contains("m 1\n"), "{body}");
    drop(second);
    assert!(stage.end().await.is_clean());
}

#[test]
fn forgets_and_is_bounded() {
    let shown = Shown::new(ExpositionOptions::default());
    shown.set_bounds(2, Duration::from_secs(60));
    let lines = "m,a=1 v=1\nm,a=2 v=1\nm,a=3 v=1\nm,a=1 v=2\ntext s=\"x\"";
    assert_eq!(
        shown.add(&read(lines), Timestamp::from_seconds(100)),
        [2, 4]
    );
    let page = |seconds| {
        let mut out = Vec::new();
        shown.write(Timestamp::from_seconds(seconds), &mut out);
        String::from_utf8(out)
            .unwrap()
            .lines()
            .filter(|line| !line.starts_with('#'))
            .count()
    };
    assert_eq!(page(160), 2);
    assert_eq!(page(161), 0);
    assert!(
        shown
            .add(&read("m,a=3 v=1"), Timestamp::from_seconds(161))
            .is_empty()
    );
    assert_eq!(page(161), 1);
}

#[test]
fn says_what_is_wrong() {
    let check = |options: &str, paths: &[&str]| {
        let errors = build(options).err().unwrap_or_default();
        let got: Vec<&str> = errors.iter().map(|error| error.path.as_str()).collect();
        assert_eq!(got, paths, "{errors:?}");
    };
    check(
        "metric_version = 3\npath = 'm'",
        &["metric_version", "path"],
    );
    check("http_headers = { 'a b' = 'c' }", &["http_headers.a b"]);
    check("ip_range = ['10.0.0.0/8']", &["ip_range"]);
    check("tls_key = 'x'", &["tls_key"]);
    check("collectors_exclude = ['gocollector']", &[]);
}
