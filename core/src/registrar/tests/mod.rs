//! A registrar in a small world: one domain, a few phones, and what they are told.

mod durable;
mod flows;
mod model;
mod naming;
mod phones;
mod size;
mod steps;
mod unchanged;
mod written;

use core::fmt::Write;
use core::net::SocketAddr;
use core::time::Duration;

use super::{Registered, Registrar};
use crate::config::{Config, MaxContacts, RegistrarConfig};
use crate::ctx::fixture::{Fixture, with_message};
use crate::ctx::{Extra, Origin, Refusal, Timer};
use crate::door::{BindingView, Change, Command, Event, FlowDownReason, FlowId, Identity, Scheme, Transport};
use crate::wire::{Message, ResponseWriter, Status};

/// A registrar and everything around it.
pub(super) struct World {
    pub(super) fixture: Fixture,
    pub(super) registrar: Registrar,
    pub(super) who: Identity,
    next_flow: u64,
}

impl World {
    /// With default settings for `example.com`.
    pub(super) fn new() -> World {
        World::with(|_| {})
    }

    /// With other settings of the registrar.
    pub(super) fn with(change: impl FnOnce(&mut RegistrarConfig)) -> World {
        World::of(|config| change(config.registrar.as_mut().expect("there is one")))
    }

    /// With other settings.
    pub(super) fn of(change: impl FnOnce(&mut Config)) -> World {
        let mut config = Config::new("example.com");
        config.registrar = Some(RegistrarConfig::default());
        config.tell.bindings = true;
        change(&mut config);
        let mut fixture = Fixture::with(config);
        let mut registrar = Registrar::new(&mut fixture.ids);
        registrar.flow_up(fixture.flows.get(Fixture::UDP).expect("it is up"));
        let who = Identity {
            scheme: Scheme::Digest,
            account: "bob".into(),
            aors: vec!["bob@example.com".into()],
            scopes: Vec::new(),
            foreign_contacts: false,
        };
        World { fixture, registrar, who, next_flow: 100 }
    }

    /// A new stream from this address.
    pub(super) fn connect(&mut self, transport: Transport, remote: &str) -> FlowId {
        self.next_flow += 2;
        let flow = FlowId(self.next_flow);
        self.fixture.flow_up(flow, transport, Some(remote));
        flow
    }

    /// A stream ends.
    pub(super) fn disconnect(&mut self, flow: FlowId) {
        self.fixture.flows.remove(flow);
        self.registrar.flow_down(&mut self.fixture.ctx(), flow, FlowDownReason::Closed);
        self.registrar.tell_pending(&mut self.fixture.ctx());
    }

    /// Serves a REGISTER.
    pub(super) fn try_register(&mut self, from: &Origin, text: &str) -> Result<Registered, Refusal> {
        with_message(text, |msg| {
            let ess = msg.essentials().expect("the test's message is complete");
            let mut ctx = self.fixture.ctx();
            self.registrar.register(&mut ctx, from, msg, &ess, None, &self.who)
        })
    }

    /// Serves a REGISTER and shows the answer: the status line, and for a 200 what the registrar wrote.
    pub(super) fn register(&mut self, from: &Origin, text: &str) -> String {
        let answer = match self.try_register(from, text) {
            Ok(registered) => with_message(text, |msg| self.write(&registered, msg)),
            Err(refusal) => show(&refusal),
        };
        self.registrar.tell_pending(&mut self.fixture.ctx());
        self.registrar.location.check();
        answer
    }

    /// The phone registers.
    pub(super) fn send(&mut self, phone: &Phone) -> String {
        let origin = phone.origin(self);
        self.register(&origin, &phone.request())
    }

    fn write(&mut self, registered: &Registered, msg: Message<'_>) -> String {
        let mut arena = crate::wire::Arena::new();
        let mut writer = ResponseWriter::new(&mut arena, msg, Status::OK, Some("1"), None);
        self.registrar.write_ok(&mut self.fixture.ctx(), &mut writer, registered, msg);
        let text = String::from_utf8(writer.finish().to_vec()).expect("text");
        let copied = ["Via:", "From:", "To:", "Call-ID:", "CSeq:", "Content-Length:"];
        let own = text.lines().filter(|line| !line.is_empty() && !copied.iter().any(|h| line.starts_with(h)));
        own.collect::<Vec<_>>().join("\n")
    }

    /// Time passes, and every timer that is due runs.
    pub(super) fn sleep(&mut self, seconds: u64) {
        self.fixture.advance(Duration::from_secs(seconds));
        self.run_timers();
    }

    pub(super) fn run_timers(&mut self) {
        while let Some(timer) = self.fixture.due() {
            let mut ctx = self.fixture.ctx();
            match timer {
                Timer::BindingExpiry(key) => self.registrar.on_expiry(&mut ctx, key),
                Timer::BindingExpiring(key) => self.registrar.on_expiring(&mut ctx, key),
                Timer::BindingPing(key) => self.registrar.on_ping(&mut ctx, key),
                Timer::FlowSilent(flow) => self.registrar.on_flow_silent(&mut ctx, flow),
                other => panic!("not of the registrar: {other:?}"),
            }
            self.registrar.location.check();
        }
    }

    /// Live bindings of an AoR.
    pub(super) fn lookup(&mut self, aor: &str) -> Vec<BindingView> {
        self.registrar.lookup(&self.fixture.ctx(), aor).expect("one of ours")
    }

    /// The contacts of bob, best first.
    pub(super) fn contacts(&mut self) -> Vec<String> {
        self.lookup("bob@example.com").iter().map(|view| view.contact.to_string()).collect()
    }

