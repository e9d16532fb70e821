//! From a message to the room that serves it. One pass: scan, transaction, method, authentication, room, response.
//!
//! RFC 3261 s8.2 fixes the order in which a request is inspected; what a refusal looks like is in `answer`.

use core::net::{IpAddr, SocketAddr};
use core::ops::Deref;
use std::sync::Arc;

use super::pending::{Parked, Waits};
use super::{Engine, Rooms};
use crate::auth::{Allowed, Need, Verdict, Wait};
use crate::base::Time;
use crate::config::{AorBuf, AuthPolicy, Settings};
use crate::ctx::{Extra, Origin, Refusal, Timer};
use crate::dialog::refer;
use crate::door::{AuthVerdict, CloseReason, Command, FlowId, Identity, KeepAlive, Scheme, Transport};
use crate::stats::{Counter, DropReason};
use crate::txn::{RequestMatch, ResponseMatch, ServerKey, TxnId, Usage};
use crate::wire::{
    self, Bounds, Essentials, Event, Fault, Header, Kind, Layout, Message, Method, Reject, Status, Via,
};

/// Everything known about the request of this pass.
#[derive(Clone)]
pub(super) struct Pass<'m> {
    pub(super) asker: Asker<'m>,
    pub(super) ess: &'m Essentials<'m>,
    /// What a REGISTER asks for, as a hash, if that was looked at.
    pub(super) asked: Option<u64>,
}

/// What the answer to a request needs to know of it.
#[derive(Clone)]
pub(super) struct Asker<'m> {
    pub(super) origin: Origin,
    pub(super) msg: Message<'m>,
    /// The topmost Via.
    pub(super) via: &'m Via<'m>,
    /// To has a tag: the request is one within a dialog, or claims to be.
    pub(super) is_tagged: bool,
    pub(super) method: Method,
    /// What its transaction is or would be known by.
    pub(super) id: TxnId,
    /// When the request came in; earlier than now if it was parked.
    pub(super) since: Time,
    /// Its transaction, once there is one; without, the response leaves no state.
    pub(super) server: Option<ServerKey>,
    /// Who proved to have sent it, where events tell that.
    pub(super) who: Option<Arc<Identity>>,
}

impl Asker<'_> {
    /// Authentication let it in.
    pub(super) fn proved(&mut self, settings: &Settings, allowed: &Allowed) {
        if settings.tell.outcomes && allowed.identity.scheme != Scheme::None {
            self.who = Some(Arc::clone(&allowed.identity));
        }
    }
}

impl<'m> Pass<'m> {
    /// Of a request that comes in now.
    pub(super) fn new(
        origin: Origin,
        msg: Message<'m>,
        ess: &'m Essentials<'m>,
        id: TxnId,
        now: Time,
    ) -> Pass<'m> {
        let (via, is_tagged) = (&ess.via, ess.to.tag().is_some());
        let method = msg.method();
        let asker = Asker { origin, msg, via, is_tagged, method, id, since: now, server: None, who: None };
        Pass { asker, ess, asked: None }
    }
}

impl<'m> Deref for Pass<'m> {
    type Target = Asker<'m>;
    fn deref(&self) -> &Asker<'m> {
        &self.asker
    }
}

impl Engine {
    pub(super) fn on_message(&mut self, flow: FlowId, remote: SocketAddr, local: SocketAddr, data: &[u8]) {
        let house = &mut self.house;
        house.stats.count(Counter::Messages);
        house.stats.add(Counter::Bytes, data.len() as u64);
        let Some(origin) = house.flows.origin(flow, remote, local) else {
            return self.drop_input(remote, DropReason::UnknownFlow);
        };
        if !is_allowed(&house.settings, remote.ip()) {
            return self.drop_input(remote, DropReason::Source);
        }
        if origin.transport == Transport::Udp && self.on_small_datagram(&origin, data) {
            return;
        }
        let limits = &self.house.settings.limits;
        let bounds = Bounds { message_bytes: limits.message_bytes, headers: limits.headers };
        let mut layout = Layout::new();
        match wire::parse(data, &mut layout, &bounds) {
            Ok(msg) if msg.is_request() => self.on_request(origin, msg),
            Ok(msg) => self.on_response(origin, msg),
            Err(reject) => self.on_reject(&origin, &reject),
        }
    }

