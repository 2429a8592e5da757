//! `muster diff`.

use clap::Args;
use muster_control::api::DiffView;

use crate::CommandResult;
use crate::args::ClientArgs;
use crate::session::{Session, edits};
use crate::text::Style;

/// Which generations.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  muster diff 12         what changed since generation 12
  muster diff 12 14      what lies between the two")]
pub(crate) struct DiffArgs {
    /// From this generation.
    #[arg(value_name = "GEN")]
    from: u64,
    /// To this one; the present one if it is not given.
    #[arg(value_name = "GEN")]
    to: Option<u64>,
    #[command(flatten)]
    pub(crate) client: ClientArgs,
}

pub(crate) fn diff(session: &Session, args: &DiffArgs) -> CommandResult {
    let to = args.to.map_or_else(String::new, |to| format!("&to={to}"));
    let path = format!("/api/v1/diff?from={}{to}", args.from);
    let answer = session.get("compare the generations", &path)?;
    session.present(&answer, |view: &DiffView, style| words(view, style))
}

fn words(view: &DiffView, style: Style) -> String {
    let DiffView {
        from,
        to,
        edits: between,
    } = view;
    if between.is_empty() {
        return format!("the generations {from} and {to} are the same\n");
    }
    format!(
        "from generation {from} to {to}:\n{}",
        edits(between, style, false)
    )
}
