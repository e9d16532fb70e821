//! Client transactions: RFC 3261 s17.1 as amended by RFC 6026 s7.2.
//!
//! INVITE:
//!
//! | state | 1xx | 2xx | 300-699 | timer | cannot be sent |
//! |---|---|---|---|---|---|
//! | Calling | to TU, > Proceeding, C | to TU, > Accepted, M | ACK, to TU, > Completed, D | A: resend; B: tell TU, > gone | tell TU, > gone |
//! | Proceeding | to TU, C anew | to TU, > Accepted, M | ACK, to TU, > Completed, D | C: tell TU, wait 64*T1; again: tell TU, > gone | tell TU, > gone |
//! | Accepted | absorb | to TU | absorb | M: > gone | - |
//! | Completed | absorb | of another fork: to TU | ACK again | D: > gone | > gone |
//!
//! All others:
//!
//! | state | 1xx | 200-699 | timer | cannot be sent |
//! |---|---|---|---|---|
//! | Calling (Trying) | to TU, > Proceeding | to TU, > Completed, K | E: resend; F: tell TU, > gone | tell TU, > gone |
//! | Proceeding | to TU | to TU, > Completed, K | E: resend; F: tell TU, > gone | tell TU, > gone |
//! | Completed | absorb | absorb | K: > gone | - |
//!
//! Invariants: a transaction has at most one timer armed (of A and B, E and F the earlier one), and none left when it is
//! gone; the TU hears one outcome: a final response, or a failure after which the transaction is gone.

use core::net::SocketAddr;
use core::num::NonZeroU64;
use core::time::Duration;
use std::collections::BTreeSet;

use bytes::Bytes;
use smallvec::SmallVec;

use super::ack;
use super::key::Name;
use super::timing::Timing;
use super::{ClientEvent, ClientFailure, ResponseMatch, Usage, transmit};
use crate::base::{HashKey, Index, Key, Slab, Time, TimerKey, addr_number};
use crate::ctx::{ClientTimer, Ctx, Origin, Timer};
use crate::door::{FlowId, SaveSeq};
use crate::stats::Counter;
use crate::wire::{Header, Kind, Message, Method, Via};

/// Names a client transaction.
pub(crate) type ClientKey = Key<Client>;

/// More devices than these are not remembered of one INVITE.
const ACCEPTED: usize = 16;

/// A transaction as the budget counts it, without its payload.
pub(super) const CLIENT_BYTES: usize = size_of::<Client>() + 176;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum State {
    /// Nothing came back yet; not INVITE: the RFC says Trying.
    Calling,
    /// A provisional response came.
    Proceeding,
    /// INVITE: a 2xx came (RFC 6026).
    Accepted,
    /// A final response came; INVITE: not a 2xx.
    Completed,
}

/// One client transaction.
#[derive(Clone, Debug)]
pub(crate) struct Client {
    name: Name,
    /// When the request went out first.
    since: Time,
    /// What to repeat: the request, then the ACK.
    payload: Bytes,
    to: Origin,
    timer: TimerKey,
    usage: Usage,
    method: Method,
    pub(super) state: State,
    /// How often timer A or E has fired.
    resent: u8,
    /// A CANCEL is on its way: when timer C fires, it is over.
    cancelled: bool,
    /// Each copy is held until this change is durable.
    after: Option<NonZeroU64>,
    /// How it goes if the connection that its size asked for is refused.
    instead: Option<Box<Instead>>,
    /// The dialogs of which anything is to be known here, if it is an INVITE.
    made: SmallVec<[Made; 1]>,
}

/// A dialog that the answers to an INVITE of ours made.
#[derive(Clone, Copy, Debug)]
struct Made {
    /// A hash of the tag that names it.
    tag: u64,
    /// It was accepted.
    accepted: bool,
    /// How many requests were sent in it before it was.
    spent: u32,
}

/// RFC 3261 s18.1.1: a request that goes over TCP for its size goes by UDP after all if the connection is refused.
#[derive(Clone, Debug)]
pub(crate) struct Instead {
    /// Where to.
    pub(crate) to: Origin,
    /// The Via of that way, with the same branch.
    pub(crate) via: Box<[u8]>,
}

