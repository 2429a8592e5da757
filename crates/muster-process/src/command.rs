//! What is to be run.

use std::env;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
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

    /// Where the program is: to learn early that there is none.
    ///
    /// # Errors
    /// If there is no such file, or it may not be run.
    pub fn find(&self) -> io::Result<PathBuf> {
        let program = Path::new(self.program());
        let runnable = |path: &Path| match fs::metadata(path) {
            Ok(there) if there.is_file() && there.mode() & 0o111 != 0 => Ok(()),
            Ok(_) => Err(io::Error::from(io::ErrorKind::PermissionDenied)),
            Err(error) => Err(error),
        };
        if self.program().contains('/') {
            let path = match &self.directory {
                Some(directory) => directory.join(program),
                None => program.to_owned(),
            };
            return runnable(&path).map(|()| path);
        }
        let own = self.environment.iter().rev().find(|(key, _)| key == "PATH");
        let folders = own
            .map(|(_, value)| OsString::from(value))
            .or_else(|| env::var_os("PATH"));
        let folders = folders.unwrap_or_default();
        let mut paths = env::split_paths(&folders).map(|folder| folder.join(program));
        paths
            .find(|path| runnable(path).is_ok())
            .ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, "it is in no folder of PATH"))
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
