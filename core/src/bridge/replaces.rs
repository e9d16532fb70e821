//! INVITE that takes the place of somebody in a call: RFC 3891, DECISIONS 24 and 26.
//!
//! | Replaces names | who may | then |
//! |---|---|---|
//! | a phone that rings, called by us | its user, who picks up for him, its trunk | the call is picked up (`pickup`) |
//! | a side of an answered call | its user, its trunk, whom it sent if a trusted peer says so | it goes, and who asks is in its place |
//! | the same, `early-only` | | 486 |
//! | the same | who only picks up for him: he may know of the call | 403 |
//! | what is just over | | 603 |
//! | a caller who waits: that dialog is not of our making | | 481 |
//! | what there is not, or what who asks has nothing to do with | | 481, and it does not tell which |
//!
//! An answered call changes hands so: the one who asks (*new*) has a call of his own; the side that stays (*kept*) is
//! offered what the new one offers by a new INVITE, and its answer is his 200. Then the old call ends, with BYE for the
//! one replaced. Until then it is as it was; the one replaced may hang up meanwhile, as who sent the other mostly does.
//! The dialogs of the two legs never cross: what is named is that of one leg, and what changes is the bridge.

use super::call::{CALLEE, Call, Errand, Link, Phase, Side};
use super::refer::Inner;
use super::table::{self, Does, Heard};
use super::{Asked, Asker, Bridge, CallKey, Desk, Kit};
use crate::base::text::owned;
use crate::config::{AorBuf, Settings};
use crate::ctx::Refusal;
use crate::dialog::Replaces;
use crate::door::{CallEnd, LegRecord, Scheme};
use crate::txn::{ClientKey, TxnId};
use crate::wire::{Header, Message, Method, NameAddr, Status};

/// What somebody has to do with a side of a call.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Authority {
    /// He is the one who is replaced, or was sent by him.
    Himself,
    /// He picks up for him.
    Group,
    Nobody,
}

/// RFC 3891 s3: who is equivalent to the one who is replaced. That Referred-By names him is believed of trusted peers
/// only, since anybody can write it.
pub(super) fn authority(settings: &Settings, asker: &Asker, msg: Message<'_>, side: &Side) -> Authority {
    if asker.trunk.is_some() {
        return if asker.trunk == side.trunk { Authority::Himself } else { Authority::Nobody };
    }
    if !side.local {
        return Authority::Nobody;
    }
    let proved = !matches!(asker.identity.scheme, Scheme::None | Scheme::Trusted);
    let account = settings.accounts.by_aor(&asker.aor).filter(|_| asker.ours);
    if (asker.ours && asker.aor == side.aor)
        || (proved && asker.identity.owns(&side.aor))
        || account.is_some_and(|account| account.identity.owns(&side.aor))
    {
        return Authority::Himself;
    }
    let named = || {
        let by = NameAddr::parse(msg.header(Header::ReferredBy)?).ok()?;
        let mut aor = AorBuf::new();
        settings.domains.aor(&by.uri, &mut aor).then(|| side.aor.as_bytes() == &aor[..])
    };
    match () {
        _ if asker.trusted && named() == Some(true) => Authority::Himself,
        _ if asker.ours && settings.accounts.pick_up_together(&asker.aor, &side.aor) => Authority::Group,
        _ => Authority::Nobody,
    }
}

/// What becomes of an answered call in which somebody is to be replaced.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Succession {
    /// This call is to go on in its place: without that side of ours. The side that stays was made an offer, or asked for
    /// one.
    To(CallKey, usize, bool),
    /// Nobody wants that any more, and the answer of the side that stays is waited for.
    Withdrawn(usize, bool),
}

impl Bridge {
    /// The call, the link and the side that are named: ours is the tag of who reads it (RFC 3891 s3).
    pub(super) fn named(&self, replaces: &Replaces) -> Option<(CallKey, usize, usize)> {
        let Replaces { call_id, to_tag, from_tag, .. } = replaces;
        self.with_tags(call_id, to_tag, from_tag).or_else(|| {
            // RFC 3891 s6.1: zero is also the tag of who has none.
            if **from_tag == *b"0" { self.with_tags(call_id, to_tag, b"") } else { None }
        })
    }

    /// The side of a call that knows this dialog by these tags, ours first.
    pub(super) fn with_tags(
        &self,
        call_id: &[u8],
        own: &[u8],
        theirs: &[u8],
    ) -> Option<(CallKey, usize, usize)> {
        let hash = self.desk.hash.hash_parts(&[call_id, own, theirs]);
        let is = |side: &Side| {
            side.dialog.call_id() == call_id
                && side.dialog.own_tag() == own
                && side.dialog.their_tag() == theirs
        };
        let at = |key: CallKey| {
            let links = &self.calls.get(key)?.links;
            links.iter().enumerate().find_map(|(at, link)| Some((at, link.sides.iter().position(is)?)))
        };
        let key = self.desk.dialogs.find(hash, |key| at(key).is_some())?;
        let (at, side) = at(key)?;
        Some((key, at, side))
    }

