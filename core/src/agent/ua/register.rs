//! Registrations of user agents: RFC 3261 s10.2, RFC 5626 s4.
//!
//! | state | register | found | not found | 2xx | it will not do | it may later | timer | the connection is gone | unregister | taken back |
//! |---|---|---|---|---|---|---|---|---|---|---|
//! | Unregistered | Registering, find | - | - | - | - | - | - | - | - | - |
//! | Registering | - | REGISTER | Waiting | Registered | Failed | Waiting | - | Waiting | Unregistering | - |
//! | Registered | - | - | - | - | - | - | Refreshing, REGISTER | Registering, find | Unregistering | - |
//! | Refreshing | - | - | - | Registered | Failed | Waiting | - | Waiting | Unregistering | - |
//! | Waiting | Registering, find | - | - | - | - | - | Registering, find | - | Unregistering | - |
//! | Failed | Registering, find | - | - | - | - | - | - | - | Unregistering | - |
//! | Unregistering | Registering | - | - | - | - | - | - | - | - | Unregistered |
//!
//! 401, 407, 423, 420 and 439 are answered within the task, and are no states. What a server never granted is not taken
//! back: Unregistering ends at once then.
//!
//! A wait is RFC 5626 s4.5's: between half and the whole of 30 s times two to the power of the failures in a row, 90 s if
//! another server holds, 1800 s at most; longer if Retry-After says so.

use core::time::Duration;

use super::alive::Alive;
use super::{Kit, Of, Ua, UaKey, Uas};
use crate::agent::{Learned, OWN_IDS, Registering, Step};
use crate::base::TimerKey;
use crate::base::ids::IdKind;
use crate::base::text::owned;
use crate::config::Settings;
use crate::ctx::{Ctx, Origin, Timer, UaTimer};
use crate::dialog::session_timer;
use crate::door::{UaRefusal, UaRegistration as State, UaRegistrationView, UaStep};

/// What a user agent may be sent (RFC 3261 s20.5).
pub(crate) const ALLOW: &str =
    "INVITE, ACK, CANCEL, BYE, OPTIONS, PRACK, UPDATE, INFO, MESSAGE, REFER, NOTIFY";
/// The extensions that may be required of them.
pub(crate) fn supported(settings: &Settings) -> &'static str {
    match session_timer::is_on(settings) {
        true => "100rel, timer, replaces, norefersub",
        false => "100rel, replaces, norefersub",
    }
}
/// RFC 5626 s4.5: if all have failed.
const BASE_ALL: Duration = Duration::from_secs(30);
/// The same if one has not.
const BASE_SOME: Duration = Duration::from_secs(90);
const LONGEST: Duration = Duration::from_secs(1800);

/// One registration: at one server, which is the first hop of everything else, too.
#[derive(Clone, Debug)]
pub(super) struct Registration {
    server: Box<str>,
    state: State,
    /// The host wants it.
    wanted: bool,
    /// It has been there since it was wanted.
    proven: bool,
    /// Where the server was found.
    pub(super) to: Option<Origin>,
    /// It is being looked for.
    looking: bool,
    failures: u32,
    pub(super) learned: Learned,
    /// The number of its task; 0 before the first.
    task: u64,
    again: TimerKey,
    pub(super) alive: Alive,
}

impl Registration {
    pub(super) fn new(server: Box<str>) -> Registration {
        Registration {
            server,
            state: State::Unregistered,
            wanted: false,
            proven: false,
            to: None,
            looking: false,
            failures: 0,
            learned: Learned::default(),
            task: 0,
            again: TimerKey::NONE,
            alive: Alive::default(),
        }
    }

    pub(super) fn view(&self) -> UaRegistrationView {
        UaRegistrationView {
            server: self.server.clone(),
            remote: self.to.map(|to| to.remote),
            state: self.state.clone(),
            gruu: owned(&self.learned.gruu),
            service_route: owned(&self.learned.service_route),
            failures: self.failures,
        }
    }

    /// The number of its task; 0 if it has none.
    pub(super) fn task(&self) -> u64 {
        self.task
    }

    /// The server has it.
    pub(super) fn stands(&self) -> bool {
        matches!(self.state, State::Registered { .. } | State::Refreshing)
    }

    pub(super) fn disarm(&self, ctx: &mut Ctx<'_>) {
        ctx.timers.disarm(self.again);
        self.alive.clone().stop(ctx);
    }

    /// Its server is not being looked for, now or later.
    pub(super) fn is_idle(&self) -> bool {
        !self.looking && self.again.is_none()
    }
}

impl Ua {
    pub(super) fn registration(&mut self, i: u16) -> Option<&mut Registration> {
        self.registrations.get_mut(usize::from(i))
    }
}

