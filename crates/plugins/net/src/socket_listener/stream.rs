//! Connections: read, cut, parse, emit.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use muster_formats::Framing;
use muster_metric::Batch;
use muster_net::{Listening, Parking, Stream};
use muster_plugin::{PluginError, ServiceContext};
use muster_tasks::{Ctx, Group};

use super::connection::{Connection, Skip};
use super::cut::{Cutter, Next};
use super::{Settings, report};

/// The longest message of a stream; what is longer is passed over.
pub(super) const MAX_MESSAGE: usize = 1 << 20;

/// Accepts connections until the input is cancelled. Each connection is a task.
pub(super) async fn run(
    cx: &ServiceContext,
    listening: &Listening,
    settings: &Arc<Settings>,
) -> Result<(), PluginError> {
    let server = Server {
        cx: cx.clone(),
        connections: cx.group().group("connections"),
        settings: Arc::clone(settings),
        parking: listening.parking(),
        open: Arc::default(),
    };
    let handshake = listening.handshake();
    let mut refused = 0u64;
    let mut failures = 0u32;
    loop {
        let accepted = tokio::select! {
            biased;
            () = cx.cancelled() => break,
            inherited = listening.inherited() => {
                for connection in inherited {
                    if let Ok(connection) = connection.downcast::<Connection>() {
                        server.serve(*connection);
                    }
                }
                continue;
            }
            accepted = listening.accept() => accepted,
        };
        let accepted = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                cx.report(PluginError::new("accept a connection").because(error));
                failures = (failures + 1).min(6);
                tokio::select! {
                    () = tokio::time::sleep(Duration::from_millis(20 << failures)) => continue,
                    () = cx.cancelled() => break,
                }
            }
        };
        failures = 0;
        let limit = settings.max_connections;
        if limit > 0 && server.open.load(Ordering::Acquire) >= limit {
            refused += 1;
            if refused == 1 {
                let message = format!("take a connection from {}", accepted.peer);
                let why = format!("max_connections = {limit} are open");
                cx.report(PluginError::new(message).because(why));
            }
            continue;
        }
        refused = 0;
        if listening.speaks_tls() {
            server.accept(accepted.stream, accepted.peer, handshake.clone());
        } else {
            let (stream, peer) = (accepted.stream, accepted.peer);
            server.serve(Connection::new(stream, peer, settings.encoding));
        }
    }
    server.connections.cancel("the input ends");
    server.connections.wait().await;
    Ok(())
}

struct Server {
    cx: ServiceContext,
    connections: Group,
    settings: Arc<Settings>,
    parking: Parking,
    open: Arc<AtomicUsize>,
}

/// Counts an open connection.
struct Open(Arc<AtomicUsize>);

impl Open {
    fn new(count: &Arc<AtomicUsize>) -> Self {
        count.fetch_add(1, Ordering::AcqRel);
        Self(Arc::clone(count))
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

impl Server {
    fn accept<H, F>(&self, stream: Stream, peer: String, handshake: H)
    where
        H: FnOnce(Stream) -> F + Send + 'static,
        F: Future<Output = io::Result<Stream>> + Send,
    {
        let open = Open::new(&self.open);
        let pump = self.pump();
        self.spawn(peer.clone(), move |task| async move {
            let shaken = tokio::select! {
                shaken = handshake(stream) => shaken,
                _ = task.cancelled() => return,
            };
            match shaken {
                Ok(stream) => {
                    let connection = Connection::new(stream, peer, pump.settings.encoding);
                    let kept = Kept {
                        connection: Some(connection),
                        parking: pump.parking.clone(),
                    };
                    pump.run(&task, kept).await;
                }
                Err(error) => {
                    let message = format!("agree on TLS with {peer}");
                    pump.cx.report(PluginError::new(message).because(error));
                }
            }
            drop(open);
        });
    }

    /// Serves a connection, new or of an earlier generation.
    fn serve(&self, connection: Connection) {
        let open = Open::new(&self.open);
        let pump = self.pump();
        let peer = connection.peer().to_owned();
        // Made here, so that also a connection whose task is not to be had any more, because the
        // input has just been told to end, goes to the next generation.
        let kept = Kept {
            connection: Some(connection),
            parking: self.parking.clone(),
        };
        self.spawn(peer, move |task| async move {
            pump.run(&task, kept).await;
            drop(open);
        });
    }

    fn spawn<F>(&self, peer: String, work: impl FnOnce(Ctx) -> F + Send + 'static)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        if let Err(closed) = self.connections.go_cx(peer, work) {
            tracing::debug!(%closed, "a connection came while the input ended");
        }
    }

    fn pump(&self) -> Pump {
        Pump {
            cx: self.cx.clone(),
            settings: Arc::clone(&self.settings),
            parking: self.parking.clone(),
        }
    }
}

/// A connection that goes to the next generation, if there is one, when it is let go before its
/// end.
struct Kept {
    connection: Option<Connection>,
    parking: Parking,
}

impl Drop for Kept {
    fn drop(&mut self) {
        if let Some(connection) = self.connection.take()
            && self.parking.is_shared()
        {
            self.parking.leave(Box::new(connection));
        }
    }
}

/// What a connection's task needs.
struct Pump {
    cx: ServiceContext,
    settings: Arc<Settings>,
    parking: Parking,
}

impl Pump {
    /// Serves a connection to its end, or until the input ends.
    async fn run(&self, task: &Ctx, mut kept: Kept) {
        let Some(connection) = &mut kept.connection else {
            return;
        };
        self.pump(task, connection).await;
        if !task.is_cancelled() {
            kept.connection = None;
        }
    }