    /// An INVITE with Replaces: the table above.
    pub(crate) fn replace(
        &mut self,
        kit: &mut Kit<'_, '_>,
        asked: &Asked<'_>,
        id: TxnId,
        asker: Asker,
        replaces: &Replaces,
    ) -> Result<(), Refusal> {
        let plain = |status| Err(Refusal::plain(status));
        let unknown = || plain(Status::NO_TRANSACTION);
        let Some((key, at, which)) = self.named(replaces) else { return unknown() };
        let Some(call) = self.calls.get(key) else { return unknown() };
        let Some(side) = call.links.get(at).map(|link| &link.sides[which]) else { return unknown() };
        let authority = authority(kit.ctx.settings, &asker, asked.msg, side);
        if authority == Authority::Nobody {
            return unknown();
        }
        match call.phase {
            // It was picked up by somebody else, who has it by now or will soon.
            Phase::Ringing if call.is_decided() => plain(Status::BUSY_HERE),
            Phase::Over => plain(Status::DECLINE),
            _ if side.over => plain(Status::DECLINE),
            Phase::Ringing if which != CALLEE => unknown(),
            Phase::Ringing => {
                super::refresh::check(kit, asked.msg)?;
                let mut result = Ok(());
                self.with(kit, key, |call, desk, kit| {
                    result = call.pick_up(kit, desk, key, asked, (id, asker));
                });
                self.settle(kit);
                result
            }
            Phase::Answered if replaces.early_only => plain(Status::BUSY_HERE),
            Phase::Answered if authority == Authority::Group => plain(Status::FORBIDDEN),
            Phase::Answered => self.take_over(kit, (key, which), asked, (id, asker)),
        }
    }

    /// Who asks is to be in the place of a side of an answered call.
    fn take_over(
        &mut self,
        kit: &mut Kit<'_, '_>,
        (old, which): (CallKey, usize),
        asked: &Asked<'_>,
        (id, asker): (TxnId, Asker),
    ) -> Result<(), Refusal> {
        let Some(call) = self.calls.get(old) else { return Err(Refusal::plain(Status::NO_TRANSACTION)) };
        let kept = call.links.first().map(|link| &link.sides[1 - which]).filter(|side| !side.over);
        let Some(kept) = kept else { return Err(Refusal::plain(Status::DECLINE)) };
        if call.transfer.is_some() || call.serves.is_some() || call.succession.is_some() {
            return Err(Refusal::plain(Status::REQUEST_PENDING));
        }
        let callee = kept.aor.clone();
        let new = self.begin(kit, asked, id, asker, callee)?;
        self.share_session(new, old);
        let (kind, body) = (asked.msg.content_type().unwrap_or(b"application/sdp"), asked.msg.body());
        let offer = Some((kind, body)).filter(|_| !body.is_empty());
        let Some(call) = self.calls.get_mut(old) else { return Ok(()) };
        let is_asked = call.invite_side(kit, old, 1 - which, offer).is_some();
        call.succession = is_asked.then_some(Succession::To(new, which, offer.is_some()));
        if let Some(call) = self.calls.get_mut(new) {
            call.follows = is_asked.then_some(old);
        }
        if !is_asked {
            self.refuse(kit, new, Status::REQUEST_PENDING);
        }
        self.settle(kit);
        Ok(())
    }

    /// The side that stays agrees: it goes on in the new call, and the old one ends.
    pub(super) fn succeed(&mut self, kit: &mut Kit<'_, '_>, new: CallKey, kind: &[u8], body: &[u8]) {
        let next = self.calls.get(new);
        let Some(old) = next.and_then(|call| call.follows) else { return };
        let offer = next.and_then(|call| call.incoming.as_ref()).map(|incoming| incoming.held.clone());
        let Some(call) = self.calls.get_mut(old) else { return };
        let (Some(Succession::To(_, which, _)), Some(link)) = (call.succession, call.links.first_mut())
        else {
            return;
        };
        call.succession = None;
        let client = link.client;
        let mut moved = link.sides[1 - which].leave();
        if let Some(offer) = &offer {
            moved.keep_sdp(offer.message().body());
        }
        self.desk.strike(old, &moved.dialog);
        self.desk.enlist(new, &moved.dialog);
        moved.timer.arm(kit.ctx, super::refresh::wake(new));
        self.with(kit, new, |call, desk, kit| {
            call.follows = None;
            call.take_side(kit, desk, new, (moved, client), (kind, body));
        });
        self.with(kit, old, |call, desk, kit| call.end(kit, desk, old, None, CallEnd::Transferred));
    }

