//! `muster`: the agent itself. Load, build, run, drain.

use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use muster_config::{Config, ProcessEnvironment};
use muster_control::access::{self, Access};
use muster_control::change::{Applied, ChangeError};
use muster_control::{Api, Controller, Sockets, StateDir, Store};
use muster_engine::{Engine, States, Stopped};
use muster_plugin::Registry;
use muster_tasks::{Group, LeakMonitor, LeakMonitorOptions, StopOptions};
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::args::{RunArgs, SourceArgs};
use crate::notify::Notifier;
use crate::state_path::state_path;
use crate::{CommandResult, Failure, logging};

/// At least so many worker threads: one that a plugin blocks must not be the only one.
const FEWEST_WORKERS: usize = 4;

/// So many blocking threads there may be; inputs and outputs have smaller bounds of their own, so
/// that a change can always be made.
const MOST_THREADS: usize = 1024;

/// What the end may take beyond `stop_timeout` before the process is ended the hard way.
const HARD_END_AFTER: Duration = Duration::from_millis(500);

/// The runtime on which everything runs.
pub(crate) fn runtime() -> Result<tokio::runtime::Runtime, Failure> {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(cores.max(FEWEST_WORKERS))
        .enable_all()
        .thread_name("muster")
        .build()
        .map_err(|error| Failure::failed(format!("start the runtime: {error}")))
}

/// Ends the process when it was told to end and has not done so in time, whatever holds it up: on a
/// thread and a runtime of its own, which no plugin can block.
fn end_for_sure(within: Duration) -> Result<(), Failure> {
    let failed = |error: std::io::Error| Failure::failed(format!("watch for the end: {error}"));
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(failed)?;
    let watch = async move {
        let listen = |kind| signal(kind).map_err(failed);
        let (Ok(mut terminate), Ok(mut interrupt)) = (
            listen(SignalKind::terminate()),
            listen(SignalKind::interrupt()),
        ) else {
            return;
        };
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        tokio::time::sleep(within).await;
        eprintln!("muster: could not stop within {within:?}: ending the hard way");
        std::process::exit(1);
    };
    let thread = std::thread::Builder::new().name("end-for-sure".into());
    let started = thread.spawn(move || runtime.block_on(watch));
    started.map(drop).map_err(failed)
}

/// Runs the agent until it is told to end.
pub(crate) fn run(args: RunArgs, registry: Arc<Registry>) -> CommandResult {
    let (config, warnings) = args.sources.load(&registry)?;
    logging::start(&config.agent, &args)?;
    for warning in warnings {
        eprintln!("{}", warning.render(crate::sources::colored()).trim_end());
    }
    if config.definitions.is_empty() {
        tracing::warn!("no component is configured; add some with `muster input add`");
    }
    let state_dir = StateDir::open(&state_path(&args.state)?).map_err(Failure::failed)?;
    if let Some(path) = &args.pidfile {
        let written = std::fs::write(path, format!("{}\n", std::process::id()));
        written
            .map_err(|e| Failure::failed(format!("write the pidfile {}: {e}", path.display())))?;
    }
    end_for_sure(config.agent.stop_timeout.get() + HARD_END_AFTER)?;
    let runtime = runtime()?;
    let outcome = runtime.block_on(agent(&args, config, registry, &state_dir));
    // A thread that a plugin blocks must not keep the process.
    runtime.shutdown_background();
    if let Some(path) = &args.pidfile {
        let _ = std::fs::remove_file(path);
    }
    outcome
}

async fn agent(
    args: &RunArgs,
    config: Config,
    registry: Arc<Registry>,
    state_dir: &StateDir,
) -> CommandResult {
    let mut signals = Signals::listen()?;
    let root = Group::root_builder("muster")
        .blocking_limit(MOST_THREADS)
        .build();
    let store = Arc::new(Store::open(state_dir.path()).map_err(Failure::failed)?);
    let stored = store.load().map_err(Failure::failed)?;
    let token = access::token(state_dir.path())
        .map_err(|error| Failure::failed(format!("make the API token: {error}")))?;
    let states = States::new(stored.states.iter().cloned());
    let engine = Engine::new(
        &root,
        Arc::clone(&registry),
        Arc::new(ProcessEnvironment),
        states,
    );
    engine.allow_buffers_in(&state_dir.path().join("buffers"));
    engine.allow_files_in(state_dir.path());
    let sockets = Sockets::bind(&config.control, state_dir.path())
        .await
        .map_err(Failure::failed)?;
    let access = Access::new(token, &config.control.address);
    let stop_timeout = config.agent.stop_timeout.get();
    let started = tokio::select! {
        started = Controller::start(&root, engine, store, stored, config) => started,
        () = signals.end() => {
            let _ = root.stop_with(StopOptions::grace(Duration::ZERO)).await;
            return Ok(ExitCode::SUCCESS);
        }
    };
    let controller = started.map_err(Failure::failed)?;
    greet(&sockets, state_dir.path(), &args.sources);
    for folder in controller.engine().left_over_buffers() {
        let folder = folder.display();
        tracing::warn!(
            "{folder} holds metrics of an output that there is no more; add one of that ID, or remove the folder"
        );
    }
    let reload = reloader(&controller, &args.sources, &registry);
    let api = Api {
        controller: controller.clone(),
        root: root.clone(),
        leaks: LeakMonitor::start(&root, LeakMonitorOptions::default()).map_err(Failure::failed)?,
        group: root.group("api"),
        state_dir: state_dir.path().to_owned(),
        access,
        reload: Arc::clone(&reload),
    };
    let group = api.group.clone();
    sockets.serve(&group, api.router());
    if let Some(mode) = args.watch_config {
        crate::watch::watch(&root, mode, args, Arc::clone(&reload))?;
    }
    let notifier = Notifier::from_environment();
    let ready = notifier.ready(&root, controller.engine().shared());
    ready.map_err(Failure::failed)?;
    loop {
        match signals.next().await {
            Told::End => break,
            Told::Reload => {
                let reload = Arc::clone(&reload);
                let reloading = root.go("reload", async move { drop(reload().await) });
                reloading.map_err(Failure::failed)?;
            }
            Told::Flush => controller.engine().flush(),
        }
    }
    tracing::info!("stopping");
    notifier.stopping();
    let end = stop(&controller, &root, stop_timeout);
    let hard_end = stop_timeout + HARD_END_AFTER;
    tokio::select! {
        code = end => Ok(code),
        () = signals.end() => {
            eprintln!("muster: told to end again: ending at once");
            Ok(ExitCode::FAILURE)
        }
        () = tokio::time::sleep(hard_end) => {
            eprintln!("muster: could not stop within {hard_end:?}");
            Ok(ExitCode::FAILURE)
        }
    }
}

