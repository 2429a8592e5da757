//! One look, one decision, and what follows from it, again and again.

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use muster_options::format_duration;
use muster_scaler_core::config::Mode;
use muster_scaler_core::{
    Action, Alarm, Config, Decision, Event, Happening, Observation, ProviderId, Reading, Server,
    ServerState, Time,
};
use muster_tasks::Group;
use parking_lot::Mutex;
use tokio::sync::{Notify, watch};

use crate::clock::Clock;
use crate::counters::Counters;
use crate::desk::{Decide, Desk, DeskError, Keep, Nowhere, Opening};
use crate::lease::Lease;
use crate::listings::{Lister, ProviderSetup};
use crate::observer::{Observe, Seen};
use crate::reconcile::{Reconciler, Tools};
use crate::records::Recorder;
use crate::runners::Runners;
use crate::status::Status;
use crate::store::{Kept, Store, StoreError};

/// What belongs to no server is looked for this often.
const SWEEP_EVERY: Duration = Duration::from_secs(60);

/// An observation that takes longer is not waited for: what it was to tell is unknown.
const LONGEST_LOOK: Duration = Duration::from_secs(10);

/// An alarm of the scaler's own stands so long after its cause.
const ALARM_STANDS: Duration = Duration::from_secs(600);

/// What a controller is made of.
#[derive(Clone, Debug)]
pub struct Setup {
    /// The configuration.
    pub config: Arc<Config>,
    /// The state directory.
    pub state: PathBuf,
    /// The providers of all pools.
    pub providers: BTreeMap<ProviderId, ProviderSetup>,
    /// GitLab's runner objects; none in the reduced mode.
    pub runners: Option<Arc<dyn Runners>>,
    /// Who looks at the pools.
    pub observer: Arc<dyn Observe>,
    /// What decides: [`muster_scaler_core::decide`].
    pub decide: Decide,
}

/// Failed to begin; the message completes "failed to ...".
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The ledger cannot be had.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The group takes no more tasks.
    #[error("start the scaler: {0}")]
    Closed(#[from] muster_tasks::Closed),
}

/// A scaler. It lives in a group; stopping that stops it.
#[derive(Debug)]
pub struct Controller {
    setup: Setup,
    group: Group,
    clock: Arc<Clock>,
    reconciler: Reconciler,
    /// None: another scaler holds it; why.
    lease: Result<Lease, String>,
    looking: Arc<Looking>,
    counters: Arc<Counters>,
    alarms: Mutex<BTreeMap<&'static str, (Time, String)>>,
    swept: Mutex<Option<Time>>,
    status: watch::Sender<Arc<Status>>,
    wake: Arc<Notify>,
}

/// A look that goes on, and what the last one saw.
#[derive(Debug, Default)]
struct Looking {
    seen: Mutex<Option<Seen>>,
    busy: Mutex<bool>,
    done: Notify,
}

impl Controller {
    /// Takes the lease, reads the ledger, and makes ready. Asks nobody yet. Without the lease the
    /// controller looks and explains, and does nothing; it must be made anew to try again.
    ///
    /// # Errors
    /// If the ledger cannot be had.
    pub async fn start(group: &Group, setup: Setup) -> Result<Self, StartError> {
        let state = setup.state.clone();
        let opened =
            group.spawn_blocking("open the ledger", move |_| match Lease::take(&state) {
                Ok(lease) => Store::open(&state).map(|opened| (Ok(lease), Some(opened))),
                Err(error) => Ok((Err(error.to_string()), None)),
            })?;
        let opened = opened.join().await.into_result();
        let (lease, opened) = opened.unwrap_or_else(|why| Ok((Err(why.to_string()), None)))?;
        let (keep, kept, lost): (Box<dyn Keep>, _, _) = match opened {
            Some(opened) => (Box::new(opened.store), opened.kept, opened.lost),
            None => (Box::new(Nowhere), Kept::default(), None),
        };
        let clock = Arc::new(Clock::start(kept.at));
        Self::with(group, setup, lease, keep, kept, lost, clock)
    }

