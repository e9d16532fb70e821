//! One call of a peer.

use std::sync::Arc;

use strowger_core::door::{ReplyBody, UaCallRequest, UaCallStep, UaRequest, UaStep};

use super::{Inner, PeerError, sip};
use crate::queue::Receiver;

/// A call, made or coming in. Dropped it is hung up, or refused.
///
/// Session descriptions are the program's: what the other side says comes by [`next`](PeerCall::next).
#[derive(Debug)]
pub struct PeerCall {
    peer: Arc<Inner>,
    id: u64,
    invited: Invited,
    referred: Box<str>,
    steps: Receiver<UaStep>,
    status: Option<u16>,
}

/// What an INVITE says, or we do.
#[derive(Debug, Default)]
pub(super) struct Invited {
    pub(super) other: Box<str>,
    pub(super) display: Box<str>,
    pub(super) called: Box<str>,
    pub(super) diverted: Box<str>,
    pub(super) sdp: Box<[u8]>,
    /// The call of ours in whose place it comes.
    pub(super) replaces: Option<u64>,
}

impl PeerCall {
    pub(super) async fn begin(peer: &Arc<Inner>, to: String, offer: &[u8]) -> Result<PeerCall, PeerError> {
        let other: Box<str> = to.into();
        let request = UaCallRequest::Begin { to: other.clone(), sdp: offer.into() };
        match peer.ask(UaRequest::Call(request)).await? {
            ReplyBody::Begun(id) => {
                let invited = Invited { called: other.clone(), other, ..Invited::default() };
                Ok(PeerCall::known(peer, id, invited))
            }
            // The engine answers this with nothing else.
            _ => Err(PeerError::Closed),
        }
    }

    /// One that has a number.
    pub(super) fn known(peer: &Arc<Inner>, id: u64, invited: Invited) -> PeerCall {
        let (steps, referred) = (peer.desk.claim(id), Box::default());
        PeerCall { peer: peer.clone(), id, invited, referred, steps, status: None }
    }

    /// Its number, as [`Peer::view`](super::Peer::view) has it.
    pub fn id(&self) -> u64 {
        self.id
    }

    /// The URI of the other side.
    pub fn other(&self) -> &str {
        &self.invited.other
    }

    /// The URI that was called: ours, unless somebody sent the call on to us.
    pub fn called(&self) -> &str {
        &self.invited.called
    }

    /// Who sent the call on to us last, as the server says (Diversion, RFC 5806): the URI; `None` for nobody.
    pub fn diverted_by(&self) -> Option<&str> {
        Some(&*self.invited.diverted).filter(|by| !by.is_empty())
    }

    /// The name the caller shows; empty for none, and where we call.
    pub fn display(&self) -> &str {
        &self.invited.display
    }

    /// What the other side said last of the session: the offer of a call that came in.
    pub fn sdp(&self) -> &[u8] {
        &self.invited.sdp
    }

    /// The number of the call in whose place this one came (RFC 3891): when this is answered, that is hung up.
    pub fn replaces(&self) -> Option<u64> {
        self.invited.replaces
    }

    /// What happens next. `None` when it is over and everything was taken.
    pub async fn next(&mut self) -> Option<UaCallStep> {
        loop {
            let UaStep::Call { step, .. } = self.steps.recv().await? else { continue };
            match &step {
                UaCallStep::Established { sdp }
                | UaCallStep::Changed { sdp }
                | UaCallStep::Offered { sdp }
                | UaCallStep::Progress { sdp, .. }
                    if !sdp.is_empty() =>
                {
                    self.invited.sdp = sdp.clone();
                }
                UaCallStep::Referred { to, .. } => self.referred = to.clone(),
                UaCallStep::Ended { status, .. } => self.status = Some(*status),
                _ => {}
            }
            return Some(step);
        }
    }

    /// Waits until both sides know that it is answered: what the other side says of the session. What happens before is
    /// passed over.
    pub async fn answered(&mut self) -> Result<Box<[u8]>, PeerError> {
        loop {
            match self.next().await {
                Some(UaCallStep::Established { .. }) => return Ok(self.invited.sdp.clone()),
                Some(UaCallStep::Ended { status, .. }) => return Err(PeerError::Answered(status)),
                Some(_) => {}
                None => return Err(self.status.map_or(PeerError::Closed, PeerError::Answered)),
            }
        }
    }

