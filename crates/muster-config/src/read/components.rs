//! The tables that are components.

use std::collections::HashMap;
use std::sync::Arc;

use muster_plugin::{ComponentId, Kind};
use toml::de::{DeTable, DeValue};
use toml::{Table, Value};

use super::Reader;
use super::section::{holds_tables, of_option, option_problem};
use crate::component::{Checked, check};
use crate::document::{Document, Node, locate, plain_table, take_text};
use crate::ids::{anonymous, check_id, from_alias};
use crate::settings::Tags;
use crate::{AgentSettings, Definition, Diagnostic, Place, Source, template};

/// A component as it stands in a file.
pub(super) struct Entry<'d, 't> {
    kind: Kind,
    plugin: &'d str,
    /// The table's name in messages.
    name: String,
    document: &'d Document<'t>,
    table: &'d DeTable<'t>,
    header: std::ops::Range<usize>,
    options: Table,
}

impl Entry<'_, '_> {
    pub(super) fn start(&self) -> usize {
        self.header.start
    }

    fn place(&self) -> Place {
        self.document.place(self.header.clone())
    }

    /// Where an option stands, else the table.
    fn place_of(&self, path: &str) -> Place {
        let span = locate(self.table, path, false);
        self.document
            .place(span.unwrap_or_else(|| self.header.clone()))
    }
}

/// Where a component's ID comes from.
enum Origin {
    Given,
    Alias,
    Hash,
}

impl<'d, 't> Reader<'d, 't> {
    /// The table below `[inputs]` and its like, whose plugins are of one of `kinds`.
    pub(super) fn read_plugins(
        &mut self,
        document: &'d Document<'t>,
        kinds: &[Kind],
        section: &str,
        plugins: &'d DeTable<'t>,
    ) {
        for (plugin, node) in plugins {
            let name: &str = plugin.get_ref();
            if holds_tables(node.get_ref()) {
                self.read_plugin(document, kinds, section, name, node);
                continue;
            }
            let message = format!("`{name}` in `{section}` is no table");
            let problem = Diagnostic::error(message).at(document.place(plugin.span()));
            let hint = format!("components are tables: `[[{section}.{name}]]`");
            self.report([problem.with_hint(hint)]);
        }
    }

    /// One or several components of one plugin.
    pub(super) fn read_plugin(
        &mut self,
        document: &'d Document<'t>,
        kinds: &[Kind],
        section: &str,
        plugin: &'d str,
        node: &'d Node<'t>,
    ) {
        let known = kinds
            .iter()
            .find(|kind| self.registry.find(**kind, plugin).is_some());
        let Some(kind) = known.or_else(|| kinds.first()).copied() else {
            return;
        };
        let known = known.is_some();
        let name = if section == plugin {
            plugin.to_owned()
        } else {
            format!("{section}.{plugin}")
        };
        let tables: &[Node<'t>] = match node.get_ref() {
            DeValue::Table(_) if matches!(kind, Kind::Processor | Kind::Aggregator) => {
                let problem = Diagnostic::error(format!("`{name}` must be a list of tables"));
                let problem = problem.at(document.place(node.span()));
                self.report([problem.with_hint(format!("write `[[{name}]]`"))]);
                return;
            }
            DeValue::Table(_) => std::slice::from_ref(node),
            DeValue::Array(items) => items,
            _ => &[],
        };
        if self.is_filtered_out(kind, plugin) {
            return;
        }
        for node in tables {
            let DeValue::Table(table) = node.get_ref() else {
                continue;
            };
            if !known {
                let problem = self.unknown_plugin(kinds, plugin, &name);
                self.report([problem.at(document.place(node.span()))]);
                continue;
            }
            let mut problems = Vec::new();
            let take = |text: &str| take_text(text, self.options);
            let options = plain_table(table, &take, &mut problems);
            for (span, message) in problems {
                self.report([Diagnostic::error(message).at(document.place(span))]);
            }
            if self.is_chosen(&options) {
                let (name, header) = (name.clone(), node.span());
                self.entries.push(Entry {
                    kind,
                    plugin,
                    name,
                    document,
                    table,
                    header,
                    options,
                });
            }
        }
    }

