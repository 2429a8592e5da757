//! The ledger on disk.
//!
//! One `redb` database, `ledger.redb`, mode 0600 (it holds tokens of runners that wait for their
//! server to join). Every change of the ledger is one transaction that is durable before it is
//! acted on: after a crash the database is what it was after some whole transaction. Values are
//! JSON; the table `meta` holds the format's version.

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use muster_scaler_core::memory::Memory;
use muster_scaler_core::{Ledger, PausedHost, Server, ServerName, Time};
use redb::{Database, ReadableDatabase, ReadableTable, TableDefinition};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

const META: TableDefinition<'_, &str, i64> = TableDefinition::new("meta");
const SERVERS: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("servers");
const HOSTS: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("paused_hosts");
const MEMORY: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("memory");
const JOINS: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("joins");

/// The version of what is in the tables.
const FORMAT: i64 = 1;

/// The database's cache in memory.
const CACHE_BYTES: usize = 1 << 20;

/// Why the store could not be read or written; the message completes "failed to ...".
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The file cannot be opened, read or written.
    #[error("{doing} {path}: {reason}")]
    Disk {
        /// What was tried.
        doing: &'static str,
        /// The file.
        path: PathBuf,
        /// Why it failed.
        reason: String,
    },
    /// It was written by a newer version. It is left as it is.
    #[error(
        "read {path}: its format is version {found}, this program knows version {FORMAT}; use the newer program"
    )]
    Newer {
        /// The file.
        path: PathBuf,
        /// The version in the file.
        found: i64,
    },
}

/// What a server is given when it joins. Never shown, never recorded.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Join {
    /// SHA-256 of the word with which it joins, in hexadecimal digits.
    pub(crate) word: String,
    /// The text of its runner's configuration, with the token.
    pub(crate) config: String,
    /// SHA-256 of the number of its own with which it was first asked for: whoever knows it may ask again, in case
    /// the answer was lost.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) asked_by: Option<String>,
}

impl std::fmt::Debug for Join {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Join(***)")
    }
}

/// What is kept.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Kept {
    /// Shared: who looks at it keeps what it was.
    pub(crate) ledger: Arc<Ledger>,
    /// By the server that has not joined yet.
    pub(crate) joins: BTreeMap<ServerName, Join>,
    /// When it was written last.
    pub(crate) at: Time,
}

/// The database. All calls block on the disk.
#[derive(Debug)]
pub(crate) struct Store {
    path: PathBuf,
    /// `None` after an error that the database does not survive; the next call opens it again.
    database: Option<Database>,
}

/// What [`Store::open`] found.
#[derive(Debug)]
pub(crate) struct Opened {
    pub(crate) store: Store,
    pub(crate) kept: Kept,
    /// What was wrong with an earlier file, which was set aside: whatever it said of our servers is
    /// lost, and they are adopted from their labels.
    pub(crate) lost: Option<String>,
}

impl Store {
    /// Opens the database in `directory`, or makes it. One that cannot be read is renamed and a new
    /// one begun.
    pub(crate) fn open(directory: &Path) -> Result<Opened, StoreError> {
        let mut store = Self {
            path: directory.join("ledger.redb"),
            database: None,
        };
        let was_there = store.path.exists();
        match store.load() {
            Ok(kept) => Ok(Opened {
                store,
                kept,
                lost: None,
            }),
            Err(Unreadable::Error(error)) => Err(error),
            Err(Unreadable::Damaged(why)) if was_there => {
                store.database = None;
                let aside = set_aside(&store.path)?;
                let kept = store.load().map_err(|error| match error {
                    Unreadable::Error(error) => error,
                    Unreadable::Damaged(reason) => store.disk("create", reason),
                })?;
                let lost = format!(
                    "the ledger {} could not be read and was set aside as {}: {why}",
                    store.path.display(),
                    aside.display()
                );
                let lost = Some(lost);
                Ok(Opened { store, kept, lost })
            }
            Err(Unreadable::Damaged(reason)) => Err(store.disk("create", reason)),
        }
    }

