//! What crosses of a MESSAGE, from its sender to a phone of its recipient: RFC 3428, DECISIONS 22 and 23.
//!
//! Nothing of the sender's side of the network crosses: Via, Route, Record-Route, Contact, credentials, what he supports
//! and requires. From and To keep all but their tags. Of the headers that are known those of the table cross; unknown ones
//! cross as they came.

use bytes::Bytes;
use smallvec::SmallVec;

use crate::base::IdKind;
use crate::base::text;
use crate::ctx::{Ctx, Reached};
use crate::dialog::{OwnAddress, is_signed};
use crate::wire::{Date, Essentials, Header, Message, Method, NameAddr, PreparedLine, RequestWriter};

/// RFC 3261 s8.1.1.6, where the sender does not say.
const MAX_FORWARDS: u8 = 70;

/// Known headers that cross.
const CROSSING: [Header; 16] = [
    Header::CallInfo,
    Header::ContentDisposition,
    Header::ContentEncoding,
    Header::ContentId,
    Header::ContentLanguage,
    Header::ContentType,
    Header::Date,
    Header::Expires,
    Header::Identity,
    Header::InReplyTo,
    Header::MimeVersion,
    Header::Organization,
    Header::Priority,
    Header::ReplyTo,
    Header::SessionId,
    Header::Subject,
];

/// Headers of a response that cross on the way back, where they explain it.
const EXPLAINING: [Header; 6] = [
    Header::Accept,
    Header::AcceptEncoding,
    Header::AcceptLanguage,
    Header::RetryAfter,
    Header::Unsupported,
    Header::Warning,
];

/// A message without what led it here.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Letter {
    pub(super) from: Box<[u8]>,
    pub(super) to: Box<[u8]>,
    pub(super) lines: PreparedLine,
    pub(super) body: Box<[u8]>,
    /// Hops it may take from here.
    pub(super) max_forwards: u8,
}

impl Letter {
    /// Of a request whose hops are not used up.
    pub(crate) fn of(msg: Message<'_>, ess: &Essentials<'_>) -> Letter {
        let crossing = msg.lines().filter(|line| match line.header {
            Header::Other => true,
            Header::Identity => is_signed(msg),
            header => CROSSING.contains(&header),
        });
        Letter {
            from: without_params(msg.header(Header::From).unwrap_or_default(), &ess.from),
            to: without_params(msg.header(Header::To).unwrap_or_default(), &ess.to),
            lines: PreparedLine::copied(crossing),
            body: msg.body().into(),
            max_forwards: ess.max_forwards.map_or(MAX_FORWARDS, |hops| hops.saturating_sub(1)),
        }
    }

    /// RFC 3323: its sender wants no name.
    pub(crate) fn is_anonymous(&self) -> bool {
        NameAddr::parse(&self.from).is_ok_and(|from| from.uri.is_anonymous())
    }

    /// The same, from somebody else and with further headers. What would begin another header is left out.
    pub(crate) fn with(&self, from: Option<&str>, headers: &[(Box<str>, Box<str>)]) -> Letter {
        let mut letter = self.clone();
        if let Some(from) = from {
            // Who is named otherwise, did not sign that.
            if NameAddr::parse(&letter.from).is_ok_and(|known| known.uri.raw() != from.as_bytes()) {
                letter.lines = letter.lines.without(Header::Identity);
            }
            letter.from = format!("<{from}>").into_bytes().into();
        }
        let plain = |text: &str| text.bytes().all(|b| !matches!(b, b'\r' | b'\n' | 0));
        let mut lines = Vec::new();
        for (name, value) in
            headers.iter().filter(|(name, value)| text::is_token(name.as_bytes()) && plain(value))
        {
            lines.extend_from_slice(format!("{name}: {value}\r\n").as_bytes());
        }
        if !lines.is_empty() {
            lines.extend_from_slice(letter.lines.bytes());
            letter.lines = PreparedLine::restored(lines.into());
        }
        letter
    }

    /// Says when it was sent.
    pub(super) fn dated(mut self, date: &Date) -> Letter {
        let mut lines = [b"Date: ", date.as_bytes(), b"\r\n"].concat();
        lines.extend_from_slice(self.lines.bytes());
        self.lines = PreparedLine::restored(lines.into());
        self
    }

    /// The request to a phone, and the branch of its Via. Each is the first of a call of its own, in no dialog and without
    /// Contact (RFC 3428 s4).
    pub(super) fn write(&self, ctx: &mut Ctx<'_>, phone: &Reached<'_>) -> (Bytes, SmallVec<[u8; 32]>) {
        self.write_proved(ctx, phone, None)
    }

