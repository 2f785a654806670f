//! Testkit: a registered user costs no more memory than was measured; a test of its own because it counts allocations.

use ims_tests::memory::{Figures, Plan, measure};
use peak_alloc::PeakAlloc;

#[global_allocator]
static ALLOCATOR: PeakAlloc = PeakAlloc;

/// As many as fill a map of 4096 places just so: the figures are those of a map that has grown to its size.
const PLAN: Plan = Plan {
    users: 3_500,
    rate: 800,
    criteria: 3,
    reg_event: false,
    ipsec: false,
    calls: 0,
};

fn measured(plan: Plan) -> Figures {
    let figures = measure(plan, &|| ALLOCATOR.current_usage());
    assert_eq!(figures.registered, 3_500);
    figures
}

#[test]
fn registered_user_stays_within_its_octets() {
    let within = |figures: Figures, pcscf: usize, scscf: usize, peak: usize| {
        let found =
            [figures.pcscf, figures.scscf, figures.peak_of_both].map(|octets| figures.per_user(octets));
        let is_within = found
            .iter()
            .zip([pcscf, scscf, peak])
            .all(|(found, limit)| *found <= limit);
        assert!(is_within, "P-CSCF, S-CSCF, both at peak: {found:?}");
    };
    // At the peak twice two answered REGISTERs for each user wait for retransmissions.
    within(measured(PLAN), 1_100, 1_550, 7_500);
    // A subscription of the P-CSCF to the registration, at both ends.
    let plan = Plan {
        criteria: 0,
        reg_event: true,
        ..PLAN
    };
    let subscribed = measured(plan);
    within(subscribed, 1_700, 2_250, 10_500);
    // A call between two users, when all its transactions are over.
    let calls = 1_700;
    let talking = measured(Plan { calls, ..plan });
    let per_call = |with: usize, without: usize| with.saturating_sub(without) / calls as usize;
    let pcscf = per_call(talking.pcscf, subscribed.pcscf);
    let scscf = per_call(talking.scscf, subscribed.scscf);
    assert!(
        pcscf <= 3_000 && scscf <= 3_000,
        "P-CSCF: {pcscf}, S-CSCF: {scscf}"
    );
}
