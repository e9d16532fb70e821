//! Typed values of a message, read when asked for, and the check of what every message must have.
//! RFC 3261 s8.1.1, s20.

use super::name_addr::is_bare_tag;
use super::{
    ContactValue, Cseq, Fault, Header, Kind, Message, Method, NameAddr, ParseError, Uri, UriScheme, Via,
};
use crate::base::text;

/// The values every message must have (RFC 3261 s8.1.1), read and checked.
#[derive(Clone, Copy, Debug)]
pub struct Essentials<'m> {
    /// The Request-URI; `None` for a response.
    pub uri: Option<Uri<'m>>,
    /// The topmost Via.
    pub via: Via<'m>,
    /// From. Its tag may be missing: RFC 3261 s8.2.6.2 asks to accept RFC 2543 clients.
    pub from: NameAddr<'m>,
    /// To.
    pub to: NameAddr<'m>,
    /// Call-ID.
    pub call_id: &'m [u8],
    /// CSeq; in a request it names the method of the start line.
    pub cseq: Cseq<'m>,
    /// There is no Via below the topmost one: the sender is the client itself.
    pub is_direct: bool,
    /// Max-Forwards, where there is one.
    pub max_forwards: Option<u8>,
}

impl<'m> Essentials<'m> {
    /// The From tag, if it is there and not empty.
    pub fn from_tag(&self) -> Option<&'m [u8]> {
        self.from.tag()
    }

    /// The To tag, if it is there and not empty.
    pub fn to_tag(&self) -> Option<&'m [u8]> {
        self.to.tag()
    }
}

