//! One stream connection at work: it owns a [`Connection`], is given its socket to look at, and moves bytes between them
//! and the engine. A runtime polls it whenever the socket, an order, room in the inbox or its deadline wakes it.

use std::cell::RefCell;
use std::convert::Infallible;
use std::fmt;
use std::future::Future;
use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, ready};

use strowger_core::base::Time;
use strowger_core::door::{FlowDownReason, FlowId, Transport};

use crate::admission::{Admission, Seat};
use crate::clock::Clock;
use crate::connection::{Connection, Due, Layers, Opened, PIECES, Up};
use crate::datagram::canonical;
use crate::inbox::{Batch, Inbound, Orders, Outbound, StreamOut, orders};
use crate::options::StreamOptions;
use crate::queue::{Permit, Receiver, Reserve, Sender};
use crate::socket::{BoundStream, Io, settle};

/// Reads of one connection after which others get their turn.
const READS: u32 = 16;

thread_local! {
    /// Where a thread's connections read into: none of them keeps a buffer while it is silent.
    static SCRATCH: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// What all connections of a server share.
#[derive(Clone, Debug)]
pub struct Streams {
    /// Where everything goes.
    pub inbox: Sender<Inbound>,
    /// The time.
    pub clock: Clock,
    /// Bounds and deadlines.
    pub options: Arc<StreamOptions>,
    /// Longest message.
    pub message_bytes: usize,
    /// Who may connect.
    pub admission: Admission,
    /// Names for those who do.
    pub ids: FlowIds,
    /// Held by everything that may still write; nothing is ever sent.
    #[allow(dead_code)] // That it is held is its use.
    pub(crate) alive: Sender<Infallible>,
}

/// Names for the flows the shell opens: even, and never used again.
#[derive(Clone, Debug)]
pub struct FlowIds(Arc<AtomicU64>);

impl FlowIds {
    pub(crate) fn new() -> FlowIds {
        FlowIds(Arc::new(AtomicU64::new(2)))
    }

    /// The next one.
    pub fn next(&self) -> FlowId {
        FlowId(self.0.fetch_add(2, Ordering::Relaxed))
    }
}

/// A connection to be opened on the engine's order.
#[derive(Debug)]
pub struct Opening {
    /// Its name.
    pub flow: FlowId,
    /// The listener whose address is advertised on it.
    pub listener: u16,
    /// What is spoken on it.
    pub transport: Transport,
    /// To whom.
    pub remote: SocketAddr,
    /// From which of our addresses.
    pub local: Option<SocketAddr>,
    pub(crate) layers: Layers,
    pub(crate) orders: Orders,
}

impl Opening {
    /// The connection, as it begins with a socket that is being connected.
    pub fn begin(self, streams: Streams) -> Stream {
        let Opening { flow, listener, transport, remote, layers, orders, .. } = self;
        let until = streams.clock.now() + streams.options.connect_deadline;
        let begin = Begin { flow, listener, transport, remote, opened: Opened::ByUs, layers, orders };
        let mut stream = Stream::new(streams, begin);
        stream.step = Step::Connecting(until);
        stream
    }

    /// There is no socket for it.
    pub fn failed(self, streams: Streams) -> Stream {
        let mut stream = self.begin(streams);
        stream.fail();
        stream
    }
}

/// A connection with everything but its socket.
pub struct Stream {
    streams: Streams,
    flow: FlowId,
    listener: u16,
    transport: Transport,
    opened: Opened,
    local: SocketAddr,
    remote: SocketAddr,
    conn: Connection,
    orders: Receiver<Outbound>,
    /// Handed to the engine with the news that it is up, if it does not have it already.
    out: Option<StreamOut>,
    /// Held for as long as the connection lives.
    seat: Option<Seat>,
    step: Step,
    /// When it was last polled: the clock is read once for all that is done then.
    now: Time,
    /// Waits for room in the inbox.
    room: Option<Reserve<Inbound>>,
    news: News,
    /// The engine is to be asked whether it has a use for it.
    is_idle: bool,
    /// Nobody orders anything any more.
    is_orphan: bool,
}

impl fmt::Debug for Stream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stream")
            .field("flow", &self.flow)
            .field("remote", &self.remote)
            .finish_non_exhaustive()
    }
}

