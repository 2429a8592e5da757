//! The benchmark harness: `scripts/bench` builds and runs it.
//!
//! Each measurement is a file under `measure/` and gives rows for one table. A figure stands
//! beside a reference that was measured in the same run, in rounds that alternate, of which the
//! best counts: whatever else the machine does then meets both.

mod document;
mod machine;
mod measure;
mod row;
mod table;
mod usage;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use measure::parked_tasks::Kind;
use measure::{Failure, MEASUREMENTS, Setting};
use row::Row;

/// The product's allocator.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Measures Muster side by side with references and prints a table.
#[derive(Debug, Parser)]
#[command(name = "scripts/bench")]
struct Args {
    /// Print the rows as JSON.
    #[arg(long)]
    json: bool,
    /// Only this measurement; may be given several times. --list shows them.
    #[arg(long, value_name = "NAME")]
    only: Vec<String>,
    /// Show the measurements and what each is about.
    #[arg(long)]
    list: bool,
    /// Put the table into docs/benchmarks.md.
    #[arg(long, conflicts_with = "only")]
    write: bool,
    /// Measure also what takes half an hour: `scripts/test` on a clean checkout.
    #[arg(long)]
    slow: bool,
    /// The agent's binary; by default the one beside this program.
    #[arg(long, value_name = "FILE")]
    agent: Option<PathBuf>,
    #[command(subcommand)]
    part: Option<Part>,
}

/// Parts that need a process of their own; the program runs itself for them.
#[derive(Debug, Subcommand)]
enum Part {
    /// Park and stop tasks, print what that took.
    #[command(hide = true)]
    Parked { kind: Kind },
    /// Play Redis servers until killed.
    #[command(hide = true)]
    FakeRedis { port: u16 },
}

fn main() -> ExitCode {
    match run(&Args::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            tell(&format!("scripts/bench: {failure}"));
            ExitCode::FAILURE
        }
    }
}

fn run(args: &Args) -> Result<(), Failure> {
    match args.part {
        Some(Part::Parked { kind }) => {
            say(&measure::parked_tasks::in_this_process(kind)?.to_string());
            return Ok(());
        }
        Some(Part::FakeRedis { port }) => return measure::sentinel::fake::serve(port),
        None => {}
    }
    if args.list {
        for measurement in MEASUREMENTS {
            say(&format!("{:<16} {}", measurement.name, measurement.about));
        }
        return Ok(());
    }
    let wrong = |name: &&String| !MEASUREMENTS.iter().any(|m| m.name == name.as_str());
    if let Some(name) = args.only.iter().find(wrong) {
        return Err(format!("there is no measurement {name:?}; --list shows them").into());
    }
    let machine = machine::Machine::look();
    let setting = Setting {
        agent: agent_binary(args)?,
        slow: args.slow,
    };
    let mut rows = Vec::new();
    for measurement in MEASUREMENTS {
        if args.only.is_empty() || args.only.iter().any(|name| name == measurement.name) {
            tell(&format!(
                "measuring {}: {}",
                measurement.name, measurement.about
            ));
            rows.extend(measurement.run(&setting));
        }
    }
    let rows: Vec<Row> = rows;
    if args.json {
        say(&table::json(&rows, &machine).to_string());
    } else {
        say(&format!("{machine}\n\n{}", table::markdown(&rows)));
    }
    if args.write {
        let command = format!(
            "scripts/bench --write{}",
            if args.slow { " --slow" } else { "" }
        );
        tell(&format!(
            "wrote {}",
            document::write(&rows, &machine, &command)?.display()
        ));
    }
    Ok(())
}

fn agent_binary(args: &Args) -> Result<PathBuf, Failure> {
    match &args.agent {
        Some(path) => Ok(path.clone()),
        None => Ok(std::env::current_exe()?.with_file_name("muster")),
    }
}

#[expect(clippy::print_stdout, reason = "the table is what this program is for")]
fn say(text: &str) {
    println!("{text}");
}

#[expect(clippy::print_stderr, reason = "progress goes beside the table")]
fn tell(text: &str) {
    eprintln!("{text}");
}
