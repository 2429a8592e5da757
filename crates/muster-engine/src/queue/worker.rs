//! The thread that moves a queue's metrics to the disk and back.
//!
//! It takes everything that came since its last round, appends it, and waits for the disk once for
//! all of it: the more comes, the more share one wait. Pipelines and writers never touch the disk.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use muster_metric::Timestamp;
use muster_tasks::{BlockingCtx, Closed, Group, catch_panic_sync};

use super::log::{Bounds, Log};
use super::on_disk::{Closing, Done, Job};
use super::{Limits, OutputQueue};
use crate::stats::Stats;

/// So often the thread looks whether it was cancelled, when nothing else wakes it.
const LOOK_UP: Duration = Duration::from_secs(1);

/// When the thread panicked it begins anew after this time, doubled each time.
const PAUSE: Duration = Duration::from_secs(1);

/// After so many panics in a row the disk is given up.
const PANICS: u32 = 5;

/// A thread that worked for so long may panic as often again.
const STEADY: Duration = Duration::from_secs(60);

/// Abandons the disk if the thread ends in any other way than told.
struct Guard(Option<Arc<OutputQueue>>);

impl Drop for Guard {
    fn drop(&mut self) {
        if let Some(queue) = self.0.take() {
            queue.state.lock().abandon();
            queue.served.notify_waiters();
        }
    }
}

impl OutputQueue {
    /// Starts the thread for a queue on disk, if it does not run. An output runs on the queue from now on,
    /// until it [leaves](Self::leave).
    pub(crate) fn enter(self: &Arc<Self>, group: &Group, stats: &Arc<Stats>) {
        let (path, log) = {
            let mut state = self.state.lock();
            let Some(disk) = &mut state.disk else { return };
            disk.users += 1;
            disk.closing = None;
            if disk.running {
                return;
            }
            disk.running = true;
            (disk.path.clone(), disk.log.take())
        };
        let (guard, told) = (Guard(Some(Arc::clone(self))), Arc::clone(stats));
        let spawned = group.spawn_blocking("buffer", move |cx| {
            let mut guard = guard;
            if let Some(queue) = &guard.0
                && queue.live(&cx, &path, log, &told)
            {
                guard.0 = None;
            }
        });
        if let Err(closed) = spawned {
            self.refused(&closed, stats);
        }
    }

    fn refused(&self, closed: &Closed, stats: &Stats) {
        let why = format!(
            "failed to start the thread of the buffer on disk, metrics wait in memory: {closed}"
        );
        stats.error(why, Timestamp::now());
        self.state.lock().abandon();
    }

    /// An output ran on the queue until now. Behind the last one the folder is closed, and removed if
    /// nothing waits in it.
    pub(crate) async fn leave(&self) {
        {
            let mut state = self.state.lock();
            let Some(disk) = &mut state.disk else { return };
            disk.users = disk.users.saturating_sub(1);
            if disk.users > 0 {
                return;
            }
        }
        self.close_with(Closing::RemoveEmpty).await;
    }

    /// Brings everything to the disk and closes the folder.
    pub(crate) async fn close(&self) {
        self.close_with(Closing::Keep).await;
    }

    async fn close_with(&self, how: Closing) {
        self.inherit();
        if let Some(disk) = &mut self.state.lock().disk {
            disk.closing = Some(how);
        }
        self.work.notify_one();
        loop {
            let changed = self.served.notified();
            let closing = |state: &super::State| {
                let disk = state.disk.as_ref();
                disk.is_some_and(|disk| disk.running && disk.closing.is_some())
            };
            if !closing(&self.state.lock()) {
                return;
            }
            changed.await;
        }
    }

    /// The thread's life: works, and begins anew after a panic. False if it panics too often.
    fn live(&self, cx: &BlockingCtx, path: &Path, mut log: Option<Log>, stats: &Stats) -> bool {
        let mut panics = 0;
        loop {
            let began = Instant::now();
            let worked = catch_panic_sync(|| self.work(cx, path, &mut log, stats));
            let Err(panic) = worked else { return true };
            let was_open = log.take().is_some();
            panics = if began.elapsed() < STEADY {
                panics + 1
            } else {
                1
            };
            stats.panics.fetch_add(1, Relaxed);
            let goes_on = panics < PANICS;
            let then = if goes_on {
                "it begins anew"
            } else {
                "metrics wait in memory from now on, and what is on disk is written when the output starts again"
            };
            let path = path.display();
            let why = format!("the thread of the buffer {path} {panic}; {then}");
            stats.error(why, Timestamp::now());
            if !goes_on {
                return false;
            }
            self.state.lock().recover(was_open);
            self.pause(cx, PAUSE * 2_u32.pow(panics - 1));
        }
    }

