//! One call of a user agent, and all of them.

use core::time::Duration;
use std::collections::{BTreeMap, VecDeque};

use bytes::Bytes;

use super::redirect::Redirects;
use super::refer::{Errant, Referred};
use super::reliable::Reliable;
use super::{CallKey, State};
use crate::agent::ua::UaKey;
use crate::base::{Slab, Time, TimerKey};
use crate::ctx::{Ctx, Origin};
use crate::dialog::Dialog;
use crate::dialog::session_timer::SessionTimer;
use crate::proof::Proofs;
use crate::txn::{ClientKey, ServerKey};
use crate::wire::{Held, Method};

/// One call.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    pub(in crate::agent::ua) ua: UaKey,
    pub(super) number: u64,
    pub(super) outgoing: bool,
    pub(super) state: State,
    /// The host was told that it is over.
    pub(super) over: bool,
    pub(super) dialog: Dialog,
    pub(super) proofs: Proofs,
    pub(super) tries: u8,
    /// What the host said of the session, and what was sent of it last.
    pub(super) sdp: Box<[u8]>,
    pub(super) sent: Box<[u8]>,
    /// What the other side said of it last.
    pub(super) heard: Box<[u8]>,
    /// An INVITE of ours without a final answer.
    pub(super) invite: Option<Invite>,
    /// An INVITE or UPDATE of theirs that the host is to answer.
    pub(super) asked: Option<Asked>,
    /// A 2xx of ours that was not acknowledged.
    pub(super) unacked: Option<Unacked>,
    /// The ACK to a 2xx, for each that comes again: its number, where it went.
    pub(super) ack: Option<(u32, Origin, Bytes)>,
    /// What is offered when it can be.
    pub(super) change: Option<Box<[u8]>>,
    /// What else is on its way, and what waits behind it.
    pub(super) busy: Option<(ClientKey, Errand)>,
    pub(super) waiting: VecDeque<Errand>,
    /// Provisional responses that are acknowledged.
    pub(super) reliable: Reliable,
    pub(super) timer: SessionTimer,
    /// Where it was redirected to.
    pub(super) redirects: Option<Box<Redirects>>,
    /// A transfer that the host is asked for.
    pub(super) referred: Option<Box<Referred>>,
    /// The REFER requests whose senders hear of what came of them, and what they heard last.
    pub(super) tells: Vec<(u32, u16)>,
    /// For whom it is made.
    pub(super) errant: Option<Box<Errant>>,
    /// The call in whose place it comes.
    pub(super) replaces: Option<CallKey>,
    pub(super) life: TimerKey,
    pub(super) glare: TimerKey,
}

impl Call {
    /// One that came, of which nothing was said yet.
    pub(super) fn new(ua: UaKey, number: u64, dialog: Dialog, state: State) -> Call {
        Call {
            ua,
            number,
            outgoing: false,
            state,
            over: false,
            dialog,
            proofs: Proofs::default(),
            tries: 0,
            sdp: Box::default(),
            sent: Box::default(),
            heard: Box::default(),
            invite: None,
            asked: None,
            unacked: None,
            ack: None,
            change: None,
            busy: None,
            waiting: VecDeque::new(),
            reliable: Reliable::default(),
            timer: SessionTimer::default(),
            redirects: None,
            referred: None,
            tells: Vec::new(),
            errant: None,
            replaces: None,
            life: TimerKey::NONE,
            glare: TimerKey::NONE,
        }
    }

    /// The other side describes the session. False if that is what it said before, or nothing.
    pub(super) fn hear(&mut self, sdp: &[u8]) -> bool {
        let new = !sdp.is_empty() && *sdp != *self.heard;
        if new {
            self.heard = sdp.into();
        }
        new
    }

    /// RFC 4028 s7.4: does it only say again what the session is?
    pub(super) fn is_known(&self, sdp: &[u8]) -> bool {
        !sdp.is_empty() && *sdp == *self.heard && !self.sent.is_empty()
    }
}

/// What an INVITE of ours is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Why {
    /// It is the first, and makes the dialog.
    Begins,
    /// The host offers another session.
    Changes,
    /// The session goes on (RFC 4028).
    Refreshes,
}

