//! Accounts: made, found, listed, changed, deleted.

use rusqlite::{Connection, OptionalExtension, Row, params};
use strowger_core::door::Secret;

use super::account::{self, Account, Change, NewAccount, Patch, Role};
use super::digest::DigestWish;
use super::error::UserError;
use super::{Changing, Store};
use crate::Seconds;
use crate::password::Check;

/// The most accounts of one page.
const PAGE: usize = 1000;

const COLUMNS: &str = "id, username, display_name, email, role, enabled,
    (SELECT group_concat(aor, char(10)) FROM (SELECT aor FROM aor WHERE account = account.id ORDER BY place)),
    password IS NOT NULL, EXISTS (SELECT 1 FROM ha1 WHERE account = account.id), created, changed";

impl Store {
    /// Makes an account.
    pub fn create(&self, new: &NewAccount, now: Seconds) -> Result<Account, UserError> {
        account::check_username(&new.username)?;
        account::check_display_name(&new.display_name)?;
        account::check_email(&new.email)?;
        let aors = account::canonical_aors(&new.aors)?;
        let password = match &new.password {
            Some(password) => {
                account::check_password(&password.0)?;
                Some(self.hasher.hash(&password.0)?)
            }
            None if new.digest => return super::error::invalid("digest", "needs the password"),
            None => None,
        };
        self.write(|change| {
            if find(change.tx, &new.username)?.is_some() {
                return Err(UserError::Taken { field: "username", value: new.username.clone() });
            }
            change.tx.execute(
                "INSERT INTO account (username, display_name, email, role, enabled, password, created, changed)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?7)",
                params![
                    new.username, new.display_name, new.email, new.role.name(), new.enabled, password, now
                ],
            )?;
            let id = change.tx.last_insert_rowid();
            change.set_aors(id, &aors)?;
            if let (true, Some(password)) = (new.digest, &new.password) {
                change.set_ha1(id, &new.username, &password.0)?;
            }
            change.tell(id, &new.username, Change::Created);
            existing(change.tx, &new.username)
        })
    }

    /// Makes an administrator of this name with a password that nobody knows yet, if there is no administrator at all:
    /// the password, to be shown once.
    pub fn first_admin(&self, username: &str, now: Seconds) -> Result<Option<Secret<String>>, UserError> {
        let sql = "SELECT EXISTS (SELECT 1 FROM account WHERE role = 'admin')";
        if self.read().query_row(sql, [], |row| row.get(0))? {
            return Ok(None);
        }
        let password = crate::random::text::<15>();
        let new = NewAccount { role: Role::Admin, ..NewAccount::named(username) };
        self.create(&new.with_password(password.as_str()), now)?;
        Ok(Some(Secret(password)))
    }

    /// An account by its name, in whatever case.
    pub fn account(&self, username: &str) -> Result<Account, UserError> {
        existing(&self.read(), username)
    }

    /// The account that has an address of record, in whatever form it is written.
    pub fn account_of(&self, aor: &str) -> Result<Account, UserError> {
        let aor = account::canonical_aor(aor).ok_or(UserError::NotFound("account"))?;
        let sql =
            format!("SELECT {COLUMNS} FROM account WHERE id = (SELECT account FROM aor WHERE aor = ?1)");
        let found = self.read().prepare_cached(&sql)?.query_row([aor], read_row).optional()?;
        found.ok_or(UserError::NotFound("account"))
    }

