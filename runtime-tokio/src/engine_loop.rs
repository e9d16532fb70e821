//! The loop: drain commands, take a bounded number of inputs, wait when there is nothing to do. It owns the engine and
//! the UDP sockets, in a thread of its own; nothing passes a channel between a datagram and its answer.

use std::collections::HashMap;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::thread;

use strowger_core::Engine;
use strowger_core::base::Time;
use strowger_core::config::ListenerConfig;
use strowger_core::door::{
    Answer, CloseReason, Command, CredentialsAnswer, Event, FlowDownReason, FlowId, Input, KeysQuery, Query,
    SendError, Transmit, Transport,
};
use strowger_shell::clock::Clock;
use strowger_shell::connection::{Arrival, Layers};
use strowger_shell::datagram::ROUND;
use strowger_shell::handle::{Call, Replies, Snapshot, SocketStats};
use strowger_shell::introspect::Introspector;
use strowger_shell::jwks::KeyFetcher;
use strowger_shell::latency::Latency;
use strowger_shell::news::Listeners;
use strowger_shell::options::Options;
use strowger_shell::promise::Promise;
use tokio::sync::mpsc;
use tokio::time::{Instant, Sleep};

use crate::accept::Opening;
use crate::hooks::{Hooks, Notice};
use crate::inbox::{Batch, Inbound, Outbound, StreamOut};
use crate::resolver::ResolverLine;
use crate::routing::Routing;
use crate::storage::{self, Storage};
use crate::stream::{Streams, orders};
use crate::udp::{ReceiveBuffer, UdpPort};

/// Rounds of work after which the reactor gets a look at the other sockets, however busy this one is.
const ROUNDS_PER_TURN: u32 = 16;

/// Batches of stream input taken in one round.
const BATCHES_PER_ROUND: usize = 8;

/// Everything the thread of the engine owns.
pub(crate) struct EngineLoop {
    pub(crate) engine: Engine,
    pub(crate) clock: Clock,
    pub(crate) udp: Vec<UdpPort>,
    pub(crate) listeners: Vec<ListenerConfig>,
    pub(crate) inbox: mpsc::Receiver<Inbound>,
    pub(crate) calls: mpsc::Receiver<Call>,
    pub(crate) hooks: Hooks,
    pub(crate) keys: KeyFetcher,
    pub(crate) tokens: Introspector,
    pub(crate) routing: Routing,
    pub(crate) resolver: ResolverLine,
    /// Where changes go, if anywhere.
    pub(crate) storage: Option<Storage>,
    /// The runtime of the program, where connections live.
    pub(crate) ambient: tokio::runtime::Handle,
    pub(crate) streams: Streams,
    pub(crate) options: Options,
    pub(crate) state: LoopState,
}

/// What the loop keeps for itself.
#[derive(Default)]
pub(crate) struct LoopState {
    // Named by the shell and the engine, never by a peer; never iterated.
    flows: HashMap<FlowId, StreamOut>,
    replies: Replies,
    listeners: Listeners,
    stats: SocketStats,
    latency: Latency,
    notify_latency: Latency,
    first: Option<Inbound>,
    called: Option<Call>,
    clock_due: Time,
    stopped: bool,
}

impl EngineLoop {
    /// Runs until it is stopped, or drained.
    pub(crate) async fn run(mut self) {
        let mut buffer = ReceiveBuffer::new();
        let mut sleep =
            std::pin::pin!(tokio::time::sleep_until(Instant::from_std(self.clock.instant_of(Time::ZERO))));
        let mut rounds = 0;
        self.announce();
        while !self.state.stopped {
            if self.round(&mut buffer) {
                rounds += 1;
                if rounds % ROUNDS_PER_TURN == 0 {
                    tokio::task::yield_now().await;
                }
                continue;
            }
            rounds = 0;
            let deadline = Instant::from_std(self.clock.instant_of(self.deadline()));
            if sleep.deadline() != deadline {
                sleep.as_mut().reset(deadline);
            }
            poll_fn(|cx| self.poll_ready(cx, sleep.as_mut())).await;
        }
        // What the engine said last still goes out, and is stored.
        while self.perform() {}
        self.store_the_rest().await;
    }

