//! Instant queries to Prometheus, or to what speaks its API.

use std::collections::BTreeMap;
use std::time::Duration;

use muster_net::{Client, ClientBuilder, TlsClientOptions, describe_error, read_response};
use muster_scaler_core::Time;
use muster_scaler_core::config::PrometheusConfig;
use serde::Deserialize;

/// The longest answer that is read, in bytes.
const LONGEST_ANSWER: usize = 32 << 20;

/// The most series of one answer.
const MOST_SERIES: usize = 100_000;

/// One series at the time that was asked for.
#[derive(Clone, Debug, PartialEq)]
pub struct Sample {
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// Its value; may be NaN or infinite.
    pub value: f64,
}

impl Sample {
    /// A label's value; an absent label is an empty text, as in Prometheus.
    pub fn label(&self, name: &str) -> &str {
        self.labels.get(name).map_or("", String::as_str)
    }
}

/// Failed to query Prometheus. What follows is that the value is unknown, never that it is zero.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum QueryError {
    /// No connection, or it broke, or it took too long.
    #[error("Prometheus did not answer: {0}")]
    NoAnswer(String),
    /// 401 or 403.
    #[error(
        "Prometheus refuses the credentials ({0}); check `bearer_token`, `username`, `password`"
    )]
    Credentials(u16),
    /// It does not take the expression.
    #[error("Prometheus refuses the expression: {0}")]
    Refused(String),
    /// Another status.
    #[error("Prometheus failed ({status}): {said}")]
    Failed {
        /// The status.
        status: u16,
        /// Its words.
        said: String,
    },
    /// Something else answers.
    #[error("what answers is not Prometheus' API: {0}; check `url`")]
    NotPrometheus(String),
    /// The answer is not whole: there were warnings, or a part of the store was missing.
    #[error("the answer is not whole: {0}")]
    Partial(String),
    /// Not a vector.
    #[error("the expression gives a {0}, not a vector of samples")]
    NotAVector(String),
    /// Too many series.
    #[error("the answer has more than {MOST_SERIES} series")]
    TooMany,
}

/// A Prometheus.
#[derive(Debug)]
pub struct Prometheus {
    client: Client,
    config: PrometheusConfig,
}

#[derive(Deserialize)]
struct Body {
    status: String,
    data: Option<Data>,
    error: Option<String>,
    #[serde(default)]
    warnings: Option<Vec<String>>,
    // VictoriaMetrics' word.
    #[serde(default, rename = "isPartial")]
    is_partial: bool,
}

#[derive(Deserialize)]
struct Data {
    #[serde(rename = "resultType")]
    kind: String,
    result: serde_json::Value,
}

#[derive(Deserialize)]
struct Row {
    metric: BTreeMap<String, String>,
    #[serde(default)]
    value: Option<(f64, String)>,
}

impl Prometheus {
    /// A client. Sends nothing.
    ///
    /// # Errors
    /// If the URL is none.
    pub fn new(config: &PrometheusConfig) -> Result<Self, String> {
        let uri: Result<http::Uri, _> = config.url.parse();
        let fits = uri.is_ok_and(|uri| matches!(uri.scheme_str(), Some("http" | "https")));
        if !fits {
            return Err(format!(
                "set up Prometheus' client: \"{}\" is no URL with http:// or https://",
                config.url
            ));
        }
        let client = ClientBuilder::new(config.timeout.get())
            .follow_redirects(false)
            .build(&TlsClientOptions::default())
            .map_err(|error| error.to_string())?;
        let config = config.clone();
        Ok(Self { client, config })
    }

    /// The value of an expression at a time, within `timeout` of the configuration; dropping it
    /// closes the connection.
    ///
    /// The time of the samples is `at` and not when they were taken: ask for
    /// `timestamp(selector)`, too.
    ///
    /// # Errors
    /// [`QueryError`]. An empty answer is none: whoever asked knows what it means.
    pub async fn instant(&self, expression: &str, at: Time) -> Result<Vec<Sample>, QueryError> {
        let limit = self.config.timeout.get();
        let asked = self.ask(expression, at);
        match muster_tasks::timeout(limit, asked).await {
            Ok(answer) => answer,
            Err(error) => Err(QueryError::NoAnswer(error.to_string())),
        }
    }

    async fn ask(&self, expression: &str, at: Time) -> Result<Vec<Sample>, QueryError> {
        let url = self.config.url.trim_end_matches('/');
        let query = [("query", expression), ("time", &at.to_string())];
        let mut request = self.client.get(format!("{url}/api/v1/query")).query(&query);
        let config = &self.config;
        if !config.bearer_token.is_empty() {
            request = request.bearer_auth(config.bearer_token.expose());
        } else if !config.username.is_empty() {
            request = request.basic_auth(&config.username, Some(config.password.expose()));
        }
        let response = request.send().await;
        let response = response.map_err(|error| QueryError::NoAnswer(describe_error(&error)))?;
        let status = response.status().as_u16();
        let body = read_response(response, LONGEST_ANSWER).await;
        let body = body.map_err(|error| QueryError::NoAnswer(error.to_string()))?;
        read(status, &body)
    }
}

