//! The desired state on disk: definitions, overlays, history, and what plugins keep.
//!
//! One `redb` database, `desired.redb`, mode 0600 (definitions may hold secrets). Every change is
//! one transaction that is durable before it is acknowledged: after a crash the database is what it
//! was after some whole transaction. Values are JSON; the table `meta` holds the format's version.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use muster_config::Definition;
use muster_plugin::{ComponentId, Kind};
use parking_lot::Mutex;
use redb::{Database, ReadableDatabase, ReadableTable, TableDefinition, WriteTransaction};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::desired::{Definitions, Edits, Overlay, Overlays};

const META: TableDefinition<'_, &str, u64> = TableDefinition::new("meta");
const DEFINITIONS: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("definitions");
const OVERLAYS: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("overlays");
const HISTORY: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("history");
const STATES: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("states");

/// The version of what is in the tables.
const FORMAT: u64 = 1;

/// So many changes are kept to look at and to roll back to; older ones are forgotten.
pub const KEPT_CHANGES: u64 = 1000;

/// The database's cache in memory.
const CACHE_BYTES: usize = 1 << 20;

/// Why the store could not be read or written.
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
    /// Something in it is not what it should be.
    #[error("read {path}: {what} is damaged: {reason}")]
    Damaged {
        /// The file.
        path: PathBuf,
        /// Which value.
        what: String,
        /// What is wrong with it.
        reason: String,
    },
    /// It was written by a newer version.
    #[error(
        "read {path}: its format is version {found}, this program knows version {FORMAT}; use the newer program"
    )]
    Newer {
        /// The file.
        path: PathBuf,
        /// The version in the file.
        found: u64,
    },
}

/// One change as the history has it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Record {
    /// The generation that the change led to.
    pub generation: u64,
    /// When, in nanoseconds since 1970.
    pub at: i64,
    /// Who: `api`, `files`, `start`, `rollback`.
    pub by: String,
    /// What for, in the words of who made it.
    #[serde(default)]
    pub message: String,
    /// What it did.
    #[serde(with = "edits")]
    pub edits: Edits,
}

/// What the store holds when it is opened.
#[derive(Debug, Default)]
pub struct Stored {
    /// The last generation; 0 if there was none yet.
    pub generation: u64,
    /// The desired state.
    pub definitions: Definitions,
    /// What the API said over the files.
    pub overlays: Overlays,
    /// What plugins keep.
    pub states: Vec<(ComponentId, Value)>,
}

/// Keys with their values; `None` removes.
type Rows = [(String, Option<Vec<u8>>)];

fn put(
    write: &WriteTransaction,
    table: TableDefinition<'_, &str, &[u8]>,
    rows: &Rows,
) -> Result<(), redb::Error> {
    let mut table = write.open_table(table)?;
    for (key, value) in rows {
        match value {
            Some(value) => table.insert(key.as_str(), value.as_slice())?,
            None => table.remove(key.as_str())?,
        };
    }
    Ok(())
}

/// The database. All calls block on the disk.
pub struct Store {
    path: PathBuf,
    /// `None` after an error that the database does not survive; the next call opens it again.
    database: Mutex<Option<Database>>,
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Store")
            .field("path", &self.path)
            .finish_non_exhaustive()
    }
}

impl Store {
    /// Opens the database in `directory`, or makes it.
    ///
    /// # Errors
    /// If that fails, or the database is of a newer version.
    pub fn open(directory: &Path) -> Result<Self, StoreError> {
        let path = directory.join("desired.redb");
        let store = Self {
            path,
            database: Mutex::new(None),
        };
        store
            .with(|database| {
                let write = database.begin_write()?;
                let found = {
                    let mut meta = write.open_table(META)?;
                    let found = meta.get("format")?.map(|version| version.value());
                    if found.is_none() {
                        meta.insert("format", FORMAT)?;
                    }
                    write.open_table(DEFINITIONS)?;
                    write.open_table(OVERLAYS)?;
                    write.open_table(HISTORY)?;
                    write.open_table(STATES)?;
                    found.unwrap_or(FORMAT)
                };
                write.commit()?;
                Ok(found)
            })
            .and_then(|found| {
                if found > FORMAT {
                    return Err(StoreError::Newer {
                        path: store.path.clone(),
                        found,
                    });
                }
                Ok(())
            })?;
        Ok(store)
    }

