//! Choosing components by labels.

use muster_options::{GlobError, Globs};

use crate::settings::Tags;

/// What `--select` asked for: one of the selectors, and all conditions of it.
#[derive(Debug, Default)]
pub(crate) struct Selectors {
    any: Vec<Vec<(String, Globs)>>,
}

/// A selector that cannot be read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SelectorError {
    #[error("the selector {0:?} is not of the form `label=value;label=value`")]
    Form(String),
    #[error(transparent)]
    Glob(#[from] GlobError),
}

impl Selectors {
    pub(crate) fn new(selectors: &[String]) -> Result<Self, SelectorError> {
        let condition = |text: &str, whole: &String| {
            let (key, value) = text
                .split_once('=')
                .ok_or_else(|| SelectorError::Form(whole.clone()))?;
            Ok((key.trim().to_owned(), Globs::new(&[value.trim()], &[])?))
        };
        let selector = |whole: &String| {
            let parts = whole.split(';').filter(|part| !part.trim().is_empty());
            parts
                .map(|part| condition(part, whole))
                .collect::<Result<Vec<_>, SelectorError>>()
        };
        Ok(Self {
            any: selectors.iter().map(selector).collect::<Result<_, _>>()?,
        })
    }

    /// Whether a component with these labels is chosen. Without labels it always is, and so is
    /// everything if nothing was asked for.
    pub(crate) fn choose(&self, labels: &Tags) -> bool {
        let fulfilled =
            |(key, globs): &(String, Globs)| labels.get(key).is_some_and(|v| globs.matches(v));
        self.any.is_empty()
            || labels.is_empty()
            || self.any.iter().any(|all| all.iter().all(fulfilled))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chooses_by_labels() {
        let check = |selectors: &[&str], labels: &[(&str, &str)], want: bool| {
            let selectors: Vec<String> = selectors.iter().map(|s| (*s).to_owned()).collect();
            let labels = labels
                .iter()
                .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()))
                .collect();
            assert_eq!(
                Selectors::new(&selectors).unwrap().choose(&labels),
                want,
                "{selectors:?}"
            );
        };
        check(&[], &[("a", "1")], true);
        check(&["a=2"], &[], true);
        check(&["a=2"], &[("a", "1")], false);
        check(&["a=1;b=x*"], &[("a", "1"), ("b", "xyz")], true);
        check(&["a=1;b=x*"], &[("a", "1")], false);
        check(&["a=2", "b=?"], &[("b", "x")], true);
        assert!(Selectors::new(&["a".to_owned()]).is_err());
        assert!(Selectors::new(&["a=[".to_owned()]).is_err());
    }
}
