//! `execd`: keeps a command running and writes metrics to its standard input.
//!
//! The command runs in a process group of its own and is started again when it ends. What it prints
//! is logged. A batch counts as written when the system has taken it for the command; nothing tells
//! whether the command read it. When the output ends, the command's input is closed and it gets a
//! moment to finish.

#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::{Duration as StdDuration, Instant};

use async_trait::async_trait;
use muster_formats::Serializer;
use muster_metric::Metrics;
use muster_options::{Duration, JsonSchema};
use muster_plugin::{
    Build, BuildContext, Built, ComponentId, FormatUse, Options, Output, OutputContext,
    PluginError, PluginRow, StartContext, WriteError,
};
use muster_process::{Child, Command, Lines};
use muster_tasks::Group;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncRead, AsyncWriteExt};

use crate::encode::encode;
use crate::exec::{command, find};

/// The most that is kept of a line that the command prints.
const LINE: usize = 4096;

/// How long the command may take to finish when its input was closed.
const FAREWELL: StdDuration = StdDuration::from_secs(2);

/// The plugin's row.
pub(crate) const ROW: PluginRow = PluginRow {
    name: "execd",
    summary: "keeps a command running and writes metrics to its standard input",
    options: ExecdOptions::describe,
    format: FormatUse::Serializer("influx"),
    build: Build::Output(build),
};

/// Keeps a command running and writes metrics to its standard input.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
struct ExecdOptions {
    /// The program and its arguments.
    command: Vec<String>,
    /// Variables for its environment, as `KEY=value`.
    environment: Vec<String>,
    /// How long to wait before it is started again when it has ended.
    restart_delay: Duration,
    /// Writes each batch as one document, for formats that can (`json`); they read this too.
    use_batch_format: bool,
}

impl Default for ExecdOptions {
    fn default() -> Self {
        Self {
            command: Vec::new(),
            environment: Vec::new(),
            restart_delay: Duration::from_secs(10),
            use_batch_format: false,
        }
    }
}

struct Execd {
    options: ExecdOptions,
    command: Command,
    serializer: Arc<dyn Serializer>,
    buffer: Vec<u8>,
    group: Option<Group>,
    child: Option<Child>,
    started: Option<Instant>,
}

fn build(cx: &BuildContext) -> Built<Box<dyn Output>> {
    let options = ExecdOptions::parse(cx.options())?;
    let command = command(&options.command, &options.environment)?;
    let (serializer, buffer) = (cx.serializer()?, Vec::new());
    let (group, child, started) = (None, None, None);
    Ok(Box::new(Execd {
        options,
        command,
        serializer,
        buffer,
        group,
        child,
        started,
    }))
}

impl Execd {
    fn failed(&self, what: &str) -> PluginError {
        PluginError::new(format!("{what} {}", self.command.line()))
    }

    /// The child that runs, or a new one if it is time for one. It is taken out: if the write is
    /// given up half-way the child is dropped with it, so that no torn record is followed by more.
    fn take_child(&mut self, id: &ComponentId) -> Result<Child, PluginError> {
        let ended = match self.child.take() {
            None => None,
            Some(child) => match child.exit() {
                None => return Ok(child),
                Some(exit) => Some(exit),
            },
        };
        let waited = self.started.map(|at| at.elapsed());
        let left = waited.and_then(|waited| self.options.restart_delay.get().checked_sub(waited));
        if let Some(left) = left.filter(|left| !left.is_zero()) {
            let how = ended.map(|exit| format!(" ({exit})")).unwrap_or_default();
            let left = left.as_secs_f64();
            let what = format!("write: the command has ended{how}, next start in {left:.1} s:");
            return Err(self.failed(&what));
        }
        let group = self
            .group
            .as_ref()
            .ok_or_else(|| self.failed("write before start:"))?;
        self.started = Some(Instant::now());
        let child = self.command.spawn(group);
        let mut child = child.map_err(|error| PluginError::new("write").because(error))?;
        let (id, program) = (id.clone(), self.command.program().to_owned());
        let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
        let logged = group.go("log of a child", async move {
            tokio::join!(
                log(&id, &program, stdout, false),
                log(&id, &program, stderr, true)
            );
        });
        logged.map_err(|why| self.failed("log what is printed by").because(why))?;
        Ok(child)
    }
}

/// Logs what the command prints.
async fn log(
    id: &ComponentId,
    program: &str,
    from: Option<impl AsyncRead + Unpin>,
    complaints: bool,
) {
    let Some(from) = from else { return };
    let mut lines = Lines::new(from, LINE);
    while let Ok(Some(line)) = lines.next().await {
        let text = String::from_utf8_lossy(&line.text);
        if complaints {
            tracing::error!(%id, program, "{text}");
        } else {
            tracing::info!(%id, program, "{text}");
        }
    }
}

#[async_trait]
impl Output for Execd {
    async fn start(&mut self, cx: &StartContext) -> Result<(), PluginError> {
        self.group = Some(cx.group().clone());
        find(&self.command)
    }

    async fn write(&mut self, cx: &OutputContext, metrics: &Metrics) -> Result<(), WriteError> {
        self.buffer.clear();
        encode(&*self.serializer, metrics, &mut self.buffer);
        let mut child = self.take_child(cx.id())?;
        if let Some(stdin) = &mut child.stdin {
            let mut result = stdin.write_all(&self.buffer).await;
            if result.is_ok() {
                result = stdin.flush().await;
            }
            if let Err(error) = result {
                let exit = child.stop().await;
                let how = format!("{error} ({exit})");
                return Err(self.failed("write to").because(how).into());
            }
        }
        self.child = Some(child);
        Ok(())
    }

    async fn close(&mut self, cx: &OutputContext) -> Result<(), PluginError> {
        if let Some(mut child) = self.child.take() {
            child.stdin = None;
            let patience = FAREWELL.min(cx.timeout() / 2);
            let _ = tokio::time::timeout(patience, child.wait()).await;
            child.stop().await;
        }
        Ok(())
    }
}
