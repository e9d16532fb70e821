//! INVITEs to everybody who is tried, and what becomes of them: RFC 3261 s13.2.2, s16.7, DECISIONS 21.

use super::call::{
    Attempt, Best, CALLEE, CALLER, Call, Hop, Link, Phase, Side, Taken, Unacked, add, answering_tag,
};
use super::refer::Inner;
use super::refresh::wake;
use super::reliable::{Early, Manner};
use super::table::{self, Does, Heard, State};
use super::write::{self, Answer};
use super::{CallKey, Desk, Kit, News, Outcome, PROGRESS};
use crate::base::text::owned;
use crate::ctx::{CallPhase, CallTimer, Ctx, Timer};
use crate::dialog::reliable::Wants;
use crate::dialog::session_timer::Refresher;
use crate::dialog::{Dialog, hides};
use crate::documents::dialog_info::DialogEvent;
use crate::door::{CallEvent, Event, LegRecord};
use crate::stats::Counter;
use crate::txn::{ClientKey, Usage};
use crate::wire::{Header, Message, Method, Status};

/// RFC 3326: why who is not needed is told to stop.
pub(super) const ELSEWHERE: &str = "SIP;cause=200;text=\"Call completed elsewhere\"";

impl Call {
    /// 100 at once: it will take a while.
    pub(super) fn trying(&mut self, kit: &mut Kit<'_, '_>) {
        let Some(incoming) = &self.incoming else { return };
        let answer = Answer::own(Status::TRYING);
        write::respond(kit, incoming.server, &incoming.origin, incoming.held.message(), &answer);
    }

    /// Tries the next group if nobody of the present one may still answer.
    pub(super) fn go_on(&mut self, kit: &mut Kit<'_, '_>, desk: &mut Desk, key: CallKey) {
        while self.phase == Phase::Ringing && !self.is_trying() && !self.is_decided() {
            kit.ctx.timers.disarm(core::mem::take(&mut self.timers.ring));
            let Some(group) = self.queue.pop_front() else {
                let outcome = match &self.best {
                    _ if self.unanswered => Outcome::NoAnswer,
                    Some(best) => Outcome::Refused(best.status),
                    None => Outcome::Nobody,
                };
                return desk.news.push(News::Exhausted(key, outcome));
            };
            self.unanswered = false;
            for hop in self.within_breadth(group) {
                self.try_hop(kit, desk, key, hop);
            }
            if self.is_trying() {
                let deadline = kit.ctx.now + self.ring;
                self.timers.ring = kit.ctx.timers.arm(deadline, Timer::Call(key.to_bits(), CallTimer::Ring));
            }
        }
    }

    fn try_hop(&mut self, kit: &mut Kit<'_, '_>, desk: &mut Desk, key: CallKey, hop: Hop) {
        if self.record.legs.len() >= kit.ctx.settings.limits.legs_per_call {
            return self.fail(Status::SERVER_ERROR.0, None);
        }
        let again = write::Again::default();
        let made = match (&self.incoming, &self.invitation) {
            (Some(incoming), _) => {
                let msg = incoming.held.message();
                let (Ok(caller), Ok(called)) = (msg.from(), msg.to()) else { return };
                // RFC 3323: who wants no name is given none.
                let from = hop.from.as_deref().filter(|_| !caller.uri.is_anonymous()).map(str::as_bytes);
                let (own, theirs) = (from.unwrap_or(caller.uri.raw()), called.uri.raw());
                let base = Dialog::inviting(kit.ctx, &hop.to, own, theirs, &hop.contact);
                base.map(|mut base| {
                    let sent = write::invite(kit, &mut base, (msg, &caller), &self.asker, &hop, &again);
                    (base, sent)
                })
            }
            (None, Some(invitation)) => {
                let from = hop.from.as_deref().unwrap_or(&invitation.from).as_bytes();
                let (own, theirs) = (from, invitation.to.as_bytes());
                let base = Dialog::inviting(kit.ctx, &hop.to, own, theirs, &hop.contact);
                base.map(|mut base| {
                    let by = &invitation.referred_by;
                    let sent = write::invite_sought(kit, &mut base, by, &hop, &again);
                    (base, sent)
                })
            }
            (None, None) => return,
        };
        let Some((base, invite)) = made else {
            return self.fail(Status::MESSAGE_TOO_LARGE.0, None);
        };
        let leg = self.record.legs.len();
        let record = LegRecord {
            target: hop.target.clone(),
            remote: invite.1.to.remote,
            call_id: owned(base.call_id()),
            began: kit.ctx.now,
            status: 0,
        };
        add(&mut self.record.legs, record);
        let usage = Usage::Call(key.to_bits());
        match kit.send(Method::Invite, usage, invite) {
            Some(client) => {
                desk.invite(key, &base);
                let (state, min_se, shown, names) = (State::Calling, 0, false, None);
                let asked = None;
                let attempt = Attempt { client, state, base, hop, leg, min_se, shown, names, asked };
                add(&mut self.attempts, attempt);
            }
            None => self.fail(Status::SERVICE_UNAVAILABLE.0, None),
        }
    }

