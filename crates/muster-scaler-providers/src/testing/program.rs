//! A program that a provider starts and that misbehaves on request, in a folder of its own.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use super::Fault;

/// A shell script. It takes the file `faults/NAME` away for each fault that it plays, and writes `calls/PID`, in which
/// PID is its own, while it runs.
#[derive(Debug)]
pub(super) struct Program {
    directory: TempDir,
    file: &'static str,
    /// The faults that it knows.
    faults: &'static [Fault],
}

impl Program {
    /// Writes it.
    pub(super) fn new(file: &'static str, text: &str, faults: &'static [Fault]) -> Self {
        let directory = tempfile::tempdir().expect("a folder");
        let program = Self {
            directory,
            file,
            faults,
        };
        program.make_folder("faults");
        program.make_folder("calls");
        fs::write(program.file(), text).expect("the program");
        let mode = fs::Permissions::from_mode(0o755);
        fs::set_permissions(program.file(), mode).expect("the program is ours");
        program
    }

    /// Makes a folder beside it.
    pub(super) fn make_folder(&self, name: &str) {
        fs::create_dir(self.path(name)).expect("a folder");
    }

    /// The folder.
    pub(super) fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// What has this name in the folder.
    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// The program itself.
    pub(super) fn file(&self) -> PathBuf {
        self.path(self.file)
    }

    /// Orders a fault. `false` if it does not know it.
    pub(super) fn fault(&self, fault: Fault) -> bool {
        let is_known = self.faults.contains(&fault);
        if is_known {
            fs::write(self.path("faults").join(name(fault)), "").expect("a fault");
        }
        is_known
    }

    /// Takes back what was ordered.
    pub(super) fn calm(&self) {
        for file in fs::read_dir(self.path("faults")).expect("the folder") {
            let _ = fs::remove_file(file.expect("a file").path());
        }
    }

    /// How many of its processes there are.
    pub(super) fn calls(&self) -> usize {
        // Each has written its number, which after its end may be another's.
        let files = fs::read_dir(self.path("calls")).expect("the folder");
        let program = self.file().display().to_string();
        let lives = |name: &str| {
            let words = fs::read_to_string(Path::new("/proc").join(name).join("cmdline"));
            words.is_ok_and(|words| words.contains(&program))
        };
        let names = files.filter_map(|file| file.ok()?.file_name().into_string().ok());
        names.filter(|name| lives(name)).count()
    }
}

/// What the file of a fault is called.
fn name(fault: Fault) -> &'static str {
    match fault {
        Fault::LoseAnswer => "lose-answer",
        Fault::LoseRequest => "lose-request",
        Fault::Hang => "hang",
        Fault::Partial => "partial",
        Fault::Quota => "quota",
        Fault::NoCapacity => "no-capacity",
        Fault::RateLimit => "rate-limit",
        Fault::BuildFails => "build-fails",
        Fault::ShownLate => "shown-late",
        Fault::Echo => "echo",
        Fault::Expire => "expire",
    }
}
