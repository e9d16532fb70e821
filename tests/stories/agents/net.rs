//! A server, user agents in engines of their own, and a network between them that loses, doubles and delays.

use std::collections::{BTreeMap, BTreeSet};

use strowger_core::Engine;
use strowger_core::config::{CallsConfig, Config, ListenerConfig, MessagesConfig, PresenceConfig};
use strowger_core::door::{
    Answer, Command, Event, FlowDownReason, FlowId, Input, KeepAlive, Query, ReplyBody, Request, Resolved,
    Secret, Transport, UaAccount, UaRequest, UaStep, UaView,
};
use strowger_sim::Time;
use strowger_sim::message::Sip;
use strowger_sim::rng::Rng;
use strowger_sim::world::{START, config, password};

use crate::{ms, s};

const UDP: FlowId = FlowId(2);
pub(super) const SERVER: usize = 0;
pub(super) const ALICE: usize = 1;
pub(super) const BOB: usize = 2;
pub(super) const CAROL: usize = 3;
const ADDRS: [&str; 4] = ["192.0.2.1:5060", "198.51.100.2:5060", "203.0.113.3:5060", "203.0.113.4:5060"];
pub(super) const USERS: [&str; 4] = ["", "alice", "bob", "carol"];

enum Due {
    Message { flow: FlowId, remote: std::net::SocketAddr, data: Vec<u8> },
    Up { flow: FlowId, remote: std::net::SocketAddr, transport: Transport },
    Down { flow: FlowId, reason: FlowDownReason },
    Pong { flow: FlowId },
}

/// Everything.
pub(super) struct Net {
    pub(super) engines: Vec<Engine>,
    pub(super) now: Time,
    pub(super) rng: Rng,
    /// Of a hundred datagrams so many are lost, and so many doubled.
    pub(super) loss: u64,
    /// Nobody hears the server, and it hears nobody.
    pub(super) dark: bool,
    /// Nobody takes connections.
    pub(super) refuse: bool,
    /// What is sent may quote what nobody well-behaved said.
    pub(super) tolerant: bool,
    /// As whom the others see each of them: behind a NAT it is not who he thinks.
    pub(super) seen: Vec<std::net::SocketAddr>,
    life: u8,
    queue: BTreeMap<(Time, u64), (usize, Due)>,
    sequence: u64,
    /// Both ends of each connection.
    links: BTreeMap<(usize, FlowId), (usize, FlowId)>,
    /// The ends that are those of a WebSocket.
    webs: BTreeSet<(usize, FlowId)>,
    flows: u64,
    /// What each user agent has told.
    pub(super) told: Vec<Vec<UaStep>>,
    /// What was sent, whole, in order: by whom, and the message.
    pub(super) wire: Vec<(usize, String)>,
    replies: Vec<ReplyBody>,
}

fn addr(at: usize) -> std::net::SocketAddr {
    ADDRS[at].parse().expect("an address")
}

fn listeners(at: usize) -> Vec<ListenerConfig> {
    [Transport::Udp, Transport::Tcp]
        .map(|transport| ListenerConfig { transport, addr: addr(at), advertised: None, algorithms: None })
        .into()
}

fn server(life: u8, change: impl FnOnce(&mut Config)) -> Engine {
    let mut config = config();
    config.listeners = listeners(SERVER);
    config.presence = Some(PresenceConfig::default());
    config.messages = Some(MessagesConfig::default());
    config.calls = Some(CallsConfig::default());
    config.digest.boot_epoch += u32::from(life);
    // There is no store.
    config.tell.changes = false;
    change(&mut config);
    Engine::new(config.validate().expect("a configuration"), [life; 32], START)
}

/// The account of one of them, over this transport.
pub(super) fn account(at: usize, transport: &str) -> UaAccount {
    let mut account = UaAccount::new(format!("sip:{}@example.com", USERS[at]));
    account.password = Some(Secret(password(USERS[at]).into()));
    account.servers = vec![format!("sip:{}{transport}", ADDRS[SERVER]).into()];
    account
}

