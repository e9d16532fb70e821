//! The loop of the generator: one thread, sockets that never block, users one after the other.

use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::time::{Duration, Instant, SystemTime};

use socket2::{Domain, Protocol, Socket, Type};

use super::auth::{self, Auth, Challenge};
use super::request::{self, Kind, Template};
use super::wire::{Over, Wire};
use super::{CpuTime, Histogram, cpu_of, reply};

/// When the next transaction starts.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Pace {
    /// As soon as fewer than this many are outstanding.
    Window(usize),
    /// This many every second, whatever comes back.
    Rate(u64),
}

/// A run.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The server.
    pub target: SocketAddr,
    /// Over what.
    pub over: Over,
    /// Its domain.
    pub domain: String,
    /// What is asked.
    pub kind: Kind,
    /// How it is authenticated.
    pub auth: Auth,
    /// Number of the first user.
    pub first: u32,
    /// How many users take turns.
    pub users: u32,
    /// Transactions that are measured.
    pub transactions: u64,
    /// Let each user do one transaction first, which is not measured.
    pub warm: bool,
    /// When they start.
    pub pace: Pace,
    /// Repeat requests by timer E of RFC 3261; otherwise each is sent once.
    pub retransmit: bool,
    /// A transaction without an answer for so long is missing.
    pub patience: Duration,
    /// Processes whose CPU time is counted, with all they started.
    pub pids: Vec<u32>,
}

/// What came of the measured transactions. Its `Display` is one line of `name=value` pairs.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// Transactions that ended with the wanted answer.
    pub completed: u64,
    /// That got none in time.
    pub missing: u64,
    /// That got another final answer.
    pub refused: u64,
    /// Answers that do not match their request.
    pub wrong: u64,
    /// Answers to nothing that was waited for: repeated or late ones.
    pub stray: u64,
    /// Requests sent again.
    pub retransmitted: u64,
    /// Nonces the server wanted replaced.
    pub rechallenged: u64,
    /// The first thing that went wrong.
    pub example: Option<String>,
    /// From first request to last answer.
    pub elapsed: Duration,
    /// Of the server.
    pub server: CpuTime,
    /// Of the generator.
    pub generator: CpuTime,
    /// From the intended time of the request to its answer.
    pub latency: Histogram,
}

impl Report {
    /// True if every transaction was answered as it should.
    pub fn is_clean(&self) -> bool {
        self.missing + self.refused + self.wrong == 0
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let per = |time: Duration| time.as_secs_f64() * 1e6 / (self.completed.max(1) as f64);
        let us = |share: f64| self.latency.at(share).as_secs_f64() * 1e6;
        write!(
            f,
            "completed={} missing={} refused={} wrong={} stray={} retransmitted={} rechallenged={} seconds={:.3} \
             per_second={:.0} server_us={:.2} server_user_us={:.2} server_system_us={:.2} generator_us={:.2} \
             p50_us={:.0} p99_us={:.0} p999_us={:.0} max_us={:.0}",
            self.completed,
            self.missing,
            self.refused,
            self.wrong,
            self.stray,
            self.retransmitted,
            self.rechallenged,
            self.elapsed.as_secs_f64(),
            self.completed as f64 / self.elapsed.as_secs_f64().max(1e-9),
            per(self.server.total()),
            per(self.server.user),
            per(self.server.system),
            per(self.generator.total()),
            us(0.5),
            us(0.99),
            us(0.999),
            self.latency.max().as_secs_f64() * 1e6,
        )
    }
}

/// Runs a plan. Fails if the socket does, above all when nobody listens at the target.
pub fn run(plan: &Plan) -> io::Result<Report> {
    let mut client = Client::new(plan)?;
    if plan.warm {
        let window = Pace::Window(32);
        let report = client.phase(u64::from(plan.users), window)?;
        if !report.is_clean() {
            let example = report.example.clone().unwrap_or_default();
            return Err(io::Error::other(format!("the unmeasured round failed: {report}\n{example}")));
        }
    }
    client.phase(plan.transactions, plan.pace)
}

/// RFC 3261 s17.1.2.2: timer E starts at T1, doubles up to T2.
const T1: Duration = Duration::from_millis(500);
const T2: Duration = Duration::from_secs(4);
/// Sent or received in one go before the other half gets its turn.
const BURST: usize = 32;

