//! Engine: what a node says about itself.
//!
//! * [`redact`]: identities as the log may show them
//! * `log`, `metrics`: where lines and numbers go (with the shell)

#[cfg(feature = "shell")]
mod budget;
#[cfg(feature = "shell")]
pub mod log;
#[cfg(feature = "shell")]
pub mod metrics;
pub mod redact;
