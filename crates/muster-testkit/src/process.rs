//! A child process that ends with its value.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

/// A running child. Killed when dropped.
#[derive(Debug)]
pub struct Process {
    child: Child,
    log: PathBuf,
}

/// What a process uses, read from /proc.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Usage {
    /// Resident memory in bytes.
    pub resident: u64,
    /// Threads.
    pub threads: u64,
    /// Open files.
    pub files: u64,
    /// Processor time in hundredths of a second.
    pub ticks: u64,
}

impl Process {
    /// Starts the command; its output goes to a file in `directory`.
    ///
    /// # Panics
    /// If the program is not there (with the command that installs `package`) or cannot be started.
    pub fn start(mut command: Command, directory: &Path, package: &str) -> Self {
        let program = command.get_program().to_string_lossy().into_owned();
        let name = Path::new(&program)
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        let log = directory.join(format!("{name}.log"));
        let out = File::create(&log).expect("a log file");
        let err = out.try_clone().expect("a log file");
        let child = command.stdin(Stdio::null()).stdout(out).stderr(err).spawn();
        let child = match child {
            Ok(child) => child,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => panic!(
                "{program} is not installed; install it with: apt-get install -y --no-install-recommends {package}"
            ),
            Err(error) => panic!("cannot start {program}: {error}"),
        };
        Self { child, log }
    }

    /// The process ID.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// What it has printed so far.
    pub fn log(&self) -> String {
        let mut bytes = Vec::new();
        let read = File::open(&self.log).and_then(|mut file| file.read_to_end(&mut bytes));
        read.expect("the log");
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// How it ended, if it has.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().expect("a child of ours")
    }

    /// Sends a signal by its number.
    ///
    /// # Panics
    /// If that is not possible.
    pub fn signal(&self, name: &str) {
        let sent = Command::new("kill")
            .args([&format!("-{name}"), &self.id().to_string()])
            .status();
        assert!(sent.expect("kill").success(), "cannot send {name}");
    }

    /// Kills it and waits until it is gone.
    pub fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Waits until it ends by itself.
    ///
    /// # Panics
    /// If it does not within `bound`.
    #[track_caller]
    pub fn wait_end(&mut self, bound: Duration) -> ExitStatus {
        let begin = Instant::now();
        loop {
            if let Some(status) = self.ended() {
                return status;
            }
            assert!(
                begin.elapsed() < bound,
                "does not end within {bound:?}; it says:\n{}",
                self.log()
            );
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    /// What it uses.
    ///
    /// # Panics
    /// If it has ended.
    pub fn usage(&self) -> Usage {
        usage_of(self.id())
    }
}

/// What the test's own process uses.
///
/// # Panics
/// If there is no /proc.
pub fn usage_of_this_process() -> Usage {
    usage_of(std::process::id())
}

fn usage_of(pid: u32) -> Usage {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("a live process");
    let field = |name: &str| -> u64 {
        let line = status.lines().find_map(|line| line.strip_prefix(name));
        let number = line.and_then(|rest| rest.split_whitespace().next());
        number.and_then(|n| n.parse().ok()).unwrap_or_default()
    };
    let files = std::fs::read_dir(format!("/proc/{pid}/fd"))
        .expect("a live process")
        .count();
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).expect("a live process");
    let after_name = stat.rsplit(')').next().unwrap_or_default();
    let numbers: Vec<u64> = after_name
        .split_whitespace()
        .map(|n| n.parse().unwrap_or_default())
        .collect();
    Usage {
        resident: field("VmRSS:") * 1024,
        threads: field("Threads:"),
        files: files as u64,
        ticks: numbers[11] + numbers[12],
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}
