//! Where messages meet their neighbours: MESSAGE on its way in, the phones it goes to, what is kept for those who are not
//! there. RFC 3428, RFC 4320.

use core::time::Duration;

use super::dispatch::Pass;
use super::pending::{ParkedKey, Waits};
use super::{Engine, Rooms};
use crate::auth::Allowed;
use crate::base::Key;
use crate::ctx::{Ctx, Refusal};
use crate::door::{AuthVerdict, Identity, SaveSeq};
use crate::messages::{DeliveryKey, Failure, Letter, Wanted, is_own};
use crate::registrar::{NextHop, Registrar, with_uri};
use crate::router::{self, Caller, Ended, Goal, Presence};
use crate::wire::Status;

/// Where a message goes.
enum Goes {
    /// To these phones, by the numbers of their bindings; at least one.
    To(Vec<u64>),
    /// Nowhere now: the user is not there. A canonical address of record.
    Later(Box<str>),
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
        let asker = self.asker(pass.ess, who)?;
        // DECISIONS 22; and what came from here has no business here again.
        if pass.ess.max_forwards == Some(0) {
            return Err(Refusal::plain(Status::TOO_MANY_HOPS));
        }
        if is_own(&self.house.ids, pass.ess.call_id) {
            return Err(Refusal::plain(Status::LOOP_DETECTED));
        }
        let asked = router::Asked {
            caller: if asker.trusted { Caller::Trusted } else { Caller::Account(who) },
            caller_aor: if asker.ours { &asker.aor } else { "" },
            uri: pass.ess.uri.as_ref().ok_or(Refusal::plain(Status::BAD_REQUEST))?,
            is_message: true,
        };
        let ctx = self.house.ctx();
        let goes = match &settings.calls {
            Some(_) => routed(&ctx, &self.rooms.registrar, &asked)?,
            None => within(&ctx, &self.rooms.registrar, &asked)?,
        };
        let letter = Letter::of(pass.msg, pass.ess);
        match goes {
            Goes::To(phones) => {
                self.send_message(pass, letter, &phones);
                Ok(Taken::Sent)
            }
            Goes::Later(aor) => {
                let config = settings.messages.as_ref().ok_or(Refusal::plain(Status::NOT_FOUND))?;
                let what = (&*aor, letter, Wanted::of(pass.msg));
                let save = self.rooms.messages.keep(&mut self.house.ctx(), config, what)?;
                Ok(Taken::Kept(save))
            }
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

/// RFC 5627 s5.1: it is that phone or none.
const NOT_THERE: Refusal = Refusal::plain(Status::TEMPORARILY_UNAVAILABLE);
/// Where messages to other domains, and over trunks, would go on.
const OUTSIDE: Refusal = Refusal::because(Status::FORBIDDEN, "No Messages There");

/// Where a message goes as calls do, by routes, numbers and names.
fn routed(ctx: &Ctx<'_>, registrar: &Registrar, asked: &router::Asked<'_>) -> Result<Goes, Refusal> {
    let mut plan = router::route(ctx.settings, asked, Presence::Unknown)?;
    let (mut later, mut refusal) = (None, None);
    let mut next = plan.next(None);
    while let Some(step) = next {
        let mut phones: Vec<u64> = Vec::new();
        later = None;
        for goal in &step.goals {
            match goal {
                Goal::Aor(aor) => {
                    let others = reachable(ctx, registrar, aor);
                    phones.extend(
                        others.into_iter().filter(|phone| !phones.contains(phone)).collect::<Vec<_>>(),
                    );
                    later = Some(aor.clone()).filter(|_| step.goals.len() == 1);
                }
                Goal::Uri { uri, trunk: None } if is_ours(ctx, uri) => {
                    phones.extend(with_uri(uri, |uri| registrar.device(ctx, uri)).flatten());
                    refusal = Some(NOT_THERE);
                }
                Goal::Uri { .. } | Goal::Redirect(_) => refusal = Some(OUTSIDE),
            }
        }
        if !phones.is_empty() {
            return Ok(Goes::To(phones));
        }
        next = plan.next(Some(Ended::Offline));
    }
    match later {
        // There may be such a user, but what is known by that name is another's, and forbidden.
        Some(_) if plan.refusal().status == Status::FORBIDDEN => Err(plan.refusal().clone()),
        Some(aor) => Ok(Goes::Later(aor)),
        None => Err(refusal.unwrap_or_else(|| plan.refusal().clone())),
    }
}

/// Where a message goes without calls and their routes: to users of ours.
fn within(ctx: &Ctx<'_>, registrar: &Registrar, asked: &router::Asked<'_>) -> Result<Goes, Refusal> {
    let domains = &ctx.settings.domains;
    if asked.uri.host().is_some_and(|host| domains.canonical(host).is_none()) {
        return Err(OUTSIDE);
    }
    if asked.uri.params().contains(b"gr") {
        return registrar.device(ctx, asked.uri).map(|phone| Goes::To(vec![phone])).ok_or(NOT_THERE);
    }
    let called = router::called(ctx.settings, asked).aor;
    let exists =
        |aor: &str| router::has_users_elsewhere(ctx.settings) || ctx.settings.accounts.by_aor(aor).is_some();
    // DECISIONS 4: to who says who he is, 404 means that there is no such user.
    let unknown = if router::is_authenticated(asked.caller) { Status::NOT_FOUND } else { NOT_THERE.status };
    let aor = called.filter(|aor| exists(aor)).ok_or(Refusal::plain(unknown))?;
    Ok(match reachable(ctx, registrar, &aor) {
        phones if phones.is_empty() => Goes::Later(aor),
        phones => Goes::To(phones),
    })
}

fn is_ours(ctx: &Ctx<'_>, uri: &str) -> bool {
    let domains = &ctx.settings.domains;
    with_uri(uri, |uri| uri.host().is_some_and(|host| domains.canonical(host).is_some())).unwrap_or(false)
}

/// The phones of a user that can be sent to now, by the numbers of their bindings.
fn reachable(ctx: &Ctx<'_>, registrar: &Registrar, aor: &str) -> Vec<u64> {
    let targets = registrar.targets(ctx, aor.as_bytes());
    // Where a name has to be resolved first, or a connection opened, there is no way yet.
    let over = targets.iter().filter(|target| matches!(target.next, NextHop::Over(_)));
    over.map(|target| target.binding.to_bits()).collect()
}
