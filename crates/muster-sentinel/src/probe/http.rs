//! Checking whether an HTTP service answers: the status line of one GET.

use async_trait::async_trait;
use http::Uri;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::Instant;

use super::{Dialer, Phase, Probe};
use crate::classify;
use crate::status::{Answer, Outcome, Reason, Target};

/// The most bytes of a status line.
const MOST_LINE: usize = 8 << 10;

/// Gets one URL. Only the status line of the answer is read; the connection is closed with each
/// check.
#[derive(Debug)]
pub struct HttpProbe {
    url: Uri,
    dialer: Dialer,
    statuses: Vec<u16>,
    phase: Phase,
}

impl HttpProbe {
    /// A check of the service at `url`. Good are the given status codes, or, if none are given, those
    /// from 200 to 399. The dialer must speak TLS if the URL wants it.
    pub fn new(url: Uri, dialer: Dialer, statuses: Vec<u16>) -> Self {
        Self {
            url,
            dialer,
            statuses,
            phase: Phase::default(),
        }
    }

    async fn ask(&mut self) -> Result<Answer, Outcome> {
        let began = Instant::now();
        let host = self.url.host().unwrap_or_default();
        let default = if self.url.scheme_str() == Some("https") {
            443
        } else {
            80
        };
        let target = Target::Tcp {
            host: host.trim_matches(['[', ']']).to_owned(),
            port: self.url.port_u16().unwrap_or(default),
        };
        let mut stream = self.dialer.dial(&target, &mut self.phase).await?;
        self.phase = Phase::Waiting;
        let path = self.url.path_and_query().map_or("/", |path| path.as_str());
        let named = self
            .url
            .port_u16()
            .map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"));
        let request = format!(
            "GET {path} HTTP/1.1\r\nHost: {named}\r\nUser-Agent: muster\r\nConnection: close\r\n\r\n"
        );
        let io = |error: std::io::Error| classify::io_error(&error);
        stream.write_all(request.as_bytes()).await.map_err(io)?;
        stream.flush().await.map_err(io)?;
        let mut begin = Vec::new();
        while !begin.contains(&b'\n') && begin.len() < MOST_LINE {
            if stream.read_buf(&mut begin).await.map_err(io)? == 0 {
                return Err(Outcome::new(Reason::Closed, "closed before the answer"));
            }
        }
        let mut answer = Answer::from(judge(&begin, &self.statuses));
        answer.rtt = Some(began.elapsed());
        Ok(answer)
    }
}

/// What the beginning of an answer means.
fn judge(begin: &[u8], good: &[u16]) -> Outcome {
    let line = begin
        .split(|byte| *byte == b'\n')
        .next()
        .unwrap_or_default();
    let line = String::from_utf8_lossy(line);
    let line = line.trim_end();
    let code = line
        .strip_prefix("HTTP/1.")
        .and_then(|rest| rest.split(' ').nth(1))
        .and_then(|code| code.parse::<u16>().ok());
    match code {
        None => Outcome::new(Reason::Protocol, format!("no HTTP: {line:?}")),
        Some(code) if good.contains(&code) => Outcome::OK,
        Some(200..=399) if good.is_empty() => Outcome::OK,
        Some(_) => Outcome::new(Reason::Failed, line),
    }
}

#[async_trait]
impl Probe for HttpProbe {
    async fn check(&mut self, _: Instant) -> Answer {
        self.ask().await.unwrap_or_else(Answer::from)
    }

    fn overdue(&self) -> Outcome {
        self.phase.overdue()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_status_line_decides() {
        let check = |line: &str, good: &[u16], want: Reason| {
            assert_eq!(judge(line.as_bytes(), good).reason, want, "{line}");
        };
        check("HTTP/1.1 200 OK\r\nx: y\r\n", &[], Reason::Ok);
        check("HTTP/1.0 302 Found\r\n", &[], Reason::Ok);
        check("HTTP/1.1 503 Service Unavailable\r\n", &[], Reason::Failed);
        check("HTTP/1.1 503\r\n", &[503], Reason::Ok);
        check("HTTP/1.1 200 OK\r\n", &[503], Reason::Failed);
        check("+PONG\r\n", &[], Reason::Protocol);
        check("HTTP/1.1 abc\r\n", &[], Reason::Protocol);
        check("", &[], Reason::Protocol);
    }
}
