//! A message as one buffer and a table of spans. RFC 3261 s7, s18.3.
//!
//! [`parse`] scans the bytes once and writes where each header line lies into a [`Layout`], which lives on the caller's
//! stack; [`Message`] is a `Copy` view on both. Values are read when they are asked for and borrow from the bytes.
//! Nothing is allocated for up to 48 header lines.

use core::fmt;
use core::ops::{Deref, Range};

use bytes::Bytes;
use memchr::{memchr, memchr2};

use super::grammar::nothing;
use super::scan::{self, Folding, Start};
use super::split::{self, Split};
use super::{Fault, Header, Method, ParseError};
use crate::base::text;

/// What [`parse`] accepts at most.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Bounds {
    /// Bytes of head and body together. At most 65,535, whatever is written here.
    pub message_bytes: usize,
    /// Header lines.
    pub headers: usize,
}

impl Default for Bounds {
    fn default() -> Bounds {
        Bounds { message_bytes: usize::from(u16::MAX), headers: 200 }
    }
}

/// Where the parts of a message lie. One can be used for many messages, one after the other.
#[derive(Clone)]
pub struct Layout {
    entries: Entries,
    // By header: the number of its first line, counted from one; 0 for none.
    first: [u16; Header::COUNT],
    // A bit by header: it has more than one line.
    repeated: u128,
    start: Start,
    // Behind the start line, behind the empty line, behind the body.
    head: u16,
    body: u16,
    end: u16,
}

#[derive(Clone, Copy)]
struct Entry {
    start: u16,
    name_end: u16,
    value_start: u16,
    value_end: u16,
    end: u16,
    header: Header,
    plain: bool,
}

/// The header lines of a message: on the spot while they are few, else on the heap.
#[derive(Clone)]
struct Entries {
    len: usize,
    few: [Entry; FEW],
    many: Vec<Entry>,
}

impl Entry {
    #[inline(always)]
    fn new(start: usize, end: usize, plain: bool, field: &scan::Field) -> Entry {
        Entry {
            start: start as u16,
            name_end: field.name_end as u16,
            value_start: field.value_start as u16,
            value_end: field.value_end as u16,
            end: end as u16,
            header: field.header,
            plain,
        }
    }
}

// All zero, so that a table of them is cheap to make.
const NO_ENTRY: Entry = Entry {
    start: 0,
    name_end: 0,
    value_start: 0,
    value_end: 0,
    end: 0,
    header: Header::Accept,
    plain: false,
};

/// How many header lines fit without the heap.
const FEW: usize = 48;

const _: () = assert!(Header::COUNT <= u128::BITS as usize, "a header is a bit of `Layout::repeated`");

impl Entries {
    #[inline(always)]
    fn new() -> Entries {
        Entries { len: 0, few: [NO_ENTRY; FEW], many: Vec::new() }
    }

    fn push(&mut self, entry: Entry) {
        match self.few.get_mut(self.len) {
            Some(slot) => *slot = entry,
            None => {
                if self.many.is_empty() {
                    self.many.extend_from_slice(&self.few);
                }
                self.many.push(entry);
            }
        }
        self.len += 1;
    }

    /// One that was pushed: the first ones stay on the spot.
    #[inline(always)]
    fn at(&self, index: usize) -> Option<&Entry> {
        match self.few.get(index) {
            Some(entry) => Some(entry),
            None => self.many.get(index),
        }
    }

    fn clear(&mut self) {
        self.len = 0;
        self.many = Vec::new();
    }
}

impl Deref for Entries {
    type Target = [Entry];
    #[inline(always)]
    fn deref(&self) -> &[Entry] {
        self.few.get(..self.len).unwrap_or(&self.many)
    }
}

impl Layout {
    /// An empty one.
    #[inline]
    pub fn new() -> Layout {
        Layout {
            entries: Entries::new(),
            first: [0; Header::COUNT],
            repeated: 0,
            start: Start::Response { status: 0, reason_start: 0, reason_end: 0 },
            head: 0,
            body: 0,
            end: 0,
        }
    }

    fn clear(&mut self) {
        if self.entries.len > 0 {
            self.entries.clear();
            self.first = [0; Header::COUNT];
            self.repeated = 0;
        }
        (self.head, self.body, self.end) = (0, 0, 0);
    }

