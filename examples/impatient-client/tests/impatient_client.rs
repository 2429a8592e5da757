//! Against the lazy server: who gives up really hangs up.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail like tests")]

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use impatient_client::{GetError, Tally, get, load};
use lazy_server::{End, Ended, Moods, Server};
use muster_tasks::Group;

const HOUR: Duration = Duration::from_secs(3600);
const SOON: Duration = Duration::from_millis(200);
const LATE: Duration = Duration::from_secs(60);

/// What the server saw.
#[derive(Default)]
struct Seen {
    answered: AtomicUsize,
    dropped: AtomicUsize,
}

impl Seen {
    fn counts(&self) -> (usize, usize) {
        let count = |counter: &AtomicUsize| counter.load(Ordering::Relaxed);
        (count(&self.answered), count(&self.dropped))
    }
}

async fn start(root: &Group, lazy_of_100: u64) -> (Server, Arc<Seen>) {
    let moods = Moods {
        quick: Duration::from_millis(1),
        lazy: HOUR,
        lazy_of_100,
    };
    let seen = Arc::new(Seen::default());
    let count = Arc::clone(&seen);
    let tell = move |ended: Ended| {
        let counter = match ended.end {
            End::Answered => &count.answered,
            End::Dropped => &count.dropped,
        };
        counter.fetch_add(1, Ordering::Relaxed);
    };
    let anywhere = SocketAddr::from(([127, 0, 0, 1], 0));
    let group = root.group("server");
    let server = Server::start(&group, anywhere, moods, tell).await;
    (server.unwrap(), seen)
}

/// Waits until the server has noticed that all connections are closed; its work would take an hour.
async fn all_closed(server: &Server) {
    let closed = async {
        while server.open() > 0 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    muster_tasks::timeout(LATE, closed).await.unwrap();
}

#[muster_tasks::test]
async fn the_server_sees_the_connection_closed_and_drops_its_work(root: Group) {
    let (server, seen) = start(&root, 100).await;
    let answer = get(server.address(), SOON).await;
    assert!(matches!(answer, Err(GetError::TooLate(_))), "{answer:?}");
    all_closed(&server).await;
    assert_eq!(seen.counts(), (0, 1));
    // Only the server's task that accepts is left.
    assert_eq!(root.count(), 1, "{}", root.render_tree());
    assert!(root.stop().await.is_clean());
}

#[muster_tasks::test]
async fn who_is_quick_is_waited_for(root: Group) {
    let (server, seen) = start(&root, 0).await;
    let answer = get(server.address(), LATE).await.unwrap();
    assert_eq!(answer, "here you are\n");
    all_closed(&server).await;
    assert_eq!(seen.counts(), (1, 0));
    assert!(root.stop().await.is_clean());
}

#[muster_tasks::test]
async fn nobody_listens(root: Group) {
    let (server, _) = start(&root, 0).await;
    let address = server.address();
    assert!(root.stop().await.is_clean());
    let answer = get(address, LATE).await;
    assert!(matches!(answer, Err(GetError::Connect(_))), "{answer:?}");
}

#[muster_tasks::test(flavor = "multi_thread", worker_threads = 2)]
async fn both_sides_count_the_same(root: Group) {
    let (server, seen) = start(&root, 50).await;
    let clients = root.group("load");
    let tally = load(
        &clients,
        server.address(),
        30,
        2,
        Duration::from_secs(2),
        |_| {},
    );
    let Tally {
        answered,
        too_late,
        failed,
    } = tally.await.unwrap();
    all_closed(&server).await;
    assert_eq!((answered + too_late, failed), (60, 0));
    // Of 60 drawn with even odds.
    assert!(answered > 5 && too_late > 5, "{answered} {too_late}");
    assert_eq!(seen.counts(), (answered, too_late));
    assert_eq!(clients.count(), 0);
    assert!(root.stop().await.is_clean());
}
