//! Changes, one at a time: decide, prepare, persist, commit.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

use muster_config::{AgentSettings, Config, Definition, Tags};
use muster_engine::{Change, Engine, Prepared, Stopped};
use muster_metric::Timestamp;
use muster_plugin::ComponentId;
use muster_tasks::{Group, Outcome};
use parking_lot::Mutex;

use crate::change::{Applied, ChangeError, Request, edits};
use crate::desired::{
    Definitions, Edit, Edits, Overlay, Overlays, difference, effective, overlay_for, overlays_for,
    redo, undo,
};
use crate::store::{KEPT_CHANGES, Record, Store, Stored};

/// How often what inputs keep is written to disk.
const SAVE_EVERY: Duration = Duration::from_secs(1);

/// How often what processors and aggregators remember is written to disk: it may be large.
const COLLECT_EVERY: u32 = 10;

/// Overlays that differ, with what they are now; `None` for none.
type OverlayChanges = BTreeMap<ComponentId, Option<Overlay>>;

/// Owns the desired state. Cheap to clone; all clones are one.
#[derive(Clone, Debug)]
pub struct Controller {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    engine: Engine,
    store: Arc<Store>,
    group: Group,
    /// One change at a time.
    changing: tokio::sync::Mutex<()>,
    current: Mutex<Current>,
    /// Set when the agent stops: no change is committed any more.
    stopping: AtomicBool,
}

#[derive(Clone, Debug, Default)]
struct Current {
    generation: u64,
    files: Arc<Definitions>,
    overlays: Arc<Overlays>,
    definitions: Arc<Definitions>,
    agent: Arc<AgentSettings>,
    global_tags: Arc<Tags>,
    reload: Option<Reload>,
}

/// How the last reading of the files went.
#[derive(Clone, Debug)]
pub struct Reload {
    /// When, in nanoseconds since 1970.
    pub at: i64,
    /// What was wrong; `None` if nothing was.
    pub error: Option<String>,
}

/// How a generation differs from another one.
#[derive(Clone, Debug)]
pub struct Difference {
    /// From this generation.
    pub from: u64,
    /// To this one.
    pub to: u64,
    /// What was done on the way, by component.
    pub edits: Edits,
}

impl Controller {
    /// Starts what is desired: what the files say, overlaid by what the API said in earlier runs.
    ///
    /// # Errors
    /// If a component of the files cannot be built or started. One that came by the API never
    /// keeps the agent from starting: it is shown as failing and tried again.
    pub async fn start(
        group: &Group,
        engine: Engine,
        store: Arc<Store>,
        stored: Stored,
        config: Config,
    ) -> Result<Self, ChangeError> {
        let files = by_id(config.definitions);
        let definitions = effective(&files, &stored.overlays);
        let current = Current {
            generation: stored.generation,
            files: Arc::new(files),
            overlays: Arc::new(stored.overlays),
            definitions: Arc::new(definitions.clone()),
            agent: Arc::new(config.agent),
            global_tags: config.global_tags,
            reload: None,
        };
        let edits = difference(&stored.definitions, &definitions);
        let put = definitions.values().cloned().collect();
        let change = Change {
            put,
            remove: Vec::new(),
            agent: Arc::clone(&current.agent),
            global_tags: Arc::clone(&current.global_tags),
            lenient: current.overlays.keys().cloned().collect(),
        };
        let inner = Inner {
            engine,
            store,
            group: group.group("control"),
            changing: tokio::sync::Mutex::new(()),
            current: Mutex::new(current),
            stopping: AtomicBool::new(false),
        };
        let controller = Self {
            inner: Arc::new(inner),
        };
        let prepared = controller.prepare(&change).await?;
        if !edits.is_empty() {
            let next = controller.inner.current.lock().clone();
            controller
                .persist(next, edits, "start", String::new(), OverlayChanges::new())
                .await?;
        }
        controller.inner.engine.commit(prepared);
        controller.keep_states();
        Ok(controller)
    }

    /// Makes a change, or says why it cannot be made. When this returns a success, the change is
    /// durable and runs.
    ///
    /// # Errors
    /// Everything that is wrong with it; then nothing of it was done.
    ///
    /// # Cancel safety
    /// The change goes on if the future is dropped.
    pub async fn apply(&self, request: Request) -> Result<Applied, ChangeError> {
        self.in_task(move |this| async move { this.apply_now(request).await })
            .await
    }

    /// Takes over what the files say now. What the API said stays over it.
    ///
    /// # Errors
    /// As [`apply`](Self::apply); then the last good state runs on.
    pub async fn reload(&self, config: Config) -> Result<Applied, ChangeError> {
        let outcome = self
            .in_task(move |this| async move { this.reload_now(config).await })
            .await;
        self.note_reload(outcome.as_ref().err().map(ToString::to_string));
        outcome
    }

