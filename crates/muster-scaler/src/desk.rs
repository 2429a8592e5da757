//! The one writer of the ledger: a thread that decides, makes what changes durable, records it and
//! only then says so.

use std::sync::Arc;
use std::time::Duration;

use muster_scaler_core::{
    Config, Decision, Event, Happening, Ledger, Misfit, Observation, ServerName, Time,
};
use muster_tasks::Group;
use tokio::sync::{mpsc, oneshot, watch};

use crate::clock::Clock;
use crate::counters::Counters;
use crate::records::Recorder;
use crate::store::{Join, Kept, Store, StoreError};

/// So many changes wait at most; who brings more waits with them.
const QUEUE: usize = 256;

/// So many changes are made durable at once.
const BATCH: usize = 64;

/// A server that has joined may ask for its configuration again for so long.
const JOIN_AGAIN: Duration = Duration::from_secs(600);

/// What decides. Pure.
pub type Decide = fn(&Config, &Observation, &Ledger, Time) -> Decision;

/// Why the ledger did not change; the message completes "failed to ...".
#[derive(Clone, Debug, thiserror::Error)]
pub enum DeskError {
    /// It cannot have happened. Nothing is changed.
    #[error("change the ledger: {0}")]
    Misfit(#[from] Misfit),
    /// The disk does not take it. Nothing is changed; later it may be.
    #[error("{0}")]
    Disk(String),
    /// The word is not that of a server that may join now.
    #[error("join: the word is not known, or was used")]
    NoJoin,
    /// The scaler stops.
    #[error("change the ledger: the scaler stops")]
    Stopped,
}

/// Where the ledger is kept.
pub(crate) trait Keep: Send {
    /// Makes the difference between both durable.
    ///
    /// # Errors
    /// If that failed. Whether it is there is not known then; it is tried again with all that has
    /// changed since `from`.
    fn keep(&mut self, from: &Kept, to: &Kept) -> Result<(), StoreError>;
}

impl Keep for Store {
    fn keep(&mut self, from: &Kept, to: &Kept) -> Result<(), StoreError> {
        self.write(from, to)
    }
}

/// A ledger of a scaler that does not hold the lease: it is nowhere but in memory, and nothing is
/// done by it.
#[derive(Debug)]
pub(crate) struct Nowhere;

impl Keep for Nowhere {
    fn keep(&mut self, _: &Kept, _: &Kept) -> Result<(), StoreError> {
        Ok(())
    }
}

/// A server asks for its configuration.
#[derive(Debug)]
pub(crate) struct JoinAsk {
    /// The hash of its word.
    pub(crate) word: String,
    /// The hash of a number that it has made itself, if it has one.
    pub(crate) asked_by: Option<String>,
}

/// What changes with some events.
#[derive(Debug, Default)]
pub(crate) struct Change {
    pub(crate) events: Vec<Event>,
    /// What a server is given when it joins.
    pub(crate) join: Option<(ServerName, Join)>,
}

enum Request {
    Decide(Box<Observation>, Answer<Decision>),
    Change(Change, Answer<()>),
    Join(JoinAsk, Answer<(ServerName, String)>),
}

type Answer<T> = oneshot::Sender<Result<T, DeskError>>;

/// A handle of the writer. When the last is dropped, the writer ends.
#[derive(Clone, Debug)]
pub struct Desk {
    requests: mpsc::Sender<Request>,
    ledger: watch::Receiver<Arc<Ledger>>,
}

/// What the writer starts with.
pub(crate) struct Opening {
    pub(crate) config: Arc<Config>,
    pub(crate) decide: Decide,
    pub(crate) clock: Arc<Clock>,
    pub(crate) keep: Box<dyn Keep>,
    pub(crate) kept: Kept,
    pub(crate) recorder: Option<Recorder>,
    pub(crate) counters: Arc<Counters>,
}

impl Desk {
    /// Starts the writer, on a thread of the group.
    pub(crate) fn open(group: &Group, opening: Opening) -> Result<Self, muster_tasks::Closed> {
        let (requests, inbox) = mpsc::channel(QUEUE);
        let (publish, ledger) = watch::channel(Arc::clone(&opening.kept.ledger));
        let writer = Writer {
            opening,
            publish,
            batch: Vec::new(),
        };
        // It ends when nobody can ask it any more; what it was asked it finishes.
        drop(group.spawn_blocking("ledger", move |_| writer.run(inbox))?);
        Ok(Self { requests, ledger })
    }

