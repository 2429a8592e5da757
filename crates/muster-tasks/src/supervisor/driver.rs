//! The task of a supervisor: restarts what has ended, by its rules.

use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::time::Duration;

use tokio::time::timeout;

use super::child::Shutdown;
use super::state::{Shared, Verdict};
use super::{Strategy, SupervisorError};
use crate::Cause;
use crate::ctx::Ctx;
use crate::entry::Entry;
use crate::group::StopOptions;
use crate::keyed::Stopped;
use crate::snapshot::TaskInfo;

/// Books the end of the supervisor, whatever happens to its task.
struct Finish(Arc<Shared>);

impl Drop for Finish {
    fn drop(&mut self) {
        self.0.finish(Ok(()));
    }
}

pub(super) async fn drive(shared: Arc<Shared>, cx: Ctx) -> Result<(), SupervisorError> {
    let finish = Finish(Arc::clone(&shared));
    let (random, mut drawn) = (RandomState::new(), 0_u64);
    let path = cx.entry.group.path();
    loop {
        while let Some((id, generation, exit)) = shared.next_exit() {
            drawn += 1;
            let share = (random.hash_one(drawn) >> 11) as f64 / (1_u64 << 53) as f64;
            match shared.judge(id, generation, exit, share, &path) {
                Verdict::Nothing => {}
                Verdict::EndOthers(ids, pause) => {
                    for id in &ids {
                        let _ = end(&shared, *id, Some(pause)).await;
                    }
                    shared.pause(&ids, pause);
                }
                Verdict::Finish => {
                    end_all(&shared).await;
                    return Ok(());
                }
                Verdict::GiveUp(error) => {
                    end_all(&shared).await;
                    shared.finish(Err(error.clone()));
                    drop(finish);
                    return Err(error);
                }
            }
        }
        let next = shared.start_due(&cx.group());
        let pause = async {
            match next {
                Some(at) => tokio::time::sleep_until(at).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            _ = cx.cancelled() => return Ok(()),
            () = shared.wake.notified() => {}
            () = pause => {}
        }
    }
}

/// Ends all children: the latest first one after another if they depend on each other, all at once otherwise.
async fn end_all(shared: &Arc<Shared>) {
    let children = shared.begin_stop();
    match shared.settings.strategy {
        Strategy::OneForOne => {
            let ends = children.iter().map(|child| end(shared, child.id, None));
            futures_util::future::join_all(ends).await;
        }
        Strategy::OneForAll | Strategy::RestForOne => {
            for child in children.iter().rev() {
                let _ = end(shared, child.id, None).await;
            }
        }
    }
}

/// Ends one child by its rules. With a pause it is started again.
pub(super) async fn end(shared: &Shared, id: u64, pause: Option<Duration>) -> Stopped {
    let Some((entry, shutdown)) = shared.begin_end(id, pause) else {
        return Stopped::NotRunning;
    };
    let stopped = end_entry(&entry, shutdown).await;
    if pause.is_none() {
        shared.remove_ended(id);
    }
    stopped
}

async fn end_entry(entry: &Entry, shutdown: Shutdown) -> Stopped {
    let asked = match shutdown {
        Shutdown::Brutal => false,
        Shutdown::Timeout(time) => {
            entry.cancel(Cause::Stop);
            timeout(time, entry.ended()).await.is_ok()
        }
        Shutdown::Infinite => {
            entry.cancel(Cause::Stop);
            entry.ended().await;
            true
        }
    };
    if asked {
        return Stopped::Ended;
    }
    entry.abort();
    match timeout(StopOptions::default().abort_after, entry.ended()).await {
        Ok(()) => Stopped::Aborted,
        Err(_) => Stopped::Stuck(Box::new(TaskInfo::of(entry))),
    }
}
