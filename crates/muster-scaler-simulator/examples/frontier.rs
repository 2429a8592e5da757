//! Draws the frontier of the documentation, or measures how long a simulated day takes.
//!
//! ```text
//! cargo run --release -p muster-scaler-simulator --example frontier -- day
//! cargo run --release -p muster-scaler-simulator --example frontier -- plot FILE.svg [SEEDS]
//! cargo run --release -p muster-scaler-simulator --example frontier -- bars [SEEDS]
//! ```
#![allow(clippy::print_stdout, clippy::print_stderr)]

use std::time::Instant;

use muster_scaler_simulator::frontier::{Frontier, Options, frontier};
use muster_scaler_simulator::plot::Picture;
use muster_scaler_simulator::policy::{MusterSettings, Sight};
use muster_scaler_simulator::{Rule, Synthetic, World, simulate, text};

fn main() {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let seeds = |at: usize| {
        words
            .get(at)
            .and_then(|word| word.parse().ok())
            .unwrap_or(20)
    };
    match words.first().map(String::as_str) {
        Some("day") => day(),
        Some("plot") => plot(
            words.get(1).map_or("frontier.svg", String::as_str),
            seeds(2),
        ),
        Some("bars") => bars(seeds(1)),
        _ => eprintln!("say `day`, `plot FILE.svg [SEEDS]` or `bars [SEEDS]`"),
    }
}

/// How long a day of 50,000 jobs takes under each policy.
fn day() {
    let synthetic = Synthetic {
        days: 1,
        jobs_per_day: 50_000.0,
        projects: 100,
        ..Synthetic::default()
    };
    let began = Instant::now();
    let load = synthetic.draw(1);
    println!(
        "{} jobs drawn in {:.2} s",
        load.jobs(),
        began.elapsed().as_secs_f64()
    );
    let mut world = World::default();
    world.pools[0].permanent_hosts = 16;
    let mut rules = vec![Rule::Taskscaler(300), Rule::Hpa(0.75, 300)];
    for sight in [Sight::Metrics, Sight::Gitlab, Sight::Ahead] {
        for tick in [5, 10] {
            rules.push(Rule::Muster(MusterSettings {
                sight,
                tick,
                ..MusterSettings::default()
            }));
        }
    }
    for rule in rules {
        let began = Instant::now();
        let measured = simulate(&load, &world, rule.policy(&world).as_mut(), 1);
        println!(
            "{:.2} s: {}, {}: {} decisions, p95 {:.1} s, peak {} servers",
            began.elapsed().as_secs_f64(),
            rule.family(),
            rule.setting(),
            measured.decisions,
            measured.wait.p95,
            measured.peak
        );
    }
}

fn measure(options: &Options) -> Frontier {
    let mut shown = 0;
    let measured = frontier(options, None, &mut |progress| {
        let percent = 100 * progress.done / progress.all;
        if percent >= shown + 10 {
            shown = percent;
            eprintln!("{}: {percent} %", options.name);
        }
        true
    });
    measured.unwrap_or_else(|| Frontier {
        options: options.clone(),
        points: Vec::new(),
    })
}

/// All policies over their settings.
fn plot(file: &str, seeds: u64) {
    let options = Options {
        seeds,
        ..Options::default()
    };
    let frontier = measure(&options);
    print!("{}", text::table(&frontier));
    for sight in [Sight::Ahead, Sight::Gitlab, Sight::Metrics] {
        let settings = MusterSettings {
            sight,
            ..MusterSettings::default()
        };
        bar(&frontier, Rule::Muster(settings).family(), text::BAR_STAGES);
    }
    let svg = Picture::of(&frontier).svg(&frontier);
    if let Err(error) = std::fs::write(file, svg) {
        eprintln!("failed to write {file}: {error}");
    }
}

/// Muster against the taskscaler, with several boot times, stages and spreads of durations.
fn bars(seeds: u64) {
    for (stages, boot, name_sigma) in [
        (4, 25.0, 0.3),
        (4, 60.0, 0.3),
        (4, 180.0, 0.3),
        (4, 60.0, 0.8),
        (1, 60.0, 0.3),
        (1, 180.0, 0.3),
    ] {
        let rules = Options::default().rules.into_iter().filter(|rule| {
            matches!(rule, Rule::Taskscaler(_))
                || matches!(rule, Rule::Muster(settings) if settings.sight == Sight::Ahead)
        });
        let mut options = Options {
            name: format!("1 to {stages} stages, boot {boot} s, sigma of a name {name_sigma}"),
            rules: rules.collect(),
            seeds,
            ..Options::default()
        };
        options.synthetic.stages = stages;
        options.synthetic.name_sigma = name_sigma;
        options.world.pools[0].boot_seconds = boot;
        let frontier = measure(&options);
        println!("{}", options.name);
        print!("{}", text::table(&frontier));
        let least = if stages > 1 {
            text::BAR_STAGES
        } else {
            -text::BAR_SINGLE
        };
        bar(&frontier, "Muster", least);
        println!();
    }
}

/// What a family saves beside the taskscaler.
fn bar(frontier: &Frontier, family: &str, least: f64) {
    if let Some(saving) = frontier.saving(family, "taskscaler") {
        print!("{}", text::saving(&saving, least));
    }
}