    fn is_filtered_out(&self, kind: Kind, plugin: &str) -> bool {
        let filter = match kind {
            Kind::Input => &self.options.input_filter,
            Kind::Output => &self.options.output_filter,
            _ => return false,
        };
        let mut wanted = filter
            .iter()
            .flat_map(|f| f.split(':'))
            .map(str::trim)
            .filter(|w| !w.is_empty());
        wanted.clone().next().is_some() && !wanted.any(|name| name == plugin)
    }

    fn is_chosen(&self, options: &Table) -> bool {
        let Some(Value::Table(labels)) = options.get("labels") else {
            return true;
        };
        let label = |(key, value): (&String, &Value)| {
            let value = template::expand(value.as_str()?, self.env).ok()?;
            Some((key.clone(), value.into_owned()))
        };
        self.selectors
            .choose(&labels.iter().filter_map(label).collect())
    }

    fn unknown_plugin(&self, kinds: &[Kind], plugin: &str, name: &str) -> Diagnostic {
        let words: Vec<&str> = kinds.iter().map(|kind| kind.as_str()).collect();
        let message = format!("unknown {} plugin `{plugin}`", words.join(" or "));
        let near = kinds
            .iter()
            .find_map(|kind| self.registry.suggest(*kind, plugin));
        let elsewhere = Kind::ALL
            .into_iter()
            .find(|kind| self.registry.find(*kind, plugin).is_some());
        let found = match (near, elsewhere) {
            (Some(near), _) => Some(format!("did you mean `{near}`?")),
            (None, Some(kind)) => Some(format!(
                "there is an {kind} of that name, `{}.{plugin}`",
                kind.table()
            )),
            (None, None) => None,
        };
        if self.options.skip_unknown_plugins {
            let problem = Diagnostic::warning(format!("{message}: `{name}` is left out"));
            return match found {
                Some(found) => problem.with_hint(found),
                None => problem,
            };
        }
        let skip = "`--skip-unknown-plugins` leaves out what there is not";
        let hint = found.map_or_else(|| skip.to_owned(), |found| format!("{found} ({skip})"));
        Diagnostic::error(message).with_hint(hint)
    }

    /// Gives every component its ID and builds it once.
    pub(super) fn finish_components(
        &mut self,
        agent: &AgentSettings,
        global_tags: &Arc<Tags>,
    ) -> Vec<Definition> {
        let entries = std::mem::take(&mut self.entries);
        self.warn_of_second_run(agent, &entries);
        let ids = self.identify(&entries);
        let mut definitions = Vec::with_capacity(entries.len());
        let mut processors = 0;
        for (entry, id) in entries.iter().zip(ids) {
            let mut options = entry.options.clone();
            options.remove("id");
            let position = match entry.kind {
                Kind::Processor => {
                    processors += 1;
                    processors
                }
                _ => 0,
            };
            let path = entry.document.path.clone();
            let definition = Definition {
                id: ComponentId::new(entry.kind, id),
                plugin: entry.plugin.to_owned(),
                options,
                source: Source::File {
                    path,
                    line: entry.place().line(),
                },
                paused: false,
                position,
            };
            let Checked { result, warnings } =
                check(&definition, agent, global_tags, self.registry, self.env);
            let found = result.err().unwrap_or_default();
            let at = |make, error| {
                let problem = option_problem(make, entry.document, &entry.name, entry.table, error);
                if problem.place.is_some() {
                    problem
                } else {
                    problem.at(entry.place())
                }
            };
            self.diagnostics
                .extend(found.into_iter().map(|e| at(Diagnostic::error, e)));
            self.diagnostics
                .extend(warnings.into_iter().map(|e| at(Diagnostic::warning, e)));
            definitions.push(definition);
        }
        definitions
    }

