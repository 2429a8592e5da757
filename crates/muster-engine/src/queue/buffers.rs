//! The folders of all queues on disk: each output has one, named after its ID.

use std::collections::{BTreeSet, HashMap};
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, OnceLock, Weak};

use muster_config::{BufferStrategy, OutputSettings};
use muster_metric::Timestamp;
use muster_options::OptionError;
use muster_plugin::ComponentId;
use muster_tasks::Group;
use parking_lot::Mutex;

use super::log::{Log, OpenError};
use super::{Limits, OutputQueue};
use crate::stats::Stats;

/// Makes the queues of outputs, and knows those on disk.
#[derive(Debug, Default)]
pub(crate) struct Buffers {
    /// Where folders are when the configuration does not say. Without it nothing goes to a disk.
    directory: OnceLock<PathBuf>,
    on_disk: Mutex<HashMap<ComponentId, Weak<OutputQueue>>>,
}

impl Buffers {
    /// From now on queues may be on disk. The first call counts.
    pub(crate) fn allow(&self, directory: &Path) {
        let _ = self.directory.set(directory.to_owned());
    }

    /// The queue of a new output, opened on a thread of `group` if it is on disk. An output that has
    /// not ended yet keeps its queue: the new one of the same ID gets that.
    ///
    /// With `retry`, and when the disk is full, a folder that cannot be opened is left to be opened
    /// later; metrics wait in memory until then.
    pub(crate) async fn queue(
        &self,
        settings: &OutputSettings,
        group: &Group,
        stats: &Stats,
        retry: bool,
    ) -> Result<Arc<OutputQueue>, OptionError> {
        let limits = Limits::of(settings);
        let on_disk = settings.buffer_strategy == BufferStrategy::DiskWriteThrough;
        let Some(directory) = self.directory.get().filter(|_| on_disk) else {
            return Ok(OutputQueue::new(limits));
        };
        let id = stats.id();
        if let Some(known) = self.known(id) {
            return Ok(known);
        }
        let directory = settings.buffer_directory.as_ref().unwrap_or(directory);
        let folder = directory.join(&*id.id);
        let log = match open(&folder, limits, group).await {
            Ok(log) => Some(log),
            Err(refused) if refused.is_passing || retry => {
                stats.startup_errors.fetch_add(1, Relaxed);
                let why = format!("{}; metrics wait in memory meanwhile", refused.why);
                stats.error(why, Timestamp::now());
                None
            }
            Err(refused) => return Err(OptionError::new("buffer_strategy", refused.why)),
        };
        let queue = OutputQueue::on_disk(limits, folder, log);
        self.note(id, &queue);
        Ok(queue)
    }

    fn known(&self, id: &ComponentId) -> Option<Arc<OutputQueue>> {
        let known = self.on_disk.lock().get(id)?.upgrade()?;
        known.folder().is_some().then_some(known)
    }

    /// Remembers an output's queue if it is on disk.
    pub(crate) fn note(&self, id: &ComponentId, queue: &Arc<OutputQueue>) {
        let mut on_disk = self.on_disk.lock();
        on_disk.retain(|_, queue| queue.strong_count() > 0);
        if queue.folder().is_some() {
            on_disk.insert(id.clone(), Arc::downgrade(queue));
        }
    }

    /// Folders with metrics that no output uses. Blocks on the disk.
    pub(crate) fn left_over(&self) -> Vec<PathBuf> {
        let queues: Vec<_> = self
            .on_disk
            .lock()
            .values()
            .filter_map(Weak::upgrade)
            .collect();
        let used: BTreeSet<_> = queues.iter().filter_map(|queue| queue.folder()).collect();
        let directories: BTreeSet<&Path> = used
            .iter()
            .filter_map(|folder| folder.parent())
            .chain(self.directory.get().map(PathBuf::as_path))
            .collect();
        let entries = directories
            .iter()
            .filter_map(|path| fs::read_dir(path).ok());
        let folders = entries.flatten().flatten().map(|entry| entry.path());
        folders
            .filter(|folder| !used.contains(folder) && folder.join("position").is_file())
            .collect()
    }
}

impl Limits {
    /// What an output's settings say.
    pub(crate) fn of(settings: &OutputSettings) -> Self {
        Self {
            metrics: settings.metric_buffer_limit.max(1),
            bytes: settings.buffer_bytes,
            batch: settings.metric_batch_size.max(1),
            sync: settings.buffer_disk_sync,
        }
    }
}

/// Why a log was not opened.
struct Refused {
    why: String,
    /// It may work later without anybody changing the configuration.
    is_passing: bool,
}

async fn open(folder: &Path, limits: Limits, group: &Group) -> Result<Log, Refused> {
    let path = folder.to_owned();
    let opening = group.spawn_blocking("open buffer", move |_| Log::open(&path, limits.bounds()));
    let not_done = |error: &dyn std::fmt::Display| Refused {
        why: format!("failed to open the buffer {}: {error}", folder.display()),
        is_passing: false,
    };
    let opened = opening.map_err(|closed| not_done(&closed))?.join().await;
    let opened = opened.into_result().map_err(|error| not_done(&error))?;
    opened.map_err(|error| Refused {
        why: format!("failed to {error}"),
        is_passing: matches!(&error, OpenError::Io { source, .. } if source.kind() == ErrorKind::StorageFull),
    })
}
