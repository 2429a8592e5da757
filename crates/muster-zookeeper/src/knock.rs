//! Asking the servers whether they serve, before one of them is given the session.
//!
//! A session cannot be tried at several servers at once: each that hears of it moves it to itself, and those
//! that come too late take it away from the one that serves. So all are asked first, with a word that has
//! nothing to do with sessions (`srvr`), and the one that serves is then given time. A server that says nothing costs
//! nothing as long as another one answers.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout_at};

/// How long those that are preferred have when another one has answered.
const PREFERENCE: Duration = Duration::from_millis(20);

/// The word, with a line's end: a server that expects TLS knows then that it is none.
const WORD: &[u8] = b"srvr\n";

/// What a server without a majority says.
const NOT_SERVING: &[u8] = b"not currently serving";

/// What was found out about the servers.
#[derive(Debug, Default)]
pub(crate) struct Found {
    /// These serve, as far as can be seen; in the order in which they were given.
    pub(crate) serving: Vec<SocketAddr>,
    /// These have said nothing at all.
    pub(crate) silent: Vec<SocketAddr>,
    /// So many have said that they do not serve, or cannot be reached.
    pub(crate) others: usize,
    /// What is wrong with one of those that do not serve.
    pub(crate) why: String,
}

impl Found {
    fn refused(&mut self, why: String) {
        self.others += 1;
        self.why = why;
    }
}

/// Asks all servers at once. Returns when the first has answered that it serves, all have answered otherwise, or after
/// `patience`.
///
/// # Cancel safety
/// Cancel safe: connections are closed.
pub(crate) async fn knock(addresses: &[SocketAddr], patience: Duration) -> Found {
    let mut found = Found {
        why: "there is no address".to_owned(),
        ..Found::default()
    };
    let mut until = Instant::now() + patience;
    let ask = async |address: SocketAddr| (address, ask(address).await);
    let mut asked: FuturesUnordered<_> = addresses.iter().map(|&address| ask(address)).collect();
    let mut silent = addresses.to_vec();
    while let Ok(Some((address, answer))) = timeout_at(until, asked.next()).await {
        silent.retain(|one| *one != address);
        match answer {
            Ok(true) if Some(&address) == addresses.first() => {
                found.serving.push(address);
                break;
            }
            Ok(true) => {
                found.serving.push(address);
                until = until.min(Instant::now() + PREFERENCE);
            }
            Ok(false) => found.refused(format!("{address}: it does not serve")),
            Err(error) => found.refused(format!("{address}: {error}")),
        }
    }
    found
        .serving
        .sort_by_key(|one| addresses.iter().position(|other| one == other));
    if found.serving.is_empty() {
        found.silent = silent;
    }
    if let Some(address) = found.silent.first() {
        found.why = format!("{address}: it says nothing for {patience:?}");
    }
    found
}

/// Whether a server serves. One that does not know the word may.
async fn ask(address: SocketAddr) -> io::Result<bool> {
    let mut stream = TcpStream::connect(address).await?;
    stream.write_all(WORD).await?;
    let mut answer = [0; 512];
    // What is told comes in one piece.
    let length = stream.read(&mut answer).await.unwrap_or_default();
    let has = |part: &[u8]| answer[..length].windows(part.len()).any(|w| w == part);
    Ok(!has(NOT_SERVING))
}