#[derive(Clone, Copy, Debug)]
enum Step {
    /// Until then.
    Connecting(Time),
    /// It is open: our end of it is asked for.
    Open,
    Exchanging,
    /// The engine is told that it is gone.
    Parting(End, Option<SocketAddr>),
    /// What the engine still says is written.
    Emptying,
    Over,
}

/// What the engine is to be told before anything else.
#[derive(Debug)]
enum News {
    Nothing,
    /// SIP can be spoken.
    Up(Up),
    /// What came in one piece with the end of the handshake.
    Early,
}

/// How a connection begins.
struct Begin {
    flow: FlowId,
    listener: u16,
    transport: Transport,
    remote: SocketAddr,
    opened: Opened,
    layers: Layers,
    orders: Orders,
}

/// Why a connection ends.
#[derive(Clone, Copy, Debug)]
enum End {
    /// Tell the engine, then write what it still has to say.
    Graceful(FlowDownReason),
    /// Nothing more can be written.
    Abrupt(FlowDownReason),
}

impl Stream {
    /// A connection that a listener took; `None` if its peer may not have one more.
    pub fn accept<S>(streams: &Streams, from: &BoundStream<S>, remote: SocketAddr) -> Option<Stream> {
        let BoundStream { listener, transport, .. } = *from;
        let remote = canonical(remote);
        let seat = streams.admission.admit(remote.ip()).ok()?;
        let options = &streams.options;
        let layers = Layers::accept(transport, streams.message_bytes, options, options.tls.as_ref())?;
        let (out, orders) = orders(options);
        let (flow, opened) = (streams.ids.next(), Opened::ByPeer);
        let begin = Begin { flow, listener, transport, remote, opened, layers, orders };
        let mut stream = Stream::new(streams.clone(), begin);
        (stream.seat, stream.out) = (Some(seat), Some(out));
        Some(stream)
    }

    fn new(streams: Streams, begin: Begin) -> Stream {
        let Begin { flow, listener, transport, remote, opened, layers, orders } = begin;
        let Orders { orders, backlog } = orders;
        let (now, longest) = (streams.clock.now(), streams.message_bytes);
        Stream {
            flow,
            listener,
            transport,
            opened,
            local: remote,
            remote,
            conn: Connection::new(now, opened, layers, longest, &streams.options, backlog),
            orders,
            out: None,
            seat: None,
            step: Step::Open,
            now,
            room: None,
            news: News::Nothing,
            is_idle: false,
            is_orphan: false,
            streams,
        }
    }

    fn fail(&mut self) {
        self.step = Step::Parting(End::Abrupt(FlowDownReason::Unreachable), Some(self.remote));
    }

    /// When it is to be polled at the latest.
    pub fn deadline(&self) -> Time {
        match self.step {
            Step::Connecting(until) => until,
            Step::Exchanging | Step::Emptying => self.conn.poll_deadline(),
            Step::Open | Step::Parting(..) | Step::Over => Time::MAX,
        }
    }

    /// Goes on as far as it can. Ready when it is over; then the socket may be closed. A stream whose socket could not be
    /// had is polled without one.
    pub fn poll(&mut self, cx: &mut Context<'_>, mut io: Option<&mut impl Io>) -> Poll<()> {
        self.now = self.streams.clock.now();
        loop {
            match (self.step, io.as_deref_mut()) {
                (Step::Over, _) => return Poll::Ready(()),
                (Step::Parting(end, unreached), _) => {
                    let Some(room) = ready!(self.poll_room(cx)) else {
                        self.step = Step::Over;
                        continue;
                    };
                    let (reason, next) = match end {
                        End::Graceful(reason) => (reason, Step::Emptying),
                        End::Abrupt(reason) => (reason, Step::Over),
                    };
                    room.send(match (self.conn.is_up(), self.opened) {
                        (true, _) => Inbound::Down { flow: self.flow, reason, unreached },
                        // The engine never heard of it.
                        (false, Opened::ByPeer) => Inbound::Failed(self.transport),
                        (false, Opened::ByUs) => {
                            Inbound::Down { flow: self.flow, reason: FlowDownReason::Unreachable, unreached }
                        }
                    });
                    // What the engine says to what came before the end is still in the queue, or will be.
                    self.out = None;
                    self.conn.finish();
                    self.step = next;
                }
                (_, None) => self.fail(),
                (Step::Connecting(until), Some(io)) => {
                    if until <= self.now {
                        self.fail();
                        continue;
                    }
                    let connected = ready!(io.poll_writable(cx)).and_then(|()| io.socket().take_error());
                    match connected {
                        Ok(None) => self.step = Step::Open,
                        Ok(Some(_)) | Err(_) => self.fail(),
                    }
                }
                (Step::Open, Some(io)) => {
                    let Some(local) = address(io.socket().local_addr()) else {
                        self.step = Step::Parting(End::Abrupt(FlowDownReason::Error), None);
                        continue;
                    };
                    settle(&io.socket());
                    self.local = local;
                    self.step = Step::Exchanging;
                }
                (Step::Exchanging, Some(io)) => {
                    let end = ready!(self.exchange(cx, io));
                    self.step = Step::Parting(end, None);
                }
                (Step::Emptying, Some(io)) => {
                    ready!(self.empty(cx, io));
                    self.step = Step::Over;
                }
            }
        }
    }

