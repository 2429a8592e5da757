//! `muster sentinel watch`: the fleet as ZooKeeper or etcd has it.

use std::io::IsTerminal;
use std::pin::pin;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use muster_etcd::{Client, Endpoints, Login};
use muster_metric::Timestamp;
use muster_options::Secret;
use muster_sentinel::publish::zookeeper_tls;
use muster_sentinel::{EtcdFleetWatch, Fleet, FleetWatch};
use muster_tasks::Group;
use muster_zookeeper::{Options, Servers, Session};
use tokio::signal::unix::{SignalKind, signal};

use super::live::{self, Lines};
use super::zookeeper::ZooKeeperTlsArgs;
use super::{etcd_login, etcd_root, root};
use crate::commands::top::screen::Screen;
use crate::text::{Line, Style, Tone, plural, print};
use crate::{CommandResult, Failure, instances};

/// How long to wait for the servers with `--once`.
const PATIENCE: Duration = Duration::from_secs(10);

/// Which fleet, and how to show it.
#[derive(Debug, Args)]
pub(super) struct WatchArgs {
    #[command(flatten)]
    place: PlaceArgs,
    #[command(flatten)]
    tls: ZooKeeperTlsArgs,
    /// Show what is there now, end.
    #[arg(long)]
    once: bool,
    /// Print JSON: the documents, with --once as a list, else one a line with each change.
    #[arg(long)]
    json: bool,
}

/// Where the fleet is.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
struct PlaceArgs {
    /// ZooKeeper's servers and root: host:port,host:port/root [root: /muster].
    #[arg(long, value_name = "SERVERS")]
    zookeeper: Option<Servers>,
    /// etcd's servers and root: host:port,host:port/root [root: /muster]; login: $ETCDCTL_USER and $ETCDCTL_PASSWORD.
    #[arg(long, value_name = "SERVERS")]
    etcd: Option<Endpoints>,
}

/// The fleet, wherever it is.
enum Fleets {
    ZooKeeper(FleetWatch),
    Etcd(Box<EtcdFleetWatch>),
}

fn failed(error: impl std::fmt::Display) -> Failure {
    Failure::failed(format!("failed to {error}"))
}

impl Fleets {
    /// The fleet after the next change; `None` if there are no more.
    async fn next(&mut self) -> Result<Option<Arc<Fleet>>, Failure> {
        match self {
            Self::ZooKeeper(fleets) => fleets.next().await.map_err(failed),
            Self::Etcd(fleets) => fleets.next().await.map(Some).map_err(failed),
        }
    }
}

pub(super) fn watch(args: &WatchArgs) -> CommandResult {
    let runtime = crate::commands::run::runtime()?;
    let outcome = runtime.block_on(async {
        let group = Group::root("muster");
        let shown = match (&args.place.zookeeper, &args.place.etcd) {
            (Some(servers), _) => in_zookeeper(args, servers, &group).await,
            (None, Some(endpoints)) => in_etcd(args, endpoints).await,
            (None, None) => Ok(()),
        };
        let _ = group.stop().await;
        shown
    });
    runtime.shutdown_background();
    outcome.map(|()| ExitCode::SUCCESS)
}

async fn in_zookeeper(args: &WatchArgs, servers: &Servers, group: &Group) -> Result<(), Failure> {
    let rooted = servers.clone().with_root(root(servers));
    let rooted = rooted.map_err(|error| Failure::Usage(format!("--zookeeper: {error}")))?;
    let mut options = Options::new(rooted);
    options.tls = zookeeper_tls(&args.tls.options()).map_err(Failure::failed)?;
    let session = Session::start(group, options).map_err(Failure::failed)?;
    let fleets = FleetWatch::new(session.clone()).map_err(failed)?;
    let shown = show(args, Fleets::ZooKeeper(fleets), servers.to_string()).await;
    session.stop().await;
    shown
}

async fn in_etcd(args: &WatchArgs, endpoints: &Endpoints) -> Result<(), Failure> {
    let mut options = muster_etcd::Options::new(endpoints.clone());
    options.login = etcd_login().map(|(user, password)| Login {
        user,
        password: Secret::new(password),
    });
    let client = Client::new(options).map_err(failed)?;
    let fleets = EtcdFleetWatch::new(client, etcd_root(endpoints));
    show(args, Fleets::Etcd(Box::new(fleets)), endpoints.to_string()).await
}

async fn show(args: &WatchArgs, fleets: Fleets, place: String) -> Result<(), Failure> {
    if args.once {
        once(fleets, args.json, &place).await
    } else {
        follow(fleets, args.json).await
    }
}

async fn once(mut fleets: Fleets, json: bool, place: &str) -> Result<(), Failure> {
    let read = muster_tasks::timeout(PATIENCE, fleets.next()).await;
    let late = |_| failed(format!("read from {place}: no answer within {PATIENCE:?}"));
    let fleet = read.map_err(late)??.unwrap_or_default();
    if json {
        let documents: Vec<_> = fleet.members.values().map(|m| &m.document).collect();
        let text = serde_json::to_string_pretty(&documents).map_err(Failure::failed)?;
        return print(&(text + "\n"));
    }
    let now = Timestamp::now().nanos();
    print(&instances::fleet(&fleet, now).render(Style::stdout()))
}

async fn follow(mut fleets: Fleets, json: bool) -> Result<(), Failure> {
    let deaf = |error| failed(format!("listen to signals: {error}"));
    let mut interrupt = signal(SignalKind::interrupt()).map_err(deaf)?;
    let mut terminate = signal(SignalKind::terminate()).map_err(deaf)?;
    let on_terminal = std::io::stdout().is_terminal() && std::io::stdin().is_terminal();
    let mut screen = match on_terminal && !json {
        true => Some(Screen::open().map_err(live::terminal)?),
        false => None,
    };
    let mut fleet: Option<Arc<Fleet>> = None;
    let mut lines = Lines::new(json);
    loop {
        let next = {
            // It goes on while the screen is drawn: what is given up again and again may never be done.
            let mut next = pin!(fleets.next());
            loop {
                tokio::select! {
                    _ = interrupt.recv() => return Ok(()),
                    _ = terminate.recv() => return Ok(()),
                    next = &mut next => break next?,
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
        };
        let Some(next) = next else {
            return Ok(());
        };
        if screen.is_none() {
            let documents = next.members.iter();
            lines.print(documents.map(|(path, m)| (path.as_str(), &m.document)))?;
        }
        fleet = Some(next);
    }
}

fn frame(fleet: Option<&Fleet>, (width, height): (usize, usize), style: Style) -> Vec<String> {
    let mut lines = match fleet {
        Some(fleet) => instances::fleet(fleet, Timestamp::now().nanos()).lines(),
        None => vec![Line::of("waiting for the servers", Tone::Warn)],
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
