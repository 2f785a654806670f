//! Shell: the figures of calls and messages.

use std::collections::BTreeMap;
use std::fmt::{self, Formatter};

use anyhow::Result;
use serde::Serialize;

use super::{BASE, Cpu, PATIENCE, SECONDS, median};
use crate::load::bench::{self, Bench};
use crate::load::system::{NODES, System};
use crate::load::{Plan, Scenario, maximum, responder};

/// Rates at which processor time is measured, and where the search for the highest one begins.
const CALLS: ([f64; 2], f64) = ([100.0, 400.0], 1_500.0);
const MESSAGES: ([f64; 2], f64) = ([300.0, 1_200.0], 3_500.0);
/// Phones, each with an address of its own.
const PHONES: u32 = 1_000;
/// Registrations a second beforehand.
const PREPARE_RATE: f64 = 500.0;
/// Filter criteria that do not match, in the place of none.
const CRITERIA: u32 = 10;
/// Calls in progress, and the seconds that they last.
const IN_PROGRESS: u32 = 2_000;
const HOLD: f64 = 10.0;

/// How often each is measured.
#[derive(Clone, Copy, Debug)]
pub(super) struct Turns {
    pub(super) cpu: u32,
    pub(super) maxima: u32,
}

/// Of calls and messages.
#[derive(Clone, Debug, Default, Serialize)]
pub(super) struct Talks {
    /// Operations a second that the load program itself keeps up.
    ceilings: BTreeMap<Scenario, f64>,
    systems: BTreeMap<System, Findings>,
    /// Of ours.
    services: BTreeMap<Services, Vec<Cpu>>,
}

/// Of one system.
#[derive(Clone, Debug, Default, Serialize)]
struct Findings {
    cpu: BTreeMap<Scenario, Vec<Cpu>>,
    maxima: BTreeMap<Scenario, Vec<f64>>,
    /// Octets for each call in progress, by process.
    memory: BTreeMap<String, u64>,
}

/// What calls meet on their way.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "kebab-case")]
enum Services {
    None,
    Criteria,
    AppServer,
}

/// Measures a part of the figures.
type Measure = Box<dyn Fn(&mut Talks) -> Result<()>>;

fn plan_of(scenario: Scenario) -> Plan {
    Plan {
        base: BASE,
        addresses: PHONES,
        users: PHONES,
        prepare_rate: PREPARE_RATE,
        scenario,
        ..Plan::default_values()
    }
}

fn rates_of(scenario: Scenario) -> ([f64; 2], f64) {
    match scenario {
        Scenario::Messages => MESSAGES,
        Scenario::Calls
        | Scenario::Register
        | Scenario::Reregister
        | Scenario::Deregister
        | Scenario::Mixed => CALLS,
    }
}

/// All parts by name; the systems take turns.
pub(super) fn parts(systems: &[System], turns: Turns) -> Vec<(String, Measure)> {
    let mut parts = Vec::new();
    let mut add = |name: String, part: Measure| parts.push((name, part));
    let scenarios = [Scenario::Calls, Scenario::Messages];
    for scenario in scenarios {
        let name = format!("{scenario:?}: what the load program keeps up");
        add(name, Box::new(move |talks| talks.measure_ceiling(scenario)));
    }
    for _ in 0..turns.cpu {
        for (system, scenario) in pairs(systems, scenarios) {
            let name = format!("{system:?}: processor time of {scenario:?}");
            add(name, Box::new(move |talks| talks.measure_cpu(system, scenario)));
        }
        if systems.contains(&System::Ours) {
            let name = "Ours: services in the way of calls".to_owned();
            add(name, Box::new(Talks::measure_services));
        }
    }
    for _ in 0..turns.maxima {
        for (system, scenario) in pairs(systems, scenarios) {
            let name = format!("{system:?}: highest rate of {scenario:?}");
            add(name, Box::new(move |talks| talks.find_maximum(system, scenario)));
        }
    }
    for system in systems.iter().copied() {
        let name = format!("{system:?}: memory of calls");
        add(name, Box::new(move |talks| talks.measure_memory(system)));
    }
    parts
}

fn pairs(systems: &[System], scenarios: [Scenario; 2]) -> Vec<(System, Scenario)> {
    let with = |scenario| systems.iter().map(move |system| (*system, scenario));
    scenarios.into_iter().flat_map(with).collect()
}

