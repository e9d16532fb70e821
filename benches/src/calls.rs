//! Calls between phones, and what the engine spends on them in process: INVITE, 100, 180, 200, ACK, BYE and 200 on both legs.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use strowger_core::Engine;
use strowger_core::base::Time;
use strowger_core::config::{AuthPolicy, CallsConfig, Config, RegistrarConfig};
use strowger_core::door::{Command, FlowId, Input, Transport};

use crate::counting::Count;
use crate::load::{Answered, Heard, Method, Parties};
use crate::micro::{self, timed};

const UDP: FlowId = FlowId(2);
const USERS: u32 = 1_000;
/// 250 calls a second: each has four transactions, which live for 32 s (RFC 3261 timers D, I and J) and end in the measured
/// time too.
const STEP: Duration = Duration::from_millis(4);
/// Longer than any transaction lives.
pub const OVER: Duration = Duration::from_secs(40);

/// An engine, and the phones of all its users.
#[derive(Debug)]
pub struct World {
    /// The engine.
    pub engine: Engine,
    now: Time,
    parties: Parties,
    calls: u32,
    message: Vec<u8>,
    out: Vec<(SocketAddr, Bytes)>,
    /// `None`: nothing is measured yet.
    spent: Option<Spent>,
}

/// What the engine took.
#[derive(Clone, Copy, Default, Debug)]
pub struct Spent {
    /// Time.
    pub time: Duration,
    /// Allocations.
    pub allocations: u64,
    /// Messages in and out.
    pub messages: u64,
}

impl World {
    /// Without any call.
    pub fn idle() -> World {
        let mut config = Config::new("example.com");
        config.registrar = Some(RegistrarConfig::default());
        config.calls = Some(CallsConfig::default());
        (config.policies.register, config.policies.invite) = (AuthPolicy::Open, AuthPolicy::Open);
        config.limits.transaction_bytes = 1 << 32;
        (config.limits.calls_per_account, config.limits.calls_per_source) = (1_000_000, 1_000_000);
        let now = Time::from_secs(1_700_000_000);
        let mut engine = Engine::new(config.validate().expect("it is good"), [5; 32], now);
        let (transport, remote) = (Transport::Udp, None);
        engine.handle(
            now,
            Input::FlowUp { flow: UDP, listener: 0, transport, local: local(), remote, peer: None },
        );
        let parties = Parties {
            domain: "example.com".into(),
            caller: "192.0.2.8:5060".parse().expect("an address"),
            callee: "192.0.2.9:5060".parse().expect("an address"),
            users: USERS,
            salt: "5a17".into(),
        };
        let (message, out, spent) = (Vec::new(), Vec::with_capacity(64), None);
        let mut world = World { engine, now, parties, calls: 0, message, out, spent };
        for user in 0..USERS {
            world.parties.register(&mut world.message, user);
            world.input(world.parties.callee);
            assert_eq!(world.parties.callee_hears(&world.sent(0)), Heard::Registered(200));
            world.out.clear();
        }
        world
    }

    /// Hands the message to the engine and takes all commands: this is what is measured.
    fn input(&mut self, remote: SocketAddr) {
        let World { engine, now, message, out, spent, .. } = self;
        let Some(spent) = spent else { return exchange(engine, *now, remote, message, out) };
        let before = Count::now();
        spent.time += timed(|| micro::measured(&mut || exchange(engine, *now, remote, message, out)));
        spent.allocations += Count::now().since(before).calls;
        spent.messages += 1 + out.len() as u64;
    }

    fn sent(&self, at: usize) -> Bytes {
        self.out.get(at).map(|(_, payload)| payload.clone()).expect("something was sent")
    }

    /// What was sent to a party; nothing else may have been.
    fn to(&mut self, whom: SocketAddr) -> Bytes {
        let at = self.out.iter().position(|(to, _)| *to == whom).expect("something was sent there");
        self.out.remove(at).1
    }

