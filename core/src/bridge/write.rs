//! The messages of calls.

use bytes::Bytes;

use super::Kit;
use super::call::{Asker, CALLER, Hop, Link, Side};
use crate::config::Settings;
use crate::ctx::{Ctx, Origin};
use crate::dialog::reliable::Wants;
use crate::dialog::session_timer;
use crate::dialog::{
    Addressed, Crossing, DATAGRAM, Dialog, Manner, Names, OwnAddress, Way, hides, is_signed, refer,
    write_signature,
};
use crate::door::Transport;
use crate::stats::Counter;
use crate::txn::ServerKey;
use crate::wire::{Header, Message, Method, NameAddr, ResponseWriter, Status, StatusLine, Writer};

/// What a leg may be sent (RFC 3261 s20.5).
pub(super) const ALLOW: &[u8] =
    b"INVITE, ACK, CANCEL, BYE, OPTIONS, PRACK, UPDATE, INFO, MESSAGE, REFER, NOTIFY";

/// What a response says beside what it has from its request.
pub(super) struct Answer<'a> {
    pub(super) line: StatusLine<'a>,
    /// The tag of To, where it has none.
    pub(super) tag: &'a str,
    /// It makes a dialog, or refreshes one: Contact, and of the first INVITE also Record-Route.
    pub(super) dialog: bool,
    /// The response of the other side that it carries on.
    pub(super) from: Option<(Message<'a>, Crossing)>,
    /// What describes the session, of the type that response says.
    pub(super) body: &'a [u8],
}

impl Answer<'_> {
    /// One of our own.
    pub(super) fn own(status: Status) -> Answer<'static> {
        Answer { line: status.into(), tag: "", dialog: false, from: None, body: b"" }
    }
}

/// Answers a request; gives what was sent.
pub(super) fn respond<'a>(
    kit: &mut Kit<'_, '_>,
    server: ServerKey,
    origin: &Origin,
    request: Message<'a>,
    answer: &Answer<'a>,
) -> Bytes {
    respond_with(kit, server, origin, request, answer, |_| {})
}

/// The same, saying more.
pub(super) fn respond_with<'a>(
    kit: &mut Kit<'_, '_>,
    server: ServerKey,
    origin: &Origin,
    request: Message<'a>,
    answer: &Answer<'a>,
    more: impl FnOnce(&mut Writer<'_>),
) -> Bytes {
    respond_as(kit, server, origin, request, (answer, b"application/sdp"), more)
}

/// The same; a body that is no other side's is of this type.
pub(super) fn respond_as<'a>(
    kit: &mut Kit<'_, '_>,
    server: ServerKey,
    origin: &Origin,
    request: Message<'a>,
    (answer, kind): (&Answer<'a>, &'a [u8]),
    more: impl FnOnce(&mut Writer<'_>),
) -> Bytes {
    let ctx = &mut *kit.ctx;
    let mut arena = ctx.out.lend();
    let status = answer.line.status();
    let source = (origin.remote.ip(), origin.remote.port());
    let tag = Some(answer.tag).filter(|tag| !tag.is_empty());
    let mut writer = ResponseWriter::new(&mut arena, request, answer.line, tag, Some(source));
    writer.prepared(&ctx.settings.server_line);
    if answer.dialog {
        writer.record_route();
        OwnAddress::towards(ctx.settings, origin).write_contact(&mut writer, origin);
        writer.header(Header::Allow, ALLOW);
        write_supported(ctx.settings, &mut writer, true);
    }
    more(&mut writer);
    match answer.from {
        Some((from, crossing)) => crossing.write_with(&mut writer, from, answer.body),
        None if answer.body.is_empty() => {}
        None => _ = writer.body(kind, answer.body),
    }
    let payload = writer.finish();
    ctx.out.restore(arena);
    ctx.stats.response(request.method(), status.0);
    kit.txn.respond(kit.ctx, server, status, payload.clone(), None);
    payload
}

/// Our credentials: a header and its value.
type Proof = Option<(Header, String)>;

