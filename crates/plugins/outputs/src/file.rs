//! `file`: appends metrics to files or writes them to the standard output.
//!
//! Each write is one block of bytes and, as far as the system plays along, one system call for
//! each file. It happens on a thread of its own, so that a file system that hangs holds up nothing
//! but this output. A write that fails half-way is taken back, so that the next try leaves no torn
//! line. A file that was moved away (by logrotate) is made anew.

mod rotation;
mod sink;

#[cfg(test)]
mod tests;

use std::io::Write as _;
use std::sync::Arc;
use std::time::SystemTime;

use async_trait::async_trait;
use flate2::write::GzEncoder;
use muster_formats::Serializer;
use muster_metric::Metrics;
use muster_options::{Duration, JsonSchema, OptionError, Size};
use muster_plugin::{
    Build, BuildContext, Built, FormatUse, Options, Output, OutputContext, PluginError, PluginRow,
    StartContext, WriteError,
};
use muster_tasks::{Group, Outcome};
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};

use crate::encode::encode;
use rotation::Rotation;
use sink::Sink;

/// The plugin's row.
pub(crate) const ROW: PluginRow = PluginRow {
    name: "file",
    summary: "appends metrics to files or writes them to the standard output",
    options: FileOptions::describe,
    format: FormatUse::Serializer("influx"),
    build: Build::Output(build),
};

/// Appends metrics to files or writes them to the standard output.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
struct FileOptions {
    /// The files; `stdout` stands for the standard output. Each gets all metrics.
    files: Vec<String>,
    /// Writes each batch as one document, for formats that can (`json`); they read this too.
    use_batch_format: bool,
    /// After so much time a file is put aside and a new one begun. 0 means never.
    rotation_interval: Duration,
    /// Before a file would grow larger than this it is put aside and a new one begun. 0 means
    /// never.
    rotation_max_size: Size,
    /// So many files that were put aside are kept; -1 keeps all.
    rotation_max_archives: i64,
    /// How what is written is compressed. Each write is complete in itself, so a file can be
    /// unpacked at any time.
    compression_algorithm: Compression,
    /// How hard to compress, from 0 (not at all) to 9; -1 for the usual.
    compression_level: i64,
}

