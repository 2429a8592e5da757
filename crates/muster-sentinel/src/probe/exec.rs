//! Checking by a command's exit code.

use std::time::Duration;

use async_trait::async_trait;
use muster_process::{Command, CommandError, Limits, RunError};
use muster_tasks::Group;
use tokio::time::Instant;

use super::Probe;
use crate::status::{Answer, Outcome, Reason};

/// The most bytes of a command's output and of its complaints; more output is a failure.
const MOST_OUTPUT: usize = 64 << 10;

/// Runs one command. A command that is not done at the deadline is killed with its process group.
#[derive(Debug)]
pub struct ExecProbe {
    command: Result<Command, CommandError>,
    group: Group,
}

impl ExecProbe {
    /// A check by this command line, whose processes belong to `group`.
    pub fn new(line: &str, group: Group) -> Self {
        Self {
            command: Command::parse(line),
            group,
        }
    }

    async fn run(&self, deadline: Instant) -> Result<Outcome, Outcome> {
        let local = |why: String| Outcome::new(Reason::Local, why);
        let command = self
            .command
            .as_ref()
            .map_err(|error| local(error.to_string()))?;
        let left = deadline.saturating_duration_since(Instant::now());
        let limits = Limits {
            // The deadline itself ends the check; this is for the case that it is not kept.
            timeout: left + Duration::from_secs(1),
            stdout: MOST_OUTPUT,
            stderr: MOST_OUTPUT,
        };
        let output = command
            .run(&self.group, &[], limits)
            .await
            .map_err(|error| {
                let reason = match error {
                    RunError::TooMuch { .. } => Reason::Failed,
                    RunError::TimedOut { .. } => Reason::Hung,
                    _ => Reason::Local,
                };
                Outcome::new(reason, error.to_string())
            })?;
        if output.exit.is_success() {
            return Ok(Outcome::OK);
        }
        let how = match (output.exit.code(), output.exit.signal()) {
            (Some(code), _) => format!("exit code {code}"),
            (None, Some(signal)) => format!("ended by signal {signal}"),
            (None, None) => "ended somehow".to_owned(),
        };
        Ok(Outcome::new(
            Reason::Failed,
            format!("{how} {}", output.complaint()),
        ))
    }
}

#[async_trait]
impl Probe for ExecProbe {
    async fn check(&mut self, deadline: Instant) -> Answer {
        let began = Instant::now();
        let outcome = self.run(deadline).await.unwrap_or_else(|fault| fault);
        let mut answer = Answer::from(outcome);
        answer.rtt = Some(began.elapsed());
        answer
    }

    fn overdue(&self) -> Outcome {
        Outcome::new(Reason::Hung, "the command did not end in time")
    }
}
