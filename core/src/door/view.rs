//! Values shared by inputs, commands, queries and events.

use core::fmt;
use core::net::SocketAddr;

use super::stored::{StoredDialog, StoredMessage, StoredPublication, StoredSubscription};
use super::stored_binding::StoredBinding;
use crate::base::Time;

/// Names one socket: a UDP listener, or one stream connection. Never reused within an engine's life.
///
/// Even numbers are chosen by the shell (what it accepted or bound), odd ones by the engine (what it asked to open).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct FlowId(pub u64);

impl FlowId {
    /// True if the engine asked for it: we are the client on it.
    pub const fn is_dialled(self) -> bool {
        self.0 % 2 == 1
    }
}

/// Number of a [`Change`] the engine asked to be saved; rises by one with each.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct SaveSeq(pub u64);

/// How messages travel on a flow.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Transport {
    /// Datagrams.
    Udp,
    /// A TCP stream.
    Tcp,
    /// TLS over TCP.
    Tls,
    /// WebSocket, RFC 7118.
    Ws,
    /// WebSocket over TLS, RFC 7118.
    Wss,
}

impl Transport {
    /// True for everything but UDP: no retransmission by timers A, E, G (RFC 3261 s17).
    pub const fn is_reliable(self) -> bool {
        !matches!(self, Transport::Udp)
    }

    /// True for TLS and WSS: credentials may travel, and a flow can be remembered as authenticated.
    pub const fn is_secure(self) -> bool {
        matches!(self, Transport::Tls | Transport::Wss)
    }

    /// True for WS and WSS.
    pub const fn is_web(self) -> bool {
        matches!(self, Transport::Ws | Transport::Wss)
    }

    /// What a `sips:` URI with this transport means (RFC 3261 s26.2.2, RFC 7118 s5.2): TLS for TCP, WSS for WS, and nothing
    /// for UDP.
    pub const fn of_sips(self) -> Option<Transport> {
        match self {
            Transport::Udp => None,
            Transport::Tcp | Transport::Tls => Some(Transport::Tls),
            Transport::Ws | Transport::Wss => Some(Transport::Wss),
        }
    }

    /// Where a server is that names no port: RFC 3261 s19.1.2, RFC 7118 s5.5.
    pub const fn default_port(self) -> u16 {
        match self {
            Transport::Udp | Transport::Tcp => 5060,
            Transport::Tls => 5061,
            Transport::Ws => 80,
            Transport::Wss => 443,
        }
    }

    /// The token of a Via header (RFC 3261 s20.42, RFC 7118 s5.1): `UDP`, `TCP`, `TLS`, `WS`, `WSS`.
    pub const fn via_token(self) -> &'static str {
        match self {
            Transport::Udp => "UDP",
            Transport::Tcp => "TCP",
            Transport::Tls => "TLS",
            Transport::Ws => "WS",
            Transport::Wss => "WSS",
        }
    }

    /// All of them.
    pub const ALL: [Transport; 5] =
        [Transport::Udp, Transport::Tcp, Transport::Tls, Transport::Ws, Transport::Wss];

    /// Its name in configurations, logs and metrics: `udp`, `tcp`, `tls`, `ws`, `wss`.
    pub const fn name(self) -> &'static str {
        match self {
            Transport::Udp => "udp",
            Transport::Tcp => "tcp",
            Transport::Tls => "tls",
            Transport::Ws => "ws",
            Transport::Wss => "wss",
        }
    }

    /// The transport that a `transport` URI parameter asks for; `None` for one that is not spoken here. No standard has
    /// `wss`, and many write it.
    pub fn of_uri_param(text: &str) -> Option<Transport> {
        Transport::ALL.into_iter().find(|transport| transport.name().eq_ignore_ascii_case(text))
    }

    /// The value of a `transport` URI parameter: `udp`, `tcp`, `tls`, `ws`, `ws` (RFC 7118 s5.2.3 has no `wss`).
    pub const fn uri_param(self) -> &'static str {
        match self {
            Transport::Udp => "udp",
            Transport::Tcp => "tcp",
            Transport::Tls => "tls",
            Transport::Ws | Transport::Wss => "ws",
        }
    }
}

/// Who a TLS peer proved to be: the names of its client certificate.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PeerIdentity {
    /// Subject alternative names (DNS and URI), lower case.
    pub names: Vec<Box<str>>,
}

impl PeerIdentity {
    /// Do both have a name in common? A certificate that was renewed may have others beside it.
    pub fn shares_name(&self, other: &PeerIdentity) -> bool {
        self.names.iter().any(|name| other.names.contains(name))
    }

