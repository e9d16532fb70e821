//! What a host may ask of the engine as a client: to watch and to publish elsewhere.

use core::net::SocketAddr;

use thiserror::Error;

use super::{FlowId, Secret};
use crate::base::Time;

/// On whose behalf the engine asks.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct AgentAccount {
    /// URI of From.
    pub uri: Box<str>,
    /// For Digest.
    pub username: Box<str>,
    /// For Digest.
    pub password: Secret<Box<str>>,
    /// For Bearer, said without being asked for.
    pub token: Option<AgentToken>,
}

/// A token of a user agent (RFC 8898).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct AgentToken {
    /// What stands behind `Bearer`.
    pub token: Secret<Box<str>>,
    /// It may be said over what is not TLS: for tests, and for networks that are one's own.
    pub in_clear: bool,
}

/// Where requests go: a socket that is up, and an address behind it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct AgentHop {
    /// Over which socket.
    pub flow: FlowId,
    /// To whom; ignored on a stream.
    pub remote: SocketAddr,
    /// From which of our addresses.
    pub local: SocketAddr,
}

/// What to watch or to publish for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct AgentWish {
    /// A number the host chose: events name it, and a second wish of that number takes the place of the first.
    pub id: u64,
    /// Who asks.
    pub account: AgentAccount,
    /// Where.
    pub hop: AgentHop,
    /// Whom: Request-URI and To.
    pub uri: Box<str>,
    /// The event package.
    pub event: Box<str>,
    /// For how many seconds at a time; it is refreshed until the host ends it.
    pub expires: u32,
}

/// A NOTIFY outside a subscription, to every phone of a user.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Notice {
    /// Event: `check-sync;reboot=false`, `message-summary`.
    pub event: Box<str>,
    /// Content-Type; nothing is looked at without a body.
    pub kind: Box<str>,
    /// The body; may be empty.
    pub body: Box<[u8]>,
}

impl Notice {
    /// Without a body.
    pub fn new(event: impl Into<Box<str>>) -> Notice {
        Notice { event: event.into(), kind: Box::default(), body: Box::default() }
    }

    /// With a body.
    pub fn with(event: impl Into<Box<str>>, kind: impl Into<Box<str>>, body: impl Into<Box<[u8]>>) -> Notice {
        Notice { event: event.into(), kind: kind.into(), body: body.into() }
    }
}

/// What one phone said to a [`Notice`].
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DeviceTold {
    /// Its Contact URI.
    pub contact: Box<str>,
    /// Where it was sent.
    pub remote: SocketAddr,
    /// The final response: 408 if none came, or it could not be sent; 503 if there was no room to send it.
    pub status: u16,
}

/// Why a [`Notice`] was not sent.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
#[non_exhaustive]
pub enum NoticeRefusal {
    /// It is for nobody of a configured domain.
    #[error("not an address of record of a configured domain")]
    NotOurs,
    /// What was given for Event is no value of that header.
    #[error("not a value of Event")]
    BadEvent,
    /// What was given for Content-Type is no value of that header.
    #[error("not a value of Content-Type")]
    BadContentType,
    /// The body is larger than a message may be.
    #[error("the body is too large")]
    TooLarge,
    /// Too many are on their way.
    #[error("too many are on their way")]
    Full,
}

/// Something the engine did as a client.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct AgentEvent {
    /// The number of the wish.
    pub id: u64,
    /// What happened.
    pub step: AgentStep,
}

/// What happened to a wish.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum AgentStep {
    /// The first request was granted, for so many seconds; refreshes are not told.
    Granted {
        /// Seconds.
        expires: u32,
    },
    /// A NOTIFY came.
    Notified {
        /// False while somebody has yet to decide whether we may watch.
        active: bool,
        /// Content-Type; empty without a body.
        kind: Box<str>,
        /// The body as it came.
        body: Box<[u8]>,
    },
    /// It is over for now, and tried again then.
    Interrupted {
        /// The notifier's reason, or the status of an answer.
        reason: Box<str>,
        /// When.
        again: Time,
    },
    /// It is over for good.
    Ended {
        /// The notifier's reason, or the status of an answer; empty if the host ended it.
        reason: Box<str>,
    },
}
