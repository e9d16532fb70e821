//! Where messages meet their neighbours: MESSAGE on its way in, whom the host sends it to, the phones and the ways it takes,
//! what is kept for those who are not there. RFC 3428, RFC 4320.

use core::time::Duration;
use std::collections::VecDeque;
use std::sync::Arc;

use super::dispatch::Pass;
use super::loops::Asks;
use super::pending::{ParkedKey, Waits};
use super::routes::{origin_of, straight};
use super::{Engine, Rooms};
use crate::agent::Trunks;
use crate::auth::Allowed;
use crate::base::text::owned;
use crate::base::{Key, Time};
use crate::config::Settings;
use crate::ctx::{Ctx, Refusal, Timer};
use crate::door::{
    AuthVerdict, Identity, Query, ResolveQuery, Resolved, RouteAnswer, RouteQuery, SaveSeq, Scheme, Ticket,
    Transport,
};
use crate::messages::{DeliveryKey, Failure, LegKey, Letter, Outside, Target, Wanted};
use crate::registrar::{NextHop, Registrar, with_uri};
use crate::router::{self, Caller, Ended, Goal, Plan, Presence};
use crate::stats::DropReason;
use crate::wire::{Header, Status, Uri};

/// Tickets of messages have this bit: no table of calls is so large.
pub(super) const TICKET: u32 = 1 << 30;

/// Where a message goes.
enum Goes {
    /// There; at least one.
    To(Vec<Sent>),
    /// Nowhere now: the user is not there. A canonical address of record.
    Later(Box<str>),
    /// The sender is told to write to these instead.
    Elsewhere(Vec<Box<str>>),
}

/// One of those a message goes to.
struct Sent {
    target: Target,
    headers: router::Headers,
}

impl Sent {
    fn phone(binding: u64) -> Sent {
        Sent { target: Target::Phone(binding), headers: Vec::new() }
    }
}

/// What became of a message at once.
enum Taken {
    /// It is on its way, and the sender waits.
    Sent,
    /// It is kept; durable with this change.
    Kept(Option<SaveSeq>),
    /// The sender is told to write to these instead.
    Moved(Vec<Box<str>>),
}

/// Who sends a message, and over which trunk.
#[derive(Clone, Debug)]
pub(super) struct Sender {
    pub(super) identity: Arc<Identity>,
    pub(super) trunk: Option<u16>,
    verdict: AuthVerdict,
}

/// Whom a message may go to when nobody took it.
#[derive(Clone, Debug)]
pub(super) struct Further {
    plan: Plan,
    letter: Arc<Letter>,
    wanted: Wanted,
    /// Who is said to write.
    aor: Box<str>,
    /// When the sender is answered in any case.
    until: Time,
}

impl Engine {
    /// A MESSAGE outside a dialog; its sender was let in.
    pub(super) fn serve_message(&mut self, pass: &mut Pass<'_>, allowed: &Allowed) {
        let sender = Sender { identity: allowed.identity.clone(), trunk: None, verdict: allowed.verdict };
        self.serve_message_of(pass, sender);
    }

    /// A MESSAGE that comes over a trunk: nobody is asked to prove who he is (DECISIONS 9).
    pub(super) fn serve_trunk_message(&mut self, pass: &mut Pass<'_>, trunk: u16) {
        if !self.open(&mut pass.asker) {
            return;
        }
        if let Some(refusal) = self.unsupported(pass) {
            return self.refuse(pass, &refusal);
        }
        let identity = Arc::new(Identity::nobody(Scheme::Trusted));
        self.serve_message_of(pass, Sender { identity, trunk: Some(trunk), verdict: AuthVerdict::NotAsked });
    }

    fn serve_message_of(&mut self, pass: &mut Pass<'_>, sender: Sender) {
        let asks = self.house.settings.calls.as_ref().is_some_and(|calls| calls.ask_route);
        let result = match self.may_write(pass, &sender) {
            Ok(()) if asks => return self.ask_message_route(pass, sender),
            Ok(()) => self.take_message(pass, &sender, RouteAnswer::Default),
            Err(refusal) => Err(refusal),
        };
        self.end_of_message(pass, &sender, result);
    }