    /// Notes that the files could not even be read.
    pub fn note_reload(&self, error: Option<String>) {
        let at = Timestamp::now().nanos();
        self.inner.current.lock().reload = Some(Reload { at, error });
    }

    /// Makes the desired state what it was at a generation, as a new change.
    ///
    /// # Errors
    /// As [`apply`](Self::apply), and if the generation is not kept.
    pub async fn rollback(&self, generation: u64, dry_run: bool) -> Result<Applied, ChangeError> {
        self.in_task(move |this| async move { this.rollback_now(generation, dry_run).await })
            .await
    }

    /// Starts a component anew as it is defined: one that is quarantined is tried at once.
    ///
    /// # Errors
    /// If there is no such component, or it cannot be started.
    pub async fn restart(&self, id: &ComponentId) -> Result<Applied, ChangeError> {
        let id = id.clone();
        self.in_task(move |this| async move {
            let _one_at_a_time = this.inner.changing.lock().await;
            let now = this.inner.current.lock().clone();
            let missing = || ChangeError::NotFound(vec![format!("there is no {id}")]);
            let definition = now.definitions.get(&id).cloned().ok_or_else(missing)?;
            let restart = Definitions::from([(id.clone(), definition)]);
            this.make_with(now, Edits::new(), restart, "api", String::new(), false)
                .await
        })
        .await
    }

    /// The present generation.
    pub fn generation(&self) -> u64 {
        self.inner.current.lock().generation
    }

    /// One desired definition.
    pub fn definition(&self, id: &ComponentId) -> Option<Arc<Definition>> {
        self.inner.current.lock().definitions.get(id).cloned()
    }

    /// The agent's settings.
    pub fn agent(&self) -> (Arc<AgentSettings>, Arc<Tags>) {
        let current = self.inner.current.lock();
        (Arc::clone(&current.agent), Arc::clone(&current.global_tags))
    }

    /// How the last reading of the files went.
    pub fn last_reload(&self) -> Option<Reload> {
        self.inner.current.lock().reload.clone()
    }

    /// What runs the components.
    pub fn engine(&self) -> &Engine {
        &self.inner.engine
    }

    /// The changes, the latest first, none after `up_to`.
    ///
    /// # Errors
    /// If they cannot be read.
    pub async fn history(&self, up_to: u64, most: usize) -> Result<Vec<Record>, ChangeError> {
        self.with_store(move |store| Ok(store.history(up_to, most)?))
            .await
    }

    /// What lies between two generations.
    ///
    /// # Errors
    /// If one of them is not kept.
    pub async fn difference(&self, from: u64, to: u64) -> Result<Difference, ChangeError> {
        let (before, after) = (
            self.definitions_at(from).await?,
            self.definitions_at(to).await?,
        );
        Ok(Difference {
            from,
            to,
            edits: difference(&before, &after),
        })
    }

    /// Ends everything in at most `within`, and keeps what components want kept.
    pub async fn stop(&self, within: Duration) -> Stopped {
        self.inner.stopping.store(true, Relaxed);
        // A change that is being made ends first, if it does not take long.
        let patience = within / 10;
        drop(muster_tasks::timeout(patience, self.inner.changing.lock()).await);
        let stopped = self
            .inner
            .engine
            .stop(within.saturating_sub(patience))
            .await;
        if let Err(error) = self.save_states().await {
            tracing::error!("what inputs keep could not be saved: {error}");
        }
        stopped
    }

    async fn apply_now(&self, request: Request) -> Result<Applied, ChangeError> {
        let _one_at_a_time = self.inner.changing.lock().await;
        let now = self.inner.current.lock().clone();
        if let Some(base) = request.base.filter(|base| *base != now.generation) {
            let between = self.difference(base, now.generation).await;
            let differs = between
                .map(|d| d.edits.into_keys().collect())
                .unwrap_or_default();
            return Err(ChangeError::Stale {
                base,
                current: now.generation,
                differs,
            });
        }
        let edits = edits(&now.definitions, &request.steps)?;
        self.make(now, edits, request.by, request.message, request.dry_run)
            .await
    }

