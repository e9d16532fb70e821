//! Refreshes of each leg for itself: ours when it is our turn, and what is done when nobody refreshes. RFC 4028 s7 to s10.

use core::time::Duration;

use super::call::{Call, Errand, Link, Phase, Side};
use super::table::State;
use super::write::{self, Answer};
use super::{Asked, CallKey, Desk, Kit};
use crate::ctx::{CallTimer, Refusal, Timer};
use crate::dialog::session_timer::{self, Next, Refresher};
use crate::door::CallEnd;
use crate::txn::{ClientKey, Usage};
use crate::wire::{Header, Message, Method, Status};

/// Something else is under way on the leg: this long.
const SOON: Duration = Duration::from_secs(2);

/// The session timers of a call.
pub(super) fn wake(key: CallKey) -> Timer {
    Timer::Call(key.to_bits(), CallTimer::Session)
}

impl Call {
    /// Something is due on a leg.
    pub(super) fn on_session_timer(&mut self, kit: &mut Kit<'_, '_>, desk: &mut Desk, key: CallKey) {
        for at in 0..self.links.len() {
            for to in 0..2 {
                let Some(link) = self.links.get_mut(at).filter(|_| self.phase == Phase::Answered) else {
                    return;
                };
                let busy = link.sides[to].has_asked(kit) || link.is_busy(to);
                let side = &mut link.sides[to];
                if side.over || side.timer.due.is_none_or(|due| due > kit.ctx.now) {
                    continue;
                }
                side.timer.due = None;
                let ends = side.timer.ends.is_some_and(|ends| ends <= kit.ctx.now);
                match () {
                    // RFC 4028 s10.
                    _ if ends || !side.timer.ours => return self.end(kit, desk, key, None, CallEnd::Lost),
                    _ if busy => side.timer.postpone(kit.ctx, wake(key), SOON),
                    _ => self.refresh(kit, key, (at, to)),
                }
            }
        }
    }

    /// Refreshes a leg.
    fn refresh(&mut self, kit: &mut Kit<'_, '_>, key: CallKey, (at, to): (usize, usize)) {
        let Some(link) = self.links.get_mut(at) else { return };
        let side = &mut link.sides[to];
        let method = side.timer.refresh(kit.ctx, wake(key), !side.sdp.is_empty());
        side.dialog.advance();
        let number = side.dialog.cseq();
        let body = if method == Method::Invite { side.sdp.clone() } else { Box::default() };
        let sent = write::request_own(kit, side, method, number, &body);
        let client = sent.and_then(|sent| link.send(kit, key, (to, method, number), sent, None));
        let timer = &mut link.sides[to].timer;
        match client {
            Some(client) => timer.refreshing = Some(client),
            None => timer.put_off(kit.ctx, wake(key)),
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
        if (200..300).contains(&status) {
            if errand.method == Method::Invite {
                side.due = Some(errand.number);
                side.acknowledge(kit, None);
            }
            return;
        }
        let went = (errand.method, !side.sdp.is_empty());
        // What ends a call is done for each request of it alike.
        if side.timer.refused(kit.ctx, wake(key), went, (status, msg)) == Next::Again {
            self.refresh(kit, key, (at, to));
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
            side.timer.begin(kit.ctx, wake(key), terms, Refresher::Uas);
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
            self.timer.begin(kit.ctx, wake(key), terms, Refresher::Uac);
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
        let crossing = self.crossing(kit.ctx.settings, to);
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
