//! Session timers of calls: RFC 4028. What is agreed, and what an answer means, is in `dialog::session_timer`.

use core::time::Duration;

use super::super::{Kit, Uas};
use super::state::{Call, Why};
use super::{Asked, CallKey, Errand, State, timer};
use crate::ctx::{Timer, UaCallTimer};
use crate::dialog::session_timer::{Next, Refresher};
use crate::wire::{Message, Method};
use bytes::Bytes;

/// Something else is under way: this long.
const SOON: Duration = Duration::from_secs(2);

fn wake(key: CallKey) -> Timer {
    timer(key, UaCallTimer::Session)
}

impl Call {
    /// Is there a request that a refresh might cross?
    fn is_busy(&self) -> bool {
        self.invite.is_some() || self.asked.is_some() || self.unacked.is_some() || self.busy.is_some()
    }
}

impl Uas {
    /// A session is to be refreshed, or was not.
    pub(super) fn on_session_timer(&mut self, kit: &mut Kit<'_, '_>, key: CallKey) {
        let Some(call) = self.calls.list.get_mut(key).filter(|call| !call.over) else { return };
        call.timer.due = None;
        let ends = call.timer.ends.is_some_and(|ends| ends <= kit.ctx.now);
        match () {
            // RFC 4028 s10.
            _ if ends || !call.timer.ours => self.lost(kit, key, 408),
            _ if call.is_busy() || call.state != State::Established => {
                call.timer.postpone(kit.ctx, wake(key), SOON);
            }
            _ => self.refresh(kit, key),
        }
    }

    /// Nobody is there any more.
    fn lost(&mut self, kit: &mut Kit<'_, '_>, key: CallKey, status: u16) {
        self.ended(key, status, true);
        self.go_on(kit, key);
    }

    fn refresh(&mut self, kit: &mut Kit<'_, '_>, key: CallKey) {
        let Some(call) = self.calls.list.get_mut(key) else { return };
        call.tries = 0;
        let says = !call.sent.is_empty();
        match call.timer.refresh(kit.ctx, wake(key), says) {
            Method::Update => self.send(kit, key, Errand::Refresh),
            _ => {
                let offer = call.sent.clone();
                self.invite(kit, key, offer, Why::Refreshes);
            }
        }
    }

    /// What became of a refresh of ours; without a message, none came.
    pub(super) fn on_refreshed(
        &mut self,
        kit: &mut Kit<'_, '_>,
        key: CallKey,
        method: Method,
        (status, msg): (u16, Option<Message<'_>>),
    ) {
        let Some(call) = self.calls.list.get_mut(key).filter(|call| !call.over) else {
            return self.go_on(kit, key);
        };
        let says = !call.sent.is_empty();
        let next = match msg {
            Some(msg) if (200..300).contains(&status) => return self.agree(kit, key, msg),
            Some(msg) => call.timer.refused(kit.ctx, wake(key), (method, says), (status, msg)),
            None if status == 408 => Next::End,
            None => {
                call.timer.put_off(kit.ctx, wake(key));
                Next::Wait
            }
        };
        match next {
            Next::Wait => self.go_on(kit, key),
            Next::Again => self.refresh(kit, key),
            Next::End => self.lost(kit, key, status),
        }
    }

    /// A 2xx to an INVITE or UPDATE of ours agrees anew.
    pub(super) fn agree(&mut self, kit: &mut Kit<'_, '_>, key: CallKey, msg: Message<'_>) {
        let Some(call) = self.calls.list.get_mut(key).filter(|call| !call.over) else { return };
        call.timer.hear_allow(msg);
        if let Some(terms) = call.timer.granted(kit.ctx.settings, msg) {
            call.timer.begin(kit.ctx, wake(key), terms, Refresher::Uac);
        }
    }

    /// 200 to an INVITE or UPDATE of theirs, which agrees anew.
    pub(super) fn take(&mut self, kit: &mut Kit<'_, '_>, key: CallKey, asked: &Asked, sdp: &[u8]) -> Bytes {
        let Some(call) = self.calls.list.get(key) else { return Bytes::new() };
        let ua = call.ua;
        let terms = call.timer.grant(kit.ctx.settings, asked.held.message());
        let payload = self.respond_with(kit, ua, asked, 200, sdp, &|writer| {
            terms.iter().for_each(|terms| terms.write(writer));
        });
        if let (Some(call), Some(terms)) = (self.calls.list.get_mut(key), terms) {
            call.timer.begin(kit.ctx, wake(key), terms, Refresher::Uas);
        }
        payload
    }
}