/// An INVITE of ours.
#[derive(Clone, Debug)]
pub(super) struct Invite {
    pub(super) client: ClientKey,
    pub(super) offer: Box<[u8]>,
    pub(super) why: Why,
    pub(super) number: u32,
    /// A 1xx has come.
    pub(super) provisional: bool,
    pub(super) cancelled: bool,
}

/// A request that the host is to answer.
#[derive(Clone, Debug)]
pub(super) struct Asked {
    pub(super) server: ServerKey,
    pub(super) origin: Origin,
    pub(super) held: Held,
    pub(super) first: bool,
    /// Our tag, for the first.
    pub(super) tag: Box<str>,
}

/// A 2xx that is repeated until it is acknowledged (RFC 3261 s13.3.1.4).
#[derive(Clone, Debug)]
pub(super) struct Unacked {
    pub(super) server: ServerKey,
    pub(super) number: u32,
    pub(super) payload: Bytes,
    pub(super) since: Time,
    pub(super) wait: Duration,
    pub(super) timer: TimerKey,
    /// It has an offer, which the ACK answers.
    pub(super) offers: bool,
    pub(super) first: bool,
}

/// Another request within the call.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Errand {
    Info {
        kind: Box<str>,
        body: Box<[u8]>,
    },
    /// The value of Refer-To.
    Refer(Box<str>),
    /// What came of a REFER of the other side: its number, how far that is, and for how many seconds more may follow; 0 for
    /// nothing more.
    Notify {
        refer: u32,
        status: u16,
        left: u32,
    },
    /// UPDATE without an offer (RFC 4028 s7.4).
    Refresh,
    Bye,
}

impl Errand {
    pub(super) fn method(&self) -> Method {
        match self {
            Errand::Info { .. } => Method::Info,
            Errand::Refer(_) => Method::Refer,
            Errand::Notify { .. } => Method::Notify,
            Errand::Refresh => Method::Update,
            Errand::Bye => Method::Bye,
        }
    }
}

/// A Call-ID, and our tag.
type DialogName = (Box<[u8]>, Box<[u8]>);

/// All calls of user agents.
#[derive(Clone, Debug, Default)]
pub(crate) struct Calls {
    pub(in crate::agent::ua) list: Slab<Call>,
    pub(super) by_number: BTreeMap<u64, CallKey>,
    /// Of each user agent, in the order of their numbers.
    pub(super) by_ua: BTreeMap<UaKey, BTreeMap<u64, CallKey>>,
    /// Two ends of one call may be here, under one Call-ID.
    pub(super) by_dialog: BTreeMap<DialogName, CallKey>,
}

impl Calls {
    /// How many of one user agent.
    pub(in crate::agent::ua) fn of(&self, ua: UaKey) -> usize {
        self.by_ua.get(&ua).map_or(0, BTreeMap::len)
    }

    pub(super) fn all_of(&self, ua: UaKey) -> impl Iterator<Item = CallKey> {
        self.by_ua.get(&ua).into_iter().flat_map(|calls| calls.values().copied())
    }

    pub(super) fn insert(&mut self, call: Call) -> CallKey {
        let name = (call.dialog.call_id().into(), call.dialog.own_tag().into());
        let (number, ua) = (call.number, call.ua);
        let key = self.list.insert(call);
        self.by_number.insert(number, key);
        self.by_ua.entry(ua).or_default().insert(number, key);
        self.by_dialog.insert(name, key);
        key
    }

    pub(super) fn remove(&mut self, ctx: &mut Ctx<'_>, key: CallKey) -> Option<Call> {
        let mut call = self.list.remove(key)?;
        call.timer.stop(ctx);
        if let Some(referred) = &call.referred {
            ctx.timers.disarm(referred.timer);
        }
        let unacked = call.unacked.as_ref().map_or(TimerKey::NONE, |unacked| unacked.timer);
        for timer in [call.life, call.glare, call.reliable.timer, unacked] {
            ctx.timers.disarm(timer);
        }
        self.by_number.remove(&call.number);
        if let Some(calls) = self.by_ua.get_mut(&call.ua) {
            calls.remove(&call.number);
            if calls.is_empty() {
                self.by_ua.remove(&call.ua);
            }
        }
        self.by_dialog.remove(&(call.dialog.call_id().into(), call.dialog.own_tag().into()));
        Some(call)
    }
}
