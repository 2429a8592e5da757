//! `muster flush`.

use std::process::ExitCode;

use clap::Args;
use http::Method;
use serde_json::json;

use crate::CommandResult;
use crate::args::ClientArgs;
use crate::session::Session;
use crate::text::print;

/// Write now.
#[derive(Debug, Args)]
#[command(after_help = "Example:
  muster flush")]
pub(crate) struct FlushArgs {
    #[command(flatten)]
    pub(crate) client: ClientArgs,
}

pub(crate) fn flush(session: &Session) -> CommandResult {
    session.call("flush the outputs", Method::POST, "/api/v1/flush", None)?;
    if session.json {
        session.print_json(&json!({}))?;
    } else {
        print("the outputs were told to write\n")?;
    }
    Ok(ExitCode::SUCCESS)
}
