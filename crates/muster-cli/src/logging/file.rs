//! The log's file, replaced by a new one now and then.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use jiff::Timestamp;
use parking_lot::{Mutex, MutexGuard};
use tracing_subscriber::fmt::MakeWriter;

/// When the file is replaced.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rotation {
    /// After this time; zero for never.
    pub(super) interval: Duration,
    /// Before it grows beyond so many bytes; zero for never.
    pub(super) max_size: u64,
    /// How many old files are kept; `None` for all.
    pub(super) max_archives: Option<usize>,
}

/// A log file.
#[derive(Debug)]
pub(super) struct LogFile {
    inner: Mutex<Inner>,
}

#[derive(Debug)]
pub(super) struct Inner {
    path: PathBuf,
    rotation: Rotation,
    file: File,
    size: u64,
    since: SystemTime,
}

/// The file while one event is written.
#[derive(Debug)]
pub(super) struct Held<'a>(MutexGuard<'a, Inner>);

impl LogFile {
    /// Opens a file, or makes it; what it has is kept.
    pub(super) fn open(path: PathBuf, rotation: Rotation) -> io::Result<Self> {
        let inner = Inner::open(path, rotation)?;
        Ok(Self {
            inner: Mutex::new(inner),
        })
    }
}

impl<'a> MakeWriter<'a> for LogFile {
    type Writer = Held<'a>;

    fn make_writer(&'a self) -> Held<'a> {
        Held(self.inner.lock())
    }
}

impl Write for Held<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write_event(bytes, SystemTime::now())?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Inner {
    fn open(path: PathBuf, rotation: Rotation) -> io::Result<Self> {
        let file = OpenOptions::new().create(true).append(true).open(&path)?;
        let meta = file.metadata()?;
        // A restart must not put the replacement off for ever.
        let since = match meta.len() {
            0 => SystemTime::now(),
            _ => meta.created().or_else(|_| meta.modified())?,
        };
        Ok(Self {
            path,
            rotation,
            size: meta.len(),
            file,
            since,
        })
    }

    fn write_event(&mut self, bytes: &[u8], now: SystemTime) -> io::Result<()> {
        if self.size > 0 && self.is_due(bytes.len(), now) {
            // A file that cannot be replaced is better than no log.
            self.since = now;
            let _ = self.replace(now);
        }
        self.file.write_all(bytes)?;
        self.size += bytes.len() as u64;
        Ok(())
    }

    fn is_due(&self, more: usize, now: SystemTime) -> bool {
        let Rotation {
            interval, max_size, ..
        } = self.rotation;
        let age = now.duration_since(self.since).unwrap_or_default();
        (!interval.is_zero() && age >= interval)
            || (max_size > 0 && self.size + more as u64 > max_size)
    }

    fn replace(&mut self, now: SystemTime) -> io::Result<()> {
        let archive = self.archive_path(now);
        fs::rename(&self.path, archive)?;
        self.file = OpenOptions::new()
            .create(true)
            .append(true)
            .open(&self.path)?;
        self.size = 0;
        self.remove_old()
    }

    /// `muster.2026-01-02-1767312000.log` for `muster.log`; a second one in the same second gets a
    /// number.
    fn archive_path(&self, now: SystemTime) -> PathBuf {
        let time = Timestamp::try_from(now).unwrap_or_default();
        let stamp = format!("{}-{}", time.strftime("%Y-%m-%d"), time.as_second());
        let (stem, end) = name_parts(&self.path);
        let numbered = |n: u32| {
            let number = if n == 0 {
                String::new()
            } else {
                format!("-{n:03}")
            };
            self.path
                .with_file_name(format!("{stem}.{stamp}{number}{end}"))
        };
        let mut n = 0;
        while n < 999 && numbered(n).exists() {
            n += 1;
        }
        numbered(n)
    }

