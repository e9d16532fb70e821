//! A generational slab: values in one vector, named by keys that never come alive again after a removal.
//!
//! Invariants: the generation of a key is the slab's count of insertions, so it is never given twice (until 2^32
//! insertions later, and then only to the same index); generations survive the release of the memory.

use core::cmp::Ordering;
use core::fmt;
use core::hash::{Hash, Hasher};
use core::marker::PhantomData;

/// Capacity kept when the slab becomes empty; more than that is given back.
const FLOOR: usize = 32;
/// End of the free list.
const NIL: u32 = u32::MAX;

/// The name of a value in a [`Slab`].
pub struct Key<T> {
    index: u32,
    generation: u32,
    of: PhantomData<fn() -> T>,
}

impl<T> Key<T> {
    /// The key as a number, for ids that leave the engine.
    pub const fn to_bits(self) -> u64 {
        (self.generation as u64) << 32 | self.index as u64
    }

    /// The inverse of [`to_bits`](Self::to_bits). Any number is a key; one that was never given finds nothing.
    pub const fn from_bits(bits: u64) -> Key<T> {
        Key { index: bits as u32, generation: (bits >> 32) as u32, of: PhantomData }
    }

    /// The place in the slab, dense from 0: for tables beside it. Given again after a removal.
    pub const fn index(self) -> u32 {
        self.index
    }
}

/// Values of one kind, each named by a [`Key`].
///
/// One vector; a free place is used again, last freed first. Memory is released when the last value is removed.
#[derive(Clone)]
pub struct Slab<T> {
    entries: Vec<Entry<T>>,
    free: u32,
    len: u32,
    generation: u32,
}

#[derive(Clone)]
enum Entry<T> {
    Free { next: u32 },
    Full { generation: u32, value: T },
}

impl<T> Slab<T> {
    /// Empty, without memory.
    pub const fn new() -> Slab<T> {
        Slab { entries: Vec::new(), free: NIL, len: 0, generation: 0 }
    }

    /// Stores a value.
    pub fn insert(&mut self, value: T) -> Key<T> {
        self.insert_with(|_| value)
    }

    /// Stores a value that knows its own key.
    pub fn insert_with(&mut self, make: impl FnOnce(Key<T>) -> T) -> Key<T> {
        // Generation 0 is never given, so that `from_bits(0)` finds nothing.
        self.generation = self.generation.wrapping_add(1).max(1);
        let generation = self.generation;
        let index = if self.free == NIL { self.entries.len() as u32 } else { self.free };
        assert!(index != NIL, "invariant: limits keep every table far below 2^32 entries");
        let key = Key { index, generation, of: PhantomData };
        let full = Entry::Full { generation, value: make(key) };
        match self.entries.get_mut(index as usize) {
            Some(entry) => {
                if let Entry::Free { next } = *entry {
                    self.free = next;
                }
                *entry = full;
            }
            None => self.entries.push(full),
        }
        self.len += 1;
        key
    }

    /// The value, unless it was removed.
    #[inline]
    pub fn get(&self, key: Key<T>) -> Option<&T> {
        match self.entries.get(key.index as usize) {
            Some(Entry::Full { generation, value }) if *generation == key.generation => Some(value),
            _ => None,
        }
    }

    /// The value for change, unless it was removed.
    #[inline]
    pub fn get_mut(&mut self, key: Key<T>) -> Option<&mut T> {
        match self.entries.get_mut(key.index as usize) {
            Some(Entry::Full { generation, value }) if *generation == key.generation => Some(value),
            _ => None,
        }
    }

    /// Takes the value out; its key is dead from now on.
    pub fn remove(&mut self, key: Key<T>) -> Option<T> {
        let entry = self.entries.get_mut(key.index as usize)?;
        if !matches!(entry, Entry::Full { generation, .. } if *generation == key.generation) {
            return None;
        }
        let old = core::mem::replace(entry, Entry::Free { next: self.free });
        self.free = key.index;
        self.len -= 1;
        if self.len == 0 {
            self.entries.clear();
            self.entries.shrink_to(FLOOR);
            self.free = NIL;
        }
        match old {
            Entry::Full { value, .. } => Some(value),
            Entry::Free { .. } => None,
        }
    }

    /// Is the value there?
    pub fn contains(&self, key: Key<T>) -> bool {
        self.get(key).is_some()
    }

    /// How many values there are.
    pub const fn len(&self) -> usize {
        self.len as usize
    }

    /// True without any.
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Places that memory is held for.
    pub fn capacity(&self) -> usize {
        self.entries.capacity()
    }

    /// All values in the order of their index, which is the same in every run.
    pub fn iter(&self) -> impl Iterator<Item = (Key<T>, &T)> {
        self.iter_from(0)
    }

    /// The same, from an index on.
    pub fn iter_from(&self, first: usize) -> impl Iterator<Item = (Key<T>, &T)> {
        self.entries.iter().enumerate().skip(first).filter_map(|(i, entry)| match entry {
            Entry::Full { generation, value } => {
                Some((Key { index: i as u32, generation: *generation, of: PhantomData }, value))
            }
            Entry::Free { .. } => None,
        })
    }

    /// All values for change, in the order of their index.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = (Key<T>, &mut T)> {
        self.entries.iter_mut().enumerate().filter_map(|(i, entry)| match entry {
            Entry::Full { generation, value } => {
                Some((Key { index: i as u32, generation: *generation, of: PhantomData }, value))
            }
            Entry::Free { .. } => None,
        })
    }
}

impl<T> Default for Slab<T> {
    fn default() -> Slab<T> {
        Slab::new()
    }
}

impl<T: fmt::Debug> fmt::Debug for Slab<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}

// By hand, because a derive would ask the same of `T`.
impl<T> Clone for Key<T> {
    fn clone(&self) -> Key<T> {
        *self
    }
}

impl<T> Copy for Key<T> {}

impl<T> PartialEq for Key<T> {
    fn eq(&self, other: &Key<T>) -> bool {
        self.to_bits() == other.to_bits()
    }
}

impl<T> Eq for Key<T> {}

impl<T> PartialOrd for Key<T> {
    fn partial_cmp(&self, other: &Key<T>) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<T> Ord for Key<T> {
    fn cmp(&self, other: &Key<T>) -> Ordering {
        (self.index, self.generation).cmp(&(other.index, other.generation))
    }
}

impl<T> Hash for Key<T> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.to_bits().hash(state);
    }
}

impl<T> fmt::Debug for Key<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.index, self.generation)
    }
}

#[cfg(test)]
mod tests;