impl Talks {
    /// Whether anything was measured.
    pub(super) fn has_some(&self) -> bool {
        !self.systems.is_empty()
    }

    fn of(&mut self, system: System) -> &mut Findings {
        self.systems.entry(system).or_default()
    }

    fn measure_ceiling(&mut self, scenario: Scenario) -> Result<()> {
        let reports = responder::ceiling(&plan_of(scenario))?;
        self.ceilings.insert(scenario, responder::highest(&reports));
        Ok(())
    }

    fn measure_cpu(&mut self, system: System, scenario: Scenario) -> Result<()> {
        let mut bench = Bench::new(system, &plan_of(scenario), PHONES);
        for rate in rates_of(scenario).0 {
            let report = bench.load(rate, SECONDS)?;
            let found = Cpu::of(rate, &report);
            self.of(system).cpu.entry(scenario).or_default().push(found);
        }
        Ok(())
    }

    fn measure_services(&mut self) -> Result<()> {
        let [_, rate] = CALLS.0;
        for services in [Services::None, Services::Criteria, Services::AppServer] {
            let plan = Plan {
                criteria: if services == Services::Criteria {
                    CRITERIA
                } else {
                    0
                },
                app_servers: u32::from(services == Services::AppServer),
                ..plan_of(Scenario::Calls)
            };
            let report = Bench::new(System::Ours, &plan, PHONES).load(rate, SECONDS)?;
            let found = Cpu::of(rate, &report);
            self.services.entry(services).or_default().push(found);
        }
        Ok(())
    }

    fn find_maximum(&mut self, system: System, scenario: Scenario) -> Result<()> {
        let plan = Plan {
            patience: PATIENCE,
            ..plan_of(scenario)
        };
        let maxima = self.of(system).maxima.entry(scenario).or_default();
        let (_, first) = rates_of(scenario);
        let start = maxima.last().map_or(first, |rate| rate * 0.9);
        let rate = maximum::search(&mut Bench::new(system, &plan, PHONES), start.max(1.0))?;
        maxima.push(rate);
        Ok(())
    }

    fn measure_memory(&mut self, system: System) -> Result<()> {
        let [_, rate] = CALLS.0;
        let plan = Plan {
            rate,
            operations: Some(u64::from(IN_PROGRESS)),
            hold: HOLD,
            ..plan_of(Scenario::Calls)
        };
        let report = bench::bench(system, &plan)?;
        eprint!("{report}");
        let memory = report
            .watched
            .iter()
            .filter_map(|(name, used)| Some((name.clone(), used.memory_bytes_per_operation_under_way?)));
        self.of(system).memory = memory.collect();
        Ok(())
    }
}

impl fmt::Display for Talks {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        for (scenario, ceiling) in &self.ceilings {
            writeln!(f, "{scenario:?}: the load program itself keeps up {ceiling:.0}/s")?;
        }
        writeln!(
            f,
            "\nCPU seconds per 1000 calls or messages, medians of all runs (lowest to highest sum)\n\n\
             | system | what | rate | P | I | S | P+I+S | HSS | p50 ms | p99 ms | failed |\n\
             | --- | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |"
        )?;
        for (system, findings) in &self.systems {
            for (scenario, cpu) in &findings.cpu {
                for rate in rates_of(*scenario).0 {
                    let runs = cpu.iter().filter(|cpu| cpu.rate.total_cmp(&rate).is_eq());
                    let runs: Vec<&Cpu> = runs.collect();
                    writeln!(f, "| {system:?} | {scenario:?} {}", row(rate, &runs))?;
                }
            }
        }
        self.services(f)?;
        self.maxima(f)?;
        self.memory(f)
    }
}

/// What follows the name of what was measured.
fn row(rate: f64, runs: &[&Cpu]) -> String {
    let of = |value: &dyn Fn(&Cpu) -> f64| median(runs.iter().map(|run| value(run)).collect());
    let name = |name: &str| of(&|run| run.seconds.get(name).copied().unwrap_or(0.0));
    let [p, i, s] = NODES.map(name);
    let sums = runs.iter().map(|run| run.sum);
    format!(
        "| {rate:.0} | {p:.3} | {i:.3} | {s:.3} | {:.3} ({:.3} to {:.3}) | {:.3} | {:.1} | {:.1} | {} |",
        of(&|run| run.sum),
        sums.clone().fold(f64::INFINITY, f64::min),
        sums.fold(0.0, f64::max),
        name("hss"),
        of(&|run| run.p50),
        of(&|run| run.p99),
        runs.iter().map(|run| run.failed).sum::<u64>()
    )
}

