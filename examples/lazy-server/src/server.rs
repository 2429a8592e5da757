//! The server: each connection is a task, and the work for a request is part of it.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use muster_tasks::{AwaitLabel, Group};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::Instant;

use crate::{Mood, Moods};

/// So many connections at a time; who comes then waits to be accepted.
const MOST_CONNECTIONS: usize = 256;

/// How the work for a request has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// It was answered.
    Answered,
    /// The client has closed the connection (or the server ends), and the work was dropped.
    Dropped,
}

/// What is told of each request when the work for it has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ended {
    /// How the server felt.
    pub mood: Mood,
    /// How it ended.
    pub end: End,
    /// How long it was worked for.
    pub after: Duration,
}

/// Told of each request that has ended.
type Tell = dyn Fn(Ended) + Send + Sync;

/// A server that listens.
#[derive(Debug)]
pub struct Server {
    address: SocketAddr,
    connections: Group,
}

impl Server {
    /// Listens, and answers until the group is stopped. `tell` hears of each request when it has ended.
    ///
    /// # Errors
    /// If it cannot listen there, or the group takes no more tasks.
    pub async fn start(
        group: &Group,
        address: SocketAddr,
        moods: Moods,
        tell: impl Fn(Ended) + Send + Sync + 'static,
    ) -> io::Result<Self> {
        let listener = TcpListener::bind(address).await?;
        let address = listener.local_addr()?;
        let connections = group.builder("connections").limit(MOST_CONNECTIONS).build();
        let (moods, tell): (_, Arc<Tell>) = (Arc::new(moods), Arc::new(tell));
        let accept = accept(listener, connections.clone(), moods, tell);
        group.go("accept", accept).map_err(io::Error::other)?;
        Ok(Self {
            address,
            connections,
        })
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// How many connections are open.
    #[must_use]
    pub fn open(&self) -> usize {
        self.connections.count()
    }
}

async fn accept(listener: TcpListener, connections: Group, moods: Arc<Moods>, tell: Arc<Tell>) {
    loop {
        let Ok((stream, _)) = listener.accept().at("accepting").await else {
            // The process has no file descriptor left: some connection has to end first.
            tokio::time::sleep(Duration::from_millis(100)).await;
            continue;
        };
        let connection = serve(stream, Arc::clone(&moods), Arc::clone(&tell));
        if connections
            .spawn_wait("connection", connection)
            .await
            .is_err()
        {
            return;
        }
    }
}

/// Serves one connection. While a request is worked for, hyper watches the socket: when the client closes it, this
/// returns, and with it goes the work.
async fn serve(stream: TcpStream, moods: Arc<Moods>, tell: Arc<Tell>) {
    let service = service_fn(move |_: Request<hyper::body::Incoming>| {
        let mood = moods.draw();
        answer(mood, moods.takes(mood), Arc::clone(&tell))
    });
    // Whatever ended the connection was told by the work, if there was any.
    let _ = http1::Builder::new()
        .serve_connection(TokioIo::new(stream), service)
        .await;
}

async fn answer(
    mood: Mood,
    takes: Duration,
    tell: Arc<Tell>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let work = Work {
        mood,
        since: Instant::now(),
        end: End::Dropped,
        tell,
    };
    tokio::time::sleep(takes).at("working").await;
    Ok(work.answered())
}

/// The work for one request. It tells how it has ended when it is dropped, which happens in any case.
struct Work {
    mood: Mood,
    since: Instant,
    end: End,
    tell: Arc<Tell>,
}

impl Work {
    fn answered(mut self) -> Response<Full<Bytes>> {
        self.end = End::Answered;
        Response::new(Full::from(match self.mood {
            Mood::Quick => "here you are\n",
            Mood::Lazy => "well, here you are\n",
        }))
    }
}

impl Drop for Work {
    fn drop(&mut self) {
        (self.tell)(Ended {
            mood: self.mood,
            end: self.end,
            after: self.since.elapsed(),
        });
    }
}
