//! Authorization and Proxy-Authorization, WWW-Authenticate and Proxy-Authenticate: RFC 3261 s20.7, RFC 7616,
//! RFC 8760, RFC 8898 (Bearer).
//!
//! One header line holds one set of credentials or one challenge. Their commas separate parameters, so such a line
//! must not be split at commas.

use smallvec::SmallVec;

use super::grammar::{SPACE, TOKEN, TOKEN68, VALUE, behind_space, is, meant, run};
use super::params::is_name;
use super::split::{near, quoted_end};
use super::{Fault, ParseError};
use crate::base::text::{Push, trim};

/// The most parameters credentials or a challenge may have.
const MOST: usize = 32;

/// The value of an auth-param: a token or a quoted string.
#[derive(Clone, Copy, Debug)]
pub struct AuthValue<'m> {
    inner: &'m [u8],
    quoted: bool,
}

impl<'m> AuthValue<'m> {
    /// What stands between the quotes, quoted pairs as they came; or the token.
    pub fn raw(&self) -> &'m [u8] {
        self.inner
    }

    /// Whether it was a quoted string.
    pub fn is_quoted(&self) -> bool {
        self.quoted
    }

    /// The bytes that are meant: quoted pairs resolved.
    pub fn bytes(&self) -> impl Iterator<Item = u8> + use<'m> {
        meant(self.inner, self.quoted)
    }

    /// The bytes that are meant, if they stand as such in the message: no quoted pair needs resolving.
    pub fn plain(&self) -> Option<&'m [u8]> {
        (!self.quoted || memchr::memchr(b'\\', self.inner).is_none()).then_some(self.inner)
    }

    /// Appends the bytes that are meant.
    pub fn unquote_into(&self, out: &mut impl Push) {
        match self.plain() {
            Some(bytes) => out.push_bytes(bytes),
            None => self.bytes().for_each(|byte| out.push_byte(byte)),
        }
    }

    /// Whether these are the bytes that are meant.
    pub fn is(&self, other: &[u8]) -> bool {
        match self.plain() {
            Some(plain) => plain == other,
            None => self.bytes().eq(other.iter().copied()),
        }
    }

    /// Whether these are the bytes that are meant, without regard to case: for algorithm, qop, stale.
    pub fn is_ignore_case(&self, other: &[u8]) -> bool {
        match self.plain() {
            Some(plain) => plain.eq_ignore_ascii_case(other),
            None => self
                .bytes()
                .map(|byte| byte.to_ascii_lowercase())
                .eq(other.iter().map(u8::to_ascii_lowercase)),
        }
    }

    /// The tokens of a list inside the value, such as the qop of a challenge. Empty for a value with quoted pairs.
    pub fn tokens(&self) -> impl Iterator<Item = &'m [u8]> + use<'m> {
        self.plain().unwrap_or_default().split(|byte| *byte == b',').map(trim).filter(|part| !part.is_empty())
    }
}

