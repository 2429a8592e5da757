use muster_plugin::compliance::Stage;
use muster_plugin::{Kind, ServiceInput};
use muster_tasks::Group;

use super::{InfluxdbV2Listener, ROW};
use crate::testing::{build, lines, problems, request};

#[muster_tasks::test]
async fn answers_as_influxdb(_group: Group) {
    let stage = Stage::new(Kind::Input);
    let options = "service_address = 'tcp://127.0.0.1:0'\nmax_body_size = '1KiB'\n\
                   bucket_tag = 'bucket'\ntoken = 'tok'";
    let mut input = build(&ROW, options, InfluxdbV2Listener::build).unwrap();
    input.start(&stage.start_context()).await.unwrap();
    let base = format!("http://{}", input.local_address());
    let running = stage.run(Box::new(input)).unwrap();
    let auth = |r: reqwest::RequestBuilder| r.header("Authorization", "Token tok");
    let write = |query: &str| format!("{base}/api/v2/write?{query}");

    let ready = request("GET", &format!("{base}/ready"), |r| r).await;
    assert_eq!(
        (ready.status, ready.body.contains("\"ready\"")),
        (200, true)
    );
    let url = write("bucket=b&org=o&precision=ms");
    assert_eq!(
        request("POST", &url, |r| auth(r).body("a v=1 1"))
            .await
            .status,
        204
    );
    assert_eq!(lines(&running, 1).await, ["a,bucket=b v=1 1000000"]);
    let sent = request("POST", &write("precision=h"), |r| auth(r).body("a v=1")).await;
    assert_eq!(
        (sent.status, sent.body.contains("unknown precision")),
        (400, true)
    );
    let sent = request("POST", &write(""), |r| auth(r).body("a v=1 1\nbad")).await;
    assert_eq!(
        (sent.status, sent.body.contains("\"code\":\"invalid\"")),
        (400, true)
    );
    lines(&running, 1).await;
    for token in ["Token no", "Token tokk", "tok", "Basic tok"] {
        let sent = request("POST", &write(""), |r| r.header("Authorization", token)).await;
        assert_eq!(
            (sent.status, sent.body.contains("unauthorized")),
            (401, true),
            "{token}"
        );
    }
    assert_eq!(request("GET", &write(""), auth).await.status, 405);
    let sent = request("POST", &write(""), |r| auth(r).body("x".repeat(2000))).await;
    assert_eq!(sent.status, 413);

    let (input, result) = running.stop().await.expect("the run ends in time");
    result.unwrap();
    drop(input);
    assert!(stage.end().await.is_clean());
}

#[test]
fn refuses_what_is_not_there_yet() {
    let got = problems(
        &ROW,
        "max_undelivered_metrics = 1",
        InfluxdbV2Listener::build,
    );
    assert!(got.contains("not supported yet"), "{got}");
}
