use muster_net::testing::{FakeHttp, answer};
use muster_tasks::Group;

use super::{Prometheus, ROW};
use crate::testing::{build, gather, problems};

const TEXT: &str = "# TYPE up gauge\nup{job=\"x\"} 1 1000\n";

async fn scrape(group: &Group, options: &str) -> (Vec<String>, Vec<String>) {
    let group = group.group("peers");
    let server = FakeHttp::start(&group, |seen| {
        let (status, body, kind) = match seen.path.as_str() {
            "/metrics" => (200, TEXT, "text/plain; version=0.0.4"),
            "/open" => (
                200,
                "# TYPE up gauge\nup 1 1.5\n# EOF\n",
                "application/openmetrics-text; version=1.0.0",
            ),
            "/auth" if seen.header("authorization") == "Bearer tok" => (200, TEXT, "text/plain"),
            _ => (404, "no", "text/plain"),
        };
        let mut answer = answer(status, body);
        answer
            .headers_mut()
            .insert("content-type", http::HeaderValue::from_static(kind));
        answer
    })
    .await;
    let options = options.replace("URL", server.url());
    let (lines, failures) = gather(build(&ROW, &options, Prometheus::build).unwrap()).await;
    assert!(group.stop().await.is_clean());
    (
        lines
            .iter()
            .map(|line| line.replace(server.url(), "URL"))
            .collect(),
        failures,
    )
}

#[muster_tasks::test]
async fn scrapes_in_both_versions_and_formats(group: Group) {
    let check = async |options: &str, want: &[&str]| {
        let (lines, failures) = scrape(&group, options).await;
        assert_eq!(lines, want, "{options}");
        assert!(failures.is_empty(), "{failures:?}");
    };
    check("urls = ['URL']", &["up,job=x,url=URL gauge=1 1000000000"]).await;
    check(
        "urls = ['URL/']\nmetric_version = 2\nurl_tag = 'from'",
        &["prometheus,from=URL/,job=x up=1 1000000000"],
    )
    .await;
    check(
        "urls = ['URL']\nurl_tag = ''\nignore_timestamp = true",
        &["up,job=x gauge=1"],
    )
    .await;
    check(
        "urls = ['URL/open']\nurl_tag = ''",
        &["up gauge=1 1500000000"],
    )
    .await;
    check(
        "urls = ['URL/auth']\nurl_tag = ''\nbearer_token_string = 'tok'",
        &["up,job=x gauge=1 1000000000"],
    )
    .await;
}

#[muster_tasks::test]
async fn tells_what_fails(group: Group) {
    let (lines, failures) = scrape(&group, "urls = ['URL/none', 'URL']").await;
    assert_eq!(lines.len(), 1);
    assert!(failures[0].contains("the status is 404"), "{failures:?}");
    let (lines, failures) = scrape(&group, "urls = ['URL']\ncontent_length_limit = '5B'").await;
    assert!(lines.is_empty());
    assert!(failures[0].contains("longer than 5 bytes"), "{failures:?}");
    let (_, failures) = scrape(&group, "urls = ['URL']\nbearer_token = '/nowhere'").await;
    assert!(
        failures[0].contains("read the file with the bearer token"),
        "{failures:?}"
    );
}

#[test]
fn refuses_bad_options() {
    let check = |options: &str, want: &str| {
        let got = problems(&ROW, options, Prometheus::build);
        assert!(got.contains(want), "{options}: {got}");
    };
    check("", "at least one URL");
    check("urls = ['http://x']\nmetric_version = 3", "no version 3");
    check(
        "urls = ['http://x']\nmonitor_kubernetes_pods = true",
        "not supported yet",
    );
    check(
        "urls = ['http://x']\n[consul]\nenabled = true",
        "not supported yet",
    );
}
