//! The callee's side: what is said to INVITE, and what stops it. RFC 3261 s13.3, s14.2, s17.2.1, s9.2, RFC 6026 s7.

use super::{Call, Dialog, Direction, Ending, Phone, Reliable, Repeat, Side, State, Step, T1, T2};
use crate::Time;
use crate::message::{Sip, uri_of};
use crate::phone::call::media::Media;

use super::reliable::Held;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Phase {
    /// Nothing final was said.
    Proceeding,
    /// A 2xx waits for its ACK.
    Accepted,
    /// A refusal waits for its ACK.
    Completed,
    /// It came; repetitions are absorbed.
    Confirmed,
    Over,
}

/// A server transaction of INVITE.
#[derive(Clone, Debug)]
pub(super) struct Incoming {
    pub(super) request: Sip,
    /// The dialog, of a new session within one.
    pub(super) dialog: Option<usize>,
    /// The tags of the devices behind this address, by number; each has a dialog.
    pub(super) forks: Vec<(usize, usize)>,
    pub(super) held: Held,
    branch: String,
    sent_by: String,
    phase: Phase,
    said: Option<Vec<u8>>,
    repeat: Option<Repeat>,
    over_at: Option<Time>,
    /// The 2xx made the offer: the ACK has the answer.
    pub(super) offering: Option<usize>,
}

impl Incoming {
    fn new(request: Sip, dialog: Option<usize>) -> Incoming {
        let (branch, sent_by) = names(&request);
        Incoming {
            request,
            dialog,
            forks: Vec::new(),
            held: Held::default(),
            branch,
            sent_by,
            phase: Phase::Proceeding,
            said: None,
            repeat: None,
            over_at: None,
            offering: None,
        }
    }

    pub(super) fn is_open(&self) -> bool {
        matches!(self.phase, Phase::Proceeding | Phase::Accepted | Phase::Completed)
    }

    pub(super) fn is_unanswered(&self) -> bool {
        self.phase == Phase::Proceeding
    }

    pub(super) fn awaits_ack(&self) -> bool {
        self.phase == Phase::Accepted
    }

    pub(super) fn deadline(&self) -> Option<Time> {
        let repeat = self.repeat.as_ref().map(Repeat::deadline);
        repeat.into_iter().chain(self.over_at).chain(self.held.deadline()).min()
    }

    /// It had an offer.
    pub(super) fn offers(&self) -> bool {
        !self.request.body.is_empty()
    }
}

fn names(m: &Sip) -> (String, String) {
    let via = m.via();
    let sent_by = via.as_ref().map(|v| format!("{}:{:?}", v.host, v.port)).unwrap_or_default();
    (via.map(|v| v.branch().to_owned()).unwrap_or_default(), sent_by)
}

impl Phone {
    /// Answers a call now.
    pub fn answer(&mut self, now: Time, call: usize) {
        self.calls[call].script.clear();
        self.do_step(now, call, Step::Answer { fork: 0 });
    }

    /// Refuses a call now.
    pub fn refuse(&mut self, now: Time, call: usize, status: u16) {
        self.calls[call].script.clear();
        self.do_step(now, call, Step::Refuse(status));
    }

    /// Does something with a call now.
    pub fn say(&mut self, now: Time, call: usize, step: Step) {
        self.do_step(now, call, step);
    }

    fn incoming(&self, m: &Sip) -> Option<(usize, usize)> {
        let (branch, sent_by) = names(m);
        self.calls.iter().enumerate().find_map(|(call, c)| {
            let at = c.incoming.iter().position(|i| i.branch == branch && i.sent_by == sent_by);
            at.map(|at| (call, at))
        })
    }