    /// The ledger as it is on disk.
    pub fn ledger(&self) -> Arc<Ledger> {
        Arc::clone(&self.ledger.borrow())
    }

    /// Follows the ledger.
    pub fn follow(&self) -> watch::Receiver<Arc<Ledger>> {
        self.ledger.clone()
    }

    /// Decides by the ledger as it is then. When this returns the decision's events are durable.
    pub(crate) async fn decide(&self, observation: Observation) -> Result<Decision, DeskError> {
        let observation = Box::new(observation);
        self.ask(|answer| Request::Decide(observation, answer))
            .await
    }

    /// Makes all of a change durable, or nothing.
    pub(crate) async fn change(&self, change: Change) -> Result<(), DeskError> {
        self.ask(|answer| Request::Change(change, answer)).await
    }

    /// Makes events durable, all or none.
    pub(crate) async fn events(&self, events: Vec<Event>) -> Result<(), DeskError> {
        self.change(Change { events, join: None }).await
    }

    /// Lets the server join whose word this is: its name, and the text of its runner's configuration. Works once,
    /// but for the same server [`JOIN_AGAIN`].
    pub(crate) async fn join(&self, ask: JoinAsk) -> Result<(ServerName, String), DeskError> {
        self.ask(|answer| Request::Join(ask, answer)).await
    }

    async fn ask<T>(&self, request: impl FnOnce(Answer<T>) -> Request) -> Result<T, DeskError> {
        let (answer, answered) = oneshot::channel();
        let sent = self.requests.send(request(answer)).await;
        sent.map_err(|_| DeskError::Stopped)?;
        answered.await.map_err(|_| DeskError::Stopped)?
    }
}

struct Writer {
    opening: Opening,
    publish: watch::Sender<Arc<Ledger>>,
    batch: Vec<Request>,
}

/// What was applied and is told when it is durable.
type Told = Box<dyn FnOnce(Result<(), DeskError>) + Send>;

impl Writer {
    fn run(mut self, mut inbox: mpsc::Receiver<Request>) {
        while let Some(request) = inbox.blocking_recv() {
            self.batch.push(request);
            while self.batch.len() < BATCH
                && let Ok(request) = inbox.try_recv()
            {
                self.batch.push(request);
            }
            self.work();
        }
    }

