//! What REFER asks for, and how whoever asked is told what came of it: RFC 3515, RFC 4488.

use super::Replaces;
use crate::base::text::{clamp_u32, owned};
use crate::ctx::Refusal;
use crate::wire::{Event, Header, Message, NameAddr, Status, Uri, Writer};

/// Content-Type of what came of it.
pub(crate) const FRAGMENT: &[u8] = b"message/sipfrag;version=2.0";

/// Whom a REFER wants to be called.
#[derive(Clone, Debug)]
pub(crate) struct Sought<'m> {
    pub(crate) uri: Uri<'m>,
    /// The same without the headers that a request made of it would have.
    pub(crate) target: Box<str>,
    /// A dialog in whose place the new one is to come (RFC 3891).
    pub(crate) replaces: Option<Replaces>,
    /// Nobody wants to hear of it (RFC 4488).
    pub(crate) quiet: bool,
}

/// What a REFER asks for.
pub(crate) fn sought(msg: Message<'_>) -> Result<Sought<'_>, Refusal> {
    // RFC 3515 s2.4.2: exactly one.
    let bad = Refusal::because(Status::BAD_REQUEST, "Bad Refer-To");
    let value = msg.header(Header::ReferTo).ok_or(bad.clone())?;
    let uri = NameAddr::parse(value).map_err(|_| bad)?.uri;
    // RFC 3515 s2.1: another method than INVITE is nothing we do for anybody.
    let method = uri.params().get(b"method");
    if method.flatten().is_some_and(|method| !method.eq_ignore_ascii_case(b"INVITE")) {
        return Err(Refusal::plain(Status::DECLINE));
    }
    let replaces = Replaces::of_uri(&uri)?;
    let quiet = msg.header(Header::ReferSub).is_some_and(|value| value.trim_ascii().starts_with(b"false"));
    Ok(Sought { uri, target: without_headers(&uri), replaces, quiet })
}

/// The value of Refer-To that asks for a call to this URI in the place of a dialog (RFC 3891 s3).
pub(crate) fn in_place_of(uri: &[u8], replaces: &Replaces) -> Box<str> {
    let mut out = String::from("<");
    // A target with headers of its own would end where ours begin.
    out.push_str(&String::from_utf8_lossy(uri.split(|b| *b == b'?').next().unwrap_or_default()));
    out.push_str("?Replaces=");
    for byte in replaces.value().bytes() {
        match byte {
            b if b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_' | b'~') => {
                out.push(char::from(b));
            }
            b => out.push_str(&format!("%{b:02X}")),
        }
    }
    out.push('>');
    out.into()
}

/// A URI without the headers that a request made of it would have.
pub(crate) fn without_headers(uri: &Uri<'_>) -> Box<str> {
    let raw = uri.raw();
    owned(raw.split(|b| *b == b'?').next().unwrap_or(raw))
}

/// Is a SUBSCRIBE about what came of a REFER?
pub(crate) fn is_of_refer(msg: Message<'_>) -> bool {
    event_of(msg).is_some()
}

fn event_of(msg: Message<'_>) -> Option<Event<'_>> {
    let event = msg.header(Header::Event).and_then(|value| Event::parse(value).ok())?;
    event.package.eq_ignore_ascii_case(b"refer").then_some(event)
}

/// Which REFER such a SUBSCRIBE names, if it names any (RFC 3515 s2.4.6), and for how many seconds it is told more of that:
/// 0 for no more. There is no other end to it than these `most` seconds, so that less is refused (RFC 6665 s4.2.1.1).
pub(crate) fn resubscribed(msg: Message<'_>, most: u32) -> Result<(Option<u32>, u32), Refusal> {
    let id = event_of(msg).and_then(|event| event.id());
    let known = id.map(|id| clamp_u32(id).ok_or(Refusal::plain(Status::NO_TRANSACTION)));
    let asked = msg.expires().unwrap_or(most);
    Refusal::if_too_brief(asked, most)?;
    Ok((known.transpose()?, asked.min(most)))
}

/// Event and Subscription-State of the NOTIFY that tells whoever sent the REFER of this number so much; `left` is for how
/// many seconds more may follow.
pub(crate) fn write_progress(writer: &mut Writer<'_>, refer: u32, status: u16, left: u32) {
    // RFC 3515 s2.4.6.
    writer.header_fmt(Header::Event, format_args!("refer;id={refer}"));
    match status {
        // RFC 6665 s4.1.3: nobody wants to hear more.
        100..=199 if left == 0 => writer.header(Header::SubscriptionState, b"terminated;reason=timeout"),
        100..=199 => writer.header_fmt(Header::SubscriptionState, format_args!("active;expires={left}")),
        _ => writer.header(Header::SubscriptionState, b"terminated;reason=noresource"),
    };
}

/// Its body: the status line of what came of it (RFC 3515 s2.4.5).
pub(crate) fn fragment(status: u16) -> String {
    format!("SIP/2.0 {status} {}\r\n", Status(status).reason())
}
