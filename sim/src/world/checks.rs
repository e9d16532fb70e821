//! Invariants: what must be so after each step, and at the end of every world.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use strowger_core::Engine;
use strowger_core::door::{Change, SaveSeq, StoredBinding};
use strowger_core::stats::Sizes;

use super::World;
use crate::Time;
use crate::store::apply;

type Key = (Box<str>, u64);

/// What is remembered to check the next step against.
#[derive(Clone, Debug, Default)]
pub struct Invariants {
    mirror: BTreeMap<Key, StoredBinding>,
    /// Changes that are not committed yet: what was there before.
    before: BTreeMap<SaveSeq, (Key, Option<StoredBinding>)>,
    stuck: u32,
    stuck_at: Time,
}

impl Invariants {
    /// A fresh engine knows nothing.
    pub(super) fn boot(&mut self) {
        self.mirror.clear();
        self.before.clear();
    }

    /// It gets this binding back.
    pub(super) fn restored(&mut self, stored: &StoredBinding) {
        self.mirror.insert((stored.aor().into(), stored.id()), stored.clone());
    }

    /// A change was committed, or failed to be: then the engine takes it back.
    pub(super) fn committed(&mut self, seq: SaveSeq, saved: bool) {
        let before = self.before.remove(&seq);
        if let (false, Some((key, before))) = (saved, before) {
            match before {
                Some(binding) => self.mirror.insert(key, binding),
                None => self.mirror.remove(&key),
            };
        }
    }

    /// A change leaves the engine: nobody who has no credentials may gain a binding by it.
    pub(super) fn changed(
        &mut self,
        seq: SaveSeq,
        change: &Change,
        impostor: impl Fn(IpAddr) -> bool,
    ) -> Result<(), String> {
        if let Change::PutBinding(stored) = change
            && let view = stored.view()
            && impostor(view.received.ip())
        {
            return Err(format!("an impostor is bound to {}: {}", view.aor, view.contact));
        }
        let key = match change {
            Change::PutBinding(stored) => (stored.aor().into(), stored.id()),
            Change::RemoveBinding { aor, id } => (aor.clone(), *id),
            Change::RefreshBinding { id, .. } => match self.mirror.keys().find(|(_, known)| known == id) {
                Some(key) => key.clone(),
                None => return Err(format!("binding {id} is refreshed and is not there")),
            },
            _ => return Ok(()),
        };
        self.before.insert(seq, (key.clone(), self.mirror.get(&key).cloned()));
        apply(&mut self.mirror, change.clone());
        Ok(())
    }

    /// A due `Timeout` was handled: something must move within a bounded number of calls.
    pub(super) fn timeout_ran(&mut self, now: Time, next: Option<Time>) {
        let again = next.is_some_and(|at| at <= now) && now == self.stuck_at;
        self.stuck = if again { self.stuck + 1 } else { 0 };
        self.stuck_at = now;
        assert!(self.stuck < 100_000, "the engine wants to be woken again and again at {now:?}");
    }
}

impl World {
    pub(super) fn check_step(&mut self) {
        let Some(sizes) = self.engine.as_ref().map(Engine::sizes) else { return };
        let l = &self.settings.limits;
        let bounds = [
            ("aors", sizes.aors, l.aors),
            ("bindings", sizes.bindings, l.bindings),
            ("transaction bytes", sizes.transaction_bytes, l.transaction_bytes),
            ("parked", sizes.parked, l.parked),
            ("flows", sizes.flows, l.flows),
            ("subscriptions", sizes.subscriptions, l.subscriptions),
            ("publications", sizes.publications, l.publications),
            ("stored messages", sizes.stored_messages, l.stored_messages),
            ("calls", sizes.calls, l.calls),
            ("nonces", sizes.nonces, l.nonces),
            ("tokens", sizes.tokens, l.tokens),
            ("commands after draining", sizes.commands, 0),
            ("AoRs without a binding", sizes.aors.saturating_sub(sizes.bindings), 0),
        ];
        if let Some((what, is, most)) = bounds.into_iter().find(|(_, is, most)| is > most) {
            self.fail(&format!("{what}: {is}, at most {most}"));
        }
        if self.settings.tell.changes && sizes.bindings != self.invariants.mirror.len() {
            let fault = format!(
                "{} bindings, but the changes add up to {}",
                sizes.bindings,
                self.invariants.mirror.len()
            );
            self.fail(&fault);
        }
    }

