//! What is made of an INVITE that was sent: the ACK to a final response other than 2xx (RFC 3261 s17.1.1.3), and the
//! CANCEL (RFC 3261 s9.1).

use bytes::Bytes;
use smallvec::SmallVec;

use crate::ctx::Ctx;
use crate::wire::{self, Bounds, Header, Kind, Layout, Message, Method, RequestWriter};

/// Builds the ACK from the INVITE that was sent and the response that came. `None` only if the INVITE cannot be read,
/// which nothing this engine writes is.
pub(super) fn build(ctx: &mut Ctx<'_>, invite: &[u8], response: Message<'_>) -> Option<Bytes> {
    // RFC 3261 s17.1.1.3: To is that of the response, with its tag. RFC 3261 s22.1: the credentials of the INVITE.
    let kept = |header| {
        matches!(
            header,
            Header::From
                | Header::CallId
                | Header::Route
                | Header::Authorization
                | Header::ProxyAuthorization
        )
    };
    derive(ctx, invite, Method::Ack, kept, |_, ack| {
        if let Some(to) = response.lines().find(|line| line.header == Header::To) {
            ack.raw_line(to);
        }
    })
}

/// Is this response of another one than whom this ACK of ours is for?
pub(super) fn is_for_another(ack: &[u8], response: Message<'_>) -> bool {
    let mut layout = Layout::new();
    let Ok(ack) = wire::parse(ack, &mut layout, &Bounds::default()) else { return false };
    let (Ok(refused), Ok(answered)) = (ack.to(), response.to()) else { return false };
    refused.tag() != answered.tag()
}

/// The CANCEL of the INVITE that was sent, and its branch: that of the INVITE. RFC 3326 gives it a reason.
pub(super) fn cancel(
    ctx: &mut Ctx<'_>,
    invite: &[u8],
    reason: Option<&str>,
) -> Option<(SmallVec<[u8; 32]>, Bytes)> {
    // RFC 3261 s9.1: Request-URI, Call-ID, To, the number of CSeq, From and Route are those of the INVITE.
    let kept = |header| matches!(header, Header::From | Header::To | Header::CallId | Header::Route);
    let mut branch = SmallVec::new();
    let payload = derive(ctx, invite, Method::Cancel, kept, |invite, cancel| {
        branch = invite.via().ok().and_then(|via| via.branch()).unwrap_or_default().into();
        if let Some(reason) = reason {
            cancel.header(Header::Reason, reason.as_bytes());
        }
    })?;
    Some((branch, payload))
}

/// A request with the Request-URI, the top Via and some other lines of an INVITE.
fn derive(
    ctx: &mut Ctx<'_>,
    invite: &[u8],
    method: Method,
    kept: impl Fn(Header) -> bool,
    more: impl FnOnce(Message<'_>, &mut RequestWriter<'_>),
) -> Option<Bytes> {
    let mut layout = Layout::new();
    let invite = wire::parse(invite, &mut layout, &Bounds::default()).ok()?;
    let Kind::Request { uri, .. } = invite.kind() else { return None };
    let number = invite.cseq().ok()?.number;
    let mut arena = ctx.out.lend();
    let mut writer = RequestWriter::new(&mut arena, method, uri);
    // One Via, equal to the top one of the INVITE.
    if let Some(via) = invite.values(Header::Via).next() {
        writer.header(Header::Via, via);
    }
    writer.number(Header::MaxForwards, 70);
    for line in invite.lines().filter(|line| kept(line.header)) {
        writer.raw_line(line);
    }
    more(invite, &mut writer);
    writer.cseq(number, method.as_str().as_bytes());
    let payload = writer.finish();
    ctx.out.restore(arena);
    Some(payload)
}
