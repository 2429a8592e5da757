//! `muster sentinel`: checks that run in this process, without an agent.

pub(crate) mod live;
mod watch;
mod zookeeper;

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use clap::{Args, Subcommand};
use muster_config::{AgentSettings, Definition, ProcessEnvironment, Source};
use muster_control::change::ChangeError;
use muster_engine::{Change, Engine, States};
use muster_etcd::Endpoints;
use muster_plugin::{ComponentId, Kind, Registry};
use muster_sentinel::document::{Document, Writer};
use muster_sentinel::{Board, Interest, Slot, State};
use muster_tasks::Group;
use muster_zookeeper::Servers;
use toml::{Table, Value};

use crate::notify::Notifier;
use crate::text::{Style, print};
use crate::{CommandResult, Failure, instances};
use live::Show;
use watch::WatchArgs;
use zookeeper::ZooKeeperTlsArgs;

/// The end may take so long.
const STOP_WITHIN: Duration = Duration::from_secs(5);

/// Checks whether Redis servers are alive, and shows and publishes what it finds.
#[derive(Debug, Args)]
#[command(
    after_help = EXAMPLES,
    args_conflicts_with_subcommands = true,
    subcommand_negates_reqs = true
)]
pub(crate) struct SentinelArgs {
    #[command(subcommand)]
    command: Option<SentinelCommand>,
    /// A server: host:port, or unix:///path/of/socket; may be given several times.
    #[arg(long, value_name = "SERVER", required = true)]
    redis: Vec<String>,
    /// The cluster that the servers belong to.
    #[arg(long, value_name = "NAME")]
    cluster: Option<String>,
    /// The user of an access list.
    #[arg(long, value_name = "NAME")]
    username: Option<String>,
    /// File with the password [default: $REDIS_PASSWORD, if it is set].
    #[arg(long, value_name = "FILE")]
    password_file: Option<PathBuf>,
    /// What is asked: ping, info or replication.
    #[arg(long, value_name = "WHAT")]
    checks: Option<String>,
    /// How often each server is checked.
    #[arg(long, value_name = "DURATION", default_value = "1s")]
    interval: muster_options::Duration,
    /// How long a check may take [default: 500ms, or the interval if that is less].
    #[arg(long, value_name = "DURATION")]
    timeout: Option<muster_options::Duration>,
    /// So many failed checks in a row are needed for a server to be down; one with --once.
    #[arg(
        long,
        value_name = "COUNT",
        default_value_t = 3,
        conflicts_with = "once"
    )]
    fall: u32,
    /// Write what is found into this file as JSON, replaced atomically with each change.
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,
    /// Write what is found into ZooKeeper, below a root: host:port,host:port/root [root: /muster].
    #[arg(long, value_name = "SERVERS")]
    zookeeper: Option<Servers>,
    #[command(flatten)]
    zookeeper_tls: ZooKeeperTlsArgs,
    /// Write what is found into etcd, below a root: host:port,host:port/root [root: /muster], with TLS
    /// https://host:port/root. User and password: $ETCDCTL_USER and $ETCDCTL_PASSWORD.
    #[arg(long, value_name = "SERVERS")]
    etcd: Option<Endpoints>,
    /// Check each server once, print what was found, end.
    #[arg(long)]
    once: bool,
    /// Print JSON: with --once a list of documents, else a document a line with each change.
    #[arg(long)]
    json: bool,
}

/// What else the sentinel does.
#[derive(Debug, Subcommand)]
enum SentinelCommand {
    /// Show the fleet as ZooKeeper or etcd has it, live, and what of it is stale.
    Watch(WatchArgs),
}

const EXAMPLES: &str = "Examples:
  muster sentinel --redis 127.0.0.1:6379                       a live table, until q or Ctrl-C
  muster sentinel --redis db1:6379 --redis db2:6379 --once     check once; see the exit code
  muster sentinel --redis unix:///run/redis.sock --file /run/redis.json
  muster sentinel --redis db1:6379 --zookeeper zk1:2181,zk2:2181/prod
  muster sentinel --redis db1:6379 --etcd etcd1:2379,etcd2:2379/prod
  muster sentinel watch --zookeeper zk1:2181,zk2:2181/prod     what all sentinels have written