    pub(crate) fn with(
        group: &Group,
        setup: Setup,
        lease: Result<Lease, String>,
        keep: Box<dyn Keep>,
        kept: Kept,
        lost: Option<String>,
        clock: Arc<Clock>,
    ) -> Result<Self, StartError> {
        let counters = Arc::new(Counters::default());
        let records = setup.state.join("records");
        let recorder = lease
            .is_ok()
            .then(|| Recorder::new(records, &setup.config, Arc::clone(&counters.records)));
        let desk = Desk::open(
            group,
            Opening {
                config: Arc::clone(&setup.config),
                decide: setup.decide,
                clock: Arc::clone(&clock),
                keep,
                kept,
                recorder,
                counters: Arc::clone(&counters),
            },
        )?;
        let listed = |(id, provider): (&ProviderId, &ProviderSetup)| {
            let owner = setup.config.owner.clone();
            let clock = Arc::clone(&clock);
            let lister = Lister::new(id.clone(), provider.clone(), owner, clock);
            (id.clone(), Arc::new(lister))
        };
        let providers = setup.providers.iter().map(listed).collect();
        let tools = Tools::new(
            Arc::clone(&setup.config),
            Arc::clone(&clock),
            desk,
            providers,
            setup.runners.clone(),
            Arc::clone(&counters),
        );
        let reconciler = Reconciler::new(group, Arc::new(tools));
        let controller = Self {
            group: group.clone(),
            clock,
            reconciler,
            lease,
            looking: Arc::default(),
            counters,
            alarms: Mutex::default(),
            swept: Mutex::default(),
            status: watch::channel(Arc::default()).0,
            wake: Arc::default(),
            setup,
        };
        if let Some(lost) = lost {
            tracing::error!("{lost}; the servers are adopted from their labels");
            controller.raise(
                "ledger_lost",
                format!("{lost}; the servers are adopted from their labels"),
            );
        }
        Ok(controller)
    }

    fn tools(&self) -> &Arc<Tools> {
        &self.reconciler.tools
    }

    /// The one writer of the ledger.
    pub fn desk(&self) -> &Desk {
        &self.tools().desk
    }

    /// What is going on, as of the last decision.
    pub fn status(&self) -> watch::Receiver<Arc<Status>> {
        self.status.subscribe()
    }

    /// Wakes the loop up: something has happened.
    pub fn waker(&self) -> Arc<Notify> {
        Arc::clone(&self.wake)
    }

    /// The configuration.
    pub fn config(&self) -> &Config {
        &self.setup.config
    }

    /// The state directory.
    pub fn state(&self) -> &std::path::Path {
        &self.setup.state
    }

    /// The time that it goes by.
    pub fn clock(&self) -> &Arc<Clock> {
        &self.clock
    }

    /// What was interrupted when the scaler ended: whoever was being asked for a server has answered
    /// nobody.
    ///
    /// # Errors
    /// If that cannot be written.
    pub async fn resume(&self) -> Result<(), DeskError> {
        if self.lease.is_err() {
            return Ok(());
        }
        let now = self.clock.now();
        let ledger = self.desk().ledger();
        let why = "the scaler ended while the provider was asked";
        let forgotten = |server: &Server| match server.state {
            ServerState::Requested => Some(Happening::AnswerLost(why.to_owned())),
            // The clock before may have been another, and so no measure of how far apart two looks are.
            ServerState::Draining => {
                let seen = server.drain.as_ref().and_then(|drain| drain.first_empty);
                seen.map(|_| Happening::DrainLooked(false))
            }
            _ => None,
        };
        let servers = ledger.servers.values();
        let events = servers.filter_map(|s| Some(Event::server(&s.name, now, forgotten(s)?)));
        let events: Vec<Event> = events.collect();
        if events.is_empty() {
            return Ok(());
        }
        self.desk().events(events).await
    }

