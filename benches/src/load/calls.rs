//! Calls on a running server: a caller and a callee in one thread, each with a socket that never blocks; 13 datagrams a call,
//! every one checked. RFC 3261.
//!
//! | caller | server | callee |
//! |---|---|---|
//! | INVITE > | > | > INVITE |
//! | 100 < | < | |
//! | 180 < | < | < 180 |
//! | 200 < | < | < 200 |
//! | ACK > | > | > ACK |
//! | BYE > | > | > BYE |
//! | 200 < | < | < 200 |
//!
//! A proxy passes the last 200 on, a back-to-back user agent gives its own; both send six and get seven. The caller hangs up
//! when his ACK has come through: what overtakes another message is not a call that was made.

use std::collections::VecDeque;
use std::fmt;
use std::io::{self, ErrorKind};
use std::net::{SocketAddr, UdpSocket};
use std::time::{Duration, Instant, SystemTime};

use super::parties::{Answered, Heard, Method, Parties};
use super::run::open;
use super::{CpuTime, Histogram, cpu_of};

/// A run.
#[derive(Clone, Debug)]
pub struct CallPlan {
    /// The server.
    pub target: SocketAddr,
    /// Its domain.
    pub domain: String,
    /// Users who call, and as many who are called.
    pub users: u32,
    /// Calls that are measured.
    pub calls: u32,
    /// Calls that stay up meanwhile, made before.
    pub live: u32,
    /// Most measured calls at once.
    pub window: usize,
    /// Measured calls per second at a fixed rate, instead of a window.
    pub rate: Option<u64>,
    /// A call that is not over after so long is missing.
    pub patience: Duration,
    /// Processes whose CPU time is counted, with all they started.
    pub pids: Vec<u32>,
}

/// What came of the measured calls. Its `Display` is one line of `name=value` pairs.
#[derive(Clone, Debug, Default)]
pub struct CallReport {
    /// Calls that went from INVITE to the last 200.
    pub completed: u64,
    /// That did not in time.
    pub missing: u64,
    /// That were refused.
    pub refused: u64,
    /// That came through without having been told to ring, or whose ACK came after its BYE.
    pub disordered: u64,
    /// Messages that are not what they should be.
    pub wrong: u64,
    /// Messages that came again or too late.
    pub stray: u64,
    /// Datagrams to and from the server.
    pub datagrams: u64,
    /// The first thing that went wrong.
    pub example: Option<String>,
    /// From the first INVITE to the last 200.
    pub elapsed: Duration,
    /// Of the server.
    pub server: CpuTime,
    /// Of the generator.
    pub generator: CpuTime,
    /// From the intended time of an INVITE to its 200.
    pub setup: Histogram,
    /// From a BYE to its 200.
    pub end: Histogram,
}

impl CallReport {
    /// True if every call was made, and in order.
    pub fn is_clean(&self) -> bool {
        self.missing + self.refused + self.wrong + self.disordered == 0
    }
}

impl fmt::Display for CallReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let calls = self.completed.max(1) as f64;
        let per = |time: Duration| time.as_secs_f64() * 1e6 / calls;
        let us = |time: Duration| time.as_secs_f64() * 1e6;
        write!(
            f,
            "completed={} missing={} refused={} disordered={} wrong={} stray={} datagrams_per_call={:.2} seconds={:.3} \
             per_second={:.0} server_us={:.2} server_user_us={:.2} server_system_us={:.2} generator_us={:.2} \
             setup_p50_us={:.0} setup_p99_us={:.0} setup_max_us={:.0} end_p50_us={:.0} end_p99_us={:.0}",
            self.completed,
            self.missing,
            self.refused,
            self.disordered,
            self.wrong,
            self.stray,
            self.datagrams as f64 / calls,
            self.elapsed.as_secs_f64(),
            self.completed as f64 / self.elapsed.as_secs_f64().max(1e-9),
            per(self.server.total()),
            per(self.server.user),
            per(self.server.system),
            per(self.generator.total()),
            us(self.setup.at(0.5)),
            us(self.setup.at(0.99)),
            us(self.setup.max()),
            us(self.end.at(0.5)),
            us(self.end.at(0.99)),
        )
    }
}

/// Runs a plan. Fails if a socket does, or if the callees or the calls that stay up are refused.
pub fn calls(plan: &CallPlan) -> io::Result<CallReport> {
    let mut client = Client::new(plan)?;
    client.register()?;
    if plan.live > 0 {
        let report = client.phase(plan.live, true)?;
        if !report.is_clean() {
            let example = report.example.clone().unwrap_or_default();
            return Err(io::Error::other(format!("the calls that stay up failed: {report}\n{example}")));
        }
    }
    client.phase(plan.calls, false)
}

/// How far a call is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Stage {
    Invited,
    Ringing,
    Answered,
    Acknowledged,
    Ending,
    Over,
}

struct Call {
    stage: Stage,
    intended: Duration,
    ending: Duration,
    answered: Answered,
}

