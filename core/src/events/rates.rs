//! How often a subscriber wants to be told: RFC 6446.
//!
//! | parameter of Event | means | within |
//! |---|---|---|
//! | `max-rate` | not more often; the newest state follows when its time has come | the pacing of the package; once before the end |
//! | `min-rate` | the state again after that time, changed or not | `max-rate`, [`EventsConfig::repeat_interval`](crate::config::EventsConfig) |
//! | `adaptive-min-rate` | the same on the average over ten intervals | the same |
//!
//! What holds is said in Subscription-State. A `min-rate` that is not below `adaptive-min-rate` is left aside (s8).

use core::time::Duration;
use std::collections::VecDeque;

use crate::base::{Time, TimerKey};
use crate::wire::{Event, Value};

/// Decimal places of a rate (s9.2).
const PLACES: u32 = 10;
/// One per second.
const ONE: u64 = 10_u64.pow(PLACES);
/// Intervals over which an adaptive rate is the average (s7.4: several).
const PERIOD: u32 = 10;
/// More NOTIFY requests than this are not counted within a period.
const COUNTED: usize = 64;

/// Times per second, in units of the last decimal place; never zero.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) struct Rate(u64);

impl Rate {
    /// `1*2DIGIT ["." 1*10DIGIT]` above zero; `None` for anything else.
    fn parse(text: &[u8]) -> Option<Rate> {
        let (whole, places) = match text.iter().position(|b| *b == b'.') {
            Some(dot) => (text.get(..dot)?, text.get(dot + 1..).filter(|places| !places.is_empty())?),
            None => (text, &b""[..]),
        };
        let fits = (1..=2).contains(&whole.len()) && places.len() <= PLACES as usize;
        if !fits || !whole.iter().chain(places).all(u8::is_ascii_digit) {
            return None;
        }
        let number = |digits: &[u8]| digits.iter().fold(0, |sum: u64, b| sum * 10 + u64::from(b - b'0'));
        let scale = 10_u64.pow(PLACES - places.len() as u32);
        Some(Rate(number(whole) * ONE + number(places) * scale)).filter(|rate| rate.0 > 0)
    }

    /// The rate of one each interval, rounded up.
    fn of(interval: Duration) -> Option<Rate> {
        let nanos = u64::try_from(interval.as_nanos()).ok().filter(|nanos| *nanos > 0)?;
        Some(Rate((ONE * 1_000_000_000).div_ceil(nanos)))
    }

    /// From one to the next.
    fn interval(self) -> Duration {
        Duration::from_nanos(ONE * 1_000_000_000 / self.0)
    }

    fn write(self, value: &mut Value<'_>) {
        value.number(self.0 / ONE);
        let mut places = self.0 % ONE;
        let mut scale = ONE;
        if places > 0 {
            value.literal(".");
        }
        while places > 0 {
            scale /= 10;
            value.number(places / scale);
            places %= scale;
        }
    }
}

/// What was agreed with a subscriber.
#[derive(Clone, Debug)]
pub(super) struct Rates {
    max: Option<Rate>,
    min: Option<Rate>,
    adaptive: Option<Rate>,
    /// When it was told, in the last period; only for an adaptive rate.
    history: VecDeque<Time>,
    /// The state is due again.
    pub(super) repeat: TimerKey,
}

impl Rates {
    /// What is granted of what an Event asks for; `None` if it asks for nothing. `lasts` is the length of the subscription,
    /// `paced` the interval that is kept anyway, `repeat` the shortest between two NOTIFY requests of the same state.
    pub(super) fn of(
        event: &Event<'_>,
        now: Time,
        lasts: Duration,
        (paced, repeat): (Duration, Duration),
    ) -> Option<Rates> {
        let asked = |name: &[u8]| event.params.value(name).and_then(Rate::parse);
        let (max, min, adaptive) = (asked(b"max-rate"), asked(b"min-rate"), asked(b"adaptive-min-rate"));
        if (max, min, adaptive) == (None, None, None) || lasts.is_zero() {
            return None;
        }
        let at_most = |rate: Rate, limit: Option<Rate>| limit.map_or(rate, |limit| rate.min(limit));
        // s5.3: at least one before the end, and never more often than everybody is told.
        let max = max.map(|rate| at_most(rate, Rate::of(paced)).max(Rate::of(lasts).unwrap_or(rate)));
        // s8: neither of the others is above it.
        let bounded = |rate: Rate| at_most(at_most(rate, Rate::of(repeat)), max);
        let (min, adaptive) = (min.map(bounded), adaptive.map(bounded));
        let min = min.filter(|min| adaptive.is_none_or(|adaptive| *min < adaptive));
        // s7.2 step 1: as if it had been told at that rate all the time.
        let history = adaptive.iter().flat_map(|rate| {
            let interval = rate.interval();
            (1..=PERIOD).rev().map(move |ago| now - interval * ago)
        });
        Some(Rates { max, min, adaptive, history: history.collect(), repeat: TimerKey::NONE })
    }

