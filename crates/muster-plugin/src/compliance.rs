//! Checks plugins against `docs/specs/plugin.md`, rule by rule.
//!
//! A plugin crate has one test, in a test binary of its own (the rules about threads and open
//! files look at the whole process), that checks its whole table:
//!
//! ```ignore
//! #[muster_tasks::test]
//! async fn every_plugin_complies() {
//!     let cases = [
//!         Case::new("mock", "sequence = true"),
//!         Case::new("exec", "commands = ['true']").metrics(0),
//!     ];
//!     muster_plugin::compliance::check_table(PLUGINS, &cases).await.unwrap();
//! }
//! ```
//!
//! [`Stage`] is also of use in a plugin's own tests: it gives a plugin all that the engine would.

mod case;
mod flow;
mod inputs;
mod options;
mod outputs;
mod stage;
mod traces;

use std::fmt;

pub use case::Case;
pub use stage::{Plugin, Running, Scope, Stage, sample};

use crate::PluginRow;

/// One rule that a plugin broke.
#[derive(Clone, PartialEq, Eq)]
pub struct Violation {
    /// The rule's name in `docs/specs/plugin.md`.
    pub rule: &'static str,
    /// What was seen.
    pub what: String,
}

/// All rules that plugins broke, by plugin.
#[derive(Default)]
pub struct Violations(Vec<(String, Violation)>);

impl Violations {
    /// What was found.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Violation)> {
        self.0
            .iter()
            .map(|(plugin, violation)| (plugin.as_str(), violation))
    }
}

impl fmt::Display for Violations {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (plugin, Violation { rule, what }) in &self.0 {
            writeln!(f, "{plugin} breaks {rule}: {what}")?;
        }
        Ok(())
    }
}

impl fmt::Debug for Violations {
    /// As a test that unwraps shows it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\n{self}")
    }
}

impl std::error::Error for Violations {}

/// Collects what a plugin breaks.
#[derive(Default)]
struct Findings(Vec<Violation>);

impl Findings {
    fn add(&mut self, rule: &'static str, what: impl Into<String>) {
        self.0.push(Violation {
            rule,
            what: what.into(),
        });
    }

    /// Notes a violation unless `fine`.
    fn expect(&mut self, rule: &'static str, fine: bool, what: impl FnOnce() -> String) {
        if !fine {
            self.add(rule, what());
        }
    }
}

/// Checks each plugin of a table with the case of its name, and that each has one.
///
/// # Errors
/// All rules that any of them breaks.
pub async fn check_table(table: &'static [PluginRow], cases: &[Case]) -> Result<(), Violations> {
    let mut all = Violations::default();
    for row in table {
        let plugin = format!("{}.{}", row.kind().plural(), row.name);
        let mut mine = cases.iter().filter(|case| case.is_for(row)).peekable();
        if mine.peek().is_none() {
            let what = "no case was given for this plugin: add one to the test".to_owned();
            all.0.push((
                plugin.clone(),
                Violation {
                    rule: "CHECKED",
                    what,
                },
            ));
        }
        for case in mine {
            let found = check(row, case).await;
            all.0.extend(
                found
                    .into_iter()
                    .map(|violation| (plugin.clone(), violation)),
            );
        }
    }
    for case in cases {
        if !table.iter().any(|row| case.is_for(row)) {
            let what = "a case was given, but there is no such plugin in the table".to_owned();
            all.0.push((
                case.plugin.clone(),
                Violation {
                    rule: "CHECKED",
                    what,
                },
            ));
        }
    }
    if all.0.is_empty() { Ok(()) } else { Err(all) }
}

/// Checks one plugin with options with which it works.
pub async fn check(row: &'static PluginRow, case: &Case) -> Vec<Violation> {
    let mut found = Findings::default();
    options::check(row, case, &mut found);
    match Stage::build(row, &case.options) {
        Err(errors) => {
            let errors: Vec<String> = errors.iter().map(ToString::to_string).collect();
            found.add(
                "OPTIONS",
                format!("the case's options are refused: {}", errors.join("; ")),
            );
        }
        Ok(Plugin::Input(_)) => inputs::check_polled(row, case, &mut found).await,
        Ok(Plugin::Service(_)) => inputs::check_service(row, case, &mut found).await,
        Ok(Plugin::Output(_)) => outputs::check(row, case, &mut found).await,
        Ok(Plugin::Processor(_) | Plugin::StatefulProcessor(_)) => {
            flow::check_processor(row, case, &mut found);
        }
        Ok(Plugin::Aggregator(_)) => flow::check_aggregator(row, case, &mut found),
    }
    found.0
}

#[cfg(test)]
mod tests {
    /// The rules that code names and those that the text has are the same.
    #[test]
    fn the_text_has_every_rule() {
        let text = include_str!("../../../docs/specs/plugin.md");
        let code = [
            include_str!("compliance.rs"),
            include_str!("compliance/flow.rs"),
            include_str!("compliance/inputs.rs"),
            include_str!("compliance/options.rs"),
            include_str!("compliance/outputs.rs"),
            include_str!("compliance/traces.rs"),
        ]
        .concat();
        let quoted = code.split('"').filter(|word| {
            word.len() > 3 && word.bytes().all(|b| b.is_ascii_uppercase() || b == b'-')
        });
        for rule in quoted {
            assert!(
                text.contains(&format!("**{rule}**")),
                "plugin.md lacks {rule}"
            );
        }
        for line in text.lines().filter(|line| line.contains("checked")) {
            let Some(rule) = line.split("**").nth(1) else {
                continue;
            };
            assert!(
                code.contains(&format!("\"{rule}\"")),
                "nothing checks {rule}"
            );
        }
    }
}
