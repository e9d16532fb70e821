//! The notifier of RFC 6665, shared by all event packages: subscriptions, their dialogs and their NOTIFY requests.
//!
//! - A subscription has at most one NOTIFY in flight. What changes meanwhile is remembered as one bit: when the answer is
//!   in, the newest state follows.
//! - Whoever has to be notified stands in a queue, which the engine empties some at a time, and not faster than the limits
//!   say: a change that ten thousand watch is no storm (`pace`). Who asks to be told less often is (`rates`).
//! - What is notified is the business of the package; a body is made when its turn comes.
//! - Several subscriptions of one dialog are told apart by Event (RFC 6665 s4.5.2). They share its route set, its target
//!   and its numbers; each ends alone.
//!
//! What an answer to a NOTIFY means stands in `notify`.

mod durable;
mod form;
mod judge;
mod notify;
mod pace;
mod package;
mod rates;
mod store;
mod subscription;
mod turns;

use core::net::IpAddr;
use core::time::Duration;

use crate::base::ids::IdKind;
use crate::base::{HashKey, Ids, Key, Time, TimerKey};
use crate::ctx::{Ctx, Extra, Origin, Refusal, Timer};
use crate::dialog::Dialog;
use crate::door::{FlowId, SubscriptionEvent, SubscriptionState, SubscriptionStep, SubscriptionView};
use crate::stats::Counter;
use crate::wire::{Essentials, Event, Message, Status};

pub(crate) use form::{Body, EVENTLIST, Form, Progress};
use pace::Pace;
pub(crate) use package::Package;
use rates::Rates;
pub(crate) use store::DialogKey;
use store::Store;
pub(crate) use subscription::{Due, End, Found, Joining, Party, Standing, Subscription, Wanted, Watcher};

/// Names a subscription while it lives.
pub(crate) type SubscriptionKey = Key<Subscription>;

/// There is no such subscription.
const NO_SUCH: Refusal = Refusal::plain(Status::NO_TRANSACTION);

/// All subscriptions.
#[derive(Clone, Debug)]
pub(crate) struct Events {
    hash: HashKey,
    store: Store,
    pace: Pace,
    pump: TimerKey,
    /// Until then there is no room for a transaction.
    blocked: Time,
    /// Whose standing may have changed with the configuration.
    unjudged: Vec<SubscriptionKey>,
    /// Resources that lost their last watcher.
    unwatched: Vec<(Package, Box<str>)>,
    /// Resources whose watchers changed, while somebody watches that.
    rewatched: Vec<Box<str>>,
    /// The host wants to hear what happens to subscriptions.
    listening: bool,
    shelf: durable::Shelf,
    news: Vec<SubscriptionEvent>,
}

impl Events {
    /// Without subscriptions.
    pub(crate) fn new(ids: &Ids) -> Events {
        Events {
            hash: ids.hash_key(),
            store: Store::default(),
            pace: Pace::default(),
            pump: TimerKey::NONE,
            blocked: Time::ZERO,
            unjudged: Vec::new(),
            unwatched: Vec::new(),
            rewatched: Vec::new(),
            listening: false,
            shelf: durable::Shelf::default(),
            news: Vec::new(),
        }
    }

    /// The host begins or ends to listen.
    pub(crate) fn listen(&mut self, on: bool) {
        self.listening = on;
    }

    /// True if something happened that the host wants to hear.
    pub(crate) fn has_news(&self) -> bool {
        !self.news.is_empty()
    }

    /// What happened to subscriptions since the last call.
    pub(crate) fn take_news(&mut self) -> Vec<SubscriptionEvent> {
        core::mem::take(&mut self.news)
    }

    /// Something happened to a subscription. What fetches is none.
    fn note_step(&mut self, sub: &Subscription, watcher: &str, aor: &str, step: SubscriptionStep) {
        if self.listening && (sub.expires_at != sub.since || step == SubscriptionStep::Lost) {
            let &Subscription { package, expires_at, .. } = sub;
            let (package, aor, watcher) = (package.name(), aor.into(), watcher.into());
            self.news.push(SubscriptionEvent { package, aor, watcher, expires_at, step });
        }
    }

    /// Subscriptions behind a number (0 for the beginning), at most so many. What has ended and only has to be told so
    /// is none.
    pub(crate) fn views(&self, after: u64, limit: usize) -> Vec<SubscriptionView> {
        let first = usize::try_from(after >> 32).unwrap_or(usize::MAX);
        let lives = self.store.from(first).filter(|(_, sub, _)| sub.end.is_none());
        lives.take(limit).map(|(key, sub, watcher)| self.view(key, sub, watcher)).collect()
    }

