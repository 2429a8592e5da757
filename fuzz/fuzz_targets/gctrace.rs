//! Any bytes as lines of gctrace: nothing panics, and every metric is counted.

#![no_main]

use libfuzzer_sys::fuzz_target;
use muster_metric::Batch;

fuzz_target!(|input: &[u8]| {
    let row = muster_formats::parser("gctrace").expect("there is such a parser");
    let parser = (row.build)(&toml::Table::new()).expect("it has defaults");
    let mut batch = Batch::new();
    let report = parser
        .parse(input, &mut batch)
        .expect("bad lines are skipped");
    assert_eq!(report.metrics, batch.len());
});
