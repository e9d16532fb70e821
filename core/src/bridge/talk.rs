//! Requests within a pair of dialogs: what one side asks is asked of the other, and its answer goes back. ACK, BYE, and
//! the 2xx that is repeated until its ACK is there. RFC 3261 s12.2, s13.3.1.4, s14, s15.
//!
//! | from one side | to the other |
//! |---|---|
//! | ACK | the ACK of its 2xx, with what it carries |
//! | INVITE, UPDATE, INFO, MESSAGE, OPTIONS | the same; its answer goes back |
//! | UPDATE with an offer, for who takes none | INVITE (`update`) |
//! | NOTIFY | the same, with what it is about: whoever knows no such subscription says so (RFC 6665 s4.1.3) |
//! | an offer while another is open | 491 or 500 (`offers`), nothing |
//! | PRACK | PRACK of what it acknowledges (`reliable`) |
//! | SUBSCRIBE to what came of its REFER | nothing: it is told by us (`refer`) |
//! | BYE | 200 to the one, BYE to the other when it has acknowledged what it was answered |
//! | anything when it is over | 481; another BYE gets its 200 |

use super::call::{CALLEE, CALLER, Call, Errand, Phase, Relayed, Unacked, answering_tag};
use super::refer::Inner;
use super::refresh::wake;
use super::table::{self, Does, Heard, State};
use super::write::{self, Answer};
use super::{Asked, CallKey, Desk, Kit};
use crate::ctx::{CallTimer, Extra, Refusal, Timer};
use crate::dialog::reliable::Wants;
use crate::dialog::session_timer::Refresher;
use crate::dialog::{is_signed, refer, write_signature};
use crate::door::CallEnd;
use crate::stats::Counter;
use crate::txn::{ClientKey, ServerKey};
use crate::wire::{Essentials, Event, Header, Message, Method, Status};

/// What a NOTIFY is about, beside its body: of a leg, unless what it belongs to is on the other one.
const NOTICE: [Header; 2] = [Header::Event, Header::SubscriptionState];

/// RFC 6665 s8.2.1, s8.2.3: it says what it is about, and how that stands.
fn refuse_without_event(msg: Message<'_>) -> Result<(), Refusal> {
    if msg.header(Header::Event).is_none_or(|event| Event::parse(event).is_err()) {
        return Err(Refusal::with(Status::BAD_EVENT, Extra::AllowEvents));
    }
    match msg.header(Header::SubscriptionState) {
        Some(_) => Ok(()),
        None => Err(Refusal::because(Status::BAD_REQUEST, "Missing Subscription-State")),
    }
}

/// Does its body describe the session?
fn describes(method: Method) -> bool {
    matches!(method, Method::Invite | Method::Update | Method::Prack)
}

impl Call {
    /// A request within one of the dialogs.
    pub(super) fn on_request(
        &mut self,
        kit: &mut Kit<'_, '_>,
        desk: &mut Desk,
        key: CallKey,
        asked: &Asked<'_>,
    ) -> Result<(), Refusal> {
        let gone = Refusal::plain(Status::NO_TRANSACTION);
        let (at, from) = self.find(asked.ess).ok_or(gone.clone())?;
        let method = asked.msg.method();
        let link = self.links.get_mut(at).ok_or(gone.clone())?;
        let side = &mut link.sides[from];
        if side.over && method != Method::Bye {
            return Err(gone);
        }
        match method {
            Method::Bye => {
                side.dialog.accept(kit.ctx, asked.origin, asked.msg, asked.ess)?;
                // It hangs up before it was acknowledged: it has waited for that long enough.
                side.acknowledge(kit, None);
                write::respond(kit, asked.server, asked.origin, asked.msg, &Answer::own(Status::OK));
                self.on_bye(kit, desk, key, (at, from), asked.msg);
                return Ok(());
            }
            Method::Prack => return self.on_prack(kit, desk, key, (at, from), asked),
            Method::Subscribe if refer::is_of_refer(asked.msg) => {
                return self.on_resubscribe(kit, key, from, asked);
            }
            Method::Invite | Method::Update | Method::Info | Method::Message | Method::Options => {}
            Method::Notify => refuse_without_event(asked.msg)?,
            _ => return Err(Refusal::with(Status::METHOD_NOT_ALLOWED, Extra::Allow)),
        }
        super::refresh::check(kit, asked.msg)?;
        // The one who picked up has nobody to talk to yet.
        if self.picked.is_some() {
            return Err(Refusal::plain(Status::REQUEST_PENDING));
        }
        link.refuse_offer(kit, self.phase, from, asked.msg)?;
        link.method_for(self.phase, 1 - from, asked.msg)?;
        link.sides[1 - from].refuse_package(asked.msg)?;
        let side = &mut link.sides[from];
        side.dialog.accept(kit.ctx, asked.origin, asked.msg, asked.ess)?;
        if matches!(method, Method::Invite | Method::Update) {
            side.timer.hear_request(asked.msg);
        }
        if self.answer_refresh(kit, key, (at, from), asked) {
            return Ok(());
        }
        self.relay(kit, desk, key, (at, from), asked)
    }

