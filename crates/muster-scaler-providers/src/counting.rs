//! A bound on servers that holds for creations that come at once, too.

use std::time::Duration;

use tokio::sync::{Mutex, MutexGuard};

/// Lets creations count one at a time.
#[derive(Debug)]
pub(crate) struct Counting {
    turn: Mutex<()>,
    timeout: Duration,
}

impl Counting {
    /// One in which nobody waits longer than this.
    pub(crate) fn new(timeout: Duration) -> Self {
        Self {
            turn: Mutex::default(),
            timeout,
        }
    }

    /// Waits for the turn, if there is a `bound` (0 for none). It is held from the count of the servers until
    /// the creation is answered: the next one counts that, too.
    ///
    /// # Errors
    /// Why nothing can be created now.
    pub(crate) async fn turn(&self, bound: u32) -> Result<Option<MutexGuard<'_, ()>>, String> {
        if bound == 0 {
            return Ok(None);
        }
        match tokio::time::timeout(self.timeout, self.turn.lock()).await {
            Ok(turn) => Ok(Some(turn)),
            Err(_) => Err(format!(
                "waited for {:?} while other creations were counted",
                self.timeout
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[muster_tasks::test]
    async fn one_at_a_time_counts_and_nobody_waits_for_ever(_: muster_tasks::Group) {
        let counting = Counting::new(Duration::from_millis(1));
        let turn = counting.turn(1).await.unwrap();
        assert!(counting.turn(1).await.unwrap_err().contains("1ms"));
        assert!(counting.turn(0).await.unwrap().is_none(), "without a bound");
        drop(turn);
        assert!(counting.turn(1).await.unwrap().is_some());
    }
}
