use muster_plugin::compliance::Stage;
use muster_plugin::{Kind, ServiceInput};
use muster_tasks::Group;

use super::{InfluxdbListener, ROW};
use crate::testing::{build, lines, request};

#[muster_tasks::test]
async fn answers_as_influxdb(_group: Group) {
    let stage = Stage::new(Kind::Input);
    let options = "service_address = '127.0.0.1:0'\nmax_body_size = '1KiB'\n\
                   database_tag = 'db'\nretention_policy_tag = 'rp'\nbasic_username = 'ann'";
    let mut input = build(&ROW, options, InfluxdbListener::build).unwrap();
    input.start(&stage.start_context()).await.unwrap();
    let base = format!("http://{}", input.local_address());
    let running = stage.run(Box::new(input)).unwrap();
    let auth = |r: reqwest::RequestBuilder| r.basic_auth("ann", Some(""));
    let write = |query: &str| format!("{base}/write?{query}");

    let pong = request("GET", &format!("{base}/ping"), |r| r).await;
    assert_eq!(
        (pong.status, pong.headers.contains_key("x-influxdb-version")),
        (204, true)
    );
    let pong = request("GET", &format!("{base}/ping?verbose=true"), |r| r).await;
    assert_eq!((pong.status, pong.body.contains("version")), (200, true));
    let created = request("POST", &format!("{base}/query"), |r| {
        auth(r).body("q=CREATE")
    })
    .await;
    assert_eq!(
        (created.status, created.body.as_str()),
        (200, "{\"results\":[]}")
    );

    let sent = request("POST", &write("db=d&rp=r&precision=s"), |r| {
        auth(r).body("a v=1 1")
    })
    .await;
    assert_eq!(sent.status, 204);
    assert_eq!(lines(&running, 1).await, ["a,db=d,rp=r v=1 1000000000"]);
    for (precision, nanos) in [("h", 3_600_000_000_000_i64), ("u", 1000), ("n", 1), ("", 1)] {
        let url = write(&format!("precision={precision}"));
        assert_eq!(
            request("POST", &url, |r| auth(r).body("a v=1 1"))
                .await
                .status,
            204
        );
        assert_eq!(lines(&running, 1).await, [format!("a v=1 {nanos}")]);
    }
    let sent = request("POST", &write("db=d"), |r| auth(r).body("a v=1 1\nbad\n")).await;
    assert_eq!(sent.status, 400);
    assert!(
        sent.body
            .starts_with("{\"error\":\"partial write: unable to parse 'bad'"),
        "{sent:?}"
    );
    assert!(sent.headers.contains_key("x-influxdb-error"));
    lines(&running, 1).await;

    assert_eq!(
        request("POST", &write(""), |r| r.body("a v=1"))
            .await
            .status,
        401
    );
    assert_eq!(request("GET", &write(""), auth).await.status, 405);
    assert_eq!(
        request("GET", &format!("{base}/other"), auth).await.status,
        404
    );
    let sent = request("POST", &write(""), |r| auth(r).body("x".repeat(2000))).await;
    assert_eq!(
        (sent.status, sent.body.contains("longer than 1024 bytes")),
        (413, true)
    );

    let (input, result) = running.stop().await.expect("the run ends in time");
    result.unwrap();
    drop(input);
    assert!(stage.end().await.is_clean());
}
