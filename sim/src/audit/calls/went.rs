//! What the engine sends within calls: each message is held against the laws.

use super::crossing::Crossing;
use super::laws::*;
use super::offer::{By, Carrier, description};
use super::{
    Dialog, Found, Leg, Time, Trans, branch, contact, is_reliable, number, request_uri, tag, trans, uri,
};
use crate::message::{Sip, param, split_list};

impl Leg {
    pub(super) fn request_went(&mut self, at: Time, m: &Sip, crossing: &Crossing, found: &mut Found) {
        match m.method() {
            "ACK" => return self.ack_went(m, found),
            "CANCEL" => return self.cancel_went(at, m, found),
            "INVITE" if self.position(By::Us, m).is_some() => return,
            "INVITE" | "UPDATE" if m.lines("Contact").len() != 1 => {
                found.push((CONTACT, format!("{:?} in {}", m.lines("Contact"), m.start)));
            }
            _ => {}
        }
        if let Some(seconds) =
            m.header("Session-Expires").and_then(|v| v.split(';').next()?.parse::<u32>().ok())
            && seconds < 90
        {
            found.push((MIN_SE, format!("Session-Expires: {seconds} in {}", m.start)));
        }
        if tag(m, "To").is_empty() {
            if m.method() == "INVITE" {
                found.extend(crossing.hops(m));
                found.extend(crossing.breadth(m));
                self.trans.push(trans(By::Us, Some(at), m));
            }
            return;
        }
        let pending = self.trans.iter().any(|t| t.is_open() && t.within());
        let first_open = self.trans.iter().any(|t| t.is_open() && !t.within());
        let unacknowledged = self.trans.iter().any(|t| {
            t.by == By::Them
                && t.finals.iter().any(|f| f.status < 300 && !f.acknowledged && f.tag == tag(m, "From"))
        });
        let caller = self.by == By::Us;
        let Some(d) = self.dialog(&tag(m, "From"), &tag(m, "To")) else {
            return found.push((DIALOG, format!("{} to {:?}", m.start, m.header("To"))));
        };
        if !d.sent.insert((branch(m), m.method().to_owned())) {
            return;
        }
        let mut find = |law: Law, detail: String| found.push((law, format!("{detail} in {}", m.start)));
        let n = number(m);
        if d.number.is_some_and(|before| n != before + 1) {
            find(CSEQ, format!("{n} after {:?}", d.number));
        }
        d.number = Some(n);
        if d.ended.is_some() && m.method() != "NOTIFY" {
            find(ENDED, format!("{n} after the end"));
        }
        let (from, to) = (uri(m.header("From").unwrap_or_default()), uri(m.header("To").unwrap_or_default()));
        if (&from, &to) != (&d.our_uri, &d.their_uri) {
            find(URIS, format!("{from} and {to}, not {} and {}", d.our_uri, d.their_uri));
        }
        find_way(d, m, &mut find);
        match m.method() {
            "BYE" => {
                if !caller && !d.confirmed {
                    find(EARLY_BYE, "a BYE in an early dialog".into());
                }
                d.bye = true;
            }
            "INVITE" if pending || first_open || unacknowledged => {
                find(GLARE, "a second INVITE".into());
            }
            "PRACK" => {
                let named = m.header("RAck").and_then(|v| v.split(' ').next()?.parse::<u32>().ok());
                let known = named.is_some_and(|rseq| d.heard.contains(&rseq) && d.named.insert(rseq));
                if !known {
                    find(RACK, format!("{:?}, of {:?}", m.header("RAck"), d.heard));
                }
            }
            _ => {}
        }
        if matches!(m.method(), "INVITE" | "PRACK" | "UPDATE") {
            if m.method() != "PRACK" {
                d.talks.again();
            }
            found.extend(d.talks.take(By::Us, Carrier::Request, m));
            d.offers.insert(branch(m), description(m).is_some());
        }
        if m.method() == "INVITE" {
            self.trans.push(trans(By::Us, Some(at), m));
        }
    }

    fn ack_went(&mut self, m: &Sip, found: &mut Found) {
        let (ours, theirs) = (tag(m, "From"), tag(m, "To"));
        let mut find = |law: Law, detail: String| found.push((law, detail));
        let of = |t: &&mut Trans| t.by == By::Us && t.number == number(m);
        let Some(t) = self.trans.iter_mut().rfind(of) else {
            return find(ACK_FINAL, format!("{} with number {}", m.start, number(m)));
        };
        let offered = t.offered();
        let Some(last) = t.finals.iter_mut().find(|f| f.tag == theirs) else {
            return find(ACK_FINAL, format!("{} before a final response", m.start));
        };
        let first = !std::mem::replace(&mut last.acknowledged, true);
        if last.status >= 300 {
            // A phone that began anew may refuse once more, under another tag. The ACK is found by its branch (s17.2.3).
            t.finals.iter_mut().filter(|f| f.status >= 300).for_each(|f| f.acknowledged = true);
            let same = branch(m) == t.branch
                && request_uri(m) == request_uri(&t.request)
                && tag(&t.request, "From") == ours
                && m.lines("Route") == t.request.lines("Route");
            if !same {
                find(ACK_REFUSAL, format!("{} with branch {}", m.start, branch(m)));
            }
            return;
        }
        if branch(m) == t.branch {
            find(ACK_ANSWER, format!("{} in the transaction", m.start));
        }
        let Some(d) = self.dialog(&ours, &theirs) else { return };
        find_way(d, m, &mut |_, detail| find(ACK_ANSWER, detail));
        if first {
            found.extend(d.talks.take(By::Us, Carrier::Ack { offered }, m));
        }
    }

