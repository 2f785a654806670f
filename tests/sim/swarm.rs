//! Testkit: bad days of the whole network, each made of one number (see `ims_tests::swarm`).

use ims_tests::swarm::{self, Tally};

/// What `make test` can afford.
const SEEDS: u64 = 300;

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

/// `SEED=n` lives through one day only, `SEEDS=n` through so many.
#[test]
fn swarm_of_phones_on_bad_days_breaks_no_rule() {
    let seeds = match number("SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number("SEEDS").unwrap_or(SEEDS),
    };
    let _log = swarm::watch_logs();
    let mut sum = Tally::default();
    for seed in seeds.clone() {
        match swarm::run(seed) {
            Ok(tally) => sum += tally,
            Err(failure) => panic!("{failure}"),
        }
    }
    println!("{seeds:?}: {sum:?}");
    assert!(sum.registrations >= seeds.end - seeds.start, "{sum:?}");
    // Each day ends with a call, which has a record for each side.
    assert!(sum.records >= 2 * (seeds.end - seeds.start), "{sum:?}");
    // Four days in ten.
    assert!(
        seeds.end - seeds.start < 100 || sum.sets >= seeds.end - seeds.start,
        "{sum:?}"
    );
}

#[test]
fn swarm_repeats_a_day_exactly() {
    let _log = swarm::watch_logs();
    for seed in 5..10 {
        assert!(swarm::ladder(seed) == swarm::ladder(seed), "SEED={seed}");
    }
}
