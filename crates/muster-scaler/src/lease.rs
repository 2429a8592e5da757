//! The lease: of all scalers that share a state directory, one acts.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};

/// The right to act, held until this is dropped or the process ends, in whatever way.
#[derive(Debug)]
pub struct Lease {
    file: File,
    path: PathBuf,
}

/// Why the lease is not ours.
#[derive(Debug, thiserror::Error)]
pub enum LeaseError {
    /// Another scaler has it.
    #[error("another scaler holds {path}{by}")]
    Taken {
        /// The lease's file.
        path: PathBuf,
        /// Who, as it wrote itself.
        by: String,
    },
    /// The file cannot be had.
    #[error("open {path}: {reason}")]
    Disk {
        /// The lease's file.
        path: PathBuf,
        /// Why.
        reason: io::Error,
    },
}

impl Lease {
    /// Takes the lease on a directory, which is made if it is not there.
    ///
    /// # Errors
    /// If another scaler has it, in this process or in another one, or the file cannot be had.
    pub fn take(directory: &Path) -> Result<Self, LeaseError> {
        let path = directory.join("lease");
        let disk = |reason| LeaseError::Disk {
            path: path.clone(),
            reason,
        };
        fs::create_dir_all(directory).map_err(disk)?;
        let mut options = OpenOptions::new();
        options.create(true).truncate(false).read(true).write(true);
        let mut file = options.mode(0o600).open(&path).map_err(disk)?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(rustix::io::Errno::WOULDBLOCK) => {
                let mut by = String::new();
                // What another one is writing just now need not be text.
                let _ = (&mut file).take(64).read_to_string(&mut by);
                let by = match by.trim() {
                    "" => String::new(),
                    pid => format!(" (process {pid})"),
                };
                return Err(LeaseError::Taken { path, by });
            }
            Err(error) => return Err(disk(error.into())),
        }
        // For whoever is refused, to name us.
        let write = |file: &mut File| {
            file.set_len(0)?;
            file.rewind()?;
            write!(file, "{}", std::process::id())
        };
        write(&mut file).map_err(disk)?;
        Ok(Self { file, path })
    }

    /// Whether it is still worth something.
    ///
    /// # Errors
    /// If the file was removed or replaced: another scaler could hold the new one.
    pub fn check(&self) -> Result<(), String> {
        let same = || -> io::Result<bool> {
            let (ours, there) = (self.file.metadata()?, fs::metadata(&self.path)?);
            Ok(ours.ino() == there.ino() && ours.dev() == there.dev())
        };
        match same() {
            Ok(true) => Ok(()),
            Ok(false) => Err(format!("{} was replaced", self.path.display())),
            Err(error) => Err(format!("{}: {error}", self.path.display())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_one_has_it_and_the_other_says_who() {
        let directory = tempfile::tempdir().unwrap();
        let lease = Lease::take(directory.path()).unwrap();
        let refused = Lease::take(directory.path()).unwrap_err().to_string();
        assert!(
            refused.contains(&std::process::id().to_string()),
            "{refused}"
        );
        drop(lease);
        Lease::take(directory.path()).unwrap().check().unwrap();
    }

    #[test]
    fn a_lease_whose_file_was_removed_is_worth_nothing() {
        let directory = tempfile::tempdir().unwrap();
        let lease = Lease::take(directory.path()).unwrap();
        fs::remove_file(directory.path().join("lease")).unwrap();
        assert!(lease.check().is_err());
        let second = Lease::take(directory.path()).unwrap();
        assert!(lease.check().is_err());
        second.check().unwrap();
    }
}
