//! A byte budget shared by the two ends of a connection's outgoing queue: who queues reserves, who writes releases.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// How much is waiting to be written on one connection, and how much may. Cheap to clone; all clones share the count.
///
/// A peer that does not read lets the count rise to the limit; the next [`reserve`](Backlog::reserve) then fails and the
/// connection is closed as too slow, so that one phone never grows the server's memory without bound.
#[derive(Clone, Debug)]
pub struct Backlog {
    waiting: Arc<AtomicUsize>,
    limit: usize,
}

impl Backlog {
    /// An empty one. A single message larger than `limit` is still let through when nothing else waits.
    pub fn new(limit: usize) -> Backlog {
        Backlog { waiting: Arc::default(), limit }
    }

    /// Takes room for `bytes`; false if the peer is too slow.
    #[must_use]
    pub fn reserve(&self, bytes: usize) -> bool {
        let before = self.waiting.fetch_add(bytes, Ordering::Relaxed);
        if before > 0 && before.saturating_add(bytes) > self.limit {
            self.waiting.fetch_sub(bytes, Ordering::Relaxed);
            return false;
        }
        true
    }

    /// Takes room for what cannot be refused; false if that is too much.
    #[must_use]
    pub fn charge(&self, bytes: usize) -> bool {
        self.waiting.fetch_add(bytes, Ordering::Relaxed).saturating_add(bytes) <= self.limit.max(bytes)
    }

    /// What was reserved as `from` bytes became `to` bytes on the wire.
    pub fn adjust(&self, from: usize, to: usize) {
        match to.checked_sub(from) {
            Some(more) => self.waiting.fetch_add(more, Ordering::Relaxed),
            None => self.waiting.fetch_sub(from - to, Ordering::Relaxed),
        };
    }

    /// Gives back what was written.
    pub fn release(&self, bytes: usize) {
        self.waiting.fetch_sub(bytes, Ordering::Relaxed);
    }

    /// Bytes waiting now.
    pub fn waiting(&self) -> usize {
        self.waiting.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_backlog_refuses_and_stays_as_it_was() {
        let backlog = Backlog::new(100);
        assert!(backlog.reserve(60));
        assert!(!backlog.clone().reserve(41));
        assert_eq!(backlog.waiting(), 60);
        backlog.release(60);
        assert!(backlog.reserve(100));
    }

    #[test]
    fn one_large_message_passes_when_nothing_waits() {
        let backlog = Backlog::new(100);
        assert!(backlog.reserve(4000));
        assert!(!backlog.reserve(1));
    }
}
