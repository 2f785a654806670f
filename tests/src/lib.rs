//! The testkit (simulated UE, embedded HSS, virtual world), the lab, and all suites
