//! A hash index from peer-chosen bytes to our own keys; the bytes are stored once, elsewhere.
//!
//! Who owns the key decides the hash: everything a peer chooses goes through SipHash with a key of the seed; our own
//! keys are indexes of a [`Slab`](super::Slab) and need no hash. The order of a table never reaches an output: there is
//! no iteration.

use core::fmt;
use core::hash::Hasher;

use hashbrown::HashTable;
use siphasher::sip::SipHasher13;
use siphasher::sip128::{Hasher128, SipHasher24};

use super::sip;

/// Capacity kept when the table becomes empty; more than that is given back.
const FLOOR: usize = 64;

/// The secret key of the hash tables. Made by [`Ids::hash_key`](super::Ids::hash_key).
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct HashKey([u64; 2]);

impl HashKey {
    /// From 128 secret bits.
    pub const fn new(key: [u64; 2]) -> HashKey {
        HashKey(key)
    }

    /// SipHash-1-3 of some bytes.
    #[inline]
    pub fn hash(&self, bytes: &[u8]) -> u64 {
        sip::narrow(self.0, bytes)
    }

    /// SipHash-1-3 of several parts, each preceded by its length, so that no two lists collide by concatenation.
    pub fn hash_parts(&self, parts: &[&[u8]]) -> u64 {
        let mut room = [0; ROOM];
        if let Some(joined) = join(parts, &mut room) {
            return self.hash(joined);
        }
        let mut state = SipHasher13::new_with_keys(self.0[0], self.0[1]);
        delimit(&mut state, parts);
        state.finish()
    }

    /// SipHash-1-3 with 128 bits of some bytes: for tables that trust the hash and do not keep the bytes.
    #[inline]
    pub fn hash_wide(&self, bytes: &[u8]) -> u128 {
        sip::wide(self.0, bytes)
    }

    /// SipHash-2-4 with 128 bits of several parts, each preceded by its length: for seals and tokens that a peer gets to
    /// see.
    pub fn hash128(&self, parts: &[&[u8]]) -> u128 {
        let mut state = SipHasher24::new_with_keys(self.0[0], self.0[1]);
        let mut room = [0; ROOM];
        if let Some(joined) = join(parts, &mut room) {
            return state.hash(joined).as_u128();
        }
        delimit(&mut state, parts);
        state.finish128().as_u128()
    }
}

/// A quick keyed hash of several parts, to tell whether somebody says the same as before. Not for tables: unlike SipHash
/// it is no pseudo-random function, and who finds two lists with one hash gains nothing but being taken at his word.
#[derive(Clone, Copy, Debug)]
pub struct Fold {
    state: u64,
    key: u64,
}

impl Fold {
    /// Without a part.
    #[inline]
    pub fn new(key: &HashKey) -> Fold {
        let HashKey([state, key]) = *key;
        Fold { state, key }
    }

    /// Adds a number.
    #[inline]
    #[must_use]
    pub fn number(self, number: u64) -> Fold {
        self.mix(number, u64::MAX)
    }

    /// Adds bytes and how many there are.
    #[inline]
    #[must_use]
    pub fn bytes(mut self, bytes: &[u8]) -> Fold {
        let (chunks, tail) = bytes.as_chunks::<16>();
        for chunk in chunks {
            let wide = u128::from_le_bytes(*chunk);
            self = self.mix(wide as u64, (wide >> 64) as u64);
        }
        // What is left, read from both ends; where that overlaps the length tells how far.
        let (first, last) = match (tail.first_chunk::<8>(), tail.last_chunk::<8>()) {
            (Some(first), Some(last)) => (u64::from_le_bytes(*first), u64::from_le_bytes(*last)),
            _ => match (tail.first_chunk::<4>(), tail.last_chunk::<4>()) {
                (Some(first), Some(last)) => {
                    (u32::from_le_bytes(*first).into(), u32::from_le_bytes(*last).into())
                }
                _ => (tail.iter().fold(0, |word, &b| word << 8 | u64::from(b)), 0),
            },
        };
        self.mix(first, last ^ (bytes.len() as u64) << 32)
    }

    #[inline(always)]
    fn mix(self, a: u64, b: u64) -> Fold {
        let product = u128::from(self.state ^ a) * u128::from(self.key ^ b);
        // The state is added once more, so that a factor of zero does not wipe it out.
        Fold {
            state: (product as u64 ^ (product >> 64) as u64).wrapping_add(self.state.rotate_left(23)),
            ..self
        }
    }

