//! A tree of tasks as a graph for Graphviz.

use std::collections::BTreeMap;
use std::fmt::{self, Write};

use serde_json::Value;

/// The snapshot as a directed graph: a box for each group, and one for the tasks of a group that
/// have the same name, spawn line and state.
pub(super) fn graph(snapshot: &Value) -> String {
    let mut out = String::new();
    // Writing to a string does not fail.
    let _ = write(&mut out, snapshot);
    out
}

fn write(out: &mut String, snapshot: &Value) -> fmt::Result {
    out.push_str("digraph tasks {\n  rankdir=LR;\n  node [shape=box, fontname=\"sans-serif\"];\n");
    write_group(out, &snapshot["root"], &mut 0)?;
    out.push_str("}\n");
    Ok(())
}

/// Writes a group and all below it; returns its number among the boxes.
fn write_group(out: &mut String, group: &Value, boxes: &mut usize) -> Result<usize, fmt::Error> {
    let number = *boxes;
    *boxes += 1;
    let name = text(&group["name"]);
    let live = &group["live"];
    writeln!(
        out,
        "  n{number} [label=\"{name}\\n{live} live\", style=rounded];"
    )?;
    let mut alike: BTreeMap<[String; 4], usize> = BTreeMap::new();
    for task in group["tasks"].as_array().into_iter().flatten() {
        let key = ["name", "location", "state", "label"].map(|part| text(&task[part]));
        *alike.entry(key).or_default() += 1;
    }
    for ([name, location, state, label], count) in alike {
        let task = *boxes;
        *boxes += 1;
        let times = if count > 1 {
            format!("{count} x ")
        } else {
            String::new()
        };
        let at = if label.is_empty() {
            String::new()
        } else {
            format!(" at {label}")
        };
        writeln!(
            out,
            "  n{task} [label=\"{times}{name}\\n{state}{at}\\n{location}\"];"
        )?;
        writeln!(out, "  n{number} -> n{task};")?;
    }
    for below in group["groups"].as_array().into_iter().flatten() {
        let below = write_group(out, below, boxes)?;
        writeln!(out, "  n{number} -> n{below};")?;
    }
    Ok(number)
}

/// A text inside of quotes.
fn text(value: &Value) -> String {
    let text = value.as_str().unwrap_or_default();
    crate::text::printable(text)
        .replace('\\', "\\\\")
        .replace('"', "\\\"")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn alike_tasks_are_one_box() {
        let task = |name: &str| json!({"name": name, "location": "a.rs:1", "state": "waiting", "label": ""});
        let snapshot = json!({"root": {"name": "app", "live": 1, "tasks": [task("say \"x\"")], "groups": [
            {"name": "jobs", "live": 2, "tasks": [task("fetch"), task("fetch")], "groups": []}]}});
        let want = r#"digraph tasks {
  rankdir=LR;
  node [shape=box, fontname="sans-serif"];
  n0 [label="app\n1 live", style=rounded];
  n1 [label="say \"x\"\nwaiting\na.rs:1"];
  n0 -> n1;
  n2 [label="jobs\n2 live", style=rounded];
  n3 [label="2 x fetch\nwaiting\na.rs:1"];
  n2 -> n3;
  n0 -> n2;
}
"#;
        assert_eq!(graph(&snapshot), want);
    }
}
