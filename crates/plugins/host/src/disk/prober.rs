//! Asking file systems for their size, though some may never answer.

use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use muster_plugin::GatherContext;
use parking_lot::Mutex;
use tokio::time::Instant;

/// What a file system says of its size.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Space {
    /// Bytes.
    pub(super) total: u64,
    /// Bytes that unprivileged users can still write.
    pub(super) free: u64,
    /// Bytes.
    pub(super) used: u64,
    pub(super) inodes_total: u64,
    pub(super) inodes_free: u64,
}

impl Space {
    fn of(path: &Path) -> io::Result<Self> {
        let stat = rustix::fs::statvfs(path)?;
        let bytes = |blocks: u64| blocks.saturating_mul(stat.f_frsize);
        Ok(Self {
            total: bytes(stat.f_blocks),
            free: bytes(stat.f_bavail),
            used: bytes(stat.f_blocks.saturating_sub(stat.f_bfree)),
            inodes_total: stat.f_files,
            inodes_free: stat.f_ffree,
        })
    }

    pub(super) fn inodes_used(&self) -> u64 {
        self.inodes_total.saturating_sub(self.inodes_free)
    }

    pub(super) fn used_percent(&self) -> f64 {
        percent(self.used, self.used.saturating_add(self.free))
    }

    pub(super) fn inodes_used_percent(&self) -> f64 {
        percent(self.inodes_used(), self.inodes_total)
    }
}

fn percent(part: u64, whole: u64) -> f64 {
    if whole == 0 {
        0.0
    } else {
        100.0 * part as f64 / whole as f64
    }
}

type Ask = Arc<dyn Fn(&Path) -> io::Result<Space> + Send + Sync>;

/// Asks on threads: one that asks them all in turn, and another one for the rest whenever that is
/// stuck. Remembers across gathers who has not answered, so that at most one thread waits for it.
pub(super) struct Prober {
    ask: Ask,
    stuck: Vec<Arc<Worker>>,
}

impl Default for Prober {
    fn default() -> Self {
        Self::asking(Arc::new(Space::of))
    }
}

impl Prober {
    /// With another way to ask, for tests.
    pub(super) fn asking(ask: Ask) -> Self {
        Self {
            ask,
            stuck: Vec::new(),
        }
    }

    /// The sizes of all paths, in their order.
    pub(super) async fn probe(
        &mut self,
        cx: &GatherContext,
        paths: Vec<PathBuf>,
    ) -> Vec<io::Result<Space>> {
        self.stuck
            .retain(|worker| worker.state.lock().current.is_some());
        let patience = (cx.timeout() / 8).clamp(Duration::from_millis(50), Duration::from_secs(5));
        let mut found: HashMap<PathBuf, io::Result<Space>> = HashMap::new();
        loop {
            let silent = self.silent();
            let open = |path: &&PathBuf| !found.contains_key(*path) && !silent.contains_key(*path);
            let todo: Vec<PathBuf> = paths.iter().filter(open).cloned().collect();
            if todo.is_empty() {
                break;
            }
            let worker = Arc::new(Worker::default());
            // Known before the wait: the gather may be cancelled in the middle of it.
            self.stuck.push(Arc::clone(&worker));
            let before = found.len();
            self.wait(cx, &worker, todo, patience).await;
            found.extend(worker.state.lock().found.drain(..));
            if found.len() == before && worker.state.lock().current.is_none() {
                break; // No thread was to be had, which was reported.
            }
        }
        let silent = self.silent();
        let answer = |path: &PathBuf| {
            found.remove(path).unwrap_or_else(|| {
                let text = match silent.get(path) {
                    Some(since) => format!("no answer for {:.1?}", since.elapsed()),
                    None => "it was not asked".to_owned(),
                };
                Err(io::Error::new(io::ErrorKind::TimedOut, text))
            })
        };
        paths.iter().map(answer).collect()
    }

    /// Waits until the worker has asked all, or is stuck.
    async fn wait(
        &self,
        cx: &GatherContext,
        worker: &Arc<Worker>,
        todo: Vec<PathBuf>,
        patience: Duration,
    ) {
        let (ask, shared) = (Arc::clone(&self.ask), Arc::clone(worker));
        let work = cx.blocking("statvfs", move |thread| {
            for path in todo {
                if thread.is_cancelled() || !shared.begin(&path) {
                    break;
                }
                let answer = ask(&path);
                shared.end(path, answer);
            }
        });
        let mut work = std::pin::pin!(work);
        loop {
            let before = worker.progress();
            match tokio::time::timeout(patience, work.as_mut()).await {
                Ok(Ok(())) => return,
                Ok(Err(error)) => return cx.report(error),
                Err(_) if worker.progress() != before => {}
                Err(_) => return worker.give_up(),
            }
        }
    }

    /// Who has not answered, and since when.
    fn silent(&self) -> HashMap<PathBuf, Instant> {
        self.stuck
            .iter()
            .filter_map(|worker| worker.state.lock().current.clone())
            .collect()
    }
}

/// A thread that asks one path after the other.
#[derive(Default)]
struct Worker {
    state: Mutex<WorkerState>,
}

#[derive(Default)]
struct WorkerState {
    /// What it asks at present, and since when.
    current: Option<(PathBuf, Instant)>,
    asked: usize,
    found: Vec<(PathBuf, io::Result<Space>)>,
    given_up: bool,
}

impl Worker {
    /// Notes what is asked now; false if nothing more is to be asked.
    fn begin(&self, path: &Path) -> bool {
        let mut state = self.state.lock();
        if state.given_up {
            return false;
        }
        state.current = Some((path.to_owned(), Instant::now()));
        state.asked += 1;
        true
    }

    fn end(&self, path: PathBuf, answer: io::Result<Space>) {
        let mut state = self.state.lock();
        state.current = None;
        state.found.push((path, answer));
    }

    fn progress(&self) -> usize {
        self.state.lock().asked
    }

    fn give_up(&self) {
        self.state.lock().given_up = true;
    }
}
