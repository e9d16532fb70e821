//! What each side of a call is sent to acknowledge and to end it: ACK of a 2xx, again for each that comes again, and BYE.
//! RFC 3261 s13.2.2.4, s15.

use bytes::Bytes;

use super::Kit;
use super::call::Side;
use super::sdp::{self, Session};
use super::write;
use crate::dialog::{Addressed, Crossing, Dialog};
use crate::stats::Counter;
use crate::txn::{self, ClientKey, Usage};
use crate::wire::{Message, Method};

/// A 2xx to an INVITE of ours that nobody waits for: it is acknowledged, and its dialog ended (RFC 3261 s13.2.2.4). All
/// that is needed is in it.
pub(super) fn dismiss(kit: &mut Kit<'_, '_>, client: ClientKey, status: u16, msg: Message<'_>) {
    let invite = msg.cseq().is_ok_and(|cseq| cseq.method == Method::Invite);
    if !invite || !(200..300).contains(&status) {
        return;
    }
    let Some(to) = kit.txn.sent_to(client) else { return };
    let Some(dialog) = Dialog::of_answer(kit.ctx, &to, msg) else { return };
    let number = dialog.cseq();
    let offered = kit.txn.is_bare(client).then(|| msg.body().into());
    let mut side = Side { due: Some(number), offered, over: false, ..Side::absent(dialog) };
    side.acknowledge(kit, None);
    // One that comes again, also after its call has ended, has had its BYE or another end.
    if kit.txn.accepted(client, side.dialog.their_tag()) {
        kit.ctx.stats.count(Counter::CallsDismissed);
        // RFC 3261 s12.2.1.1: what was sent before it was answered has taken the next numbers.
        let spent = kit.txn.spent(client, side.dialog.their_tag());
        (0..spent).for_each(|_| side.dialog.advance());
        side.bye_and_forget(kit);
    }
}

impl Side {
    /// It was sent this, and agreed; nothing if it says nothing.
    pub(super) fn keep_sdp(&mut self, body: &[u8]) {
        let own = self.session.as_ref().and_then(|session| session.this(body));
        let body = own.as_deref().unwrap_or(body);
        if !body.is_empty() && *self.sdp != *body {
            self.sdp = body.into();
        }
    }

    /// It was sent this, and refused it: what it is sent next is another version all the same (RFC 3264 s8).
    pub(super) fn refuse_sdp(&mut self, body: &[u8]) {
        if self.session.is_none() && !body.is_empty() {
            let shown = Session::of(&self.sdp).map_or(0, |session| session.version_of(body));
            self.refused = self.refused.max(shown);
        }
    }

    /// Sends the ACK that is due, with what the other side's carries.
    pub(super) fn acknowledge(&mut self, kit: &mut Kit<'_, '_>, from: Option<(Message<'_>, Crossing)>) {
        let offered = self.offered.take();
        // Nobody else answers what he offered: nobody wants it.
        let unanswered = from.is_none_or(|(msg, _)| msg.body().is_empty());
        if let Some(offered) = offered.filter(|offer| unanswered && !offer.is_empty()) {
            return self.acknowledge_with(kit, b"application/sdp", &sdp::declined(&offered));
        }
        let Some(number) = self.due.take() else { return };
        let changed = from.and_then(|(msg, _)| self.change(msg.body()));
        let from = from.map(|(msg, crossing)| (msg, crossing, changed.as_deref().unwrap_or(msg.body())));
        if let Some((payload, addressed)) = write::request(kit, self, Method::Ack, number, from) {
            self.ack = Some(Box::new((number, addressed.to, payload[..].into())));
            txn::send_to(kit.ctx, &addressed.to, payload);
        }
    }

    /// The same with a body of our own choice.
    pub(super) fn acknowledge_with(&mut self, kit: &mut Kit<'_, '_>, kind: &[u8], body: &[u8]) {
        let Some(number) = self.due.take() else { return };
        self.offered = None;
        if let Some((payload, addressed)) = write::own(kit, self, Method::Ack, number, Some((kind, body))) {
            self.ack = Some(Box::new((number, addressed.to, payload[..].into())));
            txn::send_to(kit.ctx, &addressed.to, payload);
        }
    }

    /// It is sent this session description: as the next one of its session, if that is not the one of the other side.
    pub(super) fn change(&mut self, body: &[u8]) -> Option<Vec<u8>> {
        if body.is_empty() {
            return None;
        }
        // RFC 3264 s8: a relay may say of the same version what it did not say before, or not be there any more.
        if self.session.is_none() && sdp::is_told_otherwise(&self.sdp, body) {
            self.keep_session();
        }
        self.session.as_mut()?.next(body)
    }

    /// What it is sent from now on comes from somebody else: it stays the session it was (RFC 3264 s8).
    pub(super) fn keep_session(&mut self) {
        if self.session.is_none() {
            self.session = Session::of(&self.sdp).map(|session| Box::new(session.after(self.refused)));
        }
    }

    /// A 2xx came again: so does its ACK, unless that is still waited for.
    /// False if it is one that nobody waits for.
    pub(super) fn acknowledge_again(&self, kit: &mut Kit<'_, '_>, msg: Message<'_>) -> bool {
        let answered = msg.cseq().map(|cseq| cseq.number).unwrap_or_default();
        match self.ack.as_deref() {
            Some((number, to, payload)) if *number == answered => {
                kit.ctx.stats.count(Counter::Resent);
                txn::send_to(kit.ctx, to, Bytes::copy_from_slice(payload));
                true
            }
            _ => self.due == Some(answered),
        }
    }

    /// He is to go: the BYE that takes the next number, if there is a way.
    pub(super) fn bye(
        &mut self,
        kit: &mut Kit<'_, '_>,
        from: Option<(Message<'_>, Crossing)>,
    ) -> Option<(Bytes, Addressed)> {
        self.over = true;
        self.dialog.advance();
        let number = self.dialog.cseq();
        let from = from.map(|(msg, crossing)| (msg, crossing, msg.body()));
        write::request(kit, self, Method::Bye, number, from)
    }

    /// The same for one of whom nothing is kept: whatever he answers changes nothing.
    pub(super) fn bye_and_forget(&mut self, kit: &mut Kit<'_, '_>) {
        if let Some(bye) = self.bye(kit, None) {
            let _ = kit.send(Method::Bye, Usage::Nothing, bye);
        }
    }
}
