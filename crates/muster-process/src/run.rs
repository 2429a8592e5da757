//! Running a command to its end.

use std::io;
use std::pin::pin;
use std::time::Duration;

use muster_tasks::Group;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};

use crate::{Child, Command, Exit};

/// How long the pipes are read after the command has ended: somebody who left its process group
/// may hold them open for ever.
const AFTERTHOUGHT: Duration = Duration::from_millis(200);

/// What a command may take.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Time.
    pub timeout: Duration,
    /// Bytes of output; more is a failure.
    pub stdout: usize,
    /// Bytes of complaints that are kept; more is read and thrown away.
    pub stderr: usize,
}

impl Default for Limits {
    /// Five seconds, 64 MiB of output, 4 KiB of complaints.
    fn default() -> Self {
        Self {
            timeout: Duration::from_secs(5),
            stdout: 64 << 20,
            stderr: 4 << 10,
        }
    }
}

/// What a command gave.
#[derive(Clone, Debug)]
pub struct Output {
    /// How it ended.
    pub exit: Exit,
    /// Its output.
    pub stdout: Vec<u8>,
    /// The beginning of its complaints.
    pub stderr: Vec<u8>,
}

impl Output {
    /// The beginning of the complaints as one short line, for messages.
    pub fn complaint(&self) -> String {
        let text = String::from_utf8_lossy(&self.stderr);
        let mut words: String = text.split_whitespace().collect::<Vec<_>>().join(" ");
        if let Some((end, _)) = words.char_indices().nth(400) {
            words.truncate(end);
            words.push_str("...");
        }
        words
    }
}

/// Why a command was not run to its end.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// It could not be started.
    #[error("start {command}")]
    Start {
        /// The command line.
        command: String,
        /// Why.
        source: io::Error,
    },
    /// It took too long, and was killed with all of its process group.
    #[error("run {command}: it took longer than {after:?} and was killed")]
    TimedOut {
        /// The command line.
        command: String,
        /// The time it had.
        after: Duration,
    },
    /// It put out too much, and was killed.
    #[error("run {command}: it put out more than {limit} bytes and was killed")]
    TooMuch {
        /// The command line.
        command: String,
        /// The bytes it had.
        limit: usize,
    },
    /// Its pipes failed.
    #[error("talk to {command}")]
    Pipe {
        /// The command line.
        command: String,
        /// Why.
        source: io::Error,
    },
    /// The group in which it should run has ended.
    #[error("keep a child: {0}")]
    Refused(String),
}

impl Command {
    /// Runs the command to its end: `stdin` goes in, output and complaints come out. When this
    /// returns, the command has ended and is reaped, whatever happened. When it is dropped, the
    /// command is killed and reaped by a task of `group`.
    ///
    /// # Errors
    /// If it could not be started, took too long or put out too much. An exit code is no error.
    pub async fn run(
        &self,
        group: &Group,
        stdin: &[u8],
        limits: Limits,
    ) -> Result<Output, RunError> {
        let mut child = self.spawn(group)?;
        let work = async {
            let (stdout, stderr) = self.talk(&mut child, stdin, limits).await?;
            Ok(Output {
                exit: child.wait().await,
                stdout,
                stderr,
            })
        };
        let done = tokio::time::timeout(limits.timeout, work).await;
        let timed_out = || RunError::TimedOut {
            command: self.line(),
            after: limits.timeout,
        };
        let result = done.unwrap_or_else(|_| Err(timed_out()));
        if result.is_err() {
            child.stop().await;
        }
        result
    }

    async fn talk(
        &self,
        child: &mut Child,
        stdin: &[u8],
        limits: Limits,
    ) -> Result<(Vec<u8>, Vec<u8>), RunError> {
        let failed = |source| RunError::Pipe {
            command: self.line(),
            source,
        };
        let (mut input, mut output, mut complaints) =
            (child.stdin.take(), child.stdout.take(), child.stderr.take());
        let (mut stdout, mut stderr) = (Vec::new(), Vec::new());
        let write = async move {
            if let Some(input) = &mut input {
                match input.write_all(stdin).await {
                    // A command need not read what it is given.
                    Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(error),
                    _ => Ok(()),
                }
            } else {
                Ok(())
            }
        };
        let done = {
            let mut all = pin!(async {
                let read = read(&mut output, limits.stdout, &mut stdout);
                let grumble = read_some(&mut complaints, limits.stderr, &mut stderr);
                tokio::try_join!(write, read, grumble)
            });
            let done = tokio::select! {
                done = &mut all => Some(done),
                _ = child.wait() => None,
            };
            match done {
                Some(done) => Some(done),
                None => tokio::time::timeout(AFTERTHOUGHT, all).await.ok(),
            }
        };
        match done {
            Some(Err(error)) if error.kind() == io::ErrorKind::FileTooLarge => {
                Err(RunError::TooMuch {
                    command: self.line(),
                    limit: limits.stdout,
                })
            }
            Some(Err(error)) => Err(failed(error)),
            Some(Ok(_)) | None => Ok((stdout, stderr)),
        }
    }
}

/// Reads to the end; an error if there is more than `limit`.
async fn read<R: AsyncRead + Unpin>(
    from: &mut Option<R>,
    limit: usize,
    into: &mut Vec<u8>,
) -> io::Result<()> {
    let Some(from) = from else { return Ok(()) };
    from.take((limit as u64).saturating_add(1))
        .read_to_end(into)
        .await?;
    if into.len() > limit {
        Err(io::ErrorKind::FileTooLarge.into())
    } else {
        Ok(())
    }
}

/// Reads to the end, but keeps only the first `limit` bytes.
async fn read_some<R: AsyncRead + Unpin>(
    from: &mut Option<R>,
    limit: usize,
    into: &mut Vec<u8>,
) -> io::Result<()> {
    let Some(from) = from else { return Ok(()) };
    let mut buffer = [0; 4096];
    loop {
        let count = from.read(&mut buffer).await?;
        if count == 0 {
            return Ok(());
        }
        let room = limit.saturating_sub(into.len()).min(count);
        into.extend_from_slice(&buffer[..room]);
    }
}
