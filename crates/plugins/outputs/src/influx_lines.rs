//! Line protocol for InfluxDB, sorted by where it goes.

use std::collections::HashMap;

use muster_metric::line_protocol::Writer;
use muster_metric::{Batch, Metric, Metrics};

/// A tag that decides where a metric goes.
#[derive(Clone, Debug, Default)]
pub(crate) struct RouteTag {
    /// The tag's key; empty if none decides.
    pub(crate) tag: String,
    /// Where metrics without the tag go.
    pub(crate) default: String,
    /// Whether the tag is left out of what is written.
    pub(crate) exclude: bool,
}

/// The metrics of one write that go to the same place.
#[derive(Debug, Default)]
pub(crate) struct Parcel {
    /// Where they go: a value for each route tag.
    pub(crate) route: Vec<String>,
    /// Their positions in the write, ascending.
    pub(crate) positions: Vec<usize>,
    /// The lines.
    pub(crate) lines: Vec<u8>,
}

/// Writes the metrics as lines, one parcel for each place, in order of appearance. What line
/// protocol cannot express is left out.
pub(crate) fn parcels(metrics: &Metrics, tags: &[RouteTag], writer: &Writer) -> Vec<Parcel> {
    let mut parcels: Vec<Parcel> = Vec::new();
    let mut known: HashMap<Vec<String>, usize> = HashMap::new();
    let fixed = tags.iter().all(|tag| tag.tag.is_empty());
    let mut left_out = 0usize;
    for (position, metric) in metrics.iter().enumerate() {
        let at = if fixed && !parcels.is_empty() {
            0
        } else {
            let route: Vec<String> = tags.iter().map(|tag| tag.value_of(metric)).collect();
            *known.entry(route).or_insert_with_key(|route| {
                parcels.push(Parcel {
                    route: route.clone(),
                    ..Parcel::default()
                });
                parcels.len() - 1
            })
        };
        let Some(parcel) = parcels.get_mut(at) else {
            continue;
        };
        let written = if tags.iter().any(|tag| tag.hides(metric)) {
            let mut copy = Batch::new();
            copy.push(metric);
            if let Some(mut copy) = copy.get_mut(0) {
                tags.iter().filter(|tag| tag.exclude).for_each(|tag| {
                    copy.remove_tag(&tag.tag);
                });
            }
            copy.get(0)
                .map_or(Ok(()), |metric| writer.write(metric, &mut parcel.lines))
        } else {
            writer.write(metric, &mut parcel.lines)
        };
        match written {
            Ok(()) => parcel.positions.push(position),
            Err(_) => left_out += 1,
        }
    }
    if left_out > 0 {
        tracing::debug!(
            count = left_out,
            "left out metrics that line protocol cannot express"
        );
    }
    parcels.retain(|parcel| !parcel.lines.is_empty());
    parcels
}

impl RouteTag {
    fn value_of(&self, metric: Metric<'_>) -> String {
        let given = if self.tag.is_empty() {
            None
        } else {
            metric.tag(&self.tag)
        };
        given.unwrap_or(&self.default).to_owned()
    }

    fn hides(&self, metric: Metric<'_>) -> bool {
        self.exclude && !self.tag.is_empty() && metric.tag(&self.tag).is_some()
    }
}

/// A number to begin at among `count` servers, so that they share the load.
pub(crate) fn random_start(count: usize) -> usize {
    use std::hash::{BuildHasher, Hasher};
    let random = std::collections::hash_map::RandomState::new()
        .build_hasher()
        .finish();
    (random % count.max(1) as u64) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    fn metrics() -> Metrics {
        let mut batch = Batch::new();
        batch.metric("a").tag("db", "x").field("v", 1).untimed();
        batch.metric("b").field("v", 2).untimed();
        batch.metric("nan").field("v", f64::NAN).untimed();
        batch
            .metric("c")
            .tag("db", "x")
            .tag("t", "1")
            .field("v", 3)
            .untimed();
        batch.into()
    }

    fn check(tag: &RouteTag, want: &[(&str, &[usize], &str)]) {
        let got = parcels(&metrics(), std::slice::from_ref(tag), &Writer::default());
        let got: Vec<_> = got
            .iter()
            .map(|p| {
                (
                    p.route[0].as_str(),
                    &p.positions[..],
                    std::str::from_utf8(&p.lines).unwrap(),
                )
            })
            .collect();
        assert_eq!(got, want);
    }

    #[test]
    fn sorts_by_tag() {
        let mut tag = RouteTag {
            default: "main".into(),
            ..RouteTag::default()
        };
        check(
            &tag,
            &[("main", &[0, 1, 3], "a,db=x v=1i\nb v=2i\nc,db=x,t=1 v=3i\n")],
        );
        tag.tag = "db".into();
        check(
            &tag,
            &[
                ("x", &[0, 3], "a,db=x v=1i\nc,db=x,t=1 v=3i\n"),
                ("main", &[1], "b v=2i\n"),
            ],
        );
        tag.exclude = true;
        check(
            &tag,
            &[
                ("x", &[0, 3], "a v=1i\nc,t=1 v=3i\n"),
                ("main", &[1], "b v=2i\n"),
            ],
        );
    }
}
