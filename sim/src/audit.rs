//! The audit: rules that cite an RFC, checked over everything the engine sends in every simulated run. A story is
//! written for what it tells; conformance comes with it.

mod calls;
mod notifier;
mod rules;

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

use crate::Time;
use crate::message::{Sip, param};
use crate::phone::{T1, T2};

use calls::Calls;
pub use calls::{LAWS, Law};
use notifier::Notifier;
pub use rules::{RULES, Rule};

/// A rule that was broken.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Finding {
    /// Section of the rule.
    pub cite: &'static str,
    /// The rule in a few words.
    pub rule: &'static str,
    /// When.
    pub at: Time,
    /// What was seen.
    pub detail: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({}): {}", self.rule, self.cite, self.detail)
    }
}

/// Where a message entered or left the engine.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Place {
    /// Number of the flow.
    pub flow: u64,
    /// Whether it is a stream.
    pub stream: bool,
    /// The far end.
    pub remote: SocketAddr,
}

/// A request the engine was given.
#[derive(Clone, Debug)]
pub struct Asked {
    /// The request.
    pub message: Sip,
    /// How it came.
    pub place: Place,
    /// When the first copy came.
    pub at: Time,
    copies: u32,
    acknowledged: bool,
    finals: Vec<(Time, u16, String)>,
}

/// One response, with the request it answers.
#[derive(Clone, Copy, Debug)]
pub struct Case<'a> {
    /// The request, as it came last.
    pub asked: &'a Asked,
    /// The response.
    pub response: &'a Sip,
    /// Where it was sent.
    pub place: Place,
    /// When.
    pub at: Time,
}

/// Checks what goes in and out of one engine.
#[derive(Clone, Debug)]
pub struct Audit {
    /// Whether a request that nobody answers is a finding; not so where requests are nonsense.
    pub expects_answers: bool,
    /// Rules broken so far.
    pub findings: Vec<Finding>,
    /// How many responses were checked.
    pub checked: u64,
    asked: BTreeMap<String, Asked>,
    sent: BTreeMap<String, (Time, u32, bool)>,
    /// When the first response came that makes a dialog: its Call-ID, and the tag of who sent it.
    made: BTreeMap<(String, String), Time>,
    notifier: Notifier,
    calls: Calls,
    unreadable: u64,
    last_sweep: Time,
}

impl Default for Audit {
    fn default() -> Audit {
        Audit::new()
    }
}

/// True if every quote of a value is closed: else nobody can say where its parameters begin.
fn is_balanced(value: &str) -> bool {
    let (mut quoted, mut escaped) = (false, false);
    for c in value.chars() {
        match c {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            _ => {}
        }
    }
    !quoted
}

/// What tells one transaction from another, as the sender of the request sees it.
fn key(m: &Sip, method: &str) -> String {
    let via = m.via();
    let branch = via.as_ref().map(|v| (v.branch().to_owned(), v.host.clone(), v.port));
    let from = m.header("From").unwrap_or_default();
    let number = m.cseq().map_or(0, |(n, _)| n);
    format!("{branch:?} {number} {method} {} {from}", m.header("Call-ID").unwrap_or_default())
}

/// The Call-ID, and the tag of a header.
fn party(m: &Sip, header: &str) -> (String, String) {
    let tag = m.header(header).and_then(|value| param(value, "tag")).unwrap_or_default();
    (m.header("Call-ID").unwrap_or_default().to_owned(), tag.to_owned())
}

impl Audit {
    /// The server begins a new life, perhaps with what it stored in the one before.
    pub fn restarted(&mut self) {
        self.notifier.restarted();
        self.calls.restarted();
        // What was answered before may come again, and is a new request to it.
        self.asked.retain(|_, asked| asked.finals.is_empty());
    }

    /// An audit that has seen nothing.
    pub fn new() -> Audit {
        Audit {
            expects_answers: true,
            findings: Vec::new(),
            checked: 0,
            asked: BTreeMap::new(),
            sent: BTreeMap::new(),
            made: BTreeMap::new(),
            notifier: Notifier::default(),
            calls: Calls::default(),
            unreadable: 0,
            last_sweep: Time::ZERO,
        }
    }

