//! Sharing of equal texts.

use std::collections::HashSet;
use std::sync::Arc;

/// Gives the same `Arc` for the same text.
#[derive(Debug, Default)]
pub(crate) struct Interner(HashSet<Arc<str>, foldhash::fast::RandomState>);

impl Interner {
    /// The shared copy of `text`.
    pub(crate) fn get(&mut self, text: &str) -> Arc<str> {
        if let Some(known) = self.0.get(text) {
            return known.clone();
        }
        let new: Arc<str> = text.into();
        self.0.insert(new.clone());
        new
    }
}
