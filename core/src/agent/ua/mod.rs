//! User agents of the host: who they are, what they have, and what became of it. RFC 3261 s10.2, s17.1; RFC 5626.
//!
//! - `register`: registrations, and finding out where their servers are; `alive`: keeping the way there alive
//! - `standing`: what is published and who is watched, as tasks of the room
//! - `texts`: messages
//! - `call`: calls
//!
//! Requests for a user agent are known by the user part of its Contact, which is drawn and guessed by nobody.

mod alive;
mod call;
mod register;
mod sdp;
mod standing;
mod texts;

use std::collections::BTreeMap;

use super::{Agent, OWN_IDS, Step, Told};
use crate::base::ids::IdKind;
use crate::base::text::{is_token, owned, quotable};
use crate::base::{Key, Slab};
use crate::ctx::{Ctx, Locate, Origin, UaTimer};
use crate::dialog::Manner;
use crate::door::{
    AgentAccount, AgentHop, AgentToken, AgentWish, FlowId, ReplyBody, Secret, UaAccount, UaEvent, UaRefusal,
    UaRegistrationView, UaRequest, UaStep, UaView,
};
use crate::proof::Means;
use crate::txn::Transactions;
use crate::wire::{Essentials, Uri};

pub(crate) use call::{CallKey, Came};
pub(crate) use register::{ALLOW, supported};

use call::Calls;
use register::Registration;
use standing::{Publication, Subscription, Waiting};
use texts::{Lane, Text};

/// Names a user agent while it is there.
pub(crate) type UaKey = Key<Ua>;

/// What user agents need of their neighbours for one pass.
pub(crate) struct Kit<'k, 'e> {
    pub(crate) ctx: &'k mut Ctx<'e>,
    pub(crate) txn: &'k mut Transactions,
    pub(crate) agent: &'k mut Agent,
    pub(crate) phones: &'k dyn Locate,
}

/// One user agent.
#[derive(Clone, Debug)]
pub(crate) struct Ua {
    /// What the host calls it.
    number: u64,
    /// What its STUN requests begin with.
    serial: u32,
    account: UaAccount,
    /// For Digest.
    username: Box<str>,
    /// Where it registers: its address of record without the user.
    registrar: Box<str>,
    /// The user part of its Contact.
    contact: Box<str>,
    registrations: Vec<Registration>,
    publications: Vec<Publication>,
    subscriptions: BTreeMap<u64, Subscription>,
    /// What is begun when it is known where.
    waiting: Vec<Waiting>,
    /// Messages that were not answered.
    messages: usize,
    closing: bool,
}

/// What a task is of.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Of {
    /// A registration, by its place.
    Registration(u16),
    Publication,
    Subscription,
}

/// Where is this server?
#[derive(Clone, Debug)]
pub(crate) struct Find {
    /// To come back with.
    pub(crate) ticket: u32,
    /// Its URI.
    pub(crate) uri: Box<str>,
}

/// All user agents.
#[derive(Clone, Debug, Default)]
pub(crate) struct Uas {
    list: Slab<Ua>,
    by_number: BTreeMap<u64, UaKey>,
    by_contact: BTreeMap<Box<str>, UaKey>,
    tasks: BTreeMap<u64, (UaKey, Of)>,
    calls: Calls,
    texts: Slab<Text>,
    /// Messages by whose they are and to whom.
    lanes: BTreeMap<(UaKey, Box<str>), Lane>,
    /// Servers that are being looked for: by the ticket, whose they are and their place.
    looking: BTreeMap<u32, (UaKey, u16)>,
    /// By what their STUN requests begin with.
    by_serial: BTreeMap<u32, UaKey>,
    serials: u32,
    /// Those that were not asked for yet.
    finds: Vec<Find>,
    /// The last ticket.
    ticket: u32,
    /// The last number of anything that was begun.
    last: u64,
    told: Vec<UaEvent>,
}

