//! The B2BUA: calls, from the INVITE that asks for one to the last BYE. RFC 3261 s9, s12 to s15, RFC 7092.
//!
//! Each leg is a dialog of its own: Call-ID, tags, CSeq and Contact never cross (`dialog::Crossing` says what does). A
//! [`Call`](call::Call) is one INVITE of a caller, the INVITEs sent for it ([`Attempt`](call::Attempt), `table` says
//! what becomes of one), and pairs of dialogs ([`Link`](call::Link)): one for each early dialog, and one when it is
//! answered. Within a pair both sides are alike: a request from one becomes a request to the other, and its answer goes
//! back.
//!
//! - `call`: what a call is made of
//! - `desk`: how calls are found, and counted
//! - `table`: an INVITE of ours, as one table
//! - `setup`: INVITEs to everybody who is tried, and what becomes of them; `close`: when nothing does
//! - `talk`: requests within a pair, what is repeated; `acks`: ACK and BYE of one side
//! - `reliable`: provisional responses that are acknowledged; `offers`: one offer at a time
//! - `prove`: credentials for trunks; `breadth`: how many may ring at once; `info`: packages of INFO
//! - `media`: what a relay needs to know
//! - `settle`: what calls say to each other
//! - `replaces`: who takes the place of another; `pickup`: of a phone that rings
//! - `refer`: transfers; `dial`: calls that the host begins; `seen`: what the host is shown of calls; `sdp`: what they
//!   change in session descriptions
//! - `refresh`: what keeps a leg alive
//! - `streams`: connections that calls hold open
//! - `told`: where its parties stand, for who watches them
//! - `update`: UPDATE to who takes none
//! - `write`: the messages
//!
//! Guarantees: after our 100 every caller gets a final response; every final response to an INVITE is acknowledged, a
//! 2xx that nobody waits for with ACK and BYE; nothing is sent to who has gone; every leg ends; when the last call is
//! over all tables are empty.

mod acks;
mod breadth;
mod call;
mod close;
mod desk;
mod dial;
mod info;
mod media;
mod offers;
mod pickup;
mod prove;
mod refer;
mod refresh;
mod reliable;
mod replaces;
mod sdp;
mod seen;
mod settle;
mod setup;
mod streams;
mod table;
mod talk;
mod told;
mod update;
mod write;

use core::time::Duration;
use std::collections::{BTreeMap, VecDeque};

use bytes::Bytes;

pub(crate) use call::{Asker, Call, Hop, Lines};
pub(crate) use dial::Party;
pub(crate) use media::{Shown, is_session};

use crate::base::ids;
use crate::base::text::owned;
use crate::base::{Ids, Index, Key, Slab};
use crate::ctx::{CallPhase, CallState, CallTimer, Ctx, Extra, Locate, Origin, Refusal, Timer};
use crate::dialog::{Addressed, Dialog};
use crate::door::{CallEnd, CallEvent, CallRecord, Event};
use crate::txn::{ClientEvent, ClientFailure, ClientKey, ServerKey, Transactions, TxnId, Usage};
use crate::wire::{Essentials, Message, Method, Status, StatusLine};
use call::{Best, Incoming, Phase, Timers};
use desk::{Desk, less};
use streams::Streams;

/// Names a call.
pub(crate) type CallKey = Key<Call>;

/// RFC 3261 s13.3.1.1: a caller is told again each minute that it rings.
const PROGRESS: Duration = Duration::from_secs(60);

/// What a room needs to send.
pub(crate) struct Kit<'k, 'e> {
    pub(crate) ctx: &'k mut Ctx<'e>,
    pub(crate) txn: &'k mut Transactions,
    pub(crate) phones: &'k dyn Locate,
}

impl Kit<'_, '_> {
    /// Sends a request. `None` if there is no room for one more transaction.
    fn send(
        &mut self,
        method: Method,
        usage: Usage,
        (payload, addressed): (Bytes, Addressed),
    ) -> Option<ClientKey> {
        let Addressed { to, branch, instead } = addressed;
        let client = self.txn.send(self.ctx, &to, method, usage, &branch, payload).ok()?;
        if let Some(instead) = instead {
            self.txn.or_else(self.ctx, client, instead);
        }
        Some(client)
    }
}

