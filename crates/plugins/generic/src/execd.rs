//! `execd`: keeps a command running and reads metrics from what it prints.
//!
//! The command prints metrics when it likes, or each time it is asked: by a newline on its standard
//! input or by a signal each interval. It runs in a process group of its own, is started again when
//! it ends, and is ended with the input.

#[cfg(test)]
mod tests;

use std::convert::Infallible;
use std::future::pending;

use async_trait::async_trait;
use muster_metric::Batch;
use muster_options::{Duration, JsonSchema, OptionError, Size};
use muster_plugin::{
    Build, BuildContext, Built, FormatUse, Options, PluginError, PluginRow, ServiceContext,
    ServiceInput, StartContext,
};
use muster_process::{Child, Command, Exit, Lines, Signal};
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::process::{ChildStderr, ChildStdin, ChildStdout};

use crate::feed::Feed;

/// How long the last words of a child that has ended are waited for.
const LAST_WORDS: std::time::Duration = std::time::Duration::from_millis(300);

/// The most that is kept of a line of complaints.
const COMPLAINT: usize = 4096;

/// The plugin's row.
pub(crate) const ROW: PluginRow = PluginRow {
    name: "execd",
    summary: "keeps a command running and reads metrics from what it prints",
    options: ExecdOptions::describe,
    format: FormatUse::Parser("influx"),
    build: Build::Service(build),
};

/// Keeps a command running and reads metrics from what it prints.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
struct ExecdOptions {
    /// The program and its arguments.
    command: Vec<String>,
    /// Variables for its environment, as `KEY=value`.
    environment: Vec<String>,
    /// How it is asked for metrics each interval: `none` (it prints when it likes), `STDIN` (a
    /// newline), `SIGHUP`, `SIGUSR1` or `SIGUSR2`.
    signal: Poke,
    /// How long to wait before it is started again when it has ended.
    restart_delay: Duration,
    /// The most that is kept of what it prints while a record is not complete.
    buffer_size: Size,
    /// Does not start it again when it has ended with an exit code that is not 0.
    stop_on_error: bool,
}

