//! Random programs over a few slots, with the invariants as oracle.

use std::collections::BTreeMap;

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

const METHODS: [&str; 5] = ["INVITE", "REGISTER", "MESSAGE", "CANCEL", "OPTIONS"];
const OWN: [Method; 3] = [Method::Invite, Method::Options, Method::Message];
const STATUS: [u16; 8] = [100, 180, 183, 200, 302, 408, 486, 603];

#[derive(Clone, Copy, Debug)]
enum Op {
    /// A request comes, new or again.
    Request {
        slot: usize,
        method: usize,
    },
    Ack {
        slot: usize,
    },
    /// The TU responds to what came as `slot`.
    Respond {
        slot: usize,
        method: usize,
        status: usize,
    },
    Park {
        slot: usize,
        method: usize,
    },
    Send {
        slot: usize,
        method: usize,
    },
    Response {
        slot: usize,
        method: usize,
        status: usize,
    },
    Cancelled {
        slot: usize,
    },
    SendFailed,
    FlowDown,
    Pass {
        millis: u64,
    },
    Jump {
        millis: u64,
    },
}

fn op() -> impl Strategy<Value = Op> {
    let (slot, method, own, status) = (0..3_usize, 0..METHODS.len(), 0..OWN.len(), 0..STATUS.len());
    prop_oneof![
        4 => (slot.clone(), method.clone()).prop_map(|(slot, method)| Op::Request { slot, method }),
        1 => slot.clone().prop_map(|slot| Op::Ack { slot }),
        4 => (slot.clone(), method.clone(), status.clone())
            .prop_map(|(slot, method, status)| Op::Respond { slot, method, status }),
        1 => (slot.clone(), method).prop_map(|(slot, method)| Op::Park { slot, method }),
        2 => (slot.clone(), own.clone()).prop_map(|(slot, method)| Op::Send { slot, method }),
        4 => (slot.clone(), own, status).prop_map(|(slot, method, status)| Op::Response { slot, method, status }),
        1 => slot.prop_map(|slot| Op::Cancelled { slot }),
        1 => Just(Op::SendFailed),
        1 => Just(Op::FlowDown),
        3 => (0..40_000_u64).prop_map(|millis| Op::Pass { millis }),
        1 => (0..400_000_u64).prop_map(|millis| Op::Jump { millis }),
    ]
}

/// The world of a program, and what the oracle remembers of it.
struct Program {
    world: World,
    servers: BTreeMap<(usize, usize), ServerKey>,
    /// By branch: a slot may be used anew when its transaction is gone.
    clients: BTreeMap<(usize, usize), (String, ClientKey)>,
    next: u32,
    /// Final responses the network saw, by transaction: when it was opened, the status.
    finals: BTreeMap<ServerKey, Vec<u16>>,
    opened: BTreeMap<ServerKey, (usize, Time)>,
    outcomes: BTreeMap<ClientKey, u32>,
}

impl Program {
    fn new(over: Over) -> Program {
        Program {
            world: World::new(over),
            servers: BTreeMap::new(),
            clients: BTreeMap::new(),
            next: 0,
            finals: BTreeMap::new(),
            opened: BTreeMap::new(),
            outcomes: BTreeMap::new(),
        }
    }

    fn outcome(&mut self, key: ClientKey) {
        let count = self.outcomes.entry(key).or_default();
        *count += 1;
        assert_eq!(*count, 1, "the TU hears one outcome");
    }

