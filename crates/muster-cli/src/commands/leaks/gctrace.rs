//! Pauses of Go's garbage collector, from a file with what it traced.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use jiff::{SignedDuration, Timestamp};
use muster_metric::{Batch, Value};

use crate::Failure;

/// So much of the file's end is read.
const MOST_BYTES: u64 = 16 << 20;

/// The pauses in milliseconds over time, of the last process in the file.
pub(super) fn pauses(path: &Path) -> Result<Vec<(Timestamp, f64)>, Failure> {
    let failed = |why: &dyn std::fmt::Display| {
        Failure::Unusable(format!("failed to read {}: {why}", path.display()))
    };
    let (text, changed) = read_end(path).map_err(|error| failed(&error))?;
    let row = muster_formats::parser("gctrace").ok_or_else(|| failed(&"there is no parser"))?;
    let parser = (row.build)(&toml::Table::new()).map_err(|_| failed(&"there is no parser"))?;
    let mut batch = Batch::new();
    parser
        .parse(&text, &mut batch)
        .map_err(|error| failed(&error))?;
    let number = |value: Value<'_>| match value {
        Value::Float(number) => Some(number),
        Value::Int(number) => Some(number as f64),
        Value::Uint(number) => Some(number as f64),
        _ => None,
    };
    let mut pauses: Vec<(f64, f64)> = Vec::new();
    for metric in batch.iter() {
        let field = |name: &str| {
            let mut fields = metric.fields();
            fields
                .find(|(key, _)| *key == name)
                .and_then(|(_, value)| number(value))
        };
        let (Some(since), Some(pause)) = (field("since_start_s"), field("pause_ms")) else {
            continue;
        };
        // Another process began.
        if pauses.last().is_some_and(|(last, _)| *last > since) {
            pauses.clear();
        }
        pauses.push((since, pause));
    }
    let end = pauses.last().map_or(0.0, |(since, _)| *since);
    let at = |since: f64| {
        let before = SignedDuration::try_from_secs_f64(end - since).ok()?;
        changed.checked_sub(before).ok()
    };
    let timed = pauses
        .into_iter()
        .map(|(since, pause)| Some((at(since)?, pause)));
    Ok(timed.flatten().collect())
}

fn read_end(path: &Path) -> std::io::Result<(Vec<u8>, Timestamp)> {
    use std::io::{Seek, SeekFrom};
    let mut file = File::open(path)?;
    let meta = file.metadata()?;
    let skipped = meta.len().saturating_sub(MOST_BYTES);
    file.seek(SeekFrom::Start(skipped))?;
    let mut text = Vec::new();
    file.take(MOST_BYTES).read_to_end(&mut text)?;
    if skipped > 0 {
        let line = text.iter().position(|byte| *byte == b'\n');
        text.drain(..line.map_or(text.len(), |at| at + 1));
    }
    let changed = Timestamp::try_from(meta.modified()?);
    Ok((text, changed.unwrap_or_else(|_| Timestamp::now())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_of_the_last_process_end_when_the_file_was_changed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("err");
        let line = |gc: u32, at: &str, pause: &str| {
            format!(
                "gc {gc} @{at}s 1%: {pause}+1.5+0.0 ms clock, 0.1+0.2/0.3/0.4+0.1 ms cpu, \
                 4->5->1 MB, 5 MB goal, 0 MB stacks, 0 MB globals, 4 P\n"
            )
        };
        let text = [
            line(1, "9.0", "9.0"),
            "serving\n".to_owned(),
            line(1, "0.5", "0.25"),
            line(2, "60.5", "0.5"),
        ];
        std::fs::write(&path, text.concat()).unwrap();
        let read = pauses(&path).unwrap();
        let values: Vec<f64> = read.iter().map(|(_, pause)| *pause).collect();
        assert_eq!(values, [0.25, 0.5]);
        let apart = read[1].0.duration_since(read[0].0).as_secs();
        assert_eq!(apart, 60);
        assert!(pauses(&folder.path().join("none")).is_err());
    }
}
