//! Session timers of a phone: RFC 4028.

use std::time::Duration;

use super::{Call, Ending, Phone, State};
use crate::Time;
use crate::message::{Sip, param};

/// What was agreed about the life of a session.
#[derive(Clone, Debug, Default)]
pub(super) struct Session {
    refresh_at: Option<Time>,
    expires_at: Option<Time>,
    asked: u32,
}

impl Session {
    pub(super) fn deadline(&self) -> Option<Time> {
        self.refresh_at.into_iter().chain(self.expires_at).min()
    }

    pub(super) fn stop(&mut self) {
        (self.refresh_at, self.expires_at) = (None, None);
    }

    fn start(&mut self, now: Time, seconds: u32, refreshes: bool) {
        let span = Duration::from_secs(seconds.into());
        self.refresh_at = refreshes.then_some(now + span / 2);
        // RFC 4028 s10: the BYE comes a little before the end.
        self.expires_at = Some(now + span - (span / 3).min(Duration::from_secs(32)));
    }
}

fn expires(m: &Sip) -> Option<u32> {
    m.header("Session-Expires")?.split(';').next()?.trim().parse().ok()
}

impl Phone {
    pub(super) fn add_session_request(&self, c: &Call, m: &mut Sip) {
        if self.manners.session_expires > 0 {
            let seconds = self.manners.session_expires.max(c.session.asked);
            m.push("Session-Expires", seconds.to_string());
            m.push("Min-SE", self.manners.min_se.max(c.session.asked.min(seconds)).to_string());
        }
    }

    /// RFC 4028 s7.2: what 422 asks for.
    pub(super) fn take_min_se(&mut self, call: usize, m: &Sip) -> bool {
        let Some(least) = m.header("Min-SE").and_then(|v| v.parse::<u32>().ok()) else {
            self.flaws.push("422 without Min-SE".into());
            return false;
        };
        let more = least > self.calls[call].session.asked.max(self.manners.session_expires);
        self.calls[call].session.asked = least;
        more && self.manners.session_expires > 0
    }

    pub(super) fn session_too_brief(&self, m: &Sip) -> bool {
        self.manners.session_expires > 0
            && m.lists("Supported", "timer")
            && expires(m).is_some_and(|seconds| seconds < self.manners.min_se)
    }

    /// RFC 4028 s9: what a 2xx to INVITE or UPDATE grants.
    pub(super) fn grant_session(&mut self, now: Time, call: usize, at: usize, m: &mut Sip) {
        let request = self.calls[call].incoming[at].request.clone();
        self.grant(now, call, &request, m);
    }

    pub(super) fn grant(&mut self, now: Time, call: usize, request: &Sip, m: &mut Sip) {
        let own = self.manners.session_expires;
        let (theirs, knows) = (expires(request), request.lists("Supported", "timer"));
        if own == 0 || theirs.is_none() && !knows {
            return;
        }
        let seconds = theirs.unwrap_or(own).min(own.max(self.manners.min_se));
        let asked = request.header("Session-Expires").and_then(|v| param(v, "refresher"));
        let uas = !knows || asked == Some("uas");
        m.push("Session-Expires", format!("{seconds};refresher={}", if uas { "uas" } else { "uac" }));
        if !uas {
            m.push("Require", "timer");
        }
        self.calls[call].session.start(now, seconds, uas);
    }

    /// The 2xx to a request of its own.
    pub(super) fn session_agreed(&mut self, now: Time, call: usize, m: &Sip) {
        match expires(m) {
            Some(seconds) if self.manners.session_expires > 0 => {
                let value = m.header("Session-Expires").unwrap_or_default();
                let refreshes = param(value, "refresher") != Some("uas");
                self.calls[call].session.start(now, seconds, refreshes);
            }
            Some(_) => {
                if param(m.header("Session-Expires").unwrap_or_default(), "refresher") != Some("uas") {
                    self.flaws.push("a session timer for one who knows nothing of it".into());
                }
            }
            // RFC 4028 s7.2: nobody else supports it; this side refreshes by itself or not at all.
            None => self.calls[call].session.stop(),
        }
    }

    pub(super) fn wake_session(&mut self, now: Time, call: usize) {
        let c = &mut self.calls[call];
        if c.state != State::Talking {
            return c.session.stop();
        }
        if c.session.refresh_at.is_some_and(|at| at <= now) {
            c.session.refresh_at = None;
            self.refresh_session(now, call);
        }
        let c = &mut self.calls[call];
        if c.session.expires_at.is_some_and(|at| at <= now) {
            c.session.stop();
            c.ending = Some(Ending::Lost("the session expired"));
            self.leave(now, call);
        }
    }

    fn refresh_session(&mut self, now: Time, call: usize) {
        let c = &self.calls[call];
        let Some(dialog) = c.talking else { return };
        if !(self.manners.update && c.dialogs[dialog].takes_update) {
            return self.send_change(now, call);
        }
        let mut m = self.within(call, dialog, "UPDATE");
        self.add_abilities(&mut m);
        self.add_refresh(&mut m);
        self.send_within(now, call, dialog, &m);
    }

    pub(super) fn add_refresh(&self, m: &mut Sip) {
        if self.manners.session_expires > 0 {
            m.push("Session-Expires", format!("{};refresher=uac", self.manners.session_expires));
            m.push("Min-SE", self.manners.min_se.to_string());
        }
    }
}