/// A socket of its own that talks to the target and never blocks.
pub(super) fn open(target: SocketAddr) -> io::Result<UdpSocket> {
    let socket = Socket::new(Domain::IPV4, Type::DGRAM, Some(Protocol::UDP))?;
    socket.set_recv_buffer_size(4 << 20)?;
    socket.set_send_buffer_size(4 << 20)?;
    socket.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into())?;
    socket.connect(&target.into())?;
    socket.set_nonblocking(true)?;
    Ok(UdpSocket::from(socket))
}

struct User {
    cseq: u32,
    waiting: bool,
    answered: bool,
    intended: Duration,
    begun: Duration,
    challenge: Option<Challenge>,
    nc: u32,
}

/// A request that is looked at again at a time, unless it was answered.
struct Watch {
    at: Duration,
    user: u32,
    cseq: u32,
}

struct Client<'p> {
    plan: &'p Plan,
    wire: Wire,
    template: Template,
    users: Vec<User>,
    next: usize,
    outstanding: usize,
    origin: Instant,
    // One queue per interval, so that each is in order.
    watches: Vec<(Duration, VecDeque<Watch>)>,
    out: Vec<u8>,
    report: Report,
}

impl<'p> Client<'p> {
    fn new(plan: &'p Plan) -> io::Result<Client<'p>> {
        let wire = Wire::open(plan.target, &plan.over)?;
        let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let salt = format!("{:08x}", since.as_nanos() as u32 ^ std::process::id());
        let way = (plan.over.transport, wire.local);
        let template = Template::new(plan.kind, &plan.domain, way, &salt);
        let mut intervals = vec![plan.patience];
        if plan.retransmit {
            intervals = std::iter::successors(Some(T1), |t| (*t < T2).then_some(*t * 2)).collect();
        }
        let users = (0..plan.users).map(|_| User {
            cseq: 0,
            waiting: false,
            answered: false,
            intended: Duration::ZERO,
            begun: Duration::ZERO,
            challenge: None,
            nc: 0,
        });
        Ok(Client {
            plan,
            wire,
            template,
            users: users.collect(),
            next: 0,
            outstanding: 0,
            origin: Instant::now(),
            watches: intervals.into_iter().map(|i| (i, VecDeque::new())).collect(),
            out: Vec::with_capacity(4096),
            report: Report::default(),
        })
    }

    fn server_time(&self) -> CpuTime {
        self.plan.pids.iter().map(|&pid| cpu_of(pid)).sum()
    }

    fn phase(&mut self, count: u64, pace: Pace) -> io::Result<Report> {
        self.report = Report::default();
        let (server, generator) = (self.server_time(), cpu_of(std::process::id()));
        let start = self.origin.elapsed();
        let mut begun = 0_u64;
        loop {
            let now = self.origin.elapsed();
            let r = &self.report;
            if r.completed + r.missing + r.refused >= count {
                break;
            }
            for _ in 0..BURST {
                if begun >= count {
                    break;
                }
                let intended = match pace {
                    Pace::Window(size) if self.outstanding >= size => break,
                    Pace::Window(_) => now,
                    Pace::Rate(rate) => start + Duration::from_secs_f64(begun as f64 / rate.max(1) as f64),
                };
                if intended > now || !self.begin(intended, now)? {
                    break;
                }
                begun += 1;
            }
            let came = self.wire.receive(BURST)?;
            for message in &came {
                self.on_reply(message)?;
            }
            let received = !came.is_empty();
            self.look_again(now)?;
            if !received {
                // Polling: the server never pays for waking the generator. Others may have the processor meanwhile.
                std::thread::yield_now();
            }
        }
        let mut report = std::mem::take(&mut self.report);
        report.elapsed = self.origin.elapsed() - start;
        report.server = self.server_time() - server;
        report.generator = cpu_of(std::process::id()) - generator;
        Ok(report)
    }

    /// Starts a transaction of the next user. False if that one still waits, or the socket is full.
    fn begin(&mut self, intended: Duration, now: Duration) -> io::Result<bool> {
        let Some(user) = self.users.get_mut(self.next) else { return Ok(false) };
        if user.waiting {
            return Ok(false);
        }
        user.cseq += 1;
        user.intended = intended;
        user.begun = now;
        user.answered = false;
        match &self.plan.auth {
            Auth::Digest { reuse: true, .. } => user.nc += 1,
            _ => user.challenge = None,
        }
        if !self.send(self.next)? {
            return Ok(false);
        }
        let user = &mut self.users[self.next];
        user.waiting = true;
        self.outstanding += 1;
        self.watch(0, now, self.next);
        self.next = (self.next + 1) % self.users.len();
        Ok(true)
    }

    /// Sends the request of a user as it stands. False if the socket is full.
    fn send(&mut self, at: usize) -> io::Result<bool> {
        let (Some(user), number) = (self.users.get(at), self.plan.first + at as u32) else { return Ok(true) };
        let template = &self.template;
        template.write(&mut self.out, number, user.cseq, |out| match (&self.plan.auth, &user.challenge) {
            (Auth::Digest { algorithm, .. }, Some(challenge)) => {
                let (name, password) = request::credentials(number);
                let request = (template.kind.method(), &template.uri[..]);
                auth::answer(out, *algorithm, challenge, (&name, &password), request, user.nc);
            }
            (Auth::Bearer(tokens), _) => {
                out.extend_from_slice(b"Authorization: Bearer ");
                out.extend_from_slice(tokens.of(number).unwrap_or_default().as_bytes());
                out.extend_from_slice(b"\r\n");
            }
            (Auth::None | Auth::Digest { .. }, _) => {}
        });
        self.wire.send(at, &self.out)
    }

    fn watch(&mut self, level: usize, now: Duration, at: usize) {
        let level = level.min(self.watches.len() - 1);
        if let (Some((interval, queue)), Some(user)) = (self.watches.get_mut(level), self.users.get(at)) {
            queue.push_back(Watch { at: now + *interval, user: at as u32, cseq: user.cseq });
        }
    }

    fn on_reply(&mut self, bytes: &[u8]) -> io::Result<()> {
        let read = reply::read(bytes, &self.template);
        let reply = match read {
            Ok(reply) if reply.status < 200 => return Ok(()),
            Ok(reply) => reply,
            Err(wrong) => {
                self.report.wrong += 1;
                self.example(wrong, bytes);
                return Ok(());
            }
        };
        let at = reply.user.wrapping_sub(self.plan.first) as usize;
        let Some(user) = self.users.get_mut(at).filter(|u| u.waiting && u.cseq == reply.cseq) else {
            self.report.stray += 1;
            return Ok(());
        };
        if let (401, Auth::Digest { algorithm, .. }, false) = (reply.status, &self.plan.auth, user.answered)
            && let Some(challenge) = reply::challenge(bytes, *algorithm)
        {
            if user.challenge.replace(challenge).is_some() {
                self.report.rechallenged += 1;
            }
            user.cseq += 1;
            user.nc = 1;
            user.answered = true;
            let now = self.origin.elapsed();
            self.send(at)?;
            self.watch(0, now, at);
            return Ok(());
        }
        user.waiting = false;
        self.outstanding -= 1;
        if reply.status == 200 {
            self.report.completed += 1;
            let latency = self.origin.elapsed().saturating_sub(user.intended);
            self.report.latency.record(latency);
            if let (Some(challenge), Some(nonce)) = (&mut user.challenge, reply::next_nonce(bytes)) {
                challenge.nonce = nonce;
                user.nc = 0;
            }
        } else {
            self.report.refused += 1;
            self.example("refused", bytes);
        }
        Ok(())
    }

    fn example(&mut self, what: &str, bytes: &[u8]) {
        let text = || format!("{what}:\n{}", String::from_utf8_lossy(bytes));
        self.report.example.get_or_insert_with(text);
    }

    fn due(&mut self, level: usize, now: Duration) -> Option<Watch> {
        let (_, queue) = self.watches.get_mut(level)?;
        match queue.front() {
            Some(watch) if watch.at <= now => queue.pop_front(),
            _ => None,
        }
    }

    /// Repeats what was not answered, or gives it up.
    fn look_again(&mut self, now: Duration) -> io::Result<()> {
        for level in 0..self.watches.len() {
            while let Some(watch) = self.due(level, now) {
                let at = watch.user as usize;
                let Some(user) = self.users.get_mut(at).filter(|u| u.waiting && u.cseq == watch.cseq) else {
                    continue;
                };
                if !self.plan.retransmit || now.saturating_sub(user.begun) >= self.plan.patience {
                    user.waiting = false;
                    self.outstanding -= 1;
                    self.report.missing += 1;
                    continue;
                }
                self.report.retransmitted += 1;
                self.send(at)?;
                self.watch(level + 1, now, at);
            }
        }
        Ok(())
    }
}
