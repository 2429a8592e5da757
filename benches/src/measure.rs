//! The measurements.

mod binary_size;
mod change_path;
mod clean_test;
mod default_set;
mod end_to_end;
mod line_protocol;
pub(crate) mod parked_tasks;
mod pool;
pub(crate) mod sentinel;
mod supervisor;
mod task_cost;

use std::any::Any;
use std::error::Error;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;

use tokio::runtime::{Builder, Runtime};

use crate::row::Row;

/// Why something could not be measured.
pub(crate) type Failure = Box<dyn Error + Send + Sync>;

/// What measurements are told.
pub(crate) struct Setting {
    /// The agent's binary.
    pub(crate) agent: PathBuf,
    /// Whether to measure what takes half an hour.
    pub(crate) slow: bool,
}

impl Setting {
    /// The agent's binary as a text, if it is there.
    pub(crate) fn agent(&self) -> Result<&str, Failure> {
        let path = &self.agent;
        if !path.is_file() {
            return Err(format!("there is no agent at {}", path.display()).into());
        }
        Ok(path.to_str().ok_or("the path of the agent is no text")?)
    }
}

/// A measurement.
pub(crate) struct Measurement {
    pub(crate) name: &'static str,
    pub(crate) about: &'static str,
    measure: fn(&Setting) -> Result<Vec<Row>, Failure>,
}

/// All measurements, in the order of the table.
pub(crate) const MEASUREMENTS: &[Measurement] = &[
    Measurement {
        name: "task-cost",
        about: "short tasks through muster-tasks and raw tokio",
        measure: task_cost::measure,
    },
    Measurement {
        name: "parked-tasks",
        about: "memory and stop of a million waiting tasks",
        measure: parked_tasks::measure,
    },
    Measurement {
        name: "pool",
        about: "jobs of a pool beside a channel, a semaphore and spawned tasks",
        measure: pool::measure,
    },
    Measurement {
        name: "supervisor",
        about: "start and stop of 100,000 children beside raw tasks",
        measure: supervisor::measure,
    },
    Measurement {
        name: "line-protocol",
        about: "parse and serialize line protocol beside the vendor's crate",
        measure: line_protocol::measure,
    },
    Measurement {
        name: "end-to-end",
        about: "TCP in, rename + converter + filter, file out",
        measure: end_to_end::measure,
    },
    Measurement {
        name: "default-set",
        about: "start and memory of the agent without arguments (half a minute)",
        measure: default_set::measure,
    },
    Measurement {
        name: "binary-size",
        about: "size of the release binary",
        measure: binary_size::measure,
    },
    Measurement {
        name: "change-path",
        about: "adding inputs to a running agent with 10,000 of them",
        measure: change_path::measure,
    },
    Measurement {
        name: "sentinel",
        about: "checks of 100 Redis servers beside an exporter, and of 10,000 (two minutes)",
        measure: sentinel::measure,
    },
    Measurement {
        name: "clean-test",
        about: "scripts/test on a clean checkout (only with --slow)",
        measure: clean_test::measure,
    },
];

/// The rows of what is measured on one thread and on two workers.
fn on_both_runtimes(
    measure: impl Fn(&str, &Runtime) -> Result<Vec<Row>, Failure>,
) -> Result<Vec<Row>, Failure> {
    let one = Builder::new_current_thread().enable_time().build()?;
    let two = Builder::new_multi_thread()
        .worker_threads(2)
        .enable_time()
        .build()?;
    let mut rows = measure("1 thread", &one)?;
    rows.extend(measure("2 workers", &two)?);
    Ok(rows)
}

impl Measurement {
    /// The rows; if it cannot be measured, one that says why.
    pub(crate) fn run(&self, setting: &Setting) -> Vec<Row> {
        let result = catch_unwind(AssertUnwindSafe(|| (self.measure)(setting)));
        let why = match result {
            Ok(Ok(rows)) => return rows,
            Ok(Err(failure)) => failure.to_string(),
            Err(panic) => panic_text(panic.as_ref()),
        };
        vec![Row::missing(self.about, why)]
    }
}

/// What the test kit says when something is not as it should be.
fn panic_text(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().copied().map(str::to_owned);
    let text = text.or_else(|| panic.downcast_ref::<String>().cloned());
    text.unwrap_or_else(|| "it panicked".to_owned())
}

/// The value at this share of the values, the smallest that so many of them do not exceed.
pub(crate) fn percentile(values: &mut [f64], share: f64) -> f64 {
    values.sort_by(f64::total_cmp);
    let rank = (share * values.len() as f64).ceil() as usize;
    values.get(rank.max(1) - 1).copied().unwrap_or(f64::NAN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles() {
        let mut values: Vec<f64> = (1..=200).rev().map(f64::from).collect();
        assert_eq!(percentile(&mut values, 0.5), 100.0);
        assert_eq!(percentile(&mut values, 0.99), 198.0);
        assert_eq!(percentile(&mut values, 1.0), 200.0);
        assert_eq!(percentile(&mut values, 0.0), 1.0);
        assert!(percentile(&mut [], 0.5).is_nan());
    }

    #[test]
    fn a_panic_is_a_row() {
        let panics = Measurement {
            name: "x",
            about: "a thing",
            measure: |_| panic!("it is {}", "broken"),
        };
        let rows = panics.run(&Setting {
            agent: PathBuf::new(),
            slow: false,
        });
        assert_eq!(rows[0].figure, Err("it is broken".to_owned()));
    }
}