    fn run(&mut self, op: Op) {
        match op {
            Op::Request { slot, method } => {
                let text =
                    request(METHODS[method], &slot.to_string()).replace("c1", &format!("{slot}-{method}"));
                let known = self
                    .servers
                    .get(&(slot, method))
                    .is_some_and(|&key| self.world.txn.servers.state(key).is_some());
                match self.world.receive(&text) {
                    RequestMatch::New(_) | RequestMatch::Cancel { .. } => {
                        assert!(!known, "a request is new once");
                        let key = self.world.open(&text);
                        self.servers.insert((slot, method), key);
                        self.opened.insert(key, (method, self.world.fx.now));
                    }
                    RequestMatch::Absorbed => assert!(known),
                    other => panic!("{other:?}"),
                }
            }
            Op::Ack { slot } => {
                self.world.receive(&request("ACK", &slot.to_string()));
            }
            Op::Respond { slot, method, status } => {
                let Some(&key) = self.servers.get(&(slot, method)) else { return };
                self.world.sent();
                self.world.respond(key, STATUS[status]);
                self.check_response(key, STATUS[status]);
            }
            Op::Park { slot, method } => {
                if let Some(&key) = self.servers.get(&(slot, method)) {
                    self.world.trying(key);
                }
            }
            Op::Send { slot, method } => {
                self.next += 1;
                let branch = format!("z9hG4bK{}", self.next);
                let key = self.world.send(OWN[method], &branch);
                self.clients.insert((slot, method), (branch, key));
            }
            Op::Response { slot, method, status } => {
                let Some((branch, key)) = self.clients.get(&(slot, method)).cloned() else { return };
                match self.world.answer(OWN[method], &branch, STATUS[status]) {
                    ResponseMatch::Deliver { first: false, .. } => {
                        assert_eq!((OWN[method], STATUS[status]), (Method::Invite, 200));
                    }
                    ResponseMatch::Deliver { key: found, .. } => {
                        assert_eq!(found, key);
                        if STATUS[status] >= 200 {
                            self.outcome(key);
                        }
                    }
                    ResponseMatch::Absorbed | ResponseMatch::Stray => {}
                }
            }
            Op::Cancelled { slot } => {
                if let Some(&(_, key)) = self.clients.get(&(slot, 0)) {
                    self.world.txn.clients.cancelled(&mut self.world.fx.ctx(), key);
                }
            }
            Op::SendFailed | Op::FlowDown => {
                let origin = self.world.origin();
                let ctx = &mut self.world.fx.ctx();
                let events = match op {
                    Op::SendFailed => self.world.txn.on_send_failed(ctx, origin.flow, origin.remote),
                    _ => self.world.txn.on_flow_down(ctx, origin.flow, false),
                };
                for event in events {
                    self.outcome(event.key);
                }
            }
            Op::Pass { millis } => self.pass(self.world.fx.now + ms(millis)),
            Op::Jump { millis } => {
                self.world.fx.advance(ms(millis));
                self.pass(self.world.fx.now);
            }
        }
        self.world.audit();
    }

    /// What the TU's response did to the wire.
    fn check_response(&mut self, key: ServerKey, status: u16) {
        let (method, at) = self.opened[&key];
        let sent = self.world.sent();
        if sent.is_empty() {
            return;
        }
        let is_invite = METHODS[method] == "INVITE";
        assert_eq!(sent, [format!("send {status}")]);
        if !is_invite {
            assert!(status != 408 && !(101..200).contains(&status), "RFC 4320");
            let early = self.world.fx.now < at + ms(3500);
            assert!(status != 100 || self.world.over == Over::Tcp || !early, "RFC 4320");
        }
        let finals = self.finals.entry(key).or_default();
        if status >= 200 {
            finals.push(status);
            assert!(finals.len() == 1 || is_invite && finals.iter().all(|s| *s == 200), "one final response");
        } else {
            assert!(finals.is_empty(), "nothing provisional after a final response");
        }
    }

    fn pass(&mut self, end: Time) {
        while self.world.fx.timers.next_deadline().is_some_and(|deadline| deadline <= end) {
            self.world.fx.now =
                self.world.fx.now.max(self.world.fx.timers.next_deadline().expect("there is one"));
            let Some(timer) = self.world.fx.due() else { continue };
            let ctx = &mut self.world.fx.ctx();
            match timer {
                Timer::Server(bits, timer) => {
                    self.world.txn.on_server_timer(ctx, bits, timer);
                }
                Timer::Client(bits, timer) => {
                    if let Some(event) = self.world.txn.on_client_timer(ctx, bits, timer)
                        && event.what == ClientFailure::TimedOut
                    {
                        self.outcome(event.key);
                    }
                }
                other => panic!("{other:?}"),
            }
        }
        self.world.fx.now = self.world.fx.now.max(end);
    }

    /// The TU answers what is open, and time runs out.
    fn finish(mut self) {
        for key in self.servers.values().copied().collect::<Vec<_>>() {
            self.world.respond(key, 500);
        }
        self.pass(self.world.fx.now + Duration::from_secs(3600));
        for (key, count) in &self.outcomes {
            assert_eq!((*count, self.world.txn.clients.state(*key)), (1, None));
        }
        for (_, key) in self.clients.values() {
            assert!(self.outcomes.contains_key(key), "the TU hears an outcome");
        }
        self.world.assert_nothing_left();
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_program_keeps_the_invariants(tcp in any::<bool>(), ops in vec(op(), 0..60)) {
        let mut program = Program::new(if tcp { Over::Tcp } else { Over::Udp });
        for op in ops {
            program.run(op);
        }
        program.finish();
    }

    #[test]
    fn a_clone_midway_goes_on_alike(ops in vec(op(), 0..40), at in 0..40_usize) {
        let mut program = Program::new(Over::Udp);
        for &op in ops.iter().take(at) {
            program.run(op);
        }
        let mut copy = program.world.clone();
        prop_assert_eq!(program.world.run_out(), copy.run_out());
    }
}
