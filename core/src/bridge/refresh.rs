//! Refreshes: ours when it is our turn, and what is done when nobody refreshes. RFC 4028 s7 to s10, RFC 3261 s14.1.
//!
//! A refresh is UPDATE without an offer where the peer takes that, else INVITE with what it was sent last (`o=` as it
//! was: nothing has changed).
//!
//! | it is answered | then |
//! |---|---|
//! | 2xx | agreed anew |
//! | 491 | again after 2.1 to 4 s if the Call-ID is ours, else after up to 2 s |
//! | 422 with a Min-SE | again at once, with that |
//! | 405, 501 to UPDATE | again at once, as INVITE |
//! | 408, 481, nothing | the call is over |
//! | else | again when half the time is gone that is left; over when none is left |

use core::time::Duration;

use super::call::{Call, Errand, Link, Phase, Side};
use super::session_timer::{self, Refresher};
use super::table::State;
use super::write::{self, Answer};
use super::{Asked, CallKey, Desk, Kit};
use crate::base::ids::IdKind;
use crate::ctx::Refusal;
use crate::door::CallEnd;
use crate::txn::{ClientKey, Usage};
use crate::wire::{Header, Message, Method, Status};

/// Something else is under way on the leg: this long.
const SOON: Duration = Duration::from_secs(2);

impl Call {
    /// Something is due on a leg.
    pub(super) fn on_session_timer(&mut self, kit: &mut Kit<'_, '_>, desk: &mut Desk, key: CallKey) {
        for at in 0..self.links.len() {
            for to in 0..2 {
                let Some(link) = self.links.get_mut(at).filter(|_| self.phase == Phase::Answered) else {
                    return;
                };
                let busy = link.is_busy(to);
                let side = &mut link.sides[to];
                if side.over || side.timer.due.is_none_or(|due| due > kit.ctx.now) {
                    continue;
                }
                side.timer.due = None;
                let ends = side.timer.ends.is_some_and(|ends| ends <= kit.ctx.now);
                match () {
                    // RFC 4028 s10.
                    _ if ends || !side.timer.ours => return self.end(kit, desk, key, None, CallEnd::Lost),
                    _ if busy => side.timer.postpone(kit.ctx, key, SOON),
                    _ => self.refresh(kit, key, (at, to)),
                }
            }
        }
    }

    /// Refreshes a leg.
    fn refresh(&mut self, kit: &mut Kit<'_, '_>, key: CallKey, (at, to): (usize, usize)) {
        let Some(link) = self.links.get_mut(at) else { return };
        let side = &mut link.sides[to];
        let method = match side.timer.takes_update || side.sdp.is_empty() {
            true => Method::Update,
            false => Method::Invite,
        };
        // Until it is answered only the end may come.
        let now = kit.ctx.now;
        let left = side.timer.ends.map(|ends| ends.since(now));
        match left {
            Some(left) => side.timer.postpone(kit.ctx, key, left),
            None => side.timer.stop(kit.ctx),
        }
        side.dialog.advance();
        let number = side.dialog.cseq();
        let body = if method == Method::Invite { side.sdp.clone() } else { Box::default() };
        let sent = write::request_own(kit, side, method, number, &body);
        let client = sent.and_then(|sent| link.send(kit, key, (to, method, number), sent, None));
        let timer = &mut link.sides[to].timer;
        match client {
            Some(client) => timer.refreshing = Some(client),
            None => timer.put_off(kit.ctx, key),
        }
    }