    /// What else arrives on a SIP port: STUN (RFC 5626 s8) and keep-alives. True if it was one of those.
    fn on_small_datagram(&mut self, origin: &Origin, data: &[u8]) -> bool {
        // RFC 5626 s8: the first two bits tell STUN from SIP.
        if data.first().is_some_and(|b| b & 0xc0 == 0) && wire::stun::is_stun(data) {
            if self.rooms.uas.len() > 0
                && let Some((id, at)) = wire::stun::mapped(data)
            {
                self.uas(|uas, kit| uas.on_mapped(kit, &id, at));
                return true;
            }
            let house = &mut self.house;
            let mut arena = house.out.lend();
            let answer = wire::stun::answer(data, origin.remote, arena.chunk());
            house.out.restore(arena);
            match answer {
                Some(payload) => {
                    house.stats.count(Counter::Stun);
                    house.out.transmit(origin, house.now, None, payload);
                }
                None => self.drop_input(origin.remote, DropReason::Stun),
            }
            return true;
        }
        if data.iter().all(|b| matches!(b, b'\r' | b'\n' | b'\0' | b' ')) {
            self.drop_input(origin.remote, DropReason::KeepAlive);
            return true;
        }
        false
    }

    pub(super) fn on_keepalive(&mut self, flow: FlowId, remote: SocketAddr, kind: KeepAlive) {
        let Some(&crate::ctx::Flow { local, .. }) = self.house.flows.get(flow) else {
            return self.drop_input(remote, DropReason::UnknownFlow);
        };
        let Some(origin) = self.house.flows.origin(flow, remote, local) else { return };
        let mut ctx = self.house.ctx();
        self.rooms.registrar.keepalive(&mut ctx, flow);
        self.rooms.uas.on_pong(&mut ctx, flow);
        if kind == KeepAlive::Ping && origin.transport.is_reliable() {
            // RFC 5626 s3.5.1: a double CRLF is answered by a single one.
            self.house.stats.count(Counter::Pongs);
            let now = self.house.now;
            self.house.out.transmit(&origin, now, None, bytes::Bytes::from_static(b"\r\n"));
        }
    }

    /// A stream that cannot be framed: answered if it can be, then closed.
    pub(super) fn on_bad_frame(&mut self, flow: FlowId, head: &[u8], reason: crate::door::BadFrame) {
        let Some(found) = self.house.flows.get(flow) else { return };
        let remote = found.remote.unwrap_or(found.local);
        let local = found.local;
        let Some(origin) = self.house.flows.origin(flow, remote, local) else { return };
        let status = match reason {
            crate::door::BadFrame::HeadTooLong | crate::door::BadFrame::TooLong => Status::MESSAGE_TOO_LARGE,
            _ => Status::BAD_REQUEST,
        };
        let limits = &self.house.settings.limits;
        let bounds = Bounds { message_bytes: limits.message_bytes, headers: limits.headers };
        let mut layout = Layout::new();
        let partial = match wire::parse(head, &mut layout, &bounds) {
            Ok(msg) => Some(msg),
            Err(reject) => reject.partial,
        };
        match partial {
            Some(msg) if msg.is_request() && msg.method() != Method::Ack => {
                self.house.stats.count(Counter::ParseErrors);
                self.answer_broken(&origin, msg, status.into());
            }
            _ => self.drop_input(remote, DropReason::NotSip),
        }
        self.house.out.push(Command::Close { flow, reason: CloseReason::BadFrame });
    }

