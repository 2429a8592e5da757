//! `muster scaler explain`.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use muster_control::api::{DecisionView, ScalerView};
use muster_scaler::Records;
use muster_scaler_core::Time;

use super::configured::now;
use crate::args::{ClientArgs, StateArgs};
use crate::commands::remote;
use crate::session::Session;
use crate::text::print;
use crate::{CommandResult, Failure};

/// Which decision.
#[derive(Debug, Args)]
#[command(
    after_help = "Shows what was seen and how old it was, the arithmetic of demand, each gate that
was passed or blocked, and what is to become of each server.

Examples:
  muster scaler explain
  muster scaler explain --at 2026-11-20T03:10:00Z
  muster scaler explain --at 10m                          ten minutes ago
  muster scaler explain --records /var/lib/muster/scaler  no agent runs"
)]
pub(super) struct ExplainArgs {
    /// The last decision at or before this time (RFC 3339), or so long ago (a duration).
    #[arg(long, value_name = "TIME", value_parser = time)]
    at: Option<Time>,
    /// Which scaler, if several run.
    #[arg(long, value_name = "ID")]
    id: Option<String>,
    /// Read the records in this directory (the option `state` of the scaler) instead of asking the
    /// agent.
    #[arg(long, value_name = "DIR", conflicts_with = "id")]
    records: Option<PathBuf>,
    #[command(flatten)]
    client: ClientArgs,
}

/// Reads a time, or how long ago.
pub(super) fn time(text: &str) -> Result<Time, String> {
    if let Ok(ago) = muster_options::parse_duration(text) {
        return Ok(now() - ago);
    }
    let read: Result<jiff::Timestamp, _> = text.parse();
    let read = read.map_err(|error| format!("neither a time nor a duration: {error}"))?;
    Ok(Time::from_millis(read.as_millisecond()))
}

pub(super) fn explain(args: &ExplainArgs, state: &StateArgs) -> CommandResult {
    let Some(directory) = &args.records else {
        return remote(&args.client, state, |session| ask(session, args));
    };
    let at = args.at.unwrap_or_else(now);
    let found = Records::at(directory, at);
    let found = found.map_err(|error| Failure::Unusable(format!("failed to {error}")))?;
    let Some(found) = found else {
        let message = format!(
            "no decision of that day or the day before is recorded in {}",
            directory.display()
        );
        return Err(Failure::Failed(message));
    };
    if args.client.json {
        let text = serde_json::to_string_pretty(&found.decision).map_err(Failure::failed)?;
        print(&(text + "\n"))?;
    } else {
        print(&found.decision.explained())?;
    }
    Ok(ExitCode::SUCCESS)
}

fn ask(session: &Session, args: &ExplainArgs) -> CommandResult {
    let id = which(session, args.id.as_deref())?;
    let at = args
        .at
        .map_or_else(String::new, |at| format!("?at={}", at.millis()));
    let path = format!(
        "/api/v1/scaler/{}/decision{at}",
        muster_net::path_segment(&id)
    );
    let answer = session.get("ask for the decision", &path)?;
    session.present(&answer, |view: &DecisionView, _| view.text.clone())
}

/// The scaler that is meant: the one that is named, or the only one.
pub(super) fn which(session: &Session, named: Option<&str>) -> Result<String, Failure> {
    if let Some(id) = named {
        return Ok(id.to_owned());
    }
    let all: Vec<ScalerView> = session.get("ask for the scalers", "/api/v1/scaler")?.to()?;
    match all.as_slice() {
        [one] => Ok(one.id.clone()),
        [] => Err(Failure::failed(
            "no scaler runs in this agent; it may be paused, or its mode is \"off\"",
        )),
        several => {
            let ids: Vec<&str> = several.iter().map(|view| view.id.as_str()).collect();
            Err(Failure::Usage(format!(
                "several scalers run; name one with --id: {}",
                ids.join(", ")
            )))
        }
    }
}
