//! What enters the engine.

use core::net::SocketAddr;
use core::time::Duration;
use std::sync::Arc;

use super::{Answer, Change, FlowId, PeerIdentity, SaveSeq, Transport};
use crate::base::Time;
use crate::config::Settings;
pub use crate::wire::framer::BadFrame;

/// Everything that can happen to an engine. Exhaustive on purpose: a shell cannot forget one.
#[derive(Clone, Debug)]
pub enum Input<'a> {
    /// A datagram, or one message framed out of a stream.
    Message {
        /// The socket it came over.
        flow: FlowId,
        /// The sender's address.
        remote: SocketAddr,
        /// Our address it was sent to: the real one, also under a wildcard bind.
        local: SocketAddr,
        /// The bytes. At most [`Limits::message_bytes`](crate::config::Limits::message_bytes) are looked at.
        data: &'a [u8],
    },
    /// A socket is ready: a UDP listener was bound, a connection accepted, or an `Open` succeeded.
    FlowUp {
        /// Its name from now on.
        flow: FlowId,
        /// Index in [`Settings::listeners`]; for an `Open`, that of the listener whose address is advertised on it.
        listener: u16,
        /// What it speaks.
        transport: Transport,
        /// Our end.
        local: SocketAddr,
        /// The other end; `None` for a UDP listener, where each message names its own.
        remote: Option<SocketAddr>,
        /// Who the peer proved to be by TLS.
        peer: Option<PeerIdentity>,
    },
    /// A socket is gone, or an `Open` failed.
    FlowDown {
        /// Its name.
        flow: FlowId,
        /// Why.
        reason: FlowDownReason,
    },
    /// A keep-alive of RFC 5626 s4.4.1 on a stream, or a bare CRLF datagram.
    KeepAlive {
        /// The socket it came over.
        flow: FlowId,
        /// The sender's address.
        remote: SocketAddr,
        /// Which half.
        kind: KeepAlive,
    },
    /// The stream cannot be framed any further. The shell closes it after the commands this causes.
    BadFrame {
        /// The connection.
        flow: FlowId,
        /// The message head as far as it was read, for an answer; may be empty.
        head: &'a [u8],
        /// What was wrong.
        reason: BadFrame,
    },
    /// A `Transmit` could not be sent.
    SendFailed {
        /// The socket it was for.
        flow: FlowId,
        /// Its destination.
        remote: SocketAddr,
        /// Why.
        reason: SendError,
    },
    /// The deadline of `poll_timeout` may have come. Early and repeated ones are harmless.
    Timeout,
    /// The answer to an `Ask`.
    Answer(Answer),
    /// The change of that number, and all before it, are durable.
    Saved(SaveSeq),
    /// The change of that number could not be made durable.
    SaveFailed(SaveSeq),
    /// The host asks for something. `reply` is echoed in a [`Reply`](super::Reply) when given.
    Host {
        /// Number the host chose to know the reply by.
        reply: Option<u64>,
        /// What it wants.
        request: Request,
    },
    /// The wall clock was stepped: wall time is now the engine's time plus this many nanoseconds.
    Clock {
        /// Signed offset in nanoseconds.
        wall_offset: i64,
    },
    /// New settings: accounts, keys, policy. Listeners are not re-bound.
    Reload(Arc<Settings>),
}

/// Why a flow ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum FlowDownReason {
    /// The peer closed it.
    Closed,
    /// The network reported an error.
    Error,
    /// Nothing was heard for too long.
    Idle,
    /// The peer did not read what it was sent.
    TooSlow,
    /// An `Open` could not connect.
    Unreachable,
    /// The peer went over a limit of the shell.
    Limit,
    /// TLS or WebSocket could not be agreed on.
    Handshake,
    /// The peer broke the rules of TLS or WebSocket.
    Protocol,
    /// The host or the engine closed it.
    Shutdown,
}

