//! User agents of the host: accounts at servers elsewhere, for which the engine registers, publishes, watches, writes
//! and calls. What a host asks of them, what they tell, and what they are at a moment.

use core::net::SocketAddr;

use thiserror::Error;

use super::{AgentToken, PresenceState, Secret, UaCallRequest, UaCallStep, UaCallView};
use crate::base::Time;

/// A user agent: who it is, and where it is at home.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct UaAccount {
    /// Its address of record, a SIP URI: From of what it sends, To of its REGISTER.
    pub aor: Box<str>,
    /// The display name of From; empty for none.
    pub display: Box<str>,
    /// For Digest; empty is the user of the address of record.
    pub username: Box<str>,
    /// For Digest.
    pub password: Option<Secret<Box<str>>>,
    /// For Bearer (RFC 8898), said without being asked for.
    pub token: Option<AgentToken>,
    /// Where requests go: SIP URIs, each found by RFC 3263. Empty is the domain of the address of record. It registers at
    /// each of them: with an [`instance`](UaAccount::instance), more than one is an outbound proxy set (RFC 5626 s4.2).
    pub servers: Vec<Box<str>>,
    /// The URN of the device (RFC 5626 s4.1), the same over restarts; empty asks for neither outbound nor a GRUU.
    pub instance: Box<str>,
    /// For how many seconds at a time it is registered.
    pub expires: u32,
    /// What becomes of an offer that changes a call.
    pub changes: Changes,
    /// Requests to the user of its address of record are taken too, from anywhere: to be called without a server between.
    /// Else only those to its Contact are, which nobody knows but its servers and whom it calls.
    pub direct: bool,
}

impl UaAccount {
    /// With this address of record, at its domain, for an hour at a time, without credentials.
    pub fn new(aor: impl Into<Box<str>>) -> UaAccount {
        UaAccount {
            aor: aor.into(),
            display: Box::default(),
            username: Box::default(),
            password: None,
            token: None,
            servers: Vec::new(),
            instance: Box::default(),
            expires: 3600,
            changes: Changes::default(),
            direct: false,
        }
    }
}

/// Who answers when the other side changes a call by re-INVITE or UPDATE.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Changes {
    /// The engine, by the last session description of the host: directions follow the offer, all else stays (RFC 3264
    /// s6.1).
    #[default]
    Repeat,
    /// The host, by [`UaCallRequest::Answer`]. It has until the transaction of the other side gives up.
    Ask,
}

/// What a host asks of a user agent.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum UaRequest {
    /// Be there: all else is asked of one that is.
    Open(Box<UaAccount>),
    /// Use this token from now on.
    Renew(Option<AgentToken>),
    /// Be registered, until [`Unregister`](UaRequest::Unregister).
    Register,
    /// Be registered no more.
    Unregister,
    /// Publish for the address of record (RFC 3903), until [`Unpublish`](UaRequest::Unpublish); of the same package again it
    /// modifies.
    Publish {
        /// The event package.
        event: Box<str>,
        /// Content-Type.
        kind: Box<str>,
        /// The body.
        document: Box<[u8]>,
        /// For how many seconds at a time.
        expires: u32,
    },
    /// Publish in this package no more.
    Unpublish {
        /// The event package.
        event: Box<str>,
    },
    /// Watch somebody (RFC 6665), until [`Unsubscribe`](UaRequest::Unsubscribe). The reply has a number for it.
    Subscribe {
        /// Whom: a SIP URI.
        target: Box<str>,
        /// The event package.
        event: Box<str>,
        /// For how many seconds at a time.
        expires: u32,
    },
    /// Watch no more.
    Unsubscribe {
        /// Its number.
        id: u64,
    },
    /// Send a message (RFC 3428). The reply has a number for it. Of several to the same address one is on its way at a time
    /// (s8).
    Message {
        /// To whom: a SIP URI.
        to: Box<str>,
        /// Content-Type.
        kind: Box<str>,
        /// The body.
        body: Box<[u8]>,
    },
    /// Something of a call, or a call.
    Call(UaCallRequest),
    /// What this one is now.
    View,
    /// Take back what was registered and published, end what is watched and all calls, and be no more.
    Close,
}

/// Why nothing was done for a user agent.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
#[non_exhaustive]
pub enum UaRefusal {
    /// There is none of that number.
    #[error("there is no such user agent")]
    Unknown,
    /// There is one of that number.
    #[error("there is one of that number")]
    Taken,
    /// It has no call, subscription or publication of that name.
    #[error("there is no such call, subscription or publication")]
    NoSuch,
    /// The call is not in a state for it.
    #[error("the call is not in a state for it")]
    NotNow,
    /// What was given for an address is no SIP URI, or its address of record has no user.
    #[error("not a SIP URI")]
    BadUri,
    /// What was given for Event or Content-Type is no value of that header, or a status is none.
    #[error("not a value of that header")]
    BadValue,
    /// What is to be sent is larger than a message may be.
    #[error("too large")]
    TooLarge,
    /// There are too many of them.
    #[error("too many")]
    Full,
}

