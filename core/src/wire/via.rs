//! Via: RFC 3261 s20.42, with `rport` of RFC 3581 and the addresses of RFC 5118 s4.

use core::net::IpAddr;

use nom::Parser;
use nom::sequence::{separated_pair, terminated};

use super::grammar::{Parsed, TOKEN, VALUE, cut, gap, mark, skip_space, token};
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
    known: Known<'m>,
}

/// What is kept of the parameters.
#[derive(Clone, Copy, Debug)]
struct Known<'m> {
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
        let raw = trim(input);
        match Via::usual(raw) {
            Some(via) => Ok(via),
            None => Via::any(raw),
        }
    }

    /// Reads what nearly all clients send. `None` says only that [`Via::any`] must look. It has no comma, so that a line
    /// that is one is one element.
    #[inline(always)]
    pub(super) fn usual(raw: &'m [u8]) -> Option<Via<'m>> {
        let rest = raw.strip_prefix(b"SIP/2.0/")?;
        let (transport @ [_, ..], [b' ', rest @ ..]) = cut(rest, TOKEN) else { return None };
        let (host, rest) = Host::prefix(rest).ok()?;
        let (port, params) = match rest {
            [b':', digits @ ..] => {
                let (number, behind) = port(digits).ok()?;
                (Some(number), behind)
            }
            _ => (None, rest),
        };
        let known = Known::usual(raw.len() - params.len(), params)?;
        Some(Via { raw, version: b"2.0", transport, host, port, params: Params::known(params), known })
    }

    #[inline(never)]
    fn any(raw: &'m [u8]) -> Result<Via<'m>, ParseError> {
        const fn fault(fault: Fault) -> ParseError {
            ParseError::new("Via", fault)
        }
        let (rest, (version, transport)) = protocol(raw).map_err(|_| fault(Fault::Malformed))?;
        let (host, rest) = Host::prefix(rest).map_err(fault)?;
        let rest = skip_space(rest);
        let (port, params) = match rest {
            [b':', digits @ ..] => {
                let (number, behind) = port(skip_space(digits)).map_err(fault)?;
                (Some(number), behind)
            }
            _ => (None, rest),
        };
        let known = Known::any(raw.len() - params.len(), params).map_err(fault)?;
        Ok(Via { raw, version, transport, host, port, params: Params::known(params), known })
    }

    pub(super) fn source_params(&self) -> SourceParams {
        self.known.source
    }

    /// The branch, if it is there and not empty.
    pub fn branch(&self) -> Option<&'m [u8]> {
        self.known.branch
    }

    /// The `rport` parameter.
    pub fn rport(&self) -> Rport {
        self.known.rport
    }

    /// The `received` address, in brackets or not; `None` also if it is no address.
    pub fn received(&self) -> Option<IpAddr> {
        self.params
            .value(b"received")
            .and_then(|value| Host::parse_bare(value).ok())
            .and_then(|host| host.ip())
    }

    /// The `alias` of RFC 5923: requests to sent-by may come back over this connection.
    pub fn is_alias(&self) -> bool {
        self.params.contains(b"alias")
    }

    /// The `maddr` host; `None` also if it is none.
    pub fn maddr(&self) -> Option<Host<'m>> {
        if !self.known.has_maddr {
            return None;
        }
        self.params.value(b"maddr").and_then(|value| Host::parse_bare(value).ok())
    }

    /// The `ttl`, 0 to 255; `None` also if it is out of range.
    pub fn ttl(&self) -> Option<u8> {
        self.params.value(b"ttl").and_then(number).and_then(|ttl| u8::try_from(ttl).ok())
    }
}

impl<'m> Known<'m> {
    const NONE: Known<'static> =
        Known { branch: None, rport: Rport::Absent, has_maddr: false, source: SourceParams::None };

    /// What nearly all clients send: a branch, and `rport` without a value in front of it or behind it. `None` says only
    /// that [`Known::any`] must look. The parameters begin at `before` in the element.
    #[inline(always)]
    fn usual(before: usize, params: &'m [u8]) -> Option<Known<'m>> {
        let mut known = Known::NONE;
        let mut rest = params;
        if let Some(behind @ [b';', ..]) = rest.strip_prefix(b";rport") {
            known.asked_for_port(before)?;
            rest = behind;
        }
        let (branch, behind) = cut(rest.strip_prefix(b";branch=")?, VALUE);
        if branch.is_empty() {
            return None;
        }
        known.branch = Some(branch);
        match behind {
            [] => {}
            b";rport" if known.rport == Rport::Absent => {
                known.asked_for_port(before + params.len() - behind.len())?;
            }
            _ => return None,
        }
        Some(known)
    }

    /// Notes an `rport` without a value, whose semicolon is at `at`.
    #[inline(always)]
    fn asked_for_port(&mut self, at: usize) -> Option<()> {
        let end = u16::try_from(at + b";rport".len()).ok()?;
        self.rport = Rport::Empty;
        self.source = SourceParams::At(at as u16, end);
        Some(())
    }

    /// Reads any parameters, which begin at `before` in the element.
    #[inline(never)]
    fn any(before: usize, params: &'m [u8]) -> Result<Known<'m>, Fault> {
        let mut known = Known::NONE;
        let mut branches = 0_u32;
        Params::header(params, |param: Param<'m>, end| match param.name.len() {
            6 if is_name(param.name, b"branch") => {
                known.branch = param.value().filter(|value| !value.is_empty());
                branches += 1;
            }
            5 if is_name(param.name, b"rport") => {
                if known.rport == Rport::Absent {
                    known.rport = param.raw.and_then(number).map_or(Rport::Empty, Rport::Value);
                }
                known.note_source_param(before, params, &param, end);
            }
            8 if is_name(param.name, b"received") => known.note_source_param(before, params, &param, end),
            5 if is_name(param.name, b"maddr") => known.has_maddr = true,
            _ => {}
        })?;
        if branches > 1 { Err(Fault::Repeated) } else { Ok(known) }
    }

    /// Keeps where a parameter about the source stands among the parameters, which end the element.
    fn note_source_param(&mut self, before: usize, params: &[u8], param: &Param<'_>, end: usize) {
        let len = param.name.len() + param.raw.map_or(0, |value| 1 + value.len());
        let semicolon = end.saturating_sub(len + 1);
        let bare = params.get(semicolon) == Some(&b';') && matches!(params.get(end), None | Some(b';'));
        self.source = match (u16::try_from(before + semicolon), u16::try_from(before + end)) {
            (Ok(from), Ok(to)) if bare && self.source == SourceParams::None => SourceParams::At(from, to),
            _ => SourceParams::Scattered,
        };
    }
}

/// A number of 16 bits.
fn number(text: &[u8]) -> Option<u16> {
    port(text).ok().filter(|(_, rest)| rest.is_empty()).map(|(number, _)| number)
}

/// `SIP / version / transport`, with white space anywhere, and of any version.
fn protocol(input: &[u8]) -> Parsed<'_, (&[u8], &[u8])> {
    let (rest, name) = terminated(token, mark(b'/')).parse(input)?;
    if !name.eq_ignore_ascii_case(b"SIP") {
        return Err(nom::Err::Error(()));
    }
    terminated(separated_pair(token, mark(b'/'), token), gap).parse(rest)
}

#[cfg(test)]
mod tests;
