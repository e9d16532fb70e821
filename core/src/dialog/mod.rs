//! A dialog as the one who was asked into it: its identifier, where it leads and in which order. RFC 3261 s12.
//!
//! All text of a dialog is one boxed blob; spans say where each part lies.

mod crossing;
mod own;
mod peer;
mod reach;
pub(crate) mod refer;
pub(crate) mod reliable;
mod replaces;
pub(crate) mod session_timer;
mod stored;

use core::net::IpAddr;

use smallvec::SmallVec;

use crate::base::HashKey;
use crate::base::ids::{IdKind, IdText};
use crate::ctx::{Ctx, Origin, Refusal};
use crate::door::FlowId;
use crate::txn::Instead;
use crate::wire::{
    Arena, ContactValue, Essentials, Header, Message, Method, NameAddr, RequestWriter, Status,
};

pub(crate) use crossing::{Crossing, Names, hides, is_signed, write_signature};
pub(crate) use own::OwnAddress;
pub(crate) use reach::{DATAGRAM, Way};
pub(crate) use replaces::{Replaces, tags};

use peer::Proved;
use reach::Aim;

/// More than this of names, tags and routes is not kept of a dialog.
const LONGEST: usize = 4096;
/// A dialog that a request from a peer made.
#[derive(Clone, Debug)]
pub(crate) struct Dialog {
    text: Box<[u8]>,
    /// Ends of the Call-ID, our tag, their tag, our URI, their URI, their target, the route set; their instance is the
    /// rest.
    ends: [u16; PARTS - 1],
    /// The number of the last request we sent.
    cseq: u32,
    /// The number of the last request they sent.
    their_cseq: u32,
    /// Where their last request came from.
    origin: Origin,
    /// What it says of the way back.
    aim: Aim,
    /// Who the peer proved to be.
    proved: Option<Box<Proved>>,
}

/// Parts of the text of a dialog.
const PARTS: usize = 8;

/// The text of a dialog, and where each part but the last ends.
type Text = (Box<[u8]>, [u16; PARTS - 1]);

/// What a request within a dialog needs to be sent.
pub(crate) struct Addressed {
    /// Where it goes.
    pub(crate) to: Origin,
    /// The branch of its Via.
    pub(crate) branch: SmallVec<[u8; 32]>,
    /// How it goes if the connection that its size asks for is refused.
    pub(crate) instead: Option<Box<Instead>>,
}

/// What of a request within a dialog may differ from the ordinary.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Manner<'m> {
    /// Its number, if it is not the one that was taken last: ACK has that of its INVITE.
    pub(crate) number: Option<u32>,
    /// The display name of From, as it stands between quotes; empty for none.
    pub(crate) display: &'m [u8],
    /// Max-Forwards. RFC 3261 s8.1.1.6.
    pub(crate) max_forwards: u32,
    /// The user part of Contact; empty for none.
    pub(crate) contact: &'m str,
    /// Its Contact is a `sips:` URI where TLS is spoken.
    pub(crate) sips: bool,
}

impl Default for Manner<'_> {
    fn default() -> Self {
        Manner { number: None, display: b"", max_forwards: 70, contact: "", sips: true }
    }
}

impl Dialog {
    const TARGET: usize = 5;
    const ROUTES: usize = 6;
    const INSTANCE: usize = 7;

