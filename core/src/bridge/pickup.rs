//! Picking up a call that rings elsewhere: RFC 3891 s7.1, RFC 5359 s2.16, RFC 3725, DECISIONS 26.
//!
//! | | who picks up (*picker*) offered a session | he offered none |
//! |---|---|---|
//! | 1 | 200, whose answer holds his media; CANCEL to all phones | 200 with the offer of the caller; CANCEL to all phones |
//! | 2 | his ACK; INVITE with the offer of the caller, or to ask for one | his ACK answers it |
//! | 3 | his 200: it is the caller's 200 | the caller gets his 200 with that |
//! | 4 | the caller's ACK, and what it answers, is his ACK | the caller's ACK |
//!
//! Both have made an offer, and neither can be the answer to the other's (RFC 3264 s6): hence step 2. From step 1 on the call
//! is his. What goes wrong then, or a caller who gives up, ends it for both.

use super::call::{CALLEE, CALLER, Call, Errand, Link, Phase, Side, Unacked};
use super::refresh::wake;
use super::setup::ELSEWHERE;
use super::table::State;
use super::write::{self, Answer};
use super::{Asked, Asker, CallKey, Desk, Kit, PROGRESS, sdp};
use crate::base::ids::{self, IdKind};
use crate::base::text::owned;
use crate::ctx::{CallPhase, CallTimer, Extra, Refusal, Timer};
use crate::dialog::session_timer::Refresher;
use crate::dialog::{Dialog, hides};
use crate::documents::dialog_info::DialogEvent;
use crate::door::{CallEvent, Event, LegRecord};
use crate::stats::Counter;
use crate::txn::{ClientKey, TxnId};
use crate::wire::{Header, Message, Status};

const SDP: &[u8] = b"application/sdp";

/// A call that was picked up, until the caller has his answer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Picked {
    key: CallKey,
    /// The picker offered a session.
    offered: bool,
}

impl Call {
    /// Is it known who has the call?
    pub(super) fn is_decided(&self) -> bool {
        self.accepted.is_some() || self.picked.is_some()
    }

    /// Step 1.
    pub(super) fn pick_up(
        &mut self,
        kit: &mut Kit<'_, '_>,
        desk: &mut Desk,
        key: CallKey,
        asked: &Asked<'_>,
        (id, asker): (TxnId, Asker),
    ) -> Result<(), Refusal> {
        let gone = Refusal::plain(Status::NO_TRANSACTION);
        // RFC 3262 s3: the caller has to acknowledge what he was told of the session first.
        if self.links.iter().any(Link::holds_answer) {
            return Err(Refusal::plain(Status::REQUEST_PENDING));
        }
        let held = self.incoming.as_ref().map(|incoming| incoming.held.clone()).ok_or(gone)?;
        let (invite, offer) = (held.message(), asked.msg.body());
        if offer.is_empty() && invite.body().is_empty() {
            return Err(Refusal::plain(Status::NOT_ACCEPTABLE_HERE));
        }
        let is_sdp = |kind: &[u8]| kind.split(|b| *b == b';').next().unwrap_or_default().trim_ascii() == SDP;
        if !offer.is_empty() && !asked.msg.content_type().is_none_or(is_sdp) {
            return Err(Refusal::with(Status::UNSUPPORTED_MEDIA_TYPE, Extra::Accept("application/sdp")));
        }
        let tag = ids::write(id.tag());
        let dialog = Dialog::new(kit.ctx, asked.origin, asked.msg, asked.ess, &tag)?;
        let caller = self.caller_side(kit).ok_or(Refusal::plain(Status::SERVER_ERROR))?;
        // Nobody is disturbed any more.
        self.queue.clear();
        kit.ctx.timers.disarm(core::mem::take(&mut self.timers.ring));
        for i in 0..self.attempts.len() {
            let event = DialogEvent::Replaced;
            self.tell_callee(kit.ctx, desk, i, CallPhase::Terminated { code: None, event });
        }
        let body = match offer.is_empty() {
            true => invite.body().to_vec(),
            false => sdp::held(offer),
        };
        let kind = if offer.is_empty() { invite.content_type().unwrap_or(SDP) } else { SDP };
        let mut picker = Side {
            aor: asker.aor,
            over: false,
            local: asker.ours,
            trusted: asker.trusted,
            hides: hides(asked.msg),
            trunk: asker.trunk,
            ..Side::absent(dialog)
        };
        picker.timer.hear_request(asked.msg);
        picker.hear_packages(asked.msg);
        // RFC 6086 s5.2.3: who says what he wants is told what the other one does.
        let packages = picker.packages.as_ref().map(|_| caller.packages.clone().unwrap_or_default());
        let terms = picker.timer.grant(kit.ctx.settings, asked.msg);
        let answer = Answer { line: Status::OK.into(), tag: &tag, dialog: true, from: None, body: &body };
        let (server, answer) = (asked.server, (&answer, kind));
        let payload = write::respond_as(kit, server, asked.origin, asked.msg, answer, |writer| {
            terms.iter().for_each(|terms| terms.write(writer));
            packages.iter().for_each(|packages| _ = writer.header(Header::RecvInfo, packages));
        });
        if let Some(terms) = terms {
            picker.timer.begin(kit.ctx, wake(key), terms, Refresher::Uas);
        }
        let (number, since) = (asked.ess.cseq.number, kit.ctx.now);
        picker.unacked = Some(Box::new(Unacked { number, server, payload, since, sent: 0 }));
        picker.keep_sdp(&body);
        self.halt(kit, None, Some(ELSEWHERE));
        self.drop_links(kit, desk, key, |_| true);
        desk.enlist(key, &caller.dialog);
        desk.enlist(key, &picker.dialog);
        let leg = LegRecord {
            target: picker.aor.clone(),
            remote: asked.origin.remote,
            call_id: owned(picker.dialog.call_id()),
            began: kit.ctx.now,
            status: Status::OK.0,
        };
        self.record.legs.push(leg);
        // It is of no attempt: what becomes of those does not touch it.
        let client = ClientKey::from_bits(0);
        self.links.push(Link { sides: [caller, picker], errands: Vec::new(), client, early: None });
        self.picked = Some(Picked { key, offered: !offer.is_empty() });
        self.best = None;
        self.unanswered = false;
        self.arm_unacked(kit, key);
        self.tell_joined(kit.ctx, desk, self.record.legs.len().saturating_sub(1), true);
        Ok(())
    }

