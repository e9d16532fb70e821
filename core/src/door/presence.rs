//! Presence as the host sees it.

use core::time::Duration;

use thiserror::Error;

pub use crate::documents::mwi::{Class as MessageClass, Counts as MessageCounts, Summary as MessageSummary};
pub use crate::documents::pidf::PresenceState;

/// What a presentity is now.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PresenceView {
    /// The address of record, canonical.
    pub aor: Box<str>,
    /// All in all.
    pub state: PresenceState,
    /// What it says about it.
    pub note: Option<Box<str>>,
    /// Each device or service.
    pub devices: Vec<PresenceDevice>,
    /// The document a watcher gets (RFC 3863).
    pub document: String,
}

/// One device or service of a presentity.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PresenceDevice {
    /// Its tuple.
    pub id: Box<str>,
    /// Where it is reached.
    pub contact: Option<Box<str>>,
    /// Whether it takes messages and calls; `None` if it does not say.
    pub open: Option<bool>,
    /// What it says about it.
    pub note: Option<Box<str>>,
    /// How it is known.
    pub source: PresenceSource,
}

/// How something about a presentity is known.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum PresenceSource {
    /// It was published.
    Published,
    /// It is registered.
    Registered,
    /// It is not known: nobody said anything.
    Nobody,
}

/// What a host says about a presentity.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct OwnPresence {
    /// What it is.
    pub state: PresenceState,
    /// What to say about it; empty for nothing.
    pub note: Box<str>,
    /// For how long; whole seconds count.
    pub lasts: Duration,
}

/// Why the engine has nothing to say about a presentity, or does not take what the host says.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
#[non_exhaustive]
pub enum PresenceRefusal {
    /// Presence is not configured.
    #[error("presence is switched off")]
    Off,
    /// Message summaries are not configured.
    #[error("message summaries are switched off")]
    MessagesOff,
    /// It is no address of record, or not of a domain that is served.
    #[error("not an address of record of a configured domain")]
    NotOurs,
    /// What is said is longer than a document may be
    /// ([`max_document_bytes`](crate::config::PresenceConfig::max_document_bytes)).
    #[error("longer than a presence document may be")]
    TooLong,
    /// There are as many publications, mailboxes, or decisions about watchers, as there may be
    /// ([`Limits`](crate::config::Limits)).
    #[error("there are as many of these as there may be")]
    Full,
}
