//! From a call to those it rings: the plan of the router, the phones of the registrar, addresses of names. RFC 3261
//! s16.5, RFC 3263, DECISIONS 9 and 10.

use core::net::SocketAddr;
use core::time::Duration;
use std::collections::{BTreeMap, VecDeque};

use super::Engine;
use super::lists::known;
use super::messages;
use super::trunks::TICKET;
use crate::base::TimerKey;
use crate::base::text::owned;
use crate::bridge::{CallKey, Hop, Lines, Outcome};
use crate::ctx::{Ctx, Locate, Origin, Refusal, Timer};
use crate::door::{
    Identity, PresenceView, Query, ReplyBody, ResolveQuery, Resolved, RouteAnswer, RouteQuery, Ticket,
    Transport,
};
use crate::registrar::NextHop;
use crate::router::{self, Called, Caller, Ended, Goal, Plan, Step};
use crate::stats::DropReason;
use crate::wire::{Method, NameAddr, Status, Uri};

/// Where a call goes, as long as nobody has answered it.
#[derive(Clone, Debug)]
pub(super) struct Routing {
    /// `None` while the host is asked.
    plan: Option<Plan>,
    who: Who,
    /// The step that is being made ready.
    step: Option<Preparing>,
    /// How long the host may take.
    timer: TimerKey,
    /// A trunk was not there, or full: if nobody answers, that is why.
    passed_over: bool,
    /// Of a transfer: the call it is for. Who is sought has a call of his own from the first step on.
    transfer: bool,
}

/// Whose call it is, and what was asked for.
#[derive(Clone, Debug)]
pub(super) struct Who {
    pub(super) identity: Identity,
    pub(super) trunk: Option<u16>,
    pub(super) trusted: bool,
    /// It is the host who calls, or has them called.
    pub(super) host: bool,
    pub(super) aor: Box<str>,
    pub(super) uri: Box<str>,
    /// Where the request came from, and so what is near.
    pub(super) origin: Origin,
}

impl Who {
    fn caller(&self) -> Caller<'_> {
        match self.trunk {
            _ if self.host => Caller::Host,
            Some(trunk) => Caller::Trunk(trunk),
            None if self.trusted => Caller::Trusted,
            None => Caller::Account(&self.identity),
        }
    }

    /// The same as the router is asked.
    pub(super) fn asks_for<'w>(&'w self, uri: &'w Uri<'w>) -> router::Asked<'w> {
        router::Asked { caller: self.caller(), caller_aor: &self.aor, uri, is_message: false }
    }
}

#[derive(Clone, Debug)]
struct Preparing {
    groups: Vec<Vec<Hop>>,
    /// What is to be found out where it is, one after the other.
    left: VecDeque<(Box<str>, Option<u16>, Lines)>,
    /// Those who want to be left alone: asked only if nobody else can be.
    last: Vec<Hop>,
    ring: Duration,
}

/// All that are being routed.
pub(super) type Routings = BTreeMap<CallKey, Routing>;

impl Engine {
    /// Who asked for a call, and for whom.
    pub(super) fn asked_by(&self, key: CallKey) -> Option<&Who> {
        self.rooms.routes.get(&key).map(|routing| &routing.who)
    }

    /// Finds out where a call goes, from the beginning.
    pub(super) fn route_call(&mut self, key: CallKey, plan: Option<Plan>, who: Who, transfer: bool) {
        let asks = plan.is_none();
        let passed_over = false;
        let routing = Routing { plan, who, step: None, timer: TimerKey::NONE, passed_over, transfer };
        self.rooms.routes.insert(key, routing);
        if asks {
            return self.ask_route(key);
        }
        self.next_step(key, None);
    }

