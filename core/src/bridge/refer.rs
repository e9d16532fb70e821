//! Transfers: RFC 3515, RFC 3891, RFC 3892, RFC 4488, RFC 5589, DECISIONS 24.
//!
//! REFER is not passed on: the bridge does what it asks, between the one who stays (*kept*) and the one who is to be
//! reached (*sought*), and tells the one who asked.
//!
//! | | blind: the sought one is called | attended: the sought one is in another call of who asks |
//! |---|---|---|
//! | 1 | 200 to REFER, NOTIFY 100 | the same |
//! | 2 | INVITE without an offer to the sought one; what it says is told by NOTIFY | a new INVITE without an offer |
//! | 3 | its 2xx offers: INVITE with that offer to the kept one | the same |
//! | 4 | its 2xx answers: ACK to both, one with the answer | the same |
//! | 5 | the kept one and the sought one are a pair; last NOTIFY, and BYE to who asked | and BYE in his other call |
//!
//! Until step 4 the old call is as it was. When anything fails it stays so, and NOTIFY says what; who hung up
//! meanwhile is not told, and then the kept one has nobody and is told to go.

use super::call::{CALLEE, Call, Errand, Phase, Side};
use super::replaces::{self, Authority};
use super::write::{self, Answer};
use super::{Asked, Asker, Bridge, CallKey, Desk, Hop, Kit, News};
use crate::base::ids::{self, IdText};
use crate::base::text::owned;
use crate::ctx::{CallTimer, Ctx, Extra, Origin, Refusal, Timer};
use crate::dialog::{Dialog, Replaces, refer};
use crate::door::{CallEnd, CallEvent, CallRecord, Event, Identity};
use crate::txn::{ClientKey, TxnId};
use crate::wire::{Header, Message, Method, Status};
use core::time::Duration;

/// How long a transfer may take before it has failed.
const PATIENCE: u32 = 180;

/// A transfer under way.
#[derive(Clone, Debug)]
pub(super) struct Transfer {
    /// The side that asked for it.
    pub(super) by: usize,
    /// The number of the REFER: names its subscription (RFC 3515 s2.4.6).
    pub(super) refer: u32,
    /// It wants to hear of it (RFC 4488).
    pub(super) tells: bool,
    /// What it heard last.
    pub(super) said: u16,
    /// Where it goes: a URI.
    pub(super) target: Box<str>,
    /// Who asks, as the sought one is told (RFC 3892).
    pub(super) referred_by: Box<str>,
    /// A dialog of the sought one that is none of ours, and that the call to him is to replace.
    pub(super) replaces: Option<Box<str>>,
    /// Who is sought.
    pub(super) sought: Option<Sought>,
    /// The INVITE by which the kept one was made an offer.
    pub(super) asked: Option<ClientKey>,
    /// What he was offered.
    pub(super) offered: Box<[u8]>,
    /// It worked: when who asked has heard of it, he is told to go.
    pub(super) done: bool,
    /// Nobody asks: the host connects two.
    pub(super) host: bool,
    /// It was asked for outside the call: who asked hears of it in the dialog that this made.
    pub(super) outside: Option<Dialog>,
}

impl Transfer {
    /// Of the one who was called first, to this URI.
    pub(super) fn by_host(target: Box<str>) -> Transfer {
        Transfer {
            by: CALLEE,
            refer: 0,
            tells: false,
            said: Status::TRYING.0,
            target,
            referred_by: Box::default(),
            replaces: None,
            sought: None,
            asked: None,
            offered: Box::default(),
            done: false,
            host: true,
            outside: None,
        }
    }

    pub(super) fn is_by_host(&self) -> bool {
        self.host
    }
}

/// Who is sought.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Sought {
    /// Who answers this call.
    Fresh(CallKey),
    /// This side of another call.
    Side(CallKey, usize),
}