struct Client<'p> {
    plan: &'p CallPlan,
    parties: Parties,
    caller: UdpSocket,
    callee: UdpSocket,
    origin: Instant,
    /// By number less that of the first of this phase.
    calls: Vec<Call>,
    first: u32,
    outstanding: usize,
    deadlines: VecDeque<(Duration, u32)>,
    buffer: Vec<u8>,
    out: Vec<u8>,
    report: CallReport,
}

/// Received in one go before the other socket gets its turn.
const BURST: usize = 32;

impl<'p> Client<'p> {
    fn new(plan: &'p CallPlan) -> io::Result<Client<'p>> {
        let (caller, callee) = (open(plan.target)?, open(plan.target)?);
        let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let parties = Parties {
            domain: plan.domain.clone(),
            caller: caller.local_addr()?,
            callee: callee.local_addr()?,
            users: plan.users,
            salt: format!("{:08x}", since.as_nanos() as u32 ^ std::process::id()),
        };
        Ok(Client {
            plan,
            parties,
            caller,
            callee,
            origin: Instant::now(),
            calls: Vec::new(),
            first: 0,
            outstanding: 0,
            deadlines: VecDeque::new(),
            buffer: vec![0; 65_536],
            out: Vec::with_capacity(4096),
            report: CallReport::default(),
        })
    }

    fn register(&mut self) -> io::Result<()> {
        for user in 0..self.plan.users {
            self.parties.register(&mut self.out, user);
            self.callee.send(&self.out)?;
            let start = Instant::now();
            loop {
                match self.callee.recv(&mut self.buffer) {
                    Ok(len) => match self.parties.callee_hears(&self.buffer[..len]) {
                        Heard::Registered(200) => break,
                        heard => return Err(io::Error::other(format!("no registration: {heard:?}"))),
                    },
                    Err(e) if e.kind() != ErrorKind::WouldBlock => return Err(e),
                    Err(_) if start.elapsed() > self.plan.patience => {
                        return Err(io::Error::other("a REGISTER has no answer"));
                    }
                    Err(_) => std::thread::yield_now(),
                }
            }
        }
        Ok(())
    }

    /// So many calls, which stay up or not.
    fn phase(&mut self, count: u32, stay: bool) -> io::Result<CallReport> {
        self.first += self.calls.len() as u32;
        self.calls = Vec::with_capacity(count as usize);
        self.report = CallReport::default();
        let server = || self.plan.pids.iter().map(|&pid| cpu_of(pid)).sum::<CpuTime>();
        let (before, own) = (server(), cpu_of(std::process::id()));
        let start = self.origin.elapsed();
        loop {
            let now = self.origin.elapsed();
            let r = &self.report;
            if r.completed + r.missing + r.refused >= u64::from(count) {
                break;
            }
            self.begin(count, start, now)?;
            let mut came = false;
            for _ in 0..BURST {
                let Some(len) = receive(&self.callee, &mut self.buffer)? else { break };
                (came, self.report.datagrams) = (true, self.report.datagrams + 1);
                self.on_callee(len)?;
            }
            for _ in 0..BURST {
                let Some(len) = receive(&self.caller, &mut self.buffer)? else { break };
                (came, self.report.datagrams) = (true, self.report.datagrams + 1);
                self.on_caller(len, stay)?;
            }
            self.give_up(now);
            if !came {
                std::thread::yield_now();
            }
        }
        let mut report = std::mem::take(&mut self.report);
        report.elapsed = self.origin.elapsed() - start;
        report.server = server() - before;
        report.generator = cpu_of(std::process::id()) - own;
        Ok(report)
    }

    /// Begins the calls whose time has come.
    fn begin(&mut self, count: u32, start: Duration, now: Duration) -> io::Result<()> {
        while (self.calls.len() as u32) < count {
            let begun = self.calls.len() as u32;
            let intended = match self.plan.rate {
                None if self.outstanding >= self.plan.window => break,
                None => now,
                Some(rate) => start + Duration::from_secs_f64(f64::from(begun) / rate.max(1) as f64),
            };
            if intended > now {
                break;
            }
            let number = self.first + begun;
            self.parties.invite(&mut self.out, number);
            self.send_as_caller()?;
            let (stage, answered) = (Stage::Invited, Answered::default());
            self.calls.push(Call { stage, intended, ending: Duration::ZERO, answered });
            self.deadlines.push_back((now + self.plan.patience, number));
            self.outstanding += 1;
        }
        Ok(())
    }

    fn send_as_caller(&mut self) -> io::Result<()> {
        self.report.datagrams += 1;
        send(&self.caller, &self.out)
    }

    fn call(&mut self, number: u32) -> Option<&mut Call> {
        let at = number.checked_sub(self.first)? as usize;
        self.calls.get_mut(at)
    }

    fn wrong(&mut self, what: &str, len: usize) {
        self.report.wrong += 1;
        let text = || format!("{what}:\n{}", String::from_utf8_lossy(&self.buffer[..len]));
        self.report.example.get_or_insert_with(text);
    }

    fn answer(&mut self, len: usize, status: &str, number: u32) -> io::Result<()> {
        self.parties.answer(&mut self.out, &self.buffer[..len], status, number);
        self.report.datagrams += 1;
        send(&self.callee, &self.out)
    }

    fn on_callee(&mut self, len: usize) -> io::Result<()> {
        let heard = self.parties.callee_hears(&self.buffer[..len]);
        let Heard::Request(method, number) = heard else {
            self.wrong(&format!("{heard:?} to the callee"), len);
            return Ok(());
        };
        let now = self.origin.elapsed();
        match method {
            Method::Invite => {
                self.answer(len, "180 Ringing", number)?;
                self.answer(len, "200 OK", number)
            }
            Method::Ack => {
                let Some(call) = self.call(number).filter(|call| call.stage < Stage::Acknowledged) else {
                    self.report.stray += 1;
                    return Ok(());
                };
                if call.stage != Stage::Answered {
                    self.report.disordered += 1;
                    return Ok(());
                }
                (call.stage, call.ending) = (Stage::Acknowledged, now);
                self.hang_up(number)
            }
            Method::Bye => self.answer(len, "200 OK", number),
        }
    }

    fn hang_up(&mut self, number: u32) -> io::Result<()> {
        let first = self.first;
        let Some(call) = self.calls.get_mut((number - first) as usize) else { return Ok(()) };
        if call.answered == Answered::default() {
            // It stays up.
            call.stage = Stage::Over;
            return Ok(());
        }
        call.stage = Stage::Ending;
        self.parties.within(&mut self.out, Method::Bye, &call.answered, number);
        call.answered = Answered::default();
        self.send_as_caller()
    }

    fn on_caller(&mut self, len: usize, stay: bool) -> io::Result<()> {
        let heard = self.parties.caller_hears(&self.buffer[..len]);
        let Heard::Response(method, status, number) = heard else {
            self.wrong(&format!("{heard:?} to the caller"), len);
            return Ok(());
        };
        let now = self.origin.elapsed();
        let first = self.first;
        let Some(call) = number.checked_sub(first).and_then(|at| self.calls.get_mut(at as usize)) else {
            self.report.stray += 1;
            return Ok(());
        };
        match (method, status) {
            (Method::Invite, 100) => {}
            (Method::Invite, 180) if call.stage == Stage::Invited => call.stage = Stage::Ringing,
            (Method::Invite, 200) if call.stage < Stage::Answered => {
                let rang = call.stage == Stage::Ringing;
                let latency = now.saturating_sub(call.intended);
                let Some(answered) = self.parties.answered(&self.buffer[..len]) else {
                    self.wrong("an answer without a way back", len);
                    return Ok(());
                };
                call.stage = Stage::Answered;
                self.parties.within(&mut self.out, Method::Ack, &answered, number);
                if !stay {
                    call.answered = answered;
                }
                self.report.disordered += u64::from(!rang);
                self.report.setup.record(latency);
                if stay {
                    self.outstanding -= 1;
                    self.report.completed += 1;
                }
                return self.send_as_caller();
            }
            (Method::Bye, 200) if call.stage == Stage::Ending => {
                call.stage = Stage::Over;
                let latency = now.saturating_sub(call.ending);
                self.outstanding -= 1;
                self.report.completed += 1;
                self.report.end.record(latency);
            }
            (_, 300..) if call.stage < Stage::Over => {
                call.stage = Stage::Over;
                self.outstanding -= 1;
                self.report.refused += 1;
                self.wrong("refused", len);
            }
            _ => self.report.stray += 1,
        }
        Ok(())
    }

    fn give_up(&mut self, now: Duration) {
        while let Some((_, number)) = self.deadlines.front().copied().filter(|(at, _)| *at <= now) {
            self.deadlines.pop_front();
            let Some(call) = self.call(number).filter(|call| call.stage < Stage::Over) else { continue };
            let up = call.stage == Stage::Acknowledged || call.stage == Stage::Answered;
            let waited = call.answered == Answered::default() && up;
            call.stage = Stage::Over;
            // What stays up was counted when it was answered.
            if !waited {
                self.outstanding -= 1;
                self.report.missing += 1;
            }
        }
    }
}

fn receive(socket: &UdpSocket, buffer: &mut [u8]) -> io::Result<Option<usize>> {
    match socket.recv(buffer) {
        Ok(len) => Ok(Some(len)),
        Err(e) if e.kind() == ErrorKind::WouldBlock => Ok(None),
        Err(e) => Err(e),
    }
}

/// A full socket is waited for: nothing is lost here.
fn send(socket: &UdpSocket, data: &[u8]) -> io::Result<()> {
    loop {
        match socket.send(data) {
            Ok(_) => return Ok(()),
            Err(e) if e.kind() == ErrorKind::WouldBlock => std::thread::yield_now(),
            Err(e) => return Err(e),
        }
    }
}
