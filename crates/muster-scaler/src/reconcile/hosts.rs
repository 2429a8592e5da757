//! Permanent hosts are relieved, for a while.

use muster_scaler_core::Event;

use super::Tools;

impl Tools {
    /// Pauses a host's runner, if the ledger says until when.
    pub(super) async fn pause_host(&self, runner: u64) {
        let ledger = self.desk.ledger();
        let now = self.clock.now();
        let wanted = |until| until > now;
        if !ledger
            .paused_hosts
            .get(&runner)
            .is_some_and(|host| wanted(host.until))
        {
            return;
        }
        let Some(runners) = &self.runners else {
            return;
        };
        if let Err(why) = self.gitlab(runners.pause(runner)).await {
            tracing::warn!(runner, why, "failed to pause a host's runner");
            self.counters.gitlab_failed(why);
        }
    }

    /// Takes that back. The ledger forgets it only when GitLab has said that it is so, or that there is no such
    /// runner any more.
    pub(super) async fn unpause_host(&self, runner: u64) {
        let Some(runners) = &self.runners else {
            return;
        };
        if !self.desk.ledger().paused_hosts.contains_key(&runner) {
            return;
        }
        if let Err(why) = self.gitlab(runners.unpause(runner)).await
            && !matches!(self.gitlab(runners.exists(runner)).await, Ok(false))
        {
            tracing::warn!(runner, why, "failed to let a host's runner take jobs again");
            self.counters.gitlab_failed(why);
            return;
        }
        self.note_all(vec![Event::HostUnpaused(runner)]).await;
    }
}
