//! A GitLab of our own: the calls of this crate's clients, with GitLab's limits and misbehaviour,
//! for demonstrations and tests. It has no disk, no users and no Git; jobs are names with a length.
//!
//! What it does as GitLab does: scopes (`manage_runner` does not list runners), tokens told once,
//! 403 for the token of a deleted runner, at most 1,000 runners, dispatch by tags, `run_untagged`
//! and protection, stages and `needs`, requests for jobs that are held (long polling) and may still
//! be given a job when the runner is paused meanwhile, `contacted_at` that is far behind, pages
//! without a count, job and pipeline webhooks without tags, `ci_pending_builds` that is absent at
//! zero. [`Fault`]s are injected.

mod answers;
mod fault;
mod hooks;
mod request;
mod routes;
mod serve;
mod view;
mod work;
mod world;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use muster_scaler_core::Time;
use muster_tasks::Group;
use parking_lot::Mutex;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};

pub use fault::Fault;
pub use hooks::Webhook;
pub use request::Asked;
pub use world::{Counts, Fate, JobSpec, JobView, RunnerSpec, RunnerView};

use fault::Faults;
use request::Log;
use world::World;

/// How the double behaves.
#[derive(Clone, Debug)]
pub struct Options {
    /// Where to listen; port 0 for a free one.
    pub address: SocketAddr,
    /// How long a request for a job is held; GitLab: 50 s.
    pub hold: Duration,
    /// Whether a request that was held when its runner was paused may still be given a job.
    pub pause_race: bool,
    /// How often `contacted_at` is written; GitLab: between these at random, 40 and 55 minutes.
    pub contact: (Duration, Duration),
    /// A running job that is not heard of for so long fails; GitLab: an hour.
    pub silence: Duration,
    /// How many runners there may be; GitLab: 1,000.
    pub runner_limit: usize,
    /// How many requests a second one token may send; none: as many as it likes.
    pub rate: Option<u32>,
    /// The most items of a page; GitLab: 100.
    pub page_limit: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            address: SocketAddr::from(([127, 0, 0, 1], 0)),
            hold: Duration::from_secs(50),
            pause_race: true,
            contact: (Duration::from_secs(2400), Duration::from_secs(3300)),
            silence: Duration::from_secs(3600),
            runner_limit: 1000,
            rate: None,
            page_limit: 100,
        }
    }
}

impl Options {
    /// The same with all of GitLab's own times shorter by this factor, for a world that goes faster.
    #[must_use]
    pub fn faster(mut self, factor: f64) -> Self {
        let shorter = |time: Duration| time.div_f64(factor.max(0.001));
        self.hold = shorter(self.hold);
        self.contact = (shorter(self.contact.0), shorter(self.contact.1));
        self.silence = shorter(self.silence);
        self
    }
}

/// A running double. Its tasks belong to the group that it was started in; they end with that, or
/// when the last clone of this is dropped.
#[derive(Clone, Debug)]
pub struct Double {
    shared: Arc<Shared>,
    _tasks: Group,
    url: String,
}

/// What the tasks of the double share.
#[derive(Debug)]
pub(crate) struct Shared {
    options: Options,
    world: Mutex<World>,
    faults: Mutex<Faults>,
    log: Mutex<Log>,
    /// Counts up whenever a job may have become takeable.
    queue: watch::Sender<u64>,
    hooks: Mutex<Option<Webhook>>,
    outbox: mpsc::Sender<hooks::Letter>,
}

impl Double {
    /// Starts one as tasks of `group`.
    ///
    /// # Errors
    /// If it cannot listen, or the group takes no tasks.
    pub async fn start(group: &Group, options: Options) -> io::Result<Self> {
        let listener = TcpListener::bind(options.address).await?;
        let url = format!("http://{}", listener.local_addr()?);
        let (outbox, letters) = mpsc::channel(4096);
        let shared = Arc::new(Shared {
            world: Mutex::new(World::new(&options)),
            faults: Mutex::default(),
            log: Mutex::default(),
            queue: watch::Sender::new(1),
            hooks: Mutex::default(),
            outbox,
            options,
        });
        let own = group.group("gitlab");
        let closed = |error: muster_tasks::Closed| io::Error::other(error.to_string());
        let state = Arc::clone(&shared);
        own.go_cx("accept", move |cx| async move {
            serve::accept(&cx, &listener, &state).await;
        })
        .map_err(closed)?;
        let state = Arc::clone(&shared);
        own.go_cx("silent jobs", move |cx| async move {
            while cx
                .run(tokio::time::sleep(Duration::from_millis(100)))
                .await
                .is_ok()
            {
                state.change(World::give_up_silent);
            }
        })
        .map_err(closed)?;
        let state = Arc::clone(&shared);
        own.go_cx("webhooks", move |cx| async move {
            hooks::send_all(&cx, &state, letters).await;
        })
        .map_err(closed)?;
        Ok(Self {
            shared,
            _tasks: own,
            url,
        })
    }