impl FlowDownReason {
    /// All of them, in the order of their declaration.
    pub const ALL: [FlowDownReason; 9] = [
        FlowDownReason::Closed,
        FlowDownReason::Error,
        FlowDownReason::Idle,
        FlowDownReason::TooSlow,
        FlowDownReason::Unreachable,
        FlowDownReason::Limit,
        FlowDownReason::Handshake,
        FlowDownReason::Protocol,
        FlowDownReason::Shutdown,
    ];

    /// A name for logs and metrics.
    pub const fn text(self) -> &'static str {
        match self {
            FlowDownReason::Closed => "closed",
            FlowDownReason::Error => "error",
            FlowDownReason::Idle => "idle",
            FlowDownReason::TooSlow => "too_slow",
            FlowDownReason::Unreachable => "unreachable",
            FlowDownReason::Limit => "limit",
            FlowDownReason::Handshake => "handshake",
            FlowDownReason::Protocol => "protocol",
            FlowDownReason::Shutdown => "shutdown",
        }
    }
}

/// Which half of a keep-alive came in.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum KeepAlive {
    /// Double CRLF, to be answered.
    Ping,
    /// Single CRLF, the answer.
    Pong,
}

/// Why sending failed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SendError {
    /// The flow is unknown or already closed.
    NoFlow,
    /// The network said that nobody listens there (ICMP).
    Refused,
    /// The datagram does not fit.
    TooBig,
    /// Our own queue is full.
    Full,
    /// Anything else.
    Other,
}

/// Which tokens are good no more.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Revoked {
    /// All of a subject (`sub`) that were issued (`iat`) before this wall time, or do not say when.
    Subject {
        /// Whose they are.
        subject: Box<str>,
        /// Later ones are good.
        issued_before: Time,
    },
    /// All that came from one login, by its `sid`.
    Session {
        /// Its name.
        sid: Box<str>,
    },
    /// One, by its `jti`.
    Token {
        /// Its name.
        jti: Box<str>,
    },
}

/// What becomes of messages that wait for somebody.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Waiting {
    /// They wait on.
    Keep,
    /// They are for nobody any more.
    Drop,
}

