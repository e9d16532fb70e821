//! Calls of user agents: what a host asks of them, what they tell, and what they are at a moment. The media are the host's:
//! session descriptions are given by it and handed to it.

/// What a host asks of a call, or for one.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum UaCallRequest {
    /// Call somebody. The reply has a number for the call.
    Begin {
        /// Whom: a SIP URI.
        to: Box<str>,
        /// The offer.
        sdp: Box<[u8]>,
    },
    /// Tell the caller that it rings.
    Ring {
        /// The number of the call.
        call: u64,
        /// Early media: the answer to his offer; empty for none.
        sdp: Box<[u8]>,
    },
    /// Take a call that came in, or an offer that changes one.
    Answer {
        /// The number of the call.
        call: u64,
        /// The answer to his offer; an offer if he made none.
        sdp: Box<[u8]>,
    },
    /// Refuse a call that came in, or an offer that changes one.
    Reject {
        /// The number of the call.
        call: u64,
        /// The status, from 300 on: 486 is busy, 488 an offer that cannot be answered, 603 no.
        status: u16,
    },
    /// Offer another session: hold, resume, other media. What of it becomes is told; until then the old one goes on.
    Change {
        /// The number of the call.
        call: u64,
        /// The offer.
        sdp: Box<[u8]>,
    },
    /// Ask the other side to call somebody else instead (RFC 3515). How that goes is told; the call itself stays.
    Transfer {
        /// The number of the call.
        call: u64,
        /// Whom: a SIP URI; not asked for where there is another call.
        to: Box<str>,
        /// Another call, in whose place the new one comes (RFC 3891).
        replaces: Option<u64>,
    },
    /// Do what the other side asks by [`Referred`](UaCallStep::Referred): call whom it names. The reply has a number for that
    /// call; how far it is, the other side is told. This call stays until somebody ends it.
    Follow {
        /// The number of the call in which it was asked.
        call: u64,
        /// The offer to whom is called.
        sdp: Box<[u8]>,
    },
    /// Do not.
    Decline {
        /// The number of the call in which it was asked.
        call: u64,
        /// The status, from 300 on: 603 is no.
        status: u16,
    },
    /// A digit, by INFO (`application/dtmf-relay`).
    Digit {
        /// The number of the call.
        call: u64,
        /// `0` to `9`, `*`, `#`, `A` to `D`.
        digit: char,
        /// For so long.
        millis: u16,
    },
    /// Anything else by INFO (RFC 6086, without a package).
    Info {
        /// The number of the call.
        call: u64,
        /// Content-Type.
        kind: Box<str>,
        /// The body.
        body: Box<[u8]>,
    },
    /// End it, however far it is.
    HangUp {
        /// The number of the call.
        call: u64,
    },
}

/// What happened to a call.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum UaCallStep {
    /// Somebody calls.
    Incoming {
        /// Who: the URI.
        from: Box<str>,
        /// The display name; empty for none.
        display: Box<str>,
        /// Whom he called: the URI.
        to: Box<str>,
        /// Who sent the call on last, as the server says (Diversion, RFC 5806): the URI; empty for nobody.
        diverted: Box<str>,
        /// The offer; empty if he wants to be made one.
        sdp: Box<[u8]>,
        /// A call of ours in whose place this one comes (RFC 3891): when this is answered, that is hung up.
        replaces: Option<u64>,
    },
    /// Who is called is to be found elsewhere (3xx), and is called there.
    Redirected {
        /// Where: a URI.
        to: Box<str>,
    },
    /// The other side says how far it is.
    Progress {
        /// 180 rings.
        status: u16,
        /// Early media: the answer to our offer; empty for none.
        sdp: Box<[u8]>,
    },
    /// It is answered, and both know it.
    Established {
        /// The other side's answer to our offer; empty where we answered, and where it came with
        /// [`Progress`](UaCallStep::Progress) already.
        sdp: Box<[u8]>,
    },
    /// The other side offers another session, and the host is to answer ([`Changes::Ask`](super::Changes::Ask)).
    Offered {
        /// The offer; empty if it wants to be made one.
        sdp: Box<[u8]>,
    },
    /// The session is another one from now on.
    Changed {
        /// What the other side says of it: its answer to our offer, or its offer that was answered.
        sdp: Box<[u8]>,
    },
    /// Our offer was refused: the session is what it was.
    NotChanged {
        /// The final response.
        status: u16,
    },
    /// The call that was asked for by a transfer is so far.
    Transfer {
        /// The response it got: 100 at first, then as the new call goes; one from 200 on is the last.
        status: u16,
    },
    /// The other side asks us to call somebody else instead (RFC 3515): [`UaCallRequest::Follow`] or
    /// [`UaCallRequest::Decline`], within twenty seconds.
    Referred {
        /// Whom: a SIP URI.
        to: Box<str>,
        /// Who wants it, as the request says (RFC 3892); empty for nobody.
        by: Box<str>,
        /// In the place of a call that he whom we call has (RFC 3891).
        replaces: bool,
    },
    /// A digit.
    Digit {
        /// Which.
        digit: char,
        /// For so long.
        millis: u16,
    },
    /// Anything else by INFO.
    Info {
        /// Content-Type.
        kind: Box<str>,
        /// The body.
        body: Box<[u8]>,
    },
    /// It is over.
    Ended {
        /// 200 is a call that was answered; else the final response to who called, 487 where it was given up, 408 where
        /// nothing came.
        status: u16,
        /// The other side ended it.
        remote: bool,
    },
}

/// How far a call is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum UaCallState {
    /// We call, and nothing has come back.
    Calling,
    /// We call, and it rings, or is on its way.
    Proceeding,
    /// The other side calls, and the host has not answered.
    Incoming,
    /// The host has answered, and the caller does not know yet.
    Answered,
    /// Both talk.
    Established,
}

/// A call at one moment.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct UaCallView {
    /// Its number.
    pub call: u64,
    /// The URI of the other side.
    pub other: Box<str>,
    /// We began it.
    pub outgoing: bool,
    /// How far it is.
    pub state: UaCallState,
    /// What we said last of the session.
    pub sdp: Box<[u8]>,
}