    /// Its base URL.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Makes an access token with these scopes; with `admin`, an administrator's.
    pub fn add_token(&self, scopes: &[&str], admin: bool) -> String {
        self.shared.world.lock().add_token(scopes, admin)
    }

    /// An administrator's token with all that the scaler needs.
    pub fn scaler_token(&self) -> String {
        self.add_token(&["read_api", "create_runner", "manage_runner"], true)
    }

    /// Takes a token back.
    pub fn revoke_token(&self, token: &str) {
        self.shared.world.lock().revoke_token(token);
    }

    /// Makes a project, with the group of that path before its last `/` if there is one; gives its
    /// ID.
    pub fn add_project(&self, path: &str) -> u64 {
        self.shared.world.lock().add_project(path)
    }

    /// Switches a project's CI off: its jobs may not be listed any more.
    pub fn disable_ci(&self, project: u64) {
        if let Some(project) = self.shared.world.lock().projects.get_mut(&project) {
            project.has_ci = false;
        }
    }

    /// Makes a runner as somebody else would; gives its ID and token.
    pub fn add_runner(&self, spec: &RunnerSpec) -> (u64, String) {
        let now = now();
        self.shared.world.lock().add_runner(spec, now)
    }

    /// Starts a pipeline of these jobs, whose stages follow each other as they first appear; gives
    /// its ID.
    ///
    /// # Panics
    /// If there is no such project.
    pub fn add_pipeline(&self, project: u64, jobs: &[JobSpec]) -> u64 {
        self.shared
            .change(|world, now| world.add_pipeline(project, jobs, now))
    }

    /// Cancels all jobs of a pipeline that are not over.
    pub fn cancel_pipeline(&self, pipeline: u64) {
        self.shared
            .change(|world, now| world.cancel_pipeline(pipeline, now));
    }

    /// All jobs, by ID.
    pub fn jobs(&self) -> Vec<JobView> {
        self.shared.world.lock().job_views()
    }

    /// How many jobs came to what.
    pub fn counts(&self) -> Counts {
        self.shared.world.lock().counts()
    }

    /// All runners, by ID.
    pub fn runners(&self) -> Vec<RunnerView> {
        self.shared.world.lock().runner_views()
    }

    /// Does this to the next `times` requests whose method and path begin so; an empty text matches
    /// all. The path is that below `/api/v4/`.
    pub fn inject(&self, method: &str, path: &str, fault: Fault, times: u32) {
        self.shared.faults.lock().add(method, path, fault, times);
    }

    /// Ends all faults.
    pub fn heal(&self) {
        self.shared.faults.lock().clear();
    }

    /// Sends webhooks there, or nowhere.
    pub fn set_webhook(&self, hook: Option<Webhook>) {
        *self.shared.hooks.lock() = hook;
    }

    /// What was asked of it: the last 10,000 requests, oldest first.
    pub fn asked(&self) -> Vec<Asked> {
        self.shared.log.lock().all()
    }

    /// How many requests for jobs are held or being answered.
    pub fn held(&self) -> usize {
        self.shared.queue.receiver_count()
    }

    /// What Prometheus scrapes of it at `/metrics`.
    pub fn metrics(&self) -> String {
        self.shared.world.lock().metrics()
    }
}

impl Shared {
    /// Changes the world, wakes up requests that wait for a job, and sends webhooks.
    fn change<T>(&self, change: impl FnOnce(&mut World, Time) -> T) -> T {
        let (result, events) = {
            let mut world = self.world.lock();
            let result = change(&mut world, now());
            (result, world.take_events())
        };
        if !events.is_empty() {
            self.queue.send_modify(|version| *version += 1);
            self.post(&events);
        }
        result
    }
}

/// The time.
fn now() -> Time {
    Time::from_millis(jiff::Timestamp::now().as_millisecond())
}