    fn remove_old(&self) -> io::Result<()> {
        let Some(kept) = self.rotation.max_archives else {
            return Ok(());
        };
        let directory = match self.path.parent() {
            Some(parent) if parent != Path::new("") => parent,
            _ => Path::new("."),
        };
        let (stem, end) = name_parts(&self.path);
        let mut archives = Vec::new();
        for entry in fs::read_dir(directory)? {
            let name = entry?.file_name();
            let Some(name) = name.to_str() else { continue };
            let stamp = name
                .strip_prefix(&format!("{stem}."))
                .and_then(|n| n.strip_suffix(&end));
            if stamp.is_some_and(is_stamp) {
                archives.push(name.to_owned());
            }
        }
        // The time stands in the name: the oldest come first.
        archives.sort();
        for name in archives.iter().rev().skip(kept) {
            fs::remove_file(directory.join(name))?;
        }
        Ok(())
    }
}

/// The file's name without its end, and the end with its dot.
fn name_parts(path: &Path) -> (String, String) {
    let stem = path
        .file_stem()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned();
    let end = path
        .extension()
        .map(|end| format!(".{}", end.to_string_lossy()));
    (stem, end.unwrap_or_default())
}

/// Whether this is `2026-01-02-1767312000` or `2026-01-02-1767312000-001`.
fn is_stamp(text: &str) -> bool {
    let parts: Vec<&str> = text.split('-').collect();
    let digits = |part: &&str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
    matches!(parts.len(), 4 | 5) && parts.iter().all(digits)
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: u64 = 1_767_312_000;

    fn check(rotation: Rotation, lines: &[(u64, &str)], want: &[(&str, &str)]) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("muster.log");
        fs::write(directory.path().join("muster.other.log"), "not ours").unwrap();
        let mut file = Inner::open(path, rotation).unwrap();
        file.since = SystemTime::UNIX_EPOCH + Duration::from_secs(START);
        for (seconds, line) in lines {
            let now = SystemTime::UNIX_EPOCH + Duration::from_secs(START + seconds);
            file.write_event(line.as_bytes(), now).unwrap();
        }
        let mut got = Vec::new();
        for entry in fs::read_dir(directory.path()).unwrap() {
            let entry = entry.unwrap();
            let name = entry.file_name().into_string().unwrap();
            if name != "muster.other.log" {
                got.push((name, fs::read_to_string(entry.path()).unwrap()));
            }
        }
        got.sort();
        let want: Vec<_> = want
            .iter()
            .map(|(n, t)| ((*n).to_owned(), (*t).to_owned()))
            .collect();
        assert_eq!(got, want);
    }

    #[test]
    fn a_file_is_replaced_when_it_is_old_or_large() {
        let never = Rotation {
            interval: Duration::ZERO,
            max_size: 0,
            max_archives: None,
        };
        check(
            never,
            &[(0, "a\n"), (9999, "b\n")],
            &[("muster.log", "a\nb\n")],
        );
        let old = Rotation {
            interval: Duration::from_secs(60),
            ..never
        };
        check(
            old,
            &[(0, "a\n"), (59, "b\n"), (60, "c\n"), (119, "d\n")],
            &[
                ("muster.2026-01-02-1767312060.log", "a\nb\n"),
                ("muster.log", "c\nd\n"),
            ],
        );
        let large = Rotation {
            max_size: 4,
            ..never
        };
        check(
            large,
            &[
                (0, "a\n"),
                (1, "b\n"),
                (2, "c\n"),
                (2, "longer\n"),
                (3, "d\n"),
            ],
            &[
                ("muster.2026-01-02-1767312002-001.log", "c\n"),
                ("muster.2026-01-02-1767312002.log", "a\nb\n"),
                ("muster.2026-01-02-1767312003.log", "longer\n"),
                ("muster.log", "d\n"),
            ],
        );
    }

    #[test]
    fn only_the_latest_old_files_are_kept() {
        let rotation = Rotation {
            interval: Duration::ZERO,
            max_size: 1,
            max_archives: Some(2),
        };
        check(
            rotation,
            &[(0, "a\n"), (1, "b\n"), (2, "c\n"), (3, "d\n")],
            &[
                ("muster.2026-01-02-1767312002.log", "b\n"),
                ("muster.2026-01-02-1767312003.log", "c\n"),
                ("muster.log", "d\n"),
            ],
        );
    }
}