    /// Asks the other side the same.
    fn relay(
        &mut self,
        kit: &mut Kit<'_, '_>,
        desk: &mut Desk,
        key: CallKey,
        (at, from): (usize, usize),
        asked: &Asked<'_>,
    ) -> Result<(), Refusal> {
        let Some(link) = self.links.get_mut(at) else { return Ok(()) };
        let to = 1 - from;
        let method = link.method_for(self.phase, to, asked.msg)?;
        let crossing = link.crossing(kit.ctx.settings, to);
        let signed = is_signed(asked.msg) && link.keeps_names();
        let side = &mut link.sides[to];
        if side.over {
            return Err(Refusal::plain(Status::NO_TRANSACTION));
        }
        side.dialog.advance();
        let number = side.dialog.cseq();
        let changed = match describes(method) {
            true => side.change(asked.msg.body()),
            false => None,
        };
        let body = changed.as_deref().unwrap_or(asked.msg.body());
        let from = Some((asked.msg, crossing, body));
        let sent = write::request_with(kit, side, method, number, from, |writer| {
            if signed {
                write_signature(writer, asked.msg);
            }
            if method == Method::Notify {
                NOTICE.into_iter().filter_map(|header| asked.msg.first_line(header)).for_each(|line| {
                    writer.raw_line(line);
                });
            }
        });
        let sent = sent.ok_or(Refusal::plain(Status::TEMPORARILY_UNAVAILABLE))?;
        link.send(kit, key, (to, method, number), sent, Some(asked))
            .ok_or(Refusal::with(Status::SERVICE_UNAVAILABLE, Extra::RetryAfter(5)))?;
        match (method, asked.msg.method()) {
            (Method::Invite, Method::Invite) => {
                let answer = Answer::own(Status::TRYING);
                write::respond(kit, asked.server, asked.origin, asked.msg, &answer);
                desk.servers.insert(asked.server, key);
            }
            (Method::Invite, _) => self.arm_update(kit, key),
            _ => {}
        }
        Ok(())
    }

