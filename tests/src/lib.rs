//! The testkit (simulated UE, embedded HSS, virtual world), the lab, and all suites

pub mod milenage;
pub mod usim;
