//! Reading small files again and again.

use std::borrow::Cow;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::str::FromStr;

use muster_plugin::PluginError;

/// A file that is read at each gather, into the same memory.
#[derive(Debug)]
pub(crate) struct TextFile {
    path: PathBuf,
    bytes: Vec<u8>,
}

impl TextFile {
    pub(crate) fn new(path: PathBuf) -> Self {
        Self {
            path,
            bytes: Vec::new(),
        }
    }

    /// The whole text; what is no UTF-8 is replaced.
    pub(crate) fn read(&mut self) -> Result<Cow<'_, str>, PluginError> {
        let Self { path, bytes } = self;
        read_text(path, bytes).map_err(|error| cannot_read(path, error))
    }

    /// As [`read`](Self::read); nothing if there is no such file.
    pub(crate) fn read_if_there(&mut self) -> Result<Option<Cow<'_, str>>, PluginError> {
        let Self { path, bytes } = self;
        match read_text(path, bytes) {
            Ok(text) => Ok(Some(text)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(cannot_read(path, error)),
        }
    }
}

/// The failure to read a file.
pub(crate) fn cannot_read(path: &Path, error: io::Error) -> PluginError {
    PluginError::new(format!("read {}", path.display())).because(error)
}

/// Reads a file into `bytes`, in place of what was there.
pub(crate) fn read_bytes<'b>(path: &Path, bytes: &'b mut Vec<u8>) -> io::Result<&'b [u8]> {
    bytes.clear();
    File::open(path)?.read_to_end(bytes)?;
    Ok(bytes)
}

/// As [`read_bytes`], as text; what is no UTF-8 is replaced.
pub(crate) fn read_text<'b>(path: &Path, bytes: &'b mut Vec<u8>) -> io::Result<Cow<'b, str>> {
    read_bytes(path, bytes).map(String::from_utf8_lossy)
}

/// A file that holds a single number; nothing if it does not, or cannot be read.
pub(crate) fn read_number<T: FromStr>(path: &Path, bytes: &mut Vec<u8>) -> Option<T> {
    read_text(path, bytes).ok()?.trim().parse().ok()
}

/// A file's text without the space around it; nothing if it cannot be read.
pub(crate) fn read_trimmed(path: &Path) -> Option<String> {
    let mut bytes = Vec::new();
    read_text(path, &mut bytes)
        .ok()
        .map(|text| text.trim().to_owned())
}

/// The numbers that name folders of `dir`: the processes of `/proc`.
pub(crate) fn numbered(dir: &Path) -> io::Result<impl Iterator<Item = u32>> {
    let entries = std::fs::read_dir(dir)?;
    Ok(entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok()))
}
