//! Testkit: a registered user costs no more memory than was measured; a test of its own because it counts allocations.

use ims_tests::memory::{Plan, measure};
use peak_alloc::PeakAlloc;

#[global_allocator]
static ALLOCATOR: PeakAlloc = PeakAlloc;

#[test]
fn registered_user_stays_within_its_octets() {
    // As many as fill a map of 4096 places just so: the figures are those of a map that has grown to its size.
    let plan = Plan {
        users: 3_500,
        rate: 800,
        criteria: 3,
        ipsec: false,
        calls: 0,
    };
    let figures = measure(plan, &|| ALLOCATOR.current_usage());
    assert_eq!(figures.registered, 3_500);
    let per_user = |octets| figures.per_user(octets);
    assert!(
        per_user(figures.pcscf) <= 1_000,
        "P-CSCF: {}",
        per_user(figures.pcscf)
    );
    assert!(
        per_user(figures.scscf) <= 1_500,
        "S-CSCF: {}",
        per_user(figures.scscf)
    );
    // Twice two answered REGISTERs for each user wait for retransmissions.
    assert!(
        per_user(figures.peak_of_both) <= 7_500,
        "peak: {}",
        per_user(figures.peak_of_both)
    );
}
