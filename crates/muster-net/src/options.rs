//! Reading a plugin's options together with those that it shares with others.

use muster_options::{OptionError, Options, Parts};
use muster_plugin::BuildContext;
use toml::Table;

/// Reads one table into several structs, and says clearly which of Telegraf's options are not
/// supported yet.
#[derive(Debug)]
pub struct OptionReader {
    parts: Parts,
    errors: Vec<OptionError>,
}

impl OptionReader {
    /// Reads the options of `cx`; each of `not_yet` that is given is an error of its own.
    pub fn new(cx: &BuildContext, not_yet: &[&str]) -> Self {
        Self::of_table(cx.options(), not_yet)
    }

    /// As [`new`](Self::new), for a table.
    pub fn of_table(table: &Table, not_yet: &[&str]) -> Self {
        let mut table = table.clone();
        let mut errors = Vec::new();
        for name in not_yet {
            if table.remove(*name).is_some() {
                let error = OptionError::new(*name, format!("`{name}` is not supported yet"));
                errors.push(error.with_hint("remove the option"));
            }
        }
        Self {
            parts: Parts::new(&table),
            errors,
        }
    }

    /// Takes out and reads the options that belong to `T`.
    pub fn take<T: Options + Default>(&mut self) -> T {
        self.parts.take()
    }

    /// Notes a problem with an option.
    pub fn refuse(&mut self, error: OptionError) {
        self.errors.push(error);
    }

    /// Notes a problem, if there is one.
    pub fn check<T>(&mut self, result: Result<T, OptionError>) -> Option<T> {
        result.map_err(|error| self.errors.push(error)).ok()
    }

    /// Reads what is left as `T`.
    ///
    /// # Errors
    /// All that is wrong with the table.
    pub fn rest<T: Options>(self) -> Result<T, Vec<OptionError>> {
        let mut errors = self.errors;
        match self.parts.rest::<T>() {
            Ok(options) if errors.is_empty() => Ok(options),
            Ok(_) => Err(errors),
            Err(more) => {
                errors.extend(more);
                Err(errors)
            }
        }
    }
}
