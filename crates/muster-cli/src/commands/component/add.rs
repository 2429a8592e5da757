//! `muster input add`.

use std::path::{Path, PathBuf};

use clap::Args;
use http::Method;
use muster_config::derive_id;
use muster_plugin::{Kind, Registry};
use serde_json::json;
use toml::{Table, Value};

use crate::args::{ChangeArgs, ClientArgs};
use crate::client::Body;
use crate::key_values::{self, to_json};
use crate::session::Session;
use crate::{CommandResult, Failure};

/// What to add.
#[derive(Debug, Args)]
pub(crate) struct AddArgs {
    /// The plugin; may be left out if the file names it.
    #[arg(value_name = "PLUGIN", required_unless_present = "file")]
    plugin: Option<String>,
    /// Options; dots lead into sub-tables, as in tags.dc=x.
    #[arg(value_name = "KEY=VALUE")]
    options: Vec<String>,
    /// The ID [default: made from the plugin's name and the options].
    #[arg(long)]
    id: Option<String>,
    /// A file with the options, or with one whole component table; `-` is the standard input.
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,
    #[command(flatten)]
    change: ChangeArgs,
    #[command(flatten)]
    pub(crate) client: ClientArgs,
}

/// A component as the command line describes it.
#[derive(Debug, PartialEq)]
struct New {
    plugin: String,
    id: String,
    options: Table,
}

pub(crate) fn add(
    session: &Session,
    kind: Kind,
    args: &AddArgs,
    registry: &Registry,
) -> CommandResult {
    let text = args
        .file
        .as_deref()
        .map(crate::input::read_text)
        .transpose()?;
    let new = new_component(kind, args, text.as_deref())?;
    let body = json!({"id": new.id, "plugin": new.plugin, "options": to_json(&new.options)});
    let path = args.change.path(&format!("/api/v1/{}", kind.plural()));
    let what = format!("add {}/{}", kind.plural(), new.id);
    let answer = session.call(&what, Method::POST, &path, Some(Body::json(&body)));
    let answer = answer.map_err(|failure| match registry.find(kind, &new.plugin) {
        Some(_) => failure,
        None => match registry.suggest(kind, &new.plugin) {
            Some(near) => failure.with_hint(&format!("did you mean the plugin {near}?")),
            None => failure.with_hint("`muster plugins` lists those that there are"),
        },
    })?;
    session.present_change(&answer)
}

fn new_component(kind: Kind, args: &AddArgs, text: Option<&str>) -> Result<New, Failure> {
    let mut plugin = args.plugin.clone();
    let mut pairs = args.options.clone();
    // With a file the plugin may be left out; then the first word is an option already.
    if text.is_some()
        && let Some(first) = plugin.take_if(|word| word.contains('='))
    {
        pairs.insert(0, first);
    }
    let mut options = Table::new();
    if let Some(text) = text {
        let file = args.file.as_deref().unwrap_or(Path::new("-"));
        let (named, table) = component_table(kind, text)
            .map_err(|why| Failure::Configuration(format!("{}: {why}", file.display())))?;
        if let (Some(given), Some(named)) = (&plugin, &named)
            && given != named
        {
            let why = format!("the file has a component of {named}, not of {given}");
            return Err(Failure::Usage(why));
        }
        plugin = plugin.or(named);
        options = table;
    }
    let given = key_values::table(&pairs).map_err(Failure::Usage)?;
    merge(&mut options, given);
    let plugin = plugin.ok_or_else(|| {
        let example = format!("muster {kind} add PLUGIN --file FILE");
        Failure::Usage(format!(
            "the file does not name the plugin; name it: {example}"
        ))
    })?;
    let id = match (&args.id, options.remove("id")) {
        (Some(id), _) => id.clone(),
        (None, Some(Value::String(id))) => id,
        (None, Some(other)) => return Err(Failure::Usage(format!("an ID is a text, not {other}"))),
        (None, None) => derive_id(&plugin, &options),
    };
    muster_config::check_id(&id).map_err(|error| Failure::Usage(error.to_string()))?;
    Ok(New {
        plugin,
        id,
        options,
    })
}

