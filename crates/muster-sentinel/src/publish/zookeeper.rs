//! `publishers.zookeeper`: statuses as nodes of ZooKeeper.

mod desk;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use async_trait::async_trait;
use muster_net::{OptionReader, TlsClientOptions};
use muster_options::{
    Duration as OptionDuration, JsonSchema, OptionDoc, OptionError, Options, Secret,
};
use muster_plugin::{
    Build, BuildContext, Built, FormatUse, PluginError, PluginRow, ServiceContext, ServiceInput,
    StartContext,
};
use muster_zookeeper::{Login, MAX_SESSION, MIN_SESSION, Servers, Session, Tls};
use serde::{Deserialize, Serialize};

use self::desk::Desk;
use super::default_writer;
use super::layout::PublishMode;
use super::ledger::Ledger;
use super::rounds::{AUDIT, LEAVE, publish, take_leave};
use crate::board::{Board, Interest};
use crate::document::Writer;

/// The row of the plugin.
pub(crate) const ROW: PluginRow = PluginRow {
    name: "zookeeper",
    summary: "writes what the checks found as nodes of ZooKeeper",
    options: docs,
    format: FormatUse::None,
    build: Build::Publisher(|cx| Ok(Box::new(ZooKeeperPublisher::build(cx)?))),
};

fn docs() -> Vec<OptionDoc> {
    let mut docs = ZooKeeperPublisherOptions::describe();
    docs.extend(TlsClientOptions::describe());
    docs
}

/// Options of `publishers.zookeeper`, beside those of TLS.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ZooKeeperPublisherOptions {
    /// The servers, each as `host:port`.
    pub servers: Vec<String>,
    /// The node below which everything is written. It is made if it is not there.
    pub root: String,
    /// How long the session lives without contact.
    pub session_timeout: OptionDuration,
    /// How long one operation may take.
    pub timeout: OptionDuration,
    /// The user of scheme `digest`. What is written then belongs to it, and others may read it.
    pub username: String,
    /// The user's password.
    pub password: Secret,
    /// What is written: `status` (a document per instance), or a node per instance that is up: `ephemeral`,
    /// `nerve`, `jodis`.
    pub mode: PublishMode,
    /// A document is written when its state changes, and about so often when it does not.
    pub refresh: OptionDuration,
    /// Writes after every check. For small fleets.
    pub write_every_check: bool,
    /// When it stops, also for other options, writes that all instances are `unknown` (`sentinel_stopped`), in place of
    /// what was found last. For readers that do not look at the reporter's node.
    pub unknown_on_stop: bool,
    /// The name under which to report; the host's, if not given. Each agent needs its own.
    pub writer: String,
}

