//! What is known of a target, as metrics.

use std::time::Duration;

use muster_leaks::{Place, Watch};
use muster_metric::Batch;

/// So many suspects become metrics, the worst first.
const MOST_SUSPECTS: usize = 100;

/// Writes the totals, the sites with the most goroutines, and the suspects.
pub(super) fn write(watch: &Watch, took: Duration, sites: usize, batch: &mut Batch) {
    let verdict = watch.verdict();
    let target = watch.target();
    let mut all: Vec<_> = watch.sites().collect();
    batch
        .metric("go_pprof")
        .tag("target", target)
        .field("goroutines", verdict.goroutines as i64)
        .field("sites", all.len() as i64)
        .field("suspects", verdict.suspects.len() as i64)
        .field("status", i64::from(verdict.status.exit_code()))
        .field("samples", verdict.samples as i64)
        .field("restarts", verdict.restarts as i64)
        .field("response_time", took.as_secs_f64())
        .untimed();
    all.sort_by(|(a, one), (b, other)| {
        let places = || Place::from(&a.frame).cmp(&Place::from(&b.frame));
        other.last().cmp(&one.last()).then_with(places)
    });
    for (site, series) in all.into_iter().take(sites) {
        batch
            .metric("goroutine_site")
            .tag("target", target)
            .tag("class", site.class.as_str())
            .tag("function", &*site.frame.function)
            .tag("file", &*site.frame.file)
            .tag("line", site.frame.line.to_string().as_str())
            .field("count", series.last() as i64)
            .field("per_hour", series.per_hour())
            .untimed();
    }
    for suspect in verdict.suspects.iter().take(MOST_SUSPECTS) {
        let at = &suspect.blocks_at;
        let metric = batch
            .metric("goroutine_leak_suspect")
            .tag("target", target)
            .tag("class", suspect.class)
            .tag("function", at.function.as_str())
            .tag("file", at.file.as_str())
            .tag("line", at.line.to_string().as_str())
            .field("count", suspect.count as i64)
            .field("per_hour", suspect.per_hour)
            .field("score", suspect.score)
            .field("evidence", suspect.evidence.as_str())
            .field("confirmed", suspect.evidence.is_proof())
            .field("growing", suspect.growing)
            .field("oldest_seconds", suspect.oldest_seconds as i64)
            .field("memory_low_bytes", suspect.memory.low as i64)
            .field("memory_high_bytes", suspect.memory.high as i64);
        let metric = match &suspect.started_at {
            Some(place) => metric
                .field("started_function", place.function.as_str())
                .field("started_file", place.file.as_str())
                .field("started_line", i64::from(place.line)),
            None => metric,
        };
        metric.untimed();
    }
}