impl Default for FileOptions {
    fn default() -> Self {
        Self {
            files: vec![sink::STDOUT.to_owned()],
            use_batch_format: false,
            rotation_interval: Duration::ZERO,
            rotation_max_size: Size::from_bytes(0),
            rotation_max_archives: 5,
            compression_algorithm: Compression::None,
            compression_level: -1,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum Compression {
    #[serde(alias = "")]
    None,
    Gzip,
}

struct File {
    options: FileOptions,
    serializer: Arc<dyn Serializer>,
    files: Arc<Slot>,
}

/// Where the files are while nobody writes.
type Slot = Mutex<Option<Box<Files>>>;

/// The open files and the buffer for what goes into them.
struct Files {
    sinks: Vec<Sink>,
    buffer: Vec<u8>,
}

/// The files while somebody writes; they go back to their slot when this is dropped, wherever
/// that happens.
struct Loan {
    slot: Arc<Slot>,
    files: Option<Box<Files>>,
}

impl Loan {
    /// Takes the files out of the slot, if they are there.
    fn take(slot: &Arc<Slot>) -> Option<Self> {
        let files = slot.lock().take()?;
        Some(Self {
            slot: Arc::clone(slot),
            files: Some(files),
        })
    }

    fn run<T>(mut self, work: impl FnOnce(&mut Files) -> T) -> Option<T> {
        self.files.as_deref_mut().map(work)
    }
}

impl Drop for Loan {
    fn drop(&mut self) {
        *self.slot.lock() = self.files.take();
    }
}

fn build(cx: &BuildContext) -> Built<Box<dyn Output>> {
    Ok(Box::new(File::new(
        FileOptions::parse(cx.options())?,
        cx.serializer()?,
    )?))
}

impl File {
    fn new(options: FileOptions, serializer: Arc<dyn Serializer>) -> Built<Self> {
        let mut errors = Vec::new();
        if options.files.is_empty() {
            let error = OptionError::new("files", "no file to write to");
            errors.push(error.with_hint("files = [\"stdout\"] writes to the standard output"));
        }
        if !(-1..=9).contains(&options.compression_level) {
            errors.push(OptionError::new(
                "compression_level",
                "is a number from -1 to 9",
            ));
        }
        let rotation = Rotation {
            interval: options.rotation_interval.get(),
            max_size: options.rotation_max_size.bytes(),
            max_archives: usize::try_from(options.rotation_max_archives).ok(),
        };
        for (at, file) in options.files.iter().enumerate() {
            if file.is_empty() {
                errors.push(OptionError::new(
                    format!("files[{at}]"),
                    "a file needs a name",
                ));
            }
        }
        if !errors.is_empty() {
            return Err(errors);
        }
        let sinks = options
            .files
            .iter()
            .map(|file| Sink::new(file, &rotation))
            .collect();
        let files = Box::new(Files {
            sinks,
            buffer: Vec::new(),
        });
        Ok(Self {
            options,
            serializer,
            files: Arc::new(Mutex::new(Some(files))),
        })
    }

    fn fill(&self, metrics: &Metrics, buffer: &mut Vec<u8>) -> Result<(), PluginError> {
        buffer.clear();
        encode(&*self.serializer, metrics, buffer);
        if self.options.compression_algorithm == Compression::Gzip {
            let level = u32::try_from(self.options.compression_level)
                .map_or(flate2::Compression::default(), flate2::Compression::new);
            let mut packed = GzEncoder::new(Vec::with_capacity(buffer.len() / 4), level);
            let failed = || PluginError::io("compress metrics");
            packed.write_all(buffer).map_err(failed())?;
            *buffer = packed.finish().map_err(failed())?;
        }
        Ok(())
    }
}

impl Files {
    /// Writes the buffer to every file; one that fails does not keep the others from theirs.
    fn write(&mut self) -> Result<(), PluginError> {
        let (buffer, now) = (&self.buffer, SystemTime::now());
        let mut result = Ok(());
        for sink in &mut self.sinks {
            result = result.and(sink.write(buffer, now));
        }
        result
    }

    fn open(&mut self) -> Result<(), PluginError> {
        self.sinks.iter_mut().try_for_each(Sink::open)
    }
}

/// Runs `work` on the files on a thread of its own. If there is no thread to be had, because
/// others hold all, it is done right here: that may take a moment, but metrics get out.
async fn on_thread(
    group: &Group,
    slot: &Arc<Slot>,
    work: fn(&mut Files) -> Result<(), PluginError>,
) -> Result<(), PluginError> {
    let busy = || PluginError::new("write: an earlier write still hangs in the file system");
    let loan = Loan::take(slot).ok_or_else(busy)?;
    let done = match group.spawn_blocking("write file", move |_| loan.run(work)) {
        Ok(handle) => match handle.join().await {
            Outcome::Done(done) => done,
            other => return Err(PluginError::new(format!("write on a thread: {other:?}"))),
        },
        Err(refused) if refused.is_full() => Loan::take(slot).ok_or_else(busy)?.run(work),
        Err(refused) => return Err(PluginError::new("write on a thread").because(refused)),
    };
    done.unwrap_or_else(|| Err(busy()))
}

#[async_trait]
impl Output for File {
    async fn start(&mut self, cx: &StartContext) -> Result<(), PluginError> {
        on_thread(cx.group(), &self.files, Files::open).await
    }

    async fn write(&mut self, cx: &OutputContext, metrics: &Metrics) -> Result<(), WriteError> {
        if let Some(mut loan) = Loan::take(&self.files)
            && let Some(files) = &mut loan.files
        {
            self.fill(metrics, &mut files.buffer)
                .map_err(WriteError::Rejected)?;
        }
        Ok(on_thread(&cx.tasks().group(), &self.files, Files::write).await?)
    }
}
