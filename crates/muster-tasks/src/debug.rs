//! Debug endpoints: what lives, as text, JSON and profiles that Go's tools read.
//!
//! [`handle`] is a function from a request's target to a [`Response`], so that any HTTP server can
//! mount it. It knows these paths:
//!
//! | path | answer |
//! |---|---|
//! | `/debug/tasks` | the tree of tasks; `format=text` (default) or `json`; of them those in a `group` (its path), in a `state`, of a `min_age` (seconds, or `90s`, `5m`, `2h`), at most `limit` |
//! | `/debug/tasks/count` | how many tasks live, a plain number |
//! | `/debug/tasks/groups` | how many live of each group, name, spawn line and label; `format=text` or `json` |
//! | `/debug/pprof/` | what profiles there are |
//! | `/debug/pprof/goroutine` | the tasks as Go's goroutine profile: binary; `debug=1` counts as text; `debug=2` each task as text |
//! | `/debug/pprof/profile` | processor time, sampled for `seconds` (default 30, at most 300); feature `profiling` |
//! | `/debug/pprof/heap` | live memory by where it was allocated; feature `profiling` and jemalloc |
//!
//! The pages show file names and task names of the program: serve them to those who may know them.
//!
//! ```
//! use muster_tasks::{Group, debug};
//!
//! # #[tokio::main(flavor = "current_thread")] async fn main() {
//! let root = Group::root("app");
//! let response = debug::handle(&root, "/debug/tasks/count").await;
//! assert_eq!((response.status, &*response.body), (200, b"0\n".as_slice()));
//! # root.stop().await;
//! # }
//! ```

mod goroutines;
mod pprof;
mod profiling;

use std::borrow::Cow;
use std::fmt::{self, Write};
use std::time::Duration;

use serde::Serialize;

use crate::snapshot::Age;
use crate::{Group, GroupCount, SnapshotOptions, TaskState};

const TEXT: &str = "text/plain; charset=utf-8";
const JSON: &str = "application/json";
const HTML: &str = "text/html; charset=utf-8";
const BINARY: &str = "application/octet-stream";

/// Most tasks that one answer lists when the request names no limit.
const LISTED: usize = 10_000;

/// An answer, for a server to send.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Response {
    /// The HTTP status.
    pub status: u16,
    /// The value of the header `Content-Type`.
    pub content_type: &'static str,
    /// The value of the header `Content-Disposition`; profiles are files.
    pub content_disposition: Option<&'static str>,
    /// The body.
    pub body: Vec<u8>,
}

impl Response {
    fn new(content_type: &'static str, body: impl Into<Vec<u8>>) -> Self {
        Self {
            status: 200,
            content_type,
            content_disposition: None,
            body: body.into(),
        }
    }

    fn text(body: impl Into<Vec<u8>>) -> Self {
        Self::new(TEXT, body)
    }

    fn json(value: &impl Serialize) -> Self {
        match serde_json::to_vec(value) {
            Ok(body) => Self::new(JSON, body),
            Err(error) => Self::error(500, format!("failed to write JSON: {error}\n")),
        }
    }

    fn file(name: &'static str, body: Vec<u8>) -> Self {
        Self {
            content_disposition: Some(name),
            ..Self::new(BINARY, body)
        }
    }

    fn error(status: u16, message: impl Into<Vec<u8>>) -> Self {
        Self {
            status,
            ..Self::text(message)
        }
    }
}

/// Answers a GET request. `target` is the path with the query, as it stands in the request.
///
/// What is shown are the tasks of `root`'s tree. A snapshot holds no lock for longer than a part
/// of one list takes to read; its cost grows with the number of tasks. A processor profile takes as
/// long as it is asked to.
///
/// # Cancel safety
/// Dropping the future ends a profile that is being taken.
pub async fn handle(root: &Group, target: &str) -> Response {
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let query = Query(query);
    let answer = match path.trim_end_matches('/') {
        "/debug/tasks" => tasks(root, &query),
        "/debug/tasks/count" => Ok(Response::text(format!("{}\n", root.count()))),
        "/debug/tasks/groups" => groups(root, &query),
        "/debug/pprof" => Ok(Response::new(HTML, index(root))),
        "/debug/pprof/goroutine" => goroutine(root, &query),
        "/debug/pprof/profile" => match query.number("seconds", 30) {
            Ok(seconds) => Ok(profiling::cpu(seconds).await),
            Err(response) => Err(response),
        },
        "/debug/pprof/heap" => Ok(profiling::heap().await),
        _ => Err(Response::error(
            404,
            "there is no such page; /debug/pprof/ and /debug/tasks are there\n",
        )),
    };
    answer.unwrap_or_else(|refused| refused)
}

fn tasks(root: &Group, query: &Query<'_>) -> Result<Response, Response> {
    let options = SnapshotOptions {
        max_tasks: query.number("limit", LISTED)?,
        min_age: query.age("min_age")?,
        state: query.state()?,
        group: query.get("group").map(Cow::into_owned),
    };
    let snapshot = root.snapshot(options);
    Ok(if query.wants_json()? {
        Response::json(&snapshot)
    } else {
        Response::text(snapshot.render_tree())
    })
}

