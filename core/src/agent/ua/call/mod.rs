//! Calls of user agents: one end of a dialog that an INVITE makes. RFC 3261 s12 to s15, RFC 6026, RFC 3515.
//!
//! `state` is what is known of one; `came` what comes in and is answered, `went` what we send, `write` how it is written;
//! `reliable` is the part of provisional responses that are acknowledged, `refresh` that of session timers;
//! `redirect` follows 3xx, and `refer` transfers that the other side asks for.
//!
//! | state | what the host does | what comes | next |
//! |---|---|---|---|
//! | Calling, Proceeding | hangs up: CANCEL when there is a 1xx | 1xx | Proceeding |
//! | | | 3xx: INVITE to whom it names | Calling |
//! | | | 2xx: ACK | Established; after a hang-up BYE |
//! | | | 401, 407: INVITE again | Calling |
//! | | | 300 to 699, nothing | gone |
//! | Incoming | rings: 180, 183; answers: 200 | | Answered |
//! | | rejects, hangs up: 300 to 699 | CANCEL: 487 | gone |
//! | Answered | hangs up: BYE behind the ACK | ACK | Established |
//! | | | no ACK: BYE | gone |
//! | Established | changes: INVITE; transfers: REFER; INFO | INVITE, UPDATE: answered, or told | Established |
//! | | follows a transfer: another call; declines it | REFER: told | Established |
//! | | hangs up: BYE | BYE | gone |
//!
//! Invariants: each call is told to have ended once; each final answer to an INVITE of ours is acknowledged, and what an
//! INVITE of ours made that nobody wants any more gets BYE; one INVITE of each side is in flight at a time, and one of all
//! other requests of ours.

mod came;
mod redirect;
mod refer;
mod refresh;
mod reliable;
mod state;
mod went;
mod write;

use core::time::Duration;

use super::standing::Waiting;
use super::{Kit, UaKey, Uas, check_kind, check_size, sip};
use crate::base::text::owned;
use crate::base::{Key, TimerKey};
use crate::ctx::{Ctx, Origin, Timer, UaCallTimer};
use crate::dialog::refer::in_place_of;
use crate::dialog::{Dialog, Replaces};
use crate::door::{
    ReplyBody, UaCallRequest, UaCallState as State, UaCallStep as Step, UaCallView, UaRefusal, UaStep,
};

use crate::wire::Status;

pub(crate) use came::Came;
pub(crate) use state::{Call, Calls};

use state::{Asked, Errand, Invite, Unacked, Why};

/// Names a call while it is there.
pub(crate) type CallKey = Key<Call>;

/// So long it rings at most.
const RINGS: Duration = Duration::from_secs(180);
/// Requests of one call that wait for the one before.
const MOST_WAITING: usize = 64;

impl Uas {
    /// Something that the host asks of a call of one.
    pub(super) fn ask_call(
        &mut self,
        kit: &mut Kit<'_, '_>,
        ua: UaKey,
        request: UaCallRequest,
    ) -> Result<ReplyBody, UaRefusal> {
        match request {
            UaCallRequest::Begin { to, sdp } => return self.call(kit, ua, to, sdp).map(ReplyBody::Begun),
            UaCallRequest::Ring { call, sdp } => {
                let key = self.known(ua, call)?;
                self.ring(kit, key, &sdp)?;
            }
            UaCallRequest::Answer { call, sdp } => {
                let key = self.known(ua, call)?;
                check_sdp(kit.ctx, &sdp)?;
                self.answer(kit, key, sdp)?;
            }
            UaCallRequest::Reject { call, status } => {
                let key = self.known(ua, call)?;
                if !(300..700).contains(&status) {
                    return Err(UaRefusal::BadValue);
                }
                self.reject(kit, key, status)?;
            }
            UaCallRequest::Change { call, sdp } => {
                let key = self.known(ua, call)?;
                check_sdp(kit.ctx, &sdp)?;
                let call = self.calls.list.get_mut(key).ok_or(UaRefusal::NoSuch)?;
                if !matches!(call.state, State::Established | State::Answered) {
                    return Err(UaRefusal::NotNow);
                }
                call.change = Some(sdp);
                self.go_on(kit, key);
            }
            UaCallRequest::Transfer { call, to, replaces } => {
                let key = self.known(ua, call)?;
                let target = match replaces {
                    Some(other) => self.in_place_of(self.known(ua, other)?)?,
                    None => {
                        sip(&to)?;
                        format!("<{to}>").into()
                    }
                };
                self.errand(kit, key, Errand::Refer(target))?;
            }
            UaCallRequest::Digit { call, digit, millis } => {
                let key = self.known(ua, call)?;
                if !matches!(digit, '0'..='9' | '*' | '#' | 'A'..='D') {
                    return Err(UaRefusal::BadValue);
                }
                let body = format!("Signal={digit}\r\nDuration={millis}\r\n").into_bytes().into();
                self.errand(kit, key, Errand::Info { kind: "application/dtmf-relay".into(), body })?;
            }
            UaCallRequest::Info { call, kind, body } => {
                let key = self.known(ua, call)?;
                check_kind(&kind)?;
                check_size(kit.ctx, &body)?;
                self.errand(kit, key, Errand::Info { kind, body })?;
            }
            UaCallRequest::Follow { call, sdp } => {
                let key = self.known(ua, call)?;
                return self.follow(kit, key, sdp).map(ReplyBody::Begun);
            }
            UaCallRequest::Decline { call, status } => {
                let key = self.known(ua, call)?;
                if !(300..700).contains(&status) {
                    return Err(UaRefusal::BadValue);
                }
                self.decline(kit, key, status)?;
            }
            UaCallRequest::HangUp { call } => {
                if self.call_waits(ua, call) {
                    return Ok(ReplyBody::Done);
                }
                let key = self.known(ua, call)?;
                self.hang_up(kit, key);
            }
        }
        Ok(ReplyBody::Done)
    }