    /// The dialog that our answer with this tag makes of a request (RFC 3261 s12.1.1).
    pub(crate) fn new(
        ctx: &mut Ctx<'_>,
        origin: &Origin,
        msg: Message<'_>,
        ess: &Essentials<'_>,
        tag: &IdText,
    ) -> Result<Dialog, Refusal> {
        let (target, instance) = target_of(msg)?.ok_or(bad("Missing Contact"))?;
        let mut routes: SmallVec<[u8; 256]> = SmallVec::new();
        for value in msg.values(Header::RecordRoute) {
            NameAddr::parse(value).map_err(|_| bad("Malformed Record-Route"))?;
            if !routes.is_empty() {
                routes.extend_from_slice(b", ");
            }
            routes.extend_from_slice(value);
        }
        let parts: [&[u8]; PARTS] = [
            ess.call_id,
            tag.as_bytes(),
            ess.from.tag().unwrap_or_default(),
            ess.to.uri.raw(),
            ess.from.uri.raw(),
            target,
            &routes,
            instance,
        ];
        let mut dialog = Dialog {
            text: Box::default(),
            ends: [0; PARTS - 1],
            // RFC 3261 s12.2.1.1: any number below 2^31; ours leaves room to count for the life of a phone.
            cseq: (ctx.ids.next(IdKind::Cseq) >> 36) as u32,
            their_cseq: ess.cseq.number,
            origin: *origin,
            aim: Aim::of(ctx.settings, origin, Some(&ess.via), target, &routes),
            proved: Proved::on(ctx, origin.flow),
        };
        dialog.write(&parts)?;
        Ok(dialog)
    }

    fn write(&mut self, parts: &[&[u8]; PARTS]) -> Result<(), Refusal> {
        (self.text, self.ends) = Dialog::written(parts)?;
        Ok(())
    }

    /// The text of these parts, and where each ends.
    fn written(parts: &[&[u8]; PARTS]) -> Result<Text, Refusal> {
        let length = parts.iter().map(|part| part.len()).sum::<usize>();
        if length > LONGEST {
            return Err(Refusal::plain(Status::MESSAGE_TOO_LARGE));
        }
        let mut text = Vec::with_capacity(length);
        let mut ends = [0; PARTS - 1];
        for (i, part) in parts.iter().enumerate() {
            text.extend_from_slice(part);
            if let Some(end) = ends.get_mut(i) {
                *end = text.len() as u16;
            }
        }
        // What a fold leaves is a space (RFC 3261 s7.3.1).
        if memchr::memchr2(b'\r', b'\n', &text).is_some() {
            text.iter_mut().filter(|b| matches!(b, b'\r' | b'\n')).for_each(|b| *b = b' ');
        }
        Ok((text.into_boxed_slice(), ends))
    }

    /// A dialog that a request of ours may make.
    pub(crate) fn opened(
        ctx: &mut Ctx<'_>,
        to: &Origin,
        call_id: &[u8],
        own_uri: &[u8],
        their_uri: &[u8],
    ) -> Option<Dialog> {
        Dialog::towards(ctx, to, call_id, (own_uri, their_uri), their_uri)
    }

    fn towards(
        ctx: &mut Ctx<'_>,
        to: &Origin,
        call_id: &[u8],
        (own_uri, their_uri): (&[u8], &[u8]),
        target: &[u8],
    ) -> Option<Dialog> {
        let tag = ctx.ids.next_text(IdKind::Tag);
        let cseq = (ctx.ids.next(IdKind::Cseq) >> 36) as u32;
        let aim = Aim::of(ctx.settings, to, None, target, b"");
        let parts: [&[u8]; PARTS] = [call_id, tag.as_bytes(), b"", own_uri, their_uri, target, b"", b""];
        let (text, ends) = Dialog::written(&parts).ok()?;
        Some(Dialog { text, ends, cseq, their_cseq: 0, origin: *to, aim, proved: None })
    }

    /// The dialog that an INVITE of ours to this phone makes, as far as it is known before the answer. What names it
    /// is known when the peer's tag is ([`answered`](Self::answered)).
    pub(crate) fn inviting(
        ctx: &mut Ctx<'_>,
        to: &Origin,
        own_uri: &[u8],
        their_uri: &[u8],
        target: &[u8],
    ) -> Option<Dialog> {
        let call_id = ctx.ids.next_text(IdKind::CallId);
        Dialog::towards(ctx, to, call_id.as_bytes(), (own_uri, their_uri), target)
    }

