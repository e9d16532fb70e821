//! SUBSCRIBE and PUBLISH on their way out, and what their answers mean.

use core::time::Duration;

use super::{AGAIN, Agent, Does, Task, TaskKey, What};
use crate::base::text::clamp_u32;
use crate::ctx::{Ctx, Timer};
use crate::dialog::OwnAddress;
use crate::door::{AgentEvent, AgentStep};
use crate::proof::Asked;
use crate::txn::{Transactions, Usage};
use crate::wire::{ContactValue, ExpiresParam, Header, Message, Method};

/// Tries of one request with other parameters, before it counts as refused.
const TRIES: u8 = 5;

/// What whoever registers may be sent.
const ALLOW: &[u8] = b"INVITE, ACK, CANCEL, BYE, OPTIONS, PRACK, UPDATE, INFO, MESSAGE, REFER";

/// RFC 3261 s10.3: for how long this Contact was registered.
fn granted_to(msg: Message<'_>, user: &[u8]) -> Option<u32> {
    let own = msg.contacts().find_map(|contact| match contact.ok()? {
        value @ ContactValue::Addr(addr) if addr.uri.user() == Some(user) => match value.expires() {
            ExpiresParam::Value(seconds) => Some(seconds),
            _ => None,
        },
        _ => None,
    });
    own.or_else(|| msg.expires())
}

impl Task {
    fn method(&self) -> Method {
        match self.what {
            What::Subscription => Method::Subscribe,
            What::Publication { .. } => Method::Publish,
            What::Registration { .. } => Method::Register,
        }
    }
}

impl Agent {
    pub(super) fn send(&mut self, ctx: &mut Ctx<'_>, txn: &mut Transactions, key: TaskKey, does: Does) {
        let Some(task) = self.tasks.get_mut(key) else { return };
        let method = task.method();
        let account = &task.wish.account;
        let proof = task.asked.as_mut().map(|asked| {
            asked.answer(ctx, (&account.username, &account.password.0), method.as_str(), task.dialog.target())
        });
        let mut arena = ctx.out.lend();
        task.dialog.advance();
        let (mut writer, addressed) = task.dialog.request(ctx, &mut arena, method, &task.dialog.straight());
        writer.prepared(&ctx.settings.agent_line);
        match &task.what {
            What::Registration { contact } => {
                writer.header(Header::Allow, ALLOW);
                OwnAddress::towards(ctx.settings, &addressed.to).write_contact_of(
                    &mut writer,
                    &addressed.to,
                    contact,
                );
            }
            _ => _ = writer.header(Header::Event, task.wish.event.as_bytes()),
        }
        writer.number(Header::Expires, if does == Does::Leave { 0 } else { task.wish.expires });
        if let Some((header, value)) = &proof {
            writer.header(*header, value.as_bytes());
        }
        if let What::Publication { kind, document, etag } = &task.what {
            if let Some(etag) = etag {
                writer.header(Header::SipIfMatch, etag);
            }
            // RFC 3903 s4.3, s4.5: refresh and removal have no body; without an entity tag it is an initial one.
            if does == Does::State || etag.is_none() {
                writer.body(kind.as_bytes(), document);
            }
        }
        let payload = writer.finish();
        ctx.out.restore(arena);
        task.busy = Some(does);
        let sent =
            txn.send(ctx, &addressed.to, method, Usage::Agent(key.to_bits()), &addressed.branch, payload);
        if sent.is_err() {
            self.failed(ctx, key, "503", None);
        }
    }

    /// A request of ours was not answered, or could not be sent.
    pub(crate) fn on_failure(&mut self, ctx: &mut Ctx<'_>, bits: u64) {
        self.failed(ctx, TaskKey::from_bits(bits), "408", None);
    }

