//! What is said at the end, and the exit code.

use std::process::ExitCode;

use muster_leaks::baseline::Change;
use muster_leaks::collect::Fetcher;
use muster_leaks::verdict::worst;
use muster_leaks::{Baseline, Options, Profile, Status, Verdict, once, report};
use serde_json::json;

use super::watching::{Plan, Seen};
use super::{access, print_json};
use crate::text::{print, printable};
use crate::{CommandResult, Failure};

/// How it ends.
#[derive(Debug)]
pub(super) struct Ending {
    pub(super) json: bool,
    /// Whether the exit code tells the verdict.
    pub(super) ci: bool,
    /// What is accepted.
    pub(super) baseline: Option<Baseline>,
}

impl Ending {
    /// The verdict on files; with a baseline, on the last of them.
    pub(super) fn files(&self, profiles: &[Profile], options: Options) -> CommandResult {
        if let (Some(baseline), Some(last)) = (&self.baseline, profiles.last()) {
            return self.changes(vec![("files".to_owned(), baseline.compare(last))]);
        }
        let verdict = once(profiles, options);
        // A leak profile that proves nothing is a verdict, too.
        let one =
            profiles.len() == 1 && verdict.status == Status::Clean && verdict.leaked.is_none();
        let code = self.verdicts(&[verdict], &[])?;
        if one && self.ci {
            return Err(Failure::Unreachable(
                "a verdict needs two profiles of one process at least".to_owned(),
            ));
        }
        if one {
            eprintln!(
                "muster: one profile shows no growth; `muster leaks top FILE` shows what is there"
            );
        }
        Ok(code)
    }

    /// What targets have more than the baseline, now.
    pub(super) async fn compare(&self, fetchers: &[Fetcher]) -> CommandResult {
        let Some(baseline) = &self.baseline else {
            return Ok(ExitCode::SUCCESS);
        };
        let mut all = Vec::new();
        for fetcher in fetchers {
            let profile = fetcher.goroutines().await;
            let profile = profile.map_err(|error| access::failure(&error))?;
            all.push((fetcher.target().to_string(), baseline.compare(&profile)));
        }
        self.changes(all)
    }

    /// The verdicts on targets that were watched.
    pub(super) fn watched(&self, seen: Vec<Seen>, plan: &Plan) -> CommandResult {
        let mut errors = Vec::new();
        let mut too_few = Vec::new();
        let mut verdicts = Vec::new();
        for seen in seen {
            if let Some(error) = &seen.error {
                eprintln!("muster: failed to {error}");
                errors.push(json!({"target": seen.target, "message": error}));
            }
            if (seen.verdict.samples as usize) < plan.options.samples {
                too_few.push(format!("{} ({})", seen.target, seen.verdict.samples));
            }
            verdicts.push(match &self.baseline {
                Some(baseline) => baseline.accept(seen.verdict),
                None => seen.verdict,
            });
        }
        let code = self.verdicts(&verdicts, &errors)?;
        if self.ci && worst(&verdicts) == Status::Clean && !too_few.is_empty() {
            let (least, targets) = (plan.options.samples, too_few.join(", "));
            return Err(Failure::Unreachable(format!(
                "a verdict needs {least} samples, of these were fewer: {targets}\n  hint: watch \
                 longer with --for, or more often with --every"
            )));
        }
        Ok(code)
    }

    fn verdicts(&self, verdicts: &[Verdict], errors: &[serde_json::Value]) -> CommandResult {
        let status = worst(verdicts);
        if self.json {
            print_json(&json!({"status": status, "targets": verdicts, "errors": errors}))?;
        } else {
            let text = |verdict: &Verdict| match verdict.samples {
                0 => format!("{}: not reached\n", printable(&verdict.target)),
                _ => report::verdict(verdict),
            };
            let texts: Vec<String> = verdicts.iter().map(text).collect();
            print(&texts.join("\n"))?;
        }
        Ok(self.code(status))
    }

    fn changes(&self, all: Vec<(String, Vec<Change>)>) -> CommandResult {
        let status = if all.iter().all(|(_, changes)| changes.is_empty()) {
            Status::Clean
        } else {
            Status::Suspects
        };
        if self.json {
            let target = |(target, changes)| json!({"target": target, "changes": changes});
            let targets: Vec<_> = all.into_iter().map(target).collect();
            print_json(&json!({"status": status, "targets": targets}))?;
            return Ok(self.code(status));
        }
        for (target, changes) in &all {
            let text = match changes.len() {
                0 => format!("{target}: no more than the baseline\n"),
                lines => format!(
                    "{target}: more than the baseline at {lines} lines\n\n{}",
                    report::changes(changes)
                ),
            };
            print(&text)?;
        }
        Ok(self.code(status))
    }

    fn code(&self, status: Status) -> ExitCode {
        if self.ci {
            ExitCode::from(status.exit_code())
        } else {
            ExitCode::SUCCESS
        }
    }
}
