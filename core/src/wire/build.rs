//! Writers of responses and requests. RFC 3261 s8.2.6, s18.2.1, RFC 3581.
//!
//! They append to an arena and give away what they wrote. What a response takes over from its request is copied as
//! spans of bytes. A value given by the caller can never end its line: every control byte in it becomes a space, and in
//! a Request-URI also every space an escape. Lines longer than one are written unfolded.

use core::fmt;
use core::net::{IpAddr, Ipv4Addr};
use core::ops::{Deref, DerefMut, Range};

use bytes::Bytes;

use super::via::SourceParams;
use super::{Arena, Date, Essentials, Header, Line, Message, Method, ParseError, Rport, Status, Via, split};
use crate::base::text::{self, Push};

/// Status and phrase of a response.
#[derive(Clone, Copy, Debug)]
pub enum StatusLine<'a> {
    /// With the registered phrase.
    Plain(Status),
    /// With a phrase of one's own.
    Phrase(Status, &'a str),
    /// The answer to a faulty message; the phrase names the fault (RFC 3261 s21.4.1).
    Fault(ParseError),
}

impl StatusLine<'_> {
    /// The code.
    pub fn status(&self) -> Status {
        match self {
            StatusLine::Plain(status) | StatusLine::Phrase(status, _) => *status,
            StatusLine::Fault(error) => Status::from(error),
        }
    }
}

impl From<Status> for StatusLine<'_> {
    fn from(status: Status) -> Self {
        StatusLine::Plain(status)
    }
}

impl<'a> From<(Status, &'a str)> for StatusLine<'a> {
    fn from((status, phrase): (Status, &'a str)) -> Self {
        StatusLine::Phrase(status, phrase)
    }
}

impl From<ParseError> for StatusLine<'_> {
    fn from(error: ParseError) -> Self {
        StatusLine::Fault(error)
    }
}

/// Header lines and body of a message being written; what [`ResponseWriter`] and [`RequestWriter`] share.
#[derive(Debug)]
pub struct Writer<'a> {
    arena: &'a mut Arena,
    body: &'a [u8],
}

impl<'a> Writer<'a> {
    fn new(arena: &'a mut Arena) -> Writer<'a> {
        // What an unfinished message left behind does not belong to this one.
        arena.text.clear();
        Writer { arena, body: &[] }
    }

    /// What is written here is as the caller wants it.
    #[inline]
    fn out(&mut self) -> Value<'_> {
        Value { out: &mut self.arena.text }
    }

    /// A line with this value. [`Header::Other`] has no name, and nothing is written for it; see [`Writer::other`].
    #[inline]
    pub fn header(&mut self, header: Header, value: &[u8]) -> &mut Self {
        self.value(header, |v| v.text(value))
    }

    /// A line with a number.
    #[inline]
    pub fn number(&mut self, header: Header, number: u32) -> &mut Self {
        self.value(header, |v| v.number(u64::from(number)))
    }

    /// A line with a formatted value, slower than the others.
    pub fn header_fmt(&mut self, header: Header, value: fmt::Arguments<'_>) -> &mut Self {
        self.value(header, |v| {
            // Writing to the arena has no failure of its own.
            let _ = fmt::Write::write_fmt(v, value);
        })
    }

    /// A line whose value is these elements with commas between them; nothing if there are none.
    pub fn list<T: AsRef<[u8]>>(
        &mut self,
        header: Header,
        elements: impl IntoIterator<Item = T>,
    ) -> &mut Self {
        let mut elements = elements.into_iter().peekable();
        if elements.peek().is_none() {
            return self;
        }
        self.value(header, |v| {
            for (i, element) in elements.enumerate() {
                if i > 0 {
                    v.raw(b", ");
                }
                v.text(element.as_ref());
            }
        })
    }