/// A request on its way in.
#[derive(Clone, Copy)]
pub(crate) struct Asked<'m> {
    pub(crate) origin: &'m Origin,
    pub(crate) msg: Message<'m>,
    pub(crate) ess: &'m Essentials<'m>,
    pub(crate) server: ServerKey,
}

/// How what was tried ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Outcome {
    /// It rang, and nobody answered.
    NoAnswer,
    /// It was refused with this status, the best of all.
    Refused(u16),
    /// There was nobody to try.
    Nobody,
}

/// What the engine is to do for a call.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum News {
    /// Everybody was tried: somebody else, or [`Bridge::give_up`].
    Exhausted(CallKey, Outcome),
    /// A transfer was asked for: [`Bridge::transfer`], or [`Bridge::refuse_transfer`].
    Refer(CallKey),
    /// It is over, and forgotten.
    Gone(CallKey),
    /// No call is in this session of media any more.
    Silent(u64),
}

/// All calls.
#[derive(Clone, Debug)]
pub(crate) struct Bridge {
    calls: Slab<Call>,
    desk: Desk,
}

pub(crate) use told::shown;

impl Bridge {
    pub(crate) fn new(ids: &Ids) -> Bridge {
        let desk = Desk {
            hash: ids.hash_key(),
            dialogs: Index::default(),
            invited: Index::default(),
            by_id: BTreeMap::new(),
            servers: BTreeMap::new(),
            by_account: BTreeMap::new(),
            by_trunk: BTreeMap::new(),
            by_session: BTreeMap::new(),
            by_source: BTreeMap::new(),
            news: Vec::new(),
            inner: VecDeque::new(),
            streams: Streams::default(),
            told: VecDeque::new(),
            began: 0,
        };
        Bridge { calls: Slab::default(), desk }
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.calls.len()
    }

    /// How many dialogs they have.
    pub(crate) fn dialogs(&self) -> usize {
        self.desk.dialogs.len()
    }

    /// How many other entries there are by which they are found and counted.
    pub(crate) fn keys(&self) -> usize {
        let Desk { invited, servers, by_account, by_session, by_source, news, inner, told, .. } = &self.desk;
        let waiting = news.len() + inner.len() + told.len();
        invited.len() + servers.len() + by_account.len() + by_session.len() + by_source.len() + waiting
    }

    /// What the engine is to do.
    pub(crate) fn take_news(&mut self) -> Vec<News> {
        core::mem::take(&mut self.desk.news)
    }

    /// Where a party of ours stands that stood elsewhere before.
    pub(crate) fn next_told(&mut self) -> Option<CallState> {
        self.desk.told.pop_front()
    }

    pub(crate) fn has_news(&self) -> bool {
        !self.desk.news.is_empty() || !self.desk.told.is_empty()
    }

    /// The call a request is in.
    pub(crate) fn find(&self, ess: &Essentials<'_>) -> Option<CallKey> {
        let hash = Dialog::hash_of(&self.desk.hash, ess);
        self.desk.dialogs.find(hash, |key| self.calls.get(key).is_some_and(|call| call.find(ess).is_some()))
    }

    /// Does an INVITE of ours wait for the response that makes the dialog of this request known? Whoever sent it has
    /// answered, and was overtaken.
    pub(crate) fn is_awaited(&self, ess: &Essentials<'_>) -> bool {
        let ours = ess.to.tag().unwrap_or_default();
        let named = |base: &Dialog| base.call_id() == ess.call_id && base.own_tag() == ours;
        let waits = |key| {
            self.calls.get(key).is_some_and(|call| {
                call.attempts.iter().any(|attempt| attempt.state.is_open() && named(&attempt.base))
            })
        };
        self.desk.invited.find(self.desk.hash.hash_parts(&[ess.call_id, ours]), waits).is_some()
    }

