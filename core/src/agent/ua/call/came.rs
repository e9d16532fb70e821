//! What comes to the calls of a user agent, and how it is answered: RFC 3261 s13.3, s14.2, s15.1.2, RFC 3311, RFC 6086.

use super::super::{Kit, UaKey, Uas, sdp};
use super::write::{Answered, SDP};
use super::{Asked, Call, CallKey, RINGS, State, Step, Unacked, timer};
use crate::base::ids::IdKind;
use crate::base::text::owned;
use crate::ctx::{Extra, Origin, Refusal, UaCallTimer};
use crate::dialog::{Dialog, refer, session_timer};
use crate::door::{Changes, UaRefusal};
use crate::txn::ServerKey;
use crate::wire::{Essentials, Event, Header, Message, Method, NameAddr, Status};

/// A request, and where it came from.
#[derive(Clone, Copy)]
pub(crate) struct Came<'m> {
    pub(crate) server: ServerKey,
    pub(crate) origin: &'m Origin,
    pub(crate) msg: Message<'m>,
    pub(crate) ess: &'m Essentials<'m>,
}

impl<'m> Came<'m> {
    /// To be answered within its dialog.
    pub(super) fn answered(&self) -> Answered<'m> {
        let Came { server, origin, msg, .. } = *self;
        Answered { server, origin, msg, tag: "" }
    }
}

impl Uas {
    /// The call that a request is in.
    pub(crate) fn call_of(&self, ess: &Essentials<'_>) -> Option<CallKey> {
        if self.calls.list.is_empty() {
            return None;
        }
        let name = (ess.call_id.into(), ess.to.tag()?.into());
        let key = *self.calls.by_dialog.get(&name)?;
        let is_in = |call: &Call| call.dialog.has(ess) || call.reliable.has(ess);
        self.calls.list.get(key).filter(|call| is_in(call)).map(|_| key)
    }

    /// Somebody calls.
    pub(crate) fn on_invite(
        &mut self,
        kit: &mut Kit<'_, '_>,
        ua: UaKey,
        came: Came<'_>,
    ) -> Result<(), Refusal> {
        let Came { server, origin, msg, ess } = came;
        check_offer(msg)?;
        session_timer::refuse_if_brief(kit.ctx.settings, msg)?;
        if self.calls.of(ua) >= kit.ctx.settings.limits.per_user_agent {
            return Err(Refusal::plain(Status::BUSY_HERE));
        }
        let replaces = self.replaced(ua, msg)?;
        let tag = kit.ctx.ids.next_text(IdKind::Tag);
        let dialog = Dialog::new(kit.ctx, origin, msg, ess, &tag)?;
        let number = self.next();
        let asked = Asked { server, origin: *origin, held: msg.to_held(), first: true, tag: (*tag).into() };
        let mut call = Call { asked: Some(asked), ..Call::new(ua, number, dialog, State::Incoming) };
        call.replaces = replaces;
        call.timer.hear_request(msg);
        call.hear(msg.body());
        let key = self.calls.insert(call);
        let life = kit.ctx.timers.arm(kit.ctx.now + RINGS, timer(key, UaCallTimer::Life));
        if let Some(call) = self.calls.list.get_mut(key) {
            call.life = life;
        }
        // RFC 5806 s5.2: the topmost is the last.
        let diverted = msg.values(Header::Diversion).next().and_then(|value| NameAddr::parse(value).ok());
        let step = Step::Incoming {
            from: owned(ess.from.uri.raw()),
            display: ess.from.display_name(),
            to: owned(ess.to.uri.raw()),
            diverted: diverted.map(|by| owned(by.uri.raw())).unwrap_or_default(),
            sdp: msg.body().into(),
            replaces: replaces.and_then(|key| self.calls.list.get(key)).map(|call| call.number),
        };
        self.tell_of(key, step);
        Ok(())
    }

    /// 180, or 183 with early media.
    pub(super) fn ring(&mut self, kit: &mut Kit<'_, '_>, key: CallKey, sdp: &[u8]) -> Result<(), UaRefusal> {
        let call = self.calls.list.get(key).ok_or(UaRefusal::NoSuch)?;
        let ua = call.ua;
        let asked = call.asked.clone().filter(|asked| asked.first).ok_or(UaRefusal::NotNow)?;
        if call.reliable.answered {
            return Err(UaRefusal::NotNow);
        }
        let status = if sdp.is_empty() { 180 } else { 183 };
        if let Some(done) = self.ring_reliably(kit, key, status, sdp) {
            return done;
        }
        // RFC 3261 s13.2.1: an offer has to be heard.
        let offers = asked.held.message().body().is_empty();
        self.respond_to(kit, ua, &asked, status, if offers { b"" } else { sdp });
        Ok(())
    }

