//! One engine watches and publishes at another, over a network that loses, doubles and reorders.

use std::collections::BTreeMap;

use strowger_core::Engine;
use strowger_core::config::AuthPolicy;
use strowger_core::door::{
    AgentAccount, AgentEvent, AgentHop, AgentStep, AgentWish, Command, Event, FlowId, Input, Secret,
    Transport,
};
use strowger_sim::Time;
use strowger_sim::message::Sip;
use strowger_sim::rng::Rng;
use strowger_sim::world::{START, config};

use super::*;

const UDP: FlowId = FlowId(2);
const ADDRS: [&str; 2] = ["192.0.2.1:5060", "198.51.100.2:5060"];
const SERVER: usize = 0;
const CLIENT: usize = 1;

/// A server, a client, and what is on the way between them.
struct Pair {
    engines: [Engine; 2],
    now: Time,
    rng: Rng,
    /// Of a hundred datagrams so many are lost, and so many doubled.
    loss: u64,
    lives: u8,
    queue: BTreeMap<(Time, u64), (usize, Vec<u8>)>,
    sent: u64,
    told: Vec<AgentStep>,
    /// First lines of what the client was sent or sent, in order of sending.
    lines: Vec<String>,
    replies: Vec<ReplyBody>,
}

impl Pair {
    fn new(seed: u64, loss: u64) -> Pair {
        let mut client = Config::new("client.invalid");
        client.server_name = "Watcher".into();
        let client = client.validate().expect("a configuration");
        let mut pair = Pair {
            engines: [Pair::server(0), Engine::new(client, [9; 32], START)],
            now: START,
            rng: Rng::new(seed),
            loss,
            lives: 0,
            queue: BTreeMap::new(),
            sent: 0,
            told: Vec::new(),
            lines: Vec::new(),
            replies: Vec::new(),
        };
        pair.up(SERVER);
        pair.up(CLIENT);
        pair
    }

    fn server(life: u8) -> Engine {
        let mut config = config();
        config.presence = Some(PresenceConfig::default());
        config.policies.publish = AuthPolicy::Any;
        config.digest.boot_epoch += u32::from(life);
        // There is no store.
        config.tell.changes = false;
        Engine::new(config.validate().expect("a configuration"), [life; 32], START)
    }

    fn up(&mut self, at: usize) {
        let local = ADDRS[at].parse().expect("an address");
        let transport = Transport::Udp;
        self.feed(at, Input::FlowUp { flow: UDP, listener: 0, transport, local, remote: None, peer: None });
    }

    fn restart(&mut self) {
        self.lives += 1;
        self.engines[SERVER] = Pair::server(self.lives);
        self.up(SERVER);
    }

    fn feed(&mut self, at: usize, input: Input<'_>) {
        self.engines[at].handle(self.now, input);
        while let Some(command) = self.engines[at].poll_command() {
            match command {
                Command::Transmit(t) => self.transmit(1 - at, &t.payload),
                Command::Tell(Event::Agent(event)) => {
                    let AgentEvent { id, step } = *event;
                    assert_eq!(id, 7);
                    self.told.push(step);
                }
                Command::Reply(reply) => self.replies.push(reply.body),
                _ => {}
            }
        }
    }

    fn transmit(&mut self, to: usize, data: &[u8]) {
        let m = Sip::read(data).expect("well-formed");
        self.lines.push(m.start.clone());
        let copies = match self.rng.below(100) {
            n if n < self.loss => 0,
            n if n < self.loss * 2 => 2,
            _ => 1,
        };
        for _ in 0..copies {
            let delay = if self.loss > 0 { 5 + self.rng.below(300) } else { 10 };
            self.sent += 1;
            self.queue.insert((self.now + ms(delay), self.sent), (to, data.to_vec()));
        }
    }

    fn run_for(&mut self, seconds: u64) {
        let end = self.now + s(seconds);
        loop {
            let arrival = self.queue.keys().next().map(|(at, _)| *at);
            let due: Vec<Option<Time>> = self.engines.iter().map(Engine::poll_timeout).collect();
            let next = arrival.into_iter().chain(due.iter().copied().flatten()).min();
            let Some(next) = next.filter(|at| *at <= end) else { break };
            self.now = self.now.max(next);
            if let Some(at) = due.iter().position(|due| *due == Some(next)) {
                self.feed(at, Input::Timeout);
            } else if let Some((_, (to, data))) = self.queue.pop_first() {
                let address = |at: usize| ADDRS[at].parse().expect("an address");
                let (remote, local) = (address(1 - to), address(to));
                self.feed(to, Input::Message { flow: UDP, remote, local, data: &data });
            }
        }
        self.now = end;
    }

