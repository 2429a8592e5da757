//! `inputs.socket_listener`: metrics over TCP, TLS, UDP and unix sockets.

mod connection;
mod cut;
mod datagrams;
mod options;
mod stream;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use muster_formats::{ParseError, Parser, Report};
use muster_net::{
    Address, Datagrams, Encoding, Listening, OptionReader, SocketOptions, TlsServerOptions, listen,
    listen_datagrams,
};
use muster_options::{Duration as OptionDuration, OptionDoc, OptionError, Options, Size};
use muster_plugin::{
    Build, BuildContext, Built, FormatUse, PluginError, PluginRow, ServiceContext, ServiceInput,
    StartContext,
};

use cut::Cutter;
use options::SocketListenerOptions;

/// The row of the plugin.
pub(crate) const ROW: PluginRow = PluginRow {
    name: "socket_listener",
    summary: "listens for metrics on TCP, UDP and unix sockets, in any data format",
    options: docs,
    format: FormatUse::Parser("influx"),
    build: Build::Service(|cx| Ok(Box::new(SocketListener::build(cx)?))),
};

fn docs() -> Vec<OptionDoc> {
    let mut docs = SocketListenerOptions::describe();
    docs.extend(TlsServerOptions::describe());
    docs
}

/// The input.
struct SocketListener {
    settings: Arc<Settings>,
    address: Address,
    socket: SocketOptions,
    tls: TlsServerOptions,
    bound: Option<Bound>,
}

/// What the tasks of the input share.
struct Settings {
    parser: Arc<dyn Parser>,
    cutter: Cutter,
    encoding: Encoding,
    max_decompressed: usize,
    max_connections: usize,
    read_timeout: Option<Duration>,
}

enum Bound {
    Stream(Listening),
    Datagrams(Datagrams),
}

impl SocketListener {
    fn build(cx: &BuildContext) -> Built<Self> {
        let mut reader = OptionReader::new(cx, &[]);
        let tls: TlsServerOptions = reader.take();
        tls.problems()
            .into_iter()
            .for_each(|error| reader.refuse(error));
        let parser = reader.check(cx.parser().map_err(first));
        let options: SocketListenerOptions = reader.rest()?;
        let mut errors = Vec::new();
        let address = options.address().map_err(|error| errors.push(error)).ok();
        let cutter = options.cutter().map_err(|error| errors.push(error)).ok();
        let encoding = options.encoding().map_err(|error| errors.push(error)).ok();
        let mode = options.mode().map_err(|error| errors.push(error)).ok();
        if let Some(address) = &address
            && tls.is_wanted()
            && address.transport() != muster_net::Transport::Tcp
        {
            errors.push(OptionError::new("tls_cert", "TLS works over tcp:// only"));
        }
        match (parser, address, cutter, encoding, mode) {
            (Some(parser), Some(address), Some(cutter), Some(encoding), Some(mode))
                if errors.is_empty() =>
            {
                let settings = Settings {
                    parser,
                    cutter,
                    encoding,
                    max_decompressed: options.max_decompression_size.as_usize(),
                    max_connections: options.max_connections,
                    read_timeout: options
                        .read_timeout
                        .map(OptionDuration::get)
                        .filter(|d| !d.is_zero()),
                };
                let socket = SocketOptions {
                    receive_buffer: options.read_buffer_size.map(Size::as_usize),
                    keep_alive: options.keep_alive_period.map(OptionDuration::get),
                    mode,
                };
                Ok(Self {
                    settings: Arc::new(settings),
                    address,
                    socket,
                    tls,
                    bound: None,
                })
            }
            _ => Err(errors),
        }
    }

    /// Where the socket listens, for tests: the system may have chosen the port.
    #[cfg(test)]
    fn local_address(&self) -> String {
        match &self.bound {
            Some(Bound::Stream(listening)) => listening.local_address(),
            Some(Bound::Datagrams(datagrams)) => datagrams.local_address(),
            None => String::new(),
        }
    }
}

fn first(errors: Vec<OptionError>) -> OptionError {
    let unknown = || OptionError::new("data_format", "no parser");
    errors.into_iter().next().unwrap_or_else(unknown)
}

#[async_trait]
impl ServiceInput for SocketListener {
    async fn start(&mut self, cx: &StartContext) -> Result<(), PluginError> {
        let bound = if self.address.transport().is_stream() {
            let tls = self.tls.config()?;
            Bound::Stream(listen(cx, &self.address, tls, self.socket.clone()).await?)
        } else {
            Bound::Datagrams(listen_datagrams(cx, &self.address, &self.socket).await?)
        };
        self.bound = Some(bound);
        tracing::info!(id = %cx.id(), address = %self.address, "listening");
        Ok(())
    }

    async fn run(&mut self, cx: &ServiceContext) -> Result<(), PluginError> {
        match &self.bound {
            Some(Bound::Stream(listening)) => stream::run(cx, listening, &self.settings).await,
            Some(Bound::Datagrams(socket)) => datagrams::run(cx, socket, &self.settings).await,
            None => Err(PluginError::new("run before the start")),
        }
    }
}

/// Tells of bad records in data from `peer`.
fn report(cx: &ServiceContext, peer: &str, parsed: Result<Report, ParseError>) {
    let failed = || PluginError::new(format!("parse data from {peer}"));
    match parsed {
        Ok(report) if report.bad == 0 => {}
        Ok(report) => {
            let first = report
                .problems
                .first()
                .map(ToString::to_string)
                .unwrap_or_default();
            let why = match report.bad {
                1 => first,
                bad => format!("{bad} bad records, the first: {first}"),
            };
            cx.report(failed().because(why));
        }
        Err(error) => cx.report(failed().because(error)),
    }
}