    /// Everything that is in the store but the history.
    ///
    /// # Errors
    /// If it cannot be read or is damaged.
    pub fn load(&self) -> Result<Stored, StoreError> {
        let (generation, definitions, overlays, states) = self.with(|database| {
            let read = database.begin_read()?;
            let generation = read.open_table(META)?.get("generation")?.map_or(0, |g| g.value());
            let rows = |table: TableDefinition<'_, &str, &[u8]>| -> Result<Vec<(String, Vec<u8>)>, redb::Error> {
                let table = read.open_table(table)?;
                let mut rows = Vec::new();
                for row in table.iter()? {
                    let (key, value) = row?;
                    rows.push((key.value().to_owned(), value.value().to_vec()));
                }
                Ok(rows)
            };
            Ok((generation, rows(DEFINITIONS)?, rows(OVERLAYS)?, rows(STATES)?))
        })?;
        let mut stored = Stored {
            generation,
            ..Stored::default()
        };
        for (key, value) in definitions {
            let definition: Definition = self.decode(&key, &value)?;
            stored
                .definitions
                .insert(self.id(&key)?, Arc::new(definition));
        }
        for (key, value) in overlays {
            let overlay: Overlay = self.decode(&key, &value)?;
            stored.overlays.insert(self.id(&key)?, overlay);
        }
        for (key, value) in states {
            stored
                .states
                .push((self.id(&key)?, self.decode(&key, &value)?));
        }
        Ok(stored)
    }

    /// Writes a change: its record, the definitions that it edits, and the overlays as they are
    /// after it where they differ. Durable when this returns.
    ///
    /// # Errors
    /// If it cannot be written; then nothing of it is.
    pub fn write(
        &self,
        record: &Record,
        overlays: &BTreeMap<ComponentId, Option<Overlay>>,
    ) -> Result<(), StoreError> {
        let encoded = self.encode("the change", record)?;
        let mut definitions = Vec::with_capacity(record.edits.len());
        for (id, edit) in &record.edits {
            let value = edit
                .after
                .as_ref()
                .map(|after| self.encode("a definition", &**after));
            definitions.push((id.to_string(), value.transpose()?));
        }
        let mut overlay_rows = Vec::with_capacity(overlays.len());
        for (id, overlay) in overlays {
            let value = overlay
                .as_ref()
                .map(|overlay| self.encode("an overlay", overlay));
            overlay_rows.push((id.to_string(), value.transpose()?));
        }
        self.with(|database| {
            let write = database.begin_write()?;
            {
                write
                    .open_table(META)?
                    .insert("generation", record.generation)?;
                let mut history = write.open_table(HISTORY)?;
                history.insert(record.generation, encoded.as_slice())?;
                if let Some(forgotten) = record.generation.checked_sub(KEPT_CHANGES) {
                    history.remove(forgotten)?;
                }
                let tables = [(DEFINITIONS, &definitions), (OVERLAYS, &overlay_rows)];
                for (table, rows) in tables {
                    put(&write, table, rows)?;
                }
            }
            write.commit()?;
            Ok(())
        })
    }

    /// Writes overlays without a change of the desired state: the files came to say the same.
    ///
    /// # Errors
    /// If they cannot be written; then none of them is.
    pub fn write_overlays(
        &self,
        overlays: &BTreeMap<ComponentId, Option<Overlay>>,
    ) -> Result<(), StoreError> {
        let mut rows = Vec::with_capacity(overlays.len());
        for (id, overlay) in overlays {
            let value = overlay
                .as_ref()
                .map(|overlay| self.encode("an overlay", overlay));
            rows.push((id.to_string(), value.transpose()?));
        }
        self.write_rows(OVERLAYS, &rows)
    }

    /// Writes rows of one table; `None` removes.
    fn write_rows(
        &self,
        table: TableDefinition<'_, &str, &[u8]>,
        rows: &Rows,
    ) -> Result<(), StoreError> {
        self.with(|database| {
            let write = database.begin_write()?;
            put(&write, table, rows)?;
            write.commit()?;
            Ok(())
        })
    }

    /// The records of changes, the latest first, at most `most` of them, none after `up_to`.
    ///
    /// # Errors
    /// If they cannot be read.
    pub fn history(&self, up_to: u64, most: usize) -> Result<Vec<Record>, StoreError> {
        let rows = self.with(|database| {
            let read = database.begin_read()?;
            let table = read.open_table(HISTORY)?;
            let mut rows = Vec::new();
            for row in table.range(..=up_to)?.rev().take(most) {
                rows.push(row?.1.value().to_vec());
            }
            Ok(rows)
        })?;
        rows.iter()
            .map(|row| self.decode("a change", row))
            .collect()
    }

    /// Keeps what plugins want kept; `None` forgets.
    ///
    /// # Errors
    /// If it cannot be written; then nothing of it is.
    pub fn write_states(
        &self,
        states: &BTreeMap<ComponentId, Option<Value>>,
    ) -> Result<(), StoreError> {
        if states.is_empty() {
            return Ok(());
        }
        let mut rows = Vec::with_capacity(states.len());
        for (id, state) in states {
            let value = state
                .as_ref()
                .map(|state| self.encode("a state", state))
                .transpose()?;
            rows.push((id.to_string(), value));
        }
        self.write_rows(STATES, &rows)
    }

    /// Works with the database. After an error of the disk the database is closed, and opened
    /// (and by that repaired) again for the next call: a disk that was full may have room again.
    fn with<T>(
        &self,
        work: impl FnOnce(&Database) -> Result<T, redb::Error>,
    ) -> Result<T, StoreError> {
        let mut slot = self.database.lock();
        let database = match slot.take() {
            Some(database) => database,
            None => self.open_database()?,
        };
        match work(&database) {
            Ok(value) => {
                *slot = Some(database);
                Ok(value)
            }
            Err(error) => Err(self.disk("write", error)),
        }
    }

    fn open_database(&self) -> Result<Database, StoreError> {
        create_private(&self.path).map_err(|error| self.disk("create", error))?;
        let mut builder = Database::builder();
        builder.set_cache_size(CACHE_BYTES);
        builder
            .create(&self.path)
            .map_err(|error| self.disk("open", error))
    }

    fn disk(&self, doing: &'static str, reason: impl std::fmt::Display) -> StoreError {
        StoreError::Disk {
            doing,
            path: self.path.clone(),
            reason: reason.to_string(),
        }
    }

    fn decode<T: for<'de> Deserialize<'de>>(
        &self,
        what: &str,
        value: &[u8],
    ) -> Result<T, StoreError> {
        serde_json::from_slice(value).map_err(|error| self.damaged(what, error))
    }

    fn encode<T: Serialize>(&self, what: &str, value: &T) -> Result<Vec<u8>, StoreError> {
        serde_json::to_vec(value).map_err(|error| self.damaged(what, error))
    }

    fn damaged(&self, what: &str, reason: impl std::fmt::Display) -> StoreError {
        let (path, what) = (self.path.clone(), what.to_owned());
        StoreError::Damaged {
            path,
            what,
            reason: reason.to_string(),
        }
    }

    fn id(&self, key: &str) -> Result<ComponentId, StoreError> {
        parse_id(key).ok_or_else(|| self.damaged(key, "it names no component"))
    }
}

