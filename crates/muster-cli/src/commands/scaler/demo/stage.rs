//! What a demonstration is made of.

use std::collections::BTreeSet;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use muster_config::{AgentSettings, Definition, ProcessEnvironment, Source, plugin_options};
use muster_control::change::ChangeError;
use muster_engine::{Change, Engine, States};
use muster_gitlab::double::{Double, Fate, Options, RunnerSpec, Webhook};
use muster_options::{Options as _, Secret};
use muster_plugin::{ComponentId, Kind, Registry};
use muster_process::{Child, Command};
use muster_scaler::{Deleting, Done, Reaped, Scalers, Status, providers, reap};
use muster_scaler_core::Config;
use muster_tasks::Group;
use toml::{Table, Value};

use super::Summary;
use crate::Failure;
use crate::commands::scaler::configured::{lines, now};

/// The provider that ships with Muster as an example: servers are processes.
const PROVIDER: &str =
    include_str!("../../../../../../examples/scaler-provider/local_processes.py");

/// How long the demonstration's GitLab holds a request for a job.
pub(super) const LONG_POLLING: Duration = Duration::from_secs(1);
/// How often its runners look for jobs.
pub(super) const BEAT: Duration = Duration::from_millis(500);

const HOSTS: usize = 2;
const HOST_SLOTS: usize = 2;
const SERVER_SLOTS: usize = 3;
const MOST_SERVERS: usize = 6;
const STARTS_WITHIN: Duration = Duration::from_secs(30);
const STOPS_WITHIN: Duration = Duration::from_secs(5);

/// Everything that runs, and where it is.
pub(super) struct Stage {
    folder: tempfile::TempDir,
    pub(super) gitlab: Double,
    pub(super) project: u64,
    engine: Engine,
    scalers: Arc<Scalers>,
    /// Prometheus and the permanent hosts; they end with these.
    children: Vec<Child>,
    permanent: Vec<u64>,
    config: Config,
}

impl Stage {
    /// Starts everything.
    pub(super) async fn set(root: &Group, registry: Arc<Registry>) -> Result<Self, Failure> {
        for (program, package) in [("prometheus", "prometheus"), ("python3", "python3")] {
            find(program, package)?;
        }
        let folder = tempfile::Builder::new().prefix("muster-demo-").tempdir();
        let folder =
            folder.map_err(|error| Failure::failed(format!("failed to make a folder: {error}")))?;
        let at = folder.path().to_owned();
        let options = Options {
            hold: LONG_POLLING,
            ..Options::default()
        };
        let gitlab = Double::start(root, options).await;
        let gitlab = gitlab
            .map_err(|error| Failure::failed(format!("failed to start a GitLab: {error}")))?;
        let project = gitlab.add_project("shop/web");
        let scaler = free_address()?;
        write(&at.join("provider.py"), PROVIDER)?;
        let program = std::env::current_exe()
            .map_err(|e| Failure::failed(format!("failed to find myself: {e}")))?;
        runner_program(&at, &program)?;
        let (mut children, mut permanent, mut targets) = (Vec::new(), Vec::new(), Vec::new());
        for number in 1..=HOSTS {
            let spec = RunnerSpec {
                description: format!("permanent-{number}"),
                tags: vec!["docker".to_owned()],
                run_untagged: true,
                ..RunnerSpec::default()
            };
            let (id, token) = gitlab.add_runner(&spec);
            let address = free_address()?;
            children.push(host(
                root,
                &at,
                &program,
                &gitlab,
                &spec.description,
                &token,
                address,
            )?);
            permanent.push(id);
            targets.push(address);
        }
        let prometheus = free_address()?;
        children.push(start_prometheus(root, &at, prometheus, &targets, scaler)?);
        is_ready(prometheus).await?;
        let word = Secret::new("demo-webhook");
        let hook = Webhook {
            url: format!("http://{scaler}/hooks/gitlab"),
            token: word.clone(),
            created: true,
        };
        gitlab.set_webhook(Some(hook));
        let text = configuration(&at, &gitlab, prometheus, scaler, &word);
        let definition = definition(&text)?;
        let options = plugin_options(&definition, &registry, &ProcessEnvironment);
        let config = options.and_then(|options| Config::parse(&options));
        let config = config.map_err(|wrong| Failure::Configuration(lines(&wrong)))?;
        let engine = Engine::new(
            root,
            registry,
            Arc::new(ProcessEnvironment),
            States::default(),
        );
        let scalers = engine.shared();
        start_scaler(&engine, definition).await?;
        Ok(Self {
            folder,
            gitlab,
            project,
            engine,
            scalers,
            children,
            permanent,
            config,
        })
    }

