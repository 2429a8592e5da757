//! Checks whose instances are all configured: `checks.tcp`, `checks.http` and `checks.exec`.

#[cfg(test)]
mod tests;

use std::sync::Arc;

use async_trait::async_trait;
use http::Uri;
use muster_net::{OptionReader, TlsClientOptions};
use muster_options::{JsonSchema, OptionDoc, OptionError, Options};
use muster_plugin::{
    Build, BuildContext, Built, FormatUse, PluginError, PluginRow, ServiceContext, ServiceInput,
    StartContext,
};
use muster_process::Command;
use muster_tasks::Group;
use serde::{Deserialize, Serialize};

use super::{CheckOptions, Roster};
use crate::checker::{MakeProbe, Timing};
use crate::machine::Thresholds;
use crate::probe::{Dialer, ExecProbe, HttpProbe, Probe, TcpProbe};
use crate::redis::read_target;
use crate::resolve::Resolver;
use crate::status::{CheckKind, Instance, Target};

/// The row of `checks.tcp`.
pub(crate) const TCP: PluginRow = PluginRow {
    name: "tcp",
    summary: "checks whether TCP services answer",
    options: || documented::<TcpCheckOptions>(TlsClientOptions::describe()),
    format: FormatUse::None,
    build: Build::Check(|cx| Ok(Box::new(PlainCheck::tcp(cx)?))),
};

/// The row of `checks.http`.
pub(crate) const HTTP: PluginRow = PluginRow {
    name: "http",
    summary: "checks whether HTTP services answer",
    options: || documented::<HttpCheckOptions>(TlsClientOptions::describe()),
    format: FormatUse::None,
    build: Build::Check(|cx| Ok(Box::new(PlainCheck::http(cx)?))),
};

/// The row of `checks.exec`.
pub(crate) const EXEC: PluginRow = PluginRow {
    name: "exec",
    summary: "checks by commands whether something is well",
    options: || documented::<ExecCheckOptions>(Vec::new()),
    format: FormatUse::None,
    build: Build::Check(|cx| Ok(Box::new(PlainCheck::exec(cx)?))),
};

/// The options of a check: its own, those of all checks, and others.
fn documented<T: Options>(others: Vec<OptionDoc>) -> Vec<OptionDoc> {
    let mut docs = T::describe();
    docs.extend(CheckOptions::describe());
    docs.extend(others);
    docs
}

/// Options of `checks.tcp`, beside those of all checks and of TLS.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct TcpCheckOptions {
    /// The services: `host:port` or `unix:///path/of/socket`.
    pub addresses: Vec<String>,
    /// What to send.
    pub send: String,
    /// Text with which the answer must begin; if not given, an open connection is enough.
    pub expect: String,
}

/// Options of `checks.http`, beside those of all checks and of TLS.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct HttpCheckOptions {
    /// What to get: URLs with `http` or `https`.
    pub urls: Vec<String>,
    /// The status codes that are good; if not given, all from 200 to 399. Redirects are not
    /// followed.
    pub statuses: Vec<u16>,
}

/// Options of `checks.exec`, beside those of all checks.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ExecCheckOptions {
    /// The commands. One that ends with 0 is a good check; one that does not end in time is killed
    /// with all that it has started.
    pub commands: Vec<String>,
}

/// Makes the probe of an instance from what its component holds.
type Make = dyn Fn(&Instance, &Held) -> Box<dyn Probe> + Send + Sync;

/// What the probes of one component share.
struct Held {
    plain: Dialer,
    tls: Dialer,
    group: Group,
}

/// A component whose instances are all configured.
pub struct PlainCheck {
    thresholds: Arc<Thresholds>,
    timing: Timing,
    tls: TlsClientOptions,
    instances: Vec<Instance>,
    make: Arc<Make>,
    started: Option<(Roster, Arc<Held>)>,
}

impl std::fmt::Debug for PlainCheck {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PlainCheck")
            .field("instances", &self.instances)
            .finish_non_exhaustive()
    }
}

/// What the options of one of these checks come to.
struct Plan {
    kind: CheckKind,
    /// The option that names the instances.
    option: &'static str,
    targets: Vec<Result<Target, String>>,
    make: Arc<Make>,
}

impl PlainCheck {
    /// Makes `checks.tcp`.
    ///
    /// # Errors
    /// All that is wrong with the options.
    pub fn tcp(cx: &BuildContext) -> Built<Self> {
        Self::build(cx, true, |options: TcpCheckOptions, tls| {
            let wants_tls = tls.is_wanted();
            Plan {
                kind: CheckKind::Tcp,
                option: "addresses",
                targets: options
                    .addresses
                    .iter()
                    .map(|text| read_address(text))
                    .collect(),
                make: Arc::new(move |instance, held| {
                    let dialer = if wants_tls { &held.tls } else { &held.plain };
                    let (send, expect) = (options.send.clone(), options.expect.clone());
                    Box::new(TcpProbe::new(
                        instance.target.clone(),
                        dialer.clone(),
                        send,
                        expect,
                    ))
                }),
            }
        })
    }

