//! The table `[scaler]`.

mod check;
mod cron;
mod provider;

use std::path::PathBuf;

use muster_options::{Duration, JsonSchema, Secret};
use serde::{Deserialize, Serialize};

pub use cron::{Cron, CronError, Zone, ZoneError};

/// What the scaler may do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Mode {
    /// Nothing, not even to look.
    Off,
    /// Look and explain what load there is; decide nothing.
    Observe,
    /// Decide and explain, and send no request that changes anything.
    #[default]
    DryRun,
    /// Act.
    On,
}

impl Mode {
    /// The word for it.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::Observe => "observe",
            Self::DryRun => "dry-run",
            Self::On => "on",
        }
    }
}

/// The scaler.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// What it may do: `off`, `observe`, `dry-run` or `on`.
    pub mode: Mode,
    /// How often to decide; 1s to 5m. Job webhooks wake it up between.
    pub tick: Duration,
    /// The directory of the ledger, the records and the lease. Empty: `scaler` in the agent's state
    /// directory.
    pub state: PathBuf,
    /// Who owns the servers: written on each at its birth; servers of other owners are never touched.
    /// Unique among all scalers that share an account. Letters, digits, `-`, `_` and `.`; at most 40.
    pub owner: String,
    /// How often each provider is asked for all servers; 1s to 10m. It is asked at once, too, when
    /// something is to be learnt.
    pub list_every: Duration,
    /// How long GitLab holds a runner's request for a job, its setting for long polling; 1s to 10m. A
    /// runner may be given a job for so long after it was paused, so a drained server is looked at
    /// again only then.
    pub long_polling: Duration,
    /// How long decisions are kept for `explain` and `replay`.
    pub keep_records: Duration,
    /// Where the scaler serves what servers and others ask it for: `/join`, `/hooks/gitlab` and
    /// `/sd/prometheus`. Empty: nowhere. Serve it to the network of the servers only.
    pub listen: String,
    /// How servers reach `listen`, as a URL. Empty: they get their token in their user data.
    pub join_url: String,
    /// What is asked of Prometheus.
    pub prometheus: PrometheusConfig,
    /// What is asked of GitLab; left out, the scaler works in its reduced mode. No runner can be paused then: a
    /// server may be deleted with a job that it took since its last sample.
    pub gitlab: Option<GitlabConfig>,
    /// The pools. A job belongs to the first that it matches.
    pub pool: Vec<PoolConfig>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            mode: Mode::default(),
            tick: Duration::from_secs(10),
            state: PathBuf::new(),
            owner: String::new(),
            list_every: Duration::from_secs(30),
            long_polling: Duration::from_secs(50),
            keep_records: Duration::from_secs(14 * 24 * 3600),
            listen: String::new(),
            join_url: String::new(),
            prometheus: PrometheusConfig::default(),
            gitlab: None,
            pool: Vec::new(),
        }
    }
}

/// `[scaler.prometheus]`.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct PrometheusConfig {
    /// Its base URL.
    pub url: String,
    /// A bearer token.
    pub bearer_token: Secret,
    /// The user of basic authentication.
    pub username: String,
    /// The password of basic authentication.
    pub password: Secret,
    /// How long a query may take.
    pub timeout: Duration,
    /// Samples that are older count as unknown.
    pub max_age: Duration,
    /// The share of the known hosts of a pool that must answer before the pool may shrink; 0 to 1.
    pub min_coverage: f64,
}

impl Default for PrometheusConfig {
    fn default() -> Self {
        Self {
            url: "http://127.0.0.1:9090".to_owned(),
            bearer_token: Secret::default(),
            username: String::new(),
            password: Secret::default(),
            timeout: Duration::from_secs(5),
            max_age: Duration::from_secs(60),
            min_coverage: 0.9,
        }
    }
}

/// `[scaler.gitlab]`.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct GitlabConfig {
    /// Its base URL.
    pub url: String,
    /// An access token with the scopes `create_runner` and `manage_runner` (and `read_api` to look at
    /// jobs).
    pub token: Secret,
    /// A file that holds the token; read anew when it changes.
    pub token_file: PathBuf,
    /// How long a request may take.
    pub timeout: Duration,
    /// Projects (IDs or paths) whose jobs the pools serve. Their jobs are asked for.
    pub projects: Vec<String>,
    /// Groups (IDs or paths) whose projects' jobs the pools serve.
    pub groups: Vec<String>,
    /// How often jobs are asked for, beside what webhooks tell.
    pub poll: Duration,
    /// The word that GitLab sends with its webhooks (`X-Gitlab-Token`); empty: no webhook is taken.
    pub webhook_token: Secret,
    /// Look ahead over the next stages of running pipelines.
    pub lookahead: bool,
    /// Where runners are made: `instance_type`, `group_type` or `project_type`.
    pub runner_type: String,
    /// The group or project of the runners, by ID, if `runner_type` wants one.
    pub runner_scope: Option<u64>,
}

