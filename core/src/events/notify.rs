//! The NOTIFY of a subscription: how it is written, and what its answer means. RFC 6665 s4.2.2, RFC 5057 s5.1.
//!
//! | NOTIFY answered with | subscription |
//! |---|---|
//! | 2xx | goes on; if something changed meanwhile, again |
//! | 405, 480, 481, 489, 501 | removed; others in the dialog stay |
//! | 404, 410, 416, 482 to 485, 604 | removed with all others in the dialog |
//! | 408, 5xx, or anything with Retry-After | goes on; the newest state follows after a while |
//! | any other error | goes on; this state is not repeated |
//! | nothing in time | removed, or goes on ([`EventsConfig::keep_silent`](crate::config::EventsConfig)) |
//!
//! A while is what Retry-After says, else five seconds, twice that after each further failure, ten minutes at most.

use core::time::Duration;

use bytes::Bytes;

use super::rates::Rates;
use super::{Body, Due, EVENTLIST, End, Events, Form, Standing, Subscription, SubscriptionKey};
use crate::ctx::{Ctx, Locate, Timer};
use crate::dialog::{Addressed, DATAGRAM, Dialog, Way};
use crate::stats::Counter;
use crate::txn::{ClientFailure, Transactions, Usage};
use crate::wire::{Event, Header, Method, Value};

/// Between a failure and the next try.
const FIRST_WAIT: Duration = Duration::from_secs(5);
/// Between a failure and the next try, however many there were.
const LONGEST_WAIT: Duration = Duration::from_secs(600);

/// After there was no room for a transaction.
const FULL_WAIT: Duration = Duration::from_millis(100);

/// What the end of a NOTIFY transaction means.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Effect {
    /// The state was taken.
    Taken,
    /// It was not, and will not be.
    Refused,
    /// It was not, and may be later.
    Later(Option<u32>),
    /// The subscription is gone.
    Gone,
    /// The dialog is gone, and all subscriptions in it.
    DialogGone,
}

fn effect(status: u16, retry_after: Option<u32>) -> Effect {
    match status {
        ..300 => Effect::Taken,
        405 | 480 | 481 | 489 | 501 => Effect::Gone,
        404 | 410 | 416 | 482..=485 | 604 => Effect::DialogGone,
        408 | 500..=599 => Effect::Later(retry_after),
        _ if retry_after.is_some() => Effect::Later(retry_after),
        _ => Effect::Refused,
    }
}

impl Events {
    /// Sends the NOTIFY that is due. A subscription whose time is over ends with it (RFC 6665 s4.4.1).
    pub(crate) fn notify(
        &mut self,
        ctx: &mut Ctx<'_>,
        txn: &mut Transactions,
        phones: &dyn Locate,
        due: &Due,
        body: Option<Body<'_>>,
    ) {
        let key = due.key;
        self.reserve(ctx, key);
        let after = body.and_then(|body| body.after);
        let Some((sub, shared)) = self.store.both_mut(key) else { return };
        (sub.due, sub.urgent) = (false, false);
        // All of a list is exempt from pacing (DECISIONS 28), in however many parts it is told.
        let old = &sub.progress;
        let all = old.whole || body.is_some_and(|body| body.progress.members > old.members);
        if !(old.form == Form::List && all) {
            sub.told = ctx.now;
        }
        ctx.timers.disarm(core::mem::take(&mut sub.paced));
        let left = sub.expires_at.since(ctx.now);
        let end = sub.end.or(left.is_zero().then_some(End::Timeout));
        let Some(way) = shared.dialog.way(ctx, phones, &shared.watcher) else {
            // Nobody is there to be told. A refresh by another connection brings the newest state.
            sub.progress.whole = true;
            return if end.is_some() {
                self.remove(ctx, key)
            };
        };
        sub.version += u32::from(body.is_some());
        shared.dialog.advance();
        sub.number = shared.dialog.cseq();
        let (mut payload, mut addressed) = write(ctx, sub, &shared.dialog, &way, (left, end), body);
        sub.detour = false;
        if payload.len() > DATAGRAM && !addressed.to.transport.is_reliable() {
            match shared.dialog.way_by_stream(ctx, phones, &shared.watcher, (way, end.is_some())) {
                Some(way) => {
                    (payload, addressed) = write(ctx, sub, &shared.dialog, &way, (left, end), body);
                    sub.detour = true;
                }
                None => ctx.stats.count(Counter::LargeDatagrams),
            }
        }
        sub.by = addressed.to.flow;
        ctx.stats.count(Counter::Notified);
        let usage = Usage::Notify(key.to_bits());
        let sent =
            txn.send_after(ctx, &addressed.to, Method::Notify, usage, &addressed.branch, payload, after);
        match (sent, end) {
            (Ok(_), Some(_)) => self.remove(ctx, key),
            (Ok(_), None) => {
                sub.repeat(ctx, key);
                sub.in_flight = true;
                // What follows waits for the answer.
                sub.due |= body.is_some_and(|body| body.more);
                sub.progress = body.map_or(sub.progress, |body| body.progress);
            }
            // No room for one more transaction: it is tried again when some have ended.
            (Err(_), _) => {
                ctx.stats.count(Counter::Overload);
                sub.progress.whole = true;
                self.blocked = ctx.now + FULL_WAIT;
                self.mark(ctx, key);
            }
        }
    }

