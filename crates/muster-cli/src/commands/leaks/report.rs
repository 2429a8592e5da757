//! `muster leaks report`.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use jiff::Timestamp;
use muster_leaks::report::{Page, Target, html};
use muster_leaks::{once, top};

use super::access::AccessArgs;
use super::live::Show;
use super::watching::{self, Plan, Seen};
use super::{EVERY, EVERY_IN_CI, JudgeArgs, files, gctrace, runtime};
use crate::text::print;
use crate::{CommandResult, Failure};

/// What to report.
#[derive(Debug, Args)]
#[command(
    after_help = "The page holds everything it needs: the goroutines over time, the suspects with their stacks,
what else grows, all lines. Ctrl-C ends the watching and writes what is known.

Examples:
  muster leaks report shop:6060 --html shop.html
  muster leaks report shop:6060 --html shop.html --for 1h --gctrace shop.err
  muster leaks report before.pb.gz after.pb.gz --html shop.html

Exit codes:
  0  the page is written
  2  the command line is wrong
  3  a file cannot be read or written, or is no profile
  4  no target can be reached, or none shows profiles"
)]
pub(crate) struct ReportArgs {
    /// Services to watch; or files of one process, the earliest first.
    #[arg(value_name = "URL|FILE", required = true)]
    sources: Vec<String>,
    /// Where to write the page.
    #[arg(long, value_name = "FILE")]
    html: PathBuf,
    /// How long to watch.
    #[arg(long, value_name = "DURATION", default_value = "10m")]
    r#for: muster_options::Duration,
    /// The time between two samples [default: 15s, with --ci 1s].
    #[arg(long, value_name = "DURATION")]
    every: Option<muster_options::Duration>,
    /// Judge a short run under an even load.
    #[arg(long)]
    ci: bool,
    /// The file with what one target prints under GODEBUG=gctrace=1: its pauses are shown, too. The
    /// last line counts as written when the file was last changed.
    #[arg(long, value_name = "FILE")]
    gctrace: Option<PathBuf>,
    /// The page's title.
    #[arg(long, value_name = "TEXT", default_value = "Goroutines")]
    title: String,
    #[command(flatten)]
    judge: JudgeArgs,
    #[command(flatten)]
    access: AccessArgs,
}

pub(super) fn report(args: &ReportArgs) -> CommandResult {
    let options = args.judge.options(args.ci)?;
    let seen = if args
        .sources
        .iter()
        .all(|source| Path::new(source).is_file())
    {
        let paths: Vec<PathBuf> = args.sources.iter().map(PathBuf::from).collect();
        let profiles = files::profiles(&paths)?;
        let verdict = once(&profiles, options);
        vec![Seen {
            target: verdict.target.clone(),
            verdict,
            total: Vec::new(),
            top: profiles.last().map(top).unwrap_or_default(),
            attempts: 1,
            error: None,
        }]
    } else {
        let fetchers = args.access.fetchers(&args.sources)?;
        let every = args.every.map_or(
            if args.ci { EVERY_IN_CI } else { EVERY },
            muster_options::Duration::get,
        );
        let plan = Plan {
            options,
            every: every.max(Duration::from_millis(50)),
            within: Some(args.r#for.get()),
            strict: false,
        };
        let show = Show::progress(plan.within);
        runtime()?.block_on(watching::watch(fetchers, &plan, show))?
    };
    if args.gctrace.is_some() && seen.len() != 1 {
        let why = "--gctrace is about one target";
        return Err(Failure::Usage(why.to_owned()));
    }
    let pauses = args.gctrace.as_deref().map(gctrace::pauses).transpose()?;
    let pauses = pauses.unwrap_or_default();
    for seen in &seen {
        if let Some(error) = &seen.error {
            eprintln!("muster: failed to {error}");
        }
    }
    let targets: Vec<Target<'_>> = seen
        .iter()
        .map(|seen| Target {
            verdict: &seen.verdict,
            total: &seen.total,
            pauses: &pauses,
            top: &seen.top,
        })
        .collect();
    let page = html(&Page {
        title: &args.title,
        made: Timestamp::now(),
        targets: &targets,
    });
    std::fs::write(&args.html, page).map_err(|error| {
        Failure::Unusable(format!("failed to write {}: {error}", args.html.display()))
    })?;
    let mut text = String::new();
    for seen in &seen {
        let (target, status) = (&seen.target, seen.verdict.status);
        text.push_str(&format!("{target}: {status}\n"));
    }
    print(&format!("{text}{}\n", args.html.display()))?;
    Ok(ExitCode::SUCCESS)
}
