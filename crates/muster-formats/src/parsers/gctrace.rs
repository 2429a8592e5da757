//! `gctrace`: the lines that a Go program writes under `GODEBUG=gctrace=1`.
//!
//! Each garbage collection is one metric `gctrace`. They stand among other output, so lines that
//! are none are passed over, those of the scavenger and the scheduler too. A line that begins as
//! one but cannot be read to the end, as when two writers were mixed, is bad.
//!
//! | field | meaning | Go |
//! |---|---|---|
//! | `gc` | number of the collection | all |
//! | `pause_ms`, `clock_ms` | how long the program stood still; how long it all took | all |
//! | `heap_before_bytes`, `heap_after_bytes` | the heap at the start and at the end | all |
//! | `heap_live_bytes`, `heap_goal_bytes` | what is still used; where the next one begins | 1.5 |
//! | `stacks_bytes`, `globals_bytes` | what is searched beside the heap | 1.18 |
//! | `objects` | objects after the collection | up to 1.4 |
//! | `goroutines` | how many there are | 1.4 |
//! | `processors` | threads that may run Go code | all |
//! | `since_start_s`, `cpu_percent` | time since the start; share of the collector since then | 1.5 |
//! | `forced` | whether it was asked for, or due after two quiet minutes | all |
//! | `leak_check` | true, and only there, if goroutine leaks were looked for | 1.26 |
//!
//! Go prints whole megabytes, of 2^20 bytes.

use muster_metric::{Batch, Value};
use muster_options::{JsonSchema, Options};
use serde::{Deserialize, Serialize};
use toml::Table;

use crate::format::excerpt;
use crate::{BuiltParser, Framing, ParseError, Parser, ParserRow, Problem, Report};

pub(super) const ROW: ParserRow = ParserRow {
    name: "gctrace",
    summary: "Garbage collections of a Go program, from the output of GODEBUG=gctrace=1",
    options: GctraceOptions::describe,
    build,
};

/// Options of the `gctrace` parser.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
struct GctraceOptions {
    /// The name of the metrics.
    gctrace_measurement: String,
}

impl Default for GctraceOptions {
    fn default() -> Self {
        Self {
            gctrace_measurement: "gctrace".to_owned(),
        }
    }
}

fn build(table: &Table) -> BuiltParser {
    Ok(Box::new(<GctraceOptions as Options>::parse(table)?))
}

impl Parser for GctraceOptions {
    fn parse(&self, input: &[u8], batch: &mut Batch) -> Result<Report, ParseError> {
        let mut report = Report::default();
        for (at, line) in input.split(|b| *b == b'\n').enumerate() {
            let Ok(line) = std::str::from_utf8(line) else {
                continue;
            };
            let line = line.trim_end();
            let Some(start) = start(line) else { continue };
            match Cycle::read(&line[start..]) {
                Some(cycle) => {
                    cycle.write(&self.gctrace_measurement, batch);
                    report.metrics += 1;
                }
                // Behind other text it may be anything.
                None if start > 0 => {}
                None => report.note(Problem::new(
                    at as u64 + 1,
                    1,
                    format!("expected a collection's times and heap: {}", excerpt(line)),
                )),
            }
        }
        Ok(report)
    }

    fn framing(&self) -> Framing {
        Framing::Lines
    }
}

/// Where the line of a collection starts: at once, or behind what a collector of logs has added.
fn start(line: &str) -> Option<usize> {
    let starts = |text: &str| {
        let digits = text
            .strip_prefix("gc")
            .map(|rest| rest.strip_prefix(' ').unwrap_or(rest));
        digits.is_some_and(|rest| {
            let after = rest.trim_start_matches(|c: char| c.is_ascii_digit());
            after.len() < rest.len() && (after.starts_with('(') || after.starts_with(" @"))
        })
    };
    if starts(line) {
        return Some(0);
    }
    line.match_indices(" gc")
        .map(|(at, _)| at + 1)
        .find(|at| starts(&line[*at..]))
}

/// What one line says; what its version of Go does not print is `None`.
#[derive(Debug, Default, PartialEq)]
struct Cycle {
    number: i64,
    /// Seconds since the program's start.
    since_start: Option<f64>,
    cpu_percent: Option<f64>,
    /// Milliseconds of each phase.
    phases: Vec<f64>,
    /// The collector runs beside the program: only some phases stop it.
    concurrent: bool,
    /// Megabytes before, after, and of those what is live.
    heap: Vec<i64>,
    goal: Option<i64>,
    stacks: Option<i64>,
    globals: Option<i64>,
    processors: Option<i64>,
    objects: Option<i64>,
    goroutines: Option<i64>,
    forced: bool,
    leak_check: bool,
}

