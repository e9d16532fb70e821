//! Whose turn it is to be notified: pacing by package (DECISIONS 28) and by the subscriber's wish (RFC 6446), then `pace`.

use core::time::Duration;

use super::{Due, Events, Form, Package, Subscription, SubscriptionKey};
use crate::base::TimerKey;
use crate::ctx::{Ctx, Timer};

impl Events {
    /// One more is due, when the last NOTIFY is long enough ago.
    pub(super) fn mark_paced(&mut self, ctx: &mut Ctx<'_>, key: SubscriptionKey) {
        let Some(sub) = self.store.get_mut(key).filter(|sub| sub.paced.is_none()) else { return };
        let pause = sub.rates.as_ref().map_or(Duration::ZERO, |rates| rates.pause());
        // Presence was paced before it came here.
        let kept = match (sub.package, sub.progress.form) {
            (Package::Presence, Form::Plain | Form::Diff) => Duration::ZERO,
            _ => sub.interval(ctx),
        };
        let next = sub.told + kept.max(pause);
        if ctx.now >= next {
            return self.mark_change(ctx, key);
        }
        sub.paced = ctx.timers.arm(next, Timer::SubscriptionPaced(key.to_bits()));
    }

    /// The last NOTIFY is long enough ago.
    pub(crate) fn on_paced(&mut self, ctx: &mut Ctx<'_>, bits: u64) {
        let key = SubscriptionKey::from_bits(bits);
        if let Some(sub) = self.store.get_mut(key) {
            sub.paced = TimerKey::NONE;
            self.mark_change(ctx, key);
        }
    }

    /// Nothing was told for as long as the subscriber wants to wait at most.
    pub(crate) fn on_repeat(&mut self, ctx: &mut Ctx<'_>, bits: u64) {
        let key = SubscriptionKey::from_bits(bits);
        let Some(sub) = self.store.get_mut(key) else { return };
        if let Some(rates) = &mut sub.rates {
            rates.repeat = TimerKey::NONE;
            // Who is told changes is told everything, for nothing may have changed.
            sub.progress.whole |= sub.progress.form != Form::Plain;
            self.mark_paced(ctx, key);
        }
    }

    /// A change is due: when its turn comes.
    pub(super) fn mark_change(&mut self, ctx: &mut Ctx<'_>, key: SubscriptionKey) {
        let Some(sub) = self.store.get_mut(key) else { return };
        if core::mem::replace(&mut sub.due, true) || sub.in_flight {
            return;
        }
        self.pace.push(ctx, key, sub.host);
        self.arm_pump(ctx);
    }

    /// What answers a SUBSCRIBE or a decision is due, or the end: before all changes.
    pub(super) fn mark(&mut self, ctx: &mut Ctx<'_>, key: SubscriptionKey) {
        let Some(sub) = self.store.get_mut(key) else { return };
        let waits = sub.due && sub.urgent;
        (sub.due, sub.urgent) = (true, true);
        if waits || sub.in_flight {
            return;
        }
        self.pace.push_urgent(key);
        self.arm_pump(ctx);
    }

    /// Whoever has a place gets his turn by the next timer.
    pub(crate) fn arm_pump(&mut self, ctx: &mut Ctx<'_>) {
        if self.pump.is_none() && !(self.pace.is_empty() && self.unjudged.is_empty()) {
            self.pump = ctx.timers.arm(ctx.now, Timer::Notifies);
        }
    }

    /// The timer of the queue has run.
    pub(crate) fn on_pump(&mut self) {
        self.pump = TimerKey::NONE;
    }

    /// A host may be sent more.
    pub(crate) fn on_share(&mut self, ctx: &mut Ctx<'_>, bits: u64) {
        let Events { pace, store, .. } = self;
        pace.on_share(ctx, bits, |key| store.get(key).is_some_and(Subscription::is_ready));
        self.arm_pump(ctx);
    }

    /// The next one to be notified.
    pub(crate) fn next_due(&mut self, ctx: &mut Ctx<'_>) -> Option<Due> {
        let Events { pace, store, .. } = self;
        let popped = match self.blocked > ctx.now {
            true => Err(Some(self.blocked)),
            false => pace.pop(ctx, |key| store.get(key).is_some_and(Subscription::is_ready)),
        };
        match popped {
            Ok(key) => {
                let sub = self.store.get(key)?;
                let Subscription { package, standing, version, progress, .. } = *sub;
                let last = sub.end.is_some() || sub.expires_at <= ctx.now;
                Some(Due { key, package, standing, version, progress, last })
            }
            Err(next) => {
                ctx.timers.disarm(core::mem::take(&mut self.pump));
                if let Some(next) = next.filter(|_| !self.pace.is_empty()) {
                    self.pump = ctx.timers.arm(next, Timer::Notifies);
                }
                None
            }
        }
    }
}
