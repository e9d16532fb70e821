//! URIs: sip and sips (RFC 3261 s19.1), tel (RFC 3966), anything else as opaque bytes.
//!
//! Equality of bytes is not equality of URIs; see [`Uri::equivalent`].

use super::grammar::{LABEL, PASSWORD, URI_HEADER, USER, cut, cut_escaped};
use super::host::{labels, port};
use super::{Fault, Host, Params, ParseError};

mod compare;

/// The most headers a URI may carry behind its question mark.
const MOST_HEADERS: usize = 32;

/// The schemes that are told apart.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum UriScheme {
    /// `sip:`
    Sip,
    /// `sips:`
    Sips,
    /// `tel:`
    Tel,
    /// `urn:`, such as the services of RFC 5031.
    Urn,
    /// Anything else.
    Other,
}

/// A URI, validated and borrowed as it came. A small value: the text, and where its parts lie.
#[derive(Clone, Copy, Debug)]
pub struct Uri<'m> {
    raw: &'m [u8],
    scheme: UriScheme,
    host_kind: HostKind,
    /// Where the user begins; behind the scheme.
    user: u16,
    /// Where it ends; equal to `user` if there is none.
    user_end: u16,
    /// Where the host begins.
    host: u16,
    /// Where it ends, with its brackets.
    host_end: u16,
    /// Where the parameters begin, and the port ends.
    params: u16,
    /// Where they end, and the question mark stands.
    params_end: u16,
    port: Option<u16>,
    /// The host, if it is an IPv4 address.
    address: [u8; 4],
}

/// What the host of a URI is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum HostKind {
    None,
    Name,
    V4,
    V6,
}

impl<'m> Uri<'m> {
    /// Reads a URI that stands alone or between angle brackets. No white space around it, at most 65,535 bytes.
    ///
    /// sip, sips and tel are checked against their grammar; of any other scheme only that it is visible ASCII.
    /// [`Fault::Scheme`] means that there is no scheme at all.
    #[inline]
    pub fn parse(raw: &'m [u8]) -> Result<Uri<'m>, ParseError> {
        match Uri::prefix(raw) {
            Ok((uri, [])) => Ok(uri),
            Ok(_) => Err(ParseError::new("URI", Fault::Malformed)),
            Err(fault) => Err(ParseError::new("URI", fault)),
        }
    }

    /// Reads the URI the input begins with, up to what no URI can have, such as `>`; gives the rest back.
    #[inline(always)]
    pub(crate) fn prefix(input: &'m [u8]) -> Result<(Uri<'m>, &'m [u8]), Fault> {
        match input.strip_prefix(b"sip:") {
            Some(behind) => Uri::sip(UriScheme::Sip, input, behind),
            None => Uri::other(input),
        }
    }

    /// All of it as it came.
    pub fn raw(&self) -> &'m [u8] {
        self.raw
    }

    /// Its scheme.
    pub fn scheme(&self) -> UriScheme {
        self.scheme
    }

    /// Whether it is a sip or sips URI.
    pub fn is_sip(&self) -> bool {
        matches!(self.scheme, UriScheme::Sip | UriScheme::Sips)
    }

    /// Whether it is a sips URI.
    pub fn is_secure(&self) -> bool {
        self.scheme == UriScheme::Sips
    }

