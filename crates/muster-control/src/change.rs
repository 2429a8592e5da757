//! What can be asked of the desired state, and why it may be refused. Pure.

use std::sync::Arc;

use muster_config::{Definition, Diagnostics, Source};
use muster_engine::Refusal;
use muster_plugin::{ComponentId, Kind};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::desired::{Definitions, Edit, Edits};
use crate::store::StoreError;

/// One step of a change.
#[derive(Clone, Debug)]
pub enum Step {
    /// A new component; refused if the ID exists.
    Add(Box<Definition>),
    /// A component as it is to be from now on; refused if the ID does not exist.
    Set(Box<Definition>),
    /// A component as it is to be, whether it exists or not.
    Put(Box<Definition>),
    /// Some options of a component that exists: those given replace, `null` removes, a dot in a
    /// name leads into a sub-table.
    Patch(ComponentId, Map<String, Value>),
    /// A component is to be no more; refused if the ID does not exist.
    Remove(ComponentId),
    /// A component is to rest, or to work again.
    Pause(ComponentId, bool),
}

/// A change: all its steps or none.
#[derive(Clone, Debug, Default)]
pub struct Request {
    /// The steps, in order.
    pub steps: Vec<Step>,
    /// The generation that it was made for; refused if that is not the present one.
    pub base: Option<u64>,
    /// Only say what it would do.
    pub dry_run: bool,
    /// Who asks: `api`, `files`, `rollback`.
    pub by: &'static str,
    /// What for, in the words of who asks.
    pub message: String,
}

/// What became of a change.
#[derive(Clone, Debug)]
pub struct Applied {
    /// The generation now.
    pub generation: u64,
    /// What was done, or would be.
    pub edits: Edits,
    /// How many components were started anew, or would be, although their definitions are the same:
    /// the agent's settings changed, or one was told to be tried again.
    pub restarted: usize,
    /// Whether it was only tried.
    pub dry_run: bool,
}

