//! Generators of what is committed under `docs/reference`, and tidy checks.
//!
//! `cargo xtask docs` writes; the tests of this crate fail when something is stale.

#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "this is a command"
)]

mod pages;
#[cfg(test)]
mod tidy;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

fn main() -> ExitCode {
    match std::env::args().nth(1).as_deref() {
        Some("docs") => match write_docs() {
            Ok(written) => {
                println!("{written} pages written");
                ExitCode::SUCCESS
            }
            Err(error) => {
                eprintln!("xtask: {error}");
                ExitCode::FAILURE
            }
        },
        _ => {
            eprintln!("usage: cargo xtask docs    write docs/reference anew");
            ExitCode::from(2)
        }
    }
}

fn write_docs() -> std::io::Result<usize> {
    let root = repository();
    let pages = pages::all(&root);
    for directory in pages::DIRECTORIES {
        let _ = fs::remove_dir_all(root.join(directory));
    }
    for (path, text) in &pages {
        let path = root.join(path);
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent)?;
        }
        fs::write(path, text)?;
    }
    Ok(pages.len())
}

/// The repository's root.
fn repository() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().unwrap_or(here).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn docs_are_fresh() {
        let root = repository();
        let pages = pages::all(&root);
        for (path, text) in &pages {
            let committed = fs::read_to_string(root.join(path)).unwrap_or_default();
            assert!(
                committed == *text,
                "{path} is stale: run `cargo xtask docs` and commit"
            );
        }
        for directory in pages::DIRECTORIES {
            for entry in fs::read_dir(root.join(directory))
                .expect("the folder")
                .flatten()
            {
                let path = format!("{directory}/{}", entry.file_name().to_string_lossy());
                assert!(
                    pages.contains_key(&path),
                    "{path} documents nothing: delete it"
                );
            }
        }
    }
}