impl Default for ExecdOptions {
    fn default() -> Self {
        Self {
            command: Vec::new(),
            environment: Vec::new(),
            signal: Poke::None,
            restart_delay: Duration::from_secs(10),
            buffer_size: Size::from_kib(64),
            stop_on_error: false,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
enum Poke {
    #[serde(rename = "none", alias = "")]
    None,
    #[serde(rename = "STDIN")]
    Stdin,
    #[serde(rename = "SIGHUP")]
    Hup,
    #[serde(rename = "SIGUSR1")]
    Usr1,
    #[serde(rename = "SIGUSR2")]
    Usr2,
}

struct Execd {
    options: ExecdOptions,
    command: Command,
    feed: Feed,
}

fn build(cx: &BuildContext) -> Built<Box<dyn ServiceInput>> {
    let options = ExecdOptions::parse(cx.options())?;
    let mut errors = Vec::new();
    let variables = options.environment.iter().map(String::as_str);
    let command = match Command::new(options.command.clone()).map(|c| c.environment(variables)) {
        Ok(Ok(command)) => Some(command),
        Ok(Err(error)) => {
            errors.push(OptionError::new("environment", error.to_string()));
            None
        }
        Err(error) => {
            errors.push(OptionError::new("command", error.to_string()));
            None
        }
    };
    let feed = Feed::new(cx.parser()?, "execd");
    match command {
        Some(command) => Ok(Box::new(Execd {
            options,
            command,
            feed,
        })),
        None => Err(errors),
    }
}

/// Why a child is no longer attended to.
enum End {
    Cancelled,
    Exited(Exit),
}

impl Execd {
    /// Runs one child until it ends or the input does.
    async fn attend(&self, cx: &ServiceContext) -> Result<End, PluginError> {
        let failed = |error| PluginError::new("keep a command running").because(error);
        let mut child = self.command.spawn(&cx.group()).map_err(failed)?;
        let (stdin, stdout, stderr) =
            (child.stdin.take(), child.stdout.take(), child.stderr.take());
        let ended = {
            let read = self.read(cx, stdout);
            let log = log(cx, self.command.program(), stderr);
            let poke = self.poke(cx, &child, stdin);
            tokio::pin!(read, log, poke);
            let mut exit = child.exited();
            tokio::select! {
                () = cx.cancelled() => None,
                () = &mut read => Some(()),
                exit = exit.wait() => {
                    let _ = exit;
                    let _ = tokio::time::timeout(LAST_WORDS, &mut read).await;
                    Some(())
                }
                never = log => match never {},
                never = poke => match never {},
            }
        };
        let exit = child.stop().await;
        Ok(ended.map_or(End::Cancelled, |()| End::Exited(exit)))
    }

    /// Reads to the end of the child's output.
    async fn read(&self, cx: &ServiceContext, stdout: Option<ChildStdout>) {
        let Some(mut stdout) = stdout else { return };
        let (most, source) = (
            self.options.buffer_size.as_usize().max(1),
            self.command.line(),
        );
        let mut buffer = Vec::new();
        // Inside of a record that was too long.
        let mut skipping = false;
        loop {
            buffer.reserve(8192);
            let count = match stdout.read_buf(&mut buffer).await {
                Ok(count) => count,
                Err(error) => {
                    return cx
                        .report(PluginError::new(format!("read from {source}")).because(error));
                }
            };
            if skipping {
                let end = memchr::memchr(b'\n', &buffer).map_or(buffer.len(), |at| at + 1);
                skipping = !buffer[..end].ends_with(b"\n");
                buffer.drain(..end);
            }
            let whole = match count {
                0 => buffer.len(), // The last line needs no newline.
                _ => self.feed.complete_len(&buffer).min(buffer.len()),
            };
            if whole > 0 {
                let mut batch = Batch::new();
                self.feed
                    .records(&buffer[..whole], &source, &mut batch, |e| cx.report(e));
                buffer.drain(..whole);
                cx.emit(batch).await;
            }
            if buffer.len() > most {
                let what = format!("read from {source}: a record is longer than buffer_size");
                cx.report(PluginError::new(what));
                skipping = !buffer.ends_with(b"\n");
                buffer.clear();
            }
            if count == 0 {
                return;
            }
        }
    }

    /// Asks the child for metrics each interval, if it is to be asked.
    async fn poke(
        &self,
        cx: &ServiceContext,
        child: &Child,
        mut stdin: Option<ChildStdin>,
    ) -> Infallible {
        let signal = match self.options.signal {
            Poke::None => pending().await,
            Poke::Stdin => None,
            Poke::Hup => Some(Signal::HUP),
            Poke::Usr1 => Some(Signal::USR1),
            Poke::Usr2 => Some(Signal::USR2),
        };
        let mut ticks = tokio::time::interval(cx.interval());
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
        // Signals before the child has set up its handlers would end it.
        ticks.tick().await;
        loop {
            ticks.tick().await;
            let asked = match (signal, &mut stdin) {
                (Some(signal), _) => child.signal(signal),
                (None, Some(stdin)) => stdin.write_all(b"\n").await,
                (None, None) => Ok(()),
            };
            if let Err(error) = asked {
                let what = format!("ask {} for metrics", self.command.line());
                cx.report(PluginError::new(what).because(error));
            }
        }
    }
}

/// Logs the child's complaints, at the level that they begin with (`E!`, `W!`, `I!`, `D!`).
async fn log(cx: &ServiceContext, program: &str, stderr: Option<ChildStderr>) -> Infallible {
    if let Some(stderr) = stderr {
        let mut lines = Lines::new(stderr, COMPLAINT);
        while let Ok(Some(line)) = lines.next().await {
            let (id, text) = (cx.id(), String::from_utf8_lossy(&line.text));
            match text.split_at_checked(3) {
                Some(("W! ", text)) => tracing::warn!(%id, program, "{text}"),
                Some(("I! ", text)) => tracing::info!(%id, program, "{text}"),
                Some(("D! " | "T! ", text)) => tracing::debug!(%id, program, "{text}"),
                Some(("E! ", text)) => tracing::error!(%id, program, "{text}"),
                _ => tracing::error!(%id, program, "{text}"),
            }
        }
    }
    pending().await
}

#[async_trait]
impl ServiceInput for Execd {
    async fn start(&mut self, _: &StartContext) -> Result<(), PluginError> {
        let program = self.command.program();
        let failed = PluginError::io(format!("find the program {program}"));
        self.command.find().map(|_| ()).map_err(failed)
    }

    async fn run(&mut self, cx: &ServiceContext) -> Result<(), PluginError> {
        loop {
            match self.attend(cx).await {
                Ok(End::Cancelled) => return Ok(()),
                // The child is told of the end, too, and perhaps earlier.
                Ok(End::Exited(_)) if cx.tasks().is_cancelled() => return Ok(()),
                Ok(End::Exited(exit)) => {
                    let what = format!("keep {} running: {exit}", self.command.line());
                    cx.report(PluginError::new(what));
                    if self.options.stop_on_error && !exit.is_success() {
                        cx.cancelled().await;
                        return Ok(());
                    }
                }
                Err(error) => cx.report(error),
            }
            tokio::select! {
                () = cx.cancelled() => return Ok(()),
                () = tokio::time::sleep(self.options.restart_delay.get()) => {}
            }
        }
    }
}
