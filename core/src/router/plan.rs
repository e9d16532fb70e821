//! One step after the other: the phones, where the account forwards to, the voicemail; or the groups of a route.
//!
//! | what rang | ended | what follows |
//! |---|---|---|
//! | nothing yet, an account that forwards always | | the forwarding; its phones, if that leads nowhere |
//! | phones of an account | offline, busy, no answer | its forwarding for that, else its voicemail |
//! | | do not disturb | its voicemail |
//! | | declined, another failure | nothing |
//! | | a server failure (5xx) | as if it were offline |
//! | phones of a user who is no local account | offline | what the routes say |
//! | a group in which phones of ours ring | anything but declined | the next group |
//! | a trunk, another domain | no answer from there, 408, 5xx | the next group |

use core::fmt;
use std::collections::VecDeque;
use std::sync::Arc;

use super::aim::{Aim, Aimer, Target, step};
use super::diversion::{self, Cause, Diversions};
use super::rights::{Rights, is_authenticated};
use super::{Asked, Caller, Ended, Goal, Headers, Meaning, Presence, Step};
use crate::base::text;
use crate::config::pattern::fill;
use crate::config::{Account, CallsConfig, Settings, Voicemail};
use crate::ctx::Refusal;
use crate::door::RouteTarget;
use crate::wire::{Header, Status, UriScheme};

/// Where a call goes, step by step. It keeps the settings it began with.
#[derive(Clone)]
pub(crate) struct Plan {
    settings: Arc<Settings>,
    /// Whose permissions count from here on.
    rights: Rights,
    /// What comes next.
    queue: VecDeque<Step>,
    ringing: Ringing,
    diversions: Diversions,
    /// Accounts that rang, or sent the call on.
    visited: Vec<Box<str>>,
    /// How often it was sent on.
    hops: usize,
    is_message: bool,
    /// What the caller is told in the end, if nothing better is known.
    refusal: Refusal,
    /// What may be said of somebody who does not exist.
    unknown: Status,
}

/// What rings.
#[derive(Clone, PartialEq, Eq, Debug)]
enum Ringing {
    /// The phones of an account.
    Account(Box<str>),
    /// The phones of a user who is no local account.
    Name,
    /// A group that somebody named.
    Group { is_ours: bool },
}

impl fmt::Debug for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Plan { rights, queue, ringing, diversions, visited, hops, is_message, refusal, .. } = self;
        write!(
            f,
            "Plan({rights:?} {queue:?} {ringing:?} {diversions:?} {visited:?} {hops} {is_message} {refusal:?})"
        )
    }
}

impl Plan {
    pub(super) fn new(
        settings: &Arc<Settings>,
        asked: &Asked<'_>,
        called: Meaning,
        presence: Presence,
    ) -> Result<Plan, Refusal> {
        let mut plan = Plan::empty(settings, asked);
        // DECISIONS 9: what comes over a trunk never leaves by another one, whatever it calls itself.
        if matches!((asked.caller, asked.uri.scheme()), (Caller::Trunk(_), UriScheme::Urn)) {
            return Err(Refusal::plain(plan.unknown));
        }
        let aim = plan.aimer(&plan.rights)?.at(called, 0)?;
        plan.take(aim, presence);
        plan.checked()
    }

    /// What the host answered. It is not asked for permission: who may do what is its own affair.
    pub(crate) fn from_answer(
        settings: &Arc<Settings>,
        asked: &Asked<'_>,
        targets: Vec<RouteTarget>,
    ) -> Result<Plan, Refusal> {
        let mut plan = Plan::empty(settings, asked);
        plan.rights = Rights::Operator;
        let targets = targets.into_iter().map(|target| {
            let headers = target.headers.into_iter().filter(may_be_added).collect();
            (target.uri, target.q, headers, target.timeout)
        });
        plan.queue = plan.aimed(&plan.rights, targets)?.into();
        plan.checked()
    }

    /// The caller is told to call these.
    pub(crate) fn redirect(settings: &Arc<Settings>, asked: &Asked<'_>, to: Vec<Box<str>>) -> Plan {
        let mut plan = Plan::empty(settings, asked);
        plan.queue.push_back(step(Goal::Redirect(to), Vec::new(), core::time::Duration::ZERO));
        plan
    }

