//! What InfluxDB's answers mean.

use http::StatusCode;
use muster_metric::{Metrics, Value};
use serde::Deserialize;

/// What became of a write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Everything was written.
    Written,
    /// There is no such database.
    NoDatabase(String),
    /// Some points were dropped for good, the others were written.
    PartlyDropped(String),
    /// Nothing was written, and it never will be like this.
    Refused(String),
    /// Nothing was written now.
    Later(String),
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Body {
    error: String,
    results: Vec<Outcome>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Outcome {
    error: String,
}

/// The error that an answer states, or the beginning of its text.
fn message(status: StatusCode, body: &[u8]) -> String {
    let parsed: Body = serde_json::from_slice(body).unwrap_or_default();
    let stated = parsed.results.into_iter().map(|result| result.error);
    let stated = std::iter::once(parsed.error)
        .chain(stated)
        .find(|error| !error.is_empty());
    match stated {
        Some(error) => error,
        None => {
            let text = String::from_utf8_lossy(&body[..body.len().min(300)]);
            let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
            if text.is_empty() {
                status.to_string()
            } else {
                format!("{status}: {text}")
            }
        }
    }
}

/// What the answer to a write means.
pub(super) fn judge(status: StatusCode, body: &[u8]) -> Verdict {
    if status.is_success() {
        return Verdict::Written;
    }
    let message = message(status, body);
    let says = |part: &str| message.contains(part);
    if says("database not found") {
        return Verdict::NoDatabase(message);
    }
    // The points wait in the server's own queue.
    if says("hinted handoff queue not empty") {
        return Verdict::Written;
    }
    // All but these points were written.
    if says("points beyond retention policy") || (says("partial write") && says("dropped=")) {
        return Verdict::PartlyDropped(message);
    }
    match status.as_u16() {
        // Who we are, what we may do and what is missing there is no fault of the points: it can
        // be put right.
        401 | 403 | 404 | 407 | 408 | 425 | 429 => Verdict::Later(message),
        400..500 => Verdict::Refused(message),
        _ => Verdict::Later(message),
    }
}

/// What went wrong with a statement, if anything did.
pub(super) fn query_error(status: StatusCode, body: &[u8]) -> Option<String> {
    let parsed: Body = serde_json::from_slice(body).unwrap_or_default();
    let failed = !parsed.error.is_empty() || parsed.results.iter().any(|r| !r.error.is_empty());
    (failed || !status.is_success()).then(|| message(status, body))
}

/// Which of the written positions the server has dropped, as far as its message tells: the points
/// with the field in conflict, or the oldest ones. Empty if that cannot be told exactly.
pub(super) fn dropped(message: &str, metrics: &Metrics, positions: &[usize]) -> Vec<usize> {
    let Some(count) = number_after(message, "dropped=") else {
        return Vec::new();
    };
    if count == positions.len() {
        return positions.to_vec();
    }
    let mut written = positions.iter().copied().peekable();
    let sent = metrics
        .iter()
        .enumerate()
        .filter(|(at, _)| written.next_if_eq(at).is_some());
    let mut found: Vec<usize> = if let Some(conflict) = Conflict::read(message) {
        let clashes = sent.filter(|(_, metric)| {
            let value = || metric.field(&conflict.field);
            metric.name() == conflict.measurement
                && value().is_some_and(|v| type_name(v) != conflict.known)
        });
        clashes.map(|(at, _)| at).collect()
    } else if message.contains("points beyond retention policy") {
        let mut sent: Vec<_> = sent.filter_map(|(at, m)| Some((m.time()?, at))).collect();
        sent.sort_unstable();
        sent.into_iter().take(count).map(|(_, at)| at).collect()
    } else {
        Vec::new()
    };
    if found.len() != count {
        return Vec::new();
    }
    found.sort_unstable();
    found
}

/// A field whose type is another one in the database.
struct Conflict {
    field: String,
    measurement: String,
    known: String,
}

impl Conflict {
    fn read(message: &str) -> Option<Self> {
        let rest = message.split_once("input field \"")?.1;
        let (field, rest) = rest.split_once("\" on measurement \"")?;
        let (measurement, rest) = rest.split_once("\" is type ")?;
        let known = rest.split_once("already exists as type ")?.1;
        let known = known.split(|c: char| !c.is_ascii_alphabetic()).next()?;
        Some(Self {
            field: field.to_owned(),
            measurement: measurement.to_owned(),
            known: known.to_owned(),
        })
    }
}

fn type_name(value: Value<'_>) -> &'static str {
    match value {
        Value::Float(_) => "float",
        Value::Int(_) | Value::Uint(_) => "integer",
        Value::Bool(_) => "boolean",
        Value::Text(_) => "string",
    }
}

fn number_after(text: &str, label: &str) -> Option<usize> {
    let rest = text.rsplit_once(label)?.1;
    rest.split(|c: char| !c.is_ascii_digit())
        .next()?
        .parse()
        .ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use muster_metric::{Batch, Timestamp};

    #[test]
    fn judges_answers() {
        let check = |status: u16, body: &str, want: &str| {
            let verdict = judge(StatusCode::from_u16(status).unwrap(), body.as_bytes());
            assert_eq!(
                format!("{verdict:?}").split('(').next(),
                Some(want),
                "{status} {body}"
            );
        };
        check(204, "", "Written");
        check(
            404,
            r#"{"error":"database not found: \"x\""}"#,
            "NoDatabase",
        );
        check(
            404,
            r#"{"error":"retention policy not found: \"x\""}"#,
            "Later",
        );
        check(404, "404 page not found", "Later");
        check(400, r#"{"error":"unable to parse 'x': bad"}"#, "Refused");
        check(
            400,
            r#"{"error":"partial write: field type conflict: x dropped=1"}"#,
            "PartlyDropped",
        );
        check(
            400,
            r#"{"error":"partial write: points beyond retention policy dropped=2"}"#,
            "PartlyDropped",
        );
        check(
            500,
            r#"{"error":"write failed: hinted handoff queue not empty"}"#,
            "Written",
        );
        check(413, "Request Entity Too Large", "Refused");
        check(401, r#"{"error":"authorization failed"}"#, "Later");
        check(429, "", "Later");
        check(503, "<html>\n busy </html>", "Later");
    }

    #[test]
    fn finds_what_was_dropped() {
        let mut batch = Batch::new();
        let at = Timestamp::from_seconds;
        batch.metric("m").field("v", 1.5).at(at(30));
        batch.metric("m").field("v", 1).at(at(10));
        batch.metric("n").field("v", 1.5).at(at(20));
        let metrics = Metrics::from(batch);
        let check = |message: &str, want: &[usize]| {
            assert_eq!(dropped(message, &metrics, &[0, 1, 2]), want, "{message}");
        };
        let conflict = "partial write: field type conflict: input field \"v\" on measurement \
                        \"m\" is type float, already exists as type integer dropped=1";
        check(conflict, &[0]);
        check(&conflict.replace("=1", "=2"), &[]);
        check(
            "partial write: points beyond retention policy dropped=2",
            &[1, 2],
        );
        check(
            "partial write: points beyond retention policy dropped=3",
            &[0, 1, 2],
        );
        check(
            "partial write: max-values-per-tag limit exceeded dropped=1",
            &[],
        );
        check("partial write: something", &[]);
    }

    #[test]
    fn finds_errors_of_statements() {
        let check = |body: &str, want: Option<&str>| {
            let got = query_error(StatusCode::OK, body.as_bytes());
            assert_eq!(got.as_deref(), want, "{body}");
        };
        check(r#"{"results":[{"statement_id":0}]}"#, None);
        check(r#"{"results":[{"error":"no"}]}"#, Some("no"));
        check("", None);
    }
}
