//! The REGISTER algorithm: RFC 3261 s10.3 steps 4 to 7, all or none.
//!
//! A request is read into a plan first (`read`): each contact with what it asks for, and the binding it is about. Every
//! reason to refuse is found before the first change is made, so that there is nothing to take back. What a contact is
//! about is found in this order: the same instance and reg-id (RFC 5626 s6), the same URI (RFC 3261 s19.1.4) unless the
//! instances differ, the same instance (a phone that was restarted has a new Call-ID, contact and port, and is still one
//! phone).

use core::time::Duration;

use smallvec::SmallVec;

use super::binding::{Binding, BindingKey, Draft, Flags};
use super::location::RecordKey;
use super::read::{Asked, Plan, Request, Wanted, canonical_aor, read_contacts, read_request};
use super::unchanged::Fresh;
use super::undo::Before;
use super::{Registered, Registrar, nat, outbound};
use crate::base::Time;
use crate::base::ids::IdKind;
use crate::base::text::eq_ignore_case;
use crate::config::{AorBuf, MaxContacts, RegistrarConfig, Settings};
use crate::ctx::{Ctx, Extra, Origin, Refusal};
use crate::door::{BindingCause, Identity, SaveSeq, Scheme};
use crate::wire::{Essentials, Header, Message, Status};

/// What a client that hit a full table is told to wait, in seconds.
const RETRY_AFTER: u32 = 30;

type Keys = SmallVec<[BindingKey; 4]>;

impl Registrar {
    /// Serves a REGISTER of `who`; `asked` is the hash of what it [asks for](Self::asked), if that is known. Changes all it asks for or nothing; saves are emitted at once, events wait for
    /// [`tell_pending`](Self::tell_pending), so that they come after the response.
    pub(crate) fn register(
        &mut self,
        ctx: &mut Ctx<'_>,
        origin: &Origin,
        msg: Message<'_>,
        ess: &Essentials<'_>,
        asked: Option<u64>,
        who: &Identity,
    ) -> Result<Registered, Refusal> {
        let settings: &Settings = ctx.settings;
        let config =
            settings.registrar.as_ref().ok_or(Refusal::with(Status::METHOD_NOT_ALLOWED, Extra::Allow))?;
        // A canonical name is canonical: what a record is called by its own name it is rightly called.
        let plain = ess.to.uri.user_at_host();
        let known = plain.and_then(|name| self.location.find(name));
        let fresh = Fresh::of(origin, msg, ess);
        let same = asked.unwrap_or_else(|| self.asked(&fresh));
        // What is known was looked for already.
        if asked.is_none()
            && let Some(again) = self.recognise(ctx.now, same, fresh.number)
            && self.may_ask(again, who)
            && let Some(registered) = self.refresh(ctx, again, &fresh)
        {
            return Ok(registered);
        }
        let mut aor = AorBuf::new();
        let aor = canonical_aor(settings, ess, &mut aor)?;
        // RFC 3261 s10.3 step 4. Nothing before this depends on the user.
        if !who.owns(aor) {
            return Err(Refusal::plain(Status::FORBIDDEN));
        }
        let may_be_foreign = may_be_foreign(who);
        let request = read_request(settings, config, ctx.now, (origin, msg, ess), may_be_foreign)?;
        let record = if plain == Some(aor.as_bytes()) { known } else { self.location.find(aor.as_bytes()) };
        let mut plan = Plan::new();
        let asked = read_contacts(settings, config, &request, &self.location, record, &mut plan)?;
        self.undo.begin(settings.tell.may_fail());
        let record = record.filter(|record| self.purge(ctx, *record));
        match asked {
            Asked::Query => Ok(answer_to(record, &request, &[], None)),
            Asked::RemoveAll => {
                let save = self.remove_all(ctx, &request, record)?;
                Ok(answer_to(None, &request, &[], save))
            }
            Asked::Contacts => {
                if let [wanted] = plan.as_mut_slice() {
                    wanted.asked = same;
                }
                self.update(ctx, config, &request, aor, record, &mut plan)
            }
        }
    }

