use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};

use muster_tasks::Group;

use super::*;

/// A resolver that answers from here, and counts.
struct World {
    resolver: Resolver,
    lookups: Arc<AtomicUsize>,
    broken: Arc<AtomicBool>,
}

impl World {
    fn new(group: &Group) -> Self {
        let lookups = Arc::new(AtomicUsize::new(0));
        let broken = Arc::new(AtomicBool::new(false));
        let (count, fail) = (Arc::clone(&lookups), Arc::clone(&broken));
        let lookup = move |host: &str| {
            let number = count.fetch_add(1, Relaxed);
            match host {
                _ if fail.load(Relaxed) => Err(io::Error::other("no server answers")),
                "panics" => panic!("in the lookup"),
                "nowhere" => Ok(Vec::new()),
                _ => Ok(vec![IpAddr::from([
                    10,
                    0,
                    0,
                    u8::try_from(number).unwrap(),
                ])]),
            }
        };
        Self {
            resolver: Resolver::with_lookup(group, Box::new(lookup)),
            lookups,
            broken,
        }
    }

    async fn resolve(&self, host: &str) -> Result<String, String> {
        let found = self.resolver.resolve(host).await;
        found
            .map(|found| found[0].to_string())
            .map_err(|e| e.to_string())
    }

    /// Waits until no lookup runs.
    async fn settle(&self) {
        while self
            .resolver
            .0
            .state
            .lock()
            .names
            .values()
            .any(|name| name.running)
        {
            tokio::task::yield_now().await;
            std::thread::yield_now();
        }
    }
}

#[muster_tasks::test]
async fn addresses_need_no_lookup(group: Group) {
    let world = World::new(&group);
    assert_eq!(world.resolve("10.1.2.3").await.unwrap(), "10.1.2.3");
    assert_eq!(world.resolve("::1").await.unwrap(), "::1");
    assert_eq!(world.lookups.load(Relaxed), 0);
}

#[muster_tasks::test(start_paused = true)]
async fn remembers_and_looks_up_again_beside(group: Group) {
    let world = World::new(&group);
    assert_eq!(world.resolve("a").await.unwrap(), "10.0.0.0");
    assert_eq!(world.resolve("a").await.unwrap(), "10.0.0.0");
    assert_eq!(world.lookups.load(Relaxed), 1);
    tokio::time::advance(REFRESH).await;
    // The old address at once; the new one when it is there.
    assert_eq!(world.resolve("a").await.unwrap(), "10.0.0.0");
    world.settle().await;
    assert_eq!(world.resolve("a").await.unwrap(), "10.0.0.1");
}

#[muster_tasks::test(start_paused = true)]
async fn keeps_the_last_known_good(group: Group) {
    let world = World::new(&group);
    world.resolve("a").await.unwrap();
    world.broken.store(true, Relaxed);
    for _ in 0..10 {
        tokio::time::advance(REFRESH).await;
        assert_eq!(world.resolve("a").await.unwrap(), "10.0.0.0");
        world.settle().await;
    }
    assert_eq!(
        world.resolve("b").await.unwrap_err(),
        "b: no server answers"
    );
    tokio::time::advance(KEEP).await;
    assert_eq!(
        world.resolve("a").await.unwrap_err(),
        "a: no server answers"
    );
    world.broken.store(false, Relaxed);
    assert!(world.resolve("a").await.is_err(), "not tried again so soon");
    tokio::time::advance(RETRY).await;
    assert!(world.resolve("a").await.is_ok());
}

#[muster_tasks::test]
async fn failures_are_told(group: Group) {
    let world = World::new(&group);
    assert_eq!(
        world.resolve("nowhere").await.unwrap_err(),
        "nowhere: it has no address"
    );
    let panicked = world.resolve("panics").await.unwrap_err();
    assert!(panicked.contains("in the lookup"), "{panicked}");
    assert!(world.resolve("a").await.is_ok());
}

#[muster_tasks::test]
async fn many_that_ask_share_one_lookup(group: Group) {
    let world = World::new(&group);
    let mut all = group.task_set("ask");
    for _ in 0..100 {
        let resolver = world.resolver.clone();
        all.spawn("one", async move { resolver.resolve("a").await })
            .unwrap();
    }
    assert_eq!(all.all_ok().await.unwrap().len(), 100);
    assert_eq!(world.lookups.load(Relaxed), 1);
}

#[muster_tasks::test]
async fn what_waits_is_bounded(group: Group) {
    let hold = Arc::new(AtomicBool::new(true));
    let held = Arc::clone(&hold);
    let lookup = move |_: &str| {
        while held.load(Relaxed) {
            std::thread::sleep(Duration::from_millis(1));
        }
        Ok(vec![IpAddr::from([10, 0, 0, 1])])
    };
    let resolver = Resolver::with_lookup(&group, Box::new(lookup));
    // Each is begun and given up; so many run or wait.
    let mut refused = 0;
    for number in 0..MOST_WAITING + MOST_THREADS + 10 {
        let host = format!("host{number}");
        if let Known::Failed(why) = resolver.ask(&host) {
            assert_eq!(&*why, "too many names wait to be resolved");
            refused += 1;
        }
    }
    assert!((10..=10 + MOST_THREADS).contains(&refused), "{refused}");
    assert!(resolver.0.group.blocking_threads().0 <= MOST_THREADS);
    hold.store(false, Relaxed);
    assert!(resolver.resolve("host1").await.is_ok());
}

#[muster_tasks::test]
async fn threads_that_were_refused_are_started_later(group: Group) {
    let narrow = group.builder("narrow").blocking_limit(1).build();
    let resolver = World::new(&narrow).resolver;
    let (release, held) = std::sync::mpsc::channel::<()>();
    let hold = move |_: BlockingCtx| held.recv().is_ok();
    let holder = narrow.spawn_blocking("hold", hold).unwrap();
    for number in 0..MOST_THREADS * 2 {
        let host = format!("early{number}");
        let refused = muster_tasks::timeout(Duration::from_secs(30), resolver.resolve(&host)).await;
        let refused = refused.expect("it waits for a thread that was refused");
        assert!(refused.unwrap_err().to_string().contains("no thread"));
    }
    release.send(()).unwrap();
    assert!(holder.join().await.done().unwrap());
    // The thread that was held ends a moment after its work.
    let search = async {
        let mut number = 0;
        while resolver.resolve(&format!("late{number}")).await.is_err() {
            number += 1;
            tokio::task::yield_now().await;
        }
    };
    let found = muster_tasks::timeout(Duration::from_secs(30), search).await;
    assert!(found.is_ok(), "no thread is ever started again");
}

#[muster_tasks::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_name_waits_for_threads_that_are_leaving(group: Group) {
    let lookup = Box::new(|_: &str| Ok(vec![IpAddr::from([10, 0, 0, 1])]));
    let resolver = Resolver::with_lookup(&group, lookup);
    let mut all = group.task_set("ask");
    for asker in 0..MOST_THREADS * 2 {
        let resolver = resolver.clone();
        let ask = async move {
            for number in 0..500 {
                resolver.resolve(&format!("{asker}.{number}")).await?;
            }
            Ok::<(), ResolveError>(())
        };
        all.spawn("one", ask).unwrap();
    }
    let asked = muster_tasks::timeout(Duration::from_secs(60), all.all_ok()).await;
    asked.expect("a name waits for ever").unwrap();
}
