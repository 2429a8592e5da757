//! The collector against a service that answers as told.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use muster_net::ClientBuilder;
use muster_net::testing::{FakeHttp, PATIENCE, Silent, answer};
use muster_tasks::Group;

use super::*;
use crate::testing::{dump, grouped};
use crate::{Options, Watch};

fn fetcher(target: &str) -> Fetcher {
    fetcher_within(target, PATIENCE)
}

fn fetcher_within(target: &str, timeout: Duration) -> Fetcher {
    let targets = vec![Target::parse(target).unwrap()];
    let client = ClientBuilder::new(timeout);
    let mut all = Fetcher::for_targets(targets, client, &Default::default()).unwrap();
    all.pop().unwrap()
}

/// Quick to judge, as in CI, with dumps whenever they help.
fn options() -> Options {
    Options {
        dump_every: Duration::from_millis(1),
        leak_profile_every: Duration::from_millis(1),
        ..Options::ci()
    }
}

fn follower(options: Options) -> Follower {
    Follower::new(Watch::new("t", options), Duration::from_secs(1))
}

/// A service that leaks a tenth with each profile, at least ten goroutines. What it was asked for, by query and path.
async fn leaking(group: &Group, from: u64) -> (FakeHttp, impl Fn(&FakeHttp) -> [usize; 3]) {
    let step = (from / 10).max(10);
    let waiting = Arc::new(AtomicU64::new(from));
    let service = FakeHttp::start(group, move |seen| {
        match (seen.path.as_str(), seen.query.as_str()) {
            ("/debug/pprof/goroutine", "") => {
                answer(200, &grouped(waiting.fetch_add(step, Relaxed)))
            }
            ("/debug/pprof/goroutine", "debug=2") => answer(200, &dump(waiting.load(Relaxed))),
            _ => answer(404, "Unknown profile\n"),
        }
    })
    .await;
    let asked = |service: &FakeHttp| {
        let seen = service.seen();
        let count = |path: &str, query: &str| {
            let path = format!("/debug/pprof/{path}");
            seen.iter()
                .filter(|s| s.path == path && s.query == query)
                .count()
        };
        [
            count("goroutine", ""),
            count("goroutine", "debug=2"),
            count("goroutineleak", ""),
        ]
    };
    (service, asked)
}

#[muster_tasks::test]
async fn a_leak_is_named_and_a_missing_leak_profile_asked_for_once(group: Group) {
    let (service, asked) = leaking(&group, 20).await;
    let (fetcher, mut follower) = (fetcher(service.url()), follower(options()));
    for _ in 0..12 {
        let sample = follower.sample(&fetcher).await.unwrap();
        assert!(sample.problems.is_empty(), "{:?}", sample.problems);
    }
    let verdict = follower.watch().verdict();
    let suspect = &verdict.suspects[0];
    assert_eq!(suspect.blocks_at.line, 12, "{verdict:#?}");
    assert_eq!(suspect.started_at.as_ref().map(|at| at.line), Some(9));
    let [profiles, dumps, leak_profiles] = asked(&service);
    assert_eq!((profiles, leak_profiles), (12, 1));
    assert!(dumps >= 2, "{dumps}");
    assert!(group.stop().await.is_clean());
}

#[muster_tasks::test]
async fn a_large_service_pays_for_its_grouped_profile_only(group: Group) {
    // 100,000 goroutines and growing: a dump would stop it for most of a second.
    let (service, asked) = leaking(&group, 100_000).await;
    let (fetcher, mut follower) = (fetcher(service.url()), follower(options()));
    let mut pauses = Vec::new();
    for _ in 0..6 {
        follower.sample(&fetcher).await.unwrap();
        pauses.push(follower.pause().as_secs());
    }
    assert_eq!(pauses, [2, 4, 8, 8, 8, 8], "asked ever less often");
    let [profiles, dumps, leak_profiles] = asked(&service);
    assert_eq!((profiles, dumps), (6, 0));
    assert_eq!(leak_profiles, 1, "it was seen to grow");
    assert!(group.stop().await.is_clean());
}