impl Default for GitlabConfig {
    fn default() -> Self {
        Self {
            url: "https://gitlab.com".to_owned(),
            token: Secret::default(),
            token_file: PathBuf::new(),
            timeout: Duration::from_secs(10),
            projects: Vec::new(),
            groups: Vec::new(),
            poll: Duration::from_secs(15),
            webhook_token: Secret::default(),
            lookahead: true,
            runner_type: "instance_type".to_owned(),
            runner_scope: None,
        }
    }
}

/// `[[scaler.pool]]`: servers for the jobs of a set of tags.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct PoolConfig {
    /// Its name: letters, digits, `-` and `_`; at most 30.
    pub name: String,
    /// A job matches if all its tags are among these.
    pub match_tags: Vec<String>,
    /// Whether jobs without tags match.
    pub run_untagged: bool,
    /// Selects the permanent hosts' series in Prometheus, as between the braces of a selector:
    /// `job="gitlab-runner"`. Empty: there are none. Hosts are learnt; one that is not seen any more is
    /// expected for a day. If not a single one is seen, they count as unknown, not as gone.
    pub permanent: String,
    /// Selects the `node_exporter` series of the same hosts, which name the host in the same label
    /// `instance` up to the port. Empty: pressure is not watched.
    pub node: String,
    /// An expression that gives the number of waiting jobs, for the reduced mode without a token.
    pub pending_query: String,
    /// How many jobs a temporary server runs at a time; 1 to 1000.
    pub slots_per_server: u32,
    /// Grow by what GitLab says while the metrics of the hosts are not known; the last known slots
    /// stand in. Otherwise the fleet is kept as it is.
    pub grow_blind: bool,
    /// The most servers at a time, those on their way included.
    pub max_servers: u32,
    /// Free slots to keep ready.
    pub warm: u32,
    /// Capacity beyond demand, as a share of demand; 0 to 10.
    pub headroom: f64,
    /// A server that had no job for so long is not needed any more.
    pub idle_time: Duration,
    /// A server lives at least so long.
    pub min_life: Duration,
    /// A server is drained when it is so old, whatever it does.
    pub hard_ttl: Duration,
    /// How long a drain may take before it is alarmed about: the longest timeout of a job.
    pub drain_deadline: Duration,
    /// Remove a server whose drain passed its deadline, though a job runs on it.
    pub kill_after_drain_deadline: bool,
    /// Providers bill by this much at a time: a server is removed shortly before the end of one.
    /// 0: by the second.
    pub billing_quantum: Duration,
    /// Told and alarmed about when exceeded.
    pub target_wait_p95: Duration,
    /// What makes a host overloaded, and what is done then.
    pub overload: OverloadConfig,
    /// What may be spent.
    pub budget: BudgetConfig,
    /// How fast servers come and go.
    pub rate: RateConfig,
    /// Times at which other values of `warm`, `headroom` or `max_servers` hold; the last that matches
    /// wins.
    pub schedule: Vec<ScheduleConfig>,
    /// The text of the server's configuration of its runner, `config.toml`, in which `{{url}}`,
    /// `{{token}}`, `{{name}}` and `{{slots}}` are replaced; empty: one with the shell executor.
    pub runner_config: String,
    /// Who has the servers, in order of preference. Each has its `kind` and that kind's options,
    /// `boot_timeout` and `price_per_hour`.
    pub provider: Vec<ProviderConfig>,
}

impl Default for PoolConfig {
    fn default() -> Self {
        Self {
            name: String::new(),
            match_tags: Vec::new(),
            run_untagged: false,
            permanent: String::new(),
            node: String::new(),
            pending_query: String::new(),
            slots_per_server: 1,
            grow_blind: false,
            max_servers: 10,
            warm: 0,
            headroom: 0.0,
            idle_time: Duration::from_secs(90),
            min_life: Duration::ZERO,
            hard_ttl: Duration::from_secs(24 * 3600),
            drain_deadline: Duration::from_secs(4 * 3600),
            kill_after_drain_deadline: false,
            billing_quantum: Duration::ZERO,
            target_wait_p95: Duration::from_secs(60),
            overload: OverloadConfig::default(),
            budget: BudgetConfig::default(),
            rate: RateConfig::default(),
            schedule: Vec::new(),
            runner_config: String::new(),
            provider: Vec::new(),
        }
    }
}

