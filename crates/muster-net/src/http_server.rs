//! An HTTP server on a listener: each connection is a task of the caller.

mod timed;

use std::future::Future;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Response, StatusCode, header};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use muster_tasks::Ctx;
use tokio::sync::Semaphore;

use crate::{BodyError, Listening, Stream};
use timed::Timed;

/// A request. Its body is read with [`read_body`].
pub type Request = http::Request<Incoming>;

/// An answer.
pub type Answer = Response<Full<Bytes>>;

/// Bounds of a server.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// How long a request's head may take, also the first byte of it on an idle connection.
    pub read_timeout: Duration,
    /// How long the client may take no byte of an answer.
    pub write_timeout: Duration,
    /// How many connections may be open; more wait to be accepted.
    pub connections: usize,
}

impl Default for Limits {
    fn default() -> Self {
        let timeout = Duration::from_secs(10);
        Self {
            read_timeout: timeout,
            write_timeout: timeout,
            connections: 1024,
        }
    }
}

/// Serves HTTP/1.1 until the task is cancelled: then no connection is accepted any more, idle ones
/// are closed and requests at hand are answered. Returns when all connections have ended; the
/// task's grace period bounds that.
///
/// Every connection is a task below `cx`, so that whatever becomes of this future, all of them end
/// with the caller's task.
pub async fn serve<H, F>(cx: &Ctx, listening: &Listening, limits: Limits, handler: H)
where
    H: Fn(Request) -> F + Clone + Send + Sync + 'static,
    F: Future<Output = Answer> + Send + 'static,
{
    let connections = cx.group().group("connections");
    let places = Arc::new(Semaphore::new(
        limits.connections.clamp(1, Semaphore::MAX_PERMITS),
    ));
    let handshake = listening.handshake();
    let mut failures = 0u32;
    loop {
        let accept = async {
            let place = Arc::clone(&places).acquire_owned().await;
            let place = place.map_err(|_| io::Error::from(io::ErrorKind::BrokenPipe))?;
            Ok::<_, io::Error>((listening.accept().await?, place))
        };
        let accepted = tokio::select! {
            accepted = accept => accepted,
            _ = cx.cancelled() => break,
        };
        let (accepted, place) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!(%error, "a connection could not be accepted");
                failures += 1;
                let pause = Duration::from_millis(50 << failures.min(5));
                tokio::select! {
                    () = tokio::time::sleep(pause) => continue,
                    _ = cx.cancelled() => break,
                }
            }
        };
        failures = 0;
        let (handler, handshake) = (handler.clone(), handshake.clone());
        let task = connections.go_cx(format!("http {}", accepted.peer), move |cx| async move {
            let stream = tokio::select! {
                stream = handshake(accepted.stream) => stream,
                _ = cx.cancelled() => return,
            };
            match stream {
                Ok(stream) => serve_connection(&cx, stream, limits, handler).await,
                Err(error) => {
                    tracing::debug!(peer = %accepted.peer, %error, "TLS handshake failed");
                }
            }
            drop(place);
        });
        if task.is_err() {
            break; // The group is closed: we are stopping.
        }
    }
    connections.cancel("the server stops");
    connections.wait().await;
}

async fn serve_connection<H, F>(cx: &Ctx, stream: Stream, limits: Limits, handler: H)
where
    H: Fn(Request) -> F,
    F: Future<Output = Answer>,
{
    let io = TokioIo::new(Timed::new(stream, limits.write_timeout));
    let service = service_fn(|request| {
        let answer = handler(request);
        async move { Ok::<_, std::convert::Infallible>(answer.await) }
    });
    let timeout = (!limits.read_timeout.is_zero()).then_some(limits.read_timeout);
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(timeout)
        .max_buf_size(64 << 10)
        .serve_connection(io, service);
    let mut connection = std::pin::pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        _ = cx.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "a connection ended early");
    }
}

/// Reads and decompresses a request's body: at most `limit` bytes, as sent and after
/// decompression, within `timeout`.
///
/// # Errors
/// See [`BodyError`], which knows the status to answer with.
pub async fn read_body(
    request: Request,
    limit: usize,
    timeout: Duration,
) -> Result<Vec<u8>, BodyError> {
    crate::body::read_request(request, limit, timeout).await
}

/// An answer without a body.
pub fn empty(status: StatusCode) -> Answer {
    let mut answer = Response::new(Full::default());
    *answer.status_mut() = status;
    answer
}

/// An answer with a text.
pub fn text(status: StatusCode, body: impl Into<String>) -> Answer {
    with_type(
        status,
        "text/plain; charset=utf-8",
        body.into().into_bytes(),
    )
}

/// An answer with JSON.
pub fn json(status: StatusCode, body: impl Into<String>) -> Answer {
    with_type(status, "application/json", body.into().into_bytes())
}

/// An answer with a body of that media type.
pub fn with_type(status: StatusCode, media_type: &'static str, body: Vec<u8>) -> Answer {
    let mut answer = Response::new(Full::new(Bytes::from(body)));
    *answer.status_mut() = status;
    let value = header::HeaderValue::from_static(media_type);
    answer.headers_mut().insert(header::CONTENT_TYPE, value);
    answer
}

/// The value of a parameter in a URL's query, decoded.
pub fn query_value(query: &str, name: &str) -> Option<String> {
    query_pairs(query)
        .find(|(key, _)| key == name)
        .map(|(_, value)| value)
}

/// The parameters of a URL's query, decoded, in order.
pub fn query_pairs(query: &str) -> impl Iterator<Item = (String, String)> + '_ {
    query
        .split('&')
        .filter(|pair| !pair.is_empty())
        .map(|pair| {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            (decode(key), decode(value))
        })
}

fn decode(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        at += 1;
        let digit = |at: usize| bytes.get(at).and_then(|b| char::from(*b).to_digit(16));
        match (byte, digit(at), digit(at + 1)) {
            (b'%', Some(high), Some(low)) => {
                out.push((high * 16 + low) as u8);
                at += 2;
            }
            (b'+', ..) => out.push(b' '),
            _ => out.push(byte),
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_queries() {
        let query = "db=my+db&rp=%C3%A4&empty&bad=%zz&db=second";
        assert_eq!(query_value(query, "db").as_deref(), Some("my db"));
        assert_eq!(query_value(query, "rp").as_deref(), Some("ä"));
        assert_eq!(query_value(query, "empty").as_deref(), Some(""));
        assert_eq!(query_value(query, "bad").as_deref(), Some("%zz"));
        assert_eq!(query_value(query, "none"), None);
    }
}