    /// Makes `checks.http`.
    ///
    /// # Errors
    /// All that is wrong with the options.
    pub fn http(cx: &BuildContext) -> Built<Self> {
        Self::build(cx, true, |options: HttpCheckOptions, _| Plan {
            kind: CheckKind::Http,
            option: "urls",
            targets: options.urls.iter().map(|url| read_url(url)).collect(),
            make: Arc::new(move |instance, held| {
                let url: Uri = instance.target.to_string().parse().unwrap_or_default();
                let secure = url.scheme_str() == Some("https");
                let dialer = if secure { &held.tls } else { &held.plain };
                Box::new(HttpProbe::new(
                    url,
                    dialer.clone(),
                    options.statuses.clone(),
                ))
            }),
        })
    }

    /// Makes `checks.exec`.
    ///
    /// # Errors
    /// All that is wrong with the options.
    pub fn exec(cx: &BuildContext) -> Built<Self> {
        Self::build(cx, false, |options: ExecCheckOptions, _| Plan {
            kind: CheckKind::Exec,
            option: "commands",
            targets: options
                .commands
                .iter()
                .map(|line| read_command(line))
                .collect(),
            make: Arc::new(move |instance, held| {
                let line = instance.target.to_string();
                Box::new(ExecProbe::new(&line, held.group.clone()))
            }),
        })
    }

    fn build<T: Options>(
        cx: &BuildContext,
        with_tls: bool,
        plan: impl FnOnce(T, &TlsClientOptions) -> Plan,
    ) -> Built<Self> {
        let mut reader = OptionReader::new(cx, &[]);
        let tls = if with_tls {
            reader.take()
        } else {
            TlsClientOptions::default()
        };
        let common: CheckOptions = reader.take();
        let read = common.read();
        for error in tls
            .problems()
            .iter()
            .chain(read.as_ref().err().into_iter().flatten())
        {
            reader.refuse(error.clone());
        }
        let plan = plan(reader.rest()?, &tls);
        let (thresholds, timing) = read?;
        let mut errors = Vec::new();
        if plan.targets.is_empty() {
            errors.push(OptionError::new(plan.option, "there is nothing to check"));
        }
        let mut instances = Vec::new();
        for (at, target) in plan.targets.into_iter().enumerate() {
            match target {
                Ok(target) => instances.push(Instance {
                    kind: plan.kind,
                    cluster: common.cluster.clone(),
                    target,
                }),
                Err(why) => {
                    errors.push(OptionError::new(format!("{}[{at}]", plan.option), why));
                }
            }
        }
        if !errors.is_empty() {
            return Err(errors);
        }
        Ok(Self {
            thresholds,
            timing,
            tls,
            instances,
            make: plan.make,
            started: None,
        })
    }
}

fn read_address(text: &str) -> Result<Target, String> {
    let has_port = text.contains('/')
        || text
            .rsplit_once(':')
            .is_some_and(|(_, port)| !port.ends_with(']'));
    if !has_port {
        return Err("the port is missing".to_owned());
    }
    read_target(text)
}

fn read_url(text: &str) -> Result<Target, String> {
    let url: Uri = text
        .parse()
        .map_err(|error: http::uri::InvalidUri| error.to_string())?;
    let known = matches!(url.scheme_str(), Some("http" | "https"));
    if !known || url.host().is_none_or(str::is_empty) {
        return Err("write a URL such as \"http://host:8080/health\"".to_owned());
    }
    Ok(Target::Named(text.to_owned()))
}

fn read_command(line: &str) -> Result<Target, String> {
    Command::parse(line).map_err(|error| error.to_string())?;
    Ok(Target::Named(line.to_owned()))
}

#[async_trait]
impl ServiceInput for PlainCheck {
    async fn start(&mut self, cx: &StartContext) -> Result<(), PluginError> {
        let resolver = Resolver::new(cx.group());
        let with = TlsClientOptions {
            tls_enable: Some(true),
            ..self.tls.clone()
        };
        let without = TlsClientOptions {
            tls_enable: Some(false),
            ..TlsClientOptions::default()
        };
        let held = Held {
            plain: Dialer::new(resolver.clone(), &without)?,
            tls: Dialer::new(resolver, &with)?,
            group: cx.group().clone(),
        };
        let mut roster = Roster::new(cx, Arc::clone(&self.thresholds), self.timing);
        for instance in &self.instances {
            roster.add(instance.clone())?;
        }
        self.started = Some((roster, Arc::new(held)));
        Ok(())
    }

    async fn run(&mut self, cx: &ServiceContext) -> Result<(), PluginError> {
        let Some((roster, held)) = &mut self.started else {
            return Err(PluginError::new("run a check that was not started"));
        };
        let make = |instance: &Instance| -> MakeProbe {
            let (instance, held) = (instance.clone(), Arc::clone(held));
            let make = Arc::clone(&self.make);
            Arc::new(move || make(&instance, &held))
        };
        roster.run(cx, &make, None).await
    }
}
