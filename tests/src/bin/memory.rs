//! Shell: octets of memory for each registered user, at a P-CSCF and at an S-CSCF, without a network.

use clap::Parser;
use ims_tests::memory::{Plan, measure};
use peak_alloc::PeakAlloc;

#[global_allocator]
static ALLOCATOR: PeakAlloc = PeakAlloc;

/// Registers many users through the pure nodes and prints what each of them costs.
#[derive(Parser)]
#[command(name = "memory", version)]
struct Arguments {
    /// How many users; several numbers measure one after the other.
    #[arg(long, value_delimiter = ',', default_value = "10000")]
    users: Vec<u32>,
    /// Registrations a second, on the virtual clock.
    #[arg(long, default_value_t = 800)]
    rate: u32,
    /// Initial filter criteria of each user.
    #[arg(long, default_value_t = 3)]
    criteria: u32,
    /// Each user has security associations at the P-CSCF.
    #[arg(long)]
    ipsec: bool,
}

fn main() {
    let Arguments {
        users,
        rate,
        criteria,
        ipsec,
    } = Arguments::parse();
    println!("octets per registered user, as allocated (without the allocator's own)");
    println!(
        "{:>10} {:>8} {:>8} {:>8} {:>14}",
        "users", "P-CSCF", "S-CSCF", "both", "both at peak"
    );
    for users in users {
        let plan = Plan {
            users,
            rate,
            criteria,
            ipsec,
        };
        let figures = measure(plan, &|| ALLOCATOR.current_usage());
        println!(
            "{:>10} {:>8} {:>8} {:>8} {:>14}",
            figures.registered,
            figures.per_user(figures.pcscf),
            figures.per_user(figures.scscf),
            figures.per_user(figures.pcscf + figures.scscf),
            figures.per_user(figures.peak_of_both),
        );
    }
}
