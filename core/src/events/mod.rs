//! The notifier of RFC 6665, shared by all event packages: subscriptions, their dialogs and their NOTIFY requests.
//!
//! - A subscription has at most one NOTIFY in flight. What changes meanwhile is remembered as one bit: when the answer is
//!   in, the newest state follows.
//! - Whoever has to be notified stands in one queue, which the engine empties some at a time: a change that ten thousand
//!   watch is no storm.
//! - What is notified is the business of the package; a body is made when its turn comes.
//!
//! | NOTIFY answered with | subscription |
//! |---|---|
//! | 2xx | goes on; if something changed meanwhile, again |
//! | 404, 405, 410, 416, 480 to 485, 489, 501, 604 | removed (RFC 6665 s4.2.2) |
//! | any other error | goes on; this state is not repeated |
//! | nothing in time | removed, or goes on ([`EventsConfig::keep_silent`](crate::config::EventsConfig)) |

mod durable;
mod form;
mod store;

use core::time::Duration;
use std::collections::VecDeque;

use crate::base::ids::{IdKind, IdText};
use crate::base::{HashKey, Ids, Key, Time, TimerKey};
use crate::config::Settings;
use crate::ctx::{Ctx, Extra, Origin, Refusal, Timer};
use crate::dialog::Dialog;
use crate::door::{SubscriptionEvent, SubscriptionStep};
use crate::stats::Counter;
use crate::txn::{ClientFailure, Transactions, Usage};
use crate::wire::{Essentials, Event, Header, Message, Method, Status};

pub(crate) use form::{Body, EVENTLIST, Form, Progress};
use store::Store;

/// Names a subscription while it lives.
pub(crate) type SubscriptionKey = Key<Subscription>;

/// An event package.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum Package {
    /// RFC 3856.
    Presence,
    /// Who watches whose presence: RFC 3857.
    Winfo,
    /// What is registered: RFC 3680.
    Reg,
    /// What waits in a mailbox: RFC 3842.
    MessageSummary,
}

impl Package {
    /// All of them.
    pub(crate) const ALL: [Package; 4] =
        [Package::Presence, Package::Winfo, Package::Reg, Package::MessageSummary];

    /// Those that are switched on.
    pub(crate) fn served(settings: &Settings) -> impl Iterator<Item = Package> {
        let (presence, messages) = (settings.presence.is_some(), settings.message_summary.is_some());
        Package::ALL.into_iter().filter(move |package| match package {
            Package::MessageSummary => messages,
            _ => presence,
        })
    }

    /// Its name in Event.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Package::Presence => "presence",
            Package::Winfo => "presence.winfo",
            Package::Reg => "reg",
            Package::MessageSummary => "message-summary",
        }
    }

    /// Content-Type of its documents.
    pub(crate) const fn kind(self) -> &'static str {
        match self {
            Package::Presence => "application/pidf+xml",
            Package::Winfo => "application/watcherinfo+xml",
            Package::Reg => "application/reginfo+xml",
            Package::MessageSummary => "application/simple-message-summary",
        }
    }

    /// Shortest time between two NOTIFY requests to one subscriber (DECISIONS 28). Presence is paced by presentity.
    const fn pacing(self) -> Duration {
        match self {
            Package::Presence => Duration::ZERO,
            Package::Winfo | Package::Reg => Duration::from_secs(5),
            // RFC 3842 s3.11.
            Package::MessageSummary => Duration::from_secs(1),
        }
    }

    /// The package an Event header names. 489 without one, and for one we do not have (RFC 6665 s4.2.1.1).
    pub(crate) fn of<'m>(settings: &Settings, msg: Message<'m>) -> Result<(Package, Event<'m>), Refusal> {
        const BAD_EVENT: Refusal = Refusal::with(Status::BAD_EVENT, Extra::AllowEvents);
        let event = msg.header(Header::Event).ok_or(BAD_EVENT)?;
        let event =
            Event::parse(event).map_err(|_| Refusal::because(Status::BAD_REQUEST, "Malformed Event"))?;
        let package = Package::served(settings).find(|package| package.name().as_bytes() == event.package);
        Ok((package.ok_or(BAD_EVENT)?, event))
    }
}

