//! Transactions: RFC 3261 s17 with RFC 6026, response routing of RFC 3581, RFC 4320. What is on the wire twice is seen
//! here and goes no further; what must be repeated is repeated from here.
//!
//! - `key`: what a request is known by (RFC 3261 s17.2.3)
//! - `server`, `client`: the four machines, each with its table of states
//! - `ack`: the ACK to a refused INVITE (RFC 3261 s17.1.1.3)
//! - `timing`: timers A to M
//! - `routing`: where a response goes (RFC 3261 s18.2.2)
//!
//! The budget `Limits::transaction_bytes` holds for all transactions together. When it is full, finished OPTIONS and
//! REGISTER transactions are forgotten, oldest first; when that is not enough, a new one is refused (DECISIONS 16).

mod ack;
mod client;
mod key;
mod routing;
mod server;
mod timing;

#[cfg(test)]
mod tests;

use core::net::SocketAddr;

use bytes::Bytes;

pub(crate) use client::{ClientKey, Instead};
pub(crate) use key::{TxnId, is_own_branch};
pub(crate) use routing::response_target;
pub(crate) use server::ServerKey;

use crate::base::{HashKey, Ids};
use crate::ctx::{ClientTimer, Ctx, Origin, ServerTimer};
use crate::door::{FlowId, SaveSeq};
use crate::stats::DropReason;
use crate::wire::{Essentials, Message, Method, Status, Via};
use client::Clients;
use key::{Name, Named};
use server::Servers;

/// All transactions of an engine.
///
/// Requests: [`receive_request`](Self::receive_request), then, unless the answer leaves no state,
/// [`open`](Self::open), any number of [`respond`](Self::respond), perhaps [`trying`](Self::trying). Our own requests:
/// [`send`](Self::send), then each [`receive_response`](Self::receive_response) that is to be delivered. Timers come
/// back by `on_server_timer` and `on_client_timer`, failures of the network by `on_send_failed` and `on_flow_down`.
#[derive(Clone, Debug)]
pub(crate) struct Transactions {
    hash: HashKey,
    servers: Servers,
    clients: Clients,
}

/// What a request is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum RequestMatch {
    /// New: to be served.
    New(TxnId),
    /// Known, and dealt with: the last response was sent again, or an ACK was consumed.
    Absorbed,
    /// A new CANCEL.
    Cancel {
        /// Its own transaction, to be opened and answered.
        id: TxnId,
        /// The transaction of its branch, of any method: 200 if there is one, else 481 (RFC 3261 s9.2). Only an INVITE
        /// without a final response is affected further; see [`Transactions::is_pending_invite`].
        invite: Option<ServerKey>,
    },
    /// An ACK that no transaction here consumes: for the dialog its 2xx made, or a stray.
    Ack,
    /// Another copy of a request that came by another path already: 482 (RFC 3261 s8.2.2.2).
    Merged(TxnId),
}

/// What a response is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum ResponseMatch {
    /// Of no transaction here: to be dropped (RFC 6026 s7.2).
    Stray,
    /// A repetition, dealt with.
    Absorbed,
    /// To be delivered.
    Deliver {
        /// The transaction; gone already if its timers are zero.
        key: ClientKey,
        /// What the request was for.
        usage: Usage,
        /// False for a further 2xx to an INVITE: the same one again, or that of another branch of a fork.
        first: bool,
    },
}

/// What a request of ours is for: how its response finds its room.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Usage {
    /// Something whose answer changes nothing: a CANCEL, the BYE of a call that is forgotten.
    Nothing,
    /// A request of a call (`bridge::CallKey`); which one, its transaction says.
    Call(u64),
    /// A request of the client side (`agent::TaskKey`).
    Agent(u64),
    /// The NOTIFY of a subscription (`events::SubscriptionKey`).
    Notify(u64),
    /// A MESSAGE to a phone (`messages::LegKey`).
    Message(u64),
    /// A NOTIFY that the host has sent (`agent::Notices`).
    Notice(u64),
    /// A MESSAGE of a user agent (`agent::ua::Text`).
    UaText(u64),
    /// A request of a call of a user agent (`agent::UaCallKey`); which one, its transaction says.
    UaCall(u64),
    /// OPTIONS to a trunk (its index).
    Trunk(u64),
}

