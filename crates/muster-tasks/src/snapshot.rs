//! What lives at a moment: tasks, counts, and the tree as data and as text.

use std::collections::HashMap;
use std::fmt;
use std::panic::Location;
use std::sync::Arc;
use std::time::Duration;

use crate::entry::Entry;
use crate::group::{GroupInner, ORPHANED};
use crate::panic::CodeLocation;
use crate::signal::{ABORT, BLOCKING, CANCEL};
use crate::{Cause, Name, blocking, clock};

/// What a task is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize),
    serde(rename_all = "lowercase")
)]
#[non_exhaustive]
pub enum TaskState {
    /// Spawned, never polled yet (or waiting for a place under a limit).
    Spawned,
    /// Waiting for something.
    Waiting,
    /// Inside a poll at this moment.
    Polling,
    /// On a blocking thread.
    Blocking,
    /// Asked to end; waiting for something meanwhile.
    Cancelled,
    /// To be dropped at its next suspension point.
    Aborting,
}

impl TaskState {
    /// All states.
    pub const ALL: [Self; 6] = [
        Self::Spawned,
        Self::Waiting,
        Self::Polling,
        Self::Blocking,
        Self::Cancelled,
        Self::Aborting,
    ];

    /// The state in one lower-case word.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Spawned => "spawned",
            Self::Waiting => "waiting",
            Self::Polling => "polling",
            Self::Blocking => "blocking",
            Self::Cancelled => "cancelled",
            Self::Aborting => "aborting",
        }
    }
}

impl fmt::Display for TaskState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// What is known of one live task. Times are real time with a resolution of a few milliseconds.
#[derive(Clone, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct TaskInfo {
    /// The task's number; never used twice in a process.
    pub id: u64,
    /// The task's name.
    pub name: Name,
    /// The path of its group.
    pub group: Arc<str>,
    /// Where it was spawned.
    pub location: CodeLocation,
    /// What it is doing.
    pub state: TaskState,
    /// Why it was cancelled, if it was.
    pub cause: Option<Cause>,
    /// Time since it was spawned.
    #[cfg_attr(
        feature = "serde",
        serde(rename = "age_seconds", serialize_with = "as_seconds::duration")
    )]
    pub age: Duration,
    /// Time since its last poll began; `None` before the first.
    #[cfg_attr(
        feature = "serde",
        serde(
            rename = "last_poll_age_seconds",
            serialize_with = "as_seconds::option"
        )
    )]
    pub last_poll_age: Option<Duration>,
    /// For how long it has been inside one poll, if it is.
    #[cfg_attr(
        feature = "serde",
        serde(rename = "polling_for_seconds", serialize_with = "as_seconds::option")
    )]
    pub polling_for: Option<Duration>,
    /// Number of polls.
    pub polls: u64,
    /// What it said last through [`Ctx::at`](crate::Ctx::at).
    pub label: &'static str,
}

impl TaskInfo {
    pub(crate) fn of(entry: &Entry) -> Self {
        Self::within(entry, entry.group.path())
    }

    fn within(entry: &Entry, group: Arc<str>) -> Self {
        let bits = entry.signal.bits();
        let (polls, polling_for, since) = entry.poll_state();
        let state = match (bits, polling_for, polls) {
            (bits, ..) if bits & BLOCKING != 0 => TaskState::Blocking,
            (_, Some(_), _) => TaskState::Polling,
            (bits, ..) if bits & ABORT != 0 => TaskState::Aborting,
            (bits, ..) if bits & CANCEL != 0 => TaskState::Cancelled,
            (_, _, 0) => TaskState::Spawned,
            _ => TaskState::Waiting,
        };
        Self {
            id: entry.id,
            name: entry.name.clone(),
            group,
            location: entry.location.into(),
            state,
            cause: entry.cause(),
            age: clock::since_ms(entry.started),
            last_poll_age: (polls > 0).then_some(since),
            polling_for,
            polls,
            label: entry.label(),
        }
    }
}