    /// Who is called, as records name him, and the plan of the call; `None` if the host is to be asked first.
    pub(super) fn plan(&mut self, who: &Who) -> Result<(Box<str>, Option<Plan>), Refusal> {
        let settings = self.house.settings.clone();
        let uri = Uri::parse(who.uri.as_bytes()).map_err(|_| Refusal::plain(Status::BAD_REQUEST))?;
        let asked = who.asks_for(&uri);
        let called = router::called(&settings, &asked);
        if !who.host && settings.calls.as_ref().is_some_and(|calls| calls.ask_route) {
            return Ok((called.text(), None));
        }
        let text = called.text();
        Ok((text, Some(self.usual_plan(&asked, called)?)))
    }

    /// Where it goes without asking.
    fn usual_plan(&mut self, asked: &router::Asked<'_>, called: Called<'_>) -> Result<Plan, Refusal> {
        let presence = self.presence_of(&called);
        let presence = presence.map_or(router::Presence::Unknown, |view| view.state.into());
        router::route(&self.house.settings, asked, called, presence)
    }

    /// What whoever is called is now, if somebody said.
    pub(super) fn presence_of(&mut self, called: &Called<'_>) -> Option<Box<PresenceView>> {
        if self.house.settings.presence.is_none() || self.rooms.presence.len() == 0 {
            return None;
        }
        match self.view_presence(&called.aor()?) {
            ReplyBody::Presence(view) => Some(view),
            _ => None,
        }
    }

    fn ask_route(&mut self, key: CallKey) {
        let settings = self.house.settings.clone();
        let Some(who) = self.rooms.routes.get(&key).map(|routing| routing.who.clone()) else { return };
        let Ok(uri) = Uri::parse(who.uri.as_bytes()) else {
            return self.refuse_call(key, &Refusal::plain(Status::BAD_REQUEST));
        };
        let asked = who.asks_for(&uri);
        let called = router::called(&settings, &asked);
        let presence = self.presence_of(&called);
        let ctx = self.house.ctx();
        let bindings = called.aor().and_then(|aor| self.rooms.registrar.lookup(&ctx, &aor));
        let deadline = self.house.now + settings.limits.park_timeout;
        let timer = self.house.timers.arm(deadline, Timer::Route(key.to_bits()));
        if let Some(routing) = self.rooms.routes.get_mut(&key) {
            routing.timer = timer;
        }
        let proved = !who.identity.account.is_empty() && who.trunk.is_none();
        self.house.out.ask(Query::Route(Box::new(RouteQuery {
            ticket: Ticket::from_bits(key.to_bits()),
            method: Method::Invite,
            caller: proved.then(|| who.identity.clone()),
            from: who.aor.clone(),
            to: called.text(),
            uri: who.uri.clone(),
            source: who.origin.remote,
            transport: who.origin.transport,
            bindings: bindings.unwrap_or_default(),
            presence,
        })));
    }

    /// The host says where a call goes.
    pub(super) fn on_route(&mut self, ticket: Ticket<RouteQuery>, answer: RouteAnswer) {
        if ticket.index & messages::TICKET != 0 {
            return self.on_message_route(ticket, answer);
        }
        let key = CallKey::from_bits(ticket.to_bits());
        let asked = self.rooms.routes.get_mut(&key).filter(|routing| routing.plan.is_none());
        let Some(routing) = asked else { return self.house.stats.dropped(DropReason::BadTicket) };
        self.house.timers.disarm(core::mem::take(&mut routing.timer));
        let (settings, who) = (self.house.settings.clone(), routing.who.clone());
        let Ok(uri) = Uri::parse(who.uri.as_bytes()) else { return };
        let asked = who.asks_for(&uri);
        let plan = match answer {
            RouteAnswer::Default => self.usual_plan(&asked, router::called(&settings, &asked)),
            RouteAnswer::Targets(targets) => Plan::from_answer(&settings, &asked, targets),
            RouteAnswer::Redirect(to) => Ok(Plan::redirect(&settings, &asked, to)),
            RouteAnswer::Reject { status, reason } => {
                return self.refuse_call(key, &Refusal::of_host(status, reason));
            }
            RouteAnswer::Unavailable => {
                return self.refuse_call(key, &Refusal::plain(Status::SERVICE_UNAVAILABLE));
            }
        };
        match plan {
            Ok(plan) => {
                if let Some(routing) = self.rooms.routes.get_mut(&key) {
                    routing.plan = Some(plan);
                }
                self.next_step(key, None);
            }
            Err(refusal) => self.refuse_call(key, &refusal),
        }
    }

