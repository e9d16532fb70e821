//! How calls are found, counted and numbered, and what they have to say to others.

use core::time::Duration;
use std::collections::{BTreeMap, VecDeque};

use smallvec::SmallVec;

use super::call::{Phase, Timers};
use super::refer::Inner;
use super::streams::Streams;
use super::{Asker, Call, CallKey, News};
use crate::base::{HashKey, Index, Slab};
use crate::config::MediaMode;
use crate::ctx::{CallState, Ctx};
use crate::dialog::Dialog;
use crate::door::{CallEvent, CallRecord, Event};
use crate::stats::Counter;
use crate::txn::ServerKey;

/// How calls are found, and counted.
#[derive(Clone, Debug)]
pub(super) struct Desk {
    pub(super) hash: HashKey,
    /// By Call-ID and tags of each dialog.
    pub(super) dialogs: Index<CallKey>,
    /// By Call-ID and our tag of each INVITE of ours: that is all that is known of the dialogs it will make.
    pub(super) invited: Index<CallKey>,
    /// By their numbers, in the order of their begin.
    pub(super) by_id: BTreeMap<u64, CallKey>,
    /// By an INVITE without a final response.
    pub(super) servers: BTreeMap<ServerKey, CallKey>,
    /// How many calls an account has.
    pub(super) by_account: BTreeMap<Box<str>, usize>,
    /// How many are on a trunk.
    pub(super) by_trunk: BTreeMap<u16, usize>,
    /// How many are in one session of media.
    pub(super) by_session: BTreeMap<u64, usize>,
    /// How many come from one address.
    pub(super) by_source: BTreeMap<core::net::IpAddr, usize>,
    pub(super) news: Vec<News>,
    /// What calls have to say to each other, in the order they said it.
    pub(super) inner: VecDeque<Inner>,
    /// Connections that they hold open.
    pub(super) streams: Streams,
    /// Where parties of ours stand, for who watches them.
    pub(super) told: VecDeque<CallState>,
    pub(super) began: u64,
}

impl Desk {
    pub(super) fn enlist(&mut self, key: CallKey, dialog: &Dialog) {
        self.dialogs.insert(dialog.hash(&self.hash), key);
    }

    /// An INVITE of ours is on its way.
    pub(super) fn invite(&mut self, key: CallKey, base: &Dialog) {
        self.invited.insert(self.hash.hash_parts(&[base.call_id(), base.own_tag()]), key);
    }

    /// Nothing is left of it.
    pub(super) fn uninvite(&mut self, key: CallKey, base: &Dialog) {
        self.invited.remove(self.hash.hash_parts(&[base.call_id(), base.own_tag()]), |other| other == key);
    }

    /// A new call.
    pub(super) fn enter(
        &mut self,
        calls: &mut Slab<Call>,
        ctx: &mut Ctx<'_>,
        asker: Asker,
        account: Box<str>,
        record: Box<CallRecord>,
    ) -> CallKey {
        // One that goes on as another keeps its number.
        let id = record.id;
        if ctx.settings.tell.calls && !self.by_id.contains_key(&id) {
            let (caller, callee) = (record.caller.clone(), record.callee.clone());
            ctx.out.tell(Event::Call(Box::new(CallEvent::Began { id, caller, callee })));
        }
        ctx.stats.count(Counter::Calls);
        match self.by_account.get_mut(&account) {
            Some(count) => *count += 1,
            None => _ = self.by_account.insert(account.clone(), 1),
        }
        *self.by_source.entry(record.source.ip().to_canonical()).or_default() += 1;
        let relays = ctx.settings.calls.as_ref().is_some_and(|calls| calls.media.mode != MediaMode::Off);
        let media = if relays { id } else { 0 };
        self.enter_session(media);
        let key = calls.insert(Call {
            phase: Phase::Ringing,
            asker,
            account,
            incoming: None,
            invitation: None,
            transfer: None,
            serves: None,
            media,
            was_in: Vec::new(),
            queue: Default::default(),
            attempts: Vec::new(),
            links: Vec::new(),
            accepted: None,
            best: None,
            ring: Duration::ZERO,
            unanswered: false,
            timers: Timers::default(),
            record,
            names: None,
            taken: None,
            picked: None,
            succession: None,
            follows: None,
            streams: Default::default(),
            on_trunks: SmallVec::new(),
        });
        self.by_id.insert(id, key);
        key
    }

    /// On which trunks a call is may have changed.
    pub(super) fn count_trunks(&mut self, call: &mut Call, ctx: &Ctx<'_>) {
        let any = ctx.settings.calls.as_ref().is_some_and(|calls| !calls.trunks.is_empty());
        if !any && call.on_trunks.is_empty() {
            return;
        }
        let now = call.trunks();
        let before = core::mem::replace(&mut call.on_trunks, now);
        for trunk in &call.on_trunks {
            *self.by_trunk.entry(*trunk).or_default() += 1;
        }
        for trunk in &before {
            less(&mut self.by_trunk, trunk);
        }
    }

    pub(super) fn strike(&mut self, key: CallKey, dialog: &Dialog) {
        self.dialogs.remove(dialog.hash(&self.hash), |other| other == key);
    }
}

/// One less of them.
pub(super) fn less<K: Ord + ?Sized, Q: Ord + core::borrow::Borrow<K>>(
    counts: &mut BTreeMap<Q, usize>,
    key: &K,
) {
    if let Some(count) = counts.get_mut(key) {
        *count -= 1;
        if *count == 0 {
            counts.remove(key);
        }
    }
}
