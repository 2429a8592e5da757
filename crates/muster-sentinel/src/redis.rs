//! `checks.redis`: whether Redis servers are alive.

#[cfg(test)]
mod tests;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use muster_net::{Address, OptionReader, TlsClientOptions};
use muster_options::{
    Duration as OptionDuration, JsonSchema, OptionDoc, OptionError, Options, Secret,
};
use muster_plugin::{
    Build, BuildContext, Built, FormatUse, PluginError, PluginRow, ServiceContext, ServiceInput,
    StartContext,
};
use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use crate::check::{CheckOptions, Roster};
use crate::checker::{MakeProbe, Timing};
use crate::discover::{Found, Source};
use crate::machine::Thresholds;
use crate::probe::{Depth, Dialer, Probe, RedisOptions, RedisProbe};
use crate::resolve::Resolver;
use crate::status::{CheckKind, Instance, Target};

/// The row of the plugin.
pub(crate) const ROW: PluginRow = PluginRow {
    name: "redis",
    summary: "checks whether Redis servers are alive",
    options: docs,
    format: FormatUse::None,
    build: Build::Check(|cx| Ok(Box::new(RedisCheck::build(cx)?))),
};

fn docs() -> Vec<OptionDoc> {
    let mut docs = RedisCheckOptions::describe();
    docs.extend(CheckOptions::describe());
    docs.extend(TlsClientOptions::describe());
    docs
}

/// Options of `checks.redis`, beside those of all checks and of TLS.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct RedisCheckOptions {
    /// The servers: `host:port`, `tcp://host:port` or `unix:///path/of/socket`. Without a port,
    /// 6379 is meant. If neither these nor `discover` are given, the server at 127.0.0.1:6379.
    pub servers: Vec<String>,
    /// Where further servers are found: `cluster` (the nodes of the cluster to which `servers`
    /// belong), `sentinel` (what the Sentinels in `servers` watch), `processes` (Redis servers that
    /// listen on this host; one that dies is checked on for up to an hour),
    /// or a path such as `/etc/redis/*.list` of files with one server a line.
    pub discover: String,
    /// How often to look for servers.
    pub discover_interval: OptionDuration,
    /// The user of an access list, for servers that have one.
    pub username: String,
    /// The password, for servers that want one.
    pub password: Secret,
    /// What is asked: `ping` only; `info`, also what the server is, at times; `replication`, also
    /// with every check how a replica stands to its master.
    pub checks: Depth,
    /// With every so many checks a new connection is opened, to see whether the server takes new
    /// clients; between them one connection is kept. 0 opens one only when the kept one fails.
    pub reconnect_every: u32,
}

impl Default for RedisCheckOptions {
    fn default() -> Self {
        Self {
            servers: Vec::new(),
            discover: String::new(),
            discover_interval: OptionDuration::from_secs(30),
            username: String::new(),
            password: Secret::default(),
            checks: Depth::default(),
            reconnect_every: 3,
        }
    }
}

/// Which servers are checked.
#[derive(Clone, Debug)]
struct Selection {
    cluster: String,
    /// Those that are configured.
    servers: Vec<Target>,
    /// Where others are found.
    source: Option<Source>,
}

/// The component.
pub struct RedisCheck {
    options: RedisCheckOptions,
    tls: TlsClientOptions,
    thresholds: Arc<Thresholds>,
    timing: Timing,
    selection: Selection,
    started: Option<(Roster, Arc<RedisOptions>)>,
}

impl std::fmt::Debug for RedisCheck {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RedisCheck")
            .field("selection", &self.selection)
            .finish_non_exhaustive()
    }
}

impl RedisCheck {
    /// Checks the options.
    ///
    /// # Errors
    /// All that is wrong with them.
    pub fn build(cx: &BuildContext) -> Built<Self> {
        let mut reader = OptionReader::new(cx, &[]);
        let tls: TlsClientOptions = reader.take();
        let common: CheckOptions = reader.take();
        for error in tls.problems() {
            reader.refuse(error);
        }
        let read = common.read();
        for error in read.as_ref().err().into_iter().flatten() {
            reader.refuse(error.clone());
        }
        let options: RedisCheckOptions = reader.rest()?;
        let (thresholds, timing) = read?;
        let mut errors = Vec::new();
        let mut servers = Vec::new();
        for (at, server) in options.servers.iter().enumerate() {
            match read_target(server) {
                Ok(target) => servers.push(target),
                Err(why) => errors.push(OptionError::new(format!("servers[{at}]"), why)),
            }
        }
        let mut source = None;
        if !options.discover.is_empty() {
            match Source::read(&options.discover) {
                Ok(read) if read.asks() && options.servers.is_empty() => {
                    errors.push(OptionError::new(
                        "servers",
                        "`discover` needs servers to ask",
                    ));
                    source = Some(read);
                }
                Ok(read) => source = Some(read),
                Err(why) => errors.push(OptionError::new("discover", why)),
            }
        } else if options.servers.is_empty() {
            servers.push(Target::Tcp {
                host: "127.0.0.1".to_owned(),
                port: DEFAULT_PORT,
            });
        }
        if options.discover_interval.get() < SHORTEST_LOOK {
            errors.push(OptionError::new("discover_interval", "at least 100ms"));
        }
        if !options.username.is_empty() && options.password.is_empty() {
            errors.push(OptionError::new("username", "a user needs a password"));
        }
        if !errors.is_empty() {
            return Err(errors);
        }
        Ok(Self {
            options,
            tls,
            thresholds,
            timing,
            selection: Selection {
                cluster: common.cluster,
                servers,
                source,
            },
            started: None,
        })
    }
}