    /// A response to a request within a dialog.
    pub(super) fn on_answer(
        &mut self,
        kit: &mut Kit<'_, '_>,
        desk: &mut Desk,
        key: CallKey,
        client: ClientKey,
        status: u16,
        msg: Message<'_>,
    ) {
        let found = self.links.iter().enumerate().find_map(|(at, link)| {
            link.errands.iter().position(|errand| errand.client == client).map(|errand| (at, errand))
        });
        let Some((at, which)) = found else {
            return self.answered_again(kit, client, status, msg);
        };
        let Some(link) = self.links.get_mut(at) else { return };
        let (to, method) = link.errands.get(which).map_or((0, Method::Other), |e| (e.to, e.method));
        let asked_by = link.errands.get(which).map_or(method, Errand::asked_by);
        let crossing = link.crossing(kit.ctx.settings, 1 - to);
        if status < 200 {
            let Some(errand) = link.errands.get_mut(which) else { return };
            let heard = if status == 100 { Heard::Trying } else { Heard::Progress };
            let (state, does) = table::next(errand.state, heard);
            errand.state = state;
            match (does, &errand.relayed) {
                (Does::Cancel, _) => _ = kit.txn.cancel(kit.ctx, client, None),
                // RFC 3262 s3: who requires all of them to be reliable gets none that is not.
                (Does::Relay, Some(relayed))
                    if asked_by == Method::Invite && Wants::of(relayed.held.message()) != Wants::Requires =>
                {
                    let body = msg.body();
                    let answer = Answer {
                        line: Status(status).into(),
                        tag: "",
                        dialog: true,
                        from: Some((msg, crossing)),
                        body,
                    };
                    let held = relayed.held.message();
                    write::respond(kit, relayed.server, &relayed.origin, held, &answer);
                }
                _ => {}
            }
            return;
        }
        let mut errand = link.errands.remove(which);
        let accepted = (200..300).contains(&status);
        if status == 422 && errand.relayed.is_some() {
            match link.ask_longer(kit, key, errand, msg) {
                None => return,
                Some(refused) => errand = refused,
            }
        }
        // RFC 3261 s21.4.6: it did not say so before.
        let offers = |relayed: &Relayed| !relayed.held.message().body().is_empty();
        if matches!(status, 405 | 501)
            && method == Method::Update
            && self.phase == Phase::Answered
            && errand.relayed.as_ref().is_some_and(offers)
            && let Some(relayed) = errand.relayed.take()
        {
            match self.ask_by_invite(kit, key, (at, to), relayed) {
                None => return,
                refused => errand.relayed = refused,
            }
        }
        let Some(link) = self.links.get_mut(at) else { return };
        if accepted && matches!(method, Method::Invite | Method::Update) {
            link.sides[to].dialog.learn_of_answer(kit.ctx, msg, answering_tag(msg));
            // When it comes again after the end, it is no new dialog.
            if method == Method::Invite {
                kit.txn.accepted(client, link.sides[to].dialog.their_tag());
            }
            link.sides[to].hear_packages(msg);
            if let Some(relayed) = &errand.relayed {
                link.sides[1 - to].hear_packages(relayed.held.message());
            }
            link.sides[to].agree_on_timer(kit, key, self.phase, msg);
        }
        if link.sides[to].timer.is_refresh(client) {
            self.on_refreshed(kit, key, (at, &errand), (status, msg));
            if matches!(status, 408 | 481) {
                self.lost(kit, desk, key, (at, to), status == 481);
            }
            return;
        }
        if method == Method::Invite && errand.relayed.is_none() {
            self.on_own_answer(kit, desk, key, (at, &errand), status, msg);
            if matches!(status, 408 | 481) {
                self.lost(kit, desk, key, (at, to), status == 481);
            }
            return;
        }
        // What was refused changes nothing.
        if let Some(relayed) = errand.relayed.as_ref().filter(|_| describes(method)) {
            let body = relayed.held.message().body();
            match accepted {
                true => link.sides[to].keep_sdp(body),
                false => link.sides[to].refuse_sdp(body),
            }
        }
        if let Some(relayed) = &errand.relayed {
            desk.servers.remove(&relayed.server);
            let changed = match describes(method) {
                true => link.sides[1 - to].change(msg.body()),
                false => None,
            };
            let body = changed.as_deref().unwrap_or(msg.body());
            if accepted && describes(method) {
                link.sides[1 - to].keep_sdp(msg.body());
            }
            let told = match status {
                401 | 407 => Status::FORBIDDEN.0,
                // RFC 4320 s4.2: who asked has given up, or will soon.
                408 if asked_by != Method::Invite => Status::SERVER_TIMEOUT.0,
                // What one side does not know yet, the other need not give up (RFC 5057 s5.1).
                481 if self.phase == Phase::Ringing && method != Method::Prack => Status::REQUEST_PENDING.0,
                // What is too short for one leg is not for the other.
                422 => Status::SERVER_ERROR.0,
                status => status,
            };
            let dialog = accepted && matches!(method, Method::Invite | Method::Update);
            let answer =
                Answer { line: Status(told).into(), tag: "", dialog, from: Some((msg, crossing)), body };
            let held = relayed.held.message();
            let live = dialog && self.phase == Phase::Answered;
            let terms = Some(held).filter(|_| live);
            let terms = terms.and_then(|held| link.sides[1 - to].timer.grant(kit.ctx.settings, held));
            let payload =
                write::respond_with(kit, relayed.server, &relayed.origin, held, &answer, |writer| {
                    terms.iter().for_each(|terms| terms.write(writer));
                    // RFC 6665 s8.3.2: which events it takes instead.
                    if let (489, Some(line)) = (status, msg.first_line(Header::AllowEvents)) {
                        writer.raw_line(line);
                    }
                });
            if let Some(terms) = terms {
                link.sides[1 - to].timer.begin(kit.ctx, wake(key), terms, Refresher::Uas);
            }
            if accepted && method == Method::Invite && asked_by != Method::Invite {
                // Nobody else acknowledges it.
                link.sides[to].due = Some(errand.number);
                link.sides[to].acknowledge(kit, None);
            } else if accepted && method == Method::Invite {
                let number = held.cseq().map(|cseq| cseq.number).unwrap_or_default();
                let (server, since) = (relayed.server, kit.ctx.now);
                link.sides[1 - to].unacked =
                    Some(Box::new(Unacked { number, server, payload, since, sent: 0 }));
                link.sides[to].due = Some(errand.number);
                link.sides[to].offered = held.body().is_empty().then(|| msg.body().into());
                self.arm_unacked(kit, key);
            }
        }
        // RFC 3261 s12.2.1.2: there is nobody there any more.
        if matches!(status, 408 | 481) && !matches!(method, Method::Bye | Method::Prack | Method::Notify) {
            self.lost(kit, desk, key, (at, to), status == 481);
        }
        self.on_told(kit, desk, key);
    }

