//! Where the client side meets its neighbours: wishes of the host on their way in, NOTIFY from elsewhere, what it tells.

use super::Engine;
use super::Rooms;
use super::dispatch::Pass;
use crate::agent::{OWN_IDS, UaKit, check_notice};
use crate::bridge::Hop;
use crate::ctx::Reached;
use crate::door::{Event, Notice, NoticeRefusal, ReplyBody, Request};
use crate::wire::Status;

impl Engine {
    /// A wish of the host.
    pub(super) fn wish(&mut self, request: Request) -> ReplyBody {
        let id = match &request {
            Request::SubscribeAt(wish) | Request::PublishAt { wish, .. } => wish.id,
            Request::EndWish { id } => *id,
            _ => 0,
        };
        if id >= OWN_IDS {
            return ReplyBody::Refused("numbers so large are the engine's own");
        }
        const UNREACHED: ReplyBody = ReplyBody::Refused("the socket is not up, or the wish is too large");
        let mut ctx = self.house.ctx();
        let Rooms { agent, txn, .. } = &mut self.rooms;
        let done = match request {
            Request::SubscribeAt(wish) => agent.subscribe(&mut ctx, txn, *wish, b""),
            Request::PublishAt { wish, kind, document } => {
                agent.publish(&mut ctx, txn, *wish, (kind, document), b"")
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

    /// A NOTIFY to every phone of a user, which nobody asked for but the host.
    pub(super) fn send_notice(
        &mut self,
        reply: Option<u64>,
        aor: &str,
        notice: &Notice,
    ) -> Result<(), NoticeRefusal> {
        let aor = self.canonical(aor).ok_or(NoticeRefusal::NotOurs)?;
        let limits = self.house.settings.limits.clone();
        check_notice(notice, limits.message_bytes)?;
        if self.rooms.notices.len() >= limits.parked {
            return Err(NoticeRefusal::Full);
        }
        let near = self.house.flows.own();
        let hops: Vec<_> = self.groups(&aor, &Default::default(), &near).into_iter().flatten().collect();
        fn reached(hop: &Hop) -> Reached<'_> {
            Reached { contact: &hop.contact, path: &hop.path, to: hop.to }
        }
        let phones: Vec<_> = hops.iter().map(reached).collect();
        let mut ctx = self.house.ctx();
        let Rooms { notices, txn, registrar, .. } = &mut self.rooms;
        notices.send(&mut ctx, txn, registrar, (reply, &aor, notice), &phones);
        Ok(())
    }

    /// A NOTIFY within a dialog: authorised by it (DECISIONS 2).
    pub(super) fn receive_notify(&mut self, pass: &mut Pass<'_>) {
        if !self.open(&mut pass.asker) {
            return;
        }
        let ctx = self.house.ctx();
        match self.rooms.agent.accept(&ctx, &pass.origin, pass.msg, pass.ess) {
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
        loop {
            let told = self.rooms.agent.take_told();
            if told.is_empty() {
                break;
            }
            for told in told {
                let Some(told) = self.on_trunk_step(told) else { continue };
                if told.id >= OWN_IDS {
                    let Rooms { uas, agent, txn, registrar, .. } = &mut self.rooms;
                    let mut ctx = self.house.ctx();
                    uas.on_told(&mut UaKit { ctx: &mut ctx, txn, agent, phones: registrar }, told);
                } else if let Some(event) = told.for_host() {
                    self.house.out.tell(Event::Agent(Box::new(event)));
                }
            }
        }
        self.settle_uas();
    }
}
