//! Profiles in files.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use muster_leaks::Profile;

use crate::Failure;

/// The largest file that is read: four times what Go writes at most.
const MOST_BYTES: u64 = 256 << 20;

/// Reads the profile in a file of any form.
pub(super) fn profile(path: &Path) -> Result<Profile, Failure> {
    let failed = |why: &dyn std::fmt::Display| {
        Failure::Unusable(format!("failed to read {}: {why}", path.display()))
    };
    let mut bytes = Vec::new();
    let read = File::open(path).and_then(|file| file.take(MOST_BYTES + 1).read_to_end(&mut bytes));
    match read {
        Err(error) => return Err(failed(&error)),
        Ok(length) if length as u64 > MOST_BYTES => {
            return Err(failed(&"it is larger than 256 MiB"));
        }
        Ok(_) => {}
    }
    let profile = Profile::read(&bytes).map_err(|error| failed(&error.reason()))?;
    if let Some(problem) = profile.problems.first() {
        let (path, bad) = (path.display(), profile.bad);
        eprintln!(
            "muster: {path}: {bad} places are not understood and left out, the first: {problem}"
        );
    }
    if let Some(cut) = profile.cut {
        let (path, at, total) = (path.display(), cut.at, profile.total);
        eprintln!(
            "muster: {path}: it is cut at byte {at}: there were more than {total} goroutines"
        );
    }
    Ok(profile)
}

/// Reads several.
pub(super) fn profiles(paths: &[PathBuf]) -> Result<Vec<Profile>, Failure> {
    paths.iter().map(|path| profile(path)).collect()
}
