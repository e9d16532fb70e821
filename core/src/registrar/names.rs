//! All addresses of record in the order of their names, for listing with paging: blocks of sorted entries, the names
//! stored once, elsewhere. A search compares about as often as a balanced tree would; an entry costs about twenty bytes.

use super::location::RecordKey;

/// A block that grows past this is cut in two.
const BLOCK: usize = 256;

/// Keys sorted by the names they lead to.
#[derive(Clone, Default, Debug)]
pub(super) struct Names {
    blocks: Vec<Vec<Entry>>,
}

/// A name, and how it begins: most comparisons need no look at the name itself, which lies far away.
#[derive(Clone, Copy, Debug)]
struct Entry {
    start: u64,
    key: RecordKey,
}

/// The first eight bytes as a number, which has their order; zeros where the name is shorter.
fn start_of(name: &str) -> u64 {
    let mut start = [0; 8];
    let bytes = name.as_bytes();
    match bytes.first_chunk() {
        Some(first) => start = *first,
        None => start.iter_mut().zip(bytes).for_each(|(to, from)| *to = *from),
    }
    u64::from_be_bytes(start)
}

impl Names {
    /// Adds a key whose name is not there yet.
    pub(super) fn insert<'n>(&mut self, key: RecordKey, name: &str, name_of: impl Fn(RecordKey) -> &'n str) {
        let (block, at) = self.seek(name, &name_of);
        let entry = Entry { start: start_of(name), key };
        let Some(entries) = self.blocks.get_mut(block) else {
            self.blocks.push(vec![entry]);
            return;
        };
        entries.insert(at.min(entries.len()), entry);
        if entries.len() > BLOCK {
            let upper = entries.split_off(entries.len() / 2);
            entries.shrink_to_fit();
            self.blocks.insert(block + 1, upper);
        }
    }

    /// Removes a key by its name.
    pub(super) fn remove<'n>(&mut self, key: RecordKey, name: &str, name_of: impl Fn(RecordKey) -> &'n str) {
        let (block, at) = self.seek(name, &name_of);
        let Some(entries) = self.blocks.get_mut(block) else { return };
        if entries.get(at).is_none_or(|entry| entry.key != key) {
            return;
        }
        entries.remove(at);
        let len = entries.len();
        if len > BLOCK / 4 {
            return;
        }
        // A thin block joins the next one, so that a wave of removals leaves no crumbs.
        match self.blocks.get(block + 1).map(Vec::len) {
            Some(next) if len + next <= BLOCK / 2 => {
                let upper = self.blocks.remove(block + 1);
                if let Some(entries) = self.blocks.get_mut(block) {
                    entries.extend(upper);
                }
            }
            _ if len == 0 => drop(self.blocks.remove(block)),
            _ => {}
        }
        if self.blocks.is_empty() {
            self.blocks = Vec::new();
        }
    }

    /// Keys in the order of their names, behind a name.
    pub(super) fn after<'n>(
        &self,
        name: Option<&str>,
        name_of: impl Fn(RecordKey) -> &'n str,
    ) -> impl Iterator<Item = RecordKey> {
        let (block, at) = name.map_or((0, 0), |name| self.seek(name, &name_of));
        let keys = self.blocks.get(block..).unwrap_or_default().iter().flatten().map(|entry| entry.key);
        let mut keys = keys.skip(at).peekable();
        if let (Some(name), Some(first)) = (name, keys.peek().copied())
            && name_of(first) == name
        {
            keys.next();
        }
        keys
    }

    /// Where a name is, or would be.
    fn seek<'n>(&self, name: &str, name_of: &impl Fn(RecordKey) -> &'n str) -> (usize, usize) {
        let start = start_of(name);
        let before = |entry: &Entry| match entry.start == start {
            true => name_of(entry.key) < name,
            false => entry.start < start,
        };
        // Behind the last name: into the last block, so that names that come in order fill their blocks.
        if let Some((block, entries)) = self.blocks.iter().enumerate().next_back()
            && entries.last().is_some_and(before)
        {
            return (block, entries.len());
        }
        let block = self.blocks.partition_point(|entries| entries.last().is_some_and(before));
        let at = self.blocks.get(block).map_or(0, |entries| entries.partition_point(before));
        (block, at)
    }

    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        self.blocks.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn names_come_in_order_like_those_of_a_tree(ops in proptest::collection::vec((any::<bool>(), 0_u64..600), 0..2000)) {
            // Some differ in their first eight bytes, some behind them, and some are shorter.
            let texts: Vec<String> =
                (0..600).map(|i: u64| format!("{}{}", ["u", "same start "][i as usize % 2], i * 7919 % 600)).collect();
            let name_of = |key: RecordKey| texts[key.to_bits() as usize].as_str();
            let (mut names, mut model) = (Names::default(), BTreeSet::new());
            for (add, i) in ops {
                let (key, name) = (RecordKey::from_bits(i), texts[i as usize].as_str());
                if add && model.insert(name) {
                    names.insert(key, name, name_of);
                } else if !add && model.remove(name) {
                    names.remove(key, name, name_of);
                }
            }
            let all: Vec<&str> = names.after(None, name_of).map(name_of).collect();
            prop_assert_eq!(&all, &model.iter().copied().collect::<Vec<_>>());
            for from in ["", "same st", "same start", "same start 3", "u1", "u300", "zz"] {
                let some: Vec<&str> = names.after(Some(from), name_of).map(name_of).collect();
                prop_assert_eq!(some, model.iter().copied().filter(|n| *n > from).collect::<Vec<_>>());
            }
            prop_assert_eq!(names.is_empty(), model.is_empty());
        }
    }
}
