//! Components: list, show, add, set, pause, resume, remove.

use axum::Json;
use axum::extract::{Path, Query, State};
use http::StatusCode;
use muster_plugin::{ComponentId, Kind};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::{IntoParams, ToSchema};

use super::error::{ApiError, ErrorBody};
use super::views::{AppliedView, ComponentView};
use super::{Api, AppJson, instances};
use crate::change::{Request, Step, definition};

/// A component to add or set.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ComponentBody {
    /// The ID; in the path when an existing one is set.
    #[serde(default)]
    pub id: Option<String>,
    /// The plugin; may be left out when only options are changed.
    #[serde(default)]
    pub plugin: Option<String>,
    /// The options, as in a configuration file.
    #[serde(default)]
    #[schema(value_type = Object)]
    pub options: Map<String, Value>,
}

/// How a change is made.
#[derive(Clone, Debug, Default, Deserialize, IntoParams)]
pub(super) struct ChangeQuery {
    /// The generation that the change is made for.
    #[serde(default)]
    pub base: Option<u64>,
    /// Only say what it would do.
    #[serde(default)]
    pub dry_run: bool,
    /// What for; kept in the history.
    #[serde(default)]
    pub message: Option<String>,
}

impl ChangeQuery {
    pub(super) fn request(self, steps: Vec<Step>) -> Request {
        let message = self.message.unwrap_or_default();
        Request {
            steps,
            base: self.base,
            dry_run: self.dry_run,
            by: "api",
            message,
        }
    }
}

pub(super) fn kind_of(text: &str) -> Result<Kind, ApiError> {
    let unknown = || {
        let kinds = Kind::ALL.map(Kind::plural).join(", ");
        ApiError::not_found(format!("there is no kind {text:?}; there are {kinds}"))
    };
    text.parse().map_err(|()| unknown())
}

/// Lists the components of a kind.
#[utoipa::path(get, path = "/api/v1/{kind}", tag = "components",
    params(("kind" = String, Path, description = "inputs, processors, aggregators, outputs, checks or publishers")),
    responses((status = 200, body = Vec<ComponentView>), (status = 404, body = ErrorBody)))]
pub(super) async fn list(
    State(api): State<Api>,
    Path(kind): Path<String>,
) -> Result<Json<Vec<ComponentView>>, ApiError> {
    let kind = kind_of(&kind)?;
    let engine = api.controller.engine();
    let components = engine.observe();
    let of_kind = components.iter().filter(|c| c.definition.id.kind == kind);
    let mut views: Vec<_> = of_kind
        .map(|c| ComponentView::of(c, engine.registry()))
        .collect();
    instances::add_to(&mut views, &engine.shared());
    Ok(Json(views))
}

/// Shows one component.
#[utoipa::path(get, path = "/api/v1/{kind}/{id}", tag = "components",
    params(("kind" = String, Path), ("id" = String, Path)),
    responses((status = 200, body = ComponentView), (status = 404, body = ErrorBody)))]
pub(super) async fn show(
    State(api): State<Api>,
    Path((kind, id)): Path<(String, String)>,
) -> Result<Json<ComponentView>, ApiError> {
    let id = ComponentId::new(kind_of(&kind)?, id);
    let engine = api.controller.engine();
    let component = engine
        .observe_one(&id)
        .ok_or_else(|| ApiError::not_found(format!("there is no {id}")))?;
    let mut view = ComponentView::of(&component, engine.registry());
    instances::add_whole(&mut view, &engine.shared());
    Ok(Json(view))
}

/// Adds a component; refused if its ID exists.
#[utoipa::path(post, path = "/api/v1/{kind}", tag = "components", request_body = ComponentBody,
    params(("kind" = String, Path), ChangeQuery),
    responses((status = 201, body = AppliedView), (status = 409, body = ErrorBody), (status = 422, body = ErrorBody)))]
pub(super) async fn add(
    State(api): State<Api>,
    Path(kind): Path<String>,
    Query(query): Query<ChangeQuery>,
    AppJson(body): AppJson<ComponentBody>,
) -> Result<(StatusCode, Json<AppliedView>), ApiError> {
    let kind = kind_of(&kind)?;
    let missing = |what| ApiError::bad_request(format!("`{what}` is missing"));
    let id = body.id.ok_or_else(|| missing("id"))?;
    let plugin = body.plugin.ok_or_else(|| missing("plugin"))?;
    let new = definition(kind, &id, &plugin, &body.options).map_err(ApiError::bad_request)?;
    let applied = api
        .apply(query.request(vec![Step::Add(Box::new(new))]))
        .await?;
    let status = if applied.dry_run {
        StatusCode::OK
    } else {
        StatusCode::CREATED
    };
    Ok((status, applied))
}

