//! Carries out what was decided.
//!
//! One action a server at a time, so many servers at once as the group's limit allows, every call
//! outward under a deadline whose end drops the future and with it the connection. How it went
//! becomes events of the ledger; what did not work is wanted again by a later decision.

mod create;
mod hosts;
mod remove;
mod sweep;

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use muster_scaler_core::config::PoolConfig;
use muster_scaler_core::{
    Action, Config, Event, Happening, ProviderId, Server, ServerName, ServerState,
};
use muster_tasks::Group;
use parking_lot::Mutex;

use crate::clock::Clock;
use crate::counters::Counters;
use crate::desk::{Change, Desk, DeskError};
use crate::listings::Lister;
use crate::runners::{Runners, RunnersError};

/// So many creations go on at a time, and so many other actions: a creation may take many minutes, for which
/// nothing that is paused or deleted may have to wait.
const AT_A_TIME: usize = 16;

/// A disk that took nothing is tried again after this, doubled each time up to the longest.
const DISK_WAIT: Duration = Duration::from_millis(500);
const LONGEST_DISK_WAIT: Duration = Duration::from_secs(30);

/// What is acted upon; one action each at a time.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Key {
    Server(ServerName),
    Host(u64),
    /// Whatever the ledger does not have.
    Sweep,
}

/// What actions need.
#[derive(Debug)]
pub(crate) struct Tools {
    pub(crate) config: Arc<Config>,
    pub(crate) clock: Arc<Clock>,
    pub(crate) desk: Desk,
    pub(crate) providers: BTreeMap<ProviderId, Arc<Lister>>,
    pub(crate) runners: Option<Arc<dyn Runners>>,
    pub(crate) counters: Arc<Counters>,
    /// What goes on, and what comes after it.
    busy: Mutex<BTreeMap<Key, Option<Action>>>,
}

impl Tools {
    pub(crate) fn new(
        config: Arc<Config>,
        clock: Arc<Clock>,
        desk: Desk,
        providers: BTreeMap<ProviderId, Arc<Lister>>,
        runners: Option<Arc<dyn Runners>>,
        counters: Arc<Counters>,
    ) -> Self {
        Self {
            config,
            clock,
            desk,
            providers,
            runners,
            counters,
            busy: Mutex::default(),
        }
    }

    fn server(&self, name: &ServerName) -> Option<Server> {
        self.desk.ledger().servers.get(name).cloned()
    }

    fn pool(&self, name: &str) -> Option<&PoolConfig> {
        self.config.pool.iter().find(|pool| pool.name == name)
    }

    fn event(&self, name: &ServerName, what: Happening) -> Event {
        Event::server(name, self.clock.now(), what)
    }

    /// Makes durable how something went. A disk that does not take it is tried until it does: what
    /// happened outside cannot be taken back. `false` if it does not fit the ledger any more.
    async fn note(&self, name: &ServerName, what: Happening) -> bool {
        self.note_all(vec![self.event(name, what)]).await
    }

    async fn note_all(&self, events: Vec<Event>) -> bool {
        let mut wait = DISK_WAIT;
        loop {
            match self.desk.events(events.clone()).await {
                Ok(()) => return true,
                Err(DeskError::Disk(why)) => {
                    self.counters.disk_failed(&why);
                    tokio::time::sleep(wait).await;
                    wait = (wait * 2).min(LONGEST_DISK_WAIT);
                }
                Err(error) => {
                    tracing::warn!(%error, "what happened does not fit the ledger");
                    return false;
                }
            }
        }
    }

    /// Makes an intent durable. Nothing is done if that fails.
    async fn intend(&self, change: Change) -> bool {
        match self.desk.change(change).await {
            Ok(()) => true,
            Err(error) => {
                if let DeskError::Disk(why) = &error {
                    self.counters.disk_failed(why);
                }
                tracing::warn!(%error, "an intent could not be written: nothing is done");
                false
            }
        }
    }

    /// Asks GitLab under a deadline.
    async fn gitlab<T>(
        &self,
        call: impl Future<Output = Result<T, RunnersError>>,
    ) -> Result<T, String> {
        match muster_tasks::timeout(self.gitlab_timeout(), call).await {
            Ok(Ok(value)) => Ok(value),
            Ok(Err(error)) => Err(error.to_string()),
            Err(late) => Err(late.to_string()),
        }
    }

    /// Changes the server's runner object after a fresh look; `false` if GitLab has it no more. An ID may be
    /// somebody else's by now (GitLab was restored, or is another one): then it is not the server's.
    async fn on_runner<C>(
        &self,
        runners: &Arc<dyn Runners>,
        server: &Server,
        change: impl FnOnce(u64) -> C,
    ) -> Result<bool, String>
    where
        C: Future<Output = Result<(), RunnersError>>,
    {
        let Some(id) = server.runner else {
            return Ok(false);
        };
        match self.gitlab(runners.view(id)).await? {
            Some(found) if found.name.0 == server.runner_name() => {
                self.gitlab(change(id)).await.map(|()| true)
            }
            _ => Ok(false),
        }
    }

    fn gitlab_timeout(&self) -> Duration {
        let gitlab = self.config.gitlab.as_ref();
        gitlab.map_or(Duration::from_secs(10), |gitlab| gitlab.timeout.get())
    }

