//! One stream connection without its socket: bytes in become messages and keep-alives, messages become bytes out, and
//! every way to be slow has a deadline (RFC 3261 s18.3, RFC 5626 s3.5.1, DECISIONS 11).
//!
//! A runtime owns the socket and moves bytes:
//!
//! - *handlers*: [`received`](Connection::received) and [`sent`](Connection::sent) after the socket was read or
//!   written, [`on_deadline`](Connection::on_deadline) when the time of [`poll_deadline`](Connection::poll_deadline) has come;
//! - *mutators*: [`queue`](Connection::queue) a message, [`close`](Connection::close), [`keep`](Connection::keep);
//! - *pollers*: [`poll_arrival`](Connection::poll_arrival) until it is empty, [`output`](Connection::output) while
//!   there is something to write.
//!
//! What lies between the socket and SIP (TLS, WebSocket) is a `Layer`; plain TCP has none.

use std::io::IoSlice;
use std::time::Duration;

use bytes::Bytes;
use strowger_core::base::Time;
use strowger_core::door::{BadFrame, FlowDownReason, KeepAlive};
use strowger_core::wire::framer::{Frame, Framer};

use crate::backlog::Backlog;
use crate::options::StreamOptions;
use crate::write_queue::WriteQueue;

pub use crate::write_queue::PIECES;

/// Which side opened the connection.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Opened {
    /// The peer: it must send a complete message before the deadline.
    ByPeer,
    /// We did: the peer may be silent.
    ByUs,
}

/// What came out of a stream.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Arrival<'c> {
    /// One complete message.
    Message(&'c [u8]),
    /// A keep-alive.
    KeepAlive(KeepAlive),
    /// Nothing more can be read; the head as far as it came.
    Bad {
        /// For an answer; may be empty.
        head: &'c [u8],
        /// What was wrong.
        reason: BadFrame,
    },
}

/// What a deadline asks for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Due {
    /// Nothing yet.
    Nothing,
    /// The connection was silent for long. Close it, unless the engine keeps something on it: then
    /// [`Connection::keep`].
    Idle,
    /// Close it now.
    Close(FlowDownReason),
}

/// What lies between the bytes of the socket and those of SIP.
#[derive(Debug)]
enum Layer {
    /// Nothing: TCP.
    Plain,
}

impl Layer {
    fn decode(&mut self, wire: &[u8], framer: &mut Framer) {
        match self {
            Layer::Plain => framer.push(wire),
        }
    }

    fn encode(&mut self, message: Bytes, out: &mut WriteQueue) {
        match self {
            Layer::Plain => out.push(message),
        }
    }
}

/// A stream connection.
#[derive(Debug)]
pub struct Connection {
    layer: Layer,
    framer: Framer,
    out: WriteQueue,
    backlog: Backlog,
    reading: bool,
    closing: bool,
    /// When the message that is not complete yet must be.
    message_due: Option<Time>,
    /// When the peer must have taken something of what waits.
    write_due: Option<Time>,
    idle_due: Time,
    message_deadline: Duration,
    write_deadline: Duration,
    idle: Duration,
}

impl Connection {
    /// A plain TCP connection. Messages longer than `message_bytes` cannot be framed.
    pub fn plain(
        now: Time,
        opened: Opened,
        message_bytes: usize,
        options: &StreamOptions,
        backlog: Backlog,
    ) -> Connection {
        Connection {
            layer: Layer::Plain,
            framer: match opened {
                Opened::ByPeer => Framer::new(message_bytes),
                Opened::ByUs => Framer::opened(message_bytes),
            },
            out: WriteQueue::default(),
            backlog,
            reading: true,
            closing: false,
            message_due: (opened == Opened::ByPeer).then_some(now + options.message_deadline),
            write_due: None,
            idle_due: now + options.idle,
            message_deadline: options.message_deadline,
            write_deadline: options.write_deadline,
            idle: options.idle,
        }
    }

    /// Bytes came from the socket.
    pub fn received(&mut self, now: Time, bytes: &[u8]) {
        if self.reading && !bytes.is_empty() {
            self.idle_due = now + self.idle;
            self.layer.decode(bytes, &mut self.framer);
        }
    }

    /// The next thing that came. Call until `None`, then [`settle`](Connection::settle).
    pub fn poll_arrival(&mut self) -> Option<Arrival<'_>> {
        if !self.reading {
            return None;
        }
        let arrival = match self.framer.next()? {
            Frame::Message(message) => Arrival::Message(message),
            Frame::Ping => Arrival::KeepAlive(KeepAlive::Ping),
            Frame::Pong => Arrival::KeepAlive(KeepAlive::Pong),
            Frame::Bad { head, reason } => {
                self.reading = false;
                Arrival::Bad { head, reason }
            }
        };
        self.message_due = None;
        Some(arrival)
    }

    /// Everything that came was polled: a message that began and is not complete gets its deadline.
    pub fn settle(&mut self, now: Time) {
        if self.framer.buffered() > 0 {
            self.message_due.get_or_insert(now + self.message_deadline);
        }
    }

    /// Queues a message whose room was reserved in the backlog.
    pub fn queue(&mut self, now: Time, message: Bytes) {
        if self.out.is_empty() {
            self.write_due = Some(now + self.write_deadline);
        }
        self.layer.encode(message, &mut self.out);
    }

    /// What is to be written, in pieces for a vectored write: how many of the slots are filled.
    pub fn output<'c>(&'c self, slots: &mut [IoSlice<'c>; PIECES]) -> usize {
        self.out.fill(slots)
    }

    /// The socket took so many bytes of the output.
    pub fn sent(&mut self, now: Time, bytes: usize) {
        self.out.advance(bytes);
        self.backlog.release(bytes);
        self.write_due = (!self.out.is_empty()).then_some(now + self.write_deadline);
    }

    /// Nothing more is read; what is queued is still written.
    pub fn close(&mut self) {
        self.reading = false;
        self.closing = true;
        self.message_due = None;
    }

    /// The connection is in use although it is silent: it gets the idle time once more.
    pub fn keep(&mut self, now: Time) {
        self.idle_due = now + self.idle;
    }

    /// When [`on_deadline`](Connection::on_deadline) wants to be called.
    pub fn poll_deadline(&self) -> Time {
        [self.message_due, self.write_due].into_iter().flatten().fold(self.idle_due, Time::min)
    }

    /// The time may have come.
    pub fn on_deadline(&mut self, now: Time) -> Due {
        let over = |due: Option<Time>| due.is_some_and(|due| due <= now);
        if over(self.write_due) {
            Due::Close(FlowDownReason::TooSlow)
        } else if over(self.message_due) {
            Due::Close(FlowDownReason::Idle)
        } else if self.idle_due <= now {
            if self.closing { Due::Close(FlowDownReason::Shutdown) } else { Due::Idle }
        } else {
            Due::Nothing
        }
    }

    /// True while the socket should be read.
    pub fn wants_read(&self) -> bool {
        self.reading
    }

    /// True while there is something to write.
    pub fn wants_write(&self) -> bool {
        !self.out.is_empty()
    }

    /// True when it was closed and everything queued before is written.
    pub fn is_finished(&self) -> bool {
        self.closing && self.out.is_empty()
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        // Whoever still holds the backlog must not believe that these bytes will be written.
        self.backlog.release(self.out.bytes());
    }
}

#[cfg(test)]
mod tests;
