//! Peers for tests: an HTTP server that answers as told, and one that takes connections and never
//! answers.

#![expect(
    clippy::expect_used,
    reason = "a test that cannot listen on loopback fails"
)]

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use http_body_util::Full;
use muster_plugin::{ComponentId, Kind, Resources, StartContext};
use muster_tasks::Group;
use parking_lot::Mutex;
use tokio::io::AsyncReadExt;
use tokio::net::TcpListener;
use tokio::sync::watch;

use crate::http_server::{Answer, Limits, read_body, serve};
use crate::{Address, SocketOptions, listen};

/// The longest that a test waits for an effect.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// A request that a [`FakeHttp`] has had.
#[derive(Clone, Debug)]
pub struct Seen {
    /// The method.
    pub method: String,
    /// The path.
    pub path: String,
    /// The query as sent, without the question mark.
    pub query: String,
    /// The headers.
    pub headers: HeaderMap,
    /// The body after decompression, as text.
    pub body: String,
}

impl Seen {
    /// A header's value, or an empty text.
    pub fn header(&self, name: &str) -> &str {
        self.headers
            .get(name)
            .and_then(|value| value.to_str().ok())
            .unwrap_or("")
    }
}

/// An HTTP server that answers as it is told, and remembers what it was asked.
#[derive(Debug)]
pub struct FakeHttp {
    url: String,
    seen: Arc<Mutex<Vec<Seen>>>,
}

/// An answer with a status and a text.
pub fn answer(status: u16, body: &str) -> Answer {
    let mut answer = http::Response::new(Full::new(Bytes::from(body.to_owned())));
    *answer.status_mut() = StatusCode::from_u16(status).expect("a status");
    answer
}

impl FakeHttp {
    /// Starts a server as a task of `group`.
    ///
    /// # Panics
    /// If it cannot listen on loopback.
    pub async fn start(
        group: &Group,
        answers: impl Fn(&Seen) -> Answer + Send + Sync + 'static,
    ) -> Self {
        let id = ComponentId::new(Kind::Input, "fake");
        let second = Duration::from_secs(1);
        let cx = StartContext::new(id, group.clone(), Resources::new(), second);
        let address = Address::parse("tcp://127.0.0.1:0").expect("an address");
        let listening = listen(&cx, &address, None, SocketOptions::default()).await;
        let listening = listening.expect("a listener on loopback");
        let url = format!("http://{}", listening.local_address());
        let seen: Arc<Mutex<Vec<Seen>>> = Arc::default();
        let (log, answers) = (Arc::clone(&seen), Arc::new(answers));
        let handler = move |request: crate::http_server::Request| {
            let (log, answers) = (Arc::clone(&log), Arc::clone(&answers));
            async move {
                let (method, headers) = (request.method().to_string(), request.headers().clone());
                let path = request.uri().path().to_owned();
                let query = request.uri().query().unwrap_or("").to_owned();
                let body = read_body(request, 64 << 20, PATIENCE)
                    .await
                    .unwrap_or_default();
                let body = String::from_utf8_lossy(&body).into_owned();
                let seen = Seen {
                    method,
                    path,
                    query,
                    headers,
                    body,
                };
                let answer = answers(&seen);
                log.lock().push(seen);
                answer
            }
        };
        let served = group.go_cx("fake http", move |cx| async move {
            serve(&cx, &listening, Limits::default(), handler).await;
        });
        served.expect("a group that takes tasks");
        Self { url, seen }
    }

    /// The server's URL, without a slash at its end.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// What it was asked so far.
    pub fn seen(&self) -> Vec<Seen> {
        self.seen.lock().clone()
    }
}

/// A TCP server that takes connections, reads what comes and never answers.
#[derive(Debug)]
pub struct Silent {
    address: String,
    counts: watch::Receiver<(usize, usize)>,
}

impl Silent {
    /// Starts a server as tasks of `group`.
    ///
    /// # Panics
    /// If it cannot listen on loopback.
    pub async fn start(group: &Group) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0")
            .await
            .expect("a listener on loopback");
        let address = listener.local_addr().expect("an address").to_string();
        let (counts, receiver) = watch::channel((0, 0));
        let counts = Arc::new(counts);
        let peers = group.clone();
        let served = group.go("silent", async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                counts.send_modify(|(opened, _)| *opened += 1);
                let counts = Arc::clone(&counts);
                let read = async move {
                    let mut buffer = vec![0; 64 << 10];
                    while stream.read(&mut buffer).await.is_ok_and(|read| read > 0) {}
                    counts.send_modify(|(_, closed)| *closed += 1);
                };
                if peers.go("silent peer", read).is_err() {
                    return;
                }
            }
        });
        served.expect("a group that takes tasks");
        Self {
            address,
            counts: receiver,
        }
    }

    /// Where it listens.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Waits until at least one connection was opened and all that were are closed; false if that
    /// does not come to pass.
    pub async fn all_closed(&mut self) -> bool {
        let closed = self
            .counts
            .wait_for(|(opened, closed)| *opened > 0 && opened == closed);
        tokio::time::timeout(PATIENCE, closed)
            .await
            .is_ok_and(|closed| closed.is_ok())
    }
}
