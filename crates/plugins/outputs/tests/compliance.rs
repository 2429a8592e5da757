//! Every output of this crate against `docs/specs/plugin.md`.

#![allow(clippy::unwrap_used, reason = "a test")]

use muster_plugin::compliance::{Case, check_table};
use muster_plugins_outputs::PLUGINS;

#[muster_tasks::test]
async fn every_plugin_complies() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).display().to_string();
    let (plain, packed) = (path("metrics.out"), path("metrics.gz"));
    let cases = [
        Case::new("discard", ""),
        Case::new(
            "file",
            &format!("files = ['{plain}']\nrotation_max_size = '1KiB'"),
        ),
        Case::new(
            "file",
            &format!("files = ['{packed}']\ncompression_algorithm = 'gzip'"),
        ),
        Case::new("file", "files = ['/dev/full']").offline(),
    ];
    check_table(PLUGINS, &cases).await.unwrap();
}
