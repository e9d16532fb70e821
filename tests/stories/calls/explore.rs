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
use strowger_core::door::{Answer, Command, FlowId, Input, Query, RouteAnswer, Transport};
use strowger_sim::Time;
use strowger_sim::audit::{Audit, Place};
use strowger_sim::phone::Phone;
use strowger_sim::rng::Rng;
use strowger_sim::world::{START, config, password};

use super::*;

mod early;
mod transfers;

const FLOW: FlowId = FlowId(2);
const ALICE: usize = 0;
const BOB: usize = 1;
const DESK: usize = 2;
/// Where there is no second phone of bob.
const CAROL: usize = 2;

/// Name and user of the phones of a table.
type Names = [(&'static str, &'static str)];
const BOBS: &Names = &[("alice", "alice"), ("bob", "bob"), ("desk", "bob")];
const THREE: &Names = &[("alice", "alice"), ("bob", "bob"), ("carol", "carol")];

/// Something a phone does once, when it can.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
enum Act {
    Answer(usize),
    Refuse(usize, u16),
    HangUp(usize),
    Hold(usize),
    /// The first takes the place of the other in his call (RFC 3891).
    Take(usize, usize),
    /// 183 with a session description.
    Early(usize),
    Update(usize),
    /// Its first call goes to carol.
    Refer(usize),
    /// Its first call goes to the other side of its second.
    Join(usize),
    /// Ends its second call.
    HangUpSecond(usize),
    /// The host says where a call goes: the usual way, or nowhere.
    Route(bool),
    /// Time passes until something is due.
    Later,
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
    asked: Vec<Query>,
    story: Vec<String>,
}

fn settings(change: impl FnOnce(&mut Config)) -> Arc<Settings> {
    let mut config = config();
    config.calls = Some(CallsConfig::default());
    change(&mut config);
    config.validate().expect("the configuration of the world")
}

fn first_line(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    let cseq = text.lines().find(|line| line.starts_with("CSeq")).unwrap_or_default();
    format!("{} ({cseq})", text.lines().next().unwrap_or_default())
}

impl Table {
    /// These phones, all registered.
    fn new(names: &Names, change: impl FnOnce(&mut Config)) -> Table {
        let engine = Engine::new(settings(change), [7; 32], START);
        let phone = |(n, (name, user)): (usize, &(&str, &str))| {
            let addr = SocketAddr::from(([10, 0, 0, 2 + n as u8], 5060));
            let rng = Rng::fork(3, n as u64);
            let mut phone = Phone::new(name, user, "example.com", &password(user), addr, rng);
            phone.habits.refresh_percent = 0;
            phone
        };
        let phones: Vec<Phone> = names.iter().enumerate().map(phone).collect();
        let empty = vec![VecDeque::new(); phones.len()];
        let (up, down, now) = (empty.clone(), empty, START);
        let (audit, left, asked, story) = (Audit::new(), Vec::new(), Vec::new(), Vec::new());
        let mut table = Table { engine, audit, now, phones, up, down, left, asked, story };
        let local = "192.0.2.1:5060".parse().expect("an address");
        let transport = Transport::Udp;
        table.feed(Input::FlowUp { flow: FLOW, listener: 0, transport, local, remote: None, peer: None });
        for n in 0..names.len() {
            // Longer than anything takes here.
            table.act(n, |p, now| p.register(now, 3600));
            table.calm();
            assert!(table.phones[n].is_registered(table.now));
        }
        table
    }

    /// Alice calls bob.
    fn calling(&mut self) {
        self.act(ALICE, |p, now| _ = p.call(now, "sip:bob@example.com"));
        self.calm();
    }

    /// Alice and these phones of bob, and she has called: all of them ring.
    fn ringing(bobs: usize) -> Table {
        let mut table = Table::new(&BOBS[..=bobs], |_| {});
        table.calling();
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
        let mut desk = Table::new(BOBS, |_| {});
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
            let transmit = match command {
                Command::Transmit(transmit) => transmit,
                Command::Ask(query) => {
                    self.asked.push(query);
                    continue;
                }
                _ => continue,
            };
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
        let talks = |who: usize, call: usize| {
            self.phones[who].calls().get(call).is_some_and(|c| c.state == State::Talking)
        };
        match act {
            Act::Answer(who) | Act::Refuse(who, _) => {
                matches!(state(who), Some(State::Ringing | State::Trying))
            }
            Act::Early(who) => state(who) == Some(State::Trying),
            Act::HangUp(who) => !self.phones[who].calls().is_empty(),
            Act::HangUpSecond(who) => self.phones[who].calls().len() > 1,
            Act::Hold(who) | Act::Update(who) | Act::Refer(who) => talks(who, 0),
            Act::Join(who) => talks(who, 0) && talks(who, 1),
            Act::Route(_) => !self.asked.is_empty(),
            Act::Later => self.due().is_some(),
            Act::Take(_, from) => !self.phones[from].calls().is_empty(),
        }
    }