    /// A 2xx to an INVITE came again: of this call, of one of its attempts that is forgotten, or of a call that went on in
    /// this one.
    pub(super) fn answered_again(
        &mut self,
        kit: &mut Kit<'_, '_>,
        client: ClientKey,
        status: u16,
        msg: Message<'_>,
    ) {
        let (tag, call_id) = (answering_tag(msg), msg.call_id().unwrap_or_default());
        let mut sides = self.links.iter().flat_map(|link| &link.sides);
        let known = sides.find(|side| side.dialog.their_tag() == tag && side.dialog.call_id() == call_id);
        match known {
            Some(side) if side.acknowledge_again(kit, msg) => {}
            // Its BYE is sent already, or the session goes on: this INVITE only is not waited for any more.
            Some(_) => {
                kit.txn.accepted(client, tag);
                super::acks::dismiss(kit, client, status, msg);
            }
            None => super::acks::dismiss(kit, client, status, msg),
        }
    }

    /// A side answers no more: the call ends. Who said that he knows nothing of it is not told so; who said nothing is,
    /// for he may be back (RFC 4028 s10).
    fn lost(
        &mut self,
        kit: &mut Kit<'_, '_>,
        desk: &mut Desk,
        key: CallKey,
        (at, to): (usize, usize),
        gone: bool,
    ) {
        // Whoever knows nothing of an early dialog yet will, or is found out by his INVITE.
        if self.phase != Phase::Answered {
            return;
        }
        if let Some(side) = self.links.get_mut(at).map(|link| &mut link.sides[to]) {
            side.over |= gone;
        }
        self.end(kit, desk, key, None, CallEnd::Lost);
    }

    /// A request within a dialog was never answered.
    pub(super) fn on_silence(
        &mut self,
        kit: &mut Kit<'_, '_>,
        desk: &mut Desk,
        key: CallKey,
        client: ClientKey,
    ) {
        let found = self.links.iter_mut().enumerate().find_map(|(at, link)| {
            let which = link.errands.iter().position(|errand| errand.client == client)?;
            Some((at, link.errands.remove(which)))
        });
        let Some((at, errand)) = found else { return };
        if let Some(relayed) = &errand.relayed {
            desk.servers.remove(&relayed.server);
            let status = match (errand.asked_by(), errand.state) {
                (Method::Invite, State::Cancelled | State::Halting) => Status::REQUEST_TERMINATED,
                (Method::Invite, _) => Status::REQUEST_TIMEOUT,
                _ => Status::SERVER_TIMEOUT,
            };
            relayed.refuse(kit, status);
        }
        if errand.method == Method::Invite && errand.relayed.is_none() {
            if self.picked.is_some() {
                self.refuse(kit, desk, Status::TEMPORARILY_UNAVAILABLE);
            }
            self.end_succession(desk, Status::REQUEST_TIMEOUT.0);
            let (kept, serves) = (self.transfer.is_some(), self.serves);
            desk.inner.extend(serves.or(kept.then_some(key)).map(|key| Inner::Failed(key, 408)));
        }
        self.on_told(kit, desk, key);
        // RFC 3261 s12.2.1.2, RFC 6086 s4.2.2: INFO and its kind say nothing of the session.
        if matches!(errand.method, Method::Invite | Method::Update) && errand.state != State::Cancelled {
            self.lost(kit, desk, key, (at, errand.to), false);
        }
    }