/// Why a change was not made. Nothing of it was.
#[derive(Debug, thiserror::Error)]
pub enum ChangeError {
    /// The desired state has changed since the generation that the change was made for.
    #[error("the change was made for generation {base}, but {current} is the present one")]
    Stale {
        /// What the change was made for.
        base: u64,
        /// The present generation.
        current: u64,
        /// Which components differ between the two.
        differs: Vec<ComponentId>,
    },
    /// Steps do not fit what there is: all of them.
    #[error("{}", .0.join("\n"))]
    Conflict(Vec<String>),
    /// A component is named that there is not.
    #[error("{}", .0.join("\n"))]
    NotFound(Vec<String>),
    /// Components cannot be built or started: all of them.
    #[error("{}", lines(.0))]
    Refused(Vec<Refusal>),
    /// A text cannot be read.
    #[error("{}", .0.render(false))]
    Invalid(Diagnostics),
    /// The generation is not kept any more, or was never there.
    #[error("there is no generation {0}; `muster history` lists those that are kept")]
    NoGeneration(u64),
    /// The change could not be made durable.
    #[error("{0}")]
    Store(#[from] StoreError),
    /// The agent stops.
    #[error("the agent is stopping")]
    Stopping,
}

fn lines(refusals: &[Refusal]) -> String {
    let lines: Vec<String> = refusals.iter().map(ToString::to_string).collect();
    lines.join("\n")
}

/// What the steps do to the definitions.
///
/// # Errors
/// All steps that do not fit.
pub fn edits(definitions: &Definitions, steps: &[Step]) -> Result<Edits, ChangeError> {
    let mut edits = Edits::new();
    let (mut conflicts, mut missing) = (Vec::new(), Vec::new());
    for step in steps {
        let id = step.id();
        let now = match edits.get(id) {
            Some(Edit { after, .. }) => after.clone(),
            None => definitions.get(id).cloned(),
        };
        let exists = |now: &Option<Arc<Definition>>| {
            let at = now
                .as_ref()
                .map_or_else(String::new, |d| format!(" (defined in {})", d.source));
            format!("{id} exists already{at}; use `set` to change it")
        };
        let absent = || format!("there is no {id}");
        let after = match (step, &now) {
            (Step::Add(_), Some(_)) => {
                conflicts.push(exists(&now));
                continue;
            }
            (Step::Add(new) | Step::Put(new), None) => Some(Arc::new((**new).clone())),
            (Step::Set(new) | Step::Put(new), Some(old)) => Some(Arc::new(successor(old, new))),
            (Step::Patch(_, options), Some(old)) => match patched(old, options) {
                Ok(definition) => Some(Arc::new(definition)),
                Err(why) => {
                    conflicts.push(format!("{id}: {why}"));
                    continue;
                }
            },
            (Step::Remove(_), Some(_)) => None,
            (Step::Pause(_, paused), Some(old)) => Some(Arc::new(Definition {
                paused: *paused,
                ..(**old).clone()
            })),
            (Step::Set(_) | Step::Patch(..) | Step::Remove(_) | Step::Pause(..), None) => {
                missing.push(absent());
                continue;
            }
        };
        let before = definitions.get(id).cloned();
        edits.insert(id.clone(), Edit { before, after });
    }
    if !conflicts.is_empty() {
        conflicts.extend(missing);
        return Err(ChangeError::Conflict(conflicts));
    }
    if !missing.is_empty() {
        return Err(ChangeError::NotFound(missing));
    }
    edits.retain(|_, edit| match (&edit.before, &edit.after) {
        (Some(before), Some(after)) => !before.same_configuration(after),
        (None, None) => false,
        _ => true,
    });
    Ok(edits)
}

/// A definition that takes the place of an older one keeps its place among the processors.
fn successor(old: &Definition, new: &Definition) -> Definition {
    let position = if new.position == 0 {
        old.position
    } else {
        new.position
    };
    Definition {
        position,
        ..new.clone()
    }
}

fn patched(old: &Definition, options: &Map<String, Value>) -> Result<Definition, String> {
    let mut definition = old.clone();
    definition.source = Source::Api;
    for (key, value) in options {
        let value = (!value.is_null()).then(|| to_toml(value)).transpose();
        let value = value.map_err(|why| format!("{key}: {why}"))?;
        patch(&mut definition.options, key, value)?;
    }
    Ok(definition)
}

/// Keys of a patch lead so many tables down.
const MOST_DEPTH: usize = 16;

/// Sets or removes one option; a dot in the key leads into a sub-table.
fn patch(table: &mut toml::Table, key: &str, value: Option<toml::Value>) -> Result<(), String> {
    let Some((outer, rest)) = key.split_once('.') else {
        match value {
            Some(value) => drop(table.insert(key.to_owned(), value)),
            None => drop(table.remove(key)),
        }
        return Ok(());
    };
    let inner = table
        .entry(outer)
        .or_insert_with(|| toml::Table::new().into());
    let inner = inner
        .as_table_mut()
        .ok_or_else(|| format!("{key}: `{outer}` is no table"))?;
    if rest.matches('.').count() > MOST_DEPTH {
        return Err(format!("{key:.40}: too many dots"));
    }
    patch(inner, rest, value)?;
    if inner.is_empty() {
        table.remove(outer);
    }
    Ok(())
}

/// A JSON value as the TOML that a file would have.
///
/// # Errors
/// For `null` inside of lists and tables, and numbers beyond 64 bits.
pub fn to_toml(value: &Value) -> Result<toml::Value, String> {
    Ok(match value {
        Value::Null => return Err("null is no value here".to_owned()),
        Value::Bool(b) => (*b).into(),
        Value::Number(n) => match (n.as_i64(), n.as_f64()) {
            (Some(n), _) => n.into(),
            (None, Some(n)) if !n.is_nan() && n.abs() < 9.3e18 => n.into(),
            _ => return Err(format!("{n} does not fit 64 bits")),
        },
        Value::String(s) => s.clone().into(),
        Value::Array(items) => {
            toml::Value::Array(items.iter().map(to_toml).collect::<Result<_, _>>()?)
        }
        Value::Object(map) => {
            let pair = |(k, v): (&String, &Value)| Ok((k.clone(), to_toml(v)?));
            toml::Value::Table(map.iter().map(pair).collect::<Result<_, String>>()?)
        }
    })
}

/// A definition from the parts that the API and the command line have.
///
/// # Errors
/// If an option is no TOML value.
pub fn definition(
    kind: Kind,
    id: &str,
    plugin: &str,
    options: &Map<String, Value>,
) -> Result<Definition, String> {
    let toml::Value::Table(options) = to_toml(&Value::Object(options.clone()))? else {
        return Err("options are a table".to_owned());
    };
    Ok(Definition {
        id: ComponentId::new(kind, id),
        plugin: plugin.to_owned(),
        options,
        source: Source::Api,
        paused: false,
        position: 0,
    })
}

impl Step {
    fn id(&self) -> &ComponentId {
        match self {
            Self::Add(d) | Self::Set(d) | Self::Put(d) => &d.id,
            Self::Patch(id, _) | Self::Remove(id) | Self::Pause(id, _) => id,
        }
    }
}

/// The word for what an edit does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum EditKind {
    /// A new component.
    Added,
    /// Another definition.
    Changed,
    /// No more.
    Removed,
}

