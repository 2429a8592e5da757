//! `muster --test` and `muster --once`.

use std::collections::BTreeSet;
use std::io::Write;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use muster_config::{Config, ProcessEnvironment};
use muster_control::change::ChangeError;
use muster_engine::{Change, Engine, Round, States};
use muster_metric::line_protocol;
use muster_plugin::Registry;
use muster_tasks::{Group, StopOptions};

use crate::args::RunArgs;
use crate::{CommandResult, Failure, logging};

/// Gathers once. Fails if a gather failed or, with `--once`, if metrics were not written.
pub(crate) fn once(args: &RunArgs, registry: Arc<Registry>) -> CommandResult {
    let (config, warnings) = args.sources.load(&registry)?;
    logging::start(&config.agent, args)?;
    for warning in warnings {
        eprintln!("{}", warning.render(crate::sources::colored()).trim_end());
    }
    let runtime = super::run::runtime()?;
    let round = runtime.block_on(round(args, config, registry));
    runtime.shutdown_background();
    let round = round?;
    if !args.once {
        print_metrics(&round)?;
    }
    let mut failed = false;
    for (id, input) in round
        .inputs
        .iter()
        .filter(|(_, input)| input.errors + input.panics > 0)
    {
        let why = input
            .last_error
            .as_ref()
            .map_or("", |error| error.message.as_str());
        eprintln!("muster: {id}: {why}");
        failed = true;
    }
    for (id, unwritten) in &round.stopped.unwritten {
        eprintln!("muster: {id}: {unwritten} metrics were not written");
        failed = true;
    }
    Ok(if failed {
        ExitCode::FAILURE
    } else {
        ExitCode::SUCCESS
    })
}

async fn round(args: &RunArgs, config: Config, registry: Arc<Registry>) -> Result<Round, Failure> {
    let root = Group::root("muster");
    let engine = Engine::new(
        &root,
        registry,
        Arc::new(ProcessEnvironment),
        States::default(),
    );
    let within = config.agent.stop_timeout.get();
    let change = Change {
        put: config
            .definitions
            .into_iter()
            .filter(|d| !d.paused)
            .map(Arc::new)
            .collect(),
        remove: Vec::new(),
        agent: Arc::new(config.agent),
        global_tags: config.global_tags,
        lenient: BTreeSet::new(),
    };
    let wait = Duration::from_secs(args.test_wait);
    // `--once` wins over `--test`, as in Telegraf.
    let round = if args.once {
        engine.write_once(&change, wait, within).await
    } else {
        Engine::collect_once(&root, &engine, &change, wait, within).await
    };
    let _ = root.stop_with(StopOptions::grace(Duration::ZERO)).await;
    round.map_err(|refusals| Failure::failed(ChangeError::Refused(refusals)))
}

/// Prints metrics as Telegraf's `--test` does: line protocol with sorted fields behind `> `.
fn print_metrics(round: &Round) -> Result<(), Failure> {
    let writer = line_protocol::Writer {
        sort_fields: true,
        uint_support: true,
        ..Default::default()
    };
    let mut out = std::io::stdout().lock();
    let mut line = Vec::new();
    for metric in round.metrics.iter() {
        line.clear();
        line.extend_from_slice(b"> ");
        if writer.write(metric, &mut line).is_ok() {
            out.write_all(&line).map_err(Failure::failed)?;
        }
    }
    out.flush().map_err(Failure::failed)
}
