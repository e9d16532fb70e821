//! A message as one buffer and a table of spans. RFC 3261 s7, s18.3.
//!
//! [`parse`](super::parse) scans the bytes once and writes where each header line lies into a [`Layout`], which lives
//! on the caller's stack; [`Message`] is a `Copy` view on both. Values are read when they are asked for and borrow from
//! the bytes. Nothing is allocated for up to 48 header lines.

use core::fmt;
use core::ops::Range;

use bytes::Bytes;
use memchr::{memchr, memchr2};

use super::grammar::nothing;
use super::layout::Entry;
use super::scan::Start;
use super::split::{self, Split};
use super::{Bounds, parse};
use super::{Header, Layout, Method};

/// What the start line says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind<'m> {
    /// A request.
    Request {
        /// The method.
        method: Method,
        /// Its name as it came.
        method_raw: &'m [u8],
        /// The Request-URI as it came: at least one byte, no space in it.
        uri: &'m [u8],
    },
    /// A response.
    Response {
        /// 100 to 699.
        status: u16,
        /// The phrase, which may be empty.
        reason: &'m [u8],
    },
}

/// A view on a parsed message.
#[derive(Clone, Copy)]
pub struct Message<'m> {
    pub(super) raw: &'m [u8],
    pub(super) layout: &'m Layout,
}

