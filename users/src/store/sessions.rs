//! Logins and the refresh tokens that follow from each (RFC 9700 s4.14.2: rotation).
//!
//! A refresh token is good once. Whoever brings an old one has stolen it, or its owner was stolen from: the whole
//! family ends.

use rusqlite::{OptionalExtension, params};
use strowger_core::base::hash::sha256;
use strowger_core::door::Secret;

use super::account::Account;
use super::accounts::{Proof, by_id};
use super::error::UserError;
use super::revocation::Revoked;
use super::{Changing, Store};
use crate::Seconds;

/// A login that goes on.
#[derive(Clone, Debug)]
pub(crate) struct Session {
    pub(crate) id: String,
    pub(crate) scopes: Vec<String>,
    pub(crate) account: Account,
    /// The newest refresh token, and when it dies.
    pub(crate) refresh: Secret<String>,
    pub(crate) expires: Seconds,
}

/// What comes of a refresh token.
#[derive(Clone, Debug)]
pub(crate) enum Refreshed {
    Good(Box<Session>),
    /// Never given out, expired, or of a login that has ended.
    Unknown,
    /// It was good once: the login has ended now.
    Reused,
}

impl Store {
    /// Begins a login that ends at `end` at the latest, with a refresh token that lives so long.
    pub(crate) fn begin_session(
        &self,
        proof: &Proof,
        scopes: &[String],
        life: Seconds,
        end: Seconds,
        now: Seconds,
    ) -> Result<Session, UserError> {
        let id = crate::random::text::<16>();
        self.write(|change| {
            // Disabled, or given another password, between the check of the password and here. What ends logins revokes.
            let account = by_id(change.tx, proof.account.id).map_err(|_| UserError::WrongPassword)?;
            if !account.enabled || self.revoked_since(&account.username) > proof.since {
                return Err(UserError::WrongPassword);
            }
            change.tx.execute(
                "INSERT INTO family (id, account, scopes, created, expires) VALUES (?1, ?2, ?3, ?4, ?5)",
                params![id, account.id, scopes.join(" "), now, end],
            )?;
            change.end_oldest(&account, &id, now)?;
            let (refresh, expires) = change.next_refresh(&id, now.saturating_add(life).min(end))?;
            Ok(Session { id: id.clone(), scopes: scopes.to_vec(), account, refresh, expires })
        })
    }

    /// Takes a refresh token for the next one.
    pub(crate) fn refresh_session(
        &self,
        token: &str,
        life: Seconds,
        now: Seconds,
    ) -> Result<Refreshed, UserError> {
        let hash = sha256(&[token.as_bytes()]);
        self.write(|change| {
            let sql = "SELECT family.id, family.account, family.scopes, family.expires, refresh.expires, refresh.used
                FROM refresh JOIN family ON family.id = refresh.family WHERE refresh.hash = ?1";
            type Found = (String, i64, String, Seconds, Seconds, bool);
            let found: Option<Found> = change
                .tx
                .prepare_cached(sql)?
                .query_row([hash], |row| {
                    Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?, row.get(4)?, row.get(5)?))
                })
                .optional()?;
            let Some((id, account, scopes, end, expires, used)) = found else { return Ok(Refreshed::Unknown) };
            let account = by_id(change.tx, account)?;
            if used {
                change.end_session(&account, &id, now)?;
                return Ok(Refreshed::Reused);
            }
            if end <= now || expires <= now || !account.enabled {
                return Ok(Refreshed::Unknown);
            }
            change.tx.execute("UPDATE refresh SET used = 1 WHERE hash = ?1", [hash])?;
            let (refresh, expires) = change.next_refresh(&id, now.saturating_add(life).min(end))?;
            let scopes = scopes.split(' ').map(Into::into).collect();
            Ok(Refreshed::Good(Box::new(Session { id, scopes, account, refresh, expires })))
        })
    }

    /// Ends the login of a refresh token, old or new. Whether there was one.
    pub(crate) fn end_session_of(&self, token: &str, now: Seconds) -> Result<bool, UserError> {
        let hash = sha256(&[token.as_bytes()]);
        self.write(|change| {
            let sql =
                "SELECT family.id, family.account FROM refresh JOIN family ON family.id = refresh.family
                WHERE refresh.hash = ?1";
            let row = |row: &rusqlite::Row<'_>| Ok((row.get::<_, String>(0)?, row.get::<_, i64>(1)?));
            let Some((id, account)) = change.tx.prepare_cached(sql)?.query_row([hash], row).optional()?
            else {
                return Ok(false);
            };
            let account = by_id(change.tx, account)?;
            change.end_session(&account, &id, now)?;
            Ok(true)
        })
    }

    /// Ends all logins of an account.
    pub fn end_sessions(&self, username: &str, now: Seconds) -> Result<(), UserError> {
        self.write(|change| {
            let account = super::accounts::existing(change.tx, username)?;
            change.end_sessions(account.id, &account.username, now)
        })
    }

    /// How many logins an account has.
    pub fn sessions(&self, username: &str) -> Result<usize, UserError> {
        let connection = self.read();
        let account = super::accounts::existing(&connection, username)?;
        let sql = "SELECT count(*) FROM family WHERE account = ?1";
        let count: i64 = connection.query_row(sql, [account.id], |row| row.get(0))?;
        Ok(usize::try_from(count).unwrap_or(0))
    }
}

impl Changing<'_, '_> {
    fn next_refresh(
        &mut self,
        family: &str,
        expires: Seconds,
    ) -> Result<(Secret<String>, Seconds), UserError> {
        let text = crate::random::text::<32>();
        self.tx
            .prepare_cached("INSERT INTO refresh (hash, family, expires, used) VALUES (?1, ?2, ?3, 0)")?
            .execute(params![sha256(&[text.as_bytes()]), family, expires])?;
        Ok((Secret(text), expires))
    }

    fn end_session(&mut self, account: &Account, id: &str, now: Seconds) -> Result<(), UserError> {
        self.tx.execute("DELETE FROM family WHERE id = ?1", [id])?;
        self.revoke(account.id, &account.username, Revoked::Session(id.into()), now)
    }

    /// Ends what is over the bound of one account.
    fn end_oldest(&mut self, account: &Account, newest: &str, now: Seconds) -> Result<(), UserError> {
        // The one that has just begun stays, also among many of the same second.
        let sql =
            "SELECT id FROM family WHERE account = ?1 AND id <> ?3 ORDER BY created DESC LIMIT -1 OFFSET ?2";
        let others = self.store.config.sessions.max(1) as i64 - 1;
        let over: Vec<String> = self
            .tx
            .prepare_cached(sql)?
            .query_map(params![account.id, others, newest], |row| row.get(0))?
            .collect::<Result<_, _>>()?;
        for id in over {
            self.end_session(account, &id, now)?;
        }
        Ok(())
    }
}
