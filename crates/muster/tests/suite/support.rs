//! What the tests share.

use std::collections::BTreeMap;
use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::Duration;

use muster_testkit::{Agent, AgentBuilder, Response, eventually_within, request_unix};
pub(crate) use muster_testkit::{Stall, Stalls};
use serde_json::{Value, json};

/// Nanoseconds in a second.
pub(crate) const SECOND: i64 = 1_000_000_000;

static MACHINE: RwLock<()> = RwLock::new(());

/// For a test that loads the machine or measures it: no other test runs meanwhile.
pub(crate) fn alone() -> RwLockWriteGuard<'static, ()> {
    MACHINE.write().unwrap_or_else(PoisonError::into_inner)
}

/// For all other tests: they run beside each other.
pub(crate) fn beside() -> RwLockReadGuard<'static, ()> {
    MACHINE.read().unwrap_or_else(PoisonError::into_inner)
}

/// An agent of the binary under test.
pub(crate) fn agent(config: &str) -> AgentBuilder {
    AgentBuilder::new(env!("CARGO_BIN_EXE_muster")).config(config)
}

/// The agent's table for tests: fast, times not rounded, no tag but the test's own.
pub(crate) const FAST: &str = "
[agent]
interval = \"100ms\"
flush_interval = \"100ms\"
precision = \"1ms\"
omit_hostname = true
metric_batch_size = 10000
metric_buffer_limit = 1000000
";

/// An output into the file `out` of the agent's folder.
pub(crate) const TO_FILE: &str = "
[[outputs.file]]
id = \"out\"
files = [\"{dir}/out\"]
";

/// A mock input whose metrics are told apart by the tag `n` and counted by the field `sequence`.
pub(crate) fn mock(id: &str, more: &str) -> String {
    format!(
        "[[inputs.mock]]\nid = \"{id}\"\nsequence = true\n{more}\n[inputs.mock.tags]\nn = \"{id}\"\n"
    )
}

/// The same as options for the API.
pub(crate) fn mock_options(id: &str, more: Value) -> Value {
    let mut options = json!({"sequence": true, "tags": {"n": id}});
    let map = options.as_object_mut().unwrap();
    map.extend(more.as_object().unwrap().clone());
    options
}

/// One metric as it was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Seen {
    /// Its number.
    pub sequence: i64,
    /// Its time in nanoseconds.
    pub at: i64,
}

/// What was written, by the tag `n`, in the order of the file. A torn last line is left out.
pub(crate) fn written(text: &str) -> BTreeMap<&str, Vec<Seen>> {
    let mut all: BTreeMap<&str, Vec<Seen>> = BTreeMap::new();
    let whole = text.rfind('\n').map_or(0, |end| end + 1);
    for line in text[..whole].lines() {
        let (series, rest) = line
            .split_once(' ')
            .unwrap_or_else(|| panic!("no metric: {line}"));
        let Some((_, tags)) = series.split_once(",n=") else {
            continue;
        };
        let name = tags.split(',').next().unwrap();
        let Some((_, number)) = rest.split_once("sequence=") else {
            continue;
        };
        let sequence = number.split('i').next().unwrap().parse().unwrap();
        let at = rest.rsplit(' ').next().unwrap().parse().unwrap();
        all.entry(name).or_default().push(Seen { sequence, at });
    }
    all
}

/// The numbers go up by one from `from`: nothing is missing, nothing came twice.
#[track_caller]
pub(crate) fn assert_gapless(name: &str, seen: &[Seen], from: i64) {
    for (expected, seen) in (from..).zip(seen) {
        assert_eq!(seen.sequence, expected, "{name}: a gap or a double");
    }
}

/// Every second from the first to the last has exactly one metric, but for seconds in which the
/// machine itself stood still.
#[track_caller]
pub(crate) fn assert_each_second(name: &str, seen: &[Seen], stalls: &[Stall]) {
    for pair in seen.windows(2) {
        let step = pair[1].at.div_euclid(SECOND) - pair[0].at.div_euclid(SECOND);
        let stood_still = |stall: &Stall| stall.touches(pair[0].at, pair[1].at + SECOND);
        assert!(
            step == 1 || (step > 1 && stalls.iter().any(stood_still)),
            "{name}: a tick is missing or double at {:?} (step {step}; the machine stood still: {stalls:?})",
            pair[0]
        );
    }
}

