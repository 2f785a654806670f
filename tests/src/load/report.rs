//! Testkit: what a run of the load program found.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use serde::Serialize;

use super::Scenario;

/// Raw findings of one phase.
#[derive(Debug, Default)]
pub(super) struct Tally {
    pub(super) attempted: u64,
    pub(super) failures: BTreeMap<String, u64>,
    pub(super) latencies: Vec<Duration>,
    pub(super) retransmissions: u64,
    /// Answers 503 with Retry-After.
    pub(super) refusals: u64,
    /// What succeeded while the plan still began operations, and for how long it did.
    pub(super) in_time: u64,
    pub(super) planned: Duration,
    /// From the first intended start to the last success.
    pub(super) last_success: Duration,
    /// Responses that were answered by another challenge.
    pub(super) challenged_again: u64,
    /// How late the program itself was at worst.
    pub(super) lag_max: Duration,
    /// From the first intended start to the last end.
    pub(super) lasted: Duration,
}

/// Milliseconds from the intended start to the final answer, of what succeeded.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Latency {
    pub(super) p50: f64,
    p90: f64,
    pub(super) p99: f64,
    p99_9: f64,
    max: f64,
}

impl Latency {
    fn of(latencies: &mut [Duration]) -> Self {
        latencies.sort_unstable();
        let at = |thousandths: usize| {
            let rank = (latencies.len() * thousandths).div_ceil(1_000).saturating_sub(1);
            milliseconds(latencies.get(rank).copied().unwrap_or_default())
        };
        Self {
            p50: at(500),
            p90: at(900),
            p99: at(990),
            p99_9: at(999),
            max: at(1_000),
        }
    }
}

/// What one process used.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Used {
    pub(super) cpu_seconds: f64,
    pub(super) cpu_seconds_per_1000: f64,
    pub(super) memory_bytes_before: u64,
    pub(super) memory_bytes_after: u64,
    /// Nothing when nobody is registered at the end.
    pub(super) memory_bytes_per_user: Option<u64>,
    /// Growth from before the first operation until the last one has begun; nothing when none is under way then.
    pub(super) memory_bytes_per_operation_under_way: Option<u64>,
}

/// All of a run.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    pub(super) scenario: Scenario,
    pub(super) users: u32,
    pub(super) addresses: u32,
    pub(super) rate_intended: f64,
    pub(super) rate_achieved: f64,
    /// What succeeded a second while the plan still began operations: the goodput under overload.
    pub(super) goodput: f64,
    pub(super) attempted: u64,
    pub(super) succeeded: u64,
    pub(super) failures: BTreeMap<String, u64>,
    pub(super) latency_ms: Latency,
    pub(super) retransmissions: u64,
    pub(super) refusals: u64,
    /// Responses that were answered by another challenge: none when the S-CSCF remembers its vectors.
    pub(super) challenged_again: u64,
    pub(super) generator_lag_ms_max: f64,
    pub(super) generator_cpu_seconds: f64,
    pub(super) registered_users: u64,
    /// Operations under way when the last one has begun.
    pub(super) under_way_at_most: usize,
    pub(super) watched: BTreeMap<String, Used>,
    pub(super) cores: usize,
    pub(super) load_average: String,
}

impl Report {
    /// The findings of the phase; the rest is for the caller to fill in.
    pub(super) fn of(scenario: Scenario, rate: f64, mut tally: Tally) -> Self {
        let succeeded = u64::try_from(tally.latencies.len()).unwrap_or(u64::MAX);
        Self {
            scenario,
            users: 0,
            addresses: 0,
            rate_intended: rate,
            rate_achieved: succeeded as f64 / tally.lasted.as_secs_f64().max(1e-6),
            goodput: tally.in_time as f64 / tally.planned.as_secs_f64().max(1e-6),
            attempted: tally.attempted,
            succeeded,
            failures: tally.failures,
            latency_ms: Latency::of(&mut tally.latencies),
            retransmissions: tally.retransmissions,
            refusals: tally.refusals,
            challenged_again: tally.challenged_again,
            generator_lag_ms_max: milliseconds(tally.lag_max),
            generator_cpu_seconds: 0.0,
            registered_users: 0,
            under_way_at_most: 0,
            watched: BTreeMap::new(),
            cores: 0,
            load_average: String::new(),
        }
    }

    /// Whether 99.9 % succeeded and 99 % of them within 100 ms.
    pub(super) fn is_good(&self) -> bool {
        let share = self.succeeded as f64 / self.attempted.max(1) as f64;
        share >= 0.999 && self.latency_ms.p99 < 100.0
    }

    /// CPU seconds per 1000 operations of these processes together.
    pub(super) fn cpu_per_1000(&self, names: &[&str]) -> f64 {
        let of = |name: &&str| {
            self.watched
                .get(*name)
                .map_or(0.0, |used| used.cpu_seconds_per_1000)
        };
        names.iter().map(of).sum()
    }

    /// Whether nothing failed and no more than a twentieth of the rate was missed.
    pub(super) fn keeps_up(&self) -> bool {
        self.failures.is_empty()
            && self.retransmissions == 0
            && self.rate_achieved > 0.95 * self.rate_intended
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Latency {
            p50,
            p90,
            p99,
            p99_9,
            max,
        } = self.latency_ms;
        writeln!(
            f,
            "{:?}: {} of {} succeeded at {:.1}/s (intended {:.1}/s, goodput {:.1}/s), {} refused for a while, \
             {} challenged again, {} retransmissions, failures {:?}",
            self.scenario,
            self.succeeded,
            self.attempted,
            self.rate_achieved,
            self.rate_intended,
            self.goodput,
            self.refusals,
            self.challenged_again,
            self.retransmissions,
            self.failures
        )?;
        writeln!(
            f,
            "latency ms: p50 {p50:.1} p90 {p90:.1} p99 {p99:.1} p99.9 {p99_9:.1} max {max:.1}; own lag at most {:.1}",
            self.generator_lag_ms_max
        )?;
        for (name, used) in &self.watched {
            writeln!(
                f,
                "{name}: {:.3} CPU s per 1000 operations, memory {} -> {} kB, {} bytes per registered user (0: nobody is)",
                used.cpu_seconds_per_1000,
                used.memory_bytes_before / 1024,
                used.memory_bytes_after / 1024,
                used.memory_bytes_per_user.unwrap_or(0)
            )?;
        }
        Ok(())
    }
}

fn milliseconds(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 1e6).round() / 1e3
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_of_the_nearest_rank() {
        let mut all: Vec<_> = (1..=1_000).rev().map(Duration::from_millis).collect();
        let latency = Latency::of(&mut all);
        assert_eq!(
            [latency.p50, latency.p90, latency.p99, latency.p99_9, latency.max],
            [500.0, 900.0, 990.0, 999.0, 1_000.0]
        );
        assert_eq!(Latency::of(&mut []).p99.to_bits(), 0.0_f64.to_bits());
    }
}
