//! Local accounts: who may log in by Digest, and which addresses of record each one owns.
//!
//! Accounts live in the engine whole (they are pushed, not cached), so that a known and an unknown user take the same
//! path (DECISIONS 4).

use core::fmt;
use std::sync::Arc;

use hashbrown::HashTable;

use super::{ForwardConfig, Voicemail};
use crate::base::hash::{self, DigestAlgorithm, FirstBlock};
use crate::base::text;
use crate::door::{Identity, Secret};

/// `HA1 = H(username ":" realm ":" password)` for one algorithm. As good as the password: kept secret.
#[derive(Clone, PartialEq, Eq)]
pub struct HashedCredential {
    /// Which hash.
    pub algorithm: DigestAlgorithm,
    hash: [u8; 32],
    // Behind HA1 in hexadecimal, with which each response begins and which is one block of SHA-256.
    start: Option<FirstBlock>,
}

impl HashedCredential {
    /// Hashes a password.
    pub fn of(algorithm: DigestAlgorithm, username: &str, realm: &str, password: &str) -> HashedCredential {
        let parts: [&[u8]; 5] = [username.as_bytes(), b":", realm.as_bytes(), b":", password.as_bytes()];
        HashedCredential::new(algorithm, hash::digest(algorithm, &parts))
    }

    /// From the hexadecimal HA1 that other servers store; `None` unless it has exactly the right length.
    pub fn from_hex(algorithm: DigestAlgorithm, hex: &str) -> Option<HashedCredential> {
        let mut hash = [0; 32];
        let out = hash.get_mut(..algorithm.len())?;
        text::unhex(hex.as_bytes(), out).then(|| HashedCredential::new(algorithm, hash))
    }

    fn new(algorithm: DigestAlgorithm, hash: [u8; 32]) -> HashedCredential {
        let start = (algorithm == DigestAlgorithm::Sha256).then(|| {
            let mut hex = [0; 64];
            text::hex_into(&hash, &mut hex);
            FirstBlock::new(&hex)
        });
        HashedCredential { algorithm, hash, start }
    }

    /// SHA-256 behind the hexadecimal HA1; `None` with the other algorithms, of which it is not a whole block.
    pub fn start(&self) -> Option<&FirstBlock> {
        self.start.as_ref()
    }

    /// The raw hash: 16 bytes for MD5, 32 else.
    pub fn bytes(&self) -> &[u8] {
        &self.hash[..self.algorithm.len()]
    }
}

impl fmt::Debug for HashedCredential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "HashedCredential({}, <secret>)", self.algorithm.token())
    }
}

/// An account as a host writes it.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct AccountConfig {
    /// Digest username; also the user part of the default AoR.
    pub username: String,
    /// One of the configured domains; empty means the first.
    pub domain: String,
    /// The password; hashed at validation and not kept.
    pub password: Option<Secret<String>>,
    /// HA1 in hexadecimal per algorithm, instead of or beside the password.
    pub ha1: Vec<(DigestAlgorithm, Secret<String>)>,
    /// Addresses of record the account owns, as URIs or `user@domain`; empty means `username@domain`.
    pub aors: Vec<String>,
    /// Algorithms offered to and accepted from this account; empty means those of the Digest settings and of
    /// the listeners.
    pub algorithms: Vec<DigestAlgorithm>,
    /// May register a Contact that is reached at another place than it registered from (DECISIONS 8).
    pub foreign_contacts: bool,
    /// Groups it is in, for lists of accounts ([`ListMembers::Group`](super::ListMembers::Group)).
    pub groups: Vec<String>,
    /// It stands in no list that is made of accounts.
    pub unlisted: bool,
    /// Where its calls go instead of its phones.
    pub forward: ForwardConfig,
    /// Where calls go that it does not take.
    pub voicemail: Voicemail,
    /// Groups whose members pick up each other's calls while they ring (RFC 3891), and so are told everything of each
    /// other's calls by the package `dialog`. None by default.
    pub pickup: Vec<String>,
    /// It may call and message any domain, through us. A Route of its requests that leads on to others is let pass, and not
    /// followed.
    pub may_relay: bool,
    /// What it may call outside; `None` as [`CallsConfig::dial`](super::CallsConfig::dial) says.
    pub dial: Option<Vec<String>>,
    /// It needs no password: its user comes with tokens.
    pub without_password: bool,
    /// A disabled account is treated as if it did not exist.
    pub disabled: bool,
}

/// An account as the engine keeps it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Account {
    /// Who a request with these credentials is from: the Digest username and the AoRs, canonical. Shared, so that
    /// letting a request in copies nothing.
    pub identity: Arc<Identity>,
    /// One HA1 per algorithm it may use.
    pub credentials: Vec<HashedCredential>,
    /// Where its calls go instead of its phones; each a URI.
    pub forward: ForwardConfig,
    /// Where calls go that it does not take.
    pub voicemail: Voicemail,
    /// Groups whose members pick up each other's calls.
    pub pickup: Vec<String>,
    /// It may call and message any domain.
    pub may_relay: bool,
    /// What it may call outside; `None` as [`CallsConfig::dial`](super::CallsConfig::dial) says.
    pub dial: Option<Vec<String>>,
}

