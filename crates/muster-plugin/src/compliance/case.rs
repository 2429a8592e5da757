//! What a plugin is checked with.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use toml::Table;

use crate::PluginRow;

type Stimulus = dyn Fn() -> Pin<Box<dyn Future<Output = ()> + Send>> + Send + Sync;

/// Options with which a plugin works, and what to expect of it then.
#[derive(Clone)]
pub struct Case {
    pub(super) plugin: String,
    pub(super) options: Table,
    pub(super) metrics: usize,
    pub(super) offline: bool,
    pub(super) patience: Duration,
    pub(super) stimulus: Option<Arc<Stimulus>>,
}

impl std::fmt::Debug for Case {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Case")
            .field("plugin", &self.plugin)
            .finish_non_exhaustive()
    }
}

impl Case {
    /// The plugin's name, with its kind before it where a table has two of that name
    /// (`outputs.file`), and its options as TOML.
    ///
    /// # Panics
    /// If `options` is no TOML.
    #[expect(clippy::panic, reason = "a mistake in a test")]
    pub fn new(plugin: &str, options: &str) -> Self {
        let options = match toml::from_str(options) {
            Ok(options) => options,
            Err(error) => panic!("the options of {plugin} are no TOML: {error}"),
        };
        Self {
            plugin: plugin.to_owned(),
            options,
            metrics: 1,
            offline: false,
            patience: Duration::from_secs(10),
            stimulus: None,
        }
    }

    /// How many metrics a gather brings at least, or a service input after its stimulus. If this
    /// is not said: one.
    #[must_use]
    pub fn metrics(mut self, at_least: usize) -> Self {
        self.metrics = at_least;
        self
    }

    /// What the plugin talks to is not there: gathering or writing fails, in time and cleanly.
    #[must_use]
    pub fn offline(mut self) -> Self {
        self.offline = true;
        self
    }

    /// How long a gather, a write or the first metrics may take. If this is not said: 10 s.
    #[must_use]
    pub fn patience(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }

    /// What makes a running service input bring metrics (sends a datagram, appends to a file).
    /// Done again and again until they are there.
    #[must_use]
    pub fn stimulus<F>(mut self, stimulus: impl Fn() -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        self.stimulus = Some(Arc::new(move || Box::pin(stimulus())));
        self
    }

    pub(super) fn is_for(&self, row: &PluginRow) -> bool {
        match self.plugin.split_once('.') {
            Some((kind, name)) => row.kind().plural() == kind && row.name == name,
            None => row.name == self.plugin,
        }
    }
}