impl Default for ZooKeeperPublisherOptions {
    fn default() -> Self {
        Self {
            servers: vec!["127.0.0.1:2181".to_owned()],
            root: "/muster".to_owned(),
            session_timeout: OptionDuration::from_secs(10),
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

impl ZooKeeperPublisherOptions {
    /// The options of the session.
    ///
    /// # Errors
    /// All that is wrong with them.
    pub fn session(&self) -> Result<muster_zookeeper::Options, Vec<OptionError>> {
        let mut errors = Vec::new();
        let within = |time: OptionDuration| (MIN_SESSION..=MAX_SESSION).contains(&time.get());
        if !within(self.session_timeout) {
            errors.push(OptionError::new("session_timeout", "from 400ms to 1h"));
        }
        if self.timeout.get().is_zero() {
            errors.push(OptionError::new("timeout", "more than 0s"));
        }
        if self.username.contains(':') {
            errors.push(OptionError::new("username", "no colon in it"));
        }
        if self.username.is_empty() && !self.password.is_empty() {
            errors.push(OptionError::new("username", "missing beside the password"));
        }
        let servers = self.servers.join(",").parse::<Servers>();
        let servers = match servers {
            Ok(servers) if servers.root() != "/" => {
                let why = "a root stands in the option `root`";
                errors.push(OptionError::new("servers", why));
                None
            }
            Ok(servers) => Some(servers),
            Err(error) => {
                errors.push(OptionError::new("servers", format!("failed to {error}")));
                None
            }
        };
        let servers = servers.and_then(|servers| match servers.with_root(&self.root) {
            Ok(servers) => Some(servers),
            Err(error) => {
                errors.push(OptionError::new("root", format!("failed to {error}")));
                None
            }
        });
        let Some(servers) = servers.filter(|_| errors.is_empty()) else {
            return Err(errors);
        };
        let mut options = muster_zookeeper::Options::new(servers);
        options.session_timeout = self.session_timeout.get();
        options.operation_timeout = self.timeout.get();
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
pub struct ZooKeeperPublisher {
    options: ZooKeeperPublisherOptions,
    session: muster_zookeeper::Options,
    tls: TlsClientOptions,
    board: Option<Arc<Board>>,
    _place: Option<Arc<()>>,
}

impl ZooKeeperPublisher {
    /// Checks the options.
    ///
    /// # Errors
    /// All that is wrong with them.
    pub fn build(cx: &BuildContext) -> Built<Self> {
        let mut reader = OptionReader::new(cx, &[]);
        let tls: TlsClientOptions = reader.take();
        for error in tls.problems() {
            reader.refuse(error);
        }
        let mut options: ZooKeeperPublisherOptions = reader.rest()?;
        let session = options.session()?;
        if options.refresh.get() < AUDIT {
            return Err(vec![OptionError::new("refresh", "at least 1s")]);
        }
        if options.writer.is_empty() {
            options.writer = default_writer();
        }
        Ok(Self {
            options,
            session,
            tls,
            board: None,
            _place: None,
        })
    }
}

#[async_trait]
impl ServiceInput for ZooKeeperPublisher {
    async fn start(&mut self, cx: &StartContext) -> Result<(), PluginError> {
        self.session.tls = zookeeper_tls(&self.tls)?;
        // Two that write the same nodes would undo each other's work.
        let name = format!("zookeeper {}", self.session.servers);
        let place = cx
            .resources()
            .take::<(), PluginError>(cx.id(), &name, || Ok(()))?;
        self._place = Some(place);
        self.board = Some(cx.resources().shared());
        Ok(())
    }

    async fn run(&mut self, cx: &ServiceContext) -> Result<(), PluginError> {
        let Some(board) = self.board.clone() else {
            return Err(PluginError::new("run a publisher that was not started"));
        };
        let mut session = self.session.clone();
        if self.options.unknown_on_stop {
            session.linger = LEAVE;
        }
        let session = Session::start(&cx.group(), session);
        let session =
            session.map_err(|error| PluginError::new("start a session").because(error))?;
        #[cfg(feature = "testing")]
        board.faults().set_session(Some(session.clone()));
        let interest = if self.options.write_every_check {
            Interest::EveryCheck
        } else {
            Interest::Changes
        };
        let news = board.subscribe(interest);
        let writer = Writer::here(self.options.writer.clone());
        let refresh = self.options.refresh.get();
        let ledger = Ledger::new(self.options.mode, board, news, writer, refresh);
        let mut desk = Desk::new(session.clone(), ledger);
        tokio::select! {
            biased;
            () = cx.cancelled() => {}
            () = publish(cx, &mut desk) => {}
        }
        if self.options.unknown_on_stop {
            take_leave(cx, &mut desk).await;
        }
        session.stop().await;
        Ok(())
    }
}

/// What a session with ZooKeeper needs for TLS, if these options want it. Reads certificates.
///
/// # Errors
/// If one of them is wrong.
pub fn zookeeper_tls(options: &TlsClientOptions) -> Result<Option<Tls>, PluginError> {
    if !options.is_wanted() {
        return Ok(None);
    }
    let name = options.server_name();
    let name = name.map_err(|error| PluginError::new("set up TLS").because(error.to_string()))?;
    Ok(Some(Tls::new(options.config()?, name)))
}