    /// The dialog that an answer to an INVITE of ours makes, when nothing is known of the INVITE any more: enough to
    /// acknowledge and to end it. `None` if the answer cannot be read.
    pub(crate) fn of_answer(ctx: &Ctx<'_>, to: &Origin, msg: Message<'_>) -> Option<Dialog> {
        let (from, peer) = (msg.from().ok()?, msg.to().ok()?);
        let mut dialog = Dialog {
            text: Box::default(),
            ends: [0; PARTS - 1],
            cseq: msg.cseq().ok()?.number,
            their_cseq: 0,
            origin: *to,
            aim: Aim::default(),
            proved: None,
        };
        let (own_uri, uri) = (from.uri.raw(), peer.uri.raw());
        let own_tag = from.tag().unwrap_or_default();
        dialog.write(&[msg.call_id().ok()?, own_tag, b"", own_uri, uri, uri, b"", b""]).ok()?;
        dialog.learn_of_response(msg);
        dialog.take_aim(ctx);
        Some(dialog)
    }

    /// RFC 3261 s12.1.2: a response to our INVITE names the peer, and where its further requests go.
    /// `tag` is that of its To.
    pub(crate) fn learn_of_answer(&mut self, ctx: &Ctx<'_>, msg: Message<'_>, tag: &[u8]) {
        self.learn_peer(ctx);
        if let Some(learned) = self.learned_of_response(msg, tag) {
            (self.text, self.ends) = learned;
            self.take_aim(ctx);
        }
    }

    /// The dialog that a response to our INVITE with this tag makes of what was known before. Each of them makes its own.
    pub(crate) fn answered(&self, ctx: &Ctx<'_>, msg: Message<'_>, tag: &[u8]) -> Dialog {
        let learned = self.learned_of_response(msg, tag);
        let (text, ends) = learned.unwrap_or_else(|| (self.text.clone(), self.ends));
        let Dialog { cseq, their_cseq, origin, aim, .. } = *self;
        let mut dialog = Dialog { text, ends, cseq, their_cseq, origin, aim, proved: None };
        dialog.take_aim(ctx);
        dialog.learn_peer(ctx);
        dialog
    }

    fn take_aim(&mut self, ctx: &Ctx<'_>) {
        let (target, routes) = (self.part(Dialog::TARGET), self.part(Dialog::ROUTES));
        self.aim = Aim::of(ctx.settings, &self.origin, None, target, routes).after(self.aim);
    }

    /// The same with a route set from before the first request (RFC 3261 s8.1.2); too long a one is none.
    pub(crate) fn routed(mut self, routes: &[u8]) -> Dialog {
        let mut parts = self.parts();
        parts[Dialog::ROUTES] = routes;
        if let Ok(written) = Dialog::written(&parts) {
            (self.text, self.ends) = written;
        }
        self
    }

    /// The INVITE that makes it goes to somebody else (RFC 3261 s8.1.3.4). False if that is too long.
    pub(crate) fn go_to(&mut self, target: &[u8]) -> bool {
        let mut parts = self.parts();
        parts[Dialog::TARGET] = target;
        let written = Dialog::written(&parts);
        let fits = written.is_ok();
        if let Ok(written) = written {
            (self.text, self.ends) = written;
        }
        fits
    }

    /// The way to the peer has changed: its next request goes there.
    pub(crate) fn go_by(&mut self, ctx: &Ctx<'_>, to: &Origin) {
        self.origin = *to;
        self.take_aim(ctx);
    }

    /// The tag of the peer; empty if it is not known, or has none.
    pub(crate) fn their_tag(&self) -> &[u8] {
        self.part(2)
    }

    /// Our tag.
    pub(crate) fn own_tag(&self) -> &[u8] {
        self.part(1)
    }

    /// Our URI, as From and To name it.
    pub(crate) fn own_uri(&self) -> &[u8] {
        self.part(3)
    }

    /// The URI of the peer, as From and To name it.
    pub(crate) fn their_uri(&self) -> &[u8] {
        self.part(4)
    }

