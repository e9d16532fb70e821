//! The engine's side: what it is fed, and how its commands are obeyed. The host of the simulated world.

use std::net::IpAddr;
use std::time::Duration;

use bytes::Bytes;
use strowger_core::Engine;
use strowger_core::door::{
    Answer, BindingEvent, Change, Command, Event, FlowDownReason, FlowId, Input, IntrospectAnswer, KeepAlive,
    KeysAnswer, MediaAnswer, Query, Request, Secret, Transmit, Transport,
};

use super::wire::{UDP4, UDP6};
use super::{Due, World};
use crate::Time;
use crate::audit::Place;

impl World {
    /// Starts an engine: what is stored comes first, then the sockets.
    pub(super) fn boot(&mut self) {
        self.life += 1;
        let seed = self.engine_seed();
        if let Some(recording) = &mut self.recording {
            recording.seed = seed;
        }
        let engine = Engine::new(self.settings.clone(), seed, self.now);
        self.engine = Some(engine);
        self.invariants.boot();
        self.drain();
        for stored in self.store.bindings.values().cloned().collect::<Vec<_>>() {
            self.invariants.restored(&stored);
            let request = Request::Restore(Box::new(Change::PutBinding(stored)));
            self.feed(Input::Host { reply: None, request });
        }
        for change in self.store.presence.records() {
            let request = Request::Restore(Box::new(change));
            self.feed(Input::Host { reply: None, request });
        }
        for (i, flow) in [UDP4, UDP6].into_iter().enumerate() {
            let local = self.settings.listeners[i].addr;
            let listener = i as u16;
            self.feed(Input::FlowUp {
                flow,
                listener,
                transport: Transport::Udp,
                local,
                remote: None,
                peer: None,
            });
        }
    }

    pub(super) fn engine_deadline(&self) -> Option<Time> {
        self.engine.as_ref().and_then(Engine::poll_timeout)
    }

    /// Does the next thing that is due before the end; false if there is none.
    pub(super) fn step(&mut self, end: Time) -> bool {
        let queued = self.queue.keys().next().map(|(at, _)| *at);
        let engine = self.engine_deadline();
        let Some(next) = queued.into_iter().chain(engine).min().filter(|at| *at <= end) else { return false };
        self.now = self.now.max(next);
        if engine == Some(next) {
            self.feed(Input::Timeout);
            self.invariants.timeout_ran(self.now, self.engine_deadline());
            return true;
        }
        if let Some((_, due)) = self.queue.pop_first() {
            self.happen(due);
        }
        true
    }

    fn happen(&mut self, due: Due) {
        match due {
            Due::ToServer { transport, remote, local, connection, data } => {
                let flow = match connection {
                    Some(flow) => flow,
                    None if local.is_ipv4() => UDP4,
                    None => UDP6,
                };
                let open =
                    connection.is_none_or(|f| self.connections.get(&f).is_some_and(|c| c.up && !c.dead));
                if self.engine.is_none() || !open {
                    return;
                }
                match &data[..] {
                    b"\r\n\r\n" => self.feed(Input::KeepAlive { flow, remote, kind: KeepAlive::Ping }),
                    b"\r\n" => self.feed(Input::KeepAlive { flow, remote, kind: KeepAlive::Pong }),
                    _ => {
                        self.audit.came(
                            self.now,
                            Place { flow: flow.0, stream: transport != Transport::Udp, remote },
                            &data,
                        );
                        self.feed(Input::Message { flow, remote, local, data: &data });
                    }
                }
            }
            Due::ToPhone { phone, data, connection: None } => {
                let now = self.now;
                self.act(phone, |p, _| p.receive(now, &data));
            }
            Due::ToPhone { phone, data, connection: Some(flow) } => {
                let now = self.now;
                self.seats[phone.0].phone.receive(now, &data);
                self.answer_by(phone, flow);
            }
            Due::Connected { flow } => {
                let Some(c) = self.connections.get_mut(&flow) else { return };
                if self.engine.is_none() {
                    return self.drop_connection(flow);
                }
                c.up = true;
                let (transport, local, remote) = (c.transport, c.local, c.remote);
                let v6 = u16::from(local.is_ipv6());
                let listener = if transport == Transport::Tls { 4 } else { 2 } + v6;
                self.feed(Input::FlowUp {
                    flow,
                    listener,
                    transport,
                    local,
                    remote: Some(remote),
                    peer: None,
                });
            }
            Due::Broken { flow, reason } => {
                let up = self.connections.remove(&flow).is_some_and(|c| c.up);
                // Who asked for a connection is told that there is none.
                let asked = flow.0 % 2 == 1 && self.engine.is_some();
                if up || asked {
                    self.feed(Input::FlowDown { flow, reason });
                }
            }
            Due::PhoneNotices { phone, flow } => {
                if self.seats[phone.0].connection == Some(flow) {
                    self.seats[phone.0].connection = None;
                    self.act(phone, |p, now| p.flow_lost(now));
                }
            }
            Due::Wake { phone } => {
                self.seats[phone.0].wake_at = None;
                if self[phone].deadline().is_some_and(|at| at <= self.now) {
                    self.act(phone, |p, now| p.wake(now));
                } else {
                    self.plan_wake(phone);
                }
            }
            Due::Commit { life, seq } if life == self.life => {
                let (saved, leave) = self.store.commit(seq);
                self.invariants.committed(seq, saved);
                self.feed(if saved { Input::Saved(seq) } else { Input::SaveFailed(seq) });
                for transmit in leave {
                    self.send(&transmit);
                }
            }
            Due::Answer { life, answer } if life == self.life => self.feed(Input::Answer(answer)),
            Due::Commit { .. } | Due::Answer { .. } => {}
        }
    }