/// May the watcher be told?
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Standing {
    /// The state itself.
    Active,
    /// Nothing yet: somebody has to decide (RFC 6665 s4.1.3 `pending`).
    Pending,
    /// Always the same: nothing is known. The watcher cannot tell that it is not told.
    Blocked,
}

/// One subscription.
#[derive(Clone, Debug)]
pub(crate) struct Subscription {
    dialog: Dialog,
    /// Event of our NOTIFY requests: the package, and the id of the subscriber.
    event: Box<[u8]>,
    package: Package,
    resource: store::ResourceKey,
    standing: Standing,
    /// Who it is: a canonical AoR, or empty.
    watcher: Box<str>,
    since: Time,
    expires_at: Time,
    timer: TimerKey,
    /// When the last NOTIFY went out, and the timer that holds the next one back.
    told: Time,
    paced: TimerKey,
    /// Number of the next document.
    version: u32,
    /// A NOTIFY waits for its answer.
    in_flight: bool,
    /// It stands in the queue, or will when the NOTIFY in flight is answered.
    due: bool,
    /// It ends with the next NOTIFY.
    end: Option<End>,
    /// How far it is.
    progress: Progress,
    /// Names it in the store; 0 if it is not there.
    id: u64,
    /// CSeq numbers up to this one are reserved there.
    reserved: u32,
}

/// What the engine has to notify.
#[derive(Clone, Debug)]
pub(crate) struct Due {
    /// Whom.
    pub(crate) key: SubscriptionKey,
    /// Of which package.
    pub(crate) package: Package,
    /// Of what: a canonical AoR.
    pub(crate) resource: Box<str>,
    /// What of it may be told.
    pub(crate) standing: Standing,
    /// The number of the document.
    pub(crate) version: u32,
    /// How far the subscriber is.
    pub(crate) progress: Progress,
    /// It is the last one.
    pub(crate) last: bool,
}

/// A watcher as others see it.
#[derive(Clone, Debug)]
pub(crate) struct Watcher<'s> {
    /// Names the subscription.
    pub(crate) key: SubscriptionKey,
    /// A canonical AoR, or empty.
    pub(crate) name: &'s str,
    /// In which form it is told.
    pub(crate) form: Form,
    /// Whether it waits for a decision.
    pub(crate) standing: Standing,
    /// Since when.
    pub(crate) since: Time,
    /// Until when.
    pub(crate) expires_at: Time,
}

/// Why a subscription ends, as a `reason` of Subscription-State (RFC 6665 s4.1.3).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum End {
    /// It expired, or the subscriber ended it.
    Timeout,
    /// What it watched is no more.
    NoResource,
    /// It shall be made anew, and judged anew.
    Deactivated,
    /// We go away; the subscriber shall come back after so many seconds.
    Probation(u32),
}

/// Who subscribes to what.
pub(crate) struct Wanted<'w> {
    /// The package.
    pub(crate) package: Package,
    /// The parsed Event.
    pub(crate) event: Event<'w>,
    /// A canonical AoR.
    pub(crate) resource: &'w str,
    /// Who asks: a canonical AoR, or empty.
    pub(crate) watcher: &'w str,
    /// What it may be told.
    pub(crate) standing: Standing,
    /// Seconds granted; 0 is a fetch.
    pub(crate) granted: u32,
    /// In which form it is told.
    pub(crate) form: Form,
    /// Our tag.
    pub(crate) tag: IdText,
}

/// All subscriptions.
#[derive(Clone, Debug)]
pub(crate) struct Events {
    hash: HashKey,
    store: Store,
    queue: VecDeque<SubscriptionKey>,
    pump: TimerKey,
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
            queue: VecDeque::new(),
            pump: TimerKey::NONE,
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
    fn note_step(&mut self, sub: &Subscription, aor: &str, step: SubscriptionStep) {
        if self.listening && (sub.expires_at != sub.since || step == SubscriptionStep::Lost) {
            let &Subscription { package, expires_at, .. } = sub;
            let (package, aor, watcher) = (package.name(), aor.into(), sub.watcher.clone());
            self.news.push(SubscriptionEvent { package, aor, watcher, expires_at, step });
        }
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.store.len()
    }

