//! A stub resolver without sockets (RFC 1035 s5.3.1, RFC 1123 s6.1.3.1): it says what to ask whom, is told what came back,
//! and keeps records as long as they live.
//!
//! Order of calls: [`resolve`](Stub::resolve) and [`answered`](Stub::answered) in,
//! [`poll_exchange`](Stub::poll_exchange) and [`poll_found`](Stub::poll_found) out until both are empty, and
//! [`handle_timeout`](Stub::handle_timeout) when [`poll_timeout`](Stub::poll_timeout) has come.

use std::collections::{BTreeMap, VecDeque};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use strowger_core::base::Time;
use strowger_core::base::hash::sha256;
use strowger_core::door::{ResolveQuery, Transport};

use super::message::{self, Reply};
use super::select::{Selection, Want, Way, select};
use super::{Data, Kind, Question};

/// However short-lived records are, one look-up may use them; and none is kept longer than this.
const TTL: (u32, u32) = (1, 3600);
/// That there is nothing is kept this long at most, and at least as long as it takes to be asked again.
const NEGATIVE_TTL: (u32, u32) = (2, 300);
/// That no server knows is kept this long.
const FAILURE: Duration = Duration::from_secs(2);
/// A server that could not be reached is tried last for this long.
const BACK_OFF: Duration = Duration::from_secs(60);
/// NAPTR, SRV, addresses, and each a domain of the search list.
const DEPTH: usize = 16;

/// What a stub is told.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct StubConfig {
    /// Name servers, tried in this order.
    pub servers: Vec<SocketAddr>,
    /// Domains in which a name without dots is looked up.
    pub search: Vec<String>,
    /// Names that need no server, in lower case.
    pub hosts: BTreeMap<String, Vec<IpAddr>>,
    /// How long one server may take.
    pub timeout: Duration,
    /// How often each server is asked.
    pub attempts: u32,
    /// How long a look-up may take in all; then it has found nothing.
    pub patience: Duration,
    /// Most names that are kept.
    pub cache: usize,
    /// Most look-ups at once; one more finds nothing.
    pub at_once: usize,
    /// The transports that are spoken, those that are liked best first.
    pub transports: Vec<Transport>,
    /// There is IPv4, and IPv6.
    pub families: (bool, bool),
}

impl Default for StubConfig {
    fn default() -> StubConfig {
        StubConfig {
            servers: Vec::new(),
            search: Vec::new(),
            hosts: BTreeMap::new(),
            timeout: Duration::from_secs(1),
            attempts: 2,
            patience: Duration::from_secs(10),
            cache: 10_000,
            at_once: 1_000,
            transports: vec![Transport::Udp, Transport::Tcp],
            families: (true, true),
        }
    }
}

/// A question to one server.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Exchange {
    /// To be handed back.
    pub number: u64,
    /// Whom to ask.
    pub server: SocketAddr,
    /// Over TCP, with the length in front in two bytes (RFC 1035 s4.2.2), which is not part of `query`.
    pub stream: bool,
    /// What to send.
    pub query: Vec<u8>,
    /// How long to wait. Later answers are ignored.
    pub timeout: Duration,
    id: u16,
    question: Question,
}

impl Exchange {
    /// Is this message its answer? Others are passed over, for they may be forged.
    pub fn fits(&self, message: &[u8]) -> bool {
        message::is_reply(message, self.id, &self.question)
    }
}

/// A look-up that ended.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Found {
    /// What was asked.
    pub query: ResolveQuery,
    /// The ways in the order to try them; none if there is none.
    pub ways: Vec<Way>,
}

/// The resolver.
#[derive(Clone, Debug)]
pub struct Stub {
    config: StubConfig,
    seed: [u8; 32],
    drawn: u64,
    cache: BTreeMap<Question, Known>,
    asked: Vec<Asked>,
    waiting: Vec<Waiting>,
    unreachable: BTreeMap<SocketAddr, Time>,
    exchanges: VecDeque<Exchange>,
    found: VecDeque<Found>,
}

#[derive(Clone, Debug)]
struct Known {
    data: Vec<Data>,
    until: Time,
}

#[derive(Clone, Debug)]
struct Asked {
    question: Question,
    number: u64,
    id: u16,
    attempt: u32,
    stream: bool,
    due: Time,
}