    /// Waits so long, or until the thread is to end.
    fn pause(&self, cx: &BlockingCtx, time: Duration) {
        let until = Instant::now() + time;
        let mut state = self.state.lock();
        while !state.is_over() && !cx.is_cancelled() {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return;
            }
            let _ = self.work.wait_for(&mut state, left.min(LOOK_UP));
        }
    }

    /// Works until it is told to end.
    fn work(&self, cx: &BlockingCtx, path: &Path, log: &mut Option<Log>, stats: &Stats) {
        loop {
            let (job, over) = self.next_job(cx);
            let again = job.is_some_and(|job| self.round(&job, path, log, stats));
            if over && !again && self.end(path, log) {
                return;
            }
        }
    }

    /// Waits for something to do; true if it is the last.
    fn next_job(&self, cx: &BlockingCtx) -> (Option<Job>, bool) {
        let mut state = self.state.lock();
        loop {
            if cx.is_cancelled()
                && let Some(disk) = &mut state.disk
            {
                disk.closing.get_or_insert(Closing::Keep);
            }
            let over = state.is_over();
            let job = state.job();
            if over || job.is_some() {
                return (job, over);
            }
            let retry = state.retry_at();
            let wait = retry.map_or(LOOK_UP, |at| at.saturating_duration_since(Instant::now()));
            let wait = wait.clamp(Duration::from_millis(1), LOOK_UP);
            let _ = self.work.wait_for(&mut state, wait);
        }
    }

    /// One round of work on the disk; true if it only opened the log, and the job is still to be done.
    fn round(&self, job: &Job, path: &Path, log: &mut Option<Log>, stats: &Stats) -> bool {
        let mut done = Done::default();
        if log.is_none() && job.retry {
            match Log::open_until(path, job.limits.bounds(), job.cut) {
                // The job was made without knowing what is in it.
                Ok(opened) => {
                    self.state.lock().adopt(&opened);
                    *log = Some(opened);
                    done.again = true;
                }
                Err(error) => {
                    done.unreadable = true;
                    done.trouble = Some(format!("failed to {error}"));
                }
            }
        } else if let Some(log) = log {
            done = perform(log, job);
        } else {
            done.unreadable = true;
        }
        let again = done.again;
        let news = self.state.lock().done(job, done);
        self.served.notify_waiters();
        let now = Timestamp::now();
        if let Some(trouble) = news.trouble {
            stats.error(
                format!("{trouble}; metrics wait in memory until the disk takes them"),
                now,
            );
        }
        if news.recovered {
            tracing::info!(component = %stats.id(), "the disk takes metrics again");
        }
        again
    }

    /// Ends the thread's work, unless that is not wanted any more.
    fn end(&self, path: &Path, log: &mut Option<Log>) -> bool {
        let (removes, position, bounds, cut) = {
            let state = self.state.lock();
            let Some(disk) = state.disk.as_ref().filter(|_| state.is_over()) else {
                return state.is_over();
            };
            (
                disk.is_removed(),
                disk.position(),
                state.limits.bounds(),
                disk.cut,
            )
        };
        let mut log = log.take();
        if log.is_none() && removes {
            log = Log::open_until(path, bounds, cut).ok();
        }
        // More may be settled since the last round.
        if let Some(mut log) = log {
            if let Err(error) = log.settle(position) {
                let path = path.display();
                tracing::warn!(
                    "failed to note in {path} what was written, it comes again: {error}"
                );
            }
            if removes {
                log.remove_if_empty();
            }
        }
        // Only now: whoever opens the folder next must not find it taken. Metrics may go to the disk
        // again meanwhile.
        let ended = self.state.lock().end(removes);
        self.served.notify_waiters();
        ended
    }
}

impl Limits {
    /// What bounds the log.
    pub(crate) fn bounds(&self) -> Bounds {
        Bounds {
            bytes: self.bytes as u64,
            sync: self.sync,
        }
    }
}

fn perform(log: &mut Log, job: &Job) -> Done {
    let mut done = Done {
        tried: true,
        ..Done::default()
    };
    log.set_bounds(job.limits.bounds());
    if job.retry {
        match log.settle(job.position) {
            Ok(()) => done.settled = Some(job.position),
            Err(error) => done.fail("note what was written in", log, &error),
        }
    }
    let mark = log.mark();
    for chunk in &job.append {
        if let Err(error) = log.append(chunk) {
            done.fail("write to", log, &error);
            break;
        }
        done.appended += 1;
    }
    if done.appended > 0
        && job.limits.sync
        && let Err(error) = log.sync()
    {
        // What the disk has is not known: it is written once more.
        log.go_back(mark);
        done.appended = 0;
        done.fail("write to", log, &error);
    }
    if let Some((from, count)) = job.read {
        match log.read(from, count) {
            Ok(piece) => done.read = Some(piece),
            Err(error) => {
                done.unreadable = true;
                done.fail("read", log, &error);
            }
        }
    }
    (done.first, done.tail, done.bytes) = (log.first(), log.tail(), log.bytes());
    done
}

impl Done {
    fn fail(&mut self, what: &str, log: &Log, error: &std::io::Error) {
        let path = log.folder().display();
        self.trouble = Some(format!("failed to {what} the buffer {path}: {error}"));
    }
}