    /// Adds a header line; false, and nothing is done, if its header stands already and may stand once.
    fn push(&mut self, start: usize, end: usize, plain: bool, field: &scan::Field) -> bool {
        let fits = self.note(field.header);
        if fits {
            self.entries.push(Entry::new(start, end, plain, field));
        }
        fits
    }

    /// Like `push` for a plain line, while there is room: at most that on the spot; false says only that nothing was done.
    #[inline(always)]
    fn push_plain(&mut self, start: usize, end: usize, field: &scan::Field, room: usize) -> bool {
        if self.entries.len >= room || !self.note(field.header) {
            return false;
        }
        let Some(slot) = self.entries.few.get_mut(self.entries.len) else { return false };
        *slot = Entry::new(start, end, true, field);
        self.entries.len += 1;
        true
    }

    /// Keeps where the first line of a header is and that there are more; false if there may be but one.
    #[inline(always)]
    fn note(&mut self, header: Header) -> bool {
        let Some(first) = self.first.get_mut(header as usize) else { return false };
        if *first == 0 {
            *first = self.entries.len as u16 + 1;
        } else if header.is_single() {
            return false;
        } else {
            self.repeated |= 1 << header as u32;
        }
        true
    }
}

impl Default for Layout {
    fn default() -> Layout {
        Layout::new()
    }
}

impl fmt::Debug for Layout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Layout")
            .field("lines", &self.entries.len())
            .field("end", &self.end)
            .finish_non_exhaustive()
    }
}

/// A message that is not accepted.
#[derive(Clone, Copy, Debug)]
pub struct Reject<'m> {
    /// The first thing that is wrong with it.
    pub error: ParseError,
    /// What was recognised, for an answer: there if it is a request with a Via that can be read. Lines that are
    /// malformed themselves are left out of it, and so is a body whose length is in doubt.
    pub partial: Option<Message<'m>>,
}

/// Takes a datagram, or one framed message, apart: start line, header lines and body. Line ends before the start line
/// and bytes behind the body are ignored (RFC 3261 s7.5, s18.3); without Content-Length the body is the rest.
///
/// Faults: not SIP, another version, a malformed start or header line, too many lines or bytes, no empty line behind the
/// head, a header repeated that may stand once, a Content-Length that is not a number, contradicts another one, or is
/// larger than the body. What stands in the values is looked at by the typed views only.
pub fn parse<'m>(raw: &'m [u8], layout: &'m mut Layout, bounds: &Bounds) -> Result<Message<'m>, Reject<'m>> {
    let raw = raw.get(scan::leading_line_ends(raw)..).unwrap_or_default();
    let limit = bounds.message_bytes.min(usize::from(u16::MAX));
    let mut fault = FirstFault(None);
    let raw = match raw.get(..limit) {
        Some(looked_at) if raw.len() > limit => {
            fault.note(ParseError::new("message", Fault::TooLong));
            looked_at
        }
        _ => raw,
    };
    let is_request = scan_head(raw, layout, bounds, &mut fault);
    if fault.0.is_none() {
        find_body(raw, layout, &mut fault);
    }
    let layout: &'m Layout = layout;
    let message = Message { raw: raw.get(..usize::from(layout.end)).unwrap_or_default(), layout };
    match fault.0 {
        None => Ok(message),
        Some(error) => {
            let usable = is_request && message.via_is_usable();
            Err(Reject { error, partial: usable.then_some(message) })
        }
    }
}

struct FirstFault(Option<ParseError>);

impl FirstFault {
    fn note(&mut self, error: ParseError) {
        self.0.get_or_insert(error);
    }
}