/// What a call has to say to another.
#[derive(Clone, Debug)]
pub(super) enum Inner {
    /// The sought one rings, or the like.
    Progress(CallKey, u16),
    /// The sought one offers: a Content-Type and a body.
    Offered(CallKey, Box<[u8]>, Box<[u8]>),
    /// The kept one answers that.
    Agreed(CallKey, Box<[u8]>, Box<[u8]>),
    /// It failed.
    Failed(CallKey, u16),
    /// Nobody wants it any more.
    Abandoned(CallKey),
    /// The side that stays agrees with who takes the place of the other: a Content-Type and a body.
    Succeeded(CallKey, Box<[u8]>, Box<[u8]>),
    /// It does not.
    Declined(CallKey, u16),
    /// Who was to take a place in it does not want it.
    Withdrawn(CallKey),
}

/// What the engine needs to know to find out where a transfer goes.
pub(crate) struct Referral {
    /// The AoR of who asked for it.
    pub(crate) by: Box<str>,
    /// Where it goes: a URI.
    pub(crate) target: Box<str>,
    /// Where he is.
    pub(crate) origin: Origin,
    /// The trunk he is on.
    pub(crate) trunk: Option<u16>,
    /// It is the host who asks, for the one who was called first.
    pub(crate) host: bool,
}

impl Bridge {
    /// REFER within a call: answered, and then done.
    pub(super) fn on_refer(
        &mut self,
        kit: &mut Kit<'_, '_>,
        key: CallKey,
        asked: &Asked<'_>,
    ) -> Result<(), Refusal> {
        let place = self.calls.get(key).and_then(|call| call.find(asked.ess));
        let (at, by) = place.ok_or(Refusal::plain(Status::NO_TRANSACTION))?;
        self.refer(kit, (key, at, by), asked, None)
    }

    /// REFER outside any call: refused, unless its Target-Dialog names a live call of who sends it (RFC 4538, DECISIONS 24).
    /// Then it is the same as within that call, but for the dialog its NOTIFYs are in.
    pub(crate) fn on_refer_outside(
        &mut self,
        kit: &mut Kit<'_, '_>,
        asked: &Asked<'_>,
        id: TxnId,
        asker: &Asker,
    ) -> Result<(), Refusal> {
        let forbidden = Refusal::plain(Status::FORBIDDEN);
        let value = asked.msg.header(Header::TargetDialog).ok_or(forbidden.clone())?;
        // RFC 4538 s4: without both tags it is as if it were not there.
        let named = crate::dialog::tags(value, [b"local-tag", b"remote-tag"], |_| {});
        let [call_id, own, theirs] = named.ok_or(forbidden.clone())?;
        let (key, at, by) = self.with_tags(&call_id, &own, &theirs).ok_or(forbidden.clone())?;
        let call = self.calls.get(key).filter(|call| call.phase == Phase::Answered);
        let link = call.and_then(|call| call.links.get(at)).ok_or(forbidden.clone())?;
        let (side, other) = (&link.sides[by], &link.sides[1 - by]);
        if side.over
            || other.over
            || replaces::authority(kit.ctx.settings, asker, asked.msg, side) != Authority::Himself
        {
            return Err(forbidden);
        }
        let tag = ids::write(id.tag());
        let dialog = Dialog::new(kit.ctx, asked.origin, asked.msg, asked.ess, &tag)?;
        self.refer(kit, (key, at, by), asked, Some((dialog, tag)))
    }