    /// The host takes too long.
    pub(super) fn on_route_timer(&mut self, bits: u64) {
        let key = CallKey::from_bits(bits);
        if let Some(routing) = self.rooms.routes.get_mut(&key) {
            routing.timer = TimerKey::NONE;
            self.refuse_call(key, &Refusal::plain(Status::SERVICE_UNAVAILABLE));
        }
    }

    fn refuse_call(&mut self, key: CallKey, refusal: &Refusal) {
        match self.is_transfer(key) {
            true => {
                self.rooms.routes.remove(&key);
                self.bridge(|bridge, kit| bridge.refuse_transfer(kit, key, refusal.status));
            }
            false => self.bridge(|bridge, kit| bridge.refuse(kit, key, refusal.line())),
        }
    }

    /// A call is over: it goes nowhere any more.
    pub(super) fn forget_route(&mut self, key: CallKey) {
        if let Some(routing) = self.rooms.routes.remove(&key) {
            self.house.timers.disarm(routing.timer);
        }
    }

    /// Everybody of the last step was tried.
    pub(super) fn on_exhausted(&mut self, key: CallKey, outcome: Outcome) {
        debug_assert!(self.rooms.bridge.is_exhausted(key));
        let redirected = self.bridge(|bridge, _| bridge.redirected(key));
        if let Some(contacts) = redirected
            && let Some(step) = self
                .rooms
                .routes
                .get_mut(&key)
                .and_then(|routing| routing.plan.as_mut())
                .and_then(|plan| plan.follow(contacts))
        {
            return self.begin_step(key, step);
        }
        let ended = match outcome {
            Outcome::Nobody => Ended::Offline,
            Outcome::NoAnswer => Ended::NoAnswer,
            Outcome::Refused(status) => Ended::of(Status(status), false),
        };
        self.next_step(key, Some(ended));
    }

    /// Is it the call of somebody who asked for a transfer?
    fn is_transfer(&self, key: CallKey) -> bool {
        self.rooms.routes.get(&key).is_some_and(|routing| routing.transfer)
    }

    fn next_step(&mut self, key: CallKey, ended: Option<Ended>) {
        let routing = self.rooms.routes.get_mut(&key);
        let passed_over = routing.as_ref().is_some_and(|routing| routing.passed_over);
        let Some(plan) = routing.and_then(|routing| routing.plan.as_mut()) else {
            // Of a transfer, whose plan has one step.
            return self.bridge(|bridge, kit| bridge.give_up(kit, key, Status::TEMPORARILY_UNAVAILABLE));
        };
        match plan.next(ended) {
            Some(step) => self.begin_step(key, step),
            None => {
                let refusal = match passed_over {
                    true => Refusal::plain(Status::SERVICE_UNAVAILABLE),
                    false => plan.refusal().clone(),
                };
                match self.is_transfer(key) {
                    true => self.refuse_call(key, &refusal),
                    false => self.bridge(|bridge, kit| bridge.give_up(kit, key, refusal.line())),
                }
            }
        }
    }

