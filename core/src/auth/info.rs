//! `Authentication-Info` of a response to verified Digest credentials (RFC 7616 s3.5, RFC 3261 s20.6).
//!
//! It proves to the phone that the server knows the password too, and hands it the next nonce before the old one is
//! stale, so that a refresh costs one round trip.

use smallvec::SmallVec;

use super::nonce::NonceText;
use crate::base::text;
use crate::config::DigestAlgorithm;
use crate::wire::{Header, ResponseWriter, Value};

/// The quality of protection a client applied.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Qop {
    /// RFC 2069 style: none.
    None,
    /// Method and URI.
    Auth,
    /// Method, URI and body.
    AuthInt,
}

impl Qop {
    pub(super) const fn token(self) -> &'static [u8] {
        match self {
            Qop::None => b"",
            Qop::Auth => b"auth",
            Qop::AuthInt => b"auth-int",
        }
    }
}

/// What goes back to a client whose credentials were right.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct AuthInfo {
    pub(super) algorithm: DigestAlgorithm,
    pub(super) qop: Qop,
    pub(super) rspauth: [u8; 32],
    /// As the client wrote them; they go back unchanged.
    pub(super) cnonce: SmallVec<[u8; 48]>,
    pub(super) count: [u8; 8],
    pub(super) next: Option<NonceText>,
}

impl AuthInfo {
    /// Writes the header. Under `auth-int` the proof covers the body of the response and is made for an empty one: a
    /// response with a body must go without this header.
    pub(crate) fn write(&self, response: &mut ResponseWriter<'_>) {
        response.value(Header::AuthenticationInfo, |value| self.value(value));
    }

    pub(super) fn value(&self, value: &mut Value<'_>) {
        if let Some(next) = &self.next {
            value.literal("nextnonce=\"");
            value.text(next.as_bytes());
            value.literal(if self.qop == Qop::None { "\"" } else { "\", " });
        }
        if self.qop == Qop::None {
            return;
        }
        let mut hex = [0; 64];
        let rspauth = text::hex_into(self.rspauth.get(..self.algorithm.len()).unwrap_or_default(), &mut hex);
        value.literal("qop=");
        value.text(self.qop.token());
        value.literal(", rspauth=\"");
        value.text(rspauth);
        value.literal("\", cnonce=\"");
        value.text(&self.cnonce);
        value.literal("\", nc=");
        value.text(&self.count);
    }
}