impl Usage {
    /// Somebody else waits for the answer, and gives up when timer F has run since his own request: ours is given up
    /// before (RFC 4320 s4.2, DECISIONS 17).
    fn is_relayed(self) -> bool {
        matches!(self, Usage::Call(_))
    }
}

/// What a server transaction has to say.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum ServerEvent {
    /// The final response to an INVITE was never acknowledged (timer H). The transaction is gone.
    NoAck(ServerKey),
    /// A non-INVITE got 100 and then nothing until its client gave up. The transaction is gone.
    TimedOut(ServerKey),
}

/// What a client transaction has to say beside its responses.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct ClientEvent {
    /// The transaction.
    pub(crate) key: ClientKey,
    /// What the request was for.
    pub(crate) usage: Usage,
    /// What happened.
    pub(crate) what: ClientFailure,
}

/// Why there is no final response.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum ClientFailure {
    /// None came in time (timer B or F, or C after a CANCEL). The transaction is gone.
    TimedOut,
    /// An INVITE rings for too long (timer C). The TU sends CANCEL; the transaction waits 64*T1 for what that brings.
    Unanswered,
    /// The request cannot be sent. The transaction is gone (RFC 3261 s17.1.4).
    Unreachable,
    /// The same, over a connection that never came up: the request was seen by nobody.
    Refused,
    /// It told of a change that could not be made durable, and was never sent. The transaction is gone.
    Unsaved,
}

/// There is no room for one more transaction.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Full;

impl Transactions {
    pub(crate) fn new(ids: &Ids) -> Transactions {
        Transactions { hash: ids.name_key(), servers: Servers::default(), clients: Clients::default() }
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.servers.len() + self.clients.len()
    }

    /// What they hold, as the budget counts it: payloads and a fixed cost per entry.
    pub(crate) fn bytes(&self) -> usize {
        self.servers.bytes() + self.clients.bytes()
    }

    /// Matches a request (RFC 3261 s17.2.3). A retransmission is answered here; of anything else nothing is kept.
    pub(crate) fn receive_request(
        &mut self,
        ctx: &mut Ctx<'_>,
        _origin: &Origin,
        msg: Message<'_>,
        via: &Via<'_>,
        ess: &Essentials<'_>,
    ) -> RequestMatch {
        let Named { name, rules, tag } = Name::of_request(&self.hash, msg, via, ess);
        if msg.method() == Method::Ack {
            let consumed = self.servers.on_ack(ctx, name, rules, ess);
            return if consumed { RequestMatch::Absorbed } else { RequestMatch::Ack };
        }
        if let Some(key) = self.servers.find(name) {
            self.servers.on_request(ctx, key);
            return RequestMatch::Absorbed;
        }
        if msg.method() == Method::Cancel {
            return RequestMatch::Cancel {
                id: TxnId { name, merge: 0, tag },
                invite: self.servers.find_cancelled(name),
            };
        }
        let id = TxnId { name, merge: key::merge(&self.hash, msg, ess), tag };
        if self.servers.is_merged(id.merge) { RequestMatch::Merged(id) } else { RequestMatch::New(id) }
    }

    /// What a request of ours is for that bears this branch, while its transaction is there.
    pub(crate) fn sent(&self, branch: &[u8], method: Method) -> Option<Usage> {
        self.clients.usage(Name::of_client(&self.hash, branch, method, b""))
    }

    /// The name of a request, if that is its branch and the request is new.
    pub(crate) fn new_branch(&self, via: &Via<'_>, method: Method) -> Option<TxnId> {
        let Named { name, tag, .. } = Name::of_branch(&self.hash, b"", method, via)?;
        self.servers.find(name).is_none().then_some(TxnId { name, merge: 0, tag })
    }

    /// Opens the transaction of a request that was found new, so that its repetitions are absorbed. When there is no
    /// room the caller answers 503 without state.
    pub(crate) fn open(
        &mut self,
        ctx: &mut Ctx<'_>,
        origin: &Origin,
        via: &Via<'_>,
        id: TxnId,
        method: Method,
    ) -> Result<ServerKey, Full> {
        self.make_room(ctx, server::SERVER_BYTES)?;
        Ok(self.servers.open(ctx, origin, via, id, method))
    }

