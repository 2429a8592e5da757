//! The world of `exec`: a program that keeps its servers in a folder and misbehaves on request.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use muster_scaler_core::provider::{ListedServer, Phase, Provider};
use muster_tasks::Group;
use serde_json::{Value, json};
use toml::Table;

use super::program::Program;
use super::{Fault, World};
use crate::build;

/// A secret of the configuration.
const SECRET: &str = "exec-secret-5f2c9a";

/// The program: a shell script, so that no test depends on more than a shell.
const PROGRAM: &str = include_str!("exec.sh");

/// The faults that it knows.
const FAULTS: &[Fault] = &[
    Fault::LoseAnswer,
    Fault::LoseRequest,
    Fault::Hang,
    Fault::Partial,
    Fault::Quota,
    Fault::NoCapacity,
    Fault::RateLimit,
    Fault::Echo,
];

/// Servers that are files in a folder.
#[derive(Debug)]
pub struct ExecWorld {
    program: Program,
    group: Group,
}

impl ExecWorld {
    /// An empty one; its providers' processes are kept by tasks of `group`.
    ///
    /// # Panics
    /// If there is no room on disk.
    pub fn new(group: &Group) -> Self {
        let program = Program::new("program.sh", PROGRAM, FAULTS);
        program.make_folder("servers");
        Self {
            program,
            group: group.clone(),
        }
    }

    fn table(&self, folder: &Path) -> Table {
        let program = self.program.file();
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
        let table = self.table(self.program.directory());
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
        fs::write(self.program.path("servers").join(name), format!("{line}\n")).expect("a server");
        name.to_owned()
    }

    async fn servers(&self) -> Vec<ListedServer> {
        let files = fs::read_dir(self.program.path("servers")).expect("the folder");
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
        self.program.fault(fault)
    }

    fn calm(&self) {
        self.program.calm();
    }

    fn calls(&self) -> usize {
        self.program.calls()
    }
}