    fn empty(settings: &Arc<Settings>, asked: &Asked<'_>) -> Plan {
        // DECISIONS 4: who does not say who he is does not learn who exists.
        let unknown =
            if is_authenticated(asked.caller) { Status::NOT_FOUND } else { Status::TEMPORARILY_UNAVAILABLE };
        Plan {
            settings: settings.clone(),
            rights: Rights::of(settings, asked.caller, asked.caller_aor),
            queue: VecDeque::new(),
            ringing: Ringing::Group { is_ours: false },
            diversions: Diversions::default(),
            visited: Vec::new(),
            hops: 0,
            is_message: asked.is_message,
            refusal: Refusal::plain(Status::TEMPORARILY_UNAVAILABLE),
            unknown,
        }
    }

    fn checked(self) -> Result<Plan, Refusal> {
        if self.queue.is_empty() { Err(self.refusal) } else { Ok(self) }
    }

    /// The first step, or the one that follows how the last one ended; `None` if there is none, and then the caller is
    /// told so.
    pub(crate) fn next(&mut self, ended: Option<Ended>) -> Option<Step> {
        match ended {
            None => self.pop(),
            Some(ended) => match self.ringing.clone() {
                Ringing::Account(aor) => {
                    self.divert(&aor, ended);
                    self.pop()
                }
                Ringing::Name if ended == Ended::Offline => {
                    self.ringing = Ringing::Group { is_ours: false };
                    self.pop()
                }
                Ringing::Name => None,
                Ringing::Group { is_ours } => {
                    if self.goes_on(is_ours, ended) {
                        self.pop()
                    } else {
                        None
                    }
                }
            },
        }
    }

    /// A phone, or a trunk, redirected the call to these (3xx): they are called with the permissions of whoever owns the
    /// phone. `None` if nothing of it may be called; then the phone has failed.
    pub(crate) fn follow(&mut self, contacts: Vec<(Box<str>, u16)>) -> Option<Step> {
        if self.hops >= self.settings.limits.redirects {
            return None;
        }
        let (by, rights) = match &self.ringing {
            Ringing::Account(aor) => (Some(aor.clone()), Rights::Account(aor.clone())),
            Ringing::Name => (self.visited.last().cloned(), Rights::Known),
            // One of a group speaks for nobody; a trunk, and another domain, are paid for by whoever called them.
            Ringing::Group { is_ours: true } => (None, Rights::Nobody),
            Ringing::Group { is_ours: false } => (None, self.rights.clone()),
        };
        let first = contacts.first().map(|(uri, _)| uri.clone())?;
        let contacts = contacts.into_iter().map(|(uri, q)| (uri, q, Vec::new(), None));
        let steps = self.aimed(&rights, contacts).ok()?;
        self.hops += 1;
        self.rights = rights;
        if let Some(by) = by {
            self.diversions.push(&by, Cause::Deflection, &first);
        }
        self.ringing = Ringing::Group { is_ours: false };
        for step in steps.into_iter().rev() {
            self.queue.push_front(step);
        }
        self.pop()
    }

    /// How many steps may follow.
    pub(crate) fn left(&self) -> usize {
        self.queue.len()
    }

    /// What the caller is told when there is no further step and no phone said anything better.
    pub(crate) fn refusal(&self) -> &Refusal {
        &self.refusal
    }

    fn pop(&mut self) -> Option<Step> {
        let mut step = self.queue.pop_front()?;
        if let Ringing::Group { is_ours } = &mut self.ringing {
            *is_ours = step.goals.iter().any(|goal| matches!(goal, Goal::Aor(_)));
        }
        step.diversions = self.diversions.clone();
        Some(step)
    }

    fn goes_on(&self, is_ours: bool, ended: Ended) -> bool {
        match ended {
            Ended::Declined => self.settings.calls.as_ref().is_some_and(|calls| calls.decline_is_local),
            Ended::Offline | Ended::Failed(500..=599) => true,
            _ => is_ours,
        }
    }

