//! How fast rename, converter and filter are together, on one core.
//!
//! `cargo run --release -p muster-plugins-processors --example hot_path`
//!
//! Batches of 1000 metrics as an agent meets them, in three shapes; each round copies the batch
//! (the copy is measured too, and shown apart) and runs the three processors over it.

#![expect(clippy::print_stdout, reason = "a program that prints a table")]

use std::error::Error;
use std::hint::black_box;
use std::time::{Duration, Instant};

use muster_metric::{Batch, Timestamp};
use muster_plugin::{Build, BuildContext, ProcessContext, Processor, Selected};
use muster_plugins_processors::PLUGINS;

const ROUNDS: u32 = 40;
const METRICS: u32 = 1000;

const CHAIN: [(&str, &str); 3] = [
    (
        "rename",
        "[[replace]]\nmeasurement = 'cpu'\ndest = 'processor'\n[[replace]]\ntag = 'host'\ndest = 'hostname'\n\
         [[replace]]\nfield = 'usage_idle'\ndest = 'idle'",
    ),
    (
        "converter",
        "[fields]\ninteger = ['count*']\nfloat = ['idle', 'usage_*']",
    ),
    (
        "filter",
        "[[rule]]\nname = ['processor']\n[rule.tags]\ncpu = ['cpu7']",
    ),
];

fn processor(name: &str, options: &str) -> Result<Box<dyn Processor>, Box<dyn Error>> {
    let row = PLUGINS
        .iter()
        .find(|row| row.name == name)
        .ok_or("no such processor")?;
    let problems = |errors: Vec<muster_options::OptionError>| format!("{errors:?}");
    let cx = BuildContext::new(row, &toml::from_str(options)?).map_err(problems)?;
    match row.build {
        Build::Processor(build) => Ok(build(&cx).map_err(problems)?),
        _ => Err("it is stateful".into()),
    }
}

fn sample(fields: u32) -> Batch {
    let mut batch = Batch::new();
    for at in 0..METRICS {
        let mut metric = batch
            .metric("cpu")
            .tag("cpu", format!("cpu{}", at % 8))
            .tag("host", "server-0017")
            .tag("zone", "eu-west-1")
            .field("usage_idle", 98.5)
            .field("count", 17.25 + f64::from(at));
        for field in 2..fields {
            metric.add_field(format!("usage_{field}"), i64::from(field * at));
        }
        metric.at(Timestamp::from_seconds(1_700_000_000));
    }
    batch
}

/// Nanoseconds a metric, the best of fifty: other programs share the machine.
fn measure(mut work: impl FnMut()) -> f64 {
    let mut best = Duration::MAX;
    for _ in 0..50 {
        let start = Instant::now();
        for _ in 0..ROUNDS {
            work();
        }
        best = best.min(start.elapsed());
    }
    best.as_nanos() as f64 / f64::from(ROUNDS * METRICS)
}

fn main() -> Result<(), Box<dyn Error>> {
    let cx = ProcessContext {
        now: Timestamp::from_seconds(1_700_000_000),
    };
    let chain = CHAIN
        .iter()
        .map(|(name, options)| Ok((*name, processor(name, options)?)))
        .collect::<Result<Vec<_>, Box<dyn Error>>>()?;
    println!(
        "ns a metric     copy   rename  converter  filter  together  metrics/s (without copy)"
    );
    for fields in [2, 5, 10] {
        let source = sample(fields);
        let mut batch = Batch::new();
        let mut run = |upto: usize| {
            measure(|| {
                batch.clone_from(&source);
                for (_, processor) in &chain[..upto] {
                    processor.apply(&mut Selected::all(&mut batch), &cx);
                }
                black_box(&mut batch);
            })
        };
        let [copy, one, two, three] = [run(0), run(1), run(2), run(3)];
        let together = three - copy;
        println!(
            "{fields:2} fields {copy:10.1} {:8.1} {:10.1} {:7.1} {together:9.1} {:9.2} M",
            one - copy,
            two - one,
            three - two,
            1e3 / together
        );
    }
    Ok(())
}
