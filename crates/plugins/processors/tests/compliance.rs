//! Every processor of this crate against `docs/specs/plugin.md`.

#![allow(clippy::unwrap_used, reason = "a test")]

use muster_plugin::compliance::{Case, check_table};
use muster_plugins_processors::PLUGINS;

#[muster_tasks::test]
async fn every_plugin_complies() {
    let cases = [
        Case::new("clone", "name_prefix = 'copy_'\ntags = { copied = 'yes' }"),
        Case::new(
            "converter",
            "[fields]\ninteger = ['*']\n[tags]\nstring = ['h*']",
        ),
        Case::new("dedup", "dedup_interval = '1m'"),
        Case::new("defaults", "[fields]\nstatus = 'N/A'\nzero = 0"),
        Case::new(
            "enum",
            "[[mapping]]\nfields = ['*']\ntags = ['*']\ndefault = 0\n[mapping.value_mappings]\nup = 1",
        ),
        Case::new(
            "filter",
            "default = 'drop'\n[[rule]]\nname = ['c*']\naction = 'pass'",
        ),
        Case::new("override", "name_suffix = '_x'"),
        Case::new("printer", ""),
        Case::new(
            "regex",
            "[[fields]]\nkey = '*'\npattern = '\\w+'\nreplacement = '$0$0'\n\
             [[tag_rename]]\npattern = '^(.)'\nreplacement = '${1}${1}'",
        ),
        Case::new("rename", "[[replace]]\ntag = 'host'\ndest = 'hostname'"),
        Case::new(
            "strings",
            "[[uppercase]]\nfield = '*'\ntag = '*'\nmeasurement = '*'",
        ),
        Case::new("topk", "fields = ['value', 'usage']\nk = 1"),
    ];
    check_table(PLUGINS, &cases).await.unwrap();
}
