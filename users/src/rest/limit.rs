//! How many requests a source or an account may make: a bucket each that fills by the second.

use std::collections::{BTreeSet, HashMap};
use std::hash::{BuildHasher, Hash, RandomState};
use std::sync::{Mutex, PoisonError};

use crate::Seconds;

/// A rate.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Rate {
    /// Requests a second in the long run.
    pub per_second: u32,
    /// Requests at once.
    pub burst: u32,
    /// The most buckets; past it the one used longest ago is forgotten.
    pub most: usize,
}

#[derive(Debug)]
pub(super) struct Buckets {
    rate: Rate,
    // A peer chooses what is counted, so the hash is keyed.
    hasher: RandomState,
    table: Mutex<Table>,
}

#[derive(Debug, Default)]
struct Table {
    /// What is left, and when that was.
    left: HashMap<u64, (u32, Seconds)>,
    by_last: BTreeSet<(Seconds, u64)>,
}

impl Buckets {
    pub(super) fn new(rate: Rate) -> Buckets {
        Buckets { rate, hasher: RandomState::new(), table: Mutex::default() }
    }

    /// Takes one; false if there is none left.
    pub(super) fn take(&self, who: impl Hash, now: Seconds) -> bool {
        let key = self.hasher.hash_one(who);
        let burst = self.rate.burst.max(1);
        let mut table = self.table.lock().unwrap_or_else(PoisonError::into_inner);
        let (left, last) = table.left.remove(&key).unwrap_or((burst, now));
        table.by_last.remove(&(last, key));
        let elapsed = u32::try_from(now.saturating_sub(last)).unwrap_or(0);
        let left = left.saturating_add(elapsed.saturating_mul(self.rate.per_second)).min(burst);
        table.left.insert(key, (left.saturating_sub(1), now));
        table.by_last.insert((now, key));
        while table.left.len() > self.rate.most.max(1) {
            let Some((_, oldest)) = table.by_last.pop_first() else { break };
            table.left.remove(&oldest);
        }
        left > 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_is_emptied_and_fills_again() {
        let buckets = Buckets::new(Rate { per_second: 2, burst: 3, most: 2 });
        let take = |who: &str, now| buckets.take(who, now);
        assert_eq!([0; 4].map(|_| take("a", 100)), [true, true, true, false]);
        assert!(take("b", 100));
        assert_eq!([0; 3].map(|_| take("a", 101)), [true, true, false]);
        assert_eq!([0; 4].map(|_| take("a", 900)), [true, true, true, false]);
        assert!(!take("a", 5), "a clock set back fills nothing");
        for n in 0..100 {
            buckets.take(n, 1000);
        }
        assert_eq!(buckets.table.lock().unwrap().left.len(), 2);
        assert_eq!(buckets.table.lock().unwrap().by_last.len(), 2);
    }
}