    /// A side asks for a transfer: within the call, or in a dialog that this makes.
    fn refer(
        &mut self,
        kit: &mut Kit<'_, '_>,
        (key, at, by): (CallKey, usize, usize),
        asked: &Asked<'_>,
        outside: Option<(Dialog, IdText)>,
    ) -> Result<(), Refusal> {
        let gone = Refusal::plain(Status::NO_TRANSACTION);
        let call = self.calls.get_mut(key).ok_or(gone.clone())?;
        let link = call.links.get_mut(at).ok_or(gone.clone())?;
        if link.sides[by].over || link.sides[1 - by].over || call.phase == Phase::Over {
            return Err(gone);
        }
        // RFC 3261 s14.2, RFC 5057 s5.1: it may have overtaken the 2xx, and this leaves the dialog as it is.
        if call.phase == Phase::Ringing {
            return Err(Refusal::plain(Status::REQUEST_PENDING));
        }
        let refer::Sought { uri, target, replaces, quiet } = refer::sought(asked.msg)?;
        if !uri.is_sip() && uri.scheme() != crate::wire::UriScheme::Tel {
            return Err(Refusal::plain(Status::UNSUPPORTED_URI_SCHEME));
        }
        if call.transfer.is_some() || call.succession.is_some() {
            return Err(Refusal::with(Status::SERVER_ERROR, Extra::RetryAfter(5)));
        }
        let answer = match &outside {
            Some((_, tag)) => Answer { tag, dialog: true, ..Answer::own(Status::OK) },
            None => {
                link.sides[by].dialog.accept(kit.ctx, asked.origin, asked.msg, asked.ess)?;
                Answer::own(Status::OK)
            }
        };
        write::respond(kit, asked.server, asked.origin, asked.msg, &answer);
        let own: Box<str> = format!("<sip:{}>", link.sides[by].aor).into();
        let referred_by = asked.msg.header(Header::ReferredBy).map_or(own, owned);
        call.transfer = Some(Box::new(Transfer {
            by,
            refer: asked.ess.cseq.number,
            tells: !quiet,
            said: Status::TRYING.0,
            target,
            referred_by,
            replaces: None,
            sought: None,
            asked: None,
            offered: Box::default(),
            done: false,
            host: false,
            outside: outside.map(|(dialog, _)| dialog),
        }));
        call.tell_transferor(kit, key, Status::TRYING.0);
        self.desk.streams.follow(key, call);
        match replaces {
            Some(replaces) => self.seek_side(kit, key, by, &replaces),
            None => self.desk.news.push(News::Refer(key)),
        }
        self.settle(kit);
        Ok(())
    }

    /// Who asks for a transfer, and where it goes.
    pub(crate) fn referral(&self, key: CallKey) -> Option<Referral> {
        let call = self.calls.get(key)?;
        let transfer = call.transfer.as_ref()?;
        let link = call.links.first()?;
        let who = if transfer.host { 1 - transfer.by } else { transfer.by };
        let side = &link.sides[who];
        Some(Referral {
            by: side.aor.clone(),
            target: transfer.target.clone(),
            origin: side.dialog.straight().to,
            trunk: side.trunk,
            host: transfer.host,
        })
    }

    /// The sought one is one of these.
    pub(crate) fn transfer(
        &mut self,
        kit: &mut Kit<'_, '_>,
        key: CallKey,
        identity: Identity,
        groups: Vec<Vec<Hop>>,
        ring: Duration,
    ) -> Option<CallKey> {
        let call = self.calls.get_mut(key)?;
        let (transfer, link) = (call.transfer.as_ref()?, call.links.first()?);
        let (kept, by) = (&link.sides[1 - transfer.by], &link.sides[transfer.by]);
        let account = if transfer.host { kept.aor.clone() } else { by.aor.clone() };
        let asker = Asker {
            aor: kept.aor.clone(),
            ours: kept.local,
            uri: owned(kept.dialog.their_uri()),
            display: Box::default(),
            tag: owned(kept.dialog.their_tag()),
            // What is asserted of the kept one is his own address, if he is a user of ours.
            identity: Identity { account: if kept.local { identity.account } else { "".into() }, ..identity },
            trusted: kept.trusted,
            trunk: kept.trunk,
        };
        let invitation = Invitation {
            serves: Some(key),
            from: asker.uri.clone(),
            to: transfer.target.clone(),
            referred_by: transfer.referred_by.clone(),
            replaces: transfer.replaces.clone(),
        };
        let record = match transfer.host {
            true => call.hand_over_record(),
            false => {
                self.desk.began += 1;
                let call_id = owned(kept.dialog.call_id());
                let parties = [kept.aor.clone(), transfer.target.clone()];
                let (id, source) = (self.desk.began, call.record.source);
                Box::new(CallRecord::begun(id, kit.ctx.now, source, call_id, parties))
            }
        };
        let new = self.desk.enter(&mut self.calls, kit.ctx, asker, account, record);
        self.share_session(new, key);
        if let Some(call) = self.calls.get_mut(key)
            && let Some(transfer) = &mut call.transfer
        {
            transfer.sought = Some(Sought::Fresh(new));
        }
        let life = kit.ctx.now + Duration::from_secs(PATIENCE.into());
        if let Some(call) = self.calls.get_mut(new) {
            call.invitation = Some(Box::new(invitation));
            call.timers.life = kit.ctx.timers.arm(life, Timer::Call(new.to_bits(), CallTimer::Life));
        }
        self.ring(kit, new, groups, ring);
        Some(new)
    }

