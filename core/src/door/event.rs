//! What the engine tells: for logs, metrics, hooks and call records. Events inform; nothing depends on them.

use core::net::SocketAddr;
use std::sync::Arc;

use super::{
    AgentEvent, BindingView, FlowId, Identity, PresenceChange, Scheme, SubscriptionEvent, Transport,
};
use crate::base::Time;
use crate::stats::DropReason;

/// Something happened. Which kinds are told is chosen by [`Settings::tell`](crate::config::Settings::tell): an
/// event nobody wants is never built.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Event {
    /// A request got its final response.
    Outcome(Box<Outcome>),
    /// A binding changed.
    Binding(Box<BindingEvent>),
    /// Something from the network was dropped without an answer.
    Dropped {
        /// Where it came from.
        remote: SocketAddr,
        /// Why.
        reason: DropReason,
    },
    /// A flow that held bindings is gone.
    FlowLost {
        /// Which.
        flow: FlowId,
        /// How many bindings it held.
        bindings: usize,
    },
    /// A session whose media were relayed is over ([`Query::Media`](super::Query::Media)): what it was lent is free.
    MediaDone {
        /// Which.
        call: u64,
    },
    /// What a presentity is, all in all, changed. Not paced: watchers may be told later, and less often.
    Presence(Box<PresenceChange>),
    /// Somebody watches, or does no more.
    Subscription(Box<SubscriptionEvent>),
    /// Something came of a wish of the host ([`Request::SubscribeAt`](super::Request::SubscribeAt)).
    Agent(Box<AgentEvent>),
    /// Something happened to a user agent of the host ([`Request::Ua`](super::Request::Ua)).
    Ua(Box<super::UaEvent>),
    /// Something happened to a call.
    Call(Box<super::CallEvent>),
    /// Something became of a trunk.
    Trunk(Box<TrunkEvent>),
    /// Draining is over: nothing is left, or the time limit came.
    Drained,
}

/// Something that became of a trunk.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TrunkEvent {
    /// Its [name](crate::config::TrunkConfig::name).
    pub name: Box<str>,
    /// What.
    pub step: TrunkStep,
}

/// What became of a trunk.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum TrunkStep {
    /// It answers again.
    Up,
    /// It does not answer, or has no time: no call is sent there.
    Down {
        /// A status, or why there was none.
        reason: Box<str>,
    },
    /// We are registered there; refreshes are not told.
    Registered {
        /// For so many seconds at a time.
        expires: u32,
    },
    /// We are not, or no more.
    NotRegistered {
        /// A status, or why there was none.
        reason: Box<str>,
        /// When it is tried again.
        again: Time,
    },
    /// We are not any more, for no new calls are taken.
    Unregistered,
}

/// The final response to one request.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Outcome {
    /// The method's token.
    pub method: Box<str>,
    /// The status code sent.
    pub status: u16,
    /// Call-ID of the request.
    pub call_id: Box<str>,
    /// The AoR it was for (To for REGISTER), canonical if it could be read, else empty.
    pub aor: Box<str>,
    /// Where it came from.
    pub remote: SocketAddr,
    /// How it came.
    pub transport: Transport,
    /// What authentication found.
    pub auth: AuthVerdict,
    /// Who sent it, if that was proved; also where he may not do what he asked for. `None` for an open method and for
    /// whoever was challenged.
    pub identity: Option<Arc<Identity>>,
    /// Nanoseconds from the request to the final response; above zero when it was parked.
    pub nanos: u64,
}

/// What authentication found about one request. Distinct values, so that a wrong password, a stale nonce and a replay
/// are never confused in logs and metrics.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum AuthVerdict {
    /// The policy asked for nothing.
    NotAsked,
    /// The request had no credentials for us; it was challenged.
    Missing,
    /// Correct credentials.
    Ok(Scheme),
    /// Correct, but the nonce is old: challenged again with `stale=true`.
    Stale,
    /// Correct, but this nonce count was used before.
    Replay,
    /// A known user, and the response is wrong; or the signature of a token is.
    Wrong,
    /// No such user.
    UnknownUser,
    /// The credentials cannot be read.
    Malformed,
    /// The token is past `exp` or before `nbf`.
    Expired,
    /// The token's issuer, audience, algorithm or critical header is not accepted.
    Refused,
    /// The keys or the credential store cannot be asked.
    Unavailable,
    /// Proved, but not allowed to do this: another's AoR, or the scheme is not accepted for the method.
    NotAllowed,
}

/// A change of one binding.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct BindingEvent {
    /// What changed it.
    pub cause: BindingCause,
    /// The binding after the change, or as it was last.
    pub binding: BindingView,
}

/// What changed a binding.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum BindingCause {
    /// New.
    Registered,
    /// Refreshed from the same place.
    Refreshed,
    /// Refreshed from another place: contact, source or flow changed.
    Moved,
    /// Its time ran out.
    Expired,
    /// The phone removed it.
    Unregistered,
    /// A newer one took its place: same instance, or the oldest past the limit.
    Replaced,
    /// The host removed it.
    Removed,
    /// Its flow is gone and the contact cannot be reached otherwise.
    Unreachable,
    /// It will expire soon and was not refreshed (RFC 3680 `shortened` is not meant).
    Expiring,
}
