//! One offer at a time: RFC 3264 s4, RFC 3261 s14.2, RFC 3311 s5.2, RFC 6337 s2.
//!
//! | a side sends | while | it gets |
//! |---|---|---|
//! | UPDATE | its last UPDATE has no answer | 500, Retry-After |
//! | INVITE, or UPDATE with an offer | an INVITE or an offer of its own has no answer | 500, Retry-After |
//! | the same | an INVITE or an offer went to it that it did not answer | 491 |
//! | the same | an INVITE of ours is open on one of the legs | 491 |
//! | the same | the other side has a 2xx that it did not acknowledge | 491 |

use super::Kit;
use super::call::{CALLEE, CALLER, Errand, Link, Phase};
use super::reliable::Deal;
use crate::base::ids::IdKind;
use crate::ctx::{Extra, Refusal};
use crate::wire::{Message, Method, Status};

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
            || self.sides[from].due.is_some()
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
