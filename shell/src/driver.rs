//! The engine's loop without its waiting: drain commands, take a bounded number of inputs, say until when nothing is due.
//! It owns the engine and the UDP sockets, and lives in one thread; nothing passes a queue between a datagram and its answer.
//!
//! A runtime has a [`Driver`] made by [`Prepared`](crate::server::Prepared) and runs this:
//!
//! ```text
//! driver.begin();
//! while !driver.is_stopped() {
//!     if !driver.round() {
//!         wait until a UDP socket is readable, driver.poll_ready() is ready, or driver.deadline() has come
//!     }
//! }
//! driver.finish();
//! ```
//!
//! What only a runtime can do for it are its [`Errands`].

use std::collections::HashMap;
use std::fmt;
use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;

use bytes::Bytes;
use strowger_core::Engine;
use strowger_core::base::Time;
use strowger_core::config::{ListenerConfig, Settings};
use strowger_core::door::{
    Answer, Command, CredentialsAnswer, CredentialsQuery, Event, FlowDownReason, FlowId, Input, Query,
    Request, SendError, Transmit, Transport,
};

use crate::admission::Admission;
use crate::asking::{Asking, Work};
use crate::clock::Clock;
use crate::connection::{Arrival, Layers};
use crate::datagram::ROUND;
use crate::dns::Exchange;
use crate::handle::{Call, Replies, Snapshot, SocketStats};
use crate::hooks::{Credentials, OnEvent};
use crate::inbox::{Batch, Inbound, Outbound, StreamOut, orders};
use crate::introspect::Introspector;
use crate::jwks::KeyFetcher;
use crate::latency::Latency;
use crate::news::Listeners;
use crate::options::Options;
use crate::queue::{Receiver, Sender};
use crate::relay::Relays;
use crate::resolver::Resolver;
use crate::socket::{BoundUdp, ReceiveBuffer, UdpPort, Watch};
use crate::storage::{self, Storage};
use crate::stream::{FlowIds, Opening};

/// Batches of stream input taken in one round.
const BATCHES_PER_ROUND: usize = 8;

/// What only a runtime can do.
pub trait Errands {
    /// A UDP socket as it watches it.
    type Socket: Watch;

    /// Watches a bound UDP socket; called once for each, in the thread of the loop.
    fn watch(&mut self, socket: UdpSocket) -> io::Result<Self::Socket>;

    /// Opens a connection and runs it as a [`Stream`](crate::stream::Stream).
    fn open(&mut self, opening: Opening);

    /// Asks a name server, for as long as it may take; what came of it goes into the inbox.
    fn exchange(&mut self, exchange: Exchange);

    /// Runs this to its end, not in the thread of the loop: it may block, for it is the program's.
    fn run(&mut self, work: Work);
}

/// What a driver is made of.
pub(crate) struct Parts {
    pub(crate) settings: Arc<Settings>,
    pub(crate) kept: Vec<strowger_core::door::Change>,
    pub(crate) first: Vec<Request>,
    pub(crate) clock: Clock,
    pub(crate) udp: Vec<BoundUdp>,
    pub(crate) ids: FlowIds,
    pub(crate) admission: Admission,
    pub(crate) sender: Sender<Inbound>,
    pub(crate) inbox: Receiver<Inbound>,
    pub(crate) calls: Receiver<Call>,
    pub(crate) on_event: Option<OnEvent>,
    pub(crate) credentials: Option<Credentials>,
    pub(crate) keys: KeyFetcher,
    pub(crate) tokens: Introspector,
    pub(crate) asking: Asking,
    pub(crate) resolver: Resolver,
    pub(crate) storage: Option<Storage>,
    pub(crate) media: Relays,
    pub(crate) listeners: Vec<ListenerConfig>,
    pub(crate) options: Options,
}

/// See the module.
pub struct Driver<E: Errands> {
    engine: Engine,
    clock: Clock,
    udp: Vec<UdpPort<E::Socket>>,
    buffer: ReceiveBuffer,
    listeners: Vec<ListenerConfig>,
    admission: Admission,
    sender: Sender<Inbound>,
    inbox: Receiver<Inbound>,
    calls: Receiver<Call>,
    on_event: Option<OnEvent>,
    credentials: Option<Credentials>,
    keys: KeyFetcher,
    tokens: Introspector,
    asking: Asking,
    resolver: Resolver,
    /// Where changes go, if anywhere.
    storage: Option<Storage>,
    media: Relays,
    first: Vec<Request>,
    errands: E,
    options: Options,
    state: State,
}