    /// A refresh of ours was answered.
    pub(super) fn on_refreshed(
        &mut self,
        kit: &mut Kit<'_, '_>,
        key: CallKey,
        (at, errand): (usize, &Errand),
        (status, msg): (u16, Message<'_>),
    ) {
        let to = errand.to;
        let Some(side) = self.links.get_mut(at).map(|link| &mut link.sides[to]) else { return };
        match status {
            200..=299 => {
                if errand.method == Method::Invite {
                    side.due = Some(errand.number);
                    side.acknowledge(kit, None);
                }
            }
            408 | 481 => {}
            491 => {
                // RFC 3261 s14.1, in steps of 10 ms.
                let (least, span) = if side.timer.owns { (210, 191) } else { (0, 201) };
                let wait = least + kit.ctx.ids.below(IdKind::Jitter, span);
                side.timer.postpone(kit.ctx, key, Duration::from_millis(wait * 10));
            }
            422 => {
                let known = side.timer.asks(kit.ctx.settings);
                match session_timer::longer(kit.ctx.settings, msg, known) {
                    Some(min_se) => {
                        side.timer.min_se = min_se;
                        self.refresh(kit, key, (at, to));
                    }
                    None => side.timer.put_off(kit.ctx, key),
                }
            }
            405 | 501
                if errand.method == Method::Update && !side.sdp.is_empty() && side.timer.takes_update =>
            {
                side.timer.takes_update = false;
                self.refresh(kit, key, (at, to));
            }
            500 | 503 if msg.retry_after().is_some_and(|after| after <= 60) => {
                let after = msg.retry_after().unwrap_or(0);
                side.timer.postpone(kit.ctx, key, Duration::from_secs(u64::from(after.max(1))));
            }
            _ => side.timer.put_off(kit.ctx, key),
        }
    }

    /// UPDATE without an offer, for a peer who would not take it: what it is for is done here. False if it goes on.
    pub(super) fn answer_refresh(
        &mut self,
        kit: &mut Kit<'_, '_>,
        key: CallKey,
        (at, from): (usize, usize),
        asked: &Asked<'_>,
    ) -> bool {
        let Some(link) = self.links.get_mut(at).filter(|_| self.phase == Phase::Answered) else {
            return false;
        };
        let offers = asked.msg.method() != Method::Update || !asked.msg.body().is_empty();
        if offers || link.sides[1 - from].timer.takes_update {
            return false;
        }
        // RFC 6086 s5.2.3: who says what he wants is told what the other one does; that one hears it when he asks.
        let packages = link.sides[1 - from].packages.clone().unwrap_or_default();
        let packages = asked.msg.header(Header::RecvInfo).map(|_| packages);
        let side = &mut link.sides[from];
        side.hear_packages(asked.msg);
        let terms = side.timer.grant(kit.ctx.settings, asked.msg);
        let answer = Answer { dialog: true, ..Answer::own(Status::OK) };
        write::respond_with(kit, asked.server, asked.origin, asked.msg, &answer, |writer| {
            terms.iter().for_each(|terms| terms.write(writer));
            packages.iter().for_each(|packages| _ = writer.header(Header::RecvInfo, packages));
        });
        if let Some(terms) = terms {
            side.timer.begin(kit.ctx, key, terms, Refresher::Uas);
        }
        true
    }

    /// RFC 4028 s7.3: the callee wants longer intervals, and gets what was asked again with such. False if that is no
    /// help.
    pub(super) fn retry_longer(
        &mut self,
        kit: &mut Kit<'_, '_>,
        desk: &mut Desk,
        key: CallKey,
        i: usize,
        msg: Message<'_>,
    ) -> bool {
        let Some(attempt) = self.attempts.get_mut(i) else { return false };
        let Some(min_se) = session_timer::longer(kit.ctx.settings, msg, attempt.min_se) else { return false };
        attempt.min_se = min_se;
        self.send_again(kit, desk, key, i)
    }
}

impl Side {
    /// A 2xx to a request of ours within the call, or to the first one, agrees anew.
    pub(super) fn agree_on_timer(
        &mut self,
        kit: &mut Kit<'_, '_>,
        key: CallKey,
        phase: Phase,
        msg: Message<'_>,
    ) {
        self.timer.hear_allow(msg);
        if let Some(terms) = self.timer.granted(kit.ctx.settings, msg).filter(|_| phase == Phase::Answered) {
            self.timer.begin(kit.ctx, key, terms, Refresher::Uac);
        }
    }
}

impl Link {
    /// Is there a request that a refresh of this side might cross?
    fn is_busy(&self, to: usize) -> bool {
        let crosses = |errand: &Errand| {
            matches!(errand.method, Method::Invite | Method::Update)
                && (errand.to == to || errand.relayed.is_some())
        };
        let side = &self.sides[to];
        side.due.is_some() || side.unacked.is_some() || self.errands.iter().any(crosses)
    }

    /// RFC 4028 s7.3: a side wants longer intervals, and is asked again with such. Gives the errand back if that is no
    /// help.
    pub(super) fn ask_longer(
        &mut self,
        kit: &mut Kit<'_, '_>,
        key: CallKey,
        mut errand: Errand,
        msg: Message<'_>,
    ) -> Option<Errand> {
        let to = errand.to;
        let crossing = self.crossing(to);
        let side = &mut self.sides[to];
        let known = side.timer.asks(kit.ctx.settings);
        let Some(min_se) = session_timer::longer(kit.ctx.settings, msg, known) else { return Some(errand) };
        let wanted = matches!(errand.state, State::Calling | State::Proceeding);
        let Some(relayed) = errand.relayed.as_ref().filter(|_| wanted && !side.over) else {
            return Some(errand);
        };
        side.timer.min_se = min_se;
        side.dialog.advance();
        let number = side.dialog.cseq();
        // It is the same once more.
        let body = relayed.held.message().body();
        let same = side.session.as_ref().and_then(|session| session.this(body));
        let from = Some((relayed.held.message(), crossing, same.as_deref().unwrap_or(body)));
        let sent = write::request(kit, side, errand.method, number, from)
            .and_then(|request| kit.send(errand.method, Usage::Call(key.to_bits()), request));
        let Some(client): Option<ClientKey> = sent else { return Some(errand) };
        (errand.client, errand.number, errand.state) = (client, number, State::Calling);
        self.errands.push(errand);
        None
    }
}

/// A request that asks for too little is refused (RFC 4028 s9).
pub(super) fn check(kit: &Kit<'_, '_>, msg: Message<'_>) -> Result<(), Refusal> {
    match msg.method() {
        Method::Invite | Method::Update => session_timer::refuse_if_brief(kit.ctx.settings, msg),
        _ => Ok(()),
    }
}
