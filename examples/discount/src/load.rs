//! The load generator: two orders a second, for some minutes.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use muster_tasks::{Closed, Group};
use parking_lot::Mutex;
use tokio::time::MissedTickBehavior;

use crate::Pace;
use crate::http;
use crate::shop::Applied;

/// Orders in a minute.
pub const A_MINUTE: u64 = 120;
/// So many wait for their answer at a time; then the next one is late.
pub const AT_ONCE: usize = 16;

/// What a minute of load has shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Minute {
    /// Answers.
    pub answered: usize,
    /// Requests without one.
    pub failed: usize,
    /// Answers with a discount of the discounter's.
    pub experiments: usize,
    /// The tasks of the service, as its handlers have counted them before; at the end of the minute.
    pub tasks: usize,
}

/// Sends orders for so many minutes; `tell` hears of each minute when its last answer has come.
///
/// # Errors
/// [`Closed`] if the group takes no more tasks.
pub async fn send(
    group: &Group,
    shop: SocketAddr,
    minutes: u64,
    pace: Pace,
    mut tell: impl FnMut(u64, Minute),
) -> Result<Vec<Minute>, Closed> {
    let orders = group.builder("orders").limit(AT_ONCE).build();
    let mut ticks = tokio::time::interval(pace.of(Duration::from_secs(60)) / A_MINUTE as u32);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut shown = Vec::new();
    for minute in 0..minutes {
        let seen = Arc::new(Mutex::new(Minute::default()));
        for number in minute * A_MINUTE..(minute + 1) * A_MINUTE {
            ticks.tick().await;
            let order = order(shop, number, Arc::clone(&seen));
            orders.spawn_wait("order", order).await?;
        }
        orders.wait().await;
        let seen = *seen.lock();
        tell(minute, seen);
        shown.push(seen);
    }
    Ok(shown)
}

/// Sends an order. Of forty, twenty have a good code, and two of these are in the experiment: only for those the
/// discounter's answer is taken.
async fn order(shop: SocketAddr, number: u64, seen: Arc<Mutex<Minute>>) {
    let (code, cents) = match number / 10 % 4 {
        0 => ("SPRING", 9_900),
        1 => ("WELCOME", 1_000),
        2 => ("SUMMER", 9_900),
        _ => ("BULK", 9_900),
    };
    let target = format!("/apply?code={code}&user={number}&cents={cents}");
    let answer = http::get(shop, &target).await;
    let applied = answer.map(|body| serde_json::from_slice::<Applied>(&body));
    let mut seen = seen.lock();
    match applied {
        Ok(Ok(applied)) => {
            seen.answered += 1;
            seen.experiments += usize::from(applied.because == "experiment");
            seen.tasks = applied.tasks_before;
        }
        _ => seen.failed += 1,
    }
}
