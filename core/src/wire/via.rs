//! Via: RFC 3261 s20.42, with `rport` of RFC 3581 and the addresses of RFC 5118 s4.

use core::net::IpAddr;

use nom::Parser;
use nom::sequence::{separated_pair, terminated};

use super::grammar::{SPACE, gap, is, mark, run, token};
use super::host::port;
use super::params::{Param, is_name};
use super::{Fault, Host, Params, ParseError};
use crate::base::text::trim;

/// One element of Via.
#[derive(Clone, Copy, Debug)]
pub struct Via<'m> {
    /// All of it as it came, without white space around it.
    pub raw: &'m [u8],
    /// The version behind `SIP/`; anything but `2.0` deserves a 505.
    pub version: &'m [u8],
    /// The transport token as written: `UDP`, `tcp`, `WSS`, `UNKNOWN`.
    pub transport: &'m [u8],
    /// The host of sent-by.
    pub host: Host<'m>,
    /// The port of sent-by, if one is written.
    pub port: Option<u16>,
    /// The parameters.
    pub params: Params<'m>,
    branch: Option<&'m [u8]>,
    rport: Rport,
    has_maddr: bool,
    source: SourceParams,
}

/// Where the parameters about the source stand, `received` and `rport`: they are not for the client to say.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum SourceParams {
    /// There is none.
    None,
    /// One of them, from its semicolon to where it ends, without white space; counted from the beginning of `raw`.
    At(u16, u16),
    /// Several, or with white space around.
    Scattered,
}

/// The `rport` of RFC 3581.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Rport {
    /// Not there: the response goes to the port of sent-by.
    Absent,
    /// There without a usable value: the client asks for it.
    Empty,
    /// Filled in.
    Value(u16),
}

impl<'m> Via<'m> {
    /// Reads one element of a Via header, without the commas around it.
    ///
    /// White space may stand around `/`, `:` and `;`. A repeated branch is [`Fault::Repeated`].
    #[inline]
    pub fn parse(input: &'m [u8]) -> Result<Via<'m>, ParseError> {
        Via::read(input).map_err(|fault| ParseError::new("Via", fault))
    }

    #[inline]
    pub(crate) fn read(input: &'m [u8]) -> Result<Via<'m>, Fault> {
        let raw = trim(input);
        let (rest, (version, transport)) = match raw.strip_prefix(b"SIP/2.0/") {
            Some(rest) if !rest.first().is_some_and(|byte| is(*byte, SPACE)) => {
                terminated(token, gap).parse(rest).map(|(rest, transport)| (rest, (&b"2.0"[..], transport)))
            }
            _ => protocol(raw),
        }
        .map_err(|_| Fault::Malformed)?;
        let (host, end) = Host::prefix(rest)?;
        let mut at = end;
        let mut number = None;
        if rest.get(at).is_some_and(|byte| is(*byte, SPACE)) {
            at = run(rest, at, SPACE);
        }
        if rest.get(at) == Some(&b':') {
            let (port, end) = port(rest, run(rest, at + 1, SPACE))?;
            number = Some(port);
            at = end;
        }
        let mut via = Via {
            raw,
            version,
            transport,
            host,
            port: number,
            params: Params::EMPTY,
            branch: None,
            rport: Rport::Absent,
            has_maddr: false,
            source: SourceParams::None,
        };
        let mut branches = 0_u32;
        let params = rest.get(at..).unwrap_or_default();
        via.params = Params::header(params, |param: Param<'m>, end| match param.name.len() {
            6 if is_name(param.name, b"branch") => {
                via.branch = param.value().filter(|value| !value.is_empty());
                branches += 1;
            }
            5 if is_name(param.name, b"rport") => {
                if via.rport == Rport::Absent {
                    via.rport = param.raw.and_then(self::number).map_or(Rport::Empty, Rport::Value);
                }
                via.note_source_param(params, &param, end);
            }
            8 if is_name(param.name, b"received") => via.note_source_param(params, &param, end),
            5 if is_name(param.name, b"maddr") => via.has_maddr = true,
            _ => {}
        })?;
        if branches > 1 {
            return Err(Fault::Repeated);
        }
        Ok(via)
    }

    /// Keeps where a parameter about the source stands among the parameters, which end the element.
    fn note_source_param(&mut self, params: &[u8], param: &Param<'_>, end: usize) {
        let len = param.name.len() + param.raw.map_or(0, |value| 1 + value.len());
        let semicolon = end.saturating_sub(len + 1);
        let bare = params.get(semicolon) == Some(&b';') && matches!(params.get(end), None | Some(b';'));
        let before = self.raw.len() - params.len();
        self.source = match (u16::try_from(before + semicolon), u16::try_from(before + end)) {
            (Ok(from), Ok(to)) if bare && self.source == SourceParams::None => SourceParams::At(from, to),
            _ => SourceParams::Scattered,
        };
    }

    pub(super) fn source_params(&self) -> SourceParams {
        self.source
    }

    /// The branch, if it is there and not empty.
    pub fn branch(&self) -> Option<&'m [u8]> {
        self.branch
    }

    /// The `rport` parameter.
    pub fn rport(&self) -> Rport {
        self.rport
    }

    /// The `received` address, in brackets or not; `None` also if it is no address.
    pub fn received(&self) -> Option<IpAddr> {
        self.params
            .value(b"received")
            .and_then(|value| Host::parse_bare(value).ok())
            .and_then(|host| host.ip())
    }

    /// The `maddr` host; `None` also if it is none.
    pub fn maddr(&self) -> Option<Host<'m>> {
        if !self.has_maddr {
            return None;
        }
        self.params.value(b"maddr").and_then(|value| Host::parse_bare(value).ok())
    }

    /// The `ttl`, 0 to 255; `None` also if it is out of range.
    pub fn ttl(&self) -> Option<u8> {
        self.params.value(b"ttl").and_then(number).and_then(|ttl| u8::try_from(ttl).ok())
    }
}

/// A number of 16 bits.
fn number(text: &[u8]) -> Option<u16> {
    port(text, 0).ok().filter(|(_, end)| *end == text.len()).map(|(number, _)| number)
}

/// `SIP / version / transport`, with white space anywhere, and of any version.
#[inline(never)]
fn protocol(input: &[u8]) -> super::grammar::Parsed<'_, (&[u8], &[u8])> {
    let (rest, name) = terminated(token, mark(b'/')).parse(input)?;
    if !name.eq_ignore_ascii_case(b"SIP") {
        return Err(nom::Err::Error(()));
    }
    terminated(separated_pair(token, mark(b'/'), token), gap).parse(rest)
}

#[cfg(test)]
mod tests;
