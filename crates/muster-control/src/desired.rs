//! The desired state: what the files say, overlaid by what the API said. Pure.

use std::collections::BTreeMap;
use std::sync::Arc;

use muster_config::Definition;
use muster_plugin::ComponentId;
use serde::{Deserialize, Serialize};

/// Definitions by component.
pub type Definitions = BTreeMap<ComponentId, Arc<Definition>>;

/// What the API said about one component, over what the files say.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Overlay {
    /// It is to be as this definition says.
    Set(Arc<Definition>),
    /// It is not to be, whatever the files say.
    Removed,
}

/// The overlay of all components that the API changed.
pub type Overlays = BTreeMap<ComponentId, Overlay>;

/// What one change does to one component.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Edit {
    /// The definition before; `None` if there was none.
    pub before: Option<Arc<Definition>>,
    /// The definition after; `None` if there is none.
    pub after: Option<Arc<Definition>>,
}

/// The edits of one change, by component.
pub type Edits = BTreeMap<ComponentId, Edit>;

/// What is desired when `files` are overlaid by `overlays`.
pub fn effective(files: &Definitions, overlays: &Overlays) -> Definitions {
    let mut definitions = files.clone();
    for (id, overlay) in overlays {
        match overlay {
            Overlay::Set(definition) => definitions.insert(id.clone(), Arc::clone(definition)),
            Overlay::Removed => definitions.remove(id),
        };
    }
    definitions
}

/// The overlay that makes the desired definition out of what the files say of one component.
pub fn overlay_for(
    file: Option<&Arc<Definition>>,
    desired: Option<&Arc<Definition>>,
) -> Option<Overlay> {
    match (file, desired) {
        (Some(file), Some(desired)) if file.same_configuration(desired) => None,
        (_, Some(desired)) => Some(Overlay::Set(Arc::clone(desired))),
        (Some(_), None) => Some(Overlay::Removed),
        (None, None) => None,
    }
}

/// The overlays that make `desired` out of `files`: as few as possible.
pub fn overlays_for(files: &Definitions, desired: &Definitions) -> Overlays {
    let ids = files.keys().chain(desired.keys());
    let overlay =
        |id: &ComponentId| Some((id.clone(), overlay_for(files.get(id), desired.get(id))?));
    ids.filter_map(overlay).collect()
}

/// What leads from one set of definitions to another.
pub fn difference(from: &Definitions, to: &Definitions) -> Edits {
    let mut edits = Edits::new();
    for (id, before) in from {
        let after = to.get(id);
        if !after.is_some_and(|after| before.same_configuration(after)) {
            let edit = Edit {
                before: Some(Arc::clone(before)),
                after: after.cloned(),
            };
            edits.insert(id.clone(), edit);
        }
    }
    for (id, after) in to.iter().filter(|(id, _)| !from.contains_key(*id)) {
        edits.insert(
            id.clone(),
            Edit {
                before: None,
                after: Some(Arc::clone(after)),
            },
        );
    }
    edits
}

/// Makes the edits.
pub fn redo(definitions: &mut Definitions, edits: &Edits) {
    for (id, edit) in edits {
        put(definitions, id, &edit.after);
    }
}

/// Takes the edits back.
pub fn undo(definitions: &mut Definitions, edits: &Edits) {
    for (id, edit) in edits {
        put(definitions, id, &edit.before);
    }
}

fn put(definitions: &mut Definitions, id: &ComponentId, definition: &Option<Arc<Definition>>) {
    match definition {
        Some(definition) => definitions.insert(id.clone(), Arc::clone(definition)),
        None => definitions.remove(id),
    };
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use muster_config::Source;
    use muster_plugin::Kind;
    use proptest::prelude::*;

    pub(crate) fn definition(id: &str, option: i64) -> Arc<Definition> {
        let mut options = toml::Table::new();
        options.insert("n".into(), option.into());
        Arc::new(Definition {
            id: ComponentId::new(Kind::Input, id),
            plugin: "mock".into(),
            options,
            source: Source::Api,
            paused: false,
            position: 0,
        })
    }

    fn some_definitions() -> impl Strategy<Value = Definitions> {
        prop::collection::btree_map("[a-e]", 0i64..3, 0..5).prop_map(|map| {
            let build = |(id, n): (&String, &i64)| {
                let definition = definition(id, *n);
                (definition.id.clone(), definition)
            };
            map.iter().map(build).collect()
        })
    }

    proptest! {
        #[test]
        fn overlays_lead_to_what_is_desired(files in some_definitions(), desired in some_definitions()) {
            let overlays = overlays_for(&files, &desired);
            prop_assert_eq!(&effective(&files, &overlays), &desired);
            prop_assert!(overlays_for(&files, &files).is_empty());
        }

        #[test]
        fn edits_lead_forth_and_back(from in some_definitions(), to in some_definitions()) {
            let edits = difference(&from, &to);
            let mut definitions = from.clone();
            redo(&mut definitions, &edits);
            prop_assert_eq!(&definitions, &to);
            undo(&mut definitions, &edits);
            prop_assert_eq!(&definitions, &from);
        }
    }
}
