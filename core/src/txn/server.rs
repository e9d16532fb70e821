//! Server transactions: RFC 3261 s17.2 as amended by RFC 6026 s7.1, with RFC 4320 for what is not INVITE.
//!
//! INVITE:
//!
//! | state | INVITE again | ACK | 1xx from TU | 2xx from TU | 300-699 from TU | timer |
//! |---|---|---|---|---|---|---|
//! | Proceeding | resend 1xx | to TU | send | send, > Accepted, L | send, > Completed, G or H | Trying: send 100 |
//! | Accepted | absorb | to TU | drop | send | drop | L: > gone |
//! | Completed | resend | > Confirmed, I | drop | drop | drop | G: resend; H: tell TU, > gone |
//! | Confirmed | absorb | absorb | drop | drop | drop | I: > gone |
//!
//! All others:
//!
//! | state | request again | 100 from TU | 200-699 from TU | timer |
//! |---|---|---|---|---|
//! | Trying | absorb | send, or keep until allowed | send, > Completed, J | Trying: send 100, > Proceeding |
//! | Proceeding | resend 100 | send | send, > Completed, J | Trying: tell TU, > gone |
//! | Completed | resend | drop | drop | J: > gone |
//!
//! Invariants: a transaction has at most one timer armed (of G and H the earlier one), and none left when it is gone;
//! at most one final response leaves it, however often; `bytes` is the sum over all entries.

use core::net::SocketAddr;
use std::collections::VecDeque;

use bytes::Bytes;

use super::key::{Name, Rules, TxnId};
use super::routing::response_target;
use super::timing::Timing;
use super::{ServerEvent, transmit};
use crate::base::{Index, Key, Slab, Time, TimerKey};
use crate::ctx::{Ctx, Origin, ServerTimer, Timer};
use crate::door::{FlowId, SaveSeq, Transport};
use crate::stats::Counter;
use crate::wire::{self, Bounds, Essentials, Layout, Method, Status, Via};

/// Names a server transaction.
pub(crate) type ServerKey = Key<Server>;

/// A transaction as the budget counts it, without its payload: the entry, its places in the slab, the index, the wheel
/// and the queue.
pub(super) const SERVER_BYTES: usize = size_of::<Server>() + 96;

/// Finished transactions ended by one timer at once: one step of the engine stays short.
const ENDED_AT_ONCE: usize = 64;

/// Queue places kept when the last finished transaction is gone.
const FLOOR: usize = 64;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum State {
    /// Not INVITE: nothing was sent yet.
    Trying,
    /// INVITE from the start; any other once 100 was sent.
    Proceeding,
    /// INVITE: a 2xx was sent (RFC 6026).
    Accepted,
    /// A final response was sent; INVITE: not a 2xx.
    Completed,
    /// INVITE: the ACK came.
    Confirmed,
}

/// One server transaction. 160 bytes: there may be hundreds of thousands.
#[derive(Clone, Debug)]
pub(crate) struct Server {
    name: Name,
    merge: u64,
    /// When the present state began, or the transaction before there was a final response.
    since: Time,
    /// Number of the save the last response waits for; 0 for none.
    after: u64,
    /// The last response; empty if there is none to repeat.
    payload: Bytes,
    flow: FlowId,
    remote: SocketAddr,
    local: SocketAddr,
    timer: TimerKey,
    listener: u16,
    transport: Transport,
    method: Method,
    pub(super) state: State,
    /// How often timer G has fired.
    resent: u8,
}

impl Server {
    fn to(&self) -> Origin {
        let &Server { flow, listener, transport, remote, local, .. } = self;
        Origin { flow, listener, transport, remote, local }
    }

    fn bytes(&self) -> usize {
        SERVER_BYTES + self.payload.len()
    }

    fn timing(&self, ctx: &Ctx<'_>) -> Timing {
        Timing::new(&ctx.settings.timers, self.transport.is_reliable())
    }

    fn is_invite(&self) -> bool {
        self.method == Method::Invite
    }

    fn send(&self, ctx: &mut Ctx<'_>) {
        if !self.payload.is_empty() {
            transmit(ctx, &self.to(), self.save(), self.payload.clone());
        }
    }

