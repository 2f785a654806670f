//! Engine: the security agreement with UEs, and the security associations that it is about (TS 33.203 7).
//!
//! * [`offer`]: what a UE offers; [`agreement`]: what was agreed, and whether the UE says so too
//! * [`challenge_keys`]: the keys of a challenge; [`policy`]: what the operator wants
//! * `manager`: the sets of security associations; `spi`, `ports`: the numbers of theirs that we choose

pub mod agreement;
pub mod challenge_keys;
pub(crate) mod manager;
pub mod offer;
pub mod policy;
pub(crate) mod ports;
mod spi;
