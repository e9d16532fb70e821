//! The phones of a program with calls: what they remember, ask and answer, as they like.

use std::borrow::Cow;
use std::net::SocketAddr;

use super::debts::Debts;
use super::world::{Host, USERS, remote};
use crate::base::Time;
use crate::door::{FlowId, Input, Transmit};
use crate::wire::Method;

/// A request of the engine that a phone has not answered with a final response, or an INVITE that it has.
#[derive(Clone, Debug)]
pub(super) struct Heard {
    pub(super) sent: Transmit,
    pub(super) method: Method,
    pub(super) since: Time,
    /// The final response it got first.
    pub(super) last: Option<u16>,
    rseq: u32,
}

/// A dialog as a phone knows it.
#[derive(Clone, Debug)]
pub(super) struct Talk {
    flow: FlowId,
    remote: SocketAddr,
    local: SocketAddr,
    pub(super) call_id: String,
    /// Its own side of From and To, and that of the engine.
    pub(super) own: String,
    pub(super) peer: String,
    target: String,
    cseq: u32,
    /// The last INVITE it sent: its number and its branch.
    pub(super) invite: (u32, String),
    /// An INVITE of its own was accepted.
    pub(super) accepted: Option<u32>,
    /// The last reliable provisional response.
    pub(super) rseq: Option<u32>,
}

/// What the phones remember.
#[derive(Default)]
pub(super) struct Calling {
    pub(super) heard: Vec<Heard>,
    pub(super) talks: Vec<Talk>,
    pub(super) debts: Debts,
    pub(super) last: Vec<(FlowId, SocketAddr)>,
    pub(super) opening: Vec<(FlowId, SocketAddr)>,
    /// Lines that go with whatever phones ask, and with whatever they answer.
    pub(super) more: [Vec<u8>; 2],
    number: u32,
}

const STATUSES: [&str; 24] = [
    "100 Trying",
    "180 Ringing",
    "183 Session Progress",
    "199 Gone",
    "200 OK",
    "200 OK",
    "202 Accepted",
    "302 Moved",
    "300 Choices",
    "401 Unauthorized",
    "404 Not Found",
    "407 Proxy",
    "408 Timeout",
    "422 Too Small",
    "481 Gone",
    "486 Busy",
    "487 Terminated",
    "488 Not Here",
    "491 Pending",
    "500 Error",
    "503 Busy",
    "600 Busy Everywhere",
    "603 Decline",
    "699 Odd",
];
/// Where calls go, beside users.
const PLACES: [&str; 9] = [
    "sip:bob@10.0.0.4:5060",
    "sip:bob@elsewhere.example",
    "tel:+442079460000",
    "sip:+442079460001@example.com",
    "sip:nobody@example.com",
    "sip:7123@example.com",
    "sips:bob@secure.example",
    "http://www.example.com",
    "sip:bob@10.0.0.5:5061;transport=tcp",
];
const SDP: &str =
    "v=0\r\no=p 1 1 IN IP4 10.0.0.1\r\ns=-\r\nc=IN IP4 10.0.0.1\r\nt=0 0\r\nm=audio 4000 RTP/AVP 0\r\n";

fn place(to: u8) -> String {
    match usize::from(to).checked_sub(128).and_then(|at| PLACES.get(at)) {
        Some(place) => (*place).into(),
        None => format!("sip:u{}@example.com", to % USERS),
    }
}

/// The values of a header in a message, one for each line.
pub(super) fn values(payload: &[u8], name: &str) -> Vec<String> {
    let text = String::from_utf8_lossy(payload);
    let head = text.split("\r\n").take_while(|line| !line.is_empty());
    head.filter_map(|line| line.strip_prefix(name)?.strip_prefix(": ").map(str::to_owned)).collect()
}

pub(super) fn value(payload: &[u8], name: &str) -> String {
    values(payload, name).into_iter().next().unwrap_or_default()
}