    /// It was not sent yet, and will not be.
    fn call_waits(&mut self, ua: UaKey, number: u64) -> bool {
        let Some(known) = self.list.get_mut(ua) else { return false };
        let before = known.waiting.len();
        known.waiting.retain(|waiting| !matches!(waiting, Waiting::Call(waits, ..) if *waits == number));
        let waited = known.waiting.len() < before;
        if waited {
            self.tell_call(ua, number, Step::Ended { status: 487, remote: false });
        }
        waited
    }

    fn known(&self, ua: UaKey, number: u64) -> Result<CallKey, UaRefusal> {
        let key = self.calls.by_number.get(&number).copied().ok_or(UaRefusal::NoSuch)?;
        let is_it = |call: &Call| call.ua == ua && !call.over;
        self.calls.list.get(key).filter(|call| is_it(call)).map(|_| key).ok_or(UaRefusal::NoSuch)
    }

    /// The calls of one, in the order of their numbers.
    pub(super) fn view_calls(&self, ua: UaKey) -> Vec<UaCallView> {
        let of_it = self.calls.all_of(ua).filter_map(|key| self.calls.list.get(key));
        of_it
            .filter(|call| !call.over)
            .map(|call| UaCallView {
                call: call.number,
                other: owned(call.dialog.their_uri()),
                outgoing: call.outgoing,
                state: call.state,
                sdp: call.sent.clone(),
            })
            .collect()
    }

    /// Calls somebody.
    fn call(
        &mut self,
        kit: &mut Kit<'_, '_>,
        ua: UaKey,
        to: Box<str>,
        sdp: Box<[u8]>,
    ) -> Result<u64, UaRefusal> {
        sip(&to)?;
        check_sdp(kit.ctx, &sdp)?;
        let known = self.list.get(ua).filter(|ua| !ua.closing).ok_or(UaRefusal::Unknown)?;
        if self.calls.of(ua) + known.waiting.len() >= kit.ctx.settings.limits.per_user_agent {
            return Err(UaRefusal::Full);
        }
        let number = self.next();
        self.start(kit, ua, Waiting::Call(number, to, sdp));
        Ok(number)
    }

    /// The same, now that it is known where it goes.
    pub(super) fn begin_call(
        &mut self,
        kit: &mut Kit<'_, '_>,
        ua: UaKey,
        (number, to, sdp): (u64, &str, Box<[u8]>),
        (hop, routes): (&Origin, &[u8]),
    ) {
        let Some(known) = self.list.get(ua) else { return };
        let (own, whom) = (known.account.aor.as_bytes(), to.as_bytes());
        let dialog = Dialog::inviting(kit.ctx, hop, own, whom, whom).map(|dialog| dialog.routed(routes));
        let Some(dialog) = dialog else { return self.tell_call(ua, number, no_way()) };
        let mut call =
            Call { outgoing: true, sdp: sdp.clone(), ..Call::new(ua, number, dialog, State::Calling) };
        call.timer.owns = true;
        let key = self.calls.insert(call);
        self.invite(kit, key, sdp, Why::Begins);
    }

