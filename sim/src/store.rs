//! Stand-ins for what a host asks on the engine's behalf: a store for bindings, and a directory of foreign accounts.
//! Each is slow, fails or stays silent when told to.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use strowger_core::config::HashedCredential;
use strowger_core::door::{Change, CredentialsAnswer, CredentialsQuery, SaveSeq, StoredBinding, Transmit};

/// When a 2xx may leave.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Durability {
    /// At once; the store follows.
    Behind,
    /// When its change is committed.
    Strict,
}

/// What is kept.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Keeps {
    /// Bindings alone: presence begins anew with each life.
    Bindings,
    /// Publications, subscriptions and decisions, too.
    All,
}

/// What a store holds of presence: records as bytes, by what names them.
#[derive(Clone, Debug, Default)]
pub struct Shelf {
    /// Publications by presentity and lineage.
    pub publications: BTreeMap<(Box<str>, u64), Vec<u8>>,
    /// Subscriptions by their numbers.
    pub subscriptions: BTreeMap<u64, Vec<u8>>,
    /// Decisions by presentity and watcher.
    pub decisions: BTreeMap<(Box<str>, Box<str>), Vec<u8>>,
    /// Kept messages by their numbers.
    pub messages: BTreeMap<u64, Vec<u8>>,
}

impl Shelf {
    fn apply(&mut self, change: &Change) {
        let record = change.to_record();
        match change {
            Change::PutPublication(stored) => {
                self.publications.insert((stored.aor.clone(), stored.lineage), record);
            }
            Change::RemovePublication { aor, lineage } => {
                self.publications.remove(&(aor.clone(), *lineage));
            }
            Change::PutSubscription(stored) => {
                self.subscriptions.insert(stored.id, record);
            }
            Change::RemoveSubscription { id } => {
                self.subscriptions.remove(id);
            }
            Change::PutDecision { aor, watcher, .. } => {
                self.decisions.insert((aor.clone(), watcher.clone()), record);
            }
            Change::PutMessage(stored) => {
                self.messages.insert(stored.id, record);
            }
            Change::RemoveMessage { id } => {
                self.messages.remove(id);
            }
            Change::PutBinding(_) | Change::RefreshBinding { .. } | Change::RemoveBinding { .. } => {}
        }
    }

    /// Everything, as it was written.
    pub fn records(&self) -> Vec<Change> {
        let all = self.publications.values().chain(self.subscriptions.values());
        let all = all.chain(self.decisions.values()).chain(self.messages.values());
        all.map(|record| Change::from_record(record).expect("it was written by the engine")).collect()
    }
}

/// A store that outlives the engine.
#[derive(Clone, Debug)]
pub struct Store {
    /// What is committed.
    pub bindings: BTreeMap<(Box<str>, u64), StoredBinding>,
    /// The same of publications, subscriptions and decisions, if they are kept.
    pub presence: Shelf,
    /// What is kept.
    pub keeps: Keeps,
    /// How long a commit takes.
    pub delay: Duration,
    /// So many of the next commits fail.
    pub failures: u32,
    /// How many changes were committed.
    pub commits: u64,
    /// When a 2xx may leave.
    pub durability: Durability,
    waiting: VecDeque<(SaveSeq, Change)>,
    held: Vec<Transmit>,
    committed: u64,
}

impl Store {
    /// An empty store that commits at once.
    pub fn new() -> Store {
        Store {
            bindings: BTreeMap::new(),
            presence: Shelf::default(),
            keeps: Keeps::Bindings,
            delay: Duration::from_millis(1),
            failures: 0,
            commits: 0,
            durability: Durability::Behind,
            waiting: VecDeque::new(),
            held: Vec::new(),
            committed: 0,
        }
    }

    /// Takes a change to be committed.
    pub fn save(&mut self, seq: SaveSeq, change: Change) {
        self.waiting.push_back((seq, change));
    }

    /// Commits one change, or fails to; the response that waited for it comes back if it may leave.
    pub fn commit(&mut self, seq: SaveSeq) -> (bool, Vec<Transmit>) {
        let Some(at) = self.waiting.iter().position(|(s, _)| *s == seq) else { return (true, Vec::new()) };
        let change = self.waiting.remove(at).map(|(_, c)| c);
        if self.failures > 0 {
            self.failures -= 1;
            self.held.retain(|t| t.after != Some(seq));
            // A later change of the same thing stands, and may have said only what is new.
            if let Some(mut failed) = change
                && let Some((_, later)) =
                    self.waiting.iter_mut().find(|(_, later)| later.subject() == failed.subject())
            {
                failed.absorb(later.clone());
                *later = failed;
            }
            return (false, Vec::new());
        }
        self.commits += 1;
        self.committed = self.committed.max(seq.0);
        if let Some(change) = change {
            if self.keeps == Keeps::All {
                self.presence.apply(&change);
            }
            apply(&mut self.bindings, change);
        }
        let free = |t: &Transmit| t.after.is_none_or(|s| s.0 <= seq.0);
        let (leave, stay) = std::mem::take(&mut self.held).into_iter().partition(free);
        self.held = stay;
        (true, leave)
    }

    /// Gives a message back if it may leave now; keeps it until its change is committed otherwise.
    pub fn gate(&mut self, transmit: Transmit) -> Option<Transmit> {
        let waits =
            self.durability == Durability::Strict && transmit.after.is_some_and(|s| s.0 > self.committed);
        if waits {
            self.held.push(transmit);
            return None;
        }
        Some(transmit)
    }

    /// The server died: what was not committed is lost.
    pub fn crash(&mut self) {
        self.waiting.clear();
        self.held.clear();
        self.committed = 0;
    }
}

impl Default for Store {
    fn default() -> Store {
        Store::new()
    }
}

/// Applies a change to a copy of the bindings.
pub fn apply(bindings: &mut BTreeMap<(Box<str>, u64), StoredBinding>, change: Change) {
    match change {
        Change::PutBinding(stored) => {
            bindings.insert((stored.aor().into(), stored.id()), stored);
        }
        Change::RemoveBinding { aor, id } => {
            bindings.remove(&(aor, id));
        }
        Change::RefreshBinding { id, .. } => {
            if let Some(stored) = bindings.values_mut().find(|stored| stored.id() == id) {
                let mut put = Change::PutBinding(stored.clone());
                put.absorb(change);
                if let Change::PutBinding(put) = put {
                    *stored = put;
                }
            }
        }
        _ => {}
    }
}

/// Accounts the engine does not hold itself.
#[derive(Clone, Debug, Default)]
pub struct Directory {
    /// Password and AoRs by username.
    pub users: BTreeMap<String, (String, Vec<String>)>,
    /// How long an answer takes.
    pub delay: Duration,
    /// Answers that it cannot be asked.
    pub broken: bool,
    /// Never answers.
    pub silent: bool,
    /// How often it was asked.
    pub asked: u64,
}

impl Directory {
    /// The answer to a query; none if it is silent.
    pub fn answer(&mut self, query: &CredentialsQuery) -> Option<CredentialsAnswer> {
        self.asked += 1;
        if self.silent {
            return None;
        }
        if self.broken {
            return Some(CredentialsAnswer::Unavailable);
        }
        let Some((password, aors)) = self.users.get(&*query.username) else {
            return Some(CredentialsAnswer::Unknown);
        };
        Some(CredentialsAnswer::Known {
            credential: HashedCredential::of(query.algorithm, &query.username, &query.realm, password),
            aors: aors.iter().map(|a| a.as_str().into()).collect(),
        })
    }
}
