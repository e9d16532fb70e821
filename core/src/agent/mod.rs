//! The client side: registrations (RFC 3261 s10.2), subscriptions (RFC 6665 s4.1) and publications (RFC 3903 s4) of ours at
//! other servers, as tasks; for whom they are: wishes of the host, trunks (`trunks`), user agents (`ua`). Beside them NOTIFY
//! that the host has sent (`notices`).
//!
//! A wish is one task with one request in flight at a time; what is wished meanwhile follows. A task goes on until who
//! wished it ends it or the other side says for good that it shall not be. A registration that did not work waits for who
//! wished it: where it goes is found out anew before it is tried again.
//!
//! | answer | subscription | publication |
//! |---|---|---|
//! | 2xx (202 as well, RFC 3265) | lives, refreshed in time (`refresh_at`) | the same, under its entity tag |
//! | 401, 407 | answered once, again if only the nonce was old; later, if it was let in before | the same |
//! | 423 | asked for Min-Expires | the same |
//! | 412 | - | published anew without its entity tag |
//! | 481 to a refresh | subscribes anew | - |
//! | 408, 5xx, nothing | tried again, after Retry-After if there is one | the same |
//! | anything else | over | over |
//!
//! | Subscription-State: terminated | |
//! |---|---|
//! | `deactivated`, `timeout` | anew at once |
//! | `probation`, `giveup`, a reason we do not know, none | anew after `retry-after`, or after a while |
//! | `rejected`, `noresource`, `invariant` | over |
//!
//! A NOTIFY may come before the 2xx, and makes the dialog (RFC 6665 s4.1.2.4). Without one within 64*T1 (Timer N) there
//! is no subscription.

mod notices;
mod notify;
mod send;
mod trunks;
mod ua;

use core::time::Duration;
use std::collections::BTreeMap;

use bytes::Bytes;

use crate::base::ids::IdKind;
use crate::base::{Key, Slab, Time, TimerKey};
use crate::ctx::{Ctx, Origin, Timer};
use crate::dialog::{Addressed, DATAGRAM, Dialog};
use crate::door::{AgentEvent, AgentHop, AgentStep, AgentWish};
use crate::proof::{Means, Proofs};
use crate::txn::{ClientKey, Transactions, Usage};
use crate::wire::Method;

pub(crate) use notices::{Notices, check as check_notice};
pub(crate) use trunks::{Trunks, id_of as trunk_id, trunk_of_id};
pub(crate) use ua::{
    ALLOW as UA_ALLOW, CallKey as UaCallKey, Came as UaCame, Kit as UaKit, UaKey, Uas,
    supported as ua_supported,
};

/// Names a task while it is there.
pub(crate) type TaskKey = Key<Task>;

/// How long until something is tried again, if the other side does not say.
const AGAIN: Duration = Duration::from_secs(30);

/// Numbers of wishes from here on are the engine's own: of trunks the last 65,536, of user agents all others.
pub(crate) const OWN_IDS: u64 = 1 << 63;

/// What is wished.
#[derive(Clone, Debug)]
enum What {
    /// To watch.
    Subscription,
    /// To be registered.
    Registration(Box<Registering>),
    /// To publish: a Content-Type and a body, under the entity tag of the last 200.
    Publication { kind: Box<str>, document: Box<[u8]>, etag: Option<Box<[u8]>> },
}

/// What is registered.
#[derive(Clone, Debug)]
pub(crate) struct Registering {
    /// The user part of the Contact.
    pub(crate) contact: Box<str>,
    /// The URN of the device (RFC 5626 s4.1); empty for none.
    pub(crate) instance: Box<str>,
    /// Which of its flows this is (RFC 5626 s4.2); 0 for none.
    pub(crate) reg_id: u16,
    /// A `sips:` URI, where TLS is spoken.
    pub(crate) sips: bool,
    /// What may be sent there.
    pub(crate) allow: &'static str,
}

/// What a registrar says of a registration of ours.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct Learned {
    /// RFC 3608.
    pub(crate) service_route: Box<[u8]>,
    /// RFC 5627 s4.2.
    pub(crate) gruu: Box<[u8]>,
    /// RFC 5626 s5.4: how often something is to be heard of us, in seconds.
    pub(crate) flow_timer: Option<u32>,
    /// RFC 5626 s4.2.1: the flow is used.
    pub(crate) outbound: bool,
    /// RFC 3581: we are seen elsewhere than where we believe to be.
    pub(crate) is_behind_nat: bool,
}

/// What became of a task.
#[derive(Clone, Debug)]
pub(crate) struct Told {
    /// The number of the wish.
    pub(crate) id: u64,
    /// What.
    pub(crate) step: Step,
}

