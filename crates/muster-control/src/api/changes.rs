//! Whole changes, the history, differences and the way back.

use axum::Json;
use axum::extract::{Query, State};
use http::{HeaderMap, header};
use muster_config::{LoadOptions, Source, parse_text};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::{IntoParams, ToSchema};

use super::components::{ChangeQuery, kind_of};
use super::error::{ApiError, ErrorBody};
use super::views::{AppliedView, EditView, RecordView, edit_views};
use super::{Api, AppText};
use crate::change::{ChangeError, Step, definition};
use muster_plugin::ComponentId;

/// A change of any number of components, whole or not at all.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ChangeBody {
    /// The steps, in order.
    pub changes: Vec<StepBody>,
}

/// One step of a change.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct StepBody {
    /// `add`, `set`, `put` (add or set), `patch`, `remove`, `pause` or `resume`.
    pub op: String,
    /// `input`, `processor`, `aggregator` or `output`.
    pub kind: String,
    /// The component's ID.
    pub id: String,
    /// The plugin, for `add`, `set` and `put`.
    #[serde(default)]
    pub plugin: Option<String>,
    /// The options, for `add`, `set`, `put` and `patch`.
    #[serde(default)]
    #[schema(value_type = Object)]
    pub options: Map<String, Value>,
}

impl StepBody {
    fn step(self) -> Result<Step, ApiError> {
        let kind = kind_of(&self.kind)?;
        let id = ComponentId::new(kind, self.id.as_str());
        let whole = || {
            let why = format!("{id}: `plugin` is missing");
            let plugin = self
                .plugin
                .as_deref()
                .ok_or_else(|| ApiError::bad_request(why))?;
            let definition = definition(kind, &self.id, plugin, &self.options);
            definition.map(Box::new).map_err(ApiError::bad_request)
        };
        Ok(match self.op.as_str() {
            "add" => Step::Add(whole()?),
            "set" => Step::Set(whole()?),
            "put" => Step::Put(whole()?),
            "patch" => Step::Patch(id, self.options),
            "remove" => Step::Remove(id),
            "pause" => Step::Pause(id, true),
            "resume" => Step::Pause(id, false),
            other => {
                let known = "add, set, put, patch, remove, pause, resume";
                return Err(ApiError::bad_request(format!(
                    "unknown op {other:?}; there are {known}"
                )));
            }
        })
    }
}

/// Makes a change of any number of components, whole or not at all. A body of the type
/// `application/toml` is a configuration file: its components are added or set; nothing is removed.
#[utoipa::path(post, path = "/api/v1/changes", tag = "changes", request_body = ChangeBody,
    params(ChangeQuery),
    responses((status = 200, body = AppliedView), (status = 409, body = ErrorBody), (status = 422, body = ErrorBody)))]
pub(super) async fn apply(
    State(api): State<Api>,
    Query(query): Query<ChangeQuery>,
    headers: HeaderMap,
    AppText(body): AppText,
) -> Result<Json<AppliedView>, ApiError> {
    let media_type = headers
        .get(header::CONTENT_TYPE)
        .and_then(|v| v.to_str().ok());
    let steps = if media_type.is_some_and(|t| t.contains("toml")) {
        let engine = api.controller.engine();
        let name = headers
            .get("x-file-name")
            .and_then(|v| v.to_str().ok())
            .unwrap_or("request");
        let options = LoadOptions::default();
        let environment = engine.environment().as_ref();
        let loaded = parse_text(name, &body, &options, engine.registry(), environment)
            .map_err(ChangeError::Invalid)?;
        let put = |mut definition: muster_config::Definition| {
            definition.source = Source::Api;
            definition.position = 0;
            Step::Put(Box::new(definition))
        };
        loaded.config.definitions.into_iter().map(put).collect()
    } else {
        let body: ChangeBody = serde_json::from_str(&body)
            .map_err(|error| ApiError::bad_request(format!("the body is no change: {error}")))?;
        body.changes
            .into_iter()
            .map(StepBody::step)
            .collect::<Result<_, _>>()?
    };
    api.apply(query.request(steps)).await
}

/// Which part of the history.
#[derive(Clone, Debug, Deserialize, IntoParams)]
pub(super) struct HistoryQuery {
    /// At most so many changes; 50 if not given, 1000 at most.
    #[serde(default)]
    pub limit: Option<usize>,
    /// None after this generation.
    #[serde(default)]
    pub before: Option<u64>,
}

/// The changes, the latest first.
#[utoipa::path(get, path = "/api/v1/history", tag = "changes", params(HistoryQuery),
    responses((status = 200, body = Vec<RecordView>)))]
pub(super) async fn history(
    State(api): State<Api>,
    Query(query): Query<HistoryQuery>,
) -> Result<Json<Vec<RecordView>>, ApiError> {
    let most = query.limit.unwrap_or(50).min(1000);
    let records = api
        .controller
        .history(query.before.unwrap_or(u64::MAX), most)
        .await?;
    Ok(Json(
        records
            .iter()
            .map(|record| RecordView::of(record, api.registry()))
            .collect(),
    ))
}

/// Two generations.
#[derive(Clone, Debug, Deserialize, IntoParams)]
pub(super) struct DiffQuery {
    /// From this one.
    pub from: u64,
    /// To this one; the present one if not given.
    #[serde(default)]
    pub to: Option<u64>,
}

/// How two generations differ.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct DiffView {
    /// From this generation.
    pub from: u64,
    /// To this one.
    pub to: u64,
    /// What lies between.
    pub edits: Vec<EditView>,
}

/// How two generations differ.
#[utoipa::path(get, path = "/api/v1/diff", tag = "changes", params(DiffQuery),
    responses((status = 200, body = DiffView), (status = 404, body = ErrorBody)))]
pub(super) async fn diff(
    State(api): State<Api>,
    Query(query): Query<DiffQuery>,
) -> Result<Json<DiffView>, ApiError> {
    let to = query.to.unwrap_or_else(|| api.controller.generation());
    let difference = api.controller.difference(query.from, to).await?;
    let edits = edit_views(&difference.edits, api.registry());
    Ok(Json(DiffView {
        from: difference.from,
        to: difference.to,
        edits,
    }))
}

/// Where to go back to.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RollbackBody {
    /// The generation whose definitions are wanted again.
    pub generation: u64,
    /// Only say what it would do.
    #[serde(default)]
    pub dry_run: bool,
}

/// Makes the definitions what they were at a generation, as a new change.
#[utoipa::path(post, path = "/api/v1/rollback", tag = "changes", request_body = RollbackBody,
    responses((status = 200, body = AppliedView), (status = 404, body = ErrorBody)))]
pub(super) async fn rollback(
    State(api): State<Api>,
    super::AppJson(body): super::AppJson<RollbackBody>,
) -> Result<Json<AppliedView>, ApiError> {
    let applied = api
        .controller
        .rollback(body.generation, body.dry_run)
        .await?;
    Ok(Json(AppliedView::of(&applied, api.registry())))
}
