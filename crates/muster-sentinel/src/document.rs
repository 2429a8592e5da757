//! The status document: what readers of a publisher get, as JSON.

use std::sync::Arc;
use std::time::Duration;

use muster_metric::Timestamp;
use serde::{Deserialize, Serialize};

use crate::status::{Instance, Reason, State, Status, Target, Verdict};

/// The version of the document that this program writes. A reader refuses none: later versions only
/// add keys.
pub const VERSION: u32 = 1;

/// A document that is larger is not written.
pub const MOST_BYTES: usize = 64 << 10;

/// What is known of one instance, for readers elsewhere. Times are milliseconds since 1970 (UTC);
/// keys that are not known are left out.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Document {
    /// The version of the format.
    pub v: u32,
    /// The instance.
    pub instance: InstanceDocument,
    /// `up`, `degraded`, `down`, `flapping` or `unknown`. For readers who choose a server by it.
    #[serde(deserialize_with = "word_or_unknown")]
    pub state: State,
    /// The last checks failed, too few for another state yet.
    pub suspect: bool,
    /// The last checks went well, too few for another state yet.
    pub rising: bool,
    /// Why.
    #[serde(deserialize_with = "word_or_other")]
    pub reason: Reason,
    /// The reason in the words of the server or the system.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<Arc<str>>,
    /// Since when the state holds.
    pub since_ms: i64,
    /// When the last check ended; 0 before the first.
    pub checked_ms: i64,
    /// Counts the checks.
    pub seq: u64,
    /// How long the answer took, in microseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rtt_us: Option<u64>,
    /// So many checks in a row went well.
    pub oks: u32,
    /// So many checks in a row failed.
    pub fails: u32,
    /// How often it went down or came back within the last hour.
    pub flaps_1h: u32,
    /// How it stands to its master.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repl: Option<ReplicationDocument>,
    /// How far it has got with loading.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub loading: Option<LoadingDocument>,
    /// How often it is checked.
    pub interval_ms: u64,
    /// A document whose `checked_ms` is older than this is stale: three intervals, at least 3 s, and the time for which the
    /// publisher lets a document rest whose state does not change.
    pub ttl_ms: u64,
    /// The checking program stood still lately; the state is frozen.
    pub tilt: bool,
    /// Who wrote it.
    pub writer: Writer,
}

/// The instance in a document.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct InstanceDocument {
    /// `redis`, `tcp`, `http` or `exec`.
    pub kind: String,
    /// The cluster; may be empty.
    #[serde(default)]
    pub cluster: String,
    /// Host, path of the socket, URL or command.
    pub host: String,
    /// The port; 0 if there is none.
    #[serde(default)]
    pub port: u16,
    /// What the instance says of itself: `master` or `slave`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub role: String,
    /// Changes with every start of the server.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub run_id: String,
    /// The server's version.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub redis_version: String,
}

/// How a replica stands to its master, in a document.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct ReplicationDocument {
    /// `up` or `down`.
    pub link: Link,
    /// Seconds without anything over the link.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lag_s: Option<f64>,
    /// How far the replica has got, in bytes of the replication stream.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub offset: Option<u64>,
}

/// A replica's link to its master.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Link {
    /// It is up.
    Up,
    /// It is down.
    Down,
}

/// How far a server has got with loading, in a document.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct LoadingDocument {
    /// Seconds that it will take yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub eta_s: Option<u64>,
    /// The part that is loaded, in percent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub perc: Option<f64>,
}

/// Who writes documents.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Writer {
    /// The name under which it reports.
    pub id: String,
    /// Which start of its machine: the kernel's boot ID.
    #[serde(default)]
    pub boot: String,
    /// When this writer began, in milliseconds since 1970: tells it from its predecessors.
    #[serde(default)]
    pub epoch: i64,
}

/// A document that is larger than [`MOST_BYTES`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a status document of {0} bytes; {MOST_BYTES} are the most")]
pub struct TooLarge(pub usize);

