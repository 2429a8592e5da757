//! Which files are read, and reading them.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};

use crate::{Diagnostic, LoadOptions};

/// The shortest name of a file that counts: one letter and `.conf`.
const SHORTEST_NAME: usize = 6;

/// The files in the order of reading: those that are named, then those of each directory.
pub(crate) fn list(options: &LoadOptions, problems: &mut Vec<Diagnostic>) -> Vec<PathBuf> {
    let mut files = options.files.clone();
    for root in &options.directories {
        match fs::symlink_metadata(root) {
            Ok(meta) if meta.is_symlink() => {
                let message = format!(
                    "the directory {} is a symbolic link and is not followed",
                    root.display()
                );
                let hint = format!("write {}/ with a slash at the end", root.display());
                problems.push(Diagnostic::warning(message).with_hint(hint));
            }
            Ok(meta) if meta.is_dir() => {
                if let Err(error) = walk(root, &mut files, problems) {
                    problems.push(failed(root, &error));
                }
            }
            Ok(_) => files.extend(counts(root.as_os_str()).then(|| root.clone())),
            Err(error) => problems.push(failed(root, &error)),
        }
    }
    files
}

fn failed(path: &Path, error: &std::io::Error) -> Diagnostic {
    Diagnostic::error(format!("failed to read {}: {error}", path.display()))
}

/// The files below a directory, in the order of their names. What cannot be read below is left out.
fn walk(
    directory: &Path,
    files: &mut Vec<PathBuf>,
    problems: &mut Vec<Diagnostic>,
) -> std::io::Result<()> {
    let mut entries = Vec::new();
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        entries.push((entry.file_name(), entry.file_type()));
    }
    entries.sort_by(|a, b| a.0.cmp(&b.0));
    for (name, file_type) in entries {
        let path = directory.join(&name);
        let result = match file_type {
            // Kubernetes keeps the real files of a mounted ConfigMap in such a directory.
            Ok(found) if found.is_dir() && name.as_encoded_bytes().starts_with(b"..") => Ok(()),
            Ok(found) if found.is_dir() => walk(&path, files, problems),
            Ok(_) => {
                files.extend(counts(&name).then(|| path.clone()));
                Ok(())
            }
            Err(error) => Err(error),
        };
        if let Err(error) = result {
            let message = format!("{} is left out: {error}", path.display());
            problems.push(Diagnostic::warning(message));
        }
    }
    Ok(())
}

fn counts(name: &OsStr) -> bool {
    let name = Path::new(name)
        .file_name()
        .unwrap_or(name)
        .as_encoded_bytes();
    name.len() >= SHORTEST_NAME && name.ends_with(b".conf")
}

/// The text of a file.
pub(crate) fn read(path: &Path) -> Result<String, Diagnostic> {
    let shown = path.display();
    let is_url = path
        .to_str()
        .is_some_and(|p| p.starts_with("http://") || p.starts_with("https://"));
    if is_url {
        let problem = Diagnostic::error(format!(
            "{shown}: configuration from a URL is not supported yet"
        ));
        return Err(problem.with_hint("fetch it into a file"));
    }
    let bytes = fs::read(path).map_err(|error| failed(path, &error))?;
    match String::from_utf8(bytes) {
        Ok(text) if text.contains('\0') => Err(Diagnostic::error(format!("{shown} is no text"))),
        Ok(text) => Ok(text),
        Err(error) => {
            let at = error.utf8_error().valid_up_to();
            let line = error
                .as_bytes()
                .iter()
                .take(at)
                .filter(|b| **b == b'\n')
                .count()
                + 1;
            Err(Diagnostic::error(format!(
                "{shown} is no UTF-8 text from line {line} on"
            )))
        }
    }
}