    /// How the scaler stands.
    pub(super) fn status(&self) -> Arc<Status> {
        let all = self.scalers.all();
        let status = all
            .first()
            .map(|(_, controller)| Arc::clone(&controller.status().borrow()));
        status.unwrap_or_default()
    }

    pub(super) const fn permanent_slots(&self) -> usize {
        HOSTS * HOST_SLOTS
    }

    pub(super) const fn server_slots(&self) -> usize {
        SERVER_SLOTS
    }

    /// What came of it.
    pub(super) fn summary(&self, took: Duration, most_servers: usize) -> Summary {
        let counts = self.gitlab.counts();
        let status = self.status();
        let jobs = self.gitlab.jobs();
        let wait = |job: &muster_gitlab::double::JobView| {
            Some(job.started?.since(job.queued?).as_secs_f64())
        };
        let mut waits: Vec<f64> = jobs.iter().filter_map(wait).collect();
        waits.sort_by(f64::total_cmp);
        let rank = (waits.len() * 95).div_ceil(100).saturating_sub(1);
        let on_server = |job: &&muster_gitlab::double::JobView| {
            job.fate == Fate::Succeeded
                && job.runner.is_some_and(|id| !self.permanent.contains(&id))
        };
        let runners = self.gitlab.runners();
        let extra = runners
            .iter()
            .filter(|runner| !self.permanent.contains(&runner.id));
        Summary {
            seconds: took.as_secs_f64(),
            succeeded: counts.succeeded,
            killed: counts.killed + counts.failed + counts.dropped,
            open: counts.open(),
            wait_p95_seconds: waits.get(rank).copied().unwrap_or_default(),
            servers: status.counts.creates,
            most_servers,
            jobs_on_servers: jobs.iter().filter(on_server).count(),
            left: status.ledger.servers.len() + self.processes() + extra.count(),
            decisions: status.ledger.decisions,
        }
    }

    /// Servers as the provider keeps them: a folder each.
    fn processes(&self) -> usize {
        let Ok(entries) = std::fs::read_dir(self.folder.path().join("servers")) else {
            return 0;
        };
        let names = entries.flatten().map(|entry| entry.file_name());
        names
            .filter(|name| !name.to_string_lossy().starts_with('.'))
            .count()
    }

    /// Ends everything; what servers are left are ended, too.
    pub(super) async fn strike(self) {
        let Self {
            folder,
            engine,
            children,
            config,
            ..
        } = self;
        let _ = engine.stop(STOPS_WITHIN).await;
        for child in children {
            child.stop().await;
        }
        end_servers(&config).await;
        // The provider and what it knows of the servers are in there.
        drop(folder);
    }
}

/// Deletes servers that an interrupted demonstration leaves, as an operator would from outside.
async fn end_servers(config: &Config) {
    let group = Group::root("end-of-demo");
    if let Ok(all) = providers(config, &group) {
        // By then the life of every server is over.
        let later = now()
            + config
                .pool
                .iter()
                .map(|p| p.hard_ttl.get())
                .sum::<Duration>();
        let reaping = reap(&all, &config.owner, later, Duration::ZERO, Deleting::Yes).await;
        for server in reaping.servers {
            if let Done::Failed(why) = server.done {
                let Reaped { name, id, .. } = server;
                tracing::warn!("the demonstration's server {name} ({id}) is left: {why}");
            }
        }
        for (id, why) in reaping.problems {
            tracing::warn!("the demonstration's provider {id} may have servers left: {why}");
        }
    }
    let _ = group.stop().await;
}

