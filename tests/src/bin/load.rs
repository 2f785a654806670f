//! Shell: load for a P-CSCF: registrations of very many phones at a given rate.

use anyhow::Result;
use clap::{Parser, Subcommand};
use ims_tests::load::{self, Plan, System, bench, figures, protected, responder, scaling};
use serde::Serialize;

/// Registers many phones over UDP at a rate, whatever the answers, and prints what it saw as JSON (a summary goes to
/// the error output).
#[derive(Parser)]
#[command(name = "load", version)]
struct Arguments {
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand)]
enum Action {
    /// Loads a P-CSCF that runs already.
    Run(Plan),
    /// Starts an HSS and the three CSCFs beside this program on loopback, loads them and stops them.
    Bench {
        /// Whose CSCFs.
        #[arg(long, value_enum, default_value = "ours")]
        system: System,
        /// Look for the highest rate with 99.9 % success and a 99th percentile below 100 ms, beginning at `--rate`.
        #[arg(long)]
        find_max: bool,
        #[command(flatten)]
        plan: Plan,
    },
    /// Registers all phones at `--prepare-rate`, kills the S-CSCF, starts it, and registers all again at `--rate`.
    Restart {
        /// Whose CSCFs.
        #[arg(long, value_enum, default_value = "ours")]
        system: System,
        #[command(flatten)]
        plan: Plan,
    },
    /// Measures all figures of both systems in about twenty minutes; tables of Markdown go to the error output.
    Figures(figures::Order),
    /// Looks for the highest rate with `--shards` shards on the cores that it may use, some times.
    Shards(scaling::ScalingOrder),
    /// Measures what IPsec costs, in a network of its own: registrations, memory, latency (see `vm`).
    Ipsec(protected::Order),
    /// Measures how much this program can do against a responder that knows no SIP.
    SelfTest(Plan),
}

fn main() -> Result<()> {
    match Arguments::parse().action {
        Action::Run(plan) => show(&load::run(&plan)?),
        Action::Bench {
            system,
            find_max: false,
            plan,
        } => show(&bench::bench(system, &plan)?),
        Action::Bench { system, plan, .. } => {
            let rate = bench::find_maximum(system, &plan)?;
            eprintln!("{system:?} bears {rate:.0} a second");
            print_json(&rate)
        }
        Action::Restart { system, plan } => show(&bench::restart(system, &plan)?),
        Action::Figures(order) => show(&figures::measure(&order)?),
        Action::Shards(order) => show(&scaling::scaling(&order)?),
        Action::Ipsec(order) => show(&protected::measure(&order)?),
        Action::SelfTest(plan) => {
            let reports = responder::ceiling(&plan)?;
            eprintln!(
                "this program keeps up to {} a second",
                responder::highest(&reports)
            );
            print_json(&reports)
        }
    }
}

fn show<T: std::fmt::Display + Serialize>(report: &T) -> Result<()> {
    eprint!("{report}");
    print_json(report)
}

fn print_json<T: Serialize>(value: &T) -> Result<()> {
    println!("{}", serde_json::to_string_pretty(value)?);
    Ok(())
}
