//! What is read of a process.

use std::cell::OnceCell;
use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};

use super::parser::{self, Stat};
use crate::Roots;
use crate::files::{numbered, read_trimmed};

/// A process, read piece by piece as it is asked for.
pub(super) struct Process {
    pub(super) pid: u32,
    pub(super) stat: Stat,
    dir: PathBuf,
    status: OnceCell<Option<String>>,
    command_line: OnceCell<String>,
}

impl Process {
    /// Reads what every use of a process needs.
    pub(super) fn read(roots: &Roots, pid: u32) -> io::Result<Self> {
        let dir = roots.proc(pid.to_string());
        let bytes = std::fs::read(dir.join("stat"))?;
        let stat = Stat::parse(&String::from_utf8_lossy(&bytes));
        let stat = stat.ok_or_else(|| io::Error::other("the form of its stat is not known"))?;
        let (status, command_line) = (OnceCell::new(), OnceCell::new());
        Ok(Self {
            pid,
            stat,
            dir,
            status,
            command_line,
        })
    }

    /// A file of the process; nothing if it cannot be read, often for want of privileges.
    pub(super) fn file(&self, name: &str) -> Option<String> {
        read_trimmed(&self.dir.join(name))
    }

    pub(super) fn status(&self) -> Option<&str> {
        self.status.get_or_init(|| self.file("status")).as_deref()
    }

    /// The whole name. That in `stat` is cut to 15 bytes; where the command line begins with it,
    /// the latter tells the rest.
    pub(super) fn name(&self) -> &str {
        let short = self.stat.name.as_str();
        if short.len() < 15 {
            return short;
        }
        let first = self.command_line().split(' ').next().unwrap_or_default();
        let long = first.rsplit('/').next().unwrap_or_default();
        if long.starts_with(short) { long } else { short }
    }

    pub(super) fn command_line(&self) -> &str {
        self.command_line.get_or_init(|| {
            let bytes = std::fs::read(self.dir.join("cmdline")).unwrap_or_default();
            parser::command_line(&bytes)
        })
    }

    /// The path of the program.
    pub(super) fn executable(&self) -> Option<String> {
        let path = std::fs::read_link(self.dir.join("exe")).ok()?;
        Some(
            path.to_string_lossy()
                .trim_end_matches(" (deleted)")
                .to_owned(),
        )
    }

    pub(super) fn uid(&self) -> Option<u32> {
        parser::uid(self.status()?)
    }

    pub(super) fn cgroups(&self) -> String {
        self.file("cgroup").unwrap_or_default()
    }

    /// How many files it has open.
    pub(super) fn open_files(&self) -> Option<i64> {
        let entries = std::fs::read_dir(self.dir.join("fd")).ok()?;
        i64::try_from(entries.count()).ok()
    }
}

/// All processes, read once in a gather.
pub(super) struct Processes<'a> {
    roots: &'a Roots,
    all: OnceCell<Vec<Process>>,
    users: OnceCell<HashMap<u32, String>>,
    failures: OnceCell<Vec<(PathBuf, io::Error)>>,
}

impl<'a> Processes<'a> {
    pub(super) fn new(roots: &'a Roots) -> Self {
        let (all, users, failures) = (OnceCell::new(), OnceCell::new(), OnceCell::new());
        Self {
            roots,
            all,
            users,
            failures,
        }
    }

    pub(super) fn roots(&self) -> &'a Roots {
        self.roots
    }

    pub(super) fn all(&self) -> &[Process] {
        self.all.get_or_init(|| {
            let (mut all, mut failures) = (Vec::new(), Vec::new());
            match numbered(&self.roots.proc("")) {
                Ok(pids) => {
                    for pid in pids {
                        match Process::read(self.roots, pid) {
                            Ok(process) => all.push(process),
                            Err(error) if is_gone(&error) => {}
                            Err(error) => {
                                failures.push((self.roots.proc(pid.to_string()), error));
                            }
                        }
                    }
                }
                Err(error) => failures.push((self.roots.proc(""), error)),
            }
            all.sort_by_key(|process| process.pid);
            self.failures.set(failures).ok();
            all
        })
    }

    /// What could not be read.
    pub(super) fn failures(&self) -> impl Iterator<Item = (&Path, &io::Error)> {
        self.failures
            .get()
            .into_iter()
            .flatten()
            .map(|(path, error)| (path.as_path(), error))
    }

    pub(super) fn get(&self, pid: u32) -> Option<&Process> {
        let all = self.all();
        all.binary_search_by_key(&pid, |process| process.pid)
            .ok()
            .map(|at| &all[at])
    }

    /// A user's name, or the number where the name is not known.
    pub(super) fn user(&self, process: &Process) -> Option<String> {
        let uid = process.uid()?;
        let users = self.users.get_or_init(|| {
            parser::users(&read_trimmed(&self.roots.etc("passwd")).unwrap_or_default())
        });
        Some(users.get(&uid).cloned().unwrap_or_else(|| uid.to_string()))
    }
}

/// Whether the process ended meanwhile.
fn is_gone(error: &io::Error) -> bool {
    // ESRCH comes when it ends between open and read.
    error.kind() == io::ErrorKind::NotFound || error.raw_os_error() == Some(3)
}
