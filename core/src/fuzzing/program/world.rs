//! The host around the engine: its settings, its connections, what it was asked and told to keep.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use crate::Engine;
use crate::base::Time;
use crate::config::{
    AccountConfig, AuthPolicy, Config, DigestAlgorithm, HashedCredential, ListenerConfig, MaxContacts,
    RegistrarConfig, Settings,
};
use crate::door::{
    Answer, Change, Command, CredentialsAnswer, FlowDownReason, FlowId, Input, KeysAnswer, Query, Request,
    RouteAnswer, Secret, StoredBinding, Transport,
};

const START: Time = Time::from_secs(1_790_000_000);
const LOCAL: &str = "192.0.2.1:5060";
const UDP: FlowId = FlowId(2);
pub(super) const USERS: u8 = 3;

pub(super) fn settings(open: bool) -> Arc<Settings> {
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

pub(super) struct Host {
    pub(super) engine: Engine,
    pub(super) now: Time,
    pub(super) open: bool,
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
}

impl Host {
    pub(super) fn new(open: bool) -> Host {
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
        let local = LOCAL.parse().expect("an address");
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
            Query::Route(q) => self.feed(Input::Answer(Answer::Route(q.ticket, RouteAnswer::Default))),
            Query::Resolve(q) => self.feed(Input::Answer(Answer::Resolved(q.ticket, Vec::new()))),
            Query::Keys(q) => self.feed(Input::Answer(Answer::Keys(q.ticket, KeysAnswer::Unavailable))),
        }
    }

    pub(super) fn feed(&mut self, input: Input<'_>) {
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

    pub(super) fn obey(&mut self, command: Command) {
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

    pub(super) fn store(&mut self, change: Change) {
        match change {
            Change::PutBinding(b) => {
                self.stored.retain(|s| (&s.view.aor, s.id) != (&b.view.aor, b.id));
                self.stored.push(*b);
            }
            Change::RemoveBinding { aor, id } => self.stored.retain(|s| (&s.view.aor, s.id) != (&aor, id)),
            Change::RefreshBinding { id, expires_at, cseq } => {
                if let Some(stored) = self.stored.iter_mut().find(|stored| stored.id == id) {
                    (stored.view.expires_at, stored.view.cseq) = (expires_at, cseq);
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
