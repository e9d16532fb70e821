//! Where trunks meet their neighbours: their names are resolved, OPTIONS and REGISTER sent, and what comes of it decides
//! which calls go there and whose those are that come.

use super::dispatch::Pass;
use super::routes::{origin_of, straight};
use super::{Engine, Rooms};
use crate::agent::{Step, Told, trunk_id, trunk_of_id};
use crate::base::text::owned;
use crate::ctx::{Extra, Origin, Refusal, TrunkTimer};
use crate::door::{Query, ResolveQuery, Resolved, Ticket, Transport};
use crate::router;
use crate::wire::{Header, Method, NameAddr, Status, Uri};

/// Tickets of trunks have this bit: no table of calls is so large.
pub(super) const TICKET: u32 = 1 << 31;

impl Engine {
    /// A new configuration, or the first.
    pub(super) fn configure_trunks(&mut self) {
        let mut ctx = self.house.ctx();
        let left = self.rooms.trunks.configure(&mut ctx);
        self.unregister(left);
    }

    /// No new calls are taken.
    pub(super) fn drain_trunks(&mut self) {
        let mut ctx = self.house.ctx();
        let left = self.rooms.trunks.drain(&mut ctx);
        self.unregister(left);
    }

    fn unregister(&mut self, trunks: Vec<u16>) {
        for trunk in trunks {
            let mut ctx = self.house.ctx();
            let Rooms { agent, txn, .. } = &mut self.rooms;
            agent.end(&mut ctx, txn, trunk_id(trunk));
        }
        self.tell_wishes();
    }

    /// It is time to ask a trunk, or to register there.
    pub(super) fn on_trunk_timer(&mut self, i: u16, what: TrunkTimer) {
        let mut ctx = self.house.ctx();
        let Some((uri, generation)) = self.rooms.trunks.on_timer(&mut ctx, i, what) else { return };
        let near = ctx.flows.own();
        let Ok(parsed) = Uri::parse(uri.as_bytes()) else { return };
        // Which of our addresses is on the way is to be found out, unless there is one only.
        let known =
            !near.local.ip().is_unspecified() && parsed.host().is_some_and(|host| host.ip().is_some());
        if known {
            let to = straight(&mut ctx, &parsed, &near);
            return self.trunk_found(i, generation, to.as_ref());
        }
        let transport = parsed.transport().and_then(|t| core::str::from_utf8(t).ok());
        self.house.out.ask(Query::Resolve(ResolveQuery {
            ticket: Ticket::new(TICKET | u32::from(i), generation),
            host: parsed.host().map(|host| host.to_string()).unwrap_or_default().into(),
            port: parsed.port(),
            transport: transport.and_then(Transport::of_uri_param),
            secure: parsed.is_secure(),
            near: near.local,
        }));
    }

    /// The host says where a trunk is.
    pub(super) fn on_trunk_resolved(&mut self, ticket: Ticket<ResolveQuery>, ways: &[Resolved]) {
        let Ok(i) = u16::try_from(ticket.index & !TICKET) else { return };
        let mut ctx = self.house.ctx();
        let near = ctx.flows.own();
        let to = ways.iter().find_map(|way| origin_of(&mut ctx, way, &near));
        self.trunk_found(i, ticket.generation, to.as_ref());
    }

    fn trunk_found(&mut self, i: u16, generation: u32, to: Option<&Origin>) {
        let mut ctx = self.house.ctx();
        let Rooms { agent, trunks, txn, .. } = &mut self.rooms;
        let Some(wants) = trunks.found(i, generation) else { return };
        trunks.probe(&mut ctx, txn, (i, wants), to);
        if let Some((wish, contact)) = trunks.registration(&mut ctx, (i, wants), to)
            && !agent.register(&mut ctx, txn, wish, contact)
        {
            trunks.not_registered(&mut ctx, i, "no way there", None);
        }
        self.tell_wishes();
    }

    /// What came of a registration of ours; it is given back if it is of something else.
    pub(super) fn on_trunk_step(&mut self, told: Told) -> Option<Told> {
        let Some(i) = trunk_of_id(told.id) else { return Some(told) };
        let mut ctx = self.house.ctx();
        let trunks = &mut self.rooms.trunks;
        match told.step {
            Step::Granted { expires, first: true, .. } => trunks.is_registered(&mut ctx, i, expires),
            Step::Interrupted { reason, again, .. } => {
                let wait = again.since(ctx.now);
                trunks.not_registered(&mut ctx, i, &reason, Some(wait));
            }
            Step::Ended { reason } => trunks.not_registered(&mut ctx, i, &reason, None),
            Step::Granted { .. } | Step::Refreshing | Step::Notified { .. } => {}
        }
        None
    }

    /// The trunk a request comes over: by where it comes from, by the certificate that was shown there, or by the Contact it
    /// was sent to, which we registered there.
    pub(super) fn trunk_of(&self, pass: &Pass<'_>) -> Option<u16> {
        if !matches!(pass.method, Method::Invite | Method::Message) {
            return None;
        }
        let (source, listener) = (pass.origin.remote.ip().to_canonical(), pass.origin.listener);
        let peer = self.house.flows.peer(pass.origin.flow);
        let by_source = router::trunk_of(&self.house.settings, source, listener, peer);
        by_source.or_else(|| self.rooms.trunks.of_contact(pass.ess.uri.as_ref()?))
    }

    /// Who is called over a trunk. Where that is the Contact we registered, it says nothing of who is meant: the number is in
    /// P-Called-Party-ID (RFC 3455 s4.2), or in To.
    pub(super) fn called_over_trunk(&self, pass: &Pass<'_>, uri: &Uri<'_>) -> Box<str> {
        let said = String::from_utf8_lossy(uri.raw());
        if self.rooms.trunks.of_contact(uri).is_none() {
            return said.into();
        }
        let named = pass.msg.header(Header::PCalledPartyId).and_then(|value| NameAddr::parse(value).ok());
        let called = named.map_or(pass.ess.to.uri, |named| named.uri);
        let home = self.house.settings.domains.names().first().map_or("", |name| name);
        match called.user() {
            Some(user) => format!("sip:{}@{home}", String::from_utf8_lossy(user)).into(),
            None => owned(called.raw()),
        }
    }

    /// May one more call be on a trunk?
    pub(super) fn has_room(&self, trunk: u16, more: usize) -> bool {
        let trunks = self.house.settings.calls.as_ref().map_or(&[][..], |calls| &calls.trunks);
        let most = trunks.get(usize::from(trunk)).and_then(|trunk| trunk.max_calls);
        most.is_none_or(|most| self.rooms.bridge.on_trunk(trunk) + more < most as usize)
    }

    /// DECISIONS 9: no more calls come over a trunk than it may have.
    pub(super) fn refuse_if_trunk_full(&self, trunk: Option<u16>) -> Result<(), Refusal> {
        match trunk.is_none_or(|trunk| self.has_room(trunk, 0)) {
            true => Ok(()),
            false => Err(Refusal::with(Status::SERVICE_UNAVAILABLE, Extra::RetryAfter(5))),
        }
    }
}
