//! The world: one engine, its phones, and everything between them, in virtual time.

mod checks;
mod feed;
mod rule;
mod talk;
mod wire;

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::ops::{Index, IndexMut};
use std::sync::Arc;
use std::time::Duration;

use strowger_core::Engine;
use strowger_core::config::{AccountConfig, Config, ListenerConfig, RegistrarConfig, Settings};
use strowger_core::door::{
    Event, FlowDownReason, FlowId, Input, MediaStep, Reply, ReplyBody, Request, Secret, Transport,
};

use crate::Time;
use crate::audit::Audit;
use crate::ladder::Ladder;
use crate::network::{Link, Nat};
use crate::phone::{Phone, Via};
use crate::replay::Recording;
use crate::rng::Rng;
use crate::store::{Directory, Store};
use crate::tape::{Keep, Tape};

pub use checks::Invariants;
use rule::Rule;
use wire::Connection;

/// Where every world begins: a second in the autumn of 2026.
pub const START: Time = Time::from_secs(1_790_000_000);

/// Names a phone of a world.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct PhoneId(pub usize);

/// Something that will happen.
#[derive(Clone, Debug)]
enum Due {
    ToServer {
        transport: Transport,
        remote: SocketAddr,
        local: SocketAddr,
        connection: Option<FlowId>,
        data: Vec<u8>,
    },
    ToPhone {
        phone: PhoneId,
        data: Vec<u8>,
        connection: Option<FlowId>,
    },
    Connected {
        flow: FlowId,
    },
    Broken {
        flow: FlowId,
        reason: FlowDownReason,
    },
    PhoneNotices {
        phone: PhoneId,
        flow: FlowId,
    },
    Wake {
        phone: PhoneId,
    },
    Commit {
        life: u32,
        seq: strowger_core::door::SaveSeq,
    },
    Answer {
        life: u32,
        answer: strowger_core::door::Answer,
    },
}

/// One phone and the way it is attached.
#[derive(Clone, Debug)]
struct Seat {
    phone: Phone,
    link: Link,
    nat: Option<usize>,
    connection: Option<FlowId>,
    wake_at: Option<Time>,
    impostor: bool,
    lose_to_server: u32,
    lose_to_phone: u32,
}

/// A relay of media.
#[derive(Clone, Copy, Debug)]
pub struct Relay {
    /// The address it shows.
    pub addr: IpAddr,
    /// How long it takes to answer.
    pub takes: Duration,
    /// What it has no room for.
    pub refuses: Option<MediaStep>,
}

/// The world. Build it, act on its phones, let time run, and finish it.
///
/// - *Building*: [`World::new`], [`World::with`], [`World::phone`], [`World::link`], [`World::nat`], [`World::on_route`].
/// - *Acting*: [`World::act`], [`World::host`], [`World::break_flow`], [`World::rebind`], [`World::restart`].
/// - *Time*: [`World::run_for`], [`World::run_until`].
/// - *Looking*: indexing by a phone, [`World::ladder`], [`World::engine`], [`World::finish`].
pub struct World {
    /// Virtual time.
    pub now: Time,
    /// What happened.
    pub tape: Tape,
    /// What was checked.
    pub audit: Audit,
    /// The store behind the engine.
    pub store: Store,
    /// Accounts the engine does not hold itself.
    pub directory: Directory,
    /// The relay of media, if there is one.
    pub relay: Option<Relay>,
    /// Issuers of tokens, in the order of the settings.
    #[cfg(feature = "jwt")]
    pub issuers: Vec<crate::issuer::Issuer>,
    /// Final responses by method and status, as the engine told them.
    pub outcomes: BTreeMap<(String, u16), u64>,
    /// Replies to requests of the host.
    pub replies: Vec<Reply>,
    /// Events told, but outcomes.
    pub events: Vec<Event>,
    /// How long the rule of [`World::on_route`] thinks about each call and message.
    pub thinks: Duration,
    /// Inputs and commands, if they are recorded.
    pub recording: Option<Recording>,
    config: Config,
    settings: Arc<Settings>,
    seed: u64,
    salt: u64,
    start: Time,
    engine: Option<Engine>,
    life: u32,
    rng: Rng,
    queue: BTreeMap<(Time, u64), Due>,
    sequence: u64,
    seats: Vec<Seat>,
    nats: Vec<Nat>,
    by_addr: BTreeMap<SocketAddr, PhoneId>,
    connections: BTreeMap<FlowId, Connection>,
    next_flow: u64,
    invariants: Invariants,
    rule: Option<Rule>,
}

