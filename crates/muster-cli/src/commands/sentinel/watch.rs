//! `muster sentinel watch`: the fleet as ZooKeeper has it.

use std::io::IsTerminal;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use muster_metric::Timestamp;
use muster_sentinel::{Fleet, FleetWatch};
use muster_tasks::Group;
use muster_zookeeper::{Options, Servers, Session};
use tokio::signal::unix::{SignalKind, signal};

use super::live::{self, Lines};
use super::root;
use crate::commands::top::screen::Screen;
use crate::text::{Line, Style, Tone, plural, print};
use crate::{CommandResult, Failure, instances};

/// How long to wait for ZooKeeper with `--once`.
const PATIENCE: Duration = Duration::from_secs(10);

/// Which fleet, and how to show it.
#[derive(Debug, Args)]
pub(super) struct WatchArgs {
    /// The servers and the root: host:port,host:port/root [root: /muster].
    #[arg(long, value_name = "SERVERS")]
    zookeeper: Servers,
    /// Show what is there now, end.
    #[arg(long)]
    once: bool,
    /// Print JSON: the documents, with --once as a list, else one a line with each change.
    #[arg(long)]
    json: bool,
}

pub(super) fn watch(args: &WatchArgs) -> CommandResult {
    let servers = args.zookeeper.clone().with_root(root(&args.zookeeper));
    let servers = servers.map_err(|error| Failure::Usage(format!("--zookeeper: {error}")))?;
    let runtime = crate::commands::run::runtime()?;
    let outcome = runtime.block_on(async {
        let group = Group::root("muster");
        let session = Session::start(&group, Options::new(servers)).map_err(Failure::failed)?;
        let fleets = FleetWatch::new(session.clone()).map_err(Failure::failed)?;
        let shown = if args.once {
            once(fleets, args).await
        } else {
            follow(fleets, args.json).await
        };
        session.stop().await;
        let _ = group.stop().await;
        shown
    });
    runtime.shutdown_background();
    outcome.map(|()| ExitCode::SUCCESS)
}

async fn once(mut fleets: FleetWatch, args: &WatchArgs) -> Result<(), Failure> {
    let read = muster_tasks::timeout(PATIENCE, fleets.next()).await;
    let late = |_| {
        let servers = &args.zookeeper;
        Failure::failed(format!(
            "failed to read from {servers}: no answer within {PATIENCE:?}"
        ))
    };
    let fleet = read.map_err(late)?.map_err(Failure::failed)?;
    let fleet = fleet.unwrap_or_default();
    if args.json {
        let documents: Vec<_> = fleet.members.values().map(|m| &m.document).collect();
        let text = serde_json::to_string_pretty(&documents).map_err(Failure::failed)?;
        return print(&(text + "\n"));
    }
    let now = Timestamp::now().nanos();
    print(&instances::fleet(&fleet, now).render(Style::stdout()))
}

async fn follow(mut fleets: FleetWatch, json: bool) -> Result<(), Failure> {
    let failed =
        |error: std::io::Error| Failure::failed(format!("failed to listen to signals: {error}"));
    let mut interrupt = signal(SignalKind::interrupt()).map_err(failed)?;
    let mut terminate = signal(SignalKind::terminate()).map_err(failed)?;
    let on_terminal = std::io::stdout().is_terminal() && std::io::stdin().is_terminal();
    let mut screen = match on_terminal && !json {
        true => Some(Screen::open().map_err(live::terminal)?),
        false => None,
    };
    let mut fleet: Option<Arc<Fleet>> = None;
    let mut lines = Lines::new(json);
    loop {
        tokio::select! {
            _ = interrupt.recv() => return Ok(()),
            _ = terminate.recv() => return Ok(()),
            next = fleets.next() => match next.map_err(Failure::failed)? {
                Some(next) => {
                    if screen.is_none() {
                        let documents = next.members.iter().map(|(path, m)| (path.as_str(), &m.document));
                        lines.print(documents)?;
                    }
                    fleet = Some(next);
                }
                None => return Ok(()),
            },
            () = tokio::time::sleep(live::TICK) => {}
        }
        if let Some(screen) = &mut screen {
            if live::is_ended(screen)? {
                return Ok(());
            }
            let drawn = screen.draw(|size| frame(fleet.as_deref(), size, Style::stdout()));
            drawn.map_err(live::terminal)?;
        }
    }
}

fn frame(fleet: Option<&Fleet>, (width, height): (usize, usize), style: Style) -> Vec<String> {
    let mut lines = match fleet {
        Some(fleet) => instances::fleet(fleet, Timestamp::now().nanos()).lines(),
        None => vec![Line::of("waiting for ZooKeeper", Tone::Warn)],
    };
    lines.truncate(height.saturating_sub(3));
    lines.push(Line::of("", Tone::Plain));
    let (instances, reporters) = fleet.map_or((0, 0), |f| (f.members.len(), f.reporters.len()));
    let counted = format!(
        "{}, {}",
        plural(instances, "instance"),
        plural(reporters, "reporter")
    );
    lines.push(Line::of(counted, Tone::Plain));
    lines.push(Line::of("q or Ctrl-C ends it", Tone::Dim));
    lines.iter().map(|line| line.render(style, width)).collect()
}
