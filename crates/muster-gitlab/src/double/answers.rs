//! Answers.

use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode, header};
use http_body_util::Full;
use serde_json::{Value, json};

pub(super) type Answer = Response<Full<Bytes>>;

pub(super) fn of_json(status: u16, body: &Value) -> Answer {
    let mut answer = Response::new(Full::new(Bytes::from(body.to_string())));
    *answer.status_mut() = StatusCode::from_u16(status).unwrap_or_default();
    let json = HeaderValue::from_static("application/json");
    answer.headers_mut().insert(header::CONTENT_TYPE, json);
    answer
}

pub(super) fn message(status: u16, text: &str) -> Answer {
    of_json(status, &json!({ "message": text }))
}

pub(super) fn empty(status: u16) -> Answer {
    let mut answer = Response::new(Full::default());
    *answer.status_mut() = StatusCode::from_u16(status).unwrap_or_default();
    answer
}

pub(super) fn text(status: u16, body: String) -> Answer {
    let mut answer = Response::new(Full::new(Bytes::from(body)));
    *answer.status_mut() = StatusCode::from_u16(status).unwrap_or_default();
    let plain = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
    answer.headers_mut().insert(header::CONTENT_TYPE, plain);
    answer
}

pub(super) fn with(mut answer: Answer, name: &'static str, value: &str) -> Answer {
    if let Ok(value) = HeaderValue::from_str(value) {
        answer.headers_mut().insert(name, value);
    }
    answer
}

pub(super) fn not_found(what: &str) -> Answer {
    message(404, &format!("404 {what} Not Found"))
}

pub(super) fn forbidden() -> Answer {
    message(403, "403 Forbidden")
}

pub(super) fn insufficient_scope(wanted: &str) -> Answer {
    let body = json!({
        "error": "insufficient_scope",
        "error_description":
            "The request requires higher privileges than provided by the access token.",
        "scope": wanted,
    });
    of_json(403, &body)
}

pub(super) fn too_many(seconds: u64) -> Answer {
    let answer = text(429, "Retry later\n".to_owned());
    with(answer, "retry-after", &seconds.to_string())
}
