//! Where the state directory is when nobody says.

use std::path::PathBuf;

use crate::Failure;
use crate::args::StateArgs;

/// The state directory: the one given, else `/var/lib/muster` for root, else
/// `$XDG_STATE_HOME/muster` or `~/.local/state/muster`.
pub(crate) fn state_path(args: &StateArgs) -> Result<PathBuf, Failure> {
    if let Some(path) = &args.state_dir {
        return Ok(path.clone());
    }
    if let Some(path) = set("XDG_STATE_HOME") {
        return Ok(path.join("muster"));
    }
    if is_root() {
        return Ok(PathBuf::from("/var/lib/muster"));
    }
    match set("HOME") {
        Some(home) => Ok(home.join(".local/state/muster")),
        None => Err(Failure::Usage(
            "there is no $HOME: say where the state lies with --state-dir".into(),
        )),
    }
}

fn set(name: &str) -> Option<PathBuf> {
    std::env::var_os(name)
        .filter(|value| !value.is_empty())
        .map(PathBuf::from)
}

/// Whether this process runs as root: it owns its own entry in /proc.
fn is_root() -> bool {
    use std::os::unix::fs::MetadataExt;
    std::fs::metadata("/proc/self").is_ok_and(|meta| meta.uid() == 0)
}
