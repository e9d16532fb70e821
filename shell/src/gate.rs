//! Between the engine and its store: batches of changes out, and what may not be sent before its change is durable.
//! Without sockets, threads and clocks: every runtime uses it alike.
//!
//! **Write-behind**: the engine is told to forget about the store ([`Tell::behind`](strowger_core::config::Tell::behind)),
//! nothing that is sent waits, and changes are committed in batches. A batch that fails is tried again, together with what
//! came later, and later changes of one subject take the place of the earlier ones. When the disk is away for so long
//! that the queue is full, a subject that was not stored is to be forgotten by the store instead, and counted as lost:
//! better no binding after a crash than a wrong one.
//!
//! **Strict** (DESIGN s3, DECISIONS 19): each [`Transmit`] whose `after` names a change that is not durable waits, in the
//! order in which they came; nothing else does. A commit takes all changes that have come until it begins, and the next
//! one begins when it has ended. Of a commit that fails each change fails: what waited for it is dropped, for ever, and the engine
//! rolls back and says so to the peer. A later refresh of a binding whose change failed stands, and is completed by what failed.

use std::collections::VecDeque;
use std::time::Duration;

use strowger_core::base::Time;
use strowger_core::door::{Change, Input, SaveSeq, Transmit};

use crate::latency::Latency;
use crate::options::{Durability, StorageOptions};
use crate::store::{StoreError, SubjectMap};

/// Ranges of failed changes remembered; the oldest is forgotten first. Nothing stands on a change for longer than a
/// transaction lasts.
const FAILED: usize = 1024;
/// A queue that was longer gives its memory back.
const USUAL: usize = 4096;

/// Changes to be committed together.
#[derive(Debug)]
pub struct Batch {
    /// At most one of each subject.
    pub changes: Vec<Change>,
}

/// What became of a batch.
#[derive(Debug)]
pub struct Committed {
    /// The batch.
    pub batch: Batch,
    /// Whether it is durable.
    pub result: Result<(), StoreError>,
    /// How long it took.
    pub took: Duration,
}

/// What an operator should know of.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Turn {
    /// Commits fail from now on.
    Fails(StoreError),
    /// They succeed again.
    Recovered,
}

/// What a gate has counted.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct StoreStats {
    /// Changes that wait to be committed, those of the running commit not included.
    pub pending: u64,
    /// Bytes of them.
    pub pending_bytes: u64,
    /// Messages that wait for their changes.
    pub held: u64,
    /// Changes that came.
    pub saves: u64,
    /// Commits that succeeded.
    pub commits: u64,
    /// Changes in them.
    pub committed: u64,
    /// Commits that failed.
    pub failures: u64,
    /// The last one did.
    pub failing: bool,
    /// Changes that will not be stored: of a failed commit in strict mode, or for which there was no room.
    pub lost: u64,
    /// Messages dropped because too many waited.
    pub dropped: u64,
    /// How long commits took.
    pub latency: Latency,
}

/// See the module.
#[derive(Debug)]
pub struct Gate {
    options: StorageOptions,
    pending: Vec<Change>,
    /// Where the change of a subject is among them.
    places: SubjectMap<u32>,
    pending_bytes: usize,
    /// When the oldest of them came.
    since: Time,
    /// The numbers of the commit that runs: the first and the last.
    flight: Option<(u64, u64)>,
    flight_bytes: usize,
    flight_changes: u64,
    /// Committed, cleared, and ready to be the next queue.
    spare: Vec<Change>,
    /// No commit begins before.
    not_before: Time,
    failures_in_a_row: u32,
    /// The newest change there is.
    newest: u64,
    /// All up to here are durable or have failed.
    settled: u64,
    /// Those that have failed, as ranges.
    failed: VecDeque<(u64, u64)>,
    held: VecDeque<Transmit>,
    held_bytes: usize,
    /// What the engine is to be told: the newest durable change, and ranges of failed ones.
    saved: Option<u64>,
    to_fail: VecDeque<(u64, u64)>,
    turn: Option<Turn>,
    stats: StoreStats,
}

impl Gate {
    /// A gate before an empty queue.
    pub fn new(options: StorageOptions) -> Gate {
        Gate {
            options,
            pending: Vec::new(),
            places: SubjectMap::default(),
            pending_bytes: 0,
            since: Time::ZERO,
            flight: None,
            flight_bytes: 0,
            flight_changes: 0,
            spare: Vec::new(),
            not_before: Time::ZERO,
            failures_in_a_row: 0,
            newest: 0,
            settled: 0,
            failed: VecDeque::new(),
            held: VecDeque::new(),
            held_bytes: 0,
            saved: None,
            to_fail: VecDeque::new(),
            turn: None,
            stats: StoreStats::default(),
        }
    }

    fn is_strict(&self) -> bool {
        self.options.durability == Durability::Strict
    }

