//! The REGISTER that a phone sends again and again, from datagram to 200: RFC 3261 s10.2.4.
//!
//! Only what is new each time is read: Via, CSeq and the From tag. All else was read when it came first, and is known by
//! its bytes (`Registrar::recognise`). Whatever is odd about a request sends it the long way, which is in `dispatch`, and
//! both end in the same place: nobody can tell them apart.

use super::Engine;
use super::dispatch::{Asker, Pass};
use crate::auth::{Verdict, Wait};
use crate::ctx::Origin;
use crate::registrar::Fresh;
use crate::wire::{Cseq, Header, Message, Method, Via};

impl Engine {
    /// What a REGISTER asks for, as a hash, if it may be one that says nothing new.
    pub(super) fn asked_again(
        &self,
        origin: &Origin,
        msg: Message<'_>,
        via: &Via<'_>,
        cseq: &Cseq<'_>,
    ) -> Option<u64> {
        let may_be =
            cseq.method == Method::Register && msg.header(Header::Require).is_none() && msg.is_from_to();
        // Whoever may not relay is refused, which is found out on the long way.
        let may_be = may_be && self.ends_here(origin, msg);
        let fresh = Fresh { origin, msg, via, is_direct: true, number: cseq.number };
        may_be.then(|| self.rooms.registrar.asked(&fresh))
    }

    /// Serves a REGISTER that says nothing new. False if it is any other, and then nothing was done.
    pub(super) fn on_again(
        &mut self,
        origin: &Origin,
        msg: Message<'_>,
        via: &Via<'_>,
        cseq: &Cseq<'_>,
        asked: u64,
    ) -> bool {
        let now = self.house.now;
        let Some(again) = self.rooms.registrar.recognise(now, asked, cseq.number) else { return false };
        let fresh = Fresh { origin, msg, via, is_direct: true, number: cseq.number };
        let Some(id) = self.rooms.txn.new_branch(via, Method::Register) else { return false };
        let mut ctx = self.house.ctx();
        let verdict = self.rooms.auth.check(&mut ctx, origin, msg, Method::Register, Wait::First);
        let allowed = match verdict {
            Verdict::Allow(allowed) if self.rooms.registrar.may_ask(again, &allowed.identity) => allowed,
            verdict => {
                // The credentials are used up, so that the long way goes on from here.
                match msg.essentials() {
                    Ok(ess) => self.obey(
                        &mut Pass { asked: Some(asked), ..Pass::new(*origin, msg, &ess, id, now) },
                        verdict,
                    ),
                    Err(_) => debug_assert!(false, "what was read before can be read"),
                }
                return true;
            }
        };
        self.house.stats.verdict(allowed.verdict);
        let mut asker = Asker {
            origin: *origin,
            msg,
            via,
            is_tagged: false,
            method: Method::Register,
            id,
            since: now,
            server: None,
            who: None,
        };
        asker.proved(&self.house.settings, &allowed);
        if !self.open(&mut asker) {
            return true;
        }
        let mut ctx = self.house.ctx();
        let Some(registered) = self.rooms.registrar.refresh(&mut ctx, again, &fresh) else { return true };
        self.answer_registered(&asker, &registered, allowed.info.as_ref(), allowed.verdict);
        let mut ctx = self.house.ctx();
        self.rooms.registrar.tell_pending(&mut ctx);
        true
    }
}
