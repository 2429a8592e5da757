//! Tasks as Go's goroutine profiles have goroutines, so that Go's tools and leak hunters read them.
//!
//! A task becomes a goroutine whose innermost frame is the task, in the file and line that spawned
//! it, and whose callers are its groups up to the root. A task waits for whatever wakes it first, so it is
//! shown as a goroutine that waits in a `select`: leak hunters know by this that it needs another to go on.
//! Its own label is a label of the goroutine, `await`.
//!
//! A function is code, and of one line: leak hunters count the goroutines of each. So tasks whose names were made while
//! the program ran, as those of keys, are one function `*`; in the form `debug=2` the name is a label, `task`.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::fmt::{self, Write};
use std::time::SystemTime;

use super::pprof::{Frame, ProfileWriter};
use crate::name::Name;
use crate::{GroupCount, GroupSnapshot, Snapshot, TaskInfo, TaskState};

/// What a goroutine that waits in a `select` has called, the innermost first.
const PARKED: [&str; 2] = ["runtime.gopark", "runtime.selectgo"];

/// The name of all tasks of one line whose names were made.
const ANY: &str = "*";

/// A task's name as that of a function.
fn kind(name: &Name) -> &str {
    if name.is_made() { ANY } else { name }
}

/// Adds up those that are one function.
fn by_function(counts: Vec<GroupCount>) -> Vec<GroupCount> {
    let mut places = HashMap::new();
    let mut all: Vec<GroupCount> = Vec::new();
    for mut count in counts {
        if count.name.is_made() {
            count.name = ANY.into();
            let key = (count.group.clone(), count.location.clone(), count.label);
            match places.entry(key) {
                Entry::Occupied(place) => {
                    let same: &mut GroupCount = &mut all[*place.get()];
                    same.live += count.live;
                    same.oldest = same.oldest.max(count.oldest);
                    continue;
                }
                Entry::Vacant(place) => _ = place.insert(all.len()),
            }
        }
        all.push(count);
    }
    all.sort_by_key(|count| Reverse(count.live));
    all
}

/// The binary form: one sample for each group, function, spawn line and label.
pub(super) fn profile(counts: Vec<GroupCount>) -> Vec<u8> {
    let counts = &by_function(counts);
    let mut writer = ProfileWriter::new(&[("goroutine", "count")]);
    // Who looks at the profile wants to see tasks.
    writer.hide("runtime\\.(gopark|selectgo)");
    for count in counts {
        let labels = [("await", count.label)];
        let labels = if count.label.is_empty() {
            &[][..]
        } else {
            &labels
        };
        writer.sample(stack(count), &[count.live as u64], labels);
    }
    let now = SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default();
    let now = u64::try_from(now.as_nanos()).unwrap_or_default();
    writer.finish(now, 0, Some((1, "count")))
}

fn stack(count: &GroupCount) -> impl Iterator<Item = Frame> {
    let task = Frame {
        function: format!("{}.{}", count.group, count.name),
        file: count.location.file.to_string(),
        line: count.location.line,
    };
    let groups = count.group.rmatch_indices('/').map(|(end, _)| end);
    let groups = std::iter::once(count.group.len()).chain(groups);
    let groups = groups.map(|end| Frame {
        function: count.group[..end].to_owned(),
        file: String::new(),
        line: 0,
    });
    let parked = PARKED.map(|function| Frame {
        function: function.to_owned(),
        file: String::new(),
        line: 0,
    });
    parked
        .into_iter()
        .chain(std::iter::once(task))
        .chain(groups)
}

/// The form `debug=1`: counts as text.
pub(super) fn counts(counts: Vec<GroupCount>) -> String {
    let counts = &by_function(counts);
    let mut out = String::new();
    // Writing to a string does not fail.
    let _ = write_all_counts(&mut out, counts);
    out
}

fn write_all_counts(out: &mut String, counts: &[GroupCount]) -> fmt::Result {
    let total: usize = counts.iter().map(|count| count.live).sum();
    writeln!(out, "goroutine profile: total {total}")?;
    for (at, count) in counts.iter().enumerate() {
        // Tasks have no address: the number of the line stands for it.
        writeln!(out, "{} @ {:#x}", count.live, at + 1)?;
        if !count.label.is_empty() {
            writeln!(out, "# labels: {{\"await\":{:?}}}", count.label)?;
        }
        let GroupCount { group, name, .. } = count;
        let name = function(group, name);
        writeln!(out, "#\t{:#x}\t{name}+0x0\t{}\n", at + 1, count.location)?;
    }
    Ok(())
}

/// The form `debug=2`: each task as text.
pub(super) fn stacks(snapshot: &Snapshot) -> String {
    let mut out = String::new();
    let _ = write_group(&mut out, &snapshot.root);
    out
}

fn write_group(out: &mut String, group: &GroupSnapshot) -> fmt::Result {
    for task in &group.tasks {
        write_task(out, task)?;
    }
    group
        .groups
        .iter()
        .try_for_each(|below| write_group(out, below))
}

fn write_task(out: &mut String, task: &TaskInfo) -> fmt::Result {
    if !out.is_empty() {
        out.push('\n');
    }
    write!(out, "goroutine {} [{}", task.id, word(task))?;
    let waited = task.last_poll_age.unwrap_or(task.age).as_secs() / 60;
    if waited > 0 && task.polling_for.is_none() {
        write!(out, ", {waited} minutes")?;
    }
    let TaskInfo {
        group,
        name,
        location,
        ..
    } = task;
    out.push(']');
    match (task.label, name.is_made()) {
        ("", false) => {}
        ("", true) => write!(out, " {{task: {:?}}}", name.as_str())?,
        (label, false) => write!(out, " {{await: {label:?}}}")?,
        (label, true) => write!(out, " {{await: {label:?}, task: {:?}}}", name.as_str())?,
    }
    writeln!(out, ":\n{}()", function(group, kind(name)))?;
    writeln!(out, "\t{location} +0x0")?;
    writeln!(out, "created by {}", function(group, "spawn"))?;
    writeln!(out, "\t{location} +0x0")
}

/// The state in a word that readers of Go's dumps know.
fn word(task: &TaskInfo) -> &'static str {
    match task.state {
        TaskState::Polling => "running",
        TaskState::Spawned => "runnable",
        TaskState::Blocking => "syscall",
        _ => "select",
    }
}

/// A name as a function: without what ends a function's name in a dump.
fn function(group: &str, name: &str) -> String {
    format!("{group}.{name}").replace(['(', ')', '\n', '\r', '\t'], "_")
}
