//! Accounts, Digest credentials, API keys and logins in one SQLite file.
//!
//! Every call blocks: on the file, and on Argon2 where a password is involved (never while the file is held). A change
//! is one transaction; when it is committed it is told to the listener, in the order of commits.

mod account;
mod accounts;
mod api_keys;
mod digest;
mod error;
mod revocation;
mod sessions;
#[cfg(test)]
mod tests;

use std::fmt;
use std::path::Path;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard};

use rusqlite::{Connection, Transaction, TransactionBehavior};
use strowger_core::config::DigestAlgorithm;

pub use account::{Account, AccountChange, Change, MOST_AORS, NewAccount, Patch, Role, canonical_aor};
pub(crate) use accounts::Proof;
#[cfg(feature = "rest")]
pub(crate) use api_keys::is_api_key;
pub use api_keys::{ApiKey, ApiKeyWish, KeyOwner, MOST_API_KEYS, NewApiKey};
pub use digest::DigestWish;
pub use error::UserError;
pub use revocation::{Revocation, Revocations, Revoked, TokenRef};
pub(crate) use sessions::{Refreshed, Session};

use crate::Seconds;
use crate::password::{Cost, Hasher};
use crate::sqlite::{self, Kind, OpenError};

/// The file of accounts.
pub const ACCOUNTS: Kind = Kind {
    name: "account store",
    application_id: 0x5374_7755,
    migrations: &[include_str!("schema.sql")],
    page_size: 4096,
};

/// How a store works.
#[derive(Clone, Debug)]
pub struct StoreConfig {
    /// What a password hash costs.
    pub cost: Cost,
    /// Realms for which Digest credentials are made, for accounts that have them.
    pub realms: Vec<String>,
    /// Algorithms for which Digest credentials are made.
    pub algorithms: Vec<DigestAlgorithm>,
    /// How long a revocation is kept: at least the life of an access token and the leeway of its verifiers.
    pub revocations: Seconds,
    /// The most logins of one account at a time; the oldest goes.
    pub sessions: usize,
}

impl Default for StoreConfig {
    /// No realm; SHA-256 and MD5; revocations an hour and a minute; 50 logins.
    fn default() -> StoreConfig {
        StoreConfig {
            cost: Cost::default(),
            realms: Vec::new(),
            algorithms: vec![DigestAlgorithm::Sha256, DigestAlgorithm::Md5],
            revocations: 3660,
            sessions: 50,
        }
    }
}

/// Why a store is not there.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// The file.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The configuration, or what the file holds.
    #[error(transparent)]
    User(#[from] UserError),
}

type Listener = Box<dyn Fn(&AccountChange) + Send + Sync>;

/// The accounts. Shared by reference between threads.
pub struct Store {
    connection: Mutex<Connection>,
    hasher: Hasher,
    config: StoreConfig,
    revoked: RwLock<Revocations>,
    /// `data_version` of the file when it was looked at last.
    seen: AtomicI64,
    listener: Option<Listener>,
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Store").field("config", &self.config).finish_non_exhaustive()
    }
}

impl Store {
    /// Opens the file, or makes it.
    pub fn open(path: &Path, config: StoreConfig) -> Result<Store, StoreError> {
        let connection = sqlite::open(path, &ACCOUNTS)?;
        let revoked = revocation::load(&connection).map_err(UserError::from)?;
        let seen =
            connection.query_row("PRAGMA data_version", [], |row| row.get(0)).map_err(UserError::from)?;
        let hasher = Hasher::new(config.cost).map_err(UserError::from)?;
        Ok(Store {
            connection: Mutex::new(connection),
            hasher,
            config,
            revoked: RwLock::new(revoked),
            seen: AtomicI64::new(seen),
            listener: None,
        })
    }

    /// Has each change told, after its commit and in order. The listener must not call the store: it hands the change
    /// to somebody else, over a channel.
    pub fn listen(&mut self, listener: impl Fn(&AccountChange) + Send + Sync + 'static) {
        self.listener = Some(Box::new(listener));
    }

    /// Makes and checks the hashes of passwords.
    pub fn hasher(&self) -> &Hasher {
        &self.hasher
    }

    /// The tokens that are dead before their time.
    pub fn revocations(&self) -> Revocations {
        self.revoked().clone()
    }