impl<'m> Message<'m> {
    /// Reads and checks what every message must have. That nothing of it is there twice was checked by
    /// [`parse`](super::parse). Unknown URI schemes are not refused here, see [`Message::request_uri`].
    pub fn essentials(&self) -> Result<Essentials<'m>, ParseError> {
        self.read_essentials(self.only_via(), self.cseq())
    }

    /// The topmost Via, and whether it is the only one.
    #[inline(always)]
    pub(crate) fn top_via(&self) -> Result<(Via<'m>, bool), ParseError> {
        match self.only_via() {
            Some(via) => Ok((via, true)),
            None => self.first_of_vias(),
        }
    }

    /// The same, in the place of the caller, which has read [the one Via](Self::only_via) and CSeq: what it gives is
    /// large.
    #[inline(always)]
    pub(crate) fn read_essentials(
        &self,
        via: Option<Via<'m>>,
        cseq: Result<Cseq<'m>, ParseError>,
    ) -> Result<Essentials<'m>, ParseError> {
        let (via, is_direct) = match via {
            Some(via) => (via, true),
            None => self.first_of_vias()?,
        };
        if via.version != b"2.0" {
            return Err(ParseError::new(Header::Via.name(), Fault::Version));
        }
        let uri = if self.is_request() { Some(self.request_uri()?) } else { None };
        let from = self.header(Header::From).ok_or(missing(Header::From))?;
        let from = NameAddr::read(Header::From.name(), from)?;
        let to = self.read_to_beside(&from)?;
        let call_id = self.call_id()?;
        let cseq = cseq?;
        let max_forwards = self.max_forwards()?;
        if let Kind::Request { method, method_raw, .. } = self.kind() {
            // RFC 3261 s8.1.1.5: the method of CSeq must match that of the request.
            if !cseq.is_for(method, method_raw) {
                return Err(ParseError::new(Header::Cseq.name(), Fault::Mismatch));
            }
        }
        Ok(Essentials { uri, via, from, to, call_id, cseq, is_direct, max_forwards })
    }

    /// The method of a request; for a response that of its CSeq, and [`Method::Other`] if that cannot be read.
    #[inline]
    pub fn method(&self) -> Method {
        match self.kind() {
            Kind::Request { method, .. } => method,
            Kind::Response { .. } => self.cseq().map_or(Method::Other, |cseq| cseq.method),
        }
    }

    /// The Request-URI: [`Fault::Malformed`] if it breaks its grammar or carries headers (RFC 3261 s19.1.1 forbids them
    /// there), [`Fault::Missing`] for a response. A scheme that is not known is no fault here, so that it can be
    /// answered after the method (RFC 3261 s8.2); see [`Message::known_uri`].
    pub fn request_uri(&self) -> Result<Uri<'m>, ParseError> {
        const WHAT: &str = "Request-URI";
        let raw = self.uri_raw().ok_or(ParseError::new(WHAT, Fault::Missing))?;
        // RFC 4475 s3.1.2.7: something without any scheme is malformed, not of an unsupported scheme.
        match Uri::prefix(raw) {
            Ok((uri, [])) if uri.headers().is_empty() => Ok(uri),
            Ok(_) | Err(Fault::Scheme) => Err(ParseError::new(WHAT, Fault::Malformed)),
            Err(fault) => Err(ParseError::new(WHAT, fault)),
        }
    }

    /// The Request-URI, with [`Fault::Scheme`] for a scheme nobody here can route (RFC 3261 s8.2.2.1).
    pub fn known_uri(&self) -> Result<Uri<'m>, ParseError> {
        let uri = self.request_uri()?;
        match uri.scheme() {
            UriScheme::Other => Err(ParseError::new("Request-URI", Fault::Scheme)),
            UriScheme::Sip | UriScheme::Sips | UriScheme::Tel | UriScheme::Urn => Ok(uri),
        }
    }

    /// The topmost Via.
    #[inline]
    pub fn via(&self) -> Result<Via<'m>, ParseError> {
        match self.header(Header::Via).and_then(Via::usual) {
            Some(via) => Ok(via),
            None => self.vias().next().ok_or(missing(Header::Via))?,
        }
    }

    /// The Via, if there is one and it is as nearly all are.
    #[inline(always)]
    pub(crate) fn only_via(&self) -> Option<Via<'m>> {
        if self.has_several(Header::Via) { None } else { Via::usual(self.header(Header::Via)?) }
    }

    /// The topmost Via, and whether it is the only one; all below it have been read too.
    #[inline(never)]
    fn first_of_vias(&self) -> Result<(Via<'m>, bool), ParseError> {
        let mut vias = self.vias();
        let via = vias.next().ok_or(missing(Header::Via))??;
        // RFC 3261 s18.1.2: what is below the top is somebody's return path; one that cannot be read is refused now.
        let mut alone = true;
        for below in vias {
            below?;
            alone = false;
        }
        Ok((via, alone))
    }

    /// All Via elements, the topmost first.
    #[inline]
    pub fn vias(&self) -> impl Iterator<Item = Result<Via<'m>, ParseError>> + use<'m> {
        self.values(Header::Via).map(Via::parse)
    }

    /// Whether From is To with nothing but a tag behind it, as in most REGISTER: it is well-formed then if To is, and the
    /// answer has to add a tag to To.
    pub(crate) fn is_from_to(&self) -> bool {
        let (Some(from), Some(to)) = (self.header(Header::From), self.header(Header::To)) else {
            return false;
        };
        // A value that ends with its bracket has no parameters.
        to.last() == Some(&b'>') && from.strip_prefix(to).is_some_and(is_bare_tag)
    }

    /// From.
    #[inline]
    pub fn from(&self) -> Result<NameAddr<'m>, ParseError> {
        self.address(Header::From)
    }

    /// To.
    #[inline]
    pub fn to(&self) -> Result<NameAddr<'m>, ParseError> {
        self.address(Header::To)
    }

    fn read_to_beside(&self, from: &NameAddr<'m>) -> Result<NameAddr<'m>, ParseError> {
        let value = self.header(Header::To).ok_or(missing(Header::To))?;
        let beside = (self.header(Header::From).unwrap_or_default(), from);
        NameAddr::read_beside(value, Header::To.name(), beside)
    }

    /// The first line of a header that holds one address, such as Refer-To.
    #[inline]
    pub fn address(&self, header: Header) -> Result<NameAddr<'m>, ParseError> {
        let value = self.header(header).ok_or(missing(header))?;
        NameAddr::named(header.name(), value)
    }

    /// The addresses of a header that is a list, such as Route, Record-Route and Path, in order.
    pub fn addresses(
        &self,
        header: Header,
    ) -> impl Iterator<Item = Result<NameAddr<'m>, ParseError>> + use<'m> {
        let what = header.name();
        self.values(header).map(move |v| NameAddr::named(what, v))
    }

    /// The Contact elements, in order.
    #[inline]
    pub fn contacts(&self) -> impl Iterator<Item = Result<ContactValue<'m>, ParseError>> + use<'m> {
        self.values(Header::Contact).map(ContactValue::parse)
    }

    /// Call-ID: not empty, no white space and no controls in it.
    #[inline]
    pub fn call_id(&self) -> Result<&'m [u8], ParseError> {
        let value = self.header(Header::CallId).ok_or(missing(Header::CallId))?;
        match !value.is_empty() && text::is_visible(value) {
            true => Ok(value),
            false => Err(ParseError::new(Header::CallId.name(), Fault::Malformed)),
        }
    }

    /// CSeq.
    #[inline]
    pub fn cseq(&self) -> Result<Cseq<'m>, ParseError> {
        Cseq::parse(self.header(Header::Cseq).ok_or(missing(Header::Cseq))?)
    }

    /// Max-Forwards, 0 to 255; `None` if there is none.
    #[inline]
    pub fn max_forwards(&self) -> Result<Option<u8>, ParseError> {
        let fault = |fault| ParseError::new(Header::MaxForwards.name(), fault);
        let Some(value) = self.header(Header::MaxForwards) else { return Ok(None) };
        let number = text::clamp_u32(value).ok_or(fault(Fault::Malformed))?;
        u8::try_from(number).map(Some).map_err(|_| fault(Fault::Range))
    }

    /// Expires in seconds; what does not fit 32 bits is the largest number that does. `None` if there is none, or it is
    /// no number: RFC 3261 s20.19 leaves the default then (RFC 4475 s3.1.2.4).
    #[inline]
    pub fn expires(&self) -> Option<u32> {
        text::clamp_u32(self.header(Header::Expires)?)
    }

    /// Retry-After in seconds, without its comment and its parameters (RFC 3261 s20.33).
    pub fn retry_after(&self) -> Option<u32> {
        let value = self.header(Header::RetryAfter)?;
        let seconds = value.split(|b| matches!(b, b';' | b'(')).next().unwrap_or_default();
        text::clamp_u32(seconds.trim_ascii())
    }

    /// Content-Length as declared; [`Message::body`] has it applied.
    pub fn content_length(&self) -> Option<u32> {
        text::clamp_u32(self.header(Header::ContentLength)?)
    }

    /// Content-Type with its parameters.
    pub fn content_type(&self) -> Option<&'m [u8]> {
        self.header(Header::ContentType)
    }

    /// True if a header that is a list of tokens, such as Supported or Require, has this one; case does not matter.
    pub fn has_token(&self, header: Header, token: &[u8]) -> bool {
        // No comma is quoted among tokens, and words are short: a call to find each would cost more.
        self.headers(header).any(|line| {
            let mut words = line.split(|byte| *byte == b',');
            words.any(|word| word.len() >= token.len() && word.trim_ascii().eq_ignore_ascii_case(token))
        })
    }
}

