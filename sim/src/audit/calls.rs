//! Calls as the wire shows them, leg by leg: what the engine sends is held against the laws, and at the end no leg may
//! hang. RFC 3261 s9, s12 to s15, s17; RFC 3262; RFC 3264; RFC 4028.

mod came;
mod crossing;
mod laws;
mod offer;
mod went;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::{Finding, Place};
use crate::Time;
use crate::message::{Sip, param, uri_of, without_tag};
use crate::phone::T1;

use crossing::Crossing;
use laws::*;
pub use laws::{LAWS, Law};
use offer::{By, Talks, description};

/// When what has to come has come, or never will.
const PATIENCE: Duration = Duration::from_secs(40);

/// An INVITE transaction.
#[derive(Clone, Debug)]
struct Trans {
    by: By,
    number: u32,
    branch: String,
    request: Sip,
    /// When we sent it first.
    sent: Option<Time>,
    /// A provisional response was seen.
    provisional: bool,
    /// Final responses: status, tag, when it was seen first, how often, and whether it is acknowledged.
    finals: Vec<Last>,
    /// A CANCEL came before any final response.
    cancelled: bool,
    cancel_sent: Option<Time>,
}

#[derive(Clone, Debug)]
struct Last {
    status: u16,
    tag: String,
    at: Time,
    times: u32,
    acknowledged: bool,
}

impl Trans {
    fn within(&self) -> bool {
        !tag(&self.request, "To").is_empty()
    }

    fn is_open(&self) -> bool {
        self.finals.is_empty()
    }

    /// RFC 3261 s17.1.1.2: timer B has ended what nobody answered.
    fn has_timed_out(&self, now: Time) -> bool {
        self.is_open() && !self.provisional && self.sent.is_some_and(|sent| now.since(sent) >= 64 * T1)
    }

    fn offered(&self) -> bool {
        description(&self.request).is_some()
    }
}

/// A dialog of a call.
#[derive(Clone, Debug)]
struct Dialog {
    ours: String,
    theirs: String,
    our_uri: String,
    their_uri: String,
    target: String,
    routes: Vec<String>,
    number: Option<u32>,
    confirmed: bool,
    ended: Option<Time>,
    /// A BYE was sent or came.
    bye: bool,
    sent: BTreeSet<(String, String)>,
    talks: Talks,
    /// The last RSeq we sent, and whether its PRACK came.
    rseq: Option<(u32, bool)>,
    /// RSeqs that came, and those we named in RAck.
    heard: BTreeSet<u32>,
    named: BTreeSet<u32>,
    /// Branches of the requests that came.
    came: BTreeSet<String>,
    /// Offers of PRACK and UPDATE by branch.
    offers: BTreeMap<String, bool>,
}

/// One Call-ID.
#[derive(Clone, Debug)]
struct Leg {
    by: By,
    trans: Vec<Trans>,
    dialogs: Vec<Dialog>,
    last: Time,
}

/// All legs.
#[derive(Clone, Debug, Default)]
pub(super) struct Calls {
    legs: BTreeMap<String, Leg>,
    crossing: Crossing,
    /// Calls that were answered, for tests that want to know that something was checked.
    pub(super) answered: u64,
}

fn tag(m: &Sip, header: &str) -> String {
    m.header(header).and_then(|v| param(v, "tag")).unwrap_or_default().to_owned()
}

fn branch(m: &Sip) -> String {
    m.via().map(|v| v.branch().to_owned()).unwrap_or_default()
}

fn number(m: &Sip) -> u32 {
    m.cseq().map_or(0, |(n, _)| n)
}

fn request_uri(m: &Sip) -> &str {
    m.start.split(' ').nth(1).unwrap_or_default()
}

fn contact(m: &Sip) -> String {
    m.header("Contact").map(|v| uri_of(v).to_owned()).unwrap_or_default()
}

fn is_reliable(m: &Sip) -> bool {
    m.lists("Require", "100rel") && m.status().is_some_and(|s| (101..200).contains(&s))
}

