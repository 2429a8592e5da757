//! `muster leaks`.

mod access;
mod baseline;
mod conclude;
mod files;
mod gctrace;
mod live;
mod progress;
mod report;
mod top;
mod watching;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, Subcommand};
use muster_leaks::ignore::{IDLE, rules};
use muster_leaks::{IgnoreRule, Options};
use serde_json::json;

use crate::text::print;
use crate::{CommandResult, Failure};
use access::AccessArgs;
use baseline::Baseline;
use conclude::Ending;
use live::Show;
use watching::Plan;

/// Samples this far apart, unless `--every` says otherwise.
const EVERY: Duration = Duration::from_secs(15);
/// The same with `--ci`.
const EVERY_IN_CI: Duration = Duration::from_secs(1);
/// How long `--ci` watches, unless `--for` says otherwise.
const FOR_IN_CI: Duration = Duration::from_secs(30);

/// What to watch, and how.
#[derive(Debug, Args)]
#[command(
    args_conflicts_with_subcommands = true,
    subcommand_negates_reqs = true,
    subcommand_help_heading = "Commands",
    after_help = "A target is a service that shows Go's net/http/pprof, or any program on muster-tasks:
host:port, http://host:port, https://host:port/prefix, unix:///path; the path /debug/pprof is added.
Its grouped profile is read each time, which costs it little; a dump of all goroutines only when
something grows, a few times an hour, and never above --dump-up-to goroutines. A target that answers
slowly or has more than 50,000 goroutines is asked up to 8 times less often.

What must be seen before a line is suspected: even growth over 8 samples and 5 minutes, after
1 minute of warm-up. With --ci: over 5 samples, while the load stays the same.

A rule to ignore is one of function=PATTERN, file=PATTERN, created_by=PATTERN, label=KEY:PATTERN,
with max_count=NUMBER if it holds only up to so many; several in one rule must all hold. PATTERN
alone is a function. A file of rules has one on each line; # begins a comment.

Examples:
  muster leaks shop:6060 cart:6060                     watch two services
  muster leaks shop:6060 --for 10m --json              one verdict, for a program
  muster leaks shop:6060 --ci --for 1m                 fail a build that leaks
  muster leaks --once before.pb.gz after.pb.gz         compare two files, of any form
  muster leaks --once crash.log                        what a panic's dump shows
  muster leaks shop:6060 --baseline save shop.json     keep what is normal
  muster leaks shop:6060 --baseline compare shop.json  show what is more than that
  muster leaks shop:6060 --ignore 'main.worker max_count=64'
  muster leaks top shop:6060                           what is there now, no verdict
  muster leaks report shop:6060 --html shop.html       a page for the team that owns it

Exit codes:
  0  with --ci: clean; else: it was watched to the end
  1  with --ci: something is suspected, or more than the baseline
  2  with --ci: something is proved to leak; always: the command line is wrong
  3  a file cannot be read or written, or is no profile
  4  a target cannot be reached or shows no profiles, or --ci had too few samples of it"
)]
pub(crate) struct LeaksArgs {
    #[command(subcommand)]
    command: Option<LeaksCommand>,
    /// Services to watch.
    #[arg(value_name = "URL", required_unless_present_any = ["once", "list_idle"])]
    targets: Vec<String>,
    /// Judge files of one process instead, the earliest first: binary profiles, debug=1 or debug=2
    /// text, logs with a panic's dump.
    #[arg(long, value_name = "FILE", num_args = 1.., conflicts_with_all = ["targets", "for", "every"])]
    once: Vec<PathBuf>,
    /// End after this time [default with --ci: 30s; else: at Ctrl-C].
    #[arg(long, value_name = "DURATION")]
    r#for: Option<muster_options::Duration>,
    /// The time between two samples [default: 15s, with --ci 1s].
    #[arg(long, value_name = "DURATION")]
    every: Option<muster_options::Duration>,
    /// Judge a short run under an even load; exit with 0 clean, 1 suspects, 2 confirmed.
    #[arg(long)]
    ci: bool,
    /// `save FILE`: keep what one target has now; `compare FILE`: show what has more now; with
    /// --for or --ci: suspect only what has more than then.
    #[arg(long, num_args = 2, value_names = ["save|compare", "FILE"])]
    baseline: Vec<String>,
    /// List the functions that idle by design, with how many may.
    #[arg(long)]
    list_idle: bool,
    /// Print one JSON document at the end.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    judge: JudgeArgs,
    #[command(flatten)]
    access: AccessArgs,
}

/// How to judge.
#[derive(Clone, Debug, Args)]
struct JudgeArgs {
    /// Do not count what this rule names; may be given several times.
    #[arg(long, value_name = "RULE")]
    ignore: Vec<IgnoreRule>,
    /// The same, a file with a rule on each line.
    #[arg(long, value_name = "FILE")]
    ignore_file: Vec<PathBuf>,
    /// Take no dump of a service with more goroutines: it stands still meanwhile, 0.7 s at 100,000.
    /// 0 for never.
    #[arg(long, value_name = "NUMBER", default_value_t = Options::default().dump_up_to)]
    dump_up_to: u64,
}