    /// A message is handed to the engine.
    pub fn came(&mut self, at: Time, place: Place, bytes: &[u8]) {
        self.sweep(at);
        let Ok(message) = Sip::head(bytes) else {
            self.unreadable += 1;
            return;
        };
        self.calls.came(at, &message);
        if !message.is_request() {
            if message.method() == "INVITE" && message.status().is_some_and(|s| (101..300).contains(&s)) {
                self.made.entry(party(&message, "To")).or_insert(at);
            }
            if let Some((_, _, answered)) = self.sent.get_mut(&key(&message, message.method())) {
                *answered = true;
                self.notifier.heard(&message);
            }
            return;
        }
        let singles = ["From", "To", "Call-ID", "CSeq"];
        let broken = |n: &&str| !matches!(message.lines(n)[..], [one] if is_balanced(one));
        if message.via().is_none() || singles.iter().any(broken) {
            self.unreadable += 1;
            return;
        }
        let method = message.method().to_owned();
        if method == "ACK" {
            // RFC 3261 s13.2.2.4: the ACK of a 2xx has a branch of its own.
            let of = |a: &&mut Asked| {
                let same = |name: &str| a.message.header(name) == message.header(name);
                let number = |m: &Sip| m.cseq().map(|(n, _)| n);
                a.message.method() == "INVITE"
                    && same("Call-ID")
                    && number(&a.message) == number(&message)
                    && same("From")
            };
            self.asked.values_mut().filter(of).for_each(|invite| invite.acknowledged = true);
            return;
        }
        if method == "NOTIFY" && message.header("To").is_some_and(|to| to.contains(";tag=")) {
            self.notifier.notified(at, &message);
        }
        let new = Asked { message, place, at, copies: 0, acknowledged: false, finals: Vec::new() };
        // A response is known by its CSeq, also where the method of CSeq is not that of the request.
        let cseq = new
            .message
            .header("CSeq")
            .and_then(|v| v.split_whitespace().nth(1))
            .unwrap_or_default()
            .to_owned();
        let asked = self.asked.entry(key(&new.message, &cseq)).or_insert(new);
        asked.copies += 1;
        // The same request may come from another address when a NAT rebinds between two copies.
        asked.place = place;
    }

    /// The engine sends a message.
    pub fn went(&mut self, at: Time, place: Place, bytes: &[u8]) {
        if bytes.iter().all(|b| matches!(b, b'\r' | b'\n' | 0)) || matches!(bytes, [0 | 1, 1, ..]) {
            return;
        }
        let message = match Sip::read(bytes) {
            Ok(message) => message,
            Err(flaw) => {
                return self.find("RFC 3261 s7", "what is sent is well-formed", at, flaw.to_string());
            }
        };
        self.findings.extend(self.calls.went(at, place, &message));
        if message.is_request() {
            return self.request_went(at, place, &message);
        }
        self.checked += 1;
        let key = key(&message, message.method());
        let Some(asked) = self.asked.get(&key).cloned() else {
            if self.unreadable == 0 {
                self.find("RFC 3261 s8.2.6", "a response answers a request", at, message.start.clone());
            }
            return;
        };
        let case = Case { asked: &asked, response: &message, place, at };
        for rule in RULES {
            if let Some(detail) = (rule.check)(&case) {
                let detail = format!("{detail} in {:?} to {}", message.start, asked.message.start);
                self.find(rule.cite, rule.name, at, detail);
            }
        }
        self.final_went(at, &key, &message);
    }

    // RFC 3261 s17.2.1, s17.2.2: finals are repeated for repeated requests, and by Timer G for INVITE only.
    fn final_went(&mut self, at: Time, key: &str, message: &Sip) {
        let status = message.status().unwrap_or(0);
        if status < 200 {
            return;
        }
        let Some(asked) = self.asked.get_mut(key) else { return };
        if asked.finals.is_empty() {
            self.findings.extend(self.notifier.answered(at, asked, message));
        }
        asked.finals.push((at, status, message.header("To").unwrap_or_default().to_owned()));
        let (copies, finals) = (asked.copies, asked.finals.clone());
        let invite = asked.message.method() == "INVITE";
        let (stream, acknowledged) = (asked.place.stream, asked.acknowledged);
        // RFC 3261 s8.2.7: a request that came before what makes its dialog leaves no state; its copy may come in time.
        let overtaken = |since: &Time, first: &u16| {
            *first == 481 && self.made.get(&party(message, "From")).is_some_and(|made| made > since)
        };
        if let Some((since, first, tag)) = finals.first()
            && (*first, tag) != (status, &message.header("To").unwrap_or_default().to_owned())
            && !overtaken(since, first)
        {
            let detail = format!("{first} and then {} with To {tag}", message.start);
            self.find("RFC 3261 s17.2.2", "one final response per request", at, detail);
        }
        if finals.len() as u32 <= copies {
            return;
        }
        if !invite || stream && status >= 300 {
            let detail = format!("{} was sent {} times for {copies} requests", message.start, finals.len());
            self.find(
                "RFC 3261 s17.2.2",
                "a final response is repeated only for a repeated request",
                at,
                detail,
            );
        } else if let [.., before, last] = &finals[..] {
            let extra = finals.len() as u32 - copies;
            let least = T1.saturating_mul(1 << (extra - 1).min(8)).min(T2);
            if copies == 1 && last.0.since(before.0) < least || acknowledged {
                let detail = format!("after {:?}, acknowledged: {acknowledged}", last.0.since(before.0));
                self.find("RFC 3261 s17.2.1", "Timer G is never early and ends with the ACK", at, detail);
            }
        }
    }

