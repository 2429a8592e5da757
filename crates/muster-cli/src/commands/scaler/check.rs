//! `muster scaler check`.

use std::process::ExitCode;

use clap::Args;
use muster_plugin::Registry;
use muster_scaler::observe::{self, CheckReport};
use muster_scaler::{ProviderSetup, providers};
use muster_scaler_core::ProviderId;
use muster_scaler_core::provider::Limits;
use muster_tasks::Group;

use super::configured::{lines, now, one};
use crate::args::SourceArgs;
use crate::commands::run::runtime;
use crate::text::{Cell, Style, Table, Tone, print, printable};
use crate::{CommandResult, Failure};

/// Which configuration.
#[derive(Debug, Args)]
#[command(
    after_help = "Every PromQL expression is parsed and run once, the token's scopes are read, and
each provider is asked for its limits. Nothing is created or changed.

Exits with 0 if all is well, with 1 if something will not work, with 3 if the configuration cannot be
used at all.

Examples:
  muster scaler check --config scaler.conf
  muster scaler check --config scaler.conf --json | jq '.findings[] | select(.ok | not)'"
)]
pub(super) struct CheckArgs {
    #[command(flatten)]
    sources: SourceArgs,
    /// Print the findings as JSON.
    #[arg(long)]
    json: bool,
}

pub(super) fn check(args: &CheckArgs, registry: &Registry) -> CommandResult {
    let config = one(&args.sources, registry)?;
    let report = runtime()?.block_on(async {
        let root = Group::root("muster");
        let mut report = observe::check(&config, now()).await;
        let all = providers(&config, &root).map_err(|e| Failure::Configuration(lines(&e)));
        if let Ok(all) = &all {
            for (id, setup) in all {
                ask(id, setup, &mut report).await;
            }
        }
        let _ = root.stop().await;
        all.map(|_| report)
    })?;
    if args.json {
        let text = serde_json::to_string_pretty(&report).map_err(Failure::failed)?;
        print(&(text + "\n"))?;
    } else {
        print(&words(&report))?;
    }
    Ok(if report.is_ok() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// What a provider says of its limits.
async fn ask(id: &ProviderId, setup: &ProviderSetup, report: &mut CheckReport) {
    let kind = setup.provider.kind();
    let asked = muster_tasks::timeout(setup.timeout, setup.provider.limits()).await;
    let found = match asked {
        Ok(Ok(limits)) => Ok(limits_in_words(&limits)),
        Ok(Err(error)) => Err(error.to_string()),
        Err(late) => Err(late.to_string()),
    };
    report.add(format!("provider {id} ({kind})"), found);
}

fn limits_in_words(limits: &Limits) -> String {
    let number = |count: Option<u64>| count.map_or("unknown".to_owned(), |count| count.to_string());
    let mut words = format!(
        "servers: {} used of {}",
        number(limits.used),
        number(limits.servers)
    );
    for note in &limits.notes {
        words.push_str("; ");
        words.push_str(note);
    }
    words
}

fn words(report: &CheckReport) -> String {
    let mut table = Table::new(&["", "WHAT", "FOUND"]);
    for finding in &report.findings {
        let mark = match finding.ok {
            true => Cell::toned("ok", Tone::Good),
            false => Cell::toned("no", Tone::Bad),
        };
        table.row(vec![
            mark,
            printable(&finding.what).into(),
            printable(&finding.text).into(),
        ]);
    }
    let wrong = report.findings.iter().filter(|finding| !finding.ok).count();
    let end = match wrong {
        0 => "all is well\n".to_owned(),
        wrong => format!("{wrong} of {} will not work\n", report.findings.len()),
    };
    table.render(Style::stdout()) + &end
}
