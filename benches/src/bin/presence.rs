//! What presence costs in process: from a PUBLISH to the last NOTIFY it causes, and the memory of subscriptions.
//!
//! `presence` measures; `presence WATCHERS ROUNDS` runs one size under valgrind (`--toggle-collect='*publish_and_tell*'`).

use std::time::Duration;

use strowger_benches::counting::{Count, Counting};
use strowger_benches::micro;
use strowger_core::Engine;
use strowger_core::base::Time;
use strowger_core::config::{
    AccountConfig, AuthPolicy, Config, DigestAlgorithm, ListConfig, PresenceConfig, WatchPolicy,
};
use strowger_core::door::{Command, FlowId, Input, Secret, Transport};

#[global_allocator]
static ALLOCATOR: Counting = Counting;

const UDP: FlowId = FlowId(2);
/// Longer than any transaction lives (RFC 3261 timers J and K).
const OVER: Duration = Duration::from_secs(40);

/// A presentity, those who watch it, and an engine between them.
struct World {
    engine: Engine,
    now: Time,
    etag: String,
    publications: u32,
    notifies: Vec<Vec<u8>>,
}

impl World {
    fn new() -> World {
        World::with(0)
    }

    /// With so many accounts, and a buddy list of them.
    fn with(buddies: u32) -> World {
        let mut config = Config::new("example.com");
        config.policies.subscribe = AuthPolicy::Open;
        config.policies.publish = AuthPolicy::Open;
        config.limits.transaction_bytes = 1 << 30;
        config.limits.notifies_per_call = 1_000_000;
        // What it costs is measured, not how it is spread.
        (config.limits.notifies_per_second, config.limits.notifies_per_host) = (0, 0);
        let presence = PresenceConfig {
            pacing: Duration::ZERO,
            watchers: WatchPolicy::Everyone,
            ..PresenceConfig::default()
        };
        config.presence = Some(presence);
        config.accounts = (0..buddies)
            .map(|n| AccountConfig {
                username: if n == 0 { "bob".into() } else { format!("u{n}") },
                ha1: vec![(DigestAlgorithm::Md5, Secret("0".repeat(32)))],
                ..AccountConfig::default()
            })
            .collect();
        config.lists = if buddies > 0 { vec![ListConfig::buddies()] } else { Vec::new() };
        let now = Time::from_secs(1_700_000_000);
        let mut engine = Engine::new(config.validate().expect("it is good"), [5; 32], now);
        let local = "192.0.2.1:5060".parse().expect("an address");
        let (transport, remote) = (Transport::Udp, None);
        engine.handle(now, Input::FlowUp { flow: UDP, listener: 0, transport, local, remote, peer: None });
        World { engine, now, etag: String::new(), publications: 0, notifies: Vec::new() }
    }

    fn input(&mut self, data: &[u8]) {
        let (remote, local) =
            ("192.0.2.9:5060".parse().expect("an address"), "192.0.2.1:5060".parse().expect("an address"));
        self.engine.handle(self.now, Input::Message { flow: UDP, remote, local, data });
    }

    /// Takes what the engine sends: the NOTIFY requests are kept, the entity tag is remembered.
    fn drain(&mut self) {
        while let Some(command) = self.engine.poll_command() {
            let Command::Transmit(transmit) = command else { continue };
            if transmit.payload.starts_with(b"NOTIFY ") {
                self.notifies.push(transmit.payload.to_vec());
            } else if let Some(etag) = header(&transmit.payload, "SIP-ETag") {
                self.etag = etag.to_owned();
            }
        }
    }

    fn answer(&mut self) {
        for notify in std::mem::take(&mut self.notifies) {
            let mut answer = String::from("SIP/2.0 200 OK\r\n");
            for name in ["Via", "From", "To", "Call-ID", "CSeq"] {
                let value = header(&notify, name).expect("a NOTIFY has it");
                answer.push_str(&format!("{name}: {value}\r\n"));
            }
            answer.push_str("Content-Length: 0\r\n\r\n");
            self.input(answer.as_bytes());
        }
        self.drain();
    }

    fn wait(&mut self, span: Duration) {
        let end = self.now + span;
        while let Some(next) = self.engine.poll_timeout().filter(|next| *next <= end) {
            self.now = self.now.max(next);
            self.engine.handle(self.now, Input::Timeout);
            self.drain();
        }
        self.now = end;
    }

    fn subscribe(&mut self, watcher: u32) {
        self.subscribe_to(watcher, "bob");
    }