    /// Our NOTIFY was answered; `retry_after` are the seconds of Retry-After.
    pub(crate) fn on_response(
        &mut self,
        ctx: &mut Ctx<'_>,
        bits: u64,
        status: u16,
        retry_after: Option<u32>,
    ) {
        let key = SubscriptionKey::from_bits(bits);
        if status >= 300 {
            self.not_taken(key);
        }
        if status >= 200 {
            self.answered(ctx, key, effect(status, retry_after));
        }
    }

    /// Our NOTIFY was not answered, or cannot be sent.
    pub(crate) fn on_failure(&mut self, ctx: &mut Ctx<'_>, bits: u64, what: ClientFailure) {
        let key = SubscriptionKey::from_bits(bits);
        let Some(sub) = self.store.get_mut(key) else { return };
        let unsent = matches!(what, ClientFailure::Unreachable | ClientFailure::Refused);
        if what == ClientFailure::Refused && sub.standing != Standing::Pending {
            // Nobody has seen the document of this number.
            sub.version = sub.version.saturating_sub(1);
        }
        let Some((sub, shared)) = self.store.both_mut(key) else { return };
        let effect = if what == ClientFailure::Unsaved {
            sub.due = true;
            if sub.in_flight {
                shared.dialog.take_back(sub.number);
            }
            Effect::Refused
        } else if core::mem::take(&mut sub.detour) {
            // RFC 3261 s18.1.1: where TCP is refused, UDP is tried.
            shared.dialog.stream_failed();
            sub.due = true;
            Effect::Refused
        } else if unsent && shared.dialog.is_cut_off(ctx) {
            Effect::Later(None)
        } else if unsent && shared.dialog.stream().is_some_and(|flow| flow != sub.by) {
            // The peer has come back by another connection meanwhile.
            sub.due = true;
            Effect::Refused
        } else if ctx.settings.events.keep_silent {
            Effect::Refused
        } else {
            // RFC 6665 s4.2.2 says SHOULD: one lost packet can cost a phone its lamps until it subscribes anew.
            Effect::Gone
        };
        self.not_taken(key);
        self.answered(ctx, key, effect);
    }

