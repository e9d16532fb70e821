//! One task per stream connection: it owns the socket and a [`Connection`], and moves bytes between them.

use std::cell::RefCell;
use std::convert::Infallible;
use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::sync::Arc;

use strowger_core::door::{FlowDownReason, FlowId, Transport};
use strowger_shell::admission::Seat;
use strowger_shell::backlog::Backlog;
use strowger_shell::clock::Clock;
use strowger_shell::connection::{Connection, Layers, Due, Opened, PIECES};
use strowger_shell::datagram::canonical;
use strowger_shell::options::StreamOptions;
use tokio::net::TcpStream;
use tokio::sync::mpsc::{self, OwnedPermit, UnboundedReceiver};
use tokio::time::Instant;

use crate::inbox::{Batch, Inbound, Outbound, StreamOut};

thread_local! {
    /// Where a thread's connections read into: none of them keeps a buffer while it is silent.
    static SCRATCH: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// What all connections of a server share.
#[derive(Clone, Debug)]
pub(crate) struct Streams {
    pub(crate) inbox: mpsc::Sender<Inbound>,
    pub(crate) clock: Clock,
    pub(crate) options: Arc<StreamOptions>,
    pub(crate) message_bytes: usize,
    /// Held by everything that may still write; never sent on.
    #[allow(dead_code)] // That it is held is its use.
    pub(crate) alive: mpsc::Sender<Infallible>,
}

/// The engine's orders to one connection, and the budget they are counted in.
pub(crate) type Orders = (UnboundedReceiver<Outbound>, Backlog);

/// The two ends of a connection's outgoing queue.
pub(crate) fn orders(options: &StreamOptions) -> (StreamOut, Orders) {
    let (orders, received) = mpsc::unbounded_channel();
    let backlog = Backlog::new(options.write_queue);
    (StreamOut { orders, backlog: backlog.clone() }, (received, backlog))
}

/// A connection with everything it needs.
pub(crate) struct Stream {
    pub(crate) streams: Streams,
    pub(crate) flow: FlowId,
    pub(crate) listener: u16,
    pub(crate) transport: Transport,
    pub(crate) opened: Opened,
    pub(crate) layers: Layers,
    pub(crate) socket: TcpStream,
    /// Held for as long as the connection lives.
    pub(crate) seat: Option<Seat>,
}

/// Why the loop over one connection ended.
enum End {
    /// Tell the engine, then write what it still has to say.
    Graceful(FlowDownReason),
    /// Nothing more can be written.
    Abrupt(FlowDownReason),
}

impl Stream {
    /// Runs the connection to its end. `out` is handed to the engine with the news that it is up.
    pub(crate) async fn run(self, out: StreamOut, (mut orders, backlog): Orders) {
        let Stream { streams, flow, listener, transport, opened, layers, socket, seat } = self;
        let _seat = seat;
        let (Ok(local), Ok(remote)) = (socket.local_addr(), socket.peer_addr()) else {
            let _ = streams.inbox.send(Inbound::Down { flow, reason: FlowDownReason::Error }).await;
            return;
        };
        let (local, remote) = (canonical(local), canonical(remote));
        let now = streams.clock.now();
        let message_bytes = streams.message_bytes;
        let conn = Connection::new(now, opened, layers, message_bytes, &streams.options, backlog);
        let mut task = Task { flow, listener, transport, local, remote, conn, socket, streams, out: Some(out) };
        let end = task.exchange(&mut orders).await;
        let (mut reason, graceful) = match end {
            End::Graceful(reason) => (reason, true),
            End::Abrupt(reason) => (reason, false),
        };
        let inbox = task.streams.inbox.clone();
        let told = match (task.conn.is_up(), opened) {
            (true, _) => inbox.send(Inbound::Down { flow, reason }).await.is_ok(),
            // The engine never heard of it.
            (false, Opened::ByPeer) => inbox.send(Inbound::Failed).await.is_ok(),
            (false, Opened::ByUs) => {
                reason = FlowDownReason::Unreachable;
                inbox.send(Inbound::Down { flow, reason }).await.is_ok()
            }
        };
        drop(inbox);
        if told && graceful {
            // What the engine says to what came before the end is still in the channel, or will be.
            task.out = None;
            task.conn.finish();
            task.write_rest(&mut orders).await;
        }
    }
}

struct Task {
    flow: FlowId,
    listener: u16,
    transport: Transport,
    local: SocketAddr,
    remote: SocketAddr,
    conn: Connection,
    socket: TcpStream,
    streams: Streams,
    /// For the engine, until it is up.
    out: Option<StreamOut>,
}

impl Task {
    async fn exchange(&mut self, orders: &mut UnboundedReceiver<Outbound>) -> End {
        loop {
            if let Some(up) = self.conn.poll_up() {
                let Task { flow, listener, transport, local, remote, .. } = *self;
                let Some(out) = self.out.take() else { continue };
                let up = Inbound::Up { flow, listener, transport, local, remote, peer: up.peer, out };
                if self.streams.inbox.send(up).await.is_err() {
                    return End::Abrupt(FlowDownReason::Shutdown);
                }
                // What came in one piece with the end of the handshake.
                if let Ok(room) = self.streams.inbox.clone().reserve_owned().await {
                    self.hand_on(room);
                }
            }
            if let Some(reason) = self.conn.poll_end() {
                return End::Graceful(reason);
            }
            let deadline = Instant::from_std(self.streams.clock.instant_of(self.conn.poll_deadline()));
            tokio::select! {
                biased;
                order = orders.recv() => match order {
                    // The engine is gone.
                    None => self.conn.close(self.streams.clock.now(), FlowDownReason::Shutdown),
                    Some(first) => if let Some(end) = self.obey(first, orders) {
                        return end;
                    },
                },
                ready = self.socket.writable(), if self.conn.wants_write() => {
                    if ready.and_then(|()| self.write()).is_err() {
                        return End::Abrupt(FlowDownReason::Error);
                    }
                }
                room = room_to_read(&self.socket, &self.streams.inbox), if self.conn.wants_read() => match room {
                    Ok(room) => if let Some(end) = self.read(room) {
                        return end;
                    },
                    Err(_) => return End::Abrupt(FlowDownReason::Error),
                },
                () = tokio::time::sleep_until(deadline) => match self.conn.on_deadline(self.streams.clock.now()) {
                    Due::Nothing => {}
                    Due::Idle => {
                        // Asked once: the answer is an order to keep or to close it, or the next deadline asks again.
                        self.conn.keep(self.streams.clock.now());
                        if self.streams.inbox.send(Inbound::Idle(self.flow)).await.is_err() {
                            self.conn.close(self.streams.clock.now(), FlowDownReason::Shutdown);
                        }
                    }
                    Due::Close(reason) => return End::Abrupt(reason),
                },
            }
        }
    }

    /// Carries out an order, and those that wait behind it, so that one write takes them all.
    fn obey(&mut self, first: Outbound, orders: &mut UnboundedReceiver<Outbound>) -> Option<End> {
        let now = self.streams.clock.now();
        let mut next = Some(first);
        while let Some(order) = next {
            match order {
                Outbound::Send(payload) => self.conn.queue(now, payload),
                Outbound::Keep => self.conn.keep(now),
                Outbound::Close(reason) => self.conn.close(now, reason),
                Outbound::Abort(reason) => return Some(End::Abrupt(reason)),
            }
            next = orders.try_recv().ok();
        }
        // Mostly the socket takes it at once.
        (self.conn.wants_write() && self.write().is_err()).then_some(End::Abrupt(FlowDownReason::Error))
    }

    /// Writes until the socket is full or everything is out.
    fn write(&mut self) -> io::Result<()> {
        while self.conn.wants_write() {
            let written = {
                let mut slots = [IoSlice::new(&[]); PIECES];
                let filled = self.conn.output(&mut slots);
                match self.socket.try_write_vectored(&slots[..filled]) {
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                    Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                    other => other?,
                }
            };
            self.conn.sent(self.streams.clock.now(), written);
        }
        Ok(())
    }

    /// Reads once and hands on what came.
    fn read(&mut self, room: OwnedPermit<Inbound>) -> Option<End> {
        let now = self.streams.clock.now();
        let chunk = self.streams.options.read_chunk;
        let read = SCRATCH.with_borrow_mut(|scratch| {
            scratch.resize(chunk.max(1), 0);
            let read = self.socket.try_read(scratch)?;
            self.conn.received(now, scratch.get(..read).unwrap_or_default());
            io::Result::Ok(read)
        });
        match read {
            Ok(0) => return Some(End::Graceful(FlowDownReason::Closed)),
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return None,
            Err(_) => return Some(End::Abrupt(FlowDownReason::Error)),
        }
        // Before it is up nothing arrives, and the engine hears of that first.
        if self.conn.is_up() {
            self.hand_on(room);
        }
        // Answers of the layers themselves.
        (self.conn.wants_write() && self.write().is_err()).then_some(End::Abrupt(FlowDownReason::Error))
    }

    /// Hands on what came.
    fn hand_on(&mut self, room: OwnedPermit<Inbound>) {
        let mut batch = Batch::new(self.flow, self.remote, self.local);
        while let Some(arrival) = self.conn.poll_arrival() {
            batch.push(arrival);
        }
        self.conn.settle(self.streams.clock.now());
        if !batch.is_empty() {
            room.send(Inbound::Arrived(batch));
        }
    }

    /// Writes what is queued and what the engine still says, until it lets the connection go.
    async fn write_rest(&mut self, orders: &mut UnboundedReceiver<Outbound>) {
        let mut open = true;
        while open || self.conn.wants_write() {
            let deadline = Instant::from_std(self.streams.clock.instant_of(self.conn.poll_deadline()));
            tokio::select! {
                biased;
                order = orders.recv(), if open => match order {
                    None => {
                        open = false;
                        self.conn.close(self.streams.clock.now(), FlowDownReason::Closed);
                    }
                    Some(Outbound::Send(payload)) => {
                        let now = self.streams.clock.now();
                        self.conn.queue(now, payload);
                        if self.write().is_err() {
                            return;
                        }
                    }
                    Some(Outbound::Abort(_)) => return,
                    Some(Outbound::Keep | Outbound::Close(_)) => {}
                },
                ready = self.socket.writable(), if self.conn.wants_write() => {
                    if ready.and_then(|()| self.write()).is_err() {
                        return;
                    }
                }
                () = tokio::time::sleep_until(deadline) => return,
            }
        }
    }
}

/// Waits until there is something to read and the engine has room for it: a full engine slows its peers down.
async fn room_to_read(socket: &TcpStream, inbox: &mpsc::Sender<Inbound>) -> io::Result<OwnedPermit<Inbound>> {
    socket.readable().await?;
    inbox.clone().reserve_owned().await.map_err(|_| io::ErrorKind::BrokenPipe.into())
}