#[derive(Clone, Debug)]
pub(crate) enum Step {
    /// For so many seconds; `first` if it was not granted before.
    Granted { expires: u32, first: bool, learned: Option<Box<Learned>> },
    /// What was granted is being prolonged.
    Refreshing,
    /// A NOTIFY came.
    Notified { active: bool, kind: Box<str>, body: Box<[u8]> },
    /// Over for now. A registration waits to be wished again, and as long as it was told to; all else is tried again then.
    Interrupted { reason: Box<str>, status: u16, told: Option<Duration>, again: Time },
    /// Over for good.
    Ended { reason: Box<str> },
}

impl Told {
    /// As the host is told of a wish of its own; `None` for what it is not told.
    pub(crate) fn for_host(self) -> Option<AgentEvent> {
        let step = match self.step {
            Step::Granted { expires, first: true, .. } => AgentStep::Granted { expires },
            Step::Granted { .. } | Step::Refreshing => return None,
            Step::Notified { active, kind, body } => AgentStep::Notified { active, kind, body },
            Step::Interrupted { reason, again, .. } => AgentStep::Interrupted { reason, again },
            Step::Ended { reason } => AgentStep::Ended { reason },
        };
        Some(AgentEvent { id: self.id, step })
    }
}

/// What the next request does.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Does {
    /// Asks anew, or modifies.
    State,
    /// Prolongs.
    Refresh,
    /// Ends it.
    Leave,
}

/// One wish.
#[derive(Clone, Debug)]
pub(crate) struct Task {
    wish: AgentWish,
    what: What,
    /// The route set of its first request (RFC 3261 s8.1.2).
    routes: Box<[u8]>,
    dialog: Dialog,
    /// What the request in flight does.
    busy: Option<Does>,
    next: Option<Does>,
    tries: u8,
    proofs: Proofs,
    granted: bool,
    /// A registration that was granted and not taken back: the other side may still have it.
    standing: bool,
    /// Its credentials were good once.
    proven: bool,
    leaving: bool,
    /// A NOTIFY of this dialog has come.
    notified: bool,
    timer: TimerKey,
    /// Timer N.
    first: TimerKey,
}

/// All wishes.
#[derive(Clone, Debug, Default)]
pub(crate) struct Agent {
    tasks: Slab<Task>,
    by_id: BTreeMap<u64, TaskKey>,
    by_call: BTreeMap<Box<[u8]>, TaskKey>,
    told: Vec<Told>,
}

