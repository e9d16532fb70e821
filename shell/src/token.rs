//! The token of a client: kept, and renewed before it expires (RFC 6749 s6, RFC 8898 s2.1.3).
//!
//! A [`TokenKeeper`] says when a token must be asked for and how, and what to send meanwhile; whoever owns the loop
//! asks, over HTTP or by a callback of the program, and reports what came of it. It reads no clock and waits for
//! nobody.
//!
//! ```
//! use strowger_core::base::Time;
//! use strowger_core::door::Secret;
//! use strowger_shell::token::{Grant, TokenKeeper, Want};
//!
//! let (mut keeper, now) = (TokenKeeper::new(), Time::from_secs(1_800_000_000));
//! assert_eq!(keeper.poll(now), Want::Login);
//! // ... a login over HTTP, which gives a token of ten minutes ...
//! let expires = now + std::time::Duration::from_secs(600);
//! keeper.granted(now, Grant { access: Secret("token".into()), expires, refresh: Some(Secret("next".into())) });
//! assert_eq!(keeper.token(now), Some("token"));
//! assert!(matches!(keeper.poll(now), Want::Nothing { until: Some(at) } if at < expires));
//! ```

use std::time::Duration;

use strowger_core::base::Time;
use strowger_core::door::Secret;

/// A token is renewed this long before it expires, or at half of its life if that is later.
const EARLY: Duration = Duration::from_secs(60);
/// Who does not answer for this long is asked again.
const PATIENCE: Duration = Duration::from_secs(30);
/// The first wait after trouble; it doubles with each.
const FIRST_BACK_OFF: Duration = Duration::from_secs(1);
/// The longest wait after trouble.
const LONGEST_BACK_OFF: Duration = Duration::from_secs(300);

/// What is to be done for a token.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Want {
    /// Nothing before this time; `None` never by itself.
    Nothing {
        /// When to poll again.
        until: Option<Time>,
    },
    /// Log in, with whatever the program logs in.
    Login,
    /// Take this refresh token for the next one. It is good once.
    Refresh(Secret<String>),
}

/// What a token server gave.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Grant {
    /// The access token.
    pub access: Secret<String>,
    /// When it expires.
    pub expires: Time,
    /// The next refresh token, if there is one.
    pub refresh: Option<Secret<String>>,
}

/// Why a token server gave nothing.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Denial {
    /// It does not take what it was shown. A refresh token is dropped for a login; a login is not tried again before
    /// [`TokenKeeper::retry`].
    Refused,
    /// It could not be asked, or had no time: later.
    Trouble,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Asked {
    Login(Time),
    Refresh(Time),
}

impl Asked {
    fn at(self) -> Time {
        match self {
            Asked::Login(at) | Asked::Refresh(at) => at,
        }
    }
}

/// Keeps a token alive. Of its methods, [`poll`](TokenKeeper::poll) says what to do, `granted`, `denied` and `refused`
/// take in what happened, and [`token`](TokenKeeper::token) is what to send.
#[derive(Clone, Debug, Default)]
pub struct TokenKeeper {
    held: Option<Held>,
    refresh: Option<Secret<String>>,
    asked: Option<Asked>,
    failures: u32,
    /// Tokens in a row that a SIP server did not take.
    refusals: u32,
    not_before: Option<Time>,
    given_up: bool,
}

#[derive(Clone, Debug)]
struct Held {
    access: Secret<String>,
    expires: Time,
    renew: Time,
}

impl TokenKeeper {
    /// Without a token: the first thing it wants is a login.
    pub fn new() -> TokenKeeper {
        TokenKeeper::default()
    }

    /// The token to send now; `None` if there is none that is alive.
    pub fn token(&self, now: Time) -> Option<&str> {
        self.held.as_ref().filter(|held| now < held.expires).map(|held| &*held.access.0)
    }