impl<'m> Message<'m> {
    /// What the start line says.
    #[inline]
    pub fn kind(&self) -> Kind<'m> {
        match self.layout.start {
            Start::Request { method, method_end, uri_end } => Kind::Request {
                method,
                method_raw: self.part(0, method_end),
                uri: self.part(method_end + 1, uri_end),
            },
            Start::Response { status, reason_start, reason_end } => {
                Kind::Response { status, reason: self.part(reason_start, reason_end) }
            }
        }
    }

    /// True for a request.
    #[inline]
    pub fn is_request(&self) -> bool {
        matches!(self.layout.start, Start::Request { .. })
    }

    /// The Request-URI as it came; `None` for a response.
    #[inline]
    pub fn uri_raw(&self) -> Option<&'m [u8]> {
        match self.kind() {
            Kind::Request { uri, .. } => Some(uri),
            Kind::Response { .. } => None,
        }
    }

    /// The status code; `None` for a request.
    #[inline]
    pub fn status(&self) -> Option<u16> {
        match self.layout.start {
            Start::Request { .. } => None,
            Start::Response { status, .. } => Some(status),
        }
    }

    /// The value of the first line of a header, trimmed; it may be folded and may be empty.
    #[inline]
    pub fn header(&self, header: Header) -> Option<&'m [u8]> {
        Some(self.value(self.first(header)?))
    }

    /// The values of all lines of a header, trimmed, in order.
    #[inline]
    pub fn headers(&self, header: Header) -> impl Iterator<Item = &'m [u8]> + Clone + use<'m> {
        let message = *self;
        message.entries_of(header).map(move |entry| message.value(entry))
    }

    /// The elements of a header over all its lines, trimmed, in order: those between commas for a header that is a list,
    /// else whole lines. Empty ones are skipped.
    #[inline]
    pub fn values(&self, header: Header) -> Values<'m> {
        let lines = self.lines_with(header);
        Values { message: *self, header, next: lines.start, end: lines.end, current: split::commas(&[]) }
    }

    /// How many lines a header has. Its elements are counted by `values(header).count()`.
    pub fn count(&self, header: Header) -> usize {
        self.entries_of(header).count()
    }

    /// The value of the first line of a header that is not in the table, by its name in any case.
    pub fn other(&self, name: &[u8]) -> Option<&'m [u8]> {
        let mut others = self.entries_of(Header::Other);
        let entry = others.find(|e| self.span(e.start, e.name_end).eq_ignore_ascii_case(name))?;
        Some(self.value(entry))
    }

    /// All header lines, in order.
    pub fn lines(&self) -> impl Iterator<Item = Line<'m>> + Clone + use<'m> {
        let message = *self;
        message.layout.entries.iter().map(move |entry| message.line(entry))
    }

    /// The start line with its line end.
    pub fn start_line(&self) -> &'m [u8] {
        self.span(0, self.layout.head)
    }

    /// Start line, header lines and the empty line.
    pub fn head(&self) -> &'m [u8] {
        self.span(0, self.layout.body)
    }

    /// The body; empty if there is none.
    #[inline]
    pub fn body(&self) -> &'m [u8] {
        self.span(self.layout.body, self.layout.end)
    }

    /// The whole message, without line ends before it and bytes behind it.
    #[inline]
    pub fn raw(&self) -> &'m [u8] {
        self.raw
    }

    /// An owned copy.
    pub fn to_held(&self) -> Held {
        Held { bytes: Bytes::copy_from_slice(self.raw), layout: Box::new(self.layout.clone()) }
    }

    /// An owned copy with another body of the same type; `None` if that is too long.
    pub fn with_body(&self, body: &[u8]) -> Option<Held> {
        let mut bytes = Vec::with_capacity(self.head().len() + body.len() + 24);
        bytes.extend_from_slice(self.start_line());
        for line in self.lines().filter(|line| line.header != Header::ContentLength) {
            bytes.extend_from_slice(line.raw);
            if !line.raw.ends_with(b"\n") {
                bytes.extend_from_slice(b"\r\n");
            }
        }
        bytes.extend_from_slice(format!("Content-Length: {}\r\n\r\n", body.len()).as_bytes());
        bytes.extend_from_slice(body);
        let mut layout = Layout::new();
        let bounds = Bounds { message_bytes: usize::from(u16::MAX), headers: usize::from(u16::MAX) };
        parse(&bytes, &mut layout, &bounds).ok()?;
        Some(Held { bytes: bytes.into(), layout: Box::new(layout) })
    }

    /// The first line of a header, as it came.
    pub fn first_line(&self, header: Header) -> Option<Line<'m>> {
        Some(self.line(self.first(header)?))
    }

    pub(super) fn via_is_usable(&self) -> bool {
        self.via().is_ok()
    }

    /// The lines of one header, as they came, in order.
    pub fn lines_of(&self, header: Header) -> impl Iterator<Item = Line<'m>> + Clone + use<'m> {
        let message = *self;
        self.entries_of(header).map(move |entry| message.line(entry))
    }

    /// Where the lines of some headers lie, in order.
    #[inline]
    pub(super) fn spans_of<F: Fn(Header) -> bool>(
        &self,
        wanted: F,
    ) -> impl Iterator<Item = Span> + use<'m, F> {
        let entries = self.layout.entries.iter().enumerate();
        entries.filter(move |(_, entry)| wanted(entry.header)).map(|(index, entry)| Span {
            index,
            header: entry.header,
            start: usize::from(entry.start),
            value: usize::from(entry.value_start)..usize::from(entry.value_end),
            end: usize::from(entry.end),
            plain: entry.plain,
        })
    }

    /// The line that lies there.
    pub(super) fn line_at(&self, span: &Span) -> Option<Line<'m>> {
        Some(self.line(self.layout.entries.get(span.index)?))
    }

    #[inline]
    fn first_index(&self, header: Header) -> usize {
        match self.layout.first.get(header as usize) {
            Some(&n) if n > 0 => usize::from(n) - 1,
            _ => self.layout.entries.len(),
        }
    }

    #[inline]
    fn first(&self, header: Header) -> Option<&'m Entry> {
        let n = usize::from(*self.layout.first.get(header as usize)?);
        self.layout.entries.at(n.checked_sub(1)?)
    }

    /// The lines from the first to the last of a header; others are among them if there are several.
    #[inline]
    fn lines_with(&self, header: Header) -> Range<usize> {
        let (first, all) = (self.first_index(header), self.layout.entries.len());
        first..if self.has_several(header) { all } else { all.min(first + 1) }
    }

    /// Whether a header has more than one line.
    #[inline]
    pub(crate) fn has_several(&self, header: Header) -> bool {
        self.layout.repeated >> header as u32 & 1 != 0
    }

    #[inline]
    fn entries_of(&self, header: Header) -> impl Iterator<Item = &'m Entry> + Clone + use<'m> {
        let entries = self.layout.entries.get(self.lines_with(header)).unwrap_or_default();
        entries.iter().filter(move |e| e.header == header)
    }

    #[inline]
    fn value(&self, entry: &Entry) -> &'m [u8] {
        self.span(entry.value_start, entry.value_end)
    }

    #[inline]
    fn line(&self, entry: &Entry) -> Line<'m> {
        Line {
            header: entry.header,
            name: self.span(entry.start, entry.name_end),
            value: self.value(entry),
            raw: self.span(entry.start, entry.end),
            plain: entry.plain,
        }
    }

    #[inline]
    fn span(&self, from: u16, to: u16) -> &'m [u8] {
        self.part(usize::from(from), usize::from(to))
    }

    #[inline(always)]
    fn part(&self, from: usize, to: usize) -> &'m [u8] {
        match self.raw.get(from..to) {
            Some(part) => part,
            None => nothing(),
        }
    }
}

