//! `muster man`.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;

use crate::text::print;
use crate::{CommandResult, Failure};

/// Where to write the manual pages.
#[derive(Debug, Args)]
#[command(after_help = "Example:
  muster man /usr/local/share/man/man1")]
pub(crate) struct ManArgs {
    /// The directory; it is made if it is not there.
    #[arg(value_name = "DIR")]
    directory: PathBuf,
}

pub(crate) fn man(args: &ManArgs) -> CommandResult {
    let path = &args.directory;
    let failed = |error| {
        Failure::failed(format!(
            "failed to write manual pages to {}: {error}",
            path.display()
        ))
    };
    std::fs::create_dir_all(path).map_err(failed)?;
    clap_mangen::generate_to(crate::command(), path).map_err(failed)?;
    print(&format!("the manual pages are in {}\n", path.display()))?;
    Ok(ExitCode::SUCCESS)
}