    /// To where its first request went.
    pub(crate) fn straight(&self) -> Way<'static> {
        Way { to: self.origin, instead: None, phone: None }
    }

    /// Its Call-ID.
    pub(crate) fn call_id(&self) -> &[u8] {
        self.part(0)
    }

    /// The Request-URI of our next request.
    pub(crate) fn target(&self) -> &[u8] {
        self.part(5)
    }

    /// Is the request in this dialog, or may it make it?
    pub(crate) fn may_have(&self, ess: &Essentials<'_>) -> bool {
        let theirs = self.part(2);
        self.part(0) == ess.call_id
            && self.part(1) == ess.to.tag().unwrap_or_default()
            && (theirs.is_empty() || theirs == ess.from.tag().unwrap_or_default())
    }

    /// RFC 3261 s12.1.2: the 2xx to our request names the peer. One of another dialog changes nothing.
    pub(crate) fn learn_of_response(&mut self, msg: Message<'_>) {
        let tag = msg.to().ok().and_then(|to| to.tag()).unwrap_or_default();
        if let Some(learned) = self.learned_of_response(msg, tag) {
            (self.text, self.ends) = learned;
        }
    }

    fn learned_of_response(&self, msg: Message<'_>, tag: &[u8]) -> Option<Text> {
        let routes: SmallVec<[&[u8]; 4]> = msg.values(Header::RecordRoute).collect();
        // RFC 3261 s12.1.2: in reverse order.
        self.learned(tag, msg, routes.iter().rev().copied())
    }

    /// RFC 6665 s4.1.3: so does a NOTIFY, which may come first. 500 for one that was overtaken.
    pub(crate) fn learn_of_request(&mut self, msg: Message<'_>, ess: &Essentials<'_>) -> Result<(), Refusal> {
        if !self.part(2).is_empty() && ess.cseq.number <= self.their_cseq {
            return Err(Refusal::because(Status::SERVER_ERROR, "CSeq Out of Order"));
        }
        let routes: SmallVec<[&[u8]; 4]> = msg.values(Header::RecordRoute).collect();
        if let Some(learned) = self.learned(ess.from.tag().unwrap_or_default(), msg, routes.iter().copied()) {
            (self.text, self.ends) = learned;
        }
        self.their_cseq = ess.cseq.number;
        Ok(())
    }

    /// The text with what a message says; `None` if that is nothing new, or of another dialog, or too much.
    fn learned<'m>(
        &self,
        tag: &[u8],
        msg: Message<'_>,
        routes: impl Iterator<Item = &'m [u8]>,
    ) -> Option<Text> {
        let mut parts = self.parts();
        let known = !parts[2].is_empty();
        if known && (parts[2] != tag || self.is_target(msg)) {
            return None;
        }
        let target = target_of(msg).ok().flatten().map_or(parts[5], |(target, _)| target);
        if known && target == parts[5] {
            return None;
        }
        (parts[2], parts[5]) = (tag, target);
        let mut set: SmallVec<[u8; 256]> = SmallVec::new();
        // The route set is that of the message that made the dialog.
        if !known {
            for route in routes {
                set.extend_from_slice(if set.is_empty() { b"" } else { b", " });
                set.extend_from_slice(route);
            }
            parts[6] = &set;
        }
        Dialog::written(&parts).ok()
    }

    /// Does a message say at first sight that the target is what it was?
    fn is_target(&self, msg: Message<'_>) -> bool {
        let contact = msg.header(Header::Contact).and_then(|contact| contact.strip_prefix(b"<"));
        contact
            .and_then(|contact| contact.strip_prefix(self.target()))
            .is_some_and(|rest| rest.starts_with(b">"))
    }

    /// The number of the last request we sent.
    pub(crate) fn cseq(&self) -> u32 {
        self.cseq
    }

    /// The request of this number was never sent: the next one has it, unless another was numbered meanwhile (RFC 3261
    /// s12.2.1.1).
    pub(crate) fn take_back(&mut self, number: u32) {
        if self.cseq == number {
            self.cseq -= 1;
        }
    }

    fn part(&self, number: usize) -> &[u8] {
        let start = number.checked_sub(1).and_then(|before| self.ends.get(before)).copied().unwrap_or(0);
        let end = self.ends.get(number).map_or(self.text.len(), |end| usize::from(*end));
        self.text.get(usize::from(start)..end).unwrap_or_default()
    }

    fn parts(&self) -> [&[u8]; PARTS] {
        core::array::from_fn(|i| self.part(i))
    }

    /// The hash a dialog is found by: that of its Call-ID and both tags (RFC 3261 s12).
    pub(crate) fn hash(&self, key: &HashKey) -> u64 {
        key.hash_parts(&[self.part(0), self.part(1), self.part(2)])
    }

    /// The same of the dialog a request says it is in.
    pub(crate) fn hash_of(key: &HashKey, ess: &Essentials<'_>) -> u64 {
        let (ours, theirs) = (ess.to.tag().unwrap_or_default(), ess.from.tag().unwrap_or_default());
        key.hash_parts(&[ess.call_id, ours, theirs])
    }

    /// Is the request in this dialog?
    pub(crate) fn has(&self, ess: &Essentials<'_>) -> bool {
        self.part(0) == ess.call_id
            && self.part(1) == ess.to.tag().unwrap_or_default()
            && self.part(2) == ess.from.tag().unwrap_or_default()
    }

    /// Takes a request of the peer into account: its number, its target, where it came from. Nothing is changed if it is
    /// refused.
    pub(crate) fn accept(
        &mut self,
        ctx: &Ctx<'_>,
        origin: &Origin,
        msg: Message<'_>,
        ess: &Essentials<'_>,
    ) -> Result<(), Refusal> {
        // RFC 3261 s12.2.2: what is out of order is 500.
        if ess.cseq.number <= self.their_cseq {
            return Err(Refusal::because(Status::SERVER_ERROR, "CSeq Out of Order"));
        }
        self.check_peer(ctx, origin)?;
        // RFC 3261 s12.2: only these refresh the target; RFC 6665 s4.4.1: SUBSCRIBE does.
        let target = match msg.method() {
            Method::Invite | Method::Update | Method::Subscribe | Method::Notify | Method::Refer => {
                target_of(msg)?
            }
            _ => None,
        };
        if let Some((target, instance)) = target
            && (target != self.part(Dialog::TARGET) || instance != self.part(Dialog::INSTANCE))
        {
            let mut parts = self.parts();
            (parts[Dialog::TARGET], parts[Dialog::INSTANCE]) = (target, instance);
            (self.text, self.ends) = Dialog::written(&parts)?;
        }
        self.their_cseq = ess.cseq.number;
        let moved = (self.origin.remote, self.origin.transport) != (origin.remote, origin.transport);
        self.origin = *origin;
        let (target, routes) = (self.part(Dialog::TARGET), self.part(Dialog::ROUTES));
        let aim = Aim::of(ctx.settings, origin, Some(&ess.via), target, routes);
        self.aim = if moved { aim } else { aim.after(self.aim) };
        Ok(())
    }

    /// The connection of the peer's last request, unless that was a datagram.
    pub(crate) fn stream(&self) -> Option<FlowId> {
        self.origin.transport.is_reliable().then_some(self.origin.flow)
    }

    /// Where the peer's last request came from.
    pub(crate) fn source(&self) -> IpAddr {
        self.origin.remote.ip().to_canonical()
    }

    /// Takes the number of the next request of ours.
    pub(crate) fn advance(&mut self) {
        self.cseq += 1;
    }

    /// Begins a request of ours, with the number that was taken last: Via, Max-Forwards, From, To, Call-ID, CSeq, Route
    /// and Contact are written.
    pub(crate) fn request<'a>(
        &self,
        ctx: &mut Ctx<'_>,
        arena: &'a mut Arena,
        method: Method,
        way: &Way<'_>,
    ) -> (RequestWriter<'a>, Addressed) {
        self.request_as(ctx, arena, method, way, &Manner::default())
    }

    /// The same in another manner.
    pub(crate) fn request_as<'a>(
        &self,
        ctx: &mut Ctx<'_>,
        arena: &'a mut Arena,
        method: Method,
        way: &Way<'_>,
        manner: &Manner<'_>,
    ) -> (RequestWriter<'a>, Addressed) {
        let to = way.to;
        let mut branch: SmallVec<[u8; 32]> = SmallVec::from_slice(b"z9hG4bK");
        branch.extend_from_slice(ctx.ids.next_text(IdKind::Branch).as_bytes());
        let own = OwnAddress::towards(ctx.settings, &to);
        let (target, routes) = way.phone.unwrap_or((self.part(Dialog::TARGET), self.part(Dialog::ROUTES)));
        let mut writer = RequestWriter::new(arena, method, target);
        let text = core::str::from_utf8(&branch).unwrap_or_default();
        own.write_via(&mut writer, &to, text);
        writer.number(Header::MaxForwards, manner.max_forwards);
        for (header, uri, tag) in [(Header::From, 3, 1), (Header::To, 4, 2)] {
            writer.value(header, |value| {
                if header == Header::From && !manner.display.is_empty() {
                    value.literal("\"");
                    value.text(manner.display);
                    value.literal("\" ");
                }
                value.literal("<");
                value.text(self.part(uri));
                value.literal(">");
                if !self.part(tag).is_empty() {
                    value.literal(";tag=");
                    value.text(self.part(tag));
                }
            });
        }
        writer.header(Header::CallId, self.part(0));
        writer.cseq(manner.number.unwrap_or(self.cseq), method.as_str().as_bytes());
        if !routes.is_empty() {
            writer.header(Header::Route, routes);
        }
        // RFC 3261 s20, table 2: these have none. The peer goes on sending where it sent to, whichever way this request
        // takes.
        // REGISTER says what it registers itself.
        if matches!(
            method,
            Method::Ack | Method::Bye | Method::Prack | Method::Info | Method::Message | Method::Register
        ) {
        } else if to.flow == self.origin.flow {
            own.write_contact_with(&mut writer, &to, (manner.contact, manner.sips), |_| {});
        } else {
            let own = OwnAddress::towards(ctx.settings, &self.origin);
            own.write_contact_with(&mut writer, &self.origin, (manner.contact, manner.sips), |_| {});
        }
        let instead = way.instead.map(|to| {
            let own = OwnAddress::towards(ctx.settings, &to);
            let (transport, host) = (to.transport.via_token(), own.host());
            let port = own.port.map(|port| format!(":{port}")).unwrap_or_default();
            let via = format!("SIP/2.0/{transport} {host}{port};branch={text};rport");
            Box::new(Instead { to, via: via.into_bytes().into() })
        });
        (writer, Addressed { to, branch, instead })
    }
}

fn bad(reason: &'static str) -> Refusal {
    Refusal::because(Status::BAD_REQUEST, reason)
}

/// A target, and the instance it is of; that is empty for none.
type Target<'m> = (&'m [u8], &'m [u8]);

/// The one Contact of a request that makes or refreshes a dialog (RFC 3261 s8.1.1.8), and its instance.
fn target_of(msg: Message<'_>) -> Result<Option<Target<'_>>, Refusal> {
    const MALFORMED: Refusal = Refusal::because(Status::BAD_REQUEST, "Malformed Contact");
    let mut values = msg.values(Header::Contact);
    let Some(value) = values.next() else { return Ok(None) };
    let contact = ContactValue::parse(value);
    let Ok(ContactValue::Addr(addr)) = contact else { return Err(MALFORMED) };
    if values.next().is_some() || !addr.uri.is_sip() {
        return Err(MALFORMED);
    }
    Ok(Some((addr.uri.raw(), contact.ok().and_then(|contact| contact.instance()).unwrap_or_default())))
}

#[cfg(test)]
mod tests;
