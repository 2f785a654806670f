//! Engine: what a node says about itself.
//!
//! * [`catalogue`]: every number that a node tells
//! * [`redact`]: identities as the log may show them
//! * `log`, `metrics`: where lines and numbers go (with the shell)

#[cfg(feature = "shell")]
mod budget;
pub mod catalogue;
#[cfg(feature = "shell")]
pub mod log;
#[cfg(feature = "shell")]
pub mod metrics;
pub mod redact;