    pub(in crate::phone) fn invited(&mut self, now: Time, m: &Sip) {
        if let Some((call, at)) = self.incoming(m) {
            // RFC 3261 s17.2.1: the last response again; RFC 6026 s7.1: nothing in Accepted.
            let incoming = &self.calls[call].incoming[at];
            if matches!(incoming.phase, Phase::Proceeding | Phase::Completed) {
                self.out.extend(incoming.said.clone());
            }
            return;
        }
        if m.header("To").is_some_and(|to| to.contains(";tag=")) {
            return self.invited_within(now, m);
        }
        if m.header("Contact").is_none() {
            self.flaws.push("an INVITE without Contact".into());
        }
        let busy = self.manners.one_call
            && self.calls.iter().any(|c| matches!(c.state, State::Talking | State::Ringing | State::Leaving));
        let replaced = match self.replaced_by(m) {
            Ok(replaced) => replaced,
            Err(status) => return self.turn_away(now, m, status),
        };
        let peer = m.header("From").map(|v| uri_of(v).to_owned()).unwrap_or_default();
        let call_id = m.header("Call-ID").unwrap_or_default().to_owned();
        let (tag, media) = (self.rng.word(), Media::new(&mut self.rng));
        let mut c = Call::new(Side::Callee, call_id, tag, peer, media);
        c.invite = Some(m.clone());
        c.incoming.push(Incoming::new(m.clone(), None));
        c.script = self.manners.script.iter().map(|(after, step)| (now + *after, step.clone())).collect();
        if !m.body.is_empty() {
            c.heard.push(String::from_utf8_lossy(&m.body).into_owned());
        }
        self.calls.push(c);
        let call = self.calls.len() - 1;
        let refusal = match () {
            () if self.manners.reliable == Reliable::Unknown && m.lists("Require", "100rel") => Some(420),
            () if self.session_too_brief(m) => Some(422),
            () if busy && replaced.is_none() => Some(486),
            () => None,
        };
        if let Some(status) = refusal {
            self.calls[call].script.clear();
            return self.do_step(now, call, Step::Refuse(status));
        }
        if let Some(old) = replaced {
            // RFC 3891 s3: it takes the place of the other call.
            self.calls[call].script.clear();
            self.do_step(now, call, Step::Answer { fork: 0 });
            return self.hang_up(now, old);
        }
        self.wake_calls(now);
    }

    fn turn_away(&mut self, now: Time, m: &Sip, status: u16) {
        let peer = m.header("From").map(|v| uri_of(v).to_owned()).unwrap_or_default();
        let call_id = m.header("Call-ID").unwrap_or_default().to_owned();
        let (tag, media) = (self.rng.word(), Media::new(&mut self.rng));
        let mut c = Call::new(Side::Callee, call_id, tag, peer, media);
        c.incoming.push(Incoming::new(m.clone(), None));
        self.calls.push(c);
        let call = self.calls.len() - 1;
        self.do_step(now, call, Step::Refuse(status));
    }

    /// One step of the script.
    pub(super) fn do_step(&mut self, now: Time, call: usize, step: Step) {
        match step {
            Step::Vanish => return self.power_off(),
            Step::HangUp => return self.hang_up(now, call),
            _ => {}
        }
        let c = &mut self.calls[call];
        let first = c.incoming.iter().position(|i| i.dialog.is_none() && i.phase == Phase::Proceeding);
        let Some(at) = first else { return };
        // RFC 3262 s3: what follows a reliable response waits for its PRACK.
        if c.incoming[at].held.holds(&step) {
            return c.incoming[at].held.queue.push_back(step);
        }
        match step {
            Step::Trying => {
                let m = respond(&self.calls[call].incoming[at].request, 100);
                self.say_provisional(call, at, &m);
            }
            Step::Early { status, fork, media } => self.say_early(now, call, at, status, fork, media),
            Step::Answer { fork } => self.say_answer(now, call, at, fork),
            Step::Refuse(status) => self.say_refusal(now, call, at, status, None),
            Step::Redirect(uri) => self.say_refusal(now, call, at, 302, Some(uri)),
            Step::HangUp | Step::Vanish => {}
        }
    }

    pub(super) fn say_provisional(&mut self, call: usize, at: usize, m: &Sip) {
        let bytes = m.write();
        let c = &mut self.calls[call];
        c.statuses.push(m.status().unwrap_or(0));
        c.incoming[at].said = Some(bytes.clone());
        self.out.push_back(bytes);
    }