    /// Somebody refused, a user of ours or not: it counts for the choice (RFC 3261 s16.7 step 6).
    fn fail(&mut self, status: u16, said: Option<(Message<'_>, bool)>) {
        if self.best.as_ref().is_none_or(|best| rank(status) < rank(best.status)) {
            let local = said.is_some_and(|(_, local)| local);
            self.best = Some(Best { status, held: said.map(|(msg, _)| msg.to_held()), local });
        }
    }

    pub(super) fn on_response(
        &mut self,
        kit: &mut Kit<'_, '_>,
        desk: &mut Desk,
        key: CallKey,
        client: ClientKey,
        status: u16,
        msg: Message<'_>,
    ) {
        let Some(i) = self.attempts.iter().position(|attempt| attempt.client == client) else {
            return self.on_answer(kit, desk, key, client, status, msg);
        };
        let heard = match status {
            100 => Heard::Trying,
            101..=199 => Heard::Progress,
            200..=299 if self.phase == Phase::Ringing => Heard::Accepted,
            200..=299 => Heard::TooLate,
            _ => Heard::Refused,
        };
        match self.hear(i, heard) {
            Does::Nothing => {}
            Does::Cancel => _ = kit.txn.cancel(kit.ctx, client, None),
            Does::Relay => self.progress(kit, desk, key, i, status, msg),
            Does::Answer => self.answer(kit, desk, key, i, status, msg),
            Does::Again => self.again(kit, client, status, msg),
            Does::Dismiss => super::acks::dismiss(kit, client, status, msg),
            Does::Fail => {
                if matches!(status, 401 | 407) && self.retry_proved(kit, desk, key, i, msg) {
                    return;
                }
                if status == 422 && self.retry_longer(kit, desk, key, i, msg) {
                    return;
                }
                self.note(i, status);
                self.heed(kit, i, status, msg);
                let all = (600..700).contains(&status)
                    && !kit.ctx.settings.calls.as_ref().is_some_and(|calls| calls.decline_is_local);
                let local = self.attempts.get(i).is_some_and(|attempt| attempt.hop.local);
                self.fail(status, Some((msg, local)));
                let event = DialogEvent::Rejected;
                self.tell_callee(kit.ctx, desk, i, CallPhase::Terminated { code: Some(status), event });
                self.lose(kit, desk, key, client);
                if status == Status::SERVICE_UNAVAILABLE.0 && self.try_elsewhere(kit, desk, key, i) {
                    return;
                }
                // RFC 3261 s16.7 step 5: nobody else is to be disturbed.
                if all {
                    self.queue.clear();
                    self.halt(kit, None, Some("SIP;cause=603;text=\"Declined\""));
                }
                self.go_on(kit, desk, key);
            }
        }
    }

    fn hear(&mut self, i: usize, heard: Heard) -> Does {
        let Some(attempt) = self.attempts.get_mut(i) else { return Does::Nothing };
        let (state, does) = table::next(attempt.state, heard);
        attempt.state = state;
        does
    }

    /// RFC 3261 s21.5.4: a server without time is left alone for as long as it says. A phone speaks for itself alone.
    fn heed(&self, kit: &mut Kit<'_, '_>, i: usize, status: u16, msg: Message<'_>) {
        let hop = self.attempts.get(i).map(|attempt| &attempt.hop).filter(|hop| !hop.local);
        if let (Some(hop), 503, Some(seconds)) = (hop, status, msg.retry_after()) {
            kit.ctx.leave_alone(hop.to.remote, seconds);
        }
    }

    fn note(&mut self, i: usize, status: u16) {
        let leg = self.attempts.get(i).map(|attempt| attempt.leg);
        if let Some(leg) = leg.and_then(|leg| self.record.legs.get_mut(leg)) {
            leg.status = status;
        }
    }

    /// The pair of a response that names its dialog, made if there is none yet.
    fn link(
        &mut self,
        kit: &mut Kit<'_, '_>,
        desk: &mut Desk,
        key: CallKey,
        i: usize,
        (msg, tag): (Message<'_>, &[u8]),
    ) -> Option<usize> {
        let attempt = self.attempts.get(i)?;
        let same =
            |link: &Link| link.client == attempt.client && link.sides[CALLEE].dialog.their_tag() == tag;
        if let Some(known) = self.links.iter().position(same) {
            if let Some(link) = self.links.get_mut(known) {
                link.sides[CALLEE].hear_packages(msg);
                link.sides[CALLEE].timer.hear_allow(msg);
                link.sides[CALLEE].dialog.learn_of_answer(kit.ctx, msg, tag);
            }
            return Some(known);
        }
        if self.links.len() >= kit.ctx.settings.limits.legs_per_call {
            return None;
        }
        let caller = self.caller_side(kit)?;
        let (attempt, incoming) = (self.attempts.get(i)?, self.incoming.as_ref()?);
        let invite = incoming.held.message();
        let asked = invite.cseq().map(|cseq| cseq.number).unwrap_or_default();
        let early = Early::new(!invite.body().is_empty(), [asked, attempt.base.cseq()]);
        let callee = attempt.base.answered(kit.ctx, msg, tag);
        desk.enlist(key, &caller.dialog);
        desk.enlist(key, &callee);
        let mut sides = [caller, attempt.side(callee)];
        sides[CALLEE].timer.min_se = attempt.min_se;
        sides[CALLEE].hides = hides(msg);
        sides[CALLEE].timer.hear_allow(msg);
        sides[CALLEE].hear_packages(msg);
        let (errands, client, early) = (Vec::new(), attempt.client, Some(early));
        add(&mut self.links, Link { sides, errands, client, early });
        Some(self.links.len() - 1)
    }

    /// The caller hears that it rings.
    fn progress(
        &mut self,
        kit: &mut Kit<'_, '_>,
        desk: &mut Desk,
        key: CallKey,
        i: usize,
        status: u16,
        msg: Message<'_>,
    ) {
        let tag = answering_tag(msg);
        let state = if tag.is_empty() { CallPhase::Proceeding } else { CallPhase::Early };
        if let Some(invitation) = &self.invitation {
            let serves = invitation.serves;
            self.tell_ringing(kit.ctx);
            if self.attempts.get(i).is_some_and(|attempt| !attempt.shown) {
                self.tell_callee(kit.ctx, desk, i, state);
            }
            return desk.inner.extend(serves.map(|serves| Inner::Progress(serves, status)));
        }
        let client = self.attempts.get(i).map(|attempt| attempt.client);
        // RFC 6228: this one is not there any more; the others are what counts.
        if status == 199 {
            let theirs =
                |link: &Link| Some(link.client) == client && link.sides[CALLEE].dialog.their_tag() == tag;
            return self.drop_links(kit, desk, key, theirs);
        }
        let single = kit.ctx.settings.calls.as_ref().is_some_and(|calls| calls.single_early_dialog);
        let Some(at) = self.link(kit, desk, key, i, (msg, tag)) else { return };
        let Some(manner) = self.weigh(kit, key, at, msg, single) else { return };
        let at = if single { 0 } else { at };
        let status = if single { Status::RINGING.0 } else { status };
        match manner {
            Manner::Plain => self.send_plainly(kit, at, (status, msg), !single),
            Manner::Reliable(number) => self.send_reliably(kit, key, at, (status, msg), number),
        }
        self.tell_ringing(kit.ctx);
        if self.attempts.get(i).is_some_and(|attempt| !attempt.shown) {
            self.tell_caller(kit.ctx, desk, state);
            self.tell_callee(kit.ctx, desk, i, state);
        }
    }

    /// Somebody's phone rings.
    fn tell_ringing(&mut self, ctx: &mut Ctx<'_>) {
        if self.record.rang.is_none() {
            self.record.rang = Some(ctx.now);
            if ctx.settings.tell.calls {
                ctx.out.tell(Event::Call(Box::new(CallEvent::Ringing { id: self.record.id })));
            }
        }
    }

    fn send_plainly(
        &mut self,
        kit: &mut Kit<'_, '_>,
        at: usize,
        (status, msg): (u16, Message<'_>),
        body: bool,
    ) {
        let (Some(link), Some(incoming)) = (self.links.get(at), &mut self.incoming) else { return };
        let crossing = link.crossing(kit.ctx.settings, CALLER);
        let tag = link.sides[CALLER].own_tag();
        let body = if body { msg.body() } else { b"" };
        let answer =
            Answer { line: Status(status).into(), tag, dialog: true, from: Some((msg, crossing)), body };
        let held = incoming.held.message();
        let payload = write::respond(kit, incoming.server, &incoming.origin, held, &answer);
        incoming.progress = Some((status, payload));
    }

    /// The caller has who he asked for.
    pub(super) fn answer(
        &mut self,
        kit: &mut Kit<'_, '_>,
        desk: &mut Desk,
        key: CallKey,
        i: usize,
        status: u16,
        msg: Message<'_>,
    ) {
        self.note(i, status);
        if self.invitation.is_some() {
            return self.sought_answers(kit, desk, key, i, msg);
        }
        let client = self.attempts.get(i).map(|attempt| attempt.client);
        // Another one was faster: it waits for a PRACK, or somebody picked up.
        if let Some(client) = client.filter(|_| self.is_decided()) {
            self.hear_lost(i);
            self.lose(kit, desk, key, client);
            return super::acks::dismiss(kit, client, status, msg);
        }
        let made = self.link(kit, desk, key, i, (msg, answering_tag(msg)));
        let (Some(client), Some(made)) = (client, made) else {
            // It names no dialog that could be kept.
            if let Some(client) = client {
                super::acks::dismiss(kit, client, status, msg);
            }
            self.hear_lost(i);
            self.fail(Status::BAD_GATEWAY.0, None);
            return self.go_on(kit, desk, key);
        };
        // RFC 3261 s15: he should not have said BYE before, but he is gone.
        if self.links.get(made).is_some_and(|link| link.sides[CALLEE].over) {
            kit.txn.accepted(client, answering_tag(msg));
            super::acks::dismiss(kit, client, status, msg);
            self.hear_lost(i);
            self.fail(Status::TEMPORARILY_UNAVAILABLE.0, None);
            self.lose(kit, desk, key, client);
            return self.go_on(kit, desk, key);
        }
        if self.hold(kit, made, client, (status, msg)) {
            return;
        }
        let mut kept = self.links.swap_remove(made);
        kept.settle_early();
        self.drop_links(kit, desk, key, |_| true);
        let Some(incoming) = self.incoming.take() else { return };
        let number = msg.cseq().map(|cseq| cseq.number).unwrap_or_default();
        let changed = kept.sides[CALLER].change(msg.body());
        let body = changed.as_deref().unwrap_or(msg.body());
        let tag = kept.sides[CALLER].own_tag();
        let crossing = kept.crossing(kit.ctx.settings, CALLER);
        let answer =
            Answer { line: Status(status).into(), tag, dialog: true, from: Some((msg, crossing)), body };
        let held = incoming.held.message();
        let terms = kept.sides[CALLER].timer.grant(kit.ctx.settings, held);
        let payload = write::respond_with(kit, incoming.server, &incoming.origin, held, &answer, |writer| {
            terms.iter().for_each(|terms| terms.write(writer));
        });
        if let Some(terms) = terms {
            kept.sides[CALLER].timer.begin(kit.ctx, wake(key), terms, Refresher::Uas);
        }
        kept.sides[CALLEE].agree_on_timer(kit, key, Phase::Answered, msg);
        let asked = held.cseq().map(|cseq| cseq.number).unwrap_or_default();
        let now = kit.ctx.now;
        kept.sides[CALLER].unacked =
            Some(Box::new(Unacked { number: asked, server: incoming.server, payload, since: now, sent: 0 }));
        kept.sides[CALLEE].due = Some(number);
        kept.sides[CALLEE].offered = held.body().is_empty().then(|| msg.body().into());
        kit.txn.accepted(client, kept.sides[CALLEE].dialog.their_tag());
        // What was agreed before counts.
        for (side, body) in [(CALLEE, held.body()), (CALLER, msg.body())] {
            if kept.sides[side].sdp.is_empty() {
                kept.sides[side].keep_sdp(body);
            }
        }
        let by = kept.sides[CALLEE].aor.clone();
        self.links.push(kept);
        desk.servers.remove(&incoming.server);
        self.begin_talk(kit, key, status);
        self.halt(kit, Some(client), Some(ELSEWHERE));
        self.tell_taken(kit.ctx, desk, client);
        self.tell_caller(kit.ctx, desk, CallPhase::Confirmed);
        // What it was tried for is in the record, and its dialog in the pair. Who may still ring is waited for.
        let taken = self.attempts.get(i).filter(|attempt| attempt.shown);
        self.taken = taken.and_then(|attempt| {
            Some(Taken { leg: attempt.leg, names: attempt.names.clone()?, initiator: false })
        });
        self.note_answered(kit, desk, key, by);
    }

    /// Who is sought by a transfer has answered, and offers: it is acknowledged when the kept one agrees.
    fn sought_answers(
        &mut self,
        kit: &mut Kit<'_, '_>,
        desk: &mut Desk,
        key: CallKey,
        i: usize,
        msg: Message<'_>,
    ) {
        let (Some(attempt), Some(invitation)) = (self.attempts.get(i), &self.invitation) else { return };
        let (client, serves) = (attempt.client, invitation.serves);
        let mut callee = attempt.side(attempt.base.answered(kit.ctx, msg, answering_tag(msg)));
        let absent = Side::absent(attempt.base.clone());
        callee.due = msg.cseq().ok().map(|cseq| cseq.number);
        callee.offered = Some(msg.body().into());
        callee.agree_on_timer(kit, key, Phase::Answered, msg);
        kit.txn.accepted(client, callee.dialog.their_tag());
        self.halt(kit, Some(client), Some(ELSEWHERE));
        kit.ctx.stats.count(Counter::CallsAnswered);
        let Some(serves) = serves else {
            return self.first_answers(kit, desk, key, (client, callee), msg);
        };
        desk.enlist(key, &callee.dialog);
        self.links.push(Link { sides: [absent, callee], errands: Vec::new(), client, early: None });
        self.tell_taken(kit.ctx, desk, client);
        self.phase = Phase::Answered;
        self.queue.clear();
        self.record.answered = Some(kit.ctx.now);
        self.record.status = Status::OK.0;
        let kind = msg.content_type().unwrap_or(b"application/sdp").into();
        desk.inner.push_back(Inner::Offered(serves, kind, msg.body().into()));
    }

    fn hear_lost(&mut self, i: usize) {
        if let Some(attempt) = self.attempts.get_mut(i) {
            attempt.state = State::Over;
        }
    }

    /// A 2xx came again, or one of another branch of a fork.
    fn again(&mut self, kit: &mut Kit<'_, '_>, client: ClientKey, status: u16, msg: Message<'_>) {
        let tag = answering_tag(msg);
        let link = self.links.iter().find(|link| link.client == client);
        match link.map(|link| &link.sides[CALLEE]) {
            Some(side) if side.dialog.their_tag() == tag => _ = side.acknowledge_again(kit, msg),
            _ => super::acks::dismiss(kit, client, status, msg),
        }
    }

    /// No attempt but this one is wanted any more.
    pub(super) fn halt(&mut self, kit: &mut Kit<'_, '_>, but: Option<ClientKey>, reason: Option<&str>) {
        for attempt in &mut self.attempts {
            if Some(attempt.client) == but {
                continue;
            }
            let (state, does) = table::next(attempt.state, Heard::Halt);
            attempt.state = state;
            if does == Does::Cancel {
                kit.txn.cancel(kit.ctx, attempt.client, reason);
            }
        }
    }

    /// The early dialogs of an attempt are gone.
    pub(super) fn lose(&mut self, kit: &mut Kit<'_, '_>, desk: &mut Desk, key: CallKey, client: ClientKey) {
        // RFC 6228 s4: who may have had media from it is told, if others go on.
        if let Some(incoming) =
            self.incoming.as_ref().filter(|_| self.attempts.iter().any(|a| a.client != client))
        {
            let held = incoming.held.message();
            if held.has_token(Header::Supported, b"199") && self.is_trying() {
                for link in self.links.iter().filter(|link| link.client == client) {
                    let tag = link.sides[CALLER].own_tag();
                    let answer =
                        Answer { line: Status(199).into(), tag, dialog: true, from: None, body: b"" };
                    write::respond(kit, incoming.server, &incoming.origin, held, &answer);
                }
            }
        }
        self.drop_links(kit, desk, key, |link| link.client == client);
    }

    pub(super) fn drop_links(
        &mut self,
        kit: &mut Kit<'_, '_>,
        desk: &mut Desk,
        key: CallKey,
        which: impl Fn(&Link) -> bool,
    ) {
        for link in self.links.extract_if(.., |link| which(link)) {
            link.sides.iter().for_each(|side| desk.strike(key, &side.dialog));
            for relayed in link.errands.into_iter().filter_map(|errand| errand.relayed) {
                relayed.refuse(kit, Status::NO_TRANSACTION);
            }
        }
    }

    /// An INVITE of ours has no answer.
    pub(super) fn on_failure(
        &mut self,
        kit: &mut Kit<'_, '_>,
        desk: &mut Desk,
        key: CallKey,
        client: ClientKey,
    ) {
        let Some(i) = self.attempts.iter().position(|attempt| attempt.client == client) else {
            return self.on_silence(kit, desk, key, client);
        };
        if self.hear(i, Heard::Silence) == Does::Fail {
            self.note(i, Status::REQUEST_TIMEOUT.0);
            self.fail(Status::REQUEST_TIMEOUT.0, None);
            let (code, event) = (Some(Status::REQUEST_TIMEOUT.0), DialogEvent::Timeout);
            self.tell_callee(kit.ctx, desk, i, CallPhase::Terminated { code, event });
            self.lose(kit, desk, key, client);
            if !self.try_elsewhere(kit, desk, key, i) {
                self.go_on(kit, desk, key);
            }
        }
    }

    /// RFC 3263 s4.3: the next address of the same target. False if there is none.
    fn try_elsewhere(&mut self, kit: &mut Kit<'_, '_>, desk: &mut Desk, key: CallKey, i: usize) -> bool {
        let Some(hop) = self.attempts.get_mut(i).map(|attempt| &mut attempt.hop) else { return false };
        if self.phase != Phase::Ringing || hop.others.is_empty() {
            return false;
        }
        let mut hop = hop.clone();
        let free = hop.others.iter().position(|to| !kit.ctx.is_left_alone(to.remote));
        hop.to = hop.others.remove(free.unwrap_or(0));
        self.try_hop(kit, desk, key, hop);
        self.is_trying()
    }

    /// It rings for too long for one who only carries it on (timer C).
    pub(super) fn on_unanswered(&mut self, kit: &mut Kit<'_, '_>, client: ClientKey) {
        if let Some(i) = self.attempts.iter().position(|attempt| attempt.client == client)
            && self.hear(i, Heard::Halt) == Does::Cancel
        {
            kit.txn.cancel(kit.ctx, client, None);
        }
    }

    /// The present group has rung long enough.
    pub(super) fn on_ring_timer(&mut self, kit: &mut Kit<'_, '_>, desk: &mut Desk, key: CallKey) {
        self.timers.ring = Default::default();
        self.unanswered = true;
        self.halt(kit, None, Some("SIP;cause=480;text=\"No answer\""));
        for i in 0..self.attempts.len() {
            let event = DialogEvent::Cancelled;
            self.tell_callee(kit.ctx, desk, i, CallPhase::Terminated { code: None, event });
        }
        self.go_on(kit, desk, key);
    }

    /// RFC 3261 s13.3.1.1: a proxy on the way must not think that nothing happens.
    pub(super) fn on_progress_timer(&mut self, kit: &mut Kit<'_, '_>, key: CallKey) {
        let Some(incoming) = &mut self.incoming else { return };
        match &incoming.progress {
            Some((status, payload)) => {
                let payload = payload.clone();
                kit.txn.respond(kit.ctx, incoming.server, Status(*status), payload, None);
            }
            // What is nobody's cannot be acknowledged.
            None if Wants::of(incoming.held.message()) == Wants::Requires => {}
            None => {
                let tag = &incoming.tag;
                let status = Status::SESSION_PROGRESS.0;
                let answer = Answer { line: Status(status).into(), tag, dialog: true, from: None, body: b"" };
                write::respond(kit, incoming.server, &incoming.origin, incoming.held.message(), &answer);
            }
        }
        let again = kit.ctx.now + PROGRESS;
        self.timers.progress = kit.ctx.timers.arm(again, Timer::Call(key.to_bits(), CallTimer::Progress));
    }
}

/// RFC 3261 s16.7 step 6: the least is the best. 6xx before all, then the lowest class, and of 4xx those that say what
/// could be done about it.
fn rank(status: u16) -> u16 {
    match status {
        600..=699 => 0,
        // Everything is better than having heard nothing.
        408 => 4_999,
        // RFC 3261 s16.7 step 6: a retry would help nobody.
        503 => 5_999,
        415 | 420 | 484 => 4_000,
        300..=599 => status * 10,
        _ => 9_999,
    }
}