    fn view(&self, key: SubscriptionKey, sub: &Subscription, watcher: &str) -> SubscriptionView {
        SubscriptionView {
            // In the order of the places, and never twice.
            id: u64::from(key.index() + 1) << 32 | key.to_bits() >> 32,
            package: sub.package.name(),
            aor: self.store.name(sub.resource).into(),
            watcher: watcher.into(),
            state: match sub.standing {
                Standing::Active => SubscriptionState::Active,
                Standing::Pending => SubscriptionState::Pending,
                Standing::Blocked => SubscriptionState::Blocked,
            },
            since: sub.since,
            expires_at: sub.expires_at,
        }
    }

    /// True if a dialog came over this connection.
    pub(crate) fn uses_flow(&self, flow: FlowId) -> bool {
        self.store.uses_flow(flow)
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.store.len()
    }

    /// True if nobody is due and nothing waits to be taken.
    pub(crate) fn is_settled(&self) -> bool {
        self.pace.is_empty()
            && self.unjudged.is_empty()
            && self.unwatched.is_empty()
            && self.rewatched.is_empty()
    }

    /// True if somebody watches this resource.
    pub(crate) fn is_watched(&self, package: Package, resource: &str) -> bool {
        self.store.len() > 0 && !self.store.of(&self.hash, package, resource).is_empty()
    }

    /// How long a subscription is granted: never longer than asked (RFC 6665 s4.2.1.1).
    pub(crate) fn grant(ctx: &Ctx<'_>, msg: Message<'_>) -> Result<u32, Refusal> {
        let config = &ctx.settings.events;
        let asked = msg.expires().unwrap_or(config.default_expires);
        Refusal::if_too_brief(asked, config.min_expires)?;
        Ok(asked.min(config.max_expires))
    }

    /// Makes a dialog with a subscription, which is due to be notified at once (RFC 6665 s4.2.1.2).
    pub(crate) fn subscribe(
        &mut self,
        ctx: &mut Ctx<'_>,
        origin: &Origin,
        (msg, ess): (Message<'_>, &Essentials<'_>),
        party: &Party<'_>,
        wanted: &Wanted<'_>,
    ) -> Result<(), Refusal> {
        let ip = origin.remote.ip().to_canonical();
        self.has_room(ctx, ip, party.watcher)?;
        let dialog = Dialog::new(ctx, origin, msg, ess, &party.tag)?;
        let dialog = self.store.add_dialog(&self.hash, dialog, party.watcher, party.trusted);
        self.add(ctx, dialog, wanted);
        Ok(())
    }

    /// One more subscription in a dialog that has some.
    pub(crate) fn join(
        &mut self,
        ctx: &mut Ctx<'_>,
        key: DialogKey,
        origin: &Origin,
        request: (Message<'_>, &Essentials<'_>),
        wanted: &Wanted<'_>,
    ) -> Result<(), Refusal> {
        let watcher = self.store.watcher_of(key).to_owned();
        self.has_room(ctx, origin.remote.ip().to_canonical(), &watcher)?;
        self.store.accept(ctx, key, origin, request)?;
        self.add(ctx, key, wanted);
        Ok(())
    }

    fn has_room(&self, ctx: &mut Ctx<'_>, ip: IpAddr, watcher: &str) -> Result<(), Refusal> {
        let limits = &ctx.settings.limits;
        // Whose own doing it is, is told that it will not do; what others may have filled may be free later.
        if !watcher.is_empty() && self.store.of_watcher(watcher) >= limits.subscriptions_per_watcher {
            ctx.stats.count(Counter::Overload);
            return Err(Refusal::because(Status::FORBIDDEN, "Too Many Subscriptions"));
        }
        if self.store.len() >= limits.subscriptions || self.pace.from(ip) >= limits.subscriptions_per_source {
            ctx.stats.count(Counter::Overload);
            return Err(Refusal::with(Status::SERVICE_UNAVAILABLE, Extra::RetryAfter(30)));
        }
        Ok(())
    }

    fn add(&mut self, ctx: &mut Ctx<'_>, dialog: DialogKey, wanted: &Wanted<'_>) {
        let resource = self.store.resource(&self.hash, wanted.package, wanted.resource);
        let host = self.pace.enter(self.store.source_of(dialog));
        let key = self.store.add(Subscription {
            dialog,
            host,
            event_id: wanted.event.id().unwrap_or_default().into(),
            package: wanted.package,
            resource,
            at: 0,
            standing: wanted.standing,
            since: ctx.now,
            expires_at: ctx.now + Duration::from_secs(u64::from(wanted.granted)),
            timer: TimerKey::NONE,
            // The first change of a list is told at once.
            told: if wanted.form == Form::List { Time::ZERO } else { ctx.now },
            paced: TimerKey::NONE,
            version: 0,
            approved: false,
            number: 0,
            in_flight: false,
            by: FlowId::default(),
            detour: false,
            due: false,
            urgent: false,
            rates: None,
            end: None,
            failures: 0,
            progress: Progress::new(wanted.form),
            id: 0,
        });
        self.save(ctx, key);
        ctx.stats.count(Counter::Subscribed);
        self.note_of(key, step_of(wanted.standing, SubscriptionStep::Started));
        self.note_watchers(wanted.package, wanted.form, wanted.resource);
        self.arm(ctx, key);
        self.agree(ctx, key, &wanted.event);
        self.mark(ctx, key);
    }