    /// The user of a sip or sips URI, or the number of a tel URI; escapes and visual separators as they came.
    pub fn user(&self) -> Option<&'m [u8]> {
        Some(self.part(self.user, self.user_end)).filter(|user| !user.is_empty())
    }

    /// The URI of who does not want to be named (RFC 3323 s4.1.1.3).
    pub fn is_anonymous(&self) -> bool {
        self.user().is_some_and(|user| user.eq_ignore_ascii_case(b"anonymous"))
            || matches!(self.host(), Some(Host::Name(name)) if name.eq_ignore_ascii_case(b"anonymous.invalid"))
    }

    /// The password of a sip or sips URI; `Some` of nothing behind a colon alone.
    pub fn password(&self) -> Option<&'m [u8]> {
        // Between user and host stands `@`, or `:`, the password and `@`.
        match self.part(self.user_end, self.host) {
            [b':', password @ .., b'@'] => Some(password),
            _ => None,
        }
    }

    /// The host; every sip and sips URI has one, no other has.
    pub fn host(&self) -> Option<Host<'m>> {
        let text = self.part(self.host, self.host_end);
        match self.host_kind {
            HostKind::None => None,
            HostKind::Name => Some(Host::Name(text)),
            HostKind::V4 => Some(Host::V4(self.address.into())),
            HostKind::V6 => Host::parse(text).ok(),
        }
    }

    /// The port, if one is written.
    pub fn port(&self) -> Option<u16> {
        self.port
    }

    /// The parameters of a sip, sips or tel URI.
    pub fn params(&self) -> Params<'m> {
        Params::known(self.part(self.params, self.params_end))
    }

    /// What stands behind the question mark of a sip or sips URI, without it; empty if there is none.
    pub fn headers(&self) -> &'m [u8] {
        match self.scheme {
            UriScheme::Sip | UriScheme::Sips => {
                self.raw.get(usize::from(self.params_end) + 1..).unwrap_or_default()
            }
            _ => b"",
        }
    }

    /// `user@host`, if the URI is `sip:` in lower case and that.
    #[inline]
    pub(crate) fn user_at_host(&self) -> Option<&'m [u8]> {
        let is_bare = self.user < self.user_end
            && self.host == self.user_end + 1
            && usize::from(self.host_end) == self.raw.len();
        self.raw.strip_prefix(b"sip:").filter(|_| is_bare)
    }

    /// The `transport` parameter as written.
    pub fn transport(&self) -> Option<&'m [u8]> {
        self.params().value(b"transport")
    }

    /// Whether it has the `lr` parameter of a loose router.
    pub fn has_lr(&self) -> bool {
        self.params().contains(b"lr")
    }

    #[inline]
    fn part(&self, from: u16, to: u16) -> &'m [u8] {
        self.raw.get(usize::from(from)..usize::from(to)).unwrap_or_default()
    }

    /// Reads a URI that does not begin with `sip:` in lower case.
    #[inline(never)]
    fn other(input: &'m [u8]) -> Result<(Uri<'m>, &'m [u8]), Fault> {
        match input {
            [b's' | b'S', b'i' | b'I', b'p' | b'P', b':', behind @ ..] => {
                Uri::sip(UriScheme::Sip, input, behind)
            }
            [b's' | b'S', b'i' | b'I', b'p' | b'P', b's' | b'S', b':', behind @ ..] => {
                Uri::sip(UriScheme::Sips, input, behind)
            }
            [b't' | b'T', b'e' | b'E', b'l' | b'L', b':', behind @ ..] => Uri::tel(input, behind),
            _ => Uri::opaque(input),
        }
    }

    /// Reads what follows `sip:` or `sips:`.
    #[inline(always)]
    fn sip(scheme: UriScheme, input: &'m [u8], from: &'m [u8]) -> Result<(Uri<'m>, &'m [u8]), Fault> {
        let place = |rest: &[u8]| (input.len() - rest.len()) as u16;
        let with_user =
            |from| behind_user(from).and_then(|(user_end, host)| Ok((user_end, host, Host::prefix(host)?)));
        // A user is made of more than a host name is; most are made of the same, and then one look finds either.
        let (user_end, host, (parsed, host_end)) = match cut(from, LABEL) {
            ([_, ..], behind @ [b'@', host @ ..]) => (behind, host, Host::prefix(host)?),
            ([b'A'..=b'z', ..], behind) => match labels(from, behind) {
                Some((name, behind @ ([] | [b'>', ..]))) => (from, from, (Host::named(name)?, behind)),
                _ => with_user(from)?,
            },
            _ => with_user(from)?,
        };
        let (host_kind, address) = match parsed {
            Host::Name(_) => (HostKind::Name, [0; 4]),
            Host::V4(address) => (HostKind::V4, address.octets()),
            Host::V6(_) => (HostKind::V6, [0; 4]),
        };
        let (port, params) = match host_end {
            [b':', digits @ ..] => {
                let (number, behind) = port(digits)?;
                (Some(number), behind)
            }
            _ => (None, host_end),
        };
        let params_end = if let [b';', ..] = params { Params::behind_uri_params(params)? } else { params };
        let rest = if let [b'?', headers @ ..] = params_end { behind_headers(headers)? } else { params_end };
        let raw = head(input, rest)?;
        let uri = Uri {
            raw,
            scheme,
            host_kind,
            user: place(from),
            user_end: place(user_end),
            host: place(host),
            host_end: place(host_end),
            params: place(params),
            params_end: place(params_end),
            port,
            address,
        };
        Ok((uri, rest))
    }

    #[inline(never)]
    fn tel(input: &'m [u8], from: &'m [u8]) -> Result<(Uri<'m>, &'m [u8]), Fault> {
        // RFC 3966 s3: a global number is a plus sign and digits; a local one may have `*`, `#` and hexadecimal digits.
        // It should have a phone-context, and emergency numbers are dialled without.
        let place = |rest: &[u8]| (input.len() - rest.len()) as u16;
        let (global, mut rest) = match from {
            [b'+', rest @ ..] => (true, rest),
            _ => (false, from),
        };
        let mut meant = 0;
        while let [byte, behind @ ..] = rest {
            match byte {
                b'0'..=b'9' => meant += 1,
                b'a'..=b'f' | b'A'..=b'F' | b'*' | b'#' if !global => meant += 1,
                b'-' | b'.' | b'(' | b')' => {}
                _ => break,
            }
            rest = behind;
        }
        if meant == 0 {
            return Err(Fault::Malformed);
        }
        let number_end = rest;
        if let [b';', ..] = rest {
            rest = Params::behind_uri_params(rest)?;
        }
        let uri = Uri {
            user: place(from),
            user_end: place(number_end),
            host: place(number_end),
            params: place(number_end),
            params_end: place(rest),
            ..Uri::bare(UriScheme::Tel, head(input, rest)?)
        };
        Ok((uri, rest))
    }

    #[inline(never)]
    fn opaque(input: &'m [u8]) -> Result<(Uri<'m>, &'m [u8]), Fault> {
        let colon = memchr::memchr(b':', input).ok_or(Fault::Scheme)?;
        let scheme = input.get(..colon).unwrap_or_default();
        // RFC 3986 s3.1: a scheme is a letter, then letters, digits, `+`, `-`, `.`.
        let named = scheme.first().is_some_and(u8::is_ascii_alphabetic)
            && scheme.iter().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.'));
        if !named {
            return Err(Fault::Scheme);
        }
        let scheme = if scheme.eq_ignore_ascii_case(b"urn") { UriScheme::Urn } else { UriScheme::Other };
        let rest = input.get(colon + 1..).unwrap_or_default();
        let length = rest
            .iter()
            .take_while(|byte| byte.is_ascii_graphic() && !matches!(byte, b'<' | b'>' | b'"'))
            .count();
        if length == 0 {
            return Err(Fault::Malformed);
        }
        let rest = rest.get(length..).unwrap_or_default();
        Ok((Uri::bare(scheme, head(input, rest)?), rest))
    }

    /// One without parts.
    fn bare(scheme: UriScheme, raw: &'m [u8]) -> Uri<'m> {
        Uri {
            raw,
            scheme,
            host_kind: HostKind::None,
            user: 0,
            user_end: 0,
            host: 0,
            host_end: 0,
            params: 0,
            params_end: 0,
            port: None,
            address: [0; 4],
        }
    }
}

