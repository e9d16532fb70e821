//! Tests of the transaction room: its world, and one file per concern.

mod budget;
mod client;
mod matching;
mod programs;
mod routing;
mod server;
mod tables;

use core::time::Duration;

use super::*;
use crate::base::Time;
use crate::config::Config;
use crate::ctx::Timer;
use crate::ctx::fixture::{Fixture, with_message};
use crate::door::Transmit;
use crate::stats::Counter;

/// Which of the two flows of the fixture.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Over {
    Udp,
    Tcp,
}

/// A transaction room and what it borrows.
#[derive(Clone)]
struct World {
    fx: Fixture,
    txn: Transactions,
    over: Over,
    start: Time,
}

impl World {
    fn new(over: Over) -> World {
        World::with(over, Config::new("example.com"))
    }

    fn with(over: Over, config: Config) -> World {
        World::seeded(over, config, [7; 32])
    }

    fn seeded(over: Over, config: Config, seed: [u8; 32]) -> World {
        let fx = Fixture::seeded(config, seed);
        World { txn: Transactions::new(&fx.ids), start: fx.now, fx, over }
    }

    fn origin(&self) -> Origin {
        match self.over {
            Over::Udp => self.fx.udp("192.0.2.9:5060"),
            Over::Tcp => self.fx.tcp(),
        }
    }

    fn receive(&mut self, text: &str) -> RequestMatch {
        let origin = self.origin();
        let World { fx, txn, .. } = self;
        with_message(text, |msg| {
            let ess = msg.essentials().expect("the test's request is whole");
            txn.receive_request(&mut fx.ctx(), &origin, msg, &ess.via, &ess)
        })
    }

    /// A new request, and its transaction.
    #[track_caller]
    fn open(&mut self, text: &str) -> ServerKey {
        self.try_open(text).expect("there is room")
    }

    #[track_caller]
    fn try_open(&mut self, text: &str) -> Result<ServerKey, Full> {
        let id = match self.receive(text) {
            RequestMatch::New(id) | RequestMatch::Cancel { id, .. } | RequestMatch::Merged(id) => id,
            other => panic!("not new but {other:?}"),
        };
        let origin = self.origin();
        let World { fx, txn, .. } = self;
        with_message(text, |msg| {
            let via = msg.via().expect("the test's request is whole");
            txn.open(&mut fx.ctx(), &origin, &via, id, msg.method())
        })
    }

    fn respond(&mut self, key: ServerKey, status: u16) {
        self.txn.respond(&mut self.fx.ctx(), key, Status(status), response(status), None);
    }

    fn trying(&mut self, key: ServerKey) {
        self.txn.trying(&mut self.fx.ctx(), key, response(100));
    }

    fn send(&mut self, method: Method, branch: &str) -> ClientKey {
        let to = self.origin();
        let payload = Bytes::from(ours(method, branch).replace('\n', "\r\n"));
        self.txn
            .send(&mut self.fx.ctx(), &to, method, Usage::Nothing, branch.as_bytes(), payload)
            .expect("there is room")
    }

    /// A response to a request of ours came.
    fn answer(&mut self, method: Method, branch: &str, status: u16) -> ResponseMatch {
        self.answer_text(&format!(
            "SIP/2.0 {status} Whatever\nVia: SIP/2.0/UDP 192.0.2.1:5060;branch={branch};rport=5060\n\
             From: <sip:us@example.com>;tag=us\nTo: \"B\" <sip:bob@example.com>;tag=them\nCall-ID: ours\n\
             CSeq: 7 {}\nContent-Length: 0\n\n",
            method.as_str()
        ))
    }

    fn answer_text(&mut self, text: &str) -> ResponseMatch {
        let origin = self.origin();
        let World { fx, txn, .. } = self;
        with_message(text, |msg| txn.receive_response(&mut fx.ctx(), &origin, msg))
    }

    /// Runs one due timer; what it told.
    fn run_due(&mut self) -> Option<(Timer, Option<String>)> {
        let timer = self.fx.due()?;
        let ctx = &mut self.fx.ctx();
        let told = match timer {
            Timer::Server(bits, timer) => {
                self.txn.on_server_timer(ctx, bits, timer).map(|event| match event {
                    ServerEvent::NoAck(_) => "tell NoAck".into(),
                    ServerEvent::TimedOut(_) => "tell TimedOut".into(),
                })
            }
            Timer::Client(bits, timer) => {
                self.txn.on_client_timer(ctx, bits, timer).map(|event| format!("tell {:?}", event.what))
            }
            other => panic!("not a timer of transactions: {other:?}"),
        };
        self.audit();
        Some((timer, told))
    }

    /// Goes to the next deadline and runs what is due there.
    fn step(&mut self) -> Option<(Timer, Option<String>)> {
        loop {
            self.fx.now = self.fx.timers.next_deadline()?.max(self.fx.now);
            // A deadline may be that of a timer which was disarmed.
            if let Some(done) = self.run_due() {
                return Some(done);
            }
        }
    }

