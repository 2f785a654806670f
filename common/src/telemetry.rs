//! Engine: what a node says about itself.
//!
//! * [`redact`]: identities as the log may show them

pub mod redact;
