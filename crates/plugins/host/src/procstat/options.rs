//! The options, and the searches made of them.

use muster_options::{Globs, OptionError};
use regex::Regex;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::finder::{Narrow, Search};
use crate::Roots;
use crate::globs::globs;

/// Which processes to report, and what of them.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Procstat {
    /// Report the process whose number is in this file.
    pid_file: String,
    /// Report the processes whose name matches this regular expression.
    exe: String,
    /// Report the processes whose command line matches this regular expression.
    pattern: String,
    /// Report the processes of this user.
    user: String,
    /// Report the main process of this systemd unit, such as `nginx.service`; with
    /// `include_systemd_children` a pattern for units, of which all processes are reported.
    systemd_unit: String,
    /// Report all processes of the unit, not only its main one.
    include_systemd_children: bool,
    /// Report the processes of this control group: a path, absolute or below `/sys/fs/cgroup`.
    /// Patterns such as `system.slice/*` are allowed.
    cgroup: String,
    /// Not available: must be empty.
    supervisor_units: Vec<String>,
    /// Not available on Linux: must be empty.
    win_service: String,
    /// What the tag `process_name` is to be instead of the process's own name.
    pub(super) process_name: String,
    /// Put before the name of every field, with an underscore.
    pub(super) prefix: String,
    /// Tag with the command line. The same as `cmdline` in `tag_with`.
    cmdline_tag: bool,
    /// Tag with the process's number instead of reporting it as a field. The same as `pid` in
    /// `tag_with`.
    pid_tag: bool,
    /// How `cpu_usage` counts: `irix` in percent of one processor, so that it may be more than 100;
    /// `solaris` in percent of all processors together.
    pub(super) mode: Mode,
    /// What is to be a tag instead of a field. Beware: each process becomes a series of its own.
    tag_with: Vec<Tag>,
    /// What to report beside the basics. `mmap` is costly for processes with large memory.
    pub(super) properties: Vec<Property>,
    /// Without effect until `sockets` can be among `properties`.
    socket_protocols: Vec<String>,
    /// Told in the tag `pid_finder`, and nothing else: processes are always found by reading
    /// `/proc`, with the same results.
    pub(super) pid_finder: PidFinder,
    /// Searches with a name each, instead of one of the options above.
    filter: Vec<Filter>,
}

