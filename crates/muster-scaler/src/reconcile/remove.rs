//! A server goes: from its provider, then its runner object, then the ledger.

use muster_scaler_core::provider::{DeleteAnswer, DescribeAnswer, ListedServer, Phase, label};
use muster_scaler_core::{Happening, Server, ServerName};

use super::Tools;
use crate::listings::Lister;

/// How far a deletion came.
enum Step {
    /// The provider has it no more.
    Gone,
    /// The provider is at it.
    Accepted,
}

/// A server that its provider has been deleting for so long counts as one whose deletion failed.
const DELETING_FOR: std::time::Duration = std::time::Duration::from_secs(600);

impl Tools {
    /// One try. The order matters: while the server may be there its runner object stays, so that
    /// it can be seen whether it works.
    pub(super) async fn remove(&self, name: &ServerName) {
        let going = |server: &Server| server.state.is_going();
        let Some(server) = self.server(name).filter(going) else {
            return;
        };
        if self.clock.now() < server.next_try {
            return;
        }
        let Some(lister) = self.providers.get(&server.provider) else {
            let why = format!("provider {} is not configured", server.provider);
            self.note(name, Happening::DeleteFailed(why)).await;
            return;
        };
        let removed = match self.keep_jobs_away(&server).await {
            Ok(()) => self.remove_at(lister, &server).await,
            Err(why) => Err(why),
        };
        match removed {
            Ok(Step::Gone) => {}
            Ok(Step::Accepted) => {
                self.note(name, Happening::DeleteAccepted).await;
                return;
            }
            Err(why) => {
                self.counters.delete_failed();
                self.note(name, Happening::DeleteFailed(why)).await;
                return;
            }
        }
        if let Some(runners) = &self.runners
            && let Err(why) = self
                .on_runner(runners, &server, |id| runners.delete(id))
                .await
        {
            self.counters.gitlab_failed(why.clone());
            let why = format!("its runner object: {why}");
            self.note(name, Happening::DeleteFailed(why)).await;
            return;
        }
        if let Some(id) = &server.provider_id {
            lister.removed(id, self.clock.now());
        }
        self.note(name, Happening::Removed).await;
    }

    /// One that was never seen and is removed for that may come up after all while its deletion is tried: its
    /// runner must not take a job then.
    async fn keep_jobs_away(&self, server: &Server) -> Result<(), String> {
        let Some(runners) = &self.runners else {
            return Ok(());
        };
        if server.drain.is_some() || server.joined.is_some() {
            return Ok(());
        }
        let paused = self.on_runner(runners, server, |id| runners.pause(id));
        let paused = paused.await.map(|_| ());
        paused.map_err(|why| format!("pause its runner: {why}"))
    }

    /// Deletes all that the provider has under this name: one server, unless it has made two.
    async fn remove_at(&self, lister: &Lister, server: &Server) -> Result<Step, String> {
        if let Some(id) = &server.provider_id
            && let Step::Accepted = self.delete_ours(lister, id, server).await?
        {
            return Ok(Step::Accepted);
        }
        // A single look may be wrong; a complete listing that began after it decides.
        let listing = lister.list_after(self.clock.now()).await?;
        // One that the ledger has apart is deleted for itself.
        let ledger = self.desk.ledger();
        let apart = |id: &str| {
            let mut others = ledger.servers.values().filter(|s| s.name != server.name);
            others.any(|other| other.provider_id.as_deref() == Some(id))
        };
        let named = |listed: &&ListedServer| {
            listed.label(label::NAME) == Some(&server.name.0) && !apart(&listed.id)
        };
        for listed in listing.servers.iter().filter(named) {
            if let Step::Gone = self.delete_ours(lister, &listed.id, server).await? {
                lister.removed(&listed.id, self.clock.now());
            } else {
                return Ok(Step::Accepted);
            }
        }
        if listing.complete {
            Ok(Step::Gone)
        } else {
            Err("the listing is not complete".to_owned())
        }
    }

    /// Deletes a server after a fresh look at whose it is.
    async fn delete_ours(
        &self,
        lister: &Lister,
        id: &str,
        server: &Server,
    ) -> Result<Step, String> {
        let provider = &lister.setup.provider;
        let looked = muster_tasks::timeout(lister.setup.timeout, provider.describe(id)).await;
        match looked.map_err(|late| late.to_string())? {
            DescribeAnswer::Gone => return Ok(Step::Gone),
            DescribeAnswer::Unknown(why) => return Err(why),
            DescribeAnswer::Found(found) if !self.is_ours(&found, server) => {
                let text = format!("{id} is not ours any more: its labels are of another server");
                return Err(text);
            }
            DescribeAnswer::Found(found) if found.phase == Phase::Deleting => {
                if self.clock.now().since(server.since) > DELETING_FOR {
                    return Err("the provider has been deleting it for long".to_owned());
                }
                return Ok(Step::Accepted);
            }
            DescribeAnswer::Found(_) => {}
        }
        self.counters.deletes();
        let deleted = provider.delete(id, &self.config.owner);
        let deleted = muster_tasks::timeout(lister.setup.timeout, deleted).await;
        match deleted.map_err(|late| late.to_string())? {
            DeleteAnswer::Gone => Ok(Step::Gone),
            DeleteAnswer::Accepted => Ok(Step::Accepted),
            DeleteAnswer::Refused(why) | DeleteAnswer::Unknown(why) => Err(why),
        }
    }

    /// Whether its labels are those of our server: the owner's, and the name, which is only part of
    /// ours if its provider has two of that name.
    fn is_ours(&self, found: &ListedServer, server: &Server) -> bool {
        let name = &server.name.0;
        let named = match (found.label(label::NAME), name.split_once(Server::TWIN)) {
            (Some(label), Some((twin, _))) => label == name || label == twin,
            (Some(label), None) => label == name,
            (None, twin) => twin.is_some(),
        };
        found.belongs_to(&self.config.owner) && named
    }
}