    fn perform(&mut self, act: Act) {
        self.story.push(format!("* {act:?}"));
        match act {
            Act::Answer(who) => self.act(who, |p, now| p.answer(now, 0)),
            Act::Refuse(who, status) => self.act(who, |p, now| p.refuse(now, 0, status)),
            Act::HangUp(who) => self.act(who, |p, now| p.hang_up(now, 0)),
            Act::HangUpSecond(who) => self.act(who, |p, now| p.hang_up(now, 1)),
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
            Act::Update(who) => self.act(who, |p, now| p.update(now, 0, Direction::SendRecv)),
            Act::Early(who) => {
                self.act(who, |p, now| p.say(now, 0, Step::Early { status: 183, fork: 0, media: true }));
            }
            Act::Refer(who) => self.act(who, |p, now| p.refer(now, 0, "sip:carol@example.com")),
            Act::Join(who) => self.act(who, |p, now| p.refer_to_call(now, 0, 1)),
            Act::Route(usual) => {
                let Some(Query::Route(query)) = self.asked.pop() else { return };
                let answer = if usual { RouteAnswer::Default } else { RouteAnswer::Unavailable };
                self.feed(Input::Answer(Answer::Route(query.ticket, answer)));
            }
            Act::Later => self.wake(),
        }
    }

    /// When the next thing is due.
    fn due(&self) -> Option<Time> {
        self.phones.iter().filter_map(Phone::deadline).chain(self.engine.poll_timeout()).min()
    }

    fn wake(&mut self) {
        let Some(at) = self.due() else { return };
        self.now = self.now.max(at);
        self.feed(Input::Timeout);
        (0..self.phones.len()).for_each(|who| self.act(who, |p, now| p.wake(now)));
    }

    fn name(&self) -> (u128, u64) {
        let mut hasher = DefaultHasher::new();
        for phone in &self.phones {
            format!("{:?}", phone.calls()).hash(&mut hasher);
        }
        (&self.up, &self.down, &self.left, self.asked.len()).hash(&mut hasher);
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
            if self.due().is_none_or(|at| at > end) {
                break;
            }
            self.wake();
        }
        self.calm();
        self.now = end;
    }

    fn end(mut self) {
        self.run(s(10));
        let calls = |p: &Phone| p.calls().iter().map(|c| c.state).collect::<Vec<_>>();
        let states: Vec<Vec<State>> = self.phones.iter().map(calls).collect();
        let live = |states: &[State]| states.iter().any(|state| *state != State::Over);
        // Who was transferred may talk on without her.
        let asks = |line: &String| line.starts_with("* Refer") || line.starts_with("* Join");
        let transferred = self.story.iter().any(asks);
        if !transferred && !live(&states[ALICE]) && states.iter().any(|states| live(states)) {
            self.fail(&format!("alice has ended it, and there is still somebody: {states:?}"));
        }
        let talk = states.iter().flatten().filter(|state| **state == State::Talking).count();
        if talk % 2 == 1 || talk > 4 {
            self.fail(&format!("one alone is in a call, or too many are: {states:?}"));
        }
        for who in 0..self.phones.len() {
            for call in 0..self.phones[who].calls().len() {
                self.act(who, |p, now| p.hang_up(now, call));
            }
        }
        self.run(s(80));
        let over = |p: &Phone| p.calls().iter().all(|c| c.state == State::Over) && p.flaws.is_empty();
        if let Some(phone) = self.phones.iter().find(|p| !over(p)) {
            self.fail(&format!("{}: {:?} {:?}", phone.name, calls(phone), phone.flaws));
        }
        self.run(s(4_000));
        self.audit.unanswered(self.now, s(32));
        self.audit.end(self.now);
        if let Some(finding) = self.audit.findings.first() {
            self.fail(&finding.to_string());
        }
        let sizes = self.engine.sizes();
        let left = [sizes.calls, sizes.call_dialogs, sizes.call_keys, sizes.routes, sizes.lines];
        let rest = [sizes.transactions, sizes.bindings, sizes.timers];
        if left != [0; 5] || rest != [0; 3] {
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