/// Something a user agent did, or was done to it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct UaEvent {
    /// The number the host gave it.
    pub ua: u64,
    /// What happened.
    pub step: UaStep,
}

/// What happened to a user agent.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum UaStep {
    /// The state of a registration changed.
    Registration {
        /// Which: its place among the servers, from 1. It is the `reg-id` (RFC 5626 s4.2).
        server: u16,
        /// What it is now.
        state: UaRegistration,
    },
    /// The state of a publication changed.
    Publication {
        /// The event package.
        event: Box<str>,
        /// What it is now.
        state: UaState,
    },
    /// The state of a subscription changed.
    Subscription {
        /// Its number.
        id: u64,
        /// Whom it watches.
        target: Box<str>,
        /// What it is now.
        state: UaState,
    },
    /// Somebody who is watched is this now.
    Presence {
        /// The number of the subscription.
        id: u64,
        /// Who.
        presence: Box<UaPresence>,
    },
    /// A NOTIFY came, of another package, or one that is not understood.
    Notified {
        /// The number of the subscription.
        id: u64,
        /// False while somebody has yet to decide whether we may watch.
        active: bool,
        /// Content-Type.
        kind: Box<str>,
        /// The body as it came.
        body: Box<[u8]>,
    },
    /// A message was answered, or will not be.
    Sent {
        /// Its number.
        id: u64,
        /// The final response: 200 is with the other side, 202 is kept for it, 408 is no answer, 503 no way there.
        status: u16,
    },
    /// A message came.
    Message {
        /// From whom: the URI.
        from: Box<str>,
        /// The display name; empty for none.
        display: Box<str>,
        /// Content-Type.
        kind: Box<str>,
        /// The body as it came.
        body: Box<[u8]>,
    },
    /// Something happened to a call.
    Call {
        /// Its number.
        call: u64,
        /// What.
        step: UaCallStep,
    },
    /// It is no more: everything it had is taken back.
    Closed,
}

/// What a registration is.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum UaRegistration {
    /// Nobody wants it.
    Unregistered,
    /// The first REGISTER is on its way, or where it goes is being found out.
    Registering,
    /// It is there.
    Registered {
        /// When it ends, unless it is refreshed before.
        until: Time,
    },
    /// It is there, and is being refreshed.
    Refreshing,
    /// It is being taken back.
    Unregistering,
    /// It did not work, and is tried again.
    Waiting {
        /// The final response: 408 is no answer, 503 may be no way there.
        status: u16,
        /// When.
        again: Time,
    },
    /// It was refused, and is tried again when the host says so.
    Failed {
        /// The final response.
        status: u16,
    },
}

/// What a publication or a subscription is.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum UaState {
    /// Asked for the first time.
    Asking,
    /// Granted.
    Active {
        /// For how many seconds at a time.
        expires: u32,
    },
    /// Over for now, and tried again.
    Waiting {
        /// The other side's reason, or the status of an answer.
        reason: Box<str>,
        /// When.
        again: Time,
    },
    /// Over for good.
    Ended {
        /// The other side's reason, or the status of an answer; empty if the host ended it.
        reason: Box<str>,
    },
}

/// Somebody who is watched.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct UaPresence {
    /// Who it is about, as the document says.
    pub entity: Box<str>,
    /// All in all.
    pub state: PresenceState,
    /// What they say about it.
    pub note: Option<Box<str>>,
    /// False while somebody has yet to decide whether we may watch: then it says little.
    pub active: bool,
    /// The document as it came (RFC 3863).
    pub document: Box<[u8]>,
}

/// A user agent at one moment.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct UaView {
    /// Its address of record.
    pub aor: Box<str>,
    /// Its registrations, in the order of its servers.
    pub registrations: Vec<UaRegistrationView>,
    /// Its publications: the event package, and what it is.
    pub publications: Vec<(Box<str>, UaState)>,
    /// Its subscriptions in the order of their numbers: the number, whom, and what it is.
    pub subscriptions: Vec<(u64, Box<str>, UaState)>,
    /// Messages that were not answered yet.
    pub messages: usize,
    /// Its calls, in the order of their numbers.
    pub calls: Vec<UaCallView>,
}

impl UaView {
    /// Registered at one of its servers.
    pub fn is_registered(&self) -> bool {
        let stands = |state: &UaRegistration| {
            matches!(state, UaRegistration::Registered { .. } | UaRegistration::Refreshing)
        };
        self.registrations.iter().any(|registration| stands(&registration.state))
    }
}

/// One registration at one moment.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct UaRegistrationView {
    /// The server, as the account names it.
    pub server: Box<str>,
    /// Where it was found; `None` if it was not.
    pub remote: Option<SocketAddr>,
    /// What the registration is.
    pub state: UaRegistration,
    /// The GRUU that was received (RFC 5627); empty for none.
    pub gruu: Box<str>,
    /// The Service-Route that was received (RFC 3608); empty for none.
    pub service_route: Box<str>,
    /// How often in a row it did not work.
    pub failures: u32,
}
