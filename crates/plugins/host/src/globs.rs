//! Names chosen by patterns.

use globset::{Glob, GlobBuilder, GlobSet, GlobSetBuilder};
use muster_options::OptionError;

/// A list of names and patterns (`eth*`, `sd[a-c]`), of which one must fit.
#[derive(Clone, Debug, Default)]
pub(crate) struct Globs {
    set: GlobSet,
}

impl Globs {
    /// Reads the patterns of the option at `path`.
    pub(crate) fn new(path: &str, patterns: &[String]) -> Result<Self, Vec<OptionError>> {
        let mut errors = Vec::new();
        let mut set = GlobSetBuilder::new();
        for (at, pattern) in patterns.iter().enumerate() {
            match glob(pattern) {
                Ok(glob) => {
                    set.add(glob);
                }
                Err(error) => errors.push(OptionError::new(
                    format!("{path}[{at}]"),
                    format!("\"{pattern}\" is no pattern: {}", error.kind()),
                )),
            }
        }
        match set.build() {
            Ok(set) if errors.is_empty() => Ok(Self { set }),
            Ok(_) => Err(errors),
            Err(error) => Err(vec![OptionError::new(path, error.to_string())]),
        }
    }

    /// Whether there is no pattern at all.
    pub(crate) fn is_empty(&self) -> bool {
        self.set.is_empty()
    }

    /// Whether a pattern fits the whole name.
    pub(crate) fn fits(&self, name: &str) -> bool {
        self.set.is_match(name)
    }
}

fn glob(pattern: &str) -> Result<Glob, globset::Error> {
    GlobBuilder::new(pattern)
        .literal_separator(false)
        .backslash_escape(true)
        .build()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chooses_by_pattern() {
        let globs = Globs::new("x", &["eth*".into(), "sd[a-c]".into(), "{lo,br0}".into()]).unwrap();
        for (name, want) in [
            ("eth0", true),
            ("sdb", true),
            ("sdd", false),
            ("lo", true),
            ("xeth0", false),
        ] {
            assert_eq!(globs.fits(name), want, "{name}");
        }
        let errors = Globs::new("devices", &["ok".into(), "[a".into()]).unwrap_err();
        assert_eq!(errors[0].path, "devices[1]");
    }
}
