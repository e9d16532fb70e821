//! Transfers that the other side of a call asks for: RFC 3515, RFC 3891, RFC 3892, RFC 4488.
//!
//! | | then |
//! |---|---|
//! | REFER | the host is asked; nothing in `PATIENCE`: 603 |
//! | the host declines | its status |
//! | the host follows | 202, NOTIFY 100, and a call to whom REFER names, in the place of the one it names |
//! | how far that is | NOTIFY, the newest; 200 to 699 is the last |
//! | SUBSCRIBE to that (RFC 3515 s2.4.4) | 200, NOTIFY; with Expires: 0 the last one |
//! | the old call is over | nobody is told any more |

use core::time::Duration;

use super::super::{Kit, UaKey, Uas};
use super::state::{Asked, Call, Errand, Why};
use super::write::Answered;
use super::{CallKey, Came, MOST_WAITING, State, Step, check_sdp, timer};
use crate::base::TimerKey;
use crate::base::text::owned;
use crate::ctx::{Extra, Refusal, UaCallTimer};
use crate::dialog::{Dialog, Replaces, refer};
use crate::door::UaRefusal;
use crate::wire::{Header, Message, Status, Writer};

/// So long the host may think: longer than that nobody waits for the answer to a REFER (RFC 4320).
const PATIENCE: Duration = Duration::from_secs(20);
/// For so many seconds whoever asked may expect to hear of it.
const TOLD_FOR: u32 = 180;
/// Transfers of one call that whoever asked for them hears of.
const MOST_TOLD: usize = 8;

/// A REFER that the host is to answer.
#[derive(Clone, Debug)]
pub(super) struct Referred {
    asked: Asked,
    number: u32,
    to: Box<str>,
    replaces: Option<Box<str>>,
    by: Option<Box<[u8]>>,
    quiet: bool,
    pub(super) timer: TimerKey,
}

/// That a call is made for somebody who asked for it.
#[derive(Clone, Debug)]
pub(super) struct Errant {
    /// The call in which he did, and the number of his REFER.
    told: (CallKey, u32),
    replaces: Option<Box<str>>,
    /// RFC 3892 s2.2: the value of Referred-By.
    by: Option<Box<[u8]>>,
}

impl Errant {
    /// What the INVITE says of it.
    pub(super) fn write(&self, writer: &mut Writer<'_>) {
        if let Some(replaces) = &self.replaces {
            writer.header(Header::Require, b"replaces");
            writer.header(Header::Replaces, replaces.as_bytes());
        }
        if let Some(by) = &self.by {
            writer.header(Header::ReferredBy, by);
        }
    }
}

impl Call {
    /// A NOTIFY that is to be sent, in the place of an older one of the same.
    fn notify_next(&mut self, notify: Errand) {
        let Errand::Notify { refer, .. } = notify else { return };
        let older = |errand: &&mut Errand| matches!(errand, Errand::Notify { refer: of, .. } if *of == refer);
        let full = self.waiting.len() >= MOST_WAITING;
        match self.waiting.iter_mut().find(older) {
            Some(errand) => *errand = notify,
            None if full => {}
            None => self.waiting.push_back(notify),
        }
    }
}

impl Uas {
    /// REFER within a call.
    pub(super) fn on_refer(
        &mut self,
        kit: &mut Kit<'_, '_>,
        key: CallKey,
        came: Came<'_>,
    ) -> Result<(), Refusal> {
        let Came { server, origin, msg, ess } = came;
        let refer::Sought { uri, target, replaces, quiet } = refer::sought(msg)?;
        if !uri.is_sip() {
            return Err(Refusal::plain(Status::UNSUPPORTED_URI_SCHEME));
        }
        let call = self.calls.list.get_mut(key).ok_or(Refusal::plain(Status::NO_TRANSACTION))?;
        let ready = call.state == State::Established && !call.over;
        if !ready || call.referred.is_some() || call.tells.len() >= MOST_TOLD {
            return Err(Refusal::with(Status::SERVER_ERROR, Extra::RetryAfter(5)));
        }
        let asked = Asked { server, origin: *origin, held: msg.to_held(), first: false, tag: Box::default() };
        let by = msg.header(Header::ReferredBy);
        let step = Step::Referred {
            to: target.clone(),
            by: by.map(owned).unwrap_or_default(),
            replaces: replaces.is_some(),
        };
        call.referred = Some(Box::new(Referred {
            asked,
            number: ess.cseq.number,
            to: target,
            replaces: replaces.map(|replaces| replaces.value()),
            by: by.map(Into::into),
            quiet,
            timer: kit.ctx.timers.arm(kit.ctx.now + PATIENCE, timer(key, UaCallTimer::Referred)),
        }));
        self.tell_of(key, step);
        Ok(())
    }

