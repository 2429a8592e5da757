//! What goes wrong in a plugin.

use std::error::Error;
use std::fmt;
use std::io;

/// A failure in a plugin: what was tried, on what, and why it failed.
///
/// The message completes the phrase "failed to ...": `connect to 10.0.0.1:80`.
#[derive(Debug, thiserror::Error)]
pub struct PluginError {
    message: String,
    hint: Option<String>,
    #[source]
    source: Option<Box<dyn Error + Send + Sync>>,
}

impl PluginError {
    /// A failure to do what `message` says.
    pub fn new(message: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            hint: None,
            source: None,
        }
    }

    /// The same with its reason.
    #[must_use]
    pub fn because(mut self, source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// The same with what to do about it.
    #[must_use]
    pub fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// What to do about it, if that can be said.
    pub fn hint(&self) -> Option<&str> {
        self.hint.as_deref()
    }

    /// A failed system call, with what was tried: for `map_err`.
    pub fn io(message: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        let message = message.into();
        move |error| Self::new(message).because(error)
    }
}

impl fmt::Display for PluginError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        let mut source = self.source.as_deref().map(|s| s as &dyn Error);
        while let Some(reason) = source {
            write!(f, ": {reason}")?;
            source = reason.source();
        }
        Ok(())
    }
}

/// Why an output did not write all that it was given.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// Nothing was written; the same metrics may be tried again later (connection lost, the
    /// service is overloaded).
    #[error("{0}")]
    Retry(PluginError),
    /// The service refused the write for what is in it, and trying the same again would not help.
    /// Which metric is at fault is not known: the engine halves the batch to find it.
    #[error("{0}")]
    Rejected(PluginError),
    /// All were written but those at these positions, which would be refused again.
    #[error("{error}")]
    Partial {
        /// Positions in the write, ascending.
        rejected: Vec<usize>,
        /// Why they were refused.
        error: PluginError,
    },
}

impl From<PluginError> for WriteError {
    /// What is not known better is worth another try.
    fn from(error: PluginError) -> Self {
        Self::Retry(error)
    }
}
