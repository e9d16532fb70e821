//! What a user agent sends in its calls, and what comes back: RFC 3261 s13.2, s14.1, s15.1.1, s9.1.

use core::time::Duration;

use super::super::{Kit, Uas};
use super::write::{SDP, bare, request};
use super::{CallKey, Errand, Invite, State, Step, Why, timer};
use crate::agent::send;
use crate::base::ids::IdKind;
use crate::base::text::{clamp_u32, owned};
use crate::ctx::UaCallTimer;
use crate::dialog::{Dialog, refer, session_timer};
use crate::txn::{self, ClientEvent, ClientFailure, ClientKey, Usage};
use crate::wire::{Header, Message, Method, Writer};

/// Tries of one request with other credentials.
const TRIES: u8 = 4;

impl Uas {
    /// An INVITE with this offer.
    pub(super) fn invite(&mut self, kit: &mut Kit<'_, '_>, key: CallKey, offer: Box<[u8]>, why: Why) {
        let Some(call) = self.calls.list.get_mut(key) else { return };
        let Some(ua) = self.list.get(call.ua) else { return };
        call.reliable.forget_early();
        let errant = call.errant.clone().filter(|_| why == Why::Begins);
        let more = |writer: &mut Writer<'_>| errant.iter().for_each(|errant| errant.write(writer));
        let made = request(kit, ua, call, (Method::Invite, None), &more, (SDP, &offer));
        let number = call.dialog.cseq();
        let what = (Method::Invite, Usage::UaCall(key.to_bits()));
        let sent = made.and_then(|made| send(kit.ctx, kit.txn, what, made));
        let Some(client) = sent else { return self.invite_failed(kit, key, why, (503, None)) };
        call.sent = offer.clone();
        call.invite = Some(Invite { client, offer, why, number, provisional: false, cancelled: false });
    }

    /// Without a message, none came.
    fn invite_failed(
        &mut self,
        kit: &mut Kit<'_, '_>,
        key: CallKey,
        why: Why,
        (status, msg): (u16, Option<Message<'_>>),
    ) {
        match why {
            Why::Begins => {
                self.report_of(kit, key, status);
                self.ended(key, status, true);
                return self.forget(kit, key);
            }
            Why::Refreshes => return self.on_refreshed(kit, key, Method::Invite, (status, msg)),
            Why::Changes => {}
        }
        if let Some(call) = self.calls.list.get_mut(key) {
            call.sent = call.sdp.clone();
        }
        self.tell_of(key, Step::NotChanged { status });
        // RFC 3261 s12.2.1.2: then there is no dialog any more.
        if matches!(status, 408 | 481) {
            self.ended(key, status, true);
        }
        self.go_on(kit, key);
    }

    /// Nobody wants the answer to our first INVITE any more: RFC 3261 s9.1, not before something has come back.
    pub(super) fn cancel(&mut self, kit: &mut Kit<'_, '_>, key: CallKey) {
        let Some(invite) = self.calls.list.get_mut(key).and_then(|call| call.invite.as_mut()) else { return };
        if invite.provisional && !core::mem::replace(&mut invite.cancelled, true) {
            let client = invite.client;
            kit.txn.cancel(kit.ctx, client, None);
        }
    }

    /// Sends what waits and can be sent now.
    pub(super) fn go_on(&mut self, kit: &mut Kit<'_, '_>, key: CallKey) {
        let Some(call) = self.calls.list.get_mut(key) else { return };
        // RFC 3261 s15: the callee may not say BYE before the ACK.
        if call.state != State::Established || call.unacked.is_some() {
            return;
        }
        if call.over {
            let leaving = call.busy.as_ref().is_some_and(|(_, errand)| *errand == Errand::Bye);
            call.waiting.clear();
            call.change = None;
            if !leaving {
                self.send(kit, key, Errand::Bye);
            }
            return;
        }
        if call.busy.is_none()
            && let Some(errand) = call.waiting.pop_front()
        {
            self.send(kit, key, errand);
        }
        let Some(call) = self.calls.list.get_mut(key) else { return };
        if call.invite.is_none()
            && call.asked.is_none()
            && call.glare.is_none()
            && let Some(offer) = call.change.take()
        {
            call.tries = 0;
            self.invite(kit, key, offer, Why::Changes);
        }
    }

    pub(super) fn send(&mut self, kit: &mut Kit<'_, '_>, key: CallKey, errand: Errand) {
        let Some(call) = self.calls.list.get_mut(key) else { return };
        let Some(ua) = self.list.get(call.ua) else { return };
        let method = errand.method();
        let by = format!("<{}>", ua.account.aor);
        let more = |writer: &mut Writer<'_>| match &errand {
            Errand::Refer(to) => {
                writer.header(Header::ReferTo, to.as_bytes());
                writer.header(Header::ReferredBy, by.as_bytes());
            }
            Errand::Notify { refer, status, left } => {
                refer::write_progress(writer, *refer, *status, *left);
            }
            _ => {}
        };
        let fragment = if let Errand::Notify { status, .. } = &errand {
            refer::fragment(*status)
        } else {
            String::new()
        };
        let content = match &errand {
            Errand::Info { kind, body } => (kind.as_bytes(), &body[..]),
            Errand::Notify { .. } => (refer::FRAGMENT, fragment.as_bytes()),
            _ => (&b""[..], &b""[..]),
        };
        let made = request(kit, ua, call, (method, None), &more, content);
        let what = (method, Usage::UaCall(key.to_bits()));
        let sent = made.and_then(|made| send(kit.ctx, kit.txn, what, made));
        match sent {
            Some(client) => call.busy = Some((client, errand)),
            None => self.done(kit, key, &errand, 503),
        }
    }