    /// A transfer goes nowhere.
    pub(crate) fn refuse_transfer(&mut self, kit: &mut Kit<'_, '_>, key: CallKey, status: Status) {
        self.desk.inner.push_back(Inner::Failed(key, status.0));
        self.settle(kit);
    }

    /// RFC 3891 s3: the sought one is the other side of a call that the one who asks is in.
    fn seek_side(&mut self, kit: &mut Kit<'_, '_>, key: CallKey, by: usize, replaces: &Replaces) {
        let answered = |key: &CallKey| self.calls.get(*key).is_some_and(|call| call.phase == Phase::Answered);
        let found = self.named(replaces).filter(|(other, ..)| answered(other));
        let found = found.map(|(other, _, side)| (other, side)).filter(|(other, side)| {
            let link = self.calls.get(*other).and_then(|call| call.links.first());
            link.is_some_and(|link| !link.sides[*side].over)
        });
        let who = |call: &Call| call.links.first().map(|link| link.sides[by].aor.clone());
        let asks = self.calls.get(key).and_then(who);
        let own = found.filter(|(other, _)| *other != key).filter(|(other, side)| {
            let link = self.calls.get(*other).and_then(|call| call.links.first());
            link.is_some_and(|link| Some(&link.sides[*side].aor) == asks.as_ref())
        });
        let Some((other, side)) = own else {
            // A call that is not his is none he knows of here. It may be one of the target's with him elsewhere: then it is
            // for the target to say (RFC 5589 s7.3).
            if let Some(transfer) = self.calls.get_mut(key).and_then(|call| call.transfer.as_mut()) {
                transfer.replaces = Some(replaces.value());
            }
            self.desk.news.push(News::Refer(key));
            return;
        };
        let sought = 1 - side;
        let Some(call) = self.calls.get_mut(other) else { return };
        if call.invite_side(kit, other, sought, None).is_none() {
            // Nothing was asked of it: there is nothing to be restored.
            return self.desk.inner.push_back(Inner::Failed(key, Status::REQUEST_PENDING.0));
        }
        call.serves = Some(key);
        self.share_session(other, key);
        if let Some(call) = self.calls.get_mut(key)
            && let Some(transfer) = &mut call.transfer
        {
            transfer.sought = Some(Sought::Side(other, sought));
        }
    }
}

/// What is to be said in the INVITE of a transfer.
#[derive(Clone, Debug)]
pub(super) struct Invitation {
    /// The call it is for; `None` for the first leg of one that the host began.
    pub(super) serves: Option<CallKey>,
    /// The URI of the kept one.
    pub(super) from: Box<str>,
    /// Where it goes.
    pub(super) to: Box<str>,
    /// Empty if nobody refers.
    pub(super) referred_by: Box<str>,
    /// The dialog that it replaces there.
    pub(super) replaces: Option<Box<str>>,
}

impl Invitation {
    /// Is it for a dialog that is none of ours?
    pub(super) fn replaces_elsewhere(&self) -> bool {
        self.replaces.is_some()
    }

    /// Whom it may go to. A dialog that is none of ours is none of our phones' either, and who has it is to know that this
    /// is no new call (RFC 5589 s7.1).
    pub(super) fn carry(&self, group: Vec<Hop>) -> Vec<Hop> {
        let Some(replaces) = &self.replaces else { return group };
        let outside = group.into_iter().filter(|hop| !hop.local);
        let added = [("Require", "replaces"), ("Replaces", &**replaces)];
        let carrying = |mut hop: Hop| {
            let added = added.iter().map(|(name, value)| ((*name).into(), (*value).into()));
            hop.lines = hop.lines.iter().cloned().chain(added).collect();
            hop
        };
        outside.map(carrying).collect()
    }
}

impl Side {
    /// What stays where a side was that is elsewhere now.
    pub(super) fn leave(&mut self) -> Side {
        let absent = Side { aor: self.aor.clone(), ..Side::absent(self.dialog.clone()) };
        core::mem::replace(self, absent)
    }