    /// The host does not follow, or has not said so.
    pub(super) fn decline(
        &mut self,
        kit: &mut Kit<'_, '_>,
        key: CallKey,
        status: u16,
    ) -> Result<(), UaRefusal> {
        let call = self.calls.list.get_mut(key).ok_or(UaRefusal::NoSuch)?;
        let (ua, referred) = (call.ua, call.referred.take().ok_or(UaRefusal::NotNow)?);
        self.answer_refer(kit, ua, &referred, status);
        Ok(())
    }

    /// A REFER is answered.
    pub(super) fn answer_refer(
        &mut self,
        kit: &mut Kit<'_, '_>,
        ua: UaKey,
        referred: &Referred,
        status: u16,
    ) {
        kit.ctx.timers.disarm(referred.timer);
        let Asked { server, origin, held, .. } = &referred.asked;
        let answered = Answered { server: *server, origin, msg: held.message(), tag: "" };
        let quiet = referred.quiet && (200..300).contains(&status);
        self.respond_as(
            kit,
            ua,
            answered,
            status,
            &|writer| {
                if quiet {
                    // RFC 4488 s4.
                    writer.header(Header::ReferSub, b"false");
                }
            },
            (b"", b""),
        );
    }

    /// The host follows: it calls whom the other side named, with this offer. Gives the number of the call.
    pub(super) fn follow(
        &mut self,
        kit: &mut Kit<'_, '_>,
        key: CallKey,
        offer: Box<[u8]>,
    ) -> Result<u64, UaRefusal> {
        check_sdp(kit.ctx, &offer)?;
        let call = self.calls.list.get(key).ok_or(UaRefusal::NoSuch)?;
        let (ua, to) = (call.ua, &call.referred.as_ref().ok_or(UaRefusal::NotNow)?.to);
        let known = self.list.get(ua).filter(|ua| !ua.closing).ok_or(UaRefusal::Unknown)?;
        if self.calls.of(ua) + known.waiting.len() >= kit.ctx.settings.limits.per_user_agent {
            return Err(UaRefusal::Full);
        }
        // Over the same way as the rest of what it does: there is one, for a call stands.
        let (hop, routes) = known.way(kit.ctx).ok_or(UaRefusal::NotNow)?;
        let whom = to.as_bytes();
        let dialog = Dialog::inviting(kit.ctx, &hop, known.account.aor.as_bytes(), whom, whom);
        let dialog = dialog.map(|dialog| dialog.routed(routes)).ok_or(UaRefusal::TooLarge)?;
        let number = self.next();
        let call = self.calls.list.get_mut(key).ok_or(UaRefusal::NoSuch)?;
        let referred = call.referred.take().ok_or(UaRefusal::NotNow)?;
        if !referred.quiet {
            call.tells.push((referred.number, Status::TRYING.0));
        }
        self.answer_refer(kit, ua, &referred, Status::ACCEPTED.0);
        self.report(kit, (key, referred.number), Status::TRYING.0);
        let Referred { number: refer, replaces, by, .. } = *referred;
        let mut new =
            Call { outgoing: true, sdp: offer.clone(), ..Call::new(ua, number, dialog, State::Calling) };
        new.timer.owns = true;
        new.errant = Some(Box::new(Errant { told: (key, refer), replaces, by }));
        let new = self.calls.insert(new);
        self.invite(kit, new, offer, Why::Begins);
        Ok(number)
    }

