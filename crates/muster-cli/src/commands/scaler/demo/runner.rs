//! What stands in for `gitlab-runner` on the hosts and servers of a demonstration.

use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use muster_gitlab::fleet::{Runner, run_until_signalled};
use muster_options::Secret;
use muster_tasks::Group;
use serde::Deserialize;

use super::stage::{BEAT, LONG_POLLING};
use crate::commands::run::runtime;
use crate::{CommandResult, Failure};

/// The words of `gitlab-runner` that the servers' script uses.
#[derive(Debug, Args)]
pub(crate) struct CloudRunnerArgs {
    /// `run`.
    verb: String,
    /// The runner's configuration.
    #[arg(long)]
    config: PathBuf,
    /// Where it works.
    #[arg(long)]
    working_directory: Option<PathBuf>,
    /// A file into which the address of its metrics is written.
    #[arg(long)]
    address_file: Option<PathBuf>,
}

/// What is needed of a runner's configuration.
#[derive(Debug, Deserialize)]
struct RunnerConfig {
    concurrent: u32,
    listen_address: String,
    runners: Vec<OneRunner>,
}

#[derive(Debug, Deserialize)]
struct OneRunner {
    name: String,
    url: String,
    token: String,
}

pub(crate) fn runner(args: &CloudRunnerArgs) -> CommandResult {
    if args.verb != "run" {
        return Err(Failure::Usage(format!("unknown verb {:?}", args.verb)));
    }
    let config = read(&args.config)?;
    let Some(one) = config.runners.first() else {
        return Err(Failure::Unusable(
            "the configuration has no runner".to_owned(),
        ));
    };
    let address = address(&config.listen_address)?;
    if let Some(path) = &args.address_file {
        std::fs::write(path, address.to_string()).map_err(|error| {
            Failure::Unusable(format!("failed to write {}: {error}", path.display()))
        })?;
    }
    let runner = Runner {
        url: one.url.clone(),
        token: Secret::new(&*one.token),
        system_id: format!("s_{}", one.name),
        slots: config.concurrent,
        metrics: Some(address),
        beat: BEAT,
        hold: LONG_POLLING + Duration::from_secs(1),
        pressure: None,
    };
    let runtime = runtime()?;
    let ran = runtime.block_on(async {
        let root = Group::root("runner");
        let ran = run_until_signalled(&root, runner).await;
        let _ = root.stop().await;
        ran
    });
    ran.map_err(|error| Failure::failed(format!("failed to run: {error}")))?;
    Ok(ExitCode::SUCCESS)
}

fn read(path: &Path) -> Result<RunnerConfig, Failure> {
    let unusable = |error: &dyn std::fmt::Display| {
        Failure::Unusable(format!("failed to read {}: {error}", path.display()))
    };
    let text = std::fs::read_to_string(path).map_err(|error| unusable(&error))?;
    toml::from_str(&text).map_err(|error| unusable(&error))
}

/// The address as it is configured; without a host in it, a free port of this machine, as many servers
/// share it.
fn address(configured: &str) -> Result<SocketAddr, Failure> {
    if let Ok(address) = configured.parse() {
        return Ok(address);
    }
    let free = TcpListener::bind(("127.0.0.1", 0)).and_then(|socket| socket.local_addr());
    free.map_err(|error| Failure::failed(format!("failed to find a free port: {error}")))
}