    /// A request other than INVITE was answered, or will not be.
    fn done(&mut self, kit: &mut Kit<'_, '_>, key: CallKey, errand: &Errand, status: u16) {
        match errand {
            Errand::Bye => return self.forget(kit, key),
            // RFC 3515 s2.4.4: the rest comes by NOTIFY.
            Errand::Refer(_) => {
                let status = if (200..300).contains(&status) { 100 } else { status };
                self.tell_of(key, Step::Transfer { status });
            }
            Errand::Refresh => return self.on_refreshed(kit, key, Method::Update, (status, None)),
            // It is of the transfer, and not of the call (RFC 5057 s5.1).
            Errand::Notify { refer, status: said, .. } => {
                self.reported(key, (*refer, *said), status);
                return self.go_on(kit, key);
            }
            Errand::Info { .. } => {}
        }
        // RFC 3261 s12.2.1.2.
        if matches!(status, 408 | 481) {
            self.ended(key, status, true);
        }
        self.go_on(kit, key);
    }

    /// A request of a call was answered.
    pub(crate) fn on_call_response(
        &mut self,
        kit: &mut Kit<'_, '_>,
        (bits, client): (u64, ClientKey),
        status: u16,
        msg: Message<'_>,
    ) {
        let key = CallKey::from_bits(bits);
        let invite = msg.cseq().is_ok_and(|cseq| cseq.method == Method::Invite);
        if invite {
            return self.on_invite_response(kit, key, client, status, msg);
        }
        if self.on_pracked(kit, key, client, status, msg) {
            return;
        }
        let Some(call) = self.calls.list.get_mut(key) else { return };
        let Some((_, errand)) = call.busy.take_if(|(busy, _)| *busy == client && status >= 200) else {
            return;
        };
        call.tries += 1;
        if self.proved(key, status, msg) {
            return self.send(kit, key, errand);
        }
        if let Some(call) = self.calls.list.get_mut(key) {
            call.tries = 0;
        }
        match errand {
            Errand::Refresh => self.on_refreshed(kit, key, Method::Update, (status, Some(msg))),
            errand => self.done(kit, key, &errand, status),
        }
    }

    /// We were asked who we are, and have something to say.
    fn proved(&mut self, key: CallKey, status: u16, msg: Message<'_>) -> bool {
        let Some(call) = self.calls.list.get_mut(key) else { return false };
        let Some(ua) = self.list.get(call.ua) else { return false };
        let to = call.dialog.straight().to();
        let first = call.tries == 1 && call.state == State::Established;
        matches!(status, 401 | 407) && call.tries < TRIES && call.proofs.learn(msg, &to, &ua.means(), first)
    }

