//! Panics in checks, in the publisher and in the clients of ZooKeeper, one after another: each is counted and told, and
//! everything is checked and written all the time.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use muster_metric::Batch;
use muster_plugin::compliance::Running;
use muster_sentinel::FleetWatch;
use muster_sentinel::document::Document;
use muster_sentinel::testing::{Behaviour, Faults, Point};
use muster_tasks::Group;
use muster_testkit::{Stalls, ZooKeeper};
use muster_zookeeper::{Fault, Session};
use tokio::time::sleep;

use crate::fleet::{Fleet, PATIENCE, is_up};
use crate::reader::{Reader, path};

/// How often each instance is checked.
const INTERVAL: Duration = Duration::from_secs(1);

/// No entry may be older.
const OLDEST: Duration = INTERVAL.saturating_mul(3);

/// A client lives so long before it panics. One that lives for less than a second is tried again ever more slowly, as a
/// server is that takes nobody: it would not be the publisher's fault that nothing is written.
const LIFE: Duration = Duration::from_millis(1100);

/// How many panics; `MUSTER_PANICS` says another number.
fn panics() -> u32 {
    let asked = std::env::var("MUSTER_PANICS").ok();
    asked.and_then(|n| n.parse().ok()).unwrap_or(1000)
}

/// Looks at the age of all entries in ZooKeeper for ever. Notes the oldest that was seen, in milliseconds.
async fn watch_ages(fleet: &Fleet, reader: &Reader, oldest: &AtomicU64) {
    let paths: Vec<String> = fleet.slots.iter().map(|slot| path(slot)).collect();
    loop {
        let begun = Stalls::now();
        // A busy machine may lose it its own connection.
        reader.session.connected().await.unwrap();
        let Ok(nodes) = reader.session.read_many(paths.clone()).await else {
            continue;
        };
        let read = Stalls::now() / 1_000_000;
        let stood_still = fleet.stood_still(begun - OLDEST.as_nanos() as i64);
        for (slot, node) in fleet.slots.iter().zip(nodes) {
            let document = Document::from_json(&node.unwrap().data).unwrap();
            let age = u64::try_from(read - document.checked_ms).unwrap_or(0);
            oldest.fetch_max(age, Relaxed);
            let age = Duration::from_millis(age);
            let session = fleet.board.faults().session().unwrap();
            assert!(
                age <= OLDEST + stood_still,
                "{} is {age:?} old (the machine stood still for {stood_still:?}): {:?} at {read}; {:?} {:?}; {:?}",
                slot.id(),
                slot.status(),
                session.state().borrow(),
                session.stats(),
                fleet.running.take_reports(),
            );
        }
        sleep(Duration::from_millis(50)).await;
    }
}

/// Has so many checks panic, of one instance after another.
async fn break_checks(fleet: &Fleet, count: u32) {
    for number in (0..fleet.slots.len()).cycle().take(count as usize) {
        fleet.break_check(number).await;
        sleep(Duration::from_millis(50)).await;
    }
    while fleet.health.panics.load(Relaxed) < u64::from(count) {
        sleep(Duration::from_millis(10)).await;
    }
}

/// Has the publisher panic so often, at each of these places in turn, each time when it works again.
async fn break_publisher(faults: &Faults, points: &[Point], count: u32) {
    for point in points.iter().cycle().take(count as usize) {
        faults.order(*point);
        while faults.waiting(*point) > 0 {
            sleep(Duration::from_millis(5)).await;
        }
        let good = faults.good_rounds();
        while faults.good_rounds() == good {
            sleep(Duration::from_millis(5)).await;
        }
    }
}

/// Has a client of ZooKeeper panic so often in these ways, each time when it has been connected for so long.
async fn break_client(session: &Session, faults: &[Fault], count: u32, life: Duration) {
    for fault in faults.iter().cycle().take(count as usize) {
        while session.connected().await.unwrap().since.elapsed() < life {
            sleep(Duration::from_millis(10)).await;
        }
        let panics = session.stats().panics;
        // It may have ended before it is told.
        let _ = session.inject(*fault).await;
        while session.stats().panics == panics {
            sleep(Duration::from_millis(10)).await;
        }
    }
}

#[muster_tasks::test(flavor = "multi_thread", worker_threads = 2)]
async fn everything_is_checked_and_written_all_the_time(root: Group) {
    let server = ZooKeeper::start();
    let servers = vec![server.address()];
    let fleet = Fleet::start(&servers, "panics", INTERVAL, "write_every_check = true").await;
    let reader = Reader::start(&root, &servers, "panics");
    for fake in 0..fleet.fakes.len() {
        fleet.set(fake, Behaviour::Healthy, is_up).await;
    }
    fleet.until_right(&reader, "the start").await;
    let watcher = Reader::start(&root, &servers, "panics");
    let mut watch = FleetWatch::new(watcher.session.clone()).unwrap();
    let client = fleet.board.faults().session().unwrap();

    let all = panics();
    let (checks, writes, watches, clients) = (all * 63 / 100, all / 4, all / 10, all / 50);
    let oldest = AtomicU64::new(0);
    let faults = fleet.board.faults();
    let injected = async {
        let in_client = [Fault::PanicInOperation, Fault::PanicInConnect];
        let in_publisher = [Point::Publish, Point::Written, Point::Document];
        let (watched, in_watch) = (&watcher.session, [Fault::PanicInWatch]);
        tokio::join!(
            break_checks(&fleet, checks),
            break_publisher(faults, &in_publisher, writes),
            break_client(watched, &in_watch, watches, Duration::ZERO),
            break_client(&client, &in_client, clients, LIFE),
        );
    };
    let begun = Instant::now();
    tokio::select! {
        () = injected => {}
        () = watch_ages(&fleet, &reader, &oldest) => {}
        () = async { while watch.next().await.unwrap().is_some() {} } => panic!("the watch has ended"),
        () = sleep(PATIENCE * 5) => panic!("panics are not healed: {:?}", client.stats()),
    }
    println!(
        "{all} panics in {:?}; the oldest entry was {} ms old",
        begun.elapsed(),
        oldest.load(Relaxed)
    );
    fleet.until_right(&reader, "the end").await;
    assert_eq!(fleet.health.panics.load(Relaxed), u64::from(checks));
    assert_eq!(client.stats().panics, u64::from(clients));
    let of_publisher = |batch: &Batch| {
        let metric = batch
            .iter()
            .find(|m| m.name() == "muster_sentinel_zookeeper");
        metric.is_some_and(|m| m.field("publisher_panics") == Some(i64::from(writes).into()))
    };
    let counted = |running: &Running| running.take().iter().any(of_publisher);
    assert!(
        fleet.running.wait_until(PATIENCE, counted).await,
        "panics of the publisher"
    );
    // The watch goes on where it was.
    let all_there = async {
        while watch.fleet().members.len() < fleet.slots.len() {
            watch.next().await.unwrap();
        }
    };
    tokio::time::timeout(PATIENCE, all_there).await.unwrap();
    fleet.end(OLDEST).await;
    assert!(root.stop().await.is_clean());
}
