//! `outputs.socket_writer`: metrics in any format over TCP, TLS, UDP and unix sockets.

#[cfg(test)]
mod tests;

use std::io;
use std::sync::Arc;

use async_trait::async_trait;
use muster_formats::Serializer;
use muster_metric::Metrics;
use muster_net::{Address, Connector, Encoding, OptionReader, Sender, Stream, TlsClientOptions};
use muster_options::{Duration, JsonSchema, OptionDoc, OptionError, Options};
use muster_plugin::{
    Build, BuildContext, Built, FormatUse, Output, OutputContext, PluginError, PluginRow,
    StartContext, WriteError,
};
use serde::{Deserialize, Serialize};
use tokio::io::AsyncWriteExt;

/// The row of the plugin.
pub(crate) const ROW: PluginRow = PluginRow {
    name: "socket_writer",
    summary: "writes metrics in any data format to a TCP, UDP or unix socket",
    options: docs,
    format: FormatUse::Serializer("influx"),
    build: Build::Output(|cx| Ok(Box::new(SocketWriter::build(cx)?))),
};

/// Options of `outputs.socket_writer`.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
struct SocketWriterOptions {
    /// Where to write: `tcp://127.0.0.1:8094`, `udp://127.0.0.1:8094`,
    /// `unix:///run/muster.sock`, `unixgram:///run/muster.sock`, ...
    address: String,
    /// Time between keep-alive probes of TCP connections. 0 turns them off; the system's default
    /// if not given.
    keep_alive_period: Option<Duration>,
    /// How the bytes are compressed: `gzip`, `zlib` or `identity`.
    content_encoding: String,
}

impl Default for SocketWriterOptions {
    fn default() -> Self {
        Self {
            address: "tcp://127.0.0.1:8094".to_owned(),
            keep_alive_period: None,
            content_encoding: "identity".to_owned(),
        }
    }
}

fn docs() -> Vec<OptionDoc> {
    let mut docs = SocketWriterOptions::describe();
    docs.extend(TlsClientOptions::describe());
    docs
}

/// The output.
struct SocketWriter {
    address: Address,
    options: SocketWriterOptions,
    tls: TlsClientOptions,
    encoding: Encoding,
    serializer: Arc<dyn Serializer>,
    connector: Option<Connector>,
    open: Option<Open>,
}

/// What is open between writes. A write takes it away and brings it back when all went well: a
/// write that fails or is dropped closes it, for a part of a metric may be on its way.
enum Open {
    Stream(Stream),
    Sender(Sender),
}

impl SocketWriter {
    fn build(cx: &BuildContext) -> Built<Self> {
        let mut reader = OptionReader::new(cx, &[]);
        let tls: TlsClientOptions = reader.take();
        tls.problems()
            .into_iter()
            .for_each(|error| reader.refuse(error));
        let options: SocketWriterOptions = reader.rest()?;
        let serializer = cx.serializer()?;
        let mut errors = Vec::new();
        let address = Address::parse(&options.address)
            .map_err(|error| errors.push(OptionError::new("address", error.to_string())));
        let encoding = Encoding::parse(&options.content_encoding)
            .map_err(|message| errors.push(OptionError::new("content_encoding", message)));
        let (Ok(address), Ok(encoding)) = (address, encoding) else {
            return Err(errors);
        };
        Ok(Self {
            address,
            options,
            tls,
            encoding,
            serializer,
            connector: None,
            open: None,
        })
    }

    async fn open(&mut self) -> Result<Open, PluginError> {
        let open = self.open.take();
        if let Some(open) = open.filter(Open::is_alive) {
            return Ok(open);
        }
        let Some(connector) = &self.connector else {
            return Err(PluginError::new("write before the start"));
        };
        let failed = PluginError::io(format!("connect to {}", self.address));
        if self.address.transport().is_stream() {
            connector.stream().await.map(Open::Stream).map_err(failed)
        } else {
            connector.sender().await.map(Open::Sender).map_err(failed)
        }
    }
}

impl Open {
    /// Whether the peer has not closed the connection yet, as far as that can be seen.
    fn is_alive(&self) -> bool {
        let mut byte = [0];
        let read = match self {
            Self::Stream(Stream::Tcp(stream)) => stream.try_read(&mut byte),
            Self::Stream(Stream::Unix(stream)) => stream.try_read(&mut byte),
            Self::Stream(Stream::Tls(_)) | Self::Sender(_) => return true,
        };
        match read {
            Ok(read) => read > 0,
            Err(error) => error.kind() == io::ErrorKind::WouldBlock,
        }
    }
}

#[async_trait]
impl Output for SocketWriter {
    async fn start(&mut self, _: &StartContext) -> Result<(), PluginError> {
        let keep_alive = self.options.keep_alive_period.map(Duration::get);
        self.connector = Some(Connector::new(self.address.clone(), &self.tls, keep_alive)?);
        Ok(())
    }

    async fn write(&mut self, _: &OutputContext, metrics: &Metrics) -> Result<(), WriteError> {
        let shown = self.address.to_string();
        let failed =
            |error: io::Error| PluginError::new(format!("write to {shown}")).because(error);
        let mut open = self.open().await?;
        match &mut open {
            Open::Stream(stream) => {
                let mut bytes = Vec::new();
                crate::encode::encode(&*self.serializer, metrics, &mut bytes);
                let bytes = self.encoding.encode(bytes).map_err(failed)?;
                stream.write_all(&bytes).await.map_err(failed)?;
                stream.flush().await.map_err(failed)?;
            }
            Open::Sender(sender) => {
                let mut rejected = Vec::new();
                for (position, metric) in metrics.iter().enumerate() {
                    let mut bytes = Vec::new();
                    self.serializer
                        .serialize(&mut std::iter::once(metric), &mut bytes);
                    if bytes.is_empty() {
                        continue;
                    }
                    let bytes = self.encoding.encode(bytes).map_err(failed)?;
                    match sender.send(&bytes).await {
                        Ok(()) => {}
                        // EMSGSIZE: this one is too long and always will be.
                        Err(error) if error.raw_os_error() == Some(90) => rejected.push(position),
                        Err(error) => return Err(failed(error).into()),
                    }
                }
                if !rejected.is_empty() {
                    self.open = Some(open);
                    let error = PluginError::new(format!("write to {shown}"));
                    let error = error.because("the metric is too long for a datagram");
                    return Err(WriteError::Partial { rejected, error });
                }
            }
        }
        self.open = Some(open);
        Ok(())
    }

    async fn close(&mut self, _: &OutputContext) -> Result<(), PluginError> {
        if let Some(Open::Stream(mut stream)) = self.open.take() {
            let failed = PluginError::io(format!("close the connection to {}", self.address));
            stream.shutdown().await.map_err(failed)?;
        }
        Ok(())
    }
}