    /// A line whose value is written piece by piece.
    #[inline]
    pub fn value(&mut self, header: Header, write: impl FnOnce(&mut Value<'_>)) -> &mut Self {
        if header != Header::Other {
            let mut out = self.out();
            out.raw(header.line_start().as_bytes());
            write(&mut out);
            out.raw(b"\r\n");
        }
        self
    }

    /// A line of a header that is not in the table. Nothing is written if the name is no token.
    pub fn other(&mut self, name: &[u8], value: &[u8]) -> &mut Self {
        if text::is_token(name) {
            self.line(name, |v| v.text(value));
        }
        self
    }

    /// A line of a parsed message as it came; folding is undone, and a bare LF becomes CRLF.
    pub fn raw_line(&mut self, line: Line<'_>) -> &mut Self {
        if line.is_plain() {
            self.out().raw(line.raw());
        } else {
            self.line(line.name, |v| split::unfold_into(line.value, |part| v.text(part)));
        }
        self
    }

    /// A line made before.
    #[inline]
    pub fn prepared(&mut self, line: &PreparedLine) -> &mut Self {
        self.out().raw(&line.0);
        self
    }

    /// Date (RFC 3261 s20.17).
    #[inline]
    pub fn date(&mut self, date: &Date) -> &mut Self {
        self.value(Header::Date, |v| v.raw(date.as_bytes()))
    }

    /// A body and its type. Content-Length is written when the message is finished, also without a body.
    pub fn body(&mut self, content_type: &[u8], body: &'a [u8]) -> &mut Self {
        self.body = body;
        self.header(Header::ContentType, content_type)
    }

    #[inline]
    fn line(&mut self, name: &[u8], write: impl FnOnce(&mut Value<'_>)) {
        let mut out = self.out();
        out.raw(name);
        out.raw(b": ");
        write(&mut out);
        out.raw(b"\r\n");
    }

    fn finish(mut self) -> Bytes {
        let body = self.body;
        let mut out = self.out();
        if body.is_empty() {
            out.raw(b"Content-Length: 0\r\n\r\n");
        } else {
            out.raw(b"Content-Length: ");
            out.number(body.len() as u64);
            out.raw(b"\r\n\r\n");
            out.raw(body);
        }
        self.arena.finish()
    }
}

/// A line that is the same in many messages, for [`Writer::prepared`].
#[derive(Clone, Default, Debug)]
pub struct PreparedLine(Box<[u8]>);

impl PreparedLine {
    /// The line of a header with this value; no line at all if the value is empty.
    pub fn new(header: Header, value: &[u8]) -> PreparedLine {
        let mut arena = Arena::new();
        if !value.is_empty() {
            Writer::new(&mut arena).header(header, value);
        }
        PreparedLine(arena.text.into())
    }
}

/// A value being written. Formatting (`write!`) works on it too.
#[derive(Debug)]
pub struct Value<'a> {
    out: &'a mut Vec<u8>,
}

impl Value<'_> {
    /// These bytes; control bytes among them become spaces.
    #[inline]
    pub fn text(&mut self, bytes: &[u8]) {
        let start = self.out.len();
        self.out.extend_from_slice(bytes);
        if has_controls(bytes) {
            let written = self.out.get_mut(start..).unwrap_or_default();
            written.iter_mut().filter(|b| is_control(**b)).for_each(|b| *b = b' ');
        }
    }

    /// Text of ours, without control characters.
    #[inline]
    pub fn literal(&mut self, text: &'static str) {
        debug_assert!(!has_controls(text.as_bytes()));
        self.raw(text.as_bytes());
    }

    /// A decimal number.
    #[inline]
    pub fn number(&mut self, number: u64) {
        self.raw(itoa::Buffer::new().format(number).as_bytes());
    }

    /// A quoted string with these bytes in it: quotes and backslashes are escaped, control bytes become spaces.
    pub fn quoted(&mut self, bytes: &[u8]) {
        self.raw(b"\"");
        for part in bytes.split_inclusive(|b| matches!(b, b'"' | b'\\')) {
            match part {
                [text @ .., special @ (b'"' | b'\\')] => {
                    self.text(text);
                    self.raw(&[b'\\', *special]);
                }
                _ => self.text(part),
            }
        }
        self.raw(b"\"");
    }

