//! The line scanner: where header lines, start line and head end. RFC 3261 s7, s7.1, s7.2, s7.3.1, s25.1.
//!
//! What is taken for a line: it ends with CRLF, and a bare LF is tolerated; the next line belongs to it while that begins
//! with a space or a tab. A bare CR makes the line malformed, and so does a NUL, except behind a backslash, where
//! RFC 3261 s25.1 allows it as a quoted-pair (RFC 4475 s3.1.1.2).

use memchr::memchr;

use super::{Fault, Header, Method, ParseError};
use crate::base::text;

/// Whether folding is allowed: header lines may be folded, a start line may not.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Folding {
    Allowed,
    Refused,
}

/// One line with its folding.
#[derive(Clone, Copy)]
pub(super) struct Physical {
    /// Behind the line end.
    pub(super) end: usize,
    /// In front of the (last) line end.
    pub(super) content_end: usize,
    /// Ends with CRLF and is not folded: may be copied as it is.
    pub(super) plain: bool,
    /// Holds a bare CR, or a NUL outside a quoted-pair.
    pub(super) bad: bool,
}

/// The line that begins at `start`; `None` if it has no end.
pub(super) fn line(bytes: &[u8], start: usize, folding: Folding) -> Option<Physical> {
    let (mut plain, mut bad) = (true, false);
    let mut i = low_byte_from(bytes, start)?;
    loop {
        let end = match bytes.get(i)? {
            b'\r' if bytes.get(i + 1) == Some(&b'\n') => i + 2,
            b'\n' => {
                plain = false;
                i + 1
            }
            other => {
                bad |= match other {
                    b'\r' => true,
                    0 => i == start || bytes.get(i - 1) != Some(&b'\\'),
                    _ => false,
                };
                i = low_byte_from(bytes, i + 1)?;
                continue;
            }
        };
        // RFC 3261 s7.3.1: a line that begins with white space continues the one before. An empty line ends the head.
        let folded = matches!(bytes.get(end), Some(b' ' | b'\t'));
        if folded && folding == Folding::Allowed && i > start {
            plain = false;
            i = low_byte_from(bytes, end)?;
            continue;
        }
        return Some(Physical { end, content_end: i, plain, bad });
    }
}

/// What nearly all header lines are: a name, a colon, one space, a value, CRLF; not folded, not the last line of what is
/// there. Gives its parts and where it ends. `None` says only that [`line`] and [`field`] must look.
#[inline(always)]
pub(super) fn plain_line(bytes: &[u8], start: usize) -> Option<(Field, usize)> {
    let line = bytes.get(start..)?;
    let (header, name_len) = Header::before_colon(line)?;
    if header == Header::Other && !text::is_token(line.get(..name_len)?) {
        return None;
    }
    // What is before the value holds no line end.
    let [b':', b' ', value @ ..] = line.get(name_len..)? else { return None };
    if *value.first()? <= b' ' {
        return None;
    }
    let value_len = low_byte(value)?;
    let [last, cr, lf, next] = *value.get(value_len.wrapping_sub(1)..)?.first_chunk()?;
    let ends = u16::from_le_bytes([cr, lf]) == u16::from_le_bytes(*b"\r\n");
    if !ends || last == b' ' || next == b' ' || next == b'\t' {
        return None;
    }
    let name_end = start + name_len;
    let value_start = name_end + 2;
    let value_end = value_start + value_len;
    Some((Field { header, name_end, value_start, value_end }, value_end + 2))
}

