//! Where the values of environment variables come from.

use std::collections::BTreeMap;

/// The environment variables that configuration may refer to.
pub trait Environment: Send + Sync {
    /// The variable's value, if it is set.
    fn get(&self, name: &str) -> Option<String>;
}

/// The environment of this process. Variables that are not UTF-8 count as not set.
#[derive(Clone, Copy, Debug, Default)]
pub struct ProcessEnvironment;

impl Environment for ProcessEnvironment {
    fn get(&self, name: &str) -> Option<String> {
        std::env::var(name).ok()
    }
}

impl Environment for BTreeMap<String, String> {
    fn get(&self, name: &str) -> Option<String> {
        Self::get(self, name).cloned()
    }
}
