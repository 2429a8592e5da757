//! The world of `exec`: a program that keeps its servers in a folder and misbehaves on request.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use muster_scaler_core::provider::{ListedServer, Phase, Provider};
use muster_tasks::Group;
use serde_json::{Value, json};
use tempfile::TempDir;
use toml::Table;

use super::{Fault, World};
use crate::build;

/// A secret of the configuration.
const SECRET: &str = "exec-secret-5f2c9a";

/// The program: a shell script, so that no test depends on more than a shell.
const PROGRAM: &str = include_str!("exec.sh");

/// Servers that are files in a folder.
#[derive(Debug)]
pub struct ExecWorld {
    directory: TempDir,
    group: Group,
}

impl ExecWorld {
    /// An empty one; its providers' processes are kept by tasks of `group`.
    ///
    /// # Panics
    /// If there is no room on disk.
    pub fn new(group: &Group) -> Self {
        let directory = tempfile::tempdir().expect("a folder");
        for folder in ["servers", "faults", "calls"] {
            fs::create_dir(directory.path().join(folder)).expect("a folder");
        }
        fs::write(directory.path().join("program.sh"), PROGRAM).expect("the program");
        Self {
            directory,
            group: group.clone(),
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn table(&self, folder: &Path) -> Table {
        let program = self.path("program.sh");
        let text = json!({
            "kind": "exec",
            "command": ["/bin/sh", program],
            "timeout": "30s",
            "parameters": { "folder": folder },
            "secrets": { "token": SECRET },
        });
        serde_json::from_value(text).expect("a table")
    }
}

#[async_trait]
impl World for ExecWorld {
    fn provider(&self) -> Arc<dyn Provider> {
        let table = self.table(self.directory.path());
        build(&table, &self.group).expect("options").provider
    }

    fn broken(&self) -> Vec<(Arc<dyn Provider>, &'static str)> {
        let no_folder = self.table(Path::new("/nowhere"));
        let mut no_program = no_folder.clone();
        let words = vec![toml::Value::from("/nowhere/program")];
        no_program.insert("command".to_owned(), words.into());
        let built = |table| build(&table, &self.group).expect("options").provider;
        vec![
            (built(no_folder), "folder"),
            (built(no_program), "/nowhere/program"),
        ]
    }

    fn secrets(&self) -> Vec<String> {
        vec![SECRET.to_owned()]
    }

    async fn plant(&self, name: &str, labels: &BTreeMap<String, String>) -> String {
        let line = json!({ "id": name, "name": name, "labels": labels, "phase": "active" });
        fs::write(self.path("servers").join(name), format!("{line}\n")).expect("a server");
        name.to_owned()
    }

    async fn servers(&self) -> Vec<ListedServer> {
        let files = fs::read_dir(self.path("servers")).expect("the folder");
        let read = |file: std::io::Result<fs::DirEntry>| {
            let text = fs::read_to_string(file.ok()?.path()).ok()?;
            let line: Value = serde_json::from_str(&text).ok()?;
            let text = |key: &str| line[key].as_str().unwrap_or_default().to_owned();
            Some(ListedServer {
                id: text("id"),
                name: text("name"),
                labels: serde_json::from_value(line["labels"].clone()).unwrap_or_default(),
                phase: Phase::Active,
                address: None,
                created: None,
            })
        };
        files.filter_map(read).collect()
    }

    fn fault(&self, fault: Fault) -> bool {
        let name = match fault {
            Fault::LoseAnswer => "lose-answer",
            Fault::LoseRequest => "lose-request",
            Fault::Hang => "hang",
            Fault::Partial => "partial",
            Fault::Quota => "quota",
            Fault::NoCapacity => "no-capacity",
            Fault::RateLimit => "rate-limit",
            Fault::Echo => "echo",
            Fault::BuildFails | Fault::ShownLate | Fault::Expire => return false,
        };
        fs::write(self.path("faults").join(name), "").expect("a fault");
        true
    }

    fn calm(&self) {
        for file in fs::read_dir(self.path("faults")).expect("the folder") {
            let _ = fs::remove_file(file.expect("a file").path());
        }
    }

    fn calls(&self) -> usize {
        // Each process has written its number, which after its end may be another's.
        let files = fs::read_dir(self.path("calls")).expect("the folder");
        let program = self.path("program.sh").display().to_string();
        let lives = |name: &str| {
            let words = fs::read_to_string(Path::new("/proc").join(name).join("cmdline"));
            words.is_ok_and(|words| words.contains(&program))
        };
        let names = files.filter_map(|file| file.ok()?.file_name().into_string().ok());
        names.filter(|name| lives(name)).count()
    }
}
