//! For tests: a server that speaks Redis' protocol as it is told, and panics on request.

#![expect(
    clippy::expect_used,
    reason = "a test that cannot listen on loopback fails"
)]

mod faults;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use muster_tasks::Group;
use parking_lot::Mutex;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

pub use self::faults::{Faults, Point};
use crate::resp::{self, Limits, Reply};

/// What a [`FakeRedis`] does with a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Behaviour {
    /// Answers PING, AUTH and INFO as a healthy master does.
    Healthy,
    /// Says nothing on connections that are open now; new ones are healthy.
    OldConnectionsDead,
    /// Says nothing.
    Silent,
    /// Closes the connection.
    Closes,
    /// Answers with these bytes, whatever is asked.
    Says(&'static [u8]),
    /// Answers as a healthy master, one byte at a time.
    ByteByByte,
    /// Sends a reply that never ends.
    Endless,
}

/// A server. It ends with its group.
#[derive(Clone, Debug)]
pub struct FakeRedis {
    address: SocketAddr,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    behaviour: Mutex<Behaviour>,
    accepted: AtomicUsize,
    /// Connections with a number below this are dead.
    dead_below: AtomicUsize,
}

impl FakeRedis {
    /// Starts a healthy one.
    ///
    /// # Panics
    /// If there is no free port.
    pub async fn start(group: &Group) -> Self {
        Self::on(group, "127.0.0.1:0").await
    }

    /// Starts a healthy one at this address.
    ///
    /// # Panics
    /// If that is not free.
    pub async fn on(group: &Group, address: &str) -> Self {
        let listener = TcpListener::bind(address).await.expect("a free port");

        let address = listener.local_addr().expect("its address");
        let shared = Arc::new(Shared {
            behaviour: Mutex::new(Behaviour::Healthy),
            accepted: AtomicUsize::new(0),
            dead_below: AtomicUsize::new(0),
        });
        let (own, spawner) = (Arc::clone(&shared), group.clone());
        let accept = async move {
            while let Ok((stream, _)) = listener.accept().await {
                let number = own.accepted.fetch_add(1, Relaxed);
                let shared = Arc::clone(&own);
                let serve = async move { shared.serve(stream, number).await };
                let _ = spawner.go("connection", serve);
            }
        };
        let _ = group.go("fake redis", accept);
        Self { address, shared }
    }

    /// Where it listens.
    pub fn port(&self) -> u16 {
        self.address.port()
    }

    /// How many connections it has accepted.
    pub fn accepted(&self) -> usize {
        self.shared.accepted.load(Relaxed)
    }

    /// Behaves like this from now on.
    pub fn set(&self, behaviour: Behaviour) {
        let now = self.shared.accepted.load(Relaxed);
        let dead = if behaviour == Behaviour::OldConnectionsDead {
            now
        } else {
            0
        };
        self.shared.dead_below.store(dead, Relaxed);
        *self.shared.behaviour.lock() = behaviour;
    }
}

impl Shared {
    /// Serves one connection until the other side ends it, or we do.
    async fn serve(&self, mut stream: TcpStream, number: usize) {
        let mut buffer = Vec::new();
        loop {
            let Ok(parsed) = resp::parse(&buffer, Limits::CHECK) else {
                return;
            };
            let Some((request, used)) = parsed else {
                match stream.read_buf(&mut buffer).await {
                    Ok(0) | Err(_) => return,
                    Ok(_) => continue,
                }
            };
            let reply = healthy(&request);
            drop(request);
            buffer.drain(..used);
            let behaviour = *self.behaviour.lock();
            let sent = match behaviour {
                Behaviour::Silent => Ok(()),
                Behaviour::OldConnectionsDead if number < self.dead_below.load(Relaxed) => Ok(()),
                Behaviour::Healthy | Behaviour::OldConnectionsDead => {
                    stream.write_all(reply.as_bytes()).await
                }
                Behaviour::Closes => {
                    let _ = stream.shutdown().await;
                    // Closing with bytes unread would break the connection off instead.
                    let _ = tokio::io::copy(&mut stream, &mut tokio::io::sink()).await;
                    return;
                }
                Behaviour::Says(bytes) => stream.write_all(bytes).await,
                Behaviour::ByteByByte => one_by_one(&mut stream, reply.as_bytes()).await,
                Behaviour::Endless => endless(&mut stream).await,
            };
            if sent.is_err() {
                return;
            }
        }
    }
}

async fn one_by_one(stream: &mut TcpStream, bytes: &[u8]) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    for byte in bytes {
        stream.write_all(&[*byte]).await?;
        tokio::task::yield_now().await;
    }
    Ok(())
}

async fn endless(stream: &mut TcpStream) -> std::io::Result<()> {
    stream.write_all(b"+").await?;
    loop {
        stream.write_all(&[b'x'; 4096]).await?;
    }
}

fn healthy(request: &Reply<'_>) -> String {
    let words = match request {
        Reply::Array(words) => words.iter().filter_map(Reply::text).collect::<Vec<_>>(),
        _ => Vec::new(),
    };
    match words
        .iter()
        .map(AsRef::as_ref)
        .collect::<Vec<&str>>()
        .as_slice()
    {
        ["PING"] => "+PONG\r\n".to_owned(),
        ["AUTH", ..] => "+OK\r\n".to_owned(),
        ["INFO", ..] => {
            let text = "role:master\r\nredis_version:7.0.0\r\nrun_id:fake\r\nloading:0\r\n";
            format!("${}\r\n{text}\r\n", text.len())
        }
        _ => "-ERR unknown command\r\n".to_owned(),
    }
}
