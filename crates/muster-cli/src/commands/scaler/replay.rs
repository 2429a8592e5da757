//! `muster scaler replay`.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use muster_scaler::Records;
use muster_scaler_core::Time;
use muster_scaler_simulator::frontier::Options;
use muster_scaler_simulator::replay::{Recorded, Replay};
use serde_json::json;

use super::explain::time;
use super::simulate::{RuleArgs, compare};
use crate::text::{clock, plural, print};
use crate::{CommandResult, Failure};

/// Which records, and which other settings.
#[derive(Debug, Args)]
#[command(
    after_help = "Each recorded decision is made again from what was recorded and must come out the
same to the bit. With --policy or --idle-time the jobs that the records show are run through the
simulator under other rules and settings: what they would have cost, and how long jobs would have waited.

Exits with 1 if a decision comes out differently.

Examples:
  muster scaler replay /var/lib/muster/scaler
  muster scaler replay /var/lib/muster/scaler --from 7d --policy muster --policy taskscaler
  muster scaler replay /var/lib/muster/scaler --idle-time 30s --idle-time 5m"
)]
pub(super) struct ReplayArgs {
    /// The directory with the records: the option `state` of the scaler.
    #[arg(value_name = "DIR")]
    directory: PathBuf,
    /// From when on: a time (RFC 3339), or so long ago.
    #[arg(long, value_name = "TIME", value_parser = time)]
    from: Option<Time>,
    #[command(flatten)]
    rules: RuleArgs,
    /// How many times other rules are run, each with other chances.
    #[arg(long, value_name = "COUNT", default_value_t = 5)]
    seeds: u64,
}

pub(super) fn replay(args: &ReplayArgs) -> CommandResult {
    let unread = |error: muster_scaler::ReadError| Failure::Unusable(format!("failed to {error}"));
    let from = args.from.unwrap_or_default();
    let mut records = Records::open(&args.directory, from).map_err(unread)?;
    let mut replay = Replay::default();
    for record in records.by_ref() {
        let record = record.map_err(unread)?;
        replay.take(
            &record.config,
            &record.ledger,
            &record.observation,
            &record.decision,
        );
    }
    let recorded = replay.finish();
    if recorded.decisions == 0 {
        let message = format!(
            "there are no recorded decisions in {}",
            args.directory.display()
        );
        return Err(Failure::Unusable(message));
    }
    let skipped = records.skipped();
    if args.rules.is_empty() {
        if args.rules.json {
            let value = json!({ "recorded": recorded, "skipped_lines": skipped, "jobs": recorded.load.jobs() });
            let text = serde_json::to_string_pretty(&value).map_err(Failure::failed)?;
            print(&(text + "\n"))?;
        } else {
            print(&words(&recorded, skipped))?;
        }
        return Ok(if recorded.differ == 0 {
            ExitCode::SUCCESS
        } else {
            ExitCode::FAILURE
        });
    }
    if !args.rules.json {
        print(&(words(&recorded, skipped) + "\n"))?;
    }
    let mut options = Options {
        name: "the recorded jobs".to_owned(),
        world: recorded.world,
        seeds: args.seeds.clamp(1, 10_000),
        ..Options::default()
    };
    args.rules.choose(&mut options.rules)?;
    compare(&options, Some(&recorded.load), &args.rules)
}

fn words(recorded: &Recorded, skipped: u64) -> String {
    let decisions = usize::try_from(recorded.decisions).unwrap_or(usize::MAX);
    let mut text = format!("{} made again: ", plural(decisions, "decision"));
    match recorded.differ {
        0 => text.push_str("all come out the same\n"),
        differ => {
            text.push_str(&format!("{differ} come out differently\n"));
            for at in &recorded.differing {
                text.push_str(&format!(
                    "  {}\n",
                    clock(at.millis().saturating_mul(1_000_000))
                ));
            }
        }
    }
    if skipped > 0 {
        text.push_str(&format!(
            "{skipped} torn or unknown lines were left out, with all that depends on them\n"
        ));
    }
    text.push_str(&format!(
        "{}, {:.1} hours of them{}\n",
        plural(recorded.load.jobs(), "job"),
        recorded.load.job_hours(),
        if recorded.by_number {
            ", derived from their number alone, as no pipelines were seen"
        } else {
            ""
        }
    ));
    text
}