impl Uas {
    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.list.len()
    }

    /// What they have begun and not ended.
    pub(crate) fn begun(&self) -> usize {
        self.tasks.len() + self.texts.len() + self.calls.list.len()
    }

    /// What the host is to hear.
    pub(crate) fn take_told(&mut self) -> Vec<UaEvent> {
        core::mem::take(&mut self.told)
    }

    /// The servers that are to be found.
    pub(crate) fn take_finds(&mut self) -> Vec<Find> {
        core::mem::take(&mut self.finds)
    }

    /// Something that the host asks of one.
    pub(crate) fn ask(&mut self, kit: &mut Kit<'_, '_>, number: u64, request: UaRequest) -> ReplyBody {
        match self.try_ask(kit, number, request) {
            Ok(body) => body,
            Err(why) => ReplyBody::NoUa(why),
        }
    }

    fn try_ask(
        &mut self,
        kit: &mut Kit<'_, '_>,
        number: u64,
        request: UaRequest,
    ) -> Result<ReplyBody, UaRefusal> {
        let request = match request {
            UaRequest::Open(account) => return self.open(kit.ctx, number, *account),
            request => request,
        };
        let key = self.by_number.get(&number).copied().ok_or(UaRefusal::Unknown)?;
        match request {
            UaRequest::Open(_) => {}
            UaRequest::View => return self.view(key).map(|view| ReplyBody::Ua(Box::new(view))),
            UaRequest::Renew(token) => self.renew(kit, key, token),
            UaRequest::Register => self.register(kit, key)?,
            UaRequest::Unregister => self.unregister(kit, key),
            UaRequest::Publish { event, kind, document, expires } => {
                self.publish(kit, key, event, (kind, document, expires))?;
            }
            UaRequest::Unpublish { event } => self.unpublish(kit, key, &event)?,
            UaRequest::Subscribe { target, event, expires } => {
                return self.subscribe(kit, key, target, event, expires).map(ReplyBody::Begun);
            }
            UaRequest::Unsubscribe { id } => self.unsubscribe(kit, key, id)?,
            UaRequest::Message { to, kind, body } => {
                return self.write(kit, key, to, kind, body).map(ReplyBody::Begun);
            }
            UaRequest::Call(request) => return self.ask_call(kit, key, request),
            UaRequest::Close => self.close(kit, key),
        }
        Ok(ReplyBody::Done)
    }

    fn open(
        &mut self,
        ctx: &mut Ctx<'_>,
        number: u64,
        mut account: UaAccount,
    ) -> Result<ReplyBody, UaRefusal> {
        if self.by_number.contains_key(&number) {
            return Err(UaRefusal::Taken);
        }
        if self.list.len() >= ctx.settings.limits.user_agents {
            return Err(UaRefusal::Full);
        }
        let uri = sip(&account.aor)?;
        let user = uri.user().ok_or(UaRefusal::BadUri)?;
        let username = match account.username.is_empty() {
            true => owned(user),
            false => account.username.clone(),
        };
        let scheme = if uri.is_secure() { "sips" } else { "sip" };
        let host = uri.host().ok_or(UaRefusal::BadUri)?;
        let registrar: Box<str> = match uri.port() {
            Some(port) => format!("{scheme}:{host}:{port}").into(),
            None => format!("{scheme}:{host}").into(),
        };
        for server in &account.servers {
            sip(server)?;
        }
        let instance_fits = |b: u8| b.is_ascii_graphic() && !matches!(b, b'"' | b'<' | b'>' | b'\\');
        if !account.instance.bytes().all(instance_fits) {
            return Err(UaRefusal::BadValue);
        }
        // As it stands between quotes in what is sent.
        account.display = quotable(&account.display).into();
        let servers = match account.servers.is_empty() {
            true => vec![registrar.clone()],
            false => account.servers.clone(),
        };
        if servers.len() > MOST_SERVERS {
            return Err(UaRefusal::Full);
        }
        let contact: Box<str> = format!("u{}", &*ctx.ids.next_text(IdKind::Contact)).into();
        let named: Option<Box<str>> = account.direct.then(|| owned(user));
        self.serials = self.serials.wrapping_add(1);
        let serial = self.serials;
        let key = self.list.insert(Ua {
            number,
            serial,
            account,
            username,
            registrar,
            contact: contact.clone(),
            registrations: servers.into_iter().map(Registration::new).collect(),
            publications: Vec::new(),
            subscriptions: BTreeMap::new(),
            waiting: Vec::new(),
            messages: 0,
            closing: false,
        });
        self.by_number.insert(number, key);
        self.by_serial.insert(serial, key);
        self.by_contact.insert(contact, key);
        if let Some(named) = named {
            self.by_contact.entry(named).or_insert(key);
        }
        Ok(ReplyBody::Done)
    }

    fn view(&self, key: UaKey) -> Result<UaView, UaRefusal> {
        let ua = self.list.get(key).ok_or(UaRefusal::Unknown)?;
        let registrations =
            ua.registrations.iter().map(Registration::view).collect::<Vec<UaRegistrationView>>();
        let publications = ua.publications.iter().map(|p| (p.event.clone(), p.state.clone())).collect();
        let subscriptions =
            ua.subscriptions.iter().map(|(id, s)| (*id, s.target.clone(), s.state.clone())).collect();
        let (aor, messages) = (ua.account.aor.clone(), ua.messages);
        let calls = self.view_calls(key);
        Ok(UaView { aor, registrations, publications, subscriptions, messages, calls })
    }

    fn renew(&mut self, kit: &mut Kit<'_, '_>, key: UaKey, token: Option<AgentToken>) {
        let Some(ua) = self.list.get_mut(key) else { return };
        ua.account.token = token;
        let account = ua.agent_account();
        for id in ua.tasks() {
            kit.agent.prove_by(id, &account);
        }
    }

    /// Takes back all there is; it is gone when that is done.
    fn close(&mut self, kit: &mut Kit<'_, '_>, key: UaKey) {
        let Some(ua) = self.list.get_mut(key) else { return };
        ua.closing = true;
        let events: Vec<Box<str>> =
            ua.publications.iter().map(|publication| publication.event.clone()).collect();
        let watched: Vec<u64> = ua.subscriptions.keys().copied().collect();
        self.no_way(key);
        self.hang_up_all(kit, key);
        // What is there can be taken back.
        for event in events {
            let _ = self.unpublish(kit, key, &event);
        }
        for id in watched {
            let _ = self.unsubscribe(kit, key, id);
        }
        self.unregister(kit, key);
        self.finish(kit.ctx, key);
    }

    /// All of them: the host ends.
    pub(crate) fn close_all(&mut self, kit: &mut Kit<'_, '_>) {
        let all: Vec<UaKey> = self.by_number.values().copied().collect();
        all.into_iter().for_each(|key| self.close(kit, key));
    }

    /// Nothing is left of one that was closed.
    fn finish(&mut self, ctx: &mut Ctx<'_>, key: UaKey) {
        let Some(ua) = self.list.get(key).filter(|ua| ua.closing) else { return };
        if ua.tasks().next().is_some() || ua.messages > 0 || self.calls.of(key) > 0 {
            return;
        }
        let Some(ua) = self.list.remove(key) else { return };
        ua.registrations.iter().for_each(|registration| registration.disarm(ctx));
        self.by_number.remove(&ua.number);
        self.by_contact.remove(&ua.contact);
        if ua.account.direct {
            let user = Uri::parse(ua.account.aor.as_bytes()).ok().and_then(|uri| uri.user().map(owned));
            user.filter(|user| self.by_contact.get(user) == Some(&key))
                .map(|user| self.by_contact.remove(&user));
        }
        self.looking.retain(|_, (whose, _)| *whose != key);
        self.by_serial.remove(&ua.serial);
        self.told.push(UaEvent { ua: ua.number, step: UaStep::Closed });
    }

    fn tell(&mut self, key: UaKey, step: UaStep) {
        if let Some(ua) = self.list.get(key) {
            self.told.push(UaEvent { ua: ua.number, step });
        }
    }

    fn next(&mut self) -> u64 {
        self.last += 1;
        self.last
    }

    /// The one whose Contact this is.
    pub(crate) fn of_contact(&self, ess: &Essentials<'_>) -> Option<UaKey> {
        if self.by_contact.is_empty() {
            return None;
        }
        let user = core::str::from_utf8(ess.uri.as_ref()?.user()?).ok()?;
        self.by_contact.get(user).copied().filter(|key| self.list.get(*key).is_some_and(|ua| !ua.closing))
    }

    /// What became of a task of one of them.
    pub(crate) fn on_told(&mut self, kit: &mut Kit<'_, '_>, told: Told) {
        let Some(&(key, of)) = self.tasks.get(&told.id) else { return };
        let (id, ended) = (told.id, matches!(told.step, Step::Ended { .. }));
        match of {
            Of::Registration(i) => self.on_registration(kit, key, i, told.step),
            Of::Publication => self.on_publication(kit, key, told),
            Of::Subscription => self.on_subscription(kit, key, told),
        }
        if ended {
            self.tasks.remove(&id);
            self.finish(kit.ctx, key);
        }
    }

    /// It is time for something.
    pub(crate) fn on_timer(&mut self, kit: &mut Kit<'_, '_>, bits: u64, what: UaTimer) {
        let key = UaKey::from_bits(bits);
        match what {
            UaTimer::Again(i) => self.on_again(kit, key, i),
            UaTimer::Ping(i) => self.on_ping(kit.ctx, key, i),
            UaTimer::Pong(i) => self.on_silence(kit, key, i),
        }
    }

    /// A connection is gone.
    pub(crate) fn flow_down(&mut self, kit: &mut Kit<'_, '_>, flow: FlowId) {
        let of_it = |(key, ua): (UaKey, &Ua)| {
            let places = ua.registrations.iter().enumerate();
            let lost = places.filter(|(_, r)| r.to.is_some_and(|to| to.flow == flow));
            lost.map(move |(i, _)| (key, i as u16)).collect::<Vec<_>>()
        };
        let lost: Vec<(UaKey, u16)> = self.list.iter().flat_map(of_it).collect();
        lost.into_iter().for_each(|(key, i)| self.lost_way(kit, key, i));
    }

    /// Does any of them need this connection, although it is silent?
    pub(crate) fn uses_flow(&self, flow: FlowId) -> bool {
        self.list
            .iter()
            .any(|(_, ua)| ua.registrations.iter().any(|r| r.to.is_some_and(|to| to.flow == flow)))
    }
}