    /// The dialog of one of the devices behind this address.
    pub(super) fn fork(&mut self, call: usize, at: usize, fork: usize) -> usize {
        let cseq = self.rng.below(1000) as u32;
        let c = &mut self.calls[call];
        if let Some((_, dialog)) = c.incoming[at].forks.iter().find(|(f, _)| *f == fork) {
            return *dialog;
        }
        let tag = if fork == 0 { c.tag.clone() } else { format!("{}{fork}", c.tag) };
        c.dialogs.push(Dialog::from_request(&c.incoming[at].request, tag, cseq));
        let dialog = c.dialogs.len() - 1;
        c.incoming[at].forks.push((fork, dialog));
        dialog
    }

    /// A response that makes a dialog, or is within one (RFC 3261 s12.1.1).
    pub(super) fn dialog_response(&self, call: usize, at: usize, dialog: usize, status: u16) -> Sip {
        let c = &self.calls[call];
        let request = &c.incoming[at].request;
        let mut m = respond(request, status);
        if !request.header("To").unwrap_or_default().contains(";tag=") {
            let to =
                format!("{};tag={}", request.header("To").unwrap_or_default(), c.dialogs[dialog].local_tag);
            m.set("To", to);
        }
        for route in request.lines("Record-Route") {
            m.push("Record-Route", route);
        }
        self.add_abilities(&mut m);
        m
    }

    fn say_early(&mut self, now: Time, call: usize, at: usize, status: u16, fork: usize, media: bool) {
        let dialog = self.fork(call, at, fork);
        let mut m = self.dialog_response(call, at, dialog, status);
        if media {
            self.describe(call, at, dialog, &mut m);
        }
        if self.calls[call].state == State::Trying {
            self.calls[call].state = State::Ringing;
        }
        if self.wants_reliable(call, at) {
            return self.say_reliably(now, call, at, dialog, m);
        }
        self.say_provisional(call, at, &m);
    }

    /// Adds the answer to the offer of the INVITE, or an offer if it had none.
    pub(super) fn describe(&mut self, call: usize, at: usize, dialog: usize, m: &mut Sip) {
        let (user, addr) = (self.user.clone(), self.addr);
        let c = &mut self.calls[call];
        let incoming = &c.incoming[at];
        // A reliable response had it.
        if c.dialogs[dialog].agreed && incoming.dialog.is_none() {
            return;
        }
        let sdp = if incoming.offers() {
            let offer = String::from_utf8_lossy(&incoming.request.body).into_owned();
            c.media.answer(&user, addr, &offer)
        } else {
            let direction = if incoming.dialog.is_some() { c.media.direction } else { Direction::SendRecv };
            c.media.say(&user, addr, direction)
        };
        m.push("Content-Type", "application/sdp");
        m.body = sdp.into_bytes();
    }

    pub(super) fn say_answer(&mut self, now: Time, call: usize, at: usize, fork: usize) {
        let within = self.calls[call].incoming[at].dialog;
        let dialog = within.unwrap_or_else(|| self.fork(call, at, fork));
        let mut m = self.dialog_response(call, at, dialog, 200);
        self.describe(call, at, dialog, &mut m);
        self.grant_session(now, call, at, &mut m);
        let bytes = m.write();
        let c = &mut self.calls[call];
        let incoming = &mut c.incoming[at];
        incoming.phase = Phase::Accepted;
        incoming.said = Some(bytes.clone());
        // RFC 3261 s13.3.1.4: until the ACK comes, on any transport.
        incoming.repeat = Some(Repeat::new(now, bytes.clone(), T2));
        if !incoming.offers() && !m.body.is_empty() {
            incoming.offering = Some(dialog);
            c.dialogs[dialog].offering = true;
        }
        c.dialogs[dialog].confirmed = true;
        c.dialogs[dialog].agreed = true;
        if within.is_none() {
            c.statuses.push(200);
            (c.state, c.talking) = (State::Talking, Some(dialog));
        }
        self.out.push_back(bytes);
    }

