//! Messages of user agents: RFC 3428. Of several to the same address one is on its way at a time (s8).

use std::collections::VecDeque;

use super::standing::Waiting;
use super::{Kit, UaKey, Uas, check_kind, check_size, sip};
use crate::agent::{send, wants_stream};
use crate::base::Key;
use crate::base::text::owned;
use crate::ctx::{Ctx, Origin, Refusal};
use crate::dialog::{Dialog, Way};
use crate::door::{UaRefusal, UaStep};
use crate::proof::Proofs;
use crate::stats::Counter;
use crate::txn::{ClientFailure, Usage};
use crate::wire::{Essentials, Message, Method, Status};

/// Tries of one message with other credentials.
const TRIES: u8 = 4;

/// One message that was not answered.
#[derive(Clone, Debug)]
pub(crate) struct Text {
    ua: UaKey,
    number: u64,
    to: Box<str>,
    kind: Box<str>,
    body: Box<[u8]>,
    dialog: Option<Dialog>,
    proofs: Proofs,
    tries: u8,
}

/// Messages to one address: the first is on its way.
pub(super) type Lane = VecDeque<Key<Text>>;

impl Uas {
    pub(super) fn write(
        &mut self,
        kit: &mut Kit<'_, '_>,
        key: UaKey,
        to: Box<str>,
        kind: Box<str>,
        body: Box<[u8]>,
    ) -> Result<u64, UaRefusal> {
        sip(&to)?;
        check_kind(&kind)?;
        check_size(kit.ctx, &body)?;
        let number = self.next();
        let ua = self.list.get_mut(key).filter(|ua| !ua.closing).ok_or(UaRefusal::Unknown)?;
        if ua.messages >= kit.ctx.settings.limits.per_user_agent {
            return Err(UaRefusal::Full);
        }
        ua.messages += 1;
        let lane = (key, to.clone());
        let text = self.texts.insert(Text {
            ua: key,
            number,
            to,
            kind,
            body,
            dialog: None,
            proofs: Proofs::default(),
            tries: 0,
        });
        let lane = self.lanes.entry(lane).or_default();
        lane.push_back(text);
        if lane.len() == 1 {
            self.start(kit, key, Waiting::Text(text));
        }
        Ok(number)
    }

    pub(super) fn send_text(&mut self, kit: &mut Kit<'_, '_>, key: Key<Text>, to: &Origin, routes: &[u8]) {
        let Some(text) = self.texts.get_mut(key) else { return };
        let Some(ua) = self.list.get(text.ua) else { return };
        let ctx = &mut *kit.ctx;
        let (own, whom) = (ua.account.aor.as_bytes(), text.to.as_bytes());
        let known = text.dialog.take().map(|mut dialog| {
            dialog.go_by(ctx, to);
            dialog
        });
        let dialog =
            known.or_else(|| Dialog::inviting(ctx, to, own, whom, whom).map(|dialog| dialog.routed(routes)));
        let Some(mut dialog) = dialog else { return self.sent(kit, key, 503) };
        dialog.advance();
        let what = (dialog.target(), &text.body[..]);
        let proof = text.proofs.headers(ctx, to, &ua.means(), Method::Message.as_str(), what);
        let write = |ctx: &mut Ctx<'_>, way: &Way<'_>| {
            let mut arena = ctx.out.lend();
            let (mut writer, addressed) =
                dialog.request_as(ctx, &mut arena, Method::Message, way, &ua.manner());
            writer.prepared(&ctx.settings.agent_line);
            for (header, value) in &proof {
                writer.header(*header, value.as_bytes());
            }
            writer.body(text.kind.as_bytes(), &text.body);
            let payload = writer.finish();
            ctx.out.restore(arena);
            (payload, addressed)
        };
        let mut made = write(ctx, &dialog.straight());
        // RFC 3428 s8: what is large goes where the network can say that it is too much.
        if wants_stream(&made.0, &made.1) {
            match dialog.straight_by_stream(ctx) {
                Some(stream) => made = write(ctx, &stream),
                None => ctx.stats.count(Counter::LargeDatagrams),
            }
        }
        text.dialog = Some(dialog);
        let usage = Usage::UaText(key.to_bits());
        if send(kit.ctx, kit.txn, (Method::Message, usage), made).is_none() {
            self.sent(kit, key, 503);
        }
    }

    /// A message was answered.
    pub(crate) fn on_text_response(
        &mut self,
        kit: &mut Kit<'_, '_>,
        bits: u64,
        status: u16,
        msg: Message<'_>,
    ) {
        let key = Key::from_bits(bits);
        let Some(text) = self.texts.get_mut(key) else { return };
        if status < 200 {
            return;
        }
        text.tries += 1;
        if matches!(status, 401 | 407)
            && text.tries < TRIES
            && let Some(ua) = self.list.get(text.ua)
            && let Some(to) = text.dialog.as_ref().map(|dialog| dialog.straight().to())
            && text.proofs.learn(msg, &to, &ua.means(), false)
        {
            return self.send_text(kit, key, &to, b"");
        }
        self.sent(kit, key, status);
    }

    /// It was not.
    pub(crate) fn on_text_failure(&mut self, kit: &mut Kit<'_, '_>, bits: u64, what: ClientFailure) {
        // RFC 3261 s8.1.3.1.
        let status = if what == ClientFailure::TimedOut { 408 } else { 503 };
        self.sent(kit, Key::from_bits(bits), status);
    }

    /// It is over with one; the next to the same address follows.
    fn sent(&mut self, kit: &mut Kit<'_, '_>, key: Key<Text>, status: u16) {
        let Some((whose, next)) = self.over(key, status) else { return };
        if let Some(next) = next {
            self.start(kit, whose, Waiting::Text(next));
        }
        self.finish(kit.ctx, whose);
    }

    fn over(&mut self, key: Key<Text>, status: u16) -> Option<(UaKey, Option<Key<Text>>)> {
        let text = self.texts.remove(key)?;
        let (whose, id) = (text.ua, text.number);
        if let Some(ua) = self.list.get_mut(whose) {
            ua.messages = ua.messages.saturating_sub(1);
        }
        self.tell(whose, UaStep::Sent { id, status });
        let lane = (whose, text.to);
        let left = self.lanes.get_mut(&lane)?;
        left.retain(|text| *text != key);
        let next = left.front().copied();
        if next.is_none() {
            self.lanes.remove(&lane);
        }
        Some((whose, next))
    }

    /// There is no way for this one, nor for those behind it.
    pub(super) fn drop_lane(&mut self, first: Key<Text>) {
        let mut next = Some(first);
        while let Some(text) = next {
            next = self.over(text, 503).and_then(|(_, next)| next);
        }
    }

    /// A message for one of them.
    pub(crate) fn on_text(
        &mut self,
        key: UaKey,
        msg: Message<'_>,
        ess: &Essentials<'_>,
    ) -> Result<(), Refusal> {
        if msg.body().is_empty() {
            return Ok(());
        }
        let kind = msg.content_type().ok_or(Refusal::because(Status::BAD_REQUEST, "Missing Content-Type"))?;
        let step = UaStep::Message {
            from: owned(ess.from.uri.raw()),
            display: ess.from.display_name(),
            kind: owned(kind),
            body: msg.body().into(),
        };
        self.tell(key, step);
        Ok(())
    }
}