    /// How far a call is: whoever asked for it hears of that.
    pub(super) fn report_of(&mut self, kit: &mut Kit<'_, '_>, key: CallKey, status: u16) {
        let errant = self.calls.list.get(key).and_then(|call| call.errant.as_ref());
        if let Some(told) = errant.map(|errant| errant.told) {
            self.report(kit, told, status);
        }
    }

    /// NOTIFY with this status, in the place of what is not sent yet.
    fn report(&mut self, kit: &mut Kit<'_, '_>, (key, refer): (CallKey, u32), status: u16) {
        let Some(call) = self.calls.list.get_mut(key).filter(|call| !call.over) else { return };
        let Some((_, said)) = call.tells.iter_mut().find(|(of, _)| *of == refer) else { return };
        *said = status;
        call.notify_next(Errand::Notify { refer, status, left: TOLD_FOR });
        self.go_on(kit, key);
    }

    /// SUBSCRIBE to what came of a REFER: RFC 3515 s2.4.4, RFC 6665 s4.2.1.
    pub(super) fn on_resubscribe(
        &mut self,
        kit: &mut Kit<'_, '_>,
        key: CallKey,
        came: Came<'_>,
    ) -> Result<(), Refusal> {
        let answered = came.answered();
        let Came { origin, msg, ess, .. } = came;
        let unknown = Refusal::plain(Status::NO_TRANSACTION);
        let (id, left) = refer::resubscribed(msg, TOLD_FOR)?;
        let call = self.calls.list.get_mut(key).filter(|call| !call.over).ok_or(unknown.clone())?;
        let is_it = |(of, _): &&(u32, u16)| id.is_none_or(|id| id == *of);
        let (refer, status) = *call.tells.iter().find(is_it).ok_or(unknown)?;
        call.dialog.accept(kit.ctx, origin, msg, ess)?;
        if left == 0 {
            call.tells.retain(|(of, _)| *of != refer);
        }
        call.notify_next(Errand::Notify { refer, status, left });
        let ua = call.ua;
        let expires = |writer: &mut Writer<'_>| _ = writer.number(Header::Expires, left);
        self.respond_as(kit, ua, answered, 200, &expires, (b"", b""));
        self.go_on(kit, key);
        Ok(())
    }

    /// That NOTIFY was answered; who does not want it hears no more.
    pub(super) fn reported(&mut self, key: CallKey, (refer, said): (u32, u16), status: u16) {
        let Some(call) = self.calls.list.get_mut(key) else { return };
        if said >= 200 || status >= 300 {
            call.tells.retain(|(of, _)| *of != refer);
            call.waiting.retain(|errand| !matches!(errand, Errand::Notify { refer: of, .. } if *of == refer));
        }
    }

    /// RFC 3891 s3: the call of a user agent in whose place an INVITE comes.
    pub(super) fn replaced(&self, ua: UaKey, msg: Message<'_>) -> Result<Option<CallKey>, Refusal> {
        let Some(named) = Replaces::of(msg)? else { return Ok(None) };
        let unknown = Refusal::plain(Status::NO_TRANSACTION);
        let name = (named.call_id.clone(), named.to_tag.clone());
        let key = self.calls.by_dialog.get(&name).copied().ok_or(unknown.clone())?;
        let is_it = |call: &&Call| call.ua == ua && call.dialog.their_tag() == &*named.from_tag;
        let call = self.calls.list.get(key).filter(is_it).ok_or(unknown.clone())?;
        match call.state {
            _ if call.over => Err(Refusal::plain(Status::DECLINE)),
            State::Established | State::Answered if named.early_only => {
                Err(Refusal::plain(Status::BUSY_HERE))
            }
            State::Established | State::Answered => Ok(Some(key)),
            // It is not of our making.
            _ => Err(unknown),
        }
    }
}