fn find(program: &str, package: &str) -> Result<(), Failure> {
    let command = Command::new([program]).map_err(Failure::failed)?;
    command.find().map(drop).map_err(|_| {
        Failure::failed(format!(
            "{program} is not installed; install it with: sudo apt-get install {package}"
        ))
    })
}

fn write(path: &Path, text: &str) -> Result<(), Failure> {
    std::fs::write(path, text)
        .map_err(|error| Failure::Unusable(format!("failed to write {}: {error}", path.display())))
}

/// An address of this machine where nobody listens now.
fn free_address() -> Result<SocketAddr, Failure> {
    let free = TcpListener::bind(("127.0.0.1", 0)).and_then(|socket| socket.local_addr());
    free.map_err(|error| Failure::failed(format!("failed to find a free port: {error}")))
}

/// A `gitlab-runner` in a folder of its own, for the script that servers are born with.
fn runner_program(at: &Path, program: &Path) -> Result<(), Failure> {
    use std::os::unix::fs::PermissionsExt;
    let bin = at.join("bin");
    std::fs::create_dir_all(&bin).map_err(Failure::failed)?;
    let path = bin.join("gitlab-runner");
    let script = format!(
        "#!/bin/sh\nexec '{}' scaler demo-runner --address-file \"$MUSTER_SERVER_FOLDER/address\" \"$@\"\n",
        program.display()
    );
    write(&path, &script)?;
    let mode = std::fs::Permissions::from_mode(0o755);
    std::fs::set_permissions(&path, mode).map_err(Failure::failed)
}

/// A permanent host.
fn host(
    root: &Group,
    at: &Path,
    program: &Path,
    gitlab: &Double,
    name: &str,
    token: &str,
    address: SocketAddr,
) -> Result<Child, Failure> {
    let config = at.join(format!("{name}.toml"));
    let text = format!(
        "concurrent = {HOST_SLOTS}\nlisten_address = \"{address}\"\n\
         [[runners]]\nname = \"{name}\"\nurl = \"{}\"\ntoken = \"{token}\"\n",
        gitlab.url()
    );
    write(&config, &text)?;
    let words = [
        program.display().to_string(),
        "scaler".to_owned(),
        "demo-runner".to_owned(),
        "run".to_owned(),
        "--config".to_owned(),
        config.display().to_string(),
    ];
    start(root, &words)
}

fn start(root: &Group, words: &[String]) -> Result<Child, Failure> {
    let command = Command::new(words.iter().cloned()).map_err(Failure::failed)?;
    command
        .spawn(root)
        .map_err(|error| Failure::failed(format!("failed to {error}")))
}

fn start_prometheus(
    root: &Group,
    at: &Path,
    address: SocketAddr,
    targets: &[SocketAddr],
    scaler: SocketAddr,
) -> Result<Child, Failure> {
    let hosts: Vec<String> = targets
        .iter()
        .map(|target| format!("\"{target}\""))
        .collect();
    let config = format!(
        "global:\n  scrape_interval: 1s\n  scrape_timeout: 1s\nscrape_configs:\n\
         - job_name: permanent\n  static_configs:\n  - targets: [{}]\n\
         - job_name: temporary\n  http_sd_configs:\n  - url: http://{scaler}/sd/prometheus\n    refresh_interval: 1s\n",
        hosts.join(", ")
    );
    let path = at.join("prometheus.yml");
    write(&path, &config)?;
    let words = [
        "prometheus".to_owned(),
        format!("--config.file={}", path.display()),
        format!("--storage.tsdb.path={}", at.join("prometheus").display()),
        format!("--web.listen-address={address}"),
        "--log.level=error".to_owned(),
    ];
    start(root, &words)
}

