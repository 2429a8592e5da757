//! `/proc/diskstats`, and rates from two readings.

use serde::{Deserialize, Serialize};

/// The unit in which the kernel counts, whatever the device's own sectors are.
const SECTOR: u64 = 512;

/// A line of the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Line<'t> {
    pub(super) major: u32,
    pub(super) minor: u32,
    pub(super) name: &'t str,
    pub(super) stats: Stats,
}

/// The counters of a device. Times are in milliseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Stats {
    reads: u64,
    merged_reads: u64,
    sectors_read: u64,
    read_time: u64,
    writes: u64,
    merged_writes: u64,
    sectors_written: u64,
    write_time: u64,
    in_progress: u64,
    io_time: u64,
    weighted_io_time: u64,
}

/// The devices. Lines that are not understood are left out.
pub(super) fn devices(text: &str) -> impl Iterator<Item = Line<'_>> {
    text.lines().filter_map(|line| {
        let mut words = line.split_ascii_whitespace();
        let (major, minor) = (words.next()?.parse().ok()?, words.next()?.parse().ok()?);
        let name = words.next()?;
        let mut next = || words.next()?.parse().ok();
        let stats = Stats {
            reads: next()?,
            merged_reads: next()?,
            sectors_read: next()?,
            read_time: next()?,
            writes: next()?,
            merged_writes: next()?,
            sectors_written: next()?,
            write_time: next()?,
            in_progress: next()?,
            io_time: next()?,
            weighted_io_time: next()?,
        };
        Some(Line {
            major,
            minor,
            name,
            stats,
        })
    })
}

/// What two readings say.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Rates {
    /// Percent of the time in which a request was under way.
    pub(super) util: f64,
    /// Milliseconds of waiting and of service for each completed request, if there was one.
    pub(super) per_request: Option<(f64, f64)>,
}

impl Stats {
    /// The fields as they are reported.
    pub(super) fn fields(&self) -> [(&'static str, u64); 11] {
        [
            ("reads", self.reads),
            ("writes", self.writes),
            ("read_bytes", self.sectors_read.saturating_mul(SECTOR)),
            ("write_bytes", self.sectors_written.saturating_mul(SECTOR)),
            ("read_time", self.read_time),
            ("write_time", self.write_time),
            ("io_time", self.io_time),
            ("weighted_io_time", self.weighted_io_time),
            ("iops_in_progress", self.in_progress),
            ("merged_reads", self.merged_reads),
            ("merged_writes", self.merged_writes),
        ]
    }

    /// What happened in the `millis` since `before`; nothing if no time passed or a counter fell.
    pub(super) fn rates(&self, before: &Self, millis: f64) -> Option<Rates> {
        if millis <= 0.0 {
            return None;
        }
        let requests = self.reads.checked_sub(before.reads)? as f64
            + self.writes.checked_sub(before.writes)? as f64;
        let waited = self.read_time.checked_sub(before.read_time)? as f64
            + self.write_time.checked_sub(before.write_time)? as f64;
        let busy = self.io_time.checked_sub(before.io_time)? as f64;
        let per_request = (requests > 0.0).then(|| (waited / requests, busy / requests));
        Some(Rates {
            util: 100.0 * busy / millis,
            per_request,
        })
    }
}
