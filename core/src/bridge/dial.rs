//! Calls that the host begins: RFC 3725 s4.3, flow III.
//!
//! | | |
//! |---|---|
//! | 1 | INVITE without an offer to the first one |
//! | 2 | his 2xx offers: ACK that takes the media and sends none, to nowhere |
//! | 3 | the second one is called as if the first one had been transferred to him (`refer`): INVITE without an offer |
//! | 4 | its 2xx offers: INVITE with that offer to the first one; his 2xx answers: ACK to both |
//!
//! Flow I would leave the first one without his ACK as long as the second one rings, which RFC 3725 s5 allows for machines
//! alone; flow IV asks phones to ring for a session without media, which not all do. Until step 3 it is one call, then the
//! one with the second one has its number and its record; that of the first leg ends unseen, as after any transfer.

use core::net::SocketAddr;
use core::time::Duration;

use super::call::{Call, Link, Phase, Side};
use super::refer::{Invitation, Transfer};
use super::{Asker, Bridge, CallKey, Desk, Kit, News, sdp};
use crate::base::text::owned;
use crate::ctx::{CallTimer, Timer};
use crate::door::{CallEnd, CallRecord, Identity, Scheme};
use crate::txn::ClientKey;
use crate::wire::{Message, Status};

/// One of two who are to be connected.
#[derive(Clone, Debug)]
pub(crate) struct Party {
    /// An AoR, a number, or what else records call him.
    pub(crate) name: Box<str>,
    /// His URI.
    pub(crate) uri: Box<str>,
}

impl Bridge {
    /// The host begins a call, which waits for [`ring`](Self::ring) with those who may be the first one. `None` if there is no
    /// room.
    pub(crate) fn dial(
        &mut self,
        kit: &mut Kit<'_, '_>,
        caller: Party,
        callee: Party,
    ) -> Option<(CallKey, u64)> {
        let settings = kit.ctx.settings.clone();
        if self.calls.len() >= settings.limits.calls {
            return None;
        }
        self.desk.began += 1;
        let id = self.desk.began;
        let parties = [caller.name.clone(), callee.name.clone()];
        let nowhere = SocketAddr::from(([0, 0, 0, 0], 0));
        let record = Box::new(CallRecord::begun(id, kit.ctx.now, nowhere, Box::default(), parties));
        let asker = Asker {
            aor: callee.name,
            ours: false,
            uri: callee.uri.clone(),
            display: Box::default(),
            tag: Box::default(),
            identity: Identity::nobody(Scheme::None),
            trusted: false,
            trunk: None,
        };
        let key = self.desk.enter(&mut self.calls, kit.ctx, asker, caller.name, record);
        let life = settings.calls.as_ref().map_or(Duration::ZERO, |calls| calls.ring_timeout);
        if let Some(call) = self.calls.get_mut(key) {
            call.invitation = Some(Box::new(Invitation {
                serves: None,
                from: callee.uri,
                to: caller.uri,
                referred_by: Box::default(),
                replaces: None,
            }));
            let timer = Timer::Call(key.to_bits(), CallTimer::Life);
            call.timers.life = kit.ctx.timers.arm(kit.ctx.now + life, timer);
        }
        Some((key, id))
    }
}

impl Call {
    /// The host began it, and the second one was not called yet, or waits for the first.
    pub(super) fn is_dialled(&self) -> bool {
        let first = self.invitation.as_ref().is_some_and(|invitation| invitation.serves.is_none());
        first || self.transfer.as_ref().is_some_and(|transfer| transfer.is_by_host())
    }

    /// The first one has answered, and offers: he hears nothing until the second one does.
    pub(super) fn first_answers(
        &mut self,
        kit: &mut Kit<'_, '_>,
        desk: &mut Desk,
        key: CallKey,
        (client, mut first): (ClientKey, Side),
        msg: Message<'_>,
    ) {
        let Some(invitation) = self.invitation.take() else { return };
        kit.txn.accepted(client, first.dialog.their_tag());
        desk.enlist(key, &first.dialog);
        let offer = msg.body();
        let held = sdp::held(offer);
        first.acknowledge_with(kit, b"application/sdp", if offer.is_empty() { b"" } else { &held });
        first.keep_sdp(&held);
        let absent = Side::absent(first.dialog.clone());
        self.links.push(Link { sides: [first, absent], errands: Vec::new(), client, early: None });
        self.tell_taken(kit.ctx, desk, client);
        self.phase = Phase::Answered;
        self.queue.clear();
        self.record.call_id = owned(msg.call_id().unwrap_or_default());
        self.timers.stop_ringing(kit.ctx);
        let longest = kit.ctx.settings.calls.as_ref().map_or(Duration::ZERO, |calls| calls.max_duration);
        let timer = Timer::Call(key.to_bits(), CallTimer::Life);
        self.timers.life = kit.ctx.timers.arm(kit.ctx.now + longest, timer);
        // RFC 3261 s13.2.1: a 2xx to an INVITE without an offer has one.
        if offer.is_empty() {
            self.record.status = Status::NOT_ACCEPTABLE_HERE.0;
            return self.end(kit, desk, key, None, CallEnd::Failed);
        }
        self.transfer = Some(Box::new(Transfer::by_host(invitation.from)));
        desk.news.push(News::Refer(key));
    }

    /// Of what goes on as the call of its two, with its number: what this one has is told to nobody any more.
    pub(super) fn hand_over_record(&self) -> Box<CallRecord> {
        self.record.clone()
    }
}