impl Uas {
    pub(super) fn register(&mut self, kit: &mut Kit<'_, '_>, key: UaKey) -> Result<(), UaRefusal> {
        let ua = self.list.get_mut(key).ok_or(UaRefusal::Unknown)?;
        if ua.closing {
            return Err(UaRefusal::Unknown);
        }
        for i in 0..ua.registrations.len() as u16 {
            let Some(registration) = self.list.get_mut(key).and_then(|ua| ua.registration(i)) else { break };
            if !core::mem::replace(&mut registration.wanted, true) {
                registration.proven = false;
            }
            match registration.state {
                State::Registering | State::Registered { .. } | State::Refreshing => {}
                _ => self.begin(kit.ctx, key, i),
            }
        }
        Ok(())
    }

    pub(super) fn unregister(&mut self, kit: &mut Kit<'_, '_>, key: UaKey) {
        let Some(count) = self.list.get(key).map(|ua| ua.registrations.len() as u16) else { return };
        for i in 0..count {
            let Some(registration) = self.list.get_mut(key).and_then(|ua| ua.registration(i)) else { break };
            registration.wanted = false;
            registration.failures = 0;
            kit.ctx.timers.disarm(core::mem::take(&mut registration.again));
            registration.alive.stop(kit.ctx);
            let task = registration.task;
            match registration.state {
                State::Unregistered | State::Unregistering => continue,
                _ => self.now(key, i, State::Unregistering),
            }
            // What was never granted is over at once, and says so.
            if task == 0 || !kit.agent.end(kit.ctx, kit.txn, OWN_IDS | task) {
                self.has_no_task(key, i);
                self.now(key, i, State::Unregistered);
            }
        }
    }

    fn has_no_task(&mut self, key: UaKey, i: u16) {
        let Some(registration) = self.list.get_mut(key).and_then(|ua| ua.registration(i)) else { return };
        self.tasks.remove(&(OWN_IDS | core::mem::take(&mut registration.task)));
    }

    /// Finds out where the server is; what is to be done there follows.
    fn begin(&mut self, ctx: &mut Ctx<'_>, key: UaKey, i: u16) {
        let Some(registration) = self.list.get_mut(key).and_then(|ua| ua.registration(i)) else { return };
        ctx.timers.disarm(core::mem::take(&mut registration.again));
        if registration.wanted {
            self.now(key, i, State::Registering);
        }
        self.find(key, i);
    }

    /// Finds out where the server is, unless that is being done.
    pub(super) fn find(&mut self, key: UaKey, i: u16) {
        let Some(registration) = self.list.get_mut(key).and_then(|ua| ua.registration(i)) else { return };
        if core::mem::replace(&mut registration.looking, true) {
            return;
        }
        let uri = registration.server.clone();
        self.ticket = (self.ticket + 1) % TICKETS;
        self.looking.insert(self.ticket, (key, i));
        self.finds.push(super::Find { ticket: self.ticket, uri });
    }

    /// A server was found, or is nowhere.
    pub(crate) fn found(&mut self, kit: &mut Kit<'_, '_>, ticket: u32, to: Option<&Origin>) {
        let Some((key, i)) = self.looking.remove(&ticket) else { return };
        let Some(ua) = self.list.get_mut(key) else { return };
        let Some(registration) = ua.registration(i) else { return };
        registration.looking = false;
        registration.to = to.copied();
        let Some(to) = to else {
            return self.failed(kit.ctx, key, i, (503, None));
        };
        if registration.wanted && registration.state == State::Registering {
            if registration.task == 0 {
                self.last += 1;
                registration.task = self.last;
            }
            let task = registration.task;
            let instance = ua.account.instance.clone();
            let flows = !instance.is_empty();
            let registering = Registering {
                contact: ua.contact.clone(),
                instance,
                reg_id: if flows { i + 1 } else { 0 },
                sips: ua.is_secure(),
                allow: ALLOW,
            };
            let wish = ua.wish(task, to, &ua.registrar, "", ua.account.expires);
            self.tasks.insert(OWN_IDS | task, (key, Of::Registration(i)));
            if !kit.agent.register(kit.ctx, kit.txn, wish, registering) {
                self.failed(kit.ctx, key, i, (503, None));
            }
        }
        self.way_found(kit, key);
    }

    /// What became of the task.
    pub(super) fn on_registration(&mut self, kit: &mut Kit<'_, '_>, key: UaKey, i: u16, step: Step) {
        let ctx = &mut *kit.ctx;
        let Some(registration) = self.list.get_mut(key).and_then(|ua| ua.registration(i)) else { return };
        match step {
            Step::Granted { expires, learned, .. } => {
                (registration.failures, registration.proven) = (0, true);
                registration.learned = learned.map(|learned| *learned).unwrap_or_default();
                if registration.wanted {
                    let until = ctx.now + Duration::from_secs(expires.into());
                    self.now(key, i, State::Registered { until });
                    self.keep_alive(ctx, key, i);
                    self.way_found(kit, key);
                }
            }
            Step::Refreshing if registration.stands() => self.now(key, i, State::Refreshing),
            Step::Interrupted { status, told, .. } => self.failed(ctx, key, i, (status, told)),
            Step::Ended { .. } => {
                registration.task = 0;
                registration.learned = Learned::default();
                registration.alive.stop(ctx);
                self.now(key, i, State::Unregistered);
                // The host has changed its mind meanwhile.
                if self.list.get_mut(key).and_then(|ua| ua.registration(i)).is_some_and(|r| r.wanted) {
                    self.begin(ctx, key, i);
                }
            }
            Step::Refreshing | Step::Notified { .. } => {}
        }
    }

