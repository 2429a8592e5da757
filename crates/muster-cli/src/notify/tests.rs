use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::time::Instant;

use muster_sentinel::{CheckKind, Instance, Target};

use super::*;

/// A service manager with an abstract name of its own, and a notifier that tells it.
fn manager(watchdog: Duration) -> (UnixDatagram, Notifier) {
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    let number = NUMBER.fetch_add(1, Relaxed);
    let name = format!("muster-notify-{}-{number}", std::process::id());
    let address = SocketAddr::from_abstract_name(&name).unwrap();
    let socket = UnixDatagram::bind_addr(&address).unwrap();
    socket.set_nonblocking(true).unwrap();
    let notifier = Notifier::to(&format!("@{name}"), Some(watchdog)).unwrap();
    (socket, notifier)
}

/// What the manager was told since it was asked last.
fn told(socket: &UnixDatagram) -> Vec<String> {
    let mut buffer = [0; 512];
    let mut next = || socket.recv(&mut buffer).ok().map(|n| buffer[..n].to_vec());
    std::iter::from_fn(|| next().map(|bytes| String::from_utf8(bytes).unwrap())).collect()
}

const WATCHDOG: Duration = Duration::from_secs(20);

#[muster_tasks::test(start_paused = true)]
async fn the_watchdog_is_fed_only_while_all_checks_get_on(group: Group) {
    let (socket, notifier) = manager(WATCHDOG);
    let board = Arc::new(Board::default());
    notifier.ready(&group, Arc::clone(&board)).unwrap();
    tokio::time::sleep(WATCHDOG * 2 + WATCHDOG / 4).await;
    let mut all = told(&socket);
    assert_eq!(all.remove(0), "READY=1");
    assert_eq!(all, ["WATCHDOG=1"; 5], "at once, and twice in each period");
    let instance = Instance {
        kind: CheckKind::Tcp,
        cluster: String::new(),
        target: Target::Named("a".to_owned()),
    };
    let slot = board.open(instance, Arc::default()).unwrap();
    let in_time = |after| Some(board.clock().now().steady + after);
    slot.expect_until(in_time(WATCHDOG * 100));
    tokio::time::sleep(WATCHDOG).await;
    assert_eq!(told(&socket), ["WATCHDOG=1"; 2]);
    slot.expect_until(in_time(Duration::ZERO));
    tokio::time::sleep(WATCHDOG * 3).await;
    assert_eq!(told(&socket), ["STATUS=1 checks stand still: tcp:a"; 6]);
    slot.expect_until(in_time(WATCHDOG));
    tokio::time::sleep(WATCHDOG / 2).await;
    assert_eq!(told(&socket), ["WATCHDOG=1"]);
    notifier.stopping();
    assert_eq!(told(&socket), ["STOPPING=1"]);
    assert!(group.stop().await.is_clean());
}

#[muster_tasks::test]
async fn a_manager_that_does_not_read_holds_nobody_up(group: Group) {
    let (_socket, notifier) = manager(Duration::from_micros(2));
    let begin = Instant::now();
    let manager = Arc::clone(notifier.0.as_ref().unwrap());
    // More than the system keeps for it.
    let full = std::iter::repeat_with(|| manager.socket.send_to_addr(b"x", &manager.address));
    assert!(full.take(100_000).any(|sent| sent.is_err()));
    assert!(begin.elapsed() < Duration::from_secs(60));
    notifier.stopping();
    assert!(group.stop().await.is_clean());
}

#[test]
fn the_watchdog_of_another_process_is_not_ours() {
    let ours = std::process::id().to_string();
    let check = |time, process, want: Option<u64>| {
        let want = want.map(Duration::from_micros);
        assert_eq!(watchdog(time, process), want, "{time:?} {process:?}");
    };
    check(None, None, None);
    check(Some("30000000"), None, Some(30_000_000));
    check(Some("30000000"), Some(&ours), Some(30_000_000));
    check(Some("30000000"), Some("1"), None);
    check(Some("0"), None, None);
    check(Some("soon"), None, None);
}
