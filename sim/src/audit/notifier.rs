//! What the engine may send as a notifier and as an event state compositor: RFC 6665 s4.2, RFC 3903 s6, over time.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::{Asked, Finding, Place};
use crate::Time;
use crate::message::{Sip, param};
use crate::phone::T1;

/// Call-ID, the tag of the subscriber, the tag of the notifier, the id of Event with its package.
type Name = (String, String, String, String);

/// A subscription as the wire shows it.
#[derive(Clone, Debug)]
struct Seen {
    event: String,
    accept: Option<String>,
    /// The end that was granted last.
    until: Time,
    cseq: Option<u32>,
    /// The NOTIFY without an answer: its number, when it left first, and where to.
    waits: Option<(u32, Time, Place)>,
    ended: Option<Time>,
    /// The server began a new life: it may jump ahead by what it had reserved.
    restarted: bool,
}

/// What was granted and notified so far.
#[derive(Clone, Debug, Default)]
pub(super) struct Notifier {
    subscriptions: BTreeMap<Name, Seen>,
    etags: BTreeSet<String>,
    /// What was notified to the server within dialogs: it may carry that on to the other side of a call.
    came: Vec<(Time, Notice)>,
}

/// Event, Subscription-State and the body.
type Notice = (String, String, Vec<u8>);

fn notice(m: &Sip) -> Notice {
    let header = |name: &str| m.header(name).unwrap_or_default().to_owned();
    (header("Event"), header("Subscription-State"), m.body.clone())
}

fn tag(m: &Sip, header: &str) -> String {
    m.header(header).and_then(|v| param(v, "tag")).unwrap_or_default().to_owned()
}

fn id(m: &Sip) -> String {
    let event = m.header("Event").unwrap_or_default();
    format!("{} {}", param(event, "id").unwrap_or_default(), package(event))
}

/// The same id, whatever the package.
fn same_id(a: &str, b: &str) -> bool {
    let id = |name: &str| name.split_once(' ').map(|(id, _)| id.to_owned());
    id(a) == id(b)
}

/// The package of an Event, without parameters.
fn package(event: &str) -> &str {
    event.split(';').next().unwrap_or_default().trim()
}

impl Notifier {
    /// A final response to a SUBSCRIBE or PUBLISH leaves for the first time.
    pub(super) fn answered(&mut self, at: Time, asked: &Asked, response: &Sip) -> Option<Finding> {
        let find = |cite, rule, detail| Some(Finding { cite, rule, at, detail });
        if !response.status().is_some_and(|status| (200..300).contains(&status)) {
            return None;
        }
        match asked.message.method() {
            "PUBLISH" => {
                let etag = response.header("SIP-ETag").unwrap_or_default().to_owned();
                let fresh = self.etags.insert(etag.clone());
                (!fresh).then_some(())?;
                find("RFC 3903 s6", "an entity tag is never used again", format!("SIP-ETag: {etag}"))
            }
            "SUBSCRIBE" => {
                let m = &asked.message;
                let call = m.header("Call-ID").unwrap_or_default().to_owned();
                let name = (call, tag(m, "From"), tag(response, "To"), id(m));
                let granted = response.header("Expires").and_then(|v| v.parse().ok()).unwrap_or(0);
                let until = at + Duration::from_secs(granted);
                let event = m.header("Event").unwrap_or_default().to_owned();
                // A refresh may name other types (RFC 5263 s4.4).
                let accept = m.header("Accept").map(str::to_owned);
                let seen = self.subscriptions.entry(name).or_insert(Seen {
                    event,
                    accept: None,
                    until,
                    cseq: None,
                    waits: None,
                    ended: None,
                    restarted: false,
                });
                seen.until = until;
                seen.accept = accept.or(seen.accept.take());
                let ended = seen.ended.is_some();
                ended.then_some(())?;
                find("RFC 6665 s4.4.1", "no 2xx in a subscription that has ended", response.start.clone())
            }
            _ => None,
        }
    }

    /// The server begins a new life: what it was waiting for is forgotten, and so is what it did last.
    pub(super) fn restarted(&mut self) {
        for seen in self.subscriptions.values_mut() {
            (seen.waits, seen.ended, seen.restarted) = (None, None, true);
        }
    }

    /// A NOTIFY came within a dialog.
    pub(super) fn notified(&mut self, at: Time, m: &Sip) {
        self.came.push((at, notice(m)));
    }

