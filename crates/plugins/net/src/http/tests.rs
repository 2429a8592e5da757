use muster_net::Encoding;
use muster_net::testing::{FakeHttp, Seen, Silent, answer};
use muster_tasks::Group;

use super::{Http, ROW};
use crate::testing::{build, gather, problems};

/// Gathers from a server; `URL` in the options is its address.
async fn ask(
    group: &Group,
    options: &str,
    answers: impl Fn(&Seen) -> muster_net::http_server::Answer + Send + Sync + 'static,
) -> (Vec<String>, Vec<String>, Vec<Seen>) {
    let group = group.group("peers");
    let server = FakeHttp::start(&group, answers).await;
    let options = options.replace("URL", server.url());
    let (lines, failures) = gather(build(&ROW, &options, Http::build).unwrap()).await;
    assert!(group.stop().await.is_clean());
    let lines = lines
        .iter()
        .map(|line| line.replace(server.url(), "URL"))
        .collect();
    (lines, failures, server.seen())
}

#[muster_tasks::test]
async fn reads_and_tags(group: Group) {
    let options = "urls = ['URL/a', 'URL/b']\nmethod = 'post'\nbody = 'give'\ntoken = 'tok'\n\
                   headers = { X-Why = 'because' }\ncontent_encoding = 'gzip'";
    let (lines, failures, seen) = ask(&group, options, |seen| match seen.path.as_str() {
        "/a" => answer(200, "a v=1 1\na,url=own v=2 2\n"),
        _ => answer(200, "b v=3 3\nbad\n"),
    })
    .await;
    assert_eq!(
        lines,
        ["a,url=URL/a v=1 1", "a,url=own v=2 2", "b,url=URL/b v=3 3"]
    );
    assert!(failures[0].contains("/b: line 2"), "{failures:?}");
    assert_eq!(
        (seen[0].method.as_str(), seen[0].body.as_str()),
        ("POST", "give")
    );
    assert_eq!(seen[0].header("authorization"), "Bearer tok");
    assert_eq!(seen[0].header("x-why"), "because");
}

#[muster_tasks::test]
async fn one_server_down_leaves_the_others(group: Group) {
    let options = "urls = ['http://ann:secret@127.0.0.1:1/x', 'URL/a', 'URL/b']\n\
                   success_status_codes = [200, 202]";
    let (lines, failures, _) = ask(&group, options, |seen| match seen.path.as_str() {
        "/a" => answer(202, "a v=1 1"),
        _ => answer(500, "no"),
    })
    .await;
    assert_eq!(lines, ["a,url=URL/a v=1 1"]);
    assert_eq!(failures.len(), 2);
    assert!(
        failures[0].contains("refused") && !failures[0].contains("secret"),
        "{failures:?}"
    );
    assert!(failures[1].contains("the status is 500"), "{failures:?}");
}

#[muster_tasks::test]
async fn bodies_are_bounded_also_when_compressed(group: Group) {
    let options = "urls = ['URL/plain', 'URL/packed']\nresponse_body_max_size = '64KiB'";
    let (lines, failures, _) = ask(&group, options, |seen| {
        let body = vec![b'x'; 1 << 20];
        let (packed, body) = match seen.path.as_str() {
            "/plain" => (false, body),
            _ => (true, Encoding::Gzip.encode(body).unwrap()),
        };
        let mut answer = answer(200, "");
        if packed {
            let gzip = http::HeaderValue::from_static("gzip");
            answer.headers_mut().insert("content-encoding", gzip);
        }
        *answer.body_mut() = http_body_util::Full::new(body.into());
        answer
    })
    .await;
    assert!(lines.is_empty());
    assert!(
        failures
            .iter()
            .all(|f| f.contains("longer than 65536 bytes")),
        "{failures:?}"
    );
    assert_eq!(failures.len(), 2);
}

#[muster_tasks::test]
async fn a_timeout_closes_the_connection(group: Group) {
    let mut silent = Silent::start(&group).await;
    let options = format!("urls = ['http://{}']\ntimeout = '50ms'", silent.address());
    let (_, failures) = gather(build(&ROW, &options, Http::build).unwrap()).await;
    assert!(failures[0].contains("too long"), "{failures:?}");
    assert!(silent.all_closed().await);
    assert!(group.stop().await.is_clean());
}

#[test]
fn refuses_bad_options() {
    let check = |options: &str, want: &str| {
        let got = problems(&ROW, options, Http::build);
        assert!(got.contains(want), "{options}: {got}");
    };
    check("", "at least one URL");
    check("urls = ['x']", "is no URL");
    check(
        "urls = ['http://x']\ncookie_auth_url = 'y'",
        "not supported yet",
    );
    check(
        "urls = ['http://x']\nhttp_proxy_url = ':'",
        "no URL of a proxy",
    );
    check("urls = ['http://x']\nmethod = 'A B'", "no method");
}