    /// Lets all timers run out; a line for each that sent or told something.
    fn run_out(&mut self) -> String {
        let mut log = String::new();
        while let Some((timer, told)) = self.step() {
            let mut done = self.sent();
            done.extend(told);
            let at = self.fx.now.since(self.start);
            log.push_str(&format!(
                "{at:>8.1?} {}: {}\n",
                letter(timer),
                if done.is_empty() { "-".into() } else { done.join(", ") }
            ));
        }
        log
    }

    /// Time passes, and timers run at their deadlines.
    fn pass(&mut self, by: Duration) {
        let end = self.fx.now + by;
        while let Some(deadline) = self.fx.timers.next_deadline().filter(|deadline| *deadline <= end) {
            self.fx.now = deadline.max(self.fx.now);
            self.run_due();
        }
        self.fx.now = end;
    }

    /// What was sent since the last call: `send` and the status code or the method.
    fn sent(&mut self) -> Vec<String> {
        self.fx.sent().iter().map(|t| format!("send {}", summary(t))).collect()
    }

    /// The timer that is armed, if it is the only one: letter and time from now.
    fn armed(&self) -> String {
        let mut timers = self.fx.timers.clone();
        let mut armed = Vec::new();
        while let Some(deadline) = timers.next_deadline() {
            if let Some((at, timer)) = timers.pop(deadline) {
                armed.push(format!("{} {:?}", letter(timer), at.since(self.fx.now)));
            }
        }
        armed.join(" ")
    }

    /// The invariants that hold after every step.
    fn audit(&self) {
        self.txn.servers.audit();
        self.txn.clients.audit();
        assert!(self.fx.timers.len() <= self.txn.len(), "at most one timer each");
    }

    #[track_caller]
    fn assert_nothing_left(&self) {
        self.audit();
        assert_eq!((self.txn.len(), self.txn.bytes(), self.fx.timers.len()), (0, 0, 0));
        assert!(self.txn.servers.capacity() + self.txn.clients.capacity() <= 512, "memory was given back");
    }
}

fn letter(timer: Timer) -> String {
    match timer {
        Timer::Server(_, ServerTimer::Finished) => "J".into(),
        Timer::Server(_, timer) => format!("{timer:?}"),
        Timer::Client(_, timer) => format!("{timer:?}"),
        other => panic!("not a timer of transactions: {other:?}"),
    }
}

fn summary(transmit: &Transmit) -> String {
    let text = String::from_utf8_lossy(&transmit.payload);
    let mut words = text.split(' ');
    let first = words.next().unwrap_or_default();
    if first == "SIP/2.0" { words.next().unwrap_or_default().into() } else { first.into() }
}

/// A request that comes in; `branch` without its cookie.
fn request(method: &str, branch: &str) -> String {
    request_with(method, &format!(";branch=z9hG4bK{branch}"))
}

fn request_with(method: &str, via_params: &str) -> String {
    format!(
        "{method} sip:bob@example.com SIP/2.0\nVia: SIP/2.0/UDP 192.0.2.9:5060{via_params}\n\
         From: <sip:alice@example.com>;tag=a\nTo: <sip:bob@example.com>\nCall-ID: c1\nCSeq: 1 {method}\n\
         Max-Forwards: 70\nContent-Length: 0\n\n"
    )
}

/// A response as the TU hands it over.
fn response(status: u16) -> Bytes {
    let text = format!(
        "SIP/2.0 {status} Whatever\r\nVia: SIP/2.0/UDP 192.0.2.9:5060\r\nFrom: <sip:alice@example.com>;tag=a\r\n\
         To: <sip:bob@example.com>;tag=b\r\nCall-ID: c1\r\nCSeq: 1 INVITE\r\nContent-Length: 0\r\n\r\n"
    );
    Bytes::from(text)
}

/// A request of ours; `branch` with its cookie.
fn ours(method: Method, branch: &str) -> String {
    let method = method.as_str();
    format!(
        "{method} sip:bob@192.0.2.9 SIP/2.0\nVia: SIP/2.0/UDP 192.0.2.1:5060;branch={branch};rport\n\
         Route: <sip:edge.example.com;lr>\nRoute: <sip:core.example.com;lr>\nMax-Forwards: 12\n\
         From: <sip:us@example.com>;tag=us\nTo: \"B\" <sip:bob@example.com>\nCall-ID: ours\nCSeq: 7 {method}\n\
         Contact: <sip:us@192.0.2.1>\nAuthorization: Digest username=\"us\"\nContent-Type: text/plain\n\
         Content-Length: 2\n\nhi"
    )
}

fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

#[test]
fn entries_are_small() {
    assert_eq!(size_of::<crate::txn::server::Server>(), 160);
    assert!(size_of::<crate::txn::client::Client>() <= 208);
}
