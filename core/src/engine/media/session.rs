//! What is known of a session that is relayed, what waits in it, and who cannot reach whom. RFC 3264, DECISIONS 27.

use std::collections::{BTreeMap, VecDeque};

use core::net::IpAddr;
use core::time::Duration;

use super::super::pending::ParkedKey;
use crate::base::{Key, Slab, Time, TimerKey};
use crate::bridge::{CallKey, Hop};
use crate::config::{MediaConfig, is_private};
use crate::ctx::Origin;
use crate::door::{MediaStep, Transport};
use crate::txn::ClientKey;
use crate::wire::sdp::is_webrtc;
use crate::wire::{Held, Message, Method, Uri};

/// Most messages of one session that wait; what more comes is lost, and sent again by whoever needs it.
const WAITING: usize = 32;
/// Most parties of one session that are remembered.
const ENDS: usize = 64;
/// How long an answer stands for the same question: as long as anything is sent again (RFC 3261 s17, 64*T1).
pub(super) const SAME: Duration = Duration::from_secs(32);

/// Dialogs of responses that wait, by what names them: the session of each, and how many responses those are.
type Awaited = BTreeMap<u64, (u64, usize)>;

/// Sessions that are relayed, and what waits for the relay.
#[derive(Clone, Debug, Default)]
pub(in crate::engine) struct Media {
    pub(super) sessions: BTreeMap<u64, Session>,
    /// Questions under way, and the session each is of.
    pub(super) asked: Slab<u64>,
    awaited: Awaited,
}

#[derive(Clone, Debug, Default)]
pub(super) struct Session {
    /// The relay has taken it.
    pub(super) relayed: bool,
    ends: Vec<End>,
    /// Who offered last, and whether that is unanswered.
    pub(super) offerer: Box<str>,
    pub(super) open: bool,
    /// Who agreed last.
    pub(super) pair: Option<[Box<str>; 2]>,
    /// What was answered last.
    pub(super) last: Option<Box<Last>>,
    pub(super) asking: Option<Box<Asking>>,
    pub(super) waiting: VecDeque<Parcel>,
}

/// A party, by his tag.
#[derive(Clone, Debug)]
struct End {
    tag: Box<str>,
    webrtc: bool,
}

/// A question under way, and what waits for its answer.
#[derive(Clone, Debug)]
pub(super) struct Asking {
    pub(super) ticket: Key<u64>,
    pub(super) timer: TimerKey,
    pub(super) question: Question,
    pub(super) parcel: Parcel,
}

/// A question, and what it was answered.
#[derive(Clone, Debug)]
pub(super) struct Last {
    pub(super) at: Time,
    pub(super) question: Question,
    pub(super) sdp: Box<[u8]>,
    pub(super) shown: Box<[u8]>,
}

#[derive(Clone, Debug)]
pub(super) struct Question {
    pub(super) step: MediaStep,
    pub(super) from: Box<str>,
    pub(super) to: Box<str>,
    pub(super) source: Option<IpAddr>,
    pub(super) near: Option<IpAddr>,
    pub(super) webrtc: bool,
}

/// A message on its way to the calls.
#[derive(Clone, Debug)]
pub(super) enum Parcel {
    Ring {
        key: CallKey,
        groups: Vec<Vec<Hop>>,
        ring: Duration,
    },
    /// `dialog` names the one that a response to an INVITE is of.
    Response {
        bits: u64,
        client: ClientKey,
        status: u16,
        held: Held,
        dialog: Option<u64>,
    },
    Request {
        parked: ParkedKey,
    },
    Replaces {
        parked: ParkedKey,
    },
    Ack {
        origin: Origin,
        held: Held,
    },
}

impl Media {
    pub(in crate::engine) fn len(&self) -> usize {
        // Each question is of a session, and so is each dialog.
        self.sessions.len().max(self.asked.len()).max(self.awaited.len())
    }

    /// The session in which a response waits that makes this dialog, or is of it.
    pub(super) fn awaits(&self, dialog: u64) -> Option<u64> {
        self.awaited.get(&dialog).map(|(session, _)| *session)
    }

    /// Requests within calls of a session that wait.
    pub(super) fn requests(&self, session: u64) -> impl Iterator<Item = ParkedKey> {
        self.parcels(session).filter_map(|parcel| match parcel {
            Parcel::Request { parked } => Some(*parked),
            _ => None,
        })
    }

    /// Does this response to a request of ours wait already?
    pub(super) fn has(&self, session: u64, to: ClientKey, msg: Message<'_>) -> bool {
        self.parcels(session).any(|parcel| match parcel {
            Parcel::Response { client, held, .. } => *client == to && held.message().raw() == msg.raw(),
            _ => false,
        })
    }

    /// What waits in a session, in its order.
    fn parcels(&self, session: u64) -> impl Iterator<Item = &Parcel> {
        let state = self.sessions.get(&session).into_iter();
        state.flat_map(|state| state.asking.iter().map(|asking| &asking.parcel).chain(&state.waiting))
    }

    /// A parcel waits behind what is asked. It comes back if there is no room.
    pub(super) fn wait(&mut self, session: u64, parcel: Parcel) -> Result<(), Parcel> {
        let Some(busy) = self.sessions.get_mut(&session).filter(|busy| busy.waiting.len() < WAITING) else {
            return Err(parcel);
        };
        note(&mut self.awaited, session, &parcel);
        busy.waiting.push_back(parcel);
        Ok(())
    }

