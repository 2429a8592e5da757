//! None is lost but what the kernel has dropped, whatever the pool's size does meanwhile.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail like tests")]

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use muster_tasks::{Group, ShrinkMode};
use pollers::{Received, Receiver, load};
use tokio::net::UdpSocket;

const ANY: ([u8; 4], u16) = ([127, 0, 0, 1], 0);

/// Waits until all that was sent has arrived somewhere.
async fn all_arrived(receiver: &Receiver, sent: u64) -> Received {
    let begin = Instant::now();
    loop {
        let received = receiver.received();
        if received.datagrams + received.dropped_by_kernel >= sent {
            return received;
        }
        assert!(
            begin.elapsed() < Duration::from_secs(60),
            "{sent} sent, {received:?}"
        );
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[muster_tasks::test(flavor = "multi_thread", worker_threads = 2)]
async fn none_is_lost_while_the_pool_is_resized(root: Group) {
    const SENT: u32 = 20_000;
    let receiver = Receiver::start(&root, SocketAddr::from(ANY), 1).unwrap();
    let load = load::send(receiver.address(), SENT, 100, Duration::from_millis(1));
    let load = root.spawn("load", load).unwrap();
    for size in [8, 0, 3, 1, 64, 0, 2].into_iter().cycle() {
        receiver.pool().resize(size).unwrap();
        tokio::time::sleep(Duration::from_millis(20)).await;
        if load.is_finished() {
            break;
        }
    }
    receiver
        .pool()
        .resize_and_wait(2, ShrinkMode::Drain)
        .await
        .unwrap();
    load.join().await.done().unwrap().unwrap();
    let received = all_arrived(&receiver, u64::from(SENT)).await;
    assert_eq!(
        received.datagrams + received.dropped_by_kernel,
        u64::from(SENT)
    );
    let report = receiver.stop().await;
    assert!(report.is_clean() && report.not_started == 0, "{report}");
    let decoded = receiver.received();
    assert_eq!(receiver.pool().stats().done, decoded.datagrams);
    assert_eq!(
        (decoded.malformed, decoded.flows),
        (0, decoded.datagrams * load::FLOWS)
    );
    assert_eq!(decoded.counters, decoded.datagrams * load::COUNTERS);
    assert_eq!(decoded.conversations, decoded.flows);
}

#[muster_tasks::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_pause_makes_the_kernel_drop_is_counted(root: Group) {
    let receiver = Receiver::start(&root, SocketAddr::from(ANY), 0).unwrap();
    // More than the queue and any buffer that a kernel grants can hold.
    const SENT: u32 = 60_000;
    load::send(receiver.address(), SENT, SENT, Duration::ZERO)
        .await
        .unwrap();
    assert!(
        receiver.received().dropped_by_kernel > 0,
        "{:?}",
        receiver.received()
    );
    receiver.pool().resize(4).unwrap();
    let received = all_arrived(&receiver, u64::from(SENT)).await;
    assert_eq!(
        received.datagrams + received.dropped_by_kernel,
        u64::from(SENT)
    );
    assert!(receiver.stop().await.is_clean());
    assert_eq!(receiver.pool().stats().done, received.datagrams);
}

#[muster_tasks::test(flavor = "multi_thread", worker_threads = 2)]
async fn junk_is_counted(root: Group) {
    let receiver = Receiver::start(&root, SocketAddr::from(ANY), 1).unwrap();
    let socket = UdpSocket::bind(ANY_SENDER).await.unwrap();
    for junk in [&b""[..], b"hello", &load::datagram(1)[..50]] {
        socket.send_to(junk, receiver.address()).await.unwrap();
    }
    all_arrived(&receiver, 3).await;
    assert!(receiver.stop().await.is_clean());
    assert_eq!(receiver.received().malformed, 3);
}

const ANY_SENDER: &str = "127.0.0.1:0";
