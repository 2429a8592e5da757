//! The session as its users see it.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use muster_tasks::{Closed, Group};
use tokio::sync::{oneshot, watch};
use tokio::time::{Instant, timeout_at};
use zookeeper_client::{Client, MultiReadResult};

use crate::batch::{self, MAX_BATCH, Op, OpDone};
use crate::keeper::Keeper;
use crate::request::{self, Mode, check_size, frame_bytes};
use crate::resolve::{self, Resolver};
use crate::shared::{Shared, job, places_of};
use crate::state::{Connection, State};
use crate::stats::Stats;
use crate::watch::Watch;
use crate::{Error, ErrorKind, Node, Options, Stat, path};

/// How long a stop takes at most.
pub const STOP: Duration = Duration::from_secs(2);

/// A session with an ensemble. Cheap to clone; ends when its group is stopped, when it is
/// [stopped](Self::stop), or when the last clone is dropped.
///
/// Every operation has a deadline ([`Options::operation_timeout`], or
/// [`with_timeout`](Self::with_timeout)) and an outcome. Dropping its future gives it up: if it was not sent yet it
/// never is, otherwise whether it was done is not known. While there is no connection, operations fail at once
/// with [`ErrorKind::NotConnected`]; wait with [`connected`](Self::connected).
#[derive(Clone)]
pub struct Session {
    shared: Arc<Shared>,
    stop: Arc<watch::Sender<bool>>,
    timeout: Duration,
}

impl Session {
    /// Starts a session in a child group `zookeeper` of this group. Does not wait for a connection.
    ///
    /// # Errors
    /// [`Closed`] if the group takes no more tasks.
    pub fn start(group: &Group, options: Options) -> Result<Self, Closed> {
        let builder = group.builder("zookeeper").grace(STOP);
        let group = builder.build();
        // One cage that serves and one that dies; one thread for names.
        let cages = group.builder("cages").blocking_limit(2).build();
        let names = group.builder("names").blocking_limit(1).build();
        let timeout = options.operation_timeout;
        let resolver = Resolver::new(options.servers.list(), names, resolve::system());
        let shared = Shared::new(options);
        let (stop, stopping) = watch::channel(false);
        let keeper = Keeper {
            shared: Arc::clone(&shared),
            cages,
            resolver,
            stop: stopping,
        };
        group.go_cx("keeper", |cx| keeper.keep(cx))?;
        Ok(Self {
            shared,
            stop: Arc::new(stop),
            timeout,
        })
    }

    /// The same session with another time allowed for each operation.
    #[must_use]
    pub fn with_timeout(&self, timeout: Duration) -> Self {
        Self {
            timeout,
            ..self.clone()
        }
    }

    /// Whether there is a session and a connection, now and from now on. A watch shows the latest
    /// state only: compare [`Connection::connections`] and [`Connection::sessions`] to learn what has happened meanwhile.
    #[must_use]
    pub fn state(&self) -> watch::Receiver<State> {
        self.shared.state.subscribe()
    }

    /// Waits for a connection. Unbounded; put it under a deadline of your own.
    ///
    /// # Errors
    /// [`ErrorKind::Stopped`] if the session was stopped.
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub async fn connected(&self) -> Result<Connection, ErrorKind> {
        let mut state = self.state();
        let decided = |state: &State| state.connection().is_some() || state.is_stopped();
        match state.wait_for(decided).await.as_deref() {
            Ok(State::Connected(connection)) => Ok(*connection),
            _ => Err(ErrorKind::Stopped),
        }
    }

    /// What the session has done so far.
    #[must_use]
    pub fn stats(&self) -> Stats {
        self.shared.counters.snapshot()
    }

    /// Ends the session: its ephemeral nodes are gone at once, if a server answers within a second.
    /// Takes at most [`STOP`], however the servers are.
    pub async fn stop(&self) {
        self.stop.send_replace(true);
        let mut state = self.state();
        let stopped = state.wait_for(State::is_stopped);
        if muster_tasks::timeout(STOP, stopped).await.is_err() {
            tracing::warn!("the ZooKeeper session does not end in time");
        }
    }