    /// An address without brackets.
    pub fn ip(&mut self, ip: IpAddr) {
        match ip {
            IpAddr::V4(v4) => {
                let mut text = [0; 16];
                let end = put_v4(&mut text, 0, v4);
                self.raw(text.get(..end).unwrap_or_default());
            }
            // Writing to the arena has no failure of its own.
            IpAddr::V6(v6) => _ = fmt::Write::write_fmt(self, format_args!("{v6}")),
        }
    }

    /// Bytes that are known to hold no control bytes.
    #[inline]
    pub(crate) fn raw(&mut self, bytes: &[u8]) {
        self.out.extend_from_slice(bytes);
    }
}

impl Push for Value<'_> {
    #[inline]
    fn push_bytes(&mut self, bytes: &[u8]) {
        self.text(bytes);
    }
}

impl fmt::Write for Value<'_> {
    fn write_str(&mut self, s: &str) -> fmt::Result {
        self.text(s.as_bytes());
        Ok(())
    }
}

/// Writes bytes where they fit; gives where they end.
#[inline(always)]
fn put<const N: usize>(out: &mut [u8; N], at: usize, bytes: &[u8]) -> usize {
    let end = at + bytes.len();
    if let Some(place) = out.get_mut(at..end) {
        place.copy_from_slice(bytes);
    }
    end
}

/// Each byte in decimal with a dot behind it, and how long that is.
static OCTETS: [([u8; 4], u8); 256] = {
    let mut table = [([b'.'; 4], 0); 256];
    let mut n = 0;
    while n < 256 {
        let digits = [b'0' + (n / 100) as u8, b'0' + (n / 10 % 10) as u8, b'0' + (n % 10) as u8];
        let skipped = if n >= 100 {
            0
        } else if n >= 10 {
            1
        } else {
            2
        };
        let mut i = skipped;
        while i < 3 {
            table[n].0[i - skipped] = digits[i];
            i += 1;
        }
        table[n].1 = (4 - skipped) as u8;
        n += 1;
    }
    table
};

/// Writes an IPv4 address; there must be room for 16 bytes.
#[inline(always)]
fn put_v4<const N: usize>(out: &mut [u8; N], mut at: usize, address: Ipv4Addr) -> usize {
    for octet in address.octets() {
        let (text, len) = OCTETS[usize::from(octet)];
        // Four bytes at once; what is too many is written over.
        put(out, at, &text);
        at += usize::from(len);
    }
    at - 1
}

#[inline]
fn is_control(b: u8) -> bool {
    (b < b' ' && b != b'\t') || b == 0x7f
}

#[inline]
fn has_controls(bytes: &[u8]) -> bool {
    // Without an early end, so that the compiler looks at all bytes of a chunk in one step. A tab is none, and is looked
    // at again.
    let odd = |chunk: &[u8; 16]| chunk.iter().fold(false, |found, &b| found | ((b < b' ') | (b == 0x7f)));
    match bytes.last_chunk() {
        // The last one may overlap the one before it.
        Some(last) => bytes.as_chunks().0.iter().any(odd) || odd(last),
        None => bytes.iter().any(|&b| b < b' ' || b == 0x7f),
    }
}

/// Writes the response to a request.
#[derive(Debug)]
pub struct ResponseWriter<'a> {
    lines: Writer<'a>,
    request: Message<'a>,
}

