//! A scripted phone: the client side of REGISTER and OPTIONS (RFC 3261 s8.1, s10.2, s17.1.2), Digest and Bearer
//! (RFC 7616, RFC 8898), keep-alives (RFC 5626), watching and publishing (RFC 6665, RFC 3903), itself without I/O. It
//! shares no code with the engine.

mod auth;
pub mod call;
mod habits;
pub mod publisher;
mod registration;
pub mod roster;
pub mod texts;
mod transaction;
pub mod watcher;

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::time::Duration;

use crate::Time;
use crate::digest::Challenge;
use crate::message::{Sip, uri_of};
use crate::rng::Rng;

use call::{Call, Manners};
pub use habits::{Habits, Via};
use publisher::Publication;
pub use registration::{Registration, State};
use texts::{Got, Text};
use transaction::Transaction;
use watcher::{Say, Watch};

/// A final answer a phone got, or the lack of one.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Final {
    /// When.
    pub at: Time,
    /// Method of the request.
    pub method: String,
    /// Status code; 408 made up by Timer F, 503 made up by a broken flow.
    pub status: u16,
    /// The message; `None` if the status was made up.
    pub message: Option<Sip>,
}

/// Base timers of a phone: RFC 3261 s17.1.1.1, and no others.
pub const T1: Duration = Duration::from_millis(500);
/// See [`T1`].
pub const T2: Duration = Duration::from_secs(4);
/// See [`T1`].
pub const T4: Duration = Duration::from_secs(5);

/// A phone. Methods that send put bytes into an outbox, which the world drains.
#[derive(Clone, Debug)]
pub struct Phone {
    /// Name in ladders.
    pub name: String,
    /// Login name and user part of the AoR.
    pub user: String,
    /// Domain of the AoR and of the Request-URI.
    pub domain: String,
    /// Login name where it is another one.
    pub login: Option<String>,
    /// Password.
    pub password: String,
    /// What kind of phone it is; may be changed in the middle of a story.
    pub habits: Habits,
    /// How it behaves in calls; may be changed as well.
    pub manners: Manners,
    /// Its own address, as it knows it.
    pub addr: SocketAddr,
    /// All final answers so far.
    pub finals: Vec<Final>,
    /// What was wrong with messages it got.
    pub flaws: Vec<String>,
    /// Keep-alive answers it got.
    pub pongs: u32,
    /// Keep-alives it got.
    pub pings: u32,
    /// Responses to nothing it sent.
    pub strays: u32,
    /// The address a STUN answer told it.
    pub mapped: Option<SocketAddr>,
    registration: Registration,
    watches: Vec<Watch>,
    publications: Vec<Publication>,
    texts: Vec<Text>,
    inbox: Vec<Got>,
    calls: Vec<Call>,
    /// What was said to requests, by branch and method: a repeated request gets the same (RFC 3261 s17.2.2).
    said: BTreeMap<String, (Time, Option<Vec<u8>>)>,
    transactions: Vec<Transaction>,
    challenge: Option<Challenge>,
    nc: u32,
    rng: Rng,
    out: VecDeque<Vec<u8>>,
    next_keepalive: Option<Time>,
    stopped: bool,
}

impl Phone {
    /// A phone that has not sent anything yet.
    pub fn new(
        name: &str,
        user: &str,
        domain: &str,
        password: &str,
        addr: SocketAddr,
        mut rng: Rng,
    ) -> Phone {
        let registration = Registration::new(&mut rng, addr);
        Phone {
            name: name.into(),
            user: user.into(),
            domain: domain.into(),
            login: None,
            password: password.into(),
            habits: Habits::default(),
            manners: Manners::default(),
            addr,
            finals: Vec::new(),
            flaws: Vec::new(),
            pongs: 0,
            pings: 0,
            strays: 0,
            mapped: None,
            registration,
            watches: Vec::new(),
            publications: Vec::new(),
            texts: Vec::new(),
            inbox: Vec::new(),
            calls: Vec::new(),
            said: BTreeMap::new(),
            transactions: Vec::new(),
            challenge: None,
            nc: 0,
            rng,
            out: VecDeque::new(),
            next_keepalive: None,
            stopped: false,
        }
    }

