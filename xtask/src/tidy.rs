//! What no compiler checks.

use std::fs;
use std::path::{Path, PathBuf};

use crate::repository;

/// Files may be so long; a longer one is two rooms in one.
const MOST_LINES: usize = 900;

fn sources(under: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(under).expect("a folder").flatten() {
        let path = entry.path();
        let name = entry.file_name();
        if path.is_dir() && name != "target" && name != ".git" {
            sources(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

fn all_sources() -> Vec<(PathBuf, String)> {
    let mut paths = Vec::new();
    sources(&repository(), &mut paths);
    let read = |path: PathBuf| {
        let text = fs::read_to_string(&path).expect("a source file");
        (path, text)
    };
    paths.into_iter().map(read).collect()
}

#[test]
fn files_have_a_length_that_one_can_read() {
    let long: Vec<String> = all_sources()
        .iter()
        .filter(|(_, text)| text.lines().count() > MOST_LINES)
        .map(|(path, text)| format!("{} ({} lines)", path.display(), text.lines().count()))
        .collect();
    assert!(long.is_empty(), "split these: {long:?}");
}

#[test]
fn configuration_structs_do_not_flatten() {
    let attributes = ["serde(flatten", "serde(untagged"];
    let bad: Vec<_> = all_sources()
        .iter()
        .filter(|(path, text)| {
            !path.ends_with("tidy.rs") && attributes.iter().any(|a| text.contains(a))
        })
        .map(|(path, _)| path.display().to_string())
        .collect();
    assert!(
        bad.is_empty(),
        "flatten and untagged ruin error messages: {bad:?}"
    );
}

#[test]
fn tests_are_not_ignored() {
    let bad: Vec<_> = all_sources()
        .iter()
        .filter(|(path, text)| {
            !path.ends_with("tidy.rs")
                && text.lines().any(|line| line.trim().starts_with("#[ignore"))
        })
        .map(|(path, _)| path.display().to_string())
        .collect();
    assert!(bad.is_empty(), "a test that is not run is none: {bad:?}");
}

#[test]
fn every_page_of_the_readme_is_there() {
    let root = repository();
    let readme = fs::read_to_string(root.join("README.md")).expect("the README");
    let missing: Vec<&str> = readme
        .split("](")
        .skip(1)
        .filter_map(|rest| rest.split(')').next())
        .filter(|link| !link.starts_with("http") && !root.join(link).exists())
        .collect();
    assert!(
        missing.is_empty(),
        "the README links to what is not there: {missing:?}"
    );
}