    /// Something happened to a subscription that is there.
    fn note_of(&mut self, key: SubscriptionKey, step: SubscriptionStep) {
        if !self.listening {
            return;
        }
        if let Some((sub, shared)) = self.store.both(key) {
            let (sub, watcher) = (sub.clone(), shared.watcher.clone());
            let resource: Box<str> = self.store.name(sub.resource).into();
            self.note_step(&sub, &watcher, &resource, step);
        }
    }

    /// What a request within a dialog is for: the subscription its Event names, or one more.
    pub(crate) fn find(&self, ess: &Essentials<'_>, package: Package, event: &Event<'_>) -> Option<Found> {
        let (key, shared) = self.store.dialog_of(&self.hash, ess)?;
        if let Some(key) = self.store.named(shared, package, event) {
            return Some(Found::Subscription(key));
        }
        let (resource, watcher) = (self.store.resource_of(shared).into(), shared.watcher.clone());
        Some(Found::Dialog(key, Joining { resource, watcher, trusted: shared.trusted }))
    }

    /// A SUBSCRIBE within the dialog: refresh, or the end with `granted` 0. All its state is due, in this form if it names
    /// one; what began as a list stays one (RFC 4662 s4.5).
    pub(crate) fn refresh(
        &mut self,
        ctx: &mut Ctx<'_>,
        key: SubscriptionKey,
        origin: &Origin,
        request: (Message<'_>, &Essentials<'_>),
        (granted, form, event): (u32, Option<Form>, &Event<'_>),
    ) -> Result<(), Refusal> {
        // What has ended stays so, although its last NOTIFY is not out yet.
        let live = self.store.get(key).filter(|sub| sub.end.is_none());
        let dialog = live.map(|sub| sub.dialog).ok_or(NO_SUCH)?;
        self.store.accept(ctx, dialog, origin, request)?;
        let sub = self.store.get_mut(key).ok_or(NO_SUCH)?;
        // It may have moved.
        let host = self.pace.enter(origin.remote.ip().to_canonical());
        self.pace.leave(ctx, core::mem::replace(&mut sub.host, host));
        sub.end = (granted == 0).then_some(End::Timeout);
        sub.progress.whole = true;
        if let (Some(form), Form::Plain | Form::Diff) = (form, sub.progress.form) {
            sub.progress.form = form;
        }
        sub.expires_at = ctx.now + Duration::from_secs(u64::from(granted));
        self.save(ctx, key);
        self.arm(ctx, key);
        self.agree(ctx, key, event);
        self.mark(ctx, key);
        Ok(())
    }

    /// How often a subscriber wants to be told (RFC 6446): what was agreed before does not count.
    fn agree(&mut self, ctx: &mut Ctx<'_>, key: SubscriptionKey, event: &Event<'_>) {
        let Some(sub) = self.store.get_mut(key) else { return };
        let old = sub.rates.take();
        ctx.timers.disarm(old.map_or(TimerKey::NONE, |rates| rates.repeat));
        let bounds = (sub.interval(ctx), ctx.settings.events.repeat_interval);
        let rates = Rates::of(event, ctx.now, sub.expires_at.since(ctx.now), bounds);
        sub.rates = rates.map(Box::new);
    }

    /// Everybody who watches a resource and may see it is due: to the others the time of a NOTIFY would tell something.
    pub(crate) fn changed(&mut self, ctx: &mut Ctx<'_>, package: Package, resource: &str) {
        let sees = |key: &&SubscriptionKey| {
            self.store.get(**key).is_some_and(|sub| sub.standing == Standing::Active)
        };
        let keys: Vec<SubscriptionKey> =
            self.store.of(&self.hash, package, resource).iter().filter(sees).copied().collect();
        for key in keys {
            self.mark_paced(ctx, key);
        }
    }

    /// Who watches a resource.
    pub(crate) fn watchers(&self, package: Package, resource: &str) -> impl Iterator<Item = Watcher<'_>> {
        let keys = self.store.of(&self.hash, package, resource).iter();
        keys.filter_map(|key| {
            let (sub, shared) = self.store.both(*key)?;
            let Subscription { standing, approved, since, expires_at, progress, .. } = *sub;
            let form = progress.form;
            Some(Watcher { key: *key, name: &shared.watcher, form, standing, approved, since, expires_at })
        })
    }