Exit codes of --once:
  0  all are up
  1  at least one is down or does not serve as it should
  2  none is known to be down, but not all are known to be up";

/// Runs the checks.
pub(crate) fn sentinel(args: &SentinelArgs, registry: Arc<Registry>) -> CommandResult {
    if let Some(SentinelCommand::Watch(args)) = &args.command {
        return watch::watch(args);
    }
    let definitions = definitions(args)?;
    let runtime = super::run::runtime()?;
    let outcome = runtime.block_on(checks(args, definitions, registry));
    runtime.shutdown_background();
    outcome
}

async fn checks(
    args: &SentinelArgs,
    definitions: Vec<Definition>,
    registry: Arc<Registry>,
) -> CommandResult {
    let root = Group::root("muster");
    let environment = Arc::new(ProcessEnvironment);
    let engine = Engine::new(&root, registry, environment, States::default());
    // Held for as long as the process: what was found stays until the end.
    let board: Arc<Board> = engine.shared();
    let change = Change {
        put: definitions.into_iter().map(Arc::new).collect(),
        remove: Vec::new(),
        agent: Arc::new(AgentSettings::default()),
        global_tags: Arc::default(),
        lenient: BTreeSet::new(),
    };
    let prepared = engine.prepare(&change).await;
    engine.commit(prepared.map_err(|why| Failure::failed(ChangeError::Refused(why)))?);
    let shown = if args.once {
        Ok(once(&board).await)
    } else {
        let notifier = Notifier::from_environment();
        let ready = notifier.ready(&root, Arc::clone(&board));
        ready.map_err(Failure::failed)?;
        let shown = live::watch(&board, Show::new(args.json)).await;
        notifier.stopping();
        shown
    };
    let seen = shown?;
    let stopped = engine.stop(STOP_WITHIN).await;
    for report in stopped.reports.iter().filter(|report| !report.is_clean()) {
        eprintln!("muster: would not stop: {report}");
    }
    let _ = root.stop().await;
    if !args.once {
        return Ok(ExitCode::SUCCESS);
    }
    if args.json {
        let text = serde_json::to_string_pretty(&seen).map_err(Failure::failed)?;
        print(&(text + "\n"))?;
    } else {
        let now = muster_metric::Timestamp::now().nanos();
        print(&instances::table(&seen, now).render(Style::stdout()))?;
    }
    Ok(exit_code(&seen))
}

/// Waits until each instance was checked.
async fn once(board: &Board) -> Vec<Document> {
    let changes = board.subscribe(Interest::EveryCheck);
    loop {
        let slots = board.slots();
        if slots.iter().all(|slot| slot.status().checked.is_some()) {
            return documents(board);
        }
        changes.changed().await;
    }
}

/// What is known of all instances.
fn documents(board: &Board) -> Vec<Document> {
    let writer = Writer::default();
    let slots = board.slots();
    let document = |slot: &Arc<Slot>| Document::new(&slot.instance(), &slot.status(), &writer);
    slots.iter().map(document).collect()
}

fn exit_code(seen: &[Document]) -> ExitCode {
    let is = |state: State| seen.iter().any(|document| document.state == state);
    if is(State::Down) || is(State::Degraded) || is(State::Flapping) {
        ExitCode::from(1)
    } else if is(State::Unknown) {
        ExitCode::from(2)
    } else {
        ExitCode::SUCCESS
    }
}