    /// The INVITE that asked for a call, until it is answered.
    pub(crate) fn invite_of(&self, key: CallKey) -> Option<Message<'_>> {
        self.calls.get(key)?.incoming.as_ref().map(|incoming| incoming.held.message())
    }

    /// How many calls are on a trunk.
    pub(crate) fn on_trunk(&self, trunk: u16) -> usize {
        self.desk.by_trunk.get(&trunk).copied().unwrap_or(0)
    }

    /// Does a call hold this connection open?
    pub(crate) fn uses_flow(&self, flow: crate::door::FlowId) -> bool {
        self.desk.streams.holds(flow)
    }

    /// A caller asks for a call. It is answered with 100, and then waits for [`ring`](Self::ring).
    pub(crate) fn begin(
        &mut self,
        kit: &mut Kit<'_, '_>,
        asked: &Asked<'_>,
        id: TxnId,
        asker: Asker,
        callee: Box<str>,
    ) -> Result<CallKey, Refusal> {
        self.refuse_if_full(kit.ctx, asked, &asker)?;
        refresh::check(kit, asked.msg)?;
        // RFC 7332 s5: what has come too far goes no further.
        if asked.ess.max_forwards == Some(0) {
            return Err(Refusal::plain(Status::TOO_MANY_HOPS));
        }
        let breadth = breadth::check(asked.msg)?;
        let ctx = &mut *kit.ctx;
        let tag = ids::write(id.tag());
        let dialog = Dialog::new(ctx, asked.origin, asked.msg, asked.ess, &tag)?;
        self.desk.began += 1;
        let (source, call_id) = (asked.origin.remote, owned(asked.ess.call_id));
        let parties = [asker.aor.clone(), callee];
        let record = Box::new(CallRecord::begun(self.desk.began, ctx.now, source, call_id, parties));
        let account = asker.aor.clone();
        let key = self.desk.enter(&mut self.calls, ctx, asker, account, record);
        if let Some(call) = self.calls.get_mut(key) {
            call.incoming = Some(Incoming {
                server: asked.server,
                held: asked.msg.to_held(),
                origin: *asked.origin,
                tag,
                dialog: Some(dialog),
                breadth,
                progress: None,
            });
        }
        self.desk.servers.insert(asked.server, key);
        let life = kit.ctx.settings.calls.as_ref().map_or(Duration::ZERO, |calls| calls.ring_timeout);
        let (life, again) = (kit.ctx.now + life, kit.ctx.now + PROGRESS);
        if let Some(call) = self.calls.get_mut(key) {
            call.timers.life = kit.ctx.timers.arm(life, Timer::Call(key.to_bits(), CallTimer::Life));
            call.timers.progress = kit.ctx.timers.arm(again, Timer::Call(key.to_bits(), CallTimer::Progress));
            self.desk.count_trunks(call, kit.ctx);
            call.trying(kit);
            call.tell_caller(kit.ctx, &mut self.desk, CallPhase::Trying);
        }
        Ok(key)
    }

    fn refuse_if_full(&self, ctx: &Ctx<'_>, asked: &Asked<'_>, asker: &Asker) -> Result<(), Refusal> {
        let limits = &ctx.settings.limits;
        let source = asked.origin.remote.ip().to_canonical();
        let account = self.desk.by_account.get(&asker.aor).copied().unwrap_or(0);
        let near = self.desk.by_source.get(&source).copied().unwrap_or(0);
        let full = self.calls.len() >= limits.calls
            || (!asker.trusted && account >= limits.calls_per_account)
            || (!asker.trusted && near >= limits.calls_per_source);
        match full {
            true => Err(Refusal::with(Status::SERVICE_UNAVAILABLE, Extra::RetryAfter(5))),
            false => Ok(()),
        }
    }

    /// Calls these, one group after the other, each for so long at most.
    pub(crate) fn ring(
        &mut self,
        kit: &mut Kit<'_, '_>,
        key: CallKey,
        groups: impl IntoIterator<Item = Vec<Hop>>,
        ring: Duration,
    ) {
        self.with(kit, key, |call, desk, kit| {
            if call.phase == Phase::Ringing {
                let groups = groups.into_iter().filter(|group| !group.is_empty());
                match &call.invitation {
                    Some(invitation) => {
                        let groups = groups.map(|group| invitation.carry(group));
                        call.queue.extend(groups.filter(|group| !group.is_empty()));
                        if call.queue.is_empty() && invitation.replaces_elsewhere() {
                            let (status, held) = (Status::NO_TRANSACTION.0, None);
                            call.best.get_or_insert(Best { status, held, local: false });
                        }
                    }
                    None => call.queue.extend(groups),
                }
                call.ring = ring;
                call.go_on(kit, desk, key);
            }
        });
        self.settle(kit);
    }

    /// Nobody is left to try: the caller gets the best response there was, or this one.
    pub(crate) fn give_up<'l>(
        &mut self,
        kit: &mut Kit<'_, '_>,
        key: CallKey,
        line: impl Into<StatusLine<'l>>,
    ) {
        self.with(kit, key, |call, desk, kit| call.refuse(kit, desk, line));
        self.settle(kit);
    }

    /// The caller is told to call these instead.
    pub(crate) fn redirect(&mut self, kit: &mut Kit<'_, '_>, key: CallKey, to: &[Box<str>]) {
        self.with(kit, key, |call, desk, kit| call.redirect(kit, desk, to));
        self.settle(kit);
    }

    /// The call is refused for a reason of ours.
    pub(crate) fn refuse<'l>(
        &mut self,
        kit: &mut Kit<'_, '_>,
        key: CallKey,
        line: impl Into<StatusLine<'l>>,
    ) {
        self.with(kit, key, |call, desk, kit| {
            call.best = None;
            call.refuse(kit, desk, line);
        });
        self.settle(kit);
    }

    /// The host ends a call, or it has to end for another reason of ours.
    pub(crate) fn hang_up(&mut self, kit: &mut Kit<'_, '_>, key: CallKey, end: CallEnd) {
        self.with(kit, key, |call, desk, kit| match call.phase {
            Phase::Ringing => {
                call.best = None;
                call.record.end = end;
                call.refuse(kit, desk, Status::TEMPORARILY_UNAVAILABLE);
            }
            Phase::Answered => call.end(kit, desk, key, None, end),
            Phase::Over => {}
        });
        self.settle(kit);
    }

    /// All calls in the order of their begin, for a drain that has lasted long enough.
    pub(crate) fn all(&self) -> Vec<CallKey> {
        self.desk.by_id.values().copied().collect()
    }

    /// A request within a dialog of a call.
    pub(crate) fn on_request(
        &mut self,
        kit: &mut Kit<'_, '_>,
        key: CallKey,
        asked: &Asked<'_>,
    ) -> Result<(), Refusal> {
        if asked.msg.method() == Method::Refer {
            return self.on_refer(kit, key, asked);
        }
        let mut result = Ok(());
        self.with(kit, key, |call, desk, kit| result = call.on_request(kit, desk, key, asked));
        self.settle(kit);
        result
    }

    /// An ACK that no transaction consumed. False if it is for no call.
    pub(crate) fn on_ack(
        &mut self,
        kit: &mut Kit<'_, '_>,
        origin: &Origin,
        msg: Message<'_>,
        ess: &Essentials<'_>,
    ) -> bool {
        let Some(key) = self.find(ess) else { return false };
        let side = self.calls.get_mut(key).and_then(|call| {
            let (at, from) = call.find(ess)?;
            call.links.get_mut(at).map(|link| &mut link.sides[from])
        });
        if side.is_none_or(|side| side.dialog.check_peer(kit.ctx, origin).is_err()) {
            return false;
        }
        self.with(kit, key, |call, desk, kit| call.on_ack(kit, desk, key, msg, ess));
        self.settle(kit);
        true
    }

    /// An INVITE that waits for its final response was cancelled. False if it is of no call.
    pub(crate) fn on_cancel(
        &mut self,
        kit: &mut Kit<'_, '_>,
        server: ServerKey,
        cancel: Message<'_>,
    ) -> bool {
        let Some(key) = self.desk.servers.get(&server).copied() else { return false };
        self.with(kit, key, |call, desk, kit| call.on_cancel(kit, desk, server, cancel));
        self.settle(kit);
        true
    }

    /// A response to a request of ours.
    pub(crate) fn on_response(
        &mut self,
        kit: &mut Kit<'_, '_>,
        bits: u64,
        client: ClientKey,
        status: u16,
        msg: Message<'_>,
    ) {
        let key = CallKey::from_bits(bits);
        let here = self.calls.get(key).map(|call| call.phase);
        // It may be that it went on in another call; what this one still waits for is not of that.
        let moved = match here {
            Some(Phase::Ringing | Phase::Answered) => None,
            _ if self.is_open(key, client) => None,
            Some(Phase::Over) | None => self.of_answer(msg).filter(|other| *other != key),
        };
        match (moved, here) {
            (Some(other), _) => {
                self.with(kit, other, |call, _, kit| call.answered_again(kit, client, status, msg));
            }
            (None, Some(_)) => {
                self.with(kit, key, |call, desk, kit| call.on_response(kit, desk, key, client, status, msg));
            }
            (None, None) => acks::dismiss(kit, client, status, msg),
        }
        self.settle(kit);
    }

    /// The call of the dialog that a response is of.
    fn of_answer(&self, msg: Message<'_>) -> Option<CallKey> {
        let (own, theirs) = (msg.from().ok()?, msg.to().ok()?);
        let (own, theirs) = (own.tag().unwrap_or_default(), theirs.tag().unwrap_or_default());
        self.with_tags(msg.call_id().ok()?, own, theirs).map(|(key, ..)| key)
    }

    /// A request of ours has no answer.
    pub(crate) fn on_failure(&mut self, kit: &mut Kit<'_, '_>, bits: u64, event: ClientEvent) {
        let key = CallKey::from_bits(bits);
        self.with(kit, key, |call, desk, kit| match event.what {
            // RFC 3261 s16.8: it has rung for too long for its proxy.
            ClientFailure::Unanswered => call.on_unanswered(kit, event.key),
            _ => call.on_failure(kit, desk, key, event.key),
        });
        self.settle(kit);
    }

    pub(crate) fn on_timer(&mut self, kit: &mut Kit<'_, '_>, bits: u64, timer: CallTimer) {
        let key = CallKey::from_bits(bits);
        self.with(kit, key, |call, desk, kit| match timer {
            CallTimer::Ring => call.on_ring_timer(kit, desk, key),
            CallTimer::Progress => call.on_progress_timer(kit, key),
            CallTimer::Unacked => call.on_unacked_timer(kit, desk, key),
            CallTimer::Reliable => call.on_reliable_timer(kit, desk, key),
            CallTimer::Session => call.on_session_timer(kit, desk, key),
            CallTimer::Update => call.on_update_timer(kit),
            CallTimer::Life => call.on_life_timer(kit, desk, key),
        });
        self.settle(kit);
    }

    /// Does something with a call, and forgets it if nothing is left of it.
    fn with(
        &mut self,
        kit: &mut Kit<'_, '_>,
        key: CallKey,
        act: impl FnOnce(&mut Call, &mut Desk, &mut Kit<'_, '_>),
    ) {
        let Some(call) = self.calls.get_mut(key) else { return };
        act(call, &mut self.desk, kit);
        self.desk.streams.follow(key, call);
        self.desk.count_trunks(call, kit.ctx);
        if !call.is_gone() {
            return;
        }
        let Some(mut call) = self.calls.remove(key) else { return };
        self.desk.streams.forget(key, &call.streams);
        debug_assert!(!self.calls.is_empty() || self.desk.streams.is_empty());
        let Timers { ring, progress, unacked, reliable, update, life } = call.timers;
        [ring, progress, unacked, reliable, update, life].into_iter().for_each(|timer| {
            kit.ctx.timers.disarm(timer);
        });
        call.attempts.iter().for_each(|attempt| self.desk.uninvite(key, &attempt.base));
        for side in call.links.iter_mut().flat_map(|link| &mut link.sides) {
            side.timer.stop(kit.ctx);
            self.desk.strike(key, &side.dialog);
        }
        for trunk in &call.on_trunks {
            less(&mut self.desk.by_trunk, trunk);
        }
        call.was_in.iter().chain([&call.media]).for_each(|session| self.desk.leave_session(*session));
        less(&mut self.desk.by_account, &call.account);
        less(&mut self.desk.by_source, &call.record.source.ip().to_canonical());
        kit.ctx.stats.call_ended(call.record.end);
        // The number of one that went on as another is that one's.
        if self.desk.by_id.get(&call.record.id) == Some(&key) {
            self.desk.by_id.remove(&call.record.id);
            if kit.ctx.settings.tell.calls {
                kit.ctx.out.tell(Event::Call(Box::new(CallEvent::Ended(call.record))));
            }
        }
        self.desk.news.push(News::Gone(key));
    }
}
