//! HTTP: connections, requests and what faults do to them.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use muster_net::http_server::query_pairs;
use muster_tasks::Ctx;
use serde_json::Value;
use tokio::net::{TcpListener, TcpStream};

use super::answers::{self, Answer};
use super::request::{Asked, Request};
use super::{Fault, Shared, routes};

/// The longest body.
const LONGEST_BODY: usize = 4 << 20;

pub(super) async fn accept(cx: &Ctx, listener: &TcpListener, shared: &Arc<Shared>) {
    let connections = cx.group().group("connections");
    while let Ok(accepted) = cx.run(listener.accept()).await {
        let (stream, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!(%error, "a connection could not be accepted");
                if cx
                    .run(tokio::time::sleep(Duration::from_millis(50)))
                    .await
                    .is_err()
                {
                    break;
                }
                continue;
            }
        };
        let shared = Arc::clone(shared);
        let served = connections.go_cx(format!("http {peer}"), move |cx| async move {
            connection(&cx, stream, peer, shared).await;
        });
        if served.is_err() {
            break;
        }
    }
    connections.cancel("the double stops");
    connections.wait().await;
}

async fn connection(cx: &Ctx, stream: TcpStream, peer: SocketAddr, shared: Arc<Shared>) {
    let service = service_fn(move |request| {
        let shared = Arc::clone(&shared);
        async move {
            // An error ends the connection without an answer.
            let answer = answer(&shared, request).await;
            answer.ok_or_else(|| io::Error::from(io::ErrorKind::ConnectionAborted))
        }
    });
    let serving = http1::Builder::new()
        .timer(TokioTimer::new())
        .serve_connection(TokioIo::new(stream), service);
    // Requests that are held would outlast any grace: the connection is simply closed.
    if let Ok(Err(error)) = cx.run(serving).await {
        tracing::debug!(%peer, %error, "a connection ended early");
    }
}

/// The answer to a request; none: the connection is to end without one.
async fn answer(shared: &Shared, request: hyper::Request<Incoming>) -> Option<Answer> {
    let (parts, body) = request.into_parts();
    let body = Limited::new(body, LONGEST_BODY).collect().await;
    let body = body
        .map(|body| body.to_bytes().to_vec())
        .unwrap_or_default();
    let path = parts.uri.path();
    if path == "/metrics" {
        return Some(answers::text(200, shared.world.lock().metrics()));
    }
    let Some(path) = path.strip_prefix("/api/v4/") else {
        return Some(web_page(404));
    };
    let query = parts.uri.query().unwrap_or_default();
    let request = Request {
        method: parts.method,
        path: path.to_owned(),
        query: query_pairs(query).collect(),
        json: read_body(&parts.headers, &body),
        headers: parts.headers,
        body,
    };
    let fault = shared
        .faults
        .lock()
        .next(request.method.as_str(), &request.path);
    let answer = with_fault(shared, &request, fault).await;
    shared.log.lock().note(Asked {
        method: request.method.to_string(),
        path: request.path,
        query: query.to_owned(),
        status: answer.as_ref().map_or(0, |answer| answer.status().as_u16()),
    });
    answer
}

async fn with_fault(shared: &Shared, request: &Request, fault: Option<Fault>) -> Option<Answer> {
    match fault {
        Some(Fault::TooMany(after)) => {
            let seconds = after.as_secs_f64().ceil() as u64;
            return Some(answers::too_many(seconds));
        }
        Some(Fault::Status(status)) => return Some(answers::message(status, "told to fail")),
        Some(Fault::Drop) => return None,
        Some(Fault::Hang) => std::future::pending::<()>().await,
        Some(Fault::Delay(time)) => tokio::time::sleep(time).await,
        Some(Fault::LoseAnswer | Fault::WebPage) | None => {}
    }
    let answer = routes::answer(shared, request).await;
    match fault {
        Some(Fault::LoseAnswer) => None,
        Some(Fault::WebPage) => Some(web_page(200)),
        _ => Some(answer),
    }
}

/// What a proxy in front of GitLab, or another program, would say.
fn web_page(status: u16) -> Answer {
    let page = "<!DOCTYPE html><html><body>Not here</body></html>";
    let mut answer = hyper::Response::new(Full::new(Bytes::from_static(page.as_bytes())));
    *answer.status_mut() = http::StatusCode::from_u16(status).unwrap_or_default();
    answers::with(answer, "content-type", "text/html")
}

/// JSON, or a form as an object of texts.
fn read_body(headers: &http::HeaderMap, body: &[u8]) -> Value {
    let kind = headers.get(http::header::CONTENT_TYPE);
    let kind = kind.and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    if kind.starts_with("application/x-www-form-urlencoded") {
        let text = String::from_utf8_lossy(body);
        let pairs = query_pairs(&text).map(|(key, value)| (key, Value::String(value)));
        return Value::Object(pairs.collect());
    }
    serde_json::from_slice(body).unwrap_or_default()
}
