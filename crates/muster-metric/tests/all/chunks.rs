//! Chunks and the metrics of one write.

use std::sync::Arc;

use muster_metric::{Batch, Chunk, Metrics};
use proptest::collection::vec;
use proptest::prelude::*;

fn names(metrics: &Metrics) -> Vec<String> {
    metrics
        .iter()
        .map(|metric| metric.name().to_owned())
        .collect()
}

/// Batches of numbered metrics, of which some are dropped; and which of the rest are meant.
fn metrics() -> impl Strategy<Value = (Metrics, Vec<String>)> {
    let batch = (vec(any::<bool>(), 0..12), any::<bool>());
    vec(batch, 0..5).prop_map(|batches| {
        let (mut metrics, mut names) = (Metrics::new(), Vec::new());
        for (at, (kept, by_rows)) in batches.iter().enumerate() {
            let mut batch = Batch::new();
            for row in 0..kept.len() {
                batch
                    .metric(format!("{at}.{row}"))
                    .field("f", 1.0)
                    .untimed();
            }
            let meant: Vec<_> = (0..kept.len()).filter(|&row| kept[row]).collect();
            names.extend(meant.iter().map(|row| format!("{at}.{row}")));
            metrics.push(if *by_rows {
                let rows = meant.iter().map(|&row| row as u32).collect();
                Chunk::of_rows(Arc::new(batch), rows)
            } else {
                batch.retain(|metric| kept[metric.row()]);
                Chunk::all(Arc::new(batch))
            });
        }
        (metrics, names)
    })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(150) })]

    #[test]
    fn splitting_keeps_order_and_loses_nothing((metrics, wanted) in metrics(), at in 0_usize..40) {
        prop_assert_eq!(names(&metrics), wanted.clone());
        prop_assert_eq!(metrics.len(), wanted.len());
        let (front, back) = metrics.split_at(at);
        let at = at.min(wanted.len());
        prop_assert_eq!(names(&front), &wanted[..at]);
        prop_assert_eq!(names(&back), &wanted[at..]);
        prop_assert_eq!((front.len(), back.len()), (at, wanted.len() - at));
        prop_assert_eq!(metrics.is_empty(), wanted.is_empty());
    }

    #[test]
    fn taking_from_the_front_again_and_again(
        (metrics, wanted) in metrics(),
        counts in vec(0_usize..5, 1..30),
    ) {
        let mut taken = Vec::new();
        for mut chunk in metrics.into_chunks() {
            for &count in &counts {
                let before = chunk.len();
                let front = chunk.take_front(count);
                prop_assert_eq!(front.len(), count.min(before));
                prop_assert_eq!(chunk.len(), before - front.len());
                prop_assert_eq!(front.iter().count(), front.len());
                taken.extend(front.iter().map(|metric| metric.name().to_owned()));
            }
            taken.extend(chunk.iter().map(|metric| metric.name().to_owned()));
        }
        prop_assert_eq!(taken, wanted);
    }
}
