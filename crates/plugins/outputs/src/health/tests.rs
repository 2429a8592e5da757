use muster_metric::Batch;
use muster_metric::line_protocol::Parser;
use muster_plugin::Kind;
use muster_plugin::compliance::Stage;

use super::*;
use crate::prometheus_client::tests::ask;

fn build(options: &str) -> Built<Health> {
    let options = format!("service_address = 'http://127.0.0.1:0'\n{options}");
    let cx = BuildContext::new(&ROW, &toml::from_str(&options).unwrap())?;
    Health::build(&cx)
}

fn read(lines: &str) -> Metrics {
    let mut batch = Batch::new();
    Parser::default()
        .parse(lines.as_bytes(), &mut batch)
        .unwrap();
    batch.into()
}

#[test]
fn looks_at_the_metrics() {
    let check = |options: &str, lines: &str, want: Option<&str>| {
        let health = build(options).unwrap();
        assert_eq!(
            health.problem(&read(lines)).as_deref(),
            want,
            "{options} on {lines}"
        );
    };
    let lines = "m v=1,ok=true,s=\"x\"\nm v=5i";
    check("", lines, None);
    check("[[compares]]\nfield = 'v'\nlt = 5.0", lines, Some("v is 5"));
    check(
        "[[compares]]\nfield = 'v'\nle = 5\ngt = 0\nne = 3",
        lines,
        None,
    );
    check("[[compares]]\nfield = 'v'\nge = 2", lines, Some("v is 1"));
    check("[[compares]]\nfield = 'ok'\neq = 1", lines, None);
    check(
        "[[compares]]\nfield = 's'\neq = 1",
        lines,
        Some("s is a text"),
    );
    check("[[compares]]\nfield = 'none'\neq = 1", lines, None);
    check("[[contains]]\nfield = 'v'", lines, None);
    check(
        "[[contains]]\nfield = 'none'",
        lines,
        Some("no metric has the field none"),
    );
}

#[muster_tasks::test]
async fn answers() {
    let stage = Stage::new(Kind::Output);
    let cx = stage.start_context();
    let mut health =
        build("basic_username = 'ann'\nbasic_password = 'pw'\n[[compares]]\nfield = 'v'\nlt = 5")
            .unwrap();
    health.start(&cx).await.unwrap();
    let address = health.local_address.clone();
    let status = async || {
        let request = "GET /any HTTP/1.1\r\nauthorization: Basic YW5uOnB3";
        ask(&address, request)
            .await
            .0
            .split(' ')
            .nth(1)
            .unwrap()
            .to_owned()
    };
    assert_eq!(status().await, "200");
    stage.write(&mut health, &read("m v=9")).await.unwrap();
    assert_eq!(status().await, "503");
    stage.write(&mut health, &read("m v=1")).await.unwrap();
    assert_eq!(status().await, "200");
    assert!(
        ask(&address, "GET / HTTP/1.1")
            .await
            .0
            .starts_with("HTTP/1.1 401")
    );
    drop(health);
    assert!(stage.end().await.is_clean());
}

#[test]
fn silence_is_unwell() {
    let Some(before) = Instant::now().checked_sub(Duration::from_secs(60)) else {
        return;
    };
    let state = State {
        problem: None,
        last_metric: before,
    };
    assert_eq!(answer(&state, Duration::ZERO).status(), 200);
    assert_eq!(answer(&state, Duration::from_secs(120)).status(), 200);
    assert_eq!(answer(&state, Duration::from_secs(30)).status(), 503);
}

#[test]
fn says_what_is_wrong() {
    let check = |options: &str, paths: &[&str]| {
        let options = toml::from_str(options).unwrap();
        let errors = BuildContext::new(&ROW, &options)
            .and_then(|cx| Health::build(&cx))
            .err();
        let errors = errors.unwrap_or_default();
        let got: Vec<&str> = errors.iter().map(|error| error.path.as_str()).collect();
        assert_eq!(got, paths, "{errors:?}");
    };
    check("service_address = 'https://:8080'", &["service_address"]);
    check("service_address = 'udp://:8080'", &["service_address"]);
    check(
        "[[compares]]\nlt = 1\n[[contains]]",
        &["compares[0].field", "contains[0].field"],
    );
}
