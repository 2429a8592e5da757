//! `muster scaler simulate`.

use std::fs::File;
use std::io::{BufReader, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;
use muster_scaler_simulator::frontier::{Frontier, Options, Progress, frontier};
use muster_scaler_simulator::plot::Picture;
use muster_scaler_simulator::policy::MusterSettings;
use muster_scaler_simulator::{Load, Rule, table, text};

use crate::text::print;
use crate::{CommandResult, Failure};

/// What the savings of look-ahead are measured against: the least share of hours.
const BAR: f64 = 0.15;

/// Which world, which jobs, which rules.
#[derive(Debug, Args)]
#[command(
    after_help = "Every rule runs over the same days of jobs, drawn anew for each seed, or over the
jobs of a table. What is compared is how long jobs wait and how many hours of temporary servers that
takes; each rule has its own settings tried, and those that another setting of it beats in both are
marked. A simulated world is kinder than the real one to all rules alike.

The table of --jobs has the columns arrival,pipeline,stage,name,tags,duration; `muster scaler export`
writes one. --options takes everything that the simulator knows, as TOML; `--print-options` prints it.

Examples:
  muster scaler simulate                                 Muster beside the rules of others
  muster scaler simulate --policy muster --policy taskscaler --seeds 20 --plot frontier.svg
  muster scaler simulate --jobs jobs.csv --hosts 6 --host-slots 4 --boot 90s
  muster scaler simulate --policy muster --idle-time 60s --idle-time 5m"
)]
pub(super) struct SimulateArgs {
    #[command(flatten)]
    pub(super) rules: RuleArgs,
    /// How many times, each with other chances.
    #[arg(long, value_name = "COUNT", default_value_t = 5)]
    seeds: u64,
    /// A table of real jobs instead of synthetic ones.
    #[arg(long, value_name = "FILE")]
    jobs: Option<PathBuf>,
    /// How many days of synthetic jobs, from a Monday.
    #[arg(long, value_name = "COUNT", default_value_t = 2)]
    days: u32,
    /// Synthetic jobs of a working day.
    #[arg(long, value_name = "COUNT")]
    jobs_per_day: Option<f64>,
    /// Synthetic pipelines have 1 to so many stages.
    #[arg(long, value_name = "COUNT")]
    stages: Option<u32>,
    /// Permanent hosts.
    #[arg(long, value_name = "COUNT")]
    hosts: Option<u32>,
    /// How many jobs a permanent host runs at a time.
    #[arg(long, value_name = "COUNT")]
    host_slots: Option<u32>,
    /// How many jobs a temporary server runs at a time.
    #[arg(long, value_name = "COUNT")]
    server_slots: Option<u32>,
    /// How long a server takes until it takes jobs, on average.
    #[arg(long, value_name = "DURATION")]
    boot: Option<muster_options::Duration>,
    /// A file with the simulator's options, as TOML; flags go before it.
    #[arg(long, value_name = "FILE")]
    options: Option<PathBuf>,
    /// Print the options as TOML and end.
    #[arg(long)]
    print_options: bool,
}

/// Which rules, and how to show what came of them.
#[derive(Clone, Debug, Args)]
pub(super) struct RuleArgs {
    /// Only these rules: muster, taskscaler, docker-machine, hpa, keda, cluster-autoscaler, fixed; may
    /// be given several times.
    #[arg(long, value_name = "NAME")]
    policy: Vec<String>,
    /// Muster with this `idle_time` instead of several; may be given several times.
    #[arg(long, value_name = "DURATION")]
    idle_time: Vec<muster_options::Duration>,
    /// Draw a plot, as SVG.
    #[arg(long, value_name = "FILE")]
    plot: Option<PathBuf>,
    /// Print JSON, with every run.
    #[arg(long)]
    pub(super) json: bool,
}

pub(super) fn simulate(args: &SimulateArgs) -> CommandResult {
    let mut options = match &args.options {
        None => Options::default(),
        Some(path) => read_options(path)?,
    };
    options.seeds = args.seeds.clamp(1, 10_000);
    if args.options.is_none() {
        options.synthetic.days = args.days;
    }
    let synthetic = &mut options.synthetic;
    synthetic.jobs_per_day = args.jobs_per_day.unwrap_or(synthetic.jobs_per_day);
    synthetic.stages = args.stages.unwrap_or(synthetic.stages);
    for pool in &mut options.world.pools {
        pool.permanent_hosts = args.hosts.unwrap_or(pool.permanent_hosts);
        pool.permanent_slots = args.host_slots.unwrap_or(pool.permanent_slots);
        pool.server_slots = args.server_slots.unwrap_or(pool.server_slots);
        pool.boot_seconds = args
            .boot
            .map_or(pool.boot_seconds, |boot| boot.as_secs_f64());
    }
    args.rules.choose(&mut options.rules)?;
    if args.print_options {
        let text = toml::to_string(&options).map_err(Failure::failed)?;
        print(&text)?;
        return Ok(ExitCode::SUCCESS);
    }
    let load = args.jobs.as_deref().map(read_jobs).transpose()?;
    if let Some(path) = &args.jobs {
        options.name = path.display().to_string();
    }
    compare(&options, load.as_ref(), &args.rules)
}

