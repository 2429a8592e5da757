//! GitLab as the scaler sees it: its runner objects, what they run, and what waits.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use async_trait::async_trait;
use futures_util::stream::{self, StreamExt};
use muster_gitlab::{Error, Gitlab, NewRunner, Options, RunnerInfo, RunnerType};
use muster_options::Secret;
use muster_scaler_core::config::{Config, GitlabConfig, Relief};
use muster_scaler_core::{Ledger, Reading, RunnerView, ServerName, Time};
use parking_lot::Mutex;

use crate::{MakeAnswer, OwnedRunner, RunnerListing, RunnerSpec, Runners, RunnersError};

/// How many requests run at a time.
pub(super) const AT_ONCE: usize = 8;

/// How long it is remembered which runner object is which permanent host's.
const HOSTS_KEPT: Duration = Duration::from_secs(600);

/// The most runners that are not ours whose processes are looked at.
const MOST_FOREIGN: usize = 300;

/// The runner objects of a GitLab.
#[derive(Debug)]
pub struct GitlabRunners {
    gitlab: Gitlab,
    owner: String,
    runner_type: RunnerType,
    scope: Option<u64>,
    relieves: bool,
    hosts: Mutex<Hosts>,
}

/// Which runner objects are whose, and which are paused.
#[derive(Debug, Default)]
pub(super) struct Hosts {
    /// By the `system_id` of a process: the runner that is this process's alone.
    by_system_id: HashMap<String, u64>,
    looked: Option<Time>,
    /// As of the last list.
    paused: HashMap<u64, bool>,
    listed: Option<Time>,
}

/// What the list of runners told.
#[derive(Debug)]
pub(super) struct Listed {
    ours: Vec<OwnedRunner>,
    foreign: Vec<RunnerInfo>,
}

impl GitlabRunners {
    /// The runners of the configured GitLab. Sends nothing.
    ///
    /// # Errors
    /// If the configuration is wrong.
    pub fn new(config: &Config, gitlab: &GitlabConfig) -> Result<Self, Error> {
        let runner_type = match gitlab.runner_type.as_str() {
            "group_type" => RunnerType::GroupType,
            "project_type" => RunnerType::ProjectType,
            _ => RunnerType::InstanceType,
        };
        let options = Options {
            url: gitlab.url.clone(),
            token: gitlab.token.clone(),
            token_file: gitlab.token_file.clone(),
            timeout: gitlab.timeout.get(),
        };
        let mut pools = config.pool.iter();
        Ok(Self {
            gitlab: Gitlab::new(&options)?,
            owner: config.owner.clone(),
            runner_type,
            scope: gitlab.runner_scope,
            relieves: pools.any(|pool| pool.overload.relief == Relief::PauseHost),
            hosts: Mutex::default(),
        })
    }

    /// The client.
    pub const fn gitlab(&self) -> &Gitlab {
        &self.gitlab
    }

    async fn list(&self, owner: &str) -> Result<Listed, Error> {
        let all = self.runner_type == RunnerType::InstanceType;
        let mut listed = Listed {
            ours: Vec::new(),
            foreign: Vec::new(),
        };
        for runner in self.gitlab.runners(all).await? {
            let description = runner.description.as_deref().unwrap_or_default();
            match name_in(description, owner) {
                Some(name) => listed.ours.push(OwnedRunner {
                    id: runner.id,
                    name,
                    paused: runner.paused,
                }),
                None => listed.foreign.push(runner),
            }
        }
        Ok(listed)
    }

    /// Our servers as GitLab sees them. `clock` gives the time at which each was looked at.
    ///
    /// Of two objects with one name (an answer was lost, and another was made) only one has a token
    /// that a server was given: the one that a process uses, or else the one that the ledger knows.
    pub(super) async fn views(
        &self,
        ledger: &Ledger,
        clock: &(dyn Fn() -> Time + Sync),
    ) -> Reading<BTreeMap<ServerName, RunnerView>> {
        let at = clock();
        let listed = match self.list(&self.owner).await {
            Ok(listed) => listed,
            Err(error) => return Reading::unknown(error.to_string()),
        };
        self.look_at_hosts(&listed, at).await;
        let look = |runner: OwnedRunner| async move {
            let view = self.view_of(&runner, at, clock).await;
            (runner.name, view)
        };
        let servers = ledger.servers.values();
        let known: BTreeMap<u64, ServerName> = servers
            .filter_map(|server| {
                Some((server.runner?, ServerName(server.runner_name().to_owned())))
            })
            .collect();
        let mut unlisted = known.clone();
        for runner in &listed.ours {
            unlisted.remove(&runner.id);
        }
        let look_afresh = |(id, name): (u64, ServerName)| async move {
            let view = self.view_of_unlisted(id, &name, clock).await?;
            Some((name, view))
        };
        let unlisted = stream::iter(unlisted)
            .map(look_afresh)
            .buffer_unordered(AT_ONCE)
            .filter_map(std::future::ready);
        let unlisted: Vec<_> = unlisted.collect().await;
        let views = stream::iter(listed.ours)
            .map(look)
            .buffer_unordered(AT_ONCE);
        let rank = |view: &RunnerView| {
            let joined = view.joined.value().copied();
            let is_known = known.contains_key(&view.runner);
            (
                joined == Some(true),
                is_known,
                joined.is_none(),
                view.runner,
            )
        };
        let mut by_name: BTreeMap<ServerName, RunnerView> = BTreeMap::new();
        for (name, view) in views.collect::<Vec<_>>().await.into_iter().chain(unlisted) {
            let is_better = |other: &RunnerView| rank(&view) > rank(other);
            if by_name.get(&name).is_none_or(is_better) {
                by_name.insert(name, view);
            }
        }
        Reading::known(by_name, at)
    }