    fn end_of_message(&mut self, pass: &Pass<'_>, sender: &Sender, result: Result<Taken, Refusal>) {
        match result {
            Ok(Taken::Sent) => {}
            Ok(Taken::Kept(save)) => {
                self.answer_kept(pass, save);
                self.tell_outcome(pass, Status::ACCEPTED, sender.verdict);
            }
            Ok(Taken::Moved(to)) => {
                let status = Status::MOVED_TEMPORARILY;
                self.respond(pass, status, |_, writer| {
                    writer.list(Header::Contact, to.iter().map(|uri| format!("<{uri}>")));
                });
                self.tell_outcome(pass, status, sender.verdict);
            }
            Err(refusal) => self.refuse_as(pass, &refusal, sender.verdict),
        }
    }

    /// What is refused wherever it would go.
    fn may_write(&self, pass: &Pass<'_>, sender: &Sender) -> Result<(), Refusal> {
        self.refuse_if_draining()?;
        self.asker(pass.ess, &sender.identity)?;
        // DECISIONS 22.
        if pass.ess.max_forwards == Some(0) {
            return Err(Refusal::plain(Status::TOO_MANY_HOPS));
        }
        let uri = self.written_to(pass, sender)?;
        self.refuse_if_loop(pass, &Asks::text(pass, sender, &uri))
    }

    /// Whom the sender means.
    pub(super) fn written_to(&self, pass: &Pass<'_>, sender: &Sender) -> Result<Box<str>, Refusal> {
        let uri = pass.ess.uri.as_ref().ok_or(Refusal::plain(Status::BAD_REQUEST))?;
        Ok(match sender.trunk {
            Some(_) => self.called_over_trunk(pass, uri),
            None => owned(uri.raw()),
        })
    }

    /// The host is asked where a message goes; the sender waits.
    fn ask_message_route(&mut self, pass: &mut Pass<'_>, sender: Sender) {
        let (asker, uri) = match (self.asker(pass.ess, &sender.identity), self.written_to(pass, &sender)) {
            (Ok(asker), Ok(uri)) => (asker, uri),
            (Err(refusal), _) | (_, Err(refusal)) => return self.refuse_as(pass, &refusal, sender.verdict),
        };
        let Ok(parsed) = Uri::parse(uri.as_bytes()) else {
            return self.refuse_as(pass, &Refusal::plain(Status::BAD_REQUEST), sender.verdict);
        };
        let (settings, identity) = (self.house.settings.clone(), sender.identity.clone());
        let asked = router::Asked {
            caller: caller(&sender, &identity, asker.trusted),
            caller_aor: if asker.ours { &asker.aor } else { "" },
            uri: &parsed,
            is_message: true,
        };
        let called = router::called(&settings, &asked);
        let (to, presence) = (called.text(), self.presence_of(&called));
        let ctx = self.house.ctx();
        let bindings = called.aor().and_then(|aor| self.rooms.registrar.lookup(&ctx, &aor));
        let proved = !identity.account.is_empty() && sender.trunk.is_none();
        let deadline = pass.since + settings.limits.park_timeout;
        let Some(parked) = self.park_until(pass, Waits::MessageRoute(Box::new(sender)), deadline) else {
            return;
        };
        let bits = parked.to_bits();
        let ticket = Ticket::<RouteQuery>::from_bits(bits);
        self.house.out.ask(Query::Route(Box::new(RouteQuery {
            ticket: Ticket::new(ticket.index | TICKET, ticket.generation),
            method: pass.method,
            caller: proved.then(|| (*identity).clone()),
            from: asker.aor,
            to,
            uri,
            source: pass.origin.remote,
            transport: pass.origin.transport,
            bindings: bindings.unwrap_or_default(),
            presence,
        })));
    }

    /// The host says where a message goes.
    pub(super) fn on_message_route(&mut self, ticket: Ticket<RouteQuery>, answer: RouteAnswer) {
        let ticket = Ticket::<RouteQuery>::new(ticket.index & !TICKET, ticket.generation);
        let key = ParkedKey::from_bits(ticket.to_bits());
        let sender = self.rooms.pending.get_mut(key).and_then(|parked| match &parked.waits {
            Waits::MessageRoute(sender) => Some((**sender).clone()),
            _ => None,
        });
        let Some(sender) = sender else { return self.house.stats.dropped(DropReason::BadTicket) };
        self.with_parked_mut(key, |engine, pass| {
            let result = engine.take_message(pass, &sender, answer);
            engine.end_of_message(pass, &sender, result);
        });
    }