    /// The hash.
    #[inline]
    pub fn finish(self) -> u64 {
        self.mix(self.key, 0).state
    }
}

impl fmt::Debug for HashKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("HashKey(<secret>)")
    }
}

fn delimit(state: &mut impl Hasher, parts: &[&[u8]]) {
    for part in parts {
        state.write(&(part.len() as u32).to_le_bytes());
        state.write(part);
    }
}

/// Room for the parts of the usual key. Hashing them in one piece costs half of hashing them one by one.
const ROOM: usize = 160;

/// What [`delimit`] writes, in one piece; `None` if there is too little room.
fn join<'r>(parts: &[&[u8]], room: &'r mut [u8; ROOM]) -> Option<&'r [u8]> {
    let mut end = 0;
    for part in parts {
        let (length, rest) = room.get_mut(end..)?.split_first_chunk_mut()?;
        *length = (part.len() as u32).to_le_bytes();
        rest.get_mut(..part.len())?.copy_from_slice(part);
        end += length.len() + part.len();
    }
    room.get(..end)
}

/// A hash table of values that lead to the bytes they were hashed from.
///
/// An entry is 32 bits of the hash beside the value, so that a lookup reads the bytes of a stranger once in 2^32 and
/// growing reads none. Memory is released when the last value is removed, and halved on the way down.
#[derive(Clone)]
pub struct Index<V: Copy> {
    table: HashTable<(u32, V)>,
}

impl<V: Copy> Index<V> {
    /// Empty, without memory.
    pub const fn new() -> Index<V> {
        Index { table: HashTable::new() }
    }

    /// The value with this hash for which `eq` holds. At most one may.
    #[inline]
    pub fn find(&self, hash: u64, mut eq: impl FnMut(V) -> bool) -> Option<V> {
        let part = hash as u32;
        self.table.find(spread(part), |&(p, v)| p == part && eq(v)).map(|&(_, v)| v)
    }

    /// Adds a value. The caller has made sure by [`find`](Self::find) that an equal one is not there.
    pub fn insert(&mut self, hash: u64, value: V) {
        let part = hash as u32;
        self.table.insert_unique(spread(part), (part, value), |&(p, _)| spread(p));
    }

    /// Changes the value for which `eq` holds and returns the old one; `None`, and nothing changed, without one.
    pub fn replace(&mut self, hash: u64, mut eq: impl FnMut(V) -> bool, value: V) -> Option<V> {
        let part = hash as u32;
        let found = self.table.find_mut(spread(part), |&(p, v)| p == part && eq(v))?;
        Some(core::mem::replace(&mut found.1, value))
    }

    /// Takes out the value for which `eq` holds.
    pub fn remove(&mut self, hash: u64, mut eq: impl FnMut(V) -> bool) -> Option<V> {
        let part = hash as u32;
        let found = self.table.find_entry(spread(part), |&(p, v)| p == part && eq(v)).ok()?;
        let ((_, value), _) = found.remove();
        let (len, capacity) = (self.table.len(), self.table.capacity());
        if capacity > FLOOR && len < capacity / 8 {
            self.table.shrink_to((2 * len).max(FLOOR / 2), |&(p, _)| spread(p));
        }
        Some(value)
    }

    /// Removes all values and releases the memory.
    pub fn clear(&mut self) {
        self.table = HashTable::new();
    }

    /// How many values there are.
    pub fn len(&self) -> usize {
        self.table.len()
    }

    /// True without any.
    pub fn is_empty(&self) -> bool {
        self.table.is_empty()
    }

    /// Values that memory is held for.
    pub fn capacity(&self) -> usize {
        self.table.capacity()
    }
}

impl<V: Copy> Default for Index<V> {
    fn default() -> Index<V> {
        Index::new()
    }
}

impl<V: Copy> fmt::Debug for Index<V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Index({})", self.len())
    }
}

/// hashbrown takes the bucket from the low bits and a tag from the top ones: the 32 bits we keep serve as both.
fn spread(part: u32) -> u64 {
    u64::from(part) << 32 | u64::from(part)
}

#[cfg(test)]
mod tests;
