//! Following keys.

use std::collections::VecDeque;
use std::time::Duration;

use muster_net::describe_error;
use reqwest::Response;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep, timeout_at};

use crate::client::{Again, Call};
use crate::kv::MAX_ANSWER;
use crate::wire::{self, Streamed, WatchAnswer, WatchEvent};
use crate::{Client, Error, ErrorKind, Get, KeyValue, Range, Retry};

/// Pauses between attempts to open a stream double from the first to the longest.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// What has happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A key was written.
    Put(KeyValue),
    /// A key was deleted, by somebody or with its lease.
    Deleted {
        /// The key.
        key: Vec<u8>,
        /// The revision that deleted it.
        revision: i64,
    },
    /// The watch begins here, for the first time or after a gap: read everything. What has happened until this
    /// revision is not told.
    Resync {
        /// The revision.
        revision: i64,
    },
}

/// Follows a range of keys. Holds a connection to one server; takes another server when that one
/// fails or says nothing. Dropping it closes the connection.
#[derive(Debug)]
pub struct Watch {
    client: Client,
    range: Range,
    deletes_only: bool,
    /// The first revision that was not told yet; `None` if it is to begin with the next one there is.
    next: Option<i64>,
    stream: Option<Stream>,
    ready: VecDeque<Event>,
    pause: Duration,
}

#[derive(Debug)]
struct Stream {
    at: usize,
    response: Response,
    buffer: Vec<u8>,
    /// So much of the buffer has no end of a line in it.
    scanned: usize,
    /// When the server was heard of last.
    heard: Instant,
}

impl Client {
    /// Follows a range of keys, from the present on: the first event is [`Event::Resync`]. Does nothing before it
    /// is asked.
    pub fn watch(&self, range: Range) -> Watch {
        Watch {
            client: self.clone(),
            range,
            deletes_only: false,
            next: None,
            stream: None,
            ready: VecDeque::new(),
            pause: FIRST_PAUSE,
        }
    }
}

impl Watch {
    /// From behind this revision on, as of a read: nothing is missed in between.
    #[must_use]
    pub fn after(mut self, revision: i64) -> Self {
        self.next = Some(revision + 1);
        self
    }

    /// Only keys that are deleted.
    #[must_use]
    pub fn deletes_only(mut self) -> Self {
        self.deletes_only = true;
        self
    }

    /// The next event; waits for one, over failures of servers. Each is given once, in the order of revisions; only
    /// after a [`Event::Resync`] may some come again.
    ///
    /// A server that says nothing for as long as a call may take is asked for a key; if it does not answer, the
    /// next one is taken.
    ///
    /// # Errors
    /// If it cannot go on as it is, as without permission. The next call tries again.
    ///
    /// # Cancel safety
    /// Cancel safe: what was not given is given with the next call.
    pub async fn next(&mut self) -> Result<Event, Error> {
        loop {
            if let Some(event) = self.ready.pop_front() {
                return Ok(event);
            }
            let done = match &mut self.stream {
                Some(stream) => match read_line(stream, &self.client, &self.range).await {
                    Ok(line) => self.take(&line),
                    Err(kind) => Err(kind),
                },
                None => self.open().await,
            };
            let Err(kind) = done else {
                continue;
            };
            if let Some(stream) = self.stream.take()
                && kind.is_of_the_server()
            {
                self.client.move_on(stream.at);
            }
            let kind = self.client.refused(kind);
            if kind.retry() == Retry::Never {
                let what = format!("watch {}", self.range.text());
                return Err(Error { what, kind });
            }
            let pause = self.pause;
            self.pause = (pause * 2).min(LONGEST_PAUSE);
            sleep(pause).await;
        }
    }

    async fn open(&mut self) -> Result<(), ErrorKind> {
        let (at, opened) = self.client.open("/v3/watch", &self.request()).await;
        match opened {
            Ok(response) => {
                self.stream = Some(Stream {
                    at,
                    response,
                    buffer: Vec::new(),
                    scanned: 0,
                    heard: Instant::now(),
                });
                Ok(())
            }
            Err(kind) => {
                if kind.is_of_the_server() {
                    self.client.move_on(at);
                }
                Err(kind)
            }
        }
    }

