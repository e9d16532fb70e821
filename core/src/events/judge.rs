//! What a watcher may be told changes: by a decision of the presentity, or by a new configuration.

use super::{End, Events, Form, Joining, Package, Standing, Subscription, SubscriptionKey, Watcher, step_of};
use crate::ctx::Ctx;
use crate::door::{Change, SubscriptionStep};

impl Subscription {
    /// It was judged anew. Who waited and is let in is approved.
    fn stand(&mut self, standing: Standing) {
        self.approved |= self.standing == Standing::Pending && standing == Standing::Active;
        self.standing = standing;
    }
}

impl Events {
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
                sub.stand(standing);
                sub.progress.whole = true;
            }
            self.save(ctx, key);
            self.note_of(key, step_of(standing, SubscriptionStep::Allowed));
            self.mark(ctx, key);
            self.note_watchers(package, Form::Plain, resource);
        }
    }

    /// Somebody may watch nothing any more; nor will he after a restart, whether he was told or not.
    pub(crate) fn end_of_watcher(&mut self, ctx: &mut Ctx<'_>, watcher: &str) {
        if self.store.of_watcher(watcher) == 0 {
            return;
        }
        let own =
            |(key, sub, who): (_, &Subscription, &str)| (who == watcher && sub.end.is_none()).then_some(key);
        let keys: Vec<SubscriptionKey> = self.store.from(0).filter_map(own).collect();
        for key in keys {
            self.judge(ctx, key, None);
            let id = self.store.get_mut(key).map_or(0, |sub| core::mem::take(&mut sub.id));
            if id != 0 && ctx.settings.tell.changes {
                ctx.out.save(Change::RemoveSubscription { id });
            }
        }
    }

    /// The configuration changed: each subscription is judged anew, some at a time.
    pub(crate) fn unjudge(&mut self, ctx: &mut Ctx<'_>) {
        self.unjudged = self.store.all();
        self.arm_pump(ctx);
    }

    /// The next one to be judged anew: what it watches, and by whom.
    pub(crate) fn next_unjudged(&mut self) -> Option<(SubscriptionKey, Package, Joining)> {
        loop {
            let Some(key) = self.unjudged.pop() else {
                self.unjudged = Vec::new();
                return None;
            };
            let Some((sub, shared)) = self.store.both(key) else { continue };
            if sub.end.is_none() && sub.progress.form != Form::List {
                let (resource, watcher) = (self.store.name(sub.resource).into(), shared.watcher.clone());
                return Some((key, sub.package, Joining { resource, watcher, trusted: shared.trusted }));
            }
        }
    }

    /// A subscription was judged anew; `None` ends it.
    pub(crate) fn judge(&mut self, ctx: &mut Ctx<'_>, key: SubscriptionKey, standing: Option<Standing>) {
        let Some(sub) = self.store.get_mut(key) else { return };
        if standing == Some(sub.standing) {
            return;
        }
        sub.progress.whole = true;
        match standing {
            Some(standing) => sub.stand(standing),
            None => sub.end = Some(End::Rejected),
        }
        let (package, form, name) = (sub.package, sub.progress.form, sub.resource);
        if let Some(standing) = standing {
            self.note_of(key, step_of(standing, SubscriptionStep::Allowed));
        }
        self.save(ctx, key);
        let resource: Box<str> = self.store.name(name).into();
        self.note_watchers(package, form, &resource);
        self.mark_change(ctx, key);
    }
}
