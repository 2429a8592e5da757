//! Files by name or pattern.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use muster_options::{GlobError, Globs};

/// Folders deeper than this are not searched.
const DEEPEST: usize = 64;

/// The characters that make a name a pattern.
const SPECIAL: [char; 4] = ['*', '?', '[', '{'];

/// One name or pattern of files. `*` and `?` stay within a folder, `**` goes through all folders
/// below.
#[derive(Clone, Debug)]
pub(crate) struct FilePattern {
    text: String,
    search: Option<Search>,
}

/// How the files of a pattern are searched.
#[derive(Clone, Debug)]
struct Search {
    globs: Globs,
    /// The folder below which they lie.
    base: PathBuf,
    /// How many folders below exactly; `None` if any.
    depth: Option<usize>,
}

impl FilePattern {
    /// Reads a name or pattern.
    pub(crate) fn new(text: &str) -> Result<Self, GlobError> {
        if !text.contains(SPECIAL) {
            return Ok(Self {
                text: text.to_owned(),
                search: None,
            });
        }
        let pattern = text.replace("[^", "[!");
        let globs = Globs::new(&[&pattern], &['/'])?;
        let fixed = text.find(SPECIAL).and_then(|at| text[..at].rfind('/'));
        let (base, rest) = match fixed {
            Some(0) => ("/", &text[1..]),
            Some(at) => (&text[..at], &text[at + 1..]),
            None => ("", text),
        };
        let depth = (!rest.contains("**")).then(|| rest.matches('/').count());
        Ok(Self {
            text: text.to_owned(),
            search: Some(Search {
                globs,
                base: base.into(),
                depth,
            }),
        })
    }

    /// As it was written.
    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    /// Whether a file of this path is meant.
    pub(crate) fn matches(&self, path: &Path) -> bool {
        match &self.search {
            None => Path::new(&self.text) == path,
            Some(search) => path.to_str().is_some_and(|path| search.globs.matches(path)),
        }
    }

    /// Whether it is a pattern and not a plain name.
    pub(crate) fn is_pattern(&self) -> bool {
        self.search.is_some()
    }

    /// The folder in which new matches may appear first.
    pub(crate) fn base(&self) -> &Path {
        match &self.search {
            Some(search) => &search.base,
            None => Path::new(&self.text).parent().unwrap_or(Path::new("")),
        }
    }

    /// Adds the files that match now, in the order of their names. Folders that cannot be read
    /// are passed over.
    ///
    /// # Errors
    /// If there is nothing.
    pub(crate) fn find(&self, into: &mut Vec<PathBuf>) -> io::Result<()> {
        let Some(search) = &self.search else {
            fs::metadata(&self.text)?;
            into.push(PathBuf::from(&self.text));
            return Ok(());
        };
        let before = into.len();
        search.walk(&search.base, 0, into);
        if into.len() == before {
            return Err(io::Error::new(io::ErrorKind::NotFound, "no file matches"));
        }
        Ok(())
    }
}

impl Search {
    fn walk(&self, folder: &Path, depth: usize, into: &mut Vec<PathBuf>) {
        let here = if folder.as_os_str().is_empty() {
            Path::new(".")
        } else {
            folder
        };
        let Ok(entries) = fs::read_dir(here) else {
            return;
        };
        let mut names: Vec<_> = entries.flatten().collect();
        names.sort_by_key(fs::DirEntry::file_name);
        for entry in names {
            let path = folder.join(entry.file_name());
            let Ok(kind) = entry.file_type() else {
                continue;
            };
            // Links to folders are followed only where the depth bounds the way.
            let is_folder = match kind.is_symlink() {
                true => self.depth.is_some() && path.is_dir(),
                false => kind.is_dir(),
            };
            if is_folder {
                if depth < self.depth.unwrap_or(DEEPEST) {
                    self.walk(&path, depth + 1, into);
                }
            } else if self.depth.is_none_or(|wanted| wanted == depth)
                && path.to_str().is_some_and(|path| self.globs.matches(path))
            {
                into.push(path);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_files() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        for file in [
            "a.log",
            "b.txt",
            "x/c.log",
            "x/y/d.log",
            "x/y/e.txt",
            "z/f.log",
        ] {
            fs::create_dir_all(root.join(file).parent().unwrap()).unwrap();
            fs::write(root.join(file), "").unwrap();
        }
        std::os::unix::fs::symlink(root, root.join("x/loop")).unwrap();
        let check = |pattern: &str, want: &[&str]| {
            let pattern = format!("{}/{pattern}", root.display());
            let mut found = Vec::new();
            let result = FilePattern::new(&pattern).unwrap().find(&mut found);
            assert_eq!(result.is_ok(), !want.is_empty(), "{pattern}: {result:?}");
            let found: Vec<_> = found
                .iter()
                .map(|f| f.strip_prefix(root).unwrap())
                .collect();
            assert_eq!(
                found,
                want.iter().map(Path::new).collect::<Vec<_>>(),
                "{pattern}"
            );
        };
        check("a.log", &["a.log"]);
        check("none.log", &[]);
        check("*.log", &["a.log"]);
        check("*.none", &[]);
        check("*/*.log", &["x/c.log", "z/f.log"]);
        check("**.log", &["a.log", "x/c.log", "x/y/d.log", "z/f.log"]);
        check("x/**/*.txt", &["x/y/e.txt"]);
        check("[^a].*", &["b.txt"]);
        check("?.{log,txt}", &["a.log", "b.txt"]);
    }
}
