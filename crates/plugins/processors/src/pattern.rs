//! Lists of names with wildcards, as options have them.

use muster_options::{Globs, OptionError};

/// Compiles the list that stands in the option `path`.
pub(crate) fn globs(path: &str, entries: &[String]) -> Result<Globs, OptionError> {
    Globs::new(entries, &[]).map_err(|error| {
        let at = entries
            .iter()
            .position(|entry| *entry == error.pattern)
            .unwrap_or(0);
        OptionError::new(format!("{path}[{at}]"), error.to_string())
            .with_hint("write \\[ or \\{ for a bracket or brace as such")
    })
}