impl Net {
    pub(super) fn new(seed: u64, loss: u64) -> Net {
        Net::with(seed, loss, |_| {})
    }

    pub(super) fn with(seed: u64, loss: u64, change: impl FnOnce(&mut Config)) -> Net {
        let client = |at: usize| {
            let mut client = Config::new("client.invalid");
            client.listeners = listeners(at);
            client.server_name = "Phone".into();
            Engine::new(client.validate().expect("a configuration"), [at as u8 + 100; 32], START)
        };
        let mut net = Net {
            engines: vec![server(0, change), client(ALICE), client(BOB), client(CAROL)],
            now: START,
            rng: Rng::new(seed),
            loss,
            dark: false,
            refuse: false,
            tolerant: false,
            seen: (0..4).map(addr).collect(),
            life: 0,
            queue: BTreeMap::new(),
            sequence: 0,
            links: BTreeMap::new(),
            webs: BTreeSet::new(),
            flows: 2,
            told: vec![Vec::new(); 4],
            wire: Vec::new(),
            replies: Vec::new(),
        };
        (0..4).for_each(|at| net.up(at));
        net
    }

    fn up(&mut self, at: usize) {
        let (transport, local) = (Transport::Udp, addr(at));
        self.feed(at, Input::FlowUp { flow: UDP, listener: 0, transport, local, remote: None, peer: None });
    }

    /// The server begins anew, and knows nothing.
    pub(super) fn restart(&mut self) {
        self.life += 1;
        self.break_streams();
        self.engines[SERVER] = server(self.life, |_| {});
        self.up(SERVER);
    }

    /// All connections are gone.
    pub(super) fn break_streams(&mut self) {
        for ((at, flow), _) in std::mem::take(&mut self.links) {
            self.later(1, at, Due::Down { flow, reason: FlowDownReason::Closed });
        }
    }

    fn later(&mut self, delay: u64, to: usize, due: Due) {
        self.sequence += 1;
        self.queue.insert((self.now + ms(delay), self.sequence), (to, due));
    }

    pub(super) fn feed(&mut self, at: usize, input: Input<'_>) {
        self.engines[at].handle(self.now, input);
        while let Some(command) = self.engines[at].poll_command() {
            match command {
                Command::Transmit(t) => self.transmit(at, t.flow, t.remote, &t.payload),
                Command::Ping { flow, remote, .. } => {
                    self.wire.push((at, format!("PING {} {remote}", flow.0)));
                    // The WebSocket of the other end answers by itself.
                    if self.webs.contains(&(at, flow)) && self.links.contains_key(&(at, flow)) && !self.dark {
                        self.later(20, at, Due::Pong { flow });
                    }
                }
                Command::Open { flow, transport, remote, .. } => self.open(at, flow, transport, remote),
                Command::Close { flow, .. } => {
                    let Some(other) = self.links.remove(&(at, flow)) else { continue };
                    self.links.remove(&other);
                    self.later(1, at, Due::Down { flow, reason: FlowDownReason::Shutdown });
                    self.later(10, other.0, Due::Down { flow: other.1, reason: FlowDownReason::Closed });
                }
                Command::Tell(Event::Ua(event)) if event.ua == 7 => self.told[at].push(event.step),
                Command::Reply(reply) => self.replies.push(reply.body),
                Command::Ask(Query::Resolve(query)) => {
                    let ways =
                        (0..4).filter(|to| query.host.parse() == Ok(addr(*to).ip())).map(|to| Resolved {
                            transport: query.transport.unwrap_or(Transport::Udp),
                            remote: addr(to),
                            local: addr(at),
                            listener: 0,
                            server_name: None,
                        });
                    let answer = Answer::Resolved(query.ticket, ways.collect());
                    self.feed(at, Input::Answer(answer));
                }
                _ => {}
            }
        }
    }

