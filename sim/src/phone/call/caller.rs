//! The caller's side: INVITE and its answers, ACK, CANCEL. RFC 3261 s13.2, s14.1, s17.1.1, s9.1, RFC 6026 s8.
//!
//! | State | 1xx | 2xx | 3xx to 6xx | time |
//! |---|---|---|---|---|
//! | Calling | Proceeding | ACK, Accepted | ACK, Completed | A: again; B: 408 |
//! | Proceeding | stays | ACK, Accepted | ACK, Completed | after CANCEL: lost |
//! | Accepted | stays | ACK again; of another: ACK and BYE | a flaw | M: over |
//! | Completed | stays | a flaw | ACK again | D: over |

use super::{Call, Dialog, Ending, Phone, Reliable, Repeat, Side, State};
use crate::Time;
use crate::message::{Sip, param, uri_of};
use crate::phone::{Final, T1};

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Phase {
    Calling,
    Proceeding,
    Accepted,
    Completed,
    Over,
}

/// A client transaction of INVITE.
#[derive(Clone, Debug)]
pub(super) struct Invite {
    pub(super) branch: String,
    pub(super) cseq: u32,
    /// The dialog, of a new session within one.
    pub(super) dialog: Option<usize>,
    request: Sip,
    phase: Phase,
    repeat: Option<Repeat>,
    over_at: Option<Time>,
    wants_cancel: bool,
    cancelled: bool,
    status: u16,
    /// What acknowledged which tag.
    acks: Vec<(String, Vec<u8>)>,
    stream: bool,
    /// It had a session description.
    offered: bool,
}

impl Invite {
    pub(super) fn is_open(&self) -> bool {
        matches!(self.phase, Phase::Calling | Phase::Proceeding)
    }

    pub(super) fn deadline(&self) -> Option<Time> {
        self.repeat.as_ref().map(Repeat::deadline).into_iter().chain(self.over_at).min()
    }

    /// The call is over: its answer has so long as that of a cancelled one.
    pub(super) fn wait_no_longer(&mut self, now: Time) {
        if self.phase == Phase::Proceeding {
            self.over_at.get_or_insert(now + 64 * T1);
        }
    }

    fn rest(&mut self, now: Time, phase: Phase) {
        self.phase = phase;
        self.repeat = None;
        // RFC 3261 s17.1.1.2: Timer D is zero on streams; RFC 6026 s8.4: Timer M is not.
        let linger =
            if self.stream && phase == Phase::Completed { std::time::Duration::ZERO } else { 64 * T1 };
        self.over_at = Some(now + linger);
    }
}

impl Phone {
    /// Sends the first INVITE of a call, or the next one with credentials.
    pub(super) fn send_invite(&mut self, now: Time, call: usize) {
        let mut c = self.calls[call].clone();
        c.cseq += 1;
        c.tries += 1;
        let uri = c.peer.clone();
        let mut m = self.draft("INVITE", &uri, &uri);
        m.set("From", format!("<{}>;tag={}", self.aor(), c.tag));
        m.push("Call-ID", c.call_id.as_str()).push("CSeq", format!("{} INVITE", c.cseq));
        self.add_abilities(&mut m);
        if self.manners.reliable == Reliable::Required {
            m.push("Require", "100rel");
        }
        self.add_session_request(&c, &mut m);
        for (name, value) in &c.headers {
            m.set(name, value.as_str());
        }
        let offered = !self.manners.delayed_offer;
        if offered {
            m.push("Content-Type", "application/sdp");
            m.body = c.media.say(&self.user, self.addr, c.media.direction).into_bytes();
        }
        let body = m.body.clone();
        self.add_credentials_for(&mut m, "INVITE", &uri, &body, c.tries - 1);
        self.calls[call] = c;
        self.open_invite(now, call, None, m, offered);
    }

    pub(super) fn open_invite(
        &mut self,
        now: Time,
        call: usize,
        dialog: Option<usize>,
        m: Sip,
        offered: bool,
    ) {
        let bytes = m.write();
        let stream = self.habits.via.is_stream();
        let repeat = Repeat::new(now, bytes.clone(), 64 * T1);
        let invite = Invite {
            branch: m.via().map(|v| v.branch().to_owned()).unwrap_or_default(),
            cseq: m.cseq().map_or(0, |(n, _)| n),
            dialog,
            request: m.clone(),
            phase: Phase::Calling,
            over_at: Some(now + 64 * T1),
            repeat: (!stream).then_some(repeat),
            wants_cancel: false,
            cancelled: false,
            status: 0,
            acks: Vec::new(),
            stream,
            offered,
        };
        if let Some(d) = dialog {
            self.calls[call].dialogs[d].offering = offered;
        }
        self.calls[call].invite = Some(m);
        self.calls[call].invites.push(invite);
        self.out.push_back(bytes);
    }