    /// The host takes too long.
    pub(super) fn on_message_route_timer(&mut self, key: ParkedKey) {
        self.with_parked(key, |engine, pass| {
            engine.refuse(pass, &Refusal::plain(Status::SERVICE_UNAVAILABLE));
        });
    }

    fn take_message(
        &mut self,
        pass: &mut Pass<'_>,
        sender: &Sender,
        answer: RouteAnswer,
    ) -> Result<Taken, Refusal> {
        let settings = self.house.settings.clone();
        let asker = self.asker(pass.ess, &sender.identity)?;
        let text = self.written_to(pass, sender)?;
        let uri = Uri::parse(text.as_bytes()).map_err(|_| Refusal::plain(Status::BAD_REQUEST))?;
        let asked = router::Asked {
            caller: caller(sender, &sender.identity, asker.trusted),
            caller_aor: if asker.ours { &asker.aor } else { "" },
            uri: &uri,
            is_message: true,
        };
        let mut plan = match answer {
            RouteAnswer::Default if settings.calls.is_none() => None,
            RouteAnswer::Default => {
                let called = router::called(&settings, &asked);
                Some(router::route(&settings, &asked, called, Presence::Unknown)?)
            }
            RouteAnswer::Targets(targets) => Some(Plan::from_answer(&settings, &asked, targets)?),
            RouteAnswer::Redirect(to) => return Ok(Taken::Moved(to)),
            RouteAnswer::Reject { status, reason } => return Err(Refusal::of_host(status, reason)),
            RouteAnswer::Unavailable => return Err(Refusal::plain(Status::SERVICE_UNAVAILABLE)),
        };
        let ctx = self.house.ctx();
        let goes = match &mut plan {
            Some(plan) => routed(&ctx, &self.rooms.registrar, &self.rooms.trunks, plan, None)?,
            None => within(&ctx, &self.rooms.registrar, &asked)?,
        };
        let letter = Letter::of(pass.msg, pass.ess);
        match goes {
            Goes::To(sent) => {
                let letter = Arc::new(letter);
                let targets = addressed(&settings, &asker.aor, &letter, sent);
                let further = plan.filter(|plan| plan.left() > 0).map(|plan| {
                    let (wanted, until) = (Wanted::of(pass.msg), pass.since + self.patience());
                    Box::new(Further { plan, letter, wanted, aor: asker.aor, until })
                });
                self.send_message(pass, sender, targets, further);
                Ok(Taken::Sent)
            }
            Goes::Later(aor) => {
                let config = settings.messages.as_ref().ok_or(Refusal::plain(Status::NOT_FOUND))?;
                let what = (&*aor, letter, Wanted::of(pass.msg));
                let save = self.rooms.messages.keep(&mut self.house.ctx(), config, what)?;
                Ok(Taken::Kept(save))
            }
            Goes::Elsewhere(to) => Ok(Taken::Moved(to)),
        }
    }

    /// How long a sender waits: as long as he has the patience for less eight times T1 (DECISIONS 17).
    fn patience(&self) -> Duration {
        self.house.settings.timers.t1 * (64 - 8)
    }

    /// The sender waits.
    fn send_message(
        &mut self,
        pass: &mut Pass<'_>,
        sender: &Sender,
        targets: Vec<(Target, Arc<Letter>)>,
        further: Option<Box<Further>>,
    ) {
        let now = self.house.now;
        let deadline =
            further.as_ref().map_or(pass.since + self.patience(), |further| further.step_ends(now));
        let (more, none) = (further.is_some(), DeliveryKey::from_bits(0));
        let waits = Waits::Message { delivery: none, sender: sender.clone(), further };
        let Some(parked) = self.park_until(pass, waits, deadline) else {
            return;
        };
        let mut ctx = self.house.ctx();
        let sent = self.rooms.messages.deliver(&mut ctx, parked.to_bits(), targets, more);
        let parked = self.rooms.pending.get_mut(parked);
        if let Some(Waits::Message { delivery, .. }) = parked.map(|parked| &mut parked.waits) {
            *delivery = sent;
        }
    }

