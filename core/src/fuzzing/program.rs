//! Programs over a whole engine: a few users, a few slots, every operation valid. The invariants are the oracle.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use arbitrary::{Arbitrary, Unstructured};

use crate::Engine;
use crate::base::{Time, hash, text};
use crate::config::{
    AccountConfig, AuthPolicy, Config, DigestAlgorithm, HashedCredential, ListenerConfig, MaxContacts,
    RegistrarConfig, Settings,
};
use crate::door::{
    Answer, Change, Command, CredentialsAnswer, FlowDownReason, FlowId, Input, KeepAlive, KeysAnswer, Query,
    Request, Secret, SendError, StoredBinding, Transport,
};
use crate::wire::{self, Bounds, Layout};

const START: Time = Time::from_secs(1_790_000_000);
const LOCAL: &str = "192.0.2.1:5060";
const UDP: FlowId = FlowId(2);
const USERS: u8 = 3;

/// A program.
#[derive(Clone, Debug, Arbitrary)]
pub struct Program {
    /// Nobody is asked for credentials.
    pub open: bool,
    /// What is done, one after the other.
    pub ops: Vec<Op>,
}

/// One operation. Numbers are folded into the few users and slots there are.
#[derive(Clone, Debug, Arbitrary)]
#[allow(missing_docs)]
pub enum Op {
    Register { user: u8, slot: u8, contact: u8, expires: Span, cseq: u8, call: u8, features: u8, right: bool },
    Remove { user: u8, slot: u8, cseq: u8, call: u8 },
    Options { slot: u8, branch: u8 },
    Invite { slot: u8, branch: u8 },
    Cancel { slot: u8, branch: u8 },
    Ack { slot: u8, branch: u8 },
    Again { back: u8, slot: u8 },
    Raw { slot: u8, bytes: Vec<u8> },
    FlowUp { slot: u8 },
    FlowDown { slot: u8 },
    Ping { slot: u8 },
    SendFailed { slot: u8 },
    Wait(Span),
    WaitForTimer,
    EarlyTimeout,
    Backwards,
    Answer { known: u8 },
    ForgedAnswer { index: u8 },
    Saved,
    SaveFailed,
    Lookup { user: u8 },
    List,
    Drop { user: u8 },
    Restore,
    Drain,
    Reload { open: bool },
    Clock { offset: i16 },
}

/// A length of time worth trying, in seconds.
#[derive(Clone, Copy, Debug, Arbitrary)]
#[allow(missing_docs)]
pub enum Span {
    Zero,
    Brief,
    Minute,
    Hour,
    Huge,
}

impl Span {
    fn secs(self) -> u64 {
        match self {
            Span::Zero => 0,
            Span::Brief => 1,
            Span::Minute => 61,
            Span::Hour => 3_600,
            Span::Huge => 1 << 31,
        }
    }
}

fn settings(open: bool) -> Arc<Settings> {
    let mut config = Config::new("example.com");
    config.listeners = [Transport::Udp, Transport::Tcp, Transport::Tls]
        .map(|transport| ListenerConfig {
            transport,
            addr: LOCAL.parse().expect("an address"),
            advertised: None,
            algorithms: None,
        })
        .into();
    config.accounts = (0..USERS)
        .map(|i| AccountConfig {
            username: format!("u{i}"),
            password: Some(Secret(format!("p{i}"))),
            ..AccountConfig::default()
        })
        .collect();
    config.digest.algorithms = vec![DigestAlgorithm::Md5];
    config.digest.foreign_store = true;
    let policy = if open { AuthPolicy::Open } else { AuthPolicy::Any };
    config.policies.register = policy;
    config.registrar = Some(RegistrarConfig {
        max_contacts: 3,
        max_contacts_policy: MaxContacts::ReplaceOldest,
        expiring_notice: Duration::from_secs(5),
        ..RegistrarConfig::default()
    });
    let limits = &mut config.limits;
    (limits.bindings, limits.aors, limits.flows, limits.parked, limits.nonces) = (6, 3, 5, 2, 8);
    limits.transaction_bytes = 64 << 10;
    config.tell.changes = true;
    config.tell.bindings = true;
    config.tell.outcomes = true;
    config.validate().expect("a whole configuration")
}

/// Runs a program. Bytes that are no program do nothing.
pub fn engine_ops(data: &[u8]) {
    let Ok(program) = Program::arbitrary_take_rest(Unstructured::new(data)) else { return };
    let mut host = Host::new(program.open);
    for op in program.ops.iter().take(400) {
        host.run(op);
    }
    host.end();
}

