//! Tokens that the host took back before their time (RFC 7009): of a user who was disabled, or of a session that was
//! ended.

use super::cache::Cache;
use super::claims::Claims;
use crate::base::{HashKey, Time};
use crate::door::Revoked;

/// What was taken back. Each entry is kept until what it is about would have died by itself.
#[derive(Clone, Debug)]
pub(super) struct Revocations {
    cache: Cache<Time>,
}

impl Revocations {
    pub(super) fn new(hash_key: HashKey) -> Revocations {
        Revocations { cache: Cache::new(hash_key) }
    }

    /// Takes back what this names, until this wall time. False if `limit` are remembered and this is none of them: one
    /// that gave way would let a dead token live again, unseen.
    #[must_use]
    pub(super) fn add(&mut self, issuer: &str, what: &Revoked, until: Time, limit: usize) -> bool {
        let (name, before) = match what {
            Revoked::Subject { subject, issued_before } => (subject_name(issuer, subject), *issued_before),
            Revoked::Session { sid } => (session_name(issuer, sid), Time::ZERO),
            Revoked::Token { jti } => (token_name(issuer, jti), Time::ZERO),
        };
        // Whatever comes last: what was taken back once stays so.
        let known = self.cache.hit(&name, Time::ZERO).copied();
        if known.is_none() && self.cache.len() >= limit {
            return false;
        }
        // One that is known takes its own place, and none gives way to it.
        let room = limit.max(self.cache.len());
        self.cache.insert(&name, known.map_or(before, |old| before.max(old)), until, room);
        true
    }

    /// Was this token taken back? One of a subject that was, which does not say when it was issued, counts as old.
    pub(super) fn has(&mut self, claims: &Claims, wall: Time) -> bool {
        if self.cache.len() == 0 {
            return false;
        }
        if let Some(before) = self.cache.hit(&subject_name(&claims.issuer, &claims.subject), wall)
            && claims.issued_at.is_none_or(|at| at < *before)
        {
            return true;
        }
        let mut named =
            |name: Option<Vec<u8>>| name.is_some_and(|name| self.cache.hit(&name, wall).is_some());
        named(claims.session.as_deref().map(|sid| session_name(&claims.issuer, sid)))
            || named(claims.id.as_deref().map(|jti| token_name(&claims.issuer, jti)))
    }

    pub(super) fn expire(&mut self, wall: Time) {
        self.cache.expire(wall);
    }

    pub(super) fn next_death(&self) -> Option<Time> {
        self.cache.next_death()
    }

    pub(super) fn len(&self) -> usize {
        self.cache.len()
    }
}

fn subject_name(issuer: &str, subject: &str) -> Vec<u8> {
    [b"s\0", issuer.as_bytes(), b"\0", subject.as_bytes()].concat()
}

fn session_name(issuer: &str, sid: &str) -> Vec<u8> {
    [b"l\0", issuer.as_bytes(), b"\0", sid.as_bytes()].concat()
}

fn token_name(issuer: &str, jti: &str) -> Vec<u8> {
    [b"t\0", issuer.as_bytes(), b"\0", jti.as_bytes()].concat()
}