/// The components that the command line asks for.
fn definitions(args: &SentinelArgs) -> Result<Vec<Definition>, Failure> {
    let mut check = Table::new();
    let list = |items: &[String]| Value::Array(items.iter().map(|s| s.as_str().into()).collect());
    check.insert("servers".into(), list(&args.redis));
    let mut set = |name: &str, value: Option<Value>| {
        if let Some(value) = value {
            check.insert(name.to_owned(), value);
        }
    };
    set("cluster", args.cluster.as_deref().map(Into::into));
    set("username", args.username.as_deref().map(Into::into));
    set("checks", args.checks.as_deref().map(Into::into));
    set("password", password(args)?.map(Into::into));
    let timeout = args.timeout.unwrap_or_else(|| {
        let usual = muster_options::Duration::from_millis(500);
        if usual > args.interval {
            args.interval
        } else {
            usual
        }
    });
    set("interval", Some(args.interval.to_string().into()));
    set("timeout", Some(timeout.to_string().into()));
    set(
        "fall",
        Some(i64::from(if args.once { 1 } else { args.fall }).into()),
    );
    if args.once {
        set("down_after", Some("0s".into()));
    }
    let mut all = vec![definition(Kind::Check, "redis", check)];
    if let Some(file) = &args.file {
        let path = file
            .to_str()
            .ok_or_else(|| Failure::Usage(format!("the name of {} is no UTF-8", file.display())))?;
        let options = Table::from_iter([("path".to_owned(), path.into())]);
        all.push(definition(Kind::Publisher, "file", options));
    }
    if let Some(servers) = &args.zookeeper {
        let names = servers.list().iter().map(|s| s.to_string().into());
        let mut options = Table::from_iter([
            ("servers".to_owned(), Value::Array(names.collect())),
            ("root".to_owned(), root(servers).into()),
        ]);
        args.zookeeper_tls.add_to(&mut options);
        all.push(definition(Kind::Publisher, "zookeeper", options));
    }
    if let Some(endpoints) = &args.etcd {
        let names = endpoints.list().iter().map(|e| e.to_string().into());
        let mut options = Table::from_iter([
            ("endpoints".to_owned(), Value::Array(names.collect())),
            ("root".to_owned(), etcd_root(endpoints).into()),
        ]);
        if let Some((user, password)) = etcd_login() {
            options.insert("username".to_owned(), verbatim(&user).into());
            options.insert("password".to_owned(), verbatim(&password).into());
        }
        all.push(definition(Kind::Publisher, "etcd", options));
    }
    Ok(all)
}

/// What the keys of the statuses begin with.
fn etcd_root(endpoints: &Endpoints) -> &str {
    match endpoints.root() {
        "" => "/muster",
        root => root,
    }
}

/// The user of etcd and the password, from the environment.
fn etcd_login() -> Option<(String, String)> {
    let variable = |name: &str| std::env::var(name).ok().filter(|text| !text.is_empty());
    Some((variable("ETCDCTL_USER")?, variable("ETCDCTL_PASSWORD")?))
}

/// A text as an option that holds just this: a `$` in it is no variable.
fn verbatim(text: &str) -> String {
    text.replace('$', "$$")
}

/// The node below which the statuses are.
fn root(servers: &Servers) -> &str {
    match servers.root() {
        "/" => "/muster",
        root => root,
    }
}

fn definition(kind: Kind, plugin: &str, options: Table) -> Definition {
    Definition {
        id: ComponentId::new(kind, plugin),
        plugin: plugin.to_owned(),
        options,
        source: Source::Api,
        paused: false,
        position: 0,
    }
}

fn password(args: &SentinelArgs) -> Result<Option<String>, Failure> {
    if let Some(path) = &args.password_file {
        let text = std::fs::read_to_string(path);
        let text = text.map_err(|error| {
            Failure::failed(format!(
                "failed to read the password file {}: {error}",
                path.display()
            ))
        })?;
        return Ok(Some(verbatim(text.trim_end_matches(['\r', '\n']))));
    }
    let variable = std::env::var("REDIS_PASSWORD").ok();
    Ok(variable
        .filter(|text| !text.is_empty())
        .as_deref()
        .map(verbatim))
}
