//! Calls as the host sees them: what happens to one while it lives, and its record when it is over.

use core::net::SocketAddr;

use thiserror::Error;

use crate::base::Time;

/// One attempt to reach somebody within a call.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LegRecord {
    /// The AoR or URI that was called.
    pub target: Box<str>,
    /// Where the INVITE went.
    pub remote: SocketAddr,
    /// Call-ID of this leg.
    pub call_id: Box<str>,
    /// When the INVITE was sent.
    pub began: Time,
    /// The final response; 0 if none came.
    pub status: u16,
}

/// How a call ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum CallEnd {
    /// The caller hung up.
    Caller,
    /// The callee hung up.
    Callee,
    /// The caller gave up before it was answered.
    Cancelled,
    /// It was refused, or nobody answered; the status says which.
    Failed,
    /// The caller never acknowledged the answer.
    NoAck,
    /// A party is gone: it answered nothing any more, or did not know the call.
    Lost,
    /// It lasted too long.
    Expired,
    /// One of its parties transferred the other.
    Transferred,
    /// The host ended it.
    Host,
}

impl CallEnd {
    /// All of them.
    pub const ALL: [CallEnd; 9] = [
        CallEnd::Caller,
        CallEnd::Callee,
        CallEnd::Cancelled,
        CallEnd::Failed,
        CallEnd::NoAck,
        CallEnd::Lost,
        CallEnd::Expired,
        CallEnd::Transferred,
        CallEnd::Host,
    ];

    /// A short name for logs and metrics.
    pub const fn text(self) -> &'static str {
        match self {
            CallEnd::Caller => "caller",
            CallEnd::Callee => "callee",
            CallEnd::Cancelled => "cancelled",
            CallEnd::Failed => "failed",
            CallEnd::NoAck => "no_ack",
            CallEnd::Lost => "lost",
            CallEnd::Expired => "expired",
            CallEnd::Transferred => "transferred",
            CallEnd::Host => "host",
        }
    }
}

/// The record of one call.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CallRecord {
    /// Its number; no two calls of an engine have the same.
    pub id: u64,
    /// Call-ID of the caller's leg.
    pub call_id: Box<str>,
    /// Who called: an AoR where it is known, else the URI of From.
    pub caller: Box<str>,
    /// Who was called: the same of the Request-URI.
    pub callee: Box<str>,
    /// Where the INVITE came from; the unspecified address for a call that the host began.
    pub source: SocketAddr,
    /// When it came.
    pub began: Time,
    /// When somebody's phone rang first.
    pub rang: Option<Time>,
    /// When it was answered.
    pub answered: Option<Time>,
    /// When it was over.
    pub ended: Time,
    /// The final response to the caller; 0 if it never got one.
    pub status: u16,
    /// How it ended.
    pub end: CallEnd,
    /// Everybody who was tried, in order.
    pub legs: Vec<LegRecord>,
}

impl CallRecord {
    /// Of a call that begins now, as long as nothing has come of it.
    pub(crate) fn begun(
        id: u64,
        now: Time,
        source: SocketAddr,
        call_id: Box<str>,
        [caller, callee]: [Box<str>; 2],
    ) -> CallRecord {
        CallRecord {
            id,
            call_id,
            caller,
            callee,
            source,
            began: now,
            rang: None,
            answered: None,
            ended: now,
            status: 0,
            end: CallEnd::Failed,
            legs: Vec::new(),
        }
    }
}

/// How far a live call is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum CallStage {
    /// Nobody has answered: it is being routed, or it rings.
    Ringing,
    /// It was answered.
    Answered,
}

/// One party of a live call.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LegView {
    /// The AoR or URI of who is there.
    pub party: Box<str>,
    /// It is the one who calls.
    pub is_caller: bool,
    /// Where requests to it go.
    pub remote: SocketAddr,
    /// Call-ID of this leg.
    pub call_id: Box<str>,
}

/// A live call, as the host is shown it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CallView {
    /// Its number; its [record](CallRecord) has the same.
    pub id: u64,
    /// Who calls: an AoR where it is known, else the URI of From.
    pub caller: Box<str>,
    /// Who is called: the same of the Request-URI.
    pub callee: Box<str>,
    /// How far it is.
    pub stage: CallStage,
    /// Since when: when it came in, or when it was answered.
    pub since: Time,
    /// Its parties: the caller, and everybody who may answer or has.
    pub legs: Vec<LegView>,
}

/// Why nothing was done for a call.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
#[non_exhaustive]
pub enum CallRefusal {
    /// There is no live call of this number.
    #[error("there is no such call")]
    Unknown,
    /// Calls are not [configured](crate::config::Config::calls).
    #[error("there are no calls here")]
    Off,
    /// One of the two is no URI, no `user@domain`, no user and no number.
    #[error("not an address that can be called")]
    NotAnAddress,
    /// Nobody can be called there: what a caller would be told.
    #[error("there is nobody to call: {0}")]
    Nowhere(u16),
    /// There are too many calls.
    #[error("there are too many calls")]
    Full,
    /// No new calls are taken (DECISIONS 20).
    #[error("no new calls are taken")]
    Draining,
}

/// What happens to a call.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum CallEvent {
    /// It came in and will be routed.
    Began {
        /// Its number.
        id: u64,
        /// Who calls.
        caller: Box<str>,
        /// Who is called.
        callee: Box<str>,
    },
    /// Somebody's phone rings.
    Ringing {
        /// Its number.
        id: u64,
    },
    /// It was answered.
    Answered {
        /// Its number.
        id: u64,
        /// Who answered: the AoR or URI that was called.
        by: Box<str>,
    },
    /// It is over.
    Ended(Box<CallRecord>),
}