/// Fills the layout as far as the head can be read, past faulty lines. True if the start line is one of a request.
fn scan_head(raw: &[u8], layout: &mut Layout, bounds: &Bounds, fault: &mut FirstFault) -> bool {
    const CUT: ParseError = ParseError::new("message", Fault::Truncated);
    const NOT_SIP: ParseError = ParseError::new("message", Fault::NotSip);
    layout.clear();
    let Some(line) = scan::line(raw, 0, Folding::Refused) else {
        fault.note(if scan::may_be_start(raw) { CUT } else { NOT_SIP });
        return false;
    };
    if line.bad {
        fault.note(NOT_SIP);
        return false;
    }
    layout.start = match scan::start_line(raw.get(..line.content_end).unwrap_or_default()) {
        Ok(start) => start,
        Err((error, start)) => {
            fault.note(error);
            let Some(start) = start else { return false };
            start
        }
    };
    layout.head = line.end as u16;
    let mut at = line.end;
    let room = bounds.headers.min(FEW);
    loop {
        match scan::plain_line(raw, at) {
            Some((field, end)) if layout.push_plain(at, end, &field, room) => at = end,
            _ if raw.get(at..at + 2) == Some(b"\r\n") => {
                at += 2;
                break;
            }
            _ => match odd_line(raw, at, layout, bounds, fault) {
                Ok(end) => at = end,
                Err(head_end) => {
                    at = head_end;
                    break;
                }
            },
        }
    }
    (layout.body, layout.end) = (at as u16, at as u16);
    matches!(layout.start, Start::Request { .. })
}

/// Takes any line at `at`: where it ends, or as the failure where the head ends.
#[inline(never)]
fn odd_line(
    raw: &[u8],
    at: usize,
    layout: &mut Layout,
    bounds: &Bounds,
    fault: &mut FirstFault,
) -> Result<usize, usize> {
    let Some(line) = scan::line(raw, at, Folding::Allowed) else {
        fault.note(ParseError::new("message", Fault::Truncated));
        return Err(at);
    };
    if line.content_end == at {
        return Err(line.end);
    }
    if layout.entries.len() >= bounds.headers {
        fault.note(ParseError::new("message", Fault::TooMany));
        return Err(at);
    }
    match scan::field(raw, at, line.content_end) {
        Ok(field) if line.bad => {
            let what = if field.header == Header::Other { "header" } else { field.header.name() };
            fault.note(ParseError::new(what, Fault::Malformed));
        }
        Ok(field) => {
            if !layout.push(at, line.end, line.plain, &field) {
                fault.note(ParseError::new(field.header.name(), Fault::Repeated));
            }
        }
        Err(error) => fault.note(error),
    }
    Ok(line.end)
}

/// RFC 3261 s18.3: Content-Length ends the body of a datagram, and without it the datagram does.
fn find_body(raw: &[u8], layout: &mut Layout, fault: &mut FirstFault) {
    let body = usize::from(layout.body);
    let there = raw.len() - body;
    let len = match declared_length(Message { raw, layout: &*layout }.headers(Header::ContentLength)) {
        Ok(None) => there,
        Ok(Some(len)) if len <= there => len,
        Ok(Some(_)) => return fault.note(ParseError::new("body", Fault::Truncated)),
        Err(error) => return fault.note(error),
    };
    layout.end = (body + len) as u16;
}

/// The length that all Content-Length lines agree on; a number too large to count becomes the largest one.
pub(super) fn declared_length<'m>(
    values: impl Iterator<Item = &'m [u8]>,
) -> Result<Option<usize>, ParseError> {
    const WHAT: &str = "Content-Length";
    let mut agreed = None;
    for value in values {
        let len = text::clamp_u32(value).ok_or(ParseError::new(WHAT, Fault::Malformed))? as usize;
        // RFC 4475 s3.3.9: lengths that contradict each other are as good as none.
        if *agreed.get_or_insert(len) != len {
            return Err(ParseError::new(WHAT, Fault::Repeated));
        }
    }
    Ok(agreed)
}

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
    raw: &'m [u8],
    layout: &'m Layout,
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

    /// The first line of a header, as it came.
    pub fn first_line(&self, header: Header) -> Option<Line<'m>> {
        Some(self.line(self.first(header)?))
    }

    fn via_is_usable(&self) -> bool {
        self.via().is_ok()
    }

    /// The lines of one header, as they came, in order.
    pub fn lines_of(&self, header: Header) -> impl Iterator<Item = Line<'m>> + Clone + use<'m> {
        let message = *self;
        self.entries_of(header).map(move |entry| message.line(entry))
    }

    /// Where the header lines lie, in order.
    #[inline]
    pub(super) fn spans(&self) -> impl Iterator<Item = Span> + use<'m> {
        self.layout.entries.iter().enumerate().map(|(index, entry)| Span {
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
    pub(super) fn has_several(&self, header: Header) -> bool {
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
