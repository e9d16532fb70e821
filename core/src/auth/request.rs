//! A request as authentication looks at it: which of its credentials are for us, and whom it claims to be from.

use super::digest;
use super::policy::Schemes;
use crate::base::text::AorBuf;
use crate::config::{Account, Settings};
use crate::ctx::Origin;
use crate::wire::{Credentials, DigestCredentials, Header, Message, Method, NameAddr};

/// A request with what the policy says about it.
#[derive(Clone, Copy)]
pub(super) struct Request<'r> {
    pub(super) settings: &'r Settings,
    pub(super) origin: &'r Origin,
    pub(super) msg: Message<'r>,
    pub(super) method: Method,
    pub(super) schemes: Schemes,
}

/// What credentials a request shows.
#[allow(clippy::large_enum_variant)] // a view on the stack, and the large variant is the common one
pub(super) enum Shown<'m> {
    Digest(DigestCredentials<'m>),
    Bearer(&'m [u8]),
    /// None, or for others.
    Nothing,
    /// Some for us, of a scheme or algorithm that is not taken.
    NotTaken,
    /// None for us that can be read, and some that cannot.
    Malformed,
}

impl<'r> Request<'r> {
    /// The first credentials for our realm of a scheme that is taken. A request may carry others for the servers behind
    /// us (RFC 3261 s22.3).
    pub(super) fn credentials(&self) -> Shown<'r> {
        let mut best = Shown::Nothing;
        for line in self.msg.headers(Header::Authorization).take(self.settings.limits.values) {
            match Credentials::parse(line) {
                Ok(Credentials::Digest(digest)) if self.is_for_us(&digest) => {
                    if self.schemes.digest && digest::algorithm(&digest).is_some() {
                        return Shown::Digest(digest);
                    }
                    best = Shown::NotTaken;
                }
                Ok(Credentials::Bearer(_)) if !self.schemes.bearer => best = Shown::NotTaken,
                Ok(Credentials::Bearer(token)) => return Shown::Bearer(token),
                Ok(_) => {}
                Err(_) if matches!(best, Shown::Nothing) => best = Shown::Malformed,
                Err(_) => {}
            }
        }
        best
    }

    fn is_for_us(&self, digest: &DigestCredentials<'_>) -> bool {
        digest.realm.is_some_and(|realm| realm.is(self.settings.digest.realm.as_bytes()))
    }

    /// The account whose address the request names, unproved: only the algorithms of the challenge follow it.
    pub(super) fn claimed_account(&self) -> Option<&'r Account> {
        let header = if self.method == Method::Register { Header::To } else { Header::From };
        let who = NameAddr::parse(self.msg.header(header)?).ok()?;
        let mut aor = AorBuf::new();
        if !self.settings.domains.aor(&who.uri, &mut aor) {
            return None;
        }
        self.settings.accounts.by_aor(core::str::from_utf8(&aor).ok()?)
    }
}
