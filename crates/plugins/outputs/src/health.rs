//! `outputs.health`: answers over HTTP whether the metrics of the last write look right.
//!
//! Every path answers alike: 200 if all checks were passed, else 503. Before the first write all is
//! well. `compares` looks at every metric that has the field; `contains` wants one that has it.

#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use http::{StatusCode, header};
use muster_metric::{Metrics, Value};
use muster_net::http_server::{Answer, Limits, Request, serve, text};
use muster_net::{Address, BasicAuth, OptionReader, SocketOptions, TlsServerOptions, listen};
use muster_options::{JsonSchema, OptionDoc, OptionError, Options, Secret};
use muster_plugin::{
    Build, BuildContext, Built, FormatUse, Output, OutputContext, PluginError, PluginRow,
    StartContext, WriteError,
};
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};

use crate::prometheus_client;

/// The row of the plugin.
pub(crate) const ROW: PluginRow = PluginRow {
    name: "health",
    summary: "answers over HTTP whether the metrics look right",
    options: docs,
    format: FormatUse::None,
    build: Build::Output(|cx| Ok(Box::new(Health::build(cx)?))),
};

fn docs() -> Vec<OptionDoc> {
    let mut docs = HealthOptions::describe();
    docs.extend(TlsServerOptions::describe());
    docs
}

/// What is looked at, and where it is told.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
struct HealthOptions {
    /// The address to answer on: `http://:8080`, or `https://:8443` with `tls_cert` and `tls_key`.
    service_address: String,
    /// How long a client may take to send its request.
    read_timeout: muster_options::Duration,
    /// How long a client may take no byte of the answer.
    write_timeout: muster_options::Duration,
    /// The user who may ask; without user and password everybody may.
    basic_username: Secret,
    /// The password of that user.
    basic_password: Secret,
    /// How long there may be no metric before that counts as unwell; `0s` for ever.
    max_time_between_metrics: muster_options::Duration,
    /// Comparisons that all metrics with the field must pass.
    compares: Vec<Compare>,
    /// Fields that a metric must have.
    contains: Vec<Contain>,
}

impl Default for HealthOptions {
    fn default() -> Self {
        Self {
            service_address: "http://:8080".to_owned(),
            read_timeout: muster_options::Duration::from_secs(5),
            write_timeout: muster_options::Duration::from_secs(5),
            basic_username: Secret::default(),
            basic_password: Secret::default(),
            max_time_between_metrics: muster_options::Duration::ZERO,
            compares: Vec::new(),
            contains: Vec::new(),
        }
    }
}

/// A comparison; all that is given must hold.
#[derive(Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
struct Compare {
    /// The field to look at. It must be a number or a boolean, which counts as 1 or 0.
    field: String,
    /// The value must be less than this.
    lt: Option<f64>,
    /// The value must be at most this.
    le: Option<f64>,
    /// The value must be greater than this.
    gt: Option<f64>,
    /// The value must be at least this.
    ge: Option<f64>,
    /// The value must be this.
    eq: Option<f64>,
    /// The value must be another than this.
    ne: Option<f64>,
}

/// A field that must be there.
#[derive(Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
struct Contain {
    /// The field that one of the metrics must have.
    field: String,
}

impl Compare {
    fn holds(&self, value: f64) -> bool {
        let is = |bound: Option<f64>, holds: fn(&f64, &f64) -> bool| {
            bound.is_none_or(|bound| holds(&value, &bound))
        };
        is(self.lt, f64::lt)
            && is(self.le, f64::le)
            && is(self.gt, f64::gt)
            && is(self.ge, f64::ge)
            && is(self.eq, f64::eq)
            && is(self.ne, f64::ne)
    }

    /// Why the metrics do not pass.
    fn problem(&self, metrics: &Metrics) -> Option<String> {
        let field = &self.field;
        metrics
            .iter()
            .filter_map(|metric| metric.field(field))
            .find_map(|value| match value {
                Value::Text(_) => Some(format!("{field} is a text")),
                number => {
                    let value = number.as_f64().unwrap_or(f64::NAN);
                    (!self.holds(value)).then(|| format!("{field} is {value}"))
                }
            })
    }
}

/// What the last write was like.
#[derive(Debug)]
struct State {
    problem: Option<String>,
    last_metric: Instant,
}

