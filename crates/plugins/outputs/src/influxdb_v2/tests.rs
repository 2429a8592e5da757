use muster_metric::{Batch, Metrics, Timestamp};
use muster_net::testing::{FakeHttp, Seen, answer};
use muster_plugin::compliance::{Plugin, Stage};
use muster_plugin::{Kind, Output, WriteError};
use muster_tasks::Group;

use super::ROW;

fn metrics() -> Metrics {
    let mut batch = Batch::new();
    batch
        .metric("m")
        .tag("b", "other")
        .field("v", 1u64)
        .at(Timestamp::from_seconds(1));
    batch
        .metric("n")
        .field("v", true)
        .at(Timestamp::from_seconds(2));
    batch.into()
}

async fn output(stage: &Stage, url: &str, more: &str) -> Box<dyn Output> {
    let options =
        format!("urls = ['{url}']\ntoken = 'tok'\norganization = 'o'\nbucket = 'x'\n{more}");
    let options = toml::from_str(&options).unwrap();
    let Plugin::Output(mut output) = Stage::build(&ROW, &options).unwrap() else {
        panic!()
    };
    output.start(&stage.start_context()).await.unwrap();
    output
}

async fn write(group: &Group, more: &str, status: u16) -> (Result<(), WriteError>, Vec<Seen>) {
    let (stage, group) = (Stage::new(Kind::Output), group.group("peers"));
    let server = FakeHttp::start(&group, move |_| answer(status, "{\"message\":\"why\"}")).await;
    let mut output = output(&stage, server.url(), more).await;
    let result = stage.write(&mut *output, &metrics()).await;
    drop(output);
    assert!(stage.end().await.is_clean());
    assert!(group.stop().await.is_clean());
    (result, server.seen())
}

#[muster_tasks::test]
async fn writes_to_buckets(group: Group) {
    let more = "bucket_tag = 'b'\nexclude_bucket_tag = true\ninflux_uint_support = true";
    let (result, seen) = write(&group, more, 204).await;
    result.unwrap();
    let got: Vec<(&str, &str)> = seen
        .iter()
        .map(|s| (s.query.as_str(), s.body.as_str()))
        .collect();
    assert_eq!(
        got,
        [
            ("org=o&bucket=other&precision=ns", "m v=1u 1000000000\n"),
            ("org=o&bucket=x&precision=ns", "n v=true 2000000000\n"),
        ]
    );
    assert_eq!(seen[0].path, "/api/v2/write");
    assert_eq!(seen[0].header("authorization"), "Token tok");
    assert_eq!(seen[0].header("content-encoding"), "gzip");
}

#[muster_tasks::test]
async fn tells_how_a_write_failed(group: Group) {
    let check = async |status: u16, retry: bool| match write(&group, "", status).await.0 {
        Err(WriteError::Retry(error)) => assert!(retry, "{status}: {error}"),
        Err(WriteError::Rejected(error)) => assert!(!retry, "{status}: {error}"),
        other => panic!("{status}: {other:?}"),
    };
    for status in [401, 403, 404, 408, 429, 500, 502, 503] {
        check(status, true).await;
    }
    for status in [400, 413, 422] {
        check(status, false).await;
    }
}

#[muster_tasks::test]
async fn leaves_a_busy_server_alone(group: Group) {
    let stage = Stage::new(Kind::Output);
    let server = FakeHttp::start(&group, |_| {
        let mut answer = answer(429, "");
        answer
            .headers_mut()
            .insert("retry-after", http::HeaderValue::from_static("30"));
        answer
    })
    .await;
    let mut output = output(&stage, server.url(), "").await;
    for _ in 0..3 {
        let error = stage.write(&mut *output, &metrics()).await.unwrap_err();
        assert!(matches!(error, WriteError::Retry(_)), "{error}");
    }
    assert_eq!(server.seen().len(), 1);
    drop(output);
    assert!(stage.end().await.is_clean());
    assert!(group.stop().await.is_clean());
}
