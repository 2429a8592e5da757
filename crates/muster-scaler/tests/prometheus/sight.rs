//! The observation against a real Prometheus: dead targets, discovered ones, old values, none.

use std::sync::Arc;
use std::time::Duration;

use muster_net::testing::{FakeHttp, answer};
use muster_scaler::observe::{Observer, check, sd_label};
use muster_scaler::{Observe, Seen};
use muster_scaler_core::{Host, Ledger, Reading, ServerName, Time};
use muster_tasks::Group;
use muster_testkit::Prometheus;
use parking_lot::Mutex;

use super::fleet::{PATIENCE, Page, config, now, runner};

async fn look(observer: &Observer, at: Time) -> Seen {
    observer.observe(at.into(), &Ledger::default()).await
}

fn hosts(seen: &Seen) -> &[Host] {
    seen.pools["small"].hosts.value().map_or(&[], Vec::as_slice)
}

/// Looks until it is so.
async fn until(observer: &Observer, what: &str, is: impl Fn(&[Host]) -> bool) -> Seen {
    let looked = async {
        loop {
            let seen = look(observer, now()).await;
            if is(hosts(&seen)) {
                return seen;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    let seen = tokio::time::timeout(PATIENCE, looked).await;
    match seen {
        Ok(seen) => seen,
        Err(_) => panic!("{what}: {:?}", look(observer, now()).await.pools),
    }
}

#[muster_tasks::test]
async fn what_a_real_prometheus_says(group: Group) {
    let (first, mortal) = (group.group("first"), group.group("mortal"));
    let a = Page::start(&first, runner()).await.port;
    let b = Page::start(&mortal, runner()).await.port;
    let c = Page::start(&first, runner()).await.port;
    let targets = Arc::new(Mutex::new("[]".to_owned()));
    let told = Arc::clone(&targets);
    let discovery = FakeHttp::start(&group, move |_| {
        let mut answer = answer(200, &told.lock());
        let json = "application/json".parse().unwrap();
        answer.headers_mut().insert("content-type", json);
        answer
    })
    .await;
    let prometheus = Prometheus::discovering(discovery.url(), "runner", &[a, b]);
    let observer = Observer::new(&config(&prometheus, "job=\"runner\",muster_owner=\"\"")).unwrap();
    let is_whole = |host: &Host| host.up.value() == Some(&true) && host.running.value() == Some(&3);
    until(&observer, "two hosts", |hosts| {
        hosts.len() == 2 && hosts.iter().all(is_whole)
    })
    .await;

    // A ratio over the fleet does not know a dead host; the observation does.
    let ratio = "sum(gitlab_runner_jobs{state=\"running\"}) / sum(gitlab_runner_concurrent)";
    let value = |prometheus: &Prometheus| prometheus.query(ratio)[0]["value"][1].clone();
    assert_eq!(value(&prometheus), "0.75");
    assert!(mortal.stop().await.is_clean());
    let name = format!("127.0.0.1:{b}");
    let is_dead = |host: &Host| host.instance == name && host.up.value() == Some(&false);
    let seen = until(&observer, "a dead host", |hosts| hosts.iter().any(is_dead)).await;
    assert_eq!(hosts(&seen).len(), 2, "a dead target stays in the list");
    let dead = hosts(&seen).iter().find(|host| is_dead(host)).unwrap();
    assert!(dead.slots.value().is_none() && dead.running.value().is_none());
    assert_eq!(value(&prometheus), "0.75");

    // A server of ours comes by service discovery and goes.
    *targets.lock() = format!(
        "[{{\"targets\":[\"127.0.0.1:{c}\"],\"labels\":{{\"{}\":\"prod-1\",\"{}\":\"small\",\
         \"{}\":\"small-1\"}}}}]",
        sd_label::OWNER,
        sd_label::POOL,
        sd_label::SERVER
    );
    let ours = Some(ServerName("small-1".to_owned()));
    let is_ours = |host: &Host| host.server == ours && is_whole(host);
    until(&observer, "a server of ours", |hosts| {
        hosts.iter().any(is_ours)
    })
    .await;
    *targets.lock() = "[]".to_owned();
    let gone = |hosts: &[Host]| hosts.len() == 2 && hosts.iter().all(|host| host.server.is_none());
    let seen = until(&observer, "it is gone", gone).await;
    let alive = hosts(&seen).iter().find(|host| !is_dead(host)).unwrap();
    assert!(alive.up.age(now()).unwrap() < PATIENCE);

    // Asked as of later, Prometheus gives the old value with the new time: ours has the old one.
    let later = now() + Duration::from_secs(200);
    let seen = look(&observer, later).await;
    let old = hosts(&seen)
        .iter()
        .find(|host| host.instance == alive.instance)
        .unwrap();
    assert!(
        old.up.age(later).unwrap() >= Duration::from_secs(190),
        "{old:?}"
    );

    // What nothing selects is unknown, and no job that began is no wait of zero.
    let nobody = Observer::new(&config(&prometheus, "job=\"nobody\"")).unwrap();
    let seen = look(&nobody, now()).await;
    assert!(matches!(seen.pools["small"].hosts, Reading::Unknown { .. }));
    assert!(seen.pools["small"].wait_p95.value().is_none());

    // What only Prometheus can say of an expression it says in the check.
    let mut wrong = config(&prometheus, "job=\"runner\"");
    wrong.pool[0].pending_query = "sum(up) by".to_owned();
    let report = check(&wrong, now()).await;
    assert!(format!("{report:?}").contains("parse error"), "{report:?}");
    assert!(group.stop().await.is_clean());
}
