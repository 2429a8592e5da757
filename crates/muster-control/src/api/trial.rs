//! Tries: a component does its work once, on an engine of its own, apart from what runs.

mod given;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::{Path, State};
use muster_config::Tags;
use muster_engine::{Change, Engine, Observed, Refusal, States};
use muster_metric::line_protocol;
use muster_plugin::{ComponentId, Kind};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::ToSchema;

use super::components::kind_of;
use super::error::{ApiError, ErrorBody};
use super::{Api, AppJson};
use crate::change::{ChangeError, definition};

/// A service input that is tried gets so long.
const TRY_SERVICE: Duration = Duration::from_secs(2);

/// What is tried gets so long to end; an output has this time to write, too.
const END_WITHIN: Duration = Duration::from_secs(5);

/// What to try.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct TryBody {
    /// The plugin, with the options below; if it is left out, the component in the path is tried.
    #[serde(default)]
    pub plugin: Option<String>,
    /// The options, as in a configuration file.
    #[serde(default)]
    #[schema(value_type = Object)]
    pub options: Map<String, Value>,
    /// What a processor, an aggregator or an output is given, as line protocol. Lines without a
    /// time get the present one. An input makes its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metrics: Option<String>,
}

/// What a try brought.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct TriedView {
    /// The metrics as line protocol: what an input gathered, or what left a processor or an
    /// aggregator.
    pub metrics: String,
    /// How many metrics an output wrote.
    #[serde(default)]
    pub written: u64,
    /// What failed.
    pub errors: Vec<String>,
}

/// Tries a component, or a plugin with options, apart from what runs.
///
/// An input gathers once. A processor or an aggregator is given metrics, and what leaves it comes
/// back. An output really writes the metrics that it is given.
#[utoipa::path(post, path = "/api/v1/{kind}/{id}/test", tag = "components", request_body = Option<TryBody>,
    params(("kind" = String, Path), ("id" = String, Path)),
    responses((status = 200, body = TriedView), (status = 400, body = ErrorBody),
        (status = 404, body = ErrorBody), (status = 422, body = ErrorBody)))]
pub(super) async fn test(
    State(api): State<Api>,
    Path((kind, id)): Path<(String, String)>,
    body: Option<AppJson<TryBody>>,
) -> Result<Json<TriedView>, ApiError> {
    let kind = kind_of(&kind)?;
    let TryBody {
        plugin,
        options,
        metrics,
    } = body.map(|AppJson(body)| body).unwrap_or_default();
    let wanted = match plugin {
        Some(plugin) => {
            Arc::new(definition(kind, &id, &plugin, &options).map_err(ApiError::bad_request)?)
        }
        None => api
            .controller
            .definition(&ComponentId::new(kind, id.as_str()))
            .ok_or_else(|| ApiError::not_found(format!("there is no {}/{id}", kind.plural())))?,
    };
    let (mut put, global_tags) = match (kind, metrics) {
        (Kind::Publisher | Kind::Scaler, _) => {
            let message = format!("{} cannot be tried", kind.plural());
            return Err(ApiError::bad_request(message));
        }
        (Kind::Input | Kind::Check, None) => (Vec::new(), api.controller.agent().1),
        (Kind::Input | Kind::Check, Some(_)) => {
            let message = format!("the {kind} makes its metrics itself");
            return Err(ApiError::bad_request(message));
        }
        (_, Some(lines)) => {
            let given = given::input(&lines).map_err(ApiError::bad_request)?;
            (vec![Arc::new(given)], Arc::new(Tags::new()))
        }
        (kind, None) => {
            let message = format!("the {kind} must be given metrics: `metrics`, as line protocol");
            return Err(ApiError::bad_request(message));
        }
    };
    put.push(wanted);
    let change = Change {
        put,
        remove: Vec::new(),
        agent: api.controller.agent().0,
        global_tags,
        lenient: BTreeSet::new(),
    };
    // In a task of its own: it runs to its end even if the client goes away, and is then stopped.
    let group = api.group.group("try");
    let running = api.controller.engine();
    let engine = Engine::new(
        &group,
        Arc::new(given::registry(running.registry())),
        Arc::clone(running.environment()),
        States::default(),
    );
    let parent = group.clone();
    let tried = group.spawn("round", async move {
        match kind {
            Kind::Output => written(&engine, &change).await,
            _ => collected(&parent, &engine, &change).await,
        }
    });
    let tried = tried.map_err(|_| ChangeError::Stopping)?.join().await;
    Ok(Json(tried.done().ok_or(ChangeError::Stopping)??))
}

/// What passes to the outputs' place.
async fn collected(
    parent: &muster_tasks::Group,
    engine: &Engine,
    change: &Change,
) -> Result<TriedView, Vec<Refusal>> {
    let round = Engine::collect_once(parent, engine, change, TRY_SERVICE, END_WITHIN).await?;
    let mut lines = Vec::new();
    line_protocol::Writer::default().write_all(round.metrics.iter(), &mut lines);
    Ok(TriedView {
        metrics: String::from_utf8_lossy(&lines).into_owned(),
        written: 0,
        errors: failures(round.inputs.iter().map(|(_, input)| input)),
    })
}

/// What the outputs wrote.
async fn written(engine: &Engine, change: &Change) -> Result<TriedView, Vec<Refusal>> {
    let round = engine
        .write_once(change, Duration::ZERO, END_WITHIN)
        .await?;
    let components = engine.observe();
    let outputs = || {
        let observed = components
            .iter()
            .map(|c| (c.definition.kind(), &c.observed));
        observed.filter_map(|(kind, observed)| (kind == Kind::Output).then_some(observed))
    };
    let mut errors = failures(outputs());
    let left: usize = round.stopped.unwritten.iter().map(|(_, left)| left).sum();
    if left > 0 {
        errors.push(format!("{left} metrics were not written"));
    }
    Ok(TriedView {
        metrics: String::new(),
        written: outputs().map(|observed| observed.metrics).sum(),
        errors,
    })
}

fn failures<'a>(observed: impl Iterator<Item = &'a Observed>) -> Vec<String> {
    let last = |observed: &Observed| observed.last_error.as_ref().map(|e| e.message.clone());
    observed.filter_map(last).collect()
}