    /// A question, and the parcel that waits for its answer.
    pub(super) fn ask(&mut self, session: u64, asking: Asking) {
        note(&mut self.awaited, session, &asking.parcel);
        self.sessions.entry(session).or_default().asking = Some(Box::new(asking));
    }

    /// A question is answered; `None` if it was none, or is answered already.
    pub(super) fn answered(&mut self, ticket: Key<u64>) -> Option<(u64, Asking)> {
        let session = self.asked.remove(ticket)?;
        let asking = self.sessions.get_mut(&session)?.asking.take()?;
        strike(&mut self.awaited, &asking.parcel);
        Some((session, *asking))
    }

    /// What has waited longest, if nothing is asked.
    pub(super) fn next(&mut self, session: u64) -> Option<Parcel> {
        let state = self.sessions.get_mut(&session).filter(|state| state.asking.is_none())?;
        let parcel = state.waiting.pop_front()?;
        strike(&mut self.awaited, &parcel);
        Some(parcel)
    }

    /// The session is over: the question under way, and what waits behind it.
    pub(super) fn forget(&mut self, session: u64) -> Option<(Option<Asking>, VecDeque<Parcel>)> {
        let Session { asking, waiting, .. } = self.sessions.remove(&session)?;
        let asking = asking.map(|asking| *asking);
        if let Some(asking) = &asking {
            self.asked.remove(asking.ticket);
        }
        asking.iter().map(|asking| &asking.parcel).chain(&waiting).for_each(|parcel| {
            strike(&mut self.awaited, parcel);
        });
        Some((asking, waiting))
    }
}

/// The dialog of a response that begins to wait.
fn note(awaited: &mut Awaited, session: u64, parcel: &Parcel) {
    if let Parcel::Response { dialog: Some(dialog), .. } = parcel {
        awaited.entry(*dialog).or_insert((session, 0)).1 += 1;
    }
}

/// It waits no more.
fn strike(awaited: &mut Awaited, parcel: &Parcel) {
    let Parcel::Response { dialog: Some(dialog), .. } = parcel else { return };
    let Some((_, count)) = awaited.get_mut(dialog) else { return };
    *count -= 1;
    if *count == 0 {
        awaited.remove(dialog);
    }
}

impl Session {
    fn is_webrtc(&self, tag: &str) -> Option<bool> {
        self.ends.iter().find(|end| &*end.tag == tag).map(|end| end.webrtc)
    }

    /// With whom he agreed last.
    fn other(&self, tag: &str) -> Option<&str> {
        match self.pair.as_ref()? {
            [one, other] if **one == *tag => Some(other),
            [other, one] if **one == *tag => Some(other),
            _ => None,
        }
    }

    /// A description of his that others are shown.
    pub(super) fn question(
        &self,
        step: MediaStep,
        from: &[u8],
        source: Option<IpAddr>,
        sdp: &[u8],
    ) -> Option<Question> {
        let from = core::str::from_utf8(from).ok()?;
        let to = match step {
            MediaStep::Answer if *self.offerer != *from => &self.offerer,
            MediaStep::Answer | MediaStep::Offer => self.other(from).unwrap_or_default(),
        };
        let own = is_webrtc(sdp);
        let webrtc = self.is_webrtc(to).unwrap_or(own);
        // Browsers find their own way.
        let (from, to, source) = (from.into(), to.into(), source.map(|source| source.to_canonical()));
        (!(own && webrtc)).then_some(Question { step, from, to, source, near: None, webrtc })
    }

    pub(super) fn learn(&mut self, question: &Question, webrtc: bool) {
        self.ends.retain(|end| end.tag != question.from);
        if self.ends.len() < ENDS {
            self.ends.push(End { tag: question.from.clone(), webrtc });
        }
        match question.step {
            MediaStep::Offer => (self.offerer, self.open) = (question.from.clone(), true),
            MediaStep::Answer => {
                self.open = false;
                self.pair = Some([question.to.clone(), question.from.clone()]);
            }
        }
    }
}

/// One party as far as it is known: where his media are, and where his messages come from.
#[derive(Clone, Copy)]
pub(super) struct Place {
    pub(super) media: IpAddr,
    pub(super) remote: IpAddr,
}

/// DECISIONS 27: can these two not send to each other?
pub(super) fn are_apart(config: &MediaConfig, one: Place, other: Place) -> bool {
    let (a, b) = (one.media.to_canonical(), other.media.to_canonical());
    let near = config.is_local(one.remote) && config.is_local(other.remote);
    a.is_ipv4() != b.is_ipv4() || (!near && (is_private(a) || is_private(b)))
}

/// Is a response one to an INVITE?
pub(super) fn is_of_invite(msg: Message<'_>) -> bool {
    msg.cseq().is_ok_and(|cseq| cseq.method == Method::Invite)
}

pub(super) fn is_web(transport: Transport) -> bool {
    matches!(transport, Transport::Ws | Transport::Wss)
}

/// Who will be called: what he registered says where he is, if it is an address.
pub(super) fn place_of(hop: &Hop) -> Place {
    let remote = hop.to.remote.ip();
    let contact = core::str::from_utf8(&hop.contact).ok().and_then(|uri| Uri::parse(uri.as_bytes()).ok());
    let host = contact.and_then(|uri| uri.host().and_then(|host| host.ip()));
    // A browser, or a phone behind a proxy, is where its messages come from.
    Place { media: host.filter(|_| !is_web(hop.to.transport)).unwrap_or(remote), remote }
}
