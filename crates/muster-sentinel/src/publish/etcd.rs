//! `publishers.etcd`: statuses as keys of etcd.

mod desk;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use muster_etcd::{Client, Endpoints, Event, Login, MAX_TTL, MIN_TTL, Watch};
use muster_net::{OptionReader, TlsClientOptions};
use muster_options::{
    Duration as OptionDuration, JsonSchema, OptionDoc, OptionError, Options, Secret,
};
use muster_plugin::{
    Build, BuildContext, Built, FormatUse, PluginError, PluginRow, ServiceContext, ServiceInput,
    StartContext,
};
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;

use self::desk::Desk;
use super::default_writer;
use super::layout::PublishMode;
use super::ledger::Ledger;
use super::rounds::{AUDIT, publish, take_leave};
use crate::board::{Board, Interest};
use crate::document::Writer;

/// The end may take so long: what is bound to the lease is deleted then, and before that the last is written. Less than
/// the second that a component has to end by itself.
const STOP: Duration = Duration::from_millis(800);

/// So many events wait to be taken; further ones wait with the servers.
const MOST_EVENTS: usize = 1024;

/// The row of the plugin.
pub(crate) const ROW: PluginRow = PluginRow {
    name: "etcd",
    summary: "writes what the checks found as keys of etcd",
    options: docs,
    format: FormatUse::None,
    build: Build::Publisher(|cx| Ok(Box::new(EtcdPublisher::build(cx)?))),
};

fn docs() -> Vec<OptionDoc> {
    let mut docs = EtcdPublisherOptions::describe();
    docs.extend(TlsClientOptions::describe());
    docs
}

/// Options of `publishers.etcd`, beside those of TLS.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct EtcdPublisherOptions {
    /// The servers, each as `host:port`, `http://host:port` or `https://host:port`.
    pub endpoints: Vec<String>,
    /// What all keys begin with.
    pub root: String,
    /// How long the lease lives without contact, in whole seconds. The servers may grant more.
    pub ttl: OptionDuration,
    /// How long one call may take.
    pub timeout: OptionDuration,
    /// The user, where the servers want a login.
    pub username: String,
    /// The user's password.
    pub password: Secret,
    /// What is written: `status` (a document per instance), or a key per instance that is up: `ephemeral`,
    /// `nerve`, `jodis`.
    pub mode: PublishMode,
    /// A document is written when its state changes, and about so often when it does not.
    pub refresh: OptionDuration,
    /// Writes after every check. For small fleets: the servers keep every version until it is compacted.
    pub write_every_check: bool,
    /// When it stops, also for other options, writes that all instances are `unknown` (`sentinel_stopped`), in place of
    /// what was found last. For readers that do not look at the reporter's key.
    pub unknown_on_stop: bool,
    /// The name under which to report; the host's, if not given. Each agent needs its own.
    pub writer: String,
}

impl Default for EtcdPublisherOptions {
    fn default() -> Self {
        Self {
            endpoints: vec!["127.0.0.1:2379".to_owned()],
            root: "/muster".to_owned(),
            ttl: OptionDuration::from_secs(10),
            timeout: OptionDuration::from_secs(5),
            username: String::new(),
            password: Secret::default(),
            mode: PublishMode::Status,
            refresh: OptionDuration::from_secs(30),
            write_every_check: false,
            unknown_on_stop: false,
            writer: String::new(),
        }
    }
}

impl EtcdPublisherOptions {
    /// The options of the client.
    ///
    /// # Errors
    /// All that is wrong with them.
    pub fn client(&self, tls: &TlsClientOptions) -> Result<muster_etcd::Options, Vec<OptionError>> {
        let mut errors = tls.problems();
        if !(MIN_TTL..=MAX_TTL).contains(&self.ttl.get()) {
            errors.push(OptionError::new("ttl", "from 1s to 1h"));
        }
        if self.timeout.get().is_zero() {
            errors.push(OptionError::new("timeout", "more than 0s"));
        }
        if self.username.is_empty() != self.password.is_empty() {
            let (option, other) = match self.username.is_empty() {
                true => ("username", "password"),
                false => ("password", "username"),
            };
            let message = format!("missing beside the {other}");
            errors.push(OptionError::new(option, message));
        }
        let endpoints = self.endpoints.join(",").parse::<Endpoints>();
        let endpoints = match endpoints {
            Ok(endpoints) if !endpoints.root().is_empty() => {
                let why = "a root stands in the option `root`";
                errors.push(OptionError::new("endpoints", why));
                None
            }
            Ok(endpoints) => Some(endpoints),
            Err(error) => {
                errors.push(OptionError::new("endpoints", format!("failed to {error}")));
                None
            }
        };
        let endpoints = endpoints.and_then(|endpoints| match endpoints.with_root(&self.root) {
            Ok(endpoints) => Some(endpoints),
            Err(error) => {
                errors.push(OptionError::new("root", format!("failed to {error}")));
                None
            }
        });
        let Some(endpoints) = endpoints.filter(|_| errors.is_empty()) else {
            return Err(errors);
        };
        let mut options = muster_etcd::Options::new(endpoints);
        options.timeout = self.timeout.get();
        options.tls = tls.clone();
        if !self.username.is_empty() {
            options.login = Some(Login {
                user: self.username.clone(),
                password: self.password.clone(),
            });
        }
        Ok(options)
    }
}