    /// Nobody of a step took it, or has said so in time: it goes to the next one, as a call does.
    fn send_further(&mut self, key: ParkedKey, ended: Ended) {
        let Some(parked) = self.rooms.pending.get_mut(key) else { return };
        let Waits::Message { delivery, sender, further } = &mut parked.waits else { return };
        let (delivery, sender, Some(mut further)) = (*delivery, sender.clone(), further.take()) else {
            return;
        };
        let (ctx, rooms) = (self.house.ctx(), &mut self.rooms);
        let result = match routed(&ctx, &rooms.registrar, &rooms.trunks, &mut further.plan, Some(ended)) {
            Ok(Goes::To(sent)) => {
                let targets = addressed(&self.house.settings, &further.aor, &further.letter, sent);
                let left = further.plan.left() > 0;
                let deadline = further.step_ends(self.house.now);
                rooms.messages.deliver_on(&mut self.house.ctx(), delivery, targets, left);
                let parked = rooms.pending.get_mut(key).filter(|_| left);
                if let Some(Waits::Message { further: waits, .. }) = parked.map(|parked| &mut parked.waits) {
                    *waits = Some(further);
                }
                return self.await_answers(key, deadline);
            }
            Ok(Goes::Later(aor)) => match self.house.settings.clone().messages.as_ref() {
                Some(config) => {
                    let what = (&*aor, (*further.letter).clone(), further.wanted);
                    rooms.messages.keep(&mut self.house.ctx(), config, what).map(Taken::Kept)
                }
                None => Err(NOT_THERE),
            },
            Ok(Goes::Elsewhere(to)) => Ok(Taken::Moved(to)),
            Err(refusal) => Err(refusal),
        };
        match result {
            // What was said by those who were asked is better.
            Err(_) => {
                self.rooms.messages.no_more(delivery);
                self.await_answers(key, further.until);
            }
            Ok(taken) => {
                self.rooms.messages.give_up(delivery);
                self.with_parked(key, |engine, pass| engine.end_of_message(pass, &sender, Ok(taken)));
            }
        }
    }

    /// Until then.
    fn await_answers(&mut self, key: ParkedKey, deadline: Time) {
        if let Some(parked) = self.rooms.pending.get_mut(key) {
            self.house.timers.disarm(parked.timer);
            parked.timer = self.house.timers.arm(deadline, Timer::Parked(key.to_bits()));
        }
    }

    /// What is left to do when an input has been served: phones that came get what was kept for them, phones that are free
    /// the next message, senders their answers; ways out are found.
    pub(super) fn settle_messages(&mut self) {
        let Rooms { messages, registrar, .. } = &mut self.rooms;
        for (aor, binding) in registrar.take_arrived() {
            messages.arrived(&aor, binding);
        }
        loop {
            let Rooms { messages, registrar, txn, .. } = &mut self.rooms;
            let mut ctx = self.house.ctx();
            messages.send_due(&mut ctx, txn, registrar);
            let (looking, unmet) = (messages.take_looking(), messages.take_unmet());
            if looking.is_empty() && unmet.is_empty() {
                break;
            }
            for unmet in unmet {
                self.send_further(Key::from_bits(unmet.request), Ended::of(unmet.status, false));
            }
            looking.into_iter().for_each(|(key, uri)| self.find_way(key, &uri));
        }
        for done in self.rooms.messages.take_done() {
            self.answer_sender(Key::from_bits(done.request), done.result);
        }
        self.rooms.registrar.await_phones(self.rooms.messages.kept() > 0);
    }

    /// RFC 3263: an address is a way, a name is to be found.
    fn find_way(&mut self, key: LegKey, uri: &str) {
        let mut ctx = self.house.ctx();
        let near = ctx.flows.own();
        let Ok(uri) = Uri::parse(uri.as_bytes()) else {
            self.rooms.messages.found(key, VecDeque::new());
            return;
        };
        if uri.host().is_some_and(|host| host.ip().is_some()) && !near.local.ip().is_unspecified() {
            let ways = straight(&mut ctx, &uri, &near).into_iter().collect();
            self.rooms.messages.found(key, ways);
            return;
        }
        let ticket = Ticket::<ResolveQuery>::from_bits(key.to_bits());
        let transport = uri.transport().and_then(|t| core::str::from_utf8(t).ok());
        self.house.out.ask(Query::Resolve(ResolveQuery {
            ticket: Ticket::new(ticket.index | TICKET, ticket.generation),
            host: uri.host().map(|host| host.to_string()).unwrap_or_default().into(),
            port: uri.port(),
            transport: transport.and_then(Transport::of_uri_param),
            secure: uri.is_secure(),
            near: near.local,
        }));
    }