    /// Room in the inbox; `None` if the engine is gone.
    fn poll_room(&mut self, cx: &mut Context<'_>) -> Poll<Option<Permit<Inbound>>> {
        let room = self.room.get_or_insert_with(|| self.streams.inbox.reserve());
        let room = ready!(Pin::new(room).poll(cx));
        self.room = None;
        Poll::Ready(room.ok())
    }

    fn exchange(&mut self, cx: &mut Context<'_>, io: &mut impl Io) -> Poll<End> {
        let mut reads = 0;
        loop {
            if let Some(up) = self.conn.poll_up() {
                self.news = News::Up(up);
            }
            if !matches!(self.news, News::Nothing) {
                match ready!(self.poll_room(cx)) {
                    Some(room) => self.announce(room),
                    None => return Poll::Ready(End::Abrupt(FlowDownReason::Shutdown)),
                }
                continue;
            }
            if let Some(reason) = self.conn.poll_end() {
                return Poll::Ready(End::Graceful(reason));
            }
            if !self.is_orphan
                && let Poll::Ready(order) = self.orders.poll_recv(cx)
            {
                match order {
                    // The engine is gone.
                    None => {
                        self.is_orphan = true;
                        self.conn.close(self.now, FlowDownReason::Shutdown);
                    }
                    Some(first) => {
                        if let Some(end) = self.obey(first, io) {
                            return Poll::Ready(end);
                        }
                    }
                }
                continue;
            }
            if self.conn.wants_write()
                && let Poll::Ready(ready) = io.poll_writable(cx)
            {
                if ready.and_then(|()| self.write(io)).is_err() {
                    return Poll::Ready(End::Abrupt(FlowDownReason::Error));
                }
                continue;
            }
            if self.is_idle
                && let Poll::Ready(room) = self.poll_room(cx)
            {
                self.is_idle = false;
                match room {
                    Some(room) => room.send(Inbound::Idle(self.flow)),
                    None => self.conn.close(self.now, FlowDownReason::Shutdown),
                }
                continue;
            }
            if self.conn.wants_read()
                && let Poll::Ready(ready) = io.poll_readable(cx)
            {
                if ready.is_err() {
                    return Poll::Ready(End::Abrupt(FlowDownReason::Error));
                }
                reads += 1;
                if reads > READS {
                    cx.waker().wake_by_ref();
                    return Poll::Pending;
                }
                // A full engine slows its peers down: who has no room there does not read.
                match self.poll_room(cx) {
                    Poll::Ready(Some(room)) => {
                        if let Some(end) = self.read(room, io) {
                            return Poll::Ready(end);
                        }
                        continue;
                    }
                    Poll::Ready(None) => return Poll::Ready(End::Abrupt(FlowDownReason::Error)),
                    Poll::Pending => {}
                }
            } else if !self.is_idle {
                // Room that is not needed any more is for others.
                self.room = None;
            }
            match self.conn.on_deadline(self.now) {
                Due::Nothing => return Poll::Pending,
                Due::Idle => {
                    // Asked once: the answer is an order to keep or to close it, or the next deadline asks again.
                    self.conn.keep(self.now);
                    self.is_idle = true;
                }
                Due::Close(reason) => return Poll::Ready(End::Abrupt(reason)),
            }
        }
    }

