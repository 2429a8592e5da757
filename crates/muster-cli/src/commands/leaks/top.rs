//! `muster leaks top`.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;
use muster_leaks::collect::Fetcher;
use muster_leaks::{Options, Profile, Want, report, top as group};
use serde_json::json;

use super::access::{self, AccessArgs};
use super::{files, print_json, runtime};
use crate::text::print;
use crate::{CommandResult, Failure};

/// What to group.
#[derive(Debug, Args)]
#[command(
    after_help = "Exits with 3 if a file is no profile, with 4 if a target cannot be reached or shows
none.

Examples:
  muster leaks top shop:6060
  muster leaks top shop:6060 --dump --limit 10    with the lines of the go statements
  muster leaks top crash.log --json | jq '.[0].sites[0]'"
)]
pub(crate) struct TopArgs {
    /// A service, or a file with a profile of any form.
    #[arg(value_name = "URL|FILE", required = true)]
    sources: Vec<String>,
    /// At most so many lines of each.
    #[arg(long, value_name = "N", default_value_t = 30)]
    limit: usize,
    /// Take a dump: it shows the `go` statements and how long they wait. The service stands still
    /// meanwhile, so not if it has more than 20,000 goroutines.
    #[arg(long)]
    dump: bool,
    /// Print JSON with all lines.
    #[arg(long)]
    pub(super) json: bool,
    #[command(flatten)]
    access: AccessArgs,
}

pub(super) fn top(args: &TopArgs) -> CommandResult {
    let mut all = Vec::new();
    for source in &args.sources {
        let path = Path::new(source);
        if path.is_file() {
            all.push((source.clone(), files::profile(&PathBuf::from(path))?));
            continue;
        }
        let fetchers = args.access.fetchers(std::slice::from_ref(source));
        let fetchers = fetchers.map_err(|failure| match failure {
            Failure::Usage(why) => Failure::Usage(format!("{why}, or a file that is there")),
            other => other,
        })?;
        for fetcher in fetchers {
            let profile = runtime()?.block_on(fetch(&fetcher, args.dump))?;
            all.push((fetcher.target().to_string(), profile));
        }
    }
    if args.json {
        let shown = |(source, profile): &(String, Profile)| json!({"source": source, "goroutines": profile.total, "sites": group(profile)});
        print_json(&json!(all.iter().map(shown).collect::<Vec<_>>()))?;
        return Ok(ExitCode::SUCCESS);
    }
    let mut texts = Vec::new();
    for (source, profile) in &all {
        let rows = group(profile);
        let (goroutines, lines) = (profile.total, rows.len());
        let head = format!("{source}: {goroutines} goroutines at {lines} lines\n\n");
        texts.push(head + &report::rows(&rows, args.limit));
    }
    print(&texts.join("\n"))?;
    Ok(ExitCode::SUCCESS)
}

async fn fetch(fetcher: &Fetcher, dump: bool) -> Result<Profile, Failure> {
    let failed = |error| access::failure(&error);
    let profile = fetcher.goroutines().await.map_err(failed)?;
    if !dump {
        return Ok(profile);
    }
    let most = Options::default().dump_up_to;
    if profile.total > most {
        eprintln!(
            "muster: {} has {} goroutines, more than {most}: no dump is taken",
            fetcher.target(),
            profile.total
        );
        return Ok(profile);
    }
    let dump = fetcher.wanted(Want::Dump).await.map_err(failed)?;
    Ok(dump.unwrap_or(profile))
}