/// Sets a component's whole definition; adds it if it is not there.
#[utoipa::path(put, path = "/api/v1/{kind}/{id}", tag = "components", request_body = ComponentBody,
    params(("kind" = String, Path), ("id" = String, Path), ChangeQuery),
    responses((status = 200, body = AppliedView), (status = 422, body = ErrorBody)))]
pub(super) async fn put(
    State(api): State<Api>,
    Path((kind, id)): Path<(String, String)>,
    Query(query): Query<ChangeQuery>,
    AppJson(body): AppJson<ComponentBody>,
) -> Result<Json<AppliedView>, ApiError> {
    let kind = kind_of(&kind)?;
    if body.id.as_ref().is_some_and(|other| *other != id) {
        return Err(ApiError::bad_request(
            "the `id` in the body is not the one in the path",
        ));
    }
    let known = api
        .controller
        .definition(&ComponentId::new(kind, id.as_str()));
    let plugin = body.plugin.or_else(|| known.map(|d| d.plugin.clone()));
    let plugin = plugin.ok_or_else(|| ApiError::bad_request("`plugin` is missing"))?;
    let new = definition(kind, &id, &plugin, &body.options).map_err(ApiError::bad_request)?;
    api.apply(query.request(vec![Step::Put(Box::new(new))]))
        .await
}

/// Changes some options of a component; `null` removes an option, and a dot in a name leads into a
/// sub-table: `{"tags.dc": "x"}` changes one tag.
#[utoipa::path(patch, path = "/api/v1/{kind}/{id}", tag = "components",
    request_body(content = Object, content_type = "application/json"),
    params(("kind" = String, Path), ("id" = String, Path), ChangeQuery),
    responses((status = 200, body = AppliedView), (status = 404, body = ErrorBody), (status = 422, body = ErrorBody)))]
pub(super) async fn patch(
    State(api): State<Api>,
    Path((kind, id)): Path<(String, String)>,
    Query(query): Query<ChangeQuery>,
    AppJson(options): AppJson<Map<String, Value>>,
) -> Result<Json<AppliedView>, ApiError> {
    let id = ComponentId::new(kind_of(&kind)?, id);
    api.apply(query.request(vec![Step::Patch(id, options)]))
        .await
}

/// Removes a component; refused if it is not there.
#[utoipa::path(delete, path = "/api/v1/{kind}/{id}", tag = "components",
    params(("kind" = String, Path), ("id" = String, Path), ChangeQuery),
    responses((status = 200, body = AppliedView), (status = 404, body = ErrorBody)))]
pub(super) async fn remove(
    State(api): State<Api>,
    Path((kind, id)): Path<(String, String)>,
    Query(query): Query<ChangeQuery>,
) -> Result<Json<AppliedView>, ApiError> {
    let id = ComponentId::new(kind_of(&kind)?, id);
    api.apply(query.request(vec![Step::Remove(id)])).await
}

/// Lets a component rest. An output goes on collecting metrics in its queue.
#[utoipa::path(post, path = "/api/v1/{kind}/{id}/pause", tag = "components",
    params(("kind" = String, Path), ("id" = String, Path), ChangeQuery),
    responses((status = 200, body = AppliedView), (status = 404, body = ErrorBody)))]
pub(super) async fn pause(
    State(api): State<Api>,
    Path((kind, id)): Path<(String, String)>,
    Query(query): Query<ChangeQuery>,
) -> Result<Json<AppliedView>, ApiError> {
    let id = ComponentId::new(kind_of(&kind)?, id);
    api.apply(query.request(vec![Step::Pause(id, true)])).await
}

/// Lets a component work again, or tries a quarantined one at once.
#[utoipa::path(post, path = "/api/v1/{kind}/{id}/resume", tag = "components",
    params(("kind" = String, Path), ("id" = String, Path), ChangeQuery),
    responses((status = 200, body = AppliedView), (status = 404, body = ErrorBody)))]
pub(super) async fn resume(
    State(api): State<Api>,
    Path((kind, id)): Path<(String, String)>,
    Query(query): Query<ChangeQuery>,
) -> Result<Json<AppliedView>, ApiError> {
    let id = ComponentId::new(kind_of(&kind)?, id);
    let paused = api
        .controller
        .definition(&id)
        .is_some_and(|definition| definition.paused);
    if !paused && api.controller.definition(&id).is_some() {
        return Ok(Json(AppliedView::of(
            &api.controller.restart(&id).await?,
            api.registry(),
        )));
    }
    api.apply(query.request(vec![Step::Pause(id, false)])).await
}