fn groups(root: &Group, query: &Query<'_>) -> Result<Response, Response> {
    let counts = root.groups();
    if query.wants_json()? {
        return Ok(Response::json(&counts));
    }
    let mut text = String::new();
    // Writing to a string does not fail.
    let _ = write_counts(&mut text, &counts);
    Ok(Response::text(text))
}

fn write_counts(out: &mut String, counts: &[GroupCount]) -> fmt::Result {
    for count in counts {
        let GroupCount {
            group, name, live, ..
        } = count;
        write!(out, "{live:>8}  {group}/{name}")?;
        if !count.label.is_empty() {
            write!(out, " \"{}\"", count.label)?;
        }
        writeln!(out, "  oldest {}  {}", Age(count.oldest), count.location)?;
    }
    Ok(())
}

fn goroutine(root: &Group, query: &Query<'_>) -> Result<Response, Response> {
    if query.get("seconds").is_some() {
        return Err(Response::error(
            400,
            "the difference of two goroutine profiles is not offered; take two and compare them\n",
        ));
    }
    Ok(match query.number("debug", 0)? {
        0 => Response::file(
            "attachment; filename=\"goroutine\"",
            goroutines::profile(root.groups()),
        ),
        1 => Response::text(goroutines::counts(root.groups())),
        _ => {
            let options = SnapshotOptions {
                max_tasks: query.number("limit", LISTED)?,
                ..SnapshotOptions::default()
            };
            Response::text(goroutines::stacks(&root.snapshot(options)))
        }
    })
}

fn index(root: &Group) -> String {
    let tasks = root.count();
    let off = |off: Option<&'static str>| off.map_or(String::new(), |why| format!(" - off: {why}"));
    let (cpu, heap) = (off(profiling::CPU_OFF), off(profiling::heap_off()));
    format!(
        "<!doctype html><html><head><meta charset=\"utf-8\"><title>/debug/pprof/</title></head><body>\n\
         <h1>/debug/pprof/</h1>\n<table>\n\
         <tr><td>{tasks}</td><td><a href=\"goroutine?debug=1\">goroutine</a></td><td>tasks; <a href=\"goroutine?debug=2\">each</a></td></tr>\n\
         <tr><td></td><td><a href=\"heap\">heap</a></td><td>live memory{heap}</td></tr>\n\
         <tr><td></td><td><a href=\"profile?seconds=10\">profile</a></td><td>processor time{cpu}</td></tr>\n\
         </table>\n<p>See also <a href=\"/debug/tasks\">/debug/tasks</a>, \
         <a href=\"/debug/tasks/groups\">/debug/tasks/groups</a>.</p>\n</body></html>\n"
    )
}

/// The query of a request.
struct Query<'a>(&'a str);

impl Query<'_> {
    fn get(&self, name: &str) -> Option<Cow<'_, str>> {
        form_urlencoded::parse(self.0.as_bytes())
            .find_map(|(key, value)| (key == name && !value.is_empty()).then_some(value))
    }

    fn number<N: std::str::FromStr>(&self, name: &str, default: N) -> Result<N, Response> {
        let Some(text) = self.get(name) else {
            return Ok(default);
        };
        text.parse()
            .map_err(|_| refused(name, &text, "a whole number"))
    }

    /// A time in seconds, or with one of the units s, m, h.
    fn age(&self, name: &str) -> Result<Duration, Response> {
        let Some(text) = self.get(name) else {
            return Ok(Duration::ZERO);
        };
        let (number, unit) = match text.char_indices().next_back() {
            Some((at, 's')) => (&text[..at], 1),
            Some((at, 'm')) => (&text[..at], 60),
            Some((at, 'h')) => (&text[..at], 3600),
            _ => (&*text, 1),
        };
        let seconds = number.parse::<u64>().ok();
        seconds
            .and_then(|seconds| seconds.checked_mul(unit))
            .map(Duration::from_secs)
            .ok_or_else(|| refused(name, &text, "seconds, or a number with s, m or h"))
    }

    fn state(&self) -> Result<Option<TaskState>, Response> {
        let Some(text) = self.get("state") else {
            return Ok(None);
        };
        let found = TaskState::ALL
            .into_iter()
            .find(|state| state.as_str() == text);
        let words: Vec<_> = TaskState::ALL.iter().map(|state| state.as_str()).collect();
        found
            .map(Some)
            .ok_or_else(|| refused("state", &text, &format!("one of {}", words.join(", "))))
    }

    fn wants_json(&self) -> Result<bool, Response> {
        match self.get("format").as_deref() {
            None | Some("text") => Ok(false),
            Some("json") => Ok(true),
            Some(other) => Err(refused("format", other, "text or json")),
        }
    }
}

fn refused(name: &str, value: &str, wanted: &str) -> Response {
    Response::error(400, format!("{name}={value}: wanted {wanted}\n"))
}
