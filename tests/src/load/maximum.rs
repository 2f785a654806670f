//! Shell: the highest rate that a system bears, found by steps.

use anyhow::Result;

use super::bench::Bench;

/// Seconds of each step.
const STEP: f64 = 3.0;
/// How much the first steps differ.
const FACTOR: f64 = 1.3;
/// The steps after which nobody looks further.
const STEPS_MAX: usize = 12;

/// Looks for the highest rate at which 99.9 % succeed and the 99th percentile is below 100 ms: up or down from `start`
/// by 30 % until it is between two rates, then twice in the middle.
///
/// # Errors
/// When a process does not start.
pub(super) fn search(bench: &mut Bench, start: f64) -> Result<f64> {
    let mut bounds = Bounds::default();
    for _ in 0..STEPS_MAX {
        let Some(rate) = bounds.next(start) else { break };
        let is_good = bench.load(rate, STEP)?.is_good();
        if !is_good {
            // What it has piled up is not to harm the next step.
            bench.renew();
        }
        bounds.learn(rate, is_good);
    }
    Ok(bounds.good.unwrap_or(0.0))
}

/// What is known of the highest rate.
#[derive(Clone, Copy, Debug, Default)]
struct Bounds {
    good: Option<f64>,
    bad: Option<f64>,
    halvings: u32,
}

impl Bounds {
    /// The rate to try; nothing when it is known well enough.
    fn next(&mut self, start: f64) -> Option<f64> {
        match (self.good, self.bad) {
            (None, None) => Some(start),
            (Some(good), None) => Some(good * FACTOR),
            (None, Some(bad)) => Some(bad / FACTOR).filter(|rate| *rate >= 1.0),
            (Some(_), Some(_)) if self.halvings == 2 => None,
            (Some(good), Some(bad)) => {
                self.halvings += 1;
                Some(f64::midpoint(good, bad))
            }
        }
    }

    fn learn(&mut self, rate: f64, is_good: bool) {
        if is_good {
            self.good = Some(self.good.map_or(rate, |good| good.max(rate)));
        } else {
            self.bad = Some(self.bad.map_or(rate, |bad| bad.min(rate)));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(start: f64, limit: f64) -> f64 {
        let mut bounds = Bounds::default();
        while let Some(rate) = bounds.next(start) {
            bounds.learn(rate, rate <= limit);
        }
        bounds.good.unwrap_or(0.0)
    }

    #[test]
    fn the_highest_rate_is_found_from_both_sides() {
        for start in [100.0, 1_000.0, 10_000.0] {
            let rate = found(start, 1_600.0);
            assert!((1_600.0 * 0.92..=1_600.0).contains(&rate), "{start}: {rate}");
        }
    }

    #[test]
    fn a_system_that_bears_nothing_ends_the_search() {
        assert!(found(100.0, 0.0).abs() < f64::EPSILON);
    }
}
