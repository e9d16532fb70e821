//! The subscriptions by their dialog and by what they watch.
//!
//! Invariants: each subscription stands in the list of its dialog and in that of its resource; a dialog and a resource
//! have at least one subscription, but for the moment between their making and [`Store::add`].

use core::net::{IpAddr, Ipv4Addr};
use std::collections::BTreeMap;

use smallvec::SmallVec;

use super::{NO_SUCH, Package, Subscription, SubscriptionKey};
use crate::base::{HashKey, Index, Key, Slab};
use crate::ctx::{Ctx, Origin, Refusal};
use crate::dialog::Dialog;
use crate::door::FlowId;
use crate::wire::{Essentials, Event, Message};

/// Names a resource while somebody watches it.
pub(super) type ResourceKey = Key<Resource>;

/// What is watched.
#[derive(Clone, Debug)]
pub(super) struct Resource {
    package: Package,
    name: Box<str>,
    watchers: Vec<SubscriptionKey>,
}

/// Names a dialog while somebody subscribes in it.
pub(crate) type DialogKey = Key<Shared>;

/// A dialog and what is subscribed to in it: one subscription mostly, several by RFC 6665 s4.5.2.
#[derive(Clone, Debug)]
pub(crate) struct Shared {
    pub(super) dialog: Dialog,
    /// Who it is: a canonical AoR, or empty.
    pub(super) watcher: Box<str>,
    /// Nobody was asked to prove who he is.
    pub(super) trusted: bool,
    /// CSeq numbers up to this one are reserved in the store.
    pub(super) reserved: u32,
    subscriptions: SmallVec<[SubscriptionKey; 1]>,
}

/// All subscriptions.
#[derive(Clone, Debug, Default)]
pub(super) struct Store {
    subscriptions: Slab<Subscription>,
    dialogs: Slab<Shared>,
    resources: Slab<Resource>,
    by_dialog: Index<DialogKey>,
    by_name: Index<ResourceKey>,
    /// How many dialogs use a connection. Its names are ours: no peer chooses them.
    streams: BTreeMap<FlowId, u32>,
    /// How many subscriptions a watcher has.
    by_watcher: BTreeMap<Box<str>, usize>,
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

    /// A subscription with its dialog.
    pub(super) fn both(&self, key: SubscriptionKey) -> Option<(&Subscription, &Shared)> {
        let sub = self.subscriptions.get(key)?;
        Some((sub, self.dialogs.get(sub.dialog)?))
    }

    pub(super) fn both_mut(&mut self, key: SubscriptionKey) -> Option<(&mut Subscription, &mut Shared)> {
        let sub = self.subscriptions.get_mut(key)?;
        let shared = self.dialogs.get_mut(sub.dialog)?;
        Some((sub, shared))
    }

    /// The dialog a request is in.
    pub(super) fn dialog_of(&self, hash: &HashKey, ess: &Essentials<'_>) -> Option<(DialogKey, &Shared)> {
        let is_it = |key| self.dialogs.get(key).is_some_and(|shared: &Shared| shared.dialog.has(ess));
        let key = self.by_dialog.find(Dialog::hash_of(hash, ess), is_it)?;
        Some((key, self.dialogs.get(key)?))
    }

    /// The same dialog as this one, if it is there.
    pub(super) fn same_dialog(&self, hash: &HashKey, dialog: &Dialog) -> Option<DialogKey> {
        let is_it = |key| self.dialogs.get(key).is_some_and(|shared: &Shared| shared.dialog.is(dialog));
        self.by_dialog.find(dialog.hash(hash), is_it)
    }

    pub(super) fn dialog_mut(&mut self, key: DialogKey) -> Option<&mut Shared> {
        self.dialogs.get_mut(key)
    }

    /// Another subscription of a dialog.
    pub(super) fn other_in(&self, key: DialogKey) -> Option<SubscriptionKey> {
        self.dialogs.get(key)?.subscriptions.first().copied()
    }

    /// The subscription of a dialog that an Event names (RFC 6665 s8.2.1).
    pub(super) fn named(
        &self,
        shared: &Shared,
        package: Package,
        event: &Event<'_>,
    ) -> Option<SubscriptionKey> {
        let is_it = |key: &&SubscriptionKey| {
            self.subscriptions
                .get(**key)
                .is_some_and(|sub| sub.package == package && *sub.event_id == *event.id().unwrap_or_default())
        };
        shared.subscriptions.iter().find(is_it).copied()
    }

    /// What is subscribed to in the dialog of a subscription, itself among it.
    pub(super) fn beside(&self, key: SubscriptionKey) -> SmallVec<[SubscriptionKey; 1]> {
        self.both(key).map(|(_, shared)| shared.subscriptions.clone()).unwrap_or_default()
    }

    /// The resource of the first subscription of a dialog: all of them are about the same.
    pub(super) fn resource_of(&self, shared: &Shared) -> &str {
        let first = shared.subscriptions.first().and_then(|key| self.subscriptions.get(*key));
        first.map_or("", |sub| self.name(sub.resource))
    }