/// What a client shows: the value of Authorization or Proxy-Authorization.
#[derive(Clone, Copy, Debug)]
#[allow(clippy::large_enum_variant)] // a view on the stack, and the large variant is the common one
pub enum Credentials<'m> {
    /// Digest (RFC 7616).
    Digest(DigestCredentials<'m>),
    /// Bearer (RFC 8898): the token, of the characters of `token68`.
    Bearer(&'m [u8]),
    /// Another scheme, by name.
    Other(&'m [u8]),
}

/// Defines a view over auth-params: a field for each name, each at most once.
macro_rules! auth_view {
    ($(#[$doc:meta])* $view:ident { $($(#[$field_doc:meta])* $field:ident = $name:literal,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default)]
        pub struct $view<'m> {
            $($(#[$field_doc])* pub $field: Option<AuthValue<'m>>,)*
        }

        impl<'m> $view<'m> {
            fn read(input: &'m [u8]) -> Result<$view<'m>, Fault> {
                let mut view = $view::default();
                auth_params(input, |name, value| {
                    $(if is_name(name, $name) {
                        return Some(view.$field.replace(value).is_some());
                    })*
                    None
                })?;
                Ok(view)
            }
        }
    };
}

auth_view! {
    /// The parameters of Digest credentials. Which of them must be there is for the verifier to say.
    DigestCredentials {
        /// `username`
        username = b"username",
        /// `username*` of RFC 7616: an extended value of RFC 5987.
        username_star = b"username*",
        /// `realm`
        realm = b"realm",
        /// `nonce`
        nonce = b"nonce",
        /// `uri`
        uri = b"uri",
        /// `response`
        response = b"response",
        /// `algorithm`
        algorithm = b"algorithm",
        /// `qop`
        qop = b"qop",
        /// `nc`
        nc = b"nc",
        /// `cnonce`
        cnonce = b"cnonce",
        /// `opaque`
        opaque = b"opaque",
        /// `userhash`
        userhash = b"userhash",
    }
}

impl<'m> Credentials<'m> {
    /// Reads a whole header line. A parameter that stands twice, and more than 32 of them, are faults.
    pub fn parse(input: &'m [u8]) -> Result<Credentials<'m>, ParseError> {
        read_credentials(input).map_err(|fault| ParseError::new("Authorization", fault))
    }
}

fn read_credentials(input: &[u8]) -> Result<Credentials<'_>, Fault> {
    let (scheme, rest) = scheme(input)?;
    if scheme.eq_ignore_ascii_case(b"Digest") {
        DigestCredentials::read(rest).map(Credentials::Digest)
    } else if scheme.eq_ignore_ascii_case(b"Bearer") {
        // RFC 6750 s2.1: b64token.
        let end = run(rest, 0, TOKEN68);
        match rest.get(end..) {
            Some(padding) if end > 0 && padding.iter().all(|byte| *byte == b'=') => {
                Ok(Credentials::Bearer(rest))
            }
            _ => Err(Fault::Malformed),
        }
    } else {
        Ok(Credentials::Other(scheme))
    }
}

/// What a server asks for: the value of WWW-Authenticate or Proxy-Authenticate.
#[derive(Clone, Copy, Debug)]
#[allow(clippy::large_enum_variant)] // a view on the stack, and the large variant is the common one
pub enum Challenge<'m> {
    /// Digest (RFC 7616).
    Digest(DigestChallenge<'m>),
    /// Bearer (RFC 8898).
    Bearer(BearerChallenge<'m>),
    /// Another scheme, by name.
    Other(&'m [u8]),
}

auth_view! {
    /// The parameters of a Digest challenge.
    DigestChallenge {
        /// `realm`
        realm = b"realm",
        /// `domain`: a list of URIs.
        domain = b"domain",
        /// `nonce`
        nonce = b"nonce",
        /// `opaque`
        opaque = b"opaque",
        /// `stale`
        stale = b"stale",
        /// `algorithm`; MD5 if it is not there.
        algorithm = b"algorithm",
        /// `qop`: a list, see [`AuthValue::tokens`].
        qop = b"qop",
        /// `charset`
        charset = b"charset",
        /// `userhash`
        userhash = b"userhash",
    }
}

auth_view! {
    /// The parameters of a Bearer challenge (RFC 8898 s4).
    BearerChallenge {
        /// `realm`
        realm = b"realm",
        /// `scope`
        scope = b"scope",
        /// `authz_server`: where to get a token.
        authz_server = b"authz_server",
        /// `error`
        error = b"error",
    }
}

impl<'m> Challenge<'m> {
    /// Reads a whole header line. A parameter that stands twice, and more than 32 of them, are faults.
    pub fn parse(input: &'m [u8]) -> Result<Challenge<'m>, ParseError> {
        let read = || {
            let (scheme, rest) = scheme(input)?;
            if scheme.eq_ignore_ascii_case(b"Digest") {
                DigestChallenge::read(rest).map(Challenge::Digest)
            } else if scheme.eq_ignore_ascii_case(b"Bearer") {
                BearerChallenge::read(rest).map(Challenge::Bearer)
            } else {
                Ok(Challenge::Other(scheme))
            }
        };
        read().map_err(|fault| ParseError::new("WWW-Authenticate", fault))
    }
}

/// The scheme, and what follows it.
fn scheme(input: &[u8]) -> Result<(&[u8], &[u8]), Fault> {
    let input = trim(input);
    let end = run(input, 0, TOKEN);
    let (scheme, rest) = input.split_at_checked(end).ok_or(Fault::Malformed)?;
    // A scheme alone is one without parameters.
    if scheme.is_empty() || rest.first().is_some_and(|b| !is(*b, SPACE)) {
        return Err(Fault::Malformed);
    }
    Ok((scheme, rest.get(run(rest, 0, SPACE)..).unwrap_or_default()))
}

/// Reads `name = value, name = value` to the end. `known` takes a parameter and says whether it stood before; of those
/// it does not know, names are compared here. Empty elements are tolerated. A value that is a token may hold more than
/// the grammar has, as the unquoted `uri` and `response` of some do.
#[inline(always)]
fn auth_params<'m>(
    input: &'m [u8],
    mut known: impl FnMut(&'m [u8], AuthValue<'m>) -> Option<bool>,
) -> Result<(), Fault> {
    let part = |from: usize, to: usize| input.get(from..to).unwrap_or_default();
    let mut unknown: SmallVec<[&[u8]; 4]> = SmallVec::new();
    let mut at = 0;
    for _ in 0..=MOST {
        at = behind_space(input, at);
        while input.get(at) == Some(&b',') {
            at = behind_space(input, at + 1);
        }
        if at >= input.len() {
            return Ok(());
        }
        // A name that is known is a token: only others are looked at byte by byte.
        let equals = at + near(input.get(at..).unwrap_or_default(), b'=').ok_or(Fault::Malformed)?;
        let name = trim(part(at, equals));
        let start = behind_space(input, equals + 1);
        let value = if input.get(start) == Some(&b'"') {
            at = start + quoted_end(input.get(start..).unwrap_or_default()).ok_or(Fault::Malformed)?;
            AuthValue { inner: part(start + 1, at - 1), quoted: true }
        } else {
            at = run(input, start, VALUE);
            AuthValue { inner: part(start, at), quoted: false }
        };
        if at == start {
            return Err(Fault::Malformed);
        }
        at = behind_space(input, at);
        if !matches!(input.get(at), None | Some(b',')) {
            return Err(Fault::Malformed);
        }
        // RFC 7616 s3.3, s3.4: a parameter stands at most once.
        let repeated = match known(name, value) {
            Some(repeated) => repeated,
            None if name.is_empty() || run(name, 0, TOKEN) < name.len() => true,
            None => {
                let repeated = unknown.iter().any(|other| other.eq_ignore_ascii_case(name));
                unknown.push(name);
                repeated
            }
        };
        if repeated {
            return Err(Fault::Malformed);
        }
    }
    Err(Fault::TooMany)
}

#[cfg(test)]
mod tests;