    fn answered(&mut self, ctx: &mut Ctx<'_>, key: SubscriptionKey, effect: Effect) {
        let Some(sub) = self.store.get_mut(key) else { return };
        sub.in_flight = false;
        match effect {
            Effect::Taken | Effect::Refused => sub.failures = 0,
            // The last NOTIFY comes at once, to be the last thing tried.
            Effect::Later(_) if sub.end.is_some() => {}
            Effect::Later(after) => {
                let doubled = FIRST_WAIT * (1 << sub.failures.min(7));
                let wait =
                    after.map_or(doubled.min(LONGEST_WAIT), |s| Duration::from_secs(u64::from(s.max(1))));
                sub.failures = sub.failures.saturating_add(1);
                (sub.due, sub.urgent) = (false, false);
                if sub.paced.is_none() {
                    sub.paced = ctx.timers.arm(ctx.now + wait, Timer::SubscriptionPaced(key.to_bits()));
                }
                return;
            }
            Effect::Gone => return self.lose(ctx, key),
            Effect::DialogGone => {
                return self.store.beside(key).into_iter().for_each(|key| self.lose(ctx, key));
            }
        }
        let urgent = sub.urgent || sub.end.is_some();
        if core::mem::take(&mut sub.due) {
            sub.urgent = false;
            match urgent {
                true => self.mark(ctx, key),
                false => self.mark_change(ctx, key),
            }
        }
    }

    /// RFC 6446 s9.3: a 2xx may bring other rates.
    pub(crate) fn on_event(&mut self, ctx: &mut Ctx<'_>, bits: u64, event: &Event<'_>) {
        let key = SubscriptionKey::from_bits(bits);
        let fits = |sub: &Subscription| event.package == sub.package.name().as_bytes() && sub.end.is_none();
        // Some repeat their Event without a thought.
        let asks = [&b"max-rate"[..], b"min-rate", b"adaptive-min-rate"];
        if asks.iter().any(|name| event.params.contains(name)) && self.store.get(key).is_some_and(fits) {
            self.agree(ctx, key, event);
            if let Some(sub) = self.store.get_mut(key) {
                sub.repeat(ctx, key);
            }
        }
    }

    fn lose(&mut self, ctx: &mut Ctx<'_>, key: SubscriptionKey) {
        ctx.stats.count(Counter::SubscriptionsLost);
        self.remove(ctx, key);
    }
}

impl Subscription {
    /// It is told now, and again after its own time if nothing changes.
    fn repeat(&mut self, ctx: &mut Ctx<'_>, key: SubscriptionKey) {
        let Some(rates) = &mut self.rates else { return };
        ctx.timers.disarm(core::mem::take(&mut rates.repeat));
        if let Some(after) = rates.told(ctx.now) {
            rates.repeat = ctx.timers.arm(ctx.now + after, Timer::SubscriptionRepeat(key.to_bits()));
        }
    }
}

/// The request as it goes this way.
fn write(
    ctx: &mut Ctx<'_>,
    sub: &Subscription,
    dialog: &Dialog,
    way: &Way<'_>,
    (left, end): (Duration, Option<End>),
    body: Option<Body<'_>>,
) -> (Bytes, Addressed) {
    let mut arena = ctx.out.lend();
    let (mut writer, addressed) = dialog.request(ctx, &mut arena, Method::Notify, way);
    writer.prepared(&ctx.settings.agent_line);
    writer.value(Header::Event, |value| write_event(value, sub.package.name(), &sub.event_id));
    writer.value(Header::SubscriptionState, |value| {
        write_state(value, sub.standing, sub.rates.as_deref(), (left, end))
    });
    if sub.progress.form == Form::List {
        writer.header(Header::Require, EVENTLIST.as_bytes());
    }
    if let Some(body) = body {
        writer.body(body.kind.as_bytes(), body.bytes);
    }
    let payload = writer.finish();
    ctx.out.restore(arena);
    (payload, addressed)
}

/// The package, and the `id` of the subscription within its dialog, if it has one.
fn write_event(value: &mut Value<'_>, package: &'static str, id: &[u8]) {
    value.literal(package);
    if !id.is_empty() {
        value.literal(";id=");
        value.text(id);
    }
}