    fn begin_step(&mut self, key: CallKey, step: Step) {
        let Step { goals, headers, ring, diversions } = step;
        let Some(near) = self.rooms.routes.get(&key).map(|routing| routing.who.origin) else { return };
        let mut headers = headers.into_iter();
        let added = diversions.lines();
        let together = goals.len() > 1;
        let mut preparing = Preparing { groups: Vec::new(), left: VecDeque::new(), last: Vec::new(), ring };
        for goal in goals {
            let own = headers.next().unwrap_or_default();
            let lines: Lines = own.into_iter().chain(added.iter().cloned()).collect();
            match goal {
                Goal::Aor(aor) => {
                    let groups = self.groups(&aor, &lines, &near);
                    match preparing.groups.first_mut() {
                        Some(first) if together => first.extend(groups.into_iter().flatten()),
                        _ => preparing.groups.extend(groups),
                    }
                }
                Goal::Uri { uri, trunk } => {
                    let same = preparing.left.iter().filter(|(_, other, _)| *other == trunk).count();
                    match trunk.is_none_or(|trunk| self.may_take(trunk, same)) {
                        true => preparing.left.push_back((uri, trunk, lines)),
                        false => self.passed_over(key),
                    }
                }
                Goal::Redirect(to) => return self.bridge(|bridge, kit| bridge.redirect(kit, key, &to)),
            }
        }
        if let Some(routing) = self.rooms.routes.get_mut(&key) {
            routing.step = Some(preparing);
        }
        self.prepare(key);
    }

    /// Is a trunk there, with room for one more call?
    pub(super) fn may_take(&self, trunk: u16, more: usize) -> bool {
        !self.rooms.trunks.is_down(trunk) && self.has_room(trunk, more)
    }

    fn passed_over(&mut self, key: CallKey) {
        if let Some(routing) = self.rooms.routes.get_mut(&key) {
            routing.passed_over = true;
        }
    }

    /// Finds out where the rest of a step is; when all is known, it rings.
    fn prepare(&mut self, key: CallKey) {
        loop {
            let Some(routing) = self.rooms.routes.get_mut(&key) else { return };
            let (near, Some(step)) = (routing.who.origin, &mut routing.step) else { return };
            let Some((uri, trunk, lines)) = step.left.front().cloned() else { break };
            let Ok(parsed) = Uri::parse(uri.as_bytes()) else {
                step.left.pop_front();
                continue;
            };
            let found = self.in_memory(&parsed, &near);
            match found {
                Some((to, contact, path, aor)) => {
                    let hop = Hop {
                        to,
                        others: Vec::new(),
                        contact,
                        path,
                        local: aor.is_some(),
                        target: aor.unwrap_or_else(|| uri.clone()),
                        from: self.shown_as(key, trunk),
                        trunk,
                        breadth: 0,
                        lines,
                    };
                    self.add_hop(key, hop);
                }
                None => {
                    let host = parsed.host().map(|host| host.to_string()).unwrap_or_default();
                    let transport = parsed.transport().and_then(|t| core::str::from_utf8(t).ok());
                    let transport = transport.and_then(Transport::of_uri_param);
                    return self.house.out.ask(Query::Resolve(ResolveQuery {
                        ticket: Ticket::from_bits(key.to_bits()),
                        host: host.into(),
                        port: parsed.port(),
                        transport,
                        secure: parsed.is_secure(),
                        near: near.local,
                    }));
                }
            }
        }
        let step = self.rooms.routes.get_mut(&key).and_then(|routing| routing.step.take());
        let Some(Preparing { mut groups, last, ring, .. }) = step else { return };
        if !last.is_empty() && groups.iter().all(Vec::is_empty) {
            let others = self.rooms.routes.get(&key).and_then(|routing| routing.plan.as_ref());
            match others.is_some_and(|plan| plan.left() > 0) {
                true => self.passed_over(key),
                false => groups = vec![last],
            }
        }
        let routing = self.rooms.routes.get(&key).filter(|routing| routing.transfer);
        if let Some(identity) = routing.map(|routing| routing.who.identity.clone()) {
            let routing = self.rooms.routes.remove(&key);
            let new = self.bridge(|bridge, kit| bridge.transfer(kit, key, identity, groups, ring));
            if let (Some(new), Some(routing)) = (new, routing) {
                self.rooms.routes.insert(new, Routing { transfer: false, ..routing });
            }
            return;
        }
        match groups.iter().all(Vec::is_empty) {
            true => self.next_step(key, Some(Ended::Offline)),
            false => self.ring_call(key, groups, ring),
        }
    }

