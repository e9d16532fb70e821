//! Where the parties of a call stand, for who watches them: RFC 4235 s3.7.

use super::Desk;
use super::call::{CALLEE, CALLER, Call, Phase};
use super::write::text;
use crate::ctx::{CallPhase, CallState, Ctx};
use crate::documents::dialog_info::DialogEvent;
use crate::door::CallEnd;
use crate::wire::NameAddr;

/// Sides of one call are numbered from its number times this: the caller, then everybody who was tried.
const SIDES: u64 = 1 << 16;

impl Call {
    /// The caller stands elsewhere.
    pub(super) fn tell_caller(&self, ctx: &Ctx<'_>, desk: &mut Desk, state: CallPhase) {
        if !self.asker.ours {
            return;
        }
        let side = self.links.first().map(|link| &link.sides[CALLER].dialog);
        let callee = match self.record.callee.contains(':') {
            true => self.record.callee.clone(),
            false => format!("sip:{}", self.record.callee).into(),
        };
        desk.told.push(CallState {
            id: self.record.id * SIDES,
            aor: self.asker.aor.clone(),
            initiator: true,
            state,
            remote: callee,
            remote_display: Box::default(),
            call_id: self.record.call_id.clone(),
            local_tag: self.asker.tag.clone(),
            remote_tag: side.map_or(Box::default(), |dialog| text(dialog.own_tag())),
            since: ctx.now,
        });
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
        let peer = sides.next().map(|link| &link.sides[CALLEE].dialog);
        let (remote, display) = (&self.asker.uri, &self.asker.display);
        desk.told.push(CallState {
            id: self.record.id * SIDES + attempt.leg as u64 + 1,
            aor: attempt.hop.target.clone(),
            initiator: false,
            state,
            remote: remote.clone(),
            remote_display: display.clone(),
            call_id: text(attempt.base.call_id()),
            local_tag: peer.map_or(Box::default(), |dialog| text(dialog.their_tag())),
            remote_tag: text(attempt.base.own_tag()),
            since: ctx.now,
        });
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
        for i in 0..self.attempts.len() {
            self.tell_callee(ctx, desk, i, CallPhase::Terminated { code, event: callee });
        }
    }
}

/// The URI and the display name of who calls, as others are shown them.
pub(crate) fn shown(from: &NameAddr<'_>) -> (Box<str>, Box<str>) {
    (text(from.uri.raw()), text(from.display.unwrap_or_default()))
}
