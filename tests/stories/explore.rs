//! Every order of a handful of inputs (DESIGN s9): a phone registers and refreshes while its connection dies and comes
//! back. States are told apart by fingerprint, so an order that leads where another led is not followed twice.

use std::collections::BTreeSet;
use std::sync::Arc;

use strowger_core::Engine;
use strowger_core::config::{AuthPolicy, Settings};
use strowger_core::door::{Change, Command, FlowDownReason, FlowId, Input, SaveSeq, Transport};
use strowger_sim::world::{START, config};

use crate::s;

/// One thing that happens once, at any point of the order.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Step {
    Register(u32),
    Remove(u32),
    OldFlowDies,
    NewFlowComes,
    RegisterOnNew(u32),
    Silence,
    Commit,
    CommitFails,
}
use Step::{Commit, CommitFails, NewFlowComes, OldFlowDies, Register, RegisterOnNew, Remove, Silence};

const OLD: FlowId = FlowId(100);
const NEW: FlowId = FlowId(102);

#[derive(Clone)]
struct State {
    engine: Engine,
    now: strowger_sim::Time,
    last_save: Option<SaveSeq>,
    bound: BTreeSet<u64>,
    failed: bool,
}

fn settings() -> Arc<Settings> {
    let mut config = config();
    config.policies.register = AuthPolicy::Open;
    config.validate().expect("the configuration of the world")
}

fn register(cseq: u32, expires: u32) -> String {
    format!(
        "REGISTER sip:example.com SIP/2.0\r\nVia: SIP/2.0/TCP 10.0.0.2:5060;branch=z9hG4bK{cseq}\r\nMax-Forwards: 70\r\n\
         From: <sip:bob@example.com>;tag=1\r\nTo: <sip:bob@example.com>\r\nCall-ID: c\r\nCSeq: {cseq} REGISTER\r\n\
         Contact: <sip:bob@10.0.0.2:5060;transport=tcp>;+sip.instance=\"<urn:uuid:1>\";reg-id=1\r\n\
         Supported: path, outbound\r\nExpires: {expires}\r\nContent-Length: 0\r\n\r\n"
    )
}

impl State {
    fn new() -> State {
        let engine = Engine::new(settings(), [3; 32], START);
        let mut state = State { engine, now: START, last_save: None, bound: BTreeSet::new(), failed: false };
        state.up(OLD);
        state
    }

    fn up(&mut self, flow: FlowId) {
        let (local, remote) = ("192.0.2.1:5060", format!("10.0.0.2:{}", 40_000 + flow.0));
        let (local, remote) = (local.parse().expect("an address"), Some(remote.parse().expect("an address")));
        self.feed(Input::FlowUp { flow, listener: 2, transport: Transport::Tcp, local, remote, peer: None });
    }

    fn send(&mut self, flow: FlowId, text: &str) {
        let remote = format!("10.0.0.2:{}", 40_000 + flow.0).parse().expect("an address");
        let local = "192.0.2.1:5060".parse().expect("an address");
        self.feed(Input::Message { flow, remote, local, data: text.as_bytes() });
    }

    fn feed(&mut self, input: Input<'_>) {
        self.engine.handle(self.now, input);
        while let Some(command) = self.engine.poll_command() {
            match command {
                Command::Save(seq, change) => {
                    self.last_save = Some(seq);
                    match change {
                        Change::PutBinding(b) => self.bound.insert(b.id()),
                        Change::RemoveBinding { id, .. } => self.bound.remove(&id),
                        _ => false,
                    };
                }
                // The host reports what it closes.
                Command::Close { flow, .. } => {
                    self.engine.handle(self.now, Input::FlowDown { flow, reason: FlowDownReason::Shutdown });
                }
                _ => {}
            }
        }
        let sizes = self.engine.sizes();
        assert!(sizes.bindings <= 1, "one phone, one binding: {sizes:?}");
        assert!(self.failed || sizes.bindings == self.bound.len(), "the changes add up: {sizes:?}");
    }

    fn take(&mut self, step: Step) {
        match step {
            Register(cseq) => self.send(OLD, &register(cseq, 600)),
            Remove(cseq) => self.send(OLD, &register(cseq, 0)),
            RegisterOnNew(cseq) => self.send(NEW, &register(cseq, 600)),
            OldFlowDies => self.feed(Input::FlowDown { flow: OLD, reason: FlowDownReason::Error }),
            NewFlowComes => self.up(NEW),
            Silence => {
                self.now = self.now + s(200);
                self.feed(Input::Timeout);
            }
            Commit => {
                if let Some(seq) = self.last_save {
                    self.feed(Input::Saved(seq));
                }
            }
            CommitFails => {
                if let Some(seq) = self.last_save {
                    self.failed = true;
                    self.feed(Input::SaveFailed(seq));
                }
            }
        }
    }

    /// Both connections end, time passes: nothing may be left.
    fn end(mut self) {
        for flow in [OLD, NEW] {
            self.feed(Input::FlowDown { flow, reason: FlowDownReason::Closed });
        }
        for _ in 0..1_000 {
            let Some(at) = self.engine.poll_timeout() else { break };
            self.now = self.now.max(at);
            self.feed(Input::Timeout);
        }
        let sizes = self.engine.sizes();
        let left = [sizes.aors, sizes.bindings, sizes.transactions, sizes.flows, sizes.timers];
        assert_eq!(left, [0; 5], "something is left at the end: {sizes:?}");
    }
}

/// Follows every order of the steps; the number of states and of ends.
fn explore(steps: &[Step]) -> (usize, usize) {
    let mut seen = BTreeSet::new();
    let mut open = vec![(State::new(), (0..steps.len()).collect::<Vec<usize>>(), Vec::new())];
    let mut ends = 0;
    while let Some((state, left, path)) = open.pop() {
        if !seen.insert((state.engine.fingerprint(), left.clone())) {
            continue;
        }
        if left.is_empty() {
            ends += 1;
            state.end();
            continue;
        }
        for at in 0..left.len() {
            let (mut next, mut rest, mut path) = (state.clone(), left.clone(), path.clone());
            let step = steps[rest.remove(at)];
            path.push(step);
            next.take(step);
            open.push((next, rest, path));
        }
    }
    (seen.len(), ends)
}

#[test]
fn a_registration_and_the_death_of_its_connection_in_every_order() {
    let (states, ends) =
        explore(&[Register(1), Register(2), OldFlowDies, NewFlowComes, RegisterOnNew(3), Silence, Remove(4)]);
    assert!(states > 500 && ends > 1, "{states} states, {ends} ends");
}

#[test]
fn a_registration_and_the_fate_of_its_change_in_every_order() {
    let (states, ends) = explore(&[
        Register(1),
        Commit,
        Register(2),
        CommitFails,
        OldFlowDies,
        NewFlowComes,
        RegisterOnNew(3),
    ]);
    assert!(states > 300 && ends > 1, "{states} states, {ends} ends");
}