    /// The host says where the server of a message is.
    pub(super) fn on_message_resolved(&mut self, ticket: Ticket<ResolveQuery>, ways: &[Resolved]) {
        let ticket = Ticket::<ResolveQuery>::new(ticket.index & !TICKET, ticket.generation);
        let key = LegKey::from_bits(ticket.to_bits());
        let mut ctx = self.house.ctx();
        if !self.rooms.messages.is_sought(key) {
            return ctx.stats.dropped(DropReason::BadTicket);
        }
        let near = ctx.flows.own();
        let mut ways: Vec<_> = ways.iter().filter_map(|way| origin_of(&mut ctx, way, &near)).collect();
        ways.sort_by_key(|to| ctx.is_left_alone(to.remote));
        self.rooms.messages.found(key, ways.into());
    }

    pub(super) fn on_message_response(&mut self, bits: u64, status: u16, msg: crate::wire::Message<'_>) {
        let Rooms { messages, registrar, .. } = &mut self.rooms;
        messages.on_response(&mut self.house.ctx(), registrar, bits, (status, msg));
    }

    pub(super) fn on_message_failure(&mut self, bits: u64) {
        let Rooms { messages, registrar, .. } = &mut self.rooms;
        messages.on_failure(&self.house.ctx(), registrar, bits);
    }

    /// The sender will not wait any longer; or there are others to ask, and those who were are silent.
    pub(super) fn on_message_overdue(&mut self, parked: ParkedKey, delivery: DeliveryKey) {
        let waits = self.rooms.pending.get_mut(parked).map(|parked| &parked.waits);
        if let Some(Waits::Message { further: Some(_), .. }) = waits {
            return self.send_further(parked, Ended::Offline);
        }
        if let Some(failure) = self.rooms.messages.give_up(delivery) {
            self.answer_sender(parked, Err(failure));
        }
    }

    fn answer_sender(&mut self, parked: ParkedKey, result: Result<(), Failure>) {
        // RFC 3428 s7: no body, and no Contact.
        let (status, lines) = match result {
            Ok(()) => (Status::OK, None),
            Err(failure) => (failure.status, Some(failure.lines)),
        };
        self.with_parked(parked, |engine, pass| {
            engine.respond(pass, status, |_, writer| {
                if let Some(lines) = &lines {
                    writer.prepared(lines);
                }
            });
            engine.tell_outcome(pass, status, AuthVerdict::NotAsked);
        });
    }
}

impl Further {
    /// Those who are asked now have their share of the time: there are others.
    fn step_ends(&self, now: Time) -> Time {
        let shares = u32::try_from(self.plan.left() + 1).unwrap_or(u32::MAX);
        now + self.until.since(now) / shares
    }
}

/// What each of them gets.
fn addressed(
    settings: &Settings,
    aor: &str,
    letter: &Arc<Letter>,
    sent: Vec<Sent>,
) -> Vec<(Target, Arc<Letter>)> {
    let written = |Sent { target, headers }: Sent| {
        // Who is said to write, as for calls.
        let from = match &target {
            Target::Outside(Outside { trunk: Some(trunk), .. }) if !letter.is_anonymous() => {
                router::from_uri(settings, *trunk, aor)
            }
            _ => None,
        };
        let own = match from.is_none() && headers.is_empty() {
            true => letter.clone(),
            false => Arc::new(letter.with(from.as_deref(), &headers)),
        };
        (target, own)
    };
    sent.into_iter().map(written).collect()
}

fn caller<'s>(sender: &Sender, identity: &'s Identity, trusted: bool) -> Caller<'s> {
    match sender.trunk {
        Some(trunk) => Caller::Trunk(trunk),
        None if trusted => Caller::Trusted,
        None => Caller::Account(identity),
    }
}

/// RFC 5627 s5.1: it is that phone or none.
const NOT_THERE: Refusal = Refusal::plain(Status::TEMPORARILY_UNAVAILABLE);
/// Without calls there are no permissions for what is outside.
const OUTSIDE: Refusal = Refusal::because(Status::FORBIDDEN, "No Messages There");