    /// DECISIONS 16: the answer to a REGISTER that repeats the last accepted one, whose transaction was forgotten early.
    /// `None` if it is any other.
    pub(crate) fn repeated(
        &mut self,
        ctx: &mut Ctx<'_>,
        origin: &Origin,
        msg: Message<'_>,
        ess: &Essentials<'_>,
    ) -> Option<Registered> {
        let settings: &Settings = ctx.settings;
        let config = settings.registrar.as_ref()?;
        let mut aor = AorBuf::new();
        let aor = canonical_aor(settings, ess, &mut aor).ok()?;
        let record = self.location.find(aor.as_bytes())?;
        let request = read_request(settings, config, ctx.now, (origin, msg, ess), false).ok()?;
        let mut plan = Plan::new();
        let asked = read_contacts(settings, config, &request, &self.location, Some(record), &mut plan);
        let Ok(Asked::Contacts) = asked else { return None };
        self.match_bindings(record, ctx.now, &mut plan);
        self.is_repetition(&request, &plan).then(|| {
            let save = self.undo.last_save(aor);
            answer_to(Some(record), &request, &plan, save)
        })
    }

    /// RFC 3261 s10.3 step 6: all bindings go, or none.
    fn remove_all(
        &mut self,
        ctx: &mut Ctx<'_>,
        request: &Request<'_, '_>,
        record: Option<RecordKey>,
    ) -> Result<Option<SaveSeq>, Refusal> {
        let keys: Keys = self.location.of_any(record).map(|(key, _)| key).collect();
        if self.location.of_any(record).any(|(_, binding)| is_out_of_order(request, binding)) {
            return Err(out_of_order());
        }
        let mut save = None;
        for key in keys {
            save = self.remove_binding(ctx, key, BindingCause::Unregistered).or(save);
        }
        Ok(save)
    }

    /// RFC 3261 s10.3 step 7.
    fn update(
        &mut self,
        ctx: &mut Ctx<'_>,
        config: &RegistrarConfig,
        request: &Request<'_, '_>,
        aor: &str,
        record: Option<RecordKey>,
        plan: &mut Plan<'_>,
    ) -> Result<Registered, Refusal> {
        if let Some(record) = record {
            self.match_bindings(record, ctx.now, plan);
        }
        let mut leaving = self.former_lives(record, plan);
        let touched = plan.iter().filter_map(|wanted| wanted.hit).chain(leaving.iter().copied());
        if touched.filter_map(|key| self.location.get(key)).any(|binding| is_out_of_order(request, binding)) {
            if self.is_repetition(request, plan) {
                let save = self.undo.last_save(aor);
                return Ok(answer_to(record, request, plan, save));
            }
            return Err(out_of_order());
        }
        if plan.iter().any(|wanted| wanted.hit.is_none() && !wanted.is_removal()) {
            self.make_room(ctx.settings, config, record, plan, &mut leaving)?;
        }
        // Nothing can fail from here on.
        let mut save = None;
        for key in leaving {
            save = self.remove_binding(ctx, key, BindingCause::Replaced).or(save);
        }
        let mut record = record;
        for wanted in plan.iter() {
            // The record may come, or go and come again.
            record = record.filter(|record| self.location.has(*record));
            let done = match (wanted.hit, wanted.is_removal()) {
                (None, true) => None,
                (Some(key), true) => self.remove_binding(ctx, key, BindingCause::Unregistered),
                (hit, false) => self.write_binding(ctx, config, request, (aor, &mut record), wanted, hit),
            };
            save = done.or(save);
        }
        let record = record.filter(|record| self.location.has(*record));
        let registered = answer_to(record, request, plan, save);
        self.watch_if_told(ctx, config, request.origin, &registered);
        Ok(registered)
    }

