//! The host around the engine: its settings, its connections, what it was asked and told to keep.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use super::phones::Calling;
use super::presence::Watching;
use crate::Engine;
use crate::base::Time;
use crate::config::{
    AccountConfig, AuthPolicy, CallsConfig, Config, DigestAlgorithm, HashedCredential, IpNet, ListenerConfig,
    MaxContacts, MediaMode, MessagesConfig, PresenceConfig, RegistrarConfig, RouteConfig, RouteTo, Settings,
    TrunkConfig, WatchAction, WatchRule,
};
use crate::door::{
    Answer, Change, Command, CredentialsAnswer, Event, FlowDownReason, FlowId, Input, IntrospectAnswer,
    KeysAnswer, MediaAnswer, Query, Request, Resolved, RouteAnswer, RouteTarget, Secret, StoredBinding,
    Transport,
};

const START: Time = Time::from_secs(1_790_000_000);
const LOCAL: &str = "192.0.2.1:5060";
const UDP: FlowId = FlowId(2);
pub(super) const USERS: u8 = 3;

/// What there is beside the registrar.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Rooms {
    Nothing,
    Presence,
    Calls,
    /// Calls whose media are relayed.
    Relayed,
}

impl Rooms {
    pub(super) fn have_calls(self) -> bool {
        matches!(self, Rooms::Calls | Rooms::Relayed)
    }
}

pub(super) fn settings(open: bool, rooms: Rooms) -> Arc<Settings> {
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
    if rooms == Rooms::Presence {
        (config.policies.subscribe, config.policies.publish) = (AuthPolicy::Open, AuthPolicy::Open);
        let rule = |watcher: &str, action| WatchRule {
            presentity: "u0@example.com".into(),
            watcher: watcher.into(),
            action,
        };
        let rules =
            vec![rule("u1@example.com", WatchAction::Confirm), rule("u2@example.com", WatchAction::Block)];
        config.presence = Some(PresenceConfig { rules, ..PresenceConfig::default() });
    }
    if rooms.have_calls() {
        add_calls(&mut config, policy);
    }
    if rooms == Rooms::Relayed {
        config.calls.get_or_insert_default().media.mode = MediaMode::Always;
    }
    config.tell.changes = true;
    config.tell.bindings = true;
    config.tell.outcomes = true;
    config.validate().expect("a whole configuration")
}

/// Routes of each kind, few calls at a time.
fn add_calls(config: &mut Config, policy: AuthPolicy) {
    (config.policies.invite, config.policies.message) = (policy, policy);
    config.messages = Some(MessagesConfig { default_expires: 600, max_expires: 3_600, ..Default::default() });
    let route = |pattern: &str, to: &[(&str, u16)]| RouteConfig {
        pattern: pattern.into(),
        targets: to.iter().map(|(to, q)| RouteTo { to: (*to).into(), q: *q, ..RouteTo::default() }).collect(),
    };
    let trunk = TrunkConfig {
        username: "me".into(),
        password: Some(Secret("secret".into())),
        ..TrunkConfig::new("far", "sip:far.example")
    };
    let near = TrunkConfig {
        sources: vec![IpNet::parse("10.0.0.7").expect("a net")],
        ..TrunkConfig::new("near", "sip:10.0.0.4")
    };
    config.calls = Some(CallsConfig {
        ring_timeout: Duration::from_secs(60),
        target_timeout: Duration::from_secs(20),
        max_duration: Duration::from_secs(3_600),
        session_expires: 120,
        min_se: 90,
        ask_route: !matches!(policy, AuthPolicy::Open),
        routes: vec![
            route(
                "7*",
                &[("sip:u1@example.com", 1000), ("sip:u2@example.com", 1000), ("sip:u0@example.com", 500)],
            ),
            route("+44*", &[("sip:{user}@far.example", 1000), ("sip:{user}@10.0.0.4", 500)]),
        ],
        trunks: vec![trunk, near],
        dial: vec!["*".into(), "*@*".into()],
        ..CallsConfig::default()
    });
    for (i, account) in config.accounts.iter_mut().enumerate() {
        account.may_relay = true;
        if i == 2 {
            account.forward.busy = Some("sip:u0@example.com".into());
            account.forward.no_answer = Some("sip:u1@example.com".into());
            account.forward.offline = Some("sip:bob@elsewhere.example".into());
        }
    }
    let limits = &mut config.limits;
    (limits.calls, limits.calls_per_account, limits.calls_per_source, limits.legs_per_call) = (6, 4, 5, 4);
    (limits.messages_waiting, limits.stored_messages, limits.stored_messages_per_aor) = (3, 4, 2);
    limits.connecting = 2;
}

/// When, in which direction and with whom, and what: without an address it is a remark.
type Told = (Time, Option<(bool, SocketAddr)>, Box<[u8]>);