    async fn pause(&self, name: &ServerName) {
        let Some(server) = self.server(name) else {
            return;
        };
        if server.state != ServerState::Draining {
            return;
        }
        let Some(runners) = &self.runners else {
            self.note(name, Happening::DrainPaused).await;
            return;
        };
        let paused = self.on_runner(runners, &server, |id| runners.pause(id));
        match paused.await {
            Ok(true) => {}
            // The next look at GitLab tells what has become of it.
            Ok(false) => return,
            Err(why) => {
                tracing::warn!(server = %name, why, "failed to pause a runner");
                self.counters.gitlab_failed(why);
                return;
            }
        }
        // Without this it is unknown whether it is still draining, and so paused.
        let state = self.server(name).map(|server| server.state);
        if state == Some(ServerState::Draining) {
            self.note(name, Happening::DrainPaused).await;
        }
    }

    async fn unpause(&self, name: &ServerName) {
        let server = self.server(name);
        let server = server.filter(|server| server.state.is_coming_or_there());
        let (Some(runners), Some(server)) = (&self.runners, server) else {
            return;
        };
        let unpaused = self.on_runner(runners, &server, |id| runners.unpause(id));
        if let Err(why) = unpaused.await {
            tracing::warn!(server = %name, why, "failed to let a runner take jobs again");
            self.counters.gitlab_failed(why);
        }
    }

    async fn carry_out(&self, action: Action) {
        match action {
            Action::Create(name, provider) => self.create(&name, &provider).await,
            Action::Pause(name) => self.pause(&name).await,
            Action::Unpause(name) => self.unpause(&name).await,
            Action::Delete(name) => self.remove(&name).await,
            Action::PauseHost(runner) => self.pause_host(runner).await,
            Action::UnpauseHost(runner) => self.unpause_host(runner).await,
        }
    }

    /// The servers for which something goes on.
    fn at_work(&self, name: &ServerName) -> bool {
        self.busy.lock().contains_key(&Key::Server(name.clone()))
    }
}

/// Starts actions.
#[derive(Debug)]
pub(crate) struct Reconciler {
    actions: Group,
    creations: Group,
    pub(crate) tools: Arc<Tools>,
}

impl Reconciler {
    pub(crate) fn new(group: &Group, tools: Arc<Tools>) -> Self {
        let limited = |name| group.builder(name).limit(AT_A_TIME).build();
        Self {
            actions: limited("actions"),
            creations: limited("creations"),
            tools,
        }
    }

    /// Begins an action. If one goes on for the same server, this one comes after it, in place of
    /// one that waits already.
    pub(crate) fn act(&self, action: Action) {
        let key = match &action {
            Action::Create(name, _)
            | Action::Pause(name)
            | Action::Unpause(name)
            | Action::Delete(name) => Key::Server(name.clone()),
            Action::PauseHost(runner) | Action::UnpauseHost(runner) => Key::Host(*runner),
        };
        let name = match &key {
            Key::Server(name) => format!("{} {name}", word(&action)),
            _ => word(&action).to_owned(),
        };
        self.start(key, name, Some(action));
    }

    /// Removes what the ledger does not have and nobody uses, unless that goes on already.
    pub(crate) fn sweep(&self) {
        self.start(Key::Sweep, "sweep".to_owned(), None);
    }

    fn start(&self, key: Key, name: String, action: Option<Action>) {
        {
            let mut busy = self.tools.busy.lock();
            if let Some(next) = busy.get_mut(&key) {
                // The same again is what goes on already, or what its end will show to be needed.
                *next = action;
                return;
            }
            busy.insert(key.clone(), None);
        }
        let done = Done {
            tools: Arc::clone(&self.tools),
            key,
        };
        let group = match action {
            Some(Action::Create(..)) => &self.creations,
            _ => &self.actions,
        };
        let started = group.go(name, async move {
            let mut action = action;
            loop {
                match action {
                    Some(action) => done.tools.carry_out(action).await,
                    None => done.tools.sweep().await,
                }
                match done.next() {
                    Some(next) => action = Some(next),
                    None => return,
                }
            }
        });
        if let Err(refused) = started {
            tracing::debug!(%refused, "an action was not begun: the scaler stops");
        }
    }

    /// Waits until nothing goes on.
    pub(crate) async fn settled(&self) {
        tokio::join!(self.actions.wait(), self.creations.wait());
    }

    /// How many actions go on.
    pub(crate) fn count(&self) -> usize {
        self.actions.count() + self.creations.count()
    }
}

/// Takes the key off the list, however the action ends.
struct Done {
    tools: Arc<Tools>,
    key: Key,
}

impl Done {
    /// What comes after; if nothing does, the key is free.
    fn next(&self) -> Option<Action> {
        let mut busy = self.tools.busy.lock();
        let next = busy.get_mut(&self.key).and_then(Option::take);
        if next.is_none() {
            busy.remove(&self.key);
        }
        next
    }
}

impl Drop for Done {
    fn drop(&mut self) {
        self.tools.busy.lock().remove(&self.key);
    }
}

fn word(action: &Action) -> &'static str {
    match action {
        Action::Create(..) => "create",
        Action::Pause(_) => "pause",
        Action::Unpause(_) => "unpause",
        Action::Delete(_) => "delete",
        Action::PauseHost(_) => "pause host",
        Action::UnpauseHost(_) => "unpause host",
    }
}