/// Where a message goes as calls do, by routes, numbers and names: to all of the next step that leads anywhere.
fn routed(
    ctx: &Ctx<'_>,
    registrar: &Registrar,
    trunks: &Trunks,
    plan: &mut Plan,
    ended: Option<Ended>,
) -> Result<Goes, Refusal> {
    let (mut later, mut refusal) = (None, None);
    let mut next = plan.next(ended);
    while let Some(step) = next {
        let mut sent: Vec<Sent> = Vec::new();
        later = None;
        let alone = step.goals.len() == 1;
        for (goal, headers) in step.goals.into_iter().zip(step.headers) {
            match goal {
                Goal::Aor(aor) => {
                    for binding in reachable(ctx, registrar, &aor) {
                        if !sent.iter().any(|other| other.target == Target::Phone(binding)) {
                            sent.push(Sent { headers: headers.clone(), ..Sent::phone(binding) });
                        }
                    }
                    later = Some(aor).filter(|_| alone);
                }
                Goal::Uri { uri, trunk: None } if is_ours(ctx, &uri) => {
                    let device = with_uri(&uri, |uri| registrar.device(ctx, uri)).flatten();
                    sent.extend(device.map(|binding| Sent { headers, ..Sent::phone(binding) }));
                    refusal = Some(NOT_THERE);
                }
                // It answers nobody now.
                Goal::Uri { trunk: Some(trunk), .. } if trunks.is_down(trunk) => {
                    refusal = Some(Refusal::plain(Status::SERVICE_UNAVAILABLE));
                }
                Goal::Uri { uri, trunk } => {
                    sent.push(Sent { target: Target::Outside(Outside { uri, trunk }), headers });
                }
                Goal::Redirect(to) => return Ok(Goes::Elsewhere(to)),
            }
        }
        if !sent.is_empty() {
            return Ok(Goes::To(sent));
        }
        next = plan.next(Some(Ended::Offline));
    }
    match later {
        // There may be such a user, but what is known by that name is another's, and forbidden.
        Some(_) if plan.refusal().status == Status::FORBIDDEN => Err(plan.refusal().clone()),
        Some(aor) => Ok(Goes::Later(aor)),
        None => Err(refusal.unwrap_or_else(|| plan.refusal().clone())),
    }
}

/// Where a message goes without calls and their routes: to users of ours.
fn within(ctx: &Ctx<'_>, registrar: &Registrar, asked: &router::Asked<'_>) -> Result<Goes, Refusal> {
    let domains = &ctx.settings.domains;
    if asked.uri.host().is_some_and(|host| domains.canonical(host).is_none()) {
        return Err(OUTSIDE);
    }
    if asked.uri.params().contains(b"gr") {
        let phone = registrar.device(ctx, asked.uri).ok_or(NOT_THERE)?;
        return Ok(Goes::To(vec![Sent::phone(phone)]));
    }
    let called = router::called(ctx.settings, asked).aor();
    let exists =
        |aor: &str| router::has_users_elsewhere(ctx.settings) || ctx.settings.accounts.by_aor(aor).is_some();
    // DECISIONS 4: to who says who he is, 404 means that there is no such user.
    let unknown = if router::is_authenticated(asked.caller) { Status::NOT_FOUND } else { NOT_THERE.status };
    let aor = called.filter(|aor| exists(aor)).ok_or(Refusal::plain(unknown))?;
    Ok(match reachable(ctx, registrar, &aor) {
        phones if phones.is_empty() => Goes::Later(aor),
        phones => Goes::To(phones.into_iter().map(Sent::phone).collect()),
    })
}

fn is_ours(ctx: &Ctx<'_>, uri: &str) -> bool {
    let domains = &ctx.settings.domains;
    with_uri(uri, |uri| uri.host().is_some_and(|host| domains.canonical(host).is_some())).unwrap_or(false)
}

/// The phones of a user that can be sent to now, by the numbers of their bindings.
fn reachable(ctx: &Ctx<'_>, registrar: &Registrar, aor: &str) -> Vec<u64> {
    let targets = registrar.targets(ctx, aor.as_bytes());
    // Where a name has to be resolved first, or a connection opened, there is no way yet.
    let over = targets.iter().filter(|target| matches!(target.next, NextHop::Over(_)));
    over.map(|target| target.binding.to_bits()).collect()
}