/// Position of the first byte that is at most a CR: line ends, NUL, tabs and the controls among them.
#[inline(always)]
fn low_byte(bytes: &[u8]) -> Option<usize> {
    const EACH: u64 = u64::MAX / 0xff;
    const ABOVE: u8 = b'\r' + 1;
    // Marks the bytes below; the lowest mark is exact.
    let marks = |half: &[u8; 8]| {
        let word = u64::from_le_bytes(*half);
        word.wrapping_sub(EACH * ABOVE as u64) & !word & (EACH * 0x80)
    };
    let (chunks, tail) = bytes.as_chunks::<16>();
    // Without an early end inside a chunk, so that the compiler compares all of its bytes in one step.
    let low = |chunk: &[u8; 16]| chunk.iter().fold(false, |found, &b| found | (b < ABOVE));
    let mut n = 0;
    while let Some(chunk) = chunks.get(n) {
        if low(chunk) {
            let ([first, second], []) = chunk.as_chunks::<8>() else { return None };
            return Some(match marks(first) {
                0 => n * 16 + 8 + (marks(second).trailing_zeros() / 8) as usize,
                marks => n * 16 + (marks.trailing_zeros() / 8) as usize,
            });
        }
        n += 1;
    }
    tail.iter().position(|&b| b < ABOVE).map(|i| n * 16 + i)
}

/// Like [`low_byte`], from a position on.
fn low_byte_from(bytes: &[u8], at: usize) -> Option<usize> {
    low_byte(bytes.get(at..)?).map(|n| at + n)
}

/// Length of the line ends that `bytes` begins with. RFC 3261 s7.5: they are ignored before a start line.
pub(super) fn leading_line_ends(bytes: &[u8]) -> usize {
    bytes.iter().take_while(|b| matches!(b, b'\r' | b'\n')).count()
}

/// A header line taken apart; positions count from the beginning of the message.
#[derive(Clone, Copy)]
pub(super) struct Field {
    pub(super) header: Header,
    pub(super) name_end: usize,
    pub(super) value_start: usize,
    pub(super) value_end: usize,
}

const MALFORMED: ParseError = ParseError::new("header", Fault::Malformed);

/// Finds name and value of the header line in `bytes[start..content_end]`; the value without white space around it.
pub(super) fn field(bytes: &[u8], start: usize, content_end: usize) -> Result<Field, ParseError> {
    let line = bytes.get(start..content_end).ok_or(MALFORMED)?;
    let (header, name_len, colon) = name(line)?;
    let value = line.get(colon + 1..).ok_or(MALFORMED)?;
    let leading = value.iter().take_while(|&&b| is_space(b)).count();
    let value = text::trim(value);
    let value_start = start + colon + 1 + leading;
    Ok(Field { header, name_end: start + name_len, value_start, value_end: value_start + value.len() })
}

/// The header a line is of, the length of its name, and where its colon is.
fn name(line: &[u8]) -> Result<(Header, usize, usize), ParseError> {
    let colon = memchr(b':', line).ok_or(MALFORMED)?;
    let mut name = line.get(..colon).unwrap_or_default();
    // RFC 3261 s7.3.1: white space may stand before the colon.
    while let [rest @ .., b' ' | b'\t'] = name {
        name = rest;
    }
    let header = Header::of(name);
    if header == Header::Other && !text::is_token(name) {
        return Err(MALFORMED);
    }
    Ok((header, name.len(), colon))
}

#[inline]
fn is_space(b: u8) -> bool {
    matches!(b, b' ' | b'\t' | b'\r' | b'\n')
}

/// A start line taken apart; positions count from the beginning of the message.
#[derive(Clone, Copy)]
pub(super) enum Start {
    Request { method: Method, method_end: usize, uri_end: usize },
    Response { status: u16, reason_start: usize, reason_end: usize },
}

/// Reads the content of a start line. A request line whose version is not 2.0 is given with the fault, so that it can be
/// answered; no other faulty line is.
pub(super) fn start_line(content: &[u8]) -> Result<Start, (ParseError, Option<Start>)> {
    // RFC 3261 s7.1: the version is case-insensitive. A method is a token and has no slash.
    let is_status = matches!(content.first(), Some(b'S' | b's'))
        && content.get(..4).is_some_and(|prefix| prefix.eq_ignore_ascii_case(b"SIP/"));
    match is_status {
        true => status_line(content).map_err(|e| (e, None)),
        false => request_line(content),
    }
}

