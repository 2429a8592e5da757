//! `muster rollback`.

use clap::Args;
use http::Method;
use serde_json::json;

use crate::CommandResult;
use crate::args::ClientArgs;
use crate::client::Body;
use crate::session::Session;

/// Where to go back to.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  muster rollback 12 --dry-run
  muster rollback 12")]
pub(crate) struct RollbackArgs {
    /// The generation whose components are wanted again; a new generation is made of it.
    #[arg(value_name = "GEN")]
    generation: u64,
    /// Only say what it would do.
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    pub(crate) client: ClientArgs,
}

pub(crate) fn rollback(session: &Session, args: &RollbackArgs) -> CommandResult {
    let body = json!({"generation": args.generation, "dry_run": args.dry_run});
    let what = format!("go back to generation {}", args.generation);
    let answer = session.call(
        &what,
        Method::POST,
        "/api/v1/rollback",
        Some(Body::json(&body)),
    )?;
    session.present_change(&answer)
}