    /// Takes over what another process has done to the file, such as the command line. True if it did anything.
    pub fn refresh(&self) -> Result<bool, UserError> {
        let connection = self.read();
        // SQLite: it differs when a connection other than this one has changed the file.
        let version: i64 = connection.query_row("PRAGMA data_version", [], |row| row.get(0))?;
        if self.seen.swap(version, Ordering::Relaxed) == version {
            return Ok(false);
        }
        let revoked = revocation::load(&connection)?;
        *self.revoked.write().unwrap_or_else(PoisonError::into_inner) = revoked;
        Ok(true)
    }

    /// Whether a token is dead before its time.
    pub fn is_revoked(&self, token: TokenRef<'_>) -> bool {
        self.revoked().has(token)
    }

    /// The tokens of this subject issued up to then are dead.
    pub fn revoked_since(&self, username: &str) -> Option<Seconds> {
        self.revoked().since(username)
    }

    /// The `iat` of a token issued now.
    pub(crate) fn issue_time(&self, username: &str, now: Seconds) -> Seconds {
        self.revoked_since(username).map_or(now, |since| now.max(since.saturating_add(1)))
    }

    /// Drops logins and revocations that have expired. Call it every few minutes.
    pub fn sweep(&self, now: Seconds) -> Result<(), UserError> {
        self.write(|change| {
            change.tx.execute("DELETE FROM family WHERE expires <= ?1", [now])?;
            change.tx.execute("DELETE FROM refresh WHERE expires <= ?1", [now])?;
            change.tx.execute("DELETE FROM revocation WHERE until <= ?1", [now])?;
            Ok(())
        })?;
        self.revoked.write().unwrap_or_else(PoisonError::into_inner).expire(now);
        Ok(())
    }

    fn revoked(&self) -> RwLockReadGuard<'_, Revocations> {
        self.revoked.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn read(&self) -> MutexGuard<'_, Connection> {
        self.connection.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Does something in one transaction. What it notes as changed is told once it is committed.
    fn write<T>(
        &self,
        work: impl FnOnce(&mut Changing<'_, '_>) -> Result<T, UserError>,
    ) -> Result<T, UserError> {
        let mut connection = self.read();
        let tx = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let mut changing = Changing { tx: &tx, store: self, told: Vec::new() };
        let out = work(&mut changing)?;
        let told = changing.told;
        tx.commit()?;
        for change in &told {
            if let Change::Revoked(revocation) = &change.what {
                let mut revoked = self.revoked.write().unwrap_or_else(PoisonError::into_inner);
                revoked.add(revocation.clone());
            }
            if let Some(listener) = &self.listener {
                listener(change);
            }
        }
        Ok(out)
    }
}

/// A change under way.
struct Changing<'c, 's> {
    tx: &'c Transaction<'c>,
    store: &'s Store,
    told: Vec<AccountChange>,
}

impl Changing<'_, '_> {
    fn tell(&mut self, account: i64, username: &str, what: Change) {
        self.told.push(AccountChange { account, username: username.into(), what });
    }

    fn revoke(&mut self, account: i64, username: &str, what: Revoked, now: Seconds) -> Result<(), UserError> {
        let revocation = Revocation { what, until: now.saturating_add(self.store.config.revocations) };
        revocation::save(self.tx, &revocation)?;
        self.tell(account, username, Change::Revoked(revocation));
        Ok(())
    }

    /// Kills the access tokens an account has.
    fn revoke_tokens(&mut self, account: i64, username: &str, now: Seconds) -> Result<(), UserError> {
        // A token issued after this is given an `iat` past `since`, even within the same second. So this must be past
        // every one that was issued before.
        let before = self.store.revoked_since(username);
        let since = before.map_or(now, |before| now.max(before.saturating_add(1)));
        let subject = Revoked::Subject { username: username.into(), since };
        self.revoke(account, username, subject, now)
    }

    /// Ends its logins, too.
    fn end_sessions(&mut self, account: i64, username: &str, now: Seconds) -> Result<(), UserError> {
        self.tx.execute("DELETE FROM family WHERE account = ?1", [account])?;
        self.revoke_tokens(account, username, now)
    }
}
