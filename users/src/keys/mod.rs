//! The keys that sign tokens: a ring in a directory, rotated with overlap, published as a JWK set (RFC 7517 s5).
//!
//! A key lives in four steps, none of which refuses an honest token:
//!
//! | step | published | signs | until |
//! |---|---|---|---|
//! | next | yes | no | every verifier has had time to fetch it: [`RingConfig::ahead`] |
//! | current | yes | yes | the one after it begins to sign |
//! | old | yes | no | the last token it signed has expired: [`RingConfig::tokens`] |
//! | gone | no | no | |
//!
//! The directory holds `ring.json` and a PKCS #8 file per key, mode 0600. It is the truth: another process may rotate
//! it, and [`KeyRing::tick`] takes over what it did.

mod files;
mod key;
#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};

use serde::Serialize;
use strowger_core::base::hash::sha256;

use crate::Seconds;
use files::{Locked, Noted};
pub use key::{Algorithm, BadKey, SigningKey};

/// How keys come and go.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RingConfig {
    /// Of new keys.
    pub algorithm: Algorithm,
    /// How long a key is published before it signs; verifiers may keep the set for half of it.
    pub ahead: Seconds,
    /// The longest life of a token, and the leeway of its verifiers.
    pub tokens: Seconds,
    /// How old the newest key becomes before it is followed by another; 0 never.
    pub every: Seconds,
}

impl Default for RingConfig {
    /// RS256; published ten minutes ahead; tokens of at most an hour and a minute; rotated every 90 days.
    fn default() -> RingConfig {
        RingConfig { algorithm: Algorithm::Rs256, ahead: 600, tokens: 3660, every: 90 * 86_400 }
    }
}

/// Why there is no ring.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KeyError {
    /// The file system refused.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What it said.
        source: std::io::Error,
    },
    /// It is not what was written there. It was left as it is.
    #[error("{} is not a file of this key ring", .0.display())]
    Corrupt(PathBuf),
    /// Others than its owner may read a private key.
    #[error("{} can be read by others than its owner: chmod 600 it, and rotate", .0.display())]
    Exposed(PathBuf),
    /// No key could be made.
    #[error(transparent)]
    Key(#[from] BadKey),
    /// There is no key of this name.
    #[error("no such key")]
    NotFound,
}

/// In which step of its life a key is.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Step {
    /// Published, to sign soon.
    Next,
    /// Signs.
    Current,
    /// Published as long as its tokens live.
    Old,
}

/// A key as it is listed.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct KeyInfo {
    /// RFC 7638 thumbprint.
    pub kid: String,
    /// With what it signs.
    pub algorithm: Algorithm,
    /// Where it is in its life.
    pub step: Step,
    /// When it was made.
    pub created: Seconds,
    /// When it begins, or began, to sign.
    pub signs_from: Seconds,
    /// When it goes; `None` while nothing follows it.
    pub dies: Option<Seconds>,
}

/// The public keys, and for how long one may keep them.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Jwks {
    /// The document.
    pub body: String,
    /// Its ETag, with quotes (RFC 9110 s8.8.3).
    pub etag: String,
    /// `Cache-Control`.
    pub cache_control: String,
}

#[derive(Clone, Debug)]
struct Entry {
    key: Arc<SigningKey>,
    noted: Noted,
}

/// The ring. Shared by reference between threads.
#[derive(Debug)]
pub struct KeyRing {
    dir: PathBuf,
    config: RingConfig,
    entries: RwLock<Vec<Entry>>,
}

impl KeyRing {
    /// Opens the directory, or makes it with a first key that signs at once.
    pub fn open(dir: &Path, config: RingConfig, now: Seconds) -> Result<KeyRing, KeyError> {
        let ring = KeyRing { dir: dir.into(), config, entries: RwLock::default() };
        let locked = Locked::new(dir)?;
        let entries = ring.load(&locked)?;
        if entries.is_empty() {
            ring.add(&locked, entries, now, now)?;
        } else {
            ring.keep(entries);
        }
        drop(locked);
        ring.tick(now)?;
        Ok(ring)
    }

    /// Takes over what another process has done, drops keys whose tokens are gone, and rotates when it is time. Call
    /// it every minute. True if the set of public keys differs from before.
    pub fn tick(&self, now: Seconds) -> Result<bool, KeyError> {
        let before = self.kids();
        let locked = Locked::new(&self.dir)?;
        let mut entries = self.load(&locked)?;
        let dead = |entry: &Entry| entry.noted.dies.is_some_and(|dies| dies <= now);
        let gone: Vec<Entry> = entries.extract_if(.., |entry| dead(entry)).collect();
        if !gone.is_empty() {
            locked.save(&noted(&entries))?;
            gone.iter().for_each(|entry| locked.remove(&entry.noted.kid));
        }
        let newest = entries.iter().map(|entry| entry.noted.created).max();
        let due =
            newest.is_none_or(|at| self.config.every > 0 && at.saturating_add(self.config.every) <= now);
        if due {
            let from = if newest.is_some() { now.saturating_add(self.config.ahead) } else { now };
            self.add(&locked, entries, now, from)?;
        } else {
            self.keep(entries);
        }
        Ok(self.kids() != before)
    }

    /// Makes the next key; its name. It signs after [`RingConfig::ahead`], then the one before grows old.
    pub fn rotate(&self, now: Seconds) -> Result<String, KeyError> {
        let locked = Locked::new(&self.dir)?;
        let entries = self.load(&locked)?;
        self.add(&locked, entries, now, now.saturating_add(self.config.ahead))
    }