    fn on_invite_response(
        &mut self,
        kit: &mut Kit<'_, '_>,
        key: CallKey,
        client: ClientKey,
        status: u16,
        msg: Message<'_>,
    ) {
        let Some(call) = self.calls.list.get_mut(key) else { return dismiss(kit, client, status, msg) };
        let answered = msg.cseq().map(|cseq| cseq.number).unwrap_or_default();
        // A 2xx that comes again, or that of another branch of a fork.
        if (200..300).contains(&status) && call.invite.as_ref().is_none_or(|invite| invite.client != client) {
            let same = msg.to().ok().and_then(|to| to.tag()).unwrap_or_default() == call.dialog.their_tag();
            return match &call.ack {
                Some((number, to, payload)) if same && *number == answered => {
                    txn::send_to(kit.ctx, to, payload.clone());
                }
                _ => dismiss(kit, client, status, msg),
            };
        }
        let Some(invite) = call.invite.as_mut().filter(|invite| invite.client == client) else { return };
        let (why, first) = (invite.why, invite.why == Why::Begins);
        if status < 200 {
            invite.provisional = true;
            if first && call.state == State::Calling {
                call.state = State::Proceeding;
            }
            if first && call.over {
                return self.cancel(kit, key);
            }
            let number = invite.number;
            if status > 100 && self.acknowledge_progress(kit, key, number, msg) && first {
                self.tell_of(key, Step::Progress { status, sdp: msg.body().into() });
                self.report_of(kit, key, status);
            }
            return;
        }
        let Some(invite) = call.invite.take() else { return };
        if (200..300).contains(&status) {
            return self.accepted(kit, key, &invite, msg);
        }
        call.tries += 1;
        let wanted = !(first && call.over);
        if wanted && self.proved(key, status, msg) {
            return self.invite(kit, key, invite.offer, why);
        }
        let Some(call) = self.calls.list.get_mut(key) else { return };
        // RFC 4028 s7.3.
        if status == 422 && wanted && why != Why::Refreshes && call.tries < TRIES {
            let known = call.timer.asks(kit.ctx.settings);
            if let Some(min_se) = session_timer::longer(kit.ctx.settings, msg, known) {
                call.timer.min_se = min_se;
                return self.invite(kit, key, invite.offer, why);
            }
        }
        call.tries = 0;
        if why == Why::Begins && self.redirect(kit, key, invite.offer.clone(), (status, Some(msg))) {
            return;
        }
        let Some(call) = self.calls.list.get_mut(key) else { return };
        if why != Why::Changes {
            return self.invite_failed(kit, key, why, (status, Some(msg)));
        }
        call.sent = call.sdp.clone();
        // RFC 3261 s14.1: who made the Call-ID waits longer.
        if status == 491 && !call.over {
            let (least, spread) = if call.outgoing { (2100, 1900) } else { (0, 2000) };
            let wait = Duration::from_millis(least + kit.ctx.ids.below(IdKind::Jitter, spread));
            call.change.get_or_insert(invite.offer);
            call.glare = kit.ctx.timers.arm(kit.ctx.now + wait, timer(key, UaCallTimer::Glare));
            return;
        }
        // RFC 3261 s14.2, s20.33: he is still busy with another one.
        if status == 500
            && !call.over
            && let Some(seconds) = msg.header(Header::RetryAfter).and_then(clamp_u32).filter(|s| *s <= 10)
        {
            call.change.get_or_insert(invite.offer);
            let at = kit.ctx.now + Duration::from_secs(seconds.into());
            call.glare = kit.ctx.timers.arm(at, timer(key, UaCallTimer::Glare));
            return;
        }
        self.invite_failed(kit, key, why, (status, Some(msg)));
    }

