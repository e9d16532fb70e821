//! Provisional responses that are acknowledged: RFC 3262, RFC 3311 s5 for what comes before the answer.
//!
//! | we call | then |
//! |---|---|
//! | a reliable response, in order | PRACK in its early dialog, and it is told |
//! | the same again, or behind a gap | nothing: the PRACK that is lost repeats itself |
//! | 401, 407 to PRACK | PRACK again, once, with what was asked for |
//! | UPDATE with an offer, when a reliable response has answered ours | 200 with what the host has said of the session |
//! | the same before that | 491 |
//!
//! | we are called | then |
//! |---|---|
//! | 100rel is required, or supported and there is a description | 18x with a number, repeated until PRACK |
//! | another one before that | it waits |
//! | the host answers, and a description is not acknowledged | the 2xx waits |
//! | no PRACK in 64*T1 | 504, and the call is over |
//! | UPDATE with an offer, when a reliable response of ours has described the session | 200, as above |
//! | the same before that | 500 where theirs has no answer, 491 where ours has none |

use std::collections::VecDeque;

use bytes::Bytes;

use super::super::{Kit, Uas, sdp};
use super::write::{SDP, request_in};
use super::{CallKey, Came, State, Step, timer};
use crate::agent::send;
use crate::base::{Time, TimerKey};
use crate::ctx::{Refusal, UaCallTimer};
use crate::dialog::Dialog;
use crate::dialog::reliable::{self, TAG, Wants};
use crate::door::UaRefusal;
use crate::stats::Counter;
use crate::txn::{ClientKey, Usage};
use crate::wire::{Essentials, Header, Message, Method, Status};

/// Early dialogs of one INVITE: more branches of a fork are not acknowledged.
const MOST_EARLY: usize = 16;
/// Responses of ours that wait for the PRACK to one before.
const MOST_WAITING: usize = 8;

/// What a call has of them.
#[derive(Clone, Debug, Default)]
pub(super) struct Reliable {
    /// Those who have answered our INVITE so.
    early: Vec<Early>,
    /// Our last number; 0 before the first.
    last: u32,
    unacked: Option<Sent>,
    waiting: VecDeque<(u16, Box<[u8]>)>,
    /// The host has answered, which has to wait.
    pub(super) answered: bool,
    /// Both have described the session, or will have when what we sent is acknowledged: a 2xx describes nothing.
    pub(super) described: bool,
    pub(super) timer: TimerKey,
}

/// An early dialog of an INVITE of ours.
#[derive(Clone, Debug)]
struct Early {
    dialog: Dialog,
    /// The last number that was in order.
    heard: u32,
    /// PRACK to that, unless it was sent a second time.
    prack: Option<ClientKey>,
    agreed: Agreed,
}

/// What was said of the session in an early dialog.
#[derive(Clone, Debug, Default)]
pub(super) struct Agreed {
    /// By the other side; empty if nothing.
    pub(super) theirs: Box<[u8]>,
    /// By us; empty if it is the offer of the INVITE.
    pub(super) ours: Box<[u8]>,
}

/// A response of ours that was not acknowledged.
#[derive(Clone, Debug)]
struct Sent {
    number: u32,
    status: u16,
    payload: Bytes,
    describes: bool,
    since: Time,
    sent: u8,
}

impl Reliable {
    /// Is the request in an early dialog of ours?
    pub(super) fn has(&self, ess: &Essentials<'_>) -> bool {
        self.early.iter().any(|early| early.dialog.has(ess))
    }

    /// An INVITE goes out, or was answered: numbers of other responses have nothing to do with those that were.
    pub(super) fn forget_early(&mut self) {
        self.early = Vec::new();
    }

    /// What was agreed in an early dialog, if it was. What else its 2xx says of the session is to be ignored (RFC 3261 s13.2.1).
    pub(super) fn take_agreed(&mut self, tag: &[u8]) -> Option<Agreed> {
        let is_it = |early: &&mut Early| early.dialog.their_tag() == tag && !early.agreed.theirs.is_empty();
        self.early.iter_mut().find(is_it).map(|early| core::mem::take(&mut early.agreed))
    }

    /// RFC 3262 s3: a 2xx may not overtake a description.
    pub(super) fn holds_answer(&self) -> bool {
        self.unacked.as_ref().is_some_and(|sent| sent.describes)
            || self.waiting.iter().any(|(_, sdp)| !sdp.is_empty())
    }
}

