//! `muster config check|create`.

use std::process::ExitCode;

use muster_config::{ProcessEnvironment, SampleOptions, load, sample};
use muster_plugin::{Kind, Registry};
use serde_json::json;

use crate::args::{CheckArgs, ConfigCommand, CreateArgs};
use crate::sources::colored;
use crate::text::plural;
use crate::{CommandResult, Failure};

/// The tables of a configuration, in the order in which they are printed.
const SECTIONS: [&str; 7] = [
    "global_tags",
    "agent",
    "control",
    "outputs",
    "processors",
    "aggregators",
    "inputs",
];

pub(crate) fn config(command: ConfigCommand, registry: &Registry) -> CommandResult {
    match command {
        ConfigCommand::Check(args) => check(&args, registry),
        ConfigCommand::Create(args) => create(&args, registry),
    }
}

fn check(args: &CheckArgs, registry: &Registry) -> CommandResult {
    if args.sources.is_empty() {
        let why =
            "nothing to check: name a file with --config or a directory with --config-directory";
        return Err(Failure::Usage(why.into()));
    }
    args.sources.check_filters(registry)?;
    let (problems, components) =
        match load(&args.sources.load_options(), registry, &ProcessEnvironment) {
            Ok(loaded) => (loaded.warnings, Some(loaded.config.definitions.len())),
            Err(problems) => (problems.0, None),
        };
    if args.json {
        let shown: Vec<_> = problems.iter().map(|problem| json!(problem)).collect();
        println!("{}", json!({"ok": components.is_some(), "problems": shown}));
    } else {
        for problem in &problems {
            eprintln!("{}", problem.render(colored()).trim_end());
        }
        if let Some(components) = components {
            println!(
                "the configuration is fine: {}",
                plural(components, "component")
            );
        }
    }
    Ok(if components.is_some() {
        ExitCode::SUCCESS
    } else {
        ExitCode::from(3)
    })
}

fn create(args: &CreateArgs, registry: &Registry) -> CommandResult {
    let words = |lists: &[String]| -> Vec<String> {
        lists
            .iter()
            .flat_map(|l| l.split(':'))
            .map(str::to_owned)
            .collect()
    };
    let mut plugins = Vec::new();
    for (kind, filter) in [
        (Kind::Input, &args.input_filter),
        (Kind::Output, &args.output_filter),
        (Kind::Processor, &args.processor_filter),
        (Kind::Aggregator, &args.aggregator_filter),
    ] {
        for name in words(filter) {
            if registry.find(kind, &name).is_none() {
                let near = registry.suggest(kind, &name);
                let hint =
                    near.map_or_else(String::new, |near| format!("; did you mean {near:?}?"));
                return Err(Failure::Usage(format!(
                    "there is no {kind} plugin {name:?}{hint}"
                )));
            }
            plugins.push((kind, name));
        }
    }
    let sections = words(&args.section_filter);
    if let Some(unknown) = sections.iter().find(|s| !SECTIONS.contains(&s.as_str())) {
        return Err(Failure::Usage(format!(
            "there is no section {unknown:?}; there are {}",
            SECTIONS.join(", ")
        )));
    }
    let options = SampleOptions { sections, plugins };
    print!("{}", sample(registry, &options));
    Ok(ExitCode::SUCCESS)
}
