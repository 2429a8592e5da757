//! Which files are read, and how they come together.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use muster_config::{Diagnostics, LoadOptions, Loaded, load};

use crate::plugins::{environment, problems, registry};

fn write(root: &Path, name: &str, text: &str) {
    let path = root.join(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

fn load_from(files: &[&Path], directories: &[&Path]) -> Result<Loaded, Diagnostics> {
    let owned = |paths: &[&Path]| paths.iter().map(|p| p.to_path_buf()).collect();
    let options = LoadOptions {
        files: owned(files),
        directories: owned(directories),
        ..LoadOptions::default()
    };
    load(&options, &registry(), &environment())
}

fn named(name: &str) -> String {
    format!("[[inputs.mem]]\nid = '{name}'\n")
}

#[test]
fn walks_directories_in_order() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path();
    write(root, "main.toml", &named("main"));
    for name in ["d/b.conf", "d/a/z.conf", "d/a.conf", "d/c.conf", "e/a.conf"] {
        write(root, name, &named(&name.replace('/', "_")));
    }
    for name in ["d/.conf", "d/x.toml", "d/..data/y.conf", "d/x.conf.bak"] {
        write(root, name, "this is not read [");
    }
    symlink(root.join("e/a.conf"), root.join("d/z.conf")).unwrap();
    symlink(root.join("e"), root.join("d/linked")).unwrap();
    fs::remove_file(root.join("d/z.conf")).unwrap();
    let loaded = load_from(
        &[&root.join("main.toml")],
        &[&root.join("d"), &root.join("e")],
    )
    .unwrap();
    let ids: Vec<_> = loaded
        .config
        .definitions
        .iter()
        .map(|d| d.id.id.to_string())
        .collect();
    assert_eq!(
        ids,
        [
            "main",
            "d_a_z.conf",
            "d_a.conf",
            "d_b.conf",
            "d_c.conf",
            "e_a.conf"
        ]
    );
}

#[test]
fn a_linked_file_is_read_and_a_linked_directory_is_not() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path();
    write(root, "real/a.conf", &named("a"));
    fs::create_dir(root.join("d")).unwrap();
    symlink(root.join("real/a.conf"), root.join("d/link.conf")).unwrap();
    symlink(root.join("real"), root.join("linked")).unwrap();
    assert_eq!(
        load_from(&[], &[&root.join("d")])
            .unwrap()
            .config
            .definitions
            .len(),
        1
    );
    let loaded = load_from(&[], &[&root.join("linked")]).unwrap();
    assert_eq!(loaded.config.definitions.len(), 0);
    assert!(
        loaded.warnings[0]
            .to_string()
            .contains("is a symbolic link and is not followed")
    );
    let with_slash = format!("{}/", root.join("linked").display());
    assert_eq!(
        load_from(&[], &[Path::new(&with_slash)])
            .unwrap()
            .config
            .definitions
            .len(),
        1
    );
}

#[test]
fn problems_of_all_files_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path();
    write(root, "a.conf", "[[inputs.mem]]\nx = 1\nid = 'same'\n");
    write(root, "b.conf", "[[inputs.mem\n");
    write(root, "c.conf", "[[inputs.cpu]]\nid = 'same'\n");
    fs::write(root.join("d.conf"), b"# fine\n\xff\xfe").unwrap();
    let found = problems(load_from(
        &[&root.join("none.conf")],
        &[root, &root.join("nowhere")],
    ));
    let prefix = format!("{}/", root.display());
    let found: Vec<String> = found.iter().map(|line| line.replace(&prefix, "")).collect();
    assert_eq!(
        found,
        [
            "failed to read nowhere: No such file or directory (os error 2)",
            "failed to read none.conf: No such file or directory (os error 2)",
            "d.conf is no UTF-8 text from line 2 on",
            "a.conf:2:1: unknown option `x` in `inputs.mem`",
            "b.conf:1:13: unclosed array table, expected `]]`",
            "c.conf:2:6: two inputs have the ID `same` (the first one: a.conf:3:6) (give one of them an `id` of its own)",
        ]
    );
}

#[test]
fn agents_and_tags_add_up_over_files() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path();
    write(
        root,
        "a.conf",
        "[agent]\ninterval = '1s'\nround_interval = false\n[tags]\na = '1'\nb = '1'\n",
    );
    write(
        root,
        "b.conf",
        "[agent]\ninterval = '2s'\n[tags]\nb = '2'\n",
    );
    let loaded = load_from(&[], &[root]).unwrap();
    let config = loaded.config;
    assert_eq!(
        (config.agent.interval.as_secs(), config.agent.round_interval),
        (2, false)
    );
    assert_eq!(
        (
            config.global_tags["a"].as_str(),
            config.global_tags["b"].as_str()
        ),
        ("1", "2")
    );
    assert!(loaded.warnings[0].message.starts_with("a second `[agent]`"));
}

#[test]
fn urls_come_later() {
    let found = problems(load_from(&[Path::new("https://host/telegraf.conf")], &[]));
    assert_eq!(
        found,
        [
            "https://host/telegraf.conf: configuration from a URL is not supported yet (fetch it into a file)"
        ]
    );
}