    pub(super) fn wake_invites(&mut self, now: Time, call: usize) {
        for i in 0..self.calls[call].invites.len() {
            let invite = &mut self.calls[call].invites[i];
            let again = invite.repeat.as_mut().and_then(|r| r.due(now));
            self.out.extend(again);
            if invite.over_at.is_none_or(|at| at > now) {
                continue;
            }
            let phase = std::mem::replace(&mut invite.phase, Phase::Over);
            (invite.repeat, invite.over_at) = (None, None);
            match phase {
                Phase::Calling => self.invite_failed(now, call, i, 408, None),
                // RFC 3261 s9.1: a cancelled request is over when nothing final has come for 64*T1.
                Phase::Proceeding => {
                    self.calls[call].over(now, Ending::Lost("no final response after CANCEL"));
                }
                _ => {}
            }
        }
        self.calls[call].invites.retain(|i| i.phase != Phase::Over);
    }

    /// The connection is gone: what nobody has answered has failed.
    pub(in crate::phone) fn invites_lost(&mut self, now: Time) {
        for call in 0..self.calls.len() {
            for i in 0..self.calls[call].invites.len() {
                if self.calls[call].invites[i].phase == Phase::Calling {
                    self.calls[call].invites[i].phase = Phase::Over;
                    self.invite_failed(now, call, i, 503, None);
                }
            }
            self.calls[call].invites.retain(|i| i.phase != Phase::Over);
        }
    }

    /// The caller gives up.
    pub(super) fn cancel(&mut self, now: Time, call: usize) {
        let c = &mut self.calls[call];
        c.state = State::Leaving;
        let Some(i) = c.invites.iter().position(|i| i.is_open() && i.dialog.is_none()) else {
            return c.over(now, Ending::Cancelled);
        };
        c.invites[i].wants_cancel = true;
        // RFC 3261 s9.1: not before something has come.
        if c.invites[i].phase == Phase::Proceeding {
            self.send_cancel(now, call, i);
        }
    }

    fn send_cancel(&mut self, now: Time, call: usize, i: usize) {
        let invite = &mut self.calls[call].invites[i];
        if std::mem::replace(&mut invite.cancelled, true) {
            return;
        }
        invite.over_at = Some(now + 64 * T1);
        let request = invite.request.clone();
        let uri = request.start.split(' ').nth(1).unwrap_or_default();
        let mut m = Sip::new(format!("CANCEL {uri} SIP/2.0"));
        for name in ["Via", "Max-Forwards", "From", "To", "Call-ID", "Route"] {
            for value in request.lines(name) {
                m.push(name, value);
            }
        }
        m.push("CSeq", format!("{} CANCEL", request.cseq().map_or(0, |(n, _)| n)));
        self.start(now, "CANCEL", &m);
    }

    /// A response to INVITE. False if it is not of a call.
    pub(in crate::phone) fn invite_answered(&mut self, now: Time, m: &Sip) -> bool {
        let branch = m.via().map(|v| v.branch().to_owned()).unwrap_or_default();
        let found = self.calls.iter().enumerate().find_map(|(call, c)| {
            c.invites.iter().position(|i| i.branch == branch).map(|invite| (call, invite))
        });
        let Some((call, i)) = found else { return false };
        let c = &self.calls[call];
        if m.header("Call-ID") != Some(&c.call_id) || m.cseq().map(|(n, _)| n) != Some(c.invites[i].cseq) {
            self.flaws.push(format!("a response to another request: {}", m.start));
            return true;
        }
        let status = m.status().unwrap_or(0);
        let before = (c.invites[i].phase, c.invites[i].status);
        match (before, status) {
            ((Phase::Calling | Phase::Proceeding, _), ..200) => self.provisional(now, call, i, status, m),
            ((Phase::Calling | Phase::Proceeding | Phase::Accepted, _), 200..300) => {
                self.accepted(now, call, i, status, m)
            }
            ((Phase::Calling | Phase::Proceeding, _), _) => {
                self.acknowledge_refusal(call, i, m);
                let invite = &mut self.calls[call].invites[i];
                invite.status = status;
                invite.rest(now, Phase::Completed);
                self.invite_failed(now, call, i, status, Some(m));
            }
            ((Phase::Completed, same), _) if same == status => self.acknowledge_refusal(call, i, m),
            // One that was overtaken.
            (_, ..200) | ((Phase::Over, _), _) => {}
            ((_, before), _) => {
                self.flaws.push(format!("a second, different final response: {before} and then {}", m.start));
            }
        }
        true
    }

