//! Where the parties of a call stand, for who watches them: RFC 4235 s3.7.

use std::sync::Arc;

use smallvec::SmallVec;

use super::Desk;
use super::call::{Asker, CALLEE, CALLER, Call, Phase, Taken};
use crate::base::text::owned;
use crate::ctx::{CallNames, CallPhase, CallState, Ctx};
use crate::documents::dialog_info::DialogEvent;
use crate::door::CallEnd;
use crate::txn::ClientKey;
use crate::wire::NameAddr;

/// Sides of one call are numbered from its number times this: the caller, then everybody who was tried.
const SIDES: u64 = 1 << 16;

impl Call {
    /// The caller stands elsewhere.
    pub(super) fn tell_caller(&mut self, ctx: &Ctx<'_>, desk: &mut Desk, state: CallPhase) {
        if !self.asker.ours {
            return;
        }
        let dialog = self.links.first().map(|link| &link.sides[CALLER].dialog);
        let own_tag = dialog.map(|dialog| dialog.own_tag()).unwrap_or_default();
        let call_id = dialog.map_or(self.record.call_id.as_bytes(), |dialog| dialog.call_id());
        let names = match &self.names {
            Some(names) if names.remote_tag().as_bytes() == own_tag => names.clone(),
            _ => {
                let scheme: &[u8] = if self.record.callee.contains(':') { b"" } else { b"sip:" };
                let mut callee: SmallVec<[u8; 64]> = SmallVec::from_slice(scheme);
                callee.extend_from_slice(self.record.callee.as_bytes());
                let Asker { aor, tag, .. } = &self.asker;
                let tags = [tag.as_bytes(), own_tag];
                let names = Arc::new(CallNames::new(aor.as_bytes(), [&callee, b""], call_id, tags));
                self.names.insert(names).clone()
            }
        };
        let (id, since) = (self.record.id * SIDES, ctx.now);
        desk.told.push_back(CallState { id, names, initiator: true, state, since });
    }

    /// Who is called by this attempt stands elsewhere.
    pub(super) fn tell_callee(&mut self, ctx: &Ctx<'_>, desk: &mut Desk, i: usize, state: CallPhase) {
        let Some(attempt) = self.attempts.get_mut(i).filter(|attempt| attempt.hop.local) else { return };
        let over = matches!(state, CallPhase::Terminated { .. });
        if over && !attempt.shown {
            return;
        }
        attempt.shown = !over;
        let mut sides = self.links.iter().filter(|link| link.client == attempt.client);
        let peer = sides.next().map(|link| link.sides[CALLEE].dialog.their_tag());
        let their_tag = peer.unwrap_or_default();
        let names = match &attempt.names {
            Some(names) if names.local_tag().as_bytes() == their_tag => names.clone(),
            _ => {
                let remote = [self.asker.uri.as_bytes(), self.asker.display.as_bytes()];
                let (call_id, tags) = (attempt.base.call_id(), [their_tag, attempt.base.own_tag()]);
                let names = CallNames::new(attempt.hop.target.as_bytes(), remote, call_id, tags);
                attempt.names.insert(Arc::new(names)).clone()
            }
        };
        let leg = attempt.leg;
        let id = self.side_of(leg);
        desk.told.push_back(CallState { id, names, initiator: false, state, since: ctx.now });
    }

    /// Who is the callee now was not called: he talks by this leg of the record.
    pub(super) fn tell_joined(&mut self, ctx: &Ctx<'_>, desk: &mut Desk, leg: usize, initiator: bool) {
        let side = self.links.first().map(|link| &link.sides[CALLEE]).filter(|side| side.local);
        let Some(side) = side else { return };
        let remote = [self.asker.uri.as_bytes(), self.asker.display.as_bytes()];
        let (dialog, aor) = (&side.dialog, side.aor.as_bytes());
        let tags = [dialog.their_tag(), dialog.own_tag()];
        let names = Arc::new(CallNames::new(aor, remote, dialog.call_id(), tags));
        let (id, state) = (self.side_of(leg), CallPhase::Confirmed);
        desk.told.push_back(CallState { id, names: names.clone(), initiator, state, since: ctx.now });
        self.taken = Some(Taken { leg, names, initiator });
    }