    /// Nobody.
    pub(super) fn absent(dialog: Dialog) -> Side {
        Side {
            dialog,
            aor: Box::default(),
            unacked: None,
            due: None,
            offered: None,
            ack: None,
            bye_waits: false,
            over: true,
            local: true,
            trusted: false,
            hides: false,
            trunk: None,
            asked: None,
            sdp: Box::default(),
            refused: 0,
            session: None,
            timer: Default::default(),
            packages: None,
            astray: false,
            waits: None,
        }
    }
}

impl Call {
    /// The one who asked for a transfer is gone.
    pub(super) fn is_left(&self) -> bool {
        let by = self.transfer.as_ref().map(|transfer| transfer.by);
        by.is_none_or(|by| self.links.first().is_none_or(|link| link.sides[by].over))
    }

    /// The side that stays when the other one is replaced.
    pub(super) fn kept(&self) -> Option<usize> {
        self.transfer.as_ref().map(|transfer| 1 - transfer.by)
    }

    /// Both talk.
    pub(super) fn tell_answered(&self, ctx: &mut Ctx<'_>, callee: usize) {
        if let Some(link) = self.links.first().filter(|_| ctx.settings.tell.calls) {
            let (id, by) = (self.record.id, link.sides[callee].aor.clone());
            ctx.out.tell(Event::Call(Box::new(CallEvent::Answered { id, by })));
        }
    }

    /// Is this the side that asked for a transfer that is under way?
    pub(super) fn transfers(&self, side: usize) -> bool {
        self.transfer.as_ref().is_some_and(|transfer| transfer.by == side && !transfer.done)
    }

    /// Who asked hears how far it is (RFC 3515 s2.4.4).
    pub(super) fn tell_transferor(&mut self, kit: &mut Kit<'_, '_>, key: CallKey, status: u16) {
        if let Some(transfer) = self.transfer.as_mut().filter(|transfer| transfer.tells) {
            transfer.said = status;
            self.notify_transferor(kit, key, PATIENCE);
        }
    }

    /// The same, for so many seconds more; 0 if he does not want to hear more.
    fn notify_transferor(&mut self, kit: &mut Kit<'_, '_>, key: CallKey, left: u32) {
        let Some(transfer) = self.transfer.as_mut() else { return };
        let (by, refer, status) = (transfer.by, transfer.refer, transfer.said);
        let Some(link) = self.links.first_mut() else { return };
        let side = &mut link.sides[by];
        let dialog = match &mut transfer.outside {
            // He may have hung up: this dialog is no part of the call.
            Some(dialog) => dialog,
            None if side.over => return,
            None => &mut side.dialog,
        };
        dialog.advance();
        let number = dialog.cseq();
        if let Some(notify) = write::refer_notify(kit, (dialog, &side.aor), refer, status, left) {
            link.send(kit, key, (by, Method::Notify, number), notify, None);
        }
    }

    /// SUBSCRIBE of who asked for a transfer, to what came of it: RFC 3515 s2.4.4, RFC 6665 s4.2.1.
    pub(super) fn on_resubscribe(
        &mut self,
        kit: &mut Kit<'_, '_>,
        key: CallKey,
        from: usize,
        asked: &Asked<'_>,
    ) -> Result<(), Refusal> {
        let unknown = Refusal::plain(Status::NO_TRANSACTION);
        let (id, left) = refer::resubscribed(asked.msg, PATIENCE)?;
        let is_it = |transfer: &&mut Box<Transfer>| {
            let told = transfer.tells && !transfer.done && transfer.outside.is_none();
            told && transfer.by == from && id.is_none_or(|id| id == transfer.refer)
        };
        let transfer = self.transfer.as_mut().filter(is_it).ok_or(unknown.clone())?;
        let side = self.links.first_mut().map(|link| &mut link.sides[from]).ok_or(unknown)?;
        side.dialog.accept(kit.ctx, asked.origin, asked.msg, asked.ess)?;
        transfer.tells = left > 0;
        let answer = Answer { dialog: true, ..Answer::own(Status::OK) };
        write::respond_with(kit, asked.server, asked.origin, asked.msg, &answer, |writer| {
            writer.number(Header::Expires, left);
        });
        self.notify_transferor(kit, key, left);
        Ok(())
    }