    /// A message that cannot be parsed: answered where the sender can be told, counted else.
    fn on_reject(&mut self, origin: &Origin, reject: &Reject<'_>) {
        self.house.stats.count(Counter::ParseErrors);
        match reject.partial {
            Some(msg) if msg.is_request() && msg.method() != Method::Ack => {
                self.answer_broken(origin, msg, reject.error.into());
            }
            Some(msg) if msg.is_request() => self.drop_input(origin.remote, DropReason::BadAck),
            Some(_) => self.drop_input(origin.remote, DropReason::BadResponse),
            None => self.drop_input(origin.remote, DropReason::NotSip),
        }
    }

    fn on_response(&mut self, origin: Origin, msg: Message<'_>) {
        let mut ctx = self.house.ctx();
        match self.rooms.txn.receive_response(&mut ctx, &origin, msg) {
            ResponseMatch::Stray => self.drop_input(origin.remote, DropReason::StrayResponse),
            ResponseMatch::Deliver { usage: Usage::Agent(bits), .. } => {
                if let Kind::Response { status, .. } = msg.kind() {
                    let Rooms { agent, txn, .. } = &mut self.rooms;
                    agent.on_response(&mut ctx, txn, bits, status, msg);
                    self.tell_wishes();
                }
            }
            ResponseMatch::Deliver { usage: Usage::Notify(bits), .. } => {
                if let Kind::Response { status, .. } = msg.kind() {
                    let event = msg.header(Header::Event).filter(|_| (200..300).contains(&status));
                    if let Some(event) = event.and_then(|value| Event::parse(value).ok()) {
                        self.rooms.events.on_event(&mut ctx, bits, &event);
                    }
                    self.rooms.events.on_response(&mut ctx, bits, status, msg.retry_after());
                }
            }
            ResponseMatch::Deliver { usage: Usage::Message(bits), .. } => {
                if let Kind::Response { status, .. } = msg.kind() {
                    self.on_message_response(bits, status, msg);
                }
            }
            ResponseMatch::Deliver { usage: Usage::UaCall(bits), key, .. } => {
                if let Kind::Response { status, .. } = msg.kind() {
                    self.uas(|uas, kit| uas.on_call_response(kit, (bits, key), status, msg));
                }
            }
            ResponseMatch::Deliver { usage: Usage::UaText(bits), .. } => {
                if let Kind::Response { status, .. } = msg.kind() {
                    self.uas(|uas, kit| uas.on_text_response(kit, bits, status, msg));
                }
            }
            ResponseMatch::Deliver { usage: Usage::Notice(bits), .. } => {
                if let Kind::Response { status, .. } = msg.kind() {
                    self.rooms.notices.on_response(&mut ctx, bits, status);
                }
            }
            ResponseMatch::Deliver { usage: Usage::Trunk(bits), .. } => {
                if let Kind::Response { status, .. } = msg.kind() {
                    self.rooms.trunks.on_response(&mut ctx, bits, status);
                }
            }
            ResponseMatch::Deliver { usage: Usage::Call(bits), key, .. } => {
                if let Kind::Response { status, .. } = msg.kind() {
                    self.on_call_response(bits, key, status, msg);
                }
            }
            ResponseMatch::Absorbed | ResponseMatch::Deliver { usage: Usage::Nothing, .. } => {}
        }
    }