fn read(status: u16, body: &[u8]) -> Result<Vec<Sample>, QueryError> {
    if matches!(status, 401 | 403) {
        return Err(QueryError::Credentials(status));
    }
    let body: Body = match serde_json::from_slice(body) {
        Ok(body) => body,
        Err(_) if status >= 500 => {
            let said = String::from_utf8_lossy(&body[..body.len().min(200)]);
            let said = said.split_whitespace().collect::<Vec<_>>().join(" ");
            return Err(QueryError::Failed { status, said });
        }
        Err(error) => return Err(QueryError::NotPrometheus(error.to_string())),
    };
    if body.status != "success" {
        let said = body.error.unwrap_or_default();
        return Err(match status {
            400 | 422 => QueryError::Refused(said),
            _ => QueryError::Failed { status, said },
        });
    }
    if let Some(warning) = body.warnings.iter().flatten().next() {
        return Err(QueryError::Partial(warning.clone()));
    }
    if body.is_partial {
        return Err(QueryError::Partial(
            "a part of the store is missing".to_owned(),
        ));
    }
    let not_prometheus = |why: &str| QueryError::NotPrometheus(why.to_owned());
    let data = body
        .data
        .ok_or_else(|| not_prometheus("there is no data"))?;
    if data.kind != "vector" {
        return Err(QueryError::NotAVector(data.kind));
    }
    let rows: Vec<Row> = serde_json::from_value(data.result)
        .map_err(|error| QueryError::NotPrometheus(error.to_string()))?;
    if rows.len() > MOST_SERIES {
        return Err(QueryError::TooMany);
    }
    let sample = |row: Row| {
        let (_, text) = row
            .value
            .ok_or_else(|| not_prometheus("a series without a value"))?;
        let value = text.parse();
        Ok(Sample {
            labels: row.metric,
            value: value.map_err(|_| not_prometheus("a value that is no number"))?,
        })
    };
    rows.into_iter().map(sample).collect()
}

/// A number that can be used: neither NaN nor infinite nor below zero.
///
/// # Errors
/// Why it cannot.
pub(super) fn usable(value: f64) -> Result<f64, String> {
    if value.is_nan() {
        return Err("not a number (nothing to divide by in that time)".to_owned());
    }
    if value.is_infinite() {
        return Err("infinite".to_owned());
    }
    if value < 0.0 {
        return Err(format!("{value}, which is below zero"));
    }
    Ok(value)
}

/// The one number that an expression gave.
///
/// # Errors
/// Why there is none.
pub(super) fn single(samples: &[Sample]) -> Result<f64, String> {
    match samples {
        [] => Err("the answer is empty".to_owned()),
        [sample] => usable(sample.value),
        more => Err(format!(
            "{} series where one is wanted; sum them",
            more.len()
        )),
    }
}

/// How far back rates look for values that are at most so old: twice that, so that two scrapes
/// fit, from ten seconds to two minutes.
pub(super) fn window(max_age: Duration) -> Duration {
    let twice = max_age.saturating_mul(2);
    twice.clamp(Duration::from_secs(10), Duration::from_secs(120))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(status: u16, body: &str, want: Result<usize, &str>) {
        let got = read(status, body.as_bytes());
        match (&got, want) {
            (Ok(samples), Ok(count)) => assert_eq!(samples.len(), count, "{body}"),
            (Err(error), Err(text)) => {
                assert!(error.to_string().contains(text), "{error}: {body}");
            }
            _ => panic!("{got:?}: {body}"),
        }
    }

    #[test]
    fn only_a_whole_vector_is_an_answer() {
        let vector = |rows: &str, more: &str| {
            format!(
                r#"{{"status":"success","data":{{"resultType":"vector","result":[{rows}]}}{more}}}"#
            )
        };
        let row = r#"{"metric":{"a":"b"},"value":[1.5,"2"]}"#;
        check(200, &vector(row, ""), Ok(1));
        check(200, &vector("", ""), Ok(0));
        check(
            200,
            &vector(r#"{"metric":{},"value":[1,"NaN"]}"#, ""),
            Ok(1),
        );
        check(
            200,
            &vector(row, r#","warnings":["one store is down"]"#),
            Err("one store is down"),
        );
        check(200, &vector(row, r#","infos":["a hint"]"#), Ok(1));
        check(200, &vector(row, r#","isPartial":true"#), Err("not whole"));
        check(
            200,
            &vector(r#"{"metric":{},"histogram":[1,{}]}"#, ""),
            Err("without a value"),
        );
        check(
            200,
            r#"{"status":"success","data":{"resultType":"scalar","result":[1,"2"]}}"#,
            Err("a scalar"),
        );
        check(
            400,
            r#"{"status":"error","errorType":"bad_data","error":"parse error: x"}"#,
            Err("parse error"),
        );
        check(
            503,
            r#"{"status":"error","errorType":"timeout","error":"too slow"}"#,
            Err("too slow"),
        );
        check(502, "<html>bad gateway</html>", Err("(502)"));
        check(200, "<html>hello</html>", Err("not Prometheus"));
        check(401, "", Err("credentials"));
    }

    #[test]
    fn a_number_that_is_none_is_not_zero() {
        for value in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, -1.0] {
            assert!(usable(value).is_err(), "{value}");
        }
        assert_eq!(usable(0.0), Ok(0.0));
        assert!(single(&[]).unwrap_err().contains("empty"));
    }
}