impl Client {
    fn bytes(&self) -> usize {
        CLIENT_BYTES + self.payload.len()
    }

    fn timing(&self, ctx: &Ctx<'_>) -> Timing {
        Timing::new(&ctx.settings.timers, self.to.transport.is_reliable())
    }

    fn is_invite(&self) -> bool {
        self.method == Method::Invite
    }

    fn is_waiting(&self) -> bool {
        matches!(self.state, State::Calling | State::Proceeding)
    }

    fn resend(&self, ctx: &mut Ctx<'_>) {
        ctx.stats.count(Counter::Resent);
        transmit(ctx, &self.to, self.after.map(|seq| SaveSeq(seq.get())), self.payload.clone());
    }

    fn arm(&mut self, ctx: &mut Ctx<'_>, key: ClientKey, deadline: Time, timer: ClientTimer) {
        self.disarm(ctx);
        self.timer = ctx.timers.arm(deadline, Timer::Client(key.to_bits(), timer));
    }

    fn disarm(&mut self, ctx: &mut Ctx<'_>) {
        if !self.timer.is_none() {
            ctx.timers.disarm(self.timer);
            self.timer = TimerKey::NONE;
        }
    }

    /// A or E, or the timer that gives up if it is due before.
    fn arm_resend(&mut self, ctx: &mut Ctx<'_>, key: ClientKey) {
        let timing = self.timing(ctx);
        let (again, resend, end, over) = match (self.is_invite(), self.state) {
            (true, _) => (timing.a(self.resent), ClientTimer::A, timing.b(), ClientTimer::B),
            (false, State::Proceeding) => (timing.e_proceeding(), ClientTimer::E, timing.f(), ClientTimer::F),
            (false, _) => (timing.e(self.resent), ClientTimer::E, timing.f(), ClientTimer::F),
        };
        let early =
            if self.usage.is_relayed() && !self.is_invite() { timing.relay_lead() } else { Duration::ZERO };
        let end = self.since + end.saturating_sub(early);
        match again.map(|interval| ctx.now + interval) {
            Some(at) if at < end => self.arm(ctx, key, at, resend),
            _ => self.arm(ctx, key, end, over),
        }
    }
}

/// Where a request went: those to one address stand together, and so do all of a flow.
type Place = (FlowId, u64, ClientKey);

fn place(to: &Origin, key: ClientKey) -> Place {
    (to.flow, addr_number(to.remote), key)
}

/// All client transactions.
#[derive(Clone, Debug, Default)]
pub(super) struct Clients {
    slab: Slab<Client>,
    /// By branch and method. A peer chooses what is looked up: the keyed hash.
    names: Index<ClientKey>,
    /// Those that something was sent for and that wait, by where it went.
    waiting: BTreeSet<Place>,
    bytes: usize,
}

impl Clients {
    pub(super) fn len(&self) -> usize {
        self.slab.len()
    }

