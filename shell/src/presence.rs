//! Presence for the rest of the program: what a presentity is now, and publishing for it; what waits in mailboxes. The engine composes what the
//! program says with what phones say and with registrations, and tells every watcher.

use std::time::Duration;

use strowger_core::door::{
    BuddyList, MessageSummary, OwnPresence, PresenceRefusal, PresenceState, PresenceView, ReplyBody, Request,
    SubscriptionView,
};
use thiserror::Error;

use crate::handle::{Handle, HandleError};
use crate::news::Changes;

/// Reads and publishes presence and message summaries. Cheap to clone, usable from any thread and any runtime.
///
/// An address of record is `user@domain` or a SIP URI of a domain the server serves; any spelling of it will do.
#[derive(Clone, Debug)]
pub struct PresenceHandle {
    engine: Handle,
}

/// Why nothing can be said or done about presence.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
#[non_exhaustive]
pub enum PresenceError {
    /// The server is not running, or ended before it replied.
    #[error("the server is not running")]
    Stopped,
    /// Too many requests wait for the engine.
    #[error("too many requests wait for the engine")]
    Busy,
    /// The server serves presence, but not this.
    #[error(transparent)]
    Refused(#[from] PresenceRefusal),
}

impl PresenceHandle {
    pub(crate) fn new(engine: Handle) -> PresenceHandle {
        PresenceHandle { engine }
    }

    /// What a presentity is now: all in all, device by device with how each is known, and as the document its watchers
    /// get. Somebody about whom nothing is known is [`Offline`](PresenceState::Offline), whether there is such a user
    /// or not.
    pub async fn get_presence(&self, aor: &str) -> Result<PresenceView, PresenceError> {
        match self.ask(Request::Presence { aor: aor.into() }).await? {
            ReplyBody::Presence(view) => Ok(*view),
            other => Err(refusal(&other)),
        }
    }

    /// Publishes for a presentity, in place of what the program published for it before. It lasts for whole seconds, one
    /// at least, and no longer than what a phone publishes may
    /// ([`publish_max_expires`](strowger_core::config::PresenceConfig::publish_max_expires)); then it ends by itself,
    /// unless it is published again. An empty note says nothing.
    pub async fn update_presence(
        &self,
        aor: &str,
        state: PresenceState,
        note: &str,
        lasts: Duration,
    ) -> Result<(), PresenceError> {
        self.publish(aor, Some(OwnPresence { state, note: note.into(), lasts })).await
    }

    /// Takes back what the program published for a presentity. What phones say about it stays.
    pub async fn withdraw_presence(&self, aor: &str) -> Result<(), PresenceError> {
        self.publish(aor, None).await
    }

    /// Lets a watcher see a presentity, now and from now on, whether it waits for that or was shown nothing so far.
    pub async fn allow_watcher(&self, aor: &str, watcher: &str) -> Result<(), PresenceError> {
        self.order(Request::DecideWatcher { aor: aor.into(), watcher: watcher.into(), allow: true }).await
    }

    /// Shows a watcher, now and from now on, a presentity about whom nothing is known.
    pub async fn block_watcher(&self, aor: &str, watcher: &str) -> Result<(), PresenceError> {
        self.order(Request::DecideWatcher { aor: aor.into(), watcher: watcher.into(), allow: false }).await
    }

    /// The buddies of somebody: the first list made of accounts that he may subscribe to
    /// ([`ListMembers`](strowger_core::config::ListMembers)), as he would see it, and as the body of RFC 4662 that a phone
    /// gets.
    pub async fn get_buddy_list(&self, aor: &str) -> Result<BuddyList, PresenceError> {
        self.look_at_list(aor, None).await
    }

    /// The same of the list with this address.
    pub async fn get_list(&self, list: &str, watcher: &str) -> Result<BuddyList, PresenceError> {
        self.look_at_list(watcher, Some(list)).await
    }

    async fn look_at_list(&self, watcher: &str, list: Option<&str>) -> Result<BuddyList, PresenceError> {
        let request = Request::BuddyList { watcher: watcher.into(), list: list.map(Into::into) };
        match self.ask(request).await? {
            ReplyBody::BuddyList(list) => Ok(*list),
            other => Err(refusal(&other)),
        }
    }

    /// Says what waits in a mailbox, in place of what the program said before, and lights the lamps of the phones that
    /// subscribed (RFC 3842). It holds until the program or a messaging server says something else; it is not kept over a
    /// restart. Without an account the configured one is named
    /// ([`account`](strowger_core::config::MessageSummaryConfig::account)).
    pub async fn set_message_summary(&self, aor: &str, summary: MessageSummary) -> Result<(), PresenceError> {
        self.order(Request::SetMessageSummary { aor: aor.into(), summary: Some(summary) }).await
    }

    /// Takes back what the program said about a mailbox. What a messaging server said stays; if there is nothing of that,
    /// no messages wait.
    pub async fn withdraw_message_summary(&self, aor: &str) -> Result<(), PresenceError> {
        self.order(Request::SetMessageSummary { aor: aor.into(), summary: None }).await
    }

    /// What waits in a mailbox; `None` if nobody said anything about it.
    pub async fn message_summary(&self, aor: &str) -> Result<Option<MessageSummary>, PresenceError> {
        match self.ask(Request::MessageSummary { aor: aor.into() }).await? {
            ReplyBody::MessageSummary(summary) => Ok(summary.map(|summary| *summary)),
            other => Err(refusal(&other)),
        }
    }

    /// Subscriptions of all packages behind this number (0 for the beginning), in the order of their numbers: at most
    /// `limit`, and at most 1,000. The last one's number is where the next page begins.
    pub async fn subscriptions(
        &self,
        after: u64,
        limit: usize,
    ) -> Result<Vec<SubscriptionView>, PresenceError> {
        match self.ask(Request::Subscriptions { after, limit }).await? {
            ReplyBody::Subscriptions(found) => Ok(found),
            other => Err(refusal(&other)),
        }
    }

    /// News from now on: presentities that changed, watchers that come and go. Changes are told as they happen, not at
    /// the pace of watchers; while nobody listens they cost nothing.
    ///
    /// To follow somebody, listen first and then [`get_presence`](Self::get_presence): changes whose `version` is not
    /// above that of the view are in it already.
    pub fn changes(&self) -> Result<Changes, PresenceError> {
        self.engine.listen().map_err(unreached)
    }

    async fn publish(&self, aor: &str, presence: Option<OwnPresence>) -> Result<(), PresenceError> {
        self.order(Request::Publish { aor: aor.into(), presence }).await
    }

    async fn order(&self, request: Request) -> Result<(), PresenceError> {
        match self.ask(request).await? {
            ReplyBody::Done => Ok(()),
            other => Err(refusal(&other)),
        }
    }

    async fn ask(&self, request: Request) -> Result<ReplyBody, PresenceError> {
        let awaited = self.engine.ask(request).map_err(unreached)?;
        awaited.await.ok_or(PresenceError::Stopped)
    }
}

fn unreached(error: HandleError) -> PresenceError {
    match error {
        HandleError::Busy => PresenceError::Busy,
        HandleError::Stopped | HandleError::Full | HandleError::Refused(_) => PresenceError::Stopped,
    }
}

fn refusal(body: &ReplyBody) -> PresenceError {
    match body {
        ReplyBody::NoPresence(why) => PresenceError::Refused(*why),
        // The engine answers these requests with nothing else.
        _ => PresenceError::Stopped,
    }
}