    /// A response of the callee, and what the caller hears.
    fn callee_says(&mut self, request: &[u8], status: &str, call: u32) {
        self.parties.answer(&mut self.message, request, status, call);
        self.input(self.parties.callee);
    }

    /// A call that is answered and acknowledged.
    pub fn set_up(&mut self) -> (u32, Answered) {
        let (caller, callee, call) = (self.parties.caller, self.parties.callee, self.calls);
        self.calls += 1;
        self.now = self.now + STEP;
        self.parties.invite(&mut self.message, call);
        self.input(caller);
        let trying = self.to(caller);
        assert_eq!(self.parties.caller_hears(&trying), Heard::Response(Method::Invite, 100, call));
        let invite = self.to(callee);
        assert_eq!(self.parties.callee_hears(&invite), Heard::Request(Method::Invite, call));
        self.callee_says(&invite, "100 Trying", call);
        self.callee_says(&invite, "180 Ringing", call);
        let ringing = self.to(caller);
        assert_eq!(self.parties.caller_hears(&ringing), Heard::Response(Method::Invite, 180, call));
        self.callee_says(&invite, "200 OK", call);
        let ok = self.to(caller);
        assert_eq!(self.parties.caller_hears(&ok), Heard::Response(Method::Invite, 200, call));
        let answered = self.parties.answered(&ok).expect("an answer");
        self.parties.within(&mut self.message, Method::Ack, &answered, call);
        self.input(caller);
        let ack = self.to(callee);
        assert_eq!(self.parties.callee_hears(&ack), Heard::Request(Method::Ack, call));
        assert!(self.out.is_empty());
        (call, answered)
    }

    /// The caller hangs up.
    pub fn hang_up(&mut self, (call, answered): &(u32, Answered)) {
        let (caller, callee) = (self.parties.caller, self.parties.callee);
        self.parties.within(&mut self.message, Method::Bye, answered, *call);
        self.input(caller);
        let ok = self.to(caller);
        assert_eq!(self.parties.caller_hears(&ok), Heard::Response(Method::Bye, 200, *call));
        let bye = self.to(callee);
        assert_eq!(self.parties.callee_hears(&bye), Heard::Request(Method::Bye, *call));
        self.callee_says(&bye, "200 OK", *call);
        assert!(self.out.is_empty());
    }

    /// A whole call.
    pub fn call(&mut self) {
        let call = self.set_up();
        self.hang_up(&call);
    }

    /// Lets time pass.
    pub fn wait(&mut self, span: Duration) {
        let end = self.now + span;
        while let Some(next) = self.engine.poll_timeout().filter(|next| *next <= end) {
            self.now = self.now.max(next);
            self.engine.handle(self.now, Input::Timeout);
            while self.engine.poll_command().is_some() {}
        }
        self.now = end;
    }

    /// With so many calls up, and as many transactions as calls at this pace leave.
    pub fn among(live: u32) -> World {
        let mut world = World::idle();
        (0..live).for_each(|_| drop(world.set_up()));
        world.wait(OVER);
        (0..OVER.as_millis() / STEP.as_millis()).for_each(|_| world.call());
        world.spent = Some(Spent::default());
        world
    }

    /// What was spent since the last time.
    pub fn take_spent(&mut self) -> Spent {
        self.spent.replace(Spent::default()).unwrap_or_default()
    }
}

fn exchange(
    engine: &mut Engine,
    now: Time,
    remote: SocketAddr,
    data: &[u8],
    out: &mut Vec<(SocketAddr, Bytes)>,
) {
    engine.handle(now, Input::Message { flow: UDP, remote, local: local(), data });
    while let Some(command) = engine.poll_command() {
        if let Command::Transmit(transmit) = command {
            out.push((transmit.remote, transmit.payload));
        }
    }
}

fn local() -> SocketAddr {
    SocketAddr::from(([192, 0, 2, 1], 5060))
}