/// URIs compared as far as a parameter of From may differ.
fn uri(value: &str) -> String {
    uri_of(&without_tag(value)).to_owned()
}

type Found = Vec<(Law, String)>;

impl Leg {
    fn dialog(&mut self, ours: &str, theirs: &str) -> Option<&mut Dialog> {
        self.dialogs.iter_mut().find(|d| d.ours == ours && d.theirs == theirs)
    }

    fn position(&self, by: By, m: &Sip) -> Option<usize> {
        let (n, b) = (number(m), branch(m));
        self.trans.iter().position(|t| t.by == by && t.number == n && t.branch == b)
    }

    /// The dialog that a response to an INVITE is of; made if it is new.
    fn dialog_for(&mut self, trans: usize, m: &Sip) -> Option<usize> {
        let t = self.trans.get(trans)?;
        let (ours, theirs) = match t.by {
            By::Us => (tag(m, "From"), tag(m, "To")),
            By::Them => (tag(m, "To"), tag(m, "From")),
        };
        if let Some(at) = self.dialogs.iter().position(|d| d.ours == ours && d.theirs == theirs) {
            return Some(at);
        }
        let (from, to) = (t.request.header("From")?, t.request.header("To")?);
        let (our_uri, their_uri) = if t.by == By::Us { (uri(from), uri(to)) } else { (uri(to), uri(from)) };
        let mut routes: Vec<String>;
        let target;
        match t.by {
            By::Us => {
                routes = m.values("Record-Route").into_iter().map(str::to_owned).collect();
                routes.reverse();
                target = contact(m);
            }
            By::Them => {
                routes = t.request.values("Record-Route").into_iter().map(str::to_owned).collect();
                target = contact(&t.request);
            }
        }
        self.dialogs.push(Dialog {
            ours,
            theirs,
            our_uri,
            their_uri,
            target,
            routes,
            number: (t.by == By::Us).then_some(t.number),
            confirmed: false,
            ended: None,
            bye: false,
            sent: BTreeSet::new(),
            talks: Talks::new(&t.request, t.by),
            rseq: None,
            heard: BTreeSet::new(),
            named: BTreeSet::new(),
            came: BTreeSet::new(),
            offers: BTreeMap::new(),
        });
        Some(self.dialogs.len() - 1)
    }

    fn is_done(&self, now: Time) -> bool {
        let quiet = now.since(self.last) >= PATIENCE;
        let left = self.dialogs.iter().any(|d| d.confirmed && d.ended.is_none() && !d.bye);
        quiet && !left && self.trans.iter().all(|t| !t.is_open() || t.by == By::Us && !t.provisional)
    }
}

impl Calls {
    /// A message comes from outside.
    pub(super) fn came(&mut self, at: Time, m: &Sip) {
        self.crossing.came(m);
        let id = m.header("Call-ID").unwrap_or_default().to_owned();
        if m.is_request() && m.method() == "INVITE" && !self.legs.contains_key(&id) && tag(m, "To").is_empty()
        {
            self.legs
                .insert(id.clone(), Leg { by: By::Them, trans: Vec::new(), dialogs: Vec::new(), last: at });
            self.crossing.invited(m);
        }
        let Some(leg) = self.legs.get_mut(&id) else { return };
        leg.last = at;
        self.crossing.learn(m);
        match m.is_request() {
            true => leg.request_came(m),
            false => leg.response_came(at, m),
        }
    }

