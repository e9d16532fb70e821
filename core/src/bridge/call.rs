//! A call: who asked for it, the INVITEs sent for it, and the pairs of dialogs that come of them.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;
use smallvec::SmallVec;

use super::pickup::Picked;
use super::refer::{Invitation, Transfer};
use super::reliable::{Accepted, Early};
use super::replaces::Succession;
use super::sdp::Session;
use super::table::State;
use super::write::{self, Answer};
use super::{CallKey, Kit};
use crate::base::ids::IdText;
use crate::base::{Time, TimerKey};
use crate::ctx::{CallNames, Ctx, Origin};
use crate::dialog::session_timer::SessionTimer;
use crate::dialog::{Addressed, Crossing, Dialog};
use crate::door::{CallRecord, Identity};
use crate::proof::Asked;
use crate::txn::{ClientKey, ServerKey, Usage};
use crate::wire::{Held, Message, Method, Status};

/// The caller's side of a link, and of its arrays.
pub(super) const CALLER: usize = 0;
/// The callee's.
pub(super) const CALLEE: usize = 1;

/// Header lines that the routing adds: names and values.
pub(crate) type Lines = Arc<[(Box<str>, Box<str>)]>;

/// Who asks for a call.
#[derive(Clone, Debug)]
pub(crate) struct Asker {
    /// His AoR, or the URI of From.
    pub(crate) aor: Box<str>,
    /// It is the AoR of a user of ours.
    pub(crate) ours: bool,
    /// His URI, display name and tag, as From says.
    pub(crate) uri: Box<str>,
    pub(crate) display: Box<str>,
    pub(crate) tag: Box<str>,
    /// What his credentials prove.
    pub(crate) identity: Identity,
    /// What he says of identities is believed.
    pub(crate) trusted: bool,
    /// The trunk he calls from.
    pub(crate) trunk: Option<u16>,
}

/// One place to try.
#[derive(Clone, Debug)]
pub(crate) struct Hop {
    /// Where it is.
    pub(crate) to: Origin,
    /// Where else, if nobody answers there (RFC 3263 s4.3).
    pub(crate) others: Vec<Origin>,
    /// Who is said to call, if not whom the caller says to be.
    pub(crate) from: Option<Box<str>>,
    /// The Request-URI.
    pub(crate) contact: Box<[u8]>,
    /// The Route; empty for none.
    pub(crate) path: Box<[u8]>,
    /// The AoR or URI it stands for.
    pub(crate) target: Box<str>,
    /// It is a phone of a user of ours.
    pub(crate) local: bool,
    /// The trunk it is behind.
    pub(crate) trunk: Option<u16>,
    /// Max-Breadth, when its turn has come.
    pub(crate) breadth: u16,
    /// What the routing adds.
    pub(crate) lines: Lines,
}

/// How far a call is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Phase {
    /// The caller waits.
    Ringing,
    /// He has his 2xx.
    Answered,
    /// Nothing is left to do but to wait for what was sent.
    Over,
}

/// The INVITE that asked for the call, until its final response.
#[derive(Clone, Debug)]
pub(super) struct Incoming {
    pub(super) server: ServerKey,
    pub(super) held: Held,
    pub(super) origin: Origin,
    /// The tag of the first dialog, and of a refusal.
    pub(super) tag: IdText,
    /// The first dialog, until it is somebody's.
    pub(super) dialog: Option<Dialog>,
    /// How many branches it may have at once (RFC 5393).
    pub(super) breadth: u16,
    /// The last provisional response: it is repeated while the caller waits.
    pub(super) progress: Option<(u16, Bytes)>,
}

/// An INVITE of ours.
#[derive(Clone, Debug)]
pub(super) struct Attempt {
    pub(super) client: ClientKey,
    pub(super) state: State,
    /// What is known of its dialogs before they are made.
    pub(super) base: Dialog,
    pub(super) hop: Hop,
    /// The challenge it answers.
    pub(super) asked: Option<Box<Asked>>,
    /// Its place in the record.
    pub(super) leg: usize,
    /// The Min-SE it was refused with before (RFC 4028 s7.4); 0 for none.
    pub(super) min_se: u32,
    /// Who watches the callee was told that it rings, and not yet that it does no more.
    pub(super) shown: bool,
    /// What was told of the callee.
    pub(super) names: Option<Arc<CallNames>>,
}

