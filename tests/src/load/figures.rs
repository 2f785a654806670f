//! Shell: all figures of both systems, in one run on one machine.

mod table;
mod talk;

use std::collections::BTreeMap;
use std::fs;
use std::net::Ipv4Addr;

use anyhow::Result;
use serde::Serialize;

use self::talk::{Talks, Turns};
use super::bench::{self, Bench};
use super::comeback::Comeback;
use super::system::{NODES, System};
use super::{Plan, Report, maximum, responder};

/// The first address of the phones: not that of a `load` that runs beside.
const BASE: Ipv4Addr = Ipv4Addr::new(127, 240, 0, 1);
/// Rates at which processor time is measured.
const RATES: [f64; 2] = [300.0, 800.0];
/// Seconds of each load of these rates, and of each overload.
const SECONDS: f64 = 5.0;
/// Where the search for the highest rate begins.
const START: f64 = 900.0;
/// Multiples of the highest rate.
const FACTORS: [f64; 3] = [1.0, 2.0, 4.0];
/// Seconds after which a phone gives up while the highest rate is looked for, and in overload.
const PATIENCE: u64 = 2;
const PATIENCE_IN_OVERLOAD: u64 = 5;

/// What to measure.
#[derive(Clone, Debug, clap::Args)]
pub struct Order {
    /// How often processor time and the highest rate are measured; medians count.
    #[arg(long, default_value_t = 5)]
    runs: u32,
    /// Users of the figures of memory and of the restart.
    #[arg(long, default_value_t = 30_000)]
    users: u32,
    /// Seconds of rest before the settled memory is read.
    #[arg(long, default_value_t = 35)]
    settle: u64,
    /// How many addresses the phones share.
    #[arg(long, default_value_t = 4_000)]
    addresses: u32,
    /// The systems.
    #[arg(long, value_enum, value_delimiter = ',', default_value = "ours,kamailio")]
    systems: Vec<System>,
    /// What is measured.
    #[arg(long, value_enum, value_delimiter = ',', default_value = "registrations,talk")]
    parts: Vec<Part>,
    /// How often the highest rates of calls and messages are looked for.
    #[arg(long, default_value_t = 2)]
    talk_maxima: u32,
}

/// Figures that can be had alone.
#[derive(Clone, Copy, Debug, Eq, PartialEq, clap::ValueEnum)]
pub enum Part {
    /// Of registrations: processor time, highest rate, overload, memory, restart.
    Registrations,
    /// Of calls and messages: processor time, services in the way, highest rates, memory.
    Talk,
}

/// All figures.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Figures {
    cores: usize,
    load_average_before: String,
    load_average_after: String,
    /// Registrations a second that the load program itself keeps up.
    ceiling: f64,
    systems: BTreeMap<System, Findings>,
    talk: Talks,
    /// What could not be measured.
    errors: Vec<String>,
}

/// The figures of one system.
#[derive(Clone, Debug, Default, Serialize)]
struct Findings {
    cpu: Vec<Cpu>,
    /// Highest rate of each run.
    maxima: Vec<f64>,
    overload: Vec<Overload>,
    comeback: Option<Comeback>,
}

/// Processor time of one load.
#[derive(Clone, Debug, Serialize)]
struct Cpu {
    rate: f64,
    /// Seconds per 1000 registrations, by process.
    seconds: BTreeMap<String, f64>,
    /// Those of the CSCFs together.
    sum: f64,
    p50: f64,
    p99: f64,
    failed: u64,
}

/// A load of a multiple of the highest rate.
#[derive(Clone, Debug, Serialize)]
struct Overload {
    factor: f64,
    rate: f64,
    goodput: f64,
    p50: f64,
    p99: f64,
    failures: BTreeMap<String, u64>,
    generator_lag_ms_max: f64,
}

impl Findings {
    fn maximum(&self) -> f64 {
        median(self.maxima.clone())
    }

    fn measure_cpu(&mut self, bench: &mut Bench) -> Result<()> {
        for rate in RATES {
            let report = bench.load(rate, SECONDS)?;
            self.cpu.push(Cpu::of(rate, &report));
        }
        Ok(())
    }

    fn find_maximum(&mut self, bench: &mut Bench) -> Result<()> {
        let start = self.maxima.last().map_or(START, |rate| rate * 0.9);
        let rate = maximum::search(bench, start.max(1.0))?;
        self.maxima.push(rate);
        Ok(())
    }