    /// Throws a key away at once, with every token it has signed: its private half is known to others. If no other
    /// signs now, one is made that does.
    pub fn remove(&self, kid: &str, now: Seconds) -> Result<(), KeyError> {
        let locked = Locked::new(&self.dir)?;
        let mut entries = self.load(&locked)?;
        let at = entries.iter().position(|entry| entry.noted.kid == kid).ok_or(KeyError::NotFound)?;
        entries.remove(at);
        self.settle(&mut entries);
        if signer(&entries, now).is_none() {
            self.add(&locked, entries, now, now)?;
        } else {
            locked.save(&noted(&entries))?;
            self.keep(entries);
        }
        locked.remove(kid);
        Ok(())
    }

    /// The key that signs now.
    pub fn signer(&self, now: Seconds) -> Option<Arc<SigningKey>> {
        let entries = self.entries.read().unwrap_or_else(PoisonError::into_inner);
        signer(&entries, now).map(|entry| Arc::clone(&entry.key))
    }

    /// A key by its name, if it is published.
    pub fn find(&self, kid: &str, now: Seconds) -> Option<Arc<SigningKey>> {
        let entries = self.entries.read().unwrap_or_else(PoisonError::into_inner);
        let alive = |entry: &&Entry| entry.noted.dies.is_none_or(|dies| dies > now);
        let found = entries.iter().filter(alive).find(|entry| entry.noted.kid == kid)?;
        Some(Arc::clone(&found.key))
    }

    /// All keys, the newest first.
    pub fn list(&self, now: Seconds) -> Vec<KeyInfo> {
        let entries = self.entries.read().unwrap_or_else(PoisonError::into_inner);
        let current = signer(&entries, now).map(|entry| entry.noted.kid.clone());
        let info = |entry: &Entry| KeyInfo {
            kid: entry.noted.kid.clone(),
            algorithm: entry.noted.algorithm,
            step: match () {
                () if current.as_ref() == Some(&entry.noted.kid) => Step::Current,
                () if entry.noted.signs_from > now => Step::Next,
                () => Step::Old,
            },
            created: entry.noted.created,
            signs_from: entry.noted.signs_from,
            dies: entry.noted.dies,
        };
        entries.iter().rev().map(info).collect()
    }

    /// The public keys.
    pub fn jwks(&self, now: Seconds) -> Jwks {
        let entries = self.entries.read().unwrap_or_else(PoisonError::into_inner);
        let alive = |entry: &&Entry| entry.noted.dies.is_none_or(|dies| dies > now);
        let keys: Vec<_> = entries.iter().filter(alive).map(|entry| entry.key.jwk().clone()).collect();
        let body = serde_json::json!({ "keys": keys }).to_string();
        let hash = sha256(&[body.as_bytes()]);
        let etag = format!("\"{}\"", crate::random::base64url(hash.get(..12).unwrap_or_default()));
        // Half of what a key is published ahead: who keeps the set as long as he may has the next one in time.
        let cache_control = format!("public, max-age={}", self.config.ahead.max(0) / 2);
        Jwks { body, etag, cache_control }
    }

    /// How the keys come and go.
    pub fn config(&self) -> &RingConfig {
        &self.config
    }

    fn kids(&self) -> Vec<String> {
        let entries = self.entries.read().unwrap_or_else(PoisonError::into_inner);
        entries.iter().map(|entry| entry.noted.kid.clone()).collect()
    }

    /// Adds a key that signs from a time on, and has the one before it end.
    fn add(
        &self,
        locked: &Locked,
        mut entries: Vec<Entry>,
        now: Seconds,
        signs_from: Seconds,
    ) -> Result<String, KeyError> {
        let (key, der) = SigningKey::generate(self.config.algorithm)?;
        let kid = key.kid().to_string();
        let algorithm = self.config.algorithm;
        let noted_new = Noted { kid: kid.clone(), algorithm, created: now, signs_from, dies: None };
        entries.push(Entry { key: Arc::new(key), noted: noted_new });
        self.settle(&mut entries);
        // The key before the ring that names it: a crash in between leaves a file that nobody reads.
        locked.save_key(&kid, &der)?;
        locked.save(&noted(&entries))?;
        self.keep(entries);
        Ok(kid)
    }

    /// Each signs until the one after it does, and goes when the last of its tokens has expired.
    fn settle(&self, entries: &mut [Entry]) {
        entries.sort_by_key(|entry| entry.noted.signs_from);
        let mut next = None;
        for entry in entries.iter_mut().rev() {
            entry.noted.dies = next.map(|from: Seconds| from.saturating_add(self.config.tokens));
            next = Some(entry.noted.signs_from);
        }
    }

    fn load(&self, locked: &Locked) -> Result<Vec<Entry>, KeyError> {
        let known = self.entries.read().unwrap_or_else(PoisonError::into_inner).clone();
        let mut entries = Vec::new();
        for noted in locked.load()? {
            let key = match known.iter().find(|entry| entry.noted.kid == noted.kid) {
                Some(entry) => Arc::clone(&entry.key),
                None => Arc::new(locked.load_key(&noted)?),
            };
            entries.push(Entry { key, noted });
        }
        Ok(entries)
    }

    fn keep(&self, entries: Vec<Entry>) {
        *self.entries.write().unwrap_or_else(PoisonError::into_inner) = entries;
    }
}

fn signer(entries: &[Entry], now: Seconds) -> Option<&Entry> {
    let may =
        |entry: &&Entry| entry.noted.signs_from <= now && entry.noted.dies.is_none_or(|dies| dies > now);
    // Of two that began together the later made.
    entries.iter().filter(may).max_by_key(|entry| entry.noted.signs_from)
}

fn noted(entries: &[Entry]) -> Vec<Noted> {
    entries.iter().map(|entry| entry.noted.clone()).collect()
}
