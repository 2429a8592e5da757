//! What stands before the rows: skipped lines, metadata, header.

use ::csv::ByteRecord;

use super::{CsvOptions, MAX_COLUMNS};
use crate::Problem;
use crate::format::excerpt;

/// What was read before the header.
#[derive(Debug, Default)]
pub(super) struct Preamble {
    /// How many bytes it has.
    pub(super) len: usize,
    /// How many lines it has.
    pub(super) lines: usize,
    pub(super) metadata: Vec<(String, String)>,
}

/// Reads skipped lines and metadata.
pub(super) fn preamble(options: &CsvOptions, input: &[u8]) -> Result<Preamble, Problem> {
    let mut preamble = Preamble::default();
    let wanted = options
        .csv_skip_rows
        .saturating_add(options.csv_metadata_rows);
    while preamble.lines < wanted && preamble.len < input.len() {
        let rest = &input[preamble.len..];
        let end = memchr::memchr(b'\n', rest).map_or(rest.len(), |end| end + 1);
        preamble.len += end;
        preamble.lines += 1;
        if preamble.lines > options.csv_skip_rows {
            let line = std::str::from_utf8(&rest[..end]).map_err(|_| {
                Problem::new(preamble.lines as u64, 1, "metadata is no valid UTF-8")
            })?;
            preamble.metadata.extend(metadata(options, line));
        }
    }
    Ok(preamble)
}

/// Key and value, by the first separator of the list that is there.
fn metadata(options: &CsvOptions, line: &str) -> Option<(String, String)> {
    let line = line.trim_end_matches(['\r', '\n']);
    let trim = |text: &str| {
        text.trim_matches(|c| options.csv_metadata_trim_set.contains(c))
            .to_owned()
    };
    let separators = options.csv_metadata_separators.iter();
    separators
        .filter_map(|separator| line.split_once(separator.as_str()))
        .map(|(key, value)| (trim(key), trim(value)))
        .find(|(key, _)| !key.is_empty())
}

/// Joins the names of a header row to those of the rows above.
pub(super) fn join(
    options: &CsvOptions,
    record: &ByteRecord,
    names: &mut Vec<String>,
) -> Result<(), String> {
    if record.len() > MAX_COLUMNS {
        return Err(format!("the header has more than {MAX_COLUMNS} columns"));
    }
    for (at, name) in record.iter().skip(options.csv_skip_columns).enumerate() {
        let name = std::str::from_utf8(name).map_err(|_| {
            let text = String::from_utf8_lossy(name);
            format!("the name {} of a column is no valid UTF-8", excerpt(&text))
        })?;
        let name = if options.csv_trim_space {
            name.trim()
        } else {
            name
        };
        match names.get_mut(at) {
            Some(known) => known.push_str(name),
            None => names.push(name.to_owned()),
        }
    }
    Ok(())
}
