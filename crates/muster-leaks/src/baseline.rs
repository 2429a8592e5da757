//! What a service had when it was well, to compare with later.

use foldhash::{HashMap, HashMapExt};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::profile::Profile;
use crate::site::Place;
use crate::top::{Row, top};
use crate::verdict::{Suspect, Verdict};

/// The version of the file that is written.
const VERSION: u32 = 1;

/// How many goroutines of each kind a service had.
///
/// Lines move from one version of a service to the next. So what is compared is the function and
/// what it waits for; the line is only kept for people.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Baseline {
    version: u32,
    /// The service.
    pub service: String,
    /// Its version, if it is known.
    pub release: Option<String>,
    /// When it was taken.
    pub taken: Timestamp,
    /// Goroutines in all.
    pub goroutines: u64,
    /// The sites, those with the most goroutines first.
    pub sites: Vec<Kept>,
}

/// A site of a [`Baseline`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Kept {
    /// The class of wait.
    pub class: String,
    /// The line.
    pub at: Place,
    /// Goroutines there.
    pub count: u64,
}

/// A file that is no baseline.
#[derive(Debug, thiserror::Error)]
pub enum BaselineError {
    /// Not the JSON that [`Baseline::to_json`] writes.
    #[error("failed to read a baseline: {0}")]
    Json(#[from] serde_json::Error),
    /// Written by another version of this program.
    #[error("failed to read a baseline of version {0}: this program knows version {VERSION}")]
    Version(u32),
}

/// A site that has more goroutines than the baseline had.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Change {
    /// The class of wait.
    pub class: &'static str,
    /// The line, now.
    pub at: Place,
    /// Goroutines then; 0 for a site that is new.
    pub before: u64,
    /// Goroutines now.
    pub now: u64,
}

type Key = (String, String, String);

fn key(class: &str, at: &Place) -> Key {
    (class.to_owned(), at.function.clone(), at.file.clone())
}

/// Whether this is more than chance.
fn exceeds(now: u64, before: u64) -> bool {
    now as f64 > before as f64 * 1.2 + 10.0
}

impl Baseline {
    /// What a profile shows.
    pub fn of(service: &str, release: Option<&str>, taken: Timestamp, profile: &Profile) -> Self {
        let kept = |row: Row| Kept {
            class: row.class.to_owned(),
            at: row.at,
            count: row.count,
        };
        Self {
            version: VERSION,
            service: service.to_owned(),
            release: release.map(str::to_owned),
            taken,
            goroutines: profile.total,
            sites: top(profile).into_iter().map(kept).collect(),
        }
    }

    /// The text of its file.
    pub fn to_json(&self) -> String {
        serde_json::to_string_pretty(self).unwrap_or_default()
    }

    /// Reads the text of its file.
    ///
    /// # Errors
    /// If it is no baseline, or one of another version.
    pub fn from_json(text: &str) -> Result<Self, BaselineError> {
        #[derive(Deserialize)]
        struct Head {
            version: u32,
        }
        let head: Head = serde_json::from_str(text)?;
        if head.version != VERSION {
            return Err(BaselineError::Version(head.version));
        }
        Ok(serde_json::from_str(text)?)
    }

    fn counts(&self) -> HashMap<Key, u64> {
        let mut counts = HashMap::new();
        for kept in &self.sites {
            let count: &mut u64 = counts.entry(key(&kept.class, &kept.at)).or_default();
            // A file may say anything.
            *count = count.saturating_add(kept.count);
        }
        counts
    }

    /// The sites that have more goroutines than then, by a fifth and ten; the largest growth first.
    pub fn compare(&self, profile: &Profile) -> Vec<Change> {
        let before = self.counts();
        let mut now: HashMap<Key, Change> = HashMap::new();
        for row in top(profile) {
            let key = key(row.class, &row.at);
            let before = before.get(&key).copied().unwrap_or(0);
            let change = now.entry(key).or_insert(Change {
                class: row.class,
                at: row.at,
                before,
                now: 0,
            });
            change.now += row.count;
        }
        let mut changes: Vec<Change> = now.into_values().collect();
        changes.retain(|change| exceeds(change.now, change.before));
        changes.sort_by(|a, b| {
            let growth = |change: &Change| change.now - change.before;
            growth(b).cmp(&growth(a)).then_with(|| a.at.cmp(&b.at))
        });
        changes
    }

    /// Takes the suspects out of a verdict that the baseline already had in about this number.
    #[must_use]
    pub fn accept(&self, mut verdict: Verdict) -> Verdict {
        let before = self.counts();
        let known = |suspect: &Suspect| {
            let count = before.get(&key(suspect.class, &suspect.blocks_at));
            count.is_some_and(|before| !exceeds(suspect.count, *before))
        };
        verdict.suspects.retain(|suspect| !known(suspect));
        verdict.ranked()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::profile::{Format, Frame, Group, Stack, WaitClass};

    fn profile(sites: &[(&str, u32, u64)]) -> Profile {
        let mut profile = Profile::empty(Format::Binary, "goroutine");
        profile.groups = sites
            .iter()
            .map(|(function, line, count)| {
                let stack = Stack::new(vec![Frame::new(*function, "m.go", *line)]);
                Group::new(*count, stack, WaitClass::Send)
            })
            .collect();
        profile.total = sites.iter().map(|(.., count)| count).sum();
        profile
    }

    #[test]
    fn what_has_grown_is_told_though_lines_moved() {
        let then = profile(&[("main.f", 5, 100), ("main.g", 9, 3), ("main.gone", 20, 50)]);
        let baseline = Baseline::of("shop", Some("1.2"), Timestamp::UNIX_EPOCH, &then);
        let read = Baseline::from_json(&baseline.to_json()).unwrap();
        assert_eq!(read, baseline);
        let now = profile(&[("main.f", 7, 125), ("main.g", 9, 40), ("main.new", 2, 11)]);
        let changes = read.compare(&now);
        let told: Vec<_> = changes
            .iter()
            .map(|change| (change.at.function.as_str(), change.before, change.now))
            .collect();
        assert_eq!(told, [("main.g", 3, 40), ("main.new", 0, 11)]);
        assert!(read.compare(&then).is_empty());
    }

    #[test]
    fn a_file_of_another_version_is_refused() {
        let error = |text: &str| Baseline::from_json(text).unwrap_err().to_string();
        assert!(error(r#"{"version": 7, "more": 1}"#).contains("version 7"));
        assert!(error("[]").starts_with("failed to read a baseline"));
    }
}
