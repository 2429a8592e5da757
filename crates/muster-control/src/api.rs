//! The HTTP API, version 1.

mod agent;
mod changes;
mod components;
mod debug;
mod error;
mod instances;
mod scaler;
mod tasks;
mod trial;
mod views;

use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{DefaultBodyLimit, FromRequest, OptionalFromRequest, Request, State};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Extension, Json, Router};
use http::StatusCode;
use muster_tasks::{Group, LeakMonitor};
use utoipa::OpenApi;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

pub use agent::describe_plugins;
pub use changes::{ChangeBody, DiffView, RollbackBody, StepBody};
pub use components::ComponentBody;
pub use error::{ApiError, ErrorBody, Problem};
pub use instances::{InstanceView, TransitionView};
pub use scaler::{DecisionView, OrderedView, ScalerView};
pub use trial::{TriedView, TryBody};
pub use views::{AppliedView, ComponentView, EditView, QueueView, RecordView, StatusView, Trouble};

use crate::Controller;
use crate::access::{Access, Denied, Peer};
use crate::change::{Applied, ChangeError};
use crate::server::not_found;

/// The largest body that is taken.
const MOST_BODY_BYTES: usize = 8 << 20;

/// A request gets so long, but for the watching of live metrics.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(60);

/// Reads the configuration files again.
pub type ReloadFiles = Arc<
    dyn Fn() -> Pin<Box<dyn Future<Output = Result<Applied, ChangeError>> + Send>> + Send + Sync,
>;

/// What the handlers need.
#[derive(Clone)]
pub struct Api {
    /// The desired state.
    pub controller: Controller,
    /// The process's tasks.
    pub root: Group,
    /// What watches them for leaks.
    pub leaks: LeakMonitor,
    /// Where the API's own tasks live.
    pub group: Group,
    /// The state directory, to be shown.
    pub state_dir: PathBuf,
    /// Who may do what.
    pub access: Access,
    /// What reads the files again.
    pub reload: ReloadFiles,
}

impl std::fmt::Debug for Api {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Api")
            .field("state_dir", &self.state_dir)
            .finish_non_exhaustive()
    }
}

#[derive(OpenApi)]
#[openapi(info(
    title = "Muster",
    description = "Components of a metrics agent, changed while it runs.",
    license(name = "MIT OR Apache-2.0")
))]
struct Description;

impl Api {
    fn registry(&self) -> &muster_plugin::Registry {
        self.controller.engine().registry()
    }

    async fn apply(&self, request: crate::change::Request) -> Result<Json<AppliedView>, ApiError> {
        let applied = self.controller.apply(request).await?;
        Ok(Json(AppliedView::of(&applied, self.registry())))
    }

    /// The routes with everything around them.
    pub fn router(self) -> Router {
        let (router, description) = routes();
        let description = Arc::new(description);
        router
            .route(
                "/api/v1/openapi.json",
                get(move || async move { Json((*description).clone()) }),
            )
            .fallback(not_found)
            .layer(middleware::from_fn(limit_time))
            .layer(DefaultBodyLimit::max(MOST_BODY_BYTES))
            .layer(middleware::from_fn_with_state(self.clone(), check_access))
            .with_state(self)
    }
}

/// The OpenAPI document.
pub fn openapi() -> utoipa::openapi::OpenApi {
    routes().1
}

fn routes() -> (Router<Api>, utoipa::openapi::OpenApi) {
    OpenApiRouter::with_openapi(Description::openapi())
        .routes(routes!(agent::status))
        .routes(routes!(agent::plugins))
        .routes(routes!(agent::tail))
        .routes(routes!(agent::flush))
        .routes(routes!(agent::reload))
        .routes(routes!(changes::apply))
        .routes(routes!(changes::history))
        .routes(routes!(changes::diff))
        .routes(routes!(changes::rollback))
        .routes(routes!(scaler::list))
        .routes(routes!(scaler::decision))
        .routes(routes!(scaler::drain))
        .routes(routes!(scaler::undrain))
        .routes(routes!(debug::metrics))
        .routes(routes!(debug::healthz))
        .routes(routes!(debug::readyz))
        .routes(routes!(tasks::leaks))
        .routes(routes!(tasks::tasks))
        .routes(routes!(tasks::count))
        .routes(routes!(tasks::groups))
        .routes(routes!(tasks::index))
        .routes(routes!(tasks::goroutine))
        .routes(routes!(tasks::profile))
        .routes(routes!(tasks::heap))
        .routes(routes!(components::list, components::add))
        .routes(routes!(
            components::show,
            components::put,
            components::patch,
            components::remove
        ))
        .routes(routes!(components::pause))
        .routes(routes!(components::resume))
        .routes(routes!(trial::test))
        .split_for_parts()
}

