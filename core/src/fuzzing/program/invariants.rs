//! What must hold after each step and at the end of a program.

use super::ops::Op;
use super::world::{Host, USERS};
use crate::base::Time;
use crate::door::{FlowDownReason, Input, Transmit};
use crate::wire::{self, Bounds, Layout};

impl Host {
    /// What is sent can be read; a challenge gives the nonce of the next try.
    pub(super) fn look_at(&mut self, sent: &Transmit) {
        let payload = &sent.payload[..];
        if payload == b"\r\n" || payload.first().is_some_and(|b| *b < 4) {
            return;
        }
        let mut layout = Layout::new();
        let bounds = Bounds { message_bytes: usize::MAX, headers: usize::MAX };
        let Ok(msg) = wire::parse(payload, &mut layout, &bounds) else {
            panic!("what is sent cannot be read: {:?}", String::from_utf8_lossy(payload));
        };
        let challenge =
            msg.header(wire::Header::WwwAuthenticate).and_then(|v| wire::Challenge::parse(v).ok());
        if let Some(wire::Challenge::Digest(d)) = challenge
            && let Some(nonce) = d.nonce
        {
            self.nonce = Some(String::from_utf8_lossy(nonce.raw()).trim_matches('"').to_owned());
            self.uses = 0;
        }
        // What was no CSeq in a request is none in the answer that says so.
        if msg.cseq().is_err() && matches!(msg.kind(), wire::Kind::Response { status: 400, .. }) {
            return;
        }
        self.hear(sent, msg);
        if self.rooms.have_calls() {
            self.ring(sent, msg);
        }
    }

    pub(super) fn check(&self) {
        let (sizes, settings) = (self.engine.sizes(), self.engine.settings());
        let limits = &settings.limits;
        for (what, is, most) in [
            ("bindings", sizes.bindings, limits.bindings),
            ("aors", sizes.aors, limits.aors.min(sizes.bindings)),
            ("flows", sizes.flows, limits.flows),
            ("parked", sizes.parked, limits.parked),
            ("nonces", sizes.nonces, limits.nonces),
            ("transaction bytes", sizes.transaction_bytes, limits.transaction_bytes),
            ("calls", sizes.calls, 2 * limits.calls),
            ("dialogs of calls", sizes.call_dialogs, 2 * limits.legs_per_call * sizes.calls),
            ("ways of calls", sizes.routes, sizes.calls),
            ("messages under way", sizes.messages, 2 * limits.messages_waiting * usize::from(USERS)),
            ("stored messages", sizes.stored_messages, limits.stored_messages),
            ("commands", sizes.commands, 0),
        ] {
            assert!(is <= most, "{what}: {is}, at most {most}");
        }
        if self.exact {
            assert_eq!(self.model.len(), sizes.bindings, "the changes add up to the bindings");
        }
    }

    /// Everything ends: no table and no timer is left but the listener.
    pub(super) fn end(mut self) {
        for slot in self.up.clone() {
            self.run(&Op::FlowDown { slot });
        }
        // A connection that the engine asks for now does not come up, nor does one last.
        loop {
            let opening = core::mem::take(&mut self.calling.opening).into_iter().map(|(flow, _)| flow);
            let ended = core::mem::take(&mut self.calling.debts.streams).into_iter().chain(opening);
            for flow in ended.collect::<Vec<_>>() {
                self.feed(Input::FlowDown { flow, reason: FlowDownReason::Closed });
            }
            self.settle(Time::MAX);
            if self.calling.opening.is_empty() {
                break;
            }
        }
        let sizes = self.engine.sizes();
        let left = [
            sizes.aors,
            sizes.bindings,
            sizes.transactions,
            sizes.parked,
            sizes.nonces,
            sizes.tokens,
            sizes.timers,
            sizes.subscriptions,
            sizes.publications,
            sizes.presentities,
            sizes.calls,
            sizes.call_dialogs,
            sizes.call_keys,
            sizes.media_sessions,
            sizes.routes,
            sizes.lines,
            sizes.messages,
            sizes.stored_messages,
        ];
        assert_eq!(left, [0; 18], "something is left at the end: {sizes:?}");
        assert_eq!((sizes.flows, sizes.transaction_bytes, self.engine.poll_timeout()), (1, 0, None));
        self.calling.debts.settle();
    }
}
