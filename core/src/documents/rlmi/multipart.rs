//! `multipart/related` (RFC 2387, RFC 2046 s5.1): a root and the parts it names by Content-ID.

use memchr::memmem;

use crate::base::text;
use crate::documents::xml::{DocumentError, Fault};
use crate::wire::Params;

/// Most parts of a body that are read.
const PARTS: usize = 1_024;

/// A body of parts.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Multipart {
    /// The value of Content-Type: type of the root, its Content-ID, the boundary.
    pub content_type: String,
    /// The body.
    pub body: Vec<u8>,
}

/// One part.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Part<'a> {
    /// Its media type with parameters.
    pub content_type: &'a str,
    /// Its Content-ID without the angle brackets.
    pub content_id: &'a str,
    /// Its content, byte for byte.
    pub body: &'a [u8],
}

impl Multipart {
    /// A body whose first part is the root. The boundary begins with `boundary`, of which letters, digits and hyphens
    /// count; a number follows if a part holds it.
    pub fn print(boundary: &str, parts: &[Part<'_>]) -> Multipart {
        let boundary = free(boundary, parts);
        let bytes: usize = parts.iter().map(|part| part.body.len() + 160 + boundary.len()).sum();
        let mut body = Vec::with_capacity(bytes + 64);
        for part in parts {
            body.extend_from_slice(b"--");
            body.extend_from_slice(boundary.as_bytes());
            // RFC 4662 s6: binary, so that nobody wraps lines.
            body.extend_from_slice(b"\r\nContent-Transfer-Encoding: binary\r\nContent-ID: <");
            body.extend(line(part.content_id).filter(|b| !matches!(b, b'<' | b'>')));
            body.extend_from_slice(b">\r\nContent-Type: ");
            body.extend(line(part.content_type));
            body.extend_from_slice(b"\r\n\r\n");
            body.extend_from_slice(part.body);
            body.extend_from_slice(b"\r\n");
        }
        body.extend_from_slice(b"--");
        body.extend_from_slice(boundary.as_bytes());
        body.extend_from_slice(b"--\r\n");
        let quotable = |text: &str| {
            line(text).filter(|b| !matches!(b, b'"' | b'\\' | b'<' | b'>')).map(char::from).collect()
        };
        let root: String = parts.first().map(|root| quotable(root.content_id)).unwrap_or_default();
        let kind: String = parts.first().map(|root| quotable(kind(root.content_type))).unwrap_or_default();
        let content_type =
            format!("multipart/related;type=\"{kind}\";start=\"<{root}>\";boundary=\"{boundary}\"");
        Multipart { content_type, body }
    }

    /// Takes a body apart, the root first if `start` names it. Parts without a Content-ID have an empty one.
    ///
    /// # Errors
    ///
    /// A Content-Type without a boundary, no part, a part that does not end, more than 1,024 parts.
    pub fn parts<'a>(content_type: &str, body: &'a [u8]) -> Result<Vec<Part<'a>>, DocumentError> {
        let fault = |what, fault, at| DocumentError { what, fault, at };
        let parameters = content_type.find(';').and_then(|at| content_type.get(at..)).unwrap_or_default();
        let parameters = Params::parse(parameters.as_bytes()).unwrap_or_default();
        let boundary = parameters.value(b"boundary").filter(|b| !b.is_empty() && b.len() <= 70);
        let delimiter = [b"--", boundary.ok_or(fault("boundary", Fault::Missing, 0))?].concat();
        let mut parts: Vec<Part<'a>> = Vec::new();
        let mut begin: Option<usize> = None;
        for at in memmem::find_iter(body, &delimiter) {
            // A delimiter begins a line and has nothing behind it but white space, or `--` at the end of all.
            let line_begins = at == 0 || body.get(at - 1) == Some(&b'\n');
            let behind = body.get(at + delimiter.len()..).unwrap_or_default();
            let (last, behind) = behind.strip_prefix(b"--").map_or((false, behind), |rest| (true, rest));
            let line = behind.split(|b| *b == b'\n').next().unwrap_or_default();
            if !line_begins || !text::trim(line).is_empty() {
                continue;
            }
            if let Some(begin) = begin {
                if parts.len() >= PARTS {
                    return Err(fault("multipart", Fault::TooMany, at));
                }
                let whole = body.get(begin..at.saturating_sub(1)).unwrap_or_default();
                let whole = whole.strip_suffix(b"\r").unwrap_or(whole);
                parts.push(Part::read(whole).ok_or(fault("part", Fault::Malformed, begin))?);
            }
            begin = Some(body.len() - behind.len() + (line.len() + 1).min(behind.len()));
            if last {
                if parts.is_empty() {
                    return Err(fault("multipart", Fault::Missing, at));
                }
                let start = parameters.value(b"start").unwrap_or_default();
                let start = start.strip_prefix(b"<").and_then(|s| s.strip_suffix(b">")).unwrap_or(start);
                let root = parts.iter().position(|part| part.content_id.as_bytes() == start);
                parts.get_mut(..=root.unwrap_or(0)).unwrap_or_default().rotate_right(1);
                return Ok(parts);
            }
        }
        Err(fault("multipart", Fault::Truncated, body.len()))
    }
}

impl<'a> Part<'a> {
    fn read(whole: &'a [u8]) -> Option<Part<'a>> {
        let mut part = Part { content_type: "", content_id: "", body: b"" };
        let mut rest = whole;
        loop {
            let end = memchr::memchr(b'\n', rest);
            let (line, behind) = match end {
                Some(end) => (rest.get(..end)?, rest.get(end + 1..)?),
                None => (rest, &[][..]),
            };
            rest = behind;
            let line = text::trim(line);
            if line.is_empty() {
                return Some(Part { body: rest, ..part });
            }
            let colon = line.iter().position(|b| *b == b':')?;
            let (name, value) = (text::trim(line.get(..colon)?), text::trim(line.get(colon + 1..)?));
            let value = core::str::from_utf8(value).ok()?;
            if text::eq_ignore_case(name, b"Content-Type") {
                part.content_type = value;
            } else if text::eq_ignore_case(name, b"Content-ID") {
                part.content_id = value.strip_prefix('<').and_then(|v| v.strip_suffix('>')).unwrap_or(value);
            }
            end?;
        }
    }
}

/// The media type alone.
fn kind(content_type: &str) -> &str {
    content_type.split(';').next().unwrap_or_default().trim()
}

/// Bytes that may stand in a line of a header.
fn line(text: &str) -> impl Iterator<Item = u8> {
    text.bytes().filter(|b| matches!(b, b' '..=b'~'))
}

/// A boundary that no part holds.
fn free(wanted: &str, parts: &[Part<'_>]) -> String {
    let plain = |b: &u8| b.is_ascii_alphanumeric() || *b == b'-';
    let mut base: String = wanted.bytes().filter(plain).take(48).map(char::from).collect();
    if base.is_empty() {
        base.push_str("part");
    }
    let held =
        |boundary: &str| parts.iter().any(|part| memmem::find(part.body, boundary.as_bytes()).is_some());
    if !held(&base) {
        return base;
    }
    // Bytes of the parts are finite, so some number is free.
    (0_u64..).map(|number| format!("{base}-{number}-")).find(|boundary| !held(boundary)).unwrap_or(base)
}
