//! Things of which there can be only one: ports, exclusive files, what all components share.

use std::any::{Any, TypeId};
use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Weak};

use parking_lot::Mutex;

use crate::ComponentId;

/// What components hold beside themselves.
///
/// A component takes a resource by name (`tcp:127.0.0.1:8086`). The next generation of the same
/// component gets the very same one, so that a listener is handed over without closing; another
/// component is refused, and told who has it. A resource ends when the last holder drops it.
///
/// Cheap to clone; all clones are one.
#[derive(Clone, Default, Debug)]
pub struct Resources {
    held: Arc<Mutex<HashMap<String, Held>>>,
    /// Components that are about to go: what they hold may be taken over.
    leaving: Arc<BTreeSet<ComponentId>>,
    /// What belongs to all. As many as there are types that are asked for.
    common: Arc<Mutex<HashMap<TypeId, Weak<dyn Any + Send + Sync>>>>,
}

#[derive(Debug)]
struct Held {
    /// All who may have it: the present holder, and those that are to take it over.
    owners: Vec<ComponentId>,
    resource: Weak<dyn Any + Send + Sync>,
}

/// A resource that another component has.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{resource} is already used by {owner}")]
pub struct ResourceTaken {
    /// The resource's name.
    pub resource: String,
    /// Who has it.
    pub owner: ComponentId,
}

impl Resources {
    /// None held yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// The same resources for what a change brings: what these components hold, which the change
    /// removes, may be taken over as if it were the taker's own.
    #[must_use]
    pub fn inheriting_from(&self, leaving: impl IntoIterator<Item = ComponentId>) -> Self {
        Self {
            held: Arc::clone(&self.held),
            leaving: Arc::new(leaving.into_iter().collect()),
            common: Arc::clone(&self.common),
        }
    }

    /// What all components of the agent have together: the one `T`, made by the first who asks. It
    /// ends when the last holder drops it.
    pub fn common<T: Default + Send + Sync + 'static>(&self) -> Arc<T> {
        let mut common = self.common.lock();
        let kept = common.get(&TypeId::of::<T>()).and_then(Weak::upgrade);
        if let Some(Ok(kept)) = kept.map(Arc::downcast) {
            return kept;
        }
        let made = Arc::new(T::default());
        let weak: Weak<T> = Arc::downgrade(&made);
        common.insert(TypeId::of::<T>(), weak);
        made
    }

    /// Takes the resource `name` for `owner`: the one that an earlier generation of `owner` still
    /// holds, or a new one from `make`. `make` runs under a lock and must be quick (a bind).
    ///
    /// # Errors
    /// [`ResourceTaken`] if another component has it, or the error of `make`.
    pub fn take<T, E>(
        &self,
        owner: &ComponentId,
        name: &str,
        make: impl FnOnce() -> Result<T, E>,
    ) -> Result<Arc<T>, E>
    where
        T: Send + Sync + 'static,
        E: From<ResourceTaken>,
    {
        let mut held = self.held.lock();
        held.retain(|_, held| held.resource.strong_count() > 0);
        if let Some(found) = held.get_mut(name)
            && let Some(resource) = found.resource.upgrade()
        {
            let owner_now = found.owners.first().unwrap_or(owner).clone();
            let taken = || ResourceTaken {
                resource: name.to_owned(),
                owner: owner_now,
            };
            let mine = found.owners.contains(owner);
            if !mine && !found.owners.iter().any(|o| self.leaving.contains(o)) {
                return Err(taken().into());
            }
            if !mine {
                found.owners.push(owner.clone());
            }
            return resource.downcast::<T>().map_err(|_| taken().into());
        }
        let resource = Arc::new(make()?);
        let weak: Weak<T> = Arc::downgrade(&resource);
        held.insert(
            name.to_owned(),
            Held {
                owners: vec![owner.clone()],
                resource: weak,
            },
        );
        Ok(resource)
    }
}

impl From<ResourceTaken> for crate::PluginError {
    fn from(taken: ResourceTaken) -> Self {
        Self::new(format!("take {}", taken.resource)).because(taken)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Kind, PluginError};

    #[test]
    fn hands_over_to_the_same_owner_and_refuses_others() {
        let resources = Resources::new();
        let (a, b) = (
            ComponentId::new(Kind::Input, "a"),
            ComponentId::new(Kind::Input, "b"),
        );
        let take = |owner| resources.take::<u32, PluginError>(owner, "tcp:1", || Ok(7));
        let first = take(&a).unwrap();
        let second = take(&a).unwrap();
        assert!(Arc::ptr_eq(&first, &second));
        let refused = take(&b).unwrap_err().to_string();
        assert!(refused.contains("inputs/a"), "{refused}");
        let heir = resources.inheriting_from([a.clone()]);
        let third = heir
            .take::<u32, PluginError>(&b, "tcp:1", || Ok(8))
            .unwrap();
        assert!(
            Arc::ptr_eq(&first, &third),
            "what a removed component holds is handed on"
        );
        drop((first, third));
        let c = ComponentId::new(Kind::Input, "c");
        assert!(take(&c).is_err());
        drop(second);
        assert!(take(&c).is_ok());
    }

    #[test]
    fn what_is_common_is_one_while_somebody_has_it() {
        let resources = Resources::new();
        let first = resources.common::<Mutex<u32>>();
        *first.lock() = 7;
        let heir = resources.inheriting_from([]);
        let second = heir.common::<Mutex<u32>>();
        assert!(Arc::ptr_eq(&first, &second));
        drop((first, second));
        assert_eq!(*resources.common::<Mutex<u32>>().lock(), 0);
    }
}
