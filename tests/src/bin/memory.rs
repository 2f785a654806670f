//! Shell: octets of memory for each registered user and each call, at a P-CSCF and at an S-CSCF, without a network.

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
    /// The P-CSCF does not subscribe to registrations.
    #[arg(long)]
    no_reg_event: bool,
    /// Each user has security associations at the P-CSCF.
    #[arg(long)]
    ipsec: bool,
    /// Calls in progress; what is printed is what they add. Users have no filter criteria then.
    #[arg(long)]
    calls: Option<u32>,
}

fn main() {
    let Arguments {
        users,
        rate,
        criteria,
        no_reg_event,
        ipsec,
        calls,
    } = Arguments::parse();
    if let Some(calls) = calls {
        return per_call(&users, rate, calls);
    }
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
            reg_event: !no_reg_event,
            ipsec,
            calls: 0,
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

fn per_call(users: &[u32], rate: u32, calls: u32) {
    println!(
        "octets per call in progress, as allocated; at peak with transactions that wait for retransmissions"
    );
    println!(
        "{:>10} {:>10} {:>8} {:>8} {:>8} {:>14}",
        "users", "calls", "P-CSCF", "S-CSCF", "both", "both at peak"
    );
    for users in users.iter().copied() {
        let of = |calls| {
            let plan = Plan {
                users,
                rate,
                criteria: 0,
                reg_event: true,
                ipsec: false,
                calls,
            };
            measure(plan, &|| ALLOCATOR.current_usage())
        };
        let (without, with) = (of(0), of(calls));
        let each = |octets: usize| octets / usize::try_from(calls.max(1)).unwrap_or(1);
        let pcscf = each(with.pcscf.saturating_sub(without.pcscf));
        let scscf = each(with.scscf.saturating_sub(without.scscf));
        println!(
            "{users:>10} {calls:>10} {pcscf:>8} {scscf:>8} {:>8} {:>14}",
            pcscf + scscf,
            each(with.peak_of_calls)
        );
    }
}
