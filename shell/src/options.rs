//! Bounds and deadlines of sockets. Those of the protocol are in [`Limits`](strowger_core::config::Limits).

use std::time::Duration;

/// What a stream connection may take, and how long.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct StreamOptions {
    /// Most connections at once; accepting pauses there.
    pub connections: usize,
    /// Most connections of one source: an IPv4 address or an IPv6 /64.
    pub connections_per_source: usize,
    /// From accept to the first complete message; later, from the first byte of a message to its last. A peer that
    /// dribbles is closed.
    pub message_deadline: Duration,
    /// A connection that holds no binding and was silent for this long is closed.
    pub idle: Duration,
    /// A peer that takes nothing of what it is sent for this long is closed.
    pub write_deadline: Duration,
    /// Most bytes that wait to be written; more close the connection as too slow.
    pub write_queue: usize,
    /// How long an outgoing connection may take to be established.
    pub connect_deadline: Duration,
    /// Most bytes read at once from one connection.
    pub read_chunk: usize,
}

impl Default for StreamOptions {
    fn default() -> StreamOptions {
        StreamOptions {
            connections: 20_000,
            connections_per_source: 2_000,
            message_deadline: Duration::from_secs(32),
            idle: Duration::from_secs(120),
            write_deadline: Duration::from_secs(32),
            write_queue: 1 << 20,
            connect_deadline: Duration::from_secs(10),
            read_chunk: 16 << 10,
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
}

impl Default for Options {
    fn default() -> Options {
        Options {
            datagram: DatagramOptions::default(),
            stream: StreamOptions::default(),
            inbox: 512,
            clock_check: Duration::from_secs(5),
            routing: RoutingOptions::default(),
        }
    }
}
