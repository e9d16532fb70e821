//! What passes within a dialog: BYE, new sessions (re-INVITE, UPDATE), INFO, REFER with its NOTIFYs, Replaces.
//! RFC 3261 s12.2, s14, s15, RFC 3311, RFC 6086, RFC 3515, RFC 3891.

use std::time::Duration;

use super::callee::{Incoming, respond, tagged};
use super::caller::Invite;
use super::{Call, Dialog, Direction, Ending, Phone, Side, State};
use crate::Time;
use crate::message::{Sip, param};

/// A request within a dialog that waits for its final response.
#[derive(Clone, Debug)]
pub(super) struct Pending {
    branch: String,
    method: String,
    dialog: usize,
    offered: bool,
}

impl Phone {
    /// Puts the other side on hold.
    pub fn hold(&mut self, now: Time, call: usize) {
        self.change(now, call, Direction::SendOnly);
    }

    /// Takes the other side back.
    pub fn resume(&mut self, now: Time, call: usize) {
        self.change(now, call, Direction::SendRecv);
    }

    /// Offers a new session by re-INVITE.
    pub fn change(&mut self, now: Time, call: usize, direction: Direction) {
        self.calls[call].wanted = direction;
        self.send_change(now, call);
    }

    /// Offers a new session by UPDATE; in an early dialog too.
    pub fn update(&mut self, now: Time, call: usize, direction: Direction) {
        let (user, addr) = (self.user.clone(), self.addr);
        let dialog = self.calls[call].talking.unwrap_or(0);
        // RFC 3311 s5.1: one offer at a time.
        if self.calls[call].dialogs.get(dialog).is_some_and(|d| d.offering) {
            return;
        }
        let mut m = self.within(call, dialog, "UPDATE");
        self.add_abilities(&mut m);
        m.push("Content-Type", "application/sdp");
        m.body = self.calls[call].media.say(&user, addr, direction).into_bytes();
        self.calls[call].dialogs[dialog].offering = true;
        self.send_within(now, call, dialog, &m);
    }

    /// Sends a tone by INFO.
    pub fn info(&mut self, now: Time, call: usize, tone: &str) {
        let body = format!("Signal={tone}\r\nDuration=100\r\n");
        self.ask_within(now, call, "INFO", &[("Content-Type", "application/dtmf-relay")], &body);
    }

    /// Sends any request within the dialog of a call.
    pub fn ask_within(&mut self, now: Time, call: usize, method: &str, headers: &[(&str, &str)], body: &str) {
        let dialog = self.calls[call].talking.unwrap_or(0);
        let mut m = self.within(call, dialog, method);
        for (name, value) in headers {
            m.set(name, *value);
        }
        m.body = body.as_bytes().to_vec();
        self.send_within(now, call, dialog, &m);
    }

    /// Transfers the other side of a call to somebody (RFC 3515).
    pub fn refer(&mut self, now: Time, call: usize, uri: &str) {
        let by = format!("<{}>", self.aor());
        let contact = format!("<{}>", self.contact());
        let headers = [("Refer-To", &*format!("<{uri}>")), ("Referred-By", &by), ("Contact", &contact)];
        self.ask_within(now, call, "REFER", &headers, "");
    }

    /// Transfers the other side of a call to the other side of another one (RFC 3891 s4).
    pub fn refer_to_call(&mut self, now: Time, call: usize, other: usize) {
        let c = &self.calls[other];
        let Some(d) = c.dialog() else { return };
        let replaces = format!("{};to-tag={};from-tag={}", c.call_id, d.remote_tag, d.local_tag);
        let escaped =
            replaces.replace('@', "%40").replace(';', "%3B").replace('=', "%3D").replace(':', "%3A");
        let target = format!("{}?Replaces={escaped}", d.target);
        self.refer(now, call, &target);
    }

    /// Says BYE now, whatever is right.
    pub fn bye(&mut self, now: Time, call: usize) {
        self.send_byes(now, call);
    }

    /// The dialog that a request is of, unless it is over.
    pub(super) fn dialog_of(&self, m: &Sip) -> Option<(usize, usize)> {
        self.any_dialog_of(m).filter(|(call, at)| !self.calls[*call].dialogs[*at].over)
    }

    /// The same, whether it is over or not: what was answered is acknowledged all the same.
    pub(super) fn any_dialog_of(&self, m: &Sip) -> Option<(usize, usize)> {
        let id = m.header("Call-ID").unwrap_or_default();
        self.calls.iter().enumerate().find_map(|(call, c)| {
            let at = c.dialogs.iter().position(|d| d.is_of(m))?;
            (c.call_id == id).then_some((call, at))
        })
    }