    /// The AoR as a URI.
    pub fn aor(&self) -> String {
        format!("sip:{}@{}", self.user, self.domain)
    }

    /// The Contact URI it registers.
    pub fn contact(&self) -> String {
        let user = &self.user;
        match self.habits.via {
            Via::Udp => format!("sip:{user}@{}", self.addr),
            Via::Tcp => format!("sip:{user}@{};transport=tcp", self.addr),
            Via::Tls => format!("sip:{user}@{};transport=tls", self.addr),
        }
    }

    /// What it knows of its registration.
    pub fn registration(&self) -> &Registration {
        &self.registration
    }

    /// True while it believes to be registered.
    pub fn is_registered(&self, now: Time) -> bool {
        matches!(self.registration.state, State::Registered { until } if now < until)
    }

    /// The last final answer.
    pub fn last(&self) -> Option<&Final> {
        self.finals.last()
    }

    /// Status codes of all final answers, in order.
    pub fn statuses(&self) -> Vec<u16> {
        self.finals.iter().map(|f| f.status).collect()
    }

    /// Sends any request of its own, without waiting for others. Returns its branch.
    pub fn request(&mut self, now: Time, method: &str, uri: &str, headers: &[(&str, &str)]) -> String {
        self.request_with(now, method, uri, headers, "")
    }

    /// The same, with a body.
    pub fn request_with(
        &mut self,
        now: Time,
        method: &str,
        uri: &str,
        headers: &[(&str, &str)],
        body: &str,
    ) -> String {
        let mut m = self.draft(method, uri, &self.aor());
        m.body = body.as_bytes().to_vec();
        let call = self.rng.word();
        m.push("Call-ID", call).push("CSeq", format!("1 {method}"));
        for (name, value) in headers {
            m.set(name, *value);
        }
        self.start(now, method, &m)
    }

    /// Sends an OPTIONS to the server.
    pub fn options(&mut self, now: Time) -> String {
        let uri = format!("sip:{}", self.domain);
        self.request(now, "OPTIONS", &uri, &[])
    }

    /// Sends bytes as they are.
    pub fn raw(&mut self, bytes: impl Into<Vec<u8>>) {
        self.out.push_back(bytes.into());
    }

    /// Sends a STUN Binding request (RFC 8489 s6.1), to learn its address as the server sees it.
    pub fn stun(&mut self) {
        let mut m = vec![0x00, 0x01, 0x00, 0x00, 0x21, 0x12, 0xa4, 0x42];
        m.extend_from_slice(&self.rng.bits().to_be_bytes());
        m.extend_from_slice(&(self.rng.bits() as u32).to_be_bytes());
        self.out.push_back(m);
    }

    /// Stops refreshing, repeating and keeping alive: the phone is off.
    pub fn power_off(&mut self) {
        self.stopped = true;
        self.transactions.clear();
        self.registration.stop();
        self.watches.iter_mut().for_each(Watch::stop);
        self.publications.iter_mut().for_each(Publication::stop);
        self.stop_calls();
        self.next_keepalive = None;
    }

    /// True once it is switched off.
    pub fn is_off(&self) -> bool {
        self.stopped
    }

    /// Starts afresh, as after a power cut: everything learnt is forgotten, but for the instance, which is burnt in.
    pub fn reboot(&mut self, addr: SocketAddr) {
        self.power_off();
        self.stopped = false;
        self.addr = addr;
        self.challenge = None;
        self.nc = 0;
        self.registration = Registration::new(&mut self.rng, addr);
        self.watches.clear();
        self.publications.clear();
        self.calls.clear();
        self.said.clear();
    }