/// What the loop keeps for itself.
#[derive(Default)]
struct State {
    // Named by the shell and the engine, never by a peer; never iterated.
    flows: HashMap<FlowId, (Transport, StreamOut)>,
    replies: Replies,
    listeners: Listeners,
    stats: SocketStats,
    latency: Latency,
    notify_latency: Latency,
    clock_due: Time,
    stopped: bool,
}

impl<E: Errands> fmt::Debug for Driver<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Driver").field("listeners", &self.listeners).finish_non_exhaustive()
    }
}

impl<E: Errands> Driver<E> {
    /// Makes the engine, restores what an earlier life has left, and has the UDP sockets watched.
    pub(crate) fn new(parts: Parts, mut errands: E) -> io::Result<Driver<E>> {
        let Parts { settings, kept, first, clock, udp, ids, options, .. } = parts;
        let mut engine = Engine::new(settings, crate::seed(), clock.now());
        storage::restore(&mut engine, clock.now(), kept);
        let pending = options.datagram.pending_bytes;
        let watch = |bound| UdpPort::new(ids.next(), bound, pending, |socket| errands.watch(socket));
        Ok(Driver {
            engine,
            clock,
            udp: udp.into_iter().map(watch).collect::<io::Result<_>>()?,
            buffer: ReceiveBuffer::new(),
            listeners: parts.listeners,
            admission: parts.admission,
            sender: parts.sender,
            inbox: parts.inbox,
            calls: parts.calls,
            on_event: parts.on_event,
            credentials: parts.credentials,
            keys: parts.keys,
            tokens: parts.tokens,
            asking: parts.asking,
            resolver: parts.resolver,
            storage: parts.storage,
            media: parts.media,
            first,
            errands,
            options,
            state: State::default(),
        })
    }

    /// Tells the engine of its UDP sockets, and asks it what the program asks first.
    pub fn begin(&mut self) {
        let now = self.clock.now();
        self.state.clock_due = now + self.options.clock_check;
        for port in &self.udp {
            let (flow, listener, local) = (port.flow, port.listener, port.local);
            let up =
                Input::FlowUp { flow, listener, transport: Transport::Udp, local, remote: None, peer: None };
            self.engine.handle(now, up);
        }
        for request in std::mem::take(&mut self.first) {
            self.engine.handle(now, Input::Host { reply: None, request });
        }
    }

    /// True when the server was stopped, or has drained.
    pub fn is_stopped(&self) -> bool {
        self.state.stopped
    }

    /// The UDP sockets.
    pub fn ports(&self) -> &[UdpPort<E::Socket>] {
        &self.udp
    }

    /// What the runtime does for it.
    pub fn errands(&mut self) -> &mut E {
        &mut self.errands
    }

    /// One round: at most [`ROUND`] sends, one batch per UDP socket, some of the inbox, what is due. False if there was
    /// nothing to do.
    pub fn round(&mut self) -> bool {
        let mut busy = self.perform();
        let now = self.clock.now();
        if let Some(storage) = &mut self.storage {
            busy |= storage.turn(now, &mut self.engine);
        }
        // Few, and before what the network brings: new settings hold for whatever comes after them.
        while let Some(call) = self.calls.try_recv() {
            self.serve(now, call);
            busy = true;
        }
        for port in &self.udp {
            let flow = port.flow;
            let engine = &mut self.engine;
            let received = port.receive(&mut self.buffer, |remote, local, data| {
                engine.handle(now, Input::Message { flow, remote, local, data });
            });
            self.state.stats.datagrams_received += received as u64;
            busy |= received > 0;
        }
        for _ in 0..BATCHES_PER_ROUND {
            let Some(inbound) = self.inbox.try_recv() else { break };
            self.take(now, inbound);
            busy = true;
        }
        if self.engine.poll_timeout().is_some_and(|due| due <= now) {
            self.engine.handle(now, Input::Timeout);
            busy = true;
        }
        busy |= self.late(now);
        if self.state.clock_due <= now {
            self.state.clock_due = now + self.options.clock_check;
            if let Some(wall_offset) = self.clock.check() {
                self.engine.handle(now, Input::Clock { wall_offset });
            }
        }
        busy
    }

    /// What others than the engine wait for no longer.
    fn late(&mut self, now: Time) -> bool {
        let mut busy = false;
        while let Some(answer) = self.asking.poll_late(now) {
            self.engine.handle(now, Input::Answer(answer));
            busy = true;
        }
        if self.resolver.poll_timeout().is_some_and(|due| due <= now) {
            self.resolver.handle_timeout(now);
            self.resolve(now);
            busy = true;
        }
        busy
    }