    fn on_request(&mut self, origin: Origin, msg: Message<'_>) {
        let method = msg.method();
        self.house.stats.request(method);
        let (via, cseq) = (msg.only_via(), msg.cseq());
        let mut asked = None;
        if method == Method::Register
            && let (Some(via), Ok(cseq)) = (&via, &cseq)
        {
            asked = self.asked_again(&origin, msg, via, cseq);
            if asked.is_some_and(|asked| self.on_again(&origin, msg, via, cseq, asked)) {
                return;
            }
        }
        let ess = &match msg.read_essentials(via, cseq) {
            Ok(ess) => ess,
            // RFC 4475 s3.1.2.18: what matters more about an unknown method is that it is unknown.
            Err(error) if method == Method::Other && error.fault == Fault::Mismatch => {
                self.house.stats.count(Counter::ParseErrors);
                return self.answer_broken(&origin, msg, Status::NOT_IMPLEMENTED.into());
            }
            Err(error) => return self.on_reject(&origin, &Reject { error, partial: Some(msg) }),
        };
        if origin.transport == Transport::Tls && ess.via.is_alias() {
            self.house.flows.alias(origin.flow, ess.via.port);
        }
        let now = self.house.now;
        let pass = |id| Pass { asked, ..Pass::new(origin, msg, ess, id, now) };
        let mut ctx = self.house.ctx();
        let mut pass = match self.rooms.txn.receive_request(&mut ctx, &origin, msg, &ess.via, ess) {
            RequestMatch::New(id) => pass(id),
            RequestMatch::Absorbed => return,
            RequestMatch::Ack => return self.on_ack(&origin, msg, ess),
            // RFC 3261 s9.2: 200 says only that the CANCEL found its transaction; a finished one is not changed by it.
            RequestMatch::Cancel { id, invite: Some(server) } => {
                let mut pass = pass(id);
                // RFC 3261 s17.2.2: its copies get the same answer, also when the INVITE is forgotten. Without room for
                // that it is answered all the same.
                let opened = self.rooms.txn.open(&mut ctx, &origin, pass.via, id, method);
                pass.asker.server = opened.ok();
                self.answer(&pass, Status::OK);
                return self.on_cancel(server, msg);
            }
            RequestMatch::Cancel { id, invite: None } => {
                return self.refuse(&pass(id), &Refusal::plain(Status::NO_TRANSACTION));
            }
            // RFC 3261 s8.2.2.2: the same request came by another path.
            RequestMatch::Merged(id) => {
                return self.refuse(&pass(id), &Refusal::plain(Status::LOOP_DETECTED));
            }
        };
        // RFC 3891 s3: it means something in an INVITE only.
        if method != Method::Invite && msg.header(Header::Replaces).is_some() {
            return self.refuse(&pass, &Refusal::because(Status::BAD_REQUEST, "Misplaced Replaces"));
        }
        // What came of a REFER is told in the call in which it was asked for.
        let of_refer = || refer::is_of_refer(msg);
        let events = self.house.settings.has_events();
        if method == Method::Subscribe && ess.to.tag().is_some() && events && !of_refer() {
            return self.subscribe_in_dialog(&mut pass);
        }
        if ess.to.tag().is_some() && method != Method::Register {
            if let Some(key) = self.rooms.bridge.find(ess) {
                return self.serve_in_call(&mut pass, key);
            }
            if self.relay_behind_answer(&mut pass) {
                return;
            }
            if self.rooms.bridge.is_awaited(ess) {
                return self.refuse_too_early(&mut pass);
            }
        }
        if let Some(key) = self.rooms.uas.call_of(ess) {
            return self.serve_ua_call(&mut pass, key);
        }
        if method == Method::Notify && self.rooms.agent.has(ess) {
            return self.receive_notify(&mut pass);
        }
        if let Some(key) = self.rooms.uas.of_contact(ess) {
            return self.serve_ua(&mut pass, key);
        }
        if let Err(refusal) = self.inspect(&pass) {
            return self.refuse(&pass, &refusal);
        }
        self.authenticate(&mut pass, Wait::First);
    }

    /// Asks the authentication room and goes where its verdict points. Also the way back in for parked requests.
    pub(super) fn authenticate(&mut self, pass: &mut Pass<'_>, wait: Wait) {
        if let Some(trunk) = self.trunk_of(pass) {
            return match pass.method {
                Method::Message => self.serve_trunk_message(pass, trunk),
                _ => self.serve_trunk(pass, trunk),
            };
        }
        let policy = policy(&self.house.settings, pass.method);
        // OPTIONS pings are answered without state (FEATURES B7).
        if pass.method == Method::Options && policy == AuthPolicy::Open {
            return match self.refuse_if_routed_on(pass, &Identity::nobody(Scheme::None)) {
                Ok(()) => self.serve_options(pass),
                Err(refusal) => self.refuse(pass, &refusal),
            };
        }
        let mut ctx = self.house.ctx();
        let verdict = self.rooms.auth.check(&mut ctx, &pass.origin, pass.msg, pass.method, wait);
        self.obey(pass, verdict);
    }