    pub(super) fn usage(&self, name: Name) -> Option<Usage> {
        let is = |key| self.slab.get(key).is_some_and(|client| client.name == name);
        self.slab.get(self.names.find(name.hash, is)?).map(|client| client.usage)
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(super) fn send(
        &mut self,
        ctx: &mut Ctx<'_>,
        to: &Origin,
        (method, usage, name): (Method, Usage, Name),
        payload: Bytes,
        after: Option<SaveSeq>,
    ) -> ClientKey {
        // The order is a promise: what is sent precedes the timer that repeats it.
        transmit(ctx, to, after, payload.clone());
        self.bytes += CLIENT_BYTES + payload.len();
        let key = self.slab.insert(Client {
            name,
            since: ctx.now,
            payload,
            to: *to,
            timer: TimerKey::NONE,
            usage,
            method,
            state: State::Calling,
            resent: 0,
            cancelled: false,
            after: after.and_then(|SaveSeq(seq)| NonZeroU64::new(seq)),
            instead: None,
            made: SmallVec::new(),
        });
        self.names.insert(name.hash, key);
        self.waiting.insert(place(to, key));
        if let Some(client) = self.slab.get_mut(key) {
            client.arm_resend(ctx, key);
        }
        key
    }

    /// Should the connection it waits for be refused, or not come up soon, it goes this way.
    pub(super) fn or_else(&mut self, ctx: &mut Ctx<'_>, key: ClientKey, instead: Box<Instead>) {
        let Some(client) = self.slab.get_mut(key) else { return };
        if ctx.flows.get(client.to.flow).is_some_and(|flow| flow.opening) {
            client.instead = Some(instead);
            // A firewall that swallows what it does not let through says nothing for long.
            let deadline = ctx.now + ctx.settings.timers.t1 * 2;
            let timer = if client.is_invite() { ClientTimer::A } else { ClientTimer::E };
            client.arm(ctx, key, deadline, timer);
        }
    }

    /// Where the CANCEL of an INVITE that still waits goes, its branch, and what it says.
    pub(super) fn cancel_of(
        &self,
        ctx: &mut Ctx<'_>,
        key: ClientKey,
        reason: Option<&str>,
    ) -> Option<(Origin, SmallVec<[u8; 32]>, Bytes)> {
        let client = self.slab.get(key).filter(|client| client.is_invite() && client.is_waiting())?;
        let (branch, payload) = ack::cancel(ctx, &client.payload, reason)?;
        Some((client.to, branch, payload))
    }

    pub(super) fn is_bare(&self, key: ClientKey) -> bool {
        // Behind a refusal its ACK stands there.
        let is = |client: &Client| client.state != State::Completed && client.payload.ends_with(b"\r\n\r\n");
        self.slab.get(key).is_some_and(is)
    }

    pub(super) fn spend(&mut self, key: ClientKey, tag: u64) {
        if let Some(made) = self.made(key, tag) {
            made.spent += 1;
        }
    }

    pub(super) fn spent(&self, key: ClientKey, tag: u64) -> u32 {
        let made = self.slab.get(key).and_then(|client| client.made.iter().find(|made| made.tag == tag));
        made.map_or(0, |made| made.spent)
    }

    /// The dialog of this tag; `None` if the transaction is gone.
    fn made(&mut self, key: ClientKey, tag: u64) -> Option<&mut Made> {
        let of_it = &mut self.slab.get_mut(key)?.made;
        let at = of_it.iter().position(|made| made.tag == tag).unwrap_or(of_it.len());
        if at == of_it.len() {
            of_it.push(Made { tag, accepted: false, spent: 0 });
        }
        of_it.get_mut(at)
    }

    pub(super) fn sent_to(&self, key: ClientKey) -> Option<Origin> {
        self.slab.get(key).map(|client| client.to)
    }

    /// True if an INVITE is accepted under the tag of this hash for the first time: a 2xx that comes again makes nothing
    /// new.
    pub(super) fn accepted(&mut self, key: ClientKey, tag: u64) -> bool {
        let accepted =
            self.slab.get(key).into_iter().flat_map(|client| &client.made).filter(|made| made.accepted);
        let known = accepted.clone().any(|made| made.tag == tag);
        if !known
            && accepted.count() < ACCEPTED
            && let Some(made) = self.made(key, tag)
        {
            made.accepted = true;
        }
        !known
    }

    pub(super) fn cancelled(&mut self, ctx: &mut Ctx<'_>, key: ClientKey) {
        let Some(client) = self.slab.get_mut(key).filter(|client| client.is_invite() && client.is_waiting())
        else {
            return;
        };
        client.cancelled = true;
        if client.state == State::Proceeding {
            let deadline = ctx.now + client.timing(ctx).b();
            client.arm(ctx, key, deadline, ClientTimer::C);
        }
    }

    /// `None`: the response is not for us.
    pub(super) fn on_response(
        &mut self,
        ctx: &mut Ctx<'_>,
        hash: &HashKey,
        msg: Message<'_>,
    ) -> Option<ResponseMatch> {
        let Kind::Response { status, .. } = msg.kind() else { return None };
        let (via, is_only) = msg.top_via().ok()?;
        let cseq = msg.cseq().ok()?;
        // RFC 3261 s8.1.3.3: a response with more than one Via went astray.
        if !is_only {
            return None;
        }
        let name = Name::of_client(hash, via.branch()?, cseq.method, cseq.method_raw);
        let key =
            self.names.find(name.hash, |key| self.slab.get(key).is_some_and(|client| client.name == name))?;
        let client = self.slab.get(key)?;
        // RFC 3261 s18.1.2: the sent-by must be the one we wrote.
        if !client.payload.is_empty() && !is_own(&client.payload, msg, &via) {
            return None;
        }
        Some(if client.is_invite() {
            self.on_invite_response(ctx, key, status, msg)
        } else {
            self.on_other_response(ctx, key, status)
        })
    }

    fn on_invite_response(
        &mut self,
        ctx: &mut Ctx<'_>,
        key: ClientKey,
        status: u16,
        msg: Message<'_>,
    ) -> ResponseMatch {
        let Some(client) = self.slab.get_mut(key) else { return ResponseMatch::Stray };
        let usage = client.usage;
        let timing = client.timing(ctx);
        match (client.state, status) {
            (State::Calling | State::Proceeding, 100..=199) => {
                let first = client.state == State::Calling;
                client.state = State::Proceeding;
                // RFC 3261 s16.7 step 2: 101 to 199 start timer C anew. RFC 3261 s9.1: a CANCEL has 64*T1.
                if client.cancelled && first {
                    let deadline = ctx.now + timing.b();
                    client.arm(ctx, key, deadline, ClientTimer::C);
                } else if !client.cancelled && (first || status > 100) {
                    let deadline = ctx.now + timing.c();
                    client.arm(ctx, key, deadline, ClientTimer::C);
                }
                ResponseMatch::Deliver { key, usage, first: true }
            }
            // RFC 6026 s7.2: stays, so that further 2xx find their way.
            (State::Calling | State::Proceeding, 200..=299) => {
                client.state = State::Accepted;
                let deadline = ctx.now + timing.m();
                client.arm(ctx, key, deadline, ClientTimer::M);
                self.stop_waiting(key);
                ResponseMatch::Deliver { key, usage, first: true }
            }
            (State::Calling | State::Proceeding, _) => {
                let ack = ack::build(ctx, &client.payload, msg);
                if let Some(ack) = &ack {
                    // RFC 3261 s17.1.1.2: to where the request went.
                    transmit(ctx, &client.to, None, ack.clone());
                }
                client.state = State::Completed;
                self.stop_waiting(key);
                self.finish(ctx, key, timing.d(), ClientTimer::D, ack.unwrap_or_default());
                ResponseMatch::Deliver { key, usage, first: true }
            }
            (State::Accepted, 200..=299) => ResponseMatch::Deliver { key, usage, first: false },
            // RFC 3261 s16.7 step 5: proxies send it on behind a refusal. Who is in a call by it is let go.
            (State::Completed, 200..=299)
                if usage.is_relayed() && ack::is_for_another(&client.payload, msg) =>
            {
                ResponseMatch::Deliver { key, usage, first: false }
            }
            (State::Completed, 300..) => {
                if !client.payload.is_empty() {
                    client.resend(ctx);
                }
                ResponseMatch::Absorbed
            }
            (State::Accepted | State::Completed, _) => ResponseMatch::Absorbed,
        }
    }

    fn on_other_response(&mut self, ctx: &mut Ctx<'_>, key: ClientKey, status: u16) -> ResponseMatch {
        let Some(client) = self.slab.get_mut(key) else { return ResponseMatch::Stray };
        let usage = client.usage;
        match (client.state, status) {
            (State::Calling | State::Proceeding, 100..=199) => {
                // RFC 3261 s17.1.2.2: timer E runs on as it is; only its next interval is T2.
                client.state = State::Proceeding;
                ResponseMatch::Deliver { key, usage, first: true }
            }
            (State::Calling | State::Proceeding, _) => {
                client.state = State::Completed;
                let k = client.timing(ctx).k();
                self.stop_waiting(key);
                self.finish(ctx, key, k, ClientTimer::K, Bytes::new());
                ResponseMatch::Deliver { key, usage, first: true }
            }
            (State::Accepted | State::Completed, _) => ResponseMatch::Absorbed,
        }
    }

    pub(super) fn on_timer(
        &mut self,
        ctx: &mut Ctx<'_>,
        key: ClientKey,
        timer: ClientTimer,
    ) -> Option<ClientEvent> {
        let client = self.slab.get_mut(key)?;
        client.timer = TimerKey::NONE;
        let usage = client.usage;
        // What an answer has armed is not of the connection: it is up.
        if client.instead.is_some() && matches!(timer, ClientTimer::A | ClientTimer::E) {
            // Once the connection is up, it has the request.
            let opening = ctx.flows.get(client.to.flow).is_some_and(|flow| flow.opening);
            if !opening {
                client.instead = None;
                client.arm_resend(ctx, key);
            } else if !self.go_instead(ctx, key) {
                self.remove(ctx, key);
                return Some(ClientEvent { key, usage, what: ClientFailure::Refused });
            }
            return None;
        }
        match (timer, client.state) {
            (ClientTimer::A, State::Calling) | (ClientTimer::E, State::Calling | State::Proceeding) => {
                client.resend(ctx);
                client.resent = client.resent.saturating_add(1);
                client.arm_resend(ctx, key);
                None
            }
            (ClientTimer::C, State::Proceeding) if !client.cancelled => {
                // RFC 3261 s16.8: the INVITE is cancelled, and what comes of that is waited for.
                client.cancelled = true;
                let deadline = ctx.now + client.timing(ctx).b();
                client.arm(ctx, key, deadline, ClientTimer::C);
                Some(ClientEvent { key, usage, what: ClientFailure::Unanswered })
            }
            (ClientTimer::B | ClientTimer::C | ClientTimer::F, State::Calling | State::Proceeding) => {
                self.remove(ctx, key);
                Some(ClientEvent { key, usage, what: ClientFailure::TimedOut })
            }
            (ClientTimer::D | ClientTimer::K | ClientTimer::M, _) => {
                self.remove(ctx, key);
                None
            }
            _ => None,
        }
    }

    /// What stands on a change that was taken back was never sent: its transaction ends.
    pub(super) fn on_save_failed(&mut self, ctx: &mut Ctx<'_>, seq: SaveSeq) -> Vec<ClientEvent> {
        let unsaid = |(key, client): (ClientKey, &Client)| {
            let usage = client.usage;
            let stands = client.after.is_some_and(|after| after.get() == seq.0) && client.is_waiting();
            stands.then_some(ClientEvent { key, usage, what: ClientFailure::Unsaved })
        };
        let unsaid: Vec<ClientEvent> = self.slab.iter().filter_map(unsaid).collect();
        unsaid.iter().for_each(|event| self.remove(ctx, event.key));
        unsaid
    }

    /// RFC 3261 s17.1.4: what cannot be sent is told, and the transaction ends.
    pub(super) fn on_unreachable(
        &mut self,
        ctx: &mut Ctx<'_>,
        flow: FlowId,
        remote: Option<SocketAddr>,
        refused: bool,
    ) -> Vec<ClientEvent> {
        let (from, to) = remote.map(addr_number).map_or((0, u64::MAX), |number| (number, number));
        let range = (flow, from, ClientKey::from_bits(0))..=(flow, to, ClientKey::from_bits(u64::MAX));
        let went = |key: &ClientKey| {
            let client = self.slab.get(*key);
            remote.is_none_or(|remote| client.is_some_and(|client| client.to.remote == remote))
        };
        let lost: Vec<ClientKey> = self.waiting.range(range).map(|&(_, _, key)| key).filter(went).collect();
        let mut events = Vec::with_capacity(lost.len());
        let what = if refused { ClientFailure::Refused } else { ClientFailure::Unreachable };
        for key in lost {
            if refused && self.go_instead(ctx, key) {
                continue;
            }
            if let Some(client) = self.slab.get(key) {
                events.push(ClientEvent { key, usage: client.usage, what });
            }
            self.remove(ctx, key);
        }
        events
    }

    /// The other way, if there is one: the same request, with the Via of that way.
    fn go_instead(&mut self, ctx: &mut Ctx<'_>, key: ClientKey) -> bool {
        let Some(client) = self.slab.get_mut(key) else { return false };
        let Some(instead) = client.instead.take() else { return false };
        let Some(payload) = with_via(&client.payload, &instead.via) else { return false };
        self.waiting.remove(&place(&client.to, key));
        self.bytes = self.bytes - client.payload.len() + payload.len();
        (client.to, client.payload, client.resent) = (instead.to, payload.into(), 0);
        self.waiting.insert(place(&client.to, key));
        ctx.stats.count(Counter::LargeDatagrams);
        transmit(ctx, &client.to, client.after.map(|seq| SaveSeq(seq.get())), client.payload.clone());
        client.arm_resend(ctx, key);
        true
    }

    /// A final response came: only its repetitions are waited for.
    fn finish(&mut self, ctx: &mut Ctx<'_>, key: ClientKey, wait: Duration, timer: ClientTimer, keep: Bytes) {
        if wait.is_zero() {
            return self.remove(ctx, key);
        }
        let Some(client) = self.slab.get_mut(key) else { return };
        self.bytes = self.bytes - client.payload.len() + keep.len();
        client.payload = keep;
        let deadline = ctx.now + wait;
        client.arm(ctx, key, deadline, timer);
    }

    fn stop_waiting(&mut self, key: ClientKey) {
        if let Some(client) = self.slab.get(key) {
            self.waiting.remove(&place(&client.to, key));
        }
        if self.waiting.is_empty() {
            self.waiting = BTreeSet::new();
        }
    }

    fn remove(&mut self, ctx: &mut Ctx<'_>, key: ClientKey) {
        if self.slab.get(key).is_some_and(Client::is_waiting) {
            self.stop_waiting(key);
        }
        let Some(mut client) = self.slab.remove(key) else { return };
        client.disarm(ctx);
        self.bytes -= client.bytes();
        self.names.remove(client.name.hash, |other| other == key);
    }
}

#[cfg(test)]
impl Clients {
    pub(super) fn state(&self, key: ClientKey) -> Option<State> {
        self.slab.get(key).map(|client| client.state)
    }

