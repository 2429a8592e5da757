//! Removes owned servers that are past their time, whatever a running scaler does or does not.

use std::collections::BTreeMap;
use std::time::Duration;

use muster_scaler_core::provider::{DeleteAnswer, ListedServer, Phase, label};
use muster_scaler_core::{ProviderId, Time};
use serde::Serialize;

use crate::listings::ProviderSetup;

/// A server that was found past its time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Reaped {
    /// Who has it.
    pub provider: ProviderId,
    /// Its ID there.
    pub id: String,
    /// Its name.
    pub name: String,
    /// When its life was over.
    pub expired: Time,
    /// What was done with it.
    pub done: Done,
}

/// What was done with a server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Done {
    /// Nothing: it was only looked.
    Found,
    /// It is deleted, or its provider is at it.
    Deleted,
    /// It could not be deleted, and why.
    Failed(String),
}

/// What a reaping found.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Reaping {
    /// Servers past their time.
    pub servers: Vec<Reaped>,
    /// Providers that did not answer, or not wholly, and why.
    pub problems: Vec<(ProviderId, String)>,
}

/// Finds the servers of `owner` whose life was over `grace` before `now`, by the label that they got
/// at their birth, and with `delete` deletes them. One without that label is left alone.
pub async fn reap(
    providers: &BTreeMap<ProviderId, ProviderSetup>,
    owner: &str,
    now: Time,
    grace: Duration,
    delete: Deleting,
) -> Reaping {
    let mut reaping = Reaping::default();
    for (id, setup) in providers {
        let listed = setup.provider.list_owned(owner);
        let listing = match muster_tasks::timeout(setup.timeout, listed).await {
            Ok(Ok(listing)) => listing,
            Ok(Err(error)) => {
                reaping.problems.push((id.clone(), error.to_string()));
                continue;
            }
            Err(late) => {
                reaping.problems.push((id.clone(), late.to_string()));
                continue;
            }
        };
        if !listing.complete {
            let why = "its listing is not complete".to_owned();
            reaping.problems.push((id.clone(), why));
        }
        for server in &listing.servers {
            let Some(expired) = expired(server, owner, now, grace) else {
                continue;
            };
            let done = match delete {
                Deleting::No => Done::Found,
                Deleting::Yes => remove(setup, &server.id, owner).await,
            };
            let name = server.label(label::NAME).unwrap_or(&server.name);
            reaping.servers.push(Reaped {
                provider: id.clone(),
                id: server.id.clone(),
                name: name.to_owned(),
                expired,
                done,
            });
        }
    }
    reaping
}

/// Whether what is found is deleted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deleting {
    /// It is only told.
    No,
    /// It is.
    Yes,
}

/// When a server's life was over, if that is long enough ago.
fn expired(server: &ListedServer, owner: &str, now: Time, grace: Duration) -> Option<Time> {
    if !server.belongs_to(owner) || server.phase == Phase::Deleting {
        return None;
    }
    let expires = server.label(label::EXPIRES)?.parse().ok()?;
    let expires = Time::from_secs(expires);
    (now > expires + grace).then_some(expires)
}

/// The provider looks afresh whose it is.
async fn remove(setup: &ProviderSetup, id: &str, owner: &str) -> Done {
    let deleted = setup.provider.delete(id, owner);
    match muster_tasks::timeout(setup.timeout, deleted).await {
        Ok(DeleteAnswer::Gone | DeleteAnswer::Accepted) => Done::Deleted,
        Ok(DeleteAnswer::Refused(why) | DeleteAnswer::Unknown(why)) => Done::Failed(why),
        Err(late) => Done::Failed(late.to_string()),
    }
}
