//! Provisional responses that are acknowledged, on each leg for itself: RFC 3262, DECISIONS 21.
//!
//! | the caller | a provisional response of the callee | the caller gets |
//! |---|---|---|
//! | supports or requires 100rel | reliable | a reliable one with a number of ours; his PRACK goes on to the callee |
//! | supports it | unreliable | it as it is |
//! | requires it | unreliable | a reliable one without its session description; his PRACK is answered here |
//! | does not know it | reliable, though nobody asked for that | it as an unreliable one; PRACK is from us |
//!
//! Towards the caller each early dialog has numbers of its own, and one that is not acknowledged at a time: what comes
//! after it waits. So does a 2xx, if a description of the session is among what waits (s3).

use std::collections::VecDeque;

use bytes::Bytes;

use super::call::{CALLEE, CALLER, Call, Link, Phase};
use super::write::{self, Answer};
use super::{Asked, CallKey, Desk, Kit};
use crate::base::Time;
use crate::ctx::{CallTimer, Refusal, Timer};
use crate::dialog::reliable::{self, TAG, Wants};
use crate::stats::Counter;
use crate::txn::ClientKey;
use crate::wire::{Header, Held, Message, Method, Status};

/// How many wait for their turn; the callee repeats what is too much.
const WAITING: usize = 8;

/// What only an early dialog has.
#[derive(Clone, Debug)]
pub(super) struct Early {
    /// How far offer and answer of the INVITE are.
    pub(super) deal: Deal,
    /// The last one of the callee that was in order (s4).
    heard: Option<u32>,
    /// The last number of ours; 0 before the first.
    rseq: u32,
    unacked: Option<Reliable>,
    waiting: VecDeque<Waiting>,
    /// The numbers of the caller's INVITE, and of ours.
    invites: [u32; 2],
}

/// Who has made an offer, as far as it was sent reliably (RFC 3264, RFC 6337 s2).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Deal {
    /// Nobody yet.
    Open,
    /// This side, and it has no answer.
    Offered(usize),
    /// It was answered.
    Made,
}

/// A reliable provisional response to the caller that waits for its PRACK.
#[derive(Clone, Debug)]
struct Reliable {
    rseq: u32,
    /// The number the callee gave it; `None` if it is reliable only here.
    theirs: Option<u32>,
    status: u16,
    payload: Bytes,
    describes: bool,
    since: Time,
    sent: u8,
}

/// One that waits for its turn.
#[derive(Clone, Debug)]
struct Waiting {
    status: u16,
    held: Held,
    theirs: Option<u32>,
}

/// A 2xx that waits until what came before it is acknowledged.
#[derive(Clone, Debug)]
pub(super) struct Accepted {
    client: ClientKey,
    status: u16,
    held: Held,
}

/// How a provisional response goes on to the caller.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Manner {
    Plain,
    /// Reliably; the number is that of the callee, if it was reliable from there.
    Reliable(Option<u32>),
}

impl Early {
    pub(super) fn new(offered: bool, invites: [u32; 2]) -> Box<Early> {
        Box::new(Early {
            deal: if offered { Deal::Offered(CALLER) } else { Deal::Open },
            heard: None,
            rseq: 0,
            unacked: None,
            waiting: VecDeque::new(),
            invites,
        })
    }

    /// RFC 3262 s3, s5: a 2xx has to wait for what describes the session.
    fn holds_answer(&self) -> bool {
        self.unacked.as_ref().is_some_and(|unacked| unacked.describes)
            || self.waiting.iter().any(|waiting| !waiting.held.message().body().is_empty())
    }

    /// A description of the session is with the caller, who did not say so yet.
    pub(super) fn is_told(&self) -> bool {
        self.unacked.as_ref().is_some_and(|unacked| unacked.describes)
    }
}

impl Link {
    /// Does something the caller has not acknowledged stand in the way of a 2xx?
    pub(super) fn holds_answer(&self) -> bool {
        self.early.as_ref().is_some_and(|early| early.holds_answer())
    }

    /// The INVITE was answered: what may still come is the PRACK of one that was sent (RFC 3262 s3).
    pub(super) fn settle_early(&mut self) {
        match &mut self.early {
            Some(early) if early.unacked.is_some() => early.waiting.clear(),
            early => *early = None,
        }
    }
}