/// The component.
#[derive(Debug)]
pub struct EtcdPublisher {
    options: EtcdPublisherOptions,
    client: muster_etcd::Options,
    /// Since it was started.
    started: Option<(Client, Arc<Board>, Arc<()>)>,
}

impl EtcdPublisher {
    /// Checks the options.
    ///
    /// # Errors
    /// All that is wrong with them.
    pub fn build(cx: &BuildContext) -> Built<Self> {
        let mut reader = OptionReader::new(cx, &[]);
        let tls: TlsClientOptions = reader.take();
        let mut options: EtcdPublisherOptions = reader.rest()?;
        let client = options.client(&tls)?;
        if options.refresh.get() < AUDIT {
            return Err(vec![OptionError::new("refresh", "at least 1s")]);
        }
        if options.writer.is_empty() {
            options.writer = default_writer();
        }
        Ok(Self {
            options,
            client,
            started: None,
        })
    }
}

#[async_trait]
impl ServiceInput for EtcdPublisher {
    async fn start(&mut self, cx: &StartContext) -> Result<(), PluginError> {
        // Two that write the same keys would undo each other's work.
        let name = format!("etcd {}", self.client.endpoints);
        let place = cx
            .resources()
            .take::<(), PluginError>(cx.id(), &name, || Ok(()))?;
        let client = Client::new(self.client.clone());
        let client = client.map_err(|error| PluginError::new(error.to_string()))?;
        self.started = Some((client, cx.resources().shared(), place));
        Ok(())
    }

    async fn run(&mut self, cx: &ServiceContext) -> Result<(), PluginError> {
        let Some((client, board, _)) = self.started.clone() else {
            return Err(PluginError::new("run a publisher that was not started"));
        };
        let interest = if self.options.write_every_check {
            Interest::EveryCheck
        } else {
            Interest::Changes
        };
        let news = board.subscribe(interest);
        let writer = Writer::here(self.options.writer.clone());
        let (mode, refresh) = (self.options.mode, self.options.refresh.get());
        let ledger = Ledger::new(mode, board, news, writer, refresh);
        let root = self.client.endpoints.root().to_owned();
        let (sender, events) = mpsc::channel(MOST_EVENTS);
        let watch = client.watch(Desk::all_keys(&root)).deletes_only();
        let told = follow(cx.clone(), watch, sender);
        let followed = cx.group().go("watch", told);
        followed.map_err(|closed| PluginError::new("watch its keys").because(closed))?;
        let mut desk = Desk::new(client, root, self.options.ttl.get(), ledger, events);
        tokio::select! {
            biased;
            () = cx.cancelled() => {}
            () = publish(cx, &mut desk) => {}
        }
        let end = Instant::now() + STOP;
        if self.options.unknown_on_stop {
            take_leave(cx, &mut desk).await;
        }
        let left = end.saturating_duration_since(Instant::now());
        if let Err(error) = desk.stop(left).await {
            cx.report(PluginError::new(error.to_string()));
        }
        Ok(())
    }
}

/// Hands on what the watch tells, for ever.
async fn follow(cx: ServiceContext, mut watch: Watch, events: mpsc::Sender<Event>) {
    let mut told: Option<String> = None;
    loop {
        match watch.next().await {
            Ok(event) => {
                told = None;
                if events.send(event).await.is_err() {
                    return;
                }
            }
            // The same again is not told again.
            Err(error) => {
                let error = error.to_string();
                if told.as_ref() != Some(&error) {
                    cx.report(PluginError::new(error.clone()));
                    told = Some(error);
                }
                tokio::time::sleep(AUDIT).await;
            }
        }
    }
}