impl<'a> ResponseWriter<'a> {
    /// Begins a response: status line, all Via, From, To, Call-ID and CSeq of the request (RFC 3261 s8.2.6.2).
    ///
    /// `to_tag` is added if To has no tag, and never to a 100 (RFC 3261 s8.2.6.1). With `source`, the address and port
    /// the request came from, the topmost Via gets `received` and `rport` by RFC 3261 s18.2.1 and RFC 3581 s4; what the
    /// client wrote there itself is replaced. Of a header that a faulty request repeats the first line is taken.
    pub fn new<'s>(
        arena: &'a mut Arena,
        request: Message<'a>,
        status: impl Into<StatusLine<'s>>,
        to_tag: Option<&str>,
        source: Option<(IpAddr, u16)>,
    ) -> ResponseWriter<'a> {
        // A value that ends with its bracket has no parameters; one that cannot be read has no tag that counts.
        let bare = request.header(Header::To).is_none_or(|to| to.last() == Some(&b'>'));
        let to_tag = to_tag.filter(|_| bare || !request.to().is_ok_and(|to| to.tag().is_some()));
        let via = source.and_then(|_| request.via().ok());
        ResponseWriter::with(arena, request, status.into(), to_tag, source, via.as_ref())
    }

    /// Like [`ResponseWriter::new`], for a request whose essentials were read before.
    pub(crate) fn answering<'s>(
        arena: &'a mut Arena,
        request: Message<'a>,
        essentials: &Essentials<'_>,
        status: impl Into<StatusLine<'s>>,
        to_tag: &str,
        source: (IpAddr, u16),
    ) -> ResponseWriter<'a> {
        let to_tag = Some(to_tag).filter(|_| essentials.to.tag().is_none());
        ResponseWriter::with(arena, request, status.into(), to_tag, Some(source), Some(&essentials.via))
    }

    /// `to_tag` is for a To without one; `via` is the topmost one, if it can be read.
    fn with(
        arena: &'a mut Arena,
        request: Message<'a>,
        status: StatusLine<'_>,
        to_tag: Option<&str>,
        source: Option<(IpAddr, u16)>,
        via: Option<&Via<'_>>,
    ) -> ResponseWriter<'a> {
        let mut lines = Writer::new(arena);
        lines.status_line(status);
        let to_tag = to_tag.filter(|_| status.status() != Status::TRYING);
        lines.copy_request(request, to_tag, source, via);
        ResponseWriter { lines, request }
    }

    /// Copies the Record-Route lines of the request (RFC 3261 s12.1.1).
    pub fn record_route(&mut self) -> &mut Self {
        self.copy(Header::RecordRoute)
    }

    /// Copies the Timestamp of the request (RFC 3261 s8.2.6.1).
    pub fn timestamp(&mut self) -> &mut Self {
        self.copy(Header::Timestamp)
    }

    /// Copies all lines of a header from the request.
    pub fn copy(&mut self, header: Header) -> &mut Self {
        for line in self.request.lines_of(header) {
            self.lines.raw_line(line);
        }
        self
    }

    /// Ends the response with Content-Length and body and takes it out of the arena.
    pub fn finish(self) -> Bytes {
        self.lines.finish()
    }
}

impl<'a> Deref for ResponseWriter<'a> {
    type Target = Writer<'a>;
    fn deref(&self) -> &Writer<'a> {
        &self.lines
    }
}

impl<'a> DerefMut for ResponseWriter<'a> {
    fn deref_mut(&mut self) -> &mut Writer<'a> {
        &mut self.lines
    }
}

