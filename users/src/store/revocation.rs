//! Access tokens that are dead before their time.
//!
//! A token proves itself by its signature, so that nobody asks the store about it. What is taken back before it
//! expires stands in this list, which every verifier keeps: it is short, for nothing stays longer than a token lives.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use rusqlite::{Connection, params};
use strowger_core::base::Time;

use crate::Seconds;

/// Which tokens.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Revoked {
    /// Those of a `sub` whose `iat` is not after this.
    Subject {
        /// `sub`.
        username: String,
        /// The last `iat` that is dead.
        since: Seconds,
    },
    /// Those of a login: `sid`.
    Session(String),
    /// One: `jti`.
    Token(String),
}

/// An entry of the list.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Revocation {
    /// Which tokens are dead.
    pub what: Revoked,
    /// From when on the entry says nothing any more: those tokens have expired.
    pub until: Seconds,
}

impl Revocation {
    /// Which tokens, as the engine takes it ([`Request::Revoke`](strowger_core::door::Request::Revoke)), about those of
    /// the issuer of this store.
    pub fn tokens(&self) -> strowger_core::door::Revoked {
        use strowger_core::door::Revoked as Engine;
        match &self.what {
            Revoked::Subject { username, since } => {
                // Ours are dead up to `since`, the engine's before a time; `iat` is whole seconds.
                let before = u64::try_from(since.saturating_add(1)).unwrap_or(0);
                Engine::Subject { subject: username.as_str().into(), issued_before: Time::from_secs(before) }
            }
            Revoked::Session(id) => Engine::Session { sid: id.as_str().into() },
            Revoked::Token(id) => Engine::Token { jti: id.as_str().into() },
        }
    }

    /// [`until`](Revocation::until), by the wall clock.
    pub fn ends(&self) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(u64::try_from(self.until).unwrap_or(0))
    }
}

/// By what a token is found in the list.
#[derive(Clone, Copy, Debug)]
pub struct TokenRef<'t> {
    /// `sub`.
    pub subject: &'t str,
    /// `sid`, if it has one.
    pub session: Option<&'t str>,
    /// `jti`.
    pub id: &'t str,
    /// `iat`.
    pub issued: Seconds,
}

/// The list in memory.
#[derive(Clone, Debug, Default)]
pub struct Revocations {
    subjects: BTreeMap<String, (Seconds, Seconds)>,
    sessions: BTreeMap<String, Seconds>,
    tokens: BTreeMap<String, Seconds>,
}

impl Revocations {
    /// Whether a token is dead.
    pub fn has(&self, token: TokenRef<'_>) -> bool {
        self.since(token.subject).is_some_and(|since| token.issued <= since)
            || token.session.is_some_and(|session| self.sessions.contains_key(session))
            || self.tokens.contains_key(token.id)
    }

    /// The last `iat` of a subject that is dead.
    pub fn since(&self, subject: &str) -> Option<Seconds> {
        self.subjects.get(subject).map(|&(since, _)| since)
    }

    /// Takes an entry in. Of two about one subject the later counts.
    pub fn add(&mut self, revocation: Revocation) {
        let Revocation { what, until } = revocation;
        match what {
            Revoked::Subject { username, since } => {
                let entry = self.subjects.entry(username).or_insert((since, until));
                *entry = (entry.0.max(since), entry.1.max(until));
            }
            Revoked::Session(id) => drop(self.sessions.insert(id, until)),
            Revoked::Token(id) => drop(self.tokens.insert(id, until)),
        }
    }

    /// Drops what says nothing any more.
    pub fn expire(&mut self, now: Seconds) {
        self.subjects.retain(|_, (_, until)| *until > now);
        self.sessions.retain(|_, until| *until > now);
        self.tokens.retain(|_, until| *until > now);
    }

    /// How many entries there are.
    pub fn len(&self) -> usize {
        self.subjects.len() + self.sessions.len() + self.tokens.len()
    }

    /// True without any.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// All of them, in order.
    pub fn all(&self) -> Vec<Revocation> {
        let subject = |(username, &(since, until)): (&String, &(Seconds, Seconds))| Revocation {
            what: Revoked::Subject { username: username.clone(), since },
            until,
        };
        let session =
            |(id, &until): (&String, &Seconds)| Revocation { what: Revoked::Session(id.clone()), until };
        let token =
            |(id, &until): (&String, &Seconds)| Revocation { what: Revoked::Token(id.clone()), until };
        let mut all: Vec<Revocation> = self.subjects.iter().map(subject).collect();
        all.extend(self.sessions.iter().map(session));
        all.extend(self.tokens.iter().map(token));
        all
    }
}

/// Reads the list.
pub(super) fn load(connection: &Connection) -> rusqlite::Result<Revocations> {
    let mut list = Revocations::default();
    let mut query = connection.prepare("SELECT kind, name, since, until FROM revocation")?;
    let mut rows = query.query([])?;
    while let Some(row) = rows.next()? {
        let (kind, name, since): (String, String, Seconds) = (row.get(0)?, row.get(1)?, row.get(2)?);
        let what = match &*kind {
            "subject" => Revoked::Subject { username: name, since },
            "session" => Revoked::Session(name),
            _ => Revoked::Token(name),
        };
        list.add(Revocation { what, until: row.get(3)? });
    }
    Ok(list)
}

/// Writes an entry.
pub(super) fn save(connection: &Connection, revocation: &Revocation) -> rusqlite::Result<()> {
    let (kind, name, since) = match &revocation.what {
        Revoked::Subject { username, since } => ("subject", username, *since),
        Revoked::Session(id) => ("session", id, 0),
        Revoked::Token(id) => ("token", id, 0),
    };
    let sql = "INSERT INTO revocation (kind, name, since, until) VALUES (?1, ?2, ?3, ?4)
        ON CONFLICT (kind, name) DO UPDATE SET since = max(since, excluded.since), until = max(until, excluded.until)";
    connection.prepare_cached(sql)?.execute(params![kind, name, since, revocation.until])?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_found_by_its_subject_its_login_or_itself() {
        let mut list = Revocations::default();
        let token = |subject, session, id, issued| TokenRef { subject, session, id, issued };
        list.add(Revocation { what: Revoked::Subject { username: "bob".into(), since: 100 }, until: 200 });
        list.add(Revocation { what: Revoked::Subject { username: "bob".into(), since: 90 }, until: 190 });
        list.add(Revocation { what: Revoked::Session("s".into()), until: 210 });
        list.add(Revocation { what: Revoked::Token("t".into()), until: 220 });
        assert!(list.has(token("bob", None, "x", 100)) && !list.has(token("bob", None, "x", 101)));
        assert!(list.has(token("eve", Some("s"), "x", 500)) && list.has(token("eve", None, "t", 500)));
        assert!(!list.has(token("eve", Some("t"), "s", 0)));
        assert_eq!(list.all().len(), 3);
        list.expire(200);
        assert_eq!((list.len(), list.since("bob")), (2, None));
        list.expire(220);
        assert!(list.is_empty());
    }
}
