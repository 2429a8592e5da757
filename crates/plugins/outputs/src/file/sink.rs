//! One place that metrics are written to.

use std::fs::{self, File, Metadata, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use muster_plugin::PluginError;

use super::rotation::{Rotation, archive_path, archive_time, to_delete};

/// The name that stands for the standard output.
pub(super) const STDOUT: &str = "stdout";

/// One place that metrics are written to.
pub(super) enum Sink {
    Stdout,
    File(FileSink),
}

impl Sink {
    /// The place of that name; not opened yet.
    pub(super) fn new(name: &str, rotation: &Rotation) -> Self {
        if name == STDOUT {
            Self::Stdout
        } else {
            Self::File(FileSink {
                path: name.into(),
                rotation: rotation.clone(),
                open: None,
            })
        }
    }

    /// Opens it, to learn early whether that works.
    pub(super) fn open(&mut self) -> Result<(), PluginError> {
        match self {
            Self::Stdout => Ok(()),
            Self::File(file) => file.open().map(|_| ()),
        }
    }

    /// Writes all of `bytes`, or none of them as far as the file can be set back.
    pub(super) fn write(&mut self, bytes: &[u8], now: SystemTime) -> Result<(), PluginError> {
        match self {
            Self::Stdout => {
                let mut stdout = io::stdout().lock();
                let written = stdout.write_all(bytes).and_then(|()| stdout.flush());
                written.map_err(PluginError::io("write to the standard output"))
            }
            Self::File(file) => file.write(bytes, now),
        }
    }
}

/// A file that is appended to and put aside by its rules.
pub(super) struct FileSink {
    path: PathBuf,
    rotation: Rotation,
    open: Option<File>,
}

impl FileSink {
    fn open(&mut self) -> Result<&mut File, PluginError> {
        let path = &self.path;
        if self.open.is_none() {
            let opened = OpenOptions::new().create(true).append(true).open(path);
            let file = opened.map_err(PluginError::io(format!("open {}", path.display())))?;
            self.open = Some(file);
        }
        self.open
            .as_mut()
            .ok_or_else(|| PluginError::new(format!("open {}", path.display())))
    }

    fn write(&mut self, bytes: &[u8], now: SystemTime) -> Result<(), PluginError> {
        let there = fs::metadata(&self.path).ok();
        let opened = self.open.as_ref().and_then(|file| file.metadata().ok());
        if !is_same(there.as_ref(), opened.as_ref()) {
            self.open = None; // It was moved or deleted by somebody else: a new one is made.
        }
        if let Some(there) = there.filter(Metadata::is_file) {
            let since = there.created().or_else(|_| there.modified()).unwrap_or(now);
            if self.rotation.is_due(there.len(), since, bytes.len(), now) {
                self.put_aside(now)?;
            }
        }
        let path = self.path.display().to_string();
        let file = self.open()?;
        append(file, bytes).map_err(PluginError::io(format!("write to {path}")))
    }

    fn put_aside(&mut self, now: SystemTime) -> Result<(), PluginError> {
        let path = &self.path;
        let archive = (0..u32::MAX)
            .map(|number| archive_path(path, now, number))
            .find(|archive| !archive.exists())
            .ok_or_else(|| {
                PluginError::new(format!("find a name to put {} aside", path.display()))
            })?;
        let failed = PluginError::io(format!(
            "rename {} to {}",
            path.display(),
            archive.display()
        ));
        fs::rename(path, &archive).map_err(failed)?;
        self.open = None;
        if let Some(keep) = self.rotation.max_archives
            && let Err(error) = delete_old(path, keep)
        {
            // The metrics come first; the next rotation tries again.
            let path = path.display();
            tracing::warn!(%path, %error, "failed to delete old archives");
        }
        Ok(())
    }
}

fn is_same(there: Option<&Metadata>, opened: Option<&Metadata>) -> bool {
    let identity = |m: &Metadata| (m.dev(), m.ino());
    there.map(identity) == opened.map(identity)
}

fn delete_old(path: &Path, keep: usize) -> io::Result<()> {
    let parent = path
        .parent()
        .filter(|parent| !parent.as_os_str().is_empty());
    let mut archives = Vec::new();
    for entry in fs::read_dir(parent.unwrap_or(Path::new(".")))? {
        let entry = entry?;
        if let Some(time) = archive_time(path, &entry.file_name()) {
            archives.push((time, entry.path()));
        }
    }
    to_delete(archives, keep)
        .into_iter()
        .try_for_each(fs::remove_file)
}

/// Appends all bytes; what was written before a failure is taken back if nobody wrote after it, so
/// that a retry leaves no torn line.
fn append(file: &mut File, bytes: &[u8]) -> io::Result<()> {
    let mut written = 0;
    while written < bytes.len() {
        let failure = match file.write(&bytes[written..]) {
            Ok(0) => io::Error::from(io::ErrorKind::WriteZero),
            Ok(count) => {
                written += count;
                continue;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => error,
        };
        if written > 0 {
            take_back(file, written as u64);
        }
        return Err(failure);
    }
    Ok(())
}

/// With append mode the position after a write is the end of what was written.
fn take_back(file: &mut File, written: u64) {
    use std::io::Seek;
    let (Ok(end), Ok(there)) = (file.stream_position(), file.metadata()) else {
        return;
    };
    if there.is_file() && there.len() == end {
        let _ = file.set_len(end.saturating_sub(written));
    }
}
