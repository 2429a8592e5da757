//! A commented configuration file to start from.

use std::fmt::Write as _;

use muster_options::{OptionDoc, Options};
use muster_plugin::{Kind, PluginRow, Registry};

use crate::load::{DEFAULT_INPUTS, DEFAULT_OUTPUT};
use crate::{AgentSettings, ControlSettings};

/// What the sample is to hold.
#[derive(Clone, Debug, Default)]
pub struct SampleOptions {
    /// Only these: `global_tags`, `agent`, `control`, `outputs`, `processors`, `aggregators`,
    /// `inputs`, `checks`, `publishers`. All, if there are none.
    pub sections: Vec<String>,
    /// These plugins, ready to use, and no others of that kind. For kinds that are not named here:
    /// the default ones ready to use, all others as comments.
    pub plugins: Vec<(Kind, String)>,
}

/// The text of a configuration file in which every option is a comment with its default.
pub fn sample(registry: &Registry, options: &SampleOptions) -> String {
    let mut out = String::from(INTRODUCTION);
    let wants = |section: &str| {
        options.sections.is_empty() || options.sections.iter().any(|wanted| wanted == section)
    };
    if wants("global_tags") {
        heading(&mut out, "Tags for all metrics");
        out.push_str("[global_tags]\n  # dc = \"us-east-1\"\n  # user = \"${USER}\"\n");
    }
    if wants("agent") {
        heading(&mut out, "The agent");
        out.push_str("[agent]\n");
        describe(&mut out, &AgentSettings::describe(), "");
    }
    if wants("control") {
        heading(&mut out, "The control API");
        out.push_str("[control]\n");
        describe(&mut out, &ControlSettings::describe(), "");
    }
    for kind in [
        Kind::Output,
        Kind::Processor,
        Kind::Aggregator,
        Kind::Input,
        Kind::Check,
        Kind::Publisher,
        Kind::Scaler,
    ] {
        if wants(kind.plural()) {
            let mut title = kind.plural().to_owned();
            title[..1].make_ascii_uppercase();
            heading(&mut out, &title);
            plugins(&mut out, registry, kind, options);
        }
    }
    out
}

const INTRODUCTION: &str = "\
# Configuration of Muster, which accepts Telegraf configuration.
#
# Options that are comments show their defaults. Strings may hold environment variables:
# \"${NAME}\", \"${NAME:-default}\", \"${NAME:?message if it is missing}\"; \"$$\" stands for \"$\".
# `muster config check` checks this file, `muster plugins` lists all options.
";

fn heading(out: &mut String, title: &str) {
    let _ = write!(
        out,
        "\n\n###{}###\n#  {title}\n###{0}###\n\n",
        "#".repeat(72)
    );
}

fn plugins(out: &mut String, registry: &Registry, kind: Kind, options: &SampleOptions) {
    let chosen: Vec<&str> = options
        .plugins
        .iter()
        .filter(|(k, _)| *k == kind)
        .map(|(_, name)| name.as_str())
        .collect();
    for row in registry.rows().iter().filter(|row| row.kind() == kind) {
        let ready = match (chosen.is_empty(), kind) {
            (false, _) if chosen.contains(&row.name) => true,
            (false, _) => continue,
            (true, Kind::Input) => DEFAULT_INPUTS.contains(&row.name),
            (true, Kind::Output) => row.name == DEFAULT_OUTPUT,
            (true, _) => false,
        };
        let text = plugin(row);
        let prefix = if ready { "" } else { "# " };
        for line in text.lines() {
            let _ = writeln!(out, "{}", format!("{prefix}{line}").trim_end());
        }
        out.push('\n');
    }
}

/// One component, ready to use.
fn plugin(row: &PluginRow) -> String {
    let kind = row.kind();
    let header = match kind {
        Kind::Scaler => format!("[{}]", kind.table()),
        kind => format!("[[{}.{}]]", kind.table(), row.name),
    };
    let mut out = format!("# {}: {}\n{header}\n", row.name, row.summary);
    let mut docs = (row.options)();
    if (kind, row.name) == (Kind::Output, DEFAULT_OUTPUT) {
        // The one option that the default configuration sets.
        if let Some(at) = docs.iter().position(|doc| doc.name == "files") {
            let files = docs.remove(at);
            doc_lines(&mut out, &files);
            out.push_str("  files = [\"stdout\"]\n");
        }
    }
    describe(&mut out, &docs, "");
    out
}

/// The options as comments; tables come last, as TOML wants it.
fn describe(out: &mut String, docs: &[OptionDoc], prefix: &str) {
    let is_table = |doc: &&OptionDoc| doc.r#type.starts_with("table") || !doc.options.is_empty();
    for doc in docs.iter().filter(|doc| !is_table(doc)) {
        doc_lines(out, doc);
        let value = doc.default.as_deref().unwrap_or(match doc.r#type.as_str() {
            "boolean" => "false",
            "integer" | "float" => "0",
            list if list.starts_with("list") => "[]",
            _ => "\"\"",
        });
        let value = value.replace('\n', " ");
        let note = if doc.required { " # must be given" } else { "" };
        let _ = writeln!(out, "  # {prefix}{} = {value}{note}", doc.name);
    }
    for doc in docs.iter().filter(is_table) {
        doc_lines(out, doc);
        let _ = writeln!(out, "  # {prefix}{}: {}", doc.name, doc.r#type);
        for part in &doc.options {
            let _ = writeln!(out, "  ##   {}: {}", part.name, part.r#type);
        }
    }
}

fn doc_lines(out: &mut String, doc: &OptionDoc) {
    for line in doc.doc.lines() {
        let _ = writeln!(out, "{}", format!("  ## {line}").trim_end());
    }
}
