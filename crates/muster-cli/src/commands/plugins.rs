//! `muster plugins`.

use std::process::ExitCode;

use muster_control::api::describe_plugins;
use muster_plugin::{Kind, Registry};

use crate::args::PluginsArgs;
use crate::{CommandResult, Failure};

pub(crate) fn plugins(args: &PluginsArgs, registry: &Registry) -> CommandResult {
    let only: Option<Kind> = match &args.kind {
        None => None,
        Some(text) => Some(text.parse().map_err(|()| {
            let kinds = Kind::ALL.map(Kind::plural).join(", ");
            Failure::Usage(format!("there is no kind {text:?}; there are {kinds}"))
        })?),
    };
    let wanted = |kind: Kind| only.is_none_or(|only| only == kind);
    if args.json {
        let mut all = describe_plugins(registry);
        all.retain(|row| only.is_none_or(|only| row["kind"] == only.as_str()));
        let text = serde_json::to_string_pretty(&all).map_err(Failure::failed)?;
        println!("{text}");
        return Ok(ExitCode::SUCCESS);
    }
    let rows: Vec<_> = registry
        .rows()
        .iter()
        .filter(|row| wanted(row.kind()))
        .collect();
    let name = |row: &muster_plugin::PluginRow| format!("{}.{}", row.kind().table(), row.name);
    let width = rows
        .iter()
        .map(|row| name(row).len())
        .max()
        .unwrap_or_default();
    for row in rows {
        println!("{:width$}  {}", name(row), row.summary);
    }
    Ok(ExitCode::SUCCESS)
}