impl Call {
    /// How a provisional response goes on; `None` for one that was there before, or comes before its time.
    pub(super) fn weigh(
        &mut self,
        kit: &mut Kit<'_, '_>,
        key: CallKey,
        at: usize,
        msg: Message<'_>,
        single: bool,
    ) -> Option<Manner> {
        let wants = Wants::of(self.incoming.as_ref()?.held.message());
        let theirs = reliable::number_of(msg);
        let early = self.links.get_mut(at)?.early.as_mut()?;
        if early.waiting.len() >= WAITING {
            return None;
        }
        if let Some(number) = theirs {
            // RFC 3262 s4: repetitions, and what is behind a gap, are not processed.
            if early.heard.is_some_and(|last| last.checked_add(1) != Some(number)) {
                return None;
            }
            early.heard = Some(number);
        }
        match (wants, theirs) {
            (Wants::Supports | Wants::Requires, Some(_)) if !single => Some(Manner::Reliable(theirs)),
            (_, Some(number)) => {
                self.acknowledge_progress(kit, key, at, number);
                Some(if wants == Wants::Requires { Manner::Reliable(None) } else { Manner::Plain })
            }
            (Wants::Requires, None) => Some(Manner::Reliable(None)),
            (Wants::Nothing | Wants::Supports, None) => Some(Manner::Plain),
        }
    }

    /// PRACK from us alone: the caller knows of none.
    fn acknowledge_progress(&mut self, kit: &mut Kit<'_, '_>, key: CallKey, at: usize, number: u32) {
        let Some(link) = self.links.get_mut(at) else { return };
        // Who gets none repeats itself and gives up.
        let _ = send_prack(kit, key, link, number, None);
    }