fn status_line(content: &[u8]) -> Result<Start, ParseError> {
    const WHAT: &str = "Status-Line";
    let space = memchr(b' ', content).ok_or(ParseError::new(WHAT, Fault::Malformed))?;
    let (version, rest) = content.split_at(space);
    if !version.eq_ignore_ascii_case(b"SIP/2.0") {
        return Err(ParseError::new(WHAT, Fault::Version));
    }
    let rest = rest.get(1..).unwrap_or_default();
    // The space behind the code is mandatory even if the phrase is empty; many leave it out then.
    let (code, reason_start) = match memchr(b' ', rest) {
        Some(i) => (rest.get(..i).unwrap_or_default(), space + 2 + i),
        None => (rest, content.len()),
    };
    // RFC 3261 s7.2: the first digit is 1 to 6. RFC 4475 s3.1.2.19: a larger number must not break the receiver.
    match text::decimal_u32(code) {
        Some(n @ 100..=699) if code.len() == 3 => {
            Ok(Start::Response { status: n as u16, reason_start, reason_end: content.len() })
        }
        _ if !code.is_empty() && code.iter().all(u8::is_ascii_digit) => {
            Err(ParseError::new(WHAT, Fault::Range))
        }
        _ => Err(ParseError::new(WHAT, Fault::Malformed)),
    }
}

fn request_line(content: &[u8]) -> Result<Start, (ParseError, Option<Start>)> {
    const WHAT: &str = "Request-Line";
    // RFC 3261 s7.1: Method SP Request-URI SP SIP-Version, one space each and none anywhere else.
    let parts = first_space(content).and_then(|method_end| {
        let (name, rest) = content.split_at(method_end);
        let rest = rest.get(1..)?;
        let uri_len = memchr(b' ', rest)?;
        Some((name, uri_len, rest.get(uri_len + 1..)?))
    });
    let Some((name, uri_len, version)) = parts else { return Err((unlike_sip(content), None)) };
    let method = Method::from_bytes(name);
    if method == Method::Other && !text::is_token(name) {
        return Err((unlike_sip(content), None));
    }
    let start = Start::Request { method, method_end: name.len(), uri_end: name.len() + 1 + uri_len };
    if uri_len > 0 && (version == b"SIP/2.0" || version.eq_ignore_ascii_case(b"SIP/2.0")) {
        return Ok(start);
    }
    if uri_len > 0 && is_version(version) {
        // RFC 3261 s21.5.6
        return Err((ParseError::new(WHAT, Fault::Version), Some(start)));
    }
    let error = unlike_sip(content);
    Err((error, (error.fault != Fault::NotSip).then_some(start)))
}

/// Where the first space is. It is near: a method is short.
#[inline]
fn first_space(content: &[u8]) -> Option<usize> {
    const EACH: u64 = u64::MAX / 0xff;
    let word = u64::from_le_bytes(*content.first_chunk()?) ^ (EACH * b' ' as u64);
    // The lowest mark is that of the first zero.
    match word.wrapping_sub(EACH) & !word & (EACH * 0x80) {
        0 => content.iter().skip(8).position(|&b| b == b' ').map(|n| 8 + n),
        marks => Some((marks.trailing_zeros() / 8) as usize),
    }
}

/// True for `SIP/` and two numbers with a dot between them.
fn is_version(version: &[u8]) -> bool {
    let Some((prefix, numbers)) = version.split_first_chunk::<4>() else { return false };
    let Some(dot) = memchr(b'.', numbers) else { return false };
    let (major, minor) = numbers.split_at(dot);
    let digits = |b: &[u8]| !b.is_empty() && b.iter().all(u8::is_ascii_digit);
    prefix.eq_ignore_ascii_case(b"SIP/") && digits(major) && digits(minor.get(1..).unwrap_or_default())
}

/// The fault of a line that is no request line: malformed if its last word is a SIP version, else not SIP at all.
fn unlike_sip(content: &[u8]) -> ParseError {
    let last = content.split(|&b| is_space(b)).rfind(|word| !word.is_empty()).unwrap_or_default();
    let fault = if is_version(last) && last.len() < content.len() { Fault::Malformed } else { Fault::NotSip };
    ParseError::new("Request-Line", fault)
}

/// True if the bytes that have come so far may still become a start line.
pub(super) fn may_be_start(content: &[u8]) -> bool {
    !matches!(start_line(content), Err((ParseError { fault: Fault::NotSip, .. }, _)))
}
