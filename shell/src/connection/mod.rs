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
//! What lies between the socket and SIP (TLS, WebSocket) are its [`Layers`]; plain TCP has none. They agree with the peer
//! first: [`poll_up`](Connection::poll_up) says when, and before that nothing arrives.

mod secure;
mod web;

use std::collections::VecDeque;
use std::io::IoSlice;
use std::time::Duration;

use bytes::Bytes;
use strowger_core::base::Time;
use strowger_core::door::{BadFrame, FlowDownReason, KeepAlive, PeerIdentity, Transport};
use strowger_core::wire::framer::{Frame, Framer};

use crate::backlog::Backlog;
use crate::options::StreamOptions;
use crate::tls::TlsServer;
use crate::write_queue::WriteQueue;

use secure::Tls;
use web::{Came, Web};

pub use crate::write_queue::PIECES;

/// What a record of TLS adds to a message, more or less.
const RECORD: usize = 32;

/// In what time a peer may send so many keep-alives.
const CALM: Duration = Duration::from_secs(60);

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
#[derive(Debug, Default)]
pub struct Layers {
    tls: Option<Tls>,
    web: Option<Web>,
}

impl Layers {
    /// Those of a connection that a peer opened to a listener of this transport. `None` if it needs a certificate and
    /// there is none.
    pub fn accept(
        transport: Transport,
        message_bytes: usize,
        options: &StreamOptions,
        tls: Option<&TlsServer>,
    ) -> Option<Layers> {
        let tls = match transport.is_secure() {
            true => Some(Tls::new(tls?.accept()?)),
            false => None,
        };
        let web = transport.is_web().then(|| Web::accept(options.web.clone(), message_bytes));
        Some(Layers { tls, web })
    }

    /// Those of a connection that we open over this transport to a server of this name, on this port. `None` if we cannot.
    pub fn connect(
        transport: Transport,
        (name, port): (Option<&str>, u16),
        message_bytes: usize,
        options: &StreamOptions,
    ) -> Option<Layers> {
        if transport == Transport::Udp {
            return None;
        }
        let tls = match transport.is_secure() {
            true => Some(Tls::new(options.tls_client.as_ref()?.connect(name?)?)),
            false => None,
        };
        let web = match transport.is_web() {
            true => {
                let port = (port != transport.default_port()).then_some(port);
                Some(Web::connect((name?, port), &options.web.path, message_bytes)?)
            }
            false => None,
        };
        Some(Layers { tls, web })
    }
}

/// The connection is up: SIP can be spoken on it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Up {
    /// Who the peer proved to be.
    pub peer: Option<PeerIdentity>,
}

/// A stream connection.
#[derive(Debug)]
pub struct Connection {
    layers: Layers,
    framer: Framer,
    out: WriteQueue,
    backlog: Backlog,
    /// What was to be sent before the layers had agreed with their peers.
    held: VecDeque<Bytes>,
    stage: Stage,
    reading: bool,
    /// Once nothing more is read: why.
    ending: Option<FlowDownReason>,
    /// When the layers must have agreed.
    handshake_due: Option<Time>,
    /// When the message that is not complete yet must be.
    message_due: Option<Time>,
    /// When the peer must have taken something of what waits.
    write_due: Option<Time>,
    idle_due: Time,
    message_deadline: Duration,
    write_deadline: Duration,
    idle: Duration,
    keep_alives: KeepAlives,
    /// A message began on a WebSocket, and did not end.
    begun: bool,
    /// It was said that nothing more is sent.
    parted: bool,
}

/// How far the layers are.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Stage {
    /// They are agreeing with the peer.
    Shaking,
    /// They have, and it was not told yet.
    Shaken,
    /// SIP is spoken.
    Up,
}

/// How many keep-alives a peer may still send.
#[derive(Debug)]
struct KeepAlives {
    most: u32,
    left: u32,
    /// When it may send all of them again.
    calm: Time,
}

impl KeepAlives {
    /// Something was read.
    fn read(&mut self, now: Time) {
        if self.calm <= now {
            (self.left, self.calm) = (self.most, now + CALM);
        }
    }

    /// One more. False if that is one too many.
    fn take(&mut self) -> bool {
        let left = self.left.checked_sub(1);
        self.left = left.unwrap_or(0);
        left.is_some()
    }

    /// A message came: what is between messages comes with them.
    fn renew(&mut self) {
        self.left = self.most;
    }
}

