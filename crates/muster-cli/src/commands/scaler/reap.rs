//! `muster scaler reap`.

use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use muster_plugin::Registry;
use muster_scaler::{Deleting, Done, Reaping, providers};
use muster_scaler_core::Config;
use muster_tasks::Group;

use super::configured::{lines, now, one};
use crate::args::SourceArgs;
use crate::commands::run::runtime;
use crate::text::{Cell, Style, Table, Tone, clock, print, printable};
use crate::{CommandResult, Failure};

/// What a scaler may need to delete a server at the end of its drain.
const MARGIN: Duration = Duration::from_secs(600);

/// Which servers.
#[derive(Debug, Args)]
#[command(
    after_help = "Looks for servers with the label of this owner whose life was over, by the label
that they got at their birth, longer ago than --grace. It needs no scaler, no ledger and no agent: run
it from cron on another machine as the last net.

Exits with 0 if nothing is left that is past its time, with 1 if something could not be removed or
seen (with --dry-run: if something is to be removed).

Examples:
  muster scaler reap --config scaler.conf --dry-run
  muster scaler reap --config scaler.conf --grace 6h --json"
)]
pub(super) struct ReapArgs {
    #[command(flatten)]
    sources: SourceArgs,
    /// Only say what would be removed.
    #[arg(long)]
    dry_run: bool,
    /// Leave servers alone whose life was over less long ago: they may still be draining [default:
    /// the longest `drain_deadline` of the pools and 10 minutes].
    #[arg(long, value_name = "DURATION")]
    grace: Option<muster_options::Duration>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

pub(super) fn reap(args: &ReapArgs, registry: &Registry) -> CommandResult {
    let config = one(&args.sources, registry)?;
    let deleting = match args.dry_run {
        true => Deleting::No,
        false => Deleting::Yes,
    };
    let reaping = runtime()?.block_on(async {
        let root = Group::root("muster");
        let all = providers(&config, &root).map_err(|e| Failure::Configuration(lines(&e)))?;
        let grace = args
            .grace
            .map_or_else(|| grace(&config), muster_options::Duration::get);
        let reaping = muster_scaler::reap(&all, &config.owner, now(), grace, deleting).await;
        let _ = root.stop().await;
        Ok::<_, Failure>(reaping)
    })?;
    if args.json {
        let text = serde_json::to_string_pretty(&reaping).map_err(Failure::failed)?;
        print(&(text + "\n"))?;
    } else {
        print(&words(&reaping))?;
    }
    let clean = reaping.problems.is_empty()
        && reaping
            .servers
            .iter()
            .all(|server| server.done == Done::Deleted);
    Ok(if clean {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// A server that is drained at the end of its life is its scaler's until its drain must be over, too.
fn grace(config: &Config) -> Duration {
    let drains = config.pool.iter().map(|pool| pool.drain_deadline.get());
    drains.max().unwrap_or_default().saturating_add(MARGIN)
}

fn words(reaping: &Reaping) -> String {
    let mut text = String::new();
    if reaping.servers.is_empty() {
        text.push_str("no server is past its time\n");
    } else {
        let mut table = Table::new(&["NAME", "PROVIDER", "ID", "LIFE OVER", ""]);
        for server in &reaping.servers {
            let done = match &server.done {
                Done::Found => Cell::toned("would be removed", Tone::Warn),
                Done::Deleted => Cell::toned("removed", Tone::Good),
                Done::Failed(why) => {
                    Cell::toned(format!("failed to remove: {}", printable(why)), Tone::Bad)
                }
            };
            table.row(vec![
                printable(&server.name).into(),
                server.provider.to_string().into(),
                printable(&server.id).into(),
                clock(server.expired.millis().saturating_mul(1_000_000)).into(),
                done,
            ]);
        }
        text.push_str(&table.render(Style::stdout()));
    }
    for (id, why) in &reaping.problems {
        text.push_str(&format!("provider {id}: {}\n", printable(why)));
    }
    text
}

#[cfg(test)]
mod tests {
    use muster_scaler_core::config::PoolConfig;

    use super::*;

    #[test]
    fn a_server_that_may_still_drain_is_not_past_its_time() {
        let hours = |hours: u64| PoolConfig {
            drain_deadline: muster_options::Duration::from_secs(hours * 3600),
            ..PoolConfig::default()
        };
        let config = Config {
            pool: vec![hours(12), hours(1)],
            ..Config::default()
        };
        assert!(grace(&config) > Duration::from_secs(12 * 3600));
    }
}