    fn subscribe_to(&mut self, watcher: u32, whom: &str) {
        let text = format!(
            "SUBSCRIBE sip:{whom}@example.com SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.9;branch=z9hG4bKs{watcher};rport\r\n\
             Max-Forwards: 70\r\nFrom: <sip:u{watcher}@example.com>;tag=t{watcher}\r\nTo: <sip:{whom}@example.com>\r\n\
             Supported: eventlist\r\nCall-ID: {watcher}@192.0.2.9\r\nCSeq: 1 SUBSCRIBE\r\nContact: <sip:u{watcher}@192.0.2.9:5060>\r\n\
             Event: presence\r\nExpires: 7200\r\nContent-Length: 0\r\n\r\n"
        );
        self.input(text.as_bytes());
        self.drain();
        while !self.notifies.is_empty() {
            self.answer();
        }
    }

    fn publication(&mut self) -> Vec<u8> {
        self.publications += 1;
        let n = self.publications;
        let body = format!(
            "<?xml version=\"1.0\"?><presence xmlns=\"urn:ietf:params:xml:ns:pidf\" entity=\"sip:bob@example.com\">\
             <tuple id=\"a\"><status><basic>open</basic></status><note>state {n:08}</note></tuple></presence>"
        );
        let known =
            if self.etag.is_empty() { String::new() } else { format!("SIP-If-Match: {}\r\n", self.etag) };
        format!(
            "PUBLISH sip:bob@example.com SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.9;branch=z9hG4bKp{n};rport\r\n\
             Max-Forwards: 70\r\nFrom: <sip:bob@example.com>;tag=b\r\nTo: <sip:bob@example.com>\r\n\
             Call-ID: p{n}@192.0.2.9\r\nCSeq: {n} PUBLISH\r\nEvent: presence\r\n{known}Expires: 7200\r\n\
             Content-Type: application/pidf+xml\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        )
        .into_bytes()
    }
}

/// What is measured: the PUBLISH comes in, and everything it causes has left.
#[inline(never)]
fn publish_and_tell(engine: &mut Engine, now: Time, data: &[u8], out: &mut Vec<Command>) {
    let (remote, local) =
        ("192.0.2.9:5060".parse().expect("an address"), "192.0.2.1:5060".parse().expect("an address"));
    engine.handle(now, Input::Message { flow: UDP, remote, local, data });
    out.extend(std::iter::from_fn(|| engine.poll_command()));
}

fn header<'m>(message: &'m [u8], name: &str) -> Option<&'m str> {
    let text = std::str::from_utf8(message).ok()?;
    text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
}

fn measure(watchers: u32, rounds: u32) {
    let mut world = World::new();
    let empty = Count::now();
    (0..watchers).for_each(|watcher| world.subscribe(watcher));
    run("watchers", world, empty, watchers, rounds);
}

/// Everybody watches everybody, in one list.
fn measure_list(users: u32, rounds: u32) {
    let mut world = World::with(users);
    let empty = Count::now();
    for watcher in 1..users {
        world.subscribe_to(watcher, "buddies");
        world.wait(Duration::from_secs(6));
    }
    run("list_of", world, empty, users - 1, rounds);
}

fn run(what: &str, mut world: World, empty: Count, watchers: u32, rounds: u32) {
    world.wait(OVER);
    let each = Count::now().since(empty).live as f64 / f64::from(watchers);
    let (mut best, mut calls) = (Duration::MAX, u64::MAX);
    let mut out = Vec::with_capacity(watchers as usize + 16);
    for _ in 0..rounds {
        let data = world.publication();
        let before = Count::now();
        let took = micro::timed(|| publish_and_tell(&mut world.engine, world.now, &data, &mut out));
        best = best.min(took);
        calls = calls.min(Count::now().since(before).calls);
        let notified = out.len() - 1;
        assert_eq!(notified, watchers as usize, "everybody is told");
        for command in out.drain(..) {
            let Command::Transmit(transmit) = command else { continue };
            match header(&transmit.payload, "SIP-ETag") {
                Some(etag) => world.etag = etag.to_owned(),
                None => world.notifies.push(transmit.payload.to_vec()),
            }
        }
        world.answer();
        world.wait(OVER);
    }
    println!(
        "{what}={watchers} us={:.1} ns_per_notify={:.0} allocations_per_notify={:.2} bytes_per_subscription={each:.0}",
        best.as_nanos() as f64 / 1e3,
        best.as_nanos() as f64 / f64::from(watchers),
        calls as f64 / f64::from(watchers),
    );
}

fn main() {
    let args: Vec<u32> = std::env::args().skip(1).filter_map(|arg| arg.parse().ok()).collect();
    match args[..] {
        [watchers, rounds] => measure(watchers, rounds),
        _ => {
            [(1, 150), (100, 100), (1_000, 30), (10_000, 5)].iter().for_each(|&(w, r)| measure(w, r));
            [(100, 20), (1_000, 5)].iter().for_each(|&(u, r)| measure_list(u, r));
        }
    }
}
