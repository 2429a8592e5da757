//! What the agent tells on itself: health and metrics.

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::{StatusCode, header};
use muster_formats::PrometheusText;

use super::Api;

/// Whether the agent lives at all.
#[utoipa::path(get, path = "/healthz", tag = "debug", responses((status = 200, body = String)))]
pub(super) async fn healthz() -> &'static str {
    "ok\n"
}

/// Whether everything that is desired runs: no component is starting, backing off or quarantined.
#[utoipa::path(get, path = "/readyz", tag = "debug",
    responses((status = 200, body = String), (status = 503, body = String)))]
pub(super) async fn readyz(State(api): State<Api>) -> (StatusCode, String) {
    use muster_engine::State::{BackingOff, Quarantined};
    let components = api.controller.engine().observe();
    let waiting: Vec<String> = components
        .iter()
        .filter(|c| matches!(c.observed.state, BackingOff | Quarantined))
        .map(|c| format!("{} is {}\n", c.definition.id, c.observed.state.as_str()))
        .collect();
    if waiting.is_empty() {
        (StatusCode::OK, "ready\n".to_owned())
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, waiting.concat())
    }
}

/// The agent's own metrics for Prometheus.
#[utoipa::path(get, path = "/metrics", tag = "debug", responses((status = 200, body = String)))]
pub(super) async fn metrics(State(api): State<Api>) -> Response {
    let text = crate::own_metrics::text(&api.controller, &api.root, &api.leaks);
    ([(header::CONTENT_TYPE, PrometheusText::CONTENT_TYPE)], text).into_response()
}