    /// The domains it speaks for: RFC 5922 s7.1, those of its SIP URIs, and only without any its host names. A wildcard is
    /// none (s7.2).
    pub fn domains(&self) -> impl Iterator<Item = &str> {
        let of_uri = |name: &str| name.strip_prefix("sip:").is_some_and(|host| !host.contains('@'));
        let has_uris = self.names.iter().any(|name| of_uri(name));
        self.names.iter().filter_map(move |name| match has_uris {
            true if of_uri(name) => name.strip_prefix("sip:"),
            true => None,
            false => Some(&**name).filter(|name| !name.contains([':', '*'])),
        })
    }
}

/// A value that must never be printed: `Debug` shows `<secret>`.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Secret<T>(pub T);

impl<T> fmt::Debug for Secret<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("<secret>")
    }
}

/// Which scheme proved an identity.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Scheme {
    /// SIP Digest, RFC 7616 and RFC 8760.
    Digest,
    /// JWT Bearer, RFC 8898.
    Bearer,
    /// A configured trusted peer, by source address.
    Trusted,
    /// The policy of the method asks for no credentials.
    None,
}

/// Who sent a request, as proved by the credentials of that request.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Identity {
    /// How it was proved.
    pub scheme: Scheme,
    /// The account's name, or the token's subject. Empty for [`Scheme::None`] and [`Scheme::Trusted`].
    pub account: Box<str>,
    /// The addresses of record the account owns, canonical (`user@domain`).
    pub aors: Vec<Box<str>>,
    /// Scopes of the token; empty for Digest.
    pub scopes: Vec<Box<str>>,
    /// May register a Contact that is reached at another place than it registered from (DECISIONS 8).
    pub foreign_contacts: bool,
}

impl Identity {
    pub(crate) fn nobody(scheme: Scheme) -> Identity {
        let account = Box::default();
        Identity { scheme, account, aors: Vec::new(), scopes: Vec::new(), foreign_contacts: false }
    }

    /// True if the identity may act for this canonical AoR: it owns it, byte for byte, or it is one of those that
    /// nobody is asked to prove (an open method, a trusted peer).
    pub fn owns(&self, aor: &str) -> bool {
        self.owns_bytes(aor.as_bytes())
    }

    pub(crate) fn owns_bytes(&self, aor: &[u8]) -> bool {
        matches!(self.scheme, Scheme::None | Scheme::Trusted)
            || self.aors.iter().any(|own| own.as_bytes() == aor)
    }
}

/// A binding as the world may see it: what the location API and events carry.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct BindingView {
    /// The address of record, canonical: `user@domain`.
    pub aor: Box<str>,
    /// The Contact URI byte for byte as registered.
    pub contact: Box<str>,
    /// Contact parameters other than `q`, `expires`, `+sip.instance` and `reg-id`, as they came.
    pub params: Box<str>,
    /// Priority in thousandths, 0 to 1000 (RFC 3261 s20.10; 1000 when absent).
    pub q: u16,
    /// When the binding ends.
    pub expires_at: Time,
    /// When the binding was first made.
    pub since: Time,
    /// Call-ID of the last REGISTER that touched it.
    pub call_id: Box<str>,
    /// CSeq of that REGISTER.
    pub cseq: u32,
    /// User-Agent of that REGISTER; empty if it had none.
    pub user_agent: Box<str>,
    /// `+sip.instance` without the angle brackets and quotes; empty if none.
    pub instance: Box<str>,
    /// `reg-id` (RFC 5626), when outbound applies.
    pub reg_id: Option<u32>,
    /// Stored Path (RFC 3327), the header values joined by a comma; empty if none.
    pub path: Box<str>,
    /// Transport the REGISTER came over.
    pub transport: Transport,
    /// Where the REGISTER came from on the network.
    pub received: SocketAddr,
    /// Our own address it came to.
    pub local: SocketAddr,
    /// The flow it came over, when it came straight from the phone.
    pub flow: Option<FlowId>,
    /// False when the flow is gone and the contact cannot be connected to (DECISIONS 11).
    pub reachable: bool,
}