    /// A request within a dialog: its number, its target, where it came from.
    pub(super) fn accept(
        &mut self,
        ctx: &Ctx<'_>,
        key: DialogKey,
        origin: &Origin,
        (msg, ess): (Message<'_>, &Essentials<'_>),
    ) -> Result<(), Refusal> {
        let shared = self.dialogs.get_mut(key).ok_or(NO_SUCH)?;
        let before = shared.dialog.stream();
        shared.dialog.accept(ctx, origin, msg, ess)?;
        let after = shared.dialog.stream();
        self.count_stream(before, after);
        Ok(())
    }

    fn count_stream(&mut self, before: Option<FlowId>, after: Option<FlowId>) {
        if before == after {
            return;
        }
        if let Some(flow) = after {
            *self.streams.entry(flow).or_default() += 1;
        }
        if let Some(flow) = before
            && let Some(count) = self.streams.get_mut(&flow)
        {
            *count -= 1;
            if *count == 0 {
                self.streams.remove(&flow);
            }
        }
    }

    /// How many subscriptions a watcher has.
    pub(super) fn of_watcher(&self, watcher: &str) -> usize {
        self.by_watcher.get(watcher).copied().unwrap_or(0)
    }

    /// Who subscribes in a dialog.
    pub(super) fn watcher_of(&self, key: DialogKey) -> &str {
        self.dialogs.get(key).map_or("", |shared| &shared.watcher)
    }

    /// Where the last request in a dialog came from.
    pub(super) fn source_of(&self, key: DialogKey) -> IpAddr {
        let source = self.dialogs.get(key).map(|shared| shared.dialog.source());
        source.unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED))
    }

    /// True if a dialog came over this connection.
    pub(super) fn uses_flow(&self, flow: FlowId) -> bool {
        self.streams.contains_key(&flow)
    }

    /// Adds a dialog without subscriptions: the next step adds one.
    pub(super) fn add_dialog(
        &mut self,
        hash: &HashKey,
        dialog: Dialog,
        watcher: &str,
        trusted: bool,
    ) -> DialogKey {
        let hashed = dialog.hash(hash);
        self.count_stream(None, dialog.stream());
        let subscriptions = SmallVec::new();
        let key = self.dialogs.insert(Shared {
            dialog,
            watcher: watcher.into(),
            trusted,
            reserved: 0,
            subscriptions,
        });
        self.by_dialog.insert(hashed, key);
        key
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

    /// Subscriptions from a place on, with their watchers.
    pub(super) fn from(&self, place: usize) -> impl Iterator<Item = (SubscriptionKey, &Subscription, &str)> {
        self.subscriptions.iter_from(place).map(|(key, sub)| (key, sub, self.watcher_of(sub.dialog)))
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

    pub(super) fn add(&mut self, subscription: Subscription) -> SubscriptionKey {
        let (dialog, resource) = (subscription.dialog, subscription.resource);
        let key = self.subscriptions.insert(subscription);
        if let Some(shared) = self.dialogs.get_mut(dialog) {
            shared.subscriptions.push(key);
            match self.by_watcher.get_mut(&shared.watcher) {
                Some(count) => *count += 1,
                None => drop(self.by_watcher.insert(shared.watcher.clone(), 1)),
            }
        }
        if let Some(resource) = self.resources.get_mut(resource) {
            let at = resource.watchers.len() as u32;
            resource.watchers.push(key);
            if let Some(sub) = self.subscriptions.get_mut(key) {
                sub.at = at;
            }
        }
        key
    }

    /// Takes a subscription out, and its dialog with the last one; and the name of its resource, if it was the last one
    /// of that.
    pub(super) fn remove(
        &mut self,
        hash: &HashKey,
        key: SubscriptionKey,
    ) -> Option<(Subscription, Option<Box<str>>)> {
        let sub = self.subscriptions.remove(key)?;
        let shared = self.dialogs.get_mut(sub.dialog)?;
        shared.subscriptions.retain(|other| *other != key);
        if let Some(count) = self.by_watcher.get_mut(&shared.watcher) {
            *count -= 1;
            if *count == 0 {
                self.by_watcher.remove(&shared.watcher);
            }
        }
        if shared.subscriptions.is_empty() {
            self.by_dialog.remove(shared.dialog.hash(hash), |other| other == sub.dialog);
            if let Some(gone) = self.dialogs.remove(sub.dialog) {
                self.count_stream(gone.dialog.stream(), None);
            }
        }
        let resource = self.resources.get_mut(sub.resource)?;
        // The last one moves to its place: nothing is searched for.
        if resource.watchers.get(sub.at as usize) == Some(&key) {
            resource.watchers.swap_remove(sub.at as usize);
        }
        if let Some(moved) =
            resource.watchers.get(sub.at as usize).and_then(|key| self.subscriptions.get_mut(*key))
        {
            moved.at = sub.at;
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