    async fn reload_now(&self, config: Config) -> Result<Applied, ChangeError> {
        let _one_at_a_time = self.inner.changing.lock().await;
        let mut now = self.inner.current.lock().clone();
        let settings_changed =
            *now.agent != config.agent || *now.global_tags != *config.global_tags;
        now.files = Arc::new(by_id(config.definitions));
        now.agent = Arc::new(config.agent);
        now.global_tags = config.global_tags;
        // What the API removed and the files no longer have needs no marker any more.
        let files = Arc::clone(&now.files);
        Arc::make_mut(&mut now.overlays)
            .retain(|id, o| !matches!(o, Overlay::Removed) || files.contains_key(id));
        let wanted = effective(&now.files, &now.overlays);
        let edits = difference(&now.definitions, &wanted);
        let restart = if settings_changed {
            wanted.clone()
        } else {
            Definitions::new()
        };
        self.make_with(now, edits, restart, "files", String::new(), false)
            .await
    }

    async fn rollback_now(&self, generation: u64, dry_run: bool) -> Result<Applied, ChangeError> {
        let _one_at_a_time = self.inner.changing.lock().await;
        let wanted = self.definitions_at(generation).await?;
        let now = self.inner.current.lock().clone();
        let edits = difference(&now.definitions, &wanted);
        let message = format!("back to generation {generation}");
        self.make(now, edits, "rollback", message, dry_run).await
    }

    async fn make(
        &self,
        now: Current,
        edits: Edits,
        by: &str,
        message: String,
        dry_run: bool,
    ) -> Result<Applied, ChangeError> {
        self.make_with(now, edits, Definitions::new(), by, message, dry_run)
            .await
    }

    /// Prepares, persists and commits. `restart` are components to start anew although their
    /// definitions did not change.
    async fn make_with(
        &self,
        next: Current,
        edits: Edits,
        restart: Definitions,
        by: &str,
        message: String,
        dry_run: bool,
    ) -> Result<Applied, ChangeError> {
        let restarted = restart.keys().filter(|id| !edits.contains_key(*id)).count();
        let mut put = restart;
        let mut remove = Vec::new();
        for (id, edit) in &edits {
            match &edit.after {
                Some(after) => drop(put.insert(id.clone(), Arc::clone(after))),
                None => remove.push(id.clone()),
            }
        }
        let change = Change {
            put: put.into_values().collect(),
            remove,
            agent: Arc::clone(&next.agent),
            global_tags: Arc::clone(&next.global_tags),
            lenient: Default::default(),
        };
        let prepared = self.prepare(&change).await?;
        if dry_run {
            return Ok(Applied {
                generation: next.generation,
                edits,
                restarted,
                dry_run,
            });
        }
        if self.inner.stopping.load(Relaxed) {
            return Err(ChangeError::Stopping);
        }
        let overlays = self.overlay_changes(&next, &edits);
        let generation = if edits.is_empty() {
            if !overlays.is_empty() {
                let overlays = overlays.clone();
                self.with_store(move |store| Ok(store.write_overlays(&overlays)?))
                    .await?;
            }
            let generation = next.generation;
            self.take_over(next, generation, &edits, &overlays);
            generation
        } else {
            self.persist(next, edits.clone(), by, message, overlays)
                .await?
        };
        self.inner.engine.commit(prepared);
        Ok(Applied {
            generation,
            edits,
            restarted,
            dry_run,
        })
    }

    /// Which overlays the edits, and `next`'s files, make other than those that are persisted.
    fn overlay_changes(&self, next: &Current, edits: &Edits) -> OverlayChanges {
        let (files, overlays) = {
            let current = self.inner.current.lock();
            (Arc::clone(&current.files), Arc::clone(&current.overlays))
        };
        if !Arc::ptr_eq(&files, &next.files) {
            let mut definitions = Definitions::clone(&next.definitions);
            redo(&mut definitions, edits);
            return difference_of_overlays(&overlays, &overlays_for(&next.files, &definitions));
        }
        let overlay = |(id, edit): (&ComponentId, &Edit)| {
            let overlay = overlay_for(files.get(id), edit.after.as_ref());
            (overlays.get(id) != overlay.as_ref()).then(|| (id.clone(), overlay))
        };
        edits.iter().filter_map(overlay).collect()
    }

    /// Makes `next`, edited, the present state. What is large is edited in place: copied only
    /// while somebody else looks at it.
    fn take_over(&self, next: Current, generation: u64, edits: &Edits, overlays: &OverlayChanges) {
        drop((next.definitions, next.overlays));
        let mut current = self.inner.current.lock();
        current.generation = generation;
        current.files = next.files;
        current.agent = next.agent;
        current.global_tags = next.global_tags;
        redo(Arc::make_mut(&mut current.definitions), edits);
        if !overlays.is_empty() {
            let own = Arc::make_mut(&mut current.overlays);
            for (id, overlay) in overlays {
                match overlay {
                    Some(overlay) => drop(own.insert(id.clone(), overlay.clone())),
                    None => drop(own.remove(id)),
                }
            }
        }
    }