    /// Hands an input to the engine and obeys what it commands.
    pub fn feed(&mut self, input: Input<'_>) {
        let Some(engine) = &mut self.engine else { return };
        if let Some(recording) = &mut self.recording {
            recording.input(self.now, &input);
        }
        engine.handle(self.now, input);
        self.drain();
        self.check_step();
    }

    fn drain(&mut self) {
        while let Some(command) = self.engine.as_mut().and_then(Engine::poll_command) {
            if let Some(recording) = &mut self.recording {
                recording.command(&command);
            }
            self.obey(command);
        }
    }

    fn obey(&mut self, command: Command) {
        match command {
            Command::Transmit(transmit) => {
                if let Some(transmit) = self.store.gate(transmit) {
                    self.send(&transmit);
                }
            }
            Command::Open { flow, remote, local, .. } => self.connect_to(flow, remote, local),
            Command::Close { flow, .. } => {
                self.note(format!("the server closes flow {}", flow.0));
                if let Some(phone) = self.connections.get(&flow).map(|c| c.phone) {
                    let at = self.now + self.seats[phone.0].link.delay;
                    self.schedule(at, Due::PhoneNotices { phone, flow });
                }
                self.schedule(self.now, Due::Broken { flow, reason: FlowDownReason::Shutdown });
            }
            Command::Ping { flow, remote, local } => {
                let payload = if flow == UDP4 || flow == UDP6 { &[0; 4][..] } else { b"\r\n\r\n" };
                let payload = Bytes::from_static(payload);
                self.transmit(&Transmit { flow, remote, local, since: self.now, after: None, payload });
            }
            Command::Ask(query) => self.ask(query),
            Command::Save(seq, change) => {
                if let Err(fault) = self.invariants.changed(seq, &change, |addr| {
                    self.seats.iter().any(|s| s.impostor && s.phone.addr.ip() == addr)
                }) {
                    self.fail(&fault);
                }
                self.store.save(seq, change);
                let at = self.now + self.store.delay;
                self.schedule(at, Due::Commit { life: self.life, seq });
            }
            Command::Reply(reply) => self.replies.push(reply),
            Command::Tell(event) => self.told(event),
        }
    }

    fn send(&mut self, transmit: &Transmit) {
        let stream = transmit.flow != UDP4 && transmit.flow != UDP6;
        let place = Place { flow: transmit.flow.0, stream, remote: transmit.remote };
        self.audit.went(self.now, place, &transmit.payload);
        self.transmit(transmit);
    }

    fn ask(&mut self, query: Query) {
        let life = self.life;
        match query {
            Query::Credentials(q) => {
                if let Some(answer) = self.directory.answer(&q) {
                    let at = self.now + self.directory.delay;
                    self.schedule(at, Due::Answer { life, answer: Answer::Credentials(q.ticket, answer) });
                }
            }
            Query::Route(q) => {
                let answer = Answer::Route(q.ticket, self.routed(&q));
                self.schedule(self.now + self.thinks, Due::Answer { life, answer });
            }
            Query::Resolve(q) => {
                let answer = Answer::Resolved(q.ticket, Vec::new());
                self.schedule(self.now, Due::Answer { life, answer });
            }
            Query::Media(q) => {
                let relay = self.relay.filter(|relay| relay.refuses != Some(q.step));
                let described = relay.map_or(MediaAnswer::Unavailable, |relay| relayed(&q.sdp, relay.addr));
                let answer = Answer::Media(q.ticket, described);
                let at = self.now + self.relay.map_or(Duration::ZERO, |relay| relay.takes);
                self.schedule(at, Due::Answer { life, answer });
            }
            Query::Introspect(q) => {
                let answer = Answer::Introspected(q.ticket, IntrospectAnswer::Unavailable);
                self.schedule(self.now, Due::Answer { life, answer });
            }
            Query::Keys(q) => {
                let (delay, answer) = self.keys(q.issuer);
                if let Some(answer) = answer {
                    self.schedule(
                        self.now + delay,
                        Due::Answer { life, answer: Answer::Keys(q.ticket, answer) },
                    );
                }
            }
        }
    }