/// Waits until Prometheus answers.
async fn is_ready(address: SocketAddr) -> Result<(), Failure> {
    let wait = async {
        while tokio::net::TcpStream::connect(address).await.is_err() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(STARTS_WITHIN, wait)
        .await
        .map_err(|_| Failure::failed("failed to start prometheus: it does not listen"))
}

/// The scaler's table, as it would stand in a file.
fn configuration(
    at: &Path,
    gitlab: &Double,
    prometheus: SocketAddr,
    scaler: SocketAddr,
    word: &Secret,
) -> String {
    let path = |name: &str| -> PathBuf { at.join(name) };
    // The script of a server begins its work in the background; the server is there until its
    // process ends.
    let command = "sh \"$MUSTER_USER_DATA\"; while [ ! -e off ]; do sleep 1; done";
    let environment = format!(
        "PATH={}:{}",
        path("bin").display(),
        std::env::var("PATH").unwrap_or_default()
    );
    format!(
        r#"
mode = "on"
tick = "1s"
list_every = "2s"
long_polling = "{long_polling}s"
owner = "demo"
state = {state:?}
listen = "{scaler}"

[prometheus]
url = "http://{prometheus}"
max_age = "10s"

[gitlab]
url = "{gitlab}"
token = "{token}"
webhook_token = "{word}"
projects = ["shop/web"]
poll = "1s"

[[pool]]
name = "docker"
match_tags = ["docker"]
run_untagged = true
permanent = 'job="permanent"'
slots_per_server = {SERVER_SLOTS}
max_servers = {MOST_SERVERS}
idle_time = "4s"
rate = {{ create_per_minute = 60, delete_per_minute = 60 }}

[[pool.provider]]
kind = "exec"
command = ["python3", {provider:?}]
environment = [{environment:?}, {root:?}, "MUSTER_POWEROFF=touch off"]
boot_timeout = "60s"
timeout = "30s"
parameters = {{ folder = {servers:?}, command = {command:?} }}
"#,
        long_polling = LONG_POLLING.as_secs(),
        state = path("scaler"),
        gitlab = gitlab.url(),
        token = gitlab.scaler_token(),
        word = word.expose(),
        provider = path("provider.py"),
        root = "MUSTER_ROOT=.",
        servers = path("servers"),
    )
}

fn definition(text: &str) -> Result<Definition, Failure> {
    let options: Table = toml::from_str(text).map_err(Failure::failed)?;
    Ok(Definition {
        id: ComponentId::new(Kind::Scaler, "demo"),
        plugin: "scaler".to_owned(),
        options: plain(options),
        source: Source::Api,
        paused: false,
        position: 0,
    })
}

async fn start_scaler(engine: &Engine, definition: Definition) -> Result<(), Failure> {
    let change = Change {
        put: vec![Arc::new(definition)],
        remove: Vec::new(),
        agent: Arc::new(AgentSettings::default()),
        global_tags: Arc::default(),
        lenient: BTreeSet::new(),
    };
    let prepared = engine.prepare(&change).await;
    engine.commit(prepared.map_err(|why| Failure::failed(ChangeError::Refused(why)))?);
    Ok(())
}

/// The same where a `$` is no variable.
fn verbatim(value: Value) -> Value {
    match value {
        Value::String(text) => Value::String(text.replace('$', "$$")),
        Value::Array(items) => Value::Array(items.into_iter().map(verbatim).collect()),
        Value::Table(table) => Value::Table(plain(table)),
        other => other,
    }
}

fn plain(table: Table) -> Table {
    let both = |(key, value)| (key, verbatim(value));
    table.into_iter().map(both).collect()
}