    /// What is first of the rest of a step is here.
    fn add_hop(&mut self, key: CallKey, hop: Hop) {
        let Some(step) = self.rooms.routes.get_mut(&key).and_then(|routing| routing.step.as_mut()) else {
            return;
        };
        step.left.pop_front();
        if !hop.local && self.house.ctx().is_left_alone(hop.to.remote) {
            return step.last.push(hop);
        }
        match step.groups.first_mut() {
            Some(group) => group.push(hop),
            None => step.groups.push(vec![hop]),
        }
    }

    /// Who is said to call, towards a trunk.
    fn shown_as(&self, key: CallKey, trunk: Option<u16>) -> Option<Box<str>> {
        let who = &self.rooms.routes.get(&key)?.who;
        router::from_uri(&self.house.settings, trunk?, &who.aor).map(Into::into)
    }

    /// The host says where a name is.
    pub(super) fn on_resolved(&mut self, ticket: Ticket<ResolveQuery>, ways: Vec<Resolved>) {
        if ticket.index & TICKET != 0 {
            return self.on_trunk_resolved(ticket, &ways);
        }
        if ticket.index & messages::TICKET != 0 {
            return self.on_message_resolved(ticket, &ways);
        }
        if ticket.index & super::ua::TICKET != 0 {
            return self.on_ua_resolved(ticket, &ways);
        }
        let key = CallKey::from_bits(ticket.to_bits());
        let routing = self.rooms.routes.get(&key);
        let asked =
            routing.and_then(|routing| Some((routing.who.origin, routing.step.as_ref()?.left.front()?)));
        let Some((near, (uri, trunk, lines))) = asked else {
            return self.house.stats.dropped(DropReason::BadTicket);
        };
        let (uri, trunk, lines) = (uri.clone(), *trunk, lines.clone());
        let mut ctx = self.house.ctx();
        let mut ways: Vec<Origin> = ways.iter().filter_map(|way| origin_of(&mut ctx, way, &near)).collect();
        ways.sort_by_key(|to| ctx.is_left_alone(to.remote));
        let mut ways = VecDeque::from(ways);
        match ways.pop_front() {
            Some(to) => {
                let hop = Hop {
                    to,
                    others: ways.into(),
                    contact: uri.as_bytes().into(),
                    path: Box::default(),
                    local: false,
                    target: uri.clone(),
                    from: self.shown_as(key, trunk),
                    trunk,
                    breadth: 0,
                    lines,
                };
                self.add_hop(key, hop);
            }
            None => {
                if let Some(step) = self.rooms.routes.get_mut(&key).and_then(|r| r.step.as_mut()) {
                    step.left.pop_front();
                }
            }
        }
        self.prepare(key);
    }

    /// A GRUU or an AoR of ours, and what is an address already, is found without asking anybody.
    #[expect(clippy::type_complexity, reason = "the parts of a hop")]
    fn in_memory(
        &mut self,
        uri: &Uri<'_>,
        near: &Origin,
    ) -> Option<(Origin, Box<[u8]>, Box<[u8]>, Option<Box<str>>)> {
        let mut ctx = self.house.ctx();
        if let Some(reached) = self.rooms.registrar.named(&ctx, uri) {
            let mut aor = crate::config::AorBuf::new();
            ctx.settings.domains.aor(uri, &mut aor);
            let aor = owned(&aor);
            return Some((reached.to, reached.contact.into(), reached.path.into(), Some(aor)));
        }
        // What the host asks for came to no address of ours: which of them is on the way is to be found out.
        if near.local.ip().is_unspecified() {
            return None;
        }
        let to = straight(&mut ctx, uri, near)?;
        Some((to, uri.raw().into(), Box::default(), None))
    }