    /// Reads a node.
    ///
    /// # Errors
    /// [`ErrorKind::NoNode`] if it is not there; others as for every operation.
    pub async fn read(&self, path: &str) -> Result<Node, Error> {
        let at = path.to_owned();
        let work = |client: Client| async move { Ok(client.get_data(&at).await?.into()) };
        self.ask("read", path, work).await
    }

    /// Looks whether a node is there.
    ///
    /// # Errors
    /// As for every operation.
    pub async fn exists(&self, path: &str) -> Result<Option<Stat>, Error> {
        let at = path.to_owned();
        let work =
            |client: Client| async move { Ok(client.check_stat(&at).await?.map(Stat::from)) };
        self.ask("look for", path, work).await
    }

    /// The names of a node's children, in no order.
    ///
    /// # Errors
    /// [`ErrorKind::NoNode`] if it is not there; others as for every operation.
    pub async fn children(&self, path: &str) -> Result<Vec<String>, Error> {
        let at = path.to_owned();
        let work = |client: Client| async move { Ok(client.list_children(&at).await?) };
        self.ask("list", path, work).await
    }

    /// Reads up to [`MAX_BATCH`] nodes in one request, as they were at one moment; each may be
    /// missing by itself.
    ///
    /// # Errors
    /// As for every operation.
    pub async fn read_many(
        &self,
        paths: Vec<String>,
    ) -> Result<Vec<Result<Node, ErrorKind>>, Error> {
        let verb = "read many with";
        let first = paths.first().cloned().unwrap_or_else(|| "/".to_owned());
        let refused = |kind| Err(self.error(verb, &first, kind));
        if paths.len() > MAX_BATCH {
            return refused(ErrorKind::TooMany(paths.len()));
        }
        if let Some(why) = paths.iter().find_map(|path| path::check(path).err()) {
            return refused(ErrorKind::BadPath(why));
        }
        let work = |client: Client| async move {
            let mut reader = client.new_multi_reader();
            for path in &paths {
                reader.add_get_data(path)?;
            }
            let results = reader
                .commit()
                .await?
                .into_iter()
                .map(|result| match result {
                    MultiReadResult::Data { data, stat } => Ok((data, stat).into()),
                    MultiReadResult::Error { err } => Err(ErrorKind::from(err)),
                    _ => Err(ErrorKind::Client("it answers something else".to_owned())),
                });
            Ok(results.collect())
        };
        self.ask(verb, &first, work).await
    }

    /// Makes a node; the node above must be there.
    ///
    /// # Errors
    /// [`ErrorKind::NodeExists`], [`ErrorKind::NoNode`] if there is none above; others as for every
    /// operation.
    pub async fn create(&self, path: &str, data: Vec<u8>, mode: Mode) -> Result<Stat, Error> {
        let (at, shared) = (path.to_owned(), Arc::clone(&self.shared));
        let sized = self.sized("create", path, &data)?;
        let work = move |client: Client| async move {
            request::create(&shared, &client, &at, &data, mode).await
        };
        self.send("create", path, sized, work).await
    }

    /// Makes a node, and first the nodes above it (persistent and empty) if they are not there; those of the root too.
    ///
    /// # Errors
    /// [`ErrorKind::NodeExists`]; others as for every operation. Nodes above may have been made nevertheless.
    pub async fn create_all(&self, path: &str, data: Vec<u8>, mode: Mode) -> Result<Stat, Error> {
        let (at, shared) = (path.to_owned(), Arc::clone(&self.shared));
        let sized = self.sized("create", path, &data)?;
        let work = move |client: Client| async move {
            request::create_all(&shared, &client, &at, &data, mode).await
        };
        self.send("create", path, sized, work).await
    }