/// Reads what a component's identity is written as: `inputs/cpu`.
pub fn parse_id(text: &str) -> Option<ComponentId> {
    let (kind, id) = text.split_once('/')?;
    let kind: Kind = kind.parse().ok()?;
    (!id.is_empty()).then(|| ComponentId::new(kind, id))
}

/// Makes the file with mode 0600 if it is not there.
fn create_private(path: &Path) -> io::Result<()> {
    use std::os::unix::fs::OpenOptionsExt;
    let mut options = fs::OpenOptions::new();
    options
        .create(true)
        .append(true)
        .mode(0o600)
        .open(path)
        .map(drop)
}

/// Edits as a map from `inputs/cpu` to what was before and is after.
mod edits {
    use std::collections::BTreeMap;

    use serde::de::Error;
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    use crate::desired::{Edit, Edits};

    pub(super) fn serialize<S: Serializer>(edits: &Edits, s: S) -> Result<S::Ok, S::Error> {
        let map: BTreeMap<String, &Edit> = edits
            .iter()
            .map(|(id, edit)| (id.to_string(), edit))
            .collect();
        map.serialize(s)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(d: D) -> Result<Edits, D::Error> {
        let map = BTreeMap::<String, Edit>::deserialize(d)?;
        let named = |(key, edit): (String, Edit)| match super::parse_id(&key) {
            Some(id) => Ok((id, edit)),
            None => Err(D::Error::custom(format!("{key:?} names no component"))),
        };
        map.into_iter().map(named).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::desired::tests::definition;
    use crate::desired::{Edit, difference};

    fn record(generation: u64, edits: Edits) -> Record {
        Record {
            generation,
            at: 1,
            by: "api".into(),
            message: String::new(),
            edits,
        }
    }

    #[test]
    fn what_is_written_is_there_after_reopening() {
        let directory = tempfile::tempdir().unwrap();
        let (a, b) = (definition("a", 1), definition("b", 2));
        {
            let store = Store::open(directory.path()).unwrap();
            let to = Definitions::from([(a.id.clone(), a.clone()), (b.id.clone(), b.clone())]);
            let overlays = BTreeMap::from([(a.id.clone(), Some(Overlay::Set(a.clone())))]);
            store
                .write(&record(1, difference(&Definitions::new(), &to)), &overlays)
                .unwrap();
            let gone = Edit {
                before: Some(b.clone()),
                after: None,
            };
            let overlays = BTreeMap::from([(b.id.clone(), Some(Overlay::Removed))]);
            store
                .write(&record(2, Edits::from([(b.id.clone(), gone)])), &overlays)
                .unwrap();
            let states = BTreeMap::from([(a.id.clone(), Some(Value::from(7)))]);
            store.write_states(&states).unwrap();
        }
        let store = Store::open(directory.path()).unwrap();
        let stored = store.load().unwrap();
        assert_eq!(stored.generation, 2);
        assert_eq!(stored.definitions.keys().collect::<Vec<_>>(), [&a.id]);
        assert_eq!(stored.overlays.len(), 2);
        assert_eq!(stored.states, [(a.id.clone(), Value::from(7))]);
        let history = store.history(u64::MAX, 10).unwrap();
        assert_eq!(
            history.iter().map(|r| r.generation).collect::<Vec<_>>(),
            [2, 1]
        );
    }

    #[test]
    fn the_file_is_private() {
        use std::os::unix::fs::PermissionsExt;
        let directory = tempfile::tempdir().unwrap();
        Store::open(directory.path()).unwrap();
        let meta = fs::metadata(directory.path().join("desired.redb")).unwrap();
        assert_eq!(meta.permissions().mode() & 0o777, 0o600);
    }
}
