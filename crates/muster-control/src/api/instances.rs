//! What the checks know of their instances.

use std::sync::Arc;

use muster_plugin::Kind;
use muster_sentinel::document::{Document, Writer};
use muster_sentinel::{Board, Slot, Transition};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::views::ComponentView;

/// One instance that a check looks after.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct InstanceView {
    /// Its ID: kind and place, as `redis:127.0.0.1:6379`.
    pub id: String,
    /// What is known of it, as publishers write it.
    #[schema(value_type = Object)]
    pub status: Document,
    /// How it came to that, oldest first, at most the last 100. Only shown with one component.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub transitions: Vec<TransitionView>,
}

/// A change of an instance's state or reason.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TransitionView {
    /// When, in nanoseconds since 1970.
    pub at: i64,
    /// The state before.
    pub from: String,
    /// The state since then.
    pub to: String,
    /// Why.
    pub reason: String,
    /// The reason in the words of the server or the system.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
}

impl InstanceView {
    fn of(slot: &Slot) -> Self {
        // Who writes is no question here: this agent answers.
        let writer = Writer::default();
        Self {
            id: slot.id().to_string(),
            status: Document::new(&slot.instance(), &slot.status(), &writer),
            transitions: Vec::new(),
        }
    }
}

impl TransitionView {
    fn of(transition: &Transition) -> Self {
        Self {
            at: transition.at.nanos(),
            from: transition.from.to_string(),
            to: transition.to.to_string(),
            reason: transition.reason.to_string(),
            detail: transition.detail.as_deref().map(str::to_owned),
        }
    }
}

/// Adds their instances to the checks among `views`.
pub(super) fn add_to(views: &mut [ComponentView], board: &Board) {
    if views.iter().all(|view| view.kind != Kind::Check.as_str()) {
        return;
    }
    for slot in board.slots() {
        let component = slot.component();
        let view = views
            .iter_mut()
            .find(|view| view.kind == Kind::Check.as_str() && *view.id == *component);
        if let Some(view) = view {
            view.instances.push(InstanceView::of(&slot));
        }
    }
}

/// Adds its instances with their transitions to a check.
pub(super) fn add_whole(view: &mut ComponentView, board: &Board) {
    if view.kind != Kind::Check.as_str() {
        return;
    }
    let mine = |slot: &Arc<Slot>| *slot.component() == *view.id;
    let slots = board.slots();
    let whole = slots
        .iter()
        .filter(|slot| mine(slot))
        .map(|slot| InstanceView {
            transitions: slot.transitions().iter().map(TransitionView::of).collect(),
            ..InstanceView::of(slot)
        });
    view.instances = whole.collect();
}
