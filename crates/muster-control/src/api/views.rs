//! What the API shows, as JSON.

use muster_config::Definition;
use muster_engine::Component;
use muster_plugin::Registry;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use super::instances::InstanceView;
use crate::Record;
use crate::change::Applied;
use crate::desired::{Edit, Edits};

/// A component: what is asked for and what became of it.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct ComponentView {
    /// `input`, `processor`, `aggregator`, `output`, `check` or `publisher`.
    pub kind: String,
    /// Its ID, unique within its kind.
    pub id: String,
    /// The plugin.
    pub plugin: String,
    /// Where the definition stands.
    pub source: String,
    /// The definition; secrets are `***`.
    #[schema(value_type = Object)]
    pub options: Value,
    /// State, counters, last error.
    #[schema(value_type = Object)]
    pub observed: Value,
    /// An output's queue.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub queue: Option<QueueView>,
    /// A check's instances.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub instances: Vec<InstanceView>,
}

/// What waits for an output.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct QueueView {
    /// Metrics that wait.
    pub metrics: usize,
    /// The most that wait.
    pub limit: usize,
    /// Bytes of memory that they take.
    pub bytes: usize,
    /// Metrics ever dropped because there was no room.
    pub dropped: u64,
}

impl ComponentView {
    /// Shows a component.
    pub fn of(component: &Component, registry: &Registry) -> Self {
        let definition = &component.definition;
        Self {
            kind: definition.id.kind.to_string(),
            id: definition.id.id.to_string(),
            plugin: definition.plugin.clone(),
            source: definition.source.to_string(),
            options: masked(definition, registry),
            observed: serde_json::to_value(&component.observed).unwrap_or_default(),
            queue: component.queue.map(|queue| QueueView {
                metrics: queue.metrics,
                limit: queue.limit,
                bytes: queue.bytes,
                dropped: queue.dropped,
            }),
            instances: Vec::new(),
        }
    }
}

fn masked(definition: &Definition, registry: &Registry) -> Value {
    serde_json::to_value(definition.masked(registry)).unwrap_or_default()
}

/// What a change did, or would do.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct AppliedView {
    /// The generation now.
    pub generation: u64,
    /// Whether it was only tried.
    pub dry_run: bool,
    /// What it did to each component.
    pub edits: Vec<EditView>,
    /// How many components were started anew, or would be, although their definitions are the same.
    #[serde(default)]
    pub restarted: usize,
}

/// What a change does to one component.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct EditView {
    /// The component, as `inputs/cpu`.
    pub component: String,
    /// `added`, `changed` or `removed`.
    pub action: String,
    /// The plugin.
    pub plugin: String,
    /// The options before; secrets are `***`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    pub before: Option<Value>,
    /// The options after; secrets are `***`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    pub after: Option<Value>,
}

/// Shows edits.
pub(super) fn edit_views(edits: &Edits, registry: &Registry) -> Vec<EditView> {
    let show = |definition: &Definition| {
        let mut options = masked(definition, registry);
        if definition.paused
            && let Some(map) = options.as_object_mut()
        {
            map.insert("paused".to_owned(), true.into());
        }
        options
    };
    let view = |(id, edit): (&muster_plugin::ComponentId, &Edit)| EditView {
        component: id.to_string(),
        action: format!("{:?}", edit.kind()).to_lowercase(),
        plugin: edit
            .after
            .as_ref()
            .or(edit.before.as_ref())
            .map_or_else(String::new, |d| d.plugin.clone()),
        before: edit.before.as_deref().map(show),
        after: edit.after.as_deref().map(show),
    };
    edits.iter().map(view).collect()
}

impl AppliedView {
    /// Shows what a change did.
    pub fn of(applied: &Applied, registry: &Registry) -> Self {
        Self {
            generation: applied.generation,
            dry_run: applied.dry_run,
            edits: edit_views(&applied.edits, registry),
            restarted: applied.restarted,
        }
    }
}

/// One change of the history.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct RecordView {
    /// The generation that it led to.
    pub generation: u64,
    /// When, in nanoseconds since 1970.
    pub at: i64,
    /// Who: `api`, `files`, `start`, `rollback`.
    pub by: String,
    /// What for.
    pub message: String,
    /// What it did.
    pub edits: Vec<EditView>,
}

impl RecordView {
    /// Shows a record.
    pub fn of(record: &Record, registry: &Registry) -> Self {
        Self {
            generation: record.generation,
            at: record.at,
            by: record.by.clone(),
            message: record.message.clone(),
            edits: edit_views(&record.edits, registry),
        }
    }
}

/// The agent as a whole.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct StatusView {
    /// The program's version.
    pub version: String,
    /// The process.
    pub pid: u32,
    /// Since when, in nanoseconds since 1970.
    pub started: i64,
    /// The generation of the desired state.
    pub generation: u64,
    /// How many components are in which state, by kind.
    #[schema(value_type = Object)]
    pub components: Value,
    /// Tasks that live.
    pub tasks: usize,
    /// The state directory.
    pub state_dir: String,
    /// Components that are not well, with why.
    pub troubles: Vec<Trouble>,
    /// Tasks that hold a thread for long.
    pub stuck: Vec<String>,
    /// Other tasks that leak or seem to.
    #[serde(default)]
    pub leaks: Vec<String>,
    /// Why the files could not be read last time, if they could not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reload_error: Option<String>,
}

/// A component that is not well.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Trouble {
    /// The component, as `inputs/cpu`.
    pub component: String,
    /// Its state.
    pub state: String,
    /// Why.
    pub why: String,
    /// Since when, in nanoseconds since 1970.
    pub since: i64,
}