#[derive(Clone, Debug)]
struct Waiting {
    query: ResolveQuery,
    seed: u64,
    until: Time,
}

impl Stub {
    /// A resolver that knows nothing yet. Numbers of questions come from the seed: fresh at every start.
    pub fn new(config: StubConfig, seed: [u8; 32]) -> Stub {
        Stub {
            config,
            seed,
            drawn: 0,
            cache: BTreeMap::new(),
            asked: Vec::new(),
            waiting: Vec::new(),
            unreachable: BTreeMap::new(),
            exchanges: VecDeque::new(),
            found: VecDeque::new(),
        }
    }

    /// Takes over what changed: servers, search list, names of the machine. What is known stays.
    pub fn configure(&mut self, config: StubConfig) {
        self.config = config;
    }

    /// Begins a look-up.
    pub fn resolve(&mut self, now: Time, query: ResolveQuery) {
        if self.waiting.len() >= self.config.at_once {
            return self.found.push_back(Found { query, ways: Vec::new() });
        }
        let seed = self.draw();
        self.waiting.push(Waiting { query, seed, until: now + self.config.patience });
        self.advance(now);
    }

    /// What came of an exchange; `None` if nothing did.
    pub fn answered(&mut self, now: Time, number: u64, message: Option<&[u8]>) {
        let Some(at) = self.asked.iter().position(|asked| asked.number == number) else { return };
        let asked = self.asked.swap_remove(at);
        match message.and_then(|message| message::reply(message, asked.id, &asked.question)) {
            Some(Reply::Records(data, ttl)) => {
                let (least, most) = if data.is_empty() { NEGATIVE_TTL } else { TTL };
                let until = now + Duration::from_secs(u64::from(ttl.clamp(least, most)));
                self.keep(now, asked.question, Known { data, until });
            }
            // RFC 7766 s5: again over TCP, of the same server.
            Some(Reply::Truncated) if !asked.stream => {
                self.ask(now, asked.question, asked.attempt, true);
            }
            Some(Reply::Truncated | Reply::Refused) | None => {
                self.ask(now, asked.question, asked.attempt + 1, false);
            }
        }
        self.advance(now);
    }

    /// This server could not be reached, or did not answer: for a while it is tried after all others.
    pub fn failed(&mut self, now: Time, remote: SocketAddr) {
        self.unreachable.retain(|_, until| *until > now);
        if self.unreachable.len() < self.config.cache {
            self.unreachable.insert(remote, now + BACK_OFF);
        }
    }

    /// Gives up what took too long.
    pub fn handle_timeout(&mut self, now: Time) {
        let (late, asked): (Vec<Asked>, Vec<Asked>) =
            core::mem::take(&mut self.asked).into_iter().partition(|asked| asked.due <= now);
        self.asked = asked;
        for Asked { question, attempt, .. } in late {
            self.ask(now, question, attempt + 1, false);
        }
        self.advance(now);
    }

    /// When to call [`handle_timeout`](Stub::handle_timeout).
    pub fn poll_timeout(&self) -> Option<Time> {
        let asked = self.asked.iter().map(|asked| asked.due);
        asked.chain(self.waiting.iter().map(|waiting| waiting.until)).min()
    }

    /// The next exchange to be carried out.
    pub fn poll_exchange(&mut self) -> Option<Exchange> {
        self.exchanges.pop_front()
    }

    /// The next look-up that ended.
    pub fn poll_found(&mut self) -> Option<Found> {
        self.found.pop_front()
    }

    /// Goes on with every look-up as far as what is known reaches.
    fn advance(&mut self, now: Time) {
        // What cannot be asked is known not to be, and the look-ups that need it go on; the depth of a look-up is known.
        for _ in 0..DEPTH {
            if !self.pass(now) {
                break;
            }
        }
    }

    /// True if something became known meanwhile.
    fn pass(&mut self, now: Time) -> bool {
        let mut wanted = Vec::new();
        for waiting in core::mem::take(&mut self.waiting) {
            match self.select(now, &waiting) {
                Selection::Ways(ways) => {
                    let ways = self.reachable_first(now, ways);
                    self.found.push_back(Found { query: waiting.query, ways });
                }
                Selection::Ask(_) if waiting.until <= now => {
                    self.found.push_back(Found { query: waiting.query, ways: Vec::new() });
                }
                Selection::Ask(questions) => {
                    wanted.extend(questions);
                    self.waiting.push(waiting);
                }
            }
        }
        let mut failed = false;
        for question in wanted {
            if !self.asked.iter().any(|asked| asked.question == question)
                && self.known(now, &question).is_none()
            {
                failed |= !self.ask(now, question, 0, false);
            }
        }
        failed
    }

