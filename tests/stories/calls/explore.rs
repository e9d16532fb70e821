//! Every order (DESIGN s9): two or three phones and one engine, each message on its way as long as one likes. What is
//! delivered next, or done next, is tried in all ways; where it ends, time runs on, and then every call is over for
//! everybody, no law is broken, and the engine is empty.

use std::collections::hash_map::DefaultHasher;
use std::collections::{BTreeSet, VecDeque};
use std::hash::{Hash, Hasher};
use std::net::SocketAddr;
use std::sync::Arc;

use strowger_core::Engine;
use strowger_core::config::Settings;
use strowger_core::door::{Command, FlowId, Input, Transport};
use strowger_sim::Time;
use strowger_sim::audit::{Audit, Place};
use strowger_sim::phone::Phone;
use strowger_sim::rng::Rng;
use strowger_sim::world::{START, config, password};

use super::*;

const FLOW: FlowId = FlowId(2);
const ALICE: usize = 0;
const BOB: usize = 1;
const DESK: usize = 2;

/// Something a phone does once, when it can.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
enum Act {
    Answer(usize),
    Refuse(usize, u16),
    HangUp(usize),
    Hold(usize),
    /// The first takes the place of the other in his call (RFC 3891).
    Take(usize, usize),
}

#[derive(Clone)]
struct Table {
    engine: Engine,
    audit: Audit,
    now: Time,
    phones: Vec<Phone>,
    /// On the way to the engine, and from it, for each phone.
    up: Vec<VecDeque<Vec<u8>>>,
    down: Vec<VecDeque<Vec<u8>>>,
    left: Vec<Act>,
    story: Vec<String>,
}

fn settings() -> Arc<Settings> {
    let mut config = config();
    config.calls = Some(CallsConfig::default());
    config.validate().expect("the configuration of the world")
}

fn first_line(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    let cseq = text.lines().find(|line| line.starts_with("CSeq")).unwrap_or_default();
    format!("{} ({cseq})", text.lines().next().unwrap_or_default())
}

impl Table {
    /// Alice and these phones of bob, all registered.
    fn new(bobs: usize) -> Table {
        let engine = Engine::new(settings(), [7; 32], START);
        let names = ["alice", "bob", "desk"];
        let phone = |n: usize| {
            let addr = SocketAddr::from(([10, 0, 0, 2 + n as u8], 5060));
            let user = if n == ALICE { "alice" } else { "bob" };
            let mut phone =
                Phone::new(names[n], user, "example.com", &password(user), addr, Rng::fork(3, n as u64));
            phone.habits.refresh_percent = 0;
            phone
        };
        let phones: Vec<Phone> = (0..=bobs).map(phone).collect();
        let empty = vec![VecDeque::new(); phones.len()];
        let (audit, left, story) = (Audit::new(), Vec::new(), Vec::new());
        let mut table =
            Table { engine, audit, now: START, phones, up: empty.clone(), down: empty, left, story };
        let local = "192.0.2.1:5060".parse().expect("an address");
        let transport = Transport::Udp;
        table.feed(Input::FlowUp { flow: FLOW, listener: 0, transport, local, remote: None, peer: None });
        for n in 0..=bobs {
            table.act(n, |p, now| p.register(now, 600));
            table.calm();
            assert!(table.phones[n].is_registered(table.now));
        }
        table
    }

    /// The same, and alice has called: all of them ring.
    fn ringing(bobs: usize) -> Table {
        let mut table = Table::new(bobs);
        table.act(ALICE, |p, now| _ = p.call(now, "sip:bob@example.com"));
        table.calm();
        assert!(table.phones.iter().all(|p| p.talk().state == State::Ringing));
        table
    }

    /// The same, and bob has answered.
    fn talking() -> Table {
        let mut table = Table::ringing(1);
        table.act(BOB, |p, now| p.answer(now, 0));
        table.calm();
        assert!(table.phones.iter().all(|p| p.talk().state == State::Talking));
        table
    }

    /// Another phone of bob's is there, which nobody calls.
    fn with_desk(mut self) -> Table {
        let mut desk = Table::new(DESK);
        desk.act(DESK, |p, now| p.register(now, 0));
        desk.calm();
        self.phones.push(desk.phones.remove(DESK));
        self.up.push(VecDeque::new());
        self.down.push(VecDeque::new());
        self
    }

    /// What comes of it when nothing is in the way.
    fn desk_takes_it(mut self) {
        self.perform(Act::Take(DESK, BOB));
        self.calm();
        let states = [ALICE, DESK].map(|who| self.phones[who].talk().state);
        assert_eq!(states, [State::Talking; 2], "{}", self.story.join("\n"));
        assert_ne!(self.phones[BOB].talk().state, State::Talking);
        self.end();
    }

    fn act(&mut self, who: usize, script: impl FnOnce(&mut Phone, Time)) {
        script(&mut self.phones[who], self.now);
        while let Some(bytes) = self.phones[who].poll_out() {
            self.up[who].push_back(bytes);
        }
    }

