//! When two URIs are the same resource: RFC 3261 s19.1.4 for sip and sips, RFC 3966 s5 for tel.
//!
//! Equivalence is reflexive and symmetric. It is not transitive: parameters that only one side has are ignored.

use smallvec::SmallVec;

use super::{Params, Uri, UriScheme};
use crate::base::table::HashKey;
use crate::base::text::{Push, canonical_user, unescape_next};
use crate::wire::{Host, Param};

/// URI parameters that must be on both sides or on none. RFC 3261 s19.1.4 names user, ttl, method and maddr in its
/// rules, and transport in its examples.
const NEVER_IGNORED: [&[u8]; 5] = [b"user", b"ttl", b"method", b"maddr", b"transport"];

impl Uri<'_> {
    /// Whether both name the same resource.
    ///
    /// sip and sips: RFC 3261 s19.1.4 in full. A missing port is not 5060, `%62` is `b`, `%3B` is not `;`.
    /// tel: RFC 3966 s5, visual separators do not count. Any other scheme: the same bytes.
    pub fn equivalent(&self, other: &Uri<'_>) -> bool {
        if self.scheme != other.scheme {
            return false;
        }
        match self.scheme {
            UriScheme::Sip | UriScheme::Sips => {
                self.raw() == other.raw()
                    || (self.port() == other.port()
                        && self.host() == other.host()
                        && same_escaped(self.user(), other.user())
                        && same_escaped(self.password(), other.password())
                        && same_params(self.params(), other.params())
                        && same_headers(self.headers(), other.headers()))
            }
            UriScheme::Tel => {
                same_number(self.user(), other.user())
                    && tel_params_in(self.params(), other.params())
                    && tel_params_in(other.params(), self.params())
            }
            UriScheme::Urn | UriScheme::Other => self.raw() == other.raw(),
        }
    }

    /// A hash that equivalent URIs share: over the scheme, the user, the host and the port, none of which may differ.
    ///
    /// Allocates only if they are longer than 128 bytes.
    pub fn hash_equivalent(&self, key: &HashKey) -> u64 {
        let mut text: SmallVec<[u8; 128]> = SmallVec::new();
        match self.scheme {
            // Coarser than equivalence, which keeps `%3B` and `;` apart; a hash may be.
            UriScheme::Sip | UriScheme::Sips => canonical_user(self.user().unwrap_or_default(), &mut text),
            UriScheme::Tel => text.extend(digits(self.user().unwrap_or_default())),
            UriScheme::Urn | UriScheme::Other => text.push_bytes(self.raw()),
        }
        text.push_byte(self.scheme as u8);
        match self.host() {
            Some(Host::Name(name)) => text.extend(name.iter().map(u8::to_ascii_lowercase)),
            Some(Host::V4(address)) => text.push_bytes(&address.octets()),
            Some(Host::V6(address)) => text.push_bytes(&address.octets()),
            None => {}
        }
        text.push_bytes(&self.port().map_or(u32::MAX, u32::from).to_be_bytes());
        key.hash(&text)
    }
}

/// What each byte or escape stands for; an escaped reserved character is a sign of its own.
fn signs(mut input: &[u8]) -> impl Iterator<Item = (u8, bool)> {
    core::iter::from_fn(move || {
        let (byte, escaped) = unescape_next(&mut input)?;
        // RFC 3261 s19.1.4: characters other than the reserved ones equal their escapes (RFC 2396 s2.2).
        let reserved = matches!(byte, b';' | b'/' | b'?' | b':' | b'@' | b'&' | b'=' | b'+' | b'$' | b',');
        Some((byte, escaped && reserved))
    })
}

/// Like [`signs`], without case.
fn folded_signs(input: &[u8]) -> impl Iterator<Item = (u8, bool)> {
    signs(input).map(|(byte, apart)| (byte.to_ascii_lowercase(), apart))
}