impl Document {
    /// The document of what is known of an instance now.
    pub fn new(instance: &Instance, status: &Status, writer: &Writer) -> Self {
        let (host, port) = match &instance.target {
            Target::Tcp { host, port } => (host.clone(), *port),
            other => (other.to_string(), 0),
        };
        Self {
            v: VERSION,
            instance: InstanceDocument {
                kind: instance.kind.to_string(),
                cluster: instance.cluster.clone(),
                host,
                port,
                role: status.facts.role.clone(),
                run_id: status.facts.run_id.clone(),
                redis_version: status.facts.redis_version.clone(),
            },
            state: readers_state(status),
            suspect: status.state == State::Suspect,
            rising: status.state == State::Rising,
            reason: status.reason,
            detail: status.detail.clone(),
            since_ms: millis(status.since),
            checked_ms: status.checked.map_or(0, millis),
            seq: status.seq,
            rtt_us: status
                .rtt
                .map(|rtt| u64::try_from(rtt.as_micros()).unwrap_or(u64::MAX)),
            oks: status.oks,
            fails: status.fails,
            flaps_1h: status.flaps,
            repl: status.replication.map(|replication| ReplicationDocument {
                link: if replication.link {
                    Link::Up
                } else {
                    Link::Down
                },
                lag_s: replication.lag.map(|lag| lag.as_secs_f64()),
                offset: replication.offset,
            }),
            loading: status.loading.map(|loading| LoadingDocument {
                eta_s: loading.eta.map(|eta| eta.as_secs()),
                perc: loading.percent,
            }),
            interval_ms: whole_millis(status.interval),
            ttl_ms: whole_millis(status.ttl()),
            tilt: status.tilt,
            writer: writer.clone(),
        }
    }

    /// The same for a publisher that writes it anew about every `refresh`: it may be one and a half times that older
    /// before it is stale.
    #[must_use]
    pub fn refreshed(mut self, refresh: Duration) -> Self {
        self.ttl_ms += whole_millis(refresh + refresh / 2);
        self
    }

    /// The document as JSON.
    ///
    /// # Errors
    /// [`TooLarge`] if it has more than 64 KiB.
    pub fn to_json(&self) -> Result<Vec<u8>, TooLarge> {
        // Strings and numbers only: this cannot fail.
        let json = serde_json::to_vec(self).unwrap_or_default();
        if json.len() > MOST_BYTES {
            return Err(TooLarge(json.len()));
        }
        Ok(json)
    }

    /// Reads a document; of a later version, the part that is known here.
    ///
    /// # Errors
    /// If it is none.
    pub fn from_json(json: &[u8]) -> Result<Self, serde_json::Error> {
        serde_json::from_slice(json)
    }
}

impl Writer {
    /// This process, under a name. Reads the kernel's boot ID.
    pub fn here(id: impl Into<String>) -> Self {
        let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id");
        Self {
            id: id.into(),
            boot: boot.unwrap_or_default().trim().to_owned(),
            epoch: millis(Timestamp::now()),
        }
    }
}

/// The state as readers have it: what holds, without how sure we are.
fn readers_state(status: &Status) -> State {
    if status.state == State::Flapping {
        return State::Flapping;
    }
    match status.verdict {
        Verdict::Unknown => State::Unknown,
        Verdict::Up => State::Up,
        Verdict::Degraded => State::Degraded,
        Verdict::Down => State::Down,
    }
}

fn millis(at: Timestamp) -> i64 {
    at.nanos().div_euclid(1_000_000)
}

fn whole_millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

fn word_or_unknown<'de, D: serde::Deserializer<'de>>(from: D) -> Result<State, D::Error> {
    let word = String::deserialize(from)?;
    Ok(word.parse().unwrap_or(State::Unknown))
}

