//! Shell: many seeds of the swarm, with the rate at which it simulates registrations.

use std::io::Write as _;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::Parser;
use ims_tests::swarm::{self, Tally};

/// Lives through one bad day of a whole network for each seed, and checks after every step what must always hold.
#[derive(Parser)]
#[command(name = "swarm", version)]
struct Arguments {
    /// The first seed.
    #[arg(long, default_value_t = 0)]
    from: u64,
    /// How many seeds.
    #[arg(long, default_value_t = 100_000)]
    seeds: u64,
    /// Stop after so many failed seeds.
    #[arg(long, default_value_t = 10)]
    failures: usize,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let _log = swarm::watch_logs();
    std::panic::set_hook(Box::new(|_| {}));
    let (mut sum, mut failures, mut done) = (Tally::default(), 0, 0);
    #[allow(clippy::disallowed_methods, reason = "shell")]
    let began = Instant::now();
    for seed in arguments.from..arguments.from + arguments.seeds {
        match swarm::run(seed) {
            Ok(tally) => sum += tally,
            Err(failure) => {
                failures += 1;
                println!("{failure}\n");
            }
        }
        done += 1;
        if failures == arguments.failures {
            break;
        }
        if done % 1_000 == 0 {
            report(done, failures, &sum, began.elapsed());
        }
    }
    report(done, failures, &sum, began.elapsed());
    ExitCode::from(u8::from(failures > 0))
}

fn report(seeds: u64, failures: usize, sum: &Tally, took: Duration) {
    let rate = |count: u64| count as f64 / took.as_secs_f64();
    println!(
        "{seeds} seeds, {failures} failed; {} registrations, {} calls, {} messages, {} steps, {} virtual hours in {:.0} s: \
         {:.0} registrations/s, {:.1} ms a seed",
        sum.registrations,
        sum.calls,
        sum.messages,
        sum.steps,
        sum.seconds / 3_600,
        took.as_secs_f64(),
        rate(sum.registrations),
        1_000.0 / rate(seeds),
    );
    let _ = std::io::stdout().flush();
}