    fn ask(&mut self, at: usize, request: Request) -> ReplyBody {
        self.feed(at, Input::Host { reply: Some(1), request });
        self.replies.pop().expect("a reply")
    }

    fn says(&mut self, state: PresenceState, note: &str) {
        let presence = Some(OwnPresence { state, note: note.into(), lasts: s(7200) });
        self.ask(SERVER, Request::Publish { aor: "bob@example.com".into(), presence });
    }

    fn view(&mut self) -> String {
        match self.ask(SERVER, Request::Presence { aor: "bob@example.com".into() }) {
            ReplyBody::Presence(view) => view.document,
            other => panic!("{other:?}"),
        }
    }

    /// The last document the client was told.
    fn seen(&self) -> String {
        let body = |step: &AgentStep| match step {
            AgentStep::Notified { body, .. } => Some(String::from_utf8_lossy(body).into_owned()),
            _ => None,
        };
        self.told.iter().rev().find_map(body).unwrap_or_default()
    }

    /// Whatever either side still has must end by itself.
    fn end(mut self) {
        self.loss = 0;
        self.says(PresenceState::Offline, "");
        self.ask(SERVER, Request::Publish { aor: "bob@example.com".into(), presence: None });
        self.run_for(10_000);
        for engine in &self.engines {
            let sizes = engine.sizes();
            let left =
                [sizes.wishes, sizes.subscriptions, sizes.publications, sizes.transactions, sizes.timers];
            assert_eq!(left, [0; 5], "{sizes:?}");
        }
    }
}

fn wish(user: &str, whom: &str, expires: u32) -> Box<AgentWish> {
    let account = AgentAccount {
        uri: format!("sip:{user}@example.com").into(),
        username: user.into(),
        password: Secret(strowger_sim::world::password(user).into()),
        token: None,
    };
    let address = |at: usize| ADDRS[at].parse().expect("an address");
    let hop = AgentHop { flow: UDP, remote: address(SERVER), local: address(CLIENT) };
    Box::new(AgentWish { id: 7, account, hop, uri: whom.into(), event: "presence".into(), expires })
}

fn publish(pair: &mut Pair, note: &str, expires: u32) {
    let document = pidf("bob", "desk", "open", note).into_bytes().into();
    let (wish, kind) = (wish("bob", "sip:bob@example.com", expires), "application/pidf+xml".into());
    assert_eq!(pair.ask(CLIENT, Request::PublishAt { wish, kind, document }), ReplyBody::Done);
}

#[test]
fn a_subscriber_of_ours_watches_a_notifier_of_ours() {
    let mut pair = Pair::new(1, 0);
    let asked = Request::SubscribeAt(wish("alice", "sip:bob@example.com", 600));
    assert_eq!(pair.ask(CLIENT, asked), ReplyBody::Done);
    pair.run_for(1);
    assert_eq!(pair.told[0], AgentStep::Granted { expires: 600 });
    pair.says(PresenceState::Busy, "on air");
    pair.run_for(6);
    assert!(pair.seen().contains("on air"));
    // It is refreshed in time, for hours.
    pair.run_for(4 * 3600);
    pair.says(PresenceState::Away, "gone");
    pair.run_for(6);
    assert_eq!(pair.seen(), pair.view());
    assert!(!pair.lines.iter().any(|line| line.contains("481")), "{:?}", pair.lines);
    pair.ask(CLIENT, Request::EndWish { id: 7 });
    pair.run_for(40);
    assert_eq!(pair.told.last(), Some(&AgentStep::Ended { reason: "".into() }));
    insta::assert_snapshot!(pair.lines[..12].join("\n"));
    pair.end();
}

#[test]
fn over_a_bad_network_the_newest_state_is_seen_in_the_end() {
    for seed in 0..60 {
        let mut pair = Pair::new(seed, 15);
        pair.ask(CLIENT, Request::SubscribeAt(wish("alice", "sip:bob@example.com", 120)));
        for word in 0..20 {
            pair.says(PresenceState::Busy, &format!("word {word};"));
            let pause = pair.rng.below(20);
            pair.run_for(pause);
            if word == 10 && seed % 2 == 0 {
                pair.restart();
            }
        }
        pair.loss = 0;
        pair.run_for(400);
        assert_eq!(pair.seen(), pair.view(), "seed {seed}: {:#?}", pair.told);
        pair.ask(CLIENT, Request::EndWish { id: 7 });
        pair.end();
    }
}

