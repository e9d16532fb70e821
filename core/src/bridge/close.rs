//! What a caller who waits is told in the end, and what that ends: RFC 3261 s9.2, s16.7, s21.3.3, DECISIONS 3.

use super::call::{CALLEE, CALLER, Call, Phase};
use super::refer::Inner;
use super::write::{self, Answer};
use super::{Bridge, CallKey, Desk, Kit};
use crate::base::text::owned;
use crate::dialog::{Crossing, Names};
use crate::door::CallEnd;
use crate::txn::ServerKey;
use crate::wire::{ContactValue, Header, Message, Status, StatusLine};

impl Bridge {
    /// Does a caller wait, with nobody left who may answer? So it is when [`News::Exhausted`](super::News) says so, and until
    /// something else happens to the call.
    pub(crate) fn is_exhausted(&self, key: CallKey) -> bool {
        self.calls.get(key).is_none_or(|call| {
            call.phase == Phase::Ringing && !call.is_trying() && !call.is_decided() && call.queue.is_empty()
        })
    }

    /// Where those who were tried say that the callee is (3xx), and their priority in thousandths; that counts as said
    /// then.
    pub(crate) fn redirected(&mut self, key: CallKey) -> Option<Vec<(Box<str>, u16)>> {
        let best = &mut self.calls.get_mut(key)?.best;
        best.as_ref().filter(|best| (300..400).contains(&best.status))?;
        let held = best.take()?.held?;
        let contacts = held.message().contacts().filter_map(|contact| match contact.ok()? {
            ContactValue::Star => None,
            value @ ContactValue::Addr(addr) => Some((owned(addr.uri.raw()), value.q().unwrap_or(1000))),
        });
        Some(contacts.collect())
    }
}

impl Call {
    /// The caller gets the best response there was, or this one.
    pub(super) fn refuse<'l>(
        &mut self,
        kit: &mut Kit<'_, '_>,
        desk: &mut Desk,
        fallback: impl Into<StatusLine<'l>>,
    ) {
        let best = self.best.take();
        let line = best.as_ref().map_or(fallback.into(), |best| Status(told(best.status)).into());
        let house = self.asker.ours && self.asker.trunk.is_none();
        let local = house && best.as_ref().is_some_and(|best| best.local);
        let from = best.as_ref().and_then(|best| best.held.as_ref());
        self.close(kit, desk, line, from.map(|held| (held.message(), local)));
        self.halt(kit, None, None);
        self.tell_end(kit.ctx, desk);
    }

    /// The caller is told to call these instead (RFC 3261 s21.3.3).
    pub(super) fn redirect(&mut self, kit: &mut Kit<'_, '_>, desk: &mut Desk, to: &[Box<str>]) {
        let Some(incoming) = self.incoming.as_ref() else {
            return self.refuse(kit, desk, Status::TEMPORARILY_UNAVAILABLE);
        };
        let (server, origin, held) = (incoming.server, &incoming.origin, incoming.held.message());
        let answer = Answer { tag: &incoming.tag, ..Answer::own(Status::MOVED_TEMPORARILY) };
        write::respond_with(kit, server, origin, held, &answer, |writer| {
            writer.list(Header::Contact, to.iter().map(|uri| format!("<{uri}>")));
        });
        desk.servers.remove(&server);
        self.incoming = None;
        self.close(kit, desk, Status::MOVED_TEMPORARILY.into(), None);
        self.tell_end(kit.ctx, desk);
    }

    /// The final response to the caller, with what is said in another one, be it between users of ours; and the end of what
    /// he waited for.
    fn close(
        &mut self,
        kit: &mut Kit<'_, '_>,
        desk: &mut Desk,
        line: StatusLine<'_>,
        from: Option<(Message<'_>, bool)>,
    ) {
        let status = line.status().0;
        if self.phase == Phase::Over {
            return;
        }
        self.drop_accepted(kit);
        let picked = self.picked.is_some();
        self.drop_picker(kit);
        self.end_succession(desk, status);
        if let Some(incoming) = self.incoming.take() {
            desk.servers.remove(&incoming.server);
            // What goes with a status that is not passed on says nothing of the one that is.
            let from = from.filter(|(msg, _)| msg.status() == Some(status));
            let from = from.map(|(msg, local)| (msg, Crossing { trusted: false, names: Names::None, local }));
            let body = from.map_or(&b""[..], |(msg, _)| msg.body());
            let answer = Answer { line, tag: &incoming.tag, dialog: false, from, body };
            write::respond(kit, incoming.server, &incoming.origin, incoming.held.message(), &answer);
        }
        if let Some(serves) = self.invitation.take().and_then(|invitation| invitation.serves) {
            desk.inner.push_back(Inner::Failed(serves, status));
        }
        self.record.status = status;
        self.phase = Phase::Over;
        self.record.ended = kit.ctx.now;
        self.queue.clear();
        self.timers.stop_ringing(kit.ctx);
        for link in &mut self.links {
            link.sides[CALLER].over = true;
            link.sides[CALLEE].over |= !picked;
            for relayed in link.errands.extract_if(.., |errand| errand.relayed.is_some() || !picked) {
                relayed.relayed.into_iter().for_each(|relayed| relayed.refuse(kit, Status::NO_TRANSACTION));
            }
        }
    }

    /// RFC 3261 s9.2: the INVITE ends with 487.
    pub(super) fn on_cancel(
        &mut self,
        kit: &mut Kit<'_, '_>,
        desk: &mut Desk,
        server: ServerKey,
        cancel: Message<'_>,
    ) {
        if self.incoming.as_ref().is_none_or(|incoming| incoming.server != server) {
            return self.cancel_errand(kit, server);
        }
        self.record.end = CallEnd::Cancelled;
        self.close(kit, desk, Status::REQUEST_TERMINATED.into(), None);
        // RFC 3326: why, if he says.
        let reason = cancel.header(Header::Reason).and_then(|reason| core::str::from_utf8(reason).ok());
        self.halt(kit, None, reason);
        self.tell_end(kit.ctx, desk);
    }
}

/// What the caller is told of it: credentials are asked of us, not of him (DECISIONS 3); that one machine is overloaded
/// is not his business (RFC 3261 s16.7 step 6); where somebody else may be found is for us to know.
fn told(status: u16) -> u16 {
    match status {
        401 | 407 => Status::FORBIDDEN.0,
        422 => Status::SERVER_ERROR.0,
        503 => Status::SERVER_ERROR.0,
        300..=399 => Status::TEMPORARILY_UNAVAILABLE.0,
        status => status,
    }
}
