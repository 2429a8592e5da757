//! `muster scaler drain` and `undrain`.

use clap::Args;
use http::Method;
use muster_control::api::OrderedView;
use muster_net::path_segment;

use super::explain::which;
use crate::CommandResult;
use crate::args::ClientArgs;
use crate::session::Session;

/// Which server.
#[derive(Debug, Args)]
pub(super) struct OrderArgs {
    /// The server's name, as `muster scaler servers` shows it.
    #[arg(value_name = "NAME")]
    name: String,
    /// Which scaler, if several run.
    #[arg(long, value_name = "ID")]
    id: Option<String>,
    #[command(flatten)]
    pub(super) client: ClientArgs,
}

pub(super) fn drain(session: &Session, args: &OrderArgs) -> CommandResult {
    order(
        session,
        args,
        "drain",
        "is draining: it goes when it has no job",
    )
}

pub(super) fn undrain(session: &Session, args: &OrderArgs) -> CommandResult {
    order(session, args, "undrain", "takes jobs again")
}

fn order(session: &Session, args: &OrderArgs, verb: &str, then: &str) -> CommandResult {
    let id = which(session, args.id.as_deref())?;
    let (id, name) = (path_segment(&id), path_segment(&args.name));
    let path = format!("/api/v1/scaler/{id}/servers/{name}/{verb}");
    let answer = session.call(&format!("{verb} {}", args.name), Method::POST, &path, None)?;
    session.present(&answer, |view: &OrderedView, _| {
        format!("{} {then}\n", view.server)
    })
}
