//! Testkit: the figures as tables of Markdown.

use std::fmt::{self, Formatter};

use super::super::system::NODES;
use super::{Cpu, Figures, Findings, RATES, median};

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{} cores, load average {} before and {} after\n",
            self.cores, self.load_average_before, self.load_average_after
        )?;
        if !self.systems.is_empty() {
            writeln!(f, "The load program itself keeps up {:.0}/s\n", self.ceiling)?;
            self.cpu(f)?;
            self.maxima(f)?;
            self.overload(f)?;
            self.comebacks(f)?;
        }
        if self.talk.has_some() {
            writeln!(f, "{}", self.talk)?;
        }
        for error in &self.errors {
            writeln!(f, "NOT MEASURED: {error}")?;
        }
        Ok(())
    }
}

impl Figures {
    fn cpu(&self, f: &mut Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "CPU seconds per 1000 registrations, medians of all runs (lowest to highest sum)\n\n\
             | system | rate | P | I | S | P+I+S | HSS | p50 ms | p99 ms | failed |\n\
             | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |"
        )?;
        for (system, findings) in &self.systems {
            for rate in RATES {
                let runs: Vec<&Cpu> = findings
                    .cpu
                    .iter()
                    .filter(|cpu| cpu.rate.total_cmp(&rate).is_eq())
                    .collect();
                let of = |value: &dyn Fn(&Cpu) -> f64| median(runs.iter().map(|run| value(run)).collect());
                let name = |name: &str| of(&|run| run.seconds.get(name).copied().unwrap_or(0.0));
                let [p, i, s] = NODES.map(name);
                let sums = runs.iter().map(|run| run.sum);
                let failed: u64 = runs.iter().map(|run| run.failed).sum();
                writeln!(
                    f,
                    "| {system:?} | {rate:.0} | {p:.3} | {i:.3} | {s:.3} | {:.3} ({:.3} to {:.3}) | {:.3} | {:.1} | {:.1} | {failed} |",
                    of(&|run| run.sum),
                    sums.clone().fold(f64::INFINITY, f64::min),
                    sums.fold(0.0, f64::max),
                    name("hss"),
                    of(&|run| run.p50),
                    of(&|run| run.p99),
                )?;
            }
        }
        writeln!(f)
    }

    fn maxima(&self, f: &mut Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "Highest rate with 99.9 % success and p99 below 100 ms\n\n\
             | system | median | all runs |\n| --- | ---: | --- |"
        )?;
        for (system, findings) in &self.systems {
            let all: Vec<_> = findings.maxima.iter().map(|rate| format!("{rate:.0}")).collect();
            writeln!(
                f,
                "| {system:?} | {:.0} | {} |",
                findings.maximum(),
                all.join(", ")
            )?;
        }
        writeln!(f)
    }

    fn overload(&self, f: &mut Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "Successes a second at multiples of the highest rate\n\n\
             | system | times | intended | goodput | p50 ms | p99 ms | own lag ms | failures |\n\
             | --- | ---: | ---: | ---: | ---: | ---: | ---: | --- |"
        )?;
        for (system, findings) in &self.systems {
            for point in &findings.overload {
                let beyond = if point.rate > self.ceiling {
                    " (beyond the load program)"
                } else {
                    ""
                };
                writeln!(
                    f,
                    "| {system:?} | {} | {:.0}{beyond} | {:.0} | {:.1} | {:.1} | {:.0} | {:?} |",
                    point.factor,
                    point.rate,
                    point.goodput,
                    point.p50,
                    point.p99,
                    point.generator_lag_ms_max,
                    point.failures
                )?;
            }
        }
        writeln!(f)
    }

    fn comebacks(&self, f: &mut Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "Bytes per registered user (at once / after the rest), and the time until all were back after a kill of the \
             S-CSCF\n\n\
             | system | users | P | I | S | sum | rate | seconds |\n\
             | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |"
        )?;
        for (system, findings) in &self.systems {
            let Findings {
                comeback: Some(comeback),
                ..
            } = findings
            else {
                continue;
            };
            let grown = NODES.map(|name| comeback.memory.get(name).copied());
            let text = grown.map(|grown| {
                grown.map_or(String::new(), |grown| {
                    format!("{} / {}", grown.at_once, grown.settled)
                })
            });
            let sum = |value: fn(super::super::comeback::Grown) -> u64| {
                grown.iter().flatten().map(|grown| value(*grown)).sum::<u64>()
            };
            let [p, i, s] = text;
            writeln!(
                f,
                "| {system:?} | {} | {p} | {i} | {s} | {} / {} | {:.0} | {}{:.1} |",
                comeback.users,
                sum(|grown| grown.at_once),
                sum(|grown| grown.settled),
                comeback.rate,
                if comeback.is_complete {
                    ""
                } else {
                    "not all after "
                },
                comeback.seconds
            )?;
        }
        writeln!(f)
    }
}