    /// RFC 3261 s12.2.1.1.
    pub(super) fn within(&mut self, call: usize, dialog: usize, method: &str) -> Sip {
        let d = &mut self.calls[call].dialogs[dialog];
        d.cseq += 1;
        let cseq = d.cseq;
        self.within_with(call, dialog, method, cseq)
    }

    pub(super) fn within_with(&mut self, call: usize, dialog: usize, method: &str, cseq: u32) -> Sip {
        let d = self.calls[call].dialogs[dialog].clone();
        let call_id = self.calls[call].call_id.clone();
        let mut m = self.draft(method, &d.target, &d.remote);
        m.set("From", format!("{};tag={}", d.local, d.local_tag));
        m.set("To", format!("{};tag={}", d.remote, d.remote_tag));
        m.push("Call-ID", call_id).push("CSeq", format!("{cseq} {method}"));
        for route in &d.routes {
            m.push("Route", route.as_str());
        }
        m
    }

    pub(super) fn send_within(&mut self, now: Time, call: usize, dialog: usize, m: &Sip) {
        let method = m.method().to_owned();
        let branch = self.start(now, &method, m);
        let offered = method == "UPDATE" && !m.body.is_empty();
        self.calls[call].pending.push(Pending { branch, method, dialog, offered });
    }

    pub(super) fn send_bye(&mut self, now: Time, call: usize, dialog: usize) {
        let c = &self.calls[call];
        let sent = c.pending.iter().any(|p| p.dialog == dialog && p.method == "BYE");
        if c.dialogs[dialog].over || sent {
            return;
        }
        let m = self.within(call, dialog, "BYE");
        self.send_within(now, call, dialog, &m);
    }

    pub(super) fn send_byes(&mut self, now: Time, call: usize) {
        let c = &mut self.calls[call];
        c.session.stop();
        c.change_at = None;
        let open: Vec<usize> =
            (0..c.dialogs.len()).filter(|d| c.dialogs[*d].confirmed && !c.dialogs[*d].over).collect();
        if open.is_empty() {
            return c.over(now, Ending::HungUp);
        }
        c.state = State::Leaving;
        open.into_iter().for_each(|dialog| self.send_bye(now, call, dialog));
    }

    /// Says BYE as soon as it may: RFC 3261 s15: the callee does not before the ACK.
    pub(super) fn leave(&mut self, now: Time, call: usize) {
        let c = &mut self.calls[call];
        match c.side == Side::Callee && c.incoming.iter().any(Incoming::awaits_ack) {
            true => c.leave_when_acknowledged = true,
            false => self.send_byes(now, call),
        }
    }

    /// Offers the session that is wanted, when nothing else is under way (RFC 3261 s14.1).
    pub(super) fn send_change(&mut self, now: Time, call: usize) {
        let (user, addr) = (self.user.clone(), self.addr);
        let c = &mut self.calls[call];
        let Some(dialog) = c.talking.filter(|_| c.state == State::Talking) else { return };
        if c.invites.iter().any(Invite::is_open)
            || c.incoming.iter().any(|i| i.is_unanswered() || i.awaits_ack())
        {
            c.change_at = Some(now + Duration::from_secs(1));
            return;
        }
        let direction = c.wanted;
        let mut m = self.within(call, dialog, "INVITE");
        self.add_abilities(&mut m);
        self.add_refresh(&mut m);
        m.push("Content-Type", "application/sdp");
        m.body = self.calls[call].media.say(&user, addr, direction).into_bytes();
        self.open_invite(now, call, Some(dialog), m, true);
    }

    /// A new session within the call was answered.
    pub(super) fn changed(
        &mut self,
        now: Time,
        call: usize,
        dialog: usize,
        method: &str,
        status: u16,
        m: Option<&Sip>,
    ) {
        let own = self.calls[call].owns_call_id();
        // RFC 3261 s14.1: who made the Call-ID waits longer, so that the two do not meet again.
        let wait = if own { 2_100 + self.rng.below(190) * 10 } else { self.rng.below(200) * 10 };
        let c = &mut self.calls[call];
        c.told.push((method.to_owned(), status));
        c.dialogs[dialog].offering = false;
        match (status, m) {
            (200..300, Some(m)) => self.session_agreed(now, call, m),
            (491, _) if c.state == State::Talking && matches!(method, "INVITE" | "UPDATE") => {
                c.change_at = Some(now + Duration::from_millis(wait))
            }
            // RFC 3261 s12.2.1.2: there is no such dialog any more; RFC 5057 s5.1: or no such subscription in it.
            (408 | 481, _) if c.state == State::Talking && method != "NOTIFY" => {
                c.ending = Some(Ending::Lost("no such dialog"));
                self.leave(now, call);
            }
            (401 | 407, _) => self.flaws.push(format!("{method} within a dialog is challenged")),
            _ => {}
        }
    }