/// Ends everything and says what would not end or was not written.
async fn stop(controller: &Controller, root: &Group, within: Duration) -> ExitCode {
    let reserve = (within / 10).min(Duration::from_millis(300));
    let Stopped {
        reports,
        unwritten,
        elapsed,
    } = controller.stop(within - reserve).await;
    for report in reports.iter().filter(|report| !report.is_clean()) {
        eprintln!("muster: would not stop: {report}");
    }
    for (id, metrics) in &unwritten {
        eprintln!("muster: {id}: {metrics} metrics were not written");
    }
    let options = StopOptions {
        abort_after: reserve / 2,
        ..StopOptions::grace(reserve / 2)
    };
    let _ = root.stop_with(options).await;
    tracing::info!("stopped in {elapsed:.1?}");
    if unwritten.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

/// Reads the files again as a change: an invalid file leaves the last good state running.
fn reloader(
    controller: &Controller,
    sources: &SourceArgs,
    registry: &Arc<Registry>,
) -> muster_control::api::ReloadFiles {
    let (controller, sources, registry) =
        (controller.clone(), sources.clone(), Arc::clone(registry));
    Arc::new(move || {
        let (controller, sources, registry) =
            (controller.clone(), sources.clone(), Arc::clone(&registry));
        Box::pin(async move {
            let outcome = reload(&controller, &sources, &registry).await;
            match &outcome {
                Ok(applied) => tracing::info!(
                    "the configuration was read again: {} components changed, generation {}",
                    applied.edits.len(),
                    applied.generation
                ),
                Err(error) => tracing::error!(
                    "the configuration was read again and refused; what ran runs on:\n{error}"
                ),
            }
            outcome
        })
    })
}

async fn reload(
    controller: &Controller,
    sources: &SourceArgs,
    registry: &Registry,
) -> Result<Applied, ChangeError> {
    let config = if sources.is_empty() {
        muster_config::default_config(registry)
    } else {
        let options = sources.load_options();
        match muster_config::load(&options, registry, &ProcessEnvironment) {
            Ok(loaded) => loaded.config,
            Err(problems) => {
                controller.note_reload(Some(problems.render(false)));
                return Err(ChangeError::Invalid(problems));
            }
        }
    };
    controller.reload(config).await
}

/// Says where everything is, and what to try next.
fn greet(sockets: &Sockets, state_dir: &Path, sources: &SourceArgs) {
    eprintln!("muster {}", env!("CARGO_PKG_VERSION"));
    if let Some(address) = sockets.address() {
        eprintln!("  API    http://{address}/api/v1/status  (metrics of the agent at /metrics)");
    }
    if let Some(path) = sockets.unix_path() {
        eprintln!("  socket {}", path.display());
    }
    eprintln!(
        "  state  {}  (the API token is in the file `token` there)",
        state_dir.display()
    );
    if let Some(notice) = &sockets.notice {
        eprintln!("  note   {notice}");
    }
    let next = if sources.is_empty() {
        "muster top | muster input ls | muster --config telegraf.conf"
    } else {
        "muster top | muster status | muster input ls"
    };
    eprintln!("  try    {next}");
}

/// What the process was told by a signal.
enum Told {
    End,
    Reload,
    Flush,
}

struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
    user1: Signal,
}

impl Signals {
    fn listen() -> Result<Self, Failure> {
        let listen =
            |kind| signal(kind).map_err(|e| Failure::failed(format!("listen for signals: {e}")));
        Ok(Self {
            terminate: listen(SignalKind::terminate())?,
            interrupt: listen(SignalKind::interrupt())?,
            hangup: listen(SignalKind::hangup())?,
            user1: listen(SignalKind::user_defined1())?,
        })
    }

    async fn next(&mut self) -> Told {
        tokio::select! {
            _ = self.terminate.recv() => Told::End,
            _ = self.interrupt.recv() => Told::End,
            _ = self.hangup.recv() => Told::Reload,
            _ = self.user1.recv() => Told::Flush,
        }
    }

    /// Resolves at the next SIGTERM or SIGINT.
    async fn end(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}