/// The number of an ACK, where it went, and its bytes.
pub(super) type Acked = (u32, Origin, Box<[u8]>);

/// One end of a pair.
#[derive(Clone, Debug)]
pub(super) struct Side {
    pub(super) dialog: Dialog,
    /// The AoR of who is there.
    pub(super) aor: Box<str>,
    /// A 2xx that we sent and he did not acknowledge yet.
    pub(super) unacked: Option<Box<Unacked>>,
    /// The number of an INVITE of ours that he accepted and that waits for the ACK of the other side.
    pub(super) due: Option<u32>,
    /// What he offered in accepting it, if it had no offer: the ACK has the answer (RFC 3261 s13.2.2.4).
    pub(super) offered: Option<Box<[u8]>>,
    /// The last ACK we sent him, for the 2xx of that number: a copy, since it outlives all transactions.
    pub(super) ack: Option<Box<Acked>>,
    /// BYE is to be sent when his ACK is there (RFC 3261 s15).
    pub(super) bye_waits: bool,
    /// He is gone, or was told to go.
    pub(super) over: bool,
    pub(super) local: bool,
    pub(super) trusted: bool,
    /// He did not want to be named when the call began (RFC 3323): that holds for all of it.
    pub(super) hides: bool,
    /// The trunk he is on.
    pub(super) trunk: Option<u16>,
    /// The challenge of that trunk: answered with each request (RFC 3261 s22.3).
    pub(super) asked: Option<Box<Asked>>,
    /// The session description it was sent last, of those it agreed to.
    pub(super) sdp: Box<[u8]>,
    /// The highest version of that session that it was shown and refused; 0 for none.
    pub(super) refused: u64,
    /// The session it is in, once that is with another than it began with.
    pub(super) session: Option<Box<Session>>,
    pub(super) timer: SessionTimer,
    /// The packages of INFO that it wants (RFC 6086); `None` if it never said.
    pub(super) packages: Option<Box<[u8]>>,
    /// It took up a session with who was sought by a transfer that failed, and is asked back.
    pub(super) astray: bool,
    /// The last INVITE of his that a relay was asked about.
    pub(super) waits: Option<ServerKey>,
}

/// A 2xx to an INVITE, repeated until the ACK comes (RFC 3261 s13.3.1.4).
#[derive(Clone, Debug)]
pub(super) struct Unacked {
    pub(super) number: u32,
    pub(super) server: ServerKey,
    /// Empty if it is not to be sent again.
    pub(super) payload: Bytes,
    pub(super) since: Time,
    pub(super) sent: u8,
}

/// A request of ours within a dialog.
#[derive(Clone, Debug)]
pub(super) struct Errand {
    pub(super) client: ClientKey,
    /// To which side it went.
    pub(super) to: usize,
    pub(super) number: u32,
    pub(super) method: Method,
    /// The request it carries on; `None` for one of our own.
    pub(super) relayed: Option<Relayed>,
    /// INVITE: how far it is.
    pub(super) state: State,
}

/// A request that waits for the answer of the other side.
#[derive(Clone, Debug)]
pub(super) struct Relayed {
    pub(super) server: ServerKey,
    pub(super) held: Held,
    pub(super) origin: Origin,
}

/// A dialog with the caller and the one with a callee that answers it.
#[derive(Clone, Debug)]
pub(super) struct Link {
    pub(super) sides: [Side; 2],
    pub(super) errands: Vec<Errand>,
    /// Of which attempt it is.
    pub(super) client: ClientKey,
    /// What it has until the INVITE is answered.
    pub(super) early: Option<Box<Early>>,
}