    /// Waits until it is over: 200 if it was answered, else why not. What happens before is passed over.
    pub async fn ended(&mut self) -> u16 {
        while self.status.is_none() && self.next().await.is_some() {}
        self.status.unwrap_or(487)
    }

    /// Tells the caller that it rings.
    pub async fn ring(&self) -> Result<(), PeerError> {
        self.does(UaCallRequest::Ring { call: self.id, sdp: Box::default() }).await
    }

    /// Tells the caller that it rings, with media before it is answered.
    pub async fn early(&self, answer: impl AsRef<[u8]>) -> Result<(), PeerError> {
        self.does(UaCallRequest::Ring { call: self.id, sdp: answer.as_ref().into() }).await
    }

    /// Takes it, or an offer that changes it.
    pub async fn answer(&self, answer: impl AsRef<[u8]>) -> Result<(), PeerError> {
        self.does(UaCallRequest::Answer { call: self.id, sdp: answer.as_ref().into() }).await
    }

    /// Refuses it, or an offer that changes it.
    pub async fn reject(&self, status: u16) -> Result<(), PeerError> {
        self.does(UaCallRequest::Reject { call: self.id, status }).await
    }

    /// Offers another session, such as one on hold: `Changed` or `NotChanged` says what became of it.
    pub async fn change(&self, offer: impl AsRef<[u8]>) -> Result<(), PeerError> {
        self.does(UaCallRequest::Change { call: self.id, sdp: offer.as_ref().into() }).await
    }

    /// Sends a digit, by INFO.
    pub async fn digit(&self, digit: char) -> Result<(), PeerError> {
        self.does(UaCallRequest::Digit { call: self.id, digit, millis: 160 }).await
    }

    /// Passes the other side on to somebody. How that goes is told by `Transfer`; this call stays until it is hung up.
    pub async fn transfer(&self, to: impl AsRef<str>) -> Result<(), PeerError> {
        let to = sip(to.as_ref()).into();
        self.does(UaCallRequest::Transfer { call: self.id, to, replaces: None }).await
    }

    /// Passes the other side on to that of another call, in the place of this peer.
    pub async fn transfer_to(&self, other: &PeerCall) -> Result<(), PeerError> {
        let replaces = Some(other.id);
        self.does(UaCallRequest::Transfer { call: self.id, to: Box::default(), replaces }).await
    }

    /// Calls whom the other side has asked for by `Referred`, with this offer. The other side hears how that goes; this call
    /// stays until it is hung up.
    pub async fn follow(&self, offer: impl AsRef<[u8]>) -> Result<PeerCall, PeerError> {
        let request = UaCallRequest::Follow { call: self.id, sdp: offer.as_ref().into() };
        match self.peer.ask(UaRequest::Call(request)).await? {
            ReplyBody::Begun(id) => {
                let other = self.referred.clone();
                let invited = Invited { called: other.clone(), other, ..Invited::default() };
                Ok(PeerCall::known(&self.peer, id, invited))
            }
            // The engine answers this with nothing else.
            _ => Err(PeerError::Closed),
        }
    }

    /// Does not: 603 is no.
    pub async fn decline(&self, status: u16) -> Result<(), PeerError> {
        self.does(UaCallRequest::Decline { call: self.id, status }).await
    }

    /// Ends it, however far it is.
    pub async fn hang_up(&self) -> Result<(), PeerError> {
        self.does(UaCallRequest::HangUp { call: self.id }).await
    }

    async fn does(&self, request: UaCallRequest) -> Result<(), PeerError> {
        self.peer.ask(UaRequest::Call(request)).await.map(|_| ())
    }
}

impl Drop for PeerCall {
    fn drop(&mut self) {
        if self.status.is_none() {
            self.peer.order(UaRequest::Call(UaCallRequest::HangUp { call: self.id }));
        }
    }
}
