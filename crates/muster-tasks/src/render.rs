//! The tree of a snapshot as text.

use std::fmt::{self, Write};

use crate::snapshot::{Age, GroupSnapshot, Snapshot, TaskInfo};

/// Renders a snapshot; ends with a newline.
pub(crate) fn tree(snapshot: &Snapshot) -> String {
    let mut text = String::new();
    // Writing to a string does not fail.
    let _ = write_group(&mut text, &snapshot.root, 0);
    if snapshot.left_out > 0 {
        let _ = writeln!(text, "({} tasks left out)", snapshot.left_out);
    }
    text
}

fn write_group(out: &mut String, group: &GroupSnapshot, depth: usize) -> fmt::Result {
    let indent = depth * 2;
    write!(out, "{:indent$}{} ({} live", "", group.name, count(group))?;
    if let Some(cause) = &group.cause {
        write!(out, ", cancelled: {cause}")?;
    }
    if group.over_budget {
        out.write_str(", over its budget")?;
    }
    out.write_str(")\n")?;
    let mut tasks: Vec<_> = group.tasks.iter().collect();
    tasks.sort_by_key(|task| task.id);
    for task in tasks {
        write_task(out, task, indent + 2)?;
    }
    let (orphans, own): (Vec<_>, Vec<_>) = group.groups.iter().partition(|child| child.orphaned);
    for child in own {
        write_group(out, child, depth + 1)?;
    }
    if !orphans.is_empty() {
        writeln!(out, "{:1$}orphans", "", indent + 2)?;
        for child in orphans {
            write_group(out, child, depth + 2)?;
        }
    }
    Ok(())
}

fn count(group: &GroupSnapshot) -> usize {
    group.live + group.groups.iter().map(count).sum::<usize>()
}

fn write_task(out: &mut String, task: &TaskInfo, indent: usize) -> fmt::Result {
    let TaskInfo {
        name,
        id,
        state,
        polls,
        ..
    } = task;
    write!(out, "{:indent$}{name} #{id} {state}", "")?;
    if let Some(time) = task.polling_for {
        write!(out, " for {}", Age(time))?;
    }
    if !task.label.is_empty() {
        write!(out, " \"{}\"", task.label)?;
    }
    write!(out, ", age {}, {polls} polls", Age(task.age))?;
    if let Some(time) = task.last_poll_age {
        write!(out, ", last {} ago", Age(time))?;
    }
    writeln!(out, ", {}", task.location)
}