    fn resend(&self, ctx: &mut Ctx<'_>) {
        if !self.payload.is_empty() {
            ctx.stats.count(Counter::Resent);
            self.send(ctx);
        }
    }

    fn save(&self) -> Option<SaveSeq> {
        (self.after != 0).then_some(SaveSeq(self.after))
    }

    /// Arms the one timer of the transaction in place of the one that may be armed.
    fn arm(&mut self, ctx: &mut Ctx<'_>, key: ServerKey, deadline: Time, timer: ServerTimer) {
        self.disarm(ctx);
        self.timer = ctx.timers.arm(deadline, Timer::Server(key.to_bits(), timer));
    }

    fn disarm(&mut self, ctx: &mut Ctx<'_>) {
        if !self.timer.is_none() {
            ctx.timers.disarm(self.timer);
            self.timer = TimerKey::NONE;
        }
    }

    /// G, or H if it is due before.
    fn arm_g_or_h(&mut self, ctx: &mut Ctx<'_>, key: ServerKey) {
        let timing = self.timing(ctx);
        let h = self.since + timing.h();
        match timing.g(self.resent).map(|interval| ctx.now + interval) {
            Some(g) if g < h => self.arm(ctx, key, g, ServerTimer::G),
            _ => self.arm(ctx, key, h, ServerTimer::H),
        }
    }
}

/// All server transactions.
#[derive(Clone, Debug, Default)]
pub(super) struct Servers {
    slab: Slab<Server>,
    /// By the branch part of the name; hashed from peer-chosen bytes with the keyed hash.
    names: Index<ServerKey>,
    /// By what merged requests share; likewise.
    merges: Index<ServerKey>,
    /// Finished transactions that may be forgotten, oldest first; some may be gone already. They come by the thousands
    /// and all last as long: instead of a timer each, one timer runs for the oldest.
    finished: VecDeque<ServerKey>,
    /// Timer J of the oldest, or of one that was the oldest.
    finishing: TimerKey,
    bytes: usize,
}

