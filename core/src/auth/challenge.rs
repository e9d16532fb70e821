//! The challenge of a 401: one `WWW-Authenticate` line per Digest algorithm, strongest first, then Bearer (RFC 8760
//! s2.3, RFC 7616 s3.3, RFC 8898 s4).
//!
//! `domain` and `opaque` are not sent: without `domain` the credentials are good for the whole server, and the nonce
//! carries what `opaque` would. What a client sends back as `opaque` is not looked at.

use std::sync::Arc;

use smallvec::SmallVec;

use super::nonce::NonceText;
use super::policy::Algorithms;
use crate::config::Settings;
use crate::door::Identity;
use crate::wire::{Header, ResponseWriter};

/// A challenge, to be written into a 401.
#[derive(Clone, Debug)]
pub(crate) struct Challenge {
    pub(super) digest: Option<DigestChallenge>,
    pub(super) bearer: Option<BearerChallenge>,
    pub(super) replayed: Option<Arc<Identity>>,
}

/// The Digest part of a challenge.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct DigestChallenge {
    /// Strongest first, not empty.
    pub(super) algorithms: Algorithms,
    pub(super) nonce: NonceText,
    /// The credentials were right but their nonce is used up: the client need not ask its user again.
    pub(super) stale: bool,
}

/// The Bearer part of a challenge.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct BearerChallenge {
    pub(super) error: Option<BearerError>,
}

/// Why a token was not accepted (RFC 8898 s4).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[cfg_attr(not(feature = "jwt"), allow(dead_code))]
pub(super) enum BearerError {
    /// Expired, revoked, malformed, or not for us.
    InvalidToken,
    /// Good, but without the scope asked for.
    InvalidScope,
}

impl BearerError {
    const fn text(self) -> &'static [u8] {
        match self {
            BearerError::InvalidToken => b"invalid_token",
            BearerError::InvalidScope => b"invalid_scope",
        }
    }
}

type Line = SmallVec<[u8; 256]>;

impl Challenge {
    /// Who the request would be from, when all that was wrong is that its nonce count was used before: so that a
    /// retransmitted REGISTER whose transaction was forgotten can be answered again (DECISIONS 16). Never to be used
    /// for anything that changes state.
    pub(crate) fn replayed(&self) -> Option<&Arc<Identity>> {
        self.replayed.as_ref()
    }

    /// Writes the lines.
    pub(crate) fn write(&self, settings: &Settings, response: &mut ResponseWriter<'_>) {
        self.each(settings, |line| _ = response.header(Header::WwwAuthenticate, line));
    }

    pub(super) fn each(&self, settings: &Settings, mut put: impl FnMut(&[u8])) {
        let realm = settings.digest.realm.as_bytes();
        if let Some(digest) = &self.digest {
            for algorithm in &digest.algorithms {
                put(&digest_line(settings, digest, algorithm.token(), realm));
            }
        }
        let jwt = settings.jwt.as_ref();
        if let Some(bearer) = self.bearer
            && let Some(authz_server) = jwt.and_then(|jwt| jwt.authz_server.as_deref())
        {
            let mut line = Line::from_slice(b"Bearer realm=\"");
            extend(&mut line, &[realm, b"\", authz_server=\"", authz_server.as_bytes(), b"\""]);
            if let Some(scope) = jwt.and_then(|jwt| jwt.scope.as_deref()) {
                extend(&mut line, &[b", scope=\"", scope.as_bytes(), b"\""]);
            }
            if let Some(error) = bearer.error {
                extend(&mut line, &[b", error=\"", error.text(), b"\""]);
            }
            put(&line);
        }
    }
}

fn digest_line(settings: &Settings, digest: &DigestChallenge, algorithm: &str, realm: &[u8]) -> Line {
    let mut line = Line::from_slice(b"Digest realm=\"");
    // RFC 8760 s2.6 item 8: qop is always sent. RFC 7616 s3.3: realm, nonce and qop quoted, stale and algorithm not.
    let qop: &[u8] = if settings.digest.auth_int { b"auth,auth-int" } else { b"auth" };
    extend(&mut line, &[realm, b"\", nonce=\"", digest.nonce.as_bytes(), b"\", qop=\"", qop, b"\""]);
    extend(&mut line, &[b", algorithm=", algorithm.as_bytes()]);
    if digest.stale {
        line.extend_from_slice(b", stale=true");
    }
    if settings.digest.userhash {
        line.extend_from_slice(b", userhash=true");
    }
    line
}

fn extend(line: &mut Line, parts: &[&[u8]]) {
    for part in parts {
        line.extend_from_slice(part);
    }
}