    /// Bytes to send, oldest first.
    pub fn poll_out(&mut self) -> Option<Vec<u8>> {
        self.out.pop_front()
    }

    /// When it wants to be woken.
    pub fn deadline(&self) -> Option<Time> {
        let transactions = self.transactions.iter().filter_map(Transaction::deadline);
        let watches = self.watches.iter().filter_map(Watch::deadline);
        let publications = self.publications.iter().filter_map(|p| p.wake_at);
        let own = watches.chain(publications).chain(self.next_keepalive).chain(self.calls_deadline());
        transactions.chain(self.registration.wake_at()).chain(own).min()
    }

    /// Runs what is due.
    pub fn wake(&mut self, now: Time) {
        for i in 0..self.transactions.len() {
            if let Some(bytes) = self.transactions[i].retransmit(now) {
                self.out.push_back(bytes);
            }
        }
        while let Some(i) = self.transactions.iter().position(|t| t.is_over(now)) {
            let over = self.transactions.remove(i);
            if !over.is_finished() {
                self.finish(now, &over, 408, None);
            }
        }
        if self.registration.is_due(now) {
            self.send_register(now);
        }
        (0..self.watches.len()).for_each(|watch| self.wake_watch(now, watch));
        (0..self.publications.len()).for_each(|publication| self.wake_publication(now, publication));
        self.wake_calls(now);
        if self.next_keepalive.is_some_and(|at| at <= now) {
            self.out.push_back(b"\r\n\r\n".to_vec());
            self.next_keepalive = Some(now + self.habits.keepalive);
        }
    }

    /// Takes what came from the network.
    pub fn receive(&mut self, now: Time, bytes: &[u8]) {
        match bytes {
            b"\r\n" => self.pongs += 1,
            b"\r\n\r\n" | [0, 0, 0, 0] => self.pings += 1,
            [0x01, 0x01, ..] => self.mapped = stun_mapped(bytes),
            _ if self.stopped => {}
            _ => match Sip::read(bytes) {
                Ok(m) if m.is_request() => self.answer_request(now, &m),
                Ok(m) => self.receive_response(now, m),
                Err(flaw) => self.flaws.push(flaw.to_string()),
            },
        }
    }

    /// Its connection is gone: requests on it have failed (RFC 3261 s8.1.3.1).
    pub fn flow_lost(&mut self, now: Time) {
        self.next_keepalive = None;
        for over in std::mem::take(&mut self.transactions) {
            if !over.is_finished() {
                self.finish(now, &over, 503, None);
            }
        }
        self.invites_lost(now);
        if !self.stopped
            && matches!(self.registration.state, State::Registered { .. })
            && !self.habits.retry.is_zero()
        {
            let wait = self.habits.retry;
            self.registration.wake_after(now, wait);
        }
        // The notifier cannot reach it any more: it learns the new way by a refresh.
        if !self.stopped && !self.habits.retry.is_zero() {
            let at = now + self.habits.retry;
            self.watches.iter_mut().filter(|w| w.is_live(now)).for_each(|w| w.wake_at = Some(at));
        }
    }

    fn draft(&mut self, method: &str, uri: &str, to: &str) -> Sip {
        let branch = format!("z9hG4bK{}", self.rng.word());
        let rport = if self.habits.rport { ";rport" } else { "" };
        let mut m = Sip::new(format!("{method} {uri} SIP/2.0"));
        m.push("Via", format!("SIP/2.0/{} {};branch={branch}{rport}", self.habits.via.token(), self.addr));
        m.push("Max-Forwards", "70");
        m.push("From", format!("<{}>;tag={}", self.aor(), self.registration.tag));
        m.push("To", format!("<{to}>"));
        m.push("User-Agent", "sim");
        m
    }

