//! Where calls meet their neighbours: INVITE on its way in, the phones it goes to, and what the bridge has to say.

use super::dispatch::Pass;
use super::loops::Asks;
use super::pending::ParkedKey;
use super::routes::Who;
use super::{Engine, Rooms};
use crate::auth::Allowed;
use crate::base::text::owned;
use crate::bridge::{self, Asked, Asker, Bridge, CallKey, Kit, News};
use crate::config::AorBuf;
use crate::ctx::{CallTimer, Origin, Refusal};
use crate::dialog::Replaces;
use crate::door::{CallEnd, Event, Identity, Scheme};
use crate::stats::DropReason;
use crate::txn::{ClientEvent, ClientKey, ServerKey};
use crate::wire::{Essentials, Message, Method, Status};

/// How many pieces of news of calls are dealt with in one go: each may bring another.
const NEWS_PER_CALL: usize = 10_000;

impl Engine {
    /// Does something with the calls, and what they need for it.
    pub(super) fn bridge<T>(&mut self, act: impl FnOnce(&mut Bridge, &mut Kit<'_, '_>) -> T) -> T {
        let Rooms { bridge, txn, registrar, .. } = &mut self.rooms;
        let mut ctx = self.house.ctx();
        act(bridge, &mut Kit { ctx: &mut ctx, txn, phones: registrar })
    }

    /// An INVITE that asks for a call; its sender was let in.
    pub(super) fn serve_invite(&mut self, pass: &Pass<'_>, allowed: &Allowed) {
        if self.relay_replacing(pass, &allowed.identity, None) {
            return;
        }
        if let Err(refusal) = self.begin_call(pass, &allowed.identity, None) {
            self.refuse_as(pass, &refusal, allowed.verdict);
        }
    }

    pub(super) fn begin_call(
        &mut self,
        pass: &Pass<'_>,
        who: &Identity,
        trunk: Option<u16>,
    ) -> Result<(), Refusal> {
        self.refuse_if_draining()?;
        self.refuse_if_trunk_full(trunk)?;
        let server = pass.server.ok_or(Refusal::plain(Status::SERVER_ERROR))?;
        let uri = pass.ess.uri.ok_or(Refusal::plain(Status::BAD_REQUEST))?;
        let mut asker = self.asker(pass.ess, who)?;
        asker.trunk = trunk;
        let who = Who {
            identity: who.clone(),
            trunk,
            trusted: asker.trusted,
            host: false,
            aor: asker.aor.clone(),
            uri: match trunk {
                Some(_) => self.called_over_trunk(pass, &uri),
                None => owned(uri.raw()),
            },
            origin: pass.origin,
        };
        let asked = Asked { origin: &pass.origin, msg: pass.msg, ess: pass.ess, server };
        // RFC 3891 s3: it is for a call there is, wherever its Request-URI leads.
        if let Some(replaces) = Replaces::of(pass.msg)? {
            return self.bridge(|bridge, kit| bridge.replace(kit, &asked, pass.id, asker, &replaces));
        }
        self.refuse_if_loop(pass, &Asks::call(&who))?;
        // What goes nowhere is refused before it is a call.
        let (callee, plan) = self.plan(&who)?;
        let key = self.bridge(|bridge, kit| bridge.begin(kit, &asked, pass.id, asker, callee))?;
        self.route_call(key, plan, who, false);
        Ok(())
    }

    /// A REFER outside any call that names one; its sender was let in.
    pub(super) fn serve_refer(&mut self, pass: &Pass<'_>, allowed: &Allowed) {
        let Some(server) = pass.server else { return };
        let asked = Asked { origin: &pass.origin, msg: pass.msg, ess: pass.ess, server };
        let asker = self.asker(pass.ess, &allowed.identity);
        let done = asker.and_then(|asker| {
            self.bridge(|bridge, kit| bridge.on_refer_outside(kit, &asked, pass.id, &asker))
        });
        if let Err(refusal) = done {
            self.refuse_as(pass, &refusal, allowed.verdict);
        }
    }

    /// An INVITE that comes over a trunk: nobody is asked to prove who he is (DECISIONS 9).
    pub(super) fn serve_trunk(&mut self, pass: &mut Pass<'_>, trunk: u16) {
        if !self.open(&mut pass.asker) {
            return;
        }
        let refusal = match self.unsupported(pass) {
            Some(refusal) => Some(refusal),
            None if self.relay_replacing(pass, &Identity::nobody(Scheme::Trusted), Some(trunk)) => return,
            None => self.begin_call(pass, &Identity::nobody(Scheme::Trusted), Some(trunk)).err(),
        };
        if let Some(refusal) = refusal {
            self.refuse(pass, &refusal);
        }
    }

    /// DECISIONS 1: who calls is whom the credentials prove, and From says so, or says nobody (RFC 3323).
    pub(super) fn asker(&self, ess: &Essentials<'_>, who: &Identity) -> Result<Asker, Refusal> {
        let trusted = matches!(who.scheme, Scheme::Trusted);
        let mut aor = AorBuf::new();
        let ours = self.house.settings.domains.aor(&ess.from.uri, &mut aor);
        let named = core::str::from_utf8(&aor).unwrap_or_default();
        let proved = !matches!(who.scheme, Scheme::None | Scheme::Trusted);
        let from = ess.from.uri;
        let aor: Box<str> = match () {
            _ if ours && who.owns(named) => named.into(),
            _ if !proved => owned(from.raw()),
            _ if from.is_anonymous() => who.aors.first().cloned().unwrap_or_default(),
            _ => return Err(Refusal::because(Status::FORBIDDEN, "From Is Another's")),
        };
        let (uri, display) = bridge::shown(&ess.from);
        let tag = owned(ess.from.tag().unwrap_or_default());
        let ours = ours && who.owns(&aor);
        Ok(Asker { aor, ours, uri, display, tag, identity: who.clone(), trusted, trunk: None })
    }

