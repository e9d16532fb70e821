//! The engine's time: a monotonic clock anchored to the wall clock at start, and the detection of wall-clock steps.

use std::time::{Duration, Instant, SystemTime};

use strowger_core::base::Time;

/// A wall clock that differs by less than this from what was expected is drifting or being slewed, not stepped.
const STEP: Duration = Duration::from_millis(500);

/// Gives [`Time`] for every input, never backwards, and finds out when the wall clock was stepped.
///
/// [`now`](Clock::now) and [`start`](Clock::start) read the operating system's clocks; everything else is arithmetic.
#[derive(Clone, Debug)]
pub struct Clock {
    anchor: Instant,
    epoch: Time,
    wall_offset: i64,
}

impl Clock {
    /// Anchors the monotonic clock to the wall clock, now.
    #[allow(clippy::disallowed_methods)] // This file is where the shells' time comes from.
    pub fn start() -> Clock {
        Clock::anchored(Instant::now(), SystemTime::now())
    }

    /// Anchors a monotonic instant to a wall-clock time.
    pub fn anchored(mono: Instant, wall: SystemTime) -> Clock {
        Clock { anchor: mono, epoch: Time::from_nanos(nanos(wall)), wall_offset: 0 }
    }

    /// The time now.
    #[allow(clippy::disallowed_methods)] // This file is where the shells' time comes from.
    pub fn now(&self) -> Time {
        self.time_of(Instant::now())
    }

    /// The time of a monotonic instant; instants before the anchor are the anchor.
    pub fn time_of(&self, mono: Instant) -> Time {
        self.epoch + mono.saturating_duration_since(self.anchor)
    }

    /// The instant at which the clock shows `time`, for a runtime's sleep; far times are cut to thirty years.
    pub fn instant_of(&self, time: Time) -> Instant {
        const FAR: Duration = Duration::from_secs(30 * 365 * 86_400);
        let after = time.since(self.epoch).min(FAR);
        self.anchor.checked_add(after).unwrap_or(self.anchor)
    }

    /// Compares the wall clock with what it should show. After a step, or a suspend during which the monotonic clock
    /// stood still, returns the new offset for [`Input::Clock`](strowger_core::door::Input::Clock).
    #[allow(clippy::disallowed_methods)] // This file is where the shells' time comes from.
    pub fn check(&mut self) -> Option<i64> {
        self.observe(Instant::now(), SystemTime::now())
    }

    /// [`check`](Clock::check) with given clock readings.
    pub fn observe(&mut self, mono: Instant, wall: SystemTime) -> Option<i64> {
        let expected = i128::from(self.time_of(mono).as_nanos());
        let offset = i64::try_from(i128::from(nanos(wall)) - expected).unwrap_or(self.wall_offset);
        if offset.abs_diff(self.wall_offset) < STEP.as_nanos() as u64 {
            return None;
        }
        self.wall_offset = offset;
        Some(offset)
    }
}

fn nanos(wall: SystemTime) -> u64 {
    // A wall clock before 1970 or after 2554 is wrong; the engine's own time runs on either way.
    let since = wall.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: Duration = Duration::from_secs(86_400);

    fn world() -> (Instant, SystemTime, Clock) {
        let (mono, wall) = (Clock::start().anchor, SystemTime::UNIX_EPOCH + 20_000 * DAY);
        (mono, wall, Clock::anchored(mono, wall))
    }

    #[test]
    fn time_follows_the_monotonic_clock_from_the_wall_clock_at_start() {
        let (mono, _, clock) = world();
        assert_eq!(clock.time_of(mono + DAY), Time::from_secs(20_001 * 86_400));
        assert_eq!(clock.instant_of(clock.time_of(mono + DAY)), mono + DAY);
    }

    #[test]
    fn slewing_is_not_a_step() {
        let (mono, wall, mut clock) = world();
        assert_eq!(clock.observe(mono + DAY, wall + DAY + Duration::from_millis(400)), None);
        assert_eq!(clock.observe(mono + DAY, wall + DAY - Duration::from_millis(400)), None);
    }

    #[test]
    fn a_step_is_told_once_and_time_itself_does_not_jump() {
        let (mono, wall, mut clock) = world();
        let hour = Duration::from_secs(3600);
        assert_eq!(clock.observe(mono, wall + hour), Some(3_600_000_000_000));
        assert_eq!(clock.observe(mono + DAY, wall + DAY + hour), None);
        assert_eq!(clock.time_of(mono + DAY), Time::from_secs(20_001 * 86_400));
        assert_eq!(clock.observe(mono + DAY, wall + DAY - hour), Some(-3_600_000_000_000));
    }

    #[test]
    fn a_far_deadline_is_a_reachable_instant() {
        let (mono, _, clock) = world();
        assert!(clock.instant_of(Time::MAX) > mono + 365 * DAY);
        assert_eq!(clock.instant_of(Time::ZERO), mono);
    }
}
