//! Responses: what they have from their request, and where that came from. RFC 3261 s8.2.6, s18.2.1, RFC 3581.

use core::fmt;
use core::net::IpAddr;
use core::ops::{Deref, DerefMut, Range};

use bytes::Bytes;

use super::{Value, Writer};
use crate::base::text::{self, put, put_v4};
use crate::wire::via::SourceParams;
use crate::wire::{Arena, Header, Message, ParseError, Rport, Status, Via, split};

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
        ResponseWriter::with(arena, request, status.into(), to_tag.map(str::as_bytes), source, via.as_ref())
    }

    /// Like [`ResponseWriter::new`], for a request whose topmost Via was read before, and of which is known whether To
    /// lacks a tag.
    pub(crate) fn answering<'s>(
        arena: &'a mut Arena,
        request: Message<'a>,
        via: &Via<'_>,
        status: impl Into<StatusLine<'s>>,
        to_tag: Option<&[u8]>,
        source: (IpAddr, u16),
    ) -> ResponseWriter<'a> {
        ResponseWriter::with(arena, request, status.into(), to_tag, Some(source), Some(via))
    }

    /// `to_tag` is for a To without one; `via` is the topmost one, if it can be read.
    fn with(
        arena: &'a mut Arena,
        request: Message<'a>,
        status: StatusLine<'_>,
        to_tag: Option<&[u8]>,
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
        to_tag: Option<&[u8]>,
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
    fn with_tag(&mut self, before: &[u8], tag: &[u8]) {
        self.raw(before);
        self.raw(b";tag=");
        self.text(tag);
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
