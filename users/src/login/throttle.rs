//! Who guesses waits: after a few failures longer each time, per account and per source.
//!
//! An attempt counts as failed when it begins, so that a hundred at once are not a hundred guesses, and is taken back
//! when it succeeds. Names that exist and names that do not are counted alike. The table is bounded; past its bound
//! whoever failed longest ago is forgotten.

use std::collections::{BTreeSet, HashMap};
use std::hash::{BuildHasher, Hash, RandomState};
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Mutex, PoisonError};

use crate::Seconds;

/// How guessing is slowed down.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Lockout {
    /// Failures without a wait.
    pub free: u32,
    /// The first wait; each further failure doubles it.
    pub first: Seconds,
    /// The longest wait.
    pub longest: Seconds,
    /// After so long without a failure everything is forgotten.
    pub forget: Seconds,
    /// The most entries.
    pub most: usize,
}

/// Counts failures.
#[derive(Debug)]
pub(super) struct Throttle {
    config: Lockout,
    // A peer chooses the names, so the hash is keyed, and the name itself is not kept.
    hasher: RandomState,
    table: Mutex<Table>,
}

#[derive(Debug, Default)]
struct Table {
    entries: HashMap<u64, Entry>,
    by_last: BTreeSet<(Seconds, u64)>,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    failures: u32,
    last: Seconds,
    until: Seconds,
}

impl Throttle {
    pub(super) fn new(config: Lockout) -> Throttle {
        Throttle { config, hasher: RandomState::new(), table: Mutex::default() }
    }

    /// An attempt begins: how long to wait instead, or nothing, and it counts as failed.
    pub(super) fn begin(&self, who: impl Hash, now: Seconds) -> Result<(), Seconds> {
        let key = self.hasher.hash_one(who);
        let mut table = self.table.lock().unwrap_or_else(PoisonError::into_inner);
        let mut entry = table.take(key).unwrap_or(Entry { failures: 0, last: now, until: now });
        if entry.last.saturating_add(self.config.forget) <= now {
            entry.failures = 0;
        }
        let wait = entry.until.saturating_sub(now);
        // A clock that was set back does not lock anybody out for longer than the longest wait.
        if wait > 0 && wait <= self.config.longest {
            table.put(key, entry);
            return Err(wait);
        }
        entry.failures = entry.failures.saturating_add(1);
        entry.last = now;
        entry.until = now;
        if let Some(doublings) = entry.failures.checked_sub(self.config.free.max(1)) {
            let wait = self.config.first.saturating_mul(1 << doublings.min(30));
            entry.until = now.saturating_add(wait.min(self.config.longest));
        }
        table.put(key, entry);
        while table.entries.len() > self.config.most.max(1) {
            let Some(&(_, oldest)) = table.by_last.first() else { break };
            table.take(oldest);
        }
        Ok(())
    }

    /// It succeeded: everything is forgotten.
    pub(super) fn forgive(&self, who: impl Hash) {
        let key = self.hasher.hash_one(who);
        self.table.lock().unwrap_or_else(PoisonError::into_inner).take(key);
    }

    /// It did not fail: as if it had not begun. What failed before stays counted, or one's own account would be the
    /// way to guess at others.
    pub(super) fn undo(&self, who: impl Hash, now: Seconds) {
        let key = self.hasher.hash_one(who);
        let mut table = self.table.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(mut entry) = table.take(key) {
            entry.failures = entry.failures.saturating_sub(1);
            entry.until = now;
            if entry.failures > 0 {
                table.put(key, entry);
            }
        }
    }

    #[cfg(test)]
    fn len(&self) -> (usize, usize) {
        let table = self.table.lock().unwrap();
        (table.entries.len(), table.by_last.len())
    }
}

impl Table {
    fn take(&mut self, key: u64) -> Option<Entry> {
        let entry = self.entries.remove(&key)?;
        self.by_last.remove(&(entry.last, key));
        Some(entry)
    }

    fn put(&mut self, key: u64, entry: Entry) {
        self.by_last.insert((entry.last, key));
        self.entries.insert(key, entry);
    }
}

/// Who counts as one source: an IPv4 address, or the /64 network of an IPv6 address, in which one host has them all.
pub fn source(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => IpAddr::V4(address),
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            IpAddr::V6(Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Seconds = 1_800_000_000;
    const LOCKOUT: Lockout = Lockout { free: 3, first: 10, longest: 60, forget: 600, most: 4 };

    #[test]
    fn each_failure_past_the_free_ones_doubles_the_wait() {
        let throttle = Throttle::new(LOCKOUT);
        let mut now = NOW;
        for wait in [0, 0, 10, 20, 40, 60, 60] {
            assert_eq!(throttle.begin("bob", now), Ok(()));
            if wait > 0 {
                assert_eq!(throttle.begin("bob", now), Err(wait));
                assert_eq!(throttle.begin("bob", now + wait - 1), Err(1));
            }
            now += wait;
        }
        assert_eq!(throttle.begin("eve", now), Ok(()));
        assert_eq!(throttle.begin("bob", now + 600), Ok(()));
        assert_eq!(throttle.begin("bob", now + 600), Ok(()), "forgotten");
        throttle.forgive("bob");
        throttle.forgive("eve");
        assert_eq!(throttle.len(), (0, 0));
    }

    #[test]
    fn a_success_takes_back_its_own_attempt_only() {
        let throttle = Throttle::new(LOCKOUT);
        for _ in 0..2 {
            throttle.begin("src", NOW).unwrap();
        }
        throttle.begin("src", NOW).unwrap();
        throttle.undo("src", NOW);
        throttle.begin("src", NOW).unwrap();
        assert_eq!(throttle.begin("src", NOW), Err(10));
    }

    #[test]
    fn the_table_is_bounded_and_a_clock_set_back_locks_nobody_out() {
        let throttle = Throttle::new(LOCKOUT);
        for n in 0..100 {
            throttle.begin(n, NOW + n).unwrap();
        }
        assert_eq!(throttle.len(), (4, 4));
        for _ in 0..3 {
            throttle.begin("bob", NOW + 10_000).unwrap();
        }
        assert_eq!(throttle.begin("bob", NOW), Ok(()));
    }

    #[test]
    fn a_host_with_many_addresses_is_one_source() {
        let of = |text: &str| source(text.parse().unwrap()).to_string();
        assert_eq!(of("2001:db8:1:2:3:4:5:6"), "2001:db8:1:2::");
        assert_eq!((of("::ffff:192.0.2.1"), of("192.0.2.1")), ("192.0.2.1".into(), "192.0.2.1".into()));
    }
}