    /// Writes a node that is there, if it has the version `expected`; `None` for any version.
    ///
    /// # Errors
    /// [`ErrorKind::NoNode`], [`ErrorKind::BadVersion`]; others as for every operation.
    pub async fn put(
        &self,
        path: &str,
        data: Vec<u8>,
        expected: Option<i32>,
    ) -> Result<Stat, Error> {
        let at = path.to_owned();
        let sized = self.sized("write", path, &data)?;
        let work = move |client: Client| async move {
            Ok(client.set_data(&at, &data, expected).await?.into())
        };
        self.send("write", path, sized, work).await
    }

    /// Deletes a node that has no children, if it has the version `expected`; `None` for any version.
    ///
    /// # Errors
    /// [`ErrorKind::NoNode`], [`ErrorKind::BadVersion`], [`ErrorKind::NotEmpty`]; others as for every
    /// operation.
    pub async fn delete(&self, path: &str, expected: Option<i32>) -> Result<(), Error> {
        let at = path.to_owned();
        let work = move |client: Client| async move { Ok(client.delete(&at, expected).await?) };
        self.ask("delete", path, work).await
    }

    /// Does up to [`MAX_BATCH`] writes, all or none. No write is an empty answer.
    ///
    /// # Errors
    /// [`ErrorKind::InBatch`] with the first that cannot be done; others as for every operation.
    pub async fn multi(&self, ops: Vec<Op>) -> Result<Vec<OpDone>, Error> {
        let verb = "write a batch with";
        let Some(first) = ops.first().map(|op| op.path().to_owned()) else {
            return Ok(Vec::new());
        };
        let bytes = batch::check(&self.shared, &ops).and_then(|bytes| {
            check_size(bytes)?;
            Ok(bytes)
        });
        let bytes = bytes.map_err(|kind| self.error(verb, &first, kind))?;
        let shared = Arc::clone(&self.shared);
        let work = move |client: Client| async move { batch::commit(&shared, &client, &ops).await };
        self.send(verb, &first, bytes, work).await
    }

    /// Waits until our server has seen everything that the leader has done so far. What is read
    /// afterwards is not older.
    ///
    /// # Errors
    /// As for every operation.
    pub async fn sync(&self) -> Result<(), Error> {
        let work = |client: Client| async move { Ok(client.sync("/").await?) };
        self.ask("sync", "/", work).await
    }

    /// Follows a node and all below it; it need not be there. Does not wait for a connection.
    ///
    /// # Errors
    /// [`ErrorKind::BadPath`]; [`ErrorKind::Busy`] if there are
    /// [`MAX_WATCHES`](crate::MAX_WATCHES).
    pub fn watch(&self, path: &str) -> Result<Watch, Error> {
        path::check(path).map_err(|why| self.error("watch", path, ErrorKind::BadPath(why)))?;
        let watch = self.shared.watches.add(path);
        watch.ok_or_else(|| self.error("watch", path, ErrorKind::Busy))
    }

    /// Makes something go wrong. Returns when it was ordered, not when it has happened.
    ///
    /// # Errors
    /// As for every operation.
    #[cfg(feature = "testing")]
    pub async fn inject(&self, fault: crate::Fault) -> Result<(), Error> {
        use std::sync::atomic::Ordering;

        use crate::Fault;
        let poison = || Err(ErrorKind::Client("a fault on request".to_owned()));
        let faults = &self.shared.faults;
        match fault {
            Fault::PanicInWatch => {
                faults.watch.store(true, Ordering::Relaxed);
                return Ok(());
            }
            Fault::PanicInConnect => faults.connect.store(true, Ordering::Relaxed),
            Fault::Poison | Fault::PanicInOperation | Fault::Hang(_) => {}
        }
        #[expect(clippy::panic, reason = "this is what it is for")]
        let work = move |_: Client| async move {
            match fault {
                Fault::PanicInOperation => panic!("a fault on request"),
                Fault::Hang(time) => {
                    std::thread::sleep(time);
                    Ok(())
                }
                _ => poison(),
            }
        };
        match self.ask("break", "/", work).await {
            // That is what was ordered.
            Err(error) if error.retry() == crate::Retry::Reread => Ok(()),
            other => other,
        }
    }

