//! Messages that leave: to other domains and over trunks, along the ways that RFC 3263 finds, one after the other.

use core::net::SocketAddr;
use std::collections::VecDeque;

use super::{Leg, LegKey, Messages};
use crate::ctx::{Ctx, Origin, Reached};
use crate::dialog::DATAGRAM;
use crate::door::Transport;
use crate::proof::Asked;
use crate::stats::Counter;
use crate::txn::{Transactions, Usage};
use crate::wire::{Message, Method};

/// Where a message goes that leaves.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Outside {
    /// The Request-URI.
    pub(crate) uri: Box<str>,
    /// The trunk it is behind.
    pub(crate) trunk: Option<u16>,
}

/// A leg that leaves, on its way.
#[derive(Clone, Debug)]
pub(super) struct Abroad {
    to: Outside,
    /// Ways that were not tried; `None` until they are known.
    ways: Option<VecDeque<Origin>>,
    /// The one it took.
    taken: Option<Origin>,
    /// A stream was tried for what is too large for a datagram.
    streamed: bool,
    /// The challenge it answers.
    asked: Option<Box<Asked>>,
}

impl Abroad {
    pub(super) fn new(to: Outside) -> Abroad {
        Abroad { to, ways: None, taken: None, streamed: false, asked: None }
    }
}

impl Messages {
    /// Legs whose ways are to be found, and their Request-URIs.
    pub(crate) fn take_looking(&mut self) -> Vec<(LegKey, Box<str>)> {
        core::mem::take(&mut self.looking)
    }

    /// What waits for an answer where it is.
    pub(crate) fn is_sought(&self, key: LegKey) -> bool {
        self.sought.contains(&key)
    }

    /// These are the ways. False if nobody waits for them.
    pub(crate) fn found(&mut self, key: LegKey, ways: VecDeque<Origin>) -> bool {
        let waits = self.sought.remove(&key);
        if let Some(abroad) = self.legs.get_mut(key).and_then(Leg::abroad_mut).filter(|_| waits) {
            abroad.ways = Some(ways);
            self.due.push_back(key);
        }
        waits
    }

    /// Where a leg went that left.
    pub(super) fn server_of(&mut self, key: LegKey) -> Option<SocketAddr> {
        self.legs.get_mut(key).and_then(Leg::abroad_mut)?.taken.map(|to| to.remote)
    }

    /// Sends a leg the next way. False if there is none.
    pub(super) fn send_abroad(&mut self, ctx: &mut Ctx<'_>, txn: &mut Transactions, key: LegKey) -> bool {
        let Some(leg) = self.legs.get_mut(key) else { return true };
        let Some(letter) = leg.letter.clone() else { return true };
        let Some(abroad) = leg.abroad_mut() else { return true };
        let Some(ways) = &mut abroad.ways else {
            let uri = abroad.to.uri.clone();
            self.looking.push((key, uri));
            self.sought.insert(key);
            return true;
        };
        let settings = ctx.settings.clone();
        let trunks = settings.calls.as_ref().map_or(&[][..], |calls| &calls.trunks);
        let trunk = abroad.to.trunk.and_then(|trunk| trunks.get(usize::from(trunk)));
        let account = trunk.and_then(|trunk| Some((trunk.username.as_str(), trunk.password.as_ref()?)));
        while let Some(mut to) = ways.pop_front() {
            let uri = abroad.to.uri.as_bytes();
            let proof = abroad.asked.as_mut().zip(account).map(|(asked, (username, password))| {
                asked.answer(ctx, (username, &password.0), Method::Message.as_str(), uri)
            });
            let mut phone = Reached { contact: uri, path: b"", to };
            let (mut payload, mut branch) = letter.write_proved(ctx, &phone, proof.as_ref());
            // RFC 3261 s18.1.1, DECISIONS 14: over a stream, and where there is none in parts.
            if payload.len() > DATAGRAM && to.transport == Transport::Udp {
                let stream = if abroad.streamed { None } else { ctx.connect(&to, to.remote) };
                match stream {
                    Some(stream) => {
                        abroad.streamed = true;
                        ways.push_front(to);
                        (phone.to, to) = (stream, stream);
                        (payload, branch) = letter.write_proved(ctx, &phone, proof.as_ref());
                    }
                    None => ctx.stats.count(Counter::LargeDatagrams),
                }
            }
            let usage = Usage::Message(key.to_bits());
            if txn.send(ctx, &to, Method::Message, usage, &branch, payload).is_ok() {
                abroad.taken = Some(to);
                return true;
            }
            ctx.stats.count(Counter::Overload);
        }
        false
    }

    /// May what was answered so be sent once more: elsewhere (RFC 3263 s4.3), or with our credentials (RFC 3261 s22)? Then it
    /// is due.
    pub(super) fn again_abroad(&mut self, key: LegKey, status: u16, msg: Option<Message<'_>>) -> bool {
        let Some(abroad) = self.legs.get_mut(key).and_then(Leg::abroad_mut) else { return false };
        let again = match (status, msg) {
            (401 | 407, Some(msg)) if abroad.to.trunk.is_some() => {
                let asked = Asked::of(msg).filter(|asked| match &abroad.asked {
                    None => true,
                    // Refused for nothing but the age of the nonce, and once only.
                    Some(last) => asked.stale && !last.stale,
                });
                let again = asked.is_some() && abroad.taken.is_some();
                if let (true, Some(ways), Some(taken)) = (again, &mut abroad.ways, abroad.taken) {
                    ways.push_front(taken);
                }
                abroad.asked = asked.map(Box::new);
                again
            }
            (408 | 503, _) => abroad.ways.as_ref().is_some_and(|ways| !ways.is_empty()),
            _ => false,
        };
        if again {
            self.due.push_back(key);
        }
        again
    }
}