    /// Finds the binding each contact is about; no binding is found twice.
    fn match_bindings(&self, record: RecordKey, now: Time, plan: &mut Plan<'_>) {
        // Nearly always there is one contact and one binding, and they are each other's.
        if let [wanted] = plan.as_mut_slice()
            && let Some((key, binding)) = self.location.only(record)
            && wanted.known == Some(key)
            && binding.is_live(now)
            && wanted.is_exactly(binding)
        {
            wanted.hit = Some(key);
            return;
        }
        for exact in [true, false] {
            for i in 0..plan.len() {
                let Some(wanted) = plan.get(i).filter(|wanted| wanted.hit.is_none()) else { continue };
                if !exact && wanted.instance.is_empty() {
                    continue;
                }
                let is_it = |binding: &Binding| match exact {
                    true => wanted.is_exactly(binding),
                    false => wanted.is_loosely(binding),
                };
                let free = |key: BindingKey| plan.iter().all(|other| other.hit != Some(key));
                // Of several the newest: the older ones are its former lives.
                let hit = self
                    .location
                    .of(record)
                    .filter(|(key, binding)| binding.is_live(now) && is_it(binding) && free(*key))
                    .max_by_key(|(_, binding)| binding.refreshed)
                    .map(|(key, _)| key);
                if let Some(wanted) = plan.get_mut(i) {
                    wanted.hit = hit;
                }
            }
        }
    }

    /// Other bindings of the instances in the plan: the same phones before they were restarted.
    fn former_lives(&self, record: Option<RecordKey>, plan: &Plan<'_>) -> Keys {
        if plan.iter().all(|wanted| wanted.instance.is_empty() || wanted.is_removal()) {
            return Keys::new();
        }
        let former =
            |binding: &Binding| plan.iter().any(|wanted| !wanted.is_removal() && wanted.is_loosely(binding));
        self.location
            .of_any(record)
            .filter(|(key, binding)| plan.iter().all(|other| other.hit != Some(*key)) && former(binding))
            .map(|(key, _)| key)
            .collect()
    }

    /// True if this is the last accepted request once more, from the same place: the same Call-ID, CSeq and contacts.
    fn is_repetition(&self, request: &Request<'_, '_>, plan: &Plan<'_>) -> bool {
        let mut repeats = false;
        for wanted in plan {
            match wanted.hit.and_then(|key| self.location.get(key)) {
                None if wanted.is_removal() => {}
                Some(binding)
                    if !wanted.is_removal()
                        && binding.cseq == request.ess.cseq.number
                        && binding.call_id() == request.ess.call_id
                        && binding.contact() == wanted.uri
                        && binding.q == wanted.q
                        && binding.params() == wanted.other_params().as_slice()
                        && binding.received() == request.origin.remote =>
                {
                    repeats = true;
                }
                _ => return false,
            }
        }
        repeats
    }

    /// Checks every bound; adds the bindings that have to go for the new ones to those that are `leaving`.
    fn make_room(
        &self,
        settings: &Settings,
        config: &RegistrarConfig,
        record: Option<RecordKey>,
        plan: &Plan<'_>,
        leaving: &mut Keys,
    ) -> Result<(), Refusal> {
        let new = plan.iter().filter(|wanted| wanted.hit.is_none() && !wanted.is_removal()).count();
        let removed = plan.iter().filter(|wanted| wanted.hit.is_some() && wanted.is_removal()).count();
        let present = self.location.of_any(record).count();
        let kept = present - removed - leaving.len();
        let excess = (kept + new).saturating_sub(config.max_contacts);
        if excess > 0 {
            let mut free: SmallVec<[(Time, u64, BindingKey); 16]> = self
                .location
                .of_any(record)
                .filter(|(key, _)| {
                    !leaving.contains(key) && plan.iter().all(|wanted| wanted.hit != Some(*key))
                })
                .map(|(key, binding)| (binding.refreshed, binding.id, key))
                .collect();
            if config.max_contacts_policy == MaxContacts::Refuse || free.len() < excess {
                return Err(Refusal::because(Status::FORBIDDEN, "Too Many Contacts"));
            }
            free.sort_unstable();
            leaving.extend(free.into_iter().take(excess).map(|(_, _, key)| key));
        }
        let limits = &settings.limits;
        let full = (record.is_none() && self.location.aors() >= limits.aors)
            || self.location.len() + new > limits.bindings + removed + leaving.len();
        match full {
            true => Err(Refusal::with(Status::SERVICE_UNAVAILABLE, Extra::RetryAfter(RETRY_AFTER))),
            false => Ok(()),
        }
    }