    async fn store_the_rest(&mut self) {
        let Some(mut storage) = self.storage.take() else { return };
        let mut more = true;
        while more {
            more = storage.flush().await;
            storage.turn(self.clock.now(), &mut self.engine);
            self.storage = Some(storage);
            while self.perform() {}
            let Some(again) = self.storage.take() else { return };
            storage = again;
        }
        storage.close().await;
    }

    /// Tells the engine of its UDP sockets.
    fn announce(&mut self) {
        let now = self.clock.now();
        self.state.clock_due = now + self.options.clock_check;
        for port in &self.udp {
            let (flow, listener, local) = (port.flow, port.listener, port.local);
            let up =
                Input::FlowUp { flow, listener, transport: Transport::Udp, local, remote: None, peer: None };
            self.engine.handle(now, up);
        }
    }

    /// One round: at most [`ROUND`] sends, one batch per UDP socket, some of the inbox, what is due. False if there was
    /// nothing to do.
    fn round(&mut self, buffer: &mut ReceiveBuffer) -> bool {
        let mut busy = self.perform();
        let now = self.clock.now();
        if let Some(storage) = &mut self.storage {
            busy |= storage.turn(now, &mut self.engine);
        }
        // Few, and before what the network brings: new settings hold for whatever comes after them.
        while let Some(call) = self.state.called.take().or_else(|| self.calls.try_recv().ok()) {
            self.serve(now, call);
            busy = true;
        }
        for port in &self.udp {
            let flow = port.flow;
            let engine = &mut self.engine;
            let received = port.receive(buffer, |remote, local, data| {
                engine.handle(now, Input::Message { flow, remote, local, data });
            });
            self.state.stats.datagrams_received += received as u64;
            busy |= received > 0;
        }
        for _ in 0..BATCHES_PER_ROUND {
            let Some(inbound) = self.state.first.take().or_else(|| self.inbox.try_recv().ok()) else { break };
            self.take(now, inbound);
            busy = true;
        }
        if self.engine.poll_timeout().is_some_and(|due| due <= now) {
            self.engine.handle(now, Input::Timeout);
            busy = true;
        }
        if self.state.clock_due <= now {
            self.state.clock_due = now + self.options.clock_check;
            if let Some(wall_offset) = self.clock.check() {
                self.engine.handle(now, Input::Clock { wall_offset });
            }
        }
        busy
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
                Command::Close { flow, reason } => self.order(flow, Outbound::Close(down_reason(reason))),
                Command::Ask(Query::Keys(query)) => self.ask_keys(query),
                Command::Ask(Query::Introspect(query)) => {
                    if let Err(answer) = self.tokens.ask(query) {
                        self.engine.handle(self.clock.now(), Input::Answer(answer));
                    }
                }
                Command::Ask(Query::Credentials(query)) => self.ask_credentials(query),
                Command::Ask(Query::Route(query)) => {
                    if let Some(answer) = self.routing.ask(*query, &self.ambient, &self.streams.inbox) {
                        self.engine.handle(self.clock.now(), Input::Answer(answer));
                    }
                }
                Command::Ask(Query::Resolve(query)) => {
                    if let Some(answer) = self.resolver.ask(query) {
                        self.engine.handle(self.clock.now(), Input::Answer(answer));
                    }
                }
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
            self.resolver.failed(remote);
            self.engine.handle(now, Input::SendFailed { flow, remote, reason });
        }
    }

    fn write(&mut self, flow: FlowId, payload: bytes::Bytes) -> Result<(), SendError> {
        let Some(out) = self.state.flows.get(&flow) else { return Err(SendError::NoFlow) };
        if !out.backlog.reserve(payload.len()) {
            self.state.stats.too_slow += 1;
            let _ = out.orders.send(Outbound::Abort(FlowDownReason::TooSlow));
            return Err(SendError::Full);
        }
        out.orders.send(Outbound::Send(payload)).map_err(|_| SendError::NoFlow)
    }

    /// RFC 5626 s3.5.1: a double CRLF on a stream. On UDP four zero bytes keep a NAT open and bother no phone.
    fn ping(&mut self, flow: FlowId, remote: std::net::SocketAddr, local: std::net::SocketAddr) {
        match self.udp.iter_mut().find(|port| port.flow == flow) {
            Some(port) => {
                let zeros = bytes::Bytes::from_static(&[0; 4]);
                // A lost keep-alive is followed by the next one.
                let _ = port.send(remote, local, zeros, &mut self.state.stats);
            }
            None => {
                let _ = self.write(flow, bytes::Bytes::from_static(b"\r\n\r\n"));
            }
        }
    }

    fn open(
        &mut self,
        flow: FlowId,
        transport: Transport,
        remote: std::net::SocketAddr,
        local: Option<std::net::SocketAddr>,
        server_name: Option<&str>,
    ) {
        let Some(layers) = Layers::connect(transport, server_name, self.options.stream.tls_client.as_ref())
        else {
            let down = Input::FlowDown { flow, reason: FlowDownReason::Unreachable };
            return self.engine.handle(self.clock.now(), down);
        };
        let (out, orders) = orders(&self.options.stream);
        self.state.flows.insert(flow, out.clone());
        let listener = self.listener_for(transport, remote, local);
        let resolver = self.resolver.clone();
        let opening = Opening { flow, listener, transport, layers, remote, local, resolver };
        self.ambient.spawn(opening.run(self.streams.clone(), out, orders));
    }

    /// The listener whose address is advertised on a connection that we open.
    fn listener_for(
        &self,
        transport: Transport,
        remote: std::net::SocketAddr,
        local: Option<std::net::SocketAddr>,
    ) -> u16 {
        let fits = |listener: &&ListenerConfig| {
            listener.transport == transport && listener.addr.is_ipv4() == remote.is_ipv4()
        };
        let is_from =
            |listener: &&ListenerConfig| local.is_some_and(|local| local.ip() == listener.addr.ip());
        let all = || self.listeners.iter();
        let chosen = all().filter(fits).find(is_from).or_else(|| all().find(fits));
        chosen.and_then(|chosen| all().position(|listener| listener == chosen)).unwrap_or(0) as u16
    }

    fn order(&mut self, flow: FlowId, order: Outbound) {
        if let Some(out) = self.state.flows.get(&flow) {
            let _ = out.orders.send(order);
        }
    }

    fn ask_keys(&mut self, query: KeysQuery) {
        if let Err(answer) = self.keys.ask(query) {
            self.engine.handle(self.clock.now(), Input::Answer(answer));
        }
    }

    fn ask_credentials(&mut self, query: strowger_core::door::CredentialsQuery) {
        let ticket = query.ticket;
        match &self.hooks.credentials {
            Some(store) => {
                let (asked, inbox) = (store(query), self.streams.inbox.clone());
                self.ambient.spawn(async move {
                    let answer = Answer::Credentials(ticket, asked.await);
                    let _ = inbox.send(Inbound::Answer(answer)).await;
                });
            }
            None => {
                let answer = Answer::Credentials(ticket, CredentialsAnswer::Unavailable);
                self.engine.handle(self.clock.now(), Input::Answer(answer));
            }
        }
    }

    fn tell(&mut self, event: Event) {
        self.state.stopped |= matches!(event, Event::Drained);
        if let Some(request) = self.state.listeners.tell(&event) {
            self.engine.handle(self.clock.now(), Input::Host { reply: None, request });
        }
        // Those who listen do not choose what the program is told.
        let presence = matches!(event, Event::Presence(_) | Event::Subscription(_));
        if presence && !self.engine.settings().tell.presence {
            return;
        }
        if let Some(on_event) = &mut self.hooks.on_event {
            on_event(event);
        }
    }

    /// Takes one thing from the inbox.
    fn take(&mut self, now: Time, inbound: Inbound) {
        match inbound {
            Inbound::Up { flow, listener, transport, local, remote, peer, out } => {
                if flow.0 % 2 == 0 {
                    self.state.stats.accepted += 1;
                }
                self.state.flows.insert(flow, out);
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
            Inbound::Down { flow, reason } => {
                self.engine.handle(now, Input::FlowDown { flow, reason });
                // What the engine has said to the peer until now is sent before the connection is let go.
                while self.perform() {}
                self.state.flows.remove(&flow);
            }
            Inbound::Answer(answer) => self.engine.handle(now, Input::Answer(answer)),
            Inbound::TurnedAway => self.state.stats.turned_away += 1,
            Inbound::Failed => self.state.stats.handshakes_failed += 1,
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
            Call::Snapshot(promise) => {
                let mut sockets = self.state.stats;
                sockets.connections = self.state.flows.len() as u64;
                let (stats, sizes) = (self.engine.stats().clone(), self.engine.sizes());
                let LoopState { latency, notify_latency, .. } = self.state;
                let store = self.storage.as_ref().map(|storage| storage.gate.stats());
                promise.keep(Box::new(Snapshot { stats, sizes, sockets, latency, notify_latency, store }));
            }
            Call::Reload(settings) => {
                let durability = self.storage.as_ref().map(Storage::durability);
                let settings = storage::fit(self.routing.fit(settings), durability);
                self.engine.handle(now, Input::Reload(settings));
            }
            Call::Stop => self.state.stopped = true,
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

    fn deadline(&self) -> Time {
        let commit = self.storage.as_ref().and_then(|storage| storage.gate.deadline());
        let due = [self.engine.poll_timeout(), commit].into_iter().flatten().min();
        due.map_or(self.state.clock_due, |due| due.min(self.state.clock_due))
    }

    /// Ready when there is anything to do.
    fn poll_ready(&mut self, cx: &mut Context<'_>, sleep: Pin<&mut Sleep>) -> Poll<()> {
        let mut ready = self.udp.iter().any(|port| port.poll_ready(cx).is_ready());
        if let Poll::Ready(Some(inbound)) = self.inbox.poll_recv(cx) {
            self.state.first = Some(inbound);
            ready = true;
        }
        match self.calls.poll_recv(cx) {
            Poll::Ready(Some(call)) => {
                self.state.called = Some(call);
                ready = true;
            }
            // Every handle was dropped: nobody can stop the server any more, and it goes on.
            Poll::Ready(None) | Poll::Pending => {}
        }
        ready |= self.storage.as_mut().is_some_and(|storage| storage.poll_done(cx).is_ready());
        ready |= sleep.poll(cx).is_ready();
        if ready { Poll::Ready(()) } else { Poll::Pending }
    }
}

fn down_reason(reason: CloseReason) -> FlowDownReason {
    match reason {
        CloseReason::Idle => FlowDownReason::Idle,
        CloseReason::BadFrame => FlowDownReason::Error,
        CloseReason::Replaced | CloseReason::Shutdown => FlowDownReason::Shutdown,
    }
}

/// Starts the worker that fetches keys; its answers go into the inbox.
pub(crate) fn key_fetcher(
    inbox: mpsc::Sender<Inbound>,
    notices: Arc<dyn Fn(Notice) + Send + Sync>,
) -> std::io::Result<KeyFetcher> {
    KeyFetcher::start(move |query, answer, error| {
        notices(match error {
            Some(error) => {
                Notice::KeysUnavailable { source: query.source.clone(), error: error.to_string().into() }
            }
            None => Notice::KeysFetched { source: query.source.clone() },
        });
        let _ = inbox.blocking_send(Inbound::Answer(answer));
    })
}

/// Starts the workers that ask about tokens; the answers go into the inbox.
pub(crate) fn introspector(
    inbox: mpsc::Sender<Inbound>,
    notices: Arc<dyn Fn(Notice) + Send + Sync>,
) -> std::io::Result<Introspector> {
    Introspector::start(move |query, answer, error| {
        if let Some(error) = error {
            let (endpoint, error) = (query.endpoint.clone(), error.to_string().into());
            notices(Notice::IntrospectionUnavailable { endpoint, error });
        }
        let _ = inbox.blocking_send(Inbound::Answer(answer));
    })
}

/// Runs the loop that `make` makes in a thread of its own, on a runtime that serves nothing else. The promise is kept
/// when the loop ends in order, and broken when it does not.
pub(crate) fn spawn<F>(
    make: impl FnOnce() -> std::io::Result<F> + Send + 'static,
    done: Promise<()>,
) -> std::io::Result<()>
where
    F: Future<Output = ()>,
{
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().enable_time().build()?;
    thread::Builder::new().name("strowger-engine".into()).spawn(move || {
        let made = {
            let _entered = runtime.enter();
            make()
        };
        if let Ok(run) = made {
            runtime.block_on(run);
            done.keep(());
        }
    })?;
    Ok(())
}