/// Redis' port.
const DEFAULT_PORT: u16 = 6379;

/// The least time between two looks for servers.
const SHORTEST_LOOK: Duration = Duration::from_millis(100);

/// Reads a server's address.
pub(crate) fn read_target(text: &str) -> Result<Target, String> {
    if let Some(path) = text.strip_prefix("unix://") {
        if path.is_empty() {
            return Err("the path of the socket is missing".to_owned());
        }
        return Ok(Target::Socket(PathBuf::from(path)));
    }
    if text.starts_with('/') {
        return Ok(Target::Socket(PathBuf::from(text)));
    }
    let rest = text.strip_prefix("tcp://").unwrap_or(text);
    let rest = rest
        .strip_prefix("redis://")
        .unwrap_or(rest)
        .trim_end_matches('/');
    let has_port = match rest.rsplit_once(':') {
        Some((_, after)) => !after.ends_with(']'),
        None => false,
    };
    let whole = if has_port {
        format!("tcp://{rest}")
    } else {
        format!("tcp://{rest}:{DEFAULT_PORT}")
    };
    let address = Address::parse(&whole).map_err(|error| error.to_string())?;
    if address.host().is_empty() || address.port() == 0 {
        return Err("write host and port".to_owned());
    }
    Ok(Target::Tcp {
        host: address.host().to_owned(),
        port: address.port(),
    })
}

#[async_trait]
impl ServiceInput for RedisCheck {
    async fn start(&mut self, cx: &StartContext) -> Result<(), PluginError> {
        let dialer = Dialer::new(Resolver::new(cx.group()), &self.tls)?;
        let mut roster = Roster::new(cx, Arc::clone(&self.thresholds), self.timing);
        for instance in self.selection.checked(&Found::new()) {
            roster.add(instance)?;
        }
        if let Some(source) = &self.selection.source {
            roster.keep = source.keeps();
            let servers = self.options.servers.join(" ");
            roster.origin = format!("{} {servers}", self.options.discover).into();
            roster.take_over(CheckKind::Redis, &self.selection.cluster);
        }
        let options = RedisOptions {
            username: self.options.username.clone(),
            password: self.options.password.clone(),
            depth: self.options.checks,
            reconnect_every: self.options.reconnect_every.into(),
            dialer,
        };
        self.started = Some((roster, Arc::new(options)));
        Ok(())
    }

    async fn run(&mut self, cx: &ServiceContext) -> Result<(), PluginError> {
        let not_started = || PluginError::new("run a check that was not started");
        let (mut roster, options) = self.started.take().ok_or_else(not_started)?;
        let make = |instance: &Instance| -> MakeProbe {
            let (target, options) = (instance.target.clone(), Arc::clone(&options));
            Arc::new(move || -> Box<dyn Probe> {
                Box::new(RedisProbe::new(target.clone(), Arc::clone(&options)))
            })
        };
        let looking = self.selection.source.clone();
        let looking = looking.map(|source| self.keep_looking(cx, source, &options));
        let result = match looking.transpose() {
            Ok(found) => roster.run(cx, &make, found).await,
            Err(error) => Err(error),
        };
        // The next generation may take over what we hold.
        self.started = Some((roster, options));
        result
    }
}

impl Selection {
    /// The instances to check: those that are configured, unless they are only asked, and those
    /// that were found.
    fn checked(&self, found: &Found) -> Vec<Instance> {
        let asked = self.source.as_ref().is_some_and(Source::asks);
        let own = self
            .servers
            .iter()
            .filter(|_| !asked)
            .map(|server| (server, None));
        let all = own.chain(
            found
                .iter()
                .map(|(target, cluster)| (target, cluster.clone())),
        );
        let instance = |(target, cluster): (&Target, Option<String>)| Instance {
            kind: CheckKind::Redis,
            cluster: match cluster {
                Some(named) if self.cluster.is_empty() => named,
                _ => self.cluster.clone(),
            },
            target: target.clone(),
        };
        all.map(instance).collect()
    }
}

impl RedisCheck {
    /// Looks for servers at each interval, in a task of the run, and says after each look that
    /// succeeds which there are.
    fn keep_looking(
        &self,
        cx: &ServiceContext,
        source: Source,
        options: &Arc<RedisOptions>,
    ) -> Result<watch::Receiver<Arc<Vec<Instance>>>, PluginError> {
        let (sender, receiver) = watch::channel(Arc::default());
        let selection = self.selection.clone();
        let pause = self.options.discover_interval.get();
        let (cx, options) = (cx.clone(), Arc::clone(options));
        let group = cx.group();
        let look = async move {
            loop {
                match source.look(&cx.group(), &selection.servers, &options).await {
                    Ok(found) => {
                        let instances = selection.checked(&found);
                        sender.send_modify(|known: &mut Arc<Vec<Instance>>| {
                            if **known != instances {
                                *known = Arc::new(instances);
                            }
                        });
                    }
                    Err(error) => cx.report(error),
                }
                tokio::time::sleep(pause).await;
            }
        };
        let started = group.go("discover", look);
        started.map_err(|why| PluginError::new("look for servers").because(why))?;
        Ok(receiver)
    }
}