/// What is behind the user, and behind the `@`; all, if there is no user.
#[inline(never)]
fn behind_user(input: &[u8]) -> Result<(&[u8], &[u8]), Fault> {
    // RFC 3261 s25.1: a user and a password have no `@` that is not escaped, and what follows them has none at all.
    let (user, behind) = cut_escaped(input, USER);
    let host = match behind {
        [b'@', host @ ..] => host,
        [b':', password @ ..] => match cut_escaped(password, PASSWORD) {
            (_, [b'@', host @ ..]) => host,
            _ => return Ok((input, input)),
        },
        _ => return Ok((input, input)),
    };
    if user.is_empty() { Err(Fault::Malformed) } else { Ok((behind, host)) }
}

/// What of the input is in front of its rest: a URI, which is not longer than its places can count.
#[inline(always)]
fn head<'m>(input: &'m [u8], rest: &[u8]) -> Result<&'m [u8], Fault> {
    match input.get(..input.len() - rest.len()) {
        Some(raw) if raw.len() <= usize::from(u16::MAX) => Ok(raw),
        _ => Err(Fault::TooLong),
    }
}

/// What is behind the headers of a URI; they begin behind its question mark.
#[inline(never)]
fn behind_headers(input: &[u8]) -> Result<&[u8], Fault> {
    let (headers, rest) = cut_escaped(input, URI_HEADER);
    let mut count = 0;
    for header in headers.split(|byte| *byte == b'&') {
        // RFC 3261 s25.1: header = hname "=" hvalue, and the name is not empty.
        if !header.contains(&b'=') || header.first() == Some(&b'=') {
            return Err(Fault::Malformed);
        }
        count += 1;
    }
    if count > MOST_HEADERS { Err(Fault::TooMany) } else { Ok(rest) }
}

#[cfg(test)]
mod tests;