impl Agent {
    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.tasks.len()
    }

    /// What those who wished are to hear.
    pub(crate) fn take_told(&mut self) -> Vec<Told> {
        core::mem::take(&mut self.told)
    }

    /// Watches. False if the socket is not up, or the wish too large.
    pub(crate) fn subscribe(
        &mut self,
        ctx: &mut Ctx<'_>,
        txn: &mut Transactions,
        wish: AgentWish,
        routes: &[u8],
    ) -> bool {
        self.begin(ctx, txn, wish, What::Subscription, routes)
    }

    /// Publishes; what was published under this number before is modified.
    pub(crate) fn publish(
        &mut self,
        ctx: &mut Ctx<'_>,
        txn: &mut Transactions,
        wish: AgentWish,
        (kind, document): (Box<str>, Box<[u8]>),
        routes: &[u8],
    ) -> bool {
        if let Some(key) = self.by_id.get(&wish.id).copied()
            && let Some(task) = self.tasks.get_mut(key)
            && let What::Publication { kind: old_kind, document: old, .. } = &mut task.what
        {
            (*old_kind, *old) = (kind, document);
            task.leaving = false;
            self.wish(ctx, txn, key, Does::State);
            return true;
        }
        self.begin(ctx, txn, wish, What::Publication { kind, document, etag: None }, routes)
    }

    /// Registers, or registers again after it did not work: under the same Call-ID (RFC 3261 s10.2). False if the socket is
    /// not up, or the wish too large.
    pub(crate) fn register(
        &mut self,
        ctx: &mut Ctx<'_>,
        txn: &mut Transactions,
        wish: AgentWish,
        registering: Registering,
    ) -> bool {
        if let Some(key) = self.by_id.get(&wish.id).copied()
            && let Some(task) = self.tasks.get_mut(key)
            && let What::Registration(old) = &mut task.what
            && (&task.wish.account.uri, &task.wish.uri) == (&wish.account.uri, &wish.uri)
        {
            let Some(hop) = hop_of(ctx, &wish.hop) else { return false };
            if task.wish.account != wish.account {
                task.proofs.renew();
            }
            // RFC 3261 s10.2.8: what was found too brief still is.
            let expires = task.wish.expires.max(wish.expires);
            task.wish = AgentWish { expires, ..wish };
            **old = registering;
            task.leaving = false;
            task.dialog.go_by(ctx, &hop);
            self.wish(ctx, txn, key, Does::State);
            return true;
        }
        self.begin(ctx, txn, wish, What::Registration(Box::new(registering)), b"")
    }

    /// The way to the other side is this one from now on, for what was begun elsewhere and has lost its own.
    pub(crate) fn go_by(&mut self, ctx: &Ctx<'_>, id: u64, (hop, routes): (&Origin, &[u8])) {
        let Some(task) = self.by_id.get(&id).copied().and_then(|key| self.tasks.get_mut(key)) else { return };
        task.wish.hop = AgentHop { flow: hop.flow, remote: hop.remote, local: hop.local };
        task.routes = routes.into();
        if task.dialog.is_cut_off(ctx) {
            task.dialog.go_by(ctx, hop);
        }
    }

    /// Other credentials, for whatever is asked for from now on.
    pub(crate) fn prove_by(&mut self, id: u64, account: &crate::door::AgentAccount) {
        let Some(task) = self.by_id.get(&id).copied().and_then(|key| self.tasks.get_mut(key)) else { return };
        task.wish.account = account.clone();
        task.proofs.renew();
    }

    /// Ends a wish. False if there is none of that number.
    pub(crate) fn end(&mut self, ctx: &mut Ctx<'_>, txn: &mut Transactions, id: u64) -> bool {
        let Some(key) = self.by_id.get(&id).copied() else { return false };
        let Some(task) = self.tasks.get_mut(key) else { return false };
        task.leaving = true;
        // What was never granted needs no farewell.
        match task.granted || task.standing || task.busy.is_some() {
            true => self.wish(ctx, txn, key, Does::Leave),
            false => self.over(ctx, key, ""),
        }
        true
    }

    fn begin(
        &mut self,
        ctx: &mut Ctx<'_>,
        txn: &mut Transactions,
        wish: AgentWish,
        what: What,
        routes: &[u8],
    ) -> bool {
        let Some(hop) = hop_of(ctx, &wish.hop) else { return false };
        if let Some(key) = self.by_id.get(&wish.id).copied() {
            self.remove(ctx, key);
        }
        let opened = match what {
            // RFC 3261 s10.2: From and To are who is registered, and the request goes to the domain.
            What::Registration(_) => registering(ctx, &wish, &hop),
            _ => opened(ctx, &wish, (&hop, routes)),
        };
        let Some((call, dialog)) = opened else { return false };
        let id = wish.id;
        let key = self.tasks.insert(Task {
            wish,
            what,
            routes: routes.into(),
            dialog,
            busy: None,
            next: None,
            tries: 0,
            proofs: Proofs::default(),
            granted: false,
            standing: false,
            proven: false,
            leaving: false,
            notified: false,
            timer: TimerKey::NONE,
            first: TimerKey::NONE,
        });
        self.by_id.insert(id, key);
        self.by_call.insert(call, key);
        self.wish(ctx, txn, key, Does::State);
        true
    }

    /// Does something now, or when the request in flight is answered.
    fn wish(&mut self, ctx: &mut Ctx<'_>, txn: &mut Transactions, key: TaskKey, does: Does) {
        let Some(task) = self.tasks.get_mut(key) else { return };
        task.tries = 0;
        if task.busy.is_none() {
            return self.send(ctx, txn, key, does);
        }
        // A refresh is nothing beside what else is to be done.
        if does != Does::Refresh || task.next.is_none() {
            task.next = Some(does);
        }
    }

    /// A new dialog, with a new Call-ID.
    fn renew(&mut self, ctx: &mut Ctx<'_>, key: TaskKey) {
        let Some(task) = self.tasks.get_mut(key) else { return };
        ctx.timers.disarm(core::mem::take(&mut task.first));
        (task.notified, task.granted, task.busy) = (false, false, None);
        let Some(hop) = hop_of(ctx, &task.wish.hop) else { return };
        let Some((call, dialog)) = opened(ctx, &task.wish, (&hop, &task.routes)) else { return };
        let old = core::mem::replace(&mut task.dialog, dialog);
        self.by_call.remove(old.call_id());
        self.by_call.insert(call, key);
    }

    fn arm(&mut self, ctx: &mut Ctx<'_>, key: TaskKey, at: Time) {
        let Some(task) = self.tasks.get_mut(key) else { return };
        ctx.timers.disarm(task.timer);
        task.timer = ctx.timers.arm(at, Timer::Agent(key.to_bits()));
    }

    /// It is time to refresh, or to try again.
    pub(crate) fn on_timer(&mut self, ctx: &mut Ctx<'_>, txn: &mut Transactions, bits: u64) {
        let key = TaskKey::from_bits(bits);
        let Some(task) = self.tasks.get_mut(key) else { return };
        task.timer = TimerKey::NONE;
        let does = if task.granted { Does::Refresh } else { Does::State };
        self.wish(ctx, txn, key, does);
    }

    /// Timer N: no NOTIFY has come.
    pub(crate) fn on_first(&mut self, ctx: &mut Ctx<'_>, bits: u64) {
        let key = TaskKey::from_bits(bits);
        let Some(task) = self.tasks.get_mut(key) else { return };
        task.first = TimerKey::NONE;
        let leaving = task.leaving;
        match leaving {
            true => self.over(ctx, key, ""),
            false => {
                self.renew(ctx, key);
                self.interrupt(ctx, key, "no NOTIFY", None);
            }
        }
    }

    /// It is over for now.
    fn interrupt(&mut self, ctx: &mut Ctx<'_>, key: TaskKey, reason: &str, told: Option<Duration>) {
        let again = ctx.now + told.unwrap_or(AGAIN);
        let Some(task) = self.tasks.get(key) else { return };
        let status = reason.parse().unwrap_or(0);
        let step = Step::Interrupted { reason: reason.into(), status, told, again };
        self.told.push(Told { id: task.wish.id, step });
        if !matches!(task.what, What::Registration(_)) {
            self.arm(ctx, key, again);
        }
    }

    /// It is over.
    fn over(&mut self, ctx: &mut Ctx<'_>, key: TaskKey, reason: &str) {
        if let Some(task) = self.tasks.get(key) {
            let step = Step::Ended { reason: reason.into() };
            self.told.push(Told { id: task.wish.id, step });
        }
        self.remove(ctx, key);
    }

    fn remove(&mut self, ctx: &mut Ctx<'_>, key: TaskKey) {
        let Some(task) = self.tasks.remove(key) else { return };
        ctx.timers.disarm(task.timer);
        ctx.timers.disarm(task.first);
        self.by_id.remove(&task.wish.id);
        self.by_call.remove(task.dialog.call_id());
    }
}

