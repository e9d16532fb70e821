//! What leaves the engine.

use core::fmt;
use core::net::SocketAddr;

use bytes::Bytes;

use super::{BindingView, Change, Event, FlowId, Query, SaveSeq, Transport};
use crate::base::Time;

/// What the host must do, in this order. Exhaustive on purpose: a shell cannot forget one.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Command {
    /// Send these bytes.
    Transmit(Transmit),
    /// Open a connection and report `FlowUp` or `FlowDown` under this name.
    Open {
        /// The name it shall have.
        flow: FlowId,
        /// What to speak.
        transport: Transport,
        /// Where to.
        remote: SocketAddr,
        /// From which address; `None` lets the system choose.
        local: Option<SocketAddr>,
        /// The name the certificate must show, for TLS and WSS, and the host that is asked for, for WS and WSS.
        server_name: Option<Box<str>>,
    },
    /// Close a connection once what was queued before is written.
    Close {
        /// Which.
        flow: FlowId,
        /// Why.
        reason: CloseReason,
    },
    /// Send a keep-alive: CRLF CRLF on a stream (RFC 5626 s4.4.1), four zero bytes on UDP.
    Ping {
        /// Over which socket.
        flow: FlowId,
        /// To whom.
        remote: SocketAddr,
        /// From which of our addresses: a NAT forwards only what comes from where the phone sent to.
        local: SocketAddr,
    },
    /// Find something out and come back with [`Input::Answer`](super::Input::Answer).
    Ask(Query),
    /// Make a change durable.
    Save(SaveSeq, Change),
    /// The reply to a [`Request`](super::Request).
    Reply(Reply),
    /// Something happened that logs, metrics or hooks may want.
    Tell(Event),
}

/// One message to send.
#[derive(Clone, PartialEq, Eq)]
pub struct Transmit {
    /// Over which socket.
    pub flow: FlowId,
    /// To whom; ignored on a stream.
    pub remote: SocketAddr,
    /// From which of our addresses: the one the request was sent to.
    pub local: SocketAddr,
    /// When the input that caused it was handled, for latency.
    pub since: Time,
    /// Hold it until this change is durable (strict durability only).
    pub after: Option<SaveSeq>,
    /// The bytes.
    pub payload: Bytes,
}

impl fmt::Debug for Transmit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let first = self.payload.split(|&b| b == b'\r').next().unwrap_or_default();
        f.debug_struct("Transmit")
            .field("flow", &self.flow)
            .field("remote", &self.remote)
            .field("local", &self.local)
            .field("bytes", &self.payload.len())
            .field("first_line", &String::from_utf8_lossy(first))
            .finish_non_exhaustive()
    }
}

/// Why the engine closes a connection.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum CloseReason {
    /// It cannot be framed any further.
    BadFrame,
    /// It holds nothing and was silent for too long.
    Idle,
    /// A newer flow of the same instance took its place.
    Replaced,
    /// The engine is shutting down.
    Shutdown,
}

/// A reply to a request of the host.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Reply {
    /// The number given with the request.
    pub to: u64,
    /// What was found.
    pub body: ReplyBody,
}

/// The contents of a reply.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum ReplyBody {
    /// Bindings, best first within an AoR. Empty is not an error.
    Bindings(Vec<BindingView>),
    /// How many bindings were removed.
    Removed(usize),
    /// What a presentity is.
    Presence(Box<super::PresenceView>),
    /// A list as somebody sees it.
    BuddyList(Box<super::BuddyList>),
    /// What waits in a mailbox; `None` if nothing was said about it.
    MessageSummary(Option<Box<super::MessageSummary>>),
    /// Why there is nothing to say of a presentity or a mailbox, or nothing was done for it.
    NoPresence(super::PresenceRefusal),
    /// Subscriptions, in the order of their numbers. Empty is not an error.
    Subscriptions(Vec<super::SubscriptionView>),
    /// Live calls, in the order of their numbers. Empty is not an error.
    Calls(Vec<super::CallView>),
    /// The number of a call that the host began.
    Dialled(u64),
    /// Why nothing was done for a call.
    NoCall(super::CallRefusal),
    /// What the phones said to a notice, one by one; empty if there is none.
    Notified(Vec<super::DeviceTold>),
    /// Why a notice was not sent.
    NoNotice(super::NoticeRefusal),
    /// A number for what a user agent began: a subscription, a message, a call.
    Begun(u64),
    /// What a user agent is.
    Ua(Box<super::UaView>),
    /// Why nothing was done for a user agent.
    NoUa(super::UaRefusal),
    /// It was done.
    Done,
    /// It was not done: a limit is reached ([`Limits`](crate::config::Limits)).
    Full,
    /// The request could not be understood: what was wrong.
    Refused(&'static str),
}
