//! REGISTER and the location service: RFC 3261 s10, RFC 3327 (Path), RFC 3608 (Service-Route), RFC 5626 (outbound),
//! RFC 5627 (GRUU), RFC 5630 (sips).
//!
//! ```text
//! read       what a REGISTER asks for            update    the REGISTER algorithm: a plan, then all of it or nothing
//! location   the store and its indexes           binding   one contact of one AoR, compact
//! look       what the host may ask               write     the 200 with all bindings
//! outbound   reg-id, flow death                  gruu      public and temporary GRUUs
//! nat        who is behind a NAT; keep-alives    next_hop  where a request to a phone goes
//! undo       what to take back if a save fails       unchanged  the refresh that says nothing new
//! ```
//!
//! Order of what a REGISTER causes: saves at once, then the response, then events and the closing of retired flows by
//! [`Registrar::tell_pending`]. Expiry is by timer; between a deadline and its timer nobody sees the binding.

mod binding;
mod groups;
mod gruu;
mod location;
mod look;
mod names;
mod nat;
mod next_hop;
mod outbound;
mod read;
mod unchanged;
mod undo;
mod update;
mod write;

#[cfg(test)]
mod tests;

use core::time::Duration;

use crate::base::ids::IdKind;
use crate::base::text::owned;
use crate::base::{HashKey, Ids, Time, TimerKey};
use crate::config::RegistrarConfig;
use crate::ctx::{Ctx, Phone, Timer};
use crate::door::{BindingCause, BindingEvent, Change, Command, Event, FlowId, SaveSeq};
use crate::stats::Counter;
use binding::{Binding, BindingKey, Flags};
use location::{Location, RecordKey};
pub(crate) use look::with_uri;
pub(crate) use nat::names_us;
pub(crate) use next_hop::NextHop;
use next_hop::Sockets;
pub(crate) use unchanged::Fresh;
use undo::Before;

/// The registrar and its location store.
#[derive(Clone, Debug)]
pub(crate) struct Registrar {
    location: Location,
    sockets: Sockets,
    gruus: gruu::Mint,
    undo: undo::Undo,
    same: unchanged::Same,
    /// What comes after the response.
    pending: Vec<Command>,
    /// Addresses of record whose bindings changed in what presence shows of them.
    touched: Vec<Box<str>>,
    /// Somebody may be told of that.
    shown: bool,
    /// Somebody waits for phones to register.
    awaited: bool,
    /// Who did since: an address of record, and the number of the binding.
    arrived: Vec<(Box<str>, u64)>,
}

/// A REGISTER that was served: what its 200 says beside the bindings.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Registered {
    /// The address of record, while it has bindings.
    record: Option<RecordKey>,
    /// The last save it caused.
    pub(crate) save: Option<SaveSeq>,
    outbound: bool,
    flow_timer: bool,
}

impl Registrar {
    /// Without bindings.
    pub(crate) fn new(ids: &mut Ids) -> Registrar {
        Registrar {
            location: Location::new(ids.hash_key()),
            sockets: Sockets::default(),
            gruus: gruu::Mint::new(key_of(ids, IdKind::Gruu)),
            undo: undo::Undo::default(),
            same: unchanged::Same::new(ids.hash_key()),
            pending: Vec::new(),
            touched: Vec::new(),
            shown: false,
            awaited: false,
            arrived: Vec::new(),
        }
    }

    /// How many addresses of record have bindings.
    pub(crate) fn aors(&self) -> usize {
        self.location.aors()
    }

    /// How many bindings there are.
    pub(crate) fn bindings(&self) -> usize {
        self.location.len()
    }

    /// Whether bindings are reached over this stream flow.
    pub(crate) fn uses_flow(&self, flow: FlowId) -> bool {
        !self.location.on_flow(flow).is_empty()
    }

    /// Tells the events that waited for the response, in the order they happened.
    pub(crate) fn tell_pending(&mut self, ctx: &mut Ctx<'_>) {
        if self.pending.is_empty() {
            return;
        }
        for command in self.pending.drain(..) {
            ctx.out.push(command);
        }
        if self.pending.capacity() > 256 {
            self.pending = Vec::new();
        }
    }

    /// Whether somebody may be told of what changes: most phones register where nobody watches.
    pub(crate) fn show_changes(&mut self, shown: bool) {
        self.shown = shown;
    }

