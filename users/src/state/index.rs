//! What is where: for each subject the part that holds it, and for each part how much of it still counts.
//!
//! This is what lets the log forget: a part in which nothing counts any more is deleted, and when too much of the log is of
//! no use, its oldest part is written anew, without what is not needed.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, VecDeque};

use strowger_core::base::Time;
use strowger_core::door::Change;
use strowger_shell::store::{SubjectMap, is_removal};

/// The number of a part. They rise.
pub(super) type PartId = i64;

/// Where a subject is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    /// The part with all of it.
    pub(super) whole: PartId,
    /// Bytes it takes there.
    bytes: u32,
    /// The part with its last refresh, if that is younger.
    pub(super) refresh: Option<Refresh>,
}

/// The last refresh of a binding.
#[derive(Clone, Copy, Debug)]
pub(super) struct Refresh {
    pub(super) part: PartId,
    bytes: u32,
    pub(super) expires_at: Time,
    pub(super) cseq: u32,
}

/// How much of a part counts.
#[derive(Clone, Copy, Default, Debug)]
struct Part {
    bytes: u64,
    /// Records that count.
    live: u32,
    /// Removals in it, which count as long as there is an older part.
    removals: u32,
    is_there: bool,
}

/// See the module.
#[derive(Default, Debug)]
pub(super) struct Index {
    subjects: SubjectMap<Place>,
    decisions: HashMap<(Box<str>, Box<str>), Place>,
    /// From `first` on.
    parts: VecDeque<Part>,
    first: PartId,
    /// Parts of which nothing counts any more, or might.
    idle: Vec<PartId>,
    /// Bytes of all parts, and of the records that count.
    total: u64,
    live: u64,
}

impl Index {
    /// A part is there now.
    pub(super) fn add_part(&mut self, id: PartId, bytes: usize) {
        if self.parts.is_empty() {
            self.first = id;
        }
        let Ok(at) = usize::try_from(id - self.first) else { return };
        // Numbers rise by one, but for those that are gone.
        if at >= self.parts.len() {
            self.parts.resize(at + 1, Part::default());
        }
        if let Some(part) = self.parts.get_mut(at) {
            *part = Part { bytes: bytes as u64, is_there: true, ..Part::default() };
            self.total += bytes as u64;
        }
    }

    fn part(&mut self, id: PartId) -> Option<&mut Part> {
        self.parts.get_mut(usize::try_from(id - self.first).ok()?)
    }

    fn counts(&mut self, id: PartId, bytes: u32) {
        self.live += u64::from(bytes);
        if let Some(part) = self.part(id) {
            part.live += 1;
        }
    }

    fn counts_no_more(&mut self, id: PartId, bytes: u32) {
        self.live = self.live.saturating_sub(u64::from(bytes));
        if let Some(part) = self.part(id) {
            part.live = part.live.saturating_sub(1);
            if part.live == 0 {
                self.idle.push(id);
            }
        }
    }

    /// All of a part was applied.
    pub(super) fn end_part(&mut self, id: PartId) {
        if self.part(id).is_some_and(|part| part.live == 0) {
            self.idle.push(id);
        }
    }

    fn forget(&mut self, place: Place) {
        self.counts_no_more(place.whole, place.bytes);
        if let Some(refresh) = place.refresh {
            self.counts_no_more(refresh.part, refresh.bytes);
        }
    }

    /// A change is in this part, and takes so many bytes there.
    pub(super) fn apply(&mut self, id: PartId, change: &Change, bytes: usize) {
        let bytes = bytes as u32;
        let Some(subject) = change.subject() else {
            if let Change::PutDecision { aor, watcher, .. } = change {
                let place = Place { whole: id, bytes, refresh: None };
                let before = self.decisions.insert((aor.clone(), watcher.clone()), place);
                before.into_iter().for_each(|before| self.forget(before));
                self.counts(id, bytes);
            }
            return;
        };
        if is_removal(change) {
            if let Some(before) = self.subjects.remove(&subject) {
                self.forget(before);
                if let Some(part) = self.part(id) {
                    part.removals += 1;
                }
            }
            return;
        }
        if let Change::RefreshBinding { expires_at, cseq, .. } = *change {
            // Of a binding that is not there nothing counts.
            let Entry::Occupied(mut place) = self.subjects.entry(subject) else { return };
            let refresh = Refresh { part: id, bytes, expires_at, cseq };
            let before = place.get_mut().refresh.replace(refresh);
            before.into_iter().for_each(|before| self.counts_no_more(before.part, before.bytes));
            self.counts(id, bytes);
            return;
        }
        let before = self.subjects.insert(subject, Place { whole: id, bytes, refresh: None });
        before.into_iter().for_each(|before| self.forget(before));
        self.counts(id, bytes);
    }

    /// Where the whole of this subject is, if it is kept.
    pub(super) fn place_of(&self, change: &Change) -> Option<Place> {
        match (change.subject(), change) {
            (Some(subject), _) => self.subjects.get(&subject).copied(),
            (None, Change::PutDecision { aor, watcher, .. }) => {
                self.decisions.get(&(aor.clone(), watcher.clone())).copied()
            }
            (None, _) => None,
        }
    }

    /// A part was deleted.
    pub(super) fn remove_part(&mut self, id: PartId) {
        if let Some(part) = self.part(id) {
            let bytes = core::mem::take(part).bytes;
            self.total -= bytes;
        }
        while self.parts.front().is_some_and(|part| !part.is_there) {
            self.parts.pop_front();
            self.first += 1;
        }
        // Its removals have nothing to remove any more.
        if self.parts.front().is_some_and(|part| part.live == 0) {
            self.idle.push(self.first);
        }
    }

    /// Of how many parts nothing may count any more.
    pub(super) fn may_be_idle(&self) -> usize {
        self.idle.len()
    }

    /// Parts of which nothing counts any more: to be deleted.
    pub(super) fn idle(&mut self) -> Vec<PartId> {
        let mut idle = core::mem::take(&mut self.idle);
        idle.sort_unstable();
        idle.dedup();
        let first = self.first;
        idle.retain(|id| {
            self.part(*id)
                .is_some_and(|part| part.is_there && part.live == 0 && (part.removals == 0 || *id == first))
        });
        idle
    }

    /// The oldest part.
    pub(super) fn oldest(&self) -> Option<PartId> {
        self.parts.front().map(|_| self.first)
    }

    /// True if the log has more of no use than it may: as much as counts, and `slack` bytes.
    pub(super) fn is_wasteful(&self, slack: u64) -> bool {
        // Each part costs some memory here, however little is in it.
        self.total > self.live * 2 + slack || self.parts.len() > 200_000
    }

    /// Bytes of all parts.
    pub(super) fn bytes(&self) -> u64 {
        self.total
    }

    /// How many things are kept.
    pub(super) fn len(&self) -> usize {
        self.subjects.len() + self.decisions.len()
    }
}
