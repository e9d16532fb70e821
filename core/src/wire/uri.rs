//! URIs: sip and sips (RFC 3261 s19.1), tel (RFC 3966), anything else as opaque bytes.
//!
//! Equality of bytes is not equality of URIs; see [`Uri::equivalent`].

use super::grammar::{OPAQUE, PASSWORD, URI_HEADER, USER, all, run_escaped};
use super::host::port;
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

/// A URI, validated and borrowed as it came.
#[derive(Clone, Copy, Debug)]
pub struct Uri<'m> {
    raw: &'m [u8],
    scheme: UriScheme,
    user: Option<&'m [u8]>,
    password: Option<&'m [u8]>,
    host: Option<Host<'m>>,
    port: Option<u16>,
    params: Params<'m>,
    headers: &'m [u8],
}

impl<'m> Uri<'m> {
    /// Reads a URI that stands alone or between angle brackets. No white space around it.
    ///
    /// sip, sips and tel are checked against their grammar; of any other scheme only that it is visible ASCII.
    /// [`Fault::Scheme`] means that there is no scheme at all.
    #[inline]
    pub fn parse(raw: &'m [u8]) -> Result<Uri<'m>, ParseError> {
        Uri::read(raw).map_err(|fault| ParseError::new("URI", fault))
    }

    #[inline]
    pub(crate) fn read(raw: &'m [u8]) -> Result<Uri<'m>, Fault> {
        match raw {
            [b's' | b'S', b'i' | b'I', b'p' | b'P', b':', rest @ ..] => read_sip(raw, UriScheme::Sip, rest),
            [b's' | b'S', b'i' | b'I', b'p' | b'P', b's' | b'S', b':', rest @ ..] => {
                read_sip(raw, UriScheme::Sips, rest)
            }
            [b't' | b'T', b'e' | b'E', b'l' | b'L', b':', rest @ ..] => read_tel(raw, rest),
            _ => read_opaque(raw),
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
        self.user
    }

    /// The password of a sip or sips URI; `Some` of nothing behind a colon alone.
    pub fn password(&self) -> Option<&'m [u8]> {
        self.password
    }

    /// The host; every sip and sips URI has one, no other has.
    pub fn host(&self) -> Option<Host<'m>> {
        self.host
    }

    /// The port, if one is written.
    pub fn port(&self) -> Option<u16> {
        self.port
    }

    /// The parameters of a sip, sips or tel URI.
    pub fn params(&self) -> Params<'m> {
        self.params
    }

    /// What stands behind the question mark of a sip or sips URI, without it; empty if there is none.
    pub fn headers(&self) -> &'m [u8] {
        self.headers
    }

    /// The `transport` parameter as written.
    pub fn transport(&self) -> Option<&'m [u8]> {
        self.params.value(b"transport")
    }

    /// Whether it has the `lr` parameter of a loose router.
    pub fn has_lr(&self) -> bool {
        self.params.contains(b"lr")
    }
}

fn read_sip<'m>(raw: &'m [u8], scheme: UriScheme, rest: &'m [u8]) -> Result<Uri<'m>, Fault> {
    let mut uri = Uri {
        raw,
        scheme,
        user: None,
        password: None,
        host: None,
        port: None,
        params: Params::EMPTY,
        headers: b"",
    };
    let mut rest = rest;
    // RFC 3261 s25.1: no part of a SIP URI but the end of the user has an `@` that is not escaped.
    if let Some(at) = memchr::memchr(b'@', rest) {
        let (userinfo, behind) = rest.split_at_checked(at).ok_or(Fault::Malformed)?;
        let (user, password) = split(userinfo, run_escaped(userinfo, 0, USER));
        if user.is_empty() {
            return Err(Fault::Malformed);
        }
        uri.user = Some(user);
        if let [first, password @ ..] = password {
            if *first != b':' || run_escaped(password, 0, PASSWORD) != password.len() {
                return Err(Fault::Malformed);
            }
            uri.password = Some(password);
        }
        rest = behind.get(1..).unwrap_or_default();
    }
    let (host, end) = Host::prefix(rest)?;
    uri.host = Some(host);
    rest = split(rest, end).1;
    if let [b':', behind @ ..] = rest {
        let digits = behind.iter().take_while(|byte| byte.is_ascii_digit()).count();
        let (number, behind) = split(behind, digits);
        uri.port = Some(port(number)?);
        rest = behind;
    }
    if let [b';', ..] = rest {
        (uri.params, rest) = Params::uri(rest)?;
    }
    match rest {
        [] => Ok(uri),
        [b'?', headers @ ..] => {
            check_headers(headers)?;
            uri.headers = headers;
            Ok(uri)
        }
        _ => Err(Fault::Malformed),
    }
}

