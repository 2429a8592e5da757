use muster_metric::{Batch, Metrics, Timestamp};
use muster_net::testing::{FakeHttp, Seen, Silent, answer};
use muster_plugin::compliance::{Plugin, Stage};
use muster_plugin::{Kind, Output, WriteError};
use muster_tasks::Group;

use super::ROW;

fn metrics() -> Metrics {
    let mut batch = Batch::new();
    batch
        .metric("m")
        .field("v", 1)
        .at(Timestamp::from_seconds(1));
    batch
        .metric("bad")
        .field("v", 2)
        .at(Timestamp::from_seconds(2));
    batch.into()
}

async fn output(stage: &Stage, url: &str, more: &str) -> Box<dyn Output> {
    let options = toml::from_str(&format!("url = '{url}'\n{more}")).unwrap();
    let Plugin::Output(mut output) = Stage::build(&ROW, &options).unwrap() else {
        panic!()
    };
    output.start(&stage.start_context()).await.unwrap();
    output
}

/// Writes to a server that does not like the word `bad`.
async fn write(group: &Group, more: &str) -> (Result<(), WriteError>, Vec<Seen>) {
    let (stage, group) = (Stage::new(Kind::Output), group.group("peers"));
    let server = FakeHttp::start(&group, |seen| match seen.body.contains("bad") {
        true => answer(409, "I do not like that"),
        false => answer(200, ""),
    })
    .await;
    let mut output = output(&stage, &format!("{}/in", server.url()), more).await;
    let result = stage.write(&mut *output, &metrics()).await;
    drop(output);
    assert!(stage.end().await.is_clean());
    assert!(group.stop().await.is_clean());
    (result, server.seen())
}

#[muster_tasks::test]
async fn sends_as_told(group: Group) {
    let more = "method = 'put'\ncontent_encoding = 'gzip'\nheaders = { Content-Type = 'x/y' }";
    let (result, seen) = write(&group, more).await;
    let error = result.unwrap_err();
    assert!(matches!(error, WriteError::Retry(_)));
    assert!(
        error
            .to_string()
            .contains("409 Conflict: I do not like that"),
        "{error}"
    );
    assert_eq!(
        (seen[0].method.as_str(), seen[0].path.as_str()),
        ("PUT", "/in")
    );
    assert_eq!(seen[0].body, "m v=1i 1000000000\nbad v=2i 2000000000\n");
    assert_eq!(seen[0].header("content-encoding"), "gzip");
    assert_eq!(seen[0].header("content-type"), "x/y");
}

#[muster_tasks::test]
async fn gives_up_what_is_refused_for_good(group: Group) {
    let (result, _) = write(&group, "non_retryable_statuscodes = [409]").await;
    assert!(matches!(result, Err(WriteError::Rejected(_))));
    let more = "non_retryable_statuscodes = [409]\nuse_batch_format = false";
    let (result, seen) = write(&group, more).await;
    assert!(matches!(result, Err(WriteError::Partial { rejected, .. }) if rejected == [1]));
    assert_eq!(seen.len(), 2);
}

#[muster_tasks::test]
async fn a_timeout_closes_the_connection(group: Group) {
    let mut silent = Silent::start(&group).await;
    let stage = Stage::new(Kind::Output);
    let url = format!("http://{}/in", silent.address());
    let mut output = output(&stage, &url, "timeout = '50ms'").await;
    stage.write(&mut *output, &metrics()).await.unwrap_err();
    assert!(silent.all_closed().await);
    drop(output);
    assert!(stage.end().await.is_clean());
    assert!(group.stop().await.is_clean());
}
