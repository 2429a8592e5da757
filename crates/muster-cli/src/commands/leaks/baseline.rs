//! `--baseline`.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use jiff::Timestamp;
use muster_leaks::Profile;

use crate::text::print;
use crate::{CommandResult, Failure};

/// What to do with a baseline.
#[derive(Clone, Debug)]
pub(super) enum Baseline {
    None,
    Save(PathBuf),
    Compare(PathBuf),
}

impl Baseline {
    /// Reads the two words of the option.
    pub(super) fn of(words: &[String]) -> Result<Self, Failure> {
        match words {
            [what, file] if what == "save" => Ok(Self::Save(file.into())),
            [what, file] if what == "compare" => Ok(Self::Compare(file.into())),
            [what, ..] => Err(Failure::Usage(format!(
                "--baseline {what}: expected save FILE or compare FILE"
            ))),
            [] => Ok(Self::None),
        }
    }

    /// Where to save.
    pub(super) fn to_save(&self) -> Option<&Path> {
        match self {
            Self::Save(path) => Some(path),
            _ => None,
        }
    }

    /// What to compare with.
    pub(super) fn kept(&self) -> Result<Option<muster_leaks::Baseline>, Failure> {
        let Self::Compare(path) = self else {
            return Ok(None);
        };
        let text = crate::input::read_text(path);
        let text = text.map_err(|failure| Failure::Unusable(failure.to_string()))?;
        let baseline = muster_leaks::Baseline::from_json(&text);
        let wrong = |error| Failure::Unusable(format!("{}: {error}", path.display()));
        baseline.map(Some).map_err(wrong)
    }
}

/// Saves what a service has now.
pub(super) fn save(path: &Path, service: &str, profile: &Profile) -> CommandResult {
    let baseline = muster_leaks::Baseline::of(service, None, Timestamp::now(), profile);
    std::fs::write(path, baseline.to_json() + "\n").map_err(|error| {
        Failure::Unusable(format!("failed to write {}: {error}", path.display()))
    })?;
    let (sites, goroutines) = (baseline.sites.len(), baseline.goroutines);
    print(&format!(
        "{}: {goroutines} goroutines at {sites} lines\n",
        path.display()
    ))?;
    Ok(ExitCode::SUCCESS)
}
