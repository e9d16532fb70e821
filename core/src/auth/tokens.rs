//! Tokens that were found good, remembered so that a refresh costs one hash instead of one signature.
//!
//! Keyed by the SHA-256 of the whole token, so that a token with the same claims and another signature is another one.
//! An entry dies when the token does, when its key leaves the key set, or when it is the least recently used of too
//! many. Only good tokens get in.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::base::{HashKey, Index, Key, Slab, Time};
use crate::door::Identity;

/// Names a token: the SHA-256 of all of it.
pub(super) type TokenHash = [u8; 32];

/// Names a verification key by its contents.
pub(super) type KeyPrint = [u8; 32];

#[derive(Clone, Debug)]
struct Entry {
    hash: TokenHash,
    identity: Arc<Identity>,
    /// Wall time from which on it is dead.
    until: Time,
    issuer: u16,
    key: KeyPrint,
    newer: Option<Key<Entry>>,
    older: Option<Key<Entry>>,
}

/// The cache: a table by hash, a list by use, and an order by death.
#[derive(Clone, Debug)]
pub(super) struct Tokens {
    hash_key: HashKey,
    entries: Slab<Entry>,
    by_hash: Index<Key<Entry>>,
    by_death: BTreeSet<(Time, Key<Entry>)>,
    newest: Option<Key<Entry>>,
    oldest: Option<Key<Entry>>,
}

impl Tokens {
    pub(super) fn new(hash_key: HashKey) -> Tokens {
        Tokens {
            hash_key,
            entries: Slab::new(),
            by_hash: Index::new(),
            by_death: BTreeSet::new(),
            newest: None,
            oldest: None,
        }
    }

    /// Who a remembered token speaks for, if it is alive at this wall time.
    pub(super) fn hit(&mut self, hash: &TokenHash, wall: Time) -> Option<Arc<Identity>> {
        let key = self.find(hash)?;
        let entry = self.entries.get(key)?;
        let identity = Arc::clone(&entry.identity);
        if entry.until <= wall {
            self.remove(key);
            return None;
        }
        if self.newest != Some(key) {
            self.unlink(key);
            self.link(key);
        }
        Some(identity)
    }

    /// Remembers a good token until it dies. At most `limit` are kept.
    pub(super) fn insert(
        &mut self,
        hash: TokenHash,
        identity: Arc<Identity>,
        until: Time,
        issuer: u16,
        key: KeyPrint,
        limit: usize,
    ) {
        if let Some(old) = self.find(&hash) {
            self.remove(old);
        }
        let slot =
            self.entries.insert(Entry { hash, identity, until, issuer, key, newer: None, older: None });
        self.by_hash.insert(self.hash_key.hash(&hash), slot);
        self.by_death.insert((until, slot));
        self.link(slot);
        while self.entries.len() > limit
            && let Some(oldest) = self.oldest
        {
            self.remove(oldest);
        }
    }

    /// Forgets the tokens of an issuer whose key is not kept.
    pub(super) fn retain_keys(&mut self, issuer: u16, kept: impl Fn(&KeyPrint) -> bool) {
        let gone: Vec<_> = self
            .entries
            .iter()
            .filter(|(_, e)| e.issuer == issuer && !kept(&e.key))
            .map(|(key, _)| key)
            .collect();
        for key in gone {
            self.remove(key);
        }
    }

    /// Forgets the dead.
    pub(super) fn expire(&mut self, wall: Time) {
        while let Some(&(until, key)) = self.by_death.first()
            && until <= wall
        {
            self.remove(key);
        }
    }

    /// Wall time of the next death.
    pub(super) fn next_death(&self) -> Option<Time> {
        self.by_death.first().map(|&(until, _)| until)
    }

    /// Forgets all.
    pub(super) fn clear(&mut self) {
        *self = Tokens::new(self.hash_key);
    }

    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    fn find(&self, hash: &TokenHash) -> Option<Key<Entry>> {
        self.by_hash
            .find(self.hash_key.hash(hash), |key| self.entries.get(key).is_some_and(|e| e.hash == *hash))
    }

    fn remove(&mut self, key: Key<Entry>) {
        self.unlink(key);
        if let Some(entry) = self.entries.remove(key) {
            self.by_hash.remove(self.hash_key.hash(&entry.hash), |k| k == key);
            self.by_death.remove(&(entry.until, key));
        }
    }

    fn link(&mut self, key: Key<Entry>) {
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

    fn unlink(&mut self, key: Key<Entry>) {
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
    use crate::door::Scheme;

    const WALL: Time = Time::from_secs(1_800_000_000);

    fn tokens() -> Tokens {
        Tokens::new(HashKey::new([1, 2]))
    }

    fn who(name: &str) -> Arc<Identity> {
        let account = name.into();
        Arc::new(Identity {
            scheme: Scheme::Bearer,
            account,
            aors: vec![],
            scopes: vec![],
            foreign_contacts: false,
        })
    }

    fn put(tokens: &mut Tokens, n: u8, secs: u64, limit: usize) {
        tokens.insert(
            [n; 32],
            who("bob"),
            WALL + core::time::Duration::from_secs(secs),
            u16::from(n % 2),
            [n; 32],
            limit,
        );
    }

    fn known(tokens: &Tokens) -> Vec<u8> {
        (0..=255).filter(|n| tokens.find(&[*n; 32]).is_some()).collect()
    }

    #[test]
    fn the_least_recently_used_leaves_first() {
        let mut tokens = tokens();
        for n in 1..=3 {
            put(&mut tokens, n, 60, 3);
        }
        assert!(tokens.hit(&[1; 32], WALL).is_some());
        put(&mut tokens, 4, 60, 3);
        assert_eq!(known(&tokens), [1, 3, 4]);
        put(&mut tokens, 5, 60, 2);
        assert_eq!(known(&tokens), [4, 5]);
        put(&mut tokens, 6, 60, 0);
        assert_eq!((known(&tokens), tokens.next_death()), (vec![], None));
    }

    #[test]
    fn a_token_is_dead_at_its_time_to_the_nanosecond() {
        let mut tokens = tokens();
        put(&mut tokens, 1, 60, 9);
        let death = tokens.next_death().expect("one is there");
        assert!(tokens.hit(&[1; 32], death - core::time::Duration::from_nanos(1)).is_some());
        assert!(tokens.hit(&[1; 32], death).is_none());
        assert_eq!((tokens.len(), tokens.by_hash.len(), tokens.by_death.len()), (0, 0, 0));
    }

    #[test]
    fn the_dead_leave_in_the_order_of_their_death() {
        let mut tokens = tokens();
        for (n, secs) in [(1, 30), (2, 10), (3, 20)] {
            put(&mut tokens, n, secs, 9);
        }
        tokens.expire(WALL + core::time::Duration::from_secs(20));
        assert_eq!(known(&tokens), [1]);
    }

    #[test]
    fn tokens_go_with_their_key_and_only_those_of_its_issuer() {
        let mut tokens = tokens();
        for n in 1..=4 {
            put(&mut tokens, n, 60, 9);
        }
        tokens.retain_keys(0, |key| *key == [4; 32]);
        assert_eq!(known(&tokens), [1, 3, 4]);
    }

    #[test]
    fn a_token_seen_again_is_kept_once() {
        let mut tokens = tokens();
        put(&mut tokens, 1, 60, 9);
        put(&mut tokens, 1, 90, 9);
        assert_eq!((tokens.len(), tokens.by_death.len()), (1, 1));
    }
}