    async fn prepare(&self, change: &Change) -> Result<Prepared, ChangeError> {
        self.inner
            .engine
            .prepare(change)
            .await
            .map_err(ChangeError::Refused)
    }

    /// Writes the change durably, then makes `next`, edited, the present state.
    async fn persist(
        &self,
        next: Current,
        edits: Edits,
        by: &str,
        message: String,
        overlays: OverlayChanges,
    ) -> Result<u64, ChangeError> {
        let generation = next.generation + 1;
        let record = Record {
            generation,
            at: Timestamp::now().nanos(),
            by: by.to_owned(),
            message,
            edits,
        };
        let (record, overlays) = self
            .with_store(move |store| {
                store.write(&record, &overlays)?;
                Ok((record, overlays))
            })
            .await?;
        self.take_over(next, generation, &record.edits, &overlays);
        Ok(generation)
    }

    /// The definitions of a generation: the present ones, with the changes since taken back.
    async fn definitions_at(&self, generation: u64) -> Result<Definitions, ChangeError> {
        let (present, mut definitions) = {
            let current = self.inner.current.lock();
            (current.generation, Definitions::clone(&current.definitions))
        };
        if generation > present {
            return Err(ChangeError::NoGeneration(generation));
        }
        let most = usize::try_from(KEPT_CHANGES).unwrap_or(usize::MAX);
        let records = self.history(present, most).await?;
        let since: Vec<_> = records
            .iter()
            .take_while(|r| r.generation > generation)
            .collect();
        if since.len() as u64 != present - generation {
            return Err(ChangeError::NoGeneration(generation));
        }
        for record in since {
            undo(&mut definitions, &record.edits);
        }
        Ok(definitions)
    }

    fn keep_states(&self) {
        let this = self.clone();
        let keeping = self.inner.group.go_cx("keep-states", move |cx| async move {
            let mut round = 0u32;
            while cx.run(tokio::time::sleep(SAVE_EVERY)).await.is_ok() {
                round = round.wrapping_add(1);
                if round.is_multiple_of(COLLECT_EVERY) {
                    this.inner.engine.collect_states();
                }
                if let Err(error) = this.save_states().await {
                    tracing::error!("what components keep could not be saved: {error}");
                }
            }
        });
        if let Err(closed) = keeping {
            tracing::debug!("{closed}");
        }
    }

    async fn save_states(&self) -> Result<(), ChangeError> {
        let changes = self.inner.engine.states().take_changes();
        if changes.is_empty() {
            return Ok(());
        }
        let kept = changes.clone();
        let written = self
            .with_store(move |store| Ok(store.write_states(&changes)?))
            .await;
        if written.is_err() {
            self.inner.engine.states().put_back(kept);
        }
        written
    }

    /// Runs disk work on a thread of its own.
    async fn with_store<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Store) -> Result<T, ChangeError> + Send + 'static,
    ) -> Result<T, ChangeError> {
        let store = Arc::clone(&self.inner.store);
        let handle = self
            .inner
            .group
            .spawn_blocking("store", move |_| work(&store));
        match handle.map_err(|_| ChangeError::Stopping)?.join().await {
            Outcome::Done(result) => result,
            _ => Err(ChangeError::Stopping),
        }
    }

    /// Runs a change in a task of its own: who asked may go away, the change goes on.
    async fn in_task<T, F>(
        &self,
        work: impl FnOnce(Self) -> F + Send + 'static,
    ) -> Result<T, ChangeError>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, ChangeError>> + Send + 'static,
    {
        let handle = self.inner.group.spawn("change", work(self.clone()));
        match handle.map_err(|_| ChangeError::Stopping)?.join().await {
            Outcome::Done(result) => result,
            _ => Err(ChangeError::Stopping),
        }
    }
}

fn by_id(definitions: Vec<Definition>) -> Definitions {
    definitions
        .into_iter()
        .map(|d| (d.id.clone(), Arc::new(d)))
        .collect()
}

/// Which overlays differ, with what they are now.
fn difference_of_overlays(before: &Overlays, after: &Overlays) -> OverlayChanges {
    let mut changes = OverlayChanges::new();
    for id in before.keys().filter(|id| !after.contains_key(*id)) {
        changes.insert(id.clone(), None);
    }
    for (id, overlay) in after
        .iter()
        .filter(|(id, overlay)| before.get(*id) != Some(*overlay))
    {
        changes.insert(id.clone(), Some(overlay.clone()));
    }
    changes
}