impl Edit {
    /// What the edit does.
    pub fn kind(&self) -> EditKind {
        match (&self.before, &self.after) {
            (None, _) => EditKind::Added,
            (Some(_), Some(_)) => EditKind::Changed,
            (Some(_), None) => EditKind::Removed,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::desired::tests::definition;
    use serde_json::json;

    fn check(steps: Vec<Step>, want: Result<&[(&str, EditKind)], &str>) {
        let (a, b) = (definition("a", 1), definition("b", 1));
        let definitions = Definitions::from([(a.id.clone(), a), (b.id.clone(), b)]);
        let got = edits(&definitions, &steps);
        match (got, want) {
            (Ok(edits), Ok(want)) => {
                let got: Vec<_> = edits.iter().map(|(id, e)| (&*id.id, e.kind())).collect();
                assert_eq!(got, want);
            }
            (Err(error), Err(want)) => assert_eq!(error.to_string(), want),
            (got, want) => panic!("{got:?} instead of {want:?}"),
        }
    }

    fn boxed(id: &str, n: i64) -> Box<Definition> {
        Box::new((*definition(id, n)).clone())
    }

    fn id(id: &str) -> ComponentId {
        ComponentId::new(Kind::Input, id)
    }

    #[test]
    fn steps_that_fit_become_edits() {
        let steps = vec![
            Step::Add(boxed("c", 1)),
            Step::Set(boxed("a", 2)),
            Step::Remove(id("b")),
        ];
        let want = [
            ("a", EditKind::Changed),
            ("b", EditKind::Removed),
            ("c", EditKind::Added),
        ];
        check(steps, Ok(&want));
        check(vec![Step::Put(boxed("a", 1))], Ok(&[]));
        check(
            vec![Step::Pause(id("a"), true)],
            Ok(&[("a", EditKind::Changed)]),
        );
        check(
            vec![Step::Remove(id("a")), Step::Add(boxed("a", 1))],
            Ok(&[]),
        );
        check(
            vec![Step::Add(boxed("c", 1)), Step::Remove(id("c"))],
            Ok(&[]),
        );
    }

    #[test]
    fn options_are_patched_one_by_one() {
        let check = |patch: Value, want: &str| {
            let mut old = (*definition("a", 1)).clone();
            old.options.insert(
                "tags".into(),
                toml::Value::Table("dc = 'x'".parse().unwrap()),
            );
            let got = match patched(&old, patch.as_object().unwrap()) {
                Ok(definition) => definition.options.to_string(),
                Err(why) => why,
            };
            assert_eq!(got.trim(), want);
        };
        check(json!({"n": 2, "tags": null}), "n = 2");
        check(json!({"tags": {"y": 1}}), "n = 1\n\n[tags]\ny = 1");
        check(json!({"tags.y": 1}), "n = 1\n\n[tags]\ndc = \"x\"\ny = 1");
        check(json!({"tags.dc": null}), "n = 1");
        check(
            json!({"a.b.c": 1, "n": null}),
            "[a.b]\nc = 1\n\n[tags]\ndc = \"x\"",
        );
        check(json!({"none.b": null}), "n = 1\n\n[tags]\ndc = \"x\"");
        check(json!({"n.b": 1}), "n.b: `n` is no table");
    }

    #[test]
    fn all_that_does_not_fit_is_named() {
        let steps = vec![
            Step::Add(boxed("a", 1)),
            Step::Remove(id("x")),
            Step::Add(boxed("c", 1)),
        ];
        let want = "inputs/a exists already (defined in the API); use `set` to change it\n\
                    there is no inputs/x";
        check(steps, Err(want));
        check(
            vec![Step::Pause(id("y"), true)],
            Err("there is no inputs/y"),
        );
    }
}