pub(super) struct Host {
    pub(super) engine: Engine,
    pub(super) now: Time,
    pub(super) open: bool,
    pub(super) rooms: Rooms,
    pub(super) calling: Calling,
    pub(super) watching: Watching,
    pub(super) up: BTreeSet<u8>,
    // How often a slot was connected: names of flows are never used again.
    pub(super) lives: [u64; 4],
    pub(super) sent: Vec<Vec<u8>>,
    pub(super) nonce: Option<String>,
    pub(super) uses: u32,
    pub(super) asked: Vec<Query>,
    pub(super) unsaved: Vec<(crate::door::SaveSeq, Change)>,
    pub(super) stored: Vec<StoredBinding>,
    pub(super) model: BTreeSet<(Box<str>, u64)>,
    // After a failed save the changes no longer add up to the state, and that is right.
    pub(super) exact: bool,
    pub(super) steps: u64,
    /// What came and went.
    story: Vec<Told>,
}

impl Drop for Host {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            return;
        }
        for (at, way, data) in &self.story {
            let text = String::from_utf8_lossy(data);
            let at = at.since(START).as_millis();
            let Some((came, remote)) = way else {
                eprintln!("{at:>8} {text}");
                continue;
            };
            let shown =
                |line: &&str| ["From:", "To:", "Call-ID:", "CSeq:"].iter().any(|name| line.starts_with(name));
            let lines: Vec<&str> = text.lines().filter(shown).collect();
            let way = if *came { '>' } else { '<' };
            eprintln!(
                "{at:>8} {remote} {way} {}   {}",
                text.lines().next().unwrap_or_default(),
                lines.join("  ")
            );
        }
    }
}

