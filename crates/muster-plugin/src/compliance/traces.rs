//! What a plugin may leave behind: tasks, threads, open files, children.

use std::collections::BTreeMap;
use std::fs;
use std::time::{Duration, Instant};

use super::Findings;

/// How long things may take to go after the plugin is gone.
const PATIENCE: Duration = Duration::from_secs(2);

/// What there is in this process and runtime.
pub(super) struct Traces {
    tasks: usize,
    things: BTreeMap<String, String>,
}

impl Traces {
    /// What there is now.
    pub(super) fn now() -> Self {
        let tasks =
            tokio::runtime::Handle::try_current().map_or(0, |h| h.metrics().num_alive_tasks());
        let mut things = BTreeMap::new();
        for entry in entries("/proc/self/task") {
            let name = fs::read_to_string(format!("/proc/self/task/{entry}/comm"));
            let name = name.unwrap_or_default().trim().to_owned();
            // The runtime's own pool: its threads linger for others.
            if !name.starts_with("tokio-") {
                things.insert(format!("thread {entry}"), name);
            }
            let children = fs::read_to_string(format!("/proc/self/task/{entry}/children"));
            for child in children.unwrap_or_default().split_whitespace() {
                let command = fs::read_to_string(format!("/proc/{child}/comm")).unwrap_or_default();
                things.insert(format!("child process {child}"), command.trim().to_owned());
            }
        }
        for entry in entries("/proc/self/fd") {
            let Ok(target) = fs::read_link(format!("/proc/self/fd/{entry}")) else {
                continue;
            };
            let target = target.display().to_string();
            // The directory that is being listed just now.
            if !target.starts_with("/proc/") {
                things.insert(format!("open file {entry}"), target);
            }
        }
        Self { tasks, things }
    }

    /// Notes what there is now but was not there before, once it had time to go.
    pub(super) async fn check_nothing_new(&self, when: &str, found: &mut Findings) {
        let until = Instant::now() + PATIENCE;
        let mut pause = Duration::from_millis(1);
        loop {
            let now = Self::now();
            let new: Vec<String> = now
                .things
                .iter()
                .filter(|(thing, what)| self.things.get(*thing) != Some(*what))
                .map(|(thing, what)| format!("{thing} ({what})"))
                .collect();
            if new.is_empty() && now.tasks <= self.tasks {
                return;
            }
            if Instant::now() >= until {
                let tasks = now.tasks.saturating_sub(self.tasks);
                let mut left = new.join(", ");
                if tasks > 0 {
                    left = format!("{tasks} tasks; {left}");
                }
                found.add("LEAVES-NOTHING", format!("{when} there is left: {left}"));
                return;
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(Duration::from_millis(100));
        }
    }
}

fn entries(folder: &str) -> Vec<String> {
    let Ok(entries) = fs::read_dir(folder) else {
        return Vec::new();
    };
    entries
        .flatten()
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect()
}