    /// Looks, decides, makes that durable, and begins what follows from it.
    ///
    /// # Errors
    /// If the decision could not be written: then nothing is done.
    pub async fn tick(&self) -> Result<Decision, DeskError> {
        let observation = self.look().await;
        let decided = self.desk().decide(observation).await;
        let decision = match decided {
            Ok(decision) => decision,
            Err(error) => {
                self.raise(
                    "ledger_write",
                    format!("failed to {error}: nothing is done"),
                );
                self.publish(None);
                return Err(error);
            }
        };
        if self.holds_lease().is_ok() {
            for action in &decision.actions {
                self.reconciler.act(action.clone());
            }
            self.sweep_when_due();
        }
        self.check_clock();
        self.publish(Some(&decision));
        Ok(decision)
    }

    /// Waits until no action goes on.
    pub async fn settled(&self) {
        self.reconciler.settled().await;
    }

    /// Decides at every tick and when it is woken, until it is cancelled by the group's stop.
    pub async fn run(&self) {
        let tick = self.setup.config.tick.get();
        loop {
            let begun = tokio::time::Instant::now();
            if let Err(error) = self.tick().await {
                if matches!(error, DeskError::Stopped) {
                    return;
                }
                tracing::error!(%error, "no decision was made");
            }
            let woken = async {
                self.wake.notified().await;
                // Many webhooks at once are one reason.
                tokio::time::sleep_until(begun + tick / 10).await;
            };
            tokio::select! {
                () = tokio::time::sleep_until(begun + tick) => {}
                () = woken => {}
            }
        }
    }

    /// Takes back what would harm if nobody watched: hosts that are paused by us. Whatever does not
    /// work in the time stays on disk and is taken back after the next start.
    pub async fn relax(&self, within: Duration) {
        if self.setup.config.mode != Mode::On || self.holds_lease().is_err() {
            return;
        }
        for runner in self.desk().ledger().paused_hosts.keys() {
            self.reconciler.act(Action::UnpauseHost(*runner));
        }
        let _ = muster_tasks::timeout(within, self.settled()).await;
    }

    /// Whether this scaler may act.
    ///
    /// # Errors
    /// Why not.
    pub fn holds_lease(&self) -> Result<(), String> {
        match &self.lease {
            Ok(lease) => lease.check(),
            Err(why) => Err(why.clone()),
        }
    }

    /// All that is seen within the time that a look may take.
    async fn look(&self) -> Observation {
        let bound = self.setup.config.tick.get().min(LONGEST_LOOK);
        let end = tokio::time::Instant::now() + bound;
        self.begin_look();
        let listings = self.begin_listings();
        let late = tokio::time::timeout_at(end, self.looked()).await.is_err();
        if late {
            self.counters.was_late();
        }
        let _ = tokio::time::timeout_at(end, listings).await;
        let now = self.clock.now();
        let seen = self.looking.seen.lock().take();
        let seen = seen.unwrap_or_else(|| {
            let bound = format_duration(bound);
            Seen::nothing(&format!("the look was not over within {bound}"))
        });
        let providers = self.tools().providers.values();
        Observation {
            at: now,
            pools: seen.pools,
            listings: providers
                .map(|lister| (lister.id.clone(), lister.latest()))
                .collect(),
            runners: seen.runners,
            ended: seen.ended,
            lease: self.holds_lease(),
        }
    }

    /// Begins to look, unless a look goes on.
    fn begin_look(&self) {
        {
            let mut busy = self.looking.busy.lock();
            if std::mem::replace(&mut *busy, true) {
                return;
            }
        }
        let (observer, looking) = (Arc::clone(&self.setup.observer), Arc::clone(&self.looking));
        let (ledger, now) = (self.desk().ledger(), self.clock.moment());
        let look = async move {
            let over = Over(looking);
            let seen = observer.observe(now, &ledger).await;
            *over.0.seen.lock() = Some(seen);
        };
        if let Err(refused) = self.group.go("look", look) {
            tracing::debug!(%refused, "no look: the scaler stops");
        }
    }

    /// Waits until no look goes on.
    async fn looked(&self) {
        loop {
            let done = self.looking.done.notified();
            if !*self.looking.busy.lock() {
                return;
            }
            done.await;
        }
    }

