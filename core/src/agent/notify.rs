//! NOTIFY as it comes in: RFC 6665 s4.1.3.

use core::time::Duration;

use super::send::refresh_at;
use super::{Agent, Does, Step, TaskKey, Told, What};
use crate::ctx::{Ctx, Origin, Refusal};
use crate::txn::Transactions;
use crate::wire::{Essentials, Event, Header, Message, Status, SubState, SubscriptionState};

/// What a NOTIFY that was answered 200 brings.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Heard(TaskKey);

impl Agent {
    /// True if a NOTIFY is of a dialog of ours, whatever its Event.
    pub(crate) fn has(&self, ess: &Essentials<'_>) -> bool {
        self.find(ess).is_some()
    }

    fn find(&self, ess: &Essentials<'_>) -> Option<TaskKey> {
        let key = *self.by_call.get(ess.call_id)?;
        let task = self.tasks.get(key)?;
        (matches!(task.what, What::Subscription) && task.dialog.may_have(ess)).then_some(key)
    }

    /// Checks a NOTIFY: 481, 489, 400 for what is none of ours, 500 for what was overtaken. Nothing is changed if it is
    /// refused.
    pub(crate) fn accept(
        &mut self,
        ctx: &Ctx<'_>,
        origin: &Origin,
        msg: Message<'_>,
        ess: &Essentials<'_>,
    ) -> Result<Heard, Refusal> {
        let key = self.find(ess).ok_or(Refusal::plain(Status::NO_TRANSACTION))?;
        let task = self.tasks.get_mut(key).ok_or(Refusal::plain(Status::NO_TRANSACTION))?;
        let event = msg.header(Header::Event).and_then(|value| Event::parse(value).ok());
        let own = Event::parse(task.wish.event.as_bytes()).ok();
        if !event.zip(own).is_some_and(|(event, own)| event.matches(&own)) {
            return Err(Refusal::plain(Status::BAD_EVENT));
        }
        let state = msg.header(Header::SubscriptionState);
        if state.is_none_or(|value| SubscriptionState::parse(value).is_err()) {
            return Err(Refusal::because(Status::BAD_REQUEST, "Missing or Malformed Subscription-State"));
        }
        task.dialog.check_peer(ctx, origin)?;
        task.dialog.learn_of_request(msg, ess)?;
        Ok(Heard(key))
    }

    /// Takes what an accepted NOTIFY says, once it is answered.
    pub(crate) fn hear(&mut self, ctx: &mut Ctx<'_>, txn: &mut Transactions, heard: Heard, msg: Message<'_>) {
        let Heard(key) = heard;
        let Some(task) = self.tasks.get_mut(key) else { return };
        let Some(Ok(state)) = msg.header(Header::SubscriptionState).map(SubscriptionState::parse) else {
            return;
        };
        task.notified = true;
        if !task.leaving {
            ctx.timers.disarm(core::mem::take(&mut task.first));
        }
        let id = task.wish.id;
        if !msg.body().is_empty() {
            let kind = String::from_utf8_lossy(msg.header(Header::ContentType).unwrap_or_default());
            let (kind, body) = (kind.into_owned().into(), msg.body().into());
            let active = state.state != SubState::Pending;
            self.told.push(Told { id, step: Step::Notified { active, kind, body } });
        }
        if state.state != SubState::Terminated {
            // RFC 6665 s4.1.3: the notifier may shorten it.
            if let Some(expires) = state.expires().filter(|_| !task.leaving) {
                let at = ctx.now + refresh_at(ctx, expires);
                if ctx.timers.deadline(task.timer).is_none_or(|armed| armed > at) {
                    self.arm(ctx, key, at);
                }
            }
            return;
        }
        let reason = String::from_utf8_lossy(state.reason().unwrap_or_default()).into_owned();
        if task.leaving {
            return self.over(ctx, key, "");
        }
        let wait = state.retry_after().map(|seconds| Duration::from_secs(seconds.into()));
        match reason.to_ascii_lowercase().as_str() {
            "rejected" | "noresource" | "invariant" => self.over(ctx, key, &reason),
            "deactivated" | "timeout" => {
                self.renew(ctx, key);
                self.wish(ctx, txn, key, Does::State);
            }
            _ => {
                self.renew(ctx, key);
                self.interrupt(ctx, key, &reason, wait);
            }
        }
    }
}