    pub(super) fn obey(&mut self, pass: &mut Pass<'_>, verdict: Verdict) {
        match verdict {
            Verdict::Allow(allowed) => {
                self.house.stats.verdict(allowed.verdict);
                pass.asker.proved(&self.house.settings, &allowed);
                self.serve(pass, &allowed);
            }
            Verdict::Challenge(challenge, why) => {
                self.house.stats.verdict(why);
                if let Some(who) = challenge.replayed()
                    && self.answer_repeated(pass, who)
                {
                    return;
                }
                self.challenge(pass, &challenge, why);
            }
            Verdict::Refuse(refusal, why) => {
                self.house.stats.verdict(why);
                self.refuse_as(pass, &refusal, why);
            }
            Verdict::Park(need) => self.park(pass, need),
            Verdict::Delay(verdict, delay) => {
                // From when it came: whether somebody was asked meanwhile shall not be told by the time it took.
                let deadline = (pass.since + delay).max(self.house.now);
                self.park_until(pass, Waits::Delay(*verdict), deadline);
            }
        }
    }

    /// DECISIONS 16: a REGISTER whose transaction was forgotten early is a replay to authentication; if it repeats
    /// the last one that was accepted, it gets its 200 again.
    fn answer_repeated(&mut self, pass: &Pass<'_>, who: &Identity) -> bool {
        let mut aor = AorBuf::new();
        let named = self.house.settings.domains.aor(&pass.ess.to.uri, &mut aor);
        // Credentials seen on the wire must not show their thief the bindings of somebody else.
        let own = named && core::str::from_utf8(&aor).is_ok_and(|aor| who.owns(aor));
        if pass.method != Method::Register || !own {
            return false;
        }
        let mut ctx = self.house.ctx();
        let Some(registered) = self.rooms.registrar.repeated(&mut ctx, &pass.origin, pass.msg, pass.ess)
        else {
            return false;
        };
        self.answer_registered(pass, &registered, None, AuthVerdict::Replay);
        true
    }

    /// The request is let in: it gets its transaction, and the room of its method serves it.
    fn serve(&mut self, pass: &mut Pass<'_>, allowed: &Allowed) {
        let routed_on = self.refuse_if_routed_on(pass, &allowed.identity).err();
        if pass.method == Method::Options {
            return match routed_on {
                Some(refusal) => self.refuse_as(pass, &refusal, AuthVerdict::NotAllowed),
                None => self.serve_options_of(pass, allowed),
            };
        }
        if !self.open(&mut pass.asker) {
            return;
        }
        if let Some(refusal) = routed_on {
            return self.refuse_as(pass, &refusal, AuthVerdict::NotAllowed);
        }
        if let Some(refusal) = self.unsupported(pass) {
            return self.refuse_as(pass, &refusal, allowed.verdict);
        }
        match pass.method {
            Method::Invite => return self.serve_invite(pass, allowed),
            Method::Refer => return self.serve_refer(pass, allowed),
            Method::Subscribe => return self.serve_subscribe(pass, allowed),
            Method::Publish => return self.serve_publish(pass, allowed),
            Method::Notify => return self.serve_notify(pass, allowed),
            Method::Message => return self.serve_message(pass, allowed),
            _ => {}
        }
        let mut ctx = self.house.ctx();
        let (origin, who) = (&pass.origin, &allowed.identity);
        match self.rooms.registrar.register(&mut ctx, origin, pass.msg, pass.ess, pass.asked, who) {
            Ok(registered) => {
                self.answer_registered(pass, &registered, allowed.info.as_ref(), allowed.verdict);
                let mut ctx = self.house.ctx();
                self.rooms.registrar.tell_pending(&mut ctx);
            }
            Err(refusal) => {
                self.house.stats.count(Counter::RegisterRefused);
                // RFC 3261 s10.3 step 4: proved, but another's address of record.
                let why = if refusal.status == Status::FORBIDDEN {
                    AuthVerdict::NotAllowed
                } else {
                    allowed.verdict
                };
                self.refuse_as(pass, &refusal, why);
            }
        }
    }