    /// Takes a change that is to be made durable.
    pub fn save(&mut self, now: Time, SaveSeq(seq): SaveSeq, change: Change) {
        self.stats.saves += 1;
        self.newest = seq;
        if self.is_strict() && self.refuses() {
            self.stats.lost += 1;
            self.fail(seq, seq);
            return;
        }
        if self.pending.is_empty() {
            self.since = now;
        }
        self.add(change);
    }

    /// A change that cannot wait fails at once; and then all others too until the engine was told, since a refresh may
    /// stand on it.
    fn refuses(&self) -> bool {
        let waiting = self.newest.saturating_sub(self.settled) as usize;
        !self.to_fail.is_empty()
            || waiting > self.options.queue
            || self.pending_bytes + self.flight_bytes > self.options.queue_bytes
    }

    fn add(&mut self, change: Change) {
        let subject = change.subject();
        if let Some(subject) = subject
            && let Some(at) = self.places.get(&subject)
            && let Some(before) = self.pending.get_mut(*at as usize)
        {
            let weight = before.weight();
            before.absorb(change);
            self.pending_bytes = self.pending_bytes + before.weight() - weight;
            return;
        }
        let mut change = change;
        let mut weight = change.weight();
        // Strict mode has refused before.
        if !self.is_strict() && self.pending_bytes + weight > self.options.queue_bytes {
            self.stats.lost += 1;
            let Some(removal) = removal(&change) else { return };
            weight = removal.weight();
            change = removal;
            if self.pending_bytes + weight > self.options.queue_bytes.saturating_mul(2) {
                return;
            }
        }
        if let Some(subject) = subject {
            self.places.insert(subject, self.pending.len() as u32);
        }
        self.pending_bytes += weight;
        self.pending.push(change);
    }

    /// Gives a message back if it may be sent now. The rest is held, and comes out of [`poll_release`](Self::poll_release) or
    /// never.
    #[inline]
    pub fn transmit(&mut self, transmit: Transmit) -> Option<Transmit> {
        match transmit.after {
            Some(SaveSeq(seq)) if self.is_strict() => self.weigh(seq, transmit),
            _ => Some(transmit),
        }
    }

    fn weigh(&mut self, seq: u64, transmit: Transmit) -> Option<Transmit> {
        if self.has_failed(seq) {
            return None;
        }
        // A change that never came cannot be waited for.
        if seq <= self.settled || seq > self.newest {
            return Some(transmit);
        }
        if self.held_bytes + transmit.payload.len() > self.options.held_bytes {
            self.stats.dropped += 1;
            return None;
        }
        self.held_bytes += transmit.payload.len();
        self.held.push_back(transmit);
        None
    }

    fn has_failed(&self, seq: u64) -> bool {
        let mut recent = self.failed.iter().rev().take_while(|(_, last)| seq <= *last);
        recent.any(|(first, _)| *first <= seq)
    }

    /// The next message whose change is durable now.
    #[inline]
    pub fn poll_release(&mut self) -> Option<Transmit> {
        // Asked before each command, and nearly always for nothing.
        let waits = self.held.front()?.after?.0 > self.settled && self.failed.is_empty();
        if waits { None } else { self.release() }
    }

    fn release(&mut self) -> Option<Transmit> {
        loop {
            let seq = self.held.front()?.after?.0;
            let failed = self.has_failed(seq);
            if seq > self.settled && !failed {
                return None;
            }
            let transmit = self.held.pop_front()?;
            self.held_bytes -= transmit.payload.len();
            if self.held.is_empty() && self.held.capacity() > USUAL {
                self.held = VecDeque::new();
            }
            if !failed {
                return Some(transmit);
            }
        }
    }

