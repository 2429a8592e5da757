//! Noticing that configuration files changed, by looking at them every now and then.

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use muster_control::api::ReloadFiles;
use muster_tasks::Group;

use crate::Failure;
use crate::args::{RunArgs, WatchMode};

/// How often files are looked at in the mode `notify`. A look costs one `stat` a file.
const NOTIFY_INTERVAL: Duration = Duration::from_millis(250);

/// So many files and directories are looked at.
const MOST_FILES: usize = 10_000;

/// Watches the files and directories of the command line and calls `reload` when they changed and
/// then stayed as they are for the debounce interval.
pub(crate) fn watch(
    root: &Group,
    mode: WatchMode,
    args: &RunArgs,
    reload: ReloadFiles,
) -> Result<(), Failure> {
    let paths: Vec<PathBuf> = args
        .sources
        .config
        .iter()
        .chain(&args.sources.config_directory)
        .cloned()
        .collect();
    if paths.is_empty() {
        return Err(Failure::Usage(
            "--watch-config needs --config or --config-directory".into(),
        ));
    }
    let interval = match mode {
        WatchMode::Notify => NOTIFY_INTERVAL,
        WatchMode::Poll => args.watch_interval.get().max(Duration::from_millis(10)),
    };
    let settle = args.watch_debounce_interval.get();
    let watching = root.go_cx("watch-config", move |cx| async move {
        let mut known = look(&paths);
        while cx.run(tokio::time::sleep(interval)).await.is_ok() {
            let mut seen = look(&paths);
            if seen == known {
                continue;
            }
            while !settle.is_zero() {
                if cx.run(tokio::time::sleep(settle)).await.is_err() {
                    return;
                }
                let again = look(&paths);
                if again == seen {
                    break;
                }
                seen = again;
            }
            known = seen;
            drop(reload().await);
        }
    });
    watching.map_err(Failure::failed)
}

/// What can be seen of a file from outside.
type Look = (PathBuf, Option<(SystemTime, u64, u64)>);

fn look(paths: &[PathBuf]) -> Vec<Look> {
    let mut looks = Vec::new();
    let mut left: Vec<PathBuf> = paths.to_vec();
    while let Some(path) = left.pop() {
        if looks.len() >= MOST_FILES {
            break;
        }
        if path.is_dir() {
            left.extend(entries(&path));
        }
        let meta = std::fs::metadata(&path).ok();
        let seen = meta.and_then(|m| {
            use std::os::unix::fs::MetadataExt;
            Some((m.modified().ok()?, m.len(), m.ino()))
        });
        looks.push((path, seen));
    }
    looks.sort();
    looks
}

fn entries(directory: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(directory).into_iter().flatten();
    entries.flatten().map(|entry| entry.path()).collect()
}
