//! From the tables of the files to definitions and settings.

mod components;
mod section;

use std::collections::HashMap;
use std::sync::Arc;

use muster_plugin::{Kind, Registry};
use toml::Table;
use toml::de::DeValue;

use crate::document::{Document, Node};
use crate::select::Selectors;
use crate::settings::Tags;
use crate::{
    AgentSettings, Config, ControlSettings, Diagnostic, Diagnostics, Environment, LoadOptions,
    Loaded, Place, Severity,
};
use components::Entry;

/// Tables that Muster will have.
const LATER: [&str; 2] = ["cluster", "leaks"];

/// Tables of which there is one.
const SECTIONS: [&str; 10] = [
    "agent",
    "aggregators",
    "control",
    "global_tags",
    "inputs",
    "outputs",
    "processors",
    "scaler",
    "sentinel",
    "tags",
];

/// What the files say so far.
pub(crate) struct Reader<'d, 't> {
    options: &'d LoadOptions,
    registry: &'d Registry,
    env: &'d dyn Environment,
    selectors: Selectors,
    diagnostics: Vec<Diagnostic>,
    agent: Table,
    agent_place: Option<Place>,
    control: Table,
    global_tags: Tags,
    entries: Vec<Entry<'d, 't>>,
}

impl<'d, 't> Reader<'d, 't> {
    pub(crate) fn new(
        options: &'d LoadOptions,
        registry: &'d Registry,
        env: &'d dyn Environment,
    ) -> Self {
        let mut diagnostics = Vec::new();
        let selectors = Selectors::new(&options.selectors).unwrap_or_else(|error| {
            diagnostics.push(Diagnostic::error(error.to_string()));
            Selectors::default()
        });
        Self {
            options,
            registry,
            env,
            selectors,
            diagnostics,
            agent: Table::new(),
            agent_place: None,
            control: Table::new(),
            global_tags: Tags::new(),
            entries: Vec::new(),
        }
    }

    /// Notes problems that were found elsewhere.
    pub(crate) fn report(&mut self, problems: impl IntoIterator<Item = Diagnostic>) {
        self.diagnostics.extend(problems);
    }

    /// Takes over the tables of one file.
    pub(crate) fn read(&mut self, document: &'d Document<'t>) {
        let first = self.entries.len();
        for (key, node) in &document.root {
            let name: &str = key.get_ref();
            let kinds: Vec<Kind> = Kind::ALL
                .into_iter()
                .filter(|k| k.table() == name)
                .collect();
            match (name, node.get_ref()) {
                ("agent", DeValue::Table(table)) => self.read_agent(document, key.span(), table),
                ("control", DeValue::Table(table)) => self.read_control(document, table),
                ("tags" | "global_tags", DeValue::Table(table)) => {
                    self.read_global_tags(document, name, table);
                }
                ("plugins", DeValue::Table(plugins)) => {
                    self.read_plugins(document, &[Kind::Input], name, plugins);
                }
                ("secretstores", _) => {
                    let problem = Diagnostic::error("secret stores are not supported yet")
                        .at(document.place(key.span()))
                        .with_hint("use environment variables: `password = \"${PASSWORD}\"`");
                    self.report([problem]);
                }
                (_, _) if LATER.contains(&name) => {
                    let message = format!("`{name}` is not in this version yet");
                    self.report([Diagnostic::error(message).at(document.place(key.span()))]);
                }
                ("scaler", node_value) if section::holds_tables(node_value) => {
                    self.read_plugin(document, &[Kind::Scaler], name, name, node);
                }
                (_, DeValue::Table(plugins)) if !kinds.is_empty() => {
                    self.read_plugins(document, &kinds, name, plugins);
                }
                (_, DeValue::Table(_)) if self.registry.find(Kind::Input, name).is_some() => {
                    self.read_plugin(document, &[Kind::Input], name, name, node);
                }
                _ => {
                    let problem = self.unknown_at_top(name, node);
                    self.report([problem.at(document.place(key.span()))]);
                }
            }
        }
        self.entries[first..].sort_by_key(Entry::start);
    }

    fn unknown_at_top(&self, name: &str, node: &Node<'_>) -> Diagnostic {
        let is_input = self.registry.find(Kind::Input, name).is_some();
        match node.get_ref() {
            DeValue::Array(items) if items.iter().all(|item| item.get_ref().is_table()) => {
                if is_input {
                    let problem = Diagnostic::error(format!("unknown list of tables `[[{name}]]`"));
                    return problem.with_hint(format!("write `[[inputs.{name}]]`"));
                }
                if SECTIONS.contains(&name) {
                    let problem = Diagnostic::error(format!("`{name}` is one table, not a list"));
                    return problem.with_hint(format!("write `[{name}]`"));
                }
            }
            DeValue::Table(_) => {}
            _ => {
                let problem =
                    Diagnostic::error(format!("option `{name}` stands outside of any table"));
                return match section::is_agent_option(name) {
                    true => problem.with_hint("put it below `[agent]`"),
                    false => problem.with_hint("put it below the table that it belongs to"),
                };
            }
        }
        let inputs = self
            .registry
            .rows()
            .iter()
            .filter(|row| row.kind() == Kind::Input);
        let known = SECTIONS.into_iter().chain(inputs.map(|row| row.name));
        let problem = Diagnostic::error(format!("unknown table `{name}`"));
        match muster_options::suggest(name, known) {
            Some(near) => problem.with_hint(format!("did you mean `{near}`?")),
            None => problem.with_hint(format!("known tables: {}", SECTIONS.join(", "))),
        }
    }

    /// Checks everything together; `files` are the names of the files in their order.
    pub(crate) fn finish(mut self, files: &[&str]) -> Result<Loaded, Diagnostics> {
        let agent = self.finish_agent();
        let control: ControlSettings = section::parse_or_default(&self.control);
        let mut global_tags = std::mem::take(&mut self.global_tags);
        add_host(&agent, &mut global_tags);
        let global_tags = Arc::new(global_tags);
        let definitions = self.finish_components(&agent, &global_tags);
        in_order(&mut self.diagnostics, files);
        let (errors, warnings): (Vec<_>, Vec<_>) = self
            .diagnostics
            .into_iter()
            .partition(|d| d.severity == Severity::Error);
        if errors.is_empty() {
            let config = Config {
                agent,
                global_tags,
                control,
                definitions,
            };
            return Ok(Loaded { config, warnings });
        }
        let mut all = errors;
        all.extend(warnings);
        Err(Diagnostics(all))
    }
}

/// What has no place first, then by file, then by place in it.
fn in_order(diagnostics: &mut [Diagnostic], files: &[&str]) {
    let order: HashMap<&str, usize> = files.iter().enumerate().map(|(at, f)| (*f, at)).collect();
    diagnostics.sort_by_key(|diagnostic| {
        let place = diagnostic.place.as_ref()?;
        Some((order.get(place.source.name()).copied(), place.span.start))
    });
}

/// The tag `host` stands above one of that name that was configured.
pub(crate) fn add_host(agent: &AgentSettings, tags: &mut Tags) {
    if agent.omit_hostname {
        return;
    }
    let host = if agent.hostname.is_empty() {
        rustix::system::uname()
            .nodename()
            .to_string_lossy()
            .into_owned()
    } else {
        agent.hostname.clone()
    };
    if !host.is_empty() {
        tags.insert("host".to_owned(), host);
    }
}
