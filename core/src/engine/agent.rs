//! Where the client side meets its neighbours: wishes of the host on their way in, NOTIFY from elsewhere, what it tells.

use super::Engine;
use super::Rooms;
use super::dispatch::Pass;
use crate::door::{Event, ReplyBody, Request};
use crate::wire::Status;

impl Engine {
    /// A wish of the host.
    pub(super) fn wish(&mut self, request: Request) -> ReplyBody {
        const UNREACHED: ReplyBody = ReplyBody::Refused("the socket is not up, or the wish is too large");
        let mut ctx = self.house.ctx();
        let Rooms { agent, txn, .. } = &mut self.rooms;
        let done = match request {
            Request::SubscribeAt(wish) => agent.subscribe(&mut ctx, txn, *wish),
            Request::PublishAt { wish, kind, document } => {
                agent.publish(&mut ctx, txn, *wish, kind, document)
            }
            Request::EndWish { id } => {
                agent.end(&mut ctx, txn, id);
                true
            }
            _ => return UNREACHED,
        };
        self.tell_wishes();
        if done { ReplyBody::Done } else { UNREACHED }
    }

    /// A NOTIFY within a dialog: authorised by it (DECISIONS 2).
    pub(super) fn receive_notify(&mut self, pass: &mut Pass<'_>) {
        if !self.open(&mut pass.asker) {
            return;
        }
        match self.rooms.agent.accept(pass.msg, pass.ess) {
            Ok(heard) => {
                // RFC 6665 s4.1.3: at once.
                self.answer(pass, Status::OK);
                let mut ctx = self.house.ctx();
                let Rooms { agent, txn, .. } = &mut self.rooms;
                agent.hear(&mut ctx, txn, heard, pass.msg);
                self.tell_wishes();
            }
            Err(refusal) => self.refuse(pass, &refusal),
        }
    }

    /// Tells what became of wishes: after everything that was sent.
    pub(super) fn tell_wishes(&mut self) {
        for event in self.rooms.agent.take_told() {
            self.house.out.tell(Event::Agent(Box::new(event)));
        }
    }
}
