//! The testkit (simulated UE, embedded HSS, virtual world), the lab, and all suites

pub mod ladder;
pub mod milenage;
pub mod text;
pub mod usim;
pub mod world;
