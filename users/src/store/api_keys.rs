//! API keys: 256 random bits, shown once, stored as a hash, with scopes and an end.

use std::fmt;

use rusqlite::{OptionalExtension, Row, params};
use serde::Serialize;
use strowger_core::base::hash::sha256;
use strowger_core::door::Secret;

use super::Store;
use super::account::{self, Account, Change};
use super::accounts::{by_id, existing};
use super::error::{UserError, invalid};
use crate::Seconds;

/// The most API keys of one account.
pub const MOST_API_KEYS: usize = 50;
/// With what a key begins, so that scanners of repositories find it.
const PREFIX: &str = "strowger_";
/// Its use is noted no more often than this.
const NOTED: Seconds = 60;

/// A key as it is stored.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct ApiKey {
    /// By what it is deleted; no secret.
    pub id: String,
    /// What it is for.
    pub name: String,
    /// What it may.
    pub scopes: Vec<String>,
    /// When it was made.
    pub created: Seconds,
    /// From when on it is worth nothing; `None` never.
    pub expires: Option<Seconds>,
    /// When it was last used, to the minute.
    pub last_used: Option<Seconds>,
}

/// A key to be.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ApiKeyWish {
    /// What it is for.
    pub name: String,
    /// What it may.
    pub scopes: Vec<String>,
    /// From when on it is worth nothing.
    pub expires: Option<Seconds>,
}

/// A key that was made. The text is nowhere else.
#[derive(Clone, Debug)]
pub struct NewApiKey {
    /// What the key is.
    pub key: ApiKey,
    /// The key.
    pub text: Secret<String>,
}

/// Whose key it is.
#[derive(Clone, PartialEq, Eq)]
pub struct KeyOwner {
    /// The account.
    pub account: Account,
    /// The key.
    pub key: ApiKey,
}

impl fmt::Debug for KeyOwner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeyOwner({}, {})", self.account.username, self.key.id)
    }
}

const COLUMNS: &str = "id, name, scopes, created, expires, last_used, account";

impl Store {
    /// Makes a key of an account. What its scopes may be is for the caller to say.
    pub fn create_api_key(
        &self,
        username: &str,
        wish: &ApiKeyWish,
        now: Seconds,
    ) -> Result<NewApiKey, UserError> {
        if wish.name.is_empty() || account::check_display_name(&wish.name).is_err() {
            return invalid("name", "1 to 128 characters, no control characters");
        }
        let odd = |scope: &String| scope.is_empty() || scope.contains(|c: char| !c.is_ascii_graphic());
        if wish.scopes.is_empty() || wish.scopes.len() > 32 || wish.scopes.iter().any(odd) {
            return invalid("scopes", "1 to 32 names");
        }
        if wish.expires.is_some_and(|at| at <= now) {
            return invalid("expires", "must be in the future");
        }
        let text = format!("{PREFIX}{}", crate::random::text::<32>());
        let key = ApiKey {
            id: crate::random::text::<9>(),
            name: wish.name.clone(),
            scopes: wish.scopes.clone(),
            created: now,
            expires: wish.expires,
            last_used: None,
        };
        self.write(|change| {
            let account = existing(change.tx, username)?;
            let sql = "SELECT count(*) FROM api_key WHERE account = ?1";
            let count: i64 = change.tx.query_row(sql, [account.id], |row| row.get(0))?;
            if count >= MOST_API_KEYS as i64 {
                return invalid("api_keys", "an account has at most 50");
            }
            change.tx.execute(
                "INSERT INTO api_key (id, hash, account, name, scopes, created, expires)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
                params![
                    key.id,
                    sha256(&[text.as_bytes()]),
                    account.id,
                    key.name,
                    key.scopes.join(" "),
                    now,
                    key.expires
                ],
            )?;
            change.tell(account.id, &account.username, Change::ApiKeys);
            Ok(())
        })?;
        Ok(NewApiKey { key, text: Secret(text) })
    }

    /// The keys of an account, the oldest first.
    pub fn api_keys(&self, username: &str) -> Result<Vec<ApiKey>, UserError> {
        let connection = self.read();
        let account = existing(&connection, username)?;
        let sql = format!("SELECT {COLUMNS} FROM api_key WHERE account = ?1 ORDER BY created, id");
        let mut query = connection.prepare_cached(&sql)?;
        let rows = query.query_map([account.id], read_row)?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// Deletes a key of an account.
    pub fn delete_api_key(&self, username: &str, id: &str) -> Result<(), UserError> {
        self.write(|change| {
            let account = existing(change.tx, username)?;
            let sql = "DELETE FROM api_key WHERE account = ?1 AND id = ?2";
            if change.tx.execute(sql, params![account.id, id])? == 0 {
                return Err(UserError::NotFound("API key"));
            }
            change.tell(account.id, &account.username, Change::ApiKeys);
            Ok(())
        })
    }

    /// Whose key this is. Unknown, expired, and of a disabled account are one error.
    pub fn api_key_owner(&self, text: &str, now: Seconds) -> Result<KeyOwner, UserError> {
        let no = || UserError::NotFound("API key");
        if !is_api_key(text) {
            return Err(no());
        }
        let connection = self.read();
        // Found by its hash: what a wrong guess takes says nothing about the right one.
        let hash = sha256(&[text.as_bytes()]);
        let sql =
            format!("SELECT {COLUMNS} FROM api_key WHERE hash = ?1 AND (expires IS NULL OR expires > ?2)");
        let row = |row: &Row<'_>| Ok((read_row(row)?, row.get::<_, i64>(6)?));
        let found = connection.prepare_cached(&sql)?.query_row(params![hash, now], row).optional()?;
        let (key, account) = found.ok_or_else(no)?;
        let account = by_id(&connection, account)?;
        if !account.enabled {
            return Err(no());
        }
        if key.last_used.is_none_or(|at| at.saturating_add(NOTED) <= now) {
            // A note that cannot be written keeps nobody out.
            let _ =
                connection.execute("UPDATE api_key SET last_used = ?2 WHERE id = ?1", params![key.id, now]);
        }
        Ok(KeyOwner { account, key })
    }
}

/// Whether a text may be an API key, and not a token.
pub(crate) fn is_api_key(text: &str) -> bool {
    text.len() == PREFIX.len() + 43 && text.starts_with(PREFIX)
}

fn read_row(row: &Row<'_>) -> rusqlite::Result<ApiKey> {
    let scopes: String = row.get(2)?;
    Ok(ApiKey {
        id: row.get(0)?,
        name: row.get(1)?,
        scopes: scopes.split(' ').map(Into::into).collect(),
        created: row.get(3)?,
        expires: row.get(4)?,
        last_used: row.get(5)?,
    })
}
