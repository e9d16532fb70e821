//! What calls say to each other, in the order they said it: offers and answers of a transfer and of who takes the place of
//! another, and how they end. `refer` has the table.

use core::time::Duration;

use super::call::{CALLEE, CALLER, Phase};
use super::refer::{Inner, Sought};
use super::{Bridge, CallKey, Kit, sdp};
use crate::ctx::{CallPhase, CallTimer, Timer};
use crate::door::CallEnd;
use crate::wire::Status;

impl Bridge {
    /// Calls say to each other what they have to.
    pub(super) fn settle(&mut self, kit: &mut Kit<'_, '_>) {
        while let Some(inner) = self.desk.inner.pop_front() {
            match inner {
                Inner::Progress(key, status) => {
                    self.with(kit, key, |call, _, kit| call.tell_transferor(kit, key, status));
                }
                Inner::Offered(key, kind, body) => self.offer(kit, key, &kind, &body),
                Inner::Agreed(key, kind, body) => self.join(kit, key, &kind, &body),
                Inner::Failed(key, status) => self.fail_transfer(kit, key, status),
                Inner::Abandoned(key) => self.abandon(kit, key),
                Inner::Succeeded(key, kind, body) => self.succeed(kit, key, &kind, &body),
                Inner::Declined(key, status) => self.decline(kit, key, status),
                Inner::Withdrawn(key) => self.with(kit, key, |call, _, kit| call.withdraw(kit)),
            }
        }
    }

    /// The kept one is offered what the sought one offers.
    fn offer(&mut self, kit: &mut Kit<'_, '_>, key: CallKey, kind: &[u8], body: &[u8]) {
        let Some(call) = self.calls.get_mut(key) else { return };
        let kept = call.transfer.as_ref().map(|transfer| 1 - transfer.by);
        let asked = kept.and_then(|kept| call.invite_side(kit, key, kept, Some((kind, body))));
        if let Some(transfer) = &mut call.transfer {
            (transfer.asked, transfer.offered) = (asked, body.into());
        }
        if asked.is_none() || body.is_empty() {
            let status = if body.is_empty() { Status::NOT_ACCEPTABLE_HERE } else { Status::REQUEST_PENDING };
            self.fail_transfer(kit, key, status.0);
        }
    }

    /// Both agree: they are a pair from now on.
    fn join(&mut self, kit: &mut Kit<'_, '_>, key: CallKey, kind: &[u8], body: &[u8]) {
        let Some(call) = self.calls.get_mut(key) else { return };
        let Some(transfer) = &mut call.transfer else { return };
        let (kept, Some(sought)) = (1 - transfer.by, transfer.sought) else { return };
        transfer.done = true;
        let Some(link) = call.links.first_mut() else { return };
        let mut moved = link.sides[kept].leave();
        moved.keep_session();
        // What was added to it is nothing to the sought one.
        let body = sdp::trimmed(body, &transfer.offered).filter(|_| sdp::is_sdp(kind)).unwrap_or(body);
        let sent = sdp::padded(&transfer.offered, &moved.sdp);
        moved.keep_sdp(sent.as_deref().unwrap_or(&transfer.offered));
        self.desk.strike(key, &moved.dialog);
        let home = match sought {
            Sought::Fresh(home) | Sought::Side(home, _) => home,
        };
        self.desk.enlist(home, &moved.dialog);
        moved.timer.arm(kit.ctx, super::refresh::wake(home));
        if let Some(other) = self.calls.get_mut(home) {
            other.serves = None;
            match sought {
                Sought::Fresh(_) => {
                    other.invitation = None;
                    other.tell_answered(kit.ctx, CALLEE);
                    if let Some(link) = other.links.first_mut() {
                        link.sides[CALLER] = moved;
                    }
                    // It is a call as any other now.
                    let longest = kit.ctx.settings.calls.as_ref().map_or(Duration::ZERO, |c| c.max_duration);
                    let super::call::Timers { ring, life, .. } = &mut other.timers;
                    for timer in [ring, &mut *life] {
                        kit.ctx.timers.disarm(core::mem::take(timer));
                    }
                    let timer = Timer::Call(home.to_bits(), CallTimer::Life);
                    *life = kit.ctx.timers.arm(kit.ctx.now + longest, timer);
                    other.agree(kit, CALLEE, kind, body);
                    other.tell_caller(kit.ctx, &mut self.desk, CallPhase::Confirmed);
                    // Of a call that the host began the first one is the caller.
                    let taken = other.record.legs.iter().rposition(|leg| (200..300).contains(&leg.status));
                    other.tell_joined(kit.ctx, &mut self.desk, taken.unwrap_or(0), false);
                    other.attempts.iter_mut().for_each(|attempt| attempt.shown = false);
                }
                Sought::Side(_, side) => {
                    other.tell_left(kit.ctx, &mut self.desk, 1 - side);
                    if let Some(link) = other.links.first_mut() {
                        let mut left = core::mem::replace(&mut link.sides[1 - side], moved);
                        self.desk.strike(home, &left.dialog);
                        left.timer.stop(kit.ctx);
                        left.bye_and_forget(kit);
                    }
                    other.agree(kit, side, kind, body);
                    other.tell_moved(kit.ctx, &mut self.desk, 1 - side);
                }
            }
            self.desk.streams.follow(home, other);
        }
        // Who is in it is another.
        self.with(kit, home, |_, _, _| {});
        self.with(kit, key, |call, desk, kit| {
            call.record.end = CallEnd::Transferred;
            call.tell_transferor(kit, key, Status::OK.0);
            let waits = call.transfer.as_ref().is_some_and(|transfer| transfer.tells) && !call.is_left();
            if !waits {
                call.end(kit, desk, key, None, CallEnd::Transferred);
            }
        });
    }

    /// All is as it was.
    fn fail_transfer(&mut self, kit: &mut Kit<'_, '_>, key: CallKey, status: u16) {
        let Some(call) = self.calls.get_mut(key) else { return };
        let Some(sought) = call.transfer.as_ref().map(|transfer| transfer.sought) else { return };
        if let Some(Sought::Fresh(new)) = sought {
            self.abandon(kit, new);
        }
        if let Some(Sought::Side(other, side)) = sought {
            self.with(kit, other, |call, _, kit| call.restore(kit, side));
        }
        self.with(kit, key, |call, desk, kit| {
            call.tell_transferor(kit, key, status);
            let left = call.is_left();
            let host = call.transfer.take().is_some_and(|transfer| transfer.host);
            if host {
                call.record.status = status;
            }
            // Who asked is gone, and the kept one has nobody.
            if left && call.phase == Phase::Answered {
                let end = if host { CallEnd::Failed } else { CallEnd::Lost };
                call.end(kit, desk, key, None, end);
            }
        });
    }

    /// A call that nobody waits for any more.
    fn abandon(&mut self, kit: &mut Kit<'_, '_>, key: CallKey) {
        self.with(kit, key, |call, desk, kit| {
            if call.phase == Phase::Answered {
                return call.end(kit, desk, key, None, CallEnd::Cancelled);
            }
            call.record.end = CallEnd::Cancelled;
            call.refuse(kit, desk, Status::REQUEST_TERMINATED);
        });
    }
}
