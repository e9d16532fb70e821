//! All addresses of record in the order of their names, for listing with paging: blocks of sorted keys, the names
//! stored once, elsewhere. A search compares about as often as a balanced tree would; an entry costs eleven bytes.

use super::location::RecordKey;

/// A block that grows past this is cut in two.
const BLOCK: usize = 256;

/// Keys sorted by the names they lead to.
#[derive(Clone, Default, Debug)]
pub(super) struct Names {
    blocks: Vec<Vec<RecordKey>>,
}

impl Names {
    /// Adds a key whose name is not there yet.
    pub(super) fn insert<'n>(&mut self, key: RecordKey, name: &str, name_of: impl Fn(RecordKey) -> &'n str) {
        let (block, at) = self.seek(name, &name_of);
        let Some(keys) = self.blocks.get_mut(block) else {
            self.blocks.push(vec![key]);
            return;
        };
        keys.insert(at.min(keys.len()), key);
        if keys.len() > BLOCK {
            let upper = keys.split_off(keys.len() / 2);
            keys.shrink_to_fit();
            self.blocks.insert(block + 1, upper);
        }
    }

    /// Removes a key by its name.
    pub(super) fn remove<'n>(&mut self, key: RecordKey, name: &str, name_of: impl Fn(RecordKey) -> &'n str) {
        let (block, at) = self.seek(name, &name_of);
        let Some(keys) = self.blocks.get_mut(block) else { return };
        if keys.get(at) != Some(&key) {
            return;
        }
        keys.remove(at);
        let len = keys.len();
        if len > BLOCK / 4 {
            return;
        }
        // A thin block joins the next one, so that a wave of removals leaves no crumbs.
        match self.blocks.get(block + 1).map(Vec::len) {
            Some(next) if len + next <= BLOCK / 2 => {
                let upper = self.blocks.remove(block + 1);
                if let Some(keys) = self.blocks.get_mut(block) {
                    keys.extend(upper);
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
        let keys = self.blocks.get(block..).unwrap_or_default().iter().flatten().copied();
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
        let before = |key: &RecordKey| name_of(*key) < name;
        let block = self.blocks.partition_point(|keys| keys.last().is_some_and(before));
        // Behind the last name: into the last block, so that names that come in order fill their blocks.
        let block = block.min(self.blocks.len().saturating_sub(1));
        let at = self.blocks.get(block).map_or(0, |keys| keys.partition_point(before));
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
            let texts: Vec<String> = (0..600).map(|i: u64| format!("u{}", i * 7919 % 600)).collect();
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
            for from in ["", "u1", "u300", "zz"] {
                let some: Vec<&str> = names.after(Some(from), name_of).map(name_of).collect();
                prop_assert_eq!(some, model.iter().copied().filter(|n| *n > from).collect::<Vec<_>>());
            }
            prop_assert_eq!(names.is_empty(), model.is_empty());
        }
    }
}
