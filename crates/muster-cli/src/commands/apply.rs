//! `muster apply`.

use std::path::PathBuf;

use clap::Args;
use http::Method;

use crate::CommandResult;
use crate::args::{ChangeArgs, ClientArgs};
use crate::client::Body;
use crate::session::Session;

/// Which changes to make.
#[derive(Debug, Args)]
#[command(
    after_help = "A configuration file adds its components or, where their IDs exist, sets them; nothing is removed. Its
[agent], [global_tags] and [control] are left out: those are the agent's own files' to say.
A change document (JSON) lists steps: add, set, put, patch, remove, pause, resume.

Examples:
  muster apply more-inputs.conf --dry-run
  muster apply more-inputs.conf --base 12 --message 'disks of the new host'
  echo '{\"changes\": [{\"op\": \"remove\", \"kind\": \"input\", \"id\": \"cpu\"}]}' | muster apply -"
)]
pub(crate) struct ApplyArgs {
    /// A configuration file (TOML), or a change document (.json); `-` is the standard input.
    file: PathBuf,
    #[command(flatten)]
    change: ChangeArgs,
    #[command(flatten)]
    pub(crate) client: ClientArgs,
}

pub(crate) fn apply(session: &Session, args: &ApplyArgs) -> CommandResult {
    let text = crate::input::read_text(&args.file)?;
    let named_json = args
        .file
        .extension()
        .is_some_and(|end| end.eq_ignore_ascii_case("json"));
    // No TOML begins with a brace.
    let is_json = named_json || text.trim_start().starts_with('{');
    let media_type = if is_json {
        "application/json"
    } else {
        "application/toml"
    };
    if !is_json {
        for table in left_out(&text) {
            let file = args.file.display();
            eprintln!("muster: {table} in {file} is left out: only components are applied");
        }
    }
    let file_name = Some(args.file.display().to_string()).filter(|name| name != "-");
    let body = Body {
        text,
        media_type,
        file_name,
    };
    let what = format!("apply {}", args.file.display());
    let path = args.change.path("/api/v1/changes");
    session.present_change(&session.call(&what, Method::POST, &path, Some(body))?)
}

/// The tables of a configuration that are no components.
fn left_out(text: &str) -> impl Iterator<Item = &str> {
    let tables = text.lines().filter_map(|line| {
        let line = line.trim_start();
        line.get(..=line.find(']')?)
    });
    tables.filter(|table| ["[agent]", "[global_tags]", "[tags]", "[control]"].contains(table))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_component_is_named() {
        let text = "# [agent]\n [agent] # x\ninterval = \"1s\"\n[[inputs.cpu]]\n[global_tags]\na = \"[tags]\"\n";
        assert_eq!(
            left_out(text).collect::<Vec<_>>(),
            ["[agent]", "[global_tags]"]
        );
    }
}