    #[cfg(feature = "jwt")]
    fn keys(&mut self, issuer: u16) -> (Duration, Option<KeysAnswer>) {
        let Some(issuer) = self.issuers.get_mut(usize::from(issuer)) else {
            return (Duration::ZERO, Some(KeysAnswer::Unavailable));
        };
        issuer.fetches += 1;
        let answer = match (issuer.silent, issuer.broken) {
            (true, _) => None,
            (_, true) => Some(KeysAnswer::Unavailable),
            _ => {
                Some(KeysAnswer::Document { json: Secret(issuer.document().into()), max_age: issuer.max_age })
            }
        };
        (issuer.delay, answer)
    }

    #[cfg(not(feature = "jwt"))]
    fn keys(&mut self, _issuer: u16) -> (Duration, Option<KeysAnswer>) {
        let _: Option<Secret<Box<[u8]>>> = None;
        (Duration::ZERO, Some(KeysAnswer::Unavailable))
    }

    fn told(&mut self, event: Event) {
        match &event {
            Event::Outcome(o) => {
                *self.outcomes.entry((o.method.to_string(), o.status)).or_default() += 1;
                return;
            }
            Event::Binding(e) => {
                let text = describe(e, self.now);
                self.note(text);
            }
            Event::Dropped { remote, reason } => {
                self.note(format!("dropped from {remote}: {}", reason.text()))
            }
            Event::FlowLost { flow, bindings } => {
                self.note(format!("flow {} is lost with {bindings} bindings", flow.0))
            }
            Event::Presence(change) => self.note(format!(
                "{} is {:?}{}: {:?}",
                change.aor,
                change.state,
                change.note.as_ref().map(|note| format!(" ({note})")).unwrap_or_default(),
                change.cause
            )),
            Event::Subscription(e) => self.note(format!(
                "{} of {} by {}: {:?}",
                e.package,
                e.aor,
                if e.watcher.is_empty() { "somebody" } else { &e.watcher },
                e.step
            )),
            Event::Drained => self.note("drained"),
            _ => {}
        }
        if self.tape_keeps_events() {
            self.events.push(event);
        }
    }

    fn tape_keeps_events(&self) -> bool {
        !self.tape.lines.is_empty()
    }

    /// A connection of another than a phone: for tests of what a shell may report.
    pub fn bare_flow(&mut self, transport: Transport, remote: &str) -> FlowId {
        self.next_flow += 2;
        let flow = FlowId(self.next_flow);
        let listener = if transport == Transport::Tls { 4 } else { 2 };
        let local = "192.0.2.1:5060".parse().expect("an address");
        let remote = Some(remote.parse().expect("an address"));
        self.feed(Input::FlowUp { flow, listener, transport, local, remote, peer: None });
        flow
    }
}

fn describe(e: &BindingEvent, now: Time) -> String {
    let b = &e.binding;
    let left = b.expires_at.since(now).as_secs();
    let reach = if b.reachable { "" } else { ", unreachable" };
    format!("{} {:?}: {} for {left} s{reach}", b.aor, e.cause, b.contact)
}

/// A relay that shows its own address, and of each stream the port beside the one it was told.
fn relayed(sdp: &[u8], addr: IpAddr) -> MediaAnswer {
    let mut shown = String::new();
    for line in String::from_utf8_lossy(sdp).lines() {
        let mut words = line.splitn(3, ' ');
        match (words.next(), words.next().and_then(|port| port.parse::<u32>().ok()), words.next()) {
            (Some(media), Some(port), Some(rest)) if media.starts_with("m=") && port != 0 => {
                shown.push_str(&format!("{media} {} {rest}\r\n", port + 1));
            }
            _ if line.starts_with("c=") => shown.push_str(&format!("c=IN IP4 {addr}\r\n")),
            _ => shown.push_str(&format!("{line}\r\n")),
        }
    }
    MediaAnswer::Description(shown.into_bytes().into())
}
