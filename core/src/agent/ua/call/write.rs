//! The messages of calls of user agents.

use bytes::Bytes;

use super::super::{ALLOW, Kit, Ua, UaKey, Uas, supported};
use super::{Asked, Call};
use crate::agent::wants_stream;
use crate::ctx::{Ctx, Origin};
use crate::dialog::session_timer::{self, SessionTimer};
use crate::dialog::{Addressed, Dialog, OwnAddress, Way};
use crate::proof::Proofs;
use crate::stats::Counter;
use crate::txn::ServerKey;
use crate::wire::{Header, Message, Method, ResponseWriter, Status, Writer};

/// A body and its type; both empty for none.
pub(super) type Content<'a> = (&'a [u8], &'a [u8]);

pub(super) const SDP: &[u8] = b"application/sdp";

/// What else a request says.
pub(super) type More<'a> = &'a dyn Fn(&mut Writer<'_>);

/// A request within a call, or the one that begins it. `number` is that of another request, for ACK.
pub(super) fn request(
    kit: &mut Kit<'_, '_>,
    ua: &Ua,
    call: &mut Call,
    (method, number): (Method, Option<u32>),
    more: More<'_>,
    content: Content<'_>,
) -> Option<(Bytes, Addressed)> {
    if number.is_none() {
        call.dialog.advance();
    }
    let within = (&call.dialog, &mut call.proofs, Some(&call.timer));
    request_in(kit, ua, within, (method, number), more, content)
}

/// The same in another dialog of the call.
pub(super) fn request_in(
    kit: &mut Kit<'_, '_>,
    ua: &Ua,
    (dialog, proofs, timer): (&Dialog, &mut Proofs, Option<&SessionTimer>),
    (method, number): (Method, Option<u32>),
    more: More<'_>,
    (kind, body): Content<'_>,
) -> Option<(Bytes, Addressed)> {
    let ctx = &mut *kit.ctx;
    let begins = dialog.their_tag().is_empty();
    let way = match begins {
        true => dialog.straight(),
        false => dialog.way(ctx, kit.phones, "")?,
    };
    let proof = match method {
        Method::Ack => Vec::new(),
        _ => proofs.headers(ctx, &way.to(), &ua.means(), method.as_str(), (dialog.target(), body)),
    };
    let manner = crate::dialog::Manner { number, ..ua.manner() };
    let what = Said { method, proof: &proof, timer, more, kind, body };
    let made = write(ctx, dialog, &way, &manner, &what);
    if !wants_stream(&made.0, &made.1) || method == Method::Ack {
        return Some(made);
    }
    let stream = match begins {
        true => dialog.straight_by_stream(ctx),
        false => dialog.way_by_stream(ctx, kit.phones, "", (way, method == Method::Bye)),
    };
    match stream {
        Some(stream) => Some(write(ctx, dialog, &stream, &manner, &what)),
        None => {
            ctx.stats.count(Counter::LargeDatagrams);
            Some(made)
        }
    }
}

/// What a request says beside what each says.
struct Said<'a> {
    method: Method,
    proof: &'a [(Header, String)],
    timer: Option<&'a SessionTimer>,
    more: More<'a>,
    kind: &'a [u8],
    body: &'a [u8],
}

fn write(
    ctx: &mut Ctx<'_>,
    dialog: &Dialog,
    way: &Way<'_>,
    manner: &crate::dialog::Manner<'_>,
    said: &Said<'_>,
) -> (Bytes, Addressed) {
    let Said { method, proof, timer, more, kind, body } = *said;
    let mut arena = ctx.out.lend();
    let (mut writer, addressed) = dialog.request_as(ctx, &mut arena, method, way, manner);
    writer.prepared(&ctx.settings.agent_line);
    for (header, value) in proof {
        writer.header(*header, value.as_bytes());
    }
    if matches!(method, Method::Invite | Method::Update) {
        writer.header(Header::Allow, ALLOW.as_bytes());
        writer.header(Header::Supported, supported(ctx.settings).as_bytes());
        match timer {
            Some(timer) if dialog.their_tag().is_empty() => {
                session_timer::write_first(ctx.settings, &mut writer, timer.min_se);
            }
            Some(timer) => timer.write(ctx.settings, &mut writer),
            None => {}
        }
    }
    if method == Method::Invite {
        writer.header(Header::Accept, SDP);
    }
    more(&mut writer);
    if !body.is_empty() {
        writer.body(kind, body);
    }
    let payload = writer.finish();
    ctx.out.restore(arena);
    (payload, addressed)
}