    /// The side that stays does not agree, or is gone: who asked hears it.
    pub(super) fn decline(&mut self, kit: &mut Kit<'_, '_>, new: CallKey, status: u16) {
        let status = match status {
            401 | 407 => Status::FORBIDDEN,
            // What this means for the leg of the one who stays is not so for the new one.
            408 | 422 | 481 | 503 => Status::TEMPORARILY_UNAVAILABLE,
            status => Status(status),
        };
        self.with(kit, new, |call, _, _| call.follows = None);
        self.refuse(kit, new, status);
    }
}

impl Call {
    /// May this side go without ending the call, since somebody else takes its place?
    pub(super) fn is_succeeded(&self, side: usize) -> bool {
        matches!(self.succession, Some(Succession::To(_, which, _)) if which == side)
    }

    /// A new call has the side of an old one as its callee: the caller gets his 200.
    fn take_side(
        &mut self,
        kit: &mut Kit<'_, '_>,
        desk: &mut Desk,
        key: CallKey,
        (callee, client): (Side, ClientKey),
        (kind, body): (&[u8], &[u8]),
    ) {
        let Some(caller) = self.caller_side(kit) else { return };
        desk.enlist(key, &caller.dialog);
        let leg = LegRecord {
            target: callee.aor.clone(),
            remote: callee.dialog.straight().to.remote,
            call_id: owned(callee.dialog.call_id()),
            began: kit.ctx.now,
            status: Status::OK.0,
        };
        self.record.legs.push(leg);
        self.links.push(Link { sides: [caller, callee], errands: Vec::new(), client, early: None });
        self.answer_with(kit, desk, key, (kind, body));
        self.tell_joined(kit.ctx, desk, 0, false);
    }

    /// The side that stays has answered the INVITE by which it was to change hands. False if that is not what it was for.
    pub(super) fn on_succession_answer(
        &mut self,
        kit: &mut Kit<'_, '_>,
        desk: &mut Desk,
        key: CallKey,
        errand: &Errand,
        (status, msg): (u16, Message<'_>),
    ) -> bool {
        let Some(succession) = self.succession else { return false };
        let accepted = (200..300).contains(&status);
        let Some(side) = self.links.first_mut().map(|link| &mut link.sides[errand.to]) else { return true };
        if accepted {
            side.due = Some(errand.number);
        }
        match succession {
            Succession::To(new, _, offered) if accepted => {
                side.offered = (!offered).then(|| msg.body().into());
                let kind = msg.content_type().unwrap_or(b"application/sdp").into();
                desk.inner.push_back(Inner::Succeeded(new, kind, msg.body().into()));
                return true;
            }
            Succession::To(new, ..) => desk.inner.push_back(Inner::Declined(new, status)),
            // It has agreed with somebody who is gone: it is where it was before.
            Succession::Withdrawn(_, offered) if accepted => {
                let sdp = core::mem::take(&mut side.sdp);
                match offered {
                    true => side.acknowledge(kit, None),
                    false => side.acknowledge_with(kit, b"application/sdp", &sdp),
                }
                side.sdp = sdp.clone();
                side.astray = offered && !sdp.is_empty();
                self.succession = None;
                if offered && !sdp.is_empty() {
                    self.invite_side(kit, key, errand.to, Some((b"application/sdp", &sdp)));
                }
            }
            Succession::Withdrawn(..) => {}
        }
        let (Succession::To(_, which, _) | Succession::Withdrawn(which, _)) = succession;
        self.succession = None;
        let left = self.links.first().is_none_or(|link| link.sides[which].over);
        if self.phase == Phase::Answered && (left || matches!(status, 408 | 481)) {
            self.end(kit, desk, key, None, CallEnd::Lost);
        }
        true
    }

    /// Who was to take a place here does not want it any more.
    pub(super) fn withdraw(&mut self, kit: &mut Kit<'_, '_>) {
        let Some(Succession::To(_, which, offered)) = self.succession else { return };
        self.succession = Some(Succession::Withdrawn(which, offered));
        let errands = self.links.iter_mut().flat_map(|link| &mut link.errands);
        for errand in errands.filter(|e| e.method == Method::Invite && e.relayed.is_none()) {
            let (state, does) = table::next(errand.state, Heard::Halt);
            errand.state = state;
            if does == Does::Cancel {
                kit.txn.cancel(kit.ctx, errand.client, None);
            }
        }
    }

    /// The call ends, or the side that stays does not answer: nobody takes a place here.
    pub(super) fn end_succession(&mut self, desk: &mut Desk, status: u16) {
        if let Some(Succession::To(new, ..)) = self.succession.take() {
            desk.inner.push_back(Inner::Declined(new, status));
        }
        if let Some(old) = self.follows.take() {
            desk.inner.push_back(Inner::Withdrawn(old));
        }
    }
}
