//! How the instances of a cluster stand in sum, for readers that need no more.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::document::{self, Writer};
use crate::status::{State, Status, Verdict};

/// What one reporter says of a cluster: of those of its instances that it writes. Its node is there as long as its
/// session. Readers add up what all reporters say.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Summary {
    /// The version of the format.
    pub v: u32,
    /// Instances that work.
    pub up: u64,
    /// Instances that do not answer.
    pub down: u64,
    /// Instances that live and do not serve as they should, or flap.
    pub degraded: u64,
    /// Instances of which nothing is known.
    pub unknown: u64,
    /// Counts the summaries that this writer has written.
    pub seq: u64,
    /// Who wrote it.
    pub writer: Writer,
}

impl Summary {
    /// Of no instance yet.
    pub(super) fn new(writer: &Writer) -> Self {
        Self {
            v: document::VERSION,
            up: 0,
            down: 0,
            degraded: 0,
            unknown: 0,
            seq: 0,
            writer: writer.clone(),
        }
    }

    /// One instance more.
    pub(super) fn add(&mut self, status: &Status) {
        let count = match (status.state, status.verdict) {
            (State::Flapping, _) | (_, Verdict::Degraded) => &mut self.degraded,
            (_, Verdict::Up) => &mut self.up,
            (_, Verdict::Down) => &mut self.down,
            (_, Verdict::Unknown) => &mut self.unknown,
        };
        *count += 1;
    }

    /// As JSON.
    pub(super) fn to_json(&self) -> Vec<u8> {
        // Strings and numbers only: this cannot fail.
        serde_json::to_vec(self).unwrap_or_default()
    }
}

/// What was written of each cluster in sum.
#[derive(Debug, Default)]
pub(super) struct Summaries {
    /// `None` where it is not known what is there, or whether anything is.
    written: BTreeMap<String, Option<Summary>>,
    seq: u64,
}

impl Summaries {
    /// What is to be written of which cluster now; `None`, if there is none of its instances any more. Of one whose
    /// summary is not known yet, nothing is.
    pub(super) fn news(
        &mut self,
        now: BTreeMap<String, Option<Summary>>,
    ) -> Vec<(String, Option<Summary>)> {
        let gone = self.written.keys().filter(|one| !now.contains_key(*one));
        let mut news: Vec<_> = gone.map(|cluster| (cluster.clone(), None)).collect();
        for (cluster, summary) in now {
            let Some(mut summary) = summary else {
                continue;
            };
            if let Some(Some(known)) = self.written.get(&cluster) {
                summary.seq = known.seq;
                if summary == *known {
                    continue;
                }
            }
            self.seq += 1;
            summary.seq = self.seq;
            // Until it is known whether that went well.
            self.written.insert(cluster.clone(), None);
            news.push((cluster, Some(summary)));
        }
        news
    }

    /// The clusters of which something was written.
    pub(super) fn written(&self) -> impl Iterator<Item = &str> {
        self.written.keys().map(String::as_str)
    }

    /// One of the news was written.
    pub(super) fn is_written(&mut self, cluster: String, summary: Option<Summary>) {
        match summary {
            Some(summary) => _ = self.written.insert(cluster, Some(summary)),
            None => _ = self.written.remove(&cluster),
        }
    }

    /// What was written of these clusters may not be there any more: it is written again, or deleted to be sure.
    pub(super) fn distrust(&mut self, is_doubtful: impl Fn(&str) -> bool) {
        for (cluster, written) in &mut self.written {
            if is_doubtful(cluster) {
                *written = None;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_has_changed_is_news() {
        let of = |up| Summary {
            up,
            ..Summary::new(&Writer::default())
        };
        let now = |all: &[(&str, u64)]| -> BTreeMap<String, Option<Summary>> {
            let one = |&(cluster, up): &(&str, u64)| (cluster.to_owned(), Some(of(up)));
            all.iter().map(one).collect()
        };
        let mut summaries = Summaries::default();
        let write =
            |summaries: &mut Summaries, all: &[(&str, u64)]| -> Vec<(String, Option<u64>)> {
                let news = summaries.news(now(all));
                for (cluster, summary) in news.clone() {
                    summaries.is_written(cluster, summary);
                }
                let seq = |summary: Option<Summary>| summary.map(|summary| summary.seq);
                news.into_iter()
                    .map(|(cluster, summary)| (cluster, seq(summary)))
                    .collect()
            };
        let is = |cluster: &str, seq| (cluster.to_owned(), seq);
        assert_eq!(
            write(&mut summaries, &[("a", 1), ("b", 1)]),
            [is("a", Some(1)), is("b", Some(2))]
        );
        assert_eq!(
            write(&mut summaries, &[("a", 1), ("b", 2)]),
            [is("b", Some(3))]
        );
        assert_eq!(write(&mut summaries, &[("b", 2)]), [is("a", None)]);
        assert_eq!(write(&mut summaries, &[("b", 2)]), []);
        summaries.distrust(|cluster| cluster == "b");
        assert_eq!(write(&mut summaries, &[("b", 2)]), [is("b", Some(4))]);
        // It may be there, or not, when its cluster has gone; not before that is known.
        summaries.distrust(|_| true);
        let unread = BTreeMap::from([("b".to_owned(), None)]);
        assert_eq!(summaries.news(unread), []);
        assert_eq!(write(&mut summaries, &[]), [is("b", None)]);
        assert_eq!(write(&mut summaries, &[]), []);
        // Also one that may have been written, for all that is known.
        assert_eq!(summaries.news(now(&[("c", 1)])).len(), 1);
        assert_eq!(write(&mut summaries, &[]), [is("c", None)]);
    }
}
