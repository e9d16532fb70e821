//! Bindings that have something in common: a Contact URI, or a flow. One entry per value, so that a gateway that
//! registers ten thousand addresses of record with one contact over one connection costs no more per binding than a
//! phone.

use core::fmt;

use hashbrown::HashTable;
use hashbrown::hash_table::Entry;
use smallvec::SmallVec;

use super::binding::BindingKey;

/// Capacity kept when the table becomes empty; more than that is given back.
const FLOOR: usize = 64;

/// Lists of bindings by a 64-bit key, with a value beside each list.
#[derive(Clone)]
pub(super) struct Groups<X> {
    table: HashTable<Group<X>>,
}

#[derive(Clone)]
struct Group<X> {
    key: u64,
    members: SmallVec<[BindingKey; 2]>,
    extra: X,
}

/// Keys are keyed hashes of what a peer chose, or flow names, which no peer chooses: a multiplication spreads either.
fn spread(key: u64) -> u64 {
    key.wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

impl<X: Copy + Default> Groups<X> {
    pub(super) fn new() -> Groups<X> {
        Groups { table: HashTable::new() }
    }

    /// The members under a key, in no meaningful but always the same order.
    pub(super) fn members(&self, key: u64) -> &[BindingKey] {
        self.table.find(spread(key), |group| group.key == key).map_or(&[], |group| &group.members)
    }

    /// The value beside the list, while it has members.
    pub(super) fn extra_mut(&mut self, key: u64) -> Option<&mut X> {
        self.table.find_mut(spread(key), |group| group.key == key).map(|group| &mut group.extra)
    }

    pub(super) fn insert(&mut self, key: u64, member: BindingKey) {
        match self.table.entry(spread(key), |group| group.key == key, |group| spread(group.key)) {
            Entry::Occupied(mut group) => group.get_mut().members.push(member),
            Entry::Vacant(place) => {
                let mut members = SmallVec::new();
                members.push(member);
                place.insert(Group { key, members, extra: X::default() });
            }
        }
    }

    /// Removes a member; the value beside the list if it was the last one.
    pub(super) fn remove(&mut self, key: u64, member: BindingKey) -> Option<X> {
        let mut entry = self.table.find_entry(spread(key), |group| group.key == key).ok()?;
        let members = &mut entry.get_mut().members;
        if let Some(at) = members.iter().position(|m| *m == member) {
            members.swap_remove(at);
        }
        if !members.is_empty() {
            return None;
        }
        let (group, _) = entry.remove();
        let (len, capacity) = (self.table.len(), self.table.capacity());
        if capacity > FLOOR && len < capacity / 8 {
            self.table.shrink_to((2 * len).max(FLOOR / 2), |group| spread(group.key));
        }
        Some(group.extra)
    }

    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        self.table.is_empty()
    }
}

impl<X> fmt::Debug for Groups<X> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Groups({})", self.table.len())
    }
}