impl Ua {
    /// The numbers of its tasks.
    fn tasks(&self) -> impl Iterator<Item = u64> {
        let registrations = self.registrations.iter().map(Registration::task).filter(|task| *task != 0);
        registrations.chain(self.standing()).map(|id| OWN_IDS | id)
    }

    /// Those of what is published and watched.
    fn standing(&self) -> impl Iterator<Item = u64> {
        self.publications.iter().map(|publication| publication.task).chain(self.subscriptions.keys().copied())
    }

    fn agent_account(&self) -> AgentAccount {
        let password = self.account.password.as_ref().map_or("", |password| &password.0);
        AgentAccount {
            uri: self.account.aor.clone(),
            // Without a password there is nobody to prove.
            username: if self.account.password.is_some() { self.username.clone() } else { Box::default() },
            password: Secret(password.into()),
            token: self.account.token.clone(),
        }
    }

    fn manner(&self) -> Manner<'_> {
        let display = self.account.display.as_bytes();
        Manner { display, contact: &self.contact, sips: self.is_secure(), ..Manner::default() }
    }

    /// RFC 5630: its address of record is a `sips:` URI.
    fn is_secure(&self) -> bool {
        self.registrar.starts_with("sips:")
    }

    fn means(&self) -> Means<'_> {
        Means {
            username: &self.username,
            password: self.account.password.as_ref().map(|password| &*password.0),
            token: self.account.token.as_ref(),
        }
    }

    fn wish(&self, id: u64, to: &Origin, uri: &str, event: &str, expires: u32) -> AgentWish {
        AgentWish {
            id: OWN_IDS | id,
            account: self.agent_account(),
            hop: AgentHop { flow: to.flow, remote: to.remote, local: to.local },
            uri: uri.into(),
            event: event.into(),
            expires,
        }
    }

    /// How what is no REGISTER goes, and its route set: over the first server at which it is registered, else over the first
    /// that was found.
    fn way(&self, ctx: &Ctx<'_>) -> Option<(Origin, &[u8])> {
        let up = |r: &&Registration| r.to.is_some_and(|to| ctx.flows.get(to.flow).is_some());
        let all = || self.registrations.iter().filter(up);
        let best = all().find(|r| r.stands()).or_else(|| all().next())?;
        // RFC 3608 s6.1: it holds while the registration does.
        let routes = if best.stands() { &best.learned.service_route[..] } else { b"" };
        Some((best.to?, routes))
    }
}

