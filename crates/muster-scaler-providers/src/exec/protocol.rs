//! The answers of a program, pure.

use std::collections::BTreeMap;

use muster_scaler_core::Time;
use muster_scaler_core::provider::{DeleteAnswer, DescribeAnswer, Limits, ListedServer, Phase};
use serde::Deserialize;
use serde::de::DeserializeOwned;

/// The version of the protocol. A program refuses one that it does not know with exit code 20.
pub(crate) const VERSION: u32 = 1;

/// The answer to `create`.
#[derive(Debug, Deserialize)]
pub(crate) struct Created {
    /// The server's ID.
    pub(crate) id: String,
    /// Whether it was there before.
    #[serde(default)]
    pub(crate) already: bool,
}

/// A line that describes a server.
#[derive(Debug, Deserialize)]
struct ServerLine {
    id: String,
    name: String,
    #[serde(default)]
    labels: BTreeMap<String, String>,
    phase: String,
    #[serde(default)]
    message: String,
    #[serde(default)]
    address: Option<String>,
    /// Seconds since 1970.
    #[serde(default)]
    created: Option<f64>,
}

/// The last line of a listing.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct EndLine {
    complete: bool,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct GoneLine {
    gone: bool,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
enum DeletedLine {
    Gone(bool),
    Accepted(bool),
    Refused(String),
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct LimitsLine {
    servers: Option<u64>,
    used: Option<u64>,
    notes: Vec<String>,
}

/// The servers of a listing and whether these are all. Without its last line a listing was cut.
pub(crate) fn listing(lines: &[String]) -> Result<(Vec<ListedServer>, bool), String> {
    let (complete, lines) = match lines.split_last() {
        Some((last, before)) if parse::<EndLine>(last).is_ok() => {
            (parse::<EndLine>(last)?.complete, before)
        }
        _ => (false, lines),
    };
    let servers = lines.iter().map(|line| server(line));
    Ok((servers.collect::<Result<_, _>>()?, complete))
}

/// The answer to `create`.
pub(crate) fn created(lines: &[String]) -> Result<Created, String> {
    let created: Created = parse(only(lines)?)?;
    if created.id.is_empty() {
        return Err("the ID is empty".to_owned());
    }
    Ok(created)
}

/// The answer to `delete`.
pub(crate) fn deleted(lines: &[String]) -> Result<DeleteAnswer, String> {
    match parse(only(lines)?)? {
        DeletedLine::Gone(true) => Ok(DeleteAnswer::Gone),
        DeletedLine::Accepted(true) => Ok(DeleteAnswer::Accepted),
        DeletedLine::Refused(why) => Ok(DeleteAnswer::Refused(why)),
        DeletedLine::Gone(false) | DeletedLine::Accepted(false) => {
            Err("it says what is not the case".to_owned())
        }
    }
}

/// The answer to `describe`.
pub(crate) fn described(lines: &[String], id: &str) -> Result<DescribeAnswer, String> {
    let line = only(lines)?;
    if let Ok(GoneLine { gone: true }) = parse(line) {
        return Ok(DescribeAnswer::Gone);
    }
    let server = server(line)?;
    if server.id != id {
        return Err(format!("it was asked for {id} and describes {}", server.id));
    }
    Ok(DescribeAnswer::Found(server))
}

/// The answer to `limits`.
pub(crate) fn limits(lines: &[String]) -> Result<Limits, String> {
    let line: LimitsLine = parse(only(lines)?)?;
    Ok(Limits {
        servers: line.servers,
        used: line.used,
        notes: line.notes,
    })
}

fn server(line: &str) -> Result<ListedServer, String> {
    let line: ServerLine = parse(line)?;
    let phase = match line.phase.as_str() {
        "building" => Phase::Building,
        "active" => Phase::Active,
        "error" => Phase::Error(line.message),
        "stopped" => Phase::Stopped,
        "deleting" => Phase::Deleting,
        other => Phase::Other(other.to_owned()),
    };
    if line.id.is_empty() {
        return Err("a server has an empty ID".to_owned());
    }
    #[expect(
        clippy::cast_possible_truncation,
        reason = "milliseconds; too large a number saturates"
    )]
    let created = line
        .created
        .map(|seconds| Time::from_millis((seconds * 1000.0) as i64));
    Ok(ListedServer {
        id: line.id,
        name: line.name,
        labels: line.labels,
        phase,
        address: line.address.filter(|address| !address.is_empty()),
        created,
    })
}

fn only(lines: &[String]) -> Result<&str, String> {
    match lines {
        [line] => Ok(line),
        [] => Err("it ended well and answered nothing".to_owned()),
        _ => Err(format!("it answered {} lines instead of one", lines.len())),
    }
}

fn parse<T: DeserializeOwned>(line: &str) -> Result<T, String> {
    serde_json::from_str(line).map_err(|error| format!("its line is not as it should be: {error}"))
}