    /// A message leaves the engine.
    pub(super) fn went(&mut self, at: Time, place: Place, m: &Sip) -> Vec<Finding> {
        let mut found: Found = self.crossing.secrets(m).into_iter().collect();
        if m.is_request() {
            found.extend(own_via(place, m));
        }
        let id = m.header("Call-ID").unwrap_or_default().to_owned();
        if m.is_request() && m.method() == "INVITE" && !self.legs.contains_key(&id) && tag(m, "To").is_empty()
        {
            self.legs
                .insert(id.clone(), Leg { by: By::Us, trans: Vec::new(), dialogs: Vec::new(), last: at });
        }
        if let Some(leg) = self.legs.get_mut(&id) {
            leg.last = at;
            found.extend(self.crossing.identifiers(m));
            self.crossing.learn(m);
            match m.is_request() {
                true => leg.request_went(at, m, &self.crossing, &mut found),
                false => leg.response_went(at, m, &mut found),
            }
            let accepts = m.status().is_some_and(|s| (200..300).contains(&s)) && m.method() == "INVITE";
            self.answered += u64::from(accepts);
        }
        let findings = found.into_iter();
        findings.map(|(law, detail)| Finding { cite: law.cite, rule: law.name, at, detail }).collect()
    }

    /// What should have come long ago. At the end of a world nothing may hang.
    pub(super) fn overdue(&mut self, now: Time, end: bool) -> Vec<Finding> {
        let mut found: Found = Vec::new();
        for (id, leg) in &mut self.legs {
            leg.overdue(now, id, &mut found);
            if !end {
                continue;
            }
            let hangs = leg.dialogs.iter().filter(|d| d.confirmed && d.ended.is_none() && !d.bye);
            found.extend(hangs.map(|d| (HANGING, format!("{id} to {}", d.target))));
        }
        found
            .into_iter()
            .map(|(law, detail)| Finding { cite: law.cite, rule: law.name, at: now, detail })
            .collect()
    }

    pub(super) fn sweep(&mut self, now: Time, old: Duration) {
        let over = |leg: &Leg| leg.is_done(now) && now.since(leg.last) >= old;
        let gone: Vec<String> =
            self.legs.iter().filter(|(_, leg)| over(leg)).map(|(id, _)| id.clone()).collect();
        for id in gone {
            self.legs.remove(&id);
            self.crossing.forget(&id);
        }
    }

    /// The server has lost all calls.
    pub(super) fn restarted(&mut self) {
        *self = Calls { answered: self.answered, ..Calls::default() };
    }
}

fn own_via(place: Place, m: &Sip) -> Option<(Law, String)> {
    let all = m.values("Via");
    let via = m.via();
    let honest = via.as_ref().is_some_and(|v| {
        let datagram = v.transport == "UDP";
        let host = v.host_ip().is_none_or(|ip| !ip.is_unspecified() && ip != place.remote.ip());
        datagram != place.stream && host && v.branch().starts_with("z9hG4bK") && v.branch().len() > 7
    });
    (all.len() != 1 || !honest).then(|| (OWN_VIA, format!("{all:?} in {} to {}", m.start, place.remote)))
}

impl Leg {
    fn overdue(&mut self, now: Time, id: &str, found: &mut Found) {
        for t in &mut self.trans {
            for last in t.finals.iter_mut().filter(|f| !f.acknowledged && now.since(f.at) >= PATIENCE) {
                // Said once.
                last.acknowledged = true;
                if t.by == By::Us {
                    found.push((ACKED, format!("{} to {} of {id}", last.status, t.request.start)));
                    continue;
                }
                if last.status >= 300 {
                    continue;
                }
                let theirs = tag(&t.request, "From");
                let d = self.dialogs.iter().find(|d| d.ours == last.tag && d.theirs == theirs);
                let ended = d.and_then(|d| d.ended).is_some_and(|at| at.since(last.at) < 64 * T1);
                let bye = d.is_some_and(|d| d.bye || d.ended.is_some());
                if !ended && (last.times < 8 || !bye) {
                    let detail = format!("{id}: sent {} times without an ACK, BYE: {bye}", last.times);
                    found.push((REPEATED, detail));
                }
            }
        }
    }
}

fn trans(by: By, sent: Option<Time>, m: &Sip) -> Trans {
    Trans {
        by,
        number: number(m),
        branch: branch(m),
        request: m.clone(),
        sent,
        provisional: false,
        finals: Vec::new(),
        cancelled: false,
        cancel_sent: None,
    }
}

#[cfg(test)]
mod tests;
