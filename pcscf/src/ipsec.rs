//! Engine: the security agreement with UEs, and the security associations that it is about (TS 33.203 7).
//!
//! * [`offer`]: what a UE offers; [`agreement`]: what was agreed, and whether the UE says so too
//! * [`challenge_keys`]: the keys of a challenge

pub mod agreement;
pub mod challenge_keys;
pub mod offer;
