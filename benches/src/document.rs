//! The table in `docs/benchmarks.md`, between two marks.

use std::fs;
use std::path::{Path, PathBuf};

use crate::machine::Machine;
use crate::measure::Failure;
use crate::row::Row;
use crate::table;

const BEGIN: &str = "<!-- scripts/bench --write: begin -->\n";
const END: &str = "<!-- scripts/bench --write: end -->\n";

/// Replaces the table in the document; returns where that is.
pub(crate) fn write(rows: &[Row], machine: &Machine, command: &str) -> Result<PathBuf, Failure> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/benchmarks.md");
    let path = path
        .canonicalize()
        .map_err(|error| format!("find {}: {error}", path.display()))?;
    let today = jiff::Zoned::now().date();
    let part = format!(
        "{today}, `{command}`\n\n{machine}\n\n{}",
        table::markdown(rows)
    );
    let text = fs::read_to_string(&path)?;
    let Some(new) = replaced(&text, &part) else {
        return Err(format!(
            "{} lacks the marks between which the table goes",
            path.display()
        )
        .into());
    };
    fs::write(&path, new)?;
    Ok(path)
}

fn replaced(text: &str, part: &str) -> Option<String> {
    let (before, rest) = text.split_once(BEGIN)?;
    let (_, after) = rest.split_once(END)?;
    Some(format!("{before}{BEGIN}{part}{END}{after}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replaces_what_is_between_the_marks() {
        let text = format!("a\n{BEGIN}old\n{END}b\n");
        assert_eq!(
            replaced(&text, "new\n"),
            Some(format!("a\n{BEGIN}new\n{END}b\n"))
        );
        assert_eq!(replaced("a\n", "new\n"), None);
    }
}