    fn feed(&mut self, input: Input<'_>) {
        self.engine.handle(self.now, input);
        while let Some(command) = self.engine.poll_command() {
            let Command::Transmit(transmit) = command else { continue };
            let place = Place { flow: transmit.flow.0, stream: false, remote: transmit.remote };
            self.audit.went(self.now, place, &transmit.payload);
            if let Some(who) = self.phones.iter().position(|p| p.addr == transmit.remote) {
                self.down[who].push_back(transmit.payload.to_vec());
            }
        }
    }

    fn deliver_up(&mut self, who: usize) {
        let Some(data) = self.up[who].pop_front() else { return };
        self.story.push(format!("{} > {}", self.phones[who].name, first_line(&data)));
        let remote = self.phones[who].addr;
        self.audit.came(self.now, Place { flow: FLOW.0, stream: false, remote }, &data);
        let local = "192.0.2.1:5060".parse().expect("an address");
        self.feed(Input::Message { flow: FLOW, remote, local, data: &data });
    }

    fn deliver_down(&mut self, who: usize) {
        let Some(data) = self.down[who].pop_front() else { return };
        self.story.push(format!("{} < {}", self.phones[who].name, first_line(&data)));
        self.act(who, |p, now| p.receive(now, &data));
    }

    /// Delivers everything, in one of the orders.
    fn calm(&mut self) {
        while let Some(who) =
            (0..self.phones.len()).find(|n| !self.up[*n].is_empty() || !self.down[*n].is_empty())
        {
            self.deliver_up(who);
            self.deliver_down(who);
        }
    }

    fn can(&self, act: Act) -> bool {
        let state = |who: usize| self.phones[who].calls().last().map(|c| c.state);
        match act {
            Act::Answer(who) | Act::Refuse(who, _) => matches!(state(who), Some(State::Ringing)),
            Act::HangUp(_) => true,
            Act::Hold(who) => state(who) == Some(State::Talking),
            Act::Take(..) => true,
        }
    }

    fn perform(&mut self, act: Act) {
        self.story.push(format!("* {act:?}"));
        match act {
            Act::Answer(who) => self.act(who, |p, now| p.answer(now, 0)),
            Act::Refuse(who, status) => self.act(who, |p, now| p.refuse(now, 0, status)),
            Act::HangUp(who) => self.act(who, |p, now| p.hang_up(now, 0)),
            Act::Hold(who) => self.act(who, |p, now| p.hold(now, 0)),
            Act::Take(who, from) => {
                let call = &self.phones[from].calls()[0];
                let of = call
                    .dialogs
                    .first()
                    .map(|d| format!(";to-tag={};from-tag={}", d.remote_tag, d.local_tag));
                let replaces = format!("{}{}", call.call_id, of.unwrap_or_default());
                self.act(who, |p, now| {
                    _ = p.call_with(now, "sip:alice@example.com", &[("Replaces", &replaces)])
                });
            }
        }
    }

    fn name(&self) -> (u128, u64) {
        let mut hasher = DefaultHasher::new();
        for phone in &self.phones {
            format!("{:?}", phone.calls()).hash(&mut hasher);
        }
        (&self.up, &self.down, &self.left).hash(&mut hasher);
        (self.engine.fingerprint(), hasher.finish())
    }

    fn fail(&self, fault: &str) -> ! {
        panic!("{fault}\n{}", self.story.join("\n"));
    }

    /// Time runs on with nothing lost.
    fn run(&mut self, span: Duration) {
        let end = self.now + span;
        for _ in 0..10_000 {
            self.calm();
            let wakes = self.phones.iter().filter_map(Phone::deadline);
            let Some(at) = wakes.chain(self.engine.poll_timeout()).min().filter(|at| *at <= end) else {
                break;
            };
            self.now = self.now.max(at);
            self.feed(Input::Timeout);
            (0..self.phones.len()).for_each(|who| self.act(who, |p, now| p.wake(now)));
        }
        self.calm();
        self.now = end;
    }

    fn end(mut self) {
        self.run(s(10));
        let states: Vec<State> =
            self.phones.iter().map(|p| p.calls().last().map_or(State::Over, |call| call.state)).collect();
        if states[ALICE] == State::Over && states.iter().any(|state| *state != State::Over) {
            self.fail(&format!("alice has ended it, and there is still somebody: {states:?}"));
        }
        let talk = states.iter().filter(|state| **state == State::Talking).count();
        if talk == 1 || talk > 2 {
            self.fail(&format!("one alone is in a call, or too many are: {states:?}"));
        }
        for who in 0..self.phones.len() {
            self.act(who, |p, now| (0..p.calls().len()).for_each(|call| p.hang_up(now, call)));
        }
        self.run(s(80));
        let over = |p: &Phone| p.calls().iter().all(|call| call.state == State::Over) && p.flaws.is_empty();
        if let Some(phone) = self.phones.iter().find(|p| !over(p)) {
            let states: Vec<State> = phone.calls().iter().map(|call| call.state).collect();
            self.fail(&format!("{}: {states:?} {:?}", phone.name, phone.flaws));
        }
        self.run(s(700));
        self.audit.unanswered(self.now, s(32));
        self.audit.end(self.now);
        if let Some(finding) = self.audit.findings.first() {
            self.fail(&finding.to_string());
        }
        let sizes = self.engine.sizes();
        let left = [sizes.calls, sizes.call_dialogs, sizes.lines, sizes.transactions, sizes.bindings];
        if left != [0; 5] {
            self.fail(&format!("something is left: {sizes:?}"));
        }
    }
}