impl Host {
    pub(super) fn new(open: bool, rooms: Rooms) -> Host {
        let mut host = Host {
            engine: Engine::new(settings(open, rooms), [7; 32], START),
            now: START,
            open,
            rooms,
            watching: Watching::default(),
            calling: Calling::default(),
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
            story: Vec::new(),
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

    pub(super) fn local(&self) -> SocketAddr {
        LOCAL.parse().expect("an address")
    }

    /// The flow a slot has now, or had last; the first slot is the UDP listener.
    pub(super) fn flow(&self, slot: u8) -> FlowId {
        let slot = slot % 4;
        if slot == 0 { UDP } else { FlowId(2 * (self.lives[usize::from(slot)] * 8 + u64::from(slot))) }
    }

    pub(super) fn flow_up(&mut self, slot: u8) {
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

    pub(super) fn send(&mut self, slot: u8, data: &[u8]) {
        if self.sent.len() < 64 {
            self.sent.push(data.to_vec());
        }
        let (local, data) = (self.local(), &self.spoiled(data)[..]);
        self.feed(Input::Message { flow: self.flow(slot), remote: remote(slot), local, data });
    }

    pub(super) fn host(&mut self, request: Request) {
        self.feed(Input::Host { reply: Some(1), request });
    }

    pub(super) fn answer(&mut self, known: u8) {
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
            Query::Route(q) => {
                let target = |uri: &str, q| RouteTarget { q, ..RouteTarget::new(uri) };
                let answer = match known % 8 {
                    0 | 1 => RouteAnswer::Default,
                    2 => RouteAnswer::Targets(vec![
                        target("sip:u1@example.com", 1000),
                        target("sip:u2@example.com", 1000),
                    ]),
                    3 => RouteAnswer::Targets(vec![
                        target("sip:a@10.0.0.4", 1000),
                        target("sip:b@far.example", 900),
                        RouteTarget {
                            timeout: Some(Duration::from_secs(5)),
                            ..target("sip:u0@example.com", 800)
                        },
                    ]),
                    4 => RouteAnswer::Targets(Vec::new()),
                    5 => RouteAnswer::Reject { status: 486, reason: None },
                    6 => RouteAnswer::Redirect(vec![
                        "sip:u1@example.com".into(),
                        "sip:x@elsewhere.example".into(),
                    ]),
                    _ => RouteAnswer::Unavailable,
                };
                self.feed(Input::Answer(Answer::Route(q.ticket, answer)));
            }
            Query::Resolve(q) => {
                let way = |slot: u8, transport| Resolved {
                    transport,
                    remote: remote(slot),
                    listener: u16::from(transport == Transport::Tcp),
                    local: self.local(),
                    server_name: None,
                };
                let ways = match known % 4 {
                    0 => Vec::new(),
                    1 => vec![way(0, Transport::Udp)],
                    2 => vec![way(4, Transport::Udp), way(0, Transport::Udp)],
                    _ => vec![way(1, Transport::Tcp), way(4, Transport::Udp)],
                };
                self.feed(Input::Answer(Answer::Resolved(q.ticket, ways)));
            }
            Query::Media(q) => {
                let answer = match known % 4 {
                    0 => MediaAnswer::Unavailable,
                    1 => MediaAnswer::Unsupported,
                    2 => MediaAnswer::Description(q.sdp),
                    _ => relayed(&q.sdp),
                };
                self.feed(Input::Answer(Answer::Media(q.ticket, answer)));
            }
            Query::Introspect(q) => {
                self.feed(Input::Answer(Answer::Introspected(q.ticket, IntrospectAnswer::Unavailable)));
            }
            Query::Keys(q) => self.feed(Input::Answer(Answer::Keys(q.ticket, KeysAnswer::Unavailable))),
        }
    }

    /// The relay says what it was asked, all of it.
    pub(super) fn relay(&mut self) {
        while let Some(at) = self.asked.iter().position(|query| matches!(query, Query::Media(_))) {
            let Query::Media(q) = self.asked.remove(at) else { return };
            self.feed(Input::Answer(Answer::Media(q.ticket, relayed(&q.sdp))));
        }
    }

    pub(super) fn feed(&mut self, input: Input<'_>) {
        self.steps += 1;
        if let Input::SendFailed { remote, .. } = &input {
            // Who is said to be gone is owed nothing, also if he answers all the same.
            self.calling.debts.forgive(*remote);
        }
        match &input {
            Input::Message { remote, data, .. } => self.tell(Some((true, *remote)), data),
            Input::Timeout | Input::FlowUp { .. } => {}
            other => self.tell(None, format!("{other:?}").as_bytes()),
        }
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

    /// For who reads why a program failed.
    fn tell(&mut self, way: Option<(bool, SocketAddr)>, data: &[u8]) {
        self.story.push((self.now, way, data.into()));
    }

    pub(super) fn obey(&mut self, command: Command) {
        match command {
            Command::Transmit(t) => {
                self.tell(Some((false, t.remote)), &t.payload);
                self.look_at(&t);
            }
            Command::Ask(query) => self.asked.push(query),
            Command::Save(seq, change) => {
                match &change {
                    Change::PutBinding(b) => {
                        assert_eq!(Change::from_record(&change.to_record()).as_ref(), Ok(&change));
                        self.model.insert((b.aor().into(), b.id()));
                    }
                    Change::RemoveBinding { aor, id } => {
                        self.model.remove(&(aor.clone(), *id));
                    }
                    Change::RefreshBinding { id, .. } => {
                        assert!(self.model.iter().any(|(_, known)| known == id), "refreshed and not there");
                    }
                    // What is stored is read back as it was.
                    other => assert_eq!(Change::from_record(&other.to_record()).as_ref(), Ok(other)),
                }
                self.unsaved.push((seq, change));
            }
            Command::Close { flow, .. } => {
                // A host reports every closed connection.
                self.calling.opening.retain(|(opening, _)| *opening != flow);
                self.calling.debts.streams.retain(|stream| *stream != flow);
                if flow != UDP {
                    self.up
                        .retain(|slot| self.lives[usize::from(*slot)] * 8 + u64::from(*slot) != flow.0 / 2);
                    self.engine.handle(self.now, Input::FlowDown { flow, reason: FlowDownReason::Shutdown });
                    let more: Vec<Command> = core::iter::from_fn(|| self.engine.poll_command()).collect();
                    more.into_iter().for_each(|c| self.obey(c));
                }
            }
            Command::Open { flow, remote, .. } => self.calling.opening.push((flow, remote)),
            Command::Tell(Event::Call(event)) => self.calling.debts.record(&event),
            Command::Ping { .. } | Command::Reply(_) | Command::Tell(_) => {}
        }
    }

    pub(super) fn store(&mut self, change: Change) {
        match change {
            Change::PutBinding(b) => {
                self.stored.retain(|s| (s.aor(), s.id()) != (b.aor(), b.id()));
                self.stored.push(b);
            }
            Change::RemoveBinding { aor, id } => self.stored.retain(|s| (s.aor(), s.id()) != (&*aor, id)),
            Change::RefreshBinding { id, expires_at, cseq } => {
                if let Some(at) = self.stored.iter().position(|stored| stored.id() == id) {
                    let mut put = Change::PutBinding(self.stored.remove(at));
                    put.absorb(Change::RefreshBinding { id, expires_at, cseq });
                    self.store(put);
                }
            }
            _ => {}
        }
    }

    /// Lets the engine do what is due until `until`.
    pub(super) fn settle(&mut self, until: Time) {
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
}

pub(super) fn remote(slot: u8) -> SocketAddr {
    SocketAddr::from(([10, 0, 0, slot % 8], 5060 + u16::from(slot % 4)))
}

/// A description as a relay gives it on.
fn relayed(sdp: &[u8]) -> MediaAnswer {
    let shown =
        String::from_utf8_lossy(sdp).replace("10.0.0.1", "10.9.9.9").replace("audio 4000", "audio 30000");
    MediaAnswer::Description(shown.into_bytes().into())
}
