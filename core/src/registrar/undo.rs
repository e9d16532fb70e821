//! What to take back when a change cannot be made durable: RFC 3261 s10.3 step 7, DECISIONS 19.
//!
//! The log holds, for each save of a REGISTER that the host has not confirmed yet, the binding as it was before. It is
//! bounded: a host that stores behind and never confirms pushes the oldest entries out, and those count as durable.

use std::collections::VecDeque;

use super::Registrar;
use super::binding::{Binding, BindingKey};
use crate::base::{Time, TimerKey};
use crate::ctx::Ctx;
use crate::door::{BindingCause, Change, SaveSeq};

/// Entries kept at most.
const LIMIT: usize = 16_384;
/// Room for so many is kept when there are none.
const USUAL: usize = 256;

/// The log.
#[derive(Clone, Default, Debug)]
pub(super) struct Undo {
    log: VecDeque<Entry>,
    /// Number of the REGISTER being served; the changes of one are taken back together.
    group: u64,
    /// The change that waits for the number of its save.
    open: Option<Entry>,
    paused: bool,
    /// Nothing is saved, so nothing can fail to be.
    off: bool,
}

#[derive(Clone, Debug)]
struct Entry {
    group: u64,
    seq: u64,
    aor: Box<str>,
    id: u64,
    before: Before,
}

/// What was before a change.
#[derive(Clone, Debug)]
pub(super) enum Before {
    /// No binding.
    Nothing,
    /// This one.
    Whole(Box<Binding>),
    /// The one that is there, with these times.
    Times(Times),
}

/// All that a refresh that says nothing new changes of a binding.
#[derive(Clone, Copy, Debug)]
pub(super) struct Times {
    cseq: u32,
    gruu: u32,
    refreshed: Time,
    expires_at: Time,
}

impl Times {
    fn of(binding: &Binding) -> Times {
        let &Binding { cseq, gruu, refreshed, expires_at, .. } = binding;
        Times { cseq, gruu, refreshed, expires_at }
    }

    fn put_into(self, binding: &mut Binding) {
        let Times { cseq, gruu, refreshed, expires_at } = self;
        (binding.cseq, binding.gruu) = (cseq, gruu);
        (binding.refreshed, binding.expires_at) = (refreshed, expires_at);
    }
}

impl Before {
    pub(super) fn whole(binding: &Binding) -> Before {
        Before::Whole(Box::new(binding.clone()))
    }

    pub(super) fn times(binding: &Binding) -> Before {
        Before::Times(Times::of(binding))
    }

    /// An earlier change of the same binding is forgotten: what was before both.
    fn reach_back(&mut self, earlier: Before) {
        match (&mut *self, earlier) {
            (Before::Whole(binding), Before::Times(times)) => times.put_into(binding),
            (_, earlier) => *self = earlier,
        }
    }
}

impl Undo {
    /// Begins a REGISTER whose changes are saved, or not.
    pub(super) fn begin(&mut self, saved: bool) {
        self.group += 1;
        self.open = None;
        self.off = !saved;
    }

    /// Changes until [`resume`](Self::resume) are not of the REGISTER, and stay whatever becomes of it.
    pub(super) fn pause(&mut self) {
        self.paused = true;
    }

    pub(super) fn resume(&mut self) {
        self.paused = false;
    }

    /// Remembers a binding before its change; forgotten again unless a save follows.
    pub(super) fn note(&mut self, aor: &str, id: u64, before: impl FnOnce() -> Before) {
        if !self.paused && !self.off {
            self.open = Some(Entry { group: self.group, seq: 0, aor: aor.into(), id, before: before() });
        }
    }

    /// The number under which the change is saved.
    pub(super) fn saved_as(&mut self, save: Option<SaveSeq>) {
        if self.open.is_none() {
            return;
        }
        let (Some(mut entry), Some(seq)) = (self.open.take(), save) else { return };
        entry.seq = seq.0;
        if self.log.len() == LIMIT {
            self.log.pop_front();
        }
        self.log.push_back(entry);
    }

    /// The last unconfirmed save about an AoR.
    pub(super) fn last_save(&self, aor: &str) -> Option<SaveSeq> {
        self.log.iter().rev().find(|entry| *entry.aor == *aor).map(|entry| SaveSeq(entry.seq))
    }

    /// Forgets everything.
    pub(super) fn clear(&mut self) {
        self.log = VecDeque::new();
        self.open = None;
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.log.len()
    }
}