fn word_or_other<'de, D: serde::Deserializer<'de>>(from: D) -> Result<Reason, D::Error> {
    let word = String::deserialize(from)?;
    Ok(word.parse().unwrap_or(Reason::Other))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::status::Facts;
    use crate::status::{CheckKind, Loading, Replication};

    fn sample() -> Document {
        let instance = Instance {
            kind: CheckKind::Redis,
            cluster: "shop".to_owned(),
            target: Target::Tcp {
                host: "10.0.0.1".to_owned(),
                port: 6379,
            },
        };
        let mut status = Status::pending(
            Timestamp::from_seconds(1_700_000_000),
            Duration::from_secs(1),
        );
        status.state = State::Suspect;
        status.verdict = Verdict::Up;
        status.reason = Reason::Hung;
        status.detail = Some("no answer in time".into());
        status.checked = Some(Timestamp::from_nanos(1_700_000_001_500_000_000));
        status.rtt = Some(Duration::from_micros(250));
        status.facts = Arc::new(Facts {
            role: "slave".to_owned(),
            run_id: "abc".to_owned(),
            redis_version: "7.0.15".to_owned(),
        });
        status.replication = Some(Replication {
            link: true,
            lag: Some(Duration::from_secs(2)),
            offset: Some(77),
        });
        status.loading = Some(Loading {
            eta: Some(Duration::from_secs(9)),
            percent: Some(3.5),
        });
        let writer = Writer {
            id: "host-a".to_owned(),
            boot: "b".to_owned(),
            epoch: 1,
        };
        Document::new(&instance, &status, &writer)
    }

    #[test]
    fn is_what_readers_expect() {
        let json: serde_json::Value = serde_json::from_slice(&sample().to_json().unwrap()).unwrap();
        let want = serde_json::json!({
            "v": 1,
            "instance": {"kind": "redis", "cluster": "shop", "host": "10.0.0.1", "port": 6379,
                "role": "slave", "run_id": "abc", "redis_version": "7.0.15"},
            "state": "up", "suspect": true, "rising": false,
            "reason": "hung", "detail": "no answer in time",
            "since_ms": 1_700_000_000_000_i64, "checked_ms": 1_700_000_001_500_i64,
            "seq": 0, "rtt_us": 250, "oks": 0, "fails": 0, "flaps_1h": 0,
            "repl": {"link": "up", "lag_s": 2.0, "offset": 77},
            "loading": {"eta_s": 9, "perc": 3.5},
            "interval_ms": 1000, "ttl_ms": 3000, "tilt": false,
            "writer": {"id": "host-a", "boot": "b", "epoch": 1},
        });
        assert_eq!(json, want);
    }

    #[test]
    fn is_read_back() {
        let document = sample();
        let json = document.to_json().unwrap();
        assert!(json.len() < 1024, "{}", json.len());
        assert_eq!(Document::from_json(&json).unwrap(), document);
    }

    #[test]
    fn later_versions_are_read_as_far_as_known() {
        let mut json: serde_json::Value =
            serde_json::from_slice(&sample().to_json().unwrap()).unwrap();
        json["v"] = 9.into();
        json["reason"] = "eclipse".into();
        json["state"] = "dreaming".into();
        json["more"] = true.into();
        let read = Document::from_json(json.to_string().as_bytes()).unwrap();
        assert_eq!(
            (read.reason, read.state, read.v),
            (Reason::Other, State::Unknown, 9)
        );
    }

    #[test]
    fn too_large_ones_are_refused() {
        let mut document = sample();
        document.instance.cluster = "x".repeat(MOST_BYTES);
        assert!(
            document
                .to_json()
                .unwrap_err()
                .to_string()
                .contains("the most")
        );
    }

    /// The keys of an object with the keys of the objects in it, as `instance.kind`.
    fn keys(value: &serde_json::Value, above: &str, into: &mut Vec<String>) {
        for (key, value) in value.as_object().into_iter().flatten() {
            into.push(format!("{above}{key}"));
            keys(value, &format!("{above}{key}."), into);
        }
    }

    #[test]
    fn the_reference_page_names_every_key_and_word() {
        let page = include_str!("../../../docs/reference/status-document.md");
        let json: serde_json::Value = serde_json::from_slice(&sample().to_json().unwrap()).unwrap();
        let mut written = Vec::new();
        keys(&json, "", &mut written);
        let (table, reasons) = page.split_once("## Reasons").unwrap();
        let first = |line: &str| Some(line.strip_prefix("| `")?.split_once('`')?.0.to_owned());
        let mut shown: Vec<String> = table.lines().filter_map(first).collect();
        written.sort();
        shown.sort();
        assert_eq!(shown, written, "docs/reference/status-document.md");
        for reason in Reason::ALL {
            assert!(reasons.contains(&format!("`{reason}`")), "{reason}");
        }
    }
}
