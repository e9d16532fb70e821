//! REGISTER, SUBSCRIBE and PUBLISH on their way out, and what their answers mean.

use core::time::Duration;

use super::{Agent, Does, Learned, Step, Task, TaskKey, Told, What};
use crate::base::ids::IdKind;
use crate::base::text::clamp_u32;
use crate::ctx::{Ctx, Origin, Timer};
use bytes::Bytes;

use crate::dialog::{Addressed, Manner, OwnAddress, Way};
use crate::stats::Counter;
use crate::txn::{ClientFailure, Transactions, Usage};
use crate::wire::{ContactValue, ExpiresParam, Header, Message, Method, Rport};

/// Tries of one request with other parameters, before it counts as refused.
const TRIES: u8 = 5;

/// Our Contact among those that a registrar says there are.
fn own_contact<'m>(msg: Message<'m>, user: &[u8]) -> Option<ContactValue<'m>> {
    let is_own =
        |contact: &ContactValue<'m>| contact.addr().is_some_and(|addr| addr.uri.user() == Some(user));
    msg.contacts().filter_map(Result::ok).find(is_own)
}

/// RFC 3261 s10.3: for how long this Contact was registered.
fn granted_to(msg: Message<'_>, user: &[u8]) -> Option<u32> {
    match own_contact(msg, user).map(|contact| contact.expires()) {
        Some(ExpiresParam::Value(seconds)) => Some(seconds),
        _ => msg.expires(),
    }
}

/// What else the 200 to a REGISTER says.
fn learned(msg: Message<'_>, user: &[u8], sent: &Origin) -> Learned {
    let mut service_route = Vec::new();
    for value in msg.values(Header::ServiceRoute) {
        service_route.extend_from_slice(if service_route.is_empty() { b"" } else { b", " });
        service_route.extend_from_slice(value);
    }
    // RFC 5627 s4.2: the parameter is a quoted URI.
    let contact = own_contact(msg, user);
    let params = contact.and_then(|contact| contact.addr().map(|addr| addr.params));
    let gruu = params.and_then(|params| params.find(b"pub-gruu")).and_then(|param| param.value());
    let seen = msg.via().ok().map(|via| {
        let port = if let Rport::Value(port) = via.rport() { port } else { sent.local.port() };
        (via.received(), port)
    });
    let moved = |(received, port): (Option<core::net::IpAddr>, u16)| {
        received.is_some_and(|ip| ip.to_canonical() != sent.local.ip().to_canonical())
            || port != sent.local.port()
    };
    Learned {
        service_route: service_route.into(),
        gruu: gruu.unwrap_or_default().into(),
        flow_timer: msg.header(Header::FlowTimer).and_then(clamp_u32),
        outbound: msg.has_token(Header::Require, b"outbound"),
        is_behind_nat: !sent.transport.is_reliable() && seen.is_some_and(moved),
    }
}

/// When what was granted is to be prolonged: at nine tenths of its time, early enough for a request that has to be
/// repeated until the end (64*T1) where there is time for that, and not together with all others that began with it.
pub(super) fn refresh_at(ctx: &mut Ctx<'_>, expires: u32) -> Duration {
    let whole = Duration::from_secs(expires.into());
    let long = ctx.settings.timers.t1 * 64;
    let latest = (whole * 9 / 10).min(whole.saturating_sub(long).max(whole / 2)).max(Duration::from_secs(1));
    let spread = u64::try_from((latest / 20).as_millis()).unwrap_or(u64::MAX);
    latest - Duration::from_millis(ctx.ids.below(IdKind::Jitter, spread))
}

impl Task {
    fn method(&self) -> Method {
        match self.what {
            What::Subscription => Method::Subscribe,
            What::Publication { .. } => Method::Publish,
            What::Registration(_) => Method::Register,
        }
    }

