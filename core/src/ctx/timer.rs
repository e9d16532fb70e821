//! Every reason to wake, as one small enum. Keys are the bits of a generational key: a timer that outlived its object
//! finds nothing and does nothing.

/// Why the engine woke. RFC timer letters stay letters.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[cfg_attr(not(feature = "jwt"), allow(dead_code))]
pub(crate) enum Timer {
    /// Of a server transaction (`txn::ServerKey`).
    Server(u64, ServerTimer),
    /// Of a client transaction (`txn::ClientKey`).
    Client(u64, ClientTimer),
    /// A binding ends (`registrar::BindingKey`).
    BindingExpiry(u64),
    /// A binding will end soon and nobody refreshed it.
    BindingExpiring(u64),
    /// The NAT in front of a UDP binding wants a keep-alive.
    BindingPing(u64),
    /// A flow of RFC 5626 was silent for longer than Flow-Timer and its grace (`FlowId`).
    FlowSilent(u64),
    /// A parked request has waited long enough, for a 100 or for its answer (`engine::pending`).
    Parked(u64),
    /// The oldest remembered nonces are past their lifetime.
    Nonces,
    /// The oldest remembered tokens are past `exp`.
    Tokens,
    /// The first users of the host's store are known for too long.
    Users,
    /// The key set of an issuer wants a refresh (index of the issuer).
    Keys(u16),
    /// A subscription ends (`events::SubscriptionKey`).
    Subscription(u64),
    /// The last NOTIFY of a subscription is long enough ago for the next (`events::SubscriptionKey`).
    SubscriptionPaced(u64),
    /// A subscriber wants its state again (`events::SubscriptionKey`).
    SubscriptionRepeat(u64),
    /// A host may be sent more NOTIFY requests (`events::pace::HostKey`).
    HostPaced(u64),
    /// NOTIFY requests are due.
    Notifies,
    /// A publication ends (`presence::PublicationKey`).
    Publication(u64),
    /// The bindings of a publication are gone for too long (`presence::PublicationKey`).
    PublicationGrace(u64),
    /// The connection of a binding is gone for too long (`registrar::BindingKey`).
    BindingLost(u64),
    /// The pacing interval of a presentity is over (`presence::PresentityKey`).
    Paced(u64),
    /// What a messaging server published ends (`mailboxes::Publication`).
    Mailbox(u64),
    /// A message has been kept for long enough (`messages::spool::KeptKey`).
    KeptMessage(u64),
    /// A wish is to be refreshed or tried again (`agent::TaskKey`).
    Agent(u64),
    /// Timer N of a subscription of ours (`agent::TaskKey`).
    AgentFirst(u64),
    /// The host takes too long to say where a call goes (`bridge::CallKey`).
    Route(u64),
    /// A relay takes too long to say what a description becomes (`engine::media`).
    Media(u64),
    /// Of a call (`bridge::CallKey`).
    Call(u64, CallTimer),
    /// Of a user agent (`agent::UaKey`).
    Ua(u64, UaTimer),
    /// Of a call of a user agent (`agent::UaCallKey`).
    UaCall(u64, UaCallTimer),
    /// A trunk is to be asked, or registered at (its index).
    Trunk(u16, TrunkTimer),
    /// A server that had no time has it again.
    Overloaded,
    /// Draining has taken long enough.
    Drain,
}

/// Timers of user agents; each says of which of its registrations.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum UaTimer {
    /// Its server is looked for, and asked, again (RFC 5626 s4.5).
    Again(u16),
    /// Its flow is to be kept alive (RFC 5626 s4.4).
    Ping(u16),
    /// That was not answered (RFC 5626 s4.4.1).
    Pong(u16),
}

/// Timers of calls of user agents.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum UaCallTimer {
    /// It rings for too long.
    Life,
    /// A 2xx was not acknowledged yet (RFC 3261 s13.3.1.4).
    Unacked,
    /// A reliable provisional response was not acknowledged yet (RFC 3262 s3).
    Reliable,
    /// The session is to be refreshed, or was not (RFC 4028 s10).
    Session,
    /// A transfer that the other side asks for was neither followed nor declined (RFC 4320).
    Referred,
    /// An offer of ours crossed one of theirs, and is made again (RFC 3261 s14.1).
    Glare,
}

/// Timers of trunks.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum TrunkTimer {
    /// Is it there?
    Qualify,
    /// It is to be registered at.
    Register,
}

/// Timers of calls.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum CallTimer {
    /// Who is called now has been rung for long enough.
    Ring,
    /// The caller is told again that it rings (RFC 3261 s13.3.1.1).
    Progress,
    /// A 2xx was not acknowledged yet (RFC 3261 s13.3.1.4).
    Unacked,
    /// A reliable provisional response was not acknowledged yet (RFC 3262 s3).
    Reliable,
    /// A session is to be refreshed, or was not (RFC 4028 s10).
    Session,
    /// An UPDATE that went on as INVITE can wait no longer (RFC 4320).
    Update,
    /// It rings, or lasts, for too long.
    Life,
}

/// Timers of server transactions (RFC 3261 s17.2, RFC 6026 s7.1).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum ServerTimer {
    /// Resend the final response of an INVITE.
    G,
    /// No ACK came.
    H,
    /// ACK retransmissions are over.
    I,
    /// Request retransmissions are over.
    J,
    /// J of the oldest in the queue of finished transactions that need no timer of their own.
    Finished,
    /// RFC 6026: INVITE retransmissions after a 2xx are over.
    L,
    /// RFC 3261 s17.2.1: no response within 200 ms, send 100. RFC 4320: likewise for non-INVITE, much later.
    Trying,
}

/// Timers of client transactions (RFC 3261 s17.1, RFC 6026 s7.2).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum ClientTimer {
    /// Resend INVITE.
    A,
    /// INVITE timed out.
    B,
    /// INVITE was answered provisionally and nothing final came (proxies and B2BUAs).
    C,
    /// Response retransmissions are over (INVITE, non-2xx).
    D,
    /// Resend non-INVITE.
    E,
    /// Non-INVITE timed out.
    F,
    /// Response retransmissions are over (non-INVITE).
    K,
    /// RFC 6026: 2xx retransmissions are over.
    M,
}