/// Which scheme the bytes are tried as.
#[derive(Clone, Copy, Debug)]
pub(super) enum Scheme {
    Digest,
    Bearer,
}

/// No invented credentials let anybody in.
pub(super) fn authorization(data: &[u8], scheme: Scheme) {
    let name = match scheme {
        Scheme::Digest => "Digest",
        Scheme::Bearer => "Bearer",
    };
    let value: Vec<u8> = data.iter().copied().filter(|b| !matches!(b, b'\r' | b'\n')).collect();
    let mut host = Host::new(false);
    let lead =
        if value.to_ascii_lowercase().starts_with(name.to_ascii_lowercase().as_bytes()) { "" } else { name };
    let mut m = host.register(0, 0, 0, "60", 1, 0, 0).into_bytes();
    let more = [b"Authorization: ", lead.as_bytes(), b" ", &value, b"\r\nContent-Length: 0\r\n\r\n"].concat();
    m.extend_from_slice(&more);
    host.send(0, &m);
    host.run(&Op::WaitForTimer);
    assert_eq!(host.engine.sizes().bindings, 0, "{}", String::from_utf8_lossy(&value));
    host.end();
}

struct Host {
    engine: Engine,
    now: Time,
    open: bool,
    up: BTreeSet<u8>,
    // How often a slot was connected: names of flows are never used again.
    lives: [u64; 4],
    sent: Vec<Vec<u8>>,
    nonce: Option<String>,
    uses: u32,
    asked: Vec<Query>,
    unsaved: Vec<(crate::door::SaveSeq, Change)>,
    stored: Vec<StoredBinding>,
    model: BTreeSet<(Box<str>, u64)>,
    // After a failed save the changes no longer add up to the state, and that is right.
    exact: bool,
    steps: u64,
}

impl Host {
    fn new(open: bool) -> Host {
        let mut host = Host {
            engine: Engine::new(settings(open), [7; 32], START),
            now: START,
            open,
            up: BTreeSet::new(),
            lives: [1; 4],
            sent: Vec::new(),
            nonce: None,
            uses: 0,
            asked: Vec::new(),
            unsaved: Vec::new(),
            stored: Vec::new(),
            model: BTreeSet::new(),
            exact: true,
            steps: 0,
        };
        let local = LOCAL.parse().expect("an address");
        host.feed(Input::FlowUp {
            flow: UDP,
            listener: 0,
            transport: Transport::Udp,
            local,
            remote: None,
            peer: None,
        });
        host
    }