/// The options of a file, and the plugin if it names one: the file is either the options alone, or
/// one `[[inputs.cpu]]` table.
fn component_table(kind: Kind, text: &str) -> Result<(Option<String>, Table), String> {
    let mut table: Table = text.parse().map_err(|error| format!("{error}"))?;
    let whole = Kind::ALL
        .into_iter()
        .find(|k| table.contains_key(k.table()));
    let Some(found) = whole else {
        return Ok((None, table));
    };
    if found.table() != kind.table() {
        return Err(format!("it has {found} tables; use `muster {found} add`"));
    }
    let several =
        || "it must have one component and nothing else; use `muster apply` for more".to_owned();
    let Some(Value::Table(plugins)) = table.remove(kind.table()) else {
        return Err(several());
    };
    let mut plugins = plugins.into_iter();
    let (Some((plugin, value)), None, true) = (plugins.next(), plugins.next(), table.is_empty())
    else {
        return Err(several());
    };
    match value {
        Value::Table(options) => Ok((Some(plugin), options)),
        Value::Array(mut items) => match (items.pop(), items.is_empty()) {
            (Some(Value::Table(options)), true) => Ok((Some(plugin), options)),
            _ => Err(several()),
        },
        _ => Err(several()),
    }
}

/// Puts what the command line says over what the file says.
fn merge(base: &mut Table, over: Table) {
    for (key, value) in over {
        match (base.get_mut(&key), value) {
            (Some(Value::Table(inner)), Value::Table(more)) => merge(inner, more),
            (_, value) => drop(base.insert(key, value)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(words: &[&str], text: Option<&str>, want: Result<(&str, &str, &str), &str>) {
        #[derive(Debug, clap::Parser)]
        struct Line {
            #[command(flatten)]
            args: AddArgs,
        }
        let line = ["add"].iter().chain(words);
        let args = <Line as clap::Parser>::try_parse_from(line).unwrap().args;
        let got = new_component(Kind::Input, &args, text);
        match (got, want) {
            (Ok(new), Ok((plugin, id, options))) => {
                let options: Table = options.parse().unwrap();
                assert_eq!(
                    new,
                    New {
                        plugin: plugin.into(),
                        id: id.into(),
                        options
                    },
                    "{words:?}"
                );
            }
            (Err(error), Err(want)) => {
                assert!(error.to_string().contains(want), "{words:?}: {error}");
            }
            (got, want) => panic!("{words:?}: {got:?} instead of {want:?}"),
        }
    }

    #[test]
    fn words_make_a_component() {
        check(
            &[
                "cpu",
                "--id",
                "a",
                "percpu=false",
                "interval=5s",
                "tags={dc=\"x\"}",
            ],
            None,
            Ok((
                "cpu",
                "a",
                "percpu = false\ninterval = '5s'\ntags = {dc = 'x'}",
            )),
        );
        check(&["mem", "id=b"], None, Ok(("mem", "b", "")));
        check(
            &["mem", "alias=main"],
            None,
            Ok(("mem", "main", "alias = 'main'")),
        );
        check(&["mem", "--id", "a b"], None, Err("is no ID"));
        check(&["mem", "nonsense"], None, Err("is no KEY=VALUE"));
    }

    #[test]
    fn a_file_makes_a_component() {
        let file = ["--file", "f.toml"];
        let whole = "[[inputs.cpu]]\nid = 'a'\npercpu = false\n[inputs.cpu.tags]\ndc = 'x'";
        check(
            &file,
            Some(whole),
            Ok(("cpu", "a", "percpu = false\ntags = {dc = 'x'}")),
        );
        check(
            &["percpu=true", "tags.n=1", "--id", "b", "--file", "f.toml"],
            Some(whole),
            Ok(("cpu", "b", "percpu = true\ntags = {dc = 'x', n = 1}")),
        );
        check(
            &["cpu", "--id", "a", "--file", "f"],
            Some("percpu = true"),
            Ok(("cpu", "a", "percpu = true")),
        );
        check(
            &file,
            Some("percpu = true"),
            Err("does not name the plugin"),
        );
        check(
            &["mem", "--file", "f"],
            Some(whole),
            Err("a component of cpu, not of mem"),
        );
        check(
            &file,
            Some("[[outputs.file]]"),
            Err("use `muster output add`"),
        );
        check(
            &file,
            Some("[[inputs.cpu]]\n[[inputs.mem]]"),
            Err("one component"),
        );
        check(
            &file,
            Some("[[inputs.cpu]]\n[[inputs.cpu]]"),
            Err("one component"),
        );
        check(&file, Some("[agent]\n[[inputs.cpu]]"), Err("one component"));
        check(&file, Some("a = "), Err("TOML parse error at line 1"));
    }
}
