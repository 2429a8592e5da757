//! Runners for the [`double`](crate::double): each takes jobs through the runner protocol, "runs"
//! them by waiting as long as they say, and tells its metrics under the real runner's names.
//!
//! A test or demonstration starts [`run`] in a process of its own, as a server would start a
//! runner: killing the process then kills its jobs, as it would there.

mod metrics;

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use muster_options::Secret;
use muster_scaler_core::Time;
use muster_tasks::{Ctx, Group};
use parking_lot::Mutex;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

use crate::{Error, JobRequest, JobUpdate, ReceivedJob, RunnerClient};

/// A runner.
#[derive(Clone, Debug)]
pub struct Runner {
    /// GitLab's URL.
    pub url: String,
    /// The runner's token.
    pub token: Secret,
    /// How the process names itself; unique.
    pub system_id: String,
    /// How many jobs it runs at a time.
    pub slots: u32,
    /// Where it tells its metrics; none: nowhere.
    pub metrics: Option<SocketAddr>,
    /// How often it looks for a job and gives a sign of life; GitLab's runner: 3 s.
    pub beat: Duration,
    /// How long GitLab may hold its requests for jobs.
    pub hold: Duration,
    /// Shares of time in which tasks waited for a CPU and all waited for memory, told as
    /// `node_exporter` would; none: not told.
    pub pressure: Option<(f64, f64)>,
}

/// How a runner shall end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// It goes on.
    No,
    /// It takes no new jobs and ends when the last is done (SIGQUIT).
    WhenDone,
    /// It fails its jobs and ends (SIGTERM).
    Now,
}

/// What a runner has done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Done {
    /// Jobs that ended well.
    pub succeeded: u64,
    /// Jobs that failed by themselves.
    pub failed: u64,
    /// Jobs that were given up: cancelled, or ended because the runner did.
    pub given_up: u64,
}

/// What the tasks of a runner share.
#[derive(Debug)]
struct Shared {
    runner: Runner,
    id: u64,
    running: Mutex<BTreeMap<u64, String>>,
    done: Mutex<Done>,
    waits: Mutex<metrics::Waits>,
    requests: watch::Sender<u32>,
    began: Time,
}

/// Runs a runner as tasks of `group` until `ending` says so, or its runner object is deleted.
///
/// # Errors
/// If it cannot listen for its metrics, or GitLab does not take its token.
///
/// # Cancel safety
/// Dropping the future ends it as a kill would: GitLab hears nothing of it.
pub async fn run(
    group: &Group,
    runner: Runner,
    ending: watch::Receiver<Ending>,
) -> io::Result<Done> {
    let own = group.group("runner");
    let done = drive(&own, runner, ending).await;
    let _ = own.stop().await;
    done
}

/// The same, ended by the process's signals: SIGQUIT when its jobs are done, SIGTERM and SIGINT at
/// once.
///
/// # Errors
/// As [`run`]; if signals cannot be had.
pub async fn run_until_signalled(group: &Group, runner: Runner) -> io::Result<Done> {
    let mut quit = signal(SignalKind::quit())?;
    let mut term = signal(SignalKind::terminate())?;
    let mut int = signal(SignalKind::interrupt())?;
    let (order, ending) = watch::channel(Ending::No);
    let mut running = std::pin::pin!(run(group, runner, ending));
    loop {
        tokio::select! {
            done = running.as_mut() => return done,
            _ = quit.recv() => {
                order.send_if_modified(|order| {
                    let is_first = *order == Ending::No;
                    if is_first {
                        *order = Ending::WhenDone;
                    }
                    is_first
                });
            }
            _ = term.recv() => { order.send_replace(Ending::Now); }
            _ = int.recv() => { order.send_replace(Ending::Now); }
        }
    }
}

async fn drive(
    own: &Group,
    runner: Runner,
    mut ending: watch::Receiver<Ending>,
) -> io::Result<Done> {
    let closed = |error: muster_tasks::Closed| io::Error::other(error.to_string());
    let other = |error: Error| io::Error::other(error.to_string());
    let listener = match runner.metrics {
        Some(address) => Some(TcpListener::bind(address).await?),
        None => None,
    };
    let timeout = Duration::from_secs(10);
    let client = RunnerClient::new(
        &runner.url,
        runner.token.clone(),
        &runner.system_id,
        timeout,
    );
    let client = Arc::new(client.map_err(other)?);
    let id = verify(&client, &runner, &mut ending).await.map_err(other)?;
    let shared = Arc::new(Shared {
        id,
        running: Mutex::default(),
        done: Mutex::default(),
        waits: Mutex::default(),
        requests: watch::Sender::new(0),
        began: Time::from_millis(jiff::Timestamp::now().as_millisecond()),
        runner,
    });
    if let Some(listener) = listener {
        let state = Arc::clone(&shared);
        own.go_cx("metrics", move |cx| async move {
            metrics::serve(&cx, &listener, &state).await;
        })
        .map_err(closed)?;
    }
    let jobs = own.group("jobs");
    let mut word: Option<String> = None;
    loop {
        let order = *ending.borrow_and_update();
        let full = shared.running.lock().len() >= shared.runner.slots as usize;
        if order == Ending::Now || (order == Ending::WhenDone && jobs.count() == 0) {
            break;
        }
        if full || order == Ending::WhenDone {
            wait(&mut ending, shared.runner.beat / 4).await;
            continue;
        }
        shared.requests.send_replace(1);
        // A request that is under way is never dropped: its answer may be a job, which nobody would
        // run then.
        let within = shared.runner.hold + timeout;
        let asked = client.request_job(word.as_deref(), within).await;
        shared.requests.send_replace(0);
        match asked {
            Ok(JobRequest::Job(job)) => {
                word = None;
                take(&jobs, &shared, &client, *job, ending.clone()).map_err(closed)?;
            }
            Ok(JobRequest::Nothing(next)) => {
                // Without a word to ask with, GitLab does not hold the request.
                if next.is_none() || next == word {
                    wait(&mut ending, shared.runner.beat).await;
                }
                word = next;
            }
            // The runner object is gone: it ends when its jobs have.
            Err(Error::Forbidden { .. }) => {
                jobs.close();
                jobs.wait().await;
                break;
            }
            Err(error) => {
                tracing::debug!(%error, "no job could be asked for");
                wait(&mut ending, shared.runner.beat).await;
            }
        }
    }
    // Jobs see the order, too, and tell GitLab themselves.
    jobs.close();
    jobs.wait().await;
    let done = *shared.done.lock();
    Ok(done)
}

