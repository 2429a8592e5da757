//! `muster input test`.

use std::process::ExitCode;

use clap::Args;
use http::Method;
use muster_config::derive_id;
use muster_control::api::TriedView;
use muster_plugin::{Kind, Registry};
use serde_json::{Value, json};

use super::{names, path, with_near_id};
use crate::args::ClientArgs;
use crate::client::{Answer, Body};
use crate::key_values::{self, to_json};
use crate::session::Session;
use crate::text::{print, printable};
use crate::{CommandResult, Failure};

/// What to try.
#[derive(Debug, Args)]
pub(crate) struct TestArgs {
    /// The ID of a component, or a plugin.
    #[arg(value_name = "ID|PLUGIN")]
    target: String,
    /// Options for the plugin.
    #[arg(value_name = "KEY=VALUE")]
    options: Vec<String>,
    #[command(flatten)]
    pub(crate) client: ClientArgs,
}

pub(crate) fn test(
    session: &Session,
    kind: Kind,
    args: &TestArgs,
    registry: &Registry,
) -> CommandResult {
    let answer = if args.options.is_empty() {
        let ids = std::slice::from_ref(&args.target);
        let what = format!("try {}", names(kind, ids));
        let path = format!("{}/test", path(kind, &args.target));
        match session.call(&what, Method::POST, &path, None) {
            Err(Failure::Refused { status: 404, .. })
                if registry.find(kind, &args.target).is_some() =>
            {
                try_plugin(session, kind, args)?
            }
            other => with_near_id(session, kind, ids, other)?,
        }
    } else {
        try_plugin(session, kind, args)?
    };
    let tried: TriedView = answer.to()?;
    if session.json {
        session.print_json(&answer.json()?)?;
    } else {
        print(&tried.metrics)?;
        for error in &tried.errors {
            eprintln!("muster: {}: {}", args.target, printable(error));
        }
        if tried.errors.is_empty() && tried.metrics.is_empty() {
            eprintln!("muster: {}: it brought no metric", args.target);
        }
    }
    Ok(if tried.errors.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

fn try_plugin(session: &Session, kind: Kind, args: &TestArgs) -> Result<Answer, Failure> {
    let plugin = &args.target;
    let options = key_values::table(&args.options).map_err(Failure::Usage)?;
    let id = derive_id(plugin, &options);
    let body: Value = json!({"plugin": plugin, "options": to_json(&options)});
    let path = format!("{}/test", path(kind, &id));
    session.call(
        &format!("try {plugin}"),
        Method::POST,
        &path,
        Some(Body::json(&body)),
    )
}
