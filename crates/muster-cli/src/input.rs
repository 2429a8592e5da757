//! Texts that are given to commands: a file, or `-` for the standard input.

use std::io::Read;
use std::path::Path;

use crate::Failure;

/// The most that the API takes.
const MOST_BYTES: u64 = 8 << 20;

/// Reads a whole text.
pub(crate) fn read_text(path: &Path) -> Result<String, Failure> {
    let mut text = String::new();
    let read = if path == Path::new("-") {
        std::io::stdin()
            .lock()
            .take(MOST_BYTES + 1)
            .read_to_string(&mut text)
    } else {
        let file = std::fs::File::open(path);
        file.and_then(|file| file.take(MOST_BYTES + 1).read_to_string(&mut text))
    };
    match read {
        Ok(length) if length as u64 > MOST_BYTES => Err(Failure::failed(format!(
            "failed to read {}: it is larger than 8 MiB",
            path.display()
        ))),
        Ok(_) => Ok(text),
        Err(error) => Err(Failure::failed(format!(
            "failed to read {}: {error}",
            path.display()
        ))),
    }
}
