//! From a URI to goals: accounts, routes, trunks, other domains, as far as somebody's permissions reach.

use core::cmp::Reverse;
use core::time::Duration;

use smallvec::smallvec;

use super::meaning::{self, Elsewhere, Meaning, Name};
use super::rights::Rights;
use super::{Diversions, Goal, Headers, Step, trunk};
use crate::config::pattern::{self, Place, fill, fits};
use crate::config::{AuthPolicy, CallsConfig, RouteConfig, RouteTo, Settings};
use crate::ctx::Refusal;
use crate::wire::{Status, Uri};

/// What a URI leads to.
#[derive(Clone, Debug)]
pub(super) enum Aim {
    /// An account: it rings, forwards, has a voicemail.
    Account(Box<str>),
    /// Perhaps a user who is no local account: his phones, and without any what the routes say.
    Name { aor: Box<str>, otherwise: Result<Vec<Step>, Refusal> },
    /// What routes, or a permission to relay, say.
    Steps(Vec<Step>),
}

/// One goal, before they are grouped.
#[derive(Clone, Debug)]
pub(super) struct Target {
    pub(super) goal: Goal,
    pub(super) q: u16,
    pub(super) headers: Headers,
    pub(super) timeout: Option<Duration>,
}

/// Whoever aims, and on whose permission.
#[derive(Clone, Copy)]
pub(super) struct Aimer<'a> {
    pub(super) settings: &'a Settings,
    pub(super) calls: &'a CallsConfig,
    pub(super) rights: &'a Rights,
    /// Refuse what nobody has by name.
    pub(super) unknown: Status,
}

