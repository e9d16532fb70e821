//! What the host is shown of live calls.

use core::ops::Bound;

use super::call::{CALLER, Call, Phase, Side};
use super::table::State;
use super::{Bridge, CallKey};
use crate::base::text::owned;
use crate::door::{CallStage, CallView, LegView};

impl Bridge {
    /// The live call of this number.
    pub(crate) fn numbered(&self, id: u64) -> Option<CallKey> {
        let key = self.desk.by_id.get(&id).copied()?;
        self.calls.get(key).filter(|call| call.phase != Phase::Over).map(|_| key)
    }

    /// What the host is shown of a live call.
    pub(crate) fn view(&self, id: u64) -> Option<CallView> {
        let call = self.calls.get(self.numbered(id)?)?;
        let (stage, since) = match call.record.answered {
            Some(answered) => (CallStage::Answered, answered),
            None => (CallStage::Ringing, call.record.began),
        };
        let (caller, callee) = (call.record.caller.clone(), call.record.callee.clone());
        Some(CallView { id, caller, callee, stage, since, legs: self.legs(call) })
    }

    /// The same of those behind this number, at most so many.
    pub(crate) fn views(&self, after: u64, limit: usize) -> Vec<CallView> {
        let behind = self.desk.by_id.range((Bound::Excluded(after), Bound::Unbounded));
        behind.filter_map(|(id, _)| self.view(*id)).take(limit).collect()
    }

    fn legs(&self, call: &Call) -> Vec<LegView> {
        let mut legs = Vec::new();
        match (&call.incoming, self.kept(call)) {
            (Some(incoming), _) => legs.push(LegView {
                party: call.asker.aor.clone(),
                is_caller: true,
                remote: incoming.origin.remote,
                call_id: call.record.call_id.clone(),
            }),
            // Who asked is in another call, until somebody answers.
            (None, Some(kept)) => legs.push(leg(kept, true)),
            (None, None) => {}
        }
        let dialled = call.is_dialled();
        // Early dialogs are those of attempts.
        if call.incoming.is_none() {
            for side in call.links.iter().flat_map(|link| link.sides.iter().enumerate()) {
                if !side.1.over {
                    legs.push(leg(side.1, dialled || side.0 == CALLER));
                }
            }
        }
        for attempt in &call.attempts {
            let record = call.record.legs.get(attempt.leg);
            if let (State::Calling | State::Proceeding, Some(record)) = (attempt.state, record) {
                legs.push(LegView {
                    party: record.target.clone(),
                    is_caller: dialled,
                    remote: record.remote,
                    call_id: record.call_id.clone(),
                });
            }
        }
        legs
    }

    /// Who waits elsewhere for this call.
    fn kept(&self, call: &Call) -> Option<&Side> {
        let home = self.calls.get(call.invitation.as_ref()?.serves?)?;
        let kept = home.kept()?;
        home.links.first().map(|link| &link.sides[kept])
    }
}

fn leg(side: &Side, is_caller: bool) -> LegView {
    LegView {
        party: side.aor.clone(),
        is_caller,
        remote: side.dialog.straight().to.remote,
        call_id: owned(side.dialog.call_id()),
    }
}