impl fmt::Display for TaskInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}/{} #{}: {}",
            self.group, self.name, self.id, self.state
        )?;
        if let Some(time) = self.polling_for {
            write!(f, " for {}", Age(time))?;
        }
        if !self.label.is_empty() {
            write!(f, " at \"{}\"", self.label)?;
        }
        write!(f, ", age {}, spawned at {}", Age(self.age), self.location)
    }
}

/// What to put into a snapshot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SnapshotOptions {
    /// At most this many tasks in all; counts stay exact. Default 10,000.
    pub max_tasks: usize,
    /// Only tasks that have lived this long.
    pub min_age: Duration,
    /// Only tasks in this state.
    pub state: Option<TaskState>,
    /// Only tasks of the group with this path, or of one below it; of the other groups only those
    /// above it are shown.
    pub group: Option<String>,
}

impl Default for SnapshotOptions {
    fn default() -> Self {
        Self {
            max_tasks: 10_000,
            min_age: Duration::ZERO,
            state: None,
            group: None,
        }
    }
}

impl SnapshotOptions {
    fn takes(&self, task: &TaskInfo) -> bool {
        task.age >= self.min_age && self.state.is_none_or(|state| state == task.state)
    }

    fn takes_group(&self, path: &str) -> bool {
        self.group
            .as_deref()
            .is_none_or(|group| is_at_or_below(path, group))
    }

    /// Whether the group, or one below it, is taken.
    fn leads_to_group(&self, path: &str) -> bool {
        self.takes_group(path)
            || self
                .group
                .as_deref()
                .is_some_and(|group| is_at_or_below(group, path))
    }
}

fn is_at_or_below(path: &str, top: &str) -> bool {
    path.strip_prefix(top)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// A group and everything below it at about one moment.
#[derive(Clone, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct Snapshot {
    /// The group that the snapshot was taken of.
    pub root: GroupSnapshot,
    /// Live tasks in the groups that are shown, those left out included.
    pub live: usize,
    /// Tasks that matched the options but were left out because of `max_tasks`.
    pub left_out: usize,
}

/// One group of a [`Snapshot`].
#[derive(Clone, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct GroupSnapshot {
    /// The group's name.
    pub name: Name,
    /// Its path from the root.
    pub path: Arc<str>,
    /// Why it was cancelled, if it was.
    pub cause: Option<Cause>,
    /// Its last handle was dropped while tasks ran.
    pub orphaned: bool,
    /// It has had more live tasks than [`max_live`](crate::GroupBuilder::max_live) since it was
    /// last empty.
    pub over_budget: bool,
    /// Live tasks of this group alone, those left out included.
    pub live: usize,
    /// The tasks, in no particular order.
    pub tasks: Vec<TaskInfo>,
    /// The groups below.
    pub groups: Vec<Self>,
}

impl Snapshot {
    pub(crate) fn of(top: &Arc<GroupInner>, options: &SnapshotOptions) -> Self {
        let mut taking = Taking {
            options,
            room: options.max_tasks,
            live: 0,
            left_out: 0,
        };
        let root = taking.group(top, top.path());
        Self {
            root,
            live: taking.live,
            left_out: taking.left_out,
        }
    }

    /// The tree as text: groups with their counts, tasks with state, ages and place.
    #[must_use]
    pub fn render_tree(&self) -> String {
        crate::render::tree(self)
    }
}

struct Taking<'a> {
    options: &'a SnapshotOptions,
    room: usize,
    live: usize,
    left_out: usize,
}