    /// Writes what differs between `from` and `to`. Durable when this returns.
    pub(crate) fn write(&mut self, from: &Kept, to: &Kept) -> Result<(), StoreError> {
        let written = self.transact(from, to);
        if let Err(error) = &written {
            // After an error of the disk the database is opened, and by that repaired, again: a
            // disk that was full may have room later.
            self.database = None;
            return Err(self.disk("write", error));
        }
        Ok(())
    }

    fn transact(&mut self, from: &Kept, to: &Kept) -> Result<(), Failed> {
        let write = self.database()?.begin_write()?;
        {
            let mut meta = write.open_table(META)?;
            meta.insert("at", to.at.millis())?;
            let decisions = i64::try_from(to.ledger.decisions).unwrap_or(i64::MAX);
            meta.insert("decisions", decisions)?;
            let mut table = write.open_table(SERVERS)?;
            let (before, after) = (&from.ledger.servers, &to.ledger.servers);
            for (name, edit) in edits(before, after) {
                match edit {
                    Some(server) => table.insert(name.0.as_str(), json(server)?.as_slice())?,
                    None => table.remove(name.0.as_str())?,
                };
            }
            let mut table = write.open_table(HOSTS)?;
            let (before, after) = (&from.ledger.paused_hosts, &to.ledger.paused_hosts);
            for (runner, edit) in edits(before, after) {
                match edit {
                    Some(host) => table.insert(runner, json(host)?.as_slice())?,
                    None => table.remove(runner)?,
                };
            }
            let mut table = write.open_table(JOINS)?;
            for (name, edit) in edits(&from.joins, &to.joins) {
                match edit {
                    Some(join) => table.insert(name.0.as_str(), json(join)?.as_slice())?,
                    None => table.remove(name.0.as_str())?,
                };
            }
            if from.ledger.memory != to.ledger.memory {
                let memory = json(&to.ledger.memory)?;
                let mut table = write.open_table(MEMORY)?;
                table.insert("memory", memory.as_slice())?;
            }
        }
        write.commit()?;
        Ok(())
    }

    fn database(&mut self) -> Result<&Database, Failed> {
        let database = match self.database.take() {
            Some(database) => database,
            None => self.open_database()?,
        };
        Ok(self.database.insert(database))
    }

    fn open_database(&self) -> Result<Database, Failed> {
        create_private(&self.path)?;
        let mut builder = Database::builder();
        builder.set_cache_size(CACHE_BYTES);
        Ok(builder.create(&self.path)?)
    }

    fn load(&mut self) -> Result<Kept, Unreadable> {
        let path = self.path.clone();
        let disk = |reason: String| {
            Unreadable::Error(StoreError::Disk {
                doing: "open",
                path: path.clone(),
                reason,
            })
        };
        // What the system refuses is no damage: the file may be whole.
        let sort = |failed: Failed| match failed {
            Failed::Redb(redb::Error::Io(error))
                if !matches!(
                    error.kind(),
                    io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof
                ) =>
            {
                disk(error.to_string())
            }
            Failed::Redb(error @ redb::Error::DatabaseAlreadyOpen) => disk(error.to_string()),
            Failed::Io(error) => disk(error.to_string()),
            other => Unreadable::Damaged(other.to_string()),
        };
        let database = self.database().map_err(sort)?;
        let (found, kept) = read(database).map_err(sort)?;
        if found > FORMAT {
            let path = self.path.clone();
            return Err(Unreadable::Error(StoreError::Newer { path, found }));
        }
        Ok(kept)
    }

    fn disk(&self, doing: &'static str, reason: impl std::fmt::Display) -> StoreError {
        StoreError::Disk {
            doing,
            path: self.path.clone(),
            reason: reason.to_string(),
        }
    }
}