    /// An INVITE of ours was accepted.
    fn accepted(&mut self, kit: &mut Kit<'_, '_>, key: CallKey, invite: &Invite, msg: Message<'_>) {
        let Some(call) = self.calls.list.get_mut(key) else { return };
        let Some(ua) = self.list.get(call.ua) else { return };
        call.tries = 0;
        let tag = msg.to().ok().and_then(|to| to.tag()).unwrap_or_default();
        if invite.why == Why::Begins {
            kit.txn.accepted(invite.client, tag);
        }
        call.dialog.learn_of_answer(kit.ctx, msg, tag);
        let agreed = call.reliable.take_agreed(tag).filter(|_| invite.why == Why::Begins);
        call.reliable.forget_early();
        call.state = State::Established;
        if !call.over && invite.why != Why::Refreshes {
            call.sdp = invite.offer.clone();
        }
        let new = match &agreed {
            Some(agreed) => call.hear(&agreed.theirs),
            None => call.hear(msg.body()),
        };
        let sdp: Box<[u8]> = if agreed.is_some() { Box::default() } else { msg.body().into() };
        if let Some(agreed) = agreed.filter(|agreed| !agreed.ours.is_empty()) {
            call.sent = agreed.ours;
        }
        let number = invite.number;
        if let Some((payload, to)) = request(kit, ua, call, (Method::Ack, Some(number)), &|_| {}, (b"", b""))
        {
            call.ack = Some((number, to.to, payload.clone()));
            txn::send_to(kit.ctx, &to.to, payload);
        }
        let over = call.over;
        self.agree(kit, key, msg);
        if invite.why == Why::Begins {
            self.report_of(kit, key, if over { 487 } else { 200 });
        }
        match invite.why {
            Why::Begins => self.tell_of(key, Step::Established { sdp }),
            Why::Refreshes if !new => {}
            Why::Changes | Why::Refreshes => self.tell_of(key, Step::Changed { sdp }),
        }
        self.go_on(kit, key);
    }

    /// A request of a call was not answered, or could not be sent.
    pub(crate) fn on_call_failure(&mut self, kit: &mut Kit<'_, '_>, bits: u64, event: ClientEvent) {
        let key = CallKey::from_bits(bits);
        let Some(call) = self.calls.list.get_mut(key) else { return };
        let status = if event.what == ClientFailure::TimedOut { 408 } else { 503 };
        if call.invite.as_ref().is_some_and(|invite| invite.client == event.key) {
            if event.what == ClientFailure::Unanswered {
                self.ended(key, 408, true);
                return self.cancel(kit, key);
            }
            let Some(Invite { why, offer, .. }) = call.invite.take() else { return };
            if why == Why::Begins && self.redirect(kit, key, offer, (status, None)) {
                return;
            }
            return self.invite_failed(kit, key, why, (status, None));
        }
        if let Some((_, errand)) = call.busy.take_if(|(busy, _)| *busy == event.key) {
            self.done(kit, key, &errand, status);
        }
    }

    /// How far the call is that somebody makes because we asked him to (RFC 3515 s2.4.5).
    pub(super) fn on_sipfrag(&mut self, key: CallKey, msg: Message<'_>) {
        let line = owned(msg.body().split(|b| *b == b'\r' || *b == b'\n').next().unwrap_or_default());
        let status =
            line.strip_prefix("SIP/2.0 ").and_then(|rest| rest.get(..3)).and_then(|s| s.parse().ok());
        if let Some(status) = status.filter(|status| (100..700).contains(status)) {
            self.tell_of(key, Step::Transfer { status });
        }
    }
}

/// A 2xx to an INVITE of ours that nobody waits for: it is acknowledged, and its dialog ended (RFC 3261 s13.2.2.4).
fn dismiss(kit: &mut Kit<'_, '_>, client: ClientKey, status: u16, msg: Message<'_>) {
    if !(200..300).contains(&status) {
        return;
    }
    let Some(to) = kit.txn.sent_to(client) else { return };
    let Some(mut dialog) = Dialog::of_answer(kit.ctx, &to, msg) else { return };
    let number = dialog.cseq();
    if let Some((payload, to)) = bare(kit, &dialog, Method::Ack, Some(number)) {
        txn::send_to(kit.ctx, &to.to, payload);
    }
    if !kit.txn.accepted(client, dialog.their_tag()) {
        return;
    }
    dialog.advance();
    if let Some((payload, to)) = bare(kit, &dialog, Method::Bye, None) {
        let _ = kit.txn.send(kit.ctx, &to.to, Method::Bye, Usage::Nothing, &to.branch, payload);
    }
}
