//! Responses that stand on a change which is not durable yet. Should it fail, the request fails with it: RFC 3261
//! s10.3 step 7, DECISIONS 19. Only a host that holds a response until its change is durable reports a failure.
//!
//! Bounded: past the limit the oldest count as durable.

use std::collections::VecDeque;

use bytes::Bytes;

use super::Engine;
use super::answer;
use super::dispatch::Asker;
use crate::ctx::Origin;
use crate::door::SaveSeq;
use crate::txn::{self, ServerKey};
use crate::wire::{self, Bounds, Layout, Status};

/// Responses remembered at most.
const LIMIT: usize = 16_384;

/// Room for so many is kept when there are none.
const USUAL: usize = 256;

/// A 200 whose change is not confirmed.
#[derive(Clone, Debug)]
struct Stand {
    seq: u64,
    to: Origin,
    server: Option<ServerKey>,
    response: Bytes,
    /// What takes its place.
    otherwise: Status,
}

/// All of them, in the order of their changes.
#[derive(Clone, Debug, Default)]
pub(super) struct Standing {
    queue: VecDeque<Stand>,
}

impl Standing {
    /// The change of that number, and all before it, are durable.
    pub(super) fn saved(&mut self, seq: SaveSeq) {
        while self.queue.front().is_some_and(|stand| stand.seq <= seq.0) {
            self.queue.pop_front();
        }
        if self.queue.is_empty() && self.queue.capacity() > USUAL {
            self.queue = VecDeque::new();
        }
    }

    fn take(&mut self, seq: SaveSeq) -> Option<Stand> {
        let at = self.queue.iter().position(|stand| stand.seq == seq.0)?;
        self.queue.remove(at)
    }
}

impl Engine {
    /// Remembers a response until its change is durable.
    pub(super) fn stand_on(
        &mut self,
        asker: &Asker<'_>,
        save: Option<SaveSeq>,
        response: &Bytes,
        otherwise: Status,
    ) {
        let Some(SaveSeq(seq)) = save.filter(|_| !self.house.settings.tell.behind) else { return };
        let queue = &mut self.rooms.standing.queue;
        if queue.len() == LIMIT {
            queue.pop_front();
        }
        let to = txn::response_target(&asker.origin, asker.via);
        queue.push_back(Stand { seq, to, server: asker.server, response: response.clone(), otherwise });
    }

    /// The change failed: 500 or 504 takes the place of the response that stood on it, also for repeated requests.
    pub(super) fn fail_standing(&mut self, seq: SaveSeq) {
        let Some(Stand { to, server, response, otherwise, .. }) = self.rooms.standing.take(seq) else {
            return;
        };
        let bounds = Bounds { message_bytes: usize::from(u16::MAX), headers: usize::from(u16::MAX) };
        let mut layout = Layout::new();
        // Our own response: what is copied from a request into it is what the next one needs too.
        let Ok(msg) = wire::parse(&response, &mut layout, &bounds) else { return };
        let payload = answer::write_again(&mut self.house, msg, otherwise);
        self.house.stats.response(msg.method(), otherwise.0);
        let mut ctx = self.house.ctx();
        let replaced = server.is_some_and(|key| self.rooms.txn.replace_final(&mut ctx, key, payload.clone()));
        if !replaced {
            txn::send_to(&mut ctx, &to, payload);
        }
    }
}
