//! `exec`: runs a command for each batch and gives it the metrics on its standard input.
//!
//! The command runs in a process group of its own that is killed as a whole at the timeout. If it
//! fails, the batch is tried again.

#[cfg(test)]
pub(crate) mod tests;

use std::sync::Arc;

use async_trait::async_trait;
use muster_formats::Serializer;
use muster_metric::{Chunk, Metrics};
use muster_options::{Duration, JsonSchema, OptionError};
use muster_plugin::{
    Build, BuildContext, Built, FormatUse, Options, Output, OutputContext, PluginError, PluginRow,
    StartContext, WriteError,
};
use muster_process::{Command, Limits};
use serde::{Deserialize, Serialize};

use crate::encode::encode;

/// The plugin's row.
pub(crate) const ROW: PluginRow = PluginRow {
    name: "exec",
    summary: "runs a command for each batch and gives it the metrics",
    options: ExecOptions::describe,
    format: FormatUse::Serializer("influx"),
    build: Build::Output(build),
};

/// Runs a command for each batch and gives it the metrics on its standard input.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
struct ExecOptions {
    /// The program and its arguments.
    command: Vec<String>,
    /// Variables for its environment, as `KEY=value`.
    environment: Vec<String>,
    /// How long it may take.
    timeout: Duration,
    /// Runs it once for each batch, given as one document in formats that can (`json`); otherwise
    /// once for each metric.
    use_batch_format: bool,
}

impl Default for ExecOptions {
    fn default() -> Self {
        Self {
            command: Vec::new(),
            environment: Vec::new(),
            timeout: Duration::from_secs(5),
            use_batch_format: true,
        }
    }
}

struct Exec {
    options: ExecOptions,
    command: Command,
    serializer: Arc<dyn Serializer>,
    buffer: Vec<u8>,
}

fn build(cx: &BuildContext) -> Built<Box<dyn Output>> {
    let options = ExecOptions::parse(cx.options())?;
    let command = command(&options.command, &options.environment)?;
    Ok(Box::new(Exec {
        options,
        command,
        serializer: cx.serializer()?,
        buffer: Vec::new(),
    }))
}

/// The command of the options `command` and `environment`.
pub(crate) fn command(words: &[String], environment: &[String]) -> Built<Command> {
    let wrong =
        |option: &str, error: &dyn ToString| vec![OptionError::new(option, error.to_string())];
    let command = Command::new(words).map_err(|error| wrong("command", &error))?;
    let variables = environment.iter().map(String::as_str);
    command
        .environment(variables)
        .map_err(|error| wrong("environment", &error))
}

impl Exec {
    async fn run(&mut self, cx: &OutputContext, metrics: &Metrics) -> Result<(), PluginError> {
        self.buffer.clear();
        encode(&*self.serializer, metrics, &mut self.buffer);
        if self.buffer.is_empty() {
            return Ok(());
        }
        let timeout = self.options.timeout.get().min(cx.timeout().mul_f64(0.9));
        let limits = Limits {
            timeout,
            ..Limits::default()
        };
        let output = self
            .command
            .run(&cx.tasks().group(), &self.buffer, limits)
            .await;
        let output = output.map_err(|error| PluginError::new("write").because(error))?;
        if output.exit.is_success() {
            return Ok(());
        }
        let error = PluginError::new(format!("run {}: {}", self.command.line(), output.exit));
        let complaint = output.complaint();
        Err(if complaint.is_empty() {
            error
        } else {
            error.because(complaint)
        })
    }
}

#[async_trait]
impl Output for Exec {
    async fn start(&mut self, _: &StartContext) -> Result<(), PluginError> {
        find(&self.command)
    }

    async fn write(&mut self, cx: &OutputContext, metrics: &Metrics) -> Result<(), WriteError> {
        if self.options.use_batch_format {
            return Ok(self.run(cx, metrics).await?);
        }
        for chunk in metrics.chunks() {
            for metric in chunk.iter() {
                let rows = vec![metric.row() as u32];
                let one = Metrics::from(Chunk::of_rows(Arc::clone(chunk.batch()), rows));
                self.run(cx, &one).await?;
            }
        }
        Ok(())
    }
}

/// Looks whether the program is there, to refuse the change early.
pub(crate) fn find(command: &Command) -> Result<(), PluginError> {
    let failed = PluginError::io(format!("find the program {}", command.program()));
    command.find().map(|_| ()).map_err(failed)
}