    /// A request within a dialog has its final response. False if it is not of a call.
    pub(in crate::phone) fn within_answered(
        &mut self,
        now: Time,
        branch: &str,
        method: &str,
        status: u16,
        m: Option<&Sip>,
    ) -> bool {
        let found = self.calls.iter().enumerate().find_map(|(call, c)| {
            c.pending.iter().position(|p| p.branch == branch && p.method == method).map(|at| (call, at))
        });
        let Some((call, at)) = found else { return false };
        let pending = self.calls[call].pending.remove(at);
        let c = &mut self.calls[call];
        match (&*pending.method, m) {
            ("BYE", _) => {
                c.told.push(("BYE".into(), status));
                c.dialogs[pending.dialog].over = true;
                let left = c.dialogs.iter().any(|d| d.confirmed && !d.over);
                if !left && c.state == State::Leaving {
                    c.over(now, Ending::HungUp);
                }
                if matches!(status, 401 | 407) {
                    self.flaws.push("BYE is challenged".into());
                }
            }
            (other, m) => {
                if let (true, 200..300, Some(m)) = (pending.offered, status, m) {
                    match m.body.is_empty() {
                        true => self.flaws.push(format!("{other} with an offer has no answer")),
                        false => c.heard.push(String::from_utf8_lossy(&m.body).into_owned()),
                    }
                }
                let other = other.to_owned();
                self.changed(now, call, pending.dialog, &other, status, m);
            }
        }
        true
    }

    /// A request within a dialog: what is said to it. `None` if it is of no call, `Some(None)` for silence.
    pub(in crate::phone) fn asked_within(&mut self, now: Time, m: &Sip) -> Option<Option<Sip>> {
        let (call, dialog) = self.dialog_of(m)?;
        let number = m.cseq().map_or(0, |(n, _)| n);
        let c = &mut self.calls[call];
        let method = m.method().to_owned();
        // RFC 3261 s12.2.2: out of order.
        if c.dialogs[dialog].remote_cseq.is_some_and(|last| number <= last) {
            c.asked.push((method, 500));
            return Some(Some(tagged(respond(m, 500), "x")));
        }
        c.dialogs[dialog].remote_cseq = Some(number);
        let answer = match &*method {
            "BYE" if !self.manners.answers_bye => return Some(None),
            "BYE" => {
                self.hung_up(now, call, dialog);
                respond(m, 200)
            }
            "PRACK" => self.pracked(now, call, dialog, m),
            "UPDATE" if !self.manners.update => {
                self.flaws.push("UPDATE, which its Allow lacks".into());
                respond(m, 405)
            }
            "UPDATE" => self.updated(now, call, dialog, m),
            "NOTIFY" if !m.header("Event").is_some_and(|event| event.starts_with("refer")) => noticed(c, m),
            "NOTIFY" => {
                let body = String::from_utf8_lossy(&m.body).into_owned();
                let state = m.header("Subscription-State").unwrap_or("nothing").to_owned();
                let state = state.split(';').next().unwrap_or_default();
                c.transfer.push(format!("{} ({state})", body.lines().next().unwrap_or_default()));
                respond(m, 200)
            }
            "REFER" => respond(m, 603),
            _ => {
                if !m.body.is_empty() && method != "OPTIONS" {
                    c.notes.push(String::from_utf8_lossy(&m.body).into_owned());
                }
                respond(m, 200)
            }
        };
        let status = answer.status().unwrap_or(0);
        self.calls[call].asked.push((method, status));
        Some(Some(answer))
    }

    fn hung_up(&mut self, now: Time, call: usize, dialog: usize) {
        let c = &mut self.calls[call];
        c.dialogs[dialog].over = true;
        if c.talking.is_none_or(|talking| talking == dialog) || c.state == State::Leaving {
            let left = c.dialogs.iter().enumerate().any(|(d, x)| d != dialog && x.confirmed && !x.over);
            if c.state == State::Leaving && left {
                return;
            }
            if c.state != State::Over {
                let ending = if c.state == State::Leaving { Ending::HungUp } else { Ending::PeerHungUp };
                c.over(now, ending);
            }
            self.end_incoming(now, call);
        }
    }