    fn request_went(&mut self, at: Time, place: Place, m: &Sip) {
        for name in ["Via", "From", "To", "Call-ID", "CSeq", "Max-Forwards"] {
            if m.lines(name).is_empty() {
                self.find(
                    "RFC 3261 s8.1.1",
                    "a request has its six header fields",
                    at,
                    format!("no {name} in {}", m.start),
                );
            }
        }
        let (last, times, answered) = *self.sent.entry(key(m, m.method())).or_insert((at, 0, false));
        if times == 0 && m.method() == "NOTIFY" {
            self.findings.extend(self.notifier.notifies(at, place, m));
        }
        if times > 0 && m.method() != "ACK" {
            // RFC 3261 s17.1.2.2: the n-th repetition comes T1 * 2^n after the one before, at most T2.
            let least = T1.saturating_mul(1 << (times - 1).min(8)).min(T2);
            if place.stream || answered || at.since(last) < least {
                let detail = format!("{} again after {:?}", m.start, at.since(last));
                self.find("RFC 3261 s17.1.2.2", "Timer E is never early", at, detail);
            }
        }
        self.sent.insert(key(m, m.method()), (at, times + 1, answered));
    }

    /// How many calls were answered.
    pub fn answered_calls(&self) -> u64 {
        self.calls.answered
    }

    /// The world ends: every call must have ended before.
    pub fn end(&mut self, now: Time) {
        self.findings.extend(self.calls.overdue(now, true));
    }

    /// Requests that never got a final answer although they came this long ago.
    pub fn unanswered(&mut self, now: Time, patience: Duration) {
        if !self.expects_answers {
            return;
        }
        let late: Vec<String> =
            self.asked.values().filter(|a| a.is_unanswered(now, patience)).map(Asked::label).collect();
        for label in late {
            self.find("RFC 3261 s8.2", "every request gets a final response", now, label);
        }
    }

    fn find(&mut self, cite: &'static str, rule: &'static str, at: Time, detail: String) {
        self.findings.push(Finding { cite, rule, at, detail });
    }

    // Old transactions are forgotten, so that a large world fits into memory.
    fn sweep(&mut self, now: Time) {
        const OLD: Duration = Duration::from_secs(120);
        if now.since(self.last_sweep) < OLD {
            return;
        }
        self.unanswered(now, OLD);
        self.findings.extend(self.calls.overdue(now, false));
        self.calls.sweep(now, OLD);
        self.last_sweep = now;
        self.asked.retain(|_, a| now.since(a.last()) < if a.is_ringing() { RINGING } else { OLD });
        self.sent.retain(|_, (at, _, _)| now.since(*at) < OLD);
        self.notifier.sweep(now, OLD);
    }
}

/// How long an INVITE may be without a final response: the longest ringing, and what ends it.
const RINGING: Duration = Duration::from_secs(260);

impl Asked {
    fn is_unanswered(&self, now: Time, patience: Duration) -> bool {
        let patience = if self.is_ringing() { patience.max(RINGING) } else { patience };
        self.finals.is_empty() && now.since(self.at) >= patience
    }

    fn is_ringing(&self) -> bool {
        self.message.method() == "INVITE" && self.finals.is_empty()
    }

    /// When it was last heard of.
    fn last(&self) -> Time {
        self.finals.last().map_or(self.at, |(at, _, _)| *at)
    }

    fn label(&self) -> String {
        format!("{} from {}", self.message.start, self.place.remote)
    }
}