    /// Has this 100 sent when nothing else was in time: for INVITE 200 ms after it came (RFC 3261 s17.2.1), for others
    /// when Timer E of their client is reset to T2 (RFC 4320 s4.1). For a request that was parked or forwarded.
    pub(crate) fn trying(&mut self, ctx: &mut Ctx<'_>, key: ServerKey, payload: Bytes) {
        self.servers.trying(ctx, key, payload);
        self.give_way(ctx);
    }

    /// Sends a response and keeps it for repetition. What may not be sent is dropped: anything but a repeated 2xx to an
    /// INVITE after a final response, and to a non-INVITE 408 (it only ends the transaction) and 101 to 199; a 100 that
    /// is too early waits for its time (RFC 4320). `after` holds each copy until that change is durable.
    pub(crate) fn respond(
        &mut self,
        ctx: &mut Ctx<'_>,
        key: ServerKey,
        status: Status,
        payload: Bytes,
        after: Option<SaveSeq>,
    ) {
        self.servers.respond(ctx, key, status, payload, after);
        self.give_way(ctx);
    }

    /// Sends another final response in place of the one that was held and will never leave. False if the transaction is
    /// gone or keeps no response.
    pub(crate) fn replace_final(&mut self, ctx: &mut Ctx<'_>, key: ServerKey, payload: Bytes) -> bool {
        self.servers.replace_final(ctx, key, payload)
    }

    /// True for an INVITE that has no final response yet: what a CANCEL can still end.
    pub(crate) fn is_pending_invite(&self, key: ServerKey) -> bool {
        self.servers.is_pending_invite(key)
    }

    /// Sends a request of ours that waits for no change. `branch` is that of its top Via, with the magic cookie.
    pub(crate) fn send(
        &mut self,
        ctx: &mut Ctx<'_>,
        to: &Origin,
        method: Method,
        usage: Usage,
        branch: &[u8],
        payload: Bytes,
    ) -> Result<ClientKey, Full> {
        self.send_after(ctx, to, method, usage, branch, payload, None)
    }

    /// The same, with each copy held until a change is durable.
    #[expect(clippy::too_many_arguments, reason = "one more than `send`, for the few that tell of a change")]
    pub(crate) fn send_after(
        &mut self,
        ctx: &mut Ctx<'_>,
        to: &Origin,
        method: Method,
        usage: Usage,
        branch: &[u8],
        payload: Bytes,
        after: Option<SaveSeq>,
    ) -> Result<ClientKey, Full> {
        self.make_room(ctx, client::CLIENT_BYTES + payload.len())?;
        let name = Name::of_client(&self.hash, branch, method, client::method_token(&payload));
        Ok(self.clients.send(ctx, to, (method, usage, name), payload, after))
    }

    /// Has a request go this way instead, should the connection that is opened for it be refused or take long.
    pub(crate) fn or_else(&mut self, ctx: &mut Ctx<'_>, key: ClientKey, instead: Box<Instead>) {
        self.clients.or_else(ctx, key, instead);
    }

    /// Sends CANCEL for an INVITE of ours that was answered provisionally (RFC 3261 s9.1). Without a final response the
    /// INVITE ends after 64*T1. False if it has its final response already, or there is no room.
    pub(crate) fn cancel(&mut self, ctx: &mut Ctx<'_>, key: ClientKey, reason: Option<&str>) -> bool {
        let Some((to, branch, payload)) = self.clients.cancel_of(ctx, key, reason) else { return false };
        let sent = self.send(ctx, &to, Method::Cancel, Usage::Nothing, &branch, payload).is_ok();
        // Without a CANCEL there is still an end to it.
        self.clients.cancelled(ctx, key);
        sent
    }

    /// Had a request of ours no body?
    pub(crate) fn is_bare(&self, key: ClientKey) -> bool {
        self.clients.is_bare(key)
    }

    /// A request was sent in the dialog of this tag that an INVITE of ours made before it was answered.
    pub(crate) fn spend(&mut self, key: ClientKey, tag: &[u8]) {
        let tag = self.hash.hash_parts(&[tag]);
        self.clients.spend(key, tag);
    }

    /// How many were: their numbers are taken.
    pub(crate) fn spent(&self, key: ClientKey, tag: &[u8]) -> u32 {
        let tag = self.hash.hash_parts(&[tag]);
        self.clients.spent(key, tag)
    }