    /// Step 2, or 3 if there was no offer.
    pub(super) fn picker_is_there(
        &mut self,
        kit: &mut Kit<'_, '_>,
        desk: &mut Desk,
        key: CallKey,
        ack: Message<'_>,
    ) {
        let held = self.incoming.as_ref().map(|incoming| incoming.held.clone());
        let (Some(Picked { offered, .. }), Some(held)) = (self.picked, held) else { return };
        let (msg, kind) = (held.message(), ack.content_type().unwrap_or(SDP));
        let goes_on = match offered {
            true => {
                let offer = (msg.content_type().unwrap_or(SDP), msg.body());
                self.invite_side(kit, key, CALLEE, Some(offer)).is_some()
            }
            false if ack.body().is_empty() => false,
            false => {
                self.answer_with(kit, desk, key, (kind, ack.body()));
                true
            }
        };
        if !goes_on {
            self.refuse(kit, desk, Status::NOT_ACCEPTABLE_HERE);
        }
    }

    /// Step 3: the picker has answered what the caller offered, or makes an offer.
    pub(super) fn on_picker_answer(
        &mut self,
        kit: &mut Kit<'_, '_>,
        desk: &mut Desk,
        key: CallKey,
        errand: &Errand,
        (status, msg): (u16, Message<'_>),
    ) {
        let held = self.incoming.as_ref().map(|incoming| incoming.held.clone());
        let (Some(held), Some(link)) = (held, self.links.first_mut()) else { return };
        let side = &mut link.sides[CALLEE];
        if !(200..300).contains(&status) {
            let status = if matches!(status, 488 | 606) { 488 } else { 480 };
            return self.refuse(kit, desk, Status(status));
        }
        let offer = held.message().body();
        side.due = Some(errand.number);
        match offer.is_empty() {
            true => side.offered = Some(msg.body().into()),
            false => side.keep_sdp(offer),
        }
        self.answer_with(kit, desk, key, (msg.content_type().unwrap_or(SDP), msg.body()));
    }

    /// The caller does not get what was picked up for him: the picker is told to go, as soon as that may be (RFC 3261 s15).
    pub(super) fn drop_picker(&mut self, kit: &mut Kit<'_, '_>) {
        let Some(Picked { key, .. }) = self.picked.take() else { return };
        let Some(link) = self.links.first_mut() else { return };
        let side = &mut link.sides[CALLEE];
        side.timer.stop(kit.ctx);
        match &side.unacked {
            _ if side.over => {}
            Some(_) => side.bye_waits = true,
            None => link.bye(kit, key, CALLEE, None),
        }
    }

    /// The caller, as one end of a pair: of the first dialog if that is nobody's yet.
    pub(super) fn caller_side(&mut self, kit: &mut Kit<'_, '_>) -> Option<Side> {
        let incoming = self.incoming.as_mut()?;
        let dialog = match incoming.dialog.take() {
            Some(first) => first,
            None => {
                let tag = kit.ctx.ids.next_text(IdKind::Tag);
                let msg = incoming.held.message();
                let ess = msg.essentials().ok()?;
                Dialog::new(kit.ctx, &incoming.origin, msg, &ess, &tag).ok()?
            }
        };
        let asker = &self.asker;
        let mut side = Side {
            aor: asker.aor.clone(),
            over: false,
            local: asker.ours,
            trusted: asker.trusted,
            hides: hides(incoming.held.message()),
            trunk: asker.trunk,
            ..Side::absent(dialog)
        };
        side.timer.hear_request(incoming.held.message());
        side.hear_packages(incoming.held.message());
        Some(side)
    }

    /// The caller gets his 200, with this description of the session: the only pair there is becomes the call.
    pub(super) fn answer_with(
        &mut self,
        kit: &mut Kit<'_, '_>,
        desk: &mut Desk,
        key: CallKey,
        (kind, body): (&[u8], &[u8]),
    ) {
        self.picked = None;
        let (Some(incoming), Some(link)) = (self.incoming.take(), self.links.first_mut()) else { return };
        desk.servers.remove(&incoming.server);
        let (server, held) = (incoming.server, incoming.held.message());
        let by = link.sides[CALLEE].aor.clone();
        let theirs = link.sides[CALLEE].packages.clone().unwrap_or_default();
        let side = &mut link.sides[CALLER];
        let terms = side.timer.grant(kit.ctx.settings, held);
        let answer = Answer { line: Status::OK.into(), tag: side.own_tag(), dialog: true, from: None, body };
        let answer = (&answer, kind);
        let payload = write::respond_as(kit, server, &incoming.origin, held, answer, |writer| {
            terms.iter().for_each(|terms| terms.write(writer));
            if held.header(Header::RecvInfo).is_some() {
                writer.header(Header::RecvInfo, &theirs);
            }
        });
        if let Some(terms) = terms {
            side.timer.begin(kit.ctx, wake(key), terms, Refresher::Uas);
        }
        let number = held.cseq().map(|cseq| cseq.number).unwrap_or_default();
        side.unacked = Some(Box::new(Unacked { number, server, payload, since: kit.ctx.now, sent: 0 }));
        side.keep_sdp(body);
        self.begin_talk(kit, key, Status::OK.0);
        self.tell_caller(kit.ctx, desk, CallPhase::Confirmed);
        self.note_answered(kit, desk, key, by);
    }

    /// It is answered: who may still ring is waited for.
    pub(super) fn begin_talk(&mut self, kit: &mut Kit<'_, '_>, key: CallKey, status: u16) {
        self.phase = Phase::Answered;
        self.queue.clear();
        self.record.answered = Some(kit.ctx.now);
        self.record.status = status;
        self.arm_unacked(kit, key);
        self.timers.stop_ringing(kit.ctx);
        let longest = kit.ctx.settings.calls.as_ref().map_or(PROGRESS, |calls| calls.max_duration);
        let timer = Timer::Call(key.to_bits(), CallTimer::Life);
        self.timers.life = kit.ctx.timers.arm(kit.ctx.now + longest, timer);
    }

    /// What is not needed any more of how it was answered is forgotten, and the host is told.
    pub(super) fn note_answered(
        &mut self,
        kit: &mut Kit<'_, '_>,
        desk: &mut Desk,
        key: CallKey,
        by: Box<str>,
    ) {
        for attempt in self.attempts.extract_if(.., |attempt| attempt.state != State::Halting) {
            desk.uninvite(key, &attempt.base);
        }
        self.attempts.shrink_to_fit();
        kit.ctx.stats.count(Counter::CallsAnswered);
        if kit.ctx.settings.tell.calls {
            kit.ctx.out.tell(Event::Call(Box::new(CallEvent::Answered { id: self.record.id, by })));
        }
    }
}
