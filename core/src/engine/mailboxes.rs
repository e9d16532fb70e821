//! Where mailboxes meet their neighbours: what is said about them by PUBLISH, by NOTIFY and by the host, and who is told.
//! RFC 3842.
//!
//! Nobody is told who did not subscribe: NOTIFY requests outside a subscription are not sent (RFC 6665 s4.2.2).

use super::Engine;
use super::dispatch::Pass;
use super::presence::asked_for;
use crate::auth::Allowed;
use crate::config::{AorBuf, Settings, fits};
use crate::ctx::{Extra, Refusal};
use crate::door::{Identity, MessageSummary, PresenceRefusal, ReplyBody};
use crate::events::Package;
use crate::mailboxes::read_body;
use crate::wire::Status;

/// May somebody who does not own it subscribe to a mailbox?
pub(super) fn may_hear(settings: &Settings, watcher: &str, mailbox: &str) -> bool {
    let fitting = |config: &crate::config::MessageSummaryConfig| {
        config.rules.iter().any(|rule| fits(&rule.mailbox, mailbox) && fits(&rule.watcher, watcher))
    };
    settings.message_summary.as_ref().is_some_and(fitting)
}

/// May somebody say what waits in a mailbox?
pub(super) fn may_say(settings: &Settings, who: &Identity, mailbox: &str) -> bool {
    let named = |config: &crate::config::MessageSummaryConfig| {
        config.publishers.iter().any(|publisher| who.aors.contains(publisher))
    };
    who.owns(mailbox) || settings.message_summary.as_ref().is_some_and(named)
}

impl Engine {
    /// A NOTIFY outside a subscription, whose sender was let in: what messaging servers say that do not publish.
    pub(super) fn serve_notify(&mut self, pass: &Pass<'_>, allowed: &Allowed) {
        match self.take_notify(pass, &allowed.identity) {
            Ok(changed) => {
                self.respond(pass, Status::OK, |_, _| {});
                self.tell_outcome(pass, Status::OK, allowed.verdict);
                if let Some(aor) = changed {
                    self.mailbox_changed(&aor);
                }
            }
            Err(refusal) => self.refuse_as(pass, &refusal, allowed.verdict),
        }
    }

    fn take_notify(&mut self, pass: &Pass<'_>, who: &Identity) -> Result<Option<Box<str>>, Refusal> {
        let settings = self.house.settings.clone();
        let mut aor = AorBuf::new();
        let mailbox = asked_for(&settings.domains, pass, &mut aor)?;
        if !may_say(&settings, who, mailbox) {
            return Err(Refusal::plain(Status::FORBIDDEN));
        }
        if Package::of(&settings, pass.msg)?.0 != Package::MessageSummary {
            return Err(Refusal::with(Status::BAD_EVENT, Extra::AllowEvents));
        }
        let summary = read_body(pass.msg)?;
        let changed = self.rooms.mailboxes.say(&self.house.ctx(), mailbox, Some(summary))?;
        Ok(changed.then(|| mailbox.into()))
    }

    /// What waits in a mailbox changed.
    pub(super) fn mailbox_changed(&mut self, aor: &str) {
        let mut ctx = self.house.ctx();
        self.rooms.events.changed(&mut ctx, Package::MessageSummary, aor);
    }

    /// What the host asks.
    pub(super) fn view_mailbox(&mut self, aor: &str) -> ReplyBody {
        match self.mailbox_of(aor) {
            Ok(aor) => ReplyBody::MessageSummary(self.rooms.mailboxes.summary(&aor).cloned().map(Box::new)),
            Err(refusal) => ReplyBody::NoPresence(refusal),
        }
    }

    /// What the host says.
    pub(super) fn say_mailbox(&mut self, aor: &str, summary: Option<MessageSummary>) -> ReplyBody {
        let aor = match self.mailbox_of(aor) {
            Ok(aor) => aor,
            Err(refusal) => return ReplyBody::NoPresence(refusal),
        };
        match self.rooms.mailboxes.say(&self.house.ctx(), &aor, summary) {
            Ok(true) => self.mailbox_changed(&aor),
            Ok(false) => {}
            Err(_) => return ReplyBody::NoPresence(PresenceRefusal::Full),
        }
        ReplyBody::Done
    }

    fn mailbox_of(&self, aor: &str) -> Result<Box<str>, PresenceRefusal> {
        if self.house.settings.message_summary.is_none() {
            return Err(PresenceRefusal::MessagesOff);
        }
        self.canonical(aor).ok_or(PresenceRefusal::NotOurs)
    }
}
