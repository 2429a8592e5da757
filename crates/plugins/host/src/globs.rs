//! Names chosen by patterns.

use muster_options::{Globs, OptionError};

/// Reads the patterns of the option at `path`: names such as `eth*` or `sd[a-c]`.
pub(crate) fn globs(path: &str, patterns: &[String]) -> Result<Globs, Vec<OptionError>> {
    Globs::new(patterns, &[]).map_err(|error| {
        let at = patterns
            .iter()
            .position(|pattern| *pattern == error.pattern)
            .unwrap_or_default();
        vec![OptionError::new(format!("{path}[{at}]"), error.to_string())]
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chooses_by_pattern() {
        let globs = globs("x", &["eth*".into(), "sd[a-c]".into(), "{lo,br0}".into()]).unwrap();
        for (name, want) in [
            ("eth0", true),
            ("sdb", true),
            ("sdd", false),
            ("lo", true),
            ("xeth0", false),
        ] {
            assert_eq!(globs.matches(name), want, "{name}");
        }
        let errors = super::globs("devices", &["ok".into(), "[a".into()]).unwrap_err();
        assert_eq!(errors[0].path, "devices[1]");
    }
}
