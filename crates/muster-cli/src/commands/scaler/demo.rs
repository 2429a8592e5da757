//! `muster scaler demo`: all of it on one machine, faster than real time.

mod jobs;
mod picture;
mod runner;
mod stage;

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use muster_plugin::Registry;
use muster_tasks::Group;
use serde::Serialize;
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::Instant;

use crate::commands::run::runtime;
use crate::text::{plural, print};
use crate::{CommandResult, Failure};
use picture::Picture;
use stage::Stage;

pub(super) use runner::{CloudRunnerArgs, runner};

/// How often the picture is drawn.
const FRAME: Duration = Duration::from_millis(250);
/// After the last job was made, all must be over within this.
const LONGEST_END: Duration = Duration::from_secs(180);

/// How long, and how to show it.
#[derive(Debug, Args)]
#[command(
    after_help = "A GitLab of our own, two permanent hosts with runners, a real Prometheus that scrapes
them, and the real scaler with its exec provider, whose servers are processes of this machine. Jobs rise,
servers come, join and take jobs; jobs fall, servers drain and go. Nothing listens beyond 127.0.0.1, and
nothing is left behind. `prometheus` and `python3` must be installed.

Exits with 0 if no job was killed and no server is left, else with 1.

Examples:
  muster scaler demo
  muster scaler demo --jobs-for 30s --json"
)]
pub(crate) struct DemoArgs {
    /// How long new jobs come; what follows takes as long as it takes.
    #[arg(long, value_name = "DURATION", default_value = "45s")]
    jobs_for: muster_options::Duration,
    /// Print what happened as JSON at the end, and no picture.
    #[arg(long)]
    json: bool,
}

/// What came of it.
#[derive(Clone, Debug, Default, Serialize)]
pub(super) struct Summary {
    /// How long it took, in seconds.
    seconds: f64,
    /// Jobs that ended well.
    succeeded: usize,
    /// Jobs that ended because their server did, or otherwise not well.
    killed: usize,
    /// Jobs that were not over when it ended.
    open: usize,
    /// 95th percentile of the jobs' waits for a runner, in seconds.
    wait_p95_seconds: f64,
    /// Servers that were asked for.
    servers: u64,
    /// The most at a time.
    most_servers: usize,
    /// Jobs that ran on temporary servers.
    jobs_on_servers: usize,
    /// Servers, their processes and their runner objects that were left at the end.
    left: usize,
    /// Decisions that were made.
    decisions: u64,
}

impl Summary {
    const fn is_good(&self) -> bool {
        self.killed == 0 && self.left == 0 && self.open == 0 && self.servers > 0
    }
}

pub(super) fn demo(args: &DemoArgs, registry: Arc<Registry>) -> CommandResult {
    let runtime = runtime()?;
    let outcome = runtime.block_on(async {
        let root = Group::root("muster");
        let outcome = show(args, &root, registry).await;
        let _ = root.stop().await;
        outcome
    });
    runtime.shutdown_background();
    let summary = outcome?;
    if args.json {
        let text = serde_json::to_string_pretty(&summary).map_err(Failure::failed)?;
        print(&(text + "\n"))?;
    } else {
        print(&words(&summary))?;
    }
    Ok(if summary.is_good() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// Sets everything up, lets the jobs come, and waits until all is gone.
async fn show(args: &DemoArgs, root: &Group, registry: Arc<Registry>) -> Result<Summary, Failure> {
    let listens =
        |error: std::io::Error| Failure::failed(format!("failed to listen to signals: {error}"));
    let mut interrupt = signal(SignalKind::interrupt()).map_err(listens)?;
    let mut terminate = signal(SignalKind::terminate()).map_err(listens)?;
    let mut picture = Picture::new(args.json);
    let stage = Stage::set(root, registry).await?;
    let began = Instant::now();
    let mut load = jobs::Jobs::new(args.jobs_for.get());
    let mut most_servers = 0;
    let ended = loop {
        load.come(&stage.gitlab, stage.project, began.elapsed());
        let status = stage.status();
        most_servers = most_servers.max(status.ledger.servers.len());
        if !picture.draw(&stage, &status, began.elapsed())? {
            break Ok(());
        }
        let over = load.is_over(began.elapsed()) && stage.gitlab.counts().open() == 0;
        if over && status.ledger.servers.is_empty() {
            break Ok(());
        }
        if began.elapsed() > args.jobs_for.get() + LONGEST_END {
            break Err(());
        }
        tokio::select! {
            () = tokio::time::sleep(FRAME) => {}
            _ = interrupt.recv() => break Ok(()),
            _ = terminate.recv() => break Ok(()),
        }
    };
    let summary = stage.summary(began.elapsed(), most_servers);
    drop(picture);
    stage.strike().await;
    if ended.is_err() {
        eprintln!("muster: not all was over in time");
    }
    Ok(summary)
}

fn words(summary: &Summary) -> String {
    format!(
        "{} in {:.0} s: {} done, {} killed, {} not over; 95 of 100 began within {:.1} s.\n\
         {} came, at most {} at a time, took {}, and {} left.\n",
        plural(summary.succeeded + summary.killed + summary.open, "job"),
        summary.seconds,
        summary.succeeded,
        summary.killed,
        summary.open,
        summary.wait_p95_seconds,
        plural(
            usize::try_from(summary.servers).unwrap_or(usize::MAX),
            "server"
        ),
        summary.most_servers,
        plural(summary.jobs_on_servers, "job"),
        match summary.left {
            0 => "nothing is".to_owned(),
            left => format!("{left} are"),
        }
    )
}
