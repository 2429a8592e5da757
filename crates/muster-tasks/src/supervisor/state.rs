//! What a supervisor knows of its children; shared by its handles, its driver and the children.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::{Notify, broadcast};
use tokio::time::Instant;

use super::backoff::Restarts;
use super::child::{ChildSpec, Exit, Launch, Report, Restart, Shutdown};
use super::{
    AutoShutdown, ChildEvent, ChildId, ChildInfo, ChildState, Settings, Strategy, SupervisorError,
};
use crate::error::Closed;
use crate::group::Group;
use crate::shared::{EntryRef, Live as LiveEntry};
use crate::signal::{HAS_CTX, SCOPED};
use crate::snapshot::TaskInfo;

pub(super) struct Shared {
    pub(super) settings: Settings,
    state: Mutex<State>,
    /// A child has ended, or there is another pause to wait for.
    pub(super) wake: Notify,
    /// The supervisor has come to its end.
    pub(super) over: Notify,
    pub(super) events: OnceLock<broadcast::Sender<ChildEvent>>,
}

#[derive(Default)]
struct State {
    /// In the order in which they were given.
    children: BTreeMap<u64, Child>,
    last_id: u64,
    generations: u64,
    exits: VecDeque<(u64, u64, Exit)>,
    /// Children to start, and when.
    due: BTreeMap<(Instant, u64), u64>,
    restarts: Restarts,
    /// Nothing is started any more.
    stopping: bool,
    result: Option<Result<(), SupervisorError>>,
}

struct Child {
    spec: ChildSpec,
    generation: u64,
    status: Status,
    restarts: u64,
    /// Restarts in a row.
    streak: u32,
}

enum Status {
    Running {
        entry: EntryRef,
        since: Instant,
    },
    /// It was told to end. With `restart` it is started again afterwards.
    Ending {
        entry: EntryRef,
        restart: Option<Duration>,
    },
    /// It has ended and will be started again.
    Pausing,
}

/// What the end of a child calls for.
pub(super) enum Verdict {
    Nothing,
    /// Other children are to be ended, in this order, and then started again after the pause.
    EndOthers(Vec<u64>, Duration),
    /// The supervisor's work is done.
    Finish,
    GiveUp(SupervisorError),
}

/// A child that has a task when the supervisor is stopped.
pub(super) struct Live {
    pub(super) id: u64,
    pub(super) shutdown: Shutdown,
    pub(super) entry: EntryRef,
}

/// A listed child that is to be launched outside of the lock.
type Listed = (LiveEntry, Report, Arc<dyn Launch>);

impl Shared {
    pub(super) fn new(settings: Settings) -> Self {
        Self {
            settings,
            state: Mutex::new(State::default()),
            wake: Notify::new(),
            over: Notify::new(),
            events: OnceLock::new(),
        }
    }

    fn tell(&self, event: impl FnOnce() -> ChildEvent) {
        if let Some(events) = self.events.get() {
            // Nobody may be listening.
            let _ = events.send(event());
        }
    }

    // --- starting ---

    pub(super) fn add(self: &Arc<Self>, group: &Group, spec: ChildSpec) -> Result<ChildId, Closed> {
        let (id, launch) = {
            let mut state = self.state.lock();
            if state.stopping {
                return Err(group.inner.refuse(&spec.name, group.inner.why_closed()));
            }
            let id = state.last_id + 1;
            let (live, report) = state.enter(self, group, id, &spec)?;
            state.last_id = id;
            let launch = Arc::clone(&spec.launch);
            let child = Child {
                status: Status::running(live.share()),
                spec,
                generation: report.generation,
                restarts: 0,
                streak: 0,
            };
            state.children.insert(id, child);
            (id, (live, report, launch))
        };
        self.launch(group, id, launch);
        Ok(ChildId(id))
    }

    fn launch(&self, group: &Group, id: u64, (live, report, launch): Listed) {
        self.tell(|| ChildEvent::Started {
            id: ChildId(id),
            name: live.name.clone(),
        });
        launch.launch(group, live, report);
    }

    /// Starts the children whose pause is over. Returns when the next one's is.
    pub(super) fn start_due(self: &Arc<Self>, group: &Group) -> Option<Instant> {
        let now = Instant::now();
        loop {
            let (id, launch) = {
                let mut state = self.state.lock();
                if state.stopping {
                    return None;
                }
                match state.due.first_key_value() {
                    Some(((at, _), _)) if *at <= now => {}
                    next => return next.map(|((at, _), _)| *at),
                }
                let ((_, id), generation) = state.due.pop_first()?;
                let Some(spec) = state.pausing(id, generation) else {
                    continue;
                };
                let Ok((live, report)) = state.enter(self, group, id, &spec) else {
                    return None;
                };
                if let Some(child) = state.children.get_mut(&id) {
                    child.generation = report.generation;
                    child.status = Status::running(live.share());
                }
                (id, (live, report, spec.launch))
            };
            self.launch(group, id, launch);
        }
    }