impl std::fmt::Debug for World {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("World")
            .field("seed", &self.seed)
            .field("now", &self.now)
            .field("tape", &self.tape)
            .finish_non_exhaustive()
    }
}

impl Index<PhoneId> for World {
    type Output = Phone;
    fn index(&self, phone: PhoneId) -> &Phone {
        &self.seats[phone.0].phone
    }
}

impl IndexMut<PhoneId> for World {
    fn index_mut(&mut self, phone: PhoneId) -> &mut Phone {
        &mut self.seats[phone.0].phone
    }
}

/// The password of a user of every world.
pub fn password(user: &str) -> String {
    format!("{user}-secret")
}

/// An account for a user, with the AoR `user@example.com`.
pub fn account(user: &str) -> AccountConfig {
    AccountConfig {
        username: user.into(),
        password: Some(Secret(password(user))),
        ..AccountConfig::default()
    }
}

/// The configuration of every world unless it is changed: the domain example.com, the accounts alice, bob and carol,
/// a registrar, UDP, TCP and TLS bound to wildcard addresses, all events told.
pub fn config() -> Config {
    let mut config = Config::new("example.com");
    config.accounts = ["alice", "bob", "carol"].map(account).into();
    config.registrar = Some(RegistrarConfig::default());
    let listen = |transport, addr: &str| ListenerConfig {
        transport,
        addr: addr.parse().expect("an address"),
        advertised: None,
        algorithms: None,
    };
    config.listeners = vec![
        listen(Transport::Udp, "0.0.0.0:5060"),
        listen(Transport::Udp, "[::]:5060"),
        listen(Transport::Tcp, "0.0.0.0:5060"),
        listen(Transport::Tcp, "[::]:5060"),
        listen(Transport::Tls, "0.0.0.0:5061"),
        listen(Transport::Tls, "[::]:5061"),
    ];
    config.tell.bindings = true;
    config.tell.changes = true;
    config.tell.outcomes = true;
    config.tell.drops = true;
    config
}

impl World {
    /// A world for a seed, with the usual configuration.
    pub fn new(seed: u64) -> World {
        World::with(seed, |_| {})
    }

    /// A world whose configuration is changed first.
    pub fn with(seed: u64, change: impl FnOnce(&mut Config)) -> World {
        World::at(seed, START, change)
    }

    /// A world that begins at another time.
    pub fn at(seed: u64, start: Time, change: impl FnOnce(&mut Config)) -> World {
        let mut config = config();
        change(&mut config);
        let settings = config.clone().validate().expect("the configuration of the world");
        let mut world = World {
            now: start,
            tape: Tape::new(Keep::Lines),
            audit: Audit::new(),
            store: Store::new(),
            directory: Directory::default(),
            relay: None,
            #[cfg(feature = "jwt")]
            issuers: Vec::new(),
            outcomes: BTreeMap::new(),
            replies: Vec::new(),
            events: Vec::new(),
            thinks: Duration::ZERO,
            rule: None,
            recording: None,
            invariants: Invariants::default(),
            config,
            settings,
            seed,
            salt: 0,
            start,
            engine: None,
            life: 0,
            rng: Rng::fork(seed, 1),
            queue: BTreeMap::new(),
            sequence: 0,
            seats: Vec::new(),
            nats: Vec::new(),
            by_addr: BTreeMap::new(),
            connections: BTreeMap::new(),
            next_flow: 100,
        };
        world.boot();
        world
    }

    /// Keeps only the hash of what happens: for large worlds.
    pub fn forgetful(mut self) -> World {
        self.tape = Tape::new(Keep::Hash);
        self
    }