    async fn pump(&self, task: &Ctx, connection: &mut Connection) {
        loop {
            let read = tokio::select! {
                biased;
                _ = task.cancelled() => return,
                read = connection.read(self.settings.read_timeout) => read,
            };
            let at_end = match read {
                Ok(read) => read == 0,
                Err(error) if error.kind() == io::ErrorKind::TimedOut => {
                    tracing::debug!(peer = connection.peer(), "closed: it sent nothing for long");
                    return;
                }
                Err(error) => {
                    let message = format!("read from {}", connection.peer());
                    self.cx.report(PluginError::new(message).because(error));
                    return;
                }
            };
            // Compressed data is unpacked and passed on in steps, so that it stays bounded.
            let end = loop {
                match connection.unpack() {
                    Ok(more) => {
                        let end = at_end && !more;
                        let batch = self.parse(connection, end);
                        self.cx.emit(batch).await;
                        if !more {
                            break end;
                        }
                    }
                    Err(error) => {
                        let message = format!("decompress data from {}", connection.peer());
                        self.cx.report(PluginError::new(message).because(error));
                        let batch = self.parse(connection, true);
                        self.cx.emit(batch).await;
                        break true;
                    }
                }
            };
            if end {
                return;
            }
        }
    }

    /// Takes all whole messages out of the buffer; at the stream's end also the last one, which
    /// needs no delimiter.
    fn parse(&self, connection: &mut Connection, at_end: bool) -> Batch {
        let mut batch = connection.batch();
        let whole_lines = self.settings.cutter == Cutter::Lines
            && self.settings.parser.framing() == Framing::Lines;
        let mut used = 0;
        while connection.skip(&self.settings.cutter, &mut used) {
            let (held, peer) = (&connection.held()[used..], connection.peer());
            let (more, too_long) = if whole_lines {
                self.parse_lines(held, peer, at_end, &mut batch)
            } else {
                self.parse_messages(held, peer, at_end, &mut batch)
            };
            used += more;
            let Some(skip) = too_long else { break };
            let message = format!("take a message from {peer}");
            let why = format!("it is longer than {MAX_MESSAGE} bytes and is passed over");
            self.cx.report(PluginError::new(message).because(why));
            connection.start_skipping(skip);
        }
        connection.discard(used, &batch);
        batch
    }

    /// Many lines at once: the parser says where they end. Returns how many bytes were used, and
    /// whether a line follows that is too long.
    fn parse_lines(
        &self,
        held: &[u8],
        peer: &str,
        at_end: bool,
        batch: &mut Batch,
    ) -> (usize, Option<Skip>) {
        let parser = &self.settings.parser;
        let whole = if at_end {
            held.len()
        } else {
            parser.complete_len(held)
        };
        if whole == 0 {
            return (0, (held.len() > MAX_MESSAGE).then_some(Skip::ToDelimiter));
        }
        let lines = &held[..whole];
        match parser.parse(lines, batch) {
            // A parser that gives up at the first bad line: the others are good nevertheless.
            Err(_) if memchr::memchr_iter(b'\n', lines).nth(1).is_some() => {
                for line in lines.split_inclusive(|byte| *byte == b'\n') {
                    report(&self.cx, peer, parser.parse(line, batch));
                }
            }
            parsed => report(&self.cx, peer, parsed),
        }
        (whole, None)
    }

    /// One message after the other. Returns as [`parse_lines`](Self::parse_lines).
    fn parse_messages(
        &self,
        held: &[u8],
        peer: &str,
        at_end: bool,
        batch: &mut Batch,
    ) -> (usize, Option<Skip>) {
        let cutter = &self.settings.cutter;
        let mut used = 0;
        loop {
            let rest = &held[used..];
            let (data, next) = match cutter.next(rest, MAX_MESSAGE) {
                Next::Message { data, used } => (&rest[data], used),
                Next::More if at_end && cutter.has_open_end() => (rest, rest.len()),
                Next::More => return (used, None),
                Next::TooLong(end) => {
                    return (used, Some(end.map_or(Skip::ToDelimiter, Skip::Bytes)));
                }
            };
            if !data.trim_ascii().is_empty() {
                report(&self.cx, peer, self.settings.parser.parse(data, batch));
            }
            used += next;
            if next == 0 {
                return (used, None);
            }
        }
    }
}