    /// Opens the transaction unless the request has one. False if there is no room: the answer is out then.
    pub(super) fn open(&mut self, asker: &mut Asker<'_>) -> bool {
        if asker.server.is_some() {
            return true;
        }
        let mut ctx = self.house.ctx();
        match self.rooms.txn.open(&mut ctx, &asker.origin, asker.via, asker.id, asker.method) {
            Ok(key) => {
                asker.server = Some(key);
                true
            }
            Err(_) => {
                self.overload(asker);
                false
            }
        }
    }

    pub(super) fn overload(&mut self, asker: &Asker<'_>) {
        self.house.stats.count(Counter::Overload);
        self.refuse(asker, &Refusal::with(Status::SERVICE_UNAVAILABLE, Extra::RetryAfter(5)));
    }

    fn park(&mut self, pass: &mut Pass<'_>, need: Need) {
        let deadline = self.house.now + self.house.settings.limits.park_timeout;
        let waits = match &need {
            Need::Keys(issuer) => Waits::Keys(*issuer),
            Need::Introspection { name, .. } => Waits::Introspection(*name),
            Need::Credentials { .. } => Waits::Credentials,
        };
        let Some(key) = self.park_until(pass, waits, deadline) else { return };
        self.ask(key, need);
    }

    /// Keeps one copy of the request until `deadline`, in a transaction of its own that absorbs retransmissions.
    pub(super) fn park_until(
        &mut self,
        pass: &mut Pass<'_>,
        waits: Waits,
        deadline: Time,
    ) -> Option<super::pending::ParkedKey> {
        if self.rooms.pending.len() >= self.house.settings.limits.parked {
            self.overload(pass);
            return None;
        }
        if !self.open(&mut pass.asker) {
            return None;
        }
        let server = pass.server?;
        self.house.stats.count(Counter::Parked);
        let held = pass.msg.to_held();
        let parked = Parked {
            origin: pass.origin,
            held,
            id: pass.id,
            server,
            since: pass.since,
            waits,
            timer: crate::base::TimerKey::NONE,
        };
        let key = self.rooms.pending.park(parked);
        let timer = self.house.timers.arm(deadline, Timer::Parked(key.to_bits()));
        if let Some(parked) = self.rooms.pending.get_mut(key) {
            parked.timer = timer;
        }
        self.prepare_trying(pass);
        Some(key)
    }

    pub(super) fn drop_input(&mut self, remote: SocketAddr, reason: DropReason) {
        self.house.stats.dropped(reason);
        if self.house.settings.tell.drops {
            self.house.out.tell(crate::door::Event::Dropped { remote, reason });
        }
    }
}

/// DECISIONS 32: without a configuration file only near networks are served.
fn is_allowed(settings: &Settings, remote: IpAddr) -> bool {
    settings.allowed_sources.is_empty() || settings.allowed_sources.iter().any(|net| net.contains(remote))
}

/// What a method asks of a request out of dialog.
fn policy(settings: &Settings, method: Method) -> AuthPolicy {
    let p = &settings.policies;
    match method {
        Method::Register => p.register,
        Method::Invite => p.invite,
        Method::Message => p.message,
        Method::Subscribe => p.subscribe,
        Method::Publish => p.publish,
        Method::Options => p.options,
        _ => p.other,
    }
}