/// The output.
struct Health {
    options: HealthOptions,
    tls: TlsServerOptions,
    address: Address,
    state: Arc<Mutex<State>>,
    /// Where it answers: the system may have chosen the port.
    local_address: String,
}

impl Health {
    fn build(cx: &BuildContext) -> Built<Self> {
        let mut reader = OptionReader::new(cx, &[]);
        let tls: TlsServerOptions = reader.take();
        tls.problems()
            .into_iter()
            .for_each(|error| reader.refuse(error));
        let options: HealthOptions = reader.rest()?;
        let mut errors = Vec::new();
        let wants_tls = options.service_address.starts_with("https://");
        if wants_tls && !tls.is_wanted() {
            let error = OptionError::new("service_address", "https needs a certificate");
            errors.push(error.with_hint("give `tls_cert` and `tls_key`"));
        }
        let fields = options
            .compares
            .iter()
            .map(|c| ("compares", &c.field))
            .enumerate();
        let more = options
            .contains
            .iter()
            .map(|c| ("contains", &c.field))
            .enumerate();
        for (at, (table, field)) in fields.chain(more) {
            if field.is_empty() {
                errors.push(OptionError::new(
                    format!("{table}[{at}].field"),
                    "is missing",
                ));
            }
        }
        match prometheus_client::address("service_address", &options.service_address) {
            Ok(address) if errors.is_empty() => {
                let state = State {
                    problem: None,
                    last_metric: Instant::now(),
                };
                let (state, local_address) = (Arc::new(Mutex::new(state)), String::new());
                Ok(Self {
                    options,
                    tls,
                    address,
                    state,
                    local_address,
                })
            }
            Ok(_) => Err(errors),
            Err(error) => {
                errors.push(error);
                Err(errors)
            }
        }
    }

    fn problem(&self, metrics: &Metrics) -> Option<String> {
        let lacks = |wanted: &Contain| {
            let there = metrics
                .iter()
                .any(|metric| metric.field(&wanted.field).is_some());
            (!there).then(|| format!("no metric has the field {}", wanted.field))
        };
        let compared = self
            .options
            .compares
            .iter()
            .find_map(|compare| compare.problem(metrics));
        compared.or_else(|| self.options.contains.iter().find_map(lacks))
    }
}

#[async_trait]
impl Output for Health {
    async fn start(&mut self, cx: &StartContext) -> Result<(), PluginError> {
        let tls = self.tls.config()?;
        let listening = listen(cx, &self.address, tls, SocketOptions::default()).await?;
        self.local_address = listening.local_address();
        let auth = Arc::new(BasicAuth {
            username: self.options.basic_username.clone(),
            password: self.options.basic_password.clone(),
        });
        let limits = Limits {
            read_timeout: self.options.read_timeout.get(),
            write_timeout: self.options.write_timeout.get(),
            ..Limits::default()
        };
        let silence = self.options.max_time_between_metrics.get();
        let state = Arc::clone(&self.state);
        let handler = move |request: Request| {
            let admitted = auth.admits(request.headers().get(header::AUTHORIZATION));
            std::future::ready(match admitted {
                true => answer(&state.lock(), silence),
                false => prometheus_client::unauthorized("status"),
            })
        };
        let serve = move |cx: muster_tasks::Ctx| async move {
            serve(&cx, &listening, limits, handler).await;
        };
        let started = cx.group().go_cx("health page", serve);
        started.map_err(|why| PluginError::new("serve the health page").because(why))
    }

    async fn write(&mut self, _: &OutputContext, metrics: &Metrics) -> Result<(), WriteError> {
        let problem = self.problem(metrics);
        let mut state = self.state.lock();
        state.problem = problem;
        if !metrics.is_empty() {
            state.last_metric = Instant::now();
        }
        Ok(())
    }
}

fn answer(state: &State, silence: Duration) -> Answer {
    let silent = state.last_metric.elapsed();
    if let Some(problem) = &state.problem {
        text(
            StatusCode::SERVICE_UNAVAILABLE,
            format!("unhealthy: {problem}\n"),
        )
    } else if !silence.is_zero() && silent > silence {
        let seconds = silent.as_secs();
        text(
            StatusCode::SERVICE_UNAVAILABLE,
            format!("unhealthy: no metric for {seconds} s\n"),
        )
    } else {
        text(StatusCode::OK, "healthy\n")
    }
}
