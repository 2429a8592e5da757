//! The reference of the command line, made from the same description as its help.

use std::fmt::Write as _;

const HEAD: &str = "\
# The command line

<!-- Made from the command line's own description; do not edit. Make it anew with
     MUSTER_REGENERATE=1 cargo test -p muster-cli reference -->

`muster` alone runs the agent. The other commands check things, or talk to the agent that runs: over
the unix socket in its state directory, or over HTTP with `--api`.

## Exit codes

| code | meaning |
|---|---|
| 0 | all went well |
| 1 | something failed, or the agent refused it; for `muster status`: something is not well |
| 2 | the command line is wrong |
| 3 | a configuration or definition cannot be used |
| 4 | no agent can be reached |

With `--json` the standard output has the API's JSON: the answer, or, when the exit code is not 0, the
error with `code`, `message` and `problems`. The words for people are on the standard error output.
";

/// The help of all commands as one Markdown page.
pub fn reference() -> String {
    let mut command = crate::command().term_width(100);
    command.build();
    let mut page = HEAD.to_owned();
    add(&mut command, &mut page);
    page
}

fn add(command: &mut clap::Command, page: &mut String) {
    let name = command
        .get_bin_name()
        .unwrap_or(command.get_name())
        .to_owned();
    let help = command.render_help().to_string();
    let help: Vec<&str> = help.lines().map(str::trim_end).collect();
    // Writing to a string cannot fail.
    let _ = write!(
        page,
        "\n## {name}\n\n```text\n{}\n```\n",
        help.join("\n").trim_end()
    );
    for inner in command
        .get_subcommands_mut()
        .filter(|c| c.get_name() != "help")
    {
        add(inner, page);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_description_is_sound() {
        crate::command().debug_assert();
    }

    #[test]
    fn the_page_in_docs_is_fresh() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/reference/cli.md");
        let fresh = reference();
        if std::env::var_os("MUSTER_REGENERATE").is_some() {
            std::fs::write(path, &fresh).unwrap();
        }
        let kept = std::fs::read_to_string(path).unwrap_or_default();
        assert!(
            kept == fresh,
            "docs/reference/cli.md is stale; make it anew: \
             MUSTER_REGENERATE=1 cargo test -p muster-cli reference"
        );
    }
}
