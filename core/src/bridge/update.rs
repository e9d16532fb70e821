//! UPDATE with an offer, to a side that says it takes none. RFC 3311 s4, s5.1: it is sent to nobody whose Allow lacks it.
//!
//! | the call | the offer |
//! |---|---|
//! | is answered | goes on as INVITE; what comes of that is the answer to the UPDATE, and its 2xx is acknowledged here |
//! | is not | is refused with 488: an INVITE cannot be sent, and the session stays as it is (s5.2) |
//!
//! Whoever is asked by INVITE may take his time; who asked by UPDATE gets 504 before he gives up (RFC 4320 s4.2), and when the
//! other one agrees after all, he is asked back to the session there was.

use super::call::{Call, Errand, Link, Phase, Relayed};
use super::table::{self, Does, Heard, State};
use super::{CallKey, Kit, write};
use crate::ctx::{CallTimer, Refusal, Timer};
use crate::txn::Usage;
use crate::wire::{Message, Method, Status};

/// Of 64*T1, so many times T1 before who asked by UPDATE gives up.
const LEAD: u32 = 8;

impl Errand {
    /// What it carries on, as whoever asked for it knows it.
    pub(super) fn asked_by(&self) -> Method {
        self.relayed.as_ref().map_or(self.method, |relayed| relayed.held.message().method())
    }
}

impl Link {
    /// By which method a side is asked what another one asks by this request.
    pub(super) fn method_for(&self, phase: Phase, to: usize, msg: Message<'_>) -> Result<Method, Refusal> {
        let method = msg.method();
        let offers = method == Method::Update && !msg.body().is_empty();
        if !offers || !self.sides[to].timer.refuses_update {
            return Ok(method);
        }
        match phase {
            Phase::Answered => Ok(Method::Invite),
            Phase::Ringing | Phase::Over => {
                Err(Refusal::because(Status::NOT_ACCEPTABLE_HERE, "UPDATE Not Taken Before the Answer"))
            }
        }
    }
}

impl Call {
    /// A side has refused UPDATE without having said so before: it is asked by INVITE. Gives the request back if there is
    /// no way.
    pub(super) fn ask_by_invite(
        &mut self,
        kit: &mut Kit<'_, '_>,
        key: CallKey,
        (at, to): (usize, usize),
        relayed: Relayed,
    ) -> Option<Relayed> {
        let Some(link) = self.links.get_mut(at) else { return Some(relayed) };
        let crossing = link.crossing(kit.ctx.settings, to);
        let side = &mut link.sides[to];
        side.timer.refuses_update = true;
        side.timer.takes_update = false;
        side.dialog.advance();
        let number = side.dialog.cseq();
        // It is the same once more.
        let msg = relayed.held.message();
        let same = side.session.as_ref().and_then(|session| session.this(msg.body()));
        let from = Some((msg, crossing, same.as_deref().unwrap_or(msg.body())));
        let sent = write::request(kit, side, Method::Invite, number, from)
            .and_then(|request| kit.send(Method::Invite, Usage::Call(key.to_bits()), request));
        let Some(client) = sent else { return Some(relayed) };
        let (method, state) = (Method::Invite, State::Calling);
        link.errands.push(Errand { client, to, number, method, relayed: Some(relayed), state });
        self.arm_update(kit, key);
        None
    }

    /// Who asked by UPDATE is answered in time.
    pub(super) fn arm_update(&mut self, kit: &mut Kit<'_, '_>, key: CallKey) {
        let deadline = kit.ctx.now + kit.ctx.settings.timers.t1 * (64 - LEAD);
        kit.ctx.timers.disarm(self.timers.update);
        self.timers.update = kit.ctx.timers.arm(deadline, Timer::Call(key.to_bits(), CallTimer::Update));
    }

    /// He can wait no longer.
    pub(super) fn on_update_timer(&mut self, kit: &mut Kit<'_, '_>) {
        self.timers.update = Default::default();
        let is_late =
            |errand: &Errand| errand.method == Method::Invite && errand.asked_by() == Method::Update;
        let found = self.links.iter_mut().find_map(|link| {
            let at = link.errands.iter().position(is_late)?;
            Some((link, at))
        });
        let Some((link, at)) = found else { return };
        let Link { sides, errands, .. } = link;
        let Some(errand) = errands.get_mut(at) else { return };
        if let Some(relayed) = errand.relayed.take() {
            relayed.refuse(kit, Status::SERVER_TIMEOUT);
            sides[errand.to].refuse_sdp(relayed.held.message().body());
        }
        let (state, does) = table::next(errand.state, Heard::Halt);
        errand.state = state;
        if does == Does::Cancel {
            kit.txn.cancel(kit.ctx, errand.client, None);
        }
    }
}