    fn select(&self, now: Time, waiting: &Waiting) -> Selection {
        let ResolveQuery { host, port, transport, secure, near, .. } = &waiting.query;
        let want = Want {
            host,
            port: *port,
            transport: *transport,
            secure: *secure,
            usable: &self.config.transports,
            families: self.config.families,
            v4_first: near.ip().to_canonical().is_ipv4(),
            search: &self.config.search,
            seed: waiting.seed,
        };
        // RFC 6761 s6.3, hosts(5): what the machine says itself is not looked up.
        if let Some(own) = self.config.hosts.get(&host.to_ascii_lowercase()) {
            let data = |kind: Kind| -> Vec<Data> {
                let one = |ip: &IpAddr| match (kind, *ip) {
                    (Kind::A, IpAddr::V4(ip)) => Some(Data::A(ip)),
                    (Kind::Aaaa, IpAddr::V6(ip)) => Some(Data::Aaaa(ip)),
                    _ => None,
                };
                own.iter().filter_map(one).collect()
            };
            let (four, six) = (data(Kind::A), data(Kind::Aaaa));
            return select(&want, &|question| match question.kind {
                Kind::A => Some(&four),
                Kind::Aaaa => Some(&six),
                Kind::Srv | Kind::Naptr => Some(&[]),
            });
        }
        select(&want, &|question| self.known(now, question))
    }

    fn known(&self, now: Time, question: &Question) -> Option<&[Data]> {
        self.cache.get(question).filter(|known| known.until > now).map(|known| known.data.as_slice())
    }

    fn keep(&mut self, now: Time, question: Question, known: Known) {
        if self.cache.len() >= self.config.cache {
            self.cache.retain(|_, known| known.until > now);
        }
        if self.cache.len() >= self.config.cache {
            // The one that ends first is missed least.
            let first = self.cache.iter().min_by_key(|(_, known)| known.until);
            if let Some(first) = first.map(|(question, _)| question.clone()) {
                self.cache.remove(&first);
            }
        }
        self.cache.insert(question, known);
    }

    /// Asks the server whose turn it is; false if all have been asked as often as they may be, or none can be.
    fn ask(&mut self, now: Time, question: Question, attempt: u32, stream: bool) -> bool {
        let servers = self.config.servers.len();
        let rounds = self.config.attempts as usize;
        let server = match attempt as usize {
            attempt if attempt < servers * rounds => self.config.servers.get(attempt % servers).copied(),
            _ => None,
        };
        let id = self.draw() as u16;
        let (Some(server), Some(query)) = (server, message::query(id, &question)) else {
            self.keep(now, question, Known { data: Vec::new(), until: now + FAILURE });
            return false;
        };
        // Each number is used once; the draws that stand between them do not matter.
        let number = self.drawn;
        // A server that was slow once is given longer.
        let patience = self.config.timeout * (1 + attempt / servers.max(1) as u32);
        let asked = Asked { question: question.clone(), number, id, attempt, stream, due: now + patience };
        self.asked.push(asked);
        self.exchanges.push_back(Exchange { number, server, stream, query, timeout: patience, id, question });
        true
    }

    /// RFC 3263 s4.3: whoever failed a moment ago is tried when all others have been.
    fn reachable_first(&self, now: Time, ways: Vec<Way>) -> Vec<Way> {
        let is_failed = |way: &Way| self.unreachable.get(&way.remote).is_some_and(|until| *until > now);
        let (failed, mut good): (Vec<Way>, Vec<Way>) = ways.into_iter().partition(is_failed);
        good.extend(failed);
        good
    }

    fn draw(&mut self) -> u64 {
        self.drawn += 1;
        let [a, b, c, d, e, f, g, h, ..] = sha256(&[&self.seed, &self.drawn.to_be_bytes()]);
        u64::from_be_bytes([a, b, c, d, e, f, g, h])
    }
}

#[cfg(test)]
mod tests;