    /// What the engine must be told next. Ask until there is nothing.
    pub fn poll_verdict(&mut self) -> Option<Input<'static>> {
        // What failed before a later one was durable must not count as durable with it.
        if let Some(seq) = self.saved
            && self.to_fail.front().is_none_or(|(first, _)| *first > seq)
        {
            self.saved = None;
            return Some(Input::Saved(SaveSeq(seq)));
        }
        let (first, last) = self.to_fail.front_mut()?;
        let seq = *first;
        *first += 1;
        if *first > *last {
            self.to_fail.pop_front();
        }
        Some(Input::SaveFailed(SaveSeq(seq)))
    }

    /// What an operator must be told next.
    pub fn poll_turn(&mut self) -> Option<Turn> {
        self.turn.take()
    }

    /// When [`next_batch`](Self::next_batch) will have something, if nothing happens.
    pub fn deadline(&self) -> Option<Time> {
        if self.pending.is_empty() || self.flight.is_some() {
            return None;
        }
        let collected = self.is_strict() || self.pending.len() >= self.options.batch;
        let due = if collected { self.since } else { self.since + self.options.interval };
        Some(due.max(self.not_before))
    }

    /// What is to be committed now. Come back with [`done`](Self::done).
    pub fn next_batch(&mut self, now: Time) -> Option<Batch> {
        if self.deadline()? > now {
            return None;
        }
        if self.is_strict() {
            self.not_before = now + self.options.interval;
        }
        Some(self.take_all())
    }

    /// All that is pending, also before its time: the server ends.
    pub fn last_batch(&mut self) -> Option<Batch> {
        (!self.pending.is_empty() && self.flight.is_none()).then(|| self.take_all())
    }

    fn take_all(&mut self) -> Batch {
        self.flight = Some((self.settled + 1, self.newest));
        self.flight_bytes = core::mem::take(&mut self.pending_bytes);
        self.flight_changes = self.pending.len() as u64;
        self.places.clear();
        if self.places.capacity() > USUAL {
            self.places = SubjectMap::default();
        }
        let spare = core::mem::take(&mut self.spare);
        Batch { changes: core::mem::replace(&mut self.pending, spare) }
    }

    /// True while something is not durable that could be.
    pub fn is_busy(&self) -> bool {
        self.flight.is_some() || !self.pending.is_empty()
    }

    /// A batch is durable, or could not be made so.
    pub fn done(&mut self, now: Time, committed: Committed) {
        let Some((first, last)) = self.flight.take() else { return };
        let Committed { batch: Batch { mut changes }, result, took } = committed;
        self.flight_bytes = 0;
        self.stats.latency.record(took);
        match result {
            Ok(()) => {
                self.stats.commits += 1;
                self.stats.committed += self.flight_changes;
                if core::mem::take(&mut self.failures_in_a_row) > 0 {
                    self.turn = Some(Turn::Recovered);
                }
                self.settled = self.settled.max(last);
                if self.is_strict() {
                    self.saved = Some(last);
                }
                changes.clear();
                if changes.capacity() <= USUAL {
                    self.spare = changes;
                }
            }
            Err(error) => {
                self.stats.failures += 1;
                if self.failures_in_a_row == 0 {
                    self.turn = Some(Turn::Fails(error));
                }
                self.failures_in_a_row = self.failures_in_a_row.saturating_add(1);
                if self.is_strict() {
                    self.stats.lost += changes.len() as u64;
                    self.settled = self.settled.max(last);
                    self.fail(first, last);
                    self.complete_refreshes(changes);
                } else {
                    let wait = self.options.interval.saturating_mul(1 << self.failures_in_a_row.min(16));
                    self.not_before = now + wait.min(self.options.retry);
                    self.try_again(changes);
                }
            }
        }
    }

    fn fail(&mut self, first: u64, last: u64) {
        for ranges in [&mut self.failed, &mut self.to_fail] {
            match ranges.back_mut() {
                Some((_, end)) if *end + 1 == first => *end = last,
                _ => ranges.push_back((first, last)),
            }
        }
        if self.failed.len() > FAILED {
            self.failed.pop_front();
        }
    }

    /// The engine lets a later change of a binding stand, whatever becomes of the one before; a refresh says only what is
    /// new.
    fn complete_refreshes(&mut self, failed: Vec<Change>) {
        for mut failed in failed {
            let Some(subject) = failed.subject().filter(|_| matches!(failed, Change::PutBinding(_))) else {
                continue;
            };
            let later = self.places.get(&subject).and_then(|at| self.pending.get_mut(*at as usize));
            if let Some(later @ Change::RefreshBinding { .. }) = later {
                failed.absorb(later.clone());
                self.pending_bytes = self.pending_bytes + failed.weight() - later.weight();
                *later = failed;
            }
        }
    }

    /// What failed comes first, and what came since takes its place or stands behind it.
    fn try_again(&mut self, failed: Vec<Change>) {
        let later = core::mem::take(&mut self.pending);
        self.places.clear();
        self.pending_bytes = 0;
        failed.into_iter().chain(later).for_each(|change| self.add(change));
    }

    /// What was counted, and what waits now.
    pub fn stats(&self) -> StoreStats {
        StoreStats {
            pending: self.pending.len() as u64,
            pending_bytes: self.pending_bytes as u64,
            held: self.held.len() as u64,
            failing: self.failures_in_a_row > 0,
            ..self.stats
        }
    }
}

/// What makes a store forget the subject of a change.
fn removal(change: &Change) -> Option<Change> {
    Some(match change {
        Change::PutBinding(stored) => Change::RemoveBinding { aor: stored.aor().into(), id: stored.id() },
        Change::PutPublication(stored) => {
            Change::RemovePublication { aor: stored.aor.clone(), lineage: stored.lineage }
        }
        Change::PutSubscription(stored) => Change::RemoveSubscription { id: stored.id },
        Change::PutMessage(stored) => Change::RemoveMessage { id: stored.id },
        Change::PutDecision { .. } => return None,
        small => small.clone(),
    })
}

#[cfg(test)]
pub(crate) mod tests;