    /// Sets what rings first.
    fn take(&mut self, aim: Aim, presence: Presence) {
        match aim {
            Aim::Account(aor) => self.enter(aor, presence),
            Aim::Name { aor, otherwise } => {
                let ring = self.calls().map_or(core::time::Duration::ZERO, |calls| calls.target_timeout);
                self.ringing = Ringing::Name;
                self.queue.push_back(step(Goal::Aor(aor.clone()), Vec::new(), ring));
                self.visited.push(aor);
                match otherwise {
                    Ok(steps) => self.queue.extend(steps),
                    Err(refusal) => self.refusal = refusal,
                }
            }
            Aim::Steps(steps) => {
                self.ringing = Ringing::Group { is_ours: false };
                self.queue.extend(steps);
            }
        }
    }

    /// An account is called: it rings, or sends the call on without having been asked.
    fn enter(&mut self, aor: Box<str>, presence: Presence) {
        let settings = self.settings.clone();
        let Some(account) = settings.accounts.by_aor(&aor) else { return };
        let Some(calls) = settings.calls.as_ref() else { return };
        self.visited.push(aor.clone());
        self.ringing = Ringing::Account(aor.clone());
        if !self.is_message {
            if let Some(always) = &account.forward.always
                && self.send_on(&aor, always, Cause::Unconditional)
            {
                return;
            }
            if account.forward.do_not_disturb || presence == Presence::DoNotDisturb {
                // RFC 3261 s21.4.18: 480 is also for who has activated "do not disturb".
                return self.divert(&aor, Ended::DoNotDisturb);
            }
        }
        let ring = account.forward.after.unwrap_or(calls.target_timeout);
        self.queue.push_back(step(Goal::Aor(aor), Vec::new(), ring));
    }

    /// The phones of an account have not answered.
    fn divert(&mut self, aor: &str, ended: Ended) {
        let settings = self.settings.clone();
        let Some(account) = settings.accounts.by_aor(aor) else { return };
        let forward = &account.forward;
        let (target, cause) = match ended {
            _ if self.is_message => return,
            Ended::Offline | Ended::Failed(500..=599) => (&forward.offline, Cause::Unavailable),
            Ended::Busy => (&forward.busy, Cause::Busy),
            Ended::NoAnswer => (&forward.no_answer, Cause::NoAnswer),
            Ended::DoNotDisturb => (&None, Cause::DoNotDisturb),
            Ended::Declined | Ended::Failed(_) => return,
        };
        let sent = target.as_ref().is_some_and(|target| self.send_on(aor, target, cause));
        if !sent {
            self.deposit(account, aor, cause);
        }
    }

    /// Sends the call on with the permissions of the account; false if that leads nowhere.
    fn send_on(&mut self, by: &str, target: &str, cause: Cause) -> bool {
        if self.hops >= self.settings.limits.redirects {
            return false;
        }
        let before = self.clone();
        let rights = Rights::Account(by.into());
        let Ok(aim) = self.aimer(&rights).and_then(|aimer| aimer.at_text(target, 0)) else { return false };
        if let Aim::Account(aor) = &aim
            && self.visited.contains(aor)
        {
            return false;
        }
        self.rights = rights;
        self.diversions.push(by, cause, target);
        self.hops += 1;
        self.take(aim, Presence::Unknown);
        if self.queue.is_empty() {
            // Nobody rings there: as if it had not been tried.
            *self = before;
            return false;
        }
        true
    }

