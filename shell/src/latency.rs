//! How long answers took, from the input that caused them to the socket, in fixed buckets.

use std::time::Duration;

/// Upper bounds of the buckets, in seconds; one more bucket takes what is longer.
pub const BOUNDS: [f64; 12] =
    [0.000_05, 0.000_1, 0.000_2, 0.000_5, 0.001, 0.002, 0.005, 0.01, 0.05, 0.1, 0.5, 2.0];

const NANOS: [u64; 12] = [
    50_000,
    100_000,
    200_000,
    500_000,
    1_000_000,
    2_000_000,
    5_000_000,
    10_000_000,
    50_000_000,
    100_000_000,
    500_000_000,
    2_000_000_000,
];

/// Counts per bucket, and the sum.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Latency {
    counts: [u64; BOUNDS.len() + 1],
    nanos: u64,
}

impl Latency {
    /// Counts one answer.
    pub fn record(&mut self, took: Duration) {
        let nanos = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        let bucket = NANOS.iter().position(|&bound| nanos <= bound).unwrap_or(BOUNDS.len());
        self.counts[bucket] += 1;
        self.nanos = self.nanos.saturating_add(nanos);
    }

    /// How many answers fell into each bucket, the one without a bound last.
    pub fn counts(&self) -> &[u64; BOUNDS.len() + 1] {
        &self.counts
    }

    /// The sum of all, in seconds.
    pub fn seconds(&self) -> f64 {
        Duration::from_nanos(self.nanos).as_secs_f64()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_falls_into_the_first_bucket_that_holds_it() {
        let mut latency = Latency::default();
        for micros in [10, 50, 51, 3_000_000] {
            latency.record(Duration::from_micros(micros));
        }
        assert_eq!(latency.counts()[..2], [2, 1]);
        assert_eq!(latency.counts()[BOUNDS.len()], 1);
        assert!((latency.seconds() - 3.000_111).abs() < 1e-9);
    }

    #[test]
    fn the_bounds_in_seconds_and_in_nanoseconds_are_the_same() {
        for (seconds, nanos) in BOUNDS.iter().zip(NANOS) {
            assert_eq!((seconds * 1e9).round() as u64, nanos);
        }
    }
}