async fn check_access(
    State(api): State<Api>,
    peer: Option<Extension<Peer>>,
    request: Request,
    next: Next,
) -> Response {
    // A request that came by no socket of ours has no peer; it is treated as one from far away.
    let far = Peer::Tcp(std::net::SocketAddr::from(([0, 0, 0, 0], 0)));
    let peer = peer.map_or(far, |Extension(peer)| peer);
    let (method, path, headers) = (request.method(), request.uri().path(), request.headers());
    match api.access.check(peer, method, path, headers) {
        Ok(()) => next.run(request).await,
        Err(denied) => {
            let status = match denied {
                Denied::Token | Denied::WrongToken => StatusCode::UNAUTHORIZED,
                _ => StatusCode::FORBIDDEN,
            };
            ApiError::new(status, "denied", denied.to_string()).into_response()
        }
    }
}

async fn limit_time(request: Request, next: Next) -> Response {
    if ["/api/v1/tail", tasks::SLOW_PAGE].contains(&request.uri().path()) {
        return next.run(request).await;
    }
    match muster_tasks::timeout(REQUEST_TIMEOUT, next.run(request)).await {
        Ok(response) => response,
        Err(_) => ApiError::new(StatusCode::GATEWAY_TIMEOUT, "timeout", "it took too long")
            .into_response(),
    }
}

/// A JSON body whose mistakes are told like all other errors.
pub(crate) struct AppJson<T>(pub(crate) T);

impl<S: Send + Sync, T: serde::de::DeserializeOwned> FromRequest<S> for AppJson<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &S) -> Result<Self, ApiError> {
        match <Json<T> as FromRequest<S>>::from_request(request, state).await {
            Ok(Json(value)) => Ok(Self(value)),
            Err(rejection) => Err(rejected(rejection.status(), rejection.body_text())),
        }
    }
}

/// A text body whose mistakes are told like all other errors.
pub(crate) struct AppText(pub(crate) String);

impl<S: Send + Sync> FromRequest<S> for AppText {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &S) -> Result<Self, ApiError> {
        match String::from_request(request, state).await {
            Ok(text) => Ok(Self(text)),
            Err(rejection) => Err(rejected(rejection.status(), rejection.body_text())),
        }
    }
}

impl<S: Send + Sync, T: serde::de::DeserializeOwned> OptionalFromRequest<S> for AppJson<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &S) -> Result<Option<Self>, ApiError> {
        match <Json<T> as OptionalFromRequest<S>>::from_request(request, state).await {
            Ok(value) => Ok(value.map(|Json(value)| Self(value))),
            Err(rejection) => Err(rejected(rejection.status(), rejection.body_text())),
        }
    }
}

fn rejected(status: StatusCode, why: String) -> ApiError {
    if status == StatusCode::PAYLOAD_TOO_LARGE {
        let why = format!("the body is larger than {} MiB", MOST_BODY_BYTES >> 20);
        return ApiError::new(status, "too-large", why);
    }
    ApiError::new(status, "invalid", without_text(&why))
}

/// The message without the text that stands in a wrong place: it may be a secret, and serde repeats it whole.
fn without_text(why: &str) -> String {
    let found = why.split_once("string \"");
    let found = found.and_then(|(before, rest)| Some((before, rest.rsplit_once("\", expected")?)));
    match found {
        Some((before, (_, after))) => format!("{before}a string, expected{after}"),
        None => why.to_owned(),
    }
}
