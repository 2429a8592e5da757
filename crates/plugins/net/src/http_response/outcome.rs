//! What came of a request, as a metric.

use std::error::Error;
use std::io;

use muster_metric::Batch;

/// The result, with Telegraf's names and codes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Verdict {
    #[default]
    Success,
    StringMismatch,
    BodyReadError,
    ConnectionFailed,
    Timeout,
    DnsError,
    StatusMismatch,
}

impl Verdict {
    fn name(self) -> &'static str {
        match self {
            Self::Success => "success",
            Self::StringMismatch => "response_string_mismatch",
            Self::BodyReadError => "body_read_error",
            Self::ConnectionFailed => "connection_failed",
            Self::Timeout => "timeout",
            Self::DnsError => "dns_error",
            Self::StatusMismatch => "response_status_code_mismatch",
        }
    }
}

/// What came of a request.
#[derive(Clone, Debug, Default)]
pub(super) struct Outcome {
    pub(super) verdict: Verdict,
    pub(super) seconds: Option<f64>,
    pub(super) status: Option<u16>,
    pub(super) length: Option<usize>,
    pub(super) matched: Option<bool>,
    pub(super) status_matched: Option<bool>,
    pub(super) body: Option<String>,
    pub(super) tags: Vec<(String, String)>,
}

impl Outcome {
    /// There is no answer.
    pub(super) fn failed(error: &reqwest::Error) -> Self {
        let verdict = if error.is_timeout() || is_timed_out(error) {
            Verdict::Timeout
        } else if error.is_dns() {
            Verdict::DnsError
        } else {
            Verdict::ConnectionFailed
        };
        Self {
            verdict,
            ..Self::default()
        }
    }

    pub(super) fn write(&self, url: &str, method: &str, body_field: &str, batch: &mut Batch) {
        let mut metric = batch
            .metric("http_response")
            .tag("server", url)
            .tag("method", method)
            .tag("result", self.verdict.name());
        for (key, value) in &self.tags {
            metric.add_tag(key, value);
        }
        if let Some(status) = self.status {
            metric.add_tag("status_code", status.to_string());
            metric.add_field("http_response_code", i64::from(status));
        }
        if let Some(seconds) = self.seconds {
            metric.add_field("response_time", seconds);
        }
        if let Some(length) = self.length {
            metric.add_field("content_length", length as i64);
        }
        if let Some(matched) = self.matched {
            metric.add_field("response_string_match", i64::from(matched));
        }
        if let Some(matched) = self.status_matched {
            metric.add_field("response_status_code_match", i64::from(matched));
        }
        if let Some(body) = &self.body {
            metric.add_field(body_field, body);
        }
        metric.add_field("result_type", self.verdict.name());
        metric.add_field("result_code", self.verdict as i64);
        metric.untimed();
    }
}

/// A connection attempt that the system gave up counts as a timeout too.
fn is_timed_out(error: &reqwest::Error) -> bool {
    let mut source = error.source();
    while let Some(reason) = source {
        if reason
            .downcast_ref::<io::Error>()
            .is_some_and(|e| e.kind() == io::ErrorKind::TimedOut)
        {
            return true;
        }
        source = reason.source();
    }
    false
}