    /// True when nothing can be left but what stays for ever: sockets, and the wish to renew the keys of issuers.
    pub(super) fn is_quiet(&self) -> bool {
        self.queue.is_empty()
            && self.engine.as_ref().is_none_or(|e| is_empty(&e.sizes()) && e.sizes().timers <= self.forever())
    }

    fn forever(&self) -> usize {
        self.settings.jwt.as_ref().map_or(0, |j| j.issuers.len())
    }

    pub(super) fn check_end(&mut self) {
        self.audit.unanswered(self.now, Duration::from_secs(32));
        self.audit.end(self.now);
        if let Some(finding) = self.audit.findings.first() {
            let all: Vec<String> = self.audit.findings.iter().take(10).map(ToString::to_string).collect();
            let at = finding.at;
            self.fail_at(
                at,
                &format!(
                    "{} findings of the audit, the first at {at:?}:\n  {}",
                    self.audit.findings.len(),
                    all.join("\n  ")
                ),
            );
        }
        if let Some(seat) = self.seats.iter().find(|s| !s.phone.flaws.is_empty()) {
            self.fail(&format!("{} was told nonsense: {:?}", seat.phone.name, seat.phone.flaws));
        }
        let Some(engine) = &self.engine else { return };
        let sizes = engine.sizes();
        if !is_empty(&sizes) || sizes.timers > self.forever() || sizes.flows != 2 {
            self.fail(&format!(
                "something is left at the end: {sizes:?}, next timer {:?}",
                engine.poll_timeout()
            ));
        }
        let kept = &self.store.presence;
        if !kept.publications.is_empty() || !kept.subscriptions.is_empty() || !kept.messages.is_empty() {
            self.fail(&format!("something is left in the store: {kept:?}"));
        }
        if self.forever() == 0 && engine.poll_timeout().is_some() {
            self.fail("a timer is left at the end");
        }
    }

    pub(super) fn fail(&self, fault: &str) -> ! {
        self.fail_at(self.now, fault)
    }

    /// The same of what was found out about an earlier time: what was said until then is shown.
    fn fail_at(&self, at: Time, fault: &str) -> ! {
        let until = at.since(self.start).as_secs_f64() + 0.1;
        let ladder = self.ladder().to_string();
        let lines: Vec<&str> = ladder.lines().collect();
        // Lines of header fields have no time.
        let time = |line: &&str| line.get(..9).and_then(|text| text.trim().parse::<f64>().ok());
        let end =
            lines.iter().position(|line| time(line).is_some_and(|time| time > until)).unwrap_or(lines.len());
        let tail = lines[end.saturating_sub(60)..end].join("\n");
        panic!("seed {}, {:?} after the start: {fault}\n{tail}", self.seed, self.now.since(self.start));
    }
}

/// Mailboxes and user agents stay until the host takes them back.
fn is_empty(s: &Sizes) -> bool {
    let remembered = [s.users, s.revocations, s.servers_overloaded];
    let sip =
        [s.aors, s.bindings, s.transactions, s.transaction_bytes, s.parked, s.nonces, s.tokens, s.commands];
    let presence = [s.subscriptions, s.publications, s.presentities, s.wishes, s.messages, s.stored_messages];
    let calls = [s.calls, s.call_dialogs, s.call_keys, s.media_sessions, s.routes, s.lines];
    sip.iter().chain(&presence).chain(&calls).chain(&remembered).all(|n| *n == 0)
}