    /// Addresses of record whose bindings changed since the last call, in the order of the changes.
    pub(crate) fn take_touched(&mut self) -> Vec<Box<str>> {
        core::mem::take(&mut self.touched)
    }

    /// Whether somebody waits for phones to register.
    pub(crate) fn await_phones(&mut self, awaited: bool) {
        self.awaited = awaited;
    }

    /// Bindings that were registered or refreshed since the last call, while somebody waited for them.
    pub(crate) fn take_arrived(&mut self) -> Vec<(Box<str>, u64)> {
        core::mem::take(&mut self.arrived)
    }

    /// What presence shows of the bindings of an address of record.
    pub(crate) fn phones(&self, ctx: &Ctx<'_>, aor: &str) -> Vec<Phone> {
        let record = self.location.find(aor.as_bytes());
        let live = self.location.of_any(record).filter(|(_, binding)| binding.is_live(ctx.now));
        let phone = |(_, binding): (BindingKey, &Binding)| Phone {
            lineage: binding.id,
            contact: owned(binding.contact()),
            instance: owned(binding.instance()),
            q: (binding.q != binding::NO_Q).then_some(binding.q),
            since: binding.since,
            expires_at: binding.expires_at,
            // DECISIONS 11: it may be back in a moment.
            reachable: self.sockets.is_reachable(ctx, binding) || binding.is_waited_for(),
            source: binding.received(),
        };
        live.map(phone).collect()
    }

    /// A binding's time is up.
    pub(crate) fn on_expiry(&mut self, ctx: &mut Ctx<'_>, bits: u64) {
        let key = BindingKey::from_bits(bits);
        let Some(binding) = self.location.get_mut(key) else { return };
        binding.expiry = TimerKey::NONE;
        if binding.is_live(ctx.now) {
            self.arm_anew(ctx, key);
        } else {
            self.remove_binding(ctx, key, BindingCause::Expired);
            self.tell_pending(ctx);
        }
    }

    /// A binding will end soon, and nobody refreshed it.
    pub(crate) fn on_expiring(&mut self, ctx: &mut Ctx<'_>, bits: u64) {
        let key = BindingKey::from_bits(bits);
        let Some(binding) = self.location.get_mut(key) else { return };
        binding.expiry = TimerKey::NONE;
        let notice = ctx.settings.registrar.as_ref().map_or(Duration::ZERO, |config| config.expiring_notice);
        let due = binding.expires_at - notice;
        if due > ctx.now || due <= binding.refreshed {
            return self.arm_anew(ctx, key);
        }
        binding.expiry = ctx.timers.arm(binding.expires_at, Timer::BindingExpiry(bits));
        self.note(ctx, key, BindingCause::Expiring);
        self.tell_pending(ctx);
    }

    /// Removes what has ended but whose timer has not run yet: an overdue timer comes before the message. False if
    /// nothing is left.
    fn purge(&mut self, ctx: &mut Ctx<'_>, record: RecordKey) -> bool {
        let now = ctx.now;
        loop {
            let ended =
                self.location.of(record).find(|(_, binding)| !binding.is_live(now)).map(|(key, _)| key);
            let Some(key) = ended else { return self.location.has(record) };
            self.undo.pause();
            self.remove_binding(ctx, key, BindingCause::Expired);
            self.undo.resume();
        }
    }

    /// Removes a binding with its timers, and makes it known.
    fn remove_binding(&mut self, ctx: &mut Ctx<'_>, key: BindingKey, cause: BindingCause) -> Option<SaveSeq> {
        self.note(ctx, key, cause);
        let taken = self.location.take(key)?;
        ctx.timers.disarm(taken.binding.expiry);
        ctx.timers.disarm(taken.binding.ping);
        ctx.timers.disarm(taken.silence);
        let id = taken.binding.id;
        let save = ctx.settings.tell.changes.then(|| {
            self.undo.note(&taken.aor, id, || Before::Whole(Box::new(taken.binding)));
            ctx.out.save(Change::RemoveBinding { aor: taken.aor, id })
        });
        self.undo.saved_as(save);
        if self.location.is_empty() && save.is_none() {
            self.undo.clear();
        }
        save
    }

    /// Makes it durable that a binding lasts longer.
    fn save_refresh(&mut self, ctx: &mut Ctx<'_>, key: BindingKey) -> Option<SaveSeq> {
        let binding = self.location.get(key).filter(|_| ctx.settings.tell.changes)?;
        let (id, expires_at, cseq) = (binding.id, ctx.to_wall(binding.expires_at), binding.cseq);
        Some(ctx.out.save(Change::RefreshBinding { id, expires_at, cseq }))
    }

