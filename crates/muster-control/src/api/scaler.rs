//! The scaler: how it stands, what it decided and why, and an operator's drains.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, Query, State};
use http::StatusCode;
use muster_scaler::{Controller, Records, Scalers, Status};
use muster_scaler_core::{Decision, ServerName, Time};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::Api;
use super::error::{ApiError, ErrorBody};

/// A scaler that runs.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct ScalerView {
    /// The component's ID.
    pub id: String,
    /// How it stands: its mode, lease, servers, providers, counts, alarms and last decision.
    #[schema(value_type = Object)]
    pub status: Arc<Status>,
}

/// A decision and why it was made.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct DecisionView {
    /// The component's ID.
    pub id: String,
    /// All of it, as it is recorded.
    #[schema(value_type = Object)]
    pub decision: Arc<Decision>,
    /// The same for people.
    pub text: String,
}

/// What was asked for is begun.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct OrderedView {
    /// The server.
    pub server: String,
}

/// Which decision.
#[derive(Clone, Debug, Default, Deserialize, IntoParams)]
pub(super) struct DecisionQuery {
    /// The last one at or before this time, in milliseconds since 1970; the last of all if not given.
    #[serde(default)]
    pub at: Option<i64>,
}

/// The scalers that run.
#[utoipa::path(get, path = "/api/v1/scaler", tag = "scaler",
    responses((status = 200, body = Vec<ScalerView>)))]
pub(super) async fn list(State(api): State<Api>) -> Json<Vec<ScalerView>> {
    let all = api.scalers().all().into_iter();
    let view = |(id, controller): (String, Arc<Controller>)| ScalerView {
        id,
        status: Arc::clone(&controller.status().borrow()),
    };
    Json(all.map(view).collect())
}

/// A decision of a scaler: the last, or what was recorded at a time.
#[utoipa::path(get, path = "/api/v1/scaler/{id}/decision", tag = "scaler",
    params(("id" = String, Path), DecisionQuery),
    responses((status = 200, body = DecisionView), (status = 404, body = ErrorBody)))]
pub(super) async fn decision(
    State(api): State<Api>,
    Path(id): Path<String>,
    Query(query): Query<DecisionQuery>,
) -> Result<Json<DecisionView>, ApiError> {
    let controller = api.scaler(&id)?;
    let decision = match query.at {
        None => controller.status().borrow().decision.clone(),
        Some(at) => recorded(&api, controller, Time::from_millis(at)).await?,
    };
    let none = || ApiError::not_found("no decision is recorded of that time".to_owned());
    let decision = decision.ok_or_else(none)?;
    let text = decision.explained();
    Ok(Json(DecisionView { id, decision, text }))
}

/// Drains a server: it takes no new jobs and goes when it has none. It does not come back by itself.
#[utoipa::path(post, path = "/api/v1/scaler/{id}/servers/{server}/drain", tag = "scaler",
    params(("id" = String, Path), ("server" = String, Path)),
    responses((status = 200, body = OrderedView), (status = 404, body = ErrorBody), (status = 409, body = ErrorBody)))]
pub(super) async fn drain(
    State(api): State<Api>,
    Path((id, server)): Path<(String, String)>,
) -> Result<Json<OrderedView>, ApiError> {
    let (controller, name) = api.server(&id, server)?;
    let ordered = controller.drain(&name).await;
    ordered.map_err(|error| refused(format!("failed to drain {name}: {error}")))?;
    Ok(Json(OrderedView { server: name.0 }))
}

/// Takes a drain back: the server takes jobs again.
#[utoipa::path(post, path = "/api/v1/scaler/{id}/servers/{server}/undrain", tag = "scaler",
    params(("id" = String, Path), ("server" = String, Path)),
    responses((status = 200, body = OrderedView), (status = 404, body = ErrorBody), (status = 409, body = ErrorBody)))]
pub(super) async fn undrain(
    State(api): State<Api>,
    Path((id, server)): Path<(String, String)>,
) -> Result<Json<OrderedView>, ApiError> {
    let (controller, name) = api.server(&id, server)?;
    let ordered = controller.undrain(&name).await;
    ordered.map_err(|error| refused(format!("failed to undrain {name}: {error}")))?;
    Ok(Json(OrderedView { server: name.0 }))
}

/// The last decision at or before a time, as it was recorded. Reads files.
async fn recorded(
    api: &Api,
    controller: Arc<Controller>,
    at: Time,
) -> Result<Option<Arc<Decision>>, ApiError> {
    let unread = |why: &dyn std::fmt::Display| {
        let message = format!("failed to read the records: {why}");
        ApiError::new(StatusCode::INTERNAL_SERVER_ERROR, "store", message)
    };
    let read = move |_| Records::at(controller.state(), at);
    let handle = api.group.spawn_blocking("read records", read);
    let found = handle.map_err(|why| unread(&why))?.join().await;
    let found = found.into_result().map_err(|why| unread(&why))?;
    let found = found.map_err(|why| unread(&why))?;
    Ok(found.map(|recorded| Arc::new(recorded.decision)))
}

fn refused(message: String) -> ApiError {
    ApiError::new(StatusCode::CONFLICT, "conflict", message)
}

impl Api {
    fn scalers(&self) -> Arc<Scalers> {
        self.controller.engine().shared()
    }

    fn scaler(&self, id: &str) -> Result<Arc<Controller>, ApiError> {
        let mut all = self.scalers().all().into_iter();
        let found = all.find(|(there, _)| there == id);
        let none = || ApiError::not_found(format!("no scaler {id:?} runs"));
        found.map(|(_, controller)| controller).ok_or_else(none)
    }

    fn server(&self, id: &str, name: String) -> Result<(Arc<Controller>, ServerName), ApiError> {
        let controller = self.scaler(id)?;
        let name = ServerName(name);
        if !controller.desk().ledger().servers.contains_key(&name) {
            return Err(ApiError::not_found(format!("there is no server {name}")));
        }
        Ok((controller, name))
    }
}