    fn run(&mut self, op: &Op) {
        match op {
            Op::Register { user, slot, contact, expires, cseq, call, features, right } => {
                let expires = expires.secs().to_string();
                let mut m = self.register(*user, *slot, *contact, &expires, *cseq, *call, *features);
                m.push_str(&self.credentials(*user, *right));
                m.push_str("Content-Length: 0\r\n\r\n");
                let before = self.engine.sizes().bindings;
                self.send(*slot, m.as_bytes());
                if !*right && !self.open {
                    assert!(self.engine.sizes().bindings <= before, "wrong credentials bind nothing");
                }
            }
            Op::Remove { user, slot, cseq, call } => {
                let mut m = self.register(*user, *slot, 255, "0", *cseq, *call, 0);
                m.push_str(&self.credentials(*user, true));
                m.push_str("Content-Length: 0\r\n\r\n");
                self.send(*slot, m.as_bytes());
            }
            Op::Options { slot, branch } => self.simple("OPTIONS", *slot, *branch),
            Op::Invite { slot, branch } => self.simple("INVITE", *slot, *branch),
            Op::Cancel { slot, branch } => self.simple("CANCEL", *slot, *branch),
            Op::Ack { slot, branch } => self.simple("ACK", *slot, *branch),
            Op::Again { back, slot } => {
                if let Some(m) = self.sent.iter().rev().nth(usize::from(*back)).cloned() {
                    self.send(*slot, &m);
                }
            }
            Op::Raw { slot, bytes } => self.send(*slot, bytes),
            Op::FlowUp { slot } => self.flow_up(*slot),
            // The listener stays.
            Op::FlowDown { slot } if slot.is_multiple_of(4) => {}
            Op::FlowDown { slot } => {
                self.up.remove(&(slot % 4));
                self.feed(Input::FlowDown { flow: self.flow(*slot), reason: FlowDownReason::Closed });
            }
            Op::Ping { slot } => {
                self.feed(Input::KeepAlive {
                    flow: self.flow(*slot),
                    remote: remote(*slot),
                    kind: KeepAlive::Ping,
                });
            }
            Op::SendFailed { slot } => {
                self.feed(Input::SendFailed {
                    flow: self.flow(*slot),
                    remote: remote(*slot),
                    reason: SendError::Refused,
                });
            }
            Op::Wait(span) => {
                self.now = self.now + Duration::from_secs(span.secs().min(100_000));
                self.settle(self.now);
            }
            Op::WaitForTimer => {
                if let Some(at) = self.engine.poll_timeout() {
                    self.now = self.now.max(at);
                    self.feed(Input::Timeout);
                }
            }
            Op::EarlyTimeout => {
                let before = self.engine.poll_timeout();
                self.feed(Input::Timeout);
                if before.is_none_or(|at| at > self.now) {
                    assert!(self.engine.poll_timeout() >= before, "an early Timeout moves nothing");
                }
            }
            Op::Backwards => {
                let now = self.now;
                self.now = now - Duration::from_secs(1);
                self.feed(Input::Timeout);
                self.now = now;
            }
            Op::Answer { known } => self.answer(*known),
            Op::ForgedAnswer { index } => {
                let ticket = crate::door::Ticket::new(u32::from(*index), 1);
                self.feed(Input::Answer(Answer::Credentials(ticket, CredentialsAnswer::Unknown)));
            }
            Op::Saved => {
                if !self.unsaved.is_empty() {
                    let (seq, change) = self.unsaved.remove(0);
                    self.store(change);
                    self.feed(Input::Saved(seq));
                }
            }
            Op::SaveFailed => {
                if !self.unsaved.is_empty() {
                    let (seq, _) = self.unsaved.remove(0);
                    self.exact = false;
                    self.feed(Input::SaveFailed(seq));
                }
            }
            Op::Lookup { user } => {
                self.host(Request::Lookup { aor: format!("u{}@example.com", user % USERS).into() })
            }
            Op::List => self.host(Request::List { after: None, limit: 10 }),
            Op::Drop { user } => {
                let aor = format!("u{}@example.com", user % USERS).into();
                self.host(Request::RemoveBinding { aor, contact: None });
            }
            Op::Restore => {
                if let Some(stored) = self.stored.pop() {
                    self.exact = false;
                    self.host(Request::Restore(Box::new(Change::PutBinding(Box::new(stored)))));
                }
            }
            Op::Drain => self.host(Request::Drain { timeout: Duration::from_secs(60) }),
            Op::Reload { open } => {
                self.open = self.open || *open;
                self.feed(Input::Reload(settings(*open)));
            }
            Op::Clock { offset } => {
                self.feed(Input::Clock { wall_offset: i64::from(*offset) * 1_000_000_000 });
            }
        }
    }

    /// The flow a slot has now, or had last; the first slot is the UDP listener.
    fn flow(&self, slot: u8) -> FlowId {
        let slot = slot % 4;
        if slot == 0 { UDP } else { FlowId(2 * (self.lives[usize::from(slot)] * 8 + u64::from(slot))) }
    }

    fn flow_up(&mut self, slot: u8) {
        let slot = slot % 4;
        if slot == 0 || !self.up.insert(slot) {
            return;
        }
        self.lives[usize::from(slot)] += 1;
        let transport = if slot == 1 { Transport::Tls } else { Transport::Tcp };
        let (local, remote) = (LOCAL.parse().expect("an address"), Some(remote(slot)));
        let listener = if slot == 1 { 2 } else { 1 };
        self.feed(Input::FlowUp { flow: self.flow(slot), listener, transport, local, remote, peer: None });
    }

    #[allow(clippy::too_many_arguments)] // the parts of one message
    fn register(
        &self,
        user: u8,
        slot: u8,
        contact: u8,
        expires: &str,
        cseq: u8,
        call: u8,
        features: u8,
    ) -> String {
        let user = user % USERS;
        let number = u32::from(cseq);
        let transport = if slot.is_multiple_of(4) { "UDP" } else { "TCP" };
        let mut m = format!(
            "REGISTER sip:example.com SIP/2.0\r\nVia: SIP/2.0/{transport} {};branch=z9hG4bK{user}.{slot}.{number}.{call}.{};rport\r\n\
             From: <sip:u{user}@example.com>;tag=1\r\nTo: <sip:u{user}@example.com>\r\nCall-ID: {call}\r\n\
             CSeq: {number} REGISTER\r\nMax-Forwards: 70\r\n",
            remote(slot),
            self.steps,
        );
        match contact {
            255 => m.push_str("Contact: *\r\n"),
            254 => {}
            _ => {
                let instance = if features & 1 != 0 { ";+sip.instance=\"<urn:uuid:i>\"" } else { "" };
                let reg = if features & 2 != 0 { ";reg-id=1" } else { "" };
                m.push_str(&format!(
                    "Contact: <sip:u{user}@10.0.0.{}>;q=0.{}{instance}{reg}\r\n",
                    contact % 6,
                    contact % 10
                ));
                if features & 4 != 0 {
                    m.push_str(&format!(
                        "Contact: <sip:u{user}@10.0.0.7>;expires={}\r\n",
                        u32::from(features) * 20
                    ));
                }
            }
        }
        if features & 8 == 0 || contact == 255 {
            m.push_str(&format!("Expires: {expires}\r\n"));
        }
        if features & 16 != 0 {
            m.push_str("Supported: path, outbound, gruu\r\n");
        }
        m
    }

