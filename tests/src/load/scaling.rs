//! Shell: what a second shard on a second core is worth.

use std::collections::BTreeMap;
use std::fmt;

use anyhow::{Result, ensure};
use serde::Serialize;

use super::bench::Bench;
use super::watched::threads;
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

/// Of the highest rate, at which processor time is measured.
const SHARE: f64 = 0.8;
/// Seconds of that.
const SECONDS: f64 = 3.0;

/// The highest rates that were found, and what the threads of the daemons did near them.
#[derive(Clone, Debug, Serialize)]
pub struct Maxima {
    system: System,
    shards: u8,
    cores: usize,
    median: f64,
    all: Vec<f64>,
    /// By daemon, medians.
    daemons: BTreeMap<String, Cost>,
}

/// Processor time of one daemon for 1000 registrations.
#[derive(Clone, Copy, Debug, Default, Serialize)]
struct Cost {
    /// All of its threads.
    cpu_seconds_per_1000: f64,
    /// The thread that has most to do: what is full first.
    busiest_per_1000: f64,
}

impl Cost {
    /// Registrations a second at which the busiest thread has a core for itself.
    fn bears(self) -> f64 {
        1_000.0 / self.busiest_per_1000
    }
}

/// Looks for the highest rate some times.
///
/// # Errors
/// When a process does not start.
pub fn scaling(order: &ScalingOrder) -> Result<Maxima> {
    ensure!(order.runs > 0, "there must be a run");
    let mut all = Vec::new();
    let mut costs: BTreeMap<String, Vec<Cost>> = BTreeMap::new();
    let mut start = order.plan.rate;
    for _ in 0..order.runs {
        let mut bench = Bench::new(order.system, &order.plan, USERS);
        let rate = maximum::search(&mut bench, start)?.max(1.0);
        for (name, cost) in costs_of(&mut bench, rate * SHARE)? {
            costs.entry(name).or_default().push(cost);
        }
        eprintln!(
            "{:?} with {} shards: {rate:.0}/s",
            order.system, order.plan.shards
        );
        all.push(rate);
        start = rate;
    }
    let daemons = costs.into_iter().map(|(name, costs)| {
        let of = |part: fn(&Cost) -> f64| median(costs.iter().map(part));
        let cost = Cost {
            cpu_seconds_per_1000: of(|cost| cost.cpu_seconds_per_1000),
            busiest_per_1000: of(|cost| cost.busiest_per_1000),
        };
        (name, cost)
    });
    Ok(Maxima {
        system: order.system,
        shards: order.plan.shards,
        cores: std::thread::available_parallelism().map_or(1, usize::from),
        daemons: daemons.collect(),
        median: median(all.iter().copied()),
        all,
    })
}

/// What the threads of the daemons spend at this rate.
fn costs_of(bench: &mut Bench, rate: f64) -> Result<BTreeMap<String, Cost>> {
    bench.renew();
    // It starts, and its connections open.
    bench.load(rate / 10.0, 1.0)?;
    let processes = bench.processes();
    let used = || processes.iter().map(|(_, pid)| threads(*pid)).collect::<Vec<_>>();
    let before = used();
    let report = bench.load(rate, SECONDS)?;
    let thousands = report.succeeded.max(1) as f64 / 1_000.0;
    let pairs = before.iter().zip(used());
    let costs = processes.iter().zip(pairs).map(|((name, _), (before, after))| {
        let spent = |(thread, after): (&String, &f64)| after - before.get(thread).copied().unwrap_or(0.0);
        let spent: Vec<f64> = after.iter().map(spent).collect();
        let cost = Cost {
            cpu_seconds_per_1000: spent.iter().sum::<f64>() / thousands,
            busiest_per_1000: spent.iter().copied().fold(0.0, f64::max) / thousands,
        };
        (name.clone(), cost)
    });
    Ok(costs.collect())
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut sorted: Vec<f64> = values.collect();
    sorted.sort_by(f64::total_cmp);
    sorted.get(sorted.len() / 2).copied().unwrap_or_default()
}

impl fmt::Display for Maxima {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            system,
            shards,
            cores,
            median,
            all,
            daemons,
        } = self;
        writeln!(
            f,
            "{system:?}, {shards} shards on {cores} cores: {median:.0}/s of {all:.0?}"
        )?;
        for (name, cost) in daemons {
            writeln!(
                f,
                "  {name}: {:.4} CPU s per 1000, the busiest thread {:.4}: bears {:.0}/s",
                cost.cpu_seconds_per_1000,
                cost.busiest_per_1000,
                cost.bears()
            )?;
        }
        Ok(())
    }
}
