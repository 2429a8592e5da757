//! Every input of this crate against `docs/specs/plugin.md`.

#![allow(clippy::unwrap_used, reason = "a test")]

use std::io::Write;

use muster_plugin::compliance::{Case, check_table};
use muster_plugins_generic::PLUGINS;

/// A collection as Go prints it.
const TRACE: &str = "gc 1 @0.1s 1%: 0.01+1.5+0.02 ms clock, 0.1+0.2/0.3/0.4+0.1 ms cpu, \
    4->5->1 MB, 5 MB goal, 0 MB stacks, 0 MB globals, 4 P";

#[muster_tasks::test]
async fn every_plugin_complies() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("log");
    std::fs::write(&path, "m v=1\n").unwrap();
    let file = path.display().to_string();
    let traced = folder.path().join("traced");
    std::fs::write(&traced, format!("{TRACE}\n")).unwrap();
    let traced = traced.display().to_string();
    let append = move || {
        let path = path.clone();
        async move {
            let mut file = std::fs::OpenOptions::new().append(true).open(path).unwrap();
            file.write_all(b"m v=2\n").unwrap();
        }
    };
    let cases = [
        Case::new(
            "exec",
            "commands = ['echo m v=1', 'echo m v=2']\ndata_format = 'influx'",
        )
        .metrics(2),
        Case::new("exec", "commands = ['sleep 1000']\ntimeout = '100ms'").offline(),
        Case::new(
            "execd",
            "command = ['sh', '-c', 'echo m v=1; exec sleep 1000']",
        ),
        Case::new(
            "execd",
            "command = ['sh', '-c', 'while read x; do echo m v=1; done']\nsignal = 'STDIN'",
        ),
        Case::new("file", &format!("files = ['{file}']")),
        Case::new("file", "files = ['/no/such/file']").offline(),
        Case::new(
            "gctrace",
            &format!("command = ['sh', '-c', 'echo \"{TRACE}\" >&2; exec sleep 1000']"),
        ),
        Case::new(
            "gctrace",
            &format!("files = ['{traced}']\nfrom_beginning = true"),
        ),
        Case::new("internal", ""),
        Case::new("mock", "sequence = true"),
        Case::new(
            "mock",
            "fault = 'slow'\nslow = '1ms'\nstep = [{ name = 'a', step = 1.0 }]",
        ),
        Case::new("mock", "fault = 'error'").offline(),
        Case::new("tail", &format!("files = ['{file}']")).stimulus(append.clone()),
        Case::new(
            "tail",
            &format!("files = ['{file}']\nwatch_method = 'poll'"),
        )
        .stimulus(append),
    ];
    check_table(PLUGINS, &cases).await.unwrap();
}