    /// A request within the dialog of a call.
    pub(super) fn serve_in_call(&mut self, pass: &mut Pass<'_>, key: CallKey) {
        if !self.open(&mut pass.asker) {
            return;
        }
        if let Some(refusal) = self.unsupported(pass) {
            return self.refuse(pass, &refusal);
        }
        if !self.relay_request(pass, key) {
            self.take_in_call(pass, key);
        }
    }

    /// A request in a dialog that the answer to an INVITE of ours will make, if it has not overtaken it. RFC 3261 s14.2: an
    /// INVITE of ours is in progress there; 481 would end the dialog for whoever sent it (RFC 5057 s5.1). Its copies are told
    /// the same when the answer is there.
    pub(super) fn refuse_too_early(&mut self, pass: &mut Pass<'_>) {
        if self.open(&mut pass.asker) {
            let over = pass.method == Method::Bye;
            let status = if over { Status::NO_TRANSACTION } else { Status::REQUEST_PENDING };
            self.refuse(pass, &Refusal::plain(status));
        }
    }

    /// The same, when its description is what the other side is shown.
    pub(super) fn take_in_call(&mut self, pass: &Pass<'_>, key: CallKey) {
        let Some(server) = pass.server else { return };
        let asked = Asked { origin: &pass.origin, msg: pass.msg, ess: pass.ess, server };
        if let Err(refusal) = self.bridge(|bridge, kit| bridge.on_request(kit, key, &asked)) {
            self.refuse(pass, &refusal);
        }
    }

    /// An ACK that no transaction consumed.
    pub(super) fn on_ack(&mut self, origin: &Origin, msg: Message<'_>, ess: &Essentials<'_>) {
        if !self.relay_ack(origin, msg, ess) {
            self.take_ack(origin, msg, ess);
        }
    }

    /// The same, when its description is what the other side is shown.
    pub(super) fn take_ack(&mut self, origin: &Origin, msg: Message<'_>, ess: &Essentials<'_>) {
        let taken = self.bridge(|bridge, kit| bridge.on_ack(kit, origin, msg, ess))
            || self.uas(|uas, kit| uas.on_ack(kit, origin, msg, ess));
        if !taken {
            self.drop_input(origin.remote, DropReason::StrayAck);
        }
    }

    /// A CANCEL found its INVITE, or another request: only an INVITE that waits is changed by it (RFC 3261 s9.2).
    pub(super) fn on_cancel(&mut self, server: ServerKey, msg: Message<'_>) {
        if !self.rooms.txn.is_pending_invite(server) {
            return;
        }
        let taken = self.bridge(|bridge, kit| bridge.on_cancel(kit, server, msg))
            || self.uas(|uas, kit| uas.on_cancel(kit, server));
        if taken {
            return;
        }
        if let Some(key) = self.rooms.pending.of(server) {
            self.terminate_parked(key);
        }
    }

    fn terminate_parked(&mut self, key: ParkedKey) {
        self.with_parked(key, |engine, pass| {
            engine.refuse(pass, &Refusal::plain(Status::REQUEST_TERMINATED));
        });
    }

    pub(super) fn on_call_response(&mut self, bits: u64, client: ClientKey, status: u16, msg: Message<'_>) {
        if !self.relay_response(bits, client, status, msg) {
            self.bridge(|bridge, kit| bridge.on_response(kit, bits, client, status, msg));
        }
    }

    pub(super) fn on_call_failure(&mut self, bits: u64, event: ClientEvent) {
        self.bridge(|bridge, kit| bridge.on_failure(kit, bits, event));
    }

    pub(super) fn on_call_timer(&mut self, bits: u64, timer: CallTimer) {
        self.bridge(|bridge, kit| bridge.on_timer(kit, bits, timer));
    }

    /// Draining has lasted long enough (DECISIONS 20): who still talks is told to go.
    pub(super) fn end_calls(&mut self) {
        self.bridge(|bridge, kit| {
            for key in bridge.all() {
                bridge.hang_up(kit, key, CallEnd::Host);
            }
        });
    }

    /// Does what the calls need of their neighbours: after each thing that happened to them, for what they say holds until
    /// the next one.
    #[inline]
    pub(super) fn settle_calls(&mut self) {
        if self.rooms.bridge.has_news() {
            self.settle_news();
        }
    }

    fn settle_news(&mut self) {
        for _ in 0..NEWS_PER_CALL {
            if !self.rooms.bridge.has_news() {
                return;
            }
            while let Some(state) = self.rooms.bridge.next_told() {
                self.on_call_state(state);
            }
            for news in self.rooms.bridge.take_news() {
                match news {
                    News::Exhausted(key, outcome) => self.on_exhausted(key, outcome),
                    News::Refer(key) => self.on_refer(key),
                    News::Silent(session) => self.forget_media(session),
                    News::Gone(key) => {
                        self.forget_route(key);
                        self.on_call_gone();
                    }
                }
            }
        }
    }

    /// DECISIONS 20: who drains has waited for the last of them.
    pub(super) fn on_call_gone(&mut self) {
        if self.rooms.drain.is_none() || self.rooms.bridge.len() > 0 || self.rooms.uas.len() > 0 {
            return;
        }
        self.house.timers.disarm(core::mem::take(&mut self.rooms.drain));
        self.house.out.tell(Event::Drained);
    }
}
