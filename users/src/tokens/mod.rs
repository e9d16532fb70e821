//! Access tokens: signed statements about who somebody is, for a few minutes (RFC 7519, RFC 9068).
//!
//! ```json
//! {"alg":"RS256","kid":"…","typ":"at+jwt"}
//! {"iss":"https://sip.example.com","sub":"bob","aud":"sip.example.com","exp":1800000900,"iat":1800000000,
//!  "jti":"…","sid":"…","client_id":"strowger","scope":"sip own","role":"user","aors":["bob@example.com"]}
//! ```
//!
//! The SIP side takes them as it takes those of any issuer, with `aor_claim = "aors"`. What it must ask besides is
//! whether a token is [revoked](crate::store::Revocations): by `sub` and `iat`, by `sid`, by `jti`.

mod claims;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use strowger_core::door::Secret;

use crate::Seconds;
use crate::keys::{Algorithm, KeyRing};
use crate::random::{base64url, unbase64url};
use crate::store::Account;
pub use claims::Claims;

/// The longest token that is looked at, in bytes; also the bound of the engine.
pub const LONGEST: usize = 8192;
/// The most bytes of addresses that go into a token; those past it are left out.
const MOST_AOR_BYTES: usize = 3072;

/// What tokens say.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TokenConfig {
    /// `iss`.
    pub issuer: String,
    /// `aud`.
    pub audience: String,
    /// How long a token lives.
    pub life: Seconds,
    /// How far the clocks of others may be off.
    pub leeway: Seconds,
}

impl TokenConfig {
    /// Tokens of ten minutes, half a minute of leeway.
    pub fn new(issuer: impl Into<String>, audience: impl Into<String>) -> TokenConfig {
        TokenConfig { issuer: issuer.into(), audience: audience.into(), life: 600, leeway: 30 }
    }
}

/// Why a token is worth nothing.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TokenError {
    /// It does not follow its grammar, is too long, or lacks a claim.
    #[error("malformed")]
    Malformed,
    /// Another algorithm than that of its key, a type or a critical header that is not taken.
    #[error("of a kind that is not taken")]
    Refused,
    /// No key of this name is published.
    #[error("of an unknown key")]
    UnknownKey,
    /// The key has not signed it.
    #[error("not signed by its key")]
    Forged,
    /// Of another issuer.
    #[error("of another issuer")]
    Issuer,
    /// For somebody else.
    #[error("for another audience")]
    Audience,
    /// Its time is over.
    #[error("expired")]
    Expired,
    /// Its time has not come.
    #[error("not valid yet")]
    NotYet,
    /// It was taken back.
    #[error("revoked")]
    Revoked,
    /// No key signs now.
    #[error("no key to sign with")]
    NoKey,
}

/// Makes and checks access tokens.
#[derive(Debug)]
pub struct Issuer {
    ring: Arc<KeyRing>,
    config: TokenConfig,
}

/// A token that was made.
#[derive(Clone, Debug)]
pub struct Issued {
    /// The token.
    pub text: Secret<String>,
    /// What it says.
    pub claims: Claims,
}

impl Issuer {
    /// Signs with the keys of a ring.
    pub fn new(ring: Arc<KeyRing>, config: TokenConfig) -> Issuer {
        Issuer { ring, config }
    }

    /// The ring.
    pub fn ring(&self) -> &KeyRing {
        &self.ring
    }

    /// What tokens say.
    pub fn config(&self) -> &TokenConfig {
        &self.config
    }

    /// Makes a token for an account. `issued` is its `iat`, not before `now`.
    pub fn issue(
        &self,
        account: &Account,
        scopes: &[String],
        session: Option<&str>,
        issued: Seconds,
        now: Seconds,
    ) -> Result<Issued, TokenError> {
        let key = self.ring.signer(now).ok_or(TokenError::NoKey)?;
        let mut room = MOST_AOR_BYTES;
        let fits = |aor: &&String| {
            let left = room.checked_sub(aor.len() + 3);
            room = left.unwrap_or(0);
            left.is_some()
        };
        let claims = Claims {
            iss: self.config.issuer.clone(),
            sub: account.username.clone(),
            aud: vec![self.config.audience.clone()],
            exp: issued.saturating_add(self.config.life),
            iat: issued,
            nbf: None,
            jti: crate::random::text::<16>(),
            sid: session.map(Into::into),
            client_id: "strowger".into(),
            scope: scopes.join(" "),
            role: account.role,
            aors: account.aors.iter().take_while(fits).cloned().collect(),
        };
        let header = serde_json::json!({
            "alg": key.algorithm().name(), "kid": key.kid(), "typ": "at+jwt"
        });
        let body = serde_json::to_vec(&claims).map_err(|_| TokenError::Malformed)?;
        let mut text = base64url(header.to_string().as_bytes());
        text.push('.');
        text.push_str(&base64url(&body));
        let signature = key.sign(text.as_bytes()).map_err(|_| TokenError::NoKey)?;
        text.push('.');
        text.push_str(&base64url(&signature));
        Ok(Issued { text: Secret(text), claims })
    }

    /// What a token of ours says, if it is good. Whether it is revoked is for the caller to ask.
    pub fn verify(&self, token: &str, now: Seconds) -> Result<Claims, TokenError> {
        if token.len() > LONGEST {
            return Err(TokenError::Malformed);
        }
        let (signed, signature) = token.rsplit_once('.').ok_or(TokenError::Malformed)?;
        let (header, body) = signed.split_once('.').ok_or(TokenError::Malformed)?;
        let part = |text: &str| unbase64url(text).ok_or(TokenError::Malformed);
        let header = claims::Header::parse(&part(header)?)?;
        let algorithm = Algorithm::named(&header.alg).ok_or(TokenError::Refused)?;
        let key = self.ring.find(&header.kid, now).ok_or(TokenError::UnknownKey)?;
        // RFC 8725 s3.1: a key is used with its own algorithm and no other.
        if key.algorithm() != algorithm {
            return Err(TokenError::Refused);
        }
        let (body, signature) = (part(body)?, part(signature)?);
        if !key.verifies(signed.as_bytes(), &signature) {
            return Err(TokenError::Forged);
        }
        let claims = Claims::parse(&body)?;
        if claims.iss != self.config.issuer {
            return Err(TokenError::Issuer);
        }
        if !claims.aud.contains(&self.config.audience) {
            return Err(TokenError::Audience);
        }
        // RFC 7519 s4.1.4: on or after exp it must not be accepted.
        if now >= claims.exp.saturating_add(self.config.leeway) {
            return Err(TokenError::Expired);
        }
        let soon = now.saturating_add(self.config.leeway);
        if claims.iat > soon || claims.nbf.is_some_and(|nbf| nbf > soon) {
            return Err(TokenError::NotYet);
        }
        Ok(claims)
    }
}
