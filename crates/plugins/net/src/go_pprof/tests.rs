use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use muster_leaks::testing::{dump, grouped};
use muster_net::testing::{FakeHttp, PATIENCE, Silent, answer};
use muster_plugin::Kind;
use muster_plugin::compliance::Stage;
use muster_tasks::Group;

use super::*;
use crate::testing::{build, gather, lines_of, problems};

/// A service that leaks ten goroutines with each profile.
async fn leaking(group: &Group, from: u64) -> FakeHttp {
    let waiting = Arc::new(AtomicU64::new(from));
    FakeHttp::start(group, move |seen| {
        match (seen.path.as_str(), seen.query.as_str()) {
            ("/debug/pprof/goroutine", "") => answer(200, &grouped(waiting.fetch_add(10, Relaxed))),
            ("/debug/pprof/goroutine", "debug=2") => answer(200, &dump(waiting.load(Relaxed))),
            _ => answer(404, "Unknown profile\n"),
        }
    })
    .await
}

/// Quick to judge, and asked at each gather however slow the machine is.
const QUICK: &str = "samples = 5\nspan = '0s'\nwarm_up = '0s'\ndump_every = '100ms'\n\
                     leak_profile_every = '100ms'\ndumps_per_hour = 1000000";

fn stage() -> Stage {
    let mut stage = Stage::new(Kind::Input);
    stage.interval = std::time::Duration::from_nanos(1);
    stage
}

async fn started(stage: &Stage, options: &str) -> GoPprof {
    let mut input = build(&ROW, options, GoPprof::build).unwrap();
    input.start(&stage.start_context()).await.unwrap();
    input
}

async fn lines(stage: &Stage, input: &mut GoPprof) -> Vec<String> {
    let (batch, reports, result) = stage.gather(input).await.unwrap();
    assert!(
        reports.is_empty() && result.is_ok(),
        "{reports:?} {result:?}"
    );
    lines_of(&batch)
}

#[muster_tasks::test]
async fn totals_sites_and_suspects_become_metrics(group: Group) {
    let service = leaking(&group, 20).await;
    let stage = stage();
    let mut input = started(&stage, &format!("targets = ['{}']\n{QUICK}", service.url())).await;
    let mut got = lines(&stage, &mut input).await;
    let url = service.url();
    let head =
        format!("go_pprof,target={url} goroutines=21i,sites=2i,suspects=0i,status=0i,samples=1i,");
    assert!(got[0].starts_with(&head), "{got:?}");
    let site = format!(
        "goroutine_site,class=mutex,file=main.go,function=main.take,line=12,\
         target={url} count=20i,per_hour=0"
    );
    assert!(got.contains(&site), "{got:?}");
    // Two dumps must show the same goroutines, and between dumps there is a pause.
    let began = std::time::Instant::now();
    let survives = |line: &String| line.contains("evidence=\"survivors\"");
    while !got.iter().any(survives) && began.elapsed() < PATIENCE {
        got = lines(&stage, &mut input).await;
    }
    let suspect = got.iter().find(|line| survives(line));
    let suspect = suspect.unwrap_or_else(|| panic!("no survivors: {got:#?}"));
    for part in [
        "class=mutex,file=main.go,function=main.take,line=12,",
        "evidence=\"survivors\"",
        "confirmed=false",
        "started_function=\"main.ask\",started_file=\"main.go\",started_line=9i",
        "score=",
    ] {
        assert!(suspect.contains(part), "{part} is not in {suspect}");
    }
    drop(input);
    assert!(stage.end().await.is_clean());
    assert!(group.stop().await.is_clean());
}

#[muster_tasks::test]
async fn what_is_known_outlives_a_change_of_options(group: Group) {
    let (service, other) = (leaking(&group, 20).await, leaking(&group, 5).await);
    let stage = stage();
    let targets = format!("targets = ['{}']", service.url());
    let mut first = started(&stage, &targets).await;
    for _ in 0..3 {
        lines(&stage, &mut first).await;
    }
    let both = format!(
        "targets = ['{}', '{}']\nsites = 0",
        service.url(),
        other.url()
    );
    let mut second = started(&stage, &both).await;
    drop(first);
    let got = lines(&stage, &mut second).await;
    assert_eq!(got.len(), 2, "{got:?}");
    assert!(
        got[0].contains("samples=4i") && got[1].contains("samples=1i"),
        "{got:?}"
    );
    let mut third = started(&stage, &format!("targets = ['{}']", other.url())).await;
    drop(second);
    let got = lines(&stage, &mut third).await;
    assert!(got[0].contains("samples=2i"), "{got:?}");
    assert_eq!(third.kept.lock().len(), 1, "who is no target is forgotten");
    drop(third);
    assert!(stage.end().await.is_clean());
    assert!(group.stop().await.is_clean());
}

#[muster_tasks::test]
async fn a_target_that_is_dear_to_ask_is_asked_less_often_and_never_for_a_dump(group: Group) {
    let service = leaking(&group, 60_000).await;
    let mut stage = Stage::new(Kind::Input);
    stage.interval = std::time::Duration::from_secs(1000);
    let options = format!("targets = ['{}']\n{QUICK}", service.url());
    let mut input = started(&stage, &options).await;
    let first = lines(&stage, &mut input).await;
    // The pause is twice the interval now: the next gather comes too early, and knows the same.
    assert_eq!(lines(&stage, &mut input).await, first);
    assert_eq!(service.seen().len(), 1);
    drop(input);
    assert!(stage.end().await.is_clean());
    assert!(group.stop().await.is_clean());
}

#[muster_tasks::test]
async fn one_target_that_hangs_does_not_keep_the_others(group: Group) {
    let (service, mut silent) = (leaking(&group, 3).await, Silent::start(&group).await);
    let options = format!(
        "targets = ['{}', '{}']\ntimeout = '200ms'\nbearer_token_string = 'x'",
        service.url(),
        silent.address()
    );
    let (got, failures) = gather(build(&ROW, &options, GoPprof::build).unwrap()).await;
    assert!(got[0].starts_with("go_pprof,"), "{got:?}");
    assert!(
        failures.len() == 1 && failures[0].contains("took too long"),
        "{failures:?}"
    );
    assert!(silent.all_closed().await);
    assert_eq!(service.seen()[0].header("authorization"), "Bearer x");
    assert!(group.stop().await.is_clean());
}

#[test]
fn wrong_options_are_explained_all_at_once() {
    let text = problems(
        &ROW,
        "targets = ['a', 'h:1', 'http://h:1/debug/pprof']\nsites = 1000\nsamples = 2\n\
         dump_every = '0s'\nignore = ['main.f', 'size=3']",
        GoPprof::build,
    );
    for part in [
        "no port",
        "given twice",
        "at most 512",
        "at least 5",
        "dump_every",
        "\"size\"",
    ] {
        assert!(text.contains(part), "{part} is not in {text}");
    }
    assert!(problems(&ROW, "", GoPprof::build).contains("at least one"));
}