impl Servers {
    pub(super) fn len(&self) -> usize {
        self.slab.len()
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(super) fn find(&self, name: Name) -> Option<ServerKey> {
        self.names.find(name.hash, |key| self.slab.get(key).is_some_and(|server| server.name == name))
    }

    /// The transaction a CANCEL is for: that of its branch, whatever the method (RFC 3261 s9.2). The INVITE first.
    pub(super) fn find_cancelled(&self, cancel: Name) -> Option<ServerKey> {
        self.find(cancel.with_method(Method::Invite)).or_else(|| {
            self.names.find(cancel.hash, |key| {
                self.slab.get(key).is_some_and(|s| s.name.same_branch(cancel) && s.method != Method::Cancel)
            })
        })
    }

    /// Is this the second copy of a request that came by another path?
    pub(super) fn is_merged(&self, merge: u64) -> bool {
        merge != 0 && self.merging(merge).is_some()
    }

    fn merging(&self, merge: u64) -> Option<ServerKey> {
        self.merges.find(merge, |key| self.slab.get(key).is_some_and(|server| server.merge == merge))
    }

    pub(super) fn is_pending_invite(&self, key: ServerKey) -> bool {
        self.slab.get(key).is_some_and(|server| server.is_invite() && server.state == State::Proceeding)
    }

    pub(super) fn open(
        &mut self,
        ctx: &Ctx<'_>,
        origin: &Origin,
        via: &Via<'_>,
        id: TxnId,
        method: Method,
    ) -> ServerKey {
        let Origin { flow, listener, transport, remote, local } = response_target(origin, via);
        let TxnId { name, merge, .. } = id;
        let state = if method == Method::Invite { State::Proceeding } else { State::Trying };
        let key = self.slab.insert(Server {
            name,
            merge,
            since: ctx.now,
            after: 0,
            payload: Bytes::new(),
            flow,
            remote,
            local,
            timer: TimerKey::NONE,
            listener,
            transport,
            method,
            state,
            resent: 0,
        });
        self.names.insert(name.hash, key);
        if merge != 0 && self.merging(merge).is_none() {
            self.merges.insert(merge, key);
        }
        self.bytes += SERVER_BYTES;
        key
    }

    /// The request came again.
    pub(super) fn on_request(&mut self, ctx: &mut Ctx<'_>, key: ServerKey) {
        let Some(server) = self.slab.get(key) else { return };
        ctx.stats.count(Counter::Retransmissions);
        match server.state {
            // RFC 3261 s17.2.1, s17.2.2: the last response is sent once more.
            State::Proceeding | State::Completed => server.resend(ctx),
            // RFC 3261 s17.2.2; RFC 6026 s7.1: 2xx are repeated by the TU alone.
            State::Trying | State::Accepted | State::Confirmed => {}
        }
    }

    /// An ACK on the branch of an INVITE. False if it is not for the transaction but for the TU.
    pub(super) fn on_ack(
        &mut self,
        ctx: &mut Ctx<'_>,
        name: Name,
        rules: Rules,
        ess: &Essentials<'_>,
    ) -> bool {
        let key = match rules {
            Rules::Branch => self.find(name),
            Rules::Legacy => self.names.find(name.hash, |key| {
                self.slab.get(key).is_some_and(|server| server.name.same_but_to_tag(name))
            }),
        };
        let Some((key, server)) = key.and_then(|key| Some((key, self.slab.get_mut(key)?))) else {
            return false;
        };
        match server.state {
            // RFC 3261 s17.2.3: without the cookie, the To tag must be that of our response.
            State::Completed if rules == Rules::Legacy && !has_to_tag(&server.payload, ess.to.tag()) => false,
            State::Completed => {
                server.state = State::Confirmed;
                let i = server.timing(ctx).i();
                if i.is_zero() {
                    self.remove(ctx, key);
                } else {
                    let deadline = ctx.now + i;
                    server.arm(ctx, key, deadline, ServerTimer::I);
                    self.drop_payload(key);
                }
                true
            }
            State::Confirmed => true,
            State::Trying | State::Proceeding | State::Accepted => false,
        }
    }

    /// The TU hands over the 100 that is to be sent if nothing else is in time.
    pub(super) fn trying(&mut self, ctx: &mut Ctx<'_>, key: ServerKey, payload: Bytes) {
        let Some(server) = self.slab.get_mut(key) else { return };
        let timing = server.timing(ctx);
        let wait = match (server.state, server.is_invite()) {
            (State::Proceeding, true) if server.payload.is_empty() => timing.trying_invite(),
            (State::Trying, false) => timing.trying_other(),
            _ => return,
        };
        let deadline = server.since + wait;
        server.arm(ctx, key, deadline, ServerTimer::Trying);
        self.keep_payload(key, payload, 0);
    }

    /// The TU responds.
    pub(super) fn respond(
        &mut self,
        ctx: &mut Ctx<'_>,
        key: ServerKey,
        status: Status,
        payload: Bytes,
        after: Option<SaveSeq>,
    ) {
        let Some(server) = self.slab.get(key) else { return };
        if server.is_invite() {
            self.respond_invite(ctx, key, status, payload, after);
        } else {
            self.respond_other(ctx, key, status, payload, after);
        }
    }

    fn respond_invite(
        &mut self,
        ctx: &mut Ctx<'_>,
        key: ServerKey,
        status: Status,
        payload: Bytes,
        after: Option<SaveSeq>,
    ) {
        let Some(server) = self.slab.get_mut(key) else { return };
        match (server.state, status.0) {
            (State::Proceeding, 100..=199) => {
                server.disarm(ctx);
                transmit(ctx, &server.to(), after, payload.clone());
                self.keep_payload(key, payload, after.map_or(0, |save| save.0));
            }
            // RFC 6026 s7.1: the transaction stays to absorb the INVITE; the TU repeats the 2xx.
            (State::Proceeding, 200..=299) => {
                transmit(ctx, &server.to(), after, payload);
                server.state = State::Accepted;
                server.since = ctx.now;
                let deadline = ctx.now + server.timing(ctx).l();
                server.arm(ctx, key, deadline, ServerTimer::L);
                self.drop_payload(key);
            }
            (State::Proceeding, _) => {
                transmit(ctx, &server.to(), after, payload.clone());
                server.state = State::Completed;
                server.since = ctx.now;
                server.arm_g_or_h(ctx, key);
                self.keep_payload(key, payload, after.map_or(0, |save| save.0));
            }
            (State::Accepted, 200..=299) => transmit(ctx, &server.to(), after, payload),
            _ => {}
        }
    }

    fn respond_other(
        &mut self,
        ctx: &mut Ctx<'_>,
        key: ServerKey,
        status: Status,
        payload: Bytes,
        after: Option<SaveSeq>,
    ) {
        let Some(server) = self.slab.get_mut(key) else { return };
        if !matches!(server.state, State::Trying | State::Proceeding) {
            return;
        }
        let timing = server.timing(ctx);
        match status.0 {
            100 => {
                // RFC 4320 s4.1: over an unreliable transport not before Timer E is reset to T2.
                if !server.transport.is_reliable() && ctx.now < server.since + timing.trying_other() {
                    return self.trying(ctx, key, payload);
                }
                transmit(ctx, &server.to(), None, payload.clone());
                self.keep_payload(key, payload, 0);
                self.proceed(ctx, key);
            }
            // RFC 4320 s4.1: no other provisional response to a non-INVITE.
            101..=199 => {}
            _ => {
                // RFC 4320 s4.2: never 408. The transaction goes on absorbing the request.
                let silent = status == Status::REQUEST_TIMEOUT;
                if !silent {
                    transmit(ctx, &server.to(), after, payload.clone());
                }
                let j = timing.j();
                if j.is_zero() {
                    return self.remove(ctx, key);
                }
                server.state = State::Completed;
                server.since = ctx.now;
                if is_forgettable(server.method) {
                    server.disarm(ctx);
                    self.finished.push_back(key);
                    if self.finishing.is_none() {
                        self.finishing = ctx.timers.arm(ctx.now + j, Timer::Server(0, ServerTimer::Finished));
                    }
                } else {
                    let deadline = ctx.now + j;
                    server.arm(ctx, key, deadline, ServerTimer::J);
                }
                if silent {
                    self.drop_payload(key);
                } else {
                    self.keep_payload(key, payload, after.map_or(0, |save| save.0));
                }
            }
        }
    }

    /// A response that was held will never leave: this one does in its place.
    pub(super) fn replace_final(&mut self, ctx: &mut Ctx<'_>, key: ServerKey, payload: Bytes) -> bool {
        let Some(server) = self.slab.get(key).filter(|s| s.state == State::Completed) else { return false };
        transmit(ctx, &server.to(), None, payload.clone());
        self.keep_payload(key, payload, 0);
        true
    }

    /// A non-INVITE was answered with 100: what never gets a final response ends when its client has given up.
    fn proceed(&mut self, ctx: &mut Ctx<'_>, key: ServerKey) {
        let Some(server) = self.slab.get_mut(key) else { return };
        server.state = State::Proceeding;
        let deadline = server.since + server.timing(ctx).f();
        server.arm(ctx, key, deadline, ServerTimer::Trying);
    }

    pub(super) fn on_timer(
        &mut self,
        ctx: &mut Ctx<'_>,
        key: ServerKey,
        timer: ServerTimer,
    ) -> Option<ServerEvent> {
        if timer == ServerTimer::Finished {
            self.end_finished(ctx);
            return None;
        }
        let server = self.slab.get_mut(key)?;
        server.timer = TimerKey::NONE;
        match (timer, server.state) {
            (ServerTimer::Trying, State::Trying) => {
                server.send(ctx);
                ctx.stats.response(server.method, Status::TRYING.0);
                self.proceed(ctx, key);
                None
            }
            (ServerTimer::Trying, State::Proceeding) if server.is_invite() => {
                server.send(ctx);
                ctx.stats.response(server.method, Status::TRYING.0);
                None
            }
            (ServerTimer::Trying, State::Proceeding) => {
                self.remove(ctx, key);
                Some(ServerEvent::TimedOut(key))
            }
            (ServerTimer::G, State::Completed) => {
                server.resend(ctx);
                server.resent = server.resent.saturating_add(1);
                server.arm_g_or_h(ctx, key);
                None
            }
            (ServerTimer::H, State::Completed) => {
                self.remove(ctx, key);
                Some(ServerEvent::NoAck(key))
            }
            (ServerTimer::I | ServerTimer::J | ServerTimer::L, _) => {
                self.remove(ctx, key);
                None
            }
            (ServerTimer::Trying | ServerTimer::G | ServerTimer::H | ServerTimer::Finished, _) => None,
        }
    }

    /// Ends what was finished long enough ago, some at a time.
    fn end_finished(&mut self, ctx: &mut Ctx<'_>) {
        self.finishing = TimerKey::NONE;
        for _ in 0..ENDED_AT_ONCE {
            let Some((key, server)) = self.oldest_finished() else { return };
            if server.since + server.timing(ctx).j() > ctx.now {
                break;
            }
            self.remove(ctx, key);
        }
        if let Some((_, server)) = self.oldest_finished() {
            let deadline = server.since + server.timing(ctx).j();
            self.finishing = ctx.timers.arm(deadline, Timer::Server(0, ServerTimer::Finished));
        }
    }

    /// The front of the queue, which [`remove`](Self::remove) keeps alive.
    fn oldest_finished(&self) -> Option<(ServerKey, &Server)> {
        let &key = self.finished.front()?;
        Some((key, self.slab.get(key)?))
    }

    /// Forgets the oldest finished transaction that may be forgotten (DECISIONS 16). False if there is none.
    pub(super) fn forget_oldest(&mut self, ctx: &mut Ctx<'_>) -> bool {
        while let Some(key) = self.finished.pop_front() {
            if self.slab.contains(key) {
                ctx.stats.count(Counter::TransactionsForgotten);
                self.remove(ctx, key);
                return true;
            }
        }
        false
    }

    fn remove(&mut self, ctx: &mut Ctx<'_>, key: ServerKey) {
        let Some(mut server) = self.slab.remove(key) else { return };
        server.disarm(ctx);
        self.bytes -= server.bytes();
        self.names.remove(server.name.hash, |other| other == key);
        if server.merge != 0 {
            self.merges.remove(server.merge, |other| other == key);
        }
        // They end in the order of the queue, so that what is gone is in front.
        while self.finished.front().is_some_and(|&key| !self.slab.contains(key)) {
            self.finished.pop_front();
        }
        if self.finished.is_empty() {
            ctx.timers.disarm(core::mem::take(&mut self.finishing));
            if self.finished.capacity() > FLOOR {
                self.finished = VecDeque::new();
            }
        }
    }

    fn keep_payload(&mut self, key: ServerKey, payload: Bytes, after: u64) {
        let Some(server) = self.slab.get_mut(key) else { return };
        self.bytes = self.bytes - server.payload.len() + payload.len();
        server.payload = payload;
        server.after = after;
    }

    fn drop_payload(&mut self, key: ServerKey) {
        self.keep_payload(key, Bytes::new(), 0);
    }
}

#[cfg(test)]
impl Servers {
    pub(super) fn state(&self, key: ServerKey) -> Option<State> {
        self.slab.get(key).map(|server| server.state)
    }

