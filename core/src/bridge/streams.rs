//! Which connections calls hold open: RFC 3261 s18, DECISIONS 11. A host asks before it closes an idle one, and the answer
//! must not take longer the more calls there are.
//!
//! A call is in the index under each connection that a side of it, which is still there, was last heard over. That is
//! brought up to date after everything that is done to a call.

use std::collections::BTreeSet;

use smallvec::SmallVec;

use super::CallKey;
use super::call::Call;
use crate::door::FlowId;

/// Connections, and the calls that are held over them.
#[derive(Clone, Debug, Default)]
pub(super) struct Streams(BTreeSet<(FlowId, CallKey)>);

/// The connections of one call, as the index has them.
pub(super) type Held = SmallVec<[FlowId; 2]>;

impl Streams {
    /// Does a call hold this connection open?
    pub(super) fn holds(&self, flow: FlowId) -> bool {
        let mut from = self.0.range((flow, CallKey::from_bits(0))..);
        from.next().is_some_and(|(first, _)| *first == flow)
    }

    /// Is none held?
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Something was done to a call.
    pub(super) fn follow(&mut self, key: CallKey, call: &mut Call) {
        let sides = call.links.iter().flat_map(|link| &link.sides).filter(|side| !side.over);
        let mut now = Held::new();
        for flow in sides.filter_map(|side| side.dialog.stream()) {
            if !now.contains(&flow) {
                now.push(flow);
            }
        }
        if now == call.streams {
            return;
        }
        self.forget(key, &call.streams);
        self.0.extend(now.iter().map(|flow| (*flow, key)));
        call.streams = now;
    }

    /// A call is no more.
    pub(super) fn forget(&mut self, key: CallKey, held: &Held) {
        for flow in held {
            self.0.remove(&(*flow, key));
        }
    }
}