    /// What was told, saved, pinged and closed since the last call, one a line.
    pub(super) fn commands(&mut self) -> String {
        let mut out = String::new();
        for command in self.fixture.commands() {
            let line = match command {
                Command::Tell(Event::Binding(event)) => {
                    let view = &event.binding;
                    let reach = if view.reachable { "" } else { " unreachable" };
                    format!("{:?} {} {}{reach}", event.cause, view.aor, view.contact)
                }
                Command::Tell(event) => format!("{event:?}"),
                Command::Save(seq, Change::PutBinding(stored)) => {
                    let view = stored.view();
                    format!("Save {} put {} #{} {}", seq.0, view.aor, stored.id(), view.contact)
                }
                Command::Save(seq, Change::RefreshBinding { id, .. }) => {
                    format!("Save {} refresh #{id}", seq.0)
                }
                Command::Save(seq, Change::RemoveBinding { aor, id }) => {
                    format!("Save {} remove {aor} #{id}", seq.0)
                }
                Command::Ping { flow, remote, .. } => format!("Ping {} {remote}", flow.0),
                Command::Close { flow, reason } => format!("Close {} {reason:?}", flow.0),
                other => format!("{other:?}"),
            };
            writeln!(out, "{line}").expect("a string takes it");
        }
        out
    }

    /// Nothing may be left of any binding.
    #[track_caller]
    pub(super) fn assert_empty(&self) {
        assert!(self.registrar.location.holds_nothing(), "{:?}", self.registrar.location);
        assert_eq!(self.fixture.timers.len(), 0, "a timer is left");
        assert_eq!(self.registrar.undo.len(), 0, "an undo is left");
    }
}

/// The status line of a refusal, and the header that explains it.
pub(super) fn show(refusal: &Refusal) -> String {
    let status = refusal.status;
    let line = format!("SIP/2.0 {} {}", status.0, refusal.reason.as_deref().unwrap_or(status.reason()));
    match &refusal.extra {
        Extra::None => line,
        Extra::MinExpires(seconds) => format!("{line}\nMin-Expires: {seconds}"),
        Extra::Unsupported(tags) => format!("{line}\nUnsupported: {tags}"),
        Extra::RetryAfter(seconds) => format!("{line}\nRetry-After: {seconds}"),
        other => format!("{line}\n{other:?}"),
    }
}

/// A phone as it presents itself.
#[derive(Clone)]
pub(super) struct Phone {
    pub(super) user: &'static str,
    pub(super) call_id: String,
    pub(super) cseq: u32,
    /// Contact header values; each is a line of its own.
    pub(super) contacts: Vec<String>,
    /// Further header lines.
    pub(super) headers: Vec<String>,
    pub(super) sent_by: String,
    pub(super) flow: FlowId,
    pub(super) remote: SocketAddr,
    pub(super) uri: &'static str,
}

impl Phone {
    /// On UDP at an address, its contact there.
    pub(super) fn at(addr: &str) -> Phone {
        Phone {
            user: "bob",
            call_id: "1@phone".into(),
            cseq: 1,
            contacts: vec![format!("<sip:bob@{addr}>")],
            headers: vec!["Expires: 3600".into()],
            sent_by: addr.into(),
            flow: Fixture::UDP,
            remote: addr.parse().expect("an address"),
            uri: "sip:example.com",
        }
    }

    /// The same phone over a stream.
    pub(super) fn over(self, flow: FlowId) -> Phone {
        Phone { flow, ..self }
    }

    pub(super) fn contact(mut self, value: &str) -> Phone {
        self.contacts = vec![value.into()];
        self
    }

    pub(super) fn and_contact(mut self, value: &str) -> Phone {
        self.contacts.push(value.into());
        self
    }

    pub(super) fn header(mut self, line: &str) -> Phone {
        self.headers.push(line.into());
        self
    }

    pub(super) fn without_expires(mut self) -> Phone {
        self.headers.retain(|line| !line.starts_with("Expires"));
        self
    }

    pub(super) fn call(mut self, call_id: &str, cseq: u32) -> Phone {
        (self.call_id, self.cseq) = (call_id.into(), cseq);
        self
    }

    /// The next request in the same call.
    pub(super) fn again(&mut self) -> &mut Phone {
        self.cseq += 1;
        self
    }

    pub(super) fn origin(&self, world: &World) -> Origin {
        let flow = world.fixture.flows.get(self.flow).expect("the flow is up");
        world.fixture.flows.origin(self.flow, self.remote, flow.local).expect("the flow is up")
    }

    pub(super) fn request(&self) -> String {
        let Phone { user, call_id, cseq, sent_by, uri, .. } = self;
        let mut out = format!(
            "REGISTER {uri} SIP/2.0\nVia: SIP/2.0/UDP {sent_by};branch=z9hG4bK{cseq};rport\nMax-Forwards: 70\n\
             From: <sip:{user}@example.com>;tag=a\nTo: <sip:{user}@example.com>\nCall-ID: {call_id}\n\
             CSeq: {cseq} REGISTER\n"
        );
        for contact in &self.contacts {
            writeln!(out, "Contact: {contact}").expect("a string takes it");
        }
        for line in &self.headers {
            writeln!(out, "{line}").expect("a string takes it");
        }
        out.push_str("Content-Length: 0\n\n");
        out
    }
}

/// Refuse past the limit instead of replacing.
pub(super) fn refuse_past(limit: usize) -> impl FnOnce(&mut RegistrarConfig) {
    move |config| (config.max_contacts, config.max_contacts_policy) = (limit, MaxContacts::Refuse)
}
