//! The agent itself: status, plugins, live metrics, flush, reload.

use std::collections::BTreeMap;
use std::time::Duration;

use axum::Json;
use axum::body::Body;
use axum::extract::{Query, State};
use axum::response::{IntoResponse, Response};
use http::{StatusCode, header};
use muster_config::common_options;
use muster_engine::State as ComponentState;
use muster_metric::line_protocol;
use muster_options::Globs;
use muster_tasks::Verdict;
use serde::Deserialize;
use serde_json::{Value, json};
use utoipa::IntoParams;

use super::Api;
use super::error::{ApiError, ErrorBody};
use super::views::{AppliedView, StatusView, Trouble};

/// A task that holds its thread longer than this is shown as stuck.
const STUCK: Duration = Duration::from_secs(1);

/// The agent as a whole.
#[utoipa::path(get, path = "/api/v1/status", tag = "agent",
    responses((status = 200, body = StatusView)))]
pub(super) async fn status(State(api): State<Api>) -> Json<StatusView> {
    Json(api.status())
}

impl Api {
    /// The agent as a whole.
    pub fn status(&self) -> StatusView {
        let engine = self.controller.engine();
        let mut counts: BTreeMap<String, BTreeMap<&'static str, usize>> = BTreeMap::new();
        let mut troubles = Vec::new();
        for component in engine.observe() {
            let id = &component.definition.id;
            let state = component.observed.state;
            *counts
                .entry(id.kind.plural().to_owned())
                .or_default()
                .entry(state.as_str())
                .or_default() += 1;
            let ill = matches!(
                state,
                ComponentState::Failing | ComponentState::BackingOff | ComponentState::Quarantined
            );
            if ill {
                troubles.push(Trouble {
                    component: id.to_string(),
                    state: state.as_str().to_owned(),
                    why: component.observed.why.clone().unwrap_or_default(),
                    since: component.observed.since,
                });
            }
        }
        StatusView {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            pid: std::process::id(),
            started: engine.started().nanos(),
            generation: self.controller.generation(),
            components: json!(counts),
            tasks: self.root.count(),
            state_dir: self.state_dir.display().to_string(),
            troubles,
            stuck: self
                .root
                .stuck(STUCK)
                .iter()
                .map(ToString::to_string)
                .collect(),
            leaks: self
                .leaks
                .findings()
                .iter()
                .filter(|finding| {
                    !matches!(
                        finding.verdict,
                        Verdict::StuckInPoll | Verdict::BlockingTooLong
                    )
                })
                .map(ToString::to_string)
                .collect(),
            reload_error: self
                .controller
                .last_reload()
                .and_then(|reload| reload.error),
        }
    }
}

/// All plugins with their options.
#[utoipa::path(get, path = "/api/v1/plugins", tag = "agent",
    responses((status = 200, body = Vec<Object>)))]
pub(super) async fn plugins(State(api): State<Api>) -> Json<Vec<Value>> {
    Json(describe_plugins(api.registry()))
}

/// All plugins with every option: name, type, default, doc.
pub fn describe_plugins(registry: &muster_plugin::Registry) -> Vec<Value> {
    let describe = |row: &&'static muster_plugin::PluginRow| {
        json!({
            "kind": row.kind(),
            "name": row.name,
            "summary": row.summary,
            "data_format": match row.format {
                muster_plugin::FormatUse::None => Value::Null,
                muster_plugin::FormatUse::Parser(default) => json!({"role": "parser", "default": default}),
                muster_plugin::FormatUse::Serializer(default) => json!({"role": "serializer", "default": default}),
            },
            "options": (row.options)(),
            "common_options": common_options(row.kind()),
        })
    };
    registry.rows().iter().map(describe).collect()
}

/// Which metrics to watch.
#[derive(Clone, Debug, Default, Deserialize, IntoParams)]
pub(super) struct TailQuery {
    /// Patterns of measurement names, joined by commas; all if not given.
    #[serde(default)]
    pub filter: Option<String>,
}

/// The metrics as they pass to the outputs, as line protocol, until the client goes away. What a
/// client cannot take in time is left out for it.
#[utoipa::path(get, path = "/api/v1/tail", tag = "agent", params(TailQuery),
    responses((status = 200, body = String, content_type = "text/plain"), (status = 400, body = ErrorBody)))]
pub(super) async fn tail(
    State(api): State<Api>,
    Query(query): Query<TailQuery>,
) -> Result<Response, ApiError> {
    let patterns: Vec<String> = query
        .filter
        .iter()
        .flat_map(|f| f.split(','))
        .map(|p| p.trim().to_owned())
        .collect();
    let globs = Globs::new(&patterns, &[])
        .map_err(|error| ApiError::bad_request(format!("the filter is no pattern: {error}")))?;
    let too_many = || {
        let status = StatusCode::SERVICE_UNAVAILABLE;
        ApiError::new(status, "busy", "too many watch the metrics already")
    };
    let batches = api.controller.engine().watch().ok_or_else(too_many)?;
    let stream =
        futures_util::stream::unfold((batches, globs), |(mut batches, globs)| async move {
            loop {
                let batch = batches.recv().await?;
                let mut lines = Vec::new();
                let wanted = batch
                    .iter()
                    .filter(|m| globs.is_empty() || globs.matches(m.name()));
                line_protocol::Writer::default().write_all(wanted, &mut lines);
                if !lines.is_empty() {
                    return Some((Ok::<_, std::convert::Infallible>(lines), (batches, globs)));
                }
            }
        });
    let media_type = [(header::CONTENT_TYPE, "text/plain; charset=utf-8")];
    Ok((media_type, Body::from_stream(stream)).into_response())
}

/// Tells all outputs to write now.
#[utoipa::path(post, path = "/api/v1/flush", tag = "agent", responses((status = 202)))]
pub(super) async fn flush(State(api): State<Api>) -> StatusCode {
    api.controller.engine().flush();
    StatusCode::ACCEPTED
}

/// Reads the configuration files again, as SIGHUP does.
#[utoipa::path(post, path = "/api/v1/reload", tag = "agent",
    responses((status = 200, body = AppliedView), (status = 422, body = ErrorBody)))]
pub(super) async fn reload(State(api): State<Api>) -> Result<Json<AppliedView>, ApiError> {
    let applied = (api.reload)().await?;
    Ok(Json(AppliedView::of(&applied, api.registry())))
}