/// Servers of one user agent.
const MOST_SERVERS: usize = 8;

/// A SIP URI that may be written between angle brackets.
fn sip(uri: &str) -> Result<Uri<'_>, UaRefusal> {
    let clean = uri.bytes().all(|b| b.is_ascii_graphic() && !matches!(b, b'<' | b'>' | b'"'));
    Uri::parse(uri.as_bytes()).ok().filter(|uri| clean && uri.is_sip()).ok_or(UaRefusal::BadUri)
}

/// A Content-Type: two tokens, and what stands behind a semicolon without anything that ends a line.
fn check_kind(kind: &str) -> Result<(), UaRefusal> {
    let known = kind.split(';').next().and_then(|kind| kind.trim_end().split_once('/'));
    let fits = known.is_some_and(|(a, b)| is_token(a.as_bytes()) && is_token(b.as_bytes()));
    let plain = kind.bytes().all(|b| b == b' ' || b.is_ascii_graphic());
    if fits && plain { Ok(()) } else { Err(UaRefusal::BadValue) }
}

fn check_event(event: &str) -> Result<(), UaRefusal> {
    let plain = event.bytes().all(|b| b == b' ' || b.is_ascii_graphic());
    match crate::wire::Event::parse(event.as_bytes()) {
        Ok(_) if plain => Ok(()),
        _ => Err(UaRefusal::BadValue),
    }
}

/// With its head a message may not be longer than this.
fn check_size(ctx: &Ctx<'_>, body: &[u8]) -> Result<(), UaRefusal> {
    if body.len() + 2048 > ctx.settings.limits.message_bytes { Err(UaRefusal::TooLarge) } else { Ok(()) }
}
