//! Subscriptions over restarts (DECISIONS 31).
//!
//! A subscription is saved when it is made, refreshed or decided about, not with each NOTIFY: the numbers of a block are
//! reserved ahead, and when they are used up it is saved again. A restored one begins behind its block, so that no CSeq
//! and no document version is ever used twice. It is notified once, in full, some time after the start, so that many of
//! them are no storm; one on a stream hears again when its watcher comes back over another.
//!
//! No answer waits for these saves: a subscription that was not saved is lost with a crash and by nothing else, and then
//! its watcher subscribes anew.

use core::time::Duration;
use std::collections::BTreeMap;

use super::{Events, Form, Package, Progress, Standing, Subscription, SubscriptionKey};
use crate::base::{Time, TimerKey};
use crate::ctx::{Ctx, Flow, Timer};
use crate::dialog::Dialog;
use crate::door::{Change, FlowId, StoredForm, StoredStanding, StoredSubscription, Transport};
use crate::wire::Event;

/// Numbers reserved with each save.
const BLOCK: u32 = 256;
/// When the first restored subscription is notified.
const FIRST: Duration = Duration::from_secs(1);
/// How long after each other restored subscriptions are notified.
const STEP: Duration = Duration::from_millis(2);

/// What there is to know for the store.
#[derive(Clone, Debug, Default)]
pub(super) struct Shelf {
    last_id: u64,
    /// Restored over UDP, while the socket they came to is not up yet.
    homeless: Vec<SubscriptionKey>,
    /// When the restored one before was to be notified.
    next: Option<Time>,
    /// By their numbers, until the first socket is up: nothing is restored after that.
    restored: BTreeMap<u64, SubscriptionKey>,
}

impl Events {
    /// Saves a subscription as it is now, if there is a store.
    pub(super) fn save(&mut self, ctx: &mut Ctx<'_>, key: SubscriptionKey) {
        // What fetches is over before it could be restored.
        let lasting = |sub: &&mut Subscription| sub.expires_at > ctx.now && sub.end.is_none();
        if !ctx.settings.tell.changes {
            return;
        }
        let Some(sub) = self.store.get_mut(key).filter(lasting) else { return };
        if sub.id == 0 {
            self.shelf.last_id += 1;
            sub.id = self.shelf.last_id;
        }
        let Some((_, shared)) = self.store.both_mut(key) else { return };
        let mut dialog = shared.dialog.stored();
        dialog.cseq = dialog.cseq.saturating_add(BLOCK);
        shared.reserved = dialog.cseq;
        let Some((sub, shared)) = self.store.both(key) else { return };
        let mut event = sub.package.name().as_bytes().to_vec();
        if !sub.event_id.is_empty() {
            event.extend_from_slice(b";id=");
            event.extend_from_slice(&sub.event_id);
        }
        let stored = StoredSubscription {
            id: sub.id,
            package: sub.package.name().into(),
            event: event.into(),
            aor: self.store.name(sub.resource).into(),
            watcher: shared.watcher.clone(),
            trusted: shared.trusted,
            standing: match sub.standing {
                Standing::Active => StoredStanding::Active,
                Standing::Pending => StoredStanding::Pending,
                Standing::Blocked => StoredStanding::Blocked,
            },
            form: match sub.progress.form {
                Form::Plain => StoredForm::Whole,
                Form::Diff => StoredForm::Changes,
                Form::List => StoredForm::List,
            },
            since: ctx.to_wall(sub.since),
            expires_at: ctx.to_wall(sub.expires_at),
            version: sub.version.saturating_add(BLOCK),
            dialog,
        };
        ctx.out.save(Change::PutSubscription(Box::new(stored)));
    }

    /// A NOTIFY is about to be sent: its number must be a reserved one.
    pub(super) fn reserve(&mut self, ctx: &mut Ctx<'_>, key: SubscriptionKey) {
        let Some((_, shared)) = self.store.both(key).filter(|(sub, _)| sub.id != 0) else { return };
        if shared.dialog.cseq() >= shared.reserved {
            self.save(ctx, key);
        }
    }

    /// A subscription is gone.
    pub(super) fn unsave(&mut self, ctx: &mut Ctx<'_>, sub: &Subscription) {
        if sub.id != 0 && ctx.settings.tell.changes {
            // The numbers of the dialog must not be lost with the one they were saved with.
            if let Some(other) = self.store.other_in(sub.dialog) {
                self.save(ctx, other);
            }
            ctx.out.save(Change::RemoveSubscription { id: sub.id });
        }
    }