impl Registrar {
    /// The change of that number, and all before it, are durable.
    pub(crate) fn on_saved(&mut self, seq: SaveSeq) {
        let log = &mut self.undo.log;
        while log.front().is_some_and(|entry| entry.seq <= seq.0) {
            log.pop_front();
        }
        if log.is_empty() && log.capacity() > USUAL {
            self.undo.log = VecDeque::new();
        }
    }

    /// The change of that number could not be made durable: the whole REGISTER it belongs to is taken back. Its other
    /// changes may be durable already, so they are taken back in the store too. The last save of that REGISTER: its
    /// response stands on it.
    pub(crate) fn on_save_failed(&mut self, ctx: &mut Ctx<'_>, seq: SaveSeq) -> Option<SaveSeq> {
        let group = self.undo.log.iter().find(|e| e.seq == seq.0).map(|e| e.group)?;
        let last = self.undo.log.iter().rfind(|e| e.group == group).map(|e| SaveSeq(e.seq));
        self.undo.begin(false);
        self.undo.pause();
        // The last change first, so that each binding ends as it was before the first.
        while let Some(at) = self.undo.log.iter().rposition(|entry| entry.group == group) {
            let Some(entry) = self.undo.log.remove(at) else { break };
            let later = self.undo.log.iter_mut().skip(at).find(|e| e.id == entry.id && e.aor == entry.aor);
            match later {
                // A later change of the same binding stands; should it fail too, this is what comes back.
                Some(later) => later.before.reach_back(entry.before),
                None => self.take_back(ctx, entry, seq),
            }
        }
        self.undo.resume();
        last
    }

    fn take_back(&mut self, ctx: &mut Ctx<'_>, entry: Entry, failed: SaveSeq) {
        let Entry { aor, id, before, seq, .. } = entry;
        let present = self.binding_of(&aor, id);
        let also_in_store = seq != failed.0;
        let until = match &before {
            Before::Nothing => None,
            Before::Whole(before) => Some(before.expires_at),
            Before::Times(times) => Some(times.expires_at),
        };
        if until.is_none_or(|until| until <= ctx.now) {
            if let Some(key) = present {
                self.discard(ctx, key, BindingCause::Removed);
            }
            if also_in_store && ctx.settings.tell.changes {
                ctx.out.save(Change::RemoveBinding { aor, id });
            }
            return;
        }
        let (key, cause) = match (before, present) {
            (Before::Times(times), Some(key)) => {
                if let Some(binding) = self.location.get_mut(key) {
                    times.put_into(binding);
                }
                (key, BindingCause::Refreshed)
            }
            (Before::Whole(before), present) => {
                if let Some(key) = present {
                    self.discard_silently(ctx, key);
                }
                let cause = present.map_or(BindingCause::Registered, |_| BindingCause::Refreshed);
                (self.put_back(ctx, &aor, *before), cause)
            }
            // What was refreshed went since, for reasons of its own.
            (Before::Nothing, _) | (Before::Times(_), None) => return,
        };
        if let Some(config) = ctx.settings.registrar.as_ref() {
            self.arm_timers(ctx, config, key);
        }
        if also_in_store {
            self.save_put(ctx, key);
        }
        self.note(ctx, key, cause);
    }

    fn put_back(&mut self, ctx: &Ctx<'_>, aor: &str, mut before: Binding) -> BindingKey {
        (before.expiry, before.ping) = (TimerKey::NONE, TimerKey::NONE);
        if before.transport.is_reliable() && ctx.flows.get(before.flow).is_none() {
            before.flags.set(super::Flags::FLOW_GONE, true);
        }
        self.location.put_back(aor, before)
    }

    /// The binding of that number.
    pub(super) fn binding_of(&self, aor: &str, id: u64) -> Option<BindingKey> {
        let record = self.location.find(aor.as_bytes())?;
        self.location.of(record).find(|(_, binding)| binding.id == id).map(|(key, _)| key)
    }

    /// Removes a binding without a save.
    pub(super) fn discard(&mut self, ctx: &mut Ctx<'_>, key: BindingKey, cause: BindingCause) {
        self.note(ctx, key, cause);
        self.discard_silently(ctx, key);
    }

    pub(super) fn discard_silently(&mut self, ctx: &mut Ctx<'_>, key: BindingKey) {
        if let Some(taken) = self.location.take(key) {
            ctx.timers.disarm(taken.binding.expiry);
            ctx.timers.disarm(taken.binding.ping);
            ctx.timers.disarm(taken.silence);
        }
    }
}
