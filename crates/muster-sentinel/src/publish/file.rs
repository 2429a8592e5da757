//! `publishers.file`: all statuses as one JSON file, replaced at once as a whole.

#[cfg(test)]
mod tests;

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use muster_metric::Timestamp;
use muster_options::{Duration as OptionDuration, JsonSchema, OptionError, Options};
use muster_plugin::{
    Build, BuildContext, Built, FormatUse, PluginError, PluginRow, ServiceContext, ServiceInput,
    StartContext,
};
use muster_tasks::catch_panic;
use serde::{Deserialize, Serialize};
use tokio::time::{Instant, timeout_at};

use super::default_writer;
use crate::board::{Board, Interest, Subscription};
use crate::document::{Document, TooLarge, VERSION, Writer};

/// The least time between two writes, and before a failed one is tried again.
const PAUSE: Duration = Duration::from_millis(100);
const RETRY: Duration = Duration::from_secs(1);

/// The row of the plugin.
pub(crate) const ROW: PluginRow = PluginRow {
    name: "file",
    summary: "writes what the checks found into a JSON file, replaced as a whole",
    options: FilePublisherOptions::describe,
    format: FormatUse::None,
    build: Build::Publisher(|cx| Ok(Box::new(FilePublisher::build(cx)?))),
};

/// Options of `publishers.file`.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct FilePublisherOptions {
    /// The file. Its folder must be there.
    pub path: String,
    /// The file is written when a state changes, and so often when none does.
    pub refresh: OptionDuration,
    /// The name under which to report; the host's, if not given.
    pub writer: String,
    /// Writes the file after every check, at most ten times a second.
    pub write_every_check: bool,
}

impl Default for FilePublisherOptions {
    fn default() -> Self {
        Self {
            path: "/run/muster/sentinel.json".to_owned(),
            refresh: OptionDuration::from_secs(30),
            writer: String::new(),
            write_every_check: false,
        }
    }
}

/// What the file holds.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct FileDocument {
    /// The version of the format.
    pub v: u32,
    /// When it was written, in milliseconds since 1970.
    pub written_ms: i64,
    /// It is written anew at least so often, in milliseconds: an older one says that nobody looks.
    pub refresh_ms: u64,
    /// All instances, sorted by kind and place.
    pub instances: Vec<Document>,
}

/// The component.
#[derive(Debug)]
pub struct FilePublisher {
    path: PathBuf,
    refresh: Duration,
    interest: Interest,
    writer: Writer,
    board: Option<Arc<Board>>,
    _place: Option<Arc<()>>,
}

impl FilePublisher {
    /// Checks the options.
    ///
    /// # Errors
    /// All that is wrong with them.
    pub fn build(cx: &BuildContext) -> Built<Self> {
        let options = FilePublisherOptions::parse(cx.options())?;
        let mut errors = Vec::new();
        let path = PathBuf::from(&options.path);
        if path.file_name().is_none() {
            errors.push(OptionError::new("path", "the name of a file is missing"));
        }
        if options.refresh.get() < RETRY {
            errors.push(OptionError::new("refresh", "at least 1s"));
        }
        if !errors.is_empty() {
            return Err(errors);
        }
        let id = if options.writer.is_empty() {
            default_writer()
        } else {
            options.writer
        };
        Ok(Self {
            path,
            refresh: options.refresh.get(),
            interest: if options.write_every_check {
                Interest::EveryCheck
            } else {
                Interest::Changes
            },
            writer: Writer {
                id,
                ..Writer::default()
            },
            board: None,
            _place: None,
        })
    }

    /// For how long the file may rest as it is.
    fn rest(&self) -> Duration {
        match self.interest {
            Interest::Changes => self.refresh,
            Interest::EveryCheck => Duration::ZERO,
        }
    }

    fn document(&self, board: &Board) -> Result<Vec<u8>, PluginError> {
        let slots = board.slots();
        let instances = slots
            .iter()
            .map(|slot| Document::new(&slot.instance(), &slot.status(), &self.writer))
            .map(|document| document.refreshed(self.rest()));
        let document = FileDocument {
            v: VERSION,
            written_ms: Timestamp::now().nanos() / 1_000_000,
            refresh_ms: u64::try_from(self.refresh.as_millis()).unwrap_or(u64::MAX),
            instances: instances.collect(),
        };
        let mut json = serde_json::to_vec(&document)
            .map_err(|error| PluginError::new("write a document").because(error))?;
        json.push(b'\n');
        let most = crate::document::MOST_BYTES * (slots.len() + 1);
        if json.len() > most {
            return Err(PluginError::new("write a document").because(TooLarge(json.len())));
        }
        Ok(json)
    }

    async fn write(&self, cx: &ServiceContext, board: &Board) -> Result<(), PluginError> {
        let failed = || PluginError::new(format!("write {}", self.path.display()));
        let json = self.document(board)?;
        let path = self.path.clone();
        let work = move |_| replace(&path, &json);
        // A disk that hangs holds up its own thread and nobody else.
        let handle = cx.group().spawn_blocking("write", work);
        let handle = handle.map_err(|why| failed().because(why))?;
        let written = handle
            .join()
            .await
            .into_result()
            .map_err(|why| failed().because(why))?;
        written.map_err(|error| failed().because(error))
    }
}

/// Puts `bytes` in the place of the file: a reader sees the old one or the new one.
fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".new");
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    let beside = folder.join(name);
    let mut file = File::create(&beside)?;
    let written = file.write_all(bytes).and_then(|()| file.sync_all());
    drop(file);
    let renamed = written.and_then(|()| fs::rename(&beside, path));
    if renamed.is_err() {
        let _ = fs::remove_file(&beside);
    }
    renamed?;
    File::open(folder)?.sync_all()
}

#[async_trait]
impl ServiceInput for FilePublisher {
    async fn start(&mut self, cx: &StartContext) -> Result<(), PluginError> {
        // Two that write the same file would undo each other's work.
        let name = format!("file {}", self.path.display());
        let place = cx
            .resources()
            .take::<(), PluginError>(cx.id(), &name, || Ok(()))?;
        self._place = Some(place);
        self.board = Some(cx.resources().shared());
        let id = std::mem::take(&mut self.writer.id);
        self.writer = Writer::here(id);
        Ok(())
    }

    async fn run(&mut self, cx: &ServiceContext) -> Result<(), PluginError> {
        let Some(board) = self.board.clone() else {
            return Err(PluginError::new("run a publisher that was not started"));
        };
        let news = board.subscribe(self.interest);
        let mut failing = false;
        loop {
            let result = tokio::select! {
                () = cx.cancelled() => return Ok(()),
                result = catch_panic(self.write(cx, &board)) => result,
            };
            let result = result.unwrap_or_else(|panic| {
                let failed = PluginError::new(format!("write {}", self.path.display()));
                Err(failed.because(panic))
            });
            let pause = if result.is_ok() { PAUSE } else { RETRY };
            match result {
                Ok(()) => failing = false,
                // The same again is not told again.
                Err(error) if !failing => {
                    failing = true;
                    cx.report(error);
                }
                Err(_) => {}
            }
            let due = Instant::now() + if failing { RETRY } else { self.refresh };
            tokio::select! {
                () = cx.cancelled() => return Ok(()),
                () = wait(&news, pause, due) => {}
            }
        }
    }
}

/// Waits for news, at least `pause` and at most until `due`.
async fn wait(news: &Subscription, pause: Duration, due: Instant) {
    tokio::time::sleep(pause).await;
    let _ = timeout_at(due, news.changed()).await;
}