fn same_escaped(a: Option<&[u8]>, b: Option<&[u8]>) -> bool {
    match (a, b) {
        (Some(a), Some(b)) => a == b || ((a.contains(&b'%') || b.contains(&b'%')) && signs(a).eq(signs(b))),
        (None, None) => true,
        _ => false,
    }
}

fn same_folded(a: &[u8], b: &[u8]) -> bool {
    a.eq_ignore_ascii_case(b) || folded_signs(a).eq(folded_signs(b))
}

/// RFC 3261 s19.1.4: a parameter on both sides must match; some may not be on one side only.
fn same_params(a: Params<'_>, b: Params<'_>) -> bool {
    if a.raw() == b.raw() {
        return true;
    }
    // Few have escapes.
    let escapes = a.raw().contains(&b'%') || b.raw().contains(&b'%');
    let same = if escapes { same_folded } else { <[u8]>::eq_ignore_ascii_case };
    sip_params_fit(a, b, same) && sip_params_fit(b, a, same)
}

fn sip_params_fit(a: Params<'_>, b: Params<'_>, same: fn(&[u8], &[u8]) -> bool) -> bool {
    a.iter().all(|param| match b.iter().find(|other| same(other.name, param.name)) {
        Some(other) => same(param.raw.unwrap_or_default(), other.raw.unwrap_or_default()),
        None => !NEVER_IGNORED.iter().any(|name| same(param.name, name)),
    })
}

/// RFC 3261 s19.1.4: URI headers are never ignored; their order does not count.
fn same_headers(a: &[u8], b: &[u8]) -> bool {
    a == b || (headers_in(a, b) && headers_in(b, a))
}

/// Whether each header of one side stands as often on the other.
fn headers_in(a: &[u8], b: &[u8]) -> bool {
    let each =
        |headers| <[u8]>::split(headers, |byte| *byte == b'&').filter(|header: &&[u8]| !header.is_empty());
    each(a).all(|header| {
        let times = |headers| each(headers).filter(|other| same_header(header, other)).count();
        times(a) == times(b)
    })
}

/// Names without case, values with it: which values fold is up to each header, and these travel in few URIs.
fn same_header(a: &[u8], b: &[u8]) -> bool {
    let cut = |header: &[u8]| header.iter().position(|byte| *byte == b'=');
    match (cut(a).and_then(|at| a.split_at_checked(at)), cut(b).and_then(|at| b.split_at_checked(at))) {
        (Some((a_name, a_value)), Some((b_name, b_value))) => {
            same_folded(a_name, b_name) && signs(a_value).eq(signs(b_value))
        }
        _ => false,
    }
}

/// The number without its visual separators (RFC 3966 s5.1.1), without case.
fn digits(number: &[u8]) -> impl Iterator<Item = u8> {
    number.iter().filter(|byte| !matches!(byte, b'-' | b'.' | b'(' | b')')).map(u8::to_ascii_lowercase)
}

/// RFC 3966 s5: both global or both local, and the same digits. The plus sign is one of them.
fn same_number(a: Option<&[u8]>, b: Option<&[u8]>) -> bool {
    digits(a.unwrap_or_default()).eq(digits(b.unwrap_or_default()))
}

/// RFC 3966 s5: a parameter that only one side has makes them different.
fn tel_params_in(a: Params<'_>, b: Params<'_>) -> bool {
    a.iter().all(|param| {
        b.iter().any(|other| same_folded(param.name, other.name) && same_tel_value(&param, other.raw))
    })
}

fn same_tel_value(param: &Param<'_>, other: Option<&[u8]>) -> bool {
    let (a, b) = (param.raw.unwrap_or_default(), other.unwrap_or_default());
    let number = param.name.eq_ignore_ascii_case(b"ext")
        || (param.name.eq_ignore_ascii_case(b"phone-context") && a.first() == Some(&b'+'));
    if number { digits(a).eq(digits(b)) } else { same_folded(a, b) }
}
