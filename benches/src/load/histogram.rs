//! Latencies in buckets a thirty-second apart, so that recording one costs a few instructions.

use std::time::Duration;

const STEPS: u32 = 32;

/// Counts of latencies, within 3 % of their value.
#[derive(Clone, Debug)]
pub struct Histogram {
    buckets: Vec<u64>,
    count: u64,
    max: Duration,
}

impl Default for Histogram {
    fn default() -> Histogram {
        Histogram { buckets: vec![0; (64 * STEPS) as usize], count: 0, max: Duration::ZERO }
    }
}

impl Histogram {
    /// Counts one.
    pub fn record(&mut self, latency: Duration) {
        let nanos = u64::try_from(latency.as_nanos()).unwrap_or(u64::MAX);
        if let Some(bucket) = self.buckets.get_mut(index(nanos)) {
            *bucket += 1;
        }
        self.count += 1;
        self.max = self.max.max(latency);
    }

    /// The latency that this share of all, 0.0 to 1.0, does not exceed.
    pub fn at(&self, share: f64) -> Duration {
        let wanted = (self.count as f64 * share).ceil() as u64;
        let mut seen = 0;
        for (i, n) in self.buckets.iter().enumerate() {
            seen += n;
            if seen >= wanted && seen > 0 {
                return Duration::from_nanos(value(i)).min(self.max);
            }
        }
        self.max
    }

    /// The longest.
    pub fn max(&self) -> Duration {
        self.max
    }
}

fn index(nanos: u64) -> usize {
    let power = 63 - nanos.max(u64::from(STEPS)).leading_zeros();
    let shift = power - STEPS.ilog2();
    let step = (nanos >> shift) as u32;
    (shift * STEPS + step) as usize
}

/// The upper end of a bucket.
fn value(index: usize) -> u64 {
    let index = index as u64;
    let steps = u64::from(STEPS);
    if index < 2 * steps {
        return index;
    }
    let shift = index / steps - 1;
    ((index % steps + steps + 1) << shift) - 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_latency_is_found_again_within_three_percent() {
        for nanos in [1, 31, 32, 63, 64, 1_000, 24_000, 1_234_567, 40_000_000_000] {
            let mut histogram = Histogram::default();
            histogram.record(Duration::from_nanos(nanos));
            histogram.record(Duration::from_secs(100));
            let found = histogram.at(0.5).as_nanos() as f64;
            assert!(found >= nanos as f64 && found <= nanos as f64 * 1.033, "{nanos} gave {found}");
        }
    }

    #[test]
    fn percentiles_are_in_order() {
        let mut histogram = Histogram::default();
        (1..=1000).for_each(|us| histogram.record(Duration::from_micros(us)));
        let (p50, p99) = (histogram.at(0.5), histogram.at(0.99));
        assert!(
            (490..520).contains(&p50.as_micros()) && (985..1020).contains(&p99.as_micros()),
            "{p50:?} {p99:?}"
        );
        assert_eq!(histogram.at(1.0), histogram.max());
    }
}