    fn request(&self) -> Value {
        let mut create = self.range.to_json();
        let from = self.next.unwrap_or(0).to_string();
        create.insert("start_revision".to_owned(), from.into());
        create.insert("progress_notify".to_owned(), true.into());
        if self.deletes_only {
            create.insert("filters".to_owned(), json!(["NOPUT"]));
        }
        json!({ "create_request": create })
    }

    /// Takes one message.
    fn take(&mut self, line: &[u8]) -> Result<(), ErrorKind> {
        let message: Streamed<WatchAnswer> = wire::read(line)?;
        if let Some(error) = message.error {
            return Err(ErrorKind::of_status(error.code(), error.text()));
        }
        let Some(answer) = message.result else {
            return Ok(());
        };
        if answer.canceled {
            if answer.compact_revision > 0 {
                // What was missed is not there any more: it begins anew.
                (self.next, self.stream) = (None, None);
                return Ok(());
            }
            return Err(match ErrorKind::of_status(0, &answer.cancel_reason) {
                ErrorKind::Refused(why) => ErrorKind::Lost(why),
                other => other,
            });
        }
        self.pause = FIRST_PAUSE;
        let now = answer.header.revision;
        if answer.created {
            match self.next {
                None => {
                    self.next = Some(now + 1);
                    self.ready.push_back(Event::Resync { revision: now });
                }
                // Servers that are behind where we were have lost what they had, or this one has not caught up:
                // it begins anew.
                Some(next) if now + 1 < next => (self.next, self.stream) = (None, None),
                Some(_) => {}
            }
            return Ok(());
        }
        let last = answer.events.last();
        let last = last.map_or(now, |event| event.kv.revision());
        self.next = self.next.max(Some(last + 1));
        self.ready
            .extend(answer.events.into_iter().map(Event::from));
        Ok(())
    }
}

/// The next whole line. Asks the server for a key when it says nothing for long.
async fn read_line(
    stream: &mut Stream,
    client: &Client,
    range: &Range,
) -> Result<Vec<u8>, ErrorKind> {
    loop {
        let fresh = &stream.buffer[stream.scanned..];
        if let Some(at) = fresh.iter().position(|&byte| byte == b'\n') {
            let rest = stream.buffer.split_off(stream.scanned + at + 1);
            stream.scanned = 0;
            return Ok(std::mem::replace(&mut stream.buffer, rest));
        }
        stream.scanned = stream.buffer.len();
        match timeout_at(stream.heard + client.timeout(), stream.response.chunk()).await {
            Ok(Ok(Some(chunk))) => {
                if chunk.len() > MAX_ANSWER - stream.buffer.len() {
                    return Err(ErrorKind::AnswerTooLarge(MAX_ANSWER));
                }
                stream.heard = Instant::now();
                stream.buffer.extend_from_slice(&chunk);
            }
            Ok(Ok(None)) => return Err(ErrorKind::Lost("the stream has ended".to_owned())),
            Ok(Err(error)) => return Err(ErrorKind::Lost(describe_error(&error))),
            Err(_) => {
                let get = Get::of(range.clone()).limit(1).keys_only().to_json();
                let call = Call {
                    path: "/v3/kv/range",
                    body: &get,
                    again: Again::Yes,
                };
                match client.call_at(stream.at, call).await {
                    Err(kind) if kind.is_of_the_server() => return Err(kind),
                    _ => stream.heard = Instant::now(),
                }
            }
        }
    }
}

impl From<WatchEvent> for Event {
    fn from(event: WatchEvent) -> Self {
        let kv = KeyValue::from(event.kv);
        if event.kind == "DELETE" {
            return Self::Deleted {
                key: kv.key,
                revision: kv.modified,
            };
        }
        Self::Put(kv)
    }
}