    fn start(&mut self, now: Time, method: &str, m: &Sip) -> String {
        let bytes = m.write();
        let branch = m.via().map(|v| v.branch().to_owned()).unwrap_or_default();
        self.out.push_back(bytes.clone());
        if method != "ACK" {
            let stream = self.habits.via.is_stream();
            self.transactions.push(Transaction::new(now, branch.clone(), method, bytes, stream));
        }
        if !self.habits.keepalive.is_zero() && self.next_keepalive.is_none() {
            self.next_keepalive = Some(now + self.habits.keepalive);
        }
        branch
    }

    /// The server begins a new life.
    pub(crate) fn server_restarted(&mut self) {
        self.transactions.iter_mut().for_each(Transaction::outlive);
    }

    fn receive_response(&mut self, now: Time, m: Sip) {
        let (Some(via), Some(status)) = (m.via(), m.status()) else {
            self.flaws.push("a response without Via".into());
            return;
        };
        let method = m.method().to_owned();
        if method == "INVITE" && self.invite_answered(now, &m) {
            return;
        }
        let found = self.transactions.iter().position(|t| t.branch == via.branch() && t.method == method);
        let Some(i) = found else {
            self.strays += 1;
            return;
        };
        if self.transactions[i].is_finished() {
            // RFC 3261 s17.1.2.2: what the network brings late is dropped.
            if status >= 200
                && let Err([first, then]) = self.transactions[i].again(&m)
            {
                let cseq = m.header("CSeq").unwrap_or_default();
                self.flaws.push(format!("{now:?}: {first} to {cseq}, and then {then}"));
            }
            return;
        }
        if status < 200 {
            self.transactions[i].provisional();
            return;
        }
        self.transactions[i].done(now, &m);
        let t = self.transactions[i].clone();
        if t.method == "INVITE" && status >= 300 {
            self.acknowledge(&t, &m);
        }
        self.finish(now, &t, status, Some(m));
    }

    // RFC 3261 s17.1.1.3: the ACK for a non-2xx repeats the top Via of the INVITE.
    fn acknowledge(&mut self, t: &Transaction, response: &Sip) {
        let Ok(invite) = Sip::read(&t.bytes) else { return };
        let uri = invite.start.split(' ').nth(1).unwrap_or_default();
        let mut ack = Sip::new(format!("ACK {uri} SIP/2.0"));
        for name in ["Via", "From", "Call-ID"] {
            ack.push(name, invite.header(name).unwrap_or_default());
        }
        ack.push("To", response.header("To").unwrap_or_default()).push("Max-Forwards", "70");
        ack.push("CSeq", format!("{} ACK", invite.cseq().map_or(1, |(n, _)| n)));
        self.out.push_back(ack.write());
    }

    fn finish(&mut self, now: Time, t: &Transaction, status: u16, message: Option<Sip>) {
        self.finals.push(Final { at: now, method: t.method.clone(), status, message: message.clone() });
        if t.method == "REGISTER" && self.registration.branch == t.branch {
            return self.register_answered(now, status, message.as_ref());
        }
        if let Some(watch) = self.watches.iter().position(|w| w.branch == t.branch) {
            return self.subscribe_answered(now, watch, status, message.as_ref());
        }
        if let Some(publication) = self.publications.iter().position(|p| p.branch == t.branch) {
            return self.publish_answered(now, publication, status, message.as_ref());
        }
        if self.text_answered(now, t, status, message.as_ref()) {
            return;
        }
        self.within_answered(now, &t.branch, &t.method, status, message.as_ref());
    }

