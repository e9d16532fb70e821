//! What a relay needs to know of calls: which session of media they are in, and who describes himself to whom. RFC 3264,
//! RFC 3261 s13.2.1.

use core::net::IpAddr;

use bytes::Bytes;

use super::{Bridge, CallKey, Desk, News, less, sdp};
use crate::ctx::Origin;
use crate::dialog::{Dialog, Replaces};
use crate::txn::{ClientKey, ServerKey};
use crate::wire::{Essentials, Held, Message, Method};

/// Is the body of a message a description of a session?
pub(crate) fn is_session(msg: Message<'_>) -> bool {
    !msg.body().is_empty() && sdp::is_sdp(msg.content_type().unwrap_or_default())
}

/// Who asks for a call, and what he describes.
#[derive(Clone, Debug)]
pub(crate) struct Describes {
    /// The session of media.
    pub(crate) session: u64,
    /// His tag.
    pub(crate) tag: Box<str>,
    /// Where he is.
    pub(crate) origin: Origin,
    /// His INVITE.
    pub(crate) invite: Held,
}

/// Whom what somebody says will be shown.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Shown {
    /// The caller; where both are.
    Caller { from: IpAddr, to: IpAddr },
    /// The one he talks to, who asked him to.
    Asker,
    /// That is to be seen.
    Unknown,
}

impl Desk {
    pub(super) fn enter_session(&mut self, session: u64) {
        if session != 0 {
            *self.by_session.entry(session).or_default() += 1;
        }
    }

    pub(super) fn leave_session(&mut self, session: u64) {
        if session != 0 {
            less(&mut self.by_session, &session);
            if !self.by_session.contains_key(&session) {
                self.news.push(News::Silent(session));
            }
        }
    }
}

impl Bridge {
    /// The session of media a call is in.
    pub(crate) fn session(&self, key: CallKey) -> Option<u64> {
        self.calls.get(key).map(|call| call.media).filter(|session| *session != 0)
    }

    /// What one call offers will be answered in the other.
    pub(super) fn share_session(&mut self, key: CallKey, with: CallKey) {
        let Some(session) = self.session(with) else { return };
        let Some(call) = self.calls.get_mut(key).filter(|call| call.media != session) else { return };
        let left = core::mem::replace(&mut call.media, session);
        call.was_in.extend((left != 0).then_some(left));
        self.desk.enter_session(session);
    }

    /// What names the dialog of a request, whether there is one or not.
    pub(crate) fn dialog_of(&self, ess: &Essentials<'_>) -> u64 {
        Dialog::hash_of(&self.desk.hash, ess)
    }

    /// The same of a response to an INVITE of ours. `None` if it is none, or makes no dialog.
    pub(crate) fn dialog_of_answer(&self, msg: Message<'_>) -> Option<u64> {
        let invites = msg.cseq().is_ok_and(|cseq| cseq.method == Method::Invite);
        let makes_one = invites && msg.status().is_some_and(|status| (101..300).contains(&status));
        let (own, theirs) = (msg.from().ok()?.tag()?, msg.to().ok()?.tag()?);
        makes_one.then_some(self.desk.hash.hash_parts(&[msg.call_id().ok()?, own, theirs]))
    }

    /// The session of media of the call in which somebody is to be replaced.
    pub(crate) fn session_of(&self, replaces: &Replaces) -> Option<u64> {
        self.named(replaces).and_then(|(key, ..)| self.session(key))
    }

    /// What the caller of a call offers, while it rings.
    pub(crate) fn offered(&self, key: CallKey) -> Option<Describes> {
        let session = self.session(key)?;
        let call = self.calls.get(key)?;
        let incoming = call.incoming.as_ref().filter(|_| call.invitation.is_none())?;
        let (tag, origin, invite) = (call.asker.tag.clone(), incoming.origin, incoming.held.clone());
        Some(Describes { session, tag, origin, invite })
    }

    /// What the caller offers is shown so.
    pub(crate) fn offer_instead(&mut self, key: CallKey, offer: &[u8]) {
        let incoming = self.calls.get_mut(key).and_then(|call| call.incoming.as_mut());
        if let Some(incoming) = incoming
            && let Some(held) = incoming.held.message().with_body(offer)
        {
            incoming.held = held;
        }
    }

    /// An ACK is there, and goes on when the relay has said what it describes: what it is for is not sent again (RFC 3261
    /// s13.3.1.4).
    pub(crate) fn ack_waits(&mut self, ess: &Essentials<'_>) {
        let call = self.find(ess).and_then(|key| self.calls.get_mut(key));
        let side = call.and_then(|call| {
            let (at, from) = call.find(ess)?;
            Some(&mut call.links.get_mut(at)?.sides[from])
        });
        if let Some(unacked) = side.and_then(|side| side.unacked.as_mut())
            && unacked.number == ess.cseq.number
        {
            unacked.payload = Bytes::new();
        }
    }

    /// An INVITE is there, and goes on when the relay has said what it describes: he is not asked anything meanwhile (RFC
    /// 3261 s14.1).
    pub(crate) fn invite_waits(&mut self, ess: &Essentials<'_>, server: ServerKey) {
        let call = self.find(ess).and_then(|key| self.calls.get_mut(key));
        if let Some(call) = call
            && let Some((at, from)) = call.find(ess)
            && let Some(link) = call.links.get_mut(at)
        {
            link.sides[from].waits = Some(server);
        }
    }

    /// Does a request of ours wait for its final response?
    pub(crate) fn is_open(&self, key: CallKey, client: ClientKey) -> bool {
        self.calls.get(key).is_some_and(|call| {
            let mut errands = call.links.iter().flat_map(|link| &link.errands);
            call.attempts.iter().any(|attempt| attempt.client == client && attempt.state.is_open())
                || errands.any(|errand| errand.client == client)
        })
    }

    /// Where an INVITE of ours went.
    pub(crate) fn asked_at(&self, key: CallKey, client: ClientKey) -> Option<IpAddr> {
        let attempts = &self.calls.get(key)?.attempts;
        attempts.iter().find(|attempt| attempt.client == client).map(|attempt| attempt.hop.to.remote.ip())
    }

    /// Whom the answer to a request of ours will be shown.
    pub(crate) fn shown_to(&self, key: CallKey, client: ClientKey) -> Shown {
        let Some(call) = self.calls.get(key) else { return Shown::Unknown };
        let incoming = call.incoming.as_ref().filter(|_| call.invitation.is_none());
        let attempt = call.attempts.iter().find(|attempt| attempt.client == client);
        if let (Some(incoming), Some(attempt)) = (incoming, attempt) {
            return Shown::Caller { from: attempt.hop.to.remote.ip(), to: incoming.origin.remote.ip() };
        }
        let mut errands = call.links.iter().flat_map(|link| &link.errands);
        match errands.any(|errand| errand.client == client && errand.relayed.is_some()) {
            true => Shown::Asker,
            false => Shown::Unknown,
        }
    }
}