    /// When [`round`](Driver::round) has something to do, whatever else happens.
    pub fn deadline(&self) -> Instant {
        let commit = self.storage.as_ref().and_then(|storage| storage.gate.deadline());
        let others = [commit, self.asking.deadline(), self.resolver.poll_timeout()];
        let due = others.into_iter().chain([self.engine.poll_timeout()]).flatten();
        self.clock.instant_of(due.fold(self.state.clock_due, Time::min))
    }

    /// Ready when there is something to do that no UDP socket brings.
    pub fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        // All are asked, so that each wakes.
        let mut ready = self.inbox.poll_ready(cx).is_ready();
        ready |= self.calls.poll_ready(cx).is_ready();
        ready |= self.storage.as_mut().is_some_and(|storage| storage.poll_done(cx).is_ready());
        if ready { Poll::Ready(()) } else { Poll::Pending }
    }

    /// What the engine said last still goes out, and is stored. Blocks for as long as the store may take.
    pub fn finish(&mut self) {
        while self.perform() {}
        let Some(mut storage) = self.storage.take() else { return };
        let mut more = true;
        while more {
            more = storage.flush();
            storage.turn(self.clock.now(), &mut self.engine);
            self.storage = Some(storage);
            while self.perform() {}
            let Some(again) = self.storage.take() else { return };
            storage = again;
        }
        storage.close();
    }

    /// Carries out commands, at most [`ROUND`] sends; true if there was any.
    fn perform(&mut self) -> bool {
        self.flush();
        let mut sends = 0;
        let mut busy = false;
        let mut now = None;
        while sends < ROUND {
            if let Some(released) = self.storage.as_mut().and_then(|storage| storage.gate.poll_release()) {
                (sends, busy) = (sends + 1, true);
                let now = *now.get_or_insert_with(|| self.clock.now());
                self.transmit(now, released);
                continue;
            }
            let Some(command) = self.engine.poll_command() else { break };
            busy = true;
            match command {
                Command::Transmit(transmit) => {
                    let transmit = match &mut self.storage {
                        Some(storage) => storage.gate.transmit(transmit),
                        None => Some(transmit),
                    };
                    let Some(transmit) = transmit else { continue };
                    sends += 1;
                    // One look at the clock serves all answers of a round.
                    let now = *now.get_or_insert_with(|| self.clock.now());
                    self.transmit(now, transmit);
                }
                Command::Ping { flow, remote, local } => {
                    sends += 1;
                    self.ping(flow, remote, local);
                }
                Command::Open { flow, transport, remote, local, server_name } => {
                    self.open(flow, transport, remote, local, server_name.as_deref());
                }
                Command::Close { flow, reason } => self.order(flow, Outbound::closing(reason)),
                Command::Ask(query) => self.ask(query),
                Command::Save(seq, change) => {
                    let now = *now.get_or_insert_with(|| self.clock.now());
                    match &mut self.storage {
                        Some(storage) => storage.gate.save(now, seq, change),
                        // Nothing is stored: what is in memory is as durable as it gets.
                        None => self.engine.handle(now, Input::Saved(seq)),
                    }
                }
                Command::Reply(reply) => self.state.replies.settle(reply),
                Command::Tell(event) => self.tell(event),
            }
        }
        busy
    }

    fn transmit(&mut self, now: Time, transmit: Transmit) {
        let Transmit { flow, remote, local, since, payload, .. } = transmit;
        self.state.latency.record(now.since(since));
        if payload.starts_with(b"NOTIFY ") {
            self.state.notify_latency.record(now.since(since));
        }
        let failed = match self.udp.iter_mut().find(|port| port.flow == flow) {
            Some(port) => port.send(remote, local, payload, &mut self.state.stats).err(),
            None => self.write(flow, payload).err(),
        };
        if let Some(reason) = failed {
            self.resolver.failed(now, remote);
            self.engine.handle(now, Input::SendFailed { flow, remote, reason });
        }
    }

    fn write(&mut self, flow: FlowId, payload: Bytes) -> Result<(), SendError> {
        let Some((_, out)) = self.state.flows.get(&flow) else { return Err(SendError::NoFlow) };
        if !out.backlog.reserve(payload.len()) {
            let _ = out.orders.try_send(Outbound::Abort(FlowDownReason::TooSlow));
            return Err(SendError::Full);
        }
        out.orders.try_send(Outbound::Send(payload)).map_err(|_| SendError::NoFlow)
    }

    /// RFC 5626 s3.5.1: a double CRLF on a stream. On UDP four zero bytes keep a NAT open and bother no phone.
    fn ping(&mut self, flow: FlowId, remote: SocketAddr, local: SocketAddr) {
        match self.udp.iter_mut().find(|port| port.flow == flow) {
            Some(port) => {
                // A lost keep-alive is followed by the next one.
                let _ = port.send(remote, local, Bytes::from_static(&[0; 4]), &mut self.state.stats);
            }
            None => {
                let _ = self.write(flow, Bytes::from_static(b"\r\n\r\n"));
            }
        }
    }

    fn open(
        &mut self,
        flow: FlowId,
        transport: Transport,
        remote: SocketAddr,
        local: Option<SocketAddr>,
        server_name: Option<&str>,
    ) {
        let longest = self.engine.settings().limits.message_bytes;
        let asked = (server_name, remote.port());
        let Some(layers) = Layers::connect(transport, asked, longest, &self.options.stream) else {
            let down = Input::FlowDown { flow, reason: FlowDownReason::Unreachable };
            return self.engine.handle(self.clock.now(), down);
        };
        let (out, orders) = orders(&self.options.stream);
        self.keep(flow, transport, out);
        let listener = self.listener_for(transport, remote, local);
        self.errands.open(Opening { flow, listener, transport, remote, local, layers, orders });
    }

    /// The listener whose address is advertised on a connection that we open.
    fn listener_for(&self, transport: Transport, remote: SocketAddr, local: Option<SocketAddr>) -> u16 {
        let fits = |listener: &&ListenerConfig| {
            listener.transport == transport && listener.addr.is_ipv4() == remote.is_ipv4()
        };
        let is_from =
            |listener: &&ListenerConfig| local.is_some_and(|local| local.ip() == listener.addr.ip());
        let all = || self.listeners.iter();
        let chosen = all().filter(fits).find(is_from).or_else(|| all().find(fits));
        chosen.and_then(|chosen| all().position(|listener| listener == chosen)).unwrap_or(0) as u16
    }

    fn keep(&mut self, flow: FlowId, transport: Transport, out: StreamOut) {
        *self.state.stats.connections.count(transport) += 1;
        self.state.flows.insert(flow, (transport, out));
    }

    fn order(&mut self, flow: FlowId, order: Outbound) {
        if let Some((_, out)) = self.state.flows.get(&flow) {
            let _ = out.orders.try_send(order);
        }
    }

    /// Has a question answered; one that nobody can take is answered at once.
    fn ask(&mut self, query: Query) {
        let now = self.clock.now();
        let asked = match query {
            Query::Keys(query) => self.keys.ask(query),
            Query::Introspect(query) => self.tokens.ask(query),
            Query::Credentials(query) => self.ask_credentials(query),
            Query::Route(query) => {
                self.asking.ask(now, *query, &self.sender).map(|work| self.errands.run(work))
            }
            Query::Media(query) => self.media.ask(query),
            Query::Resolve(query) => {
                self.resolver.ask(now, query);
                self.resolve(now);
                Ok(())
            }
        };
        if let Err(answer) = asked {
            self.engine.handle(now, Input::Answer(answer));
        }
    }

    fn ask_credentials(&mut self, query: CredentialsQuery) -> Result<(), Answer> {
        let ticket = query.ticket;
        let Some(store) = &self.credentials else {
            return Err(Answer::Credentials(ticket, CredentialsAnswer::Unavailable));
        };
        let (asked, inbox) = (store(query), self.sender.clone());
        self.errands.run(Box::pin(async move {
            let answer = Answer::Credentials(ticket, asked.await);
            let _ = inbox.send(Inbound::Answer(answer)).await;
        }));
        Ok(())
    }

    /// Takes what the resolver has for name servers and for the engine.
    fn resolve(&mut self, now: Time) {
        while let Some(exchange) = self.resolver.poll_exchange() {
            self.errands.exchange(exchange);
        }
        while let Some(answer) = self.resolver.poll_answer() {
            self.engine.handle(now, Input::Answer(answer));
        }
    }

    fn tell(&mut self, event: Event) {
        self.state.stopped |= matches!(event, Event::Drained);
        if let Event::MediaDone { call } = event {
            self.media.done(call);
        }
        if let Some(request) = self.state.listeners.tell(&event) {
            self.engine.handle(self.clock.now(), Input::Host { reply: None, request });
        }
        // Those who listen do not choose what the program is told.
        let presence = matches!(event, Event::Presence(_) | Event::Subscription(_));
        if presence && !self.engine.settings().tell.presence {
            return;
        }
        if let Some(on_event) = &mut self.on_event {
            on_event(event);
        }
    }

    /// Takes one thing from the inbox.
    fn take(&mut self, now: Time, inbound: Inbound) {
        match inbound {
            Inbound::Up { flow, listener, transport, local, remote, peer, out } => {
                if let Some(out) = out {
                    *self.state.stats.accepted.count(transport) += 1;
                    self.keep(flow, transport, out);
                }
                let remote = Some(remote);
                self.engine.handle(now, Input::FlowUp { flow, listener, transport, local, remote, peer });
            }
            Inbound::Arrived(batch) => self.arrived(now, &batch),
            Inbound::Idle(flow) => {
                let order = match self.engine.is_flow_in_use(flow) {
                    true => Outbound::Keep,
                    false => Outbound::Close(FlowDownReason::Idle),
                };
                self.order(flow, order);
            }
            Inbound::Down { flow, reason, unreached } => {
                if let Some(remote) = unreached {
                    self.resolver.failed(now, remote);
                }
                self.engine.handle(now, Input::FlowDown { flow, reason });
                // What the engine has said to the peer until now is sent before the connection is let go.
                while self.perform() {}
                if let Some((transport, _)) = self.state.flows.remove(&flow) {
                    *self.state.stats.connections.count(transport) -= 1;
                    *self.state.stats.ended.count(reason) += 1;
                }
            }
            Inbound::Answer(answer) => self.engine.handle(now, Input::Answer(answer)),
            Inbound::Routed(asked, answer) => {
                if let Some(answer) = self.asking.answered(asked, answer) {
                    self.engine.handle(now, Input::Answer(answer));
                }
            }
            Inbound::Failed(transport) => *self.state.stats.handshakes_failed.count(transport) += 1,
            Inbound::Exchanged(number, message) => {
                self.resolver.answered(now, number, message.as_deref());
                self.resolve(now);
            }
        }
    }

    fn arrived(&mut self, now: Time, batch: &Batch) {
        let Batch { flow, remote, local, .. } = *batch;
        for arrival in batch.arrivals() {
            let input = match arrival {
                Arrival::Message(data) => Input::Message { flow, remote, local, data },
                Arrival::KeepAlive(kind) => Input::KeepAlive { flow, remote, kind },
                Arrival::Bad { head, reason } => Input::BadFrame { flow, head, reason },
            };
            self.engine.handle(now, input);
        }
    }

    /// Serves a request of a handle.
    fn serve(&mut self, now: Time, call: Call) {
        match call {
            Call::Ask(request, promise) => {
                let reply = promise.map(|promise| self.state.replies.open(promise));
                self.engine.handle(now, Input::Host { reply, request });
            }
            Call::Listen(feed) => {
                let request = self.state.listeners.open(feed);
                self.engine.handle(now, Input::Host { reply: None, request });
            }
            Call::Snapshot(promise) => promise.keep(Box::new(self.snapshot())),
            Call::Reload(settings) => {
                let durability = self.storage.as_ref().map(Storage::durability);
                let settings = storage::fit(self.asking.fit(settings), durability);
                storage::reload(&mut self.engine, now, settings);
            }
            Call::Stop => self.state.stopped = true,
        }
    }

    fn snapshot(&self) -> Snapshot {
        let mut sockets = self.state.stats;
        sockets.turned_away = self.admission.turned_away();
        let State { latency, notify_latency, .. } = self.state;
        Snapshot {
            stats: self.engine.stats().clone(),
            sizes: self.engine.sizes(),
            sockets,
            latency,
            notify_latency,
            store: self.storage.as_ref().map(|storage| storage.gate.stats()),
            relay: self.media.stats(),
            rtpengine: self.media.rtpengine(),
        }
    }

    /// Sends what waited for a full UDP socket.
    fn flush(&mut self) {
        for i in 0..self.udp.len() {
            let Some(port) = self.udp.get_mut(i).filter(|port| port.is_waiting()) else { continue };
            let flow = port.flow;
            let (engine, now) = (&mut self.engine, self.clock.now());
            port.flush(&mut self.state.stats, |remote, reason| {
                engine.handle(now, Input::SendFailed { flow, remote, reason });
            });
        }
    }
}