    /// The value of Refer-To that names a call of ours as the one to be replaced (RFC 3891 s3: the tags as the one who is
    /// asked sees them).
    fn in_place_of(&self, key: CallKey) -> Result<Box<str>, UaRefusal> {
        let call = self.calls.list.get(key).ok_or(UaRefusal::NoSuch)?;
        if call.state != State::Established {
            return Err(UaRefusal::NotNow);
        }
        let dialog = &call.dialog;
        let replaces = Replaces {
            call_id: dialog.call_id().into(),
            to_tag: dialog.their_tag().into(),
            from_tag: dialog.own_tag().into(),
            early_only: false,
        };
        Ok(in_place_of(dialog.their_uri(), &replaces))
    }

    /// Something else that is to be sent.
    fn errand(&mut self, kit: &mut Kit<'_, '_>, key: CallKey, errand: Errand) -> Result<(), UaRefusal> {
        let call = self.calls.list.get_mut(key).ok_or(UaRefusal::NoSuch)?;
        if call.state != State::Established {
            return Err(UaRefusal::NotNow);
        }
        if call.waiting.len() >= MOST_WAITING {
            return Err(UaRefusal::Full);
        }
        call.waiting.push_back(errand);
        self.go_on(kit, key);
        Ok(())
    }

    /// Ends a call, however far it is.
    pub(super) fn hang_up(&mut self, kit: &mut Kit<'_, '_>, key: CallKey) {
        let Some(call) = self.calls.list.get_mut(key) else { return };
        match call.state {
            State::Calling | State::Proceeding => {
                self.ended(key, 487, false);
                self.cancel(kit, key);
            }
            State::Incoming => _ = self.reject(kit, key, 486),
            State::Answered | State::Established => {
                self.ended(key, 200, false);
                self.go_on(kit, key);
            }
        }
    }

    /// All calls of one.
    pub(super) fn hang_up_all(&mut self, kit: &mut Kit<'_, '_>, ua: UaKey) {
        let all: Vec<CallKey> = self.calls.all_of(ua).collect();
        all.into_iter().for_each(|key| self.hang_up(kit, key));
    }

    /// The host hears, once, that it is over.
    fn ended(&mut self, key: CallKey, status: u16, remote: bool) {
        let Some(call) = self.calls.list.get_mut(key) else { return };
        if core::mem::replace(&mut call.over, true) {
            return;
        }
        let (ua, number) = (call.ua, call.number);
        self.tell_call(ua, number, Step::Ended { status, remote });
    }

    /// Nothing is left of it.
    fn forget(&mut self, kit: &mut Kit<'_, '_>, key: CallKey) {
        if let Some(call) = self.calls.remove(kit.ctx, key) {
            if let Some(referred) = &call.referred {
                self.answer_refer(kit, call.ua, referred, Status::NO_TRANSACTION.0);
            }
            self.finish(kit.ctx, call.ua);
        }
    }

    pub(super) fn tell_call(&mut self, ua: UaKey, call: u64, step: Step) {
        self.tell(ua, UaStep::Call { call, step });
    }

    /// The same, unless the host was told that it is over.
    fn tell_of(&mut self, key: CallKey, step: Step) {
        if let Some(call) = self.calls.list.get(key).filter(|call| !call.over) {
            let (ua, number) = (call.ua, call.number);
            self.tell_call(ua, number, step);
        }
    }

    pub(crate) fn on_call_timer(&mut self, kit: &mut Kit<'_, '_>, bits: u64, what: UaCallTimer) {
        let key = CallKey::from_bits(bits);
        let Some(call) = self.calls.list.get_mut(key) else { return };
        match what {
            UaCallTimer::Life => {
                call.life = TimerKey::NONE;
                let _ = self.reject(kit, key, 480);
            }
            UaCallTimer::Glare => {
                call.glare = TimerKey::NONE;
                self.go_on(kit, key);
            }
            UaCallTimer::Unacked => self.on_unacked(kit, key),
            UaCallTimer::Reliable => self.on_reliable_timer(kit, key),
            UaCallTimer::Session => self.on_session_timer(kit, key),
            UaCallTimer::Referred => _ = self.decline(kit, key, Status::DECLINE.0),
        }
    }
}

pub(super) fn no_way() -> Step {
    Step::Ended { status: 503, remote: false }
}

/// A description that is there, and not too long.
fn check_sdp(ctx: &Ctx<'_>, sdp: &[u8]) -> Result<(), UaRefusal> {
    match sdp.is_empty() {
        true => Err(UaRefusal::BadValue),
        false => check_size(ctx, sdp),
    }
}

fn timer(key: CallKey, what: UaCallTimer) -> Timer {
    Timer::UaCall(key.to_bits(), what)
}