    // --- ends ---

    /// One generation of a child is gone.
    pub(super) fn exited(&self, id: u64, generation: u64, exit: Exit) {
        let mut state = self.state.lock();
        if !state.stopping {
            state.exits.push_back((id, generation, exit));
            drop(state);
            self.wake.notify_one();
        }
    }

    pub(super) fn next_exit(&self) -> Option<(u64, u64, Exit)> {
        self.state.lock().exits.pop_front()
    }

    /// Decides what the end of a child calls for. `random` is from 0 to 1.
    pub(super) fn judge(
        &self,
        id: u64,
        generation: u64,
        exit: Exit,
        random: f64,
        path: &str,
    ) -> Verdict {
        let mut state = self.state.lock();
        let state = &mut *state;
        let Some(child) = state.children.get_mut(&id) else {
            return Verdict::Nothing;
        };
        if child.generation != generation || state.stopping {
            return Verdict::Nothing;
        }
        let since = match &child.status {
            Status::Running { since, .. } => *since,
            Status::Ending {
                restart: Some(pause),
                ..
            } => {
                let pause = *pause;
                state.pause(&[id], pause);
                return Verdict::Nothing;
            }
            Status::Ending { restart: None, .. } => {
                let name = child.spec.name.clone();
                let gone = state.children.remove(&id);
                self.tell(|| ChildEvent::Stopped {
                    id: ChildId(id),
                    name,
                });
                drop(gone);
                return Verdict::Nothing;
            }
            Status::Pausing => return Verdict::Nothing,
        };
        let name = child.spec.name.clone();
        let again = match child.spec.rules.restart {
            Restart::Permanent => true,
            Restart::Transient => !exit.is_normal(),
            Restart::Temporary => false,
        };
        if !again {
            let significant = child.spec.rules.significant;
            let gone = state.children.remove(&id);
            self.tell(|| ChildEvent::Ended {
                id: ChildId(id),
                name,
                exit,
                restart_in: None,
            });
            let finish = significant && state.is_finished(self.settings.auto_shutdown);
            drop(gone);
            return if finish {
                Verdict::Finish
            } else {
                Verdict::Nothing
            };
        }
        let (now, backoff) = (Instant::now(), self.settings.backoff);
        if state.restarts.note(now, self.settings.intensity) {
            self.tell(|| ChildEvent::GaveUp {
                id: ChildId(id),
                name: name.clone(),
                exit: exit.clone(),
            });
            return Verdict::GiveUp(SupervisorError::TooManyRestarts {
                supervisor: path.into(),
                child: name,
                exit,
                intensity: self.settings.intensity,
            });
        }
        if now.saturating_duration_since(since) >= backoff.reset_after {
            child.streak = 0;
        }
        let pause = backoff.pause(child.streak, random);
        child.streak = child.streak.saturating_add(1);
        child.restarts += 1;
        child.status = Status::Pausing;
        self.tell(|| ChildEvent::Ended {
            id: ChildId(id),
            name,
            exit,
            restart_in: Some(pause),
        });
        let others: Vec<u64> = match self.settings.strategy {
            Strategy::OneForOne => {
                state.pause(&[id], pause);
                return Verdict::Nothing;
            }
            Strategy::OneForAll => state.children.keys().rev().copied().collect(),
            Strategy::RestForOne => state
                .children
                .range(id..)
                .rev()
                .map(|(id, _)| *id)
                .collect(),
        };
        Verdict::EndOthers(others, pause)
    }

    /// Begins to end a child for good, or with a pause to start it again. Returns what is needed to see it to
    /// its end; `None` if it does not run.
    pub(super) fn begin_end(
        &self,
        id: u64,
        pause: Option<Duration>,
    ) -> Option<(EntryRef, Shutdown)> {
        let mut state = self.state.lock();
        let child = state.children.get_mut(&id)?;
        let entry = match &child.status {
            Status::Running { entry, .. } => entry.clone(),
            Status::Ending { entry, restart } => {
                // Who wants it to end for good is not overruled.
                if pause.is_some() && restart.is_none() {
                    return None;
                }
                entry.clone()
            }
            Status::Pausing => {
                if pause.is_none() {
                    // The restart is called off: nothing finds the child any more.
                    state.children.remove(&id);
                }
                return None;
            }
        };
        let temporary = child.spec.rules.restart == Restart::Temporary;
        child.status = Status::Ending {
            entry: entry.clone(),
            restart: pause.filter(|_| !temporary),
        };
        Some((entry, child.spec.rules.shutdown))
    }