impl Aimer<'_> {
    /// What the text of a URI leads to.
    pub(super) fn at_text(&self, text: &str, depth: usize) -> Result<Aim, Refusal> {
        // What was filled into a template may be too long, or no URI any more.
        let uri = Uri::parse(text.as_bytes()).map_err(|_| Refusal::plain(Status::ADDRESS_INCOMPLETE))?;
        self.at(meaning::said(self.settings, &uri), depth)
    }

    /// What that leads to; routes may lead to each other as often as calls may be sent on.
    pub(super) fn at(&self, meaning: Meaning, depth: usize) -> Result<Aim, Refusal> {
        if depth > self.settings.limits.redirects {
            return Err(Refusal::plain(Status::LOOP_DETECTED));
        }
        match meaning {
            Meaning::Account(aor) => Ok(Aim::Account(aor)),
            Meaning::Name(name) => self.at_name(&name, depth),
            Meaning::Gruu(uri) => Ok(self.alone(Goal::Uri { uri, trunk: None })),
            Meaning::Elsewhere(there) => self.at_elsewhere(there, depth),
            Meaning::Emergency => match &self.calls.emergency {
                Some(target) => Aimer { rights: &Rights::Operator, ..*self }.at_text(target, depth + 1),
                None => Err(Refusal::plain(Status::NOT_FOUND)),
            },
            Meaning::Nothing(refusal) => Err(refusal),
        }
    }

    fn at_name(&self, name: &Name, depth: usize) -> Result<Aim, Refusal> {
        let routed = match self.route(&name.place()) {
            Some((route, rest)) => self.by_route(route, rest, &name.place(), depth),
            None => Err(Refusal::plain(self.unknown)),
        };
        if !has_users_elsewhere(self.settings) {
            return routed;
        }
        let aor = name.aor();
        match routed {
            Ok(Aim::Steps(steps)) => Ok(Aim::Name { aor, otherwise: Ok(steps) }),
            Err(refusal) => Ok(Aim::Name { aor, otherwise: Err(refusal) }),
            // A route to one account is another name for it.
            Ok(known) => Ok(known),
        }
    }

    fn at_elsewhere(&self, there: Elsewhere, depth: usize) -> Result<Aim, Refusal> {
        if let Some((route, rest)) = self.route(&there.place()) {
            return self.by_route(route, rest, &there.place(), depth);
        }
        match self.rights.may_relay(self.settings) {
            true => Ok(self.alone(Goal::Uri { uri: there.uri, trunk: None })),
            false => Err(Refusal::because(Status::FORBIDDEN, "No Relaying")),
        }
    }

    fn route<'t>(&self, place: &Place<'t>) -> Option<(&RouteConfig, &'t str)> {
        self.calls.routes.iter().find_map(|route| fits(&route.pattern, place).map(|rest| (route, rest)))
    }

    fn by_route(
        &self,
        route: &RouteConfig,
        rest: &str,
        place: &Place<'_>,
        depth: usize,
    ) -> Result<Aim, Refusal> {
        let mut targets = Vec::new();
        let mut refused = Refusal::plain(self.unknown);
        for to in &route.targets {
            match self.target(to, rest, place, depth) {
                Ok(Aim::Account(aor)) if route.targets.len() == 1 => return Ok(Aim::Account(aor)),
                Ok(aim) => {
                    let q = (route.targets.len() > 1).then_some(to.q);
                    self.flatten(aim, q, to.timeout, &mut targets);
                }
                Err(refusal) => refused = refusal,
            }
        }
        match targets.is_empty() {
            true => Err(refused),
            false => Ok(Aim::Steps(self.steps(targets))),
        }
    }

    fn target(&self, to: &RouteTo, rest: &str, place: &Place<'_>, depth: usize) -> Result<Aim, Refusal> {
        let filled = fill(&to.to, rest, place.user, place.domain);
        if let Some(name) = &to.trunk {
            return self.on_trunk(name, &filled);
        }
        let uri = Uri::parse(filled.as_bytes()).map_err(|_| Refusal::plain(Status::ADDRESS_INCOMPLETE))?;
        match meaning::said(self.settings, &uri) {
            // The operator leads from one to the other: a permission for either is enough.
            Meaning::Elsewhere(there) => {
                let may_dial = |place: &Place<'_>| {
                    !place.is_ours && self.rights.may_dial(self.settings, self.calls, place)
                };
                let may = may_dial(place) || may_dial(&there.place()) || self.rights.may_relay(self.settings);
                match may {
                    true => Ok(self.alone(Goal::Uri { uri: there.uri, trunk: None })),
                    false => Err(not_permitted()),
                }
            }
            meaning => self.at(meaning, depth + 1),
        }
    }

    fn on_trunk(&self, name: &str, user: &str) -> Result<Aim, Refusal> {
        let found = self.calls.trunks.iter().position(|trunk| trunk.name == name);
        let (Some(at), Some(trunk)) = (found, found.and_then(|at| self.calls.trunks.get(at))) else {
            return Err(Refusal::plain(self.unknown));
        };
        // What leaves is what must be permitted, however it was dialled.
        let number = pattern::number(user);
        let leaving = match &number {
            Some(number) => meaning::normalised(self.settings, number),
            None => user.into(),
        };
        let home = self.settings.domains.names().first().map_or("", |name| name);
        let place = Place { user: &leaving, domain: home, is_ours: true };
        if !self.rights.may_dial(self.settings, self.calls, &place) {
            return Err(not_permitted());
        }
        let uri = trunk::request_uri(trunk, &leaving, number.as_deref().unwrap_or(user));
        Ok(self.alone(Goal::Uri { uri: uri.into(), trunk: u16::try_from(at).ok() }))
    }

    /// All goals of one target of a route, with its priority if others compete.
    fn flatten(&self, aim: Aim, q: Option<u16>, timeout: Option<Duration>, out: &mut Vec<Target>) {
        let mut push = |goal, own: u16, headers, own_timeout| {
            let (q, timeout) = (q.unwrap_or(own), timeout.or(own_timeout));
            out.push(Target { goal, q, headers, timeout });
        };
        let steps = match aim {
            // Members of a group ring; what they forward to and their voicemail is theirs alone.
            Aim::Account(aor) => match self.may_be_disturbed(&aor) {
                true => return push(Goal::Aor(aor), 1000, Vec::new(), None),
                false => return,
            },
            Aim::Name { aor, otherwise } => {
                push(Goal::Aor(aor), 1000, Vec::new(), None);
                otherwise.unwrap_or_default()
            }
            Aim::Steps(steps) => steps,
        };
        // Steps of another route come one after the other.
        for (step, own) in steps.into_iter().zip((0..1000).rev()) {
            for (goal, headers) in step.goals.into_iter().zip(step.headers) {
                push(goal, own, headers, Some(step.ring));
            }
        }
    }

    fn may_be_disturbed(&self, aor: &str) -> bool {
        self.settings.accounts.by_aor(aor).is_none_or(|account| !account.forward.do_not_disturb)
    }

    /// Groups by priority: equal ones ring together, higher ones first, and each goal once.
    pub(super) fn steps(&self, mut targets: Vec<Target>) -> Vec<Step> {
        targets.sort_by_key(|target| Reverse(target.q));
        let mut steps: Vec<(u16, Step)> = Vec::new();
        for target in targets {
            if steps.iter().any(|(_, step)| step.goals.contains(&target.goal)) {
                continue;
            }
            let ring = target.timeout.unwrap_or(self.calls.target_timeout);
            match steps.last_mut().filter(|(q, _)| *q == target.q) {
                Some((_, step)) => {
                    step.goals.push(target.goal);
                    step.headers.push(target.headers);
                    step.ring = step.ring.max(ring);
                }
                None => steps.push((target.q, step(target.goal, target.headers, ring))),
            }
        }
        steps.into_iter().map(|(_, step)| step).collect()
    }

    fn alone(&self, goal: Goal) -> Aim {
        Aim::Steps(vec![step(goal, Vec::new(), self.calls.target_timeout)])
    }
}

/// An attempt at one goal.
pub(super) fn step(goal: Goal, headers: Headers, ring: Duration) -> Step {
    Step { goals: smallvec![goal], headers: smallvec![headers], ring, diversions: Diversions::default() }
}

fn not_permitted() -> Refusal {
    Refusal::because(Status::FORBIDDEN, "Not Permitted To Call This")
}

/// Can there be users that are no local accounts: by tokens, by a store of the host, or because nobody is asked?
pub(crate) fn has_users_elsewhere(settings: &Settings) -> bool {
    settings.jwt.is_some()
        || settings.digest.foreign_store
        || !settings.trusted.is_empty()
        || settings.policies.register == AuthPolicy::Open
}