impl Connection {
    /// A connection just opened. Messages longer than `message_bytes` cannot be framed.
    pub fn new(
        now: Time,
        opened: Opened,
        layers: Layers,
        message_bytes: usize,
        options: &StreamOptions,
        backlog: Backlog,
    ) -> Connection {
        let plain = layers.tls.is_none() && layers.web.is_none();
        let mut connection = Connection {
            framer: match opened {
                Opened::ByPeer => Framer::new(message_bytes),
                Opened::ByUs => Framer::opened(message_bytes),
            },
            out: WriteQueue::default(),
            backlog,
            held: VecDeque::new(),
            stage: if plain { Stage::Shaken } else { Stage::Shaking },
            reading: true,
            ending: None,
            handshake_due: (!plain).then_some(now + options.handshake_deadline),
            message_due: (opened == Opened::ByPeer).then_some(now + options.message_deadline),
            write_due: None,
            idle_due: now + options.idle,
            message_deadline: options.message_deadline,
            write_deadline: options.write_deadline,
            idle: options.idle,
            keep_alives: KeepAlives { most: options.keep_alives, left: 0, calm: now },
            begun: false,
            parted: false,
            layers,
        };
        // Who opens a connection of TLS or WebSocket speaks first.
        connection.write_layers(now);
        connection
    }

    /// Bytes came from the socket.
    pub fn received(&mut self, now: Time, bytes: &[u8]) {
        if !self.reading || bytes.is_empty() {
            return;
        }
        self.idle_due = now + self.idle;
        self.keep_alives.read(now);
        let Layers { tls, web } = &mut self.layers;
        let mut plain = Vec::new();
        let mut result = Ok(false);
        let bytes = match tls {
            None => bytes,
            Some(tls) => {
                result = tls.received(bytes, &mut plain).map_err(|_| ());
                &plain
            }
        };
        let mut shaken = tls.as_mut().is_some_and(Tls::just_shaken);
        match web {
            None => self.framer.push(bytes),
            Some(web) => {
                shaken = false;
                if !bytes.is_empty() && result.is_ok() {
                    self.begun = true;
                    let bytes = if plain.is_empty() { bytes.to_vec() } else { plain };
                    match web.received(bytes) {
                        Ok(agreed) => shaken = agreed,
                        Err(()) => result = Err(()),
                    }
                }
            }
        }
        if shaken {
            (self.stage, self.handshake_due) = (Stage::Shaken, None);
            for message in std::mem::take(&mut self.held) {
                self.encode(now, message);
            }
        }
        match result {
            Ok(false) => {}
            // RFC 8446 s6.1: what came before it still counts.
            Ok(true) if self.stage != Stage::Shaking => self.ending = Some(FlowDownReason::Closed),
            Ok(true) | Err(()) => self.stop(match self.stage {
                Stage::Shaking => FlowDownReason::Handshake,
                Stage::Shaken | Stage::Up => FlowDownReason::Protocol,
            }),
        }
        self.write_layers(now);
    }

    /// Once, when the layers have agreed with the peer and messages may flow.
    pub fn poll_up(&mut self) -> Option<Up> {
        if self.stage != Stage::Shaken {
            return None;
        }
        self.stage = Stage::Up;
        Some(Up { peer: self.layers.tls.as_ref().and_then(Tls::peer) })
    }