    /// A response came.
    pub(crate) fn on_response(
        &mut self,
        ctx: &mut Ctx<'_>,
        txn: &mut Transactions,
        bits: u64,
        status: u16,
        msg: Message<'_>,
    ) {
        let key = TaskKey::from_bits(bits);
        let Some(task) = self.tasks.get_mut(key) else { return };
        // A dialog that was renewed meanwhile knows nothing of this one.
        if status < 200 || msg.header(Header::CallId) != Some(task.dialog.call_id()) {
            return;
        }
        let Some(does) = task.busy.take() else { return };
        task.tries += 1;
        let may = task.tries < TRIES;
        match (status, &mut task.what) {
            (200..=299, _) => return self.granted(ctx, txn, key, does, msg),
            (401 | 407, _) if may => {
                let answered = task.asked.is_some();
                if let Some(asked) =
                    Asked::of(msg).filter(|asked| !answered || asked.stale || task.tries == 1)
                {
                    task.asked = Some(asked);
                    return self.send(ctx, txn, key, does);
                }
            }
            (423, _) if may => {
                let least = msg.header(Header::MinExpires).and_then(clamp_u32).unwrap_or(3600);
                if task.wish.expires < least {
                    task.wish.expires = least;
                    return self.send(ctx, txn, key, does);
                }
            }
            (412, What::Publication { etag, .. }) if may => {
                // RFC 3903 s4.1: it is gone there.
                *etag = None;
                return match does {
                    Does::Leave => self.over(ctx, key, ""),
                    _ => self.send(ctx, txn, key, Does::State),
                };
            }
            (481, What::Subscription) if task.granted && !task.leaving => {
                self.renew(ctx, key);
                return self.send(ctx, txn, key, Does::State);
            }
            _ => {}
        }
        let Some(task) = self.tasks.get(key) else { return };
        if task.leaving {
            return self.over(ctx, key, "");
        }
        let reason = status.to_string();
        let is_registration = matches!(task.what, What::Registration { .. });
        let later = matches!(status, 401 | 407) && task.proven;
        if is_registration || later || status == 408 || (500..600).contains(&status) {
            let wait = msg.header(Header::RetryAfter).and_then(|v| {
                clamp_u32(v.split(|b| matches!(b, b' ' | b';' | b'(')).next().unwrap_or_default())
            });
            return self.failed(ctx, key, &reason, wait);
        }
        self.over(ctx, key, &reason);
    }

    /// It did not work now, and may later.
    fn failed(&mut self, ctx: &mut Ctx<'_>, key: TaskKey, reason: &str, wait: Option<u32>) {
        let Some(task) = self.tasks.get_mut(key) else { return };
        (task.busy, task.asked) = (None, None);
        if task.leaving {
            return self.over(ctx, key, "");
        }
        let wait = wait.map_or(AGAIN, |seconds| Duration::from_secs(seconds.into()));
        let is_registration = matches!(task.what, What::Registration { .. });
        self.interrupt(ctx, key, reason, wait);
        // Where it is may have changed: it is found out before the next attempt.
        if is_registration {
            self.remove(ctx, key);
        }
    }

    fn granted(
        &mut self,
        ctx: &mut Ctx<'_>,
        txn: &mut Transactions,
        key: TaskKey,
        does: Does,
        msg: Message<'_>,
    ) {
        let Some(task) = self.tasks.get_mut(key) else { return };
        task.tries = 0;
        let expires = match &task.what {
            What::Registration { contact } => granted_to(msg, contact.as_bytes()),
            _ => msg.expires(),
        };
        let expires = expires.unwrap_or(task.wish.expires);
        let is_subscription = matches!(task.what, What::Subscription);
        match &mut task.what {
            What::Subscription => {
                task.dialog.learn_of_response(msg);
                if !task.notified && task.first.is_none() {
                    let deadline = ctx.now + ctx.settings.timers.t1 * 64;
                    task.first = ctx.timers.arm(deadline, Timer::AgentFirst(key.to_bits()));
                }
            }
            What::Registration { .. } => {}
            What::Publication { etag, .. } => *etag = msg.header(Header::SipEtag).map(Into::into),
        }
        task.proven = true;
        let first = !core::mem::replace(&mut task.granted, true);
        if let Some(next) = task.next.take() {
            return self.send(ctx, txn, key, next);
        }
        if does == Does::Leave {
            if !is_subscription {
                return self.over(ctx, key, "");
            }
            // The last NOTIFY is waited for.
            if task.first.is_none() {
                let deadline = ctx.now + ctx.settings.timers.t1 * 64;
                task.first = ctx.timers.arm(deadline, Timer::AgentFirst(key.to_bits()));
            }
            return;
        }
        if first {
            self.told.push(AgentEvent { id: task.wish.id, step: AgentStep::Granted { expires } });
        }
        let at = ctx.now + Duration::from_millis(u64::from(expires) * 900).max(Duration::from_secs(1));
        self.arm(ctx, key, at);
    }
}