#[inline(never)]
fn check_headers(headers: &[u8]) -> Result<(), Fault> {
    if run_escaped(headers, 0, URI_HEADER) != headers.len() {
        return Err(Fault::Malformed);
    }
    let mut count = 0;
    for header in headers.split(|byte| *byte == b'&') {
        // RFC 3261 s25.1: header = hname "=" hvalue, and the name is not empty.
        if !header.contains(&b'=') || header.first() == Some(&b'=') {
            return Err(Fault::Malformed);
        }
        count += 1;
    }
    if count > MOST_HEADERS { Err(Fault::TooMany) } else { Ok(()) }
}

#[inline(never)]
fn read_tel<'m>(raw: &'m [u8], rest: &'m [u8]) -> Result<Uri<'m>, Fault> {
    let (number, behind) = split(rest, memchr::memchr(b';', rest).unwrap_or(rest.len()));
    // RFC 3966 s3: a global number is a plus sign and digits; a local one may have `*`, `#` and hexadecimal digits. It
    // should have a phone-context, and emergency numbers are dialled without.
    let (digits, global) = match number {
        [b'+', digits @ ..] => (digits, true),
        digits => (digits, false),
    };
    let mut meant = 0;
    for byte in digits {
        match byte {
            b'0'..=b'9' => meant += 1,
            b'a'..=b'f' | b'A'..=b'F' | b'*' | b'#' if !global => meant += 1,
            b'-' | b'.' | b'(' | b')' => {}
            _ => return Err(Fault::Malformed),
        }
    }
    if meant == 0 {
        return Err(Fault::Malformed);
    }
    let (params, rest) = Params::uri(behind)?;
    if !rest.is_empty() {
        return Err(Fault::Malformed);
    }
    Ok(Uri {
        raw,
        scheme: UriScheme::Tel,
        user: Some(number),
        password: None,
        host: None,
        port: None,
        params,
        headers: b"",
    })
}

#[inline(never)]
fn read_opaque(raw: &[u8]) -> Result<Uri<'_>, Fault> {
    let (scheme, rest) = split(raw, memchr::memchr(b':', raw).ok_or(Fault::Scheme)?);
    // RFC 3986 s3.1: a scheme is a letter, then letters, digits, `+`, `-`, `.`.
    let named = scheme.first().is_some_and(u8::is_ascii_alphabetic)
        && scheme.iter().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.'));
    if !named {
        return Err(Fault::Scheme);
    }
    if rest.len() < 2 || !all(rest, OPAQUE) {
        return Err(Fault::Malformed);
    }
    let scheme = if scheme.eq_ignore_ascii_case(b"urn") { UriScheme::Urn } else { UriScheme::Other };
    Ok(Uri {
        raw,
        scheme,
        user: None,
        password: None,
        host: None,
        port: None,
        params: Params::EMPTY,
        headers: b"",
    })
}

/// `split_at` for a place that is known to be inside.
#[inline(always)]
fn split(input: &[u8], at: usize) -> (&[u8], &[u8]) {
    input.split_at_checked(at).unwrap_or((input, b""))
}

#[cfg(test)]
mod tests;