/// The response that will be given if nobody answers, as far as it is known.
#[derive(Clone, Debug)]
pub(super) struct Best {
    pub(super) status: u16,
    pub(super) held: Option<Held>,
    /// It is of a phone of a user of ours.
    pub(super) local: bool,
}

/// One call.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    pub(super) phase: Phase,
    pub(super) asker: Asker,
    /// Who pays: whose limit it counts for.
    pub(super) account: Box<str>,
    pub(super) incoming: Option<Incoming>,
    /// It is made for a transfer.
    pub(super) invitation: Option<Box<Invitation>>,
    /// A transfer one of its sides asked for.
    pub(super) transfer: Option<Box<Transfer>>,
    /// One of its sides is sought by a transfer of this call.
    pub(super) serves: Option<CallKey>,
    /// The session its media are in, if they may be relayed: calls that go on as one share it. 0 for none.
    pub(super) media: u64,
    /// Those they were in before: what is agreed there may still be in use.
    pub(super) was_in: Vec<u64>,
    /// Who is tried next, one group after the other.
    pub(super) queue: VecDeque<Vec<Hop>>,
    pub(super) attempts: Vec<Attempt>,
    pub(super) links: Vec<Link>,
    /// A 2xx that the caller is not to have yet.
    pub(super) accepted: Option<Box<Accepted>>,
    pub(super) best: Option<Best>,
    /// How long a group may ring.
    pub(super) ring: core::time::Duration,
    /// The present one rang for so long without an answer.
    pub(super) unanswered: bool,
    /// When the caller was last told anything.
    pub(super) timers: Timers,
    pub(super) record: Box<CallRecord>,
    /// What was told of the caller to who watches him.
    pub(super) names: Option<Arc<CallNames>>,
    /// The same of who took the call.
    pub(super) taken: Option<Taken>,
    /// It was picked up, and the caller does not know yet.
    pub(super) picked: Option<Picked>,
    /// Another call is to go on in place of this one.
    pub(super) succession: Option<Succession>,
    /// This one is to go on in place of that.
    pub(super) follows: Option<CallKey>,
    /// The trunks it was last known to be on, one for each leg there.
    pub(super) on_trunks: SmallVec<[u16; 2]>,
    /// The connections it holds open, as the index of them has it.
    pub(super) streams: super::streams::Held,
}

/// What was told of who took a call.
#[derive(Clone, Debug)]
pub(super) struct Taken {
    /// The place of that leg in the record.
    pub(super) leg: usize,
    pub(super) names: Arc<CallNames>,
    /// He sent the INVITE of it.
    pub(super) initiator: bool,
}

/// The timers of a call.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Timers {
    /// The group has rung long enough.
    pub(super) ring: TimerKey,
    /// The caller is to be told again that it rings.
    pub(super) progress: TimerKey,
    /// A 2xx is to be repeated.
    pub(super) unacked: TimerKey,
    /// So is a provisional response.
    pub(super) reliable: TimerKey,
    /// An UPDATE that went on as INVITE can wait no longer.
    pub(super) update: TimerKey,
    /// The call has lasted long enough: at first ringing, then talking.
    pub(super) life: TimerKey,
}

/// Adds to a list that mostly holds one: no room is made for more.
pub(super) fn add<T>(list: &mut Vec<T>, item: T) {
    if list.len() == list.capacity() {
        list.reserve_exact(1);
    }
    list.push(item);
}

/// The tag of who answers; empty if he has none.
pub(super) fn answering_tag<'m>(msg: Message<'m>) -> &'m [u8] {
    msg.to().ok().and_then(|to| to.tag()).unwrap_or_default()
}

impl Timers {
    /// Nobody rings any more.
    pub(super) fn stop_ringing(&mut self, ctx: &mut Ctx<'_>) {
        let Timers { ring, progress, reliable, life, .. } = self;
        for timer in [ring, progress, reliable, life] {
            ctx.timers.disarm(core::mem::take(timer));
        }
    }
}