    /// Accounts in the order of their names, behind a name, at most so many (never more than 1,000).
    pub fn accounts(&self, after: Option<&str>, limit: usize) -> Result<Vec<Account>, UserError> {
        let sql = format!("SELECT {COLUMNS} FROM account WHERE username > ?1 ORDER BY username LIMIT ?2");
        let connection = self.read();
        let mut query = connection.prepare_cached(&sql)?;
        let rows = query.query_map(params![after.unwrap_or(""), limit.min(PAGE) as i64], read_row)?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// How many accounts there are.
    pub fn count(&self) -> Result<usize, UserError> {
        let count: i64 = self.read().query_row("SELECT count(*) FROM account", [], |row| row.get(0))?;
        Ok(usize::try_from(count).unwrap_or(0))
    }

    /// Changes an account. Its access tokens die if it may less than before; its logins end if it is disabled.
    pub fn change(&self, username: &str, patch: &Patch, now: Seconds) -> Result<Account, UserError> {
        patch.display_name.as_deref().map_or(Ok(()), account::check_display_name)?;
        patch.email.as_deref().map_or(Ok(()), account::check_email)?;
        let aors = patch.aors.as_deref().map(account::canonical_aors).transpose()?;
        self.write(|change| {
            let was = existing(change.tx, username)?;
            let name = &*was.username;
            let (role, enabled) = (patch.role.unwrap_or(was.role), patch.enabled.unwrap_or(was.enabled));
            if role != Role::Admin || !enabled {
                change.keep_an_admin(&was)?;
            }
            let display_name = patch.display_name.as_ref().unwrap_or(&was.display_name);
            let email = patch.email.as_ref().unwrap_or(&was.email);
            change.tx.execute(
                "UPDATE account SET display_name = ?2, email = ?3, role = ?4, enabled = ?5, changed = ?6
                 WHERE id = ?1",
                params![was.id, display_name, email, role.name(), enabled, now],
            )?;
            let mut weaker = role < was.role;
            if (display_name, email, role) != (&was.display_name, &was.email, was.role) {
                change.tell(was.id, name, Change::Profile);
            }
            if let Some(aors) = aors.filter(|aors| *aors != was.aors) {
                change.set_aors(was.id, &aors)?;
                let lost: Vec<String> = was.aors.iter().filter(|aor| !aors.contains(aor)).cloned().collect();
                // The tokens name the addresses.
                weaker |= !lost.is_empty();
                change.tell(was.id, name, Change::Aors { lost });
            }
            if enabled && !was.enabled {
                change.tell(was.id, name, Change::Enabled);
            }
            if was.enabled && !enabled {
                change.tell(was.id, name, Change::Disabled);
                change.end_sessions(was.id, name, now)?;
            } else if weaker {
                change.revoke_tokens(was.id, name, now)?;
            }
            existing(change.tx, username)
        })
    }

    /// Deletes an account and all that is its own.
    pub fn delete(&self, username: &str, now: Seconds) -> Result<(), UserError> {
        self.write(|change| {
            let was = existing(change.tx, username)?;
            change.keep_an_admin(&was)?;
            change.end_sessions(was.id, &was.username, now)?;
            change.tx.execute("DELETE FROM account WHERE id = ?1", [was.id])?;
            change.tell(was.id, &was.username, Change::Deleted { aors: was.aors.clone() });
            Ok(())
        })
    }

    /// Sets the password and ends the logins. Digest credentials are of the new password, if there are any after this.
    pub fn set_password(
        &self,
        username: &str,
        password: &str,
        digest: DigestWish,
        now: Seconds,
    ) -> Result<(), UserError> {
        account::check_password(password)?;
        let hash = self.hasher.hash(password)?;
        self.write(|change| {
            let was = existing(change.tx, username)?;
            change.tx.execute(
                "UPDATE account SET password = ?2, changed = ?3 WHERE id = ?1",
                params![was.id, hash, now],
            )?;
            match digest {
                DigestWish::Store => change.set_ha1(was.id, &was.username, password)?,
                DigestWish::Keep if was.digest => change.set_ha1(was.id, &was.username, password)?,
                DigestWish::Keep => {}
                DigestWish::Drop => {
                    change.tx.execute("DELETE FROM ha1 WHERE account = ?1", [was.id])?;
                }
            }
            change.tell(was.id, &was.username, Change::Password);
            change.end_sessions(was.id, &was.username, now)
        })
    }

    /// The account this is the enabled name and the password of. Unknown, disabled, without a password and wrong are
    /// one error after one time. A hash of another cost is made anew.
    pub fn check_password(&self, username: &str, password: &str) -> Result<Account, UserError> {
        self.prove(username, password).map(|proof| proof.account)
    }

    /// The same, with what a login that follows from it stands on.
    pub(crate) fn prove(&self, username: &str, password: &str) -> Result<Proof, UserError> {
        let found = {
            let connection = self.read();
            let sql = "SELECT id, username, password FROM account WHERE username = ?1 AND enabled";
            let row = |row: &Row<'_>| {
                Ok((row.get::<_, i64>(0)?, row.get::<_, String>(1)?, row.get::<_, Option<String>>(2)?))
            };
            let found = connection.prepare_cached(sql)?.query_row([username], row).optional()?;
            // Read while nothing can change.
            found.map(|(id, name, hash)| (id, hash, self.revoked_since(&name)))
        };
        let hash = found.as_ref().and_then(|(_, hash, _)| hash.as_deref());
        let check = self.hasher.check(password, hash)?;
        let (Some((id, Some(hash), since)), Check::Right | Check::Outdated) = (&found, check) else {
            return Err(UserError::WrongPassword);
        };
        if check == Check::Outdated {
            let new = self.hasher.hash(password)?;
            // Unless it was changed meanwhile.
            self.read().execute(
                "UPDATE account SET password = ?3 WHERE id = ?1 AND password = ?2",
                params![id, hash, new],
            )?;
        }
        let sql = format!("SELECT {COLUMNS} FROM account WHERE id = ?1 AND enabled");
        let account = self.read().prepare_cached(&sql)?.query_row([id], read_row).optional()?;
        let account = account.ok_or(UserError::WrongPassword)?;
        Ok(Proof { account, since: *since })
    }
}