    /// Records every input and command from the engine's first on. Must be called before anything happens.
    pub fn recorded(mut self) -> World {
        self.engine = None;
        self.life = 0;
        self.recording = Some(Recording::new(Arc::clone(&self.settings), self.start));
        self.boot();
        self
    }

    /// Gives the engine another seed, and nothing else. Must be called before anything happens.
    pub fn reseeded(mut self, salt: u64) -> World {
        self.salt = salt;
        self.engine = None;
        self.life = 0;
        self.boot();
        self
    }

    /// A phone of a user of that name, attached by a good link.
    pub fn phone(&mut self, name: &str) -> PhoneId {
        self.phone_of(name, name)
    }

    /// A phone with a name of its own.
    pub fn phone_of(&mut self, name: &str, user: &str) -> PhoneId {
        let n = self.seats.len() as u32 + 2;
        let addr = SocketAddr::from(([10, (n >> 16) as u8, (n >> 8) as u8, n as u8], 5060));
        self.phone_at(name, user, addr)
    }

    /// A phone with an address of its own.
    pub fn phone_at(&mut self, name: &str, user: &str, addr: SocketAddr) -> PhoneId {
        let id = PhoneId(self.seats.len());
        let rng = Rng::fork(self.seed, 1000 + id.0 as u64);
        let phone = Phone::new(name, user, "example.com", &password(user), addr, rng);
        self.seats.push(Seat {
            phone,
            link: Link::GOOD,
            nat: None,
            connection: None,
            wake_at: None,
            impostor: false,
            lose_to_server: 0,
            lose_to_phone: 0,
        });
        self.by_addr.insert(addr, id);
        id
    }

    /// Somebody who must never get a binding: an invariant watches.
    pub fn impostor(&mut self, name: &str, user: &str, password: &str) -> PhoneId {
        let id = self.phone_of(name, user);
        self.seats[id.0].impostor = true;
        self[id].password = password.into();
        id
    }

    /// Changes the way between a phone and the server.
    pub fn link(&mut self, phone: PhoneId, link: Link) {
        self.seats[phone.0].link = link;
    }

    /// Loses the next datagrams of a phone: so many on the way to the server, so many on the way back.
    pub fn lose(&mut self, phone: PhoneId, to_server: u32, to_phone: u32) {
        let seat = &mut self.seats[phone.0];
        (seat.lose_to_server, seat.lose_to_phone) = (to_server, to_phone);
    }

    /// Puts a phone behind a NAT of its own, or behind that of another phone with the same public address.
    pub fn nat(&mut self, phone: PhoneId, public: &str) {
        let public: IpAddr = public.parse().expect("an address");
        let known = self.nats.iter().position(|n| n.public() == public);
        let nat = known.unwrap_or_else(|| {
            self.nats.push(Nat::new(public));
            self.nats.len() - 1
        });
        self.seats[phone.0].nat = Some(nat);
    }

    /// The NAT in front of a phone forgets all its mappings.
    pub fn rebind(&mut self, phone: PhoneId) {
        if let Some(nat) = self.seats[phone.0].nat {
            self.nats[nat].rebind();
        }
        self.note(format!("the NAT of {} forgets its mappings", self[phone].name));
    }

    /// Lets a phone do something, and puts what it says on the wire.
    pub fn act<T>(&mut self, phone: PhoneId, script: impl FnOnce(&mut Phone, Time) -> T) -> T {
        let (now, before) = (self.now, self[phone].addr);
        let result = script(&mut self.seats[phone.0].phone, now);
        let after = self[phone].addr;
        if before != after {
            self.by_addr.remove(&before);
            self.by_addr.insert(after, phone);
        }
        self.flush(phone);
        result
    }

    /// Asks the engine something, as its host.
    pub fn host(&mut self, request: Request) -> Option<ReplyBody> {
        let reply = Some(self.replies.len() as u64);
        self.feed(Input::Host { reply, request });
        self.replies.iter().rfind(|r| Some(r.to) == reply).map(|r| r.body.clone())
    }

