//! Counters: plain numbers, no atomics. A host reads them by reference and exports them as it likes.

use crate::door::{AuthVerdict, CallEnd};
use crate::wire::Method;

macro_rules! counted {
    ($(#[$meta:meta])* $name:ident { $($(#[$vmeta:meta])* $variant:ident = $text:literal,)* }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
        #[non_exhaustive]
        pub enum $name { $($(#[$vmeta])* $variant,)* }

        impl $name {
            /// All values, in the order of their numbers.
            pub const ALL: &'static [$name] = &[$($name::$variant,)*];

            /// A short name for metrics: lower case, underscores.
            pub const fn text(self) -> &'static str {
                match self { $($name::$variant => $text,)* }
            }
        }
    };
}

counted! {
    /// Why something from the network was dropped without an answer.
    DropReason {
        /// Not SIP, or no usable Via to answer to.
        NotSip = "not_sip",
        /// An empty or CRLF-only datagram: a keep-alive.
        KeepAlive = "keepalive",
        /// The source is not in `allowed_sources`.
        Source = "source",
        /// A response whose top Via is not ours, or that cannot be read.
        BadResponse = "bad_response",
        /// A response that matches no transaction.
        StrayResponse = "stray_response",
        /// An ACK that matches no transaction.
        StrayAck = "stray_ack",
        /// A malformed ACK: it is never answered.
        BadAck = "bad_ack",
        /// The flow is not known.
        UnknownFlow = "unknown_flow",
        /// A STUN message that is not a Binding request.
        Stun = "stun",
        /// A late, double or forged ticket.
        BadTicket = "bad_ticket",
        /// Responses are sent to nobody: the Via names no reachable address.
        NoRoute = "no_route",
        /// No room for one more flow.
        FlowLimit = "flow_limit",
    }
}

counted! {
    /// Scalar counters.
    Counter {
        /// Datagrams and frames handled.
        Messages = "messages",
        /// Bytes of them.
        Bytes = "bytes",
        /// Requests that were retransmissions and were absorbed.
        Retransmissions = "retransmissions",
        /// Our own retransmissions.
        Resent = "resent",
        /// Requests refused because they could not be parsed.
        ParseErrors = "parse_errors",
        /// New bindings.
        Registered = "registered",
        /// Refreshed bindings.
        Refreshed = "refreshed",
        /// Bindings removed by their phone.
        Unregistered = "unregistered",
        /// Bindings that ran out.
        Expired = "expired",
        /// Bindings replaced by a newer one.
        Replaced = "replaced",
        /// REGISTER requests refused.
        RegisterRefused = "register_refused",
        /// Finished transactions forgotten early, to stay in the memory budget.
        TransactionsForgotten = "transactions_forgotten",
        /// New requests answered 503 because a limit was reached.
        Overload = "overload",
        /// Token cache hits.
        TokenHits = "token_hits",
        /// Token signatures verified.
        TokenVerifications = "token_verifications",
        /// Key sets asked for.
        KeyFetches = "key_fetches",
        /// Tokens an authorization server was asked about.
        Introspections = "introspections",
        /// Inputs whose time was before the last one; clamped.
        ClockBackwards = "clock_backwards",
        /// Timers run.
        Timers = "timers",
        /// Requests parked for an answer.
        Parked = "parked",
        /// Session descriptions that a relay was asked to change.
        MediaAsked = "media_asked",
        /// Of those, the ones that it did not.
        MediaRefused = "media_refused",
        /// Parked requests whose answer came too late.
        ParkTimeouts = "park_timeouts",
        /// STUN Binding requests answered.
        Stun = "stun",
        /// Keep-alives answered.
        Pongs = "pongs",
        /// Keep-alives sent.
        Pings = "pings",
        /// Subscriptions made.
        Subscribed = "subscribed",
        /// Subscriptions that ended.
        Unsubscribed = "unsubscribed",
        /// Of them those whose subscriber refused or did not answer a NOTIFY.
        SubscriptionsLost = "subscriptions_lost",
        /// NOTIFY requests sent.
        Notified = "notified",
        /// Connections opened.
        Connected = "connected",
        /// Requests larger than a datagram should be that had no other way (RFC 3261 s18.1.1).
        LargeDatagrams = "large_datagrams",
        /// Publications made.
        Published = "published",
        /// Publications that ended.
        PublicationsEnded = "publications_ended",
        /// Calls that were asked for.
        Calls = "calls",
        /// Of them those that were answered.
        CallsAnswered = "calls_answered",
        /// Answers that came when nobody waited for them any more: acknowledged, and ended.
        CallsDismissed = "calls_dismissed",
        /// Instant messages that a phone took.
        MessagesTaken = "messages_taken",
        /// Instant messages kept for later.
        MessagesKept = "messages_kept",
        /// Kept messages that nobody came for.
        MessagesExpired = "messages_expired",
        /// Saves that failed.
        SaveFailures = "save_failures",
    }
}

/// Number of slots for methods in [`Stats`]: the known ones and "other".
pub const METHODS: usize = Method::Other as usize + 1;

/// All counters of an engine. They only rise; sizes are in [`Sizes`].
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Stats {
    requests: [u64; METHODS],
    responses: [[u64; 7]; METHODS],
    drops: [u64; DropReason::ALL.len()],
    counters: [u64; Counter::ALL.len()],
    auth: [u64; AUTH_LABELS.len()],
    call_ends: [u64; CallEnd::ALL.len()],
}

/// Names of authentication verdicts for metrics, in a fixed order; see [`Stats::auth`].
pub const AUTH_LABELS: [&str; 14] = [
    "not_asked",
    "missing",
    "ok_digest",
    "ok_bearer",
    "ok_trusted",
    "stale",
    "replay",
    "wrong",
    "unknown_user",
    "malformed",
    "expired",
    "refused",
    "unavailable",
    "not_allowed",
];

impl Default for Stats {
    fn default() -> Stats {
        Stats {
            requests: [0; METHODS],
            responses: [[0; 7]; METHODS],
            drops: [0; DropReason::ALL.len()],
            counters: [0; Counter::ALL.len()],
            auth: [0; AUTH_LABELS.len()],
            call_ends: [0; CallEnd::ALL.len()],
        }
    }
}

impl Stats {
    /// Requests received by method, retransmissions included.
    pub fn requests(&self, method: Method) -> u64 {
        self.requests[method as usize]
    }

    /// Final and provisional responses sent, by method and class (1 to 6).
    pub fn responses(&self, method: Method, class: usize) -> u64 {
        self.responses[method as usize].get(class).copied().unwrap_or(0)
    }

    /// Drops by reason.
    pub fn drops(&self, reason: DropReason) -> u64 {
        self.drops[reason as usize]
    }

    /// A scalar counter.
    pub fn counter(&self, counter: Counter) -> u64 {
        self.counters[counter as usize]
    }

    /// Authentication verdicts, by index in [`AUTH_LABELS`].
    pub fn auth(&self, label: usize) -> u64 {
        self.auth.get(label).copied().unwrap_or(0)
    }

    /// Calls that ended so.
    pub fn call_ends(&self, end: CallEnd) -> u64 {
        self.call_ends[end as usize]
    }

    pub(crate) fn call_ended(&mut self, end: CallEnd) {
        self.call_ends[end as usize] += 1;
    }

    pub(crate) fn count(&mut self, counter: Counter) {
        self.counters[counter as usize] += 1;
    }

    pub(crate) fn add(&mut self, counter: Counter, n: u64) {
        self.counters[counter as usize] += n;
    }

    pub(crate) fn dropped(&mut self, reason: DropReason) {
        self.drops[reason as usize] += 1;
    }

    pub(crate) fn request(&mut self, method: Method) {
        self.requests[method as usize] += 1;
    }

    pub(crate) fn response(&mut self, method: Method, status: u16) {
        self.responses[method as usize][usize::from(status / 100).min(6)] += 1;
    }

    pub(crate) fn verdict(&mut self, verdict: AuthVerdict) {
        self.auth[auth_label(verdict)] += 1;
    }
}

/// Index of a verdict in [`AUTH_LABELS`].
pub fn auth_label(verdict: AuthVerdict) -> usize {
    use crate::door::Scheme;
    match verdict {
        AuthVerdict::NotAsked | AuthVerdict::Ok(Scheme::None) => 0,
        AuthVerdict::Missing => 1,
        AuthVerdict::Ok(Scheme::Digest) => 2,
        AuthVerdict::Ok(Scheme::Bearer) => 3,
        AuthVerdict::Ok(Scheme::Trusted) => 4,
        AuthVerdict::Stale => 5,
        AuthVerdict::Replay => 6,
        AuthVerdict::Wrong => 7,
        AuthVerdict::UnknownUser => 8,
        AuthVerdict::Malformed => 9,
        AuthVerdict::Expired => 10,
        AuthVerdict::Refused => 11,
        AuthVerdict::Unavailable => 12,
        AuthVerdict::NotAllowed => 13,
    }
}

/// How large the engine's tables are now. After the last expiry every one is zero, but for listeners.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[non_exhaustive]
pub struct Sizes {
    /// Addresses of record with bindings.
    pub aors: usize,
    /// Bindings.
    pub bindings: usize,
    /// Client and server transactions.
    pub transactions: usize,
    /// Bytes they hold.
    pub transaction_bytes: usize,
    /// Flows, UDP listeners included.
    pub flows: usize,
    /// Parked requests.
    pub parked: usize,
    /// Subscriptions.
    pub subscriptions: usize,
    /// Publications.
    pub publications: usize,
    /// Presentities that are published for or watched.
    pub presentities: usize,
    /// Wishes of the host at other servers.
    pub wishes: usize,
    /// User agents of the host.
    pub user_agents: usize,
    /// Mailboxes about which something is known.
    pub mailboxes: usize,
    /// Sides of calls that addresses of record of ours take part in.
    pub lines: usize,
    /// Trunks that do not answer.
    pub trunks_down: usize,
    /// Trunks at which the engine is registered.
    pub trunks_registered: usize,
    /// Servers that asked to be left alone for a while (503 with Retry-After).
    pub servers_overloaded: usize,
    /// Calls.
    pub calls: usize,
    /// Their dialogs.
    pub call_dialogs: usize,
    /// By what else calls are found and counted: INVITEs that wait, accounts and addresses with calls.
    pub call_keys: usize,
    /// Calls of which it is still being found out where they go.
    pub routes: usize,
    /// Sessions whose media are relayed, or may be.
    pub media_sessions: usize,
    /// Instant messages on their way: those of senders who wait for an answer, and each to a phone.
    pub messages: usize,
    /// Instant messages kept for those who are not there.
    pub stored_messages: usize,
    /// Nonces remembered.
    pub nonces: usize,
    /// Tokens remembered.
    pub tokens: usize,
    /// Users of the host's store remembered.
    pub users: usize,
    /// Revocations of tokens remembered.
    pub revocations: usize,
    /// Timers armed.
    pub timers: usize,
    /// Commands waiting to be polled.
    pub commands: usize,
}