    /// It did not work.
    fn failed(&mut self, ctx: &mut Ctx<'_>, key: UaKey, i: u16, (status, told): (u16, Option<Duration>)) {
        let Some(ua) = self.list.get_mut(key) else { return };
        let others = (0..).zip(&ua.registrations).any(|(n, r)| n != i && r.stands());
        let waits = !ua.waiting.is_empty();
        let Some(registration) = ua.registration(i) else { return };
        registration.alive.stop(ctx);
        registration.learned = Learned::default();
        if !registration.wanted && !waits {
            return;
        }
        if registration.wanted && is_final(status, registration.proven) {
            return self.now(key, i, State::Failed { status });
        }
        registration.failures = registration.failures.saturating_add(1);
        let again = ctx.now + back_off(ctx, registration.failures, others, told);
        registration.again = ctx.timers.arm(again, Timer::Ua(key.to_bits(), UaTimer::Again(i)));
        if registration.wanted {
            self.now(key, i, State::Waiting { status, again });
        }
        if !others {
            self.no_way(key);
        }
    }

    /// It is time to try again.
    pub(super) fn on_again(&mut self, kit: &mut Kit<'_, '_>, key: UaKey, i: u16) {
        let Some(registration) = self.list.get_mut(key).and_then(|ua| ua.registration(i)) else { return };
        registration.again = TimerKey::NONE;
        self.begin(kit.ctx, key, i);
    }

    /// The connection to a server is gone: RFC 5626 s4.5, at once if it had worked.
    pub(super) fn lost_way(&mut self, kit: &mut Kit<'_, '_>, key: UaKey, i: u16) {
        let Some(registration) = self.list.get_mut(key).and_then(|ua| ua.registration(i)) else { return };
        registration.to = None;
        registration.alive.stop(kit.ctx);
        // A request that was on its way has failed with it, and says so.
        if let State::Registered { .. } = registration.state {
            self.begin(kit.ctx, key, i);
        }
    }

    fn now(&mut self, key: UaKey, i: u16, state: State) {
        let Some(registration) = self.list.get_mut(key).and_then(|ua| ua.registration(i)) else { return };
        if registration.state != state {
            registration.state = state.clone();
            self.tell(key, UaStep::Registration { server: i + 1, state });
        }
    }
}

/// So many tickets there are.
const TICKETS: u32 = 1 << 28;

/// Will it be the same if it is asked again? What was good once may be so again.
fn is_final(status: u16, proven: bool) -> bool {
    match status {
        401 | 407 => !proven,
        // RFC 5626 s11.5: the flow is gone, and another may be had.
        408 | 430 | 480 => false,
        500..=599 | 0..=299 => false,
        _ => true,
    }
}

fn back_off(ctx: &mut Ctx<'_>, failures: u32, others: bool, told: Option<Duration>) -> Duration {
    let base = if others { BASE_SOME } else { BASE_ALL };
    let most = (base * (1 << failures.min(6))).min(LONGEST);
    let half = u64::try_from((most / 2).as_millis()).unwrap_or(u64::MAX);
    let wait = most - Duration::from_millis(ctx.ids.below(IdKind::Jitter, half));
    wait.max(told.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ctx::fixture::Fixture;

    #[test]
    fn waits_are_those_of_rfc_5626() {
        let mut fixture = Fixture::new();
        for (failures, others, most) in [
            (1, false, 60),
            (3, false, 240),
            (6, false, 1800),
            (60, false, 1800),
            (1, true, 180),
            (5, true, 1800),
        ] {
            for _ in 0..50 {
                let wait = back_off(&mut fixture.ctx(), failures, others, None);
                let most = Duration::from_secs(most);
                assert!(wait >= most / 2 && wait <= most, "{failures} {others}: {wait:?}");
            }
        }
        let told = Some(Duration::from_secs(7200));
        assert_eq!(back_off(&mut fixture.ctx(), 1, false, told), Duration::from_secs(7200));
    }

    #[test]
    fn what_is_final_is_what_will_be_the_same_again() {
        let shown: Vec<String> = [200, 302, 400, 401, 403, 404, 407, 408, 423, 430, 480, 500, 503, 600, 603]
            .into_iter()
            .map(|status| format!("{status} {} {}", is_final(status, false), is_final(status, true)))
            .collect();
        insta::assert_snapshot!(shown.join("\n"));
    }
}