/// `[scaler.pool.overload]`.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct OverloadConfig {
    /// Running jobs by slots of the permanent fleet.
    pub saturation: Threshold,
    /// Share of time in which some task of the host waited for a CPU.
    pub cpu_pressure: Threshold,
    /// Share of time in which all tasks of the host waited for memory.
    pub memory_stall: Threshold,
    /// An overloaded host is one no more when it was below its thresholds for so long.
    pub calm: Duration,
    /// What to do for an overloaded permanent host: `off`, or `pause-host`: its runner takes no new
    /// jobs for `relief_time`.
    pub relief: Relief,
    /// How long a relief lasts.
    pub relief_time: Duration,
    /// How many hosts may be relieved at once.
    pub relief_hosts: u32,
}

impl Default for OverloadConfig {
    fn default() -> Self {
        Self {
            saturation: Threshold::new(0.90, 60),
            cpu_pressure: Threshold::new(0.40, 120),
            memory_stall: Threshold::new(0.05, 60),
            calm: Duration::from_secs(300),
            relief: Relief::default(),
            relief_time: Duration::from_secs(300),
            relief_hosts: 1,
        }
    }
}

/// A value above which a host is overloaded, if it stays there.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Threshold {
    /// The value.
    pub above: f64,
    /// How long it must be exceeded.
    #[serde(rename = "for")]
    pub lasting: Duration,
}

impl Threshold {
    const fn new(above: f64, seconds: u64) -> Self {
        Self {
            above,
            lasting: Duration::from_secs(seconds),
        }
    }
}

/// What to do for an overloaded permanent host.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Relief {
    /// Nothing.
    #[default]
    Off,
    /// Pause its runner for a while.
    PauseHost,
}

/// `[scaler.pool.budget]`.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct BudgetConfig {
    /// Hours of servers a day (UTC); none: no bound; 0: no server at all.
    pub server_hours_per_day: Option<f64>,
    /// Money a month (UTC), by each provider's `price_per_hour`; none: no bound.
    pub money_per_month: Option<f64>,
    /// For display.
    pub currency: String,
}

/// `[scaler.pool.rate]`.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct RateConfig {
    /// How many servers may be asked for a minute; as many at once.
    pub create_per_minute: u32,
    /// How many may be deleted a minute; as many at once.
    pub delete_per_minute: u32,
}

impl Default for RateConfig {
    fn default() -> Self {
        Self {
            create_per_minute: 10,
            delete_per_minute: 10,
        }
    }
}

/// `[[scaler.pool.schedule]]`.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ScheduleConfig {
    /// The minutes to which it applies: minute, hour, day of month, month, day of week.
    pub cron: Cron,
    /// The zone of those times, such as `Europe/Berlin`; empty: UTC.
    pub timezone: Zone,
    /// Free slots to keep ready.
    pub warm: Option<u32>,
    /// Capacity beyond demand, as a share of demand.
    pub headroom: Option<f64>,
    /// The most servers at a time.
    pub max_servers: Option<u32>,
}

/// `[[scaler.pool.provider]]`: what all kinds have, and that kind's own options.
///
/// Own options may hold secrets before the kind has read them: neither debugged nor serialized they
/// show their texts.
#[derive(Clone, Default, PartialEq)]
pub struct ProviderConfig {
    /// What all kinds have.
    pub common: ProviderCommon,
    /// The table as it stands, those options included.
    pub table: toml::Table,
}

/// What all kinds of providers have.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ProviderCommon {
    /// `exec`, `openstack`, `libvirt`, `hetzner`, `docker` or `ec2`.
    pub kind: String,
    /// A server that has not joined so long after it was asked for has failed.
    pub boot_timeout: Duration,
    /// What a server costs an hour, in the budget's currency.
    pub price_per_hour: f64,
    /// How long a call may take.
    pub timeout: Duration,
}

impl Default for ProviderCommon {
    fn default() -> Self {
        Self {
            kind: String::new(),
            boot_timeout: Duration::from_secs(360),
            price_per_hour: 0.0,
            timeout: Duration::from_secs(60),
        }
    }
}