    fn open(&mut self, at: usize, flow: FlowId, transport: Transport, remote: std::net::SocketAddr) {
        let to = (0..4).find(|to| addr(*to) == remote);
        let spoken = transport.is_web() || transport == Transport::Tcp;
        let Some(to) = to.filter(|_| spoken && !self.dark && !self.refuse) else {
            return self.later(10, at, Due::Down { flow, reason: FlowDownReason::Unreachable });
        };
        self.flows += 2;
        let (theirs, from) =
            (FlowId(self.flows), std::net::SocketAddr::new(addr(at).ip(), 40_000 + self.flows as u16));
        self.links.insert((at, flow), (to, theirs));
        self.links.insert((to, theirs), (at, flow));
        if transport.is_web() {
            self.webs.extend([(at, flow), (to, theirs)]);
        }
        self.later(5, to, Due::Up { flow: theirs, remote: from, transport });
        self.later(5, at, Due::Up { flow, remote, transport });
    }

    fn transmit(&mut self, at: usize, flow: FlowId, remote: std::net::SocketAddr, data: &[u8]) {
        let text = String::from_utf8_lossy(data).into_owned();
        let is_sip = data.first().is_some_and(|byte| *byte >= b'A');
        if is_sip && !self.tolerant {
            Sip::read(data).expect("well-formed");
        }
        self.wire.push((at, text));
        if let Some((to, theirs)) = self.links.get(&(at, flow)).copied() {
            let due = Due::Message { flow: theirs, remote: addr(at), data: data.to_vec() };
            return self.later(if self.dark { u64::from(u32::MAX) } else { 10 }, to, due);
        }
        let Some(to) = (0..4).find(|to| self.seen[*to] == remote) else { return };
        let copies = match self.rng.below(100) {
            _ if self.dark => 0,
            n if n < self.loss => 0,
            n if n < self.loss * 2 => 2,
            _ => 1,
        };
        for _ in 0..copies {
            let delay = if self.loss > 0 { 5 + self.rng.below(300) } else { 10 };
            let remote = self.seen[at];
            self.later(delay, to, Due::Message { flow: UDP, remote, data: data.to_vec() });
        }
    }

    pub(super) fn run_for(&mut self, seconds: u64) {
        let end = self.now + s(seconds);
        loop {
            let arrival = self.queue.keys().next().map(|(at, _)| *at);
            let due: Vec<Option<Time>> = self.engines.iter().map(Engine::poll_timeout).collect();
            let next = arrival.into_iter().chain(due.iter().copied().flatten()).min();
            let Some(next) = next.filter(|at| *at <= end) else { break };
            self.now = self.now.max(next);
            if let Some(at) = due.iter().position(|due| *due == Some(next)) {
                self.feed(at, Input::Timeout);
                continue;
            }
            let Some((_, (to, due))) = self.queue.pop_first() else { continue };
            let local = addr(to);
            match due {
                Due::Message { flow, remote, data } => {
                    self.feed(to, Input::Message { flow, remote, local, data: &data })
                }
                Due::Up { flow, remote, transport } => {
                    let remote = Some(remote);
                    self.feed(to, Input::FlowUp { flow, listener: 1, transport, local, remote, peer: None });
                }
                Due::Down { flow, reason } => self.feed(to, Input::FlowDown { flow, reason }),
                Due::Pong { flow } => {
                    let remote = self.seen[SERVER];
                    self.feed(to, Input::KeepAlive { flow, remote, kind: KeepAlive::Pong });
                }
            }
        }
        self.now = end;
    }

    pub(super) fn ask(&mut self, at: usize, request: Request) -> ReplyBody {
        self.feed(at, Input::Host { reply: Some(1), request });
        self.replies.pop().expect("a reply")
    }

    /// A datagram of nobody in particular, as if from the server.
    pub(super) fn inject(&mut self, at: usize, data: &[u8]) {
        let (remote, local) = (addr(SERVER), addr(at));
        self.feed(at, Input::Message { flow: UDP, remote, local, data });
    }

