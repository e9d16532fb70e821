//! Presence as the host sees it.

use core::net::SocketAddr;
use core::time::Duration;

use thiserror::Error;

use crate::base::Time;
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
    /// Each device or service that is shown.
    pub devices: Vec<PresenceDevice>,
    /// All that it was composed of, in the order it came to be known: what says nothing of its own is here too.
    pub sources: Vec<PresenceOrigin>,
    /// Number of the last change of any presentity that can be seen here: a [`PresenceChange`] with a higher one is news.
    pub version: u64,
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

/// One of the things a presentity is composed of.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PresenceOrigin {
    /// How it is known.
    pub source: PresenceSource,
    /// Names it for as long as it lives, over all refreshes: of a publication over all its entity tags.
    pub lineage: u64,
    /// The entity tag a phone refreshes it by (RFC 3903 s4.1); `None` for what is no publication of a phone.
    pub etag: Option<Box<str>>,
    /// The URN of its device, if it names one (RFC 4479 s3.2, RFC 5626 s4.1); empty else.
    pub device: Box<str>,
    /// Where it came from on the network; `None` for the host.
    pub from: Option<SocketAddr>,
    /// Since when it says what it says.
    pub since: Time,
    /// When it ends unless it is refreshed.
    pub expires_at: Time,
    /// It is kept but says nothing: the phone that published it is not registered any more, or cannot be reached.
    pub hidden: bool,
}

/// What a presentity is, all in all, changed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PresenceChange {
    /// The address of record, canonical.
    pub aor: Box<str>,
    /// All in all.
    pub state: PresenceState,
    /// What it says about it.
    pub note: Option<Box<str>>,
    /// Rises with each change of any presentity, by one at least.
    pub version: u64,
    /// What changed it. Of several things in one step it is the last.
    pub cause: PresenceCause,
}

/// What changed a presentity.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum PresenceCause {
    /// A PUBLISH: made, modified or removed a publication.
    Published,
    /// A publication was not refreshed in time.
    PublicationEnded,
    /// A binding came, moved, went, or cannot be reached any more.
    Registration,
    /// The host published, or took it back.
    Host,
    /// A call was answered, or is over.
    Call,
}

/// A watcher began, was decided about, or ended.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SubscriptionEvent {
    /// The event package: `presence`, `presence.winfo`, `reg`, `dialog`.
    pub package: &'static str,
    /// What is watched: a canonical address of record.
    pub aor: Box<str>,
    /// Who watches: a canonical address of record; empty if that is not known.
    pub watcher: Box<str>,
    /// When it ends, or would have ended, unless it is refreshed.
    pub expires_at: Time,
    /// What happened.
    pub step: SubscriptionStep,
}

/// What happened to a subscription. A refresh is none of these, and neither is a fetch.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum SubscriptionStep {
    /// It began, and is told the state.
    Started,
    /// It began, and is told nothing until it is decided whether it may
    /// ([`Request::DecideWatcher`](super::Request::DecideWatcher)).
    Pending,
    /// It began, or it was decided: it is shown a presentity about which nothing is known.
    Blocked,
    /// It was decided that it may see the state.
    Allowed,
    /// Its time is over, or the watcher ended it.
    Ended,
    /// We ended it, and the watcher shall come back (DECISIONS 20).
    SentAway,
    /// The watcher refused a NOTIFY, or did not answer it.
    Lost,
}

/// A subscription to something of this server, of any event package.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SubscriptionView {
    /// Names it while it lives; lists are in the order of these.
    pub id: u64,
    /// The event package: `presence`, `presence.winfo`, `reg`, `dialog`, `message-summary`.
    pub package: &'static str,
    /// What is watched: a canonical address of record.
    pub aor: Box<str>,
    /// Who watches: a canonical address of record; empty if that is not known.
    pub watcher: Box<str>,
    /// What the watcher is told.
    pub state: SubscriptionState,
    /// When it began.
    pub since: Time,
    /// When it ends, unless it is refreshed.
    pub expires_at: Time,
}

/// What a watcher is told.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SubscriptionState {
    /// The state.
    Active,
    /// Nothing, until somebody decides (RFC 6665 s4.1.3).
    Pending,
    /// That nothing is known, whatever is.
    Blocked,
}

/// How something about a presentity is known.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum PresenceSource {
    /// A phone published it.
    Published,
    /// The host published it.
    Host,
    /// It is registered.
    Registered,
    /// It is not known: nobody said anything.
    Nobody,
}

/// A list of presentities as somebody sees it who may subscribe to it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct BuddyList {
    /// The address of the list, canonical.
    pub aor: Box<str>,
    /// What people call it; may be empty.
    pub name: Box<str>,
    /// Who stands in it, in its order.
    pub buddies: Vec<Buddy>,
    /// `multipart/related` with its parameters.
    pub content_type: String,
    /// What a fetch of the list is told (RFC 4662): a table of contents, and the document of each member.
    pub body: Vec<u8>,
}

/// A member of a list.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Buddy {
    /// The address of record, canonical.
    pub aor: Box<str>,
    /// All in all; `None` while it is not decided whether he may be seen. Somebody who may not be seen is offline.
    pub state: Option<PresenceState>,
    /// What it says about it.
    pub note: Option<Box<str>>,
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
    /// There is no such list, or none that he may subscribe to.
    #[error("not a list that may be subscribed to")]
    NoList,
    /// There are as many publications, mailboxes, or decisions about watchers, as there may be
    /// ([`Limits`](crate::config::Limits)).
    #[error("there are as many of these as there may be")]
    Full,
}
