//! Writers of responses and requests. RFC 3261 s8.2.6, s18.2.1, RFC 3581.
//!
//! They append to an arena and give away what they wrote. What a response takes over from its request is copied as
//! spans of bytes. A value given by the caller can never end its line: every control byte in it becomes a space, and in
//! a Request-URI also every space an escape. Lines longer than one are written unfolded.

use core::fmt;
use core::net::IpAddr;

use bytes::Bytes;

use super::{Arena, Date, Header, Line, split};
use crate::base::text::{self, Push, put_v4};

mod request;
mod response;

pub use request::RequestWriter;
pub use response::{ResponseWriter, StatusLine};

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

    /// A body whose type stands in a line already.
    pub(crate) fn content(&mut self, body: &'a [u8]) -> &mut Self {
        self.body = body;
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

/// A line that is the same in many messages, or lines taken from one to be put into others, for [`Writer::prepared`].
#[derive(Clone, PartialEq, Eq, Default, Debug)]
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

    /// Lines of a parsed message, as [`Writer::raw_line`] writes them.
    pub(crate) fn copied<'m>(lines: impl IntoIterator<Item = Line<'m>>) -> PreparedLine {
        let mut arena = Arena::new();
        let mut writer = Writer::new(&mut arena);
        for line in lines {
            writer.raw_line(line);
        }
        PreparedLine(arena.text.into())
    }

    /// The same without those of a header.
    pub(crate) fn without(&self, header: Header) -> PreparedLine {
        let name =
            |line: &[u8]| line.split(|b| *b == b':').next().unwrap_or_default().trim_ascii_end().to_vec();
        let kept = self.0.split_inclusive(|b| *b == b'\n').filter(|line| Header::of(&name(line)) != header);
        PreparedLine(kept.flatten().copied().collect())
    }

    /// What [`PreparedLine::bytes`] gave in an earlier life.
    pub(crate) fn restored(bytes: Box<[u8]>) -> PreparedLine {
        PreparedLine(bytes)
    }

    /// The lines, each with its end.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.0
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

#[cfg(test)]
impl Value<'_> {
    /// What is written as a value.
    pub(crate) fn written(write: impl FnOnce(&mut Value<'_>)) -> Vec<u8> {
        let mut out = Vec::new();
        write(&mut Value { out: &mut out });
        out
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

#[cfg(test)]
mod tests;
