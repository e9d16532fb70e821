//! What comes to the engine within calls: taken as it is, since it is not ours to judge.

use super::offer::{By, Carrier, description};
use super::{Last, Leg, Time, Trans, branch, contact, is_reliable, number, tag, trans};
use crate::message::Sip;
use crate::phone::T1;

impl Leg {
    pub(super) fn request_came(&mut self, m: &Sip) {
        let (ours, theirs) = (tag(m, "To"), tag(m, "From"));
        let method = m.method();
        match method {
            "INVITE" => {
                if self.position(By::Them, m).is_none() {
                    self.trans.push(trans(By::Them, None, m));
                    let Some(d) = self.dialog(&ours, &theirs) else { return };
                    d.talks.again();
                    d.talks.take(By::Them, Carrier::Request, m);
                }
            }
            "ACK" => {
                let n = number(m);
                let of = |t: &&mut Trans| t.by == By::Them && t.number == n;
                let Some(t) = self.trans.iter_mut().find(of) else { return };
                let fresh = t.finals.iter().any(|f| f.tag == ours && !f.acknowledged);
                t.finals.iter_mut().filter(|f| f.tag == ours).for_each(|f| f.acknowledged = true);
                let accepted = t.finals.iter().any(|f| f.tag == ours && f.status < 300);
                let offered = t.offered();
                if accepted
                    && fresh
                    && let Some(d) = self.dialog(&ours, &theirs)
                {
                    d.talks.take(By::Them, Carrier::Ack { offered }, m);
                }
            }
            "CANCEL" => {
                if let Some(at) = self.position(By::Them, m) {
                    let t = &mut self.trans[at];
                    t.cancelled |= t.is_open();
                }
            }
            _ => {
                let Some(d) = self.dialog(&ours, &theirs) else { return };
                if !d.came.insert(branch(m)) {
                    return;
                }
                d.offers.insert(branch(m), description(m).is_some());
                match method {
                    "BYE" => d.bye = true,
                    "PRACK" => {
                        let named = m.header("RAck").and_then(|v| v.split(' ').next()?.parse::<u32>().ok());
                        if let (Some((rseq, done)), Some(named)) = (&mut d.rseq, named) {
                            *done |= *rseq == named;
                        }
                        d.talks.take(By::Them, Carrier::Request, m);
                    }
                    "UPDATE" => {
                        d.talks.again();
                        d.talks.take(By::Them, Carrier::Request, m);
                        if !contact(m).is_empty() {
                            d.target = contact(m);
                        }
                    }
                    _ => {}
                }
            }
        }
    }

    pub(super) fn response_came(&mut self, at: Time, m: &Sip) {
        let (ours, theirs) = (tag(m, "From"), tag(m, "To"));
        let status = m.status().unwrap_or(0);
        if m.method() != "INVITE" {
            let called = self.by == By::Them;
            let Some(d) = self.dialog(&ours, &theirs) else { return };
            if status < 200 || !d.sent.contains(&(branch(m), m.method().to_owned())) {
                return;
            }
            // RFC 3261 s12.1.2: the caller has a dialog when a response has come, and what came before the 2xx may be lost.
            let unknown = called && !d.confirmed;
            if m.method() == "BYE" || matches!(status, 481 | 408) && m.method() != "NOTIFY" && !unknown {
                d.ended.get_or_insert(at);
            }
            let Some(offered) = d.offers.remove(&branch(m)) else { return };
            match status {
                ..300 => drop(d.talks.take(By::Them, Carrier::Agrees { offered }, m)),
                _ if offered => d.talks.refused(m),
                _ => {}
            }
            return;
        }
        let Some(i) = self.position(By::Us, m) else { return };
        let (within, offered) = (self.trans[i].within(), self.trans[i].offered());
        let before = self.trans[i].finals.iter().any(|f| f.tag == theirs && f.status == status);
        match status {
            ..200 => {
                self.trans[i].provisional = true;
                if theirs.is_empty() || status == 100 {
                    return;
                }
                let Some(d) = self.dialog_for(i, m).and_then(|at| self.dialogs.get_mut(at)) else { return };
                if !contact(m).is_empty() {
                    d.target = contact(m);
                }
                let rseq = m.header("RSeq").and_then(|v| v.parse().ok());
                let carrier = if is_reliable(m) { Carrier::Reliable } else { Carrier::Preview };
                if rseq.is_none_or(|rseq| d.heard.insert(rseq)) {
                    d.talks.take(By::Them, carrier, m);
                }
            }
            200..300 => {
                self.seen(i, at, status, &theirs);
                let Some(d) = self.dialog_for(i, m).and_then(|at| self.dialogs.get_mut(at)) else { return };
                if !contact(m).is_empty() {
                    d.target = contact(m);
                }
                if !d.confirmed {
                    d.routes = m.values("Record-Route").into_iter().map(str::to_owned).collect();
                    d.routes.reverse();
                }
                d.confirmed = true;
                if !before {
                    d.talks.take(By::Them, Carrier::Accepts { offered, first: !within }, m);
                }
            }
            // RFC 6026 s7.2: only a 2xx means anything behind a 2xx. So says a phone that began anew meanwhile.
            // It has no transaction.
            _ if self.trans[i].has_timed_out(at) => {}
            _ if self.trans[i].finals.iter().any(|f| f.tag == theirs && f.status < 300) => {}
            _ => {
                self.seen(i, at, status, &theirs);
                let Some(d) = self.dialog(&ours, &theirs) else { return };
                if within && offered {
                    d.talks.refused(m);
                }
                if within && matches!(status, 481 | 408) {
                    d.ended.get_or_insert(at);
                }
            }
        }
    }

    pub(super) fn seen(&mut self, i: usize, at: Time, status: u16, tag: &str) {
        // RFC 3261 s9.1: 64*T1 after its CANCEL nobody waits for it.
        let given_up = self.trans[i].cancel_sent.is_some_and(|since| at.since(since) >= 64 * T1);
        let ours = self.trans[i].by == By::Us;
        let finals = &mut self.trans[i].finals;
        // RFC 3261 s17.2.1: whoever has refused has said all that there is to say; s17.1.1.2: and that completes it.
        let refused = ours && status < 300 && finals.iter().any(|f| f.tag == tag && f.status >= 300);
        let acknowledged = given_up || refused;
        match finals.iter_mut().find(|f| f.tag == tag && f.status == status) {
            Some(f) => f.times += 1,
            None => finals.push(Last { status, tag: tag.into(), at, times: 1, acknowledged }),
        }
    }
}
