//! A decision and its reasons as aligned plain text, about a screen for a pool.

use std::fmt::Write as _;

use super::words::span;
use super::{Input, PoolExplanation};
use crate::decision::{Action, Decision};

/// Columns before what is said.
const INDENT: usize = 12;

impl Decision {
    /// What was decided and why: the inputs with their age, the arithmetic, each gate, each server.
    pub fn explained(&self) -> String {
        let mut out = String::new();
        let at = jiff::Timestamp::from_millisecond(self.at.millis()).unwrap_or_default();
        let at = at.strftime("%Y-%m-%d %H:%M:%S UTC");
        let _ = writeln!(
            out,
            "decision {} at {at}, mode {}",
            self.id,
            self.mode.word()
        );
        for pool in &self.explanation.pools {
            let _ = writeln!(out, "\npool {}", pool.pool);
            pool.write(&mut out);
        }
        if !self.alarms.is_empty() {
            out.push_str("\nalarms\n");
            for alarm in &self.alarms {
                let _ = writeln!(out, "  {:<24} {}", alarm.code, alarm.text);
            }
        }
        let done = if self.actions.is_empty() && !self.wanted.is_empty() {
            "would do"
        } else {
            "actions"
        };
        let _ = writeln!(out, "\n{done}");
        if self.wanted.is_empty() {
            out.push_str("  none\n");
        }
        for action in &self.wanted {
            let _ = writeln!(out, "  {}", words(action));
        }
        out
    }
}

fn words(action: &Action) -> String {
    match action {
        Action::Create(name, provider) => format!("create {name} at {provider}"),
        Action::Pause(name) => format!("pause {name}"),
        Action::Unpause(name) => format!("unpause {name}"),
        Action::Delete(name) => format!("delete {name}"),
        Action::PauseHost(runner) => format!("pause the permanent runner {runner}"),
        Action::UnpauseHost(runner) => format!("unpause the permanent runner {runner}"),
    }
}

impl PoolExplanation {
    fn write(&self, out: &mut String) {
        lines(out, "inputs", self.inputs.iter().map(input));
        let health = self.health.problems.iter().map(ToString::to_string);
        if self.health.problems.is_empty() {
            lines(out, "health", ["can be relied on".to_owned()]);
        } else {
            lines(out, "health", health);
        }
        lines(out, "capacity", [self.capacity()]);
        lines(out, "demand", self.demand_lines());
        lines(out, "plan", self.plan_lines());
        let gates = self.gates.iter().map(|gate| {
            let verdict = if gate.blocked() { "blocks" } else { "passes" };
            let (name, count) = (
                gate.gate.word(),
                format!("{} of {}", gate.passed, gate.asked),
            );
            format!("{name:<14} {verdict} {count:<10} {}", gate.saw)
        });
        lines(out, "gates", gates);
        let longest = self
            .servers
            .iter()
            .map(|s| s.name.0.len())
            .max()
            .unwrap_or(0);
        let servers = self.servers.iter().map(|server| {
            let jobs = match server.running {
                Some(1) => "1 job".to_owned(),
                Some(count) => format!("{count} jobs"),
                None => "jobs unknown".to_owned(),
            };
            let (name, state) = (&server.name.0, server.state.word());
            format!(
                "{name:<longest$}  {state:<11}  {jobs:<12}  {}",
                server.verdict
            )
        });
        if self.servers.is_empty() {
            lines(out, "servers", ["none".to_owned()]);
        } else {
            lines(out, "servers", servers);
        }
    }

    fn capacity(&self) -> String {
        let c = &self.capacity;
        format!(
            "{} slots: {} permanent ({} hosts, {} up, {} down, {} overloaded, {} paused), {} joined, \
             {} coming, {} leaving",
            c.total(),
            c.permanent,
            c.hosts,
            c.up,
            c.down,
            c.overloaded,
            c.paused,
            c.temporary,
            c.coming,
            c.leaving
        )
    }

    fn demand_lines(&self) -> Vec<String> {
        let d = &self.demand;
        if !d.known {
            return vec!["not known: nothing is asked for or taken away".to_owned()];
        }
        let mut lines = vec![
            format!(
                "{} pending + {} running = {} now",
                d.pending,
                d.running,
                d.now()
            ),
            format!(
                "within {} {} more start and {} end: {} at most; {} to keep",
                span(d.horizon_millis),
                d.ahead,
                d.freed,
                d.peak,
                d.keep
            ),
        ];
        if d.untold > 0 {
            let untold = d.untold;
            lines.push(format!(
                "{untold} jobs of next stages of which nothing is learnt yet"
            ));
        }
        if d.saturation > 0 {
            lines.push(format!("{} as the permanent hosts are full", d.saturation));
        }
        lines
    }

    fn plan_lines(&self) -> Vec<String> {
        let p = &self.plan;
        let mut lines = vec![
            format!(
                "{} x (1 + {}) + {} warm = {} slots, {} to keep",
                self.demand.peak.max(self.demand.saturation),
                p.headroom,
                p.warm,
                p.target,
                p.keep
            ),
            format!(
                "{} servers of {} slots wanted, {} there or coming, {} owned of {}",
                p.desired, p.slots_per_server, p.have, p.owned, p.max_servers
            ),
            format!(
                "{} short: {} taken back, {} asked for; {} too many: {} drained",
                p.short, p.take_back, p.create, p.surplus, p.drain
            ),
        ];
        if let Some(entry) = p.schedule {
            lines.push(format!("schedule[{entry}] holds"));
        }
        lines
    }
}

/// Lines under a heading that stands before the first.
fn lines(out: &mut String, heading: &str, lines: impl IntoIterator<Item = String>) {
    let mut heading = heading;
    for line in lines {
        let _ = writeln!(out, "  {heading:<INDENT$}{line}");
        heading = "";
    }
}

fn input(input: &Input) -> String {
    let name = input.what.to_string();
    let age = input.age_millis.map(span);
    match (input.value, age, &input.why) {
        (Some(value), Some(age), _) => format!("{name:<20} {value:>8}  {age} old"),
        (_, _, Some(why)) => format!("{name:<20} {:>8}  {why}", "unknown"),
        _ => format!("{name:<20} {:>8}", "unknown"),
    }
}