    /// The answer to an INVITE of our own: what there is to agree about goes to the other call.
    pub(super) fn on_own_answer(
        &mut self,
        kit: &mut Kit<'_, '_>,
        desk: &mut Desk,
        key: CallKey,
        (at, errand): (usize, &Errand),
        status: u16,
        msg: Message<'_>,
    ) {
        if self.picked.is_some() {
            return self.on_picker_answer(kit, desk, key, errand, (status, msg));
        }
        if self.on_succession_answer(kit, desk, key, errand, (status, msg)) {
            return;
        }
        let accepted = (200..300).contains(&status);
        let kind: Box<[u8]> = msg.content_type().unwrap_or(b"application/sdp").into();
        let body: Box<[u8]> = msg.body().into();
        // One of an earlier transfer may still be on its way.
        let kept = self.transfer.as_ref().is_some_and(|transfer| transfer.asked == Some(errand.client));
        let bare = kit.txn.is_bare(errand.client);
        let Some(side) = self.links.get_mut(at).map(|link| &mut link.sides[errand.to]) else { return };
        if accepted {
            side.due = Some(errand.number);
            // The sought one was asked for an offer; the kept one was made one, as is who goes back to where he was.
            side.offered = bare.then(|| body.clone());
        }
        match (self.serves, kept) {
            // The sought one: its ACK waits for the answer of the kept one.
            (Some(serves), _) => desk.inner.push_back(match accepted {
                true => Inner::Offered(serves, kind, body),
                false => Inner::Failed(serves, status),
            }),
            (None, true) => {
                side.acknowledge(kit, None);
                desk.inner.push_back(match accepted {
                    true => Inner::Agreed(key, kind, body),
                    false => Inner::Failed(key, status),
                });
            }
            // What it was for is over: it goes on with the other side.
            (None, false) if bare => self.restore(kit, errand.to),
            (None, false) => {
                side.acknowledge(kit, None);
                let (again, sdp) = (accepted && !side.astray && !side.sdp.is_empty(), side.sdp.clone());
                side.astray = again;
                if again {
                    self.invite_side(kit, key, errand.to, Some((b"application/sdp", &sdp)));
                }
            }
        }
    }

    /// Who asked for a transfer has heard how it ended.
    pub(super) fn on_told(&mut self, kit: &mut Kit<'_, '_>, desk: &mut Desk, key: CallKey) {
        let notifying =
            self.links.iter().flat_map(|link| &link.errands).any(|errand| errand.method == Method::Notify);
        if self.transfer.as_ref().is_some_and(|transfer| transfer.done) && !notifying {
            self.end(kit, desk, key, None, CallEnd::Transferred);
        }
    }

    /// The ACK that a side waits for, with what the other agreed to.
    pub(super) fn agree(&mut self, kit: &mut Kit<'_, '_>, side: usize, kind: &[u8], body: &[u8]) {
        let Some(side) = self.links.first_mut().map(|link| &mut link.sides[side]) else { return };
        side.acknowledge_with(kit, kind, body);
        side.keep_sdp(body);
    }

    /// The other side stays who it was.
    pub(super) fn restore(&mut self, kit: &mut Kit<'_, '_>, side: usize) {
        self.serves = None;
        let Some(side) = self.links.first_mut().map(|link| &mut link.sides[side]) else { return };
        // What it was sent last is what it has agreed to before.
        let sdp = core::mem::take(&mut side.sdp);
        side.acknowledge_with(kit, b"application/sdp", &sdp);
        side.sdp = sdp;
    }

    /// The call ends: nobody waits for what it was doing.
    pub(super) fn abandon_transfer(&mut self, desk: &mut Desk) {
        let invited = self.invitation.take().and_then(|invitation| invitation.serves);
        if let Some(serves) = self.serves.take().or(invited) {
            desk.inner.push_back(Inner::Failed(serves, Status::NO_TRANSACTION.0));
        }
        let sought = self.transfer.as_ref().filter(|transfer| !transfer.done).and_then(|t| t.sought);
        if let Some(Sought::Fresh(new)) = sought {
            desk.inner.push_back(Inner::Abandoned(new));
        }
    }
}
