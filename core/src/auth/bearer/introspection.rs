//! Tokens that mean nothing to us: an authorization server is asked about them (RFC 7662), and what it says holds for a
//! while.

use core::time::Duration;
use std::sync::Arc;

use super::{Ask, Bearer, Proof, Token};
use crate::auth::challenge::BearerError;
use crate::auth::claims::{self, Claims, Fault};
use crate::base::{Time, text};
use crate::config::IntrospectionConfig;
use crate::ctx::Ctx;
use crate::door::{AuthVerdict, IntrospectAnswer};
use crate::stats::Counter;

/// How long a token that is worth nothing is not asked about again. Short: it may be good a moment later, when the
/// server has heard of it.
const REFUSED_FOR: Duration = Duration::from_secs(10);

/// Whether this is no JWT: three parts with dots between, the first a JSON object (RFC 7515 s3.1). What looks like one is
/// judged as one, so that nobody chooses by which rules his token is looked at.
pub(super) fn is_opaque(token: &[u8]) -> bool {
    let mut parts = token.split(|&byte| byte == b'.');
    let header = parts.next().unwrap_or_default();
    if parts.count() != 2 {
        return true;
    }
    let mut bytes = vec![0; header.len()];
    !text::unbase64url(header, &mut bytes).is_some_and(claims::is_object)
}

impl Bearer {
    /// What such a token proves, by what its server has said of it.
    pub(super) fn opaque(&mut self, ctx: &mut Ctx<'_>, hash: &[u8; 32], ask: Ask) -> Token {
        if let Some(refused) = self.refused.hit(hash, ctx.wall()) {
            ctx.stats.count(Counter::TokenHits);
            return refused.clone();
        }
        match ask {
            Ask::May => Token::NeedIntrospection(*hash),
            Ask::Done | Ask::TooLate => Token::Unavailable,
        }
    }

    /// Takes what the server says of the token with this SHA-256.
    pub(in crate::auth) fn introspected(
        &mut self,
        ctx: &mut Ctx<'_>,
        hash: &[u8; 32],
        answer: &IntrospectAnswer,
    ) {
        let settings = Arc::clone(ctx.settings);
        let Some(config) = settings.jwt.as_ref() else { return };
        let (Some(asked), IntrospectAnswer::Document(json)) = (&config.introspection, answer) else { return };
        let wall = ctx.wall();
        let latest = wall + asked.max_age;
        let aor_claim = config.aor_claim_of(&asked.issuer);
        let token = match Claims::introspected(&json.0, &asked.issuer, latest, aor_claim) {
            Ok(Some(claims)) => match self.fault(asked, &claims, wall, config.leeway) {
                Some(verdict) => Token::Bad(verdict, BearerError::InvalidToken),
                None => {
                    let until = latest.min(claims.expires + config.leeway);
                    let scopes = [config.scope.as_deref()];
                    self.believe(ctx, hash, &claims, &scopes, Proof::Introspected, until)
                }
            },
            Ok(None) => Token::Bad(AuthVerdict::Refused, BearerError::InvalidToken),
            Err(Fault::Refused) => Token::Bad(AuthVerdict::Refused, BearerError::InvalidToken),
            // It answers, but not as such a server does: as if it could not be asked.
            Err(Fault::Malformed) => return,
        };
        if !matches!(token, Token::Good(_)) {
            self.refused.insert(hash, token, wall + REFUSED_FOR, settings.limits.tokens);
            self.arm(ctx);
        }
    }

    /// What is wrong with claims that are true.
    fn fault(
        &mut self,
        asked: &IntrospectionConfig,
        claims: &Claims,
        wall: Time,
        leeway: Duration,
    ) -> Option<AuthVerdict> {
        let named = |aud: &String| asked.audiences.contains(aud);
        if !asked.audiences.is_empty() && !claims.audience.iter().any(named) {
            return Some(AuthVerdict::Refused);
        }
        if !claims.alive(wall, leeway) {
            return Some(AuthVerdict::Expired);
        }
        self.revoked.has(claims, wall).then_some(AuthVerdict::Refused)
    }
}