impl Talks {
    fn services(&self, f: &mut Formatter<'_>) -> fmt::Result {
        if self.services.is_empty() {
            return Ok(());
        }
        let median_of = |services| {
            let runs = self.services.get(&services).map_or(&[][..], Vec::as_slice);
            median(runs.iter().map(|run| run.sum).collect())
        };
        writeln!(
            f,
            "\nCalls of ours with services in the way\n\n\
             | in the way | rate | P | I | S | P+I+S | HSS | p50 ms | p99 ms | failed |\n\
             | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |"
        )?;
        for (services, runs) in &self.services {
            let [_, rate] = CALLS.0;
            let name = match services {
                Services::None => "nothing".to_owned(),
                Services::Criteria => format!("{CRITERIA} criteria that do not match"),
                Services::AppServer => "an application server that gives the call back".to_owned(),
            };
            let runs: Vec<&Cpu> = runs.iter().collect();
            writeln!(f, "| {name} {}", row(rate, &runs))?;
        }
        let more = |services| median_of(services) - median_of(Services::None);
        writeln!(
            f,
            "\nOne more criterion costs {:.4} CPU s per 1000 calls, one more hop to an application server {:.3}",
            more(Services::Criteria) / f64::from(CRITERIA),
            more(Services::AppServer)
        )
    }

    fn maxima(&self, f: &mut Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "\nHighest rate with 99.9 % success and p99 below 100 ms\n\n\
             | system | what | median | all runs |\n| --- | --- | ---: | --- |"
        )?;
        for (system, findings) in &self.systems {
            for (scenario, maxima) in &findings.maxima {
                let all: Vec<_> = maxima.iter().map(|rate| format!("{rate:.0}")).collect();
                writeln!(
                    f,
                    "| {system:?} | {scenario:?} | {:.0} | {} |",
                    median(maxima.clone()),
                    all.join(", ")
                )?;
            }
        }
        Ok(())
    }

    fn memory(&self, f: &mut Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "\nOctets (Pss) per call in progress, {IN_PROGRESS} of them, transactions that wait for retransmissions \
             included\n\n| system | P | I | S |\n| --- | ---: | ---: | ---: |"
        )?;
        for (system, findings) in &self.systems {
            let [p, i, s] = NODES.map(|name| findings.memory.get(name).copied().unwrap_or(0));
            writeln!(f, "| {system:?} | {p} | {i} | {s} |")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cpu(rate: f64, sum: f64) -> Cpu {
        Cpu {
            rate,
            seconds: [("pcscf".to_owned(), sum / 2.0), ("hss".to_owned(), 0.03)].into(),
            sum,
            p50: 20.0,
            p99: 30.0,
            failed: 1,
        }
    }

    #[test]
    fn tables_show_medians_and_what_one_more_service_costs() {
        let mut talks = Talks::default();
        assert!(!talks.has_some());
        let ours = talks.of(System::Ours);
        let runs = [0.5, 0.3, 0.4].map(|sum| cpu(400.0, sum));
        ours.cpu.insert(Scenario::Calls, runs.to_vec());
        ours.maxima.insert(Scenario::Calls, vec![900.0, 1_000.0]);
        ours.memory.insert("scscf1".to_owned(), 4_711);
        for (services, sum) in [
            (Services::None, 0.4),
            (Services::Criteria, 0.41),
            (Services::AppServer, 0.6),
        ] {
            talks.services.insert(services, vec![cpu(400.0, sum)]);
        }
        let text = talks.to_string();
        for line in [
            "| Ours | Calls | 400 | 0.200 | 0.000 | 0.000 | 0.400 (0.300 to 0.500) | 0.030 | 20.0 | 30.0 | 3 |",
            "| Ours | Calls | 900 | 900, 1000 |",
            "| Ours | 0 | 0 | 4711 |",
            "One more criterion costs 0.0010 CPU s per 1000 calls, one more hop to an application server 0.200",
        ] {
            assert!(text.lines().any(|other| other == line), "{line}\n{text}");
        }
    }
}