    /// Makes a new or changed binding durable.
    fn save_put(&mut self, ctx: &mut Ctx<'_>, key: BindingKey) -> Option<SaveSeq> {
        if !ctx.settings.tell.changes {
            return None;
        }
        let binding = self.location.get(key)?;
        // What is stored is compared with the wall clock of the next life.
        let times = [binding.since, binding.expires_at].map(|time| ctx.to_wall(time));
        Some(ctx.out.save(Change::PutBinding(binding.stored(self.location.name(binding), times))))
    }

    /// Counts a change of a binding and has it told.
    fn note(&mut self, ctx: &mut Ctx<'_>, key: BindingKey, cause: BindingCause) {
        let counter = match cause {
            BindingCause::Registered => Some(Counter::Registered),
            BindingCause::Refreshed | BindingCause::Moved => Some(Counter::Refreshed),
            BindingCause::Expired => Some(Counter::Expired),
            BindingCause::Unregistered => Some(Counter::Unregistered),
            BindingCause::Replaced => Some(Counter::Replaced),
            BindingCause::Removed | BindingCause::Unreachable | BindingCause::Expiring => None,
        };
        if let Some(counter) = counter {
            ctx.stats.count(counter);
        }
        if self.awaited
            && matches!(cause, BindingCause::Registered | BindingCause::Refreshed | BindingCause::Moved)
            && let Some(binding) = self.location.get(key)
        {
            self.arrived.push((self.location.name(binding).into(), key.to_bits()));
        }
        let waited_for = self.location.get(key).is_some_and(Binding::is_waited_for);
        let shows = match cause {
            BindingCause::Refreshed | BindingCause::Expiring => false,
            BindingCause::Unreachable => !waited_for,
            _ => true,
        };
        if shows
            && self.shown
            && ctx.settings.presence.is_some()
            && let Some(binding) = self.location.get(key)
        {
            self.touched.push(self.location.name(binding).into());
        }
        if !ctx.settings.tell.bindings {
            return;
        }
        if let Some(binding) = self.location.get(key) {
            let binding = binding.view(self.location.name(binding), self.sockets.is_reachable(ctx, binding));
            let event = Event::Binding(Box::new(BindingEvent { cause, binding }));
            self.pending.push(Command::Tell(event));
        }
    }

    /// Arms what a new or refreshed binding waits for.
    fn arm_timers(&mut self, ctx: &mut Ctx<'_>, config: &RegistrarConfig, key: BindingKey) {
        let Some(binding) = self.location.get_mut(key) else { return };
        let end = binding.expires_at;
        let notice = end - config.expiring_notice;
        let told = ctx.settings.tell.bindings && !config.expiring_notice.is_zero() && notice > ctx.now;
        let (deadline, timer) = match told {
            true => (notice, Timer::BindingExpiring(key.to_bits())),
            false => (end, Timer::BindingExpiry(key.to_bits())),
        };
        // A timer that is too early stays: it will find that the binding was refreshed. Most are, several times before
        // their first end.
        if ctx.timers.deadline(binding.expiry).is_none_or(|armed| armed > deadline) {
            ctx.timers.disarm(binding.expiry);
            binding.expiry = ctx.timers.arm(deadline, timer);
        }
        nat::arm_ping(ctx, config, key, binding);
    }

    /// The timer of a binding was too early.
    fn arm_anew(&mut self, ctx: &mut Ctx<'_>, key: BindingKey) {
        let settings = ctx.settings.clone();
        if let Some(config) = &settings.registrar {
            self.arm_timers(ctx, config, key);
        }
    }
}

fn key_of(ids: &Ids, kind: IdKind) -> HashKey {
    let secret = ids.secret(kind);
    let half = |from: usize| secret.get(from..).and_then(|s| s.first_chunk()).copied().unwrap_or_default();
    HashKey::new([u64::from_le_bytes(half(0)), u64::from_le_bytes(half(8))])
}

/// Whole seconds that are left, rounded up, at least one: a binding that lives is never said to have ended.
fn seconds_left(binding: &Binding, now: Time) -> u32 {
    let left = binding.expires_at.since(now) + Duration::from_nanos(999_999_999);
    u32::try_from(left.as_secs()).unwrap_or(u32::MAX).max(1)
}