/// A search by several conditions, all of which must hold.
#[derive(Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Filter {
    /// The name, for the tag `filter`.
    name: String,
    /// Of these systemd units (patterns).
    systemd_units: Vec<String>,
    /// Of these control groups: paths, absolute or below `/sys/fs/cgroup`, with patterns.
    cgroups: Vec<String>,
    /// Not available: must be empty.
    supervisor_units: Vec<String>,
    /// Not available on Linux: must be empty.
    win_service: Vec<String>,
    /// With a command line that matches one of these regular expressions.
    patterns: Vec<String>,
    /// Of these users (patterns).
    users: Vec<String>,
    /// With these programs: whole paths (patterns).
    executables: Vec<String>,
    /// With these names (patterns).
    process_names: Vec<String>,
    /// Also report the children of what fits, so many generations down; a negative number for all.
    recursion_depth: i64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(super) enum Mode {
    Irix,
    Solaris,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(super) enum Tag {
    Cmdline,
    Pid,
    Ppid,
    Status,
    User,
    Level,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(super) enum Property {
    Cpu,
    Limits,
    Memory,
    Mmap,
    Sockets,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(super) enum PidFinder {
    Pgrep,
    Native,
}

impl PidFinder {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Pgrep => "pgrep",
            Self::Native => "native",
        }
    }
}

impl Default for Procstat {
    fn default() -> Self {
        Self {
            pid_file: String::new(),
            exe: String::new(),
            pattern: String::new(),
            user: String::new(),
            systemd_unit: String::new(),
            include_systemd_children: false,
            cgroup: String::new(),
            supervisor_units: Vec::new(),
            win_service: String::new(),
            process_name: String::new(),
            prefix: String::new(),
            cmdline_tag: false,
            pid_tag: false,
            mode: Mode::Irix,
            tag_with: Vec::new(),
            properties: vec![
                Property::Cpu,
                Property::Limits,
                Property::Memory,
                Property::Mmap,
            ],
            socket_protocols: vec!["all".to_owned()],
            pid_finder: PidFinder::Pgrep,
            filter: Vec::new(),
        }
    }
}

/// A search with the tags of what it finds.
#[derive(Debug)]
pub(super) struct Lookup {
    pub(super) search: Search,
    pub(super) narrow: Option<Narrow>,
    pub(super) tags: Vec<(&'static str, String)>,
}

impl Procstat {
    pub(super) fn tags_with(&self, tag: Tag) -> bool {
        self.tag_with.contains(&tag)
            || match tag {
                Tag::Cmdline => self.cmdline_tag,
                Tag::Pid => self.pid_tag,
                _ => false,
            }
    }

    /// The searches that the options ask for, or all that is wrong with them.
    pub(super) fn lookups(&self, roots: &Roots) -> Result<Vec<Lookup>, Vec<OptionError>> {
        let mut errors = self.missing();
        let mut lookups = Vec::new();
        match self.single(roots) {
            Ok(single) => lookups.extend(single),
            Err(error) => errors.push(error),
        }
        if !lookups.is_empty() && !self.filter.is_empty() {
            let message =
                "cannot stand beside pid_file, exe, pattern, user, systemd_unit or cgroup";
            errors.push(OptionError::new("filter", message));
        }
        for (at, filter) in self.filter.iter().enumerate() {
            match filter.lookup(&format!("filter[{at}]")) {
                Ok(lookup) => lookups.push(lookup),
                Err(more) => errors.extend(more),
            }
        }
        if lookups.is_empty() && errors.is_empty() {
            let hint = "give pid_file, exe, pattern, user, systemd_unit, cgroup or a filter";
            errors.push(OptionError::new("", "no processes are chosen").with_hint(hint));
        }
        if errors.is_empty() {
            Ok(lookups)
        } else {
            Err(errors)
        }
    }

    /// What is asked for and is not there yet.
    fn missing(&self) -> Vec<OptionError> {
        let mut errors = Vec::new();
        let mut check = |path: String, asked: bool, what: &str| {
            if asked {
                errors.push(OptionError::new(path, format!("{what} cannot be used yet")));
            }
        };
        let sockets = self.properties.contains(&Property::Sockets);
        check("properties".into(), sockets, "`sockets`");
        check(
            "tag_with".into(),
            self.tag_with.contains(&Tag::Level),
            "`level`",
        );
        let supervisor = "supervisor";
        check(
            "supervisor_units".into(),
            !self.supervisor_units.is_empty(),
            supervisor,
        );
        check(
            "win_service".into(),
            !self.win_service.is_empty(),
            "a Windows service",
        );
        for (at, filter) in self.filter.iter().enumerate() {
            let path = |option: &str| format!("filter[{at}].{option}");
            check(
                path("supervisor_units"),
                !filter.supervisor_units.is_empty(),
                supervisor,
            );
            check(
                path("win_service"),
                !filter.win_service.is_empty(),
                "a Windows service",
            );
        }
        errors
    }

    /// The search by one option: the first that is given, in this order.
    fn single(&self, roots: &Roots) -> Result<Option<Lookup>, OptionError> {
        let regex = |option: &str, text: &str| {
            Regex::new(text).map_err(|error| bad_regex(option.to_owned(), &error))
        };
        let (tag, value, search) = if !self.systemd_unit.is_empty() {
            let unit = &self.systemd_unit;
            let search = if self.include_systemd_children {
                let globs = Globs::new(&[unit], &[]);
                let wrong = |error: muster_options::GlobError| {
                    OptionError::new("systemd_unit", error.to_string())
                };
                Search::Units(globs.map_err(wrong)?)
            } else {
                Search::Unit(unit.clone())
            };
            ("systemd_unit", unit, search)
        } else if !self.cgroup.is_empty() {
            (
                "cgroup",
                &self.cgroup,
                Search::Cgroups(vec![self.cgroup.clone()]),
            )
        } else if !self.pid_file.is_empty() {
            (
                "pidfile",
                &self.pid_file,
                Search::PidFile(roots.file(&self.pid_file)),
            )
        } else if !self.exe.is_empty() {
            ("exe", &self.exe, Search::Name(regex("exe", &self.exe)?))
        } else if !self.pattern.is_empty() {
            (
                "pattern",
                &self.pattern,
                Search::CommandLine(regex("pattern", &self.pattern)?),
            )
        } else if !self.user.is_empty() {
            ("user", &self.user, Search::User(self.user.clone()))
        } else {
            return Ok(None);
        };
        Ok(Some(Lookup {
            search,
            narrow: None,
            tags: vec![(tag, value.clone())],
        }))
    }
}

fn bad_regex(path: String, error: &regex::Error) -> OptionError {
    // The library shows the place on several lines; the last says what is wrong.
    let text = error.to_string();
    let reason = text
        .lines()
        .last()
        .unwrap_or_default()
        .trim_start_matches("error: ");
    OptionError::new(path, format!("is no regular expression: {reason}"))
}

impl Filter {
    fn lookup(&self, path: &str) -> Result<Lookup, Vec<OptionError>> {
        let mut errors = Vec::new();
        if self.name.is_empty() {
            errors.push(OptionError::new(format!("{path}.name"), "must be given"));
        }
        if !self.systemd_units.is_empty() && !self.cgroups.is_empty() {
            let message = "cannot stand beside systemd_units";
            errors.push(OptionError::new(format!("{path}.cgroups"), message));
        }
        let mut patterns = |option: &str, list: &[String]| {
            globs(&format!("{path}.{option}"), list).unwrap_or_else(|more| {
                errors.extend(more);
                Globs::default()
            })
        };
        let units = patterns("systemd_units", &self.systemd_units);
        let mut narrow = Narrow {
            patterns: Vec::new(),
            users: patterns("users", &self.users),
            executables: patterns("executables", &self.executables),
            names: patterns("process_names", &self.process_names),
            depth: self.recursion_depth,
        };
        for (at, text) in self.patterns.iter().enumerate() {
            match Regex::new(text) {
                Ok(regex) => narrow.patterns.push(regex),
                Err(error) => errors.push(bad_regex(format!("{path}.patterns[{at}]"), &error)),
            }
        }
        let search = if !units.is_empty() {
            Search::Units(units)
        } else if !self.cgroups.is_empty() {
            Search::Cgroups(self.cgroups.clone())
        } else {
            Search::All
        };
        let tags = vec![("filter", self.name.clone())];
        if errors.is_empty() {
            Ok(Lookup {
                search,
                narrow: Some(narrow),
                tags,
            })
        } else {
            Err(errors)
        }
    }
}
