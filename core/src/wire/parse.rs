//! Taking a message apart: one scan from start line to body, past faulty lines. RFC 3261 s7.5, s18.3.

use super::layout::FEW;
use super::scan::{self, Folding, Start};
use super::{Bounds, Fault, Header, Layout, Message, ParseError};
use crate::base::text;

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