    /// Shortest time between two NOTIFY requests.
    pub(super) fn pause(&self) -> Duration {
        self.max.map_or(Duration::ZERO, Rate::interval)
    }

    /// It is told now: after which time it is told again if nothing changes (s6.2, s7.4).
    pub(super) fn told(&mut self, now: Time) -> Option<Duration> {
        let adaptive = self.adaptive.map(|rate| {
            let interval = rate.interval();
            let since = now - interval * PERIOD;
            while self.history.front().is_some_and(|at| *at <= since) || self.history.len() >= COUNTED {
                self.history.pop_front();
            }
            self.history.push_back(now);
            // Formula (1), with the period as ten intervals.
            let timeout = interval * self.history.len() as u32 / PERIOD;
            timeout.max(self.pause())
        });
        let min = self.min.map(Rate::interval);
        adaptive.into_iter().chain(min).min()
    }

    /// The parameters of Subscription-State.
    pub(super) fn write(&self, value: &mut Value<'_>) {
        for (name, rate) in
            [(";max-rate=", self.max), (";min-rate=", self.min), (";adaptive-min-rate=", self.adaptive)]
        {
            if let Some(rate) = rate {
                value.literal(name);
                rate.write(value);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Time = Time::from_secs(1_000_000);

    fn rates(event: &str, lasts: u64) -> Option<Rates> {
        let event = Event::parse(event.as_bytes()).expect("well-formed");
        let (paced, repeat) = (Duration::from_secs(1), Duration::from_secs(2));
        Rates::of(&event, NOW, Duration::from_secs(lasts), (paced, repeat))
    }

    fn shown(rate: Option<Rate>) -> Option<f64> {
        rate.map(|rate| rate.0 as f64 / ONE as f64)
    }

    #[test]
    fn a_rate_is_a_short_decimal_above_zero() {
        for (text, expected) in [
            ("1", Some(ONE)),
            ("99.9999999999", Some(100 * ONE - 1)),
            ("0.0000000001", Some(1)),
            ("00.5", Some(ONE / 2)),
            ("0", None),
            ("0.0", None),
            ("100", None),
            ("1.", None),
            (".5", None),
            ("1.00000000001", None),
            ("-1", None),
            ("1e3", None),
            ("", None),
        ] {
            assert_eq!(Rate::parse(text.as_bytes()).map(|rate| rate.0), expected, "{text}");
        }
        assert_eq!(Rate(1).interval(), Duration::from_secs(10_000_000_000));
        assert_eq!(Rate::of(Duration::from_secs(3)).map(|rate| rate.0), Some(3_333_333_334));
    }

    #[test]
    fn what_is_granted_keeps_the_bounds() {
        for (event, lasts, expected) in [
            ("presence;max-rate=0.1", 600, (Some(0.1), None, None)),
            // The package is paced anyway.
            ("presence;max-rate=50", 600, (Some(1.0), None, None)),
            // At least one before the end.
            ("presence;max-rate=0.001", 100, (Some(0.01), None, None)),
            ("presence;min-rate=10", 600, (None, Some(0.5), None)),
            ("presence;min-rate=0.4;max-rate=0.1", 600, (Some(0.1), Some(0.1), None)),
            ("presence;adaptive-min-rate=0.4;max-rate=0.1", 600, (Some(0.1), None, Some(0.1))),
            ("presence;min-rate=0.1;adaptive-min-rate=0.2", 600, (None, Some(0.1), Some(0.2))),
            ("presence;min-rate=0.2;adaptive-min-rate=0.2", 600, (None, None, Some(0.2))),
        ] {
            let rates = rates(event, lasts).expect("it asks for something");
            assert_eq!((shown(rates.max), shown(rates.min), shown(rates.adaptive)), expected, "{event}");
        }
        for event in ["presence", "presence;max-rate=0", "presence;max-rate=often"] {
            assert!(rates(event, 600).is_none(), "{event}");
        }
        assert!(rates("presence;max-rate=1", 0).is_none(), "a fetch has no rate");
    }

    #[test]
    fn an_adaptive_rate_is_met_on_the_average() {
        let mut rates = rates("presence;adaptive-min-rate=0.1", 3600).expect("it asks for something");
        let mut now = NOW;
        let mut next = |rates: &mut Rates, after: u64| {
            now = now + Duration::from_secs(after);
            rates.told(now).map(|timeout| timeout.as_secs())
        };
        // Nothing changes: every ten seconds.
        assert_eq!(next(&mut rates, 0), Some(10));
        assert_eq!(next(&mut rates, 10), Some(10));
        // Five changes at once: what follows may wait.
        assert_eq!((0..5).map(|_| next(&mut rates, 0)).last(), Some(Some(15)));
        // They are forgotten after a period.
        assert_eq!(next(&mut rates, 101), Some(1));
    }
}