    pub(super) fn capacity(&self) -> usize {
        self.slab.capacity() + self.names.capacity()
    }

    /// The invariants of the tables.
    pub(super) fn audit(&self) {
        assert_eq!(self.bytes, self.slab.iter().map(|(_, client)| client.bytes()).sum::<usize>());
        assert_eq!(self.names.len(), self.slab.len());
        assert_eq!(self.waiting.len(), self.slab.iter().filter(|(_, client)| client.is_waiting()).count());
        assert!(self.slab.iter().all(|(_, client)| !client.timer.is_none()), "each ends by its timer");
        assert!(self.slab.iter().all(|(_, client)| client.made.is_empty() || client.is_invite()));
    }
}

/// The method of a request we wrote.
pub(super) fn method_token(request: &[u8]) -> &[u8] {
    request.split(|&b| b == b' ').next().unwrap_or_default()
}

/// A request we wrote, cut around the value of its Via: our writer puts that first, on one line.
fn around_via(request: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    let value = memchr::memchr(b'\n', request)? + 1 + b"Via: ".len();
    let (head, rest) = request.split_at_checked(value)?;
    let (via, rest) = rest.split_at_checked(memchr::memchr(b'\r', rest)?)?;
    head.ends_with(b"\nVia: ").then_some((head, via, rest))
}

/// The same request by another way.
fn with_via(request: &[u8], via: &[u8]) -> Option<Vec<u8>> {
    around_via(request).map(|(head, _, rest)| [head, via, rest].concat())
}

/// Is this the sent-by of a request we wrote?
fn is_own(request: &[u8], response: Message<'_>, via: &Via<'_>) -> bool {
    let Some((_, own, _)) = around_via(request) else { return true };
    // Nearly all send it back as it was.
    let plain = memchr::memchr(b';', own).and_then(|end| own.get(..=end));
    let came = response.header(Header::Via).unwrap_or_default();
    if plain.is_some_and(|plain| came.starts_with(plain)) {
        return true;
    }
    let own = Via::parse(own).ok();
    own.is_none_or(|own| own.host == via.host && own.port.unwrap_or(5060) == via.port.unwrap_or(5060))
}