pub(super) fn tag(value: &str) -> &str {
    value.split_once(";tag=").map_or("", |(_, tag)| tag.split(';').next().unwrap_or_default())
}

/// What stands between angle brackets.
fn uri(value: &str) -> &str {
    value.split_once('<').and_then(|(_, rest)| rest.split_once('>')).map_or(value, |(uri, _)| uri)
}

fn body(says: u8) -> String {
    match says & 1 {
        0 => "Content-Length: 0\r\n\r\n".into(),
        // Not all of it is what it says to be.
        _ if says & 0x80 != 0 => "Content-Type: application/sdp\r\nContent-Length: 5\r\n\r\nv=x\0\n".into(),
        _ => format!("Content-Type: application/sdp\r\nContent-Length: {}\r\n\r\n{SDP}", SDP.len()),
    }
}

/// What a request says of extensions.
pub(super) fn extensions(says: u8) -> String {
    let mut out = String::new();
    for (bit, line) in [
        (2, "Supported: 100rel, timer, 199\r\n"),
        (4, "Require: 100rel\r\n"),
        (8, "Session-Expires: 90;refresher=uac\r\n"),
        (16, "Session-Expires: 60;refresher=uas\r\nMin-SE: 30\r\n"),
    ] {
        if says & bit != 0 {
            out.push_str(line);
        }
    }
    out
}

impl Host {
    pub(super) fn talk(&self, back: u8) -> Option<usize> {
        self.calling.talks.len().checked_sub(1 + usize::from(back % 16))
    }

    fn next_via(&mut self, slot: u8) -> (String, String) {
        self.calling.number += 1;
        let transport = if slot.is_multiple_of(4) { "UDP" } else { "TCP" };
        let branch = format!("z9hG4bKc{}", self.calling.number);
        (format!("SIP/2.0/{transport} {};branch={branch};rport", remote(slot)), branch)
    }

    pub(super) fn invite(&mut self, from: u8, to: u8, slot: u8, says: u8) {
        let (via, branch) = self.next_via(slot);
        let (number, to) = (self.calling.number, place(to));
        let proof = self.credentials(("INVITE", &to), from, true);
        let m = format!(
            "INVITE {to} SIP/2.0\r\nVia: {via}\r\nMax-Forwards: 70\r\nFrom: <sip:u{}@example.com>;tag=c{number}\r\n\
             To: <{to}>\r\nCall-ID: c{number}\r\nCSeq: 1 INVITE\r\nContact: <sip:u@{}>\r\n{proof}{}{}",
            from % USERS,
            remote(slot),
            extensions(says),
            body(says),
        );
        let local = self.local();
        self.calling.talks.push(Talk {
            flow: self.flow(slot),
            remote: remote(slot),
            local,
            call_id: format!("c{number}"),
            own: format!("<sip:u{}@example.com>;tag=c{number}", from % USERS),
            peer: format!("<{to}>"),
            target: to,
            cseq: 1,
            invite: (1, branch),
            accepted: None,
            rseq: None,
        });
        self.send(slot, m.as_bytes());
    }

    /// A request in a dialog of a phone; `wrong` says what is wrong with it.
    pub(super) fn within(&mut self, at: usize, method: &str, more: &str, says: u8, wrong: u8) {
        self.calling.number += 1;
        let branch = format!("z9hG4bKc{}", self.calling.number);
        let Some(talk) = self.calling.talks.get_mut(at) else { return };
        let number = match wrong % 16 {
            1 => talk.cseq.saturating_sub(1),
            2 => talk.cseq,
            3 => talk.cseq.saturating_add(1 << 20),
            _ => talk.cseq + 1,
        };
        talk.cseq = talk.cseq.max(number);
        if method == "INVITE" {
            talk.invite = (number, branch.clone());
        }
        let talk = talk.clone();
        let remote = if wrong % 16 == 4 { remote(7) } else { talk.remote };
        let (own, peer) = match wrong % 16 {
            5 => (format!("{}x", talk.own), talk.peer.clone()),
            6 => (talk.own.clone(), format!("{}x", talk.peer)),
            7 => (talk.own.clone(), talk.peer.split(';').next().unwrap_or_default().to_owned()),
            8 => (talk.peer.clone(), talk.own.clone()),
            _ => (talk.own.clone(), talk.peer.clone()),
        };
        let contact =
            if says & 64 != 0 { String::new() } else { format!("Contact: <sip:u@{}>\r\n", talk.remote) };
        let m = format!(
            "{method} {} SIP/2.0\r\nVia: SIP/2.0/UDP {remote};branch={branch};rport\r\nMax-Forwards: 70\r\nFrom: {own}\r\n\
             To: {peer}\r\nCall-ID: {}\r\nCSeq: {number} {method}\r\n{contact}{more}{}",
            talk.target,
            talk.call_id,
            body(says)
        );
        self.feed_from(talk.flow, remote, talk.local, m.as_bytes());
    }

