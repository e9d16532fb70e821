//! Bounds and deadlines of sockets. Those of the protocol are in [`Limits`](strowger_core::config::Limits).

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use crate::relay::{RelayOptions, RtpengineOptions};
use crate::tls::{TlsClient, TlsServer};

/// Who may open WebSockets, and how we do.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct WebOptions {
    /// Origins of the pages that may connect, such as `https://phone.example.com`; empty lets all. RFC 6455 s10.2.
    pub origins: Vec<String>,
    /// What we ask servers for: `/` mostly, which it is where this is empty; some serve SIP on `/ws`.
    pub path: String,
}

/// What a stream connection may take, and how long.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct StreamOptions {
    /// Most connections at once; accepting pauses there.
    pub connections: usize,
    /// Most connections of one source: an IPv4 address or an IPv6 /64.
    pub connections_per_source: usize,
    /// How long TLS and WebSocket may take to be agreed on.
    pub handshake_deadline: Duration,
    /// From accept to the first complete message; later, from the first byte of a message to its last. A peer that
    /// dribbles is closed.
    pub message_deadline: Duration,
    /// A connection that holds no binding and was silent for this long is closed.
    pub idle: Duration,
    /// A peer that takes nothing of what it is sent for this long is closed.
    pub write_deadline: Duration,
    /// Most bytes that wait to be written; more close the connection as too slow.
    pub write_queue: usize,
    /// Most keep-alives of a peer in a minute without a message between them: line ends, pings and pongs of WebSocket,
    /// empty messages. More close the connection. RFC 5626 s4.4.1 has one every 95 to 120 seconds.
    pub keep_alives: u32,
    /// How long an outgoing connection may take to be established.
    pub connect_deadline: Duration,
    /// Most bytes read at once from one connection.
    pub read_chunk: usize,
    /// WebSocket.
    pub web: Arc<WebOptions>,
    /// Certificates for listeners of TLS and WSS.
    pub tls: Option<TlsServer>,
    /// For TLS connections that are opened.
    pub tls_client: Option<TlsClient>,
}

impl Default for StreamOptions {
    fn default() -> StreamOptions {
        StreamOptions {
            connections: 20_000,
            connections_per_source: 2_000,
            handshake_deadline: Duration::from_secs(10),
            message_deadline: Duration::from_secs(32),
            idle: Duration::from_secs(120),
            write_deadline: Duration::from_secs(32),
            write_queue: 1 << 20,
            keep_alives: 120,
            connect_deadline: Duration::from_secs(10),
            read_chunk: 16 << 10,
            web: Arc::default(),
            tls: None,
            tls_client: None,
        }
    }
}

/// What UDP sockets may take.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DatagramOptions {
    /// Asked of the operating system for each direction; what was granted is reported.
    pub socket_buffer: usize,
    /// Most bytes that wait for a full socket; more are lost and counted.
    pub pending_bytes: usize,
}

impl Default for DatagramOptions {
    fn default() -> DatagramOptions {
        DatagramOptions { socket_buffer: crate::datagram::SOCKET_BUFFER, pending_bytes: 4 << 20 }
    }
}

/// How a program is asked where calls go.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RoutingOptions {
    /// Most calls about which it is asked at once; more get 503.
    pub at_once: usize,
    /// How long it may think; then the call gets 503, as after
    /// [`Limits::park_timeout`](strowger_core::config::Limits::park_timeout) in any case.
    pub patience: Duration,
}

impl Default for RoutingOptions {
    fn default() -> RoutingOptions {
        RoutingOptions { at_once: 1_000, patience: Duration::from_secs(30) }
    }
}

/// When what is sent may say that a change was made.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Durability {
    /// At once; the store follows. A crash loses the changes of the last [`StorageOptions::interval`].
    #[default]
    WriteBehind,
    /// When the change is on the disk. What cannot be stored is answered with a failure (RFC 3261 s10.3 step 7).
    Strict,
}

/// How changes of state reach their store.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct StorageOptions {
    /// When a change counts as made.
    pub durability: Durability,
    /// Write-behind: how long changes are collected before they are committed together. Strict: from the beginning of
    /// one commit to that of the next at the least, so that commits per second are bounded.
    pub interval: Duration,
    /// So many changes are committed without waiting for the interval.
    pub batch: usize,
    /// Most bytes of changes that wait for a slow or failing disk. Write-behind: what comes beyond is not stored, and
    /// counted.
    pub queue_bytes: usize,
    /// Strict: most changes that wait for the disk; more fail at once. An engine takes back 16,384 at most: fewer.
    pub queue: usize,
    /// Strict: most bytes of messages that wait for their changes; more are lost and counted, and their peers ask again.
    pub held_bytes: usize,
    /// After a failed commit in write-behind: how long until the next one at most. It begins with the interval and
    /// doubles with each failure.
    pub retry: Duration,
    /// How long the end of a server waits for its last commit.
    pub last_commit: Duration,
}

impl StorageOptions {
    /// What is usual for this durability.
    pub fn new(durability: Durability) -> StorageOptions {
        StorageOptions {
            durability,
            interval: match durability {
                Durability::WriteBehind => Duration::from_millis(100),
                Durability::Strict => Duration::from_millis(10),
            },
            batch: 1_000,
            queue_bytes: 64 << 20,
            queue: 10_000,
            held_bytes: 64 << 20,
            retry: Duration::from_secs(10),
            last_commit: Duration::from_secs(10),
        }
    }
}

impl Default for StorageOptions {
    fn default() -> StorageOptions {
        StorageOptions::new(Durability::default())
    }
}

/// Everything a runtime's sockets are told.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Options {
    /// UDP.
    pub datagram: DatagramOptions,
    /// TCP, and what is built on it.
    pub stream: StreamOptions,
    /// Most batches of stream input, and requests of handles, that wait for the engine. Connections pause reading there.
    pub inbox: usize,
    /// How often the wall clock is compared with the monotonic one.
    pub clock_check: Duration,
    /// Questions where calls go.
    pub routing: RoutingOptions,
    /// How changes reach their store, where there is one.
    pub storage: StorageOptions,
    /// Name servers to ask where SIP servers are; without any, those of the machine.
    pub name_servers: Vec<SocketAddr>,
    /// Who relays media, where the engine wants that ([`CallsConfig::media`](strowger_core::config::CallsConfig::media)).
    pub media: MediaOptions,
}

/// Who relays media.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub enum MediaOptions {
    /// Nobody.
    #[default]
    Nobody,
    /// A relay in this process.
    Relay(RelayOptions),
    /// An rtpengine.
    Rtpengine(RtpengineOptions),
}

impl Default for Options {
    fn default() -> Options {
        Options {
            datagram: DatagramOptions::default(),
            stream: StreamOptions::default(),
            inbox: 512,
            clock_check: Duration::from_secs(5),
            routing: RoutingOptions::default(),
            storage: StorageOptions::default(),
            name_servers: Vec::new(),
            media: MediaOptions::default(),
        }
    }
}