/// Runs all, and shows what came of it.
pub(super) fn compare(options: &Options, load: Option<&Load>, args: &RuleArgs) -> CommandResult {
    let shows = std::io::stderr().is_terminal();
    let mut progress = |Progress { done, all }: Progress| {
        if shows {
            eprint!("\r{done} of {all} runs");
            let _ = std::io::stderr().flush();
        }
        true
    };
    let compared = frontier(options, load, &mut progress);
    if shows {
        eprint!("\r\x1b[K");
    }
    let Some(compared) = compared else {
        return Ok(ExitCode::FAILURE);
    };
    if let Some(path) = &args.plot {
        let picture = Picture::of(&compared).svg(&compared);
        std::fs::write(path, picture).map_err(|error| {
            Failure::Unusable(format!("failed to write {}: {error}", path.display()))
        })?;
    }
    if args.json {
        let text = serde_json::to_string_pretty(&compared).map_err(Failure::failed)?;
        print(&(text + "\n"))?;
    } else {
        print(&words(&compared))?;
    }
    Ok(ExitCode::SUCCESS)
}

fn words(compared: &Frontier) -> String {
    let options = &compared.options;
    let mut out = format!("{}, {} seeds\n\n", options.name, options.seeds);
    out.push_str(&text::table(compared));
    if let Some(saving) = compared.saving("Muster", "taskscaler") {
        out.push('\n');
        out.push_str(&text::saving(&saving, BAR));
    }
    out
}

impl RuleArgs {
    /// Whether no rule is asked for.
    pub(super) fn is_empty(&self) -> bool {
        self.policy.is_empty() && self.idle_time.is_empty()
    }

    /// Leaves the rules that are asked for.
    pub(super) fn choose(&self, rules: &mut Vec<Rule>) -> Result<(), Failure> {
        if !self.idle_time.is_empty() {
            rules.retain(|rule| !matches!(rule, Rule::Muster(_)));
            rules.extend(self.idle_time.iter().map(|time| {
                Rule::Muster(MusterSettings {
                    idle_time: u32::try_from(time.as_secs()).unwrap_or(u32::MAX),
                    ..MusterSettings::default()
                })
            }));
        }
        if self.policy.is_empty() {
            return Ok(());
        }
        let known: Vec<String> = rules.iter().map(|rule| word(rule).to_owned()).collect();
        for wanted in &self.policy {
            if !known.contains(wanted) {
                let near = muster_options::suggest(wanted, known.iter().map(String::as_str));
                let hint = near.map_or(String::new(), |near| format!("; did you mean `{near}`?"));
                return Err(Failure::Usage(format!("there is no rule `{wanted}`{hint}")));
            }
        }
        rules.retain(|rule| self.policy.iter().any(|wanted| wanted == word(rule)));
        Ok(())
    }
}

/// The rule's name on the command line.
const fn word(rule: &Rule) -> &'static str {
    match rule {
        Rule::Fixed(_) => "fixed",
        Rule::DockerMachine(..) => "docker-machine",
        Rule::Taskscaler(_) | Rule::TaskscalerIdle(..) | Rule::TaskscalerPreemptive(..) => {
            "taskscaler"
        }
        Rule::Hpa(..) => "hpa",
        Rule::Keda(..) => "keda",
        Rule::ClusterAutoscaler(_) => "cluster-autoscaler",
        Rule::Muster(_) => "muster",
    }
}

fn read_options(path: &Path) -> Result<Options, Failure> {
    let unusable = |error: &dyn std::fmt::Display| {
        Failure::Unusable(format!("failed to read {}: {error}", path.display()))
    };
    let text = std::fs::read_to_string(path).map_err(|error| unusable(&error))?;
    toml::from_str(&text).map_err(|error| unusable(&error))
}

fn read_jobs(path: &Path) -> Result<Load, Failure> {
    let unusable =
        |error: &dyn std::fmt::Display| Failure::Unusable(format!("{}: {error}", path.display()));
    let file =
        File::open(path).map_err(|error| unusable(&format!("failed to open it: {error}")))?;
    table::read(BufReader::new(file)).map_err(|error| unusable(&format!("failed to {error}")))
}