    /// Adds or refreshes one binding of an AoR, and the record if there is none.
    fn write_binding(
        &mut self,
        ctx: &mut Ctx<'_>,
        config: &RegistrarConfig,
        request: &Request<'_, '_>,
        (aor, record): (&str, &mut Option<RecordKey>),
        wanted: &Wanted<'_>,
        hit: Option<BindingKey>,
    ) -> Option<SaveSeq> {
        let params = wanted.other_params();
        let text = wanted.text(request, &params);
        let draft = || match request.has_path {
            true => Draft::new(&text, request.msg.values(Header::Path)),
            false => Draft::new(&text, core::iter::empty()),
        };
        let (origin, now) = (request.origin, ctx.now);
        let mut retired = None;
        // Nothing but its end and its CSeq will be other than it was.
        let mut same = false;
        let (key, cause) = match hit.and_then(|key| Some((key, self.location.get(key)?))) {
            None => {
                let contact = wanted.contact().expect("invariant: a contact that is kept was checked");
                let key = self.location.add((aor, *record), (draft(), &contact), None, now);
                *record = self.location.get(key).map(|binding| binding.record);
                self.undo.note(aor, self.location.get(key).map_or(0, |b| b.id), || Before::Nothing);
                self.begin_epoch(key, wanted.instance, None);
                (key, BindingCause::Registered)
            }
            Some((key, old)) => {
                // What was found by its bytes has them.
                let same_contact = wanted.known == Some(key) || old.contact() == text.contact;
                let moved = !same_contact
                    || old.received() != origin.remote
                    || (old.transport.is_reliable() && old.own_flow() != Some(origin.flow));
                retired = (moved && wanted.same_instance(old)).then(|| old.own_flow()).flatten();
                self.undo.note(aor, old.id, || Before::whole(old));
                let unchanged = !request.has_path && same_contact && old.says(&text);
                same = unchanged
                    && (old.q, old.reg_id) == (wanted.q, wanted.reg_id)
                    && (old.flow, old.transport, old.flags) == (origin.flow, origin.transport, wanted.flags);
                if !unchanged {
                    let same_instance = wanted.same_instance(old);
                    let same_call = (!old.instance().is_empty()).then(|| old.call_id() == text.call_id);
                    // RFC 5627 s5.1: another Call-ID voids all temporary GRUUs of the instance.
                    if !(same_instance && same_call == Some(true)) {
                        self.begin_epoch(key, wanted.instance, same_call);
                    }
                    self.location.rewrite(key, draft(), text.contact);
                }
                (key, if moved { BindingCause::Moved } else { BindingCause::Refreshed })
            }
        };
        let silence = self.location.move_to(key, origin.flow, origin.transport, wanted.flags);
        ctx.timers.disarm(silence);
        if let Some(binding) = self.location.get_mut(key) {
            binding.q = wanted.q;
            binding.reg_id = wanted.reg_id;
            binding.requested = wanted.requested.unwrap_or(config.default_expires);
        }
        self.location.set_asked(key, wanted.asked);
        let save = self.grant(ctx, config, (key, cause, same), (request.msg, request.ess.cseq.number));
        if let Some(flow) = retired {
            self.retire_later(ctx, flow, origin.flow);
        }
        save
    }

    /// The epoch of temporary GRUUs for a binding of an instance that is new here, or whose Call-ID changed.
    fn begin_epoch(&mut self, key: BindingKey, instance: &[u8], same_call: Option<bool>) {
        if instance.is_empty() {
            return;
        }
        let Some(record) = self.location.get(key).map(|binding| binding.record) else { return };
        let siblings: SmallVec<[(BindingKey, u32); 8]> = self
            .location
            .of(record)
            .filter(|(k, b)| *k != key && eq_ignore_case(b.instance(), instance))
            .map(|(k, b)| (k, b.epoch))
            .collect();
        // RFC 5627 s5.1: one more flow of the instance voids nothing.
        let shared = siblings.first().map(|(_, epoch)| *epoch).filter(|_| same_call.is_none());
        let epoch = match (shared, self.location.record_mut(record)) {
            (Some(epoch), _) => epoch,
            (None, Some(record)) => {
                record.epochs += 1;
                record.epochs
            }
            (None, None) => return,
        };
        for key in siblings.into_iter().map(|(key, _)| key).chain([key]) {
            if let Some(binding) = self.location.get_mut(key) {
                binding.epoch = epoch;
            }
        }
    }