    fn warn_of_second_run(&mut self, agent: &AgentSettings, entries: &[Entry<'d, 't>]) {
        let has = |kind| entries.iter().any(|entry| entry.kind == kind);
        let unset = agent.skip_processors_after_aggregators.is_none();
        if unset && has(Kind::Processor) && has(Kind::Aggregator) {
            let mut warning = Diagnostic::warning(
                "`skip_processors_after_aggregators` is not set: processors run a second time, on what the aggregators make",
            );
            warning.place.clone_from(&self.agent_place);
            let hint = "set it in `[agent]`, to `false` to keep it so; Telegraf will change its default to `true`";
            self.report([warning.with_hint(hint)]);
        }
    }

    /// The IDs of the entries. Given ones first, so that anonymous components step aside.
    fn identify(&mut self, entries: &[Entry<'d, 't>]) -> Vec<String> {
        let mut wanted: Vec<(String, Origin)> = Vec::with_capacity(entries.len());
        for entry in entries {
            let id = self.wanted_id(entry);
            wanted.push(id);
        }
        let mut taken: HashMap<(Kind, String), usize> = HashMap::new();
        for (at, (entry, (id, origin))) in entries.iter().zip(&wanted).enumerate() {
            if matches!(origin, Origin::Hash) {
                continue;
            }
            let key = (entry.kind, id.clone());
            if let Some(first) = taken.get(&key).and_then(|first| entries.get(*first)) {
                let option = |origin: &Origin| match origin {
                    Origin::Given => "id",
                    Origin::Alias | Origin::Hash => "alias",
                };
                let by = option(origin);
                let first_by = wanted
                    .get(taken[&key])
                    .map_or("id", |(_, origin)| option(origin));
                let message = format!("two {} have the ID `{id}`", entry.kind.plural());
                let problem = Diagnostic::error(message)
                    .at(entry.place_of(by))
                    .with_related(first.place_of(first_by), "the first one")
                    .with_hint("give one of them an `id` of its own");
                self.diagnostics.push(problem);
            } else {
                taken.insert(key, at);
            }
        }
        let mut ids = Vec::with_capacity(entries.len());
        for (at, (entry, (id, origin))) in entries.iter().zip(wanted).enumerate() {
            if !matches!(origin, Origin::Hash) {
                ids.push(id);
                continue;
            }
            let mut free = id.clone();
            let mut number = 2;
            while taken.contains_key(&(entry.kind, free.clone())) {
                free = format!("{id}-{number}");
                number += 1;
            }
            taken.insert((entry.kind, free.clone()), at);
            ids.push(free);
        }
        ids
    }

    fn wanted_id(&mut self, entry: &Entry<'d, 't>) -> (String, Origin) {
        let hashed = || {
            let category = entry.kind.plural();
            (
                anonymous(category, entry.plugin, entry.table, entry.document),
                Origin::Hash,
            )
        };
        let resolved = |key: &str| {
            let text = entry.options.get(key)?.as_str()?;
            Some(template::expand(text, self.env).map_or_else(|_| text.to_owned(), Into::into))
        };
        if let Some(given) = entry.options.get("id") {
            let problem = match resolved("id") {
                Some(id) => match check_id(&id) {
                    Ok(()) => return (id, Origin::Given),
                    Err(error) => error.to_string(),
                },
                None => format!("expected a string, found {}", given.type_str()),
            };
            let error = muster_options::OptionError::new("id", problem);
            let problem = of_option(entry.document, &entry.name, entry.table, error);
            self.diagnostics.push(problem);
            return hashed();
        }
        match resolved("alias").as_deref().and_then(from_alias) {
            Some(id) => (id, Origin::Alias),
            // There is one, as a rule: what it holds goes on when an option changes.
            None if entry.kind == Kind::Scaler => (entry.plugin.to_owned(), Origin::Given),
            None => hashed(),
        }
    }
}
