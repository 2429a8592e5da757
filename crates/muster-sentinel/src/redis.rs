//! `checks.redis`: whether Redis servers are alive.

#[cfg(test)]
mod tests;

use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use muster_net::{Address, OptionReader, TlsClientOptions};
use muster_options::{JsonSchema, OptionDoc, OptionError, Options, Secret};
use muster_plugin::{
    Build, BuildContext, Built, FormatUse, PluginError, PluginRow, ServiceContext, ServiceInput,
    StartContext,
};
use serde::{Deserialize, Serialize};

use crate::check::{CheckOptions, Roster};
use crate::checker::{MakeProbe, Timing};
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
    /// 6379 is meant.
    pub servers: Vec<String>,
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
            servers: vec!["127.0.0.1:6379".to_owned()],
            username: String::new(),
            password: Secret::default(),
            checks: Depth::default(),
            reconnect_every: 3,
        }
    }
}

/// The component.
pub struct RedisCheck {
    options: RedisCheckOptions,
    tls: TlsClientOptions,
    thresholds: Arc<Thresholds>,
    timing: Timing,
    instances: Vec<Instance>,
    started: Option<(Roster, Arc<RedisOptions>)>,
}

impl std::fmt::Debug for RedisCheck {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RedisCheck")
            .field("instances", &self.instances.len())
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
        let mut instances = Vec::new();
        for (at, server) in options.servers.iter().enumerate() {
            match read_target(server) {
                Ok(target) => instances.push(Instance {
                    kind: CheckKind::Redis,
                    cluster: common.cluster.clone(),
                    target,
                }),
                Err(why) => errors.push(OptionError::new(format!("servers[{at}]"), why)),
            }
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
            instances,
            started: None,
        })
    }
}

/// Redis' port.
const DEFAULT_PORT: u16 = 6379;

/// Reads a server's address.
fn read_target(text: &str) -> Result<Target, String> {
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
        for instance in &self.instances {
            roster.add(instance.clone())?;
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
        let Some((roster, options)) = &mut self.started else {
            return Err(PluginError::new("run a check that was not started"));
        };
        let make = |instance: &Instance| -> MakeProbe {
            let (target, options) = (instance.target.clone(), Arc::clone(options));
            Arc::new(move || -> Box<dyn Probe> {
                Box::new(RedisProbe::new(target.clone(), Arc::clone(&options)))
            })
        };
        roster.run(cx, &make).await
    }
}