/// The option tags a leg may count on.
fn write_supported(settings: &Settings, writer: &mut Writer<'_>, reliable: bool) {
    let timers = session_timer::is_on(settings);
    let tags: &[u8] = match (reliable, timers) {
        (true, true) => b"100rel, timer, replaces, norefersub, tdialog",
        (true, false) => b"100rel, replaces, norefersub, tdialog",
        (false, true) => b"timer, replaces, norefersub, tdialog",
        (false, false) => b"replaces, norefersub, tdialog",
    };
    writer.header(Header::Supported, tags);
}

fn write_proof(writer: &mut Writer<'_>, proof: &Proof) {
    if let Some((header, value)) = proof {
        writer.header(*header, value.as_bytes());
    }
}

/// What the first INVITE to anybody says of us.
fn write_first(settings: &Settings, writer: &mut Writer<'_>, reliable: bool, (hop, again): (&Hop, &Again)) {
    // RFC 5393 s5.3.3: each request has one.
    writer.number(Header::MaxBreadth, hop.breadth.max(1).into());
    writer.prepared(&settings.agent_line);
    writer.header(Header::Allow, ALLOW);
    write_supported(settings, writer, reliable);
    session_timer::write_first(settings, writer, again.min_se);
    write_proof(writer, &again.proof);
}

/// What a request of ours within a call says of us.
fn write_within(ctx: &Ctx<'_>, writer: &mut Writer<'_>, side: &Side, method: Method, proof: &Proof) {
    writer.prepared(&ctx.settings.agent_line);
    write_proof(writer, proof);
    if matches!(method, Method::Invite | Method::Update) {
        writer.header(Header::Allow, ALLOW);
        write_supported(ctx.settings, writer, false);
        side.timer.write(ctx.settings, writer);
    }
}

/// What an INVITE says that was refused for not saying it.
#[derive(Clone, Debug, Default)]
pub(super) struct Again {
    /// The shortest session timer the other side takes, in seconds; 0 if it did not say.
    pub(super) min_se: u32,
    /// Our credentials.
    pub(super) proof: Proof,
}

/// What is heard of who calls by somebody behind a trunk, or of ours.
pub(super) fn names(settings: &Settings, trunk: Option<u16>) -> Names {
    let trunks = settings.calls.as_ref().map_or(&[][..], |calls| &calls.trunks);
    match trunk.map(|trunk| trunks.get(usize::from(trunk))) {
        None => Names::Public,
        Some(trunk) if trunk.is_some_and(|trunk| trunk.asserted) => Names::All,
        Some(_) => Names::None,
    }
}

impl Link {
    /// What crosses to a side.
    pub(super) fn crossing(&self, settings: &Settings, to: usize) -> Crossing {
        let [caller, callee] = &self.sides;
        let (to, from) = if to == CALLER { (caller, callee) } else { (callee, caller) };
        let names = match names(settings, to.trunk) {
            Names::Public if from.hides => Names::None,
            names => names,
        };
        Crossing { trusted: from.trusted, names, local: caller.local && callee.local }
    }

    /// Are both named to each other as they name themselves?
    pub(super) fn keeps_names(&self) -> bool {
        let [caller, callee] = &self.sides;
        let (caller, callee) = (&caller.dialog, &callee.dialog);
        (caller.own_uri(), caller.their_uri()) == (callee.their_uri(), callee.own_uri())
    }
}

