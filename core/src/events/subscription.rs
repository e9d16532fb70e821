//! What a subscription is (RFC 6665), and what others ask and hear of it.

use core::time::Duration;

use super::form::{Form, Progress};
use super::package::Package;
use super::rates::Rates;
use super::{DialogKey, SubscriptionKey, pace, store};
use crate::base::ids::IdText;
use crate::base::{Time, TimerKey};
use crate::ctx::Ctx;
use crate::door::FlowId;
use crate::wire::Event;

/// May the watcher be told?
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Standing {
    /// The state itself.
    Active,
    /// Nothing yet: somebody has to decide (RFC 6665 s4.1.3 `pending`).
    Pending,
    /// Always the same: nothing is known. The watcher cannot tell that it is not told.
    Blocked,
}

/// One subscription.
#[derive(Clone, Debug)]
pub(crate) struct Subscription {
    pub(super) dialog: DialogKey,
    /// Where it comes from.
    pub(super) host: pace::HostKey,
    /// The id of Event; empty for none.
    pub(super) event_id: Box<[u8]>,
    pub(super) package: Package,
    pub(super) resource: store::ResourceKey,
    /// Its place among the watchers of the resource.
    pub(super) at: u32,
    pub(super) standing: Standing,
    pub(super) since: Time,
    pub(super) expires_at: Time,
    pub(super) timer: TimerKey,
    /// When the last NOTIFY went out, and the timer that holds the next one back.
    pub(super) told: Time,
    pub(super) paced: TimerKey,
    /// Number of the next document.
    pub(super) version: u32,
    /// It waited, and was let in (RFC 3857 s4.7.1).
    pub(super) approved: bool,
    /// CSeq of the last NOTIFY.
    pub(super) number: u32,
    /// A NOTIFY waits for its answer.
    pub(super) in_flight: bool,
    /// Over which socket that one went.
    pub(super) by: FlowId,
    /// It took a stream for its size, where the dialog has none.
    pub(super) detour: bool,
    /// It waits for its turn, or will when the NOTIFY in flight is answered.
    pub(super) due: bool,
    /// It goes before those that are told a change.
    pub(super) urgent: bool,
    /// How often it wants to be told.
    pub(super) rates: Option<Box<Rates>>,
    /// It ends with the next NOTIFY.
    pub(super) end: Option<End>,
    /// How many NOTIFY requests in a row found the peer unable to take them.
    pub(super) failures: u8,
    /// How far it is.
    pub(super) progress: Progress,
    /// Names it in the store; 0 if it is not there.
    pub(super) id: u64,
}

impl Subscription {
    /// It is due, and may be told.
    pub(super) fn is_ready(&self) -> bool {
        self.due && !self.in_flight
    }

    /// What lies between two changes that are told (DECISIONS 28).
    pub(super) fn interval(&self, ctx: &Ctx<'_>) -> Duration {
        match (&ctx.settings.presence, self.package) {
            (Some(presence), Package::Presence) => presence.pacing,
            _ => self.package.pacing(),
        }
    }
}

/// What the engine has to notify; of what tells [`Events::resource`](super::Events::resource).
#[derive(Clone, Copy, Debug)]
pub(crate) struct Due {
    /// Whom.
    pub(crate) key: SubscriptionKey,
    /// Of which package.
    pub(crate) package: Package,
    /// What of it may be told.
    pub(crate) standing: Standing,
    /// The number of the document.
    pub(crate) version: u32,
    /// How far the subscriber is.
    pub(crate) progress: Progress,
    /// It is the last one.
    pub(crate) last: bool,
}

/// A watcher as others see it.
#[derive(Clone, Debug)]
pub(crate) struct Watcher<'s> {
    /// Names the subscription.
    pub(crate) key: SubscriptionKey,
    /// A canonical AoR, or empty.
    pub(crate) name: &'s str,
    /// In which form it is told.
    pub(crate) form: Form,
    /// Whether it waits for a decision.
    pub(crate) standing: Standing,
    /// Whether it waited for a decision, and that was yes.
    pub(crate) approved: bool,
    /// Since when.
    pub(crate) since: Time,
    /// Until when.
    pub(crate) expires_at: Time,
}

/// Why a subscription ends, as a `reason` of Subscription-State (RFC 6665 s4.1.3).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum End {
    /// It expired, or the subscriber ended it.
    Timeout,
    /// What it watched is no more.
    NoResource,
    /// It shall be made anew, and judged anew.
    Deactivated,
    /// It may not watch any more.
    Rejected,
    /// We go away; the subscriber shall come back after so many seconds.
    Probation(u32),
}

/// Who subscribes to what.
pub(crate) struct Wanted<'w> {
    /// The package.
    pub(crate) package: Package,
    /// The parsed Event.
    pub(crate) event: Event<'w>,
    /// A canonical AoR.
    pub(crate) resource: &'w str,
    /// What it may be told.
    pub(crate) standing: Standing,
    /// Seconds granted; 0 is a fetch.
    pub(crate) granted: u32,
    /// In which form it is told.
    pub(crate) form: Form,
}

/// Who begins a dialog, and how.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Party<'w> {
    /// A canonical AoR, or empty.
    pub(crate) watcher: &'w str,
    /// Nobody was asked to prove who he is.
    pub(crate) trusted: bool,
    /// Our tag.
    pub(crate) tag: IdText,
}

/// What a SUBSCRIBE within a dialog is for.
#[derive(Clone, Debug)]
pub(crate) enum Found {
    /// A subscription that it refreshes or ends.
    Subscription(SubscriptionKey),
    /// One more in this dialog.
    Dialog(DialogKey, Joining),
}

/// What is known of the dialog that one more subscription joins.
#[derive(Clone, Debug)]
pub(crate) struct Joining {
    /// What its subscriptions are about: a canonical AoR.
    pub(crate) resource: Box<str>,
    /// Who subscribes: a canonical AoR, or empty.
    pub(crate) watcher: Box<str>,
    /// Nobody was asked to prove who he is.
    pub(crate) trusted: bool,
}