/// What a host may ask of the engine.
#[derive(Clone, Debug)]
pub enum Request {
    /// All live bindings of an AoR, best first. `aor` is a URI (`sip:bob@example.com`) or `user@domain`.
    Lookup {
        /// The address of record.
        aor: Box<str>,
    },
    /// The host's store says something else of a user now: it is asked again with his next request.
    ForgetUser {
        /// The name he authenticates with.
        username: Box<str>,
    },
    /// Tokens of an issuer are good no more, whatever they say.
    Revoke {
        /// The issuer, as tokens name it.
        issuer: Box<str>,
        /// Which ones.
        tokens: Revoked,
        /// Wall time from which on they would be dead anyhow, leeway included: it is remembered until then.
        until: Time,
    },
    /// All bindings whose Contact equals this URI (RFC 3261 s19.1.4).
    LookupContact {
        /// The URI.
        contact: Box<str>,
    },
    /// AoRs with bindings, in the order of their names, after a name and at most so many.
    List {
        /// Start behind this name; `None` for the beginning.
        after: Option<Box<str>>,
        /// At most this many AoRs; clamped to 1,000.
        limit: usize,
    },
    /// Subscriptions in the order of their numbers, behind a number and at most so many.
    Subscriptions {
        /// Start behind this number; 0 for the beginning.
        after: u64,
        /// At most this many; clamped to 1,000.
        limit: usize,
    },
    /// Remove one binding, or all of the AoR.
    RemoveBinding {
        /// The address of record.
        aor: Box<str>,
        /// The Contact URI; `None` for all.
        contact: Option<Box<str>>,
    },
    /// Nobody may act under this address of record any more: its bindings, its publications, and what its user has
    /// subscribed to end. Who watches it is told, and stays its watcher.
    ForgetAor {
        /// The address of record.
        aor: Box<str>,
        /// The messages that wait for it.
        messages: Waiting,
    },
    /// What a presentity is now, with its sources.
    Presence {
        /// The address of record.
        aor: Box<str>,
    },
    /// Publish for a presentity, in place of what the host published before; `None` takes it back.
    Publish {
        /// The address of record.
        aor: Box<str>,
        /// What it is.
        presence: Option<super::OwnPresence>,
    },
    /// Watch somebody at another server, as a client, until [`EndWish`](Request::EndWish). What comes of it is told.
    SubscribeAt(Box<super::AgentWish>),
    /// Publish at another server, as a client; of the same number again it modifies.
    PublishAt {
        /// For whom and where.
        wish: Box<super::AgentWish>,
        /// Content-Type.
        kind: Box<str>,
        /// The body.
        document: Box<[u8]>,
    },
    /// End one of these.
    EndWish {
        /// Its number.
        id: u64,
    },
    /// Something of a user agent of the host: an account at a server elsewhere.
    Ua {
        /// A number the host chose: events name it.
        ua: u64,
        /// What.
        request: super::UaRequest,
    },
    /// Tell `Presence` and `Subscription` events from now on, or no more. Where
    /// [`Tell::presence`](crate::config::Tell::presence) is set they are told in any case.
    Listen {
        /// From now on?
        presence: bool,
    },
    /// Decide whether a watcher may see a presentity, now and from now on. Who may not is shown one about whom nothing is
    /// known.
    DecideWatcher {
        /// The presentity's address of record.
        aor: Box<str>,
        /// The watcher's.
        watcher: Box<str>,
        /// May he?
        allow: bool,
    },
    /// A list as somebody sees it who may subscribe to it.
    BuddyList {
        /// Who looks: an address of record.
        watcher: Box<str>,
        /// The address of the list; `None` is the first list of accounts that he may subscribe to.
        list: Option<Box<str>>,
    },
    /// What waits in a mailbox, as far as it was said.
    MessageSummary {
        /// The mailbox: an address of record.
        aor: Box<str>,
    },
    /// Say what waits in a mailbox, in place of what the host said before; `None` takes it back. It holds until something
    /// else is said, by the host or by a messaging server.
    SetMessageSummary {
        /// The mailbox: an address of record.
        aor: Box<str>,
        /// What waits.
        summary: Option<super::MessageSummary>,
    },
    /// Live calls in the order of their numbers, which is that of their begin.
    Calls {
        /// Start behind this number; 0 for the beginning.
        after: u64,
        /// At most this many; clamped to 1,000.
        limit: usize,
    },
    /// One live call.
    Call {
        /// Its number.
        id: u64,
    },
    /// End a live call: who is in it gets BYE, who rings CANCEL, and a caller who waits 480.
    HangUp {
        /// Its number.
        id: u64,
    },
    /// Call somebody and, when he answers, somebody else, and connect them (RFC 3725, flow III). Each is a URI,
    /// `user@domain`, a user of the default domain, or a number. The reply has the number of the call; events and the
    /// record say what becomes of it.
    Dial {
        /// Who is called first: his phones, or the one URI.
        caller: Box<str>,
        /// Who is called then, as if the first one had called him; what he may call is not asked.
        callee: Box<str>,
    },
    /// Send a NOTIFY that nobody subscribed to, to every phone of a user that can be reached. The reply comes when all have
    /// answered, or will not any more.
    SendNotify {
        /// The address of record.
        aor: Box<str>,
        /// What it says.
        notice: super::Notice,
    },
    /// A stored change from an earlier life. Send all before the first `FlowUp`.
    Restore(Box<Change>),
    /// Stop taking new work (DECISIONS 20). The engine tells `Event::Drained` when nothing is left, or at the limit.
    Drain {
        /// How long live work may go on.
        timeout: Duration,
    },
}