/// The INVITE to a callee, of a caller whose INVITE says `from`; `base` is the dialog it may make.
pub(super) fn invite(
    kit: &mut Kit<'_, '_>,
    base: &mut Dialog,
    (msg, from): (Message<'_>, &NameAddr<'_>),
    asker: &Asker,
    hop: &Hop,
    again: &Again,
) -> (Bytes, Addressed) {
    base.advance();
    let ctx = &mut *kit.ctx;
    let names = names(ctx.settings, hop.trunk);
    let local = hop.local && asker.trunk.is_none();
    let crossing = Crossing { trusted: asker.trusted, names, local };
    let mut way = Way::to_phone(hop.to, &hop.contact, &hop.path);
    if hop.to.transport == Transport::Udp && msg.raw().len() > DATAGRAM - 200 {
        match base.first_by_stream(ctx, kit.phones, &hop.target, way) {
            Some(stream) => way = stream,
            None => ctx.stats.count(Counter::LargeDatagrams),
        }
    }
    // RFC 7332 s5: counted across the bridge, or a loop over two of us never ends.
    let max_forwards = msg.max_forwards().ok().flatten().map_or(70, |hops| u32::from(hops.saturating_sub(1)));
    let display = from.display.unwrap_or_default();
    let manner = Manner { display, max_forwards, ..Manner::default() };
    let mut arena = ctx.out.lend();
    let (mut writer, addressed) = base.request_as(ctx, &mut arena, Method::Invite, &way, &manner);
    // DECISIONS 21: nothing is asked of the callee that the caller cannot do.
    let single = ctx.settings.calls.as_ref().is_some_and(|calls| calls.single_early_dialog);
    write_first(ctx.settings, &mut writer, !single && Wants::of(msg) != Wants::Nothing, (hop, again));
    // RFC 3325 s5: what the caller proved, as the trunk writes him.
    if !asker.trusted && !asker.identity.account.is_empty() && names.hear(msg) {
        match &hop.from {
            Some(uri) => writer.header_fmt(Header::PAssertedIdentity, format_args!("<{uri}>")),
            None => writer.header_fmt(Header::PAssertedIdentity, format_args!("<sip:{}>", asker.aor)),
        };
        // RFC 3325 s9.3: who is trusted with it is told to keep it.
        if hides(msg) && msg.header(Header::Privacy).is_none() {
            writer.header(Header::Privacy, b"id");
        }
    }
    for (name, value) in hop.lines.iter() {
        writer.other(name.as_bytes(), value.as_bytes());
    }
    // Who is named otherwise, did not sign that.
    if is_signed(msg) && base.own_uri() == from.uri.raw() {
        write_signature(&mut writer, msg);
    }
    crossing.write_with(&mut writer, msg, msg.body());
    let payload = writer.finish();
    ctx.out.restore(arena);
    (payload, addressed)
}

/// The INVITE of a transfer, or of a call that the host begins: without an offer, so that the sought one makes one
/// (RFC 5589 s7, RFC 3725 s4.3).
pub(super) fn invite_sought(
    kit: &mut Kit<'_, '_>,
    base: &mut Dialog,
    referred_by: &str,
    hop: &Hop,
    again: &Again,
) -> (Bytes, Addressed) {
    base.advance();
    let ctx = &mut *kit.ctx;
    let way = Way::to_phone(hop.to, &hop.contact, &hop.path);
    let mut arena = ctx.out.lend();
    let (mut writer, addressed) = base.request(ctx, &mut arena, Method::Invite, &way);
    write_first(ctx.settings, &mut writer, false, (hop, again));
    if !referred_by.is_empty() {
        writer.header(Header::ReferredBy, referred_by.as_bytes());
    }
    for (name, value) in hop.lines.iter() {
        writer.other(name.as_bytes(), value.as_bytes());
    }
    let payload = writer.finish();
    ctx.out.restore(arena);
    (payload, addressed)
}

/// A request of our own to one side, with a body of this type if there is one.
pub(super) fn own(
    kit: &mut Kit<'_, '_>,
    side: &mut Side,
    method: Method,
    number: u32,
    body: Option<(&[u8], &[u8])>,
) -> Option<(Bytes, Addressed)> {
    let changed = body.and_then(|(_, body)| side.change(body));
    let body = body.map(|(kind, body)| (kind, changed.as_deref().unwrap_or(body)));
    let ctx = &mut *kit.ctx;
    let way = side.dialog.way(ctx, kit.phones, &side.aor)?;
    // RFC 3261 s13.2.2.4, s22.3: with the credentials of the INVITE.
    let proof = side.prove(ctx, method);
    let mut arena = ctx.out.lend();
    let manner = Manner { number: Some(number), ..Manner::default() };
    let (mut writer, addressed) = side.dialog.request_as(ctx, &mut arena, method, &way, &manner);
    write_within(ctx, &mut writer, side, method, &proof);
    if let Some((kind, body)) = body.filter(|(_, body)| !body.is_empty()) {
        writer.body(kind, body);
    }
    let payload = writer.finish();
    ctx.out.restore(arena);
    Some((payload, addressed))
}