    /// What is to be done now. What it wants once it does not want again until an answer came, or none for 30 s.
    pub fn poll(&mut self, now: Time) -> Want {
        if self.given_up {
            return Want::Nothing { until: None };
        }
        if let Some(asked) = self.asked {
            let until = asked.at() + PATIENCE;
            if now < until {
                return Want::Nothing { until: Some(until) };
            }
            // A refresh token may have been used although its answer was lost: shown again, it would end the login.
            if matches!(asked, Asked::Refresh(_)) {
                self.refresh = None;
            }
            self.trouble(now);
        }
        let due = self.held.as_ref().map(|held| held.renew);
        let wait = [due, self.not_before].into_iter().flatten().max().filter(|at| now < *at);
        if let Some(until) = wait {
            return Want::Nothing { until: Some(until) };
        }
        if self.held.is_some() {
            // It has lived until it was to be renewed.
            self.refusals = 0;
        }
        match &self.refresh {
            Some(refresh) => {
                self.asked = Some(Asked::Refresh(now));
                Want::Refresh(refresh.clone())
            }
            None => {
                self.asked = Some(Asked::Login(now));
                Want::Login
            }
        }
    }

    /// A token came.
    pub fn granted(&mut self, now: Time, grant: Grant) {
        let Grant { access, expires, refresh } = grant;
        let life = expires.since(now);
        let renew = now + (life / 2).max(life.saturating_sub(EARLY));
        let held = Some(Held { access, expires, renew });
        *self = TokenKeeper { held, refresh, refusals: self.refusals, ..TokenKeeper::default() };
    }

    /// None came.
    pub fn denied(&mut self, now: Time, denial: Denial) {
        match (denial, self.asked) {
            (_, None) => {}
            (Denial::Refused, Some(Asked::Login(_))) => {
                self.asked = None;
                self.given_up = true;
            }
            (Denial::Refused, Some(Asked::Refresh(_))) => {
                self.asked = None;
                self.refresh = None;
                // The login is asked for at once, whenever the token would have been renewed.
                self.forget_renewal(now);
            }
            (Denial::Trouble, Some(_)) => self.trouble(now),
        }
    }

    /// A SIP server did not take this token, with a 401 that says so. If it is the one in hand another is wanted at
    /// once, but for the waits after trouble; an older one has been replaced already.
    pub fn refused(&mut self, now: Time, token: &str) {
        if self.held.as_ref().is_some_and(|held| held.access.0 == token) {
            self.held = None;
            // A server that takes no token at all must not be a loop.
            self.refusals = self.refusals.saturating_add(1);
            self.back_off(now, self.refusals);
        }
    }

    /// The program has other credentials, or wants another try.
    pub fn retry(&mut self) {
        *self = TokenKeeper { held: self.held.take(), ..TokenKeeper::default() };
    }

    fn trouble(&mut self, now: Time) {
        self.asked = None;
        self.failures = self.failures.saturating_add(1);
        self.back_off(now, self.failures);
    }

    fn back_off(&mut self, now: Time, times: u32) {
        let doublings = times.saturating_sub(1).min(10);
        self.not_before = Some(now + (FIRST_BACK_OFF * (1 << doublings)).min(LONGEST_BACK_OFF));
    }

