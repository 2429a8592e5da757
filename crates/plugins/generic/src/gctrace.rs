//! `gctrace`: reads what a Go program prints of its garbage collections, from files, a named pipe
//! or the program itself.
//!
//! It is `tail` or `execd` with the data format `gctrace`; a program's standard error output, where
//! Go traces to, is read with its standard output.

#[cfg(test)]
mod tests;

use async_trait::async_trait;
use muster_options::{Duration, JsonSchema, OptionError};
use muster_plugin::{
    Build, BuildContext, Built, FormatUse, Options, PluginError, PluginRow, ServiceContext,
    ServiceInput, StartContext,
};
use muster_process::Command;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use toml::Table;

use crate::{execd, tail};

/// The plugin's row.
pub(crate) const ROW: PluginRow = PluginRow {
    name: "gctrace",
    summary: "reads the garbage collections of Go programs, as GODEBUG=gctrace=1 prints them",
    options: GctraceOptions::describe,
    format: FormatUse::None,
    build: Build::Service(build),
};

/// Reads the garbage collections of Go programs.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
struct GctraceOptions {
    /// The files into which the programs print, as names or patterns. Their new lines are read.
    files: Vec<String>,
    /// The files are named pipes.
    pipe: bool,
    /// Reads files from their beginning.
    from_beginning: bool,
    /// A program with its arguments, to be kept running, in place of files. Both of its outputs are
    /// read, and `GODEBUG=gctrace=1` is set for it.
    command: Vec<String>,
    /// Variables for the program's environment, as `KEY=value`.
    environment: Vec<String>,
    /// How long to wait before the program is started again when it has ended.
    restart_delay: Duration,
    /// The name of the metrics.
    measurement: String,
}

impl Default for GctraceOptions {
    fn default() -> Self {
        Self {
            files: Vec::new(),
            pipe: false,
            from_beginning: false,
            command: Vec::new(),
            environment: Vec::new(),
            restart_delay: Duration::from_secs(10),
            measurement: "gctrace".to_owned(),
        }
    }
}

struct Gctrace {
    /// To be found at the start.
    command: Option<Command>,
    inner: Box<dyn ServiceInput>,
}

fn build(cx: &BuildContext) -> Built<Box<dyn ServiceInput>> {
    let options = GctraceOptions::parse(cx.options())?;
    let (row, command, mut table) = match (options.files.is_empty(), options.command.is_empty()) {
        (false, true) => (&tail::ROW, None, files(&options)),
        (true, false) => {
            let command = Command::new(options.command.clone());
            let wrong = |error: String| vec![OptionError::new("command", error)];
            let command = command.map_err(|error| wrong(error.to_string()))?;
            (&execd::ROW, Some(command), program(&options))
        }
        (true, true) => {
            let message = "either files or a command is needed";
            return Err(vec![OptionError::new("files", message)]);
        }
        (false, false) => {
            let message = "there are files already: either files or a command is read";
            return Err(vec![OptionError::new("command", message)]);
        }
    };
    table.insert("data_format".to_owned(), "gctrace".into());
    table.insert("gctrace_measurement".to_owned(), options.measurement.into());
    let cx = BuildContext::new(row, &table)?;
    let Build::Service(build) = row.build else {
        return Err(vec![OptionError::new("files", "cannot be followed")]);
    };
    let inner = build(&cx)?;
    Ok(Box::new(Gctrace { command, inner }))
}

/// The options of `tail`.
fn files(options: &GctraceOptions) -> Table {
    let mut table = Table::new();
    table.insert("files".to_owned(), options.files.clone().into());
    table.insert("pipe".to_owned(), options.pipe.into());
    table.insert("from_beginning".to_owned(), options.from_beginning.into());
    table
}

/// The options of `execd`.
fn program(options: &GctraceOptions) -> Table {
    // The shell only joins the outputs and then becomes the program.
    let mut command = ["sh", "-c", "exec \"$@\" 2>&1", "sh"]
        .map(str::to_owned)
        .to_vec();
    command.extend(options.command.iter().cloned());
    let mut environment = vec!["GODEBUG=gctrace=1".to_owned()];
    environment.extend(options.environment.iter().cloned());
    let mut table = Table::new();
    table.insert("command".to_owned(), command.into());
    table.insert("environment".to_owned(), environment.into());
    let delay = options.restart_delay.to_string();
    table.insert("restart_delay".to_owned(), delay.into());
    table
}

#[async_trait]
impl ServiceInput for Gctrace {
    async fn start(&mut self, cx: &StartContext) -> Result<(), PluginError> {
        if let Some(command) = &self.command {
            let failed = PluginError::io(format!("find the program {}", command.program()));
            command.find().map_err(failed)?;
        }
        self.inner.start(cx).await
    }

    async fn run(&mut self, cx: &ServiceContext) -> Result<(), PluginError> {
        self.inner.run(cx).await
    }

    fn state(&self) -> Option<Value> {
        self.inner.state()
    }

    fn restore(&mut self, state: Value) {
        self.inner.restore(state);
    }
}
