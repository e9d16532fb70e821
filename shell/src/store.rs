//! Where changes of the engine's state are kept over restarts, as a runtime sees it; and a store in memory.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::{Arc, Mutex, PoisonError};

use strowger_core::door::{Change, Subject};
use thiserror::Error;

/// Keeps changes. A runtime loads once, before anything else, and then commits from one thread of its own: a store may
/// block.
pub trait Store: Send {
    /// Gives everything that is kept to `each`, in the order in which it is to be restored: what stands on something
    /// behind it. Each thing once, as it was last: a refresh is part of its binding ([`Change::absorb`]).
    fn load(&mut self, each: &mut dyn FnMut(Change)) -> Result<(), StoreError>;

    /// Makes all of these changes durable, or none. Of one subject there is at most one.
    fn commit(&mut self, changes: &[Change]) -> Result<(), StoreError>;

    /// Nothing more will come.
    fn close(&mut self) {}
}

/// Why a store cannot be used, or a commit failed.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
#[non_exhaustive]
pub enum StoreError {
    /// There is something else where the store should be. It was left alone.
    #[error("this is not a store of Strowger: {0}")]
    Foreign(Box<str>),
    /// It is damaged. It was left alone.
    #[error("the store is damaged: {0}")]
    Corrupt(Box<str>),
    /// A later version of this program wrote it. It was left alone.
    #[error("a later version of this program wrote the store (version {0})")]
    Later(u32),
    /// Another process uses it.
    #[error("another process uses the store")]
    InUse,
    /// There is no room left.
    #[error("no room left: {0}")]
    Full(Box<str>),
    /// It can be read and not written.
    #[error("the store cannot be written: {0}")]
    ReadOnly(Box<str>),
    /// Anything else.
    #[error("{0}")]
    Io(Box<str>),
}

/// What is known by subject. Fast, since the engine chose the numbers: no peer can aim at a bucket.
pub type SubjectMap<V> = HashMap<Subject, V, BuildHasherDefault<Fold>>;

/// Hashes the keys of a [`SubjectMap`].
#[derive(Clone, Default, Debug)]
pub struct Fold(u64);

impl Hasher for Fold {
    fn finish(&self) -> u64 {
        // The table looks at the upper bits and at the lower ones.
        self.0 ^ self.0 >> 32
    }

    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|byte| self.write_u64(u64::from(*byte)));
    }

    fn write_u64(&mut self, number: u64) {
        self.0 = (self.0.rotate_left(23) ^ number).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }

    fn write_isize(&mut self, number: isize) {
        self.write_u64(number as u64);
    }
}

/// Names what a change is about. What is restored first is first.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Key {
    /// What a number names.
    Subject(Subject),
    /// The decision of a presentity about a watcher.
    Decision(Box<str>, Box<str>),
}

impl Key {
    /// What this change is about.
    pub fn of(change: &Change) -> Key {
        match (change.subject(), change) {
            (Some(subject), _) => Key::Subject(subject),
            (None, Change::PutDecision { aor, watcher, .. }) => Key::Decision(aor.clone(), watcher.clone()),
            (None, _) => Key::Decision(Box::default(), Box::default()),
        }
    }
}

/// True if the change says that its subject is gone.
pub fn is_removal(change: &Change) -> bool {
    match change {
        Change::RemoveBinding { .. }
        | Change::RemovePublication { .. }
        | Change::RemoveSubscription { .. }
        | Change::RemoveMessage { .. } => true,
        Change::PutBinding(_)
        | Change::RefreshBinding { .. }
        | Change::PutPublication(_)
        | Change::PutSubscription(_)
        | Change::PutDecision { .. }
        | Change::PutMessage(_) => false,
    }
}

/// All changes folded into what is there.
#[derive(Clone, Default, Debug)]
pub struct Folded(BTreeMap<Key, Change>);

impl Folded {
    /// Applies one more change.
    pub fn apply(&mut self, change: Change) {
        let key = Key::of(&change);
        if is_removal(&change) {
            self.0.remove(&key);
        } else if let Some(before) = self.0.get_mut(&key) {
            before.absorb(change);
        } else if !matches!(change, Change::RefreshBinding { .. }) {
            // A refresh of what is not there says too little.
            self.0.insert(key, change);
        }
    }

    /// What is there, in the order in which it is restored.
    pub fn changes(&self) -> impl Iterator<Item = &Change> {
        self.0.values()
    }

    /// The same, given away.
    pub fn into_changes(self) -> impl Iterator<Item = Change> {
        self.0.into_values()
    }

    /// How many things there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// True if there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// Keeps changes in memory. Clones are the same store: give one to a server, and another one to the next server.
#[derive(Clone, Default)]
pub struct MemoryStore(Arc<Mutex<Memory>>);

#[derive(Default)]
struct Memory {
    kept: Folded,
    fails: Option<StoreError>,
    commits: u64,
}

impl fmt::Debug for MemoryStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryStore").field("kept", &self.lock().kept.len()).finish_non_exhaustive()
    }
}

impl MemoryStore {
    /// An empty store.
    pub fn new() -> MemoryStore {
        MemoryStore::default()
    }

    /// From now on each commit fails so; `None`: they succeed.
    pub fn fail(&self, error: Option<StoreError>) {
        self.lock().fails = error;
    }

    /// How many commits there were.
    pub fn commits(&self) -> u64 {
        self.lock().commits
    }

    /// What is kept.
    pub fn changes(&self) -> Vec<Change> {
        self.lock().kept.changes().cloned().collect()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Memory> {
        // Nothing is half done when a holder panics.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Store for MemoryStore {
    fn load(&mut self, each: &mut dyn FnMut(Change)) -> Result<(), StoreError> {
        self.changes().into_iter().for_each(each);
        Ok(())
    }

    fn commit(&mut self, changes: &[Change]) -> Result<(), StoreError> {
        let mut memory = self.lock();
        if let Some(error) = &memory.fails {
            return Err(error.clone());
        }
        memory.commits += 1;
        changes.iter().for_each(|change| memory.kept.apply(change.clone()));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use strowger_core::base::Time;

    use super::*;
    use crate::gate::tests::{put, refresh, remove};

    #[test]
    fn what_is_folded_is_what_the_changes_add_up_to() {
        let mut folded = Folded::default();
        for change in [put(1, 10), put(2, 10), refresh(1, 20), remove(2), refresh(2, 30), refresh(3, 30)] {
            folded.apply(change);
        }
        let kept: Vec<&Change> = folded.changes().collect();
        let [Change::PutBinding(stored)] = &kept[..] else { panic!("{kept:?}") };
        assert_eq!((stored.id(), stored.expires_at()), (1, Time::from_secs(20)));
    }

    #[test]
    fn a_clone_of_a_store_in_memory_is_the_same_store_and_fails_when_told_to() {
        let store = MemoryStore::new();
        let (mut one, mut next) = (store.clone(), store.clone());
        one.commit(&[put(1, 10)]).expect("committed");
        store.fail(Some(StoreError::InUse));
        assert_eq!(one.commit(&[put(2, 10)]), Err(StoreError::InUse));
        let mut loaded = Vec::new();
        next.load(&mut |change| loaded.push(change)).expect("loaded");
        assert_eq!(loaded, [put(1, 10)]);
    }
}