/// A percentile of durations.
pub(crate) fn percentile(sorted: &[Duration], percent: usize) -> Duration {
    sorted[(sorted.len() * percent / 100).min(sorted.len() - 1)]
}

/// Numbers that differ from run to run; the seed is printed, and can be given by `MUSTER_TEST_SEED`.
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new() -> Self {
        let given = std::env::var("MUSTER_TEST_SEED")
            .ok()
            .and_then(|seed| seed.parse().ok());
        let seed = given.unwrap_or_else(|| {
            let since = std::time::UNIX_EPOCH.elapsed().unwrap();
            since.as_nanos() as u64 | 1
        });
        eprintln!("seed {seed} (again with MUSTER_TEST_SEED={seed})");
        Self(seed)
    }

    /// A number below `bound`.
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 16) % bound
    }
}

/// One step of a change.
pub(crate) fn step(op: &str, id: &str, options: Value) -> Value {
    json!({"op": op, "kind": "input", "id": id, "plugin": "mock", "options": options})
}

/// What tests ask of an agent again and again.
pub(crate) trait Ask {
    /// Makes a change that must succeed.
    fn change(&self, steps: &[Value]) -> Value;
    /// Makes a change and says what became of it.
    fn try_change(&self, query: &str, steps: &[Value]) -> Response;
    /// A component as it is.
    fn component(&self, kind: &str, id: &str) -> Value;
    /// A component's state.
    fn state(&self, kind: &str, id: &str) -> String;
    /// Waits until a component is in a state.
    fn wait_state(&self, kind: &str, id: &str, state: &str);
    /// Waits until the file `out` satisfies a condition, and returns its text.
    fn wait_out(&self, what: &str, enough: impl Fn(&str) -> bool) -> String;
    /// Waits until so many metrics of the mock `name` are in the file `out`.
    fn wait_metrics(&self, name: &str, count: usize) -> Vec<Seen>;
    /// Live tasks.
    fn tasks(&self) -> usize;
}

impl Ask for Agent {
    #[track_caller]
    fn change(&self, steps: &[Value]) -> Value {
        let answer = self.try_change("", steps);
        assert_eq!(answer.status, 200, "{}", answer.body);
        answer.json()
    }

    fn try_change(&self, query: &str, steps: &[Value]) -> Response {
        self.api(
            "POST",
            &format!("/api/v1/changes{query}"),
            &json!({"changes": steps}),
        )
    }

    #[track_caller]
    fn component(&self, kind: &str, id: &str) -> Value {
        self.get(&format!("/api/v1/{kind}/{id}"))
    }

    #[track_caller]
    fn state(&self, kind: &str, id: &str) -> String {
        self.component(kind, id)["observed"]["state"]
            .as_str()
            .unwrap()
            .to_owned()
    }

    #[track_caller]
    fn wait_state(&self, kind: &str, id: &str, state: &str) {
        let mut last = String::new();
        let begin = std::time::Instant::now();
        while begin.elapsed() < Duration::from_secs(20) {
            last = self.component(kind, id).to_string();
            if self.state(kind, id) == state {
                return;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        panic!("{kind}/{id} does not become {state}: {last}");
    }

    #[track_caller]
    fn wait_out(&self, what: &str, enough: impl Fn(&str) -> bool) -> String {
        eventually_within(Duration::from_secs(30), what, || {
            let text = self.read("out");
            enough(&text).then_some(text)
        })
    }

    #[track_caller]
    fn wait_metrics(&self, name: &str, count: usize) -> Vec<Seen> {
        let what = format!("{count} metrics of {name}");
        eventually_within(Duration::from_secs(30), &what, || {
            let text = self.read("out");
            written(&text)
                .remove(name)
                .filter(|seen| seen.len() >= count)
        })
    }

    #[track_caller]
    fn tasks(&self) -> usize {
        let answer = request_unix(&self.socket(), "GET", "/debug/tasks/count", &[], "");
        answer
            .expect("the agent answers")
            .body
            .trim()
            .parse()
            .unwrap()
    }
}