    /// The host takes it.
    pub(super) fn answer(
        &mut self,
        kit: &mut Kit<'_, '_>,
        key: CallKey,
        sdp: Box<[u8]>,
    ) -> Result<(), UaRefusal> {
        let call = self.calls.list.get_mut(key).ok_or(UaRefusal::NoSuch)?;
        let first = call.asked.as_ref().ok_or(UaRefusal::NotNow)?.first;
        if first && call.reliable.answered {
            return Err(UaRefusal::NotNow);
        }
        if first && call.reliable.holds_answer() {
            call.reliable.answered = true;
            return Ok(());
        }
        let asked = call.asked.take().ok_or(UaRefusal::NotNow)?;
        if !(first && call.reliable.described) {
            call.sdp = sdp.clone();
        }
        self.accept(kit, key, &asked, sdp);
        Ok(())
    }

    /// Answers with 2xx, and waits for the ACK if it is an INVITE.
    pub(super) fn accept(&mut self, kit: &mut Kit<'_, '_>, key: CallKey, asked: &Asked, sdp: Box<[u8]>) {
        let Some(call) = self.calls.list.get_mut(key) else { return };
        // What was described before the answer stays so.
        let described = asked.first && call.reliable.described;
        let sdp = if described { Box::default() } else { sdp };
        if !described {
            call.sent = sdp.clone();
        }
        if asked.first {
            call.state = State::Answered;
            kit.ctx.timers.disarm(core::mem::take(&mut call.life));
            self.settle_reliable(kit, key);
        }
        let replaced = self.calls.list.get_mut(key).and_then(|call| call.replaces.take());
        let payload = self.take(kit, key, asked, &sdp);
        let msg = asked.held.message();
        let offered: Box<[u8]> = msg.body().into();
        let number = msg.cseq().map(|cseq| cseq.number).unwrap_or_default();
        let is_invite = msg.method() == Method::Invite;
        if is_invite {
            let wait = kit.ctx.settings.timers.t1;
            let timer = kit.ctx.timers.arm(kit.ctx.now + wait, timer(key, UaCallTimer::Unacked));
            let (server, since, first) = (asked.server, kit.ctx.now, asked.first);
            let offers = offered.is_empty() && !described;
            if let Some(call) = self.calls.list.get_mut(key) {
                call.unacked = Some(Unacked { server, number, payload, since, wait, timer, offers, first });
            }
        }
        // The first one was heard when it came, and UPDATE may have said something else since.
        let new = self.calls.list.get_mut(key).is_some_and(|call| !asked.first && call.hear(&offered));
        if new {
            self.tell_of(key, Step::Changed { sdp: offered });
        }
        if !is_invite {
            self.go_on(kit, key);
        }
        // RFC 3891 s3.
        if let Some(replaced) = replaced {
            self.hang_up(kit, replaced);
        }
    }

    /// The host does not want it.
    pub(super) fn reject(
        &mut self,
        kit: &mut Kit<'_, '_>,
        key: CallKey,
        status: u16,
    ) -> Result<(), UaRefusal> {
        let call = self.calls.list.get_mut(key).ok_or(UaRefusal::NoSuch)?;
        let asked = call.asked.take().ok_or(UaRefusal::NotNow)?;
        let ua = call.ua;
        self.respond_to(kit, ua, &asked, status, b"");
        match asked.first {
            true => {
                self.ended(key, status, false);
                self.forget(kit, key);
            }
            false => self.go_on(kit, key),
        }
        Ok(())
    }

    /// A CANCEL found its INVITE. False if that is of no call here.
    pub(crate) fn on_cancel(&mut self, kit: &mut Kit<'_, '_>, server: ServerKey) -> bool {
        let is_it = |call: &Call| call.asked.as_ref().is_some_and(|asked| asked.server == server);
        let Some(key) = self.calls.list.iter().find(|(_, call)| is_it(call)).map(|(key, _)| key) else {
            return false;
        };
        let Some(call) = self.calls.list.get_mut(key) else { return false };
        let (ua, Some(asked)) = (call.ua, call.asked.take()) else { return false };
        self.respond_to(kit, ua, &asked, 487, b"");
        if asked.first {
            self.ended(key, 487, true);
            self.forget(kit, key);
        } else {
            self.go_on(kit, key);
        }
        true
    }

