//! The tables that are not components: `[agent]`, `[control]`, `[global_tags]`.

use std::ops::Range;

use muster_options::{OptionError, Options};
use toml::de::{DeTable, DeValue};
use toml::{Table, Value};

use super::Reader;
use crate::component::resolve_table;
use crate::document::{Document, canonical, locate, plain_table, take_text};
use crate::{AgentSettings, ControlSettings, Diagnostic, words};

/// Options of `[agent]` that change nothing.
const WITHOUT_EFFECT: [(&str, &str); 3] = [
    (
        "logtarget",
        "a `logfile` decides whether the log goes into a file",
    ),
    (
        "statefile",
        "what plugins remember is kept in the state directory",
    ),
    (
        "snmp_translator",
        "there is one way to translate SNMP names",
    ),
];

impl<'t> Reader<'_, 't> {
    pub(super) fn read_agent(
        &mut self,
        document: &Document<'t>,
        span: Range<usize>,
        table: &DeTable<'t>,
    ) {
        let place = document.place(span);
        match &self.agent_place {
            Some(first) => {
                let again = Diagnostic::warning("a second `[agent]`: its options add to the first")
                    .at(place)
                    .with_related(first.clone(), "the first one");
                self.report([again]);
            }
            None => self.agent_place = Some(place),
        }
        for (name, why) in WITHOUT_EFFECT {
            if let Some(span) = locate(table, name, true) {
                let warning = Diagnostic::warning(format!("`{name}` has no effect"));
                self.report([warning.at(document.place(span)).with_hint(why)]);
            }
        }
        let section = self.section::<AgentSettings>(document, "agent", table);
        self.agent.extend(section);
    }

    pub(super) fn read_control(&mut self, document: &Document<'t>, table: &DeTable<'t>) {
        let section = self.section::<ControlSettings>(document, "control", table);
        self.control.extend(section);
    }

    pub(super) fn read_global_tags(
        &mut self,
        document: &Document<'t>,
        name: &str,
        table: &DeTable<'t>,
    ) {
        for (key, value) in self.resolved(document, name, table) {
            match value {
                Value::String(value) => {
                    self.global_tags.insert(key, value);
                }
                other => {
                    let message = format!("expected a string, found {}", other.type_str());
                    let error = OptionError::new(&key, message);
                    let error = error.with_hint(format!("write `{key} = \"{other}\"`"));
                    self.report([of_option(document, name, table, error)]);
                }
            }
        }
    }

    /// Reads and checks a table of known options; keys are brought to the form in which they are
    /// documented.
    fn section<T: Options>(
        &mut self,
        document: &Document<'t>,
        name: &str,
        table: &DeTable<'t>,
    ) -> Table {
        let docs = T::describe();
        let documented = |key: &String| {
            let same = docs
                .iter()
                .find(|doc| canonical(&doc.name) == canonical(key));
            same.map_or_else(|| key.clone(), |doc| doc.name.clone())
        };
        let mut resolved = Table::new();
        for (key, value) in self.resolved(document, name, table) {
            let known = documented(&key);
            if resolved.insert(known.clone(), value).is_some() {
                let error = OptionError::new(&key, format!("`{known}` is given twice"));
                self.report([of_option(document, name, table, error)]);
            }
        }
        for mut error in T::parse(&resolved).err().unwrap_or_default() {
            words::plain(&mut error);
            self.report([of_option(document, name, table, error)]);
        }
        resolved
    }

    fn resolved(&mut self, document: &Document<'t>, name: &str, table: &DeTable<'t>) -> Table {
        let (mut problems, mut errors) = (Vec::new(), Vec::new());
        let take = |text: &str| take_text(text, self.options);
        let plain = plain_table(table, &take, &mut problems);
        let resolved = resolve_table(&plain, self.env, &mut errors);
        for (span, message) in problems {
            self.report([Diagnostic::error(message).at(document.place(span))]);
        }
        for error in errors {
            self.report([of_option(document, name, table, error)]);
        }
        resolved
    }

    pub(super) fn finish_agent(&mut self) -> AgentSettings {
        let agent: AgentSettings = parse_or_default(&self.agent);
        let mut refuse = |message: &str| {
            let mut problem = Diagnostic::error(message);
            problem.place.clone_from(&self.agent_place);
            self.diagnostics.push(problem);
        };
        if agent.interval.is_zero() {
            refuse("the agent's `interval` must be longer than 0");
        }
        if agent.flush_interval.is_zero() {
            refuse("the agent's `flush_interval` must be longer than 0");
        }
        if agent.skip_processors_before_aggregators && agent.skips_processors_after_aggregators() {
            refuse(
                "processors are skipped both before and after the aggregators, so they never run",
            );
        }
        agent
    }
}

/// The options, or the defaults if something is wrong with them that was reported already.
pub(super) fn parse_or_default<T: Options + Default>(table: &Table) -> T {
    T::parse(table).unwrap_or_default()
}

pub(super) fn is_agent_option(name: &str) -> bool {
    AgentSettings::describe()
        .iter()
        .any(|doc| canonical(&doc.name) == canonical(name))
}

/// A problem of an option of the table `name`, with its place.
pub(super) fn of_option(
    document: &Document<'_>,
    name: &str,
    table: &DeTable<'_>,
    error: OptionError,
) -> Diagnostic {
    option_problem(Diagnostic::error, document, name, table, error)
}

/// A problem of the severity that `make` gives.
pub(super) fn option_problem(
    make: fn(String) -> Diagnostic,
    document: &Document<'_>,
    name: &str,
    table: &DeTable<'_>,
    error: OptionError,
) -> Diagnostic {
    let OptionError {
        path,
        message,
        hint,
    } = error;
    let about_key =
        message.starts_with("unknown option") || message.starts_with(&format!("`{path}`"));
    // The message has the last key only; where that stands is told by the rest of the path.
    let outer = path
        .rsplit_once('.')
        .filter(|_| message.starts_with("unknown option"))
        .map_or_else(String::new, |(outer, _)| format!(".{outer}"));
    let whole = match (path.is_empty(), about_key) {
        (true, _) => format!("{name}: {message}"),
        (false, true) => format!("{message} in `{name}{outer}`"),
        (false, false) => format!("`{path}` in `{name}`: {message}"),
    };
    let mut problem = make(whole);
    if let Some(span) = locate(table, &path, about_key) {
        problem = problem.at(document.place(span));
    }
    if let Some(hint) = hint {
        problem = problem.with_hint(hint);
    }
    problem
}

/// Whether a value is a table or a list of tables.
pub(super) fn holds_tables(value: &DeValue<'_>) -> bool {
    match value {
        DeValue::Table(_) => true,
        DeValue::Array(items) => items.iter().all(|item| item.get_ref().is_table()),
        _ => false,
    }
}
