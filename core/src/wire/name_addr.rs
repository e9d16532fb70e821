//! `name-addr` and `addr-spec`: From, To, Contact, Route, Refer-To and their kind. RFC 3261 s20.10, s25.1.

use super::grammar::{SPACE, is, quoted_end, trim};
use super::{Fault, Params, ParseError, Uri};

/// A URI with a display name and the parameters of its header.
#[derive(Clone, Copy, Debug)]
pub struct NameAddr<'m> {
    /// The display name: without quotes, its quoted pairs as they came; `None` if there is none or it is empty.
    pub display: Option<&'m [u8]>,
    /// The URI.
    pub uri: Uri<'m>,
    /// The parameters of the header, behind the `>` or behind a URI without brackets.
    pub params: Params<'m>,
}

impl<'m> NameAddr<'m> {
    /// Reads one element of a header, without the commas around it.
    ///
    /// An unquoted display name may hold any byte but controls and `" : ; , < >`, so UTF-8 and dots pass.
    #[inline]
    pub fn parse(input: &'m [u8]) -> Result<NameAddr<'m>, ParseError> {
        NameAddr::read(input).map_err(|fault| ParseError::new("address", fault))
    }

    #[inline]
    pub(crate) fn read(input: &'m [u8]) -> Result<NameAddr<'m>, Fault> {
        let input = trim(input);
        let (display, rest) = match input {
            [b'<', rest @ ..] => (None, rest),
            [b'"', ..] => {
                let end = quoted_end(input, 0).ok_or(Fault::Malformed)?;
                let display = input.get(1..end - 1).filter(|display| !display.is_empty());
                match trim(input.get(end..).unwrap_or_default()) {
                    [b'<', rest @ ..] => (display, rest),
                    _ => return Err(Fault::Malformed),
                }
            }
            _ => match input.iter().position(|byte| !in_display(*byte)) {
                Some(at) if input.get(at) == Some(&b'<') => {
                    let (display, rest) = input.split_at_checked(at).ok_or(Fault::Malformed)?;
                    (Some(trim(display)), rest.get(1..).unwrap_or_default())
                }
                _ => return read_bare(input),
            },
        };
        let close = memchr::memchr(b'>', rest).ok_or(Fault::Malformed)?;
        let (uri, params) = rest.split_at_checked(close).ok_or(Fault::Malformed)?;
        Ok(NameAddr {
            display,
            uri: Uri::read(uri)?,
            params: Params::header(params.get(1..).unwrap_or_default(), |_| {})?,
        })
    }

    /// The `tag` parameter, if it is there and not empty.
    pub fn tag(&self) -> Option<&'m [u8]> {
        self.params.value(b"tag").filter(|tag| !tag.is_empty())
    }
}

/// `addr-spec`.
#[inline(never)]
fn read_bare(input: &[u8]) -> Result<NameAddr<'_>, Fault> {
    let end = input.iter().position(|byte| *byte == b';' || is(*byte, SPACE)).unwrap_or(input.len());
    let (uri, params) = input.split_at_checked(end).ok_or(Fault::Malformed)?;
    // RFC 3261 s20: without brackets a semicolon begins the parameters of the header, and a question mark or a comma
    // cannot be in the URI.
    if uri.iter().any(|byte| matches!(byte, b'?' | b',')) {
        return Err(Fault::Malformed);
    }
    Ok(NameAddr { display: None, uri: Uri::read(uri)?, params: Params::header(params, |_| {})? })
}

#[inline(always)]
fn in_display(byte: u8) -> bool {
    (byte >= b' ' || is(byte, SPACE)) && !matches!(byte, b'"' | b':' | b';' | b',' | b'<' | b'>' | 0x7f)
}