    /// A side of the answered call leaves it to somebody else, who comes from another one.
    pub(super) fn tell_left(&mut self, ctx: &Ctx<'_>, desk: &mut Desk, side: usize) {
        let state = CallPhase::Terminated { code: None, event: DialogEvent::RemoteBye };
        match (side, self.taken.take()) {
            (CALLER, taken) => {
                self.taken = taken;
                self.tell_caller(ctx, desk, state);
            }
            (_, None) => {}
            (_, Some(Taken { leg, names, initiator })) => {
                let id = self.side_of(leg);
                desk.told.push_back(CallState { id, names, initiator, state, since: ctx.now });
            }
        }
    }

    /// That one is there.
    pub(super) fn tell_moved(&mut self, ctx: &Ctx<'_>, desk: &mut Desk, side: usize) {
        let Some(moved) = self.links.first().map(|link| &link.sides[side]) else { return };
        if side != CALLER {
            return self.tell_joined(ctx, desk, self.record.legs.len(), false);
        }
        let (uri, tag) = (owned(moved.dialog.their_uri()), owned(moved.dialog.their_tag()));
        let (aor, ours) = (moved.aor.clone(), moved.local);
        self.asker = Asker { aor, ours, uri, tag, display: Box::default(), ..self.asker.clone() };
        self.names = None;
        self.tell_caller(ctx, desk, CallPhase::Confirmed);
    }

    /// Who was called by this attempt has taken it, and the others have not.
    pub(super) fn tell_taken(&mut self, ctx: &Ctx<'_>, desk: &mut Desk, client: ClientKey) {
        for i in 0..self.attempts.len() {
            let state = match self.attempts.get(i).is_some_and(|attempt| attempt.client == client) {
                true => CallPhase::Confirmed,
                false => CallPhase::Terminated { code: None, event: DialogEvent::Cancelled },
            };
            self.tell_callee(ctx, desk, i, state);
        }
    }

    /// The number of the side that a leg is of.
    fn side_of(&self, leg: usize) -> u64 {
        self.record.id * SIDES + leg as u64 + 1
    }

    /// Everybody who was told to be in the call is so no more.
    pub(super) fn tell_end(&mut self, ctx: &Ctx<'_>, desk: &mut Desk) {
        debug_assert!(self.phase == Phase::Over);
        let code = Some(self.record.status).filter(|code| *code >= 300);
        let (caller, callee) = match self.record.end {
            CallEnd::Caller => (DialogEvent::LocalBye, DialogEvent::RemoteBye),
            CallEnd::Callee => (DialogEvent::RemoteBye, DialogEvent::LocalBye),
            CallEnd::Cancelled => (DialogEvent::Cancelled, DialogEvent::Cancelled),
            CallEnd::Failed => (DialogEvent::Rejected, DialogEvent::Rejected),
            CallEnd::NoAck | CallEnd::Lost => (DialogEvent::Timeout, DialogEvent::Timeout),
            CallEnd::Expired | CallEnd::Transferred | CallEnd::Host => {
                (DialogEvent::RemoteBye, DialogEvent::RemoteBye)
            }
        };
        self.tell_caller(ctx, desk, CallPhase::Terminated { code, event: caller });
        if let Some(Taken { leg, names, initiator }) = self.taken.take() {
            let (id, state) = (self.side_of(leg), CallPhase::Terminated { code, event: callee });
            desk.told.push_back(CallState { id, names, initiator, state, since: ctx.now });
        }
        for i in 0..self.attempts.len() {
            self.tell_callee(ctx, desk, i, CallPhase::Terminated { code, event: callee });
        }
    }
}

/// The URI and the display name of who calls, as others are shown them.
pub(crate) fn shown(from: &NameAddr<'_>) -> (Box<str>, Box<str>) {
    (owned(from.uri.raw()), from.display_name())
}
