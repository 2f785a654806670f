//! Table: durations, counted by how long they were.

use std::time::Duration;

/// Upper bounds of the parts of a [`Histogram`], in microseconds, in rising order. What is longer than the last has a
/// part of its own.
pub type Bounds = &'static [u64];

/// A part for each bound and one for the rest.
const PARTS_MAX: usize = 16;

/// How many durations there were of each length, and how long they were together. What is counted never grows with
/// what happens.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Histogram {
    bounds: Bounds,
    counts: [u64; PARTS_MAX],
    sum: Duration,
}

impl Histogram {
    /// Nothing yet.
    ///
    /// # Panics
    /// With more than 15 bounds.
    #[must_use]
    pub const fn new(bounds: Bounds) -> Self {
        assert!(bounds.len() < PARTS_MAX);
        Self {
            bounds,
            counts: [0; PARTS_MAX],
            sum: Duration::ZERO,
        }
    }

    /// Counts one duration.
    pub fn observe(&mut self, duration: Duration) {
        let micros = u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
        let part = self.bounds.partition_point(|bound| *bound < micros);
        if let Some(count) = self.counts.get_mut(part) {
            *count = count.saturating_add(1);
        }
        self.sum = self.sum.saturating_add(duration);
    }

    /// Adds what another one with the same bounds has counted.
    pub fn merge(&mut self, other: &Self) {
        debug_assert_eq!(self.bounds, other.bounds, "one name, one set of bounds");
        for (count, more) in self.counts.iter_mut().zip(other.counts) {
            *count = count.saturating_add(more);
        }
        self.sum = self.sum.saturating_add(other.sum);
    }

    /// How many durations there were.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// How long they were together.
    #[must_use]
    pub const fn sum(&self) -> Duration {
        self.sum
    }

    /// Each upper bound, and how many were not longer than it, but longer than the one before. The last one, without
    /// a bound, has the rest.
    pub fn parts(&self) -> impl Iterator<Item = (Option<Duration>, u64)> {
        let bounds = self
            .bounds
            .iter()
            .map(|micros| Some(Duration::from_micros(*micros)));
        bounds.chain([None]).zip(self.counts)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOUNDS: Bounds = &[1_000, 10_000];

    #[test]
    fn a_duration_is_counted_with_the_first_bound_that_it_does_not_exceed() {
        let mut histogram = Histogram::new(BOUNDS);
        for micros in [0, 1_000, 1_001, 10_000, 10_001, u64::MAX] {
            histogram.observe(Duration::from_micros(micros));
        }
        let counts: Vec<u64> = histogram.parts().map(|(_, count)| count).collect();
        assert_eq!(counts, [2, 2, 2]);
        assert_eq!(histogram.count(), 6);
    }

    #[test]
    fn shards_count_together() {
        let (mut one, mut other) = (Histogram::new(BOUNDS), Histogram::new(BOUNDS));
        one.observe(Duration::from_millis(1));
        other.observe(Duration::from_millis(5));
        other.observe(Duration::from_secs(5));
        one.merge(&other);
        assert_eq!(one.count(), 3);
        assert_eq!(one.sum(), Duration::from_millis(5_006));
    }
}
