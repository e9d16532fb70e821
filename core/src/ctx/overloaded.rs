//! Servers that have no time and say for how long: 503 with Retry-After (RFC 3261 s21.5.4, s20.33).
//!
//! While that lasts they come last among the ways to where something goes, and are passed over where somebody else may be
//! asked. Known by their address; a phone is no server, and is rung all the same.

use core::net::SocketAddr;
use core::time::Duration;
use std::collections::BTreeMap;

use super::{Ctx, Timer};
use crate::base::{Time, TimerKey};
use crate::stats::Counter;

/// All that are known.
#[derive(Clone, Debug, Default)]
pub(crate) struct Overloaded {
    until: BTreeMap<SocketAddr, Time>,
    /// When the first of them has time again.
    timer: TimerKey,
}

impl Overloaded {
    pub(crate) fn len(&self) -> usize {
        self.until.len()
    }
}

impl Ctx<'_> {
    /// This server wants to be left alone for so many seconds; for [`Limits::retry_after`](crate::config::Limits) at most.
    pub(crate) fn leave_alone(&mut self, remote: SocketAddr, seconds: u32) {
        let limits = &self.settings.limits;
        let wait = Duration::from_secs(seconds.into()).min(limits.retry_after);
        if wait.is_zero() {
            return;
        }
        if self.overloaded.len() >= limits.overloaded && !self.overloaded.until.contains_key(&remote) {
            return self.stats.count(Counter::Overload);
        }
        self.overloaded.until.insert(remote, self.now + wait);
        self.arm_overloaded();
    }

    /// Does it?
    pub(crate) fn is_left_alone(&self, remote: SocketAddr) -> bool {
        self.overloaded.until.get(&remote).is_some_and(|until| *until > self.now)
    }

    /// The first of them has time again.
    pub(crate) fn on_overloaded_timer(&mut self) {
        let now = self.now;
        self.overloaded.timer = TimerKey::NONE;
        self.overloaded.until.retain(|_, until| *until > now);
        self.arm_overloaded();
    }

    fn arm_overloaded(&mut self) {
        self.timers.disarm(core::mem::take(&mut self.overloaded.timer));
        if let Some(first) = self.overloaded.until.values().min() {
            self.overloaded.timer = self.timers.arm(*first, Timer::Overloaded);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;
    use crate::ctx::fixture::Fixture;

    #[test]
    fn each_is_left_alone_for_as_long_as_it_asked_and_no_longer_than_the_limit() {
        let mut config = Config::new("example.com");
        config.limits.retry_after = Duration::from_secs(100);
        config.limits.overloaded = 2;
        let mut fixture = Fixture::with(config);
        let servers: Vec<SocketAddr> = (1..=3).map(|n| SocketAddr::from(([198, 51, 100, n], 5060))).collect();
        let mut ctx = fixture.ctx();
        for (server, seconds) in servers.iter().zip([10, u32::MAX, 10]) {
            ctx.leave_alone(*server, seconds);
        }
        ctx.leave_alone(servers[0], 0);
        let alone = |fixture: &mut Fixture| {
            let ctx = fixture.ctx();
            let alone: Vec<bool> = servers.iter().map(|server| ctx.is_left_alone(*server)).collect();
            (alone, ctx.overloaded.len(), ctx.timers.len())
        };
        assert_eq!(alone(&mut fixture), (vec![true, true, false], 2, 1), "the third is one too many");
        for (wait, expected) in [(10, (vec![false, true, false], 1, 1)), (90, (vec![false; 3], 0, 0))] {
            fixture.now = fixture.now + Duration::from_secs(wait);
            let now = fixture.now;
            let mut ctx = fixture.ctx();
            while let Some((_, timer)) = ctx.timers.pop(now) {
                assert_eq!(timer, Timer::Overloaded);
                ctx.on_overloaded_timer();
            }
            assert_eq!(alone(&mut fixture), expected);
        }
    }
}
