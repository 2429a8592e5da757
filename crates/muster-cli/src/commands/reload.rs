//! `muster reload`.

use clap::Args;
use http::Method;

use crate::CommandResult;
use crate::args::ClientArgs;
use crate::session::Session;

/// Read the files again.
#[derive(Debug, Args)]
#[command(
    after_help = "Files that cannot be used change nothing: what ran runs on.

Example:
  muster reload"
)]
pub(crate) struct ReloadArgs {
    #[command(flatten)]
    pub(crate) client: ClientArgs,
}

pub(crate) fn reload(session: &Session) -> CommandResult {
    let answer = session.call("read the files again", Method::POST, "/api/v1/reload", None)?;
    session.present_change(&answer)
}
