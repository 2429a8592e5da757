use std::time::Duration;

use muster_metric::Batch;
use muster_plugin::compliance::{Plugin, Running, Stage};
use muster_plugin::{Build, FormatUse, Kind, Options, PluginRow, ServiceInput};
use muster_sentinel::{RedisCheck, RedisCheckOptions};
use muster_tasks::Group;
use muster_testkit::Redis;

static ROW: PluginRow = PluginRow {
    name: "redis",
    summary: "checks whether Redis servers are alive",
    options: RedisCheckOptions::describe,
    format: FormatUse::None,
    build: Build::Service(|cx| Ok(Box::new(RedisCheck::build(cx)?))),
};

pub(crate) fn build(options: &str) -> Box<dyn ServiceInput> {
    let table = toml::from_str(options).unwrap();
    match Stage::build(&ROW, &table).unwrap() {
        Plugin::Service(service) => service,
        _ => panic!("not a service"),
    }
}

fn options(redis: &Redis, more: &str) -> String {
    let address = redis.address();
    format!(
        "servers = ['{address}']\ncluster = 'shop'\ninterval = '100ms'\ntimeout = '100ms'\n\
         down_after = '300ms'\n{more}"
    )
}

/// Waits for a metric of that instance with these values.
async fn metric(running: &Running, up: i64, reason: &str) {
    let found = |batch: &Batch| {
        batch.iter().any(|metric| {
            metric.name() == "redis_sentinel_probe"
                && metric.tag("cluster") == Some("shop")
                && metric.field("up") == Some(up.into())
                && metric.field("reason") == Some(reason.into())
        })
    };
    let seen = |running: &Running| running.take().iter().any(found);
    assert!(
        running.wait_until(Duration::from_secs(30), seen).await,
        "no metric says {up} {reason}"
    );
}

#[muster_tasks::test(flavor = "multi_thread", worker_threads = 2)]
async fn gives_metrics_whether_up_or_down(_root: Group) {
    let mut redis = Redis::start();
    let stage = Stage::new(Kind::Input);
    let mut check = build(&options(&redis, ""));
    check.start(&stage.start_context()).await.unwrap();
    let running = stage.run(check).unwrap();
    metric(&running, 1, "ok").await;
    redis.kill();
    metric(&running, 0, "refused").await;
    // Not only when it changes.
    metric(&running, 0, "refused").await;
    let health = |running: &Running| {
        let batches = running.take();
        batches
            .iter()
            .any(|batch| batch.iter().any(|m| m.name() == "muster_sentinel"))
    };
    assert!(running.wait_until(Duration::from_secs(30), health).await);
    running.stop().await.unwrap().1.unwrap();
    assert!(stage.end().await.is_clean());
}

#[muster_tasks::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_next_generation_knows_what_this_one_knew(_root: Group) {
    let redis = Redis::start();
    let stage = Stage::new(Kind::Input);
    let cx = stage.start_context();
    let mut first = build(&options(&redis, ""));
    first.start(&cx).await.unwrap();
    let running = stage.run(first).unwrap();
    metric(&running, 1, "ok").await;
    let board = cx.resources().shared::<muster_sentinel::Board>();
    let slot = board.get(&format!("redis:{}", redis.address())).unwrap();
    let before = slot.status();
    // Made while the present one runs; takes over when that has ended.
    let mut second = build(&options(&redis, "rise = 5"));
    second.start(&stage.start_context()).await.unwrap();
    drop(running.stop().await.unwrap());
    let running = stage.run(second).unwrap();
    metric(&running, 1, "ok").await;
    let after = slot.status();
    assert!(after.seq > before.seq && after.since == before.since);
    running.stop().await.unwrap().1.unwrap();
    drop(slot);
    assert!(stage.end().await.is_clean());
}

#[muster_tasks::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_next_generation_may_belong_to_another_cluster(_root: Group) {
    let redis = Redis::start();
    let stage = Stage::new(Kind::Input);
    let cx = stage.start_context();
    let mut first = build(&options(&redis, ""));
    first.start(&cx).await.unwrap();
    let running = stage.run(first).unwrap();
    metric(&running, 1, "ok").await;
    let board = cx.resources().shared::<muster_sentinel::Board>();
    let slot = board.get(&format!("redis:{}", redis.address())).unwrap();
    let since = slot.status().since;
    let other = options(&redis, "").replace("'shop'", "'bar'");
    let mut second = build(&other);
    second.start(&stage.start_context()).await.unwrap();
    assert_eq!(slot.instance().cluster, "shop", "it has not begun yet");
    drop(running.stop().await.unwrap());
    let running = stage.run(second).unwrap();
    let is_moved = |_: &Running| slot.instance().cluster == "bar";
    assert!(running.wait_until(Duration::from_secs(30), is_moved).await);
    let seq = slot.status().seq;
    let is_checked = |_: &Running| slot.status().seq > seq;
    assert!(
        running
            .wait_until(Duration::from_secs(30), is_checked)
            .await
    );
    assert_eq!(slot.status().since, since);
    running.stop().await.unwrap().1.unwrap();
    drop(slot);
    assert!(stage.end().await.is_clean());
}
