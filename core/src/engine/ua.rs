//! Where user agents meet their neighbours: what the host asks of them, their servers are found, requests for them.

use super::dispatch::Pass;
use super::inspect::missing;
use super::routes::{origin_of, straight};
use super::{Engine, Rooms};
use crate::agent::{UA_ALLOW, UaCallKey, UaCame, UaKey, UaKit, Uas, ua_supported};
use crate::config::Settings;
use crate::ctx::{Extra, Refusal};
use crate::door::{Event, Query, ReplyBody, ResolveQuery, Resolved, Ticket, Transport, UaRequest, UaStep};
use crate::wire::{Header, Method, Status, Uri};

/// Tickets of user agents have this bit: no table of calls is so large.
pub(super) const TICKET: u32 = 1 << 29;

impl Engine {
    /// Does something with the user agents, and then what came of it.
    pub(super) fn uas<T>(&mut self, act: impl FnOnce(&mut Uas, &mut UaKit<'_, '_>) -> T) -> T {
        let Rooms { uas, agent, txn, registrar, .. } = &mut self.rooms;
        let mut ctx = self.house.ctx();
        let done = act(uas, &mut UaKit { ctx: &mut ctx, txn, agent, phones: registrar });
        self.tell_wishes();
        done
    }

    pub(super) fn on_ua(&mut self, ua: u64, request: UaRequest) -> ReplyBody {
        self.uas(|uas, kit| uas.ask(kit, ua, request))
    }

    /// Asks where servers are, and tells what happened: after everything that was sent.
    pub(super) fn settle_uas(&mut self) {
        for find in self.rooms.uas.take_finds() {
            let mut ctx = self.house.ctx();
            let near = ctx.flows.own();
            let Ok(uri) = Uri::parse(find.uri.as_bytes()) else { continue };
            // Which of our addresses is on the way is to be found out, unless there is one only.
            let known =
                !near.local.ip().is_unspecified() && uri.host().is_some_and(|host| host.ip().is_some());
            if known {
                let to = straight(&mut ctx, &uri, &near);
                self.uas(|uas, kit| uas.found(kit, find.ticket, to.as_ref()));
                continue;
            }
            let transport = uri.transport().and_then(|t| core::str::from_utf8(t).ok());
            self.house.out.ask(Query::Resolve(ResolveQuery {
                ticket: Ticket::new(TICKET | find.ticket, 0),
                host: uri.host().map(|host| host.to_string()).unwrap_or_default().into(),
                port: uri.port(),
                transport: transport.and_then(Transport::of_uri_param),
                secure: uri.is_secure(),
                near: near.local,
            }));
        }
        for event in self.rooms.uas.take_told() {
            let gone = event.step == UaStep::Closed;
            self.house.out.tell(Event::Ua(Box::new(event)));
            if gone {
                self.on_call_gone();
            }
        }
    }

    /// The host says where a server is.
    pub(super) fn on_ua_resolved(&mut self, ticket: Ticket<ResolveQuery>, ways: &[Resolved]) {
        let mut ctx = self.house.ctx();
        let near = ctx.flows.own();
        let to = ways.iter().find_map(|way| origin_of(&mut ctx, way, &near));
        self.uas(|uas, kit| uas.found(kit, ticket.index & !TICKET, to.as_ref()));
    }

    /// A request to the Contact of a user agent.
    pub(super) fn serve_ua(&mut self, pass: &mut Pass<'_>, key: UaKey) {
        if !self.open(&mut pass.asker) {
            return;
        }
        if let Err(refusal) = self.try_serve_ua(pass, key) {
            self.refuse(pass, &refusal);
        }
    }

    /// A request within a call of a user agent: authorised by its dialog (DECISIONS 2).
    pub(super) fn serve_ua_call(&mut self, pass: &mut Pass<'_>, key: UaCallKey) {
        if !self.open(&mut pass.asker) {
            return;
        }
        let done = refuse_required(&self.house.settings, pass).and_then(|()| match came(pass) {
            Some(came) => self.uas(|uas, kit| uas.on_within(kit, key, came)),
            None => Ok(()),
        });
        if let Err(refusal) = done {
            self.refuse(pass, &refusal);
        }
    }

    fn try_serve_ua(&mut self, pass: &mut Pass<'_>, key: UaKey) -> Result<(), Refusal> {
        refuse_required(&self.house.settings, pass)?;
        match pass.method {
            Method::Invite if pass.ess.to.tag().is_none() => {
                self.refuse_if_draining()?;
                self.prepare_trying(pass);
                let Some(came) = came(pass) else { return Ok(()) };
                self.uas(|uas, kit| uas.on_invite(kit, key, came))?;
            }
            Method::Message => {
                self.rooms.uas.on_text(key, pass.msg, pass.ess)?;
                // RFC 3428 s7: before it is told, so that what follows from it follows.
                self.answer(pass, Status::OK);
                self.settle_uas();
            }
            Method::Options => self.respond(pass, Status::OK, |ctx, writer| {
                writer.header(Header::Allow, UA_ALLOW.as_bytes());
                writer.header(Header::Supported, ua_supported(ctx.settings).as_bytes());
                writer.header(Header::Accept, b"application/sdp");
                writer.header(Header::AcceptLanguage, b"en");
            }),
            Method::Other => return Err(Refusal::plain(Status::NOT_IMPLEMENTED)),
            _ if pass.ess.to.tag().is_some() => return Err(Refusal::plain(Status::NO_TRANSACTION)),
            // DECISIONS 24: nobody is sent anywhere by whom he does not talk to.
            Method::Refer => return Err(Refusal::plain(Status::FORBIDDEN)),
            _ => return Err(Refusal::with(Status::METHOD_NOT_ALLOWED, Extra::AllowOf(UA_ALLOW))),
        }
        Ok(())
    }
}

/// RFC 3261 s8.2.2.3: only what a user agent of ours has can be required of it.
fn refuse_required(settings: &Settings, pass: &Pass<'_>) -> Result<(), Refusal> {
    let is_known =
        |tag: &[u8]| ua_supported(settings).split(", ").any(|own| own.as_bytes().eq_ignore_ascii_case(tag));
    missing(pass.msg.values(Header::Require), is_known).map_or(Ok(()), Err)
}

fn came<'m>(pass: &'m Pass<'m>) -> Option<UaCame<'m>> {
    Some(UaCame { server: pass.server?, origin: &pass.origin, msg: pass.msg, ess: pass.ess })
}
