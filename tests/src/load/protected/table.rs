//! Testkit: what IPsec costs, as tables of Markdown.

use std::fmt::{self, Formatter};

use super::super::Report;
use super::super::figures::median;
use super::super::system::NODES;
use super::ProtectedFigures;
use super::latency::Latencies;

impl fmt::Display for Latencies {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "| sets | installed/s | slab octets each | ESP RTT ms p50 | p90 | clear RTT ms p50 | p90 |\n\
             | ---: | ---: | ---: | ---: | ---: | ---: | ---: |"
        )?;
        for among in &self.among {
            // Of a few sets, the rate says nothing.
            let installed = match among.sets {
                0..100 => String::new(),
                _ => format!("{:.0}", among.installed_per_second),
            };
            writeln!(
                f,
                "| {} | {installed} | {} | {:.2} | {:.2} | {:.2} | {:.2} |",
                among.sets,
                among.slab_per_set,
                among.esp.p50,
                among.esp.p90,
                among.clear.p50,
                among.clear.p90
            )?;
        }
        writeln!(f, "\nAll removed at {:.0}/s.\n", self.removed_per_second)
    }
}

impl fmt::Display for ProtectedFigures {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "Linux {}, {} cores, load average {}\n\n{}\
             | | registrations/s, all runs | median | CPU s per 1000: P | I | S | all, with HSS and phones |\n\
             | --- | --- | ---: | ---: | ---: | ---: | ---: |",
            self.kernel, self.cores, self.load_average, self.latencies
        )?;
        let column =
            |index: usize| -> Vec<&Report> { self.pairs.iter().filter_map(|pair| pair.get(index)).collect() };
        for (name, index) in [("ESP", 0), ("clear", 1)] {
            row(f, name, &column(index))?;
        }
        let ratios = self
            .pairs
            .iter()
            .map(|[esp, clear]| esp.rate_achieved / clear.rate_achieved);
        writeln!(
            f,
            "\nESP to clear, median of pairs: {:.2}\n",
            median(ratios.collect())
        )?;
        for (name, report) in ["ESP", "clear"].iter().zip(&self.memory) {
            for node in NODES {
                let used = report
                    .watched
                    .get(node)
                    .and_then(|used| used.memory_bytes_per_user);
                writeln!(
                    f,
                    "{name}: {node} grew by {} octets of Pss per phone of {}",
                    used.unwrap_or(0),
                    report.registered_users
                )?;
            }
        }
        Ok(())
    }
}

fn row(f: &mut Formatter<'_>, name: &str, runs: &[&Report]) -> fmt::Result {
    let rates: Vec<f64> = runs.iter().map(|run| run.rate_achieved).collect();
    let all: Vec<String> = rates.iter().map(|rate| format!("{rate:.1}")).collect();
    let [p, i, s] = NODES.map(|node| median(runs.iter().map(|run| run.cpu_per_1000(&[node])).collect()));
    // The daemons and the HSS are children of this program.
    let own = runs
        .iter()
        .map(|run| run.generator_cpu_seconds * 1e3 / run.attempted.max(1) as f64);
    writeln!(
        f,
        "| {name} | {} | {:.1} | {p:.2} | {i:.2} | {s:.2} | {:.2} |",
        all.join(", "),
        median(rates),
        median(own.collect())
    )
}