    /// The caller of a new INVITE within a dialog does not want it any more: the other side decides what it was.
    pub(super) fn cancel_errand(&mut self, kit: &mut Kit<'_, '_>, server: ServerKey) {
        let mut errands = self.links.iter_mut().flat_map(|link| &mut link.errands);
        let ours = |errand: &&mut Errand| errand.relayed.as_ref().is_some_and(|r| r.server == server);
        let Some(errand) = errands.find(ours) else { return };
        let (state, does) = table::next(errand.state, Heard::Halt);
        errand.state = state;
        if does == Does::Cancel {
            kit.txn.cancel(kit.ctx, errand.client, None);
        }
    }

    /// The ACK of a 2xx: it goes on to the other side.
    pub(super) fn on_ack(
        &mut self,
        kit: &mut Kit<'_, '_>,
        desk: &mut Desk,
        key: CallKey,
        msg: Message<'_>,
        ess: &Essentials<'_>,
    ) {
        let Some((at, from)) = self.find(ess) else { return };
        let Some(link) = self.links.get_mut(at) else { return };
        let waits = link.sides[from].unacked.as_ref().is_some_and(|u| u.number == ess.cseq.number);
        if !waits {
            return;
        }
        link.sides[from].unacked = None;
        let crossing = link.crossing(kit.ctx.settings, 1 - from);
        link.sides[1 - from].keep_sdp(msg.body());
        link.sides[1 - from].acknowledge(kit, Some((msg, crossing)));
        if link.sides.iter().all(|side| side.unacked.is_none()) {
            kit.ctx.timers.disarm(core::mem::take(&mut self.timers.unacked));
        }
        self.bye_if_it_waited(kit, key, (at, from));
        if self.picked.is_some() {
            self.picker_is_there(kit, desk, key, msg);
        }
    }

    /// A side hangs up.
    fn on_bye(
        &mut self,
        kit: &mut Kit<'_, '_>,
        desk: &mut Desk,
        key: CallKey,
        (at, from): (usize, usize),
        msg: Message<'_>,
    ) {
        let was_over = self.links.get(at).is_none_or(|link| link.sides[from].over);
        if let Some(link) = self.links.get_mut(at) {
            link.sides[from].over = true;
            link.sides[from].unacked = None;
            link.sides[from].bye_waits = false;
        }
        match self.phase {
            // RFC 3261 s15: the caller may end an early dialog so; for us that ends what he asked for.
            Phase::Ringing if from == CALLER => {
                let server = self.incoming.as_ref().map(|incoming| incoming.server);
                if let Some(server) = server {
                    self.on_cancel(kit, desk, server, msg);
                }
            }
            // Who picked up does not want it after all.
            Phase::Ringing if self.picked.is_some() => {
                self.refuse(kit, desk, Status::TEMPORARILY_UNAVAILABLE);
            }
            Phase::Ringing => {}
            // Who asked for a transfer need not wait for it, nor who sent another in his place.
            Phase::Answered if self.transfers(from) || self.is_succeeded(from) => {}
            Phase::Answered if !was_over => {
                let end = if from == CALLER { CallEnd::Caller } else { CallEnd::Callee };
                self.end(kit, desk, key, Some(msg), end);
            }
            Phase::Answered | Phase::Over => {}
        }
    }

    /// The call is over: who is still there gets BYE, and what waits for an answer gets one.
    pub(super) fn end(
        &mut self,
        kit: &mut Kit<'_, '_>,
        desk: &mut Desk,
        key: CallKey,
        bye: Option<Message<'_>>,
        end: CallEnd,
    ) {
        self.phase = Phase::Over;
        self.abandon_transfer(desk);
        self.end_succession(desk, Status::DECLINE.0);
        self.record.end = end;
        self.record.ended = kit.ctx.now;
        kit.ctx.timers.disarm(core::mem::take(&mut self.timers.life));
        for at in 0..self.links.len() {
            let Some(link) = self.links.get_mut(at) else { continue };
            // RFC 3261 s15.1.2: requests of who hung up, and of who will be, are answered.
            for errand in link.errands.extract_if(.., |errand| errand.relayed.is_some()) {
                let Some(relayed) = errand.relayed else { continue };
                desk.servers.remove(&relayed.server);
                relayed.refuse(kit, Status::REQUEST_TERMINATED);
                // Its 2xx makes no dialog that would have to be ended once more.
                if errand.method == Method::Invite {
                    kit.txn.accepted(errand.client, link.sides[errand.to].dialog.their_tag());
                }
            }
            for to in [CALLER, CALLEE] {
                let crossing = link.crossing(kit.ctx.settings, to);
                let side = &mut link.sides[to];
                side.timer.stop(kit.ctx);
                if side.over {
                    continue;
                }
                // What it accepted is acknowledged before it is told to go.
                side.acknowledge(kit, None);
                // RFC 3261 s15: not before its ACK is there, or will not come.
                if side.unacked.is_some() {
                    side.bye_waits = true;
                    continue;
                }
                link.bye(kit, key, to, bye.map(|msg| (msg, crossing)));
            }
        }
        if !self.links.iter().flat_map(|link| &link.sides).any(|side| side.unacked.is_some()) {
            kit.ctx.timers.disarm(core::mem::take(&mut self.timers.unacked));
        }
        self.tell_end(kit.ctx, desk);
    }