    /// Applies what is in the batch, makes it durable, and answers.
    fn work(&mut self) {
        let from = self.opening.kept.clone();
        let (mut lines, mut all) = (Vec::new(), Vec::new());
        let mut told: Vec<Told> = Vec::new();
        for request in std::mem::take(&mut self.batch) {
            match request {
                Request::Decide(observation, answer) => {
                    let now = self.opening.clock.now();
                    let (config, kept) = (&self.opening.config, &self.opening.kept);
                    let decision = (self.opening.decide)(config, &observation, &kept.ledger, now);
                    let change = Change {
                        events: decision.events.clone(),
                        join: None,
                    };
                    match self.apply(change) {
                        Ok(events) => {
                            if let Some(recorder) = &self.opening.recorder {
                                lines.push(recorder.decision(&observation, &decision));
                            }
                            all.extend(events);
                            told.push(Box::new(move |result| {
                                let _ = answer.send(result.map(|()| decision));
                            }));
                        }
                        Err(misfit) => _ = answer.send(Err(misfit.into())),
                    }
                }
                Request::Change(change, answer) => match self.apply(change) {
                    Ok(events) => {
                        if let Some(recorder) = &self.opening.recorder {
                            lines.push(recorder.events(&events));
                        }
                        all.extend(events);
                        told.push(Box::new(move |result| _ = answer.send(result)));
                    }
                    Err(misfit) => _ = answer.send(Err(misfit.into())),
                },
                Request::Join(ask, answer) => match self.take_join(&ask) {
                    Some((name, config, events)) => {
                        if let Some(recorder) = &self.opening.recorder {
                            lines.push(recorder.events(&events));
                        }
                        all.extend(events);
                        told.push(Box::new(move |result| {
                            let _ = answer.send(result.map(|()| (name, config)));
                        }));
                    }
                    None => _ = answer.send(Err(DeskError::NoJoin)),
                },
            }
        }
        if told.is_empty() {
            return;
        }
        self.opening.kept.at = self.opening.clock.now();
        match self.opening.keep.keep(&from, &self.opening.kept) {
            Ok(()) => {
                if let Some(recorder) = &mut self.opening.recorder {
                    recorder.write(&lines, &from.ledger, self.opening.kept.at);
                }
                self.opening.counters.committed(&from.ledger, &all);
                let ledger = Arc::clone(&self.opening.kept.ledger);
                self.publish.send_replace(ledger);
                told.into_iter().for_each(|told| told(Ok(())));
            }
            Err(error) => {
                self.opening.kept = from;
                let error = DeskError::Disk(error.to_string());
                told.into_iter().for_each(|told| told(Err(error.clone())));
            }
        }
    }

    /// All of it, or nothing. Gives back the events.
    fn apply(&mut self, change: Change) -> Result<Vec<Event>, Misfit> {
        let kept = &mut self.opening.kept;
        // Whoever looks at the ledger as it was keeps it; it is copied once, whatever the change.
        let before = Arc::clone(&kept.ledger);
        let ledger = Arc::make_mut(&mut kept.ledger);
        for event in &change.events {
            if let Err(misfit) = ledger.apply(event) {
                kept.ledger = before;
                return Err(misfit);
            }
        }
        if let Some((name, join)) = change.join {
            kept.joins.insert(name, join);
        }
        let (servers, now) = (&kept.ledger.servers, self.opening.clock.now());
        kept.joins.retain(|name, join| {
            let server = servers.get(name);
            server.is_some_and(|server| match server.joined {
                None => true,
                Some(at) => join.asked_by.is_some() && now.since(at) < JOIN_AGAIN,
            })
        });
        Ok(change.events)
    }

    /// The configuration of the server whose word this is, and what changes with that.
    fn take_join(&mut self, ask: &JoinAsk) -> Option<(ServerName, String, Vec<Event>)> {
        let now = self.opening.clock.now();
        let kept = &mut self.opening.kept;
        let found = kept
            .joins
            .iter_mut()
            .find(|(_, join)| join.word == ask.word);
        let (name, join) = found?;
        let (name, config) = (name.clone(), join.config.clone());
        // A server that is being deleted does not join any more.
        let server = kept.ledger.servers.get(&name);
        let server = server.filter(|server| !server.state.is_going())?;
        if let Some(joined) = server.joined
            && join.asked_by.is_some()
        {
            let may = join.asked_by == ask.asked_by && now.since(joined) < JOIN_AGAIN;
            return may.then_some((name, config, Vec::new()));
        }
        join.asked_by.clone_from(&ask.asked_by);
        let events = vec![Event::server(&name, now, Happening::Joined)];
        let change = Change { events, join: None };
        match self.apply(change) {
            Ok(events) => Some((name, config, events)),
            Err(_) => {
                if let Some(join) = self.opening.kept.joins.get_mut(&name) {
                    join.asked_by = None;
                }
                None
            }
        }
    }
}