    fn credentials(&mut self, user: u8, right: bool) -> String {
        let Some(nonce) = self.nonce.clone().filter(|_| !self.open) else { return String::new() };
        let user = user % USERS;
        self.uses += 1;
        let hex = |parts: &[&[u8]]| {
            let mut out = [0; 32];
            let digest = hash::digest(DigestAlgorithm::Md5, parts);
            text::hex_into(digest.get(..16).unwrap_or_default(), &mut out);
            String::from_utf8_lossy(&out).into_owned()
        };
        let (name, password) = (format!("u{user}"), if right { format!("p{user}") } else { "wrong".into() });
        let a1 = hex(&[name.as_bytes(), b":example.com:", password.as_bytes()]);
        let a2 = hex(&[b"REGISTER:sip:example.com"]);
        let nc = format!("{:08x}", self.uses);
        let response =
            hex(&[a1.as_bytes(), b":", nonce.as_bytes(), b":", nc.as_bytes(), b":c:auth:", a2.as_bytes()]);
        format!(
            "Authorization: Digest username=\"{name}\", realm=\"example.com\", nonce=\"{nonce}\", uri=\"sip:example.com\", \
             response=\"{response}\", algorithm=MD5, qop=auth, nc={nc}, cnonce=\"c\"\r\n"
        )
    }

    fn simple(&mut self, method: &str, slot: u8, branch: u8) {
        let cseq = if matches!(method, "CANCEL" | "ACK") { "INVITE" } else { method };
        let m = format!(
            "{method} sip:u0@example.com SIP/2.0\r\nVia: SIP/2.0/UDP {};branch=z9hG4bK{cseq}{branch};rport\r\n\
             From: <sip:a@example.com>;tag=1\r\nTo: <sip:u0@example.com>\r\nCall-ID: {branch}\r\nCSeq: 1 {method}\r\n\
             Content-Length: 0\r\n\r\n",
            remote(slot)
        );
        self.send(slot, m.as_bytes());
    }

    fn send(&mut self, slot: u8, data: &[u8]) {
        if self.sent.len() < 64 {
            self.sent.push(data.to_vec());
        }
        let local = LOCAL.parse().expect("an address");
        self.feed(Input::Message { flow: self.flow(slot), remote: remote(slot), local, data });
    }

    fn host(&mut self, request: Request) {
        self.feed(Input::Host { reply: Some(1), request });
    }

    fn answer(&mut self, known: u8) {
        if self.asked.is_empty() {
            return;
        }
        match self.asked.remove(0) {
            Query::Credentials(q) => {
                let answer = match known % 3 {
                    0 => CredentialsAnswer::Unknown,
                    1 => CredentialsAnswer::Unavailable,
                    _ => CredentialsAnswer::Known {
                        credential: HashedCredential::of(q.algorithm, &q.username, &q.realm, "p"),
                        aors: vec![format!("{}@example.com", q.username).into()],
                    },
                };
                self.feed(Input::Answer(Answer::Credentials(q.ticket, answer)));
            }
            Query::Keys(q) => self.feed(Input::Answer(Answer::Keys(q.ticket, KeysAnswer::Unavailable))),
        }
    }

    fn feed(&mut self, input: Input<'_>) {
        self.steps += 1;
        // Now and then a copy goes the same way: it must command the same.
        let twin = self.steps.is_multiple_of(8).then(|| (self.engine.clone(), input.clone()));
        self.engine.handle(self.now, input);
        let commands: Vec<Command> = core::iter::from_fn(|| self.engine.poll_command()).collect();
        if let Some((mut twin, input)) = twin {
            twin.handle(self.now, input);
            assert_eq!(
                commands,
                core::iter::from_fn(|| twin.poll_command()).collect::<Vec<_>>(),
                "a copy does the same"
            );
            assert_eq!(twin.fingerprint(), self.engine.fingerprint(), "and is in the same state");
        }
        for command in commands {
            self.obey(command);
        }
        self.check();
    }