/// The state, and how long it lasts, or why it has ended.
fn write_state(
    value: &mut Value<'_>,
    standing: Standing,
    rates: Option<&Rates>,
    (left, end): (Duration, Option<End>),
) {
    match end {
        Some(End::Timeout) => value.literal("terminated;reason=timeout"),
        Some(End::Rejected) => value.literal("terminated;reason=rejected"),
        Some(End::Deactivated) => value.literal("terminated;reason=deactivated"),
        Some(End::NoResource) => value.literal("terminated;reason=noresource"),
        Some(End::Probation(seconds)) => {
            value.literal("terminated;reason=probation;retry-after=");
            value.number(u64::from(seconds));
        }
        None => {
            let pending = standing == Standing::Pending;
            value.literal(if pending { "pending;expires=" } else { "active;expires=" });
            value.number(left.as_secs() + u64::from(left.subsec_nanos() > 0));
            if let Some(rates) = rates {
                rates.write(value);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::base::Time;
    use crate::wire::{SubState, SubscriptionState};
    use crate::written::value;

    proptest! {
        #[test]
        fn event_and_subscription_state_read_as_they_were_meant(
            id in "[a-z0-9.-]{0,8}",
            left in 0..u64::from(u32::MAX),
            pending in any::<bool>(),
            end in proptest::option::of(prop_oneof![
                Just(End::Timeout), Just(End::Rejected), Just(End::Deactivated), Just(End::NoResource),
                any::<u32>().prop_map(End::Probation)]),
            rate in proptest::option::of((1..99_u64, 0..10_000_000_000_u64)),
        ) {
            let text = value(|value| write_event(value, "presence.winfo", id.as_bytes()));
            let event = Event::parse(&text).expect("well-formed");
            prop_assert_eq!(event.package, b"presence.winfo");
            prop_assert_eq!(event.id().unwrap_or_default(), id.as_bytes());

            let asked = rate.map(|(whole, places)| format!("presence;min-rate={whole}.{places:010}"));
            let far = (Duration::ZERO, Duration::from_nanos(1));
            let rates = asked.as_ref().and_then(|text| {
                let event = Event::parse(text.as_bytes()).expect("well-formed");
                Rates::of(&event, Time::from_secs(1_000), Duration::from_secs(600), far)
            });
            let standing = if pending { Standing::Pending } else { Standing::Active };
            let text = value(|value| {
                write_state(value, standing, rates.as_ref(), (Duration::from_secs(left), end));
            });
            let state = SubscriptionState::parse(&text).expect("well-formed");
            let (reason, retry) = match end {
                None => (None, None),
                Some(End::Timeout) => (Some(&b"timeout"[..]), None),
                Some(End::Rejected) => (Some(&b"rejected"[..]), None),
                Some(End::Deactivated) => (Some(&b"deactivated"[..]), None),
                Some(End::NoResource) => (Some(&b"noresource"[..]), None),
                Some(End::Probation(seconds)) => (Some(&b"probation"[..]), Some(seconds)),
            };
            prop_assert_eq!((state.reason(), state.retry_after()), (reason, retry));
            let (expected, expires) = match end {
                Some(_) => (SubState::Terminated, None),
                None if pending => (SubState::Pending, Some(left as u32)),
                None => (SubState::Active, Some(left as u32)),
            };
            prop_assert_eq!((state.state, state.expires()), (expected, expires));
            // What is granted is what was asked for, read again as a wish.
            if let (None, Some(asked)) = (end, asked) {
                let granted = state.params.value(b"min-rate").map(|rate| rate.escape_ascii().to_string());
                let decimal = |text: &str| text.trim_end_matches('0').trim_end_matches('.').to_owned();
                let wanted = asked.split('=').nth(1).map(decimal);
                prop_assert_eq!(granted.map(|text| if text.contains('.') { decimal(&text) } else { text }), wanted);
            }
        }
    }

    #[test]
    fn an_answer_ends_the_subscription_the_dialog_or_neither() {
        let of = |wanted: Effect| (200..700).filter(move |status| effect(*status, None) == wanted);
        assert!(of(Effect::Gone).eq([405, 480, 481, 489, 501]));
        assert!(of(Effect::DialogGone).eq([404, 410, 416, 482, 483, 484, 485, 604]));
        assert!(of(Effect::Taken).eq(200..300));
        assert_eq!(of(Effect::Later(None)).count(), 100);
        assert_eq!(effect(603, Some(9)), Effect::Later(Some(9)));
        assert_eq!(effect(481, Some(9)), Effect::Gone);
    }
}
