//! Messages of user agents: RFC 3428. Of several to the same address one is on its way at a time (s8).

use std::collections::VecDeque;

use super::standing::Waiting;
use super::{Kit, UaKey, Uas, check_kind, check_size, lossy, sip};
use crate::base::Key;
use crate::ctx::{Origin, Refusal};
use crate::dialog::{DATAGRAM, Dialog};
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
    /// It went over a connection for its size.
    by_stream: bool,
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
            by_stream: false,
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
        // RFC 3428 s8: what is large goes where the network can say that it is too much.
        let mut to = *to;
        if text.body.len() > DATAGRAM - 600 && !to.transport.is_reliable() && !text.by_stream {
            let near = to;
            match ctx.connect(&near, near.remote) {
                Some(stream) => (to, text.by_stream) = (stream, true),
                None => ctx.stats.count(Counter::LargeDatagrams),
            }
        }
        let (own, whom) = (ua.account.aor.as_bytes(), text.to.as_bytes());
        let known = text.dialog.take().map(|mut dialog| {
            dialog.go_by(ctx, &to);
            dialog
        });
        let dialog =
            known.or_else(|| Dialog::inviting(ctx, &to, own, whom, whom).map(|dialog| dialog.routed(routes)));
        let Some(mut dialog) = dialog else { return self.sent(kit, key, 503) };
        dialog.advance();
        let what = (dialog.target(), &text.body[..]);
        let proof = text.proofs.headers(ctx, &to, &ua.means(), Method::Message.as_str(), what);
        let mut arena = ctx.out.lend();
        let manner = ua.manner();
        let way = dialog.straight();
        let (mut writer, addressed) = dialog.request_as(ctx, &mut arena, Method::Message, &way, &manner);
        writer.prepared(&ctx.settings.agent_line);
        for (header, value) in &proof {
            writer.header(*header, value.as_bytes());
        }
        writer.body(text.kind.as_bytes(), &text.body);
        let payload = writer.finish();
        ctx.out.restore(arena);
        text.dialog = Some(dialog);
        let usage = Usage::UaText(key.to_bits());
        let sent = kit.txn.send(kit.ctx, &addressed.to, Method::Message, usage, &addressed.branch, payload);
        if sent.is_err() {
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
        let key = Key::from_bits(bits);
        let Some(text) = self.texts.get(key) else { return };
        let refused = matches!(what, ClientFailure::Refused | ClientFailure::Unreachable);
        // RFC 3261 s18.1.1: by datagrams after all.
        if refused
            && text.by_stream
            && text.tries < TRIES
            && let Some((to, routes)) = self.list.get(text.ua).and_then(|ua| ua.way(kit.ctx))
            && !to.transport.is_reliable()
        {
            let routes = routes.to_vec();
            if let Some(text) = self.texts.get_mut(key) {
                text.tries += 1;
            }
            return self.send_text(kit, key, &to, &routes);
        }
        self.sent(kit, key, if refused { 503 } else { 408 });
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
            from: lossy(ess.from.uri.raw()),
            display: lossy(ess.from.display.unwrap_or_default()),
            kind: lossy(kind),
            body: msg.body().into(),
        };
        self.tell(key, step);
        Ok(())
    }
}