/// What the one who asked for a transfer is told: the status line of what came of it (RFC 3515 s2.4.5).
pub(super) fn refer_notify(
    kit: &mut Kit<'_, '_>,
    (dialog, aor): (&Dialog, &str),
    refer: u32,
    status: u16,
    left: u32,
) -> Option<(Bytes, Addressed)> {
    let ctx = &mut *kit.ctx;
    let way = dialog.way(ctx, kit.phones, aor)?;
    let mut arena = ctx.out.lend();
    let (mut writer, addressed) = dialog.request(ctx, &mut arena, Method::Notify, &way);
    writer.prepared(&ctx.settings.agent_line);
    refer::write_progress(&mut writer, refer, status, left);
    let fragment = refer::fragment(status);
    writer.body(refer::FRAGMENT, fragment.as_bytes());
    let payload = writer.finish();
    ctx.out.restore(arena);
    Some((payload, addressed))
}

/// A request to one side of a pair, with what another one says if it carries that on. `None` if there is no way.
pub(super) fn request(
    kit: &mut Kit<'_, '_>,
    side: &mut Side,
    method: Method,
    number: u32,
    from: Option<(Message<'_>, Crossing, &[u8])>,
) -> Option<(Bytes, Addressed)> {
    request_with(kit, side, method, number, from, |_| {})
}

/// The same, saying more.
pub(super) fn request_with(
    kit: &mut Kit<'_, '_>,
    side: &mut Side,
    method: Method,
    number: u32,
    from: Option<(Message<'_>, Crossing, &[u8])>,
    more: impl FnOnce(&mut Writer<'_>),
) -> Option<(Bytes, Addressed)> {
    build(kit, side, (method, number), from, b"", more)
}

/// A request of ours alone, with this description of the session, if any.
pub(super) fn request_own(
    kit: &mut Kit<'_, '_>,
    side: &mut Side,
    method: Method,
    number: u32,
    body: &[u8],
) -> Option<(Bytes, Addressed)> {
    build(kit, side, (method, number), None, body, |_| {})
}

fn build(
    kit: &mut Kit<'_, '_>,
    side: &mut Side,
    (method, number): (Method, u32),
    from: Option<(Message<'_>, Crossing, &[u8])>,
    body: &[u8],
    more: impl FnOnce(&mut Writer<'_>),
) -> Option<(Bytes, Addressed)> {
    let ctx = &mut *kit.ctx;
    let mut way = side.dialog.way(ctx, kit.phones, &side.aor)?;
    // What is around a body of ours has about this length.
    let length = from.map_or(body.len() + 600, |(msg, ..)| msg.raw().len());
    if way.to.transport == Transport::Udp && length > DATAGRAM - 200 {
        match side.dialog.way_by_stream(ctx, kit.phones, &side.aor, (way, method == Method::Ack)) {
            Some(stream) => way = stream,
            None => ctx.stats.count(Counter::LargeDatagrams),
        }
    }
    // RFC 3261 s13.2.2.4, s22.3: with the credentials of the INVITE.
    let proof = side.prove(ctx, method);
    let mut arena = ctx.out.lend();
    let manner = Manner { number: Some(number), ..Manner::default() };
    let (mut writer, addressed) = side.dialog.request_as(ctx, &mut arena, method, &way, &manner);
    write_within(ctx, &mut writer, side, method, &proof);
    if !body.is_empty() {
        writer.body(b"application/sdp", body);
    }
    more(&mut writer);
    if let Some((msg, crossing, body)) = from {
        crossing.write_with(&mut writer, msg, body);
    }
    let payload = writer.finish();
    ctx.out.restore(arena);
    Some((payload, addressed))
}