    /// A runner of the ledger that the list left out: the pages moved, the token may not list it any more, or
    /// somebody has described it anew. Only when GitLab says so is it gone.
    async fn view_of_unlisted(
        &self,
        id: u64,
        name: &ServerName,
        clock: &(dyn Fn() -> Time + Sync),
    ) -> Option<RunnerView> {
        let at = clock();
        let why = match self.gitlab.runner(id).await {
            Err(error) if error.is_not_found() => return None,
            Err(error) => error.to_string(),
            Ok(found) => match name_in(
                found.description.as_deref().unwrap_or_default(),
                &self.owner,
            ) {
                Some(described) if described == *name => {
                    let (name, paused) = (described, found.paused);
                    return Some(
                        self.view_of(&OwnedRunner { id, name, paused }, at, clock)
                            .await,
                    );
                }
                _ => format!(
                    "the description of the runner {id} is not the one that it was made with"
                ),
            },
        };
        Some(RunnerView {
            runner: id,
            joined: Reading::unknown(&*why),
            paused: Reading::unknown(&*why),
            running: Reading::unknown(why),
        })
    }

    async fn view_of(
        &self,
        runner: &OwnedRunner,
        listed: Time,
        clock: &(dyn Fn() -> Time + Sync),
    ) -> RunnerView {
        let at = clock();
        let mut view = RunnerView {
            runner: runner.id,
            joined: Reading::unknown(""),
            paused: Reading::known(runner.paused, listed),
            running: Reading::unknown(""),
        };
        let managers = match self.gitlab.managers(runner.id).await {
            Ok(managers) => managers,
            Err(error) => {
                let why = error.to_string();
                (view.joined, view.running) = (Reading::unknown(&*why), Reading::unknown(why));
                return view;
            }
        };
        view.joined = Reading::known(!managers.is_empty(), at);
        let busy = managers
            .iter()
            .filter(|manager| manager.is_busy() == Some(true))
            .count();
        // GitLab says of each process whether it runs a job at all, and lists only those jobs that
        // the token's user may see: a runner is empty only if both say so.
        if busy == 0
            && managers
                .iter()
                .all(|manager| manager.is_busy() == Some(false))
        {
            view.running = Reading::known(0, at);
            return view;
        }
        let at = clock();
        view.running = match self.gitlab.running_jobs(runner.id, None).await {
            Ok(jobs) => {
                let running = jobs.len().max(busy);
                Reading::known(u32::try_from(running).unwrap_or(u32::MAX), at)
            }
            Err(error) => Reading::unknown(error.to_string()),
        };
        view
    }

    /// Learns now and then which permanent host has a runner object of its own; only where hosts
    /// may be paused.
    async fn look_at_hosts(&self, listed: &Listed, now: Time) {
        let due = {
            let mut hosts = self.hosts.lock();
            hosts.paused = listed
                .foreign
                .iter()
                .map(|runner| (runner.id, runner.paused))
                .collect();
            hosts.listed = Some(now);
            let looked = hosts.looked;
            self.relieves && looked.is_none_or(|looked| now.since(looked) >= HOSTS_KEPT)
        };
        if !due || listed.foreign.len() > MOST_FOREIGN {
            return;
        }
        let look = |id: u64| async move { (id, self.gitlab.managers(id).await) };
        let ids: Vec<u64> = listed.foreign.iter().map(|runner| runner.id).collect();
        let looked = stream::iter(ids).map(look).buffer_unordered(AT_ONCE);
        let looked: Vec<_> = looked.collect().await;
        let mut by_system_id: HashMap<String, Option<u64>> = HashMap::new();
        for (id, managers) in looked {
            let Ok(managers) = managers else {
                return;
            };
            let alone = (managers.len() == 1).then_some(id);
            for manager in managers {
                // A process of two runners has none for itself.
                by_system_id
                    .entry(manager.system_id)
                    .and_modify(|known| *known = None)
                    .or_insert(alone);
            }
        }
        let mut hosts = self.hosts.lock();
        hosts.by_system_id = by_system_id
            .into_iter()
            .filter_map(|(system_id, id)| Some((system_id, id?)))
            .collect();
        hosts.looked = Some(now);
    }