    pub(super) fn say_refusal(
        &mut self,
        now: Time,
        call: usize,
        at: usize,
        status: u16,
        contact: Option<String>,
    ) {
        let stream = self.habits.via.is_stream();
        let min_se = self.manners.min_se;
        let c = &mut self.calls[call];
        let incoming = &mut c.incoming[at];
        let mut m = respond(&incoming.request, status);
        let to = m.header("To").unwrap_or_default().to_owned();
        if !to.contains(";tag=") {
            m.set("To", format!("{to};tag={}", c.tag));
        }
        if let Some(contact) = contact {
            m.push("Contact", format!("<{contact}>"));
        }
        match status {
            420 => m.push("Unsupported", "100rel"),
            422 => m.push("Min-SE", min_se.to_string()),
            500 => m.push("Retry-After", "5"),
            _ => &mut m,
        };
        let bytes = m.write();
        incoming.phase = Phase::Completed;
        incoming.held = Held::default();
        incoming.said = Some(bytes.clone());
        let repeat = Repeat::new(now, bytes.clone(), T2);
        incoming.over_at = Some(repeat.end);
        incoming.repeat = (!stream).then_some(repeat);
        if incoming.dialog.is_none() {
            c.statuses.push(status);
            let ending = if status == 487 { Ending::Cancelled } else { Ending::Refused(status) };
            c.over(now, ending);
        }
        self.out.push_back(bytes);
    }

    pub(super) fn wake_incoming(&mut self, now: Time, call: usize) {
        for at in 0..self.calls[call].incoming.len() {
            self.wake_reliable(now, call, at);
            let incoming = &mut self.calls[call].incoming[at];
            let again = incoming.repeat.as_mut().and_then(|r| r.due(now));
            self.out.extend(again);
            let lost = incoming.repeat.as_ref().is_some_and(|r| r.is_over(now));
            if incoming.over_at.is_some_and(|at| at <= now) {
                incoming.phase = Phase::Over;
            } else if lost && incoming.phase == Phase::Accepted {
                // RFC 3261 s13.3.1.4: no ACK: the dialog is confirmed, but the session is ended.
                incoming.repeat = None;
                incoming.phase = Phase::Over;
                let c = &mut self.calls[call];
                if !matches!(c.state, State::Over | State::Leaving) {
                    c.ending.get_or_insert(Ending::Lost("no ACK"));
                    self.send_byes(now, call);
                }
            }
        }
        self.calls[call].incoming.retain(|i| i.phase != Phase::Over);
    }

    pub(in crate::phone) fn acknowledged(&mut self, now: Time, m: &Sip) {
        let stream = self.habits.via.is_stream();
        if let Some((call, at)) = self.incoming(m) {
            let incoming = &mut self.calls[call].incoming[at];
            match incoming.phase {
                Phase::Completed => {
                    incoming.phase = Phase::Confirmed;
                    incoming.repeat = None;
                    // RFC 3261 s17.2.1: Timer I.
                    let linger = if stream { std::time::Duration::ZERO } else { 10 * T1 };
                    incoming.over_at = Some(now + linger);
                }
                Phase::Accepted => self.flaws.push("an ACK to a 2xx in the transaction of its INVITE".into()),
                _ => {}
            }
            return;
        }
        let Some((call, dialog)) = self.any_dialog_of(m) else { return };
        let c = &mut self.calls[call];
        let number = m.cseq().map_or(0, |(n, _)| n);
        let of =
            |i: &Incoming| i.phase == Phase::Accepted && i.request.cseq().map(|(n, _)| n) == Some(number);
        let Some(at) = c.incoming.iter().position(of) else { return };
        let incoming = &mut c.incoming[at];
        incoming.phase = Phase::Confirmed;
        incoming.repeat = None;
        incoming.over_at = Some(now + 64 * T1);
        match (incoming.offering.take(), m.body.is_empty()) {
            (Some(_), true) => self.flaws.push("an ACK without the answer".into()),
            (None, false) => self.flaws.push("an ACK with a session description nobody asked for".into()),
            (Some(_), false) => c.heard.push(String::from_utf8_lossy(&m.body).into_owned()),
            (None, true) => {}
        }
        let c = &mut self.calls[call];
        c.dialogs[dialog].offering = false;
        if c.leave_when_acknowledged {
            c.leave_when_acknowledged = false;
            self.send_byes(now, call);
        }
    }