    /// The contacts bound to an AoR, as the location API shows them.
    pub fn contacts(&mut self, aor: &str) -> Vec<String> {
        match self.host(Request::Lookup { aor: aor.into() }) {
            Some(ReplyBody::Bindings(bindings)) => bindings.into_iter().map(|b| b.contact.into()).collect(),
            _ => Vec::new(),
        }
    }

    /// Gives the engine new settings.
    pub fn reload(&mut self, change: impl FnOnce(&mut Config)) {
        change(&mut self.config);
        self.settings = self.config.clone().validate().expect("the configuration of the world");
        self.note("the server reloads its configuration");
        let settings = Arc::clone(&self.settings);
        self.feed(Input::Reload(settings));
    }

    /// Writes a line into the ladder.
    pub fn note(&mut self, text: impl Into<String>) {
        self.tape.note(self.now, text);
    }

    /// The engine; there is none while the server is down.
    pub fn engine(&self) -> Option<&Engine> {
        self.engine.as_ref()
    }

    /// What happened so far, as text.
    pub fn ladder(&self) -> Ladder<'_> {
        Ladder::new(&self.tape, self.start)
    }

    /// Stops the server as a crash does: connections break, packets go nowhere.
    pub fn stop_server(&mut self) {
        self.note("the server stops");
        self.engine = None;
        self.store.crash();
        for flow in self.connections.keys().copied().collect::<Vec<_>>() {
            self.drop_connection(flow);
        }
    }

    /// Starts the server again: what the store holds is restored first.
    pub fn start_server(&mut self) {
        self.note("the server starts");
        self.config.digest.boot_epoch += 1;
        self.audit.restarted();
        self.seats.iter_mut().for_each(|seat| seat.phone.server_restarted());
        self.settings = self.config.clone().validate().expect("the configuration of the world");
        self.boot();
    }

    /// Stops and starts the server at once.
    pub fn restart(&mut self) {
        self.stop_server();
        self.start_server();
    }

    /// Lets time pass.
    pub fn run_for(&mut self, span: Duration) {
        let end = self.now + span;
        while self.step(end) {}
        self.now = end;
    }

    /// Lets time pass until something is so; false if it was not so within the span.
    pub fn run_until(&mut self, span: Duration, mut what: impl FnMut(&World) -> bool) -> bool {
        let end = self.now + span;
        while !what(self) {
            if !self.step(end) {
                self.now = end;
                return what(self);
            }
        }
        true
    }

    /// Ends the world: all phones are switched off, time runs until everything has expired, and then nothing may be
    /// left in the engine, no rule broken and no phone confused. Returns the tape.
    pub fn finish(mut self) -> Tape {
        self.check_calls();
        for i in 0..self.seats.len() {
            self.act(PhoneId(i), |p, _| p.power_off());
        }
        self.note("all phones are switched off");
        let end = self.now + Duration::from_secs(3 * 86_400);
        while self.queue.keys().next().is_some() || self.engine_deadline().is_some() {
            if self.is_quiet() || !self.step(end) {
                break;
            }
        }
        for flow in self.connections.keys().copied().collect::<Vec<_>>() {
            self.drop_connection(flow);
            self.feed(Input::FlowDown { flow, reason: FlowDownReason::Closed });
        }
        self.check_end();
        self.tape
    }

    fn engine_seed(&self) -> [u8; 32] {
        Rng::fork(self.seed ^ self.salt, 2 + u64::from(self.life)).seed()
    }

    fn schedule(&mut self, at: Time, due: Due) {
        self.sequence += 1;
        self.queue.insert((at.max(self.now), self.sequence), due);
    }

    /// Our address a phone talks to.
    fn server_addr(&self, phone: PhoneId) -> SocketAddr {
        let seat = &self.seats[phone.0];
        let port = if seat.phone.habits.via == Via::Tls { 5061 } else { 5060 };
        let ip: IpAddr = if seat.phone.addr.is_ipv4() {
            [192, 0, 2, 1].into()
        } else {
            "2001:db8::10".parse().expect("an address")
        };
        SocketAddr::new(ip, port)
    }
}