    /// Something that the user agent does.
    pub(super) fn ua(&mut self, at: usize, request: UaRequest) -> ReplyBody {
        self.ask(at, Request::Ua { ua: 7, request })
    }

    /// The same where nothing speaks against it.
    pub(super) fn does(&mut self, at: usize, request: UaRequest) {
        assert_eq!(self.ua(at, request), ReplyBody::Done);
    }

    /// The same, and its number.
    pub(super) fn begins(&mut self, at: usize, request: UaRequest) -> u64 {
        match self.ua(at, request) {
            ReplyBody::Begun(id) => id,
            other => panic!("{other:?}"),
        }
    }

    pub(super) fn opens(&mut self, at: usize, transport: &str) {
        self.does(at, UaRequest::Open(Box::new(account(at, transport))));
    }

    /// It is there, and registered.
    pub(super) fn registers(&mut self, at: usize, transport: &str) {
        self.opens(at, transport);
        self.does(at, UaRequest::Register);
        self.run_for(2);
        assert!(self.view(at).is_registered(), "{:?}", self.told[at]);
    }

    pub(super) fn view(&mut self, at: usize) -> UaView {
        match self.ua(at, UaRequest::View) {
            ReplyBody::Ua(view) => *view,
            other => panic!("{other:?}"),
        }
    }

    /// How many phones of one of them the server knows.
    pub(super) fn phones(&mut self, at: usize) -> usize {
        match self.ask(SERVER, Request::Lookup { aor: format!("{}@example.com", USERS[at]).into() }) {
            ReplyBody::Bindings(bindings) => bindings.len(),
            other => panic!("{other:?}"),
        }
    }

    /// What was told since the last time.
    pub(super) fn news(&mut self, at: usize) -> Vec<UaStep> {
        std::mem::take(&mut self.told[at])
    }

    /// First lines of what was sent since the last time.
    pub(super) fn lines(&mut self) -> Vec<String> {
        let first = |(at, text): &(usize, String)| {
            let who = ["server", "alice", "bob", "carol"][*at];
            format!("{who:>6}  {}", text.lines().next().unwrap_or_default())
        };
        let lines = self.wire.iter().map(first).collect();
        self.wire.clear();
        lines
    }

    /// The last message that begins so.
    pub(super) fn last(&self, start: &str) -> String {
        let found = self.wire.iter().rev().find(|(_, text)| text.starts_with(start));
        found.unwrap_or_else(|| panic!("no {start}")).1.replace("\r\n", "\n")
    }

    /// The last that one of them sent.
    pub(super) fn sent(&self, at: usize, start: &str) -> String {
        let found = self.wire.iter().rev().find(|(who, text)| *who == at && text.starts_with(start));
        found.unwrap_or_else(|| panic!("no {start}")).1.replace("\r\n", "\n")
    }

    /// How many begin so.
    pub(super) fn count(&self, start: &str) -> usize {
        self.wire.iter().filter(|(_, text)| text.starts_with(start)).count()
    }

    /// Whatever is left must end by itself.
    pub(super) fn end(mut self) {
        (self.loss, self.dark) = (0, false);
        for at in [ALICE, BOB, CAROL] {
            self.ua(at, UaRequest::Close);
        }
        self.run_for(10_000);
        self.break_streams();
        self.run_for(100);
        for (at, engine) in self.engines.iter().enumerate() {
            let sizes = engine.sizes();
            let left = [
                sizes.wishes,
                sizes.user_agents,
                sizes.subscriptions,
                sizes.publications,
                sizes.bindings,
                sizes.calls,
                sizes.transactions,
                sizes.timers,
            ];
            // The server remembers users and nonces for a while.
            let allowed = if at == SERVER { sizes.timers } else { 0 };
            assert_eq!(left, [0, 0, 0, 0, 0, 0, 0, allowed], "{at}: {sizes:?}");
        }
    }
}