impl Writer<'_> {
    fn status_line(&mut self, line: StatusLine<'_>) {
        let status = line.status();
        if let StatusLine::Plain(Status::OK) = line {
            return self.out().raw(b"SIP/2.0 200 OK\r\n");
        }
        let mut value = self.out();
        value.raw(b"SIP/2.0 ");
        value.number(u64::from(status.0));
        value.raw(b" ");
        match line {
            StatusLine::Plain(_) => value.raw(status.reason().as_bytes()),
            StatusLine::Phrase(_, phrase) => value.text(phrase.as_bytes()),
            // Codes that say it all keep their phrase.
            StatusLine::Fault(_) if status != Status::BAD_REQUEST => value.raw(status.reason().as_bytes()),
            // Writing to the arena has no failure of its own.
            StatusLine::Fault(error) => {
                _ = fmt::Write::write_fmt(&mut value, format_args!("Bad Request ({error})"))
            }
        }
        value.raw(b"\r\n");
    }

    /// Copies what a response has from its request, in the order of the request, in as few pieces as can be: lines that
    /// stand next to each other in one, cut only where something is added.
    fn copy_request(
        &mut self,
        request: Message<'_>,
        to_tag: Option<&str>,
        source: Option<(IpAddr, u16)>,
        via: Option<&Via<'_>>,
    ) {
        let raw = request.raw();
        let piece = |range: Range<usize>| raw.get(range).unwrap_or_default();
        let mut run: Range<usize> = 0..0;
        let mut source = source;
        let copied = |header| {
            matches!(header, Header::Via | Header::From | Header::To | Header::CallId | Header::Cseq)
        };
        for span in request.spans_of(copied) {
            let adds = match span.header {
                // The topmost Via is the first with something in it.
                Header::Via => source.is_some() && has_element(piece(span.value.clone())),
                Header::To => to_tag.is_some(),
                _ => false,
            };
            if !span.plain {
                self.out().raw(piece(core::mem::take(&mut run)));
                let Some(line) = request.line_at(&span) else { continue };
                let value = split::unfold(line.value);
                self.line(line.name, |v| match (span.header, to_tag) {
                    (Header::Via, _) if adds => v.top_via(&value, source.take(), via),
                    (Header::To, Some(tag)) => v.with_tag(&value, tag),
                    _ => v.text(&value),
                });
                continue;
            }
            if span.start != run.end {
                self.out().raw(piece(run));
                run = span.start..span.start;
            }
            if adds {
                let mut v = self.out();
                match (span.header, to_tag) {
                    (Header::To, Some(tag)) => v.with_tag(piece(run.start..span.value.end), tag),
                    _ => {
                        v.raw(piece(run.start..span.value.start));
                        v.top_via(piece(span.value.clone()), source.take(), via);
                    }
                }
                run.start = span.value.end;
            }
            run.end = span.end;
        }
        self.out().raw(piece(run));
    }
}

/// True if there is something between the commas of a list.
#[inline]
fn has_element(value: &[u8]) -> bool {
    match value.first() {
        None => false,
        Some(b',') => split::commas(value).next().is_some(),
        Some(_) => true,
    }
}

impl Value<'_> {
    /// Bytes of the request, on one line, and a tag.
    #[inline]
    fn with_tag(&mut self, before: &[u8], tag: &str) {
        self.raw(before);
        self.raw(b";tag=");
        self.text(tag.as_bytes());
    }

    /// A Via value of the request, on one line, with the source in its first element; what stands there as `received`
    /// and `rport` is left out. `via` is that element, if it can be read.
    fn top_via(&mut self, value: &[u8], source: Option<(IpAddr, u16)>, via: Option<&Via<'_>>) {
        let Some((ip, port)) = source else { return self.raw(value) };
        let part = |from: usize, to: usize| value.get(from..to).unwrap_or_default();
        // Most lines are one element with at most one parameter to leave out, and where that lies is known.
        let known = via.filter(|v| v.raw.len() == value.len()).map(Via::source_params);
        let below = match known {
            Some(SourceParams::None) => {
                self.raw(value);
                value.len()
            }
            Some(SourceParams::At(from, to)) => {
                self.raw(part(0, from.into()));
                self.raw(part(to.into(), value.len()));
                value.len()
            }
            Some(SourceParams::Scattered) | None => self.without_source_params(value),
        };
        let ip = ip.to_canonical();
        let asks_rport = via.is_some_and(|v| v.rport() != Rport::Absent);
        // RFC 3261 s18.2.1: a name, or another address than the source. RFC 3581 s4: always if the client asks for rport.
        let differs = via.is_none_or(|v| v.host.ip().map(|sent_by| sent_by.to_canonical()) != Some(ip));
        match ip {
            IpAddr::V4(v4) if asks_rport => {
                // In one piece: this is in nearly every response.
                let mut text = [0; 48];
                let mut at = put(&mut text, 0, b";received=");
                at = put_v4(&mut text, at, v4);
                at = put(&mut text, at, b";rport=");
                at = put(&mut text, at, itoa::Buffer::new().format(port).as_bytes());
                self.raw(text.get(..at).unwrap_or_default());
            }
            _ if differs || asks_rport => {
                self.raw(b";received=");
                self.ip(ip);
                if asks_rport {
                    self.raw(b";rport=");
                    self.number(u64::from(port));
                }
            }
            _ => {}
        }
        self.raw(part(below, value.len()));
    }

    /// Writes the first element of a Via value without its `received` and `rport`; gives its end.
    #[inline(never)]
    fn without_source_params(&mut self, value: &[u8]) -> usize {
        let find = |from: usize, to: usize, needle| {
            let found = split::find(value.get(from..to).unwrap_or_default(), needle);
            found.map_or(to, |n| from + n)
        };
        let part = |from: usize, to: usize| value.get(from..to).unwrap_or_default();
        // Commas before the first element separate nothing.
        let start = value.iter().take_while(|b| matches!(b, b',' | b' ' | b'\t')).count();
        let end = find(start, value.len(), b',');
        let (mut written, mut at) = (start, find(start, end, b';'));
        while at < end {
            let next = find(at + 1, end, b';');
            if is_source_param(part(at + 1, next)) {
                self.raw(part(written, at));
                written = next;
            }
            at = next;
        }
        self.raw(part(written, end).trim_ascii_end());
        end
    }
}

