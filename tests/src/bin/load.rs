//! Shell: load for a P-CSCF: registrations of very many phones at a given rate.

use anyhow::Result;
use clap::{Parser, Subcommand};
use ims_tests::load::{self, Plan, bench, responder};

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
    /// Starts an HSS and the three daemons beside this program on 127.0.77.0/24, loads them and stops them.
    Bench(Plan),
    /// Measures how much this program can do against a responder that knows no SIP.
    SelfTest(Plan),
}

fn main() -> Result<()> {
    let report = match Arguments::parse().action {
        Action::Run(plan) => load::run(&plan)?,
        Action::Bench(plan) => bench::bench(&plan)?,
        Action::SelfTest(plan) => {
            let reports = responder::ceiling(&plan)?;
            eprintln!(
                "this program keeps up to {} registrations a second",
                responder::highest(&reports)
            );
            println!("{}", serde_json::to_string_pretty(&reports)?);
            return Ok(());
        }
    };
    eprint!("{report}");
    println!("{}", serde_json::to_string_pretty(&report)?);
    Ok(())
}