    /// The watchers of a presentity changed: whoever watches them shall know.
    fn note_watchers(&mut self, package: Package, form: Form, resource: &str) {
        // Who watches the members of a list, the engine knows.
        let watched = form == Form::List || self.is_watched(Package::Winfo, resource);
        if package == Package::Presence && watched {
            self.rewatched.push(resource.into());
        }
    }

    /// Resources whose watchers changed since the last call.
    pub(crate) fn take_rewatched(&mut self) -> Vec<Box<str>> {
        core::mem::take(&mut self.rewatched)
    }

    /// What a subscription watches: a canonical AoR.
    pub(crate) fn resource(&self, key: SubscriptionKey) -> &str {
        self.store.get(key).map_or("", |sub| self.store.name(sub.resource))
    }

    /// A subscription's time is up: its last NOTIFY is due.
    pub(crate) fn on_expiry(&mut self, ctx: &mut Ctx<'_>, bits: u64) {
        let key = SubscriptionKey::from_bits(bits);
        let Some(sub) = self.store.get_mut(key) else { return };
        sub.timer = TimerKey::NONE;
        sub.end = sub.end.or(Some(End::Timeout));
        sub.progress.whole = true;
        // What is in flight is waited for, as always.
        self.mark(ctx, key);
    }

    /// Resources that lost their last watcher since the last call.
    pub(crate) fn take_unwatched(&mut self) -> Vec<(Package, Box<str>)> {
        core::mem::take(&mut self.unwatched)
    }

    /// We go away: what the next life does not find in the store ends, and its subscriber shall come back after a while
    /// (DECISIONS 20). True if somebody is to be told so.
    pub(crate) fn leave(&mut self, ctx: &mut Ctx<'_>) -> bool {
        let mut ends = false;
        for key in self.store.all() {
            let Some(sub) = self.store.get_mut(key) else { continue };
            let kept = sub.id != 0 && ctx.settings.tell.changes;
            ends |= !kept || sub.end.is_some();
            if kept {
                continue;
            }
            let spread = ctx.ids.below(IdKind::Jitter, 90) as u32;
            sub.end = Some(End::Probation(30 + spread));
            sub.in_flight = false;
            sub.due = false;
            // DECISIONS 20: these are paced.
            self.mark_change(ctx, key);
        }
        ends
    }

    fn arm(&mut self, ctx: &mut Ctx<'_>, key: SubscriptionKey) {
        let Some(sub) = self.store.get_mut(key) else { return };
        ctx.timers.disarm(sub.timer);
        // The end that a fetch or an unsubscription brings is told by the NOTIFY that is due anyway.
        sub.timer = match sub.expires_at > ctx.now {
            true => ctx.timers.arm(sub.expires_at, Timer::Subscription(key.to_bits())),
            false => TimerKey::NONE,
        };
    }

    fn remove(&mut self, ctx: &mut Ctx<'_>, key: SubscriptionKey) {
        let watcher =
            self.store.both(key).filter(|_| self.listening).map(|(_, shared)| shared.watcher.clone());
        let watcher = watcher.unwrap_or_default();
        if let Some((sub, unwatched)) = self.store.remove(&self.hash, key) {
            ctx.timers.disarm(sub.timer);
            ctx.timers.disarm(sub.paced);
            ctx.timers.disarm(sub.rates.as_ref().map_or(TimerKey::NONE, |rates| rates.repeat));
            self.pace.leave(ctx, sub.host);
            ctx.stats.count(Counter::Unsubscribed);
            self.unsave(ctx, &sub);
            let step = match sub.end {
                Some(End::Timeout | End::NoResource | End::Deactivated | End::Rejected) => {
                    SubscriptionStep::Ended
                }
                Some(End::Probation(_)) => SubscriptionStep::SentAway,
                None => SubscriptionStep::Lost,
            };
            let is_last = unwatched.is_some();
            let name = unwatched.unwrap_or_else(|| self.store.name(sub.resource).into());
            self.note_step(&sub, &watcher, &name, step);
            self.note_watchers(sub.package, sub.progress.form, &name);
            if is_last {
                self.unwatched.push((sub.package, name));
            }
        }
    }
}

/// What a decision about a watcher is to the host.
fn step_of(standing: Standing, active: SubscriptionStep) -> SubscriptionStep {
    match standing {
        Standing::Active => active,
        Standing::Pending => SubscriptionStep::Pending,
        Standing::Blocked => SubscriptionStep::Blocked,
    }
}
