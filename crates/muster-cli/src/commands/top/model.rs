//! What `top` knows: the components, and how their counters move. Pure.

use std::collections::{HashMap, VecDeque};

use muster_control::api::StatusView;

use super::Snapshot;
use crate::observed::Observed;
use crate::text::printable;

/// Rates are taken over so long: several gathers of most inputs.
const WINDOW: i64 = 30_000_000_000;

/// Below this a rate says nothing; the mean over the agent's life is shown instead.
const SHORTEST: i64 = 10_000_000_000;

/// One component.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Row {
    /// As `inputs/cpu`.
    pub(super) name: String,
    /// Its place in the data path.
    pub(super) order: usize,
    pub(super) plugin: String,
    pub(super) state: String,
    /// Metrics in a second.
    pub(super) rate: f64,
    pub(super) metrics: u64,
    pub(super) took: Option<u64>,
    pub(super) longest: u64,
    pub(super) last_run_at: Option<i64>,
    pub(super) failures: u64,
    pub(super) dropped: u64,
    /// Metrics that wait, and the most that may.
    pub(super) queue: Option<(usize, usize)>,
    /// What is or was wrong.
    pub(super) why: Option<String>,
}

/// The agent as it was last seen.
#[derive(Debug, Default)]
pub(super) struct Model {
    pub(super) status: Option<StatusView>,
    pub(super) rows: Vec<Row>,
    /// Why the agent cannot be seen now.
    pub(super) trouble: Option<String>,
    counters: HashMap<String, VecDeque<(i64, u64)>>,
}

impl Model {
    /// Takes over what the agent says at `now` (nanoseconds since 1970).
    pub(super) fn update(&mut self, now: i64, snapshot: Snapshot) {
        let Snapshot { status, components } = snapshot;
        let mut counters = std::mem::take(&mut self.counters);
        self.rows.clear();
        for view in components {
            let name = format!("{}s/{}", view.kind, view.id);
            let observed = Observed::of(&view);
            let mut seen = counters.remove(&name).unwrap_or_default();
            // A counter that falls is a new component of the same name.
            if seen
                .back()
                .is_some_and(|(_, last)| *last > observed.metrics)
            {
                seen.clear();
            }
            seen.push_back((now, observed.metrics));
            while seen.get(1).is_some_and(|(at, _)| now - at >= WINDOW) {
                seen.pop_front();
            }
            let rate = rate(&seen, status.started);
            self.counters.insert(name.clone(), seen);
            let last_error = observed
                .last_error
                .as_ref()
                .map(|error| error.message.as_str());
            let why = observed
                .why
                .as_deref()
                .or(last_error)
                .map(|why| printable(why).replace('\n', " "));
            self.rows.push(Row {
                name,
                order: order(&view.kind),
                plugin: view.plugin,
                rate,
                metrics: observed.metrics,
                took: (observed.runs > 0).then_some(observed.last_run_ns),
                longest: observed.longest_run_ns,
                last_run_at: observed.last_run_at,
                failures: observed.failures(),
                dropped: observed.dropped + observed.rejected,
                queue: view.queue.map(|queue| (queue.metrics, queue.limit)),
                why,
                state: observed.state,
            });
        }
        self.status = Some(status);
        self.trouble = None;
    }

    /// The agent does not answer; what was last seen stays.
    pub(super) fn lost(&mut self, why: &dyn std::fmt::Display) {
        let text = why.to_string();
        self.trouble = Some(text.lines().next().unwrap_or_default().to_owned());
    }
}

/// Metrics in a second: over the window, or since the agent's start.
fn rate(seen: &VecDeque<(i64, u64)>, started: i64) -> f64 {
    let (Some((first_at, first)), Some((last_at, last))) = (seen.front(), seen.back()) else {
        return 0.0;
    };
    if last_at - first_at >= SHORTEST {
        return (last - first) as f64 * 1e9 / (last_at - first_at) as f64;
    }
    *last as f64 * 1e9 / (last_at - started).max(1_000_000_000) as f64
}

fn order(kind: &str) -> usize {
    muster_plugin::Kind::ALL
        .iter()
        .position(|k| k.as_str() == kind)
        .unwrap_or(usize::MAX)
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use serde_json::json;

    pub(in super::super) fn snapshot(components: serde_json::Value) -> Snapshot {
        let status = json!({"version": "1.0", "pid": 7, "started": 0, "generation": 3, "tasks": 9,
            "components": {}, "state_dir": "/s", "troubles": [], "stuck": []});
        Snapshot {
            status: serde_json::from_value(status).unwrap(),
            components: serde_json::from_value(components).unwrap(),
        }
    }

    pub(in super::super) fn component(id: &str, state: &str, metrics: u64) -> serde_json::Value {
        json!({"kind": "input", "id": id, "plugin": "mock", "source": "the API", "options": {},
            "observed": {"state": state, "metrics": metrics, "runs": 1, "last_run_ns": 2_000_000}})
    }

    #[test]
    fn rates_come_from_the_window() {
        let mut model = Model::default();
        let mut check = |seconds: i64, metrics: u64, want: f64| {
            let snapshot = snapshot(json!([component("a", "running", metrics)]));
            model.update(seconds * 1_000_000_000, snapshot);
            assert_eq!(model.rows[0].rate, want, "after {seconds} s");
        };
        check(100, 1000, 10.0);
        check(105, 1050, 10.0);
        check(110, 1200, 20.0);
        check(130, 1600, 20.0);
        check(160, 1600, 0.0);
        // It was removed and added again.
        check(200, 100, 0.5);
    }

    #[test]
    fn what_was_seen_stays_when_the_agent_is_lost() {
        let mut model = Model::default();
        model.update(5, snapshot(json!([component("a", "running", 1)])));
        model.lost(&"no agent\n  hint: x");
        assert_eq!(
            (model.rows.len(), model.trouble.as_deref()),
            (1, Some("no agent"))
        );
        model.update(6, snapshot(json!([])));
        assert_eq!((model.rows.len(), model.trouble), (0, None));
    }
}
