//! Which processes are asked for.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use muster_options::Globs;
use muster_plugin::PluginError;
use regex::Regex;

use super::parser;
use super::process::{Process, Processes};
use crate::files::read_trimmed;

/// A way to find processes.
#[derive(Debug)]
pub(super) enum Search {
    /// The process whose number is in a file.
    PidFile(PathBuf),
    /// Those whose name fits.
    Name(Regex),
    /// Those whose command line fits.
    CommandLine(Regex),
    /// Those of a user, by name or number.
    User(String),
    /// The main process of a systemd unit.
    Unit(String),
    /// All processes of systemd units.
    Units(Globs),
    /// All processes of control groups, by patterns of paths.
    Cgroups(Vec<String>),
    /// All processes.
    All,
}

/// Processes that were found together.
#[derive(Debug, Default)]
pub(super) struct Found {
    /// What they have in common.
    pub(super) tags: Vec<(&'static str, String)>,
    pub(super) members: Vec<Member>,
}

/// A process that was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Member {
    pub(super) pid: u32,
    /// The parent through which it was found, and how far down, for children of what fits.
    pub(super) child_of: Option<(u32, u32)>,
}

impl Member {
    fn found(pid: u32) -> Self {
        Self {
            pid,
            child_of: None,
        }
    }
}

impl Search {
    /// The processes, in groups.
    pub(super) fn run(&self, processes: &Processes<'_>) -> Result<Vec<Found>, PluginError> {
        match self {
            Self::PidFile(path) => {
                let failed = || PluginError::new(format!("read a pid from {}", path.display()));
                let text = read_trimmed(path)
                    .ok_or_else(|| failed().because("the file cannot be read"))?;
                let pid = text
                    .parse()
                    .map_err(|_| failed().because("it holds no number"))?;
                let running = processes.get(pid).map(|process| Member::found(process.pid));
                Ok(vec![Found {
                    tags: Vec::new(),
                    members: running.into_iter().collect(),
                }])
            }
            Self::Name(regex) => Ok(those(processes, |process| {
                regex.is_match(&process.stat.name) || regex.is_match(process.name())
            })),
            Self::CommandLine(regex) => Ok(those(processes, |process| {
                regex.is_match(shown_command_line(process))
            })),
            Self::User(user) => {
                let fits = |process: &Process| {
                    processes.user(process).as_ref() == Some(user)
                        || process.uid().is_some_and(|uid| uid.to_string() == *user)
                };
                Ok(those(processes, fits))
            }
            Self::Unit(unit) => {
                let mut found = units(processes, |name| name == unit);
                let mut group = found.pop().unwrap_or_default();
                group.tags.clear();
                group.members = main_process(processes, &group.members)
                    .into_iter()
                    .collect();
                Ok(vec![group])
            }
            Self::Units(globs) => Ok(units(processes, |name| globs.matches(name))),
            Self::Cgroups(patterns) => cgroups(processes, patterns),
            Self::All => Ok(those(processes, |_| true)),
        }
    }
}

/// As `ps` shows it: kernel threads have no command line, but a name.
fn shown_command_line(process: &Process) -> &str {
    match process.command_line() {
        "" => &process.stat.name,
        text => text,
    }
}

fn those(processes: &Processes<'_>, fits: impl Fn(&Process) -> bool) -> Vec<Found> {
    let all = processes.all().iter().filter(|process| fits(process));
    let members = all.map(|process| Member::found(process.pid)).collect();
    vec![Found {
        tags: Vec::new(),
        members,
    }]
}

/// The processes of units, by the control groups that systemd puts them in.
fn units(processes: &Processes<'_>, fits: impl Fn(&str) -> bool) -> Vec<Found> {
    let mut by_unit: BTreeMap<String, Found> = BTreeMap::new();
    for process in processes.all() {
        let text = process.cgroups();
        let in_unit = parser::cgroups(&text).find_map(|path| Some((parser::unit(path)?, path)));
        let Some((unit, path)) = in_unit.filter(|(unit, _)| fits(unit)) else {
            continue;
        };
        let found = by_unit.entry(unit.to_owned()).or_insert_with(|| Found {
            tags: vec![
                ("systemd_unit", unit.to_owned()),
                ("cgroup_full", path.to_owned()),
            ],
            members: Vec::new(),
        });
        found.members.push(Member::found(process.pid));
    }
    by_unit.into_values().collect()
}