#[muster_tasks::test]
async fn what_goes_wrong_is_told_with_what_to_do(group: Group) {
    let service = FakeHttp::start(&group, |seen| match seen.path.as_str() {
        "/denied/debug/pprof/goroutine" if seen.header("authorization") == "Bearer x" => {
            answer(200, &grouped(3))
        }
        "/denied/debug/pprof/goroutine" => answer(401, "who?"),
        "/busy/debug/pprof/goroutine" => answer(500, "profile is in use"),
        "/page/debug/pprof/goroutine" => answer(200, "<html>welcome</html>"),
        "/moved/debug/pprof/goroutine" => answer(307, ""),
        _ => answer(404, "404 page not found"),
    })
    .await;
    for (path, part) in [
        ("denied", "denies access (401"),
        ("busy", "500 Internal Server Error: profile is in use"),
        ("page", "<html>"),
        ("moved", "no /debug/pprof/goroutine (307"),
        ("other", "no /debug/pprof/goroutine (404"),
    ] {
        let error = fetcher(&format!("{}/{path}", service.url()))
            .goroutines()
            .await;
        let error = error.unwrap_err();
        assert!(error.to_string().contains(part), "{path}: {error}");
        assert!(!error.hint().is_empty());
    }
    let mut known = fetcher(&format!("{}/denied", service.url()));
    let header = (
        "authorization".parse().unwrap(),
        "Bearer x".parse().unwrap(),
    );
    known.set_headers([header].into_iter().collect::<http::HeaderMap>());
    assert_eq!(known.goroutines().await.unwrap().total, 4);
    let error = fetcher("127.0.0.1:1").goroutines().await.unwrap_err();
    assert!(error.is_refused() && error.to_string().starts_with("reach http://127.0.0.1:1: "));
    assert!(group.stop().await.is_clean());
}

#[muster_tasks::test]
async fn a_request_that_takes_too_long_really_ends(group: Group) {
    let mut silent = Silent::start(&group).await;
    let fetcher = fetcher_within(silent.address(), Duration::from_millis(100));
    let error = fetcher.goroutines().await.unwrap_err().to_string();
    assert!(error.contains("it took too long"), "{error}");
    assert!(silent.all_closed().await);
    assert!(group.stop().await.is_clean());
}

#[muster_tasks::test]
async fn who_refused_and_comes_again_is_another_process(group: Group) {
    let first = group.group("first");
    let (service, _) = leaking(&first, 20).await;
    let address = service.url().to_owned();
    let (fetcher, mut follower) = (fetcher(&address), follower(options()));
    follower.sample(&fetcher).await.unwrap();
    assert!(first.stop().await.is_clean());
    let error = follower.sample(&fetcher).await.unwrap_err();
    assert!(error.is_refused(), "{error}");
    assert_eq!(follower.watch().verdict().restarts, 0);
    let (service, _) = leaking(&group, 20).await;
    follower
        .sample(&self::fetcher(service.url()))
        .await
        .unwrap();
    let verdict = follower.watch().verdict();
    assert_eq!((verdict.restarts, verdict.samples), (1, 1));
    assert!(group.stop().await.is_clean());
}

#[muster_tasks::test]
async fn muster_tasks_own_endpoint_is_read(group: Group) {
    let tasks = group.group("shop");
    for _ in 0..7 {
        tasks.go("ask", std::future::pending::<()>()).unwrap();
    }
    let mut forms = Vec::new();
    for query in ["goroutine", "goroutine?debug=2"] {
        let target = format!("/debug/pprof/{query}");
        forms.push(muster_tasks::debug::handle(&tasks, &target).await.body);
    }
    let service = FakeHttp::start(&group, move |seen| {
        let body = match (seen.path.as_str(), seen.query.as_str()) {
            ("/debug/pprof/goroutine", "") => forms[0].clone(),
            ("/debug/pprof/goroutine", _) => forms[1].clone(),
            _ => return answer(404, "there is no such page"),
        };
        http::Response::new(http_body_util::Full::new(bytes::Bytes::from(body)))
    })
    .await;
    let fetcher = fetcher(service.url());
    let profile = fetcher.goroutines().await.unwrap();
    let dump = fetcher.wanted(crate::Want::Dump).await.unwrap().unwrap();
    for profile in [profile, dump] {
        let rows = crate::top(&profile);
        assert_eq!((profile.total, rows[0].count), (7, 7));
        assert!(
            rows[0].at.function.ends_with("shop.ask"),
            "{}",
            rows[0].at.function
        );
        assert!(rows[0].at.file.ends_with("tests.rs"));
    }
    assert!(
        fetcher
            .wanted(crate::Want::LeakProfile)
            .await
            .unwrap()
            .is_none()
    );
    assert!(group.stop().await.is_clean());
}