    /// The same with our credentials there.
    pub(super) fn write_proved(
        &self,
        ctx: &mut Ctx<'_>,
        phone: &Reached<'_>,
        proof: Option<&(Header, String)>,
    ) -> (Bytes, SmallVec<[u8; 32]>) {
        let to = &phone.to;
        let mut branch: SmallVec<[u8; 32]> = SmallVec::from_slice(b"z9hG4bK");
        branch.extend_from_slice(ctx.ids.next_text(IdKind::Branch).as_bytes());
        let (call_id, tag) = (ctx.ids.next_text(IdKind::CallId), ctx.ids.next_text(IdKind::Tag));
        let own = OwnAddress::towards(ctx.settings, to);
        let mut arena = ctx.out.lend();
        let mut writer = RequestWriter::new(&mut arena, Method::Message, phone.contact);
        let token = core::str::from_utf8(&branch).unwrap_or_default();
        own.write_via(&mut writer, to, token);
        writer.number(Header::MaxForwards, self.max_forwards.into());
        writer.value(Header::From, |value| {
            value.text(&self.from);
            value.literal(";tag=");
            value.text(tag.as_bytes());
        });
        writer.header(Header::To, &self.to);
        writer.header(Header::CallId, call_id.as_bytes());
        writer.cseq(1, Method::Message.as_str().as_bytes());
        if !phone.path.is_empty() {
            writer.header(Header::Route, phone.path);
        }
        if let Some((header, value)) = proof {
            writer.header(*header, value.as_bytes());
        }
        writer.prepared(&ctx.settings.agent_line).prepared(&self.lines).content(&self.body);
        let payload = writer.finish();
        ctx.out.restore(arena);
        (payload, branch)
    }
}

/// What explains a response to a message, for its sender.
pub(super) fn explanation(response: Message<'_>) -> PreparedLine {
    PreparedLine::copied(response.lines().filter(|line| EXPLAINING.contains(&line.header)))
}

/// From or To without what stands behind the address.
fn without_params(value: &[u8], parsed: &NameAddr<'_>) -> Box<[u8]> {
    value.strip_suffix(parsed.params.raw()).unwrap_or(value).trim_ascii_end().into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ctx::fixture::{Fixture, with_message};

    const SENT: &str = "MESSAGE sip:bob@example.com SIP/2.0\n\
        Via: SIP/2.0/UDP 192.0.2.9;branch=z9hG4bK1\n\
        Max-Forwards: 3\n\
        f: \"Alice \\\"A\\\"\" <sip:alice@example.com;x=1>;tag=f1;a=b\n\
        To: sip:bob@example.com\n\
        Call-ID: c1\n\
        CSeq: 7 MESSAGE\n\
        Route: <sip:example.com;lr>\n\
        Record-Route: <sip:edge.example.com;lr>\n\
        Contact: <sip:alice@192.0.2.9>\n\
        Authorization: Digest username=\"alice\"\n\
        Proxy-Authorization: Digest username=\"alice\"\n\
        P-Asserted-Identity: <sip:boss@example.com>\n\
        Supported: path\n\
        Allow: MESSAGE\n\
        User-Agent: Phone\n\
        Subject: folded\n  subject\n\
        X-Mood: curious\n\
        c: text/plain;charset=UTF-8\n\
        l: 5\n\
        \n\
        hello";

    fn written(text: &str) -> String {
        let mut fixture = Fixture::new();
        let to = fixture.udp("198.51.100.7:5060");
        with_message(text, |msg| {
            let ess = msg.essentials().expect("good");
            let letter = Letter::of(msg, &ess);
            let phone = Reached { contact: b"sip:bob@198.51.100.7", path: b"", to };
            let (payload, _) = letter.write(&mut fixture.ctx(), &phone);
            String::from_utf8_lossy(&payload).replace("\r\n", "\n")
        })
    }

    #[test]
    fn what_leads_and_what_proves_stays_behind_and_the_rest_crosses() {
        insta::assert_snapshot!(written(SENT));
    }

    #[test]
    fn without_max_forwards_there_is_one_and_without_a_body_too() {
        let bare = "MESSAGE sip:bob@example.com SIP/2.0\nVia: SIP/2.0/UDP 192.0.2.9;branch=z9hG4bK1\n\
            From: <sip:alice@example.com> ;tag=f1\nTo: Bob <sip:bob@example.com>\nCall-ID: c1\nCSeq: 7 MESSAGE\n\
            Content-Length: 0\n\n";
        insta::assert_snapshot!(written(bare));
    }
}