/// What else can be done.
#[derive(Debug, Subcommand)]
enum LeaksCommand {
    /// Show what is there now, by line, without a verdict.
    Top(top::TopArgs),
    /// Watch, then write one page that can be sent to who owns the service.
    Report(report::ReportArgs),
}

impl JudgeArgs {
    /// The options of a watch.
    fn options(&self, ci: bool) -> Result<Options, Failure> {
        let mut options = if ci {
            Options::ci()
        } else {
            Options::default()
        };
        options.dump_up_to = self.dump_up_to;
        if self.dump_up_to == 0 {
            options.dumps_an_hour = 0;
        }
        options.ignore.clone_from(&self.ignore);
        for path in &self.ignore_file {
            let text = crate::input::read_text(path);
            let text = text.map_err(|failure| Failure::Unusable(failure.to_string()))?;
            options.ignore.extend(rules(&text).map_err(|(line, error)| {
                Failure::Unusable(format!("{}:{line}: {error}", path.display()))
            })?);
        }
        Ok(options)
    }
}

pub(crate) fn leaks(args: &LeaksArgs) -> CommandResult {
    let (outcome, json) = match &args.command {
        Some(LeaksCommand::Top(args)) => (top::top(args), args.json),
        Some(LeaksCommand::Report(args)) => (report::report(args), false),
        None => (hunt(args), args.json),
    };
    if let (true, Err(failure)) = (json, &outcome) {
        print_json(&failure.json())?;
    }
    outcome
}

fn hunt(args: &LeaksArgs) -> CommandResult {
    if args.list_idle {
        return list_idle(args.json);
    }
    let baseline = Baseline::of(&args.baseline)?;
    let options = args.judge.options(args.ci)?;
    let ending = Ending {
        json: args.json,
        ci: args.ci,
        baseline: baseline.kept()?,
    };
    if !args.once.is_empty() {
        let profiles = files::profiles(&args.once)?;
        if let (Some(path), Some(profile)) = (baseline.to_save(), profiles.last()) {
            let name = args.once.last().map(|path| path.display().to_string());
            return baseline::save(path, &name.unwrap_or_default(), profile);
        }
        return ending.files(&profiles, options);
    }
    let fetchers = args.access.fetchers(&args.targets)?;
    let runtime = runtime()?;
    let watches = args.r#for.is_some() || args.ci;
    if let Some(path) = baseline.to_save() {
        let [fetcher] = fetchers.as_slice() else {
            let why = "--baseline save takes one target: a baseline is that of one service";
            return Err(Failure::Usage(why.to_owned()));
        };
        let profile = runtime.block_on(fetcher.goroutines());
        let profile = profile.map_err(|error| access::failure(&error))?;
        return baseline::save(path, &fetcher.target().to_string(), &profile);
    }
    if ending.baseline.is_some() && !watches {
        return runtime.block_on(ending.compare(&fetchers));
    }
    let every = args.every.map_or(
        if args.ci { EVERY_IN_CI } else { EVERY },
        muster_options::Duration::get,
    );
    let within = args
        .r#for
        .map(muster_options::Duration::get)
        .or(args.ci.then_some(FOR_IN_CI));
    if let (false, Some(within)) = (args.ci, within)
        && within < options.warm_up + options.span
    {
        let least = muster_options::Duration::from(options.warm_up + options.span);
        eprintln!("muster: growth shows only after {least}; with --ci it needs but 5 samples");
    }
    let plan = Plan {
        options,
        every: every.max(Duration::from_millis(50)),
        within,
        strict: args.ci,
    };
    let show = if args.json || args.ci {
        Show::progress(within)
    } else {
        Show::live()
    };
    let seen = runtime.block_on(watching::watch(fetchers, &plan, show))?;
    ending.watched(seen, &plan)
}

fn list_idle(json: bool) -> CommandResult {
    if json {
        let idle = IDLE.iter();
        let idle = idle.map(|(function, most)| json!({"function": function, "most": most}));
        print_json(&json!(idle.collect::<Vec<_>>()))?;
    } else {
        let mut table = crate::text::Table::new(&["FUNCTION BEGINS WITH", ">UP TO"]);
        for (function, most) in IDLE {
            table.row(vec![(*function).into(), most.to_string().into()]);
        }
        print(&table.render(crate::text::Style::stdout()))?;
    }
    Ok(ExitCode::SUCCESS)
}

fn runtime() -> Result<tokio::runtime::Runtime, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    runtime.map_err(|error| Failure::failed(format!("failed to start the runtime: {error}")))
}

fn print_json(value: &serde_json::Value) -> Result<(), Failure> {
    let text = serde_json::to_string_pretty(value).map_err(Failure::failed)?;
    print(&(text + "\n"))
}