/// Somebody knew the password of an account.
#[derive(Clone, Debug)]
pub(crate) struct Proof {
    pub(crate) account: Account,
    /// What was revoked then. If more is now, the password may be another.
    pub(super) since: Option<Seconds>,
}

impl Changing<'_, '_> {
    fn set_aors(&mut self, id: i64, aors: &[String]) -> Result<(), UserError> {
        self.tx.execute("DELETE FROM aor WHERE account = ?1", [id])?;
        let mut insert = self.tx.prepare_cached(
            "INSERT INTO aor (aor, account, place) VALUES (?1, ?2, ?3) ON CONFLICT DO NOTHING",
        )?;
        for (place, aor) in aors.iter().enumerate() {
            if insert.execute(params![aor, id, place as i64])? == 0 {
                return Err(UserError::Taken { field: "aors", value: aor.clone() });
            }
        }
        Ok(())
    }

    /// Refuses if this account is the last enabled administrator.
    fn keep_an_admin(&self, account: &Account) -> Result<(), UserError> {
        if account.role != Role::Admin || !account.enabled {
            return Ok(());
        }
        let sql = "SELECT count(*) FROM account WHERE role = 'admin' AND enabled AND id <> ?1";
        let others: i64 = self.tx.query_row(sql, [account.id], |row| row.get(0))?;
        if others == 0 { Err(UserError::LastAdmin) } else { Ok(()) }
    }
}

pub(super) fn existing(connection: &Connection, username: &str) -> Result<Account, UserError> {
    find(connection, username)?.ok_or(UserError::NotFound("account"))
}

pub(super) fn by_id(connection: &Connection, id: i64) -> Result<Account, UserError> {
    let sql = format!("SELECT {COLUMNS} FROM account WHERE id = ?1");
    let found = connection.prepare_cached(&sql)?.query_row([id], read_row).optional()?;
    found.ok_or(UserError::NotFound("account"))
}

fn find(connection: &Connection, username: &str) -> Result<Option<Account>, UserError> {
    let sql = format!("SELECT {COLUMNS} FROM account WHERE username = ?1");
    Ok(connection.prepare_cached(&sql)?.query_row([username], read_row).optional()?)
}

fn read_row(row: &Row<'_>) -> rusqlite::Result<Account> {
    let role: String = row.get(4)?;
    let aors: Option<String> = row.get(6)?;
    Ok(Account {
        id: row.get(0)?,
        username: row.get(1)?,
        display_name: row.get(2)?,
        email: row.get(3)?,
        // The column takes no other name; somebody who has changed that gets the least.
        role: Role::named(&role).unwrap_or(Role::User),
        enabled: row.get(5)?,
        aors: aors.map_or(Vec::new(), |aors| aors.split('\n').map(Into::into).collect()),
        password: row.get(7)?,
        digest: row.get(8)?,
        created: row.get(9)?,
        changed: row.get(10)?,
    })
}
