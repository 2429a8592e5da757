//! The agent's tasks and profiles: the pages of [`muster_tasks::debug`].

use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::response::Response;
use http::{Uri, header};
use muster_tasks::debug;
use serde_json::Value;
use utoipa::IntoParams;

use super::Api;

/// The page whose answer may take as long as it is asked to.
pub(super) const SLOW_PAGE: &str = "/debug/pprof/profile";

/// Which tasks to show, and how.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "it describes what muster-tasks reads")]
struct TasksQuery {
    /// `text` (default) or `json`.
    format: Option<String>,
    /// Only tasks of the group with this path, or below it.
    group: Option<String>,
    /// Only tasks in this state: spawned, waiting, polling, blocking, cancelled, aborting.
    state: Option<String>,
    /// Only tasks that have lived so long: seconds, or a number with s, m or h.
    min_age: Option<String>,
    /// At most this many.
    limit: Option<usize>,
}

/// How to show counts.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "it describes what muster-tasks reads")]
struct GroupsQuery {
    /// `text` (default) or `json`.
    format: Option<String>,
}

/// Which form of the goroutine profile.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "it describes what muster-tasks reads")]
struct GoroutineQuery {
    /// 0 (default): binary; 1: counts as text; 2: each task as text.
    debug: Option<u32>,
    /// At most this many tasks of the last form.
    limit: Option<usize>,
}

/// For how long to take samples.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "it describes what muster-tasks reads")]
struct ProfileQuery {
    /// Seconds, at most 300; default 30.
    seconds: Option<u64>,
}

/// Tasks that leak, or seem to: the line that spawned them, how many, and why they are held to.
#[utoipa::path(get, path = "/api/v1/leaks", tag = "agent",
    responses((status = 200, body = Vec<Object>)))]
pub(super) async fn leaks(State(api): State<Api>) -> Json<Value> {
    // Names, numbers and texts: nothing of it can fail to be JSON.
    Json(serde_json::to_value(&*api.leaks.findings()).unwrap_or_default())
}

/// The tree of tasks: name, the line that spawned it, state, age.
#[utoipa::path(get, path = "/debug/tasks", tag = "debug", params(TasksQuery),
    responses((status = 200, body = String)))]
pub(super) async fn tasks(api: State<Api>, uri: Uri) -> Response {
    page(api, uri).await
}

/// The number of tasks.
#[utoipa::path(get, path = "/debug/tasks/count", tag = "debug",
    responses((status = 200, body = String)))]
pub(super) async fn count(api: State<Api>, uri: Uri) -> Response {
    page(api, uri).await
}

/// How many tasks live of each group, name, spawn line and label.
#[utoipa::path(get, path = "/debug/tasks/groups", tag = "debug", params(GroupsQuery),
    responses((status = 200, body = String)))]
pub(super) async fn groups(api: State<Api>, uri: Uri) -> Response {
    page(api, uri).await
}

/// What profiles there are.
#[utoipa::path(get, path = "/debug/pprof/", tag = "debug",
    responses((status = 200, body = String, content_type = "text/html")))]
pub(super) async fn index(api: State<Api>, uri: Uri) -> Response {
    page(api, uri).await
}

/// The tasks as Go's goroutine profile, for `go tool pprof` and leak hunters.
#[utoipa::path(get, path = "/debug/pprof/goroutine", tag = "debug", params(GoroutineQuery),
    responses((status = 200, body = Vec<u8>, content_type = "application/octet-stream")))]
pub(super) async fn goroutine(api: State<Api>, uri: Uri) -> Response {
    page(api, uri).await
}

/// Processor time by function, sampled for some seconds.
#[utoipa::path(get, path = "/debug/pprof/profile", tag = "debug", params(ProfileQuery),
    responses((status = 200, body = Vec<u8>, content_type = "application/octet-stream"),
        (status = 501, description = "The agent is built without the feature `profiling`.")))]
pub(super) async fn profile(api: State<Api>, uri: Uri) -> Response {
    page(api, uri).await
}

/// Live memory by where it was allocated.
#[utoipa::path(get, path = "/debug/pprof/heap", tag = "debug",
    responses((status = 200, body = Vec<u8>, content_type = "application/octet-stream"),
        (status = 501, description = "The agent is built without the feature `profiling`.")))]
pub(super) async fn heap(api: State<Api>, uri: Uri) -> Response {
    page(api, uri).await
}

async fn page(State(api): State<Api>, uri: Uri) -> Response {
    let target = uri.path_and_query().map_or("/", |target| target.as_str());
    let answer = debug::handle(&api.root, target).await;
    let mut response = Response::builder()
        .status(answer.status)
        .header(header::CONTENT_TYPE, answer.content_type)
        .header(header::X_CONTENT_TYPE_OPTIONS, "nosniff");
    if let Some(disposition) = answer.content_disposition {
        response = response.header(header::CONTENT_DISPOSITION, disposition);
    }
    response.body(Body::from(answer.body)).unwrap_or_default()
}