impl Cycle {
    fn read(line: &str) -> Option<Self> {
        let rest = line.strip_prefix("gc")?;
        let rest = rest.strip_prefix(' ').unwrap_or(rest);
        let (head, parts) = rest.split_once(": ")?;
        let mut cycle = Self::default();
        cycle.head(head)?;
        for part in parts.split(", ") {
            cycle.part(part)?;
        }
        (!cycle.phases.is_empty() && cycle.heap.len() >= 2).then_some(cycle)
    }

    /// `12 @3.456s 7%`, or of old Go `12(8)`.
    fn head(&mut self, head: &str) -> Option<()> {
        if let Some((number, threads)) = head.split_once('(').filter(|(n, _)| !n.contains(' ')) {
            self.number = integer(number)?;
            self.processors = Some(integer(threads.strip_suffix(')')?)?);
            return Some(());
        }
        let (number, rest) = head.split_once(" @")?;
        let (seconds, rest) = rest.split_once("s ")?;
        let (percent, rest) = rest.split_once('%')?;
        self.number = integer(number)?;
        self.since_start = Some(decimal(seconds)?);
        self.cpu_percent = Some(decimal(percent)?);
        self.concurrent = true;
        self.leak_check = rest == " (checking for goroutine leaks)";
        Some(())
    }

    /// What stands between two commas; its last word says what it is.
    fn part(&mut self, part: &str) -> Option<()> {
        if let Some(list) = part.strip_suffix(" ms clock").or(part.strip_suffix(" ms")) {
            self.phases = decimals(list, 1.0)?;
        } else if let Some(list) = part.strip_suffix(" us") {
            self.phases = decimals(list, 1e-3)?;
        } else if let Some(list) = part.strip_suffix(" MB") {
            self.heap = arrows(list)?;
        } else if let Some(goal) = part.strip_suffix(" MB goal") {
            self.goal = Some(integer(goal)?);
        } else if let Some(stacks) = part.strip_suffix(" MB stacks") {
            self.stacks = Some(integer(stacks)?);
        } else if let Some(globals) = part.strip_suffix(" MB globals") {
            self.globals = Some(integer(globals)?);
        } else if let Some(count) = part.strip_suffix(" goroutines") {
            self.goroutines = Some(integer(count)?);
        } else if let Some(objects) = part.strip_suffix(" objects") {
            // Up to Go 1.2 there is no comma between the heap and `before -> after` objects.
            let (list, _) = objects.split_once(" (")?;
            let list = match list.split_once(" MB ") {
                Some((heap, list)) => {
                    self.heap = arrows(heap)?;
                    list
                }
                None => list,
            };
            self.objects = arrows(list)?.last().copied();
        } else if let Some(count) = part.strip_suffix(" (forced)").and_then(processors) {
            self.processors = Some(integer(count)?);
            self.forced = true;
        } else if let Some(count) = processors(part) {
            self.processors = Some(integer(count)?);
        }
        Some(())
    }

    /// The milliseconds in which the program stood still.
    fn pause(&self) -> f64 {
        let stops = |at: &usize| match (self.concurrent, self.phases.len()) {
            // Go 1.5: ends of the sweep and of the mark, and between them the write barriers.
            (true, 5) => matches!(at, 0 | 2 | 4),
            (true, phases) => *at == 0 || at + 1 == phases,
            (false, _) => true,
        };
        (0..self.phases.len())
            .filter(stops)
            .map(|at| self.phases[at])
            .sum()
    }

    /// Milliseconds without the noise that a sum of decimals has: in whole nanoseconds.
    fn rounded(milliseconds: f64) -> Value<'static> {
        Value::Float((milliseconds * 1e6).round() / 1e6)
    }

    fn write(&self, name: &str, batch: &mut Batch) {
        let bytes = |megabytes: i64| Value::Int(megabytes.saturating_mul(1 << 20));
        let mut metric = batch.metric(name);
        metric.add_field("gc", Value::Int(self.number));
        metric.add_field("pause_ms", Self::rounded(self.pause()));
        metric.add_field("clock_ms", Self::rounded(self.phases.iter().sum()));
        let names = ["heap_before_bytes", "heap_after_bytes", "heap_live_bytes"];
        for (name, megabytes) in names.iter().zip(&self.heap) {
            metric.add_field(*name, bytes(*megabytes));
        }
        let sizes = [
            ("heap_goal_bytes", self.goal),
            ("stacks_bytes", self.stacks),
            ("globals_bytes", self.globals),
        ];
        for (name, size) in sizes {
            if let Some(megabytes) = size {
                metric.add_field(name, bytes(megabytes));
            }
        }
        let counts = [
            ("objects", self.objects),
            ("goroutines", self.goroutines),
            ("processors", self.processors),
        ];
        for (name, count) in counts {
            if let Some(count) = count {
                metric.add_field(name, Value::Int(count));
            }
        }
        let times = [
            ("since_start_s", self.since_start),
            ("cpu_percent", self.cpu_percent),
        ];
        for (name, time) in times {
            if let Some(time) = time {
                metric.add_field(name, Value::Float(time));
            }
        }
        metric.add_field("forced", Value::Bool(self.forced));
        if self.leak_check {
            metric.add_field("leak_check", Value::Bool(true));
        }
        metric.finish(None);
    }
}

