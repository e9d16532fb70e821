//! The ACK to a non-2xx final response: part of the INVITE transaction, and so written here. RFC 3261 s17.1.1.3.

use bytes::Bytes;

use crate::ctx::Ctx;
use crate::wire::{self, Bounds, Header, Kind, Layout, Message, Method, RequestWriter};

/// Builds the ACK from the INVITE that was sent and the response that came. `None` only if the INVITE cannot be read,
/// which nothing this engine writes is.
pub(super) fn build(ctx: &mut Ctx<'_>, invite: &[u8], response: Message<'_>) -> Option<Bytes> {
    let mut layout = Layout::new();
    let invite = wire::parse(invite, &mut layout, &Bounds::default()).ok()?;
    let Kind::Request { uri, .. } = invite.kind() else { return None };
    let number = invite.cseq().ok()?.number;
    let mut arena = ctx.out.lend();
    let mut ack = RequestWriter::new(&mut arena, Method::Ack, uri);
    // One Via, equal to the top one of the INVITE.
    if let Some(via) = invite.values(Header::Via).next() {
        ack.header(Header::Via, via);
    }
    ack.number(Header::MaxForwards, 70);
    for line in invite.lines().filter(|line| is_copied(line.header)) {
        ack.raw_line(line);
    }
    // RFC 3261 s17.1.1.3: To is that of the response, with its tag.
    if let Some(to) = response.lines().find(|line| line.header == Header::To) {
        ack.raw_line(to);
    }
    ack.cseq(number, b"ACK");
    let payload = ack.finish();
    ctx.out.restore(arena);
    Some(payload)
}

/// RFC 3261 s17.1.1.3: From, Call-ID, and Route in order. RFC 3261 s22.1: the credentials of the INVITE.
fn is_copied(header: Header) -> bool {
    matches!(
        header,
        Header::From | Header::CallId | Header::Route | Header::Authorization | Header::ProxyAuthorization
    )
}
