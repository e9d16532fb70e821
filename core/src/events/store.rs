//! The subscriptions by their dialog and by what they watch.
//!
//! Invariants: each subscription stands in the index of dialogs and in the list of its resource; a resource has at least
//! one subscription, but for the moment between [`Store::resource`] and [`Store::add`].

use super::{Package, Subscription, SubscriptionKey};
use crate::base::{HashKey, Index, Key, Slab};

/// Names a resource while somebody watches it.
pub(super) type ResourceKey = Key<Resource>;

/// What is watched.
#[derive(Clone, Debug)]
pub(super) struct Resource {
    package: Package,
    name: Box<str>,
    watchers: Vec<SubscriptionKey>,
}

/// All subscriptions.
#[derive(Clone, Debug, Default)]
pub(super) struct Store {
    subscriptions: Slab<Subscription>,
    resources: Slab<Resource>,
    by_dialog: Index<SubscriptionKey>,
    by_name: Index<ResourceKey>,
}

fn hash_name(hash: &HashKey, package: Package, name: &str) -> u64 {
    hash.hash_parts(&[package.name().as_bytes(), name.as_bytes()])
}

impl Store {
    pub(super) fn len(&self) -> usize {
        self.subscriptions.len()
    }

    pub(super) fn get(&self, key: SubscriptionKey) -> Option<&Subscription> {
        self.subscriptions.get(key)
    }

    pub(super) fn get_mut(&mut self, key: SubscriptionKey) -> Option<&mut Subscription> {
        self.subscriptions.get_mut(key)
    }

    /// The subscription of a dialog with this hash for which `is_it` holds.
    pub(super) fn find(&self, hash: u64, is_it: impl Fn(&Subscription) -> bool) -> Option<SubscriptionKey> {
        self.by_dialog.find(hash, |key| self.subscriptions.get(key).is_some_and(&is_it))
    }

    /// Who watches a resource.
    pub(super) fn of(&self, hash: &HashKey, package: Package, name: &str) -> &[SubscriptionKey] {
        let found = self.find_resource(hash_name(hash, package, name), package, name);
        found.and_then(|key| self.resources.get(key)).map_or(&[], |resource| &resource.watchers)
    }

    pub(super) fn name(&self, key: ResourceKey) -> &str {
        self.resources.get(key).map_or("", |resource| &resource.name)
    }

    pub(super) fn all(&self) -> Vec<SubscriptionKey> {
        self.subscriptions.iter().map(|(key, _)| key).collect()
    }

    fn find_resource(&self, hash: u64, package: Package, name: &str) -> Option<ResourceKey> {
        self.by_name.find(hash, |key| {
            self.resources.get(key).is_some_and(|r| r.package == package && *r.name == *name)
        })
    }

    /// The resource of that name.
    pub(super) fn resource(&mut self, hash: &HashKey, package: Package, name: &str) -> ResourceKey {
        let hashed = hash_name(hash, package, name);
        if let Some(key) = self.find_resource(hashed, package, name) {
            return key;
        }
        let key = self.resources.insert(Resource { package, name: name.into(), watchers: Vec::new() });
        self.by_name.insert(hashed, key);
        key
    }

    pub(super) fn add(&mut self, hash: &HashKey, subscription: Subscription) -> SubscriptionKey {
        let (dialog, resource) = (subscription.dialog.hash(hash), subscription.resource);
        let key = self.subscriptions.insert(subscription);
        self.by_dialog.insert(dialog, key);
        if let Some(resource) = self.resources.get_mut(resource) {
            resource.watchers.push(key);
        }
        key
    }

    /// Takes a subscription out; and the name of its resource, if it was the last one.
    pub(super) fn remove(
        &mut self,
        hash: &HashKey,
        key: SubscriptionKey,
    ) -> Option<(Subscription, Option<Box<str>>)> {
        let sub = self.subscriptions.remove(key)?;
        self.by_dialog.remove(sub.dialog.hash(hash), |other| other == key);
        let resource = self.resources.get_mut(sub.resource)?;
        if let Some(at) = resource.watchers.iter().position(|other| *other == key) {
            resource.watchers.swap_remove(at);
        }
        if resource.watchers.is_empty() {
            let hashed = hash_name(hash, resource.package, &resource.name);
            self.by_name.remove(hashed, |other| other == sub.resource);
            let gone = self.resources.remove(sub.resource);
            return Some((sub, gone.map(|resource| resource.name)));
        }
        Some((sub, None))
    }
}
