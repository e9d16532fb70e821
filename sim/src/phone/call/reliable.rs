//! Reliable provisional responses, both sides: RFC 3262.

use std::collections::VecDeque;

use super::callee::{respond, tagged};
use super::{Phone, Reliable, Repeat, Step, T1};
use crate::Time;
use crate::message::Sip;

/// A reliable response that waits for its PRACK, and what waits behind it.
#[derive(Clone, Debug, Default)]
pub(super) struct Held {
    pub(super) queue: VecDeque<Step>,
    outstanding: Option<Outstanding>,
}

#[derive(Clone, Debug)]
struct Outstanding {
    rseq: u32,
    dialog: usize,
    offers: bool,
    repeat: Repeat,
}

impl Held {
    /// True if this step has to wait (RFC 3262 s3): a refusal never does.
    pub(super) fn holds(&self, step: &Step) -> bool {
        self.outstanding.is_some() && matches!(step, Step::Early { .. } | Step::Answer { .. })
    }

    pub(super) fn deadline(&self) -> Option<Time> {
        self.outstanding.as_ref().map(|o| o.repeat.deadline())
    }
}

impl Phone {
    pub(super) fn wants_reliable(&self, call: usize, at: usize) -> bool {
        let request = &self.calls[call].incoming[at].request;
        let (supported, required) =
            (request.lists("Supported", "100rel"), request.lists("Require", "100rel"));
        match self.manners.reliable {
            Reliable::Unknown => false,
            Reliable::Supported => required,
            Reliable::Required => supported || required,
        }
    }

    pub(super) fn say_reliably(&mut self, now: Time, call: usize, at: usize, dialog: usize, mut m: Sip) {
        let first = 1 + self.rng.below(1000) as u32;
        let d = &mut self.calls[call].dialogs[dialog];
        let rseq = d.rseq.map_or(first, |before| before + 1);
        d.rseq = Some(rseq);
        m.push("Require", "100rel").push("RSeq", rseq.to_string());
        let c = &mut self.calls[call];
        let described = !m.body.is_empty();
        let offers = described && !c.incoming[at].offers();
        c.dialogs[dialog].agreed |= described;
        // RFC 3262 s3: the interval doubles, without an upper bound but the end.
        let repeat = Repeat::new(now, m.write(), 64 * T1);
        c.incoming[at].held.outstanding = Some(Outstanding { rseq, dialog, offers, repeat });
        self.say_provisional(call, at, &m);
    }

    pub(super) fn wake_reliable(&mut self, now: Time, call: usize, at: usize) {
        let Some(outstanding) = &mut self.calls[call].incoming[at].held.outstanding else { return };
        let again = outstanding.repeat.due(now);
        let lost = outstanding.repeat.is_over(now);
        self.out.extend(again);
        if lost {
            self.calls[call].incoming[at].held.outstanding = None;
            self.say_refusal(now, call, at, 504, None);
        }
    }

    /// PRACK has come: what is said to it.
    pub(super) fn pracked(&mut self, now: Time, call: usize, dialog: usize, m: &Sip) -> Sip {
        let (user, addr) = (self.user.clone(), self.addr);
        let c = &mut self.calls[call];
        let named = m.header("RAck").unwrap_or_default().split_whitespace().collect::<Vec<_>>();
        let at = c.incoming.iter().position(|i| {
            let number = i.request.cseq().map(|(n, _)| n.to_string()).unwrap_or_default();
            let is = |o: &Outstanding| {
                o.dialog == dialog && named == [o.rseq.to_string(), number.clone(), "INVITE".to_owned()]
            };
            i.held.outstanding.as_ref().is_some_and(is)
        });
        let Some(at) = at else {
            return tagged(respond(m, 481), "x");
        };
        let mut answer = respond(m, 200);
        let offered = c.incoming[at].held.outstanding.take().is_some_and(|o| o.offers);
        let sdp = String::from_utf8_lossy(&m.body).into_owned();
        match (offered, sdp.is_empty()) {
            (true, true) => self.flaws.push("a PRACK without the answer".into()),
            (true, false) => c.heard.push(sdp),
            (false, true) => {}
            // RFC 3262 s5: another exchange.
            (false, false) => {
                answer.push("Content-Type", "application/sdp");
                answer.body = c.media.answer(&user, addr, &sdp).into_bytes();
                c.heard.push(sdp);
            }
        }
        let mut waiting = std::mem::take(&mut self.calls[call].incoming[at].held.queue);
        while let Some(step) = waiting.pop_front() {
            self.do_step(now, call, step);
        }
        answer
    }

    /// A provisional response within a dialog: acknowledged if it is reliable and next in order (RFC 3262 s4).
    pub(super) fn provisional_within(&mut self, now: Time, call: usize, i: usize, dialog: usize, m: &Sip) {
        let (user, addr) = (self.user.clone(), self.addr);
        let described = !m.body.is_empty();
        let (cseq, offered) = self.calls[call].initial(i);
        let sdp = String::from_utf8_lossy(&m.body).into_owned();
        if !m.lists("Require", "100rel") {
            if described {
                self.calls[call].heard.push(sdp);
            }
            return;
        }
        if self.manners.reliable == Reliable::Unknown {
            self.flaws.push(format!("a reliable response nobody asked for: {}", m.start));
            return;
        }
        let Some(rseq) = m.header("RSeq").and_then(|v| v.parse::<u32>().ok()) else {
            self.flaws.push(format!("no RSeq in {}", m.start));
            return;
        };
        let c = &mut self.calls[call];
        let d = &mut c.dialogs[dialog];
        if d.rseq.is_some_and(|before| rseq != before + 1) {
            return;
        }
        d.rseq = Some(rseq);
        let answers = described && !offered && !d.agreed;
        d.agreed |= described;
        if described {
            c.heard.push(sdp.clone());
        }
        let mut prack = self.within(call, dialog, "PRACK");
        prack.push("RAck", format!("{rseq} {cseq} INVITE"));
        if answers {
            prack.push("Content-Type", "application/sdp");
            prack.body = self.calls[call].media.answer(&user, addr, &sdp).into_bytes();
        }
        self.send_within(now, call, dialog, &prack);
    }
}