    /// Begins to list the providers that were not for long, and all of which something is to be
    /// learnt; waits for them.
    fn begin_listings(&self) -> impl Future<Output = ()> + use<> {
        let now = self.clock.now();
        let ledger = self.desk().ledger();
        let asks = |id: &ProviderId| {
            let of = |state| matches!(state, ServerState::Unknown | ServerState::Requested);
            ledger
                .servers
                .values()
                .any(|s| s.provider == *id && of(s.state))
        };
        let mut waits = Vec::new();
        for lister in self.tools().providers.values() {
            let config = &self.setup.config;
            let (tick, seldom) = (config.tick.get(), config.list_every.get());
            let every = if asks(&lister.id) {
                tick.min(seldom)
            } else {
                seldom
            };
            if !lister.is_due(now - every + Duration::from_millis(1)) {
                continue;
            }
            let lister = Arc::clone(lister);
            let list = async move {
                let _ = lister.list_after(now - Duration::from_millis(1)).await;
            };
            if let Ok(handle) = self.group.spawn("list", list) {
                waits.push(handle);
            }
        }
        async move {
            for handle in waits {
                let _ = handle.join().await;
            }
        }
    }

    fn sweep_when_due(&self) {
        if self.setup.config.mode != Mode::On {
            return;
        }
        let now = self.clock.now();
        let mut swept = self.swept.lock();
        if swept.is_none_or(|at| now.since(at) >= SWEEP_EVERY) {
            *swept = Some(now);
            self.reconciler.sweep();
        }
    }

    fn check_clock(&self) {
        if let Some(jump) = self.clock.jumped() {
            self.counters.clock_jumped();
            let text = format!(
                "the wall clock jumped by {:.1} s; the scaler goes on by the time that has passed",
                jump as f64 / 1000.0
            );
            tracing::warn!("{text}");
            self.raise("clock_jump", text);
        }
        if let Some(why) = self.counters.take_disk_error() {
            self.raise("ledger_write", format!("failed to {why}"));
        }
        if let Some(why) = self.counters.take_gitlab_error() {
            self.raise("gitlab_failed", format!("a call to GitLab failed: {why}"));
        }
    }

    fn raise(&self, code: &'static str, text: String) {
        let now = self.clock.now();
        self.alarms.lock().insert(code, (now, text));
    }

    fn publish(&self, decision: Option<&Decision>) {
        let now = self.clock.now();
        let own = {
            let mut alarms = self.alarms.lock();
            alarms.retain(|_, (at, _)| now.since(*at) < ALARM_STANDS);
            let alarm = |(code, (_, text)): (&&str, &(Time, String))| Alarm {
                code: (*code).to_owned(),
                pool: None,
                text: text.clone(),
            };
            alarms.iter().map(alarm).collect::<Vec<_>>()
        };
        let before = Arc::clone(&self.status.borrow());
        let decision = match decision {
            Some(decision) => Some(Arc::new(decision.clone())),
            None => before.decision.clone(),
        };
        let mut alarms = own;
        alarms.extend(decision.iter().flat_map(|decision| decision.alarms.clone()));
        let providers = self.tools().providers.values();
        let status = Status {
            at: now,
            mode: self.setup.config.mode,
            owner: self.setup.config.owner.clone(),
            lease: self.holds_lease(),
            ledger: self.desk().ledger(),
            decision,
            alarms,
            providers: providers
                .map(|lister| {
                    (
                        lister.id.clone(),
                        crate::status::provider(&lister.latest(), now),
                    )
                })
                .collect(),
            actions: self.reconciler.count(),
            counts: self.counters.counts(),
        };
        self.status.send_replace(Arc::new(status));
    }
}

/// Says that the look is over, however it ends.
struct Over(Arc<Looking>);

impl Drop for Over {
    fn drop(&mut self) {
        *self.0.busy.lock() = false;
        self.0.done.notify_waiters();
    }
}

/// What a reading says of itself.
pub(crate) fn why<T>(reading: &Reading<T>) -> Option<&str> {
    match reading {
        Reading::Known { .. } => None,
        Reading::Unknown { why } => Some(why),
    }
}