/// The count in `8 P`.
fn processors(part: &str) -> Option<&str> {
    part.strip_suffix(" P")
}

fn integer(text: &str) -> Option<i64> {
    let digits = text.bytes().all(|b| b.is_ascii_digit());
    digits.then(|| text.parse().ok())?
}

fn decimal(text: &str) -> Option<f64> {
    let digits = text.bytes().all(|b| b.is_ascii_digit() || b == b'.');
    let value: f64 = digits.then(|| text.parse().ok())??;
    value.is_finite().then_some(value)
}

/// `0.01+2+0.3`, each times `scale`.
fn decimals(list: &str, scale: f64) -> Option<Vec<f64>> {
    list.split('+')
        .map(|item| decimal(item).map(|value| value * scale))
        .collect()
}

/// `4->5->1`, with or without blanks.
fn arrows(list: &str) -> Option<Vec<i64>> {
    list.split("->").map(|item| integer(item.trim())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{check_parser, survives};
    use proptest::prelude::*;

    #[track_caller]
    fn check(input: &str, want: &[&str]) {
        check_parser("gctrace", "", input, want);
    }

    #[test]
    fn lines_of_new_go() {
        check(
            "gc 12 @3.5s 7%: 0.5+2+0.25 ms clock, 1+0.1/2/3+0.5 ms cpu, 4->5->1 MB, 6 MB goal, 8 P\n",
            &[
                "gctrace gc=12i,pause_ms=0.75,clock_ms=2.75,heap_before_bytes=4194304i,\
               heap_after_bytes=5242880i,heap_live_bytes=1048576i,heap_goal_bytes=6291456i,\
               processors=8i,since_start_s=3.5,cpu_percent=7,forced=false",
            ],
        );
        check(
            "gc 2 @60.5s 0% (checking for goroutine leaks): 0.5+2+0.25 ms clock, 1+0.1/2/3+0.5 ms cpu, \
             4->4->1 MB, 4 MB goal, 2 MB stacks, 1 MB globals, 2 P (forced)\r\n",
            &[
                "gctrace gc=2i,pause_ms=0.75,clock_ms=2.75,heap_before_bytes=4194304i,\
               heap_after_bytes=4194304i,heap_live_bytes=1048576i,heap_goal_bytes=4194304i,\
               stacks_bytes=2097152i,globals_bytes=1048576i,processors=2i,since_start_s=60.5,\
               cpu_percent=0,forced=true,leak_check=true",
            ],
        );
        check(
            "gc 4 @1.5s 0%: 0.072+10+0.031 ms clock, 0.1+0/1/2+0.01 ms cpu, 3->4->2 MB, 4 MB goal, 2 P",
            &[
                "gctrace gc=4i,pause_ms=0.103,clock_ms=10.103,heap_before_bytes=3145728i,\
               heap_after_bytes=4194304i,heap_live_bytes=2097152i,heap_goal_bytes=4194304i,\
               processors=2i,since_start_s=1.5,cpu_percent=0,forced=false",
            ],
        );
        check(
            "gc 3 @1.5s 1%: 1+2+4+8+16 ms clock, 1+2+4+8/1/2+16 ms cpu, 4->5->1 MB, 6 MB goal, 8 P",
            &[
                "gctrace gc=3i,pause_ms=21,clock_ms=31,heap_before_bytes=4194304i,\
               heap_after_bytes=5242880i,heap_live_bytes=1048576i,heap_goal_bytes=6291456i,\
               processors=8i,since_start_s=1.5,cpu_percent=1,forced=false",
            ],
        );
    }

    #[test]
    fn lines_of_old_go() {
        check(
            "gc781(1): 1+2000+17000+0 us, 60 -> 50 MB, 700 (9-8) objects, 321 goroutines, \
             10/0/0 sweeps, 0(0) handoff, 0(0) steal, 0/0/0 yields\n",
            &[
                "gctrace gc=781i,pause_ms=19.001,clock_ms=19.001,heap_before_bytes=62914560i,\
               heap_after_bytes=52428800i,objects=700i,goroutines=321i,processors=1i,forced=false",
            ],
        );
        check(
            "gc7(4): 1+2+3+4 us, 6 -> 5 MB, 70 (9-8) objects, 1/0/0 sweeps, 0(0) handoff, 0/0/0 yields\n\
             gc 8(4): 1+2+4 ms, 6 -> 5 MB 90 -> 80 (9-8) objects, 0(0) handoff, 0(0) steal, 0/0/0 yields",
            &[
                "gctrace gc=7i,pause_ms=0.01,clock_ms=0.01,heap_before_bytes=6291456i,\
               heap_after_bytes=5242880i,objects=70i,processors=4i,forced=false",
                "gctrace gc=8i,pause_ms=7,clock_ms=7,heap_before_bytes=6291456i,\
               heap_after_bytes=5242880i,objects=80i,processors=4i,forced=false",
            ],
        );
    }

    #[test]
    fn other_lines_are_passed_over_and_broken_ones_reported() {
        check(
            "starting\nscvg0: inuse: 1, idle: 2, sys: 3, released: 4, consumed: 5 (MB)\n\
             scav 1 KiB work (bg), 2 KiB work (eager), 3 KiB total, 4% util\n\
             SCHED 1ms: gomaxprocs=2 idleprocs=1 threads=3\ngcc 4.9\ngc is fine\nbad gc 1 @x\n\n",
            &[],
        );
        check(
            "2024-01-02T03:04:05Z stderr F gc 1 @1s 1%: 1+2+4 ms clock, 1+0/0/0+1 ms cpu, 4->5->1 MB, 6 MB goal, 8 P",
            &[
                "gctrace gc=1i,pause_ms=5,clock_ms=7,heap_before_bytes=4194304i,\
               heap_after_bytes=5242880i,heap_live_bytes=1048576i,heap_goal_bytes=6291456i,\
               processors=8i,since_start_s=1,cpu_percent=1,forced=false",
            ],
        );
        check(
            "x\ngc 12 @3.5s 7%: 0.5+2+0.25 ms clock, 1+0.1/2\n",
            &["! 2:1 expected a collection's times and heap: \
               \"gc 12 @3.5s 7%: 0.5+2+0.25 ms clock, 1+0\"..."],
        );
        check_parser(
            "gctrace",
            "gctrace_measurement = 'go'",
            "gc 8(4): 1+2+4 ms, 6 -> 5 MB 90 -> 80 (9-8) objects",
            &["go gc=8i,pause_ms=7,clock_ms=7,heap_before_bytes=6291456i,\
               heap_after_bytes=5242880i,objects=80i,processors=4i,forced=false"],
        );
    }

    proptest! {
        #[test]
        fn what_was_printed_comes_back(
            number in 0..i64::MAX, seconds in 0..1_000_000_u32, phases in [0..1000_u32, 0..1000, 0..1000],
            heap in [0..1_000_000_i64, 0..1_000_000, 0..1_000_000], goal in 0..1_000_000_i64,
            stacks in prop::option::of(0..1000_i64), forced: bool,
        ) {
            let more = stacks.map_or_else(String::new, |mb| format!("{mb} MB stacks, 0 MB globals, "));
            let [a, b, c] = phases;
            let [before, after, live] = heap;
            let line = format!(
                "gc {number} @{seconds}s 0%: {a}+{b}+{c} ms clock, 0+0/0/0+0 ms cpu, \
                 {before}->{after}->{live} MB, {goal} MB goal, {more}8 P{}",
                if forced { " (forced)" } else { "" },
            );
            let cycle = Cycle::read(&line).unwrap();
            prop_assert_eq!(cycle.pause(), f64::from(a + c));
            let want = Cycle {
                number,
                since_start: Some(f64::from(seconds)),
                cpu_percent: Some(0.0),
                phases: phases.map(f64::from).to_vec(),
                concurrent: true,
                heap: heap.to_vec(),
                goal: Some(goal),
                stacks,
                globals: stacks.map(|_| 0),
                processors: Some(8),
                forced,
                ..Cycle::default()
            };
            prop_assert_eq!(cycle, want);
        }

        #[test]
        fn survives_anything(
            input in any::<Vec<u8>>(),
            lines in "(gc ?[0-9]{1,3}( @[0-9.]{1,4}s [0-9]%|\\([0-9]\\)): [-0-9.+>MBmsPcloku ,()]{0,60}\n){0,4}",
        ) {
            survives(&ROW, "", &input);
            survives(&ROW, "", lines.as_bytes());
        }
    }
}