    fn provisional(&mut self, now: Time, call: usize, i: usize, status: u16, m: &Sip) {
        let c = &mut self.calls[call];
        let invite = &mut c.invites[i];
        invite.phase = Phase::Proceeding;
        invite.repeat = None;
        if !invite.cancelled {
            invite.over_at = None;
        }
        let (first, wants_cancel) = (invite.dialog.is_none(), invite.wants_cancel);
        if first {
            c.statuses.push(status);
            if status > 100 && c.state == State::Trying {
                c.state = State::Ringing;
            }
        }
        if status > 100 && first {
            match m.header("To").and_then(|v| param(v, "tag")) {
                Some(_) => {
                    let dialog = self.dialog_for(call, m, false);
                    self.provisional_within(now, call, i, dialog, m);
                }
                None => self.flaws.push(format!("no tag in {}", m.start)),
            }
        }
        if wants_cancel {
            self.send_cancel(now, call, i);
        }
    }

    /// The dialog of a response; made if it is new.
    pub(super) fn dialog_for(&mut self, call: usize, m: &Sip, confirmed: bool) -> usize {
        let c = &mut self.calls[call];
        let tag = m.header("To").and_then(|v| param(v, "tag")).unwrap_or_default();
        let at = match c.dialogs.iter().position(|d| d.remote_tag == tag) {
            Some(at) => at,
            None => {
                c.dialogs.push(Dialog::from_response(m));
                c.dialogs.len() - 1
            }
        };
        let dialog = &mut c.dialogs[at];
        if confirmed && !dialog.confirmed {
            // RFC 3261 s13.2.2.4: the route set is taken again from the 2xx.
            let fresh = Dialog::from_response(m);
            (dialog.routes, dialog.confirmed) = (fresh.routes, true);
        }
        dialog.refresh(m);
        at
    }

    fn accepted(&mut self, now: Time, call: usize, i: usize, status: u16, m: &Sip) {
        let tag = m.header("To").and_then(|v| param(v, "tag")).unwrap_or_default().to_owned();
        let acks = &self.calls[call].invites[i].acks;
        if let Some((_, ack)) = acks.iter().find(|(t, _)| *t == tag) {
            // RFC 3261 s13.2.2.4: the same ACK for each repetition.
            if self.manners.acknowledges {
                self.out.push_back(ack.clone());
            }
            return;
        }
        if tag.is_empty() {
            self.flaws.push(format!("no tag in {}", m.start));
        }
        if m.header("Contact").is_none() {
            self.flaws.push("no Contact in a 2xx to INVITE".into());
        }
        let c = &mut self.calls[call];
        let invite = &mut c.invites[i];
        let first = invite.acks.is_empty();
        let (within, offered) = (invite.dialog, invite.offered);
        invite.status = status;
        if first {
            invite.rest(now, Phase::Accepted);
        }
        c.give_up_at = None;
        if within.is_none() {
            c.statuses.push(status);
        }
        let dialog = match within {
            Some(dialog) => {
                c.dialogs[dialog].refresh(m);
                dialog
            }
            None => self.dialog_for(call, m, true),
        };
        let answer = self.take_answer(call, dialog, within.is_some(), offered, m);
        let cseq = self.calls[call].invites[i].cseq;
        let ack = self.ack(call, dialog, cseq, answer);
        if self.manners.acknowledges {
            self.out.push_back(ack.clone());
        }
        self.calls[call].invites[i].acks.push((tag, ack));
        self.record(now, "INVITE", status, Some(m));
        let c = &mut self.calls[call];
        match (within, c.state) {
            (Some(_), _) => self.changed(now, call, dialog, "INVITE", status, Some(m)),
            (None, State::Trying | State::Ringing) if first => {
                (c.state, c.talking) = (State::Talking, Some(dialog));
                self.take_info(m);
                self.session_agreed(now, call, m);
            }
            // A second one that answers, or one that answered while the CANCEL was on its way.
            (None, State::Leaving) if first => {
                c.talking = Some(dialog);
                self.send_byes(now, call);
            }
            (None, _) => self.send_bye(now, call, dialog),
        }
    }