    fn forget_renewal(&mut self, now: Time) {
        if let Some(held) = &mut self.held {
            held.renew = now;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Time = Time::from_secs(1_800_000_000);

    fn at(secs: u64) -> Time {
        NOW + Duration::from_secs(secs)
    }

    fn grant(access: &str, expires: u64, refresh: Option<&str>) -> Grant {
        let refresh = refresh.map(|text| Secret(text.into()));
        Grant { access: Secret(access.into()), expires: at(expires), refresh }
    }

    fn until(secs: u64) -> Want {
        Want::Nothing { until: Some(at(secs)) }
    }

    fn refresh(text: &str) -> Want {
        Want::Refresh(Secret(text.into()))
    }

    #[test]
    fn a_token_is_renewed_a_minute_before_it_expires_by_its_refresh_token() {
        let mut keeper = TokenKeeper::new();
        assert_eq!((keeper.poll(NOW), keeper.token(NOW)), (Want::Login, None));
        assert_eq!(keeper.poll(NOW), until(30), "asked once");
        keeper.granted(NOW, grant("a", 600, Some("r1")));
        assert_eq!(keeper.poll(NOW), until(540));
        assert_eq!(keeper.poll(at(540)), refresh("r1"));
        assert_eq!(keeper.token(at(540)), Some("a"), "the old one is good meanwhile");
        keeper.granted(at(541), grant("b", 561, Some("r2")));
        assert_eq!(keeper.token(at(541)), Some("b"));
        assert_eq!(keeper.poll(at(541)), until(551), "half of a short life");
        assert_eq!(keeper.token(at(561)), None);
        assert_eq!(keeper.poll(at(561)), refresh("r2"));
    }

    #[test]
    fn a_refused_refresh_token_leads_to_a_login_and_a_refused_login_to_nothing() {
        let mut keeper = TokenKeeper::new();
        keeper.poll(NOW);
        keeper.granted(NOW, grant("a", 600, Some("r1")));
        assert_eq!(keeper.poll(at(540)), refresh("r1"));
        keeper.denied(at(541), Denial::Refused);
        assert_eq!(keeper.poll(at(541)), Want::Login);
        keeper.denied(at(542), Denial::Refused);
        assert_eq!(keeper.poll(at(9999)), Want::Nothing { until: None });
        assert_eq!(keeper.token(at(599)), Some("a"));
        keeper.retry();
        assert_eq!(keeper.poll(at(9999)), Want::Login);
    }

    #[test]
    fn trouble_is_waited_for_longer_each_time() {
        let mut keeper = TokenKeeper::new();
        let mut now = 0;
        for wait in [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300, 300] {
            assert_eq!(keeper.poll(at(now)), Want::Login);
            keeper.denied(at(now), Denial::Trouble);
            assert_eq!(keeper.poll(at(now)), until(now + wait));
            now += wait;
        }
        keeper.denied(at(now), Denial::Trouble);
        assert_eq!(keeper.poll(at(now)), Want::Login, "an answer to nothing changes nothing");
    }

    #[test]
    fn a_refresh_token_whose_answer_is_lost_is_not_shown_again() {
        let mut keeper = TokenKeeper::new();
        keeper.poll(NOW);
        keeper.granted(NOW, grant("a", 600, Some("r1")));
        assert_eq!(keeper.poll(at(540)), refresh("r1"));
        assert_eq!(keeper.poll(at(570)), until(571));
        assert_eq!(keeper.poll(at(571)), Want::Login);
    }

    #[test]
    fn a_token_that_a_sip_server_refuses_is_replaced_once_and_not_in_a_loop() {
        let mut keeper = TokenKeeper::new();
        keeper.poll(NOW);
        keeper.granted(NOW, grant("a", 600, Some("r1")));
        keeper.refused(NOW, "older");
        assert_eq!(keeper.token(NOW), Some("a"));
        keeper.refused(NOW, "a");
        assert_eq!(keeper.token(NOW), None);
        assert_eq!(keeper.poll(NOW), until(1));
        assert_eq!(keeper.poll(at(1)), refresh("r1"));
        keeper.granted(at(1), grant("b", 600, Some("r2")));
        keeper.refused(at(1), "b");
        assert_eq!(keeper.poll(at(1)), until(3), "it is given out and refused again");
        assert_eq!(keeper.poll(at(3)), refresh("r2"));
        keeper.granted(at(3), grant("c", 600, Some("r3")));
        assert_eq!(keeper.poll(at(540)), refresh("r3"));
        keeper.granted(at(540), grant("d", 1200, Some("r4")));
        keeper.refused(at(541), "d");
        assert_eq!(keeper.poll(at(541)), until(542), "one has lived in between");
    }

    #[test]
    fn no_token_is_seen_in_debug() {
        let mut keeper = TokenKeeper::new();
        keeper.poll(NOW);
        keeper.granted(NOW, grant("visible", 600, Some("visible")));
        assert!(!format!("{keeper:?} {:?}", keeper.poll(at(540))).contains("visible"));
    }
}
