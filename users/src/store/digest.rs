//! Digest credentials: `H(username ":" realm ":" password)` per realm and algorithm (RFC 7616 s3.4.2, RFC 8760).
//!
//! As good as the password for SIP, so they are kept only for accounts that asked for them, apart from the rest, and
//! leave the store only towards the engine.

use rusqlite::params;
use strowger_core::base::hash;
use strowger_core::config::{AccountConfig, DigestAlgorithm};
use strowger_core::door::Secret;

use super::account::Change;
use super::accounts::existing;
use super::error::UserError;
use super::{Changing, Store};
use crate::Seconds;
use crate::password::Check;

/// What becomes of the Digest credentials of an account with its new password.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum DigestWish {
    /// It has them if it had them.
    Keep,
    /// It has them from now on.
    Store,
    /// It has none from now on.
    Drop,
}

impl Store {
    /// Stores Digest credentials of an account, for which its password is needed: the hash of it is of no use here.
    pub fn enable_digest(&self, username: &str, password: &str, now: Seconds) -> Result<(), UserError> {
        let sql = "SELECT password FROM account WHERE username = ?1";
        existing(&self.read(), username)?;
        let hash: Option<String> = self.read().query_row(sql, [username], |row| row.get(0))?;
        if self.hasher.check(password, hash.as_deref())? == Check::Wrong {
            return Err(UserError::WrongPassword);
        }
        self.write(|change| {
            let account = existing(change.tx, username)?;
            // Changed while it was checked: these credentials would be of the password before.
            let is: Option<String> = change.tx.query_row(sql, [username], |row| row.get(0))?;
            if is != hash {
                return Err(UserError::WrongPassword);
            }
            change.set_ha1(account.id, &account.username, password)?;
            change.touch(account.id, now)?;
            change.tell(account.id, &account.username, Change::Digest);
            Ok(())
        })
    }

    /// Deletes the Digest credentials of an account.
    pub fn disable_digest(&self, username: &str, now: Seconds) -> Result<(), UserError> {
        self.write(|change| {
            let account = existing(change.tx, username)?;
            if change.tx.execute("DELETE FROM ha1 WHERE account = ?1", [account.id])? > 0 {
                change.touch(account.id, now)?;
                change.tell(account.id, &account.username, Change::Digest);
            }
            Ok(())
        })
    }

    /// Enabled accounts with addresses of record as the engine wants them, in the order of their names, behind a name,
    /// at most so many: with their Digest credentials of one realm.
    pub fn sip_accounts(
        &self,
        realm: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<AccountConfig>, UserError> {
        let accounts = self.accounts(after, limit)?;
        let mut configs = Vec::with_capacity(accounts.len());
        for account in accounts {
            configs.push(self.sip_config(realm, account)?);
        }
        Ok(configs)
    }

    /// One account as the engine wants it; disabled accounts say that they are.
    pub fn sip_account(&self, realm: &str, username: &str) -> Result<AccountConfig, UserError> {
        let account = self.account(username)?;
        self.sip_config(realm, account)
    }

    fn sip_config(&self, realm: &str, account: super::Account) -> Result<AccountConfig, UserError> {
        let connection = self.read();
        let sql = "SELECT algorithm, ha1 FROM ha1 WHERE account = ?1 AND realm = ?2 ORDER BY algorithm";
        let mut query = connection.prepare_cached(sql)?;
        let mut rows = query.query(params![account.id, realm])?;
        let mut ha1 = Vec::new();
        while let Some(row) = rows.next()? {
            let name: String = row.get(0)?;
            let algorithm = DigestAlgorithm::STRONGEST_FIRST.into_iter().find(|a| a.token() == name);
            if let Some(algorithm) = algorithm {
                ha1.push((algorithm, Secret(row.get::<_, String>(1)?)));
            }
        }
        Ok(AccountConfig {
            username: account.username,
            ha1,
            aors: account.aors,
            without_password: true,
            disabled: !account.enabled,
            ..AccountConfig::default()
        })
    }
}

impl Changing<'_, '_> {
    pub(super) fn set_ha1(&mut self, id: i64, username: &str, password: &str) -> Result<(), UserError> {
        self.tx.execute("DELETE FROM ha1 WHERE account = ?1", [id])?;
        let config = &self.store.config;
        if config.realms.is_empty() {
            return super::error::invalid("digest", "no realm is configured");
        }
        let sql = "INSERT INTO ha1 (account, realm, algorithm, ha1) VALUES (?1, ?2, ?3, ?4)";
        let mut insert = self.tx.prepare_cached(sql)?;
        for realm in &config.realms {
            for algorithm in &config.algorithms {
                let parts: [&[u8]; 5] =
                    [username.as_bytes(), b":", realm.as_bytes(), b":", password.as_bytes()];
                let ha1 = hash::digest(*algorithm, &parts);
                let ha1 = crate::random::hex(ha1.get(..algorithm.len()).unwrap_or_default());
                insert.execute(params![id, realm, algorithm.token(), ha1])?;
            }
        }
        Ok(())
    }

    pub(super) fn touch(&mut self, id: i64, now: Seconds) -> Result<(), UserError> {
        self.tx.execute("UPDATE account SET changed = ?2 WHERE id = ?1", params![id, now])?;
        Ok(())
    }
}
