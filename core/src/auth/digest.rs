//! Digest credentials as a server reads and checks them (RFC 7616 s3.4, RFC 8760 s2, RFC 3261 s22.4).
//!
//! `-sess` is checked against the nonce and cnonce of the request itself: a server without memory has no others.

use core::fmt;

use smallvec::SmallVec;
use subtle::ConstantTimeEq;

use super::info::Qop;
use crate::base::hash::{self, Running};
use crate::base::text::{self, AorBuf};
use crate::config::{Account, Accounts, DigestAlgorithm, HashedCredential, Settings};
use crate::wire::{AuthValue, DigestCredentials, Uri};

/// Why credentials are not checked.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Unusable {
    /// A parameter is missing, repeated or improper.
    Malformed,
    /// Of an algorithm that is not known here.
    Algorithm,
}

/// The user that credentials name.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum User<'m> {
    /// By name, as it stands in the message.
    Named(&'m [u8]),
    /// By name, with quoted pairs or escapes resolved.
    Unquoted(SmallVec<[u8; 48]>),
    /// By the hash of name and realm (RFC 7616 s3.4.4).
    Hashed(SmallVec<[u8; 32]>),
}

impl User<'_> {
    pub(super) fn account<'s>(
        &self,
        accounts: &'s Accounts,
        algorithm: DigestAlgorithm,
    ) -> Option<&'s Account> {
        match self {
            User::Named(name) => accounts.by_username(name),
            User::Unquoted(name) => accounts.by_username(name),
            User::Hashed(hash) => accounts.by_userhash(algorithm, hash),
        }
    }

    /// The name, if it is one that a store can be asked for.
    pub(super) fn name(&self) -> Option<&str> {
        match self {
            User::Named(name) => core::str::from_utf8(name).ok(),
            User::Unquoted(name) => core::str::from_utf8(name).ok(),
            User::Hashed(_) => None,
        }
    }
}

/// Digest credentials, complete and typed. What is hashed stands here as it came, without quotes.
#[derive(Clone)]
pub(super) struct Answer<'m> {
    pub(super) user: User<'m>,
    pub(super) algorithm: DigestAlgorithm,
    session: bool,
    pub(super) nonce: &'m [u8],
    pub(super) uri: &'m [u8],
    pub(super) qop: Qop,
    pub(super) cnonce: &'m [u8],
    pub(super) count: u32,
    pub(super) count_text: [u8; 8],
    response: [u8; 32],
}

/// The algorithm that credentials name, and whether it is the `-sess` variant.
pub(super) fn algorithm(credentials: &DigestCredentials<'_>) -> Option<(DigestAlgorithm, bool)> {
    // RFC 7616 s3.3: MD5 if it is not there.
    let Some(value) = credentials.algorithm else { return Some((DigestAlgorithm::Md5, false)) };
    DigestAlgorithm::STRONGEST_FIRST.into_iter().find_map(|algorithm| {
        let token = algorithm.token().as_bytes();
        let (base, rest) = value.raw().split_at_checked(token.len())?;
        let session = rest.eq_ignore_ascii_case(b"-sess");
        (base.eq_ignore_ascii_case(token) && (session || rest.is_empty())).then_some((algorithm, session))
    })
}