    fn feed_from(&mut self, flow: FlowId, remote: SocketAddr, local: SocketAddr, data: &[u8]) {
        if self.sent.len() < 64 {
            self.sent.push(data.to_vec());
        }
        let data = &self.spoiled(data)[..];
        self.feed(Input::Message { flow, remote, local, data });
    }

    /// The same with the lines of the program, behind the start line.
    pub(super) fn spoiled<'m>(&self, data: &'m [u8]) -> Cow<'m, [u8]> {
        let more = &self.calling.more[usize::from(data.starts_with(b"SIP/2.0 "))];
        let head = data.windows(2).position(|pair| pair == b"\r\n").map(|at| data.split_at(at + 2));
        match head.filter(|_| !more.is_empty()) {
            Some((start, rest)) => Cow::Owned([start, more, rest].concat()),
            None => Cow::Borrowed(data),
        }
    }

    pub(super) fn ack(&mut self, back: usize, says: u8) {
        let mut waiting = self.calling.talks.iter_mut().rev().filter(|talk| talk.accepted.is_some());
        let Some(talk) = waiting.nth(back) else { return };
        let Some(number) = talk.accepted.take() else { return };
        let talk = talk.clone();
        self.calling.number += 1;
        let m = format!(
            "ACK {} SIP/2.0\r\nVia: SIP/2.0/UDP {};branch=z9hG4bKa{};rport\r\nMax-Forwards: 70\r\nFrom: {}\r\nTo: {}\r\n\
             Call-ID: {}\r\nCSeq: {number} ACK\r\n{}",
            talk.target,
            talk.remote,
            self.calling.number,
            talk.own,
            talk.peer,
            talk.call_id,
            body(says)
        );
        self.feed_from(talk.flow, talk.remote, talk.local, m.as_bytes());
    }

    pub(super) fn cancel(&mut self, back: usize) {
        let Some(at) = self.calling.talks.len().checked_sub(1 + back) else { return };
        let talk = self.calling.talks[at].clone();
        let (number, branch) = &talk.invite;
        let first = talk.cseq == 1 && *number == 1;
        let to = if first { talk.peer.split(';').next().unwrap_or_default() } else { &talk.peer };
        let m = format!(
            "CANCEL {} SIP/2.0\r\nVia: SIP/2.0/UDP {};branch={branch};rport\r\nMax-Forwards: 70\r\nFrom: {}\r\nTo: {to}\r\n\
             Call-ID: {}\r\nCSeq: {number} CANCEL\r\nContent-Length: 0\r\n\r\n",
            talk.target, talk.remote, talk.own, talk.call_id
        );
        self.feed_from(talk.flow, talk.remote, talk.local, m.as_bytes());
    }

    pub(super) fn refer(&mut self, back: u8, to: u8, other: u8, says: u8) {
        let Some(at) = self.talk(back) else { return };
        let mut target = place(to);
        if other & 1 != 0
            && let Some(other) = self.talk(other / 2)
        {
            // Attended: the other call of whoever asks, or of somebody else.
            let other = &self.calling.talks[other];
            let (ours, theirs) = (tag(&other.peer), tag(&other.own));
            target = format!("{target}?Replaces={}%3Bto-tag%3D{ours}%3Bfrom-tag%3D{theirs}", other.call_id);
        }
        let mut more = format!("Refer-To: <{target}>\r\n");
        if says & 2 != 0 {
            more.push_str("Refer-Sub: false\r\n");
        }
        self.within(at, "REFER", &more, 0, says / 16);
    }

    pub(super) fn text_message(&mut self, from: u8, to: u8, slot: u8, says: u8) {
        let (via, _) = self.next_via(slot);
        let (number, to) = (self.calling.number, place(to));
        let proof = self.credentials(("MESSAGE", &to), from, true);
        let expires =
            if says & 2 != 0 { format!("Expires: {}\r\n", u32::from(says) * 4) } else { String::new() };
        let m = format!(
            "MESSAGE {to} SIP/2.0\r\nVia: {via}\r\nMax-Forwards: {}\r\nFrom: <sip:u{}@example.com>;tag=m\r\nTo: <{to}>\r\n\
             Call-ID: m{number}\r\nCSeq: 1 MESSAGE\r\n{expires}{proof}Content-Type: text/plain\r\nContent-Length: 2\r\n\r\nhi",
            says % 71,
            from % USERS,
        );
        self.send(slot, m.as_bytes());
    }

    /// A phone answers a request of the engine.
    pub(super) fn respond(&mut self, back: usize, status: usize, fork: u8, says: u8) {
        let Some(at) = self.calling.heard.len().checked_sub(1 + back) else { return };
        let line = STATUSES[status % STATUSES.len()];
        let status: u16 = line.get(..3).and_then(|digits| digits.parse().ok()).expect("a status");
        let heard = &mut self.calling.heard[at];
        let (sent, method) = (heard.sent.clone(), heard.method);
        let request = sent.payload.clone();
        let mut to = value(&request, "To");
        if !to.contains(";tag=") && status > 100 && says & 64 == 0 {
            to.push_str(&format!(";tag=p{}", fork % 3));
        }
        let mut m = format!("SIP/2.0 {line}\r\n");
        for name in ["Via", "From", "Call-ID", "CSeq", "Record-Route"] {
            values(&request, name).iter().for_each(|value| m.push_str(&format!("{name}: {value}\r\n")));
        }
        m.push_str(&format!("To: {to}\r\n"));
        if says & 32 == 0 {
            let transport = if sent.flow.0 == 2 { "" } else { ";transport=tcp" };
            m.push_str(&format!("Contact: <sip:p@{}{transport}>\r\n", sent.remote));
        }
        match status {
            101..200 if says & 2 != 0 => {
                heard.rseq += 1;
                m.push_str(&format!("Require: 100rel\r\nRSeq: {}\r\n", heard.rseq));
            }
            200..300 if says & 4 != 0 => {
                m.push_str("Require: timer\r\nSupported: timer\r\nSession-Expires: 90;refresher=uas\r\n");
            }
            200..300 if says & 8 != 0 => {
                m.push_str("Supported: timer\r\nSession-Expires: 90;refresher=uac\r\n")
            }
            401 | 407 => {
                let name = if status == 401 { "WWW" } else { "Proxy" };
                m.push_str(&format!(
                    "{name}-Authenticate: Digest realm=\"t\", nonce=\"{fork}\", qop=\"auth\"\r\n"
                ));
            }
            422 => m.push_str("Min-SE: 1000\r\n"),
            _ => {}
        }
        m.push_str(&body(says));
        let tag = tag(&to).to_owned();
        let first = heard.last.is_none();
        if status >= 200 && first {
            heard.last = Some(status);
        }
        let heard = heard.clone();
        // What has no tag names no dialog: it is owed nothing.
        if !tag.is_empty() || status >= 300 {
            self.calling.debts.answered(self.now, &heard, status, first, &tag);
        }
        if method == Method::Invite && status > 100 && status < 300 && !tag.is_empty() {
            self.enter(&sent, &to);
        }
        if method == Method::Invite && status < 300 {
            // It may say more.
        } else {
            self.calling.heard.remove(at);
        }
        self.feed_from(sent.flow, sent.remote, sent.local, m.as_bytes());
    }

    /// A callee is in a dialog.
    fn enter(&mut self, invite: &Transmit, own: &str) {
        let request = &invite.payload;
        let call_id = value(request, "Call-ID");
        if self.calling.talks.iter().any(|talk| talk.call_id == call_id && talk.own == own) {
            return;
        }
        self.calling.talks.push(Talk {
            flow: invite.flow,
            remote: invite.remote,
            local: invite.local,
            call_id,
            own: own.to_owned(),
            peer: value(request, "From"),
            target: uri(&value(request, "Contact")).to_owned(),
            cseq: 0,
            invite: (0, String::new()),
            accepted: None,
            rseq: None,
        });
    }

    pub(super) fn calm(&mut self) {
        for _ in 0..32 {
            self.relay();
            let waits = |heard: &Heard| heard.last.is_none();
            let Some(at) = self.calling.heard.iter().position(waits) else { break };
            let back = self.calling.heard.len() - 1 - at;
            self.respond(back, 4, 0, 1);
        }
        for _ in 0..16 {
            self.ack(0, 0);
        }
        self.relay();
    }

    pub(super) fn opened(&mut self, up: bool) {
        let Some((flow, remote)) = self.calling.opening.pop() else { return };
        let local = self.local();
        match up {
            true => self.feed(Input::FlowUp {
                flow,
                listener: 1,
                transport: crate::door::Transport::Tcp,
                local,
                remote: Some(remote),
                peer: None,
            }),
            false => self.feed(Input::FlowDown { flow, reason: crate::door::FlowDownReason::Unreachable }),
        }
        if up {
            self.calling.debts.streams.push(flow);
        }
    }

    /// A request that a phone may answer.
    pub(super) fn rings(&mut self, sent: &Transmit, method: Method) {
        let since = self.now;
        if self.calling.heard.len() >= 64 {
            self.calling.heard.remove(0);
        }
        self.calling.heard.push(Heard { sent: sent.clone(), method, since, last: None, rseq: 0 });
    }

    /// A response to a request of a phone: what it learns of its dialog.
    pub(super) fn told(&mut self, sent: &Transmit, status: u16, method: Method) {
        let payload = &sent.payload;
        let (call_id, own, peer) = (value(payload, "Call-ID"), value(payload, "From"), value(payload, "To"));
        if tag(&peer).is_empty() || status <= 100 {
            return;
        }
        let number = value(payload, "CSeq").split(' ').next().and_then(|n| n.parse().ok());
        let talks = &mut self.calling.talks;
        let mine = |talk: &Talk| talk.call_id == call_id && tag(&talk.own) == tag(&own);
        let at = match talks.iter().position(|talk| mine(talk) && tag(&talk.peer) == tag(&peer)) {
            Some(at) => at,
            None if method != Method::Invite || status >= 300 => return,
            None => match talks.iter().position(|talk| mine(talk) && tag(&talk.peer).is_empty()) {
                Some(at) => at,
                None => {
                    let Some(first) = talks.iter().find(|talk| mine(talk)) else { return };
                    let fork = Talk { rseq: None, accepted: None, ..first.clone() };
                    talks.push(fork);
                    talks.len() - 1
                }
            },
        };
        let Some(talk) = talks.get_mut(at) else { return };
        talk.peer = peer;
        let contact = value(payload, "Contact");
        if !contact.is_empty() {
            talk.target = uri(&contact).to_owned();
        }
        if method == Method::Invite && (200..300).contains(&status) {
            talk.accepted = number;
        }
        if let Ok(rseq) = value(payload, "RSeq").parse() {
            talk.rseq = Some(rseq);
        }
    }
}
