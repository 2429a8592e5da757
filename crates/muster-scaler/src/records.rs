//! Every decision with all that it was made from, as lines of JSON, so that it can be explained
//! later and made again with the same result.
//!
//! A file begins with a `head`: the configuration (without secrets and without what only providers
//! understand), its hash, and the ledger. Then come, in the order in which they changed the ledger,
//! `events` (how actions went) and `decision`s, each with its observation. A file holds at most one
//! day (UTC) and about 8 MiB; when it is closed it is compressed. Files go when they are older than
//! `keep_records`, and the oldest ones when all together are larger than 1 GiB.

mod read;
#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use flate2::Compression;
use flate2::write::GzEncoder;
use muster_scaler_core::{Config, Decision, Event, Ledger, Observation, Time};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

pub use read::{ReadError, Recorded, Records};

/// A file is closed when it is larger.
const FILE_BYTES: u64 = 8 << 20;

/// All files together.
const ALL_BYTES: u64 = 1 << 30;

/// The version of the lines.
const FORMAT: u32 = 1;

/// One line.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Line<'a> {
    Head(Box<Head<'a>>),
    Events(Cow<'a, [Event]>),
    Decision(Box<Made<'a>>),
}

#[derive(Debug, Serialize, Deserialize)]
struct Head<'a> {
    format: u32,
    at: Time,
    config_hash: Cow<'a, str>,
    config: Cow<'a, Config>,
    ledger: Cow<'a, Ledger>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Made<'a> {
    observation: Cow<'a, Observation>,
    decision: Cow<'a, Decision>,
}

/// Writes records.
#[derive(Debug)]
pub(crate) struct Recorder {
    directory: PathBuf,
    config: Config,
    hash: String,
    keep: Duration,
    open: Option<Open>,
    failures: Arc<AtomicU64>,
}

#[derive(Debug)]
struct Open {
    file: File,
    path: PathBuf,
    day: String,
    bytes: u64,
}

impl Recorder {
    /// A writer into this directory. Nothing is written before the first line. `failures` counts
    /// what could not be written.
    pub(crate) fn new(directory: PathBuf, config: &Config, failures: Arc<AtomicU64>) -> Self {
        let config = without_secrets(config);
        Self {
            directory,
            hash: hash(&config),
            keep: config.keep_records.get(),
            config,
            open: None,
            failures,
        }
    }

    /// The line of a decision.
    pub(crate) fn decision(&self, observation: &Observation, decision: &Decision) -> Vec<u8> {
        line(&Line::Decision(Box::new(Made {
            observation: Cow::Borrowed(observation),
            decision: Cow::Borrowed(decision),
        })))
    }

    /// The line of events.
    pub(crate) fn events(&self, events: &[Event]) -> Vec<u8> {
        line(&Line::Events(Cow::Borrowed(events)))
    }

    /// Writes lines; `before` is the ledger before the first of them. What cannot be written is
    /// counted and left out: the next lines begin a new file.
    pub(crate) fn write(&mut self, lines: &[Vec<u8>], before: &Ledger, at: Time) {
        if let Err(error) = self.try_write(lines, before, at) {
            self.open = None;
            self.failures.fetch_add(1, Ordering::Relaxed);
            tracing::warn!(%error, directory = %self.directory.display(), "a decision was not recorded");
        }
    }

    fn try_write(&mut self, lines: &[Vec<u8>], before: &Ledger, at: Time) -> io::Result<()> {
        let day = day(at);
        let full = |open: &Open| open.day != day || open.bytes >= FILE_BYTES;
        if self.open.as_ref().is_none_or(full) {
            self.begin(day, before, at)?;
        }
        if let Some(open) = &mut self.open {
            let text = lines.concat();
            open.file.write_all(&text)?;
            open.bytes += text.len() as u64;
        }
        Ok(())
    }

    fn begin(&mut self, day: String, before: &Ledger, at: Time) -> io::Result<()> {
        self.open = None;
        fs::create_dir_all(&self.directory)?;
        self.tidy(at)?;
        let last = files(&self.directory)?.into_iter().rev();
        let last = last.filter(|file| file.day == day).map(|file| file.number);
        let number = last.max().unwrap_or(0) + 1;
        let path = self.directory.join(format!("{day}-{number:04}.jsonl"));
        let mut options = fs::OpenOptions::new();
        let mut file = options
            .create_new(true)
            .append(true)
            .mode(0o600)
            .open(&path)?;
        let head = line(&Line::Head(Box::new(Head {
            format: FORMAT,
            at,
            config_hash: Cow::Borrowed(&self.hash),
            config: Cow::Borrowed(&self.config),
            ledger: Cow::Borrowed(before),
        })));
        file.write_all(&head)?;
        let bytes = head.len() as u64;
        self.open = Some(Open {
            file,
            path,
            day,
            bytes,
        });
        Ok(())
    }

    /// Compresses what is closed, and removes what is too old or too much.
    fn tidy(&self, now: Time) -> io::Result<()> {
        let oldest = day(now - self.keep);
        let mut left = Vec::new();
        for file in files(&self.directory)? {
            if file.day < oldest {
                fs::remove_file(&file.path)?;
            } else {
                left.push(compress(&file.path)?);
            }
        }
        let mut bytes = 0;
        for path in left.iter().rev() {
            bytes += fs::metadata(path)?.len();
            if bytes > ALL_BYTES {
                fs::remove_file(path)?;
            }
        }
        Ok(())
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        if let Some(open) = self.open.take() {
            // What is not compressed now is with the next file.
            let _ = compress(&open.path);
        }
    }
}

/// What can be recorded of a configuration: no secret, and of providers what all kinds have.
pub(crate) fn without_secrets(config: &Config) -> Config {
    let mut config = config.clone();
    let common = ["kind", "boot_timeout", "price_per_hour", "timeout"];
    for provider in config.pool.iter_mut().flat_map(|pool| &mut pool.provider) {
        provider.table.retain(|key, _| common.contains(&key));
    }
    for pool in &mut config.pool {
        // It may hold anything.
        pool.runner_config.clear();
    }
    config
}

fn hash(config: &Config) -> String {
    let text = serde_json::to_vec(config).unwrap_or_default();
    hex(&Sha256::digest(text))
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    let mut text = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        let _ = write!(text, "{byte:02x}");
    }
    text
}

fn line(line: &Line<'_>) -> Vec<u8> {
    // Nothing in it can fail to be written: keys are texts and numbers.
    let mut text = serde_json::to_vec(line).unwrap_or_default();
    text.push(b'\n');
    text
}

/// The day of a time, in UTC: `2026-11-22`.
fn day(at: Time) -> String {
    let at = jiff::Timestamp::from_millisecond(at.millis()).unwrap_or_default();
    at.strftime("%Y-%m-%d").to_string()
}

/// A file of records.
struct RecordFile {
    path: PathBuf,
    day: String,
    number: u32,
}

/// The files in order of time.
fn files(directory: &Path) -> io::Result<Vec<RecordFile>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        let name = path.file_name().and_then(|name| name.to_str());
        let stem = name.and_then(|name| {
            name.strip_suffix(".jsonl")
                .or_else(|| name.strip_suffix(".jsonl.gz"))
        });
        let Some((day, number)) = stem.and_then(|stem| stem.rsplit_once('-')) else {
            continue;
        };
        if let Ok(number) = number.parse() {
            let day = day.to_owned();
            files.push(RecordFile { path, day, number });
        }
    }
    files.sort_by(|a, b| (&a.day, a.number).cmp(&(&b.day, b.number)));
    Ok(files)
}

/// Compresses a file if it is not yet; where it is then. A crash leaves either.
fn compress(path: &Path) -> io::Result<PathBuf> {
    if path.extension().is_some_and(|extension| extension == "gz") {
        return Ok(path.to_owned());
    }
    let packed = path.with_extension("jsonl.gz");
    let half = path.with_extension("half");
    let mut options = fs::OpenOptions::new();
    options.create(true).truncate(true).write(true).mode(0o600);
    let mut encoder = GzEncoder::new(options.open(&half)?, Compression::fast());
    io::copy(&mut File::open(path)?, &mut encoder)?;
    encoder.finish()?.sync_all()?;
    fs::rename(&half, &packed)?;
    fs::remove_file(path)?;
    Ok(packed)
}
