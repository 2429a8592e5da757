//! The row of a provider, and how a provider comes out of its table.

use std::fmt;
use std::sync::Arc;

use muster_options::{OptionDoc, OptionError, Parts, suggest};
use muster_scaler_core::config::ProviderCommon;
use muster_scaler_core::provider::Provider;
use muster_tasks::Group;
use toml::Table;

use crate::PROVIDERS;

/// A provider, or all that is wrong with its options.
pub type Making = Result<Arc<dyn Provider>, Vec<OptionError>>;

/// A kind of provider.
pub struct ProviderRow {
    /// The value of `kind`.
    pub name: &'static str,
    /// What it is, as a phrase.
    pub summary: &'static str,
    /// Its own options, beside those of [`ProviderCommon`].
    pub options: fn() -> Vec<OptionDoc>,
    /// Makes one from its own options, which are what `Parts` has left. Asks nobody and starts
    /// nothing; what it starts later runs in the group.
    pub build: fn(Parts, &ProviderCommon, &Group) -> Making,
}

impl fmt::Debug for ProviderRow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ProviderRow")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

/// A provider and the options that all kinds have.
#[derive(Debug)]
pub struct Built {
    /// The options that all kinds have.
    pub common: ProviderCommon,
    /// The provider.
    pub provider: Arc<dyn Provider>,
}

/// Makes the provider of one `[[scaler.pool.provider]]`. Asks nobody.
///
/// # Errors
/// All that is wrong with the table; paths are relative to it.
pub fn build(table: &Table, group: &Group) -> Result<Built, Vec<OptionError>> {
    let mut parts = Parts::new(table);
    let common: ProviderCommon = parts.take();
    let kind = table
        .get("kind")
        .and_then(toml::Value::as_str)
        .unwrap_or("");
    let row = PROVIDERS.iter().find(|row| row.name == kind);
    let row = row.ok_or_else(|| vec![unknown_kind(kind)])?;
    let mut errors = Vec::new();
    if common.timeout.is_zero() {
        errors.push(OptionError::new("timeout", "a call needs some time"));
    }
    if !(common.price_per_hour.is_finite() && common.price_per_hour >= 0.0) {
        errors.push(OptionError::new("price_per_hour", "at least 0"));
    }
    match (row.build)(parts, &common, group) {
        Ok(provider) if errors.is_empty() => Ok(Built { common, provider }),
        Ok(_) => Err(errors),
        Err(more) => {
            errors.extend(more);
            Err(errors)
        }
    }
}

fn unknown_kind(kind: &str) -> OptionError {
    let names = || PROVIDERS.iter().map(|row| row.name);
    if kind.is_empty() {
        let known = names().collect::<Vec<_>>().join(", ");
        return OptionError::new("kind", "a provider needs a kind")
            .with_hint(format!("one of {known}"));
    }
    if kind == "ec2" {
        let why = "this build has no support for EC2";
        return OptionError::new("kind", why).with_hint("build with the feature `ec2`");
    }
    let error = OptionError::new("kind", format!("unknown kind \"{kind}\""));
    match suggest(kind, names()) {
        Some(near) => error.with_hint(format!("did you mean \"{near}\"?")),
        None => error.with_hint(format!("one of {}", names().collect::<Vec<_>>().join(", "))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, want: &[(&str, &str, Option<&str>)]) {
        let table: Table = toml::from_str(text).unwrap();
        let group = Group::root("test");
        let errors = build(&table, &group).err().unwrap_or_default();
        let got: Vec<_> = errors
            .iter()
            .map(|e| (e.path.as_str(), e.message.as_str(), e.hint.as_deref()))
            .collect();
        assert_eq!(got, want, "{text}");
    }

    #[muster_tasks::test]
    async fn reads_the_table_of_a_provider() {
        check(
            "kind = 'exec'\ncommand = ['true']\nboot_timeout = '1m'",
            &[],
        );
        check(
            "kind = 'exce'",
            &[(
                "kind",
                "unknown kind \"exce\"",
                Some("did you mean \"exec\"?"),
            )],
        );
        check(
            "kind = 'exec'\ncommand = ['true']\nboot_timout = '1m'\ntimeout = 0\nprice_per_hour = -1.0",
            &[
                ("timeout", "a call needs some time", None),
                ("price_per_hour", "at least 0", None),
                (
                    "boot_timout",
                    "unknown option `boot_timout`",
                    Some("did you mean `boot_timeout`?"),
                ),
            ],
        );
    }

    #[test]
    fn rows_are_sorted_and_described() {
        assert!(PROVIDERS.is_sorted_by_key(|row| row.name));
        for row in PROVIDERS {
            let docs = (row.options)();
            assert!(
                docs.iter().all(|doc| !doc.doc.is_empty()),
                "{row:?}: {docs:?}"
            );
        }
    }
}