    /// Grants a binding its time anew: the end of each registration and refresh. `same`: it is otherwise what it was.
    pub(super) fn grant(
        &mut self,
        ctx: &mut Ctx<'_>,
        config: &RegistrarConfig,
        (key, cause, same): (BindingKey, BindingCause, bool),
        (msg, cseq): (Message<'_>, u32),
    ) -> Option<SaveSeq> {
        let binding = self.location.get_mut(key)?;
        let granted = seconds_granted(ctx, config, binding);
        binding.cseq = cseq;
        binding.refreshed = ctx.now;
        binding.expires_at = ctx.now + Duration::from_secs(u64::from(granted));
        if !binding.instance().is_empty() && config.gruu && msg.has_token(Header::Supported, b"gruu") {
            self.location.mint(key);
        }
        self.arm_timers(ctx, config, key);
        let save = match same {
            true => self.save_refresh(ctx, key),
            false => self.save_put(ctx, key),
        };
        self.undo.saved_as(save);
        self.note(ctx, key, cause);
        save
    }

    /// What is to be answered. `flow`: whether outbound was granted.
    pub(super) fn registered(
        record: Option<RecordKey>,
        fresh: &Fresh<'_, '_>,
        flow: bool,
        save: Option<SaveSeq>,
    ) -> Registered {
        // RFC 5626 s6: the tag is required of the client only if it said that it has it.
        let outbound = flow && fresh.msg.has_token(Header::Supported, b"outbound");
        let flow_timer = outbound && fresh.is_direct && outbound::keeps_alive(fresh.origin.transport);
        Registered { record, save, outbound, flow_timer }
    }

    /// RFC 5626 s4.4: from now on the phone is heard of, or its flow is dead.
    pub(super) fn watch_if_told(
        &mut self,
        ctx: &mut Ctx<'_>,
        config: &RegistrarConfig,
        origin: &Origin,
        told: &Registered,
    ) {
        if told.flow_timer && origin.transport.is_reliable() && config.flow_timer > 0 {
            self.watch(ctx, config, origin.flow);
        }
    }
}

fn answer_to(
    record: Option<RecordKey>,
    request: &Request<'_, '_>,
    plan: &[Wanted<'_>],
    save: Option<SaveSeq>,
) -> Registered {
    let flow = plan.iter().any(|wanted| wanted.flags.has(Flags::OUTBOUND) && !wanted.is_removal());
    Registrar::registered(record, &Fresh::of(request.origin, request.msg, request.ess), flow, save)
}

/// RFC 3261 s10.3 step 7: the update is aborted and the request fails, with the status the same step gives to failure.
fn out_of_order() -> Refusal {
    Refusal::because(Status::SERVER_ERROR, "CSeq Out of Order")
}

/// RFC 3261 s10.3 steps 6 and 7: what has the Call-ID of the binding must have a higher CSeq.
fn is_out_of_order(request: &Request<'_, '_>, binding: &Binding) -> bool {
    request.ess.cseq.number <= binding.cseq && binding.call_id() == request.ess.call_id
}

/// RFC 3261 s10.3 step 7: we may choose less than what is requested, never more.
fn seconds_granted(ctx: &mut Ctx<'_>, config: &RegistrarConfig, binding: &Binding) -> u32 {
    let mut granted = binding.requested.min(config.max_expires);
    if nat::wants_keepalive(binding.transport, binding.flags) {
        granted = granted.min(config.nat_max_expires);
    }
    let share = u64::from(granted) * u64::from(config.expires_jitter_percent) / 100;
    if share > 0 {
        let floor = granted.min(config.min_expires);
        granted = granted.saturating_sub(ctx.ids.below(IdKind::Jitter, share + 1) as u32).max(floor);
    }
    granted.max(1)
}

/// An identity that may bind contacts which lie elsewhere than where its REGISTER comes from (DECISIONS 8).
pub(super) fn may_be_foreign(who: &Identity) -> bool {
    who.foreign_contacts || who.scheme == Scheme::Trusted
}