    /// A NOTIFY leaves for the first time.
    pub(super) fn notifies(&mut self, at: Time, place: Place, m: &Sip) -> Vec<Finding> {
        // RFC 3515 s2.4.4: a REFER makes its subscription without a SUBSCRIBE.
        if package(m.header("Event").unwrap_or_default()) == "refer" {
            return Vec::new();
        }
        // That of another party, who has to know what it is about.
        let carried = notice(m);
        if let Some(at) = self.came.iter().position(|(_, came)| *came == carried) {
            self.came.remove(at);
            return Vec::new();
        }
        let mut findings = Vec::new();
        let mut find = |cite, rule, detail: String| findings.push(Finding { cite, rule, at, detail });
        for header in ["Event", "Subscription-State", "Contact"] {
            if m.lines(header).len() != 1 {
                find(
                    "RFC 6665 s4.2.2, s8.1",
                    "a NOTIFY has its header fields",
                    format!("{header} in {}", m.start),
                );
            }
        }
        let state = m.header("Subscription-State").unwrap_or_default();
        let word = state.split(';').next().unwrap_or_default();
        let expires = param(state, "expires").and_then(|v| v.parse::<u64>().ok());
        let well = match word {
            "active" | "pending" => expires.is_some_and(|left| left > 0) && param(state, "reason").is_none(),
            "terminated" => expires.is_none() && param(state, "expires").is_none(),
            _ => false,
        };
        if !well {
            find("RFC 6665 s4.1.3", "Subscription-State says what is so", state.to_owned());
        }
        if m.body.is_empty() != m.header("Content-Type").is_none() {
            find("RFC 3261 s20.15", "a body has a Content-Type", m.start.clone());
        }
        let call = m.header("Call-ID").unwrap_or_default().to_owned();
        let name = (call, tag(m, "To"), tag(m, "From"), id(m));
        let number = m.cseq().map_or(0, |(n, _)| n);
        // RFC 3261 s12.2.1.1: all subscriptions of a dialog count together.
        let first = (name.0.clone(), name.1.clone(), name.2.clone(), String::new());
        let in_dialog = |n: &Name| (&n.0, &n.1, &n.2) == (&name.0, &name.1, &name.2);
        let of_dialog: Vec<(Name, Option<u32>)> = self
            .subscriptions
            .range(first..)
            .take_while(|(n, _)| in_dialog(n))
            .map(|(n, seen)| (n.clone(), seen.cseq))
            .collect();
        let before = of_dialog.iter().filter_map(|(_, cseq)| *cseq).max();
        let exact = of_dialog.iter().find(|(n, _)| *n == name);
        let close = of_dialog.iter().find(|(n, _)| same_id(&n.3, &name.3));
        let known = exact.or(close).map(|(n, _)| n.clone()).unwrap_or(name.clone());
        let Some(seen) = self.subscriptions.get_mut(&known) else {
            // DECISIONS 30 asks for the 2xx first.
            find("RFC 6665 s4.2.1.2", "a NOTIFY follows the 2xx of its SUBSCRIBE", format!("{name:?}"));
            return findings;
        };
        if package(&seen.event) != package(m.header("Event").unwrap_or_default()) {
            let detail = format!("{:?} became {:?}", seen.event, m.header("Event"));
            find("RFC 6665 s8.2.1", "Event is that of the SUBSCRIBE", detail);
        }
        if let Some(kind) = m.header("Content-Type") {
            let range = |value: &'_ str| value.split(';').next().unwrap_or_default().trim().to_owned();
            let kind = range(kind);
            let accept = seen.accept.as_deref().unwrap_or(&kind);
            if !accept
                .split(',')
                .map(range)
                .any(|a| [a == "*/*", a == "application/*", a == kind].contains(&true))
            {
                find(
                    "RFC 6665 s4.2.2",
                    "a body is of a type that is accepted",
                    format!("{kind}, not {accept}"),
                );
            }
        }
        if seen.ended.is_some() {
            find("RFC 6665 s4.4.1", "nothing follows the end of a subscription", state.to_owned());
        }
        if let Some(before) = before
            && number != before + 1
            && !(seen.restarted && number > before)
        {
            let detail = format!("{number} after {before}");
            find("RFC 3261 s12.2.1.1", "CSeq rises by one within a dialog", detail);
        }
        // A second up, since seconds are whole.
        if let Some(left) = expires
            && at + Duration::from_secs(left) > seen.until + Duration::from_secs(1)
        {
            find("RFC 6665 s4.1.3", "expires is what is left of what was granted", state.to_owned());
        }
        if let Some((waiting, since, by)) = seen.waits
            && at.since(since) < 64 * T1
            && word != "terminated"
            // RFC 3261 s17.1.4: what waited on a connection that broke has failed with it.
            && (!by.stream || by.flow == place.flow)
        {
            let detail = format!("{number} while {waiting} waits");
            find("RFC 6665 s4.2.2", "one NOTIFY at a time", detail);
        }
        (seen.cseq, seen.restarted) = (Some(number), false);
        seen.waits = Some((number, at, place));
        if word == "terminated" {
            seen.ended = Some(at);
        }
        findings
    }

    /// A NOTIFY was answered by the subscriber.
    pub(super) fn heard(&mut self, m: &Sip) {
        if m.method() != "NOTIFY" || m.status().is_none_or(|status| status < 200) {
            return;
        }
        let (call, to, from) = (m.header("Call-ID").unwrap_or_default(), tag(m, "To"), tag(m, "From"));
        let number = m.cseq().map_or(0, |(n, _)| n);
        let first = (call.to_owned(), to.clone(), from.clone(), String::new());
        let of_dialog = self.subscriptions.range_mut(first..);
        let same = of_dialog.take_while(|((c, t, f, _), _)| c == call && *t == to && *f == from);
        for (_, seen) in same {
            if seen.waits.is_some_and(|(waiting, ..)| waiting == number) {
                seen.waits = None;
            }
        }
    }

    /// Forgets what ended long ago.
    pub(super) fn sweep(&mut self, now: Time, old: Duration) {
        self.subscriptions.retain(|_, seen| {
            let last = seen.ended.unwrap_or(seen.until);
            now.since(last) < old
        });
        self.came.retain(|(at, _)| now.since(*at) < old);
    }
}

#[cfg(test)]
mod tests;
