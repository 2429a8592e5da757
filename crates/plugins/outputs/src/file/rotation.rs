//! When a file is put aside, under which name, and which old ones go.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

/// The rules of an output.
#[derive(Clone, Debug)]
pub(super) struct Rotation {
    /// Zero means that age does not matter.
    pub(super) interval: Duration,
    /// Zero means that size does not matter.
    pub(super) max_size: u64,
    /// `None` keeps all.
    pub(super) max_archives: Option<usize>,
}

impl Rotation {
    /// Whether a file of this size, begun at `since`, is put aside before `more` bytes are added.
    pub(super) fn is_due(
        &self,
        size: u64,
        since: SystemTime,
        more: usize,
        now: SystemTime,
    ) -> bool {
        let large = self.max_size > 0 && size.saturating_add(more as u64) > self.max_size;
        let old = !self.interval.is_zero()
            && now
                .duration_since(since)
                .is_ok_and(|age| age >= self.interval);
        size > 0 && (large || old)
    }
}

/// The name under which a file is put aside: with the day and the second before the extension, and
/// a number if there are several in one second.
pub(super) fn archive_path(path: &Path, now: SystemTime, number: u32) -> PathBuf {
    let time = jiff::Timestamp::try_from(now).unwrap_or(jiff::Timestamp::UNIX_EPOCH);
    let mut name = path.file_stem().unwrap_or_default().to_owned();
    name.push(format!(
        ".{}-{}",
        time.strftime("%Y-%m-%d"),
        time.as_second()
    ));
    if number > 0 {
        name.push(format!("-{number}"));
    }
    if let Some(extension) = path.extension() {
        name.push(".");
        name.push(extension);
    }
    path.with_file_name(name)
}

/// Reads when the file `name` was put aside, as second and number, if it is an archive of `path`.
pub(super) fn archive_time(path: &Path, name: &OsStr) -> Option<(i64, u32)> {
    let stem = path.file_stem()?.to_str()?;
    let rest = name.to_str()?.strip_prefix(stem)?.strip_prefix('.')?;
    let rest = match path.extension() {
        Some(extension) => rest.strip_suffix(extension.to_str()?)?.strip_suffix('.')?,
        None => rest,
    };
    let (day, rest) = rest.split_at_checked("2000-01-01".len())?;
    let is_day = day.bytes().enumerate().all(|(at, b)| match at {
        4 | 7 => b == b'-',
        _ => b.is_ascii_digit(),
    });
    let rest = rest.strip_prefix('-').filter(|_| is_day)?;
    match rest.split_once('-') {
        Some((second, number)) => Some((second.parse().ok()?, number.parse().ok()?)),
        None => Some((rest.parse().ok()?, 0)),
    }
}

/// Which of the archives go, so that at most `keep` are left: the oldest.
pub(super) fn to_delete(mut archives: Vec<((i64, u32), PathBuf)>, keep: usize) -> Vec<PathBuf> {
    archives.sort();
    let excess = archives.len().saturating_sub(keep);
    archives
        .into_iter()
        .take(excess)
        .map(|(_, path)| path)
        .collect()
}
