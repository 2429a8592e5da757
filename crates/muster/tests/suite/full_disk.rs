//! A full disk: changes are refused with a clear error, nothing is lost, and all works again.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;

use super::support::{Ask, FAST, TO_FILE, agent, assert_gapless, beside, mock, step};

/// A small file system of its own; unmounted when dropped.
pub(super) struct SmallDisk {
    directory: TempDir,
}

impl SmallDisk {
    pub(super) fn mount() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", "size=16m", "muster-test"])
            .arg(directory.path())
            .output()
            .unwrap();
        assert!(
            mounted.status.success(),
            "a full disk can only be shown on a small file system, and this one cannot be mounted (are you root?): {}",
            String::from_utf8_lossy(&mounted.stderr)
        );
        Self { directory }
    }

    pub(super) fn path(&self) -> &Path {
        self.directory.path()
    }

    /// Fills it to the last byte; returns the file to remove.
    pub(super) fn fill(&self) -> PathBuf {
        let path = self.path().join("filler");
        let mut file = OpenOptions::new()
            .create(true)
            .append(true)
            .open(&path)
            .unwrap();
        for size in [1 << 16, 1 << 12, 1] {
            while file.write_all(&vec![7u8; size]).is_ok() {}
        }
        path
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(self.path()).status();
    }
}

#[test]
fn a_full_disk_refuses_changes_and_loses_nothing() {
    let _beside = beside();
    let disk = SmallDisk::mount();
    let config = format!("{FAST}{TO_FILE}{}", mock("steady", ""));
    let mut agent = agent(&config).state_dir(&disk.path().join("state")).start();
    agent.change(&[step("add", "before", json!({"metric_name": "before"}))]);
    let filler = disk.fill();

    // The store may have room left in its file: larger and larger changes use it up.
    let large = |n: usize| {
        step(
            "put",
            &format!("large-{n}"),
            json!({"metric_name": "x".repeat(200_000)}),
        )
    };
    let (mut kept, mut refused) = (Vec::new(), None);
    for n in 0..100 {
        let answer = agent.try_change(
            "",
            &[
                large(n),
                step("put", "marker", json!({"metric_name": format!("m{n}")})),
            ],
        );
        if answer.status == 200 {
            kept.push(n);
        } else {
            refused = Some((n, answer));
            break;
        }
    }
    let (number, answer) = refused.expect("a full disk refuses changes");
    assert_eq!(answer.status, 507, "{}", answer.body);
    let body = answer.json();
    assert_eq!(body["code"], "store", "{body}");
    let message = body["message"].as_str().unwrap();
    assert!(
        message.contains("desired.redb") && message.contains("space"),
        "{message}"
    );

    // Nothing of the refused change was made; the agent and its API go on.
    let generation = agent.get("/api/v1/status")["generation"].clone();
    let ids = ids(&agent);
    assert!(!ids.contains(&format!("large-{number}")), "{ids:?}");
    assert!(ids.contains(&"before".to_owned()));
    let seen = agent.wait_metrics("steady", 1).len();
    agent.wait_metrics("steady", seen + 5);
    let again = agent.try_change("", &[large(number)]);
    assert_eq!(again.status, 507, "{}", again.body);
    assert_eq!(agent.get("/api/v1/status")["generation"], generation);

    // With room again, it works again.
    fs::remove_file(filler).unwrap();
    agent.change(&[
        large(number),
        step("put", "marker", json!({"metric_name": "last"})),
    ]);
    assert_eq!(
        agent.stop(Duration::from_secs(6)),
        Some(0),
        "{}",
        agent.log()
    );
    agent.restart();
    let after = self::ids(&agent);
    for n in kept.iter().chain([&number]) {
        assert!(
            after.contains(&format!("large-{n}")),
            "large-{n} is lost: {after:?}"
        );
    }
    assert_eq!(
        agent.component("inputs", "marker")["options"]["metric_name"],
        "last"
    );
    let text = agent.read("out");
    assert_gapless("steady", &super::support::written(&text)["steady"], 0);
}

fn ids(agent: &muster_testkit::Agent) -> Vec<String> {
    let inputs: Value = agent.get("/api/v1/inputs");
    inputs
        .as_array()
        .unwrap()
        .iter()
        .map(|i| i["id"].as_str().unwrap().to_owned())
        .collect()
}