#[inline]
fn missing(header: Header) -> ParseError {
    ParseError::new(header.name(), Fault::Missing)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{Bounds, Layout, parse};

    const WHOLE: &str = "OPTIONS sip:user@example.com SIP/2.0
Via: SIP/2.0/UDP host.example.com;branch=z9hG4bKkdjuw
To: sip:j.user@example.com
From: sip:caller@example.net;tag=34525
Max-Forwards: 6
Call-ID: whole.dj0234sxdfl3
CSeq: 8 OPTIONS
Contact: <sip:a@h>, \"*\" <sip:b@h>
Contact: *
Expires: 99999999999999999999
Supported: path, OUTBOUND
l: 0

";

    fn with<T>(text: &str, look: impl FnOnce(Message<'_>) -> T) -> T {
        let raw = text.replace('\n', "\r\n").into_bytes();
        let mut layout = Layout::new();
        look(parse(&raw, &mut layout, &Bounds::default()).expect("well-formed lines"))
    }

    #[track_caller]
    fn fault(line: &str, instead: &str) -> (&'static str, Fault) {
        assert!(WHOLE.contains(line));
        let error = with(&WHOLE.replace(line, instead), |m| m.essentials().err()).expect("faulty");
        (error.what, error.fault)
    }

    #[test]
    fn a_whole_request_has_its_essentials() {
        with(WHOLE, |m| {
            let e = m.essentials().expect("whole");
            assert_eq!(e.via.branch(), Some(&b"z9hG4bKkdjuw"[..]));
            assert_eq!(e.from_tag(), Some(&b"34525"[..]));
            assert_eq!(e.to_tag(), None);
            assert_eq!(e.call_id, b"whole.dj0234sxdfl3");
            assert_eq!((e.cseq.number, e.cseq.method), (8, Method::Options));
            assert_eq!(e.max_forwards, Some(6));
            assert_eq!(e.uri.and_then(|u| u.user()), Some(&b"user"[..]));
            assert_eq!(m.expires(), Some(u32::MAX));
            assert_eq!(m.content_length(), Some(0));
            let stars = m.contacts().map(|c| matches!(c, Ok(ContactValue::Star)));
            assert_eq!(stars.collect::<Vec<_>>(), [false, false, true]);
            assert!(m.has_token(Header::Supported, b"outbound") && !m.has_token(Header::Supported, b"gruu"));
        });
    }

    #[test]
    fn a_response_needs_the_same_but_for_the_method() {
        with(&WHOLE.replace("OPTIONS sip:user@example.com SIP/2.0", "SIP/2.0 200 OK"), |m| {
            assert!(m.essentials().expect("whole").uri.is_none());
            assert_eq!(m.method(), Method::Options);
        });
    }

    #[test]
    fn each_missing_header_is_named() {
        for (line, what) in [
            ("To: sip:j.user@example.com\n", "To"),
            ("From: sip:caller@example.net;tag=34525\n", "From"),
            ("Call-ID: whole.dj0234sxdfl3\n", "Call-ID"),
            ("CSeq: 8 OPTIONS\n", "CSeq"),
            ("Via: SIP/2.0/UDP host.example.com;branch=z9hG4bKkdjuw\n", "Via"),
        ] {
            assert_eq!(fault(line, ""), (what, Fault::Missing));
        }
        let text = WHOLE.replace("Max-Forwards: 6\n", "").replace(";tag=34525", "");
        with(&text, |m| assert_eq!(m.essentials().expect("RFC 2543 has neither").max_forwards, None));
    }

    #[test]
    fn each_malformed_header_is_named() {
        assert_eq!(fault("To: sip:j.user@example.com", "To: \"J <sip:a@b>"), ("To", Fault::Malformed));
        assert_eq!(
            fault("From: sip:caller@example.net", "From: Bell, A <sip:a@b>"),
            ("From", Fault::Malformed)
        );
        assert_eq!(fault("8 OPTIONS", "8 INVITE"), ("CSeq", Fault::Mismatch));
        assert_eq!(fault("8 OPTIONS", "4294967296 OPTIONS"), ("CSeq", Fault::Range));
        assert_eq!(fault("Max-Forwards: 6", "Max-Forwards: 300"), ("Max-Forwards", Fault::Range));
        assert_eq!(fault("Max-Forwards: 6", "Max-Forwards: -1"), ("Max-Forwards", Fault::Malformed));
        assert_eq!(fault("whole.dj0234sxdfl3", "a b"), ("Call-ID", Fault::Malformed));
        assert_eq!(fault("whole.dj0234sxdfl3", ""), ("Call-ID", Fault::Malformed));
        assert_eq!(fault("branch=z9hG4bKkdjuw", "branch=1,;"), ("Via", Fault::Malformed));
        assert_eq!(fault("Via: SIP/2.0", "Via: SIP/7.0"), ("Via", Fault::Version));
    }

    #[test]
    fn the_request_uri_is_checked() {
        let of = |uri: &str| {
            let text = WHOLE.replacen("sip:user@example.com", uri, 1);
            with(&text, |m| m.known_uri().map(|u| u.scheme()).map_err(|e| e.fault))
        };
        assert_eq!(of("sips:a@b"), Ok(UriScheme::Sips));
        assert_eq!(of("tel:+1555"), Ok(UriScheme::Tel));
        assert_eq!(of("urn:service:sos"), Ok(UriScheme::Urn));
        assert_eq!(of("soap.beep://192.0.2.103:3002"), Err(Fault::Scheme));
        assert_eq!(of("<sip:user@example.com>"), Err(Fault::Malformed));
        assert_eq!(of("sip:user@example.com?Route=%3Csip:example.com%3E"), Err(Fault::Malformed));
        assert_eq!(of("sip:a\tb@c"), Err(Fault::Malformed));
        assert_eq!(of("noscheme"), Err(Fault::Malformed));
    }
}