impl Account {
    /// The HA1 for an algorithm, if the account may use it.
    pub fn credential(&self, algorithm: DigestAlgorithm) -> Option<&HashedCredential> {
        self.credentials.iter().find(|c| c.algorithm == algorithm)
    }
}

/// All local accounts, found by username or by AoR.
///
/// The tables are built once and only looked up; their keys are chosen by the operator, so a fixed hash is enough.
#[derive(Clone, Debug, Default)]
pub struct Accounts {
    all: Vec<Account>,
    by_name: HashTable<u32>,
    by_userhash: HashTable<(u32, DigestAlgorithm)>,
    by_aor: HashTable<(u32, u32)>,
    userhashes: Vec<[[u8; 32]; 3]>,
}

fn plain_hash(bytes: &[u8]) -> u64 {
    use core::hash::Hasher;
    let mut h = siphasher::sip::SipHasher13::new();
    h.write(bytes);
    h.finish()
}

impl Accounts {
    /// Builds the tables. `realm` is needed for `userhash` (RFC 7616 s3.4.4). Of two accounts with one username, or
    /// one AoR, the first wins; [`Config::validate`](super::Config::validate) refuses such a configuration.
    pub fn new(all: Vec<Account>, realm: &str) -> Accounts {
        let mut accounts = Accounts { all, ..Accounts::default() };
        for (i, account) in accounts.all.iter().enumerate() {
            let i32 = i as u32;
            let all = &accounts.all;
            accounts.by_name.insert_unique(plain_hash(account.identity.account.as_bytes()), i32, |&j| {
                plain_hash(all[j as usize].identity.account.as_bytes())
            });
            let hashes = [DigestAlgorithm::Md5, DigestAlgorithm::Sha256, DigestAlgorithm::Sha512_256]
                .map(|a| hash::digest(a, &[account.identity.account.as_bytes(), b":", realm.as_bytes()]));
            accounts.userhashes.push(hashes);
            for (j, aor) in account.identity.aors.iter().enumerate() {
                accounts.by_aor.insert_unique(plain_hash(aor.as_bytes()), (i32, j as u32), |&(i, j)| {
                    plain_hash(all[i as usize].identity.aors[j as usize].as_bytes())
                });
            }
        }
        let hashes = &accounts.userhashes;
        for i in 0..hashes.len() {
            for a in [DigestAlgorithm::Md5, DigestAlgorithm::Sha256, DigestAlgorithm::Sha512_256] {
                accounts.by_userhash.insert_unique(
                    plain_hash(&hashes[i][a as usize]),
                    (i as u32, a),
                    |&(i, a)| plain_hash(&hashes[i as usize][a as usize]),
                );
            }
        }
        accounts
    }

    /// The account of a Digest username, compared byte for byte.
    pub fn by_username(&self, username: &[u8]) -> Option<&Account> {
        let found = self
            .by_name
            .find(plain_hash(username), |&i| self.all[i as usize].identity.account.as_bytes() == username)?;
        self.all.get(*found as usize)
    }

    /// The account of a `userhash` (raw bytes, 16 or 32) under an algorithm.
    pub fn by_userhash(&self, algorithm: DigestAlgorithm, userhash: &[u8]) -> Option<&Account> {
        let mut wanted = [0; 32];
        wanted.get_mut(..userhash.len())?.copy_from_slice(userhash);
        let found = self.by_userhash.find(plain_hash(&wanted), |&(i, a)| {
            a == algorithm && self.userhashes[i as usize][a as usize] == wanted
        })?;
        self.all.get(found.0 as usize)
    }

    /// The account that owns an AoR, canonical.
    pub fn by_aor(&self, aor: &str) -> Option<&Account> {
        let found = self.by_aor.find(plain_hash(aor.as_bytes()), |&(i, j)| {
            *self.all[i as usize].identity.aors[j as usize] == *aor
        })?;
        self.all.get(found.0 as usize)
    }

    /// Do these two users, by their AoRs, pick up each other's calls?
    pub fn pick_up_together(&self, one: &str, other: &str) -> bool {
        let groups = |aor: &str| self.by_aor(aor).map_or(&[][..], |account| &account.pickup);
        let others = groups(other);
        !others.is_empty() && groups(one).iter().any(|group| others.contains(group))
    }

    /// How many accounts there are.
    pub fn len(&self) -> usize {
        self.all.len()
    }

    /// True without any.
    pub fn is_empty(&self) -> bool {
        self.all.is_empty()
    }
}
