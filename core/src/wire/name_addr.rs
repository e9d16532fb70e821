//! `name-addr` and `addr-spec`: From, To, Contact, Route, Refer-To and their kind. RFC 3261 s20.10, s25.1.

use super::grammar::{DISPLAY, SPACE, VALUE, cut, is, meant, run, skip_space};
use super::params::{Param, is_name};
use super::split::quoted_end;
use super::{Fault, Params, ParseError, Uri};
use crate::base::text::{owned, trim};

/// A URI with a display name and the parameters of its header.
#[derive(Clone, Copy, Debug)]
pub struct NameAddr<'m> {
    /// The display name: without quotes, its quoted pairs as they came; `None` if there is none or it is empty.
    pub display: Option<&'m [u8]>,
    /// The URI.
    pub uri: Uri<'m>,
    /// The parameters of the header, behind the `>` or behind a URI without brackets.
    pub params: Params<'m>,
    tag: Option<&'m [u8]>,
}

impl<'m> NameAddr<'m> {
    /// Reads one element of a header, without the commas around it.
    ///
    /// An unquoted display name may hold any byte but controls and `" : ; , < >`, so UTF-8 and dots pass. A repeated tag
    /// is [`Fault::Repeated`].
    #[inline]
    pub fn parse(input: &'m [u8]) -> Result<NameAddr<'m>, ParseError> {
        NameAddr::named("address", trim(input))
    }

    /// Reads an element without white space around it; `what` is named in a fault.
    #[inline(never)]
    pub(crate) fn named(what: &'static str, input: &'m [u8]) -> Result<NameAddr<'m>, ParseError> {
        NameAddr::read(what, input)
    }

    /// Like [`NameAddr::named`], on the spot.
    #[inline(always)]
    pub(super) fn read(what: &'static str, input: &'m [u8]) -> Result<NameAddr<'m>, ParseError> {
        let malformed = ParseError::new(what, Fault::Malformed);
        let (display, rest) = match input {
            [b'<', rest @ ..] => (None, rest),
            [b'"', ..] => {
                let end = quoted_end(input).ok_or(malformed)?;
                let (quoted, rest) = input.split_at_checked(end).ok_or(malformed)?;
                let [b'"', display @ .., b'"'] = quoted else { return Err(malformed) };
                match skip_space(rest) {
                    [b'<', rest @ ..] => (Some(display).filter(|display| !display.is_empty()), rest),
                    _ => return Err(malformed),
                }
            }
            _ => match cut(input, DISPLAY) {
                (display, [b'<', rest @ ..]) => (Some(trim(display)), rest),
                _ => return bare(what, input),
            },
        };
        let (uri, behind) = Uri::prefix(rest).map_err(|fault| ParseError::new(what, inside(fault)))?;
        match behind {
            [b'>', params @ ..] => NameAddr::with(what, display, uri, params),
            _ => Err(malformed),
        }
    }

    /// Reads a value, where another one has been read: what stands in front of the parameters is often the same in both,
    /// byte for byte, and is not read twice then. In a REGISTER From and To name the same.
    pub(super) fn read_beside(
        input: &'m [u8],
        what: &'static str,
        (other_input, other): (&'m [u8], &NameAddr<'m>),
    ) -> Result<NameAddr<'m>, ParseError> {
        // Without brackets the URI would end where the parameters begin, and so elsewhere in each value.
        let same = other_input.strip_suffix(other.params.raw()).filter(|same| same.ends_with(b">"));
        match same.and_then(|same| input.strip_prefix(same)) {
            Some(params) => NameAddr::with(what, other.display, other.uri, params),
            None => NameAddr::named(what, input),
        }
    }

    /// The `tag` parameter, if it is there and not empty.
    pub fn tag(&self) -> Option<&'m [u8]> {
        self.tag
    }

    /// The display name as people read it: quoted pairs resolved; empty if there is none.
    pub fn display_name(&self) -> Box<str> {
        let written = self.display.unwrap_or_default();
        if memchr::memchr(b'\\', written).is_none() {
            return owned(written);
        }
        owned(&meant(written, true).collect::<Vec<u8>>())
    }

    #[inline(always)]
    fn with(
        what: &'static str,
        display: Option<&'m [u8]>,
        uri: Uri<'m>,
        params: &'m [u8],
    ) -> Result<NameAddr<'m>, ParseError> {
        let tag = match params.strip_prefix(b";tag=") {
            _ if params.is_empty() => None,
            // What nearly all have, if they have something.
            Some(tag) if is_value(tag) => Some(tag),
            _ => tag(params).map_err(|fault| ParseError::new(what, fault))?,
        };
        Ok(NameAddr { display, uri, params: Params::known(params), tag })
    }
}

/// Whether these are the parameters of From with nothing but a tag, as nearly all are.
pub(super) fn is_bare_tag(params: &[u8]) -> bool {
    params.strip_prefix(b";tag=").is_some_and(is_value)
}

/// Whether it is a value that needs no quotes.
#[inline(always)]
fn is_value(text: &[u8]) -> bool {
    !text.is_empty() && run(text, 0, VALUE) == text.len()
}

/// Checks parameters, and finds the tag among them.
#[inline(never)]
fn tag(params: &[u8]) -> Result<Option<&[u8]>, Fault> {
    let (mut tag, mut tags) = (None, 0_u32);
    Params::header(params, |param: Param<'_>, _| {
        if is_name(param.name, b"tag") {
            tag = param.value().filter(|tag| !tag.is_empty());
            tags += 1;
        }
    })?;
    // RFC 3261 s7.3.1: a parameter stands at most once. Two tags would be two dialogs.
    if tags > 1 { Err(Fault::Repeated) } else { Ok(tag) }
}

/// `addr-spec`.
#[inline(never)]
fn bare<'m>(what: &'static str, input: &'m [u8]) -> Result<NameAddr<'m>, ParseError> {
    let end = input.iter().position(|byte| *byte == b';' || is(*byte, SPACE)).unwrap_or(input.len());
    let (uri, params) = input.split_at(end);
    // RFC 3261 s20: without brackets a semicolon begins the parameters of the header, and a question mark or a comma
    // cannot be in the URI.
    if uri.iter().any(|byte| matches!(byte, b'?' | b',')) {
        return Err(ParseError::new(what, Fault::Malformed));
    }
    let uri = Uri::parse(uri).map_err(|error| ParseError::new(what, inside(error.fault)))?;
    NameAddr::with(what, None, uri, params)
}

/// A URI in a header that has no scheme is malformed, and not of a scheme that is not supported.
fn inside(fault: Fault) -> Fault {
    if fault == Fault::Scheme { Fault::Malformed } else { fault }
}

#[cfg(test)]
mod tests;
