//! Runner objects that nobody knows of: made while the answer was lost, or left behind.

use std::collections::BTreeSet;

use muster_scaler_core::provider::label;
use muster_scaler_core::{Ledger, Reading, ServerState};

use super::Tools;
use crate::runners::OwnedRunner;

impl Tools {
    /// Deletes runner objects of ours that belong to no server: not to one of the ledger, and not
    /// to one that any provider has. Nothing is swept before every provider has listed completely:
    /// after a loss of the ledger servers may work that are not adopted yet.
    pub(super) async fn sweep(&self) {
        let Some(runners) = &self.runners else {
            return;
        };
        let Some(listed) = self.listed_names() else {
            return;
        };
        let listing = match self.gitlab(runners.list_owned(&self.config.owner)).await {
            Ok(listing) => listing,
            Err(why) => return self.counters.gitlab_failed(why),
        };
        for object in listing.runners {
            // What was made and not written down yet is at work.
            if self.at_work(&object.name) {
                continue;
            }
            if !is_left_behind(&self.desk.ledger(), &listed, &object) {
                continue;
            }
            match self.gitlab(runners.delete(object.id)).await {
                Ok(()) => self.counters.orphan_found(),
                Err(why) => self.counters.gitlab_failed(why),
            }
        }
    }

    /// The names of all servers of ours at all providers; `None` if some provider has not listed
    /// completely.
    fn listed_names(&self) -> Option<BTreeSet<String>> {
        let mut names = BTreeSet::new();
        for lister in self.providers.values() {
            let Reading::Known { value, .. } = lister.latest() else {
                return None;
            };
            if !value.complete {
                return None;
            }
            let known = |server: &muster_scaler_core::provider::ListedServer| {
                server.label(label::NAME).map(str::to_owned)
            };
            names.extend(value.servers.iter().filter_map(known));
        }
        Some(names)
    }
}

fn is_left_behind(ledger: &Ledger, listed: &BTreeSet<String>, object: &OwnedRunner) -> bool {
    let mut servers = ledger.servers.values();
    if servers.any(|server| server.runner == Some(object.id)) {
        return false;
    }
    match ledger.servers.get(&object.name) {
        None => !listed.contains(&object.name.0),
        // One whose making was not answered: no server has its token.
        Some(server) if server.state == ServerState::Planned => true,
        // Which one an adopted server uses is not known.
        Some(server) => server.decision != 0 && server.runner.is_some(),
    }
}
