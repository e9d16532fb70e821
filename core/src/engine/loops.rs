//! What left us and comes back: RFC 3261 s16.3 step 4, RFC 5393 s4.2.
//!
//! Of what we send on only our own Via goes with it, at the bottom; proxies put theirs on top. When it comes back, its
//! branch names the request of ours that is under way, and that names what it was sent for. If that is what is asked for
//! now, it would go the same way again: 482. Anything else is a spiral and goes on, until Max-Forwards is used up. What was
//! sent for a request that had come back itself is followed to that one, so that a loop is found however many of our users
//! it leads over. A server that takes our Via off, as another B2BUA does, hides the loop from all but Max-Forwards.

use super::Engine;
use super::dispatch::Pass;
use super::messages::Sender;
use super::pending::{Parked, ParkedKey, Waits};
use super::resume::{essentials_of, pass_of};
use super::routes::Who;
use crate::bridge::CallKey;
use crate::config::AorBuf;
use crate::ctx::Refusal;
use crate::door::{Identity, Scheme};
use crate::messages::Purpose;
use crate::txn::{Usage, is_own_branch};
use crate::wire::{Message, Method, Status, Uri};

/// So often a request may have come back: what Max-Forwards allows at first (RFC 3261 s8.1.1.6).
const ROUNDS: usize = 70;

/// What decides where a request goes (RFC 5393 s4.2.1): for whom it is, and on whose permission.
#[derive(Clone, Copy)]
pub(super) struct Asks<'a> {
    uri: &'a str,
    from: &'a [u8],
    identity: &'a Identity,
    trunk: Option<u16>,
}

impl<'a> Asks<'a> {
    /// A call.
    pub(super) fn call(who: &'a Who) -> Asks<'a> {
        Asks { uri: &who.uri, from: who.aor.as_bytes(), identity: &who.identity, trunk: who.trunk }
    }

    /// A message to whom this URI names.
    pub(super) fn text(pass: &Pass<'a>, sender: &'a Sender, uri: &'a str) -> Asks<'a> {
        let Sender { identity, trunk, .. } = sender;
        Asks { uri, from: pass.ess.from.uri.raw(), identity, trunk: *trunk }
    }

    fn is(&self, other: &Asks<'_>) -> bool {
        let trusted = |asks: &Asks<'_>| matches!(asks.identity.scheme, Scheme::Trusted);
        self.trunk == other.trunk
            && trusted(self) == trusted(other)
            && self.identity.account == other.identity.account
            && self.from == other.from
            && match (Uri::parse(self.uri.as_bytes()), Uri::parse(other.uri.as_bytes())) {
                (Ok(one), Ok(two)) => one.equivalent(&two),
                _ => self.uri == other.uri,
            }
    }
}

impl Engine {
    /// Refuses what asks for the same as when it left us.
    pub(super) fn refuse_if_loop(&self, pass: &Pass<'_>, asks: &Asks<'_>) -> Result<(), Refusal> {
        let branch = if pass.ess.is_direct { pass.via.branch() } else { bottom(pass.msg) };
        match branch.filter(|branch| is_own_branch(branch)) {
            Some(branch) if self.is_loop(pass.method, asks, branch) => {
                Err(Refusal::plain(Status::LOOP_DETECTED))
            }
            _ => Ok(()),
        }
    }

    #[inline(never)]
    fn is_loop<'a>(&'a self, method: Method, asks: &Asks<'_>, mut branch: &'a [u8]) -> bool {
        for _ in 0..ROUNDS {
            let before = match self.rooms.txn.sent(branch, method) {
                Some(Usage::Call(bits)) => {
                    let key = CallKey::from_bits(bits);
                    if self.asked_by(key).is_some_and(|who| Asks::call(who).is(asks)) {
                        return true;
                    }
                    self.rooms.bridge.invite_of(key)
                }
                Some(Usage::Message(bits)) => match self.rooms.messages.purpose(bits) {
                    Purpose::Sender(request) => {
                        let parked = self.rooms.pending.get(ParkedKey::from_bits(request));
                        if parked.is_none_or(|parked| self.is_text(parked, asks)) {
                            return true;
                        }
                        parked.map(|parked| parked.held.message())
                    }
                    Purpose::Kept(aor) => return self.is_for(asks, &aor),
                    // Who sent it waits no longer.
                    Purpose::Nobody => return true,
                },
                _ => return false,
            };
            match before.and_then(bottom).filter(|branch| is_own_branch(branch)) {
                Some(before) => branch = before,
                None => return false,
            }
        }
        true
    }

    /// Is that what the message asks for that waits?
    fn is_text(&self, parked: &Parked, asks: &Asks<'_>) -> bool {
        let (Waits::Message { sender, .. }, Some(ess)) = (&parked.waits, essentials_of(parked)) else {
            return false;
        };
        let pass = pass_of(parked, &ess);
        self.written_to(&pass, sender).is_ok_and(|uri| Asks::text(&pass, sender, &uri).is(asks))
    }

    /// Is it for this user?
    fn is_for(&self, asks: &Asks<'_>, aor: &str) -> bool {
        let mut named = AorBuf::new();
        Uri::parse(asks.uri.as_bytes()).is_ok_and(|uri| {
            self.house.settings.domains.aor(&uri, &mut named) && named.as_slice() == aor.as_bytes()
        })
    }
}

/// The branch of the lowest Via: whoever made the request put it there.
fn bottom(msg: Message<'_>) -> Option<&[u8]> {
    msg.vias().last()?.ok()?.branch()
}
