//! Things of which there can be only one: ports, exclusive files.

use std::any::{Any, TypeId};
use std::collections::{BTreeSet, HashMap};
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock, Weak};

use parking_lot::Mutex;

use crate::ComponentId;

/// The exclusive resources that components hold.
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
    common: Arc<Mutex<HashMap<TypeId, Weak<dyn Any + Send + Sync>>>>,
    directory: Arc<OnceLock<PathBuf>>,
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
            directory: Arc::clone(&self.directory),
        }
    }

    /// Lets components keep files below this directory. Once: later ones change nothing.
    pub fn allow_files_in(&self, directory: &Path) {
        let _ = self.directory.set(directory.to_owned());
    }

    /// Below which directory components may keep files, each in a folder of its own; none where
    /// nothing may be kept, as while a component is only tried.
    pub fn directory(&self) -> Option<&Path> {
        self.directory.get().map(PathBuf::as_path)
    }

    /// The one `T` that all components have in common: made when the first asks for it, and gone
    /// when the last has dropped it.
    pub fn shared<T: Default + Send + Sync + 'static>(&self) -> Arc<T> {
        let mut common = self.common.lock();
        let held = common.get(&TypeId::of::<T>()).and_then(Weak::upgrade);
        if let Some(Ok(shared)) = held.map(Arc::downcast::<T>) {
            return shared;
        }
        let shared = Arc::new(T::default());
        let weak: Weak<T> = Arc::downgrade(&shared);
        common.insert(TypeId::of::<T>(), weak);
        shared
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
    fn all_share_one_while_anybody_has_it() {
        let resources = Resources::new();
        let first = resources.shared::<Mutex<u32>>();
        *first.lock() = 7;
        let heir = resources.inheriting_from([]);
        assert_eq!(*heir.shared::<Mutex<u32>>().lock(), 7);
        drop(first);
        assert_eq!(*resources.shared::<Mutex<u32>>().lock(), 0);
    }

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
}
