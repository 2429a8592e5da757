//! `inputs.net_response`: whether a TCP or UDP service answers, how fast and what.

#[cfg(test)]
mod tests;

use std::io;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use muster_metric::Batch;
use muster_net::{Address, Connector, OptionReader, TlsClientOptions};
use muster_options::{Duration as OptionDuration, JsonSchema, OptionError, Options};
use muster_plugin::{
    Build, BuildContext, Built, FormatUse, GatherContext, Input, PluginError, PluginRow,
};
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;

/// The row of the plugin.
pub(crate) const ROW: PluginRow = PluginRow {
    name: "net_response",
    summary: "connects to a TCP or UDP service and measures how it answers",
    options: NetResponseOptions::describe,
    format: FormatUse::None,
    build: Build::Input(|cx| Ok(Box::new(NetResponse::build(cx)?))),
};

/// The most bytes of an answer that are looked at.
const MAX_ANSWER: usize = 64 << 10;

/// Options of `inputs.net_response`.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
struct NetResponseOptions {
    /// `tcp` or `udp`.
    protocol: String,
    /// Host and port of the service.
    address: String,
    /// How long connecting may take.
    timeout: OptionDuration,
    /// How long the answer may take, if one is expected.
    read_timeout: OptionDuration,
    /// What to send.
    send: String,
    /// Text that must occur in the answer.
    expect: String,
}

impl Default for NetResponseOptions {
    fn default() -> Self {
        Self {
            protocol: "tcp".to_owned(),
            address: "localhost:80".to_owned(),
            timeout: OptionDuration::from_secs(1),
            read_timeout: OptionDuration::from_secs(1),
            send: String::new(),
            expect: String::new(),
        }
    }
}

/// The input.
struct NetResponse {
    options: NetResponseOptions,
    address: Address,
}

/// The result, with Telegraf's names and codes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    Success,
    Timeout,
    ConnectionFailed,
    ReadFailed,
    StringMismatch,
}

impl Verdict {
    fn name(self) -> &'static str {
        match self {
            Self::Success => "success",
            Self::Timeout => "timeout",
            Self::ConnectionFailed => "connection_failed",
            Self::ReadFailed => "read_failed",
            Self::StringMismatch => "string_mismatch",
        }
    }
}

/// What came of an attempt: the result, and the time if there was a connection.
type Outcome = (Verdict, Option<f64>);

impl NetResponse {
    fn build(cx: &BuildContext) -> Built<Self> {
        let options: NetResponseOptions = OptionReader::new(cx, &[]).rest()?;
        let mut errors = Vec::new();
        if !["tcp", "udp"].contains(&options.protocol.as_str()) {
            let error = OptionError::new("protocol", format!("unknown \"{}\"", options.protocol));
            errors.push(error.with_hint("possible are tcp and udp"));
        }
        if options.protocol == "udp" {
            for (name, text) in [("send", &options.send), ("expect", &options.expect)] {
                if text.is_empty() {
                    let message = format!("a check over UDP needs `{name}`");
                    errors.push(OptionError::new(name, message));
                }
            }
        }
        let address = Address::parse(&format!("{}://{}", options.protocol, options.address));
        match address {
            Ok(address) if errors.is_empty() => Ok(Self { options, address }),
            Ok(_) => Err(errors),
            Err(error) => {
                if errors.is_empty() {
                    errors.push(OptionError::new("address", error.to_string()));
                }
                Err(errors)
            }
        }
    }

    fn limits(&self) -> (Duration, Duration) {
        let or_second = |d: OptionDuration| match d.get() {
            Duration::ZERO => Duration::from_secs(1),
            given => given,
        };
        (
            or_second(self.options.timeout),
            or_second(self.options.read_timeout),
        )
    }

    async fn ask_tcp(&self, connector: &Connector) -> Outcome {
        let (connect, read) = self.limits();
        let started = Instant::now();
        let mut stream = match timeout(connect, connector.stream()).await {
            Err(_) => return (Verdict::Timeout, None),
            Ok(Err(error)) if error.kind() == io::ErrorKind::TimedOut => {
                return (Verdict::Timeout, None);
            }
            Ok(Err(_)) => return (Verdict::ConnectionFailed, None),
            Ok(Ok(stream)) => stream,
        };
        let mut seconds = started.elapsed().as_secs_f64();
        if !self.options.send.is_empty() {
            let sent = timeout(connect, stream.write_all(self.options.send.as_bytes())).await;
            if !matches!(sent, Ok(Ok(()))) {
                return (Verdict::ReadFailed, Some(seconds));
            }
            seconds = started.elapsed().as_secs_f64();
        }
        if self.options.expect.is_empty() {
            return (Verdict::Success, Some(seconds));
        }
        let mut answer = Vec::new();
        let line = async {
            // One line, or what comes before the end.
            while !answer.contains(&b'\n') && answer.len() < MAX_ANSWER {
                if stream.read_buf(&mut answer).await? == 0 {
                    break;
                }
            }
            Ok::<(), io::Error>(())
        };
        let done = timeout(read, line).await;
        let seconds = Some(started.elapsed().as_secs_f64());
        let line = answer
            .split(|byte| *byte == b'\n')
            .next()
            .unwrap_or_default();
        match done {
            Ok(Ok(())) if !answer.is_empty() => (self.compare(line), seconds),
            _ => (Verdict::ReadFailed, seconds),
        }
    }

    async fn ask_udp(&self, connector: &Connector) -> Outcome {
        let (connect, read) = self.limits();
        let started = Instant::now();
        let Ok(Ok(sender)) = timeout(connect, connector.sender()).await else {
            return (Verdict::ConnectionFailed, None);
        };
        if sender.send(self.options.send.as_bytes()).await.is_err() {
            return (Verdict::ReadFailed, None);
        }
        let mut answer = vec![0; MAX_ANSWER];
        match timeout(read, sender.receive(&mut answer)).await {
            Ok(Ok(length)) => {
                let seconds = started.elapsed().as_secs_f64();
                (self.compare(&answer[..length]), Some(seconds))
            }
            _ => (Verdict::ReadFailed, None),
        }
    }

    fn compare(&self, answer: &[u8]) -> Verdict {
        if String::from_utf8_lossy(answer).contains(&self.options.expect) {
            Verdict::Success
        } else {
            Verdict::StringMismatch
        }
    }
}

#[async_trait]
impl Input for NetResponse {
    async fn gather(&mut self, _: &GatherContext, batch: &mut Batch) -> Result<(), PluginError> {
        let connector = Connector::new(self.address.clone(), &TlsClientOptions::default(), None)?;
        let (verdict, seconds) = match self.options.protocol.as_str() {
            "udp" => self.ask_udp(&connector).await,
            _ => self.ask_tcp(&connector).await,
        };
        let server = match self.address.host() {
            "" => "localhost",
            host => host,
        };
        let mut metric = batch
            .metric("net_response")
            .tag("server", server)
            .tag("port", self.address.port().to_string())
            .tag("protocol", &self.options.protocol)
            .tag("result", verdict.name());
        if let Some(seconds) = seconds {
            metric.add_field("response_time", seconds);
        }
        if !self.options.expect.is_empty() {
            metric.add_field("string_found", verdict == Verdict::Success);
        }
        metric.add_field("result_type", verdict.name());
        metric.add_field("result_code", verdict as i64);
        metric.untimed();
        Ok(())
    }
}