    fn obey(&mut self, command: Command) {
        match command {
            Command::Transmit(t) => self.look_at(&t.payload),
            Command::Ask(query) => self.asked.push(query),
            Command::Save(seq, change) => {
                match &change {
                    Change::PutBinding(b) => {
                        self.model.insert((b.view.aor.clone(), b.id));
                    }
                    Change::RemoveBinding { aor, id } => {
                        self.model.remove(&(aor.clone(), *id));
                    }
                    // What is stored is read back as it was.
                    other => assert_eq!(Change::from_record(&other.to_record()).as_ref(), Ok(other)),
                }
                self.unsaved.push((seq, change));
            }
            Command::Close { flow, .. } => {
                // A host reports every closed connection.
                if flow != UDP {
                    self.up
                        .retain(|slot| self.lives[usize::from(*slot)] * 8 + u64::from(*slot) != flow.0 / 2);
                    self.engine.handle(self.now, Input::FlowDown { flow, reason: FlowDownReason::Shutdown });
                    let more: Vec<Command> = core::iter::from_fn(|| self.engine.poll_command()).collect();
                    more.into_iter().for_each(|c| self.obey(c));
                }
            }
            Command::Open { .. } | Command::Ping { .. } | Command::Reply(_) | Command::Tell(_) => {}
        }
    }

    fn store(&mut self, change: Change) {
        match change {
            Change::PutBinding(b) => {
                self.stored.retain(|s| (&s.view.aor, s.id) != (&b.view.aor, b.id));
                self.stored.push(*b);
            }
            Change::RemoveBinding { aor, id } => self.stored.retain(|s| (&s.view.aor, s.id) != (&aor, id)),
            _ => {}
        }
    }

    /// What is sent can be read; a challenge gives the nonce of the next try.
    fn look_at(&mut self, payload: &[u8]) {
        if payload == b"\r\n" || payload.first().is_some_and(|b| *b < 4) {
            return;
        }
        let mut layout = Layout::new();
        let bounds = Bounds { message_bytes: usize::MAX, headers: usize::MAX };
        let Ok(msg) = wire::parse(payload, &mut layout, &bounds) else {
            panic!("what is sent cannot be read: {:?}", String::from_utf8_lossy(payload));
        };
        let challenge =
            msg.header(wire::Header::WwwAuthenticate).and_then(|v| wire::Challenge::parse(v).ok());
        if let Some(wire::Challenge::Digest(d)) = challenge
            && let Some(nonce) = d.nonce
        {
            self.nonce = Some(String::from_utf8_lossy(nonce.raw()).trim_matches('"').to_owned());
            self.uses = 0;
        }
    }

    fn check(&self) {
        let (sizes, settings) = (self.engine.sizes(), self.engine.settings());
        let limits = &settings.limits;
        for (what, is, most) in [
            ("bindings", sizes.bindings, limits.bindings),
            ("aors", sizes.aors, limits.aors.min(sizes.bindings)),
            ("flows", sizes.flows, limits.flows),
            ("parked", sizes.parked, limits.parked),
            ("nonces", sizes.nonces, limits.nonces),
            ("transaction bytes", sizes.transaction_bytes, limits.transaction_bytes),
            ("commands", sizes.commands, 0),
        ] {
            assert!(is <= most, "{what}: {is}, at most {most}");
        }
        if self.exact {
            assert_eq!(self.model.len(), sizes.bindings, "the changes add up to the bindings");
        }
    }

    /// Lets the engine do what is due until `until`.
    fn settle(&mut self, until: Time) {
        for _ in 0..100_000 {
            match self.engine.poll_timeout() {
                Some(at) if at <= until => {
                    self.now = self.now.max(at);
                    self.feed(Input::Timeout);
                }
                _ => return,
            }
        }
        panic!("the engine never rests");
    }

    /// Everything ends: no table and no timer is left but the listener.
    fn end(mut self) {
        for slot in self.up.clone() {
            self.run(&Op::FlowDown { slot });
        }
        self.settle(Time::MAX);
        let sizes = self.engine.sizes();
        let left = [
            sizes.aors,
            sizes.bindings,
            sizes.transactions,
            sizes.parked,
            sizes.nonces,
            sizes.tokens,
            sizes.timers,
        ];
        assert_eq!(left, [0; 7], "something is left at the end: {sizes:?}");
        assert_eq!((sizes.flows, sizes.transaction_bytes, self.engine.poll_timeout()), (1, 0, None));
    }
}

fn remote(slot: u8) -> SocketAddr {
    SocketAddr::from(([10, 0, 0, slot % 8], 5060 + u16::from(slot % 4)))
}
