//! An HTTP client that waits no longer than it says, and leaves nothing behind when it gives up.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Empty};
use hyper::client::conn::http1;
use hyper::{Request, StatusCode, header};
use hyper_util::rt::TokioIo;
use muster_tasks::{AwaitLabel, Closed, Group, TimedOut};
use tokio::net::TcpStream;

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum GetError {
    /// The time was up; the connection is closed.
    #[error("failed to get an answer: {0}")]
    TooLate(#[from] TimedOut),
    /// No connection.
    #[error("failed to connect: {0}")]
    Connect(#[from] io::Error),
    /// Not HTTP, or the connection broke.
    #[error("failed to talk to the server: {0}")]
    Http(#[from] hyper::Error),
    /// Another status than 200.
    #[error("failed to get an answer: status {0}")]
    Status(StatusCode),
}

/// Asks once, on a connection of its own, and waits at most for the deadline.
///
/// When the time is up, the request is dropped, and the connection is a part of it: the socket is closed before this
/// returns, so that the server can see that nobody waits any more.
///
/// # Errors
/// [`GetError`].
///
/// # Cancel safety
/// Dropping the future closes the connection as the deadline does.
pub async fn get(address: SocketAddr, deadline: Duration) -> Result<Bytes, GetError> {
    muster_tasks::timeout(deadline, request(address)).await?
}

async fn request(address: SocketAddr) -> Result<Bytes, GetError> {
    let stream = TcpStream::connect(address).at("connecting").await?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    let ask = async move {
        let request = Request::get("/").header(header::HOST, "lazy-server");
        // The builder was given nothing that can be wrong.
        let request = request.body(Empty::<Bytes>::new()).unwrap_or_default();
        let answer = sender.send_request(request).await?;
        let status = answer.status();
        let body = answer.into_body().collect().await?.to_bytes();
        if status == StatusCode::OK {
            Ok(body)
        } else {
            Err(GetError::Status(status))
        }
    };
    // The connection is driven here, not in a task of its own that would go on when we give up. It ends
    // when the sender is gone.
    let (answer, _) = tokio::join!(ask.at("waiting for the answer"), connection);
    answer
}

/// What many requests came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Answers.
    pub answered: usize,
    /// Requests that were given up because the time was up.
    pub too_late: usize,
    /// Requests that failed in another way.
    pub failed: usize,
}

impl Tally {
    fn count(&mut self, answer: &Result<Bytes, GetError>) {
        match answer {
            Ok(_) => self.answered += 1,
            Err(GetError::TooLate(_)) => self.too_late += 1,
            Err(_) => self.failed += 1,
        }
    }
}

/// A load generator: so many clients at once, each asks so often, one request after another. `tell` hears of each answer.
///
/// # Errors
/// [`Closed`] if the group takes no more tasks.
pub async fn load(
    group: &Group,
    address: SocketAddr,
    clients: usize,
    requests: usize,
    deadline: Duration,
    tell: impl Fn(&Result<Bytes, GetError>) + Clone + Send + 'static,
) -> Result<Tally, Closed> {
    let mut all = group.task_set("clients");
    for number in 0..clients {
        let tell = tell.clone();
        all.spawn(format!("client-{number}"), async move {
            let mut tally = Tally::default();
            for _ in 0..requests {
                let answer = get(address, deadline).await;
                tell(&answer);
                tally.count(&answer);
            }
            tally
        })?;
    }
    let mut sum = Tally::default();
    for tally in all.collect().await.values() {
        sum.answered += tally.answered;
        sum.too_late += tally.too_late;
        sum.failed += tally.failed;
    }
    Ok(sum)
}