#[test]
fn a_publication_of_ours_is_refreshed_modified_and_published_anew_after_412() {
    let mut pair = Pair::new(2, 0);
    // Too brief: asked for what is granted.
    publish(&mut pair, "one", 10);
    pair.run_for(1);
    assert_eq!(pair.told, [AgentStep::Granted { expires: 60 }]);
    assert!(pair.view().contains("one"));
    pair.run_for(600);
    assert!(pair.view().contains("one"));
    publish(&mut pair, "two", 60);
    publish(&mut pair, "three", 60);
    pair.run_for(1);
    assert!(pair.view().contains("three") && !pair.view().contains("two"));
    pair.restart();
    assert!(!pair.view().contains("three"));
    pair.run_for(70);
    assert!(pair.view().contains("three"));
    assert!(pair.lines.iter().any(|line| line.contains(" 412 ")));
    pair.ask(CLIENT, Request::EndWish { id: 7 });
    pair.run_for(1);
    assert!(!pair.view().contains("three"));
    assert_eq!(pair.told.last(), Some(&AgentStep::Ended { reason: "".into() }));
    pair.end();
}

#[test]
fn a_wish_that_is_refused_ends_with_the_reason_and_one_sent_away_comes_back() {
    // Wrong password, another's presence, another package.
    let mut wrong = wish("alice", "sip:bob@example.com", 600);
    wrong.account.password = Secret("guess".into());
    let mut package = wish("alice", "sip:bob@example.com", 600);
    package.event = "weather".into();
    for (wish, reason) in
        [(wrong, "401"), (wish("alice", "sip:bob@elsewhere.org", 600), "404"), (package, "489")]
    {
        let mut pair = Pair::new(3, 0);
        pair.ask(CLIENT, Request::SubscribeAt(wish));
        pair.run_for(10);
        assert_eq!(pair.told, [AgentStep::Ended { reason: reason.into() }]);
        pair.end();
    }
    let mut pair = Pair::new(4, 0);
    pair.ask(CLIENT, Request::SubscribeAt(wish("alice", "sip:bob@example.com", 600)));
    pair.run_for(1);
    pair.ask(SERVER, Request::Drain { timeout: s(60) });
    pair.run_for(1);
    assert!(
        matches!(pair.told.last(), Some(AgentStep::Interrupted { reason, .. }) if &**reason == "probation")
    );
    pair.restart();
    pair.says(PresenceState::Away, "back");
    pair.run_for(130);
    assert!(pair.seen().contains("back"));
    pair.ask(CLIENT, Request::EndWish { id: 7 });
    pair.run_for(40);
    pair.end();
}

#[test]
fn a_notify_of_nobody_is_481_of_another_event_489_and_one_overtaken_500() {
    let mut pair = Pair::new(5, 0);
    pair.ask(CLIENT, Request::SubscribeAt(wish("alice", "sip:bob@example.com", 600)));
    pair.run_for(1);
    // The last NOTIFY once more, with what is changed in it.
    pair.says(PresenceState::Busy, "x");
    let (_, notify) = pair.queue.values().find(|(to, _)| *to == CLIENT).cloned().expect("a NOTIFY");
    pair.run_for(10);
    let text = String::from_utf8_lossy(&notify).into_owned();
    for (from, to, status) in [
        ("Call-ID: ", "Call-ID: x", 481),
        ("Event: presence", "Event: dialog", 489),
        ("branch=z9hG4bK", "branch=z9hG4bKx", 500),
        ("Subscription-State: active", "Subscription-State: ;", 400),
    ] {
        let changed =
            text.replacen(from, to, 1).replacen("branch=z9hG4bK", &format!("branch=z9hG4bK{status}"), 1);
        let (remote, local) =
            (ADDRS[SERVER].parse().expect("an address"), ADDRS[CLIENT].parse().expect("an address"));
        pair.feed(CLIENT, Input::Message { flow: UDP, remote, local, data: changed.as_bytes() });
        let last = pair.lines.last().expect("an answer");
        assert!(last.starts_with(&format!("SIP/2.0 {status} ")), "{status}: {last}");
    }
    pair.ask(CLIENT, Request::EndWish { id: 7 });
    pair.run_for(40);
    pair.end();
}
