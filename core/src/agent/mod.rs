//! The client side: NOTIFY that the host has sent (`notices`), trunks (`trunks`), registrations there, subscriptions (RFC 6665 s4.1) and publications (RFC 3903 s4) of ours at other servers.
//!
//! A wish of the host is one task with one request in flight at a time; what is wished meanwhile follows. A task goes on
//! until the host ends it or the other side says for good that it shall not be.
//!
//! | answer | subscription | publication |
//! |---|---|---|
//! | 2xx (202 as well, RFC 3265) | lives, refreshed at nine tenths | lives, refreshed at nine tenths under its entity tag |
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

use core::time::Duration;
use std::collections::BTreeMap;

use crate::base::ids::IdKind;
use crate::base::{Key, Slab, Time, TimerKey};
use crate::ctx::{Ctx, Origin, Timer};
use crate::dialog::Dialog;
use crate::door::{AgentEvent, AgentHop, AgentStep, AgentWish};
use crate::proof::Asked;
use crate::txn::Transactions;

pub(crate) use notices::{Notices, check as check_notice};
pub(crate) use trunks::{Trunks, id_of as trunk_id, trunk_of_id};

/// Names a task while it is there.
pub(crate) type TaskKey = Key<Task>;

/// How long until something is tried again, if the other side does not say.
const AGAIN: Duration = Duration::from_secs(30);

/// What is wished.
#[derive(Clone, Debug)]
enum What {
    /// To watch.
    Subscription,
    /// To be registered at a trunk: the user part of the Contact.
    Registration { contact: Box<str> },
    /// To publish: a Content-Type and a body, under the entity tag of the last 200.
    Publication { kind: Box<str>, document: Box<[u8]>, etag: Option<Box<[u8]>> },
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
    dialog: Dialog,
    /// What the request in flight does.
    busy: Option<Does>,
    next: Option<Does>,
    tries: u8,
    asked: Option<Asked>,
    granted: bool,
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
    told: Vec<AgentEvent>,
}

impl Agent {
    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.tasks.len()
    }

    /// What the host is to hear.
    pub(crate) fn take_told(&mut self) -> Vec<AgentEvent> {
        core::mem::take(&mut self.told)
    }

    /// Watches. False if the socket is not up, or the wish too large.
    pub(crate) fn subscribe(&mut self, ctx: &mut Ctx<'_>, txn: &mut Transactions, wish: AgentWish) -> bool {
        self.begin(ctx, txn, wish, What::Subscription)
    }

    /// Publishes; what was published under this number before is modified.
    pub(crate) fn publish(
        &mut self,
        ctx: &mut Ctx<'_>,
        txn: &mut Transactions,
        wish: AgentWish,
        kind: Box<str>,
        document: Box<[u8]>,
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
        self.begin(ctx, txn, wish, What::Publication { kind, document, etag: None })
    }

    /// Registers. False if the socket is not up, or the wish too large.
    pub(crate) fn register(
        &mut self,
        ctx: &mut Ctx<'_>,
        txn: &mut Transactions,
        wish: AgentWish,
        contact: Box<str>,
    ) -> bool {
        self.begin(ctx, txn, wish, What::Registration { contact })
    }

    /// Ends a wish. False if there is none of that number.
    pub(crate) fn end(&mut self, ctx: &mut Ctx<'_>, txn: &mut Transactions, id: u64) -> bool {
        let Some(key) = self.by_id.get(&id).copied() else { return false };
        let Some(task) = self.tasks.get_mut(key) else { return false };
        task.leaving = true;
        // What was never granted needs no farewell.
        match task.granted || task.busy.is_some() {
            true => self.wish(ctx, txn, key, Does::Leave),
            false => self.over(ctx, key, ""),
        }
        true
    }

    fn begin(&mut self, ctx: &mut Ctx<'_>, txn: &mut Transactions, wish: AgentWish, what: What) -> bool {
        let Some(hop) = hop_of(ctx, &wish.hop) else { return false };
        if let Some(key) = self.by_id.get(&wish.id).copied() {
            self.remove(ctx, key);
        }
        let opened = match what {
            // RFC 3261 s10.2: From and To are who is registered, and the request goes to the domain.
            What::Registration { .. } => registering(ctx, &wish, &hop),
            _ => opened(ctx, &wish, &hop),
        };
        let Some((call, dialog)) = opened else { return false };
        let id = wish.id;
        let key = self.tasks.insert(Task {
            wish,
            what,
            dialog,
            busy: None,
            next: None,
            tries: 0,
            asked: None,
            granted: false,
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
        let Some((call, dialog)) = opened(ctx, &task.wish, &hop) else { return };
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
                self.interrupt(ctx, key, "no NOTIFY", AGAIN);
            }
        }
    }

    /// It is over for now.
    fn interrupt(&mut self, ctx: &mut Ctx<'_>, key: TaskKey, reason: &str, wait: Duration) {
        let again = ctx.now + wait;
        if let Some(task) = self.tasks.get(key) {
            let step = AgentStep::Interrupted { reason: reason.into(), again };
            self.told.push(AgentEvent { id: task.wish.id, step });
        }
        self.arm(ctx, key, again);
    }

    /// It is over.
    fn over(&mut self, ctx: &mut Ctx<'_>, key: TaskKey, reason: &str) {
        if let Some(task) = self.tasks.get(key) {
            let step = AgentStep::Ended { reason: reason.into() };
            self.told.push(AgentEvent { id: task.wish.id, step });
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

fn hop_of(ctx: &Ctx<'_>, hop: &AgentHop) -> Option<Origin> {
    ctx.flows.origin(hop.flow, hop.remote, hop.local)
}

/// A dialog to be, and its Call-ID.
fn opened(ctx: &mut Ctx<'_>, wish: &AgentWish, hop: &Origin) -> Option<(Box<[u8]>, Dialog)> {
    let call: Box<[u8]> = ctx.ids.next_text(IdKind::CallId).as_bytes().into();
    let dialog = Dialog::opened(ctx, hop, &call, wish.account.uri.as_bytes(), wish.uri.as_bytes())?;
    Some((call, dialog))
}

fn registering(ctx: &mut Ctx<'_>, wish: &AgentWish, hop: &Origin) -> Option<(Box<[u8]>, Dialog)> {
    let (who, domain) = (wish.account.uri.as_bytes(), wish.uri.as_bytes());
    let dialog = Dialog::inviting(ctx, hop, who, who, domain)?;
    Some((dialog.call_id().into(), dialog))
}
