//! `exec`: runs commands each interval and reads metrics from what they print.
//!
//! The commands run at the same time, each in a process group of its own that is killed as a whole
//! at the timeout, when the gather is given up, and when the command has ended.

#[cfg(test)]
mod tests;

use async_trait::async_trait;
use futures_util::future::join_all;
use muster_metric::Batch;
use muster_options::{Duration, JsonSchema, OptionError};
use muster_plugin::{
    Build, BuildContext, Built, FormatUse, GatherContext, Input, Options, PluginError, PluginRow,
};
use muster_process::{Command, Limits, Output, split};
use serde::{Deserialize, Serialize};

use crate::feed::Feed;
use crate::paths::FilePattern;

/// The plugin's row.
pub(crate) const ROW: PluginRow = PluginRow {
    name: "exec",
    summary: "runs commands each interval and reads metrics from what they print",
    options: ExecOptions::describe,
    format: FormatUse::Parser("json"),
    build: Build::Input(build),
};

/// Runs commands each interval and reads metrics from what they print.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
struct ExecOptions {
    /// The command lines. They are cut into words as by a shell, but no shell runs them: for pipes
    /// and variables write `sh -c '...'`. If the program's name is a pattern (`/opt/checks/*.sh`),
    /// each match is run.
    commands: Vec<String>,
    /// Variables for their environment, as `KEY=value`.
    environment: Vec<String>,
    /// How long each command may take.
    timeout: Duration,
    /// Reads what a command prints although its exit code is not 0.
    ignore_error: bool,
    /// Logs what the commands print to their standard error.
    log_stderr: bool,
}

impl Default for ExecOptions {
    fn default() -> Self {
        Self {
            commands: Vec::new(),
            environment: Vec::new(),
            timeout: Duration::from_secs(5),
            ignore_error: false,
            log_stderr: false,
        }
    }
}

struct Exec {
    options: ExecOptions,
    commands: Vec<Template>,
    feed: Feed,
}

/// A command whose program may be a pattern.
struct Template {
    program: FilePattern,
    arguments: Vec<String>,
}

fn build(cx: &BuildContext) -> Built<Box<dyn Input>> {
    let options = ExecOptions::parse(cx.options())?;
    let mut errors = Vec::new();
    if options.commands.is_empty() {
        errors.push(OptionError::new("commands", "no command to run"));
    }
    let mut commands = Vec::new();
    for (at, line) in options.commands.iter().enumerate() {
        match template(line) {
            Ok(command) => commands.push(command),
            Err(problem) => errors.push(OptionError::new(format!("commands[{at}]"), problem)),
        }
    }
    if let Ok(command) = Command::new(["any"])
        && let Err(error) = command.environment(options.environment.iter().map(String::as_str))
    {
        errors.push(OptionError::new("environment", error.to_string()));
    }
    let feed = Feed::new(cx.parser()?, "exec");
    if errors.is_empty() {
        Ok(Box::new(Exec {
            options,
            commands,
            feed,
        }))
    } else {
        Err(errors)
    }
}

fn template(line: &str) -> Result<Template, String> {
    let words = split(line).map_err(|error| error.to_string())?;
    // Only to see that it makes a command.
    Command::new(words.clone()).map_err(|error| error.to_string())?;
    let mut words = words.into_iter();
    let program = FilePattern::new(&words.next().unwrap_or_default());
    let program = program.map_err(|error| error.to_string())?;
    Ok(Template {
        program,
        arguments: words.collect(),
    })
}

impl Exec {
    /// The commands that stand for a template just now.
    fn commands(&self, cx: &GatherContext) -> Vec<Command> {
        let mut commands = Vec::new();
        for template in &self.commands {
            let mut programs = Vec::new();
            if template.program.is_pattern() {
                if let Err(error) = template.program.find(&mut programs) {
                    let what = format!("find a program by {}", template.program.text());
                    cx.report(PluginError::new(what).because(error));
                }
            } else {
                programs.push(template.program.text().into());
            }
            for program in programs {
                let program = program.to_string_lossy().into_owned();
                let words = std::iter::once(program).chain(template.arguments.iter().cloned());
                let variables = self.options.environment.iter().map(String::as_str);
                match Command::new(words).and_then(|command| command.environment(variables)) {
                    Ok(command) => commands.push(command),
                    Err(error) => cx.report(PluginError::new("make a command").because(error)),
                }
            }
        }
        commands
    }

    fn read(
        &self,
        command: &Command,
        output: &Output,
        batch: &mut Batch,
        cx: &GatherContext,
    ) -> Result<(), PluginError> {
        if self.options.log_stderr && !output.stderr.is_empty() {
            tracing::warn!(id = %cx.id(), command = command.line(), "{}", output.complaint());
        }
        if !output.exit.is_success() && !self.options.ignore_error {
            let (line, exit, complaint) = (command.line(), output.exit, output.complaint());
            let error = PluginError::new(format!("run {line}: {exit}"));
            return Err(if complaint.is_empty() {
                error
            } else {
                error.because(complaint)
            });
        }
        self.feed.document(&output.stdout, &command.line(), batch)
    }
}

#[async_trait]
impl Input for Exec {
    async fn gather(&mut self, cx: &GatherContext, batch: &mut Batch) -> Result<(), PluginError> {
        let commands = self.commands(cx);
        // A command's own timeout comes before that of the gather, which would give up the others.
        let timeout = self.options.timeout.get().min(cx.timeout().mul_f64(0.9));
        let limits = Limits {
            timeout,
            ..Limits::default()
        };
        let runs = commands
            .iter()
            .map(|command| command.run(cx.group(), &[], limits));
        let outputs = join_all(runs).await;
        let mut failures = Vec::new();
        for (command, output) in commands.iter().zip(outputs) {
            let read = match output {
                Ok(output) => self.read(command, &output, batch, cx),
                Err(error) => Err(PluginError::new("gather").because(error)),
            };
            failures.extend(read.err());
        }
        // If all failed, the last one is the gather's own failure.
        let all = failures.len() == commands.len();
        let last = if all { failures.pop() } else { None };
        failures.into_iter().for_each(|failure| cx.report(failure));
        last.map_or(Ok(()), Err)
    }
}
