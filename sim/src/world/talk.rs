//! Calls in a story, and what two phones must agree on about them.

use std::time::Duration;

use super::{PhoneId, World};
use crate::phone::call::{Call, State};

/// How long one side may believe in a call that is over for the other: a BYE that nobody answers takes 64*T1.
const AGREEMENT: Duration = Duration::from_secs(40);

impl World {
    /// Somebody calls a user of the domain, or a URI. Returns the number of the call.
    pub fn call(&mut self, from: PhoneId, to: &str) -> usize {
        let uri = if to.contains(':') { to.to_owned() } else { format!("sip:{to}@{}", self[from].domain) };
        self.act(from, |p, now| p.call(now, &uri))
    }

    /// Somebody ends the last call, whichever way is right.
    pub fn hang_up(&mut self, phone: PhoneId) {
        let call = self[phone].calls().len().saturating_sub(1);
        self.act(phone, |p, now| p.hang_up(now, call));
    }

    /// Somebody answers the last call.
    pub fn answer(&mut self, phone: PhoneId) {
        let call = self[phone].calls().len().saturating_sub(1);
        self.act(phone, |p, now| p.answer(now, call));
    }

    /// The last call of a phone.
    pub fn talk(&self, phone: PhoneId) -> &Call {
        self[phone].talk()
    }

    /// Lets time pass until no phone is in a call; false if one still is after that span.
    pub fn run_until_silent(&mut self, span: Duration) -> bool {
        self.run_until(span, |world| {
            let mut calls = world.seats.iter().flat_map(|seat| seat.phone.calls());
            calls.all(|c| c.state == State::Over && !c.is_busy())
        })
    }

    /// Two sides of a call agree that it is over. A phone that is off agrees with everybody.
    pub(super) fn check_calls(&self) {
        let live = |seat: &&super::Seat| !seat.phone.is_off();
        let calls = || {
            self.seats.iter().filter(live).flat_map(|seat| seat.phone.calls().iter().map(move |c| (seat, c)))
        };
        for (seat, ended) in calls() {
            let Some(at) = ended.ended_at.filter(|at| self.now.since(*at) >= AGREEMENT) else { continue };
            let peer = |c: &Call| {
                c.state == State::Talking
                    && c.was_answered()
                    && (c.peer_session_id() == Some(ended.session_id())
                        || ended.peer_session_id() == Some(c.session_id()))
            };
            if let Some((other, c)) = calls().find(|(_, c)| peer(c)) {
                self.fail(&format!(
                    "{} has ended a call {:?} ago ({:?}), {} believes in it: {:?}",
                    seat.phone.name,
                    self.now.since(at),
                    ended.ending,
                    other.phone.name,
                    c.state
                ));
            }
        }
    }
}
