//! `muster completions`.

use std::process::ExitCode;

use clap::Args;
use clap_complete::Shell;

use crate::text::print;
use crate::{CommandResult, Failure};

/// For which shell.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  muster completions bash > /etc/bash_completion.d/muster
  muster completions zsh > ~/.zfunc/_muster
  muster completions fish > ~/.config/fish/completions/muster.fish")]
pub(crate) struct CompletionsArgs {
    /// The shell.
    shell: Shell,
}

pub(crate) fn completions(args: &CompletionsArgs) -> CommandResult {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut crate::command(), "muster", &mut script);
    print(&String::from_utf8(script).map_err(Failure::failed)?)?;
    Ok(ExitCode::SUCCESS)
}
