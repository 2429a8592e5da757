//! The sentinel: the release binary checks Redis servers at 1 s.
//!
//! A hundred real servers beside Debian's `prometheus-redis-exporter`, which is asked for each of them once a second
//! meanwhile; then ten thousand servers that a process of this program plays.

mod exporter;
pub(crate) mod fake;
mod fleet;

use std::path::Path;
use std::time::Duration;

use super::{Failure, Setting};
use crate::row::Row;

/// What is measured begins when connections are open and memory is as it stays.
const WARM_UP: Duration = Duration::from_secs(12);

/// The agent that checks these servers and gathers nothing else. Its own numbers go to a file.
const CONFIG: &str = r#"
[agent]
  interval = "5s"
  omit_hostname = true
[[sentinel.redis]]
  id = "fleet"
  servers = [{servers}]
  interval = "1s"
[[outputs.discard]]
[[outputs.file]]
  files = ["{dir}/numbers"]
  namepass = ["muster_sentinel"]
  flush_interval = "1s"
"#;

pub(super) fn measure(setting: &Setting) -> Result<Vec<Row>, Failure> {
    let mut rows = exporter::measure(setting)?;
    rows.extend(fleet::measure(setting)?);
    Ok(rows)
}

/// The configuration for these servers.
fn config(servers: impl Iterator<Item = String>) -> String {
    let servers: Vec<String> = servers.map(|server| format!("\"{server}\"")).collect();
    CONFIG.replace("{servers}", &servers.join(", "))
}

/// The values that the agent gave a field of its own numbers so far.
fn numbers(file: &Path, field: &str) -> Vec<f64> {
    let text = std::fs::read_to_string(file).unwrap_or_default();
    let key = format!("{field}=");
    let value = |line: &str| {
        let (_, rest) = line.split_once(&key)?;
        rest.split(['i', ',', ' ']).next()?.parse().ok()
    };
    text.lines().filter_map(value).collect()
}
