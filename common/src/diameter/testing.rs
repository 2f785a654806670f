//! Testkit: the one instant from which virtual time counts in the tests of this module.

use std::time::{Duration, Instant};

/// Any instant; tests add to it.
#[expect(
    clippy::disallowed_methods,
    reason = "an Instant has no other constructor; no test waits for it to pass"
)]
pub(super) fn start() -> Instant {
    Instant::now()
}

/// Seconds.
pub(super) fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}