    fn updated(&mut self, now: Time, call: usize, dialog: usize, m: &Sip) -> Sip {
        let (user, addr) = (self.user.clone(), self.addr);
        let d = &mut self.calls[call].dialogs[dialog];
        d.refresh(m);
        let sdp = String::from_utf8_lossy(&m.body).into_owned();
        if sdp.is_empty() {
            let mut answer = respond(m, 200);
            self.add_abilities(&mut answer);
            self.grant(now, call, m, &mut answer);
            return answer;
        }
        let c = &mut self.calls[call];
        // RFC 3311 s5.2.
        if c.dialogs[dialog].offering {
            return respond(m, 491);
        }
        if c.incoming.iter().any(|i| i.is_unanswered() && i.offers() && !c.dialogs[dialog].agreed) {
            let mut answer = respond(m, 500);
            answer.push("Retry-After", "3");
            return answer;
        }
        if self.manners.change != 200 {
            return respond(m, self.manners.change);
        }
        c.heard.push(sdp.clone());
        let text = c.media.answer(&user, addr, &sdp);
        let mut answer = respond(m, 200);
        self.add_abilities(&mut answer);
        self.grant(now, call, m, &mut answer);
        answer.push("Content-Type", "application/sdp");
        answer.body = text.into_bytes();
        answer
    }

    pub(super) fn invited_within(&mut self, now: Time, m: &Sip) {
        let Some((call, dialog)) = self.dialog_of(m) else {
            self.out.push_back(tagged(respond(m, 481), "x").write());
            return;
        };
        let number = m.cseq().map_or(0, |(n, _)| n);
        let c = &mut self.calls[call];
        let late = c.dialogs[dialog].remote_cseq.is_some_and(|last| number <= last);
        let glare = c.invites.iter().any(Invite::is_open) || c.dialogs[dialog].offering;
        let status = match () {
            () if late => 500,
            // Its BYE is on the way: there is nothing to change any more.
            () if c.state == State::Leaving => 481,
            // RFC 3261 s14.2.
            () if c.incoming.iter().any(Incoming::is_unanswered) => 500,
            () if glare => 491,
            () => self.manners.change,
        };
        let c = &mut self.calls[call];
        c.dialogs[dialog].remote_cseq = c.dialogs[dialog].remote_cseq.max(Some(number));
        c.asked.push(("INVITE".into(), status));
        if status != 200 {
            return self.refuse_within(now, call, dialog, m, status);
        }
        c.dialogs[dialog].refresh(m);
        if !m.body.is_empty() {
            c.heard.push(String::from_utf8_lossy(&m.body).into_owned());
        }
        self.accept_within(now, call, dialog, m);
    }

    /// RFC 3891 s3: the call that an INVITE takes the place of.
    pub(super) fn replaced_by(&self, m: &Sip) -> Result<Option<usize>, u16> {
        let Some(value) = m.header("Replaces") else { return Ok(None) };
        let id = value.split(';').next().unwrap_or_default().trim();
        let (to, from) = (param(value, "to-tag"), param(value, "from-tag"));
        let is = |d: &Dialog| Some(&*d.local_tag) == to && Some(&*d.remote_tag) == from;
        let found = self.calls.iter().position(|c| c.call_id == id && c.dialogs.iter().any(is));
        let Some(call) = found else { return Err(481) };
        let c: &Call = &self.calls[call];
        match c.state {
            State::Over => Err(603),
            State::Talking if param(value, "early-only").is_some() => Err(486),
            State::Trying | State::Ringing if c.side == Side::Callee => Err(481),
            _ => Ok(Some(call)),
        }
    }
}

/// Events that a phone takes within a call although nobody subscribed: to be told to answer, and to hold.
const UNASKED: [&str; 2] = ["talk", "hold"];

/// A NOTIFY within a call that is of no transfer.
fn noticed(c: &mut Call, m: &Sip) -> Sip {
    let event = m.header("Event").unwrap_or_default();
    if UNASKED.contains(&event) {
        c.notes.push(format!("{event}: {}", m.header("Subscription-State").unwrap_or("nothing")));
        return respond(m, 200);
    }
    let mut answer = respond(m, if event == "presence" { 481 } else { 489 });
    answer.push("Allow-Events", UNASKED.join(", "));
    answer
}