/// True if the bytes behind a semicolon are the parameter `received` or `rport`.
fn is_source_param(param: &[u8]) -> bool {
    let name = param.trim_ascii_start().split(|&b| !text::is(b, text::TOKEN)).next().unwrap_or_default();
    name.eq_ignore_ascii_case(b"received") || name.eq_ignore_ascii_case(b"rport")
}

/// Writes a request.
#[derive(Debug)]
pub struct RequestWriter<'a> {
    lines: Writer<'a>,
}

impl<'a> RequestWriter<'a> {
    /// Begins a request. [`Method::Other`] has no name; see [`RequestWriter::named`].
    pub fn new(arena: &'a mut Arena, method: Method, uri: &[u8]) -> RequestWriter<'a> {
        RequestWriter::named(arena, method.as_str().as_bytes(), uri)
    }

    /// Begins a request with a method of that name; one that is no token becomes `UNKNOWN`.
    pub fn named(arena: &'a mut Arena, method: &[u8], uri: &[u8]) -> RequestWriter<'a> {
        let mut lines = Writer::new(arena);
        let mut out = lines.out();
        out.raw(if text::is_token(method) { method } else { b"UNKNOWN" });
        out.raw(b" ");
        if uri.iter().any(|&b| b <= b' ' || b == 0x7f) {
            for &b in uri {
                match b <= b' ' || b == 0x7f {
                    true => {
                        out.raw(b"%");
                        text::push_hex(&[b], out.out);
                    }
                    false => out.raw(&[b]),
                }
            }
        } else {
            out.raw(uri);
        }
        out.raw(b" SIP/2.0\r\n");
        RequestWriter { lines }
    }

    /// A Via of ours: the transport token (`UDP`), sent-by (`host` with brackets if it is IPv6) and the branch. Over UDP
    /// `rport` is asked for (RFC 3581 s3).
    pub fn via(&mut self, transport: &str, host: &str, port: u16, branch: &str) -> &mut Self {
        self.lines.value(Header::Via, |v| {
            v.raw(b"SIP/2.0/");
            v.text(transport.as_bytes());
            v.raw(b" ");
            v.text(host.as_bytes());
            v.raw(b":");
            v.number(u64::from(port));
            v.raw(b";branch=");
            v.text(branch.as_bytes());
            if transport == "UDP" {
                v.raw(b";rport");
            }
        });
        self
    }

    /// CSeq with the number and the name of a method.
    pub fn cseq(&mut self, number: u32, method: &[u8]) -> &mut Self {
        self.lines.value(Header::Cseq, |v| {
            v.number(u64::from(number));
            v.raw(b" ");
            v.text(method);
        });
        self
    }

    /// Ends the request with Content-Length and body and takes it out of the arena.
    pub fn finish(self) -> Bytes {
        self.lines.finish()
    }
}

impl<'a> Deref for RequestWriter<'a> {
    type Target = Writer<'a>;
    fn deref(&self) -> &Writer<'a> {
        &self.lines
    }
}

impl<'a> DerefMut for RequestWriter<'a> {
    fn deref_mut(&mut self) -> &mut Writer<'a> {
        &mut self.lines
    }
}

#[cfg(test)]
mod tests;
