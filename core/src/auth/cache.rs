//! What was found out once and holds for a while: tokens that were found good, so that a refresh costs one hash instead of
//! one signature, and users of the host's store, so that it is asked once.
//!
//! An entry dies when its time is over, when it is taken out, or when it is the least recently used of too many.

use std::collections::BTreeSet;

use smallvec::SmallVec;

use crate::base::{HashKey, Index, Key, Slab, Time};

#[derive(Clone, Debug)]
struct Entry<V> {
    name: SmallVec<[u8; 32]>,
    value: V,
    /// From then on it is dead.
    until: Time,
    newer: Option<Key<Entry<V>>>,
    older: Option<Key<Entry<V>>>,
}

/// A table by name, a list by use, and an order by death. A name is all bytes of it: what differs in one is another one.
#[derive(Clone, Debug)]
pub(super) struct Cache<V> {
    hash_key: HashKey,
    entries: Slab<Entry<V>>,
    by_name: Index<Key<Entry<V>>>,
    by_death: BTreeSet<(Time, Key<Entry<V>>)>,
    newest: Option<Key<Entry<V>>>,
    oldest: Option<Key<Entry<V>>>,
}

impl<V> Cache<V> {
    pub(super) fn new(hash_key: HashKey) -> Cache<V> {
        Cache {
            hash_key,
            entries: Slab::new(),
            by_name: Index::new(),
            by_death: BTreeSet::new(),
            newest: None,
            oldest: None,
        }
    }

    /// What is remembered under a name, if it is alive at this time.
    pub(super) fn hit(&mut self, name: &[u8], now: Time) -> Option<&V> {
        let key = self.find(name)?;
        if self.entries.get(key)?.until <= now {
            self.remove(key);
            return None;
        }
        if self.newest != Some(key) {
            self.unlink(key);
            self.link(key);
        }
        self.entries.get(key).map(|entry| &entry.value)
    }

    /// Remembers something until it dies. At most `limit` are kept.
    pub(super) fn insert(&mut self, name: &[u8], value: V, until: Time, limit: usize) {
        if let Some(old) = self.find(name) {
            self.remove(old);
        }
        let entry = Entry { name: SmallVec::from_slice(name), value, until, newer: None, older: None };
        let slot = self.entries.insert(entry);
        self.by_name.insert(self.hash_key.hash(name), slot);
        self.by_death.insert((until, slot));
        self.link(slot);
        while self.entries.len() > limit
            && let Some(oldest) = self.oldest
        {
            self.remove(oldest);
        }
    }

    /// Forgets one.
    pub(super) fn forget(&mut self, name: &[u8]) {
        if let Some(key) = self.find(name) {
            self.remove(key);
        }
    }

    /// Forgets all but these.
    #[cfg(feature = "jwt")]
    pub(super) fn retain(&mut self, kept: impl Fn(&[u8], &V) -> bool) {
        let gone = self.entries.iter().filter(|(_, e)| !kept(&e.name, &e.value)).map(|(key, _)| key);
        for key in gone.collect::<Vec<_>>() {
            self.remove(key);
        }
    }

    /// Forgets the dead.
    pub(super) fn expire(&mut self, now: Time) {
        while let Some(&(until, key)) = self.by_death.first()
            && until <= now
        {
            self.remove(key);
        }
    }

    /// When the next one dies.
    pub(super) fn next_death(&self) -> Option<Time> {
        self.by_death.first().map(|&(until, _)| until)
    }

    /// Forgets all.
    pub(super) fn clear(&mut self) {
        *self = Cache::new(self.hash_key);
    }

    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    fn find(&self, name: &[u8]) -> Option<Key<Entry<V>>> {
        let same = |key| self.entries.get(key).is_some_and(|entry| entry.name.as_slice() == name);
        self.by_name.find(self.hash_key.hash(name), same)
    }

    fn remove(&mut self, key: Key<Entry<V>>) {
        self.unlink(key);
        if let Some(entry) = self.entries.remove(key) {
            self.by_name.remove(self.hash_key.hash(&entry.name), |k| k == key);
            self.by_death.remove(&(entry.until, key));
        }
    }

    fn link(&mut self, key: Key<Entry<V>>) {
        let older = self.newest.replace(key);
        if let Some(entry) = self.entries.get_mut(key) {
            entry.newer = None;
            entry.older = older;
        }
        match older.and_then(|k| self.entries.get_mut(k)) {
            Some(entry) => entry.newer = Some(key),
            None => self.oldest = Some(key),
        }
    }

    fn unlink(&mut self, key: Key<Entry<V>>) {
        let Some(entry) = self.entries.get(key) else { return };
        let (newer, older) = (entry.newer, entry.older);
        match newer.and_then(|k| self.entries.get_mut(k)) {
            Some(entry) => entry.older = older,
            None => self.newest = older,
        }
        match older.and_then(|k| self.entries.get_mut(k)) {
            Some(entry) => entry.newer = newer,
            None => self.oldest = newer,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::time::Duration;

    const NOW: Time = Time::from_secs(1_800_000_000);

    fn cache() -> Cache<u8> {
        Cache::new(HashKey::new([1, 2]))
    }

    fn put(cache: &mut Cache<u8>, n: u8, secs: u64, limit: usize) {
        cache.insert(&[n; 32], n, NOW + Duration::from_secs(secs), limit);
    }

    fn known(cache: &Cache<u8>) -> Vec<u8> {
        (0..=255).filter(|n| cache.find(&[*n; 32]).is_some()).collect()
    }

    #[test]
    fn the_least_recently_used_leaves_first() {
        let mut cache = cache();
        for n in 1..=3 {
            put(&mut cache, n, 60, 3);
        }
        assert!(cache.hit(&[1; 32], NOW).is_some());
        put(&mut cache, 4, 60, 3);
        assert_eq!(known(&cache), [1, 3, 4]);
        put(&mut cache, 5, 60, 2);
        assert_eq!(known(&cache), [4, 5]);
        put(&mut cache, 6, 60, 0);
        assert_eq!((known(&cache), cache.next_death()), (vec![], None));
    }

    #[test]
    fn an_entry_is_dead_at_its_time_to_the_nanosecond() {
        let mut cache = cache();
        put(&mut cache, 1, 60, 9);
        let death = cache.next_death().expect("one is there");
        assert!(cache.hit(&[1; 32], death - Duration::from_nanos(1)).is_some());
        assert!(cache.hit(&[1; 32], death).is_none());
        assert_eq!((cache.len(), cache.by_name.len(), cache.by_death.len()), (0, 0, 0));
    }

    #[test]
    fn the_dead_leave_in_the_order_of_their_death() {
        let mut cache = cache();
        for (n, secs) in [(1, 30), (2, 10), (3, 20)] {
            put(&mut cache, n, secs, 9);
        }
        cache.expire(NOW + Duration::from_secs(20));
        assert_eq!(known(&cache), [1]);
    }

    #[cfg(feature = "jwt")]
    #[test]
    fn what_is_not_kept_goes() {
        let mut cache = cache();
        for n in 1..=4 {
            put(&mut cache, n, 60, 9);
        }
        cache.retain(|name, n| n % 2 == 1 || name[0] == 4);
        assert_eq!(known(&cache), [1, 3, 4]);
    }

    #[test]
    fn what_is_put_in_again_is_kept_once() {
        let mut cache = cache();
        put(&mut cache, 1, 60, 9);
        put(&mut cache, 1, 90, 9);
        assert_eq!((cache.len(), cache.by_death.len()), (1, 1));
    }
}