    /// Tells the engine that it is up, and what came with that.
    fn announce(&mut self, room: Permit<Inbound>) {
        match std::mem::replace(&mut self.news, News::Early) {
            News::Up(Up { peer }) => {
                let Stream { flow, listener, transport, local, remote, .. } = *self;
                let out = self.out.take();
                room.send(Inbound::Up { flow, listener, transport, local, remote, peer, out });
            }
            News::Nothing | News::Early => {
                self.news = News::Nothing;
                self.hand_on(room);
            }
        }
    }

    /// Carries out an order, and those that wait behind it, so that one write takes them all.
    fn obey(&mut self, first: Outbound, io: &mut impl Io) -> Option<End> {
        let mut next = Some(first);
        while let Some(order) = next {
            match order {
                Outbound::Send(payload) => self.conn.queue(self.now, payload),
                Outbound::Keep => self.conn.keep(self.now),
                Outbound::Close(reason) => self.conn.close(self.now, reason),
                Outbound::Abort(reason) => return Some(End::Abrupt(reason)),
            }
            next = self.orders.try_recv();
        }
        // Mostly the socket takes it at once.
        (self.conn.wants_write() && self.write(io).is_err()).then_some(End::Abrupt(FlowDownReason::Error))
    }

    /// Writes until the socket is full or everything is out.
    fn write(&mut self, io: &mut impl Io) -> io::Result<()> {
        while self.conn.wants_write() {
            let written = {
                let mut slots = [IoSlice::new(&[]); PIECES];
                let filled = self.conn.output(&mut slots);
                match io.try_write(&slots[..filled]) {
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                    Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                    other => other?,
                }
            };
            self.conn.sent(self.now, written);
        }
        Ok(())
    }

    /// Reads once and hands on what came.
    fn read(&mut self, room: Permit<Inbound>, io: &mut impl Io) -> Option<End> {
        let chunk = self.streams.options.read_chunk;
        let read = SCRATCH.with_borrow_mut(|scratch| {
            scratch.resize(chunk.max(1), 0);
            let read = io.try_read(scratch)?;
            self.conn.received(self.now, scratch.get(..read).unwrap_or_default());
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
        (self.conn.wants_write() && self.write(io).is_err()).then_some(End::Abrupt(FlowDownReason::Error))
    }

    /// Hands on what came.
    fn hand_on(&mut self, room: Permit<Inbound>) {
        let mut batch = Batch::new(self.flow, self.remote, self.local);
        while let Some(arrival) = self.conn.poll_arrival() {
            batch.push(arrival);
        }
        self.conn.settle(self.now);
        if !batch.is_empty() {
            room.send(Inbound::Arrived(batch));
        }
    }

    /// Writes what is queued and what the engine still says, until it lets the connection go.
    fn empty(&mut self, cx: &mut Context<'_>, io: &mut impl Io) -> Poll<()> {
        loop {
            if self.is_orphan && !self.conn.wants_write() {
                return Poll::Ready(());
            }
            if !self.is_orphan
                && let Poll::Ready(order) = self.orders.poll_recv(cx)
            {
                match order {
                    None => {
                        self.is_orphan = true;
                        self.conn.close(self.now, FlowDownReason::Closed);
                    }
                    Some(Outbound::Send(payload)) => {
                        self.conn.queue(self.now, payload);
                        if self.write(io).is_err() {
                            return Poll::Ready(());
                        }
                    }
                    Some(Outbound::Abort(_)) => return Poll::Ready(()),
                    Some(Outbound::Keep | Outbound::Close(_)) => {}
                }
                continue;
            }
            if self.conn.wants_write()
                && let Poll::Ready(ready) = io.poll_writable(cx)
            {
                if ready.and_then(|()| self.write(io)).is_err() {
                    return Poll::Ready(());
                }
                continue;
            }
            let is_late = self.conn.poll_deadline() <= self.now;
            return if is_late { Poll::Ready(()) } else { Poll::Pending };
        }
    }
}

fn address(found: io::Result<socket2::SockAddr>) -> Option<SocketAddr> {
    found.ok()?.as_socket().map(canonical)
}