impl fmt::Debug for Message<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Message").field(&self.raw.escape_ascii().to_string()).finish()
    }
}

/// Where a header line lies.
pub(super) struct Span {
    index: usize,
    pub(super) header: Header,
    pub(super) start: usize,
    pub(super) value: Range<usize>,
    pub(super) end: usize,
    pub(super) plain: bool,
}

/// Iterator of [`Message::values`].
#[derive(Clone, Copy, Debug)]
pub struct Values<'m> {
    message: Message<'m>,
    header: Header,
    next: usize,
    end: usize,
    current: Split<'m>,
}

impl<'m> Iterator for Values<'m> {
    type Item = &'m [u8];

    #[inline]
    fn next(&mut self) -> Option<&'m [u8]> {
        loop {
            if !self.current.is_empty()
                && let Some(value) = self.current.next()
            {
                return Some(value);
            }
            if self.next == self.end {
                return None;
            }
            let entry = self.message.layout.entries.at(self.next)?;
            self.next += 1;
            if entry.header != self.header {
                continue;
            }
            let value = self.message.value(entry);
            if self.header.is_list() && memchr(b',', value).is_some() {
                self.current = split::commas(value);
            } else if !value.is_empty() {
                // Trimmed when the line was read.
                return Some(value);
            }
        }
    }
}

/// A header line.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Line<'m> {
    /// Which header.
    pub header: Header,
    /// Its name as it came.
    pub name: &'m [u8],
    /// Its value, trimmed; it may be folded.
    pub value: &'m [u8],
    // Not public, so that nothing but a line that was parsed can be copied into a message.
    raw: &'m [u8],
    plain: bool,
}

impl<'m> Line<'m> {
    /// The line as it came, with folding and line end.
    #[inline]
    pub fn raw(&self) -> &'m [u8] {
        self.raw
    }

    /// True if the line is not folded and ends with CRLF.
    #[inline]
    pub fn is_plain(&self) -> bool {
        self.plain
    }

    /// True if the value holds white space of a fold.
    pub fn is_folded(&self) -> bool {
        !self.plain && memchr2(b'\r', b'\n', self.value).is_some()
    }
}

/// A message that owns its bytes: what is kept of a request that waits.
#[derive(Clone, Debug)]
pub struct Held {
    bytes: Bytes,
    layout: Box<Layout>,
}

impl Held {
    /// The view.
    #[inline]
    pub fn message(&self) -> Message<'_> {
        Message { raw: &self.bytes, layout: &self.layout }
    }

    /// The bytes.
    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }
}

#[cfg(test)]
mod tests;
