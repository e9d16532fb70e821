//! Password login: a short access token and a refresh token that is good once.
//!
//! A wrong password, an unknown name, a disabled account and one without a password are one answer after one time.

#[cfg(test)]
mod tests;
mod throttle;

use std::net::IpAddr;
use std::sync::Arc;

use strowger_core::door::Secret;

use crate::Seconds;
use crate::scope::Scope;
use crate::store::{Account, Proof, Refreshed, Role, Session, Store, TokenRef, UserError};
use crate::tokens::{Claims, Issued, Issuer, TokenError};
use throttle::Throttle;
pub use throttle::{Lockout, source};

/// How logins work.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct LoginConfig {
    /// How long a refresh token lives.
    pub refresh: Seconds,
    /// How long a login lasts, however often it is refreshed.
    pub session: Seconds,
    /// Per account. Its longest wait is short: it also keeps out the owner.
    pub account: Lockout,
    /// Per source.
    pub source: Lockout,
}

impl Default for LoginConfig {
    /// A week and 30 days; after 5 failures at an account up to five minutes, after 20 of a source up to an hour.
    fn default() -> LoginConfig {
        LoginConfig {
            refresh: 7 * 86_400,
            session: 30 * 86_400,
            account: Lockout { free: 5, first: 1, longest: 300, forget: 3600, most: 10_000 },
            source: Lockout { free: 20, first: 1, longest: 3600, forget: 3600, most: 10_000 },
        }
    }
}

/// Why there are no tokens.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LoginError {
    /// The name and the password, or the refresh token, are nobody's.
    #[error("refused")]
    Refused,
    /// Too many failures: not before so many seconds.
    #[error("too many failures, wait {0} s")]
    Wait(Seconds),
    /// The account may not have a scope that was asked for, or there is no such scope.
    #[error("no such scope for this account")]
    Scope,
    /// Too many passwords are being checked: try again in a second.
    #[error("too many passwords are being checked")]
    Busy,
    /// No key to sign with.
    #[error(transparent)]
    Token(#[from] TokenError),
    /// The database.
    #[error(transparent)]
    Store(UserError),
}

impl From<UserError> for LoginError {
    fn from(error: UserError) -> LoginError {
        match error {
            UserError::Busy => LoginError::Busy,
            UserError::WrongPassword => LoginError::Refused,
            other => LoginError::Store(other),
        }
    }
}

/// What a login gives.
#[derive(Clone, Debug)]
pub struct Tokens {
    /// The access token.
    pub access: Secret<String>,
    /// Seconds until it expires.
    pub expires_in: Seconds,
    /// The next refresh token.
    pub refresh: Secret<String>,
    /// Seconds until it expires.
    pub refresh_expires_in: Seconds,
    /// What the access token may be used for.
    pub scopes: Vec<String>,
    /// Whose they are.
    pub account: Account,
}

/// Logs people in, keeps them logged in, and out.
#[derive(Debug)]
pub struct Login {
    store: Arc<Store>,
    issuer: Arc<Issuer>,
    config: LoginConfig,
    accounts: Throttle,
    sources: Throttle,
}

impl Login {
    /// Over a store, with tokens of an issuer.
    pub fn new(store: Arc<Store>, issuer: Arc<Issuer>, config: LoginConfig) -> Login {
        let (accounts, sources) = (Throttle::new(config.account), Throttle::new(config.source));
        Login { store, issuer, config, accounts, sources }
    }

    /// The store.
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// The issuer.
    pub fn issuer(&self) -> &Issuer {
        &self.issuer
    }

    /// Logs in by password. Without `scopes` the tokens may all that the account may.
    pub fn password(
        &self,
        username: &str,
        password: &str,
        scopes: Option<&[String]>,
        from: IpAddr,
        now: Seconds,
    ) -> Result<Tokens, LoginError> {
        let proof = self.prove(username, password, from, now)?;
        let granted = granted(proof.account.role, scopes)?;
        let end = now.saturating_add(self.config.session);
        let session = self.store.begin_session(&proof, &granted, self.config.refresh, end, now)?;
        self.tokens(session, now)
    }