/// Reads everything, and makes what is not there. The format's version comes first; nothing else is
/// read of a newer one.
fn read(database: &Database) -> Result<(i64, Kept), Failed> {
    let write = database.begin_write()?;
    let found = {
        let mut meta = write.open_table(META)?;
        let found = meta.get("format")?.map(|version| version.value());
        if found.is_none() {
            meta.insert("format", FORMAT)?;
        }
        found.unwrap_or(FORMAT)
    };
    if found > FORMAT {
        return Ok((found, Kept::default()));
    }
    write.open_table(SERVERS)?;
    write.open_table(HOSTS)?;
    write.open_table(MEMORY)?;
    write.open_table(JOINS)?;
    write.commit()?;
    let read = database.begin_read()?;
    let (mut kept, mut ledger) = (Kept::default(), Ledger::default());
    let meta = read.open_table(META)?;
    kept.at = Time::from_millis(meta.get("at")?.map_or(0, |at| at.value()));
    let decisions = meta.get("decisions")?.map_or(0, |number| number.value());
    ledger.decisions = u64::try_from(decisions).unwrap_or_default();
    for row in read.open_table(SERVERS)?.iter()? {
        let (name, server) = row?;
        let server: Server = parse(server.value())?;
        let name = ServerName(name.value().to_owned());
        ledger.servers.insert(name, server);
    }
    for row in read.open_table(HOSTS)?.iter()? {
        let (runner, host) = row?;
        let host: PausedHost = parse(host.value())?;
        ledger.paused_hosts.insert(runner.value(), host);
    }
    for row in read.open_table(JOINS)?.iter()? {
        let (name, join) = row?;
        let join: Join = parse(join.value())?;
        kept.joins.insert(ServerName(name.value().to_owned()), join);
    }
    if let Some(memory) = read.open_table(MEMORY)?.get("memory")? {
        // It is learnt anew where it cannot be read.
        ledger.memory = parse::<Memory>(memory.value()).unwrap_or_default();
    }
    kept.ledger = Arc::new(ledger);
    Ok((found, kept))
}

/// What differs: the new value of a key, or `None` where there is none any more.
fn edits<'a, K: Ord, V: PartialEq>(
    from: &'a BTreeMap<K, V>,
    to: &'a BTreeMap<K, V>,
) -> impl Iterator<Item = (&'a K, Option<&'a V>)> {
    let gone = from.keys().filter(|key| !to.contains_key(key));
    let changed = to
        .iter()
        .filter(|(key, value)| from.get(key) != Some(value));
    gone.map(|key| (key, None))
        .chain(changed.map(|(key, value)| (key, Some(value))))
}

fn json<T: Serialize>(value: &T) -> Result<Vec<u8>, Failed> {
    serde_json::to_vec(value).map_err(Failed::Json)
}

fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Failed> {
    serde_json::from_slice(bytes).map_err(Failed::Json)
}

/// What may go wrong with the file.
#[derive(Debug, thiserror::Error)]
enum Failed {
    #[error("{0}")]
    Redb(redb::Error),
    #[error("{0}")]
    Io(#[from] io::Error),
    #[error("a row is damaged: {0}")]
    Json(serde_json::Error),
}

impl<E: Into<redb::Error>> From<E> for Failed
where
    E: RedbError,
{
    fn from(error: E) -> Self {
        Self::Redb(error.into())
    }
}

/// The errors of redb, which all become [`redb::Error`].
trait RedbError {}
impl RedbError for redb::DatabaseError {}
impl RedbError for redb::TransactionError {}
impl RedbError for redb::TableError {}
impl RedbError for redb::StorageError {}
impl RedbError for redb::CommitError {}

/// Why nothing could be read.
enum Unreadable {
    Error(StoreError),
    /// The file is there and is not what it should be.
    Damaged(String),
}

/// Renames a file to a name that is free.
fn set_aside(path: &Path) -> Result<PathBuf, StoreError> {
    let aside = (1..)
        .map(|number: u32| path.with_extension(format!("redb.damaged-{number}")))
        .find(|aside| !aside.exists())
        .unwrap_or_else(|| path.with_extension("redb.damaged"));
    fs::rename(path, &aside).map_err(|error| StoreError::Disk {
        doing: "set aside",
        path: path.to_owned(),
        reason: error.to_string(),
    })?;
    Ok(aside)
}

/// Makes the file with mode 0600 if it is not there.
fn create_private(path: &Path) -> io::Result<()> {
    if let Some(directory) = path.parent() {
        fs::create_dir_all(directory)?;
    }
    let mut options = fs::OpenOptions::new();
    options
        .create(true)
        .append(true)
        .mode(0o600)
        .open(path)
        .map(drop)
}