    /// The description of a 2xx: the answer, or an offer that the ACK answers.
    fn take_answer(
        &mut self,
        call: usize,
        dialog: usize,
        within: bool,
        offered: bool,
        m: &Sip,
    ) -> Option<String> {
        let (user, addr) = (self.user.clone(), self.addr);
        let c = &mut self.calls[call];
        let d = &mut c.dialogs[dialog];
        d.offering = false;
        if m.body.is_empty() {
            if within || !d.agreed {
                self.flaws.push(format!("no session description in {} to {:?}", m.start, m.header("CSeq")));
            }
            return None;
        }
        let agreed = std::mem::replace(&mut d.agreed, true);
        let sdp = String::from_utf8_lossy(&m.body).into_owned();
        c.heard.push(sdp.clone());
        // Where a reliable provisional response had the offer, this is not another one.
        (!offered && (within || !agreed)).then(|| c.media.answer(&user, addr, &sdp))
    }

    /// RFC 3261 s13.2.2.4: an ACK of its own, with the number of the INVITE.
    fn ack(&mut self, call: usize, dialog: usize, cseq: u32, answer: Option<String>) -> Vec<u8> {
        let mut m = self.within_with(call, dialog, "ACK", cseq);
        if let Some(sdp) = answer {
            m.push("Content-Type", "application/sdp");
            m.body = sdp.into_bytes();
        }
        m.write()
    }

    // RFC 3261 s17.1.1.3: the ACK for a refusal repeats the top Via of the INVITE.
    fn acknowledge_refusal(&mut self, call: usize, i: usize, response: &Sip) {
        let request = &self.calls[call].invites[i].request;
        let uri = request.start.split(' ').nth(1).unwrap_or_default();
        let mut m = Sip::new(format!("ACK {uri} SIP/2.0"));
        for name in ["Via", "From", "Call-ID", "Route"] {
            for value in request.lines(name) {
                m.push(name, value);
            }
        }
        m.push("To", response.header("To").unwrap_or_default()).push("Max-Forwards", "70");
        m.push("CSeq", format!("{} ACK", request.cseq().map_or(1, |(n, _)| n)));
        self.out.push_back(m.write());
    }

    pub(super) fn record(&mut self, now: Time, method: &str, status: u16, message: Option<&Sip>) {
        self.finals.push(Final { at: now, method: method.into(), status, message: message.cloned() });
    }

    fn invite_failed(&mut self, now: Time, call: usize, i: usize, status: u16, m: Option<&Sip>) {
        self.record(now, "INVITE", status, m);
        let invite = &self.calls[call].invites[i];
        if let Some(dialog) = invite.dialog {
            return self.changed(now, call, dialog, "INVITE", status, m);
        }
        let cancelled = invite.wants_cancel;
        self.calls[call].statuses.push(status);
        let tries = self.calls[call].tries;
        let again = match (status, m) {
            (401, Some(m)) if !cancelled => self.take_challenge(m, tries),
            (422, Some(m)) if tries < 4 => self.take_min_se(call, m),
            (300..=399, Some(m)) if self.manners.follows && tries < 4 && !cancelled => {
                let contact = m.header("Contact").map(|v| uri_of(v).to_owned());
                if let Some(contact) = contact {
                    self.calls[call].peer = contact;
                    self.calls[call].tries = 0;
                    true
                } else {
                    false
                }
            }
            _ => false,
        };
        if again && !self.stopped {
            self.calls[call].state = State::Trying;
            return self.send_invite(now, call);
        }
        let ending = if cancelled && status == 487 { Ending::Cancelled } else { Ending::Refused(status) };
        self.calls[call].over(now, ending);
    }
}

impl Call {
    /// Number of an INVITE, and whether it had an offer.
    pub(super) fn initial(&self, i: usize) -> (u32, bool) {
        self.invites.get(i).map_or((0, true), |invite| (invite.cseq, invite.offered))
    }

    /// True for the caller: it made the Call-ID (RFC 3261 s14.1).
    pub(super) fn owns_call_id(&self) -> bool {
        self.side == Side::Caller
    }
}
