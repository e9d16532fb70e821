//! Soft state of presence as a store keeps it: publications and subscriptions of an earlier life.
//!
//! Times are those of the wall clock. Nothing here is a secret, but the documents are private.

use core::net::SocketAddr;

use super::Transport;
use crate::base::Time;

/// A publication (RFC 3903).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct StoredPublication {
    /// The presentity: a canonical address of record.
    pub aor: Box<str>,
    /// Names the publication over all its entity tags.
    pub lineage: u64,
    /// Its newest entity tag: the phone may refresh by it in the next life.
    pub etag: u64,
    /// When its body came.
    pub received: Time,
    /// When it ends.
    pub expires_at: Time,
    /// Where the phone is; `None` if the host published it.
    pub source: Option<SocketAddr>,
    /// What it lives with.
    pub tie: StoredTie,
    /// The document.
    pub document: Box<str>,
}

/// What a publication lives with.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum StoredTie {
    /// Nothing: it lives as long as it is refreshed.
    Free,
    /// The binding of that number.
    Binding(u64),
    /// All bindings of its presentity.
    Any,
}

/// A subscription (RFC 6665) with its dialog.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct StoredSubscription {
    /// Names it in the store; never used again.
    pub id: u64,
    /// The event package.
    pub package: Box<str>,
    /// Value of Event in its NOTIFY requests.
    pub event: Box<[u8]>,
    /// What is watched: a canonical address of record.
    pub aor: Box<str>,
    /// Who watches: a canonical address of record, or empty.
    pub watcher: Box<str>,
    /// Nobody asked the watcher to prove who he is.
    pub trusted: bool,
    /// What the watcher may be told.
    pub standing: StoredStanding,
    /// In which form it is told.
    pub form: StoredForm,
    /// Since when.
    pub since: Time,
    /// When it ends.
    pub expires_at: Time,
    /// No document with this number or a higher one was sent.
    pub version: u32,
    /// Its dialog.
    pub dialog: StoredDialog,
}

/// An instant message that waits for a phone of its recipient (RFC 3428). What it says is private.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct StoredMessage {
    /// Names it in the store; never used again.
    pub id: u64,
    /// For whom it is: a canonical address of record.
    pub aor: Box<str>,
    /// When it came.
    pub received: Time,
    /// When it is given up.
    pub expires_at: Time,
    /// From and To, without tags.
    pub parties: [Box<[u8]>; 2],
    /// Header lines that go with it.
    pub lines: Box<[u8]>,
    /// What it says.
    pub body: Box<[u8]>,
    /// Hops it may still take.
    pub max_forwards: u8,
}

/// In which form a watcher is told.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum StoredForm {
    /// The whole document each time.
    Whole,
    /// The whole document, then what has changed (RFC 5263).
    Changes,
    /// Several documents in one body (RFC 4662).
    List,
}

/// What a watcher may be told.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum StoredStanding {
    /// The state itself.
    Active,
    /// Nothing until it is decided.
    Pending,
    /// Always that nothing is known.
    Blocked,
}

/// A dialog that a peer made (RFC 3261 s12), byte for byte.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct StoredDialog {
    /// Call-ID.
    pub call_id: Box<[u8]>,
    /// Our tag and theirs.
    pub tags: [Box<[u8]>; 2],
    /// Our URI and theirs.
    pub uris: [Box<[u8]>; 2],
    /// Their Contact.
    pub target: Box<[u8]>,
    /// The instance of their phone (RFC 5626), or empty.
    pub instance: Box<[u8]>,
    /// The route set, joined by commas.
    pub routes: Box<[u8]>,
    /// No request with a higher number was sent.
    pub cseq: u32,
    /// Number of their last request.
    pub their_cseq: u32,
    /// How their last request came.
    pub transport: Transport,
    /// Where it came from.
    pub remote: SocketAddr,
    /// Our address it came to.
    pub local: SocketAddr,
    /// Who they proved to be by a certificate, if they did.
    pub peer: Option<StoredPeer>,
}

/// Who the other side of a dialog proved to be: nobody else may speak for it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct StoredPeer {
    /// The names of the certificate.
    pub names: Vec<Box<str>>,
    /// On a connection that they opened; else as a server that we called.
    pub client: bool,
}