    /// Where a request of ours went.
    pub(crate) fn sent_to(&self, key: ClientKey) -> Option<Origin> {
        self.clients.sent_to(key)
    }

    /// True if an INVITE of ours is accepted under this tag for the first time.
    pub(crate) fn accepted(&mut self, key: ClientKey, tag: &[u8]) -> bool {
        let tag = self.hash.hash_parts(&[tag]);
        self.clients.accepted(key, tag)
    }

    /// Matches a response (RFC 3261 s17.1.3). A final one to INVITE other than 2xx is acknowledged here, each time.
    pub(crate) fn receive_response(
        &mut self,
        ctx: &mut Ctx<'_>,
        _origin: &Origin,
        msg: Message<'_>,
    ) -> ResponseMatch {
        self.clients.on_response(ctx, &self.hash, msg).unwrap_or(ResponseMatch::Stray)
    }

    pub(crate) fn on_server_timer(
        &mut self,
        ctx: &mut Ctx<'_>,
        bits: u64,
        timer: ServerTimer,
    ) -> Option<ServerEvent> {
        self.servers.on_timer(ctx, ServerKey::from_bits(bits), timer)
    }

    pub(crate) fn on_client_timer(
        &mut self,
        ctx: &mut Ctx<'_>,
        bits: u64,
        timer: ClientTimer,
    ) -> Option<ClientEvent> {
        self.clients.on_timer(ctx, ClientKey::from_bits(bits), timer)
    }

    /// Something for `remote` could not be sent over this socket. Client transactions that wait for a response of it
    /// end; server transactions stay, so that a repetition is not taken for a new request (RFC 6026 s7.1). A connection
    /// that was refused may fail to take what is sent before it is known to be gone.
    pub(crate) fn on_send_failed(
        &mut self,
        ctx: &mut Ctx<'_>,
        flow: FlowId,
        remote: SocketAddr,
    ) -> Vec<ClientEvent> {
        let refused = ctx.flows.get(flow).is_some_and(|flow| flow.opening);
        self.clients.on_unreachable(ctx, flow, Some(remote), refused)
    }

    /// A change could not be made durable: what stands on it is not sent.
    pub(crate) fn on_save_failed(&mut self, ctx: &mut Ctx<'_>, seq: SaveSeq) -> Vec<ClientEvent> {
        self.clients.on_save_failed(ctx, seq)
    }

    /// A socket is gone, and with it all client transactions on it that still wait; `refused`: it never came up.
    pub(crate) fn on_flow_down(
        &mut self,
        ctx: &mut Ctx<'_>,
        flow: FlowId,
        refused: bool,
    ) -> Vec<ClientEvent> {
        self.clients.on_unreachable(ctx, flow, None, refused)
    }

    fn make_room(&mut self, ctx: &mut Ctx<'_>, bytes: usize) -> Result<(), Full> {
        let limit = ctx.settings.limits.transaction_bytes;
        while self.bytes() + bytes > limit {
            if !self.servers.forget_oldest(ctx) {
                return Err(Full);
            }
        }
        Ok(())
    }

    /// A payload was added to a transaction that exists: others give way, if any can.
    fn give_way(&mut self, ctx: &mut Ctx<'_>) {
        let limit = ctx.settings.limits.transaction_bytes;
        while self.bytes() > limit && self.servers.forget_oldest(ctx) {}
    }
}

/// Sends a response that leaves no state (RFC 3261 s8.2.7).
pub(crate) fn respond_stateless(ctx: &mut Ctx<'_>, origin: &Origin, via: &Via<'_>, payload: Bytes) {
    transmit(ctx, &response_target(origin, via), None, payload);
}

/// Sends a response along a way found by [`response_target`] before.
pub(crate) fn send_to(ctx: &mut Ctx<'_>, to: &Origin, payload: Bytes) {
    transmit(ctx, to, None, payload);
}

/// Sends, unless the connection is gone.
fn transmit(ctx: &mut Ctx<'_>, to: &Origin, after: Option<SaveSeq>, payload: Bytes) {
    if to.transport.is_reliable() && ctx.flows.get(to.flow).is_none() {
        return ctx.stats.dropped(DropReason::NoRoute);
    }
    let now = ctx.now;
    ctx.out.transmit(to, now, after, payload);
}