    /// Sends a provisional response reliably, when its turn comes.
    pub(super) fn send_reliably(
        &mut self,
        kit: &mut Kit<'_, '_>,
        key: CallKey,
        at: usize,
        (status, msg): (u16, Message<'_>),
        theirs: Option<u32>,
    ) {
        let (Some(link), Some(incoming)) = (self.links.get_mut(at), &mut self.incoming) else { return };
        let crossing = link.crossing(kit.ctx.settings, CALLER);
        let Some(early) = &mut link.early else { return };
        if early.unacked.is_some() {
            return early.waiting.push_back(Waiting { status, held: msg.to_held(), theirs });
        }
        early.rseq = reliable::next_number(kit.ctx, early.rseq);
        let rseq = early.rseq;
        let describes = theirs.is_some() && !msg.body().is_empty();
        let tag = link.sides[CALLER].own_tag();
        let body = if describes { msg.body() } else { b"" };
        let answer =
            Answer { line: Status(status).into(), tag, dialog: true, from: Some((msg, crossing)), body };
        let held = incoming.held.message();
        let payload = write::respond_with(kit, incoming.server, &incoming.origin, held, &answer, |writer| {
            writer.header(Header::Require, TAG);
            writer.number(Header::Rseq, rseq);
        });
        incoming.progress = Some((status, payload.clone()));
        early.unacked =
            Some(Reliable { rseq, theirs, status, payload, describes, since: kit.ctx.now, sent: 0 });
        if describes {
            link.sides[CALLER].keep_sdp(msg.body());
            early.deal = match early.deal {
                Deal::Open => Deal::Offered(CALLEE),
                Deal::Offered(CALLER) => Deal::Made,
                deal => deal,
            };
        }
        self.arm_reliable(kit, key);
    }

    /// A PRACK: it goes on to whose response it acknowledges.
    pub(super) fn on_prack(
        &mut self,
        kit: &mut Kit<'_, '_>,
        desk: &mut Desk,
        key: CallKey,
        (at, from): (usize, usize),
        asked: &Asked<'_>,
    ) -> Result<(), Refusal> {
        let unknown = Refusal::plain(Status::NO_TRANSACTION);
        let malformed = Refusal::because(Status::BAD_REQUEST, "Malformed RAck");
        let (rseq, invite) = reliable::acknowledged(asked.msg).ok_or(malformed)?;
        let link = self.links.get_mut(at).ok_or(unknown.clone())?;
        let early = link.early.as_mut().filter(|_| from == CALLER).ok_or(unknown.clone())?;
        let [theirs, _] = early.invites;
        // RFC 3262 s3: without a match it is 481.
        if early.unacked.as_ref().is_none_or(|unacked| (unacked.rseq, theirs) != (rseq, invite)) {
            return Err(unknown);
        }
        link.sides[from].dialog.accept(kit.ctx, asked.origin, asked.msg, asked.ess)?;
        let number = early.unacked.take().and_then(|unacked| unacked.theirs);
        if early.deal == Deal::Offered(CALLEE) && !asked.msg.body().is_empty() {
            early.deal = Deal::Made;
        }
        let relayed = match number {
            Some(number) if !link.sides[CALLEE].over => send_prack(kit, key, link, number, Some(asked)),
            _ => {
                write::respond(kit, asked.server, asked.origin, asked.msg, &Answer::own(Status::OK));
                Ok(())
            }
        };
        self.arm_reliable(kit, key);
        if self.phase == Phase::Ringing {
            self.go_on_reliably(kit, desk, key, at);
        }
        relayed
    }

    /// What waited for a PRACK is next.
    fn go_on_reliably(&mut self, kit: &mut Kit<'_, '_>, desk: &mut Desk, key: CallKey, at: usize) {
        let early = self.links.get_mut(at).and_then(|link| link.early.as_mut());
        if let Some(next) = early.and_then(|early| early.waiting.pop_front()) {
            self.send_reliably(kit, key, at, (next.status, next.held.message()), next.theirs);
        }
        let Some(accepted) = &self.accepted else { return };
        let mut theirs = self.links.iter().filter(|link| link.client == accepted.client);
        let waits = theirs.any(Link::holds_answer);
        let which = self.attempts.iter().position(|attempt| attempt.client == accepted.client);
        if waits {
            return;
        }
        if let (Some(accepted), Some(i)) = (self.accepted.take(), which) {
            self.answer(kit, desk, key, i, accepted.status, accepted.held.message());
        }
    }

    /// Keeps a 2xx until what was sent before it is acknowledged. False if nothing is in its way.
    pub(super) fn hold(
        &mut self,
        kit: &mut Kit<'_, '_>,
        at: usize,
        client: ClientKey,
        (status, msg): (u16, Message<'_>),
    ) -> bool {
        if !self.links.get(at).is_some_and(Link::holds_answer) {
            return false;
        }
        self.accepted = Some(Box::new(Accepted { client, status, held: msg.to_held() }));
        // It is decided who has the call.
        self.queue.clear();
        kit.ctx.timers.disarm(core::mem::take(&mut self.timers.ring));
        self.halt(kit, Some(client), Some(super::setup::ELSEWHERE));
        true
    }

    /// The caller will not have what waits for him.
    pub(super) fn drop_accepted(&mut self, kit: &mut Kit<'_, '_>) {
        if let Some(accepted) = self.accepted.take() {
            super::acks::dismiss(kit, accepted.client, accepted.status, accepted.held.message());
        }
    }

    /// Arms the timer that repeats what was not acknowledged yet.
    fn arm_reliable(&mut self, kit: &mut Kit<'_, '_>, key: CallKey) {
        kit.ctx.timers.disarm(core::mem::take(&mut self.timers.reliable));
        if self.phase != Phase::Ringing {
            return;
        }
        let t1 = kit.ctx.settings.timers.t1;
        let early = self.links.iter().filter_map(|link| link.early.as_ref());
        let due = early
            .filter_map(|early| early.unacked.as_ref())
            .map(|unacked| unacked.since + reliable::waited(t1, unacked.sent).min(t1 * 64));
        if let Some(due) = due.min() {
            let timer = Timer::Call(key.to_bits(), CallTimer::Reliable);
            self.timers.reliable = kit.ctx.timers.arm(due, timer);
        }
    }

    /// One is repeated; or its PRACK will not come, and so will nothing else (RFC 3262 s3).
    pub(super) fn on_reliable_timer(&mut self, kit: &mut Kit<'_, '_>, desk: &mut Desk, key: CallKey) {
        let Some(incoming) = &self.incoming else { return };
        let t1 = kit.ctx.settings.timers.t1;
        let mut lost = false;
        for unacked in self.links.iter_mut().filter_map(|link| link.early.as_mut()?.unacked.as_mut()) {
            let waited = kit.ctx.now.since(unacked.since);
            lost |= waited >= t1 * 64;
            if waited >= reliable::waited(t1, unacked.sent) {
                unacked.sent = unacked.sent.saturating_add(1);
                kit.ctx.stats.count(Counter::Resent);
                let (status, payload) = (Status(unacked.status), unacked.payload.clone());
                if !lost {
                    kit.txn.respond(kit.ctx, incoming.server, status, payload, None);
                }
            }
        }
        match lost {
            true => {
                self.best = None;
                self.refuse(kit, desk, Status::SERVER_TIMEOUT);
            }
            false => self.arm_reliable(kit, key),
        }
    }
}

/// Acknowledges a response of the callee, with what the caller's PRACK carries.
fn send_prack(
    kit: &mut Kit<'_, '_>,
    key: CallKey,
    link: &mut Link,
    number: u32,
    asked: Option<&Asked<'_>>,
) -> Result<(), Refusal> {
    let crossing = link.crossing(kit.ctx.settings, CALLEE);
    let side = &mut link.sides[CALLEE];
    let invite = link.early.as_ref().map_or(0, |early| early.invites[1]);
    side.dialog.advance();
    let cseq = side.dialog.cseq();
    let from = asked.map(|asked| (asked.msg, crossing, asked.msg.body()));
    let sent = write::request_with(kit, side, Method::Prack, cseq, from, |writer| {
        reliable::write_rack(writer, number, invite);
    });
    let sent = sent.ok_or(Refusal::plain(Status::TEMPORARILY_UNAVAILABLE))?;
    link.send(kit, key, (CALLEE, Method::Prack, cseq), sent, asked)
        .ok_or(Refusal::plain(Status::SERVICE_UNAVAILABLE))?;
    Ok(())
}
