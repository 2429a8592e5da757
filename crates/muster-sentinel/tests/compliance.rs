//! Every check and publisher against `docs/specs/plugin.md`.

#![allow(clippy::unwrap_used, reason = "a test")]

use muster_plugin::compliance::{Case, check_table};
use muster_sentinel::PLUGINS;
use muster_tasks::Group;

#[muster_tasks::test]
async fn every_plugin_complies(_group: Group) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("checks.json");
    let cases = [
        // That nobody listens there is what it tells.
        Case::new(
            "redis",
            "servers = ['127.0.0.1:1']\ninterval = '50ms'\ntimeout = '50ms'",
        ),
        Case::new(
            "tcp",
            "addresses = ['127.0.0.1:1']\ninterval = '50ms'\ntimeout = '50ms'",
        ),
        Case::new(
            "http",
            "urls = ['http://127.0.0.1:1/']\ninterval = '50ms'\ntimeout = '50ms'",
        ),
        Case::new("exec", "commands = ['false']"),
        Case::new("file", &format!("path = '{}'", file.display())).metrics(0),
        Case::new("zookeeper", "servers = ['127.0.0.1:1']").metrics(0),
        Case::new("etcd", "endpoints = ['127.0.0.1:1']").metrics(0),
    ];
    check_table(PLUGINS, &cases).await.unwrap();
}
