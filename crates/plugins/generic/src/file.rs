//! `file`: reads whole files each interval.

#[cfg(test)]
mod tests;

use std::fs::File as Handle;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use muster_metric::Batch;
use muster_options::{JsonSchema, OptionError, Size};
use muster_plugin::{
    Build, BuildContext, Built, FormatUse, GatherContext, Input, Options, PluginError, PluginRow,
};
use serde::{Deserialize, Serialize};

use crate::encoding::Encoding;
use crate::feed::Feed;
use crate::paths::FilePattern;

/// The plugin's row.
pub(crate) const ROW: PluginRow = PluginRow {
    name: "file",
    summary: "reads whole files each interval",
    options: FileOptions::describe,
    format: FormatUse::Parser("influx"),
    build: Build::Input(build),
};

/// Reads whole files each interval.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
struct FileOptions {
    /// The files, as names or patterns: `*` and `?` stay within a folder, `**` goes through all
    /// folders below.
    files: Vec<String>,
    /// How the text is encoded: `utf-8`, `utf-16le`, `utf-16be`, or nothing to take it as it is.
    character_encoding: Encoding,
    /// Adds a tag of this name with the file's name to each metric. Nothing adds none.
    file_tag: String,
    /// Adds a tag of this name with the file's whole path to each metric. Nothing adds none.
    file_path_tag: String,
    /// A file larger than this is not read.
    max_size: Size,
}

impl Default for FileOptions {
    fn default() -> Self {
        Self {
            files: Vec::new(),
            character_encoding: Encoding::Raw,
            file_tag: String::new(),
            file_path_tag: String::new(),
            max_size: Size::from_mib(64),
        }
    }
}

/// Shared with the thread that reads.
#[derive(Clone)]
struct File(Arc<Inner>);

struct Inner {
    options: FileOptions,
    patterns: Vec<FilePattern>,
    feed: Feed,
}

fn build(cx: &BuildContext) -> Built<Box<dyn Input>> {
    let options = FileOptions::parse(cx.options())?;
    let patterns = patterns(&options.files)?;
    let feed = Feed::new(cx.parser()?, "file");
    Ok(Box::new(File(Arc::new(Inner {
        options,
        patterns,
        feed,
    }))))
}

/// The patterns of an option `files`.
pub(crate) fn patterns(files: &[String]) -> Built<Vec<FilePattern>> {
    let (mut patterns, mut errors) = (Vec::new(), Vec::new());
    if files.is_empty() {
        errors.push(OptionError::new("files", "no file to read"));
    }
    for (at, file) in files.iter().enumerate() {
        match FilePattern::new(file) {
            _ if file.is_empty() => {
                errors.push(OptionError::new(
                    format!("files[{at}]"),
                    "a file needs a name",
                ));
            }
            Ok(pattern) => patterns.push(pattern),
            Err(error) => {
                errors.push(OptionError::new(format!("files[{at}]"), error.to_string()));
            }
        }
    }
    if errors.is_empty() {
        Ok(patterns)
    } else {
        Err(errors)
    }
}

impl Inner {
    /// Reads and parses all files; what went wrong, and whether anything went right.
    fn read_all(&self, stop: impl Fn() -> bool, batch: &mut Batch) -> (Vec<PluginError>, bool) {
        let (mut errors, mut paths, mut any) = (Vec::new(), Vec::new(), false);
        for pattern in &self.patterns {
            if let Err(error) = pattern.find(&mut paths) {
                errors.push(PluginError::new(format!("find {}", pattern.text())).because(error));
            }
        }
        for path in paths {
            if stop() {
                break;
            }
            match self.read_one(&path, batch) {
                Ok(()) => any = true,
                Err(error) => errors.push(error),
            }
        }
        (errors, any)
    }

    fn read_one(&self, path: &Path, batch: &mut Batch) -> Result<(), PluginError> {
        let first = batch.rows();
        let bytes = self
            .bytes(path)
            .map_err(PluginError::io(format!("read {}", path.display())))?;
        let text = self.options.character_encoding.decode(&bytes);
        let parsed = self
            .feed
            .document(&text, &path.display().to_string(), batch);
        self.tag(path, first, batch);
        parsed
    }

    fn bytes(&self, path: &Path) -> io::Result<Vec<u8>> {
        let file = Handle::open(path)?;
        let kind = file.metadata()?;
        if kind.is_dir() {
            return Err(io::ErrorKind::IsADirectory.into());
        }
        let most = self.options.max_size.bytes();
        let mut bytes = Vec::new();
        // What is told of the size need not be true, as in /proc.
        file.take(most.saturating_add(1)).read_to_end(&mut bytes)?;
        if bytes.len() as u64 > most {
            let message = format!("it is larger than max_size, {}", self.options.max_size);
            return Err(io::Error::new(io::ErrorKind::FileTooLarge, message));
        }
        Ok(bytes)
    }

    fn tag(&self, path: &Path, first: usize, batch: &mut Batch) {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let whole = std::path::absolute(path).unwrap_or_else(|_| PathBuf::from(path));
        let tags = [
            (&self.options.file_tag, name),
            (&self.options.file_path_tag, whole.to_string_lossy()),
        ];
        for (key, value) in tags.into_iter().filter(|(key, _)| !key.is_empty()) {
            tag_rows(batch, first, key, &value);
        }
    }
}

/// Adds a tag to all metrics from row `first` on.
pub(crate) fn tag_rows(batch: &mut Batch, first: usize, key: &str, value: &str) {
    let (key, value) = (batch.text(key), batch.text(value));
    for row in first..batch.rows() {
        if let Some(mut metric) = batch.get_mut(row) {
            metric.set_tag(key, value);
        }
    }
}

#[async_trait]
impl Input for File {
    async fn gather(&mut self, cx: &GatherContext, batch: &mut Batch) -> Result<(), PluginError> {
        let (inner, mut filled) = (Arc::clone(&self.0), std::mem::take(batch));
        let read = cx.blocking("read files", move |thread| {
            let (errors, any) = inner.read_all(|| thread.is_cancelled(), &mut filled);
            (filled, errors, any)
        });
        let (filled, mut errors, any) = read.await?;
        *batch = filled;
        let last = if any { None } else { errors.pop() };
        errors.into_iter().for_each(|error| cx.report(error));
        last.map_or(Ok(()), Err)
    }
}