    /// An ACK that no transaction consumed. False if it is of no call here.
    pub(crate) fn on_ack(
        &mut self,
        kit: &mut Kit<'_, '_>,
        origin: &Origin,
        msg: Message<'_>,
        ess: &Essentials<'_>,
    ) -> bool {
        let Some(key) = self.call_of(ess) else { return false };
        let Some(call) = self.calls.list.get_mut(key) else { return false };
        if call.dialog.check_peer(kit.ctx, origin).is_err() {
            return false;
        }
        let Some(unacked) = call.unacked.take_if(|unacked| unacked.number == ess.cseq.number) else {
            return true;
        };
        kit.ctx.timers.disarm(unacked.timer);
        call.state = State::Established;
        let sdp: Box<[u8]> = if unacked.offers { msg.body().into() } else { Box::default() };
        call.hear(&sdp);
        match unacked.first {
            true => self.tell_of(key, Step::Established { sdp }),
            false if unacked.offers => self.tell_of(key, Step::Changed { sdp }),
            false => {}
        }
        self.go_on(kit, key);
        true
    }

    /// A 2xx of ours is said again (RFC 3261 s13.3.1.4), or nobody heard it.
    pub(super) fn on_unacked(&mut self, kit: &mut Kit<'_, '_>, key: CallKey) {
        let Some(call) = self.calls.list.get_mut(key) else { return };
        let Some(unacked) = call.unacked.as_mut() else { return };
        let (now, timers) = (kit.ctx.now, kit.ctx.settings.timers);
        if now.since(unacked.since) >= timers.t1 * 64 {
            call.unacked = None;
            call.state = State::Established;
            self.ended(key, 408, true);
            return self.go_on(kit, key);
        }
        unacked.wait = (unacked.wait * 2).min(timers.t2);
        let next = (now + unacked.wait).min(unacked.since + timers.t1 * 64);
        unacked.timer = kit.ctx.timers.arm(next, timer(key, UaCallTimer::Unacked));
        let (server, payload) = (unacked.server, unacked.payload.clone());
        kit.txn.respond(kit.ctx, server, Status::OK, payload, None);
    }

    /// A request within a call.
    pub(crate) fn on_within(
        &mut self,
        kit: &mut Kit<'_, '_>,
        key: CallKey,
        came: Came<'_>,
    ) -> Result<(), Refusal> {
        let answered = came.answered();
        let Came { origin, msg, ess, .. } = came;
        let Some(call) = self.calls.list.get_mut(key) else {
            return Err(Refusal::plain(Status::NO_TRANSACTION));
        };
        let method = msg.method();
        match method {
            _ if call.dialog.their_tag().is_empty() => return self.on_within_early(kit, key, came),
            Method::Prack => return self.on_prack(kit, key, came),
            Method::Update if call.state == State::Incoming => {
                return self.on_update_early(kit, key, came);
            }
            Method::Subscribe if refer::is_of_refer(msg) => return self.on_resubscribe(kit, key, came),
            _ => {}
        }
        if matches!(method, Method::Invite | Method::Update) {
            // RFC 3261 s14.2, RFC 3311 s5.2: what has no offer crosses none.
            let offers = method == Method::Invite || !msg.body().is_empty();
            if offers && call.invite.is_some() {
                return Err(Refusal::plain(Status::REQUEST_PENDING));
            }
            let last = |asked: &Asked| asked.held.message().method() == Method::Update;
            let waits = call.asked.as_ref().is_some_and(|asked| offers || last(asked));
            if waits || (offers && call.unacked.is_some()) {
                return Err(too_soon(kit));
            }
            check_offer(msg)?;
            session_timer::refuse_if_brief(kit.ctx.settings, msg)?;
        }
        call.dialog.accept(kit.ctx, origin, msg, ess)?;
        if matches!(method, Method::Invite | Method::Update) {
            call.timer.hear_request(msg);
        }
        let ua = call.ua;
        match method {
            Method::Bye => {
                let pending = call.asked.take();
                self.respond(kit, ua, answered, 200, (b"", b""));
                if let Some(asked) = pending {
                    // RFC 3261 s15.1.2.
                    self.respond_to(kit, ua, &asked, 487, b"");
                }
                self.ended(key, 200, true);
                self.forget(kit, key);
            }
            Method::Invite | Method::Update => self.on_offer(kit, key, came)?,
            Method::Refer => self.on_refer(kit, key, came)?,
            Method::Info => {
                if msg.header(Header::InfoPackage).is_some() {
                    self.respond(kit, ua, answered, 469, (b"", b""));
                    return Ok(());
                }
                self.respond(kit, ua, answered, 200, (b"", b""));
                if !msg.body().is_empty() {
                    self.tell_of(key, info(msg));
                }
            }
            Method::Notify => {
                let event = msg.header(Header::Event).and_then(|value| Event::parse(value).ok());
                if !event.is_some_and(|event| event.package.eq_ignore_ascii_case(b"refer")) {
                    return Err(Refusal::plain(Status::BAD_EVENT));
                }
                self.respond(kit, ua, answered, 200, (b"", b""));
                self.on_sipfrag(key, msg);
            }
            Method::Message => {
                self.on_text(ua, msg, ess)?;
                self.respond(kit, ua, answered, 200, (b"", b""));
            }
            Method::Options => _ = self.respond(kit, ua, answered, 200, (b"", b"")),
            Method::Other => return Err(Refusal::plain(Status::NOT_IMPLEMENTED)),
            _ => return Err(Refusal::with(Status::METHOD_NOT_ALLOWED, Extra::AllowOf(super::super::ALLOW))),
        }
        Ok(())
    }