    fn overload(&mut self, bench: &mut Bench) -> Result<()> {
        let maximum = self.maximum();
        for factor in FACTORS {
            bench.renew();
            let rate = (maximum * factor).max(1.0);
            let report = bench.load(rate, SECONDS)?;
            self.overload.push(Overload::of(factor, rate, report));
        }
        Ok(())
    }
}

impl Cpu {
    fn of(rate: f64, report: &Report) -> Self {
        let of = |(name, used): (&String, &super::report::Used)| (name.clone(), used.cpu_seconds_per_1000);
        Self {
            rate,
            seconds: report.watched.iter().map(of).collect(),
            sum: report.cpu_per_1000(&NODES),
            p50: report.latency_ms.p50,
            p99: report.latency_ms.p99,
            failed: report.attempted - report.succeeded,
        }
    }
}

impl Overload {
    fn of(factor: f64, rate: f64, report: Report) -> Self {
        Self {
            factor,
            rate,
            goodput: report.goodput,
            p50: report.latency_ms.p50,
            p99: report.latency_ms.p99,
            failures: report.failures,
            generator_lag_ms_max: report.generator_lag_ms_max,
        }
    }
}

/// Measures all figures; the systems take turns.
///
/// # Errors
/// When a process does not start.
pub fn measure(order: &Order) -> Result<Figures> {
    let mut figures = Figures {
        cores: std::thread::available_parallelism().map_or(1, usize::from),
        load_average_before: load_average(),
        ..Figures::default()
    };
    if order.parts.contains(&Part::Registrations) {
        registrations(order, &mut figures)?;
    }
    if order.parts.contains(&Part::Talk) {
        let turns = Turns {
            cpu: order.runs,
            maxima: order.talk_maxima,
        };
        for (name, measure) in talk::parts(&order.systems, turns) {
            eprintln!("--- {name}");
            if let Err(error) = measure(&mut figures.talk) {
                figures.fail(format!("{name}: {error:#}"));
            }
        }
    }
    figures.load_average_after = load_average();
    Ok(figures)
}

fn registrations(order: &Order, figures: &mut Figures) -> Result<()> {
    let plan = Plan {
        base: BASE,
        addresses: order.addresses,
        settle: 0,
        ..Plan::default_values()
    };
    figures.ceiling = responder::highest(&responder::ceiling(&plan)?);
    let bench = |system, patience| {
        let plan = Plan {
            patience,
            ..plan.clone()
        };
        Bench::new(system, &plan, bench::USERS)
    };
    for _ in 0..order.runs {
        figures.part(order, "processor time", &|system, findings| {
            findings.measure_cpu(&mut bench(system, 32))
        });
    }
    for _ in 0..order.runs {
        figures.part(order, "highest rate", &|system, findings| {
            findings.find_maximum(&mut bench(system, PATIENCE))
        });
    }
    figures.part(order, "overload", &|system, findings| {
        findings.overload(&mut bench(system, PATIENCE_IN_OVERLOAD))
    });
    figures.part(order, "memory and restart", &|system, findings| {
        let rate = (findings.maximum() / 2.0).max(100.0);
        let plan = Plan {
            users: order.users,
            rate,
            prepare_rate: rate,
            settle: order.settle,
            patience: PATIENCE_IN_OVERLOAD,
            ..plan.clone()
        };
        let comeback = bench::restart(system, &plan)?;
        eprint!("{comeback}");
        findings.comeback = Some(comeback);
        Ok(())
    });
    Ok(())
}

type Measure<'a> = &'a dyn Fn(System, &mut Findings) -> Result<()>;

impl Figures {
    /// Measures a part of each system; what fails does not take the other figures along.
    fn part(&mut self, order: &Order, name: &str, measure: Measure<'_>) {
        for system in &order.systems {
            eprintln!("--- {system:?}: {name}");
            if let Err(error) = measure(*system, self.systems.entry(*system).or_default()) {
                self.fail(format!("{system:?}: {name}: {error:#}"));
            }
        }
    }

    fn fail(&mut self, error: String) {
        eprintln!("{error}");
        self.errors.push(error);
    }
}

/// Nothing of nothing; of an even number the lower one of the two in the middle.
pub(super) fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    let middle = values.len().saturating_sub(1) / 2;
    values.get(middle).copied().unwrap_or(0.0)
}

fn load_average() -> String {
    let text = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split(' ').take(3).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_a_value_that_was_measured() {
        assert!((median(vec![5.0, 1.0, 9.0]) - 5.0).abs() < f64::EPSILON);
        assert!((median(vec![4.0, 1.0]) - 1.0).abs() < f64::EPSILON);
        assert!(median(Vec::new()).abs() < f64::EPSILON);
    }
}
