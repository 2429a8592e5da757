//! A file for metrics that a service refuses for good.

use std::fs::OpenOptions;
use std::io::Write;
use std::path::Path;

use muster_metric::{Metrics, line_protocol};
use muster_plugin::PluginError;
use muster_tasks::Group;

/// A dead-letter file takes no more beyond this size; it is for people to look at, not a store.
const MOST_BYTES: u64 = 64 << 20;

/// Appends to dead-letter files, as line protocol.
pub(crate) struct DeadLetters;

impl DeadLetters {
    /// Appends the metrics to the file at `path`, on a thread of `group`.
    pub(crate) async fn append(
        group: &Group,
        path: &Path,
        metrics: &Metrics,
    ) -> Result<(), PluginError> {
        let mut lines = Vec::new();
        line_protocol::Writer::default().write_all(metrics.iter(), &mut lines);
        let failed =
            || PluginError::new(format!("append to the dead-letter file {}", path.display()));
        let path = path.to_owned();
        let written = group.spawn_blocking("dead-letter", move |_| -> std::io::Result<()> {
            let mut file = OpenOptions::new().create(true).append(true).open(&path)?;
            if file.metadata()?.len() + lines.len() as u64 > MOST_BYTES {
                let why = "it is full: look at it, then move it away";
                return Err(std::io::Error::other(why));
            }
            file.write_all(&lines)
        });
        let written = written.map_err(|refused| failed().because(refused))?;
        match written.join().await.into_result() {
            Ok(result) => result.map_err(|error| failed().because(error)),
            Err(not_done) => Err(failed().because(not_done)),
        }
    }
}