    /// True if nobody is due and nothing waits to be taken.
    pub(crate) fn is_settled(&self) -> bool {
        self.queue.is_empty() && self.unwatched.is_empty() && self.rewatched.is_empty()
    }

    /// True if somebody watches this resource.
    pub(crate) fn is_watched(&self, package: Package, resource: &str) -> bool {
        !self.store.of(&self.hash, package, resource).is_empty()
    }

    /// How long a subscription is granted: never longer than asked (RFC 6665 s4.2.1.1).
    pub(crate) fn grant(ctx: &Ctx<'_>, msg: Message<'_>) -> Result<u32, Refusal> {
        let config = &ctx.settings.events;
        let asked = msg.expires().unwrap_or(config.default_expires);
        Refusal::if_too_brief(asked, config.min_expires)?;
        Ok(asked.min(config.max_expires))
    }

    /// Adds a subscription; it is due to be notified at once (RFC 6665 s4.2.1.2).
    pub(crate) fn subscribe(
        &mut self,
        ctx: &mut Ctx<'_>,
        origin: &Origin,
        msg: Message<'_>,
        ess: &Essentials<'_>,
        wanted: &Wanted<'_>,
    ) -> Result<(), Refusal> {
        if self.store.len() >= ctx.settings.limits.subscriptions {
            ctx.stats.count(Counter::Overload);
            return Err(Refusal::with(Status::SERVICE_UNAVAILABLE, Extra::RetryAfter(30)));
        }
        let dialog = Dialog::new(ctx, origin, msg, ess, &wanted.tag)?;
        let mut event = wanted.package.name().as_bytes().to_vec();
        if let Some(id) = wanted.event.id() {
            event.extend_from_slice(b";id=");
            event.extend_from_slice(id);
        }
        let resource = self.store.resource(&self.hash, wanted.package, wanted.resource);
        let key = self.store.add(
            &self.hash,
            Subscription {
                dialog,
                event: event.into(),
                package: wanted.package,
                resource,
                standing: wanted.standing,
                watcher: wanted.watcher.into(),
                since: ctx.now,
                expires_at: ctx.now + Duration::from_secs(u64::from(wanted.granted)),
                timer: TimerKey::NONE,
                // The first change of a list is told at once.
                told: if wanted.form == Form::List { Time::ZERO } else { ctx.now },
                paced: TimerKey::NONE,
                version: 0,
                in_flight: false,
                due: false,
                end: None,
                progress: Progress::new(wanted.form),
                id: 0,
                reserved: 0,
            },
        );
        self.save(ctx, key);
        ctx.stats.count(Counter::Subscribed);
        if let Some(sub) = self.store.get(key).filter(|_| self.listening).cloned() {
            self.note_step(&sub, wanted.resource, step_of(wanted.standing, SubscriptionStep::Started));
        }
        self.note_watchers(wanted.package, wanted.form, wanted.resource);
        self.arm(ctx, key);
        self.mark(ctx, key);
        Ok(())
    }

    /// The subscription a request is for; its Event must be that of the subscription.
    pub(crate) fn find(&self, ess: &Essentials<'_>, event: &Event<'_>) -> Option<SubscriptionKey> {
        self.store.find(Dialog::hash_of(&self.hash, ess), |sub| {
            sub.dialog.has(ess) && Event::parse(&sub.event).is_ok_and(|own| own.matches(event))
        })
    }

