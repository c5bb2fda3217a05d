//! Counters of a node and the resident distribution that the metrics show.

use core::time::Duration;

use crate::base::time::nanos;

/// Upper bounds, in milliseconds, of the buckets of a [`Histogram`]; one more takes the rest.
pub const BUCKETS_MS: [u64; 10] = [5, 10, 25, 50, 100, 250, 500, 1_000, 2_000, 5_000];

/// How long things took, in fixed buckets: constant size, exact counts.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Histogram {
    counts: [u64; BUCKETS_MS.len() + 1],
    total_ns: u64,
}

impl Histogram {
    /// Counts one.
    pub fn record(&mut self, took: Duration) {
        let ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
        let bucket = BUCKETS_MS.partition_point(|bound| *bound < ms);
        self.counts[bucket] += 1;
        self.total_ns = self.total_ns.saturating_add(nanos(took));
    }

    /// How many in all.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// Their sum.
    #[must_use]
    pub fn total(&self) -> Duration {
        Duration::from_nanos(self.total_ns)
    }

    /// `(upper bound in ms, how many took at most that)`; the last bound is infinite (`None`).
    pub fn cumulative(&self) -> impl Iterator<Item = (Option<u64>, u64)> + '_ {
        let mut sum = 0;
        self.counts.iter().enumerate().map(move |(i, n)| {
            sum += n;
            (BUCKETS_MS.get(i).copied(), sum)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_histogram_counts_at_the_bounds() {
        let mut h = Histogram::default();
        for ms in [0, 5, 6, 5_000, 9_999] {
            h.record(Duration::from_millis(ms));
        }
        let rows: Vec<_> = h.cumulative().collect();
        assert_eq!(rows[0], (Some(5), 2));
        assert_eq!(rows[1], (Some(10), 3));
        assert_eq!(rows[9], (Some(5_000), 4));
        assert_eq!(rows[10], (None, 5));
        assert_eq!((h.count(), h.total()), (5, Duration::from_millis(15_010)));
    }
}
