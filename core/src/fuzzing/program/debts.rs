//! What the engine owes the phones of a program with calls: a final response after 100, an ACK for each final response
//! to an INVITE, silence in a dialog that is over, a record for each call.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;

use super::phones::{Heard, tag, value, values};
use super::world::Host;
use crate::base::Time;
use crate::door::{CallEvent, FlowId, Transmit};
use crate::wire::{Kind, Message, Method};

/// An INVITE of the engine that was answered so long after it was sent is not waited for any more, for all that is known
/// (RFC 3261 s17.1.1.2: 64*T1).
const PATIENCE: Duration = Duration::from_secs(30);

/// So long a transaction stands (RFC 3261 s17.2: 64*T1).
const STANDS: Duration = Duration::from_secs(30);

/// A dialog: its Call-ID, and the tag of the phone.
type Place = (String, String);

#[derive(Default)]
pub(super) struct Debts {
    seen: BTreeSet<(SocketAddr, Bytes)>,
    /// Who has our 100, and no final response.
    promised: BTreeMap<(SocketAddr, String), String>,
    /// Final responses to an INVITE that wait for ACK: with the number of that.
    unacked: BTreeMap<(Place, String), SocketAddr>,
    /// Requests that were accepted, by who sent them, their branch and what they are; and when.
    accepted: BTreeMap<(SocketAddr, String, String), Time>,
    over: BTreeSet<Place>,
    /// Of who may not have heard what was sent, nothing is known.
    forgiven: BTreeSet<SocketAddr>,
    forgives: bool,
    /// By number.
    records: BTreeSet<u64>,
    /// Connections the engine asked for that are up.
    pub(super) streams: Vec<FlowId>,
}

impl Debts {
    /// Phones are not to be understood.
    pub(super) fn forgive_all(&mut self) {
        self.forgives = true;
    }

    pub(super) fn forgive(&mut self, remote: SocketAddr) {
        self.forgiven.insert(remote);
    }

    /// A phone answers; the first final response to an INVITE, and each 2xx of one that was accepted, is to be acknowledged.
    pub(super) fn answered(&mut self, now: Time, heard: &Heard, status: u16, first: bool, tag: &str) {
        let payload = &heard.sent.payload;
        let call_id = value(payload, "Call-ID");
        let place = (call_id, tag.to_owned());
        if heard.method == Method::Bye && status >= 200 {
            self.over.insert(place);
            return;
        }
        if heard.method != Method::Invite || status < 200 {
            return;
        }
        if status < 300 {
            // It is in the dialog again, whatever was before.
            self.over.remove(&place);
        }
        let accepts = heard.last.is_some_and(|last| last < 300) && status < 300;
        // A stream may be gone before the ACK.
        if (first || accepts) && heard.sent.flow == FlowId(2) && now.since(heard.since) < PATIENCE {
            let number = value(payload, "CSeq").split(' ').next().unwrap_or_default().to_owned();
            self.unacked.insert((place, number), heard.sent.remote);
        }
    }

    /// The record of a call.
    pub(super) fn record(&mut self, event: &CallEvent) {
        match event {
            CallEvent::Began { id, .. } => assert!(self.records.insert(*id), "one record for a call"),
            CallEvent::Ringing { id } | CallEvent::Answered { id, .. } => {
                assert!(self.records.contains(id), "it has begun, and is not over");
            }
            CallEvent::Ended(record) => {
                assert!(self.records.remove(&record.id), "it ends once");
                assert!(record.ended >= record.began);
            }
        }
    }

    pub(super) fn settle(&self) {
        assert!(self.records.is_empty(), "calls without an end: {:?}", self.records);
        let owed = |who: &SocketAddr| !self.forgives && !self.forgiven.contains(who);
        let promised: Vec<_> = self.promised.iter().filter(|((who, _), _)| owed(who)).collect();
        assert!(promised.is_empty(), "100, and no final response: {promised:?}");
        let unacked: Vec<_> = self.unacked.iter().filter(|(_, who)| owed(who)).collect();
        assert!(unacked.is_empty(), "no ACK: {unacked:?}");
    }
}

/// Is a finished transaction of it forgotten when room is short?
fn is_forgotten(method: Method) -> bool {
    matches!(method, Method::Options | Method::Register)
}

impl Host {
    /// What phones hear.
    pub(super) fn ring(&mut self, sent: &Transmit, msg: Message<'_>) {
        let payload = &sent.payload;
        self.calling.last.push((sent.flow, sent.remote));
        if self.calling.last.len() > 8 {
            self.calling.last.remove(0);
        }
        let cseq = msg.cseq().expect("CSeq is written");
        let (now, debts) = (self.now, &mut self.calling.debts);
        match msg.kind() {
            Kind::Request { .. } => {
                let method = msg.method();
                let place = (value(payload, "Call-ID"), tag(&value(payload, "To")).to_owned());
                if method == Method::Ack {
                    let number = cseq.number.to_string();
                    debts.unacked.remove(&(place, number));
                    return;
                }
                if !debts.seen.insert((sent.remote, payload.clone())) {
                    return;
                }
                assert!(
                    debts.forgives || !debts.over.contains(&place),
                    "a request in a dialog that is over: {}",
                    String::from_utf8_lossy(payload)
                );
                self.rings(sent, method);
            }
            Kind::Response { status, .. } => {
                let branch = values(payload, "Via").into_iter().next().unwrap_or_default();
                let asked = (sent.remote, branch);
                if cseq.method == Method::Invite && sent.flow == FlowId(2) {
                    match status {
                        100 => _ = debts.promised.insert(asked, String::from_utf8_lossy(payload).into()),
                        101..200 => {}
                        _ => _ = debts.promised.remove(&asked),
                    }
                }
                if status >= 200
                    && sent.flow == FlowId(2)
                    && !is_forgotten(cseq.method)
                    && sent.after.is_none()
                {
                    let branch = values(payload, "Via").into_iter().next().unwrap_or_default();
                    let asked = (sent.remote, branch, value(payload, "CSeq"));
                    let since = debts.accepted.get(&asked).filter(|since| now.since(**since) < STANDS);
                    assert!(
                        since.is_none() || status < 300,
                        "accepted, and then {}",
                        String::from_utf8_lossy(payload)
                    );
                    if status < 300 {
                        debts.accepted.entry(asked).or_insert(now);
                    }
                }
                if cseq.method == Method::Bye && status == 200 {
                    debts.over.insert((value(payload, "Call-ID"), tag(&value(payload, "From")).to_owned()));
                }
                self.told(sent, status, cseq.method);
            }
        }
    }
}