/// Tries every order of these, and of all messages; the number of states and of ends.
fn explore(mut start: Table, acts: &[Act]) -> (usize, usize) {
    start.left = acts.to_vec();
    start.story.clear();
    let (mut seen, mut ends) = (BTreeSet::new(), 0);
    let mut open = vec![start];
    while let Some(table) = open.pop() {
        if !seen.insert(table.name()) {
            continue;
        }
        let before = open.len();
        for who in 0..table.phones.len() {
            if !table.up[who].is_empty() {
                let mut next = table.clone();
                next.deliver_up(who);
                open.push(next);
            }
            if !table.down[who].is_empty() {
                let mut next = table.clone();
                next.deliver_down(who);
                open.push(next);
            }
        }
        for (at, act) in table.left.iter().enumerate().filter(|(_, act)| table.can(**act)) {
            let mut next = table.clone();
            next.left.remove(at);
            next.perform(*act);
            open.push(next);
        }
        if open.len() == before {
            ends += 1;
            table.end();
        }
    }
    (seen.len(), ends)
}

#[test]
fn a_cancel_and_an_answer_in_every_order() {
    let (states, ends) = explore(Table::ringing(1), &[Act::Answer(BOB), Act::HangUp(ALICE)]);
    assert!(states > 100 && ends > 2, "{states} states, {ends} ends");
}

#[test]
fn a_cancel_and_a_refusal_in_every_order() {
    let (states, ends) = explore(Table::ringing(1), &[Act::Refuse(BOB, 486), Act::HangUp(ALICE)]);
    assert!(states > 50 && ends > 1, "{states} states, {ends} ends");
}

#[test]
fn two_byes_in_every_order() {
    let (states, ends) = explore(Table::talking(), &[Act::HangUp(ALICE), Act::HangUp(BOB)]);
    assert!(states > 20 && ends > 1, "{states} states, {ends} ends");
}

#[test]
fn a_bye_and_a_new_session_in_every_order() {
    for acts in [[Act::Hold(ALICE), Act::HangUp(BOB)], [Act::Hold(ALICE), Act::HangUp(ALICE)]] {
        let (states, ends) = explore(Table::talking(), &acts);
        assert!(states > 20 && ends > 1, "{states} states, {ends} ends");
    }
}

#[test]
fn two_new_sessions_in_every_order() {
    let (states, ends) = explore(Table::talking(), &[Act::Hold(ALICE), Act::Hold(BOB)]);
    assert!(states > 50 && ends > 1, "{states} states, {ends} ends");
}

#[test]
fn two_answers_of_a_fork_in_every_order() {
    let (states, ends) = explore(Table::ringing(2), &[Act::Answer(BOB), Act::Answer(DESK)]);
    assert!(states > 100 && ends > 2, "{states} states, {ends} ends");
}

#[test]
fn a_decline_and_an_answer_of_a_fork_in_every_order() {
    let (states, ends) = explore(Table::ringing(2), &[Act::Refuse(BOB, 603), Act::Answer(DESK)]);
    assert!(states > 100 && ends > 2, "{states} states, {ends} ends");
}

#[test]
fn a_fork_and_a_caller_that_gives_up_in_every_order() {
    let (states, ends) =
        explore(Table::ringing(2), &[Act::Refuse(BOB, 603), Act::Answer(DESK), Act::HangUp(ALICE)]);
    assert!(states > 1_000 && ends > 5, "{states} states, {ends} ends");
}

#[test]
fn two_new_sessions_and_a_bye_in_every_order() {
    for who in [ALICE, BOB] {
        let (states, ends) = explore(Table::talking(), &[Act::Hold(ALICE), Act::Hold(BOB), Act::HangUp(who)]);
        assert!(states > 500 && ends > 5, "{states} states, {ends} ends");
    }
}

#[test]
fn a_call_that_is_picked_up_and_answered_in_every_order() {
    let start = || Table::ringing(1).with_desk();
    start().desk_takes_it();
    let (states, ends) = explore(start(), &[Act::Take(DESK, BOB), Act::Answer(BOB)]);
    assert!(states > 100 && ends > 2, "{states} states, {ends} ends");
    let (states, ends) = explore(start(), &[Act::Take(DESK, BOB), Act::HangUp(ALICE)]);
    assert!(states > 100 && ends > 2, "{states} states, {ends} ends");
}

#[test]
fn a_call_that_changes_hands_and_ends_in_every_order() {
    Table::talking().with_desk().desk_takes_it();
    for who in [ALICE, BOB] {
        let start = Table::talking().with_desk();
        let (states, ends) = explore(start, &[Act::Take(DESK, BOB), Act::HangUp(who)]);
        assert!(states > 50 && ends > 2, "{states} states, {ends} ends");
    }
}