    fn deposit(&mut self, account: &Account, aor: &str, cause: Cause) {
        let template = match &account.voicemail {
            Voicemail::Off => return,
            Voicemail::To(own) => Some(own),
            Voicemail::Common => self.calls().ok().and_then(|calls| calls.voicemail.as_ref()),
        };
        let Some(template) = template else { return };
        let (user, domain) = aor.rsplit_once('@').unwrap_or((aor, ""));
        let uri = diversion::mailbox(&fill(template, "", user, domain), aor, cause);
        // The operator's own word; an account's is as good as its permissions.
        let rights = match account.voicemail {
            Voicemail::To(_) => Rights::Account(aor.into()),
            Voicemail::Common | Voicemail::Off => Rights::Operator,
        };
        let Ok(aim) = self.aimer(&rights).and_then(|aimer| aimer.at_text(&uri, 0)) else { return };
        let steps = match aim {
            // Whoever rang already, or sent the call on, keeps no voicemail for himself.
            Aim::Account(aor) if self.visited.contains(&aor) => return,
            // A voicemail rings; it sends nothing on.
            Aim::Account(aor) | Aim::Name { aor, .. } => {
                let ring = self.calls().map_or(core::time::Duration::ZERO, |calls| calls.target_timeout);
                vec![step(Goal::Aor(aor), Vec::new(), ring)]
            }
            Aim::Steps(steps) => steps,
        };
        self.rights = rights;
        self.diversions.push(aor, cause, &uri);
        self.ringing = Ringing::Group { is_ours: false };
        self.queue = steps.into();
    }

    fn calls(&self) -> Result<&CallsConfig, Refusal> {
        calls_of(&self.settings)
    }

    fn aimer<'p>(&'p self, rights: &'p Rights) -> Result<Aimer<'p>, Refusal> {
        let settings = &self.settings;
        Ok(Aimer { settings, calls: calls_of(settings)?, rights, unknown: self.unknown })
    }

    /// Targets that somebody named, in groups. A user of ours is his phones, unless they rang already. Without any that may
    /// be called it is what the last of them was refused for.
    fn aimed(
        &self,
        rights: &Rights,
        targets: impl Iterator<Item = (Box<str>, u16, Headers, Option<core::time::Duration>)>,
    ) -> Result<Vec<Step>, Refusal> {
        let aimer = self.aimer(rights)?;
        let mut found = Vec::new();
        let mut refused = Refusal::plain(Status::TEMPORARILY_UNAVAILABLE);
        for (uri, q, headers, timeout) in targets {
            let goals = match aimer.at_text(&uri, 0) {
                Ok(Aim::Account(aor) | Aim::Name { aor, otherwise: Err(_) }) => vec![Goal::Aor(aor)],
                Ok(Aim::Name { aor, otherwise: Ok(steps) }) => {
                    let further = steps.into_iter().flat_map(|step| step.goals);
                    core::iter::once(Goal::Aor(aor)).chain(further).collect()
                }
                Ok(Aim::Steps(steps)) => steps.into_iter().flat_map(|step| step.goals).collect(),
                Err(refusal) => {
                    refused = refusal;
                    continue;
                }
            };
            let target = |goal| Target { goal, q, headers: headers.clone(), timeout };
            let rang = |goal: &Goal| matches!(goal, Goal::Aor(aor) if self.visited.contains(aor));
            found.extend(goals.into_iter().filter(|goal| !rang(goal)).map(target));
        }
        if found.is_empty() { Err(refused) } else { Ok(aimer.steps(found)) }
    }
}

fn calls_of(settings: &Settings) -> Result<&CallsConfig, Refusal> {
    settings.calls.as_ref().ok_or(Refusal::plain(Status::METHOD_NOT_ALLOWED))
}

/// Headers that a host may add: tokens, and none by which a call is held together or somebody proves who he is.
fn may_be_added((name, value): &(Box<str>, Box<str>)) -> bool {
    let ours = matches!(
        Header::of(name.as_bytes()),
        Header::Via
            | Header::From
            | Header::To
            | Header::CallId
            | Header::Cseq
            | Header::Contact
            | Header::MaxForwards
            | Header::MaxBreadth
            | Header::Route
            | Header::RecordRoute
            | Header::Path
            | Header::ContentLength
            | Header::ContentType
            | Header::ContentEncoding
            | Header::ContentDisposition
            | Header::Authorization
            | Header::ProxyAuthorization
            | Header::Require
            | Header::ProxyRequire
            | Header::Supported
            | Header::SessionExpires
            | Header::MinSe
            | Header::Rseq
            | Header::Rack
            | Header::Replaces
            | Header::Diversion
            | Header::HistoryInfo
    );
    !ours && text::is_token(name.as_bytes()) && !value.bytes().any(|b| b < b' ' || b == 0x7f)
}