/// The bare request that ends, or acknowledges, what nobody knows any more.
pub(super) fn bare(
    kit: &mut Kit<'_, '_>,
    dialog: &Dialog,
    method: Method,
    number: Option<u32>,
) -> Option<(Bytes, Addressed)> {
    let ctx = &mut *kit.ctx;
    let way = dialog.way(ctx, kit.phones, "")?;
    let manner = crate::dialog::Manner { number, ..Default::default() };
    let mut arena = ctx.out.lend();
    let (mut writer, addressed) = dialog.request_as(ctx, &mut arena, method, &way, &manner);
    writer.prepared(&ctx.settings.agent_line);
    let payload = writer.finish();
    ctx.out.restore(arena);
    Some((payload, addressed))
}

/// What is answered.
#[derive(Clone, Copy)]
pub(super) struct Answered<'a> {
    pub(super) server: ServerKey,
    pub(super) origin: &'a Origin,
    pub(super) msg: Message<'a>,
    /// Our tag, where To has none.
    pub(super) tag: &'a str,
}

impl Uas {
    /// Answers a request; gives what was sent.
    pub(super) fn respond(
        &mut self,
        kit: &mut Kit<'_, '_>,
        ua: UaKey,
        answered: Answered<'_>,
        status: u16,
        content: Content<'_>,
    ) -> Bytes {
        self.respond_as(kit, ua, answered, status, &|_| {}, content)
    }

    /// The same, saying more.
    pub(super) fn respond_as(
        &mut self,
        kit: &mut Kit<'_, '_>,
        ua: UaKey,
        answered: Answered<'_>,
        status: u16,
        more: More<'_>,
        (kind, body): Content<'_>,
    ) -> Bytes {
        let Answered { server, origin, msg, tag } = answered;
        let ctx = &mut *kit.ctx;
        let mut arena = ctx.out.lend();
        let source = (origin.remote.ip(), origin.remote.port());
        let tag = Some(tag).filter(|tag| !tag.is_empty());
        let mut writer = ResponseWriter::new(&mut arena, msg, Status(status), tag, Some(source));
        writer.prepared(&ctx.settings.server_line);
        // RFC 3261 s12.1.1, s13.3.1: what makes the dialog, or refreshes it.
        let target =
            matches!(msg.method(), Method::Invite | Method::Update | Method::Refer | Method::Subscribe);
        if (101..300).contains(&status) && target {
            writer.record_route();
            write_contact(ctx.settings, &mut writer, self.list.get(ua), origin);
        }
        if target && (200..300).contains(&status) || status == 405 {
            writer.header(Header::Allow, ALLOW.as_bytes());
        }
        if target && (200..300).contains(&status) {
            writer.header(Header::Supported, supported(ctx.settings).as_bytes());
        }
        if status == 469 {
            // RFC 6086 s4.2.2: none.
            writer.header(Header::RecvInfo, b"");
        }
        more(&mut writer);
        if !body.is_empty() {
            writer.body(kind, body);
        }
        let payload = writer.finish();
        ctx.out.restore(arena);
        ctx.stats.response(msg.method(), status);
        kit.txn.respond(kit.ctx, server, Status(status), payload.clone(), None);
        payload
    }

    /// The same of what the host was asked.
    pub(super) fn respond_to(
        &mut self,
        kit: &mut Kit<'_, '_>,
        ua: UaKey,
        asked: &Asked,
        status: u16,
        sdp: &[u8],
    ) -> Bytes {
        self.respond_with(kit, ua, asked, status, sdp, &|_| {})
    }

    /// The same, saying more.
    pub(super) fn respond_with(
        &mut self,
        kit: &mut Kit<'_, '_>,
        ua: UaKey,
        asked: &Asked,
        status: u16,
        sdp: &[u8],
        more: More<'_>,
    ) -> Bytes {
        let msg = asked.held.message();
        let answered = Answered { server: asked.server, origin: &asked.origin, msg, tag: &asked.tag };
        self.respond_as(kit, ua, answered, status, more, (SDP, sdp))
    }
}

fn write_contact(
    settings: &crate::config::Settings,
    writer: &mut Writer<'_>,
    ua: Option<&Ua>,
    origin: &Origin,
) {
    let Some(ua) = ua else { return };
    let contact = (&*ua.contact, ua.is_secure());
    OwnAddress::towards(settings, origin).write_contact_with(writer, origin, contact, |_| {});
}
