//! `muster input|processor|aggregator|output test`.

use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;
use http::Method;
use muster_config::derive_id;
use muster_control::api::{TriedView, TryBody};
use muster_plugin::{Kind, Registry};
use serde_json::json;

use super::{names, path, with_near_id};
use crate::args::ClientArgs;
use crate::client::{Answer, Body};
use crate::key_values::{self, to_json};
use crate::session::Session;
use crate::text::{plural, print, printable};
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
    /// What a processor, an aggregator or an output is given, as line protocol; lines without a
    /// time get the present one. `-` is the standard input, also if this is not given.
    #[arg(long, value_name = "FILE")]
    metrics: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) client: ClientArgs,
}

pub(crate) fn test(
    session: &Session,
    kind: Kind,
    args: &TestArgs,
    registry: &Registry,
) -> CommandResult {
    let metrics = metrics(kind, args.metrics.as_deref())?;
    let answer = if args.options.is_empty() {
        let ids = std::slice::from_ref(&args.target);
        let what = format!("try {}", names(kind, ids));
        let path = format!("{}/test", path(kind, &args.target));
        let body = TryBody {
            metrics: metrics.clone(),
            ..TryBody::default()
        };
        match session.call(&what, Method::POST, &path, Some(Body::json(&json!(body)))) {
            Err(Failure::Refused { status: 404, .. })
                if registry.find(kind, &args.target).is_some() =>
            {
                try_plugin(session, kind, args, metrics)?
            }
            other => with_near_id(session, kind, ids, other)?,
        }
    } else {
        try_plugin(session, kind, args, metrics)?
    };
    let tried: TriedView = answer.to()?;
    if session.json {
        session.print_json(&answer.json()?)?;
    } else {
        print(&tried.metrics)?;
        for error in &tried.errors {
            eprintln!("muster: {}: {}", args.target, printable(error));
        }
        match kind {
            Kind::Output => print(&format!("{} written\n", plural_metrics(tried.written)))?,
            _ if tried.errors.is_empty() && tried.metrics.is_empty() => {
                eprintln!("muster: {}: no metric came", args.target);
            }
            _ => {}
        }
    }
    Ok(if tried.errors.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

fn plural_metrics(number: u64) -> String {
    plural(usize::try_from(number).unwrap_or(usize::MAX), "metric")
}

/// What the component is given: nothing for what makes its metrics itself.
fn metrics(kind: Kind, given: Option<&Path>) -> Result<Option<String>, Failure> {
    match (kind, given) {
        (Kind::Publisher, _) => Err(Failure::Usage("publishers cannot be tried".to_owned())),
        (Kind::Input | Kind::Check, None) => Ok(None),
        (Kind::Input | Kind::Check, Some(_)) => Err(Failure::Usage(format!(
            "--metrics: the {kind} makes its metrics itself"
        ))),
        (_, None) if std::io::stdin().is_terminal() => Err(Failure::Usage(format!(
            "the {kind} must be given metrics: name a file with --metrics, or pipe line protocol in"
        ))),
        (_, given) => crate::input::read_text(given.unwrap_or(Path::new("-"))).map(Some),
    }
}

fn try_plugin(
    session: &Session,
    kind: Kind,
    args: &TestArgs,
    metrics: Option<String>,
) -> Result<Answer, Failure> {
    let plugin = &args.target;
    let options = key_values::table(&args.options).map_err(Failure::Usage)?;
    let path = format!("{}/test", path(kind, &derive_id(plugin, &options)));
    let body = TryBody {
        plugin: Some(plugin.clone()),
        options: to_json(&options),
        metrics,
    };
    session.call(
        &format!("try {plugin}"),
        Method::POST,
        &path,
        Some(Body::json(&json!(body))),
    )
}