    /// The next thing that came. Call until `None`, then [`settle`](Connection::settle).
    pub fn poll_arrival(&mut self) -> Option<Arrival<'_>> {
        if !self.reading || self.stage == Stage::Shaking {
            return None;
        }
        if self.layers.web.is_some() {
            return self.poll_web();
        }
        let frame = self.framer.next()?;
        self.message_due = None;
        if matches!(frame, Frame::Ping | Frame::Pong) && !self.keep_alives.take() {
            self.reading = false;
            self.ending.get_or_insert(FlowDownReason::Limit);
            return None;
        }
        Some(match frame {
            Frame::Message(message) => {
                self.keep_alives.renew();
                Arrival::Message(message)
            }
            Frame::Ping => Arrival::KeepAlive(KeepAlive::Ping),
            Frame::Pong => Arrival::KeepAlive(KeepAlive::Pong),
            Frame::Bad { head, reason } => {
                self.reading = false;
                Arrival::Bad { head, reason }
            }
        })
    }

    fn poll_web(&mut self) -> Option<Arrival<'_>> {
        let arrival = loop {
            let came = self.layers.web.as_mut()?.next()?;
            if matches!(came, Came::Quiet | Came::Ping | Came::Pong) && !self.keep_alives.take() {
                self.layers.web.as_mut()?.refuse();
                self.stop(FlowDownReason::Limit);
                return None;
            }
            match came {
                // A message that began in an earlier read stays due (RFC 6455 s5.4: pings may come amid its fragments).
                Came::Quiet => self.begun = false,
                Came::Closed => {
                    self.stop(FlowDownReason::Closed);
                    return None;
                }
                Came::Broken => {
                    self.stop(FlowDownReason::Protocol);
                    return None;
                }
                Came::Ping => break Arrival::KeepAlive(KeepAlive::Ping),
                Came::Pong => break Arrival::KeepAlive(KeepAlive::Pong),
                Came::Message => {
                    self.keep_alives.renew();
                    break Arrival::Message(self.layers.web.as_ref()?.message());
                }
            }
        };
        (self.begun, self.message_due) = (false, None);
        Some(arrival)
    }

    /// Everything that came was polled: a message that began and is not complete gets its deadline.
    pub fn settle(&mut self, now: Time) {
        if self.framer.buffered() > 0 || self.begun {
            self.message_due.get_or_insert(now + self.message_deadline);
        }
        if let Some(web) = &mut self.layers.web {
            web.settle();
            self.write_layers(now);
        }
        if self.ending.is_some() {
            self.stop(FlowDownReason::Closed);
        }
    }

    /// Queues a message whose room was reserved in the backlog.
    pub fn queue(&mut self, now: Time, message: Bytes) {
        match self.stage {
            Stage::Shaking => self.held.push_back(message),
            Stage::Shaken | Stage::Up => self.encode(now, message),
        }
    }

    fn encode(&mut self, now: Time, message: Bytes) {
        let reserved = message.len();
        let Layers { tls, web } = &mut self.layers;
        // It is closing if it takes none: nobody will hear it.
        let framed =
            web.as_mut().map(|web| web.send(message.clone()).map(|()| web.output()).unwrap_or_default());
        let wire = match (tls, framed) {
            (None, None) => message,
            (None, Some(framed)) => framed.into(),
            (Some(tls), framed) => {
                let plain = framed.as_deref().unwrap_or(&message);
                let mut wire = Vec::with_capacity(plain.len() + RECORD);
                if tls.send(plain, &mut wire).is_err() {
                    self.stop(FlowDownReason::Protocol);
                }
                wire.into()
            }
        };
        self.backlog.adjust(reserved, wire.len());
        self.push(now, wire);
    }

    /// What the layers have to say by themselves.
    fn write_layers(&mut self, now: Time) {
        let Layers { tls, web } = &mut self.layers;
        let plain = web.as_mut().map(Web::output).unwrap_or_default();
        let wire = match tls {
            None => plain,
            Some(tls) => {
                let mut wire = Vec::new();
                // A broken session has nothing to encrypt with; its alert is still written.
                let _ = tls.send(&plain, &mut wire);
                tls.flush(&mut wire);
                wire
            }
        };
        // Nothing, mostly.
        if wire.is_empty() {
            return;
        }
        if !self.backlog.charge(wire.len()) {
            // A peer that makes us answer and does not read.
            self.stop(FlowDownReason::TooSlow);
        }
        self.push(now, wire.into());
    }

    fn push(&mut self, now: Time, wire: Bytes) {
        if self.out.is_empty() && !wire.is_empty() {
            self.write_due = Some(now + self.write_deadline);
        }
        self.out.push(wire);
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

    /// Nothing more is read; what is queued, and will be, is still written.
    pub fn finish(&mut self) {
        self.stop(FlowDownReason::Closed);
    }

    /// Nothing more is read; what was queued is still written, and that it was all.
    pub fn close(&mut self, now: Time, reason: FlowDownReason) {
        self.stop(reason);
        if self.stage == Stage::Shaking || std::mem::replace(&mut self.parted, true) {
            return;
        }
        if let Some(web) = &mut self.layers.web {
            web.close();
        }
        self.write_layers(now);
        if let Some(tls) = &mut self.layers.tls {
            let mut wire = Vec::new();
            tls.close(&mut wire);
            // What is said last is written whatever waits.
            let _ = self.backlog.charge(wire.len());
            self.push(now, wire.into());
        }
    }

    /// Nothing more is read.
    fn stop(&mut self, reason: FlowDownReason) {
        self.reading = false;
        self.ending.get_or_insert(reason);
        (self.message_due, self.handshake_due) = (None, None);
    }

    /// The connection is in use although it is silent: it gets the idle time once more.
    pub fn keep(&mut self, now: Time) {
        self.idle_due = now + self.idle;
    }

    /// When [`on_deadline`](Connection::on_deadline) wants to be called.
    pub fn poll_deadline(&self) -> Time {
        let due = [self.handshake_due, self.message_due, self.write_due];
        due.into_iter().flatten().fold(self.idle_due, Time::min)
    }

    /// The time may have come.
    pub fn on_deadline(&mut self, now: Time) -> Due {
        let over = |due: Option<Time>| due.is_some_and(|due| due <= now);
        if over(self.write_due) {
            Due::Close(FlowDownReason::TooSlow)
        } else if over(self.handshake_due) {
            Due::Close(FlowDownReason::Handshake)
        } else if over(self.message_due) {
            Due::Close(FlowDownReason::Idle)
        } else if self.idle_due <= now {
            if self.ending.is_some() { Due::Close(FlowDownReason::Shutdown) } else { Due::Idle }
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

    /// Why it ended, once everything that was queued before is written.
    pub fn poll_end(&self) -> Option<FlowDownReason> {
        self.ending.filter(|_| self.out.is_empty())
    }

    /// True once [`poll_up`](Connection::poll_up) said that it is up.
    pub fn is_up(&self) -> bool {
        self.stage == Stage::Up
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        // Whoever still holds the backlog must not believe that these bytes will be written.
        let held: usize = self.held.iter().map(Bytes::len).sum();
        self.backlog.release(self.out.bytes() + held);
    }
}

#[cfg(test)]
mod tests;