    /// The next request, on this way.
    fn write(
        &self,
        ctx: &mut Ctx<'_>,
        (method, does): (Method, Does),
        way: &Way<'_>,
        proof: &[(Header, String)],
        body: &[u8],
    ) -> (Bytes, Addressed) {
        let mut arena = ctx.out.lend();
        // RFC 5630 s5.1.1.1.
        let manner = Manner { sips: self.wish.account.uri.starts_with("sips:"), ..Manner::default() };
        let (mut writer, addressed) = self.dialog.request_as(ctx, &mut arena, method, way, &manner);
        writer.prepared(&ctx.settings.agent_line);
        match &self.what {
            What::Registration(registering) => {
                writer.header(Header::Allow, registering.allow.as_bytes());
                let instance = registering.instance.as_bytes();
                if !instance.is_empty() {
                    let outbound: &[u8] = b"path, outbound, gruu";
                    let tags = if registering.reg_id > 0 { outbound } else { b"path, gruu" };
                    writer.header(Header::Supported, tags);
                }
                let own = OwnAddress::towards(ctx.settings, &addressed.to);
                let user = (&*registering.contact, registering.sips);
                own.write_contact_with(&mut writer, &addressed.to, user, |value| {
                    if !instance.is_empty() {
                        // RFC 5626 s4.1.
                        value.literal(";+sip.instance=\"<");
                        value.text(instance);
                        value.literal(">\"");
                    }
                    if registering.reg_id > 0 {
                        value.literal(";reg-id=");
                        value.number(registering.reg_id.into());
                    }
                });
            }
            _ => _ = writer.header(Header::Event, self.wish.event.as_bytes()),
        }
        writer.number(Header::Expires, if does == Does::Leave { 0 } else { self.wish.expires });
        for (header, value) in proof {
            writer.header(*header, value.as_bytes());
        }
        if let What::Publication { kind, etag, .. } = &self.what {
            if let Some(etag) = etag {
                writer.header(Header::SipIfMatch, etag);
            }
            if !body.is_empty() {
                writer.body(kind.as_bytes(), body);
            }
        }
        let payload = writer.finish();
        ctx.out.restore(arena);
        (payload, addressed)
    }
}

impl Agent {
    pub(super) fn send(&mut self, ctx: &mut Ctx<'_>, txn: &mut Transactions, key: TaskKey, does: Does) {
        let Some(task) = self.tasks.get_mut(key) else { return };
        let method = task.method();
        let to = task.dialog.straight().to();
        // RFC 3903 s4.3, s4.5: refresh and removal have no body; without an entity tag it is an initial one.
        let body: &[u8] = match &task.what {
            What::Publication { document, etag, .. } if does == Does::State || etag.is_none() => document,
            _ => b"",
        };
        let mut proofs = core::mem::take(&mut task.proofs);
        let proof = proofs.headers(ctx, &to, &task.means(), method.as_str(), (task.dialog.target(), body));
        task.proofs = proofs;
        task.dialog.advance();
        let straight = task.dialog.straight();
        let mut made = task.write(ctx, (method, does), &straight, &proof, body);
        if super::wants_stream(&made.0, &made.1) {
            match task.dialog.straight_by_stream(ctx) {
                Some(stream) => made = task.write(ctx, (method, does), &stream, &proof, body),
                None => ctx.stats.count(Counter::LargeDatagrams),
            }
        }
        task.busy = Some(does);
        if task.granted && matches!(task.what, What::Registration(_)) && does != Does::Leave {
            self.told.push(Told { id: task.wish.id, step: Step::Refreshing });
        }
        if super::send(ctx, txn, (method, Usage::Agent(key.to_bits())), made).is_none() {
            self.failed(ctx, key, "503", None);
        }
    }

    /// A request of ours was not answered, or could not be sent.
    pub(crate) fn on_failure(&mut self, ctx: &mut Ctx<'_>, bits: u64, what: ClientFailure) {
        // RFC 3261 s8.1.3.1.
        let status = if what == ClientFailure::TimedOut { "408" } else { "503" };
        self.failed(ctx, TaskKey::from_bits(bits), status, None);
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
                let to = task.dialog.straight().to();
                let mut proofs = core::mem::take(&mut task.proofs);
                let learned = proofs.learn(msg, &to, &task.means(), task.tries == 1);
                task.proofs = proofs;
                if learned {
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
            // RFC 5626 s4.2.1, s11.6: the way there does not know of flows; without them it may do.
            (420 | 439, What::Registration(registering)) if may && !registering.instance.is_empty() => {
                registering.reg_id = 0;
                if status == 420 {
                    registering.instance = Box::default();
                }
                return self.send(ctx, txn, key, does);
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
        let is_registration = matches!(task.what, What::Registration(_));
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
        task.busy = None;
        task.proofs.renew();
        if task.leaving {
            return self.over(ctx, key, "");
        }
        if matches!(task.what, What::Registration(_)) {
            task.granted = false;
            task.next = None;
            ctx.timers.disarm(core::mem::take(&mut task.timer));
        }
        self.interrupt(ctx, key, reason, wait.map(|seconds| Duration::from_secs(seconds.into())));
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
            What::Registration(registering) => granted_to(msg, registering.contact.as_bytes()),
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
            What::Registration(_) => task.standing = does != Does::Leave,
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
        let learned = match &task.what {
            What::Registration(registering) => {
                let to = task.dialog.straight().to();
                Some(Box::new(learned(msg, registering.contact.as_bytes(), &to)))
            }
            _ => None,
        };
        self.told.push(Told { id: task.wish.id, step: Step::Granted { expires, first, learned } });
        let at = ctx.now + refresh_at(ctx, expires);
        self.arm(ctx, key, at);
    }
}
