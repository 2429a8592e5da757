//! Receives sFlow datagrams on a pool that is resized while it works. See the README.

use std::error::Error;
use std::net::SocketAddr;
use std::time::Duration;

use muster_tasks::Group;
use pollers::{Receiver, load};

/// The sizes that the pool gets, one a second; zero is a pause.
const SIZES: [usize; 8] = [1, 8, 2, 0, 4, 16, 1, 3];
/// About as many as the load generator sends while the pool goes through its sizes.
const DATAGRAMS: u32 = 40_000;

#[tokio::main]
#[expect(clippy::print_stdout, reason = "this is what the program shows")]
async fn main() -> Result<(), Box<dyn Error>> {
    let address: SocketAddr = match std::env::args().nth(1) {
        Some(address) => address.parse()?,
        None => SocketAddr::from(([127, 0, 0, 1], 0)),
    };
    let root = Group::root("pollers");
    let receiver = Receiver::start(&root, address, SIZES[0])?;
    let to = receiver.address();
    println!(
        "listening on {to}; {DATAGRAMS} datagrams of 4 flow samples and 1 counter sample come in bursts"
    );
    let load = root.spawn(
        "load",
        load::send(to, DATAGRAMS, 50, Duration::from_millis(10)),
    )?;
    println!("second  workers  datagrams    queued  dropped by the kernel");
    for (second, size) in SIZES.into_iter().enumerate() {
        receiver.pool().resize(size)?;
        tokio::time::sleep(Duration::from_secs(1)).await;
        let (received, stats) = (receiver.received(), receiver.pool().stats());
        println!(
            "{second:>6}  {size:>7}  {:>9}  {:>8}  {:>21}",
            received.datagrams, stats.queued, received.dropped_by_kernel
        );
    }
    load.join().await.into_result()??;
    wait_for_all(&receiver, u64::from(DATAGRAMS)).await;
    let received = receiver.received();
    let report = receiver.stop().await;
    let stats = receiver.pool().stats();
    println!(
        "sent {DATAGRAMS} = received {} + dropped by the kernel {}",
        received.datagrams, received.dropped_by_kernel
    );
    println!(
        "decoded {} datagrams; not started: {}; waited {:.1?} (median), {:.1?} (99 %); ran {:.1?}",
        stats.done,
        report.not_started,
        stats.wait.quantile(0.5),
        stats.wait.quantile(0.99),
        stats.run.quantile(0.5),
    );
    println!("{}", root.stop().await);
    Ok(())
}

/// Waits until every datagram has arrived somewhere, for at most ten seconds.
async fn wait_for_all(receiver: &Receiver, sent: u64) {
    let all = async {
        loop {
            let received = receiver.received();
            if received.datagrams + received.dropped_by_kernel >= sent {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    let _ = muster_tasks::timeout(Duration::from_secs(10), all).await;
}