    /// The phones of an AoR: those of one priority ring together, the higher first (RFC 3261 s16.6).
    pub(super) fn groups(&mut self, aor: &str, lines: &Lines, near: &Origin) -> Vec<Vec<Hop>> {
        let mut ctx = self.house.ctx();
        let mut groups: Vec<(u16, Vec<Hop>)> = Vec::new();
        for target in self.rooms.registrar.targets(&ctx, aor.as_bytes()) {
            let to = match target.next {
                NextHop::Over(to) => Some(to),
                NextHop::Path => crate::wire::split::commas(target.path)
                    .next()
                    .and_then(|path| NameAddr::parse(path).ok())
                    .and_then(|path| straight(&mut ctx, &path.uri, near)),
                NextHop::Contact => {
                    Uri::parse(target.contact).ok().and_then(|uri| straight(&mut ctx, &uri, near))
                }
                NextHop::Gone => None,
            };
            let Some(to) = to else { continue };
            let hop = Hop {
                to,
                others: Vec::new(),
                contact: target.contact.into(),
                path: target.path.into(),
                target: aor.into(),
                local: true,
                from: None,
                trunk: None,
                breadth: 0,
                lines: lines.clone(),
            };
            match groups.last_mut() {
                Some((q, group)) if *q == target.q => group.push(hop),
                _ => groups.push((target.q, vec![hop])),
            }
        }
        groups.into_iter().map(|(_, group)| group).collect()
    }

    /// A party of a call asks for a transfer: it is routed, and paid for, as a call of his (DECISIONS 24).
    pub(super) fn on_refer(&mut self, key: CallKey) {
        let Some(referral) = self.bridge(|bridge, _| bridge.referral(key)) else { return };
        let mut identity = known(&self.house.settings, &referral.by);
        let trunk = referral.trunk;
        if trunk.is_some() && !referral.host {
            identity.account = Box::default();
        }
        let who = Who {
            identity,
            trunk,
            trusted: false,
            host: referral.host,
            aor: referral.by,
            uri: referral.target,
            origin: referral.origin,
        };
        match self.plan(&who) {
            Ok((_, plan)) => self.route_call(key, plan, who, true),
            Err(refusal) => {
                self.bridge(|bridge, kit| bridge.refuse_transfer(kit, key, refusal.status));
            }
        }
    }
}

/// The way to a URI that names an address: nothing is to be asked.
pub(super) fn straight(ctx: &mut Ctx<'_>, uri: &Uri<'_>, near: &Origin) -> Option<Origin> {
    let ip = uri.host()?.ip()?.to_canonical();
    let transport = match uri.transport() {
        None if uri.is_secure() => Transport::Tls,
        None => Transport::Udp,
        Some(transport) => {
            let asked = core::str::from_utf8(transport).ok().and_then(Transport::of_uri_param)?;
            if uri.is_secure() { asked.of_sips()? } else { asked }
        }
    };
    let port = uri.port().unwrap_or(transport.default_port());
    way(ctx, transport, SocketAddr::new(ip, port), near, Some(&ip.to_string()))
}

pub(super) fn origin_of(ctx: &mut Ctx<'_>, found: &Resolved, near: &Origin) -> Option<Origin> {
    let name = found.server_name.as_deref();
    way(ctx, found.transport, found.remote, &Origin { local: found.local, ..*near }, name)
}

/// `name` is who has to be there, where that is proved.
fn way(
    ctx: &mut Ctx<'_>,
    transport: Transport,
    remote: SocketAddr,
    near: &Origin,
    name: Option<&str>,
) -> Option<Origin> {
    match transport {
        Transport::Udp => ctx.flows.datagrams(remote.ip(), near.local.ip()).map(|mut to| {
            to.remote = remote;
            to
        }),
        Transport::Tcp => ctx.connect(near, remote),
        Transport::Tls | Transport::Ws | Transport::Wss => {
            ctx.connect_by(transport, near, remote, Some(name?))
        }
    }
}