/// A change of durable state, in the order it happened. Feeding the changes back through
/// [`Request::Restore`](super::Request::Restore) rebuilds the state.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Change {
    /// This binding is now so (new or changed).
    PutBinding(StoredBinding),
    /// This binding lasts longer, and is otherwise what it was: nearly every REGISTER a server sees.
    RefreshBinding {
        /// The binding's number.
        id: u64,
        /// When it ends now.
        expires_at: Time,
        /// CSeq of the REGISTER.
        cseq: u32,
    },
    /// This binding is gone.
    RemoveBinding {
        /// The address of record, canonical.
        aor: Box<str>,
        /// The binding's number.
        id: u64,
    },
    /// This publication is now so (new, refreshed or modified).
    PutPublication(Box<StoredPublication>),
    /// This publication is gone.
    RemovePublication {
        /// The presentity: a canonical address of record.
        aor: Box<str>,
        /// What names the publication.
        lineage: u64,
    },
    /// This subscription is now so (new, refreshed, decided about; or its numbers have used up what was reserved).
    PutSubscription(Box<StoredSubscription>),
    /// This subscription is gone.
    RemoveSubscription {
        /// What names it.
        id: u64,
    },
    /// A presentity decided about a watcher.
    PutDecision {
        /// The presentity: a canonical address of record.
        aor: Box<str>,
        /// The watcher: likewise.
        watcher: Box<str>,
        /// May he see it?
        allow: bool,
    },
    /// This message waits for a phone of its recipient.
    PutMessage(Box<StoredMessage>),
    /// This message waits no more.
    RemoveMessage {
        /// What names it.
        id: u64,
    },
}

/// What a change is about, where a number names that.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Subject {
    /// The binding of that number.
    Binding(u64),
    /// The publication of that lineage.
    Publication(u64),
    /// The subscription of that number.
    Subscription(u64),
    /// The message of that number.
    Message(u64),
}

impl Change {
    /// What it is about; `None` for a decision, which two addresses name.
    pub fn subject(&self) -> Option<Subject> {
        Some(match self {
            Change::PutBinding(stored) => Subject::Binding(stored.id()),
            Change::RefreshBinding { id, .. } | Change::RemoveBinding { id, .. } => Subject::Binding(*id),
            Change::PutPublication(stored) => Subject::Publication(stored.lineage),
            Change::RemovePublication { lineage, .. } => Subject::Publication(*lineage),
            Change::PutSubscription(stored) => Subject::Subscription(stored.id),
            Change::RemoveSubscription { id } => Subject::Subscription(*id),
            Change::PutMessage(stored) => Subject::Message(stored.id),
            Change::RemoveMessage { id } => Subject::Message(*id),
            Change::PutDecision { .. } => return None,
        })
    }

    /// Takes in a later change of the same subject: it is then the one change that does what both did. What is later is
    /// whole by itself, but for a refresh.
    pub fn absorb(&mut self, later: Change) {
        match (&mut *self, later) {
            (Change::PutBinding(stored), Change::RefreshBinding { expires_at, cseq, .. }) => {
                stored.refresh(expires_at, cseq);
            }
            // What is gone stays gone.
            (Change::RemoveBinding { .. }, Change::RefreshBinding { .. }) => {}
            (_, later) => *self = later,
        }
    }

    /// About how many bytes of memory it takes.
    pub fn weight(&self) -> usize {
        let texts = match self {
            Change::PutBinding(stored) => stored.as_bytes().len(),
            Change::PutPublication(stored) => {
                size_of::<StoredPublication>() + stored.aor.len() + stored.document.len()
            }
            Change::PutSubscription(stored) => {
                let StoredDialog { call_id, tags, uris, target, instance, routes, peer, .. } = &stored.dialog;
                let bytes = [call_id, target, instance, routes, &stored.event].into_iter();
                let bytes = bytes.chain(tags).chain(uris);
                let names = peer.iter().flat_map(|peer| &peer.names).map(|name| name.len()).sum::<usize>();
                let texts = stored.aor.len() + stored.watcher.len() + stored.package.len() + names;
                size_of::<StoredSubscription>() + texts + bytes.map(|bytes| bytes.len()).sum::<usize>()
            }
            Change::PutMessage(stored) => {
                let [from, to] = &stored.parties;
                let bytes = [from, to, &stored.lines, &stored.body];
                size_of::<StoredMessage>() + stored.aor.len() + bytes.iter().map(|b| b.len()).sum::<usize>()
            }
            Change::RemoveBinding { aor, .. } | Change::RemovePublication { aor, .. } => aor.len(),
            Change::PutDecision { aor, watcher, .. } => aor.len() + watcher.len(),
            Change::RefreshBinding { .. }
            | Change::RemoveSubscription { .. }
            | Change::RemoveMessage { .. } => 0,
        };
        size_of::<Change>() + texts
    }
}
