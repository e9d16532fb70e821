//! Trunks that ask who we are: RFC 3261 s22.2 and s22.3, DECISIONS 3. An INVITE that is challenged is sent once more with
//! our credentials for that trunk, in the same dialog to the same place; what follows in that dialog carries them from
//! the beginning. A second challenge counts as 403, unless only the nonce was old.

use super::call::{Call, Side};
use super::table::State;
use super::{CallKey, Desk, Kit, write};
use crate::ctx::Ctx;
use crate::proof::Asked;
use crate::txn::Usage;
use crate::wire::{Header, Message, Method};

/// Our answer to the challenge of a trunk; `None` if there is none, or no credentials for it.
pub(super) fn answer(
    ctx: &mut Ctx<'_>,
    trunk: Option<u16>,
    asked: &mut Option<Box<Asked>>,
    method: Method,
    uri: &[u8],
) -> Option<(Header, String)> {
    let settings = ctx.settings.clone();
    let asked = asked.as_mut()?;
    let trunk = settings.calls.as_ref()?.trunks.get(usize::from(trunk?))?;
    let password = trunk.password.as_ref().filter(|_| !trunk.username.is_empty())?;
    Some(asked.answer(ctx, (&trunk.username, &password.0), method.as_str(), uri))
}

impl Call {
    /// An attempt was challenged: it is made again with credentials. False if there are none, or they are not good.
    pub(super) fn retry_proved(
        &mut self,
        kit: &mut Kit<'_, '_>,
        desk: &mut Desk,
        key: CallKey,
        i: usize,
        msg: Message<'_>,
    ) -> bool {
        let Some(attempt) = self.attempts.get_mut(i) else { return false };
        let trunks = kit.ctx.settings.calls.as_ref().map_or(&[][..], |calls| &calls.trunks);
        let known = attempt.hop.trunk.and_then(|trunk| trunks.get(usize::from(trunk)));
        let Some(asked) = Asked::of(msg).filter(|_| known.is_some_and(|trunk| trunk.password.is_some()))
        else {
            return false;
        };
        // They were refused, and not for the age of the nonce; nor does a trunk grow old with each answer.
        let tried = attempt.asked.is_some();
        if tried && !(asked.stale && attempt.asked.as_ref().is_some_and(|last| !last.stale)) {
            return false;
        }
        attempt.asked = Some(Box::new(asked));
        self.send_again(kit, desk, key, i)
    }

    /// The INVITE of an attempt once more, as a new request of the same dialog.
    pub(super) fn send_again(
        &mut self,
        kit: &mut Kit<'_, '_>,
        desk: &mut Desk,
        key: CallKey,
        i: usize,
    ) -> bool {
        let Some(old) = self.attempts.get(i).map(|attempt| attempt.client) else { return false };
        self.lose(kit, desk, key, old);
        let Some(attempt) = self.attempts.get_mut(i) else { return false };
        let proof =
            answer(kit.ctx, attempt.hop.trunk, &mut attempt.asked, Method::Invite, &attempt.hop.contact);
        let again = write::Again { min_se: attempt.min_se, proof };
        let invite = match (&self.incoming, &self.invitation) {
            (Some(incoming), _) => {
                let invite = incoming.held.message();
                let Ok(caller) = invite.from() else { return false };
                write::invite(kit, &mut attempt.base, (invite, &caller), &self.asker, &attempt.hop, &again)
            }
            (None, Some(invitation)) => {
                let by = &invitation.referred_by;
                write::invite_sought(kit, &mut attempt.base, by, &attempt.hop, &again)
            }
            (None, None) => return false,
        };
        let sent = kit.send(Method::Invite, Usage::Call(key.to_bits()), invite);
        let Some(client) = sent else { return false };
        (attempt.client, attempt.state) = (client, State::Calling);
        true
    }
}

impl Side {
    /// Our credentials for a request to him, if his trunk asked for any.
    pub(super) fn prove(&mut self, ctx: &mut Ctx<'_>, method: Method) -> Option<(Header, String)> {
        let target = self.asked.is_some().then(|| self.dialog.target().to_vec())?;
        answer(ctx, self.trunk, &mut self.asked, method, &target)
    }
}
