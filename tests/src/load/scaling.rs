//! Shell: what a second shard on a second core is worth.

use std::fmt;

use anyhow::{Result, ensure};
use serde::Serialize;

use super::bench::Bench;
use super::{Plan, System, maximum};

/// Users of one search.
const USERS: u32 = 100_000;

/// What to measure. The cores are those that `taskset` leaves this program: all processes inherit them.
#[derive(Clone, Debug, clap::Args)]
pub struct ScalingOrder {
    /// What is loaded: `pcscf`, `scscf` or `ours`.
    #[arg(long, value_enum, default_value = "pcscf")]
    system: System,
    /// Runs, of which the median counts.
    #[arg(long, default_value_t = 5)]
    runs: usize,
    #[command(flatten)]
    plan: Plan,
}

/// The highest rates that were found.
#[derive(Clone, Debug, Serialize)]
pub struct Maxima {
    system: System,
    shards: u8,
    cores: usize,
    median: f64,
    all: Vec<f64>,
}

/// Looks for the highest rate some times.
///
/// # Errors
/// When a process does not start.
pub fn scaling(order: &ScalingOrder) -> Result<Maxima> {
    ensure!(order.runs > 0, "there must be a run");
    let mut all = Vec::new();
    let mut start = order.plan.rate;
    for _ in 0..order.runs {
        let mut bench = Bench::new(order.system, &order.plan, USERS);
        let rate = maximum::search(&mut bench, start)?;
        eprintln!(
            "{:?} with {} shards: {rate:.0}/s",
            order.system, order.plan.shards
        );
        all.push(rate);
        start = rate.max(1.0);
    }
    let mut sorted = all.clone();
    sorted.sort_by(f64::total_cmp);
    Ok(Maxima {
        system: order.system,
        shards: order.plan.shards,
        cores: std::thread::available_parallelism().map_or(1, usize::from),
        median: sorted.get(sorted.len() / 2).copied().unwrap_or_default(),
        all,
    })
}

impl fmt::Display for Maxima {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            system,
            shards,
            cores,
            median,
            all,
        } = self;
        writeln!(
            f,
            "{system:?}, {shards} shards on {cores} cores: {median:.0}/s of {all:.0?}"
        )
    }
}
