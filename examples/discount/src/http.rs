//! As much HTTP as the services need: every connection is a task, and a request is a future without one.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Empty, Full};
use hyper::body::Incoming;
use hyper::{Request, StatusCode, header};
use hyper_util::rt::TokioIo;
use muster_tasks::{AwaitLabel, Group};
use tokio::net::{TcpListener, TcpStream};

/// An answer.
pub type Response = hyper::Response<Full<Bytes>>;

/// So many connections to a service at a time; who comes then waits to be accepted.
const MOST_CONNECTIONS: usize = 256;

/// Serves GET requests until the group is stopped; the handler gets the path with the query. Returns where it listens.
///
/// # Errors
/// If it cannot listen there, or the group takes no more tasks.
pub async fn serve<H, F>(group: &Group, address: SocketAddr, handler: H) -> io::Result<SocketAddr>
where
    H: Fn(String) -> F + Clone + Send + Sync + 'static,
    F: Future<Output = Response> + Send + 'static,
{
    let listener = TcpListener::bind(address).await?;
    let address = listener.local_addr()?;
    let connections = group.builder("connections").limit(MOST_CONNECTIONS).build();
    let accept = async move {
        loop {
            let Ok((stream, _)) = listener.accept().at("accepting").await else {
                // The process has no file descriptor left: some connection has to end first.
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            };
            let connection = connection(stream, handler.clone());
            let connection = connections.spawn_wait("connection", connection).await;
            if connection.is_err() {
                return;
            }
        }
    };
    group.go("accept", accept).map_err(io::Error::other)?;
    Ok(address)
}

async fn connection<H, F>(stream: TcpStream, handler: H)
where
    H: Fn(String) -> F,
    F: Future<Output = Response>,
{
    let service = hyper::service::service_fn(|request: Request<Incoming>| {
        let answer = handler(request.uri().to_string());
        async move { Ok::<_, Infallible>(answer.await) }
    });
    // A client that hangs up early is none of our business.
    let _ = hyper::server::conn::http1::Builder::new()
        .serve_connection(TokioIo::new(stream), service)
        .at("serving")
        .await;
}

/// An answer with a text.
#[must_use]
pub fn text(status: StatusCode, body: impl Into<Bytes>) -> Response {
    let mut answer = Response::new(Full::new(body.into()));
    *answer.status_mut() = status;
    answer
}

/// Why a request got no answer.
#[derive(Debug, thiserror::Error)]
pub enum GetError {
    /// No connection.
    #[error("failed to connect to {0}: {1}")]
    Connect(SocketAddr, io::Error),
    /// The path cannot be asked for.
    #[error("failed to write the request: {0}")]
    Request(#[from] hyper::http::Error),
    /// The connection broke.
    #[error("failed to talk to the server: {0}")]
    Http(#[from] hyper::Error),
    /// Another status than 200.
    #[error("failed to get an answer: status {0}")]
    Status(StatusCode),
}

/// Asks once, on a connection of its own, which is closed when the future is done or dropped.
///
/// # Errors
/// [`GetError`].
pub async fn get(address: SocketAddr, target: &str) -> Result<Bytes, GetError> {
    let stream = TcpStream::connect(address).await;
    let stream = stream.map_err(|error| GetError::Connect(address, error))?;
    let request = Request::get(target)
        .header(header::HOST, "localhost")
        .body(Empty::<Bytes>::new())?;
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    let ask = async move {
        let answer = sender.send_request(request).await?;
        let status = answer.status();
        let body = answer.into_body().collect().await?.to_bytes();
        if status == StatusCode::OK {
            Ok(body)
        } else {
            Err(GetError::Status(status))
        }
    };
    // The connection ends when the sender is gone.
    tokio::join!(ask, connection).0
}
