//! One offer at a time: RFC 3264 s4, RFC 3261 s14.2, RFC 3311 s5.2, RFC 6337 s2.
//!
//! | a side sends | while | it gets |
//! |---|---|---|
//! | UPDATE | its last UPDATE has no answer | 500, Retry-After |
//! | INVITE, or UPDATE with an offer | an INVITE or an offer of its own has no answer | 500, Retry-After |
//! | the same | an INVITE or an offer went to it that it did not answer | 491 |
//! | the same | an INVITE of ours is open on one of the legs, or its 2xx has no ACK yet | 491 |
//! | the same | the other side has a 2xx that it did not acknowledge | 491 |
//!
//! We ask neither side while any of this is open.

use super::call::{CALLEE, CALLER, Call, Errand, Link, Phase, Side};
use super::reliable::Deal;
use super::{Bridge, CallKey, Kit, sdp, write};
use crate::base::ids::IdKind;
use crate::ctx::{Extra, Refusal};
use crate::txn::ClientKey;
use crate::wire::{Essentials, Message, Method, Status};

impl Link {
    /// The table above.
    pub(super) fn refuse_offer(
        &self,
        kit: &mut Kit<'_, '_>,
        phase: Phase,
        from: usize,
        msg: Message<'_>,
    ) -> Result<(), Refusal> {
        let crossed = Err(Refusal::plain(Status::REQUEST_PENDING));
        let update = msg.method() == Method::Update;
        if !update && msg.method() != Method::Invite {
            return Ok(());
        }
        let last = |e: &Errand| e.method == Method::Update && e.to != from && e.relayed.is_some();
        if update && self.errands.iter().any(last) {
            return Err(too_soon(kit));
        }
        if update && msg.body().is_empty() {
            return Ok(());
        }
        // Theirs, as far as it is known: what waits for the answer of the initial INVITE.
        let early = self.early.as_ref().filter(|_| phase == Phase::Ringing);
        let first = match early.map(|early| early.deal) {
            Some(_) if !update => Some(CALLER),
            Some(Deal::Offered(side)) => Some(side),
            Some(Deal::Open) => Some(1 - from),
            Some(Deal::Made) | None => None,
        };
        // RFC 3311 s5.1: the callee has not heard that its answer is there.
        let untold = from == CALLEE && early.is_some_and(|early| early.is_told());
        let mut open = self.errands.iter().filter(|errand| asks(errand));
        if first == Some(1 - from)
            || untold
            || self.sides[1 - from].has_asked(kit)
            || self.sides.iter().any(|side| side.due.is_some())
            || open.any(|errand| errand.to == from || errand.relayed.is_none())
        {
            return crossed;
        }
        if first == Some(from)
            || self.sides[from].unacked.is_some()
            || self.errands.iter().any(|errand| asks(errand) && errand.to != from)
        {
            return Err(too_soon(kit));
        }
        if self.sides[1 - from].unacked.is_some() {
            return crossed;
        }
        Ok(())
    }
}

impl Bridge {
    /// Has who sends this made an offer in that dialog that has no answer?
    pub(crate) fn has_offered(&self, key: CallKey, ess: &Essentials<'_>) -> bool {
        let Some(call) = self.calls.get(key) else { return false };
        let Some((at, from)) = call.find(ess) else { return false };
        call.links.get(at).is_some_and(|link| link.errands.iter().any(|e| asks(e) && e.to != from))
    }
}

impl Side {
    /// An INVITE of his went to a relay, and has no final response yet.
    pub(super) fn has_asked(&self, kit: &Kit<'_, '_>) -> bool {
        self.waits.is_some_and(|server| kit.txn.is_pending_invite(server))
    }
}

impl Call {
    /// A new INVITE of our own to one side, with an offer or to ask for one. `None` if one, or an offer, is under way.
    pub(super) fn invite_side(
        &mut self,
        kit: &mut Kit<'_, '_>,
        key: CallKey,
        to: usize,
        body: Option<(&[u8], &[u8])>,
    ) -> Option<ClientKey> {
        let link = self.links.first_mut()?;
        // RFC 3261 s14.1: neither while one is on its way in the other direction, be it to the relay.
        let open = link.sides[to].has_asked(kit) || link.errands.iter().any(asks);
        let busy = link.sides.iter().any(|side| side.unacked.is_some() || side.due.is_some());
        let side = &mut link.sides[to];
        if open || busy || side.over {
            return None;
        }
        side.keep_session();
        let padded =
            body.filter(|(kind, _)| sdp::is_sdp(kind)).and_then(|(_, body)| sdp::padded(body, &side.sdp));
        let body = body.map(|(kind, body)| (kind, padded.as_deref().unwrap_or(body)));
        side.dialog.advance();
        let number = side.dialog.cseq();
        let invite = write::own(kit, side, Method::Invite, number, body)?;
        link.send(kit, key, (to, Method::Invite, number), invite, None)
    }
}

/// Is there an offer in it, or will there be one in its answer?
fn asks(errand: &Errand) -> bool {
    let carries = || errand.relayed.as_ref().is_some_and(|relayed| !relayed.held.message().body().is_empty());
    match errand.method {
        Method::Invite => true,
        Method::Update | Method::Prack => carries(),
        _ => false,
    }
}

/// RFC 3261 s14.2: between 0 and 10 seconds.
fn too_soon(kit: &mut Kit<'_, '_>) -> Refusal {
    let wait = kit.ctx.ids.below(IdKind::Jitter, 10) as u32;
    Refusal::with(Status::SERVER_ERROR, Extra::RetryAfter(wait))
}