    pub(super) fn capacity(&self) -> usize {
        self.slab.capacity() + self.names.capacity() + self.merges.capacity() + self.finished.capacity()
    }

    /// The invariants of the tables.
    pub(super) fn audit(&self) {
        assert_eq!(self.bytes, self.slab.iter().map(|(_, server)| server.bytes()).sum::<usize>());
        assert_eq!(self.names.len(), self.slab.len());
        assert!(self.merges.len() <= self.slab.len());
        for (key, server) in self.slab.iter() {
            assert_eq!(self.find(server.name), Some(key), "no two bear one name");
            let waits_for_tu = matches!(server.state, State::Trying | State::Proceeding);
            let in_queue = !self.finishing.is_none() && self.finished.contains(&key);
            assert!(waits_for_tu || !server.timer.is_none() || in_queue, "what is answered ends by a timer");
        }
        assert_eq!(self.finishing.is_none(), self.finished.is_empty());
        assert!(
            self.finished.iter().filter(|&&key| !self.slab.contains(key)).count()
                <= self.finished.len() / 2 + 1
        );
    }
}

/// DECISIONS 16: answering these twice does no harm.
fn is_forgettable(method: Method) -> bool {
    matches!(method, Method::Options | Method::Register)
}

/// Does the To of this response of ours bear that tag?
fn has_to_tag(response: &[u8], tag: Option<&[u8]>) -> bool {
    let mut layout = Layout::new();
    wire::parse(response, &mut layout, &Bounds::default())
        .is_ok_and(|response| response.to().is_ok_and(|to| to.tag().is_none() || to.tag() == tag))
}
