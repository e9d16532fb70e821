//! Where messages meet their neighbours: MESSAGE on its way in, the phones it goes to, what is kept for those who are not
//! there. RFC 3428, RFC 4320.

use core::time::Duration;

use super::dispatch::Pass;
use super::pending::{ParkedKey, Waits};
use super::{Engine, Rooms};
use crate::auth::Allowed;
use crate::base::Key;
use crate::config::{AorBuf, AuthPolicy, Settings};
use crate::ctx::{Ctx, Refusal};
use crate::door::{AuthVerdict, Identity, SaveSeq};
use crate::messages::{DeliveryKey, Failure, Letter, Wanted, is_own};
use crate::registrar::{NextHop, Registrar};
use crate::wire::{Status, Uri};

/// For whom a message is.
enum Recipient {
    /// A user of ours: a canonical address of record.
    User(Box<str>),
    /// One phone of his, by the number of its binding; `None` if it is not there.
    Phone(Option<u64>),
}

/// What became of a message at once.
enum Taken {
    /// It is on its way, and the sender waits.
    Sent,
    /// It is kept; durable with this change.
    Kept(Option<SaveSeq>),
}

impl Engine {
    /// A MESSAGE outside a dialog; its sender was let in.
    pub(super) fn serve_message(&mut self, pass: &mut Pass<'_>, allowed: &Allowed) {
        match self.take_message(pass, &allowed.identity) {
            Ok(Taken::Sent) => {}
            Ok(Taken::Kept(save)) => {
                self.answer_kept(pass, save);
                self.tell_outcome(pass, Status::ACCEPTED, allowed.verdict);
            }
            Err(refusal) => self.refuse_as(pass, &refusal, allowed.verdict),
        }
    }

    fn take_message(&mut self, pass: &mut Pass<'_>, who: &Identity) -> Result<Taken, Refusal> {
        let settings = self.house.settings.clone();
        self.refuse_if_draining()?;
        self.asker(pass.ess, who)?;
        // DECISIONS 22; and what came from here has no business here again.
        if pass.ess.max_forwards == Some(0) {
            return Err(Refusal::plain(Status::TOO_MANY_HOPS));
        }
        if is_own(&self.house.ids, pass.ess.call_id) {
            return Err(Refusal::plain(Status::LOOP_DETECTED));
        }
        let letter = Letter::of(pass.msg, pass.ess);
        let ctx = self.house.ctx();
        let recipient = recipient(&ctx, &self.rooms.registrar, pass.ess.uri.as_ref())?;
        let phones = match &recipient {
            Recipient::User(aor) => reachable(&ctx, &self.rooms.registrar, aor),
            Recipient::Phone(phone) => phone.iter().copied().collect(),
        };
        match recipient {
            _ if !phones.is_empty() => {
                self.send_message(pass, letter, &phones);
                Ok(Taken::Sent)
            }
            Recipient::User(aor) => {
                let config = settings.messages.as_ref().ok_or(Refusal::plain(Status::NOT_FOUND))?;
                let what = (&*aor, letter, Wanted::of(pass.msg));
                let save = self.rooms.messages.keep(&mut self.house.ctx(), config, what)?;
                Ok(Taken::Kept(save))
            }
            // RFC 5627 s5.1: it is that phone or none.
            Recipient::Phone(_) => Err(Refusal::plain(Status::TEMPORARILY_UNAVAILABLE)),
        }
    }

    /// The sender waits, as long as he has the patience for less eight times T1 (DECISIONS 17).
    fn send_message(&mut self, pass: &mut Pass<'_>, letter: Letter, phones: &[u64]) {
        let patience: Duration = self.house.settings.timers.t1 * (64 - 8);
        let deadline = pass.since + patience;
        let Some(parked) = self.park_until(pass, Waits::Message(DeliveryKey::from_bits(0)), deadline) else {
            return;
        };
        let mut ctx = self.house.ctx();
        let delivery = self.rooms.messages.deliver(&mut ctx, parked.to_bits(), letter, phones);
        if let Some(parked) = self.rooms.pending.get_mut(parked) {
            parked.waits = Waits::Message(delivery);
        }
    }