    /// A SUBSCRIBE within the dialog: refresh, or the end with `granted` 0. All its state is due, in this form if it names
    /// one; what began as a list stays one (RFC 4662 s4.5).
    pub(crate) fn refresh(
        &mut self,
        ctx: &mut Ctx<'_>,
        key: SubscriptionKey,
        origin: &Origin,
        (msg, ess): (Message<'_>, &Essentials<'_>),
        (granted, form): (u32, Option<Form>),
    ) -> Result<(), Refusal> {
        let Some(sub) = self.store.get_mut(key) else { return Err(Refusal::plain(Status::NO_TRANSACTION)) };
        // What has ended stays so, although its last NOTIFY is not out yet.
        if sub.end.is_some() {
            return Err(Refusal::plain(Status::NO_TRANSACTION));
        }
        sub.dialog.accept(origin, msg, ess)?;
        sub.end = (granted == 0).then_some(End::Timeout);
        sub.progress.whole = true;
        if let (Some(form), Form::Plain | Form::Diff) = (form, sub.progress.form) {
            sub.progress.form = form;
        }
        sub.expires_at = ctx.now + Duration::from_secs(u64::from(granted));
        self.save(ctx, key);
        self.arm(ctx, key);
        self.mark(ctx, key);
        Ok(())
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
            let sub = self.store.get(*key)?;
            let Subscription { standing, since, expires_at, progress, .. } = *sub;
            let form = progress.form;
            Some(Watcher { key: *key, name: &sub.watcher, form, standing, since, expires_at })
        })
    }

    /// It was decided what a watcher may be told; he is told so at once.
    pub(crate) fn decide(
        &mut self,
        ctx: &mut Ctx<'_>,
        package: Package,
        resource: &str,
        watcher: &str,
        standing: Standing,
    ) {
        let of = |w: Watcher<'_>| (w.name == watcher && w.standing != standing).then_some(w.key);
        let keys: Vec<SubscriptionKey> = self.watchers(package, resource).filter_map(of).collect();
        for key in keys {
            if let Some(sub) = self.store.get_mut(key) {
                sub.standing = standing;
                sub.progress.whole = true;
            }
            self.save(ctx, key);
            if let Some(sub) = self.store.get(key).filter(|_| self.listening).cloned() {
                self.note_step(&sub, resource, step_of(standing, SubscriptionStep::Allowed));
            }
            self.mark(ctx, key);
            self.note_watchers(package, Form::Plain, resource);
        }
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

    /// One more is due, when the last NOTIFY is long enough ago.
    fn mark_paced(&mut self, ctx: &mut Ctx<'_>, key: SubscriptionKey) {
        let Some(sub) = self.store.get_mut(key) else { return };
        let pacing = match (&ctx.settings.presence, sub.progress.form) {
            (Some(presence), Form::List) => presence.pacing,
            _ => sub.package.pacing(),
        };
        let next = sub.told + pacing;
        if ctx.now >= next {
            return self.mark(ctx, key);
        }
        if sub.paced.is_none() {
            sub.paced = ctx.timers.arm(next, Timer::SubscriptionPaced(key.to_bits()));
        }
    }

    /// The last NOTIFY is long enough ago.
    pub(crate) fn on_paced(&mut self, ctx: &mut Ctx<'_>, bits: u64) {
        let key = SubscriptionKey::from_bits(bits);
        if let Some(sub) = self.store.get_mut(key) {
            sub.paced = TimerKey::NONE;
            self.mark(ctx, key);
        }
    }

    /// One more is due.
    fn mark(&mut self, ctx: &mut Ctx<'_>, key: SubscriptionKey) {
        let Some(sub) = self.store.get_mut(key) else { return };
        if core::mem::replace(&mut sub.due, true) || sub.in_flight {
            return;
        }
        self.queue.push_back(key);
        self.arm_pump(ctx);
    }

    fn arm_pump(&mut self, ctx: &mut Ctx<'_>) {
        if self.pump.is_none() && !self.queue.is_empty() {
            self.pump = ctx.timers.arm(ctx.now, Timer::Notifies);
        }
    }

    /// The timer of the queue has run.
    pub(crate) fn on_pump(&mut self) {
        self.pump = TimerKey::NONE;
    }

    /// The next one to be notified.
    pub(crate) fn next_due(&mut self, ctx: &mut Ctx<'_>) -> Option<Due> {
        while let Some(key) = self.queue.pop_front() {
            let Some(sub) = self.store.get(key) else { continue };
            let resource = self.store.name(sub.resource).into();
            let Subscription { package, standing, version, progress, .. } = *sub;
            let last = sub.end.is_some() || sub.expires_at <= ctx.now;
            return Some(Due { key, package, resource, standing, version, progress, last });
        }
        ctx.timers.disarm(core::mem::take(&mut self.pump));
        self.queue.shrink_to(1024);
        None
    }

    /// So many were notified, and more wait.
    pub(crate) fn pause(&mut self, ctx: &mut Ctx<'_>) {
        self.arm_pump(ctx);
    }

    /// Sends the NOTIFY that is due. A subscription whose time is over ends with it (RFC 6665 s4.4.1).
    pub(crate) fn notify(
        &mut self,
        ctx: &mut Ctx<'_>,
        txn: &mut Transactions,
        key: SubscriptionKey,
        body: Option<Body<'_>>,
    ) {
        self.reserve(ctx, key);
        let after = body.and_then(|body| body.after);
        let Some(sub) = self.store.get_mut(key) else { return };
        sub.due = false;
        // All of a list is exempt from pacing (DECISIONS 28), in however many parts it is told.
        let old = &sub.progress;
        let all = old.whole || body.is_some_and(|body| body.progress.members > old.members);
        if !(old.form == Form::List && all) {
            sub.told = ctx.now;
        }
        sub.version += u32::from(body.is_some());
        ctx.timers.disarm(core::mem::take(&mut sub.paced));
        let left = sub.expires_at.since(ctx.now);
        let end = sub.end.or(left.is_zero().then_some(End::Timeout));
        // Nobody is there to be told. A refresh by another connection brings the newest state.
        if sub.dialog.is_cut_off(ctx) {
            sub.progress.whole = true;
            return if end.is_some() {
                self.remove(ctx, key)
            };
        }
        let mut arena = ctx.out.lend();
        let (mut writer, addressed) = sub.dialog.request(ctx, &mut arena, Method::Notify);
        writer.prepared(&ctx.settings.agent_line);
        writer.header(Header::Event, &sub.event);
        let pending = sub.standing == Standing::Pending;
        writer.value(Header::SubscriptionState, |value| match end {
            Some(End::Timeout) => value.literal("terminated;reason=timeout"),
            Some(End::NoResource) => value.literal("terminated;reason=noresource"),
            Some(End::Deactivated) => value.literal("terminated;reason=deactivated"),
            Some(End::Probation(seconds)) => {
                value.literal("terminated;reason=probation;retry-after=");
                value.number(u64::from(seconds));
            }
            None => {
                value.literal(if pending { "pending;expires=" } else { "active;expires=" });
                value.number(left.as_secs() + u64::from(left.subsec_nanos() > 0));
            }
        });
        if sub.progress.form == Form::List {
            writer.header(Header::Require, EVENTLIST.as_bytes());
        }
        if let Some(body) = body {
            writer.body(body.kind.as_bytes(), body.bytes);
        }
        let payload = writer.finish();
        ctx.out.restore(arena);
        ctx.stats.count(Counter::Notified);
        let usage = Usage::Notify(key.to_bits());
        let sent =
            txn.send_after(ctx, &addressed.to, Method::Notify, usage, &addressed.branch, payload, after);
        match (sent, end) {
            (_, Some(_)) => self.remove(ctx, key),
            (Ok(_), None) => {
                if let Some(sub) = self.store.get_mut(key) {
                    sub.in_flight = true;
                    // What follows waits for the answer.
                    sub.due |= body.is_some_and(|body| body.more);
                    sub.progress = body.map_or(sub.progress, |body| body.progress);
                }
            }
            // No room for one more transaction: this state is lost, and the next one is not.
            (Err(_), None) => {
                ctx.stats.count(Counter::Overload);
                if let Some(sub) = self.store.get_mut(key) {
                    sub.progress.whole = true;
                }
            }
        }
    }

    /// Our NOTIFY was answered.
    pub(crate) fn on_response(&mut self, ctx: &mut Ctx<'_>, bits: u64, status: u16) {
        let key = SubscriptionKey::from_bits(bits);
        // RFC 6665 s4.2.2.
        let fatal = matches!(status, 404 | 405 | 410 | 416 | 480..=485 | 489 | 501 | 604);
        if status >= 300 {
            self.not_taken(key);
        }
        if status >= 200 {
            self.answered(ctx, key, fatal);
        }
    }

    /// Our NOTIFY was not answered, or cannot be sent.
    pub(crate) fn on_failure(&mut self, ctx: &mut Ctx<'_>, bits: u64, what: ClientFailure) {
        let key = SubscriptionKey::from_bits(bits);
        let cut_off = self.store.get(key).is_some_and(|sub| sub.dialog.is_cut_off(ctx));
        // RFC 6665 s4.2.2 says SHOULD: one lost packet can cost a phone its lamps until it subscribes anew.
        let silent = what != ClientFailure::Unsaved;
        if let Some(sub) = self.store.get_mut(key).filter(|_| !silent) {
            sub.due = true;
            // RFC 3261 s12.2.1.1: its number is the next one's.
            if sub.in_flight {
                sub.dialog.take_back();
            }
        }
        let fatal = silent && !ctx.settings.events.keep_silent && !cut_off;
        self.not_taken(key);
        self.answered(ctx, key, fatal);
    }

    fn answered(&mut self, ctx: &mut Ctx<'_>, key: SubscriptionKey, fatal: bool) {
        let Some(sub) = self.store.get_mut(key) else { return };
        sub.in_flight = false;
        if fatal {
            ctx.stats.count(Counter::SubscriptionsLost);
            return self.remove(ctx, key);
        }
        if core::mem::take(&mut sub.due) {
            self.mark(ctx, key);
        }
    }

    /// A subscription's time is up: its last NOTIFY is due.
    pub(crate) fn on_expiry(&mut self, ctx: &mut Ctx<'_>, bits: u64) {
        let key = SubscriptionKey::from_bits(bits);
        let Some(sub) = self.store.get_mut(key) else { return };
        sub.timer = TimerKey::NONE;
        sub.end = sub.end.or(Some(End::Timeout));
        // What is in flight is overtaken: nothing may follow the end.
        sub.in_flight = false;
        sub.due = false;
        sub.progress.whole = true;
        self.mark(ctx, key);
    }

    /// Resources that lost their last watcher since the last call.
    pub(crate) fn take_unwatched(&mut self) -> Vec<(Package, Box<str>)> {
        core::mem::take(&mut self.unwatched)
    }

    /// We go away: every subscription ends, and its subscriber shall come back after a while (DECISIONS 20).
    pub(crate) fn end_all(&mut self, ctx: &mut Ctx<'_>) {
        for key in self.store.all() {
            let spread = ctx.ids.below(IdKind::Jitter, 90) as u32;
            if let Some(sub) = self.store.get_mut(key) {
                sub.end = Some(End::Probation(30 + spread));
                sub.in_flight = false;
                sub.due = false;
            }
            self.mark(ctx, key);
        }
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
        if let Some((sub, unwatched)) = self.store.remove(&self.hash, key) {
            ctx.timers.disarm(sub.timer);
            ctx.timers.disarm(sub.paced);
            ctx.stats.count(Counter::Unsubscribed);
            Events::unsave(ctx, &sub);
            let step = match sub.end {
                Some(End::Timeout | End::NoResource | End::Deactivated) => SubscriptionStep::Ended,
                Some(End::Probation(_)) => SubscriptionStep::SentAway,
                None => SubscriptionStep::Lost,
            };
            match unwatched {
                Some(name) => {
                    self.note_step(&sub, &name, step);
                    self.note_watchers(sub.package, sub.progress.form, &name);
                    self.unwatched.push((sub.package, name));
                }
                None => {
                    let name: Box<str> = self.store.name(sub.resource).into();
                    self.note_step(&sub, &name, step);
                    self.note_watchers(sub.package, sub.progress.form, &name);
                }
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