    fn bye_if_it_waited(&mut self, kit: &mut Kit<'_, '_>, key: CallKey, (at, to): (usize, usize)) {
        let Some(link) = self.links.get_mut(at) else { return };
        let side = &mut link.sides[to];
        if !core::mem::take(&mut side.bye_waits) || side.over {
            return;
        }
        link.bye(kit, key, to, None);
    }

    /// Arms the timer that repeats what was not acknowledged yet.
    pub(super) fn arm_unacked(&mut self, kit: &mut Kit<'_, '_>, key: CallKey) {
        let settings = &kit.ctx.settings.timers;
        let sides = self.links.iter().flat_map(|link| &link.sides);
        let waiting = sides.filter_map(|side| side.unacked.as_ref());
        // RFC 3261 s13.3.1.4: at T1, then twice as long each time up to T2, whatever the transport.
        let due = waiting.map(|unacked| {
            let mut at = unacked.since;
            for sent in 0..=unacked.sent {
                at = at + (settings.t1 * (1 << sent.min(8))).min(settings.t2);
            }
            at.min(unacked.since + settings.t1 * 64)
        });
        let Some(due) = due.min() else { return };
        kit.ctx.timers.disarm(self.timers.unacked);
        self.timers.unacked = kit.ctx.timers.arm(due, Timer::Call(key.to_bits(), CallTimer::Unacked));
    }

    /// A 2xx is repeated; or its ACK will not come, and the call is over (RFC 3261 s13.3.1.4).
    pub(super) fn on_unacked_timer(&mut self, kit: &mut Kit<'_, '_>, desk: &mut Desk, key: CallKey) {
        self.timers.unacked = Default::default();
        let patience = kit.ctx.settings.timers.t1 * 64;
        let mut given_up = Vec::new();
        for (at, link) in self.links.iter_mut().enumerate() {
            for (which, side) in link.sides.iter_mut().enumerate() {
                let Some(unacked) = &mut side.unacked else { continue };
                if kit.ctx.now.since(unacked.since) >= patience {
                    side.unacked = None;
                    given_up.push((at, which));
                } else if unacked.payload.is_empty() {
                    // His ACK is there, and waits for a relay.
                    unacked.sent = unacked.sent.saturating_add(1);
                } else {
                    unacked.sent = unacked.sent.saturating_add(1);
                    kit.ctx.stats.count(Counter::Resent);
                    let (server, payload) = (unacked.server, unacked.payload.clone());
                    kit.txn.respond(kit.ctx, server, Status::OK, payload, None);
                }
            }
        }
        for place in given_up {
            match self.phase {
                Phase::Over => self.bye_if_it_waited(kit, key, place),
                // Who picked up: nobody else has a 2xx that early.
                Phase::Ringing => self.refuse(kit, desk, Status::TEMPORARILY_UNAVAILABLE),
                Phase::Answered => self.end(kit, desk, key, None, CallEnd::NoAck),
            }
        }
        self.arm_unacked(kit, key);
    }

    /// It rang for too long, or lasted for too long.
    pub(super) fn on_life_timer(&mut self, kit: &mut Kit<'_, '_>, desk: &mut Desk, key: CallKey) {
        self.timers.life = Default::default();
        match self.phase {
            Phase::Ringing => {
                self.halt(kit, None, Some("SIP;cause=480;text=\"No answer\""));
                self.best = None;
                self.refuse(kit, desk, Status::TEMPORARILY_UNAVAILABLE);
            }
            Phase::Answered => self.end(kit, desk, key, None, CallEnd::Expired),
            Phase::Over => {}
        }
    }
}