impl Taking<'_> {
    // Recursion is as deep as the tree of groups, which code nests by hand.
    fn group(&mut self, group: &Arc<GroupInner>, path: Arc<str>) -> GroupSnapshot {
        let (mut live, mut tasks) = (0, Vec::new());
        let takes_group = self.options.takes_group(&path);
        group.each_entry(|entry| {
            live += 1;
            if !takes_group {
                return;
            }
            let info = TaskInfo::within(entry, Arc::clone(&path));
            if !self.options.takes(&info) {
            } else if self.room == 0 {
                self.left_out += 1;
            } else {
                self.room -= 1;
                tasks.push(info);
            }
        });
        self.live += live;
        let below = group.children();
        let groups = below.iter().filter_map(|child| {
            let path: Arc<str> = format!("{path}/{}", child.name).into();
            self.options
                .leads_to_group(&path)
                .then(|| self.group(child, path))
        });
        let groups = groups.collect();
        GroupSnapshot {
            name: group.name.clone(),
            cause: group.cause(),
            orphaned: group.is(ORPHANED),
            over_budget: group.is_over_budget(),
            path,
            live,
            tasks,
            groups,
        }
    }
}

/// Number of live tasks of one name, spawn location and label in one group.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct GroupCount {
    /// The path of the group.
    pub group: Arc<str>,
    /// The tasks' name.
    pub name: Name,
    /// Where they were spawned.
    pub location: CodeLocation,
    /// What they wait for, in their own words: see [`TaskInfo::label`].
    pub label: &'static str,
    /// How many live.
    pub live: usize,
    /// The age of the oldest.
    #[cfg_attr(
        feature = "serde",
        serde(rename = "oldest_seconds", serialize_with = "as_seconds::duration")
    )]
    pub oldest: Duration,
}

pub(crate) fn count_by_place(top: &Arc<GroupInner>) -> Vec<GroupCount> {
    let mut counts = Vec::new();
    top.walk(|group| {
        let mut own: HashMap<CountKey, (usize, u64)> = HashMap::new();
        group.each_entry(|entry| {
            let key = (entry.name.clone(), entry.location, entry.label());
            let count = own.entry(key).or_insert((0, entry.started));
            count.0 += 1;
            count.1 = count.1.min(entry.started);
        });
        if own.is_empty() {
            return;
        }
        let path = group.path();
        counts.extend(
            own.into_iter()
                .map(|((name, location, label), (live, since))| GroupCount {
                    group: Arc::clone(&path),
                    name,
                    location: location.into(),
                    label,
                    live,
                    oldest: clock::since_ms(since),
                }),
        );
    });
    counts.sort_by(|a, b| {
        b.live
            .cmp(&a.live)
            .then_with(|| (&a.group, &a.name).cmp(&(&b.group, &b.name)))
    });
    counts
}

type CountKey = (Name, &'static Location<'static>, &'static str);

pub(crate) fn stuck(top: &Arc<GroupInner>, longer_than: Duration) -> Vec<TaskInfo> {
    let mut stuck = Vec::new();
    top.walk(|group| {
        group.each_entry(|entry| {
            let is_stuck = if entry.is_blocking() {
                blocking::is_late(entry, longer_than)
            } else {
                entry.poll_state().1.is_some_and(|time| time > longer_than)
            };
            if is_stuck {
                stuck.push(TaskInfo::of(entry));
            }
        });
    });
    stuck
}

/// A duration in one short unit.
pub(crate) struct Age(pub(crate) Duration);

impl fmt::Display for Age {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.0.as_secs();
        match seconds {
            0 => write!(f, "{}ms", self.0.as_millis()),
            1..10 => write!(f, "{:.1}s", self.0.as_secs_f64()),
            10..120 => write!(f, "{seconds}s"),
            120..7200 => write!(f, "{}m{:02}s", seconds / 60, seconds % 60),
            7200..172_800 => write!(f, "{}h{:02}m", seconds / 3600, seconds / 60 % 60),
            _ => write!(f, "{}d{:02}h", seconds / 86_400, seconds / 3600 % 24),
        }
    }
}

/// Times in JSON: seconds as a number.
#[cfg(feature = "serde")]
pub(crate) mod as_seconds {
    use std::time::Duration;

    use serde::{Serialize, Serializer};

    pub(crate) fn duration<S: Serializer>(time: &Duration, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_f64(time.as_secs_f64())
    }

    pub(crate) fn option<S: Serializer>(time: &Option<Duration>, to: S) -> Result<S::Ok, S::Error> {
        time.map(|time| time.as_secs_f64()).serialize(to)
    }
}