    /// CANCEL: what is said to it (RFC 3261 s9.2).
    pub(in crate::phone) fn cancelled(&mut self, now: Time, m: &Sip) -> Sip {
        let Some((call, at)) = self.incoming(m) else { return tagged(respond(m, 481), &self.rng.word()) };
        let mut answer = respond(m, 200);
        let to = format!("{};tag={}", m.header("To").unwrap_or_default(), self.calls[call].tag);
        if !m.header("To").unwrap_or_default().contains(";tag=") {
            answer.set("To", to);
        }
        let c = &mut self.calls[call];
        c.asked.push(("CANCEL".into(), 200));
        if c.incoming[at].phase == Phase::Proceeding && self.manners.minds_cancel {
            self.say_refusal(now, call, at, 487, None);
        }
        answer
    }

    pub(super) fn accept_within(&mut self, now: Time, call: usize, dialog: usize, m: &Sip) {
        self.calls[call].incoming.push(Incoming::new(m.clone(), Some(dialog)));
        let at = self.calls[call].incoming.len() - 1;
        self.say_answer(now, call, at, 0);
    }

    pub(super) fn refuse_within(&mut self, now: Time, call: usize, dialog: usize, m: &Sip, status: u16) {
        self.calls[call].incoming.push(Incoming::new(m.clone(), Some(dialog)));
        let at = self.calls[call].incoming.len() - 1;
        self.say_refusal(now, call, at, status, None);
    }

    /// RFC 3261 s15.1.2: BYE ends what is pending.
    pub(super) fn end_incoming(&mut self, now: Time, call: usize) {
        for at in 0..self.calls[call].incoming.len() {
            match self.calls[call].incoming[at].phase {
                Phase::Proceeding => self.say_refusal(now, call, at, 487, None),
                Phase::Accepted => {
                    let incoming = &mut self.calls[call].incoming[at];
                    incoming.repeat = None;
                    incoming.phase = Phase::Confirmed;
                    incoming.over_at = Some(now + 64 * T1);
                }
                _ => {}
            }
        }
    }
}

/// A response with what is copied from its request (RFC 3261 s8.2.6.2).
pub(super) fn respond(request: &Sip, status: u16) -> Sip {
    let phrase = match status {
        100 => "Trying",
        180 => "Ringing",
        181 => "Call Is Being Forwarded",
        182 => "Queued",
        183 => "Session Progress",
        200 => "OK",
        202 => "Accepted",
        302 => "Moved Temporarily",
        404 => "Not Found",
        420 => "Bad Extension",
        422 => "Session Interval Too Small",
        480 => "Temporarily Unavailable",
        481 => "Call/Transaction Does Not Exist",
        486 => "Busy Here",
        487 => "Request Terminated",
        488 => "Not Acceptable Here",
        491 => "Request Pending",
        500 => "Server Internal Error",
        503 => "Service Unavailable",
        600 => "Busy Everywhere",
        603 => "Decline",
        _ => "Said So",
    };
    let mut m = Sip::new(format!("SIP/2.0 {status} {phrase}"));
    for name in ["Via", "From", "To", "Call-ID", "CSeq"] {
        for value in request.lines(name) {
            m.push(name, value);
        }
    }
    m
}

/// With a tag, unless it has one.
pub(super) fn tagged(mut m: Sip, tag: &str) -> Sip {
    let to = m.header("To").unwrap_or_default().to_owned();
    if !to.contains(";tag=") {
        m.set("To", format!("{to};tag={tag}"));
    }
    m
}
