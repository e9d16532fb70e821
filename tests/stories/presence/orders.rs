//! Every order of a handful of PUBLISH, SUBSCRIBE, NOTIFY answers and the passing of time: PUBLISH against expiry.
//!
//! A model beside the engine says which entity tags live; the answers, the sizes and what the watcher saw must agree.

use std::collections::BTreeSet;

use strowger_core::Engine;
use strowger_core::config::AuthPolicy;
use strowger_core::door::{Command, FlowId, Input, Transport};
use strowger_sim::Time;
use strowger_sim::message::{Sip, param};
use strowger_sim::world::{START, config};

use super::*;

/// One thing that happens once, at any point of the order.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Step {
    /// An initial PUBLISH of this word for so many seconds.
    Publish(&'static str, u64),
    /// Another word under the newest entity tag.
    Modify(&'static str),
    /// The newest entity tag again for 60 seconds.
    Refresh,
    /// The newest entity tag is given up.
    Remove,
    /// The entity tag before the newest is tried.
    Stale,
    /// So many seconds pass, and nobody wakes the engine.
    Pass(u64),
    /// The engine is woken.
    Wake,
    /// The watcher answers everything.
    Answer,
    /// The watcher asks for so many seconds; 0 leaves.
    Watch(u64),
}
use Step::{Answer, Modify, Pass, Publish, Refresh, Remove, Stale, Wake, Watch};

/// A publication as it should be.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
struct Alive {
    etag: String,
    until: Time,
    word: String,
}

#[derive(Clone)]
struct State {
    engine: Engine,
    now: Time,
    cseq: u32,
    alive: Vec<Alive>,
    etags: Vec<String>,
    tag: Option<String>,
    watching_until: Time,
    unanswered: Vec<Sip>,
    seen: Option<String>,
    status: u16,
    view: String,
    /// A NOTIFY was not answered in time.
    silent: bool,
}

const FLOW: FlowId = FlowId(100);

impl State {
    fn new() -> State {
        let mut config = config();
        config.presence = Some(PresenceConfig::default());
        config.policies.subscribe = AuthPolicy::Open;
        config.policies.publish = AuthPolicy::Open;
        let settings = config.validate().expect("the configuration of the world");
        let mut state = State {
            engine: Engine::new(settings, [5; 32], START),
            now: START,
            cseq: 0,
            alive: Vec::new(),
            etags: Vec::new(),
            tag: None,
            watching_until: START,
            unanswered: Vec::new(),
            seen: None,
            status: 0,
            view: String::new(),
            silent: false,
        };
        let (local, remote) = ("192.0.2.1:5060", "10.0.0.2:40000");
        let (local, remote) = (local.parse().expect("an address"), Some(remote.parse().expect("an address")));
        let transport = Transport::Tcp;
        state.feed(Input::FlowUp { flow: FLOW, listener: 2, transport, local, remote, peer: None });
        state
    }

    fn feed(&mut self, input: Input<'_>) {
        self.engine.handle(self.now, input);
        let mut woken = 0;
        loop {
            while let Some(command) = self.engine.poll_command() {
                match command {
                    Command::Transmit(t) => self.heard(&t.payload),
                    Command::Reply(reply) => {
                        if let ReplyBody::Presence(view) = reply.body {
                            self.view = view.document;
                        }
                    }
                    _ => {}
                }
            }
            // Work that was left for the next call is due now.
            if woken > 10 || self.engine.poll_timeout().is_none_or(|at| at > self.now) {
                break;
            }
            woken += 1;
            self.engine.handle(self.now, Input::Timeout);
        }
        self.alive.retain(|p| p.until > self.now);
        assert_eq!(self.engine.sizes().publications, self.alive.len(), "{:?}", self.alive);
    }

    fn heard(&mut self, bytes: &[u8]) {
        let m = Sip::read(bytes).expect("well-formed");
        if m.method() == "NOTIFY" && m.is_request() {
            let ours = |m: &Sip| m.header("From").and_then(|from| param(from, "tag")).map(str::to_owned);
            let waits = self.unanswered.iter().any(|before| ours(before) == ours(&m));
            let active = m.header("Subscription-State").is_some_and(|state| state.starts_with("active"));
            assert!(!(waits && active), "a second NOTIFY while one waits: {:?}", m.headers);
            return self.unanswered.push(m);
        }
        self.status = m.status().unwrap_or(0);
        if self.status == 200 && m.method() == "PUBLISH" {
            let etag = m.header("SIP-ETag").expect("a tag").to_owned();
            assert!(!self.etags.contains(&etag), "{etag} again");
            self.etags.push(etag);
        }
        if self.status == 200 && m.method() == "SUBSCRIBE" {
            self.tag = m.header("To").and_then(|to| param(to, "tag")).map(str::to_owned);
        }
    }

    fn send(&mut self, method: &str, more: &str, to_tag: &str, body: &str) {
        self.cseq += 1;
        let (cseq, length) = (self.cseq, body.len());
        let text = format!(
            "{method} sip:bob@example.com SIP/2.0\r\nVia: SIP/2.0/TCP 10.0.0.2:5060;branch=z9hG4bK{cseq}\r\n\
             Max-Forwards: 70\r\nFrom: <sip:alice@example.com>;tag=1\r\nTo: <sip:bob@example.com>{to_tag}\r\n\
             Call-ID: {method}\r\nCSeq: {cseq} {method}\r\nContact: <sip:alice@10.0.0.2:5060;transport=tcp>\r\n\
             Event: presence\r\n{more}Content-Length: {length}\r\n\r\n{body}"
        );
        self.message(text.as_bytes());
    }

    fn message(&mut self, data: &[u8]) {
        let (local, remote) = ("192.0.2.1:5060", "10.0.0.2:40000");
        let (local, remote) = (local.parse().expect("an address"), remote.parse().expect("an address"));
        self.feed(Input::Message { flow: FLOW, remote, local, data });
    }

    /// A PUBLISH under an entity tag; the model knows what must come of it.
    fn under(&mut self, etag: Option<String>, expires: u64, word: Option<&str>) {
        let Some(etag) = etag else { return };
        let kind = word.map_or("", |_| "Content-Type: application/pidf+xml\r\n");
        let body = word.map_or(String::new(), |word| pidf("bob", "desk", "open", word));
        // The model goes first: the checks of each step look at both.
        let at = self.alive.iter().position(|p| p.etag == etag && p.until > self.now);
        if let Some(at) = at {
            let alive = &mut self.alive[at];
            alive.until = self.now + s(expires);
            alive.etag = format!("next of {etag}");
            if let Some(word) = word {
                alive.word = word.into();
            }
        }
        self.send("PUBLISH", &format!("SIP-If-Match: {etag}\r\nExpires: {expires}\r\n{kind}"), "", &body);
        assert_eq!(self.status, if at.is_some() { 200 } else { 412 }, "under {etag}");
        let newest = self.etags.last().cloned().unwrap_or_default();
        for alive in self.alive.iter_mut().filter(|p| p.etag.starts_with("next of ")) {
            alive.etag.clone_from(&newest);
        }
    }

    fn take(&mut self, step: Step) {
        let newest = self.etags.last().cloned();
        match step {
            Publish(word, expires) => {
                let until = self.now + s(expires);
                self.alive.push(Alive { etag: "new".into(), until, word: word.into() });
                let more = format!("Expires: {expires}\r\nContent-Type: application/pidf+xml\r\n");
                self.send("PUBLISH", &more, "", &pidf("bob", word, "open", word));
                assert_eq!(self.status, 200);
                if let (Some(alive), Some(etag)) = (self.alive.last_mut(), self.etags.last()) {
                    alive.etag.clone_from(etag);
                }
            }
            Modify(word) => self.under(newest, 60, Some(word)),
            Refresh => self.under(newest, 60, None),
            Remove => self.under(newest, 0, None),
            Stale => {
                let before = self.etags.len().checked_sub(2).and_then(|at| self.etags.get(at)).cloned();
                self.under(before, 60, None);
            }
            Pass(seconds) => {
                self.now = self.now + s(seconds);
                // Longer than a NOTIFY waits for its answer.
                self.silent |= !self.unanswered.is_empty();
            }
            Wake => self.feed(Input::Timeout),
            Answer => self.answer(),
            Watch(expires) => {
                let known = self.tag.clone().filter(|_| self.watching_until > self.now);
                let to_tag = known.map_or(String::new(), |tag| format!(";tag={tag}"));
                if expires == 0 && to_tag.is_empty() {
                    return;
                }
                self.watching_until = self.now + s(expires);
                self.send("SUBSCRIBE", &format!("Expires: {expires}\r\n"), &to_tag, "");
                if self.status == 481 {
                    assert!(self.silent, "it was lost without a reason");
                    self.watching_until = self.now;
                    return;
                }
                assert_eq!(self.status, 200);
            }
        }
    }

    fn answer(&mut self) {
        // Each answer may bring the next NOTIFY.
        while let Some(notify) = (!self.unanswered.is_empty()).then(|| self.unanswered.remove(0)) {
            let ended =
                notify.header("Subscription-State").is_some_and(|state| state.starts_with("terminated"));
            let dialog = notify.header("From").and_then(|from| param(from, "tag")).map(str::to_owned);
            // The end of an earlier subscription says nothing about this one.
            if dialog == self.tag {
                self.seen = (!ended).then(|| String::from_utf8_lossy(&notify.body).into_owned());
            }
            let mut answer = Sip::new("SIP/2.0 200 OK");
            for name in ["Via", "From", "To", "Call-ID", "CSeq"] {
                answer.push(name, notify.header(name).unwrap_or_default());
            }
            self.message(&answer.write());
        }
    }

    /// The network is quiet, the interval passes: what was seen is what is composed, and that is what lives.
    fn settle(&mut self) {
        self.feed(Input::Timeout);
        self.answer();
        self.now = self.now + s(6);
        self.feed(Input::Timeout);
        self.answer();
        self.feed(Input::Host {
            reply: Some(1),
            request: Request::Presence { aor: "bob@example.com".into() },
        });
        for alive in &self.alive {
            assert!(self.view.contains(&alive.word), "{} is not in {}", alive.word, self.view);
        }
        assert_eq!(self.view.contains("<note>"), !self.alive.is_empty(), "{}", self.view);
        if self.engine.sizes().subscriptions > 0 {
            assert_eq!(self.seen.as_deref(), Some(&*self.view));
        }
    }

    /// Everything expires: nothing may be left.
    fn end(mut self) {
        self.settle();
        for _ in 0..1_000 {
            let Some(at) = self.engine.poll_timeout() else { break };
            self.now = self.now.max(at);
            self.feed(Input::Timeout);
            self.answer();
        }
        let sizes = self.engine.sizes();
        let left =
            [sizes.subscriptions, sizes.publications, sizes.presentities, sizes.transactions, sizes.timers];
        assert_eq!(left, [0; 5], "something is left at the end: {sizes:?}");
    }
}

/// Follows every order of the steps; the number of states and of ends.
fn explore(steps: &[Step]) -> (usize, usize) {
    let mut seen = BTreeSet::new();
    let mut open = vec![(State::new(), (0..steps.len()).collect::<Vec<usize>>())];
    let mut ends = 0;
    while let Some((state, left)) = open.pop() {
        if left.is_empty() {
            ends += 1;
            state.end();
            continue;
        }
        for (at, step) in left.iter().enumerate() {
            let mut next = state.clone();
            next.take(steps[*step]);
            let mut rest = left.clone();
            rest.remove(at);
            let outside = (next.now, next.alive.clone(), next.unanswered.len(), next.seen.clone());
            if seen.insert((next.engine.fingerprint(), format!("{outside:?}"), rest.clone())) {
                open.push((next, rest));
            }
        }
    }
    (seen.len(), ends)
}

#[test]
fn a_publication_and_its_expiry_in_every_order() {
    let steps = [Watch(3600), Publish("one", 60), Modify("two"), Refresh, Pass(60), Wake, Remove];
    let (states, ends) = explore(&steps);
    assert!(states > 500 && ends > 50, "{states} states, {ends} ends");
}

#[test]
fn two_publications_and_a_slow_watcher_in_every_order() {
    let steps = [Watch(3600), Publish("one", 60), Publish("two", 120), Stale, Pass(60), Answer, Remove];
    let (states, ends) = explore(&steps);
    assert!(states > 500 && ends > 50, "{states} states, {ends} ends");
}

#[test]
fn a_subscription_and_its_expiry_in_every_order() {
    let steps = [Watch(60), Publish("one", 3600), Watch(120), Pass(60), Answer, Watch(0), Modify("two")];
    let (states, ends) = explore(&steps);
    assert!(states > 500 && ends > 50, "{states} states, {ends} ends");
}
