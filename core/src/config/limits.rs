//! Every bound of the engine, by name, and the protocol's timers.

use core::time::Duration;

/// Every bound of the engine. Reaching one is a response or a counted drop, never an error of the host.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Limits {
    /// Largest message accepted, head and body, in bytes. Larger ones get 513. At most 65,535.
    pub message_bytes: usize,
    /// Most header lines in a message. More get 400.
    pub headers: usize,
    /// Most values of one comma-separated header that are looked at (Via, Contact, Route, Path).
    pub values: usize,
    /// Most contacts in one REGISTER.
    pub contacts_per_request: usize,
    /// Most accounts, all of which are held, with their addresses of record and what Digest needs; a configuration with
    /// more is refused.
    pub accounts: usize,
    /// Most AoRs with bindings; a REGISTER past it gets 503.
    pub aors: usize,
    /// Most bindings in total; a REGISTER past it gets 503.
    pub bindings: usize,
    /// Most bytes one binding may keep (contact, parameters, path, instance, Call-ID, User-Agent); past it 400.
    pub binding_bytes: usize,
    /// Memory budget of all transactions, in payload bytes and table entries. When it is full, the oldest finished
    /// OPTIONS and REGISTER transactions are forgotten first; then new requests get 503 (DECISIONS 16).
    pub transaction_bytes: usize,
    /// Most requests waiting for an answer of the host; more get 503.
    pub parked: usize,
    /// Most flows (connections and listeners) known at once; more are closed.
    pub flows: usize,
    /// Most connections that are being opened at once; what would need one more goes another way, or waits.
    pub connecting: usize,
    /// Most nonces whose counts are remembered against replay; older nonces become stale.
    pub nonces: usize,
    /// Most accepted tokens remembered.
    pub tokens: usize,
    /// Most revocations of tokens remembered; past it a further one is refused ([`ReplyBody::Full`](crate::door::ReplyBody::Full)): none
    /// that was granted may be forgotten while its tokens could live.
    pub revocations: usize,
    /// Most users of the host's store remembered (each for `DigestConfig::foreign_lifetime`).
    pub users: usize,
    /// Largest token accepted, in bytes.
    pub token_bytes: usize,
    /// Most subscriptions; a SUBSCRIBE past it gets 503.
    pub subscriptions: usize,
    /// Most subscriptions of one watcher; a SUBSCRIBE past it gets 403.
    pub subscriptions_per_watcher: usize,
    /// Most subscriptions that come from one address; a SUBSCRIBE past it gets 503. A proxy, or a NAT, counts as one.
    pub subscriptions_per_source: usize,
    /// Most publications; a PUBLISH past it gets 503.
    pub publications: usize,
    /// Most publications of one presentity; one past it gets 503.
    pub publications_per_presentity: usize,
    /// Most decisions about watchers that are remembered.
    pub watch_decisions: usize,
    /// Most mailboxes about which something is known; a PUBLISH past it gets 503.
    pub mailboxes: usize,
    /// Most members of one list; more are a fault of the configuration.
    pub list_members: usize,
    /// Largest body of a NOTIFY of a list, in bytes, as long as there is another way: what does not fit follows in the
    /// next one. Its first names all members, however many, and a fetch is told everything at once.
    pub list_notify_bytes: usize,
    /// Most calls at once; an INVITE past it gets 503.
    pub calls: usize,
    /// Most calls of one account, made and taken; one past it gets 486.
    pub calls_per_account: usize,
    /// Most calls that come from one address; an INVITE past it gets 503.
    pub calls_per_source: usize,
    /// Most legs of one call, the caller's among them: more phones of one user do not ring.
    pub legs_per_call: usize,
    /// Most redirections and forwardings one call follows.
    pub redirects: usize,
    /// Most servers that are remembered to have no time (503 with Retry-After, RFC 3261 s21.5.4); what another one says of it
    /// has no effect.
    pub overloaded: usize,
    /// Longest such a server is left alone, whatever it asks for.
    pub retry_after: Duration,
    /// Most messages that wait for one phone while another one is on its way to it: it takes them one at a time (RFC 3428
    /// s8). One past it is refused.
    pub messages_waiting: usize,
    /// Most messages kept for those who are not there; one past it is refused.
    pub stored_messages: usize,
    /// Most messages kept for one of them.
    pub stored_messages_per_aor: usize,
    /// Largest body of a message that is kept, in bytes.
    pub message_bytes_stored: usize,
    /// Most user agents of the host.
    pub user_agents: usize,
    /// Most publications, subscriptions, messages on their way, and calls, of one of them, each.
    pub per_user_agent: usize,
    /// Most NOTIFY requests sent by one `handle`; the others follow at once.
    pub notifies_per_call: usize,
    /// Most NOTIFY requests sent in a second, on the average; as many may leave at once. What is more waits, and is then
    /// told the newest state. Zero sets no limit.
    pub notifies_per_second: u32,
    /// The same for changes told to one address.
    pub notifies_per_host: u32,
    /// Most timers run by one `handle`.
    pub timers_per_call: usize,
    /// Longest a parked non-INVITE request waits for an answer before 503 (RFC 4320, DECISIONS 17).
    pub park_timeout: Duration,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            message_bytes: 65_535,
            headers: 200,
            values: 64,
            contacts_per_request: 16,
            aors: 1_000_000,
            accounts: 1_000_000,
            bindings: 2_000_000,
            binding_bytes: 4_096,
            transaction_bytes: 128 << 20,
            parked: 10_000,
            flows: 100_000,
            connecting: 1_000,
            nonces: 200_000,
            tokens: 10_000,
            revocations: 100_000,
            users: 20_000,
            token_bytes: 8_192,
            subscriptions: 500_000,
            subscriptions_per_watcher: 1_000,
            subscriptions_per_source: 100_000,
            publications: 200_000,
            publications_per_presentity: 16,
            watch_decisions: 100_000,
            mailboxes: 200_000,
            list_members: 1_000,
            list_notify_bytes: 8 << 10,
            calls: 100_000,
            calls_per_account: 32,
            calls_per_source: 256,
            legs_per_call: 16,
            redirects: 5,
            overloaded: 1_000,
            retry_after: Duration::from_secs(300),
            messages_waiting: 32,
            stored_messages: 100_000,
            stored_messages_per_aor: 100,
            message_bytes_stored: 16 << 10,
            user_agents: 10_000,
            per_user_agent: 1_000,
            notifies_per_call: 256,
            notifies_per_second: 20_000,
            notifies_per_host: 5_000,
            timers_per_call: 1_024,
            park_timeout: Duration::from_secs(5),
        }
    }
}

/// The base timers of RFC 3261 s17.1.1.1; all others derive from them.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Timers {
    /// Round-trip estimate, 500 ms.
    pub t1: Duration,
    /// Longest interval between retransmissions of a non-INVITE request or an INVITE response, 4 s.
    pub t2: Duration,
    /// Longest time a message stays in the network, 5 s.
    pub t4: Duration,
}

impl Default for Timers {
    fn default() -> Timers {
        Timers { t1: Duration::from_millis(500), t2: Duration::from_secs(4), t4: Duration::from_secs(5) }
    }
}