    fn cancel_went(&mut self, now: Time, m: &Sip, found: &mut Found) {
        let Some(at) = self.position(By::Us, m) else {
            return found.push((CANCEL_MATCHES, format!("{} of no INVITE", m.start)));
        };
        let t = &mut self.trans[at];
        let same = |name: &str| m.lines(name) == t.request.lines(name);
        let all = ["From", "To", "Call-ID", "Via", "Route"].into_iter().all(same);
        if !all || request_uri(m) != request_uri(&t.request) {
            found.push((CANCEL_MATCHES, format!("{} for {}", m.start, t.request.start)));
        }
        if t.cancel_sent.is_none() && (!t.provisional || !t.is_open()) {
            let state =
                if t.provisional { "after a final response" } else { "before a provisional response" };
            found.push((CANCEL_TIMELY, format!("{} {state}", m.start)));
        }
        t.cancel_sent.get_or_insert(now);
    }

    pub(super) fn response_went(&mut self, at: Time, m: &Sip, found: &mut Found) {
        let status = m.status().unwrap_or(0);
        let (ours, theirs) = (tag(m, "To"), tag(m, "From"));
        if m.method() != "INVITE" {
            let Some(d) = self.dialog(&ours, &theirs) else { return };
            if status < 200 {
                return;
            }
            if m.method() == "BYE" && status < 300 {
                d.ended.get_or_insert(at);
            }
            let Some(offered) = d.offers.remove(&branch(m)) else { return };
            match status {
                ..300 if matches!(m.method(), "PRACK" | "UPDATE") => {
                    found.extend(d.talks.take(By::Us, Carrier::Agrees { offered }, m));
                }
                300.. if offered && m.method() == "UPDATE" => d.talks.refused(m),
                _ => {}
            }
            return;
        }
        let Some(i) = self.position(By::Them, m) else { return };
        let t = &self.trans[i];
        let (within, offered, request) = (t.within(), t.offered(), t.request.clone());
        let repeated = t.finals.iter().any(|f| f.status == status);
        let mut find = |law: Law, detail: String| found.push((law, format!("{detail} in {}", m.start)));
        if status < 200 && !t.is_open() {
            find(PROVISIONAL_LAST, format!("after {}", t.finals[0].status));
        }
        if t.cancelled && status >= 200 && status != 487 && !repeated {
            find(CANCELLED, "after a CANCEL".into());
        }
        let makes = (101..300).contains(&status) && !ours.is_empty();
        if makes && m.lines("Contact").len() != 1 {
            find(CONTACT, format!("{:?}", m.lines("Contact")));
        }
        if makes && !within && m.values("Record-Route") != request.values("Record-Route") {
            find(RECORD_ROUTE, format!("{:?}", m.values("Record-Route")));
        }
        if status == 422 && m.header("Min-SE").and_then(|v| v.parse().ok()).is_none_or(|n: u32| n < 90) {
            find(MIN_SE, format!("Min-SE: {:?}", m.header("Min-SE")));
        }
        if status == 199 && !request.lists("Supported", "199") {
            find(LOST_TONE, "nobody asked".into());
        }
        if let Some(value) = m.header("Session-Expires")
            && param(value, "refresher") != Some("uas")
            && !request.lists("Supported", "timer")
        {
            find(TIMER_ASKED, format!("Session-Expires: {value}"));
        }
        match status {
            100 => {
                if !ours.is_empty() && !within {
                    find(BARE_100, format!("tag {ours}"));
                }
            }
            ..200 => self.provisional_went(i, m, found),
            200..300 => {
                self.seen(i, at, status, &ours);
                let Some(d) = self.dialog_for(i, m).and_then(|at| self.dialogs.get_mut(at)) else { return };
                d.confirmed = true;
                if within && !contact(&request).is_empty() {
                    d.target = contact(&request);
                }
                if !repeated {
                    found.extend(d.talks.take(By::Us, Carrier::Accepts { offered, first: !within }, m));
                }
            }
            _ => {
                self.seen(i, at, status, &ours);
                if let Some(d) = self.dialog(&ours, &theirs)
                    && within
                    && offered
                {
                    d.talks.refused(m);
                }
            }
        }
    }

    fn provisional_went(&mut self, i: usize, m: &Sip, found: &mut Found) {
        let request = self.trans[i].request.clone();
        let Some(d) = self.dialog_for(i, m).and_then(|at| self.dialogs.get_mut(at)) else { return };
        if !is_reliable(m) {
            found.extend(d.talks.take(By::Us, Carrier::Preview, m));
            return;
        }
        let mut find = |law: Law, detail: String| found.push((law, format!("{detail} in {}", m.start)));
        if !request.lists("Supported", "100rel") && !request.lists("Require", "100rel") {
            find(RELIABLE_ASKED, "nobody asked".into());
        }
        let Some(rseq) = m.header("RSeq").and_then(|v| v.parse::<u32>().ok()) else {
            return find(RSEQ, "no RSeq".into());
        };
        match d.rseq {
            // Repeated until its PRACK, and for an INVITE that comes again.
            Some((before, _)) if before == rseq => return,
            Some((before, true)) if before + 1 == rseq => {}
            None => {}
            Some(before) => find(RSEQ, format!("{rseq} after {before:?}")),
        }
        d.rseq = Some((rseq, false));
        found.extend(d.talks.take(By::Us, Carrier::Reliable, m));
    }
}

fn find_way(d: &Dialog, m: &Sip, find: &mut impl FnMut(Law, String)) {
    let routes: Vec<&str> = m.lines("Route").into_iter().flat_map(|v| split_list(v, ',')).collect();
    if request_uri(m) != d.target || routes != d.routes {
        find(TARGET, format!("{} by {routes:?}, not {} by {:?}", request_uri(m), d.target, d.routes));
    }
}