    /// Takes over a subscription of an earlier life.
    pub(crate) fn restore(&mut self, ctx: &mut Ctx<'_>, stored: StoredSubscription) {
        let StoredSubscription { id, package, event, aor, watcher, trusted, .. } = stored;
        self.shelf.last_id = self.shelf.last_id.max(id);
        self.restore_removal(ctx, id);
        let expires_at = ctx.at_wall(stored.expires_at);
        let package = Package::ALL.into_iter().find(|known| *known.name() == *package);
        let dialog = Dialog::restored(ctx.settings, &stored.dialog);
        let (Some(package), Some(dialog), true) = (package, dialog, expires_at > ctx.now) else {
            if ctx.settings.tell.changes {
                ctx.out.save(Change::RemoveSubscription { id });
            }
            return;
        };
        if self.store.len() >= ctx.settings.limits.subscriptions {
            return;
        }
        let udp = stored.dialog.transport == Transport::Udp;
        let resource = self.store.resource(&self.hash, package, &aor);
        let at = self.shelf.next.map_or(ctx.now + FIRST, |before| before + STEP).max(ctx.now);
        self.shelf.next = Some(at);
        let dialog = match self.store.same_dialog(&self.hash, &dialog) {
            Some(key) => {
                if let Some(shared) = self.store.dialog_mut(key) {
                    shared.dialog.absorb(&dialog);
                    shared.reserved = shared.dialog.cseq();
                }
                key
            }
            None => {
                let cseq = dialog.cseq();
                let key = self.store.add_dialog(&self.hash, dialog, &watcher, trusted);
                if let Some(shared) = self.store.dialog_mut(key) {
                    shared.reserved = cseq;
                }
                key
            }
        };
        let host = self.pace.enter(self.store.source_of(dialog));
        let event_id = Event::parse(&event).ok().and_then(|event| event.id()).unwrap_or_default();
        let subscription = Subscription {
            standing: match stored.standing {
                StoredStanding::Active => Standing::Active,
                StoredStanding::Pending => Standing::Pending,
                StoredStanding::Blocked => Standing::Blocked,
            },
            since: ctx.at_wall(stored.since),
            expires_at,
            told: ctx.now,
            version: stored.version,
            id,
            progress: Progress::new(match stored.form {
                StoredForm::Whole => Form::Plain,
                StoredForm::Changes => Form::Diff,
                StoredForm::List => Form::List,
            }),
            dialog,
            host,
            event_id: event_id.into(),
            at: 0,
            by: FlowId::default(),
            detour: false,
            urgent: false,
            rates: None,
            failures: 0,
            package,
            resource,
            timer: TimerKey::NONE,
            paced: TimerKey::NONE,
            approved: false,
            number: 0,
            in_flight: false,
            due: false,
            end: None,
        };
        let key = self.store.add(subscription);
        self.arm(ctx, key);
        if let Some(sub) = self.store.get_mut(key) {
            sub.paced = ctx.timers.arm(at, Timer::SubscriptionPaced(key.to_bits()));
        }
        self.shelf.restored.insert(id, key);
        if udp {
            self.shelf.homeless.push(key);
        }
    }

    /// Forgets a subscription that the store no longer has.
    pub(crate) fn restore_removal(&mut self, ctx: &mut Ctx<'_>, id: u64) {
        if let Some(key) = self.shelf.restored.remove(&id)
            && let Some(sub) = self.store.get_mut(key)
        {
            // The store knows it already.
            sub.id = 0;
            self.remove(ctx, key);
        }
    }

    /// A socket is up: restored subscriptions that came to its address go over it.
    pub(crate) fn flow_up(&mut self, flow: &Flow) {
        self.shelf.restored = BTreeMap::new();
        if flow.transport != Transport::Udp || self.shelf.homeless.is_empty() {
            return;
        }
        let store = &mut self.store;
        self.shelf
            .homeless
            .retain(|key| store.both_mut(*key).is_some_and(|(_, shared)| !shared.dialog.take_home(flow)));
        if self.shelf.homeless.is_empty() {
            self.shelf.homeless = Vec::new();
        }
    }
}