    /// The other side wants another session, or only to know that we are there.
    fn on_offer(&mut self, kit: &mut Kit<'_, '_>, key: CallKey, came: Came<'_>) -> Result<(), Refusal> {
        let Came { server, origin, msg, .. } = came;
        let Some(call) = self.calls.list.get_mut(key) else { return Ok(()) };
        let ua = call.ua;
        let asked = Asked { server, origin: *origin, held: msg.to_held(), first: false, tag: Box::default() };
        let offer = msg.body();
        // RFC 3311 s5.2: one without an offer refreshes the target, and the session timer.
        if msg.method() == Method::Update && offer.is_empty() {
            self.take(kit, key, &asked, b"");
            return Ok(());
        }
        if call.is_known(offer) {
            let sdp = call.sent.clone();
            self.accept(kit, key, &asked, sdp);
            return Ok(());
        }
        let repeats = self.list.get(ua).is_none_or(|ua| ua.account.changes == Changes::Repeat);
        if !repeats && !call.over {
            call.asked = Some(asked);
            self.tell_of(key, Step::Offered { sdp: offer.into() });
            return Ok(());
        }
        let sdp = match offer.is_empty() {
            true => call.sdp.clone(),
            false => {
                let answer = sdp::again(&call.sdp, &call.sent, offer);
                answer.ok_or(Refusal::plain(Status::NOT_ACCEPTABLE_HERE))?.into()
            }
        };
        self.accept(kit, key, &asked, sdp);
        Ok(())
    }
}

/// RFC 3261 s14.2, RFC 3311 s5.2: another offer is not answered yet.
pub(super) fn too_soon(kit: &mut Kit<'_, '_>) -> Refusal {
    let wait = 1 + kit.ctx.ids.below(IdKind::Jitter, 9) as u32;
    Refusal::with(Status::SERVER_ERROR, Extra::RetryAfter(wait))
}

/// RFC 3261 s8.2.3: only what is understood.
pub(super) fn check_offer(msg: Message<'_>) -> Result<(), Refusal> {
    let kind =
        msg.content_type().map(|kind| kind.split(|b| *b == b';').next().unwrap_or_default().trim_ascii());
    match kind {
        _ if msg.body().is_empty() => Ok(()),
        Some(kind) if kind.eq_ignore_ascii_case(SDP) => Ok(()),
        _ => Err(Refusal::with(Status::UNSUPPORTED_MEDIA_TYPE, Extra::Accept("application/sdp"))),
    }
}

/// A digit, or whatever else an INFO says.
pub(super) fn info(msg: Message<'_>) -> Step {
    let kind = owned(msg.content_type().unwrap_or_default());
    let body = owned(msg.body());
    let media = kind.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    let value = |name: &str| {
        body.lines().find_map(|line| {
            let (key, value) = line.split_once('=')?;
            key.trim().eq_ignore_ascii_case(name).then(|| value.trim())
        })
    };
    let said = match media.as_str() {
        "application/dtmf-relay" => value("Signal"),
        "application/dtmf" => Some(body.trim()),
        _ => None,
    };
    let digit = said.and_then(|text| text.chars().next()).map(|digit| digit.to_ascii_uppercase());
    match digit.filter(|digit| matches!(digit, '0'..='9' | '*' | '#' | 'A'..='D')) {
        Some(digit) => {
            let millis = value("Duration").and_then(|text| text.parse().ok()).unwrap_or(0);
            Step::Digit { digit, millis }
        }
        None => Step::Info { kind, body: msg.body().into() },
    }
}
