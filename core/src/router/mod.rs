//! Where a call, or a message, goes: policy, without state and without I/O. RFC 3261 s16.5, DECISIONS 4, 9, 26.
//!
//! What a Request-URI means is decided in this order:
//!
//! | it names | it goes to |
//! |---|---|
//! | a service of RFC 5031 that is an emergency | the configured target, whoever calls but on a trunk |
//! | an account, by any alias of its domain | its phones, then where it forwards to, then its voicemail |
//! | a number of ours (`tel:`, `user=phone`, or digits), normalised | its user, as above |
//! | anything else of our domains | the first route that fits; phones of a user who is no local account ring first |
//! | another domain | the first route that fits; else anywhere, for those who may relay |
//!
//! Nobody gets outside who is not permitted: a trunk, or an address of another domain, is reached by those whose
//! permissions name it. A call that is forwarded goes on with the permissions of whoever forwards it. A caller on a trunk
//! has none, and reaches our users alone (DECISIONS 9). Where the operator himself says where calls go, as for voicemail
//! and emergencies, and where the host answers a [`RouteQuery`](crate::door::RouteQuery), nobody is asked.
//!
//! The result is a [`Plan`]: it gives one step after the other, as it is told how the last one ended.

mod aim;
mod diversion;
mod meaning;
mod plan;
mod rights;
mod trunk;

use core::time::Duration;
use std::sync::Arc;

use smallvec::SmallVec;

use meaning::Meaning;

pub(crate) use aim::has_users_elsewhere;
pub(crate) use diversion::Diversions;
pub(crate) use plan::Plan;
pub(crate) use rights::{is_authenticated, may_relay};
pub(crate) use trunk::{from_uri, trunk_of};

use crate::base::text::owned;
use crate::config::Settings;
use crate::ctx::Refusal;
use crate::door::{Identity, PresenceState};
use crate::wire::{Status, Uri};

/// Who calls.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Caller<'a> {
    /// Whoever the credentials of the request prove.
    Account(&'a Identity),
    /// A trusted peer, which vouches for the caller.
    Trusted,
    /// Somebody on this trunk.
    Trunk(u16),
    /// The host itself.
    Host,
}

/// What is asked for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Asked<'a> {
    /// Who calls.
    pub(crate) caller: Caller<'a>,
    /// His address of record, canonical; empty if he has none here.
    pub(crate) caller_aor: &'a str,
    /// The Request-URI.
    pub(crate) uri: &'a Uri<'a>,
    /// A MESSAGE: it is not forwarded and not deposited, and nobody is disturbed by it.
    pub(crate) is_message: bool,
}

/// What whoever is called is now.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) enum Presence {
    Available,
    Busy,
    Away,
    DoNotDisturb,
    Offline,
    /// Nobody said.
    #[default]
    Unknown,
}

impl From<PresenceState> for Presence {
    fn from(state: PresenceState) -> Presence {
        match state {
            PresenceState::Available => Presence::Available,
            PresenceState::Busy => Presence::Busy,
            PresenceState::Away => Presence::Away,
            PresenceState::DoNotDisturb => Presence::DoNotDisturb,
            PresenceState::Offline => Presence::Offline,
        }
    }
}

/// One attempt: all goals ring together.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Step {
    /// Where to.
    pub(crate) goals: SmallVec<[Goal; 1]>,
    /// Further headers of each goal, in their order. Names are tokens and none of those that hold a call together.
    pub(crate) headers: SmallVec<[Headers; 1]>,
    /// For how long.
    pub(crate) ring: Duration,
    /// Who sent the call on, and why.
    pub(crate) diversions: Diversions,
}

/// Name and value of further headers.
pub(crate) type Headers = Vec<(Box<str>, Box<str>)>;

/// Where to.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Goal {
    /// To the phones of this canonical address of record.
    Aor(Box<str>),
    /// To this URI: a GRUU of ours, which is looked up in memory, or else by RFC 3263. With a trunk, by its credentials
    /// and within its limit.
    Uri { uri: Box<str>, trunk: Option<u16> },
    /// Nowhere: the caller is told to call these instead.
    Redirect(Vec<Box<str>>),
}

/// How a step ended without an answer.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum Ended {
    /// There was no phone, or none that could be reached.
    Offline,
    /// All that rang are busy.
    Busy,
    /// It rang, and nobody answered.
    NoAnswer,
    /// The user does not want to be disturbed.
    DoNotDisturb,
    /// The user does not want this call.
    Declined,
    /// Anything else: the status, 300 to 699.
    Failed(u16),
}

impl Ended {
    /// What a final response means. `rang` is true if the phone had rung before.
    pub(crate) fn of(status: Status, rang: bool) -> Ended {
        match (status.code(), rang) {
            (486 | 600, _) => Ended::Busy,
            (408 | 480 | 487, true) => Ended::NoAnswer,
            (408 | 480 | 430, false) => Ended::Offline,
            // RFC 8197 s5, RFC 8688 s5: unwanted, rejected.
            (603 | 607 | 608, _) => Ended::Declined,
            (status, _) => Ended::Failed(status),
        }
    }
}

/// Where a new call goes. What cannot go anywhere is refused at once: the plan has at least one step.
pub(crate) fn route(
    settings: &Arc<Settings>,
    asked: &Asked<'_>,
    called: Called<'_>,
    presence: Presence,
) -> Result<Plan, Refusal> {
    Plan::new(settings, asked, called.meaning, presence)
}

/// Who is called, before it is decided where that is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Called<'a> {
    meaning: Meaning,
    /// The Request-URI.
    uri: &'a [u8],
}

impl Called<'_> {
    /// A canonical AoR, a number as it was normalised, or `user@host` of another domain; the URI if it is none of these.
    pub(crate) fn text(&self) -> Box<str> {
        match &self.meaning {
            Meaning::Account(aor) => aor.clone(),
            Meaning::Name(name) if name.is_number => name.user.as_str().into(),
            Meaning::Name(name) => name.aor(),
            Meaning::Elsewhere(there) => format!("{}@{}", there.user, there.domain).into(),
            Meaning::Gruu(uri) => uri.clone(),
            Meaning::Emergency | Meaning::Nothing(_) => owned(self.uri),
        }
    }

    /// The AoR whose phones and presence are meant.
    pub(crate) fn aor(&self) -> Option<Box<str>> {
        match &self.meaning {
            Meaning::Account(aor) => Some(aor.clone()),
            Meaning::Name(name) => Some(name.aor()),
            _ => None,
        }
    }
}

/// Who is called: for the question to the host, to look up the presence that [`route`] wants, and for [`route`] itself.
pub(crate) fn called<'a>(settings: &Settings, asked: &Asked<'a>) -> Called<'a> {
    let inbound = trunk::inbound_rules(settings, asked.caller);
    Called { meaning: meaning::of(settings, asked.uri, inbound), uri: asked.uri.raw() }
}

#[cfg(test)]
mod tests;