impl Uas {
    /// A provisional response to an INVITE of ours. False if it was there before, or comes before its time.
    pub(super) fn acknowledge_progress(
        &mut self,
        kit: &mut Kit<'_, '_>,
        key: CallKey,
        number: u32,
        msg: Message<'_>,
    ) -> bool {
        let Some(rseq) = reliable::number_of(msg) else { return true };
        let Some(call) = self.calls.list.get_mut(key) else { return false };
        let tag = msg.to().ok().and_then(|to| to.tag()).unwrap_or_default();
        let early = &mut call.reliable.early;
        let place = early.iter().position(|early| early.dialog.their_tag() == tag);
        let at = match place {
            Some(at) => at,
            None if early.len() >= MOST_EARLY => return false,
            None => {
                let dialog = match call.dialog.their_tag().is_empty() {
                    true => call.dialog.answered(kit.ctx, msg, tag),
                    false => call.dialog.clone(),
                };
                early.push(Early { dialog, heard: 0, prack: None, agreed: Agreed::default() });
                early.len() - 1
            }
        };
        let Some(early) = early.get_mut(at) else { return false };
        // RFC 3262 s4: the first has any number, each other one the next.
        if early.heard > 0 && early.heard.checked_add(1) != Some(rseq) {
            return false;
        }
        early.heard = rseq;
        if early.agreed.theirs.is_empty() {
            early.agreed.theirs = msg.body().into();
        }
        let client = self.prack(kit, key, at, number);
        if let Some(early) = self.calls.list.get_mut(key).and_then(|call| call.reliable.early.get_mut(at)) {
            early.prack = client;
        }
        true
    }

    /// PRACK to the last response in an early dialog of the INVITE of this number. All of them share the numbers of ours.
    fn prack(&mut self, kit: &mut Kit<'_, '_>, key: CallKey, at: usize, number: u32) -> Option<ClientKey> {
        let call = self.calls.list.get_mut(key)?;
        let ua = self.list.get(call.ua)?;
        let early = call.reliable.early.get_mut(at)?;
        call.dialog.advance();
        let (heard, cseq) = (early.heard, call.dialog.cseq());
        let within = (&early.dialog, &mut call.proofs, None);
        let made = request_in(
            kit,
            ua,
            within,
            (Method::Prack, Some(cseq)),
            &|writer| {
                reliable::write_rack(writer, heard, number);
            },
            (b"", b""),
        )?;
        send(kit.ctx, kit.txn, (Method::Prack, Usage::UaCall(key.to_bits())), made)
    }

    /// What became of a PRACK. False if it is of another request.
    pub(super) fn on_pracked(
        &mut self,
        kit: &mut Kit<'_, '_>,
        key: CallKey,
        client: ClientKey,
        status: u16,
        msg: Message<'_>,
    ) -> bool {
        let Some(call) = self.calls.list.get_mut(key) else { return false };
        let mine = |early: &Early| early.prack == Some(client);
        let Some(at) = call.reliable.early.iter().position(mine) else { return false };
        if status < 200 {
            return true;
        }
        if let Some(early) = call.reliable.early.get_mut(at) {
            early.prack = None;
        }
        let Some(ua) = self.list.get(call.ua) else { return true };
        let to = call.dialog.straight().to();
        let asked = matches!(status, 401 | 407) && call.proofs.learn(msg, &to, &ua.means(), true);
        if let Some(number) = call.invite.as_ref().map(|invite| invite.number).filter(|_| asked) {
            self.prack(kit, key, at, number);
        }
        true
    }

    /// A request in an early dialog of ours.
    pub(super) fn on_within_early(
        &mut self,
        kit: &mut Kit<'_, '_>,
        key: CallKey,
        came: Came<'_>,
    ) -> Result<(), Refusal> {
        let answered = came.answered();
        let Came { origin, msg, ess, .. } = came;
        let unknown = Refusal::plain(Status::NO_TRANSACTION);
        let call = self.calls.list.get_mut(key).ok_or(unknown.clone())?;
        let ua = call.ua;
        let mut all = call.reliable.early.iter_mut();
        let early = all.find(|early| early.dialog.has(ess)).ok_or(unknown.clone())?;
        let says = !msg.body().is_empty();
        let answer = match msg.method() {
            Method::Update if says => {
                super::came::check_offer(msg)?;
                // RFC 3311 s5.2: ours has no answer yet.
                if early.agreed.theirs.is_empty() {
                    return Err(Refusal::plain(Status::REQUEST_PENDING));
                }
                let Agreed { ours, .. } = &early.agreed;
                let ours = if ours.is_empty() { &call.sent } else { ours };
                answer_to(&call.sdp, ours, msg)?
            }
            Method::Update | Method::Options | Method::Info => Vec::new(),
            _ => return Err(unknown),
        };
        early.dialog.accept(kit.ctx, origin, msg, ess)?;
        if !answer.is_empty() {
            early.agreed = Agreed { theirs: msg.body().into(), ours: answer.as_slice().into() };
        }
        self.respond(kit, ua, answered, 200, (SDP, &answer));
        match msg.method() {
            Method::Info if says => self.tell_of(key, super::came::info(msg)),
            Method::Update if says => self.tell_of(key, Step::Changed { sdp: msg.body().into() }),
            _ => {}
        }
        Ok(())
    }