    // Requests to a phone: OPTIONS is answered, NOTIFY goes to its subscription, calls have their own, nothing else is
    // known here (RFC 3261 s8.2.1, s11.2).
    fn answer_request(&mut self, now: Time, m: &Sip) {
        match m.method() {
            "ACK" => return self.acknowledged(now, m),
            "INVITE" => return self.invited(now, m),
            _ => {}
        }
        let via = m.via();
        let branch = via.map(|v| format!("{} {:?} {} {}", v.host, v.port, v.branch(), m.method()));
        let branch = branch.unwrap_or_default();
        self.said.retain(|_, (at, _)| now.since(*at) < 64 * T1);
        if let Some((_, before)) = self.said.get(&branch) {
            self.out.extend(before.clone());
            return;
        }
        // What follows from a request is said behind the answer to it.
        let mut spoken = std::mem::take(&mut self.out);
        let of_call = match m.method() {
            "CANCEL" => Some(Some(self.cancelled(now, m))),
            _ => self.asked_within(now, m),
        };
        if let Some(answer) = of_call {
            let bytes = answer.map(|m| m.write());
            spoken.extend(bytes.clone());
            spoken.append(&mut self.out);
            self.out = spoken;
            if !self.habits.via.is_stream() {
                self.said.insert(branch, (now, bytes));
            }
            return;
        }
        spoken.append(&mut self.out);
        self.out = spoken;
        let within = m.header("To").is_some_and(|to| to.contains(";tag="));
        let say = match m.method() {
            "BYE" | "PRACK" | "UPDATE" | "INFO" | "REFER" => Say::Status(481),
            "OPTIONS" | "MESSAGE" if within => Say::Status(481),
            "OPTIONS" => Say::Status(200),
            "NOTIFY" => self.notified(now, m),
            "MESSAGE" => self.texted(now, m),
            _ => Say::Status(405),
        };
        let bytes = match say {
            Say::Status(status) => Some(self.answer_to(m, status)),
            Say::Nothing => None,
        };
        self.out.extend(bytes.clone());
        if !self.habits.via.is_stream() {
            self.said.insert(branch, (now, bytes));
        }
    }

    fn answer_to(&mut self, m: &Sip, status: u16) -> Vec<u8> {
        let phrase = match status {
            200 => "OK",
            405 => "Method Not Allowed",
            486 => "Busy Here",
            481 if m.method() != "NOTIFY" => "Call/Transaction Does Not Exist",
            481 => "Subscription Does Not Exist",
            500 => "Server Internal Error",
            _ => "Said So",
        };
        let mut answer = Sip::new(format!("SIP/2.0 {status} {phrase}"));
        for (name, value) in &m.headers {
            if ["Via", "From", "Call-ID", "CSeq"].iter().any(|n| name.eq_ignore_ascii_case(n)) {
                answer.push(name, value.as_str());
            }
        }
        let to = m.header("To").unwrap_or_default();
        let tag = if to.contains(";tag=") { String::new() } else { format!(";tag={}", self.rng.word()) };
        answer.push("To", format!("{to}{tag}"));
        let allow = if self.watches.is_empty() { "OPTIONS" } else { "OPTIONS, NOTIFY" };
        answer.push("Allow", allow);
        answer.write()
    }
}

/// The XOR-MAPPED-ADDRESS of a STUN success response (RFC 8489 s14.2).
fn stun_mapped(m: &[u8]) -> Option<SocketAddr> {
    let mut rest = m.get(20..)?;
    while let [t0, t1, l0, l1, after @ ..] = rest {
        let (kind, length) = (u16::from_be_bytes([*t0, *t1]), usize::from(u16::from_be_bytes([*l0, *l1])));
        let value = after.get(..length)?;
        if kind == 0x0020 {
            let port = u16::from_be_bytes([*value.get(2)?, *value.get(3)?]) ^ 0x2112;
            let address: Vec<u8> = value.get(4..)?.iter().zip(m.get(4..20)?).map(|(a, b)| a ^ b).collect();
            return match <[u8; 4]>::try_from(&address[..]) {
                Ok(v4) => Some(SocketAddr::from((v4, port))),
                Err(_) => Some(SocketAddr::from((<[u8; 16]>::try_from(&address[..]).ok()?, port))),
            };
        }
        rest = after.get(length.next_multiple_of(4)..)?;
    }
    None
}

/// True if a Contact value of a 200 is for this URI.
fn is_for(value: &str, uri: &str) -> bool {
    uri_of(value) == uri
}