impl Attempt {
    /// Who is called, as one end of a pair with this dialog.
    pub(super) fn side(&self, dialog: Dialog) -> Side {
        let Hop { target, local, trunk, .. } = &self.hop;
        let mut side = Side {
            aor: target.clone(),
            over: false,
            local: *local,
            trusted: trunk.is_some(),
            trunk: *trunk,
            asked: self.asked.clone(),
            ..Side::absent(dialog)
        };
        side.timer.owns = true;
        side
    }
}

impl Side {
    /// Our tag towards him.
    pub(super) fn own_tag(&self) -> &str {
        core::str::from_utf8(self.dialog.own_tag()).unwrap_or_default()
    }
}

impl Relayed {
    /// It gets this answer, of our own.
    pub(super) fn refuse(&self, kit: &mut Kit<'_, '_>, status: Status) {
        write::respond(kit, self.server, &self.origin, self.held.message(), &Answer::own(status));
    }
}

impl Link {
    /// Sends a request of ours to a side, and waits for its answer; that goes to whoever asked for it, if anybody did.
    /// `None` if there is no room.
    pub(super) fn send(
        &mut self,
        kit: &mut Kit<'_, '_>,
        key: CallKey,
        (to, method, number): (usize, Method, u32),
        request: (Bytes, Addressed),
        asked: Option<&super::Asked<'_>>,
    ) -> Option<ClientKey> {
        let client = kit.send(method, Usage::Call(key.to_bits()), request)?;
        if to == CALLEE && self.early.is_some() {
            kit.txn.spend(self.client, self.sides[CALLEE].dialog.their_tag());
        }
        let held = |asked: &super::Asked<'_>| Relayed {
            server: asked.server,
            held: asked.msg.to_held(),
            origin: *asked.origin,
        };
        let (relayed, state) = (asked.map(held), State::Calling);
        add(&mut self.errands, Errand { client, to, number, method, relayed, state });
        Some(client)
    }

    /// Tells a side to go.
    pub(super) fn bye(
        &mut self,
        kit: &mut Kit<'_, '_>,
        key: CallKey,
        to: usize,
        from: Option<(Message<'_>, Crossing)>,
    ) {
        let side = &mut self.sides[to];
        if let Some(bye) = side.bye(kit, from) {
            let number = side.dialog.cseq();
            self.send(kit, key, (to, Method::Bye, number), bye, None);
        }
    }
}

impl Call {
    /// Does anything still wait that only the call knows of?
    pub(super) fn is_gone(&self) -> bool {
        self.phase == Phase::Over
            && self.links.iter().all(|link| link.errands.is_empty() && link.sides.iter().all(|s| s.over))
            && !self.attempts.iter().any(|attempt| attempt.state == State::Halting)
    }

    /// The trunks it is on, one for each leg there.
    pub(super) fn trunks(&self) -> SmallVec<[u16; 2]> {
        let caller = self.incoming.as_ref().and(self.asker.trunk);
        let called =
            self.attempts.iter().filter(|attempt| !matches!(attempt.state, State::Over | State::Answered));
        let called = called.filter_map(|attempt| attempt.hop.trunk);
        // Early dialogs are those of the caller and of attempts.
        let links = self.links.iter().filter(|link| link.early.is_none() || self.incoming.is_none());
        let sides =
            links.flat_map(|link| &link.sides).filter(|side| !side.over).filter_map(|side| side.trunk);
        caller.into_iter().chain(called).chain(sides).collect()
    }

    /// Is there an INVITE that may still be answered?
    pub(super) fn is_trying(&self) -> bool {
        self.attempts.iter().any(|a| matches!(a.state, State::Calling | State::Proceeding))
    }

    /// The link and the side a request is from.
    pub(super) fn find(&self, ess: &crate::wire::Essentials<'_>) -> Option<(usize, usize)> {
        self.links.iter().enumerate().find_map(|(i, link)| {
            link.sides.iter().position(|side| side.dialog.has(ess)).map(|side| (i, side))
        })
    }
}