    /// An access token without a login, for who may read the keys anyhow. Nothing renews it.
    pub fn issue(
        &self,
        username: &str,
        scopes: Option<&[String]>,
        now: Seconds,
    ) -> Result<Issued, LoginError> {
        let account = self.store.account(username)?;
        if !account.enabled {
            return Err(LoginError::Refused);
        }
        let scopes = granted(account.role, scopes)?;
        let issued = self.store.issue_time(username, now);
        Ok(self.issuer.issue(&account, &scopes, None, issued, now)?)
    }

    /// Whether this is the password of an account, counted like a login: for what asks for it once more.
    pub fn confirm(
        &self,
        username: &str,
        password: &str,
        from: IpAddr,
        now: Seconds,
    ) -> Result<Account, LoginError> {
        self.prove(username, password, from, now).map(|proof| proof.account)
    }

    fn prove(&self, username: &str, password: &str, from: IpAddr, now: Seconds) -> Result<Proof, LoginError> {
        let from = source(from);
        let name = username.to_ascii_lowercase();
        self.sources.begin(from, now).map_err(LoginError::Wait)?;
        if let Err(wait) = self.accounts.begin(&name, now) {
            return Err(LoginError::Wait(wait));
        }
        match self.store.prove(username, password) {
            Ok(proof) => {
                self.accounts.forgive(&name);
                self.sources.undo(from, now);
                Ok(proof)
            }
            Err(UserError::WrongPassword) => Err(LoginError::Refused),
            Err(error) => {
                // It was not looked at.
                self.accounts.undo(&name, now);
                self.sources.undo(from, now);
                Err(error.into())
            }
        }
    }

    /// Takes a refresh token for the next one and a new access token. One that was used before ends the login.
    pub fn refresh(&self, token: &str, now: Seconds) -> Result<Tokens, LoginError> {
        match self.store.refresh_session(token, self.config.refresh, now)? {
            Refreshed::Good(session) => self.tokens(*session, now),
            Refreshed::Unknown | Refreshed::Reused => Err(LoginError::Refused),
        }
    }

    /// Ends the login of a refresh token, with its access tokens. An unknown token is fine (RFC 7009 s2.2).
    pub fn logout(&self, token: &str, now: Seconds) -> Result<(), LoginError> {
        self.store.end_session_of(token, now)?;
        Ok(())
    }

    /// What an access token says, if it is good and was not taken back.
    pub fn verify(&self, token: &str, now: Seconds) -> Result<Claims, TokenError> {
        let claims = self.issuer.verify(token, now)?;
        let revoked = self.store.is_revoked(TokenRef {
            subject: &claims.sub,
            session: claims.sid.as_deref(),
            id: &claims.jti,
            issued: claims.iat,
        });
        if revoked { Err(TokenError::Revoked) } else { Ok(claims) }
    }

    fn tokens(&self, session: Session, now: Seconds) -> Result<Tokens, LoginError> {
        let Session { id, scopes, account, refresh, expires } = session;
        // The role may have changed since the login.
        let may = |name: &String| Scope::named(name).is_some_and(|scope| scope.role() <= account.role);
        let scopes: Vec<String> = scopes.into_iter().filter(may).collect();
        let issued = self.store.issue_time(&account.username, now);
        let token = self.issuer.issue(&account, &scopes, Some(&id), issued, now)?;
        Ok(Tokens {
            access: token.text,
            expires_in: token.claims.exp.saturating_sub(now),
            refresh,
            refresh_expires_in: expires.saturating_sub(now),
            scopes,
            account,
        })
    }
}

/// What a login of this role may, of what it asks for; without a wish all that it may.
fn granted(role: Role, scopes: Option<&[String]>) -> Result<Vec<String>, LoginError> {
    let may = Scope::of(role);
    let Some(wanted) = scopes else {
        return Ok(may.iter().map(|scope| scope.name().into()).collect());
    };
    let known = |name: &String| Scope::named(name).is_some_and(|scope| may.contains(&scope));
    if wanted.is_empty() || !wanted.iter().all(known) {
        return Err(LoginError::Scope);
    }
    let wants = |scope: &&Scope| wanted.iter().any(|name| name == scope.name());
    Ok(may.iter().filter(wants).map(|scope| scope.name().into()).collect())
}
