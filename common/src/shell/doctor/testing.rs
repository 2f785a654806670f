//! Testkit: values for the tests of the doctor.

use crate::ipsec::{ProtectedPorts, Suite};

/// Protected ports at this address, with all algorithms.
pub(super) fn protected(address: &str) -> ProtectedPorts {
    ProtectedPorts {
        local: vec![address.parse().unwrap()],
        reqid: 33_203,
        priority: 2_100,
        replay_window: 32,
        requests_max: 8,
        suites: Suite::ALL.to_vec(),
    }
}