/// Shows itself until GitLab has answered.
async fn verify(
    client: &RunnerClient,
    runner: &Runner,
    ending: &mut watch::Receiver<Ending>,
) -> Result<u64, Error> {
    loop {
        match client.verify().await {
            Err(error) if error.is_passing() && *ending.borrow() == Ending::No => {
                wait(ending, runner.beat).await;
            }
            other => return other,
        }
    }
}

async fn wait(ending: &mut watch::Receiver<Ending>, time: Duration) {
    tokio::select! {
        () = tokio::time::sleep(time.max(Duration::from_millis(1))) => {}
        changed = ending.changed() => {
            if changed.is_err() {
                tokio::time::sleep(time).await;
            }
        }
    }
}

fn take(
    jobs: &Group,
    shared: &Arc<Shared>,
    client: &Arc<RunnerClient>,
    job: ReceivedJob,
    ending: watch::Receiver<Ending>,
) -> Result<(), muster_tasks::Closed> {
    let stage = job.job_info["stage"]
        .as_str()
        .unwrap_or_default()
        .to_owned();
    shared.running.lock().insert(job.id, stage);
    if let Some(wait) = job.queued() {
        shared.waits.lock().note(wait);
    }
    let (shared, client) = (Arc::clone(shared), Arc::clone(client));
    jobs.go_cx(format!("job {}", job.id), move |cx| async move {
        work(&cx, &shared, &client, &job, ending).await;
        shared.running.lock().remove(&job.id);
    })
}

/// Runs one job to its end.
async fn work(
    cx: &Ctx,
    shared: &Shared,
    client: &RunnerClient,
    job: &ReceivedJob,
    mut ending: watch::Receiver<Ending>,
) {
    let number = |key: &str| job.variable(key).and_then(|text| text.parse::<f64>().ok());
    let length = crate::jobs::span(number("JOB_SECONDS").unwrap_or(1.0));
    let end = tokio::time::sleep(length);
    let mut end = std::pin::pin!(end);
    let mut written = 0;
    let canceled = loop {
        let line = "working\n";
        tokio::select! {
            () = end.as_mut() => break false,
            _ = cx.cancelled() => return,
            () = tokio::time::sleep(shared.runner.beat) => {
                match client.trace(job, written, line).await {
                    Ok(answer) if answer.canceled => break true,
                    Ok(_) => written += line.len(),
                    Err(error) => tracing::debug!(%error, "the log was not taken"),
                }
            }
            () = told_to_end(&mut ending) => {
                let failed = JobUpdate::Failed("runner_system_failure");
                tell(client, job, failed, shared.runner.beat).await;
                shared.done.lock().given_up += 1;
                return;
            }
        }
    };
    if canceled {
        shared.done.lock().given_up += 1;
        return;
    }
    let fails = job.variable("JOB_FAILS") == Some("true");
    let update = if fails {
        JobUpdate::Failed("script_failure")
    } else {
        JobUpdate::Success
    };
    let told = tell(client, job, update, shared.runner.beat).await;
    let mut done = shared.done.lock();
    match (told, fails) {
        (false, _) => done.given_up += 1,
        (true, true) => done.failed += 1,
        (true, false) => done.succeeded += 1,
    }
}

/// Waits until the runner shall end at once; for ever if nobody can tell it any more.
async fn told_to_end(ending: &mut watch::Receiver<Ending>) {
    let told = ending.wait_for(|order| *order == Ending::Now).await.is_ok();
    if !told {
        std::future::pending::<()>().await;
    }
}

/// Tells how a job ended until GitLab has heard it, a minute at most; false if it was not ours to
/// tell.
async fn tell(client: &RunnerClient, job: &ReceivedJob, update: JobUpdate, beat: Duration) -> bool {
    let again = async {
        loop {
            match client.update_job(job, update).await {
                Ok(told) => return told,
                Err(error) if !error.is_passing() => return false,
                Err(_) => tokio::time::sleep(beat).await,
            }
        }
    };
    let told = muster_tasks::timeout(Duration::from_secs(60), again).await;
    told.unwrap_or(false)
}