    /// A child that was told to end for good is gone.
    pub(super) fn remove_ended(&self, id: u64) {
        let mut state = self.state.lock();
        let child = state.children.get(&id);
        let gone = match child.map(|child| &child.status) {
            Some(Status::Ending {
                entry,
                restart: None,
            }) if entry.has_ended() => state.children.remove(&id),
            _ => None,
        };
        drop(state);
        if let Some(child) = gone {
            self.tell(|| ChildEvent::Stopped {
                id: ChildId(id),
                name: child.spec.name.clone(),
            });
        }
    }

    /// Has children started again after a pause, as soon as they have ended.
    pub(super) fn pause(&self, ids: &[u64], pause: Duration) {
        self.state.lock().pause(ids, pause);
    }

    // --- the end of all ---

    /// Nothing is started any more. Returns the running children in the order of their start.
    pub(super) fn begin_stop(&self) -> Vec<Live> {
        let mut state = self.state.lock();
        state.stopping = true;
        state.due.clear();
        let live = state
            .children
            .iter()
            .filter_map(|(id, child)| match &child.status {
                Status::Running { entry, .. } | Status::Ending { entry, .. } => Some(Live {
                    id: *id,
                    shutdown: child.spec.rules.shutdown,
                    entry: entry.clone(),
                }),
                Status::Pausing => None,
            });
        live.collect()
    }

    /// The supervisor has come to its end; the first result counts.
    pub(super) fn finish(&self, result: Result<(), SupervisorError>) {
        let (children, exits) = {
            let mut state = self.state.lock();
            state.stopping = true;
            state.due.clear();
            state.result.get_or_insert(result);
            (
                std::mem::take(&mut state.children),
                std::mem::take(&mut state.exits),
            )
        };
        drop((children, exits));
        self.over.notify_waiters();
    }

    pub(super) fn result(&self) -> Option<Result<(), SupervisorError>> {
        self.state.lock().result.clone()
    }

    pub(super) fn len(&self) -> usize {
        self.state.lock().children.len()
    }

    pub(super) fn infos(&self) -> Vec<ChildInfo> {
        let state = self.state.lock();
        let infos = state.children.iter().map(|(id, child)| {
            let (state, entry) = match &child.status {
                Status::Running { entry, .. } => (ChildState::Running, Some(entry)),
                Status::Ending { entry, .. } => (ChildState::Ending, Some(entry)),
                Status::Pausing => (ChildState::Pausing, None),
            };
            ChildInfo {
                id: ChildId(*id),
                name: child.spec.name.clone(),
                state,
                generation: child.generation,
                restarts: child.restarts,
                task: entry.map(|entry| TaskInfo::of(entry)),
            }
        });
        infos.collect()
    }
}

impl Status {
    fn running(entry: EntryRef) -> Self {
        Self::Running {
            entry,
            since: Instant::now(),
        }
    }
}

impl State {
    /// Lists the next generation of a child. Runs no code of the child.
    fn enter(
        &mut self,
        shared: &Arc<Shared>,
        group: &Group,
        id: u64,
        spec: &ChildSpec,
    ) -> Result<(LiveEntry, Report), Closed> {
        let generation = self.generations + 1;
        let report = Report {
            shared: Arc::clone(shared),
            id,
            generation,
        };
        let bits = HAS_CTX | SCOPED;
        let (live, []) = group.enter(spec.name.clone(), spec.location, bits)?;
        self.generations = generation;
        Ok((live, report))
    }

    /// The child that waits for its start, if it is still this one.
    fn pausing(&self, id: u64, generation: u64) -> Option<ChildSpec> {
        let child = self.children.get(&id)?;
        let is_it = child.generation == generation && matches!(child.status, Status::Pausing);
        is_it.then(|| child.spec.clone())
    }

    fn pause(&mut self, ids: &[u64], pause: Duration) {
        let at = Instant::now() + pause;
        for id in ids {
            let Some(child) = self.children.get_mut(id) else {
                continue;
            };
            match &child.status {
                Status::Pausing => {}
                Status::Ending {
                    entry,
                    restart: Some(_),
                } if entry.has_ended() => {
                    child.status = Status::Pausing;
                }
                // It is started when it has ended.
                _ => continue,
            }
            self.due.insert((at, *id), child.generation);
        }
    }

    /// Whether the end of a significant child was the end of the supervisor's work.
    fn is_finished(&self, auto: AutoShutdown) -> bool {
        match auto {
            AutoShutdown::Never => false,
            AutoShutdown::AnySignificant => true,
            AutoShutdown::AllSignificant => !self
                .children
                .values()
                .any(|child| child.spec.rules.significant),
        }
    }
}