impl<'m> Answer<'m> {
    /// Reads what must be there. `allow_no_qop` takes answers of clients from before RFC 2617.
    pub(super) fn read(
        credentials: &DigestCredentials<'m>,
        allow_no_qop: bool,
    ) -> Result<Answer<'m>, Unusable> {
        let (algorithm, session) = algorithm(credentials).ok_or(Unusable::Algorithm)?;
        let qop = match credentials.qop {
            None if allow_no_qop => Qop::None,
            Some(value) if value.is_ignore_case(b"auth") => Qop::Auth,
            Some(value) if value.is_ignore_case(b"auth-int") => Qop::AuthInt,
            _ => return Err(Unusable::Malformed),
        };
        let mut answer = Answer {
            user: user(credentials, algorithm).ok_or(Unusable::Malformed)?,
            algorithm,
            session,
            nonce: text(credentials.nonce)?,
            uri: text(credentials.uri)?,
            qop,
            cnonce: b"",
            count: 0,
            count_text: *b"00000000",
            response: [0; 32],
        };
        if qop != Qop::None || session {
            answer.cnonce = text(credentials.cnonce)?;
        }
        if qop != Qop::None {
            // RFC 7616 s3.4: exactly eight hexadecimal digits, hashed as they came.
            let count = credentials.nc.ok_or(Unusable::Malformed)?.raw();
            answer.count_text = count.try_into().map_err(|_| Unusable::Malformed)?;
            let mut bytes = [0; 4];
            if !text::unhex(count, &mut bytes) {
                return Err(Unusable::Malformed);
            }
            answer.count = u32::from_be_bytes(bytes);
        }
        let (response, _) = answer.response.split_at_mut(algorithm.len());
        match credentials.response {
            // RFC 8760 s2.2: as many digits as the algorithm has.
            Some(value) if text::unhex(value.raw(), response) => Ok(answer),
            _ => Err(Unusable::Malformed),
        }
    }

    /// Starts the computation from `HA1`, the secret: all that the response and `rspauth` have in common.
    pub(super) fn proof(&self, ha1: &HashedCredential) -> Proof {
        let mut count = *b":00000000:";
        count[1..9].copy_from_slice(&self.count_text);
        let parts: [&[u8]; 5] = match self.qop {
            Qop::None => [b":", self.nonce, b":", b"", b""],
            Qop::Auth => [b":", self.nonce, &count, self.cnonce, b":auth:"],
            Qop::AuthInt => [b":", self.nonce, &count, self.cnonce, b":auth-int:"],
        };
        match ha1.start() {
            Some(start) if !self.session => Proof(Running::after(start, &parts)),
            _ => self.slow_proof(ha1.bytes(), &parts),
        }
    }

    fn slow_proof(&self, ha1: &[u8], parts: &[&[u8]]) -> Proof {
        let mut hex = [0; 64];
        let mut a1 = text::hex_into(ha1, &mut hex);
        let session;
        let mut session_hex = [0; 64];
        if self.session {
            // RFC 7616 s3.4.2: A1 = H(user:realm:password) ":" nonce ":" cnonce
            session = self.digest(&[a1, b":", self.nonce, b":", self.cnonce]);
            a1 = self.hex(&session, &mut session_hex);
        }
        let all: SmallVec<[&[u8]; 6]> = core::iter::once(a1).chain(parts.iter().copied()).collect();
        Proof(Running::new(self.algorithm, &all))
    }

    /// RFC 7616 s3.4.3, s3.5: `H(A2)` of a request by this method and with this body, and of its answer without one.
    pub(super) fn a2(&self, known: &mut KnownA2, method: &[u8], body: &[u8]) -> A2 {
        if self.qop == Qop::AuthInt {
            let of = |method: &[u8], body: &[u8]| {
                let (mut body_hex, mut a2) = ([0; 64], [0; 64]);
                let body = self.digest(&[body]);
                let hash = self.digest(&[method, b":", self.uri, b":", self.hex(&body, &mut body_hex)]);
                self.hex(&hash, &mut a2);
                a2
            };
            return A2 { request: of(method, body), response: of(b"", b"") };
        }
        if let Some(a2) = known.find(self.algorithm, method, self.uri) {
            return a2;
        }
        let of = |method: &[u8]| {
            let mut a2 = [0; 64];
            self.hex(&self.digest(&[method, b":", self.uri]), &mut a2);
            a2
        };
        let a2 = A2 { request: of(method), response: of(b"") };
        known.keep(self.algorithm, method, self.uri, a2);
        a2
    }

    /// RFC 7616 s3.4.1: what the response must be, or what `rspauth` is.
    pub(super) fn expected(&self, proof: &Proof, a2: &[u8; 64]) -> [u8; 32] {
        // Of all bytes with the algorithms of 32: a length that is known costs less.
        if self.algorithm == DigestAlgorithm::Md5 {
            proof.0.finish(&[&a2[..32]])
        } else {
            proof.0.finish(&[a2])
        }
    }

    fn digest(&self, parts: &[&[u8]]) -> [u8; 32] {
        hash::digest(self.algorithm, parts)
    }

    fn hex<'o>(&self, hash: &[u8; 32], out: &'o mut [u8; 64]) -> &'o [u8] {
        text::hex_into(hash.get(..self.algorithm.len()).unwrap_or_default(), out)
    }

    /// Whether the response is this one, in constant time.
    pub(super) fn matches(&self, expected: &[u8; 32]) -> bool {
        // Both are zero behind the length of the algorithm. Words, because bytes cost ten times as much.
        let mut differ = 0;
        for (a, b) in self.response.as_chunks::<8>().0.iter().zip(expected.as_chunks::<8>().0) {
            differ |= u64::from_ne_bytes(*a) ^ u64::from_ne_bytes(*b);
        }
        differ.ct_eq(&0).into()
    }
}

/// `H(A2)` in hexadecimal.
#[derive(Clone, Copy)]
pub(super) struct A2 {
    /// For the response of the client.
    pub(super) request: [u8; 64],
    /// For `rspauth`.
    pub(super) response: [u8; 64],
}

/// The last `H(A2)` of each algorithm: it depends on method and URI only, which all phones of a domain share. What is
/// kept makes nothing true or false, so that it is no part of the state that [`fmt::Debug`] shows.
#[derive(Clone, Default)]
pub(super) struct KnownA2([Option<Known>; 3]);

#[derive(Clone)]
struct Known {
    method: SmallVec<[u8; Known::METHOD]>,
    uri: SmallVec<[u8; Known::URI]>,
    a2: A2,
}

impl Known {
    // Longer ones are not kept: a peer chooses them.
    const METHOD: usize = 16;
    const URI: usize = 64;
}