    /// What is left to do when an input has been served: phones that came get what was kept for them, phones that are free
    /// the next message, senders their answers.
    pub(super) fn settle_messages(&mut self) {
        let Rooms { messages, registrar, txn, .. } = &mut self.rooms;
        for (aor, binding) in registrar.take_arrived() {
            messages.arrived(&aor, binding);
        }
        let mut ctx = self.house.ctx();
        messages.send_due(&mut ctx, txn, registrar);
        for done in self.rooms.messages.take_done() {
            self.answer_sender(Key::from_bits(done.request), done.result);
        }
        self.rooms.registrar.await_phones(self.rooms.messages.kept() > 0);
    }

    /// The sender will not wait any longer.
    pub(super) fn on_message_overdue(&mut self, parked: ParkedKey, delivery: DeliveryKey) {
        if let Some(failure) = self.rooms.messages.give_up(delivery) {
            self.answer_sender(parked, Err(failure));
        }
    }

    fn answer_sender(&mut self, parked: ParkedKey, result: Result<(), Failure>) {
        // RFC 3428 s7: no body, and no Contact.
        let (status, lines) = match result {
            Ok(()) => (Status::OK, None),
            Err(failure) => (failure.status, Some(failure.lines)),
        };
        self.with_parked(parked, |engine, pass| {
            engine.respond(pass, status, |_, writer| {
                if let Some(lines) = &lines {
                    writer.prepared(lines);
                }
            });
            engine.tell_outcome(pass, status, AuthVerdict::NotAsked);
        });
    }
}

/// For whom a message is, by its Request-URI. To the authenticated, 404 means that there is no such user.
fn recipient(ctx: &Ctx<'_>, registrar: &Registrar, uri: Option<&Uri<'_>>) -> Result<Recipient, Refusal> {
    const NOT_FOUND: Refusal = Refusal::plain(Status::NOT_FOUND);
    let uri = uri.ok_or(NOT_FOUND)?;
    let domains = &ctx.settings.domains;
    if uri.host().is_some_and(|host| domains.canonical(host).is_none()) {
        // Where messages to other domains, and to trunks, would go on.
        return Err(Refusal::plain(Status::FORBIDDEN));
    }
    let mut aor = AorBuf::new();
    let ours = domains.aor(uri, &mut aor);
    let aor = core::str::from_utf8(&aor).ok().filter(|_| ours).ok_or(NOT_FOUND)?;
    if uri.params().contains(b"gr") {
        return Ok(Recipient::Phone(registrar.device(ctx, uri)));
    }
    let bound = || !registrar.targets(ctx, aor.as_bytes()).is_empty();
    match may_exist(ctx.settings, aor) || bound() {
        true => Ok(Recipient::User(aor.into())),
        false => Err(NOT_FOUND),
    }
}

/// Is there such a user? Where accounts are kept elsewhere, or nobody is asked for one, there may be any.
fn may_exist(settings: &Settings, aor: &str) -> bool {
    let elsewhere = settings.jwt.is_some() || settings.digest.foreign_store;
    elsewhere || settings.policies.register == AuthPolicy::Open || settings.accounts.by_aor(aor).is_some()
}

/// The phones of a user that can be sent to now, by the numbers of their bindings.
fn reachable(ctx: &Ctx<'_>, registrar: &Registrar, aor: &str) -> Vec<u64> {
    let targets = registrar.targets(ctx, aor.as_bytes());
    // Where a name has to be resolved first, or a connection opened, there is no way yet.
    let over = targets.iter().filter(|target| matches!(target.next, NextHop::Over(_)));
    over.map(|target| target.binding.to_bits()).collect()
}
