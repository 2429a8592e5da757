//! What is to be run.

use std::ffi::{OsStr, OsString};
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use crate::{SplitError, join, split};

/// How long a process group gets between SIGTERM and SIGKILL if nothing else is said.
const GRACE: Duration = Duration::from_millis(500);

/// A command line or an environment that makes no sense.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CommandError {
    /// There is no word in it.
    #[error("there is no command")]
    Empty,
    /// It cannot be cut into words.
    #[error(transparent)]
    Split(#[from] SplitError),
    /// A word with a zero byte, which no system can pass on.
    #[error("a zero byte in {0:?}")]
    ZeroByte(String),
    /// An environment variable that is not of the form `KEY=value`.
    #[error("{0:?} is not of the form KEY=value")]
    Environment(String),
}

/// A program with its arguments, environment and working directory.
#[derive(Clone, Debug)]
pub struct Command {
    words: Vec<String>,
    environment: Vec<(String, String)>,
    directory: Option<PathBuf>,
    grace: Duration,
}

impl Command {
    /// A command from its words, the program first. The program is looked for in `PATH` if it has
    /// no slash.
    ///
    /// # Errors
    /// If there is no word, or one that cannot be passed on.
    pub fn new(words: impl IntoIterator<Item = impl Into<String>>) -> Result<Self, CommandError> {
        let words: Vec<String> = words.into_iter().map(Into::into).collect();
        if words.first().is_none_or(String::is_empty) {
            return Err(CommandError::Empty);
        }
        if let Some(word) = words.iter().find(|word| word.contains('\0')) {
            return Err(CommandError::ZeroByte(word.clone()));
        }
        Ok(Self {
            words,
            environment: Vec::new(),
            directory: None,
            grace: GRACE,
        })
    }

    /// A command from a command line, cut as [`split`] says.
    ///
    /// # Errors
    /// If the line cannot be cut or is empty.
    pub fn parse(line: &str) -> Result<Self, CommandError> {
        Self::new(split(line)?)
    }

    /// Adds environment variables of the form `KEY=value` to those of this process.
    ///
    /// # Errors
    /// If one is not of that form.
    pub fn environment<'a>(
        mut self,
        variables: impl IntoIterator<Item = &'a str>,
    ) -> Result<Self, CommandError> {
        for variable in variables {
            match variable.split_once('=') {
                _ if variable.contains('\0') => {
                    return Err(CommandError::ZeroByte(variable.to_owned()));
                }
                Some((key, value)) if !key.is_empty() => {
                    self.environment.push((key.to_owned(), value.to_owned()));
                }
                _ => return Err(CommandError::Environment(variable.to_owned())),
            }
        }
        Ok(self)
    }

    /// Runs it in this directory.
    #[must_use]
    pub fn directory(mut self, directory: impl Into<PathBuf>) -> Self {
        self.directory = Some(directory.into());
        self
    }

    /// How long the process group gets to end by itself when it is asked to (half a second unless
    /// this is said) before it is killed.
    #[must_use]
    pub fn grace(mut self, grace: Duration) -> Self {
        self.grace = grace;
        self
    }

    /// The program, for messages.
    pub fn program(&self) -> &str {
        self.words.first().map_or("", String::as_str)
    }

    /// The command line, for messages.
    pub fn line(&self) -> String {
        join(self.words.iter().map(String::as_str))
    }

    pub(crate) fn time_to_end(&self) -> Duration {
        self.grace
    }

    pub(crate) fn prepare(&self) -> tokio::process::Command {
        let mut command = tokio::process::Command::new(self.program());
        let pairs = self.environment.iter();
        let pairs = pairs.map(|(k, v)| (OsString::from(k), OsStr::new(v)));
        command
            .args(self.words.iter().skip(1))
            .envs(pairs)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .kill_on_drop(true);
        if let Some(directory) = &self.directory {
            command.current_dir(directory);
        }
        command
    }
}
