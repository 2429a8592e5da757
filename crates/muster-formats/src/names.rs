//! Lists of names with wildcards, as options have them.

use muster_options::{Globs, OptionError};

/// Reads the list of patterns that stands in `option`.
pub(crate) fn name_list(option: &str, names: &[String]) -> Result<Globs, OptionError> {
    Globs::new(names, &[]).map_err(|error| OptionError::new(option, error.to_string()))
}
