//! Adding up groups that have become the same.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;

use crate::profile::{Frame, Group, Label, MAX_GROUPS, Profile, Stack, WaitClass};

#[derive(PartialEq, Eq, Hash)]
struct Key {
    stack: Stack,
    class: WaitClass,
    reason: Option<Arc<str>>,
    created_by: Option<Frame>,
    labels: Arc<[Label]>,
    leaked: bool,
}

/// Puts the groups of a source into a profile, each once.
#[derive(Default)]
pub(crate) struct Merger {
    groups: Vec<Group>,
    places: HashMap<Key, usize, foldhash::fast::RandomState>,
}

impl Merger {
    /// Takes in a group; `false` if there are too many.
    #[must_use]
    pub(crate) fn add(&mut self, group: Group) -> bool {
        let key = Key {
            stack: group.stack.clone(),
            class: group.class,
            reason: group.reason.clone(),
            created_by: group.created_by.clone(),
            labels: group.labels.clone(),
            leaked: group.leaked,
        };
        match self.places.entry(key) {
            Entry::Occupied(place) => self.groups[*place.get()].absorb(&group),
            Entry::Vacant(_) if self.groups.len() == MAX_GROUPS => return false,
            Entry::Vacant(place) => {
                place.insert(self.groups.len());
                self.groups.push(group);
            }
        }
        true
    }

    /// Hands the groups over, the largest first.
    pub(crate) fn finish(mut self, profile: &mut Profile) {
        self.groups
            .sort_by_key(|group| std::cmp::Reverse(group.count));
        profile.groups = self.groups;
    }
}
