//! `muster input rm`.

use clap::Args;
use muster_plugin::Kind;

use super::pause::steps;
use crate::CommandResult;
use crate::args::{ChangeArgs, ClientArgs};
use crate::session::Session;

/// What to remove.
#[derive(Debug, Args)]
pub(crate) struct RemoveArgs {
    /// The IDs.
    #[arg(value_name = "ID", required = true)]
    ids: Vec<String>,
    #[command(flatten)]
    change: ChangeArgs,
    #[command(flatten)]
    pub(crate) client: ClientArgs,
}

pub(crate) fn remove(session: &Session, kind: Kind, args: &RemoveArgs) -> CommandResult {
    steps(session, "remove", kind, &args.ids, &args.change)
}