impl KnownA2 {
    fn find(&self, algorithm: DigestAlgorithm, method: &[u8], uri: &[u8]) -> Option<A2> {
        let known = self.0.get(algorithm as usize)?.as_ref()?;
        (known.method[..] == *method && known.uri[..] == *uri).then_some(known.a2)
    }

    fn keep(&mut self, algorithm: DigestAlgorithm, method: &[u8], uri: &[u8], a2: A2) {
        if method.len() <= Known::METHOD
            && uri.len() <= Known::URI
            && let Some(slot) = self.0.get_mut(algorithm as usize)
        {
            *slot = Some(Known { method: method.into(), uri: uri.into(), a2 });
        }
    }
}

impl fmt::Debug for KnownA2 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("KnownA2")
    }
}

/// The hash over `HA1` and what the client chose, so far without `HA2`. Kept secret.
#[derive(Clone, Debug)]
pub(super) struct Proof(Running);

/// A parameter that must be there: printable, because it goes into hashes, comparisons and answers.
fn text(value: Option<AuthValue<'_>>) -> Result<&[u8], Unusable> {
    let raw = value.ok_or(Unusable::Malformed)?.raw();
    // Without an early end, so that many bytes are looked at in one step.
    let bad = raw.iter().fold(false, |bad, b| bad | !(0x20..0x7f).contains(b));
    if bad { Err(Unusable::Malformed) } else { Ok(raw) }
}

fn user<'m>(credentials: &DigestCredentials<'m>, algorithm: DigestAlgorithm) -> Option<User<'m>> {
    let hashed = credentials.userhash.is_some_and(|value| value.is_ignore_case(b"true"));
    match (credentials.username, credentials.username_star) {
        (Some(name), None) if hashed => {
            let mut bytes = [0; 32];
            let out = bytes.get_mut(..algorithm.len())?;
            text::unhex(name.raw(), out).then(|| User::Hashed(SmallVec::from_slice(out)))
        }
        (Some(name), None) => Some(match name.plain() {
            Some(name) => User::Named(name),
            None => User::Unquoted(name.bytes().collect()),
        }),
        // RFC 7616 s3.4: username* only without userhash, and never beside username.
        (None, Some(name)) if !hashed => extended(name.raw()).map(User::Unquoted),
        _ => None,
    }
}

/// RFC 5987 s3.2: `UTF-8'language'value` with escapes.
fn extended(raw: &[u8]) -> Option<SmallVec<[u8; 48]>> {
    let mut parts = raw.splitn(3, |b| *b == b'\'');
    if !parts.next()?.eq_ignore_ascii_case(b"UTF-8") {
        return None;
    }
    let (_language, mut value) = (parts.next()?, parts.next()?);
    let mut name = SmallVec::new();
    while let Some((byte, _)) = text::unescape_next(&mut value) {
        name.push(byte);
    }
    Some(name)
}

/// Whether the `uri` of the credentials names what the Request-URI does.
///
/// RFC 3261 s19.1.4 without transport and port, which the way changes, and with all names of one of our domains taken
/// for the same (DECISIONS 7).
pub(super) fn uri_agrees(settings: &Settings, requested: &[u8], claimed: &[u8]) -> bool {
    if requested == claimed {
        return true;
    }
    let (Ok(a), Ok(b)) = (Uri::parse(requested), Uri::parse(claimed)) else { return false };
    if !a.is_sip() || !b.is_sip() {
        return a.equivalent(&b);
    }
    let same_host = match (a.host(), b.host()) {
        (Some(x), Some(y)) => {
            x == y
                || settings
                    .domains
                    .canonical(x)
                    .is_some_and(|domain| settings.domains.canonical(y) == Some(domain))
        }
        _ => false,
    };
    a.scheme() == b.scheme()
        && same_host
        && canonical(a.user()) == canonical(b.user())
        && a.password() == b.password()
        && a.headers() == b.headers()
        && params_agree(&a, &b)
        && params_agree(&b, &a)
}

/// Whether a URI is one of ours.
pub(super) fn is_ours(settings: &Settings, uri: &[u8]) -> bool {
    Uri::parse(uri).is_ok_and(|uri| uri.host().is_some_and(|host| settings.domains.canonical(host).is_some()))
}

fn canonical(user: Option<&[u8]>) -> Option<AorBuf> {
    user.map(|user| {
        let mut out = AorBuf::new();
        text::canonical_user(user, &mut out);
        out
    })
}

fn params_agree(a: &Uri<'_>, b: &Uri<'_>) -> bool {
    a.params().iter().all(|param| {
        let is = |name: &[u8]| param.name.eq_ignore_ascii_case(name);
        match b.params().get(param.name) {
            _ if is(b"transport") => true,
            Some(other) => match (param.raw, other) {
                (Some(x), Some(y)) => x.eq_ignore_ascii_case(y),
                (x, y) => x.is_none() && y.is_none(),
            },
            // RFC 3261 s19.1.4: these differ when only one has them; others are ignored then.
            None => !(is(b"user") || is(b"ttl") || is(b"method") || is(b"maddr")),
        }
    })
}