    /// Ends the session as if it had expired: from a second connection with the same session, on a
    /// thread of the group. If the first takes the session back meanwhile, it lives on.
    ///
    /// # Errors
    /// [`Closed`] if the group takes no more tasks.
    #[cfg(feature = "testing")]
    pub async fn expire(&self, group: &Group) -> Result<(), Closed> {
        let server = self.state().borrow().connection().map(|c| c.server);
        let (Some(session), Some(server)) = (self.shared.session(), server) else {
            return Ok(());
        };
        let close = async move {
            let second = Client::connector()
                .with_session(session)
                .with_fail_eagerly();
            if let Ok(second) = second.connect(&server.to_string()).await {
                let mut state = second.state_watcher();
                drop(second);
                while !state.changed().await.is_terminated() {}
            }
        };
        let work = move |_: muster_tasks::BlockingCtx| {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_time()
                .build();
            let close = muster_tasks::timeout(Duration::from_secs(2), close);
            runtime.is_ok_and(|runtime| runtime.block_on(close).is_ok())
        };
        let _ = group.spawn_blocking("expire", work)?.join().await;
        Ok(())
    }

    fn error(&self, verb: &'static str, path: &str, kind: ErrorKind) -> Error {
        self.shared.counters.failed(&kind);
        Error {
            verb,
            path: path.to_owned(),
            kind,
        }
    }

    fn sized(&self, verb: &'static str, path: &str, data: &[u8]) -> Result<usize, Error> {
        let bytes = frame_bytes(&self.shared, path, data);
        check_size(bytes).map_err(|kind| self.error(verb, path, kind))?;
        Ok(bytes)
    }

    async fn ask<T, F>(
        &self,
        verb: &'static str,
        path: &str,
        work: impl FnOnce(Client) -> F + Send + 'static,
    ) -> Result<T, Error>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, ErrorKind>> + 'static,
    {
        let bytes = self.sized(verb, path, &[])?;
        self.send(verb, path, bytes, work).await
    }

    /// Has the cage do something, within the time allowed.
    async fn send<T, F>(
        &self,
        verb: &'static str,
        path: &str,
        bytes: usize,
        work: impl FnOnce(Client) -> F + Send + 'static,
    ) -> Result<T, Error>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, ErrorKind>> + 'static,
    {
        let _pending = self.shared.counters.begin();
        let result = match path::check(path) {
            Ok(()) => self.in_time(bytes, work).await,
            Err(why) => Err(ErrorKind::BadPath(why)),
        };
        result.map_err(|kind| self.error(verb, path, kind))
    }

    async fn in_time<T, F>(
        &self,
        bytes: usize,
        work: impl FnOnce(Client) -> F + Send + 'static,
    ) -> Result<T, ErrorKind>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, ErrorKind>> + 'static,
    {
        let deadline = Instant::now() + self.timeout;
        // Without a connection nobody waits for a place.
        self.shared.jobs()?;
        let places = Arc::clone(&self.shared.places);
        let place = places.acquire_many_owned(places_of(bytes));
        let place = match timeout_at(deadline, place).await {
            Ok(Ok(place)) => place,
            Ok(Err(_)) => return Err(ErrorKind::Stopped),
            Err(_) => return Err(ErrorKind::Busy),
        };
        let (reply, answer) = oneshot::channel();
        let job = job(place, reply, work);
        match timeout_at(deadline, self.shared.jobs()?.send(job)).await {
            Ok(Ok(())) => {}
            Ok(Err(_)) => return Err(ErrorKind::NotConnected),
            Err(_) => return Err(ErrorKind::Busy),
        }
        match timeout_at(deadline, answer).await {
            Ok(Ok(result)) => result,
            Ok(Err(_)) => Err(ErrorKind::ConnectionLost),
            Err(_) => Err(ErrorKind::Timeout(self.timeout)),
        }
    }
}

impl std::fmt::Debug for Session {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Session")
            .field("servers", &self.shared.options.servers)
            .field("state", &self.shared.state.borrow().word())
            .finish_non_exhaustive()
    }
}
