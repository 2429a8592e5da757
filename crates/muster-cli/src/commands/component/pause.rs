//! `muster input pause` and `muster input resume`.

use std::process::ExitCode;

use clap::Args;
use http::Method;
use muster_plugin::Kind;
use serde_json::{Value, json};

use super::{names, path, with_near_id};
use crate::args::{ChangeArgs, ClientArgs};
use crate::client::Body;
use crate::session::Session;
use crate::{CommandResult, Failure};

/// What is to rest.
#[derive(Debug, Args)]
pub(crate) struct PauseArgs {
    /// The IDs.
    #[arg(value_name = "ID", required = true)]
    ids: Vec<String>,
    #[command(flatten)]
    change: ChangeArgs,
    #[command(flatten)]
    pub(crate) client: ClientArgs,
}

/// What is to work again.
#[derive(Debug, Args)]
pub(crate) struct ResumeArgs {
    /// The IDs; several are resumed one after the other.
    #[arg(value_name = "ID", required = true)]
    ids: Vec<String>,
    #[command(flatten)]
    change: ChangeArgs,
    #[command(flatten)]
    pub(crate) client: ClientArgs,
}

pub(crate) fn pause(session: &Session, kind: Kind, args: &PauseArgs) -> CommandResult {
    steps(session, "pause", kind, &args.ids, &args.change)
}

pub(crate) fn resume(session: &Session, kind: Kind, args: &ResumeArgs) -> CommandResult {
    if args.ids.len() > 1 && args.change.base.is_some() {
        return Err(Failure::Usage(
            "--base goes with one ID: each is a change of its own".into(),
        ));
    }
    for id in &args.ids {
        let ids = std::slice::from_ref(id);
        // A dry run must not restart anything: as a step it only checks.
        if args.change.dry_run {
            steps(session, "resume", kind, ids, &args.change)?;
            continue;
        }
        let path = args.change.path(&format!("{}/resume", path(kind, id)));
        let what = format!("resume {}", names(kind, ids));
        let answer = session.call(&what, Method::POST, &path, None);
        let answer = with_near_id(session, kind, ids, answer)?;
        session.present_change(&answer)?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Does the same to several components, all of them or none.
pub(super) fn steps(
    session: &Session,
    op: &str,
    kind: Kind,
    ids: &[String],
    change: &ChangeArgs,
) -> CommandResult {
    let step = |id: &String| json!({"op": op, "kind": kind.as_str(), "id": id});
    let body = json!({"changes": ids.iter().map(step).collect::<Vec<Value>>()});
    let path = change.path("/api/v1/changes");
    let what = format!("{op} {}", names(kind, ids));
    let answer = session.call(&what, Method::POST, &path, Some(Body::json(&body)));
    let answer = with_near_id(session, kind, ids, answer)?;
    session.present_change(&answer)
}