/// The first process whose parent is not of the same group.
fn main_process(processes: &Processes<'_>, members: &[Member]) -> Option<Member> {
    let pids: BTreeSet<u32> = members.iter().map(|member| member.pid).collect();
    let is_main = |member: &&Member| {
        processes
            .get(member.pid)
            .is_some_and(|process| !pids.contains(&process.stat.parent))
    };
    members.iter().find(is_main).copied()
}

fn cgroups(processes: &Processes<'_>, patterns: &[String]) -> Result<Vec<Found>, PluginError> {
    let mut all = Vec::new();
    for pattern in patterns {
        let roots = processes.roots();
        let paths = if pattern.starts_with('/') {
            expand(Path::new("/"), pattern)
        } else {
            expand(&roots.sys("fs/cgroup"), pattern)
        };
        if paths.is_empty() {
            let failed = PluginError::new(format!("find the control group {pattern}"));
            return Err(failed.because("there is no such folder"));
        }
        let is_glob = pattern.contains(GLOB);
        for path in paths {
            let pids = read_trimmed(&path.join("cgroup.procs")).unwrap_or_default();
            let members = pids
                .lines()
                .filter_map(|pid| pid.parse().ok())
                .map(Member::found);
            let mut tags = vec![("cgroup", pattern.clone())];
            if is_glob {
                tags.push(("cgroup_full", path.display().to_string()));
            }
            all.push(Found {
                tags,
                members: members.collect(),
            });
        }
    }
    Ok(all)
}

const GLOB: [char; 4] = ['*', '?', '[', '{'];

/// The folders below `base` that fit a path with patterns in it.
fn expand(base: &Path, pattern: &str) -> Vec<PathBuf> {
    let mut found = vec![base.to_owned()];
    for part in pattern.split('/').filter(|part| !part.is_empty()) {
        found = if part.contains(GLOB) {
            let Ok(globs) = Globs::new(&[part], &[]) else {
                return Vec::new();
            };
            found.iter().flat_map(|dir| children(dir, &globs)).collect()
        } else {
            found
                .iter()
                .map(|dir| dir.join(part))
                .filter(|dir| dir.is_dir())
                .collect()
        };
    }
    found
}

fn children(dir: &Path, globs: &Globs) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(dir).into_iter().flatten().flatten();
    let fits = entries.filter(|entry| {
        entry
            .file_name()
            .to_str()
            .is_some_and(|name| globs.matches(name))
            && entry.path().is_dir()
    });
    let mut paths: Vec<PathBuf> = fits.map(|entry| entry.path()).collect();
    paths.sort();
    paths
}

/// Narrows what a search found down. Lists that are empty ask for nothing.
#[derive(Debug, Default)]
pub(super) struct Narrow {
    pub(super) patterns: Vec<Regex>,
    pub(super) users: Globs,
    pub(super) executables: Globs,
    pub(super) names: Globs,
    /// How many generations of children come with what fits; all if negative.
    pub(super) depth: i64,
}

impl Narrow {
    /// Keeps what fits, and adds its children.
    pub(super) fn apply(&self, processes: &Processes<'_>, found: &mut Found) {
        found.members.retain(|member| {
            processes
                .get(member.pid)
                .is_some_and(|process| self.fits(processes, process))
        });
        let mut known: BTreeSet<u32> = found.members.iter().map(|member| member.pid).collect();
        let mut parents = known.clone();
        let mut level = 0;
        while !parents.is_empty() && (self.depth < 0 || i64::from(level) < self.depth) {
            level += 1;
            let children = processes.all().iter().filter(|process| {
                parents.contains(&process.stat.parent) && !known.contains(&process.pid)
            });
            let children: Vec<Member> = children
                .map(|process| Member {
                    pid: process.pid,
                    child_of: Some((process.stat.parent, level)),
                })
                .collect();
            parents = children.iter().map(|member| member.pid).collect();
            known.extend(&parents);
            found.members.extend(children);
        }
    }

    fn fits(&self, processes: &Processes<'_>, process: &Process) -> bool {
        let any = |globs: &Globs, text: Option<&str>| {
            globs.is_empty() || text.is_some_and(|text| globs.matches(text))
        };
        let pattern = |regex: &Regex| regex.is_match(shown_command_line(process));
        (self.patterns.is_empty() || self.patterns.iter().any(pattern))
            && any(&self.names, Some(process.name()))
            && (self.executables.is_empty()
                || any(&self.executables, process.executable().as_deref()))
            && (self.users.is_empty() || any(&self.users, processes.user(process).as_deref()))
    }
}
