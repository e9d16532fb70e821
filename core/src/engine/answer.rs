//! Writing what the rooms decided: refusals, challenges, capabilities, the 200 of a REGISTER.

use bytes::Bytes;

use super::dispatch::Asker;
use super::{Engine, House};
use crate::auth::{AuthInfo, Challenge};
use crate::base::ids::{self, IdKind};
use crate::base::text::owned;
use crate::config::{OutboundMode, PathMode, Settings};
use crate::ctx::{Ctx, Extra, Origin, Published, Refusal};
use crate::door::{AuthVerdict, Event, Outcome, SaveSeq};
use crate::events::{EVENTLIST, Package};
use crate::registrar::Registered;
use crate::stats::DropReason;
use crate::txn;
use crate::wire::{Header, Kind, Message, ResponseWriter, Status, StatusLine, Via};

/// Writes a response into the arena. `more` adds headers after those copied from the request. `tag` is for a To without
/// one; it is a keyed function of what names the request: a response without state and its repetition carry the same
/// one (RFC 3261 s8.2.7).
fn write(
    house: &mut House,
    origin: &Origin,
    msg: Message<'_>,
    known: Option<(&Via<'_>, bool)>,
    tag: u64,
    status: StatusLine<'_>,
    more: impl FnOnce(&mut Ctx<'_>, &mut ResponseWriter<'_>),
) -> Bytes {
    let tag = ids::write(tag);
    let mut ctx = house.ctx();
    let mut arena = ctx.out.lend();
    let source = (origin.remote.ip(), origin.remote.port());
    let mut writer = match known {
        Some((via, is_tagged)) => {
            let tag = if is_tagged { None } else { Some(tag.as_bytes()) };
            ResponseWriter::answering(&mut arena, msg, via, status, tag, source)
        }
        None => ResponseWriter::new(&mut arena, msg, status, Some(&tag), Some(source)),
    };
    writer.prepared(&ctx.settings.server_line);
    more(&mut ctx, &mut writer);
    let payload = writer.finish();
    ctx.out.restore(arena);
    payload
}

/// Another response to the request that this response of ours answered.
pub(super) fn write_again(house: &mut House, response: Message<'_>, status: Status) -> Bytes {
    let ctx = house.ctx();
    let mut arena = ctx.out.lend();
    let mut writer = ResponseWriter::new(&mut arena, response, status, None, None);
    writer.prepared(&ctx.settings.server_line);
    let payload = writer.finish();
    ctx.out.restore(arena);
    payload
}

/// Writes the response to a request that is being served.
fn write_for(
    house: &mut House,
    asker: &Asker<'_>,
    status: StatusLine<'_>,
    more: impl FnOnce(&mut Ctx<'_>, &mut ResponseWriter<'_>),
) -> Bytes {
    let known = Some((asker.via, asker.is_tagged));
    write(house, &asker.origin, asker.msg, known, asker.id.tag(), status, more)
}

impl Engine {
    pub(super) fn respond(
        &mut self,
        asker: &Asker<'_>,
        status: Status,
        more: impl FnOnce(&mut Ctx<'_>, &mut ResponseWriter<'_>),
    ) {
        let payload = write_for(&mut self.house, asker, status.into(), more);
        self.send_response(asker, status, payload, None);
    }

    /// A response through the transaction if the request has one, without state else.
    fn send_response(&mut self, asker: &Asker<'_>, status: Status, payload: Bytes, after: Option<SaveSeq>) {
        self.house.stats.response(asker.method, status.0);
        let mut ctx = self.house.ctx();
        match asker.server {
            Some(key) => self.rooms.txn.respond(&mut ctx, key, status, payload, after),
            None => txn::respond_stateless(&mut ctx, &asker.origin, asker.via, payload),
        }
    }

    /// A bare final response.
    pub(super) fn answer(&mut self, asker: &Asker<'_>, status: Status) {
        self.respond(asker, status, |_, _| {});
        self.tell_outcome(asker, status, AuthVerdict::NotAsked);
    }

    /// Refuses without having asked who it is.
    pub(super) fn refuse(&mut self, asker: &Asker<'_>, refusal: &Refusal) {
        self.refuse_as(asker, refusal, AuthVerdict::NotAsked);
    }

    pub(super) fn refuse_as(&mut self, asker: &Asker<'_>, refusal: &Refusal, why: AuthVerdict) {
        let status = refusal.status;
        let payload = write_for(&mut self.house, asker, refusal.line(), |ctx, writer| {
            match &refusal.extra {
                Extra::None => writer,
                Extra::MinExpires(seconds) => writer.number(Header::MinExpires, *seconds),
                Extra::MinSe(seconds) => writer.number(Header::MinSe, *seconds),
                Extra::Unsupported(tags) => writer.header(Header::Unsupported, tags.as_bytes()),
                Extra::Require(tag) => writer.header(Header::Require, tag.as_bytes()),
                Extra::AllowEvents => writer.list(Header::AllowEvents, packages(ctx.settings)),
                Extra::Accept(kind) => writer.header(Header::Accept, kind.as_bytes()),
                Extra::AllowOf(methods) => writer.header(Header::Allow, methods.as_bytes()),
                Extra::Allow => writer.list(Header::Allow, methods(ctx.settings)),
                Extra::RecvInfo(packages) => writer.header(Header::RecvInfo, packages.as_bytes()),
                Extra::RetryAfter(seconds) => writer.number(Header::RetryAfter, *seconds),
            };
        });
        self.send_response(asker, status, payload, None);
        self.tell_outcome(asker, status, why);
    }

    /// RFC 3261 s22: challenged, and nothing remembered.
    pub(super) fn challenge(&mut self, asker: &Asker<'_>, challenge: &Challenge, why: AuthVerdict) {
        self.respond(asker, Status::UNAUTHORIZED, |ctx, writer| challenge.write(ctx.settings, writer));
        self.tell_outcome(asker, Status::UNAUTHORIZED, why);
    }

    /// RFC 3261 s10.3 step 8: all current bindings.
    pub(super) fn answer_registered(
        &mut self,
        asker: &Asker<'_>,
        registered: &Registered,
        info: Option<&AuthInfo>,
        why: AuthVerdict,
    ) {
        let registrar = &self.rooms.registrar;
        let payload = write_for(&mut self.house, asker, Status::OK.into(), |ctx, writer| {
            registrar.write_ok(ctx, writer, registered, asker.msg);
            if let Some(info) = info {
                info.write(writer);
            }
        });
        self.stand_on(asker, registered.save, &payload, Status::SERVER_ERROR);
        self.send_response(asker, Status::OK, payload, registered.save);
        self.tell_outcome(asker, Status::OK, why);
    }

    /// RFC 3903 s6 step 6: the new entity tag, and what was granted. 504 if it cannot be made durable.
    pub(super) fn answer_published(
        &mut self,
        asker: &Asker<'_>,
        published: &Published,
        save: Option<SaveSeq>,
    ) {
        let payload = write_for(&mut self.house, asker, Status::OK.into(), |_, writer| {
            writer.header(Header::SipEtag, published.etag.as_bytes());
            writer.number(Header::Expires, published.expires);
        });
        self.stand_on(asker, save, &payload, Status::SERVER_TIMEOUT);
        self.send_response(asker, Status::OK, payload, save);
    }

    /// RFC 3428 s7: a message is kept, and was not delivered. 500 if it cannot be made durable.
    pub(super) fn answer_kept(&mut self, asker: &Asker<'_>, save: Option<SaveSeq>) {
        let payload = write_for(&mut self.house, asker, Status::ACCEPTED.into(), |_, _| {});
        self.stand_on(asker, save, &payload, Status::SERVER_ERROR);
        self.send_response(asker, Status::ACCEPTED, payload, save);
    }

    /// A request with a usable Via that is broken elsewhere: the phrase names the broken part.
    pub(super) fn answer_broken(&mut self, origin: &Origin, msg: Message<'_>, line: StatusLine<'_>) {
        let Ok(via) = msg.via() else {
            return self.drop_input(origin.remote, DropReason::NotSip);
        };
        let tag = self.house.ids.keyed(IdKind::Tag, &[msg.head()]);
        let payload = write(&mut self.house, origin, msg, None, tag, line, |ctx, writer| {
            if line.status() == Status::NOT_IMPLEMENTED {
                writer.list(Header::Allow, methods(ctx.settings));
            }
        });
        self.house.stats.response(msg.method(), line.status().0);
        let mut ctx = self.house.ctx();
        txn::respond_stateless(&mut ctx, origin, &via, payload);
    }

    /// RFC 4320 s4.2, RFC 3261 s17.2.1: should the answer take long, the transaction sends this at its time.
    pub(super) fn prepare_trying(&mut self, asker: &Asker<'_>) {
        let Some(key) = asker.server else { return };
        let payload = write_for(&mut self.house, asker, Status::TRYING.into(), |_, _| {});
        let mut ctx = self.house.ctx();
        self.rooms.txn.trying(&mut ctx, key, payload);
    }

    pub(super) fn tell_outcome(&mut self, asker: &Asker<'_>, status: Status, auth: AuthVerdict) {
        let house = &mut self.house;
        if !house.settings.tell.outcomes {
            return;
        }
        let mut aor = crate::config::AorBuf::new();
        if let Ok(to) = asker.msg.to() {
            house.settings.domains.aor(&to.uri, &mut aor);
        }
        let Kind::Request { method_raw, .. } = asker.msg.kind() else { return };
        house.out.tell(Event::Outcome(Box::new(Outcome {
            method: owned(method_raw),
            status: status.0,
            call_id: owned(asker.msg.header(Header::CallId).unwrap_or_default()),
            aor: owned(&aor),
            remote: asker.origin.remote,
            transport: asker.origin.transport,
            auth,
            identity: asker.who.clone(),
            nanos: u64::try_from(house.now.since(asker.since).as_nanos()).unwrap_or(u64::MAX),
        })));
    }
}

/// Value of Allow: what is switched on.
pub(super) fn methods(settings: &Settings) -> impl Iterator<Item = &'static str> {
    let notify = settings.message_summary.as_ref().is_some_and(|messages| messages.accept_notify);
    let events = settings.has_events();
    let calls = settings.calls.is_some();
    let all = [
        (calls, "INVITE"),
        (calls, "ACK"),
        (calls, "CANCEL"),
        (calls, "BYE"),
        (calls, "PRACK"),
        (calls, "UPDATE"),
        (calls, "INFO"),
        (calls, "REFER"),
        (true, "OPTIONS"),
        (settings.registrar.is_some(), "REGISTER"),
        (events, "SUBSCRIBE"),
        (settings.has_publications(), "PUBLISH"),
        (notify, "NOTIFY"),
        (settings.messages.is_some(), "MESSAGE"),
    ];
    all.into_iter().filter_map(|(on, method)| on.then_some(method))
}

/// Value of Allow-Events.
pub(super) fn packages(settings: &Settings) -> impl Iterator<Item = &'static str> {
    Package::served(settings).map(Package::name)
}

/// Option tags we support (RFC 3262, RFC 3327, RFC 4028, RFC 5626, RFC 5627, RFC 4662).
pub(super) fn options(settings: &Settings) -> impl Iterator<Item = &'static str> {
    let r = settings.registrar.as_ref();
    let path = r.is_some_and(|r| matches!(r.path, PathMode::From(_)));
    let outbound = r.is_some_and(|r| r.outbound == OutboundMode::On);
    let gruu = r.is_some_and(|r| r.gruu);
    let lists = !settings.lists.is_empty();
    let calls = settings.calls.is_some();
    let timers = settings.calls.as_ref().is_some_and(|calls| calls.session_timers);
    let all = [
        (path, "path"),
        (outbound, "outbound"),
        (gruu, "gruu"),
        (lists, EVENTLIST),
        (calls, "100rel"),
        (calls, "replaces"),
        (calls, "norefersub"),
        (calls, "tdialog"),
        (timers, "timer"),
    ];
    all.into_iter().filter_map(|(on, tag)| on.then_some(tag))
}