    /// UPDATE before the host has answered a call: RFC 3311 s5.2.
    pub(super) fn on_update_early(
        &mut self,
        kit: &mut Kit<'_, '_>,
        key: CallKey,
        came: Came<'_>,
    ) -> Result<(), Refusal> {
        let answered = came.answered();
        let Came { origin, msg, ess, .. } = came;
        let call = self.calls.list.get_mut(key).ok_or(Refusal::plain(Status::NO_TRANSACTION))?;
        let offered = call.asked.as_ref().is_some_and(|asked| !asked.held.message().body().is_empty());
        let described = call.reliable.described;
        let unheard = call.reliable.unacked.as_ref().is_some_and(|sent| sent.describes);
        let answer = match msg.body() {
            b"" => Vec::new(),
            _ if offered && !described => return Err(super::came::too_soon(kit)),
            _ if !offered && (!described || unheard) => {
                return Err(Refusal::plain(Status::REQUEST_PENDING));
            }
            _ => {
                super::came::check_offer(msg)?;
                answer_to(&call.sdp, &call.sent, msg)?
            }
        };
        call.dialog.accept(kit.ctx, origin, msg, ess)?;
        let (ua, new) = (call.ua, call.hear(msg.body()));
        if !answer.is_empty() {
            call.sent = answer.as_slice().into();
        }
        self.respond(kit, ua, answered, 200, (SDP, &answer));
        if new {
            self.tell_of(key, Step::Changed { sdp: msg.body().into() });
        }
        Ok(())
    }

    /// Tells the caller how far it is, so that he has to acknowledge it. `None` if it goes out as it is.
    pub(super) fn ring_reliably(
        &mut self,
        kit: &mut Kit<'_, '_>,
        key: CallKey,
        status: u16,
        sdp: &[u8],
    ) -> Option<Result<(), UaRefusal>> {
        let call = self.calls.list.get_mut(key)?;
        let wants = Wants::of(call.asked.as_ref()?.held.message());
        let reliably = match wants {
            Wants::Requires => true,
            Wants::Supports => !sdp.is_empty() || call.reliable.last > 0,
            Wants::Nothing => false,
        };
        if !reliably {
            return None;
        }
        if call.reliable.unacked.is_none() {
            self.send_reliably(kit, key, status, sdp);
        } else if call.reliable.waiting.len() < MOST_WAITING {
            call.reliable.waiting.push_back((status, sdp.into()));
        } else {
            return Some(Err(UaRefusal::Full));
        }
        Some(Ok(()))
    }

    fn send_reliably(&mut self, kit: &mut Kit<'_, '_>, key: CallKey, status: u16, sdp: &[u8]) {
        let Some(call) = self.calls.list.get_mut(key) else { return };
        let (ua, Some(asked)) = (call.ua, call.asked.clone()) else { return };
        // RFC 3261 s13.2.1: it is described once.
        let sdp = if call.reliable.described { b"" } else { sdp };
        let describes = !sdp.is_empty();
        if describes {
            call.reliable.described = true;
            (call.sdp, call.sent) = (sdp.into(), sdp.into());
        }
        call.reliable.last = reliable::next_number(kit.ctx, call.reliable.last);
        let number = call.reliable.last;
        let payload = self.respond_with(kit, ua, &asked, status, sdp, &|writer| {
            writer.header(Header::Require, TAG);
            writer.number(Header::Rseq, number);
        });
        let since = kit.ctx.now;
        if let Some(call) = self.calls.list.get_mut(key) {
            call.reliable.unacked = Some(Sent { number, status, payload, describes, since, sent: 0 });
        }
        self.arm_reliable(kit, key);
    }

    fn arm_reliable(&mut self, kit: &mut Kit<'_, '_>, key: CallKey) {
        let Some(call) = self.calls.list.get_mut(key) else { return };
        let reliable = &mut call.reliable;
        kit.ctx.timers.disarm(core::mem::take(&mut reliable.timer));
        if let Some(sent) = &reliable.unacked {
            let t1 = kit.ctx.settings.timers.t1;
            let due = sent.since + reliable::waited(t1, sent.sent).min(t1 * 64);
            reliable.timer = kit.ctx.timers.arm(due, timer(key, UaCallTimer::Reliable));
        }
    }