    /// The runner object that is this process's alone, and whether it is paused.
    pub(super) fn runner_of(&self, system_id: &str) -> Option<(u64, Reading<bool>)> {
        let hosts = self.hosts.lock();
        let id = *hosts.by_system_id.get(system_id)?;
        let paused = match (hosts.paused.get(&id), hosts.listed) {
            (Some(paused), Some(at)) => Reading::known(*paused, at),
            _ => Reading::unknown("GitLab does not list the runner"),
        };
        Some((id, paused))
    }
}

/// A runner's description: whose it is and for which server. Lists have descriptions and no notes.
fn description(owner: &str, name: &ServerName) -> String {
    format!("muster {owner} {name}")
}

/// The server's name in a description of this owner's.
fn name_in(text: &str, owner: &str) -> Option<ServerName> {
    let name = text
        .strip_prefix("muster ")?
        .strip_prefix(owner)?
        .strip_prefix(' ')?;
    (!name.is_empty() && !name.contains(' ')).then(|| ServerName(name.to_owned()))
}

fn failed(error: &Error) -> RunnersError {
    RunnersError(error.to_string())
}

#[async_trait]
impl Runners for GitlabRunners {
    async fn make_runner(&self, spec: &RunnerSpec) -> MakeAnswer {
        let note = format!(
            "Made by Muster's scaler \"{}\" for the server {} of the pool {}. It deletes this \
             runner when the server is gone.",
            spec.owner, spec.name, spec.pool
        );
        let new = NewRunner {
            runner_type: self.runner_type,
            scope: self.scope,
            description: description(&spec.owner, &spec.name),
            tags: spec.tags.clone(),
            run_untagged: spec.run_untagged,
            paused: false,
            maintenance_note: note.chars().take(1024).collect(),
        };
        match self.gitlab.make_runner(&new).await {
            Ok(made) => MakeAnswer::Made {
                id: made.id,
                token: made.token,
            },
            Err(error) if error.may_have_happened() => MakeAnswer::Unknown(error.to_string()),
            Err(error) => MakeAnswer::Refused(error.to_string()),
        }
    }

    async fn pause(&self, runner: u64) -> Result<(), RunnersError> {
        self.set(runner, true).await
    }

    async fn unpause(&self, runner: u64) -> Result<(), RunnersError> {
        self.set(runner, false).await
    }

    async fn delete(&self, runner: u64) -> Result<(), RunnersError> {
        let deleted = self.gitlab.delete_runner(runner).await;
        deleted.map_err(|error| failed(&error))
    }

    async fn view(&self, runner: u64) -> Result<Option<OwnedRunner>, RunnersError> {
        match self.gitlab.runner(runner).await {
            Ok(found) => {
                let description = found.description.unwrap_or_default();
                Ok(name_in(&description, &self.owner).map(|name| OwnedRunner {
                    id: found.id,
                    name,
                    paused: found.paused,
                }))
            }
            Err(error) if error.is_not_found() => Ok(None),
            Err(error) => Err(failed(&error)),
        }
    }

    async fn exists(&self, runner: u64) -> Result<bool, RunnersError> {
        match self.gitlab.runner(runner).await {
            Ok(_) => Ok(true),
            Err(error) if error.is_not_found() => Ok(false),
            Err(error) => Err(failed(&error)),
        }
    }

    async fn list_owned(&self, owner: &str) -> Result<RunnerListing, RunnersError> {
        let listed = self.list(owner).await.map_err(|error| failed(&error))?;
        Ok(RunnerListing {
            runners: listed.ours,
            // A page that is missing is an error, and so is a list that is too long.
            complete: true,
        })
    }
}

impl GitlabRunners {
    async fn set(&self, runner: u64, paused: bool) -> Result<(), RunnersError> {
        let set = self.gitlab.set_paused(runner, paused).await;
        let set = set.map_err(|error| failed(&error))?;
        if set.paused != paused {
            let now = if set.paused { "paused" } else { "not paused" };
            return Err(RunnersError(format!(
                "GitLab says that the runner is {now}"
            )));
        }
        Ok(())
    }

    /// A token's secret is never needed here but to ask; this says only whether one is configured.
    pub(super) fn has_token(config: &GitlabConfig) -> bool {
        let given: &Secret = &config.token;
        !given.is_empty() || !config.token_file.as_os_str().is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn descriptions_say_whose_they_are() {
        let name = ServerName("docker-small-1a".to_owned());
        let text = description("prod-1", &name);
        assert_eq!(name_in(&text, "prod-1"), Some(name));
        for owner in ["prod", "prod-10", "prod-2", ""] {
            assert_eq!(name_in(&text, owner), None, "{owner}");
        }
        assert_eq!(name_in("muster prod-1 two words", "prod-1"), None);
        assert_eq!(name_in("somebody's runner", "prod-1"), None);
    }
}
