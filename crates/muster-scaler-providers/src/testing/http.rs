//! An HTTP server for doubles, on TCP or a unix socket, that misbehaves on request.

use std::convert::Infallible;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use bytes::Bytes;
use http::{HeaderMap, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use muster_tasks::Group;
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, UnixListener};

use super::Fault;
use super::cloud::Faults;

/// A request.
#[derive(Debug)]
pub struct Asked {
    /// The method, in capitals.
    pub method: String,
    /// The path, as it was sent.
    pub path: String,
    /// The query, decoded.
    pub query: Vec<(String, String)>,
    /// The headers.
    pub headers: HeaderMap,
    /// The body, taken for UTF-8.
    pub body: String,
}

impl Asked {
    /// A value of the query.
    pub fn query(&self, name: &str) -> Option<&str> {
        let pair = self.query.iter().find(|(key, _)| key == name);
        pair.map(|(_, value)| value.as_str())
    }

    /// A header's value, or an empty text.
    pub fn header(&self, name: &str) -> &str {
        let value = self.headers.get(name);
        value.and_then(|value| value.to_str().ok()).unwrap_or("")
    }

    /// The body as JSON; null if it is none.
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_default()
    }

    /// The parts of the path.
    pub fn parts(&self) -> Vec<&str> {
        self.path.trim_matches('/').split('/').collect()
    }
}

/// An answer.
#[derive(Clone, Debug)]
pub struct Reply {
    /// The status.
    pub status: u16,
    /// The headers.
    pub headers: Vec<(&'static str, String)>,
    /// The body.
    pub body: String,
}

impl Reply {
    /// JSON with a status.
    pub fn json(status: u16, body: &Value) -> Self {
        Self::text(status, body.to_string())
    }

    /// A text with a status.
    pub fn text(status: u16, body: impl Into<String>) -> Self {
        Self {
            status,
            headers: Vec::new(),
            body: body.into(),
        }
    }

    /// The same with a header.
    pub fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }
}

/// What a double answers.
#[async_trait]
pub trait Double: Send + Sync + 'static {
    /// What is to go wrong. Faults that concern an answer's way, not its content, happen outside of
    /// [`answer`](Self::answer).
    fn faults(&self) -> &Faults;

    /// Whether a request creates or deletes a server.
    fn changes(&self, asked: &Asked) -> bool;

    /// Carries out a request.
    async fn answer(&self, asked: &Asked) -> Reply;

    /// How too many requests are refused.
    fn rate_limited(&self) -> Reply;
}

/// Where a double is served, and how many requests are at hand.
#[derive(Clone, Debug, Default)]
pub struct Served {
    /// Where, without a slash at the end.
    pub url: String,
    at_hand: Arc<AtomicUsize>,
}

impl Served {
    /// The number of requests that are not answered yet.
    pub fn calls(&self) -> usize {
        self.at_hand.load(Ordering::Acquire)
    }
}

/// Counts a request for as long as it is at hand.
struct AtHand(Arc<AtomicUsize>);

impl AtHand {
    fn new(count: &Arc<AtomicUsize>) -> Self {
        count.fetch_add(1, Ordering::AcqRel);
        Self(Arc::clone(count))
    }
}

impl Drop for AtHand {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

/// Listens on a free port of loopback. What `make` makes of the URL is served in tasks of `group`.
pub async fn serve<D: Double>(
    group: &Group,
    make: impl FnOnce(&str) -> Arc<D>,
) -> (Served, Arc<D>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    let double = make(&url);
    let served = Served {
        url,
        at_hand: Arc::default(),
    };
    let (peers, count, answers) = (
        group.clone(),
        Arc::clone(&served.at_hand),
        Arc::clone(&double),
    );
    let accept = async move {
        while let Ok((stream, _)) = listener.accept().await {
            connect(&peers, stream, &answers, &count);
        }
    };
    group
        .go("double", accept)
        .expect("a group that takes tasks");
    (served, double)
}

/// Serves on a unix socket.
pub(super) fn serve_unix<D: Double>(group: &Group, path: &Path, double: &Arc<D>) -> Served {
    let listener = UnixListener::bind(path).expect("a unix socket");
    let served = Served {
        url: "http://localhost".to_owned(),
        at_hand: Arc::default(),
    };
    let (peers, count, answers) = (
        group.clone(),
        Arc::clone(&served.at_hand),
        Arc::clone(double),
    );
    let accept = async move {
        while let Ok((stream, _)) = listener.accept().await {
            connect(&peers, stream, &answers, &count);
        }
    };
    group
        .go("double", accept)
        .expect("a group that takes tasks");
    served
}

fn connect<D: Double>(
    group: &Group,
    stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
    double: &Arc<D>,
    count: &Arc<AtomicUsize>,
) {
    let (double, count) = (Arc::clone(double), Arc::clone(count));
    let connection = async move {
        let service = service_fn(move |request| {
            let (double, count) = (Arc::clone(&double), Arc::clone(&count));
            async move { answer(&*double, request, &count).await }
        });
        // A client that goes away is what the tests are about.
        let _ = http1::Builder::new()
            .serve_connection(TokioIo::new(stream), service)
            .await;
    };
    let _ = group.go("double's connection", connection);
}

/// The answer is lost: the connection is closed instead.
#[derive(Debug, thiserror::Error)]
#[error("the answer is lost")]
struct Lost;

async fn answer<D: Double>(
    double: &D,
    request: http::Request<Incoming>,
    count: &Arc<AtomicUsize>,
) -> Result<Response<Full<Bytes>>, Lost> {
    let (head, body) = request.into_parts();
    let body = body.collect().await.map_err(|_| Lost)?.to_bytes();
    let query = head.uri.query().unwrap_or("");
    let asked = Asked {
        method: head.method.to_string(),
        path: head.uri.path().to_owned(),
        query: form_urlencoded::parse(query.as_bytes())
            .into_owned()
            .collect(),
        headers: head.headers,
        body: String::from_utf8_lossy(&body).into_owned(),
    };
    let faults = double.faults();
    let changes = double.changes(&asked);
    let hangs = faults.take(Fault::Hang);
    // Counted only now: whoever waits for the call to be at hand finds the fault used up.
    let _at_hand = AtHand::new(count);
    if hangs {
        std::future::pending::<Infallible>().await;
    }
    if changes && faults.take(Fault::LoseRequest) {
        return Err(Lost);
    }
    let reply = if changes && faults.take(Fault::RateLimit) {
        double.rate_limited()
    } else if changes && faults.take(Fault::Echo) {
        Reply::text(400, format!("{:?} {}", asked.headers, asked.body))
    } else {
        double.answer(&asked).await
    };
    if changes && faults.take(Fault::LoseAnswer) {
        return Err(Lost);
    }
    let mut response =
        Response::builder().status(StatusCode::from_u16(reply.status).expect("a status"));
    for (name, value) in reply.headers {
        response = response.header(name, value);
    }
    Ok(response
        .body(Full::new(Bytes::from(reply.body)))
        .expect("an answer"))
}