    /// It is said again; or it was said for long enough.
    pub(super) fn on_reliable_timer(&mut self, kit: &mut Kit<'_, '_>, key: CallKey) {
        let Some(call) = self.calls.list.get_mut(key) else { return };
        let (Some(sent), Some(asked)) = (&mut call.reliable.unacked, &call.asked) else { return };
        if kit.ctx.now.since(sent.since) < kit.ctx.settings.timers.t1 * 64 {
            sent.sent = sent.sent.saturating_add(1);
            let (server, status, payload) = (asked.server, Status(sent.status), sent.payload.clone());
            kit.ctx.stats.count(Counter::Resent);
            kit.txn.respond(kit.ctx, server, status, payload, None);
            return self.arm_reliable(kit, key);
        }
        let (ua, Some(asked)) = (call.ua, call.asked.take()) else { return };
        self.respond_to(kit, ua, &asked, Status::SERVER_TIMEOUT.0, b"");
        self.ended(key, 408, true);
        self.forget(kit, key);
    }

    /// The call is answered: RFC 3262 s3, nothing is repeated any more, and a PRACK may still come.
    pub(super) fn settle_reliable(&mut self, kit: &mut Kit<'_, '_>, key: CallKey) {
        let Some(call) = self.calls.list.get_mut(key) else { return };
        call.reliable.waiting = VecDeque::new();
        kit.ctx.timers.disarm(core::mem::take(&mut call.reliable.timer));
    }

    /// PRACK: RFC 3262 s3.
    pub(super) fn on_prack(
        &mut self,
        kit: &mut Kit<'_, '_>,
        key: CallKey,
        came: Came<'_>,
    ) -> Result<(), Refusal> {
        let answered = came.answered();
        let Came { origin, msg, ess, .. } = came;
        let unknown = Refusal::plain(Status::NO_TRANSACTION);
        let malformed = Refusal::because(Status::BAD_REQUEST, "Malformed RAck");
        let (number, invite) = reliable::acknowledged(msg).ok_or(malformed)?;
        let call = self.calls.list.get_mut(key).ok_or(unknown.clone())?;
        let asked = call.asked.as_ref().filter(|asked| asked.first);
        let first = asked.map(|asked| asked.held.message());
        let offered = first.is_none_or(|msg| !msg.body().is_empty());
        let theirs = match (first, &call.unacked) {
            (Some(msg), _) => msg.cseq().ok().map(|cseq| cseq.number),
            (None, unacked) => unacked.as_ref().map(|unacked| unacked.number),
        };
        let sent = call.reliable.unacked.as_ref();
        let Some(describes) = sent.filter(|sent| sent.number == number).map(|sent| sent.describes) else {
            return Err(unknown);
        };
        if theirs != Some(invite) {
            return Err(unknown);
        }
        super::came::check_offer(msg)?;
        // It answers an offer of ours, or makes one (RFC 3262 s5).
        let answers = describes && !offered;
        let answer = match msg.body() {
            b"" => None,
            _ if answers => None,
            offer => {
                let answer = sdp::answer(&call.sdp, offer, sdp::version(&call.sent).wrapping_add(1));
                Some(answer.ok_or(Refusal::plain(Status::NOT_ACCEPTABLE_HERE))?)
            }
        };
        call.dialog.accept(kit.ctx, origin, msg, ess)?;
        let ua = call.ua;
        call.reliable.unacked = None;
        call.hear(msg.body());
        if let Some(answer) = &answer {
            call.sent = answer.as_slice().into();
        }
        let body = answer.as_deref().unwrap_or_default();
        self.respond(kit, ua, answered, 200, (SDP, body));
        if !msg.body().is_empty() {
            self.tell_of(key, Step::Changed { sdp: msg.body().into() });
        }
        self.arm_reliable(kit, key);
        let Some(call) = self.calls.list.get_mut(key).filter(|call| call.state == State::Incoming) else {
            return Ok(());
        };
        if let Some((status, sdp)) = call.reliable.waiting.pop_front() {
            self.send_reliably(kit, key, status, &sdp);
        }
        if let Some(call) = self.calls.list.get_mut(key)
            && call.reliable.answered
            && !call.reliable.holds_answer()
            && let Some(asked) = call.asked.take()
        {
            self.accept(kit, key, &asked, Box::default());
        }
        Ok(())
    }
}

/// The answer to what a request offers, by what the host has said of the session and by what was sent of that.
fn answer_to(own: &[u8], sent: &[u8], msg: Message<'_>) -> Result<Vec<u8>, Refusal> {
    sdp::again(own, sent, msg.body()).ok_or(Refusal::plain(Status::NOT_ACCEPTABLE_HERE))
}