/// Sends a request. `None` if there is no room for one more transaction.
fn send(
    ctx: &mut Ctx<'_>,
    txn: &mut Transactions,
    (method, usage): (Method, Usage),
    (payload, addressed): (Bytes, Addressed),
) -> Option<ClientKey> {
    let Addressed { to, branch, instead } = addressed;
    let client = txn.send(ctx, &to, method, usage, &branch, payload).ok()?;
    if let Some(instead) = instead {
        txn.or_else(ctx, client, instead);
    }
    Some(client)
}

/// RFC 3261 s18.1.1: what is too large for a datagram goes by a connection, if there may be one.
fn wants_stream(payload: &Bytes, addressed: &Addressed) -> bool {
    payload.len() > DATAGRAM && !addressed.to.transport.is_reliable()
}

impl Task {
    fn means(&self) -> Means<'_> {
        let account = &self.wish.account;
        let password = Some(&*account.password.0).filter(|_| !account.username.is_empty());
        Means { username: &account.username, password, token: account.token.as_ref() }
    }
}

fn hop_of(ctx: &Ctx<'_>, hop: &AgentHop) -> Option<Origin> {
    ctx.flows.origin(hop.flow, hop.remote, hop.local)
}

/// A dialog to be, and its Call-ID.
fn opened(
    ctx: &mut Ctx<'_>,
    wish: &AgentWish,
    (hop, routes): (&Origin, &[u8]),
) -> Option<(Box<[u8]>, Dialog)> {
    let call: Box<[u8]> = ctx.ids.next_text(IdKind::CallId).as_bytes().into();
    let dialog = Dialog::opened(ctx, hop, &call, wish.account.uri.as_bytes(), wish.uri.as_bytes())?;
    Some((call, dialog.routed(routes)))
}

fn registering(ctx: &mut Ctx<'_>, wish: &AgentWish, hop: &Origin) -> Option<(Box<[u8]>, Dialog)> {
    let (who, domain) = (wish.account.uri.as_bytes(), wish.uri.as_bytes());
    let dialog = Dialog::inviting(ctx, hop, who, who, domain)?;
    Some((dialog.call_id().into(), dialog))
}
